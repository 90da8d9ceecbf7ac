//! The hand-over: a script imports a module that is warm.
//!
//! Owns the plan of what a cold import would bring in, in which order, with which effects
//! on what is there already; the check that every part of it is what the zygote imported;
//! and carrying it out. All is checked before anything is changed. Between the check and the change no code
//! of anybody's runs, so no other thread comes between.

use super::abstracts;
use super::asleep;
use super::definitions;
use super::foreign;
use super::node::{self, Counts, Event, Node, Place, State, referent};
use super::record;
use super::subclasses::Turn;
use super::world::{self, Answer, Reach, World};
use crate::capi::Object;
use crate::entry;
use crate::quiet::Layout;
use pyo3::ffi::{self, PyObject};
use pyzy_core::fresh::Facts;
use pyzy_sys::file::{self, Fd};
use pyzy_sys::process;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CStr;

/// All that is warm.
pub struct Store {
    pub world: World,
    pub nodes: Vec<Node>,
    pub places: Vec<Place>,
    pub layout: Layout,
    /// Names to numbers.
    pub index: Object,
    /// Modules that every import looks at: `builtins` and `sys`.
    pub always: Vec<usize>,
    /// An extension is initialised once a process, and that has been done.
    pub has_once: bool,
    /// Keys of `sys` that do not count.
    pub volatile: Vec<usize>,
    /// What the machine said of itself (`man 2 uname`).
    pub host: Option<[u8; 390]>,
    /// What this process may use.
    pub means: Option<Means>,
    pub marks: RefCell<Marks>,
    /// How many turns there were (`subclasses`).
    pub turns: Cell<u32>,
    /// Objects that modules have made: module and number, by the object's address.
    pub made: HashMap<usize, (usize, usize)>,
    /// Asks whether settings of the process are the zygote's.
    pub settings: Object,
}

/// Processors (`man 2 sched_getaffinity`), limits (`man 2 getrlimit`) and priority (`man 2 getpriority`).
#[derive(PartialEq, Eq)]
pub struct Means(Vec<u8>, [process::Limit; process::LIMITS], i32);

impl Means {
    pub fn now() -> Option<Means> {
        Some(Means(process::affinity().ok()?, process::limits().ok()?, process::nice().ok()?))
    }

    /// Those of this process that count, and those of the zygote.
    fn are_same(counts: [bool; 3], before: Option<&Means>) -> bool {
        Means::now().zip(before).is_some_and(|(now, before)| {
            let same = [now.0 == before.0, now.1 == before.1, now.2 == before.2];
            counts.iter().zip(same).all(|(counts, same)| !counts || same)
        })
    }
}

/// What a plan has looked at.
#[derive(Default)]
pub struct Marks {
    nodes: Vec<Mark>,
    places: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Mark {
    #[default]
    New,
    /// Its import is under way.
    Entered,
    /// It is part of the plan.
    Planned,
    /// It is in `sys.modules`.
    Here,
}

enum Step {
    /// The package's directory is searched.
    Find(usize),
    Give(usize),
    Insert(usize),
    /// An effect of this node, by its event.
    Effect(usize, usize),
    /// A search that finds nothing, and classes that are made, by the event as well.
    Search(usize, usize),
    Make(Turn),
}

struct Plan<'a> {
    store: &'a Store,
    marks: &'a mut Marks,
    steps: Vec<Step>,
    reach: Reach,
    names: Vec<usize>,
    /// To be compared, once all is known.
    files: Vec<usize>,
    /// Entries that will be set, by dictionary and key.
    planned: HashMap<[usize; 2], usize>,
}

impl Store {
    /// Hands a module over and gives it, or says why not. Nothing has changed then but `sys.path_importer_cache`
    /// ([`World::settle_finders`]).
    pub fn hand_over(&'static self, name: *mut PyObject) -> Answer<(Object, usize)> {
        // SAFETY: the GIL is held; a dictionary of numbers.
        let number = unsafe {
            let number = if ffi::PyUnicode_CheckExact(name) == 0 {
                std::ptr::null_mut()
            } else {
                ffi::PyDict_GetItem(self.index.raw(), name)
            };
            if number.is_null() {
                return Err("it is not warm");
            }
            ffi::PyLong_AsLong(number) as usize
        };
        if self.nodes[number].state.get() != State::Hidden {
            return Err("it has been handed over before");
        }
        if self.nodes[number].fails {
            return Err("its import fails");
        }
        if let Some(why) = &self.nodes[number].refused {
            // Compiled since: another image can have it.
            let places = || self.nodes[number].places.iter().map(|&at| &self.places[at]);
            if *why == record::NO_BYTECODE && places().any(|place| !place.is_same(file::facts(&place.path))) {
                entry::wear_out();
            }
            return Err(why);
        }
        self.world.is_plain(&self.layout)?;
        let mut answered = Counts::default();
        let mut marks = self.marks.borrow_mut();
        for _ in 0..4 {
            marks.nodes.clear();
            marks.nodes.resize(self.nodes.len(), Mark::New);
            marks.places.clear();
            marks.places.resize(self.places.len(), false);
            let mut plan = Plan {
                store: self,
                marks: &mut marks,
                steps: Vec::new(),
                reach: Reach::default(),
                names: Vec::new(),
                files: Vec::new(),
                planned: HashMap::new(),
            };
            for &always in &self.always {
                plan.visit(always)?;
            }
            plan.visit(number)?;
            plan.is_whole()?;
            // To ask that runs code as well.
            let asks = plan.steps.iter().fold(Counts::default(), |asks, step| match step {
                Step::Give(at) => asks.and(self.nodes[*at].asks),
                _ => asks,
            });
            if asks.and(answered) != answered {
                if !self.has_settings(asks) {
                    return Err("settings that count for it are others");
                }
                answered = asks.and(answered);
                self.world.is_plain(&self.layout)?;
                continue;
            }
            // Making a finder runs code: the plan is made once more.
            if self.world.walk(&plan.reach)? {
                self.world.is_plain(&self.layout)?;
                continue;
            }
            if plan.names.iter().any(|&name| self.world.is_blocked(name)) {
                return Err("a name is taken in this process");
            }
            // Last, for it takes longest.
            plan.compare_files()?;
            let steps = plan.steps;
            drop(marks);
            return self.carry_out(number, steps);
        }
        Err("sys.path does not come to rest")
    }

    /// Are the settings that count those of the zygote?
    fn has_settings(&self, counts: Counts) -> bool {
        // SAFETY: the GIL is held; a function of one number.
        unsafe {
            let arguments = Object::own(ffi::PyLong_FromLong(counts.0.into()))
                .and_then(|counts| Object::own(ffi::PyTuple_Pack(1, counts.raw())));
            let answer = arguments
                .and_then(|arguments| Object::own(ffi::PyObject_CallObject(self.settings.raw(), arguments.raw())));
            answer.is_some_and(|answer| ffi::PyObject_IsTrue(answer.raw()) == 1)
        }
    }

    /// What the initialisation of this extension imports, if it has run in the zygote, runs once only, and nobody has the
    /// module.
    pub fn initialised(&self, name: *mut PyObject) -> Vec<Object> {
        // SAFETY: the GIL is held; a dictionary of numbers.
        let node = unsafe {
            let number = if ffi::PyUnicode_CheckExact(name) == 0 {
                std::ptr::null_mut()
            } else {
                ffi::PyDict_GetItem(self.index.raw(), name)
            };
            if number.is_null() {
                return Vec::new();
            }
            &self.nodes[ffi::PyLong_AsLong(number) as usize]
        };
        if !node.once || node.foreign.is_some() || node.state.get() != State::Hidden {
            return Vec::new();
        }
        let needed = node.events.iter().filter_map(|event| match event {
            // SAFETY: the GIL is held; a live object.
            Event::Needs(needed) => unsafe { Object::share(self.nodes[*needed].key.raw()) },
            _ => None,
        });
        needed.collect()
    }

    fn carry_out(&self, number: usize, steps: Vec<Step>) -> Answer<(Object, usize)> {
        let is_awake = |step: &Step| match step {
            Step::Give(at) => self.nodes[*at].wakes.iter().all(|&library| asleep::wake(library)),
            _ => true,
        };
        if !steps.iter().all(is_awake) {
            return Err("the code of an extension cannot be made executable");
        }
        let (mut given, mut settle, mut registers) = (0, Vec::new(), false);
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let modules = self.world.modules.raw();
            for step in steps {
                match step {
                    Step::Give(at) => {
                        let node = &self.nodes[at];
                        let Some(module) = node.module.borrow_mut().take() else { continue };
                        ffi::PyDict_SetItem(modules, node.key.raw(), module.raw());
                        definitions::enter(node.definition, module.raw());
                        node.state.set(State::Given);
                        node.foreign.into_iter().for_each(foreign::hand);
                        node.ring.borrow_mut().give_back(&self.layout);
                        if node.name == "gc" {
                            crate::quiet::see_gc();
                        }
                        registers |= node.registers;
                        settle.extend(node.settle.as_ref().map(|function| (node, function)));
                        given += 1;
                    }
                    Step::Find(at) => {
                        if let Some((entry, finder)) = &self.nodes[at].finder
                            && ffi::PyDict_GetItem(self.world.cache.raw(), entry.raw()).is_null()
                        {
                            ffi::PyDict_SetItem(self.world.cache.raw(), entry.raw(), finder.raw());
                        }
                    }
                    Step::Insert(at) => {
                        let node = &self.nodes[at];
                        if let Some(object) = node.module.borrow_mut().take() {
                            ffi::PyDict_SetItem(modules, node.key.raw(), object.raw());
                            node.state.set(State::Given);
                        }
                    }
                    Step::Search(at, event) => {
                        if let Event::Searches(entry, finder) = &self.nodes[at].events[event]
                            && ffi::PyDict_GetItem(self.world.cache.raw(), entry.raw()).is_null()
                        {
                            ffi::PyDict_SetItem(self.world.cache.raw(), entry.raw(), finder.raw());
                        }
                    }
                    Step::Make(turn) => {
                        self.turns.set(self.turns.get().saturating_add(1));
                        turn.set(self.turns.get());
                    }
                    Step::Effect(at, event) => {
                        let node = &self.nodes[at];
                        node.is_done.set(true);
                        if let Event::Effect(effect) = &node.events[event] {
                            // Taken without a change of where it was. Nobody takes it again: `plan` asks.
                            let effect = std::ptr::read(&raw const **effect);
                            let replay = || effect.replay(&self.layout, &self.nodes);
                            match effect.dictionary().and_then(|dictionary| self.made.get(&dictionary)) {
                                Some(&(maker, number)) => {
                                    self.nodes[maker].made.follow(number, &self.layout, replay);
                                }
                                None => replay(),
                            }
                        }
                    }
                }
            }
            if registers {
                abstracts::forget_answers();
            }
            for (node, function) in settle {
                if Object::own(ffi::PyObject_CallObject(function.raw(), std::ptr::null_mut())).is_none() {
                    ffi::PyErr_Clear();
                }
                // What that changes is no change of the script's.
                node.content.take(&self.layout, node.namespace, &[]);
            }
            let module = Object::share(ffi::PyDict_GetItem(modules, self.nodes[number].key.raw()));
            module.map(|module| (module, given)).ok_or("sys.modules lost it")
        }
    }
}

impl Plan<'_> {
    /// What an import of this module does now.
    fn visit(&mut self, number: usize) -> Answer<()> {
        let store = self.store;
        let node = &store.nodes[number];
        match self.marks.nodes[number] {
            Mark::New => {}
            Mark::Entered => return Err("imports go round in a circle in another way"),
            Mark::Planned | Mark::Here => return Ok(()),
        }
        // SAFETY: the GIL is held; live objects.
        let here = unsafe { ffi::PyDict_GetItem(store.world.modules.raw(), node.key.raw()) };
        if here.is_null() { self.plan(number, node) } else { self.meet(number, node, here) }
    }

    /// Is everything in it that goes together?
    fn is_whole(&self) -> Answer<()> {
        let is_planned = |number: usize| self.marks.nodes[number] == Mark::Planned;
        let mut planned = self.store.nodes.iter().enumerate().filter(|(number, _)| is_planned(*number));
        match planned.all(|(_, node)| node.tied.iter().all(|&other| is_planned(other))) {
            true => Ok(()),
            false => Err("a module that belongs to it is not part of this import"),
        }
    }

    /// Are all files as they were? Several below one entry of `sys.path` are reached by way of its directory, which is open for
    /// that long: half of what a `stat` takes is the way to it.
    fn compare_files(&self) -> Answer<()> {
        const FEW: usize = 4;
        let places = &self.store.places;
        let entries = &self.store.world.paths.entries;
        let mut counts = vec![0; entries.len()];
        for &at in &self.files {
            counts.get_mut(places[at].entry).into_iter().for_each(|count| *count += 1);
        }
        let open = |(count, (_, path, _)): (usize, &(Object, Vec<u8>, Facts))| match count {
            FEW.. => file::open(path, libc::O_PATH | libc::O_DIRECTORY, 0).ok(),
            _ => None,
        };
        let directories: Vec<Option<Fd>> = counts.into_iter().zip(entries).map(open).collect();
        for place in self.files.iter().map(|&at| &places[at]) {
            let now = match directories.get(place.entry) {
                Some(Some(directory)) => {
                    file::facts_below(directory.number(), &place.path[entries[place.entry].1.len() + 1..])
                }
                _ => file::facts(&place.path),
            };
            if !place.is_same(now) {
                return Err(node::changed("a file has changed", &place.path, place.facts, now));
            }
        }
        Ok(())
    }

    /// It is in `sys.modules`: is it what we know, and what it was?
    fn meet(&mut self, number: usize, node: &Node, here: *mut PyObject) -> Answer<()> {
        self.marks.nodes[number] = Mark::Here;
        if node.name == "__main__" {
            return Ok(());
        }
        let skip: &[usize] = if node.name == "sys" { &self.store.volatile } else { &[] };
        // SAFETY: the GIL is held; a live object.
        unsafe {
            if !node.is(here) {
                return Err("another module has the name of one that it needs");
            }
            if !node.namespace.is_null() && ffi::Py_TYPE(here) as usize != node.class {
                return Err("a module that it needs has another class");
            }
            if !node.is_unchanged(&self.store.layout, skip) {
                return Err("a module that it needs was changed");
            }
            if !node.made.is_unchanged(&self.store.layout) {
                return Err("something that a module which it needs has made was changed");
            }
            if let Some((path, entry)) = &node.package
                && !(ffi::PyList_Size(path.raw()) == 1 && ffi::PyList_GetItem(path.raw(), 0) == entry.raw())
            {
                return Err("a package that it needs has another path");
            }
        }
        let around = node.parent.filter(|&parent| self.marks.nodes[parent] == Mark::New);
        if let Some(parent) = around {
            let other = &self.store.nodes[parent];
            // SAFETY: the GIL is held; live objects.
            let here = unsafe { ffi::PyDict_GetItem(self.store.world.modules.raw(), other.key.raw()) };
            if !here.is_null() {
                self.meet(parent, other, here)?;
            }
        }
        for event in &node.events {
            // What has been taken out of sys.modules since is not asked for again.
            if let Event::Needs(needed) | Event::Within(needed) = event
                && self.marks.nodes[*needed] == Mark::New
            {
                let other = &self.store.nodes[*needed];
                // SAFETY: the GIL is held; live objects.
                let here = unsafe { ffi::PyDict_GetItem(self.store.world.modules.raw(), other.key.raw()) };
                if !here.is_null() {
                    self.meet(*needed, other, here)?;
                }
            }
        }
        Ok(())
    }

    /// Is it in `sys.modules`, or would it be by now?
    fn is_there(&self, key: &Object) -> bool {
        // SAFETY: the GIL is held; dictionaries, and a number.
        unsafe {
            let number = ffi::PyDict_GetItem(self.store.index.raw(), key.raw());
            let mark = match number.is_null() {
                true => Mark::New,
                false => self.marks.nodes[ffi::PyLong_AsLong(number) as usize],
            };
            mark != Mark::New || !ffi::PyDict_GetItem(self.store.world.modules.raw(), key.raw()).is_null()
        }
    }

    /// It is to be handed over.
    fn plan(&mut self, number: usize, node: &Node) -> Answer<()> {
        if node.state.get() != State::Hidden {
            return Err("a module that it needs has been taken out of sys.modules");
        }
        if node.refused.is_some() {
            return Err("a module that it needs is not fit to be handed over");
        }
        if node.is_done.get() {
            return Err("it has been handed over in part");
        }
        if let Some(parent) = node.parent
            && self.marks.nodes[parent] != Mark::Entered
        {
            self.visit(parent)?;
            if self.marks.nodes[number] != Mark::New {
                return Ok(());
            }
        }
        if node.inserted && node.is_bare {
            self.marks.nodes[number] = Mark::Planned;
            self.steps.push(Step::Insert(number));
            return Ok(());
        }
        if node.inserted {
            return Err("a module that it needs appears in another way");
        }
        if node.foreign.is_some_and(|library| !foreign::may_be_handed(library)) {
            return Err("this process has loaded its library by itself");
        }
        if self.store.world.is_locked(node) {
            return Err("a module that it needs is being imported");
        }
        if node.misses.iter().any(|key| self.is_there(key)) {
            return Err("a module is there that it looked for in vain");
        }
        self.marks.nodes[number] = Mark::Entered;
        if let Some((name, entry)) = node.found {
            self.names.push(name);
            self.reach.entries = self.reach.entries.max(entry + 1);
        }
        for &place in &node.places {
            if !std::mem::replace(&mut self.marks.places[place], true) {
                self.files.push(place);
            }
        }
        for (name, value) in &node.variables {
            // SAFETY: C strings; nobody changes the environment meanwhile.
            let now = unsafe { libc::getenv(name.as_ptr()) };
            let same = match value {
                None => now.is_null(),
                // SAFETY: as above.
                Some(value) => !now.is_null() && unsafe { CStr::from_ptr(now) }.to_bytes() == value,
            };
            if !same {
                return Err("a variable that its import reads has another value");
            }
        }
        if node.name == "warnings" && !world::has_no_warning_options() {
            return Err("there are options for warnings");
        }
        if node.host && process::uname().ok() != self.store.host {
            return Err("the machine has another name");
        }
        if node.means.contains(&true) && !Means::are_same(node.means, self.store.means.as_ref()) {
            return Err("this process has other limits, processors or another priority");
        }
        let is_kept = |(name, list): &(&CStr, usize)| {
            // SAFETY: a C string; the answer is borrowed and only compared.
            unsafe { ffi::PySys_GetObject(name.as_ptr()) as usize == *list }
        };
        if !node.keeps.iter().all(is_kept) {
            return Err("a list of sys that it keeps is another one");
        }
        if node.finder.is_some() {
            self.steps.push(Step::Find(number));
        }
        for (at, event) in node.events.iter().enumerate() {
            match event {
                Event::Needs(needed) => self.visit(*needed)?,
                Event::Finds(found) => {
                    let other = &self.store.nodes[*found];
                    // SAFETY: the GIL is held; live objects.
                    let here = unsafe { ffi::PyDict_GetItem(self.store.world.modules.raw(), other.key.raw()) };
                    if self.marks.nodes[*found] == Mark::New {
                        if here.is_null() {
                            return Err("a module that it looked for is not there");
                        }
                        self.meet(*found, other, here)?;
                    }
                }
                Event::Within(needed) => {
                    if self.marks.nodes[*needed] != Mark::Entered {
                        return Err("imports go round in a circle in another way");
                    }
                }
                Event::Absent(name) => {
                    self.names.push(*name);
                    self.reach.all = true;
                }
                Event::Inserts(other) => {
                    let inserted = &self.store.nodes[*other];
                    // SAFETY: the GIL is held; live objects.
                    let here = unsafe { ffi::PyDict_GetItem(self.store.world.modules.raw(), inserted.key.raw()) };
                    // SAFETY: the GIL is held; a live object.
                    if inserted.is_bare && (self.marks.nodes[*other] == Mark::Planned || unsafe { inserted.is(here) }) {
                        continue;
                    }
                    if !here.is_null() || inserted.state.get() != State::Hidden {
                        return Err("a name that it puts into sys.modules is there");
                    }
                    self.marks.nodes[*other] = Mark::Planned;
                    self.steps.push(Step::Insert(*other));
                }
                Event::Misses(key) => {
                    if self.is_there(key) {
                        return Err("a module is there that it looked for in vain");
                    }
                }
                Event::Searches(..) => self.steps.push(Step::Search(number, at)),
                Event::Makes(turn) => self.steps.push(Step::Make(turn)),
                Event::Effect(effect) => {
                    if !effect.is_due(&mut self.planned) {
                        return Err("something that it changes was changed before");
                    }
                    self.steps.push(Step::Effect(number, at));
                }
            }
        }
        self.marks.nodes[number] = Mark::Planned;
        if !node.fails {
            self.steps.push(Step::Give(number));
        }
        Ok(())
    }
}

/// Modules that were handed over and still live.
pub fn given(store: &Store) -> impl Iterator<Item = &Node> {
    store.nodes.iter().filter(|node| {
        // SAFETY: the GIL is held; a weak reference.
        node.state.get() == State::Given
            && node.reference.as_ref().is_some_and(|r| unsafe { referent(r) != ffi::Py_None() })
    })
}
