//! What the end of an object does, by its type.

use super::layout::{Layout, word};
use super::libraries::home_of;
use super::shutdown::comes_from;
use super::spent::is_spent;
use crate::capi::Object;
use crate::names::{self, Name};
use libc::c_int;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use std::ffi::CStr;

unsafe extern "C" {
    static mut _PyWeakref_RefType: PyTypeObject;
    static mut _PyWeakref_ProxyType: PyTypeObject;
    static mut _PyWeakref_CallableProxyType: PyTypeObject;
    static mut PyGen_Type: PyTypeObject;
    static mut PyCoro_Type: PyTypeObject;
}

/// What to look at in an object of some type.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Nothing: its end frees memory.
    Plain,
    /// A class.
    Class,
    /// A weak reference: its callback.
    Weak,
    /// A generator or coroutine: has it ended?
    Generator,
    /// A file: is it closed?
    File,
    /// A file in memory: has it attributes of its own?
    MemoryFile,
    /// A method `__del__`, or something unknown: is there nothing left for it to do?
    Loud,
}

/// Types by their addresses.
pub struct Kinds {
    /// `FileIO`
    raw: usize,
    /// `BufferedReader`, `BufferedWriter`, `BufferedRandom`
    buffered: [usize; 3],
    /// `TextIOWrapper`
    text: usize,
    /// `BytesIO`, `StringIO`
    memory: [usize; 2],
    /// The directory of the standard library.
    library: Vec<u8>,
}

/// `m_ml` of `PyCFunctionObject` (`Include/cpython/methodobject.h`).
const METHOD: usize = 16;

/// Callbacks of weak references that take them out of a table: file and name.
const TIDY: [(&str, &CStr); 3] =
    [("_weakrefset.py", c"_remove"), ("weakref.py", c"remove"), ("logging/__init__.py", c"_removeHandlerRef")];

/// The type of an object.
pub fn type_of(object: usize) -> usize {
    // SAFETY: a live object.
    unsafe { ffi::Py_TYPE(object as *mut PyObject) as usize }
}

impl Kinds {
    /// From the module `_io`.
    pub fn new(layout: &Layout) -> Option<Kinds> {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let modules = ffi::PyImport_GetModuleDict();
            let io = Object::share(ffi::PyDict_GetItemString(modules, c"_io".as_ptr()))?;
            // The types live as long as the interpreter: they are part of it, and the module is.
            let class = |name: &CStr| io.attribute(name).map(|class| class.raw() as usize);
            let kinds = Kinds {
                raw: class(c"FileIO")?,
                buffered: [class(c"BufferedReader")?, class(c"BufferedWriter")?, class(c"BufferedRandom")?],
                text: class(c"TextIOWrapper")?,
                memory: [class(c"BytesIO")?, class(c"StringIO")?],
                library: super::libraries::library()?,
            };
            (word(kinds.raw, layout.finalize) != 0).then_some(kinds)
        }
    }

    /// The kind of a type's objects.
    pub fn of(&self, layout: &Layout, class: usize) -> Kind {
        // SAFETY: a live type.
        unsafe {
            let finalizes = word(class, layout.finalize) != 0;
            if word(class, layout.del) != 0 {
                return Kind::Loud;
            }
            if !finalizes {
                let class = class as *mut PyTypeObject;
                if ffi::PyType_HasFeature(class, ffi::Py_TPFLAGS_TYPE_SUBCLASS) != 0 {
                    return Kind::Class;
                }
                let weak =
                    [&raw mut _PyWeakref_RefType, &raw mut _PyWeakref_ProxyType, &raw mut _PyWeakref_CallableProxyType];
                if weak.into_iter().any(|weak| ffi::PyType_IsSubtype(class, weak) != 0) {
                    return Kind::Weak;
                }
                return Kind::Plain;
            }
            if class == &raw mut PyGen_Type as usize || class == &raw mut PyCoro_Type as usize {
                return Kind::Generator;
            }
        }
        if class == self.raw || class == self.text || self.buffered.contains(&class) {
            return Kind::File;
        }
        if self.memory.contains(&class) { Kind::MemoryFile } else { Kind::Loud }
    }

    /// Is this a weak reference whose end looks a key up that is not a plain one (`KeyedRef`, `Lib/weakref.py`)? Others are found
    /// by their identity: their objects are gone by then.
    ///
    /// # Safety
    /// A live weak reference with a silent callback; the GIL is held.
    pub unsafe fn has_odd_key(layout: &Layout, reference: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let callback = word(reference, layout.callback) as *mut PyObject;
            let is_tidied = !callback.is_null() && ffi::PyCFunction_CheckExact(callback) == 0;
            let is_exact = type_of(reference) == &raw mut _PyWeakref_RefType as usize;
            if !is_tidied || is_exact {
                return false;
            }
            let key = Object::share(reference as *mut PyObject).and_then(|reference| reference.attribute(c"key"));
            if key.is_none() {
                ffi::PyErr_Clear();
            }
            !key.is_some_and(|key| ffi::PyUnicode_CheckExact(key.raw()) != 0 || ffi::PyLong_CheckExact(key.raw()) != 0)
        }
    }

    /// Is it the type of what holds data that was not written yet?
    pub fn is_written(&self, class: usize) -> bool {
        self.buffered[1..].contains(&class)
    }

    /// The layers of a file made of CPython's own types: itself, its buffer, its raw file.
    pub fn layers(&self, file: &Object) -> Option<Vec<Object>> {
        // SAFETY: a live object.
        let mut layers = vec![unsafe { Object::share(file.raw())? }];
        if type_of(file.raw() as usize) == self.text {
            layers.push(names::attribute(layers.last()?, &names::BUFFER)?);
        }
        if self.buffered.contains(&type_of(layers.last()?.raw() as usize)) {
            layers.push(names::attribute(layers.last()?, &names::RAW)?);
        }
        (type_of(layers.last()?.raw() as usize) == self.raw).then_some(layers)
    }

    /// Does the end of this one object go unseen?
    ///
    /// # Safety
    /// A live object of this kind; the GIL is held. Runs no code of the user's.
    pub unsafe fn is_silent(&self, layout: &Layout, kind: Kind, object: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let Some(held) = Object::share(object as *mut PyObject) else { return false };
            let silent = match kind {
                Kind::Plain | Kind::Class => Some(true),
                Kind::Loud => Some(is_spent(layout, &self.library, object)),
                Kind::Weak => Some(self.is_silent_callback(layout, word(object, layout.callback))),
                Kind::Generator => {
                    let name = match object as *mut PyObject {
                        o if ffi::Py_TYPE(o) == &raw mut PyGen_Type => c"gi_frame",
                        _ => c"cr_frame",
                    };
                    held.attribute(name).map(|frame| frame.raw() == ffi::Py_None())
                }
                Kind::File => self.layers(&held).and_then(|_| is_true(&held, &names::CLOSED)),
                Kind::MemoryFile => held.attribute(c"__dict__").map(|own| ffi::PyDict_Size(own.raw()) == 0),
            };
            silent.unwrap_or(false)
        }
    }
}

impl Kinds {
    /// No callback, or one of CPython's own that tidies up a table.
    unsafe fn is_silent_callback(&self, layout: &Layout, callback: usize) -> bool {
        // SAFETY: null, or a live object that the reference holds.
        unsafe {
            let callback = callback as *mut PyObject;
            callback.is_null()
                || ffi::PyCFunction_CheckExact(callback) != 0
                    && ffi::PyCFunction_GetFunction(callback).is_some_and(|f| {
                        f as *const () as usize == layout.destroy || is_of_a_local(callback, f as *const libc::c_void)
                    })
                || TIDY.into_iter().any(|(file, name)| comes_from(callback, &self.library, file, name))
        }
    }
}

/// What takes a thread's share out of a `threading.local` (`_localdummy_destroyed`, since 3.13
/// `clear_locals`, `Modules/_threadmodule.c`).
unsafe fn is_of_a_local(callback: *mut PyObject, function: *const libc::c_void) -> bool {
    // SAFETY: an exact function of C's; behind its head lies its entry, which begins with a name.
    unsafe {
        let name = word(word(callback as usize, METHOD), 0) as *const libc::c_char;
        [c"_localdummy_destroyed", c"clear_locals"].contains(&CStr::from_ptr(name))
            && home_of(function) == home_of(ffi::Py_IsInitialized as *const () as *const libc::c_void)
    }
}

/// The truth of an attribute.
pub fn is_true(object: &Object, name: &Name) -> Option<bool> {
    let value = names::attribute(object, name)?;
    // SAFETY: the GIL is held; a live object.
    let truth: c_int = unsafe { ffi::PyObject_IsTrue(value.raw()) };
    (truth >= 0).then_some(truth == 1)
}
