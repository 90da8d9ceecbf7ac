//! What an extension asks of the import system in C, while the zygote warms modules.
//!
//! Imports of Python code go through `__import__`, of which the recorder is told. C code can go past it
//! (`PyImport_ImportModuleLevelObject` and its kin, `Python/import.c`), to modules that are there already or into `sys`. So the references of an
//! extension to these functions lead here, from its loading on until all is imported. Owns the functions, and the places in which
//! they were put.

use super::ends;
use super::registrations::{tell, tell_used};
use crate::capi::Object;
use core::ffi::{CStr, c_char, c_int, c_void};
use pyo3::ffi::{self, PyObject};
use pyzy_sys::file;
use std::cell::RefCell;
use std::ffi::CString;
use std::sync::Mutex;

/// Of sys: what a run sets for itself.
const OF_THE_RUN: [&CStr; 16] = [
    c"modules",
    c"path",
    c"meta_path",
    c"path_hooks",
    c"path_importer_cache",
    c"argv",
    c"orig_argv",
    c"stdin",
    c"stdout",
    c"stderr",
    c"__stdin__",
    c"__stdout__",
    c"__stderr__",
    c"ps1",
    c"ps2",
    c"warnoptions",
];

const OURS: &[(&CStr, *const c_void)] = &[
    (c"PyImport_ImportModuleLevelObject", import_object as *const c_void),
    (c"PyImport_ImportModuleLevel", import_text as *const c_void),
    (c"PyImport_GetModule", get_module as *const c_void),
    (c"PyImport_AddModuleObject", add_object as *const c_void),
    (c"PyImport_AddModule", add_text as *const c_void),
    (c"PyImport_AddModuleRef", add_reference as *const c_void),
    (c"PySys_GetObject", sys_object as *const c_void),
    (c"PyImport_ImportModuleNoBlock", import_plain as *const c_void),
    (c"PyImport_ExecCodeModule", exec_code as *const c_void),
    (c"Py_AtExit", at_exit as *const c_void),
    (c"PyUnstable_AtExit", at_exit as *const c_void),
    (c"Py_AddPendingCall", add_pending_call as *const c_void),
    (c"PySys_AddAuditHook", add_audit_hook as *const c_void),
    (c"PyEval_SetProfile", set_profile as *const c_void),
    (c"PyEval_SetProfileAllThreads", set_profile as *const c_void),
    (c"PyEval_SetTrace", set_trace as *const c_void),
    (c"PyEval_SetTraceAllThreads", set_trace as *const c_void),
    (c"_PyInterpreterState_SetEvalFrameFunc", set_evaluator as *const c_void),
    (c"PyInterpreterState_GetDict", interpreter_dictionary as *const c_void),
    (c"PyCodec_Register", register_codec as *const c_void),
    (c"PyCodec_RegisterError", register_error as *const c_void),
    (c"PyMem_SetAllocator", set_allocator as *const c_void),
    (c"PyObject_SetArenaAllocator", set_allocator as *const c_void),
    (c"PyDict_AddWatcher", add_watcher as *const c_void),
    (c"PyType_AddWatcher", add_watcher as *const c_void),
    (c"PyCode_AddWatcher", add_watcher as *const c_void),
    (c"PyFunction_AddWatcher", add_watcher as *const c_void),
];

/// What has been refused, in a rehearsal.
static SAID: Mutex<Option<Vec<String>>> = Mutex::new(None);

thread_local! {
    /// Addresses, and what was there.
    static PLACES: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

/// What the loader's handle points to (`struct link_map`, `man 3 dlinfo`).
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
    dynamic: *const [u64; 2],
}

const DT_PLTRELSZ: u64 = 2;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_JMPREL: u64 = 23;

/// Loads an extension as CPython is about to, and leads its references here.
pub fn attach(path: &[u8]) {
    let Ok(path) = CString::new(path) else { return };
    let flags = crate::capi::sys(c"getdlopenflags").and_then(|function| {
        // SAFETY: the GIL is held; a function without parameters.
        unsafe { Object::own(ffi::PyObject_CallObject(function.raw(), std::ptr::null_mut())) }
    });
    // SAFETY: the GIL is held; C strings, and the loader's own tables, which stay where they are.
    unsafe {
        let flags = flags.map_or(libc::RTLD_NOW, |flags| ffi::PyLong_AsLong(flags.raw()) as c_int);
        let map = libc::dlopen(path.as_ptr(), flags) as *const LinkMap;
        if map.is_null() {
            return;
        }
        ends::empty(path.to_bytes(), map.cast());
        for place in references(&*map) {
            let (at, ours) = place;
            let before = *(at as *const usize);
            if before != ours && write(at, ours) {
                PLACES.with_borrow_mut(|places| places.push((at, before)));
            }
        }
    }
}

/// All references lead where they led.
pub fn detach() {
    for (at, before) in PLACES.take() {
        write(at, before);
    }
}

/// Writes a word where memory may be for reading only (`man 5 proc_pid_mem`).
fn write(at: usize, value: usize) -> bool {
    let Ok(memory) = file::open(b"/proc/self/mem", libc::O_RDWR, 0) else { return false };
    let bytes = value.to_ne_bytes();
    // SAFETY: the bytes are readable.
    unsafe {
        libc::pwrite(memory.number(), bytes.as_ptr().cast(), bytes.len(), at as libc::off_t) == bytes.len() as isize
    }
}

/// Where the library refers to one of the functions, and ours.
unsafe fn references(map: &LinkMap) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    // SAFETY: the caller has a loaded library; its tables are as `man 5 elf` says.
    unsafe {
        let value = |tag: u64| {
            let mut entry = map.dynamic;
            while (*entry)[0] != 0 {
                if (*entry)[0] == tag {
                    return Some((*entry)[1] as usize);
                }
                entry = entry.add(1);
            }
            None
        };
        // The loader writes addresses in place of offsets, where it may.
        let address = |tag: u64| value(tag).map(|v| if v < map.base { v + map.base } else { v });
        let (Some(texts), Some(symbols)) = (address(DT_STRTAB), address(DT_SYMTAB)) else { return found };
        for (table, size) in [(DT_RELA, DT_RELASZ), (DT_JMPREL, DT_PLTRELSZ)] {
            let (Some(table), Some(size)) = (address(table), value(size)) else { continue };
            for at in (table..table + size).step_by(24) {
                let [offset, info] = *(at as *const [u64; 2]);
                let symbol = symbols + (info >> 32) as usize * 24;
                if info >> 32 == 0 {
                    continue;
                }
                let name = CStr::from_ptr((texts + *(symbol as *const u32) as usize) as *const c_char);
                if let Some((_, ours)) = OURS.iter().find(|(known, _)| *known == name) {
                    found.push((map.base + offset as usize, *ours as usize));
                }
            }
        }
    }
    found
}

/// In a rehearsal: what is refused is said (`said`).
pub fn note_deeds() {
    *SAID.lock().unwrap_or_else(|e| e.into_inner()) = Some(Vec::new());
}

/// What has been refused since the last time.
pub fn said() -> Vec<String> {
    SAID.lock().unwrap_or_else(|e| e.into_inner()).as_mut().map(std::mem::take).unwrap_or_default()
}

fn refuse(what: &str) {
    if let (Some(said), Some(what)) =
        (SAID.lock().unwrap_or_else(|e| e.into_inner()).as_mut(), what.strip_prefix("it "))
    {
        said.push(what.to_owned());
    }
    tell(|recorder| {
        recorder.look();
        recorder.refuse(what);
    });
}

/// It looked for this module in `sys.modules`.
unsafe fn looked(name: *mut PyObject, found: *mut PyObject) {
    // SAFETY: the GIL is held; a live object, and null or another.
    unsafe {
        let Some(key) = Object::share(name) else { return };
        let Some(text) = super::node::text(&key) else { return refuse("it looks for a strange name in sys.modules") };
        tell(|recorder| {
            recorder.asked();
            if found.is_null() { recorder.missed(key) } else { recorder.used(&text) }
        });
    }
}

unsafe extern "C" fn import_object(
    name: *mut PyObject,
    globals: *mut PyObject,
    locals: *mut PyObject,
    fromlist: *mut PyObject,
    level: c_int,
) -> *mut PyObject {
    // SAFETY: called by an extension as CPython's own.
    unsafe {
        tell(|recorder| recorder.asked());
        let result = ffi::PyImport_ImportModuleLevelObject(name, globals, locals, fromlist, level);
        if !result.is_null() {
            let (globals, fromlist) = (Object::share(globals), Object::share(fromlist));
            let told = Object::share(name).and_then(|name| tell_used(&name, globals, fromlist, level.into()));
            if told.is_none() {
                refuse("it imports in a way of its own");
            }
        }
        result
    }
}

unsafe extern "C" fn import_text(
    name: *const c_char,
    globals: *mut PyObject,
    locals: *mut PyObject,
    fromlist: *mut PyObject,
    level: c_int,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        match Object::own(ffi::PyUnicode_FromString(name)) {
            Some(name) => import_object(name.raw(), globals, locals, fromlist, level),
            None => std::ptr::null_mut(),
        }
    }
}

/// Since 3.13 an alias of `PyImport_ImportModule`, which goes through `__import__`; before that it looks into `sys.modules` first.
unsafe extern "C" fn import_plain(name: *const c_char) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { ffi::PyImport_ImportModule(name) }
}

unsafe extern "C" fn get_module(name: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        let found = ffi::PyImport_GetModule(name);
        looked(name, found);
        found
    }
}

unsafe extern "C" fn add_object(name: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        let before = ffi::PyDict_GetItem(ffi::PyImport_GetModuleDict(), name);
        if !before.is_null() {
            looked(name, before);
        }
        let added = ffi::PyImport_AddModuleObject(name);
        tell(|recorder| recorder.asked());
        added
    }
}

unsafe extern "C" fn add_text(name: *const c_char) -> *mut PyObject {
    // SAFETY: as above; `sys.modules` holds the module, so it is borrowed.
    unsafe {
        match Object::own(ffi::PyUnicode_FromString(name)) {
            Some(name) => add_object(name.raw()),
            None => std::ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn add_reference(name: *const c_char) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        let added = add_text(name);
        ffi::Py_XINCREF(added);
        added
    }
}

unsafe extern "C" fn sys_object(name: *const c_char) -> *mut PyObject {
    // SAFETY: as above; a C string.
    unsafe {
        let name = CStr::from_ptr(name);
        if OF_THE_RUN.contains(&name) {
            refuse(&format!("it looks at sys.{}", name.to_string_lossy()));
        }
        ffi::PySys_GetObject(name.as_ptr())
    }
}

/// `Py_AtExit`: nothing is registered, and the module is never handed over.
unsafe extern "C" fn at_exit(_: *mut c_void) -> c_int {
    refuse("it registers something for the end of the interpreter");
    0
}

/// What the interpreter is to call from then on: it is not told of it, and the module is never handed over.
macro_rules! refused {
    ($($name:ident($($parameter:ty),*) { $why:literal })*) => {
        $(unsafe extern "C" fn $name($(_: $parameter),*) -> c_int {
            refuse($why);
            0
        })*
    };
}

refused! {
    add_pending_call(*mut c_void, *mut c_void) { "it has the interpreter call it later" }
    add_audit_hook(*mut c_void, *mut c_void) { "it adds an audit hook" }
    set_profile(*mut c_void, *mut c_void) { "it sets a profile function" }
    set_trace(*mut c_void, *mut c_void) { "it sets a trace function" }
    set_evaluator(*mut c_void, *mut c_void) { "it evaluates frames by itself" }
    register_codec(*mut c_void) { "it registers a codec" }
    register_error(*mut c_void, *mut c_void) { "it registers an error handler" }
    set_allocator(c_int, *mut c_void) { "it allocates memory for the interpreter" }
    add_watcher(*mut c_void) { "it watches objects of the interpreter" }
}

/// What lies there is shared by extensions of one make: pybind11's know of all types of the others, and an own import of one that the
/// zygote has initialised finds its types registered.
unsafe extern "C" fn interpreter_dictionary(interpreter: *mut ffi::PyInterpreterState) -> *mut PyObject {
    refuse("it shares something with other extensions, by the interpreter's dictionary");
    // SAFETY: as above.
    unsafe { ffi::PyInterpreterState_GetDict(interpreter) }
}

unsafe extern "C" fn exec_code(name: *const c_char, code: *mut PyObject) -> *mut PyObject {
    refuse("it makes a module in a way of its own");
    // SAFETY: as above.
    unsafe { ffi::PyImport_ExecCodeModule(name, code) }
}
