//! The tally: how many runs were warm, and how many fell back for which reason.
//!
//! Owns the layout of the file, 2048 bytes with a 64-bit counter for each way
//! a run can go. The launcher maps it shared and adds atomically at the
//! offsets given here; a file that is not exactly as expected is left alone.
//! Does not own the file or the mapping. Counters wrap; a lost count is not
//! worth a microsecond.

use crate::reason::Reason;
use crate::route::Engine;

/// Length of the file.
pub const SIZE: usize = 2048;
/// The first eight bytes.
pub const MAGIC: [u8; 8] = *b"PYZYTALY";
/// The layout described here.
pub const VERSION: u32 = 1;
/// The file's name in the cache or in the runtime directory.
pub const NAME: &str = "tally";
/// Places for reasons; their numbers stay below.
pub const REASONS: usize = 128;

/// Where runs are counted that a fork of a zygote did.
pub const WARM_OFFSET: usize = HEAD;
/// Where runs are counted that were restored from an image.
pub const RESTORE_OFFSET: usize = HEAD + 8;

const HEAD: usize = 16;
const FIRST_REASON: usize = HEAD + 16;

const _: () = assert!(FIRST_REASON + 8 * REASONS <= SIZE);
const _: () = {
    let mut i = 0;
    while i < Reason::ALL.len() {
        assert!((Reason::ALL[i].number() as usize) < REASONS);
        i += 1;
    }
};

/// Where warm runs by this engine are counted.
pub const fn offset_of_engine(engine: Engine) -> usize {
    match engine {
        Engine::Fork => WARM_OFFSET,
        Engine::Restore => RESTORE_OFFSET,
    }
}

/// Where fallbacks with this reason are counted.
pub const fn offset_of(reason: Reason) -> usize {
    FIRST_REASON + 8 * reason.number() as usize
}

/// Every count in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Runs by a fork of a zygote.
    pub warm_fork: u64,
    /// Runs restored from an image.
    pub warm_restore: u64,
    /// Fallbacks, by the number of the reason.
    pub reasons: [u64; REASONS],
}

impl Tally {
    /// Nothing counted yet.
    pub const ZERO: Tally = Tally { warm_fork: 0, warm_restore: 0, reasons: [0; REASONS] };

    /// Fallbacks with this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.reasons[usize::from(reason.number())]
    }

    /// Warm runs.
    pub fn warm(&self) -> u64 {
        self.warm_fork.saturating_add(self.warm_restore)
    }

    /// Fallbacks.
    pub fn fallbacks(&self) -> u64 {
        self.reasons.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// Why a file is not read as a tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not 2048 bytes long.
    Size,
    /// Not a tally.
    Magic,
    /// The tally of another pyzy, with this layout.
    Version(u32),
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Refusal::Size => write!(f, "it is not {SIZE} bytes long"),
            Refusal::Magic => f.write_str("it is not a tally"),
            Refusal::Version(v) => write!(f, "it has layout {v}, this pyzy knows {VERSION}"),
        }
    }
}

/// May counters be added to in a file with these bytes? The first 16 are enough, together with the file's length.
pub fn check(head: &[u8], length: u64) -> Result<(), Refusal> {
    if length != SIZE as u64 || head.len() < HEAD {
        return Err(Refusal::Size);
    }
    if head[..8] != MAGIC {
        return Err(Refusal::Magic);
    }
    match u32::from_le_bytes([head[8], head[9], head[10], head[11]]) {
        VERSION => Ok(()),
        other => Err(Refusal::Version(other)),
    }
}

/// The tally as bytes; [`Tally::ZERO`] makes a new file.
pub fn encode(tally: &Tally) -> [u8; SIZE] {
    let mut out = [0; SIZE];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    put(&mut out, WARM_OFFSET, tally.warm_fork);
    put(&mut out, RESTORE_OFFSET, tally.warm_restore);
    for (i, &n) in tally.reasons.iter().enumerate() {
        put(&mut out, FIRST_REASON + 8 * i, n);
    }
    out
}

/// The tally in these bytes.
pub fn decode(bytes: &[u8]) -> Result<Tally, Refusal> {
    check(bytes, bytes.len() as u64)?;
    let bytes: &[u8; SIZE] = bytes.try_into().map_err(|_| Refusal::Size)?;
    let reasons = core::array::from_fn(|i| get(bytes, FIRST_REASON + 8 * i));
    Ok(Tally { warm_fork: get(bytes, WARM_OFFSET), warm_restore: get(bytes, RESTORE_OFFSET), reasons })
}

fn put(out: &mut [u8; SIZE], at: usize, value: u64) {
    out[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get(bytes: &[u8; SIZE], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tally_survives_a_round_trip() {
        let mut tally = Tally { warm_fork: 5, warm_restore: 6, ..Tally::ZERO };
        tally.reasons[127] = u64::MAX;
        assert_eq!(decode(&encode(&tally)), Ok(tally));
    }

    #[test]
    fn each_place_is_its_own_and_aligned() {
        for &reason in Reason::ALL {
            let mut bytes = encode(&Tally::ZERO);
            put(&mut bytes, offset_of(reason), 3);
            let tally = decode(&bytes).unwrap();
            assert_eq!((tally.of(reason), tally.fallbacks(), tally.warm()), (3, 3, 0));
            assert_eq!(offset_of(reason) % 8, 0);
        }
        let mut bytes = encode(&Tally::ZERO);
        put(&mut bytes, WARM_OFFSET, 4);
        assert_eq!(decode(&bytes).unwrap(), Tally { warm_fork: 4, ..Tally::ZERO });
    }

    #[test]
    fn bad_size() {
        let bytes = encode(&Tally::ZERO);
        assert_eq!(decode(&bytes[..SIZE - 1]), Err(Refusal::Size));
        assert_eq!(check(&bytes[..HEAD], 4096), Err(Refusal::Size));
        assert_eq!(check(&bytes[..HEAD - 1], SIZE as u64), Err(Refusal::Size));
        assert_eq!(check(&bytes[..HEAD], SIZE as u64), Ok(()));
    }

    #[test]
    fn bad_magic() {
        assert_eq!(decode(&[0; SIZE]), Err(Refusal::Magic));
    }

    #[test]
    fn bad_version() {
        let mut bytes = encode(&Tally::ZERO);
        bytes[8] = 9;
        assert_eq!(decode(&bytes), Err(Refusal::Version(9)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..SIZE + 8), graft in any::<bool>()) {
            if graft {
                bytes.resize(SIZE, 0);
                bytes[..HEAD].copy_from_slice(&encode(&Tally::ZERO)[..HEAD]);
            }
            if let Ok(tally) = decode(&bytes) {
                let (warm, fallbacks) = (tally.warm(), tally.fallbacks());
                prop_assert!(warm >= tally.warm_fork && fallbacks >= tally.reasons[0]);
            }
        }
    }
}
