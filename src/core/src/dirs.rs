//! Where pyzy keeps its sockets and its tally.
//!
//! Owns the rules that turn an environment into candidate paths, and what a
//! directory must be like to be trusted. They are those of the `directories`
//! crate (XDG base directories: a relative value is ignored), except that HOME
//! must be set and absolute: the launcher has no passwd to ask. A test of the
//! root package compares. Does not own the `lstat`.

use crate::vars;
use alloc::vec::Vec;

/// Our directory below a runtime or cache directory.
const OURS: &[u8] = b"/pyzy";

/// What must hold for [`Candidate::base`] before the candidate is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `lstat`: a directory of this user's, closed to everybody else.
    Private,
    /// `stat`: a directory of this user's (HOME may be a symbolic link). With `sudo`, HOME is somebody else's.
    Owned,
    /// As [`Guard::Owned`], or not there yet.
    OwnedIfThere,
}

/// A path that is used if its base passes the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The variable it comes from.
    pub variable: &'static str,
    /// The directory to check.
    pub base: Vec<u8>,
    /// The check.
    pub guard: Guard,
    /// The path below it.
    pub path: Vec<u8>,
}

/// Candidates for the runtime directory, best first. The first whose guard passes is used; the directory itself must
/// then be [`Guard::Private`] and is made with mode 0700.
pub fn runtime(environ: &[&[u8]]) -> Vec<Candidate> {
    let mut out = Vec::new();
    if let Some(base) = absolute(environ, "XDG_RUNTIME_DIR") {
        out.push(candidate("XDG_RUNTIME_DIR", base, Guard::Private, &[OURS]));
    }
    out.extend(cache(environ, b"/run"));
    out
}

/// The candidate for the tally. When it fails, the tally is [`tally_in`] the runtime directory.
pub fn tally(environ: &[&[u8]]) -> Option<Candidate> {
    cache(environ, b"/tally")
}

/// The tally of those without a cache.
pub fn tally_in(runtime: &[u8]) -> Vec<u8> {
    [runtime, b"/tally"].concat()
}

/// The ledger beside a tally.
pub fn ledger_beside(tally: &[u8]) -> Vec<u8> {
    let directory = tally.iter().rposition(|&b| b == b'/').map_or(&b""[..], |slash| &tally[..slash]);
    [directory, b"/", crate::ledger::NAME.as_bytes()].concat()
}

/// What `stat` or `lstat` says about a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// It is a directory.
    pub directory: bool,
    /// Its owner.
    pub owner: u32,
    /// Its mode, permission bits.
    pub mode: u32,
}

/// What is wrong with a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is nothing.
    Missing,
    /// It is something else, or a symbolic link.
    NotDirectory,
    /// It belongs to this other user.
    Owner(u32),
    /// Others may enter: this mode.
    Mode(u32),
}

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Unfit::Missing => f.write_str("it does not exist"),
            Unfit::NotDirectory => f.write_str("it is not a directory"),
            Unfit::Owner(uid) => write!(f, "it belongs to uid {uid}"),
            Unfit::Mode(mode) => write!(f, "its mode {mode:04o} lets others in"),
        }
    }
}

impl Guard {
    /// Does a base with these facts pass? `None` stands for a base that is not there.
    pub fn check(self, facts: Option<Facts>, euid: u32) -> Result<(), Unfit> {
        let Some(facts) = facts else {
            return if self == Guard::OwnedIfThere { Ok(()) } else { Err(Unfit::Missing) };
        };
        if !facts.directory {
            Err(Unfit::NotDirectory)
        } else if facts.owner != euid {
            Err(Unfit::Owner(facts.owner))
        } else if self == Guard::Private && facts.mode & 0o077 != 0 {
            Err(Unfit::Mode(facts.mode & 0o7777))
        } else {
            Ok(())
        }
    }
}

fn cache(environ: &[&[u8]], tail: &[u8]) -> Option<Candidate> {
    if let Some(base) = absolute(environ, "XDG_CACHE_HOME") {
        return Some(candidate("XDG_CACHE_HOME", base, Guard::OwnedIfThere, &[OURS, tail]));
    }
    let home = absolute(environ, "HOME")?;
    Some(candidate("HOME", home, Guard::Owned, &[b"/.cache", OURS, tail]))
}

fn absolute<'a>(environ: &[&'a [u8]], name: &str) -> Option<&'a [u8]> {
    vars::get(environ, name).filter(|v| v.first() == Some(&b'/'))
}

fn candidate(variable: &'static str, base: &[u8], guard: Guard, tail: &[&[u8]]) -> Candidate {
    // `/` and `/x/` are joined without a second slash, as Path::join does.
    let trimmed = base.iter().rposition(|&b| b != b'/').map_or(&base[..0], |last| &base[..=last]);
    let mut path = trimmed.to_vec();
    tail.iter().for_each(|part| path.extend_from_slice(part));
    Candidate { variable, base: base.to_vec(), guard, path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(environ: &[&[u8]]) -> Vec<Vec<u8>> {
        runtime(environ).into_iter().map(|c| c.path).collect()
    }

    #[test]
    fn the_runtime_directory_comes_first_then_the_cache() {
        let both: &[&[u8]] = &[b"XDG_RUNTIME_DIR=/run/user/7", b"HOME=/home/u"];
        assert_eq!(paths(both), [b"/run/user/7/pyzy".to_vec(), b"/home/u/.cache/pyzy/run".to_vec()]);
        assert_eq!(paths(&[b"XDG_CACHE_HOME=/c/", b"HOME=/h"]), [b"/c/pyzy/run".to_vec()]);
        assert_eq!(tally(both).unwrap().path, b"/home/u/.cache/pyzy/tally");
        assert_eq!(tally(&[b"HOME=/"]).unwrap().path, b"/.cache/pyzy/tally");
        assert_eq!(tally_in(b"/r"), b"/r/tally");
    }

    #[test]
    fn relative_and_empty_values_count_for_nothing() {
        let environ: &[&[u8]] = &[b"XDG_RUNTIME_DIR=run", b"XDG_CACHE_HOME=", b"HOME=h"];
        assert!(runtime(environ).is_empty() && tally(environ).is_none());
        assert!(runtime(&[]).is_empty());
        assert_eq!(paths(&[b"XDG_CACHE_HOME=x", b"HOME=/h"]), [b"/h/.cache/pyzy/run".to_vec()]);
    }

    #[test]
    fn guards() {
        let mine = Facts { directory: true, owner: 7, mode: 0o700 };
        assert_eq!(Guard::Private.check(Some(mine), 7), Ok(()));
        assert_eq!(Guard::Private.check(Some(Facts { mode: 0o750, ..mine }), 7), Err(Unfit::Mode(0o750)));
        assert_eq!(Guard::Owned.check(Some(Facts { mode: 0o755, ..mine }), 7), Ok(()));
        assert_eq!(Guard::Owned.check(Some(mine), 0), Err(Unfit::Owner(7)));
        assert_eq!(Guard::Owned.check(Some(Facts { directory: false, ..mine }), 7), Err(Unfit::NotDirectory));
        assert_eq!(Guard::Private.check(None, 7), Err(Unfit::Missing));
        assert_eq!(Guard::OwnedIfThere.check(None, 7), Ok(()));
        assert_eq!(Guard::OwnedIfThere.check(Some(mine), 8), Err(Unfit::Owner(7)));
    }
}
