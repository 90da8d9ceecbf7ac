//! `pyzy doctor`: is everything as it should be, and what to do if not.
//!
//! Owns the list of checks and how they are told; PATH has a file of its own,
//! `doctor_path`. A check looks, and changes nothing. "fail" means that no run
//! can be warm, or that a python name cannot run at all; "warn" that some runs
//! are cold or that something is not as people mostly want it.

use super::failure::{Failure, cause};
use super::json::Json;
use super::place::{self, Installation};
use super::world::World;
use super::zygotes::{self, Life};
use super::{Report, doctor_path, show, stats};
use pyzy_core::reason::Reason;
use pyzy_core::{vars, version};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    Ok,
    Warn,
    Fail,
}

impl Grade {
    fn name(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        }
    }
}

/// A check, done.
pub struct Check {
    grade: Grade,
    /// What was looked at.
    subject: &'static str,
    /// What was seen.
    seen: String,
    cure: Option<String>,
}

impl Check {
    pub fn ok(subject: &'static str, seen: impl Into<String>) -> Check {
        Check { grade: Grade::Ok, subject, seen: seen.into(), cure: None }
    }

    pub fn warn(subject: &'static str, seen: impl Into<String>, cure: impl Into<String>) -> Check {
        Check { grade: Grade::Warn, subject, seen: seen.into(), cure: Some(cure.into()) }
    }

    pub fn fail(subject: &'static str, seen: impl Into<String>, cure: impl Into<String>) -> Check {
        Check { grade: Grade::Fail, subject, seen: seen.into(), cure: Some(cure.into()) }
    }
}

pub fn run(world: &World, json: bool) -> Result<Report, Failure> {
    let mut checks = Vec::new();
    installation(world, &mut checks);
    doctor_path::check(world, &mut checks);
    variables(world, &mut checks);
    directories(world, &mut checks);
    system(&mut checks);
    zygotes_and_failures(world, &mut checks);
    let negative = checks.iter().any(|c| c.grade == Grade::Fail);
    let text = if json { as_json(&checks) } else { as_text(&checks).into_bytes() };
    Ok(Report { text, negative })
}

const INSTALL: &str = "run ./install.sh again";

fn installation(world: &World, checks: &mut Vec<Check>) {
    let installation = match Installation::of(world) {
        Ok(installation) => installation,
        Err(e) => return checks.push(Check::fail("installation", e.to_string(), "mount /proc")),
    };
    for (subject, file, executable) in
        [("launcher", installation.launcher(), true), ("zygote library", installation.library(), false)]
    {
        let shown = file.display();
        let check = match std::fs::metadata(&file) {
            Err(e) => Check::fail(subject, format!("'{shown}': {}", cause(&e)), INSTALL),
            Ok(m) if !m.is_file() => Check::fail(subject, format!("'{shown}' is not a file"), INSTALL),
            Ok(m) if executable && m.mode() & 0o111 == 0 => {
                Check::fail(subject, format!("'{shown}' is not executable"), INSTALL)
            }
            Ok(m) if m.mode() & 0o022 != 0 => {
                Check::warn(subject, format!("'{shown}' can be changed by others"), format!("chmod go-w '{shown}'"))
            }
            Ok(_) => version_of(subject, &file),
        };
        checks.push(check);
    }
}

fn version_of(subject: &'static str, file: &Path) -> Check {
    let shown = file.display();
    match std::fs::read(file) {
        Err(e) => Check::fail(subject, format!("cannot read '{shown}': {}", cause(&e)), INSTALL),
        Ok(bytes) => match version::find(&bytes) {
            Some(v) if v == version::VERSION.as_bytes() => {
                Check::ok(subject, format!("'{shown}', {}", version::VERSION))
            }
            Some(v) => {
                let seen = format!("'{shown}' is version {}, this is {}", show::text(v), version::VERSION);
                Check::fail(subject, seen, INSTALL)
            }
            None => Check::warn(subject, format!("'{shown}' has no version of pyzy's in it"), INSTALL),
        },
    }
}

fn variables(world: &World, checks: &mut Vec<Check>) {
    let before = checks.len();
    let subject = "variables";
    if world.var(vars::DISABLE).is_some_and(|v| v != "0") {
        checks.push(Check::warn(subject, "PYZY_DISABLE is set: no run is warm", "unset PYZY_DISABLE"));
    }
    if let Some(engine) = world.var(vars::ENGINE).filter(|v| *v != "fork") {
        let seen = format!("PYZY_ENGINE is '{}': no run is warm", show::text(engine.as_bytes()));
        checks.push(Check::warn(subject, seen, "unset PYZY_ENGINE, or set it to fork"));
    }
    if let Some(log) = world.var(vars::LOG)
        && let Some(why) = not_writable(&world.absolute(Path::new(log)))
    {
        let seen = format!("PYZY_LOG is '{}', which cannot be written: {why}", show::text(log.as_bytes()));
        checks.push(Check::warn(subject, seen, "set PYZY_LOG to a file in a directory of yours"));
    }
    if let Some(seconds) = world.var(vars::MAX_IDLE_SECS)
        && seconds.to_str().and_then(|s| s.parse::<u64>().ok()).is_none()
    {
        let seen = format!("PYZY_MAX_IDLE_SECS is '{}'", show::text(seconds.as_bytes()));
        checks.push(Check::warn(subject, seen, "set it to a number of seconds"));
    }
    let ours = |entry: &&[u8]| {
        entry.starts_with(b"PYZY_") && !vars::ALL.iter().any(|v| v.name.as_bytes() == vars::name_of(entry))
    };
    for entry in world.entries().iter().filter(|e| ours(e)) {
        let seen = format!("{} means nothing to pyzy", show::text(vars::name_of(entry)));
        checks.push(Check::warn(subject, seen, "see the names in docs/environment.md"));
    }
    if checks.len() == before {
        checks.push(Check::ok(subject, "nothing is switched off"));
    }
}

fn not_writable(file: &Path) -> Option<String> {
    use rustix::fs::{Access, access};
    let target = if file.symlink_metadata().is_ok() { file } else { file.parent()? };
    access(target, Access::WRITE_OK).err().map(|e| cause(&e.into()))
}

fn directories(world: &World, checks: &mut Vec<Check>) {
    match place::runtime(world) {
        Err(e) => {
            let cure = e.hint().unwrap_or_default();
            return checks.push(Check::fail("runtime directory", e.to_string(), cure));
        }
        Ok(runtime) => {
            for (candidate, unfit) in &runtime.skipped {
                let seen = format!("{}='{}' is not used: {unfit}", candidate.variable, show::text(&candidate.base));
                let cure = format!("unset {}, or have it name a private directory of yours", candidate.variable);
                checks.push(Check::warn("runtime directory", seen, cure));
            }
            let state = if runtime.there { "private" } else { "to be made by the first run" };
            let seen = format!("'{}', {state}, by {}", runtime.dir.display(), runtime.variable);
            checks.push(Check::ok("runtime directory", seen));
        }
    }
    let tally = match place::tally(world) {
        Ok(path) => path,
        Err(_) => return,
    };
    checks.push(match stats::read(&tally) {
        Ok(Some(Ok(t))) => {
            Check::ok("tally", format!("'{}', {}", tally.display(), show::count(t.warm() + t.fallbacks(), "run")))
        }
        Ok(None) => Check::ok("tally", format!("'{}', to be made by the first run", tally.display())),
        Ok(Some(Err(refusal))) => {
            Check::warn("tally", format!("'{}' is not counted in: {refusal}", tally.display()), "pyzy stats --reset")
        }
        Err(e) => Check::warn("tally", e.to_string(), format!("remove '{}'", tally.display())),
    });
}

/// The oldest kernel with all that the zygote and the launcher call (pidfd_open 5.3, close_range 5.9).
const OLDEST: (u32, u32) = (5, 9);

fn system(checks: &mut Vec<Check>) {
    checks.push(match std::fs::metadata("/proc/self/stat") {
        Ok(_) => Check::ok("/proc", "mounted"),
        Err(e) => Check::fail("/proc", format!("'/proc/self/stat': {}", cause(&e)), "mount -t proc proc /proc"),
    });
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let machine = uname.machine().to_string_lossy();
    checks.push(if version < OLDEST {
        Check::warn("kernel", format!("Linux {release} is older than {}.{}", OLDEST.0, OLDEST.1), "run a newer kernel")
    } else {
        Check::ok("kernel", format!("Linux {release}, {machine}"))
    });
    if let Err(reason) = pyzy_launch::facts::Facts::gather() {
        checks.push(Check::warn("process", format!("{reason}: {}", reason.text()), process_cure(reason)));
    } else {
        checks.push(Check::ok("process", "nothing about this shell forbids warm runs"));
    }
}

fn process_cure(reason: Reason) -> &'static str {
    match reason {
        Reason::MemoryLimit => "see `ulimit -a`: address space and data unlimited, stack below 1 GiB",
        Reason::Traced => "runs under a debugger or strace are cold",
        Reason::Seccomp => "runs inside this sandbox are cold",
        _ => "runs from this shell are cold",
    }
}

fn zygotes_and_failures(world: &World, checks: &mut Vec<Check>) {
    // That the directory is unfit has been said.
    let Ok(runtime) = place::runtime(world) else { return };
    match zygotes::list(&runtime) {
        Err(e) => checks.push(Check::fail("zygotes", e.to_string(), "see the runtime directory")),
        Ok(found) => {
            let lives: Vec<(u32, Life)> = found.iter().map(|f| (f.pid, f.life())).collect();
            let alive = lives.iter().filter(|(_, life)| *life != Life::Dead).count();
            checks.push(Check::ok("zygotes", format!("{alive} running")));
            for (pid, _) in lives.iter().filter(|(_, life)| *life == Life::Stopped) {
                let seen = format!("{pid} is stopped by a signal; runs that need it are cold");
                checks.push(Check::warn("zygotes", seen, format!("kill -CONT {pid}, or pyzy stop {pid}")));
            }
        }
    }
    for note in zygotes::failed_starts(&runtime).unwrap_or_default() {
        let age = note
            .when
            .and_then(|t| t.elapsed().ok())
            .map_or(String::new(), |d| format!(" {} ago", show::duration(d.as_secs())));
        let text = show::text(note.text.trim_ascii().split(|&b| b == b'\n').next().unwrap_or_default());
        let seen = format!("{} could not be started{age}: {text}", &note.key[..8]);
        let cure =
            format!("see '{}'; once the cause is gone, `pyzy stop` lets the next run try again", note.path.display());
        checks.push(Check::warn("failed start", seen, cure));
    }
}

fn as_text(checks: &[Check]) -> String {
    let width = checks.iter().map(|c| c.subject.len()).max().unwrap_or(0);
    let mut out = String::new();
    for c in checks {
        out.push_str(&format!("{:<4}  {:<width$}  {}\n", c.grade.name(), c.subject, c.seen));
        if let Some(cure) = &c.cure {
            out.push_str(&format!("{:<4}  {:<width$}  cure: {cure}\n", "", ""));
        }
    }
    let count = |grade| checks.iter().filter(|c| c.grade == grade).count() as u64;
    let (warnings, failures) = (count(Grade::Warn), count(Grade::Fail));
    out.push_str(&match (warnings, failures) {
        (0, 0) => "all is well\n".into(),
        (w, f) => format!("{}, {}\n", show::count(f, "failure"), show::count(w, "warning")),
    });
    out
}

fn as_json(checks: &[Check]) -> Vec<u8> {
    let list = checks.iter().map(|c| {
        Json::Object(vec![
            ("grade", c.grade.name().into()),
            ("subject", c.subject.into()),
            ("seen", c.seen.as_str().into()),
            ("cure", c.cure.as_deref().into()),
        ])
    });
    Json::Object(vec![("version", version::VERSION.into()), ("checks", Json::List(list.collect()))]).render()
}
