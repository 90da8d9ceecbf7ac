//! `PyConfig.sys_path_0`, the script's directory as CPython itself remembers it.
//!
//! From 3.12 on, sub-interpreters take it for their `sys.path[0]`, and from 3.13
//! on error messages look at it ("consider renaming …", `Objects/moduleobject.c`).
//! `pymain_run_python` (`Modules/main.c`) sets it, and nothing exported does. Where it
//! lies is not assumed but found out: a fork runs `Py_RunMain` on a script
//! that is not there, and compares the structure before and after.

use crate::capi::{Object, Symbol};
use crate::{quiet, spare};
use pyo3::ffi::{self, PyObject};
use pyzy_core::start::NO_DIRECTORY;
use pyzy_sys::file::Fd;
use pyzy_sys::net::{self, Wait};
use pyzy_sys::{process, signal};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering::Relaxed};

/// Words looked at; the structure has about 60.
const WORDS: usize = 128;

/// What the fork compares.
static BEFORE: AtomicPtr<[usize; WORDS]> = AtomicPtr::new(std::ptr::null_mut());
static REPORT: AtomicI32 = AtomicI32::new(-1);

/// The field's place, in words from the beginning of the structure; `None` where there is none to be found.
pub fn find() -> Option<usize> {
    config()?;
    let (ours, theirs) = net::pair().ok()?;
    // SAFETY: the zygote has one thread, which holds the GIL.
    let pid = unsafe { spare::fork(|| rehearse(&theirs)) };
    drop(theirs);
    let mut answer = [0; 8];
    let told = matches!(net::wait(&mut [Wait::readable(ours.number())], Some(5_000_000_000)), Ok(1))
        && net::receive(ours.number(), &mut answer).is_ok_and(|r| r.length == answer.len());
    let _ = signal::send(pid, libc::SIGKILL);
    process::wait(pid).ok()?;
    told.then(|| usize::from_ne_bytes(answer))
}

/// Sets the field, as `pymain_run_python` does with a copy of `entry`.
pub fn set(place: Option<usize>, entry: &Object) {
    let (Some(place), Some(config)) = (place, config()) else { return };
    // SAFETY: the place was found in this very structure; the text is allocated as PyConfig_Clear frees it.
    unsafe {
        let mut length = 0;
        let text = ffi::PyUnicode_AsWideCharString(entry.raw(), &mut length);
        if text.is_null() {
            ffi::PyErr_Clear();
            return;
        }
        let bytes = (length as usize + 1) * size_of::<libc::wchar_t>();
        let copy = PyMem_RawMalloc(bytes);
        if !copy.is_null() {
            std::ptr::copy_nonoverlapping(text.cast::<u8>(), copy.cast(), bytes);
            *config.add(place) = copy as usize;
        }
        ffi::PyMem_Free(text.cast());
    }
}

unsafe extern "C" {
    fn PyMem_RawMalloc(size: usize) -> *mut libc::c_void;
}

static GET_CONFIG: Symbol = Symbol::new(c"_Py_GetConfig");

/// The interpreter's configuration; `_Py_GetConfig` is exported from 3.11 on.
pub fn config() -> Option<*mut usize> {
    // SAFETY: looks a symbol up and calls it: it takes nothing and gives a pointer.
    unsafe {
        let found = GET_CONFIG.find();
        if found.is_null() {
            return None;
        }
        let function: unsafe extern "C" fn() -> *mut usize = std::mem::transmute(found);
        Some(function()).filter(|p| !p.is_null())
    }
}

fn words(config: *mut usize) -> [usize; WORDS] {
    // SAFETY: the structure lies inside the interpreter's state, which is much larger than this.
    std::array::from_fn(|at| unsafe { config.add(at).read() })
}

fn rehearse(report: &Fd) {
    let Some(config) = config() else { return };
    BEFORE.store(Box::into_raw(Box::new(words(config))), Relaxed);
    REPORT.store(report.number(), Relaxed);
    let _ = signal::set_mask(0);
    // Its configuration is whole then.
    if quiet::call_at_end(c"compare", compare).is_some() {
        // SAFETY: the GIL is held; the process ends afterwards.
        unsafe { Py_RunMain() };
    }
}

unsafe extern "C" {
    fn Py_RunMain() -> libc::c_int;
}

/// While the interpreter finalises.
unsafe extern "C" fn compare(_self: *mut PyObject, _arguments: *mut PyObject) -> *mut PyObject {
    if let Some(config) = config() {
        // SAFETY: stored by `rehearse`, never freed.
        let before = unsafe { &*BEFORE.load(Relaxed) };
        let after = words(config);
        let mut places = (0..WORDS).filter(|&at| before[at] == 0 && after[at] != 0 && is_directory(after[at]));
        if let (Some(place), None) = (places.next(), places.next()) {
            let _ = net::send(REPORT.load(Relaxed), &place.to_ne_bytes(), &[]);
        }
    }
    process::exit(0)
}

/// Is the wide text at this address the directory of a script that is not there? In a fork, in which a wrong guess
/// ends nothing but the fork.
fn is_directory(address: usize) -> bool {
    if !address.is_multiple_of(align_of::<libc::wchar_t>()) {
        return false;
    }
    let text = address as *const libc::wchar_t;
    // SAFETY: a new non-null word in the configuration is a pointer to a text or a small number; the latter faults.
    NO_DIRECTORY
        .bytes()
        .map(libc::wchar_t::from)
        .chain([0])
        .enumerate()
        .all(|(at, c)| unsafe { text.add(at).read() } == c)
}
