//! CPython's command line: what was typed, and what it means.
//!
//! Owns the decision "a script with options that merely select another
//! zygote" or a named fallback. Does not own the script's existence, the
//! environment (`PYTHON*` variables mean the same as some options) or the route.
//! Follows `config_parse_cmdline` (`Python/initconfig.c`); the options are the
//! tables in `options.rs`, and `tests/cmdline_oracle.rs` asks the interpreters.

mod getopt;
mod options;
mod values;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::reason::Reason;
use getopt::{Found, Getopt};
use options::Meaning;

/// A version of CPython, as far as its command line depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 3 of 3.12.
    pub major: u8,
    /// 12 of 3.12.
    pub minor: u8,
}

/// What was typed, when it is a script run that can be warm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine<'a> {
    /// Everything between the program's name and the script, as typed, a `--` included.
    pub options: &'a [&'a [u8]],
    /// The script, never empty and never `-`.
    pub script: &'a [u8],
    /// Where the script is in argv, 1 or more; `sys.argv` begins there.
    pub script_index: usize,
    /// What the options mean.
    pub settings: Settings<'a>,
}

/// How hash-based `.pyc` files are checked (`_imp.check_hash_based_pycs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashPycs {
    /// As each file says.
    #[default]
    Default,
    /// Against the source, always.
    Always,
    /// Not at all.
    Never,
}

/// What the options mean: `sys.flags` and its like, from the command line alone.
///
/// `debug`, `inspect` and `verbose` are not here: their options are fallbacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings<'a> {
    /// `-b`, `-bb`.
    pub bytes_warning: u8,
    /// `-B`.
    pub dont_write_bytecode: bool,
    /// `-E` or `-I`.
    pub ignore_environment: bool,
    /// `-I`.
    pub isolated: bool,
    /// `-S`.
    pub no_site: bool,
    /// `-s` or `-I`.
    pub no_user_site: bool,
    /// `-O`, `-OO`.
    pub optimize: u8,
    /// `-q`, `-qq`; 3.13 counts no further than 1. As typed when the version is unknown.
    pub quiet: u8,
    /// `-R`: PYTHONHASHSEED is not heeded. `sys.flags.hash_randomization` shows no difference.
    pub randomize_hash: bool,
    /// `-P`, or `-I` from 3.11 on. An unknown version is taken for a new one.
    pub safe_path: bool,
    /// `-u`.
    pub unbuffered: bool,
    /// `-X dev`.
    pub dev_mode: bool,
    /// `-X utf8[=0|1]`; without it PYTHONUTF8 and the locale decide.
    pub utf8_mode: Option<bool>,
    /// `-X warn_default_encoding`.
    pub warn_default_encoding: bool,
    /// `--check-hash-based-pycs`.
    pub check_hash_based_pycs: HashPycs,
    /// `sys.warnoptions`: `-W`, and what `-X dev` and `-b` add to it.
    pub warnoptions: Vec<&'a [u8]>,
    /// Every `-X` value in the order typed.
    pub xoptions: Vec<&'a [u8]>,
}

impl<'a> Settings<'a> {
    /// The value of an `-X` key, empty when it has none. The first one typed
    /// counts (`_Py_get_xoption`), although `sys._xoptions` shows the last.
    pub fn xoption(&self, key: &str) -> Option<&'a [u8]> {
        self.xoptions.iter().find_map(|typed| match values::split_key(typed) {
            (k, value) if k == key.as_bytes() => Some(value.unwrap_or_default()),
            _ => None,
        })
    }
}

/// Read a command line as CPython does. Without a version, an option that any
/// supported version accepts is accepted: an interpreter that does not know it
/// refuses to start as a zygote, too.
pub fn parse<'a>(argv: &'a [&'a [u8]], version: Option<Version>) -> Result<CommandLine<'a>, Reason> {
    if argv.is_empty() {
        return Err(Reason::NoArguments);
    }
    let mut words = Getopt::new(argv, version);
    let mut settings = Settings::default();
    while let Some(found) = words.option()? {
        apply(&mut settings, found, version)?;
    }
    let script_index = words.index();
    let script = match argv.get(script_index) {
        None => return Err(Reason::Repl),
        Some(&b"-") => return Err(Reason::StdinScript),
        // CPython makes it absolute first, so that it names the working directory.
        Some(&b"") => return Err(Reason::ScriptNotRegular),
        Some(script) => script,
    };
    conclude(&mut settings, version);
    Ok(CommandLine { options: &argv[1..script_index], script, script_index, settings })
}

/// One option as typed. What depends on others is left to `conclude`.
fn apply<'a>(settings: &mut Settings<'a>, found: Found<'a>, version: Option<Version>) -> Result<(), Reason> {
    match found.row.meaning {
        Meaning::BytesWarning => count(&mut settings.bytes_warning)?,
        Meaning::DontWriteBytecode => settings.dont_write_bytecode = true,
        Meaning::IgnoreEnvironment => settings.ignore_environment = true,
        Meaning::Isolated => settings.isolated = true,
        Meaning::NoSite => settings.no_site = true,
        Meaning::NoUserSite => settings.no_user_site = true,
        Meaning::Optimize => count(&mut settings.optimize)?,
        Meaning::Quiet => count(&mut settings.quiet)?,
        Meaning::RandomizeHash => settings.randomize_hash = true,
        Meaning::SafePath => settings.safe_path = true,
        Meaning::Unbuffered => settings.unbuffered = true,
        Meaning::HashPycs => settings.check_hash_based_pycs = values::hash_pycs(found.value)?,
        Meaning::Warning => {
            values::check_warning(found.value, version)?;
            add_once(&mut settings.warnoptions, found.value);
        }
        Meaning::Extra => {
            values::check_extra(found.value, version)?;
            settings.xoptions.push(found.value);
        }
        Meaning::Fallback(reason) => return Err(reason),
    }
    Ok(())
}

/// `-O`, `-b` and `-q` can be repeated. Beyond 2, sys.flags counts on, and
/// importlib looks for `.opt-3.pyc`: nobody's habit, and nothing to be sure of.
fn count(counter: &mut u8) -> Result<(), Reason> {
    if *counter >= 2 {
        return Err(Reason::OptionMalformed);
    }
    *counter += 1;
    Ok(())
}

/// What options imply for each other (`_PyConfig_Read`, `config_init_warnoptions`).
fn conclude(settings: &mut Settings<'_>, version: Option<Version>) {
    if settings.isolated {
        settings.ignore_environment = true;
        settings.no_user_site = true;
        // `-P` came with 3.11, and `-I` implies it since.
        settings.safe_path |= version.is_none_or(|v| v >= Version { major: 3, minor: 11 });
    }
    if version.is_some_and(|v| v >= Version { major: 3, minor: 13 }) {
        settings.quiet = settings.quiet.min(1);
    }
    settings.dev_mode = settings.xoption("dev").is_some();
    settings.utf8_mode = settings.xoption("utf8").map(|value| value != b"0");
    settings.warn_default_encoding = settings.xoption("warn_default_encoding").is_some();
    if settings.dev_mode {
        settings.warnoptions.retain(|w| *w != b"default");
        settings.warnoptions.insert(0, b"default");
    }
    match settings.bytes_warning {
        0 => {}
        1 => add_once(&mut settings.warnoptions, b"default::BytesWarning"),
        _ => add_once(&mut settings.warnoptions, b"error::BytesWarning"),
    }
}

/// `warnoptions_append`: the second of two equal values is dropped.
fn add_once<'a>(list: &mut Vec<&'a [u8]>, value: &'a [u8]) {
    if !list.contains(&value) {
        list.push(value);
    }
}
