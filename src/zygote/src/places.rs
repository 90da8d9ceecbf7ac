//! Where the kernel has put the vdso and the stack: can their addresses be mistaken for something else?
//!
//! A capture finds words that point there by their values (`image`). A short text that is written over an old pointer keeps the
//! pointer's upper bytes: three characters and a zero, and behind them what was left of an address near the vdso. Such a
//! word looks like an address whose byte behind the text's end is zero, and a run that changes it breaks the text. So a
//! zygote whose addresses have a zero there executes itself once more, and gets others.

use crate::hook;
use libc::c_char;
use pyzy_core::places::{TRIES, is_mistakable, split};
use std::ffi::{CStr, CString};
use std::ops::Range;

/// The vdso, and what the kernel lays at the stack's end.
fn ranges() -> Option<[Range<u64>; 2]> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let named = |name: &[u8]| {
        let line = maps.split(|&b| b == b'\n').find(|line| line.ends_with(name))?;
        let bounds = std::str::from_utf8(line.split(|&b| b == b' ').next()?).ok()?;
        let (start, end) = bounds.split_once('-')?;
        Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
    };
    let stack = named(b"[stack]")?;
    let tables = crate::stack::stack_end().filter(|end| stack.contains(end))?;
    Some([named(b"[vdso]")?, tables..stack.end])
}

/// Are the addresses of this process fit for a capture?
pub fn are_clear() -> bool {
    ranges().is_some_and(|ranges| !ranges.iter().any(is_mistakable))
}

/// Executes the interpreter once more if it has mistakable addresses, with the layout that it was started with. Returns if it has
/// not, or if nothing helps.
///
/// # Safety
/// One thread; `argv` is what `main` got.
pub unsafe fn settle(argv: *mut *mut c_char) {
    // SAFETY: C strings; nothing else reads or changes the environment.
    unsafe {
        let word = libc::getenv(hook::host_name());
        if word.is_null() || are_clear() {
            return;
        }
        let word = CStr::from_ptr(word).to_string_lossy().into_owned();
        let (number, tries) = split(&word);
        let Ok(next) = CString::new(format!("{number}.{}", tries + 1)) else { return };
        if tries >= TRIES || libc::setenv(hook::host_name(), next.as_ptr(), 1) != 0 {
            return;
        }
        let program = libc::getauxval(libc::AT_EXECFN) as *const c_char;
        if !program.is_null() {
            libc::execv(program, argv.cast());
        }
    }
}
