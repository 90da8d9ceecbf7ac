//! Files that a script leaves open, of CPython's own types.
//!
//! When it frees one, CPython warns, which is ignored by default, writes out what it holds, and closes it. Owns doing what
//! of that can be seen from outside, after the standard streams were flushed, as CPython does. Where two files hold something, or
//! one that is no regular file, their end is left to it.

use super::kinds::{Kind, Kinds, type_of};
use super::streams::{Streams, has_plain_attributes};
use crate::capi::Object;
use crate::names;
use pyo3::ffi::{self, PyObject};
use pyzy_sys::file;

/// What has to be flushed: the outer layers first.
#[derive(Default)]
pub struct Files {
    texts: Vec<Object>,
    buffers: Vec<Object>,
}

impl Files {
    /// Of these objects. `None` if one of them ends in another way.
    pub fn left_open(kinds: &Kinds, streams: &Streams, objects: &[(Kind, usize)]) -> Option<Files> {
        let mut files = Files::default();
        for &(kind, object) in objects {
            (kind == Kind::File).then_some(())?;
            // SAFETY: the GIL is held; a live object.
            let object = unsafe { Object::share(object as *mut PyObject)? };
            let layers = kinds.layers(&object)?;
            let is_plain =
                |layer: &Object| !streams.have(layer.raw() as usize) && has_plain_attributes(layer) == Some(true);
            let raw = layers.last()?;
            (layers.iter().all(is_plain) && has_plain_name(raw)).then_some(())?;
            let holds = layers.iter().any(|layer| kinds.is_written(type_of(layer.raw() as usize)));
            if !holds {
                continue;
            }
            is_regular(raw).then_some(())?;
            match layers.len() {
                3 => files.texts.push(object),
                2 => files.buffers.push(object),
                _ => {}
            }
        }
        (files.buffers.len() < 2).then_some(files)
    }

    /// Writes out what they hold. False if that fails: it will fail once more, and be reported, when CPython does it.
    pub fn flush(&self) -> bool {
        self.texts.iter().chain(&self.buffers).all(|file| {
            let flushed = names::attribute(file, &names::FLUSH).and_then(|flush| {
                // SAFETY: the GIL is held; a live object.
                unsafe { Object::own(ffi::PyObject_CallObject(flush.raw(), std::ptr::null_mut())) }
            });
            flushed.is_some()
        })
    }
}

/// The warning tells it: it must not be code to do so.
fn has_plain_name(raw: &Object) -> bool {
    let name = names::attribute(raw, &names::NAME);
    // SAFETY: the GIL is held; a live object.
    name.is_some_and(|name| unsafe {
        [ffi::PyUnicode_CheckExact, ffi::PyBytes_CheckExact, ffi::PyLong_CheckExact]
            .iter()
            .any(|is| is(name.raw()) != 0)
    })
}

fn is_regular(raw: &Object) -> bool {
    let number = raw.attribute(c"fileno").and_then(|fileno| {
        // SAFETY: the GIL is held; a live object.
        unsafe { Object::own(ffi::PyObject_CallObject(fileno.raw(), std::ptr::null_mut())) }
    });
    // SAFETY: the GIL is held; a live object.
    let number = number.map(|number| unsafe { ffi::PyLong_AsLong(number.raw()) });
    number.is_some_and(|number| i32::try_from(number).is_ok_and(|fd| file::fstat(fd).is_ok_and(|s| s.is_file())))
}
