//! The ledger: which modules runs have imported cold, how often, and how long that took.
//!
//! Owns the layout of the file, 128 KiB of slots that are found by a hash and changed by atomics, and what is chosen
//! from it to be kept warm. Writers map it shared and never wait: whoever finds no slot takes the one that was used
//! longest ago. A slot that another writer takes at the same moment has wrong numbers or is not read, for its key
//! must be that of its name. Does not own the file or the mapping.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use siphasher::sip::SipHasher24;

/// Length of the file, bytes.
pub const SIZE: usize = 128 * 1024;
/// The first eight bytes.
pub const MAGIC: [u8; 8] = *b"PYZYLEDG";
/// The layout described here.
pub const VERSION: u64 = 1;
/// The file's name, beside the tally.
pub const NAME: &str = "ledger";
/// The longest name that is kept, bytes.
pub const LONGEST: usize = 96;

/// Words of a slot: key, times, nanoseconds, last time in seconds since 1970, and the name, padded with zeros. The first
/// slot holds magic and version.
const SLOT: usize = 16;
const SLOTS: usize = SIZE / 8 / SLOT;
const TEXT: usize = 4;
/// How many slots are looked at for a key.
const PROBES: usize = 16;

const _: () = assert!(LONGEST == (SLOT - TEXT) * 8);

/// A module that was imported twice in this time is worth keeping warm, seconds.
const MEMORY: u64 = 30 * 24 * 3600;
const TIMES: u64 = 2;
/// What a cold import must have taken on average, nanoseconds.
const WORTH: u64 = 500_000;
/// The most modules that are chosen.
pub const MOST: usize = 64;

/// Whose imports: an interpreter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope(pub u64);

impl Scope {
    /// By the path under which the interpreter is started, which is a venv's own.
    pub fn of(interpreter: &[u8]) -> Scope {
        Scope(hash(0, interpreter))
    }

    fn key(self, name: &[u8]) -> u64 {
        hash(self.0, name).max(1)
    }
}

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(seed, VERSION);
    hasher.write(bytes);
    hasher.finish()
}

/// What is known of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its full name.
    pub name: String,
    /// How often it was imported cold.
    pub times: u64,
    /// How long that took in all, with what it imports itself, nanoseconds.
    pub nanos: u64,
    /// When it was last, seconds since 1970.
    pub last: u64,
}

/// A mapped file.
#[derive(Clone, Copy)]
pub struct Ledger<'a>(&'a [AtomicU64]);

/// The bytes of an empty one.
pub fn empty() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.resize(SIZE, 0);
    bytes
}

/// The words of a file that was read.
pub fn words(bytes: &[u8]) -> Option<Vec<AtomicU64>> {
    let word = |bytes: &[u8]| Some(AtomicU64::new(u64::from_ne_bytes(bytes.try_into().ok()?)));
    (bytes.len() == SIZE).then(|| bytes.chunks_exact(8).map(word).collect())?
}

impl<'a> Ledger<'a> {
    /// `None` if it is something else, or has another layout.
    pub fn new(words: &'a [AtomicU64]) -> Option<Ledger<'a>> {
        let is_ours = words.len() == SIZE / 8
            && words[0].load(Relaxed).to_ne_bytes() == MAGIC
            && u64::from_le_bytes(words[1].load(Relaxed).to_ne_bytes()) == VERSION;
        is_ours.then_some(Ledger(words))
    }

    fn slot(&self, number: usize) -> &'a [AtomicU64] {
        &self.0[number * SLOT..][..SLOT]
    }

    /// Notes an import. A name that is too long is left out.
    pub fn add(&self, scope: Scope, name: &[u8], nanos: u64, now: u64) {
        if name.is_empty() || name.len() > LONGEST {
            return;
        }
        let key = scope.key(name);
        let places = || (0..PROBES).map(|probe| self.slot(1 + (key as usize).wrapping_add(probe) % (SLOTS - 1)));
        let begin = |slot: &[AtomicU64]| slot[1..TEXT].iter().for_each(|word| word.store(0, Relaxed));
        let is_ours = |slot: &&[AtomicU64]| match slot[0].compare_exchange(0, key, Relaxed, Relaxed) {
            Ok(_) => {
                begin(slot);
                true
            }
            Err(now) => now == key,
        };
        let oldest = || {
            let slot = places().min_by_key(|slot| slot[3].load(Relaxed))?;
            slot[0].store(key, Relaxed);
            begin(slot);
            Some(slot)
        };
        let Some(slot) = places().find(is_ours).or_else(oldest) else { return };
        write_name(slot, name);
        slot[3].store(now, Relaxed);
        slot[2].fetch_add(nanos, Relaxed);
        slot[1].fetch_add(1, Relaxed);
    }

    /// All that is known for an interpreter, what took longest first.
    pub fn entries(&self, scope: Scope) -> Vec<Entry> {
        let read = |number: usize| {
            let slot = self.slot(number);
            let (key, times) = (slot[0].load(Relaxed), slot[1].load(Relaxed));
            let bytes: Vec<u8> = slot[TEXT..].iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
            let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
            let name = core::str::from_utf8(&bytes[..end]).ok()?;
            (key != 0 && times > 0 && scope.key(name.as_bytes()) == key && crate::preload::is_module(name)).then(|| {
                let (nanos, last) = (slot[2].load(Relaxed), slot[3].load(Relaxed));
                Entry { name: name.into(), times, nanos, last }
            })
        };
        let mut all: Vec<Entry> = (1..SLOTS).filter_map(read).collect();
        all.sort_by(|a, b| (b.nanos, &a.name).cmp(&(a.nanos, &b.name)));
        all
    }
}

fn write_name(slot: &[AtomicU64], name: &[u8]) {
    for (word, at) in slot[TEXT..].iter().zip(0..) {
        let mut bytes = [0; 8];
        let rest = name.get(at * 8..).unwrap_or_default();
        let length = rest.len().min(8);
        bytes[..length].copy_from_slice(&rest[..length]);
        word.store(u64::from_le_bytes(bytes), Relaxed);
    }
}

/// What pays to be kept warm, the best first.
pub fn choose(entries: &[Entry], now: u64) -> impl Iterator<Item = &Entry> {
    let pays = move |entry: &&Entry| {
        entry.times >= TIMES && entry.nanos / entry.times >= WORTH && now.saturating_sub(entry.last) <= MEMORY
    };
    entries.iter().filter(pays).take(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;

    const SCOPE: Scope = Scope(7);
    const MS: u64 = 1_000_000;

    #[test]
    fn what_is_added_is_there() {
        let words = words(&empty()).unwrap();
        let ledger = Ledger::new(&words).unwrap();
        ledger.add(SCOPE, b"click", 3 * MS, 100);
        ledger.add(SCOPE, b"click", 5 * MS, 101);
        ledger.add(SCOPE, b"yaml.nodes", MS, 102);
        ledger.add(Scope(8), b"numpy", 100 * MS, 103);
        ledger.add(SCOPE, &[b'a'; LONGEST + 1], 100 * MS, 103);
        ledger.add(SCOPE, b"", MS, 103);
        let entry = |name: &str, times, nanos, last| Entry { name: name.into(), times, nanos, last };
        assert_eq!(ledger.entries(SCOPE), vec![entry("click", 2, 8 * MS, 101), entry("yaml.nodes", 1, MS, 102)]);
        let entries = ledger.entries(SCOPE);
        let names = |now| choose(&entries, now).map(|e| &e.name[..]).collect::<Vec<_>>();
        assert_eq!(names(200), vec!["click"]);
        assert_eq!(names(102 + MEMORY), Vec::<&str>::new());
    }

    #[test]
    fn a_full_one_forgets_what_is_oldest() {
        let words = words(&empty()).unwrap();
        let ledger = Ledger::new(&words).unwrap();
        for number in 0..5000u64 {
            ledger.add(SCOPE, format!("module{number}").as_bytes(), MS, number);
        }
        let entries = ledger.entries(SCOPE);
        assert!(entries.len() > SLOTS * 3 / 4 && entries.len() < SLOTS);
        assert!(entries.iter().any(|e| e.name == "module4999"));
        assert!(entries.iter().map(|e| e.last).sum::<u64>() / entries.len() as u64 > 3500);
    }

    #[test]
    fn others_are_refused() {
        assert!(words(&empty()[..SIZE - 8]).is_none());
        for at in [0, 7, 8, 15] {
            let mut bytes = empty();
            bytes[at] ^= 1;
            assert!(Ledger::new(&words(&bytes).unwrap()).is_none(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_never_read(junk in proptest::collection::vec(any::<u64>(), 64), at in 0..SIZE / 8 - 64) {
            let words = words(&empty()).unwrap();
            let ledger = Ledger::new(&words).unwrap();
            ledger.add(SCOPE, b"click", MS, 1);
            for (word, junk) in words[at.max(SLOT)..].iter().zip(&junk) {
                word.store(*junk, Relaxed);
            }
            let entries = ledger.entries(SCOPE);
            prop_assert!(entries.iter().all(|e| e.name == "click"));
            ledger.add(SCOPE, b"rich", MS, u64::MAX);
            prop_assert!(ledger.entries(SCOPE).iter().any(|e| e.name == "rich"));
        }
    }
}
