//! What `pyzy zygote` tells the interpreter that it turns into a zygote or a probe.
//!
//! Owns the record that lies in an inherited descriptor while the interpreter
//! starts. Both ends are of one build, so there is no version to negotiate, but
//! a wrong record is still refused.

use crate::codec::{Put, Take};
use crate::key::Key;
use alloc::vec::Vec;

/// The variable that tells the library in `LD_PRELOAD` to take over: the number of the record's descriptor.
pub const HOST: &str = "PYZY_HOST";

/// The script that a probe or zygote is started with: nothing lies below a device.
pub const NO_SCRIPT: &str = "/dev/null/pyzy-zygote";
/// What `sys.path[0]` would be for it.
pub const NO_DIRECTORY: &str = "/dev/null";

/// What a security module calls a process; cannot be read where there is none.
pub const LABEL: &[u8] = b"/proc/self/attr/current";

const MAGIC: &[u8; 8] = b"pyzybgn1";

/// What the interpreter shall become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Measure what start-up does, report, leave; at once, when the process that waits for it is gone.
    Probe {
        /// Its process id.
        starter: i32,
    },
    /// Serve.
    Zygote,
}

/// What a zygote needs to make an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageStart<'a> {
    /// The key of the image.
    pub key: Key,
    /// The lock of whoever makes it, held until it is there.
    pub lock: i32,
    /// The launcher, which tries it.
    pub launcher: &'a [u8],
    /// Its limits: seconds and runs until it is replaced, megabytes that all images may take.
    pub limits: [u64; 3],
    /// `ADDR_COMPAT_LAYOUT` (`man 2 personality`) is to be taken back: it was set for the process's layout only.
    pub compact: bool,
    /// Code is mapped from its own files.
    pub debuggable: bool,
    /// The starter's security label (`/proc/self/attr/current`), which the interpreter must have as well.
    pub label: &'a [u8],
}

/// What a zygote needs to learn from its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learn<'a> {
    /// The ledger.
    pub ledger: &'a [u8],
    /// Whose imports they are ([`crate::ledger::Scope`]).
    pub scope: u64,
    /// What was chosen from it, between commas: kept warm after everything else.
    pub chosen: &'a [u8],
    /// How much memory that may take, bytes.
    pub room: u64,
}

/// The record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start<'a> {
    /// What to become.
    pub role: Role,
    /// The identity's key.
    pub key: Key,
    /// Ties socket and freshness table together.
    pub nonce: u64,
    /// Where to listen.
    pub socket: &'a [u8],
    /// The runtime directory.
    pub runtime: &'a [u8],
    /// The interpreter's file, for the status page.
    pub interpreter: &'a [u8],
    /// The identity in words, for the status page.
    pub words: &'a [u8],
    /// Interpreter version, for the status page.
    pub version: &'a [u8],
    /// Seconds without a caller.
    pub idle: u64,
    /// An open descriptor for log lines, or -1.
    pub log: i32,
    /// The start lock, held until the socket is there; or the probe's report.
    pub descriptor: i32,
    /// The zygote shares its session with its callers (a terminal is involved).
    pub in_session: bool,
    /// An image is to be made.
    pub image: Option<ImageStart<'a>>,
    /// What is to be kept warm, as a list.
    pub preload: &'a [u8],
    /// The script whose imports are to be kept warm as well; empty for none.
    pub own_script: &'a [u8],
    /// Imports are noted.
    pub learn: Option<Learn<'a>>,
    /// What start-up code does to the environment: names with values, or without one to remove it.
    pub changes: Vec<(&'a [u8], Option<&'a [u8]>)>,
    /// The freshness table, encoded.
    pub table: &'a [u8],
}

impl<'a> Start<'a> {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        match self.role {
            Role::Probe { starter } => {
                out.put_u8(0);
                out.put_u32(starter as u32);
            }
            Role::Zygote => out.put_u8(1),
        }
        out.extend_from_slice(&self.key.0);
        out.put_u64(self.nonce);
        for text in [self.socket, self.runtime, self.interpreter, self.words, self.version] {
            out.put_bytes(text);
        }
        out.put_u64(self.idle);
        out.put_u32(self.log as u32);
        out.put_u32(self.descriptor as u32);
        out.put_u8(self.in_session.into());
        out.put_u8(self.image.is_some().into());
        if let Some(image) = &self.image {
            out.extend_from_slice(&image.key.0);
            out.put_u32(image.lock as u32);
            out.put_bytes(image.launcher);
            image.limits.iter().for_each(|&n| out.put_u64(n));
            out.put_u8(image.compact.into());
            out.put_u8(image.debuggable.into());
            out.put_bytes(image.label);
        }
        out.put_bytes(self.preload);
        out.put_bytes(self.own_script);
        out.put_u8(u8::from(self.learn.is_some()));
        if let Some(learn) = &self.learn {
            out.put_bytes(learn.ledger);
            out.put_u64(learn.scope);
            out.put_bytes(learn.chosen);
            out.put_u64(learn.room);
        }
        out.put_u32(self.changes.len() as u32);
        for (name, value) in &self.changes {
            out.put_bytes(name);
            out.put_u8(value.is_some().into());
            out.put_bytes(value.unwrap_or_default());
        }
        out.put_bytes(self.table);
        out
    }

    /// From bytes.
    pub fn decode(bytes: &'a [u8]) -> Option<Start<'a>> {
        let mut take = Take(bytes);
        if take.raw(8)? != MAGIC {
            return None;
        }
        let start = Start {
            role: match take.u8()? {
                0 => Role::Probe { starter: take.u32()? as i32 },
                1 => Role::Zygote,
                _ => return None,
            },
            key: Key(take.raw(16)?.try_into().ok()?),
            nonce: take.u64()?,
            socket: take.bytes()?,
            runtime: take.bytes()?,
            interpreter: take.bytes()?,
            words: take.bytes()?,
            version: take.bytes()?,
            idle: take.u64()?,
            log: take.u32()? as i32,
            descriptor: take.u32()? as i32,
            in_session: take.u8()? != 0,
            image: match take.u8()? {
                0 => None,
                1 => Some(image(&mut take)?),
                _ => return None,
            },
            preload: take.bytes()?,
            own_script: take.bytes()?,
            learn: match take.u8()? {
                0 => None,
                1 => {
                    Some(Learn { ledger: take.bytes()?, scope: take.u64()?, chosen: take.bytes()?, room: take.u64()? })
                }
                _ => return None,
            },
            changes: {
                let count = take.u32()?;
                (0..count).map(|_| change(&mut take)).collect::<Option<_>>()?
            },
            table: take.bytes()?,
        };
        take.end()?;
        Some(start)
    }
}

fn image<'a>(take: &mut Take<'a>) -> Option<ImageStart<'a>> {
    Some(ImageStart {
        key: Key(take.raw(16)?.try_into().ok()?),
        lock: take.u32()? as i32,
        launcher: take.bytes()?,
        limits: [take.u64()?, take.u64()?, take.u64()?],
        compact: take.u8()? != 0,
        debuggable: take.u8()? != 0,
        label: take.bytes()?,
    })
}

fn change<'a>(take: &mut Take<'a>) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let (name, set, value) = (take.bytes()?, take.u8()? != 0, take.bytes()?);
    Some((name, set.then_some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_a_round_trip_and_no_cut() {
        let mut start = Start {
            role: Role::Zygote,
            key: Key([3; 16]),
            nonce: 5,
            socket: b"/run/s",
            runtime: b"/run",
            interpreter: b"/usr/bin/python3",
            words: b"",
            version: b"3.12.1",
            idle: 600,
            log: -1,
            descriptor: 4,
            in_session: true,
            image: Some(ImageStart {
                key: Key([4; 16]),
                lock: 5,
                launcher: b"/l",
                limits: [1, 2, 3],
                compact: true,
                debuggable: true,
                label: b"u:r",
            }),
            preload: b"off",
            own_script: b"/x.py",
            learn: Some(Learn { ledger: b"/l", scope: 5, chosen: b"a,b", room: 6 }),
            changes: alloc::vec![(&b"A"[..], Some(&b"1"[..])), (b"B", None)],
            table: b"t",
        };
        for role in [Role::Zygote, Role::Probe { starter: 7 }] {
            start.role = role;
            let bytes = start.encode();
            assert_eq!(Start::decode(&bytes).as_ref(), Some(&start));
            assert!((0..bytes.len()).all(|n| Start::decode(&bytes[..n]).is_none()));
        }
    }
}
