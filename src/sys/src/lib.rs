//! The one place with system calls and unsafe code that needs no interpreter.
//!
//! Owns raw system calls (no C library underneath: the launcher has none), safe
//! functions over them, and, with the feature `bare`, the run-time of a program
//! without a C library. Knows nothing of Python, zygotes or routes.
//!
//! The `libc` crate is used for numbers and struct layouts only, never for
//! functions. A new CPU is a new file in `arch/`.
#![no_std]
#![warn(missing_docs)]

extern crate alloc;

pub mod arch;
#[cfg(feature = "bare")]
pub mod bare;
pub mod file;
pub mod memory;
pub mod net;
pub mod process;
pub mod signal;

#[cfg(feature = "bare")]
pub use arch::Initial;
pub use libc;

/// A system call's error number, as in `man 3 errno`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Errno(pub i32);

/// What a system call gives.
pub type Result<T> = core::result::Result<T, Errno>;

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

/// Turns the kernel's return value into a result: -4095..-1 are errors
/// (`man 2 intro`).
fn check(value: isize) -> Result<usize> {
    if (-4095..0).contains(&value) { Err(Errno(-value as i32)) } else { Ok(value as usize) }
}

/// Calls `f` with a NUL-terminated copy of `path`, made on the stack.
///
/// # Errors
/// `ENAMETOOLONG` over `PATH_MAX`, `EINVAL` for an inner NUL.
fn with_path<T>(path: &[u8], f: impl FnOnce(*const u8) -> Result<T>) -> Result<T> {
    let mut buffer = [const { core::mem::MaybeUninit::<u8>::uninit() }; libc::PATH_MAX as usize];
    if path.len() >= buffer.len() {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    if path.contains(&0) {
        return Err(Errno(libc::EINVAL));
    }
    for (to, from) in buffer.iter_mut().zip(path.iter().chain(&[0])) {
        to.write(*from);
    }
    f(buffer.as_ptr().cast())
}
