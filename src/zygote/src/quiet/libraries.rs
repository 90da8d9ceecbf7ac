//! Which shared libraries are loaded: code that is not CPython's may do anything at its end.

use crate::{capi, names};
use pyo3::ffi;
use std::ffi::CStr;

/// Modules of CPython's own that are part of every interpreter.
pub const BUILT_IN: &str = "\
    _abc _ast _codecs _collections _functools _imp _io _locale _operator _peg_parser _signal _sre _stat \
    _string _suggestions _symtable _sysconfig _thread _tokenize _tracemalloc _typing _warnings _weakref \
    atexit builtins errno faulthandler gc itertools marshal posix pwd sys time xxsubtype";

/// Modules of CPython's own, whose objects leave nothing but memory and descriptors.
pub const MODULES: &str = "\
    _bisect _blake2 _bz2 _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _contextvars \
    _crypt _csv _datetime _decimal _elementtree _hashlib _heapq _json _lzma _md5 _multibytecodec _opcode \
    _pickle _posixsubprocess _queue _random _sha1 _sha2 _sha256 _sha3 _sha512 _socket _statistics _struct \
    _typing _uuid _zoneinfo array binascii cmath fcntl grp math mmap pyexpat resource select spwd syslog \
    termios unicodedata zlib";

/// The same, of which less is known otherwise.
const MORE: &str = "_asyncio _lsprof _multiprocessing _posixshmem _ssl audioop readline";

/// Libraries that those modules and the interpreter need, by the beginning of their names.
const NEEDED: &str = "\
    ld-linux libbz2.so libc.so libcrypt.so libcrypto.so libdl.so libexpat.so libgcc_s.so liblzma.so libm.so \
    libmpdec.so libpthread.so libpyzy_zygote.so libreadline.so librt.so libssl.so libtinfo.so libutil.so libuuid.so libz.so linux-vdso.so";

/// What was loaded, by the dynamic loader's count (`man 3 dl_iterate_phdr`), and where CPython keeps its modules.
pub struct Known {
    additions: u64,
    directory: Vec<u8>,
    python: *const libc::c_void,
}

impl Known {
    /// `None` if something is loaded that is not known.
    pub fn now() -> Option<Known> {
        let known =
            Known { additions: additions(), directory: directory()?, python: home_of(ffi::Py_IsInitialized as _) };
        known.check().then_some(known)
    }

    /// The directory of the standard library: CPython's modules lie below it.
    pub fn library(&self) -> &[u8] {
        self.directory.strip_suffix(DYNLOAD).unwrap_or_default()
    }

    /// Was nothing loaded since that is not known?
    pub fn are_all_known(&self) -> bool {
        additions() == self.additions || self.check()
    }

    fn check(&self) -> bool {
        unsafe extern "C" fn look(
            info: *mut libc::dl_phdr_info,
            _: libc::size_t,
            known: *mut libc::c_void,
        ) -> libc::c_int {
            // SAFETY: the loader's record, and what `check` passed.
            let (info, known) = unsafe { (&*info, &*known.cast::<Known>()) };
            // SAFETY: the loader's C string.
            let name = unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes();
            let base = known.python as u64 == info.dlpi_addr;
            (!(name.is_empty() || base || known.is_known(name))).into()
        }
        // SAFETY: `look` takes what is passed here.
        unsafe { libc::dl_iterate_phdr(Some(look), (self as *const Known).cast_mut().cast()) == 0 }
    }

    fn is_known(&self, path: &[u8]) -> bool {
        // While nobody has it, it does nothing; whose is asked of `warm`.
        crate::warm::has_loaded(path) || self.is_silent(path)
    }

    fn is_silent(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
        if NEEDED.split(' ').any(|needed| name.starts_with(needed.as_bytes())) {
            return true;
        }
        path.len() > name.len()
            && path[..path.len() - name.len() - 1] == self.directory
            && name.split(|&b| b == b'.').next().is_some_and(is_known_module)
    }
}

fn is_known_module(name: &[u8]) -> bool {
    MODULES.split(' ').chain(MORE.split(' ')).any(|module| module.as_bytes() == name)
}

/// Packages from outside the standard library whose extensions leave nothing but memory, too.
const PACKAGES: [&[u8]; 3] = [b"numpy", b"pandas", b"yaml"];

/// Does the end of this extension go unseen? `_ctypes` is watched (`uses`).
pub fn is_silent_extension(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|&b| b == b'/');
    let stem = parts.next().and_then(|name| name.split(|&b| b == b'.').next()).unwrap_or_default();
    let mut parts = parts.collect::<Vec<_>>();
    parts.reverse();
    let site = parts.iter().rposition(|part| [&b"site-packages"[..], b"dist-packages"].contains(part));
    match site.and_then(|at| parts.get(at + 1)) {
        Some(package) => PACKAGES.contains(package),
        None => parts.last() == Some(&&b"lib-dynload"[..]) && (stem == b"_ctypes" || is_known_module(stem)),
    }
}

/// Where the library that holds this function lies.
pub fn home_of(function: *const libc::c_void) -> *const libc::c_void {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: fills the structure, or fails.
    unsafe {
        match libc::dladdr(function, info.as_mut_ptr()) {
            0 => std::ptr::null(),
            _ => info.assume_init().dli_fbase,
        }
    }
}

fn additions() -> u64 {
    unsafe extern "C" fn first(info: *mut libc::dl_phdr_info, _: libc::size_t, to: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the loader's record, and a number of `additions`.
        unsafe { *to.cast::<u64>() = (*info).dlpi_adds };
        1
    }
    let mut count = 0u64;
    // SAFETY: `first` takes a number.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut count).cast()) };
    count
}

const DYNLOAD: &[u8] = b"/lib-dynload";

/// The directory of the standard library, by `sys.path`.
pub fn library() -> Option<Vec<u8>> {
    directory()?.strip_suffix(DYNLOAD).map(<[u8]>::to_vec)
}

/// The directory `lib-dynload` of `sys.path`.
fn directory() -> Option<Vec<u8>> {
    let path = names::sys(&names::PATH)?;
    // SAFETY: the GIL is held; live objects.
    unsafe {
        (0..ffi::PyList_Size(path.raw())).find_map(|at| {
            let bytes = capi::Object::own(ffi::PyUnicode_EncodeFSDefault(ffi::PyList_GetItem(path.raw(), at)))?;
            let text = CStr::from_ptr(ffi::PyBytes_AsString(bytes.raw())).to_bytes();
            text.ends_with(DYNLOAD).then(|| text.to_vec())
        })
    }
}
