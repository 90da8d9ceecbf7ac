//! The list of what is to be kept warm, as PYZY_PRELOAD and pyproject.toml have it.
//!
//! Owns the grammar: words between commas, `stdlib`, `learned` or the name of a module. A word that is neither is kept, so
//! that somebody can be told of it.

/// What is said of a word that is no name of a module.
pub const NO_NAME: &str = "it is not the name of a module";

/// A word of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The curated part of the standard library.
    Stdlib,
    /// What runs were seen to import ([`crate::ledger`]).
    Learned,
    /// A module by its full name.
    Module(&'a str),
    /// Neither.
    Bad(&'a [u8]),
}

/// The words of a list. `off` by itself is an empty list.
pub fn entries(list: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let list = if is_off(list) { b"" } else { list };
    list.split(|&b| b == b',').map(|word| word.trim_ascii()).filter(|word| !word.is_empty()).map(|word| {
        match core::str::from_utf8(word) {
            Ok("stdlib") => Entry::Stdlib,
            Ok("learned") => Entry::Learned,
            Ok(name) if is_module(name) => Entry::Module(name),
            _ => Entry::Bad(word),
        }
    })
}

/// Does the list name nothing?
pub fn is_off(list: &[u8]) -> bool {
    let list = list.trim_ascii();
    list.is_empty() || list == b"off"
}

/// Names between dots, as CPython writes identifiers; what lies beyond ASCII is taken on trust.
pub fn is_module(name: &str) -> bool {
    let is_first = |c: char| c == '_' || c.is_ascii_alphabetic() || !c.is_ascii();
    name.split('.').all(|part| {
        let mut letters = part.chars();
        letters.next().is_some_and(is_first) && letters.all(|c| is_first(c) || c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn words() {
        let all = |list: &'static str| entries(list.as_bytes()).collect::<Vec<_>>();
        assert_eq!(all("stdlib"), vec![Entry::Stdlib]);
        assert_eq!(
            all(" stdlib, click ,,yaml.nodes"),
            vec![Entry::Stdlib, Entry::Module("click"), Entry::Module("yaml.nodes")]
        );
        assert_eq!(all("learned,stdlib"), vec![Entry::Learned, Entry::Stdlib]);
        assert_eq!(all("off"), vec![]);
        assert_eq!(all(""), vec![]);
        for bad in ["a b", "a..b", ".a", "1a", "a-b", "../x", "a;b"] {
            assert_eq!(entries(bad.as_bytes()).collect::<Vec<_>>(), vec![Entry::Bad(bad.as_bytes())], "{bad}");
        }
    }
}
