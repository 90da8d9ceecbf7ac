//! Where CPython keeps what has no function to ask for it. Nothing is assumed: a throw-away fork finds out.
//!
//! The collector's lists, from a new object, whose neighbour is the list's head, and from thresholds set to
//! odd numbers; the slots of a type, from a type made with odd pointers; the parts of a weak reference; the audit hooks.

use crate::capi::Object;
use crate::spare;
use pyo3::ffi::{self, PyObject};
use pyzy_sys::file::Fd;
use pyzy_sys::net::{self, Wait};
use pyzy_sys::{process, signal};
use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

const SOURCE: &CStr =
    match CStr::from_bytes_with_nul(concat!(include_str!("../../../../python/quiet.py"), "\0").as_bytes()) {
        Ok(source) => source,
        Err(_) => panic!("python/quiet.py holds a NUL"),
    };

/// Addresses, and offsets in bytes. Words only: it travels from the fork.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Layout {
    /// The heads of the collector's three lists.
    pub heads: [usize; 3],
    /// `tp_finalize`
    pub finalize: usize,
    /// `tp_del`
    pub del: usize,
    /// `tp_hash`
    pub hash: usize,
    /// `tp_richcompare`
    pub compare: usize,
    /// `tp_as_buffer`; 0 before 3.12, when classes could not have buffers.
    pub buffer: usize,
    /// What `tp_finalize` holds for a class with `__del__`.
    pub del_function: usize,
    /// The same of `tp_hash`.
    pub hash_function: usize,
    /// The same of `tp_richcompare`.
    pub compare_function: usize,
    /// What `bf_releasebuffer` holds for a class with `__release_buffer__`.
    pub release_function: usize,
    /// A weak reference's object.
    pub referent: usize,
    /// A weak reference's callback.
    pub callback: usize,
    /// The function behind the callbacks of abstract classes' caches.
    pub destroy: usize,
    /// The address of the interpreter's list of audit hooks.
    pub audit_hooks: usize,
    /// The address of the collector's debugging flags; 0 where they were not found.
    pub gc_debug: usize,
    /// Where the collector has what `gc.get_stats` tells; 0 where it was not found.
    pub gc_statistics: usize,
    /// Where the collector has its list of callbacks.
    pub gc_callbacks: usize,
    /// Where it has `gc.garbage`.
    pub gc_garbage: usize,
    /// The address of the flag that keeps what runs before an interpreter is finalised from starting threads and processes
    /// (`finalizing` in `struct _is`; 3.12.0 and 3.12.1); 0 where there is none, [`UNKNOWN`] where it was not found.
    pub finalizing: usize,
    /// A dictionary's `ma_version_tag`, which no two states of dictionaries share (PEP 509); 0 where there is none.
    pub version: usize,
    /// `dk_kind` of a dictionary's keys, which tells of those that are `str` only; 0 where there is none.
    pub keys_kind: usize,
}

const BYTES: usize = size_of::<Layout>();

/// No address.
pub const UNKNOWN: usize = 1;

/// `ma_keys` of `PyDictObject` (`Include/cpython/dictobject.h`).
const KEYS: usize = 32;

/// Of `PyGC_Head`, which precedes a collected object.
pub const HEAD: usize = 16;

impl Layout {
    /// Did nobody add one?
    pub fn has_no_audit_hooks(&self) -> bool {
        // SAFETY: found in the interpreter's state, which lives on.
        unsafe { word(self.audit_hooks, 0) == 0 }
    }

    /// What changes with every change of a dictionary; 0 where CPython has no such number.
    ///
    /// # Safety
    /// A live dictionary.
    pub unsafe fn version_of(&self, dictionary: usize) -> u64 {
        // SAFETY: the caller's promise; measured.
        if self.version == 0 { 0 } else { unsafe { word(dictionary, self.version) as u64 } }
    }

    /// Is it known at a glance that all keys are exact `str`?
    ///
    /// # Safety
    /// A live dictionary.
    pub unsafe fn has_str_keys_only(&self, dictionary: usize) -> bool {
        // SAFETY: the caller's promise; measured. DICT_KEYS_GENERAL is 0 (`Include/internal/pycore_dict.h`).
        self.keys_kind != 0 && unsafe { ((word(dictionary, KEYS) + self.keys_kind) as *const u8).read() != 0 }
    }
}

/// Reads a word.
///
/// # Safety
/// There is one.
pub unsafe fn word(address: usize, offset: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { ((address + offset) as *const usize).read() }
}

/// `None` where something is not as it should be.
pub fn find() -> Option<Layout> {
    let (ours, theirs) = net::pair().ok()?;
    // SAFETY: the zygote has one thread, which holds the GIL.
    let pid = unsafe { spare::fork(|| report(&theirs)) };
    drop(theirs);
    let mut answer = [0u8; BYTES];
    let told = matches!(net::wait(&mut [Wait::readable(ours.number())], Some(5_000_000_000)), Ok(1))
        && net::receive(ours.number(), &mut answer).is_ok_and(|r| r.length == BYTES);
    let _ = signal::send(pid, libc::SIGKILL);
    process::wait(pid).ok()?;
    // SAFETY: a structure of words.
    let layout: Layout = unsafe { std::mem::transmute(answer) };
    (told && layout.has_no_audit_hooks()).then_some(layout)
}

fn report(to: &Fd) {
    // SAFETY: a fork that nobody needs, which holds the GIL.
    unsafe {
        if let Some((layout, globals)) = measure() {
            END.store(Box::into_raw(Box::new(End { layout, to: to.number(), before: state(), globals })), Relaxed);
            if super::call_at_end(c"at_end", at_end).is_some() {
                crate::capi::Py_FinalizeEx();
            }
        }
    }
}

/// What is left to be found out when the fork finalises its interpreter.
struct End {
    layout: Layout,
    to: i32,
    /// The interpreter's state before.
    before: Vec<usize>,
    globals: Object,
}

static END: AtomicPtr<End> = AtomicPtr::new(std::ptr::null_mut());

fn state() -> Vec<usize> {
    // SAFETY: the GIL is held.
    memory(unsafe { ffi::PyInterpreterState_Get() } as usize, 1 << 20).unwrap_or_default()
}

/// While the fork finalises its interpreter.
unsafe extern "C" fn at_end(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: the GIL is held; stored by `report`.
    unsafe {
        if let Some(end) = END.load(Relaxed).as_mut() {
            end.layout.finalizing = end.flag().unwrap_or(UNKNOWN);
            // SAFETY: a structure of words.
            let bytes: [u8; BYTES] = std::mem::transmute(end.layout);
            let _ = net::send(end.to, &bytes, &[]);
        }
    }
    process::exit(0)
}

impl End {
    /// The address of the flag that forbids threads now; 0 if none does.
    unsafe fn flag(&self) -> Option<usize> {
        // SAFETY: the GIL is held; live objects; words of the interpreter's state, of which one is another for a moment, in
        // a fork that nobody needs.
        unsafe {
            let starts = Object::share(ffi::PyDict_GetItemString(self.globals.raw(), c"starts".as_ptr()))?;
            let starts = || {
                let answer = Object::own(ffi::PyObject_CallObject(starts.raw(), std::ptr::null_mut()))?;
                Some(answer.raw() == ffi::Py_True())
            };
            if starts()? {
                return Some(0);
            }
            let (start, after) = (ffi::PyInterpreterState_Get() as usize, state());
            let halves =
                |words: &[usize]| words.iter().flat_map(|&w| [w as u32, (w >> 32) as u32]).collect::<Vec<u32>>();
            let (before, after) = (halves(&self.before), halves(&after));
            let mut places = (0..before.len().min(after.len()))
                .filter(|&at| before[at] == 0 && after[at] == 1)
                .map(|at| (start + at * 4) as *mut u32)
                .filter(|&place| {
                    place.write(0);
                    let free = starts() == Some(true);
                    place.write(1);
                    free
                });
            let place = places.next()?;
            places.next().is_none().then_some(place as usize)
        }
    }
}

/// The layout, and what the Python part has.
unsafe fn measure() -> Option<(Layout, Object)> {
    // SAFETY: live objects; words of them, within their sizes.
    unsafe {
        let globals = Object::own(ffi::PyDict_New())?;
        ffi::PyDict_SetItemString(globals.raw(), c"__builtins__".as_ptr(), ffi::PyEval_GetBuiltins());
        let code = Object::own(ffi::Py_CompileString(SOURCE.as_ptr(), c"<pyzy>".as_ptr(), 257))?;
        Object::own(ffi::PyEval_EvalCode(code.raw(), globals.raw(), globals.raw()))?;
        let named = |name: &CStr| Object::share(ffi::PyDict_GetItemString(globals.raw(), name.as_ptr()));
        let mut layout = Layout::default();
        lists(&mut layout, &named(c"set_threshold")?, &named(c"lengths")?)?;
        layout.gc_statistics = statistics(&layout, &named(c"statistics")?).unwrap_or(0);
        // Without these, whatever imports `gc` ends in full.
        let _ = collector(&mut layout, &named(c"set_debug")?, [&named(c"callbacks")?, &named(c"garbage")?]);
        slots(&mut layout)?;
        let held = |class: &CStr, offset| named(class).map(|class| word(class.raw() as usize, offset));
        layout.del_function = held(c"Deleted", layout.finalize)?;
        layout.hash_function = held(c"Compared", layout.hash)?;
        layout.compare_function = held(c"Compared", layout.compare)?;
        if layout.buffer != 0 {
            layout.release_function = word(held(c"Buffer", layout.buffer)?, 8);
        }
        let reference = named(c"reference")?;
        layout.referent = only(&reference, 8, named(c"Deleted")?.raw())?;
        layout.callback = only(&reference, 8, named(c"callback")?.raw())?;
        layout.destroy = ffi::PyCFunction_GetFunction(named(c"destroy")?.raw()).map(|f| f as *const () as usize)?;
        let home = |function| super::libraries::home_of(function as *const c_void);
        (home(layout.destroy) == home(ffi::Py_IsInitialized as *const () as usize)).then_some(())?;
        layout.version = version()?;
        layout.keys_kind = if super::minor_version() < 11 { 0 } else { keys_kind()? };
        layout.audit_hooks = audit_hooks(&named(c"add_hook")?, &named(c"hook")?, &named(c"is_heard")?)?;
        Some((layout, globals))
    }
}

/// The one word of the first `words` that holds this; an offset in bytes.
unsafe fn only(object: &Object, words: usize, wanted: *mut PyObject) -> Option<usize> {
    // SAFETY: the caller's object is that large.
    let mut places = (2..words).filter(|&at| unsafe { word(object.raw() as usize, at * 8) } == wanted as usize);
    let place = places.next()?;
    places.next().is_none().then_some(place * 8)
}

unsafe fn lists(layout: &mut Layout, set_threshold: &Object, lengths: &Object) -> Option<()> {
    // SAFETY: live objects; a collected object has its links before it.
    unsafe {
        let list = Object::own(ffi::PyList_New(0))?;
        let link = list.raw() as usize - HEAD;
        let first = word(link, 0);
        (word(first, 8) & !3 == link).then_some(())?;
        let odd: [i32; 3] = [7_654_321, 754_321, 654_321];
        let numbers = Object::own(ffi::PyTuple_New(3))?;
        for (at, &number) in odd.iter().enumerate() {
            ffi::PyTuple_SetItem(numbers.raw(), at as isize, ffi::PyLong_FromLong(number.into()));
        }
        Object::own(ffi::PyObject_CallObject(set_threshold.raw(), numbers.raw()))?;
        // `struct gc_generation`: the head, the threshold, the count.
        for (at, &number) in odd.iter().enumerate() {
            let head = first + at * 24;
            (((head + 16) as *const i32).read() == number).then_some(())?;
            layout.heads[at] = head;
        }
        // The lists were counted by `gc.get_objects` a moment ago.
        for (at, &head) in layout.heads.iter().enumerate().skip(1) {
            let (mut length, mut link) = (0, word(head, 0));
            while link != head {
                (length < 10_000_000 && word(word(link, 8) & !3, 0) == link).then_some(())?;
                (length, link) = (length + 1, word(link, 0));
            }
            let told = ffi::PyLong_AsLong(ffi::PyList_GetItem(lengths.raw(), at as isize));
            (told == length).then_some(())?;
        }
        Some(())
    }
}

/// `struct gc_generation_stats`, of which there are three behind the lists, a pointer and the list of frozen objects.
unsafe fn statistics(layout: &Layout, told: &Object) -> Option<usize> {
    let place = layout.heads[2] + 24 + 8 + 24;
    for at in 0..9 {
        // SAFETY: the collector's state is larger than what is read of it; a list of numbers.
        let (held, told) =
            unsafe { (word(place, at * 8), ffi::PyLong_AsLong(ffi::PyList_GetItem(told.raw(), at as isize))) };
        (held as i64 == told).then_some(())?;
    }
    Some(place)
}

/// `struct _gc_runtime_state` (`Include/internal/pycore_gc.h`): the flags lie before the lists, `garbage` and `callbacks` behind.
unsafe fn collector(layout: &mut Layout, set_debug: &Object, [callbacks, garbage]: [&Object; 2]) -> Option<()> {
    const ODD: i32 = 64;
    const BEHIND: usize = 40;
    // SAFETY: live objects; the collector's state is larger than what is read of it.
    unsafe {
        let start = layout.heads[0];
        let set = |flags: i32| {
            let flags = Object::own(ffi::PyLong_FromLong(flags.into()))?;
            let arguments = Object::own(ffi::PyTuple_Pack(1, flags.raw()))?;
            Object::own(ffi::PyObject_CallObject(set_debug.raw(), arguments.raw()))
        };
        let before = [start - 8, start - 4].map(|at| (at as *const i32).read());
        set(ODD)?;
        let after = [start - 8, start - 4].map(|at| (at as *const i32).read());
        set(0)?;
        let at = (0..2).find(|&at| before[at] == 0 && after[at] == ODD)?;
        let behind = |wanted: &Object| {
            let mut places = (0..BEHIND).map(|at| start + at * 8).filter(|&at| word(at, 0) == wanted.raw() as usize);
            let place = places.next()?;
            places.next().is_none().then_some(place)
        };
        (layout.gc_callbacks, layout.gc_garbage) = (behind(callbacks)?, behind(garbage)?);
        layout.gc_debug = start - 8 + at * 4;
        Some(())
    }
}

unsafe fn slots(layout: &mut Layout) -> Option<()> {
    const ODD: usize = 0x5a5a_0000_1000;
    let odd = |number: usize| (ODD + number * 0x1000) as *mut c_void;
    let buffers = super::minor_version() >= 12;
    let mut slots = vec![
        ffi::PyType_Slot { slot: ffi::Py_tp_finalize, pfunc: odd(0) },
        ffi::PyType_Slot { slot: ffi::Py_tp_del, pfunc: odd(1) },
        ffi::PyType_Slot { slot: ffi::Py_tp_hash, pfunc: odd(2) },
        ffi::PyType_Slot { slot: ffi::Py_tp_richcompare, pfunc: odd(3) },
    ];
    if buffers {
        // Py_bf_getbuffer and Py_bf_releasebuffer (`Include/typeslots.h`).
        slots.push(ffi::PyType_Slot { slot: 1, pfunc: odd(4) });
        slots.push(ffi::PyType_Slot { slot: 2, pfunc: odd(5) });
    }
    slots.push(ffi::PyType_Slot { slot: 0, pfunc: std::ptr::null_mut() });
    let mut spec = ffi::PyType_Spec {
        name: c"pyzy.Odd".as_ptr(),
        basicsize: 0,
        itemsize: 0,
        flags: ffi::Py_TPFLAGS_DEFAULT as _,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: a type that is never used; a heap type is longer than what is read.
    unsafe {
        let class = Object::own(ffi::PyType_FromSpec(&mut spec))?;
        let place = |number: usize| only(&class, 52, odd(number).cast());
        (layout.finalize, layout.del, layout.hash, layout.compare) = (place(0)?, place(1)?, place(2)?, place(3)?);
        if buffers {
            let start = class.raw() as usize;
            layout.buffer = (2..52).map(|at| at * 8).find(|&at| {
                let table = word(start, at);
                (start..start + 1000).contains(&table)
                    && table.is_multiple_of(8)
                    && word(table, 0) == odd(4) as usize
                    && word(table, 8) == odd(5) as usize
            })?;
        }
        Some(())
    }
}

/// The word of a dictionary that is another one after each change.
unsafe fn version() -> Option<usize> {
    // SAFETY: a live object, of six words at least.
    unsafe {
        let dictionary = Object::own(ffi::PyDict_New())?;
        let numbers = [Object::own(ffi::PyLong_FromLong(1001))?, Object::own(ffi::PyLong_FromLong(1002))?];
        let words = || (2..6).map(|at| word(dictionary.raw() as usize, at * 8)).collect::<Vec<usize>>();
        let set = |key: &CStr, at: usize| {
            (ffi::PyDict_SetItemString(dictionary.raw(), key.as_ptr(), numbers[at].raw()) == 0).then_some(())
        };
        let mut seen = vec![words()];
        for (key, at) in [(c"a", 0), (c"b", 0), (c"a", 1), (c"b", 1), (c"a", 0)] {
            set(key, at)?;
            seen.push(words());
        }
        (ffi::PyDict_DelItemString(dictionary.raw(), c"a".as_ptr()) == 0).then_some(())?;
        seen.push(words());
        ffi::PyDict_Clear(dictionary.raw());
        seen.push(words());
        let differs = |place: usize| (1..seen.len()).all(|at| (0..at).all(|old| seen[old][place] != seen[at][place]));
        Some((0..4).find(|&place| differs(place)).map_or(0, |place| (place + 2) * 8))
    }
}

/// The byte of a dictionary's keys that tells those with strings only from others.
unsafe fn keys_kind() -> Option<usize> {
    // SAFETY: live objects; keys begin with sixteen bytes of counts and kinds.
    unsafe {
        let (strings, others) = (Object::own(ffi::PyDict_New())?, Object::own(ffi::PyDict_New())?);
        let (name, number) = (Object::decoded(b"a"), Object::own(ffi::PyLong_FromLong(1001))?);
        let name = name?;
        ffi::PyDict_SetItem(strings.raw(), name.raw(), number.raw());
        ffi::PyDict_SetItem(others.raw(), number.raw(), number.raw());
        let bytes = |dictionary: &Object| (word(dictionary.raw() as usize, KEYS) as *const [u8; 12]).read();
        let (strings, others) = (bytes(&strings), bytes(&others));
        let mut places = (0..strings.len()).filter(|&at| strings[at] != others[at]);
        let place = places.next()?;
        (places.next().is_none() && strings[place] == 1 && others[place] == 0).then_some(place)
    }
}

/// The word of the interpreter's state that was empty and now holds a list with our hook; without it the hook is deaf.
unsafe fn audit_hooks(add: &Object, hook: &Object, is_heard: &Object) -> Option<usize> {
    // SAFETY: live objects; the memory is read through the kernel, which knows where it ends. A wrong word that is
    // emptied for a moment ends nothing but the fork.
    unsafe {
        let state = ffi::PyInterpreterState_Get() as usize;
        let before = memory(state, 1 << 20)?;
        let arguments = Object::own(ffi::PyTuple_Pack(1, hook.raw()))?;
        Object::own(ffi::PyObject_CallObject(add.raw(), arguments.raw()))?;
        let after = memory(state, 1 << 20)?;
        let heard = || {
            Object::own(ffi::PyObject_CallObject(is_heard.raw(), std::ptr::null_mut()))
                .map(|answer| answer.raw() == ffi::Py_True())
        };
        heard()?.then_some(())?;
        // `PyListObject`: references, type, length, items.
        let has_hook = |list: usize| {
            memory(list, 32).is_some_and(|words| {
                words.len() == 4
                    && words[1] == &raw mut ffi::PyList_Type as usize
                    && words[2] == 1
                    && memory(words[3], 8).is_some_and(|items| items == [hook.raw() as usize])
            })
        };
        let likely =
            (0..before.len().min(after.len())).filter(|&at| before[at] == 0 && after[at] != 0 && has_hook(after[at]));
        let mut places = likely.map(|at| (state + at * 8) as *mut usize).filter(|&place| {
            let list = place.replace(0);
            let deaf = heard() == Some(false);
            place.write(list);
            deaf
        });
        let place = places.next()?;
        places.next().is_none().then_some(place as usize)
    }
}

fn memory(start: usize, length: usize) -> Option<Vec<usize>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length];
    let length = std::fs::File::open("/proc/self/mem").ok()?.read_at(&mut bytes, start as u64).ok()?;
    Some(bytes[..length].chunks_exact(8).map(|w| usize::from_ne_bytes(w.try_into().unwrap_or_default())).collect())
}
