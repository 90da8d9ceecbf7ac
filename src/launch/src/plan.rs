//! The plan: what would happen to a call, and why.

use crate::facts::{self, Facts};
use crate::place::{self, Place};
use crate::project::{self, Project};
use crate::world::Real;
use alloc::vec::Vec;
use pyzy_core::cmdline::CommandLine;
use pyzy_core::key::{Identity, Key};
use pyzy_core::locate::{self, Call, Found, LocateError};
use pyzy_core::preload;
use pyzy_core::reason::Reason;
use pyzy_core::route::{self, Engines};
use pyzy_core::vars;
use pyzy_sys::file::{self, Stat};
use pyzy_sys::{libc, process};

/// The name of the zygote's library in the installation.
pub const LIBRARY: &[u8] = b"libpyzy_zygote.so";
/// The name of the full program in the installation.
pub const PROGRAM: &[u8] = b"pyzy";

/// How we were called, and who we are.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// The command line.
    pub argv: &'a [&'a [u8]],
    /// The environment.
    pub environ: &'a [&'a [u8]],
    /// `AT_EXECFN`.
    pub exec_path: Option<&'a [u8]>,
    /// The installed launcher, absolute, links resolved ([`crate::installation`]); empty if unknown.
    pub own: &'a [u8],
    /// The kernel distrusts our environment (`AT_SECURE`).
    pub secure: bool,
}

impl<'a> Invocation<'a> {
    /// The directory of the installation.
    pub fn home(&self) -> &'a [u8] {
        let end = self.own.iter().rposition(|&b| b == b'/').unwrap_or(0);
        &self.own[..end]
    }

    /// A file of the installation.
    pub fn installed(&self, name: &[u8]) -> Vec<u8> {
        [self.home(), b"/", name].concat()
    }
}

/// Everything that is known before the socket is tried.
pub struct Plan<'a> {
    /// The real interpreter.
    pub found: Found,
    /// The environment it would get.
    pub environ: Vec<Vec<u8>>,
    /// Warm, or why not.
    pub warm: Result<Warm<'a>, Reason>,
}

/// What a warm run needs, whatever the engine.
pub struct Warm<'a> {
    /// The engines that may be tried.
    pub engines: Engines,
    /// The command line.
    pub line: CommandLine<'a>,
    /// What start-up depends on, whoever calls: all that an image needs.
    pub start: Identity,
    /// The key of the image.
    pub image: Key,
    /// What is to be kept warm.
    pub preload: Preload,
    /// The script, whose own imports are to be kept warm: an absolute path.
    pub own_script: Option<Vec<u8>>,
}

/// Who says what is to be kept warm.
pub enum Preload {
    /// Nobody.
    Nothing,
    /// PYZY_PRELOAD.
    Variable(Vec<u8>),
    /// A project's file, which the full program reads.
    Project(Project),
}

/// What the fork engine needs besides: the caller's own state.
pub struct Forked {
    /// The process's state.
    pub facts: Facts,
    /// All facts that choose the zygote.
    pub identity: Identity,
    /// Their key.
    pub key: Key,
}

/// Makes the plan. An error means that there is no interpreter at all.
pub fn plan<'a>(call: &Invocation<'a>) -> Result<Plan<'a>, LocateError> {
    let own = file::stat(call.own).map_or((0, 0), |s| (s.dev, s.ino));
    let found = locate::locate(
        &Real,
        &Call {
            argv0: call.argv.first().copied().unwrap_or(b"python3"),
            args: call.argv.get(1..).unwrap_or(&[]),
            environ: call.environ,
            exec_path: call.exec_path,
            own,
        },
    )?;
    let environ: Vec<Vec<u8>> = found.environ.apply(call.environ).iter().map(|e| e.to_vec()).collect();
    let warm = warm(call, &found, &environ);
    Ok(Plan { found, environ, warm })
}

fn warm<'a>(call: &Invocation<'a>, found: &Found, environ: &[Vec<u8>]) -> Result<Warm<'a>, Reason> {
    let (engines, line) = route::decide(call.argv, call.environ)?;
    found.warm?;
    let is_directory = check_script(line.script)?;
    if call.secure {
        return Err(Reason::Privileged);
    }
    check_standard_streams()?;
    facts::check_memory_limits()?;
    let mut start = identify(call, found, environ, &line)?;
    let preload = preload(call, line.script, is_directory, &mut start);
    let own_script = own_script(call, line.script, is_directory, &mut start);
    let mut image = start.clone();
    image.add("kernel", &process::uname().map_err(|_| Reason::System)?);
    image.add_numbers("user", &[process::effective_user().into()]);
    Ok(Warm { engines, line, image: image.key(), start, preload, own_script })
}

/// A file that can be read from its beginning, now and by somebody else; or a directory, then true.
fn check_script(script: &[u8]) -> Result<bool, Reason> {
    // What these name depends on who asks.
    if script.starts_with(b"/dev/") || script.starts_with(b"/proc/") {
        return Err(Reason::ScriptNotRegular);
    }
    let stat = file::stat(script).map_err(|_| Reason::ScriptMissing)?;
    if !stat.is_file() && !stat.is_dir() {
        return Err(Reason::ScriptNotRegular);
    }
    file::access(script, libc::R_OK).map_err(|_| Reason::ScriptUnreadable)?;
    Ok(stat.is_dir())
}

/// What is warm decides what a script gets: it is part of the identity. A variable that is set, to whatever, goes before
/// the project's file.
fn preload(call: &Invocation, script: &[u8], is_directory: bool, start: &mut Identity) -> Preload {
    if let Some(list) = vars::get(call.environ, vars::PRELOAD) {
        if preload::is_off(list) {
            return Preload::Nothing;
        }
        start.add("preload", list);
        return Preload::Variable(list.to_vec());
    }
    let project = project::absolute(script)
        .and_then(|path| project::nearest(if is_directory { &path } else { project::directory(&path) }));
    match project {
        Some(project) => {
            start.add("project", &project.content);
            Preload::Project(project)
        }
        None => Preload::Nothing,
    }
}

/// The script, if it is to have a zygote of its own.
fn own_script(call: &Invocation, script: &[u8], is_directory: bool, start: &mut Identity) -> Option<Vec<u8>> {
    if is_directory || !vars::is_on(call.environ, vars::CACHE_SCRIPT) {
        return None;
    }
    let path = project::absolute(script)?;
    start.add("own script", &path);
    Some(path)
}

/// CPython refuses to start on a directory (`Python/pylifecycle.c`, init_sys_streams).
fn check_standard_streams() -> Result<(), Reason> {
    let directory = (0..3).any(|fd| file::fstat(fd).is_ok_and(|s| s.is_dir()));
    if directory { Err(Reason::StdinDirectory) } else { Ok(()) }
}

fn identify(call: &Invocation, found: &Found, environ: &[Vec<u8>], line: &CommandLine) -> Result<Identity, Reason> {
    let mut identity = Identity::new();
    let library = file::stat(&call.installed(LIBRARY)).map_err(|_| Reason::Incomplete)?;
    identity.add("library", &file_facts(&library));
    let interpreter = file::stat(&found.file).map_err(|_| Reason::System)?;
    identity.add("interpreter", &found.file);
    identity.add("argv0", &found.argv0);
    identity.add("interpreter file", &file_facts(&interpreter));
    for option in line.options {
        identity.add("option", option);
    }
    // Their order means nothing, and make changes it; of two with one name getenv sees the first.
    let mut variables: Vec<&[u8]> = Vec::new();
    for entry in environ.iter().filter(|e| vars::is_startup(e)) {
        if !variables.iter().any(|known| vars::name_of(known) == vars::name_of(entry)) {
            variables.push(entry);
        }
    }
    variables.sort_unstable();
    for entry in variables {
        identity.add("variable", entry);
    }
    if vars::is_on(call.environ, vars::DEBUGGABLE) {
        identity.add("debuggable", b"");
    }
    // A zygote at a place of its own has its own table, lock and notes.
    if let Some(socket) = place::named_socket(call.environ) {
        identity.add("socket", &socket?);
    }
    Ok(identity)
}

fn file_facts(stat: &Stat) -> Vec<u8> {
    [stat.dev, stat.ino, stat.size, stat.mtime as u64].iter().flat_map(|n| n.to_le_bytes()).collect()
}

impl Warm<'_> {
    /// What the fork engine needs, from the state of this process. `alone`: for callers without a terminal, whatever
    /// this process has.
    pub fn forked(&self, alone: bool) -> Result<Forked, Reason> {
        let mut facts = Facts::gather()?;
        facts.terminal &= !alone;
        let mut identity = self.start.clone();
        facts.identify(&mut identity)?;
        let key = identity.key();
        Ok(Forked { facts, identity, key })
    }
}

impl Forked {
    /// Runtime directory and socket.
    pub fn place(&self, environ: &[&[u8]], make: bool) -> Result<Place, Reason> {
        place::place(environ, &self.key, make)
    }
}
