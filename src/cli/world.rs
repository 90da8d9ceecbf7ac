//! The world as the command found it: environment, user, directory, its own place.
//!
//! Owns the one look at the process. Everything else gets it passed in, so
//! that tests can pass in another.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What the process inherited.
pub struct World {
    /// `NAME=value`, in the order of the environment.
    pub environ: Vec<Vec<u8>>,
    pub euid: u32,
    /// The working directory; none if it was removed.
    pub cwd: Option<PathBuf>,
    /// The file of this program, links followed.
    pub exe: Option<PathBuf>,
}

impl World {
    /// Looks around.
    pub fn take() -> World {
        let entry = |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        World {
            environ: std::env::vars_os().map(entry).collect(),
            euid: rustix::process::geteuid().as_raw(),
            cwd: std::env::current_dir().ok(),
            exe: std::env::current_exe().ok(),
        }
    }

    /// The environment in the shape that the core takes.
    pub fn entries(&self) -> Vec<&[u8]> {
        self.environ.iter().map(Vec::as_slice).collect()
    }

    /// A variable's value, if it is set and not empty.
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        pyzy_core::vars::get_nonempty(&self.entries(), name).map(OsStr::from_bytes)
    }

    /// A path as it would be written from the root; links are left as they are.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        let joined = self.cwd.as_deref().map_or_else(|| path.to_owned(), |cwd| cwd.join(path));
        // `components` drops `.` and doubled or trailing slashes; `..` stays, for it may follow a link.
        joined.components().collect()
    }
}

/// The path made of these bytes.
pub fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}
