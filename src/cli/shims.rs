//! `pyzy shims DIR`: fills a directory with the names of one interpreter.
//!
//! Owns the order of a change, for plain directories and venvs alike: the notes
//! first, then what is moved aside, then the shims, each by a rename: links in a
//! plain directory, copies of the launcher in a venv. A run that was killed is
//! finished by running it again. A file that is neither a shim nor a venv's own
//! python is never touched.

use super::failure::{Failure, Io, io};
use super::interpreter::{self, Interpreter};
use super::notes::{self, Notes, Original, Shim};
use super::place::Installation;
use super::venv::{self, Venv};
use super::world::World;
use super::{Report, show};
use std::ffi::OsStr;
use std::fmt;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where a venv's copied binaries go, in its bin.
pub const ORIGINALS: &str = ".pyzy-originals";
/// What keeps a directory of shims out of a repository.
pub const IGNORE_ALL: &[u8] = b"*\n";

#[derive(Debug)]
pub enum Error {
    /// Names in the directory that are taken.
    Taken(PathBuf, Vec<String>),
    /// A venv has the interpreter that it has.
    VenvPython(PathBuf),
    /// A venv's bin without a python in it.
    NoVenvPython(PathBuf),
    /// A name in a venv that leads nowhere.
    Dangling(PathBuf),
    /// A name in a venv that is a script or a directory.
    NotBinary(PathBuf),
    /// Something there cannot be what it is for us: not a directory.
    NotDirectory(PathBuf),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Taken(dir, names) => {
                write!(f, "cannot put shims into '{}': there is already a {}", dir.display(), names.join(", a "))
            }
            Error::VenvPython(dir) => write!(f, "cannot give '{}' another python: it is a venv", dir.display()),
            Error::NoVenvPython(dir) => write!(f, "cannot find a python in the venv's '{}'", dir.display()),
            Error::Dangling(p) => write!(f, "cannot replace '{}': it leads nowhere", p.display()),
            Error::NotBinary(p) => write!(f, "cannot replace '{}': it is not an interpreter", p.display()),
            Error::NotDirectory(p) => write!(f, "cannot put shims into '{}': not a directory", p.display()),
        }
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Taken(..) => Some("choose a directory of its own, as `pyzy shims .pyzy`".into()),
            Error::VenvPython(_) => Some("leave out --python, or make the venv with the other interpreter".into()),
            Error::NoVenvPython(_) | Error::Dangling(_) => {
                Some("repair it with `python3 -m venv --upgrade`, or make it anew".into())
            }
            Error::NotBinary(_) | Error::NotDirectory(_) => None,
        }
    }
}

pub fn run(world: &World, dir: &Path, python: Option<&OsStr>) -> Result<Report, Failure> {
    let launcher = Installation::of(world)?.existing_launcher()?;
    let dir = world.absolute(dir);
    if let Some(venv) = Venv::at(&dir) {
        if python.is_some() {
            return Err(Error::VenvPython(dir).into());
        }
        let notes = venv::plan(world, &venv, launcher)?;
        carry_out(world, &venv.bin, &notes)?;
        return Ok(Report::good(said(&venv.bin, &notes, "the venv's own python is")));
    }
    let interpreter = interpreter::find(world, python)?;
    let (notes, obsolete) = plan(world, &dir, launcher, &interpreter)?;
    if notes.made_gitignore {
        put(&dir.join(".gitignore"), IGNORE_ALL)?;
    }
    carry_out(world, &dir, &notes)?;
    for name in obsolete {
        let _ = std::fs::remove_file(dir.join(name));
    }
    let mut text = said(&dir, &notes, "they stand for");
    text.push_str(&format!("to use them: eval \"$(pyzy env {})\"\n", shell_word(&dir)));
    Ok(Report::good(text))
}

/// A path as one would type it; `pyzy env` is typed in any shell.
fn shell_word(dir: &Path) -> String {
    let text = dir.display().to_string();
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+,@%".contains(&b));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn said(dir: &Path, notes: &Notes, verb: &str) -> String {
    let names: Vec<&str> = notes.shims.keys().map(String::as_str).collect();
    let real = notes.shims.get("python3").or(notes.shims.values().next());
    let real = real.map_or(String::new(), |s| show::text(s.real.as_os_str().as_bytes()));
    format!("'{}' has the shims {}; {verb} {real}\n", dir.display(), names.join(", "))
}

/// The notes for a plain directory, which is made; and names of an earlier interpreter.
fn plan(
    world: &World,
    dir: &Path,
    launcher: PathBuf,
    interpreter: &Interpreter,
) -> Result<(Notes, Vec<String>), Failure> {
    let made = make_directory(dir)?;
    let old = Notes::read(dir)?.unwrap_or_default();
    let names = interpreter.names();
    let taken = |name: &&String| {
        let file = dir.join(name);
        file.symlink_metadata().is_ok() && !is_shim(world, &file, &old)
    };
    let taken: Vec<String> = names.iter().filter(taken).cloned().collect();
    if !taken.is_empty() {
        return Err(Error::Taken(dir.to_owned(), taken).into());
    }
    let shim = Shim { real: interpreter.executable.clone(), original: Original::Nothing };
    let ignorable = made || old.made_directory;
    let notes = Notes {
        launcher,
        home: None,
        made_directory: ignorable,
        made_gitignore: old.made_gitignore || (ignorable && dir.join(".gitignore").symlink_metadata().is_err()),
        shims: names.iter().map(|n| (n.clone(), shim.clone())).collect(),
    };
    let gone = |name: &&String| !names.contains(name) && is_shim(world, &dir.join(name), &old);
    let obsolete = old.shims.keys().filter(gone).cloned().collect();
    Ok((notes, obsolete))
}

/// Is this a link or a copy that `pyzy shims` made, now or earlier, from here or from another prefix?
pub fn is_shim(world: &World, file: &Path, notes: &Notes) -> bool {
    std::fs::read_link(file).is_ok_and(|target| target == notes.launcher) || interpreter::is_ours(world, file)
}

fn make_directory(dir: &Path) -> Result<bool, Failure> {
    match std::fs::metadata(dir) {
        Ok(m) if m.is_dir() => return Ok(false),
        Ok(_) => return Err(Error::NotDirectory(dir.to_owned()).into()),
        Err(_) => {}
    }
    std::fs::create_dir_all(dir).map_err(io("make", dir))?;
    Ok(true)
}

/// Makes it so. The notes say all that is needed to go on from any point.
fn carry_out(world: &World, dir: &Path, notes: &Notes) -> Result<(), Failure> {
    notes::sweep_temporaries(dir);
    notes.write(dir)?;
    for (name, shim) in &notes.shims {
        // A copy of ours must not take the original's place there.
        if shim.original == Original::File && !is_shim(world, &dir.join(name), notes) {
            set_aside(dir, name)?;
        }
    }
    if notes.home.is_some() {
        return Ok(copies(dir, notes)?);
    }
    for name in notes.shims.keys() {
        link(dir, name, notes.launcher.as_os_str())?;
    }
    Ok(())
}

/// Puts copies of the launcher in place: one file with many names, where the file system has such.
fn copies(dir: &Path, notes: &Notes) -> Result<(), Io> {
    let launcher = std::fs::read(&notes.launcher).map_err(io("read", &notes.launcher))?;
    let fresh = notes::temporary(dir);
    let mut first: Option<PathBuf> = None;
    for name in notes.shims.keys() {
        let file = dir.join(name);
        if !is_copy(&file, &launcher) {
            let _ = std::fs::remove_file(&fresh);
            let linked = first.as_deref().is_some_and(|first| std::fs::hard_link(first, &fresh).is_ok());
            let made = if linked { Ok(()) } else { write_program(&fresh, &launcher) };
            made.and_then(|()| std::fs::rename(&fresh, &file)).map_err(|e| {
                let _ = std::fs::remove_file(&fresh);
                io("replace", &file)(e)
            })?;
        }
        first.get_or_insert(file);
    }
    Ok(())
}

fn is_copy(file: &Path, launcher: &[u8]) -> bool {
    let plain = file.symlink_metadata().is_ok_and(|m| m.is_file() && m.mode() & 0o111 == 0o111);
    plain && std::fs::read(file).is_ok_and(|content| content == launcher)
}

fn write_program(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut out = std::fs::File::create_new(file)?;
    out.write_all(content)?;
    out.set_permissions(Permissions::from_mode(0o755))?;
    out.sync_all()
}

/// Gives a copied binary a second name; the first is taken away by the rename of its shim.
fn set_aside(dir: &Path, name: &str) -> Result<(), Io> {
    let (file, aside) = (dir.join(name), dir.join(ORIGINALS).join(name));
    if !file.symlink_metadata().is_ok_and(|m| m.is_file()) {
        return Ok(());
    }
    std::fs::create_dir_all(dir.join(ORIGINALS)).map_err(io("make", dir.join(ORIGINALS)))?;
    let fresh = notes::temporary(&dir.join(ORIGINALS));
    let _ = std::fs::remove_file(&fresh);
    std::fs::hard_link(&file, &fresh).map_err(io("move aside", &file))?;
    std::fs::rename(&fresh, &aside).map_err(io("move aside", &file))?;
    // A rename of one link over another of the same file does nothing (`man 2 rename`).
    let _ = std::fs::remove_file(&fresh);
    Ok(())
}

/// Puts a link in place in one step, so that the name is never missing.
pub fn link(dir: &Path, name: &str, target: &OsStr) -> Result<(), Io> {
    let (fresh, file) = (notes::temporary(dir), dir.join(name));
    if std::fs::read_link(&file).is_ok_and(|t| t.as_os_str() == target) {
        return Ok(());
    }
    let _ = std::fs::remove_file(&fresh);
    std::os::unix::fs::symlink(target, &fresh).map_err(io("make", &file))?;
    std::fs::rename(&fresh, &file).map_err(|e| {
        let _ = std::fs::remove_file(&fresh);
        io("replace", &file)(e)
    })
}

fn put(file: &Path, bytes: &[u8]) -> Result<(), Io> {
    std::fs::write(file, bytes).map_err(io("write", file))
}
