//! Finders of others that start-up may leave, known by their names.
//!
//! Owns what each answers for, and what its answers hang on: `world` watches that, and keeps their names cold.

use super::node::{Content, text};
use super::record::item;
use super::world::{class_namespace, item_attribute};
use crate::capi::Object;
use crate::quiet::Layout;
use pyo3::ffi::{self, PyObject};

/// What setuptools puts in front of CPython's finders: it takes the names for which it has a method
/// (`_distutils_hack/__init__.py`).
const DISTUTILS: [&str; 2] = ["_distutils_hack", "DistutilsMetaFinder"];
/// What virtualenv and uv put there for some versions: it takes `distutils.dist` and `setuptools.dist`.
const VIRTUALENV: [&str; 2] = ["_virtualenv", "_Finder"];

/// Is it of that class of that module?
fn is_finder(finder: &Object, [module, name]: [&str; 2]) -> bool {
    // SAFETY: the GIL is held; a live object.
    let class = unsafe { Object::share(ffi::Py_TYPE(finder.raw()) as *mut PyObject) };
    let named = |name| class.as_ref().and_then(|c| item_attribute(c, name)).and_then(|n| text(&n));
    named("__module__").as_deref() == Some(module) && named("__qualname__").as_deref() == Some(name)
}

/// What setuptools puts on `sys.path` for projects that are installed to be edited, so that a hook of its own is asked: a name of
/// a file that is nowhere (`setuptools/command/editable_wheel.py`, _FINDER_TEMPLATE).
pub fn is_placeholder(path: &[u8]) -> bool {
    path.starts_with(b"__editable__.") && path.ends_with(b".__path_hook__") && !path.contains(&b'/')
}

/// Is that the finder that goes with it? Then what decides on its answers: namespaces and tables, as they are.
pub fn editable(modules: &Object, finder: &Object, layout: &Layout) -> Option<Vec<(Object, Content)>> {
    let name = text(&item_attribute(finder, "__module__")?)?;
    let is_one = name.starts_with("__editable___") && name.ends_with("_finder");
    let is_named =
        |class: &Object, name| item_attribute(class, "__qualname__").and_then(|n| text(&n)).as_deref() == Some(name);
    (is_one && is_named(finder, "_EditableFinder")).then_some(())?;
    let module = item(modules, &name)?;
    let other = item_attribute(&module, "_EditableNamespaceFinder")?;
    is_named(&other, "_EditableNamespaceFinder").then_some(())?;
    let tables = ["MAPPING", "NAMESPACES"].map(|name| item_attribute(&module, name));
    // SAFETY: the GIL is held; live objects.
    unsafe {
        (ffi::PyModule_Check(module.raw()) != 0).then_some(())?;
        let own = Object::share(ffi::PyModule_GetDict(module.raw()));
        let watched = [class_namespace(finder), class_namespace(&other), own].into_iter().chain(tables);
        watched
            .map(|dictionary| {
                let dictionary = dictionary?;
                (ffi::PyDict_CheckExact(dictionary.raw()) != 0).then_some(())?;
                let content = Content::default();
                content.take(layout, dictionary.raw(), &[]);
                Some((dictionary, content))
            })
            .collect()
    }
}

/// Is it known by its name? It takes a few names and no others.
pub fn is_known(finder: &Object) -> bool {
    is_finder(finder, DISTUTILS) || is_finder(finder, VIRTUALENV)
}

/// Which of these names does it take?
pub fn takes<'a>(finder: &'a Object) -> impl Fn(&str) -> bool + 'a {
    let (distutils, virtualenv) = (is_finder(finder, DISTUTILS), is_finder(finder, VIRTUALENV));
    move |name| {
        distutils && item_attribute(finder, &format!("spec_for_{name}")).is_some()
            || virtualenv && ["distutils", "setuptools"].contains(&name)
    }
}
