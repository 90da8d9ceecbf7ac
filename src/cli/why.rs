//! `pyzy why`: walks the way of a command line without running it.
//!
//! Owns the telling, and the launcher's way along the engines (`warm_run` in
//! `src/launcher/src/main.rs`) without its effects. The plan is the launcher's own,
//! `pyzy_launch::plan`, and so are the heads, tables and notes that are looked at; so
//! what is said here is what would happen in this environment, but for
//! descriptors: a shell may give python3 other ones.

use super::failure::Failure;
use super::images::Facts;
use super::json::Json;
use super::place::{self, Installation};
use super::table::{self, Side};
use super::world::World;
use super::{Report, show};
use crate::image_file;
use crate::project;
use pyzy_core::fresh::Table;
use pyzy_core::locate::LocateError;
use pyzy_core::preload::{self, Entry};
use pyzy_core::reason::Reason;
use pyzy_core::route::Engine;
use pyzy_core::vars;
use pyzy_launch::freshness;
use pyzy_launch::place::{Place, in_runtime};
use pyzy_launch::plan::{self, Forked, Invocation, Plan, Preload, Warm};
use pyzy_sys::{Errno, file, libc, net, process};
use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

#[derive(Debug)]
pub enum Error {
    Locate(LocateError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error::Locate(e) = self;
        f.write_str(e.to_string().lines().next().unwrap_or_default())
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        let Error::Locate(e) = self;
        e.to_string().lines().nth(1)?.strip_prefix("hint: ").map(Into::into)
    }
}

pub fn run(world: &World, json: bool, modules: bool, line: &[OsString]) -> Result<Report, Failure> {
    let launcher = Installation::of(world)?.launcher();
    // Disabled means: nothing else is looked at. Here it is worth saying what would be without it.
    let disabled = world.var(vars::DISABLE).is_some_and(|v| v != "0");
    let environ: Vec<&[u8]> = world.entries().into_iter().filter(|e| vars::name_of(e) != b"PYZY_DISABLE").collect();
    let mut argv: Vec<&[u8]> = vec![b"python3"];
    argv.extend(line.iter().map(|w| w.as_bytes()));
    let own = std::fs::canonicalize(&launcher).unwrap_or(launcher);
    let call =
        Invocation { argv: &argv, environ: &environ, exec_path: None, own: own.as_os_str().as_bytes(), secure: false };
    let plan = plan::plan(&call).map_err(Error::Locate)?;
    let mut facts = vec![("interpreter", show::text(&plan.found.file)), ("found", plan.found.how.to_string())];
    if plan.found.argv0 != plan.found.file {
        facts.push(("run as", show::text(&plan.found.argv0)));
    }
    if let Ok(warm) = &plan.warm {
        facts.extend(preloaded(warm));
    }
    let mut walk = Walk { call: &call, world, facts, tried: Vec::new(), modules: None };
    let route = walk.route(&plan);
    if modules {
        walk.modules = Some(walk.modules(&plan, route.ok()));
    }
    let route = if disabled { Err(Reason::Disabled) } else { route };
    let text = if json { walk.as_json(route) } else { walk.as_text(route).into_bytes() };
    Ok(Report::good(text))
}

/// What is to be kept warm, who says so, and what is wrong with that.
fn preloaded(warm: &Warm<'_>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Preload::Project(project) = &warm.preload {
        facts.push(("project file", show::text(&project.path)));
    }
    match project::list(&warm.preload) {
        Err(error) => facts.push(("not honoured", error.to_string())),
        Ok(list) if list.is_empty() => {}
        Ok(list) => {
            facts.push(("keeps warm", show::text(&list)));
            let bad = preload::entries(&list).filter_map(|entry| match entry {
                Entry::Bad(word) => Some(("bad name", format!("'{}': {}", show::text(word), preload::NO_NAME))),
                _ => None,
            });
            facts.extend(bad);
        }
    }
    if warm.own_script.is_some() {
        facts.push(("for", "this script alone, with its own imports".into()));
    }
    facts
}

/// How long it is remembered that a zygote could not be started, and that an image could not be made; the launcher's
/// numbers (`src/launcher/src/fork.rs`, `src/launcher/src/restore.rs`).
const START_FAILED: Duration = Duration::from_secs(60);
const IMAGE_FAILED: Duration = Duration::from_secs(600);

/// The launcher's way along the engines, and on it what there is to say.
struct Walk<'a> {
    call: &'a Invocation<'a>,
    world: &'a World,
    facts: Vec<(&'static str, String)>,
    /// What is told of modules, if somebody wants to know.
    modules: Option<Vec<Module>>,
    /// The engines in the order in which they are tried, and why each would not serve.
    tried: Vec<(Engine, Result<(), Reason>)>,
}

impl Walk<'_> {
    /// The engine that would serve, or the reason of the last that was tried: `warm_run` of the launcher.
    fn route(&mut self, plan: &Plan<'_>) -> Result<Engine, Reason> {
        let warm = plan.warm.as_ref().map_err(|r| *r)?;
        self.facts.push(("script", show::text(warm.line.script)));
        if warm.engines.restore {
            let result = self.restore(warm);
            self.tried.push((Engine::Restore, result));
        }
        if warm.engines.fork && self.tried.iter().all(|(_, result)| result.is_err()) {
            let result = warm.forked(false).and_then(|forked| self.fork(&forked));
            self.tried.push((Engine::Fork, result));
        }
        let (engine, result) = self.tried.last().copied().ok_or(Reason::EngineOff)?;
        result.map(|()| engine)
    }

    /// What the zygote or image noted of the modules that it keeps warm. Before there is one, nothing.
    fn modules(&self, plan: &Plan<'_>, engine: Option<Engine>) -> Vec<Module> {
        let Ok(warm) = &plan.warm else { return Vec::new() };
        let Ok(runtime) = self.runtime(Reason::NoZygote) else { return Vec::new() };
        let forked = || warm.forked(false).map(|forked| forked.key).ok();
        let keys = match engine {
            Some(Engine::Fork) => [forked(), None],
            Some(Engine::Restore) => [Some(warm.image), None],
            _ => [Some(warm.image), forked()],
        };
        let notes = keys.into_iter().flatten().find_map(|key| {
            let path = super::world::path(&in_runtime(&runtime, &key, "modules"));
            std::fs::read(path).ok()
        });
        String::from_utf8_lossy(&notes.unwrap_or_default()).lines().filter_map(Module::read).collect()
    }

    /// The runtime directory. The launcher makes it where it is not there yet; then there is nothing in it.
    fn runtime(&self, none: Reason) -> Result<Vec<u8>, Reason> {
        pyzy_launch::place::runtime(self.call.environ, false).map_err(|reason| match place::runtime(self.world) {
            Ok(runtime) if !runtime.there => none,
            _ => reason,
        })
    }

    /// Would the image be restored? Not whether its place in memory is free: that is seen only by mapping it.
    fn restore(&mut self, warm: &Warm<'_>) -> Result<(), Reason> {
        let runtime = self.runtime(Reason::NoImage)?;
        let file = |suffix| in_runtime(&runtime, &warm.image, suffix);
        let path = file("image");
        self.facts.push(("image", show::text(&path)));
        if let Some((age, note)) = note(&file("failed"))
            && age < IMAGE_FAILED
        {
            self.facts.push(("failed image", note));
        } else if is_being_made(&file("lock")) {
            self.facts.push(("image is", "being made".into()));
        }
        let head = image_file::read(&path).map_err(|error| match error {
            image_file::Error::Io(e) if e.kind() == ErrorKind::NotFound => Reason::NoImage,
            other => {
                self.facts.push(("unusable", other.to_string()));
                Reason::ImageUnusable
            }
        })?;
        if let Some(facts) = Facts::of(&head, &runtime) {
            let due = if facts.due { ", due for replacement" } else { "" };
            let runs = show::count(facts.runs, "run");
            self.facts.push(("image age", format!("{}, {runs}{due}", show::duration(facts.age))));
            let owner = if facts.owned { "" } else { ", which is gone" };
            self.facts.push(("image of", format!("zygote {}{owner}", facts.zygote)));
        }
        let image = head.image().ok_or(Reason::ImageUnusable)?;
        let table = Table::decode(image.fresh).ok_or(Reason::ImageUnusable)?;
        self.fresh(&table)
    }

    /// Is the zygote there, does it listen, and does everything look as when it started?
    fn fork(&mut self, forked: &Forked) -> Result<(), Reason> {
        self.facts.push(("key", String::from_utf8_lossy(&forked.key.hex()).into_owned()));
        self.runtime(Reason::NoZygote)?;
        let place = forked.place(self.call.environ, false)?;
        self.facts.push(("socket", show::text(&place.socket)));
        let reason = match self.listens(forked, &place) {
            Ok(()) => return Ok(()),
            Err(reason) => reason,
        };
        let cured = matches!(reason, Reason::NoZygote | Reason::Stale | Reason::Silent | Reason::Closed | Reason::Busy);
        match note(&place.file(&forked.key, "failed")) {
            Some((age, note)) if cured && age < START_FAILED => {
                let impure = note.starts_with("start-up");
                self.facts.push(("failed start", note));
                Err(if impure { Reason::StartupImpure } else { Reason::ZygoteFailed })
            }
            _ => Err(reason),
        }
    }

    /// As far as the launcher goes before it sends anything.
    fn listens(&mut self, forked: &Forked, place: &Place) -> Result<(), Reason> {
        let table = match file::read_file(&place.file(&forked.key, "fresh"), 16 << 20) {
            Ok(table) => table,
            Err(Errno(libc::ENOENT)) if place.named => return Err(connect(place).err().unwrap_or(Reason::Mismatch)),
            Err(Errno(libc::ENOENT)) => return Err(Reason::NoZygote),
            Err(_) => return Err(Reason::System),
        };
        self.fresh(&Table::decode(&table).ok_or(Reason::NoZygote)?)?;
        let zygote = connect(place)?;
        self.facts.push(("zygote", zygote.to_string()));
        // It would take the connection all the same, and never answer.
        if matches!(process::state(zygote), Some(b'T' | b't')) { Err(Reason::Silent) } else { Ok(()) }
    }

    fn fresh(&mut self, table: &Table<'_>) -> Result<(), Reason> {
        let result = freshness::check(table, self.call.environ);
        let fact = match result {
            Err(Reason::Stale) => freshness::changed(table).map(|changed| ("changed", changed)),
            Err(Reason::StartupEnvironment) => {
                freshness::differing(table, self.call.environ).map(|variable| ("variable", variable))
            }
            _ => None,
        };
        self.facts.extend(fact.map(|(name, value)| (name, show::text(value))));
        result
    }
}

/// A module that was to be kept warm.
struct Module {
    name: String,
    /// Why it is not.
    refused: Option<String>,
}

impl Module {
    /// A line of the zygote's note (`src/zygote/src/warm/mod.rs`).
    fn read(line: &str) -> Option<Module> {
        let mut words = line.split('\t');
        let (name, state) = (words.next()?.to_owned(), words.next()?);
        let refused = (state != "warm").then(|| words.next().unwrap_or_default().to_owned());
        Some(Module { name, refused })
    }
}

fn modules_as_text(modules: &[Module]) -> String {
    if modules.is_empty() {
        return "no modules: nothing is kept warm here, or not yet\n".into();
    }
    let mut table = table::Table::new(&[("module", Side::Left), ("state", Side::Left), ("why", Side::Left)]);
    for Module { name, refused } in modules {
        let state = if refused.is_none() { "warm" } else { "refused" };
        table.row(vec![show::text(name.as_bytes()), state.into(), refused.clone().unwrap_or_default()]);
    }
    table.render()
}

/// Somebody holds the lock of an image.
fn is_being_made(lock: &[u8]) -> bool {
    let is_held = |lock: file::Fd| file::lock(lock.number(), libc::LOCK_SH | libc::LOCK_NB).is_err();
    file::open(lock, libc::O_RDONLY | libc::O_NOFOLLOW, 0).is_ok_and(is_held)
}

/// The age and the first line of a note of a failure.
fn note(path: &[u8]) -> Option<(Duration, String)> {
    let path = super::world::path(path);
    let age = path.symlink_metadata().and_then(|m| m.modified()).ok()?.elapsed().ok()?;
    let text = std::fs::read(path).ok()?;
    let line = text.trim_ascii().split(|&b| b == b'\n').next().unwrap_or_default();
    Some((age, show::text(line)))
}

/// Who listens on the socket. What can be seen from outside is that it takes a connection.
fn connect(place: &Place) -> Result<i32, Reason> {
    let user = process::effective_user();
    match file::lstat(&place.socket) {
        Ok(stat) if stat.is_socket() && stat.uid == user => {}
        Ok(_) => return Err(Reason::UnsafeSocket),
        Err(Errno(libc::ENOENT)) => return Err(Reason::NoZygote),
        Err(_) => return Err(Reason::System),
    }
    let socket = net::socket().map_err(|_| Reason::System)?;
    net::connect(&socket, &place.socket).map_err(|error| match error.0 {
        libc::ECONNREFUSED | libc::ENOENT => Reason::NoZygote,
        libc::EAGAIN => Reason::Busy,
        libc::EPROTOTYPE => Reason::UnsafeSocket,
        _ => Reason::System,
    })?;
    let peer = net::peer(&socket).map_err(|_| Reason::System)?;
    if peer.uid != user {
        return Err(Reason::Foreign);
    }
    match file::readlink(format!("/proc/{}/root", peer.pid).as_bytes()) {
        Err(Errno(libc::EACCES | libc::EPERM)) => Err(Reason::Sandboxed),
        _ => Ok(peer.pid),
    }
}

/// What to do about a reason, where there is something.
fn advice(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::Disabled => "unset PYZY_DISABLE",
        Reason::EngineOff => "unset PYZY_ENGINE, or set it to restore or fork",
        Reason::NoZygote | Reason::Stale => "run it: that starts the zygote, and the next run is warm",
        Reason::NoImage | Reason::ImageUnusable => "run it: that has an image made, and later runs are warm",
        Reason::ZygoteFailed => "`pyzy doctor` says more; `pyzy stop` lets the next run try again",
        Reason::StartupEnvironment => "give the variable the value that the zygote has, or `pyzy stop`",
        Reason::Incomplete => "run ./install.sh again",
        Reason::NoRuntimeDirectory | Reason::UnsafeDirectory | Reason::Wrapper | Reason::PyenvUnclear => {
            "`pyzy doctor` says more"
        }
        _ => return None,
    })
}

impl Walk<'_> {
    fn as_text(&self, route: Result<Engine, Reason>) -> String {
        let mut out = match route {
            Ok(engine) => format!("warm: {}\n", engine.name()),
            Err(r) => format!("fallback: {r}: {}\n", r.text()),
        };
        let mut line = |name: &str, value: &str| out.push_str(&format!("  {name:<14}{value}\n"));
        self.facts.iter().for_each(|(name, value)| line(name, value));
        for (engine, result) in &self.tried {
            let words = result.err().map_or_else(|| "would serve".into(), |r| format!("{r}: {}", r.text()));
            line(engine.name(), &words);
        }
        // Only one engine may be tried, and it waits until the note is old.
        let failed = self.facts.iter().any(|(name, _)| *name == "failed image");
        let reason = route.err().map(|r| if failed && r == Reason::NoImage { Reason::ZygoteFailed } else { r });
        if let Some(advice) = reason.and_then(advice) {
            out.push_str(&format!("hint: {advice}\n"));
        }
        if let Some(modules) = &self.modules {
            out.push_str(&modules_as_text(modules));
        }
        out
    }

    fn as_json(&self, route: Result<Engine, Reason>) -> Vec<u8> {
        let facts = self.facts.iter().map(|(name, value)| (*name, Json::text(value))).collect();
        let engines = self.tried.iter().map(|(engine, result)| {
            let reason = result.err();
            Json::Object(vec![
                ("engine", engine.name().into()),
                ("serves", result.is_ok().into()),
                ("reason", reason.map(Reason::name).into()),
                ("text", reason.map(Reason::text).into()),
            ])
        });
        let reason = route.err();
        let module = |m: &Module| {
            Json::Object(vec![
                ("module", Json::text(&m.name)),
                ("warm", m.refused.is_none().into()),
                ("why", m.refused.as_deref().map_or(Json::Null, Json::text)),
            ])
        };
        let modules = self.modules.iter().map(|all| ("modules", Json::List(all.iter().map(module).collect())));
        let mut all = vec![
            ("route", if reason.is_none() { "warm" } else { "fallback" }.into()),
            ("engine", route.ok().map(Engine::name).into()),
            ("reason", reason.map(Reason::name).into()),
            ("text", reason.map(Reason::text).into()),
            ("engines", Json::List(engines.collect())),
            ("facts", Json::Object(facts)),
        ];
        all.extend(modules);
        Json::Object(all).render()
    }
}
