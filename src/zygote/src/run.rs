//! Running a script, and ending, as CPython does.
//!
//! Owns the one decision about how a script is run and how an interpreter ends
//! (`Modules/main.c`: pymain_run_python, pymain_run_file, Py_RunMain;
//! `Python/pythonrun.c`: _PyRun_SimpleFileObject). No Python frame lies below
//! the script.

use crate::capi::{self, Object, PyCompilerFlags, Symbol};
use crate::codes::{self, Kept};
use crate::counts::{self, Compiled};
use crate::names::{self, Name};
use crate::{entry, filename, floor, importer, path0, quiet, spare, warm};
use libc::{FILE, c_int};
use pyo3::ffi;
use pyzy_sys::signal;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// `Py_file_input`
pub const FILE_INPUT: c_int = 257;

/// A script that is ready to be run.
pub struct Script {
    /// `run_filename`: absolute where that could be found out (`config_run_filename_abspath`).
    path: CString,
    name: Object,
    kind: Kind,
    /// The caller's signal mask, until it is in force again.
    mask: Option<signal::Set>,
}

enum Kind {
    /// A file of source, or a `.pyc`.
    File(*mut FILE),
    /// A directory or archive with `__main__`: run by `runpy`.
    Importer,
}

impl Script {
    /// Finds out what kind of script it is, extends `sys.path` and opens the file; runs no code of the user's except
    /// path hooks of start-up code. `path0` is where the interpreter keeps the script's directory. `None`: let the real interpreter have it.
    pub fn prepare(argument: &[u8], path0: Option<usize>) -> Option<Script> {
        let path = CString::new(absolute(argument)).ok()?;
        let name = Object::decoded(path.as_bytes())?;
        // SAFETY: the GIL is held; live objects.
        unsafe {
            // pymain_get_importer: leaves an entry in sys.path_importer_cache, as cold.
            let importer = importer::find(&path, &name)?;
            if importer.raw() != ffi::Py_None() {
                insert_path(&name, path0)?;
                return Some(Script { path, name, kind: Kind::Importer, mask: None });
            }
            if !safe_path()? {
                insert_path(&Object::decoded(&directory_of(argument))?, path0)?;
            }
            let file = libc::fopen(path.as_ptr(), c"rbe".as_ptr());
            if file.is_null() {
                return None;
            }
            Some(Script { path, name, kind: Kind::File(file), mask: None })
        }
    }

    /// Runs the script and finalises the interpreter, for training: nobody's script, nobody's exit. What start-up has left for
    /// the end is not done then.
    pub fn rehearse(self) {
        // SAFETY: the GIL is held by this, the only thread; nothing touches Python afterwards.
        unsafe {
            self.run();
            if quiet::is_start_up_silent() {
                capi::Py_FinalizeEx();
            }
        }
    }

    /// The hand-off has happened: runs the script and ends the process. All signals are blocked until the script begins, so that none
    /// interrupts what is ours; `mask` is in force then.
    pub fn run_and_exit(mut self, mask: signal::Set) -> ! {
        self.mask = Some(mask);
        let mut script = Some(self);
        warm::begin();
        quiet::begin();
        // SAFETY: `finish` takes what it is given, once, and does not come back.
        unsafe { floor::call(finish, (&raw mut script).cast()) };
        unreachable!("the script's process has ended")
    }

    /// Gives the exit code, and whether a KeyboardInterrupt came through.
    unsafe fn run(self) -> (c_int, bool) {
        // SAFETY: the GIL is held.
        unsafe {
            match self.kind {
                Kind::Importer => {
                    // What has come is dealt with by the first Python code.
                    self.mask.map(signal::set_mask);
                    counts::begin();
                    run_importer()
                }
                Kind::File(file) => {
                    let _ = capi::PySys_Audit(c"cpython.run_file".as_ptr(), c"O".as_ptr(), self.name.raw());
                    run_file(file, &self.path, &self.name, self.mask)
                }
            }
        }
    }
}

/// Py_RunMain.
unsafe extern "C-unwind" fn finish(script: *mut libc::c_void) {
    // SAFETY: `run_and_exit` passes its script; the GIL is held by this, the only thread.
    unsafe {
        let Some(script) = (*script.cast::<Option<Script>>()).take() else { return };
        capi::with_interpreter(&SET_RUNNING);
        let (mut code, interrupted) = script.run();
        offer_prompt(&mut code);
        capi::with_interpreter(&SET_NOT_RUNNING);
        let silent = match entry::is_trial() {
            true => quiet::is_silent_as_it_is(),
            false => quiet::is_silent(),
        };
        if entry::is_trial() && !silent {
            flush_streams();
        } else if !silent {
            warm::let_go();
            if capi::Py_FinalizeEx() < 0 {
                code = 120;
            }
        }
        if interrupted {
            // exit_sigint: die of SIGINT, so that a shell sees it.
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            libc::kill(libc::getpid(), libc::SIGINT);
            code = libc::SIGINT + 128;
        }
        entry::before_exit();
        end(code, silent)
    }
}

/// `exit(3)`. Of a silent end there is nothing to do but to write what C's streams hold: all libraries that are there are
/// known (`quiet/libraries.rs`), and their destructors only free memory that goes with the process.
unsafe fn end(code: c_int, silent: bool) -> ! {
    // SAFETY: ends the process; all streams are flushed.
    unsafe {
        if silent {
            libc::fflush(std::ptr::null_mut());
            libc::_exit(code)
        }
        libc::exit(code)
    }
}

/// `pymain_run_module(L"__main__", 0)`.
unsafe fn run_importer() -> (c_int, bool) {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let result = (|| {
            let runpy = Object::own(ffi::PyImport_ImportModule(c"runpy".as_ptr()))?;
            let function = runpy.attribute(c"_run_module_as_main")?;
            let name = Object::decoded(b"__main__")?;
            let arguments = Object::own(ffi::PyTuple_Pack(2, name.raw(), ffi::Py_False()))?;
            Object::own(capi::PyObject_CallObject(function.raw(), arguments.raw()))
        })();
        if result.is_some() {
            return (0, false);
        }
        let interrupted = ffi::PyErr_Occurred() == ffi::PyExc_KeyboardInterrupt;
        print_error();
        (1, interrupted)
    }
}

/// Signals that have come meanwhile are dealt with, as `pymain_run_file` does before it runs a script. False if one has
/// raised an exception, which is told.
unsafe fn let_signals_in(mask: Option<signal::Set>) -> bool {
    mask.map(signal::set_mask);
    // SAFETY: the GIL is held.
    unsafe {
        let done = ffi::Py_MakePendingCalls() == 0;
        if !done {
            print_error();
        }
        done
    }
}

/// `_PyRun_SimpleFileObject`.
unsafe fn run_file(file: *mut FILE, path: &CStr, name: &Object, mask: Option<signal::Set>) -> (c_int, bool) {
    let mut flags = PyCompilerFlags { flags: 0, feature_version: quiet::minor_version() };
    // SAFETY: the GIL is held; live objects.
    unsafe {
        // Only a run of a script has a mask to put back.
        let compiled = mask.and_then(|_| codes::find(file, path));
        if compiled.is_none() && is_compiled(file, path) {
            if !let_signals_in(mask) {
                return (1, false);
            }
            counts::begin();
            let failed = capi::PyRun_AnyFileExFlags(file, path.as_ptr(), 1, &mut flags) != 0;
            let interrupted = failed && last_type_is_interrupt();
            return (failed.into(), interrupted);
        }
        let Some(module) = Object::share(ffi::PyImport_AddModule(c"__main__".as_ptr())) else { return (1, false) };
        let globals = ffi::PyModule_GetDict(module.raw());
        let own = compiled.as_ref().and_then(|kept| filename::own(&kept.code, name));
        let name = own.as_ref().unwrap_or(name);
        let mut named = false;
        if names::item(globals, &names::FILE).is_none() {
            if names::set_item(globals, &names::FILE, name.raw()).is_none()
                || names::set_item(globals, &names::CACHED, ffi::Py_None()).is_none()
            {
                return (1, false);
            }
            named = true;
        }
        let mut interrupted = false;
        let mut code = 1;
        let kept;
        if set_main_loader(globals, name).is_none() {
            kept = Some(module);
            ffi::PyErr_Clear();
            eprintln!("python: failed to set __main__.__loader__");
        } else if !let_signals_in(mask) {
            kept = Some(module);
        } else {
            let value = match compiled {
                Some(Kept { code, compiled }) => {
                    // pyrun_file, and run_mod (`Python/pythonrun.c`).
                    libc::fclose(file);
                    compiled.inspect(Compiled::set);
                    match capi::PySys_Audit(c"exec".as_ptr(), c"O".as_ptr(), code.raw()) {
                        0 => capi::PyEval_EvalCode(code.raw(), globals, globals),
                        _ => std::ptr::null_mut(),
                    }
                }
                None => {
                    counts::begin();
                    filename::one(globals, name, || {
                        capi::PyRun_FileExFlags(file, path.as_ptr(), FILE_INPUT, globals, globals, 1, &mut flags)
                    })
                }
            };
            interrupted = value.is_null() && ffi::PyErr_Occurred() == ffi::PyExc_KeyboardInterrupt;
            flush_streams();
            if value.is_null() {
                drop(module);
                print_error();
                // A script may have put another module in its place.
                let now = ffi::PyDict_GetItemString(ffi::PyImport_GetModuleDict(), c"__main__".as_ptr());
                let same = !now.is_null() && ffi::PyModule_Check(now) != 0 && ffi::PyModule_GetDict(now) == globals;
                named &= same;
                kept = None;
            } else {
                kept = Some(module);
                ffi::Py_DECREF(value);
                code = 0;
            }
        }
        if named {
            for key in [&names::FILE, &names::CACHED] {
                if ffi::PyDict_DelItem(globals, key.raw()) < 0 {
                    ffi::PyErr_Clear();
                }
            }
        }
        drop(kept);
        (code, interrupted)
    }
}

/// Runs a text as a script is run, in a namespace of its own. `None`: an error is set, or there is no memory.
pub fn rehearse(text: &[u8], globals: *mut ffi::PyObject) -> Option<()> {
    let mut flags = PyCompilerFlags { flags: 0, feature_version: quiet::minor_version() };
    let memory = spare::memory_file(c"pyzy-rehearsal")?;
    (pyzy_sys::file::write(memory.number(), text) == Ok(text.len())).then_some(())?;
    // SAFETY: the GIL is held; live objects; CPython closes the file.
    unsafe {
        let name = Object::decoded(b"<pyzy>")?;
        let file = libc::fdopen(memory.leak(), c"rb".as_ptr());
        if file.is_null() || is_compiled(file, c"<pyzy>") {
            return None;
        }
        set_main_loader(globals, &name)?;
        let path = c"<pyzy>".as_ptr();
        Object::own(filename::one(globals, &name, || {
            capi::PyRun_FileExFlags(file, path, FILE_INPUT, globals, globals, 1, &mut flags)
        }))?;
        flush_streams();
    }
    Some(())
}

/// `PyErr_Print`. SystemExit ends the process in here, after finalising.
unsafe fn print_error() {
    // SAFETY: the GIL is held and an error is set; the error is put back as it was.
    unsafe {
        if !ffi::PyErr_Occurred().is_null() && ffi::PyErr_ExceptionMatches(ffi::PyExc_SystemExit) != 0 {
            let (mut kind, mut value, mut trace) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
            #[allow(deprecated)]
            ffi::PyErr_Fetch(&mut kind, &mut value, &mut trace);
            let (code, message) = (exit_code(value), exit_message(value));
            let known = if message.is_some() { Some(1) } else { code };
            if let (Some(code), Some(0)) = (known, flag(&names::INSPECT)) {
                // handle_system_exit (`Python/pythonrun.c`): the exception goes first, and its traceback, with what it holds;
                // that before 3.12 behind the message.
                libc::fflush(stdout);
                if quiet::minor_version() >= 12 {
                    drop(Object::own(trace));
                    drop((Object::own(kind), Object::own(value)));
                    message.as_ref().inspect(|message| print_message(message));
                } else {
                    drop(Object::own(value));
                    message.as_ref().inspect(|message| print_message(message));
                    ffi::PyErr_Clear();
                    drop((Object::own(kind), Object::own(trace)));
                }
                drop(message);
                // What printing has raised is still there, and finalising comes upon it.
                if ffi::PyErr_Occurred().is_null() && quiet::is_silent() {
                    end(code, true);
                }
                warm::let_go();
                capi::Py_Exit(code);
            }
            #[allow(deprecated)]
            ffi::PyErr_Restore(kind, value, trace);
            if flag(&names::INSPECT) == Some(0) {
                // It ends in there.
                warm::let_go();
            }
        }
        capi::PyErr_Print();
    }
}

/// To `sys.stderr`, or to C's.
unsafe fn print_message(message: &Object) {
    // SAFETY: the GIL is held; live objects and C's stream.
    unsafe {
        match names::sys(&names::STDERR).filter(|stream| stream.raw() != ffi::Py_None()) {
            Some(stream) => {
                capi::PyFile_WriteObject(message.raw(), stream.raw(), PRINT_RAW);
            }
            None => {
                capi::PyObject_Print(message.raw(), stderr, PRINT_RAW);
                libc::fflush(stderr);
            }
        }
        capi::PySys_WriteStderr(c"\n".as_ptr());
    }
}

/// `Py_PRINT_RAW` (`Include/object.h`): `str`, not `repr`.
const PRINT_RAW: c_int = 1;

unsafe extern "C" {
    static stdin: *mut FILE;
    static stdout: *mut FILE;
    static stderr: *mut FILE;
}

/// The code of a plain SystemExit with nothing to print: None or a number.
unsafe fn exit_code(value: *mut ffi::PyObject) -> Option<c_int> {
    // SAFETY: the GIL is held; null or a live object.
    unsafe {
        let Some(mut value) = Object::share(value) else { return Some(0) };
        if ffi::Py_TYPE(value.raw()) == ffi::PyExc_SystemExit.cast() {
            value = value.attribute(c"code")?;
        }
        if value.raw() == ffi::Py_None() {
            return Some(0);
        }
        (ffi::PyLong_CheckExact(value.raw()) != 0).then_some(())?;
        let code = ffi::PyLong_AsLong(value.raw());
        if !ffi::PyErr_Occurred().is_null() {
            // Too large: versions differ in what they say.
            ffi::PyErr_Clear();
            return None;
        }
        Some(code as c_int)
    }
}

/// The text of a plain SystemExit that has one, where `sys.stderr` is a stream of CPython's own.
unsafe fn exit_message(value: *mut ffi::PyObject) -> Option<Object> {
    // SAFETY: the GIL is held; null or a live object.
    unsafe {
        let mut value = Object::share(value)?;
        if ffi::Py_TYPE(value.raw()) == ffi::PyExc_SystemExit.cast() {
            value = value.attribute(c"code")?;
        }
        (ffi::PyUnicode_CheckExact(value.raw()) != 0 && quiet::has_own_stderr()).then_some(value)
    }
}

/// `set_main_loader`: a `SourceFileLoader` from the import system's own bootstrap module.
unsafe fn set_main_loader(globals: *mut ffi::PyObject, name: &Object) -> Option<()> {
    // SAFETY: the GIL is held; live objects.
    unsafe {
        let modules = names::sys(&names::MODULES)?;
        let bootstrap = names::item(modules.raw(), &names::BOOTSTRAP)?;
        let class = names::attribute(&bootstrap, &names::SOURCE_LOADER)?;
        // Since 3.13 by a C string, which makes a string of its own.
        let main = match quiet::minor_version() {
            ..13 => Object::share(names::MAIN.raw())?,
            _ => Object::decoded(b"__main__")?,
        };
        let arguments = Object::own(ffi::PyTuple_Pack(2, main.raw(), name.raw()))?;
        let loader = Object::own(capi::PyObject_CallObject(class.raw(), arguments.raw()))?;
        names::set_item(globals, &names::LOADER, loader.raw())
    }
}

/// `maybe_pyc_file`.
unsafe fn is_compiled(file: *mut FILE, path: &CStr) -> bool {
    if path.to_bytes().ends_with(b".pyc") {
        return true;
    }
    // SAFETY: an open file; the buffer is two bytes.
    unsafe {
        let magic = magic() & 0xffff;
        let mut start = [0u8; 2];
        let got = libc::fread(start.as_mut_ptr().cast(), 1, 2, file);
        libc::rewind(file);
        got == 2 && i64::from(u16::from_le_bytes(start)) == magic
    }
}

/// `PyImport_GetMagicNumber`: importlib is asked once.
fn magic() -> i64 {
    static MAGIC: AtomicI64 = AtomicI64::new(0);
    let known = MAGIC.load(Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: the GIL is held.
    let magic = unsafe { ffi::PyImport_GetMagicNumber() };
    MAGIC.store(magic, Relaxed);
    magic
}

/// Looks up what every run needs.
pub fn prepare() {
    let _ = (magic(), SET_RUNNING.find(), SET_NOT_RUNNING.find());
}

/// From 3.12 on: "interpreter already running" (`Python/pystate.c`).
static SET_RUNNING: Symbol = Symbol::new(c"_PyInterpreterState_SetRunningMain");
static SET_NOT_RUNNING: Symbol = Symbol::new(c"_PyInterpreterState_SetNotRunningMain");

/// `flush_io`.
unsafe fn flush_streams() {
    // SAFETY: the GIL is held; the error indicator is saved and put back.
    unsafe {
        let (mut kind, mut value, mut trace) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        #[allow(deprecated)]
        ffi::PyErr_Fetch(&mut kind, &mut value, &mut trace);
        for name in [&names::STDERR, &names::STDOUT] {
            let flushed = names::sys(name)
                .and_then(|stream| names::attribute(&stream, &names::FLUSH))
                .and_then(|flush| Object::own(capi::PyObject_CallObject(flush.raw(), std::ptr::null_mut())));
            if flushed.is_none() {
                ffi::PyErr_Clear();
            }
        }
        #[allow(deprecated)]
        ffi::PyErr_Restore(kind, value, trace);
    }
}

/// A compiled script ran inside one CPython call; what it left in `sys` tells of a KeyboardInterrupt.
fn last_type_is_interrupt() -> bool {
    // SAFETY: comparing addresses.
    names::sys(&names::LAST_TYPE).is_some_and(|kind| unsafe { kind.raw() == ffi::PyExc_KeyboardInterrupt })
}

/// `pymain_repl`: a script that sets PYTHONINSPECT gets a prompt when standard input is a terminal.
unsafe fn offer_prompt(code: &mut c_int) {
    let mut flags = PyCompilerFlags { flags: 0, feature_version: quiet::minor_version() };
    // SAFETY: the GIL is held; C strings.
    unsafe {
        let value = libc::getenv(c"PYTHONINSPECT".as_ptr());
        if value.is_null() || *value == 0 || flag(&names::IGNORE_ENVIRONMENT) != Some(0) || libc::isatty(0) == 0 {
            return;
        }
        let failed = capi::PyRun_AnyFileExFlags(stdin, c"<stdin>".as_ptr(), 0, &mut flags);
        *code = (failed != 0).into();
    }
}

/// `sys.flags.NAME` as a number.
fn flag(name: &Name) -> Option<i64> {
    let value = names::attribute(&names::sys(&names::FLAGS)?, name);
    // SAFETY: the GIL is held.
    unsafe {
        match value {
            Some(value) => Some(ffi::PyLong_AsLong(value.raw())),
            None => {
                ffi::PyErr_Clear();
                None
            }
        }
    }
}

/// Is the script's directory kept out of `sys.path`? `config.safe_path` from 3.11 on, `config.isolated` before.
fn safe_path() -> Option<bool> {
    flag(&names::SAFE_PATH).or_else(|| flag(&names::ISOLATED)).map(|value| value != 0)
}

/// `pymain_sys_path_add_path0`, and what the interpreter remembers beside it.
unsafe fn insert_path(entry: &Object, place: Option<usize>) -> Option<()> {
    path0::set(place, entry);
    let path = names::sys(&names::PATH)?;
    // SAFETY: the GIL is held; live objects.
    (unsafe { ffi::PyList_Insert(path.raw(), 0, entry.raw()) } == 0).then_some(())
}

/// `config_run_filename_abspath` and `_Py_abspath` (`Python/fileutils.c`): the working directory in front, nothing
/// tidied up but, from 3.11 on, a lone dot; as it is if the working directory is unknown.
fn absolute(argument: &[u8]) -> Vec<u8> {
    if argument.first() == Some(&b'/') {
        return argument.to_vec();
    }
    match working_directory() {
        Some(mut path) if argument != b"." || quiet::minor_version() < 11 => {
            path.push(b'/');
            path.extend_from_slice(argument);
            path
        }
        Some(path) => path,
        None => argument.to_vec(),
    }
}

fn working_directory() -> Option<Vec<u8>> {
    let mut buffer = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: the buffer is writable for its length.
    let got = unsafe { libc::getcwd(buffer.as_mut_ptr().cast(), buffer.len()) };
    if got.is_null() {
        return None;
    }
    buffer.truncate(buffer.iter().position(|&b| b == 0)?);
    Some(buffer)
}

/// `_PyPathConfig_ComputeSysPath0` (`Python/pathconfig.c`) for a script: one link is followed by hand, then
/// `realpath`, then the directory.
fn directory_of(argument: &[u8]) -> Vec<u8> {
    let mut path = argument.to_vec();
    if let Ok(link) = pyzy_sys::file::readlink(argument) {
        match argument.iter().rposition(|&b| b == b'/') {
            Some(slash) if link.first() != Some(&b'/') && link.contains(&b'/') => {
                path.truncate(slash + 1);
                path.extend_from_slice(&link);
            }
            // "Link without path": CPython keeps the script's own path.
            _ if link.contains(&b'/') => path = link,
            _ => {}
        }
    }
    if let Some(real) = real_path(&path) {
        path = real;
    }
    match path.iter().rposition(|&b| b == b'/') {
        Some(0) => b"/".to_vec(),
        Some(slash) => path[..slash].to_vec(),
        None => Vec::new(),
    }
}

fn real_path(path: &[u8]) -> Option<Vec<u8>> {
    let path = CString::new(path).ok()?;
    let mut buffer = [const { MaybeUninit::<libc::c_char>::uninit() }; libc::PATH_MAX as usize];
    // SAFETY: the buffer is PATH_MAX long, as realpath wants it.
    unsafe {
        let got = libc::realpath(path.as_ptr(), buffer.as_mut_ptr().cast());
        (!got.is_null()).then(|| CStr::from_ptr(got).to_bytes().to_vec())
    }
}
