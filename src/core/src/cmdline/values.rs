//! The values of `-W`, `-X` and `--check-hash-based-pycs`.
//!
//! Owns which values are plain enough to be warm. A value that CPython refuses,
//! complains about or reads more generously than this is malformed here: the
//! real interpreter says what it has to say.

use super::options::{Form, extra, warning_category};
use super::{HashPycs, Version};
use crate::reason::Reason;

/// `key=value` at the first `=`, or a bare key.
pub(super) fn split_key(typed: &[u8]) -> (&[u8], Option<&[u8]>) {
    match typed.iter().position(|&b| b == b'=') {
        Some(at) => (&typed[..at], Some(&typed[at + 1..])),
        None => (typed, None),
    }
}

/// Is this `-X` value one that merely selects another zygote?
pub(super) fn check_extra(typed: &[u8], version: Option<Version>) -> Result<(), Reason> {
    let (key, value) = split_key(typed);
    let row = extra(key).filter(|r| r.versions.hold(version)).ok_or(Reason::OptionUnknown)?;
    let fits = match (row.form, value) {
        (Form::Fallback(reason), _) => return Err(reason),
        (Form::Bare | Form::Bit | Form::OnOff, None) => true,
        (Form::Bit, Some(value)) => matches!(value, b"0" | b"1"),
        (Form::OnOff, Some(value)) => matches!(value, b"on" | b"off"),
        (Form::One, Some(value)) => value == b"1",
        (Form::DigitLimit, Some(value)) => c_int(value).is_some_and(|n| n == 0 || n >= 640),
        (Form::CpuCount, Some(value)) => value == b"default" || c_int(value).is_some_and(|n| n >= 1),
        (Form::AbsolutePath, Some(value)) => value.starts_with(b"/"),
        (Form::Bare, Some(_)) | (Form::One | Form::DigitLimit | Form::CpuCount | Form::AbsolutePath, None) => false,
    };
    if fits { Ok(()) } else { Err(Reason::OptionMalformed) }
}

/// The mode of `--check-hash-based-pycs`.
pub(super) fn hash_pycs(value: &[u8]) -> Result<HashPycs, Reason> {
    match value {
        b"default" => Ok(HashPycs::Default),
        b"always" => Ok(HashPycs::Always),
        b"never" => Ok(HashPycs::Never),
        _ => Err(Reason::OptionMalformed),
    }
}

/// Is this `action[:message[:category[:module[:lineno]]]]` without a doubt?
///
/// CPython accepts any text and prints a complaint when `warnings` is first
/// imported, which would be in the zygote. It also strips white space and
/// imports the module of a dotted category; neither is done here.
pub(super) fn check_warning(value: &[u8], version: Option<Version>) -> Result<(), Reason> {
    let mut fields = value.split(|&b| b == b':');
    let mut field = || fields.next().unwrap_or_default();
    let (action, _message, category, _module, lineno) = (field(), field(), field(), field(), field());
    let plain = is_action(action) && is_category(category, version) && is_lineno(lineno) && fields.next().is_none();
    if plain { Ok(()) } else { Err(Reason::OptionMalformed) }
}

/// `_getaction`: any beginning of an action, and `all` for `always`.
fn is_action(action: &[u8]) -> bool {
    const ACTIONS: [&str; 7] = ["all", "always", "default", "error", "ignore", "module", "once"];
    !action.is_empty() && ACTIONS.iter().any(|a| a.as_bytes().starts_with(action))
}

/// Nothing, or a built-in warning. An interpreter without it starts, complains
/// and goes on; so without a version, every version must have it.
fn is_category(category: &[u8], version: Option<Version>) -> bool {
    category.is_empty()
        || warning_category(category).is_some_and(|row| match version {
            Some(v) => v >= Version { major: 3, minor: row.since },
            None => row.since <= 9,
        })
}

/// Nothing, or a few plain digits.
fn is_lineno(lineno: &[u8]) -> bool {
    lineno.is_empty() || (lineno.len() <= 9 && lineno.iter().all(u8::is_ascii_digit))
}

/// A plain decimal number that fits a C int (`config_wstr_to_int`).
fn c_int(text: &[u8]) -> Option<i32> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}
