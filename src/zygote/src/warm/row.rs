//! What a hand-over changes, close together in memory: a run pays for each page that it changes.
//!
//! Owns where warm modules and their namespaces are put when the zygote imports them: in a row of small blocks of the
//! C library's heap, instead of wherever CPython's small-object allocator has room. CPython frees a block by
//! its address, and one that is not the allocator's goes to `free` (`Objects/obmalloc.c`, pymalloc_free).

use super::node::{Node, text};
use crate::capi::{self, Object};
use crate::quiet::word;
use libc::{c_int, c_void};
use pyo3::ffi::{self, PyObject};
use std::collections::HashSet;
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// `PyMemAllocatorEx` (`Include/cpython/pymem.h`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Allocator {
    context: *mut c_void,
    malloc: Option<unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void>,
    calloc: usize,
    realloc: usize,
    free: usize,
}

impl Allocator {
    /// The one that objects come from.
    pub fn now() -> Allocator {
        // SAFETY: a structure of pointers, any of which may be null; the GIL is held.
        unsafe {
            let mut now = std::mem::zeroed();
            PyMem_GetAllocator(OBJECTS, &mut now);
            now
        }
    }

    /// Is it the same? `tracemalloc`, for one, puts another in its place.
    pub fn is(&self, other: &Allocator) -> bool {
        let malloc = |allocator: &Allocator| allocator.malloc.map_or(0, |malloc| malloc as *const () as usize);
        self.context == other.context && malloc(self) == malloc(other)
    }
}

/// `PYMEM_DOMAIN_OBJ`
const OBJECTS: c_int = 2;

unsafe extern "C" {
    fn PyMem_GetAllocator(domain: c_int, allocator: *mut Allocator);
    fn PyMem_SetAllocator(domain: c_int, allocator: *mut Allocator);
}

/// A module, a dictionary, each with its collector's head, or a name of up to thirty characters.
const BLOCK: usize = 72;
/// Five for each module; others lie anywhere.
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
    range: std::ops::Range<usize>,
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
            let usual = Allocator::now();
            BLOCKS_NOW.store(Box::into_raw(Box::new(Blocks { free, usual, left: 0, range: range.clone() })), Relaxed);
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

    /// By which their packages will have submodules, the last parts of their names, lies there too, unless something has it
    /// already: it is interned when it is set, whoever sets it. Names of other modules are not made here, for which of
    /// them are interned can be seen.
    pub fn name_parts<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) {
        let others: HashSet<&str> = names.clone().filter(|name| !name.contains('.')).collect();
        let parts = names.filter_map(|name| Some(name.rsplit_once('.')?.1)).filter(|part| !others.contains(part));
        for part in parts.filter_map(|part| std::ffi::CString::new(part).ok()) {
            // SAFETY: the GIL is held; a C string. The reference is kept for good, and with it the string.
            unsafe { within(|| ffi::PyUnicode_InternFromString(part.as_ptr())) };
        }
    }

    /// All is imported.
    pub fn let_go(&self) {
        for (namespace, name, usual) in &self.makers {
            // SAFETY: the GIL is held; what `begin` found.
            unsafe { ffi::PyDict_SetItemString(namespace.raw(), name.as_ptr(), usual.raw()) };
        }
    }

    /// Has a hidden module's objects begin and end in the row, for the ends are linked to others at the hand-over.
    pub fn lead(&self, node: &mut Node) {
        let module = node.module.borrow().as_ref().map(|module| module.raw() as usize);
        let ends = (node.namespace as usize, module.unwrap_or(0));
        if self.range.contains(&ends.0) && self.range.contains(&ends.1) {
            // SAFETY: the GIL is held, and the collector at rest.
            unsafe { node.ring.borrow_mut().turn(ends.0, ends.1) };
        }
    }
}

/// A name that was made for one import (`PyImport_ImportModuleLevelObject` does for relative ones) becomes one in the row: the
/// module's own, and its key. Interned ones stay what they are, for others have them.
pub fn own_name(name: *mut PyObject) -> Option<Object> {
    let blocks = BLOCKS_NOW.load(Relaxed);
    if blocks.is_null() {
        return None;
    }
    // SAFETY: the GIL is held; stored by `begin`; a live object.
    unsafe {
        if ffi::PyUnicode_CheckExact(name) == 0 || is_interned(name)? || (*blocks).range.contains(&(name as usize)) {
            return None;
        }
        let text = std::ffi::CString::new(text(&Object::share(name)?)?).ok()?;
        let copy = within(|| Object::own(ffi::PyUnicode_FromString(text.as_ptr())))?;
        (ffi::PyObject_Hash(copy.raw()) != -1).then_some(copy)
    }
}

/// Is it interned? `None` where this interpreter does not say so in the lowest bits behind length and hash (`PyASCIIObject`,
/// `Include/cpython/unicodeobject.h`).
unsafe fn is_interned(name: *mut PyObject) -> Option<bool> {
    const STATE: usize = 32;
    // SAFETY: the GIL is held; live strings.
    unsafe {
        let says = |string: *mut PyObject| word(string as usize, STATE) & 3 != 0;
        let (one, other) = (c"a name of pyzy's", c"another name of pyzy's");
        let interned = Object::own(ffi::PyUnicode_InternFromString(one.as_ptr()))?;
        let not = Object::own(ffi::PyUnicode_FromString(other.as_ptr()))?;
        (says(interned.raw()) && !says(not.raw())).then(|| says(name))
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
