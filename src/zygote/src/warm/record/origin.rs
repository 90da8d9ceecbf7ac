//! Where a module came from.
//!
//! Owns what the recorder notes of a module's files, its package and the place along `sys.path` where it was found: what must be
//! as it is for an import to find the same again.

use super::{Recorder, item};
use crate::capi::{self, Object};
use crate::trace;
use crate::warm::foreign;
use crate::warm::list::KEEPS;
use crate::warm::modules::namespace;
use crate::warm::node::text;
use pyo3::ffi::{self, PyObject};
use pyzy_sys::file;

/// Why a module is refused whose next import writes bytecode, if it may.
pub const NO_BYTECODE: &str = "it has no bytecode that fits";

impl Recorder<'_> {
    /// What the finder of its package's directory says of a submodule.
    fn found(&self, number: usize) -> Option<Object> {
        let node = &self.nodes[number];
        let package = item(&self.modules, &self.nodes[node.parent?].name)?.attribute(c"__path__")?;
        let cache = capi::sys(c"path_importer_cache")?;
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let finder = ffi::PyDict_GetItem(cache.raw(), ffi::PyList_GetItem(package.raw(), 0));
            let find = Object::share(finder)?.attribute(c"find_spec")?;
            let arguments = Object::own(ffi::PyTuple_Pack(1, node.key.raw()))?;
            Object::own(ffi::PyObject_CallObject(find.raw(), arguments.raw()))
        }
    }

    /// Where a part of a package would have come from, whose import has failed: its files.
    pub(super) fn describe_failed(&mut self, number: usize) -> Option<()> {
        let was = trace::pause();
        #[allow(deprecated)]
        // SAFETY: the GIL is held; the exception is put back as it was.
        let done = unsafe {
            let (mut kind, mut value, mut trace) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
            ffi::PyErr_Fetch(&mut kind, &mut value, &mut trace);
            let done = self.describe_part(number);
            ffi::PyErr_Restore(kind, value, trace);
            done
        };
        trace::resume(was);
        done
    }

    fn describe_part(&mut self, number: usize) -> Option<()> {
        let (parent, _) = self.nodes[number].name.rsplit_once('.')?;
        let directory = self.directory_of(parent)?;
        self.nodes[number].parent = Some(*self.index.get(parent)?);
        let spec = self.found(number)?;
        let (loader, locations) = (spec.attribute(c"loader")?, spec.attribute(c"submodule_search_locations")?);
        let (origin, cached) = (text(&spec.attribute(c"origin")?)?, text(&spec.attribute(c"cached")?)?);
        // SAFETY: the GIL is held; live objects.
        let is_plain = unsafe {
            ffi::Py_TYPE(loader.raw()) as *mut PyObject == self.classes.source.raw()
                && locations.raw() == ffi::Py_None()
        };
        (is_plain && has_bytecode(&origin, &cached)).then_some(())?;
        for path in [&origin, &cached, &directory] {
            let place = self.place(path.as_bytes());
            self.nodes[number].places.push(place);
        }
        self.nodes[number].finder = capi::sys(c"path_importer_cache")
            .and_then(|cache| Object::decoded(directory.as_bytes()).zip(item(&cache, &directory)));
        self.nodes[number].is_source = true;
        Some(())
    }

    /// Where the module came from, and what must be as it is for that to be so again.
    pub(super) fn describe(&mut self, number: usize, module: &Object) -> Option<()> {
        let name = self.nodes[number].name.clone();
        if let Some((parent, _)) = name.rsplit_once('.') {
            let parent = *self.index.get(parent)?;
            self.nodes[number].parent = Some(parent);
        }
        // SAFETY: the GIL is held; live objects.
        unsafe {
            if namespace(module.raw()).is_null() {
                self.nodes[number].refuse("it puts something else into sys.modules");
                return Some(());
            }
            let mut spec = module.attribute(c"__spec__")?;
            let is_itself = text(&spec.attribute(c"name")?)? == name;
            if !is_itself {
                // Another module in its place, which was there before: `collections.abc`.
                spec = self.found(number)?;
            }
            let loader = spec.attribute(c"loader")?;
            if is_itself && module.attribute(c"__loader__")?.raw() != loader.raw() {
                return None;
            }
            let kind = ffi::Py_TYPE(loader.raw()) as *mut PyObject;
            let locations = spec.attribute(c"submodule_search_locations")?;
            let is_package = locations.raw() != ffi::Py_None();
            if loader.raw() == self.classes.builtin.raw() || loader.raw() == self.classes.frozen.raw() {
                // Part of the interpreter itself; found before anything on sys.path.
                self.nodes[number].is_source = loader.raw() == self.classes.frozen.raw();
                if is_package {
                    let path = module.attribute(c"__path__")?;
                    (ffi::PyList_CheckExact(path.raw()) != 0).then_some(())?;
                    if ffi::PyList_Size(path.raw()) == 1 {
                        let entry = Object::share(ffi::PyList_GetItem(path.raw(), 0))?;
                        self.nodes[number].package = Some((path, entry));
                    }
                }
                return Some(());
            }
            let origin = text(&spec.attribute(c"origin")?)?;
            if kind == self.classes.source.raw() {
                self.nodes[number].is_source = true;
                let cached = spec.attribute(c"cached")?;
                let cached = text(&cached)?;
                if !has_bytecode(&origin, &cached) {
                    self.nodes[number].refuse(NO_BYTECODE);
                }
                for path in [&origin, &cached] {
                    let place = self.place(path.as_bytes());
                    self.nodes[number].places.push(place);
                }
            } else if kind == self.classes.extension.raw() {
                let definition = ffi::PyModule_GetDef(module.raw());
                ffi::PyErr_Clear();
                // Another import of one from outside the standard library gets a copy (`foreign`).
                let is_library = foreign::is_library(origin.as_bytes(), &self.paths.library_directories());
                let is_once = definition.is_null() || (*definition).m_slots.is_null();
                self.nodes[number].once =
                    is_library && (is_once || KEEPS.split_whitespace().any(|keeps| keeps == name));
                let place = self.place(origin.as_bytes());
                self.nodes[number].places.push(place);
                self.nodes[number].library = Some(origin.as_bytes().to_vec());
            } else {
                return None;
            }
            let directory = origin.rsplit_once('/')?.0;
            if is_package {
                is_itself.then_some(())?;
                let path = module.attribute(c"__path__")?;
                (ffi::PyList_CheckExact(path.raw()) != 0 && ffi::PyList_Size(path.raw()) == 1).then_some(())?;
                let entry = Object::share(ffi::PyList_GetItem(path.raw(), 0))?;
                (text(&entry)? == directory).then_some(())?;
                self.nodes[number].package = Some((path, entry));
            }
            let searched = if is_package { directory.rsplit_once('/')?.0 } else { directory };
            match self.nodes[number].parent {
                Some(parent) => {
                    // The package's own import may be under way.
                    let package = item(&self.modules, &self.nodes[parent].name)?.attribute(c"__path__")?;
                    let entry = Object::share(ffi::PyList_GetItem(package.raw(), 0))?;
                    (text(&entry)? == searched).then_some(())?;
                    let cache = capi::sys(c"path_importer_cache")?;
                    let finder = Object::share(ffi::PyDict_GetItem(cache.raw(), entry.raw()))?;
                    self.nodes[number].finder = Some((entry, finder));
                    let place = self.place(searched.as_bytes());
                    self.nodes[number].places.push(place);
                }
                None => {
                    let entry = self.paths.number(searched)?;
                    let name = self.name(&name);
                    self.nodes[number].found = Some((name, entry));
                }
            }
            Some(())
        }
    }
}

/// Does the bytecode belong to the source, by time and size (PEP 552)?
fn has_bytecode(source: &str, cached: &str) -> bool {
    let (Some(facts), Ok(bytes)) = (file::facts(source.as_bytes()), file::read_file(cached.as_bytes(), 64 << 20))
    else {
        return false;
    };
    let word = |at: usize| bytes.get(at..at + 4).map(|w| u32::from_le_bytes(w.try_into().unwrap_or_default()));
    let seconds = (facts[4] as i64).div_euclid(1_000_000_000) as u32;
    word(4) == Some(0) && word(8) == Some(seconds) && word(12) == Some(facts[3] as u32)
}
