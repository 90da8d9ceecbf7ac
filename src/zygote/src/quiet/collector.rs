//! What `gc` lets a script do that the end would show.
//!
//! Owns the watch on `gc.freeze` and `gc.unfreeze`, which put the collector's lists into another order, and the questions
//! whether its last collections would be heard of: callbacks, debugging flags, `gc.garbage`.

use super::layout::{Layout, word};
use pyo3::ffi::{self, PyCFunction, PyObject};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

static UPSET: AtomicBool = AtomicBool::new(false);
static FREEZE: AtomicUsize = AtomicUsize::new(0);
static UNFREEZE: AtomicUsize = AtomicUsize::new(0);

/// Has us told of what upsets the order: functions are called by way of their table (`m_ml`), which is not constant.
///
/// # Safety
/// What `PyInit_gc` returned: the definition, or, before 3.10, the module.
pub unsafe fn watch(module: *mut PyObject) {
    // SAFETY: the caller's promise; the table ends with a null name.
    unsafe {
        let is_definition = !module.is_null() && ffi::Py_TYPE(module) == &raw mut ffi::PyModuleDef_Type;
        let definition = match is_definition {
            true => module.cast::<ffi::PyModuleDef>(),
            false if !module.is_null() && ffi::PyModule_Check(module) != 0 => ffi::PyModule_GetDef(module),
            false => std::ptr::null_mut(),
        };
        let mut entry = if definition.is_null() { std::ptr::null_mut() } else { (*definition).m_methods };
        while !entry.is_null() && !(*entry).ml_name.is_null() {
            let watched = match CStr::from_ptr((*entry).ml_name).to_bytes() {
                b"freeze" => Some((&FREEZE, freeze as PyCFunction)),
                b"unfreeze" => Some((&UNFREEZE, unfreeze as PyCFunction)),
                _ => None,
            };
            if let Some((original, ours)) = watched
                && original.load(Relaxed) == 0
                && (*entry).ml_flags == ffi::METH_NOARGS
            {
                original.store((*entry).ml_meth.PyCFunction as usize, Relaxed);
                (*entry).ml_meth = ffi::PyMethodDefPointer { PyCFunction: ours };
            }
            entry = entry.add(1);
        }
    }
}

unsafe extern "C" fn freeze(module: *mut PyObject, nothing: *mut PyObject) -> *mut PyObject {
    // SAFETY: stored by `watch`.
    unsafe { upset(&FREEZE, module, nothing) }
}

unsafe extern "C" fn unfreeze(module: *mut PyObject, nothing: *mut PyObject) -> *mut PyObject {
    // SAFETY: stored by `watch`.
    unsafe { upset(&UNFREEZE, module, nothing) }
}

unsafe fn upset(original: &AtomicUsize, module: *mut PyObject, nothing: *mut PyObject) -> *mut PyObject {
    UPSET.store(true, Relaxed);
    // SAFETY: the caller has stored a function of this type.
    unsafe { std::mem::transmute::<usize, PyCFunction>(original.load(Relaxed))(module, nothing) }
}

/// Is the order as it was, and would nobody hear of a collection?
pub fn is_plain(layout: &Layout) -> bool {
    let is_watched = [&FREEZE, &UNFREEZE].iter().all(|original| original.load(Relaxed) != 0);
    // SAFETY: found in the collector's state, which lives on: lists of its own, or null.
    unsafe {
        let is_empty = |place: usize| {
            let list = word(place, 0) as *mut PyObject;
            list.is_null() || ffi::PyList_Size(list) == 0
        };
        is_watched
            && !UPSET.load(Relaxed)
            && layout.gc_debug != 0
            && (layout.gc_debug as *const i32).read() == 0
            && is_empty(layout.gc_callbacks)
            && is_empty(layout.gc_garbage)
    }
}
