//! What is known of a module: the zygote's own, or one that is kept warm.

use super::leave::Hold;
use super::made::Made;
use super::ring::Ring;
use super::subclasses::Turn;
use crate::capi::Object;
use crate::entry;
use crate::quiet::{self, Kept, Layout};
use pyo3::ffi::{self, PyObject};
use pyzy_core::fresh::Facts;
use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::mem::MaybeUninit;

/// A path, and how it was when the modules were imported.
pub struct Place {
    pub path: Vec<u8>,
    pub facts: Facts,
    /// The number of the entry of `sys.path` that it lies below; `usize::MAX` for none.
    pub entry: usize,
    /// Only asked whether it is a link: of a directory its times do not count, nor its size.
    pub is_passed: bool,
}

impl Place {
    /// Is it as it was, by what is there now?
    pub fn is_same(&self, now: Facts) -> bool {
        match (self.facts, now) {
            (Some(before), Some(now)) if self.is_on_the_way() => before[..3] == now[..3],
            (before, now) => before == now,
        }
    }

    /// Does it count only as a directory on the way to something?
    pub fn is_on_the_way(&self) -> bool {
        let is_directory = |facts: [u64; 6]| facts[2] as u32 & libc::S_IFMT == libc::S_IFDIR;
        self.is_passed && self.facts.is_some_and(is_directory)
    }
}

/// Says which path is not as it was, and in what. Told once in a run, or a few times. The image has served its time.
pub fn changed(what: &str, path: &[u8], before: Facts, now: Facts) -> &'static str {
    entry::wear_out();
    const NAMES: [&str; 6] = ["device", "inode", "mode", "size", "mtime", "ctime"];
    let how = match (before, now) {
        (Some(before), Some(now)) => {
            let differing = (0..NAMES.len()).filter(|&at| before[at] != now[at]);
            differing
                .map(|at| format!("{} was {}, is {}", NAMES[at], before[at], now[at]))
                .collect::<Vec<_>>()
                .join(", ")
        }
        (None, _) => "was not there".to_string(),
        (_, None) => "is gone".to_string(),
    };
    Box::leak(format!("{what}: {}: {how}", String::from_utf8_lossy(path)).into_boxed_str())
}

/// What a module is in this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Here from the start.
    Base,
    /// Nobody has seen it.
    Hidden,
    /// Handed over.
    Given,
}

/// Settings of the process that count for a module: bits that python/warm.py knows as well.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts(pub u8);

impl Counts {
    /// Those that always count for modules from outside the standard library.
    pub const SETTINGS: Counts = Counts(1);
    /// What decides on warnings, and on records of logging.
    pub const FILTERS: Counts = Counts(2);
    pub const LOGGING: Counts = Counts(4);
    /// How decimals are computed.
    pub const DECIMALS: Counts = Counts(8);

    /// Both.
    pub fn and(self, other: Counts) -> Counts {
        Counts(self.0 | other.0)
    }
}

/// What happened while a module was imported, in order.
pub enum Event {
    /// It asked for this module and got it whole.
    Needs(usize),
    /// It asked for a module whose own import was under way.
    Within(usize),
    /// It looked this module up in `sys.modules`, and found it.
    Finds(usize),
    /// It asked for a name that is nowhere.
    Absent(usize),
    /// It looked for this name in `sys.modules`, which had none.
    Misses(Object),
    /// It put this into `sys.modules` by itself.
    Inserts(usize),
    /// It searched a package's directory for what is nowhere: what `sys.path_importer_cache` has for that.
    Searches(Object, Object),
    /// It made classes.
    Makes(Turn),
    /// It changed something that is not its own.
    Effect(Box<Effect>),
}

/// A change of something that is not the module's own.
pub enum Effect {
    /// An entry of a dictionary. `class` is the class and `owner` the module whose namespace it is.
    Set {
        dictionary: Object,
        class: Option<Object>,
        owner: Option<usize>,
        key: Object,
        old: Option<Object>,
        new: Object,
    },
    /// Items added to a list, at its front and its end; `before` is what it held. `changed` is told.
    Add { list: Object, before: Vec<Object>, front: Vec<Object>, back: Vec<Object>, changed: Option<Object> },
    /// A call that registers something.
    Call { function: Object, arguments: Object, keywords: Option<Object> },
}

/// What a hand-over changes of a node. A run pays for each page that it changes, so these lie in a row.
#[repr(align(16))]
pub struct Hot {
    /// Ours until the hand-over, then nobody's.
    pub module: RefCell<Option<Object>>,
    pub state: Cell<State>,
    /// Its effects have been made again: what they held is the script's.
    pub is_done: Cell<bool>,
    /// What the collector has of it.
    pub ring: RefCell<Ring>,
    /// What its namespace holds.
    pub content: Content,
}

impl Hot {
    fn new(state: State) -> &'static Hot {
        type Room = &'static mut [MaybeUninit<Hot>];
        thread_local!(static ROOM: Cell<Room> = const { Cell::new(&mut []) });
        let mut room = ROOM.take();
        if room.is_empty() {
            room = Box::leak(Box::new_uninit_slice(1024));
        }
        let Some((place, rest)) = room.split_first_mut() else { unreachable!("a room has places") };
        ROOM.set(rest);
        let hot = place.write(Hot {
            module: RefCell::new(None),
            state: Cell::new(state),
            is_done: Cell::new(false),
            ring: RefCell::new(Ring::unlinked()),
            content: Content::default(),
        });
        hot.ring.get_mut().link();
        hot
    }
}

impl std::ops::Deref for Node {
    type Target = Hot;

    fn deref(&self) -> &Hot {
        self.hot
    }
}

/// A module.
pub struct Node {
    hot: &'static Hot,
    /// The key in `sys.modules`.
    pub key: Object,
    pub name: String,
    /// Tells whether the module that we know still lives.
    pub reference: Option<Object>,
    /// Its namespace, if it is a module (`modules::namespace`).
    pub namespace: *mut PyObject,
    /// The address of its class.
    pub class: usize,
    /// The package it is in.
    pub parent: Option<usize>,
    /// Its own `__path__` and the one entry of it, if it is a package.
    pub package: Option<(Object, Object)>,
    /// What `sys.path_importer_cache` has for the directory it was found in, if that is a package's.
    pub finder: Option<(Object, Object)>,
    /// The number of its first name, if it was found along `sys.path`, and of the entry.
    pub found: Option<(usize, usize)>,
    pub events: Vec<Event>,
    /// Numbers of places that must be as they were.
    pub places: Vec<usize>,
    /// Variables that its import read, with their values.
    pub variables: Vec<(std::ffi::CString, Option<Vec<u8>>)>,
    /// Its import asked who the machine is (`man 2 uname`).
    pub host: bool,
    /// Its import asked for the process's processors, limits, priority.
    pub means: [bool; 3],
    /// Settings of the process that its import may have asked for.
    pub asks: Counts,
    /// Lists of `sys` that it keeps: the run's must be those.
    pub keeps: Vec<(&'static CStr, usize)>,
    /// Its import fails, as long as what it asks for is nowhere.
    pub fails: bool,
    /// Names that it looked up in `sys.modules`, and that were not there.
    pub misses: Vec<Object>,
    /// Modules with which it is handed over, or not at all: one changes the other beyond its names.
    pub tied: Vec<usize>,
    /// Why it is not handed over.
    pub refused: Option<String>,
    /// Called after the hand-over: makes its state this process's own.
    pub settle: Option<Object>,
    /// What its objects do at the end.
    pub kept: Option<Kept>,
    /// Its import registers classes with abstract ones.
    pub registers: bool,
    /// It was put into `sys.modules` by another module.
    pub inserted: bool,
    /// By C code, which makes it where it is missing (`PyImport_AddModule`): who comes first does so.
    pub is_bare: bool,
    /// It is made of Python code.
    pub is_source: bool,
    /// What its import has made, where that counts.
    pub made: Made,
    /// Objects of the start and of other modules that its own hold on to.
    pub holds: Vec<Hold>,
    /// It is an extension that is initialised once a process.
    pub once: bool,
    /// It is an extension: where its code is.
    pub library: Option<Vec<u8>>,
    /// Nobody knows what that does at the end.
    pub is_loud: bool,
    /// The number of that among those from outside the standard library.
    pub foreign: Option<usize>,
    /// What C code finds it by, if that was taken out (`definitions`).
    pub definition: *mut ffi::PyModuleDef,
    /// The number of that among those asleep.
    pub asleep: Option<usize>,
    /// All of those that its hand-over wakes.
    pub wakes: Vec<usize>,
}

impl Node {
    /// A name, and nothing known yet.
    pub fn new(key: Object, name: String, state: State) -> Node {
        Node {
            hot: Hot::new(state),
            key,
            name,
            reference: None,
            namespace: std::ptr::null_mut(),
            class: 0,
            parent: None,
            package: None,
            finder: None,
            found: None,
            events: Vec::new(),
            places: Vec::new(),
            variables: Vec::new(),
            host: false,
            means: [false; 3],
            asks: Counts::default(),
            keeps: Vec::new(),
            fails: false,
            misses: Vec::new(),
            tied: Vec::new(),
            refused: None,
            settle: None,
            kept: None,
            registers: false,
            inserted: false,
            is_bare: false,
            is_source: false,
            made: Made::default(),
            holds: Vec::new(),
            once: false,
            library: None,
            is_loud: false,
            foreign: None,
            definition: std::ptr::null_mut(),
            asleep: None,
            wakes: Vec::new(),
        }
    }

    /// What a hand-over changes of it.
    pub fn hot(&self) -> &'static Hot {
        self.hot
    }

    /// Notes the first reason not to hand it over.
    pub fn refuse(&mut self, why: impl Into<String>) {
        self.refused.get_or_insert_with(|| why.into());
    }

    /// Is this the module that we know?
    ///
    /// # Safety
    /// The GIL is held; a live object.
    pub unsafe fn is(&self, object: *mut PyObject) -> bool {
        // SAFETY: a live weak reference.
        self.reference.as_ref().is_some_and(|r| unsafe { referent(r) } == object)
    }

    /// Is its namespace as it was?
    ///
    /// # Safety
    /// The GIL is held; the module lives.
    pub unsafe fn is_unchanged(&self, layout: &Layout, skip: &[usize]) -> bool {
        // SAFETY: the caller's promise.
        self.namespace.is_null() || unsafe { self.content.is_in(layout, self.namespace, skip) }
    }
}

/// They are handed over together, or not at all.
pub fn tie(nodes: &mut [Node], one: usize, other: usize) {
    nodes[one].tied.push(other);
    nodes[other].tied.push(one);
}

/// What a dictionary held when it was last looked at.
#[derive(Default)]
pub struct Content {
    sum: Cell<u64>,
    /// The dictionary's version then, if it has one.
    version: Cell<u64>,
}

impl Content {
    /// Takes it as it is now.
    ///
    /// # Safety
    /// The GIL is held; an exact dictionary.
    pub unsafe fn take(&self, layout: &Layout, dictionary: *mut PyObject, skip: &[usize]) {
        // SAFETY: the caller's promise.
        unsafe {
            self.sum.set(sum(dictionary, skip));
            self.version.set(layout.version_of(dictionary as usize));
        }
    }

    /// Is it still that? Asked again, it takes a look at the version.
    ///
    /// # Safety
    /// The GIL is held; an exact dictionary.
    pub unsafe fn is_in(&self, layout: &Layout, dictionary: *mut PyObject, skip: &[usize]) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let is_same = self.has_version(layout, dictionary) || sum(dictionary, skip) == self.sum.get();
            let now = layout.version_of(dictionary as usize);
            if is_same && now != self.version.get() {
                self.version.set(now);
            }
            is_same
        }
    }

    unsafe fn has_version(&self, layout: &Layout, dictionary: *mut PyObject) -> bool {
        // SAFETY: the caller's promise.
        let now = unsafe { layout.version_of(dictionary as usize) };
        now != 0 && now == self.version.get()
    }

    /// Follows a change of ours: `change` gives an entry a new value.
    ///
    /// # Safety
    /// The GIL is held; an exact dictionary.
    pub unsafe fn follow(
        &self,
        layout: &Layout,
        dictionary: *mut PyObject,
        [key, old, new]: [*mut PyObject; 3],
        change: impl FnOnce(),
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let is_current = self.has_version(layout, dictionary);
            change();
            let gone = if old.is_null() { 0 } else { entry(key, old) };
            self.sum.set(self.sum.get().wrapping_sub(gone).wrapping_add(entry(key, new)));
            if is_current {
                self.version.set(layout.version_of(dictionary as usize));
            }
        }
    }
}

/// What a weak reference refers to, borrowed; None's address if that is gone.
///
/// # Safety
/// The GIL is held; a weak reference.
pub unsafe fn referent(reference: &Object) -> *mut PyObject {
    // SAFETY: the caller's promise.
    unsafe { ffi::PyWeakref_GetObject(reference.raw()) }
}

/// What an entry adds to the sum of a namespace.
fn entry(key: *mut PyObject, value: *mut PyObject) -> u64 {
    let (key, value) = (key as u64, value as u64);
    (key ^ value.rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value.wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
}

/// The entries of a dictionary, added up: equal for equal entries, whatever their order. Keys that do not count are
/// skipped; those of a namespace are interned, so an address says it all.
///
/// # Safety
/// The GIL is held; an exact dictionary.
unsafe fn sum(dictionary: *mut PyObject, skip: &[usize]) -> u64 {
    // SAFETY: nothing is changed while we look.
    unsafe {
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        let mut total = 0u64;
        while ffi::PyDict_Next(dictionary, &mut at, &mut key, &mut value) != 0 {
            if skip.is_empty() || !skip.contains(&(key as usize)) {
                total = total.wrapping_add(entry(key, value));
            }
        }
        total
    }
}

/// Text of a Python string.
pub fn text(object: &Object) -> Option<String> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        (ffi::PyUnicode_CheckExact(object.raw()) != 0).then_some(())?;
        let bytes = Object::own(ffi::PyUnicode_EncodeFSDefault(object.raw()))?;
        let start = ffi::PyBytes_AsString(bytes.raw());
        let text = std::slice::from_raw_parts(start.cast::<u8>(), ffi::PyBytes_Size(bytes.raw()) as usize);
        String::from_utf8(text.to_vec()).ok()
    }
}

/// Looks at what the objects of a ring do at the end.
pub fn keep(node: &mut Node, layout: &Layout) {
    // SAFETY: the GIL is held; nothing changes meanwhile.
    let objects = unsafe { node.ring.borrow().objects() };
    node.kept = quiet::examine(layout, objects);
}
