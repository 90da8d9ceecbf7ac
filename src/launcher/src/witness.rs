//! A witness: a second process in our group, by which a signal to the group can be told from one to us alone.
//!
//! `kill(2)` says who sent a signal, not to how many. Without a terminal the
//! worker and its children are in a group of their own, and what is meant for
//! the caller's group must reach all of them, what is meant for the launcher
//! only the worker. With one they share our group and have had theirs. The
//! witness tells us of every signal it gets, and the zygote when we alone have died.

use alloc::vec::Vec;
use pyzy_core::wire;
use pyzy_sys::file::{self, Fd};
use pyzy_sys::{libc, net, process, signal};

/// How long the witness's word of a signal and our own copy of it may lie apart, nanoseconds.
const HEARSAY: i64 = 5_000_000;

/// How long the witness may take to answer a question: it has to have its turn on a busy machine, nanoseconds.
const TURN: i64 = 1_000_000_000;

/// The question whether there is more to tell, and the answer that there is not; no signal has this number.
const NO_MORE: u8 = 0;

/// The witness, if there could be one.
#[derive(Default)]
pub struct Witness {
    channel: Option<Fd>,
    /// Signals that it told of and nobody has asked about, and when we heard of them.
    heard: Vec<(i32, i64)>,
}

impl Witness {
    /// Places one; `socket` is the connection to the zygote.
    pub fn place(socket: &Fd) -> Witness {
        let Ok((ours, theirs)) = net::pair() else { return Witness::default() };
        match process::fork_alone() {
            Ok(0) => stand(socket.number(), &theirs, &ours),
            Ok(_) => {
                let _ = net::send(socket.number(), wire::WITNESS, &[]);
                Witness { channel: Some(ours), heard: Vec::new() }
            }
            Err(_) => Witness::default(),
        }
    }

    /// The descriptor on which it tells; -1 without one.
    pub fn number(&self) -> i32 {
        self.channel.as_ref().map_or(-1, Fd::number)
    }

    /// The next signal that it got, if it has told of one.
    pub fn tells(&mut self) -> Option<i32> {
        self.word().filter(|&word| word != NO_MORE).map(i32::from)
    }

    fn word(&mut self) -> Option<u8> {
        let mut told = [0; 4];
        let received = net::receive(self.number(), &mut told).ok()?;
        (received.length == 1).then_some(())?;
        if told[0] != NO_MORE {
            let now = process::clock(libc::CLOCK_MONOTONIC);
            self.heard.retain(|&(_, since)| now - since <= HEARSAY);
            self.heard.push((told[0].into(), now));
        }
        Some(told[0])
    }

    /// Asks for all that it has not told yet, and waits until it has.
    pub fn tells_all(&mut self, mut each: impl FnMut(i32)) {
        if net::send(self.number(), &[NO_MORE], &[]).is_err() {
            return;
        }
        loop {
            let mut list = [net::Wait::readable(self.number())];
            if !matches!(net::wait(&mut list, Some(TURN)), Ok(1)) {
                return;
            }
            match self.word() {
                Some(NO_MORE) | None => return,
                Some(number) => each(number.into()),
            }
        }
    }

    /// Did it get this signal too? Waits a moment for its word.
    pub fn saw(&mut self, number: i32) -> bool {
        let end = process::clock(libc::CLOCK_MONOTONIC) + HEARSAY;
        loop {
            while self.tells().is_some() {}
            if let Some(at) = self.heard.iter().position(|&(told, since)| told == number && end - since <= 2 * HEARSAY)
            {
                self.heard.swap_remove(at);
                return true;
            }
            let left = end - process::clock(libc::CLOCK_MONOTONIC);
            let mut list = [net::Wait::readable(self.number())];
            if left <= 0 || net::wait(&mut list, Some(left)).is_err() || list[0].happened & libc::POLLHUP != 0 {
                return false;
            }
        }
    }
}

/// The witness's life: all signals are blocked, as they are in the launcher.
fn stand(socket: i32, channel: &Fd, other: &Fd) -> ! {
    // Everything but the connection and the channel; above all the launcher's end of the channel.
    let keep = [socket, channel.number()];
    let others: Vec<i32> = file::open_descriptors().unwrap_or_else(|_| [other.number()].to_vec());
    others.into_iter().filter(|fd| !keep.contains(fd)).for_each(file::close);
    let Ok(reader) = signal::reader(signal::EVERY) else { process::exit(0) };
    loop {
        let mut list = [net::Wait::readable(channel.number()), net::Wait::readable(reader.number())];
        if net::wait(&mut list, None).is_err() {
            process::exit(0);
        }
        while let Some(arrived) = signal::next(&reader) {
            if arrived.code <= 0 {
                let _ = net::send(channel.number(), &[arrived.signal as u8], &[]);
            }
        }
        if list[0].happened != 0 {
            let mut question = [0; 4];
            if matches!(net::receive(channel.number(), &mut question), Ok(received) if received.length > 0) {
                let _ = net::send(channel.number(), &[NO_MORE], &[]);
                continue;
            }
            // The launcher is gone: by its own doing, then nobody listens, or killed.
            let _ = net::send(socket, wire::ALONE, &[]);
            process::exit(0);
        }
    }
}
