//! `pyzy shims DIR --remove`: gives back what was there.
//!
//! Owns the way back, by the notes alone: it works after the installation is
//! gone. The notes go last, so that a run that was killed can be run again. A
//! name that is no shim any more is somebody's new python and stays.

use super::Report;
use super::failure::{Failure, Io, io};
use super::notes::{self, Notes, Original};
use super::shims::{IGNORE_ALL, ORIGINALS, is_shim, link};
use super::venv::Venv;
use super::world::World;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub fn run(world: &World, dir: &Path) -> Result<Report, Failure> {
    let dir = world.absolute(dir);
    let dir = Venv::at(&dir).map_or(dir, |venv| venv.bin);
    let Some(notes) = Notes::read(&dir)? else {
        return Ok(Report::good(format!("'{}' has no shims\n", dir.display())));
    };
    notes::sweep_temporaries(&dir);
    let mut stayed = Vec::new();
    for (name, shim) in &notes.shims {
        let file = dir.join(name);
        if file.symlink_metadata().is_ok() && !is_shim(world, &file, &notes) {
            if !is_back(&dir, name, &shim.original) {
                stayed.push(name.as_str());
            }
            continue;
        }
        give_back(&dir, name, &shim.original)?;
    }
    tidy(&dir, &notes)?;
    let mut text = format!("'{}' has no shims any more\n", dir.display());
    if !stayed.is_empty() {
        text.push_str(&format!("not a shim, and left alone: {}\n", stayed.join(", ")));
    }
    Ok(Report::good(text))
}

/// Given back already, or never taken; otherwise it is new.
fn is_back(dir: &Path, name: &str, original: &Original) -> bool {
    let file = dir.join(name);
    match original {
        Original::Link(target) => std::fs::read_link(&file).is_ok_and(|t| t.as_os_str().as_bytes() == target),
        Original::File => {
            let aside = dir.join(ORIGINALS).join(name);
            let id = |path: &Path| path.symlink_metadata().map(|m| (m.dev(), m.ino())).ok();
            // Two names of one file: the run that set it aside ended there.
            id(&aside).is_none() || (id(&aside) == id(&file) && std::fs::remove_file(&aside).is_ok())
        }
        Original::Nothing => false,
    }
}

fn give_back(dir: &Path, name: &str, original: &Original) -> Result<(), Io> {
    let file = dir.join(name);
    match original {
        Original::Link(target) => link(dir, name, OsStr::from_bytes(target)),
        Original::File => {
            let aside = dir.join(ORIGINALS).join(name);
            match aside.symlink_metadata() {
                Ok(_) => std::fs::rename(&aside, &file).map_err(io("give back", file)),
                Err(e) => Err(io("give back", file)(e)),
            }
        }
        Original::Nothing if file.symlink_metadata().is_ok() => std::fs::remove_file(&file).map_err(io("remove", file)),
        Original::Nothing => Ok(()),
    }
}

fn tidy(dir: &Path, notes: &Notes) -> Result<(), Io> {
    // What is left in there, or in the directory, is not ours; then it stays.
    let _ = std::fs::remove_dir(dir.join(ORIGINALS));
    let ignore = dir.join(".gitignore");
    if notes.made_gitignore && std::fs::read(&ignore).is_ok_and(|text| text == IGNORE_ALL) {
        let _ = std::fs::remove_file(ignore);
    }
    let file = dir.join(notes::NAME);
    std::fs::remove_file(&file).map_err(io("remove", file))?;
    if notes.made_directory {
        let _ = std::fs::remove_dir(dir);
    }
    Ok(())
}
