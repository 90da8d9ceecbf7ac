//! What Python knows of the caller: environment, standard streams, arguments, ignored signals.
//!
//! Owns what CPython does while it starts with the descriptors and variables it
//! is given (`Modules/posixmodule.c`, convertenviron; `Python/pylifecycle.c`,
//! init_sys_streams), done again for whoever takes over. Streams are made in
//! advance for the kinds of descriptors that behave alike; what is made is the same.

use crate::capi::{self, Object};
use crate::names::{self, Name};
use libc::c_char;
use pyo3::ffi::{self, PyObject};
use pyzy_sys::file::{self, Fd, Stat};
use pyzy_sys::{Errno, signal};
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

const NAMES: [[&Name; 2]; 3] = [
    [&names::STDIN, &names::UNDER_STDIN],
    [&names::STDOUT, &names::UNDER_STDOUT],
    [&names::STDERR, &names::UNDER_STDERR],
];

/// Prepared once, for all workers.
pub struct Adopter {
    /// `posix.environ`, borrowed from its module: it must end when cold it would.
    environ: *mut PyObject,
    /// `open_stream` of python/worker.py
    open: Object,
    ignore: Object,
    /// Some module at start keeps state of its process.
    settle: Option<Object>,
    has_orig_argv: bool,
}

/// Streams made in advance; null once they are not to be used any more.
static READY: AtomicPtr<Vec<Ready>> = AtomicPtr::new(std::ptr::null_mut());

/// The streams of the zygote, which nobody sees any more: taking them apart would cost every run something.
static REPLACED: AtomicPtr<Vec<Object>> = AtomicPtr::new(std::ptr::null_mut());

struct Ready {
    kind: Kind,
    streams: [Option<Object>; 3],
}

/// Descriptors for which streams behave the same, whichever it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A pipe or socket: not seekable, no terminal.
    Pipe,
    /// `/dev/null`.
    Null,
    /// A regular file, at its beginning.
    File,
}

impl Kind {
    /// The kind of an open descriptor. Streams remember the size of its blocks (`Modules/_io/fileio.c`).
    fn of(fd: i32, stat: &Stat) -> Option<Kind> {
        const NULL: u64 = 1 << 32 | 3;
        if stat.block != 4096 {
            return None;
        }
        match stat.kind() {
            libc::S_IFIFO | libc::S_IFSOCK => Some(Kind::Pipe),
            libc::S_IFCHR if stat.device == NULL => Some(Kind::Null),
            // SAFETY: takes numbers.
            libc::S_IFREG if unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) } == 0 => Some(Kind::File),
            _ => None,
        }
    }
}

impl Adopter {
    /// `globals` are those of python/worker.py.
    pub fn new(globals: &Object) -> Option<Adopter> {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let named = |name: &CStr| Object::share(ffi::PyDict_GetItemString(globals.raw(), name.as_ptr()));
            let posix = Object::own(ffi::PyImport_ImportModule(c"posix".as_ptr()))?;
            let settle = named(c"settle")?;
            let keeps = Object::own(ffi::PyObject_CallObject(named(c"keeps_state")?.raw(), std::ptr::null_mut()))?;
            let adopter = Adopter {
                environ: posix.attribute(c"environ")?.raw(),
                open: named(c"open_stream")?,
                ignore: named(c"ignore")?,
                settle: (keeps.raw() == ffi::Py_True()).then_some(settle),
                has_orig_argv: capi::sys(c"orig_argv").is_some(),
            };
            Some(adopter)
        }
    }

    /// Makes streams in advance.
    pub fn make_ready(&self) {
        let kinds = [Kind::Pipe, Kind::Null, Kind::File];
        let ready = kinds.into_iter().filter_map(|kind| self.make(kind)).collect();
        READY.store(Box::into_raw(Box::new(ready)), Relaxed);
        // SAFETY: the GIL is held.
        unsafe { ffi::PyErr_Clear() };
    }

    /// Makes streams for descriptors of one kind, which stand at 0 to 2 meanwhile.
    fn make(&self, kind: Kind) -> Option<Ready> {
        let kept: Vec<Fd> = (0..3)
            .map(|fd| file::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3).map(|n| Fd::own(n as i32)))
            .collect::<Result<_, _>>()
            .ok()?;
        let made = self.make_at_standard(kind);
        for (fd, kept) in kept.iter().enumerate() {
            let _ = file::duplicate_onto(kept.number(), fd as i32);
        }
        made
    }

    fn make_at_standard(&self, kind: Kind) -> Option<Ready> {
        for fd in 0..3 {
            let opened = match kind {
                Kind::Null => file::open(b"/dev/null", libc::O_RDWR, 0).ok()?,
                Kind::File => crate::spare::memory_file(c"pyzy-stream")?,
                Kind::Pipe => {
                    let mut ends = [0; 2];
                    // SAFETY: two numbers are written.
                    (unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } == 0).then_some(())?;
                    let [read, write] = ends.map(Fd::own);
                    if fd == 0 { read } else { write }
                }
            };
            file::duplicate_onto(opened.number(), fd).ok()?;
            if Kind::of(fd, &file::fstat(fd).ok()?) != Some(kind) {
                return None;
            }
        }
        let streams = [0, 1, 2].map(|fd| self.open(fd));
        streams.iter().all(Option::is_some).then_some(Ready { kind, streams })
    }

    /// `create_stdio` for a descriptor.
    fn open(&self, fd: i32) -> Option<Object> {
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let number = Object::own(ffi::PyLong_FromLong(fd.into()))?;
            let arguments = Object::own(ffi::PyTuple_Pack(1, number.raw()))?;
            Object::own(ffi::PyObject_CallObject(self.open.raw(), arguments.raw()))
        }
    }

    /// Makes the caller's state Python's.
    pub fn adopt(&self, argv: &[&[u8]], script: usize, ignored: signal::Set) -> Option<()> {
        self.adopt_environ()?;
        // SAFETY: the GIL is held; live objects.
        unsafe {
            if ignored != 0 {
                let numbers = Object::own(ffi::PyList_New(0))?;
                for number in (1..=64).filter(|&n| ignored & signal::only(n) != 0) {
                    let number = Object::own(ffi::PyLong_FromLong(number.into()))?;
                    ffi::PyList_Append(numbers.raw(), number.raw());
                }
                let arguments = Object::own(ffi::PyTuple_Pack(1, numbers.raw()))?;
                Object::own(ffi::PyObject_CallObject(self.ignore.raw(), arguments.raw()))?;
            }
            let mut replaced = Vec::with_capacity(NAMES.len());
            for (fd, pair) in (0..).zip(NAMES) {
                let stream = self.stream(fd)?;
                replaced.extend(names::sys(pair[0]));
                for name in pair {
                    names::set_sys(name, &stream)?;
                }
            }
            REPLACED.store(Box::into_raw(Box::new(replaced)), Relaxed);
            set_list(&names::ARGV, &argv[script..])?;
            if self.has_orig_argv {
                set_list(&names::ORIG_ARGV, argv)?;
            }
            if let Some(settle) = &self.settle {
                Object::own(ffi::PyObject_CallObject(settle.raw(), std::ptr::null_mut()))?;
            }
        }
        Some(())
    }

    /// The stream for a standard descriptor, made in advance if it is of a usual kind; None where it is closed.
    fn stream(&self, fd: i32) -> Option<Object> {
        let stat = match file::fstat(fd) {
            Ok(stat) => stat,
            // SAFETY: None lives for ever.
            Err(Errno(libc::EBADF)) => return unsafe { Object::share(ffi::Py_None()) },
            Err(_) => return None,
        };
        // SAFETY: stored by `new`; one thread.
        if let (Some(kind), Some(ready)) = (Kind::of(fd, &stat), unsafe { READY.load(Relaxed).as_mut() })
            && let Some(ready) = ready.iter_mut().find(|r| r.kind == kind)
            && let Some(stream) = ready.streams[fd as usize].take()
        {
            return Some(stream);
        }
        self.open(fd)
    }

    /// convertenviron: the first of two equal names wins, an entry without '=' is left out.
    fn adopt_environ(&self) -> Option<()> {
        unsafe extern "C" {
            static environ: *const *const c_char;
        }
        // SAFETY: the GIL is held; a null-terminated table of C strings; one thread.
        unsafe {
            ffi::PyDict_Clear(self.environ);
            let mut at = environ;
            while !at.is_null() && !(*at).is_null() {
                let entry = CStr::from_ptr(*at).to_bytes();
                at = at.add(1);
                let Some(equals) = entry.iter().position(|&b| b == b'=') else { continue };
                let bytes = |part: &[u8]| {
                    Object::own(ffi::PyBytes_FromStringAndSize(part.as_ptr().cast(), part.len() as isize))
                };
                let (name, value) = (bytes(&entry[..equals])?, bytes(&entry[equals + 1..])?);
                if ffi::PyDict_Contains(self.environ, name.raw()) == 0 {
                    ffi::PyDict_SetItem(self.environ, name.raw(), value.raw());
                }
            }
        }
        Some(())
    }
}

/// Gives a list of `sys` other contents: who keeps the list has the run's.
fn set_list(name: &Name, items: &[&[u8]]) -> Option<()> {
    let list = Object::list(items)?;
    match names::sys(name) {
        Some(there) if there.exchange(&list) => Some(()),
        _ => names::set_sys(name, &list),
    }
}

/// Every stream that was made in advance and not used, or replaced.
pub fn each_kept(mut act: impl FnMut(&Object)) {
    // SAFETY: stored above, and freed only where they are taken away; one thread.
    unsafe {
        let ready = READY.load(Relaxed).as_ref().into_iter().flatten();
        ready.flat_map(|ready| ready.streams.iter().flatten()).for_each(&mut act);
        REPLACED.load(Relaxed).as_ref().into_iter().flatten().for_each(act);
    }
}

/// Drops what was made in advance and not used, and what was replaced. Somebody is about to look at all objects there
/// are.
pub fn drop_unused() {
    let ready = READY.swap(std::ptr::null_mut(), Relaxed);
    let replaced = REPLACED.swap(std::ptr::null_mut(), Relaxed);
    // SAFETY: stored above, taken once; the GIL is held.
    unsafe {
        if !ready.is_null() {
            drop(Box::from_raw(ready));
        }
        if !replaced.is_null() {
            drop(Box::from_raw(replaced));
        }
    }
}
