//! The zygote's side: compiling scripts for the runs to come.
//!
//! Owns which wishes are granted, and the one child at a time that compiles: a script is read there, and never run.
//! Who asks names a file and what it looks like; the child opens it itself, and keeps nothing of any other.

use super::{Kept, LONGEST as LONGEST_SCRIPT, is_settled, open};
use crate::capi::{self, Object, PyCompilerFlags};
use crate::counts::{self, Compiled};
use crate::run::FILE_INPUT;
use crate::{quiet, spare};
use pyo3::ffi;
use pyzy_core::codes::{LONGEST, START, Script, WINDOW, is_plain_text};
use pyzy_core::start::Start;
use pyzy_sys::file::{self, Fd};
use pyzy_sys::{process, signal};
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

/// When the file has grown so long it is begun anew, bytes.
const FULL: u64 = 32 << 20;
/// How many scripts are remembered that were asked for once.
const REMEMBERED: usize = 4096;
/// How many wait to be compiled.
const WAITING: usize = 64;
/// How long one may take, seconds.
const TIME: u32 = 30;
/// Optimised as the interpreter was told at its start (`Py_CompileStringExFlags`).
const AS_STARTED: libc::c_int = -1;

const SOURCE: &CStr =
    match CStr::from_bytes_with_nul(concat!(include_str!("../../../../python/compiled.py"), "\0").as_bytes()) {
        Ok(source) => source,
        Err(_) => panic!("python/compiled.py holds a NUL"),
    };

/// Wishes, and the child that grants them.
#[derive(Default)]
pub struct Maker {
    once: HashMap<Vec<u8>, [u64; 6]>,
    waiting: VecDeque<Wish>,
    child: Option<(i32, Option<Fd>)>,
}

struct Wish {
    path: Vec<u8>,
    facts: [u64; 6],
    /// The connection of a run that waits.
    run: Option<Fd>,
}

impl Maker {
    /// A run had to compile its script. One that does so for the second time gets its wish: most scripts that are run once are not run again.
    /// So does one that waits; closing its connection tells it that there is nothing to wait for any more.
    pub fn ask(&mut self, script: &Script, run: Option<Fd>, start: &Start) {
        if run.is_none() && self.once.get(script.path) != Some(&script.facts) {
            if self.once.len() >= REMEMBERED {
                self.once.clear();
            }
            self.once.insert(script.path.to_vec(), script.facts);
            return;
        }
        let is_known = |wish: &Wish| wish.path == script.path && wish.facts == script.facts;
        if self.waiting.len() < WAITING && (run.is_some() || !self.waiting.iter().any(is_known)) {
            self.waiting.push_back(Wish { path: script.path.to_vec(), facts: script.facts, run });
        }
        self.next(start);
    }

    fn next(&mut self, start: &Start) {
        if self.child.is_some() {
            return;
        }
        let Some(Wish { path, facts, run }) = self.waiting.pop_front() else { return };
        // SAFETY: the zygote has one thread, which holds the GIL.
        let pid = unsafe {
            spare::fork_bound(|| {
                libc::alarm(TIME);
                libc::nice(10);
                let script = Script { path: &path, facts };
                let kept = content(&script, run.is_some())
                    .and_then(|content| keep(&super::path(start), &script, &content, start.nonce));
                process::exit(kept.is_none().into())
            })
        };
        self.child = (pid > 0).then_some((pid, run));
    }

    /// Was that child ours?
    pub fn reap(&mut self, pid: i32, start: &Start) -> bool {
        if self.child.as_ref().is_none_or(|(child, _)| *child != pid) {
            return false;
        }
        self.child = None;
        self.next(start);
        true
    }

    /// Nothing more is written.
    pub fn stop(&mut self) {
        self.waiting.clear();
        if let Some((pid, _)) = self.child.take() {
            let _ = signal::send(pid, libc::SIGKILL);
            let _ = process::wait(pid);
        }
    }
}

/// What is to be kept of a script: its code, or nothing if each run must compile it. `None` if it is another file by now.
fn content(script: &Script, now: bool) -> Option<Vec<u8>> {
    let opened = file::open(script.path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY, 0).ok()?;
    let is_it =
        || file::fstat(opened.number()).is_ok_and(|stat| stat.facts() == script.facts && (now || is_settled(&stat)));
    (is_it() && script.facts[3] <= LONGEST_SCRIPT).then_some(())?;
    let source = file::read_all(opened.number(), script.facts[3] as usize + 1).ok()?;
    // Whoever writes to it now leaves it in this state with other times.
    (is_it() && source.len() as u64 == script.facts[3]).then_some(())?;
    let code = compiled(&source, script.path).unwrap_or_default();
    Some(if code.len() < LONGEST - script.path.len() - 64 { code } else { Vec::new() })
}

fn compiled(source: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    is_plain_text(source).then_some(())?;
    let (text, name) = (CString::new(source).ok()?, CString::new(path).ok()?);
    // SAFETY: the GIL is held; live objects; the bytes that are given live as long as their object.
    unsafe {
        let mut flags = PyCompilerFlags { flags: 0, feature_version: quiet::minor_version() };
        let compile = |flags: &mut PyCompilerFlags| {
            capi::Py_CompileStringExFlags(text.as_ptr(), name.as_ptr(), FILE_INPUT, flags, AS_STARTED)
        };
        // Before anything else, as in a run.
        counts::begin();
        let first = Object::own(compile(&mut flags));
        let there = Compiled::now();
        drop(first?);
        let globals = Object::own(ffi::PyDict_New())?;
        ffi::PyDict_SetItemString(globals.raw(), c"__builtins__".as_ptr(), ffi::PyEval_GetBuiltins());
        let own = Object::own(ffi::Py_CompileString(SOURCE.as_ptr(), c"<pyzy>".as_ptr(), 257))?;
        Object::own(ffi::PyEval_EvalCode(own.raw(), globals.raw(), globals.raw()))?;
        let function = |name: &CStr| Object::share(ffi::PyDict_GetItemString(globals.raw(), name.as_ptr()));
        let (strict, kept) = (function(c"strict")?, function(c"kept")?);
        let is_strict = Object::own(ffi::PyObject_CallObject(strict.raw(), std::ptr::null_mut()))?;
        (is_strict.raw() == ffi::Py_True()).then_some(())?;
        let code = Object::own(compile(&mut flags))?;
        let arguments = Object::own(ffi::PyTuple_Pack(1, code.raw()))?;
        let answer = Object::own(ffi::PyObject_CallObject(kept.raw(), arguments.raw()))?;
        (ffi::PyTuple_Check(answer.raw()) != 0).then_some(())?;
        let [data, has_single] = [0, 1].map(|at| ffi::PyTuple_GetItem(answer.raw(), at));
        let (at, length) = (ffi::PyBytes_AsString(data), ffi::PyBytes_Size(data));
        let data = std::slice::from_raw_parts(at.cast::<u8>(), length as usize);
        Some(Kept::bytes(there, has_single == ffi::Py_True(), data))
    }
}

/// Writes the entry behind all others, and then where it lies. We are the only one who writes; who reads meanwhile finds
/// a slot that is whole, or one whose checksum is wrong.
fn keep(path: &[u8], script: &Script, content: &[u8], zygote: u64) -> Option<()> {
    let opened = open(path, libc::O_RDWR | libc::O_CREAT)?;
    let mut end = file::fstat(opened.number()).ok()?.size.max(START);
    // SAFETY: the descriptor is given away.
    let mut written = unsafe { File::from_raw_fd(opened.leak()) };
    if end > FULL {
        std::fs::remove_file(OsStr::from_bytes(path)).ok()?;
        // SAFETY: as above.
        written = unsafe { File::from_raw_fd(open(path, libc::O_RDWR | libc::O_CREAT)?.leak()) };
        end = START;
    }
    let mut window = [0; WINDOW];
    let _ = written.read_exact_at(&mut window, script.window());
    let entry = script.entry(content);
    let (at, slot) = script.place(&window, &entry, end, zygote);
    written.write_all_at(&entry, end).and_then(|()| written.write_all_at(&slot, at)).ok()
}
