//! Stand-ins while modules are imported into the zygote.
//!
//! Owns what takes the place of `__import__`, which tells the recorder who uses
//! whom, and of functions that register something for the rest of the process
//! (`os.register_at_fork`, `atexit.register`): those calls are noted, and made at the hand-over.

use super::node::text;
use super::record::{Recorder, item};
use crate::capi::{self, Object};
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

static IMPORT_MODULE: AtomicPtr<PyObject> = AtomicPtr::new(std::ptr::null_mut());

static ATEXIT: AtomicPtr<Replaced> = AtomicPtr::new(std::ptr::null_mut());
static IMPORTLIB: AtomicPtr<Replaced> = AtomicPtr::new(std::ptr::null_mut());

type Function = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

fn function(name: &'static CStr, function: Function) -> Option<Object> {
    let function = ffi::PyMethodDefPointer { PyCFunctionWithKeywords: function };
    capi::function(name, function, ffi::METH_VARARGS | ffi::METH_KEYWORDS, std::ptr::null_mut())
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
            // Extensions by Cython remember `__import__` where nobody sees it; it does what the original does. So does `import_module`.
            replace_in_modules(self.ours.raw(), self.original.raw());
            ffi::Py_REFCNT(self.ours.raw()) == 1 || [c"__import__", c"import_module"].contains(&self.name)
        }
    }
}

/// Modules that have it by a name get the original.
unsafe fn replace_in_modules(object: *mut PyObject, original: *mut PyObject) {
    // SAFETY: the GIL is held; dictionaries, which nothing changes meanwhile.
    unsafe {
        let (mut at, mut key, mut module) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        while ffi::PyDict_Next(ffi::PyImport_GetModuleDict(), &mut at, &mut key, &mut module) != 0 {
            if ffi::PyModule_Check(module) == 0 {
                continue;
            }
            let (mut place, mut name, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            while ffi::PyDict_Next(ffi::PyModule_GetDict(module), &mut place, &mut name, &mut value) != 0 {
                if value == object {
                    // The key is there: the dictionary keeps its shape.
                    ffi::PyDict_SetItem(ffi::PyModule_GetDict(module), name, original);
                }
            }
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
            for name in ["atexit", "importlib"] {
                if let Some(module) = item(&modules, name) {
                    replace_in(name, &module);
                }
            }
            Some(StandIns(all))
        }
    }

    /// Takes them away. False if somebody has kept one.
    pub fn take_away(self) -> bool {
        let mut all = self.0;
        for late in [&ATEXIT, &IMPORTLIB] {
            let late = late.swap(std::ptr::null_mut(), Relaxed);
            if !late.is_null() {
                // SAFETY: made by `replace_in`, taken once.
                all.push(*unsafe { Box::from_raw(late) });
            }
        }
        // All of them, whatever one says.
        let clean: Vec<bool> = all.into_iter().rev().map(Replaced::restore).collect();
        clean.into_iter().all(|clean| clean)
    }
}

/// `atexit` or `importlib` is there, since now or since start-up.
pub fn replace_in(name: &str, module: &Object) {
    let (function, keep, place) = match name {
        "atexit" => (function(c"register", register_at_exit), &AT_EXIT, &ATEXIT),
        "importlib" => (function(c"import_module", import_module), &IMPORT_MODULE, &IMPORTLIB),
        _ => return,
    };
    let entry = if name == "atexit" { c"register" } else { c"import_module" };
    // SAFETY: the GIL is held; a module.
    let names = unsafe { Object::share(ffi::PyModule_GetDict(module.raw())) };
    let replaced = names.zip(function).and_then(|(names, ours)| Replaced::new(names, entry, ours, keep));
    if let Some(replaced) = replaced {
        place.store(Box::into_raw(Box::new(replaced)), Relaxed);
    }
}

/// `importlib.import_module` calls importlib's `_find_and_load` from Python, which may not be seen: the interpreter does not go by a
/// function's entry for calls once it knows the function.
unsafe extern "C" fn import_module(
    _: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython: a tuple, a dictionary or null.
    unsafe {
        if tell(|_| ()).is_some()
            && let Some(module) = find_and_load(arguments, keywords)
        {
            return module.into_raw();
        }
        match ffi::PyErr_Occurred().is_null() {
            true => ffi::PyObject_Call(IMPORT_MODULE.load(Relaxed), arguments, keywords),
            false => std::ptr::null_mut(),
        }
    }
}

/// None without an exception for what it does not understand.
unsafe fn find_and_load(arguments: *mut PyObject, keywords: *mut PyObject) -> Option<Object> {
    // SAFETY: as in `import_module`.
    unsafe {
        let argument = |at: isize, name: &CStr| argument(arguments, keywords, at, name);
        let mut name = text(&argument(0, c"name")?)?;
        let level = name.bytes().take_while(|&b| b == b'.').count();
        if level > 0 {
            let mut package = text(&argument(1, c"package")?)?;
            for _ in 1..level {
                package = package.rsplit_once('.')?.0.to_owned();
            }
            name = format!("{package}.{}", &name[level..]);
        }
        (!name.is_empty() && !name.ends_with('.')).then_some(())?;
        let modules = Object::share(ffi::PyImport_GetModuleDict())?;
        let inner = item(&modules, "_frozen_importlib")?;
        let (load, import) = (inner.attribute(c"_find_and_load")?, inner.attribute(c"_gcd_import")?);
        let name = Object::decoded(name.as_bytes())?;
        let arguments = Object::own(ffi::PyTuple_Pack(2, name.raw(), import.raw()))?;
        Object::own(ffi::PyObject_CallObject(load.raw(), arguments.raw()))
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

/// An argument, by its place or its name.
unsafe fn argument(arguments: *mut PyObject, keywords: *mut PyObject, at: isize, name: &CStr) -> Option<Object> {
    // SAFETY: a tuple, and a dictionary or null.
    unsafe {
        if at < ffi::PyTuple_Size(arguments) {
            Object::share(ffi::PyTuple_GetItem(arguments, at))
        } else if keywords.is_null() {
            None
        } else {
            Object::share(ffi::PyDict_GetItemString(keywords, name.as_ptr()))
        }
    }
}

/// Tells who was used by a call of `__import__`.
unsafe fn note(arguments: *mut PyObject, keywords: *mut PyObject) -> Option<()> {
    // SAFETY: as in `import`.
    unsafe {
        let argument = |at: isize, name: &CStr| argument(arguments, keywords, at, name);
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
