//! What extensions from outside the standard library do at the end of the process.
//!
//! A destructor of theirs must run for a script that has imported them, and not for one that has not: cold, their library is not
//! even loaded. Objects of C++ are registered with the C library when they are made (`__cxa_atexit`); functions that C calls destructors are in a
//! table of the library (`man 5 elf`, DT_FINI_ARRAY). Owns both, from the loading by the zygote to the hand-over: the first are
//! registered then, and the table is empty until then.

use libc::{c_int, c_void};
use std::ffi::CStr;
use std::sync::Mutex;

const PAGE: usize = 4096;
const DT_FINI_ARRAYSZ: usize = 28;
/// Every library has one, which the compiler adds.
const ONE: usize = 8;

unsafe extern "C" {
    fn __cxa_atexit(function: *mut c_void, argument: *mut c_void, library: *mut c_void) -> c_int;
}

/// `struct link_map` (`man 3 dlinfo`).
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const libc::c_char,
    dynamic: *mut [usize; 2],
}

/// What waits for a library's hand-over.
#[derive(Default)]
struct Ends {
    path: Vec<u8>,
    /// Function, argument, library.
    objects: Vec<[usize; 3]>,
    /// Where the size of the table is, and what it was.
    table: Option<(usize, usize)>,
}

static ALL: Mutex<Vec<Ends>> = Mutex::new(Vec::new());

fn all() -> std::sync::MutexGuard<'static, Vec<Ends>> {
    ALL.lock().unwrap_or_else(|e| e.into_inner())
}

/// In the zygote: this library is about to be loaded.
pub fn expect(path: &[u8]) {
    let mut all = all();
    if !all.iter().any(|ends| ends.path == path) {
        all.push(Ends { path: path.to_vec(), ..Ends::default() });
    }
}

/// An object of C++ is registered. True if it is one of a library that was expected: it is registered later.
pub fn put_off(function: *mut c_void, argument: *mut c_void, library: *mut c_void) -> bool {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: fills the structure, or fails; the loader's C string.
    let path = unsafe {
        if libc::dladdr(library, info.as_mut_ptr()) == 0 {
            return false;
        }
        CStr::from_ptr(info.assume_init().dli_fname).to_bytes()
    };
    match all().iter_mut().find(|ends| ends.path == path) {
        Some(ends) => {
            ends.objects.push([function, argument, library].map(|word| word as usize));
            true
        }
        None => false,
    }
}

/// It is loaded; `map` is what the loader gave. Its destructors do not run before it is handed over.
///
/// # Safety
/// What `dlopen` gave for the library of this path, which stays.
pub unsafe fn empty(path: &[u8], map: *const c_void) {
    let mut all = all();
    let Some(ends) = all.iter_mut().find(|ends| ends.path == path && ends.table.is_none()) else { return };
    // SAFETY: the caller's promise; the loader's own tables.
    unsafe {
        let mut entry = (*map.cast::<LinkMap>()).dynamic;
        while (*entry)[0] != 0 {
            let (place, [tag, size]) = (&raw mut (*entry)[1] as usize, *entry);
            if tag == DT_FINI_ARRAYSZ && size > ONE && write(place, 0, size) {
                ends.table = Some((place, size));
            }
            entry = entry.add(1);
        }
    }
}

/// A module of it is handed over.
pub fn hand(path: &[u8]) {
    let mut all = all();
    let Some(ends) = all.iter_mut().find(|ends| ends.path == path) else { return };
    for [function, argument, library] in std::mem::take(&mut ends.objects) {
        // SAFETY: what the library itself wanted to call.
        unsafe { __cxa_atexit(function as *mut c_void, argument as *mut c_void, library as *mut c_void) };
    }
    if let Some((place, size)) = ends.table.take() {
        write(place, size, 0);
    }
}

/// Writes a word in a table of the loader's, which may be for reading only. False if it is not as expected, or cannot be.
fn write(place: usize, value: usize, before: usize) -> bool {
    let page = place & !(PAGE - 1);
    // SAFETY: a page of a library that stays where it is.
    unsafe {
        let place = place as *mut usize;
        let is_done =
            *place == before && libc::mprotect(page as *mut c_void, PAGE, libc::PROT_READ | libc::PROT_WRITE) == 0;
        if is_done {
            place.write_volatile(value);
        }
        is_done
    }
}
