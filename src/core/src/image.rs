//! The image: the memory of a warm zygote in a file, and what it takes to become it.
//!
//! Owns the format; `docs/image-format.md` describes it for people. A head of
//! whole pages comes first (mark, checksum, facts of the machine, tables), the
//! contents of the memory follow. Decoding is total, and what it gives has been
//! checked: ranges are whole pages, ascending and apart, what lies in the file
//! lies in the file, and what will be written to is writable. Which file is
//! opened, and the restore itself, are the launcher's (`src/launcher/src/restore.rs`).

use crate::codec::{Put, Take};
use crate::key::Key;
use alloc::vec::Vec;

/// The name by which the launcher is called to try an image that is not published yet.
pub const TRIAL: &str = "pyzy-trial";
/// The first eight bytes.
pub const MAGIC: [u8; 8] = *b"PYZYIMAG";
/// The layout described here.
pub const FORMAT: u32 = 2;
/// The processor architecture of images that this build writes and restores (`e_machine` of ELF).
pub const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
/// The unit of addresses, lengths and offsets, bytes.
pub const PAGE: u64 = 4096;
/// Heads longer than this are refused, bytes.
pub const MAX_HEAD: usize = 4 << 20;
/// As much of a head as must be read to know how long it is, bytes.
pub const START: usize = USE + 32;

/// Where the image's use is noted, in the head but not under its checksum: number of runs, time of the last one
/// (`CLOCK_BOOTTIME`, nanoseconds), time when its replacement was last asked for, whether it is worn; 64 bits each, changed
/// in place.
pub const USE: usize = 32;
/// Offset of the number of runs.
pub const RUNS: usize = USE;
/// Offset of the time of the last run.
pub const LAST_USE: usize = USE + 8;
/// Offset of the time when a replacement was last asked for.
pub const ROTATION: usize = USE + 16;
/// Offset of a word that is not 0 once a run has found a file of a module changed: it and its like go without that module.
pub const WORN: usize = USE + 24;

/// Lies in the file nowhere: fresh zeroes.
const NOWHERE: u64 = u64::MAX;
/// User space ends here at the latest (x86-64 and aarch64 with 48 bits).
const END: u64 = 1 << 47;

/// Memory may be read, written, executed: the bits of `mmap(2)`.
pub const READ: u32 = 1;
/// See [`READ`].
pub const WRITE: u32 = 2;
/// See [`READ`].
pub const EXECUTE: u32 = 4;

/// A range of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its address.
    pub address: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Where its contents lie in the file; `None`: zeroes.
    pub offset: Option<u64>,
    /// Which file that is: `None` for the image, else a path's place in the freshness table.
    pub file: Option<u32>,
    /// [`READ`], [`WRITE`], [`EXECUTE`].
    pub protection: u32,
}

impl Region {
    fn end(&self) -> u64 {
        self.address + self.length
    }
}

/// What a word of memory must hold that differs from process to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Value {
    /// An address in the kernel's vdso, as an offset into it.
    Vdso = 1,
    /// The address of `argv`.
    Argv = 2,
    /// The address of `envp`.
    Envp = 3,
    /// The address of the auxiliary vector.
    Auxv = 4,
    /// An address in the text of `argv[0]`, as an offset into it.
    Name = 5,
    /// The address of the sixteen random bytes.
    Random = 6,
    /// The end of the stack.
    StackEnd = 7,
    /// A stack canary of its own.
    Canary = 8,
}

impl Value {
    fn from_number(number: u64) -> Option<Value> {
        use Value::*;
        [Vdso, Argv, Envp, Auxv, Name, Random, StackEnd, Canary].into_iter().find(|v| *v as u64 == number)
    }
}

/// A word to be written after the memory is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Its address.
    pub address: u64,
    /// What to write.
    pub value: Value,
    /// Added to it.
    pub offset: u32,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its first byte.
    pub address: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// Facts of the machine that memory depends on and that the key does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Machine {
    /// `/proc/sys/kernel/random/boot_id`, its 32 digits as bytes.
    pub boot: [u8; 16],
    /// The processor's abilities: AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ of the auxiliary vector (`man 3 getauxval`).
    pub abilities: [u64; 3],
}

/// The number of a boot from the text of `/proc/sys/kernel/random/boot_id`: 32 hex digits in five groups.
pub fn boot_id(text: &[u8]) -> Option<[u8; 16]> {
    let mut digits = text.iter().filter(|b| **b != b'-').map_while(|&b| (b as char).to_digit(16).map(|d| d as u8));
    let mut number = [0; 16];
    for byte in &mut number {
        *byte = digits.next()? << 4 | digits.next()?;
    }
    Some(number)
}

/// Numbers in the head, in the order in which they lie there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Numbers {
    /// Drawn by the zygote.
    pub nonce: u64,
    /// The zygote's process id.
    pub zygote: u64,
    /// When the memory was captured, `CLOCK_BOOTTIME`, nanoseconds.
    pub created: u64,
    /// After this many nanoseconds the image is replaced.
    pub lifetime: u64,
    /// After this many runs the image is replaced.
    pub runs: u64,
    /// The function to be called in the restored memory.
    pub entry: u64,
    /// The thread pointer.
    pub thread: u64,
    /// Bounds for `/proc/self/stat` and `brk(2)`: code, data, heap, each begin and end.
    pub bounds: [u64; 6],
    /// Where the program's headers lie, how long one is, how many there are; the loader's base; the program's entry.
    pub program: [u64; 5],
}

impl Numbers {
    const COUNT: usize = 18;

    fn words(&self) -> [u64; Self::COUNT] {
        let [a, b, c, d, e, f] = self.bounds;
        let [p, q, r, s, t] = self.program;
        let Numbers { nonce, zygote, created, lifetime, runs, entry, thread, .. } = *self;
        [nonce, zygote, created, lifetime, runs, entry, thread, a, b, c, d, e, f, p, q, r, s, t]
    }

    fn from_words(words: [u64; Self::COUNT]) -> Numbers {
        let [nonce, zygote, created, lifetime, runs, entry, thread, a, b, c, d, e, f, p, q, r, s, t] = words;
        let (bounds, program) = ([a, b, c, d, e, f], [p, q, r, s, t]);
        Numbers { nonce, zygote, created, lifetime, runs, entry, thread, bounds, program }
    }
}

/// The head of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// The restore identity.
    pub key: Key,
    /// pyzy's version.
    pub version: &'a [u8],
    /// What it was made on.
    pub machine: Machine,
    /// Addresses, times, limits.
    pub numbers: Numbers,
    /// The memory.
    pub regions: Table<'a, Region>,
    /// Words to be written.
    pub patches: Table<'a, Patch>,
    /// Memory that a run changes, as far as is known: to be copied in advance.
    pub written: Table<'a, Range>,
    /// The freshness table, encoded.
    pub fresh: &'a [u8],
}

/// Why a file is not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Shorter than it says, or than a head.
    Size,
    /// Not an image.
    Magic,
    /// The image of another pyzy, of this format.
    Format(u32),
    /// The head is damaged.
    Checksum,
    /// The head says what cannot be.
    Content,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Refusal::Size => f.write_str("it is cut off"),
            Refusal::Magic => f.write_str("it is not an image"),
            Refusal::Format(n) => write!(f, "it has format {n}, this pyzy knows {FORMAT}"),
            Refusal::Checksum => f.write_str("its head is damaged"),
            Refusal::Content => f.write_str("its head says what cannot be"),
        }
    }
}

/// Records of one kind, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table<'a, T> {
    bytes: &'a [u8],
    kind: core::marker::PhantomData<T>,
}

/// A record of a table: some 64-bit words.
pub trait Record: Sized {
    /// How many.
    const WORDS: usize;
    /// As words.
    fn put(&self, out: &mut Vec<u8>);
    /// From words.
    fn take(take: &mut Take) -> Option<Self>;
}

impl Record for Region {
    const WORDS: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        let file = self.file.map_or(0, |place| u64::from(place) + 1);
        let last = file << 32 | u64::from(self.protection);
        for word in [self.address, self.length, self.offset.unwrap_or(NOWHERE), last] {
            out.put_u64(word);
        }
    }
    fn take(take: &mut Take) -> Option<Region> {
        let (address, length, offset) = (take.u64()?, take.u64()?, take.u64()?);
        let offset = (offset != NOWHERE).then_some(offset);
        let last = take.u64()?;
        let file = u32::try_from(last >> 32).ok()?.checked_sub(1);
        Some(Region { address, length, offset, file, protection: last as u32 })
    }
}

impl Record for Patch {
    const WORDS: usize = 2;
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.address);
        out.put_u64((self.value as u64) << 32 | u64::from(self.offset));
    }
    fn take(take: &mut Take) -> Option<Patch> {
        let (address, what) = (take.u64()?, take.u64()?);
        Some(Patch { address, value: Value::from_number(what >> 32)?, offset: what as u32 })
    }
}

impl Record for Range {
    const WORDS: usize = 2;
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.address);
        out.put_u64(self.length);
    }
    fn take(take: &mut Take) -> Option<Range> {
        Some(Range { address: take.u64()?, length: take.u64()? })
    }
}

impl<'a, T: Record> Table<'a, T> {
    fn decode(take: &mut Take<'a>) -> Option<Table<'a, T>> {
        let count = take.u64()?;
        let length = usize::try_from(count).ok()?.checked_mul(T::WORDS * 8)?;
        Some(Table { bytes: take.raw(length)?, kind: core::marker::PhantomData })
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.bytes.len() / (T::WORDS * 8)
    }

    /// No record.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The records; `decode` has seen that each is one.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        self.bytes.chunks_exact(T::WORDS * 8).filter_map(|bytes| T::take(&mut Take(bytes)))
    }
}

/// What a new image is made of.
pub struct Parts<'a> {
    /// The restore identity.
    pub key: Key,
    /// pyzy's version.
    pub version: &'a [u8],
    /// What it is made on.
    pub machine: Machine,
    /// Addresses, times, limits.
    pub numbers: Numbers,
    /// The memory; offsets count from the end of the head.
    pub regions: &'a [Region],
    /// Words to be written.
    pub patches: &'a [Patch],
    /// Memory that a run changes.
    pub written: &'a [Range],
    /// The freshness table, encoded.
    pub fresh: &'a [u8],
}

fn put_table<T: Record>(out: &mut Vec<u8>, records: &[T]) {
    out.put_u64(records.len() as u64);
    records.iter().for_each(|record| record.put(out));
}

impl Parts<'_> {
    /// The head, `length` bytes long; `None` if that is too short. `size` is that of the whole file.
    pub fn encode(&self, length: usize, size: u64) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&MAGIC);
        out.put_u32(FORMAT);
        out.put_u32(length as u32);
        out.resize(START, 0);
        out.put_u64(size);
        out.put_u32(ARCHITECTURE);
        out.extend_from_slice(&self.key.0);
        out.extend_from_slice(&self.machine.boot);
        self.machine.abilities.iter().for_each(|&n| out.put_u64(n));
        self.numbers.words().iter().for_each(|&n| out.put_u64(n));
        out.put_bytes(self.version);
        let head = |r: &Region| if r.file.is_none() { length as u64 } else { 0 };
        let shift = |r: &Region| Region { offset: r.offset.map(|o| o + head(r)), ..*r };
        put_table(&mut out, &self.regions.iter().map(shift).collect::<Vec<_>>());
        put_table(&mut out, self.patches);
        put_table(&mut out, self.written);
        out.put_bytes(self.fresh);
        if out.len() > length {
            return None;
        }
        out.resize(length, 0);
        let sum = checksum(&out);
        out[16..24].copy_from_slice(&sum.to_le_bytes());
        Some(out)
    }
}

/// Over the length in the first bytes and everything behind the notes of use.
fn checksum(head: &[u8]) -> u64 {
    let length = u64::from(u32::from_le_bytes([head[12], head[13], head[14], head[15]]));
    xxhash_rust::xxh3::xxh3_64_with_seed(&head[START..], length)
}

/// The length of the head in bytes, from its first [`START`] bytes.
pub fn head_length(start: &[u8]) -> Result<usize, Refusal> {
    let mut take = Take(start);
    let magic = take.raw(8).ok_or(Refusal::Size)?;
    let (format, length) = (take.u32().ok_or(Refusal::Size)?, take.u32().ok_or(Refusal::Size)? as usize);
    if magic != MAGIC {
        return Err(Refusal::Magic);
    }
    if format != FORMAT {
        return Err(Refusal::Format(format));
    }
    if !(START..=MAX_HEAD).contains(&length) || !(length as u64).is_multiple_of(PAGE) {
        return Err(Refusal::Content);
    }
    Ok(length)
}

impl<'a> Image<'a> {
    /// Reads a head; `size` is the file's. Whatever the bytes, the answer is an image that holds together, or why not.
    pub fn decode(head: &'a [u8], size: u64) -> Result<Image<'a>, Refusal> {
        let length = head_length(head)?;
        let head = head.get(..length).ok_or(Refusal::Size)?;
        if head[16..24] != checksum(head).to_le_bytes() {
            return Err(Refusal::Checksum);
        }
        let mut take = Take(&head[START..]);
        if take.u64() != Some(size) {
            return Err(Refusal::Size);
        }
        let image = Image::content(&mut take).ok_or(Refusal::Content)?;
        image.check(size).ok_or(Refusal::Content)?;
        Ok(image)
    }

    fn content(take: &mut Take<'a>) -> Option<Image<'a>> {
        if take.u32()? != ARCHITECTURE {
            return None;
        }
        let key = Key(take.raw(16)?.try_into().ok()?);
        let mut machine = Machine { boot: take.raw(16)?.try_into().ok()?, ..Machine::default() };
        for number in &mut machine.abilities {
            *number = take.u64()?;
        }
        let mut words = [0; Numbers::COUNT];
        for word in &mut words {
            *word = take.u64()?;
        }
        Some(Image {
            key,
            machine,
            numbers: Numbers::from_words(words),
            version: take.bytes()?,
            regions: Table::decode(take)?,
            patches: Table::decode(take)?,
            written: Table::decode(take)?,
            fresh: take.bytes()?,
        })
    }

    /// Does it hold together?
    fn check(&self, size: u64) -> Option<()> {
        let whole = |n: u64| n.is_multiple_of(PAGE);
        let mut end = PAGE;
        for region in self.regions.iter() {
            let top = region.address.checked_add(region.length).filter(|&top| top <= END)?;
            let fits = match (region.file, region.offset) {
                (None, None) => true,
                (None, Some(o)) => whole(o) && o.checked_add(region.length).is_some_and(|e| e <= size),
                // How long another file is, is checked with the table of freshness.
                (Some(_), o) => o.is_some_and(whole) && region.protection & WRITE == 0,
            };
            let good = whole(region.address) && whole(region.length) && region.length > 0 && region.address >= end;
            (good && fits && region.protection <= 7).then_some(())?;
            end = top;
        }
        // Each table ascends, so that one walk along the regions checks them all.
        self.within(self.patches.iter().map(|p| Range { address: p.address, length: 8 }), WRITE)?;
        self.within(self.written.iter(), WRITE)?;
        self.patches.iter().all(|p| p.address.is_multiple_of(8)).then_some(())?;
        let pages = |r: Range| whole(r.address) && whole(r.length) && r.length > 0;
        self.written.iter().all(pages).then_some(())?;
        let Numbers { entry, thread, .. } = self.numbers;
        self.within(core::iter::once(Range { address: entry, length: 1 }), EXECUTE)?;
        self.within(core::iter::once(Range { address: thread, length: 64 }), WRITE)?;
        (self.patches.len() == self.patches.iter().count()).then_some(())
    }

    /// Does each range, in ascending order, lie in one region with that protection?
    fn within(&self, ranges: impl Iterator<Item = Range>, protection: u32) -> Option<()> {
        let mut regions = self.regions.iter();
        let mut region = None;
        for range in ranges {
            let end = range.address.checked_add(range.length)?;
            while region.as_ref().is_none_or(|r: &Region| r.end() <= range.address) {
                region = Some(regions.next()?);
            }
            let around = region.as_ref()?;
            (around.address <= range.address && end <= around.end() && around.protection & protection != 0)
                .then_some(())?;
        }
        Some(())
    }
}

/// What the launcher tells the restored interpreter, by address. Only one build reads what it has written.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// How many arguments, the name included.
    pub argc: usize,
    /// The command line: C strings, null-terminated.
    pub argv: usize,
    /// The environment, likewise.
    pub environ: usize,
    /// Which argument is the script.
    pub script: usize,
    /// `fn() -> !`, C: the script has not been begun and cannot be: run the real interpreter.
    pub fail: usize,
    /// `fn()`, C: the hand-off.
    pub commit: usize,
    /// For a rehearsal: the descriptor that the touched pages are written to; else negative.
    pub report: isize,
    /// The launcher's own memory, begin and end, as far as it is of no use after the hand-off.
    pub launcher: [usize; 2],
    /// The real interpreter's path, a C string; 0 for a trial.
    pub interpreter: usize,
    /// Where everything lies: the kernel's `struct prctl_mm_map` as the launcher gave it.
    pub layout: usize,
    /// The image's word at [`WORN`]; 0 for a trial.
    pub worn: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: usize = 8192;

    fn regions() -> [Region; 3] {
        let region = |address, length, offset, protection| Region { address, length, offset, file: None, protection };
        [
            region(0x40_0000, 0x2000, Some(0), READ | EXECUTE),
            region(0x40_2000, 0x3000, Some(0x2000), READ | WRITE),
            region(0x80_0000, 0x1000, None, READ | WRITE),
        ]
    }

    fn size() -> u64 {
        HEAD as u64 + 0x5000
    }

    fn encode(change: impl FnOnce(&mut Vec<Region>, &mut Vec<Patch>, &mut Vec<Range>, &mut Numbers)) -> Vec<u8> {
        let (mut regions, mut patches) = (regions().to_vec(), Vec::new());
        patches.push(Patch { address: 0x40_2008, value: Value::Vdso, offset: 0x980 });
        patches.push(Patch { address: 0x80_0ff8, value: Value::Canary, offset: 0 });
        let mut written = alloc::vec![Range { address: 0x40_3000, length: 0x1000 }];
        let mut numbers = Numbers { entry: 0x40_0010, thread: 0x80_0740, ..Numbers::default() };
        change(&mut regions, &mut patches, &mut written, &mut numbers);
        Parts {
            key: Key([7; 16]),
            version: b"0.1.0",
            machine: Machine { boot: [3; 16], abilities: [1, 2, 3] },
            numbers,
            regions: &regions,
            patches: &patches,
            written: &written,
            fresh: b"table",
        }
        .encode(HEAD, size())
        .expect("it fits")
    }

    fn same() -> Vec<u8> {
        encode(|_, _, _, _| {})
    }

    #[test]
    fn an_image_survives_a_round_trip() {
        let bytes = same();
        let image = Image::decode(&bytes, size()).expect("a good image");
        assert_eq!((image.key, image.version, image.fresh), (Key([7; 16]), &b"0.1.0"[..], &b"table"[..]));
        assert_eq!(image.numbers.thread, 0x80_0740);
        let back: Vec<Region> = image.regions.iter().collect();
        assert_eq!(back[1].offset, Some(0x2000 + HEAD as u64));
        assert_eq!(back[2], regions()[2]);
        let bytes = encode(|r, _, _, _| (r[0].file, r[0].offset) = (Some(7), Some(0x1000)));
        let image = Image::decode(&bytes, size()).expect("a good image");
        assert_eq!(image.regions.iter().next().map(|r| (r.file, r.offset)), Some((Some(7), Some(0x1000))));
        let (bytes, image) = (same(), image.key);
        assert_eq!(Image::decode(&bytes, size()).map(|i| i.key), Ok(image));
        let image = Image::decode(&bytes, size()).expect("a good image");
        assert_eq!(image.patches.len(), 2);
        assert_eq!(image.patches.iter().next().map(|p| p.value), Some(Value::Vdso));
    }

    #[test]
    fn notes_of_use_are_not_under_the_checksum() {
        let mut bytes = same();
        bytes[USE..START].fill(9);
        assert!(Image::decode(&bytes, size()).is_ok());
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = same();
        for length in 0..bytes.len() {
            assert!(Image::decode(&bytes[..length], size()).is_err(), "{length}");
        }
        assert_eq!(Image::decode(&bytes, size() - 1).err(), Some(Refusal::Size));
    }

    #[test]
    fn a_foreign_file_is_named() {
        let mut bytes = same();
        bytes[8] = FORMAT as u8 + 1;
        assert_eq!(Image::decode(&bytes, size()).err(), Some(Refusal::Format(FORMAT + 1)));
        bytes[0] = b'X';
        assert_eq!(Image::decode(&bytes, size()).err(), Some(Refusal::Magic));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |bytes: Vec<u8>| assert_eq!(Image::decode(&bytes, size()).err(), Some(Refusal::Content));
        refused(encode(|r, _, _, _| r[1].address = 0x40_1000)); // overlaps
        refused(encode(|r, _, _, _| r[1].address += 1)); // not whole pages
        refused(encode(|r, _, _, _| r[1].length = 0));
        refused(encode(|r, _, _, _| r[2].length = 1 << 48));
        refused(encode(|r, _, _, _| r[2].length = !4095));
        refused(encode(|r, _, _, _| r[1].offset = Some(0x4000))); // beyond the file
        refused(encode(|r, _, _, _| r[1].offset = Some(8)));
        refused(encode(|r, _, _, _| r[1].protection = 8));
        refused(encode(|r, _, _, _| r[1].file = Some(0))); // somebody else's file, writable
        refused(encode(|r, _, _, _| (r[0].file, r[0].offset) = (Some(0), None)));
        refused(encode(|r, _, _, _| (r[0].file, r[0].offset) = (Some(0), Some(8))));
        refused(encode(|r, _, _, _| r[0].address = 0)); // the null page
        refused(encode(|_, p, _, _| p[0].address = 0x40_0008)); // not writable
        refused(encode(|_, p, _, _| p[0].address = 0x50_0000)); // nowhere
        refused(encode(|_, p, _, _| p[0].address = 0x40_2009));
        refused(encode(|_, p, _, _| p.swap(0, 1))); // not ascending
        refused(encode(|_, _, w, _| w[0].length = 0x10_0000));
        refused(encode(|_, _, _, n| n.entry = 0x40_2000)); // not executable
        refused(encode(|_, _, _, n| n.thread = 0x40_0000));
    }

    #[test]
    fn a_head_too_small_for_its_tables_is_not_made() {
        let parts = Parts {
            key: Key([0; 16]),
            version: b"",
            machine: Machine::default(),
            numbers: Numbers::default(),
            regions: &[],
            patches: &[],
            written: &[],
            fresh: &[0; 5000],
        };
        assert!(parts.encode(4096, 4096).is_none());
    }

    #[test]
    fn boots() {
        let text = b"01234567-89ab-cdef-0123-456789abcdef\n";
        let number = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        assert_eq!(boot_id(text), Some(number));
        assert_eq!(boot_id(&text[..35]), None);
        assert_eq!(boot_id(b"x"), None);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_refused(at in 0..HEAD, bit in 0u8..8) {
            let mut bytes = same();
            bytes[at] ^= 1 << bit;
            let noted = (USE..START).contains(&at) || (24..32).contains(&at);
            prop_assert_eq!(Image::decode(&bytes, size()).is_ok(), noted);
        }

        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..600), fix in any::<bool>()) {
            let mut bytes = same();
            // A good start and a right checksum let the noise through to the tables.
            let from = START + 8;
            let count = tail.len().min(HEAD - from);
            bytes[from..from + count].copy_from_slice(&tail[..count]);
            if fix {
                let sum = checksum(&bytes);
                bytes[16..24].copy_from_slice(&sum.to_le_bytes());
            }
            if let Ok(image) = Image::decode(&bytes, size()) {
                prop_assert!(image.regions.iter().count() > 0);
            }
            let _ = Image::decode(&tail, size());
        }

        #[test]
        fn scrambled_records_never_make_a_range_outside(at in START + 8..1200usize, word in any::<u64>()) {
            let mut bytes = same();
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            let sum = checksum(&bytes);
            bytes[16..24].copy_from_slice(&sum.to_le_bytes());
            if let Ok(image) = Image::decode(&bytes, size()) {
                for region in image.regions.iter() {
                    prop_assert!(region.end() <= END);
                    prop_assert!(region.file.is_some() || region.offset.is_none_or(|o| o + region.length <= size()));
                }
            }
        }
    }
}
