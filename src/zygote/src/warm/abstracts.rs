//! Classes that are registered with abstract ones.
//!
//! An abstract class remembers of which classes it has said no, until any class is registered anywhere: a number says how often that was
//! (`abc_invalidation_counter`, `Modules/_abc.c`). A registration by a warm module has been made when a script
//! imports it, and what the script was told before is forgotten then. Owns the number.

use super::record::item;
use crate::capi::{self, Object};
use crate::quiet::word;
use pyo3::ffi;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Where the number lies in the module's state, since 3.10: behind the type of what classes remember.
const NUMBER: usize = 8;
/// How often it must have moved for a word that has moved with it to be the one (3.9, where it is a variable of the library's).
const ENOUGH: usize = 3;

/// The address of the number; 0 where it is not known.
static PLACE: AtomicUsize = AtomicUsize::new(0);

/// What the recorder sees of registrations.
pub struct Registrations {
    before: u64,
    /// Where the number may lie, if that is not known, and how often it has moved.
    candidates: Vec<usize>,
    moves: usize,
}

impl Registrations {
    /// Finds the number, whose value `abc.get_cache_token` tells.
    pub fn new() -> Registrations {
        let before = token().unwrap_or(0);
        let place = find();
        PLACE.store(place.unwrap_or(0), Relaxed);
        let candidates = if place.is_some() { Vec::new() } else { words(before) };
        Registrations { before, candidates, moves: 0 }
    }

    /// Has there been one since the last time?
    pub fn has_moved(&mut self) -> bool {
        let now = match PLACE.load(Relaxed) {
            0 => in_peace(token).unwrap_or(self.before + 1),
            // SAFETY: found by `find`; the GIL is held.
            place => unsafe { word(place, 0) as u64 },
        };
        if std::mem::replace(&mut self.before, now) == now {
            return false;
        }
        self.moves += 1;
        // SAFETY: words of the interpreter's own variables.
        self.candidates.retain(|&at| unsafe { word(at, 0) as u64 } == now);
        true
    }

    /// All is recorded.
    pub fn finish(&self) {
        if let ([place], ENOUGH..) = (&self.candidates[..], self.moves) {
            PLACE.store(*place, Relaxed);
        }
    }
}

/// While an exception may be set.
fn in_peace<T>(work: impl FnOnce() -> T) -> T {
    let (mut kind, mut value, mut trace) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
    #[allow(deprecated)]
    // SAFETY: the GIL is held; the exception is put back as it was.
    unsafe {
        ffi::PyErr_Fetch(&mut kind, &mut value, &mut trace);
        let done = work();
        ffi::PyErr_Restore(kind, value, trace);
        done
    }
}

/// Variables of the interpreter's library, or of its program, that are this number: in what is mapped from it for writing, and in the
/// memory without a name behind that.
fn words(number: u64) -> Vec<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut found = Vec::new();
    let mut behind = 0;
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (Some(range), Some(flags), path) = (parts.next(), parts.next(), parts.nth(3)) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        let number_of = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        let (start, end) = (number_of(start), number_of(end));
        let is_its =
            path.map_or(start == behind, |path| path.rsplit('/').next().is_some_and(|name| name.contains("python")));
        if is_its && flags.starts_with("rw") {
            // SAFETY: mapped, and readable.
            found.extend((start..end).step_by(8).filter(|&at| unsafe { word(at, 0) as u64 } == number));
        }
        behind = if is_its { end } else { 0 };
    }
    found
}

fn token() -> Option<u64> {
    let function = item(&capi::sys(c"modules")?, "_abc")?.attribute(c"get_cache_token")?;
    // SAFETY: the GIL is held; a function without parameters.
    unsafe {
        let token = Object::own(ffi::PyObject_CallObject(function.raw(), std::ptr::null_mut()))?;
        Some(ffi::PyLong_AsUnsignedLongLong(token.raw()))
    }
}

fn find() -> Option<usize> {
    let module = item(&capi::sys(c"modules")?, "_abc")?;
    // SAFETY: the GIL is held; the module's state is longer than two words.
    unsafe {
        let state = ffi::PyModule_GetState(module.raw()) as usize;
        let is_it = state != 0 && word(state, NUMBER) as u64 == token()?;
        is_it.then_some(state + NUMBER)
    }
}

/// Is it known where the number lies?
pub fn are_known() -> bool {
    PLACE.load(Relaxed) != 0
}

/// In a run, after a hand-over: what abstract classes have said no to is asked again.
pub fn forget_answers() {
    let place = PLACE.load(Relaxed);
    if place != 0 {
        // SAFETY: found by `find`; the GIL is held.
        unsafe { *(place as *mut u64) += 1 };
    }
}
