//! What a module has made: is it as it was?
//!
//! A script may import a package, set something in it, and then import a part of it that looks at that. So a module of
//! another package is handed over beside one that is in use only if what that one has made is unchanged: the
//! dictionaries, lists, sets and instances that are reached from its namespace and were made by its import. Owns the
//! list of them and the comparison. The standard library is left out: its modules keep caches, and none of the list looks
//! at another's state.

use super::node::{Content, Node};
use crate::quiet::{HEAD, Layout, word};
use libc::{c_char, c_int, c_void};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::CStr;

/// `tp_name`, `tp_traverse` (`Include/cpython/object.h`); `leave` compares its neighbours with what was measured.
const NAME: usize = 24;
const TRAVERSE: usize = 184;
/// What abstract classes remember of other classes (`Modules/_abc.c`): nothing of it shows.
const CACHES: &CStr = c"_abc._abc_data";

type Visit = unsafe extern "C" fn(*mut PyObject, *mut c_void) -> c_int;
type Traverse = unsafe extern "C" fn(*mut PyObject, Visit, *mut c_void) -> c_int;

unsafe extern "C" {
    static mut PyFunction_Type: PyTypeObject;
}

/// What an object held.
pub(super) struct Held {
    /// Of a dictionary.
    content: Option<Content>,
    /// What it refers to, added up in order; of what is no plain dictionary.
    sum: Cell<Option<u64>>,
}

impl Held {
    /// # Safety
    /// The GIL is held; a live object, here and below.
    pub unsafe fn by(object: usize, layout: &Layout) -> Held {
        // SAFETY: a live object.
        unsafe {
            let dictionary = object as *mut PyObject;
            let content = (ffi::PyDict_Check(dictionary) != 0).then(|| {
                let content = Content::default();
                content.take(layout, dictionary, &[]);
                content
            });
            let sum = (ffi::PyDict_CheckExact(dictionary) == 0).then(|| sum_of(object));
            Held { content, sum: Cell::new(sum) }
        }
    }

    /// # Safety
    /// As `by`, with the same object.
    pub unsafe fn is_in(&self, object: usize, layout: &Layout) -> bool {
        // SAFETY: a live object, which was a dictionary if it has content.
        unsafe {
            self.content.as_ref().is_none_or(|content| content.is_in(layout, object as *mut PyObject, &[]))
                && self.sum.get().is_none_or(|sum| sum_of(object) == sum)
        }
    }

    /// # Safety
    /// As `is_in`.
    pub unsafe fn take(&self, object: usize, layout: &Layout) {
        // SAFETY: as above.
        unsafe {
            self.content.iter().for_each(|content| content.take(layout, object as *mut PyObject, &[]));
            if self.sum.get().is_some() {
                self.sum.set(Some(sum_of(object)));
            }
        }
    }
}

/// Objects, each behind one that refers to it: if that is unchanged, this one lives.
#[derive(Default)]
pub struct Made(Vec<(usize, Held)>);

/// What is to be done with an object that is reached.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Compared, and looked through.
    Changing,
    /// Looked through: it cannot change itself.
    Fixed,
    /// Looked through: its namespace, which is a dictionary, is compared.
    Class,
    /// Compared only if there is something behind it: there are many.
    Function,
    Leaf,
}

impl Made {
    /// In the zygote, at rest: looks at all that is reached from the namespace.
    pub fn new(node: &Node, layout: &Layout) -> Made {
        let mut made = Vec::new();
        // SAFETY: the GIL is held; live objects, which nothing changes meanwhile.
        unsafe {
            if node.namespace.is_null() {
                return Made::default();
            }
            let own: HashSet<usize> = node.ring.borrow().objects().into_iter().collect();
            let mut seen = HashSet::from([node.namespace as usize]);
            let mut todo = referents(node.namespace as usize);
            // A class of its own is not always reached from there.
            todo.push(node.class);
            let mut next = 0;
            while let Some(&object) = todo.get(next) {
                next += 1;
                let kind = kind_of(object);
                let is_own = own.contains(&object) || (kind == Kind::Changing && !is_tracked(object));
                if kind == Kind::Leaf || !is_own || !seen.insert(object) {
                    continue;
                }
                let behind = referents(object);
                let has_own =
                    || behind.iter().any(|o| own.contains(o) && !matches!(kind_of(*o), Kind::Leaf | Kind::Class));
                if kind == Kind::Function && !has_own() {
                    continue;
                }
                if matches!(kind, Kind::Changing | Kind::Function) {
                    made.push((object, Held::by(object, layout)));
                }
                todo.extend(behind);
            }
        }
        Made(made)
    }

    /// The objects, each with its number.
    pub fn objects(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().enumerate().map(|(number, (object, _))| (*object, number))
    }

    /// Follows a change of ours in one of them.
    ///
    /// # Safety
    /// The GIL is held; the module lives.
    pub unsafe fn follow(&self, number: usize, layout: &Layout, change: impl FnOnce()) {
        let (object, held) = &self.0[number];
        // SAFETY: the caller's promise.
        unsafe {
            let is_current = held.is_in(*object, layout);
            change();
            if is_current {
                held.take(*object, layout);
            }
        }
    }

    /// Is everything as it was? The namespace is, the caller knows.
    ///
    /// # Safety
    /// The GIL is held; the module lives.
    pub unsafe fn is_unchanged(&self, layout: &Layout) -> bool {
        // SAFETY: each object is referred to by one before it, or by the namespace, all of which are as they were.
        self.0.iter().all(|(object, held)| unsafe { held.is_in(*object, layout) })
    }
}

unsafe fn kind_of(object: usize) -> Kind {
    // SAFETY: a live object and its type.
    unsafe {
        let object = object as *mut PyObject;
        let class: *mut PyTypeObject = ffi::Py_TYPE(object);
        if ffi::PyType_Check(object) != 0 {
            let is_heap = ffi::PyType_HasFeature(object.cast(), ffi::Py_TPFLAGS_HEAPTYPE) != 0;
            return if is_heap { Kind::Class } else { Kind::Leaf };
        }
        let interpreters = [
            &raw mut ffi::PyModule_Type,
            &raw mut ffi::PyCFunction_Type,
            &raw mut ffi::PyMethodDescr_Type,
            &raw mut ffi::PyGetSetDescr_Type,
            &raw mut ffi::PyMemberDescr_Type,
            &raw mut ffi::PyWrapperDescr_Type,
            &raw mut ffi::PyClassMethodDescr_Type,
        ];
        if ffi::PyType_HasFeature(class, ffi::Py_TPFLAGS_HAVE_GC) == 0
            || interpreters.contains(&class)
            || ffi::PyType_IsSubtype(class, &raw mut ffi::PyModule_Type) != 0
            || CStr::from_ptr(word(class as usize, NAME) as *const c_char) == CACHES
        {
            return Kind::Leaf;
        }
        if ffi::PyTuple_CheckExact(object) != 0 || ffi::PyFrozenSet_CheckExact(object) != 0 {
            return Kind::Fixed;
        }
        if class == &raw mut PyFunction_Type { Kind::Function } else { Kind::Changing }
    }
}

/// Does the collector have it?
///
/// # Safety
/// A live object with a collector's head.
pub unsafe fn is_tracked(object: usize) -> bool {
    // SAFETY: an object with a collector's head: one that is not tracked has no next.
    unsafe { word(object - HEAD, 0) != 0 }
}

unsafe extern "C" fn collect(object: *mut PyObject, all: *mut c_void) -> c_int {
    // SAFETY: `referents` passes its own list.
    unsafe { (*all.cast::<Vec<usize>>()).push(object as usize) };
    0
}

unsafe extern "C" fn add(object: *mut PyObject, sum: *mut c_void) -> c_int {
    // SAFETY: `sum_of` passes its own number.
    let sum = unsafe { &mut *sum.cast::<u64>() };
    *sum = (sum.rotate_left(7) ^ object as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    0
}

unsafe fn traverse(object: usize, visit: Visit, with: *mut c_void) {
    // SAFETY: a live object, and what its type says of it.
    unsafe {
        let traverse = word(ffi::Py_TYPE(object as *mut PyObject) as usize, TRAVERSE);
        if traverse != 0 {
            let traverse: Traverse = std::mem::transmute(traverse);
            traverse(object as *mut PyObject, visit, with);
        }
    }
}

/// What an object refers to, by what its type says.
///
/// # Safety
/// The GIL is held; a live object, and types' slots are where they are thought to be (`leave::knows`).
pub unsafe fn referents(object: usize) -> Vec<usize> {
    let mut all: Vec<usize> = Vec::new();
    // SAFETY: the caller has a live object.
    unsafe { traverse(object, collect, (&raw mut all).cast()) };
    all
}

unsafe fn sum_of(object: usize) -> u64 {
    let mut sum = 0u64;
    // SAFETY: as above.
    unsafe { traverse(object, add, (&raw mut sum).cast()) };
    sum
}
