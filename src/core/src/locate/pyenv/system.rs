//! `system`: what PATH has for a program without pyenv's shims, as the shell of pyenv-which finds it.
//!
//! Owns `remove_from_path` and the `command -v` after it (`findcmd.c`: find_user_command_internal), for the
//! spellings of PATH that neither of them changes.

use alloc::vec::Vec;

use super::{Ours, Unclear, text};
use crate::locate::{World, paths, shim};

/// The program in `path`, without the directories in `removed`. Our own shims are not there: nobody finds them
/// who has not installed them. What stands relative to the working directory or is spelled untidily is unclear.
pub fn search<W: World>(
    world: &W,
    ours: Ours<'_>,
    path: &[u8],
    removed: &[u8],
    program: &[u8],
) -> Result<Option<Vec<u8>>, Unclear> {
    // Of other names, bash has commands of its own.
    if !shim::is_python_name(program) {
        return Err(Unclear("the program has no python's name"));
    }
    // A tilde becomes HOME, and a line's end at PATH's end goes.
    if path.iter().any(|&b| b == b'~' || b.is_ascii_control()) || core::str::from_utf8(path).is_err() {
        return Err(Unclear("PATH is not plain"));
    }
    if !removed.split(|&b| b == b':').all(text::is_plain_dir) {
        return Err(Unclear("the directories of pyenv's shims are not plain"));
    }
    // pyenv-which makes a variable's name of the program's with these.
    if ![&b"tr"[..], b"sed"].iter().all(|tool| path.split(|&b| b == b':').any(|dir| is_command(world, dir, tool))) {
        return Err(Unclear("PATH has no tr or no sed"));
    }
    for dir in path.split(|&b| b == b':') {
        if removed.split(|&b| b == b':').any(|shims| shims == dir) || !is_command(world, dir, program) {
            continue;
        }
        let file = paths::join(dir, program);
        if ours(&file)? {
            continue;
        }
        if !text::is_plain_dir(dir) {
            return Err(Unclear("PATH has the system's python in a directory that is not plain"));
        }
        return Ok(Some(file));
    }
    Ok(None)
}

/// What `command -v` takes, and `[ -x` after it: anything executable that is no directory.
fn is_command<W: World>(world: &W, dir: &[u8], name: &[u8]) -> bool {
    let file = paths::join(dir, name);
    world.stat(&file).is_ok_and(|s| !s.is_dir()) && world.executable(&file).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locate::fake::Fake;

    fn system() -> Fake {
        let mut fake = Fake::new();
        for name in [&b"tr"[..], b"sed", b"python3"] {
            fake.program(&paths::join(b"/usr/bin", name), b"");
        }
        for dir in [&b"/pe/shims"[..], b"/home/bin", b"/pyzy/shims", b"/work/rel"] {
            fake.program(&paths::join(dir, b"python3"), b"");
        }
        fake.file(b"/plain/python3", b"");
        fake.dir(b"/dir/python3");
        fake
    }

    fn found(fake: &Fake, path: &[u8], removed: &[u8]) -> Result<Option<Vec<u8>>, Unclear> {
        search(fake, &mut |file| Ok(file.starts_with(b"/pyzy")), path, removed, b"python3")
    }

    #[test]
    fn what_is_passed_over() {
        let fake = system();
        let usr = Ok(Some(b"/usr/bin/python3".to_vec()));
        for path in [
            &b"/pe/shims:/usr/bin"[..],
            b"/pe/shims:/pe/shims:/usr/bin:/pe/shims",
            b"/pe/shims:/none:/plain:/dir:/usr/bin",
            b"/pyzy/shims:/pyzy/shims/:/pe/shims:/usr/bin",
            b"/usr/bin:/home/bin",
            b"nothing:./here:/none/*:/pe/shims::/usr/bin:rel",
        ] {
            assert_eq!(found(&fake, path, b"/pe/shims"), usr, "{}", alloc::string::String::from_utf8_lossy(path));
        }
        assert_eq!(found(&fake, b"/home/bin:/usr/bin", b"/pe/shims"), Ok(Some(b"/home/bin/python3".to_vec())));
        assert_eq!(found(&fake, b"/home/bin:/usr/bin", b"/pe/shims:/home/bin"), usr);
        let nothing = search(&fake, &mut |_| Ok(false), b"/pe/shims:/usr/bin", b"/pe/shims", b"python3.14");
        assert_eq!(nothing, Ok(None));
    }

    #[test]
    fn whatever_is_not_plain() {
        let mut fake = system();
        for path in [
            &b"rel:/usr/bin"[..],
            b"/pe/shims/:/usr/bin",
            b"/pe//shims:/usr/bin",
            b"~/bin:/usr/bin",
            b"/usr/bin:/a~",
            b"/usr/bin:/\xff",
            b"/usr/bin:/a\n",
            b"/pe/shims",
        ] {
            let outcome = found(&fake, path, b"/pe/shims");
            assert!(outcome.is_err(), "{}", alloc::string::String::from_utf8_lossy(path));
        }
        for removed in [&b"/pe/shims:"[..], b"/pe/shims:rel", b"/pe/shims:/a*"] {
            assert!(found(&fake, b"/usr/bin", removed).is_err());
        }
        let doubt = Unclear("a shim of ours with a pin");
        assert_eq!(search(&fake, &mut |_| Err(doubt), b"/usr/bin", b"/pe/shims", b"python3"), Err(doubt));
        fake.program(b"/usr/bin/test", b"");
        assert!(search(&fake, &mut |_| Ok(false), b"/usr/bin", b"/pe/shims", b"test").is_err());
        fake.remove(b"/usr/bin/sed");
        assert!(found(&fake, b"/usr/bin", b"/pe/shims").is_err());
        // The working directory, by an empty element.
        fake.program(b"/usr/bin/sed", b"");
        fake.chdir(b"/work/rel");
        assert!(found(&fake, b"/pe/shims::/usr/bin", b"/pe/shims").is_err());
    }
}
