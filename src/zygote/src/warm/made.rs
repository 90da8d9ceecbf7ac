//! What a module has made: is it as it was?
//!
//! A script may import a package, set something in it, and then import a part of it that looks at that. So a module of
//! another package is handed over beside one that is in use only if what that one has made is unchanged: the
//! dictionaries, lists, sets and instances that are reached from its namespace and were made by its import. Owns the
//! list of them and the comparison. The standard library is left out: its modules keep caches, and none of the list looks
//! at another's state.

use super::node::{Content, Node};
use super::print::{self, Kind, Prints, referents};
use crate::capi::Object;
use crate::quiet::{HEAD, Layout, word};
use pyo3::ffi::{self, PyObject};
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::OnceLock;

/// What an object held.
pub(super) struct Held {
    /// Of a dictionary.
    content: Option<Content>,
    kind: Kind,
    /// What it was, if it is no plain dictionary.
    print: Cell<u64>,
}

impl Held {
    /// # Safety
    /// The GIL is held; a live object, here and below.
    pub unsafe fn by(object: usize, kind: Kind, layout: &Layout) -> Held {
        // SAFETY: a live object.
        unsafe {
            let content = (kind == Kind::Dictionary).then(Content::default);
            let held = Held { content, kind, print: Cell::new(0) };
            held.take(object, layout);
            held
        }
    }

    /// # Safety
    /// As `by`, with the same object.
    pub unsafe fn is_in(&self, object: usize, layout: &Layout) -> bool {
        // SAFETY: a live object, of this kind if that behind which it is is unchanged.
        unsafe {
            match &self.content {
                Some(content) => content.is_in(layout, object as *mut PyObject, &[slot_names()]),
                None => Prints::of(object, self.kind) == self.print.get(),
            }
        }
    }

    /// # Safety
    /// As `is_in`.
    pub unsafe fn take(&self, object: usize, layout: &Layout) {
        // SAFETY: as above.
        unsafe {
            match &self.content {
                Some(content) => content.take(layout, object as *mut PyObject, &[slot_names()]),
                None => self.print.set(Prints::of(object, self.kind)),
            }
        }
    }
}

/// The key of what `copyreg` remembers of a class when an instance is copied.
fn slot_names() -> usize {
    static NAME: OnceLock<usize> = OnceLock::new();
    // SAFETY: the GIL is held; the name is kept for ever.
    *NAME.get_or_init(|| unsafe { ffi::PyUnicode_InternFromString(c"__slotnames__".as_ptr()) as usize })
}

/// Objects, each behind one that refers to it: if that is unchanged, this one lives.
#[derive(Default)]
pub struct Made(Vec<(usize, Held)>);

impl Made {
    /// In the zygote, at rest: looks at all that is reached from the namespace.
    pub fn new(node: &Node, layout: &Layout) -> Made {
        let mut made = Vec::new();
        // SAFETY: the GIL is held; live objects, which nothing changes meanwhile but for the namespaces that they get here.
        unsafe {
            if node.namespace.is_null() {
                return Made::default();
            }
            let Some(marker) = Object::own(ffi::PyList_New(0)) else { return Made::default() };
            ffi::PyObject_GC_UnTrack(marker.raw().cast());
            ffi::PyObject_GC_Track(marker.raw().cast());
            let mut own: HashSet<usize> = node.ring.borrow().objects().into_iter().collect();
            // Namespaces of instances.
            let mut instances = HashSet::new();
            let mut seen = HashSet::from([node.namespace as usize]);
            let mut todo = referents(node.namespace as usize);
            // A class of its own is not always reached from there.
            todo.push(node.class);
            let mut next = 0;
            while let Some(&object) = todo.get(next) {
                next += 1;
                let kind = print::kind_of(object);
                // So that no other value gets its address while it is compared by that.
                if print::is_plain_value(object) && seen.insert(object) {
                    ffi::Py_INCREF(object as *mut PyObject);
                }
                let is_own = own.contains(&object) || !is_tracked(object);
                if kind == Kind::Leaf || !is_own || !seen.insert(object) {
                    continue;
                }
                let namespace = print::namespace_of(object, kind).map(|namespace| namespace.raw() as usize);
                own.extend(namespace);
                instances.extend(namespace);
                let behind = Prints::behind(object, kind);
                if kind == Kind::Dictionary && instances.contains(&object) {
                    // From 3.13 on an attribute that is set leaves the dictionary's version as it was.
                    made.push((object, Held::by(object, Kind::Container, layout)));
                } else if kind != Kind::Fixed {
                    made.push((object, Held::by(object, kind, layout)));
                } else if !behind.is_empty() {
                    made.push((object, Held::by(object, Kind::Container, layout)));
                }
                todo.extend(behind);
            }
            let mut ring = node.ring.borrow_mut();
            let before = ring.objects();
            ring.take_behind(layout, &marker);
            if let (Some(&first), Some(&last)) = (before.first(), before.last()) {
                ring.turn(first, last);
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

/// Is it in one of the collector's lists? What is not may be anybody's.
///
/// # Safety
/// A live object.
pub unsafe fn is_tracked(object: usize) -> bool {
    // SAFETY: an object with a collector's head, if its type has one: one that is not tracked has no next.
    unsafe {
        let class = ffi::Py_TYPE(object as *mut PyObject);
        ffi::PyType_HasFeature(class, ffi::Py_TPFLAGS_HAVE_GC) != 0 && word(object - HEAD, 0) != 0
    }
}
