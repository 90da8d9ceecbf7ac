//! The real interpreters: where they are, and what they say of a command line.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pyzy_core::cmdline::Version;

/// Prints a line per fact: a name, then numbers, or bytes as `x` and hex digits.
/// Imports only what is built in: it must run with `-S` and `-I`.
pub const PROBE: &str = "\
import sys, _imp, faulthandler
def show(s): return 'x' + s.encode(sys.getfilesystemencoding(), 'surrogateescape').hex()
def put(name, values): print(name, *map(show, values))
for name in dir(sys.flags):
    value = getattr(sys.flags, name)
    if name[0] != '_' and isinstance(value, int): print(name, int(value))
print('unbuffered', int(sys.stdout.write_through))
print('faulthandler', int(faulthandler.is_enabled()))
print('frozen', int(_imp.is_frozen('os')))
if hasattr(show.__code__, 'co_positions'):
    print('ranges', int(any(p[2] for p in show.__code__.co_positions())))
if hasattr(sys, '_get_cpu_count_config'): print('cpu_count', sys._get_cpu_count_config())
put('hash_pycs', [_imp.check_hash_based_pycs])
put('pycache_prefix', [sys.pycache_prefix] if sys.pycache_prefix is not None else [])
put('argv', sys.argv)
put('orig_argv', getattr(sys, 'orig_argv', []))
put('warnoptions', sys.warnoptions)
put('xoptions', [k if v is True else k + '=' + v for k, v in sys._xoptions.items()])
print('end 1')
";

pub struct Interpreter {
    pub path: PathBuf,
    pub version: Version,
}

/// Every supported interpreter of pyenv and the system's own.
pub fn find() -> Vec<Interpreter> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let root = std::env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join("versions"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/python3")))
        .collect();
    paths.push("/usr/bin/python3".into());
    paths.sort();
    let found: Vec<Interpreter> = paths.into_iter().filter_map(ask).collect();
    for minor in 9..=14 {
        if !found.iter().any(|python| python.version.minor == minor) {
            println!("skipped: no interpreter of version 3.{minor}");
        }
    }
    found
}

/// The interpreter at a path, if it is one of 3.9 to 3.14.
fn ask(path: PathBuf) -> Option<Interpreter> {
    let output = Command::new(&path)
        .args(["-ISc", "import sys; print(*sys.version_info[:2])"])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().split_once(' ')?;
    let version = Version { major: major.parse().ok()?, minor: minor.parse().ok()? };
    (version.major == 3 && (9..=14).contains(&version.minor)).then_some(Interpreter { path, version })
}

/// How a command line went.
pub struct Run {
    /// What the probe printed, if it ran to its end and the interpreter to success.
    pub report: Option<Report>,
    /// Standard error.
    pub complaint: String,
}

impl Interpreter {
    /// Run a command line that should name a probe as its script.
    pub fn run(&self, directory: &Path, words: &[&[u8]]) -> Result<Run, String> {
        let output = Command::new(&self.path)
            .args(words.iter().map(|w| OsStr::from_bytes(w)))
            .env_clear()
            .env("HOME", directory)
            .env("LANG", "C.UTF-8")
            .current_dir(directory)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        let report = Report::read(&String::from_utf8_lossy(&output.stdout));
        let ran = output.status.success() && report.flag("end").is_ok();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Run { report: ran.then_some(report), complaint })
    }
}

/// What the probe printed.
pub struct Report {
    facts: HashMap<String, Vec<Vec<u8>>>,
}

impl Report {
    fn read(text: &str) -> Report {
        let fact = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Some((words.next()?, words.map(|w| from_hex(&w)).collect()))
        };
        Report { facts: text.lines().filter_map(fact).collect() }
    }

    /// A number, by name.
    pub fn flag(&self, name: &str) -> Result<i64, String> {
        let values = self.list(name)?;
        let first = values.first().and_then(|v| std::str::from_utf8(v).ok());
        first.and_then(|text| text.parse().ok()).ok_or_else(|| format!("{name} is no number: {values:?}"))
    }

    /// Bytes, by name.
    pub fn list(&self, name: &str) -> Result<Vec<&[u8]>, String> {
        let values = self.facts.get(name).ok_or_else(|| format!("the interpreter said nothing of {name}"))?;
        Ok(values.iter().map(Vec::as_slice).collect())
    }
}

/// `x6162` is `ab`; what has no `x` stands for itself.
fn from_hex(word: &str) -> Vec<u8> {
    match word.strip_prefix('x') {
        None => word.as_bytes().to_vec(),
        Some(hex) => {
            hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) * 16 + pair.get(1).map_or(0, |&b| digit(b))).collect()
        }
    }
}

fn digit(b: u8) -> u8 {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok()).expect("a hex digit")
}
