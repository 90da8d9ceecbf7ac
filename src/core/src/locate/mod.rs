//! Finding the real interpreter: the CPython that would have run had pyzy not been there.
//!
//! Owns the search (variable, pins, venv, PATH, pyenv), the guard against loops, and what
//! to exec: the file, its `argv[0]`, its environment. Sees the world through [`World`] only
//! and changes nothing. Does not decide whether a command line can run warm; it only says
//! whether *this interpreter* may be accelerated.

mod candidate;
mod change;
mod error;
mod guard;
mod path_search;
mod paths;
mod pyenv;
mod shim;
mod shims_file;
mod venv;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_pyenv;

use alloc::vec::Vec;

use crate::reason::Reason;

pub use change::EnvironChange;
pub use error::LocateError;

/// The text that the launcher carries in its first 64 KiB, so that another copy of it is recognised.
pub const MARKER: &[u8] = b"pyzy-launcher-marker";

/// An error number of the kernel.
pub type Errno = i32;

/// `man 3 errno`, the few that the search tells apart.
pub(crate) const ENOENT: Errno = 2;
pub(crate) const EACCES: Errno = 13;

/// What `stat` and `lstat` say about a file, as far as the search asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The device that holds the file.
    pub dev: u64,
    /// The inode on that device.
    pub ino: u64,
    /// Type and permissions, `st_mode`.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// Bytes.
    pub size: u64,
}

impl Stat {
    const TYPE: u32 = 0o170_000;

    /// A regular file?
    pub fn is_file(&self) -> bool {
        self.mode & Self::TYPE == 0o100_000
    }

    /// A directory?
    pub fn is_dir(&self) -> bool {
        self.mode & Self::TYPE == 0o040_000
    }

    /// Device and inode: the same pair is the same file.
    pub fn id(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }
}

/// The file system, as the caller of `python3` sees it. Relative paths are relative to the working directory.
pub trait World {
    /// `stat`: follows links.
    fn stat(&self, path: &[u8]) -> Result<Stat, Errno>;
    /// `lstat`: does not follow a last link.
    fn lstat(&self, path: &[u8]) -> Result<Stat, Errno>;
    /// `readlink`: what a link holds.
    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>, Errno>;
    /// The first `max` bytes of a file, or all of a shorter one.
    fn read(&self, path: &[u8], max: usize) -> Result<Vec<u8>, Errno>;
    /// The names in a directory, without `.` and `..`, in any order.
    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Errno>;
    /// `faccessat(X_OK, AT_EACCESS)`: may we execute the file, or search the directory?
    fn executable(&self, path: &[u8]) -> Result<(), Errno>;
    /// The working directory; `None` when it has been deleted or is out of reach.
    fn cwd(&self) -> Option<Vec<u8>>;
}

/// How we were called.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `argv[0]`.
    pub argv0: &'a [u8],
    /// The rest of `argv`: a hook of pyenv's looks for `-m pip` in it.
    pub args: &'a [&'a [u8]],
    /// The environment, `NAME=value` each.
    pub environ: &'a [&'a [u8]],
    /// `AT_EXECFN`: the path given to execve, which may be relative. For a `#!` script it is the script.
    pub exec_path: Option<&'a [u8]>,
    /// Device and inode of the launcher's own file.
    pub own: (u64, u64),
}

/// The real interpreter, and how to exec it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What to execve.
    pub file: Vec<u8>,
    /// `argv[0]` to exec it with: CPython computes `sys.executable` and `sys.prefix` from it.
    pub argv0: Vec<u8>,
    /// What `sys.orig_argv[0]`, ps and /proc/self/cmdline would show without us.
    pub orig_argv0: Vec<u8>,
    /// What the environment would have become on the way, relative to the caller's.
    pub environ: EnvironChange,
    /// May this interpreter be accelerated?
    pub warm: Result<(), Reason>,
    /// Where it comes from.
    pub how: How,
}

/// Where the interpreter comes from, for `pyzy why`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// PYZY_PYTHON names it.
    PyzyPython,
    /// `.pyzy-shims` beside the shim names it.
    Pinned,
    /// The shim is the python of a venv, whose pyvenv.cfg names it.
    Venv,
    /// The first on PATH that is not us.
    Path,
    /// pyenv's shim stands on PATH, and this is what it would have run.
    Pyenv {
        /// The version that pyenv selects: a name, `system`, or several with colons between.
        version: Vec<u8>,
    },
    /// pyenv's shim stands on PATH and has to decide by itself.
    PyenvShim {
        /// What is unclear.
        why: &'static str,
    },
    /// A script or another tool's shim stands on PATH.
    Wrapper,
}

impl core::fmt::Display for How {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            How::PyzyPython => f.write_str("named by PYZY_PYTHON"),
            How::Pinned => f.write_str("named by .pyzy-shims beside the shim"),
            How::Venv => f.write_str("named by the venv's pyvenv.cfg"),
            How::Path => f.write_str("first on PATH"),
            How::Pyenv { version } => {
                write!(f, "pyenv's version {}", alloc::string::String::from_utf8_lossy(version))
            }
            How::PyenvShim { why } => write!(f, "pyenv's shim decides: {why}"),
            How::Wrapper => f.write_str("a script or another tool's shim on PATH"),
        }
    }
}

/// Is this a launcher: the file with this device and inode, or another copy of it?
pub fn is_ours<W: World>(world: &W, own: (u64, u64), path: &[u8]) -> bool {
    candidate::is_us(world, own, path)
}

/// The installation that the copies of the launcher in `dir` belong to, by the `.pyzy-shims` there.
pub fn home_of_copies<W: World>(world: &W, dir: &[u8]) -> Option<Vec<u8>> {
    shims_file::home(world, dir)
}

/// Find the real interpreter: PYZY_PYTHON, then what is written beside our shim, then PATH.
pub fn locate<W: World>(world: &W, call: &Call<'_>) -> Result<Found, LocateError> {
    let guard = guard::Guard::read(world, call.environ);
    let me = shim::identify(world, call);
    let mut search = path_search::Search::new(world, call, &guard, &me);
    if let Some(found) = search.by_variable()? {
        return Ok(found);
    }
    if let Some(path) = &me.path
        && let Some(found) = search.beside(path, &me.name)?
    {
        return Ok(found);
    }
    let name = me.search_name();
    match search.along_path(name)? {
        Some(found) => Ok(found),
        None => Err(search.nothing(name)),
    }
}
