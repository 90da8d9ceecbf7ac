//! Command lines: by the dice, mostly sensible, and by hand.

/// The words after the program's name.
pub struct Line {
    pub words: Vec<Vec<u8>>,
}

/// Scripts by name. They exist in the working directory, and so do files with
/// the names of arguments: without a script, the first argument is the script.
pub const SCRIPTS: &[&[u8]] = &[b"s.py", b"a b.py", b"-x.py", b"latin\xe9.py", "é.py".as_bytes()];

/// A small generator of numbers (splitmix64), the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    /// True in one of `n` throws.
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }
}

const FLAGS: &[&[u8]] = &[b"u", b"B", b"E", b"s", b"S", b"I", b"O", b"b", b"q", b"R", b"P"];
const RARE_FLAGS: &[&[u8]] = &[b"d", b"v", b"t", b"i", b"x", b"V", b"h", b"?", b"J", b"Z", b"-", b"=", b" ", b"\xff"];

const EXTRAS: &[&[u8]] = &[
    b"utf8",
    b"utf8=0",
    b"utf8=1",
    b"dev",
    b"faulthandler",
    b"int_max_str_digits=0",
    b"int_max_str_digits=640",
    b"int_max_str_digits=00001000",
    b"pycache_prefix=/dev/null/pyzy",
    b"pycache_prefix=/dev/null/=/\xe9",
    b"utf8",
    b"dev",
];
const NEWER_EXTRAS: &[&[u8]] = &[
    b"warn_default_encoding",
    b"no_debug_ranges",
    b"frozen_modules",
    b"frozen_modules=on",
    b"frozen_modules=off",
    b"cpu_count=3",
    b"cpu_count=default",
    b"gil=1",
];
const RARE_EXTRAS: &[&[u8]] = &[
    b"utf8=",
    b"utf8=2",
    b"dev=0",
    b"importtime",
    b"tracemalloc",
    b"tracemalloc=x",
    b"showrefcount",
    b"perf",
    b"frozen_modules=maybe",
    b"int_max_str_digits",
    b"int_max_str_digits=5",
    b"int_max_str_digits=99999999999",
    b"cpu_count=0",
    b"cpu_count",
    b"gil=0",
    b"gil",
    b"pycache_prefix=rel",
    b"pycache_prefix=",
    b"unheard_of",
    b"unheard_of=1",
    b"",
    b"=",
    b"\xff",
];

const WARNINGS: &[&[u8]] = &[
    b"ignore",
    b"i",
    b"default",
    b"d",
    b"all",
    b"al",
    b"always",
    b"module",
    b"once",
    b"o",
    b"error::BytesWarning",
    b"default::BytesWarning",
    b"error::DeprecationWarning",
    b"e::FutureWarning",
    b"ignore::UserWarning:mod.ule:12",
    b"ignore:some text",
    b"ignore: text of its own (.*:ImportWarning",
    b"ignore:\xe9\xff:Warning",
    b"ignore:::m:000000001",
    b"ignore::",
    b"ignore::::",
    b"once::ResourceWarning",
    b"m::SyntaxWarning",
    b"default::RuntimeWarning::0",
    b"default::UnicodeWarning",
    b"default::PendingDeprecationWarning",
    b"ignore::EncodingWarning",
];
const RARE_WARNINGS: &[&[u8]] = &[
    b"",
    b":",
    b"Error",
    b" error",
    b"error ",
    b"nothing",
    b"allow",
    b"error::Nope",
    b"error::int",
    b"error::ssl.SSLError",
    b"error: : :",
    b"error::::x",
    b"error::::-1",
    b"error::::1_0",
    b"error:::::",
    b"\xff",
    b"--",
    b"-u",
];

const LONG: &[&[u8]] =
    &[b"--help", b"--version", b"--help-all", b"--help-env", b"--help-xoptions", b"--nothing", b"--hel", b"---"];

/// Arguments of the script.
pub const ARGUMENTS: &[&[u8]] = &[
    b"",
    b"-",
    b"--",
    b"-c",
    b"-h",
    b"-u",
    b"--help",
    b"--version",
    b"plain",
    b"two words",
    b"new\nline",
    b"\xff\xfe",
    b"caf\xe9",
    "caf\u{e9} \u{1f40d}".as_bytes(),
    b"\xed\xb3\xbf",
    b"-X",
    b"dev",
];

/// A line that is a warm script run more often than not.
pub fn line(dice: &mut Dice) -> Line {
    let mut words = Vec::new();
    for _ in 0..dice.below(4) {
        option(dice, &mut words);
    }
    if dice.one_in(10) {
        words.push(b"--".to_vec());
    }
    match dice.below(40) {
        0 => {}
        1 => words.push(b"".to_vec()),
        2 => words.push(b"-".to_vec()),
        3..=8 => words.push(dice.pick(SCRIPTS).to_vec()),
        _ => words.push(SCRIPTS[0].to_vec()),
    }
    for _ in 0..dice.below(4) {
        words.push(dice.pick(ARGUMENTS).to_vec());
    }
    Line { words }
}

/// One option: a cluster that may end in one with a value, or a long one.
fn option(dice: &mut Dice, words: &mut Vec<Vec<u8>>) {
    if dice.one_in(12) {
        let mode: &[u8] = if dice.one_in(8) { b"sometimes" } else { dice.pick(&[b"always", b"never", b"default"]) };
        words.extend([b"--check-hash-based-pycs".to_vec(), mode.to_vec()]);
        return;
    }
    if dice.one_in(60) {
        words.push(dice.pick(LONG).to_vec());
        return;
    }
    let mut cluster = b"-".to_vec();
    for _ in 0..dice.below(4) {
        let rare = dice.one_in(50);
        cluster.extend_from_slice(dice.pick(if rare { RARE_FLAGS } else { FLAGS }));
    }
    let value = match dice.below(20) {
        0..=4 => valued(dice, &mut cluster, b'W'),
        5..=9 => valued(dice, &mut cluster, b'X'),
        10 if dice.one_in(4) => valued(dice, &mut cluster, b'c'),
        11 if dice.one_in(4) => {
            cluster.extend_from_slice(b"-check-hash-based-pycs");
            words.extend([cluster, b"always".to_vec()]);
            return;
        }
        _ => None,
    };
    if cluster.len() == 1 {
        cluster.push(b'u');
    }
    words.push(cluster);
    words.extend(value);
}

/// `-Xdev` or `-X dev`: the value is put behind the letter, or returned as the next word.
fn valued(dice: &mut Dice, cluster: &mut Vec<u8>, letter: u8) -> Option<Vec<u8>> {
    let rare = dice.one_in(12);
    let value = match letter {
        b'W' => dice.pick(if rare { RARE_WARNINGS } else { WARNINGS }),
        b'X' if rare => dice.pick(RARE_EXTRAS),
        b'X' if dice.one_in(3) => dice.pick(NEWER_EXTRAS),
        b'X' => dice.pick(EXTRAS),
        _ => b"pass",
    };
    cluster.push(letter);
    if !value.is_empty() && dice.one_in(2) {
        cluster.extend_from_slice(value);
        return None;
    }
    Some(value.to_vec())
}

/// Lines that every interpreter is asked: each value above alone, and the odd ones.
pub fn corners() -> Vec<Line> {
    let mut lines: Vec<Vec<&[u8]>> = vec![
        vec![b"s.py"],
        vec![b"s.py", b"-u", b"--", b""],
        vec![b"--", b"-x.py"],
        vec![b"-u", b"--", b"-x.py", b"--"],
        vec![b"latin\xe9.py", b"\xff"],
        vec![b"-I", b"s.py"],
        vec![b"-P", b"s.py"],
        vec![b"-IEsSuBP", b"s.py"],
        vec![b"-OObbqq", b"s.py"],
        vec![b"-O", b"-O", b"-b", b"-b", b"-q", b"-q", b"s.py"],
        vec![b"-OOO", b"s.py"],
        vec![b"-R", b"s.py"],
        vec![b"-t", b"s.py"],
        vec![b"-E-", b"s.py"],
        vec![b"-E--", b"s.py"],
        vec![b"-E-check-hash-based-pycs", b"never", b"s.py"],
        vec![b"--check-hash-based-pycs", b"always", b"s.py"],
        vec![b"--check-hash-based-pycs=always", b"s.py"],
        vec![b"--check-hash-based-pycs", b"always", b"--check-hash-based-pycs", b"default", b"s.py"],
        vec![b"-Xutf8=0", b"-Xutf8=1", b"s.py"],
        vec![b"-Xutf8", b"-Xutf8=0", b"s.py"],
        vec![b"-Xdev", b"-Wdefault", b"-b", b"s.py"],
        vec![b"-Wi", b"-We::BytesWarning", b"-Wi", b"-bb", b"s.py"],
        vec![b"-Werror::BytesWarning", b"-Wi", b"-Xdev", b"-bb", b"s.py"],
        vec![b"-Wdefault", b"-Wi", b"-Wdefault", b"s.py"],
        vec![b"-uWi", b"-uX", b"dev", b"s.py"],
        vec![b"-c", b"pass", b"s.py"],
        vec![b"-m", b"this", b"s.py"],
    ];
    let letters: Vec<Vec<u8>> = FLAGS.iter().chain(RARE_FLAGS).map(|letter| [b"-", *letter].concat()).collect();
    lines.extend(letters.iter().map(|word| vec![word.as_slice(), b"s.py"]));
    lines.extend(LONG.iter().map(|word| vec![*word, b"s.py"]));
    lines.extend(EXTRAS.iter().chain(NEWER_EXTRAS).chain(RARE_EXTRAS).map(|v| vec![b"-X".as_slice(), v, b"s.py"]));
    lines.extend(WARNINGS.iter().chain(RARE_WARNINGS).map(|v| vec![b"-W".as_slice(), v, b"s.py"]));
    lines.into_iter().map(|words| Line { words: words.into_iter().map(<[u8]>::to_vec).collect() }).collect()
}
