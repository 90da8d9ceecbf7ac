//! x86-64: system calls (`man 2 syscall`) and the process entry point (System V ABI 3.4.1).

use core::arch::asm;

/// One system call with up to six arguments.
///
/// # Safety
/// The arguments must be what the kernel expects for `number`: pointers valid
/// for what it reads and writes.
#[inline]
pub unsafe fn syscall(number: i64, args: [usize; 6]) -> isize {
    let value: isize;
    // SAFETY: the caller vouches for the arguments; the kernel clobbers rcx and r11 only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => value,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
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
            "xor ebp, ebp",
            "mov rdi, rsp",
            "and rsp, -16",
            "call {main}",
            "ud2",
            main = sym __pyzy_start,
        );

        extern "C" fn __pyzy_start(stack: *const usize) -> ! {
            $main($crate::Initial(stack))
        }
    };
}
