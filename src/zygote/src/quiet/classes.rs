//! Objects that are given another class.
//!
//! An object of the zygote's may get a class with `__del__` from a script, by assignment to `__class__`, and then its
//! end is not silent. To look for such objects is to walk through all there are; so the setter tells whether
//! there can be any. It is `object_set_class` (`Objects/typeobject.c`), reached through the table behind the
//! descriptor `object.__class__`, for objects and modules alike.

use crate::capi::Object;
use libc::{c_char, c_int, c_void};
use pyo3::ffi::{self, PyObject};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

type Setter = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut c_void) -> c_int;

/// `PyGetSetDef` (`Include/descrobject.h`).
#[repr(C)]
struct GetSet {
    name: *const c_char,
    get: usize,
    set: Option<Setter>,
}

/// `d_getset` of `PyGetSetDescrObject` (`Include/cpython/descrobject.h`): behind the object's head, type, name and
/// qualified name.
const GETSET: usize = 40;

static ORIGINAL: AtomicUsize = AtomicUsize::new(0);
/// Also where nobody tells us.
static ASSIGNED: AtomicBool = AtomicBool::new(true);

/// In the zygote: has us told. The GIL is held.
pub fn listen() {
    if ORIGINAL.load(Relaxed) == 0 && attach().is_none() {
        // SAFETY: the GIL is held.
        unsafe { ffi::PyErr_Clear() };
    }
}

fn attach() -> Option<()> {
    let base = &raw mut ffi::PyBaseObject_Type as *mut PyObject;
    // SAFETY: live objects; a descriptor of this type points to an entry of CPython's table, which is not constant.
    unsafe {
        let namespace = Object::share(base)?.attribute(c"__dict__")?;
        let descriptor = Object::own(ffi::PyMapping_GetItemString(namespace.raw(), c"__class__".as_ptr()))?;
        (ffi::Py_TYPE(descriptor.raw()) == &raw mut ffi::PyGetSetDescr_Type).then_some(())?;
        let entry = super::word(descriptor.raw() as usize, GETSET) as *mut GetSet;
        (CStr::from_ptr((*entry).name) == c"__class__").then_some(())?;
        ORIGINAL.store((*entry).set? as usize, Relaxed);
        (*entry).set = Some(set_class);
    }
    Some(())
}

unsafe extern "C" fn set_class(object: *mut PyObject, class: *mut PyObject, closure: *mut c_void) -> c_int {
    ASSIGNED.store(true, Relaxed);
    // SAFETY: stored by `attach`.
    unsafe { std::mem::transmute::<usize, Setter>(ORIGINAL.load(Relaxed))(object, class, closure) }
}

/// The run begins: what was assigned before has been looked at.
pub fn begin() {
    ASSIGNED.store(ORIGINAL.load(Relaxed) == 0, Relaxed);
}

/// May an object have got another class since?
pub fn may_be_assigned() -> bool {
    ASSIGNED.load(Relaxed)
}
