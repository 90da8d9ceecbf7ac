//! What is known of a module: the zygote's own, or one that is kept warm.

use super::ring::Ring;
use crate::capi::Object;
use crate::quiet::{self, Kept};
use pyo3::ffi::{self, PyObject};
use pyzy_core::fresh::Facts;
use std::cell::{Cell, RefCell};

/// A path, and how it was when the modules were imported.
pub struct Place {
    pub path: Vec<u8>,
    pub facts: Facts,
}

/// What a module is in this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Here from the start.
    Base,
    /// Nobody has seen it.
    Hidden,
    /// Handed over.
    Given,
}

/// What happened while a module was imported, in order.
pub enum Event {
    /// It asked for this module and got it whole.
    Needs(usize),
    /// It asked for a module whose own import was under way.
    Within(usize),
    /// It asked for a name that is nowhere.
    Absent(usize),
    /// It put this into `sys.modules` by itself.
    Inserts(usize),
    /// An effect that has been made again.
    Done,
    /// It changed something that is not its own.
    Effect(Effect),
}

/// A change of something that is not the module's own.
pub enum Effect {
    /// An entry of a dictionary. `class` is the class and `owner` the module whose namespace it is.
    Set {
        dictionary: Object,
        class: Option<Object>,
        owner: Option<usize>,
        key: Object,
        old: Option<Object>,
        new: Object,
    },
    /// Items added to a list, at its front and its end; `before` is what it held. `changed` is told.
    Add { list: Object, before: Vec<Object>, front: Vec<Object>, back: Vec<Object>, changed: Option<Object> },
    /// A call that registers something.
    Call { function: Object, arguments: Object, keywords: Option<Object> },
}

/// A module.
pub struct Node {
    /// The key in `sys.modules`.
    pub key: Object,
    pub name: String,
    /// Ours until the hand-over, then nobody's.
    pub module: RefCell<Option<Object>>,
    /// Tells whether the module that we know still lives.
    pub reference: Option<Object>,
    /// Its namespace, if it is an exact module.
    pub namespace: *mut PyObject,
    pub state: Cell<State>,
    /// The package it is in.
    pub parent: Option<usize>,
    /// Its own `__path__` and the one entry of it, if it is a package.
    pub package: Option<(Object, Object)>,
    /// What `sys.path_importer_cache` has for the directory it was found in, if that is a package's.
    pub finder: Option<(Object, Object)>,
    /// The number of its first name, if it was found along `sys.path`, and of the entry.
    pub found: Option<(usize, usize)>,
    pub events: RefCell<Vec<Event>>,
    /// Numbers of places that must be as they were.
    pub places: Vec<usize>,
    /// Variables that its import read, with their values.
    pub variables: Vec<(std::ffi::CString, Option<Vec<u8>>)>,
    /// Its import asked who the machine is (`man 2 uname`).
    pub host: bool,
    /// Why it is not handed over.
    pub refused: Option<String>,
    /// What its namespace adds up to.
    pub sum: Cell<u64>,
    pub ring: RefCell<&'static mut Ring>,
    /// Called after the hand-over: makes its state this process's own.
    pub settle: Option<Object>,
    /// What its objects do at the end.
    pub kept: Option<Kept>,
    /// It was put into `sys.modules` by another module.
    pub inserted: bool,
    /// It is made of Python code.
    pub is_source: bool,
    /// Objects of the start that its own hold on to, and how often.
    pub holds: Vec<(usize, usize)>,
    /// It is an extension that is initialised once a process.
    pub once: bool,
}

impl Node {
    /// A name, and nothing known yet.
    pub fn new(key: Object, name: String, state: State) -> Node {
        Node {
            key,
            name,
            module: RefCell::new(None),
            reference: None,
            namespace: std::ptr::null_mut(),
            state: Cell::new(state),
            parent: None,
            package: None,
            finder: None,
            found: None,
            events: RefCell::new(Vec::new()),
            places: Vec::new(),
            variables: Vec::new(),
            host: false,
            refused: None,
            sum: Cell::new(0),
            ring: RefCell::new(Ring::new()),
            settle: None,
            kept: None,
            inserted: false,
            is_source: false,
            holds: Vec::new(),
            once: false,
        }
    }

    /// Notes the first reason not to hand it over.
    pub fn refuse(&mut self, why: impl Into<String>) {
        self.refused.get_or_insert_with(|| why.into());
    }

    /// Is this the module that we know?
    ///
    /// # Safety
    /// The GIL is held; a live object.
    pub unsafe fn is(&self, object: *mut PyObject) -> bool {
        // SAFETY: a live weak reference.
        self.reference.as_ref().is_some_and(|r| unsafe { referent(r) } == object)
    }

    /// Is its namespace as it was?
    ///
    /// # Safety
    /// The GIL is held; the module lives.
    pub unsafe fn is_unchanged(&self, skip: &[usize]) -> bool {
        // SAFETY: the caller's promise.
        self.namespace.is_null() || unsafe { sum(self.namespace, skip) } == self.sum.get()
    }
}

/// What a weak reference refers to, borrowed; None's address if that is gone.
///
/// # Safety
/// The GIL is held; a weak reference.
pub unsafe fn referent(reference: &Object) -> *mut PyObject {
    // SAFETY: the caller's promise.
    unsafe { ffi::PyWeakref_GetObject(reference.raw()) }
}

/// What an entry adds to the sum of a namespace.
pub fn entry(key: *mut PyObject, value: *mut PyObject) -> u64 {
    let (key, value) = (key as u64, value as u64);
    (key ^ value.rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value.wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
}

/// The entries of a dictionary, added up: equal for equal entries, whatever their order. Keys that do not count are
/// skipped; those of a namespace are interned, so an address says it all.
///
/// # Safety
/// The GIL is held; an exact dictionary.
pub unsafe fn sum(dictionary: *mut PyObject, skip: &[usize]) -> u64 {
    // SAFETY: nothing is changed while we look.
    unsafe {
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        let mut total = 0u64;
        while ffi::PyDict_Next(dictionary, &mut at, &mut key, &mut value) != 0 {
            if skip.is_empty() || !skip.contains(&(key as usize)) {
                total = total.wrapping_add(entry(key, value));
            }
        }
        total
    }
}

/// A module's namespace, if it is an exact module.
///
/// # Safety
/// The GIL is held; a live object.
pub unsafe fn namespace(module: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's promise.
    unsafe { if ffi::PyModule_CheckExact(module) == 0 { std::ptr::null_mut() } else { ffi::PyModule_GetDict(module) } }
}

/// Text of a Python string.
pub fn text(object: &Object) -> Option<String> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        (ffi::PyUnicode_CheckExact(object.raw()) != 0).then_some(())?;
        let bytes = Object::own(ffi::PyUnicode_EncodeFSDefault(object.raw()))?;
        let start = ffi::PyBytes_AsString(bytes.raw());
        let text = std::slice::from_raw_parts(start.cast::<u8>(), ffi::PyBytes_Size(bytes.raw()) as usize);
        String::from_utf8(text.to_vec()).ok()
    }
}

/// Looks at what the objects of a ring do at the end.
pub fn keep(node: &mut Node, layout: &quiet::Layout) {
    // SAFETY: the GIL is held; nothing changes meanwhile.
    let objects = unsafe { node.ring.borrow().objects() };
    node.kept = quiet::examine(layout, objects);
}
