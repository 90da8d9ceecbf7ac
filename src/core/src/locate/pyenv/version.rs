//! Which versions pyenv means: PYENV_VERSION, the version files, `system`, and prefixes like `3.11`.

use alloc::vec::Vec;

use super::{Unclear, stock, text};
use crate::locate::{ENOENT, World, paths};
use crate::vars;

/// A longer version file is not read by us. pyenv-version-file-read cuts lines at 1024 bytes.
const MAX_FILE: usize = 1000;

/// One of the versions that pyenv-version-name prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// `system`: what PATH has without pyenv.
    System,
    /// A directory in `versions/`.
    Installed(Vec<u8>),
    /// A name of which there is nothing in `versions/`: `pyenv exec` passes it over and says nothing.
    Missing(Vec<u8>),
}

impl Selected {
    fn name(&self) -> &[u8] {
        match self {
            Selected::System => SYSTEM,
            Selected::Installed(name) | Selected::Missing(name) => name,
        }
    }
}

const SYSTEM: &[u8] = b"system";

/// As pyenv-version-name prints them.
pub fn names(selected: &[Selected]) -> Vec<u8> {
    let names: Vec<&[u8]> = selected.iter().map(Selected::name).collect();
    names.join(&b':')
}

/// The versions in their order, as pyenv-version-name and pyenv-which arrive at them; at least one.
pub fn select<W: World>(
    world: &W,
    environ: &[&[u8]],
    root: &[u8],
    install: &[u8],
    dir: &[u8],
    pwd: &[u8],
) -> Result<Vec<Selected>, Unclear> {
    let wanted = match vars::get_nonempty(environ, "PYENV_VERSION") {
        Some(versions) => versions.to_vec(),
        None => from_file(world, &version_file(world, root, dir, pwd))?,
    };
    let one = |name: &[u8]| match name {
        SYSTEM => Ok(Selected::System),
        name if text::is_plain_version(name) => installed(world, root, install, name.to_vec()),
        _ => Err(Unclear("the version's name is not plain")),
    };
    wanted.split(|&b| b == b':').map(one).collect()
}

/// pyenv-version-file: `.python-version` from PYENV_DIR upward, from the working directory upward, or the global one.
fn version_file<W: World>(world: &W, root: &[u8], dir: &[u8], pwd: &[u8]) -> Vec<u8> {
    local_file(world, dir)
        .or_else(|| if dir == pwd { None } else { local_file(world, pwd) })
        .unwrap_or_else(|| paths::join(root, b"version"))
}

fn local_file<W: World>(world: &W, from: &[u8]) -> Option<Vec<u8>> {
    let mut dir = from;
    let mut path = Vec::with_capacity(from.len() + 16);
    loop {
        paths::join_into(&mut path, dir, b".python-version");
        if world.stat(&path).is_ok_and(|s| s.is_file()) {
            return Some(path);
        }
        if dir == b"/" {
            return None;
        }
        dir = paths::parent(dir);
    }
}

/// pyenv-version-file-read: the first word of each line that is neither empty nor a comment, with colons between.
/// pyenv-version-name takes no word at all, and no file, for `system`.
fn from_file<W: World>(world: &W, file: &[u8]) -> Result<Vec<u8>, Unclear> {
    let text = match world.read(file, MAX_FILE + 1) {
        Ok(text) => text,
        Err(ENOENT) => return Ok(SYSTEM.to_vec()),
        Err(_) => return Err(Unclear("the version file cannot be read")),
    };
    if text.len() > MAX_FILE || !text.iter().all(|&b| b.is_ascii_graphic() || b" \t\r\n".contains(&b)) {
        return Err(Unclear("the version file is not plain"));
    }
    let words: Vec<&[u8]> = text.split(|&b| b == b'\n').filter_map(first_word).collect();
    Ok(if words.is_empty() { SYSTEM.to_vec() } else { words.join(&b':') })
}

/// `read -r version _` with IFS blank, tab and carriage return: only the first two are dropped in front.
fn first_word(line: &[u8]) -> Option<&[u8]> {
    let start = line.iter().position(|&b| b != b' ' && b != b'\t')?;
    let line = &line[start..];
    let end = line.iter().position(|&b| b" \t\r".contains(&b)).unwrap_or(line.len());
    Some(&line[..end]).filter(|word| !word.is_empty() && !word.starts_with(b"#"))
}

/// pyenv-version-name: installed under that very name, without `python-` in front, or the latest with that prefix.
fn installed<W: World>(world: &W, root: &[u8], install: &[u8], wanted: Vec<u8>) -> Result<Selected, Unclear> {
    let versions = [root, b"/versions"].concat();
    let is_dir = |name: &[u8]| world.stat(&paths::join(&versions, name)).is_ok_and(|s| s.is_dir());
    if is_dir(&wanted) {
        return Ok(Selected::Installed(wanted));
    }
    let short = wanted.strip_prefix(b"python-").unwrap_or(&wanted);
    if short == SYSTEM || !text::is_plain_version(short) {
        return Err(Unclear("the version's name is not plain"));
    }
    if short.len() != wanted.len() && is_dir(short) {
        return Ok(Selected::Installed(short.to_vec()));
    }
    stock::check_prefix_scripts(world, install)?;
    let mut names = stock::list(world, &versions)?;
    // `python-3.11` itself is tried as a prefix first.
    if short.len() != wanted.len() && names.iter().any(|n| n.starts_with(threaded_stem(&wanted))) {
        return Err(Unclear("the version is a prefix of unusual names"));
    }
    if !names.iter().any(|n| n.starts_with(threaded_stem(short))) {
        return Ok(Selected::Missing(short.to_vec()));
    }
    names.retain(|n| is_dir(n));
    latest(&names, short).map(Selected::Installed)
}

/// pyenv-latest looks for `3.13t` among the names that begin with `3.13`.
fn threaded_stem(prefix: &[u8]) -> &[u8] {
    prefix.strip_suffix(b"t").filter(|stem| stem.last().is_some_and(u8::is_ascii_digit)).unwrap_or(prefix)
}

/// pyenv-latest, for prefixes `3` and `3.11` and releases `3.11.7`; whatever is not the one or the other is unclear.
fn latest(names: &[Vec<u8>], prefix: &[u8]) -> Result<Vec<u8>, Unclear> {
    if !matches!(numbers(prefix).as_deref(), Some([_] | [_, _])) {
        return Err(Unclear("the version is not installed"));
    }
    let mut best: Option<(Vec<u32>, &Vec<u8>)> = None;
    for name in names {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        if !rest.starts_with(b".") && !rest.starts_with(b"-") {
            continue;
        }
        if is_unreleased(name) {
            continue;
        }
        let release = numbers(name).filter(|n| n.len() == 3);
        let release = release.ok_or(Unclear("the version is a prefix of unusual names"))?;
        if best.as_ref().is_none_or(|(b, _)| *b < release) {
            best = Some((release, name));
        }
    }
    best.map(|(_, name)| name.clone()).ok_or(Unclear("the version is not installed"))
}

/// What pyenv-latest drops: `-dev`, `-src`, `-latest`, `3.13.0rc1`, and free-threaded `3.13.0t`.
fn is_unreleased(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let stem = &name[..name.len() - digits];
    let pre = digits > 0 && (stem.ends_with(b"a") || stem.ends_with(b"b") || stem.ends_with(b"rc"));
    let threaded = threaded_stem(name).len() != name.len();
    pre || threaded || [&b"-dev"[..], b"-src", b"-latest"].iter().any(|tail| name.ends_with(tail))
}

/// `3.11.7` as numbers, each written as numbers are.
fn numbers(text: &[u8]) -> Option<Vec<u32>> {
    let number = |part: &[u8]| {
        let plain = part == b"0" || (part.len() < 6 && part.first().is_some_and(|&b| b != b'0' && b != b'+'));
        if plain { core::str::from_utf8(part).ok()?.parse().ok() } else { None }
    };
    text.split(|&b| b == b'.').map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words() {
        assert_eq!(first_word(b" \t3.11.7 3.12.1"), Some(&b"3.11.7"[..]));
        assert_eq!(first_word(b"3.11.7\r"), Some(&b"3.11.7"[..]));
        assert_eq!(first_word(b"\r3.11"), None);
        assert_eq!(first_word(b""), None);
        assert_eq!(first_word(b"  "), None);
        assert_eq!(first_word(b"# 3.11"), None);
        assert_eq!(first_word(b"3.11#x"), Some(&b"3.11#x"[..]));
    }

    #[test]
    fn names_of_what_is_selected() {
        let installed = |name: &[u8]| Selected::Installed(name.to_vec());
        assert_eq!(names(&[Selected::System]), b"system");
        assert_eq!(
            names(&[installed(b"3.12.1"), Selected::System, Selected::Missing(b"9".to_vec())]),
            b"3.12.1:system:9"
        );
        assert_eq!(threaded_stem(b"3.13t"), b"3.13");
        assert_eq!(threaded_stem(b"t"), b"t");
        assert_eq!(threaded_stem(b"latest"), b"latest");
    }

    #[test]
    fn prefixes() {
        let names: Vec<Vec<u8>> =
            ["2.7.18", "3.9.18", "3.11.7", "3.11.10", "3.11-dev", "3.13.0rc1", "3.13.0t", "3.110.1", "pypy3.9-7"]
                .iter()
                .map(|n| n.as_bytes().to_vec())
                .collect();
        assert_eq!(latest(&names, b"3.11").unwrap(), b"3.11.10");
        assert_eq!(latest(&names, b"3").unwrap(), b"3.110.1");
        assert_eq!(latest(&names, b"2").unwrap(), b"2.7.18");
        for unclear in [&b"3.13"[..], b"3.1", b"3.11.1", b"3.", b"pypy3.9", b"3.13t", b"", b"03"] {
            assert!(latest(&names, unclear).is_err(), "{unclear:?}");
        }
        assert!(latest(&[b"3.11.7".to_vec(), b"3.11.7-foo".to_vec()], b"3.11").is_err());
        assert!(latest(&[b"3.11.7".to_vec(), b"3.11.7.1".to_vec()], b"3.11").is_err());
        assert!(latest(&[b"3.11.7".to_vec(), b"3.11.07".to_vec()], b"3.11").is_err());
    }
}
