//! What the import of one module changes of what others have made.
//!
//! Used by a rehearsal, in a child that ends afterwards. Owns the list of all objects that can change and are reached
//! from a module's namespace, each with the module whose import made it, and what it was when it was last looked at.
//! A name in another module's namespace, or in that of one of its classes, is an effect that is made again at the
//! hand-over (`watch`), and is none of these; what it means is.
//!
//! Every object that was come upon is kept, so that none gets another's address. What an object means beyond what it
//! refers to, such as the number that a counter has come to, is in its body: all of that is compared, but for what is known
//! to change by being used.

use super::node::text;
use super::print::{self, Kind, Prints, word_of};
use super::subclasses::Census;
use super::world;
use crate::capi::{self, Object};
use crate::trace;
use pyo3::ffi::{self, PyObject};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;

/// A module that nothing is told of: what has no owner.
const NOBODY: usize = usize::MAX;

/// An object that can change.
struct Seen {
    object: usize,
    kind: Kind,
    owner: usize,
    print: u64,
    /// How many entries a dictionary has.
    size: isize,
    /// A change is one that is made again at the hand-over, or a cache.
    is_free: bool,
}

/// All of them.
#[derive(Default)]
struct Ties {
    /// Names of modules.
    owners: Vec<String>,
    /// The standard library's: its caches do not count.
    is_library: Vec<bool>,
    /// Whose an object is, by its address.
    known: HashMap<usize, usize>,
    seen: Vec<Seen>,
    /// Their places, of those that are looked at.
    places: HashMap<usize, usize>,
    /// The classes that are registered with an abstract one: what its registry had.
    registered: HashMap<usize, HashSet<usize>>,
    kept: HashSet<usize>,
    /// The classes that were there before the first look.
    first: Option<Census>,
}

thread_local! {
    static TIES: RefCell<Option<Ties>> = const { RefCell::new(None) };
}

/// Functions for python/rehearse.py.
pub fn functions() -> [Option<(&'static CStr, Object)>; 2] {
    let make = |name, function, flags| {
        let function = ffi::PyMethodDefPointer { PyCFunction: function };
        Some((name, capi::function(name, function, flags, std::ptr::null_mut())?))
    };
    [make(c"observe", observe, ffi::METH_VARARGS), make(c"changed", changed, ffi::METH_O)]
}

impl Ties {
    fn owner(&mut self, name: &str, is_library: bool) -> usize {
        let at = self.owners.iter().position(|known| known == name).unwrap_or_else(|| {
            self.owners.push(name.to_owned());
            self.is_library.push(false);
            self.owners.len() - 1
        });
        self.is_library[at] |= is_library;
        at
    }

    fn is_library(&self, owner: usize) -> bool {
        self.is_library.get(owner).copied().unwrap_or(true)
    }

    unsafe fn keep(&mut self, object: usize) {
        if self.kept.insert(object) {
            // SAFETY: a live object.
            unsafe { ffi::Py_INCREF(object as *mut PyObject) };
        }
    }

    /// Begins to look at an object. Gives what is behind it.
    unsafe fn add(&mut self, object: usize, owner: usize, is_free: bool) -> Vec<usize> {
        // SAFETY: the GIL is held; a live object.
        unsafe {
            self.keep(object);
            self.known.insert(object, owner);
            let kind = print::kind_of(object);
            if kind == Kind::Leaf {
                return Vec::new();
            }
            // It may be made by that.
            drop(print::namespace_of(object, kind));
            if kind != Kind::Fixed {
                let print = Prints::of(object, kind);
                self.places.insert(object, self.seen.len());
                self.seen.push(Seen { object, kind, owner, print, size: size_of(object, kind), is_free });
                if kind == Kind::Registry {
                    self.registered.insert(object, Prints::behind(object, kind).into_iter().collect());
                }
            }
            self.behind(object, kind)
        }
    }

    unsafe fn behind(&mut self, object: usize, kind: Kind) -> Vec<usize> {
        // SAFETY: the GIL is held; a live object.
        unsafe {
            let all = Prints::behind(object, kind);
            all.iter().for_each(|&object| self.keep(object));
            all
        }
    }

    /// All that is reached from here and was not before is this owner's.
    unsafe fn walk(&mut self, mut todo: Vec<usize>, owner: usize) {
        while let Some(object) = todo.pop() {
            if !self.known.contains_key(&object) {
                // SAFETY: the GIL is held; a live object.
                let mut behind = unsafe { self.add(object, owner, false) };
                behind.reverse();
                todo.append(&mut behind);
            }
        }
    }

    /// What has changed since: whose it is, the object, and whose class was registered with it. What is new is `top`'s.
    unsafe fn look(&mut self, top: usize) -> Vec<(usize, usize, Option<usize>)> {
        let mut changes = Vec::new();
        let mut at = 0;
        // SAFETY: the GIL is held; live objects, for all are kept.
        unsafe {
            while at < self.seen.len() {
                let Seen { object, kind, owner, print, size, is_free } = self.seen[at];
                let now = Prints::of(object, kind);
                if now != print {
                    self.seen[at].print = now;
                    self.seen[at].size = size_of(object, kind);
                    // A name that was deleted is not put back.
                    let is_free = is_free && self.seen[at].size >= size;
                    let behind = self.behind(object, kind);
                    if kind == Kind::Registry {
                        changes.extend(self.look_at_registry(object, owner, top, &behind));
                    } else if !(is_free || self.is_library(owner) && print::is_cache(object)) {
                        changes.push((owner, object, None));
                    }
                    self.walk(behind, if top == NOBODY { owner } else { top });
                }
                at += 1;
            }
        }
        changes
    }

    /// A class of one's own among those that count as a base's subclasses shows to nobody who has not got it.
    unsafe fn look_at_registry(
        &mut self,
        registry: usize,
        owner: usize,
        top: usize,
        behind: &[usize],
    ) -> Vec<(usize, usize, Option<usize>)> {
        let now: HashSet<usize> = behind.iter().copied().collect();
        let before = self.registered.insert(registry, now.clone()).unwrap_or_default();
        let mut changes = Vec::new();
        for &reference in now.difference(&before) {
            // SAFETY: the GIL is held; live objects.
            unsafe {
                let class = print::referent(reference);
                let home = class.map(|class| self.known.get(&class).copied());
                match (class, home) {
                    (Some(class), Some(home)) if print::is_plain_class(class) => match home {
                        None if self.first.as_ref().is_some_and(|first| !first.has(class)) => {}
                        Some(home) if home == top => {}
                        home => changes.push((owner, registry, home)),
                    },
                    _ => changes.push((owner, registry, None)),
                }
            }
        }
        changes
    }
}

unsafe fn size_of(object: usize, kind: Kind) -> isize {
    // SAFETY: the caller has a live object of this kind.
    if kind == Kind::Dictionary { unsafe { ffi::PyDict_Size(object as *mut PyObject) } } else { 0 }
}

/// What is one object, of a tuple of arguments.
unsafe fn argument(arguments: *mut PyObject, at: isize) -> Option<Object> {
    // SAFETY: the GIL is held; a tuple, which lends its item.
    unsafe {
        (at < ffi::PyTuple_Size(arguments)).then_some(())?;
        Object::share(ffi::PyTuple_GetItem(arguments, at))
    }
}

/// A class's namespace, which nobody else has.
fn namespace_or_itself(object: Object) -> Option<Object> {
    // SAFETY: the GIL is held; a live object.
    match unsafe { ffi::PyType_Check(object.raw()) } {
        0 => Some(object),
        _ => world::class_namespace(&object),
    }
}

fn none() -> *mut PyObject {
    // SAFETY: None, with a reference for the caller.
    unsafe {
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}

/// `observe(name, is_library, root, free)`: what is reached from `root` and was not before is that module's. Changes of the
/// objects of a list, `free`, do not count; what is new in them does.
unsafe extern "C" fn observe(_: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    let was = trace::pause();
    // SAFETY: called by CPython with the GIL held, and with a tuple.
    let done = unsafe {
        TIES.with_borrow_mut(|ties| {
            let ties = ties.get_or_insert_with(|| Ties { first: Census::new(), ..Ties::default() });
            let name = text(&argument(arguments, 0)?)?;
            let is_library = argument(arguments, 1)?.raw() == ffi::Py_True();
            let root = argument(arguments, 2)?;
            let free = world::items(&argument(arguments, 3)?)?.into_iter();
            let free: Vec<Object> = free.filter_map(namespace_or_itself).collect();
            let owner = ties.owner(&name, is_library);
            let mut todo = Vec::new();
            for object in free.iter().map(|object| object.raw() as usize) {
                match ties.known.contains_key(&object) {
                    true => {
                        if let Some(&place) = ties.places.get(&object) {
                            ties.seen[place].is_free = true;
                        }
                    }
                    false => todo.extend(ties.add(object, owner, true)),
                }
            }
            todo.reverse();
            ties.walk(todo, owner);
            ties.walk(vec![root.raw() as usize], owner);
            Some(())
        })
    };
    trace::resume(was);
    if done.is_none() {
        // SAFETY: the GIL is held.
        unsafe { ffi::PyErr_Clear() };
    }
    none()
}

/// `changed(top)`: of each object that is another than at the last look its module, its class's name and its address, and whose class
/// was registered with it. `top` is the module whose import is under way, or None.
unsafe extern "C" fn changed(_: *mut PyObject, top: *mut PyObject) -> *mut PyObject {
    let was = trace::pause();
    // SAFETY: called by CPython with the GIL held.
    let result = unsafe {
        TIES.with_borrow_mut(|ties| {
            let ties = ties.get_or_insert_default();
            let top = Object::share(top).and_then(|top| text(&top)).map_or(NOBODY, |top| ties.owner(&top, false));
            let mut found = ties.look(top);
            found.dedup();
            let list = Object::own(ffi::PyList_New(0))?;
            for (owner, object, home) in found {
                let class =
                    CStr::from_ptr(word_of(ffi::Py_TYPE(object as *mut PyObject) as usize, print::NAME) as *const _);
                let owner = Object::decoded(ties.owners.get(owner)?.as_bytes())?;
                let class = Object::decoded(class.to_bytes())?;
                let address = Object::own(ffi::PyLong_FromSize_t(object))?;
                let home = home.and_then(|home| ties.owners.get(home)).map_or("", |home| home);
                let home = Object::decoded(home.as_bytes())?;
                let parts = [&owner, &class, &address, &home].map(Object::raw);
                let change = Object::own(ffi::PyTuple_Pack(4, parts[0], parts[1], parts[2], parts[3]))?;
                ffi::PyList_Append(list.raw(), change.raw());
            }
            Some(list)
        })
    };
    trace::resume(was);
    match result {
        Some(list) => list.into_raw(),
        None => none(),
    }
}
