//! The run-time of a program without a C library: arguments, allocator, memory functions.
//!
//! Owns what `crt1.o`, `malloc` and `string.h` would give. The allocator only
//! ever grows: the launcher lives for a moment and then becomes another
//! program, or waits without allocating.

use crate::{Initial, process};
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;

/// What the kernel handed over, as byte slices that live as long as the process.
pub struct Arguments {
    /// `argv`.
    pub argv: Vec<&'static [u8]>,
    /// `envp`.
    pub environ: Vec<&'static [u8]>,
    /// `AT_EXECFN`: the path given to execve.
    pub exec_path: Option<&'static [u8]>,
    /// `AT_SECURE`: the kernel distrusts the environment (set-user-ID, capabilities).
    pub secure: bool,
    /// Where all this lies.
    pub stack: Stack,
}

/// The initial stack, by address (`fs/binfmt_elf.c`, create_elf_tables): for a program that takes it over.
#[derive(Clone, Copy)]
pub struct Stack {
    /// argc, where the stack pointer was.
    pub start: usize,
    /// The table of arguments.
    pub argv: usize,
    /// The table of variables.
    pub environ: usize,
    /// The auxiliary vector: pairs of words.
    pub auxv: usize,
    /// How many pairs it has, the last one (`AT_NULL`) included.
    pub pairs: usize,
}

impl Stack {
    /// The value of an entry of the auxiliary vector; 0 without one.
    pub fn auxiliary(&self, kind: u64) -> usize {
        self.entry(kind).map_or(0, |value| *value)
    }

    /// Changes an entry of the auxiliary vector, if it is there.
    pub fn set_auxiliary(&mut self, kind: u64, new: usize) {
        if let Some(value) = self.entry(kind) {
            *value = new;
        }
    }

    fn entry(&self, kind: u64) -> Option<&'static mut usize> {
        (0..self.pairs)
            .map(|at| (self.auxv + at * 16) as *mut usize)
            // SAFETY: `from_stack` has counted the pairs; they are this process's own memory; one thread.
            .find(|&pair| unsafe { *pair } as u64 == kind)
            .map(|pair| unsafe { &mut *pair.add(1) })
    }
}

impl Arguments {
    /// Reads the initial stack.
    pub fn from_stack(initial: Initial) -> Arguments {
        // SAFETY: `initial` points at argc, argv.., 0, envp.., 0, auxv.., as the
        // kernel wrote them; nobody has changed or freed the stack's top.
        unsafe {
            let argc = *initial.0;
            let argv = initial.0.add(1);
            let envp = argv.add(argc + 1);
            let mut argument_list = Vec::with_capacity(argc);
            argument_list.extend((0..argc).map(|i| bytes_of(*argv.add(i))));
            let count = (0..).take_while(|&i| *envp.add(i) != 0).count();
            let mut environ = Vec::with_capacity(count);
            environ.extend((0..count).map(|i| bytes_of(*envp.add(i))));
            let auxv = envp.add(count + 1);
            let pairs = (0..).take_while(|&i| *auxv.add(2 * i) != 0).count() + 1;
            let (start, argv, environ_at, auxv) = (initial.0 as usize, argv as usize, envp as usize, auxv as usize);
            let stack = Stack { start, argv, environ: environ_at, auxv, pairs };
            let exec_path = Some(stack.auxiliary(libc::AT_EXECFN)).filter(|&at| at != 0).map(|at| bytes_of(at));
            let secure = stack.auxiliary(libc::AT_SECURE) != 0;
            Arguments { argv: argument_list, environ, exec_path, secure, stack }
        }
    }
}

/// Overwrites the command line that others see (`/proc/PID/cmdline` is the memory of the strings) with a title.
/// `argv` is what [`Arguments::from_stack`] gave; it holds the title's bytes and zeroes afterwards.
pub fn forget_arguments(argv: &[&[u8]], title: &[u8]) {
    let mut rest = title;
    for argument in argv {
        for at in 0..argument.len() {
            let byte = rest.split_off_first().copied().unwrap_or(0);
            // SAFETY: the strings lie on the stack's top, writable and ours; one thread. Volatile, because the
            // compiler believes what it knows of shared references.
            unsafe { (argument.as_ptr() as *mut u8).add(at).write_volatile(byte) };
        }
    }
}

/// The bytes of a C string at `address`.
///
/// # Safety
/// `address` points at a NUL-terminated string that lives for ever.
unsafe fn bytes_of(address: usize) -> &'static [u8] {
    // SAFETY: the caller's promise.
    unsafe { core::ffi::CStr::from_ptr(address as *const core::ffi::c_char).to_bytes() }
}

const ARENA: usize = 256 * 1024;

/// On pages of its own: a restored interpreter keeps what was allocated and drops the program.
#[repr(C, align(4096))]
struct Arena([u8; ARENA]);

/// A bump allocator: a fixed arena first, then fresh mappings.
pub struct Bump {
    arena: UnsafeCell<Arena>,
    next: UnsafeCell<(usize, usize)>,
}

// SAFETY: the launcher has one thread.
unsafe impl Sync for Bump {}

impl Bump {
    /// An empty allocator.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Bump {
        Bump { arena: UnsafeCell::new(Arena([0; ARENA])), next: UnsafeCell::new((0, 0)) }
    }
}

// SAFETY: every call returns a fresh, aligned range of at least `size` bytes or null.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread; `next` is only touched here and below.
        let next = unsafe { &mut *self.next.get() };
        if next.1 == 0 {
            let start = self.arena.get() as usize;
            *next = (start, start + ARENA);
        }
        let mut at = next.0.next_multiple_of(layout.align());
        if at.saturating_add(layout.size()) > next.1 {
            let length = layout.size().max(1 << 20).next_multiple_of(4096);
            let Ok(start) = process::map_anonymous(length) else { return core::ptr::null_mut() };
            *next = (start as usize, start as usize + length);
            at = start as usize;
        }
        next.0 = at + layout.size();
        at as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`; growing in place is allowed for the newest block.
        unsafe {
            let next = &mut *self.next.get();
            if old as usize + layout.size() == next.0 && old as usize + size <= next.1 {
                next.0 = old as usize + size;
                return old;
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(old, new, layout.size().min(size));
            }
            new
        }
    }
}

/// `memcpy` and friends, which the compiler calls without being asked.
/// Plain byte loops would be turned into calls of themselves; `rep` is not.
mod string {
    #[cfg(target_arch = "x86_64")]
    use core::arch::asm;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller's promise is memcpy's.
        unsafe {
            asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
                 options(nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: the caller's promise is memcpy's.
        unsafe {
            for i in 0..count {
                to.add(i).write_volatile(from.add(i).read());
            }
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        if (to as usize).wrapping_sub(from as usize) >= count {
            // SAFETY: no overlap that a forward copy would spoil.
            return unsafe { memcpy(to, from, count) };
        }
        for i in (0..count).rev() {
            // SAFETY: in range, by the caller's promise; volatile keeps the loop a loop.
            unsafe { to.add(i).write_volatile(from.add(i).read()) };
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller's promise is memset's.
        unsafe {
            asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") value as u8,
                 options(nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: the caller's promise is memset's.
        unsafe {
            for i in 0..count {
                to.add(i).write_volatile(value as u8);
            }
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
        for i in 0..count {
            // SAFETY: in range, by the caller's promise.
            let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
            if x != y {
                return i32::from(x) - i32::from(y);
            }
        }
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
        // SAFETY: the caller's promise is memcmp's.
        unsafe { memcmp(a, b, count) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn strlen(text: *const u8) -> usize {
        let mut length = 0;
        // SAFETY: the string ends in NUL, by the caller's promise.
        while unsafe { text.add(length).read_volatile() } != 0 {
            length += 1;
        }
        length
    }
}
