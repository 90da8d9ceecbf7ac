//! Files that a script leaves open for reading, of CPython's own types.
//!
//! When it frees one, CPython warns, which is ignored by default, and closes it; since 3.13 it tells of an error at that, so
//! there their end is left to it. So is the end of those that are written to: whether what they hold is still written out depends on
//! the order in which the collector comes upon their layers.

use super::kinds::{Kind, Kinds, type_of};
use super::streams::{Streams, has_plain_attributes};
use crate::capi::Object;
use crate::names::{self, Name};
use pyo3::ffi::{self, PyObject};
use std::os::raw::c_int;

/// Are these objects nothing but such files?
pub fn are_for_reading(kinds: &Kinds, streams: &Streams, objects: &[(Kind, usize)]) -> bool {
    objects.is_empty()
        || super::minor_version() < 13
            && objects.iter().all(|&(kind, object)| is_for_reading(kinds, streams, kind, object).unwrap_or(false))
}

fn is_for_reading(kinds: &Kinds, streams: &Streams, kind: Kind, object: usize) -> Option<bool> {
    (kind == Kind::File).then_some(())?;
    // SAFETY: the GIL is held; a live object.
    let object = unsafe { Object::share(object as *mut PyObject)? };
    let layers = kinds.layers(&object)?;
    let is_plain = |layer: &Object| {
        !streams.have(layer.raw() as usize)
            && has_plain_attributes(layer) == Some(true)
            && !kinds.is_written(type_of(layer.raw() as usize))
    };
    // The warning tells them: it must not be code to do so.
    let name = has(
        layers.last()?,
        &names::NAME,
        &[ffi::PyUnicode_CheckExact, ffi::PyBytes_CheckExact, ffi::PyLong_CheckExact],
    );
    let mode = layers.len() < 3 || has(&object, &names::MODE, &[ffi::PyUnicode_CheckExact]);
    Some(layers.iter().all(is_plain) && name && mode)
}

/// Is an attribute of one of these types?
fn has(object: &Object, name: &Name, checks: &[unsafe fn(*mut PyObject) -> c_int]) -> bool {
    let value = names::attribute(object, name);
    // SAFETY: the GIL is held; a live object.
    value.is_some_and(|value| checks.iter().any(|is| unsafe { is(value.raw()) } != 0))
}
