//! Stand-ins while modules are imported into the zygote.
//!
//! Owns what takes the place of `__import__`, which tells the recorder who uses
//! whom, and of functions that register something for the rest of the process
//! (`os.register_at_fork`, `atexit.register`): those calls are noted, and made at the hand-over.

use super::node::text;
use super::record::{Recorder, item};
use crate::capi::Object;
use pyo3::ffi::{self, PyObject};
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

static RECORDER: AtomicPtr<Recorder<'static>> = AtomicPtr::new(std::ptr::null_mut());
static IMPORT: AtomicPtr<PyObject> = AtomicPtr::new(std::ptr::null_mut());
static AT_FORK: AtomicPtr<PyObject> = AtomicPtr::new(std::ptr::null_mut());
static AT_EXIT: AtomicPtr<PyObject> = AtomicPtr::new(std::ptr::null_mut());

/// Whom the stand-ins tell; null ends it.
pub fn set_recorder(recorder: *mut Recorder<'static>) {
    RECORDER.store(recorder, Relaxed);
}

/// Tells the recorder.
pub fn tell<T>(what: impl FnOnce(&mut Recorder<'static>) -> T) -> Option<T> {
    // SAFETY: set for the time of the recording; one thread, and `what` runs no Python code.
    unsafe { RECORDER.load(Relaxed).as_mut() }.map(what)
}

/// An entry of a namespace that is replaced for a while.
struct Replaced {
    dictionary: Object,
    name: &'static CStr,
    original: Object,
    ours: Object,
}

/// All of them.
pub struct StandIns(Vec<Replaced>);

static ATEXIT: AtomicPtr<Replaced> = AtomicPtr::new(std::ptr::null_mut());

type Function = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

fn function(name: &'static CStr, function: Function) -> Option<Object> {
    let method = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionWithKeywords: function },
        ml_flags: ffi::METH_VARARGS | ffi::METH_KEYWORDS,
        ml_doc: std::ptr::null(),
    }));
    // SAFETY: the GIL is held; the method lives for ever.
    unsafe { Object::own(ffi::PyCFunction_NewEx(method, std::ptr::null_mut(), std::ptr::null_mut())) }
}

impl Replaced {
    fn new(dictionary: Object, name: &'static CStr, ours: Object, keep: &AtomicPtr<PyObject>) -> Option<Replaced> {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let original = Object::share(ffi::PyDict_GetItemString(dictionary.raw(), name.as_ptr()))?;
            keep.store(original.raw(), Relaxed);
            (ffi::PyDict_SetItemString(dictionary.raw(), name.as_ptr(), ours.raw()) == 0).then_some(())?;
            Some(Replaced { dictionary, name, original, ours })
        }
    }

    /// Puts the original back. False if somebody has kept the stand-in.
    fn restore(self) -> bool {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            ffi::PyDict_SetItemString(self.dictionary.raw(), self.name.as_ptr(), self.original.raw());
            ffi::Py_REFCNT(self.ours.raw()) == 1
        }
    }
}

impl StandIns {
    /// Before the recorder looks at anything.
    pub fn put() -> Option<StandIns> {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let modules = Object::share(ffi::PyImport_GetModuleDict())?;
            let builtins = Object::share(ffi::PyEval_GetBuiltins())?;
            let mut all = vec![Replaced::new(builtins, c"__import__", function(c"__import__", import)?, &IMPORT)?];
            for module in ["posix", "os"] {
                let names = Object::share(ffi::PyModule_GetDict(item(&modules, module)?.raw()))?;
                let ours = function(c"register_at_fork", register_at_fork)?;
                all.push(Replaced::new(names, c"register_at_fork", ours, &AT_FORK)?);
            }
            if let Some(atexit) = item(&modules, "atexit") {
                replace_atexit(&atexit);
            }
            Some(StandIns(all))
        }
    }

    /// Takes them away. False if somebody has kept one.
    pub fn take_away(self) -> bool {
        let atexit = ATEXIT.swap(std::ptr::null_mut(), Relaxed);
        let mut all = self.0;
        if !atexit.is_null() {
            // SAFETY: made by `replace_atexit`, taken once.
            all.push(*unsafe { Box::from_raw(atexit) });
        }
        // All of them, whatever one says.
        let clean: Vec<bool> = all.into_iter().rev().map(Replaced::restore).collect();
        clean.into_iter().all(|clean| clean)
    }
}

/// `atexit` is there, since now or since start-up.
pub fn replace_atexit(module: &Object) {
    // SAFETY: the GIL is held; a module.
    let names = unsafe { Object::share(ffi::PyModule_GetDict(module.raw())) };
    let replaced = names
        .zip(function(c"register", register_at_exit))
        .and_then(|(names, ours)| Replaced::new(names, c"register", ours, &AT_EXIT));
    if let Some(replaced) = replaced {
        ATEXIT.store(Box::into_raw(Box::new(replaced)), Relaxed);
    }
}

unsafe extern "C" fn import(_: *mut PyObject, arguments: *mut PyObject, keywords: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython: a tuple, a dictionary or null.
    unsafe {
        tell(|recorder| recorder.asked());
        let result = ffi::PyObject_Call(IMPORT.load(Relaxed), arguments, keywords);
        if !result.is_null() && note(arguments, keywords).is_none() {
            tell(|recorder| recorder.refuse("it imports in a way of its own"));
        }
        result
    }
}

/// Tells who was used by a call of `__import__`.
unsafe fn note(arguments: *mut PyObject, keywords: *mut PyObject) -> Option<()> {
    // SAFETY: as in `import`.
    unsafe {
        let given = ffi::PyTuple_Size(arguments);
        let argument = |at: isize, name: &CStr| {
            if at < given {
                Object::share(ffi::PyTuple_GetItem(arguments, at))
            } else if keywords.is_null() {
                None
            } else {
                Object::share(ffi::PyDict_GetItemString(keywords, name.as_ptr()))
            }
        };
        let level = argument(4, c"level").map_or(0, |level| ffi::PyLong_AsLong(level.raw()));
        tell_used(&argument(0, c"name")?, argument(1, c"globals"), argument(3, c"fromlist"), level)
    }
}

/// Tells who was used by an import: the module, the packages it is in, and what was taken from it.
///
/// # Safety
/// The GIL is held.
pub unsafe fn tell_used(name: &Object, globals: Option<Object>, fromlist: Option<Object>, level: i64) -> Option<()> {
    // SAFETY: the caller's promise; live objects.
    unsafe {
        let mut name = text(name)?;
        if level > 0 {
            let mut package = text(&item(&globals?, "__package__")?)?;
            for _ in 1..level {
                package = package.rsplit_once('.')?.0.to_owned();
            }
            name = if name.is_empty() { package } else { format!("{package}.{name}") };
        }
        let mut names = Vec::new();
        let mut end = 0;
        while let Some(dot) = name[end..].find('.') {
            names.push(name[..end + dot].to_owned());
            end += dot + 1;
        }
        names.push(name.clone());
        if let Some(wanted) = fromlist.filter(|l| l.raw() != ffi::Py_None()) {
            for at in 0..ffi::PySequence_Size(wanted.raw()) {
                let item = Object::own(ffi::PySequence_GetItem(wanted.raw(), at))?;
                names.push(format!("{name}.{}", text(&item)?));
            }
        }
        tell(|recorder| names.iter().for_each(|name| recorder.used(name)));
        Some(())
    }
}

unsafe fn noted(function: &AtomicPtr<PyObject>, arguments: *mut PyObject, keywords: *mut PyObject) -> Option<()> {
    // SAFETY: called by CPython: a tuple, a dictionary or null; the function lives on.
    unsafe {
        let function = Object::share(function.load(Relaxed))?;
        let (arguments, keywords) = (Object::share(arguments)?, Object::share(keywords));
        tell(|recorder| recorder.call(function, arguments, keywords))
    }
}

unsafe extern "C" fn register_at_fork(
    _: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: None, with a reference for the caller.
    unsafe {
        noted(&AT_FORK, arguments, keywords);
        let none = ffi::Py_None();
        ffi::Py_INCREF(none);
        none
    }
}

/// Gives the function back, as `atexit.register` does.
unsafe extern "C" fn register_at_exit(
    _: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython; a borrowed item that gets a reference for the caller.
    unsafe {
        noted(&AT_EXIT, arguments, keywords);
        let function = ffi::PyTuple_GetItem(arguments, 0);
        ffi::Py_XINCREF(function);
        function
    }
}
