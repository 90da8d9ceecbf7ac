//! Interpreters: which one a name means without us, and what it says of itself.
//!
//! Owns the one place where the command runs Python. The search is the
//! launcher's own, `pyzy_core::locate`. Whatever is run has PYZY_DISABLE set,
//! so that it can never come back to a zygote.

use super::failure::cause;
use super::place::Installation;
use super::show;
use super::venv::Venv;
use super::world::{World, path};
use pyzy_core::locate::{self, Call, Found, LocateError, World as _};
use pyzy_core::vars;
use pyzy_launch::world::Real;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What an interpreter says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// `sys.executable`, absolute.
    pub executable: PathBuf,
    pub major: u32,
    pub minor: u32,
}

#[derive(Debug)]
pub enum Error {
    Locate(LocateError),
    Run(PathBuf, io::Error),
    /// It ran, and did not answer as Python 3 does; the last line of its complaint.
    NotPython(PathBuf, Vec<u8>),
    /// Links of ours all the way.
    OnlyUs(PathBuf),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Its hint stands on a line of its own.
            Error::Locate(e) => f.write_str(e.to_string().lines().next().unwrap_or_default()),
            Error::Run(p, e) => write!(f, "cannot run '{}': {}", p.display(), cause(e)),
            Error::NotPython(p, line) if line.is_empty() => {
                write!(f, "cannot use '{}': it does not answer as Python 3 does", p.display())
            }
            Error::NotPython(p, line) => {
                write!(f, "cannot use '{}': it does not answer as Python 3 does: {}", p.display(), show::text(line))
            }
            Error::OnlyUs(p) => write!(f, "cannot use '{}': it is a shim itself", p.display()),
        }
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Locate(e) => e.to_string().lines().nth(1)?.strip_prefix("hint: ").map(Into::into),
            _ => Some("name a real interpreter: --python /path/to/python3".into()),
        }
    }
}

/// What `name` would run, had pyzy not been there; a path is taken for a shim of ours, whichever copy it leads to.
/// `PYZY_PYTHON` counts only if asked to.
pub fn locate(world: &World, name: &OsStr, variable: bool) -> Result<Found, LocateError> {
    let own = if name.as_bytes().contains(&b'/') {
        Real.stat(name.as_bytes()).map_or((0, 0), |stat| stat.id())
    } else {
        own(world)
    };
    let environ: Vec<&[u8]> = world
        .environ
        .iter()
        .map(Vec::as_slice)
        .filter(|e| variable || vars::name_of(e) != vars::PYTHON.as_bytes())
        .collect();
    locate::locate(&Real, &Call { argv0: name.as_bytes(), args: &[], environ: &environ, exec_path: None, own })
}

/// Device and inode of the installed launcher.
fn own(world: &World) -> (u64, u64) {
    let stat = |launcher: PathBuf| Real.stat(launcher.as_os_str().as_bytes());
    Installation::of(world).ok().and_then(|i| stat(i.launcher()).ok()).map_or((0, 0), |stat| stat.id())
}

/// The interpreter that is meant: a path, a name on PATH, or by default what `python3` means.
pub fn find(world: &World, wanted: Option<&OsStr>) -> Result<Interpreter, Error> {
    match wanted {
        Some(typed) if typed.as_bytes().contains(&b'/') => {
            let file = world.absolute(Path::new(typed));
            if !is_ours(world, &file) {
                return ask(&mut command(&file));
            }
            // Somebody else's directory of shims: the interpreter it stands for.
            located(world, file.as_os_str())
        }
        name => located(world, name.unwrap_or(OsStr::new("python3"))),
    }
}

fn located(world: &World, name: &OsStr) -> Result<Interpreter, Error> {
    let found = locate(world, name, false).map_err(Error::Locate)?;
    let mut command = command(&path(&found.file));
    command.arg0(OsStr::from_bytes(&found.argv0)).env_clear();
    for entry in found.environ.apply(&world.entries()) {
        let name = vars::name_of(entry);
        if let Some(value) = entry.get(name.len() + 1..) {
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    command.env(vars::DISABLE, "1");
    let interpreter = ask(&mut command)?;
    // A venv with shims in it goes by its own python's path all the same, and the launcher finds what is behind.
    let in_venv = interpreter.executable.parent().is_some_and(|bin| Venv::at(bin).is_some());
    if is_ours(world, &interpreter.executable) && !in_venv {
        return Err(Error::OnlyUs(interpreter.executable));
    }
    Ok(interpreter)
}

/// The file that a shim of ours would run, by the notes or the pyvenv.cfg beside it.
pub fn behind(world: &World, shim: &Path) -> Result<PathBuf, Error> {
    let found = locate(world, shim.as_os_str(), false).map_err(Error::Locate)?;
    let file = path(&found.file);
    if is_ours(world, &file) { Err(Error::OnlyUs(file)) } else { Ok(file) }
}

fn command(file: &Path) -> Command {
    const PROGRAM: &str = "import os, sys\n\
        os.write(1, b'%d %d ' % sys.version_info[:2] + os.fsencode(sys.executable or ''))";
    let mut command = Command::new(file);
    command.args(["-I", "-S", "-c", PROGRAM]).env(vars::DISABLE, "1").stdin(Stdio::null());
    command
}

fn ask(command: &mut Command) -> Result<Interpreter, Error> {
    let file = PathBuf::from(command.get_program());
    let output = command.output().map_err(|e| Error::Run(file.clone(), e))?;
    answer(&output).ok_or_else(|| Error::NotPython(file, last_line(&output.stderr)))
}

fn answer(output: &Output) -> Option<Interpreter> {
    let mut parts = output.stdout.splitn(3, |&b| b == b' ');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u32>().ok();
    let (major, minor) = (number()?, number()?);
    let executable = PathBuf::from(OsString::from_vec(parts.next()?.to_vec()));
    let good = output.status.success() && major == 3 && executable.is_absolute();
    good.then_some(Interpreter { executable, major, minor })
}

fn last_line(text: &[u8]) -> Vec<u8> {
    let line = text.trim_ascii().rsplit(|&b| b == b'\n').next().unwrap_or_default();
    line[..line.len().min(200)].to_vec()
}

/// Does this lead to a launcher, or is it a copy, of this installation or of another? One that is gone still has its
/// name.
pub fn is_ours(world: &World, file: &Path) -> bool {
    const INSTALLED: &str = "lib/pyzy/launcher";
    let end = std::fs::canonicalize(file).or_else(|_| std::fs::read_link(file)).unwrap_or_else(|_| file.to_owned());
    end.ends_with(INSTALLED) || locate::is_ours(&Real, own(world), file.as_os_str().as_bytes())
}

impl Interpreter {
    /// `python`, `python3` and `python3.12`: the names that its shims get.
    pub fn names(&self) -> [String; 3] {
        ["python".into(), format!("python{}", self.major), format!("python{}.{}", self.major, self.minor)]
    }
}
