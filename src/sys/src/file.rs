//! Files and directories by path and descriptor.

use crate::arch::syscall;
use crate::{Errno, Result, check, with_path};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use libc::{AT_FDCWD, O_CLOEXEC};

/// A descriptor that this process opened and will close.
#[derive(Debug, PartialEq, Eq)]
pub struct Fd(i32);

impl Fd {
    /// Takes charge of an open descriptor.
    pub const fn own(number: i32) -> Fd {
        Fd(number)
    }
    /// Its number.
    pub const fn number(&self) -> i32 {
        self.0
    }
    /// Gives up charge: the descriptor stays open.
    pub fn leak(self) -> i32 {
        let number = self.0;
        core::mem::forget(self);
        number
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Closes a descriptor by number; errors say nothing useful (`man 2 close`).
pub fn close(fd: i32) {
    // SAFETY: no memory is passed.
    unsafe { syscall(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// `openat(2)` relative to the working directory; `O_CLOEXEC` is added.
pub fn open(path: &[u8], flags: i32, mode: u32) -> Result<Fd> {
    open_at(AT_FDCWD, path, flags, mode)
}

/// `openat(2)`; `O_CLOEXEC` is added.
pub fn open_at(dir: i32, path: &[u8], flags: i32, mode: u32) -> Result<Fd> {
    with_path(path, |p| {
        // SAFETY: `p` is NUL-terminated and outlives the call.
        check(unsafe {
            syscall(libc::SYS_openat, [dir as usize, p as usize, (flags | O_CLOEXEC) as usize, mode as usize, 0, 0])
        })
        .map(|fd| Fd(fd as i32))
    })
}

/// `read(2)`, again after EINTR.
pub fn read(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    loop {
        // SAFETY: the buffer is writable for its length.
        let got = check(unsafe {
            syscall(libc::SYS_read, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])
        });
        if got != Err(Errno(libc::EINTR)) {
            return got;
        }
    }
}

/// Has a file's first `length` bytes read into the page cache, and nothing beyond them (`man 2 posix_fadvise`). A hint.
pub fn read_ahead(fd: i32, length: usize) {
    // SAFETY: changes no memory.
    unsafe { syscall(libc::SYS_fadvise64, [fd as usize, 0, length, libc::POSIX_FADV_WILLNEED as usize, 0, 0]) };
}

/// `pread(2)`, until the buffer is full. False if the file ends before, or cannot be read.
pub fn read_exactly(fd: i32, buffer: &mut [u8], offset: u64) -> bool {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        let at = [fd as usize, rest.as_mut_ptr() as usize, rest.len(), offset as usize + done, 0, 0];
        // SAFETY: the buffer is writable for its length.
        match check(unsafe { syscall(libc::SYS_pread64, at) }) {
            Ok(0) => return false,
            Ok(got) => done += got,
            Err(Errno(libc::EINTR)) => {}
            Err(_) => return false,
        }
    }
    true
}

/// `write(2)`, once.
pub fn write(fd: i32, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the buffer is readable for its length.
    check(unsafe { syscall(libc::SYS_write, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) })
}

/// Reads a whole file of at most `limit` bytes; what lies beyond is cut off.
pub fn read_file(path: &[u8], limit: usize) -> Result<Vec<u8>> {
    let fd = open(path, libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK, 0)?;
    read_all(fd.number(), limit)
}

/// Reads from a descriptor up to its end or `limit` bytes.
pub fn read_all(fd: i32, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = alloc::vec![0; limit.min(4096)];
    let mut length = 0;
    loop {
        if length == bytes.len() {
            if length >= limit {
                return Ok(bytes);
            }
            bytes.resize((length * 2).min(limit), 0);
        }
        let got = read(fd, &mut bytes[length..])?;
        if got == 0 {
            bytes.truncate(length);
            return Ok(bytes);
        }
        length += got;
    }
}

/// The identity of a file and the facts that change when it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Device number, `major << 32 | minor`.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Type and permissions, as `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Blocks of 512 bytes on disk; 0 for a file that is all hole.
    pub blocks: u64,
    /// The size of blocks that reading and writing should use, bytes.
    pub block: u32,
    /// The device that a device file stands for, `major << 32 | minor`.
    pub device: u64,
    /// Last change of contents, nanoseconds since the epoch.
    pub mtime: i64,
    /// Last change of the inode, nanoseconds since the epoch.
    pub ctime: i64,
}

impl Stat {
    /// The type bits.
    pub const fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }
    /// A directory?
    pub const fn is_dir(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }
    /// A regular file?
    pub const fn is_file(&self) -> bool {
        self.kind() == libc::S_IFREG
    }
    /// What a freshness table keeps: device, inode, mode, size, mtime, ctime.
    pub const fn facts(&self) -> [u64; 6] {
        [self.dev, self.ino, self.mode as u64, self.size, self.mtime as u64, self.ctime as u64]
    }
    /// A socket?
    pub const fn is_socket(&self) -> bool {
        self.kind() == libc::S_IFSOCK
    }
}

fn statx(dir: i32, path: *const u8, flags: i32) -> Result<Stat> {
    let mut raw = core::mem::MaybeUninit::<libc::statx>::zeroed();
    let mask = libc::STATX_BASIC_STATS as usize;
    // SAFETY: `path` is NUL-terminated; the kernel fills `raw`; all zeroes is a valid `statx`.
    let raw = unsafe {
        check(syscall(
            libc::SYS_statx,
            [dir as usize, path as usize, (flags | libc::AT_NO_AUTOMOUNT) as usize, mask, raw.as_mut_ptr() as usize, 0],
        ))?;
        raw.assume_init()
    };
    let nanos = |t: libc::statx_timestamp| t.tv_sec * 1_000_000_000 + i64::from(t.tv_nsec);
    Ok(Stat {
        dev: u64::from(raw.stx_dev_major) << 32 | u64::from(raw.stx_dev_minor),
        ino: raw.stx_ino,
        mode: raw.stx_mode.into(),
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        size: raw.stx_size,
        blocks: raw.stx_blocks,
        block: raw.stx_blksize,
        device: u64::from(raw.stx_rdev_major) << 32 | u64::from(raw.stx_rdev_minor),
        mtime: nanos(raw.stx_mtime),
        ctime: nanos(raw.stx_ctime),
    })
}

/// Facts of the file at `path`, following links.
pub fn stat(path: &[u8]) -> Result<Stat> {
    with_path(path, |p| statx(AT_FDCWD, p, 0))
}

/// Facts of the file at `path` itself.
pub fn lstat(path: &[u8]) -> Result<Stat> {
    with_path(path, |p| statx(AT_FDCWD, p, libc::AT_SYMLINK_NOFOLLOW))
}

/// The facts that a freshness table keeps of a path: `None` while nothing is there, or nothing can be seen.
pub fn facts(path: &[u8]) -> Option<[u64; 6]> {
    stat(path).ok().map(|stat| stat.facts())
}

/// The same of a path below an open directory, which may have been opened with `O_PATH`.
pub fn facts_below(dir: i32, path: &[u8]) -> Option<[u64; 6]> {
    with_path(path, |p| statx(dir, p, 0)).ok().map(|stat| stat.facts())
}

/// Facts of an open file.
pub fn fstat(fd: i32) -> Result<Stat> {
    statx(fd, c"".as_ptr().cast(), libc::AT_EMPTY_PATH)
}

/// The text of a symbolic link.
pub fn readlink(path: &[u8]) -> Result<Vec<u8>> {
    let mut buffer = path_buffer();
    let length = with_path(path, |p| {
        // SAFETY: `p` is NUL-terminated and the buffer writable for its length.
        check(unsafe {
            syscall(
                libc::SYS_readlinkat,
                [AT_FDCWD as usize, p as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0],
            )
        })
    })?;
    // SAFETY: the kernel has written that many bytes.
    Ok(unsafe { written(&buffer, length) }.to_vec())
}

/// May this process, by its effective ids, access the file so (`R_OK`, `X_OK`)?
pub fn access(path: &[u8], mode: i32) -> Result<()> {
    with_path(path, |p| {
        let flags = libc::AT_EACCESS as usize;
        // SAFETY: `p` is NUL-terminated.
        let value =
            unsafe { syscall(libc::SYS_faccessat2, [AT_FDCWD as usize, p as usize, mode as usize, flags, 0, 0]) };
        match check(value) {
            // Before Linux 5.8: real ids, which equal the effective ones wherever pyzy runs warm.
            // SAFETY: as above.
            Err(Errno(libc::ENOSYS)) => {
                check(unsafe { syscall(libc::SYS_faccessat, [AT_FDCWD as usize, p as usize, mode as usize, 0, 0, 0]) })
            }
            other => other,
        }
        .map(drop)
    })
}

/// The working directory's path.
pub fn current_dir() -> Result<Vec<u8>> {
    let mut buffer = path_buffer();
    // SAFETY: the buffer is writable for its length.
    let length = check(unsafe { syscall(libc::SYS_getcwd, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0]) })?;
    // SAFETY: the kernel has written that many bytes.
    let path = unsafe { written(&buffer, length) };
    // The length counts the NUL; "(unreachable)" prefixes a directory outside the root (man 2 getcwd).
    if length < 2 || path[0] != b'/' {
        return Err(Errno(libc::ENOENT));
    }
    Ok(path[..length - 1].to_vec())
}

type PathBuffer = [MaybeUninit<u8>; libc::PATH_MAX as usize];

/// Room for any path on the stack: what is not needed of it is not touched, and costs no page.
const fn path_buffer() -> PathBuffer {
    [const { MaybeUninit::uninit() }; libc::PATH_MAX as usize]
}

/// What has been written of a buffer.
///
/// # Safety
/// That many bytes have been written.
unsafe fn written(buffer: &PathBuffer, length: usize) -> &[u8] {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast(), length) }
}

/// The names in a directory, without `.` and `..`.
pub fn list(path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    each_name_in(path, |name| names.push(name.to_vec()))?;
    Ok(names)
}

/// Calls `f` with each name in a directory but `.` and `..`.
pub fn each_name_in(path: &[u8], mut f: impl FnMut(&[u8])) -> Result<()> {
    let fd = open(path, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    each_name(fd.number(), |name| {
        if name != b"." && name != b".." {
            f(name);
        }
    })
}

/// Calls `f` with each name of an open directory (`man 2 getdents`).
fn each_name(dir: i32, mut f: impl FnMut(&[u8])) -> Result<()> {
    let mut buffer = [0u64; 1024];
    loop {
        let length = size_of_val(&buffer);
        // SAFETY: the buffer is writable for `length` bytes.
        let got = check(unsafe {
            syscall(libc::SYS_getdents64, [dir as usize, buffer.as_mut_ptr() as usize, length, 0, 0, 0])
        })?;
        if got == 0 {
            return Ok(());
        }
        // SAFETY: the kernel wrote `got` bytes.
        let bytes = unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), got) };
        let mut at = 0;
        while at + 19 < got {
            // struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
            let record = usize::from(u16::from_ne_bytes([bytes[at + 16], bytes[at + 17]]));
            let name = &bytes[at + 19..at + record];
            f(&name[..name.iter().position(|&b| b == 0).unwrap_or(name.len())]);
            at += record;
        }
    }
}

/// `mkdirat(2)`.
pub fn make_dir(path: &[u8], mode: u32) -> Result<()> {
    with_path(path, |p| {
        // SAFETY: `p` is NUL-terminated.
        check(unsafe { syscall(libc::SYS_mkdirat, [AT_FDCWD as usize, p as usize, mode as usize, 0, 0, 0]) }).map(drop)
    })
}

/// `unlinkat(2)` of a file.
pub fn unlink(path: &[u8]) -> Result<()> {
    with_path(path, |p| {
        // SAFETY: `p` is NUL-terminated.
        check(unsafe { syscall(libc::SYS_unlinkat, [AT_FDCWD as usize, p as usize, 0, 0, 0, 0]) }).map(drop)
    })
}

/// `renameat(2)`.
pub fn rename(from: &[u8], to: &[u8]) -> Result<()> {
    rename_with(from, to, 0)
}

/// `renameat2(2)` that replaces nothing.
pub fn rename_new(from: &[u8], to: &[u8]) -> Result<()> {
    rename_with(from, to, libc::RENAME_NOREPLACE as usize)
}

fn rename_with(from: &[u8], to: &[u8], flags: usize) -> Result<()> {
    with_path(from, |f| {
        with_path(to, |t| {
            let directory = AT_FDCWD as usize;
            // SAFETY: both are NUL-terminated.
            check(unsafe { syscall(libc::SYS_renameat2, [directory, f as usize, directory, t as usize, flags, 0]) })
                .map(drop)
        })
    })
}

/// `flock(2)` with the given operation; waits unless it has `LOCK_NB`.
pub fn lock(fd: i32, operation: i32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { syscall(libc::SYS_flock, [fd as usize, operation as usize, 0, 0, 0, 0]) }).map(drop)
}

/// `fcntl(2)` with a numeric argument.
pub fn fcntl(fd: i32, command: i32, argument: usize) -> Result<usize> {
    // SAFETY: the commands used here take numbers, not pointers.
    check(unsafe { syscall(libc::SYS_fcntl, [fd as usize, command as usize, argument, 0, 0, 0]) })
}

/// `dup3(2)` without flags: the copy lives through an exec.
pub fn duplicate_onto(from: i32, to: i32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { syscall(libc::SYS_dup3, [from as usize, to as usize, 0, 0, 0, 0]) }).map(drop)
}

/// `ftruncate(2)`.
pub fn truncate(fd: i32, length: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { syscall(libc::SYS_ftruncate, [fd as usize, length as usize, 0, 0, 0, 0]) }).map(drop)
}

/// Maps `length` bytes of a file, shared and writable, and adds `amount` to the 64-bit counter at `offset`.
///
/// # Errors
/// Whatever `mmap(2)` says; the file must be at least `length` bytes long, else
/// touching it would raise SIGBUS: the caller has checked that.
pub fn add_shared(fd: i32, length: usize, offset: usize, amount: u64) -> Result<()> {
    assert!(offset.is_multiple_of(8) && offset + 8 <= length);
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    // SAFETY: a fresh mapping that nobody else knows; unmapped below.
    unsafe {
        let base = check(syscall(libc::SYS_mmap, [0, length, protection, libc::MAP_SHARED as usize, fd as usize, 0]))?;
        let counter = &*((base + offset) as *const core::sync::atomic::AtomicU64);
        counter.fetch_add(amount, core::sync::atomic::Ordering::Relaxed);
        syscall(libc::SYS_munmap, [base, length, 0, 0, 0, 0]);
    }
    Ok(())
}

/// The descriptors this process has open, ascending, read from `/proc/self/fd`
/// (without the one used for reading it).
///
/// # Errors
/// When `/proc` is not mounted.
pub fn open_descriptors() -> Result<Vec<i32>> {
    let fd = open(b"/proc/self/fd", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let mut numbers = Vec::new();
    each_name(fd.number(), |name| {
        if let Some(number) = decimal(name).filter(|&n| n != fd.number()) {
            numbers.push(number);
        }
    })?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// A decimal number, if all of `text` is one.
fn decimal(text: &[u8]) -> Option<i32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}
