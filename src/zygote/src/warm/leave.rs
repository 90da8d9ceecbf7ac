//! The end: an interpreter that is finalised must not be held up by modules that nobody has seen.
//!
//! Owns the references from hidden modules to what start-up made. Hidden objects
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

struct Count<'a> {
    base: &'a HashSet<usize>,
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
    } else if count.base.contains(&object) {
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
    let mut base = HashSet::new();
    for &head in &layout.heads {
        // SAFETY: the collector's lists, at rest.
        unsafe {
            let mut link = word(head, 0);
            while link != head {
                base.insert(link + HEAD);
                link = word(link, 0);
            }
        }
    }
    for node in nodes.iter_mut().filter(|node| node.state.get() == State::Hidden && node.is_source) {
        let Some(module) = node.module.borrow().as_ref().map(|module| module.raw()) else { continue };
        // Only what the module itself holds stays for ever; a cache of start-up's may let go of the rest.
        // SAFETY: live objects of the ring, and what their types say of them.
        unsafe {
            let own = node.ring.borrow().objects().into_iter().collect();
            let mut count = Count { base: &base, own, reached: Vec::new(), found: HashMap::new() };
            visit(module, (&raw mut count).cast());
            while let Some(object) = count.reached.pop() {
                let traverse = word(ffi::Py_TYPE(object as *mut PyObject) as usize, SLOTS[1]);
                if traverse != 0 {
                    let traverse: Traverse = std::mem::transmute(traverse);
                    traverse(object as *mut PyObject, visit, (&raw mut count).cast());
                }
            }
            node.holds = count.found.into_iter().collect();
        }
    }
}

/// Before the end of an interpreter. Nothing is handed over any more.
pub fn let_go(store: &Store) {
    for node in store.nodes.iter().filter(|node| node.state.get() == State::Hidden) {
        for &(object, times) in &node.holds {
            for _ in 0..times {
                // SAFETY: the GIL is held; a reference that an object holds which is never looked at again.
                unsafe { ffi::Py_DecRef(object as *mut PyObject) };
            }
        }
    }
    for node in &store.nodes {
        for event in node.events.borrow_mut().iter_mut().filter(|event| matches!(event, Event::Effect(_))) {
            *event = Event::Done;
        }
        node.module.borrow_mut().take().map(super::Object::into_raw);
    }
}
