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
use std::collections::{HashMap, HashSet};
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
    /// Numbers of those that it needs itself.
    needs: Vec<usize>,
}

/// Libraries that came with extensions.
#[derive(Default)]
pub struct Companions {
    all: Vec<Companion>,
    /// What the copy of each is called, once it is loaded.
    copies: Mutex<HashMap<usize, Vec<u8>>>,
}

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
        let named = |path: &Vec<u8>| {
            let names = Names::of(&file::read_file(path, LARGEST).ok()?)?;
            Some((path.clone(), names.own.as_ref()?.1.clone(), names))
        };
        let named: Vec<_> = new.filter_map(named).collect();
        let number = |needed: &Vec<u8>| named.iter().position(|(_, name, _)| name == needed);
        let companion = |(path, name, names): &(Vec<u8>, Vec<u8>, Names)| Companion {
            path: path.clone(),
            name: name.clone(),
            needs: names.needed.iter().filter_map(|(_, needed)| number(needed)).collect(),
        };
        Companions { all: named.iter().map(companion).collect(), copies: Mutex::default() }
    }

    /// Makes a copy of a library, and loads copies of the companions that it needs; gives the name by which the dynamic loader
    /// gets it.
    pub fn copy(&self, path: &[u8]) -> Result<(CString, Fd), String> {
        let mut bytes = file::read_file(path, LARGEST).map_err(|e| format!("it cannot be read: {e}"))?;
        let names = Names::of(&bytes).ok_or("it is no library for this machine")?;
        let mut copies = self.copies.lock().unwrap_or_else(|e| e.into_inner());
        let needs = names.needed.iter().filter_map(|(_, needed)| self.all.iter().position(|c| c.name == *needed));
        self.load(needs.collect(), &mut copies)?;
        let renamed = |needed: &[u8]| {
            let number = self.all.iter().position(|companion| companion.name == needed)?;
            copies.get(&number).cloned()
        };
        patch(&mut bytes, &names, None, renamed)?;
        let copy = Copy::new(path)?;
        copy.write(&bytes)?;
        Ok((copy.path, copy.file))
    }

    /// Loads copies of companions, and of those that they need.
    fn load(&self, needs: Vec<usize>, copies: &mut HashMap<usize, Vec<u8>>) -> Result<(), String> {
        let mut order = Vec::new();
        for number in needs {
            self.visit(number, copies, &mut Vec::new(), &mut order);
        }
        let mut made = Vec::new();
        for &number in &order {
            let companion = &self.all[number];
            made.push((
                Copy::new(&companion.path)?,
                another(&companion.name).ok_or("a library has a very short name")?,
            ));
        }
        for (at, &number) in order.iter().enumerate() {
            let companion = &self.all[number];
            let mut bytes = file::read_file(&companion.path, LARGEST).map_err(|e| format!("it cannot be read: {e}"))?;
            let names = Names::of(&bytes).ok_or("it is no library for this machine")?;
            let renamed = |needed: &[u8]| {
                let number = self.all.iter().position(|companion| companion.name == needed)?;
                let Some(other) = order.iter().position(|&other| other == number) else {
                    return copies.get(&number).cloned();
                };
                // By its place, because some need each other; by its name if that is too short and it is loaded before.
                let (copy, name) = &made[other];
                let place = copy.path.to_bytes();
                Some(if place.len() > name.len() && other < at { name.clone() } else { place.to_vec() })
            };
            patch(&mut bytes, &names, Some(&made[at].1), renamed)?;
            made[at].0.write(&bytes)?;
        }
        for (copy, _) in &made {
            load(&copy.path, libc::RTLD_NOW | libc::RTLD_LOCAL)?;
        }
        copies.extend(order.iter().zip(made).map(|(&number, (_, name))| (number, name)));
        Ok(())
    }

    /// Those that are needed first.
    fn visit(&self, number: usize, copies: &HashMap<usize, Vec<u8>>, entered: &mut Vec<usize>, order: &mut Vec<usize>) {
        if copies.contains_key(&number) || entered.contains(&number) || order.contains(&number) {
            return;
        }
        entered.push(number);
        self.all[number].needs.iter().for_each(|&other| self.visit(other, copies, entered, order));
        order.push(number);
    }
}

/// Overwrites names of libraries in a library.
fn patch(
    bytes: &mut [u8],
    names: &Names,
    own: Option<&[u8]>,
    renamed: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<(), String> {
    let needed = names.needed.iter().filter_map(|(at, name)| Some((*at, name.len(), renamed(name)?)));
    let own = names.own.iter().zip(own).map(|((at, name), own)| (*at, name.len(), own.to_vec()));
    for (at, length, mut name) in needed.chain(own) {
        if name.len() > length {
            return Err("libraries that need each other have short names".into());
        }
        name.resize(length, 0);
        bytes.get_mut(at..at + length).ok_or("it is damaged")?.copy_from_slice(&name);
    }
    Ok(())
}

/// The name of a descriptor's file, with so many more slashes in three places that no other number gives the same: short names, for
/// they may have to fit into others.
fn name_of(number: usize, descriptor: i32) -> String {
    let (mut rest, mut more) = (number, 0);
    while rest >= (more + 1) * (more + 2) / 2 {
        rest -= (more + 1) * (more + 2) / 2;
        more += 1;
    }
    let mut first = 0;
    while rest > more - first {
        rest -= more - first + 1;
        first += 1;
    }
    let slashes = |more: usize| "/".repeat(more + 1);
    let (first, second, third) = (slashes(first), slashes(rest), slashes(more - first - rest));
    format!("/proc{first}self{second}fd{third}{descriptor}")
}

/// A file in memory, to be loaded.
struct Copy {
    file: Fd,
    /// Each copy has another name for the dynamic loader, whichever descriptor it is.
    path: CString,
}

impl Copy {
    /// Empty; it is named after a library.
    fn new(library: &[u8]) -> Result<Copy, String> {
        let last = library.rsplit(|&b| b == b'/').next().unwrap_or(library);
        let file = memory(&last[..last.len().min(200)])?;
        let path = CString::new(name_of(COUNT.fetch_add(1, Relaxed), file.number())).map_err(|e| e.to_string())?;
        Ok(Copy { file, path })
    }

    fn write(&self, bytes: &[u8]) -> Result<(), String> {
        with_room(bytes.len() as u64, || {
            let mut rest = bytes;
            while !rest.is_empty() {
                match file::write(self.file.number(), rest) {
                    Ok(written) if written > 0 => rest = &rest[written..],
                    _ => return Err("there is no memory for it".into()),
                }
            }
            Ok(())
        })
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
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Relaxed) % (DIGITS.len() * DIGITS.len());
    let mut other = name.to_vec();
    (name.len() > 3).then_some(())?;
    other[..3].copy_from_slice(&[b'~', DIGITS[number / DIGITS.len()], DIGITS[number % DIGITS.len()]]);
    Some(other)
}

fn memory(name: &[u8]) -> Result<Fd, String> {
    let name = CString::new(name).map_err(|e| e.to_string())?;
    let create = |flags| {
        // SAFETY: a C string.
        let number = unsafe { libc::memfd_create(name.as_ptr(), flags) };
        (number >= 0).then_some(number).ok_or_else(std::io::Error::last_os_error)
    };
    create(libc::MFD_CLOEXEC | MFD_EXEC)
        .or_else(|e| if e.raw_os_error() == Some(libc::EINVAL) { create(libc::MFD_CLOEXEC) } else { Err(e) })
        .map(Fd::own)
        .map_err(|e| format!("there is no memory for it: {e}"))
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
