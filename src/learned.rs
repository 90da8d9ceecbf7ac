//! The ledger's file, for the full program: made, read, forgotten.
//!
//! Owns where it is and how it begins. Its layout and what is chosen from it are `pyzy_core::ledger`'s; what runs add to
//! it is the zygote library's (`src/zygote/src/warm/learn.rs`).

use pyzy_core::dirs;
use pyzy_core::ledger::{self, Entry, Ledger, Scope};
use pyzy_core::preload::{self, Entry as Word};
use pyzy_launch::place;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Does a list ask for it?
pub fn is_wanted(list: &[u8]) -> bool {
    preload::entries(list).any(|word| word == Word::Learned)
}

/// Where it is, if there is a place for it; `make` makes its directory.
pub fn path(environ: &[&[u8]], make: bool) -> Option<PathBuf> {
    let tally = place::tally(environ, make)?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(&dirs::ledger_beside(&tally))))
}

/// An empty one, if there is none. It has all its bytes: runs write to it in memory.
pub fn make(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let fresh = path.with_extension(format!("new.{}", std::process::id()));
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(&ledger::empty()))
        .and_then(|()| std::fs::hard_link(&fresh, path));
    let _ = std::fs::remove_file(&fresh);
    match made {
        // Somebody was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// What it knows of an interpreter; nothing if there is none.
pub fn read(path: &Path, scope: Scope) -> io::Result<Vec<Entry>> {
    // O_NONBLOCK: a fifo in its place must not keep us waiting.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut bytes = Vec::with_capacity(ledger::SIZE + 1);
    match File::options().read(true).custom_flags(nonblock).open(path) {
        Ok(file) => file.take(ledger::SIZE as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let words = ledger::words(&bytes);
    let ledger = words.as_deref().and_then(Ledger::new);
    ledger
        .map(|ledger| ledger.entries(scope))
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it is not a ledger, or one of another version of pyzy"))
}

/// What is chosen from it now, between commas.
pub fn chosen(entries: &[Entry]) -> String {
    ledger::choose(entries, now()).map(|entry| &entry.name[..]).collect::<Vec<_>>().join(",")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
