//! From what was found to a report.
//!
//! Owns the verdict and the list of paths. Looks at the process once more for
//! what nobody traced: libraries, what was printed, what was left behind.

use super::environment::{Entry, environment, same_changes, value};
use super::state::State;
use super::{Before, Findings};
use crate::trace::Trace;
use pyzy_core::fresh;
use pyzy_core::report::{Repair, Report, Verdict};
use pyzy_core::vars;
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};

/// How much of an accusation a person wants to read.
const ACCUSATIONS: usize = 3;

/// The report. `failure` is what went wrong with the probe itself.
pub fn report(findings: Findings, trace: Trace, before: &Before, failure: Option<Vec<u8>>) -> Report {
    let old = &before.environment;
    let mut accusations = findings.impure.clone();
    if let Some(state) = &before.state {
        let changes = state.changes(&State::take());
        accusations.extend(changes.iter().map(|c| [b"start-up code ", c.as_slice()].concat()));
    }
    accusations.extend([1, 2].into_iter().filter_map(printed));
    if !same_changes(&findings.environ_changes, old, &environment()) {
        accusations.push(b"start-up code changes the environment behind os.environ".to_vec());
    }
    let (absent, relative): (Vec<_>, Vec<_>) = trace.relative.into_iter().partition(|path| is_absent_name(path));
    accusations.extend(relative.first().map(|p| [b"start-up looks at the relative path ", p.as_slice()].concat()));
    if let Some(why) = failure {
        accusations.push([b"the probe itself failed: ", why.as_slice()].concat());
    }
    let coerced = value(old, b"LC_CTYPE");
    Report {
        verdict: verdict(accusations),
        version: [findings.version.0, findings.version.1, findings.version.2],
        version_text: findings.version_text.clone(),
        free_threaded: findings.free_threaded,
        debug: findings.debug,
        coerced: coerced.is_some() && coerced != before.lc_ctype,
        env_names: env_names(findings.env_names, trace.env_names),
        environ_changes: findings.environ_changes,
        repairs: Repair::ALL.iter().copied().filter(|r| findings.repairs.iter().any(|n| n == r.name())).collect(),
        paths: all_paths([trace.paths, absent].concat(), findings.paths, findings.asked, old),
    }
}

/// A name that is not in the working directory: what setuptools puts on `sys.path` for a project that is installed to be
/// edited. A launcher finds out whether the caller's directory lacks it too.
fn is_absent_name(path: &[u8]) -> bool {
    !path.contains(&b'/') && matches!(pyzy_sys::file::lstat(path), Err(pyzy_sys::Errno(libc::ENOENT)))
}

fn verdict(mut accusations: Vec<Vec<u8>>) -> Verdict {
    accusations.truncate(ACCUSATIONS);
    // One line, whatever a file is called.
    let line = |a: &Vec<u8>| a.iter().map(|&b| if b < b' ' { b' ' } else { b }).collect::<Vec<u8>>();
    match accusations.is_empty() {
        true => Verdict::Pure,
        false => Verdict::Impure(accusations.iter().map(line).collect::<Vec<_>>().join(b"; ".as_slice())),
    }
}

/// Standard output and error of a probe are files in memory, empty at first.
fn printed(fd: RawFd) -> Option<Vec<u8>> {
    // SAFETY: null flushes all streams of the C library.
    unsafe { libc::fflush(core::ptr::null_mut()) };
    // SAFETY: the descriptor is not closed, thanks to ManuallyDrop; a closed one gives an error below.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.size() == 0 {
        return None;
    }
    let mut start = [0; 80];
    let count = file.read_at(&mut start, 0).unwrap_or(0);
    let line = start[..count].split(|&b| b == b'\n').next().unwrap_or_default();
    Some([b"start-up prints ", line].concat())
}

fn env_names(mut names: Vec<Vec<u8>>, traced: BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
    names.extend(traced);
    names.retain(|name| !vars::is_startup(name));
    names.sort_unstable();
    names.dedup();
    names
}

/// Everything that start-up depends on, in the order of the first look.
fn all_paths(
    traced: Vec<Vec<u8>>,
    found: Vec<Vec<u8>>,
    (only, names): (Vec<Vec<u8>>, Vec<Vec<u8>>),
    environment: &[Entry],
) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let mut paths: Vec<Vec<u8>> = traced;
    paths.extend(found);
    for path in paths.iter_mut().filter(|path| only.contains(path)) {
        path.extend_from_slice(fresh::ONLY_DIRECTORY);
    }
    paths.extend(names);
    paths.extend(mapped_files());
    paths.extend(system_files(environment));
    paths.retain(|p| !passing(p) && seen.insert(p.clone()));
    paths
}

/// Files and directories that importing makes and changes without any effect on
/// the next import: __pycache__ itself, and the names under which importlib
/// writes before it renames (Lib/importlib/_bootstrap_external.py, `_write_atomic`).
fn passing(path: &[u8]) -> bool {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
    let number = last.rsplit(|&b| b == b'.').next().unwrap_or_default();
    let stem = &last[..last.len() - number.len()];
    last == b"__pycache__" || stem.ends_with(b".pyc.") && number.iter().all(u8::is_ascii_digit)
}

/// Libraries and locale archives, without our own library.
fn mapped_files() -> Vec<Vec<u8>> {
    let maps = std::fs::read("/proc/self/maps").unwrap_or_default();
    let own = own_library();
    let path = |line: &[u8]| -> Option<Vec<u8>> {
        let path = &line[line.iter().position(|&b| b == b'/')?..];
        let gone = path.ends_with(b" (deleted)") || path.starts_with(b"/memfd:") || path.starts_with(b"/dev/");
        (!gone && Some(path) != own.as_deref()).then(|| path.to_vec())
    };
    maps.split(|&b| b == b'\n').filter_map(path).collect()
}

fn own_library() -> Option<Vec<u8>> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let address = own_library as fn() -> Option<Vec<u8>> as usize;
    maps.split(|&b| b == b'\n').find_map(|line| {
        let text = std::str::from_utf8(line).ok()?;
        let (range, _) = text.split_once(' ')?;
        let (low, high) = range.split_once('-')?;
        let (low, high) = (usize::from_str_radix(low, 16).ok()?, usize::from_str_radix(high, 16).ok()?);
        (low..high).contains(&address).then(|| Some(line[text.find('/')?..].to_vec())).flatten()
    })
}

/// Files that the dynamic loader and the C library read without asking anybody
/// (`man 8 ld.so`, `man 3 tzset`).
fn system_files(environment: &[Entry]) -> Vec<Vec<u8>> {
    let mut files: Vec<Vec<u8>> =
        ["/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime"].map(|p| p.as_bytes().to_vec()).into();
    let zone = value(environment, b"TZ").unwrap_or_default();
    let zone = zone.strip_prefix(b":").unwrap_or(&zone);
    if zone.starts_with(b"/") {
        files.push(zone.to_vec());
    } else if !zone.is_empty() {
        let directory = value(environment, b"TZDIR").unwrap_or_else(|| b"/usr/share/zoneinfo".to_vec());
        files.push([&directory, b"/".as_slice(), zone].concat());
    }
    files.retain(|f| f.starts_with(b"/"));
    files
}
