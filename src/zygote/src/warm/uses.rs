//! Things in extensions after whose use an end may be seen.
//!
//! Owns the list of them; `quiet::uses` is told of each use.

use super::node::Node;
use crate::quiet;
use pyo3::ffi;
use std::ffi::CStr;

/// Classes and functions.
const USES: [(&str, &CStr); 5] = [
    ("_ctypes", c"CFuncPtr"),
    ("_ctypes", c"call_function"),
    ("_ctypes", c"call_cdeclfunction"),
    ("numpy._core._multiarray_umath", c"nditer"),
    ("numpy._core._multiarray_umath", c"nested_iters"),
];

/// In the zygote.
pub fn watch(node: &Node) {
    for (_, name) in USES.iter().filter(|(module, _)| node.name == *module) {
        let thing = node.module.borrow().as_ref().and_then(|module| module.attribute(name));
        // SAFETY: the GIL is held; what a hidden module has stays.
        unsafe {
            ffi::PyErr_Clear();
            if let Some(thing) = thing {
                quiet::uses::watch_class(&thing);
                quiet::uses::watch_function(&thing);
            }
        }
    }
}
