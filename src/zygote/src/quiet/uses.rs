//! Uses after which nobody knows what an end does.
//!
//! What is called through `ctypes` may do anything, and a `numpy.nditer` that was not closed complains when it goes. Owns being
//! told of such uses: the slot by which instances of a class are made (`tp_new`, `Include/cpython/object.h`), and the
//! entries of functions.

use super::layout::word;
use crate::capi::Object;
use pyo3::ffi::{self, PyObject};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// `tp_new`, behind slots whose places are measured (`warm::leave`).
const NEW: usize = 312;
/// `m_ml` of `PyCFunctionObject` (`Include/cpython/methodobject.h`).
const METHOD: usize = 16;

type New = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

static HAPPENED: AtomicBool = AtomicBool::new(false);
/// Of each class that is watched, and of what is made from it: the function that made its instances.
static ORIGINALS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());
/// Something could not be watched.
static IS_BLIND: AtomicBool = AtomicBool::new(false);

/// Has one of them been used?
pub fn happened() -> bool {
    HAPPENED.load(Relaxed) || IS_BLIND.load(Relaxed)
}

/// A run begins.
pub fn begin() {
    HAPPENED.store(false, Relaxed);
}

/// In the zygote: instances of this class are told of, and those of classes that are made from it.
///
/// # Safety
/// The GIL is held; the class lives for ever.
pub unsafe fn watch_class(class: &Object) {
    // SAFETY: the caller's promise; classes, and their slot.
    unsafe {
        if ffi::PyType_Check(class.raw()) == 0 {
            return;
        }
        let original = word(class.raw() as usize, NEW);
        if original == 0 || original == new as *const () as usize {
            return;
        }
        let mut todo = vec![class.raw()];
        while let Some(class) = todo.pop() {
            let place = (class as usize + NEW) as *mut usize;
            if *place == original {
                ORIGINALS.lock().unwrap_or_else(|e| e.into_inner()).push((class as usize, original));
                place.write(new as *const () as usize);
            }
            let below = Object::share(class)
                .and_then(|class| class.attribute(c"__subclasses__"))
                .and_then(|below| Object::own(ffi::PyObject_CallObject(below.raw(), std::ptr::null_mut())));
            let Some(below) = below else { continue };
            todo.extend((0..ffi::PyList_Size(below.raw())).map(|at| ffi::PyList_GetItem(below.raw(), at)));
        }
    }
}

unsafe extern "C" fn new(class: *mut PyObject, arguments: *mut PyObject, keywords: *mut PyObject) -> *mut PyObject {
    HAPPENED.store(true, Relaxed);
    // SAFETY: the GIL is held. The class is watched, or made from one that is.
    unsafe {
        let original = ORIGINALS.lock().unwrap_or_else(|e| e.into_inner()).iter().find_map(|&(known, original)| {
            (ffi::PyType_IsSubtype(class.cast(), known as *mut ffi::PyTypeObject) != 0).then_some(original)
        });
        match original {
            Some(original) => std::mem::transmute::<usize, New>(original)(class, arguments, keywords),
            None => {
                ffi::PyErr_SetString(ffi::PyExc_SystemError, c"a class has lost its base".as_ptr());
                std::ptr::null_mut()
            }
        }
    }
}

/// How many functions can be watched.
const PLACES: usize = 4;
static FUNCTIONS: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];
const WRAPPERS: [New; PLACES] = [call::<0>, call::<1>, call::<2>, call::<3>];

/// In the zygote: calls of this function of a module's are told of.
///
/// # Safety
/// The GIL is held; the function's module lives for ever.
pub unsafe fn watch_function(function: &Object) {
    // SAFETY: an exact function of C's points to an entry of its module's table, which is not constant.
    unsafe {
        if ffi::PyCFunction_CheckExact(function.raw()) == 0 {
            return;
        }
        let entry = word(function.raw() as usize, METHOD) as *mut ffi::PyMethodDef;
        let (original, flags) = ((*entry).ml_meth.PyCFunction as usize, (*entry).ml_flags);
        if WRAPPERS.iter().any(|wrapper| *wrapper as usize == original) {
            return;
        }
        let place = FUNCTIONS.iter().position(|place| place.load(Relaxed) == 0);
        match place.filter(|_| flags & !ffi::METH_KEYWORDS == ffi::METH_VARARGS) {
            Some(place) => {
                FUNCTIONS[place].store(original, Relaxed);
                (*entry).ml_meth = ffi::PyMethodDefPointer { PyCFunctionWithKeywords: WRAPPERS[place] };
            }
            None => IS_BLIND.store(true, Relaxed),
        }
    }
}

/// Without `METH_KEYWORDS` the third is nothing, and not looked at.
unsafe extern "C" fn call<const PLACE: usize>(
    module: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    HAPPENED.store(true, Relaxed);
    // SAFETY: stored by `watch_function`; called by CPython.
    unsafe { std::mem::transmute::<usize, New>(FUNCTIONS[PLACE].load(Relaxed))(module, arguments, keywords) }
}
