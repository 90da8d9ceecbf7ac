//! aarch64: system calls (`man 2 syscall`) and the process entry point (AAPCS64).

use core::arch::asm;

/// One system call with up to six arguments.
///
/// # Safety
/// The arguments must be what the kernel expects for `number`: pointers valid
/// for what it reads and writes.
#[inline]
pub unsafe fn syscall(number: i64, args: [usize; 6]) -> isize {
    let value: isize;
    // SAFETY: the caller vouches for the arguments; the kernel clobbers x0 only.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] as isize => value,
            in("x1") args[1], in("x2") args[2], in("x3") args[3],
            in("x4") args[4], in("x5") args[5],
            options(nostack),
        );
    }
    value
}

/// The stack as the kernel left it: argc, argv, envp, auxv (`fs/binfmt_elf.c`, create_elf_tables).
#[cfg(feature = "bare")]
#[derive(Clone, Copy)]
pub struct Initial(pub *const usize);

/// Defines `_start`, which calls `$main(Initial) -> !` on an aligned stack.
#[cfg(feature = "bare")]
#[macro_export]
macro_rules! start {
    ($main:path) => {
        core::arch::global_asm!(
            ".globl _start",
            "_start:",
            "mov x29, #0",
            "mov x30, #0",
            "mov x0, sp",
            "bl {main}",
            "brk #1",
            main = sym __pyzy_start,
        );

        extern "C" fn __pyzy_start(stack: *const usize) -> ! {
            $main($crate::Initial(stack))
        }
    };
}

/// Sets the thread pointer; always succeeds.
///
/// # Safety
/// A thread's control block lies there, or nobody uses thread-local storage.
pub unsafe fn set_thread_pointer(address: usize) -> isize {
    // SAFETY: the register is the program's own.
    unsafe { asm!("msr tpidr_el0, {}", in(reg) address, options(nostack)) };
    0
}

/// The thread pointer.
pub fn thread_pointer() -> usize {
    let address: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) address, options(nostack)) };
    address
}

/// glibc keeps the stack canary in a variable of the loader's here, not beside the thread pointer.
pub const CANARY: Option<usize> = None;

/// Not known yet how glibc saves registers here.
pub const JUMP: Option<super::Jump> = None;

/// Writes to a page without changing it, so that it becomes this process's own.
///
/// # Safety
/// The address is mapped and writable.
pub unsafe fn touch(address: usize) {
    let byte = address as *mut u8;
    // SAFETY: the caller's promise; one thread.
    unsafe { byte.write_volatile(byte.read_volatile()) };
}
