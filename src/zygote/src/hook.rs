//! Getting in: the interposed `__libc_start_main`.

use crate::host;
use libc::{c_char, c_int, c_void};
use pyzy_core::start::HOST;

type Main = unsafe extern "C-unwind" fn(c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;
type Hook = unsafe extern "C" fn();
type StartMain = unsafe extern "C-unwind" fn(
    Main,
    c_int,
    *mut *mut c_char,
    Option<Hook>,
    Option<Hook>,
    Option<Hook>,
    *mut c_void,
) -> c_int;

/// glibc's entry for `main` (`csu/libc-start.c`); called by `_start` of every dynamic program.
///
/// # Safety
/// Called by `_start` with what the kernel put on the stack.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __libc_start_main(
    main: Main,
    argc: c_int,
    argv: *mut *mut c_char,
    init: Option<Hook>,
    fini: Option<Hook>,
    rtld_fini: Option<Hook>,
    stack_end: *mut c_void,
) -> c_int {
    // SAFETY: the next definition is glibc's, of exactly this type; `argv` is followed by the environment.
    unsafe {
        let real = libc::dlsym(libc::RTLD_NEXT, c"__libc_start_main".as_ptr());
        if real.is_null() {
            libc::abort();
        }
        let real: StartMain = std::mem::transmute(real);
        let wanted = !libc::getenv(host_name()).is_null();
        real(if wanted { host::main } else { main }, argc, argv, init, fini, rtld_fini, stack_end)
    }
}

/// `PYZY_HOST` as a C string.
pub fn host_name() -> *const c_char {
    const NAME: &[u8] = b"PYZY_HOST\0";
    const { assert!(NAME.len() == HOST.len() + 1) };
    NAME.as_ptr().cast()
}
