//! Freshness: what must still be true for a zygote's start-up to be what a cold start would be now.
//!
//! Owns the table that a zygote writes beside its socket and the launcher
//! checks with `stat`: paths with the facts they had, paths that must still be
//! absent, and variables that start-up code read. Checking is the caller's.

use crate::codec::{Put, Take};
use alloc::vec::Vec;

const MAGIC: &[u8; 8] = b"pyzyfrs1";

/// The facts of a path that matter: `None` while it is absent.
pub type Facts = Option<[u64; 6]>;

/// The end of a path of a directory of which only that counts: that it is this one. What comes and goes in it is no matter.
pub const ONLY_DIRECTORY: &[u8] = b"/.";

/// The facts of a path, as far as they count.
pub fn counting(path: &[u8], facts: Facts) -> Facts {
    let only = path.ends_with(ONLY_DIRECTORY);
    facts.map(|[device, inode, mode, rest @ ..]| match (only, rest) {
        (true, _) => [device, inode, mode, 0, 0, 0],
        (false, [size, mtime, ctime]) => [device, inode, mode, size, mtime, ctime],
    })
}

/// A table, as it lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<'a> {
    /// Drawn by the zygote; ties this table to the zygote that wrote it.
    pub nonce: u64,
    /// Paths and their facts: device, inode, mode, size, mtime, ctime.
    pub paths: Vec<(&'a [u8], Facts)>,
    /// Variables beyond the start-up environment that start-up code read, with their values.
    pub variables: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Table<'a> {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.put_u64(self.nonce);
        out.put_u32(self.paths.len() as u32);
        for (path, facts) in &self.paths {
            out.put_bytes(path);
            out.put_u8(facts.is_some().into());
            for fact in facts.iter().flatten() {
                out.put_u64(*fact);
            }
        }
        out.put_u32(self.variables.len() as u32);
        for (name, value) in &self.variables {
            out.put_bytes(name);
            out.put_u8(value.is_some().into());
            if let Some(value) = value {
                out.put_bytes(value);
            }
        }
        out
    }

    /// From bytes; `None` unless all of them are a table.
    pub fn decode(bytes: &'a [u8]) -> Option<Table<'a>> {
        let mut take = Take(bytes);
        if take.raw(8)? != MAGIC {
            return None;
        }
        let nonce = take.u64()?;
        let count = take.u32()? as usize;
        let mut paths = Vec::with_capacity(count.min(take.0.len() / 5));
        for _ in 0..count {
            let path = take.bytes()?;
            let facts = match take.u8()? {
                0 => None,
                1 => {
                    let mut facts = [0; 6];
                    for fact in &mut facts {
                        *fact = take.u64()?;
                    }
                    Some(facts)
                }
                _ => return None,
            };
            paths.push((path, facts));
        }
        let count = take.u32()? as usize;
        let mut variables = Vec::with_capacity(count.min(take.0.len() / 5));
        for _ in 0..count {
            let name = take.bytes()?;
            let value = match take.u8()? {
                0 => None,
                1 => Some(take.bytes()?),
                _ => return None,
            };
            variables.push((name, value));
        }
        take.end()?;
        Some(Table { nonce, paths, variables })
    }
}

/// Paths of one directory side by side: who checks many of them goes by way of it.
pub fn sort(paths: &mut [(&[u8], Facts)]) {
    paths.sort_by_key(|(path, _)| path.iter().rposition(|&b| b == b'/').map(|slash| &path[..slash]));
}

/// Leaves out of the paths of a table what the others say already: below something absent nothing is there, and in a
/// directory whose facts are kept no name appears without a change of its times (`man 7 inode`). `exists` tells whether
/// a path leads anywhere, `is_named` whether its last name is there, be it of a link that leads nowhere.
pub fn without_redundant<'a>(
    paths: &[(&'a [u8], Facts)],
    exists: impl Fn(&[u8]) -> bool,
    is_named: impl Fn(&[u8]) -> bool,
) -> Vec<(&'a [u8], Facts)> {
    let slashes = |path: &'a [u8]| path.iter().enumerate().skip(1).filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    let kept = |directory: &[u8]| paths.iter().any(|(path, facts)| *path == directory && facts.is_some());
    let mut left: Vec<(&[u8], Facts)> = Vec::new();
    for &(path, facts) in paths {
        let first = slashes(path).map(|at| &path[..at]).find(|above| facts.is_none() && !exists(above));
        let path = first.unwrap_or(path);
        let implied = facts.is_none()
            && !path.ends_with(b"/")
            && slashes(path).next_back().is_some_and(|at| kept(&path[..at]))
            && !is_named(path);
        if !implied && !left.iter().any(|(known, _)| *known == path) {
            left.push((path, facts));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn sample() -> Table<'static> {
        Table {
            nonce: 9,
            paths: vec![(b"/a", None), (b"/b\xff", Some([1, 2, 3, 4, 5, 6]))],
            variables: vec![(b"X", None), (b"Y", Some(b"")), (b"Z", Some(b"z"))],
        }
    }

    #[test]
    fn tables_survive_a_round_trip_and_no_cut() {
        let bytes = sample().encode();
        assert_eq!(Table::decode(&bytes), Some(sample()));
        for length in 0..bytes.len() {
            assert_eq!(Table::decode(&bytes[..length]), None);
        }
    }

    #[test]
    fn of_a_directory_only_that_it_is_this_one() {
        let facts = Some([1, 2, 3, 4, 5, 6]);
        assert_eq!(counting(b"/p", facts), facts);
        assert_eq!(counting(b"/p/.", facts), Some([1, 2, 3, 0, 0, 0]));
        assert_eq!(counting(b"/p/.", None), None);
        // What is missing in it is not left out for its times' sake.
        let paths: Vec<(&[u8], Facts)> = vec![(b"/p/.", counting(b"/p/.", facts)), (b"/p/x.py", None)];
        assert_eq!(without_redundant(&paths, |p| p == b"/p", |_| false), paths);
    }

    #[test]
    fn what_others_say_is_left_out() {
        let there: &[&[u8]] = &[b"/p", b"/p/lib", b"/p/lib/x", b"/p/bin"];
        let dangling: &[u8] = b"/p/lib/link";
        let facts = |path: &[u8]| there.contains(&path).then_some([1; 6]);
        let paths: Vec<(&[u8], Facts)> = [
            &b"/p/lib"[..],
            b"/p/lib/x",
            // Below /p/bin/lib, of which one is enough.
            b"/p/bin/lib/a.zip",
            b"/p/bin/lib/b/os.py",
            // In a directory whose facts are kept, and a link there that leads nowhere.
            b"/p/lib/gone.py",
            b"/p/lib/gone/deep.py",
            b"/p/lib/link",
            b"/p/lib/gone/",
            // In a directory that is not in the table; and a relative path.
            b"/p/bin/cfg",
            b"rel/x",
        ]
        .map(|path| (path, facts(path)))
        .to_vec();
        let left = without_redundant(&paths, |p| there.contains(&p), |p| there.contains(&p) || p == dangling);
        let left: Vec<&[u8]> = left.into_iter().map(|(path, _)| path).collect();
        assert_eq!(left, [&b"/p/lib"[..], b"/p/lib/x", b"/p/bin/lib", b"/p/lib/link", b"/p/bin/cfg", b"rel"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut with_magic = MAGIC.to_vec();
            with_magic.extend_from_slice(&bytes);
            let _ = Table::decode(&bytes);
            let _ = Table::decode(&with_magic);
        }
    }
}
