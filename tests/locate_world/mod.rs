//! The search's world, by std, for the tests that ask real interpreters.
//!
//! The working directory is a value: a test moves about without moving its process.
#![allow(dead_code)]

use std::ffi::{CString, OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pyzy_core::locate::{Errno, Found, Stat, World};

/// The real file system, seen from `cwd`.
pub struct Real {
    pub cwd: PathBuf,
}

impl Real {
    fn path(&self, path: &[u8]) -> PathBuf {
        self.cwd.join(OsStr::from_bytes(path))
    }
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().unwrap_or(5)
}

fn stat(meta: std::fs::Metadata) -> Stat {
    Stat { dev: meta.dev(), ino: meta.ino(), mode: meta.mode(), uid: meta.uid(), size: meta.size() }
}

impl World for Real {
    fn stat(&self, path: &[u8]) -> Result<Stat, Errno> {
        self.path(path).metadata().map(stat).map_err(errno)
    }

    fn lstat(&self, path: &[u8]) -> Result<Stat, Errno> {
        self.path(path).symlink_metadata().map(stat).map_err(errno)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        self.path(path).read_link().map(|p| p.into_os_string().into_vec()).map_err(errno)
    }

    fn read(&self, path: &[u8], max: usize) -> Result<Vec<u8>, Errno> {
        let mut file = std::fs::File::open(self.path(path)).map_err(errno)?;
        let (mut out, mut filled) = (vec![0; max], 0);
        while filled < max {
            match file.read(&mut out[filled..]).map_err(errno)? {
                0 => break,
                n => filled += n,
            }
        }
        out.truncate(filled);
        Ok(out)
    }

    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let entries = std::fs::read_dir(self.path(path)).map_err(errno)?;
        entries.map(|e| e.map(|e| e.file_name().into_vec()).map_err(errno)).collect()
    }

    fn executable(&self, path: &[u8]) -> Result<(), Errno> {
        let path = CString::new(self.path(path).into_os_string().into_vec()).map_err(|_| libc::ENOENT)?;
        // SAFETY: a NUL-terminated path; the call keeps nothing.
        match unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) } {
            0 => Ok(()),
            _ => Err(errno(std::io::Error::last_os_error())),
        }
    }

    fn cwd(&self) -> Option<Vec<u8>> {
        // What the kernel would say: without links.
        self.cwd.canonicalize().ok().map(|p| p.into_os_string().into_vec())
    }
}

/// A directory of a test's own, gone when the test is over.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("pyzy-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a scratch directory");
        Scratch(dir.canonicalize().expect("it is there"))
    }

    /// A directory in it.
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.0.join(name);
        std::fs::create_dir_all(&dir).expect("a directory");
        dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `NAME=value` entries, as execve takes them.
pub type Environ = Vec<Vec<u8>>;

/// Run a file as execve would, and return what it prints.
pub fn run(file: &Path, argv0: &[u8], args: &[&str], cwd: &Path, environ: &[&[u8]]) -> String {
    let mut command = Command::new(file);
    std::os::unix::process::CommandExt::arg0(&mut command, OsStr::from_bytes(argv0));
    command.args(args).current_dir(cwd).env_clear().stdin(Stdio::null());
    for entry in environ {
        let at = entry.iter().position(|&b| b == b'=').expect("an entry has a value");
        command.env(OsStr::from_bytes(&entry[..at]), OsStr::from_bytes(&entry[at + 1..]));
    }
    let output = command.output().expect("it can be started");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Run what was found as the launcher would.
pub fn run_found(found: &Found, args: &[&str], cwd: &Path, environ: &[&[u8]]) -> String {
    let file = PathBuf::from(OsString::from_vec(found.file.clone()));
    run(&file, &found.argv0, args, cwd, &found.environ.apply(environ))
}

/// `$PYENV_ROOT`, or ~/.pyenv.
pub fn pyenv_root() -> Option<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    root.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv"))).filter(|r| r.is_dir())
}

/// The bin directories of pyenv's versions from 3.9 on, oldest first.
pub fn pyenv_versions(root: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(root.join("versions")) else { return Vec::new() };
    let mut found: Vec<(Vec<u32>, String, PathBuf)> = entries
        .filter_map(|e| {
            let name = e.ok()?.file_name().into_string().ok()?;
            let numbers: Vec<u32> = name.split('.').map(|p| p.parse().ok()).collect::<Option<_>>()?;
            let bin = root.join("versions").join(&name).join("bin");
            (numbers >= vec![3, 9] && bin.join("python3").exists()).then_some((numbers, name, bin))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, name, bin)| (name, bin)).collect()
}
