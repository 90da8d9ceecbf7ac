//! What CPython runs before it finalises an interpreter: `threading._shutdown`, and what `atexit` has
//! (`Py_FinalizeEx`, `Python/pylifecycle.c`).
//!
//! Owns doing that in CPython's place, so that what is left can be looked at.

use super::has_plain_keys;
use super::layout::{Layout, UNKNOWN};
use crate::capi::{self, Object, Symbol};
use crate::names;
use pyo3::ffi::{self, PyObject};
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

type Register = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

static ORIGINAL: AtomicUsize = AtomicUsize::new(0);
/// `atexit._run_exitfuncs`
static RUN: AtomicUsize = AtomicUsize::new(0);
/// The module that something was registered with; none, or [`SEVERAL`].
static REGISTERED: AtomicUsize = AtomicUsize::new(0);
const SEVERAL: usize = usize::MAX;

unsafe extern "C" {
    static mut PyFunction_Type: ffi::PyTypeObject;
    static mut PyBaseObject_Type: ffi::PyTypeObject;
}

/// Since 3.13.
static FORMAT_UNRAISABLE: Symbol = Symbol::new(c"PyErr_FormatUnraisable");

/// `atexit` gives its definition (`PyModuleDef`), whose table of methods is not constant: has us told what is registered.
///
/// # Safety
/// What `PyInit_atexit` returned.
pub unsafe fn watch(definition: *mut PyObject) {
    // SAFETY: the caller's promise; the table ends with a null name.
    unsafe {
        if definition.is_null()
            || ORIGINAL.load(Relaxed) != 0
            || ffi::Py_TYPE(definition) != &raw mut ffi::PyModuleDef_Type
        {
            return;
        }
        let mut entry = (*definition.cast::<ffi::PyModuleDef>()).m_methods;
        while !entry.is_null() && !(*entry).ml_name.is_null() {
            let (name, flags) = (CStr::from_ptr((*entry).ml_name), (*entry).ml_flags);
            if name == c"register" && flags == ffi::METH_VARARGS | ffi::METH_KEYWORDS {
                ORIGINAL.store((*entry).ml_meth.PyCFunctionWithKeywords as usize, Relaxed);
                (*entry).ml_meth = ffi::PyMethodDefPointer { PyCFunctionWithKeywords: register };
            }
            if name == c"_run_exitfuncs" && flags == ffi::METH_NOARGS {
                RUN.store((*entry).ml_meth.PyCFunction as usize, Relaxed);
            }
            entry = entry.add(1);
        }
    }
}

/// With what module something is registered.
pub fn registered() -> usize {
    REGISTERED.load(Relaxed)
}

/// What has been registered since is gone again.
pub fn forget(registered: usize) {
    REGISTERED.store(registered, Relaxed);
}

/// In a throw-away fork that is about to finalise its interpreter: has a function called that ends it. What start-up has
/// registered is older and so comes later, and what it wants to be called at the end of threads is not called.
pub fn call_at_end(name: &'static CStr, function: ffi::PyCFunction) -> Option<()> {
    let function = ffi::PyMethodDefPointer { PyCFunction: function };
    let function = capi::function(name, function, ffi::METH_NOARGS, std::ptr::null_mut())?;
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let modules = ffi::PyImport_GetModuleDict();
        if let Some(threading) = names::item(modules, &names::THREADING) {
            ffi::PyDict_DelItem(modules, names::THREADING.raw());
            // To free it would end what it holds.
            threading.into_raw();
        }
        let register = Object::own(ffi::PyImport_ImportModule(c"atexit".as_ptr()))?.attribute(c"register")?;
        let arguments = Object::own(ffi::PyTuple_Pack(1, function.raw()))?;
        Object::own(ffi::PyObject_CallObject(register.raw(), arguments.raw())).map(drop)
    }
}

unsafe extern "C" fn register(
    module: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let before = REGISTERED.load(Relaxed);
    let now = if before == 0 || before == module as usize { module as usize } else { SEVERAL };
    REGISTERED.store(now, Relaxed);
    // SAFETY: called by CPython with a tuple; the original was stored by `watch`.
    unsafe { std::mem::transmute::<usize, Register>(ORIGINAL.load(Relaxed))(module, arguments, keywords) }
}

/// Is it a Python function of this name, from this file of the standard library?
///
/// # Safety
/// The GIL is held; null or a live object. Runs no code of the user's, if nobody listens to audit events.
pub unsafe fn comes_from(function: *mut PyObject, library: &[u8], file: &str, name: &CStr) -> bool {
    let is_same = |code: &Object, attribute: &CStr, wanted: &[u8]| {
        let Ok(wanted) = CString::new(wanted) else { return false };
        // SAFETY: the GIL is held; live objects.
        code.attribute(attribute).is_some_and(|text| unsafe {
            ffi::PyUnicode_CheckExact(text.raw()) != 0
                && ffi::PyUnicode_CompareWithASCIIString(text.raw(), wanted.as_ptr()) == 0
        })
    };
    // SAFETY: the caller's promise.
    unsafe {
        if function.is_null() || ffi::Py_TYPE(function) != &raw mut PyFunction_Type {
            return false;
        }
        let code = Object::share(function).and_then(|function| function.attribute(c"__code__"));
        code.is_some_and(|code| {
            is_same(&code, c"co_name", name.to_bytes())
                && is_same(&code, c"co_filename", &[library, b"/", file.as_bytes()].concat())
        })
    }
}

/// A plain module that has been imported, and its namespace.
unsafe fn namespace(layout: &Layout, name: &names::Name) -> Option<*mut PyObject> {
    // SAFETY: the GIL is held; the table of modules, and a module's own table, are dictionaries.
    unsafe {
        let module = names::item(ffi::PyImport_GetModuleDict(), name)?;
        (ffi::PyModule_CheckExact(module.raw()) != 0).then_some(())?;
        let names = ffi::PyModule_GetDict(module.raw());
        has_plain_keys(layout, names).then_some(names)
    }
}

unsafe fn get(names: *mut PyObject, name: &CStr) -> *mut PyObject {
    // SAFETY: the GIL is held; a dictionary whose keys are plain.
    unsafe { ffi::PyDict_GetItemString(names, name.as_ptr()) }
}

/// Is there nothing to do?
pub fn is_idle() -> bool {
    // SAFETY: the GIL is held; the table of modules is a dictionary.
    let is_imported = unsafe { names::item(ffi::PyImport_GetModuleDict(), &names::THREADING) }.is_some();
    REGISTERED.load(Relaxed) == 0 && !is_imported
}

/// Can it be done here, and CPython be kept from doing it once more?
pub fn can_run(layout: &Layout, library: &[u8]) -> bool {
    // SAFETY: the GIL is held; the table of modules is a dictionary.
    let is_imported = unsafe { names::item(ffi::PyImport_GetModuleDict(), &names::THREADING) }.is_some();
    // SAFETY: the GIL is held; a module's table.
    let is_plain = || unsafe {
        let own = namespace(layout, &names::THREADING);
        own.is_some_and(|own| comes_from(get(own, c"_shutdown"), library, "threading.py", c"_shutdown"))
    };
    let registered = REGISTERED.load(Relaxed);
    layout.finalizing != UNKNOWN
        && (registered == 0 || registered != SEVERAL && RUN.load(Relaxed) != 0)
        && (!is_imported || is_plain())
}

/// Does it: `wait_for_thread_shutdown`, then `atexit_callfuncs` (`Modules/atexitmodule.c`).
pub fn run(layout: &Layout) {
    type NoArguments = unsafe extern "C" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;
    type Format = unsafe extern "C" fn(*const libc::c_char, ...);
    // SAFETY: the GIL is held; live objects; functions of these types; a flag in the interpreter's state, which lives on.
    unsafe {
        if layout.finalizing != 0 {
            (layout.finalizing as *mut u32).write(1);
        }
        if let Some(threading) = names::item(ffi::PyImport_GetModuleDict(), &names::THREADING) {
            let done = threading
                .attribute(c"_shutdown")
                .and_then(|f| Object::own(ffi::PyObject_CallObject(f.raw(), std::ptr::null_mut())));
            if done.is_none() {
                let format = FORMAT_UNRAISABLE.find();
                match format.is_null() {
                    true => ffi::PyErr_WriteUnraisable(threading.raw()),
                    false => std::mem::transmute::<*mut libc::c_void, Format>(format)(
                        c"Exception ignored on threading shutdown".as_ptr(),
                    ),
                }
            }
        }
        let module = REGISTERED.swap(0, Relaxed);
        if module != 0 {
            let run: NoArguments = std::mem::transmute(RUN.load(Relaxed));
            drop(Object::own(run(module as *mut PyObject, std::ptr::null_mut())));
            ffi::PyErr_Clear();
        }
    }
}

/// It has been done: CPython's own call of it is to do nothing. It would, if it had failed before, or if `threading` was
/// imported since.
pub fn settle(layout: &Layout) {
    // SAFETY: the GIL is held; a module's table. Any callable object that needs no arguments will do.
    unsafe {
        if let Some(own) = namespace(layout, &names::THREADING) {
            ffi::PyDict_SetItemString(own, c"_shutdown".as_ptr(), (&raw mut PyBaseObject_Type).cast());
        }
        ffi::PyErr_Clear();
    }
}
