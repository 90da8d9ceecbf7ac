//! The recording: the zygote imports what is wanted, everything that it does is noted, and every trace of it is hidden.
//!
//! Owns the order of it: what is put in place before, the imports, and what is taken away and taken back
//! afterwards. What was noted, and what comes of it, is the caller's.

use super::calls;
use super::create;
use super::foreign;
use super::hook::Hook;
use super::node::{Node, Place, State, text};
use super::record::{CALLS, Recorder, item};
use super::registrations::{StandIns, set_recorder, tell};
use super::rehearsal::Verdict;
use super::row::Row;
use super::settings;
use super::subclasses::Owned;
use super::wanted::{Notes, Wanted};
use super::watch;
use super::world::{self, World};
use crate::capi::{self, Object};
use crate::quiet::{self, Layout};
use crate::trace;
use pyo3::ffi;
use std::collections::HashMap;
use std::ffi::CStr;

const SOURCE: &CStr = match CStr::from_bytes_with_nul(
    concat!(include_str!("../../../../python/settings.py"), "\n", include_str!("../../../../python/warm.py"), "\0")
        .as_bytes(),
) {
    Ok(source) => source,
    Err(_) => panic!("python/warm.py holds a NUL"),
};

/// What has been recorded.
pub struct Recording {
    pub nodes: Vec<Node>,
    pub places: Vec<Place>,
    /// Classes that imports have made.
    pub owned: Vec<Owned>,
    /// Where hidden modules lie, until all is known of them.
    pub row: Option<Row>,
    /// The names of the Python part.
    pub globals: Object,
    pub hook: Hook,
}

/// Imports `stdlib` and what the verdict calls warm, of which the first `named` were named and the others were learned.
pub fn record(
    layout: &Layout,
    world: &mut World,
    wanted: &Wanted,
    stdlib: &[&str],
    (verdict, named): (&Verdict, usize),
    told: &mut Notes,
) -> Option<Recording> {
    let globals = run_source()?;
    let seen = quiet::seen();
    let path = capi::sys(c"path")?;
    let write = capi::sys(c"dont_write_bytecode")?;
    let cache = world::items(&keys(&world.cache)?)?;
    let library_list = world.paths.library_list()?;
    let hook = Hook::new(&item(&globals, "tidy")?)?;
    // Before others stand there.
    create::attach()?;
    let stand_ins = StandIns::put()?;
    let row = Row::begin(&world.modules);
    let names = || stdlib.iter().copied().chain(verdict.warm.iter().map(String::as_str));
    row.iter().for_each(|row| row.name_parts(names()));
    let Some(mut recorder) = Recorder::new(layout, &world.paths, !verdict.warm.is_empty()) else {
        stand_ins.take_away();
        return None;
    };
    foreign::begin(world.paths.library_directories());
    // SAFETY: the GIL is held; live objects.
    unsafe {
        if verdict.warm.is_empty() {
            ffi::PySys_SetObject(c"path".as_ptr(), library_list.raw());
        }
        ffi::PySys_SetObject(c"dont_write_bytecode".as_ptr(), ffi::Py_True());
        // SAFETY: taken away below, before the recorder is moved.
        set_recorder((&raw mut recorder).cast::<Recorder<'static>>());
        trace::start_with_deeds(|call| CALLS.lock().unwrap_or_else(|e| e.into_inner()).push(call));
        hook.put();
        stdlib.iter().for_each(|name| import(name));
        tell(|recorder| recorder.allow_only(verdict.allowed()));
        let (named, learned) = verdict.warm.split_at(named);
        let each = |name: &str| {
            import(name);
            settings::call(&globals, "put_filters");
        };
        named.iter().for_each(|name| each(name));
        let before = resident();
        for name in learned {
            match resident().saturating_sub(before) < wanted.room {
                true => each(name),
                false => told.refused(name, "there is no room for it (PYZY_LEARNED_MB)"),
            }
        }
        hook.take_away();
        trace::stop();
        calls::detach();
        foreign::end();
        recorder.look();
        set_recorder(std::ptr::null_mut());
        ffi::PySys_SetObject(c"path".as_ptr(), path.raw());
        ffi::PySys_SetObject(c"dont_write_bytecode".as_ptr(), write.raw());
    }
    let tidied = settings::call(&globals, "tidy");
    recorder.finish();
    row.iter().for_each(Row::let_go);
    let (mut nodes, places, names, owned) = (recorder.nodes, recorder.places, recorder.names, recorder.owned);
    watch::undo_all(&nodes, &recorder.order);
    let tidied = tidied && settings::call(&globals, "take");
    let clean = stand_ins.take_away();
    quiet::forget(seen);
    take_keys(&mut nodes, &world.modules);
    for node in nodes.iter().filter(|node| node.state.get() == State::Hidden) {
        // SAFETY: the GIL is held; live objects. What is not there cannot be deleted.
        unsafe {
            if ffi::PyDict_DelItem(world.modules.raw(), node.key.raw()) < 0 {
                ffi::PyErr_Clear();
            }
        }
    }
    forget_finders(world, &cache)?;
    // From here on what is wrong leaves modules that are never handed over.
    (clean && tidied).then_some(())?;
    let mut found = vec![None; names.len()];
    nodes.iter().filter_map(|node| node.found).for_each(|(name, entry)| found[name] = Some(entry));
    world.set_names(&names, &found)?;
    forget_finders(world, &cache)?;
    Some(Recording { nodes, places, owned, row, globals, hook })
}

/// The keys of `sys.modules` become those of the nodes: they are the modules' own names, and not just equal.
fn take_keys(nodes: &mut [Node], modules: &Object) {
    // SAFETY: the GIL is held; nothing is changed while we look, and only strings are compared.
    unsafe {
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        let mut keys = HashMap::new();
        while ffi::PyDict_Next(modules.raw(), &mut at, &mut key, &mut value) != 0 {
            keys.extend(Object::share(key).and_then(|key| Some((text(&key)?, key))));
        }
        for node in nodes.iter_mut().filter(|node| node.state.get() == State::Hidden) {
            if let Some(key) = keys.remove(&node.name) {
                node.key = key;
            }
        }
    }
}

/// Entries of `sys.path_importer_cache` that were not there before.
fn forget_finders(world: &World, before: &[Object]) -> Option<()> {
    for key in world::items(&keys(&world.cache)?)? {
        if !before.iter().any(|known| known.raw() == key.raw()) {
            // SAFETY: the GIL is held; live objects.
            unsafe { ffi::PyDict_DelItem(world.cache.raw(), key.raw()) };
        }
    }
    Some(())
}

/// What this process has in memory, bytes (`man 5 proc`, statm).
fn resident() -> u64 {
    const PAGE: u64 = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE
}

/// Imports a module, or not.
fn import(name: &str) {
    let Ok(name) = std::ffi::CString::new(name) else { return };
    // SAFETY: the GIL is held; a C string. An import statement has its names interned.
    unsafe {
        let name = Object::own(ffi::PyUnicode_InternFromString(name.as_ptr()));
        if name.and_then(|name| Object::own(ffi::PyImport_Import(name.raw()))).is_none() {
            ffi::PyErr_Clear();
        }
    }
}

/// Compiles and runs the Python part in a namespace of its own.
fn run_source() -> Option<Object> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let globals = Object::own(ffi::PyDict_New())?;
        ffi::PyDict_SetItemString(globals.raw(), c"__builtins__".as_ptr(), ffi::PyEval_GetBuiltins());
        let code = Object::own(ffi::Py_CompileString(SOURCE.as_ptr(), c"<pyzy>".as_ptr(), 257))?;
        Object::own(ffi::PyEval_EvalCode(code.raw(), globals.raw(), globals.raw()))?;
        Some(globals)
    }
}

fn keys(dictionary: &Object) -> Option<Object> {
    // SAFETY: the GIL is held; a dictionary.
    unsafe { Object::own(ffi::PyDict_Keys(dictionary.raw())) }
}
