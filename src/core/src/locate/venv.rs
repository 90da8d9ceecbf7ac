//! The shim as the python of a venv: which interpreter its pyvenv.cfg means.
//!
//! CPython reads pyvenv.cfg beside its `sys.executable`'s directory and so finds the venv from
//! argv[0] alone; all we have to find is the file to exec. Lines are read as `Modules/getpath.py`
//! reads them: `key = value`, the key in any case, blanks around both dropped.

use alloc::vec::Vec;

use super::{World, paths};

const MAX: usize = 16 * 1024;

/// What a pyvenv.cfg says about the interpreter that the venv was made from.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    home: Vec<u8>,
    executable: Option<Vec<u8>>,
    version: Option<Vec<u8>>,
}

/// The pyvenv.cfg of the venv whose programs are in `bin`: one directory up, else beside (getpath's order since 3.11).
pub fn read<W: World>(world: &W, bin: &[u8]) -> Option<Config> {
    let above = paths::join(paths::parent(bin), b"pyvenv.cfg");
    let text = world.read(&above, MAX).or_else(|_| world.read(&paths::join(bin, b"pyvenv.cfg"), MAX)).ok()?;
    parse(&text)
}

/// Without a `home` it is no venv to CPython either.
fn parse(text: &[u8]) -> Option<Config> {
    let (mut home, mut executable, mut version) = (None, None, None);
    for line in text.split(|&b| b == b'\n') {
        let Some(at) = line.iter().position(|&b| b == b'=') else { continue };
        let (key, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
        let slot = if key.eq_ignore_ascii_case(b"home") {
            &mut home
        } else if key.eq_ignore_ascii_case(b"executable") || key.eq_ignore_ascii_case(b"base-executable") {
            &mut executable
        } else if key.eq_ignore_ascii_case(b"version") || key.eq_ignore_ascii_case(b"version_info") {
            &mut version
        } else {
            continue;
        };
        slot.get_or_insert_with(|| value.to_vec());
    }
    Some(Config { home: home.filter(|h| h.starts_with(b"/"))?, executable, version })
}

impl Config {
    /// Where the interpreter may be, the surest first. A bare `python` comes last: in `/usr/bin` it may be Python 2.
    pub fn candidates(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let mut out: Vec<Vec<u8>> = Vec::with_capacity(4);
        out.extend(self.executable.iter().filter(|e| e.starts_with(b"/")).cloned());
        out.extend(self.versioned().map(|n| paths::join(&self.home, &n)));
        out.push(paths::join(&self.home, b"python3"));
        out.push(paths::join(&self.home, name));
        out
    }

    /// `python3.12` for a `version = 3.12.1`.
    fn versioned(&self) -> Option<Vec<u8>> {
        let mut parts = self.version.as_deref()?.split(|&b| b == b'.');
        let (major, minor) = (parts.next()?, parts.next()?);
        let digits = |s: &[u8]| !s.is_empty() && s.iter().all(u8::is_ascii_digit);
        (digits(major) && digits(minor)).then(|| [b"python", major, b".", minor].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(text: &[u8], name: &[u8]) -> Vec<Vec<u8>> {
        parse(text).map(|c| c.candidates(name)).unwrap_or_default()
    }

    #[test]
    fn venv_of_311_and_later_names_the_executable() {
        let text = b"home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n\
                     executable = /usr/bin/python3.11\ncommand = /usr/bin/python3 -m venv /x=y\n";
        assert_eq!(
            candidates(text, b"python"),
            [&b"/usr/bin/python3.11"[..], b"/usr/bin/python3.11", b"/usr/bin/python3", b"/usr/bin/python"]
        );
    }

    #[test]
    fn older_venvs_virtualenv_and_uv() {
        assert_eq!(candidates(b"HOME=/p/bin\r\nversion = 3.9.18\r\n", b"python3")[0], b"/p/bin/python3.9");
        assert_eq!(candidates(b" Home =  /p/bin \nversion_info = 3.12.1.final.0\n", b"x")[0], b"/p/bin/python3.12");
        assert_eq!(candidates(b"home = /p\nbase-executable = /q/python3.12\n", b"x")[0], b"/q/python3.12");
        assert_eq!(candidates(b"home = /p\nversion = x.y\n", b"python")[0], b"/p/python3");
    }

    #[test]
    fn no_home_no_venv() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"home\n"), None);
        assert_eq!(parse(b"home = bin\n"), None);
        assert_eq!(parse(b"homer = /bin\n"), None);
    }
}
