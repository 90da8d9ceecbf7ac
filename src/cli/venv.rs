//! A venv whose own python names become shims.
//!
//! Owns the recognition of a venv and what each of its names stands for: the
//! base interpreter at the end of the links, since the launcher runs that file
//! with the shim's path as `argv[0]`, from which CPython finds pyvenv.cfg
//! (`Modules/getpath.py`). A binary copied by `--copies` stands for itself,
//! from `.pyzy-originals`. Changes nothing.

use super::failure::Failure;
use super::interpreter;
use super::notes::{Notes, Original, Shim};
use super::shims::{Error, ORIGINALS, is_shim};
use super::world::World;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A venv.
pub struct Venv {
    pub bin: PathBuf,
}

impl Venv {
    /// The venv that this directory is the root or the bin of.
    pub fn at(dir: &Path) -> Option<Venv> {
        let has_config = |d: &Path| d.join("pyvenv.cfg").is_file();
        if has_config(dir) {
            // getpath also takes a pyvenv.cfg beside the binary; then there is no bin.
            let bin = dir.join("bin");
            return Some(Venv { bin: if bin.is_dir() { bin } else { dir.to_owned() } });
        }
        let is_bin = dir.file_name() == Some(OsStr::new("bin")) && dir.parent().is_some_and(has_config);
        is_bin.then(|| Venv { bin: dir.to_owned() })
    }
}

/// The notes for a venv: names that are shims keep their notes, others are looked at.
pub fn plan(world: &World, venv: &Venv, launcher: PathBuf) -> Result<Notes, Failure> {
    let bin = &venv.bin;
    let old = Notes::read(bin)?.unwrap_or_default();
    // Copies, not links: CPython 3.11 and later would take the end of a link for the base interpreter.
    let home = launcher.parent().map(Path::to_owned);
    let mut notes = Notes { launcher, home, ..old.clone() };
    notes.shims.clear();
    for name in names(bin, &old)? {
        if let Some(shim) = look(world, bin, &name, &old)? {
            notes.shims.insert(name, shim);
        }
    }
    if notes.shims.is_empty() {
        return Err(Error::NoVenvPython(bin.clone()).into());
    }
    Ok(notes)
}

/// `python`, `python3` and every `python3.X` that is there: a venv has one.
fn names(bin: &Path, old: &Notes) -> Result<Vec<String>, Failure> {
    let entries = std::fs::read_dir(bin).map_err(super::failure::io("read", bin))?;
    let there = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<String> = there.chain(old.shims.keys().cloned()).filter(|n| is_name(n)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn is_name(name: &str) -> bool {
    match name.strip_prefix("python") {
        Some("" | "3") => true,
        Some(rest) => {
            rest.strip_prefix("3.").is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()))
        }
        None => false,
    }
}

fn look(world: &World, bin: &Path, name: &str, old: &Notes) -> Result<Option<Shim>, Failure> {
    let file = bin.join(name);
    let Ok(metadata) = file.symlink_metadata() else {
        return Ok(None);
    };
    if is_shim_itself(world, &file, old) {
        let kept = old.shims.get(name).cloned();
        return Ok(Some(match kept {
            Some(shim) => shim,
            None if is_elf(&bin.join(ORIGINALS).join(name)) => {
                Shim { real: bin.join(ORIGINALS).join(name), original: Original::File }
            }
            // Ours without a note: its notes were deleted, or the venv was made by a shim. pyvenv.cfg knows.
            None => {
                let real = interpreter::behind(world, &file)?;
                Shim { original: Original::Link(real.as_os_str().as_bytes().to_vec()), real }
            }
        }));
    }
    if metadata.is_symlink() {
        let target = std::fs::read_link(&file).map_err(super::failure::io("read", &file))?;
        let original = Original::Link(target.as_os_str().as_bytes().to_vec());
        // A neighbour may be a shim already, if an earlier run was killed half-way: then the note is right.
        if let Some(noted) = old.shims.get(name).filter(|s| s.original == original) {
            return Ok(Some(noted.clone()));
        }
        let real = end_of(world, bin, &file)?;
        return Ok(Some(Shim { real, original }));
    }
    if !is_elf(&file) {
        return Err(Error::NotBinary(file).into());
    }
    Ok(Some(Shim { real: bin.join(ORIGINALS).join(name), original: Original::File }))
}

/// A copy of a launcher, or a link straight to one: `python3 -> python` is none, even when `python` is.
fn is_shim_itself(world: &World, file: &Path, old: &Notes) -> bool {
    let straight = std::fs::read_link(file).map_or(true, |t| t.is_absolute() || t.components().count() > 1);
    straight && is_shim(world, file, old)
}

/// The file at the end of a link; if that is a binary of this bin, where it will be.
fn end_of(world: &World, bin: &Path, file: &Path) -> Result<PathBuf, Failure> {
    let end = std::fs::canonicalize(file).map_err(|_| Error::Dangling(file.to_owned()))?;
    if interpreter::is_ours(world, &end) {
        return Ok(interpreter::behind(world, file)?);
    }
    let here = std::fs::canonicalize(bin).unwrap_or_else(|_| bin.to_owned());
    match (end.parent() == Some(&here), end.file_name().and_then(OsStr::to_str)) {
        (true, Some(name)) if is_name(name) => Ok(bin.join(ORIGINALS).join(name)),
        _ if is_elf(&end) => Ok(end),
        _ => Err(Error::NotBinary(file.to_owned()).into()),
    }
}

fn is_elf(file: &Path) -> bool {
    let mut head = [0; 4];
    let read = std::fs::File::open(file).and_then(|mut f| f.read_exact(&mut head));
    read.is_ok() && head == *b"\x7fELF" && file.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_venvs_python() {
        assert!(["python", "python3", "python3.9", "python3.14"].iter().all(|n| is_name(n)));
        assert!(["python2", "python3.", "python3.12-config", "python3.1x", "pip"].iter().all(|n| !is_name(n)));
    }
}
