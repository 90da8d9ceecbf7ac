//! What a name would be in this process.
//!
//! Owns the import system's own state as start-up left it, and the question
//! whether it is still so: finders, hooks, classes, `sys.path`. What was added to `sys.path`
//! is searched for names that are kept warm; what was there is looked at by `stat`.

use super::finders::{self, is_placeholder};
use super::node::{self, Content, Node, text};
use super::record::item;
use super::row::Allocator;
use crate::capi::{self, Object};
use crate::entry;
use crate::names::{self, Name};
use crate::quiet::Layout;
use crate::watchers::Watchers;
use pyo3::ffi::{self, PyObject};
use pyzy_core::fresh::{self, Facts, Table};
use pyzy_sys::file;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;

/// `sys.path` as start-up left it.
pub struct Paths {
    pub entries: Vec<(Object, Vec<u8>, Facts)>,
    /// The numbers of the entries that hold the standard library: its directory, and `lib-dynload` beneath it.
    pub library: [usize; 2],
    /// Of which entries what comes and goes is no matter to start-up ([`fresh::ONLY_DIRECTORY`]).
    changing: Vec<bool>,
}

impl Paths {
    /// `None` where it is not as usual. `table` is the freshness table.
    pub fn now(table: &[u8]) -> Option<Paths> {
        let path = capi::sys(c"path")?;
        let mut entries = Vec::new();
        // SAFETY: the GIL is held; indices below the length.
        unsafe {
            (ffi::PyList_CheckExact(path.raw()) != 0).then_some(())?;
            for at in 0..ffi::PyList_Size(path.raw()) {
                let entry = Object::share(ffi::PyList_GetItem(path.raw(), at))?;
                let bytes = text(&entry)?.into_bytes();
                (bytes.first() == Some(&b'/') || is_placeholder(&bytes)).then_some(())?;
                let facts = file::facts(&bytes);
                entries.push((entry, bytes, facts));
            }
        }
        let dynamic = entries.iter().position(|(_, path, _)| path.ends_with(b"/lib-dynload"))?;
        let library = entries[dynamic].1.strip_suffix(b"/lib-dynload")?.to_vec();
        let library = entries.iter().position(|(_, path, _)| *path == library)?;
        let table = Table::decode(table)?;
        let only: HashSet<&[u8]> =
            table.paths.iter().filter_map(|(path, _)| path.strip_suffix(fresh::ONLY_DIRECTORY)).collect();
        let changing = entries.iter().map(|(_, path, _)| only.contains(&path[..])).collect();
        Some(Paths { entries, library: [library, dynamic], changing })
    }

    /// The entries that hold the standard library, as a list.
    pub fn library_list(&self) -> Option<Object> {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let list = Object::own(ffi::PyList_New(0))?;
            for number in self.library {
                (ffi::PyList_Append(list.raw(), self.entries[number].0.raw()) == 0).then_some(())?;
            }
            Some(list)
        }
    }

    /// The number of an entry.
    pub fn number(&self, directory: &str) -> Option<usize> {
        self.entries.iter().position(|(_, path, _)| path == directory.as_bytes())
    }

    /// Does it lie below one of the entries? Then it is looked at by itself. With `wide` only the standard library's own
    /// files are: what other packages look at may be more than their code.
    pub fn covers(&self, path: &[u8], wide: bool) -> bool {
        let below = |entry: &[u8]| path.strip_prefix(entry).is_some_and(|r| matches!(r.first(), None | Some(b'/')));
        let mut around = self.entries.iter().filter(|(_, entry, _)| below(entry));
        if !wide {
            return around.next().is_some();
        }
        // site-packages lies below the standard library's directory.
        let innermost = around.max_by_key(|(_, entry, _)| entry.len());
        innermost.is_some_and(|(_, entry, _)| self.library.iter().any(|&at| self.entries[at].1 == *entry))
    }

    /// The number of the innermost entry that a path lies below; `usize::MAX` for none.
    pub fn around(&self, path: &[u8]) -> usize {
        let below = |entry: &[u8]| path.strip_prefix(entry).is_some_and(|rest| rest.len() > 1 && rest[0] == b'/');
        let around = self.entries.iter().enumerate().filter(|(_, (_, entry, _))| below(entry));
        around.max_by_key(|(_, (_, entry, _))| entry.len()).map_or(usize::MAX, |(number, _)| number)
    }

    /// The directories of the standard library.
    pub fn library_directories(&self) -> Vec<Vec<u8>> {
        self.library.iter().map(|&at| self.entries[at].1.clone()).collect()
    }
}

/// The import system as start-up left it.
pub struct World {
    pub paths: Paths,
    pub modules: Object,
    pub cache: Object,
    /// Lists of `sys`, with their items.
    lists: Vec<(&'static Name, Object, Vec<Object>)>,
    /// Namespaces of importlib's classes.
    classes: Vec<(Object, Content)>,
    /// The same of the modules whose functions are called.
    functions: Vec<(Object, Content)>,
    /// Names in these that may change.
    renamed: [usize; 4],
    finder: Object,
    loaders: Object,
    /// File names that a finder takes for a module, after its name.
    suffixes: Vec<Vec<u8>>,
    watchers: Watchers,
    allocator: Allocator,
    locks: Object,
    /// `sys.implementation`, and what it says of names of bytecode.
    implementation: (Object, Object),
    /// First names, by the bytes before the first dot of a file's name.
    names: HashMap<Vec<u8>, usize>,
    /// What was found in directories that were added to `sys.path`, in this process.
    searched: RefCell<Vec<Searched>>,
    /// Names that another entry of the first `sys.path` has as well.
    taken: Vec<bool>,
    blocked: RefCell<Vec<bool>>,
    /// Entries of `sys.path` for which the hand-over that is under way has had finders made.
    made: RefCell<Vec<Object>>,
    /// A finder that has searched nothing yet: the script's directory needs one in each run that imports something.
    spare: RefCell<Option<Object>>,
    pub busy: Cell<bool>,
}

struct Searched {
    path: Vec<u8>,
    facts: Facts,
    names: Vec<usize>,
}

/// What a search along `sys.path` has to reach.
#[derive(Default)]
pub struct Reach {
    /// Up to this entry of the first `sys.path`, counted from one.
    pub entries: usize,
    /// To the very end.
    pub all: bool,
}

/// Why a hand-over must not be.
pub type Answer<T> = Result<T, &'static str>;

const CLASSES: [(&str, &str); 11] = [
    ("_frozen_importlib", "BuiltinImporter"),
    ("_frozen_importlib", "FrozenImporter"),
    ("_frozen_importlib", "ModuleSpec"),
    ("_frozen_importlib_external", "PathFinder"),
    ("_frozen_importlib_external", "FileFinder"),
    ("_frozen_importlib_external", "_LoaderBasics"),
    ("_frozen_importlib_external", "SourceLoader"),
    ("_frozen_importlib_external", "FileLoader"),
    ("_frozen_importlib_external", "SourceFileLoader"),
    ("_frozen_importlib_external", "ExtensionFileLoader"),
    ("zipimport", "zipimporter"),
];

/// Modules whose functions an import calls.
const SYSTEM: [&str; 6] = ["_frozen_importlib", "_frozen_importlib_external", "_imp", "marshal", "posix", "_thread"];
/// What `import importlib` sets in some of them (`Lib/importlib/__init__.py`).
const RENAMED: [&CStr; 4] = [c"__name__", c"__package__", c"__file__", c"__spec__"];

impl World {
    /// `None` where start-up left something unusual.
    pub fn now(paths: Paths, layout: &Layout) -> Option<World> {
        let modules = capi::sys(c"modules")?;
        let inner = item(&modules, "_frozen_importlib")?;
        let outer = item(&modules, "_frozen_importlib_external")?;
        let mut classes = Vec::new();
        for (module, name) in CLASSES {
            let module = item(&modules, module)?;
            let class = item_attribute(&module, name)?;
            let dictionary = class_namespace(&class)?;
            let content = Content::default();
            // SAFETY: the GIL is held; a dictionary.
            unsafe { content.take(layout, dictionary.raw(), &[]) };
            classes.push((dictionary, content));
        }
        // SAFETY: the GIL is held. The names live as long as they are interned, and for that we keep them.
        let renamed = RENAMED.map(|name| unsafe { ffi::PyUnicode_InternFromString(name.as_ptr()) } as usize);
        let mut functions = Vec::new();
        for name in SYSTEM {
            let Some(module) = item(&modules, name) else { continue };
            // SAFETY: the GIL is held; a live module's dictionary is borrowed.
            unsafe {
                (ffi::PyModule_Check(module.raw()) != 0).then_some(())?;
                let dictionary = Object::share(ffi::PyModule_GetDict(module.raw()))?;
                let content = Content::default();
                content.take(layout, dictionary.raw(), &renamed);
                functions.push((dictionary, content));
            }
        }
        let mut lists = Vec::new();
        for name in [&names::META_PATH, &names::PATH_HOOKS] {
            let list = names::sys(name)?;
            let items = items(&list)?;
            lists.push((name, list, items));
        }
        let known: Vec<Object> = [
            ("_frozen_importlib", "BuiltinImporter"),
            ("_frozen_importlib", "FrozenImporter"),
            ("_frozen_importlib_external", "PathFinder"),
        ]
        .into_iter()
        .filter_map(|(module, name)| item_attribute(&item(&modules, module)?, name))
        .collect();
        let is_known = |f: &Object| known.iter().any(|k| k.raw() == f.raw());
        let last = lists[0].2.iter().rposition(is_known)?;
        for (at, finder) in lists[0].2.iter().enumerate() {
            // Behind the others it is asked for what they have not.
            if at > last
                && let Some(watched) = finders::editable(&modules, finder, layout)
            {
                classes.extend(watched);
            } else if !is_known(finder) && !finders::is_known(finder) {
                return None;
            }
        }
        let finder = outer.attribute(c"FileFinder")?;
        let cache = capi::sys(c"path_importer_cache")?;
        let implementation = capi::sys(c"implementation")?;
        let tag = implementation.attribute(c"cache_tag")?;
        // SAFETY: the GIL is held; live objects.
        let loaders = unsafe {
            (ffi::PyDict_CheckExact(cache.raw()) != 0).then_some(())?;
            let library = Object::share(ffi::PyDict_GetItem(cache.raw(), paths.entries[paths.library[0]].0.raw()))?;
            (ffi::Py_TYPE(library.raw()) as *mut PyObject == finder.raw()).then_some(())?;
            // A list of our own, which nobody changes.
            Object::own(ffi::PySequence_List(library.attribute(c"_loaders")?.raw()))?
        };
        Some(World {
            paths,
            modules,
            cache,
            lists,
            classes,
            functions,
            renamed,
            finder,
            suffixes: suffixes(&loaders)?,
            loaders,
            watchers: Watchers::find()?,
            allocator: Allocator::now(),
            implementation: (implementation, tag),
            locks: inner.attribute(c"_module_locks")?,
            names: HashMap::new(),
            searched: RefCell::new(Vec::new()),
            taken: Vec::new(),
            blocked: RefCell::new(Vec::new()),
            made: RefCell::new(Vec::new()),
            spare: RefCell::new(None),
            busy: Cell::new(false),
        })
    }

    /// Learns the names that matter, and which of them other entries of `sys.path` have as well. `found` tells in which
    /// entry each was found.
    pub fn set_names(&mut self, names: &[String], found: &[Option<usize>]) -> Option<()> {
        self.names = names.iter().enumerate().map(|(at, name)| (name.clone().into_bytes(), at)).collect();
        self.taken = vec![false; names.len()];
        for finder in &self.lists[0].2 {
            let takes = finders::takes(finder);
            for (taken, name) in self.taken.iter_mut().zip(names) {
                *taken |= takes(name);
            }
        }
        // SAFETY: the GIL is held.
        unsafe { ffi::PyErr_Clear() };
        for (number, (entry, path, facts)) in self.paths.entries.iter().enumerate() {
            if self.paths.library.contains(&number) || is_placeholder(path) {
                continue;
            }
            // SAFETY: the GIL is held; live objects.
            unsafe {
                let finder = Object::own(ffi::PyImport_GetImporter(entry.raw()))?;
                if finder.raw() == ffi::Py_None() {
                    continue;
                }
                (ffi::Py_TYPE(finder.raw()) as *mut PyObject == self.finder.raw()).then_some(())?;
            }
            for name in self.search(path, *facts).ok()?.names {
                self.taken[name] |= found[name].is_none_or(|found| number < found);
            }
        }
        Some(())
    }

    /// Is it found in the standard library, or where an installer puts packages? A project's own modules are nobody's to
    /// import unasked.
    pub fn is_installed(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or(name);
        let found = self.paths.entries.iter().position(|(_, path, _)| self.has_any(path, first));
        found.is_some_and(|at| {
            let path = &self.paths.entries[at].1;
            self.paths.library.contains(&at)
                || [&b"/site-packages"[..], b"/dist-packages"].iter().any(|end| path.ends_with(end))
        })
    }

    /// Does a directory have a module of one of these names?
    pub fn has_any(&self, directory: &[u8], names: &str) -> bool {
        // To list a large directory takes longer than to ask for each name.
        const LARGE: u64 = 4096;
        let mut names = names.split_whitespace().map(str::as_bytes);
        if file::stat(directory).is_ok_and(|stat| stat.size > LARGE) {
            let suffixes = || self.suffixes.iter().map(|suffix| &suffix[..]).chain([&b""[..]]);
            return names.any(|name| suffixes().any(|s| file::stat(&[directory, b"/", name, s].concat()).is_ok()));
        }
        let Ok(files) = file::list(directory) else { return false };
        let stems: Vec<&[u8]> = files.iter().filter_map(|file| file.split(|&b| b == b'.').next()).collect();
        names.any(|name| stems.contains(&name))
    }

    /// Is the import system as start-up left it, and does nobody watch?
    pub fn is_plain(&self, layout: &Layout) -> Answer<()> {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            if ffi::PyImport_GetModuleDict() != self.modules.raw() || !is_sys(&names::MODULES, &self.modules) {
                return Err("sys.modules was replaced");
            }
            if !is_sys(&names::PATH_CACHE, &self.cache) {
                return Err("sys.path_importer_cache was replaced");
            }
            for (name, list, before) in &self.lists {
                let same = is_sys(name, list)
                    && ffi::PyList_Size(list.raw()) == before.len() as isize
                    && before.iter().enumerate().all(|(at, i)| ffi::PyList_GetItem(list.raw(), at as isize) == i.raw());
                if !same {
                    return Err("the finders of the import system are others");
                }
            }
            let (implementation, tag) = &self.implementation;
            if !is_sys(&names::IMPLEMENTATION, implementation)
                || names::attribute(implementation, &names::CACHE_TAG).is_none_or(|now| now.raw() != tag.raw())
            {
                return Err("sys.implementation was changed");
            }
            let changed =
                |skip| move |(dictionary, content): &(Object, Content)| !content.is_in(layout, dictionary.raw(), skip);
            if self.classes.iter().any(changed(&[])) || self.functions.iter().any(changed(&self.renamed)) {
                return Err("importlib was changed");
            }
            if !self.watchers.are_none() {
                return Err("a function or a tool is told of what is run");
            }
            if !Allocator::now().is(&self.allocator) {
                return Err("memory is traced, or comes from elsewhere");
            }
        }
        Ok(())
    }

    /// Is the import of this module under way, in whatever thread?
    pub fn is_locked(&self, node: &Node) -> bool {
        // SAFETY: the GIL is held; live objects.
        !unsafe { ffi::PyDict_GetItem(self.locks.raw(), node.key.raw()) }.is_null()
    }

    /// Is there another module of that first name in this process?
    pub fn is_blocked(&self, name: usize) -> bool {
        self.taken.get(name) == Some(&true) || self.blocked.borrow().get(name) == Some(&true)
    }

    /// Walks `sys.path`: the entries of start-up as they were, in their order, and others searched. True if a finder had
    /// to be made, which may have run code.
    pub fn walk(&self, reach: &Reach) -> Answer<bool> {
        if !reach.all && reach.entries == 0 {
            return Ok(false);
        }
        let path = names::sys(&names::PATH).ok_or("there is no sys.path")?;
        let mut blocked = vec![false; self.names.len()];
        let (mut made, mut base) = (false, 0);
        // SAFETY: the GIL is held; indices below the length.
        unsafe {
            if ffi::PyList_CheckExact(path.raw()) == 0 {
                return Err("sys.path is no list");
            }
            let mut at = 0;
            // Where the last of what is looked for is found, a search ends: nobody asks for finders behind that.
            while at < ffi::PyList_Size(path.raw()) && (reach.all || base < reach.entries) {
                let entry = Object::share(ffi::PyList_GetItem(path.raw(), at)).ok_or("sys.path is odd")?;
                at += 1;
                if ffi::PyUnicode_CheckExact(entry.raw()) == 0 {
                    return Err("an entry of sys.path is no str");
                }
                let known = self
                    .paths
                    .entries
                    .get(base)
                    .filter(|(e, ..)| e.raw() == entry.raw() || ffi::PyUnicode_Compare(e.raw(), entry.raw()) == 0);
                if ffi::PyUnicode_GetLength(entry.raw()) == 0 {
                    return Err("sys.path has the working directory");
                }
                let cached = Object::share(ffi::PyDict_GetItem(self.cache.raw(), entry.raw()));
                let is_new = cached.is_none();
                let ready = cached.or_else(|| self.take_spare(&entry));
                let is_ready = ready.is_some();
                let finder = ready.or_else(|| Object::own(ffi::PyImport_GetImporter(entry.raw())));
                let finder = finder.ok_or("a path hook fails")?;
                // The search would make one as well.
                if is_new {
                    made |= !is_ready;
                    self.made.borrow_mut().extend(Object::share(entry.raw()));
                }
                let is_none = finder.raw() == ffi::Py_None();
                let is_holder = known.is_some_and(|(_, path, _)| is_placeholder(path));
                if !is_none && ffi::Py_TYPE(finder.raw()) as *mut PyObject != self.finder.raw() && !is_holder {
                    return Err("sys.path has an archive or something else that is no directory");
                }
                let was_none = known.is_some_and(|(.., facts)| facts.is_none());
                let is_odd = !is_new && !is_holder && !is_none && !self.is_plain_finder(&finder, &entry);
                if is_odd || known.is_some() && !is_holder && is_none != was_none {
                    return Err("sys.path has a finder of somebody's own");
                }
                if known.is_none() && !is_none {
                    let bytes = text(&entry).ok_or("an entry of sys.path is odd")?.into_bytes();
                    if bytes.first() != Some(&b'/') {
                        return Err("sys.path has a relative path");
                    }
                    self.block(bytes, &mut blocked)?;
                }
                if let Some((_, path, facts)) = known {
                    base += 1;
                    let now = file::facts(path);
                    if now != *facts && self.paths.changing[base - 1] && now.is_some() && facts.is_some() {
                        // Its own modules are not warm then, nor are those that it might have now.
                        entry::wear_out();
                        self.block(path.clone(), &mut blocked)?;
                    } else if now != *facts {
                        return Err(node::changed("a directory of sys.path has changed", path, *facts, now));
                    }
                }
            }
        }
        if base < if reach.all { self.paths.entries.len() } else { reach.entries } {
            return Err("sys.path lacks what it had at start");
        }
        *self.blocked.borrow_mut() = blocked;
        Ok(made)
    }

    /// In the zygote, at last: has a finder made for a run to come.
    pub fn make_spare(&self) {
        let hook = self.lists[1].2.get(1);
        let made = hook.and_then(|hook| {
            let path = Object::decoded(b"/")?;
            // SAFETY: the GIL is held; live objects.
            unsafe {
                let arguments = Object::own(ffi::PyTuple_Pack(1, path.raw()))?;
                Object::own(ffi::PyObject_CallObject(hook.raw(), arguments.raw()))
            }
        });
        // SAFETY: the GIL is held; live objects.
        unsafe { ffi::PyErr_Clear() };
        let is_one = |finder: &Object| unsafe { ffi::Py_TYPE(finder.raw()) as *mut PyObject == self.finder.raw() };
        *self.spare.borrow_mut() = made.filter(is_one);
    }

    /// The finder that the path hooks would give for a directory, put where they put it. `FileFinder.__init__`
    /// (`Lib/importlib/_bootstrap_external.py`) keeps the path, and the rest is as for any other; the hooks are those of start-up.
    fn take_spare(&self, entry: &Object) -> Option<Object> {
        let path = text(entry).filter(|path| path.starts_with('/'))?;
        file::stat(path.as_bytes()).ok().filter(|stat| stat.is_dir())?;
        let finder = self.spare.take()?;
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let is_done = ffi::PyObject_SetAttr(finder.raw(), names::PATH.raw(), entry.raw()) == 0
                && ffi::PyDict_SetItem(self.cache.raw(), entry.raw(), finder.raw()) == 0;
            is_done.then_some(finder)
        }
    }

    /// Somebody sees all objects.
    pub fn drop_spare(&self) {
        drop(self.spare.take());
    }

    /// A hand-over ends. The finders that were made for it stay if something was given; else the import is CPython's, which
    /// asks for them itself, where and when it comes by.
    pub fn settle_finders(&self, is_given: bool) {
        for entry in self.made.take().into_iter().filter(|_| !is_given) {
            // SAFETY: the GIL is held; live objects. Nothing of Python's runs: a finder has no end of its own.
            unsafe {
                if ffi::PyDict_DelItem(self.cache.raw(), entry.raw()) != 0 {
                    ffi::PyErr_Clear();
                }
            }
        }
    }

    /// Is a finder as the path hooks make it for this entry?
    fn is_plain_finder(&self, finder: &Object, entry: &Object) -> bool {
        // SAFETY: the GIL is held; a str, and lists of tuples of str and class.
        let is_equal = |name, other: &Object| {
            names::attribute(finder, name).is_some_and(|value| unsafe {
                ffi::Py_TYPE(value.raw()) == ffi::Py_TYPE(other.raw())
                    && ffi::PyObject_RichCompareBool(value.raw(), other.raw(), ffi::Py_EQ) == 1
            })
        };
        // A method that is bound anew, and not what somebody has put there.
        let is_the_class_s = |name| {
            let method = names::attribute(finder, name);
            let function = method.and_then(|method| names::attribute(&method, &names::FUNC));
            function
                .zip(names::attribute(&self.finder, name))
                .is_some_and(|(function, own)| function.raw() == own.raw())
        };
        is_equal(&names::LOADERS, &self.loaders)
            && is_equal(&names::PATH, entry)
            && [&names::FIND_SPEC, &names::FILL_CACHE, &names::GET_SPEC].into_iter().all(is_the_class_s)
    }

    fn block(&self, path: Vec<u8>, blocked: &mut [bool]) -> Answer<()> {
        let facts = file::facts(&path);
        let mut searched = self.searched.borrow_mut();
        let place = match searched.iter().position(|s| s.path == path) {
            Some(place) if searched[place].facts == facts => place,
            Some(place) => {
                searched[place] = self.search(&path, facts)?;
                place
            }
            None => {
                searched.push(self.search(&path, facts)?);
                searched.len() - 1
            }
        };
        searched[place].names.iter().for_each(|&name| blocked[name] = true);
        Ok(())
    }

    /// Which names does a directory have something for?
    fn search(&self, path: &[u8], facts: Facts) -> Answer<Searched> {
        let mut names = Vec::new();
        if facts.is_some() {
            let listed = file::each_name_in(path, |file| {
                let dot = file.iter().position(|&b| b == b'.').unwrap_or(file.len());
                if let Some(&number) = self.names.get(&file[..dot])
                    && (dot == file.len() || self.suffixes.iter().any(|suffix| *suffix == file[dot..]))
                {
                    names.push(number);
                }
            });
            listed.map_err(|_| "a directory of sys.path cannot be read")?;
        }
        Ok(Searched { path: path.to_vec(), facts, names })
    }
}

fn is_sys(name: &Name, object: &Object) -> bool {
    names::sys(name).is_some_and(|now| now.raw() == object.raw())
}

/// An attribute by its name.
pub fn item_attribute(object: &Object, name: &str) -> Option<Object> {
    object.attribute(&std::ffi::CString::new(name).ok()?)
}

/// The items of an exact list.
pub fn items(list: &Object) -> Option<Vec<Object>> {
    // SAFETY: the GIL is held; indices below the length.
    unsafe {
        (ffi::PyList_CheckExact(list.raw()) != 0).then_some(())?;
        (0..ffi::PyList_Size(list.raw())).map(|at| Object::share(ffi::PyList_GetItem(list.raw(), at))).collect()
    }
}

/// Is `sys.warnoptions`, which `warnings` reads when it is imported, empty?
pub fn has_no_warning_options() -> bool {
    // SAFETY: the GIL is held; a live object.
    capi::sys(c"warnoptions").is_some_and(|options| unsafe {
        ffi::PyList_CheckExact(options.raw()) != 0 && ffi::PyList_Size(options.raw()) == 0
    })
}

/// The namespace of a class: what its `__dict__` is a view of (`mappingproxyobject`, `Objects/descrobject.c`).
pub fn class_namespace(class: &Object) -> Option<Object> {
    let view = class.attribute(c"__dict__")?;
    // SAFETY: the GIL is held; the first word of a view behind its head is what it views.
    unsafe {
        let inner = ((view.raw() as usize + 16) as *const *mut PyObject).read();
        (ffi::PyDict_CheckExact(inner) != 0).then_some(())?;
        Object::share(inner)
    }
}

fn suffixes(loaders: &Object) -> Option<Vec<Vec<u8>>> {
    items(loaders)?
        .iter()
        .map(|pair| {
            // SAFETY: the GIL is held; pairs of suffix and loader.
            let suffix = unsafe { Object::share(ffi::PyTuple_GetItem(pair.raw(), 0))? };
            Some(text(&suffix)?.into_bytes())
        })
        .collect()
}
