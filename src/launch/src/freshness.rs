//! Checking a freshness table against the world and the caller's environment.

use pyzy_core::fresh::{self, Table};
use pyzy_core::reason::Reason;
use pyzy_core::vars;
use pyzy_sys::{file, libc};

/// Everything as the table says?
pub fn check(table: &Table, environ: &[&[u8]]) -> Result<(), Reason> {
    if differing(table, environ).is_some() {
        return Err(Reason::StartupEnvironment);
    }
    match changed(table) {
        Some(_) => Err(Reason::Stale),
        None => Ok(()),
    }
}

/// The first variable that has another value than the table says, or is there or not there in spite of it.
pub fn differing<'a>(table: &Table<'a>, environ: &[&[u8]]) -> Option<&'a [u8]> {
    let variable = |name: &[u8]| {
        environ.iter().find(|e| vars::name_of(e) == name && e.len() > name.len()).map(|e| &e[name.len() + 1..])
    };
    table.variables.iter().find(|(name, value)| variable(name) != *value).map(|(name, _)| *name)
}

/// The first path that is not as the table says. Many in a row that lie in one directory are reached by way of it: half of what a
/// `stat` takes is the way.
pub fn changed<'a>(table: &Table<'a>) -> Option<&'a [u8]> {
    const FEW: usize = 8;
    fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
        let at = path.iter().rposition(|&b| b == b'/')?;
        Some((&path[..at], &path[at + 1..])).filter(|(directory, name)| !directory.is_empty() && !name.is_empty())
    }
    let directory_of =
        |at: usize| table.paths.get(at).and_then(|(path, _)| split(path)).map(|(directory, _)| directory);
    let mut way: Option<(&[u8], file::Fd)> = None;
    let mut is_same = |at: usize, path: &'a [u8], facts| {
        let Some((directory, name)) = split(path) else { return fresh::counting(path, file::facts(path)) == facts };
        if way.as_ref().is_none_or(|(known, _)| *known != directory)
            // The last first: most rows are shorter.
            && (at..at + FEW).rev().all(|other| directory_of(other) == Some(directory))
        {
            let opened = file::open(directory, libc::O_PATH | libc::O_DIRECTORY, 0);
            way = opened.ok().map(|opened| (directory, opened));
        }
        let now = match &way {
            Some((known, opened)) if *known == directory => file::facts_below(opened.number(), name),
            _ => file::facts(path),
        };
        fresh::counting(path, now) == facts
    };
    table.paths.iter().enumerate().find(|(at, (path, facts))| !is_same(*at, path, *facts)).map(|(_, (path, _))| *path)
}
