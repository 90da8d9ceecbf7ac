//! Scripts that are compiled already: the layout of `RUNTIME/KEY.codes`.
//!
//! Owns where a script's code lies in the file, and when it is the right one. A table of slots comes first, found by
//! the script's path; entries follow in the order in which they were written. An entry is good for one zygote (its
//! number is the seed of the checksum, so that another zygote's are as good as damaged), one path and one state of
//! the file. Reading is total: whatever the bytes, the answer is an entry or none.

use crate::codec::{Put, Take};
use alloc::vec::Vec;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// How many places a path's hash can point to.
const SLOTS: u64 = 4096;
/// The bytes of a slot.
pub const SLOT: usize = 32;
/// The bytes that are looked at for a path: eight slots in a row.
pub const WINDOW: usize = 8 * SLOT;
/// Where the first entry lies.
pub const START: u64 = SLOTS * SLOT as u64 + WINDOW as u64;
/// The longest entry, bytes.
pub const LONGEST: usize = 8 << 20;

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    hash: u64,
    /// From the file's beginning, bytes.
    pub offset: u64,
    /// Bytes.
    pub length: usize,
    sum: u64,
}

/// A script, as its run sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    /// Its absolute path.
    pub path: &'a [u8],
    /// Device, inode, mode, size, mtime, ctime ([`crate::fresh::Facts`]).
    pub facts: [u64; 6],
}

impl Script<'_> {
    fn hash(&self) -> u64 {
        xxh3_64(self.path)
    }

    /// Where its [`WINDOW`] begins.
    pub fn window(&self) -> u64 {
        self.hash() % SLOTS * SLOT as u64
    }

    /// Its slot in its window.
    pub fn find(&self, window: &[u8]) -> Option<Slot> {
        window.chunks_exact(SLOT).filter_map(Slot::decode).find(|slot| slot.hash == self.hash())
    }

    /// What the entry of that slot keeps, if it is for this script as it is now.
    pub fn content<'b>(&self, slot: &Slot, entry: &'b [u8], zygote: u64) -> Option<&'b [u8]> {
        let mut take = Take(entry);
        let good = xxh3_64_with_seed(entry, zygote) == slot.sum && take.bytes()? == self.path;
        for fact in self.facts {
            (take.u64()? == fact).then_some(())?;
        }
        good.then_some(take.0)
    }

    /// An entry.
    pub fn entry(&self, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.path.len() + 64 + content.len());
        out.put_bytes(self.path);
        for fact in self.facts {
            out.put_u64(fact);
        }
        out.extend_from_slice(content);
        out
    }

    /// The slot of an entry that lies at `offset`, and where it is to be written: in place of the same script's, of none, or of another.
    pub fn place(&self, window: &[u8], entry: &[u8], offset: u64, zygote: u64) -> (u64, [u8; SLOT]) {
        let slots = || window.chunks_exact(SLOT).map(Slot::decode);
        let same = slots().position(|slot| slot.is_some_and(|slot| slot.hash == self.hash()));
        let at = same.or_else(|| slots().position(|slot| slot.is_none()));
        let at = at.unwrap_or((self.hash() >> 32) as usize % (WINDOW / SLOT));
        let slot = Slot { hash: self.hash(), offset, length: entry.len(), sum: xxh3_64_with_seed(entry, zygote) };
        (self.window() + (at * SLOT) as u64, slot.encode())
    }
}

/// Is a source read the same from a file and from memory? CPython's file reader refuses bytes in comments that are no UTF-8, and
/// has a way of its own with codecs and with very long lines: UTF-8 that claims to be nothing else.
pub fn is_plain_text(source: &[u8]) -> bool {
    let is_comment_of_utf8 = |line: &[u8]| {
        let Some(at) = line.windows(6).position(|word| word == b"coding") else { return true };
        let rest = &line[at + 6..];
        if !matches!(rest.first(), Some(b':' | b'=')) {
            // Perhaps another one follows.
            return !rest.windows(7).any(|word| word == b"coding:" || word == b"coding=");
        }
        let name = rest[1..].trim_ascii_start();
        let end = name.iter().position(|b| !b.is_ascii_alphanumeric() && !b"-_.".contains(b)).unwrap_or(name.len());
        [&b"utf-8"[..], b"utf8"].iter().any(|utf8| name[..end].eq_ignore_ascii_case(utf8))
    };
    core::str::from_utf8(source).is_ok() && source.split(|b| b"\r\n".contains(b)).take(4).all(is_comment_of_utf8)
}

impl Slot {
    fn encode(&self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        let numbers = [self.hash, self.offset, self.length as u64, self.sum];
        for (place, number) in out.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Slot> {
        let mut take = Take(bytes);
        let [hash, offset, length, sum] = [take.u64()?, take.u64()?, take.u64()?, take.u64()?];
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST)?;
        (offset >= START).then_some(Slot { hash, offset, length, sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const SCRIPT: Script = Script { path: b"/a/b.py", facts: [1, 2, 3, 4, 5, 6] };

    fn kept(window: &mut [u8], script: &Script, offset: u64) -> Vec<u8> {
        let entry = script.entry(b"code");
        let (at, slot) = script.place(window, &entry, offset, 7);
        let at = (at - script.window()) as usize;
        window[at..at + SLOT].copy_from_slice(&slot);
        entry
    }

    #[test]
    fn what_was_kept_is_found() {
        let mut window = [0; WINDOW];
        assert_eq!(SCRIPT.find(&window), None);
        let entry = kept(&mut window, &SCRIPT, START);
        let slot = SCRIPT.find(&window).unwrap();
        assert_eq!((slot.offset, slot.length), (START, entry.len()));
        assert_eq!(SCRIPT.content(&slot, &entry, 7), Some(&b"code"[..]));
        // Another zygote, another state of the file, another file of that hash, another byte.
        assert_eq!(SCRIPT.content(&slot, &entry, 8), None);
        for at in 0..6 {
            let mut other = SCRIPT;
            other.facts[at] += 1;
            assert_eq!(other.content(&slot, &entry, 7), None);
        }
        let other = Script { path: b"/a/c.py", ..SCRIPT };
        assert_eq!(other.content(&slot, &entry, 7), None);
        for at in 0..entry.len() {
            let mut damaged = entry.clone();
            damaged[at] ^= 1;
            assert_eq!(SCRIPT.content(&slot, &damaged, 7), None);
            assert_eq!(SCRIPT.content(&slot, &entry[..at], 7), None);
        }
    }

    #[test]
    fn a_window_takes_what_comes() {
        let mut window = [0; WINDOW];
        let paths: Vec<_> = (0..20).map(|n| alloc::format!("/{n}")).collect();
        for (n, path) in paths.iter().enumerate() {
            let script = Script { path: path.as_bytes(), ..SCRIPT };
            for offset in [START, START + n as u64] {
                kept(&mut window, &script, offset);
                let slots = window.chunks_exact(SLOT).filter_map(Slot::decode);
                assert_eq!(slots.filter(|s| s.hash == script.hash()).count(), 1);
                assert_eq!(script.find(&window).unwrap().offset, offset);
            }
        }
    }

    #[test]
    fn windows_lie_before_the_entries() {
        for n in 0..10_000 {
            let path = alloc::format!("/{n}.py");
            let script = Script { path: path.as_bytes(), ..SCRIPT };
            assert!(script.window() + WINDOW as u64 <= START && script.window().is_multiple_of(SLOT as u64));
        }
    }

    #[test]
    fn what_is_plain_text() {
        for plain in [
            &b""[..],
            b"print(1)\n",
            "x = 'é' # 中".as_bytes(),
            b"\xef\xbb\xbfx = 1",
            b"#!/usr/bin/python3\n# -*- coding: utf-8 -*-\n",
            b"# vim: set fileencoding=UTF-8 :\n",
            b"# encoding stuff\n",
        ] {
            assert!(is_plain_text(plain), "{plain:?}");
        }
        for other in [
            &b"x = 1 # \xff"[..],
            b"\xed\xa0\x80",
            b"\xc0\x80",
            b"# coding: latin-1\n",
            b"#\r\n# coding=unicode_escape\n",
            b"# -*- coding : x -*- coding:cp1252\n",
            b"# coding:utf-8-sig\n",
            b"# coding:\n",
        ] {
            assert!(!is_plain_text(other), "{other:?}");
        }
    }

    #[test]
    fn anything_can_be_read() {
        for n in 0..255u8 {
            let window = vec![n; WINDOW];
            assert_eq!(SCRIPT.find(&window), None);
            let slot = Slot { hash: SCRIPT.hash(), offset: START, length: 3, sum: 9 };
            assert_eq!(SCRIPT.content(&slot, &vec![n; n.into()], 7), None);
        }
    }
}
