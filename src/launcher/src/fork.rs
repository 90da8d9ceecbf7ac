//! The fork engine, the caller's half: from a plan to the end of a worker.
//!
//! Owns the conversation up to the hand-off (`pyzy_core::wire`). Every way out
//! of `run` is before it: the caller falls back. After it, `relay` has the floor.

use crate::start::{self, Wish};
use crate::{record, relay};
use alloc::vec::Vec;
use pyzy_core::fresh::Table;
use pyzy_core::reason::Reason;
use pyzy_core::route::Engine;
use pyzy_core::wire::{self, Answer, Request};
use pyzy_launch::freshness;
use pyzy_launch::place::Place;
use pyzy_launch::plan::{Forked, Invocation, Plan, Warm};
use pyzy_sys::file::{self, Fd};
use pyzy_sys::{Errno, libc, net, process, signal};

/// How long a zygote may keep silent before we look at it, nanoseconds.
const LOOK: i64 = 30_000_000;
/// How long it may keep silent at all.
const DEADLINE: i64 = 3_000_000_000;
/// The same for one that waits for a processor.
const BUSY: i64 = 15_000_000_000;
/// How long a failed start is remembered.
pub const FAILED: i64 = 60_000_000_000;

/// How long a zygote is kept that may do less than a caller.
const REPLACED: i64 = 10_000_000_000;

/// A worker that runs the script.
pub struct Worker {
    /// The connection to the zygote.
    pub socket: Fd,
    /// The worker's process handle.
    pub handle: Fd,
    /// Its process id.
    pub pid: i32,
    /// The zygote's process id.
    pub zygote: i32,
    /// It is in our process group.
    pub same_group: bool,
    /// Where to say that it was lost.
    pub errors: relay::Errors,
}

/// Runs the script warm and ends the process as it ended; or gives the reason why not, with nothing changed.
/// `asked`: a zygote is on its way already.
pub fn run(call: &Invocation, plan: &Plan, warm: &Warm, forked: &Forked, asked: bool) -> Reason {
    let place = match forked.place(call.environ, true) {
        Ok(place) => place,
        Err(reason) => return reason,
    };
    // A signal from now on belongs to whoever runs the script; it waits until that is clear.
    let Ok(blocked) = signal::set_mask(signal::EVERY) else { return Reason::System };
    let mut refused = false;
    match hand_off(call, plan, warm, forked, &place, blocked, &mut refused) {
        Ok(worker) => relay::until_end(call, &place, worker),
        Err(reason) => {
            let _ = signal::set_mask(blocked);
            if starts_zygote(reason) {
                let note = place.file(&forked.key, "failed");
                if is_recent(&note, FAILED) {
                    return failure(&note);
                }
                if !asked {
                    start::zygote(call, Wish { image: false, replace: false });
                }
            }
            // Two callers of which each may do what the other may not would replace each other's zygotes for ever.
            let outside = reason == Reason::Sandboxed && refused;
            if (reason == Reason::HigherLimits || outside) && !is_recent(&place.file(&forked.key, "fresh"), REPLACED) {
                start::zygote(call, Wish { image: false, replace: true });
            }
            reason
        }
    }
}

/// Reasons that a new zygote would cure.
fn starts_zygote(reason: Reason) -> bool {
    matches!(reason, Reason::NoZygote | Reason::Stale | Reason::Silent | Reason::Closed | Reason::Busy)
}

/// What the note of a start that failed means.
pub fn failure(note: &[u8]) -> Reason {
    let impure = file::read_file(note, 64).is_ok_and(|text| text.starts_with(b"start-up"));
    if impure { Reason::StartupImpure } else { Reason::ZygoteFailed }
}

/// Was that file changed less than so many nanoseconds ago?
pub fn is_recent(path: &[u8], age: i64) -> bool {
    let now = process::clock(libc::CLOCK_REALTIME);
    file::lstat(path).is_ok_and(|s| (0..age).contains(&(now - s.mtime)))
}

fn hand_off(
    call: &Invocation,
    plan: &Plan,
    warm: &Warm,
    forked: &Forked,
    place: &Place,
    blocked: u64,
    refused: &mut bool,
) -> Result<Worker, Reason> {
    // Before we open anything ourselves.
    let descriptors = file::open_descriptors().map_err(|_| Reason::NoProc)?;
    if descriptors.len() + 1 > net::MAX_DESCRIPTORS {
        return Err(Reason::TooManyDescriptors);
    }
    let table = match file::read_file(&place.file(&forked.key, "fresh"), 16 << 20) {
        Ok(table) => table,
        // Whoever answers at a place of the user's own choosing without a table of ours is not for us, nor to be replaced.
        Err(Errno(libc::ENOENT)) if place.named => {
            return Err(connect(place).map_or_else(|reason| reason, |_| Reason::Mismatch));
        }
        Err(Errno(libc::ENOENT)) => return Err(Reason::NoZygote),
        Err(_) => return Err(Reason::System),
    };
    let table = Table::decode(&table).ok_or(Reason::NoZygote)?;
    freshness::check(&table, call.environ)?;
    let (socket, peer) = connect(place)?;
    let directory = file::open(b".", libc::O_PATH | libc::O_DIRECTORY, 0).map_err(|_| Reason::System)?;
    let request = request(call, plan, warm, forked, &table, blocked, &descriptors)?;
    let mut sent = Vec::with_capacity(descriptors.len() + 1);
    sent.push(directory.number());
    sent.extend_from_slice(&descriptors);
    if request.len() > 64 * 1024 {
        net::set_send_buffer(&socket, 1 << 20);
    }
    net::send(socket.number(), &request, &sent).map_err(|error| match error.0 {
        libc::EMSGSIZE | libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN => Reason::RequestTooLarge,
        libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN => Reason::Closed,
        _ => Reason::DescriptorRefused,
    })?;
    drop(directory);
    *refused = true;
    let mut worker = await_ready(socket, peer)?;
    *refused = false;
    record::warm(call, Engine::Fork, &forked.key, worker.pid);
    // The hand-off. A message that could not be sent was not received.
    net::send(worker.socket.number(), wire::COMMIT, &[]).map_err(|_| Reason::Closed)?;
    record::count_warm(call, Engine::Fork);
    // The caller's pipes must see their end when the worker closes them.
    worker.errors = relay::Errors::keep(descriptors.contains(&2));
    descriptors.iter().for_each(|&fd| file::close(fd));
    let _ = net::send(worker.socket.number(), wire::RELEASED, &[]);
    Ok(worker)
}

fn connect(place: &Place) -> Result<(Fd, i32), Reason> {
    let uid = process::effective_user();
    match file::lstat(&place.socket) {
        Ok(stat) if stat.is_socket() && stat.uid == uid => {}
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
    if peer.uid != uid {
        return Err(Reason::Foreign);
    }
    // A Landlock domain of ours would not let us look outside it, and the zygote would be an escape (man 7 landlock).
    match file::readlink(alloc::format!("/proc/{}/root", peer.pid).as_bytes()) {
        Err(Errno(libc::EACCES | libc::EPERM)) => Err(Reason::Sandboxed),
        _ => Ok((socket, peer.pid)),
    }
}

fn request(
    call: &Invocation,
    plan: &Plan,
    warm: &Warm,
    forked: &Forked,
    table: &Table,
    blocked: u64,
    descriptors: &[i32],
) -> Result<Vec<u8>, Reason> {
    let facts = &forked.facts;
    let affinity = process::affinity().map_err(|_| Reason::System)?;
    let mut argv: Vec<&[u8]> = call.argv.to_vec();
    if let Some(first) = argv.first_mut() {
        *first = &plan.found.orig_argv0;
    }
    let request = Request {
        key: forked.key,
        nonce: table.nonce,
        pid: facts.pid,
        group: facts.group,
        session: facts.session,
        terminal: facts.terminal,
        umask: facts.umask,
        blocked,
        ignored: signal::ignored(),
        limits: facts.limits.map(|l| [l.soft, l.hard]),
        nice: facts.nice,
        policy: facts.policy,
        io_priority: facts.io_priority,
        oom_score_adj: facts.oom_score_adj,
        affinity: &affinity,
        comm: &process::name(),
        argv,
        script: warm.line.script_index as u32,
        environ: plan.environ.iter().map(|e| &e[..]).collect(),
        descriptors: descriptors.iter().map(|&fd| fd as u32).collect(),
    }
    .encode();
    if request.len() > wire::MAX_MESSAGE { Err(Reason::RequestTooLarge) } else { Ok(request) }
}

/// Waits for the first answer; a zygote that has been stopped accepts connections all the same.
fn await_ready(socket: Fd, zygote: i32) -> Result<Worker, Reason> {
    let begun = process::clock(libc::CLOCK_MONOTONIC);
    let mut next = LOOK;
    loop {
        let left = begun + next - process::clock(libc::CLOCK_MONOTONIC);
        let mut list = [net::Wait::readable(socket.number())];
        if net::wait(&mut list, Some(left)).map_err(|_| Reason::System)? == 0 {
            match process::state(zygote) {
                Some(b'T' | b't') => {
                    // It has our descriptors in its queue: let it go on, drop them, and leave.
                    let _ = signal::send(zygote, libc::SIGTERM);
                    let _ = signal::send(zygote, libc::SIGCONT);
                    return Err(Reason::Silent);
                }
                // It wants to and cannot: the machine is busy, and a cold start would be no faster.
                Some(b'R') if next < BUSY => {}
                _ if next < DEADLINE => {}
                _ => return Err(Reason::Silent),
            }
            next *= 2;
            continue;
        }
        let mut buffer = [0; wire::ANSWER];
        let mut received = net::receive(socket.number(), &mut buffer).map_err(|_| Reason::Closed)?;
        return match Answer::decode(&buffer[..received.length]) {
            Some(Answer::Ready { pid, same_group }) => {
                let handle = received.descriptors.pop().ok_or(Reason::Refused)?;
                Ok(Worker { socket, handle, pid, zygote, same_group, errors: relay::Errors::default() })
            }
            Some(Answer::Refused(reason)) => Err(reason),
            // A stop before it was ready (a key at the terminal): as good as no answer.
            Some(_) => Err(Reason::Refused),
            None => Err(Reason::Closed),
        };
    }
}
