//! Which version pyenv means: PYENV_VERSION, the version files, and prefixes like `3.11`.

use alloc::vec::Vec;

use super::{Unclear, stock, text};
use crate::locate::{World, paths};
use crate::vars;

/// A longer version file is not read by us. pyenv-version-file-read cuts lines at 1024 bytes.
const MAX_FILE: usize = 1000;

/// The directory in `versions/` that pyenv-version-name and pyenv-which arrive at.
pub fn select<W: World>(
    world: &W,
    environ: &[&[u8]],
    root: &[u8],
    install: &[u8],
    dir: &[u8],
    pwd: &[u8],
) -> Result<Vec<u8>, Unclear> {
    let wanted = match vars::get_nonempty(environ, "PYENV_VERSION") {
        Some(version) => version.to_vec(),
        None => from_file(world, &version_file(world, root, dir, pwd))?,
    };
    if wanted == b"system" {
        return Err(Unclear("the version is `system`"));
    }
    if wanted.contains(&b':') {
        return Err(Unclear("several versions are selected"));
    }
    if !text::is_plain_version(&wanted) {
        return Err(Unclear("the version's name is not plain"));
    }
    installed(world, root, install, wanted)
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

/// pyenv-version-file-read: the first word of each line that is neither empty nor a comment; one is what we want.
fn from_file<W: World>(world: &W, file: &[u8]) -> Result<Vec<u8>, Unclear> {
    let text = match world.read(file, MAX_FILE + 1) {
        Ok(text) if !text.is_empty() => text,
        // An empty or missing file means the system's python.
        _ => return Err(Unclear("no version is selected")),
    };
    if text.len() > MAX_FILE || !text.iter().all(|&b| b.is_ascii_graphic() || b" \t\r\n".contains(&b)) {
        return Err(Unclear("the version file is not plain"));
    }
    let mut words = text.split(|&b| b == b'\n').filter_map(first_word);
    match (words.next(), words.next()) {
        (None, _) => Err(Unclear("no version is selected")),
        (Some(version), None) => Ok(version.to_vec()),
        (Some(_), Some(_)) => Err(Unclear("several versions are selected")),
    }
}

/// `read -r version _` with IFS blank, tab and carriage return: only the first two are dropped in front.
fn first_word(line: &[u8]) -> Option<&[u8]> {
    let start = line.iter().position(|&b| b != b' ' && b != b'\t')?;
    let line = &line[start..];
    let end = line.iter().position(|&b| b" \t\r".contains(&b)).unwrap_or(line.len());
    Some(&line[..end]).filter(|word| !word.is_empty() && !word.starts_with(b"#"))
}

/// pyenv-version-name: installed under that very name, without `python-` in front, or the latest with that prefix.
fn installed<W: World>(world: &W, root: &[u8], install: &[u8], wanted: Vec<u8>) -> Result<Vec<u8>, Unclear> {
    let versions = [root, b"/versions"].concat();
    let is_dir = |name: &[u8]| world.stat(&paths::join(&versions, name)).is_ok_and(|s| s.is_dir());
    if is_dir(&wanted) {
        return Ok(wanted);
    }
    let short = wanted.strip_prefix(b"python-").unwrap_or(&wanted);
    if short.is_empty() || short == b"system" || short == b".." || short == b"." {
        return Err(Unclear("the version's name is not plain"));
    }
    if short.len() != wanted.len() && is_dir(short) {
        return Ok(short.to_vec());
    }
    stock::check_prefix_scripts(world, install)?;
    let mut names = stock::list(world, &versions)?;
    // `python-3.11` itself is tried as a prefix first.
    if short.len() != wanted.len() && names.iter().any(|n| n.starts_with(&wanted)) {
        return Err(Unclear("the version is a prefix of unusual names"));
    }
    names.retain(|n| is_dir(n));
    latest(&names, short)
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
    let threaded = name.strip_suffix(b"t").is_some_and(|n| n.last().is_some_and(u8::is_ascii_digit));
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
