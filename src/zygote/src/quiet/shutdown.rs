//! What CPython runs before it finalises an interpreter: `threading._shutdown`, and what `atexit` has
//! (`Py_FinalizeEx`, `Python/pylifecycle.c`).
//!
//! Owns the proof that neither does anything that can be seen. There is one thread, so nothing is to be joined; and of all
//! that may be registered only `logging.shutdown` is known, which flushes and closes handlers: those that write to the
//! standard streams, which are flushed anyway, have nothing else to do.

use super::kinds::type_of;
use super::layout::{Layout, word};
use super::{Streams, ground, has_plain_keys};
use crate::capi::Object;
use crate::names;
use pyo3::ffi::{self, PyObject};
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

type Register = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

/// `tp_name` (`Include/cpython/object.h`).
const NAME: usize = 24;

static ORIGINAL: AtomicUsize = AtomicUsize::new(0);
/// `logging.shutdown`, if it is registered; and whether something is that is not known.
static LOGGING: AtomicUsize = AtomicUsize::new(0);
static UNKNOWN: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    static mut PyFunction_Type: ffi::PyTypeObject;
    fn PyObject_GenericGetDict(object: *mut PyObject, nothing: *mut libc::c_void) -> *mut PyObject;
}

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
            let takes_keywords = (*entry).ml_flags == ffi::METH_VARARGS | ffi::METH_KEYWORDS;
            if CStr::from_ptr((*entry).ml_name) == c"register" && takes_keywords {
                ORIGINAL.store((*entry).ml_meth.PyCFunctionWithKeywords as usize, Relaxed);
                (*entry).ml_meth = ffi::PyMethodDefPointer { PyCFunctionWithKeywords: register };
            }
            entry = entry.add(1);
        }
    }
}

/// What has been registered so far is gone again.
pub fn forget() {
    LOGGING.store(0, Relaxed);
    UNKNOWN.store(false, Relaxed);
}

unsafe extern "C" fn register(
    module: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with a tuple; the original was stored by `watch`.
    unsafe {
        let count = ffi::PyTuple_Size(arguments);
        let has_more = count != 1 || !keywords.is_null() && ffi::PyDict_Size(keywords) != 0;
        let function = if has_more { std::ptr::null_mut() } else { ffi::PyTuple_GetItem(arguments, 0) };
        let is_known = ground()
            .is_some_and(|ground| comes_from(function, ground.libraries.library(), "logging/__init__.py", c"shutdown"));
        let before = LOGGING.load(Relaxed);
        match is_known && (before == 0 || before == function as usize) {
            true => LOGGING.store(function as usize, Relaxed),
            false => UNKNOWN.store(true, Relaxed),
        }
        ffi::PyErr_Clear();
        std::mem::transmute::<usize, Register>(ORIGINAL.load(Relaxed))(module, arguments, keywords)
    }
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

/// What `concurrent.futures.thread` registers wakes the workers of executors; without any it does nothing.
unsafe fn is_idle(layout: &Layout, library: &[u8], registered: *mut PyObject) -> bool {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let given = Object::share(registered);
        let part = |name| given.as_ref().and_then(|given| given.attribute(name));
        let is_empty = |value: Option<Object>, size: unsafe extern "C" fn(*mut PyObject) -> ffi::Py_ssize_t| {
            value.is_some_and(|value| size(value.raw()) == 0)
        };
        let partial = CStr::from_ptr(word(type_of(registered as usize), NAME) as *const libc::c_char);
        if partial != c"functools.partial"
            || !is_empty(part(c"args"), ffi::PyTuple_Size)
            || !is_empty(part(c"keywords"), ffi::PyDict_Size)
        {
            ffi::PyErr_Clear();
            return false;
        }
        let Some(function) = part(c"func") else { return false };
        let globals = function.attribute(c"__globals__");
        ffi::PyErr_Clear();
        let Some(globals) = globals.filter(|globals| has_plain_keys(layout, globals.raw())) else { return false };
        comes_from(function.raw(), library, "concurrent/futures/thread.py", c"_python_exit")
            && Object::share(get(globals.raw(), c"_threads_queues")).is_some_and(|queues| {
                // A WeakKeyDictionary.
                let data = queues.attribute(c"data");
                ffi::PyErr_Clear();
                data.is_some_and(|data| ffi::PyDict_CheckExact(data.raw()) != 0 && ffi::PyDict_Size(data.raw()) == 0)
            })
    }
}

/// Would `threading._shutdown` do nothing?
pub fn threading_is_idle(layout: &Layout, library: &[u8]) -> bool {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        if names::item(ffi::PyImport_GetModuleDict(), &names::THREADING).is_none() {
            return true;
        }
        let Some(own) = namespace(layout, &names::THREADING) else { return false };
        let (registered, main, class) =
            (get(own, c"_threading_atexits"), get(own, c"_main_thread"), get(own, c"_MainThread"));
        let comes = |function, name| comes_from(function, library, "threading.py", name);
        !registered.is_null()
            && ffi::PyList_CheckExact(registered) != 0
            && (0..ffi::PyList_Size(registered)).all(|at| is_idle(layout, library, ffi::PyList_GetItem(registered, at)))
            && comes(get(own, c"_shutdown"), c"_shutdown")
            && !main.is_null()
            && ffi::Py_TYPE(main) as *mut PyObject == class
            && Object::share(class).is_some_and(|class| {
                let stop = class.attribute(c"_stop");
                ffi::PyErr_Clear();
                // Since 3.13 there is none.
                stop.is_none_or(|stop| comes(stop.raw(), c"_stop"))
            })
    }
}

/// Would what `atexit` has do nothing?
pub fn atexit_is_idle(layout: &Layout, library: &[u8], streams: &Streams) -> bool {
    ORIGINAL.load(Relaxed) != 0
        && !UNKNOWN.load(Relaxed)
        // SAFETY: the GIL is held.
        && (LOGGING.load(Relaxed) == 0 || unsafe { logging_is_idle(layout, library, streams) }.unwrap_or(false))
}

unsafe fn is_plain_lock(lock: *mut PyObject) -> bool {
    // SAFETY: null, or a live object, and its type's name.
    unsafe {
        lock == ffi::Py_None()
            || !lock.is_null()
                && CStr::from_ptr(word(type_of(lock as usize), NAME) as *const libc::c_char) == c"_thread.RLock"
    }
}

/// Would `logging.shutdown` write nothing but what the standard streams hold?
unsafe fn logging_is_idle(layout: &Layout, library: &[u8], streams: &Streams) -> Option<bool> {
    const CLASSES: [&CStr; 3] = [c"StreamHandler", c"_StderrHandler", c"NullHandler"];
    const METHODS: [&CStr; 4] = [c"flush", c"close", c"acquire", c"release"];
    let comes = |function, name| unsafe { comes_from(function, library, "logging/__init__.py", name) };
    // SAFETY: the GIL is held; live objects, whose classes are CPython's own.
    unsafe {
        let own = namespace(layout, &names::LOGGING)?;
        let shutdown = get(own, c"shutdown");
        (comes(shutdown, c"shutdown") && shutdown as usize == LOGGING.load(Relaxed)).then_some(())?;
        // What closing a handler takes meanwhile.
        for name in [c"_acquireLock", c"_releaseLock"] {
            let function = get(own, name);
            // Since 3.13 there are none.
            (function.is_null() || comes(function, name)).then_some(())?;
        }
        is_plain_lock(get(own, c"_lock")).then_some(())?;
        let defaults = Object::share(shutdown)?.attribute(c"__defaults__")?;
        (ffi::PyTuple_CheckExact(defaults.raw()) != 0 && ffi::PyTuple_Size(defaults.raw()) == 1).then_some(())?;
        let handlers = ffi::PyTuple_GetItem(defaults.raw(), 0);
        (ffi::PyList_CheckExact(handlers) != 0).then_some(())?;
        for at in 0..ffi::PyList_Size(handlers) {
            let reference = ffi::PyList_GetItem(handlers, at);
            (ffi::PyWeakref_Check(reference) != 0).then_some(())?;
            let handler = word(reference as usize, layout.referent) as *mut PyObject;
            if handler == ffi::Py_None() {
                continue;
            }
            let class = ffi::Py_TYPE(handler) as *mut PyObject;
            let name = CLASSES.into_iter().find(|name| get(own, name) == class)?;
            (ffi::Py_TYPE(class) == &raw mut ffi::PyType_Type).then_some(())?;
            let class = Object::share(class)?;
            for method in METHODS {
                comes(class.attribute(method)?.raw(), method).then_some(())?;
            }
            class.attribute(c"flushOnClose").is_none().then_some(())?;
            ffi::PyErr_Clear();
            if name == c"_StderrHandler" {
                let get_stream = class.attribute(c"stream")?.attribute(c"fget")?;
                comes(get_stream.raw(), c"stream").then_some(())?;
            }
            let attributes = Object::own(PyObject_GenericGetDict(handler, std::ptr::null_mut()))?;
            has_plain_keys(layout, attributes.raw()).then_some(())?;
            let is_odd = |name: &CStr| !get(attributes.raw(), name).is_null();
            (!METHODS.into_iter().any(is_odd) && !is_odd(c"flushOnClose")).then_some(())?;
            is_plain_lock(get(attributes.raw(), c"lock")).then_some(())?;
            if name == c"StreamHandler" {
                streams.have(get(attributes.raw(), c"stream") as usize).then_some(())?;
            }
        }
    }
    Some(true)
}
