//! The file system as `pyzy_core::locate` wants to see it, through raw system calls.

use alloc::vec::Vec;
use pyzy_core::locate::{Errno, Stat, World};
use pyzy_sys::file;

/// This process's view.
pub struct Real;

fn facts(stat: file::Stat) -> Stat {
    Stat { dev: stat.dev, ino: stat.ino, mode: stat.mode, uid: stat.uid, size: stat.size }
}

impl World for Real {
    fn stat(&self, path: &[u8]) -> Result<Stat, Errno> {
        file::stat(path).map(facts).map_err(|e| e.0)
    }
    fn lstat(&self, path: &[u8]) -> Result<Stat, Errno> {
        file::lstat(path).map(facts).map_err(|e| e.0)
    }
    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        file::readlink(path).map_err(|e| e.0)
    }
    fn read(&self, path: &[u8], max: usize) -> Result<Vec<u8>, Errno> {
        file::read_file(path, max).map_err(|e| e.0)
    }
    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        file::list(path).map_err(|e| e.0)
    }
    fn executable(&self, path: &[u8]) -> Result<(), Errno> {
        file::access(path, pyzy_sys::libc::X_OK).map_err(|e| e.0)
    }
    fn cwd(&self) -> Option<Vec<u8>> {
        file::current_dir().ok()
    }
}
