//! Every environment variable that pyzy reads, and the start-up environment.
//!
//! Owns the names; `docs/environment.md` has the same list for people, and a
//! test compares the two. Values are bytes, as the kernel hands them over.

/// A variable of pyzy's own, with one line for people.
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// What it does.
    pub text: &'static str,
}

/// `PYZY_DISABLE`: any value but empty or `0` runs the real interpreter, before anything else is looked at.
pub const DISABLE: &str = "PYZY_DISABLE";
/// `PYZY_ENGINE`: `restore` or `fork` alone, or `off`; by default restore is tried first, then fork.
pub const ENGINE: &str = "PYZY_ENGINE";
/// `PYZY_LOG`: a file that gets one line a run.
pub const LOG: &str = "PYZY_LOG";
/// `PYZY_PYTHON`: the real interpreter.
pub const PYTHON: &str = "PYZY_PYTHON";
/// `PYZY_SOCKET`: the zygote's socket.
pub const SOCKET: &str = "PYZY_SOCKET";
/// `PYZY_MAX_IDLE_SECS`: seconds without a caller after which a zygote leaves.
pub const MAX_IDLE_SECS: &str = "PYZY_MAX_IDLE_SECS";
/// `PYZY_IMAGE_SECS`: seconds after which an image is replaced.
pub const IMAGE_SECS: &str = "PYZY_IMAGE_SECS";
/// `PYZY_IMAGE_RUNS`: runs after which an image is replaced.
pub const IMAGE_RUNS: &str = "PYZY_IMAGE_RUNS";
/// `PYZY_IMAGE_MB`: how much disk all images of a user may take, megabytes.
pub const IMAGE_MB: &str = "PYZY_IMAGE_MB";
/// `PYZY_DEBUGGABLE`: any value but empty or 0 maps code from the interpreter's and libraries' own files, where debuggers
/// and profilers look for symbols; a run takes about a quarter longer.
pub const DEBUGGABLE: &str = "PYZY_DEBUGGABLE";
/// `PYZY_PRELOAD`: which modules are kept warm, a list as [`crate::preload`] reads it.
pub const PRELOAD: &str = "PYZY_PRELOAD";
/// `PYZY_LEARNED_MB`: how much memory modules that were learned may take in a zygote, megabytes.
pub const LEARNED_MB: &str = "PYZY_LEARNED_MB";
/// `PYZY_CACHE_SCRIPT`: any value but empty or 0 gives a script a zygote of its own, with its imports warm.
pub const CACHE_SCRIPT: &str = "PYZY_CACHE_SCRIPT";
/// `PYZY_COMPILE`: any value but empty or 0 has each run compile its script, whatever is kept; `wait` has each run wait until
/// its script is kept, for tests.
pub const COMPILE: &str = "PYZY_COMPILE";
/// `PYZY_LOOP`: set across an exec of another tool's shim, so that being called back is noticed.
pub const LOOP: &str = "PYZY_LOOP";

/// All of them, in the order of the documentation.
pub const ALL: &[Variable] = &[
    Variable { name: DISABLE, text: "any value but empty or 0: run the real interpreter, look at nothing else" },
    Variable { name: ENGINE, text: "restore, fork or off (restore first, then fork)" },
    Variable { name: LOG, text: "append one line a run to this file" },
    Variable { name: PYTHON, text: "the real interpreter, a path or a name on PATH" },
    Variable { name: SOCKET, text: "use the zygote on this socket, and start it there" },
    Variable { name: MAX_IDLE_SECS, text: "seconds without a caller after which a zygote leaves (600)" },
    Variable { name: IMAGE_SECS, text: "seconds after which an image is replaced (3600)" },
    Variable { name: IMAGE_RUNS, text: "runs after which an image is replaced (100000)" },
    Variable { name: IMAGE_MB, text: "megabytes that all images of a user may take (1024)" },
    Variable { name: DEBUGGABLE, text: "any value but empty or 0: restored code shows its own files to debuggers" },
    Variable {
        name: PRELOAD,
        text: "modules to keep warm, between commas; stdlib: a part of the standard library (none)",
    },
    Variable { name: LEARNED_MB, text: "megabytes that learned modules may take in a zygote (64)" },
    Variable {
        name: CACHE_SCRIPT,
        text: "any value but empty or 0: a zygote for this script alone, with its own imports warm",
    },
    Variable {
        name: COMPILE,
        text: "any value but empty or 0: each run compiles its script anew (wait: waits until it is kept, for tests)",
    },
    Variable { name: LOOP, text: "internal: marks a call that went through another tool's shim" },
];

/// Is a switch on: any value but empty or `0`?
pub fn is_on(environ: &[&[u8]], name: &str) -> bool {
    get_nonempty(environ, name).is_some_and(|value| value != b"0")
}

/// Seconds a zygote waits for a caller before it leaves.
pub const DEFAULT_MAX_IDLE_SECS: u64 = 600;

/// Seconds after which an image is replaced.
pub const DEFAULT_IMAGE_SECS: u64 = 3600;

/// Runs after which an image is replaced.
pub const DEFAULT_IMAGE_RUNS: u64 = 100_000;

/// Megabytes that learned modules may take in a zygote.
pub const DEFAULT_LEARNED_MB: u64 = 64;

/// Megabytes that all images of a user may take.
pub const DEFAULT_IMAGE_MB: u64 = 1024;

/// Prefixes of variables that an interpreter, the C library or the dynamic
/// loader reads while starting (CPython `Python/preconfig.c`,
/// `Python/initconfig.c`, `Modules/getpath.py`, `Lib/site.py`; `man 8 ld.so`,
/// `man 3 mallopt`, `man 3 setlocale`).
pub const STARTUP_PREFIXES: &[&str] = &["PYTHON", "_PYTHON", "LC_", "LD_", "MALLOC_"];

/// Whole names that belong to the start-up environment.
pub const STARTUP_NAMES: &[&str] = &[
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LOCPATH",
    "NLSPATH",
    "SETUPTOOLS_USE_DISTUTILS",
    "TZ",
    "TZDIR",
];

/// Does this `NAME=value` entry belong to the start-up environment?
pub fn is_startup(entry: &[u8]) -> bool {
    let name = name_of(entry);
    STARTUP_PREFIXES.iter().any(|p| name.starts_with(p.as_bytes()))
        || STARTUP_NAMES.iter().any(|n| n.as_bytes() == name)
}

/// The name in a `NAME=value` entry; an entry without `=` is all name.
pub fn name_of(entry: &[u8]) -> &[u8] {
    entry.iter().position(|&b| b == b'=').map_or(entry, |at| &entry[..at])
}

/// The value of a variable: the first entry with that name, as `getenv` does.
pub fn get<'a>(environ: &[&'a [u8]], name: &str) -> Option<&'a [u8]> {
    environ.iter().find_map(|e| e.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The value of a variable, unless it is empty.
pub fn get_nonempty<'a>(environ: &[&'a [u8]], name: &str) -> Option<&'a [u8]> {
    get(environ, name).filter(|v| !v.is_empty())
}
