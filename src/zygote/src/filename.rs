//! One name for the script: `__file__`, its loader's path and the file name of all its code are one object.
//!
//! In a cold run CPython hands the same string to all of them (`Python/pythonrun.c`, _PyRun_SimpleFileObject), and who
//! pickles them sees it. What compiles a file by a C string makes a string of its own. Owns giving that one to the others, at
//! the last moment before the code runs: CPython tells audit hooks of it (`run_eval_code_obj`), and nobody has one yet.

use crate::capi::{self, Object};
use crate::names;
use crate::quiet::Layout;
use pyo3::ffi::{self, PyObject};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// The list of hooks for the time of a compilation, kept for good; null where the interpreter's place for it is not known.
static HOOKS: AtomicPtr<PyObject> = AtomicPtr::new(std::ptr::null_mut());
/// That place.
static PLACE: AtomicPtr<*mut PyObject> = AtomicPtr::new(std::ptr::null_mut());
/// Namespace and name of the script that is being compiled; 0 for none.
static SCRIPT: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// Makes what is needed.
pub fn prepare(layout: Option<&Layout>) {
    let Some(layout) = layout else { return };
    let call = ffi::PyMethodDefPointer { PyCFunction: told };
    // SAFETY: the GIL is held; live objects. Nobody sees the list or what is in it.
    unsafe {
        let made = capi::function(c"told", call, ffi::METH_VARARGS, std::ptr::null_mut()).and_then(|function| {
            ffi::PyObject_GC_UnTrack(function.raw().cast());
            let list = Object::own(ffi::PyList_New(0))?;
            ffi::PyObject_GC_UnTrack(list.raw().cast());
            (ffi::PyList_Append(list.raw(), function.raw()) == 0).then_some(list)
        });
        ffi::PyErr_Clear();
        if let Some(list) = made {
            PLACE.store(layout.audit_hooks as *mut *mut PyObject, Relaxed);
            HOOKS.store(list.into_raw(), Relaxed);
        }
    }
}

/// Does `compile`, which runs the code of `name` in the end. The code's name becomes the namespace's.
pub fn one<T>(globals: *mut PyObject, name: &Object, compile: impl FnOnce() -> T) -> T {
    let (hooks, place) = (HOOKS.load(Relaxed), PLACE.load(Relaxed));
    // SAFETY: found in the interpreter's state, which lives on; the GIL is held.
    if hooks.is_null() || !unsafe { *place }.is_null() {
        return compile();
    }
    SCRIPT[0].store(globals as usize, Relaxed);
    SCRIPT[1].store(name.raw() as usize, Relaxed);
    // SAFETY: as above.
    unsafe { *place = hooks };
    let done = compile();
    take_away();
    done
}

/// Nobody else can have put a hook there before code has run.
fn take_away() {
    let (hooks, place) = (HOOKS.load(Relaxed), PLACE.load(Relaxed));
    // SAFETY: as in `one`.
    unsafe {
        if *place == hooks {
            *place = std::ptr::null_mut();
        }
    }
}

/// An audit hook: `(event, arguments)`.
unsafe extern "C" fn told(_this: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    // SAFETY: the GIL is held; CPython's convention for such calls. Whatever is wrong stays as it is.
    unsafe {
        let (event, given) = (ffi::PyTuple_GetItem(arguments, 0), ffi::PyTuple_GetItem(arguments, 1));
        let is_exec = !event.is_null() && ffi::PyUnicode_CompareWithASCIIString(event, c"exec".as_ptr()) == 0;
        if is_exec && !given.is_null() {
            let code = Object::share(ffi::PyTuple_GetItem(given, 0));
            let name = Object::share(SCRIPT[1].load(Relaxed) as *mut PyObject);
            if let Some(own) = code.zip(name).and_then(|(code, name)| own(&code, &name)) {
                take_away();
                give(SCRIPT[0].load(Relaxed) as *mut PyObject, &own);
            }
        }
        ffi::PyErr_Clear();
        Object::share(ffi::Py_None()).map_or(std::ptr::null_mut(), Object::into_raw)
    }
}

/// The code's own string for this file name.
pub fn own(code: &Object, name: &Object) -> Option<Object> {
    let own = names::attribute(code, &names::CO_FILENAME);
    // SAFETY: the GIL is held; live objects, and strings are compared.
    unsafe {
        ffi::PyErr_Clear();
        own.filter(|own| {
            ffi::PyUnicode_CheckExact(own.raw()) != 0 && ffi::PyUnicode_Compare(own.raw(), name.raw()) == 0
        })
    }
}

/// Gives it to the namespace, where that has a name, and to the loader.
unsafe fn give(globals: *mut PyObject, own: &Object) {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        if names::item(globals, &names::FILE).is_some() {
            names::set_item(globals, &names::FILE, own.raw());
        }
        if let Some(loader) = names::item(globals, &names::LOADER) {
            ffi::PyObject_SetAttr(loader.raw(), names::PATH.raw(), own.raw());
        }
    }
}
