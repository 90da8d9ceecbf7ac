//! The end: an interpreter that is finalised must not be held up by modules that nobody has seen.
//!
//! Owns the references from hidden modules to what start-up made, and to what is another module's. Hidden objects
//! are never freed; but while they hold on to `os`, say, it would not go when CPython lets go of it, and what a
//! script has put there would not end as it does cold. So those references are counted in
//! the zygote, and given back before an interpreter is finalised.

use super::hand::Store;
use super::node::{Event, Node, State};
use crate::quiet::{HEAD, Layout, word};
use libc::{c_int, c_void};
use pyo3::ffi::{self, PyObject};
use std::collections::{HashMap, HashSet};

/// `tp_hash`, `tp_traverse`, `tp_richcompare` (`Include/cpython/object.h`); the outer ones are measured.
const SLOTS: [usize; 3] = [120, 184, 200];

type Visit = unsafe extern "C" fn(*mut PyObject, *mut c_void) -> c_int;
type Traverse = unsafe extern "C" fn(*mut PyObject, Visit, *mut c_void) -> c_int;

/// References of a hidden module to one object that may not be hidden.
pub struct Hold {
    object: usize,
    times: usize,
    /// The number of the module whose it is; none, if it was there from the start.
    owner: Option<usize>,
}

struct Count<'a> {
    /// Whose an object is.
    owners: &'a HashMap<usize, Option<usize>>,
    /// The module's own objects that have not been come upon.
    own: HashSet<usize>,
    reached: Vec<usize>,
    found: HashMap<usize, usize>,
}

unsafe extern "C" fn visit(object: *mut PyObject, count: *mut c_void) -> c_int {
    // SAFETY: `count` passes its own structure.
    let count = unsafe { &mut *count.cast::<Count>() };
    let object = object as usize;
    if count.own.remove(&object) {
        count.reached.push(object);
    } else if count.owners.contains_key(&object) {
        *count.found.entry(object).or_default() += 1;
    }
    0
}

/// Are a type's slots where they are thought to be?
pub fn knows(layout: &Layout) -> bool {
    layout.hash == SLOTS[0] && layout.compare == SLOTS[2]
}

/// In the zygote, when everything is hidden: counts what modules of Python code hold. Extensions are left out, because
/// CPython may make them again out of what it keeps of them.
pub fn count(nodes: &mut [Node], layout: &Layout) {
    if !knows(layout) {
        return;
    }
    let mut owners = HashMap::new();
    for (number, node) in nodes.iter().enumerate().filter(|(_, node)| node.state.get() == State::Hidden) {
        // SAFETY: the ring is at rest.
        owners.extend(unsafe { node.ring.borrow().objects() }.into_iter().map(|object| (object, Some(number))));
    }
    for &head in &layout.heads {
        // SAFETY: the collector's lists, at rest.
        unsafe {
            let mut link = word(head, 0);
            while link != head {
                owners.insert(link + HEAD, None);
                link = word(link, 0);
            }
        }
    }
    for (number, node) in nodes.iter_mut().enumerate() {
        if node.state.get() != State::Hidden || !node.is_source {
            continue;
        }
        let Some(module) = node.module.borrow().as_ref().map(|module| module.raw()) else { continue };
        // Only what the module itself holds stays for ever; a cache of start-up's may let go of the rest.
        // SAFETY: live objects of the ring, and what their types say of them.
        unsafe {
            let own = node.ring.borrow().objects().into_iter().collect();
            let mut count = Count { owners: &owners, own, reached: Vec::new(), found: HashMap::new() };
            visit(module, (&raw mut count).cast());
            while let Some(object) = count.reached.pop() {
                let traverse = word(ffi::Py_TYPE(object as *mut PyObject) as usize, SLOTS[1]);
                if traverse != 0 {
                    let traverse: Traverse = std::mem::transmute(traverse);
                    traverse(object as *mut PyObject, visit, (&raw mut count).cast());
                }
            }
            // Its own that were come upon before are among them.
            let own = Some(number);
            let others = count.found.into_iter().filter(|(object, _)| owners[object] != own);
            node.holds = others.map(|(object, times)| Hold { object, times, owner: owners[&object] }).collect();
        }
    }
}

/// Before the end of an interpreter. Nothing is handed over any more.
pub fn let_go(store: &mut Store) {
    for node in store.nodes.iter().filter(|node| node.state.get() == State::Hidden) {
        let is_hidden = |owner: usize| store.nodes[owner].state.get() == State::Hidden;
        for hold in node.holds.iter().filter(|hold| !hold.owner.is_some_and(is_hidden)) {
            for _ in 0..hold.times {
                // SAFETY: the GIL is held; a reference that an object holds which is never looked at again.
                unsafe { ffi::Py_DecRef(hold.object as *mut PyObject) };
            }
        }
    }
    for node in &mut store.nodes {
        // What was made again has been taken out of these.
        match node.is_done.get() {
            true => std::mem::forget(std::mem::take(&mut node.events)),
            false => node.events.retain(|event| !matches!(event, Event::Effect(_))),
        }
        node.module.borrow_mut().take().map(super::Object::into_raw);
    }
}
