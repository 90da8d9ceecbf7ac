//! The collector's lists: what is there in the zygote, and what a script added.

use super::files::are_for_reading;
use super::kinds::{Kind, type_of};
use super::layout::{HEAD, Layout, word};
use super::{Ground, Kinds, Streams, classes, has_plain_keys};
use crate::capi::Object;
use crate::names;
use pyo3::ffi::{self, PyObject, PyTypeObject};

/// What a class has in the slots that matter: `tp_finalize`, `tp_hash`, `tp_richcompare`, `bf_releasebuffer`.
pub type Slots = [usize; 4];

/// What the look at the zygote gives.
pub struct Old {
    /// The Python classes, as weak references without callbacks. Each class has one anyway, among its base's
    /// subclasses, and it is shared; so a script sees nothing of it.
    classes: Vec<(Object, Slots)>,
    /// What has an end that can be seen, if it is still there, as weak references; and whether there is more that takes none.
    loud: Vec<Object>,
    is_loud: bool,
    /// A class has `__del__`.
    look_back: bool,
}

/// What the end of a warm module's objects does, if a script has it.
pub struct Kept {
    /// None of them has an end that can be seen.
    is_silent: bool,
    classes: Vec<(Object, Slots)>,
    findings: Findings,
}

impl Kept {
    /// Looks at them; nothing changes meanwhile.
    pub fn examine(layout: &Layout, kinds: &Kinds, objects: Vec<usize>) -> Kept {
        let mut kept = Kept { is_silent: true, classes: Vec::new(), findings: Findings::default() };
        for object in objects {
            let kind = kinds.of(layout, type_of(object));
            // SAFETY: live objects; nothing here frees any.
            unsafe {
                kept.is_silent &= kinds.is_silent(layout, kind, object);
                if kind == Kind::Class && is_heap_type(object) {
                    kept.is_silent &= kept.findings.add(layout, object);
                    let reference = ffi::PyWeakref_NewRef(object as *mut PyObject, std::ptr::null_mut());
                    match Object::own(reference) {
                        Some(reference) => {
                            ffi::PyObject_GC_UnTrack(reference.raw().cast());
                            kept.classes.push((reference, slots(layout, object)));
                        }
                        None => kept.is_silent = false,
                    }
                }
            }
        }
        kept
    }
}

/// The collector is at rest while this lives: it would change the lists.
pub struct Rest {
    place: *mut [i32; 2],
    before: [i32; 2],
}

impl Rest {
    /// The GIL is held, as everywhere in this room.
    pub fn new(layout: &Layout) -> Rest {
        let place = (layout.heads[0] + 16) as *mut [i32; 2];
        // SAFETY: the youngest list's threshold and count.
        unsafe {
            let before = *place;
            (*place)[0] = 0;
            Rest { place, before }
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        // SAFETY: as in `new`.
        unsafe { *self.place = self.before }
    }
}

/// The object before this one, or the list's head.
unsafe fn previous(link: usize) -> usize {
    // SAFETY: the caller has a link of the collector's.
    unsafe { word(link, 8) & !3 }
}

impl Old {
    /// `None` if there may be what is not silent, and cannot be found.
    pub fn look(layout: &Layout, kinds: &Kinds) -> Option<Old> {
        let _rest = Rest::new(layout);
        let mut streams = Vec::new();
        for name in [&names::STDIN, &names::STDOUT, &names::STDERR] {
            if let Some(layers) = names::sys(name).and_then(|stream| kinds.layers(&stream)) {
                streams.extend(layers.iter().map(|layer| layer.raw() as usize));
            }
        }
        let mut all = Vec::new();
        for &head in &layout.heads {
            // SAFETY: the collector's lists, which nothing changes meanwhile.
            unsafe {
                let mut link = previous(head);
                while link != head {
                    all.push(link + HEAD);
                    link = previous(link);
                }
            }
        }
        let (mut classes, mut findings) = (Vec::new(), Findings::default());
        let (mut loud, mut is_loud) = (Vec::new(), false);
        for object in all {
            let kind = kinds.of(layout, type_of(object));
            // SAFETY: live objects; nothing here frees any.
            unsafe {
                if !streams.contains(&object) && !kinds.is_silent(layout, kind, object) {
                    match Object::own(ffi::PyWeakref_NewRef(object as *mut PyObject, std::ptr::null_mut())) {
                        Some(reference) => {
                            ffi::PyObject_GC_UnTrack(reference.raw().cast());
                            loud.push(reference);
                        }
                        None => is_loud = true,
                    }
                }
                if kind == Kind::Class && is_heap_type(object) {
                    findings.add(layout, object).then_some(())?;
                    let reference = Object::own(ffi::PyWeakref_NewRef(object as *mut PyObject, std::ptr::null_mut()))?;
                    classes.push((reference, slots(layout, object)));
                }
            }
        }
        Some(Old { classes, loud, is_loud, look_back: findings.look_back })
    }
}

impl Old {
    /// Had nothing of it an end that can be seen?
    pub fn is_silent(&self) -> bool {
        self.loud.is_empty() && !self.is_loud
    }
}

/// Is the end of everything silent that the script made, and is what was there as it was?
pub fn are_silent(ground: &Ground, streams: &Streams) -> bool {
    let (layout, _rest) = (&ground.layout, Rest::new(&ground.layout));
    // SAFETY: the GIL is held; the collector's lists, which nothing changes meanwhile.
    unsafe {
        let none = ffi::Py_None() as usize;
        for (reference, before) in &ground.old.classes {
            let class = word(reference.raw() as usize, layout.referent);
            if class != none && slots(layout, class) != *before {
                return false;
            }
        }
        let is_loud = |reference: &Object| {
            let object = word(reference.raw() as usize, layout.referent);
            let kind = || ground.kinds.of(layout, type_of(object));
            object != none && !ground.kinds.is_silent(layout, kind(), object)
        };
        if ground.old.loud.iter().any(is_loud) {
            return false;
        }
        let mut findings = Findings { look_back: ground.old.look_back, ..Findings::default() };
        for kept in crate::warm::kept() {
            let Some(kept) = kept.filter(|kept| kept.is_silent) else { return false };
            for (reference, before) in &kept.classes {
                let class = word(reference.raw() as usize, layout.referent);
                if class != none && slots(layout, class) != *before {
                    return false;
                }
            }
            findings.look_back |= kept.findings.look_back;
            findings.odd_keys |= kept.findings.odd_keys;
        }
        let marker = ground.marker.raw() as usize - HEAD;
        let Some(generation) = look_at_new(ground, streams, marker, &mut findings) else { return false };
        let may_be_loud = ground.old.is_loud || findings.look_back && classes::may_be_assigned();
        (!may_be_loud || !has_loud_old(ground, streams, marker, generation))
            && (!findings.odd_keys || !findings.looks_up && modules_have_plain_keys(layout))
    }
}

/// Walks back to the marker; gives the list that holds it.
///
/// The streams were there before, but a collection moves what it finds late to the end.
unsafe fn look_at_new(ground: &Ground, streams: &Streams, marker: usize, findings: &mut Findings) -> Option<usize> {
    // More than a few are not looked at one by one.
    const FEW: usize = 64;
    let layout = &ground.layout;
    let mut cache = [(0, Kind::Loud); 64];
    let mut special = Vec::new();
    // SAFETY: links and live objects of the collector's; nothing is changed before the lists are done with.
    unsafe {
        for (generation, &head) in layout.heads.iter().enumerate() {
            let mut link = previous(head);
            while link != head && link != marker {
                let object = link + HEAD;
                let class = type_of(object);
                let entry = &mut cache[class >> 4 & 63];
                if entry.0 != class {
                    *entry = (class, ground.kinds.of(layout, class));
                }
                match entry.1 {
                    Kind::Plain => {}
                    Kind::Class => findings.add(layout, object).then_some(())?,
                    kind @ Kind::Weak => {
                        ground.kinds.is_silent(layout, kind, object).then_some(())?;
                        findings.looks_up |= Kinds::has_odd_key(layout, object);
                    }
                    _ if streams.have(object) => {}
                    kind => special.push((kind, object)),
                }
                link = previous(link);
            }
            if link == marker {
                let loud = special.iter().filter(|(kind, _)| *kind == Kind::Loud).count();
                (loud <= FEW).then_some(())?;
                special.retain(|&(kind, object)| !ground.kinds.is_silent(layout, kind, object));
                if !special.is_empty() {
                    let ours = kept_streams(&ground.kinds);
                    special.retain(|(_, object)| !ours.contains(object));
                }
                return are_for_reading(&ground.kinds, streams, &special).then_some(generation);
            }
        }
    }
    None
}

/// The layers of the streams that only we hold: they stay for the life of the process and have nothing to write.
fn kept_streams(kinds: &Kinds) -> Vec<usize> {
    let mut all = Vec::new();
    crate::adopt::each_kept(|stream| {
        all.extend(kinds.layers(stream).iter().flatten().map(|layer| layer.raw() as usize));
    });
    all
}

/// Is there an older object whose end is not silent: from the start, or since it got a class with `__del__`, by assignment to
/// `__class__`?
unsafe fn has_loud_old(ground: &Ground, streams: &Streams, marker: usize, generation: usize) -> bool {
    let layout = &ground.layout;
    // SAFETY: links and live objects of the collector's; nothing is changed before the lists are done with.
    unsafe {
        let mut special = Vec::new();
        for (number, &head) in layout.heads.iter().enumerate().skip(generation) {
            let mut link = previous(if number == generation { marker } else { head });
            while link != head {
                let object = link + HEAD;
                match ground.kinds.of(layout, type_of(object)) {
                    Kind::Plain | Kind::Class => {}
                    Kind::Loud => return true,
                    _ if streams.have(object) => {}
                    kind => special.push((kind, object)),
                }
                link = previous(link);
            }
        }
        special.retain(|&(kind, object)| !ground.kinds.is_silent(layout, kind, object));
        !special.is_empty() && {
            let ours = kept_streams(&ground.kinds);
            !special.iter().all(|(_, object)| ours.contains(object))
        }
    }
}

/// What the classes that were looked at make necessary.
#[derive(Default)]
struct Findings {
    /// A class has `__del__`.
    look_back: bool,
    /// A class has a hash or a comparison of its own.
    odd_keys: bool,
    /// A weak reference is taken out of a table by a key that may have them.
    looks_up: bool,
}

impl Findings {
    /// False if objects of this class may have an end that can be seen, and could not be found.
    unsafe fn add(&mut self, layout: &Layout, class: usize) -> bool {
        // SAFETY: a live class.
        unsafe {
            if !is_heap_type(class) {
                return true;
            }
            let [finalize, hash, compare, release] = slots(layout, class);
            self.odd_keys |= hash == layout.hash_function || compare == layout.compare_function;
            let collected = ffi::PyType_HasFeature(class as *mut PyTypeObject, ffi::Py_TPFLAGS_HAVE_GC) != 0;
            let deleted = finalize == layout.del_function;
            self.look_back |= deleted;
            word(class, layout.del) == 0
                && (collected || !deleted)
                && (release == 0 || release != layout.release_function)
        }
    }
}

unsafe fn is_heap_type(class: usize) -> bool {
    // SAFETY: a live class.
    unsafe { ffi::PyType_HasFeature(class as *mut PyTypeObject, ffi::Py_TPFLAGS_HEAPTYPE) != 0 }
}

unsafe fn slots(layout: &Layout, class: usize) -> Slots {
    // SAFETY: a live class.
    unsafe {
        let buffer = if layout.buffer == 0 { 0 } else { word(class, layout.buffer) };
        let release = if buffer == 0 { 0 } else { word(buffer, 8) };
        [word(class, layout.finalize), word(class, layout.hash), word(class, layout.compare), release]
    }
}

/// Modules are cleared name by name (`_PyModule_Clear`).
unsafe fn modules_have_plain_keys(layout: &Layout) -> bool {
    // SAFETY: the GIL is held; nothing is changed while we look.
    unsafe {
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        while ffi::PyDict_Next(ffi::PyImport_GetModuleDict(), &mut at, &mut key, &mut value) != 0 {
            if ffi::PyModule_Check(value) != 0 && !has_plain_keys(layout, ffi::PyModule_GetDict(value)) {
                return false;
            }
        }
        true
    }
}
