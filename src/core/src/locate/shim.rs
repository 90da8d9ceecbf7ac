//! Which shim are we: its name, its place, and whether argv[0] is honest about it.
//!
//! argv[0] is the caller's to choose; the path of execve is not. A path counts as ours only
//! when it leads to our own file, or to another copy: in a venv each shim is a copy.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Call, World, candidate, path_search, paths};

/// Ourselves, under the name of this call.
#[derive(Debug, PartialEq, Eq)]
pub struct Me<'a> {
    /// The shim's name.
    pub name: Cow<'a, [u8]>,
    /// The shim's absolute path, links not followed, when it is known.
    pub path: Option<Vec<u8>>,
    /// argv[0] is a path or name of the shim, and not something that the caller made up.
    pub honest: bool,
}

impl Me<'_> {
    /// The name to look for along PATH.
    pub fn search_name(&self) -> &[u8] {
        if is_python_name(&self.name) { &self.name } else { b"python3" }
    }
}

/// `python`, `python3`, `python3.12`, `python3.13t`, `python3.8-dbg`.
pub fn is_python_name(name: &[u8]) -> bool {
    name.strip_prefix(b"python").is_some_and(|rest| {
        let tail = rest.iter().position(|b| !b.is_ascii_digit() && *b != b'.').map_or(&b""[..], |at| &rest[at..]);
        matches!(tail, b"" | b"t" | b"d" | b"td" | b"m" | b"-dbg")
    })
}

/// Work out which shim was called. One `stat` for the usual call; a copy's first page is read, too.
pub fn identify<'a, W: World>(world: &W, call: &Call<'a>) -> Me<'a> {
    let ours = |path: &[u8]| candidate::is_us(world, call.own, path);
    let has_slash = call.argv0.contains(&b'/');
    let named = paths::basename(call.argv0);
    if has_slash && ours(call.argv0) {
        return Me { name: Cow::Borrowed(named), path: absolute(world, call.argv0), honest: true };
    }
    if let Some(path) = call.exec_path
        && is_python_name(paths::basename(path))
        && ours(path)
    {
        let name = paths::basename(path);
        return Me { name: Cow::Borrowed(name), path: absolute(world, path), honest: !has_slash && name == call.argv0 };
    }
    // A login shell's `-python3` (`man 1 bash`, INVOCATION).
    let stripped = named.strip_prefix(b"-").unwrap_or(named);
    if !has_slash && !stripped.is_empty() {
        let path = path_search::elements(call.environ).map(|dir| paths::join(dir, stripped)).find(|p| ours(p));
        if let Some(path) = path.and_then(|p| absolute(world, &p)) {
            return Me { name: Cow::Borrowed(stripped), path: Some(path), honest: stripped == call.argv0 };
        }
    }
    let name: &[u8] = if is_python_name(stripped) { stripped } else { b"python3" };
    Me { name: Cow::Borrowed(name), path: None, honest: !has_slash && name == call.argv0 }
}

fn absolute<W: World>(world: &W, path: &[u8]) -> Option<Vec<u8>> {
    if path.starts_with(b"/") { Some(path.to_vec()) } else { paths::absolute(world.cwd().as_deref(), path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pythons() {
        for yes in [&b"python"[..], b"python3", b"python3.12", b"python3.13t", b"python3.8-dbg", b"python2.7"] {
            assert!(is_python_name(yes), "{yes:?}");
        }
        for no in [&b""[..], b"py", b"python-config", b"python3-config", b"pythonista", b"ipython", b"-python3"] {
            assert!(!is_python_name(no), "{no:?}");
        }
    }
}
