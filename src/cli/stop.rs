//! `pyzy stop`: asks zygotes to leave, and makes those leave that cannot hear.
//!
//! Owns the order: pidfd first, then the check that it is the page's zygote,
//! then the signal, so that no other process can be hit. SIGTERM makes a
//! zygote give up its socket and leave when its last worker has ended; nobody's
//! script is ended by this command. A stopped zygote without workers, and one
//! that has not left in time without a worker as an excuse, is killed and
//! cleaned up after. A zygote takes its image with it; images whose zygote is
//! gone are removed here.

use super::args::Target;
use super::failure::{Failure, cause};
use super::json::Json;
use super::place::{self, Runtime};
use super::world::{self, World};
use super::zygotes::{self, Found, Life};
use super::{Report, images, show};
use crate::image_file;
use pyzy_core::page::State;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// How long a zygote may take to leave.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the status pages are looked at while waiting for the pidfds.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

#[derive(Debug)]
pub enum Error {
    NoSuch(Target),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuch(Target::Pid(pid)) => write!(f, "cannot stop {pid}: no zygote has this pid"),
            Error::NoSuch(Target::Key(key)) => write!(f, "cannot stop {key}: no zygote has this key"),
        }
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        Some("`pyzy status` lists the zygotes".into())
    }
}

/// What became of a zygote.
#[derive(Debug)]
enum Outcome {
    Left,
    Killed,
    /// Leaves when this many workers have ended.
    Later(u32),
    Failed(String),
}

struct Leaving {
    found: Found,
    life: Life,
    pidfd: Option<OwnedFd>,
    outcome: Option<Outcome>,
}

pub fn run(world: &World, json: bool, targets: &[Target]) -> Result<Report, Failure> {
    let runtime = place::runtime(world)?;
    let (dead, alive): (Vec<_>, Vec<_>) =
        zygotes::list(&runtime)?.into_iter().map(|f| (f.life(), f)).partition(|(life, _)| *life == Life::Dead);
    for (_, found) in &dead {
        found.sweep();
    }
    let bytes = runtime.dir.as_os_str().as_bytes();
    let views = images::list(&runtime.dir);
    let mut removed = image_file::remove_dead(bytes);
    let is_meant = |found: &Found, target: &Target| is_named(found, target) || has_image(&views, found, target);
    for target in targets {
        // An image without a zygote is gone already, which is what was wanted.
        let gone = |v: &images::View| std::fs::symlink_metadata(world::path(&v.path)).is_err();
        let done =
            matches!(target, Target::Key(key) if views.iter().any(|v| v.key.starts_with(key.as_str()) && gone(v)));
        if !done && !alive.iter().any(|(_, found)| is_meant(found, target)) {
            return Err(Error::NoSuch(target.clone()).into());
        }
    }
    let meant = alive.into_iter().filter(|(_, f)| targets.is_empty() || targets.iter().any(|t| is_meant(f, t)));
    let mut leaving: Vec<Leaving> = meant.map(|(life, found)| ask(found, life)).collect();
    wait(&mut leaving);
    leaving.iter_mut().for_each(|l| finish(&runtime, l));
    // Those that were killed could not take theirs along.
    removed += image_file::remove_dead(bytes);
    let forgotten = if targets.is_empty() { forget_failures(&runtime) } else { 0 };
    let negative = leaving.iter().any(|l| matches!(l.outcome, Some(Outcome::Failed(_))));
    let done = Done { leaving, removed, forgotten };
    let text = if json { done.as_json() } else { done.as_text().into_bytes() };
    Ok(Report { text, negative })
}

/// Is it the zygote of the image with this key?
fn has_image(views: &[images::View], found: &Found, target: &Target) -> bool {
    let Target::Key(key) = target else { return false };
    let of = |v: &images::View| v.facts.as_ref().is_some_and(|f| f.owned && f.zygote == u64::from(found.pid));
    views.iter().any(|v| v.key.starts_with(key.as_str()) && of(v))
}

fn is_named(found: &Found, target: &Target) -> bool {
    match target {
        Target::Pid(pid) => found.pid == *pid,
        Target::Key(key) => found.page().is_ok_and(|p| p.key.starts_with(key.as_bytes())),
    }
}

/// Sends SIGTERM, or SIGKILL to a stopped zygote without workers.
fn ask(found: Found, life: Life) -> Leaving {
    let mut leaving = Leaving { found, life, pidfd: None, outcome: None };
    let pidfd = match open(leaving.found.pid) {
        Ok(pidfd) => pidfd,
        Err(outcome) => {
            leaving.outcome = Some(outcome);
            return leaving;
        }
    };
    // The pidfd keeps the pid from being anybody else's in between.
    leaving.life = leaving.found.life();
    leaving.found.refresh();
    let running = leaving.found.page().map_or(0, |p| p.running);
    let sent = match leaving.life {
        Life::Dead => {
            leaving.outcome = Some(Outcome::Left);
            Ok(())
        }
        Life::Stopped if running == 0 => {
            leaving.outcome = Some(Outcome::Killed);
            pidfd_send_signal(&pidfd, Signal::KILL)
        }
        // Its workers would be lost: wake it, so that it can hear SIGTERM.
        Life::Stopped => pidfd_send_signal(&pidfd, Signal::TERM).and_then(|()| pidfd_send_signal(&pidfd, Signal::CONT)),
        Life::Alive => pidfd_send_signal(&pidfd, Signal::TERM),
    };
    if let Err(e) = sent {
        leaving.outcome = Some(if e == rustix::io::Errno::SRCH { Outcome::Left } else { failed(e) });
    }
    leaving.pidfd = Some(pidfd);
    leaving
}

fn open(pid: u32) -> Result<OwnedFd, Outcome> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Outcome::Left)?;
    pidfd_open(pid, PidfdFlags::empty())
        .map_err(|e| if e == rustix::io::Errno::SRCH { Outcome::Left } else { failed(e) })
}

fn failed(error: rustix::io::Errno) -> Outcome {
    Outcome::Failed(cause(&error.into()))
}

/// Waits until each has left, or has said that it waits for its workers, or time is up.
fn wait(leaving: &mut [Leaving]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut open: Vec<&mut Leaving> = leaving.iter_mut().filter(|l| l.outcome.is_none()).collect();
        if open.is_empty() || Instant::now() >= deadline {
            return;
        }
        let mut fds: Vec<PollFd<'_>> =
            open.iter().filter_map(|l| l.pidfd.as_ref()).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        // An interrupted wait is a wait.
        let _ = rustix::event::poll(&mut fds, Some(&LOOK));
        let ended: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (l, ended) in open.iter_mut().zip(ended) {
            l.found.refresh();
            l.outcome = match l.found.page() {
                _ if ended => Some(Outcome::Left),
                Ok(page) if page.state == State::Leaving && page.running > 0 => Some(Outcome::Later(page.running)),
                _ => None,
            };
        }
    }
}

/// Kills the one that did not answer, and removes what the killed left.
fn finish(runtime: &Runtime, leaving: &mut Leaving) {
    if leaving.outcome.is_none() {
        let running = leaving.found.page().map_or(0, |p| p.running);
        let kill = || leaving.pidfd.as_ref().map_or(Ok(()), |fd| pidfd_send_signal(fd, Signal::KILL));
        leaving.outcome = Some(match running {
            0 => kill().map_or_else(failed, |()| Outcome::Killed),
            n => Outcome::Later(n),
        });
    }
    match (&leaving.outcome, &leaving.pidfd) {
        (Some(Outcome::Killed), Some(pidfd)) => {
            let patience = Timespec { tv_sec: 2, tv_nsec: 0 };
            let _ = rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&patience));
            zygotes::clean_up(runtime, &leaving.found);
        }
        (Some(Outcome::Left), _) => {
            leaving.found.sweep();
        }
        _ => {}
    }
}

/// Notes of failed starts keep launchers from trying again; who stops everything wants a new beginning.
fn forget_failures(runtime: &Runtime) -> u64 {
    let notes = zygotes::failed_starts(runtime).unwrap_or_default();
    notes.iter().filter(|n| std::fs::remove_file(&n.path).is_ok()).count() as u64
}

/// What has been done.
struct Done {
    leaving: Vec<Leaving>,
    /// Images without a zygote that were removed.
    removed: u64,
    /// Notes that were forgotten.
    forgotten: u64,
}

impl Done {
    fn as_text(&self) -> String {
        let mut out = String::new();
        for l in &self.leaving {
            let key = l.found.page().map_or_else(|_| String::new(), |p| show::text(&p.key[..8]) + " ");
            let words = match &l.outcome {
                Some(Outcome::Left) => "has left".into(),
                Some(Outcome::Killed) if l.life == Life::Stopped => {
                    "was stopped by a signal, and has been killed".into()
                }
                Some(Outcome::Killed) => "did not answer, and has been killed".into(),
                Some(Outcome::Later(n)) => {
                    format!("takes no more scripts, and leaves after {}", show::count((*n).into(), "running worker"))
                }
                Some(Outcome::Failed(why)) => format!("cannot be stopped: {why}"),
                None => unreachable!("finish() leaves none open"),
            };
            out.push_str(&format!("{key}{} {words}\n", l.found.pid));
        }
        if self.leaving.is_empty() {
            out.push_str("no zygote is running\n");
        }
        if self.removed > 0 {
            out.push_str(&format!("removed {} without a zygote\n", show::count(self.removed, "image")));
        }
        if self.forgotten > 0 {
            out.push_str(&format!("forgot {}\n", show::count(self.forgotten, "failed start")));
        }
        out
    }

    fn as_json(&self) -> Vec<u8> {
        let zygotes = self.leaving.iter().map(|l| {
            let (outcome, running, why) = match &l.outcome {
                Some(Outcome::Left) | None => ("left", 0, None),
                Some(Outcome::Killed) => ("killed", 0, None),
                Some(Outcome::Later(n)) => ("leaving", *n, None),
                Some(Outcome::Failed(why)) => ("failed", 0, Some(why.as_str())),
            };
            Json::Object(vec![
                ("key", l.found.page().ok().map(|p| Json::text(p.key)).unwrap_or(Json::Null)),
                ("pid", u64::from(l.found.pid).into()),
                ("outcome", outcome.into()),
                ("running", u64::from(running).into()),
                ("why", why.into()),
            ])
        });
        Json::Object(vec![
            ("zygotes", Json::List(zygotes.collect())),
            ("removed_images", self.removed.into()),
            ("forgotten_failures", self.forgotten.into()),
        ])
        .render()
    }
}
