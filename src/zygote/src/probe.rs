//! The probe: a run of the interpreter that only finds out what start-up does.
//!
//! Owns the audit hook, the private namespace in which python/probe.py runs,
//! and the making of the report. Does not own the start of the interpreter:
//! `before_init` goes before Py_InitializeFromConfig, `after_init` after it.
//!
//! A probe never becomes a zygote, so whatever it does to the interpreter in
//! order to see more (stand-ins for os.environ, sys.argv, sys.stdout) is lost.

mod environment;
mod state;
mod verdict;

use crate::trace::{self, Call};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, Ordering::Relaxed};
use environment::{Entry, environment, value};
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyzy_core::report::Change;
use state::State;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SOURCE: &str = include_str!("../../../python/probe.py");

/// `Include/cpython/sysmodule.h`; exported since 3.8, not part of the limited API.
type AuditHook = unsafe extern "C" fn(*const c_char, *mut PyObject, *mut c_void) -> c_int;

unsafe extern "C" {
    fn PySys_AddAuditHook(hook: AuditHook, data: *mut c_void) -> c_int;
}

/// Functions of python/probe.py, owned for ever once set.
struct Functions {
    event: AtomicPtr<PyObject>,
    noted: AtomicPtr<PyObject>,
    end: AtomicPtr<PyObject>,
}

static FUNCTIONS: Functions =
    Functions { event: AtomicPtr::new(null_mut()), noted: AtomicPtr::new(null_mut()), end: AtomicPtr::new(null_mut()) };
/// Our own Python code is running; what it does is not start-up's.
static BUSY: AtomicBool = AtomicBool::new(false);
/// What went wrong with the probe itself, so that the verdict cannot be "pure".
static FAILURE: Mutex<Option<Vec<u8>>> = Mutex::new(None);
/// The only thread that is observed. Others are a finding in themselves.
static THREAD: AtomicI64 = AtomicI64::new(0);
static BEFORE: Mutex<Before> = Mutex::new(Before { lc_ctype: None, state: None, environment: Vec::new() });

/// What was there before start-up code ran.
struct Before {
    /// LC_CTYPE as the process got it, before PEP 538.
    lc_ctype: Option<Vec<u8>>,
    state: Option<State>,
    environment: Vec<Entry>,
}

/// What python/probe.py's `end` gives.
#[derive(Default)]
struct Findings {
    impure: Vec<Vec<u8>>,
    version: (u8, u8, u8),
    version_text: Vec<u8>,
    free_threaded: bool,
    debug: bool,
    paths: Vec<Vec<u8>>,
    /// Directories in which only names were looked for, and these: they are paths as well.
    asked: (Vec<Vec<u8>>, Vec<Vec<u8>>),
    env_names: Vec<Vec<u8>>,
    environ_changes: Vec<Change>,
    repairs: Vec<String>,
}

/// Start observing. Call it before Py_InitializeFromConfig.
pub fn before_init() {
    THREAD.store(thread(), Relaxed);
    before().lc_ctype = value(&environment(), b"LC_CTYPE");
    // SAFETY: allowed before the interpreter is initialised; the hook lives as long as the process.
    if unsafe { PySys_AddAuditHook(audit, null_mut()) } != 0 {
        failed(b"no audit hook");
    }
    trace::start(noted);
}

/// Stop observing and write the report. Call it once Py_InitializeFromConfig
/// has succeeded, with the GIL held; end the process afterwards.
pub fn after_init(report_fd: RawFd) -> io::Result<()> {
    trace::pause();
    BUSY.store(true, Relaxed);
    if FUNCTIONS.end.load(Relaxed).is_null() {
        // -S: os was never imported.
        begin();
    }
    let trace = trace::stop();
    let findings = Python::attach(|py| {
        Findings::collect(py).unwrap_or_else(|error| {
            failed(error.to_string().as_bytes());
            Findings::failed()
        })
    });
    let failure = FAILURE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let report = verdict::report(findings, trace, &before(), failure);
    // SAFETY: the descriptor stays the caller's, ManuallyDrop does not close it.
    let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(report_fd) });
    file.write_all(&report.encode())
}

/// While it lives, neither the trace nor the audit hook listens.
struct Busy(bool);

impl Busy {
    fn enter() -> Option<Busy> {
        if thread() != THREAD.load(Relaxed) || BUSY.swap(true, Relaxed) { None } else { Some(Busy(trace::pause())) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        trace::resume(self.0);
        BUSY.store(false, Relaxed);
    }
}

fn thread() -> i64 {
    // SAFETY: asks only. A system call, because getpid and gettid are traced.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

unsafe extern "C" fn audit(event: *const c_char, args: *mut PyObject, _data: *mut c_void) -> c_int {
    let Some(_busy) = Busy::enter() else { return 0 };
    let mut function = FUNCTIONS.event.load(Relaxed);
    if function.is_null() {
        // SAFETY: CPython hands over a C string.
        let import = unsafe { CStr::from_ptr(event) } == c"import";
        // `os` is complete when the next module is imported: Lib/site.py goes on
        // with _sitebuiltins, long before it looks for .pth files.
        if !import || has_failed() || !os_is_ready() {
            return 0;
        }
        begin();
        function = FUNCTIONS.event.load(Relaxed);
    }
    // SAFETY: audit hooks run with the GIL held; `args` is null or a tuple.
    unsafe {
        let name = ffi::PyUnicode_FromString(event);
        let none = if args.is_null() { ffi::PyTuple_New(0) } else { null_mut() };
        call(function, &[name, if args.is_null() { none } else { args }]);
        ffi::Py_XDECREF(name);
        ffi::Py_XDECREF(none);
    }
    0
}

fn noted(what: Call) {
    // Whether a relative path matters is seen at the end, by all of them (`verdict::report`). What uname(2) says is part of
    // the identity (`src/launch/src/facts.rs`): all of its callers were told the same.
    if matches!(what, Call::RelativePath | Call::Host) {
        return;
    }
    let Some(_busy) = Busy::enter() else { return };
    let function = FUNCTIONS.noted.load(Relaxed);
    if function.is_null() {
        // The interpreter itself, before anything else could run.
        return;
    }
    // SAFETY: the interpreter is far enough to run Python code, or `begin` could
    // not have. CPython calls some of these functions with the GIL released and
    // some with it held; PyGILState_Ensure copes with both. A pending exception
    // is put aside.
    unsafe {
        let gil = ffi::PyGILState_Ensure();
        let (mut kind, mut value, mut traceback) = (null_mut(), null_mut(), null_mut());
        ffi::PyErr_Fetch(&mut kind, &mut value, &mut traceback);
        let verb = ffi::PyUnicode_FromString(what.text().as_ptr());
        call(function, &[verb]);
        ffi::Py_XDECREF(verb);
        ffi::PyErr_Restore(kind, value, traceback);
        ffi::PyGILState_Release(gil);
    }
}

/// Call a Python function for its effect.
///
/// # Safety
/// The GIL is held; `function` and `args` are null or live objects.
unsafe fn call(function: *mut PyObject, args: &[*mut PyObject]) {
    if function.is_null() || args.iter().any(|a| a.is_null()) {
        failed(b"an object is missing");
        return;
    }
    let at = |n: usize| args.get(n).copied().unwrap_or(null_mut());
    // SAFETY: live objects; the list ends with the first null.
    unsafe {
        let result = ffi::PyObject_CallFunctionObjArgs(function, at(0), at(1), null_mut::<PyObject>());
        if result.is_null() {
            complain();
        }
        ffi::Py_XDECREF(result);
    }
}

/// # Safety
/// The GIL is held.
unsafe fn complain() {
    // SAFETY: the caller's promise; every object is null or owned, and released once.
    unsafe {
        let (mut kind, mut value, mut traceback) = (null_mut(), null_mut(), null_mut());
        ffi::PyErr_Fetch(&mut kind, &mut value, &mut traceback);
        let text = if value.is_null() { null_mut() } else { ffi::PyObject_Repr(value) };
        let bytes = if text.is_null() { null_mut() } else { ffi::PyUnicode_AsUTF8String(text) };
        let start = if bytes.is_null() { null_mut() } else { ffi::PyBytes_AsString(bytes) };
        failed(if start.is_null() { b"an exception" } else { CStr::from_ptr(start).to_bytes() });
        for object in [kind, value, traceback, text, bytes] {
            ffi::Py_XDECREF(object);
        }
        ffi::PyErr_Clear();
    }
}

fn has_failed() -> bool {
    FAILURE.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

fn failed(why: &[u8]) {
    FAILURE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.to_vec());
}

/// Until Lib/os.py is nearly through, `os.environ` is the plain dict of `posix`.
fn os_is_ready() -> bool {
    // SAFETY: called from an audit event of an import, which needs the GIL and
    // sys.modules. The first two references are borrowed, the third is released.
    unsafe {
        let modules = ffi::PyImport_GetModuleDict();
        let os = if modules.is_null() { modules } else { ffi::PyDict_GetItemString(modules, c"os".as_ptr()) };
        if os.is_null() || ffi::PyObject_HasAttrString(os, c"environ".as_ptr()) == 0 {
            return false;
        }
        let environment = ffi::PyObject_GetAttrString(os, c"environ".as_ptr());
        let ready = !environment.is_null() && ffi::PyObject_HasAttrString(environment, c"_data".as_ptr()) == 1;
        ffi::Py_XDECREF(environment);
        ready
    }
}

/// Load python/probe.py and let it begin. Its namespace is in no sys.modules.
fn begin() {
    // CPython reads PATH in order to find itself, and uses it only when its own
    // name has no slash (Modules/getpath.py, Modules/getpath.c before 3.11).
    if first_argument().contains(&b'/') {
        trace::forget_variable(b"PATH");
    }
    // SAFETY: the GIL is held: both callers run within the interpreter.
    if unsafe { load() }.is_none() {
        // SAFETY: as above.
        unsafe { complain() };
    }
    let mut before = before();
    before.state = Some(State::take());
    before.environment = environment();
}

/// # Safety
/// The GIL is held.
unsafe fn load() -> Option<()> {
    let source = CString::new(SOURCE).ok()?;
    let present = |object: *mut PyObject| (!object.is_null()).then_some(object);
    // SAFETY: the GIL is held, every object is checked before use. The few
    // references are kept for the short rest of the process.
    unsafe {
        let globals = present(ffi::PyDict_New())?;
        ffi::PyDict_SetItemString(globals, c"__builtins__".as_ptr(), present(ffi::PyEval_GetBuiltins())?);
        let name = present(ffi::PyUnicode_FromString(c"<pyzy probe>".as_ptr()))?;
        ffi::PyDict_SetItemString(globals, c"__name__".as_ptr(), name);
        let code = present(ffi::Py_CompileString(source.as_ptr(), c"<pyzy probe>".as_ptr(), ffi::Py_file_input))?;
        present(ffi::PyEval_EvalCode(code, globals, globals))?;
        let function = |name: &CStr| present(ffi::PyDict_GetItemString(globals, name.as_ptr()));
        call(function(c"begin")?, &[]);
        FUNCTIONS.event.store(function(c"event")?, Relaxed);
        FUNCTIONS.noted.store(function(c"noted")?, Relaxed);
        FUNCTIONS.end.store(function(c"end")?, Relaxed);
    }
    Some(())
}

impl Findings {
    fn collect(py: Python<'_>) -> PyResult<Findings> {
        // SAFETY: null, or a function that is never released.
        let end = unsafe { Bound::from_borrowed_ptr_or_opt(py, FUNCTIONS.end.load(Relaxed)) };
        let Some(end) = end else { return Ok(Findings::failed()) };
        // PyO3 takes tuples of up to twelve.
        let (
            impure,
            version,
            version_text,
            free_threaded,
            debug,
            paths,
            only,
            names,
            env_names,
            environ_changes,
            repairs,
        ) = end.call0()?.extract()?;
        let asked = (only, names);
        Ok(Findings {
            impure,
            version,
            version_text,
            free_threaded,
            debug,
            paths,
            asked,
            env_names,
            environ_changes,
            repairs,
        })
    }

    /// Nothing is known, hence nothing is pure.
    fn failed() -> Findings {
        failed(b"it told nothing");
        Findings::default()
    }
}

fn before() -> MutexGuard<'static, Before> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn first_argument() -> Vec<u8> {
    let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    line.split(|&b| b == 0).next().unwrap_or_default().to_vec()
}
