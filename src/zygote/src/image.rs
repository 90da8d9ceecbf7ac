//! The capture: this process's memory becomes an image (`pyzy_core::image`).
//!
//! Owns which memory is written and how, the trials that the finished file has
//! to pass before anybody else sees it, and what those teach about the pages
//! that a run touches. All of it happens in a child of the zygote that was
//! forked before anybody's request was read.

use crate::capi::{self, Object};
use crate::codes;
use crate::entry;
use crate::places;
use crate::spare;
use crate::stack::{AuxiliaryVector, StackPointers};
use crate::warm::asleep;
use crate::worker::{self, Prepared};
use pyo3::ffi;
use pyzy_core::fresh::Table;
use pyzy_core::image::{self, EXECUTE, Machine, Numbers, PAGE, Parts, Patch, READ, Range, Region, TRIAL, Value, WRITE};
use pyzy_core::start::{ImageStart, LABEL, Start};
use pyzy_core::version::VERSION;
use pyzy_sys::file;
use pyzy_sys::{arch, process, signal};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

/// How long a trial may take, nanoseconds.
const TRIAL_TIME: i64 = 10_000_000_000;
/// Zeroes of at least this many pages are no part of the file, but mapped fresh.
const ZEROES: usize = 64;
/// Zero pages are left out of the file where so many lie together.
const HOLE: usize = 16;
/// Contents lie at an offset that agrees with their address in this, bytes: neighbours stay neighbours, and the kernel
/// can map many pages at one fault.
const LARGE: u64 = 2 << 20;
/// Room in the head for what is known last: the pages that runs change, bytes.
const ROOM: usize = 48 * 1024;

/// The child that makes the image.
pub struct Imager {
    /// Its process id.
    pub pid: i32,
}

impl Imager {
    /// Forks it.
    pub fn fork(start: &Start, prepared: &Prepared) -> Option<Imager> {
        let image = start.image?;
        let zygote = process::id();
        // SAFETY: the zygote has one thread, which holds the GIL.
        let pid = unsafe {
            spare::fork_bound(|| {
                let _ = file::fcntl(image.lock, libc::F_SETFD, libc::FD_CLOEXEC as usize);
                let name = |suffix: &str| file_name(start, &image, suffix);
                let new = unfinished(start, &image, process::id());
                let made = Maker { start, image, prepared, zygote, new: &new }.make(&name("image"));
                if let Err(text) = made {
                    let _ = file::unlink(&new);
                    // A start-up that has changed meanwhile says nothing about the next one.
                    if Table::decode(start.table).is_some_and(|table| worker::is_fresh(&table)) {
                        let _ = std::fs::write(OsStr::from_bytes(&name("failed")), format!("image: {text}\n"));
                    }
                    process::exit(1)
                }
                let _ = file::unlink(&name("failed"));
                process::exit(0)
            })
        };
        file::close(image.lock);
        (pid > 0).then_some(Imager { pid })
    }

    /// Ends it; nothing of an unfinished image is left, and none will appear any more.
    pub fn stop(self, start: &Start, image: &ImageStart) {
        let _ = signal::send(self.pid, libc::SIGKILL);
        let _ = process::wait(self.pid);
        let _ = file::unlink(&unfinished(start, image, self.pid));
    }
}

/// `RUNTIME/KEY.suffix`
fn file_name(start: &Start, image: &ImageStart, suffix: &str) -> Vec<u8> {
    [start.runtime, b"/", &image.key.hex(), b".", suffix.as_bytes()].concat()
}

/// What the child with that number writes before it has a name.
fn unfinished(start: &Start, image: &ImageStart, pid: i32) -> Vec<u8> {
    file_name(start, image, &format!("image.{pid}.new"))
}

struct Maker<'a> {
    start: &'a Start<'a>,
    image: ImageStart<'a>,
    prepared: &'a Prepared,
    zygote: i32,
    new: &'a [u8],
}

impl Maker<'_> {
    /// Captures, tries, learns, tries again, and publishes under `path`.
    fn make(&self, path: &[u8]) -> Result<(), String> {
        // A module that confines the interpreter by its file cannot confine the launcher that becomes it.
        if file::read_file(LABEL, 4096).unwrap_or_default() != self.image.label {
            return Err("a security module treats the interpreter otherwise than its callers".into());
        }
        if !places::are_clear() {
            return Err("the addresses of the vdso or the stack can be mistaken for the end of a text".into());
        }
        let table = Table::decode(self.start.table).ok_or("no freshness table")?;
        self.prepared.warm_up().ok_or_else(|| format!("cannot rehearse: {}", worker::take_exception()))?;
        entry::note(self.prepared)?;
        codes::prepare_trial(&trial_script(&self.word())).ok_or("cannot compile")?;
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(OsStr::from_bytes(self.new))
            .map_err(|e| format!("cannot write '{}': {e}", String::from_utf8_lossy(self.new)))?;
        file.set_len(PAGE).map_err(|e| format!("cannot write an image: {e}"))?;
        let mut parts = Capture::new(self.image.debuggable.then_some(&table))?;
        if !self.image.debuggable && can_wake(&file) {
            parts.asleep = asleep::fall_asleep().map(|(start, end)| (start as u64, end as u64)).collect();
        }
        let head = (ROOM + self.start.table.len()).next_multiple_of(64 * 1024);
        let written = parts.write(&file, head as u64);
        let size = written.map_err(|e| format!("cannot write an image: {e}"))?;
        parts.regions.sort_unstable_by_key(|r| r.address);
        parts.patches.sort_unstable_by_key(|p| p.address);
        let numbers = self.numbers(table.nonce, parts.heap_end)?;
        let put_head = |written: &[Range]| {
            let bytes = parts.head(self, numbers, written, head, size).ok_or("its head is too long")?;
            file.write_all_at(&bytes, 0).map_err(|e| format!("cannot write an image: {e}"))
        };
        put_head(&[])?;
        let changed = self.trial(true)?;
        put_head(&changed)?;
        self.trial(false)?;
        if !worker::is_fresh(&table) {
            return Err("a file that start-up reads has changed meanwhile".into());
        }
        self.make_room(size);
        // Whatever else has that name makes way; a directory does not by itself, and one with something in it is not ours.
        let _ = std::fs::remove_dir(OsStr::from_bytes(path));
        file::rename(self.new, path).map_err(|e| format!("cannot publish an image: {e}"))
    }

    fn numbers(&self, nonce: u64, heap_end: u64) -> Result<Numbers, String> {
        let [code, code_end, _, data, data_end, heap] = worker::bounds().ok_or("cannot read /proc/self/stat")?;
        let vector = AuxiliaryVector::read()?;
        let [seconds, runs, _] = self.image.limits;
        let program = [libc::AT_PHDR, libc::AT_PHENT, libc::AT_PHNUM, libc::AT_BASE, libc::AT_ENTRY];
        Ok(Numbers {
            nonce,
            zygote: self.zygote as u64,
            created: process::clock(libc::CLOCK_BOOTTIME) as u64,
            lifetime: seconds.saturating_mul(1_000_000_000),
            runs,
            entry: entry::address() as u64,
            thread: arch::thread_pointer() as u64,
            bounds: [code, code_end, data, data_end, heap, heap_end],
            program: program.map(|kind| vector.get(kind)),
        })
    }

    /// What a trial prints.
    fn word(&self) -> String {
        format!("{:016x}", self.image.key.0.iter().fold(0u64, |n, b| n.rotate_left(7) ^ u64::from(*b)))
    }

    /// Restores the file in a process of its own and looks whether a script runs as it should.
    fn trial(&self, learn: bool) -> Result<Vec<Range>, String> {
        let word = self.word();
        let script = spare::memory_file(c"pyzy-trial").ok_or("no memory")?;
        let text = trial_script(&word);
        if file::write(script.number(), text.as_bytes()) != Ok(text.len()) {
            return Err("no memory".into());
        }
        let report = spare::memory_file(c"pyzy-pages").ok_or("no memory")?;
        let output = spare::memory_file(c"pyzy-output").ok_or("no memory")?;
        let number = if learn { report.number() } else { -1 };
        let arguments = [
            TRIAL.as_bytes().to_vec(),
            self.new.to_vec(),
            number.to_string().into_bytes(),
            format!("/proc/self/fd/{}", script.number()).into_bytes(),
        ];
        let code = self.run(&arguments, output.number(), &[script.number(), report.number()])?;
        let said = spare::read_back(&output);
        if code != 0 || said != as_printed(&format!("{word}\n")).ok_or("cannot tell what a script would print")? {
            let said = String::from_utf8_lossy(&said).trim().chars().take(300).collect::<String>();
            return Err(format!("a trial restore ended with status {code:#x} and said '{said}'"));
        }
        Ok(if learn { ranges(&spare::read_back(&report)) } else { Vec::new() })
    }

    /// Runs the launcher with standard output and error in a file; gives the wait status.
    fn run(&self, arguments: &[Vec<u8>], output: i32, keep: &[i32]) -> Result<i32, String> {
        let program = CString::new(self.image.launcher).map_err(|e| e.to_string())?;
        let arguments: Vec<CString> = arguments.iter().filter_map(|a| CString::new(&a[..]).ok()).collect();
        let mut argv: Vec<*const libc::c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
        argv.push(std::ptr::null());
        let environ = worker::environment();
        let mut envp: Vec<*const libc::c_char> = environ.iter().map(|e| e.as_ptr()).collect();
        envp.push(std::ptr::null());
        // SAFETY: the child of the fork makes system calls only, until it execs or ends.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: C strings in null-terminated tables.
            unsafe {
                libc::dup2(output, 1);
                libc::dup2(output, 2);
                for &fd in keep {
                    libc::fcntl(fd, libc::F_SETFD, 0);
                }
                libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr());
                libc::_exit(127)
            }
        }
        spare::await_end(pid, TRIAL_TIME).ok_or_else(|| "a trial restore takes too long".into())
    }

    /// Removes images, the least recently used first, until all of them and this one fit.
    fn make_room(&self, _size: u64) {
        let limit = self.image.limits[2].saturating_mul(1 << 20);
        let mut images: Vec<(u64, u64, Vec<u8>)> = Vec::new();
        for name in file::list(self.start.runtime).unwrap_or_default() {
            let path = [self.start.runtime, b"/", &name].concat();
            if name.ends_with(b".image")
                && let Ok(stat) = file::lstat(&path)
            {
                images.push((last_use(&path).unwrap_or(0), stat.blocks * 512, path));
            }
        }
        let ours = file::lstat(self.new).map_or(0, |s| s.blocks * 512);
        let mut sum = ours + images.iter().map(|i| i.1).sum::<u64>();
        images.sort_unstable();
        for (_, size, path) in images {
            if sum > limit {
                let _ = file::unlink(&path);
                sum -= size;
            }
        }
    }
}

fn trial_script(word: &str) -> String {
    format!("print('{word}')\n")
}

/// When an image was last used, by its own note.
pub fn last_use(path: &[u8]) -> Option<u64> {
    let file = file::open(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0).ok()?;
    let mut start = [0; image::START];
    (file::read(file.number(), &mut start).ok()? == start.len()).then_some(())?;
    image::head_length(&start).ok()?;
    Some(u64::from_le_bytes(start[image::LAST_USE..image::LAST_USE + 8].try_into().ok()?))
}

/// The zygote's number in the image at `path`.
pub fn nonce(path: &[u8]) -> Option<u64> {
    let stat = file::lstat(path).ok().filter(|s| s.is_file())?;
    let head = file::read_file(path, image::MAX_HEAD).ok()?;
    image::Image::decode(&head, stat.size).ok().map(|image| image.numbers.nonce)
}

/// A text as standard output encodes it.
fn as_printed(text: &str) -> Option<Vec<u8>> {
    let stream = capi::sys(c"stdout")?;
    // SAFETY: the GIL is held; live objects, and bytes that live as long as their object.
    unsafe {
        let text = Object::own(ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), text.len() as isize))?;
        let (encoding, errors) = (stream.attribute(c"encoding")?, stream.attribute(c"errors")?);
        let arguments = Object::own(ffi::PyTuple_Pack(2, encoding.raw(), errors.raw()))?;
        let encode = text.attribute(c"encode")?;
        let bytes = Object::own(capi::PyObject_CallObject(encode.raw(), arguments.raw()))?;
        let (mut start, mut size) = (std::ptr::null_mut(), 0);
        (ffi::PyBytes_AsStringAndSize(bytes.raw(), &mut start, &mut size) == 0).then_some(())?;
        Some(std::slice::from_raw_parts(start.cast::<u8>(), size as usize).to_vec())
    }
}

/// A line of `/proc/self/maps`.
struct Mapping<'a> {
    start: u64,
    end: u64,
    protection: u32,
    offset: u64,
    name: &'a [u8],
}

/// The lines of `/proc/self/maps`; allocates nothing.
fn mappings(text: &[u8]) -> impl Iterator<Item = Mapping<'_>> {
    fn number(digits: &[u8]) -> Option<u64> {
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
    text.split(|&b| b == b'\n').filter_map(|line| {
        // start-end rwxp offset device inode, and a name after some blanks.
        let mut words = line.splitn(6, |&b| b == b' ');
        let bounds = words.next()?;
        let dash = bounds.iter().position(|&b| b == b'-')?;
        let flags = words.next()?;
        let bit = |c, bit| if flags.contains(&c) { bit } else { 0 };
        Some(Mapping {
            start: number(&bounds[..dash])?,
            end: number(&bounds[dash + 1..])?,
            protection: bit(b'r', READ) | bit(b'w', WRITE) | bit(b'x', EXECUTE),
            offset: number(words.next()?)?,
            name: words.nth(2).unwrap_or_default().trim_ascii(),
        })
    })
}

/// Begin and end of what may be written to, by `/proc/self/maps`.
pub fn writable(maps: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    mappings(maps).filter(|m| m.protection & (READ | WRITE) == READ | WRITE).map(|m| (m.start, m.end))
}

/// Begin and end of what is mapped from a file, by `/proc/self/maps`.
pub fn parts_of<'a>(maps: &'a [u8], path: &'a [u8], only_code: bool) -> impl Iterator<Item = (usize, usize)> + 'a {
    let parts = mappings(maps).filter(move |m| m.name == path && (!only_code || m.protection & EXECUTE != 0));
    parts.map(|m| (m.start as usize, m.end as usize))
}

/// May code that was written to be executed afterwards, in a mapping of this file? A security module may forbid it.
fn can_wake(file: &File) -> bool {
    let page = PAGE as usize;
    // SAFETY: a mapping of our own, and gone at the end.
    unsafe {
        let (protection, number) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        let at = libc::mmap(std::ptr::null_mut(), page, protection, libc::MAP_PRIVATE, number, 0);
        if at == libc::MAP_FAILED {
            return false;
        }
        at.cast::<u8>().write_volatile(0);
        let done = libc::mprotect(at, page, libc::PROT_READ | libc::PROT_EXEC) == 0;
        libc::munmap(at, page);
        done
    }
}

/// A list in memory that was set aside.
struct List<T: Copy + 'static> {
    room: &'static mut [MaybeUninit<T>],
    length: usize,
}

impl<T: Copy> List<T> {
    fn new(room: &'static mut [u8]) -> List<T> {
        // SAFETY: any bytes are uninitialised memory.
        let (_, room, _) = unsafe { room.align_to_mut() };
        List { room, length: 0 }
    }

    fn is_full(&self) -> bool {
        self.length == self.room.len()
    }

    fn push(&mut self, item: T) {
        self.room[self.length].write(item);
        self.length += 1;
    }

    fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl<T: Copy> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: so many were written.
        unsafe { std::slice::from_raw_parts(self.room.as_ptr().cast(), self.length) }
    }
}

impl<T: Copy> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: so many were written.
        unsafe { std::slice::from_raw_parts_mut(self.room.as_mut_ptr().cast(), self.length) }
    }
}

/// The memory of this process, as it goes into an image.
struct Capture<'a> {
    /// Files that may be mapped instead of being written once more, if that is wanted.
    table: Option<&'a Table<'a>>,
    /// For comparing memory with a file.
    buffer: Vec<u8>,
    /// Code that nobody calls before it is woken.
    asleep: Vec<(u64, u64)>,
    /// Set aside, and no part of the image, as the lists are: for reading the map without changing it.
    scratch: &'static mut [u8],
    regions: List<Region>,
    patches: List<Patch>,
    /// Begin and end of memory that is no file's: the heap, and what was mapped like it.
    nameless: List<(u64, u64)>,
    /// Where the kernel's page of functions lies.
    vdso: (u64, u64),
    stack: (u64, u64),
    /// Where the heap ended when it was written.
    heap_end: u64,
    pointers: StackPointers,
    /// A copy of the texts that the kernel laid at the stack's end, for those who point to them (AT_PLATFORM and the like).
    copy: &'static [u8],
}

impl<'a> Capture<'a> {
    fn new(table: Option<&'a Table<'a>>) -> Result<Capture<'a>, String> {
        const MAP: usize = 1 << 20;
        const MOST: usize = 4096;
        let (regions, patches) = (MOST * size_of::<Region>(), MOST * size_of::<Patch>());
        let nameless = MOST * size_of::<(u64, u64)>();
        let size = MAP + regions + patches + nameless;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping, never unmapped; shared, so that it becomes no part of its neighbours.
        let scratch = unsafe {
            let at = libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0);
            if at == libc::MAP_FAILED {
                return Err("no memory".into());
            }
            std::slice::from_raw_parts_mut(at.cast::<u8>(), size)
        };
        let (scratch, lists) = scratch.split_at_mut(MAP);
        let (regions, lists) = lists.split_at_mut(regions);
        let (patches, nameless) = lists.split_at_mut(patches);
        let (regions, patches, nameless) = (List::new(regions), List::new(patches), List::new(nameless));
        let pointers = StackPointers::find()?;
        let maps = std::fs::read("/proc/self/maps").map_err(|e| format!("cannot read /proc/self/maps: {e}"))?;
        let stack = mappings(&maps).find(|m| m.name == b"[stack]").ok_or("no stack")?;
        if !(stack.start..stack.end).contains(&pointers.texts) {
            return Err("the stack is not where it began".into());
        }
        let length = (stack.end - pointers.texts) as usize;
        // SAFETY: what the kernel wrote at the stack's end; nobody changes it.
        let copy = unsafe { std::slice::from_raw_parts(pointers.texts as *const u8, length) }.to_vec().leak();
        let buffer = vec![0; 64 * 1024];
        let (vdso, held) = ((0, 0), (0, 0));
        Ok(Capture {
            table,
            buffer,
            asleep: Vec::new(),
            scratch,
            regions,
            patches,
            nameless,
            vdso,
            stack: held,
            heap_end: 0,
            pointers,
            copy,
        })
    }

    /// Reads the map of this process. Allocates nothing: the heap must not change between this and the writing.
    fn read_map(&mut self) -> Option<()> {
        let file = file::open(b"/proc/self/maps", libc::O_RDONLY, 0).ok()?;
        let mut length = 0;
        loop {
            let got = file::read(file.number(), &mut self.scratch[length..]).ok()?;
            length += got;
            if got == 0 {
                break;
            }
        }
        (length < self.scratch.len()).then_some(())?;
        let scratch = self.scratch.as_ptr() as u64;
        for mapping in mappings(&self.scratch[..length]) {
            let Mapping { start, end, protection, offset, name } = mapping;
            match name {
                b"[vdso]" => self.vdso = (start, end),
                b"[stack]" => self.stack = (start, end),
                // The kernel's own; every process has them.
                b"[vvar]" | b"[vvar_vclock]" | b"[vsyscall]" => {}
                _ if protection & READ == 0 || start == scratch => {}
                _ if self.regions.is_full() || self.nameless.is_full() => return None,
                _ => {
                    if !name.starts_with(b"/") {
                        self.nameless.push((start, end));
                    }
                    let file = self.table.and_then(|table| place_of(table, &mut self.buffer, &mapping));
                    let offset = file.map(|_| offset);
                    self.regions.push(Region { address: start, length: end - start, offset, file, protection });
                }
            }
        }
        (self.vdso.0 != 0 && self.stack.0 != 0).then_some(())
    }

    /// Writes the contents behind a head of that length; gives the length of the file. Allocates nothing.
    fn write(&mut self, file: &File, head: u64) -> std::io::Result<u64> {
        self.read_map().ok_or(std::io::ErrorKind::Unsupported)?;
        // SAFETY: asks only.
        self.heap_end = unsafe { libc::sbrk(0) } as u64;
        self.find_patches().ok_or(std::io::ErrorKind::Unsupported)?;
        self.join();
        // Nothing lies in the head's large piece, so that all others can be read as wholes.
        let (mut at, count) = (head.next_multiple_of(LARGE), self.regions.len());
        for index in 0..count {
            let whole = self.regions[index];
            if whole.file.is_some() {
                continue;
            }
            // SAFETY: mapped and readable, by `/proc/self/maps`, and nothing is unmapped meanwhile.
            let bytes = unsafe { std::slice::from_raw_parts(whole.address as *const u8, whole.length as usize) };
            let mut first = true;
            let mut part = 0;
            while part < bytes.len() {
                let zeroes = count_pages(&bytes[part..], true);
                let apart = whole.protection & WRITE != 0 && zeroes >= ZEROES;
                let length =
                    if apart { zeroes } else { pages_until_zeroes(&bytes[part..], whole.protection) } * PAGE as usize;
                let address = whole.address + part as u64;
                let offset = if apart {
                    None
                } else {
                    at += address.wrapping_sub(at) % LARGE;
                    let offset = at;
                    set_aside(file, offset, length as u64)?;
                    write_pages(file, &bytes[part..part + length], offset)?;
                    at += length as u64;
                    Some(offset - head)
                };
                let (length, protection) = (length as u64, whole.protection);
                let region = Region { address, length, offset, file: None, protection };
                if first {
                    self.regions[index] = region;
                    first = false;
                } else {
                    assert!(!self.regions.is_full(), "too many regions");
                    self.regions.push(region);
                }
                part += length as usize;
            }
        }
        file.set_len(at)?;
        Ok(at)
    }

    /// Neighbours are one region if both may be written to, or neither. A library's code and constants become one range
    /// that may be read and executed: fewer mappings are made and taken down, and fewer pieces written.
    fn join(&mut self) {
        for region in self.regions.iter_mut() {
            let within = |&(start, end): &(u64, u64)| start <= region.address && region.address + region.length <= end;
            if region.file.is_none() && self.asleep.iter().any(within) {
                region.protection = READ | WRITE;
            }
        }
        let mut kept = 0;
        for at in 1..self.regions.len() {
            let (last, region) = (self.regions[kept], self.regions[at]);
            let alike = (last.protection ^ region.protection) & WRITE == 0 && last.file == region.file;
            let follows = last.offset.is_none_or(|offset| region.offset == Some(offset + last.length));
            if alike && follows && last.address + last.length == region.address {
                self.regions[kept].length += region.length;
                self.regions[kept].protection |= region.protection;
            } else {
                kept += 1;
                self.regions[kept] = region;
            }
        }
        self.regions.truncate(kept + 1);
    }

    /// Finds the words that are another process's business. A region that has one becomes writable. Allocates nothing.
    fn find_patches(&mut self) -> Option<()> {
        let canary = arch::CANARY.map(|offset| (arch::thread_pointer() + offset) as u64);
        let (vdso, held) = (self.vdso, self.stack);
        for region in self.regions.iter_mut() {
            if region.protection & EXECUTE != 0 || region.file.is_some() {
                continue;
            }
            let is_nameless = self.nameless.iter().any(|&(start, end)| (start..end).contains(&region.address));
            let mut last = 0;
            for address in (region.address..region.address + region.length).step_by(8) {
                let before = last;
                // SAFETY: mapped, readable and aligned.
                let word = unsafe { pyzy_sys::memory::read_word(address as usize) } as u64;
                last = word;
                // Its end is the beginning of something else, except where it stands beside its beginning (l_map_end).
                let found = if (vdso.0..vdso.1).contains(&word) || word == vdso.1 && before == vdso.0 {
                    Some((Value::Vdso, word - vdso.0))
                } else if Some(address) == canary {
                    Some((Value::Canary, 0))
                } else if (held.0..held.1).contains(&word) && (!is_nameless || self.pointers.is_whole(word)) {
                    let value = self.pointers.value(word);
                    if value.is_none() && word >= self.pointers.texts {
                        // This process is there for the capture only: its own memory may be changed.
                        let page = (address & !(PAGE - 1)) as *mut libc::c_void;
                        // SAFETY: a page of this process, without code, that may be written to from now on.
                        unsafe { libc::mprotect(page, PAGE as usize, libc::PROT_READ | libc::PROT_WRITE) };
                        let to = self.copy.as_ptr() as u64 + (word - self.pointers.texts);
                        // SAFETY: mapped and writable now; what it pointed to is the same at the new place.
                        unsafe { pyzy_sys::memory::write_word(address as usize, to as usize) };
                    }
                    value
                } else {
                    None
                };
                if let Some((value, offset)) = found {
                    (!self.patches.is_full()).then_some(())?;
                    self.patches.push(Patch { address, value, offset: offset as u32 });
                    region.protection |= WRITE;
                }
            }
        }
        Some(())
    }

    fn head(&self, maker: &Maker, numbers: Numbers, written: &[Range], length: usize, size: u64) -> Option<Vec<u8>> {
        let vector = AuxiliaryVector::read().ok()?;
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
        const AT_MINSIGSTKSZ: u64 = 51;
        let abilities = [libc::AT_HWCAP, libc::AT_HWCAP2, AT_MINSIGSTKSZ].map(|kind| vector.get(kind));
        let regions = &self.regions[..];
        Parts {
            key: maker.image.key,
            version: VERSION.as_bytes(),
            machine: Machine { boot: image::boot_id(&boot)?, abilities },
            numbers,
            regions,
            patches: &self.patches,
            written: &within(written, regions),
            fresh: maker.start.table,
        }
        .encode(length, size)
    }
}

/// The place in the table of the file that a mapping shows unchanged, if that is a file of start-up's. Allocates nothing.
fn place_of(table: &Table, buffer: &mut [u8], mapping: &Mapping) -> Option<u32> {
    (mapping.name.starts_with(b"/") && mapping.protection & WRITE == 0).then_some(())?;
    let place = table.paths.iter().position(|(path, facts)| *path == mapping.name && facts.is_some())?;
    let file = file::open(mapping.name, libc::O_RDONLY | libc::O_NOCTTY, 0).ok()?;
    (Some(file::fstat(file.number()).ok()?.facts()) == table.paths[place].1).then_some(())?;
    let (start, length) = (mapping.start as usize, (mapping.end - mapping.start) as usize);
    // SAFETY: mapped and readable, and nothing is unmapped meanwhile.
    let memory = unsafe { std::slice::from_raw_parts(start as *const u8, length) };
    let mut at = 0;
    while at < length {
        let wanted = buffer.len().min(length - at);
        let offset = (mapping.offset as usize + at) as libc::off_t;
        // SAFETY: the buffer is writable for that length.
        let got = unsafe { libc::pread(file.number(), buffer.as_mut_ptr().cast(), wanted, offset) };
        let got = usize::try_from(got).ok()?;
        if got == 0 {
            // Behind the file's end its last page is zeroes.
            return (length - at < PAGE as usize && memory[at..].iter().all(|&b| b == 0)).then_some(place as u32);
        }
        (buffer[..got] == memory[at..at + got]).then_some(())?;
        at += got;
    }
    Some(place as u32)
}

/// How many pages from the beginning are all zero (or are not).
fn count_pages(bytes: &[u8], zero: bool) -> usize {
    bytes.chunks(PAGE as usize).take_while(|page| is_zero(page) == zero).count()
}

fn is_zero(page: &[u8]) -> bool {
    // SAFETY: any eight bytes are a number.
    let (head, words, tail) = unsafe { page.align_to::<u64>() };
    head.iter().chain(tail).all(|&b| b == 0) && words.iter().all(|&w| w == 0)
}

/// How many pages there are before many zeroes begin that are better mapped fresh; at least one.
fn pages_until_zeroes(bytes: &[u8], protection: u32) -> usize {
    let pages = bytes.len() / PAGE as usize;
    if protection & WRITE == 0 {
        return pages;
    }
    let (mut at, mut run) = (0, 0);
    while at < pages {
        let page = &bytes[at * PAGE as usize..(at + 1) * PAGE as usize];
        run = if is_zero(page) { run + 1 } else { 0 };
        if run == ZEROES && at + 1 > run {
            return at + 1 - run;
        }
        at += 1;
    }
    pages
}

/// Has the file system keep room for what will be mapped: to read a hole of a full tmpfs is a SIGBUS. Where it has no such
/// call, reading a hole takes no room.
fn set_aside(file: &File, offset: u64, length: u64) -> std::io::Result<()> {
    // SAFETY: changes no memory.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, offset as libc::off_t, length as libc::off_t) } {
        0 => Ok(()),
        _ => match std::io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM)) => Ok(()),
            error => Err(error),
        },
    }
}

/// Writes pages; some zero pages together stay holes. Large pieces become large pieces of the kernel's page cache.
fn write_pages(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        let zeroes = count_pages(&bytes[at..], true);
        let mut end = at + zeroes * PAGE as usize;
        let start = if zeroes >= HOLE { end } else { at };
        while end < bytes.len() {
            let zeroes = count_pages(&bytes[end..], true);
            if zeroes >= HOLE {
                break;
            }
            end += (zeroes + count_pages(&bytes[end + zeroes * PAGE as usize..], false)) * PAGE as usize;
        }
        if start < end {
            file.write_all_at(&bytes[start..end], offset + start as u64)?;
        }
        at = end;
    }
    Ok(())
}

/// The parts of ranges that lie in writable regions.
fn within(ranges: &[Range], regions: &[Region]) -> Vec<Range> {
    let mut found = Vec::new();
    for region in regions.iter().filter(|r| r.protection & WRITE != 0) {
        for range in ranges {
            let start = range.address.max(region.address);
            let end = (range.address + range.length).min(region.address + region.length);
            if start < end {
                found.push(Range { address: start, length: end - start });
            }
        }
    }
    found
}

/// Addresses of pages, neighbours as one range.
fn ranges(bytes: &[u8]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for address in bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default())) {
        match ranges.last_mut() {
            Some(last) if last.address + last.length == address => last.length += PAGE,
            _ => ranges.push(Range { address, length: PAGE }),
        }
    }
    ranges
}

/// In a rehearsal, at its end: writes the address of each page that this process has changed
/// (`man 5 proc_pid_pagemap`: bit 63 present, 61 the file's own page).
pub fn report_pages(report: i32) {
    let (Ok(maps), Ok(pages)) =
        (std::fs::read("/proc/self/maps"), file::open(b"/proc/self/pagemap", libc::O_RDONLY, 0))
    else {
        return;
    };
    let mut out = Vec::new();
    for Mapping { start, end, protection, name, .. } in mappings(&maps) {
        if protection & WRITE == 0 || name.starts_with(b"[") && name != b"[heap]" {
            continue;
        }
        let mut entries = vec![0u8; ((end - start) / PAGE * 8) as usize];
        // SAFETY: the buffer is writable for its length.
        let got = unsafe {
            let at = (start / PAGE * 8) as libc::off_t;
            libc::pread(pages.number(), entries.as_mut_ptr().cast(), entries.len(), at)
        };
        for (at, entry) in entries[..usize::try_from(got).unwrap_or(0)].chunks_exact(8).enumerate() {
            let flags = u64::from_ne_bytes(entry.try_into().unwrap_or_default());
            if flags >> 63 == 1 && flags >> 61 & 1 == 0 {
                out.extend_from_slice(&(start + at as u64 * PAGE).to_ne_bytes());
            }
        }
    }
    let mut rest = &out[..];
    while !rest.is_empty()
        && let Ok(written) = file::write(report, rest)
    {
        rest = &rest[written..];
    }
}
