//! Where things are: the installation, the runtime directory, the tally.
//!
//! Owns the looking (`stat`, `lstat`) that the rules of `pyzy_core::dirs` ask
//! for. Makes nothing: only launchers and zygotes make directories.

use super::failure::cause;
use super::world::{World, path};
use pyzy_core::dirs::{self, Candidate, Facts, Guard, Unfit};
use std::fmt;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An installed pyzy: everything is found from `PREFIX/lib/pyzy`, where this program is.
pub struct Installation {
    pub lib: PathBuf,
}

impl Installation {
    /// The one that this program belongs to.
    pub fn of(world: &World) -> Result<Installation, Error> {
        let lib = world.exe.as_deref().and_then(Path::parent).ok_or(Error::Nowhere)?;
        Ok(Installation { lib: lib.to_owned() })
    }

    pub fn launcher(&self) -> PathBuf {
        self.lib.join("launcher")
    }

    pub fn library(&self) -> PathBuf {
        self.lib.join("libpyzy_zygote.so")
    }

    /// `PREFIX/shims`, if this program is in `PREFIX/lib/pyzy`.
    pub fn shims(&self) -> Option<PathBuf> {
        let prefix = self.lib.parent()?.parent()?;
        (self.lib == prefix.join("lib/pyzy")).then(|| prefix.join("shims"))
    }

    /// The launcher, which must be there to be linked to.
    pub fn existing_launcher(&self) -> Result<PathBuf, Error> {
        let launcher = self.launcher();
        match std::fs::metadata(&launcher) {
            Ok(m) if m.is_file() => Ok(launcher),
            Ok(_) => Err(Error::NoLauncher(launcher, "it is not a file".into())),
            Err(e) => Err(Error::NoLauncher(launcher, cause(&e))),
        }
    }
}

/// Why something has no place.
#[derive(Debug)]
pub enum Error {
    /// /proc/self/exe cannot be read.
    Nowhere,
    NoLauncher(PathBuf, String),
    /// No base for a runtime directory is fit.
    NoRuntime(Vec<(Candidate, Unfit)>),
    /// The runtime directory itself is not private.
    Unsafe(PathBuf, Unfit),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Nowhere => f.write_str("cannot find the installation: /proc/self/exe cannot be read"),
            Error::NoLauncher(p, why) => write!(f, "cannot find the launcher '{}': {why}", p.display()),
            Error::NoRuntime(tried) => {
                f.write_str("cannot find a place for a private directory: ")?;
                if tried.is_empty() {
                    return f.write_str("HOME is not set to an absolute path");
                }
                for (i, (c, unfit)) in tried.iter().enumerate() {
                    let and = if i == 0 { "" } else { "; " };
                    write!(f, "{and}{}='{}': {unfit}", c.variable, path(&c.base).display())?;
                }
                Ok(())
            }
            Error::Unsafe(p, unfit) => write!(f, "cannot trust '{}': {unfit}", p.display()),
        }
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Nowhere => None,
            Error::NoLauncher(..) => Some("run ./install.sh, then the pyzy in PREFIX/bin".into()),
            // Without HOME there is what the user database says (`man 5 passwd`); a run goes by HOME alone.
            Error::NoRuntime(tried) => Some(match directories::BaseDirs::new() {
                Some(dirs) if tried.is_empty() && dirs.home_dir().is_absolute() => {
                    format!("export HOME='{}'", dirs.home_dir().display())
                }
                _ => "set HOME, or XDG_RUNTIME_DIR, to a directory of your own".into(),
            }),
            Error::Unsafe(p, Unfit::Mode(_)) => Some(format!("chmod 700 '{}'", p.display())),
            Error::Unsafe(p, _) => Some(format!("remove '{}', or have its owner remove it", p.display())),
        }
    }
}

/// The runtime directory.
pub struct Runtime {
    pub dir: PathBuf,
    /// It has been made already.
    pub there: bool,
    /// The variable that names it.
    pub variable: &'static str,
    /// Better candidates, and why they are not used.
    pub skipped: Vec<(Candidate, Unfit)>,
}

/// The runtime directory of this user, checked as the launcher checks it.
pub fn runtime(world: &World) -> Result<Runtime, Error> {
    let mut skipped = Vec::new();
    for candidate in dirs::runtime(&world.entries()) {
        if let Err(unfit) = passes(&candidate, world) {
            skipped.push((candidate, unfit));
            continue;
        }
        let (dir, variable) = (path(&candidate.path), candidate.variable);
        let facts = facts(std::fs::symlink_metadata(&dir));
        return match Guard::Private.check(facts, world.euid) {
            Ok(()) => Ok(Runtime { dir, there: true, variable, skipped }),
            Err(Unfit::Missing) => Ok(Runtime { dir, there: false, variable, skipped }),
            Err(unfit) => Err(Error::Unsafe(dir, unfit)),
        };
    }
    Err(Error::NoRuntime(skipped))
}

/// The tally's path, where the launcher has it: in the cache, else in the runtime directory.
pub fn tally(world: &World) -> Result<PathBuf, Error> {
    match pyzy_launch::place::tally(&world.entries(), false) {
        Some(file) => Ok(path(&file)),
        None => runtime(world).map(|r| r.dir.join(pyzy_core::tally::NAME)),
    }
}

fn passes(candidate: &Candidate, world: &World) -> Result<(), Unfit> {
    let base = path(&candidate.base);
    let metadata = match candidate.guard {
        Guard::Private => std::fs::symlink_metadata(base),
        Guard::Owned | Guard::OwnedIfThere => std::fs::metadata(base),
    };
    // A base that cannot be looked at is not "not there yet".
    if let Err(e) = &metadata
        && e.kind() != ErrorKind::NotFound
    {
        return Err(Unfit::Missing);
    }
    candidate.guard.check(facts(metadata), world.euid)
}

/// What the core wants to know of a directory.
pub fn facts(metadata: std::io::Result<Metadata>) -> Option<Facts> {
    metadata.ok().map(|m| Facts { directory: m.is_dir(), owner: m.uid(), mode: m.mode() & 0o7777 })
}
