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

/// The launcher that is running, installed or not. The path that was executed leads to an installed one by links;
/// where it does not, the kernel is asked: the first `/proc/self` of a process takes as long as a dozen other files.
pub fn running(executed: Option<&[u8]>) -> Vec<u8> {
    const LINKS: usize = 8;
    let mut at = executed.unwrap_or_default().to_vec();
    for _ in 0..LINKS {
        if !at.starts_with(b"/") {
            break;
        }
        let slash = at.iter().rposition(|&b| b == b'/').unwrap_or(0);
        if &at[slash + 1..] == LAUNCHER {
            if file::access(&[&at[..slash], b"/", LIBRARY].concat(), libc::F_OK).is_ok() {
                return at;
            }
            break;
        }
        let Ok(target) = file::readlink(&at) else { break };
        at = if target.starts_with(b"/") { target } else { [&at[..=slash], &target].concat() };
    }
    launcher(file::readlink(b"/proc/self/exe").unwrap_or_default())
}

/// The installed launcher that stands for `executable`, the file that is running: mostly itself.
fn launcher(executable: Vec<u8>) -> Vec<u8> {
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
