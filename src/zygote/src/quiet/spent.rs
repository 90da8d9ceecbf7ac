//! Objects of the standard library's whose end would be seen, had they not been done with.
//!
//! Owns the proof, for a few classes, that their `__del__` or what they have in its place does nothing: a child that has been
//! waited for, an archive or a temporary file that was closed, a socket that was closed.

use super::has_plain_keys;
use super::kinds::type_of;
use super::layout::{Layout, word};
use super::shutdown::comes_from;
use crate::capi::Object;
use pyo3::ffi::{self, PyObject};
use std::ffi::CStr;

unsafe extern "C" {
    fn PyObject_GenericGetDict(object: *mut PyObject, nothing: *mut libc::c_void) -> *mut PyObject;
}

/// A class: the file that it is defined in, the methods that its end calls, and what tells that it has nothing to do.
struct Class {
    files: &'static [&'static str],
    methods: &'static [&'static CStr],
    attribute: &'static CStr,
    /// Others that it asks for.
    others: &'static [&'static CStr],
    /// What that attribute is then.
    value: Value,
    /// A method that this version of the class has not.
    without: Option<&'static CStr>,
}

enum Value {
    None,
    True,
    Number,
}

const NONE: Class = Class { files: &[], methods: &[], attribute: c"", others: &[], value: Value::None, without: None };

const CLASSES: [Class; 4] = [
    Class {
        files: &["subprocess.py"],
        methods: &[c"__del__", c"_internal_poll"],
        attribute: c"returncode",
        others: &[c"_child_created"],
        value: Value::Number,
        ..NONE
    },
    Class { files: &["zipfile.py", "zipfile/__init__.py"], methods: &[c"__del__", c"close"], attribute: c"fp", ..NONE },
    Class {
        files: &["tempfile.py"],
        methods: &[c"__del__", c"cleanup"],
        attribute: c"cleanup_called",
        value: Value::True,
        ..NONE
    },
    // Before 3.12.
    Class {
        files: &["tempfile.py"],
        methods: &[c"__del__", c"close"],
        attribute: c"close_called",
        value: Value::True,
        without: Some(c"cleanup"),
        ..NONE
    },
];

/// `tp_name` (`Include/cpython/object.h`).
const NAME: usize = 24;

/// Does the end of this object do nothing that can be seen? Runs no code of the user's.
///
/// # Safety
/// The GIL is held; a live object.
pub unsafe fn is_spent(layout: &Layout, library: &[u8], object: usize) -> bool {
    let class = type_of(object);
    // SAFETY: the caller's promise.
    let spent = unsafe {
        match word(class, layout.finalize) == layout.del_function {
            true => CLASSES.iter().any(|known| {
                let done = is_done_with(layout, library, known, object);
                ffi::PyErr_Clear();
                done.unwrap_or(false)
            }),
            false => is_closed_socket(layout, object).unwrap_or(false),
        }
    };
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
    spent
}

/// What a class has by itself, if there is nothing between it and `object`. Not by way of its attributes: a descriptor may be code.
unsafe fn own_names(class: usize) -> Option<Object> {
    // SAFETY: the GIL is held; a live class.
    unsafe {
        let class = Object::share(class as *mut PyObject)?;
        (ffi::Py_TYPE(class.raw()) == &raw mut ffi::PyType_Type).then_some(())?;
        (class.attribute(c"__base__")?.raw() == (&raw mut ffi::PyBaseObject_Type).cast()).then_some(())?;
        class.attribute(c"__dict__")
    }
}

unsafe fn is_done_with(layout: &Layout, library: &[u8], known: &Class, object: usize) -> Option<bool> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let names = own_names(type_of(object))?;
        let general = |name: &CStr| {
            let value = Object::own(ffi::PyMapping_GetItemString(names.raw(), name.as_ptr()));
            ffi::PyErr_Clear();
            value
        };
        for method in known.methods {
            let function = general(method)?;
            known.files.iter().any(|file| comes_from(function.raw(), library, file, method)).then_some(())?;
        }
        let absent = known.without.iter().chain(&[c"__getattribute__", c"__getattr__"]);
        absent.into_iter().all(|name| general(name).is_none()).then_some(())?;
        let own = Object::own(PyObject_GenericGetDict(object as *mut PyObject, std::ptr::null_mut()))?;
        has_plain_keys(layout, own.raw()).then_some(())?;
        let get = |name: &CStr| ffi::PyDict_GetItemString(own.raw(), name.as_ptr());
        let value = get(known.attribute);
        // Nothing that is code to be looked up, or to be asked for its truth.
        let is_plain = |value: *mut PyObject| {
            value.is_null() || [ffi::Py_None(), ffi::Py_True(), ffi::Py_False()].contains(&value)
        };
        for name in known.others.iter().chain([&known.attribute]) {
            general(name).is_none_or(|value| is_plain(value.raw())).then_some(())?;
        }
        known.others.iter().all(|name| is_plain(get(name))).then_some(())?;
        let is_replaced = known.methods.iter().any(|method| !get(method).is_null());
        let is_so = match known.value {
            Value::None => value == ffi::Py_None(),
            Value::True => value == ffi::Py_True(),
            Value::Number => !value.is_null() && ffi::PyLong_CheckExact(value) != 0,
        };
        Some(!is_replaced && !value.is_null() && is_so)
    }
}

/// `sock_finalize` (`Modules/socketmodule.c`) has nothing to do for what was closed. A class that is made in Python, and has
/// no `__del__`, has none of its own.
unsafe fn is_closed_socket(layout: &Layout, object: usize) -> Option<bool> {
    // SAFETY: the GIL is held; live classes and their names.
    unsafe {
        let class = Object::share(type_of(object) as *mut PyObject)?;
        (ffi::Py_TYPE(class.raw()) == &raw mut ffi::PyType_Type).then_some(())?;
        let base = class.attribute(c"__base__")?;
        let finalize = |class: &Object| word(class.raw() as usize, layout.finalize);
        let is_socket = ffi::Py_TYPE(base.raw()) == &raw mut ffi::PyType_Type
            && CStr::from_ptr(word(base.raw() as usize, NAME) as *const libc::c_char) == c"_socket.socket"
            && base.attribute(c"__base__")?.raw() == (&raw mut ffi::PyBaseObject_Type).cast()
            && finalize(&class) == finalize(&base);
        is_socket.then_some(())?;
        // Of the base: a method of C's, which no subclass can replace.
        let arguments = Object::own(ffi::PyTuple_Pack(1, object as *mut PyObject))?;
        let number = Object::own(ffi::PyObject_CallObject(base.attribute(c"fileno")?.raw(), arguments.raw()))?;
        Some(ffi::PyLong_AsLong(number.raw()) == -1)
    }
}
