//! CPython functions outside the limited API, exported by every CPython from 3.9 on, and small helpers.

use libc::{FILE, c_char, c_int};
use pyo3::ffi::{self, PyObject};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// `PyStatus` (`Include/cpython/initconfig.h`), returned by value; the layout is part of PEP 587.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PyStatus {
    kind: c_int,
    func: *const c_char,
    message: *const c_char,
    exitcode: c_int,
}

impl PyStatus {
    /// Neither an error nor a wish to exit.
    pub fn is_ok(&self) -> bool {
        self.kind == 0
    }

    /// What went wrong, in CPython's words.
    pub fn text(&self) -> String {
        if self.message.is_null() {
            return format!("the interpreter wants to exit with status {}", self.exitcode);
        }
        // SAFETY: CPython gives a static string.
        unsafe { std::ffi::CStr::from_ptr(self.message) }.to_string_lossy().into_owned()
    }
}

/// `PyConfig`, opaque: about 450 bytes in 3.9–3.14; the buffer is much larger, so that no layout is assumed.
#[repr(C, align(16))]
pub struct PyConfig([u8; 16 * 1024]);

impl PyConfig {
    /// All zeroes, as `PyConfig_InitPythonConfig` wants it.
    pub fn zeroed() -> Box<PyConfig> {
        Box::new(PyConfig([0; 16 * 1024]))
    }
}

/// `PyCompilerFlags` (`Include/cpython/compile.h`).
#[repr(C)]
pub struct PyCompilerFlags {
    /// `cf_flags`
    pub flags: c_int,
    /// `cf_feature_version`
    pub feature_version: c_int,
}

// The script runs in these, and may unwind: `pthread_exit`.
unsafe extern "C-unwind" {
    pub fn PyRun_FileExFlags(
        file: *mut FILE,
        name: *const c_char,
        start: c_int,
        globals: *mut PyObject,
        locals: *mut PyObject,
        close: c_int,
        flags: *mut PyCompilerFlags,
    ) -> *mut PyObject;
    pub fn PyEval_EvalCode(code: *mut PyObject, globals: *mut PyObject, locals: *mut PyObject) -> *mut PyObject;
    pub fn PyRun_AnyFileExFlags(
        file: *mut FILE,
        name: *const c_char,
        close: c_int,
        flags: *mut PyCompilerFlags,
    ) -> c_int;
    pub fn Py_FinalizeEx() -> c_int;
    pub fn PyErr_Print();
    pub fn Py_Exit(code: c_int) -> !;
    pub fn PyFile_WriteObject(object: *mut PyObject, file: *mut PyObject, flags: c_int) -> c_int;
    pub fn PyObject_Print(object: *mut PyObject, file: *mut FILE, flags: c_int) -> c_int;
    pub fn PySys_WriteStderr(format: *const c_char, ...);
    pub fn PyObject_CallObject(callable: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject;
}

unsafe extern "C" {
    pub fn PyConfig_InitPythonConfig(config: *mut PyConfig);
    pub fn PyConfig_SetBytesArgv(config: *mut PyConfig, argc: isize, argv: *const *mut c_char) -> PyStatus;
    pub fn PyConfig_Clear(config: *mut PyConfig);
    pub fn Py_InitializeFromConfig(config: *const PyConfig) -> PyStatus;
    pub fn Py_CompileStringExFlags(
        text: *const c_char,
        name: *const c_char,
        start: c_int,
        flags: *mut PyCompilerFlags,
        optimize: c_int,
    ) -> *mut PyObject;
    pub fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// An owned reference; the GIL is held wherever this is used.
pub struct Object(*mut PyObject);

impl Object {
    /// Takes charge of a new reference; `None` for null.
    ///
    /// # Safety
    /// `pointer` is null or a reference that nobody else will release.
    pub unsafe fn own(pointer: *mut PyObject) -> Option<Object> {
        (!pointer.is_null()).then_some(Object(pointer))
    }

    /// Shares a borrowed reference; `None` for null.
    ///
    /// # Safety
    /// `pointer` is null or a live object.
    pub unsafe fn share(pointer: *mut PyObject) -> Option<Object> {
        // SAFETY: the caller's promise.
        unsafe { ffi::Py_XINCREF(pointer) };
        // SAFETY: the reference just made is ours.
        unsafe { Object::own(pointer) }
    }

    /// The object, borrowed.
    pub fn raw(&self) -> *mut PyObject {
        self.0
    }

    /// A `str` from bytes by the file system encoding, as CPython decodes its command line.
    pub fn decoded(bytes: &[u8]) -> Option<Object> {
        // SAFETY: the bytes are readable for their length.
        unsafe { Object::own(ffi::PyUnicode_DecodeFSDefaultAndSize(bytes.as_ptr().cast(), bytes.len() as isize)) }
    }

    /// An attribute.
    pub fn attribute(&self, name: &std::ffi::CStr) -> Option<Object> {
        // SAFETY: a live object and a C string.
        unsafe { Object::own(ffi::PyObject_GetAttrString(self.0, name.as_ptr())) }
    }

    /// A list of `str`.
    pub fn list(items: &[&[u8]]) -> Option<Object> {
        // SAFETY: a new list of that many places; each is filled (PyList_SetItem takes the reference) or all is dropped.
        unsafe {
            let list = Object::own(ffi::PyList_New(items.len() as isize))?;
            for (at, item) in items.iter().enumerate() {
                let text = Object::decoded(item)?;
                if ffi::PyList_SetItem(list.0, at as isize, text.into_raw()) < 0 {
                    return None;
                }
            }
            Some(list)
        }
    }

    /// Exchanges what two lists hold: length, items and room for them (`PyListObject`, `Include/cpython/listobject.h`). False if
    /// they are no exact lists.
    pub fn exchange(&self, other: &Object) -> bool {
        const FIELDS: [usize; 3] = [16, 24, 32];
        // SAFETY: the GIL is held; exact lists, of which nobody holds an item without a reference.
        unsafe {
            let are_lists = ffi::PyList_CheckExact(self.0) != 0 && ffi::PyList_CheckExact(other.0) != 0;
            if are_lists && self.0 != other.0 {
                for field in FIELDS {
                    let [one, two] = [self.0, other.0].map(|list| list.cast::<u8>().add(field).cast::<usize>());
                    std::ptr::swap(one, two);
                }
            }
            are_lists
        }
    }

    /// Gives up the reference.
    pub fn into_raw(self) -> *mut PyObject {
        let raw = self.0;
        std::mem::forget(self);
        raw
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and the GIL is held.
        unsafe { ffi::Py_DECREF(self.0) }
    }
}

/// A function of C's, as an object. `this` is what it gets as its first argument; null for nothing.
pub fn function(
    name: &'static std::ffi::CStr,
    function: ffi::PyMethodDefPointer,
    flags: c_int,
    this: *mut PyObject,
) -> Option<Object> {
    let method = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: function,
        ml_flags: flags,
        ml_doc: std::ptr::null(),
    }));
    // SAFETY: the GIL is held; the method lives for ever.
    unsafe { Object::own(ffi::PyCFunction_NewEx(method, this, std::ptr::null_mut())) }
}

/// `sys.NAME`, borrowed; `None` if there is no such attribute.
pub fn sys(name: &std::ffi::CStr) -> Option<Object> {
    // SAFETY: a C string; the answer is borrowed.
    unsafe { Object::share(ffi::PySys_GetObject(name.as_ptr())) }
}

/// A symbol of the interpreter's that not every CPython has, searched for once.
pub struct Symbol {
    name: &'static std::ffi::CStr,
    /// Its address; 1 if there is none.
    found: AtomicUsize,
}

impl Symbol {
    /// Not searched for yet.
    pub const fn new(name: &'static std::ffi::CStr) -> Symbol {
        Symbol { name, found: AtomicUsize::new(0) }
    }

    /// Its address; null if there is none.
    pub fn find(&self) -> *mut libc::c_void {
        if self.found.load(Relaxed) == 0 {
            // SAFETY: a C string.
            let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, self.name.as_ptr()) } as usize;
            self.found.store(found.max(1), Relaxed);
        }
        match self.found.load(Relaxed) {
            1 => std::ptr::null_mut(),
            found => found as *mut libc::c_void,
        }
    }
}

/// Calls a function of the interpreter's state, if this CPython has it.
///
/// # Safety
/// The function takes a `PyInterpreterState *`, and the GIL is held.
pub unsafe fn with_interpreter(name: &Symbol) {
    // SAFETY: the caller vouches for the type.
    unsafe {
        let found = name.find();
        if !found.is_null() {
            let function: unsafe extern "C" fn(*mut ffi::PyInterpreterState) -> c_int = std::mem::transmute(found);
            if function(ffi::PyInterpreterState_Get()) < 0 {
                ffi::PyErr_Clear();
            }
        }
    }
}
