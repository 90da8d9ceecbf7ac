//! The status page: what a zygote says about itself in `RUNTIME/PID.zygote`.
//!
//! Owns the layout of that file, one page of 4096 bytes. The zygote maps it
//! shared and keeps the numbers up to date with plain stores at the offsets
//! below; whoever wants to know reads the file. The zygote holds
//! `flock(LOCK_EX)` on it for life (it takes the lock under a temporary name,
//! then renames), so a page whose lock is free belongs to a dead zygote.
//! Does not own the file, the mapping or the lock.

/// Length of the file.
pub const SIZE: usize = 4096;
/// The first eight bytes.
pub const MAGIC: [u8; 8] = *b"PYZYPAGE";
/// The layout described here.
pub const VERSION: u32 = 1;
/// How the name of a status page ends; before it stands the pid.
pub const SUFFIX: &str = ".zygote";

/// `u64`: scripts run.
pub const RUNS: usize = 32;
/// `u64`: requests refused.
pub const REFUSED: usize = 40;
/// `u64`: CLOCK_REALTIME seconds of the last request, 0 before the first.
pub const LAST_USE: usize = 48;
/// `u32`: workers running now.
pub const RUNNING: usize = 56;
/// `u32`: a [`State`].
pub const STATE: usize = 60;

const PID: usize = 12;
const STARTED: usize = 16;
const START_TICKS: usize = 24;
const KEY: usize = 64;
const TEXTS: usize = 96;

/// Longest path kept whole.
const PATH_LIMIT: usize = 1024;
/// Longest identity kept whole.
const WORDS_LIMIT: usize = 1024;
/// Longest version kept whole.
const VERSION_LIMIT: usize = 64;
/// This bit of a length says that the text was cut.
const CUT: u16 = 0x8000;

const _: () = assert!(TEXTS + 4 * 2 + 2 * PATH_LIMIT + WORDS_LIMIT + VERSION_LIMIT <= SIZE);

/// What a zygote is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// Warming up; not listening yet.
    Starting = 0,
    /// Listening.
    Ready = 1,
    /// Listening no more; leaves when its workers have ended.
    Leaving = 2,
}

impl State {
    /// One word for people and for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Leaving => "leaving",
        }
    }

    const fn from_number(number: u32) -> Option<State> {
        match number {
            0 => Some(State::Starting),
            1 => Some(State::Ready),
            2 => Some(State::Leaving),
            _ => None,
        }
    }
}

/// A text of the page. Long ones are cut, because a status page must never be the reason why a zygote cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The bytes, or the first of them.
    pub bytes: &'a [u8],
    /// Something is missing at the end.
    pub cut: bool,
}

impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Text { bytes, cut: false }
    }
}

/// Everything on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// The zygote's pid.
    pub pid: u32,
    /// CLOCK_REALTIME seconds when it started.
    pub started: u64,
    /// Field 22 of `/proc/PID/stat` (`man 5 proc`): the pid, if used again, has another value there.
    pub start_ticks: u64,
    /// Scripts run.
    pub runs: u64,
    /// Requests refused.
    pub refused: u64,
    /// CLOCK_REALTIME seconds of the last request, 0 before the first.
    pub last_use: u64,
    /// Workers running now.
    pub running: u32,
    /// What it is doing.
    pub state: State,
    /// The 32 hex digits that its files are named after.
    pub key: [u8; 32],
    /// The real interpreter.
    pub interpreter: Text<'a>,
    /// The socket it listens on.
    pub socket: Text<'a>,
    /// Its identity in words.
    pub identity: Text<'a>,
    /// The version of Python.
    pub version: Text<'a>,
}

/// Why a file is not read as a status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not 4096 bytes long.
    Size,
    /// Not a status page.
    Magic,
    /// A page of another pyzy, with this layout.
    Version(u32),
    /// A field holds a value that is never written.
    Damaged,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Refusal::Size => write!(f, "it is not {SIZE} bytes long"),
            Refusal::Magic => f.write_str("it is not a status page"),
            Refusal::Version(v) => write!(f, "it has layout {v}, this pyzy knows {VERSION}"),
            Refusal::Damaged => f.write_str("it is damaged"),
        }
    }
}

/// The page as bytes.
pub fn encode(page: &Page<'_>) -> [u8; SIZE] {
    let mut out = [0; SIZE];
    out[..8].copy_from_slice(&MAGIC);
    put32(&mut out, 8, VERSION);
    put32(&mut out, PID, page.pid);
    put64(&mut out, STARTED, page.started);
    put64(&mut out, START_TICKS, page.start_ticks);
    put64(&mut out, RUNS, page.runs);
    put64(&mut out, REFUSED, page.refused);
    put64(&mut out, LAST_USE, page.last_use);
    put32(&mut out, RUNNING, page.running);
    put32(&mut out, STATE, page.state as u32);
    out[KEY..TEXTS].copy_from_slice(&page.key);
    let mut at = TEXTS;
    put_text(&mut out, &mut at, page.interpreter, PATH_LIMIT);
    put_text(&mut out, &mut at, page.socket, PATH_LIMIT);
    put_text(&mut out, &mut at, page.identity, WORDS_LIMIT);
    put_text(&mut out, &mut at, page.version, VERSION_LIMIT);
    out
}

/// The page in these bytes.
pub fn decode(bytes: &[u8]) -> Result<Page<'_>, Refusal> {
    let bytes: &[u8; SIZE] = bytes.try_into().map_err(|_| Refusal::Size)?;
    if bytes[..8] != MAGIC {
        return Err(Refusal::Magic);
    }
    match get32(bytes, 8) {
        VERSION => {}
        other => return Err(Refusal::Version(other)),
    }
    let key: [u8; 32] = bytes[KEY..TEXTS].try_into().map_err(|_| Refusal::Damaged)?;
    if !is_key(&key) {
        return Err(Refusal::Damaged);
    }
    let mut at = TEXTS;
    Ok(Page {
        pid: get32(bytes, PID),
        started: get64(bytes, STARTED),
        start_ticks: get64(bytes, START_TICKS),
        runs: get64(bytes, RUNS),
        refused: get64(bytes, REFUSED),
        last_use: get64(bytes, LAST_USE),
        running: get32(bytes, RUNNING),
        state: State::from_number(get32(bytes, STATE)).ok_or(Refusal::Damaged)?,
        key,
        interpreter: get_text(bytes, &mut at, PATH_LIMIT)?,
        socket: get_text(bytes, &mut at, PATH_LIMIT)?,
        identity: get_text(bytes, &mut at, WORDS_LIMIT)?,
        version: get_text(bytes, &mut at, VERSION_LIMIT)?,
    })
}

/// Is this the name that a key gives to files: 32 lower-case hex digits?
pub fn is_key(name: &[u8]) -> bool {
    name.len() == 32 && name.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn put32(out: &mut [u8; SIZE], at: usize, value: u32) {
    out[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut [u8; SIZE], at: usize, value: u64) {
    out[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn put_text(out: &mut [u8; SIZE], at: &mut usize, text: Text<'_>, limit: usize) {
    let kept = text.bytes.len().min(limit);
    let cut = text.cut || kept < text.bytes.len();
    let length = kept as u16 | if cut { CUT } else { 0 };
    out[*at..*at + 2].copy_from_slice(&length.to_le_bytes());
    out[*at + 2..*at + 2 + kept].copy_from_slice(&text.bytes[..kept]);
    *at += 2 + kept;
}

fn get32(bytes: &[u8; SIZE], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn get64(bytes: &[u8; SIZE], at: usize) -> u64 {
    u64::from(get32(bytes, at)) | u64::from(get32(bytes, at + 4)) << 32
}

fn get_text<'a>(bytes: &'a [u8; SIZE], at: &mut usize, limit: usize) -> Result<Text<'a>, Refusal> {
    let head = bytes.get(*at..*at + 2).ok_or(Refusal::Damaged)?;
    let length = u16::from_le_bytes([head[0], head[1]]);
    let kept = usize::from(length & !CUT);
    if kept > limit {
        return Err(Refusal::Damaged);
    }
    let text = bytes.get(*at + 2..*at + 2 + kept).ok_or(Refusal::Damaged)?;
    *at += 2 + kept;
    Ok(Text { bytes: text, cut: length & CUT != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};
    use proptest::prelude::*;

    fn sample() -> Page<'static> {
        Page {
            pid: 4711,
            started: 1_700_000_000,
            start_ticks: 123,
            runs: 7,
            refused: 1,
            last_use: 1_700_000_100,
            running: 2,
            state: State::Ready,
            key: *b"0123456789abcdef0123456789abcdef",
            interpreter: b"/usr/bin/python3.11".as_slice().into(),
            socket: b"/run/user/1000/pyzy/k.sock".as_slice().into(),
            identity: b"-u, LANG=C.UTF-8".as_slice().into(),
            version: b"3.11.2".as_slice().into(),
        }
    }

    #[test]
    fn a_page_survives_a_round_trip() {
        assert_eq!(decode(&encode(&sample())), Ok(sample()));
    }

    #[test]
    fn long_texts_are_cut_and_say_so() {
        let long = vec![b'x'; 9000];
        let page = Page { interpreter: long.as_slice().into(), identity: long.as_slice().into(), ..sample() };
        let bytes = encode(&page);
        let back = decode(&bytes).unwrap();
        assert_eq!(back.interpreter, Text { bytes: &long[..PATH_LIMIT], cut: true });
        assert!(back.identity.cut && !back.socket.cut);
        assert_eq!(back.socket, sample().socket);
        assert_eq!(encode(&back), bytes, "a cut text stays cut");
    }

    #[test]
    fn stores_at_the_published_offsets_are_seen() {
        let mut bytes = encode(&sample());
        put64(&mut bytes, RUNS, 8);
        put64(&mut bytes, REFUSED, 9);
        put64(&mut bytes, LAST_USE, 10);
        put32(&mut bytes, RUNNING, 11);
        put32(&mut bytes, STATE, State::Leaving as u32);
        let back = decode(&bytes).unwrap();
        assert_eq!((back.runs, back.refused, back.last_use, back.running), (8, 9, 10, 11));
        assert_eq!(back.state, State::Leaving);
    }

    #[test]
    fn offsets_are_aligned_for_plain_stores() {
        assert!([RUNS, REFUSED, LAST_USE].iter().all(|o| o % 8 == 0));
        assert!([RUNNING, STATE].iter().all(|o| o % 4 == 0));
    }

    #[test]
    fn bad_size() {
        assert_eq!(decode(&[]), Err(Refusal::Size));
        assert_eq!(decode(&encode(&sample())[..4095]), Err(Refusal::Size));
    }

    #[test]
    fn bad_magic() {
        assert_eq!(decode(&[0; SIZE]), Err(Refusal::Magic));
    }

    #[test]
    fn bad_version() {
        let mut bytes = encode(&sample());
        put32(&mut bytes, 8, 2);
        assert_eq!(decode(&bytes), Err(Refusal::Version(2)));
    }

    #[test]
    fn bad_state_key_and_length() {
        for (at, value) in [(STATE, 3), (KEY, u32::from_le_bytes(*b"../.")), (TEXTS, 0x7fff)] {
            let mut bytes = encode(&sample());
            put32(&mut bytes, at, value);
            assert_eq!(decode(&bytes), Err(Refusal::Damaged));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..SIZE + 8), graft in any::<bool>()) {
            let mut bytes: Vec<u8> = tail;
            if graft {
                bytes.resize(SIZE, 0xff);
                bytes[..TEXTS].copy_from_slice(&encode(&sample())[..TEXTS]);
            }
            if let Ok(page) = decode(&bytes) {
                let again = encode(&page);
                prop_assert_eq!(decode(&again), Ok(page));
            }
        }
    }
}
