//! Settings of the process, and lists of `sys`, that count for a module at its hand-over.
//!
//! Owns which count for which, by what the rehearsal saw. How they are read and compared is python/settings.py's and
//! python/warm.py's.

use super::node::{Counts, Event, Node, State};
use super::record::item;
use super::rehearsal::Verdict;
use crate::capi::Object;
use pyo3::ffi;
use std::ffi::CStr;

/// Lists of `sys` that a module may keep: a run goes on with those of the zygote, and puts its own contents in.
const LISTS: [&CStr; 3] = [c"argv", c"orig_argv", c"path"];

/// Notes what counts, for modules from outside the standard library.
pub fn count(nodes: &mut [Node], verdict: &Verdict, is_other: impl Fn(&Node) -> bool) -> Option<()> {
    let decimal = nodes.iter().position(|node| node.name == "decimal");
    for node in nodes.iter_mut().filter(|node| is_other(node) && node.state.get() == State::Hidden) {
        let needs = |event: &Event| matches!(event, Event::Needs(n) if Some(*n) == decimal);
        if verdict.decimal.contains(&node.name) || node.events.iter().any(needs) {
            node.asks = node.asks.and(Counts::DECIMALS);
        }
        let asked = verdict.asks.iter().filter(|(name, _)| *name == node.name);
        node.asks = asked.fold(node.asks.and(Counts::SETTINGS), |asks, (_, more)| asks.and(*more));
    }
    for (name, list) in &verdict.keeps {
        let list = LISTS.into_iter().find(|name| name.to_bytes() == list.as_bytes())?;
        // SAFETY: a C string; the GIL is held.
        let object = unsafe { ffi::PySys_GetObject(list.as_ptr()) as usize };
        nodes.iter_mut().filter(|node| node.name == *name).for_each(|node| node.keeps.push((list, object)));
    }
    Some(())
}

/// Calls a function without parameters of python/warm.py. False if it fails.
pub fn call(globals: &Object, name: &str) -> bool {
    let function = item(globals, name);
    // SAFETY: the GIL is held; a live object.
    let answer = function
        .and_then(|function| unsafe { Object::own(ffi::PyObject_CallObject(function.raw(), std::ptr::null_mut())) });
    answer.is_some()
}
