//! PATH, as `pyzy doctor` sees it: who answers to each name, and who is behind.
//!
//! Owns the judgement of what stands first, and of names that have an
//! interpreter and no shim, by the rule of `install.sh`. What is behind a shim
//! is the launcher's own search.

use super::doctor::Check;
use super::interpreter;
use super::place::Installation;
use super::show;
use super::venv::Venv;
use super::world::World;
use pyzy_core::{vars, version};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The names that an installation may have, one a line; `install.sh` reads the same file.
const NAMES: &str = include_str!("../../shims/names");
const INSTALL: &str = "run ./install.sh again";
/// The names that everybody types.
const COMMON: [&str; 2] = ["python3", "python"];

pub fn check(world: &World, checks: &mut Vec<Check>) {
    for name in COMMON {
        checks.push(common(world, name));
    }
    let Some(shims) = Installation::of(world).ok().and_then(|i| i.shims()) else { return };
    let is_there = |name: &&str| interpreter::is_ours(world, &shims.join(name));
    let missing: Vec<&str> = names().filter(|n| !is_there(n) && (*n == "python3" || wants_shim(world, n))).collect();
    if !missing.is_empty() {
        let seen = format!("'{}' has no shim {}", shims.display(), missing.join(", "));
        checks.push(Check::warn("shims", seen, INSTALL));
    }
    let (mut behind, mut empty) = (Vec::new(), Vec::new());
    for name in names().filter(|n| !COMMON.contains(n) && is_there(n)) {
        match interpreter::locate(world, OsStr::new(name), true) {
            Ok(found) => behind.push(format!("{name} is {}", show::text(&found.file))),
            Err(_) => empty.push(name),
        }
    }
    if !behind.is_empty() {
        checks.push(Check::ok("other names", behind.join(", ")));
    }
    if !empty.is_empty() {
        checks.push(Check::ok("other names", format!("no interpreter has the name {}", empty.join(", "))));
    }
}

/// Is there an interpreter of this name on PATH that an installation would put its shim before? What is in a venv is
/// not: it goes when the venv is left.
fn wants_shim(world: &World, name: &str) -> bool {
    let in_venv = |file: &Path| file.parent().is_some_and(|bin| Venv::at(bin).is_some());
    along_path(world, name).iter().any(|file| !interpreter::is_ours(world, file) && !in_venv(file))
}

fn names() -> impl Iterator<Item = &'static str> {
    NAMES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// One name: is the first on PATH a shim, and is there an interpreter?
fn common(world: &World, name: &'static str) -> Check {
    let found = interpreter::locate(world, OsStr::new(name), true);
    let behind = match &found {
        Ok(found) => found,
        Err(e) => {
            let text = e.to_string();
            let (seen, hint) = text.split_once("\nhint: ").unwrap_or((&text, "install it, or put it on PATH"));
            if name == "python3" {
                return Check::fail(name, seen.to_owned(), hint.to_owned());
            }
            // Many machines have no `python`, and need none.
            return match along_path(world, name).first() {
                None => Check::ok(name, "nothing on PATH has this name"),
                Some(shim) => Check::warn(name, format!("'{}': {seen}", shim.display()), INSTALL),
            };
        }
    };
    let real = show::text(&behind.file);
    let on_path = along_path(world, name);
    let cure = "put this into your shell's start-up file: eval \"$(pyzy env)\"";
    let Some(first) = on_path.first() else {
        return Check::warn(name, format!("nothing on PATH has this name; '{real}' would run"), cure);
    };
    if interpreter::is_ours(world, first) {
        if let Some(version) = another_version(first) {
            let cure = match first.parent() {
                Some(bin) if Venv::at(bin).is_some() => format!("pyzy shims '{}'", bin.display()),
                _ => INSTALL.to_owned(),
            };
            let seen = format!("'{}' is version {version}, this is {}", first.display(), version::VERSION);
            return Check::warn(name, seen, cure);
        }
        return match behind.warm {
            Ok(()) => Check::ok(name, format!("'{}', and behind it '{real}', {}", first.display(), behind.how)),
            Err(reason) => {
                let seen =
                    format!("'{}', and behind it '{real}', never warm: {reason}: {}", first.display(), reason.text());
                Check::warn(name, seen, "put the interpreter's own directory on PATH, or set PYZY_PYTHON")
            }
        };
    }
    let shim = on_path.iter().find(|p| interpreter::is_ours(world, p));
    let venv = first.parent().filter(|bin| bin.join("../pyvenv.cfg").is_file());
    match (venv, shim) {
        (Some(bin), _) => {
            let cure = format!("pyzy shims '{}'", bin.parent().unwrap_or(bin).display());
            Check::warn(name, format!("'{}' comes first, a venv's, and is always cold", first.display()), cure)
        }
        (None, Some(shim)) => {
            Check::warn(name, format!("'{}' comes before the shim '{}'", first.display(), shim.display()), cure)
        }
        (None, None) => Check::warn(name, format!("'{}' comes first; no shim is on PATH", first.display()), cure),
    }
}

/// The version of a shim, if it is not ours: copies in venvs are renewed only when somebody asks for it.
fn another_version(shim: &Path) -> Option<String> {
    let content = std::fs::read(shim).ok()?;
    version::find(&content).filter(|v| *v != version::VERSION.as_bytes()).map(show::text)
}

/// The executable files of this name, in the order of PATH.
fn along_path(world: &World, name: &str) -> Vec<PathBuf> {
    let entries = world.entries();
    let path = OsStr::from_bytes(vars::get(&entries, "PATH").unwrap_or(b"/bin:/usr/bin"));
    let cwd = world.cwd.as_deref().unwrap_or(Path::new("/"));
    let files = which::which_in_all(name, Some(path), cwd).into_iter().flatten();
    // An empty element means the working directory.
    files.map(|file| world.absolute(&file)).collect()
}
