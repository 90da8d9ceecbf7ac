//! What C code may change of the process without calling anything that is watched.
//!
//! A rehearsal looks at all of this before each import and after it (`rehearsal`): the hooks of `trace` see calls of the C library by their names,
//! but not system calls, and not what the C library does by itself. Owns the list of what is looked at, and what is said of a difference.

use super::calls;
use super::hand::Means;
use crate::capi::Symbol;
use libc::{c_int, c_void};
use pyzy_sys::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

unsafe extern "C" {
    static mut stdin: *mut c_void;
    static mut stdout: *mut c_void;
    static mut stderr: *mut c_void;
    // `man 3 stdio_ext`
    fn __fpending(stream: *mut c_void) -> usize;
    fn __fbufsize(stream: *mut c_void) -> usize;
    fn __flbf(stream: *mut c_void) -> c_int;
}

/// Standard output and standard error of the rehearsal: files in memory.
static STREAMS: [AtomicI32; 2] = [AtomicI32::new(-1), AtomicI32::new(-1)];
static LAST: Mutex<Option<State>> = Mutex::new(None);

#[derive(PartialEq)]
struct State {
    /// How numbers are rounded, and which operations trap.
    numbers: [u32; 2],
    stack: [usize; 3],
    mask: u64,
    /// Handler and flags of each signal.
    signals: Vec<[usize; 2]>,
    locale: usize,
    /// Of C's streams: the size of the buffer, and whether it is written out at the end of a line.
    buffers: [(usize, c_int); 3],
    /// What was written to the standard streams, or waits for that.
    written: [i64; 2],
    name: [u8; 16],
    options: Vec<Option<usize>>,
    means: Option<Means>,
    /// Functions that the interpreter calls: for each, whose.
    hooks: [usize; 2],
    recursion: c_int,
    collects: c_int,
    shared: usize,
}

/// In a rehearsal: what is written goes into files, whose sizes tell.
pub fn begin() -> Option<()> {
    for (stream, number) in STREAMS.iter().zip(1..) {
        // SAFETY: a C string; the descriptor becomes a standard stream, and stays.
        unsafe {
            let made = libc::memfd_create(c"pyzy-rehearsal".as_ptr(), libc::MFD_CLOEXEC);
            (made >= 0 && libc::dup3(made, number, 0) == number).then_some(())?;
            libc::close(made);
        }
        stream.store(number, Relaxed);
    }
    *LAST.lock().unwrap_or_else(|e| e.into_inner()) = Some(State::now());
    Some(())
}

/// What has been done since the last time.
pub fn changes() -> Vec<String> {
    let mut deeds = calls::said();
    let now = State::now();
    let mut last = LAST.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(before) = last.as_ref() {
        let differ = [
            (now.numbers != before.numbers, "changes how floating-point numbers are computed"),
            (now.stack != before.stack, "sets a stack for signals"),
            (now.mask != before.mask, "blocks signals"),
            (now.signals != before.signals, "sets a signal handler or a timer"),
            (now.locale != before.locale, "sets the locale"),
            (now.buffers != before.buffers, "changes a standard stream of C's"),
            (now.written != before.written, "writes to a standard stream"),
            (now.name != before.name, "changes the name of the process"),
            (now.options != before.options, "changes an option of the process"),
            (now.means != before.means, "changes its limits, processors or priority"),
            (now.hooks != before.hooks, "has the interpreter call it for input"),
            (now.recursion != before.recursion, "changes the recursion limit"),
            (now.collects != before.collects, "changes the collector"),
            (now.shared > before.shared, "maps memory that is shared"),
        ];
        deeds.extend(differ.into_iter().filter(|(differs, _)| *differs).map(|(_, deed)| deed.to_owned()));
    }
    *last = Some(now);
    deeds
}

impl State {
    fn now() -> State {
        // `man 2 prctl`: PR_GET_DUMPABLE, KEEPCAPS, TIMING, SECUREBITS, TSC, TIMERSLACK, NO_NEW_PRIVS, THP_DISABLE; one that takes an address
        // is left out.
        const OPTIONS: [i32; 7] = [3, 7, 13, 27, 30, 39, 42];
        static INPUT: Symbol = Symbol::new(c"PyOS_InputHook");
        static READLINE: Symbol = Symbol::new(c"PyOS_ReadlineFunctionPointer");
        static RECURSION: Symbol = Symbol::new(c"Py_GetRecursionLimit");
        static COLLECTS: Symbol = Symbol::new(c"PyGC_IsEnabled");
        let pointer = |symbol: &Symbol| match symbol.find().cast::<usize>() {
            place if place.is_null() => 0,
            // SAFETY: a variable of the interpreter's.
            place => unsafe { *place },
        };
        let number = |symbol: &Symbol| match symbol.find() {
            function if function.is_null() => 0,
            // SAFETY: the GIL is held; a function without parameters.
            function => unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(function)() },
        };
        // SAFETY: the kernel and the C library fill what they are given; streams of the C library's.
        unsafe {
            let mut stack: libc::stack_t = std::mem::zeroed();
            libc::sigaltstack(std::ptr::null(), &mut stack);
            let mut mask = 0u64;
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, 0usize, &raw mut mask, 8usize);
            // Two are the C library's own, which sets them when a thread is first made.
            let signals = (1..=64).filter(|signal| !(32..=33).contains(signal)).map(|signal| {
                let mut action = [0usize; 4];
                libc::syscall(libc::SYS_rt_sigaction, signal, 0usize, action.as_mut_ptr(), 8usize);
                [action[0], action[1]]
            });
            let mut name = [0u8; 16];
            libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr());
            let streams = [stdin, stdout, stderr];
            let size = |at: usize| match STREAMS[at].load(Relaxed) {
                -1 => 0,
                number => libc::lseek(number, 0, libc::SEEK_END) + __fpending(streams[at + 1]) as i64,
            };
            State {
                numbers: numbers(),
                stack: [stack.ss_sp as usize, stack.ss_flags as usize, stack.ss_size],
                mask,
                signals: signals.collect(),
                locale: libc::uselocale(std::ptr::null_mut()) as usize,
                buffers: streams.map(|stream| (__fbufsize(stream), __flbf(stream))),
                written: [size(0), size(1)],
                name,
                options: OPTIONS.iter().map(|&option| process::prctl(option, 0).ok()).collect(),
                means: Means::now(),
                hooks: [pointer(&INPUT), pointer(&READLINE)],
                recursion: number(&RECURSION),
                collects: number(&COLLECTS),
                shared: super::shared_mappings(),
            }
        }
    }
}

/// The control words of the processor's units for floating-point numbers, without what they note.
#[cfg(target_arch = "x86_64")]
fn numbers() -> [u32; 2] {
    const NOTES: u32 = 0x3f;
    let (mut vector, mut stack) = (0u32, 0u16);
    // SAFETY: each stores a word.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut vector, options(nostack));
        std::arch::asm!("fnstcw [{}]", in(reg) &raw mut stack, options(nostack));
    }
    [vector & !NOTES, stack.into()]
}

/// The control word of the processor's unit for floating-point numbers.
#[cfg(target_arch = "aarch64")]
fn numbers() -> [u32; 2] {
    let control: u64;
    // SAFETY: it reads a register.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) control, options(nomem, nostack)) };
    [control as u32, 0]
}
