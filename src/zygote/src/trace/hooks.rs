//! The C library's functions that are traced, in front of the real ones.
//!
//! Owns the exported symbols. As the library is in LD_PRELOAD, the executable
//! and every library loaded later find these first (`man 8 ld.so`). Each calls
//! the next definition, found once by dlsym(RTLD_NEXT). `dlopen` and `dlsym`
//! are left alone: they look at who calls them.

use super::{
    Call, clock_read, deed, deed_if, has_deeds, look, look_at, note, on, open_mode, open_with, pass_by,
    standard_stream, variable, working_directory,
};
use crate::quiet::home_of;
use core::ffi::{CStr, c_char, c_double, c_int, c_long, c_uint, c_ulong, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

type Out = *mut c_void;
type Path = *const c_char;

/// The next definition of a symbol.
struct Real(AtomicPtr<c_void>);

impl Real {
    const fn new() -> Real {
        Real(AtomicPtr::new(null_mut()))
    }

    /// Look it up; null if no library has it.
    fn resolve(&self, name: &CStr) -> *mut c_void {
        // SAFETY: a C string; dlsym calls none of these functions.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
        self.0.store(address, Relaxed);
        address
    }

    fn get(&self, name: &CStr) -> *mut c_void {
        let mut address = self.0.load(Relaxed);
        if address.is_null() {
            // Before `resolve_all`: constructors of other libraries.
            address = self.resolve(name);
        }
        if address.is_null() {
            // Nobody can have linked against a symbol that is in no library.
            std::process::abort();
        }
        address
    }
}

macro_rules! hooks {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty { $before:expr })*) => {
        #[allow(non_upper_case_globals)]
        mod real {
            use super::Real;
            $(pub(super) static $name: Real = Real::new();)*
        }

        /// Find all the real functions now, so that no worker, no child after
        /// vfork and no signal handler ever calls dlsym on their account.
        pub fn resolve_all() {
            $(real::$name.resolve(c_name(concat!(stringify!($name), "\0")));)*
        }

        $(
            /// # Safety
            /// As for the C library's function of this name.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $type),*) -> $result {
                if on() {
                    $before;
                }
                let real = real::$name.get(c_name(concat!(stringify!($name), "\0")));
                // SAFETY: the C library's function of this name has this type.
                let real: unsafe extern "C" fn($($type),*) -> $result = unsafe { core::mem::transmute(real) };
                // SAFETY: the caller's arguments, under the caller's promises.
                unsafe { real($($arg),*) }
            }
        )*
    };
}

/// Objects of C++ come with an argument; of a library that is kept warm they are registered when that is handed over.
///
/// # Safety
/// As for the C library's function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __cxa_atexit(function: Out, argument: Out, library: Out) -> c_int {
    static REAL: Real = Real::new();
    if on() && !is_ours(library) {
        deed_if(argument.is_null(), Call::AtExit);
        if has_deeds() && !argument.is_null() && crate::warm::ends::put_off(function, argument, library) {
            return 0;
        }
    }
    let real = REAL.get(c"__cxa_atexit");
    // SAFETY: the C library's function of this name has this type; the caller's arguments, under the caller's promises.
    unsafe {
        let real: unsafe extern "C" fn(Out, Out, Out) -> c_int = core::mem::transmute(real);
        real(function, argument, library)
    }
}

/// Is it an address of our library's? So the C library is told whose an object is (Itanium C++ ABI, 3.3.6.3).
fn is_ours(address: Out) -> bool {
    !address.is_null() && home_of(address) == home_of(real::write.0.as_ptr().cast())
}

/// A name that ends with its only zero byte.
const fn c_name(name: &str) -> &CStr {
    // SAFETY: only called on an identifier and "\0", see `hooks`.
    unsafe { CStr::from_bytes_with_nul_unchecked(name.as_bytes()) }
}

// Paths. `open`, `openat` and `ioctl` are variadic in C; on the ABIs of Linux a
// variadic argument that is an integer travels as a fixed one would, and the
// real function looks at it only if the caller gave one. The `_2` and `_chk`
// forms are what _FORTIFY_SOURCE makes of a call, `__xstat` and its kin what
// programs built against glibc before 2.33 call.
hooks! {
    open(path: Path, flags: c_int, mode: c_uint) -> c_int { { look(path); open_with(path, flags) } }
    open64(path: Path, flags: c_int, mode: c_uint) -> c_int { { look(path); open_with(path, flags) } }
    __open_2(path: Path, flags: c_int) -> c_int { { look(path); open_with(path, flags) } }
    __open64_2(path: Path, flags: c_int) -> c_int { { look(path); open_with(path, flags) } }
    openat(dir: c_int, path: Path, flags: c_int, mode: c_uint) -> c_int { { look_at(dir, path); open_with(path, flags) } }
    openat64(dir: c_int, path: Path, flags: c_int, mode: c_uint) -> c_int { { look_at(dir, path); open_with(path, flags) } }
    __openat_2(dir: c_int, path: Path, flags: c_int) -> c_int { { look_at(dir, path); open_with(path, flags) } }
    __openat64_2(dir: c_int, path: Path, flags: c_int) -> c_int { { look_at(dir, path); open_with(path, flags) } }
    fopen(path: Path, mode: Path) -> Out { { look(path); open_mode(mode) } }
    fopen64(path: Path, mode: Path) -> Out { { look(path); open_mode(mode) } }
    stat(path: Path, buf: Out) -> c_int { look(path) }
    stat64(path: Path, buf: Out) -> c_int { look(path) }
    lstat(path: Path, buf: Out) -> c_int { pass_by(path) }
    lstat64(path: Path, buf: Out) -> c_int { pass_by(path) }
    fstatat(dir: c_int, path: Path, buf: Out, flags: c_int) -> c_int { look_at(dir, path) }
    fstatat64(dir: c_int, path: Path, buf: Out, flags: c_int) -> c_int { look_at(dir, path) }
    statx(dir: c_int, path: Path, flags: c_int, mask: c_uint, buf: Out) -> c_int { look_at(dir, path) }
    __xstat(version: c_int, path: Path, buf: Out) -> c_int { look(path) }
    __xstat64(version: c_int, path: Path, buf: Out) -> c_int { look(path) }
    __lxstat(version: c_int, path: Path, buf: Out) -> c_int { pass_by(path) }
    __lxstat64(version: c_int, path: Path, buf: Out) -> c_int { pass_by(path) }
    __fxstatat(version: c_int, dir: c_int, path: Path, buf: Out, flags: c_int) -> c_int { look_at(dir, path) }
    __fxstatat64(version: c_int, dir: c_int, path: Path, buf: Out, flags: c_int) -> c_int { look_at(dir, path) }
    access(path: Path, mode: c_int) -> c_int { look(path) }
    euidaccess(path: Path, mode: c_int) -> c_int { look(path) }
    eaccess(path: Path, mode: c_int) -> c_int { look(path) }
    faccessat(dir: c_int, path: Path, mode: c_int, flags: c_int) -> c_int { look_at(dir, path) }
    readlink(path: Path, buf: Out, size: usize) -> isize { look(path) }
    __readlink_chk(path: Path, buf: Out, size: usize, room: usize) -> isize { look(path) }
    readlinkat(dir: c_int, path: Path, buf: Out, size: usize) -> isize { look_at(dir, path) }
    __readlinkat_chk(dir: c_int, path: Path, buf: Out, size: usize, room: usize) -> isize { look_at(dir, path) }
    realpath(path: Path, buf: Out) -> Out { look(path) }
    __realpath_chk(path: Path, buf: Out, room: usize) -> Out { look(path) }
    opendir(path: Path) -> Out { look(path) }

    // The environment and the working directory.
    getenv(name: Path) -> Out { variable(name) }
    secure_getenv(name: Path) -> Out { variable(name) }
    getcwd(buf: Out, size: usize) -> Out { working_directory() }
    __getcwd_chk(buf: Out, size: usize, room: usize) -> Out { working_directory() }
    get_current_dir_name() -> Out { working_directory() }

    // What differs from run to run.
    clock_gettime(clock: c_int, time: Out) -> c_int { clock_read(clock) }
    gettimeofday(time: Out, zone: Out) -> c_int { note(Call::Clock) }
    time(time: Out) -> c_long { note(Call::Clock) }
    times(buf: Out) -> c_long { note(Call::Clock) }
    // CPython has an audit event for this since 3.12.
    pthread_create(thread: Out, attributes: Out, start: Out, argument: Out) -> c_int { note(Call::Thread) }
    getpid() -> c_int { note(Call::ProcessId) }
    getppid() -> c_int { note(Call::ProcessId) }
    gettid() -> c_int { note(Call::ProcessId) }
    getpgrp() -> c_int { note(Call::Session) }
    getpgid(pid: c_int) -> c_int { note(Call::Session) }
    getsid(pid: c_int) -> c_int { note(Call::Session) }
    getlogin() -> Out { note(Call::Session) }
    getlogin_r(buf: Out, size: usize) -> c_int { note(Call::Session) }
    getrandom(buf: Out, size: usize, flags: c_uint) -> isize { note(Call::Entropy) }
    getentropy(buf: Out, size: usize) -> c_int { note(Call::Entropy) }
    isatty(fd: c_int) -> c_int { standard_stream(fd, Call::Terminal) }
    ttyname(fd: c_int) -> Out { standard_stream(fd, Call::Terminal) }
    ttyname_r(fd: c_int, buf: Out, size: usize) -> c_int { standard_stream(fd, Call::Terminal) }
    tcgetpgrp(fd: c_int) -> c_int { standard_stream(fd, Call::Terminal) }
    tcgetattr(fd: c_int, buf: Out) -> c_int { standard_stream(fd, Call::Terminal) }
    ioctl(fd: c_int, request: c_ulong, argument: c_ulong) -> c_int { standard_stream(fd, Call::Terminal) }
    fstat(fd: c_int, buf: Out) -> c_int { standard_stream(fd, Call::StandardStream) }
    fstat64(fd: c_int, buf: Out) -> c_int { standard_stream(fd, Call::StandardStream) }
    __fxstat(version: c_int, fd: c_int, buf: Out) -> c_int { standard_stream(fd, Call::StandardStream) }
    __fxstat64(version: c_int, fd: c_int, buf: Out) -> c_int { standard_stream(fd, Call::StandardStream) }
    gethostname(buf: Out, size: usize) -> c_int { note(Call::Host) }
    __gethostname_chk(buf: Out, size: usize, room: usize) -> c_int { note(Call::Host) }
    uname(buf: Out) -> c_int { note(Call::Host) }
    getrlimit(resource: c_int, buf: Out) -> c_int { note(Call::Limits) }
    getrlimit64(resource: c_int, buf: Out) -> c_int { note(Call::Limits) }
    getpriority(which: c_int, who: c_uint) -> c_int { note(Call::Priority) }
    sched_getaffinity(pid: c_int, size: usize, buf: Out) -> c_int { note(Call::Processors) }
    umask(mode: c_uint) -> c_uint { note(Call::Umask) }
    getrusage(who: c_int, buf: Out) -> c_int { note(Call::Load) }
    getloadavg(buf: *mut c_double, count: c_int) -> c_int { note(Call::Load) }

    // What lasts. `vfork` returns twice and is left alone; what follows it is an exec.
    fork() -> c_int { deed(Call::Process) }
    execv(path: Path, argv: Out) -> c_int { deed(Call::Process) }
    execve(path: Path, argv: Out, environ: Out) -> c_int { deed(Call::Process) }
    execvp(path: Path, argv: Out) -> c_int { deed(Call::Process) }
    posix_spawn(pid: Out, path: Path, actions: Out, attributes: Out, argv: Out, environ: Out) -> c_int { deed(Call::Process) }
    posix_spawnp(pid: Out, path: Path, actions: Out, attributes: Out, argv: Out, environ: Out) -> c_int { deed(Call::Process) }
    system(command: Path) -> c_int { deed(Call::Process) }
    popen(command: Path, mode: Path) -> Out { deed(Call::Process) }
    socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int { deed(Call::Socket) }
    socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: Out) -> c_int { deed(Call::Socket) }
    getaddrinfo(node: Path, service: Path, hints: Out, result: Out) -> c_int { deed(Call::Socket) }
    unlink(path: Path) -> c_int { deed(Call::Change) }
    unlinkat(dir: c_int, path: Path, flags: c_int) -> c_int { deed(Call::Change) }
    rename(from: Path, to: Path) -> c_int { deed(Call::Change) }
    renameat(from_dir: c_int, from: Path, to_dir: c_int, to: Path) -> c_int { deed(Call::Change) }
    mkdir(path: Path, mode: c_uint) -> c_int { deed(Call::Change) }
    mkdirat(dir: c_int, path: Path, mode: c_uint) -> c_int { deed(Call::Change) }
    rmdir(path: Path) -> c_int { deed(Call::Change) }
    link(from: Path, to: Path) -> c_int { deed(Call::Change) }
    symlink(from: Path, to: Path) -> c_int { deed(Call::Change) }
    chmod(path: Path, mode: c_uint) -> c_int { deed(Call::Change) }
    truncate(path: Path, length: c_long) -> c_int { deed(Call::Change) }
    mkstemp(template: Out) -> c_int { deed(Call::Change) }
    chdir(path: Path) -> c_int { deed(Call::WorkingDirectory) }
    sigaction(signal: c_int, action: Out, old: Out) -> c_int { deed_if(!action.is_null(), Call::Signal) }
    signal(signal: c_int, handler: Out) -> Out { deed(Call::Signal) }
    setitimer(which: c_int, new: Out, old: Out) -> c_int { deed(Call::Signal) }
    alarm(seconds: c_uint) -> c_uint { deed(Call::Signal) }
    setlocale(category: c_int, name: Path) -> Out { deed_if(!name.is_null(), Call::Locale) }
    on_exit(function: Out, argument: Out) -> c_int { deed(Call::AtExit) }
    at_quick_exit(function: Out) -> c_int { deed(Call::AtExit) }
    __cxa_thread_atexit_impl(function: Out, argument: Out, library: Out) -> c_int { deed_if(!is_ours(library), Call::AtExit) }
    __register_atfork(before: Out, parent: Out, child: Out, library: Out) -> c_int { deed(Call::AtFork) }
    timer_create(clock: c_int, event: Out, timer: Out) -> c_int { deed(Call::Signal) }
    mlock(address: Out, size: usize) -> c_int { deed(Call::Memory) }
    mlock2(address: Out, size: usize, flags: c_uint) -> c_int { deed(Call::Memory) }
    mlockall(flags: c_int) -> c_int { deed(Call::Memory) }
    madvise(address: Out, size: usize, advice: c_int) -> c_int { deed_if(matches!(advice, libc::MADV_DONTFORK | libc::MADV_WIPEONFORK), Call::Memory) }
    sem_open(name: Path, flags: c_int, mode: c_uint, value: c_uint) -> Out { deed(Call::Change) }
    shm_open(name: Path, flags: c_int, mode: c_uint) -> c_int { deed(Call::Change) }
    srand(seed: c_uint) -> Out { deed(Call::Random) }
    srandom(seed: c_uint) -> Out { deed(Call::Random) }
    rand() -> c_int { deed(Call::Random) }
    random() -> c_long { deed(Call::Random) }
    initstate(seed: c_uint, state: Out, size: usize) -> Out { deed(Call::Random) }
    setstate(state: Out) -> Out { deed(Call::Random) }
    srand48(seed: c_long) -> Out { deed(Call::Random) }
    lrand48() -> c_long { deed(Call::Random) }
    mrand48() -> c_long { deed(Call::Random) }
    write(fd: c_int, bytes: Out, count: usize) -> isize { deed_if((0..=2).contains(&fd), Call::Output) }
}
