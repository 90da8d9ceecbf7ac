//! A worker forked in advance, with the memory at hand that a run will change.
//!
//! Owns forking, the spare's wait for a request, and training: what a run
//! costs most is copying pages (finalisation alone writes to half of them), so
//! a rehearsal finds out which, and each spare copies them before anybody waits.

use crate::run::Script;
use crate::worker::{self, Caller, Prepared};
use pyo3::ffi;
use pyzy_core::wire;
use pyzy_sys::file::{self, Fd};
use pyzy_sys::net::{self, Wait};
use pyzy_sys::{process, signal};

const PAGE: usize = 4096;

/// What the message with the connection says.
const CONNECTION: &[u8] = b"C";

/// Forks with CPython's own preparations; the child goes on in `child` and must not return from it.
///
/// # Safety
/// One thread, which holds the GIL.
pub unsafe fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe {
        ffi::PyOS_BeforeFork();
        let pid = libc::fork();
        if pid == 0 {
            ffi::PyOS_AfterFork_Child();
            child();
            process::exit(1);
        }
        ffi::PyOS_AfterFork_Parent();
        pid
    }
}

/// As [`fork`]; the child ends with this process, and no signal is blocked in it.
///
/// # Safety
/// As there.
pub unsafe fn fork_bound(child: impl FnOnce()) -> i32 {
    let parent = process::id();
    // SAFETY: the caller's promise.
    unsafe {
        fork(|| {
            let _ = process::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize);
            if process::parent_id() == parent {
                let _ = signal::set_mask(0);
                child();
            }
        })
    }
}

/// Waits for a child and gives its wait status; `None` if it had to be killed after so many nanoseconds.
pub fn await_end(pid: i32, patience: i64) -> Option<i32> {
    let handle = signal::process_handle(pid).ok()?;
    let in_time = matches!(net::wait(&mut [Wait::readable(handle.number())], Some(patience)), Ok(1));
    if !in_time {
        let _ = signal::send(pid, libc::SIGKILL);
    }
    process::wait(pid).ok().filter(|_| in_time)
}

/// A worker that waits for its request.
pub struct Spare {
    /// Its process id.
    pub pid: i32,
    channel: Fd,
}

impl Spare {
    /// Forks one.
    pub fn fork(prepared: &Prepared, changed: &[(usize, usize)]) -> Option<Spare> {
        let (ours, theirs) = net::pair().ok()?;
        let zygote = process::id();
        // SAFETY: the zygote has one thread, which holds the GIL.
        let pid = unsafe { fork(|| wait_for_request(prepared, changed, theirs.number(), zygote)) };
        (pid > 0).then_some(Spare { pid, channel: ours })
    }

    /// Hands it a request; its process id if that worked. If not, it ends by itself and the descriptors come back.
    ///
    /// The connection follows when our copies of the descriptors are closed: a pipe that the script closes is closed.
    pub fn give(self, group: i32, request: &[u8], connection: i32, descriptors: Vec<Fd>) -> Result<i32, Vec<Fd>> {
        let message = [&group.to_le_bytes(), request].concat();
        let numbers: Vec<i32> = descriptors.iter().map(Fd::number).collect();
        if message.len() > 64 * 1024 {
            net::set_send_buffer(&self.channel, 1 << 20);
        }
        if net::send(self.channel.number(), &message, &numbers).is_err() {
            return Err(descriptors);
        }
        drop(descriptors);
        let _ = net::send(self.channel.number(), CONNECTION, &[connection]);
        Ok(self.pid)
    }
}

fn wait_for_request(prepared: &Prepared, changed: &[(usize, usize)], channel: i32, zygote: i32) {
    let _ = process::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize);
    if process::parent_id() != zygote {
        return;
    }
    // Nothing of the zygote's other conversations may live on here.
    let Ok(number) = file::fcntl(channel, libc::F_DUPFD_CLOEXEC, 3) else { return };
    worker::close_below(number as u32);
    worker::close_above(number as u32);
    copy(changed);
    let channel = Fd::own(number as i32);
    let mut buffer = vec![0; wire::MAX_MESSAGE + 8];
    let Some((length, descriptors)) = hear(&channel, &mut buffer) else { return };
    let Some((_, connection)) = hear(&channel, &mut [0; CONNECTION.len()]) else { return };
    drop(channel);
    if let Some(caller) = Caller::from_message(&buffer[..length], descriptors, connection, zygote) {
        worker::run(caller, prepared)
    }
}

/// The next message of the zygote's: its length and what came with it.
fn hear(channel: &Fd, buffer: &mut [u8]) -> Option<(usize, Vec<Fd>)> {
    let mut wait = [Wait::readable(channel.number())];
    while matches!(net::wait(&mut wait, None), Ok(ready) if ready == 0) {}
    let received = net::receive(channel.number(), buffer).ok()?;
    (received.length > 0 && !received.truncated).then_some((received.length, received.descriptors))
}

/// Makes these pages ours (`MADV_POPULATE_WRITE`, Linux 5.14; by touching them before).
fn copy(pages: &[(usize, usize)]) {
    for &(start, length) in pages {
        // SAFETY: writable memory of this process, as the rehearsal saw it; contents stay as they are.
        unsafe {
            if libc::madvise(start as *mut libc::c_void, length, libc::MADV_POPULATE_WRITE) != 0 {
                for page in (start..start + length).step_by(PAGE) {
                    let byte = page as *mut u8;
                    byte.write_volatile(byte.read_volatile());
                }
            }
        }
    }
}

/// Runs an empty script in a fork and gives the memory that was changed, as starts and lengths in bytes.
pub fn train(prepared: &Prepared) -> Vec<(usize, usize)> {
    rehearse(prepared).unwrap_or_default()
}

fn rehearse(prepared: &Prepared) -> Option<Vec<(usize, usize)>> {
    let (script, report) = (memory_file(c"pyzy-rehearsal")?, memory_file(c"pyzy-pages")?);
    let before = private_writable()?;
    // SAFETY: the zygote has one thread, which holds the GIL.
    let pid = unsafe {
        fork(|| {
            let path = format!("/proc/self/fd/{}", script.number());
            let _ = signal::set_mask(0);
            if prepared.rehearse().is_some()
                && let Some(script) = Script::prepare(path.as_bytes(), prepared.path0)
            {
                script.rehearse();
                let bytes: Vec<u8> =
                    changed_pages(&before).unwrap_or_default().iter().flat_map(|n| n.to_ne_bytes()).collect();
                let mut rest = &bytes[..];
                while !rest.is_empty()
                    && let Ok(written) = file::write(report.number(), rest)
                {
                    rest = &rest[written..];
                }
                process::exit(0);
            }
        })
    };
    // A rehearsal that hangs must not keep a zygote from serving.
    (await_end(pid, 5_000_000_000)? == 0).then_some(())?;
    let bytes = read_back(&report);
    Some(runs(bytes.chunks_exact(8).map(|c| usize::from_ne_bytes(c.try_into().unwrap_or_default()))))
}

/// A file in memory.
pub fn memory_file(name: &std::ffi::CStr) -> Option<Fd> {
    // SAFETY: a C string.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    (fd >= 0).then(|| Fd::own(fd))
}

/// All that was written to a file in memory.
pub fn read_back(file: &Fd) -> Vec<u8> {
    file::read_file(format!("/proc/self/fd/{}", file.number()).as_bytes(), 1 << 20).unwrap_or_default()
}

/// The private writable parts of this process's memory.
fn private_writable() -> Option<Vec<(usize, usize)>> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let parts = maps.lines().filter(|line| line.split(' ').nth(1) == Some("rw-p") && !line.ends_with("[stack]"));
    parts
        .map(|line| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            let hex = |text| usize::from_str_radix(text, 16).ok();
            Some((hex(start)?, hex(end)?))
        })
        .collect()
}

/// The pages that are ours alone now (`man 5 proc_pid_pagemap`: bit 63 present, 61 file or shared, 56 exclusive):
/// right after a fork none was.
fn changed_pages(parts: &[(usize, usize)]) -> Option<Vec<usize>> {
    let map = file::open(b"/proc/self/pagemap", libc::O_RDONLY, 0).ok()?;
    let mut pages = Vec::new();
    for &(start, end) in parts {
        let mut entries = vec![0u8; (end - start) / PAGE * 8];
        // SAFETY: the buffer is writable for its length.
        let got = unsafe {
            libc::pread(map.number(), entries.as_mut_ptr().cast(), entries.len(), (start / PAGE * 8) as libc::off_t)
        };
        for (at, entry) in entries[..usize::try_from(got).ok()?].chunks_exact(8).enumerate() {
            let flags = u64::from_ne_bytes(entry.try_into().ok()?);
            if flags >> 63 & 1 == 1 && flags >> 61 & 1 == 0 && flags >> 56 & 1 == 1 {
                pages.push(start + at * PAGE);
            }
        }
    }
    Some(pages)
}

/// Neighbouring pages as one.
fn runs(pages: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for page in pages {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == page => *length += PAGE,
            _ => runs.push((page, PAGE)),
        }
    }
    runs
}
