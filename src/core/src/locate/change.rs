//! What becomes of the environment between the caller and the interpreter.

use alloc::vec::Vec;

use crate::vars;

/// Additions, replacements and removals relative to the caller's environment; none for a plain find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironChange {
    /// Names that go.
    pub remove: Vec<&'static str>,
    /// `NAME=value` entries that are added, or take the place of the caller's of that name.
    pub set: Vec<Vec<u8>>,
}

impl EnvironChange {
    /// Nothing to do?
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }

    /// Set a variable.
    pub fn put(&mut self, name: &[u8], value: &[u8]) {
        let mut entry = Vec::with_capacity(name.len() + value.len() + 1);
        entry.extend_from_slice(name);
        entry.push(b'=');
        entry.extend_from_slice(value);
        self.set.push(entry);
    }

    /// The environment after the change: what stays, in its order, then what is set.
    pub fn apply<'a>(&'a self, environ: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let mut out = Vec::with_capacity(environ.len() + self.set.len());
        out.extend(environ.iter().filter(|e| self.keeps(vars::name_of(e))));
        out.extend(self.set.iter().map(|e| &e[..]));
        out
    }

    fn keeps(&self, name: &[u8]) -> bool {
        !self.remove.iter().any(|r| r.as_bytes() == name) && !self.set.iter().any(|e| vars::name_of(e) == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_removes_and_adds() {
        let mut change = EnvironChange { remove: alloc::vec!["B"], set: Vec::new() };
        change.put(b"A", b"2");
        change.put(b"N", b"");
        let before: [&[u8]; 5] = [b"A=1", b"AB=1", b"B=1", b"A=3", b"odd"];
        assert_eq!(change.apply(&before), [&b"AB=1"[..], b"odd", b"A=2", b"N="]);
        assert!(EnvironChange::default().is_empty() && !change.is_empty());
    }
}
