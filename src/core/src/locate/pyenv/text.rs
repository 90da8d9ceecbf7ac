//! Which texts survive a shell unchanged.

use alloc::vec::Vec;

use crate::locate::paths;

/// A clean absolute path without a byte that means something to bash (globs, quotes, blanks at a line's end) or to
/// pyenv (a colon).
pub fn is_plain_dir(path: &[u8]) -> bool {
    let special = |b: &u8| b.is_ascii_control() || b"*?[]\\\"'`$:!~(){}|&;<>#^%".contains(b);
    paths::is_clean(path) && !path.iter().any(special) && core::str::from_utf8(path).is_ok()
}

/// A version's name that nothing splits, globs or takes for a path or an option.
pub fn is_plain_version(name: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"._+-".contains(b);
    name.first().is_some_and(u8::is_ascii_alphanumeric) && name.iter().all(plain)
}

/// Sort file names, when byte order and the order of every other locale agree: bash sorts globs by `strcoll`, which
/// passes over punctuation and case at first.
pub fn sort_as_any_locale(names: &mut [Vec<u8>]) -> Option<()> {
    let letters = |n: &Vec<u8>| -> Vec<u8> {
        n.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
    };
    let plain = |n: &Vec<u8>| n.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(b));
    names.sort_unstable();
    let agreed = names.windows(2).all(|w| plain(&w[0]) && plain(&w[1]) && letters(&w[0]) < letters(&w[1]));
    agreed.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_not() {
        for yes in [&b"/"[..], b"/home/me/.pyenv", b"/home/a b/x_y-z,1+2=3@4", "/home/j\u{fc}rgen".as_bytes()] {
            assert!(is_plain_dir(yes), "{yes:?}");
        }
        for no in [&b""[..], b"/a/", b"a", b"/a*", b"/a\n", b"/a:b", b"/$x", b"/a\xff", b"//a", b"/a\\b"] {
            assert!(!is_plain_dir(no), "{no:?}");
        }
        assert!(is_plain_version(b"3.11.7") && is_plain_version(b"pypy3.9-7.3.13") && is_plain_version(b"my_env"));
        for no in [&b""[..], b"..", b".", b"-b", b"a/b", b"a:b", b"a b", b"3.11*", b"\xc3\xa9"] {
            assert!(!is_plain_version(no), "{no:?}");
        }
    }

    #[test]
    fn order_only_where_locales_agree() {
        let sorted = |names: &[&str]| {
            let mut names: Vec<Vec<u8>> = names.iter().map(|n| n.as_bytes().to_vec()).collect();
            sort_as_any_locale(&mut names).map(|()| names.concat())
        };
        assert_eq!(
            sorted(&["python-build", "pyenv-update", "pyenv-doctor"]).unwrap(),
            b"pyenv-doctorpyenv-updatepython-build"
        );
        assert_eq!(sorted(&["b", "A"]), None);
        assert_eq!(sorted(&["a-z", "ab"]), None, "en_US puts ab first");
        assert!(sorted(&["Only"]).is_some() && sorted(&[]).is_some());
    }
}
