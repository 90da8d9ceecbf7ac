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

/// Where the number lies in the module's state: behind the type of what classes remember.
const NUMBER: usize = 8;

/// The address of the number; 0 where it is not known.
static PLACE: AtomicUsize = AtomicUsize::new(0);

/// What the recorder sees of registrations.
pub struct Registrations {
    before: u64,
}

impl Registrations {
    /// Finds the number, whose value `abc.get_cache_token` tells.
    pub fn new() -> Registrations {
        if let Some(place) = find() {
            PLACE.store(place, Relaxed);
        }
        let mut registrations = Registrations { before: 0 };
        registrations.has_moved();
        registrations
    }

    /// Has there been one since the last time? Where that is not known, there may have been. No Python is called for it: an exception
    /// may be set.
    pub fn has_moved(&mut self) -> bool {
        let place = PLACE.load(Relaxed);
        // SAFETY: found by `find`; the GIL is held.
        let now = if place == 0 { self.before + 1 } else { unsafe { word(place, 0) as u64 } };
        std::mem::replace(&mut self.before, now) != now
    }
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
