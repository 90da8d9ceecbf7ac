//! `pyzy env`: shell code that puts shims first on PATH, once.
//!
//! Owns the code for POSIX shells and for fish, and the guess which is meant.
//! The code works on the PATH of the shell that reads it, so that it may also
//! be written into a start-up file; it is one line, because fish's
//! `eval (pyzy env)` joins lines with blanks.

use super::args::Shell;
use super::failure::Failure;
use super::place::{self, Installation};
use super::venv::Venv;
use super::world::World;
use super::{Report, interpreter};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub enum Error {
    /// This program is not in `PREFIX/lib/pyzy`.
    NotInstalled,
    /// PATH has no way to say a colon.
    Colon(PathBuf),
    NoShims(PathBuf),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotInstalled => f.write_str("cannot find the shims: this pyzy is not installed"),
            Error::Colon(dir) => write!(f, "cannot put '{}' on PATH: there is a colon in it", dir.display()),
            Error::NoShims(dir) => write!(f, "cannot find shims in '{}'", dir.display()),
        }
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NotInstalled => Some("run ./install.sh, then the pyzy in PREFIX/bin".into()),
            Error::Colon(_) => None,
            Error::NoShims(dir) => Some(format!("make them: pyzy shims '{}'", dir.display())),
        }
    }
}

pub fn run(world: &World, dir: Option<&Path>, shell: Option<Shell>) -> Result<Report, Failure> {
    let dir = match dir {
        None => shims_of_installation(world)?,
        Some(dir) => {
            let dir = world.absolute(dir);
            Venv::at(&dir).map_or(dir, |venv| venv.bin)
        }
    };
    if !interpreter::is_ours(world, &dir.join("python3")) {
        return Err(Error::NoShims(dir).into());
    }
    let bytes = dir.as_os_str().as_bytes();
    if bytes.contains(&b':') {
        return Err(Error::Colon(dir).into());
    }
    Ok(Report::good(match shell.or_else(|| guess(world)).unwrap_or(Shell::Posix) {
        Shell::Posix => posix(bytes),
        Shell::Fish => fish(bytes),
    }))
}

fn shims_of_installation(world: &World) -> Result<PathBuf, Failure> {
    Ok(Installation::of(world).map_err(|_: place::Error| Error::NotInstalled)?.shims().ok_or(Error::NotInstalled)?)
}

/// The shell that called us, else the login shell.
fn guess(world: &World) -> Option<Shell> {
    let parent = std::fs::read(format!("/proc/{}/comm", std::os::unix::process::parent_id())).ok();
    let called = parent.and_then(|name| Shell::named(OsStr::from_bytes(name.trim_ascii())));
    called.or_else(|| Shell::named(Path::new(world.var("SHELL")?).file_name()?))
}

/// Takes the directory out wherever it is and puts it in front. Works in sh, dash, bash, ksh and zsh, with `set -eu`;
/// empty elements, which mean the working directory, stay what they are.
fn posix(dir: &[u8]) -> Vec<u8> {
    let head = b"_pyzy_dir=";
    let tail = b"; _pyzy_path=:${PATH-}:; \
        while case $_pyzy_path in *:\"$_pyzy_dir\":*) true;; *) false;; esac; do \
        _pyzy_path=${_pyzy_path%%:\"$_pyzy_dir\":*}:${_pyzy_path#*:\"$_pyzy_dir\":}; done; \
        _pyzy_path=${_pyzy_path#:}; _pyzy_path=${_pyzy_path%:}; \
        PATH=$_pyzy_dir${_pyzy_path:+:$_pyzy_path}; export PATH; unset _pyzy_dir _pyzy_path\n";
    [head.as_slice(), &quote(dir, b"'\\''", b"\\"), tail].concat()
}

fn fish(dir: &[u8]) -> Vec<u8> {
    let dir = quote(dir, b"\\'", b"\\\\");
    [
        b"begin; set -l pyzy_path; for d in $PATH; test \"$d\" = ".as_slice(),
        &dir,
        b"; or set -a pyzy_path \"$d\"; end; set -gx PATH ",
        &dir,
        b" $pyzy_path; end\n",
    ]
    .concat()
}

/// In single quotes, with these texts for a quote and a backslash.
fn quote(bytes: &[u8], for_quote: &[u8], for_backslash: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for b in bytes {
        match b {
            b'\'' => out.extend(for_quote),
            b'\\' => out.extend(for_backslash),
            _ => out.push(*b),
        }
    }
    out.push(b'\'');
    out
}
