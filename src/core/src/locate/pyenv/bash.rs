//! What bash does to an environment by starting and exec'ing, and nothing else.
//!
//! Facts of bash 4.4–5.2 (`variables.c`: initialize_shell_variables, set_pwd, adjust_shell_level; `shell.c`:
//! init_noninteractive), checked against the one installed by `tests/locate_pyenv.rs`. A variable that
//! bash computes, obeys while starting, or that pyenv's scripts assign to makes the case unclear.

use alloc::vec::Vec;

use super::{Unclear, text};
use crate::locate::guard::push_number;
use crate::locate::{EnvironChange, World, path_search, paths};
use crate::vars;

/// The state of the shell that pyenv's scripts run in.
pub struct Shell<'a> {
    /// `$PWD`: the caller's, when it is right, with its links.
    pub pwd: Vec<u8>,
    /// `$PATH`.
    pub path: &'a [u8],
    level: u32,
    oldpwd: bool,
}

/// Sorted. Dynamic or initialised by bash: their exported value would change. Obeyed by bash or by a program that
/// pyenv calls. Assigned in pyenv's scripts while still exported.
const TROUBLE: &[&str] = &[
    "BYPASS",
    "CDPATH",
    "COLUMNS",
    "COMP_WORDBREAKS",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "EXECIGNORE",
    "FORCE",
    "FROM_KNOWN",
    "FUNCNAME",
    "GLOBIGNORE",
    "GREP_OPTIONS",
    "GROUPS",
    "HISTCMD",
    "HOSTTYPE",
    "IFS",
    "LINENO",
    "LINES",
    "MACHTYPE",
    "NR_PYENV_SHIM_PATHS_PROGRAM",
    "OLDIFS",
    "OPTARG",
    "OPTERR",
    "OPTIND",
    "OSTYPE",
    "PIPESTATUS",
    "POSIXLY_CORRECT",
    "POSIX_PEDANTIC",
    "PPID",
    "PROGRAM",
    "PS4",
    "RANDOM",
    "READLINK",
    "REPLY",
    "SECONDS",
    "SHELLOPTS",
    "SHIM_PATH",
    "SKIP_ADVICE",
    "SRANDOM",
    "TMOUT",
    "UID",
    "any_not_installed",
    "command",
    "command_path",
    "plugin_bin",
    "plugin_hook",
    "program",
    "script",
    "scripts",
];

/// Sorted. pyenv's own variables that are known not to matter, or that are followed here.
const PYENV_KNOWN: &[&str] = &[
    "PYENV_ACTIVATE_SHELL",
    "PYENV_DIR",
    "PYENV_HOOK_PATH",
    "PYENV_ROOT",
    "PYENV_SHELL",
    "PYENV_VERSION",
    "PYENV_VIRTUALENV_CACHE_PATH",
    "PYENV_VIRTUALENV_DISABLE_PROMPT",
    "PYENV_VIRTUALENV_INIT",
    "PYENV_VIRTUAL_ENV",
];

impl<'a> Shell<'a> {
    /// Start bash, as far as the environment is concerned.
    pub fn start<W: World>(world: &W, environ: &[&'a [u8]]) -> Result<Shell<'a>, Unclear> {
        vet(environ)?;
        let path = vars::get(environ, "PATH").ok_or(Unclear("PATH is not set"))?;
        check_bash(world, environ)?;
        let oldpwd = vars::get(environ, "OLDPWD").is_some_and(|dir| world.stat(dir).is_ok_and(|s| s.is_dir()));
        let level = level(vars::get(environ, "SHLVL")).ok_or(Unclear("SHLVL is unusual"))?;
        Ok(Shell { pwd: pwd(world, environ)?, path, level, oldpwd })
    }

    /// Leave by `exec`: what an interpreter gets to see of the shells that were there.
    pub fn leave(&self, change: &mut EnvironChange) {
        // `_` loses its export with the first command; PS1 and PS2 are for people.
        change.remove.extend(["_", "PS1", "PS2"]);
        if !self.oldpwd {
            change.remove.push("OLDPWD");
        }
        change.put(b"PWD", &self.pwd);
        let mut level = Vec::with_capacity(4);
        push_number(&mut level, self.level);
        change.put(b"SHLVL", &level);
    }
}

/// Would every entry pass through bash as it is, but for those that [`Shell::leave`] lists?
fn vet(environ: &[&[u8]]) -> Result<(), Unclear> {
    let mut names: Vec<&[u8]> = Vec::with_capacity(environ.len());
    for entry in environ {
        let name = vars::name_of(entry);
        if name.is_empty() || name.len() == entry.len() {
            return Err(Unclear("the environment has an entry without a name or value"));
        }
        let listed = |table: &[&str]| table.binary_search_by(|t| t.as_bytes().cmp(name)).is_ok();
        let trouble = name.starts_with(b"BASH")
            || (name.starts_with(b"PYENV_") && !listed(PYENV_KNOWN))
            || (name.starts_with(b"_PYENV_")
                && name != b"_PYENV_INSTALL_PREFIX"
                && !name.starts_with(b"_PYENV_SHIM_PATHS_"))
            || listed(TROUBLE);
        if trouble {
            return Err(Unclear("a variable changes what bash or pyenv does"));
        }
        names.push(name);
    }
    names.sort_unstable();
    match names.windows(2).any(|w| w[0] == w[1]) {
        true => Err(Unclear("the environment has a variable twice")),
        false => Ok(()),
    }
}

/// `#!/usr/bin/env bash`: only the system's is known to behave.
fn check_bash<W: World>(world: &W, environ: &[&[u8]]) -> Result<(), Unclear> {
    let mut path = Vec::new();
    for dir in path_search::elements(environ) {
        paths::join_into(&mut path, dir, b"bash");
        if world.stat(&path).is_ok_and(|s| s.is_file()) {
            return match &path[..] {
                b"/bin/bash" | b"/usr/bin/bash" => Ok(()),
                _ => Err(Unclear("bash is not the system's")),
            };
        }
    }
    Err(Unclear("bash is not on PATH"))
}

/// The inherited PWD when it is absolute and leads here, else getcwd.
fn pwd<W: World>(world: &W, environ: &[&[u8]]) -> Result<Vec<u8>, Unclear> {
    let here = world.stat(b".").map_err(|_| Unclear("the working directory is gone"))?;
    let inherited = vars::get(environ, "PWD").filter(|p| p.starts_with(b"/"));
    let pwd = match inherited.filter(|p| world.stat(p).is_ok_and(|s| s.id() == here.id())) {
        Some(inherited) => inherited.to_vec(),
        None => world.cwd().ok_or(Unclear("the working directory is gone"))?,
    };
    // bash would tidy an untidy one up, by rules that are not repeated here.
    if text::is_plain_dir(&pwd) { Ok(pwd) } else { Err(Unclear("the working directory's name is not plain")) }
}

/// SHLVL after any number of starts and execs: one up and one down again each time, no number counting as 0.
/// From 999 on bash complains and starts anew.
fn level(value: Option<&[u8]>) -> Option<u32> {
    match value {
        None | Some(b"") => Some(0),
        Some(digits) if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            core::str::from_utf8(digits).ok()?.parse().ok().filter(|&n| n < 999)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(TROUBLE.is_sorted() && PYENV_KNOWN.is_sorted());
    }

    #[test]
    fn levels() {
        assert_eq!(level(None), Some(0));
        assert_eq!(level(Some(b"")), Some(0));
        assert_eq!(level(Some(b"3")), Some(3));
        assert_eq!(level(Some(b"007")), Some(7));
        assert_eq!(level(Some(b"998")), Some(998));
        for odd in [&b"999"[..], b"1000", b"-4", b" 5", b"abc", b"0x1"] {
            assert_eq!(level(Some(odd)), None, "{odd:?}");
        }
    }

    #[test]
    fn troublesome_environments() {
        assert!(vet(&[b"A=1", b"a-b=2", b"foo.bar=3", b"PYENV_SHELL=zsh", b"EMPTY="]).is_ok());
        for odd in [
            &b"noequals"[..],
            b"=x",
            b"BASH_ENV=x",
            b"BASH_FUNC_f%%=() { :; }",
            b"IFS=x",
            b"PYENV_DEBUG=1",
            b"PYENV_NATIVE_EXT=1",
            b"_PYENV_SHIM_PATH=/x",
            b"program=x",
            b"LINES=3",
        ] {
            assert!(vet(&[b"A=1", odd]).is_err(), "{}", alloc::string::String::from_utf8_lossy(odd));
        }
        assert!(vet(&[b"A=1", b"B=2", b"A=1"]).is_err());
    }
}
