//! What differs between CPUs: how a system call is made and how a process begins.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::*;

/// What a C library saves for a `longjmp`.
#[derive(Clone, Copy, Debug)]
pub struct Jump {
    /// How many words.
    pub words: usize,
    /// Which of them is the frame pointer, hidden.
    pub frame: usize,
    /// The stack pointer, hidden.
    pub stack: usize,
    /// The address to go on at, hidden.
    pub code: usize,
    /// Hides an address.
    pub hide: fn(usize) -> usize,
    /// Gives what was hidden.
    pub reveal: fn(usize) -> usize,
}
