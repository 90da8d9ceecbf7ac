//! The route, as far as the command line and the environment decide it.
//!
//! Pure: what needs the world (the script's file, the interpreter, the
//! process's own state) is decided in `pyzy_launch`.

use crate::cmdline::{self, CommandLine, Settings};
use crate::reason::Reason;
use crate::vars;

/// Which engine a warm run uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// A fork of the zygote.
    Fork,
    /// An image of the zygote, restored into the caller's own process.
    Restore,
}

impl Engine {
    /// As written in PYZY_ENGINE and in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::Fork => "fork",
            Engine::Restore => "restore",
        }
    }
}

/// Which engines may be tried; restore comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Engines {
    /// [`Engine::Restore`].
    pub restore: bool,
    /// [`Engine::Fork`].
    pub fork: bool,
}

/// Can this build restore? One that knows the processor's few instructions can.
const RESTORES: bool = cfg!(target_arch = "x86_64");

/// `PYZY_DISABLE`: looked at before anything else.
pub fn is_disabled(environ: &[&[u8]]) -> bool {
    vars::is_on(environ, vars::DISABLE)
}

/// What is warm as far as words can say; or why not.
pub fn decide<'a>(argv: &'a [&'a [u8]], environ: &[&'a [u8]]) -> Result<(Engines, CommandLine<'a>), Reason> {
    if is_disabled(environ) {
        return Err(Reason::Disabled);
    }
    let engines = match vars::get_nonempty(environ, vars::ENGINE) {
        None => Engines { restore: RESTORES, fork: true },
        Some(b"fork") => Engines { restore: false, fork: true },
        Some(b"restore") if RESTORES => Engines { restore: true, fork: false },
        Some(_) => return Err(Reason::EngineOff),
    };
    let line = cmdline::parse(argv, None)?;
    environment(environ, &line.settings)?;
    Ok((engines, line))
}

/// Variables that watch an interpreter from its first moment, if they have a value
/// (`Python/initconfig.c`, `Python/preconfig.c`).
const OBSERVED: &[&str] = &[
    "PYTHONDEBUG",
    "PYTHONDUMPREFS",
    "PYTHONDUMPREFSFILE",
    "PYTHONPERFSUPPORT",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONTRACEMALLOC",
    "PYTHONVERBOSE",
    "PYTHON_PERF_JIT_SUPPORT",
    "PYTHON_PRESITE",
];

/// Variables with one path that start-up reads, and that means something else in another working directory.
const PATHS: &[&str] = &["HOME", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONEXECUTABLE", "LOCPATH"];

/// Variables with a list of paths; an empty element is the working directory.
const PATH_LISTS: &[&str] = &["PYTHONPATH", "LD_LIBRARY_PATH"];

fn environment(environ: &[&[u8]], settings: &Settings) -> Result<(), Reason> {
    // `-E` and `-I` hide PYTHON* from the interpreter, not from us: then they only make the identity finer.
    let heeded = |name: &str| !(settings.ignore_environment && name.starts_with("PYTHON"));
    let value = |name: &&str| vars::get_nonempty(environ, name).filter(|_| heeded(name));
    if ["LD_PRELOAD", "LD_AUDIT"].iter().any(|name| value(name).is_some()) {
        return Err(Reason::PreloadedLibrary);
    }
    if value(&"PYTHONINSPECT").is_some() {
        return Err(Reason::Interactive);
    }
    if OBSERVED.iter().any(|name| value(name).is_some()) {
        return Err(Reason::OptionObserved);
    }
    let relative = |path: &[u8]| path.first() != Some(&b'/');
    let lists = PATH_LISTS.iter().filter_map(value);
    if PATHS.iter().filter_map(value).any(relative) || lists.flat_map(|v| v.split(|&b| b == b':')).any(relative) {
        return Err(Reason::RelativeEnvironment);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGV: &[&[u8]] = &[b"python3", b"x.py"];

    fn reason(environ: &[&[u8]]) -> Option<Reason> {
        decide(ARGV, environ).err()
    }

    #[test]
    fn the_switch_comes_first() {
        assert_eq!(decide(&[], &[b"PYZY_DISABLE=1"]).err(), Some(Reason::Disabled));
        assert_eq!(reason(&[b"PYZY_DISABLE=0"]), None);
        assert_eq!(reason(&[b"PYZY_DISABLE="]), None);
        assert_eq!(reason(&[b"PYZY_ENGINE=fork"]), None);
        assert_eq!(reason(&[b"PYZY_ENGINE=off"]), Some(Reason::EngineOff));
        assert_eq!(reason(&[b"PYZY_ENGINE=warp"]), Some(Reason::EngineOff));
    }

    #[test]
    fn paths_relative_to_the_working_directory_fall_back() {
        assert_eq!(reason(&[b"PYTHONPATH=/a:/b"]), None);
        for value in
            ["PYTHONPATH=a", "PYTHONPATH=/a:", "PYTHONPATH=:/a", "PYTHONHOME=.", "LD_LIBRARY_PATH=lib", "HOME=me"]
        {
            assert_eq!(reason(&[value.as_bytes()]), Some(Reason::RelativeEnvironment), "{value}");
        }
        assert_eq!(reason(&[b"PYTHONPATH="]), None);
        assert_eq!(decide(&[b"python3", b"-E", b"x.py"], &[b"PYTHONPATH=a"]).err(), None);
    }

    #[test]
    fn observers_fall_back() {
        assert_eq!(reason(&[b"PYTHONVERBOSE=1"]), Some(Reason::OptionObserved));
        assert_eq!(reason(&[b"PYTHONINSPECT=1"]), Some(Reason::Interactive));
        assert_eq!(reason(&[b"LD_PRELOAD=/x.so"]), Some(Reason::PreloadedLibrary));
        assert_eq!(decide(&[b"python3", b"-I", b"x.py"], &[b"PYTHONINSPECT=1"]).err(), None);
    }
}
