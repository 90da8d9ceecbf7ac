//! Extensions from outside the standard library, and those in it that are initialised once a process.
//!
//! The zygote initialises them, and a hand-over gives what came of it. But an import that is refused, late, when the script
//! runs already, must find the library as if nobody had loaded it; so it gets a copy (`copies`). Owns the list
//! of these libraries, whose each of them is in this process, and what CPython is given to load instead.

use super::calls;
use super::copies::{self, Companions};
use super::ends;
use super::node::{Node, State, text};
use crate::capi::{self, Object};
use crate::quiet::is_silent_extension;
use pyo3::ffi::{self, PyObject};
use pyzy_sys::{file, process};
use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::CString;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering::Relaxed};

/// Whose is it? Nobody has been handed what the zygote made of it.
const NOBODYS: u8 = 0;
/// A module of it has been handed over.
const HANDED: u8 = 1;
/// This process has loaded a copy.
const COPIED: u8 = 2;

struct Library {
    path: Vec<u8>,
    /// Device and inode.
    place: Option<(u64, u64)>,
    size: u64,
    /// An own import gets a copy: it is not the standard library's, or is initialised once a process.
    is_copied: AtomicBool,
    whose: AtomicU8,
    copy: Mutex<Option<Loaded>>,
}

/// What the loader calls this process's copy, and device and inode of the file that it is a copy of.
struct Loaded {
    name: CString,
    of: Option<(u64, u64)>,
}

struct Foreign {
    libraries: Vec<Library>,
    /// All that was loaded meanwhile, extensions of the standard library as well, by the loader's names.
    loaded: HashSet<Vec<u8>>,
    companions: Companions,
}

static ALL: AtomicPtr<Foreign> = AtomicPtr::new(std::ptr::null_mut());
static IS_LOUD: AtomicBool = AtomicBool::new(false);

/// Libraries that are loaded while the zygote warms modules.
struct Noted {
    /// Directories of the standard library.
    library: Vec<Vec<u8>>,
    before: HashSet<Vec<u8>>,
    paths: Vec<Vec<u8>>,
}

thread_local! {
    static NOTED: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

fn all() -> Option<&'static Foreign> {
    // SAFETY: stored by `end`, never freed.
    unsafe { ALL.load(Relaxed).as_ref() }
}

/// The zygote begins to warm modules; `library` has the directories of the standard library.
pub fn begin(library: Vec<Vec<u8>>) {
    NOTED.set(Some(Noted { library, before: copies::loaded(), paths: Vec::new() }));
}

/// It has ended: what was loaded is known.
pub fn end() {
    let Some(noted) = NOTED.take() else { return };
    let companions = Companions::since(&noted.before, &noted.paths);
    let library = |path: Vec<u8>| Library {
        place: copies::place(&path),
        size: file::stat(&path).map_or(0, |stat| stat.size),
        is_copied: AtomicBool::new(!is_library(&path, &noted.library)),
        path,
        whose: AtomicU8::new(NOBODYS),
        copy: Mutex::new(None),
    };
    let libraries: Vec<Library> = noted.paths.iter().cloned().map(library).collect();
    let loaded = copies::loaded().difference(&noted.before).cloned().collect();
    ALL.store(Box::into_raw(Box::new(Foreign { libraries, loaded, companions })), Relaxed);
}

/// Was it loaded by the zygote, which warmed modules?
pub fn has_loaded(path: &[u8]) -> bool {
    all().is_some_and(|all| all.loaded.contains(path))
}

/// Has this process loaded an extension by itself of which nobody knows what it does at the end?
pub fn has_loaded_loud() -> bool {
    IS_LOUD.load(Relaxed)
}

/// Is it an extension of the standard library?
pub fn is_library(path: &[u8], library: &[Vec<u8>]) -> bool {
    library.iter().any(|directory| {
        path.strip_prefix(&directory[..]).is_some_and(|rest| {
            rest.first() == Some(&b'/')
                && !rest.starts_with(b"/site-packages/")
                && !rest.starts_with(b"/dist-packages/")
        })
    })
}

/// The number of the library of an extension, by its path. One of the standard library counts if it is initialised `once` a process: what
/// its initialisation has asked for and changed was the zygote's.
pub fn find(path: &[u8], once: bool) -> Option<usize> {
    let (libraries, number) = (&all()?.libraries, place_of(path)?);
    (libraries[number].is_copied.fetch_or(once, Relaxed) || once).then_some(number)
}

fn place_of(path: &[u8]) -> Option<usize> {
    all()?.libraries.iter().position(|library| library.path == path)
}

/// A module that is defined in the library of another one is part of its state, which that one's code keeps where nobody sees
/// it (mypyc makes such). Gives each with the module whose library it is, when their libraries are known.
pub fn parts(nodes: &[Node]) -> Vec<(usize, usize)> {
    let library = |node: &Node| {
        let module = node.module.borrow().as_ref().map(|module| module.raw())?;
        // SAFETY: the GIL is held; a live object, and the loader's record of an address (`man 3 dladdr`).
        unsafe {
            (ffi::PyModule_Check(module) != 0).then_some(())?;
            let definition = ffi::PyModule_GetDef(module);
            ffi::PyErr_Clear();
            let mut info: libc::Dl_info = std::mem::zeroed();
            let is_known = !definition.is_null() && libc::dladdr(definition.cast(), &mut info) != 0;
            is_known.then(|| place_of(std::ffi::CStr::from_ptr(info.dli_fname).to_bytes()))?
        }
    };
    let each = nodes.iter().enumerate().filter(|(_, node)| node.state.get() == State::Hidden);
    let homes = each.filter_map(|(at, node)| Some((at, library(node)?)));
    let whose = |home: usize| nodes.iter().position(|node| node.foreign == Some(home));
    homes.filter_map(|(at, home)| whose(home).map(|other| (at, other))).filter(|(at, other)| at != other).collect()
}

/// Is it a library of a foreign extension? Such a one is looked at when it is wanted.
pub fn has(path: &[u8]) -> bool {
    let place = copies::place(path);
    let is_it = |library: &Library| library.place == place && library.is_copied.load(Relaxed);
    place.is_some() && all().is_some_and(|all| all.libraries.iter().any(is_it))
}

/// May a module of it be handed over? Not if this process has loaded a copy.
pub fn may_be_handed(number: usize) -> bool {
    all().is_some_and(|all| all.libraries[number].whose.load(Relaxed) != COPIED)
}

/// A module of it is handed over.
pub fn hand(number: usize) {
    if let Some(library) = all().map(|all| &all.libraries[number])
        && library.whose.swap(HANDED, Relaxed) != HANDED
    {
        ends::hand(&library.path);
    }
}

/// Before the hand-off: could this process make copies?
pub fn may_copy() -> bool {
    let Some(all) = all() else { return true };
    let copied = all.libraries.iter().filter(|library| library.is_copied.load(Relaxed));
    let largest = copied.map(|library| library.size).max().unwrap_or(0);
    process::limit(libc::RLIMIT_FSIZE as usize).is_ok_and(|limit| limit.hard >= largest)
}

/// What is to be loaded in place of a specification.
pub struct Instead {
    /// The specification, with another place.
    pub spec: Object,
    origin: Object,
    copy: CString,
}

/// What is to be loaded instead; an error is an exception that is set.
///
/// # Safety
/// The GIL is held; a live object.
pub unsafe fn instead(spec: *mut PyObject) -> Result<Option<Instead>, ()> {
    // SAFETY: the caller's promise.
    let origin = unsafe { Object::share(spec) }.and_then(|spec| spec.attribute(c"origin"));
    let path = origin.as_ref().and_then(text);
    let (Some(origin), Some(path)) = (origin, path) else {
        // CPython will complain by itself.
        // SAFETY: the GIL is held.
        unsafe { ffi::PyErr_Clear() };
        return Ok(None);
    };
    let path = path.into_bytes();
    if note(&path) {
        return Ok(None);
    }
    let Some(all) = all() else { return Ok(None) };
    if !is_silent_extension(&path) {
        IS_LOUD.store(true, Relaxed);
    }
    let place = copies::place(&path);
    let is_it = |library: &&Library| library.path == path || place.is_some() && library.place == place;
    let Some(library) = all.libraries.iter().find(is_it) else { return Ok(None) };
    if library.whose.load(Relaxed) == HANDED || !library.is_copied.load(Relaxed) {
        return Ok(None);
    }
    let mut copy = library.copy.lock().unwrap_or_else(|e| e.into_inner());
    let (name, _file) = match copy.as_ref().filter(|copy| copy.of == place || place.is_none()) {
        Some(copy) => (copy.name.clone(), None),
        None => match all.companions.copy(&path) {
            Ok((name, file)) => {
                *copy = Some(Loaded { name: name.clone(), of: place });
                (name, Some(file))
            }
            Err(text) => {
                drop(copy);
                fail(&text);
                return Err(());
            }
        },
    };
    drop(copy);
    library.whose.store(COPIED, Relaxed);
    let flags = capi::sys(c"getdlopenflags").and_then(|function| {
        // SAFETY: the GIL is held; a function without parameters.
        unsafe { Object::own(ffi::PyObject_CallObject(function.raw(), std::ptr::null_mut())) }
    });
    // SAFETY: the GIL is held; a number, or -1 with an exception.
    let flags = flags.map_or(libc::RTLD_NOW, |flags| unsafe { ffi::PyLong_AsLong(flags.raw()) as libc::c_int });
    // While its descriptor is open; afterwards the loader knows it by its name.
    if let Err(text) = copies::load(&name, flags) {
        fail(&text);
        return Err(());
    }
    // SAFETY: the caller's promise.
    let spec = unsafe { with_origin(spec, &name) };
    match spec {
        Some(spec) => Ok(Some(Instead { spec, origin, copy: name })),
        None => Err(()),
    }
}

/// An ImportError.
fn fail(text: &str) {
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: the GIL is held; a C string.
    unsafe { ffi::PyErr_SetString(ffi::PyExc_ImportError, text.as_ptr()) };
}

/// A specification like this one (`ModuleSpec`, `Lib/importlib/_bootstrap.py`), with another place.
unsafe fn with_origin(spec: *mut PyObject, origin: &CString) -> Option<Object> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let modules = Object::share(ffi::PyImport_GetModuleDict())?;
        let class = super::record::item(&modules, "_frozen_importlib")?.attribute(c"ModuleSpec")?;
        let name = Object::share(spec)?.attribute(c"name")?;
        let arguments = Object::own(ffi::PyTuple_Pack(2, name.raw(), ffi::Py_None()))?;
        let other = Object::own(ffi::PyObject_CallObject(class.raw(), arguments.raw()))?;
        let (from, to) = (Object::share(spec)?.attribute(c"__dict__"), other.attribute(c"__dict__")?);
        if let Some(from) = from.filter(|from| ffi::PyDict_CheckExact(from.raw()) != 0) {
            (ffi::PyDict_Update(to.raw(), from.raw()) == 0).then_some(())?;
        }
        ffi::PyErr_Clear();
        let origin = Object::decoded(origin.to_bytes())?;
        (ffi::PyDict_SetItemString(to.raw(), c"origin".as_ptr(), origin.raw()) == 0).then_some(())?;
        Some(other)
    }
}

impl Instead {
    /// The module says that it comes from the original.
    ///
    /// # Safety
    /// The GIL is held; null, or a live object.
    pub unsafe fn put_right(&self, module: *mut PyObject) {
        // SAFETY: the caller's promise.
        unsafe {
            if module.is_null() || ffi::PyModule_Check(module) == 0 {
                return;
            }
            let names = ffi::PyModule_GetDict(module);
            let said = Object::share(ffi::PyDict_GetItemString(names, c"__file__".as_ptr()));
            if said.and_then(|said| text(&said)).is_some_and(|said| said.as_bytes() == self.copy.to_bytes()) {
                ffi::PyDict_SetItemString(names, c"__file__".as_ptr(), self.origin.raw());
            }
            ffi::PyErr_Clear();
        }
    }
}

/// While the zygote warms modules: an extension from outside the standard library is about to be initialised. False in a run.
fn note(path: &[u8]) -> bool {
    NOTED.with_borrow_mut(|noted| {
        let Some(noted) = noted else { return false };
        if !noted.paths.iter().any(|known| known == path) {
            noted.paths.push(path.to_vec());
        }
        if !is_library(path, &noted.library) {
            ends::expect(path);
            calls::attach(path);
        }
        true
    })
}

/// In a rehearsal, which ends afterwards: can each of these be loaded once more? Gives the first reason against it. `before` is what
/// was loaded before them.
pub fn try_copies(paths: &[Vec<u8>], before: &HashSet<Vec<u8>>) -> Vec<Option<String>> {
    let companions = Companions::since(before, paths);
    let flags = libc::RTLD_NOW;
    let attempt = |path: &Vec<u8>| companions.copy(path).and_then(|(name, _file)| copies::load(&name, flags)).err();
    paths.iter().map(attempt).collect()
}
