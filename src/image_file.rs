//! Images as files, for the program that has time.
//!
//! Owns the reading of their heads by rules that are the launcher's
//! (`src/launcher/src/restore.rs`), the question whether the zygote that made one
//! lives, and the removal of those that nobody needs any more.

use pyzy_core::image::{self, Image, Machine, Refusal};
use pyzy_core::page;
use pyzy_core::version::VERSION;
use pyzy_sys::{Errno, file, libc, process};
use std::ffi::OsStr;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

/// How the name of an image ends; before it stands its key.
pub const SUFFIX: &str = ".image";

/// A tick of `/proc/PID/stat`, nanoseconds: USER_HZ is 100 on the architectures that restore.
const TICK: u64 = 10_000_000;

/// The head of an image, and the facts of its file.
pub struct Head {
    bytes: Vec<u8>,
    size: u64,
    disk: u64,
}

/// Why an image is not restored.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Io(std::io::Error),
    /// It is another user's, open to others, or no file.
    Unsafe,
    /// It is no image of this pyzy's.
    Refused(Refusal),
    /// It has another key than its name says.
    Name,
    /// It was made by this other version.
    Version(String),
    /// It was made before the machine was started.
    Boot,
    /// It was made on a processor with other abilities.
    Processor,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::Unsafe => f.write_str("it is another user's, open to others, or no file"),
            Error::Refused(refusal) => refusal.fmt(f),
            Error::Name => f.write_str("it has another key than its name says"),
            Error::Version(version) => write!(f, "it was made by pyzy {version}, this is {VERSION}"),
            Error::Boot => f.write_str("it was made before the machine was started"),
            Error::Processor => f.write_str("it was made on a processor with other abilities"),
        }
    }
}

/// Reads the head of an image that could be restored here and now, as far as its head knows.
pub fn read(path: &[u8]) -> Result<Head, Error> {
    let head = look(path)?;
    head.check(path)?;
    Ok(head)
}

/// Reads the head of a file that is this user's alone, whatever it says about where it may be restored.
pub fn look(path: &[u8]) -> Result<Head, Error> {
    let path = OsStr::from_bytes(path);
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(Error::Io)?;
    let facts = file.metadata().map_err(Error::Io)?;
    if !facts.is_file() || facts.uid() != process::effective_user() || facts.mode() & 0o077 != 0 {
        return Err(Error::Unsafe);
    }
    let mut bytes = Vec::new();
    file.by_ref().take(image::START as u64).read_to_end(&mut bytes).map_err(Error::Io)?;
    let length = image::head_length(&bytes).map_err(Error::Refused)?;
    file.take((length.saturating_sub(bytes.len())) as u64).read_to_end(&mut bytes).map_err(Error::Io)?;
    let head = Head { bytes, size: facts.size(), disk: facts.blocks() * 512 };
    Image::decode(&head.bytes, head.size).map_err(Error::Refused)?;
    Ok(head)
}

impl Head {
    /// What it says.
    pub fn image(&self) -> Option<Image<'_>> {
        Image::decode(&self.bytes, self.size).ok()
    }

    /// What the file takes of the disk, bytes.
    pub fn disk(&self) -> u64 {
        self.disk
    }

    /// A number at one of the offsets of [`image::USE`].
    pub fn number(&self, offset: usize) -> u64 {
        self.bytes.get(offset..offset + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    /// Has it served its time, or its runs? Or has a run found a file of a warm module changed?
    pub fn is_due(&self, now: u64) -> bool {
        self.image().is_some_and(|i| {
            let n = i.numbers;
            let has_served = now.saturating_sub(n.created) > n.lifetime || self.number(image::RUNS) >= n.runs;
            has_served || self.number(image::WORN) != 0
        })
    }

    /// What a head is compared with before it is restored, in the launcher's order.
    pub fn check(&self, path: &[u8]) -> Result<(), Error> {
        let image = self.image().ok_or(Error::Refused(Refusal::Content))?;
        let machine = machine().ok_or(Error::Io(std::io::ErrorKind::NotFound.into()))?;
        if image.version != VERSION.as_bytes() {
            return Err(Error::Version(String::from_utf8_lossy(image.version).into_owned()));
        }
        if image.machine.boot != machine.boot {
            return Err(Error::Boot);
        }
        if image.machine != machine {
            return Err(Error::Processor);
        }
        if !path.ends_with(&[&image.key.hex()[..], SUFFIX.as_bytes()].concat()) {
            return Err(Error::Name);
        }
        Ok(())
    }

    /// Does the zygote live that made it? Its status page is locked while it does, and it is older than the image.
    pub fn has_owner(&self, runtime: &[u8]) -> bool {
        let Some(image) = self.image() else { return false };
        let path = [runtime, format!("/{}{}", image.numbers.zygote, page::SUFFIX).as_bytes()].concat();
        let Ok(locked) = file::open(&path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0) else {
            return false;
        };
        if file::lock(locked.number(), libc::LOCK_SH | libc::LOCK_NB) != Err(Errno(libc::EWOULDBLOCK)) {
            return false;
        }
        // Somebody else's page has the same name when the pid is used again.
        let bytes = file::read_file(&path, page::SIZE + 1).unwrap_or_default();
        page::decode(&bytes).map_or(true, |p| p.start_ticks.saturating_mul(TICK) <= image.numbers.created)
    }
}

/// This machine, as the launcher sees it.
fn machine() -> Option<Machine> {
    let boot = image::boot_id(&std::fs::read("/proc/sys/kernel/random/boot_id").ok()?)?;
    // The kernel's own; getauxval gives what the C library has made of it.
    let vector = std::fs::read("/proc/self/auxv").ok()?;
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    let value = |kind| vector.chunks_exact(16).find(|p| word(&p[..8]) == kind).map_or(0, |p| word(&p[8..]));
    Some(Machine { boot, abilities: [libc::AT_HWCAP, libc::AT_HWCAP2, libc::AT_MINSIGSTKSZ].map(value) })
}

/// An image in the runtime directory.
pub struct Found {
    /// Its path.
    pub path: Vec<u8>,
    /// 32 hex digits, from its name.
    pub key: String,
    /// Its head, or why there is none.
    pub head: Result<Head, Error>,
}

/// Every image in the runtime directory, by key.
pub fn list(runtime: &[u8]) -> Vec<Found> {
    let names = file::list(runtime).unwrap_or_default();
    let mut found: Vec<Found> = names
        .iter()
        .filter_map(|name| {
            let key = name.strip_suffix(SUFFIX.as_bytes()).filter(|key| page::is_key(key))?;
            let path = [runtime, b"/", name].concat();
            Some(Found { head: look(&path), key: String::from_utf8_lossy(key).into_owned(), path })
        })
        .collect();
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

/// Removes images that nobody will use or replace: their zygote is gone, the machine has been started since, or they
/// are damaged. Gives how many. One of another format is left alone, since it may be a newer pyzy's.
pub fn remove_dead(runtime: &[u8]) -> u64 {
    let dead = list(runtime).into_iter().filter(|found| is_dead(runtime, found));
    dead.filter(|found| remove(runtime, found)).count() as u64
}

fn is_dead(runtime: &[u8], found: &Found) -> bool {
    match &found.head {
        Ok(head) => matches!(head.check(&found.path), Err(Error::Boot)) || !head.has_owner(runtime),
        Err(Error::Refused(Refusal::Format(_))) => false,
        Err(error) => matches!(error, Error::Refused(_)),
    }
}

/// Whoever makes an image of that key holds its lock: then there will be another in this one's place.
fn remove(runtime: &[u8], found: &Found) -> bool {
    let lock = [runtime, b"/", found.key.as_bytes(), b".lock"].concat();
    let lock = file::open(&lock, libc::O_RDWR | libc::O_NOFOLLOW, 0);
    if lock.as_ref().is_ok_and(|lock| file::lock(lock.number(), libc::LOCK_EX | libc::LOCK_NB).is_err()) {
        return false;
    }
    let now = Found { head: look(&found.path), key: found.key.clone(), path: found.path.clone() };
    is_dead(runtime, &now) && file::unlink(&found.path).is_ok()
}
