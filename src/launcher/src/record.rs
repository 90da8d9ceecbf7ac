//! What a run leaves behind for people: a line in PYZY_LOG, a count in the tally. Never in the way of the run.

use alloc::vec::Vec;
use pyzy_core::cmdline;
use pyzy_core::key::Key;
use pyzy_core::reason::Reason;
use pyzy_core::route::Engine;
use pyzy_core::tally;
use pyzy_core::vars;
use pyzy_launch::place;
use pyzy_launch::plan::Invocation;
use pyzy_sys::file::{self, Fd};
use pyzy_sys::{Errno, libc, process, signal};

/// Notes a fallback.
pub fn fallback(call: &Invocation, reason: Reason) {
    log(call, |line| {
        line.extend_from_slice(b" route=fallback reason=");
        line.extend_from_slice(reason.name().as_bytes());
    });
    // PYZY_DISABLE is honoured to the letter: nothing is looked at, nothing written but the log asked for.
    if reason != Reason::Disabled {
        count(call, tally::offset_of(reason));
    }
}

/// Notes a hand-off that is about to happen: whoever reads what the script says finds the line in the log.
pub fn warm(call: &Invocation, engine: Engine, key: &Key, worker: i32) {
    log(call, |line| {
        line.extend_from_slice(b" route=warm engine=");
        line.extend_from_slice(engine.name().as_bytes());
        line.extend_from_slice(b" worker=");
        push_decimal(line, worker as u64);
        line.extend_from_slice(b" key=");
        line.extend_from_slice(&key.hex());
    });
}

/// Counts a hand-off that has happened.
pub fn count_warm(call: &Invocation, engine: Engine) {
    count(call, tally::offset_of_engine(engine));
}

/// Notes that nobody knows how a run ended.
pub fn lost(call: &Invocation) {
    log(call, |line| line.extend_from_slice(b" outcome=lost"));
}

fn log(call: &Invocation, fill: impl FnOnce(&mut Vec<u8>)) {
    let Some(path) = vars::get_nonempty(call.environ, vars::LOG) else { return };
    // O_NONBLOCK: a pipe without a reader is no reason to wait.
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NOCTTY | libc::O_NONBLOCK;
    let Ok(fd) = file::open(path, flags, 0o666) else { return };
    let mut line = Vec::with_capacity(256);
    line.extend_from_slice(b"pid=");
    push_decimal(&mut line, process::id() as u64);
    fill(&mut line);
    if let Ok(typed) = cmdline::parse(call.argv, None) {
        line.extend_from_slice(b" script=");
        push_escaped(&mut line, typed.script);
    }
    line.push(b'\n');
    let _ = unpunished(|| file::write(fd.number(), &line));
}

/// A write of ours beyond the caller's limit of files, or to a pipe that nobody reads, is no reason to die: both are
/// signals (SIGXFSZ, SIGPIPE) unless they are ignored.
fn unpunished<T>(write: impl FnOnce() -> T) -> T {
    let before = [libc::SIGXFSZ, libc::SIGPIPE].map(|number| (number, signal::action(number)));
    for (number, _) in &before {
        let _ = signal::set_ignored(*number);
    }
    let written = write();
    for (number, action) in &before {
        // One that is blocked has waited; ignoring it again forgets it (POSIX, sigaction).
        let _ = signal::set_ignored(*number);
        if let Ok(action) = action {
            // SAFETY: what was there before.
            let _ = unsafe { signal::set_action(*number, action) };
        }
    }
    written
}

fn push_escaped(line: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if byte.is_ascii_graphic() && byte != b'\\' {
            line.push(byte);
        } else {
            let digits = b"0123456789abcdef";
            line.extend_from_slice(&[b'\\', b'x', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    }
}

fn push_decimal(line: &mut Vec<u8>, number: u64) {
    if number >= 10 {
        push_decimal(line, number / 10);
    }
    line.push(b'0' + (number % 10) as u8);
}

fn count(call: &Invocation, offset: usize) {
    if let Some(path) = place::tally(call.environ, true)
        && let Ok(fd) = open_tally(&path)
    {
        let _ = file::add_shared(fd.number(), tally::SIZE, offset, 1);
    }
}

/// The tally's file, if it is one and all its bytes are there: touching a hole on a full disk would be SIGBUS.
fn open_tally(path: &[u8]) -> Result<Fd, Errno> {
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let fd = match file::open(path, flags, 0) {
        Err(Errno(libc::ENOENT)) => {
            make_tally(path)?;
            file::open(path, flags, 0)?
        }
        other => other?,
    };
    let stat = file::fstat(fd.number())?;
    let mut head = [0; 16];
    let whole =
        stat.is_file() && stat.size == tally::SIZE as u64 && stat.blocks > 0 && stat.uid == process::effective_user();
    if !whole || file::read(fd.number(), &mut head)? != head.len() || tally::check(&head, stat.size).is_err() {
        return Err(Errno(libc::EINVAL));
    }
    Ok(fd)
}

fn make_tally(path: &[u8]) -> Result<(), Errno> {
    let mut new = path.to_vec();
    new.push(b'.');
    push_decimal(&mut new, process::id() as u64);
    let fd = file::open(&new, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, 0o600)?;
    let bytes = tally::encode(&tally::Tally::ZERO);
    let done = match unpunished(|| file::write(fd.number(), &bytes)) {
        Ok(length) if length == bytes.len() => file::rename_new(&new, path),
        Ok(_) => Err(Errno(libc::ENOSPC)),
        Err(error) => Err(error),
    };
    if done.is_err() {
        let _ = file::unlink(&new);
    }
    // Somebody else may have been faster; that is as good.
    Ok(())
}
