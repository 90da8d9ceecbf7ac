//! Names that every run looks up.
//!
//! Owns them as interned strings, made before memory is captured. CPython's calls that take a C string make a new
//! object each time, and its cache of methods knows names by their address (`Objects/typeobject.c`, `_PyType_Lookup`):
//! a new one is searched for in all base classes, and a page of the cache is changed for it.

use crate::capi::Object;
use pyo3::ffi::{self, PyObject};
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// A name.
pub struct Name {
    text: &'static CStr,
    object: AtomicPtr<PyObject>,
}

impl Name {
    const fn new(text: &'static CStr) -> Name {
        Name { text, object: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The string, borrowed; null without memory, with an error set.
    pub fn raw(&self) -> *mut PyObject {
        let known = self.object.load(Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the GIL is held; a C string. The reference is kept for good.
        let made = unsafe { ffi::PyUnicode_InternFromString(self.text.as_ptr()) };
        self.object.store(made, Relaxed);
        made
    }
}

macro_rules! names {
    ($($name:ident $text:literal)*) => {
        $(pub static $name: Name = Name::new($text);)*
        static ALL: &[&Name] = &[$(&$name),*];
    };
}

names! {
    ARGV c"argv"
    BOOTSTRAP c"_frozen_importlib_external"
    BUFFER c"buffer"
    CACHED c"__cached__"
    CACHE_TAG c"cache_tag"
    CLOSED c"closed"
    CO_FILENAME c"co_filename"
    FILE c"__file__"
    FILL_CACHE c"_fill_cache"
    FILTERS c"filters"
    FIND_SPEC c"find_spec"
    FLAGS c"flags"
    FLUSH c"flush"
    FUNC c"__func__"
    GET_SPEC c"_get_spec"
    IGNORE_ENVIRONMENT c"ignore_environment"
    IMPLEMENTATION c"implementation"
    INSPECT c"inspect"
    ISOLATED c"isolated"
    LAST_TYPE c"last_type"
    LOADER c"__loader__"
    LOADERS c"_loaders"
    MAIN c"__main__"
    META_PATH c"meta_path"
    MODE c"mode"
    MODULES c"modules"
    NAME c"name"
    ORIG_ARGV c"orig_argv"
    PATH c"path"
    PATH_CACHE c"path_importer_cache"
    PATH_HOOKS c"path_hooks"
    RAW c"raw"
    SAFE_PATH c"safe_path"
    SOURCE_LOADER c"SourceFileLoader"
    STDERR c"stderr"
    STDIN c"stdin"
    STDOUT c"stdout"
    THREADING c"threading"
    UNDER_STDERR c"__stderr__"
    UNDER_STDIN c"__stdin__"
    UNDER_STDOUT c"__stdout__"
    UNDER_WARNINGS c"_warnings"
    WARNINGS c"warnings"
}

/// Makes them all.
pub fn prepare() {
    for name in ALL {
        name.raw();
    }
    space();
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
}

/// The namespace of `sys`, which is the one that `PySys_GetObject` looks into; it lives as long as the interpreter.
fn space() -> *mut PyObject {
    static SPACE: AtomicPtr<PyObject> = AtomicPtr::new(std::ptr::null_mut());
    let known = SPACE.load(Relaxed);
    if !known.is_null() {
        return known;
    }
    // SAFETY: the GIL is held; `sys` is there, and is a module.
    let found = unsafe { ffi::PyModule_GetDict(ffi::PyImport_AddModule(c"sys".as_ptr())) };
    SPACE.store(found, Relaxed);
    found
}

/// `sys.NAME`; `None` if there is no such attribute.
pub fn sys(name: &Name) -> Option<Object> {
    item(space(), name)
}

/// Sets `sys.NAME`.
pub fn set_sys(name: &Name, value: &Object) -> Option<()> {
    set_item(space(), name, value.raw())
}

/// What a dictionary has for a name.
pub fn item(dictionary: *mut PyObject, name: &Name) -> Option<Object> {
    // SAFETY: the GIL is held; a live dictionary or null; the answer is borrowed.
    unsafe {
        if dictionary.is_null() || name.raw().is_null() {
            return None;
        }
        let found = Object::share(ffi::PyDict_GetItemWithError(dictionary, name.raw()));
        if found.is_none() {
            ffi::PyErr_Clear();
        }
        found
    }
}

/// Sets what a dictionary has for a name.
pub fn set_item(dictionary: *mut PyObject, name: &Name, value: *mut PyObject) -> Option<()> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        (!dictionary.is_null() && !name.raw().is_null()).then_some(())?;
        (ffi::PyDict_SetItem(dictionary, name.raw(), value) == 0).then_some(())
    }
}

/// An attribute.
pub fn attribute(object: &Object, name: &Name) -> Option<Object> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        (!name.raw().is_null()).then_some(())?;
        Object::own(ffi::PyObject_GetAttr(object.raw(), name.raw()))
    }
}
