//! What is a module: exact ones, and those of a class of their own.
//!
//! Owns which classes go with a hand-over. A module may give itself another class, made of Python code, for the sake of
//! properties (`sys.modules[__name__].__class__ = ...`), or put an instance of such a class in its place. Its namespace is read
//! and set without asking that class, so that must not have a say there.

use super::node::Node;
use super::world::class_namespace;
use crate::capi::Object;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::ffi::CStr;

unsafe extern "C" {
    static mut PyFunction_Type: PyTypeObject;
    fn PyFunction_GetGlobals(function: *mut PyObject) -> *mut PyObject;
}

/// What a class has a say in with one of these, the import system or a hand-over goes by.
const IN_THE_WAY: [&CStr; 13] = [
    c"__getattribute__",
    c"__setattr__",
    c"__delattr__",
    c"__del__",
    c"__slots__",
    c"__dict__",
    c"__class__",
    c"__spec__",
    c"__loader__",
    c"__path__",
    c"__name__",
    c"__package__",
    c"__file__",
];

/// A module's namespace, borrowed; null if it is none, or if its class has a say in what a hand-over goes by.
///
/// # Safety
/// The GIL is held; a live object.
pub unsafe fn namespace(module: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        let is_module = ffi::PyModule_CheckExact(module) != 0
            || (ffi::PyModule_Check(module) != 0 && is_plain(ffi::Py_TYPE(module)));
        if is_module { ffi::PyModule_GetDict(module) } else { std::ptr::null_mut() }
    }
}

/// Is it a class made of Python code, as are its bases, that leaves alone what matters?
unsafe fn is_plain(class: *mut PyTypeObject) -> bool {
    // SAFETY: live classes.
    unsafe {
        let bases = Object::share(class.cast()).and_then(|class| class.attribute(c"__mro__"));
        let Some(bases) = bases else { return false };
        (0..ffi::PyTuple_Size(bases.raw())).all(|at| {
            let base = ffi::PyTuple_GetItem(bases.raw(), at);
            base == (&raw mut ffi::PyModule_Type).cast()
                || base == (&raw mut ffi::PyBaseObject_Type).cast()
                || (ffi::Py_TYPE(base) == &raw mut ffi::PyType_Type
                    && ffi::PyType_HasFeature(base.cast(), ffi::Py_TPFLAGS_HEAPTYPE) != 0
                    && Object::share(base).and_then(|base| class_namespace(&base)).is_some_and(|names| {
                        IN_THE_WAY.iter().all(|name| ffi::PyDict_GetItemString(names.raw(), name.as_ptr()).is_null())
                    }))
        })
    }
}

/// In the zygote, at rest: notes its class. A module that another object stands for still has functions, whose names lie in
/// another dictionary than that object's, and nobody would look there.
pub fn examine(node: &mut Node) {
    let Some(module) = node.module.borrow().as_ref().map(Object::raw) else { return };
    let own = node.namespace;
    if own.is_null() {
        return;
    }
    // SAFETY: the GIL is held; live objects.
    unsafe {
        node.class = ffi::Py_TYPE(module) as usize;
        if namespace(module) != own {
            node.refuse("its class has become another one");
        }
        let is_left = |object: &usize| {
            let object = *object as *mut PyObject;
            if ffi::Py_TYPE(object) != &raw mut PyFunction_Type {
                return false;
            }
            let globals = PyFunction_GetGlobals(object);
            let name = ffi::PyDict_GetItemString(globals, c"__name__".as_ptr());
            globals != own
                && Object::share(name).and_then(|name| super::node::text(&name)).is_some_and(|name| name == node.name)
        };
        let is_replaced = node.ring.borrow().objects().iter().any(is_left);
        if is_replaced {
            node.refuse("it puts another module in its place");
        }
    }
}
