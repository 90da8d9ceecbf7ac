//! What a rehearsal watches: which of many objects have changed since the last look?
//!
//! Owns the list of them, and two functions for python/rehearse.py. A look happens before and after each import, and there
//! are thousands of objects; so what they hold is added up here.

use super::made::Held;
use super::print;
use super::rehearsal::{none, number, sequence};
use super::world::items;
use crate::capi::Object;
use crate::quiet::Layout;
use pyo3::ffi::PyObject;
use std::cell::RefCell;

struct Watched {
    layout: Layout,
    objects: Vec<(Object, Held)>,
}

thread_local!(static WATCHED: RefCell<Option<Watched>> = const { RefCell::new(None) });

/// In the child, before the first function is called.
pub fn begin(layout: &Layout) {
    WATCHED.set(Some(Watched { layout: *layout, objects: Vec::new() }));
}

/// Watches the objects of a list from now on. They are numbered in this order.
pub unsafe extern "C" fn watch(_: *mut PyObject, objects: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with the GIL held, and with a list; live objects.
    unsafe {
        let objects = Object::share(objects).and_then(|objects| items(&objects)).unwrap_or_default();
        WATCHED.with_borrow_mut(|watched| {
            if let Some(watched) = watched {
                let layout = watched.layout;
                let held = |object: Object| {
                    let at = object.raw() as usize;
                    let held = Held::by(at, print::kind_of(at), &layout);
                    (object, held)
                };
                watched.objects.extend(objects.into_iter().map(held));
            }
        });
    }
    none()
}

/// The numbers of those that have changed since the last call.
pub unsafe extern "C" fn changed(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let numbers = WATCHED.with_borrow(|watched| {
        let Some(watched) = watched else { return Vec::new() };
        let mut numbers = Vec::new();
        for (at, (object, held)) in watched.objects.iter().enumerate() {
            let object = object.raw() as usize;
            // SAFETY: the GIL is held; objects that are held here.
            unsafe {
                if !held.is_in(object, &watched.layout) {
                    held.take(object, &watched.layout);
                    numbers.push(at);
                }
            }
        }
        numbers
    });
    sequence(numbers.into_iter().map(number)).map_or_else(none, Object::into_raw)
}
