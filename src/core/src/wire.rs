//! What launcher and zygote say to each other.
//!
//! Owns the messages of the fork engine, encode and decode side by side. One
//! sequenced packet is one message; descriptors travel beside it and are named
//! by position. Versioned: an unknown version is refused before anything else
//! is read. Decoding is total.
//!
//! ```text
//! launcher                         zygote                      worker
//!    │── Request + descriptors ──────▶│── fork ──────────────────▶│
//!    │◀─ Ready + process handle ──────────────────────────────────│  or Refused
//!    │── commit ═ hand-off ══════════════════════════════════════▶│
//!    │── released ───────────────────────────────────────────────▶│  runs the script
//!    │◀─ Stopped, Continued, Ended ───│◀─ wait ───────────────────│
//! ```

use crate::codec::{Put, Take};
use crate::codes::Script;
use crate::key::Key;
use crate::reason::Reason;
use alloc::vec::Vec;

/// Changes with every change of meaning; part of each message.
pub const VERSION: u8 = 2;

/// The longest message either side sends; a request that is longer is a fallback.
pub const MAX_MESSAGE: usize = 200 * 1024;

/// The commit byte: from here on the launcher must not fall back.
pub const COMMIT: &[u8] = b"C";

/// After the commit byte: the launcher has closed the caller's descriptors, so that the worker holds the only copies
/// and a pipe that the script closes is closed.
pub const RELEASED: &[u8] = b"R";

/// After the commit byte: a witness stands beside the launcher, so that the way it dies can be told.
pub const WITNESS: &[u8] = b"W";
/// The witness: the launcher has died and I have not, so the signal was for it alone.
pub const ALONE: &[u8] = b"A";

const REQUEST: u8 = b'R';
const STATUS: u8 = b'S';
const COMPILE: u8 = b'C';
const LIMITS: usize = 16;

/// Everything a worker needs to be the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The identity the launcher computed; the zygote compares it with its own.
    pub key: Key,
    /// The number in the freshness table that the launcher checked.
    pub nonce: u64,
    /// The launcher's process id.
    pub pid: i32,
    /// The launcher's process group.
    pub group: i32,
    /// The launcher's session.
    pub session: i32,
    /// The session has a controlling terminal.
    pub terminal: bool,
    /// File mode creation mask.
    pub umask: u32,
    /// Blocked signals.
    pub blocked: u64,
    /// Ignored signals.
    pub ignored: u64,
    /// Soft and hard limits by resource number.
    pub limits: [[u64; 2]; LIMITS],
    /// Nice value, −20 to 19.
    pub nice: i32,
    /// Scheduling policy.
    pub policy: i32,
    /// I/O priority, as `ioprio_get` gives it.
    pub io_priority: i32,
    /// `oom_score_adj`, −1000 to 1000.
    pub oom_score_adj: i32,
    /// CPU mask, as the kernel has it.
    pub affinity: &'a [u8],
    /// Command name, 16 bytes.
    pub comm: &'a [u8],
    /// The whole command line, `argv[0]` as a cold run would show it.
    pub argv: Vec<&'a [u8]>,
    /// Position of the script in `argv`.
    pub script: u32,
    /// The whole environment, in order.
    pub environ: Vec<&'a [u8]>,
    /// Numbers of the descriptors that travel with the message, in their order, after
    /// the working directory, which comes first.
    pub descriptors: Vec<u32>,
}

impl Request<'_> {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let text = |list: &[&[u8]]| list.iter().map(|s| s.len() + 4).sum::<usize>();
        let mut out = Vec::with_capacity(512 + text(&self.argv) + text(&self.environ) + self.affinity.len());
        out.put_u8(VERSION);
        out.put_u8(REQUEST);
        out.extend_from_slice(&self.key.0);
        out.put_u64(self.nonce);
        for number in [self.pid, self.group, self.session] {
            out.put_u32(number as u32);
        }
        out.put_u8(self.terminal.into());
        out.put_u32(self.umask);
        out.put_u64(self.blocked);
        out.put_u64(self.ignored);
        for limit in self.limits.as_flattened() {
            out.put_u64(*limit);
        }
        for number in [self.nice, self.policy, self.io_priority, self.oom_score_adj] {
            out.put_u32(number as u32);
        }
        out.put_bytes(self.affinity);
        out.put_bytes(self.comm);
        out.put_list(&self.argv);
        out.put_u32(self.script);
        out.put_list(&self.environ);
        out.put_u32(self.descriptors.len() as u32);
        for &number in &self.descriptors {
            out.put_u32(number);
        }
        out
    }
}

/// What a caller may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made once a message, never stored; core boxes nothing on this path")]
pub enum Ask<'a> {
    /// Run a script.
    Run(Request<'a>),
    /// Are you well? Answered with [`Answer::Well`].
    Status,
    /// Compile a script for the runs to come, and keep that. Not answered: the connection is closed, at once or when it has been done.
    Compile {
        /// The zygote's number.
        nonce: u64,
        /// The run waits for it.
        now: bool,
        /// The script.
        script: Script<'a>,
    },
}

/// The wish that a script be compiled ([`Ask::Compile`]), as bytes.
pub fn ask_to_compile(nonce: u64, now: bool, script: &Script) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + script.path.len());
    out.put_u8(VERSION);
    out.put_u8(COMPILE);
    out.put_u64(nonce);
    out.put_u8(now.into());
    out.extend_from_slice(&script.entry(b""));
    out
}

/// A status question as bytes.
pub const ASK_STATUS: [u8; 2] = [VERSION, STATUS];

impl<'a> Ask<'a> {
    /// From bytes; `None` for anything that this version did not write.
    pub fn decode(bytes: &'a [u8]) -> Option<Ask<'a>> {
        let mut take = Take(bytes);
        if take.u8()? != VERSION {
            return None;
        }
        match take.u8()? {
            STATUS => take.end().map(|()| Ask::Status),
            COMPILE => {
                let (nonce, now) = (take.u64()?, take.u8()?);
                let path = take.bytes()?;
                let mut facts = [0; 6];
                for fact in &mut facts {
                    *fact = take.u64()?;
                }
                take.end()?;
                let whole = path.starts_with(b"/") && !path.contains(&0);
                (whole && now <= 1).then_some(Ask::Compile { nonce, now: now == 1, script: Script { path, facts } })
            }
            REQUEST => {
                let request = decode_request(&mut take)?;
                take.end()?;
                Some(Ask::Run(request))
            }
            _ => None,
        }
    }
}

fn decode_request<'a>(take: &mut Take<'a>) -> Option<Request<'a>> {
    let request = Request {
        key: Key(take.raw(16)?.try_into().ok()?),
        nonce: take.u64()?,
        pid: take.u32()? as i32,
        group: take.u32()? as i32,
        session: take.u32()? as i32,
        terminal: match take.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        },
        umask: take.u32()?,
        blocked: take.u64()?,
        ignored: take.u64()?,
        limits: {
            let mut limits = [[0; 2]; LIMITS];
            for limit in limits.as_flattened_mut() {
                *limit = take.u64()?;
            }
            limits
        },
        nice: take.u32()? as i32,
        policy: take.u32()? as i32,
        io_priority: take.u32()? as i32,
        oom_score_adj: take.u32()? as i32,
        affinity: take.bytes()?,
        comm: take.bytes()?,
        argv: take.list()?,
        script: take.u32()?,
        environ: take.list()?,
        descriptors: {
            let count = take.u32()? as usize;
            if count > take.0.len() / 4 {
                return None;
            }
            (0..count).map(|_| take.u32()).collect::<Option<_>>()?
        },
    };
    let ascending = request.descriptors.windows(2).all(|w| w[0] < w[1]);
    let texts = request.argv.iter().chain(&request.environ).all(|s| !s.contains(&0));
    let script = request.script >= 1 && (request.script as usize) < request.argv.len();
    (ascending && texts && script && request.comm.len() == 16 && request.umask <= 0o777 && request.pid > 0)
        .then_some(request)
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this code.
    Exited(u8),
    /// By a signal.
    Killed {
        /// The signal.
        signal: i32,
        /// It left a core dump.
        core: bool,
    },
    /// Nobody knows: the zygote is gone.
    Lost,
}

/// What zygote and worker say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The worker stands ready; its process handle travels with the message.
    Ready {
        /// The worker's process id.
        pid: i32,
        /// The worker is in the caller's process group: what is sent to the group reaches it.
        same_group: bool,
    },
    /// Nothing has run; fall back.
    Refused(Reason),
    /// The worker has been stopped by a signal.
    Stopped(i32),
    /// The worker goes on.
    Continued,
    /// The worker has ended.
    Ended(Outcome),
    /// Answer to [`Ask::Status`].
    Well,
}

/// The length of an answer.
pub const ANSWER: usize = 8;

impl Answer {
    /// As bytes.
    pub fn encode(&self) -> [u8; ANSWER] {
        let (kind, number, flag) = match *self {
            Answer::Ready { pid, same_group } => (1, pid, u8::from(same_group)),
            Answer::Refused(reason) => (2, i32::from(reason.number()), 0),
            Answer::Stopped(signal) => (3, signal, 0),
            Answer::Continued => (4, 0, 0),
            Answer::Ended(Outcome::Exited(code)) => (5, i32::from(code), 0),
            Answer::Ended(Outcome::Killed { signal, core }) => (6, signal, u8::from(core)),
            Answer::Ended(Outcome::Lost) => (7, 0, 0),
            Answer::Well => (8, 0, 0),
        };
        let n = number.to_le_bytes();
        [VERSION, kind, flag, 0, n[0], n[1], n[2], n[3]]
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Option<Answer> {
        let &[VERSION, kind, flag @ 0..=1, 0, a, b, c, d] = bytes else { return None };
        let number = i32::from_le_bytes([a, b, c, d]);
        let signal = |n: i32| (1..=64).contains(&n).then_some(n);
        let bare = number == 0 && flag == 0;
        match kind {
            1 if number > 0 => Some(Answer::Ready { pid: number, same_group: flag == 1 }),
            2 if flag == 0 => Reason::from_number(u16::try_from(number).ok()?).map(Answer::Refused),
            3 if flag == 0 => signal(number).map(Answer::Stopped),
            4 if bare => Some(Answer::Continued),
            5 if flag == 0 => u8::try_from(number).ok().map(|code| Answer::Ended(Outcome::Exited(code))),
            6 => signal(number).map(|signal| Answer::Ended(Outcome::Killed { signal, core: flag == 1 })),
            7 if bare => Some(Answer::Ended(Outcome::Lost)),
            8 if bare => Some(Answer::Well),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn sample() -> Request<'static> {
        Request {
            key: Key([7; 16]),
            nonce: 42,
            pid: 10,
            group: 10,
            session: 9,
            terminal: true,
            umask: 0o22,
            blocked: 1,
            ignored: 2,
            limits: [[1, u64::MAX]; 16],
            nice: -3,
            policy: 0,
            io_priority: 4,
            oom_score_adj: -1000,
            affinity: &[3, 0],
            comm: b"python3\0\0\0\0\0\0\0\0\0",
            argv: vec![b"python3", b"-u", b"x.py", b"\xff"],
            script: 2,
            environ: vec![b"A=1", b"no equals sign", b""],
            descriptors: vec![0, 1, 2, 20],
        }
    }

    #[test]
    fn requests_survive_a_round_trip() {
        let request = sample();
        assert_eq!(Ask::decode(&request.encode()), Some(Ask::Run(request)));
        assert_eq!(Ask::decode(&ASK_STATUS), Some(Ask::Status));
        let script = Script { path: b"/a.py", facts: [1, 2, 3, 4, 5, 6] };
        let wish = Ask::Compile { nonce: 7, now: true, script };
        assert_eq!(Ask::decode(&ask_to_compile(7, true, &script)), Some(wish));
        for other in [Script { path: b"a.py", ..script }, Script { path: b"/a\0", ..script }] {
            assert_eq!(Ask::decode(&ask_to_compile(7, false, &other)), None);
        }
    }

    #[test]
    fn every_truncation_and_extension_is_refused() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert_eq!(Ask::decode(&bytes[..length]), None, "cut to {length}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Ask::decode(&longer), None);
        let mut newer = bytes;
        newer[0] = VERSION + 1;
        assert_eq!(Ask::decode(&newer), None);
    }

    #[test]
    fn answers_survive_a_round_trip() {
        let ended =
            [Outcome::Exited(0), Outcome::Exited(255), Outcome::Killed { signal: 11, core: true }, Outcome::Lost];
        let rest = [
            Answer::Ready { pid: 1, same_group: false },
            Answer::Ready { pid: i32::MAX, same_group: true },
            Answer::Stopped(20),
            Answer::Continued,
            Answer::Well,
        ];
        let reasons = Reason::ALL.iter().map(|&r| Answer::Refused(r));
        for answer in ended.map(Answer::Ended).into_iter().chain(rest).chain(reasons) {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_not_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Ask::decode(&bytes);
            let _ = Answer::decode(&bytes);
        }

        #[test]
        fn a_flipped_byte_decodes_or_not_but_never_panics(at in 0usize..600, with in any::<u8>()) {
            let mut bytes = sample().encode();
            let at = at % bytes.len();
            bytes[at] ^= with;
            if let Some(Ask::Run(request)) = Ask::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes);
            }
        }
    }
}
