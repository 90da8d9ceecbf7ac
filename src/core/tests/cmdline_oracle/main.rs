//! The command line, compared with the interpreters on this machine.
//!
//! Thousands of generated lines (one seed, so always the same ones) and a list
//! of corner cases. Whatever we call a script run must be one, silently, with
//! the flags we say it has. `PYZY_ORACLE_LINES` sets the number of lines.

mod generate;
mod interpreters;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use generate::{Dice, Line};
use interpreters::{Interpreter, Report};
use pyzy_core::cmdline::{CommandLine, HashPycs, Settings, Version, parse};
use pyzy_core::reason::Reason;

const SEED: u64 = 0x7079_7a79;
const DEFAULT_LINES: usize = 2400;

#[test]
fn generated_lines_mean_what_the_interpreters_say() {
    let wanted = std::env::var("PYZY_ORACLE_LINES").ok().and_then(|n| n.parse().ok()).unwrap_or(DEFAULT_LINES);
    let pythons = interpreters::find();
    if pythons.is_empty() {
        return println!("skipped: no interpreter found");
    }
    let room = Room::new("generated");
    let mut dice = Dice::new(SEED);
    let lines: Vec<Line> = (0..wanted).map(|_| generate::line(&mut dice)).collect();
    let jobs: Vec<Job> =
        lines.iter().enumerate().map(|(i, line)| Job { python: &pythons[i % pythons.len()], line }).collect();
    let tally = check_all(&room, &jobs);
    println!("{tally:?}");
    // A parser that refused everything would pass otherwise.
    assert!(tally.warm * 100 > jobs.len() * 40, "only {} of {} lines were warm", tally.warm, jobs.len());
    assert!(tally.blind > 0 && tally.cold > 0);
}

#[test]
fn corner_cases_mean_what_every_interpreter_says() {
    let pythons = interpreters::find();
    let room = Room::new("corners");
    let lines = generate::corners();
    let jobs: Vec<Job> = pythons.iter().flat_map(|python| lines.iter().map(move |line| Job { python, line })).collect();
    let tally = check_all(&room, &jobs);
    println!("{tally:?}");
}

struct Job<'a> {
    python: &'a Interpreter,
    line: &'a Line,
}

/// How the lines fared.
#[derive(Debug, Default)]
struct Tally {
    /// Warm for the interpreter's version, and compared.
    warm: usize,
    /// Warm only without a version, and compared or refused by the interpreter.
    blind: usize,
    /// A fallback either way: nothing to compare.
    cold: usize,
}

/// Two interpreters at a time: the machine's cores, but not all of a large one.
fn check_all(room: &Room, jobs: &[Job<'_>]) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let next = AtomicUsize::new(0);
    let (tally, failures) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match check(room, job) {
                        Ok(Kind::Warm) => tally.lock().unwrap().warm += 1,
                        Ok(Kind::Blind) => tally.lock().unwrap().blind += 1,
                        Ok(Kind::Cold) => tally.lock().unwrap().cold += 1,
                        Err(unequal) => failures.lock().unwrap().push(format!(
                            "{} {:?}: {unequal}",
                            job.python.path.display(),
                            shown(&job.line.words)
                        )),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let first = failures.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {} lines are unequal:\n{first}", failures.len(), jobs.len());
    tally.into_inner().unwrap()
}

enum Kind {
    Warm,
    Blind,
    Cold,
}

/// Parse with and without the version, run the real one if either is warm, compare.
fn check(room: &Room, job: &Job<'_>) -> Result<Kind, String> {
    let python = job.python;
    let mut argv: Vec<&[u8]> = vec![python.path.as_os_str().as_bytes()];
    argv.extend(job.line.words.iter().map(Vec::as_slice));
    match (parse(&argv, Some(python.version)), parse(&argv, None)) {
        (Ok(line), blind) => {
            agree(&line, &blind)?;
            let run = python.run(&room.path, &argv[1..])?;
            let Some(report) = run.report else {
                return if room.lacks(line.script, &run.complaint) { Ok(Kind::Warm) } else { Err(run.complaint) };
            };
            want("standard error", &"", &run.complaint.as_str())?;
            compare(&argv, &line, &report, python.version)?;
            Ok(Kind::Warm)
        }
        // An interpreter that does not have the option starts no zygote, or ignores the key.
        (Err(Reason::OptionUnknown), Ok(line)) => {
            let run = python.run(&room.path, &argv[1..])?;
            if let Some(report) = run.report {
                want("standard error", &"", &run.complaint.as_str())?;
                compare(&argv, &line, &report, python.version)?;
            }
            Ok(Kind::Blind)
        }
        (Err(reason), Ok(_)) => Err(format!("warm without a version, but {reason} with it")),
        (Err(_), Err(_)) => Ok(Kind::Cold),
    }
}

/// The parse without a version must see the same script in the same place.
fn agree(line: &CommandLine<'_>, blind: &Result<CommandLine<'_>, Reason>) -> Result<(), String> {
    match blind {
        Ok(blind) => {
            let same =
                Settings { quiet: line.settings.quiet, safe_path: line.settings.safe_path, ..blind.settings.clone() };
            want("the script", &blind.script_index, &line.script_index)?;
            want("the settings without a version", &same, &line.settings)
        }
        // 3.9 complains about the category and runs the script.
        Err(Reason::OptionMalformed) if line.settings.warnoptions.iter().any(|w| contains(w, b":EncodingWarning")) => {
            Ok(())
        }
        Err(reason) => Err(format!("warm with the version, but {reason} without")),
    }
}

/// Everything the interpreter says against what we say.
fn compare(argv: &[&[u8]], line: &CommandLine<'_>, real: &Report, version: Version) -> Result<(), String> {
    let s = &line.settings;
    let has = |minor| version.minor >= minor;
    for (name, ours) in [
        ("bytes_warning", s.bytes_warning.into()),
        ("debug", 0),
        ("dev_mode", s.dev_mode.into()),
        ("dont_write_bytecode", s.dont_write_bytecode.into()),
        ("hash_randomization", 1),
        ("ignore_environment", s.ignore_environment.into()),
        ("inspect", 0),
        ("interactive", 0),
        ("isolated", s.isolated.into()),
        ("no_site", s.no_site.into()),
        ("no_user_site", s.no_user_site.into()),
        ("optimize", s.optimize.into()),
        ("quiet", if has(13) { s.quiet.min(1).into() } else { s.quiet.into() }),
        ("utf8_mode", i64::from(s.utf8_mode == Some(true))),
        ("verbose", 0),
    ] {
        want(name, &ours, &real.flag(name)?)?;
    }
    if has(10) {
        want("warn_default_encoding", &i64::from(s.warn_default_encoding), &real.flag("warn_default_encoding")?)?;
        want("sys.orig_argv", &argv.to_vec(), &real.list("orig_argv")?)?;
    }
    if has(11) {
        want("safe_path", &i64::from(s.safe_path), &real.flag("safe_path")?)?;
        let frozen = s.xoption("frozen_modules") != Some(b"off");
        want("frozen modules", &i64::from(frozen), &real.flag("frozen")?)?;
        want("debug ranges", &i64::from(s.xoption("no_debug_ranges").is_none()), &real.flag("ranges")?)?;
    }
    if let Some(digits) = s.xoption("int_max_str_digits") {
        want("int_max_str_digits", &number(digits), &real.flag("int_max_str_digits")?)?;
    }
    if has(13) {
        let count = s.xoption("cpu_count").filter(|n| *n != b"default").map_or(-1, number);
        want("cpu_count", &count, &real.flag("cpu_count")?)?;
    }
    want("unbuffered", &i64::from(s.unbuffered), &real.flag("unbuffered")?)?;
    let faulthandler = s.dev_mode || s.xoption("faulthandler").is_some();
    want("faulthandler", &i64::from(faulthandler), &real.flag("faulthandler")?)?;
    let pycs: &[u8] = match s.check_hash_based_pycs {
        HashPycs::Default => b"default",
        HashPycs::Always => b"always",
        HashPycs::Never => b"never",
    };
    want("check_hash_based_pycs", &vec![pycs], &real.list("hash_pycs")?)?;
    let prefix: Vec<&[u8]> = s.xoption("pycache_prefix").into_iter().collect();
    want("sys.pycache_prefix", &prefix, &real.list("pycache_prefix")?)?;
    want("sys.argv", &argv[line.script_index..].to_vec(), &real.list("argv")?)?;
    want("sys.warnoptions", &s.warnoptions, &real.list("warnoptions")?)?;
    want("sys._xoptions", &as_dict(&s.xoptions), &real.list("xoptions")?)
}

/// `sys._xoptions`: keys where they first came, values as they last were.
fn as_dict<'a>(xoptions: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let key = |typed: &'a [u8]| typed.split(|&b| b == b'=').next();
    let mut dict: Vec<&[u8]> = Vec::new();
    for &typed in xoptions {
        match dict.iter_mut().find(|had| key(had) == key(typed)) {
            Some(had) => *had = typed,
            None => dict.push(typed),
        }
    }
    dict
}

fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

fn want<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, theirs: &T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: ours {ours:?}, theirs {theirs:?}")) }
}

fn shown(words: &[Vec<u8>]) -> Vec<&OsStr> {
    words.iter().map(|w| OsStr::from_bytes(w)).collect()
}

/// A directory with the scripts that the lines name; gone when dropped.
struct Room {
    path: PathBuf,
}

impl Room {
    fn new(name: &str) -> Room {
        let path = std::env::temp_dir().join(format!("pyzy-oracle-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for script in generate::SCRIPTS.iter().chain(generate::ARGUMENTS).filter(|name| !name.is_empty()) {
            std::fs::write(path.join(OsStr::from_bytes(script)), interpreters::PROBE).unwrap();
        }
        Room { path }
    }

    /// Is there no such script, and is that what the interpreter says of this very name?
    /// (A rare `--` makes the next option's word the script.)
    fn lacks(&self, script: &[u8], complaint: &str) -> bool {
        let path = self.path.join(OsStr::from_bytes(script));
        !path.exists() && complaint.contains(&format!("can't open file '{}'", path.display()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
