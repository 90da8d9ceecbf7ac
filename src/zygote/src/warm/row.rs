//! What a hand-over changes, close together in memory: a run pays for each page that it changes.
//!
//! Owns where warm modules and their namespaces are put when the zygote imports them: in a row of small blocks of the
//! C library's heap, instead of wherever CPython's small-object allocator has room. CPython frees a block by
//! its address, and one that is not the allocator's goes to `free` (`Objects/obmalloc.c`, pymalloc_free).

use super::node::Node;
use crate::capi::{self, Object};
use libc::{c_int, c_void};
use pyo3::ffi::{self, PyObject};
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// `PyMemAllocatorEx` (`Include/cpython/pymem.h`).
#[repr(C)]
#[derive(Clone, Copy)]
struct Allocator {
    context: *mut c_void,
    malloc: Option<unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void>,
    calloc: usize,
    realloc: usize,
    free: usize,
}

/// `PYMEM_DOMAIN_OBJ`
const OBJECTS: c_int = 2;

unsafe extern "C" {
    fn PyMem_GetAllocator(domain: c_int, allocator: *mut Allocator);
    fn PyMem_SetAllocator(domain: c_int, allocator: *mut Allocator);
}

/// A module, a dictionary, each with its collector's head, or a name of up to thirty characters.
const BLOCK: usize = 72;
/// Four for each module; others lie anywhere.
const BLOCKS: usize = 8192;
/// How many blocks one module gets: it and its namespace are among the first objects that are made.
const EACH: usize = 24;
/// More than CPython keeps of freed dictionaries (`PyDict_MAXFREELIST`).
const KEPT_DICTIONARIES: usize = 128;
/// What makes modules for the import system.
const MAKERS: [(&str, &CStr); 3] =
    [("_frozen_importlib", c"_new_module"), ("_imp", c"create_builtin"), ("_imp", c"create_dynamic")];

struct Blocks {
    free: Vec<*mut c_void>,
    usual: Allocator,
    /// How many more may be taken.
    left: usize,
}

static BLOCKS_NOW: AtomicPtr<Blocks> = AtomicPtr::new(std::ptr::null_mut());

/// The row, until all is in it. The GIL is held.
pub struct Row {
    /// Namespaces with what makes modules there.
    makers: Vec<(Object, &'static CStr, Object)>,
    range: std::ops::Range<usize>,
}

impl Row {
    /// Modules that are made for the import system lie in it from now on. `None` where the allocator or the import system
    /// is another than usual.
    pub fn begin(modules: &Object) -> Option<Row> {
        // SAFETY: the GIL is held; live objects, C strings.
        unsafe {
            libc::getenv(c"PYTHONMALLOC".as_ptr()).is_null().then_some(())?;
            let mut makers = Vec::new();
            for (module, name) in MAKERS {
                let module = super::record::item(modules, module)?;
                let namespace = Object::share(ffi::PyModule_GetDict(module.raw()))?;
                let usual = Object::share(ffi::PyDict_GetItemString(namespace.raw(), name.as_ptr()))?;
                makers.push((namespace, name, usual));
            }
            crate::holes::fill_heap();
            let mut free: Vec<*mut c_void> = (0..BLOCKS).map(|_| libc::malloc(BLOCK)).collect();
            let addresses = || free.iter().map(|&block| block as usize);
            let range = addresses().min()?..addresses().max()? + BLOCK;
            free.reverse();
            let mut usual = std::mem::zeroed();
            PyMem_GetAllocator(OBJECTS, &mut usual);
            BLOCKS_NOW.store(Box::into_raw(Box::new(Blocks { free, usual, left: 0 })), Relaxed);
            let row = Row { makers, range };
            for (namespace, name, usual) in &row.makers {
                let make = ffi::PyMethodDefPointer { PyCFunction: make };
                let ours = capi::function(name, make, ffi::METH_VARARGS, usual.raw());
                let put = ours.map(|ours| ffi::PyDict_SetItemString(namespace.raw(), name.as_ptr(), ours.raw()));
                (put == Some(0)).then_some(())?;
            }
            Some(row)
        }
    }

    /// The last part of a module's name, by which its package will have it, lies there too, unless something has it already.
    pub fn name(&self, module: &str) {
        let last = module.rsplit('.').next().and_then(|last| std::ffi::CString::new(last).ok());
        // SAFETY: the GIL is held; a C string. The reference is kept for good, and with it the string.
        last.iter().for_each(|last| unsafe {
            within(|| ffi::PyUnicode_InternFromString(last.as_ptr()));
        });
    }

    /// All is imported.
    pub fn let_go(&self) {
        for (namespace, name, usual) in &self.makers {
            // SAFETY: the GIL is held; what `begin` found.
            unsafe { ffi::PyDict_SetItemString(namespace.raw(), name.as_ptr(), usual.raw()) };
        }
    }

    /// Has a hidden module's objects begin and end in the row, for the ends are linked to others at the hand-over; and its
    /// name is there too.
    pub fn lead(&self, node: &mut Node) {
        let module = node.module.borrow().as_ref().map(|module| module.raw() as usize);
        let ends = (node.namespace as usize, module.unwrap_or(0));
        if self.range.contains(&ends.0) && self.range.contains(&ends.1) {
            // SAFETY: the GIL is held, and the collector at rest.
            unsafe { node.ring.borrow_mut().turn(ends.0, ends.1) };
        }
        let name = std::ffi::CString::new(node.name.as_str()).unwrap_or_default();
        // SAFETY: the GIL is held; a C string. The hash is kept in the string.
        unsafe {
            let copy = within(|| Object::own(ffi::PyUnicode_FromString(name.as_ptr())));
            if let Some(copy) = copy
                && ffi::PyObject_RichCompareBool(copy.raw(), node.key.raw(), ffi::Py_EQ) == 1
                && ffi::PyObject_Hash(copy.raw()) != -1
            {
                node.key = copy;
            }
        }
    }
}

/// Gives back what was not needed.
impl Drop for Row {
    fn drop(&mut self) {
        self.let_go();
        let blocks = BLOCKS_NOW.swap(std::ptr::null_mut(), Relaxed);
        if !blocks.is_null() {
            // SAFETY: what `begin` stored.
            unsafe { Box::from_raw(blocks).free.iter().for_each(|&block| libc::free(block)) };
        }
    }
}

/// In place of something that makes a module; `usual` does it.
unsafe extern "C" fn make(usual: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    // SAFETY: the GIL is held; called by CPython.
    unsafe {
        let kept: Vec<Option<Object>> = (0..KEPT_DICTIONARIES).map(|_| Object::own(ffi::PyDict_New())).collect();
        let module = within(|| ffi::PyObject_CallObject(usual, arguments));
        drop(kept);
        module
    }
}

/// The first small objects that are made by it come from the row.
unsafe fn within<T>(work: impl FnOnce() -> T) -> T {
    let blocks = BLOCKS_NOW.load(Relaxed);
    if blocks.is_null() {
        return work();
    }
    // SAFETY: the GIL is held; stored by `begin`. Others of our allocator's functions are the usual ones.
    unsafe {
        (*blocks).left = EACH;
        let mut ours = Allocator { malloc: Some(allocate), ..(*blocks).usual };
        PyMem_SetAllocator(OBJECTS, &mut ours);
        let done = work();
        PyMem_SetAllocator(OBJECTS, &raw mut (*blocks).usual);
        done
    }
}

unsafe extern "C" fn allocate(context: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: stored by `begin`, and used by one thread, which holds the GIL.
    unsafe {
        let blocks = BLOCKS_NOW.load(Relaxed);
        if size <= BLOCK
            && (*blocks).left > 0
            && let Some(block) = (*blocks).free.pop()
        {
            (*blocks).left -= 1;
            return block;
        }
        (*blocks).usual.malloc.map_or(std::ptr::null_mut(), |malloc| malloc(context, size))
    }
}
