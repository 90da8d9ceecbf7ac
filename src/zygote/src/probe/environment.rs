//! The environment of the C library, as start-up finds and leaves it.
//!
//! Owns reading `environ` and comparing two readings with what os.environ says.

use core::ffi::{CStr, c_char};
use pyzy_core::report::Change;
use std::collections::BTreeSet;

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// Name and value of a variable.
pub type Entry = (Vec<u8>, Vec<u8>);

/// The C library's environment; of variables that occur twice the first, as getenv and os.environ have it.
pub fn environment() -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // SAFETY: `environ` is null or an array of C strings that ends with null;
    // nobody changes it meanwhile, as there is one thread.
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            let entry = CStr::from_ptr(*at).to_bytes();
            if let Some(split) = entry.iter().position(|&b| b == b'=') {
                let (name, value) = (&entry[..split], &entry[split + 1..]);
                if !entries.iter().any(|(n, _)| n == name) {
                    entries.push((name.to_vec(), value.to_vec()));
                }
            }
            at = at.add(1);
        }
    }
    entries
}

/// The value of a variable.
pub fn value(environment: &[Entry], name: &[u8]) -> Option<Vec<u8>> {
    environment.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
}

/// Did the environment of the C library change just as os.environ did?
pub fn same_changes(changes: &[Change], old: &[Entry], new: &[Entry]) -> bool {
    let untouched = |name: &[u8]| changes.iter().all(|(n, _)| n != name);
    let named = |entries: &[Entry]| entries.iter().map(|(n, _)| n.clone()).collect::<BTreeSet<_>>();
    let names = &named(old) | &named(new);
    changes.iter().all(|(name, end)| value(new, name) == *end)
        && names.iter().filter(|name| untouched(name)).all(|name| value(old, name) == value(new, name))
}
