//! Which installation a launcher belongs to.
//!
//! Owns the answer for a launcher that is not where it was installed. In a venv
//! the shims are copies, because CPython 3.11 and later resolve a link there and
//! take its end for the base interpreter (`Modules/getpath.py`); the
//! `.pyzy-shims` beside them names the installation. Without one a launcher
//! belongs to nobody, and only finds the real interpreter.

use crate::plan::LIBRARY;
use crate::world::Real;
use alloc::vec::Vec;
use pyzy_core::locate;
use pyzy_sys::{file, libc};

/// The launcher's name in an installation.
pub const LAUNCHER: &[u8] = b"launcher";

/// The installed launcher that stands for `executable`, the file that is running: mostly itself.
pub fn launcher(executable: Vec<u8>) -> Vec<u8> {
    let slash = executable.iter().rposition(|&b| b == b'/').unwrap_or(0);
    let (dir, name) = (&executable[..slash], executable.get(slash + 1..).unwrap_or(&[]));
    let installed = name == LAUNCHER && file::access(&[dir, b"/", LIBRARY].concat(), libc::F_OK).is_ok();
    if installed {
        return executable;
    }
    match locate::home_of_copies(&Real, dir) {
        Some(home) => [&home, &b"/"[..], LAUNCHER].concat(),
        None => executable,
    }
}
