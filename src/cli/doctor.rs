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
use super::{Report, doctor_path, images, show, stats};
use pyzy_core::preload::{self, Entry};
use pyzy_core::reason::Reason;
use pyzy_core::route;
use pyzy_core::{vars, version};
use pyzy_launch::plan::Preload;
use pyzy_launch::project as nearest;
use pyzy_sys::process;
use std::ffi::OsStr;
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
    project_file(world, &mut checks);
    directories(world, &mut checks);
    system(&mut checks);
    restore(world, &mut checks);
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

/// Variables that hold numbers, and of what.
const NUMBERS: [(&str, &str); 4] = [
    (vars::MAX_IDLE_SECS, "seconds"),
    (vars::IMAGE_SECS, "seconds"),
    (vars::IMAGE_RUNS, "runs"),
    (vars::IMAGE_MB, "megabytes"),
];

/// As the starter of a zygote reads it.
fn number(value: &OsStr) -> Option<u64> {
    value.to_str()?.trim().parse().ok()
}

/// The engines that this environment lets a run try; none if PYZY_ENGINE turns them off.
fn engines(world: &World) -> Option<route::Engines> {
    let entries = world.entries();
    let chosen: Vec<&[u8]> = entries.into_iter().filter(|e| vars::name_of(e) == vars::ENGINE.as_bytes()).collect();
    route::decide(&[b"python3", b"x.py"], &chosen).ok().map(|(engines, _)| engines)
}

fn variables(world: &World, checks: &mut Vec<Check>) {
    let before = checks.len();
    let subject = "variables";
    if world.var(vars::DISABLE).is_some_and(|v| v != "0") {
        checks.push(Check::warn(subject, "PYZY_DISABLE is set: no run is warm", "unset PYZY_DISABLE"));
    }
    if engines(world).is_none() {
        let engine = world.var(vars::ENGINE).unwrap_or_default();
        let seen = format!("PYZY_ENGINE is '{}': no run is warm", show::text(engine.as_bytes()));
        checks.push(Check::warn(subject, seen, "unset PYZY_ENGINE, or set it to restore or fork"));
    }
    if let Some(log) = world.var(vars::LOG)
        && let Some(why) = not_writable(&world.absolute(Path::new(log)))
    {
        let seen = format!("PYZY_LOG is '{}', which cannot be written: {why}", show::text(log.as_bytes()));
        checks.push(Check::warn(subject, seen, "set PYZY_LOG to a file in a directory of yours"));
    }
    for (name, unit) in NUMBERS {
        if let Some(value) = world.var(name)
            && number(value).is_none()
        {
            let seen = format!("{name} is '{}', which is no number, and is not honoured", show::text(value.as_bytes()));
            checks.push(Check::warn(subject, seen, format!("set it to a number of {unit}")));
        }
    }
    let ours = |entry: &&[u8]| {
        entry.starts_with(b"PYZY_") && !vars::ALL.iter().any(|v| v.name.as_bytes() == vars::name_of(entry))
    };
    for entry in world.entries().iter().filter(|e| ours(e)) {
        let seen = format!("{} means nothing to pyzy", show::text(vars::name_of(entry)));
        checks.push(Check::warn(subject, seen, "see the names in docs/environment.md"));
    }
    for word in bad_words(world.var(vars::PRELOAD).unwrap_or_default().as_bytes()) {
        let seen = format!("PYZY_PRELOAD has '{word}', which is not the name of a module");
        checks.push(Check::warn(subject, seen, "name modules as `import` takes them, between commas"));
    }
    if checks.len() == before {
        checks.push(Check::ok(subject, "nothing is switched off"));
    }
}

fn bad_words(list: &[u8]) -> Vec<String> {
    let words = preload::entries(list).filter_map(|entry| match entry {
        Entry::Bad(word) => Some(show::text(word)),
        _ => None,
    });
    words.collect()
}

/// The file that speaks for scripts in this directory.
fn project_file(world: &World, checks: &mut Vec<Check>) {
    let subject = "project file";
    let Some(path) = world.cwd.as_deref().and_then(|cwd| nearest::find(cwd.as_os_str().as_bytes())) else { return };
    let shown = show::text(&path);
    let Some(project) = nearest::nearest(nearest::directory(&path)) else {
        return checks.push(Check::ok(subject, format!("'{shown}' says nothing that counts here")));
    };
    let list = crate::project::list(&Preload::Project(project));
    let bad = list.as_ref().map(|list| bad_words(list)).unwrap_or_default();
    checks.push(match list {
        Err(error) => Check::warn(subject, format!("'{shown}' is not honoured: {error}"), "put it right"),
        Ok(_) if !bad.is_empty() => {
            let seen = format!("'{shown}' has '{}', which is not the name of a module", bad.join("', '"));
            Check::warn(subject, seen, "name modules as `import` takes them")
        }
        Ok(list) if list.is_empty() => Check::ok(subject, format!("'{shown}' keeps nothing warm")),
        Ok(list) => Check::ok(subject, format!("'{shown}' keeps {} warm", show::text(&list))),
    });
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
    if let Err(reason) = pyzy_launch::facts::check_memory_limits() {
        checks.push(Check::warn("process", format!("{reason}: {}", reason.text()), process_cure(reason)));
    } else if let Err(reason) = pyzy_launch::facts::Facts::gather() {
        let seen = format!(
            "{reason}: {}; from here no zygote can be started or asked, only an image that is there be restored",
            reason.text()
        );
        checks.push(Check::warn("process", seen, process_cure(reason)));
    } else {
        checks.push(Check::ok("process", "nothing about this shell forbids warm runs"));
    }
}

/// Can images be made and restored on this machine?
fn restore(world: &World, checks: &mut Vec<Check>) {
    let (subject, before) = ("restore", checks.len());
    let can = route::decide(&[b"python3", b"x.py"], &[]).is_ok_and(|(engines, _)| engines.restore);
    if !can {
        return checks.push(Check::ok(subject, "not on this processor architecture; runs are forks of a zygote"));
    }
    if engines(world).is_some_and(|engines| !engines.restore) {
        checks.push(Check::ok(subject, "PYZY_ENGINE leaves it out; runs are forks of a zygote"));
    }
    // `man 2 PR_GET_TID_ADDRESS`: an error unless the kernel was built with CONFIG_CHECKPOINT_RESTORE.
    const GET_TID_ADDRESS: i32 = 40;
    let mut address = 0usize;
    if let Err(error) = process::prctl(GET_TID_ADDRESS, &raw mut address as usize) {
        let seen = format!("the kernel lacks CONFIG_CHECKPOINT_RESTORE (PR_GET_TID_ADDRESS: {error})");
        checks.push(Check::warn(subject, seen, "run a kernel that has it, as distributions' have"));
    }
    if let Ok(runtime) = place::runtime(world) {
        // Before it is made, the directory that it will be in tells.
        let there = runtime.dir.ancestors().find_map(|dir| rustix::fs::statvfs(dir).ok());
        if there.is_some_and(|s| s.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC)) {
            let seen = format!("'{}' is mounted noexec: nothing can be restored from there", runtime.dir.display());
            checks.push(Check::warn(subject, seen, "have XDG_RUNTIME_DIR name a private directory without noexec"));
        }
        let views = images::list(&runtime.dir);
        let limit = world.var(vars::IMAGE_MB).and_then(number).unwrap_or(vars::DEFAULT_IMAGE_MB);
        let size = images::disk(&views);
        let seen = format!("{}, {} of {limit}M", show::count(views.len() as u64, "image"), show::memory(size));
        checks.push(if size > limit.saturating_mul(1 << 20) {
            Check::warn("images", seen, "`pyzy stop` removes them; the next one made removes the least recently used")
        } else {
            Check::ok("images", seen)
        });
        for view in views {
            if let Some(why) = &view.unusable {
                let seen = format!("{} is not used: {why}", &view.key[..8]);
                checks.push(Check::warn(
                    "images",
                    seen,
                    format!("the next run replaces it; or remove '{}'", show::text(&view.path)),
                ));
            }
        }
    }
    if checks[before..].iter().all(|c| c.subject != subject) {
        checks.push(Check::ok(subject, "the kernel and the runtime directory allow it"));
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
        let (subject, seen) = match text.strip_prefix("image: ") {
            Some(text) => ("failed image", format!("{} could not be made{age}: {text}", &note.key[..8])),
            None => ("failed start", format!("{} could not be started{age}: {text}", &note.key[..8])),
        };
        let cure =
            format!("see '{}'; once the cause is gone, `pyzy stop` lets the next run try again", note.path.display());
        checks.push(Check::warn(subject, seen, cure));
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
