//! Signals: masks, dispositions, sending, reading through a descriptor.

use crate::arch::syscall;
use crate::file::Fd;
use crate::{Result, check};

/// A set of signals: bit `n - 1` for signal `n`, as the kernel has it.
pub type Set = u64;

/// All signals; the kernel leaves out SIGKILL and SIGSTOP by itself.
pub const EVERY: Set = !0;

/// The set with one signal.
pub const fn only(signal: i32) -> Set {
    1 << (signal - 1)
}

/// Replaces the mask of blocked signals; gives the old one.
pub fn set_mask(set: Set) -> Result<Set> {
    change_mask(libc::SIG_SETMASK, set)
}

/// Unblocks a set; gives the old mask.
pub fn unblock(set: Set) -> Result<Set> {
    change_mask(libc::SIG_UNBLOCK, set)
}

fn change_mask(how: i32, set: Set) -> Result<Set> {
    let mut old: Set = 0;
    let (new_at, old_at) = (&set as *const Set as usize, &mut old as *mut Set as usize);
    // SAFETY: both sets are eight bytes, as the last argument says.
    check(unsafe { syscall(libc::SYS_rt_sigprocmask, [how as usize, new_at, old_at, 8, 0, 0]) })?;
    Ok(old)
}

/// The kernel's `struct sigaction`; on x86-64 a restorer stands before the mask, on aarch64 too.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: Set,
}

impl Action {
    /// The default action?
    pub fn is_default(&self) -> bool {
        self.handler == libc::SIG_DFL
    }
}

/// What is done at a signal.
pub fn action(signal: i32) -> Result<Action> {
    let mut action = Action::default();
    let at = &mut action as *mut Action as usize;
    // SAFETY: `action` is writable and of the kernel's layout.
    check(unsafe { syscall(libc::SYS_rt_sigaction, [signal as usize, 0, at, 8, 0, 0]) })?;
    Ok(action)
}

/// Sets what is done at a signal.
///
/// # Safety
/// Its handler can be called as the action says.
pub unsafe fn set_action(signal: i32, action: &Action) -> Result<()> {
    let at = action as *const Action as usize;
    // SAFETY: a valid action of the kernel's layout, and the caller's promise.
    check(unsafe { syscall(libc::SYS_rt_sigaction, [signal as usize, at, 0, 8, 0, 0]) }).map(drop)
}

/// Sets a signal to its default action.
pub fn set_default(signal: i32) -> Result<()> {
    set_handler(signal, libc::SIG_DFL)
}

/// Ignores a signal; one that is pending is forgotten.
pub fn set_ignored(signal: i32) -> Result<()> {
    set_handler(signal, libc::SIG_IGN)
}

/// `handler` is one of the two that are no functions.
fn set_handler(signal: i32, handler: usize) -> Result<()> {
    // SAFETY: nothing will be called.
    unsafe { set_action(signal, &Action { handler, ..Action::default() }) }
}

/// The signals that are ignored now.
pub fn ignored() -> Set {
    let ignored = |signal| action(signal).is_ok_and(|action| action.handler == libc::SIG_IGN);
    (1..=64).filter(|&signal| ignored(signal)).fold(0, |set, signal| set | only(signal))
}

/// `kill(2)`.
pub fn send(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { syscall(libc::SYS_kill, [pid as usize, signal as usize, 0, 0, 0, 0]) }).map(drop)
}

/// `pidfd_send_signal(2)`: cannot hit another process that got the same number.
pub fn send_by_handle(handle: i32, signal: i32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { syscall(libc::SYS_pidfd_send_signal, [handle as usize, signal as usize, 0, 0, 0, 0]) }).map(drop)
}

/// `pidfd_open(2)`.
pub fn process_handle(pid: i32) -> Result<Fd> {
    // SAFETY: no memory is passed.
    check(unsafe { syscall(libc::SYS_pidfd_open, [pid as usize, 0, 0, 0, 0, 0]) }).map(|fd| Fd::own(fd as i32))
}

/// A descriptor from which blocked signals of `set` can be read (`man 2 signalfd`).
pub fn reader(set: Set) -> Result<Fd> {
    let flags = (libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) as usize;
    let at = &set as *const Set as usize;
    // SAFETY: the set is eight bytes.
    check(unsafe { syscall(libc::SYS_signalfd4, [usize::MAX, at, 8, flags, 0, 0]) }).map(|fd| Fd::own(fd as i32))
}

/// What a signal descriptor tells of one signal.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// The signal's number.
    pub signal: i32,
    /// `si_code`: `SI_KERNEL` for those of a terminal, `SI_USER` for `kill(2)`.
    pub code: i32,
    /// Who sent it, if a process did.
    pub pid: i32,
}

/// The next signal that has arrived, if there is one.
pub fn next(reader: &Fd) -> Option<Arrived> {
    let mut record = [0u8; 128];
    let got = crate::file::read(reader.number(), &mut record).ok()?;
    let int = |at: usize| i32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
    // struct signalfd_siginfo: signo, errno, code, pid, …
    (got == record.len()).then(|| Arrived { signal: int(0), code: int(8), pid: int(12) })
}
