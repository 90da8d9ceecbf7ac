//! The process's own state: what must be equal, what travels, what forbids a warm run.
//!
//! Owns which facts belong to the identity. Reads `/proc/self` (`man 5 proc`)
//! and asks the kernel; a fact that cannot be read is a fallback.

use alloc::vec::Vec;
use pyzy_core::key::Identity;
use pyzy_core::reason::Reason;
use pyzy_core::start::LABEL;
use pyzy_sys::process::{LIMITS, Limit};
use pyzy_sys::{file, libc, process};

/// What the kernel knows of this process.
pub struct Facts {
    /// Lines of `/proc/self/status` that belong to the identity.
    status: Vec<u8>,
    /// File mode creation mask.
    pub umask: u32,
    /// The session has a controlling terminal.
    pub terminal: bool,
    /// Process id.
    pub pid: i32,
    /// Process group.
    pub group: i32,
    /// Session.
    pub session: i32,
    /// Limits by resource number.
    pub limits: [Limit; LIMITS],
    /// Nice value.
    pub nice: i32,
    /// Scheduling policy.
    pub policy: i32,
    /// I/O priority.
    pub io_priority: i32,
    /// What the out-of-memory killer adds.
    pub oom_score_adj: i32,
}

/// Lines of `/proc/self/status` that two processes must share: credentials, capabilities, hardening, memory nodes.
const SHARED_LINES: &[&[u8]] = &[
    b"Uid:",
    b"Gid:",
    b"Groups:",
    b"CapInh:",
    b"CapPrm:",
    b"CapEff:",
    b"CapBnd:",
    b"CapAmb:",
    b"NoNewPrivs:",
    b"Seccomp:",
    b"Seccomp_filters:",
    b"Speculation_Store_Bypass:",
    b"SpeculationIndirectBranch:",
    b"THP_enabled:",
    b"Mems_allowed:",
];

/// What `prctl(2)` tells, and a fork inherits; a kernel that does not know one says so for both.
const PROCESS_OPTIONS: [(&str, i32); 6] = [
    ("timer slack", libc::PR_GET_TIMERSLACK),
    ("securebits", libc::PR_GET_SECUREBITS),
    ("machine checks", libc::PR_MCE_KILL_GET),
    ("huge pages", libc::PR_GET_THP_DISABLE),
    ("write or execute", 66), // PR_GET_MDWE
    ("memory merge", 68),     // PR_GET_MEMORY_MERGE
];

const NAMESPACES: &[&str] =
    &["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"];

impl Facts {
    /// Gathers them, or says what forbids a warm run.
    pub fn gather() -> Result<Facts, Reason> {
        let status = file::read_file(b"/proc/self/status", 1 << 16).map_err(|_| Reason::NoProc)?;
        let line = |name: &[u8]| value_of(&status, name);
        if line(b"TracerPid:").ok_or(Reason::NoProc)? != b"0" {
            return Err(Reason::Traced);
        }
        for name in [&b"Uid:"[..], b"Gid:"] {
            let ids = line(name).ok_or(Reason::NoProc)?;
            let mut ids = ids.split(|b| b.is_ascii_whitespace());
            let first = ids.next();
            if !ids.all(|id| Some(id) == first) {
                return Err(Reason::Privileged);
            }
        }
        check_sandbox(&status)?;
        let umask = line(b"Umask:").and_then(octal).ok_or(Reason::NoProc)?;
        let terminal = has_terminal()?;
        if process::timer_is_running() {
            return Err(Reason::Timer);
        }
        if process::has_children() || process::adopts_orphans() {
            return Err(Reason::Children);
        }
        let limits = process::limits().map_err(|_| Reason::System)?;
        // A worker dies with its zygote, which takes the very setting; SIGKILL is what it would be anyway.
        if ![0, libc::SIGKILL].contains(&process::death_signal()) {
            return Err(Reason::DeathSignal);
        }
        // Real-time classes have parameters of their own and effects on everybody else.
        let policy = process::scheduler().map_err(|_| Reason::System)?;
        if ![libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE].contains(&policy) {
            return Err(Reason::Scheduling);
        }
        Ok(Facts {
            umask,
            terminal,
            pid: process::id(),
            group: process::group_of(0).map_err(|_| Reason::System)?,
            session: process::session_of(0).map_err(|_| Reason::System)?,
            limits,
            nice: process::nice().map_err(|_| Reason::System)?,
            policy,
            io_priority: process::io_priority().map_err(|_| Reason::System)?,
            oom_score_adj: process::oom_score_adj().ok_or(Reason::NoProc)?,
            status: SHARED_LINES.iter().flat_map(|name| [name, line(name).unwrap_or(b"?"), b"\n"].concat()).collect(),
        })
    }

    /// Adds what belongs to the identity.
    pub fn identify(&self, identity: &mut Identity) -> Result<(), Reason> {
        identity.add("status", &self.status);
        for name in NAMESPACES {
            let link = file::readlink(&[b"/proc/self/ns/", name.as_bytes()].concat());
            match link {
                Ok(link) => identity.add(name, &link),
                // A kernel without this kind of namespace.
                Err(pyzy_sys::Errno(libc::ENOENT)) => identity.add(name, b""),
                Err(_) => return Err(Reason::NoProc),
            }
        }
        identity.add("cgroup", &file::read_file(b"/proc/self/cgroup", 1 << 16).unwrap_or_default());
        let root = file::stat(b"/").map_err(|_| Reason::System)?;
        identity.add_numbers("root", &[root.dev, root.ino]);
        // No security module: EINVAL, an empty label.
        identity.add("label", &file::read_file(LABEL, 4096).unwrap_or_default());
        identity.add("core filter", &file::read_file(b"/proc/self/coredump_filter", 64).unwrap_or_default());
        identity.add_numbers("personality", &[process::personality() as u64]);
        for name in ["loginuid", "sessionid"] {
            identity.add(name, &file::read_file(&[b"/proc/self/", name.as_bytes()].concat(), 64).unwrap_or_default());
        }
        identity.add_numbers("memory policy", &process::memory_policy());
        identity.add_numbers("session keyring", &[process::session_keyring() as u64]);
        for (name, option) in PROCESS_OPTIONS {
            let value = process::prctl(option, 0).map_or(u64::MAX, |v| v as u64);
            identity.add_numbers(name, &[value]);
        }
        identity.add_numbers("session", &[if self.terminal { self.session as u64 } else { 0 }]);
        identity.add("kernel", &process::uname().map_err(|_| Reason::System)?);
        Ok(())
    }
}

/// Does the session have a controlling terminal? `/dev/tty` says so at once (`man 4 tty`); where it is not there, or
/// the terminal has hung up, tty_nr in `/proc/self/stat`, field 7, the fifth after the name.
fn has_terminal() -> Result<bool, Reason> {
    match file::open(b"/dev/tty", libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK, 0) {
        Ok(_) => return Ok(true),
        Err(pyzy_sys::Errno(libc::ENXIO)) => return Ok(false),
        Err(_) => {}
    }
    let stat = file::read_file(b"/proc/self/stat", 4096).map_err(|_| Reason::NoProc)?;
    let after = stat.iter().rposition(|&b| b == b')').ok_or(Reason::NoProc)?;
    let tty = stat.get(after + 2..).and_then(|rest| rest.split(|&b| b == b' ').nth(4)).ok_or(Reason::NoProc)?;
    Ok(tty != b"0")
}

/// The value of a `Name:` line, white space stripped.
fn value_of<'a>(status: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name)).map(<[u8]>::trim_ascii)
}

fn octal(text: &[u8]) -> Option<u32> {
    u32::from_str_radix(core::str::from_utf8(text).ok()?, 8).ok()
}

/// What every process in the container has came with the container (its first process has it too), and a zygote has
/// it. Any other seccomp filter could be anything; and no_new_privs is the one visible sign of a Landlock domain
/// (`man 7 landlock`), which a zygote that was started outside would not be in.
fn check_sandbox(status: &[u8]) -> Result<(), Reason> {
    let is_free = |name: &[u8]| matches!(value_of(status, name), None | Some(b"0"));
    // Kernels without CONFIG_SECCOMP have no such line.
    if is_free(b"Seccomp:") && is_free(b"NoNewPrivs:") {
        return Ok(());
    }
    let first = file::read_file(b"/proc/1/status", 1 << 16).unwrap_or_default();
    let same = |name: &[u8]| value_of(&first, name) == value_of(status, name);
    if !same(b"Seccomp:") || !same(b"Seccomp_filters:") {
        return Err(Reason::Seccomp);
    }
    if same(b"NoNewPrivs:") { Ok(()) } else { Err(Reason::NoNewPrivileges) }
}

/// The largest stack for which the kernel lays out memory as usual: it keeps at most 5/6 of the address
/// space, but an unlimited stack turns the layout around (`arch/x86/mm/mmap.c`, mmap_is_legacy).
const USUAL_STACK: u64 = 1 << 30;

/// A memory limit acts on a zygote's address space as it is, not on what a cold start would have.
pub fn check_memory_limits() -> Result<(), Reason> {
    let soft = |resource: u32| process::limit(resource as usize).map(|l| l.soft).map_err(|_| Reason::System);
    let limited = soft(libc::RLIMIT_AS)? != u64::MAX || soft(libc::RLIMIT_DATA)? != u64::MAX;
    if limited || soft(libc::RLIMIT_STACK)? > USUAL_STACK { Err(Reason::MemoryLimit) } else { Ok(()) }
}
