//! `.pyzy-shims`: what the names in a directory of shims stand for, and what was there before.
//!
//! Owns the whole file. Lines `NAME<TAB>/real/python` and `#home` are for the
//! launcher; other lines that start with `#` are for `pyzy shims`, which writes
//! them before it changes anything, so that whatever was begun can be finished
//! or taken back.

use super::failure::{Io, io};
use super::world::path;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file's name.
pub const NAME: &str = ".pyzy-shims";
const HOME: &[u8] = b"#home";
const FIRST_LINE: &[u8] = b"pyzy-shims 1";
const ABOUT: &[u8] = b"# made by `pyzy shims`; `pyzy shims DIR --remove` takes it back";

/// What was under a shim's name before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original {
    Nothing,
    /// A link with this target.
    Link(Vec<u8>),
    /// A file, which is in `.pyzy-originals` now.
    File,
}

/// A name that is, or is about to be, a shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shim {
    /// The interpreter that it stands for.
    pub real: PathBuf,
    pub original: Original,
}

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// What the links point to, or the copies are made of.
    pub launcher: PathBuf,
    /// The shims are copies, and this is their installation; links need none.
    pub home: Option<PathBuf>,
    /// We made the directory.
    pub made_directory: bool,
    /// We made the .gitignore in it.
    pub made_gitignore: bool,
    pub shims: BTreeMap<String, Shim>,
}

#[derive(Debug)]
pub enum Error {
    /// Not a file of ours, or of another version.
    Strange(PathBuf),
    /// A path with a line break has no place in a file of lines.
    LineBreak(PathBuf),
    Io(Io),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Strange(p) => write!(f, "cannot read '{}': another version of pyzy wrote it", p.display()),
            Error::LineBreak(p) => write!(f, "cannot note '{}': there is a line break in it", p.display()),
            Error::Io(e) => e.fmt(f),
        }
    }
}

impl Notes {
    /// The file as bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut lines = vec![FIRST_LINE.to_vec(), ABOUT.to_vec()];
        lines.push([b"#launcher\t", escape(self.launcher.as_os_str().as_bytes()).as_slice()].concat());
        if let Some(home) = &self.home {
            lines.push([HOME, b"\t", one_line(home)?].concat());
        }
        if self.made_directory {
            lines.push(b"#made\tdirectory".to_vec());
        }
        if self.made_gitignore {
            lines.push(b"#made\tgitignore".to_vec());
        }
        for (name, shim) in &self.shims {
            let was = match &shim.original {
                Original::Nothing => b"nothing".to_vec(),
                Original::File => b"file".to_vec(),
                Original::Link(target) => [b"link\t", escape(target).as_slice()].concat(),
            };
            lines.push([b"#was\t", name.as_bytes(), b"\t", &was].concat());
        }
        for (name, shim) in &self.shims {
            lines.push([name.as_bytes(), b"\t", one_line(&shim.real)?].concat());
        }
        lines.push(Vec::new());
        Ok(lines.join(&b'\n'))
    }

    /// The notes in these bytes; none if they are not ours. Lines of no known kind are passed over.
    pub fn decode(bytes: &[u8]) -> Option<Notes> {
        let mut lines = bytes.split(|&b| b == b'\n');
        if lines.next() != Some(FIRST_LINE) {
            return None;
        }
        let mut notes = Notes::default();
        let mut was = BTreeMap::new();
        for line in lines {
            let fields: Vec<&[u8]> = line.splitn(4, |&b| b == b'\t').collect();
            match fields[..] {
                [b"#launcher", target] => notes.launcher = path(&unescape(target)),
                [HOME, ref rest @ ..] if !rest.is_empty() => notes.home = Some(path(&line[HOME.len() + 1..])),
                [b"#made", b"directory"] => notes.made_directory = true,
                [b"#made", b"gitignore"] => notes.made_gitignore = true,
                [b"#was", name, b"nothing"] => drop(was.insert(name, Original::Nothing)),
                [b"#was", name, b"file"] => drop(was.insert(name, Original::File)),
                [b"#was", name, b"link", target] => drop(was.insert(name, Original::Link(unescape(target)))),
                [name, ..] if name.starts_with(b"#") || name.contains(&b'/') => {}
                [name, _, ..] => {
                    let real = path(&line[name.len() + 1..]);
                    let name_text = std::str::from_utf8(name).ok()?.to_owned();
                    let original = was.get(name).cloned().unwrap_or(Original::Nothing);
                    notes.shims.insert(name_text, Shim { real, original });
                }
                _ => {}
            }
        }
        Some(notes)
    }

    /// The notes of a directory, if it has any.
    pub fn read(dir: &Path) -> Result<Option<Notes>, Error> {
        let file = dir.join(NAME);
        match std::fs::read(&file) {
            Ok(bytes) => Notes::decode(&bytes).map(Some).ok_or(Error::Strange(file)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::Io(io("read", file)(e))),
        }
    }

    /// Puts the notes in place in one step.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let bytes = self.encode()?;
        let (fresh, file) = (temporary(dir), dir.join(NAME));
        let put = || {
            let mut out = std::fs::File::create_new(&fresh)?;
            out.write_all(&bytes)?;
            out.sync_all()?;
            std::fs::rename(&fresh, &file)
        };
        put().map_err(|e| {
            let _ = std::fs::remove_file(&fresh);
            Error::Io(io("write", &file)(e))
        })
    }
}

const TEMPORARY: &str = ".pyzy-new.";

/// A name for what is about to be renamed into place.
pub fn temporary(dir: &Path) -> PathBuf {
    dir.join(format!("{TEMPORARY}{}", std::process::id()))
}

/// Removes what a run left that was killed between making and renaming.
pub fn sweep_temporaries(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().as_bytes().starts_with(TEMPORARY.as_bytes())) {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// What the launcher reads is not escaped.
fn one_line(path: &Path) -> Result<&[u8], Error> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.contains(&b'\n') { Err(Error::LineBreak(path.to_owned())) } else { Ok(bytes) }
}

/// A link's target may hold any byte but NUL.
fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &b in bytes {
        match b {
            b'\\' => out.extend(b"\\\\"),
            b'\n' => out.extend(b"\\n"),
            b'\t' => out.extend(b"\\t"),
            _ => out.push(b),
        }
    }
    out
}

fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&b) = rest.next() {
        out.push(match b {
            b'\\' => match rest.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(&other) => other,
                None => b'\\',
            },
            b => b,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Notes {
        let shim = |real: &str, original| Shim { real: real.into(), original };
        Notes {
            launcher: "/p q/lib/pyzy/launcher".into(),
            home: Some("/p q/lib\tpyzy".into()),
            made_directory: true,
            made_gitignore: true,
            shims: BTreeMap::from([
                ("python".into(), shim("/usr/bin/python3\t11", Original::Nothing)),
                ("python3".into(), shim("/usr/bin/python3.11", Original::Link(b"a\\\n\t\xff".to_vec()))),
                ("python3.11".into(), shim("/v/.pyzy-originals/python3.11", Original::File)),
            ]),
        }
    }

    #[test]
    fn notes_survive_a_round_trip() {
        let bytes = sample().encode().unwrap();
        assert_eq!(Notes::decode(&bytes), Some(sample()));
        assert_eq!(Notes::decode(&Notes::default().encode().unwrap()), Some(Notes::default()));
    }

    #[test]
    fn the_launcher_finds_its_lines() {
        let bytes = sample().encode().unwrap();
        assert!(bytes.starts_with(b"pyzy-shims 1\n#"));
        assert!(bytes.windows(29).any(|w| w == b"\npython3\t/usr/bin/python3.11\n"));
    }

    #[test]
    fn strange_files_are_refused_and_strange_lines_passed_over() {
        assert_eq!(Notes::decode(b""), None);
        assert_eq!(Notes::decode(b"pyzy-shims 2\n"), None);
        let notes = Notes::decode(b"pyzy-shims 1\n\nx\n#\n#was\t\n#was\tx\n../x\t/y\npython3\t/r").unwrap();
        assert_eq!(notes.shims.len(), 1);
        let bad = Shim { real: "/a\nb".into(), original: Original::Nothing };
        assert!(Notes { shims: BTreeMap::from([("x".into(), bad)]), ..Notes::default() }.encode().is_err());
        assert!(Notes { home: Some("/a\nb".into()), ..Notes::default() }.encode().is_err());
    }
}
