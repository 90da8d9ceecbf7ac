//! Addresses that can be mistaken for what a text has left of a pointer.
//!
//! Owns the rule, and what a zygote that executes itself once more tells itself: how often it has.

use core::ops::Range;

/// How often it is tried. About one start in six has such addresses, and where they are not random it is to no avail.
pub const TRIES: u32 = 8;

/// Could one of these addresses be what a text of one to four characters has left of a pointer?
pub fn is_mistakable(range: &Range<u64>) -> bool {
    (1..5).any(|byte| {
        let (unit, above) = (1u64 << (8 * byte), 1u64 << (8 * (byte + 1)));
        // The first address from the beginning on in which this byte is zero.
        let first = if range.start % above < unit { range.start } else { range.start.next_multiple_of(above) };
        range.contains(&first)
    })
}

/// The descriptor's number and how often we have executed ourselves: `NUMBER` or `NUMBER.TRIES`.
pub fn split(word: &str) -> (&str, u32) {
    match word.split_once('.') {
        Some((number, tries)) => (number, tries.parse().unwrap_or(TRIES)),
        None => (word, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_behind_one_to_four_characters_is_mistakable() {
        let vdso = |start: u64| start..start + 0x2000;
        assert!(!is_mistakable(&vdso(0x7ffd_3a2b_4000)));
        // One character: 0x7ffd3a2b00xx; in the second page as well.
        assert!(is_mistakable(&vdso(0x7ffd_3a2b_0000)));
        assert!(is_mistakable(&vdso(0x7ffd_3a2a_f000)));
        assert!(is_mistakable(&vdso(0x7ffd_3a00_4000)));
        assert!(is_mistakable(&vdso(0x7ffd_002b_4000)));
        assert!(is_mistakable(&vdso(0x7f00_3a2b_4000)));
        assert!(!is_mistakable(&vdso(0x7fff_ffff_c000)));
    }

    #[test]
    fn the_number_comes_before_the_tries() {
        assert_eq!(split("7"), ("7", 0));
        assert_eq!(split("12.3"), ("12", 3));
        assert_eq!(split("12.x").1, TRIES);
    }
}
