//! What is the file behind a name: an interpreter, us, or somebody else's shim.
//!
//! Told apart cheaply: two stats, the links of the last component, the first page. A link to a
//! file whose name has no `python` in it (mise, snap, busybox) goes by argv[0], and is a shim.

use alloc::vec::Vec;

use super::{EACCES, Errno, MARKER, World, paths};

/// The kernel's limit of links in one path (`man 7 path_resolution`).
const MAX_LINKS: usize = 40;
const PAGE: usize = 4096;
/// A larger file is no launcher of ours.
const MAX_LAUNCHER: u64 = 1 << 20;
const MARKED: usize = 64 * 1024;
/// Where a launcher is installed, below any prefix.
const INSTALLED: &[u8] = b"/lib/pyzy/launcher";

/// The kinds of file that stand on PATH under a python's name.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ourselves, or another copy of us.
    Us,
    /// An ELF executable of its own name.
    Interpreter,
    /// A script, with its first page.
    Script(Vec<u8>),
    /// Anything else that can be executed.
    Foreign,
}

/// Look at a candidate. An error is what execve would say.
pub fn look<W: World>(world: &W, own: (u64, u64), path: &[u8]) -> Result<Kind, Errno> {
    let stat = world.stat(path)?;
    if !stat.is_file() {
        return Err(EACCES);
    }
    if stat.id() == own {
        return Ok(Kind::Us);
    }
    world.executable(path)?;
    let target = follow(world, path);
    if target.as_deref().is_some_and(|t| t.ends_with(INSTALLED) || t == &INSTALLED[1..]) {
        return Ok(Kind::Us);
    }
    // What may be executed need not be readable.
    let Ok(head) = world.read(path, PAGE) else { return Ok(Kind::Foreign) };
    if head.starts_with(b"#!") {
        return Ok(Kind::Script(head));
    }
    if !head.starts_with(b"\x7fELF") {
        return Ok(Kind::Foreign);
    }
    if stat.size < MAX_LAUNCHER && is_static(&head) && marked(world, path, &head) {
        return Ok(Kind::Us);
    }
    match target {
        Some(target) if !paths::contains(paths::basename(&target), b"python") => Ok(Kind::Foreign),
        _ => Ok(Kind::Interpreter),
    }
}

/// Is this a launcher: ourselves, or another copy of us?
pub fn is_us<W: World>(world: &W, own: (u64, u64), path: &[u8]) -> bool {
    look(world, own, path) == Ok(Kind::Us)
}

/// The end of a chain of links; `None` when the path is no link.
fn follow<W: World>(world: &W, path: &[u8]) -> Option<Vec<u8>> {
    let mut at = None;
    for _ in 0..MAX_LINKS {
        let here = at.as_deref().unwrap_or(path);
        let Ok(target) = world.readlink(here) else { break };
        at = Some(if target.starts_with(b"/") { target } else { paths::join(paths::parent(here), &target) });
    }
    at
}

fn marked<W: World>(world: &W, path: &[u8], head: &[u8]) -> bool {
    paths::contains(head, MARKER)
        || (head.len() == PAGE && world.read(path, MARKED).is_ok_and(|text| paths::contains(&text, MARKER)))
}

/// An ELF64 file without PT_INTERP (`man 5 elf`): no dynamic loader, hence no launcher-sized `python3` of a
/// distribution that keeps the interpreter in libpython. What cannot be read is taken for dynamic.
fn is_static(head: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let half = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let scan = || {
        let (start, size, count) = (word(32)? as usize, half(54)? as usize, half(56)? as usize);
        for index in 0..count {
            if word(start.checked_add(index * size)?)? == PT_INTERP {
                return Some(false);
            }
        }
        Some(true)
    };
    head.get(4) == Some(&2) && scan().unwrap_or(false)
}
