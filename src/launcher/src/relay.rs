//! After the hand-off: signals go to the worker, its stops and its end come back.
//!
//! Owns the launcher's life beside a running worker. All signals are blocked
//! and read from a descriptor, so none is lost and none does anything by itself.

use crate::fork::Worker;
use crate::witness::Witness;
use crate::{outcome, record};
use pyzy_core::wire::{self, Answer, Outcome};
use pyzy_launch::place::Place;
use pyzy_launch::plan::Invocation;
use pyzy_sys::file::{self, Fd};
use pyzy_sys::signal::Arrived;
use pyzy_sys::{bare, libc, net, process, signal};

/// How long a script runs before a witness is placed, nanoseconds.
const SHORT: i64 = 4_000_000;

/// How long a zygote may keep to itself that a worker has ended before we look at it, nanoseconds.
const IMPATIENCE: i64 = 100_000_000;
/// How long it may at all.
const LAST_WORD: i64 = 10_000_000_000;

/// How long the members of a group may be continued one after the other, nanoseconds.
const TURN: i64 = 5_000_000;

/// Signals that a terminal sends to a whole process group; `si_code` says so.
const FROM_TERMINAL: [i32; 8] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGWINCH,
    libc::SIGHUP,
    libc::SIGCONT,
];

/// Signals that stop a job until its shell continues it.
const OF_JOBS: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// Lives as long as the worker and ends as it ends.
pub fn until_end(call: &Invocation, place: &Place, worker: Worker) -> ! {
    let Ok(reader) = signal::reader(signal::EVERY) else { lost(call, &worker) };
    // The script's command line is the worker's now: who looks for it, to find or to kill it, shall find one.
    bare::forget_arguments(call.argv, b"pyzy");
    process::set_name(b"pyzy-launcher\0\0\0");
    let group = process::group_of(worker.pid).unwrap_or(0);
    let mut witness: Option<Witness> = None;
    // When we saw that the worker has ended; the zygote says how, as soon as it can.
    let mut ended = None;
    // Somebody has sent us a signal.
    let mut signalled = false;
    // The worker has been told that nobody is there to continue it.
    let mut hung_up = false;
    loop {
        let told = witness.as_ref().map_or(-1, Witness::number);
        let end = if ended.is_none() { worker.handle.number() } else { -1 };
        let mut list = [worker.socket.number(), reader.number(), told, end].map(net::Wait::readable);
        let patience = match (ended, &witness) {
            (Some(_), _) => Some(IMPATIENCE),
            (None, None) => Some(SHORT),
            _ => None,
        };
        match net::wait(&mut list, patience) {
            Err(_) => lost(call, &worker),
            Ok(0) if ended.is_some_and(|since| process::clock(libc::CLOCK_MONOTONIC) - since > LAST_WORD) => {
                lost(call, &worker)
            }
            Ok(0) if ended.is_some() && is_stopped(worker.zygote) => {
                let _ = signal::send(worker.zygote, libc::SIGCONT);
            }
            // Most scripts have ended by now; this one is worth a witness.
            Ok(0) if witness.is_none() && ended.is_none() => witness = Some(Witness::place(&worker.socket)),
            Ok(_) => {}
        }
        if list[1].happened != 0 {
            while let Some(arrived) = signal::next(&reader) {
                signalled |= arrived.code <= 0;
                pass_on(&worker, arrived, witness.as_mut());
            }
        }
        if list[2].happened != 0 {
            while let Some(number) = witness.as_mut().and_then(Witness::tells) {
                // With a group of its own, the worker has had the signal from us, and its children must have it too.
                if !worker.same_group {
                    spread(group, worker.pid, number);
                }
            }
        }
        if list[2].happened & libc::POLLHUP != 0 {
            // Somebody has killed it.
            witness = Some(Witness::default());
        }
        if list[3].happened != 0 {
            ended = Some(process::clock(libc::CLOCK_MONOTONIC));
        }
        if list[0].happened != 0 {
            match latest(&worker.socket) {
                Some(Answer::Stopped(number))
                    if worker.same_group && OF_JOBS.contains(&number) && process::is_orphaned(group, worker.zygote) =>
                {
                    go_on(&worker, number, &mut hung_up);
                }
                Some(Answer::Stopped(number)) => {
                    let witness = witness.get_or_insert_with(|| Witness::place(&worker.socket));
                    stop_with(&worker, number, &reader, witness);
                }
                Some(Answer::Ended(Outcome::Lost)) | None => lost(call, &worker),
                Some(Answer::Ended(ended)) => {
                    // It may have died of a signal to our whole group before the witness had its turn to say so.
                    if let Some(witness) = witness.as_mut().filter(|_| signalled && !worker.same_group) {
                        witness.tells_all(|number| spread(group, worker.pid, number));
                    }
                    outcome::end(ended, &place.runtime)
                }
                Some(_) => {}
            }
        }
    }
}

/// Stops by the worker's signal, until somebody continues us.
///
/// A stop signal takes a waiting SIGCONT away and the other way round (`kernel/signal.c`, prepare_signal): what we
/// find waiting, and what the witness has seen, tells of the last of them only.
fn stop_with(worker: &Worker, number: i32, reader: &Fd, witness: &mut Witness) {
    loop {
        outcome::stop(number, || is_stopped(worker.pid));
        let mut told = Told::default();
        told.listen(worker, reader, witness);
        if !told.by_zygote && !told.stopped_again {
            // Whoever continued the whole group has continued the worker: if it is stopped, then anew.
            if worker.same_group && witness.saw(libc::SIGCONT) {
                return;
            }
            told.listen(worker, reader, witness);
            if !told.stopped_again {
                return wake(worker);
            }
        }
        // The zygote tells of a continuation that may be over: then it was not for this stop. Or the shell has continued
        // the group at the same moment, and the worker's turn is about to come. Or the terminal has stopped the group
        // again, and the worker is, or is about to be, stopped as it was or anew.
        let _ = net::wait(&mut [], Some(TURN));
        if !is_stopped(worker.pid) {
            return;
        }
    }
}

/// The worker has been stopped as a job, and there is nobody to continue it. To the kernel its group is not orphaned, for its
/// parent, the zygote, is in the session. Otherwise the key would have done nothing; who reads from the terminal, or writes to it
/// where that is not allowed, would have had EIO. That cannot be given: it gets what stopped jobs get that are left
/// alone (`kernel/exit.c`, kill_orphaned_pgrp), once.
fn go_on(worker: &Worker, number: i32, hung_up: &mut bool) {
    let handle = worker.handle.number();
    if number != libc::SIGTSTP {
        if core::mem::replace(hung_up, true) {
            return;
        }
        let _ = signal::send_by_handle(handle, libc::SIGHUP);
    }
    let _ = signal::send_by_handle(handle, libc::SIGCONT);
}

/// What waited for us when we went on after a stop.
#[derive(Default)]
struct Told {
    by_zygote: bool,
    stopped_again: bool,
}

impl Told {
    /// Takes what waits; what is meant for the worker goes to it.
    fn listen(&mut self, worker: &Worker, reader: &Fd, witness: &mut Witness) {
        while let Some(arrived) = signal::next(reader) {
            match arrived.signal {
                // What woke us has reached the worker, or does so by `wake`.
                libc::SIGCONT => self.by_zygote = arrived.pid == worker.zygote,
                libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU if is_from_terminal(worker, &arrived) => {
                    self.stopped_again = true;
                }
                _ => pass_on(worker, arrived, Some(witness)),
            }
        }
    }
}

/// The last of the answers that wait: a worker that went on meanwhile need not stop us. `None`: the zygote is gone.
fn latest(socket: &Fd) -> Option<Answer> {
    let mut last = Some(Answer::Continued);
    loop {
        let mut buffer = [0; wire::ANSWER];
        match net::receive(socket.number(), &mut buffer) {
            Err(error) if error.0 == libc::EAGAIN => return last,
            // The zygote closed before it had read our last word; what it said before is there still.
            Err(error) if error.0 == libc::ECONNRESET => {}
            Err(_) => return None,
            Ok(received) => {
                last = Answer::decode(&buffer[..received.length]);
                if matches!(last, None | Some(Answer::Ended(_))) {
                    return last;
                }
            }
        }
    }
}

fn pass_on(worker: &Worker, arrived: Arrived, witness: Option<&mut Witness>) {
    match arrived.signal {
        // The worker got its own from the terminal.
        _ if is_from_terminal(worker, &arrived) => {}
        // In our group the worker is continued with us, or by `wake`; the zygote continues us alone.
        libc::SIGCONT if worker.same_group || arrived.pid == worker.zygote => {}
        // About children of ours: there are none that a script knows of.
        libc::SIGCHLD if arrived.code > 0 => {}
        // The worker got its own from whoever signalled the group.
        number if worker.same_group && arrived.code <= 0 && witness.is_some_and(|w| w.saw(number)) => {}
        number => {
            let _ = signal::send_by_handle(worker.handle.number(), number);
        }
    }
}

/// Did the terminal send this, to the worker as to us?
fn is_from_terminal(worker: &Worker, arrived: &Arrived) -> bool {
    worker.same_group && arrived.code == libc::SI_KERNEL && FROM_TERMINAL.contains(&arrived.signal)
}

/// Sends a signal to the members of a group but for one of them.
fn spread(group: i32, but: i32, number: i32) {
    for pid in process::members_of(group).filter(|&pid| pid != but) {
        let _ = signal::send(pid, number);
    }
}

/// Continues a worker that is stopped still.
fn wake(worker: &Worker) {
    if is_stopped(worker.pid) {
        let _ = signal::send_by_handle(worker.handle.number(), libc::SIGCONT);
    }
}

/// Is that process stopped?
pub fn is_stopped(pid: i32) -> bool {
    matches!(process::state(pid), Some(b'T' | b't'))
}

fn push_decimal(out: &mut alloc::vec::Vec<u8>, number: u32) {
    if number >= 10 {
        push_decimal(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

/// Standard error for one last word, kept as a path handle so that it does not hold a pipe open.
#[derive(Default)]
pub struct Errors(Option<Fd>);

impl Errors {
    /// Keeps a handle of descriptor 2, if that is the caller's.
    pub fn keep(open: bool) -> Errors {
        Errors(if open { file::open(b"/proc/self/fd/2", libc::O_PATH, 0).ok() } else { None })
    }

    fn write(&self, text: &[u8]) {
        let Some(handle) = &self.0 else { return };
        let mut path = b"/proc/self/fd/".to_vec();
        push_decimal(&mut path, handle.number() as u32);
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOCTTY;
        if let Ok(fd) = file::open(&path, flags, 0) {
            let _ = file::write(fd.number(), text);
        }
    }
}

/// The zygote has gone, and with it its workers: nobody can say how the script ended. Never a second run.
fn lost(call: &Invocation, worker: &Worker) -> ! {
    // The kernel closes a dying zygote's socket before it kills its children: the script ends before we do.
    let _ = signal::send_by_handle(worker.handle.number(), libc::SIGKILL);
    let _ = net::wait(&mut [net::Wait::readable(worker.handle.number())], Some(LAST_WORD));
    record::lost(call);
    worker.errors.write(b"pyzy: worker lost: the zygote ended while the script was running\n");
    process::exit(125)
}
