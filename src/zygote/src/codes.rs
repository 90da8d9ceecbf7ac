//! Scripts that are compiled already.
//!
//! Owns what a run does with them: it looks for its script's code, and asks the zygote to compile what is not there.
//! What takes most of the time of many a script is to compile it. Nothing is kept of a file that changed a moment ago,
//! and nothing is used where somebody listens to audit events. `make` is the zygote's side.

pub mod make;

use crate::capi::Object;
use crate::counts::Compiled;
use crate::{entry, quiet};
use libc::{FILE, c_char, c_int};
use pyo3::ffi;
use pyzy_core::codes::{Script, WINDOW};
use pyzy_core::start::Start;
use pyzy_core::{vars, wire};
use pyzy_sys::file::{self, Fd, Stat};
use pyzy_sys::{net, process};
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// How long a file must have been left alone, nanoseconds: the coarsest clock of a file system has ticked since, and what was written by way
/// of a mapping has been written out, so that the next write shows in the times (`man 2 mmap`, MAP_SHARED; `man 5 proc_sys_vm`,
/// dirty_expire_centisecs: 30 s).
const SETTLED: i64 = 60_000_000_000;
/// How long a run waits that shall, nanoseconds.
const PATIENCE: i64 = 30_000_000_000;
/// The value of [`vars::COMPILE`] for which it does.
const WAIT: &[u8] = b"wait";
/// A longer script is compiled in each run, bytes.
const LONGEST: u64 = 4 << 20;

/// Where the code of scripts is, and who compiles.
struct Codes {
    /// `RUNTIME/KEY.codes`
    path: Vec<u8>,
    socket: Vec<u8>,
    zygote: u64,
    /// `PYZY_COMPILE`
    switch: CString,
}

static CODES: AtomicPtr<Codes> = AtomicPtr::new(std::ptr::null_mut());
/// What would be kept of the script that an image is tried with.
static TRIAL: AtomicPtr<Vec<u8>> = AtomicPtr::new(std::ptr::null_mut());

unsafe extern "C" {
    fn PyMarshal_ReadObjectFromString(data: *const c_char, length: isize) -> *mut ffi::PyObject;
    fn PyMarshal_WriteObjectToString(object: *mut ffi::PyObject, version: c_int) -> *mut ffi::PyObject;
}

/// Where the code of this zygote's scripts is kept.
pub fn path(start: &Start) -> Vec<u8> {
    [start.runtime, b"/", &start.key.hex(), b".codes"].concat()
}

/// In the zygote, before anything is forked: from now on runs look.
pub fn begin(start: &Start) {
    let Ok(switch) = CString::new(vars::COMPILE) else { return };
    let codes = Codes { path: path(start), socket: start.socket.to_vec(), zygote: start.nonce, switch };
    let _ = file::unlink(&codes.path);
    CODES.store(Box::into_raw(Box::new(codes)), Relaxed);
}

/// The trial from which it is learned which pages a run changes will find the code of this script, as most runs find theirs.
pub fn prepare_trial(text: &str) -> Option<()> {
    const VERSION: c_int = 4;
    let text = CString::new(text).ok()?;
    // SAFETY: the GIL is held; live objects; the bytes live as long as their object.
    let bytes = unsafe {
        let code = Object::own(ffi::Py_CompileString(text.as_ptr(), c"<pyzy>".as_ptr(), 257))?;
        let data = Object::own(PyMarshal_WriteObjectToString(code.raw(), VERSION))?;
        let (at, length) = (ffi::PyBytes_AsString(data.raw()), ffi::PyBytes_Size(data.raw()));
        std::slice::from_raw_parts(at.cast::<u8>(), length as usize).to_vec()
    };
    TRIAL.store(Box::into_raw(Box::new(Kept::bytes(None, false, &bytes))), Relaxed);
    Some(())
}

/// What is kept of a script.
pub struct Kept {
    /// Its code.
    pub code: Object,
    /// What there was when it had been compiled.
    pub compiled: Option<Compiled>,
}

impl Kept {
    /// Flags: it is known what there was; bytes of length one are among the constants.
    const COMPILED: u8 = 1;
    const SINGLE: u8 = 2;

    /// As bytes: flags, what there was, and what `marshal` makes of the code.
    fn bytes(compiled: Option<Compiled>, has_single: bool, data: &[u8]) -> Vec<u8> {
        let flags = if compiled.is_some() { Kept::COMPILED } else { 0 } | if has_single { Kept::SINGLE } else { 0 };
        let before = compiled.map_or(vec![0; Compiled::BYTES], |compiled| compiled.bytes());
        [&[flags][..], &before, data].concat()
    }

    /// From bytes that were written here.
    fn read(bytes: &[u8]) -> Option<Kept> {
        let (&flags, rest) = bytes.split_first()?;
        let (before, data) = rest.split_at_checked(Compiled::BYTES)?;
        // SAFETY: the GIL is held; readable bytes.
        let code = unsafe {
            let code = Object::own(PyMarshal_ReadObjectFromString(data.as_ptr().cast(), data.len() as isize));
            let code = code.filter(|code| flags & Kept::SINGLE == 0 || use_singles(code).is_some());
            ffi::PyErr_Clear();
            code?
        };
        Some(Kept { code, compiled: if flags & Kept::COMPILED != 0 { Compiled::from_bytes(before) } else { None } })
    }
}

/// Bytes of length one among the constants become those that CPython has one of each of.
unsafe fn use_singles(code: &Object) -> Option<()> {
    // SAFETY: the GIL is held; code that nobody else has: its tuples are held by it alone, or PyTuple_SetItem refuses.
    unsafe {
        let constants = code.attribute(c"co_consts")?.raw();
        use_singles_in(constants)
    }
}

unsafe fn use_singles_in(tuple: *mut ffi::PyObject) -> Option<()> {
    // SAFETY: as above; items are borrowed.
    unsafe {
        for at in 0..ffi::PyTuple_Size(tuple) {
            let item = ffi::PyTuple_GetItem(tuple, at);
            if ffi::PyBytes_CheckExact(item) != 0 && ffi::PyBytes_Size(item) == 1 {
                let single = ffi::PyBytes_FromStringAndSize(ffi::PyBytes_AsString(item), 1);
                (ffi::PyTuple_SetItem(tuple, at, single) == 0).then_some(())?;
            } else if ffi::PyTuple_CheckExact(item) != 0 {
                use_singles_in(item)?;
            } else if ffi::PyObject_HasAttrString(item, c"co_consts".as_ptr()) != 0 {
                use_singles(&Object::share(item)?)?;
            }
        }
    }
    Some(())
}

/// The code of a script that was opened, if it is kept. If it should be and is not, the zygote is asked for it.
pub fn find(opened: *mut FILE, path: &CStr) -> Option<Kept> {
    // SAFETY: stored by `begin`, never freed.
    let codes = unsafe { CODES.load(Relaxed).as_ref() }?;
    let path = path.to_bytes();
    if !quiet::is_possible() || !path.starts_with(b"/") || path.ends_with(b".pyc") {
        return None;
    }
    // SAFETY: an open file; a C string.
    let (number, switch) = unsafe { (libc::fileno(opened), libc::getenv(codes.switch.as_ptr())) };
    // SAFETY: null or a C string.
    let switch = if switch.is_null() { c"" } else { unsafe { CStr::from_ptr(switch) } }.to_bytes();
    if !matches!(switch, b"" | b"0" | WAIT) {
        return None;
    }
    let stat = file::fstat(number).ok().filter(|stat| stat.is_file() && stat.size <= LONGEST)?;
    let script = Script { path, facts: stat.facts() };
    let mut data = codes.read(&script);
    if entry::is_trial() {
        // SAFETY: stored by `prepare_trial`, never freed.
        data = unsafe { TRIAL.load(Relaxed).as_ref() }.filter(|_| entry::is_watched()).cloned();
    } else if data.is_none() && codes.ask(&script, &stat, switch == WAIT) {
        data = codes.read(&script);
    }
    data.filter(|data| !data.is_empty()).and_then(|data| Kept::read(&data))
}

/// Has a file been left alone for long enough to tell its states apart by their times?
fn is_settled(stat: &Stat) -> bool {
    let now = process::clock(libc::CLOCK_REALTIME);
    [stat.mtime, stat.ctime].iter().all(|&time| now.saturating_sub(time) > SETTLED)
}

impl Codes {
    /// What is kept of a script; empty if that must be compiled in each run.
    fn read(&self, script: &Script) -> Option<Vec<u8>> {
        let opened = open(&self.path, libc::O_RDONLY)?;
        let mut window = [0; WINDOW];
        file::read_exactly(opened.number(), &mut window, script.window()).then_some(())?;
        let slot = script.find(&window)?;
        let mut entry = vec![0; slot.length];
        file::read_exactly(opened.number(), &mut entry, slot.offset).then_some(())?;
        let content = script.content(&slot, &entry, self.zygote)?;
        let before = entry.len() - content.len();
        entry.drain(..before);
        Some(entry)
    }

    /// Asks the zygote to compile a script; true if it was waited for. Where system calls are filtered nothing is asked: a
    /// script like this makes none of these.
    fn ask(&self, script: &Script, stat: &Stat, wait: bool) -> bool {
        if !(wait || is_settled(stat)) || process::prctl(libc::PR_GET_SECCOMP, 0) != Ok(0) {
            return false;
        }
        let Ok(socket) = net::socket() else { return false };
        let sent = net::connect(&socket, &self.socket)
            .and_then(|()| net::send(socket.number(), &wire::ask_to_compile(self.zygote, wait, script), &[]));
        let closed = || net::wait(&mut [net::Wait::readable(socket.number())], Some(PATIENCE));
        sent.is_ok() && wait && closed() == Ok(1)
    }
}

/// A file of this user's that nobody else may touch.
fn open(path: &[u8], flags: i32) -> Option<Fd> {
    let opened = file::open(path, flags | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY, 0o600).ok()?;
    let stat = file::fstat(opened.number()).ok()?;
    let ours = stat.is_file() && stat.uid == process::effective_user() && stat.mode & 0o077 == 0;
    ours.then_some(opened)
}
