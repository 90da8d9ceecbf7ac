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

/// Sets the thread pointer, the base of FS (`man 2 arch_prctl`); gives what the kernel gives.
///
/// # Safety
/// A thread's control block lies there, or nobody uses thread-local storage.
pub unsafe fn set_thread_pointer(address: usize) -> isize {
    const ARCH_SET_FS: usize = 0x1002;
    // SAFETY: passes a number.
    unsafe { syscall(libc::SYS_arch_prctl, [ARCH_SET_FS, address, 0, 0, 0, 0]) }
}

/// The thread pointer (`man 2 arch_prctl`).
pub fn thread_pointer() -> usize {
    const ARCH_GET_FS: usize = 0x1003;
    let mut address = 0usize;
    // SAFETY: `address` is writable.
    unsafe { syscall(libc::SYS_arch_prctl, [ARCH_GET_FS, &mut address as *mut usize as usize, 0, 0, 0, 0]) };
    address
}

/// Where glibc keeps the stack canary, counted from the thread pointer (`tcbhead_t`, `sysdeps/x86_64/nptl/tls.h`).
pub const CANARY: Option<usize> = Some(0x28);

/// How glibc saves registers for a `longjmp` (`sysdeps/x86_64/jmpbuf-offsets.h`), the addresses among them hidden
/// (PTR_MANGLE, `sysdeps/unix/sysv/linux/x86_64/pointer_guard.h`).
pub const JUMP: Option<super::Jump> = Some(super::Jump { words: 8, frame: 1, stack: 6, code: 7, hide, reveal });

fn hide(address: usize) -> usize {
    (address ^ guard()).rotate_left(17)
}

fn reveal(hidden: usize) -> usize {
    hidden.rotate_right(17) ^ guard()
}

/// `tcbhead_t.pointer_guard`
fn guard() -> usize {
    let guard: usize;
    // SAFETY: reads a word of the control block; only programs with a C library ask.
    unsafe { asm!("mov {}, fs:[0x30]", out(reg) guard, options(nostack, readonly, preserves_flags)) };
    guard
}

/// Writes to a page without changing it, so that it becomes this process's own.
///
/// # Safety
/// The address is mapped and writable.
pub unsafe fn touch(address: usize) {
    // SAFETY: the caller's promise; one instruction, so that the page is not read first, which would be another fault.
    unsafe { asm!("lock or byte ptr [{}], 0", in(reg) address, options(nostack)) };
}
