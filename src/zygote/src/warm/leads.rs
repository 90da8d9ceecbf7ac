//! Which sleeping libraries a module leads to.
//!
//! A class of one extension may be reached without a hand-over of its module: extensions that Cython made share the class of their
//! functions by way of a module that C code puts into `sys.modules`, and what an import keeps in an object of another module
//! is there as well. So the code that a hand-over wakes is that of all libraries to which the module's objects lead: by
//! their classes, by the functions of C that they hold, and by objects of other modules. Owns finding them, in the
//! zygote. What C code keeps for itself cannot be seen; so an extension from outside the standard library wakes all
//! others of these, and one that calls what is loaded by its name wakes all.

use super::asleep;
use super::leave;
use super::made::is_tracked;
use super::node::{Node, State};
use super::print::referents;
use crate::quiet::{Layout, word};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::collections::{HashMap, HashSet};

/// `tp_basicsize`, `tp_base` (`Include/cpython/object.h`), and what all versions have of a class that is not on the heap.
const SIZE: usize = 32;
const BASE: usize = 256;
const CLASS: usize = 400;
/// What is looked at of an object, at most.
const LARGEST: usize = 1024;
/// Extensions of the standard library that call functions by their names.
const CALLERS: [&str; 1] = ["_ctypes"];

struct Search {
    /// Begin, end and number of each part of a library, in order.
    parts: Vec<(usize, usize, usize)>,
    /// Whose an object is.
    owners: HashMap<usize, usize>,
    classes: HashMap<usize, Vec<usize>>,
}

/// What one module leads to by itself: libraries and other modules.
#[derive(Default)]
struct Leads {
    libraries: HashSet<usize>,
    modules: HashSet<usize>,
}

/// When everything is hidden, and `asleep` knows its libraries: notes for each module what its hand-over wakes.
pub fn find(nodes: &mut [Node], layout: &Layout) {
    let parts = asleep::parts();
    if parts.is_empty() {
        return;
    }
    let all: HashSet<usize> = parts.iter().map(|part| part.2).collect();
    let foreign: HashSet<usize> = nodes.iter().filter(|node| is_outside(node)).filter_map(|node| node.asleep).collect();
    let mut search = Search { parts, owners: HashMap::new(), classes: HashMap::new() };
    let is_hidden = |node: &Node| node.state.get() == State::Hidden;
    for (number, node) in nodes.iter().enumerate().filter(|(_, node)| is_hidden(node)) {
        // SAFETY: the ring is at rest.
        search.owners.extend(unsafe { node.ring.borrow().objects() }.into_iter().map(|object| (object, number)));
    }
    let knows = leave::knows(layout);
    let mut leads: Vec<Leads> = nodes
        .iter()
        .map(|node| match is_hidden(node) {
            // SAFETY: the GIL is held; nothing changes meanwhile.
            true if knows => unsafe { search.of(node) },
            true => Leads { libraries: all.clone(), modules: HashSet::new() },
            false => Leads::default(),
        })
        .collect();
    for (leads, node) in leads.iter_mut().zip(nodes.iter()) {
        leads.libraries.extend(node.asleep);
        if is_outside(node) {
            leads.libraries.extend(&foreign);
        }
        if CALLERS.contains(&node.name.as_str()) {
            leads.libraries.extend(&all);
        }
    }
    let mut is_growing = true;
    while is_growing {
        is_growing = false;
        for at in 0..leads.len() {
            let more: HashSet<usize> =
                leads[at].modules.iter().flat_map(|&other| leads[other].libraries.iter().copied()).collect();
            let before = leads[at].libraries.len();
            leads[at].libraries.extend(more);
            is_growing |= leads[at].libraries.len() > before;
        }
    }
    for (node, leads) in nodes.iter_mut().zip(leads) {
        node.wakes = leads.libraries.into_iter().collect();
        node.wakes.sort_unstable();
    }
}

/// Is it an extension from outside the standard library?
fn is_outside(node: &Node) -> bool {
    node.foreign.is_some() && !node.once
}

impl Search {
    /// Looks through all that the module's import has made, and what it holds of it.
    unsafe fn of(&mut self, node: &Node) -> Leads {
        let mut leads = Leads::default();
        // SAFETY: the caller's promise; live objects.
        unsafe {
            let own = node.ring.borrow().objects();
            let mut seen: HashSet<usize> = own.iter().copied().collect();
            let mut todo = own;
            todo.extend(node.module.borrow().as_ref().map(|module| module.raw() as usize));
            while let Some(object) = todo.pop() {
                self.look(object, &mut leads);
                for object in referents(object) {
                    if !seen.insert(object) {
                        continue;
                    }
                    match self.owners.get(&object) {
                        Some(&owner) => {
                            leads.modules.insert(owner);
                            self.look(object, &mut leads);
                        }
                        // What the collector has was there from the start.
                        None if is_collected(object) && is_tracked(object) => {}
                        None if is_collected(object) => todo.push(object),
                        None => self.look(object, &mut leads),
                    }
                }
            }
        }
        leads
    }

    /// An object itself, and its class.
    unsafe fn look(&mut self, object: usize, leads: &mut Leads) {
        // SAFETY: a live object.
        unsafe {
            let class = ffi::Py_TYPE(object as *mut PyObject) as usize;
            leads.libraries.extend(self.class(class));
            if ffi::PyType_Check(object as *mut PyObject) != 0 {
                leads.libraries.extend(self.class(object));
            } else if !is_text_or_number(class) {
                leads.libraries.extend(self.home(object));
                leads.libraries.extend(self.words(object, word(class, SIZE)));
            }
        }
    }

    /// A class, and those that it is made from.
    unsafe fn class(&mut self, class: usize) -> &[usize] {
        if !self.classes.contains_key(&class) {
            let mut found = Vec::new();
            let mut at = class;
            while at != 0 {
                // SAFETY: a live class.
                unsafe {
                    let is_heap = ffi::PyType_HasFeature(at as *mut PyTypeObject, ffi::Py_TPFLAGS_HEAPTYPE) != 0;
                    let meta = ffi::Py_TYPE(at as *mut PyObject) as usize;
                    found.extend(self.home(at));
                    found.extend(self.words(at, if is_heap { word(meta, SIZE) } else { CLASS }));
                    at = word(at, BASE);
                }
            }
            found.sort_unstable();
            found.dedup();
            self.classes.insert(class, found);
        }
        &self.classes[&class]
    }

    /// The libraries to which words of an object point.
    unsafe fn words(&self, object: usize, size: usize) -> Vec<usize> {
        let offsets = (0..size.min(LARGEST) / 8).map(|at| at * 8);
        // SAFETY: an object is as large as its class says.
        offsets.filter_map(|offset| self.home(unsafe { word(object, offset) })).collect()
    }

    /// The library that an address lies in.
    fn home(&self, address: usize) -> Option<usize> {
        let at = self.parts.partition_point(|part| part.0 <= address);
        let (_, end, number) = *self.parts.get(at.checked_sub(1)?)?;
        (address < end).then_some(number)
    }
}

/// Does it have a head of the collector's? Classes that are not on the heap have none.
unsafe fn is_collected(object: usize) -> bool {
    // SAFETY: a live object and its class.
    unsafe {
        let object = object as *mut PyObject;
        let is_static =
            ffi::PyType_Check(object) != 0 && ffi::PyType_HasFeature(object.cast(), ffi::Py_TPFLAGS_HEAPTYPE) == 0;
        !is_static && ffi::PyType_HasFeature(ffi::Py_TYPE(object), ffi::Py_TPFLAGS_HAVE_GC) != 0
    }
}

/// They point to nothing, and small ones end before others of their class.
fn is_text_or_number(class: usize) -> bool {
    let classes = [
        &raw mut ffi::PyUnicode_Type,
        &raw mut ffi::PyBytes_Type,
        &raw mut ffi::PyLong_Type,
        &raw mut ffi::PyFloat_Type,
        &raw mut ffi::PyBool_Type,
    ];
    classes.contains(&(class as *mut PyTypeObject))
}
