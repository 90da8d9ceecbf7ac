//! Where CPython loads an extension: `_imp.create_dynamic` (`Python/import.c`).
//!
//! Owns the way in, through the entry of CPython's table that the function object points to. While the zygote warms modules the
//! extension is noted (`foreign`); in a run all code that sleeps is woken, and a library that must be new to this
//! process is a copy.

use super::{asleep, foreign};
use crate::capi::Object;
use crate::quiet::word;
use pyo3::ffi::{self, PyObject};
use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// `METH_FASTCALL` (`Include/methodobject.h`), which the stable ABI has had since 3.10 only.
const FASTCALL: i32 = 0x80;
/// `m_ml` of `PyCFunctionObject` (`Include/cpython/methodobject.h`): behind the object's head.
const METHOD: usize = 16;

static ORIGINAL: AtomicUsize = AtomicUsize::new(0);

type Fast = unsafe extern "C" fn(*mut PyObject, *const *mut PyObject, ffi::Py_ssize_t) -> *mut PyObject;
type Plain = unsafe extern "C" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;

/// In the zygote, once. `None` where the function is not as it should be.
pub fn attach() -> Option<()> {
    // SAFETY: the GIL is held; live objects. A function of this type points to an entry of CPython's table, which is not
    // constant.
    unsafe {
        let module = Object::share(ffi::PyDict_GetItemString(ffi::PyImport_GetModuleDict(), c"_imp".as_ptr()))?;
        let function = module.attribute(c"create_dynamic")?;
        (ffi::PyCFunction_CheckExact(function.raw()) != 0).then_some(())?;
        let entry = word(function.raw() as usize, METHOD) as *mut ffi::PyMethodDef;
        (CStr::from_ptr((*entry).ml_name) == c"create_dynamic").then_some(())?;
        let ours = match (*entry).ml_flags {
            FASTCALL => std::mem::transmute::<Fast, Plain>(create_fast),
            ffi::METH_VARARGS => create,
            _ => return None,
        };
        ORIGINAL.store((*entry).ml_meth.PyCFunction as usize, Relaxed);
        (*entry).ml_meth = ffi::PyMethodDefPointer { PyCFunction: ours };
    }
    Some(())
}

unsafe extern "C" fn create_fast(
    module: *mut PyObject,
    arguments: *const *mut PyObject,
    count: ffi::Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: stored by `attach`; called by CPython with so many arguments, the first of which is the specification.
    unsafe {
        let call = std::mem::transmute::<usize, Fast>(ORIGINAL.load(Relaxed));
        if count == 0 {
            return call(module, arguments, count);
        }
        let mut given = std::slice::from_raw_parts(arguments, count as usize).to_vec();
        around(given[0], |spec| {
            given[0] = spec;
            call(module, given.as_ptr(), count)
        })
    }
}

unsafe extern "C" fn create(module: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above; a tuple.
    unsafe {
        let call = std::mem::transmute::<usize, Plain>(ORIGINAL.load(Relaxed));
        if ffi::PyTuple_Size(arguments) == 0 {
            return call(module, arguments);
        }
        around(ffi::PyTuple_GetItem(arguments, 0), |spec| match Object::own(ffi::PyTuple_Pack(1, spec)) {
            Some(given) => call(module, given.raw()),
            None => std::ptr::null_mut(),
        })
    }
}

/// Loads what `spec` says, or a copy of it.
unsafe fn around(spec: *mut PyObject, call: impl FnOnce(*mut PyObject) -> *mut PyObject) -> *mut PyObject {
    // SAFETY: the GIL is held; a live object.
    unsafe {
        if !asleep::wake_all() {
            ffi::PyErr_NoMemory();
            return std::ptr::null_mut();
        }
        match foreign::instead(spec) {
            Ok(None) => call(spec),
            Ok(Some(instead)) => {
                let module = call(instead.spec.raw());
                instead.put_right(module);
                module
            }
            Err(()) => std::ptr::null_mut(),
        }
    }
}
