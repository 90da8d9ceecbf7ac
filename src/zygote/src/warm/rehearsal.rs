//! Which modules may be warm: a rehearsal in a child that ends afterwards.
//!
//! Owns the child, what it is given to look with, and the verdict on each module. A thread that was started, a
//! descriptor that was left open or a library that was loaded cannot be taken back; so what somebody wants warm is
//! imported in a child of the zygote first, where python/rehearse.py watches it, and the zygote imports only what
//! was found pure, and needs only what was found pure.

use super::calls;
use super::copies;
use super::create;
use super::foreign;
use super::list;
use super::node::{Counts, Event, Node, State, text, tie};
use super::record::{CALLS, item};
use super::state;
use super::sums;
use super::ties;
use crate::capi::{Object, Symbol};
use crate::quiet::{KNOWN_EXTENSIONS, Layout};
use crate::spare;
use crate::trace;
use pyo3::ffi::{self, PyObject};
use pyzy_sys::net::{self, Wait};
use pyzy_sys::{file, process, signal};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io::{Read, Seek};
use std::os::fd::FromRawFd;

const SOURCE: &CStr = match CStr::from_bytes_with_nul(
    concat!(
        include_str!("../../../../python/settings.py"),
        "\n",
        include_str!("../../../../python/watched.py"),
        "\n",
        include_str!("../../../../python/rehearse.py"),
        "\n",
        include_str!("../../../../python/ties.py"),
        "\n",
        include_str!("../../../../python/alone.py"),
        "\0"
    )
    .as_bytes(),
) {
    Ok(source) => source,
    Err(_) => panic!("a part of python/rehearse.py holds a NUL"),
};

/// How long it may take, nanoseconds.
const PATIENCE: i64 = 60_000_000_000;

/// What came of it.
#[derive(Default)]
pub struct Verdict {
    /// To be imported, in this order.
    pub warm: Vec<String>,
    /// Nowhere. To ask for them does nothing.
    pub absent: Vec<String>,
    /// Not to be imported, and why not.
    pub refused: Vec<(String, String)>,
    /// Variables that a module looked up in `os.environ` or asked the C library for.
    pub reads: Vec<(String, CString)>,
    /// Modules, and others in which they change what lies deeper than a name.
    pub changes: Vec<(String, String)>,
    /// Modules, and names that they looked up in `sys.modules`: what was there, and what was not.
    pub finds: Vec<(String, String)>,
    pub misses: Vec<(String, String)>,
    /// Modules that compute with decimals.
    pub decimal: Vec<String>,
    /// Modules that depend on settings of the process beyond those that always count.
    pub asks: Vec<(String, Counts)>,
    /// Modules that keep a list of `sys`, and its name.
    pub keeps: Vec<(String, String)>,
}

impl Verdict {
    /// Adds what another one has beyond this one.
    pub fn extend(&mut self, more: Verdict) {
        let known = |list: &[(String, String)], name: &str| list.iter().any(|(known, _)| known == name);
        for name in more.warm {
            if !self.warm.contains(&name) && !known(&self.refused, &name) {
                self.warm.push(name);
            }
        }
        for (name, why) in more.refused {
            if !self.warm.contains(&name) && !known(&self.refused, &name) {
                self.refused.push((name, why));
            }
        }
        for read in more.reads {
            if !self.reads.contains(&read) {
                self.reads.push(read);
            }
        }
        self.changes.extend(more.changes);
        self.finds.extend(more.finds);
        self.misses.extend(more.misses);
        self.decimal.extend(more.decimal);
        self.asks.extend(more.asks);
        self.keeps.extend(more.keeps);
        self.absent.extend(more.absent);
    }

    /// All that may be asked for in the zygote.
    pub fn allowed(&self) -> HashSet<String> {
        self.warm.iter().chain(&self.absent).cloned().collect()
    }

    /// What it says of modules that were recorded since.
    pub fn apply(&self, nodes: &mut [Node]) -> Option<()> {
        let environment = |name: &CString| {
            // SAFETY: a C string; nobody changes the environment meanwhile.
            let value = unsafe { libc::getenv(name.as_ptr()) };
            // SAFETY: null, or a C string.
            (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes().to_vec())
        };
        for (name, variable) in &self.reads {
            for node in nodes.iter_mut().filter(|node| node.name == *name) {
                node.variables.push((variable.clone(), environment(variable)));
            }
        }
        for (name, key) in &self.finds {
            let found = nodes.iter().position(|node| node.name == *key);
            for node in nodes.iter_mut().filter(|node| node.name == *name && node.state.get() == State::Hidden) {
                match found {
                    Some(found) => node.events.push(Event::Finds(found)),
                    None => node.refuse(format!("it looks at sys.modules['{key}']")),
                }
            }
        }
        for (name, key) in &self.misses {
            let key = Object::decoded(key.as_bytes())?;
            for node in nodes.iter_mut().filter(|node| node.name == *name) {
                // SAFETY: the GIL is held; a live object.
                node.misses.extend(unsafe { Object::share(key.raw()) });
            }
        }
        let tied = list::TIED.iter().copied();
        for (name, changed) in self.changes.iter().map(|(name, changed)| (&name[..], &changed[..])).chain(tied) {
            let number = |name: &str| nodes.iter().position(|node| node.name == name);
            match (number(name), number(changed)) {
                (Some(at), Some(other)) => tie(nodes, at, other),
                (Some(at), None) => nodes[at].refuse(format!("it changes something in {changed}")),
                _ => {}
            }
        }
        Some(())
    }
}

/// What is to be rehearsed.
pub struct Programme<'a> {
    /// The curated list, or nothing.
    pub stdlib: &'a [&'a str],
    /// Modules that somebody has named.
    pub roots: &'a [&'a str],
    /// A script whose own imports count as named; its code does not run. Empty for none.
    pub script: &'a [u8],
    /// The directories of the standard library.
    pub library: &'a [Vec<u8>],
    pub layout: &'a Layout,
}

/// How many imports may end a rehearsal before it is given up.
const ATTEMPTS: usize = 4;

/// Imports all of it in a child, and gives its verdict. An import that ends the child, or takes too long, is left out of the next.
pub fn rehearse(programme: &Programme) -> Verdict {
    let mut fatal = Vec::new();
    loop {
        let (verdict, last) = attempt(programme, &fatal);
        match last {
            Some(last) if !fatal.contains(&last) && fatal.len() + 1 < ATTEMPTS => fatal.push(last),
            _ => return verdict,
        }
    }
}

/// The verdict, or a refusal of all and the name of the import that was under way when it ended.
fn attempt(programme: &Programme, fatal: &[String]) -> (Verdict, Option<String>) {
    let roots = programme.roots;
    let told = run(programme, fatal).unwrap_or_default();
    let mut verdict = Verdict::default();
    let (mut last, mut ended, mut under_way) = ("", false, Vec::new());
    for line in told.lines() {
        let mut words = line.split('\t');
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = words.next().unwrap_or_default();
        match kind {
            "root" => last = name,
            "begin" => under_way.push(name),
            "done" => {
                under_way.pop();
            }
            "warm" => verdict.warm.push(name.to_owned()),
            "absent" => verdict.absent.push(name.to_owned()),
            "refused" => verdict.refused.push((name.to_owned(), rest.to_owned())),
            "reads" => match CString::new(unhex(rest)) {
                Ok(variable) => verdict.reads.push((name.to_owned(), variable)),
                Err(_) => verdict.refused.push((name.to_owned(), "it reads a strange variable".into())),
            },
            "changes" => verdict.changes.push((name.to_owned(), rest.to_owned())),
            "finds" => verdict.finds.push((name.to_owned(), rest.to_owned())),
            "misses" => verdict.misses.push((name.to_owned(), rest.to_owned())),
            "decimal" => verdict.decimal.push(name.to_owned()),
            "asks" if rest == "filters" => verdict.asks.push((name.to_owned(), Counts::FILTERS)),
            "asks" => verdict.asks.push((name.to_owned(), Counts::LOGGING)),
            "keeps" => verdict.keeps.push((name.to_owned(), rest.to_owned())),
            "end" => ended = true,
            _ => {}
        }
    }
    if !ended {
        let why = match last {
            "" => "the rehearsal could not begin".to_owned(),
            last => format!("importing {last} takes too long, or ends the process"),
        };
        let refused = roots.iter().map(|name| ((*name).to_owned(), why.clone())).collect();
        return (Verdict { refused, ..Verdict::default() }, under_way.pop().map(str::to_owned));
    }
    (verdict, None)
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|b| (b as char).to_digit(16).map(|d| d as u8)).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |n, d| n << 4 | d)).collect()
}

/// What the child wrote.
fn run(programme: &Programme, fatal: &[String]) -> Option<String> {
    // SAFETY: a C string; the descriptor is ours.
    let mut told = unsafe {
        let number = libc::memfd_create(c"pyzy-rehearsal".as_ptr(), libc::MFD_CLOEXEC);
        (number >= 0).then(|| std::fs::File::from_raw_fd(number))?
    };
    let number = std::os::fd::AsRawFd::as_raw_fd(&told);
    let parent = process::id();
    // SAFETY: the zygote has one thread, which holds the GIL.
    let pid = unsafe {
        spare::fork(|| {
            let _ = process::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize);
            if process::parent_id() == parent {
                child(programme, fatal, number);
            }
        })
    };
    if pid <= 0 {
        return None;
    }
    let ended = signal::process_handle(pid).map(|h| net::wait(&mut [Wait::readable(h.number())], Some(PATIENCE)));
    if !matches!(ended, Ok(Ok(1))) {
        let _ = signal::send(pid, libc::SIGKILL);
    }
    let _ = process::wait(pid);
    let mut bytes = Vec::new();
    told.rewind().and_then(|()| told.read_to_end(&mut bytes)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn child(programme: &Programme, fatal: &[String], number: i32) -> Option<()> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let globals = Object::own(ffi::PyDict_New())?;
        let set = |name: &CStr, value: &Object| ffi::PyDict_SetItemString(globals.raw(), name.as_ptr(), value.raw());
        ffi::PyDict_SetItemString(globals.raw(), c"__builtins__".as_ptr(), ffi::PyEval_GetBuiltins());
        set(c"__name__", &Object::decoded(b"<pyzy>")?);
        set(c"look", &function(c"look", look)?);
        set(c"once", &function(c"once", once)?);
        set(c"try_copies", &function(c"try_copies", try_copies)?);
        set(c"tasks_after_fork", &function(c"tasks_after_fork", tasks_after_fork)?);
        sums::begin(programme.layout);
        set(c"watch", &function(c"watch", sums::watch)?);
        set(c"changed_since", &function(c"changed_since", sums::changed)?);
        for function in ties::functions() {
            let (name, function) = function?;
            set(name, &function);
        }
        LOADED.get_or_init(copies::loaded);
        foreign::begin(programme.library.to_vec());
        calls::note_deeds();
        create::attach()?;
        state::begin()?;
        let code = Object::own(ffi::Py_CompileString(SOURCE.as_ptr(), c"<pyzy>".as_ptr(), 257))?;
        Object::own(ffi::PyEval_EvalCode(code.raw(), globals.raw(), globals.raw()))?;
        let exempt = list::ASKED_AGAIN.iter().map(|(module, call)| pair(module, &call.text().to_string_lossy()));
        let exempt = exempt.chain(list::EXEMPT.iter().map(|(module, deed)| pair(module, deed)));
        set(c"ASKED_AGAIN", &sequence(exempt)?);
        let known = KNOWN_EXTENSIONS.split_whitespace().chain(list::ONCE_IS_ENOUGH.split_whitespace());
        set(c"KNOWN", &sequence(known.map(|n| Object::decoded(n.as_bytes())))?);
        set(c"library", &sequence(programme.library.iter().map(|d| Object::decoded(d)))?);
        set(c"fatal", &sequence(fatal.iter().map(|name| Object::decoded(name.as_bytes())))?);
        let send = function(c"send", send)?;
        SEND.store(number, std::sync::atomic::Ordering::Relaxed);
        let words = |names: &[&str]| sequence(names.iter().map(|n| Object::decoded(n.as_bytes())));
        let begin = item(&globals, "begin")?;
        let rehearse = item(&globals, "rehearse")?;
        let (stdlib, roots) = (words(programme.stdlib)?, words(programme.roots)?);
        let script = Object::decoded(programme.script)?;
        let arguments = Object::own(ffi::PyTuple_Pack(4, stdlib.raw(), roots.raw(), script.raw(), send.raw()))?;
        Object::own(ffi::PyObject_CallObject(begin.raw(), std::ptr::null_mut()))?;
        trace::start_with_deeds(|call| CALLS.lock().unwrap_or_else(|e| e.into_inner()).push(call));
        let done = Object::own(ffi::PyObject_CallObject(rehearse.raw(), arguments.raw()));
        trace::stop();
        if done.is_none() {
            tell(number, &format!("failed\t{}\n", crate::worker::take_exception()));
        }
    }
    process::exit(0)
}

fn pair(first: &str, second: &str) -> Option<Object> {
    let (first, second) = (Object::decoded(first.as_bytes())?, Object::decoded(second.as_bytes())?);
    // SAFETY: the GIL is held; live objects.
    unsafe { Object::own(ffi::PyTuple_Pack(2, first.raw(), second.raw())) }
}

/// A list.
pub fn sequence(items: impl Iterator<Item = Option<Object>>) -> Option<Object> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let list = Object::own(ffi::PyList_New(0))?;
        for item in items {
            (ffi::PyList_Append(list.raw(), item?.raw()) == 0).then_some(())?;
        }
        Some(list)
    }
}

type Function = unsafe extern "C" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;

fn function(name: &'static CStr, function: Function) -> Option<Object> {
    crate::capi::function(name, ffi::PyMethodDefPointer { PyCFunction: function }, ffi::METH_O, std::ptr::null_mut())
}

static SEND: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

fn tell(number: i32, line: &str) {
    let _ = file::write(number, line.as_bytes());
}

/// A line for the parent.
unsafe extern "C" fn send(_: *mut PyObject, line: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with the GIL held.
    let line = unsafe { Object::share(line) }.and_then(|line| text(&line)).unwrap_or_default();
    tell(SEND.load(std::sync::atomic::Ordering::Relaxed), &format!("{line}\n"));
    none()
}

/// None, for the caller.
pub fn none() -> *mut PyObject {
    // SAFETY: None, with a reference for the caller.
    unsafe {
        let none = ffi::Py_None();
        ffi::Py_INCREF(none);
        none
    }
}

/// What the C library was asked since the last time, the descriptors that are open, and the number of threads.
unsafe extern "C" fn look(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let was = trace::pause();
    let calls = std::mem::take(&mut *CALLS.lock().unwrap_or_else(|e| e.into_inner()));
    let asked = trace::take();
    let result = answer(&calls, &asked.env_names);
    trace::resume(was);
    match result {
        Some(answer) => answer.into_raw(),
        None => none(),
    }
}

fn answer(calls: &[trace::Call], names: &std::collections::BTreeSet<Vec<u8>>) -> Option<Object> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let changes = state::changes();
        let changes = changes.iter().map(|change| Object::decoded(change.as_bytes()));
        let calls = sequence(calls.iter().map(|call| Object::decoded(call.text().to_bytes())).chain(changes))?;
        let bytes = |b: &Vec<u8>| Object::own(ffi::PyBytes_FromStringAndSize(b.as_ptr().cast(), b.len() as isize));
        let names = sequence(names.iter().map(bytes))?;
        let open = file::open_descriptors().unwrap_or_default();
        let open = sequence(open.iter().map(|&fd| number(fd as usize)))?;
        let threads = number(tasks())?;
        let environment = crate::worker::environment().iter().map(|entry| bytes(&entry.to_bytes().to_vec())).collect();
        let environment = sequence(Vec::into_iter(environment))?;
        let context = context()?;
        let all = [&calls, &names, &open, &threads, &environment, &context].map(Object::raw);
        Object::own(ffi::PyTuple_Pack(6, all[0], all[1], all[2], all[3], all[4], all[5]))
    }
}

/// A number.
pub fn number(n: usize) -> Option<Object> {
    // SAFETY: the GIL is held.
    unsafe { Object::own(ffi::PyLong_FromSize_t(n)) }
}

/// The current context (`PyContext_CopyCurrent`, `Include/cpython/context.h`).
fn context() -> Option<Object> {
    static COPY: Symbol = Symbol::new(c"PyContext_CopyCurrent");
    let copy = COPY.find();
    (!copy.is_null()).then_some(())?;
    // SAFETY: the GIL is held; a function of this type.
    unsafe { Object::own(std::mem::transmute::<*mut libc::c_void, unsafe extern "C" fn() -> *mut PyObject>(copy)()) }
}

/// The number of threads of this process.
pub fn tasks() -> usize {
    file::list(b"/proc/self/task").map_or(1, |tasks| tasks.len())
}

/// The same after a fork, before which threads of libraries may end (`man 3 pthread_atfork`). The child ends at once.
pub fn fork_and_count() -> usize {
    let was = trace::pause();
    // SAFETY: the GIL is held; the child makes system calls only.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(0);
        }
        if pid > 0 {
            let _ = process::wait(pid);
        }
    }
    trace::resume(was);
    tasks()
}

unsafe extern "C" fn tasks_after_fork(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with the GIL held.
    unsafe { ffi::PyLong_FromSize_t(fork_and_count()) }
}

/// What was loaded before the rehearsal.
static LOADED: std::sync::OnceLock<HashSet<Vec<u8>>> = std::sync::OnceLock::new();

/// For each path of a list: why it cannot be loaded once more, or None.
unsafe extern "C" fn try_copies(_: *mut PyObject, paths: *mut PyObject) -> *mut PyObject {
    let was = trace::pause();
    // SAFETY: called by CPython with the GIL held, and with a list of str.
    let result = unsafe { Object::share(paths) }.and_then(|paths| {
        let paths = super::world::items(&paths)?
            .iter()
            .map(|path| Some(text(path)?.into_bytes()))
            .collect::<Option<Vec<_>>>()?;
        let tried = foreign::try_copies(&paths, LOADED.get_or_init(copies::loaded));
        sequence(tried.into_iter().map(|why| match why {
            Some(why) => Object::decoded(why.as_bytes()),
            // SAFETY: None.
            None => unsafe { Object::share(ffi::Py_None()) },
        }))
    });
    trace::resume(was);
    match result {
        Some(result) => result.into_raw(),
        None => none(),
    }
}

/// Is it an extension that is initialised once a process (PEP 489)?
unsafe extern "C" fn once(_: *mut PyObject, module: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with the GIL held; a definition lives for ever.
    unsafe {
        let definition =
            if ffi::PyModule_Check(module) == 0 { std::ptr::null_mut() } else { ffi::PyModule_GetDef(module) };
        ffi::PyErr_Clear();
        ffi::PyBool_FromLong((definition.is_null() || (*definition).m_slots.is_null()).into())
    }
}
