//! The pyenv that this was written from: its scripts by their content, its hooks by their names.
//!
//! A release whose scripts differ may decide differently or leave another environment, so it is
//! unclear until somebody has read it and added its hashes. `tests/locate_pyenv.rs` prints the hashes of
//! an installed pyenv that is not known and compares the outcome of one that is.

use alloc::vec::Vec;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::Unclear;
use crate::locate::{ENOENT, World, paths};

const ENOTDIR: i32 = 20;
/// No script that we know is as long.
const MAX: usize = 8 * 1024;

/// A file and the contents that are known: SipHash-1-3 with a zero key.
type Known = (&'static str, &'static [u64]);

/// What `pyenv exec python3` runs or asks. 2.6.30.
const SCRIPTS: &[Known] = &[
    ("libexec/pyenv", &[0x29c3_e060_afeb_9f10]),
    ("libexec/pyenv-exec", &[0xd1e2_bf98_1ff0_d310]),
    ("libexec/pyenv-hooks", &[0x0beb_9e64_83c0_4b60]),
    ("libexec/pyenv-latest", &[0x4298_d75c_a490_e899]),
    ("libexec/pyenv-prefix", &[0x3ea5_cb58_969b_71e1]),
    ("libexec/pyenv-version-file", &[0x7350_03d6_fd3a_7c18]),
    ("libexec/pyenv-version-file-read", &[0xf6d2_0d79_8fff_324c]),
    ("libexec/pyenv-version-name", &[0x957a_039c_4bb4_ed9d]),
    ("libexec/pyenv-which", &[0x0e53_04e8_88f9_d3b2]),
];

/// What it asks besides when the version is a prefix.
const PREFIX_SCRIPTS: &[Known] = &[("libexec/pyenv-versions", &[0xf66f_add5_6156_c76f])];

/// The exec hook that makes `pip` rehash.
const PIP_REHASH: Known = ("exec/pip-rehash.bash", &[0x5926_69d5_4801_0c20]);

/// Hooks of pyenv-virtualenv that act only when the program has not been found.
const HARMLESS_DIR: &[u8] = b"/plugins/pyenv-virtualenv/etc/pyenv.d";
const HARMLESS_WHICH: &[&[u8]] = &[b"conda.bash", b"python-config.bash", b"system-site-packages.bash"];

fn is_known(text: &[u8], hashes: &[u64]) -> bool {
    let mut hasher = SipHasher13::new();
    hasher.write(text);
    // The unit tests' pyenv is made of paper.
    hashes.contains(&hasher.finish()) || (cfg!(test) && text == b"stock")
}

/// Are these the scripts that we know?
pub fn check_scripts<W: World>(world: &W, install: &[u8]) -> Result<(), Unclear> {
    // A compiled realpath resolves links where the scripts do not.
    if world.stat(&paths::join(install, b"libexec/pyenv-realpath.dylib")).is_ok() {
        return Err(Unclear("its native extension is installed"));
    }
    check(world, install, SCRIPTS)
}

/// The same for what resolves prefixes.
pub fn check_prefix_scripts<W: World>(world: &W, install: &[u8]) -> Result<(), Unclear> {
    check(world, install, PREFIX_SCRIPTS)
}

fn check<W: World>(world: &W, dir: &[u8], files: &[Known]) -> Result<(), Unclear> {
    let mut path = Vec::new();
    for (name, hashes) in files {
        paths::join_into(&mut path, dir, name.as_bytes());
        if !world.read(&path, MAX).is_ok_and(|text| is_known(&text, hashes)) {
            return Err(Unclear("its scripts are of an unknown release"));
        }
    }
    Ok(())
}

/// Would no hook of `exec`, `version-name` and `which` change anything for this call?
pub fn check_hooks<W: World>(world: &W, hook_path: &[u8], program: &[u8], args: &[&[u8]]) -> Result<(), Unclear> {
    for dir in hook_path.split(|&b| b == b':') {
        for kind in list(world, dir)? {
            if !matches!(&kind[..], b"exec" | b"version-name" | b"which") {
                continue;
            }
            for hook in list(world, &paths::join(dir, &kind))? {
                if hook.starts_with(b".") || !hook.ends_with(b".bash") {
                    continue;
                }
                match &kind[..] {
                    b"exec" if hook == b"pip-rehash.bash" => check_pip_rehash(world, dir, program, args)?,
                    b"which" if dir.ends_with(HARMLESS_DIR) && HARMLESS_WHICH.contains(&&hook[..]) => {}
                    _ => return Err(Unclear("a hook is installed")),
                }
            }
        }
    }
    Ok(())
}

/// It takes over for the programs beside it, and for every command line with ` -m pip ` in it.
fn check_pip_rehash<W: World>(world: &W, dir: &[u8], program: &[u8], args: &[&[u8]]) -> Result<(), Unclear> {
    check(world, dir, &[PIP_REHASH])?;
    let taken = [dir, b"/exec/pip-rehash/", program].concat();
    if world.stat(&taken).is_ok() || mentions_pip(program, args) {
        return Err(Unclear("pyenv rehashes after pip"));
    }
    Ok(())
}

/// `[[ "$*" =~ [[:space:]]-m[[:space:]]pip[[:space:]] ]]`
fn mentions_pip(program: &[u8], args: &[&[u8]]) -> bool {
    if !args.iter().any(|a| paths::contains(a, b"pip")) {
        return false;
    }
    let mut line = program.to_vec();
    for arg in args {
        line.push(b' ');
        line.extend_from_slice(arg);
    }
    let space = |b: u8| b.is_ascii_whitespace() || b == 0x0b;
    line.windows(8).any(|w| space(w[0]) && &w[1..3] == b"-m" && space(w[3]) && &w[4..7] == b"pip" && space(w[7]))
}

/// The names in a directory; none when there is no such directory, unclear when we may not look.
pub fn list<W: World>(world: &W, dir: &[u8]) -> Result<Vec<Vec<u8>>, Unclear> {
    match world.list(dir) {
        Ok(names) => Ok(names),
        Err(ENOENT | ENOTDIR) => Ok(Vec::new()),
        Err(_) => Err(Unclear("one of its directories cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_in_the_command_line() {
        let yes: [&[&[u8]]; 4] = [
            &[b"-m", b"pip", b"install"],
            &[b"-I", b"-m", b"pip", b""],
            &[b"x.py", b"a -m pip b"],
            &[b"-m\tpip", b"x"],
        ];
        for args in yes {
            assert!(mentions_pip(b"python3", args), "{args:?}");
        }
        let no: [&[&[u8]]; 4] = [&[b"-m", b"pip"], &[b"-mpip", b"x"], &[b"pip.py", b"-m"], &[b"-m", b"pipx", b"run"]];
        for args in no {
            assert!(!mentions_pip(b"python3", args), "{args:?}");
        }
    }
}
