//! Cuts argv into options, as CPython's own getopt does.
//!
//! Owns words, clusters and values; the meaning is in the tables. Follows
//! `_PyOS_GetOpt` (`Python/getopt.c`), which is not GNU's: a long option may
//! stand at the end of a cluster (`-E-help-all`), takes its value from the next
//! word only, and can neither be abbreviated nor written with `=`.

use super::Version;
use super::options::{Row, Takes, long, short};
use crate::reason::Reason;

/// An option with its value, which is empty where it takes none.
pub(super) struct Found<'a> {
    pub(super) row: &'static Row,
    pub(super) value: &'a [u8],
}

pub(super) struct Getopt<'a> {
    argv: &'a [&'a [u8]],
    version: Option<Version>,
    /// The next word.
    index: usize,
    /// What is left of the cluster in hand.
    cluster: &'a [u8],
}

impl<'a> Getopt<'a> {
    pub(super) fn new(argv: &'a [&'a [u8]], version: Option<Version>) -> Self {
        Getopt { argv, version, index: 1, cluster: b"" }
    }

    /// After the last option: where the script is, if there is one.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// The next option, or nothing at the end of options.
    pub(super) fn option(&mut self) -> Result<Option<Found<'a>>, Reason> {
        if self.cluster.is_empty() && !self.open_word() {
            return Ok(None);
        }
        let Some((&letter, rest)) = self.cluster.split_first() else {
            return Ok(None);
        };
        if letter == b'-' {
            self.cluster = b"";
            // `-E-`: CPython complains, ends the options, and runs the script.
            if rest.is_empty() {
                return Err(Reason::OptionMalformed);
            }
            return self.finish(long(rest)).map(Some);
        }
        self.cluster = rest;
        self.finish(short(letter)).map(Some)
    }

    /// Take the next word as a cluster; false at the end of options.
    fn open_word(&mut self) -> bool {
        match self.argv.get(self.index) {
            None | Some(&b"-") => false,
            Some(&b"--") => {
                self.index += 1;
                false
            }
            Some(word) => match word.strip_prefix(b"-") {
                None => false,
                Some(cluster) => {
                    self.index += 1;
                    self.cluster = cluster;
                    true
                }
            },
        }
    }

    /// The option's row, if this version has it, and its value.
    fn finish(&mut self, row: Option<&'static Row>) -> Result<Found<'a>, Reason> {
        let row = row.filter(|r| r.versions.hold(self.version)).ok_or(Reason::OptionUnknown)?;
        let value = match row.takes {
            Takes::Nothing => b"".as_slice(),
            Takes::Value if !self.cluster.is_empty() => core::mem::take(&mut self.cluster),
            Takes::Value => {
                let word = self.argv.get(self.index).ok_or(Reason::OptionMalformed)?;
                self.index += 1;
                word
            }
        };
        Ok(Found { row, value })
    }
}
