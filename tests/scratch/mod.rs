//! A place for one test: a home, a runtime directory and an installation of its own.
//!
//! Owns the making and the removal. Children get exactly the environment given
//! here; the test's own is never changed.
#![allow(dead_code)] // each test file uses its part

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Scratch {
    pub root: PathBuf,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Done {
    /// Standard output of a run that went well.
    #[track_caller]
    pub fn good(self) -> String {
        assert!(self.code == Some(0) && self.err.is_empty(), "{self:?}");
        self.out
    }

    /// Standard error of a run that failed with this code.
    #[track_caller]
    pub fn bad(self, code: i32) -> String {
        assert!(self.code == Some(code) && self.out.is_empty(), "{self:?}");
        assert!(self.err.starts_with("pyzy: "), "{self:?}");
        self.err
    }
}

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("scratch {}.{number}", std::process::id());
        let scratch = Scratch { root: Path::new(env!("CARGO_TARGET_TMPDIR")).join(name) };
        let _ = std::fs::remove_dir_all(&scratch.root);
        for dir in ["home", "run", "run/pyzy", "prefix/lib/pyzy", "prefix/bin", "prefix/shims"] {
            let path = scratch.root.join(dir);
            std::fs::DirBuilder::new().mode(0o700).recursive(true).create(path).unwrap();
        }
        let lib = scratch.root.join("prefix/lib/pyzy");
        copy(Path::new(env!("CARGO_BIN_EXE_pyzy")), &lib.join("pyzy"));
        match built() {
            Some([launcher, library]) => {
                copy(&launcher, &lib.join("launcher"));
                copy(&library, &lib.join("libpyzy_zygote.so"));
            }
            None => scratch.put("prefix/lib/pyzy/launcher", "#!/bin/sh\nexit 99\n", 0o755),
        }
        for name in ["python", "python3"] {
            let link = scratch.root.join("prefix/shims").join(name);
            std::os::unix::fs::symlink("../lib/pyzy/launcher", link).unwrap();
        }
        std::os::unix::fs::symlink("../lib/pyzy/pyzy", scratch.root.join("prefix/bin/pyzy")).unwrap();
        scratch
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file in the runtime directory.
    pub fn runtime(&self, name: &str) -> PathBuf {
        self.root.join("run/pyzy").join(name)
    }

    pub fn put(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Any program, in this home.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("PATH", plain_path())
            .current_dir(&self.root);
        command
    }

    /// The installed command.
    pub fn pyzy(&self, args: &[&str]) -> Command {
        let mut command = self.command(self.path("prefix/lib/pyzy/pyzy"));
        command.args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Done {
        self.pyzy(args).output().unwrap().into()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Zygotes that a test started behind its back; they would leave by themselves, later.
        let _ = self.pyzy(&["stop"]).output();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).unwrap();
    }
}

/// Launcher and library, if they have been built beside this test's `pyzy`.
pub fn built() -> Option<[PathBuf; 2]> {
    let here = Path::new(env!("CARGO_BIN_EXE_pyzy")).parent()?;
    let target = here.parent()?;
    let launcher = target.join("launcher/pyzy-launcher");
    let libraries = [target.join("release/libpyzy_zygote.so"), here.join("libpyzy_zygote.so")];
    // The three belong to one build: the newer library is the one that this `pyzy` knows.
    let built = |library: &PathBuf| library.metadata().and_then(|m| m.modified()).ok();
    let library = libraries.into_iter().filter(|l| l.is_file()).max_by_key(built)?;
    launcher.is_file().then_some([launcher, library])
}

/// PATH with the first real python3 of this machine in front and no shim of pyenv's or ours.
pub fn plain_path() -> OsString {
    let first = interpreters().into_iter().next().expect("a python3 on this machine");
    let mut dirs = vec![first.parent().unwrap().to_owned()];
    dirs.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from));
    std::env::join_paths(dirs).unwrap()
}

/// The interpreters of this machine: the distribution's and pyenv's.
pub fn interpreters() -> Vec<PathBuf> {
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let versions = pyenv.and_then(|p| std::fs::read_dir(p.join("versions")).ok());
    let mut found: Vec<PathBuf> =
        versions.into_iter().flatten().flatten().map(|e| e.path().join("bin/python3")).collect();
    found.sort();
    found.insert(0, "/usr/bin/python3".into());
    found.retain(|p| p.is_file());
    found
}

/// Does the machine have this program? If not, says so.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !there {
        eprintln!("skipped: {program} is not installed");
    }
    there
}

/// Parses JSON with Python, and evaluates an expression on it, `d`.
pub fn json(scratch: &Scratch, document: &str, expression: &str) -> String {
    let program = format!("import json, os, sys\nd = json.loads(sys.argv[1])\nprint({expression})");
    let done: Done = scratch.command("python3").args(["-c", &program, document]).output().unwrap().into();
    done.good().trim_end().to_owned()
}
