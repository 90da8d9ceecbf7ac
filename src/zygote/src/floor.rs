//! The floor of the script's stack: what unwinds stops here.
//!
//! A script may end its main thread alone (`pthread_exit`; CPython does it to
//! threads that outlive it). That unwinds the stack to its end, and cold nothing
//! of ours lies there. Warm the zygote's frames do, and what they would
//! clean up is the script's by now. So the stack ends here for an unwinder: the
//! return address is declared undefined, and glibc (`nptl/unwind.c`) then goes
//! straight to where a thread ends.

use libc::c_void;

/// What is called above the floor.
pub type Above = unsafe extern "C-unwind" fn(*mut c_void);

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl pyzy_floor",
    ".hidden pyzy_floor",
    ".type pyzy_floor, @function",
    "pyzy_floor:",
    ".cfi_startproc",
    ".cfi_undefined rip",
    "push rbp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "pop rbp",
    "ret",
    ".cfi_endproc",
    ".size pyzy_floor, . - pyzy_floor",
);

#[cfg(target_arch = "x86_64")]
unsafe extern "C-unwind" {
    fn pyzy_floor(function: Above, data: *mut c_void);
}

/// Elsewhere the stack has no floor yet.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn pyzy_floor(function: Above, data: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { function(data) }
}

/// Calls a function with the end of the stack below it.
///
/// # Safety
/// `data` is what `function` expects.
pub unsafe fn call(function: Above, data: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { pyzy_floor(function, data) }
}
