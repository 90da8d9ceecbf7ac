//! Who changes what while modules are imported.
//!
//! Owns the comparison of namespaces and known registries before and after, and
//! the way back. A change that has no way back is a reason not to keep the module.

use super::node::{Effect, Event, Node};
use super::world::{class_namespace, items};
use crate::capi::Object;
use crate::quiet::Layout;
use pyo3::ffi::{self, PyObject};
use std::collections::HashMap;

/// A dictionary under observation, and what it held.
pub struct Watch {
    pub dictionary: Object,
    pub owner: Option<usize>,
    /// The class whose namespace it is.
    class: Option<Object>,
    before: Vec<(Object, Object)>,
}

/// The entries, in order.
///
/// # Safety
/// The GIL is held; an exact dictionary.
unsafe fn entries(dictionary: &Object) -> Vec<(Object, Object)> {
    let mut all = Vec::new();
    // SAFETY: nothing is changed while we look.
    unsafe {
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        while ffi::PyDict_Next(dictionary.raw(), &mut at, &mut key, &mut value) != 0 {
            all.extend(Object::share(key).zip(Object::share(value)));
        }
    }
    all
}

/// Is everything as it was?
unsafe fn is_same(dictionary: &Object, before: &[(Object, Object)]) -> bool {
    // SAFETY: as above.
    unsafe {
        if ffi::PyDict_Size(dictionary.raw()) != before.len() as isize {
            return false;
        }
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        let mut number = 0;
        while ffi::PyDict_Next(dictionary.raw(), &mut at, &mut key, &mut value) != 0 {
            if before[number].0.raw() != key || before[number].1.raw() != value {
                return false;
            }
            number += 1;
        }
        true
    }
}

impl Watch {
    /// Begins.
    pub fn new(dictionary: Object, owner: Option<usize>) -> Watch {
        // SAFETY: the GIL is held; the caller has an exact dictionary.
        let before = unsafe { entries(&dictionary) };
        Watch { dictionary, owner, class: None, before }
    }

    /// Begins with the namespace of a class, which is changed through the class.
    pub fn class(class: Object, owner: usize) -> Option<Watch> {
        Some(Watch { class: Some(class_share(&class)?), ..Watch::new(class_namespace(&class)?, Some(owner)) })
    }

    /// Takes things as they are now.
    pub fn refresh(&mut self) {
        // SAFETY: as in `new`.
        unsafe {
            if !is_same(&self.dictionary, &self.before) {
                self.before = entries(&self.dictionary);
            }
        }
    }

    /// What has changed since, as effects of `node`.
    pub fn changes(&mut self, node: &mut Node) -> Vec<Effect> {
        let mut found = Vec::new();
        // SAFETY: as in `new`.
        unsafe {
            if is_same(&self.dictionary, &self.before) {
                return found;
            }
            let now = entries(&self.dictionary);
            for (key, old) in &self.before {
                if !now.iter().any(|(k, _)| k.raw() == key.raw()) {
                    node.refuse("it deletes something that is not its own");
                }
                let _ = old;
            }
            for (key, new) in &now {
                let old = self.before.iter().find(|(k, _)| k.raw() == key.raw()).map(|(_, value)| value);
                if old.is_some_and(|old| old.raw() == new.raw()) {
                    continue;
                }
                if ffi::PyUnicode_CheckExact(key.raw()) != 0
                    && super::node::text(key).as_deref() == Some("__warningregistry__")
                {
                    node.refuse("it warns while it is imported");
                }
                let (class, owner) = match &self.class {
                    Some(class) => (class_share(class), None),
                    None => (None, self.owner),
                };
                found.extend(effect(&self.dictionary, class, owner, key, old, new));
            }
            self.before = now;
        }
        found
    }
}

unsafe fn effect(
    dictionary: &Object,
    class: Option<Object>,
    owner: Option<usize>,
    key: &Object,
    old: Option<&Object>,
    new: &Object,
) -> Option<Effect> {
    // SAFETY: live objects.
    unsafe {
        let old = match old {
            Some(old) => Some(Object::share(old.raw())?),
            None => None,
        };
        Some(Effect::Set {
            dictionary: Object::share(dictionary.raw())?,
            class,
            owner,
            key: Object::share(key.raw())?,
            old,
            new: Object::share(new.raw())?,
        })
    }
}

/// A list that modules add to, under observation.
pub struct WatchedList {
    list: Object,
    /// Called after each change.
    changed: Option<Object>,
    before: Vec<Object>,
}

impl WatchedList {
    /// Begins, with an exact list.
    pub fn new(list: Object, changed: Option<Object>) -> Option<WatchedList> {
        let before = items(&list)?;
        Some(WatchedList { list, changed, before })
    }

    /// What was added since, by `node` or, without one, by nobody in particular.
    pub fn added(&mut self, node: Option<&mut Node>) -> Option<Effect> {
        let now = items(&self.list)?;
        let is_same =
            |a: &[Object], b: &[Object]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.raw() == b.raw());
        if is_same(&now, &self.before) {
            return None;
        }
        let before = std::mem::replace(&mut self.before, items(&self.list)?);
        let node = node?;
        let places = 0..=now.len().saturating_sub(before.len());
        let at = places.into_iter().find(|&at| now.get(at..at + before.len()).is_some_and(|n| is_same(n, &before)));
        if at.is_none() {
            node.refuse("it changes a list that is not its own");
        }
        let share = |items: &[Object]| items.iter().filter_map(class_share).collect();
        let front = share(&now[..at.unwrap_or(0)]);
        let back = at.map_or(Vec::new(), |at| share(&now[at + before.len()..]));
        let (list, changed) = (class_share(&self.list)?, self.changed.as_ref().and_then(class_share));
        Some(Effect::Add { list, before, front, back, changed })
    }
}

fn call(function: Option<&Object>) {
    // SAFETY: the GIL is held; a live function without parameters.
    unsafe {
        if let Some(function) = function
            && Object::own(ffi::PyObject_CallObject(function.raw(), std::ptr::null_mut())).is_none()
        {
            ffi::PyErr_Clear();
        }
    }
}

impl Effect {
    /// Takes it back.
    pub fn undo(&self) {
        match self {
            Effect::Set { dictionary, class, key, old, .. } => put(dictionary, class.as_ref(), key, old.as_ref()),
            Effect::Add { list, before, changed, .. } => {
                // SAFETY: the GIL is held; an exact list, and a new one that lends its items.
                unsafe {
                    let Some(old) = Object::own(ffi::PyList_New(0)) else { return };
                    for item in before {
                        ffi::PyList_Append(old.raw(), item.raw());
                    }
                    ffi::PyList_SetSlice(list.raw(), 0, ffi::PyList_Size(list.raw()), old.raw());
                }
                call(changed.as_ref());
            }
            Effect::Call { .. } => {}
        }
    }

    /// Would it change what the import found? `planned` has by dictionary and key what will have been set by then.
    pub fn is_due(&self, planned: &mut HashMap<[usize; 2], usize>) -> bool {
        if let Effect::Add { list, front, back, .. } = self {
            // What is there already is not added, or moved.
            // SAFETY: the GIL is held; live objects. Tuples and weak references, which compare without anybody's code.
            return front.iter().chain(back).all(|a| unsafe { ffi::PySequence_Contains(list.raw(), a.raw()) == 0 });
        }
        let Effect::Set { dictionary, key, old, new, .. } = self else { return true };
        let place = [dictionary.raw() as usize, key.raw() as usize];
        let now = match planned.insert(place, new.raw() as usize) {
            Some(set) => set,
            // SAFETY: the GIL is held; live objects.
            None => unsafe { ffi::PyDict_GetItem(dictionary.raw(), key.raw()) as usize },
        };
        now == old.as_ref().map_or(0, |old| old.raw() as usize)
    }

    /// The address of the dictionary that it changes.
    pub fn dictionary(&self) -> Option<usize> {
        match self {
            Effect::Set { dictionary, .. } => Some(dictionary.raw() as usize),
            _ => None,
        }
    }

    /// Does it again.
    pub fn replay(&self, layout: &Layout, nodes: &[Node]) {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            match self {
                Effect::Set { dictionary, class, owner, key, old, new } => {
                    let change = || put(dictionary, class.as_ref(), key, Some(new));
                    let Some(owner) = owner else { return change() };
                    let entry = [key.raw(), old.as_ref().map_or(std::ptr::null_mut(), Object::raw), new.raw()];
                    nodes[*owner].content.follow(layout, dictionary.raw(), entry, change);
                }
                Effect::Add { list, front, back, changed, .. } => {
                    for item in front.iter().rev() {
                        ffi::PyList_Insert(list.raw(), 0, item.raw());
                    }
                    for item in back {
                        ffi::PyList_Append(list.raw(), item.raw());
                    }
                    call(changed.as_ref());
                }
                Effect::Call { function, arguments, keywords } => {
                    let keywords = keywords.as_ref().map_or(std::ptr::null_mut(), Object::raw);
                    if Object::own(ffi::PyObject_Call(function.raw(), arguments.raw(), keywords)).is_none() {
                        ffi::PyErr_Clear();
                    }
                }
            }
        }
    }
}

/// Sets or deletes an entry; that of a class as `type` does it, which keeps its caches right.
fn put(dictionary: &Object, class: Option<&Object>, key: &Object, value: Option<&Object>) {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        match (class, value) {
            (None, Some(value)) => drop(ffi::PyDict_SetItem(dictionary.raw(), key.raw(), value.raw())),
            (None, None) => drop(ffi::PyDict_DelItem(dictionary.raw(), key.raw())),
            (Some(class), value) => {
                let kind = &raw mut ffi::PyType_Type as *mut PyObject;
                let name = if value.is_some() { c"__setattr__" } else { c"__delattr__" };
                let done = Object::share(kind).and_then(|kind| kind.attribute(name)).and_then(|method| {
                    let arguments = match value {
                        Some(value) => ffi::PyTuple_Pack(3, class.raw(), key.raw(), value.raw()),
                        None => ffi::PyTuple_Pack(2, class.raw(), key.raw()),
                    };
                    let arguments = Object::own(arguments)?;
                    Object::own(ffi::PyObject_CallObject(method.raw(), arguments.raw()))
                });
                drop(done);
            }
        }
        // What is gone cannot be deleted.
        if !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
        }
    }
}

fn class_share(class: &Object) -> Option<Object> {
    // SAFETY: the GIL is held; a live object.
    unsafe { Object::share(class.raw()) }
}

/// Takes back the effects of all nodes, the last first. `order` has node and number of each, in time.
pub fn undo_all(nodes: &[Node], order: &[(usize, usize)]) {
    for &(node, event) in order.iter().rev() {
        if let Event::Effect(effect) = &nodes[node].events[event] {
            effect.undo();
        }
    }
}

/// A dictionary that is an attribute of a module in `sys.modules`.
pub fn attribute(module: *mut PyObject, name: &std::ffi::CStr) -> Option<Object> {
    // SAFETY: the GIL is held; a live object.
    unsafe {
        let value = Object::share(module)?.attribute(name);
        if value.is_none() {
            ffi::PyErr_Clear();
        }
        value.filter(|value| ffi::PyDict_CheckExact(value.raw()) != 0)
    }
}
