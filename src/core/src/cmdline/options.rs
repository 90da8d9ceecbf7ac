//! CPython's options as data, one row an option, for 3.9 to 3.14.
//!
//! Owns which options there are, since when, whether they take a value, and
//! what pyzy makes of them. Sources: `SHORT_OPTS` and `longopts` in
//! `Python/getopt.c`, `config_parse_cmdline` and `config_read*` in
//! `Python/initconfig.c`. Tables are sorted, for a binary search.

use super::Version;
use crate::reason::Reason;

/// The minor versions of Python 3 in which an option exists.
#[derive(Clone, Copy)]
pub(super) struct Versions {
    since: u8,
    until: u8,
}

/// From this minor version to the newest one we know.
const fn since(minor: u8) -> Versions {
    Versions { since: minor, until: 14 }
}

/// In every supported version.
const EVERY: Versions = since(9);

impl Versions {
    /// Is the option known to this version, or to any if that is unknown?
    pub(super) fn hold(self, version: Option<Version>) -> bool {
        version.is_none_or(|v| v.major == 3 && self.since <= v.minor && v.minor <= self.until)
    }
}

/// Does an option have a value?
#[derive(Clone, Copy)]
pub(super) enum Takes {
    Nothing,
    Value,
}

/// What pyzy makes of an option.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    BytesWarning,
    DontWriteBytecode,
    Extra,
    HashPycs,
    IgnoreEnvironment,
    Isolated,
    NoSite,
    NoUserSite,
    Optimize,
    Quiet,
    RandomizeHash,
    SafePath,
    Unbuffered,
    Warning,
    Fallback(Reason),
}

/// An option; the name is without its dashes.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) versions: Versions,
    pub(super) takes: Takes,
    pub(super) meaning: Meaning,
}

const fn row(name: &'static str, versions: Versions, takes: Takes, meaning: Meaning) -> Row {
    Row { name, versions, takes, meaning }
}

/// Options of one letter. `-J` has no row: it is reserved for Jython, and refused.
#[rustfmt::skip]
pub(super) const SHORT: &[Row] = &[
    row("?", EVERY,     Takes::Nothing, Meaning::Fallback(Reason::Help)),
    row("B", EVERY,     Takes::Nothing, Meaning::DontWriteBytecode),
    row("E", EVERY,     Takes::Nothing, Meaning::IgnoreEnvironment),
    row("I", EVERY,     Takes::Nothing, Meaning::Isolated),
    row("O", EVERY,     Takes::Nothing, Meaning::Optimize),
    row("P", since(11), Takes::Nothing, Meaning::SafePath),
    row("R", EVERY,     Takes::Nothing, Meaning::RandomizeHash),
    row("S", EVERY,     Takes::Nothing, Meaning::NoSite),
    row("V", EVERY,     Takes::Nothing, Meaning::Fallback(Reason::Version)),
    row("W", EVERY,     Takes::Value,   Meaning::Warning),
    row("X", EVERY,     Takes::Value,   Meaning::Extra),
    row("b", EVERY,     Takes::Nothing, Meaning::BytesWarning),
    row("c", EVERY,     Takes::Value,   Meaning::Fallback(Reason::Command)),
    row("d", EVERY,     Takes::Nothing, Meaning::Fallback(Reason::OptionObserved)),
    row("h", EVERY,     Takes::Nothing, Meaning::Fallback(Reason::Help)),
    row("i", EVERY,     Takes::Nothing, Meaning::Fallback(Reason::Interactive)),
    row("m", EVERY,     Takes::Value,   Meaning::Fallback(Reason::Module)),
    row("q", EVERY,     Takes::Nothing, Meaning::Quiet),
    row("s", EVERY,     Takes::Nothing, Meaning::NoUserSite),
    row("t", EVERY,     Takes::Nothing, Meaning::Fallback(Reason::OptionObserved)),
    row("u", EVERY,     Takes::Nothing, Meaning::Unbuffered),
    row("v", EVERY,     Takes::Nothing, Meaning::Fallback(Reason::OptionObserved)),
    row("x", EVERY,     Takes::Nothing, Meaning::Fallback(Reason::SkipFirstLine)),
];

/// Options of a whole word.
#[rustfmt::skip]
pub(super) const LONG: &[Row] = &[
    row("check-hash-based-pycs", EVERY,     Takes::Value,   Meaning::HashPycs),
    row("help",                  EVERY,     Takes::Nothing, Meaning::Fallback(Reason::Help)),
    row("help-all",              since(11), Takes::Nothing, Meaning::Fallback(Reason::Help)),
    row("help-env",              since(11), Takes::Nothing, Meaning::Fallback(Reason::Help)),
    row("help-xoptions",         since(11), Takes::Nothing, Meaning::Fallback(Reason::Help)),
    row("version",               EVERY,     Takes::Nothing, Meaning::Fallback(Reason::Version)),
];

/// The values that an `-X` key may have to be warm.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// `key`; CPython would take `key=anything` for the same, even `dev=0`.
    Bare,
    /// `key`, `key=0`, `key=1`.
    Bit,
    /// `key`, `key=on`, `key=off`.
    OnOff,
    /// `key=1`: `gil=0` is refused by every build that pyzy can warm up.
    One,
    /// `key=N`, 0 or at least 640.
    DigitLimit,
    /// `key=N`, at least 1, or `key=default`.
    CpuCount,
    /// `key=/…`: a relative one would depend on the working directory.
    AbsolutePath,
    /// No value makes it warm.
    Fallback(Reason),
}

/// A key of `-X`.
pub(super) struct ExtraRow {
    pub(super) name: &'static str,
    pub(super) versions: Versions,
    pub(super) form: Form,
}

const fn extra_row(name: &'static str, versions: Versions, form: Form) -> ExtraRow {
    ExtraRow { name, versions, form }
}

/// Keys of `-X`. CPython ignores those it does not know; pyzy falls back.
#[rustfmt::skip]
pub(super) const EXTRA: &[ExtraRow] = &[
    extra_row("cpu_count",             since(13), Form::CpuCount),
    extra_row("dev",                   EVERY,     Form::Bare),
    extra_row("faulthandler",          EVERY,     Form::Bare),
    extra_row("frozen_modules",        since(11), Form::OnOff),
    extra_row("gil",                   since(13), Form::One),
    extra_row("importtime",            EVERY,     Form::Fallback(Reason::OptionObserved)),
    extra_row("int_max_str_digits",    EVERY,     Form::DigitLimit),
    extra_row("no_debug_ranges",       since(11), Form::Bare),
    extra_row("perf",                  since(12), Form::Fallback(Reason::OptionObserved)),
    extra_row("perf_jit",              since(13), Form::Fallback(Reason::OptionObserved)),
    extra_row("presite",               since(13), Form::Fallback(Reason::OptionObserved)),
    extra_row("pycache_prefix",        EVERY,     Form::AbsolutePath),
    extra_row("pystats",               since(11), Form::Fallback(Reason::OptionObserved)),
    extra_row("showrefcount",          EVERY,     Form::Fallback(Reason::OptionObserved)),
    extra_row("tracemalloc",           EVERY,     Form::Fallback(Reason::OptionObserved)),
    extra_row("utf8",                  EVERY,     Form::Bit),
    extra_row("warn_default_encoding", since(10), Form::Bare),
];

/// A word that `-W` takes as its category without importing a module.
pub(super) struct Category {
    pub(super) name: &'static str,
    pub(super) since: u8,
}

const fn category(name: &'static str, since: u8) -> Category {
    Category { name, since }
}

/// The warnings among the built-in names (`_getcategory` in `Lib/warnings.py`).
pub(super) const CATEGORIES: &[Category] = &[
    category("BytesWarning", 9),
    category("DeprecationWarning", 9),
    category("EncodingWarning", 10),
    category("FutureWarning", 9),
    category("ImportWarning", 9),
    category("PendingDeprecationWarning", 9),
    category("ResourceWarning", 9),
    category("RuntimeWarning", 9),
    category("SyntaxWarning", 9),
    category("UnicodeWarning", 9),
    category("UserWarning", 9),
    category("Warning", 9),
];

/// The row of a letter.
pub(super) fn short(letter: u8) -> Option<&'static Row> {
    lookup(SHORT, &[letter], |row| row.name)
}

/// The row of a long option.
pub(super) fn long(name: &[u8]) -> Option<&'static Row> {
    lookup(LONG, name, |row| row.name)
}

/// The row of an `-X` key.
pub(super) fn extra(key: &[u8]) -> Option<&'static ExtraRow> {
    lookup(EXTRA, key, |row| row.name)
}

/// The row of a warning category.
pub(super) fn warning_category(name: &[u8]) -> Option<&'static Category> {
    lookup(CATEGORIES, name, |row| row.name)
}

fn lookup<T>(table: &'static [T], name: &[u8], name_of: fn(&T) -> &'static str) -> Option<&'static T> {
    let at = table.binary_search_by(|row| name_of(row).as_bytes().cmp(name)).ok()?;
    table.get(at)
}
