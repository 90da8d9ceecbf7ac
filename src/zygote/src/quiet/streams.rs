//! The standard streams: CPython flushes two of them at its end, and closes all three.

use super::kinds::{Kinds, is_true, type_of};
use crate::capi::{self, Object};
use pyo3::ffi;
use std::ffi::CStr;

const NAMES: [&CStr; 3] = [c"stdin", c"stdout", c"stderr"];

/// Addresses and types of the streams' layers; none for a stream that is not there.
pub struct Streams([Vec<(usize, usize)>; 3]);

impl Streams {
    /// Those of `sys`.
    pub fn now(kinds: &Kinds) -> Option<Streams> {
        let mut all = [const { Vec::new() }; 3];
        for (stream, name) in all.iter_mut().zip(NAMES) {
            *stream = layers(kinds, name)?.iter().map(identity).collect();
        }
        Some(Streams(all))
    }

    /// The same objects in the same layers, without methods of the script's. They hold nothing but what flushing writes.
    pub fn are_as_before(&self, kinds: &Kinds) -> bool {
        NAMES.iter().zip(&self.0).all(|(name, before)| {
            layers(kinds, name).is_some_and(|now| {
                now.iter().map(identity).eq(before.iter().copied())
                    && now.iter().all(|layer| has_plain_attributes(layer).unwrap_or(false))
            })
        })
    }

    /// Is it a layer of one of them?
    pub fn have(&self, object: usize) -> bool {
        self.0.iter().flatten().any(|&(layer, _)| layer == object)
    }

    /// `flush_std_files`. False if it fails: it will fail once more, and be reported, when CPython does it.
    pub fn flush(&self) -> bool {
        NAMES[1..].iter().zip(&self.0[1..]).filter(|(_, layers)| !layers.is_empty()).all(|(name, _)| {
            capi::sys(name).is_some_and(|stream| {
                is_true(&stream, c"closed") == Some(true) || {
                    let flushed = stream.attribute(c"flush").and_then(|flush| {
                        // SAFETY: the GIL is held; a live object.
                        unsafe { Object::own(capi::PyObject_CallObject(flush.raw(), std::ptr::null_mut())) }
                    });
                    flushed.is_some()
                }
            })
        })
    }
}

fn identity(layer: &Object) -> (usize, usize) {
    let object = layer.raw() as usize;
    (object, type_of(object))
}

fn layers(kinds: &Kinds, name: &CStr) -> Option<Vec<Object>> {
    let stream = capi::sys(name)?;
    // SAFETY: comparing addresses.
    if stream.raw() == unsafe { ffi::Py_None() } { Some(Vec::new()) } else { kinds.layers(&stream) }
}

/// `name` and `mode` are CPython's own additions (`create_stdio`).
fn has_plain_attributes(layer: &Object) -> Option<bool> {
    let own = layer.attribute(c"__dict__")?;
    // SAFETY: the GIL is held; a dictionary that nothing changes meanwhile.
    unsafe {
        let known = [c"name", c"mode"]
            .iter()
            .filter(|name| !ffi::PyDict_GetItemString(own.raw(), name.as_ptr()).is_null())
            .count();
        Some(ffi::PyDict_Size(own.raw()) == known as isize)
    }
}
