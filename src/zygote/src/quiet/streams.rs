//! The standard streams: CPython flushes two of them at its end, and closes all three.

use super::kinds::{Kinds, is_true, type_of};
use crate::capi::{self, Object};
use crate::names::{self, Name};
use pyo3::ffi;

const NAMES: [&Name; 3] = [&names::STDIN, &names::STDOUT, &names::STDERR];

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
            names::sys(name).is_some_and(|stream| {
                is_true(&stream, &names::CLOSED) == Some(true) || {
                    let flushed = names::attribute(&stream, &names::FLUSH).and_then(|flush| {
                        // SAFETY: the GIL is held; a live object.
                        unsafe { Object::own(capi::PyObject_CallObject(flush.raw(), std::ptr::null_mut())) }
                    });
                    flushed.is_some()
                }
            })
        })
    }
}

unsafe extern "C" {
    fn _PyObject_GetDictPtr(object: *mut ffi::PyObject) -> *mut *mut ffi::PyObject;
}

fn identity(layer: &Object) -> (usize, usize) {
    let object = layer.raw() as usize;
    (object, type_of(object))
}

fn layers(kinds: &Kinds, name: &Name) -> Option<Vec<Object>> {
    let stream = names::sys(name)?;
    // SAFETY: comparing addresses.
    if stream.raw() == unsafe { ffi::Py_None() } { Some(Vec::new()) } else { kinds.layers(&stream) }
}

/// `name` and `mode` are CPython's own additions (`create_stdio`).
pub fn has_plain_attributes(layer: &Object) -> Option<bool> {
    // SAFETY: the GIL is held; a live object of a type with a place for a dictionary; nothing is changed meanwhile.
    unsafe {
        let own = _PyObject_GetDictPtr(layer.raw()).as_ref()?;
        let known = |name| names::item(*own, name).is_some();
        Some(
            own.is_null()
                || ffi::PyDict_Size(*own)
                    == [&names::NAME, &names::MODE].into_iter().filter(|n| known(n)).count() as isize,
        )
    }
}
