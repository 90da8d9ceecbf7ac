//! Paths as bytes: joining and taking apart, never asking the file system.

use alloc::vec::Vec;

/// What follows the last slash.
pub fn basename(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').map_or(path, |at| &path[at + 1..])
}

/// What precedes the last slash: `/` for a child of the root, `.` for a bare name.
pub fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&b| b == b'/') {
        None => b".",
        Some(0) => b"/",
        Some(at) => &path[..at],
    }
}

/// `dir/name`, with a slash only where one is missing (CPython's `joinpath`, `Modules/getpath.c`).
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(dir.len() + name.len() + 1);
    join_into(&mut out, dir, name);
    out
}

/// [`join`] into a buffer that is used again and again.
pub fn join_into(out: &mut Vec<u8>, dir: &[u8], name: &[u8]) {
    out.clear();
    out.extend_from_slice(dir);
    if !dir.is_empty() && !dir.ends_with(b"/") {
        out.push(b'/');
    }
    out.extend_from_slice(name);
}

/// The absolute form that CPython gives `sys.executable`: the working directory in front, one leading `./` gone
/// (`absolutize` in 3.9's `Modules/getpath.c`; later versions normalise what they get). `None` without a
/// working directory.
pub fn absolute(cwd: Option<&[u8]>, path: &[u8]) -> Option<Vec<u8>> {
    if path.starts_with(b"/") {
        return Some(path.to_vec());
    }
    Some(join(cwd?, path.strip_prefix(b"./").unwrap_or(path)))
}

/// An absolute path without empty, `.` or `..` components and without a slash at its end.
pub fn is_clean(path: &[u8]) -> bool {
    path == b"/"
        || path.strip_prefix(b"/").is_some_and(|rest| {
            rest.split(|&b| b == b'/').all(|part| !part.is_empty() && part != b"." && part != b"..")
        })
}

/// `.` and `..` taken out of an absolute path by its text alone, as a shell's logical `cd` does.
pub fn normalise(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for part in parts {
        out.push(b'/');
        out.extend_from_slice(part);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// Does `needle` occur in `hay`?
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_apart() {
        assert_eq!(basename(b"/a/b"), b"b");
        assert_eq!(basename(b"b"), b"b");
        assert_eq!(basename(b"a/"), b"");
        assert_eq!(parent(b"/a/b"), b"/a");
        assert_eq!(parent(b"/b"), b"/");
        assert_eq!(parent(b"b"), b".");
    }

    #[test]
    fn joining() {
        assert_eq!(join(b"/a", b"b"), b"/a/b");
        assert_eq!(join(b"/a/", b"b"), b"/a/b");
        assert_eq!(join(b"", b"b"), b"b");
        assert_eq!(absolute(Some(b"/w"), b"./x/../y").unwrap(), b"/w/x/../y");
        assert_eq!(absolute(Some(b"/"), b"y").unwrap(), b"/y");
        assert_eq!(absolute(None, b"/y").unwrap(), b"/y");
        assert_eq!(absolute(None, b"y"), None);
    }

    #[test]
    fn cleanness() {
        for clean in [&b"/"[..], b"/a", b"/a/b.c", b"/...", b"/a b"] {
            assert!(is_clean(clean), "{clean:?}");
            assert_eq!(normalise(clean), clean);
        }
        for dirty in [&b""[..], b"a", b"//", b"/a/", b"/a//b", b"/./a", b"/a/..", b"//a"] {
            assert!(!is_clean(dirty), "{dirty:?}");
        }
        assert_eq!(normalise(b"/a/bin/../libexec/."), b"/a/libexec");
        assert_eq!(normalise(b"/.."), b"/");
    }
}
