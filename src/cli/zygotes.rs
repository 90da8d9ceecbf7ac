//! The zygotes of this user, by their status pages.
//!
//! Owns the reading of the runtime directory: pages, notes of failed starts,
//! and the test whether a page's zygote lives. It lives if its page is locked
//! (`man 2 flock`: the kernel frees the lock with its last holder) and its pid
//! still has the start time written there. The test takes a shared lock, so
//! that two who look at a dead page do not take each other for its zygote.

use super::failure::{Io, io};
use super::place::Runtime;
use super::proc;
use pyzy_core::page::{self, Page, Refusal};
use rustix::fs::FlockOperation;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A page that was found, with its bytes.
pub struct Found {
    pub path: PathBuf,
    /// From the file's name.
    pub pid: u32,
    file: File,
    bytes: Vec<u8>,
}

/// What the kernel says about a zygote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Dead,
    Alive,
    /// SIGSTOP or a debugger holds it.
    Stopped,
}

impl Found {
    fn open(path: PathBuf) -> Option<Found> {
        let pid = path.file_name()?.to_str()?.strip_suffix(page::SUFFIX)?.parse().ok()?;
        let mut file = File::open(&path).ok()?;
        let mut bytes = Vec::with_capacity(page::SIZE);
        file.by_ref().take(page::SIZE as u64 + 1).read_to_end(&mut bytes).ok()?;
        Some(Found { path, pid, file, bytes })
    }

    /// The page as it was last read.
    pub fn page(&self) -> Result<Page<'_>, Refusal> {
        page::decode(&self.bytes)
    }

    /// Reads the page anew: its zygote keeps writing to it.
    pub fn refresh(&mut self) {
        use std::os::unix::fs::FileExt;
        let mut bytes = vec![0; page::SIZE];
        if self.file.read_exact_at(&mut bytes, 0).is_ok() {
            self.bytes = bytes;
        }
    }

    /// Is the zygote there? A page of another layout is judged by its lock alone.
    pub fn life(&self) -> Life {
        if !self.locked() {
            return Life::Dead;
        }
        match (proc::stat(self.pid), self.page()) {
            (None, _) => Life::Dead,
            (Some(stat), Ok(page)) if stat.start_ticks != page.start_ticks => Life::Dead,
            (Some(stat), _) if matches!(stat.state, b'T' | b't') => Life::Stopped,
            (Some(stat), _) if matches!(stat.state, b'Z' | b'X') => Life::Dead,
            (Some(_), _) => Life::Alive,
        }
    }

    fn locked(&self) -> bool {
        let shared = rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockShared);
        if shared.is_ok() {
            let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
        }
        shared == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// Removes a dead zygote's page, unless the name is another file's by now.
    pub fn sweep(&self) -> bool {
        let same = |a: &std::fs::Metadata, b: &std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        match (self.file.metadata(), std::fs::symlink_metadata(&self.path)) {
            (Ok(a), Ok(b)) if same(&a, &b) => std::fs::remove_file(&self.path).is_ok(),
            _ => false,
        }
    }
}

/// Every page in the runtime directory, by pid.
pub fn list(runtime: &Runtime) -> Result<Vec<Found>, Io> {
    let mut found: Vec<Found> = names(runtime)?.into_iter().filter_map(Found::open).collect();
    found.sort_by_key(|f| f.pid);
    Ok(found)
}

/// A note that a zygote could not be started: `KEY.failed`.
pub struct FailedStart {
    pub path: PathBuf,
    pub key: String,
    pub text: Vec<u8>,
    pub when: Option<SystemTime>,
}

/// Every note in the runtime directory, by key.
pub fn failed_starts(runtime: &Runtime) -> Result<Vec<FailedStart>, Io> {
    const MOST: u64 = 16 * 1024;
    let mut notes = Vec::new();
    for path in names(runtime)? {
        let Some(key) = key_before(&path, b".failed") else { continue };
        let Ok(file) = File::open(&path) else { continue };
        let mut text = Vec::new();
        // What cannot be read is shown as an empty note: that it is there is the news.
        let _ = file.take(MOST).read_to_end(&mut text);
        let when = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
        notes.push(FailedStart { path, key, text, when });
    }
    notes.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(notes)
}

fn key_before(path: &Path, suffix: &[u8]) -> Option<String> {
    let key = path.file_name()?.as_bytes().strip_suffix(suffix)?;
    page::is_key(key).then(|| String::from_utf8_lossy(key).into_owned())
}

/// Regular files, so that nothing that blocks an open is opened.
fn names(runtime: &Runtime) -> Result<Vec<PathBuf>, Io> {
    let entries = match std::fs::read_dir(&runtime.dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io("read", &runtime.dir)(e)),
    };
    let regular = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_file()));
    Ok(regular.map(|e| e.path()).collect())
}

/// Removes what a killed zygote left: its page, and its socket unless somebody else has it by now. Whoever starts a
/// zygote holds `KEY.lock` until it listens, so under that lock nobody is about to bind the same name.
pub fn clean_up(runtime: &Runtime, dead: &Found) {
    dead.sweep();
    let Ok(page) = dead.page() else { return };
    let key = String::from_utf8_lossy(&page.key).into_owned();
    let file = |suffix: &str| runtime.dir.join(format!("{key}{suffix}"));
    let Ok(lock) = File::options().read(true).write(true).create(true).truncate(false).open(file(".lock")) else {
        return;
    };
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    let others = list(runtime).unwrap_or_default();
    let heir = others.iter().any(|f| f.page().is_ok_and(|p| p.key == page.key) && f.life() != Life::Dead);
    if heir {
        return;
    }
    let _ = std::fs::remove_file(file(".fresh"));
    let socket = Path::new(OsStr::from_bytes(page.socket.bytes));
    if !page.socket.cut && is_own_socket(socket) {
        let _ = std::fs::remove_file(socket);
    }
}

fn is_own_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let euid = rustix::process::geteuid().as_raw();
    std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket() && m.uid() == euid)
}
