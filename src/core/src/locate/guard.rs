//! The guard against being called in a circle.
//!
//! Another tool's shim that we exec may search PATH and find us again (pyenv's `system` does). So
//! PYZY_LOOP goes along: `PID.START:DEPTH:KIND/path:KIND/path…`. An exec keeps the process, so when
//! the pid and the start time are ours we are in the circle, and the shims listed are not candidates
//! any more. When they are not, somebody's child calls python3 in his own right; only the depth stops
//! shims that fork in a circle.

use alloc::vec::Vec;

use super::World;
use crate::vars;

/// How many foreign shims may stand between a process and its ancestors.
const MAX_DEPTH: u32 = 24;

/// Whose shim it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// pyenv's: none of them is asked twice, since they all decide alike.
    Pyenv,
    /// Anybody else's: this one is not asked twice.
    Other,
}

impl Whose {
    fn letter(self) -> u8 {
        match self {
            Whose::Pyenv => b'p',
            Whose::Other => b'o',
        }
    }
}

/// May a shim be executed?
#[derive(Debug, PartialEq, Eq)]
pub enum Pass {
    /// Yes, with this value of PYZY_LOOP.
    Enter(Vec<u8>),
    /// It has called us: look further.
    Skip,
    /// Too deep: a circle that the list does not show.
    TooDeep,
}

/// What PYZY_LOOP said when we were called.
#[derive(Debug)]
pub struct Guard<'a> {
    /// PYZY_LOOP is in the environment, and has to leave it.
    pub present: bool,
    /// The value comes from this very process.
    again: bool,
    depth: u32,
    visited: &'a [u8],
}

impl<'a> Guard<'a> {
    /// Read the variable; a value that is not ours counts for nothing.
    pub fn read<W: World>(world: &W, environ: &[&'a [u8]]) -> Guard<'a> {
        let Some(value) = vars::get(environ, vars::LOOP) else {
            return Guard { present: false, again: false, depth: 0, visited: b"" };
        };
        let mut parts = value.splitn(3, |&b| b == b':');
        let (process, depth) = (parts.next().unwrap_or(b""), parts.next().unwrap_or(b""));
        Guard {
            present: true,
            again: !process.is_empty() && this_process(world).is_some_and(|p| p == process),
            depth: number(depth).unwrap_or(0),
            visited: parts.next().unwrap_or(b""),
        }
    }

    /// A shim has called us back by exec.
    pub fn is_reentry(&self) -> bool {
        self.again
    }

    /// Ask before a foreign shim is executed.
    pub fn pass<W: World>(&self, world: &W, path: &[u8], whose: Whose) -> Pass {
        if self.skips(path, whose) {
            return Pass::Skip;
        }
        if self.depth >= MAX_DEPTH {
            return Pass::TooDeep;
        }
        let mut value = this_process(world).unwrap_or_default();
        value.push(b':');
        push_number(&mut value, self.depth + 1);
        if self.again && !self.visited.is_empty() {
            value.push(b':');
            value.extend_from_slice(self.visited);
        }
        value.push(b':');
        value.push(whose.letter());
        value.extend_from_slice(path);
        Pass::Enter(value)
    }

    /// Has this shim called us?
    pub fn skips(&self, path: &[u8], whose: Whose) -> bool {
        self.again
            && self.visited.split(|&b| b == b':').any(|entry| match entry.split_first() {
                Some((&letter, _)) if whose == Whose::Pyenv && letter == Whose::Pyenv.letter() => true,
                Some((_, visited)) => visited == path,
                None => false,
            })
    }
}

/// `PID.START` of this process: a pid may come again, but not with the same start time (`man 5 proc_pid_stat`).
fn this_process<W: World>(world: &W) -> Option<Vec<u8>> {
    const START_AFTER_COMM: usize = 19;
    let text = world.read(b"/proc/self/stat", 1024).ok()?;
    let pid = text.split(|&b| b == b' ').next()?;
    // The second field, the name, may hold blanks and brackets.
    let rest = &text[text.iter().rposition(|&b| b == b')')? + 1..];
    let start = rest.trim_ascii_start().split(|&b| b == b' ').nth(START_AFTER_COMM)?;
    let digits = |s: &[u8]| !s.is_empty() && s.iter().all(u8::is_ascii_digit);
    (digits(pid) && digits(start)).then(|| [pid, b".", start].concat())
}

fn number(text: &[u8]) -> Option<u32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Decimal digits, without the formatting machinery.
pub fn push_number(out: &mut Vec<u8>, mut n: u32) {
    let at = out.len();
    loop {
        out.insert(at, b'0' + (n % 10) as u8);
        n /= 10;
        if n == 0 {
            break;
        }
    }
}
