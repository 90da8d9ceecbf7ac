//! Warm modules: imported in the zygote, invisible until a script imports them.
//!
//! Owns the order of things: the zygote imports a curated list (`list`) and notes all about
//! it (`recording`), hides every trace, and from then on stands where importlib's
//! `_find_and_load` is called from C. What a name would be in this process is asked of
//! `world`, what an import would bring in of `hand`; unless every answer is certain and equal, CPython's
//! own import runs as if nothing were there. No attribute of importlib is another: what is replaced is the
//! entry that a function object has for calls from C.

mod abstracts;
pub mod asleep;
mod calls;
mod copies;
mod create;
mod definitions;
pub mod ends;
mod finders;
mod foreign;
mod hand;
mod hook;
mod leads;
pub mod learn;
mod leave;
mod list;
mod made;
mod modules;
pub mod node;
mod pack;
mod print;
mod record;
mod recording;
mod registrations;
mod rehearsal;
mod ring;
mod row;
mod settings;
mod state;
mod subclasses;
mod sums;
mod ties;
mod uses;
mod wanted;
mod watch;
mod world;

use crate::capi::{self, Object};
use crate::quiet::{self, Kept, Layout};
pub use foreign::has_loaded;
use hand::Store;
use made::Made;
use node::{Node, State};
use pyo3::ffi::{self, PyObject};
use pyzy_core::fresh::Facts;
use pyzy_core::start::Start;
use pyzy_sys::{file, process};
use record::item;
use recording::Recording;
use rehearsal::{Programme, Verdict};
use std::collections::HashSet;
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use wanted::{Notes, Wanted};
use world::{Paths, World};

/// A file changed this recently could change again without its times showing it (one tick of the kernel's clock).
const TICK: i64 = 10_000_000;

static STORE: AtomicPtr<Store> = AtomicPtr::new(std::ptr::null_mut());
/// Where hand-overs are told, from PYZY_LOG; null where nobody wants to know.
static LOG: AtomicPtr<Vec<u8>> = AtomicPtr::new(std::ptr::null_mut());

/// What came of warming.
#[derive(Default)]
pub struct Warmed {
    /// What must last: libraries that were loaded and directories of packages, with their facts. A run that finds another one
    /// there is no run for this zygote.
    pub lasting: Vec<(Vec<u8>, Facts)>,
    /// What is warm, and what is not and why.
    pub told: Notes,
    /// Something was started that cannot be taken back.
    pub is_spoilt: bool,
}

/// In the zygote: imports what somebody wants warm, and hides what it did. Nothing is warm where anything is odd.
pub fn prepare(layout: Option<&Layout>, start: &Start) -> Warmed {
    let mut warmed = Warmed::default();
    let wanted = Wanted::new(start, &mut warmed.told);
    if wanted.is_empty() {
        return warmed;
    }
    if let Some(learn) = &start.learn {
        learn::prepare(learn);
    }
    let layout = match layout {
        Some(layout) if quiet::is_plain_start() && is_plain_start() => layout,
        _ => {
            warmed.told.all("an option, a variable or the build of the interpreter does not go with warm modules");
            return warmed;
        }
    };
    let (before, shared) = (mapped_files(), shared_mappings());
    let rest = quiet::Rest::new(layout);
    let store = in_copied_context(|| warm(layout, &wanted, start.table, &mut warmed.told));
    drop(rest);
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
    warmed.is_spoilt = rehearsal::tasks() != 1 || shared_mappings() != shared;
    let Some(store) = store else {
        warmed.told.all("start-up leaves something unusual: finders, hooks, or names of the standard library");
        return warmed;
    };
    // A script whose imports are warm, when it changes, may have others.
    let script = (!wanted.script.is_empty()).then(|| wanted.script.clone());
    let is_new = |path: &Vec<u8>| !before.contains(path) && !foreign::has(path);
    let mut lasting: Vec<Vec<u8>> = mapped_files().into_iter().filter(is_new).chain(script).collect();
    let packages = store.nodes.iter().filter(|node| node.state.get() == State::Hidden && node.refused.is_none());
    for (_, directory) in packages.filter_map(|node| node.package.as_ref()) {
        let directory = node::text(directory).unwrap_or_default().into_bytes();
        if !store.world.paths.covers(&directory, true) && !lasting.contains(&directory) {
            lasting.push(directory);
        }
    }
    for node in store.nodes.iter().filter(|node| node.state.get() == State::Hidden) {
        match &node.refused {
            None if node.fails => {}
            None => warmed.told.warm(&node.name),
            Some(why) if why != record::NOWHERE => warmed.told.refused(&node.name, why),
            Some(_) => {}
        }
    }
    // As it was when its module was imported: what has changed since makes the table stale, and not just the module.
    let facts = |path: Vec<u8>| {
        let place = store.places.iter().find(|place| place.path == path);
        let facts = place.map_or_else(|| file::facts(&path), |place| place.facts);
        (path, facts)
    };
    warmed.lasting = lasting.into_iter().map(facts).collect();
    store.world.make_spare();
    STORE.store(Box::into_raw(Box::new(store)), Relaxed);
    warmed
}

/// No option that watches imports or objects.
fn is_plain_start() -> bool {
    let zero = |name: &CStr| {
        // SAFETY: the GIL is held.
        capi::sys(c"flags")
            .and_then(|flags| flags.attribute(name))
            .is_some_and(|v| unsafe { ffi::PyObject_IsTrue(v.raw()) == 0 })
    };
    // SAFETY: C strings.
    let unset = |name: &CStr| unsafe { libc::getenv(name.as_ptr()).is_null() };
    let options = capi::sys(c"_xoptions");
    zero(c"bytes_warning")
        && unset(c"PYTHONTRACEMALLOC")
        && unset(c"PYTHONPROFILEIMPORTTIME")
        // SAFETY: the GIL is held; a dictionary.
        && options.is_some_and(|options| unsafe { ffi::PyDict_Size(options.raw()) == 0 })
}

/// Somebody is about to look at all objects there are.
pub fn drop_unused() {
    // SAFETY: stored by `prepare`, never freed.
    if let Some(store) = unsafe { STORE.load(Relaxed).as_ref() } {
        store.world.drop_spare();
    }
}

/// The interpreter is about to be finalised.
pub fn let_go() {
    let store = STORE.swap(std::ptr::null_mut(), Relaxed);
    if !store.is_null() {
        // SAFETY: stored by `prepare`; nobody else has it any more.
        let mut store = unsafe { Box::from_raw(store) };
        asleep::wake_all();
        leave::let_go(&mut store);
        // The nodes stay, for what is hidden stays; what the world has of the interpreter goes.
        let Store { world, nodes, .. } = *store;
        drop(world);
        std::mem::forget(nodes);
    }
}

/// How much memory is shared and may be written to: an image cannot have it.
fn shared_mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let is_shared = |line: &&str| line.split(' ').nth(1).is_some_and(|flags| flags.ends_with('s'));
    maps.lines().filter(is_shared).count()
}

fn mapped_files() -> Vec<Vec<u8>> {
    let maps = std::fs::read("/proc/self/maps").unwrap_or_default();
    let mut files: Vec<Vec<u8>> = maps
        .split(|&b| b == b'\n')
        .filter_map(|line| Some(line[line.iter().position(|&b| b == b'/')?..].to_vec()))
        .collect();
    files.sort_unstable();
    files.dedup();
    files
}

fn warm(layout: &Layout, wanted: &Wanted, table: &[u8], told: &mut Notes) -> Option<Store> {
    let began = process::clock(libc::CLOCK_REALTIME);
    let mut world = World::now(Paths::now(table)?, layout)?;
    let mut others = world.paths.entries.iter().enumerate().filter(|(at, _)| !world.paths.library.contains(at));
    if others.any(|(_, (_, path, _))| world.has_any(path, list::ONCE)) {
        return None;
    }
    let stdlib: Vec<&str> = if wanted.stdlib { list::MODULES.split_whitespace().collect() } else { Vec::new() };
    let library = world.paths.library_directories();
    let rehearse = |roots: &[&str]| match roots.is_empty() && wanted.script.is_empty() {
        true => Verdict::default(),
        false => {
            let programme = Programme { stdlib: &stdlib, roots, script: &wanted.script, library: &library, layout };
            rehearsal::rehearse(&programme)
        }
    };
    let mut roots: Vec<&str> = wanted.modules.iter().map(|name| &name[..]).collect();
    let mut verdict = rehearse(&roots);
    // What was learned must not spoil what was named: it is rehearsed once more, with it.
    let named = verdict.warm.len();
    let learned: Vec<&str> =
        wanted.learned.iter().map(|name| &name[..]).filter(|name| world.is_installed(name)).collect();
    if !learned.is_empty() {
        roots.extend(&learned);
        let more = rehearse(&roots);
        let is_named = |name: &String| verdict.warm.contains(name);
        match more.changes.iter().any(|(name, changed)| !is_named(name) && is_named(changed)) {
            true => learned.iter().for_each(|name| told.refused(name, "it may change what a named module has made")),
            false => verdict.extend(more),
        }
    }
    for (name, why) in &verdict.refused {
        told.refused(name, why);
    }
    let wide = !verdict.warm.is_empty();
    let recording = recording::record(layout, &mut world, wanted, &stdlib, (&verdict, named), told)?;
    let Recording { mut nodes, mut places, owned, row, globals, hook } = recording;
    let is_recent = |at: usize| {
        let facts: &Facts = &places[at].facts;
        !places[at].is_on_the_way()
            && facts.is_some_and(|f: [u64; 6]| f[5] as i64 > began - TICK || f[4] as i64 > began - TICK)
    };
    let volatile = volatile()?;
    let settlers = item(&globals, "SETTLERS")?;
    verdict.apply(&mut nodes)?;
    for node in nodes.iter_mut().filter(|node| wide && node.state.get() == State::Hidden && !node.inserted) {
        let is_library =
            node.found.is_none_or(|(_, entry)| world.paths.library.contains(&entry)) && node.parent.is_none();
        if !is_library
            && !stdlib.iter().any(|name| node.name.split('.').next() == name.split('.').next())
            && !verdict.warm.contains(&node.name)
            && (!node.fails || !verdict.absent.contains(&node.name))
        {
            node.refuse("it was not found pure when it was rehearsed");
        }
    }
    let mut homes = HashSet::new();
    for node in nodes.iter_mut() {
        if node.registers && !abstracts::are_known() {
            node.refuse("it registers classes with abstract ones, and this build of the interpreter is not known");
        }
        node.foreign = node.library.as_deref().and_then(|path| foreign::find(path, node.once));
        node.is_loud = node.library.as_ref().is_some_and(|path| !quiet::is_silent_extension(path));
        uses::watch(node);
        if node.foreign.is_some_and(|home| !homes.insert(home)) {
            node.refuse("it shares its library with another module");
        }
    }
    for (part, other) in foreign::parts(&nodes) {
        node::tie(&mut nodes, part, other);
    }
    for node in &mut nodes {
        if node.places.iter().any(|&at| is_recent(at)) {
            node.refuse("a file of it has only just changed");
        }
        complete(node, &settlers, &volatile, layout);
        if verdict.decimal.contains(&node.name) && node.settle.is_none() {
            node.settle = item(&settlers, "decimal context");
        }
        if node.state.get() == State::Hidden {
            row.iter().for_each(|row| row.lead(node));
        }
    }
    drop(row);
    definitions::hide(&mut nodes);
    leave::count(&mut nodes, layout);
    let others: HashSet<String> = nodes
        .iter()
        .filter(|node| node.found.is_some_and(|(_, entry)| !world.paths.library.contains(&entry)))
        .map(|node| node.name.clone())
        .collect();
    let is_other = |node: &Node| node.name.split('.').next().is_some_and(|first| others.contains(first));
    for node in nodes.iter_mut().filter(|node| node.state.get() == State::Hidden && is_other(node)) {
        match leave::knows(layout) {
            true => node.made = Made::new(node, layout),
            false => node.refuse("this build of the interpreter is not known"),
        }
    }
    subclasses::hide(&nodes, owned)?;
    let is_hidden = |node: &&mut Node| node.state.get() == State::Hidden && !node.inserted;
    let sleepers = nodes.iter_mut().filter(is_hidden);
    if asleep::prepare(sleepers.filter_map(|node| node.library.clone()).collect()).is_some() {
        for node in nodes.iter_mut().filter(is_hidden) {
            node.asleep = node.library.as_deref().and_then(asleep::find);
        }
        leads::find(&mut nodes, layout);
    }
    settings::count(&mut nodes, &verdict, is_other)?;
    let always =
        ["builtins", "sys"].iter().map(|n| nodes.iter().position(|node| node.name == *n)).collect::<Option<_>>()?;
    let made = nodes
        .iter()
        .enumerate()
        .flat_map(|(maker, node)| node.made.objects().map(move |(object, number)| (object, (maker, number))));
    let made = made.collect();
    pack::pack(&mut nodes, &mut places);
    let index = index(&nodes)?;
    let has_once = nodes.iter().any(|node| node.once && node.foreign.is_none());
    let store = Store {
        world,
        nodes,
        places,
        layout: *layout,
        index,
        always,
        has_once,
        volatile,
        host: process::uname().ok(),
        means: hand::Means::now(),
        marks: Default::default(),
        turns: Default::default(),
        made,
        settings: item(&globals, "is_same")?,
    };
    hook.put();
    Some(store)
}

/// Context variables that are set meanwhile are not afterwards (`PyContext_Enter`, `Include/cpython/context.h`).
fn in_copied_context<T>(work: impl FnOnce() -> Option<T>) -> Option<T> {
    type Function = unsafe extern "C" fn(*mut PyObject) -> libc::c_int;
    static COPY: capi::Symbol = capi::Symbol::new(c"PyContext_CopyCurrent");
    static ENTER: capi::Symbol = capi::Symbol::new(c"PyContext_Enter");
    static EXIT: capi::Symbol = capi::Symbol::new(c"PyContext_Exit");
    let (copy, enter, exit) = (COPY.find(), ENTER.find(), EXIT.find());
    (!copy.is_null() && !enter.is_null() && !exit.is_null()).then_some(())?;
    // SAFETY: the GIL is held; functions of these types.
    unsafe {
        let copy = std::mem::transmute::<*mut libc::c_void, unsafe extern "C" fn() -> *mut PyObject>(copy)();
        let context = Object::own(copy)?;
        let [enter, exit] = [enter, exit].map(|found| std::mem::transmute::<*mut libc::c_void, Function>(found));
        (enter(context.raw()) == 0).then_some(())?;
        let done = work();
        // Nobody else may have entered or left one.
        (exit(context.raw()) == 0).then_some(())?;
        done
    }
}

fn volatile() -> Option<Vec<usize>> {
    let intern = |name: &str| {
        let name = std::ffi::CString::new(name).ok()?;
        // SAFETY: the GIL is held; the name is kept for ever.
        let name = unsafe { Object::own(ffi::PyUnicode_InternFromString(name.as_ptr()))? };
        Some(name.into_raw() as usize)
    };
    list::VOLATILE.split_whitespace().map(intern).collect()
}

/// What can be said once everything is as it was.
fn complete(node: &mut Node, settlers: &Object, volatile: &[usize], layout: &Layout) {
    let reference = node.module.borrow().as_ref().and_then(|module| {
        // SAFETY: the GIL is held; a live object.
        unsafe { Object::own(ffi::PyWeakref_NewRef(module.raw(), std::ptr::null_mut())) }
    });
    match reference {
        Some(reference) => {
            ring::untrack(&reference);
            node.reference = Some(reference);
        }
        None if node.fails => {}
        None => {
            // SAFETY: the GIL is held.
            unsafe { ffi::PyErr_Clear() };
            node.refuse("no weak reference can be made to it");
        }
    }
    modules::examine(node);
    if !node.namespace.is_null() {
        let skip = if node.name == "sys" { volatile } else { &[] };
        // SAFETY: the GIL is held; an exact dictionary.
        unsafe { node.content.take(layout, node.namespace, skip) };
    }
    if node.state.get() == State::Base {
        // It stays by itself.
        node.module.borrow_mut().take();
    } else {
        node.settle = item(settlers, &node.name);
        node::keep(node, layout);
    }
}

fn index(nodes: &[Node]) -> Option<Object> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let index = Object::own(ffi::PyDict_New())?;
        for (number, node) in nodes.iter().enumerate().filter(|(_, node)| node.state.get() == State::Hidden) {
            let number = Object::own(ffi::PyLong_FromSize_t(number))?;
            (ffi::PyDict_SetItem(index.raw(), node.key.raw(), number.raw()) == 0).then_some(())?;
        }
        Some(index)
    }
}

fn hand_over(name: *mut PyObject) -> Option<Object> {
    // SAFETY: stored by `prepare`, never freed.
    let store = unsafe { STORE.load(Relaxed).as_ref() }?;
    if !quiet::has_no_audit_hooks(&store.layout) || store.world.busy.replace(true) {
        return None;
    }
    let answer = store.hand_over(name);
    // SAFETY: the GIL is held. Whatever went wrong, CPython will find it by itself.
    unsafe { ffi::PyErr_Clear() };
    store.world.settle_finders(answer.is_ok());
    store.world.busy.set(false);
    log(name, &answer);
    answer.ok().map(|(module, _)| module)
}

/// A cold import of an extension that the zygote has initialised, and that initialises itself once a process (PEP 489):
/// what its initialisation imports is imported first, because CPython will not call it again.
fn ask_first(name: *mut PyObject) -> Option<()> {
    // SAFETY: stored by `prepare`, never freed.
    let Some(store) = (unsafe { STORE.load(Relaxed).as_ref() }) else { return Some(()) };
    for needed in store.initialised(name) {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            if ffi::PyDict_GetItem(store.world.modules.raw(), needed.raw()).is_null() {
                Object::own(ffi::PyImport_Import(needed.raw()))?;
            }
        }
    }
    Some(())
}

/// Before the hand-off: may this script run here? Code must become executable in this process. What start-up put in front of `sys.path` must have none of the names that
/// extensions have asked for when they initialised themselves.
pub fn suits() -> bool {
    // SAFETY: stored by `prepare`, never freed.
    let Some(store) = (unsafe { STORE.load(Relaxed).as_ref() }) else { return true };
    if !asleep::may_wake() || !foreign::may_copy() {
        return false;
    }
    let first = capi::sys(c"path").and_then(|path| {
        // SAFETY: the GIL is held; a list, or null is given.
        unsafe { Object::share(ffi::PyList_GetItem(path.raw(), 0)) }
    });
    // SAFETY: the GIL is held.
    unsafe { ffi::PyErr_Clear() };
    let Some(first) = first.and_then(|first| node::text(&first)) else { return false };
    store.world.paths.number(&first).is_some() || !store.has_once || !store.world.has_any(first.as_bytes(), list::ONCE)
}

/// Modules that change something in themselves in the child of a fork, as what captures and serves is.
const CHANGED_BY_FORK: [&str; 4] = ["threading", "logging", "random", "concurrent.futures.thread"];

/// The run begins: no code of the script's has run.
pub fn begin() {
    // SAFETY: stored by `prepare`, never freed.
    if let Some(store) = unsafe { STORE.load(Relaxed).as_ref() } {
        let is_changed =
            |node: &&Node| node.state.get() == State::Base && CHANGED_BY_FORK.contains(&node.name.as_str());
        for node in store.nodes.iter().filter(is_changed) {
            // SAFETY: the GIL is held; modules of the start live.
            unsafe { node.content.take(&store.layout, node.namespace, &[]) };
        }
    }
    learn::begin();
    find_log();
}

/// Does somebody want to know of hand-overs?
fn find_log() {
    // SAFETY: a C string, or null; the environment is the caller's by now.
    let path = unsafe {
        let value = libc::getenv(c"PYZY_LOG".as_ptr());
        if value.is_null() || *value == 0 { return } else { CStr::from_ptr(value).to_bytes().to_vec() }
    };
    LOG.store(Box::into_raw(Box::new(path)), Relaxed);
}

fn log(name: *mut PyObject, answer: &Result<(Object, usize), &'static str>) {
    // SAFETY: stored by `begin`, never freed.
    let Some(path) = (unsafe { LOG.load(Relaxed).as_ref() }) else { return };
    // SAFETY: the GIL is held; a live object.
    let name = unsafe { Object::share(name) }.and_then(|name| node::text(&name)).unwrap_or_default();
    let line = match answer {
        Ok((_, count)) => format!("pid={} import={name} warm={count}\n", process::id()),
        Err(why) => format!("pid={} import={name} cold: {why}\n", process::id()),
    };
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CLOEXEC;
    if let Ok(file) = file::open(path, flags, 0) {
        let _ = file::write(file.number(), line.as_bytes());
    }
}

/// Is it known of all extensions that were handed over, or loaded by this process, that their end goes unseen?
pub fn has_only_silent_extensions() -> bool {
    // SAFETY: stored by `prepare`, never freed.
    let store = unsafe { STORE.load(Relaxed).as_ref() };
    !quiet::uses::happened()
        && !foreign::has_loaded_loud()
        && store.is_none_or(|store| !store.nodes.iter().any(|node| node.is_loud && node.state.get() == State::Given))
}

/// What the objects of modules that were handed over do at the end.
pub fn kept() -> impl Iterator<Item = Option<&'static Kept>> {
    // SAFETY: stored by `prepare`, never freed.
    let store = unsafe { STORE.load(Relaxed).as_ref() };
    store.into_iter().flat_map(hand::given).map(|node| node.kept.as_ref())
}
