//! This process's memory: mappings at given addresses, and what the kernel remembers of its layout.
//!
//! Owns the calls with which a process takes on memory that was captured in
//! another one. They are unsafe: what is mapped, written and jumped to is the
//! caller's promise.

use crate::arch::{self, syscall};
use crate::{Errno, Result, check};
use core::sync::atomic::AtomicU64;

/// The first `length` bytes of a file, shared with everybody who maps it, readable and writable. What others change in
/// it meanwhile must be read and written by atomics.
///
/// # Errors
/// Whatever `mmap(2)` says. Touching what lies beyond the file's end would raise SIGBUS: the caller has checked that.
pub fn map_shared(fd: i32, length: usize) -> Result<&'static [u8]> {
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let flags = (libc::MAP_SHARED | libc::MAP_POPULATE) as usize;
    // SAFETY: a fresh mapping that is never unmapped.
    unsafe {
        let base = check(syscall(libc::SYS_mmap, [0, length, protection, flags, fd as usize, 0]))?;
        Ok(core::slice::from_raw_parts(base as *const u8, length))
    }
}

/// Has a file's first `length` bytes, shared with everybody who maps it, looked at and changed by atomics.
///
/// # Errors
/// Whatever `mmap(2)` says. Touching what lies beyond the file's end would raise SIGBUS: the caller has checked that.
pub fn with_shared<T>(fd: i32, length: usize, work: impl FnOnce(&[AtomicU64]) -> T) -> Result<T> {
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    // SAFETY: a fresh mapping that nobody else knows, aligned to pages; unmapped below.
    unsafe {
        let base = check(syscall(libc::SYS_mmap, [0, length, protection, libc::MAP_SHARED as usize, fd as usize, 0]))?;
        let done = work(core::slice::from_raw_parts(base as *const AtomicU64, length / 8));
        syscall(libc::SYS_munmap, [base, length, 0, 0, 0, 0]);
        Ok(done)
    }
}

/// Maps a file, or zeroes without one, privately at exactly this address, where nothing may be yet
/// (`MAP_FIXED_NOREPLACE`, Linux 4.17).
///
/// # Safety
/// Whoever uses the address afterwards knows what lies there.
///
/// # Errors
/// `EEXIST` if something is there already; whatever `mmap(2)` says.
pub unsafe fn map_at(address: usize, length: usize, protection: u32, file: Option<(i32, u64)>) -> Result<()> {
    let anonymous = if file.is_none() { libc::MAP_ANONYMOUS } else { 0 };
    let flags = (libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE | anonymous) as usize;
    let (fd, offset) = file.unwrap_or((-1, 0));
    // SAFETY: nothing that is there is replaced; the rest is the caller's promise.
    let got = check(unsafe {
        syscall(libc::SYS_mmap, [address, length, protection as usize, flags, fd as usize, offset as usize])
    })?;
    // A kernel before 4.17 takes the flag for a hint.
    if got == address { Ok(()) } else { Err(Errno(libc::EEXIST)) }
}

/// Is a page of a file's in the kernel's page cache (`man 2 mincore`)? True as well where the kernel does not tell.
pub fn is_cached(address: usize) -> bool {
    const PAGE: usize = 4096;
    let mut answer = [1u8];
    let at = [address & !(PAGE - 1), PAGE, answer.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: writes one byte; an address where nothing is mapped is an error.
    unsafe { syscall(libc::SYS_mincore, at) < 0 || answer[0] & 1 != 0 }
}

/// What a mapping lacks in the page cache shall be read in pieces of 2 MiB instead of single pages
/// (`mm/filemap.c`, do_sync_mmap_readahead). A hint.
///
/// # Safety
/// The range is whole pages and mapped from a file.
pub unsafe fn read_in_large_pieces(address: usize, length: usize) {
    // SAFETY: changes no contents.
    unsafe { syscall(libc::SYS_madvise, [address, length, libc::MADV_HUGEPAGE as usize, 0, 0, 0]) };
}

/// Makes pages this process's own without changing them: many at once with `madvise(2)`, `MADV_POPULATE_WRITE` (Linux
/// 5.14); a few, or where the kernel does not know that, one fault after the other, which is no slower.
///
/// # Safety
/// The range is whole pages, mapped and writable.
pub unsafe fn own(address: usize, length: usize) {
    const PAGE: usize = 4096;
    const MANY: usize = 4;
    if length >= MANY * PAGE {
        // SAFETY: changes no contents.
        let done =
            unsafe { syscall(libc::SYS_madvise, [address, length, libc::MADV_POPULATE_WRITE as usize, 0, 0, 0]) };
        if done == 0 {
            return;
        }
    }
    for page in (address..address + length).step_by(PAGE) {
        // SAFETY: the caller's promise.
        unsafe { arch::touch(page) };
    }
}

/// Writes a word.
///
/// # Safety
/// The address is mapped, writable, aligned, and nobody relies on what was there.
pub unsafe fn write_word(address: usize, value: usize) {
    // SAFETY: the caller's promise.
    unsafe { (address as *mut usize).write_volatile(value) };
}

/// Reads a word.
///
/// # Safety
/// The address is mapped, readable and aligned.
pub unsafe fn read_word(address: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { (address as *const usize).read_volatile() }
}

/// Sets the thread pointer.
///
/// # Safety
/// A thread's control block lies there, or nobody uses thread-local storage.
pub unsafe fn set_thread_pointer(address: usize) -> Result<()> {
    // SAFETY: the caller's promise.
    check(unsafe { arch::set_thread_pointer(address) }).map(drop)
}

/// Calls the function at an address, which does not return.
///
/// # Safety
/// It is a C function that takes a pointer to `T` and does not return.
pub unsafe fn call<T>(address: usize, argument: &T) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        let function: extern "C" fn(&T) -> ! = core::mem::transmute(address);
        function(argument)
    }
}

/// `struct prctl_mm_map` (`include/uapi/linux/prctl.h`): where the parts of a process lie, for `/proc` and `brk(2)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// Begin and end of the program's code.
    pub code: [u64; 2],
    /// Begin and end of its data.
    pub data: [u64; 2],
    /// Begin and end of its heap.
    pub brk: [u64; 2],
    /// Where the stack began.
    pub stack: u64,
    /// Begin and end of the text of the command line.
    pub arguments: [u64; 2],
    /// Begin and end of the text of the environment.
    pub environ: [u64; 2],
    /// The auxiliary vector to be shown; 0: as it is.
    pub auxv: u64,
    /// Its length in bytes.
    pub auxv_size: u32,
    /// A descriptor of the executable, or -1: as it is.
    pub exe: u32,
}

/// Takes down what is mapped between two addresses.
///
/// # Safety
/// Nobody uses what lies there any more.
pub unsafe fn unmap(start: usize, end: usize) -> Result<()> {
    // SAFETY: the caller's promise.
    check(unsafe { syscall(libc::SYS_munmap, [start, end - start, 0, 0, 0, 0]) }).map(drop)
}

/// Makes the kernel see this layout: `PR_SET_MM_MAP` (`man 2 prctl`; allowed to everybody as long as the executable
/// stays; needs CONFIG_CHECKPOINT_RESTORE).
pub fn set_layout(layout: &Layout) -> Result<()> {
    let (option, size) = (libc::PR_SET_MM as usize, size_of::<Layout>());
    let at = layout as *const Layout as usize;
    // SAFETY: the structure is the kernel's and outlives the call.
    check(unsafe { syscall(libc::SYS_prctl, [option, libc::PR_SET_MM_MAP as usize, at, size, 0, 0]) }).map(drop)
}
