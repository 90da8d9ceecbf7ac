//! The version of pyzy, and the mark that lets a file be asked for it.
//!
//! Owns a short text that each program of an installation carries in its
//! data; `pyzy doctor` looks for it in the launcher and in the zygote's
//! library without running them, and says when they do not belong together.

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the launcher and the library hold in a `#[used] static`.
pub const MARK: &str = concat!("pyzy-build-version=", env!("CARGO_PKG_VERSION"), ";");

/// The version that is marked in these bytes of a program.
pub fn find(program: &[u8]) -> Option<&[u8]> {
    // Built from parts, so that a program that only searches does not hold what it searches for.
    let (head, tail) = (b"pyzy-build-", b"version=");
    let starts = program.windows(head.len()).enumerate().filter(|(_, w)| *w == head);
    for (at, _) in starts {
        let Some(rest) = program[at + head.len()..].strip_prefix(tail) else { continue };
        let length = rest.iter().take(64).take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
        if length > 0 && rest.get(length) == Some(&b';') {
            return Some(&rest[..length]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_found_among_other_bytes() {
        let program = [b"\x7fELF pyzy-build-version=;".as_slice(), MARK.as_bytes(), b"\0tail"].concat();
        assert_eq!(find(&program), Some(VERSION.as_bytes()));
        assert_eq!(find(b"pyzy-build-version=1.2"), None);
        assert_eq!(find(b""), None);
    }
}
