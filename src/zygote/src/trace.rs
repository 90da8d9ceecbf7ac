//! What a starting interpreter asks of the C library.
//!
//! Owns the list of what was asked while tracing is on: paths, names of
//! environment variables, and calls whose answer differs from run to run
//! (`Call`), which are handed to a callback at once, so that it can see who
//! asked. The functions themselves are in `trace/hooks.rs`. Decides nothing.
//!
//! Off by default: in a zygote and its workers each function costs one load
//! and one branch more than the C library's own.

mod hooks;

pub use hooks::resolve_all;

use core::cell::Cell;
use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::collections::{BTreeSet, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A question whose answer belongs to one run and cannot be shared with the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Clock,
    ProcessId,
    Session,
    Entropy,
    Terminal,
    StandardStream,
    Host,
    Limits,
    Priority,
    Processors,
    Umask,
    Load,
    WorkingDirectory,
    RelativePath,
    KernelFile,
    Thread,
    Process,
    Socket,
    Change,
    Signal,
    Locale,
    Output,
    AtExit,
    AtFork,
    Memory,
    Random,
}

impl Call {
    /// What the caller did, as the end of a sentence.
    pub const fn text(self) -> &'static CStr {
        match self {
            Call::Clock => c"reads the clock",
            Call::ProcessId => c"asks for a process id",
            Call::Session => c"asks for its process group or session",
            Call::Entropy => c"reads random bytes",
            Call::Terminal => c"looks at the terminal",
            Call::StandardStream => c"looks at a standard stream",
            Call::Host => c"asks for the name of the host",
            Call::Limits => c"reads its limits",
            Call::Priority => c"reads its priority",
            Call::Processors => c"asks for its processors",
            Call::Umask => c"reads or sets the umask",
            Call::Load => c"reads its resource usage or the system's load",
            Call::WorkingDirectory => c"asks for the working directory",
            Call::RelativePath => c"looks at a path relative to the working directory",
            Call::KernelFile => c"looks into /proc, /sys or /dev",
            Call::Thread => c"starts a thread",
            Call::Process => c"starts a process",
            Call::Socket => c"opens a socket",
            Call::Change => c"changes a file or directory",
            Call::Signal => c"sets a signal handler or a timer",
            Call::Locale => c"sets the locale",
            Call::Output => c"writes to a standard stream",
            Call::AtExit => c"registers something for the end of the process",
            Call::AtFork => c"registers something for forks",
            Call::Memory => c"locks memory, or keeps it from forks",
            Call::Random => c"draws random numbers of C's",
        }
    }
}

/// What was asked between `start` and `stop`.
#[derive(Default)]
pub struct Trace {
    /// Absolute paths, present or absent, each once, in the order of the first look.
    pub paths: Vec<Vec<u8>>,
    /// Those of them that were only asked whether they are links (`lstat`).
    pub passed: BTreeSet<Vec<u8>>,
    /// Names given to `getenv`.
    pub env_names: BTreeSet<Vec<u8>>,
    /// Relative paths, in order.
    pub relative: Vec<Vec<u8>>,
    /// `getcwd` was called.
    pub cwd: bool,
}

struct Log {
    trace: Trace,
    seen: Option<HashSet<Vec<u8>>>,
}

static ON: AtomicBool = AtomicBool::new(false);
/// Deeds are noted as well, and not only questions.
static DEEDS: AtomicBool = AtomicBool::new(false);
static NOTE: AtomicUsize = AtomicUsize::new(0);
static LOG: Mutex<Log> = Mutex::new(Log {
    trace: Trace {
        paths: Vec::new(),
        passed: BTreeSet::new(),
        env_names: BTreeSet::new(),
        relative: Vec::new(),
        cwd: false,
    },
    seen: None,
});

/// Begin: paths and names are collected, and `note` is called for each `Call`.
pub fn start(note: fn(Call)) {
    NOTE.store(note as usize, Relaxed);
    ON.store(true, Relaxed);
}

/// As `start`, and `note` is called as well for what leaves traces outside (`Call::Process` and the rest). A probe has audit
/// events for those.
pub fn start_with_deeds(note: fn(Call)) {
    DEEDS.store(true, Relaxed);
    start(note);
}

/// Stop for a moment; gives what to hand to `resume`.
pub fn pause() -> bool {
    ON.swap(false, Relaxed)
}

/// Go on as before `pause`.
pub fn resume(was: bool) {
    ON.store(was, Relaxed);
}

/// Forget that this variable was read.
pub fn forget_variable(name: &[u8]) {
    log().trace.env_names.remove(name);
}

/// Gives what was collected since the start or the last time, and goes on.
pub fn take() -> Trace {
    let mut log = log();
    log.seen = None;
    core::mem::take(&mut log.trace)
}

/// End, and give what was collected.
pub fn stop() -> Trace {
    ON.store(false, Relaxed);
    DEEDS.store(false, Relaxed);
    let mut log = log();
    log.seen = None;
    core::mem::take(&mut log.trace)
}

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn on() -> bool {
    ON.load(Relaxed)
}

fn note(call: Call) {
    thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });
    let callback = NOTE.load(Relaxed);
    if callback == 0 || INSIDE.replace(true) {
        return;
    }
    // SAFETY: only `start` writes NOTE, and only with a `fn(Call)`.
    let callback: fn(Call) = unsafe { core::mem::transmute(callback) };
    // The caller may look at errno after a call that did not fail.
    // SAFETY: the address of this thread's errno is always valid.
    let errno = unsafe { *libc::__errno_location() };
    callback(call);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    INSIDE.set(false);
}

/// A path was looked at. `path` is what a caller handed to the C library: null or a C string.
fn look(path: *const c_char) {
    if path.is_null() {
        return;
    }
    // SAFETY: not null, and the caller's contract with the C library is a C string.
    path_bytes(unsafe { CStr::from_ptr(path) }.to_bytes());
}

/// As `look`, but a link is not followed: `realpath` asks so of each directory on its way.
fn pass_by(path: *const c_char) {
    if path.is_null() {
        return;
    }
    // SAFETY: as in `look`.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    let is_new = log().seen.as_ref().is_none_or(|seen| !seen.contains(bytes));
    look(path);
    if is_new {
        log().trace.passed.insert(bytes.to_vec());
        log().seen.get_or_insert_default().remove(bytes);
    }
}

/// As `look`, relative to an open directory.
fn look_at(directory: c_int, path: *const c_char) {
    // SAFETY: as in `look`.
    let relative = !path.is_null() && unsafe { !matches!(*path.cast::<u8>(), b'/' | 0) };
    if !relative || directory == libc::AT_FDCWD {
        return look(path);
    }
    let was = pause();
    let link = std::fs::read_link(format!("/proc/self/fd/{directory}"));
    resume(was);
    if let Ok(link) = link {
        // SAFETY: as in `look`; it is not null, see `relative`.
        let path = unsafe { CStr::from_ptr(path) }.to_bytes();
        path_bytes(&[link.as_os_str().as_bytes(), b"/", path].concat());
    }
}

fn path_bytes(path: &[u8]) {
    match path.first() {
        None => {}
        Some(b'/') => match source(path) {
            Source::Disk => remember(path),
            Source::Machine => {}
            Source::Moment(call) => note(call),
        },
        Some(_) => {
            log().trace.relative.push(path.to_vec());
            note(Call::RelativePath);
        }
    }
}

fn remember(path: &[u8]) {
    let log = &mut *log();
    if log.seen.get_or_insert_default().insert(path.to_vec()) && !log.trace.passed.remove(path) {
        log.trace.paths.push(path.to_vec());
    }
}

/// Whose answer does a file give?
enum Source {
    /// A file system's: a file like any other.
    Disk,
    /// The kernel's, the same for every process.
    Machine,
    /// The kernel's, for this process or this moment.
    Moment(Call),
}

fn source(path: &[u8]) -> Source {
    const MACHINE: &[&str] = &["/dev/null", "/proc/cpuinfo", "/proc/version", "/sys/devices/system/cpu"];
    let below = |d: &str| path.strip_prefix(d.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
    if !["/proc", "/sys", "/dev"].into_iter().any(below) {
        Source::Disk
    } else if MACHINE.iter().any(|d| below(d)) {
        Source::Machine
    } else if below("/dev/urandom") || below("/dev/random") {
        Source::Moment(Call::Entropy)
    } else {
        Source::Moment(Call::KernelFile)
    }
}

fn variable(name: *const c_char) {
    if !name.is_null() {
        // SAFETY: not null, and `getenv` takes a C string.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        log().trace.env_names.insert(name.to_vec());
    }
}

fn working_directory() {
    log().trace.cwd = true;
    note(Call::WorkingDirectory);
}

/// The monotonic clock is no sign of anything: since 3.11 CPython reads it
/// whenever a lock is taken (Python/thread_pthread.h, `PyThread_acquire_lock_timed`).
/// Whoever looks from within Python must watch `time.monotonic` there.
fn clock_read(clock: c_int) {
    if clock != libc::CLOCK_MONOTONIC {
        note(Call::Clock);
    }
}

/// Descriptors 0 to 2 differ from run to run; what is asked of others is the
/// business of whoever opened them (`open()` asks `isatty` of every file).
fn standard_stream(fd: c_int, call: Call) {
    if (0..=2).contains(&fd) {
        note(call);
    }
}

fn has_deeds() -> bool {
    DEEDS.load(Relaxed)
}

/// Something that lasts was done.
fn deed(call: Call) {
    if has_deeds() {
        note(call);
    }
}

fn deed_if(is_one: bool, call: Call) {
    if is_one {
        deed(call);
    }
}

/// A file is opened, maybe to be changed.
fn open_with(path: *const c_char, flags: c_int) {
    let changes = flags & (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC) != 0;
    // SAFETY: as in `look`.
    deed_if(changes && !path.is_null() && unsafe { CStr::from_ptr(path) } != c"/dev/null", Call::Change);
}

fn open_mode(mode: *const c_char) {
    // SAFETY: the caller's contract with `fopen` is a C string.
    let mode = if mode.is_null() { b"" } else { unsafe { CStr::from_ptr(mode) }.to_bytes() };
    deed_if(mode.iter().any(|b| b"wa+".contains(b)), Call::Change);
}
