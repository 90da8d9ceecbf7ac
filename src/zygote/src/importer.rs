//! Is a script something to be imported from: a directory, an archive?
//!
//! CPython asks `sys.path_hooks` about every script (`Modules/main.c`,
//! pymain_get_importer), and `zipimport` reads the file's end to say no. Owns the same
//! answer without Python code, for the hooks that every start-up leaves and a
//! plain file in which no archive can end. In any other case CPython is asked.

use crate::capi::Object;
use crate::names;
use pyo3::ffi;
use pyzy_sys::file;
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// What the start-up left, or null if that is not the usual.
static USUAL: AtomicPtr<Usual> = AtomicPtr::new(std::ptr::null_mut());

/// Addresses, borrowed: what hangs on these objects must end when cold it would. Nothing of Python's runs in between.
struct Usual {
    hooks: *mut ffi::PyObject,
    items: Vec<*mut ffi::PyObject>,
    cache: *mut ffi::PyObject,
}

/// The end of an archive begins with this (`Lib/zipimport.py`, STRING_END_ARCHIVE).
const MARK: &[u8] = b"PK\x05\x06";
/// It lies this near to the file's end: 22 bytes and a comment of at most 65,535.
const TAIL: u64 = 22 + 65_535;

/// In the zygote: looks at what the start-up left.
pub fn prepare() {
    if let Some(usual) = usual() {
        USUAL.store(Box::into_raw(Box::new(usual)), Relaxed);
    }
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
}

fn usual() -> Option<Usual> {
    let hooks = names::sys(&names::PATH_HOOKS)?;
    let cache = names::sys(&names::PATH_CACHE)?;
    // SAFETY: the GIL is held; live objects.
    unsafe {
        if ffi::PyList_CheckExact(hooks.raw()) == 0 || ffi::PyDict_CheckExact(cache.raw()) == 0 {
            return None;
        }
        let count = ffi::PyList_Size(hooks.raw());
        let items: Vec<_> = (0..count).map(|at| ffi::PyList_GetItem(hooks.raw(), at)).collect();
        let [zip, finder, more @ ..] = &items[..] else { return None };
        let (zip, finder) = (Object::share(*zip)?, Object::share(*finder)?);
        let modules = names::sys(&names::MODULES)?;
        let zipimport = Object::share(ffi::PyDict_GetItemString(modules.raw(), c"zipimport".as_ptr()))?;
        let is_zip = zipimport.attribute(c"zipimporter")?.raw() == zip.raw();
        let name = finder.attribute(c"__qualname__")?;
        let expected = c"FileFinder.path_hook.<locals>.path_hook_for_FileFinder";
        let expected = Object::own(ffi::PyUnicode_FromString(expected.as_ptr()))?;
        let is_finder = ffi::PyUnicode_Compare(name.raw(), expected.raw()) == 0;
        let are_known = more.iter().all(|&hook| is_editable_hook(hook));
        (is_zip && is_finder && are_known).then_some(Usual { hooks: hooks.raw(), items, cache: cache.raw() })
    }
}

/// Setuptools' hook for projects that are installed to be edited? It takes one name, which is no script's (`warm/world.rs`,
/// is_placeholder).
unsafe fn is_editable_hook(hook: *mut ffi::PyObject) -> bool {
    // SAFETY: the GIL is held; a live object.
    let Some(hook) = (unsafe { Object::share(hook) }) else { return false };
    let is = |name: &CStr, wanted: &dyn Fn(&str) -> bool| {
        hook.attribute(name).and_then(|value| crate::warm::node::text(&value)).is_some_and(|text| wanted(&text))
    };
    is(c"__qualname__", &|text| text == "_EditableNamespaceFinder._path_hook")
        && is(c"__module__", &|text| text.starts_with("__editable___") && text.ends_with("_finder"))
}

/// The answer of CPython's hooks for this path, and what they leave in `sys.path_importer_cache`.
pub fn find(path: &CStr, name: &Object) -> Option<Object> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        if let Some(cache) = says_no(path, name)
            && ffi::PyDict_SetItem(cache, name.raw(), ffi::Py_None()) == 0
        {
            return Object::share(ffi::Py_None());
        }
        Object::own(ffi::PyImport_GetImporter(name.raw()))
    }
}

/// Is it certain that no hook takes it? Gives `sys.path_importer_cache`, borrowed.
fn says_no(path: &CStr, name: &Object) -> Option<*mut ffi::PyObject> {
    // SAFETY: stored by `prepare`, never freed.
    let usual = unsafe { USUAL.load(Relaxed).as_ref() }?;
    // Somebody may watch files being opened.
    crate::quiet::is_possible().then_some(())?;
    let (hooks, cache) = (names::sys(&names::PATH_HOOKS)?, names::sys(&names::PATH_CACHE)?);
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let same = hooks.raw() == usual.hooks
            && ffi::PyList_Size(hooks.raw()) == usual.items.len() as isize
            && (0..).zip(&usual.items).all(|(at, &item)| ffi::PyList_GetItem(hooks.raw(), at) == item);
        (same && cache.raw() == usual.cache && ffi::PyDict_Contains(cache.raw(), name.raw()) == 0).then_some(())?;
    }
    let file = file::open(path.to_bytes(), libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK, 0).ok()?;
    let stat = file::fstat(file.number()).ok().filter(|s| s.is_file())?;
    let mut tail = vec![0u8; stat.size.min(TAIL) as usize];
    let start = stat.size - tail.len() as u64;
    // SAFETY: the buffer is writable for its length.
    let got = unsafe { libc::pread(file.number(), tail.as_mut_ptr().cast(), tail.len(), start as libc::off_t) };
    (got == tail.len() as isize && !tail.windows(MARK.len()).any(|window| window == MARK)).then_some(cache.raw())
}
