//! Becoming the caller: from a fork of the zygote to the hand-off.
//!
//! Owns everything that is done to a fresh fork before the script's first
//! line: descriptors, working directory, limits, signals, environment, command
//! line, streams. Anything that cannot be made equal ends in `Refused`, and
//! the launcher runs the real interpreter: no code of the user's has run yet.

use crate::adopt::{self, Adopter};
use crate::arguments::Arguments;
use crate::capi::Object;
use crate::run::{self, Script};
use crate::{counts, filename, holes, importer, names, path0, quiet, warm};
use pyo3::ffi;
use pyzy_core::fresh::{self, Facts, Table};
use pyzy_core::reason::Reason;
use pyzy_core::start::Start;
use pyzy_core::wire::{self, Answer, Ask, Request};
use pyzy_sys::file::{self, Fd};
use pyzy_sys::memory::{self, Layout};
use pyzy_sys::process::{self, Limit};
use pyzy_sys::{net, signal};
use std::ffi::{CStr, CString};

const SOURCE: &CStr =
    match CStr::from_bytes_with_nul(concat!(include_str!("../../../python/worker.py"), "\0").as_bytes()) {
        Ok(source) => source,
        Err(_) => panic!("python/worker.py holds a NUL"),
    };

/// A script that does a little of what scripts do.
const WARM_UP: &[u8] = b"def f(x):\n    return [y for y in x]\nf('ab')\nprint()\n";

/// A variable set, or (without a value) removed.
type Change = (CString, Option<CString>);

/// The environment of this process, in order.
pub fn environment() -> Vec<CString> {
    let mut entries = Vec::new();
    // SAFETY: a null-terminated table of C strings; one thread.
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            entries.push(CStr::from_ptr(*at).to_owned());
            at = at.add(1);
        }
    }
    entries
}

/// What must be done to `before` to make it `after`.
fn changes(before: &[CString], after: &[CString]) -> Vec<Change> {
    let split = |entry: &CString| {
        let bytes = entry.to_bytes();
        let equals = bytes.iter().position(|&b| b == b'=')?;
        Some((CString::new(&bytes[..equals]).ok()?, CString::new(&bytes[equals + 1..]).ok()?))
    };
    let (before, after): (Vec<_>, Vec<_>) =
        (before.iter().filter_map(split).collect(), after.iter().filter_map(split).collect());
    let set = after.iter().filter(|entry| !before.contains(entry)).map(|(n, v)| (n.clone(), Some(v.clone())));
    let gone = before.iter().filter(|(name, _)| !after.iter().any(|(n, _)| n == name)).map(|(n, _)| (n.clone(), None));
    gone.chain(set).collect()
}

/// What the zygote prepares once, for all its workers.
pub struct Prepared {
    adopter: Adopter,
    /// Where the interpreter keeps the script's directory.
    pub path0: Option<usize>,
    arguments: Arguments,
    memory: MemoryMap,
    /// What start-up did to the environment: locale coercion (`_coerce_default_locale_settings`,
    /// `Python/pylifecycle.c`) and start-up code. Done again in each worker.
    changes: Vec<Change>,
    /// Libraries and directories of warm modules.
    pub lasting: Vec<(Vec<u8>, Facts)>,
    /// What is warm, a line a module.
    pub modules: String,
}

impl Prepared {
    /// Compiles the Python part in a namespace of its own. `before` is the environment before the interpreter
    /// started; `start` has what the probe saw start-up code change, also where that makes no difference here.
    pub fn new(before: &[CString], start: &Start) -> Option<Prepared> {
        // SAFETY: the GIL is held; C strings and live objects.
        unsafe {
            let globals = Object::own(ffi::PyDict_New())?;
            ffi::PyDict_SetItemString(globals.raw(), c"__builtins__".as_ptr(), ffi::PyEval_GetBuiltins());
            let code = Object::own(ffi::Py_CompileString(SOURCE.as_ptr(), c"<pyzy>".as_ptr(), 257))?;
            Object::own(ffi::PyEval_EvalCode(code.raw(), globals.raw(), globals.raw()))?;
            let adopter = Adopter::new(&globals)?;
            let mut changes = changes(before, &environment());
            for (name, value) in &start.changes {
                changes.push((CString::new(*name).ok()?, value.and_then(|v| CString::new(v).ok())));
            }
            let layout = quiet::find_layout();
            let warmed = warm::prepare(layout.as_ref(), start);
            (!warmed.is_spoilt).then_some(())?;
            let (lasting, modules) = (warmed.lasting, warmed.told.text());
            importer::prepare();
            forget_listings(start);
            counts::prepare(layout.as_ref());
            filename::prepare(layout.as_ref());
            quiet::prepare(layout);
            // After that, which knows all open files there are: these are closed without a trace.
            adopter.make_ready();
            let arguments = Arguments::find();
            let (path0, memory) = (path0::find(), MemoryMap::read()?);
            Some(Prepared { adopter, path0, arguments, memory, changes, lasting, modules })
        }
    }
}

/// The finders of directories whose contents do not count for freshness list them again: FileFinder goes by the directory's time, which
/// may be set back (`Lib/importlib/_bootstrap_external.py`).
unsafe fn forget_listings(start: &Start) {
    let Some((table, cache)) = Table::decode(start.table).zip(names::sys(&names::PATH_CACHE)) else { return };
    for (path, _) in &table.paths {
        let Some(directory) = path.strip_suffix(fresh::ONLY_DIRECTORY) else { continue };
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let finder = Object::decoded(directory)
                .and_then(|entry| Object::share(ffi::PyDict_GetItem(cache.raw(), entry.raw())))
                .filter(|finder| finder.raw() != ffi::Py_None());
            if let Some(forget) = finder.and_then(|finder| finder.attribute(c"invalidate_caches")) {
                drop(Object::own(ffi::PyObject_CallObject(forget.raw(), std::ptr::null_mut())));
            }
            ffi::PyErr_Clear();
        }
    }
}

impl Prepared {
    /// What every run does before its script, for a rehearsal.
    pub fn rehearse(&self) -> Option<()> {
        self.adopter.adopt(&[b"python3"], 0, 0)
    }

    /// Goes once through what every run does, for its traces in memory: functions that are looked up when they are first
    /// called, memory that is set aside. Nothing of it can be seen.
    pub fn warm_up(&self) -> Option<()> {
        names::prepare();
        run::prepare();
        self.rehearse()?;
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let globals = Object::own(ffi::PyDict_New())?;
            ffi::PyDict_SetItemString(globals.raw(), c"__builtins__".as_ptr(), ffi::PyEval_GetBuiltins());
            for _ in 0..2 {
                run::rehearse(WARM_UP, globals.raw())?;
            }
            // The function and its globals hold each other: `gc.collect()` in a script would count them.
            ffi::PyDict_Clear(globals.raw());
        }
        quiet::rehearse();
        adopt::drop_unused();
        self.adopter.make_ready();
        let _ = signal::ignored();
        counts::settle(self);
        holes::fill();
        Some(())
    }
}

/// The caller, as the zygote received it.
pub struct Caller<'a> {
    /// What was asked.
    pub request: Request<'a>,
    /// The working directory, then the descriptors named in the request.
    pub descriptors: Vec<Fd>,
    /// The connection to the launcher.
    pub connection: i32,
    /// The group to join; 0 for one of its own; -1 for a session of its own.
    pub group: i32,
    /// The zygote's process id.
    pub zygote: i32,
}

impl<'a> Caller<'a> {
    /// From what travels to a spare worker: the group and the request with its descriptors, then the connection.
    pub fn from_message(
        bytes: &'a [u8],
        descriptors: Vec<Fd>,
        mut connection: Vec<Fd>,
        zygote: i32,
    ) -> Option<Caller<'a>> {
        let (group, request) = bytes.split_first_chunk::<4>()?;
        let Some(Ask::Run(request)) = Ask::decode(request) else { return None };
        (descriptors.len() == request.descriptors.len() + 1).then_some(())?;
        let connection = connection.pop()?.leak();
        Some(Caller { request, descriptors, connection, group: i32::from_le_bytes(*group), zygote })
    }
}

/// In the child of a fork: becomes the caller, waits until the script is its to run, and runs it.
pub fn run(caller: Caller, prepared: &Prepared) -> ! {
    match become_caller(caller, prepared) {
        Ok((connection, script, blocked)) => {
            if await_word(&connection, wire::COMMIT) && await_word(&connection, wire::RELEASED) {
                drop(connection);
                script.run_and_exit(blocked)
            }
        }
        Err((connection, reason)) => {
            let _ = net::send(connection, &Answer::Refused(reason).encode(), &[]);
        }
    }
    process::exit(0)
}

type Refusal = (i32, Reason);

fn become_caller(caller: Caller, prepared: &Prepared) -> Result<(Fd, Script, u64), Refusal> {
    let Caller { request, descriptors, connection, group, zygote } = caller;
    let refuse = |connection: i32| move |_: pyzy_sys::Errno| (connection, Reason::Refused);
    // A zygote that dies takes its workers along: nobody could say how they ended.
    process::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize).map_err(refuse(connection))?;
    if process::parent_id() != zygote {
        process::exit(0);
    }
    match group {
        -1 => process::new_session().map(drop),
        group => process::set_group(0, group),
    }
    .map_err(refuse(connection))?;
    // By number until all is well: whoever refuses must still be able to say so.
    let number = place_descriptors(&request.descriptors, descriptors, connection)?.leak();
    let refuse = refuse(number);
    apply_limits(&request).map_err(|_| (number, Reason::HigherLimits))?;
    if process::affinity().ok().as_deref() != Some(request.affinity) {
        process::set_affinity(request.affinity).map_err(refuse)?;
    }
    // SAFETY: umask cannot fail and takes a number.
    unsafe { libc::umask(request.umask) };
    if let Ok(comm) = request.comm.try_into() {
        process::set_name(comm);
    }
    let refused = (number, Reason::Refused);
    prepared.memory.show(&request).ok_or(refused)?;
    set_environ(&request.environ).ok_or(refused)?;
    let script = enter(&request.argv, request.script as usize, request.ignored, prepared).ok_or(refused)?;
    let handle = signal::process_handle(process::id()).map_err(refuse)?;
    let ready = Answer::Ready { pid: process::id(), same_group: group > 0 && group == request.group };
    net::send(number, &ready.encode(), &[handle.number()]).map_err(refuse)?;
    drop(handle);
    Ok((Fd::own(number), script, request.blocked))
}

/// Waits for this word of the launcher's; its absence means that the launcher has fallen back or died.
fn await_word(connection: &Fd, word: &[u8]) -> bool {
    let mut wait = [net::Wait::readable(connection.number())];
    let mut byte = [0u8; 4];
    loop {
        if net::wait(&mut wait, None).is_err() {
            return false;
        }
        match net::receive(connection.number(), &mut byte) {
            Ok(received) => return byte[..received.length] == *word,
            Err(error) if error.0 == libc::EAGAIN => {}
            Err(_) => return false,
        }
    }
}

/// Puts the caller's descriptors at their numbers, closes everything else but the connection,
/// which moves above them, and enters the working directory.
fn place_descriptors(numbers: &[u32], descriptors: Vec<Fd>, connection: i32) -> Result<Fd, Refusal> {
    let refuse = |_: pyzy_sys::Errno| (connection, Reason::Refused);
    let mut high = numbers.last().map_or(3, |&n| n as usize + 1).max(3);
    let mut lift = |fd: i32| {
        let new = file::fcntl(fd, libc::F_DUPFD_CLOEXEC, high)?;
        high = high.max(new + 1);
        Ok(Fd::own(new as i32))
    };
    let first = descriptors.first().map(Fd::number);
    // SAFETY: fchdir takes a number.
    if first.is_none_or(|directory| unsafe { libc::fchdir(directory) } != 0) {
        return Err((connection, Reason::Refused));
    }
    let lifted: Vec<Fd> =
        descriptors[1..].iter().map(|fd| lift(fd.number())).collect::<Result<_, _>>().map_err(refuse)?;
    let moved = lift(connection).map_err(refuse)?;
    let floor = lifted.first().map_or(moved.number(), Fd::number) as u32;
    // The zygote's own descriptors and the originals; then the numbers the caller had closed stay closed.
    descriptors.into_iter().for_each(|fd| {
        fd.leak();
    });
    close_below(floor);
    for (&number, fd) in numbers.iter().zip(&lifted) {
        // SAFETY: dup2 takes numbers.
        if unsafe { libc::dup2(fd.number(), number as i32) } < 0 {
            return Err((moved.leak(), Reason::Refused));
        }
    }
    Ok(moved)
}

/// Closes every descriptor below `floor` (`man 2 close_range`, Linux 5.9; one by one before).
pub fn close_below(floor: u32) {
    // SAFETY: takes numbers.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 0u32, floor - 1, 0u32) };
    if done != 0 {
        (0..floor as i32).for_each(file::close);
    }
}

/// Closes every descriptor above `ceiling`.
pub fn close_above(ceiling: u32) {
    // SAFETY: takes numbers.
    let done = unsafe { libc::syscall(libc::SYS_close_range, ceiling + 1, u32::MAX, 0u32) };
    if done != 0 {
        for fd in file::open_descriptors().unwrap_or_default().into_iter().filter(|&fd| fd > ceiling as i32) {
            file::close(fd);
        }
    }
}

/// Limits and priorities. Lower ones anybody may set, higher ones take a privilege.
fn apply_limits(request: &Request) -> pyzy_sys::Result<()> {
    for (resource, (now, &[soft, hard])) in process::limits()?.iter().zip(&request.limits).enumerate() {
        let wanted = Limit { soft, hard };
        if *now != wanted {
            process::set_limit(resource, wanted)?;
        }
        if resource == libc::RLIMIT_STACK as usize && now.soft != soft {
            set_thread_stack(soft);
        }
    }
    if process::scheduler()? != request.policy {
        process::set_scheduler(request.policy)?;
    }
    if process::nice()? != request.nice {
        process::set_nice(request.nice)?;
    }
    if process::io_priority()? != request.io_priority {
        process::set_io_priority(request.io_priority)?;
    }
    if process::oom_score_adj() != Some(request.oom_score_adj) {
        process::set_oom_score_adj(request.oom_score_adj)?;
    }
    Ok(())
}

/// New threads' stacks: the C library takes the limit's value when it starts (`nptl/nptl-stack.c`,
/// `__pthread_initialize_minimal`), rounded up to pages.
fn set_thread_stack(soft: u64) {
    // SAFETY: an attribute object of our own, initialised before use.
    unsafe {
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::zeroed();
        if libc::pthread_attr_init(attributes.as_mut_ptr()) == 0 {
            let size = (soft as usize).next_multiple_of(4096);
            if libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), size) == 0 {
                pthread_setattr_default_np(attributes.as_ptr());
            }
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
        }
    }
}

/// The same, from the limit as it is now.
pub fn adopt_stack_limit() {
    if let Ok(limit) = process::limit(libc::RLIMIT_STACK as usize) {
        set_thread_stack(limit.soft);
    }
}

unsafe extern "C" {
    fn pthread_setattr_default_np(attributes: *const libc::pthread_attr_t) -> libc::c_int;
}

/// Both engines' way to the script's first line, once libc's `environ` is the caller's: what start-up does to the
/// environment, what Python knows of the caller, and the script itself. No code of the user's runs.
pub fn enter(argv: &[&[u8]], script: usize, ignored: u64, prepared: &Prepared) -> Option<Script> {
    change_environ(&prepared.changes)?;
    if prepared.adopter.adopt(argv, script, ignored).is_none() {
        // SAFETY: the GIL is held.
        unsafe { ffi::PyErr_Clear() };
        return None;
    }
    prepared.arguments.set(argv, script);
    Script::prepare(argv[script], prepared.path0).filter(|_| warm::suits())
}

unsafe extern "C" {
    static mut environ: *mut *mut libc::c_char;
}

/// libc's `environ` becomes a table that somebody else has made and keeps.
///
/// # Safety
/// A null-terminated table of C strings that lives for ever; one thread.
pub unsafe fn take_environ(table: *mut *mut libc::c_char) {
    // SAFETY: the caller's promise.
    unsafe { environ = table };
}

/// libc's `environ`: an array of our own making, exact and in order.
fn set_environ(entries: &[&[u8]]) -> Option<()> {
    let mut table = Vec::with_capacity(entries.len() + 1);
    for entry in entries {
        table.push(CString::new(*entry).ok()?.into_raw());
    }
    table.push(std::ptr::null_mut());
    // SAFETY: one thread; the table and its strings live for ever.
    unsafe { take_environ(table.leak().as_mut_ptr()) };
    Some(())
}

fn change_environ(changes: &[Change]) -> Option<()> {
    // SAFETY: C strings; one thread.
    unsafe {
        for (name, value) in changes {
            let done = match value {
                Some(value) => libc::setenv(name.as_ptr(), value.as_ptr(), 1),
                None => libc::unsetenv(name.as_ptr()),
            };
            if done != 0 {
                return None;
            }
        }
    }
    Some(())
}

/// Makes `/proc/self/cmdline` and `environ` those of the caller.
struct MemoryMap {
    bounds: Bounds,
}

/// start_code, end_code, start_stack, start_data, end_data, start_brk of `/proc/self/stat`.
pub type Bounds = [u64; 6];

/// Where the kernel has the parts of this process.
pub fn bounds() -> Option<Bounds> {
    let stat = std::fs::read("/proc/self/stat").ok()?;
    let fields = String::from_utf8_lossy(&stat[stat.iter().rposition(|&b| b == b')')? + 2..]).into_owned();
    let fields: Vec<u64> = fields.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    // Field 3 (state) is the first after the name (man 5 proc_pid_stat).
    let field = |number: usize| fields.get(number - 3).copied();
    Some([field(26)?, field(27)?, field(28)?, field(45)?, field(46)?, field(47)?])
}

impl MemoryMap {
    fn read() -> Option<MemoryMap> {
        Some(MemoryMap { bounds: bounds()? })
    }

    fn show(&self, request: &Request) -> Option<()> {
        let block = |parts: &[&[u8]]| -> [u64; 2] {
            let mut text = Vec::with_capacity(parts.iter().map(|p| p.len() + 1).sum());
            for part in parts {
                text.extend_from_slice(part);
                text.push(0);
            }
            let text = text.leak();
            [text.as_ptr() as u64, text.as_ptr() as u64 + text.len() as u64]
        };
        let [code, code_end, stack, data, data_end, brk] = self.bounds;
        let layout = Layout {
            code: [code, code_end],
            data: [data, data_end],
            // SAFETY: asks only.
            brk: [brk, unsafe { libc::sbrk(0) } as u64],
            stack,
            arguments: block(&request.argv),
            environ: block(&request.environ),
            auxv: 0,
            auxv_size: 0,
            exe: u32::MAX,
        };
        memory::set_layout(&layout).ok()
    }
}

/// Is every path still as the table says?
pub fn is_fresh(table: &Table) -> bool {
    table.paths.iter().all(|(path, facts)| fresh::counting(path, file::facts(path)) == *facts)
}

/// Describes a pending Python exception for the log, and clears it.
pub fn take_exception() -> String {
    // SAFETY: the GIL is held.
    unsafe {
        #[allow(deprecated)]
        {
            let (mut kind, mut value, mut trace) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
            ffi::PyErr_Fetch(&mut kind, &mut value, &mut trace);
            let text =
                Object::own(value).or_else(|| Object::own(kind)).and_then(|v| Object::own(ffi::PyObject_Repr(v.raw())));
            let text = text.and_then(|t| Object::own(ffi::PyUnicode_AsUTF8String(t.raw())));
            let answer = text.map(|t| CStr::from_ptr(ffi::PyBytes_AsString(t.raw())).to_string_lossy().into_owned());
            ffi::PyErr_Clear();
            answer.unwrap_or_default()
        }
    }
}
