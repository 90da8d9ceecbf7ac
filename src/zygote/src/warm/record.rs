//! Importing modules into the zygote, and noting everything that matters about it.
//!
//! Owns the recorder: which module's import is under way, what it asks for, what
//! it changes that is not its own, which objects it makes. It is told by the two ways that lead to
//! an import: `__import__`, which it replaces meanwhile, and importlib's
//! `_find_and_load`, through which everything goes that is not there yet.

mod origin;
pub use origin::NO_BYTECODE;

use super::abstracts;
use super::list::ASKED_AGAIN;
use super::modules::namespace;
use super::node::{Event, Node, Place, State, text};
use super::rehearsal;
use super::ring::Ring;
use super::subclasses::{Census, Owned, new_turn};
use super::watch::{Watch, WatchedList, attribute};
use super::world::Paths;
use crate::capi::{self, Object};
use crate::quiet::Layout;
use crate::trace::{self, Call};
use pyo3::ffi::{self, PyObject};
use pyzy_sys::file;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::sync::Mutex;

/// What the C library was asked since the last look; filled by the trace.
pub static CALLS: Mutex<Vec<Call>> = Mutex::new(Vec::new());

/// What is said of a name that no import finds.
pub const NOWHERE: &str = "it is nowhere";

/// The state of a recording.
pub struct Recorder<'a> {
    pub nodes: Vec<Node>,
    pub index: HashMap<String, usize>,
    pub places: Vec<Place>,
    /// First names that were asked for and are nowhere, or were found along `sys.path`.
    pub names: Vec<String>,
    /// Effects in time: node and number of the event.
    pub order: Vec<(usize, usize)>,
    stack: Vec<usize>,
    watches: Vec<Watch>,
    lists: Vec<WatchedList>,
    /// Modules from outside the standard library are imported as well: what they look at below `sys.path` counts.
    wide: bool,
    /// The names that may be imported, once that is limited.
    allowed: Option<HashSet<String>>,
    classes_seen: HashSet<usize>,
    classes_owned: HashSet<usize>,
    census: Census,
    /// Classes that imports have made.
    pub owned: Vec<Owned>,
    size: isize,
    registrations: abstracts::Registrations,
    seen: HashMap<usize, usize>,
    layout: &'a Layout,
    marker: Object,
    scrap: &'static mut Ring,
    paths: &'a Paths,
    classes: Loaders,
    modules: Object,
}

/// CPython's own importers and loaders.
struct Loaders {
    builtin: Object,
    frozen: Object,
    source: Object,
    extension: Object,
}

impl Loaders {
    fn new() -> Option<Loaders> {
        let inner = |name| capi::sys(c"modules").and_then(|m| item(&m, name));
        let (first, second) = (inner("_frozen_importlib")?, inner("_frozen_importlib_external")?);
        Some(Loaders {
            builtin: first.attribute(c"BuiltinImporter")?,
            frozen: first.attribute(c"FrozenImporter")?,
            source: second.attribute(c"SourceFileLoader")?,
            extension: second.attribute(c"ExtensionFileLoader")?,
        })
    }
}

/// An entry of a dictionary by its name.
pub fn item(dictionary: &Object, name: &str) -> Option<Object> {
    let name = CString::new(name).ok()?;
    // SAFETY: the GIL is held; live objects.
    unsafe { Object::share(ffi::PyDict_GetItemString(dictionary.raw(), name.as_ptr())) }
}

impl<'a> Recorder<'a> {
    pub fn new(layout: &'a Layout, paths: &'a Paths, wide: bool) -> Option<Recorder<'a>> {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let modules = Object::share(ffi::PyImport_GetModuleDict())?;
            let mut recorder = Recorder {
                nodes: Vec::new(),
                index: HashMap::new(),
                places: Vec::new(),
                names: Vec::new(),
                order: Vec::new(),
                stack: Vec::new(),
                watches: Vec::new(),
                lists: Vec::new(),
                wide,
                allowed: None,
                classes_seen: HashSet::new(),
                classes_owned: HashSet::new(),
                census: Census::new()?,
                owned: Vec::new(),
                size: 0,
                registrations: abstracts::Registrations::new(),
                seen: HashMap::new(),
                layout,
                marker: Object::own(ffi::PyList_New(0))?,
                scrap: Ring::new(),
                paths,
                classes: Loaders::new()?,
                modules,
            };
            let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            while ffi::PyDict_Next(recorder.modules.raw(), &mut at, &mut key, &mut value) != 0 {
                let (key, value) = (Object::share(key)?, Object::share(value)?);
                let name = text(&key)?;
                let number = recorder.add(key, name, State::Base);
                recorder.adopt(number, value);
            }
            recorder.mark();
            Some(recorder)
        }
    }

    fn add(&mut self, key: Object, name: String, state: State) -> usize {
        self.index.insert(name.clone(), self.nodes.len());
        self.nodes.push(Node::new(key, name, state));
        self.nodes.len() - 1
    }

    /// The module is there: its namespace and what is known to be kept in it are watched from now on.
    fn adopt(&mut self, number: usize, module: Object) {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            self.seen.insert(self.nodes[number].key.raw() as usize, module.raw() as usize);
            let own = namespace(module.raw());
            self.nodes[number].namespace = own;
            if let Some(own) = Object::share(own) {
                self.watches.push(Watch::new(own, Some(number)));
            }
            self.watch_classes(number, own);
            let tables: &[&CStr] = match &self.nodes[number].name[..] {
                "re" => &[c"_cache", c"_cache2"],
                "copyreg" => &[c"dispatch_table", c"_extension_registry", c"_inverted_registry", c"_extension_cache"],
                "linecache" => &[c"cache"],
                _ => &[],
            };
            let tables = tables.iter().filter_map(|name| attribute(module.raw(), name));
            self.watches.extend(tables.map(|table| Watch::new(table, None)));
            if self.nodes[number].name == "logging" {
                let table = module
                    .attribute(c"root")
                    .and_then(|root| root.attribute(c"manager"))
                    .and_then(|manager| attribute(manager.raw(), c"loggerDict"));
                self.watches.extend(table.map(|table| Watch::new(table, None)));
                let handlers = module.attribute(c"_handlerList").and_then(|list| WatchedList::new(list, None));
                self.lists.extend(handlers);
            }
            if self.nodes[number].name == "threading" {
                let registered = module.attribute(c"_threading_atexits").and_then(|list| WatchedList::new(list, None));
                self.lists.extend(registered);
            }
            if self.nodes[number].name == "_warnings" {
                let changed = module.attribute(c"_filters_mutated");
                let filters = module.attribute(c"filters").and_then(|list| WatchedList::new(list, changed));
                self.lists.extend(filters);
            }
            ffi::PyErr_Clear();
            *self.nodes[number].module.borrow_mut() = Some(module);
        }
    }

    /// Classes can be changed from outside as well.
    unsafe fn watch_classes(&mut self, number: usize, namespace: *mut PyObject) {
        if namespace.is_null() {
            return;
        }
        // SAFETY: the GIL is held; nothing is changed while we look.
        unsafe {
            let mut classes = Vec::new();
            let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            while ffi::PyDict_Next(namespace, &mut at, &mut key, &mut value) != 0 {
                if ffi::PyType_Check(value) != 0
                    && ffi::PyType_HasFeature(value.cast(), ffi::Py_TPFLAGS_HEAPTYPE) != 0
                    && self.classes_seen.insert(value as usize)
                {
                    classes.extend(Object::share(value));
                }
            }
            self.watches.extend(classes.into_iter().filter_map(|class| Watch::class(class, number)));
        }
    }

    fn mark(&mut self) {
        // SAFETY: the GIL is held; a tracked list: it goes to the end of the youngest.
        unsafe {
            ffi::PyObject_GC_UnTrack(self.marker.raw().cast());
            ffi::PyObject_GC_Track(self.marker.raw().cast());
        }
    }

    /// What has happened since the last look is the doing of the innermost import.
    pub fn look(&mut self) {
        let was = trace::pause();
        self.look_around();
        trace::resume(was);
    }

    fn look_around(&mut self) {
        let top = self.stack.last().copied();
        // SAFETY: the GIL is held; the collector is at rest while we record.
        unsafe {
            match top {
                Some(top) => self.nodes[top].ring.borrow_mut().take_behind(self.layout, &self.marker),
                None => self.scrap.take_behind(self.layout, &self.marker),
            }
        }
        if self.registrations.has_moved()
            && let Some(top) = top
        {
            self.nodes[top].registers = true;
        }
        let calls = std::mem::take(&mut *CALLS.lock().unwrap_or_else(|e| e.into_inner()));
        let asked = trace::take();
        if let Some(top) = top {
            let threads = calls.contains(&Call::Thread);
            for call in calls {
                if call == Call::Host {
                    self.nodes[top].host = true;
                } else if let Some(asked) =
                    [Call::Processors, Call::Limits, Call::Priority].iter().position(|c| *c == call)
                {
                    self.nodes[top].means[asked] = true;
                } else if matches!(call, Call::Thread | Call::AtFork) && threads && rehearsal::fork_and_count() == 1 {
                    // A library's, which end before a fork and begin again when they are needed.
                } else if !ASKED_AGAIN.contains(&(self.nodes[top].name.as_str(), call)) {
                    self.nodes[top].refuse(format!("it {}", call.text().to_string_lossy()));
                }
            }
            for name in asked.env_names {
                let value = std::env::var_os(std::ffi::OsStr::new(&*String::from_utf8_lossy(&name)));
                let value = value.map(std::os::unix::ffi::OsStringExt::into_vec);
                if let Ok(name) = CString::new(name) {
                    self.nodes[top].variables.push((name, value));
                }
            }
            for path in asked.paths {
                if !self.paths.covers(&path, self.wide) {
                    let place = self.place_passed(&path, asked.passed.contains(&path));
                    self.nodes[top].places.push(place);
                }
            }
        }
        self.look_at_registries(top);
        self.look_at_lists(top);
        self.look_at_modules(top);
        self.look_at_classes(top);
    }

    /// Classes that have been made since.
    fn look_at_classes(&mut self, top: Option<usize>) {
        let Some(top) = top else { return };
        // SAFETY: the GIL is held; live objects of the ring.
        let own = unsafe { self.nodes[top].ring.borrow().objects() };
        let is_class = |object: &usize| unsafe { ffi::PyType_Check(*object as *mut PyObject) != 0 };
        self.own(top, own.into_iter().filter(is_class).collect(), false);
    }

    fn own(&mut self, number: usize, mut classes: Vec<usize>, is_static: bool) {
        classes.retain(|class| self.classes_owned.insert(*class));
        if !classes.is_empty() {
            let (turn, owner) = (new_turn(), self.nodes[number].hot());
            self.nodes[number].events.push(Event::Makes(turn));
            self.owned.extend(classes.into_iter().map(|class| Owned::new(class, owner, turn, is_static)));
        }
    }

    fn look_at_registries(&mut self, top: Option<usize>) {
        for watch in &mut self.watches {
            match top {
                // A package whose import is under way: the submodule's import is part of it.
                Some(top) if !watch.owner.is_some_and(|owner| self.stack.contains(&owner)) => {
                    let changes = watch.changes(&mut self.nodes[top]);
                    for effect in changes {
                        let events = &mut self.nodes[top].events;
                        events.push(Event::Effect(Box::new(effect)));
                        self.order.push((top, events.len() - 1));
                    }
                }
                _ => watch.refresh(),
            }
        }
    }

    fn look_at_lists(&mut self, top: Option<usize>) {
        for list in &mut self.lists {
            let effect = list.added(top.map(|top| &mut self.nodes[top]));
            if let (Some(effect), Some(top)) = (effect, top) {
                let events = &mut self.nodes[top].events;
                events.push(Event::Effect(Box::new(effect)));
                self.order.push((top, events.len() - 1));
            }
        }
    }

    /// Names in `sys.modules` that nobody asked for: somebody put them there.
    fn look_at_modules(&mut self, top: Option<usize>) {
        // SAFETY: the GIL is held; a dictionary.
        let size = unsafe { ffi::PyDict_Size(self.modules.raw()) };
        if std::mem::replace(&mut self.size, size) == size {
            return;
        }
        let mut new = Vec::new();
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            while ffi::PyDict_Next(self.modules.raw(), &mut at, &mut key, &mut value) != 0 {
                if !self.seen.contains_key(&(key as usize)) {
                    new.extend(Object::share(key).zip(Object::share(value)));
                }
            }
        }
        for (key, value) in new {
            let Some(name) = text(&key) else { continue };
            if self.stack.iter().any(|&number| self.nodes[number].name == name) {
                continue;
            }
            if let Some(&known) = self.index.get(&name) {
                // Somebody asked for it before, in vain.
                let is_nowhere = self.nodes[known].module.borrow().is_none();
                if let Some(top) = top.filter(|_| is_nowhere) {
                    self.nodes[top].refuse(format!("it puts {name} into sys.modules, which others looked for"));
                }
                continue;
            }
            let Some(top) = top else { continue };
            // The module whose import is under way may have another name for itself.
            // SAFETY: the GIL is held; live objects.
            let own = unsafe { ffi::PyDict_GetItem(self.modules.raw(), self.nodes[top].key.raw()) };
            let known = own == value.raw()
                || self.nodes.iter().any(|n| n.module.borrow().as_ref().is_some_and(|m| m.raw() == value.raw()));
            // What C code makes without the import system has no specification.
            // SAFETY: the GIL is held; a live object.
            let imported = unsafe {
                let found = ffi::PyModule_Check(value.raw()) != 0
                    && value.attribute(c"__spec__").is_some_and(|spec| spec.raw() != ffi::Py_None());
                ffi::PyErr_Clear();
                found
            };
            if !known && imported {
                self.nodes[top].refuse(format!("it imports {name} in a way of its own"));
            }
            let number = self.add(key, name, State::Hidden);
            self.nodes[number].inserted = true;
            self.nodes[number].is_bare = !known && !imported;
            self.seen.insert(self.nodes[number].key.raw() as usize, value.raw() as usize);
            *self.nodes[number].module.borrow_mut() = Some(value);
            self.nodes[top].events.push(Event::Inserts(number));
        }
    }

    /// What an import did not find in the package's own directory, where it looks for an extension before the source: the
    /// directory's times say it for all of it.
    fn thin_out(&mut self) {
        for number in 0..self.nodes.len() {
            let directory = self.nodes[number].package.as_ref().and_then(|(_, directory)| text(directory));
            let Some(directory) = directory.map(String::into_bytes) else { continue };
            let is_missed = |at: usize, places: &[Place]| {
                let below = places[at].path.strip_prefix(&directory[..]).and_then(|rest| rest.strip_prefix(b"/"));
                places[at].facts.is_none() && below.is_some_and(|name| !name.contains(&b'/'))
            };
            let before = self.nodes[number].places.len();
            let places = &self.places;
            self.nodes[number].places.retain(|&at| !is_missed(at, places));
            if self.nodes[number].places.len() < before {
                let place = self.place(&directory);
                self.nodes[number].places.push(place);
            }
        }
    }

    /// Lets go of what was observed.
    pub fn finish(&mut self) {
        self.thin_out();
        self.registrations.finish();
        self.watches.clear();
        self.lists.clear();
    }

    fn place(&mut self, path: &[u8]) -> usize {
        self.place_passed(path, false)
    }

    fn place_passed(&mut self, path: &[u8], is_passed: bool) -> usize {
        if let Some(at) = self.places.iter().position(|place| place.path == path) {
            self.places[at].is_passed &= is_passed;
            return at;
        }
        self.places.push(Place {
            path: path.to_vec(),
            facts: file::facts(path),
            entry: self.paths.around(path),
            is_passed,
        });
        self.places.len() - 1
    }

    /// The number of a first name.
    fn name(&mut self, name: &str) -> usize {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return at;
        }
        self.names.push(name.to_owned());
        self.names.len() - 1
    }

    /// From now on only these may be imported: an import that was refused must not happen in the zygote, where nothing
    /// takes back what it does. Whatever asks for another one fails, and is not handed over.
    pub fn allow_only(&mut self, names: HashSet<String>) {
        self.allowed = Some(names);
    }

    /// Something asks for a module that is not there yet. False if it must not be imported.
    pub fn begin(&mut self, key: *mut PyObject) -> bool {
        self.look();
        // SAFETY: the GIL is held; a live object.
        let Some(key) = (unsafe { Object::share(key) }) else { return true };
        let name = text(&key).unwrap_or_default();
        // SAFETY: the GIL is held; live objects.
        let is_here = unsafe { !ffi::PyDict_GetItem(self.modules.raw(), key.raw()).is_null() };
        let may_be = is_here || self.allowed.as_ref().is_none_or(|names| names.contains(&name));
        let number = match self.index.get(&name) {
            Some(&number) => number,
            None => self.add(key, name, State::Hidden),
        };
        // The package that it is in comes first, whoever asks for it, and may import the module itself.
        let is_around = |top: usize| {
            self.nodes[top].name.strip_prefix(&self.nodes[number].name).is_some_and(|rest| rest.starts_with('.'))
        };
        let is_under_way = is_here && self.stack.contains(&number) && self.nodes[number].module.borrow().is_none();
        if let Some(&top) = self.stack.last()
            && !is_around(top)
        {
            let event = if is_under_way { Event::Within(number) } else { Event::Needs(number) };
            self.nodes[top].events.push(event);
        }
        self.stack.push(number);
        may_be
    }

    /// It has been imported, or not.
    pub fn end(&mut self, result: *mut PyObject) {
        self.look();
        let Some(number) = self.stack.pop() else { return };
        if result.is_null() {
            self.failed(number);
        } else if self.nodes[number].module.borrow().is_none() {
            // SAFETY: the GIL is held; live objects.
            let module =
                unsafe { Object::share(ffi::PyDict_GetItem(self.modules.raw(), self.nodes[number].key.raw())) };
            match module {
                Some(module) => {
                    super::registrations::replace_in(&self.nodes[number].name, &module);
                    if self.describe(number, &module).is_none() {
                        self.nodes[number].refuse("it cannot be described");
                    }
                    // SAFETY: the GIL is held.
                    unsafe { ffi::PyErr_Clear() };
                    if !self.nodes[number].is_source {
                        let new = self.census.new_ones();
                        let is_static = |class: &usize| {
                            // SAFETY: the GIL is held; live classes.
                            unsafe { ffi::PyType_HasFeature(*class as *mut _, ffi::Py_TPFLAGS_HEAPTYPE) == 0 }
                        };
                        self.own(number, new.into_iter().filter(is_static).collect(), true);
                    }
                    self.adopt(number, module);
                }
                None => self.nodes[number].refuse("it takes itself out of sys.modules"),
            }
        }
        // SAFETY: the GIL is held; the collector is at rest.
        match self.stack.last() {
            Some(&top) => unsafe { self.nodes[top].ring.borrow_mut().take_behind(self.layout, &self.marker) },
            None => unsafe { self.scrap.take_behind(self.layout, &self.marker) },
        }
    }

    /// An exception is set. Is the module nowhere, or did its import go wrong?
    fn failed(&mut self, number: usize) {
        #[allow(deprecated)]
        // SAFETY: the GIL is held; the exception is put back as it was.
        let (missing, directory) = unsafe {
            let (mut kind, mut value, mut trace) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
            ffi::PyErr_Fetch(&mut kind, &mut value, &mut trace);
            ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut trace);
            let missing = Object::share(value)
                .filter(|_| kind == ffi::PyExc_ModuleNotFoundError)
                .and_then(|v| v.attribute(c"name"))
                .and_then(|n| text(&n))
                .unwrap_or_default();
            let directory = missing.rsplit_once('.').and_then(|(package, _)| self.directory_of(package));
            ffi::PyErr_Restore(kind, value, trace);
            (missing, directory)
        };
        let first_missing = missing.split('.').next().unwrap_or_default().to_owned();
        let mut name = self.nodes[number].name.clone();
        // Of `a.b.c`, `a` may be what is nowhere.
        let is_absent = name == missing || name.strip_prefix(&missing).is_some_and(|rest| rest.starts_with('.'));
        if is_absent {
            name = missing;
        }
        // A part of a package that asked for what is nowhere fails again, as long as that is so.
        let asked = !is_absent && !first_missing.is_empty() && self.nodes[number].name.contains('.');
        let has_asked = asked
            && self.names.iter().position(|known| *known == first_missing).is_some_and(|first| {
                self.nodes[number].events.iter().any(|e| matches!(e, Event::Absent(n) if *n == first))
            });
        if has_asked && self.describe_failed(number).is_some() {
            self.nodes[number].fails = true;
            return;
        }
        self.nodes[number].refuse(if is_absent { NOWHERE } else { "its import fails" });
        let Some(&top) = self.stack.last() else { return };
        // A submodule that is nowhere: its package's directory says so, and is checked with the package's modules.
        let first = (!name.contains('.')).then(|| self.name(&name));
        if let (true, Some(directory)) = (is_absent, directory) {
            let place = self.place(directory.as_bytes());
            self.nodes[top].places.push(place);
            let finder = capi::sys(c"path_importer_cache").and_then(|cache| item(&cache, &directory));
            let key = Object::decoded(directory.as_bytes());
            let events = &mut self.nodes[top].events;
            events.retain(|event| !matches!(event, Event::Needs(n) if *n == number));
            events.extend(key.zip(finder).map(|(entry, finder)| Event::Searches(entry, finder)));
            return;
        }
        let events = &mut self.nodes[top].events;
        let place = events.iter().rposition(|event| matches!(event, Event::Needs(n) if *n == number));
        match (is_absent, first, place) {
            (true, Some(first), Some(place)) => {
                events[place] = Event::Absent(first);
                // Nor may somebody have put it into `sys.modules`.
                events.extend(Object::decoded(name.as_bytes()).map(Event::Misses));
            }
            _ => {
                self.nodes[top].refuse(format!("the import of {name} fails in it"));
            }
        }
    }

    /// The one directory of a package, whose own import may be under way.
    fn directory_of(&self, package: &str) -> Option<String> {
        let path = item(&self.modules, package)?.attribute(c"__path__");
        // SAFETY: the GIL is held; a live list, which lends its item.
        unsafe {
            ffi::PyErr_Clear();
            let path = path?;
            let is_one = ffi::PyList_CheckExact(path.raw()) != 0 && ffi::PyList_Size(path.raw()) == 1;
            Object::share(if is_one { ffi::PyList_GetItem(path.raw(), 0) } else { std::ptr::null_mut() })
                .and_then(|entry| text(&entry))
        }
    }

    /// `__import__` is called: what lies in `sys.modules` was put there before.
    pub fn asked(&mut self) {
        let was = trace::pause();
        self.look_at_modules(self.stack.last().copied());
        trace::resume(was);
    }

    /// `__import__` was called by the innermost import, and `name` (absolute) is there now.
    pub fn used(&mut self, name: &str) {
        let Some(&top) = self.stack.last() else { return };
        let Some(&number) = self.index.get(name) else { return };
        if number == top || self.nodes[number].refused.as_deref() == Some(NOWHERE) {
            return;
        }
        // One whose package imports it may be whole while its first import waits for the package.
        let is_under_way = self.stack.contains(&number) && self.nodes[number].module.borrow().is_none();
        let event = if is_under_way { Event::Within(number) } else { Event::Needs(number) };
        let events = &mut self.nodes[top].events;
        let is_new = !events.iter().any(|e| matches!(e, Event::Needs(n) | Event::Within(n) if *n == number));
        if is_new {
            events.push(event);
        }
    }

    /// The innermost import has looked for a module that is not there.
    pub fn missed(&mut self, key: Object) {
        if let Some(&top) = self.stack.last() {
            self.nodes[top].events.push(Event::Misses(key));
        }
    }

    /// Refuses what the innermost import does.
    pub fn refuse(&mut self, why: &str) {
        if let Some(&top) = self.stack.last() {
            self.nodes[top].refuse(why);
        }
    }

    /// A call that registers something was not made: it is noted.
    pub fn call(&mut self, function: Object, arguments: Object, keywords: Option<Object>) {
        if let Some(&top) = self.stack.last() {
            self.look();
            let call = super::node::Effect::Call { function, arguments, keywords };
            self.nodes[top].events.push(Event::Effect(Box::new(call)));
        }
    }
}
