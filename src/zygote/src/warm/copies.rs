//! Second copies of shared libraries.
//!
//! An extension that the zygote has initialised cannot be initialised as if for the first time: the dynamic loader gives
//! the library that is there, with all that it keeps. So where a script's own import needs one that nobody has been handed,
//! it gets a copy: the file's contents in memory (`man 2 memfd_create`), loaded under a name of its own. What came
//! with the library and is no extension (OpenBLAS, say, which reads variables when it is loaded), its companions, is copied as well:
//! in each file the names of companions are overwritten by names of the same length that nobody else has. Owns making and
//! loading copies; who needs one is `foreign`'s.

use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, LittleEndian};
use pyzy_sys::file::{self, Fd};
use pyzy_sys::process::{self, Limit};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// No file of this size is a library.
const LARGEST: usize = 1 << 30;
/// What the C compiler and library bring: they keep nothing that a second copy would have to have anew, and much that must be there once.
const SHARED: &str = "ld-linux libc.so libm.so libdl.so libpthread.so librt.so libutil.so libgcc_s.so libstdc++.so \
                      libpyzy_zygote.so libpython linux-vdso";
/// `MFD_EXEC` (`man 2 memfd_create`, since Linux 6.3): it may be executed, whatever the system's default is.
const MFD_EXEC: u32 = 0x10;

/// A library that came with an extension.
struct Companion {
    path: Vec<u8>,
    /// What others call it (`DT_SONAME`).
    name: Vec<u8>,
    /// What its copy is called, once there is one.
    copy: Mutex<Option<Vec<u8>>>,
}

/// Libraries that came with extensions.
#[derive(Default)]
pub struct Companions(Vec<Companion>);

/// How many copies have been made.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The names under which libraries are loaded, by the dynamic loader (`man 3 dl_iterate_phdr`).
pub fn loaded() -> HashSet<Vec<u8>> {
    unsafe extern "C" fn add(info: *mut libc::dl_phdr_info, _: libc::size_t, to: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the loader's record and C string, and the set of `loaded`.
        unsafe { (*to.cast::<HashSet<Vec<u8>>>()).insert(CStr::from_ptr((*info).dlpi_name).to_bytes().to_vec()) };
        0
    }
    let mut names = HashSet::new();
    // SAFETY: `add` takes a set.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut names).cast()) };
    names
}

impl Companions {
    /// What has been loaded since and is none of these extensions.
    pub fn since(before: &HashSet<Vec<u8>>, extensions: &[Vec<u8>]) -> Companions {
        let places: Vec<_> = extensions.iter().map(|path| place(path)).collect();
        let is_shared = |path: &[u8]| {
            let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
            SHARED.split_whitespace().any(|shared| name.starts_with(shared.as_bytes()))
        };
        let is_companion = |path: &&Vec<u8>| {
            path.first() == Some(&b'/') && !is_shared(path) && place(path).is_some() && !places.contains(&place(path))
        };
        let now = loaded();
        let new = now.difference(before).filter(is_companion);
        let companion = |path: &Vec<u8>| {
            let name = Names::of(&file::read_file(path, LARGEST).ok()?)?.own?;
            Some(Companion { path: path.clone(), name: name.1, copy: Mutex::new(None) })
        };
        Companions(new.filter_map(companion).collect())
    }

    /// Makes a copy of a library, and of the companions that it needs; gives the name by which the dynamic loader gets it.
    pub fn copy(&self, path: &[u8]) -> Result<(CString, Fd), String> {
        let bytes = file::read_file(path, LARGEST).map_err(|e| format!("it cannot be read: {e}"))?;
        self.write(bytes, path, None)
    }

    /// The companion's new name, loaded by now.
    fn renamed(&self, companion: &Companion) -> Result<Vec<u8>, String> {
        let mut copy = companion.copy.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(name) = &*copy {
            return Ok(name.clone());
        }
        let name = another(&companion.name).ok_or("a library has a very short name")?;
        let bytes = file::read_file(&companion.path, LARGEST).map_err(|e| format!("it cannot be read: {e}"))?;
        let (path, _file) = self.write(bytes, &companion.path, Some(&name))?;
        load(&path, libc::RTLD_NOW | libc::RTLD_LOCAL)?;
        *copy = Some(name.clone());
        Ok(name)
    }

    fn write(&self, mut bytes: Vec<u8>, path: &[u8], own: Option<&[u8]>) -> Result<(CString, Fd), String> {
        let names = Names::of(&bytes).ok_or("it is no library for this machine")?;
        let mut patches: Vec<(usize, Vec<u8>)> = Vec::new();
        for (at, needed) in &names.needed {
            if let Some(companion) = self.0.iter().find(|companion| companion.name == *needed) {
                patches.push((*at, self.renamed(companion)?));
            }
        }
        if let (Some((at, _)), Some(own)) = (&names.own, own) {
            patches.push((*at, own.to_vec()));
        }
        for (at, name) in patches {
            bytes.get_mut(at..at + name.len()).ok_or("it is damaged")?.copy_from_slice(&name);
        }
        let last = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
        let file = with_room(bytes.len() as u64, || memory(&last[..last.len().min(200)], &bytes))?;
        // Each copy has another name for the loader, whichever descriptor it is.
        let dots = "./".repeat(COUNT.fetch_add(1, Relaxed));
        let name = CString::new(format!("/proc/self/fd/{dots}{}", file.number())).map_err(|e| e.to_string())?;
        Ok((name, file))
    }
}

/// Loads a library for good.
pub fn load(path: &CStr, flags: libc::c_int) -> Result<(), String> {
    // SAFETY: a C string. What its constructors do is what they would do for the original.
    unsafe {
        if libc::dlopen(path.as_ptr(), flags).is_null() {
            let text = libc::dlerror();
            let text = if text.is_null() { c"it cannot be loaded" } else { CStr::from_ptr(text) };
            return Err(text.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Device and inode.
pub fn place(path: &[u8]) -> Option<(u64, u64)> {
    file::stat(path).ok().map(|stat| (stat.dev, stat.ino))
}

/// The same name with another beginning of three characters, which no other library has.
fn another(name: &[u8]) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let number = COUNT.load(Relaxed) % (DIGITS.len() * DIGITS.len());
    let mut other = name.to_vec();
    (name.len() > 3).then_some(())?;
    other[..3].copy_from_slice(&[b'~', DIGITS[number / DIGITS.len()], DIGITS[number % DIGITS.len()]]);
    Some(other)
}

fn memory(name: &[u8], bytes: &[u8]) -> Result<Fd, String> {
    let name = CString::new(name).map_err(|e| e.to_string())?;
    let create = |flags| {
        // SAFETY: a C string.
        let number = unsafe { libc::memfd_create(name.as_ptr(), flags) };
        (number >= 0).then_some(number).ok_or_else(std::io::Error::last_os_error)
    };
    let number = create(libc::MFD_CLOEXEC | MFD_EXEC)
        .or_else(|e| if e.raw_os_error() == Some(libc::EINVAL) { create(libc::MFD_CLOEXEC) } else { Err(e) })
        .map_err(|e| format!("there is no memory for it: {e}"))?;
    let file = Fd::own(number);
    let mut rest = bytes;
    while !rest.is_empty() {
        match file::write(file.number(), rest) {
            Ok(written) if written > 0 => rest = &rest[written..],
            _ => return Err("there is no memory for it".into()),
        }
    }
    Ok(file)
}

/// The process's limit for the size of files holds for memory as well (`man 2 setrlimit`, RLIMIT_FSIZE); as far as it may be raised, it
/// is raised meanwhile.
fn with_room<T>(size: u64, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let resource = libc::RLIMIT_FSIZE as usize;
    let Ok(before) = process::limit(resource) else { return work() };
    if before.soft >= size {
        return work();
    }
    if before.hard < size || process::set_limit(resource, Limit { soft: before.hard, hard: before.hard }).is_err() {
        return Err("the limit for the size of files is too low".into());
    }
    let done = work();
    let _ = process::set_limit(resource, before);
    done
}

/// Names of libraries in a library, each with its place in the file.
struct Names {
    own: Option<(usize, Vec<u8>)>,
    /// Needed ones, and those whose versions are.
    needed: Vec<(usize, Vec<u8>)>,
}

impl Names {
    /// By the file's dynamic section (`man 5 elf`). `None` if that is not as it should be.
    fn of(bytes: &[u8]) -> Option<Names> {
        let header = FileHeader64::<Endianness>::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        let segments = header.program_headers(endian, bytes).ok()?;
        let place = |address: u64| {
            let within = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
            within.into_iter().find_map(|segment| {
                let offset = address.checked_sub(segment.p_vaddr(endian))?;
                (offset < segment.p_filesz(endian)).then(|| (segment.p_offset(endian) + offset) as usize)
            })
        };
        let dynamic = segments.iter().find_map(|segment| segment.dynamic(endian, bytes).ok().flatten())?;
        let value = |tag| dynamic.iter().find(|d| d.d_tag(endian) == tag).map(|d| d.d_val(endian));
        let texts = place(value(elf::DT_STRTAB)?)?;
        let text = |offset: u64| {
            let at = texts.checked_add(offset as usize)?;
            let rest = bytes.get(at..)?;
            Some((at, rest[..rest.iter().position(|&b| b == 0)?].to_vec()))
        };
        let own = value(elf::DT_SONAME).and_then(text);
        let needs = dynamic.iter().filter(|d| d.d_tag(endian) == elf::DT_NEEDED);
        let mut needed: Vec<(usize, Vec<u8>)> = needs.map(|d| text(d.d_val(endian))).collect::<Option<_>>()?;
        // A list of libraries whose versions of symbols are wanted; each has the offset of its name and of the next.
        let mut at = value(elf::DT_VERNEED).and_then(place);
        for _ in 0..value(elf::DT_VERNEEDNUM).unwrap_or(0) {
            let record = at?;
            let word = |offset: usize| {
                let bytes: [u8; 4] = bytes.get(record + offset..record + offset + 4)?.try_into().ok()?;
                Some(object::U32::<LittleEndian>::from_bytes(bytes).get(LittleEndian))
            };
            let name = text(u64::from(word(4)?))?;
            if !needed.contains(&name) {
                needed.push(name);
            }
            let next = word(12)? as usize;
            at = (next != 0).then_some(record + next);
        }
        Some(Names { own, needed })
    }
}
