//! The parts of a process that start-up code can change and Python cannot list.
//!
//! Owns taking a snapshot and naming the differences between two. What a worker
//! gets from its caller (signals, umask, directory, limits, descriptors) must
//! not have been changed by start-up code, for the change would be lost.

use core::mem::MaybeUninit;
use std::fs;
use std::os::unix::ffi::OsStringExt;

/// The highest signal number that Linux has.
const SIGNALS: i32 = 64;
const LIMITS: u32 = 16;

/// A snapshot.
#[derive(PartialEq, Eq)]
pub struct State {
    /// Handler and flags of signals 1 to 64.
    signals: Vec<(usize, i32)>,
    mask: u64,
    umask: u32,
    directory: Vec<u8>,
    root: Vec<u8>,
    limits: Vec<(u64, u64)>,
    nice: i32,
    affinity: Vec<u8>,
    session: (i32, i32),
    timers: Vec<i64>,
    threads: usize,
    /// Descriptor and what it is, ascending.
    descriptors: Vec<(i32, Vec<u8>)>,
}

impl State {
    /// The state of the calling process, as its main thread sees it.
    pub fn take() -> State {
        // SAFETY: plain questions about this process; the umask is put back at
        // once and no other thread of a probe creates files.
        let (umask, nice, session) = unsafe {
            let umask = libc::umask(0o077);
            libc::umask(umask);
            (umask, libc::getpriority(libc::PRIO_PROCESS, 0), (libc::getpgrp(), libc::getsid(0)))
        };
        State {
            signals: (1..=SIGNALS).map(signal).collect(),
            mask: mask(),
            umask,
            directory: link("/proc/self/cwd"),
            root: link("/proc/self/root"),
            limits: (0..LIMITS).map(limit).collect(),
            nice,
            affinity: affinity(),
            session,
            timers: [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF].map(timer).concat(),
            threads: fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
            descriptors: descriptors(),
        }
    }

    /// What start-up code did between `self` and `after`, each as the end of a sentence.
    pub fn changes(&self, after: &State) -> Vec<Vec<u8>> {
        let mut out: Vec<Vec<u8>> = Vec::new();
        for (at, (old, new)) in self.signals.iter().zip(&after.signals).enumerate() {
            if old != new {
                out.push(format!("changes the handling of signal {}", at + 1).into_bytes());
            }
        }
        let pairs = [
            (self.mask != after.mask, "blocks or unblocks signals"),
            (self.umask != after.umask, "changes the umask"),
            (self.directory != after.directory, "changes the working directory"),
            (self.root != after.root, "changes the root directory"),
            (self.limits != after.limits, "changes a resource limit"),
            (self.nice != after.nice, "changes its priority"),
            (self.affinity != after.affinity, "changes its processors"),
            (self.session != after.session, "changes its process group or session"),
            (self.timers != after.timers, "starts or stops a timer"),
            (self.threads < after.threads, "leaves a thread running"),
        ];
        out.extend(pairs.iter().filter(|(changed, _)| *changed).map(|(_, text)| text.as_bytes().to_vec()));
        for new in after.descriptors.iter().filter(|d| !self.descriptors.contains(d)) {
            out.push([format!("leaves descriptor {} open, ", new.0).as_bytes(), &new.1].concat());
        }
        for old in self.descriptors.iter().filter(|d| !after.descriptors.iter().any(|a| a.0 == d.0)) {
            out.push(format!("closes descriptor {}", old.0).into_bytes());
        }
        out
    }
}

fn link(path: &str) -> Vec<u8> {
    fs::read_link(path).map(|p| p.into_os_string().into_vec()).unwrap_or_default()
}

fn signal(number: i32) -> (usize, i32) {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only; on failure (signals the C library keeps for itself) the zeroes remain, which are a valid value.
    let action = unsafe {
        libc::sigaction(number, core::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    (action.sa_sigaction, action.sa_flags)
}

fn mask() -> u64 {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: asks only; a null new set changes nothing.
    let set = unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, core::ptr::null(), set.as_mut_ptr());
        set.assume_init()
    };
    // SAFETY: an initialised set and a signal number in range.
    (1..=SIGNALS).fold(0, |bits, n| bits << 1 | u64::from(unsafe { libc::sigismember(&set, n) } == 1))
}

fn limit(resource: u32) -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid buffer; an unknown resource leaves it alone.
    unsafe { libc::getrlimit(resource, &mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}

fn affinity() -> Vec<u8> {
    let mut set = vec![0u8; 1024];
    // SAFETY: the kernel writes at most the given number of bytes; a cpu_set_t is bits without padding.
    unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, set.len(), set.as_mut_ptr()) };
    set
}

/// Interval, and whether it runs; what remains changes by itself.
fn timer(which: libc::c_int) -> [i64; 3] {
    let mut value = MaybeUninit::<libc::itimerval>::zeroed();
    // SAFETY: a valid buffer, and zeroes are a valid value.
    let value = unsafe {
        libc::syscall(libc::SYS_getitimer, which, value.as_mut_ptr());
        value.assume_init()
    };
    let runs = value.it_value.tv_sec != 0 || value.it_value.tv_usec != 0;
    [value.it_interval.tv_sec, value.it_interval.tv_usec, i64::from(runs)]
}

/// All open descriptors but the one that reads the list.
fn descriptors() -> Vec<(i32, Vec<u8>)> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let numbers: Vec<i32> = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect();
    let mut list: Vec<_> =
        numbers.into_iter().filter_map(|n| Some((n, fs::read_link(format!("/proc/self/fd/{n}")).ok()?))).collect();
    list.sort_unstable();
    list.into_iter().map(|(n, target)| (n, target.into_os_string().into_vec())).collect()
}
