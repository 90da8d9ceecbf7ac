//! `pyzy zygote`: from a launcher's wish to a listening zygote.
//!
//! Owns everything slow: the lock that lets one starter through, cutting loose
//! from whoever happened to ask, the probe, the freshness table, and becoming
//! the interpreter that serves. Run by the launcher with `--start`, by people
//! with `--foreground`. Failures of a background start are written to
//! `RUNTIME/KEY.failed`, where the launcher and `pyzy doctor` see them.

use crate::image_file;
use crate::learned;
use crate::project;
use pyzy_core::fresh::{self, Table};
use pyzy_core::key::{Identity, Key};
use pyzy_core::ledger::Scope;
use pyzy_core::reason::Reason;
use pyzy_core::report::{Report, Verdict};
use pyzy_core::start::{HOST, ImageStart, LABEL, Learn, Role, Start};
use pyzy_core::vars;
use pyzy_core::wire::{self, Answer};
use pyzy_launch::plan::{self, Forked, Invocation, LIBRARY, Plan, Warm};
use pyzy_launch::{freshness, place::Place};
use pyzy_sys::file::{self, Fd};
use pyzy_sys::{Errno, libc, net, process, signal};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// How long a probe may take, nanoseconds.
const PROBE: i64 = 60_000_000_000;
/// How long a listening zygote may take to answer, nanoseconds.
const PING: i64 = 500_000_000;
/// How long to wait before looking at a lock again, nanoseconds.
const LOOK: i64 = 2_000_000;
/// How long it counts that a zygote ended while it was being prepared, nanoseconds.
const MARKED: i64 = 60_000_000_000;
/// How many are started in that time.
const ATTEMPTS: usize = 2;
const MARK: &[u8] = b"preparing\n";
/// A file changed this recently could change again without its times showing it (one tick of the kernel's clock).
const TICK: i64 = 10_000_000;

/// Why there is no zygote.
#[derive(Debug)]
enum Failure {
    /// Somebody else is starting one, or one is there.
    Unneeded,
    /// Not now: something is changing; the next call tries again.
    Later(&'static str),
    /// Not with this interpreter and this start-up, until something changes.
    Impossible(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unneeded => f.write_str("another zygote serves this identity, or is being started"),
            Failure::Later(text) => f.write_str(text),
            Failure::Impossible(text) => f.write_str(text),
        }
    }
}

/// The words after `pyzy zygote`.
struct Words {
    foreground: bool,
    /// Also when one is there: it may do less than the caller, or its image is old.
    replace: bool,
    /// Makes an image, and serves callers without a terminal.
    image: bool,
    own: Vec<u8>,
    exec_path: Option<Vec<u8>>,
    argv: Vec<Vec<u8>>,
}

/// Runs the subcommand.
pub fn run(args: &[OsString]) -> ExitCode {
    let words = match Words::parse(args) {
        Ok(words) => words,
        Err(text) => {
            eprintln!("pyzy: {text}\nhint: pyzy help zygote");
            return ExitCode::from(2);
        }
    };
    let foreground = words.foreground;
    match start(&words) {
        Err(Failure::Unneeded) if !foreground => ExitCode::SUCCESS,
        Err(error) => {
            if foreground {
                eprintln!("pyzy: cannot start a zygote: {error}");
            }
            ExitCode::FAILURE
        }
        Ok(never) => match never {},
    }
}

impl Words {
    fn parse(args: &[OsString]) -> Result<Words, String> {
        let home = std::env::current_exe().ok().and_then(|p| p.canonicalize().ok());
        let own = home.map(|p| p.with_file_name("launcher").into_os_string().into_vec()).unwrap_or_default();
        let mut words =
            Words { foreground: false, replace: false, image: false, own, exec_path: None, argv: Vec::new() };
        let mut start = false;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || {
                args.next().map(|v| v.as_bytes().to_vec()).ok_or_else(|| format!("'{}' needs a value", arg.display()))
            };
            match arg.as_bytes() {
                b"--start" => start = true,
                b"--foreground" => words.foreground = true,
                b"--replace" => words.replace = true,
                b"--image" => words.image = true,
                b"--own" => words.own = value()?,
                b"--exec-path" => words.exec_path = Some(value()?),
                b"--" => {
                    words.argv = args.by_ref().map(|a| a.as_bytes().to_vec()).collect();
                }
                _ => return Err(format!("unknown option '{}'", arg.display())),
            }
        }
        if start == words.foreground {
            return Err("'zygote' needs --foreground".into());
        }
        if words.foreground {
            // By hand there is no script, only options: `pyzy zygote --foreground -- -X dev`.
            let options = std::mem::take(&mut words.argv);
            words.argv.push(b"python3".to_vec());
            words.argv.extend(options);
            words.argv.push(words.own.clone());
        }
        Ok(words)
    }
}

enum Never {}

fn start(words: &Words) -> Result<Never, Failure> {
    let argv: Vec<&[u8]> = words.argv.iter().map(|a| &a[..]).collect();
    let environ: Vec<Vec<u8>> = environment();
    let environ: Vec<&[u8]> = environ.iter().map(|e| &e[..]).collect();
    let call = Invocation {
        argv: &argv,
        environ: &environ,
        exec_path: words.exec_path.as_deref(),
        own: &words.own,
        secure: false,
    };
    let plan = plan::plan(&call).map_err(|e| Failure::Impossible(e.to_string()))?;
    let warm = match &plan.warm {
        Ok(warm) => warm,
        Err(reason) => return Err(Failure::Impossible(reason.text().into())),
    };
    let impossible = |reason: Reason| Failure::Impossible(reason.text().into());
    let forked = warm.forked(words.image).map_err(impossible)?;
    let place = forked.place(&environ, true).map_err(impossible)?;
    let log = if words.foreground { keep_errors() } else { -1 };
    cut_loose(words.foreground, forked.facts.terminal);
    let starter = Starter {
        call: &call,
        plan: &plan,
        warm,
        forked: &forked,
        place: &place,
        log,
        replace: words.replace,
        asked: words.foreground,
        image: words.image || words.foreground && warm.engines.restore,
        library: std::cell::Cell::new(None),
    };
    let result = starter.start();
    if let Err(Failure::Impossible(text)) = &result {
        starter.note(text);
        let _ = file::unlink(&place.file(&forked.key, "fresh"));
    }
    if words.foreground
        && let Err(error) = &result
    {
        let _ = file::write(log, format!("pyzy: cannot start a zygote: {error}\n").as_bytes());
    }
    result
}

/// The environment as it is, entries without `=` included, which `std::env` leaves out.
fn environment() -> Vec<Vec<u8>> {
    let bytes = std::fs::read("/proc/self/environ").unwrap_or_default();
    let mut entries: Vec<Vec<u8>> = bytes.split(|&b| b == 0).map(<[u8]>::to_vec).collect();
    entries.pop();
    entries
}

/// A copy of standard error for the zygote's log.
fn keep_errors() -> i32 {
    file::fcntl(2, libc::F_DUPFD, 3).map_or(-1, |fd| fd as i32)
}

/// Nothing of whoever asked stays: no descriptor, directory, terminal, signal state.
fn cut_loose(foreground: bool, terminal: bool) {
    let _ = process::change_dir(b"/");
    // What has come meanwhile was for the caller: forgotten before it is let in.
    for number in 1..=64 {
        let _ = signal::set_ignored(number);
    }
    let _ = signal::set_mask(0);
    for number in 1..=64 {
        let _ = signal::set_default(number);
    }
    if foreground {
        return;
    }
    // With a terminal: the session stays, so that workers can join the callers' process groups; the group does not.
    if terminal {
        let _ = process::set_group(0, 0);
    } else {
        let _ = process::new_session();
    }
    let keep = |fd: i32| fd > 2;
    for fd in file::open_descriptors().unwrap_or_default().into_iter().filter(|&fd| keep(fd)) {
        file::close(fd);
    }
    if let Ok(null) = file::open(b"/dev/null", libc::O_RDWR, 0) {
        for fd in 0..3 {
            duplicate(null.number(), fd);
        }
        if null.number() <= 2 {
            null.leak();
        }
    }
    // Descriptors are for many connections; the worker gets the caller's limit back.
    if let Ok(limits) = process::limits() {
        for resource in [libc::RLIMIT_NOFILE as usize, libc::RLIMIT_FSIZE as usize, libc::RLIMIT_CPU as usize] {
            let hard = limits[resource].hard;
            let _ = process::set_limit(resource, process::Limit { soft: hard, hard });
        }
    }
}

/// `dup3(2)`, also onto itself: then close-on-exec is taken off.
fn duplicate(from: i32, to: i32) {
    if from == to {
        let _ = file::fcntl(to, libc::F_SETFD, 0);
    } else {
        let _ = file::duplicate_onto(from, to);
    }
}

struct Starter<'a> {
    call: &'a Invocation<'a>,
    plan: &'a Plan<'a>,
    warm: &'a Warm<'a>,
    forked: &'a Forked,
    place: &'a Place,
    log: i32,
    replace: bool,
    /// Somebody wants it tried, whatever became of others.
    asked: bool,
    image: bool,
    /// Open from the making of a command until its exec.
    library: std::cell::Cell<Option<Fd>>,
}

impl Starter<'_> {
    fn start(&self) -> Result<Never, Failure> {
        let key = &self.forked.key;
        let image_lock = if self.image { Some(self.lock(&self.warm.image)?) } else { None };
        let lock = self.lock(key)?;
        // A zygote whose image is gone is replaced, because only a new one has nobody's request in its memory.
        let is_there = if self.image { self.has_image() } else { self.is_served() };
        if !self.replace && is_there {
            return Err(Failure::Unneeded);
        }
        // While we waited for the lock another may have found out that it cannot be done.
        if !self.asked && !self.replace && is_recent(&self.place.file(key, "failed")) {
            return Err(Failure::Unneeded);
        }
        sweep(&self.place.runtime);
        if take_marks(&lock) {
            const TWICE: &str = "the zygote ended while it was being prepared, twice";
            self.note(TWICE);
            return Err(Failure::Impossible(TWICE.into()));
        }
        let report = self.probe()?;
        let table = self.table(&report)?;
        let _ = file::unlink(&self.place.file(key, "failed"));
        self.become_zygote(&report, &table, lock, image_lock)
    }

    /// Notes a failure, for launchers and `pyzy doctor`.
    fn note(&self, text: &str) {
        let keys = [Some(&self.forked.key), self.image.then_some(&self.warm.image)];
        for key in keys.into_iter().flatten() {
            let failed = self.place.file(key, "failed");
            let _ = std::fs::write(std::ffi::OsStr::from_bytes(&failed), format!("{text}\n"));
        }
    }

    /// Only one makes a thing at a time. Launchers look at the lock for a moment; that is no reason to give up.
    fn lock(&self, key: &Key) -> Result<Fd, Failure> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW;
        let lock = file::open(&self.place.file(key, "lock"), flags, 0o600)
            .map_err(|e| Failure::Impossible(format!("cannot make a lock in the runtime directory: {e}")))?;
        for _ in 0..5 {
            if file::lock(lock.number(), libc::LOCK_EX | libc::LOCK_NB).is_ok() {
                return Ok(lock);
            }
            let _ = net::wait(&mut [], Some(LOOK));
        }
        Err(Failure::Unneeded)
    }

    /// Is there an image that holds?
    fn has_image(&self) -> bool {
        image_file::read(&self.place.file(&self.warm.image, "image")).is_ok_and(|head| {
            let image = head.image();
            let table = image.as_ref().and_then(|i| Table::decode(i.fresh));
            table.is_some_and(|t| freshness::changed(&t).is_none())
        })
    }

    /// Is a zygote there that answers, with a table that holds?
    fn is_served(&self) -> bool {
        let Ok(bytes) = file::read_file(&self.place.file(&self.forked.key, "fresh"), 16 << 20) else { return false };
        let Some(table) = Table::decode(&bytes) else { return false };
        freshness::changed(&table).is_none() && answers(&self.place.socket, || self.is_only_busy())
    }

    /// With a full queue: does a zygote of this identity run, or has it been stopped?
    fn is_only_busy(&self) -> bool {
        let names = file::list(&self.place.runtime).unwrap_or_default();
        let pids = names.iter().filter_map(|n| std::str::from_utf8(n.strip_suffix(b".zygote")?).ok()?.parse().ok());
        pids.filter(|&pid: &i32| {
            let page = file::read_file(&[&self.place.runtime[..], format!("/{pid}.zygote").as_bytes()].concat(), 4096);
            page.is_ok_and(|p| pyzy_core::page::decode(&p).is_ok_and(|p| p.key == self.forked.key.hex()))
        })
        .any(|pid| matches!(process::state(pid), Some(state) if !b"TtZ".contains(&state)))
    }

    fn probe(&self) -> Result<Report, Failure> {
        let (report, output) = (memory(c"pyzy-report")?, memory(c"pyzy-output")?);
        keep_open(report.as_raw_fd());
        let record = self.record(Role::Probe { starter: process::id() }, report.as_raw_fd(), b"", None, None);
        // The whole environment: only so it shows which variables start-up reads.
        let mut command = self.command(&record, |_| true)?;
        let copy = || output.try_clone().map(Stdio::from).map_err(|_| Failure::Later("no descriptors left"));
        command.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?);
        let mut child = command.spawn().map_err(|e| Failure::Impossible(format!("cannot run the interpreter: {e}")))?;
        let handle = signal::process_handle(child.id() as i32);
        let ended = handle.map(|h| net::wait(&mut [net::Wait::readable(h.number())], Some(PROBE)));
        if !matches!(ended, Ok(Ok(1))) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::Impossible("the interpreter's start-up takes too long".into()));
        }
        let status = child.wait().map_err(|_| Failure::Later("the probe was lost"))?;
        let said = read_memory(output);
        let bytes = read_memory(report);
        let report = Report::decode(&bytes).map_err(|_| {
            let said = String::from_utf8_lossy(&said);
            Failure::Impossible(format!("the interpreter cannot be hosted ({status}): {}", said.trim()))
        })?;
        if let Verdict::Impure(text) = &report.verdict {
            return Err(Failure::Impossible(format!("start-up code: {}", String::from_utf8_lossy(text))));
        }
        if report.free_threaded || report.debug {
            return Err(Failure::Impossible("a free-threaded or debug build".into()));
        }
        if !said.is_empty() {
            return Err(Failure::Impossible(format!("start-up prints: {}", String::from_utf8_lossy(&said).trim())));
        }
        if report.version < [3, 9, 0] {
            return Err(Failure::Impossible("CPython before 3.9".into()));
        }
        Ok(report)
    }

    /// What must stay as it is; taken before the zygote starts and compared by it afterwards.
    fn table(&self, report: &Report) -> Result<Vec<u8>, Failure> {
        let now = process::clock(libc::CLOCK_REALTIME);
        let mut paths = Vec::new();
        for path in &report.paths {
            // A relative path was nowhere, and is to be nowhere; that this process runs elsewhere means nothing.
            let facts = fresh::counting(path, file::facts(path)).filter(|_| path.starts_with(b"/"));
            // A change within the same tick of the clock would not show: wait for the next call.
            if facts.is_some_and(|f| (now - TICK..now + TICK).contains(&(f[5] as i64))) {
                return Err(Failure::Later("a file that start-up reads has only just changed"));
            }
            paths.push((&path[..], facts));
        }
        let is_named = |path: &[u8]| !matches!(file::lstat(path), Err(Errno(libc::ENOENT)));
        let mut paths = fresh::without_redundant(&paths, |path| file::facts(path).is_some(), is_named);
        fresh::sort(&mut paths);
        let variables = report.env_names.iter().map(|name| (&name[..], self.variable(name))).collect();
        Ok(Table { nonce: nonce()?, paths, variables }.encode())
    }

    fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        let entry = self.call.environ.iter().find(|e| vars::name_of(e) == name && e.len() > name.len())?;
        Some(&entry[name.len() + 1..])
    }

    fn become_zygote(&self, report: &Report, table: &[u8], lock: Fd, image_lock: Option<Fd>) -> Result<Never, Failure> {
        let label = file::read_file(LABEL, 4096).unwrap_or_default();
        let image = image_lock.as_ref().map(|lock| ImageStart {
            key: self.warm.image,
            lock: lock.number(),
            launcher: self.call.own,
            limits: [
                self.number(vars::IMAGE_SECS, vars::DEFAULT_IMAGE_SECS),
                self.number(vars::IMAGE_RUNS, vars::DEFAULT_IMAGE_RUNS),
                self.number(vars::IMAGE_MB, vars::DEFAULT_IMAGE_MB),
            ],
            compact: use_compact_layout(),
            debuggable: vars::is_on(self.call.environ, vars::DEBUGGABLE),
            label: &label,
        });
        let record = self.record(Role::Zygote, lock.number(), table, Some(report), image);
        let read = |entry: &[u8]| report.env_names.iter().any(|n| n == vars::name_of(entry));
        let mut command = self.command(&record, |entry| vars::is_startup(entry) || read(entry))?;
        keep_open(lock.number());
        if let Some(lock) = &image_lock {
            keep_open(lock.number());
        }
        if self.log >= 0 {
            keep_open(self.log);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if self.log < 0 {
            mark(&lock);
        }
        let error = command.exec();
        Err(Failure::Impossible(format!("cannot run the interpreter: {error}")))
    }

    /// The number in a variable, if it is one.
    fn number(&self, name: &str, default: u64) -> u64 {
        let value = vars::get_nonempty(self.call.environ, name);
        value.and_then(|v| std::str::from_utf8(v).ok()?.trim().parse().ok()).unwrap_or(default)
    }

    /// The ledger, whose imports they are there, and what is chosen. Without a ledger nothing is learned.
    fn learned(&self) -> Option<(PathBuf, Scope, String)> {
        let path = learned::path(self.call.environ, true)?;
        let scope = Scope::of(&self.plan.found.file);
        learned::make(&path).ok()?;
        let chosen = learned::chosen(&learned::read(&path, scope).unwrap_or_default());
        Some((path, scope, chosen))
    }

    fn record(
        &self,
        role: Role,
        descriptor: i32,
        table: &[u8],
        report: Option<&Report>,
        image: Option<ImageStart>,
    ) -> Vec<u8> {
        let preload = project::list(&self.warm.preload).unwrap_or_default();
        let learned = learned::is_wanted(&preload).then(|| self.learned()).flatten();
        let version = report.map(|r| r.version.map(|n| n.to_string()).join(".")).unwrap_or_default();
        let changes = report.iter().flat_map(|r| &r.environ_changes);
        Start {
            role,
            key: self.forked.key,
            nonce: Table::decode(table).map_or(0, |t| t.nonce),
            socket: &self.place.socket,
            runtime: &self.place.runtime,
            interpreter: &self.plan.found.file,
            words: words(&self.forked.identity, &self.forked.key).as_bytes(),
            version: version.as_bytes(),
            idle: self.number(vars::MAX_IDLE_SECS, vars::DEFAULT_MAX_IDLE_SECS),
            log: self.log,
            descriptor,
            in_session: self.forked.facts.terminal,
            image,
            preload: &preload,
            own_script: self.warm.own_script.as_deref().unwrap_or_default(),
            learn: learned.as_ref().map(|(ledger, scope, chosen)| Learn {
                ledger: ledger.as_os_str().as_bytes(),
                scope: scope.0,
                chosen: chosen.as_bytes(),
                room: self.number(vars::LEARNED_MB, vars::DEFAULT_LEARNED_MB).saturating_mul(1 << 20),
            }),
            changes: changes.map(|(name, value)| (&name[..], value.as_deref())).collect(),
            table,
        }
        .encode()
    }

    /// The interpreter with our library, the options of the call and the wanted part of its environment.
    fn command(&self, record: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Result<Command, Failure> {
        let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let mut handle = memory(c"pyzy-start")?;
        handle.write_all(record).and_then(|()| handle.rewind()).map_err(|_| Failure::Later("no memory"))?;
        let mut command = Command::new(os(&self.plan.found.file));
        command.arg0(os(&self.plan.found.argv0));
        command.args(self.warm.line.options.iter().map(|o| os(o)));
        // A script that can never be there. Without one CPython would take standard input.
        command.arg(pyzy_core::start::NO_SCRIPT);
        command.env_clear();
        // Of two with one name getenv sees the first, and the key has that one: the last is set first.
        for entry in self.plan.environ.iter().rev().filter(|e| wanted(e)) {
            let name = vars::name_of(entry);
            if !name.is_empty() && entry.len() > name.len() {
                command.env(os(name), os(&entry[name.len() + 1..]));
            }
        }
        let library = self.call.installed(LIBRARY);
        // ld.so takes spaces and colons for separators (man 8 ld.so), and $ for the beginning of a variable. Such a path
        // is given by descriptor; others not, because debuggers open the name that the dynamic loader remembers.
        if library.iter().any(|b| b" :$\t\n".contains(b)) {
            let library = file::open(&library, libc::O_RDONLY, 0)
                .map_err(|e| Failure::Impossible(format!("cannot open the library: {e}")))?;
            command.env("LD_PRELOAD", format!("/proc/self/fd/{}", library.number()));
            keep_open(library.number());
            self.library.set(Some(library));
        } else {
            command.env("LD_PRELOAD", os(&library));
        }
        command.env(HOST, handle.as_raw_fd().to_string());
        keep_open(std::os::fd::IntoRawFd::into_raw_fd(handle));
        Ok(command)
    }
}

/// Has the next program's libraries laid out upwards from the middle of the address space, where no later process has
/// its stack or the kernel's pages: an image of it finds its place free. Addresses stay random.
fn use_compact_layout() -> bool {
    let now = process::personality();
    now & libc::ADDR_COMPAT_LAYOUT as u32 == 0
        && process::set_personality(now | libc::ADDR_COMPAT_LAYOUT as u32).is_ok()
}

/// The identity, as `pyzy status` shows it: options and start-up variables.
fn words(identity: &Identity, key: &Key) -> String {
    let mut text = String::new();
    for (name, value) in identity.facts() {
        if name == b"option" || name == b"variable" {
            text.push_str(&String::from_utf8_lossy(value));
            text.push(' ');
        } else if name == b"session" && value.iter().any(|&b| b != 0) {
            let number = u64::from_le_bytes(value.try_into().unwrap_or_default());
            text.push_str(&format!("session={number} "));
        }
    }
    if text.is_empty() { String::from_utf8_lossy(&key.hex()[..8]).into_owned() } else { text.trim_end().to_owned() }
}

/// Does a zygote answer on that socket?
fn answers(path: &[u8], is_only_busy: impl Fn() -> bool) -> bool {
    let Ok(socket) = net::socket() else { return false };
    let connected = net::connect(&socket, path);
    if connected == Err(Errno(libc::EAGAIN)) {
        return is_only_busy();
    }
    if connected.is_err() || net::send(socket.number(), &wire::ASK_STATUS, &[]).is_err() {
        return false;
    }
    if !matches!(net::wait(&mut [net::Wait::readable(socket.number())], Some(PING)), Ok(1)) {
        return false;
    }
    let mut buffer = [0; wire::ANSWER];
    let received = net::receive(socket.number(), &mut buffer);
    received.is_ok_and(|r| Answer::decode(&buffer[..r.length]) == Some(Answer::Well))
}

/// Removes what crashes have left in the runtime directory: images without a zygote, temporary files, and small core
/// dumps of launchers.
fn sweep(runtime: &[u8]) {
    image_file::remove_dead(runtime);
    let dump = [runtime, b"/dump"].concat();
    for name in file::list(&dump).unwrap_or_default() {
        let _ = file::unlink(&[&dump[..], b"/", &name].concat());
    }
    for name in file::list(runtime).unwrap_or_default() {
        if let Some(key) = name.strip_suffix(b".modules").or_else(|| name.strip_suffix(b".codes")) {
            let is_there = |suffix: &[u8]| file::lstat(&[runtime, b"/", key, suffix].concat()).is_ok();
            if !is_there(b".image") && !is_there(b".sock") && !is_there(b".lock") {
                let _ = file::unlink(&[runtime, b"/", &name].concat());
            }
            continue;
        }
        let Some(stem) = name.strip_suffix(b".new") else { continue };
        let number = stem.rsplit(|&b| b == b'.').next().and_then(|n| std::str::from_utf8(n).ok()?.parse::<i32>().ok());
        let number = number.or_else(|| std::str::from_utf8(stem.strip_suffix(b".zygote")?).ok()?.parse().ok());
        if number.is_some_and(|pid| signal::send(pid, 0).is_err()) {
            let _ = file::unlink(&[runtime, b"/", &name].concat());
        }
    }
}

/// The lock says so while a zygote is being prepared, a line for each; one that listens takes that back. An import may end the process, and
/// the next start would go the same way.
fn mark(lock: &Fd) {
    let before = file::fstat(lock.number()).map_or(0, |stat| stat.size) as usize;
    let _ = file::write(lock.number(), &MARK.repeat(before / MARK.len() + 1));
}

/// Has that been noted not long ago?
fn is_recent(note: &[u8]) -> bool {
    let age = |stat: file::Stat| process::clock(libc::CLOCK_REALTIME) - stat.mtime;
    file::lstat(note).is_ok_and(|stat| (0..MARKED).contains(&age(stat)))
}

/// Have the last ones ended while they were being prepared, not long ago? It is said once. A single one may have been ended by anybody.
fn take_marks(lock: &Fd) -> bool {
    let Ok(stat) = file::fstat(lock.number()) else { return false };
    let is_recent = (0..MARKED).contains(&(process::clock(libc::CLOCK_REALTIME) - stat.mtime));
    let are_many = stat.size as usize >= ATTEMPTS * MARK.len();
    if stat.size > 0 && (!is_recent || are_many) {
        let _ = file::truncate(lock.number(), 0);
    }
    is_recent && are_many
}

fn nonce() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    let source = file::open(b"/dev/urandom", libc::O_RDONLY, 0).map_err(|_| Failure::Later("no entropy"))?;
    match file::read(source.number(), &mut bytes) {
        Ok(8) => Ok(u64::from_le_bytes(bytes)),
        _ => Err(Failure::Later("no entropy")),
    }
}

/// A file in memory, for passing something to a child; its number is above 2, whatever was closed.
fn memory(name: &std::ffi::CStr) -> Result<File, Failure> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let handle = memfd_create(name, MFdFlags::MFD_CLOEXEC).map_err(|_| Failure::Later("no memory file"))?;
    // try_clone duplicates to 3 or above (std's fcntl F_DUPFD_CLOEXEC).
    handle.try_clone().map(File::from).map_err(|_| Failure::Later("no descriptors left"))
}

fn read_memory(mut handle: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = handle.rewind().and_then(|()| handle.read_to_end(&mut bytes));
    bytes
}

/// Lets a descriptor live through the exec.
fn keep_open(fd: i32) {
    let _ = file::fcntl(fd, libc::F_SETFD, 0);
}
