//! `.pyzy-shims`: which real interpreter the names in a directory of shims stand for.
//!
//! First line `pyzy-shims 1`, then `NAME<TAB>/absolute/real/python` lines. Lines that start
//! with `#` are notes of the pyzy command's, but for one: where the shims are copies of the
//! launcher, `#home<TAB>/PREFIX/lib/pyzy` is the installation that they belong to. A file of
//! another version says nothing to us.

use alloc::vec::Vec;

use super::{World, paths};

/// The file's name in a directory of shims.
pub const NAME: &[u8] = b".pyzy-shims";
/// The name of the line with the installation.
pub const HOME: &[u8] = b"#home";
const FIRST_LINE: &[u8] = b"pyzy-shims 1";
const MAX: usize = 16 * 1024;

/// The interpreter that `name` stands for in `dir`.
pub fn lookup<W: World>(world: &W, dir: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let text = world.read(&paths::join(dir, NAME), MAX).ok()?;
    parse(&text, name).map(<[u8]>::to_vec)
}

/// The installation that the copies in `dir` belong to.
pub fn home<W: World>(world: &W, dir: &[u8]) -> Option<Vec<u8>> {
    let text = world.read(&paths::join(dir, NAME), MAX).ok()?;
    value(&text, HOME).map(<[u8]>::to_vec)
}

fn parse<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if name.starts_with(b"#") { None } else { value(text, name) }
}

/// The absolute path in the first line of this name.
fn value<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = text.split(|&b| b == b'\n');
    if lines.next()? != FIRST_LINE {
        return None;
    }
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(b"\t")).filter(|path| path.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_only_from_its_own_version() {
        let text =
            b"pyzy-shims 1\n# python3\t/note\npython3.12\t/b\npython3\t/opt/my python/bin/python3\npython\trel\n";
        assert_eq!(parse(text, b"python3"), Some(&b"/opt/my python/bin/python3"[..]));
        assert_eq!(parse(text, b"python3.12"), Some(&b"/b"[..]));
        assert_eq!(parse(text, b"python"), None);
        assert_eq!(parse(text, b"# python3"), None);
        assert_eq!(parse(text, b"python3.1"), None);
        assert_eq!(parse(b"pyzy-shims 2\npython3\t/b\n", b"python3"), None);
        assert_eq!(parse(b"pyzy-shims 1\n#home\t/p\n", b"#home"), None);
        assert_eq!(value(b"pyzy-shims 1\n#homer\t/x\n#home\t/p q/lib\n", HOME), Some(&b"/p q/lib"[..]));
        assert_eq!(value(b"pyzy-shims 1\n#home\tlib\n", HOME), None);
        assert_eq!(parse(b"", b"python3"), None);
        assert_eq!(parse(b"pyzy-shims 1", b"python3"), None);
    }
}
