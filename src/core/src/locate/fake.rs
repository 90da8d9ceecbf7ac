//! A file system in memory, with links, for the tests of the search.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::Cell;

use super::{EACCES, ENOENT, Errno, Stat, World, paths};

const ENOTDIR: Errno = 20;
const ELOOP: Errno = 40;
const EINVAL: Errno = 22;

enum Node {
    File { text: Vec<u8>, mode: u32 },
    Dir,
    Link(Vec<u8>),
}

/// The fake; paths are added whole, their directories come by themselves.
pub struct Fake {
    nodes: BTreeMap<Vec<u8>, Node>,
    cwd: Vec<u8>,
    /// Calls so far.
    pub calls: Cell<usize>,
}

impl Fake {
    pub fn new() -> Fake {
        let mut fake = Fake { nodes: BTreeMap::new(), cwd: b"/work".to_vec(), calls: Cell::new(0) };
        fake.dir(b"/work");
        // A process that was started at 777 with a name that is no help.
        fake.file(b"/proc/self/stat", b"42 (a b) c) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 9 9");
        fake
    }

    pub fn chdir(&mut self, dir: &[u8]) {
        self.dir(dir);
        self.cwd = dir.to_vec();
    }

    pub fn dir(&mut self, path: &[u8]) {
        self.add(path, Node::Dir);
    }

    pub fn file(&mut self, path: &[u8], text: &[u8]) {
        self.add(path, Node::File { text: text.to_vec(), mode: 0o100_644 });
    }

    pub fn program(&mut self, path: &[u8], text: &[u8]) {
        self.add(path, Node::File { text: text.to_vec(), mode: 0o100_755 });
    }

    pub fn elf(&mut self, path: &[u8]) {
        self.program(path, b"\x7fELF dynamic");
    }

    pub fn link(&mut self, path: &[u8], target: &[u8]) {
        self.add(path, Node::Link(target.to_vec()));
    }

    pub fn remove(&mut self, path: &[u8]) {
        self.nodes.remove(path);
    }

    pub fn id(&self, path: &[u8]) -> (u64, u64) {
        self.stat(path).expect("the file is there").id()
    }

    fn add(&mut self, path: &[u8], node: Node) {
        if path != b"/" {
            let parent = paths::parent(path).to_vec();
            if !self.nodes.contains_key(&parent) {
                self.add(&parent, Node::Dir);
            }
        }
        self.nodes.insert(path.to_vec(), node);
    }

    /// Walk component by component, as the kernel does.
    fn walk(&self, path: &[u8], last: bool, hops: u32) -> Result<Vec<u8>, Errno> {
        self.calls.set(self.calls.get() + usize::from(hops == 0));
        if hops > 40 {
            return Err(ELOOP);
        }
        if path.is_empty() {
            return Err(ENOENT);
        }
        let mut at: Vec<u8> = if path.starts_with(b"/") { b"/".to_vec() } else { self.cwd.clone() };
        let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|p| !p.is_empty()).collect();
        for (index, part) in parts.iter().enumerate() {
            if !matches!(self.nodes.get(&at), Some(Node::Dir)) {
                return Err(ENOTDIR);
            }
            match *part {
                b"." => continue,
                b".." => {
                    at = paths::parent(&at).to_vec();
                    continue;
                }
                _ => {}
            }
            let next = paths::join(&at, part);
            let is_last = index + 1 == parts.len() && !path.ends_with(b"/");
            match self.nodes.get(&next).ok_or(ENOENT)? {
                Node::Link(target) if !is_last || last => {
                    at = self.walk(
                        &if target.starts_with(b"/") { target.clone() } else { paths::join(&at, target) },
                        true,
                        hops + 1,
                    )?;
                }
                _ => at = next,
            }
        }
        Ok(at)
    }

    fn node(&self, path: &[u8], last: bool) -> Result<(usize, &Node), Errno> {
        let real = self.walk(path, last, 0)?;
        let ino = self.nodes.range(..real.clone()).count();
        self.nodes.get(&real).map(|n| (ino + 1, n)).ok_or(ENOENT)
    }

    fn describe(&self, path: &[u8], last: bool) -> Result<Stat, Errno> {
        let (ino, node) = self.node(path, last)?;
        let (mode, size) = match node {
            Node::File { text, mode } => (*mode, text.len()),
            Node::Dir => (0o040_755, 4096),
            Node::Link(target) => (0o120_777, target.len()),
        };
        Ok(Stat { dev: 1, ino: ino as u64, mode, uid: 1000, size: size as u64 })
    }
}

impl World for Fake {
    fn stat(&self, path: &[u8]) -> Result<Stat, Errno> {
        self.describe(path, true)
    }

    fn lstat(&self, path: &[u8]) -> Result<Stat, Errno> {
        self.describe(path, false)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        match self.node(path, false)?.1 {
            Node::Link(target) => Ok(target.clone()),
            _ => Err(EINVAL),
        }
    }

    fn read(&self, path: &[u8], max: usize) -> Result<Vec<u8>, Errno> {
        match self.node(path, true)?.1 {
            Node::File { text, mode } if mode & 0o400 != 0 => Ok(text[..text.len().min(max)].to_vec()),
            _ => Err(EACCES),
        }
    }

    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let real = self.walk(path, true, 0)?;
        match self.nodes.get(&real) {
            Some(Node::Dir) => {}
            Some(_) => return Err(ENOTDIR),
            None => return Err(ENOENT),
        }
        let inside = self.nodes.keys().filter(|p| p[..] != b"/"[..] && paths::parent(p) == real);
        Ok(inside.map(|p| paths::basename(p).to_vec()).rev().collect())
    }

    fn executable(&self, path: &[u8]) -> Result<(), Errno> {
        if self.stat(path)?.mode & 0o100 != 0 { Ok(()) } else { Err(EACCES) }
    }

    fn cwd(&self) -> Option<Vec<u8>> {
        self.calls.set(self.calls.get() + 1);
        Some(self.cwd.clone())
    }
}
