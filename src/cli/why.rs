//! `pyzy why`: walks the way of a command line without running it.
//!
//! Owns the telling. The plan is the launcher's own, `pyzy_launch::plan`, so
//! what is said here is what would happen in this environment, but for
//! descriptors: a shell may give python3 other ones.

use super::failure::Failure;
use super::json::Json;
use super::place::Installation;
use super::world::World;
use super::{Report, show};
use pyzy_core::locate::LocateError;
use pyzy_core::reason::Reason;
use pyzy_core::vars;
use pyzy_launch::plan::{self, Invocation, Plan, Warm};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

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

pub fn run(world: &World, json: bool, line: &[OsString]) -> Result<Report, Failure> {
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
    let route = route(&plan, &environ, &mut facts);
    let route = if disabled { Err(Reason::Disabled) } else { route };
    let text = if json { as_json(&facts, route) } else { as_text(&facts, route).into_bytes() };
    Ok(Report::good(text))
}

/// The route, and on the way what there is to say about it.
fn route(plan: &Plan<'_>, environ: &[&[u8]], facts: &mut Vec<(&'static str, String)>) -> Result<(), Reason> {
    let warm = plan.warm.as_ref().map_err(|r| *r)?;
    facts.push(("script", show::text(warm.line.script)));
    facts.push(("engine", warm.engine.name().into()));
    facts.push(("key", String::from_utf8_lossy(&warm.key.hex()).into_owned()));
    let applied: Vec<&[u8]> = plan.environ.iter().map(Vec::as_slice).collect();
    zygote(warm, environ, &applied, facts)
}

/// Is the zygote there, and does everything look as when it started?
fn zygote(
    warm: &Warm<'_>,
    environ: &[&[u8]],
    applied: &[&[u8]],
    facts: &mut Vec<(&'static str, String)>,
) -> Result<(), Reason> {
    let place = match warm.place(environ, false) {
        // It is made when it is needed.
        Err(Reason::NoRuntimeDirectory) if pyzy_core::dirs::runtime(environ).is_empty() => {
            return Err(Reason::NoRuntimeDirectory);
        }
        Err(Reason::NoRuntimeDirectory) => return Err(Reason::NoZygote),
        other => other?,
    };
    facts.push(("socket", show::text(&place.socket)));
    let file = |suffix| super::world::path(&place.file(&warm.key, suffix));
    if let Ok(note) = std::fs::read(file("failed")) {
        facts.push(("failed start", show::text(note.trim_ascii())));
        return Err(Reason::ZygoteFailed);
    }
    let table = std::fs::read(file("fresh")).map_err(|_| Reason::NoZygote)?;
    if std::fs::symlink_metadata(super::world::path(&place.socket)).is_err() {
        return Err(Reason::NoZygote);
    }
    fresh(&table, applied, facts)
}

fn fresh(table: &[u8], applied: &[&[u8]], facts: &mut Vec<(&'static str, String)>) -> Result<(), Reason> {
    let table = pyzy_core::fresh::Table::decode(table).ok_or(Reason::Stale)?;
    if let Some(changed) = pyzy_launch::freshness::changed(&table) {
        facts.push(("changed", show::text(changed)));
    }
    pyzy_launch::freshness::check(&table, applied)
}

/// What to do about a reason, where there is something.
fn advice(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::Disabled => "unset PYZY_DISABLE",
        Reason::EngineOff => "unset PYZY_ENGINE, or set it to fork",
        Reason::NoZygote | Reason::Stale => "run it: that starts the zygote, and the next run is warm",
        Reason::ZygoteFailed => "`pyzy doctor` says more; `pyzy stop` lets the next run try again",
        Reason::Incomplete => "run ./install.sh again",
        Reason::NoRuntimeDirectory | Reason::UnsafeDirectory | Reason::Wrapper | Reason::PyenvUnclear => {
            "`pyzy doctor` says more"
        }
        _ => return None,
    })
}

fn as_text(facts: &[(&'static str, String)], route: Result<(), Reason>) -> String {
    let (head, reason) = match route {
        Ok(()) => ("warm".into(), None),
        Err(r) => (format!("fallback: {r}: {}", r.text()), Some(r)),
    };
    let mut out = format!("{head}\n");
    for (name, value) in facts {
        out.push_str(&format!("  {name:<14}{value}\n"));
    }
    if let Some(advice) = reason.and_then(advice) {
        out.push_str(&format!("hint: {advice}\n"));
    }
    out
}

fn as_json(facts: &[(&'static str, String)], route: Result<(), Reason>) -> Vec<u8> {
    let facts = facts.iter().map(|(name, value)| (*name, Json::text(value))).collect();
    let reason = route.err();
    Json::Object(vec![
        ("route", if reason.is_none() { "warm" } else { "fallback" }.into()),
        ("reason", reason.map(Reason::name).into()),
        ("text", reason.map(Reason::text).into()),
        ("facts", Json::Object(facts)),
    ])
    .render()
}
