//! `type.__subclasses__` without the classes that nobody has seen.
//!
//! A class knows its subclasses (`tp_subclasses`), and must go on knowing those of hidden modules: what a script sets in
//! it has to reach them too. Owns which class is whose, and a stand-in for the method, which leaves hidden classes
//! out and gives those that were handed over in the order in which cold imports would have made them. It stands in CPython's table of methods
//! (`type_methods`, `Objects/typeobject.c`), which abstract classes ask as well.

use super::node::{Hot, Node, State, referent};
use super::ring;
use crate::capi::Object;
use crate::quiet::word;
use pyo3::ffi::{self, PyObject};
use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

type Method = unsafe extern "C" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;

/// `d_method` of `PyMethodDescrObject` (`Include/cpython/descrobject.h`): behind the object's head, type, name and
/// qualified name.
const METHOD: usize = 40;

static ORIGINAL: AtomicUsize = AtomicUsize::new(0);
/// By the classes' addresses; null before there is anything.
static OWNED: AtomicPtr<Vec<Owned>> = AtomicPtr::new(std::ptr::null_mut());

/// When classes were handed over, among others. A run pays for each page that it changes, so these lie in a row.
pub type Turn = &'static Cell<u32>;

/// A class that a warm module's import made.
pub struct Owned {
    pub class: usize,
    pub owner: &'static Hot,
    pub turn: Turn,
    /// It is part of an extension, and no object of the collector's.
    pub is_static: bool,
    /// To one that may go, once it has been handed over, and leave its place to another.
    reference: Option<Object>,
}

impl Owned {
    /// Noted while modules are imported.
    pub fn new(class: usize, owner: &'static Hot, turn: Turn, is_static: bool) -> Owned {
        Owned { class, owner, turn, is_static, reference: None }
    }

    /// Is it what has this address now?
    fn is_there(&self) -> bool {
        // SAFETY: the GIL is held; a live weak reference.
        self.reference.as_ref().is_none_or(|r| unsafe { referent(r) } as usize == self.class)
    }
}

/// A turn that has not come.
pub fn new_turn() -> Turn {
    type Room = &'static [Cell<u32>];
    thread_local!(static ROOM: Cell<Room> = const { Cell::new(&[]) });
    let mut room = ROOM.get();
    if room.is_empty() {
        room = Box::leak((0..1024).map(|_| Cell::new(0)).collect());
    }
    let Some((turn, rest)) = room.split_first() else { unreachable!("a room has places") };
    ROOM.set(rest);
    turn
}

/// All classes there are, below `object`. Tells of those that are new.
pub struct Census {
    known: HashSet<usize>,
    ask: Object,
}

impl Census {
    /// Counts them.
    pub fn new() -> Option<Census> {
        // SAFETY: the GIL is held; live objects.
        let ask = unsafe { Object::share(&raw mut ffi::PyType_Type as *mut PyObject)? }.attribute(c"__subclasses__")?;
        let mut census = Census { known: HashSet::new(), ask };
        census.new_ones();
        Some(census)
    }

    /// Was it there at the last count?
    pub fn has(&self, class: usize) -> bool {
        self.known.contains(&class)
    }

    /// Classes that were not there at the last count.
    pub fn new_ones(&mut self) -> Vec<usize> {
        let mut new = Vec::new();
        let mut seen = HashSet::new();
        let mut todo = vec![&raw mut ffi::PyBaseObject_Type as usize];
        while let Some(class) = todo.pop() {
            if !seen.insert(class) {
                continue;
            }
            if self.known.insert(class) {
                new.push(class);
            }
            // SAFETY: the GIL is held; a live class, and a list of live classes.
            unsafe {
                let below = Object::share(class as *mut PyObject)
                    .and_then(|class| Object::own(ffi::PyTuple_Pack(1, class.raw())))
                    .and_then(|arguments| Object::own(ffi::PyObject_CallObject(self.ask.raw(), arguments.raw())));
                match below {
                    Some(below) => {
                        todo.extend(
                            (0..ffi::PyList_Size(below.raw())).map(|at| ffi::PyList_GetItem(below.raw(), at) as usize),
                        );
                    }
                    None => ffi::PyErr_Clear(),
                }
            }
        }
        new
    }
}

/// In the zygote, when everything is hidden. `noted` may have classes that are gone, and whose places others have got.
/// `None` if hidden classes would show.
pub fn hide(nodes: &[Node], noted: Vec<Owned>) -> Option<()> {
    let mut owned = Vec::new();
    for node in nodes.iter().filter(|node| node.state.get() == State::Hidden) {
        let owner = node.hot();
        // SAFETY: the GIL is held; live objects of the ring.
        let mut classes = unsafe { node.ring.borrow().objects() };
        // SAFETY: as above.
        classes.retain(|object| unsafe { ffi::PyType_Check(*object as *mut PyObject) != 0 });
        for class in classes {
            let known = noted.iter().find(|noted| noted.class == class && std::ptr::eq(noted.owner, owner));
            let turn = known.map_or_else(new_turn, |known| known.turn);
            // Its base has that reference already, among the subclasses, and shares it.
            // SAFETY: the GIL is held; a live class.
            let reference =
                unsafe { Object::own(ffi::PyWeakref_NewRef(class as *mut PyObject, std::ptr::null_mut()))? };
            ring::untrack(&reference);
            owned.push(Owned { reference: Some(reference), ..Owned::new(class, owner, turn, false) });
        }
    }
    owned.extend(noted.into_iter().filter(|noted| noted.is_static));
    owned.sort_unstable_by_key(|owned| owned.class);
    OWNED.store(Box::into_raw(Box::new(owned)), Relaxed);
    attach()
}

fn attach() -> Option<()> {
    // SAFETY: live objects; a descriptor of this type points to an entry of CPython's table, which is not constant.
    unsafe {
        let namespace = Object::share(&raw mut ffi::PyType_Type as *mut PyObject)?.attribute(c"__dict__")?;
        let descriptor = Object::own(ffi::PyMapping_GetItemString(namespace.raw(), c"__subclasses__".as_ptr()))?;
        (ffi::Py_TYPE(descriptor.raw()) == &raw mut ffi::PyMethodDescr_Type).then_some(())?;
        let entry = word(descriptor.raw() as usize, METHOD) as *mut ffi::PyMethodDef;
        (CStr::from_ptr((*entry).ml_name) == c"__subclasses__" && (*entry).ml_flags == ffi::METH_NOARGS)
            .then_some(())?;
        ORIGINAL.store((*entry).ml_meth.PyCFunction as usize, Relaxed);
        (*entry).ml_meth = ffi::PyMethodDefPointer { PyCFunction: subclasses };
    }
    Some(())
}

unsafe extern "C" fn subclasses(class: *mut PyObject, nothing: *mut PyObject) -> *mut PyObject {
    // SAFETY: stored by `attach`; called by CPython.
    unsafe {
        let all = std::mem::transmute::<usize, Method>(ORIGINAL.load(Relaxed))(class, nothing);
        let owned = OWNED.load(Relaxed).as_ref();
        let Some((all, owned)) = Object::own(all).zip(owned) else { return std::ptr::null_mut() };
        match without_hidden(&all, owned) {
            Some(rest) => rest.into_raw(),
            None if ffi::PyErr_Occurred().is_null() => all.into_raw(),
            None => std::ptr::null_mut(),
        }
    }
}

/// None if there is nothing to leave out or to put in order.
unsafe fn without_hidden(all: &Object, owned: &[Owned]) -> Option<Object> {
    let find = |class: usize| owned.binary_search_by_key(&class, |owned| owned.class).ok().and_then(|at| owned.get(at));
    // SAFETY: the GIL is held; a list of live classes, which nobody else has.
    unsafe {
        let (mut before, mut given, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..ffi::PyList_Size(all.raw()) {
            let class = ffi::PyList_GetItem(all.raw(), at);
            match find(class as usize).filter(|owned| owned.owner.state.get() != State::Given || owned.is_there()) {
                Some(owned) if owned.owner.state.get() == State::Given => given.push((owned.turn.get(), class)),
                Some(_) => given.push((u32::MAX, class)),
                None if given.is_empty() => before.push(class),
                None => after.push(class),
            }
        }
        if given.is_empty() {
            return None;
        }
        given.retain(|(turn, _)| *turn != u32::MAX);
        given.sort_by_key(|(turn, _)| *turn);
        let rest = Object::own(ffi::PyList_New(0))?;
        for class in before.into_iter().chain(given.into_iter().map(|(_, class)| class)).chain(after) {
            (ffi::PyList_Append(rest.raw(), class) == 0).then_some(())?;
        }
        Some(rest)
    }
}
