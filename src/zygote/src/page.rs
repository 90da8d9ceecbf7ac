//! The zygote's status page: a mapped file that others read and nobody waits for.
//!
//! Owns the mapping and the lock that says the zygote lives. A page that
//! cannot be written never disturbs a run.

use memmap2::MmapMut;
use pyzy_core::key::Key;
use pyzy_core::page::{self, State};
use pyzy_core::start::Start;
use pyzy_sys::{file, process};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The page, while it could be made.
pub struct StatusPage {
    /// The mapping, the file whose lock says that we live, its path.
    made: Option<(MmapMut, File, PathBuf)>,
}

impl StatusPage {
    /// Writes `RUNTIME/PID.zygote`, locked for the life of this process.
    pub fn create(start: &Start) -> StatusPage {
        StatusPage { made: create(start).ok() }
    }

    /// Adds one to the 64-bit number at `offset`.
    pub fn count(&mut self, offset: usize) {
        if let Some((map, ..)) = &mut self.made {
            let old = u64::from_le_bytes(map[offset..offset + 8].try_into().unwrap_or_default());
            map[offset..offset + 8].copy_from_slice(&(old + 1).to_le_bytes());
        }
    }

    /// Notes the time of a request.
    pub fn touch(&mut self) {
        let now = (process::clock(libc::CLOCK_REALTIME) / 1_000_000_000) as u64;
        if let Some((map, ..)) = &mut self.made {
            map[page::LAST_USE..page::LAST_USE + 8].copy_from_slice(&now.to_le_bytes());
        }
    }

    /// Notes how many workers run.
    pub fn running(&mut self, workers: usize) {
        self.put(page::RUNNING, workers as u32);
    }

    /// Notes what the zygote is doing.
    pub fn state(&mut self, state: State) {
        self.put(page::STATE, state as u32);
    }

    fn put(&mut self, offset: usize, value: u32) {
        if let Some((map, ..)) = &mut self.made {
            map[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        }
    }

    /// Removes the file.
    pub fn remove(&mut self) {
        if let Some((.., path)) = &self.made {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn create(start: &Start) -> std::io::Result<(MmapMut, File, PathBuf)> {
    let pid = process::id();
    let runtime = Path::new(std::ffi::OsStr::from_bytes(start.runtime));
    let temporary = runtime.join(format!("{pid}.zygote.new"));
    let path = runtime.join(format!("{pid}{}", page::SUFFIX));
    let _ = std::fs::remove_file(&temporary);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
    let stat = std::fs::read("/proc/self/stat")?;
    let tail = stat.iter().rposition(|&b| b == b')').map_or(&stat[..], |at| &stat[at + 1..]);
    let start_ticks =
        String::from_utf8_lossy(tail).split_whitespace().nth(19).and_then(|t| t.parse().ok()).unwrap_or(0);
    let bytes = page::encode(&page::Page {
        pid: pid as u32,
        started: (process::clock(libc::CLOCK_REALTIME) / 1_000_000_000) as u64,
        start_ticks,
        runs: 0,
        refused: 0,
        last_use: 0,
        running: 0,
        state: State::Starting,
        key: start.key.hex(),
        interpreter: start.interpreter.into(),
        socket: start.socket.into(),
        identity: start.words.into(),
        version: start.version.into(),
    });
    std::io::Write::write_all(&mut &file, &bytes)?;
    let locked = file::lock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB);
    if locked.is_err() {
        let _ = std::fs::remove_file(&temporary);
        return Err(std::io::ErrorKind::WouldBlock.into());
    }
    // SAFETY: the file is ours, in a private directory, and is never cut short.
    let map = unsafe { MmapMut::map_mut(&file)? };
    // Not for workers: a stray write of a script's must not end up here.
    map.advise(memmap2::Advice::DontFork)?;
    std::fs::rename(&temporary, &path)?;
    Ok((map, file, path))
}

/// Is this process a living zygote of that identity? Its page says so, and the lock on the page that it lives.
pub fn is_zygote(runtime: &[u8], pid: i32, key: &Key) -> bool {
    let path = Path::new(std::ffi::OsStr::from_bytes(runtime)).join(format!("{pid}{}", page::SUFFIX));
    let Ok(file) = File::open(&path) else { return false };
    let held = file::lock(file.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB).is_err();
    let bytes = std::fs::read(&path).unwrap_or_default();
    held && page::decode(&bytes).is_ok_and(|page| page.key == key.hex())
}
