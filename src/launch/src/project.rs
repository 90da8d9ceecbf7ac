//! What a project says of its scripts: the nearest `pyproject.toml`.
//!
//! Owns finding that file and the glance that tells whether it has a word for us. What it
//! says is read by the full program (`src/project.rs`): a launcher has no parser, so the file's bytes are
//! part of what chooses the zygote.

use alloc::vec::Vec;
use pyzy_sys::file;
use pyzy_sys::{libc, process};

/// The name of the file.
pub const NAME: &[u8] = b"pyproject.toml";
/// No such file is larger, bytes.
pub const LARGEST: usize = 1 << 20;

/// A project file that mentions us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Where it is.
    pub path: Vec<u8>,
    /// What it holds.
    pub content: Vec<u8>,
}

/// The nearest one in or above a directory, if it mentions us and is this user's, or root's.
pub fn nearest(directory: &[u8]) -> Option<Project> {
    let path = find(directory)?;
    let file = file::open(&path, libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK, 0).ok()?;
    let stat = file::fstat(file.number()).ok()?;
    let is_ours = stat.uid == 0 || stat.uid == process::effective_user();
    if !stat.is_file() || !is_ours || stat.size > LARGEST as u64 {
        return None;
    }
    let content = file::read_all(file.number(), LARGEST).ok()?;
    content.windows(4).any(|word| word == b"pyzy").then_some(Project { path, content })
}

/// The nearest one in or above a directory, an absolute path; the first that is there ends the search.
pub fn find(directory: &[u8]) -> Option<Vec<u8>> {
    let mut end = directory.len();
    loop {
        let above = &directory[..end];
        let path = [above, if above.ends_with(b"/") { b"" } else { b"/" }, NAME].concat();
        if file::stat(&path).is_ok() {
            return Some(path);
        }
        end = above.iter().rposition(|&b| b == b'/')?;
    }
}

/// The absolute path of a script or directory, without `.`, `..` and doubled slashes. A path with `..` goes by the
/// directories that are there.
pub fn absolute(path: &[u8]) -> Option<Vec<u8>> {
    let mut whole = if path.first() == Some(&b'/') { Vec::new() } else { file::current_dir().ok()? };
    if whole == b"/" {
        whole.clear();
    }
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                whole.extend_from_slice(b"/..");
                let directory = file::open(&whole, libc::O_PATH | libc::O_DIRECTORY, 0).ok()?;
                whole = file::readlink(&link_of(directory.number())).ok()?;
                if whole == b"/" {
                    whole.clear();
                }
            }
            part => {
                whole.push(b'/');
                whole.extend_from_slice(part);
            }
        }
    }
    if whole.is_empty() { Some(b"/".to_vec()) } else { Some(whole) }
}

fn link_of(number: i32) -> Vec<u8> {
    alloc::format!("/proc/self/fd/{number}").into_bytes()
}

/// The directory of an absolute path.
pub fn directory(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
    if end == 0 { b"/" } else { &path[..end] }
}
