//! Our main: an initialised interpreter, and then a probe or a zygote.
//!
//! Owns the way from the kernel's argv to `Py_InitializeFromConfig`, the same
//! that `Py_BytesMain` goes (`Modules/main.c`, pymain_init).

use crate::{capi, hook, places, probe, serve, trace, worker};
use libc::{c_char, c_int};
use pyzy_core::start::{Role, Start};
use pyzy_sys::file;

/// What the interpreter's `main` would have been. A script may end its main thread alone (`pthread_exit`), which
/// unwinds through here.
pub unsafe extern "C-unwind" fn main(argc: c_int, argv: *mut *mut c_char, _environ: *mut *mut c_char) -> c_int {
    // SAFETY: called before anything else, with the kernel's argv.
    unsafe { places::settle(argv) };
    trace::resolve_all();
    let Some(record) = take_record() else { return 1 };
    let Some(start) = Start::decode(record) else { return 1 };
    if start.image.is_some_and(|image| image.compact) {
        let now = pyzy_sys::process::personality();
        let _ = pyzy_sys::process::set_personality(now & !(libc::ADDR_COMPAT_LAYOUT as u32));
    }
    if let Role::Probe { starter } = start.role {
        // A start-up that hangs must not outlive whoever waits for it, nor begin when that one has died already.
        let _ = pyzy_sys::process::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize);
        if pyzy_sys::process::parent_id() != starter {
            return 1;
        }
        probe::before_init();
    }
    // Locale coercion and start-up code may change it.
    let before = worker::environment();
    // SAFETY: argc and argv are the kernel's.
    if let Err(text) = unsafe { initialise(argc, argv) } {
        eprintln!("pyzy: cannot initialise the interpreter: {text}");
        return 1;
    }
    match start.role {
        Role::Probe { .. } => probe::after_init(start.descriptor).is_err().into(),
        Role::Zygote => serve::serve(&start, &before),
    }
}

/// Reads the record and removes every trace of us from the environment.
fn take_record() -> Option<&'static [u8]> {
    // SAFETY: one thread; the environment is libc's.
    let number = unsafe {
        let text = libc::getenv(hook::host_name());
        let number = pyzy_core::places::split(std::ffi::CStr::from_ptr(text).to_str().ok()?).0.parse().ok()?;
        libc::unsetenv(hook::host_name());
        libc::unsetenv(c"LD_PRELOAD".as_ptr());
        number
    };
    let bytes = file::read_all(number, 64 << 20).ok()?;
    file::close(number);
    // The library's, through which ld.so loaded us.
    for fd in file::open_descriptors().ok()?.into_iter().filter(|&fd| fd > 2) {
        if !Start::decode(&bytes).is_some_and(|start| {
            fd == start.descriptor || fd == start.log || start.image.is_some_and(|image| fd == image.lock)
        }) {
            file::close(fd);
        }
    }
    Some(bytes.leak())
}

/// `pymain_init` of `Modules/main.c`.
unsafe fn initialise(argc: c_int, argv: *mut *mut c_char) -> Result<(), String> {
    crate::quiet::before_init();
    let mut config = capi::PyConfig::zeroed();
    // SAFETY: the buffer is larger than any PyConfig; the interpreter is not yet initialised.
    unsafe {
        capi::PyConfig_InitPythonConfig(&mut *config);
        let mut status = capi::PyConfig_SetBytesArgv(&mut *config, argc as isize, argv);
        if status.is_ok() {
            status = capi::Py_InitializeFromConfig(&*config);
        }
        capi::PyConfig_Clear(&mut *config);
        if status.is_ok() { Ok(()) } else { Err(status.text()) }
    }
}
