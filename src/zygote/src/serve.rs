//! The zygote's loop: one thread, one `poll`, nothing that can block.
//!
//! Owns the socket, the connections and the workers' deaths. A connection
//! says one thing and then only hangs up; whatever it says instead, it is
//! closed and nobody else notices.

use crate::codes::{self, make::Maker};
use crate::counts;
use crate::image::{self, Imager};
use crate::page::{self as status, StatusPage};
use crate::spare::{self, Spare};
use crate::warm::learn;
use crate::worker::{self, Prepared};
use pyzy_core::fresh::{self, Facts, Table};
use pyzy_core::key::Key;
use pyzy_core::page::{self, State};
use pyzy_core::reason::Reason;
use pyzy_core::start::Start;
use pyzy_core::wire::{self, Answer, Ask, Outcome, Request};
use pyzy_sys::file::{self, Fd};
use pyzy_sys::net::Wait;
use pyzy_sys::{Errno, net, process, signal};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// How long a connection may stay silent before it is closed, nanoseconds.
const SILENCE: i64 = 10_000_000_000;
/// How long after a hand-over the next spare worker is forked, unless the run ends before, nanoseconds.
const SPARE_DELAY: i64 = 1_000_000;
/// How often a zygote looks whether it can be found, nanoseconds.
const VISIT: i64 = 20_000_000_000;

/// How often a zygote that learns looks for what its runs import cold, nanoseconds.
const LOOK: i64 = 30_000_000_000;
/// The most connections held; more wait in the kernel's queue.
const CONNECTIONS: usize = 4000;
/// The length of the kernel's queue (cut to `net.core.somaxconn`).
const BACKLOG: usize = 4096;

const CANNOT_PUBLISH: &str = "cannot publish the socket";

const WATCHED: [i32; 6] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCONT, libc::SIGQUIT];

struct Connection {
    socket: Fd,
    since: i64,
    worker: Option<i32>,
    /// The worker's process group, if the caller's is another.
    group: Option<i32>,
    launcher: i32,
    /// The worker has been seen to be stopped.
    has_stopped: bool,
}

struct Zygote<'a> {
    start: &'a Start<'a>,
    /// Not on the stack: a restored process has another one.
    prepared: &'static Prepared,
    page: StatusPage,
    listener: Option<Fd>,
    inode: (u64, u64),
    signals: Fd,
    /// The leader of the session we share with our callers.
    leader: Option<Fd>,
    connections: Vec<Connection>,
    /// A worker forked in advance, and the memory that runs are known to change.
    spare: Option<Spare>,
    spare_due: i64,
    look_due: i64,
    visit_due: i64,
    changed: Vec<(usize, usize)>,
    /// The child that makes the image.
    imager: Option<Imager>,
    maker: Maker,
    buffer: Vec<u8>,
    last_use: i64,
    session: i32,
    /// Our control groups when we started, which the identity names.
    cgroup: Option<Vec<u8>>,
    pid: i32,
}

/// Publishes the socket and serves until it is time to leave; gives the exit code.
pub fn serve(start: &Start, before: &[CString]) -> i32 {
    let log = Log(start.log);
    let question = counts::ask(start, before);
    let Some(prepared) = Prepared::new(before, start) else {
        log.line(&format!("cannot prepare: {}", worker::take_exception()));
        let _ = file::truncate(start.descriptor, 0);
        return 1;
    };
    // No code but ours runs from here on: who ends this process now is somebody else (`mark`, src/zygote_start.rs).
    let _ = file::truncate(start.descriptor, 0);
    if let Some(question) = question {
        question.hear();
    }
    // What was loaded since the table was made must stay as it is as well.
    let table = extended(start.table, &prepared.lasting);
    tell_modules(start, &prepared.modules);
    let start = &Start { table: &table, changes: start.changes.clone(), ..*start };
    match Zygote::new(start, Box::leak(Box::new(prepared))) {
        Ok(zygote) => {
            // A worker whose main thread ends alone unwinds through here; the descriptors' numbers are the script's then.
            let mut zygote = std::mem::ManuallyDrop::new(zygote);
            log.line("listening");
            zygote.work(&log);
            zygote.leave();
            log.line("left");
            // Nothing of a zygote's end may run finalisers of start-up code.
            process::exit(0)
        }
        Err(text) => {
            log.line(text);
            if text == CANNOT_PUBLISH {
                let note = [start.runtime, b"/", &start.key.hex(), b".failed"].concat();
                let _ = std::fs::write(std::ffi::OsStr::from_bytes(&note), format!("{text}\n"));
            }
            1
        }
    }
}

/// `RUNTIME/KEY.modules`: what is warm, for `pyzy why --modules`.
fn tell_modules(start: &Start, text: &str) {
    for key in [Some(&start.key), start.image.as_ref().map(|image| &image.key)].into_iter().flatten() {
        let path = modules_of(start, key);
        let temporary = [&path[..], format!(".{}.new", process::id()).as_bytes()].concat();
        if text.is_empty() {
            let _ = file::unlink(&path);
        } else if std::fs::write(std::ffi::OsStr::from_bytes(&temporary), text).is_ok() {
            let _ = file::rename(&temporary, &path);
        }
    }
}

fn modules_of(start: &Start, key: &Key) -> Vec<u8> {
    [start.runtime, b"/", &key.hex(), b".modules"].concat()
}

/// A freshness table with more paths.
fn extended(table: &[u8], more: &[(Vec<u8>, Facts)]) -> Vec<u8> {
    let Some(mut decoded) = Table::decode(table) else { return table.to_vec() };
    decoded.paths.extend(more.iter().map(|(path, facts)| (&path[..], *facts)));
    fresh::sort(&mut decoded.paths);
    decoded.encode()
}

/// Lines on the descriptor that `pyzy zygote --foreground` gave.
struct Log(i32);

impl Log {
    fn line(&self, text: &str) {
        if self.0 >= 0 {
            let _ = file::write(self.0, format!("pyzy: zygote {}: {text}\n", process::id()).as_bytes());
        }
    }
}

impl<'a> Zygote<'a> {
    fn new(start: &'a Start<'a>, prepared: &'static Prepared) -> Result<Zygote<'a>, &'static str> {
        let _ = signal::set_mask(signal::EVERY);
        let set = WATCHED.iter().fold(0, |set, &s| set | signal::only(s));
        let signals = signal::reader(set).map_err(|_| "cannot watch signals")?;
        let session = process::session_of(0).unwrap_or(0);
        let leader = if start.in_session {
            Some(signal::process_handle(session).map_err(|_| "the session is gone")?)
        } else {
            None
        };
        process::set_name(b"pyzy-zygote\0\0\0\0\0");
        if !Table::decode(start.table).is_some_and(|table| worker::is_fresh(&table)) {
            return Err("a file that start-up reads has changed meanwhile");
        }
        let page = StatusPage::create(start);
        let mut zygote = Zygote {
            start,
            prepared,
            page,
            listener: None,
            inode: (0, 0),
            signals,
            leader,
            connections: Vec::new(),
            spare: None,
            spare_due: 0,
            look_due: process::clock(libc::CLOCK_BOOTTIME) + LOOK,
            visit_due: process::clock(libc::CLOCK_BOOTTIME) + VISIT,
            changed: Vec::new(),
            imager: None,
            maker: Maker::default(),
            buffer: Vec::new(),
            last_use: process::clock(libc::CLOCK_BOOTTIME),
            session,
            cgroup: file::read_file(b"/proc/self/cgroup", 1 << 16).ok(),
            pid: process::id(),
        };
        codes::begin(start);
        // Before anybody's request is read: an image holds nothing but what start-up made.
        zygote.imager = Imager::fork(start, zygote.prepared);
        counts::settle(zygote.prepared);
        zygote.buffer = vec![0; wire::MAX_MESSAGE + 1];
        zygote.changed = spare::train(zygote.prepared);
        if zygote.publish().is_err() {
            zygote.page.remove();
            return Err(CANNOT_PUBLISH);
        }
        zygote.page.state(State::Ready);
        Ok(zygote)
    }

    /// Freshness table first, then the socket; both under temporary names, then renamed.
    fn publish(&mut self) -> pyzy_sys::Result<()> {
        let suffix = format!(".{}.new", self.pid);
        let table = [self.start.runtime, b"/", &self.start.key.hex(), b".fresh"].concat();
        let new_table = [&table[..], suffix.as_bytes()].concat();
        let new_socket = [self.start.socket, suffix.as_bytes()].concat();
        let done = self.publish_as(&new_table, &table, &new_socket);
        if done.is_err() {
            let _ = file::unlink(&new_table);
            let _ = file::unlink(&new_socket);
        }
        done
    }

    fn publish_as(&mut self, new_table: &[u8], table: &[u8], new_socket: &[u8]) -> pyzy_sys::Result<()> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
        let written = file::open(new_table, flags, 0o600)?;
        let mut rest = self.start.table;
        while !rest.is_empty() {
            rest = &rest[file::write(written.number(), rest)?..];
        }
        let _ = file::unlink(new_socket);
        let listener = net::socket()?;
        // SAFETY: umask takes a number; nobody else runs.
        let old = unsafe { libc::umask(0o177) };
        let bound = net::bind(&listener, new_socket);
        // SAFETY: as above.
        unsafe { libc::umask(old) };
        bound?;
        net::listen(&listener, BACKLOG)?;
        let facts = file::lstat(new_socket)?;
        self.inode = (facts.dev, facts.ino);
        let predecessor = self.predecessor()?;
        file::rename(new_table, table)?;
        file::rename(new_socket, self.start.socket)?;
        if let Some(handle) = predecessor {
            let _ = signal::send_by_handle(handle.number(), libc::SIGTERM);
            let _ = signal::send_by_handle(handle.number(), libc::SIGCONT);
        }
        self.listener = Some(listener);
        // The start lock: from now on the socket speaks for itself.
        file::close(self.start.descriptor);
        Ok(())
    }

    /// Who is there now, if anybody: a zygote of this identity, which is asked to leave once we have taken its place.
    /// Anything else that is alive, or is no socket, is never replaced, whatever PYZY_SOCKET says.
    fn predecessor(&self) -> pyzy_sys::Result<Option<Fd>> {
        match file::lstat(self.start.socket) {
            Err(Errno(libc::ENOENT)) => return Ok(None),
            Ok(stat) if stat.is_socket() && stat.uid == process::effective_user() => {}
            _ => return Err(Errno(libc::EEXIST)),
        }
        let socket = net::socket()?;
        let pid = match net::connect(&socket, self.start.socket) {
            Ok(()) => net::peer(&socket)?.pid,
            Err(Errno(libc::ECONNREFUSED | libc::ENOENT)) => return Ok(None),
            // Its queue is full: it has been stopped. Our own places hold zygotes only.
            Err(Errno(libc::EAGAIN)) if self.start.socket.starts_with(self.start.runtime) => return Ok(None),
            Err(_) => return Err(Errno(libc::EEXIST)),
        };
        if !status::is_zygote(self.start.runtime, pid, &self.start.key) {
            return Err(Errno(libc::EEXIST));
        }
        signal::process_handle(pid).map(Some)
    }

    fn work(&mut self, log: &Log) {
        loop {
            let now = process::clock(libc::CLOCK_BOOTTIME);
            // Here, so that those who wait already have been served.
            if self.wants_spare() && self.spare_due <= now {
                self.spare = Spare::fork(self.prepared, &self.changed);
            }
            let running = self.connections.iter().any(|c| c.worker.is_some()) || self.imager.is_some();
            if !running && (self.listener.is_none() || self.idle_left(now) <= 0) {
                return;
            }
            if !running && self.is_forgotten(now) {
                log.line("its socket and its image are gone");
                return;
            }
            if !running && self.has_learned(now) {
                log.line("there are other modules to keep warm");
                return;
            }
            let mut list = vec![Wait::readable(self.signals.number())];
            list.push(Wait::readable(self.leader.as_ref().map_or(-1, Fd::number)));
            let room = self.connections.len() < CONNECTIONS;
            list.push(Wait::readable(self.listener.as_ref().filter(|_| room).map_or(-1, Fd::number)));
            // Once a worker is there, what the launcher says is for the worker; we only watch for its end.
            list.extend(self.connections.iter().map(|c| Wait {
                fd: c.socket.number(),
                events: if c.worker.is_some() { 0 } else { libc::POLLIN },
                happened: 0,
            }));
            if net::wait(&mut list, self.next_deadline(now, running)).is_err() {
                return;
            }
            // From the back, because ended connections are removed.
            for at in (0..self.connections.len()).rev() {
                if list[at + 3].happened != 0 {
                    self.hear(at, log);
                }
            }
            if list[0].happened != 0 {
                self.handle_signals(log);
            }
            if list[1].happened != 0 {
                log.line("the session has ended");
                self.leader = None;
                self.release_stopped();
                self.stop_listening();
            }
            if list[2].happened != 0 {
                self.accept();
            }
            self.close_silent();
            self.page.running(self.connections.iter().filter(|c| c.worker.is_some()).count());
        }
    }

    /// How long until nobody has called for too long. Who is served by the image does not come to us: it notes that.
    fn idle_left(&self, now: i64) -> i64 {
        let limit = self.start.idle.min(10_000_000).saturating_mul(1_000_000_000) as i64;
        let left = self.last_use + limit - now;
        if left > 0 {
            return left;
        }
        let last = self.image_path().filter(|path| self.owns(path)).and_then(|path| image::last_use(&path));
        last.map_or(left, |last| last as i64 + limit - now)
    }

    /// From time to time: can nobody find it any more, because the runtime directory was cleared?
    fn is_forgotten(&mut self, now: i64) -> bool {
        if self.visit_due > now {
            return false;
        }
        self.visit_due = now + VISIT;
        self.is_superseded() && !self.image_path().is_some_and(|path| self.owns(&path))
    }

    /// From time to time: do runs import what is not warm here? The next caller then starts another zygote.
    fn has_learned(&mut self, now: i64) -> bool {
        match &self.start.learn {
            Some(learn) if self.look_due <= now => {
                self.look_due = now + LOOK;
                learn::has_news(learn)
            }
            _ => false,
        }
    }

    fn image_path(&self) -> Option<Vec<u8>> {
        let image = self.start.image?;
        Some([self.start.runtime, b"/", &image.key.hex(), b".image"].concat())
    }

    /// Is that image ours?
    fn owns(&self, path: &[u8]) -> bool {
        image::nonce(path) == Some(self.start.nonce)
    }

    fn next_deadline(&self, now: i64, running: bool) -> Option<i64> {
        let silent = self.connections.iter().filter(|c| c.worker.is_none()).map(|c| c.since + SILENCE - now).min();
        let idle = (!running && self.listener.is_some()).then(|| self.idle_left(now));
        let spare = self.wants_spare().then(|| self.spare_due - now);
        let look = (!running && self.start.learn.is_some()).then(|| self.look_due - now);
        let visit = (!running).then(|| self.visit_due - now);
        silent.into_iter().chain(idle).chain(spare).chain(look).chain(visit).min()
    }

    fn wants_spare(&self) -> bool {
        self.spare.is_none() && self.listener.is_some()
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while let Ok(socket) = net::accept(listener) {
            // SO_PEERCRED: another user gets nothing, not even an answer.
            let Ok(peer) = net::peer(&socket) else { continue };
            if peer.uid != process::effective_user() {
                continue;
            }
            let since = process::clock(libc::CLOCK_BOOTTIME);
            self.connections.push(Connection {
                socket,
                since,
                worker: None,
                group: None,
                launcher: peer.pid,
                has_stopped: false,
            });
            if self.connections.len() >= CONNECTIONS {
                return;
            }
        }
    }

    /// A connection has something to say, or has gone.
    fn hear(&mut self, at: usize, log: &Log) {
        let number = self.connections[at].socket.number();
        if let Some(pid) = self.connections[at].worker {
            let mut wait = [Wait { fd: number, events: 0, happened: 0 }];
            let _ = net::wait(&mut wait, Some(0));
            if wait[0].happened & (libc::POLLHUP | libc::POLLERR) != 0 {
                // The launcher is gone: its run goes with it. Reaped by handle_signals.
                let everybody = self.connections[at].group.filter(|_| died_with_group(number));
                log.line(&format!("launcher gone, worker {pid} killed"));
                let _ = signal::send(everybody.map_or(pid, |group| -group), libc::SIGKILL);
                let _ = signal::send(pid, libc::SIGKILL);
                self.connections.swap_remove(at);
            }
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        match net::receive(number, &mut buffer) {
            Err(Errno(libc::EAGAIN)) => {}
            Ok(received) if received.length > 0 && !received.truncated => {
                self.answer(at, &buffer[..received.length], received.descriptors, log);
            }
            _ => {
                self.connections.swap_remove(at);
            }
        }
        self.buffer = buffer;
    }

    fn answer(&mut self, at: usize, bytes: &[u8], descriptors: Vec<Fd>, log: &Log) {
        let answer = match Ask::decode(bytes) {
            Some(Ask::Status) => Answer::Well,
            Some(Ask::Compile { nonce, now, script }) => {
                let run = Some(self.connections.swap_remove(at).socket).filter(|_| now);
                if nonce == self.start.nonce && self.listener.is_some() {
                    self.maker.ask(&script, run, self.start);
                }
                return;
            }
            Some(Ask::Run(request)) => match self.run(at, bytes, request, descriptors) {
                Ok(pid) => {
                    self.page.count(page::RUNS);
                    log.line(&format!("worker {pid}"));
                    return;
                }
                Err(reason) => {
                    log.line(&format!("refused: {reason}"));
                    self.page.count(page::REFUSED);
                    Answer::Refused(reason)
                }
            },
            None => {
                log.line("a message that is none");
                self.connections.swap_remove(at);
                return;
            }
        };
        let _ = net::send(self.connections[at].socket.number(), &answer.encode(), &[]);
        self.connections.swap_remove(at);
    }

    /// Gives a request to the spare worker, or forks one for it.
    fn run(&mut self, at: usize, bytes: &[u8], request: Request, descriptors: Vec<Fd>) -> Result<i32, Reason> {
        let ours = request.key == self.start.key && request.nonce == self.start.nonce;
        let session =
            request.terminal == self.start.in_session && (!request.terminal || request.session == self.session);
        if !ours || !session {
            return Err(Reason::Mismatch);
        }
        // Landlock lets a process look into another only if that one is in its own domain or one below: a launcher
        // that can see us and that we can see is in ours (`man 7 landlock`; it shows nowhere else).
        if file::readlink(format!("/proc/{}/root", self.connections[at].launcher).as_bytes()).is_err() {
            return Err(Reason::Sandboxed);
        }
        if file::read_file(b"/proc/self/cgroup", 1 << 16).ok() != self.cgroup {
            // Somebody has moved us.
            self.stop_listening();
            return Err(Reason::Mismatch);
        }
        if descriptors.len() != request.descriptors.len() + 1 || self.listener.is_none() {
            return Err(Reason::Refused);
        }
        self.last_use = process::clock(libc::CLOCK_BOOTTIME);
        self.page.touch();
        let group = Group::for_request(&request)?;
        let in_session = request.terminal;
        let group_number = group.number;
        let connection = self.connections[at].socket.number();
        // Forking the next one would take the processor from this run's beginning.
        self.spare_due = self.last_use + SPARE_DELAY;
        let give = |spare: Spare, descriptors| spare.give(group_number, bytes, connection, descriptors);
        let given = match self.spare.take() {
            Some(spare) => give(spare, descriptors),
            None => Err(descriptors),
        };
        let again = |descriptors| give(Spare::fork(self.prepared, &self.changed)?, descriptors).ok();
        let pid = given.or_else(|descriptors| again(descriptors).ok_or(Reason::Refused))?;
        if group_number > 0 {
            // The placeholder of `Group` may go once the worker is in.
            let _ = process::set_group(pid, group_number);
        }
        let connection = &mut self.connections[at];
        connection.worker = Some(pid);
        // A session or a group of its own is led by the worker.
        connection.group = (!in_session).then_some(if group_number > 0 { group_number } else { pid });
        Ok(pid)
    }

    fn handle_signals(&mut self, log: &Log) {
        while let Some(arrived) = signal::next(&self.signals) {
            match arrived.signal {
                libc::SIGCHLD => self.reap(log),
                // We were stopped; another may have taken our place.
                libc::SIGCONT if self.is_superseded() => self.stop_listening(),
                libc::SIGTERM | libc::SIGINT => {
                    log.line("asked to leave");
                    self.stop_listening();
                }
                _ => {}
            }
        }
    }

    /// Reports what has happened to workers.
    fn reap(&mut self, log: &Log) {
        loop {
            let mut status = 0;
            // SAFETY: asks about children, without waiting.
            let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED) };
            if pid <= 0 {
                return;
            }
            if self.spare.as_ref().is_some_and(|spare| spare.pid == pid) {
                // Somebody has shot it. One that dies at once again and again is not replaced in a hurry: only when
                // there is something to do.
                self.spare = None;
                continue;
            }
            if self.imager.as_ref().is_some_and(|imager| imager.pid == pid) {
                if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                    log.line(if status == 0 { "image made" } else { "no image could be made" });
                    self.imager = None;
                }
                continue;
            }
            if (libc::WIFEXITED(status) || libc::WIFSIGNALED(status)) && self.maker.reap(pid, self.start) {
                continue;
            }
            let at = self.connections.iter().position(|c| c.worker == Some(pid));
            let answer = if libc::WIFSTOPPED(status) {
                Answer::Stopped(libc::WSTOPSIG(status))
            } else if libc::WIFCONTINUED(status) {
                Answer::Continued
            } else if libc::WIFSIGNALED(status) {
                Answer::Ended(Outcome::Killed { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) })
            } else {
                Answer::Ended(Outcome::Exited(libc::WEXITSTATUS(status) as u8))
            };
            let Some(at) = at else { continue };
            log.line(&format!("worker {pid}: {answer:?}"));
            let connection = &mut self.connections[at];
            connection.has_stopped |= matches!(answer, Answer::Stopped(_));
            let _ = net::send(connection.socket.number(), &answer.encode(), &[]);
            match answer {
                Answer::Ended(_) => {
                    // What is stopped can be killed; its launcher has to say so.
                    if connection.has_stopped && is_stopped(connection.launcher) {
                        let _ = signal::send(connection.launcher, libc::SIGCONT);
                    }
                    self.last_use = process::clock(libc::CLOCK_BOOTTIME);
                    self.spare_due = self.last_use;
                    self.connections.swap_remove(at);
                }
                // A launcher that stopped itself cannot read that its worker goes on. Who continues the group continues
                // both; then ours would come late, perhaps after the next stop. The worker may have stopped again.
                Answer::Continued if is_stopped(connection.launcher) && !is_stopped(pid) => {
                    let _ = signal::send(connection.launcher, libc::SIGCONT);
                }
                _ => {}
            }
        }
    }

    /// Stopped jobs that nobody can continue any more get what the kernel sends to such (`kernel/exit.c`,
    /// kill_orphaned_pgrp). It does not to ours: a worker's parent is here, in the session.
    fn release_stopped(&self) {
        for connection in &self.connections {
            let Some(worker) = connection.worker.filter(|&pid| is_stopped(pid)) else { continue };
            let group = process::group_of(connection.launcher);
            if group.is_ok_and(|group| process::is_orphaned(group, process::id())) {
                for pid in [worker, connection.launcher] {
                    let _ = signal::send(pid, libc::SIGHUP);
                    let _ = signal::send(pid, libc::SIGCONT);
                }
            }
        }
    }

    fn close_silent(&mut self) {
        let now = process::clock(libc::CLOCK_BOOTTIME);
        self.connections.retain(|c| c.worker.is_some() || now - c.since < SILENCE);
    }

    fn is_superseded(&self) -> bool {
        !file::lstat(self.start.socket).is_ok_and(|s| (s.dev, s.ino) == self.inode)
    }

    fn stop_listening(&mut self) {
        if self.listener.take().is_some() {
            self.page.state(State::Leaving);
            if !self.is_superseded() {
                let _ = file::unlink(self.start.socket);
                // A successor replaces the image as well, when it has its own.
                if let (Some(imager), Some(image)) = (self.imager.take(), self.start.image) {
                    imager.stop(self.start, &image);
                }
                if let Some(path) = self.image_path().filter(|path| self.owns(path)) {
                    let _ = file::unlink(&path);
                }
            }
        }
        self.connections.retain(|c| c.worker.is_some());
        self.spare = None;
        self.maker.stop();
    }

    fn leave(&mut self) {
        self.stop_listening();
        self.page.remove();
        let table = [self.start.runtime, b"/", &self.start.key.hex(), b".fresh"].concat();
        let ours = file::read_file(&table, 16 << 20).ok();
        if ours.as_deref().and_then(Table::decode).is_some_and(|t| t.nonce == self.start.nonce) {
            let _ = file::unlink(&table);
            let _ = file::unlink(&modules_of(self.start, &self.start.key));
            let _ = file::unlink(&codes::path(self.start));
        }
        // What was told of an image goes with it.
        if let (Some(image), Some(path)) = (self.start.image, self.image_path())
            && file::lstat(&path).is_err()
        {
            let _ = file::unlink(&modules_of(self.start, &image.key));
        }
    }
}

fn is_stopped(pid: i32) -> bool {
    matches!(process::state(pid), Some(b'T' | b't'))
}

/// Was a launcher that is gone killed together with its witness, that is with its whole process group?
/// What it said before it died can be read still.
fn died_with_group(socket: i32) -> bool {
    let (mut witness, mut alone) = (false, false);
    let mut said = [0; 8];
    while let Ok(received) = net::receive(socket, &mut said) {
        match &said[..received.length] {
            b"" => break,
            wire::WITNESS => witness = true,
            wire::ALONE => alone = true,
            _ => {}
        }
    }
    witness && !alone
}

/// The process group that a worker joins.
struct Group {
    /// 0: one of its own; -1: a session of its own; else that group.
    number: i32,
    /// A dead child that keeps the group's number taken until the worker is in it.
    placeholder: Option<i32>,
}

impl Group {
    /// With a terminal, the caller's own group, in the session that we share. Without one, the relations a cold
    /// run would see: session leader, group leader, or a member of a group led by somebody else (so that
    /// `setsid` works, as for a child of a shell script).
    fn for_request(request: &Request) -> Result<Group, Reason> {
        if request.terminal {
            return Ok(Group { number: request.group, placeholder: None });
        }
        if request.session == request.pid {
            return Ok(Group { number: -1, placeholder: None });
        }
        if request.group == request.pid {
            return Ok(Group { number: 0, placeholder: None });
        }
        // SAFETY: the child of vfork makes one system call and ends; it touches no memory of ours.
        let pid = unsafe {
            #[allow(deprecated)]
            let pid = libc::vfork();
            if pid == 0 {
                let _ = process::set_group(0, 0);
                process::exit(0);
            }
            pid
        };
        if pid < 0 { Err(Reason::Refused) } else { Ok(Group { number: pid, placeholder: Some(pid) }) }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.placeholder {
            let _ = process::wait(pid);
        }
    }
}
