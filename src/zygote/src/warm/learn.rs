//! What runs import cold is noted in the ledger, if PYZY_PRELOAD has the word `learned`.
//!
//! Owns the times and the way into the file; its layout is `pyzy_core::ledger`'s. An import is noted with what it imports
//! itself, as soon as no other is under way around it. Whatever goes wrong with the file, nobody is told.

use crate::capi::Object;
use pyo3::ffi::PyObject;
use pyzy_core::ledger::{self, Ledger, Scope};
use pyzy_core::start::Learn;
use pyzy_sys::{file, memory, process};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// What takes less is left out, nanoseconds.
const SHORT: i64 = 200_000;

struct Learner {
    ledger: Vec<u8>,
    scope: Scope,
    /// The script has begun.
    is_on: Cell<bool>,
    depth: Cell<usize>,
    seen: RefCell<Vec<(String, u64)>>,
}

static LEARNER: AtomicPtr<Learner> = AtomicPtr::new(std::ptr::null_mut());

/// In the zygote.
pub fn prepare(learn: &Learn) {
    let learner = Learner {
        ledger: learn.ledger.to_vec(),
        scope: Scope(learn.scope),
        is_on: Cell::new(false),
        depth: Cell::new(0),
        seen: RefCell::new(Vec::new()),
    };
    LEARNER.store(Box::into_raw(Box::new(learner)), Relaxed);
}

fn learner() -> Option<&'static Learner> {
    // SAFETY: stored by `prepare`, never freed; used by who holds the GIL.
    unsafe { LEARNER.load(Relaxed).as_ref() }
}

/// The run begins.
pub fn begin() {
    if let Some(learner) = learner() {
        learner.is_on.set(true);
    }
}

/// A cold import begins: gives the time, if somebody wants to know.
pub fn import_begins() -> Option<i64> {
    let learner = learner().filter(|learner| learner.is_on.get())?;
    learner.depth.set(learner.depth.get() + 1);
    Some(process::clock(libc::CLOCK_MONOTONIC))
}

/// It has ended. The GIL is held; no code of anybody's runs.
pub fn import_ends(began: Option<i64>, name: *mut PyObject, is_there: bool) {
    let (Some(began), Some(learner)) = (began, learner()) else { return };
    let took = process::clock(libc::CLOCK_MONOTONIC) - began;
    learner.depth.set(learner.depth.get().saturating_sub(1));
    // SAFETY: the GIL is held; a live object.
    if is_there
        && took >= SHORT
        && let Some(name) = unsafe { Object::share(name) }.and_then(|name| super::node::text(&name))
    {
        learner.seen.borrow_mut().push((name, took as u64));
    }
    if learner.depth.get() == 0 {
        let seen = learner.seen.take();
        if !seen.is_empty() {
            learner.note(&seen);
        }
    }
}

impl Learner {
    fn note(&self, seen: &[(String, u64)]) -> Option<()> {
        let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let fd = file::open(&self.ledger, flags, 0).ok()?;
        let stat = file::fstat(fd.number()).ok()?;
        // Touching a hole on a full disk would be SIGBUS.
        let whole = stat.is_file()
            && stat.size == ledger::SIZE as u64
            && stat.blocks * 512 >= stat.size
            && stat.uid == process::effective_user();
        whole.then_some(())?;
        let now = (process::clock(libc::CLOCK_REALTIME) / 1_000_000_000).try_into().ok()?;
        memory::with_shared(fd.number(), ledger::SIZE, |words| {
            let ledger = Ledger::new(words)?;
            seen.iter().for_each(|(name, nanos)| ledger.add(self.scope, name.as_bytes(), *nanos, now));
            Some(())
        })
        .ok()?
    }
}

/// Is there something in the ledger that pays, and was not chosen when this zygote began?
pub fn has_news(learn: &Learn) -> bool {
    let Ok(bytes) = file::read_file(learn.ledger, ledger::SIZE + 1) else { return false };
    let now = process::clock(libc::CLOCK_REALTIME) / 1_000_000_000;
    let known: Vec<&[u8]> = learn.chosen.split(|&b| b == b',').collect();
    ledger::words(&bytes).as_deref().and_then(Ledger::new).is_some_and(|ledger| {
        let entries = ledger.entries(Scope(learn.scope));
        ledger::choose(&entries, now.max(0) as u64).any(|entry| !known.contains(&entry.name.as_bytes()))
    })
}
