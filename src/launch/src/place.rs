//! Where this user's zygotes are: the runtime directory and the socket.
//!
//! Owns the checks by `lstat` (the rules are `pyzy_core::dirs`). Never makes
//! anything in a directory that is not this user's.

use alloc::vec::Vec;
use pyzy_core::dirs::{self, Facts, Guard};
use pyzy_core::key::Key;
use pyzy_core::reason::Reason;
use pyzy_core::vars;
use pyzy_sys::{Errno, file, libc, process};

/// Where things of one identity are.
#[derive(Clone, Debug)]
pub struct Place {
    /// The runtime directory.
    pub runtime: Vec<u8>,
    /// The socket: `RUNTIME/KEY.sock`, or what PYZY_SOCKET names.
    pub socket: Vec<u8>,
    /// PYZY_SOCKET names it.
    pub named: bool,
}

impl Place {
    /// `RUNTIME/KEY.suffix`.
    pub fn file(&self, key: &Key, suffix: &str) -> Vec<u8> {
        in_runtime(&self.runtime, key, suffix)
    }
}

/// `RUNTIME/KEY.suffix`.
pub fn in_runtime(runtime: &[u8], key: &Key, suffix: &str) -> Vec<u8> {
    [runtime, b"/", &key.hex(), b".", suffix.as_bytes()].concat()
}

fn facts(stat: file::Stat) -> Facts {
    Facts { directory: stat.is_dir(), owner: stat.uid, mode: stat.mode & 0o7777 }
}

/// What is there, by the guard's way of looking.
fn look(path: &[u8], guard: Guard) -> Result<Option<Facts>, Errno> {
    let got = if guard == Guard::Private { file::lstat(path) } else { file::stat(path) };
    match got {
        Ok(stat) => Ok(Some(facts(stat))),
        Err(Errno(libc::ENOENT)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The runtime directory; made if it is not there and `make` is set.
pub fn runtime(environ: &[&[u8]], make: bool) -> Result<Vec<u8>, Reason> {
    let uid = process::effective_user();
    let candidates = dirs::runtime(environ);
    let fit = |c: &&dirs::Candidate| look(&c.base, c.guard).is_ok_and(|f| c.guard.check(f, uid).is_ok());
    let candidate = candidates.iter().find(fit).ok_or(Reason::NoRuntimeDirectory)?;
    let path = candidate.path.clone();
    let mut found = look(&path, Guard::Private).map_err(|_| Reason::NoRuntimeDirectory)?;
    if found.is_none() && make {
        make_below(&candidate.base, &path);
        found = look(&path, Guard::Private).map_err(|_| Reason::NoRuntimeDirectory)?;
    }
    let found = found.ok_or(Reason::NoRuntimeDirectory)?;
    Guard::Private.check(Some(found), uid).map_err(|_| Reason::UnsafeDirectory)?;
    Ok(path)
}

/// Makes the directories of `path` below `base`, each 0700; what exists stays as it is.
fn make_below(base: &[u8], path: &[u8]) {
    let start = base.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
    if file::stat(base).is_err() {
        // XDG_CACHE_HOME may not be there yet; its own parents must be.
        let _ = file::make_dir(base, 0o700);
    }
    for (at, _) in path.iter().enumerate().skip(start + 1).filter(|(_, b)| **b == b'/') {
        let _ = file::make_dir(&path[..at], 0o700);
    }
    let _ = file::make_dir(path, 0o700);
}

/// Runtime directory and socket for an identity.
pub fn place(environ: &[&[u8]], key: &Key, make: bool) -> Result<Place, Reason> {
    let runtime = runtime(environ, make)?;
    match named_socket(environ) {
        None => Ok(Place { socket: in_runtime(&runtime, key, "sock"), runtime, named: false }),
        Some(socket) => {
            let socket = socket?;
            check_socket(&socket)?;
            Ok(Place { runtime, socket, named: true })
        }
    }
}

/// What PYZY_SOCKET names, absolute.
pub fn named_socket(environ: &[&[u8]]) -> Option<Result<Vec<u8>, Reason>> {
    vars::get_nonempty(environ, vars::SOCKET).map(|name| absolute(name).ok_or(Reason::UnsafeSocket))
}

fn absolute(path: &[u8]) -> Option<Vec<u8>> {
    if path.ends_with(b"/") {
        return None;
    }
    if path.first() == Some(&b'/') {
        return Some(path.to_vec());
    }
    let mut whole = file::current_dir().ok()?;
    whole.push(b'/');
    whole.extend_from_slice(path);
    Some(whole)
}

/// A socket of ours, or nothing yet, in a directory where nobody else can put one in its place.
fn check_socket(path: &[u8]) -> Result<(), Reason> {
    let uid = process::effective_user();
    let slash = path.iter().rposition(|&b| b == b'/').ok_or(Reason::UnsafeSocket)?;
    let directory = file::stat(&path[..slash.max(1)]).map_err(|_| Reason::UnsafeSocket)?;
    let sticky = directory.mode & libc::S_ISVTX != 0;
    let open = directory.mode & 0o022 != 0 && !sticky;
    let owned = directory.uid == uid || directory.uid == 0;
    if !directory.is_dir() || open || !owned {
        return Err(Reason::UnsafeSocket);
    }
    match file::lstat(path) {
        Err(Errno(libc::ENOENT)) => Ok(()),
        Ok(stat) if stat.is_socket() && stat.uid == uid => Ok(()),
        _ => Err(Reason::UnsafeSocket),
    }
}

/// Where the tally is, if there is a place for it; its directory is made if it is not there and `make` is set.
pub fn tally(environ: &[&[u8]], make: bool) -> Option<Vec<u8>> {
    let uid = process::effective_user();
    if let Some(c) = dirs::tally(environ)
        && look(&c.base, c.guard).is_ok_and(|f| f.is_some() && c.guard.check(f, uid).is_ok())
        && (has_cache(&c) || runtime(environ, false).is_err())
    {
        let slash = c.path.iter().rposition(|&b| b == b'/')?;
        if make && file::lstat(&c.path[..slash]).is_err() {
            make_below(&c.base, &c.path[..slash]);
        }
        return Some(c.path);
    }
    runtime(environ, false).ok().map(|r| dirs::tally_in(&r))
}

/// Is there a cache already? A home without one does not get it for a tally's sake.
fn has_cache(tally: &dirs::Candidate) -> bool {
    let cache = tally.path.strip_suffix(b"/pyzy/tally").unwrap_or(&tally.path);
    file::stat(cache).is_ok_and(|s| s.is_dir())
}
