//! Code that nobody can call yet: the libraries of extensions that are hidden.
//!
//! Each library of a warm extension is two mappings or more, and a run pays for each, whether it imports the
//! extension or not. Their code is called by nobody before a module is handed over. So in an image such
//! a library is part of the memory around it, which may be written to and not executed; what lies side by
//! side is one mapping. Owns the list of these libraries, and waking them: all that leads to their code passes
//! here first. That is a hand-over, which wakes all that the module leads to (`leads`); `_imp.create_dynamic` (`create`), by which CPython initialises an extension, and through which all
//! code comes into a process that could load libraries by itself; and the end of the interpreter or of the process.

use pyzy_sys::process;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// A library, by its path.
pub struct Library {
    pub path: Vec<u8>,
    /// All of it, and what of it is code: begin and end.
    parts: Vec<(usize, usize)>,
    code: Vec<(usize, usize)>,
    /// It is, but in an image.
    is_awake: Cell<bool>,
}

/// What CPython finds without an import, once somebody has used it: codecs, and the names of characters
/// (`_PyUnicode_GetNameCAPI`, `Objects/unicodeobject.c`).
const WAKEFUL: [&[u8]; 3] = [b"_codecs_", b"_multibytecodec", b"unicodedata"];

const DT_NEEDED: usize = 1;
const DT_STRTAB: usize = 5;

static ALL: AtomicPtr<Vec<Library>> = AtomicPtr::new(std::ptr::null_mut());

/// In the zygote: libraries of extensions that are hidden, by their paths. `None` if they could be called behind our back. `create` is attached.
pub fn prepare(paths: Vec<Vec<u8>>) -> Option<()> {
    let needed = needed();
    let is_wakeful = |path: &[u8]| {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
        let is_needed = needed.iter().any(|needed| needed == name);
        WAKEFUL.iter().any(|begin| name.starts_with(begin)) || is_needed || may_be_called_at_fork(path)
    };
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let library = |path: Vec<u8>| {
        let parts = |only_code: bool| crate::image::parts_of(&maps, &path, only_code).collect::<Vec<_>>();
        let (parts, code) = (parts(false), parts(true));
        Library { path, parts, code, is_awake: Cell::new(true) }
    };
    let all: Vec<Library> = paths.into_iter().filter(|path| !is_wakeful(path)).map(library).collect();
    // SAFETY: a function without parameters.
    (unsafe { libc::atexit(wake_at_exit) } == 0).then_some(())?;
    ALL.store(Box::into_raw(Box::new(all)), Relaxed);
    Some(())
}

/// The names of all libraries that others need: these are called without any of Python's objects. (`man 3 dl_iterate_phdr`)
fn needed() -> Vec<Vec<u8>> {
    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: libc::size_t, to: *mut c_void) -> libc::c_int {
        // SAFETY: the loader's record, and what `needed` passed.
        let (info, needed) = unsafe { (&*info, &mut *to.cast::<Vec<Vec<u8>>>()) };
        // SAFETY: the loader's tables of a library that is loaded (`man 5 elf`).
        unsafe {
            let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
            let Some(dynamic) = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC) else { return 0 };
            let base = info.dlpi_addr as usize;
            let entry = |at: usize| *((base + dynamic.p_vaddr as usize) as *const [usize; 2]).add(at);
            let entries = || (0..).map(entry).take_while(|entry| entry[0] != 0);
            let Some([_, texts]) = entries().find(|entry| entry[0] == DT_STRTAB) else { return 0 };
            // The loader writes addresses in place of offsets, where it may.
            let texts = if texts < base { texts + base } else { texts };
            let names = entries().filter(|entry| entry[0] == DT_NEEDED);
            let text = |[_, offset]: [usize; 2]| CStr::from_ptr((texts + offset) as *const c_char).to_bytes();
            needed.extend(names.map(|name| text(name).rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec()));
        }
        0
    }
    let mut needed: Vec<Vec<u8>> = Vec::new();
    // SAFETY: `look` takes a list of names.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut needed).cast()) };
    needed
}

/// Does it refer to the functions by which something is registered for forks (`man 3 pthread_atfork`)?
fn may_be_called_at_fork(path: &[u8]) -> bool {
    const NAMES: [&[u8]; 2] = [b"\0pthread_atfork\0", b"\0__register_atfork\0"];
    // SAFETY: both are readable for their lengths.
    let has = |bytes: &[u8], name: &[u8]| unsafe {
        !libc::memmem(bytes.as_ptr().cast(), bytes.len(), name.as_ptr().cast(), name.len()).is_null()
    };
    pyzy_sys::file::read_file(path, 1 << 30).is_ok_and(|bytes| NAMES.iter().any(|name| has(&bytes, name)))
}

fn all() -> &'static [Library] {
    // SAFETY: stored by `prepare`, never freed.
    unsafe { ALL.load(Relaxed).as_ref() }.map_or(&[], |all| &all[..])
}

/// The library's number.
pub fn find(path: &[u8]) -> Option<usize> {
    all().iter().position(|library| library.path == path)
}

/// Begin, end and number of each part of each, in order.
pub fn parts() -> Vec<(usize, usize, usize)> {
    let each = all().iter().enumerate();
    let mut parts: Vec<_> =
        each.flat_map(|(at, library)| library.parts.iter().map(move |&(start, end)| (start, end, at))).collect();
    parts.sort_unstable();
    parts
}

/// In the process that is captured: begin and end of what will not be executable in the image.
pub fn fall_asleep() -> impl Iterator<Item = (usize, usize)> {
    all().iter().for_each(|library| library.is_awake.set(false));
    all().iter().flat_map(|library| library.parts.iter().copied())
}

/// May this process make code executable, if any is asleep? A process may forbid that for itself (`man 2 PR_SET_MDWE`, since
/// Linux 6.3).
pub fn may_wake() -> bool {
    const PR_GET_MDWE: i32 = 66;
    all().iter().all(|library| library.is_awake.get()) || !matches!(process::prctl(PR_GET_MDWE, 0), Ok(1..))
}

impl Library {
    /// False if the kernel refuses.
    fn wake(&self) -> bool {
        self.is_awake.get() || {
            let is_done = self.code.iter().all(|&(start, end)| {
                // SAFETY: code of a library that stays where it is; nobody has written to it.
                unsafe { libc::mprotect(start as *mut c_void, end - start, libc::PROT_READ | libc::PROT_EXEC) == 0 }
            });
            self.is_awake.set(is_done);
            is_done
        }
    }
}

/// A module of it is about to be handed over. False if it cannot be.
pub fn wake(number: usize) -> bool {
    all().get(number).is_some_and(Library::wake)
}

/// Anything may call anything. False if not all could be woken.
pub fn wake_all() -> bool {
    all().iter().all(Library::wake)
}

extern "C" fn wake_at_exit() {
    wake_all();
}
