//! What can go wrong in the command, said in one voice.
//!
//! Owns the sum of the rooms' own errors, the phrase for a system's error, and
//! which of them are wrong command lines. Each room has its own type.

use super::{args, env, interpreter, notes, place, preload, shims, stop, why};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A system call that failed, and on what.
#[derive(Debug)]
pub struct Io {
    /// After "cannot": `read`, `remove`…
    pub verb: &'static str,
    pub path: PathBuf,
    pub error: io::Error,
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} '{}': {}", self.verb, self.path.display(), cause(&self.error))
    }
}

macro_rules! failures {
    ($($variant:ident($room:ty)),* $(,)?) => {
        /// Any failure of the command.
        #[derive(Debug)]
        pub enum Failure { $($variant($room),)* }

        $(impl From<$room> for Failure {
            fn from(error: $room) -> Failure { Failure::$variant(error) }
        })*

        impl fmt::Display for Failure {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Failure::$variant(error) => error.fmt(f),)* }
            }
        }
    };
}

failures! {
    Usage(args::Usage),
    Io(Io),
    Place(place::Error),
    Interpreter(interpreter::Error),
    Notes(notes::Error),
    Shims(shims::Error),
    Stop(stop::Error),
    Env(env::Error),
    Why(why::Error),
    Preload(preload::Error),
}

impl Failure {
    /// What the user can do, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Failure::Usage(e) => e.hint(),
            Failure::Place(e) => e.hint(),
            Failure::Interpreter(e) => e.hint(),
            Failure::Shims(e) => e.hint(),
            Failure::Stop(e) => e.hint(),
            Failure::Env(e) => e.hint(),
            Failure::Why(e) => e.hint(),
            Failure::Preload(e) => e.hint(),
            Failure::Io(_) | Failure::Notes(_) => None,
        }
    }

    /// Was the command line wrong, rather than the world?
    pub fn is_usage(&self) -> bool {
        matches!(self, Failure::Usage(_))
    }
}

/// For `map_err`: names the verb and the path.
pub fn io(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Io {
    move |error| Io { verb, path: path.into(), error }
}

/// The system's phrase in lower case, without "(os error 2)".
pub fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}
