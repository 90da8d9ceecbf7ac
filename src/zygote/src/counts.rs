//! The collector's counts, as a cold start leaves them for a script.
//!
//! Owns where they lie, what they shall be, and how that is found out: how many objects were made since the last collection decides
//! when the next one comes, and with it in which order destructors of cycles run. A cold start always comes to the same
//! numbers. Once for each zygote the real interpreter says which, and rehearsals which numbers must be set before a
//! script is compiled, and how many freed objects must lie ready, for it to see the same.

use crate::capi::{self, Object};
use crate::quiet::layout::Layout;
use crate::run::Script;
use crate::spare;
use crate::worker::Prepared;
use pyo3::ffi;
use pyzy_core::start::{NO_SCRIPT, Start};
use pyzy_sys::file::{self, Fd};
use pyzy_sys::{process, signal};
use std::ffi::CString;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// How long a start may take, nanoseconds.
const PATIENCE: i64 = 10_000_000_000;
/// A count from which one can tell how many there were before.
const FEW: i32 = 40;
/// How often it is tried to come to the numbers of a cold start.
const ATTEMPTS: usize = 6;

/// Objects made and lists collected since (`struct gc_generation`), and what `gc.get_stats` tells: collections, collected,
/// uncollectable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    counts: [i32; 3],
    statistics: [i64; 9],
}

/// Where the interpreter has them.
struct Place {
    /// A threshold, and a count behind it, for each list.
    lists: [usize; 3],
    statistics: usize,
}

static PLACE: AtomicPtr<Place> = AtomicPtr::new(std::ptr::null_mut());
/// What a run begins with.
static BEGINNING: AtomicPtr<Counts> = AtomicPtr::new(std::ptr::null_mut());

/// How many numbers there are.
const NUMBERS: usize = 12;
/// Their bytes.
const BYTES: usize = NUMBERS * 8;

impl Counts {
    /// From what `bytes` made.
    fn from_bytes(bytes: &[u8; BYTES]) -> Option<Counts> {
        let numbers = bytes.chunks_exact(8).map(|b| b.try_into().map_or(0, i64::from_le_bytes));
        Counts::from_numbers(&numbers.collect::<Vec<_>>())
    }

    /// To be kept.
    fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let counts = self.counts.iter().map(|&count| i64::from(count));
        for (place, number) in bytes.chunks_exact_mut(8).zip(counts.chain(self.statistics)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// From numbers, in the order of the fields.
    fn from_numbers(numbers: &[i64]) -> Option<Counts> {
        let (counts, statistics) = numbers.split_at_checked(3)?;
        let mut made = Counts { counts: [0; 3], statistics: statistics.try_into().ok()? };
        for (place, &number) in made.counts.iter_mut().zip(counts) {
            *place = number.try_into().ok()?;
        }
        Some(made)
    }

    fn place() -> Option<&'static Place> {
        // SAFETY: stored by `prepare`, never freed.
        unsafe { PLACE.load(Relaxed).as_ref() }
    }

    /// As they are.
    pub fn now() -> Option<Counts> {
        let place = Counts::place()?;
        // SAFETY: measured by `quiet::layout`; the collector's state lives on.
        unsafe {
            let counts = place.lists.map(|list| (list as *const [i32; 2]).read()[1]);
            Some(Counts { counts, statistics: (place.statistics as *const [i64; 9]).read() })
        }
    }

    /// Sets them.
    pub fn set(&self) {
        if let Some(place) = Counts::place() {
            // SAFETY: as above; the GIL is held, and nobody collects.
            unsafe {
                for (list, count) in place.lists.iter().zip(self.counts) {
                    (*(*list as *mut [i32; 2]))[1] = count;
                }
                (place.statistics as *mut [i64; 9]).write(self.statistics);
            }
        }
    }

    /// What must be set in place of this, which has led to `got`, to come to `wanted`.
    fn corrected(mut self, got: Counts, wanted: Counts, threshold: i32) -> Counts {
        for at in 0..3 {
            self.counts[at] += wanted.counts[at] - got.counts[at];
        }
        for at in 0..9 {
            self.statistics[at] += wanted.statistics[at] - got.statistics[at];
        }
        if self.counts[0] < 0 {
            // There was a collection meanwhile.
            self.counts[0] += threshold + 1;
            self.counts[1] -= 1;
            self.statistics[0] -= 1;
        }
        self
    }
}

/// Notes where they are, if that is known.
pub fn prepare(layout: Option<&Layout>) {
    if let Some(layout) = layout.filter(|layout| layout.gc_statistics != 0) {
        let place = Place { lists: layout.heads.map(|head| head + 16), statistics: layout.gc_statistics };
        PLACE.store(Box::into_raw(Box::new(place)), Relaxed);
    }
}

/// A script is about to be compiled.
pub fn begin() {
    beginning().inspect(Counts::set);
}

/// What there is when a script is about to be compiled; `None` where that is not known.
pub fn beginning() -> Option<Counts> {
    // SAFETY: stored by `intend`; one thread.
    unsafe { BEGINNING.load(Relaxed).as_ref() }.copied()
}

/// Does what a cold run would not do, without a trace in the counts.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let before = Counts::now();
    let done = work();
    before.inspect(Counts::set);
    done
}

fn intend(counts: Option<Counts>) {
    let new = counts.map_or(std::ptr::null_mut(), |counts| Box::into_raw(Box::new(counts)));
    let old = BEGINNING.swap(new, Relaxed);
    if !old.is_null() {
        // SAFETY: stored above, and nobody has it any more.
        drop(unsafe { Box::from_raw(old) });
    }
}

/// Objects of kinds that CPython sets aside when they are freed, to use them again: they are not counted when they are made.
/// Dictionaries, lists, and tuples of one to nineteen items.
type Aside = [i64; KINDS];

const KINDS: usize = 21;

/// What was told of a script's first line.
#[derive(Clone, Copy)]
struct Told {
    counts: Counts,
    aside: Aside,
    /// The script has made some more objects before.
    more: bool,
}

/// What a cold start leaves.
static COLD: AtomicPtr<Told> = AtomicPtr::new(std::ptr::null_mut());

/// Asks the real interpreter, which starts meanwhile. `before` is the environment before this one started. Where modules are kept
/// warm it is not asked: an import that is handed over makes no objects.
pub fn ask<'a>(start: &'a Start, before: &'a [CString]) -> Option<Question<'a>> {
    let is_plain = start.preload.is_empty() && start.own_script.is_empty() && start.learn.is_none();
    is_plain.then_some(())?;
    let asked = Asked::new(false)?;
    let pid = asked.start(start, before)?;
    Some(Question { start, before, asked, pid })
}

/// An interpreter that has been asked.
pub struct Question<'a> {
    start: &'a Start<'a>,
    before: &'a [CString],
    asked: Asked,
    pid: i32,
}

impl Question<'_> {
    /// In the zygote, before anything is forked for a caller: hears the answer.
    pub fn hear(self) {
        let told = self.asked.told(self.pid).filter(|_| Counts::place().is_some());
        // A count near zero says little: objects that are freed then are not counted.
        let more = || {
            let asked = Asked::new(true)?;
            let told = asked.told(asked.start(self.start, self.before)?)?;
            Some(Told { more: true, ..told })
        };
        let told = told.and_then(|told| if told.counts.counts[0] < FEW { more() } else { Some(told) });
        if let Some(told) = told {
            COLD.store(Box::into_raw(Box::new(told)), Relaxed);
        }
    }
}

/// In the zygote, and in its child before it fills the holes of its memory: comes to the numbers of a cold start. Where that fails they are what they come to.
pub fn settle(prepared: &Prepared) {
    intend(find(prepared));
}

fn find(prepared: &Prepared) -> Option<Counts> {
    // SAFETY: stored by `ask`, never freed.
    let cold = unsafe { COLD.load(Relaxed).as_ref() }?;
    // SAFETY: as in `Counts::now`.
    let threshold = unsafe { (Counts::place()?.lists[0] as *const i32).read() };
    let asked = Asked::new(cold.more)?;
    let mut last = None;
    let mut guess = beginning().unwrap_or(cold.counts);
    for _ in 0..ATTEMPTS {
        intend(Some(guess));
        let got = asked.rehearse(prepared)?;
        // What cannot be changed is made by the run itself.
        let is_settled = got.aside == cold.aside || last == Some(got.aside);
        last = Some(got.aside);
        if !is_settled {
            set_aside(got.aside, cold.aside);
        } else if got.counts == cold.counts {
            return Some(guess);
        } else {
            guess = guess.corrected(got.counts, cold.counts, threshold);
        }
    }
    Some(guess)
}

/// So many more, or less, of each kind.
fn set_aside(now: Aside, wanted: Aside) {
    const MOST: i64 = 1000;
    const MARGIN: i64 = 20;
    for (kind, (now, wanted)) in now.into_iter().zip(wanted).enumerate() {
        if now > wanted {
            for object in (wanted..now.min(wanted + MOST)).filter_map(|_| make(kind)) {
                // Nobody sees it any more.
                // SAFETY: a new object, tracked.
                unsafe { ffi::PyObject_GC_UnTrack(object.into_raw().cast()) };
            }
        } else if now < wanted {
            // How many there are now is not known: there will be too many.
            let _all: Vec<_> = (0..wanted.min(MOST) + MARGIN).map(|_| make(kind)).collect();
        }
    }
}

/// An object of a kind.
fn make(kind: usize) -> Option<Object> {
    // SAFETY: the GIL is held.
    unsafe {
        Object::own(match kind {
            0 => ffi::PyDict_New(),
            1 => ffi::PyList_New(0),
            _ => ffi::PyTuple_New(kind as isize - 1),
        })
    }
}

/// What `sys._debugmallocstats` has told (`_PyDebugAllocatorStats`, `Objects/obmalloc.c`): a number, "free", a size for tuples,
/// and a name.
fn aside_from(text: &str) -> Aside {
    let mut aside = [0; KINDS];
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<i64>().ok()) else { continue };
        if words.next() != Some("free") {
            continue;
        }
        let kind = match words.next() {
            Some("PyDictObjects") => Some(0),
            Some("PyListObjects") => Some(1),
            Some(size) => {
                let size = size.strip_suffix("-sized").and_then(|size| size.parse::<usize>().ok());
                size.filter(|&size| size > 0).map(|size| size + 1)
            }
            None => None,
        };
        if let Some(place) = kind.and_then(|kind| aside.get_mut(kind)) {
            *place = number;
        }
    }
    aside
}

/// The text in a file in memory.
fn text_of(file: &Fd) -> Option<String> {
    String::from_utf8(spare::read_back(file)).ok()
}

/// What there is when a script has been compiled: counts, and what lies at hand.
#[derive(Clone, Copy)]
pub struct Compiled {
    counts: Counts,
    aside: Aside,
}

impl Compiled {
    /// The bytes of one.
    pub const BYTES: usize = BYTES + KINDS * 4;

    /// As it is, in a process of its own that has just compiled; `None` where it is not known what there was before.
    pub fn now() -> Option<Compiled> {
        beginning()?;
        let counts = Counts::now()?;
        let report = spare::memory_file(c"pyzy-counts")?;
        // SAFETY: the GIL is held; nobody needs standard error here.
        unsafe {
            (libc::dup2(report.number(), 2) == 2).then_some(())?;
            let tell = capi::sys(c"_debugmallocstats")?;
            Object::own(ffi::PyObject_CallObject(tell.raw(), std::ptr::null_mut()))?;
        }
        Some(Compiled { counts, aside: aside_from(&text_of(&report)?) })
    }

    /// Comes to it, in a run that has found its code.
    pub fn set(&self) {
        const MOST: i64 = 4000;
        // SAFETY: stored by `Question::hear`, never freed.
        let before = unsafe { COLD.load(Relaxed).as_ref() }.map_or([0; KINDS], |cold| cold.aside);
        for (kind, (&wanted, before)) in self.aside.iter().zip(before).enumerate() {
            if wanted > before {
                // First those are taken that lie there: so many there will be.
                let _all: Vec<_> = (0..wanted.min(MOST)).map(|_| make(kind)).collect();
            }
        }
        self.counts.set();
    }

    /// To be kept.
    pub fn bytes(&self) -> Vec<u8> {
        let aside = self.aside.iter().flat_map(|&number| (number as u32).to_le_bytes());
        self.counts.bytes().into_iter().chain(aside).collect()
    }

    /// From what `bytes` made.
    pub fn from_bytes(bytes: &[u8]) -> Option<Compiled> {
        let (counts, rest) = bytes.split_first_chunk()?;
        let mut aside = [0; KINDS];
        for (place, number) in aside.iter_mut().zip(rest.chunks_exact(4)) {
            *place = u32::from_le_bytes(number.try_into().ok()?).into();
        }
        (rest.len() == KINDS * 4).then_some(Compiled { counts: Counts::from_bytes(counts)?, aside })
    }
}

/// The script that tells, and where it does.
struct Asked {
    script: Fd,
    counts: Fd,
    aside: Fd,
}

impl Asked {
    fn new(more: bool) -> Option<Asked> {
        let more = if more { "k = [[] for n in range(300)]\n" } else { "" };
        let file = || spare::memory_file(c"pyzy-counts");
        let asked = Asked { script: file()?, counts: file()?, aside: file()? };
        let text = format!(
            "import sys\nsys._debugmallocstats()\n{more}import gc\nn = [*gc.get_count()]\n\
             for s in gc.get_stats(): n += s.values()\nimport posix\n\
             posix.pwrite({}, ' '.join(map(str, n)).encode(), 0)\nposix._exit(0)\n",
            asked.counts.number()
        );
        (file::write(asked.script.number(), text.as_bytes()) == Ok(text.len())).then_some(asked)
    }

    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.script.number())
    }

    /// Starts the real interpreter, as this one was started; its process id.
    fn start(&self, start: &Start, before: &[CString]) -> Option<i32> {
        let (line, path) = (file::read_file(b"/proc/self/cmdline", 1 << 20).ok()?, self.path());
        let words = line.strip_suffix(b"\0")?.split(|&b| b == 0);
        let words = words.map(|word| if word == NO_SCRIPT.as_bytes() { path.as_bytes() } else { word });
        let argv: Vec<CString> = words.map(CString::new).collect::<Result<_, _>>().ok()?;
        let program = CString::new(start.interpreter).ok()?;
        let table =
            |list: &[CString]| list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
        let (argv_table, environ) = (table(&argv), table(before));
        // SAFETY: the child of the fork makes system calls only, until it execs or ends; C strings in null-terminated tables.
        let pid = unsafe {
            let pid = libc::fork();
            if pid == 0 {
                let image = start.image.map_or(-1, |image| image.lock);
                for ours in [start.descriptor, start.log, image] {
                    libc::fcntl(ours, libc::F_SETFD, libc::FD_CLOEXEC);
                }
                for fd in [&self.script, &self.counts] {
                    libc::fcntl(fd.number(), libc::F_SETFD, 0);
                }
                libc::dup2(self.aside.number(), 2);
                let _ = process::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize);
                let _ = signal::set_mask(0);
                libc::execve(program.as_ptr(), argv_table.as_ptr(), environ.as_ptr());
                libc::_exit(127)
            }
            pid
        };
        (pid > 0).then_some(pid)
    }

    /// What the script says here.
    fn rehearse(&self, prepared: &Prepared) -> Option<Told> {
        for told in [&self.counts, &self.aside] {
            file::truncate(told.number(), 0).ok()?;
        }
        let path = self.path();
        // SAFETY: the zygote has one thread, which holds the GIL.
        let pid = unsafe {
            spare::fork_bound(|| {
                libc::dup2(self.aside.number(), 2);
                libc::lseek(2, 0, libc::SEEK_SET);
                if prepared.rehearse().is_some()
                    && let Some(script) = Script::prepare(path.as_bytes(), prepared.path0)
                {
                    script.rehearse();
                }
            })
        };
        self.told(pid)
    }

    fn told(&self, pid: i32) -> Option<Told> {
        (spare::await_end(pid, PATIENCE)? == 0).then_some(())?;
        let numbers = text_of(&self.counts)?;
        let numbers: Vec<i64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        let aside = aside_from(&text_of(&self.aside)?);
        Some(Told { counts: Counts::from_numbers(&numbers)?, aside, more: false })
    }
}
