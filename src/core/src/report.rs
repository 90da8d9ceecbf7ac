//! What a probe found out about an interpreter's start-up, as bytes.
//!
//! Owns the format between the probe and whoever started it. It travels over a
//! descriptor and may be kept; it is refused unless magic, version and every
//! length are as expected and nothing follows. Decides nothing about freshness.

use alloc::vec::Vec;

const MAGIC: &[u8; 8] = b"pyzyrep\0";
const VERSION: u16 = 1;
const PURE: u8 = 0;
const IMPURE: u8 = 1;
const FREE_THREADED: u8 = 1;
const DEBUG: u8 = 2;
const COERCED: u8 = 4;
const UNSET: u8 = 0;
const SET: u8 = 1;

/// May the outcome of start-up be shared between runs?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Pure,
    /// It may not: who did what, one line for people.
    Impure(Vec<u8>),
}

/// State that start-up made once per process, and that a worker has to make anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Repair {
    /// `random` seeded its generator when it was imported: `random.seed()`.
    Random = 1,
    /// `logging` took the time when it was imported: `logging._startTime`.
    Logging = 2,
    /// `threading` keeps sys.stderr and the native id in its main thread:
    /// `threading._main_thread._stderr` and `._set_native_id()`.
    Threading = 3,
}

impl Repair {
    /// Every repair, by ascending number.
    pub const ALL: &'static [Repair] = &[Repair::Random, Repair::Logging, Repair::Threading];

    /// The name the probe's Python half uses.
    pub const fn name(self) -> &'static str {
        match self {
            Repair::Random => "random",
            Repair::Logging => "logging",
            Repair::Threading => "threading",
        }
    }

    fn from_number(number: u8) -> Option<Repair> {
        Self::ALL.iter().copied().find(|&r| r as u8 == number)
    }
}

/// A variable that start-up code set (to a value) or removed (none).
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// Everything a probe reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// May a zygote exist?
    pub verdict: Verdict,
    /// `sys.version_info[:3]`.
    pub version: [u8; 3],
    /// `sys.version`.
    pub version_text: Vec<u8>,
    /// A build without the GIL.
    pub free_threaded: bool,
    /// A debug build.
    pub debug: bool,
    /// The interpreter set LC_CTYPE by PEP 538.
    pub coerced: bool,
    /// Paths that start-up looked at, absolute, present or absent, each once.
    pub paths: Vec<Vec<u8>>,
    /// Variables that start-up read, beyond `vars::is_startup`; sorted.
    pub env_names: Vec<Vec<u8>>,
    /// What start-up code did to the environment, in order; LC_CTYPE of PEP 538 is not among it.
    pub environ_changes: Vec<Change>,
    /// What a worker has to make anew.
    pub repairs: Vec<Repair>,
}

/// Why bytes are no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportError {
    /// Another magic: something else altogether.
    Magic,
    /// A version that this program does not know.
    Version(u16),
    /// The bytes end early.
    Truncated,
    /// Bytes follow the end.
    Trailing,
    /// A field has a value that no probe writes.
    Value,
}

impl core::fmt::Display for ReportError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ReportError::Magic => f.write_str("not a report"),
            ReportError::Version(v) => write!(f, "report version {v} is unknown"),
            ReportError::Truncated => f.write_str("the report is cut off"),
            ReportError::Trailing => f.write_str("bytes follow the report"),
            ReportError::Value => f.write_str("the report has an impossible value"),
        }
    }
}

impl Report {
    /// As bytes. Numbers are little-endian; a string is its length in four bytes and itself.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        match &self.verdict {
            Verdict::Pure => out.push(PURE),
            Verdict::Impure(text) => {
                out.push(IMPURE);
                put(&mut out, text);
            }
        }
        out.extend_from_slice(&self.version);
        put(&mut out, &self.version_text);
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(flag(self.free_threaded, FREE_THREADED) | flag(self.debug, DEBUG) | flag(self.coerced, COERCED));
        for list in [&self.paths, &self.env_names] {
            put_count(&mut out, list.len());
            list.iter().for_each(|item| put(&mut out, item));
        }
        put_count(&mut out, self.environ_changes.len());
        for (name, value) in &self.environ_changes {
            put(&mut out, name);
            match value {
                None => out.push(UNSET),
                Some(value) => {
                    out.push(SET);
                    put(&mut out, value);
                }
            }
        }
        put_count(&mut out, self.repairs.len());
        out.extend(self.repairs.iter().map(|&r| r as u8));
        out
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Report, ReportError> {
        let mut r = Reader(bytes);
        if r.array::<8>().map_err(|_| ReportError::Magic)? != *MAGIC {
            return Err(ReportError::Magic);
        }
        let version = u16::from_le_bytes(r.array()?);
        if version != VERSION {
            return Err(ReportError::Version(version));
        }
        let verdict = match r.byte()? {
            PURE => Verdict::Pure,
            IMPURE => Verdict::Impure(r.string()?),
            _ => return Err(ReportError::Value),
        };
        let version = r.array()?;
        let version_text = r.string()?;
        let flags = r.byte()?;
        if flags & !(FREE_THREADED | DEBUG | COERCED) != 0 {
            return Err(ReportError::Value);
        }
        let report = Report {
            verdict,
            version,
            version_text,
            free_threaded: flags & FREE_THREADED != 0,
            debug: flags & DEBUG != 0,
            coerced: flags & COERCED != 0,
            paths: r.list(Reader::string)?,
            env_names: r.list(Reader::string)?,
            environ_changes: r.list(Reader::change)?,
            repairs: r.list(|r| Repair::from_number(r.byte()?).ok_or(ReportError::Value))?,
        };
        if r.0.is_empty() { Ok(report) } else { Err(ReportError::Trailing) }
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // A probe that could exceed four bytes would have run out of memory first.
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ReportError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ReportError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReportError> {
        self.take(N)?.try_into().map_err(|_| ReportError::Truncated)
    }

    fn byte(&mut self) -> Result<u8, ReportError> {
        Ok(self.array::<1>()?[0])
    }

    fn string(&mut self) -> Result<Vec<u8>, ReportError> {
        let length = u32::from_le_bytes(self.array()?);
        Ok(self.take(length as usize)?.to_vec())
    }

    fn change(&mut self) -> Result<Change, ReportError> {
        let name = self.string()?;
        match self.byte()? {
            UNSET => Ok((name, None)),
            SET => Ok((name, Some(self.string()?))),
            _ => Err(ReportError::Value),
        }
    }

    /// Items until the count is reached; every item takes bytes, so a count
    /// beyond the truth ends in `Truncated` and reserves nothing beforehand.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, ReportError>) -> Result<Vec<T>, ReportError> {
        let count = u32::from_le_bytes(self.array()?);
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(item(self)?);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn example() -> Report {
        Report {
            verdict: Verdict::Impure(b"sitecustomize.py line 1 reads the clock".to_vec()),
            version: [3, 12, 1],
            version_text: b"3.12.1 (main) [GCC]".to_vec(),
            free_threaded: false,
            debug: true,
            coerced: true,
            paths: vec![b"/a".to_vec(), b"/b\xff".to_vec()],
            env_names: vec![b"FOO".to_vec()],
            environ_changes: vec![(b"A".to_vec(), Some(b"".to_vec())), (b"B".to_vec(), None)],
            repairs: vec![Repair::Random, Repair::Logging],
        }
    }

    #[test]
    fn a_round_trip_keeps_everything() {
        let report = example();
        assert_eq!(Report::decode(&report.encode()), Ok(report));
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let bytes = example().encode();
        for end in 0..bytes.len() {
            assert!(Report::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(Report::decode(&[bytes, vec![0]].concat()), Err(ReportError::Trailing));
    }

    #[test]
    fn a_foreign_magic_or_version_is_named() {
        let mut bytes = example().encode();
        bytes[8] = 9;
        assert_eq!(Report::decode(&bytes), Err(ReportError::Version(9)));
        bytes[0] = 0;
        assert_eq!(Report::decode(&bytes), Err(ReportError::Magic));
        assert_eq!(Report::decode(b""), Err(ReportError::Magic));
    }

    #[test]
    fn repairs_survive_a_round_trip() {
        assert!(Repair::ALL.iter().all(|&r| Repair::from_number(r as u8) == Some(r)));
        assert_eq!(Repair::from_number(0), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Report::decode(&tail);
            let _ = Report::decode(&[MAGIC.as_slice(), &VERSION.to_le_bytes(), &tail].concat());
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0usize..120, bits in 1u8..) {
            let mut bytes = example().encode();
            let at = at % bytes.len();
            bytes[at] ^= bits;
            if let Ok(report) = Report::decode(&bytes) {
                prop_assert_eq!(report.encode(), bytes);
            }
        }

        #[test]
        fn any_report_survives(
            text in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            paths in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..9),
            value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        ) {
            let mut report = example();
            report.verdict = text.map_or(Verdict::Pure, Verdict::Impure);
            report.environ_changes.push((paths.concat(), value));
            report.paths = paths;
            prop_assert_eq!(Report::decode(&report.encode()), Ok(report));
        }
    }
}
