//! The command line as CPython itself remembers it.
//!
//! `Py_GetArgcArgv` tells it (setproctitle looks for the process's arguments by
//! it), and sub-interpreters take their `sys.argv` from the configuration. Both were
//! made when the zygote started, and nothing exported sets them again. Where
//! they lie is not assumed but found out: by what the zygote was started with, and,
//! for the first, by a change that the function must show.

use crate::path0;
use libc::wchar_t;
use pyzy_core::start::NO_SCRIPT;
use pyzy_sys::memory;
use std::ffi::CString;

/// `PyWideStringList` (`Include/cpython/initconfig.h`; PEP 587): a length, and a pointer to as many texts.
type List = [usize; 2];

/// Where the lists lie; those that were not found stay the zygote's.
pub struct Arguments {
    /// What `Py_GetArgcArgv` gives.
    original: Option<usize>,
    /// In the configuration, with the word of the command line that each begins at.
    configured: Vec<(usize, From)>,
}

/// Where in the command line a list begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// `PyConfig.orig_argv`
    Name,
    /// `PyConfig.argv`
    Script,
}

unsafe extern "C" {
    fn Py_GetArgcArgv(count: *mut libc::c_int, items: *mut *mut *mut wchar_t);
    fn Py_DecodeLocale(text: *const libc::c_char, size: *mut usize) -> *mut wchar_t;
    fn PyMem_RawMalloc(size: usize) -> *mut libc::c_void;
    fn PyMem_RawFree(memory: *mut libc::c_void);
    fn PyConfig_SetWideStringList(
        config: *mut usize,
        list: *mut List,
        length: isize,
        items: *mut *mut wchar_t,
    ) -> crate::capi::PyStatus;
    static _PyRuntime: u8;
}

/// What `Py_GetArgcArgv` gives now.
fn current() -> List {
    let (mut count, mut items) = (0, std::ptr::null_mut());
    // SAFETY: both are writable.
    unsafe { Py_GetArgcArgv(&mut count, &mut items) };
    [count as usize, items as usize]
}

impl Arguments {
    /// In the zygote, before anybody's command line is known.
    pub fn find() -> Arguments {
        Arguments { original: find_original(), configured: find_configured().unwrap_or_default() }
    }

    /// Makes them the caller's; `script` is the script's place in it. Where that fails they stay as they are.
    pub fn set(&self, argv: &[&[u8]], script: usize) {
        if self.original.is_none() && self.configured.is_empty() {
            return;
        }
        // SAFETY: the places were found in this very process; what is put there is allocated as CPython frees it.
        unsafe {
            let Some(texts) = decode(argv) else { return };
            if let Some(config) = path0::config() {
                for &(place, from) in &self.configured {
                    let part = if from == From::Name { &texts[..] } else { &texts[script..] };
                    PyConfig_SetWideStringList(
                        config,
                        place as *mut List,
                        part.len() as isize,
                        part.as_ptr().cast_mut(),
                    );
                }
            }
            let items = PyMem_RawMalloc(texts.len() * size_of::<usize>()).cast::<*mut wchar_t>();
            match self.original {
                // The old ones stay: somebody may hold them.
                Some(place) if !items.is_null() => {
                    std::ptr::copy_nonoverlapping(texts.as_ptr(), items, texts.len());
                    *(place as *mut List) = [texts.len(), items as usize];
                }
                _ => {
                    PyMem_RawFree(items.cast());
                    texts.into_iter().for_each(|text| PyMem_RawFree(text.cast()));
                }
            }
        }
    }
}

/// As CPython decodes its command line.
unsafe fn decode(argv: &[&[u8]]) -> Option<Vec<*mut wchar_t>> {
    let mut texts = Vec::with_capacity(argv.len());
    for argument in argv {
        let text = CString::new(*argument).ok()?;
        // SAFETY: a C string; the interpreter is initialised.
        let text = unsafe { Py_DecodeLocale(text.as_ptr(), std::ptr::null_mut()) };
        (!text.is_null()).then_some(())?;
        texts.push(text);
    }
    Some(texts)
}

/// The one place in the interpreter's own data that `Py_GetArgcArgv` reads.
fn find_original() -> Option<usize> {
    let list = current();
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let runtime = (&raw const _PyRuntime) as u64;
    let parts: Vec<(u64, u64)> = crate::image::writable(&maps).collect();
    let (mut start, mut end) = *parts.iter().find(|part| (part.0..part.1).contains(&runtime))?;
    // Data and zeroes are two mappings side by side.
    for part in parts.iter().rev() {
        start = if part.1 == start { part.0 } else { start };
    }
    for part in &parts {
        end = if part.0 == end { part.1 } else { end };
    }
    (start as usize..end as usize - 8).step_by(8).find(|&place| {
        // SAFETY: mapped and writable; the GIL is held by this, the only thread, and the word is put back.
        unsafe {
            let found = memory::read_word(place) as i32 == list[0] as i32 && memory::read_word(place + 8) == list[1];
            found && {
                memory::write_word(place + 8, list[1] + 8);
                let shows = current()[1] == list[1] + 8;
                memory::write_word(place + 8, list[1]);
                shows
            }
        }
    })
}

/// The lists in the configuration that end with the name of the script that the zygote was started with.
fn find_configured() -> Option<Vec<(usize, From)>> {
    /// The structure is longer than that in every CPython (`Include/cpython/initconfig.h`).
    const WORDS: usize = 48;
    let config = path0::config()? as usize;
    let count = current()[0];
    let found = (0..WORDS).map(|at| config + 8 * at).filter_map(|place| {
        let [length, items] = peek::<List>(place)?;
        (length == 1 || length == count).then_some(())?;
        let last = peek::<usize>(items.checked_add(8 * (length - 1))?)?;
        let name = NO_SCRIPT.as_bytes();
        let is_name = (0..=name.len())
            .all(|n| peek::<wchar_t>(last.wrapping_add(4 * n)) == Some(name.get(n).copied().map_or(0, wchar_t::from)));
        is_name.then_some((place, if length == 1 { From::Script } else { From::Name }))
    });
    Some(found.collect())
}

/// Reads what may not be there.
fn peek<T: Default>(address: usize) -> Option<T> {
    let mut value = T::default();
    let here = libc::iovec { iov_base: (&raw mut value).cast(), iov_len: size_of::<T>() };
    let there = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: size_of::<T>() };
    // SAFETY: plain numbers; the kernel checks the address.
    let got = unsafe { libc::process_vm_readv(libc::getpid(), &here, 1, &there, 1, 0) };
    (got == size_of::<T>() as isize).then_some(value)
}
