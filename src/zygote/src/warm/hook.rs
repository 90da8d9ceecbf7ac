//! Where importlib's `_find_and_load` is called from C.
//!
//! Owns the entry that the function object has for such calls, and what happens there: while the zygote warms modules the
//! recorder is told, in a run a module is handed over or CPython's own import goes on. No attribute of importlib is another.

use super::learn;
use super::record::item;
use super::registrations::tell;
use super::row;
use super::{ask_first, hand_over};
use crate::capi::{self, Object};
use crate::quiet::{self, word};
use pyo3::ffi::{self, PyObject};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// CPython's own way to call a Python function.
static ORIGINAL: AtomicUsize = AtomicUsize::new(0);

type Vectorcall =
    unsafe extern "C-unwind" fn(*mut PyObject, *const *mut PyObject, usize, *mut PyObject) -> *mut PyObject;

/// The entry for calls of importlib's `_find_and_load`.
pub struct Hook {
    place: *mut usize,
}

impl Hook {
    /// `other` is a function that is called as CPython calls Python functions.
    pub fn new(other: &Object) -> Option<Hook> {
        let inner = capi::sys(c"modules").and_then(|modules| item(&modules, "_frozen_importlib"))?;
        let function = inner.attribute(c"_find_and_load")?;
        // SAFETY: live functions, and their type, which says where in them the entry lies (`tp_vectorcall_offset`, at its
        // place since 3.8: `Include/cpython/object.h`).
        unsafe {
            let class = ffi::Py_TYPE(function.raw()) as usize;
            (class == ffi::Py_TYPE(other.raw()) as usize).then_some(())?;
            let offset = word(class, 56);
            (16..256).contains(&offset).then_some(())?;
            let original = word(function.raw() as usize, offset);
            let home = quiet::home_of(original as *const libc::c_void);
            let is_usual = original == word(other.raw() as usize, offset)
                && home == quiet::home_of(ffi::Py_IsInitialized as *const () as *const libc::c_void);
            (is_usual && !home.is_null()).then_some(())?;
            ORIGINAL.store(original, Relaxed);
            Some(Hook { place: (function.raw() as usize + offset) as *mut usize })
        }
    }

    pub fn put(&self) {
        // SAFETY: found by `new`, in a function that lives on.
        unsafe { self.place.write(find_and_load as *const () as usize) }
    }

    pub fn take_away(&self) {
        // SAFETY: as above.
        unsafe { self.place.write(ORIGINAL.load(Relaxed)) }
    }
}

/// In place of `_find_and_load(name, import_)`.
unsafe extern "C-unwind" fn find_and_load(
    function: *mut PyObject,
    arguments: *const *mut PyObject,
    count: usize,
    keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: CPython's convention for such calls.
    unsafe {
        let original: Vectorcall = std::mem::transmute(ORIGINAL.load(Relaxed));
        if count & (usize::MAX >> 1) != 2 || !keywords.is_null() {
            return original(function, arguments, count, keywords);
        }
        let named = row::own_name(*arguments);
        let name = named.as_ref().map_or(*arguments, Object::raw);
        if let Some(may_be) = tell(|recorder| recorder.begin(name)) {
            let result = if may_be {
                // The callee may use the place before (PY_VECTORCALL_ARGUMENTS_OFFSET).
                let arguments = [std::ptr::null_mut(), name, *arguments.add(1)];
                original(function, arguments[1..].as_ptr(), count, keywords)
            } else {
                ffi::PyErr_SetString(ffi::PyExc_ImportError, c"not rehearsed, or not found pure".as_ptr());
                std::ptr::null_mut()
            };
            tell(|recorder| recorder.end(result));
            return result;
        }
        if let Some(module) = hand_over(*arguments) {
            return module.into_raw();
        }
        if ask_first(*arguments).is_none() {
            return std::ptr::null_mut();
        }
        let began = learn::import_begins();
        let result = original(function, arguments, count, keywords);
        learn::import_ends(began, *arguments, !result.is_null());
        result
    }
}
