//! The restored interpreter's first steps: from the launcher's jump to the script.
//!
//! Owns what must be made this process's own once its memory is there: what the
//! kernel knows of its thread, signals, the environment, the caller's
//! arguments. What the kernel knew of the captured process is noted before the
//! capture (`note`), so that it lies in the image. Until the hand-off every
//! failure ends in the launcher's `fail`, which runs the real interpreter.

use crate::cellar::{Cellar, Room};
use crate::image;
use crate::stack;
use crate::worker::{self, Prepared};
use pyo3::ffi;
use pyzy_core::image::Call;
use pyzy_sys::file;
use pyzy_sys::memory::{self, Layout};
use pyzy_sys::process;
use pyzy_sys::signal::{self, Action};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering::Relaxed};

/// This is a trial of the image.
static TRIAL: AtomicBool = AtomicBool::new(false);

/// The descriptor that a rehearsal reports to; -1 in a run.
static REPORT: AtomicI32 = AtomicI32::new(-1);
/// The image's word that says that it is worn; null in a trial, and in a fork.
static WORN: AtomicPtr<u64> = AtomicPtr::new(std::ptr::null_mut());
/// What was noted before the capture.
static NOTES: AtomicPtr<Notes> = AtomicPtr::new(std::ptr::null_mut());

/// What the kernel knew of the captured process and must know of this one.
struct Notes {
    prepared: *const Prepared,
    /// Where the thread's number lies (`man 2 set_tid_address`); glibc keeps it there as well.
    thread_number: usize,
    /// `man 2 set_robust_list`: head and length.
    robust: (usize, usize),
    /// The area for restartable sequences, if glibc registered one.
    sequences: Option<usize>,
    /// Signals whose action is not the default.
    actions: Vec<(i32, Action)>,
    /// The alternate signal stack, if there is one (faulthandler).
    stack: Option<libc::stack_t>,
    /// Where CPython keeps the thread's number, from 3.11 on (`PyThreadState.native_thread_id`).
    python_number: Option<usize>,
    /// The soft limit of the stack when the C library started.
    limit: u64,
    /// Where the main thread goes when it ends alone.
    cellar: Option<Cellar>,
}

/// Where the restored interpreter begins.
pub fn address() -> usize {
    enter as *const () as usize
}

/// Notes what the kernel knows of this process, for those that will be restored from its memory.
pub fn note(prepared: &Prepared) -> Result<(), String> {
    let mut thread_number = 0usize;
    const GET_TID_ADDRESS: i32 = 40;
    process::prctl(GET_TID_ADDRESS, &raw mut thread_number as usize)
        .map_err(|_| "the kernel lacks CONFIG_CHECKPOINT_RESTORE (PR_GET_TID_ADDRESS)")?;
    let (mut head, mut length) = (0usize, 0usize);
    // SAFETY: both are writable; 0 is this thread.
    let got = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut length) };
    if got != 0 {
        return Err("the kernel does not tell its robust list".into());
    }
    // SAFETY: an all-zero `stack_t` is one; asks only.
    let stack = unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        (libc::sigaltstack(std::ptr::null(), &mut stack) == 0 && stack.ss_flags & libc::SS_DISABLE == 0)
            .then_some(stack)
    };
    let actions =
        (1..=64).filter_map(|n| Some((n, signal::action(n).ok()?))).filter(|(_, a)| !a.is_default()).collect();
    let limit = process::limit(libc::RLIMIT_STACK as usize).map_err(|e| e.to_string())?.soft;
    let notes = Notes {
        prepared,
        thread_number,
        robust: (head, length),
        sequences: sequences(),
        actions,
        stack,
        python_number: python_number(),
        limit,
        cellar: stack::stack_end().and_then(|end| Cellar::find(end as usize)),
    };
    NOTES.store(Box::into_raw(Box::new(notes)), Relaxed);
    Ok(())
}

/// The one word of the thread's state that holds the thread's number; None if there is none, or more.
fn python_number() -> Option<usize> {
    const WORDS: usize = 64;
    // SAFETY: the GIL is held; the state is longer than that in every CPython since 3.9 (`Include/cpython/pystate.h`).
    unsafe {
        let state = ffi::PyThreadState_Get() as usize;
        let number = libc::syscall(libc::SYS_gettid) as usize;
        let mut found = (0..WORDS).map(|at| state + 8 * at).filter(|&at| memory::read_word(at) == number);
        found.next().filter(|_| found.next().is_none())
    }
}

/// Where glibc has registered restartable sequences, from 2.35 on (`sysdeps/nptl/dl-tls_init_tp.c`).
fn sequences() -> Option<usize> {
    // SAFETY: both symbols, where they are, are of these types.
    unsafe {
        let symbol = |name: &CStr| Some(libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr())).filter(|at| !at.is_null());
        let size = *symbol(c"__rseq_size")?.cast::<u32>();
        let offset = *symbol(c"__rseq_offset")?.cast::<isize>();
        (size > 0).then(|| pyzy_sys::arch::thread_pointer().wrapping_add_signed(offset))
    }
}

extern "C" fn enter(call: &Call) -> ! {
    // SAFETY: the launcher's own function; nothing has been handed off.
    let fail: extern "C" fn() -> ! = unsafe { std::mem::transmute(call.fail) };
    // SAFETY: stored before the capture, never freed.
    let Some(notes) = (unsafe { NOTES.load(Relaxed).as_ref() }) else { fail() };
    if notes.take_thread().is_none() {
        fail()
    }
    REPORT.store(call.report as i32, Relaxed);
    WORN.store(call.worn as *mut u64, Relaxed);
    // SAFETY: `note` was given what lives for ever; the launcher's tables live on in its memory.
    let (prepared, argv) = unsafe {
        worker::take_environ(call.environ as *mut *mut libc::c_char);
        let texts = (0..call.argc).map(|i| memory::read_word(call.argv + 8 * i));
        let argv: Vec<&[u8]> = texts.map(|at| CStr::from_ptr(at as *const libc::c_char).to_bytes()).collect();
        (&*notes.prepared, argv)
    };
    TRIAL.store(argv.first() == Some(&pyzy_core::image::TRIAL.as_bytes()), Relaxed);
    let mut room = Room::new();
    if let Some(cellar) = &notes.cellar {
        // SAFETY: this function does not return.
        unsafe { cellar.lay(&mut room) };
    }
    let ignored = signal::ignored();
    if process::limit(libc::RLIMIT_STACK as usize).map(|l| l.soft) != Ok(notes.limit) {
        worker::adopt_stack_limit();
    }
    let Some(script) = worker::enter(&argv, call.script, ignored, prepared) else { fail() };
    // Last, because some of it would outlive an exec. From the first handler on signals wait for the script (`Script::run_and_exit`).
    let Ok(mask) = signal::set_mask(signal::EVERY) else { fail() };
    if notes.take_signals(ignored).is_none() {
        let _ = signal::set_mask(mask);
        fail()
    }
    // SAFETY: the launcher's own function.
    let commit: extern "C" fn() = unsafe { std::mem::transmute(call.commit) };
    commit();
    // SAFETY: of the launcher only its tables are used from here on, if there are any.
    unsafe { leave_launcher(call) };
    script.run_and_exit(mask)
}

/// The launcher goes, and `/proc/self/exe` becomes the interpreter, where the kernel allows that: it takes
/// CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in this user namespace, and that the old file is mapped no more
/// (`kernel/sys.c`, prctl_set_mm_map; `kernel/fork.c`, replace_mm_exe_file).
///
/// # Safety
/// The hand-off has happened.
unsafe fn leave_launcher(call: &Call) {
    let [start, end] = call.launcher;
    // SAFETY: the launcher's call; the path is the launcher's, the layout lies on the stack.
    unsafe {
        let path = (call.interpreter != 0).then(|| CStr::from_ptr(call.interpreter as *const libc::c_char).to_bytes());
        let file = path.and_then(|path| file::open(path, libc::O_RDONLY | libc::O_NOCTTY, 0).ok());
        if memory::unmap(start, end).is_err() {
            return;
        }
        if let Some(file) = file {
            let layout = *(call.layout as *const Layout);
            // The auxiliary vector is as it was set; the heap has grown since.
            let brk = [layout.brk[0], libc::sbrk(0) as u64];
            let _ = memory::set_layout(&Layout { brk, auxv: 0, auxv_size: 0, exe: file.number() as u32, ..layout });
        }
    }
}

impl Notes {
    /// This thread becomes the one that the C library knows.
    fn take_thread(&self) -> Option<()> {
        // SAFETY: addresses inside the C library's control block of this thread, as they were in the captured process.
        unsafe {
            let number = libc::syscall(libc::SYS_set_tid_address, self.thread_number);
            (self.thread_number as *mut i32).write_volatile(number as i32);
            if let Some(at) = self.python_number {
                memory::write_word(at, number as usize);
            }
            if libc::syscall(libc::SYS_set_robust_list, self.robust.0, self.robust.1) != 0 {
                return None;
            }
            if let Some(area) = self.sequences {
                // As before a registration (include/uapi/linux/rseq.h): the processor is not known.
                const UNKNOWN: i32 = -1;
                const SIGNATURE: u32 = 0x5305_3053;
                (area as *mut [u32; 8]).write_volatile([0; 8]);
                (area as *mut i32).add(1).write_volatile(UNKNOWN);
                if libc::syscall(libc::SYS_rseq, area, 32, 0, SIGNATURE) != 0 {
                    return None;
                }
            }
        }
        Some(())
    }

    /// Handlers as start-up installed them; what the caller ignores stays ignored.
    fn take_signals(&self, ignored: signal::Set) -> Option<()> {
        for (number, action) in &self.actions {
            if ignored & signal::only(*number) == 0 {
                // SAFETY: handlers that lie in this memory, installed by the captured process.
                unsafe { signal::set_action(*number, action) }.ok()?;
            }
        }
        if let Some(stack) = &self.stack {
            // SAFETY: memory of the image, set aside for this.
            (unsafe { libc::sigaltstack(stack, std::ptr::null_mut()) } == 0).then_some(())?;
        }
        Some(())
    }
}

/// Is it nobody's script that is run?
pub fn is_trial() -> bool {
    TRIAL.load(Relaxed)
}

/// Is that the run from which it is learned which pages change?
pub fn is_watched() -> bool {
    REPORT.load(Relaxed) >= 0
}

/// A file of a warm module is not as it was: another image is due, or runs go without the module for as long as this one
/// lives. The next run asks for it.
pub fn wear_out() {
    let word = WORN.load(Relaxed);
    if !word.is_null() {
        // SAFETY: the image's head, which stays mapped; others change it atomically too.
        unsafe { AtomicU64::from_ptr(word) }.store(1, Relaxed);
    }
}

/// The end of a run is near: a rehearsal says which pages it has touched.
pub fn before_exit() {
    let report = REPORT.load(Relaxed);
    if report >= 0 {
        image::report_pages(report);
    }
}
