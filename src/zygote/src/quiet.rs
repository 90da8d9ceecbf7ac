//! Ending without `Py_FinalizeEx` where nobody could see the difference.
//!
//! Finalising an interpreter costs more than everything else of a short run,
//! and mostly it only frees memory. Owns the proof that it would do nothing
//! else: no code of the user's would run, no file would be flushed or
//! closed with effect, nothing would be printed. What is not known to be silent is
//! not silent, and then the interpreter is finalised in full.
//!
//! The proof has a base and a step. The zygote is looked at once, whole
//! (`prepare`). At the hand-off a marker goes to the end of the collector's
//! youngest list (`begin`). A list only grows at its end, a collection moves the
//! younger list's objects behind the older's, and the marker, which is held from
//! outside, keeps its place; so at the end every object made since lies
//! behind it (`objects`), and is looked at by its type (`kinds`). What can be done to older objects is
//! checked by itself: their classes' slots, the streams, the modules' table.
//! Only `gc.freeze` and `gc.unfreeze` could upset the order, and then the end is full.
//!
//! What CPython runs before it finalises (`shutdown`) is run here where there is any, in the way it does, and what is left
//! is looked at then.

mod classes;
mod collector;
mod files;
mod kinds;
pub mod layout;
mod libraries;
mod objects;
mod shutdown;
mod spent;
mod streams;
pub mod uses;

use crate::capi::{self, Object};
use crate::counts;
use crate::names::{self, Name};
use crate::watchers::Watchers;
use kinds::Kinds;
pub use layout::{HEAD, Layout, word};
use libc::{c_char, c_int};
pub use libraries::{MODULES as KNOWN_EXTENSIONS, home_of, is_silent_extension};
pub use objects::{Kept, Rest};
use pyo3::ffi::{self, PyObject};
pub use shutdown::call_at_end;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};
use streams::Streams;

/// What the zygote found out; null if no run can end quietly.
static GROUND: AtomicPtr<Ground> = AtomicPtr::new(std::ptr::null_mut());

/// The streams at the hand-off; null before it.
static STREAMS: AtomicPtr<Streams> = AtomicPtr::new(std::ptr::null_mut());

/// What the zygote knows of itself.
struct Ground {
    layout: Layout,
    kinds: Kinds,
    /// Tracked by the collector, and the last of its kind at the hand-off.
    marker: Object,
    old: objects::Old,
    /// `_warnings.filters` and what it held: addresses, because what hangs on it must end when cold it would.
    filters: usize,
    rules: Vec<usize>,
    libraries: libraries::Known,
    watchers: Watchers,
}

/// An entry of `PyImport_Inittab` (`Include/cpython/import.h`).
#[repr(C)]
struct Entry {
    name: *const c_char,
    init: Option<unsafe extern "C" fn() -> *mut PyObject>,
}

unsafe extern "C" {
    static PyImport_Inittab: *mut Entry;
}

/// Somebody has imported `gc`.
static GC_SEEN: AtomicBool = AtomicBool::new(false);
static GC_INIT: AtomicUsize = AtomicUsize::new(0);
static ATEXIT_INIT: AtomicUsize = AtomicUsize::new(0);

/// Has us told when somebody imports `gc` or `atexit`.
pub fn before_init() {
    // SAFETY: CPython's table, which ends with a null name; the interpreter is not yet initialised.
    unsafe {
        let mut entry = PyImport_Inittab;
        while !(*entry).name.is_null() {
            match CStr::from_ptr((*entry).name).to_bytes() {
                b"gc" => wrap(entry, &GC_INIT, init_gc),
                b"atexit" => wrap(entry, &ATEXIT_INIT, init_atexit),
                _ => {}
            }
            entry = entry.add(1);
        }
    }
}

unsafe fn wrap(entry: *mut Entry, original: &AtomicUsize, ours: unsafe extern "C" fn() -> *mut PyObject) {
    // SAFETY: an entry of CPython's table.
    unsafe {
        if let Some(init) = (*entry).init {
            original.store(init as usize, Relaxed);
            (*entry).init = Some(ours);
        }
    }
}

unsafe extern "C" fn init_gc() -> *mut PyObject {
    see_gc();
    // SAFETY: stored by `wrap`; what it returns is what `watch` wants.
    unsafe {
        let module = original(&GC_INIT)();
        collector::watch(module);
        module
    }
}

unsafe extern "C" fn init_atexit() -> *mut PyObject {
    // SAFETY: stored by `wrap`; what it returns is what `watch` wants.
    unsafe {
        let definition = original(&ATEXIT_INIT)();
        shutdown::watch(definition);
        definition
    }
}

unsafe fn original(place: &AtomicUsize) -> unsafe extern "C" fn() -> *mut PyObject {
    // SAFETY: the caller stored a function of this type.
    unsafe { std::mem::transmute::<usize, unsafe extern "C" fn() -> *mut PyObject>(place.load(Relaxed)) }
}

/// Where CPython keeps what this room and `warm` look at; None if that is not known.
pub fn find_layout() -> Option<Layout> {
    layout::find()
}

/// Was `gc` imported, and what is registered with `atexit`?
pub fn seen() -> (bool, usize) {
    (GC_SEEN.load(Relaxed), shutdown::registered())
}

/// What has been imported and registered since was our own doing, and is hidden now.
pub fn forget((gc, registered): (bool, usize)) {
    GC_SEEN.store(gc, Relaxed);
    shutdown::forget(registered);
}

/// Somebody gets `gc`, which shows all objects: those of ours go.
pub fn see_gc() {
    GC_SEEN.store(true, Relaxed);
    counts::aside(|| {
        crate::adopt::drop_unused();
        crate::warm::drop_unused();
    });
}

/// Does nobody listen to audit events?
pub fn has_no_audit_hooks(layout: &Layout) -> bool {
    layout.has_no_audit_hooks()
}

/// What the end of these objects would do, of a module that is warm.
pub fn examine(layout: &Layout, objects: Vec<usize>) -> Option<Kept> {
    Some(Kept::examine(layout, &Kinds::new(layout)?, objects))
}

/// In the zygote, when everything else is there: looks at all there is.
pub fn prepare(layout: Option<Layout>) {
    if let Some(ground) = layout.and_then(Ground::new) {
        classes::listen();
        GROUND.store(Box::into_raw(Box::new(ground)), Relaxed);
    }
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
}

/// Is it known of this interpreter how to end quietly? Then nobody listens to its audit events either.
pub fn is_possible() -> bool {
    ground().is_some()
}

/// Just before the script's first line.
pub fn begin() {
    let Some(ground) = ground() else { return };
    let Some(streams) = Streams::now(&ground.kinds) else { return };
    STREAMS.store(Box::into_raw(Box::new(streams)), Relaxed);
    classes::begin();
    uses::begin();
    // SAFETY: the GIL is held; the marker is a tracked list.
    unsafe {
        ffi::PyObject_GC_UnTrack(ground.marker.raw().cast());
        ffi::PyObject_GC_Track(ground.marker.raw().cast());
    }
}

/// For a rehearsal: asks what is asked after a script, of the streams that are there now.
pub fn rehearse() {
    if let Some(ground) = ground()
        && let Some(streams) = Streams::now(&ground.kinds)
    {
        ground.is_idle();
        ground.is_silent(&streams);
    }
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
}

/// After the script: would `Py_FinalizeEx` do nothing more that can be seen? Does what can, as it would: what is to be called
/// before (`shutdown`), and flushing the streams.
pub fn is_silent() -> bool {
    let Some(ground) = ground() else { return false };
    // SAFETY: stored by `begin`, never freed.
    let Some(streams) = (unsafe { STREAMS.load(Relaxed).as_ref() }) else { return false };
    let silent = ground.ends_silently(streams);
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
    silent
}

/// The same, but nothing is called before.
pub fn is_silent_as_it_is() -> bool {
    // SAFETY: stored by `begin`, never freed.
    let streams = unsafe { STREAMS.load(Relaxed).as_ref() };
    let silent = ground().zip(streams).is_some_and(|(ground, streams)| ground.is_idle() && ground.is_silent(streams));
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
    silent
}

/// Has start-up left nothing that is to be called at the end, or would be seen then?
pub fn is_start_up_silent() -> bool {
    let silent = ground().is_some_and(|ground| ground.is_idle() && ground.old.is_silent());
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
    silent
}

/// Is `sys.stderr` what it was at the hand-off, without methods of the script's?
pub fn has_own_stderr() -> bool {
    // SAFETY: stored by `begin`, never freed.
    ground().zip(unsafe { STREAMS.load(Relaxed).as_ref() }).is_some_and(|(ground, s)| s.are_as_before(&ground.kinds))
}

fn ground() -> Option<&'static Ground> {
    // SAFETY: stored by `prepare`, never freed.
    unsafe { GROUND.load(Relaxed).as_ref() }
}

impl Ground {
    fn new(layout: Layout) -> Option<Ground> {
        if !only_known_builtins() || !is_plain_start() {
            return None;
        }
        let libraries = libraries::Known::now()?;
        let kinds = Kinds::new(&layout)?;
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let filters = filters_of(&names::UNDER_WARNINGS)?;
            let rules = items(&filters)?;
            let filters = filters.raw() as usize;
            let old = objects::Old::look(&layout, &kinds)?;
            let marker = Object::own(ffi::PyList_New(0))?;
            let watchers = Watchers::find()?;
            Some(Ground { layout, kinds, marker, old, filters, rules, libraries, watchers })
        }
    }

    /// Does what comes before finalising, and asks whether that would be silent.
    fn ends_silently(&self, streams: &Streams) -> bool {
        if self.is_idle() {
            return self.is_silent(streams);
        }
        if !self.may_be_silent(streams) || !shutdown::can_run(&self.layout, self.libraries.library()) {
            return false;
        }
        shutdown::run(&self.layout);
        let silent = is_alone() && self.is_silent(streams);
        if !silent {
            shutdown::settle(&self.layout);
        }
        silent
    }

    /// Is nothing to be called before finalising?
    fn is_idle(&self) -> bool {
        is_alone() && shutdown::is_idle()
    }

    /// What is asked of objects comes late; flushing last.
    fn is_silent(&self, streams: &Streams) -> bool {
        self.may_be_silent(streams) && objects::are_silent(self, streams) && streams.flush()
    }

    /// All but the objects, and how many threads there are.
    fn may_be_silent(&self, streams: &Streams) -> bool {
        self.layout.has_no_audit_hooks()
            && self.watchers.are_none()
            && (!GC_SEEN.load(Relaxed) || collector::is_plain(&self.layout))
            && self.libraries.are_all_known()
            && crate::warm::has_only_silent_extensions()
            && self.modules_are_plain()
            && self.warnings_are_as_before()
            && streams.are_as_before(&self.kinds)
    }

    /// No keys in the modules' table that are code when looked up.
    fn modules_are_plain(&self) -> bool {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let modules = ffi::PyImport_GetModuleDict();
            !modules.is_null()
                && has_plain_keys(&self.layout, modules)
                && has_plain_keys(&self.layout, ffi::PyEval_GetBuiltins())
        }
    }

    /// The rules as before, and between them others that ignore something, or are not about `ResourceWarning`.
    fn have_no_louder(&self, rules: &[usize]) -> bool {
        let mut before = self.rules.iter().peekable();
        let is_harmless = |rule: usize| {
            // SAFETY: the GIL is held; items of a list. Nothing of anybody's code is run.
            unsafe {
                let rule = rule as *mut PyObject;
                if ffi::PyTuple_CheckExact(rule) == 0 || ffi::PyTuple_Size(rule) < 3 {
                    return false;
                }
                let (action, category) = (ffi::PyTuple_GetItem(rule, 0), ffi::PyTuple_GetItem(rule, 2));
                let ignores = ffi::PyUnicode_CheckExact(action) != 0
                    && ffi::PyUnicode_CompareWithASCIIString(action, c"ignore".as_ptr()) == 0;
                let is_other = ffi::Py_TYPE(category) == &raw mut ffi::PyType_Type
                    && ffi::PyType_IsSubtype(ffi::PyExc_ResourceWarning.cast(), category.cast()) == 0;
                ignores || is_other
            }
        };
        rules.iter().all(|rule| before.next_if_eq(&rule).is_some() || is_harmless(*rule)) && before.next().is_none()
    }

    /// What is not closed is warned about; by default that is ignored.
    fn warnings_are_as_before(&self) -> bool {
        let as_before = |filters: &Object| filters.raw() as usize == self.filters;
        // SAFETY: the GIL is held; the table of modules is a dictionary.
        let is_imported = names::item(unsafe { ffi::PyImport_GetModuleDict() }, &names::WARNINGS).is_some();
        filters_of(&names::UNDER_WARNINGS)
            .is_some_and(|filters| as_before(&filters) && items(&filters).is_some_and(|now| self.have_no_louder(&now)))
            && (!is_imported || filters_of(&names::WARNINGS).is_some_and(|filters| as_before(&filters)))
    }
}

/// `filters` of a plain module that has been imported.
fn filters_of(name: &Name) -> Option<Object> {
    // SAFETY: the GIL is held; the table of modules, and a module's own table, are dictionaries.
    unsafe {
        let module = names::item(ffi::PyImport_GetModuleDict(), name)?;
        (ffi::PyModule_CheckExact(module.raw()) != 0).then_some(())?;
        names::item(ffi::PyModule_GetDict(module.raw()), &names::FILTERS)
    }
}

/// Are all keys exact `str`, whose hash and comparison are CPython's own?
///
/// # Safety
/// An exact dictionary; the GIL is held.
unsafe fn has_plain_keys(layout: &Layout, dictionary: *mut PyObject) -> bool {
    // SAFETY: the caller's promise; nothing is changed while we look.
    unsafe {
        if layout.has_str_keys_only(dictionary as usize) {
            return true;
        }
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        while ffi::PyDict_Next(dictionary, &mut at, &mut key, &mut value) != 0 {
            if ffi::PyUnicode_CheckExact(key) == 0 {
                return false;
            }
        }
        true
    }
}

/// The addresses of a list's items.
fn items(list: &Object) -> Option<Vec<usize>> {
    // SAFETY: the GIL is held; indices below the length.
    unsafe {
        (ffi::PyList_CheckExact(list.raw()) != 0).then_some(())?;
        Some((0..ffi::PyList_Size(list.raw())).map(|at| ffi::PyList_GetItem(list.raw(), at) as usize).collect())
    }
}

unsafe extern "C" {
    fn PyInterpreterState_Head() -> *mut ffi::PyInterpreterState;
    fn PyInterpreterState_Next(interpreter: *mut ffi::PyInterpreterState) -> *mut ffi::PyInterpreterState;
    fn PyInterpreterState_ThreadHead(interpreter: *mut ffi::PyInterpreterState) -> *mut ffi::PyThreadState;
    fn PyThreadState_Next(thread: *mut ffi::PyThreadState) -> *mut ffi::PyThreadState;
}

/// One interpreter with one thread.
fn is_alone() -> bool {
    // SAFETY: the GIL is held.
    unsafe {
        let interpreter = PyInterpreterState_Head();
        !interpreter.is_null()
            && PyInterpreterState_Next(interpreter).is_null()
            && PyThreadState_Next(PyInterpreterState_ThreadHead(interpreter)).is_null()
    }
}

/// No option that makes an interpreter talk at its end, and no rule about warnings but CPython's own.
pub fn is_plain_start() -> bool {
    let zero = |name: &CStr| {
        // SAFETY: the GIL is held.
        capi::sys(c"flags")
            .and_then(|flags| flags.attribute(name))
            .is_some_and(|v| unsafe { ffi::PyObject_IsTrue(v.raw()) == 0 })
    };
    // SAFETY: the GIL is held; C strings.
    unsafe {
        (9..=13).contains(&minor_version())
            && [c"verbose", c"inspect", c"interactive", c"dev_mode", c"debug"].into_iter().all(zero)
            && capi::sys(c"warnoptions").is_some_and(|options| ffi::PyObject_Size(options.raw()) == 0)
            && libc::getenv(c"PYTHONMALLOCSTATS".as_ptr()).is_null()
            && capi::sys(c"abiflags").is_some_and(|flags| ffi::PyObject_Size(flags.raw()) == 0)
    }
}

/// CPython's minor version.
pub fn minor_version() -> c_int {
    // SAFETY: a static string such as "3.12.1 (main, …".
    let text = unsafe { CStr::from_ptr(ffi::Py_GetVersion()) }.to_bytes();
    let digits = text.get(2..).unwrap_or(b"").iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |n, b| n * 10 + c_int::from(b - b'0'))
}

/// Modules that are part of the interpreter: all must be known to leave nothing to do at the end.
fn only_known_builtins() -> bool {
    // SAFETY: CPython's table, which ends with a null name.
    unsafe {
        let mut entry = PyImport_Inittab;
        while !(*entry).name.is_null() {
            let name = CStr::from_ptr((*entry).name).to_bytes();
            if !libraries::BUILT_IN
                .split(' ')
                .chain(libraries::MODULES.split(' '))
                .any(|known| known.as_bytes() == name)
            {
                return false;
            }
            entry = entry.add(1);
        }
        true
    }
}
