//! Extensions of the standard library that C code finds by their definition (`PyState_FindModule`, `Python/pystate.c`).
//!
//! CPython enters a module there that is initialised once a process, and such an initialisation may begin with a look whether that has been done
//! (`_pickle` before 3.12, which some distributions build into the interpreter). Owns taking hidden ones out, and entering them again at
//! their hand-over.

use super::node::{Node, State};
use pyo3::ffi::{self, PyModuleDef, PyObject};

/// In the zygote, when everything is hidden.
pub fn hide(nodes: &mut [Node]) {
    // Classes of other packages' extensions may be in use while their module is hidden (`leads`).
    let is_outside = |node: &Node| node.foreign.is_some() && !node.once;
    for node in nodes.iter_mut().filter(|node| node.state.get() == State::Hidden && !node.inserted && !is_outside(node))
    {
        let Some(module) = node.module.borrow().as_ref().map(|module| module.raw()) else { continue };
        // SAFETY: the GIL is held; a live object; a definition lives for ever.
        unsafe {
            let is_module = ffi::PyModule_CheckExact(module) != 0;
            let definition = if is_module { ffi::PyModule_GetDef(module) } else { std::ptr::null_mut() };
            let is_entered = !definition.is_null()
                && (*definition).m_slots.is_null()
                && ffi::PyState_FindModule(definition) == module;
            if is_entered && ffi::PyState_RemoveModule(definition) == 0 {
                node.definition = definition;
            }
            ffi::PyErr_Clear();
        }
    }
}

/// It is handed over.
///
/// # Safety
/// The GIL is held; the node's module.
pub unsafe fn enter(definition: *mut PyModuleDef, module: *mut PyObject) {
    // SAFETY: the caller's promise.
    unsafe {
        if !definition.is_null() && ffi::PyState_FindModule(definition).is_null() {
            ffi::PyState_AddModule(module, definition);
            ffi::PyErr_Clear();
        }
    }
}
