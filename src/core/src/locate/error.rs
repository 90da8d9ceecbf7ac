//! The search has failed: what was looked for, and the cure.

use alloc::string::String;
use alloc::vec::Vec;

use super::{EACCES, Errno};

/// Why there is no interpreter to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocateError {
    /// Nothing on PATH has this name, but for us.
    NotFound {
        /// The name that was looked for.
        name: Vec<u8>,
        /// A file of that name that we may not execute.
        denied: Option<Vec<u8>>,
    },
    /// PYZY_PYTHON names something that cannot be run.
    BadVariable {
        /// Its value.
        value: Vec<u8>,
        /// What the kernel says about it.
        errno: Errno,
    },
    /// `.pyzy-shims` names something that cannot be run.
    BadPin {
        /// The directory of shims.
        dir: Vec<u8>,
        /// The interpreter it names.
        real: Vec<u8>,
        /// What the kernel says about it.
        errno: Errno,
    },
    /// Another tool's shim calls us back, and there is nothing else to run.
    Loop {
        /// The name that was looked for.
        name: Vec<u8>,
        /// The shim that calls us.
        wrapper: Vec<u8>,
    },
}

impl LocateError {
    /// What a shell would end with: 126 for a file that cannot be executed, 127 for one that is not there.
    pub fn exit_code(&self) -> i32 {
        match self {
            LocateError::NotFound { denied: Some(_), .. } => 126,
            LocateError::BadVariable { errno, .. } | LocateError::BadPin { errno, .. } if *errno == EACCES => 126,
            _ => 127,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cause(errno: Errno) -> &'static str {
    match errno {
        2 => "no such file",
        13 => "permission denied",
        20 => "a part of the path is not a directory",
        36 => "the name is too long",
        40 => "too many symbolic links",
        _ => "it cannot be executed",
    }
}

impl core::fmt::Display for LocateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            LocateError::NotFound { name, denied: None } => write!(
                f,
                "cannot find '{0}': nothing on PATH has this name but pyzy\n\
                 hint: put the directory of the real {0} on PATH, or set PYZY_PYTHON to its path",
                text(name)
            ),
            LocateError::NotFound { name, denied: Some(file) } => {
                write!(f, "cannot run '{}': '{}': permission denied", text(name), text(file))
            }
            LocateError::BadVariable { value, errno } => write!(
                f,
                "cannot run '{}', named by PYZY_PYTHON: {}\n\
                 hint: set PYZY_PYTHON to the path of an interpreter, or unset it",
                text(value),
                cause(*errno)
            ),
            LocateError::BadPin { dir, real, errno } => write!(
                f,
                "cannot run '{}', named by '{dir}/.pyzy-shims': {}\n\
                 hint: run `pyzy shims {dir} --python PATH` with the path of an interpreter",
                text(real),
                cause(*errno),
                dir = text(dir)
            ),
            LocateError::Loop { name, wrapper } => write!(
                f,
                "cannot find '{name}': '{wrapper}' calls pyzy, which would call it again\n\
                 hint: set PYZY_PYTHON to the path of the real {name}, or put its directory on PATH",
                name = text(name),
                wrapper = text(wrapper)
            ),
        }
    }
}
