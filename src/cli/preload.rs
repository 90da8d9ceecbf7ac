//! `pyzy preload`: what the project at hand keeps warm.
//!
//! Owns showing and changing `[tool.pyzy] preload` of the nearest `pyproject.toml`, by
//! rename, so that a reader sees the old or the new one, and under a lock, so that no change is lost to another. What the
//! table may say is `crate::project`'s.

use super::args::Change;
use super::failure::{Failure, io};
use super::json::Json;
use super::world::{self, World};
use super::{Report, notes, show};
use crate::project::{self, Document};
use pyzy_launch::project as nearest;
use rustix::fs::{FlockOperation, OFlags, flock};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub enum Error {
    /// There is no file in this directory or above it.
    NoProject(PathBuf),
    NoDirectory,
    /// Nothing that a run would read.
    NoFile(PathBuf),
    TooLarge(PathBuf),
    /// A name that is no UTF-8.
    Name(OsString),
    Word(project::Error),
    File(PathBuf, project::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoProject(dir) => write!(f, "there is no pyproject.toml in '{}' or above it", dir.display()),
            Error::NoDirectory => f.write_str("the working directory is gone"),
            Error::NoFile(path) => write!(f, "'{}' is not a regular file", path.display()),
            Error::TooLarge(path) => write!(f, "'{}' is larger than {} KiB", path.display(), nearest::LARGEST / 1024),
            Error::Name(name) => write!(f, "'{}' is not the name of a module", show::text(name.as_bytes())),
            Error::Word(error) => error.fmt(f),
            Error::File(path, error) => write!(f, "'{}': {error}", path.display()),
        }
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NoProject(_) => Some("make one, it may be empty: `touch pyproject.toml`".into()),
            Error::Name(_) | Error::Word(_) => Some("names are `stdlib`, or modules as `import` takes them".into()),
            Error::NoFile(_) | Error::TooLarge(_) | Error::File(..) => {
                Some("nothing was changed; nothing of it is kept warm until it is put right".into())
            }
            Error::NoDirectory => None,
        }
    }
}

pub fn run(world: &World, json: bool, change: Change, names: &[OsString]) -> Result<Report, Failure> {
    let names = names.iter().map(|name| name.to_str().map(str::to_owned).ok_or_else(|| Error::Name(name.clone())));
    let names = names.collect::<Result<Vec<String>, _>>()?;
    for name in &names {
        project::check(name).map_err(Error::Word)?;
    }
    let path = file(world)?;
    let (bytes, _lock) = read(&path, !matches!(change, Change::None))?;
    let wrong = |error| Error::File(path.clone(), error);
    let mut document = Document::parse(&bytes).map_err(wrong)?;
    let (verb, changed) = match change {
        Change::None => return Ok(show_list(json, &path, &document.preload().map_err(wrong)?)),
        Change::Add => ("added", document.add(&names).map_err(wrong)?),
        Change::Remove => ("removed", document.remove(&names).map_err(wrong)?),
    };
    if changed.is_empty() {
        return Ok(Report::good(format!("'{}' is as it was\n", path.display())));
    }
    let text = document.text();
    if text.len() > nearest::LARGEST {
        return Err(Error::TooLarge(path).into());
    }
    replace(&path, text.as_bytes())?;
    Ok(Report::good(format!("{verb} {} in '{}'\n", changed.join(", "), path.display())))
}

fn show_list(json: bool, path: &Path, list: &[String]) -> Report {
    if json {
        let words = list.iter().map(Json::text).collect();
        let file = Json::text(path.as_os_str().as_bytes());
        return Report::good(Json::Object(vec![("file", file), ("preload", Json::List(words))]).render());
    }
    Report::good(list.iter().map(|word| show::text(word.as_bytes()) + "\n").collect::<String>())
}

fn file(world: &World) -> Result<PathBuf, Error> {
    let cwd = world.cwd.as_deref().ok_or(Error::NoDirectory)?;
    let found = nearest::find(cwd.as_os_str().as_bytes());
    found.map(|path| world::path(&path)).ok_or_else(|| Error::NoProject(cwd.to_owned()))
}

/// What is in it, and with `lock` nobody else changes it until the file is dropped.
fn read(path: &Path, lock: bool) -> Result<(Vec<u8>, File), Failure> {
    // O_NONBLOCK: a fifo in its place must not keep us waiting.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    loop {
        let file = File::options().read(true).custom_flags(flags).open(path).map_err(io("read", path))?;
        let facts = file.metadata().map_err(io("read", path))?;
        if !facts.is_file() {
            return Err(Error::NoFile(path.to_owned()).into());
        }
        if facts.len() > nearest::LARGEST as u64 {
            return Err(Error::TooLarge(path.to_owned()).into());
        }
        // A file system without locks has none for anybody.
        if lock && flock(&file, FlockOperation::LockExclusive).is_ok() {
            let now = std::fs::metadata(path).map_err(io("read", path))?;
            if (now.dev(), now.ino()) != (facts.dev(), facts.ino()) {
                // Somebody has replaced it while we waited.
                continue;
            }
        }
        // It may have grown since.
        let mut bytes = Vec::new();
        (&file).take(nearest::LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
        if bytes.len() > nearest::LARGEST {
            return Err(Error::TooLarge(path.to_owned()).into());
        }
        return Ok((bytes, file));
    }
}

/// The file behind links gets this content, and keeps its permissions.
fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let path = std::fs::canonicalize(path).map_err(io("read", path))?;
    let fresh = notes::temporary(path.parent().unwrap_or(Path::new("/")));
    let permissions = std::fs::metadata(&path).map_err(io("read", &path))?.permissions();
    let made = File::create_new(&fresh).and_then(|mut file| {
        file.write_all(content)?;
        file.set_permissions(permissions)?;
        file.sync_all()
    });
    made.and_then(|()| std::fs::rename(&fresh, &path)).map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        io("write", &path)(error)
    })?;
    Ok(())
}
