//! Identity: the facts that choose a zygote, and the key made of them.
//!
//! Owns how facts become bytes and bytes become a name. Which facts there are
//! is decided where they are gathered (`pyzy_launch::facts`). Two callers that
//! differ in one byte get different keys and never share a zygote.

use alloc::vec::Vec;
use core::hash::Hasher;
use siphasher::sip128::{Hasher128, SipHasher24};

/// A growing list of named facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    bytes: Vec<u8>,
}

impl Identity {
    /// No facts yet.
    pub const fn new() -> Identity {
        Identity { bytes: Vec::new() }
    }

    /// Adds a fact. Names and values are length-prefixed, so that no two lists of facts have the same bytes.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(part);
        }
    }

    /// Adds numbers as one fact.
    pub fn add_numbers(&mut self, name: &str, values: &[u64]) {
        let mut bytes = Vec::with_capacity(values.len() * 8);
        for value in values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        self.add(name, &bytes);
    }

    /// The facts, for showing them: pairs of name and value.
    pub fn facts(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.bytes[..];
        core::iter::from_fn(move || Some((take(&mut rest)?, take(&mut rest)?)))
    }

    /// The key: SipHash-2-4 with 128 bits. It names files in a private directory, so
    /// accidents matter and attackers do not (they would be the same user).
    pub fn key(&self) -> Key {
        let mut hasher = SipHasher24::new();
        hasher.write(&self.bytes);
        Key(hasher.finish128().as_bytes())
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (value, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = tail;
    Some(value)
}

/// Names a zygote: 16 bytes, 32 hex digits in file names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// 32 lower-case hex digits.
    pub fn hex(&self) -> [u8; 32] {
        let digits = b"0123456789abcdef";
        core::array::from_fn(|i| {
            let byte = self.0[i / 2];
            digits[usize::from(if i % 2 == 0 { byte >> 4 } else { byte & 15 })]
        })
    }

    /// Reads 32 hex digits.
    pub fn from_hex(text: &[u8]) -> Option<Key> {
        let text: &[u8; 32] = text.try_into().ok()?;
        let digit = |b: u8| (b as char).to_digit(16).filter(|_| !b.is_ascii_uppercase()).map(|d| d as u8);
        let mut bytes = [0; 16];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = digit(text[2 * i])? << 4 | digit(text[2 * i + 1])?;
        }
        Some(Key(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_do_not_run_into_each_other() {
        let mut a = Identity::new();
        a.add("x", b"ab");
        a.add("y", b"c");
        let mut b = Identity::new();
        b.add("x", b"a");
        b.add("y", b"bc");
        assert_ne!(a.key(), b.key());
        assert_eq!(a.facts().collect::<Vec<_>>(), [(&b"x"[..], &b"ab"[..]), (b"y", b"c")]);
    }

    #[test]
    fn keys_survive_hex() {
        let key = Key([0, 1, 0x7f, 0x80, 0xff, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0xab, 0xcd]);
        assert_eq!(Key::from_hex(&key.hex()), Some(key));
        assert_eq!(Key::from_hex(b"0"), None);
        assert_eq!(Key::from_hex(&[b'G'; 32]), None);
    }
}
