//! This process and its children: identity, limits, fork, exec, exit.

use crate::arch::syscall;
use crate::{Errno, Result, check, with_path};
use alloc::vec::Vec;

/// A system call that takes numbers only.
fn plain(number: i64, args: [usize; 4]) -> Result<usize> {
    // SAFETY: the calls made through here take no pointers (or null ones).
    check(unsafe { syscall(number, [args[0], args[1], args[2], args[3], 0, 0]) })
}

/// `getpid(2)`.
pub fn id() -> i32 {
    plain(libc::SYS_getpid, [0; 4]).unwrap_or(0) as i32
}

/// `getppid(2)`.
pub fn parent_id() -> i32 {
    plain(libc::SYS_getppid, [0; 4]).unwrap_or(0) as i32
}

/// `getpgid(2)`; 0 means this process.
pub fn group_of(pid: i32) -> Result<i32> {
    plain(libc::SYS_getpgid, [pid as usize, 0, 0, 0]).map(|v| v as i32)
}

/// `getsid(2)`; 0 means this process.
pub fn session_of(pid: i32) -> Result<i32> {
    plain(libc::SYS_getsid, [pid as usize, 0, 0, 0]).map(|v| v as i32)
}

/// `setsid(2)`.
pub fn new_session() -> Result<i32> {
    plain(libc::SYS_setsid, [0; 4]).map(|v| v as i32)
}

/// `setpgid(2)`.
pub fn set_group(pid: i32, group: i32) -> Result<()> {
    plain(libc::SYS_setpgid, [pid as usize, group as usize, 0, 0]).map(drop)
}

/// `geteuid(2)`.
pub fn effective_user() -> u32 {
    plain(libc::SYS_geteuid, [0; 4]).unwrap_or(0) as u32
}

/// `prctl(2)` with numbers.
pub fn prctl(option: i32, argument: usize) -> Result<usize> {
    plain(libc::SYS_prctl, [option as usize, argument, 0, 0])
}

/// The command name of this thread: 15 bytes at most (`PR_GET_NAME`).
pub fn name() -> [u8; 16] {
    let mut name = [0u8; 16];
    let _ = prctl(libc::PR_GET_NAME, name.as_mut_ptr() as usize);
    name
}

/// Sets the command name of this thread (`PR_SET_NAME`).
pub fn set_name(name: &[u8; 16]) {
    let _ = prctl(libc::PR_SET_NAME, name.as_ptr() as usize);
}

/// A resource's soft and hard limit (`man 2 getrlimit`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Limit {
    /// The limit in force.
    pub soft: u64,
    /// What the soft one may be raised to.
    pub hard: u64,
}

/// How many resources there are (`RLIM_NLIMITS`, the same on every architecture).
pub const LIMITS: usize = 16;

/// One limit of this process.
pub fn limit(resource: usize) -> Result<Limit> {
    let mut limit = Limit::default();
    let at = &mut limit as *mut Limit as usize;
    // SAFETY: `Limit` has the layout of the kernel's `struct rlimit64`.
    check(unsafe { syscall(libc::SYS_prlimit64, [0, resource, 0, at, 0, 0]) })?;
    Ok(limit)
}

/// All limits of this process, by resource number.
pub fn limits() -> Result<[Limit; LIMITS]> {
    let mut all = [Limit::default(); LIMITS];
    for (resource, one) in all.iter_mut().enumerate() {
        *one = limit(resource)?;
    }
    Ok(all)
}

/// Sets one limit of this process.
pub fn set_limit(resource: usize, limit: Limit) -> Result<()> {
    let at = &limit as *const Limit as usize;
    // SAFETY: `Limit` has the layout of the kernel's `struct rlimit64`.
    check(unsafe { syscall(libc::SYS_prlimit64, [0, resource, at, 0, 0, 0]) }).map(drop)
}

/// Is an interval timer of this process running (`man 2 getitimer`)? Timers survive an exec, not a fork.
pub fn timer_is_running() -> bool {
    (0..3).any(|which| {
        let mut value = [0i64; 4];
        // SAFETY: `struct itimerval` is four longs.
        let got = unsafe { syscall(libc::SYS_getitimer, [which, value.as_mut_ptr() as usize, 0, 0, 0, 0]) };
        got == 0 && (value[2] != 0 || value[3] != 0)
    })
}

/// Does this process have children (`man 2 waitid`)? They stay over an exec, not over a fork.
pub fn has_children() -> bool {
    const P_ALL: usize = 0;
    let options = (libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL) as usize;
    // SAFETY: no information is asked for.
    unsafe { syscall(libc::SYS_waitid, [P_ALL, 0, 0, options, 0, 0]) == 0 }
}

/// Will this process get the orphans among its descendants: as the first process of a namespace, or by
/// PR_SET_CHILD_SUBREAPER (`man 2 prctl`)?
pub fn adopts_orphans() -> bool {
    let mut adopts = 0i32;
    let _ = prctl(libc::PR_GET_CHILD_SUBREAPER, &mut adopts as *mut i32 as usize);
    adopts != 0 || id() == 1
}

/// The CPUs this process may run on: the kernel's mask, as many bytes as it has.
pub fn affinity() -> Result<Vec<u8>> {
    let mut mask = alloc::vec![0u8; 1024];
    // SAFETY: the buffer is writable for its length.
    let got =
        check(unsafe { syscall(libc::SYS_sched_getaffinity, [0, mask.len(), mask.as_mut_ptr() as usize, 0, 0, 0]) })?;
    mask.truncate(got);
    Ok(mask)
}

/// Sets the CPUs this process may run on.
pub fn set_affinity(mask: &[u8]) -> Result<()> {
    // SAFETY: the buffer is readable for its length.
    check(unsafe { syscall(libc::SYS_sched_setaffinity, [0, mask.len(), mask.as_ptr() as usize, 0, 0, 0]) }).map(drop)
}

/// The scheduling policy (`SCHED_OTHER` = 0 …).
pub fn scheduler() -> Result<i32> {
    plain(libc::SYS_sched_getscheduler, [0; 4]).map(|v| v as i32)
}

/// The nice value. The raw call gives 20 − nice (`man 2 getpriority`).
pub fn nice() -> Result<i32> {
    plain(libc::SYS_getpriority, [libc::PRIO_PROCESS as usize, 0, 0, 0]).map(|v| 20 - v as i32)
}

/// The I/O priority of this process (`man 2 ioprio_get`).
pub fn io_priority() -> Result<i32> {
    plain(libc::SYS_ioprio_get, [1, 0, 0, 0]).map(|v| v as i32)
}

/// Sets the nice value; lowering it needs a privilege.
pub fn set_nice(nice: i32) -> Result<()> {
    plain(libc::SYS_setpriority, [libc::PRIO_PROCESS as usize, 0, nice as usize, 0]).map(drop)
}

/// Sets a scheduling policy that has no parameters.
pub fn set_scheduler(policy: i32) -> Result<()> {
    let parameter = 0i32;
    let at = &parameter as *const i32 as usize;
    // SAFETY: `struct sched_param` is one int.
    check(unsafe { syscall(libc::SYS_sched_setscheduler, [0, policy as usize, at, 0, 0, 0]) }).map(drop)
}

/// Sets the I/O priority of this process.
pub fn set_io_priority(priority: i32) -> Result<()> {
    plain(libc::SYS_ioprio_set, [1, 0, priority as usize, 0]).map(drop)
}

/// What is added to this process's badness when memory runs out (`/proc/self/oom_score_adj`).
pub fn oom_score_adj() -> Option<i32> {
    let text = crate::file::read_file(b"/proc/self/oom_score_adj", 16).ok()?;
    core::str::from_utf8(&text).ok()?.trim().parse().ok()
}

/// Sets it; lowering it below what it was needs a privilege.
pub fn set_oom_score_adj(value: i32) -> Result<()> {
    let fd = crate::file::open(b"/proc/self/oom_score_adj", libc::O_WRONLY, 0)?;
    crate::file::write(fd.number(), alloc::format!("{value}").as_bytes()).map(drop)
}

/// The execution domain (`man 2 personality`), for example without address randomisation.
pub fn personality() -> u32 {
    plain(libc::SYS_personality, [0xffff_ffff, 0, 0, 0]).unwrap_or(0) as u32
}

/// Sets the execution domain; some of it takes effect with the next exec only.
pub fn set_personality(personality: u32) -> Result<()> {
    plain(libc::SYS_personality, [personality as usize, 0, 0, 0]).map(drop)
}

/// The NUMA policy of this thread: mode and first nodes (`man 2 get_mempolicy`); all ones without NUMA.
pub fn memory_policy() -> [u64; 17] {
    let mut policy = [u64::MAX; 17];
    let mut mode = 0i32;
    let nodes = &mut policy[1..] as *mut [u64] as *mut u64 as usize;
    // SAFETY: an int and a mask of 1024 bits, as the third argument says.
    let got = unsafe { syscall(libc::SYS_get_mempolicy, [&mut mode as *mut i32 as usize, nodes, 1024, 0, 0, 0]) };
    if got == 0 {
        policy[0] = mode as u64;
    }
    policy
}

/// The serial number of the session keyring (`man 7 session-keyring`), negative without one.
pub fn session_keyring() -> i32 {
    const GET_KEYRING_ID: usize = 0;
    const SESSION: usize = -3isize as usize;
    plain(libc::SYS_keyctl, [GET_KEYRING_ID, SESSION, 0, 0]).map_or(-1, |id| id as i32)
}

/// The state letter of a process in `/proc/PID/stat` (`man 5 proc_pid_stat`): `R`, `S`, `T` …
pub fn state(pid: i32) -> Option<u8> {
    status(pid)?.get(2).copied()
}

/// The parent of a process, from the same.
pub fn parent_of(pid: i32) -> Option<i32> {
    let status = status(pid)?;
    core::str::from_utf8(status.get(4..)?.split(|&b| b == b' ').next()?).ok()?.parse().ok()
}

/// What stands there behind the number and the name, from the parenthesis on.
fn status(pid: i32) -> Option<alloc::vec::Vec<u8>> {
    let mut stat = crate::file::read_file(alloc::format!("/proc/{pid}/stat").as_bytes(), 4096).ok()?;
    let name_end = stat.iter().rposition(|&b| b == b')')?;
    Some(stat.split_off(name_end))
}

/// The members of a process group that `/proc` shows.
pub fn members_of(group: i32) -> impl Iterator<Item = i32> {
    let names = crate::file::list(b"/proc").unwrap_or_default().into_iter();
    let numbers = names.filter_map(|name| core::str::from_utf8(&name).ok()?.parse::<i32>().ok());
    numbers.filter(move |&pid| group_of(pid) == Ok(group))
}

/// Is a group orphaned: has no member a parent in the same session and in another group (`kernel/exit.c`,
/// will_become_orphaned_pgrp)? Nobody is there to continue it then. `keeper` is a parent that does not count.
pub fn is_orphaned(group: i32, keeper: i32) -> bool {
    let is_kept = |pid: i32| {
        let parent = parent_of(pid).filter(|&parent| parent != keeper);
        parent.is_some_and(|parent| {
            let same_session = session_of(parent).is_ok_and(|session| session_of(pid) == Ok(session));
            same_session && group_of(parent).is_ok_and(|other| other != group)
        })
    };
    // Of a group that is not to be seen nothing is known.
    let mut members = members_of(group).peekable();
    members.peek().is_some() && !members.any(is_kept)
}

/// The signal this process gets when its parent dies; 0 for none (`PR_GET_PDEATHSIG`).
pub fn death_signal() -> i32 {
    let mut signal = 0i32;
    let _ = prctl(libc::PR_GET_PDEATHSIG, &mut signal as *mut i32 as usize);
    signal
}

/// The kernel's names: sysname, nodename, release, version, machine (`man 2 uname`).
pub fn uname() -> Result<[u8; 390]> {
    let mut names = [0u8; 390];
    // SAFETY: `struct new_utsname` is six fields of 65 bytes.
    check(unsafe { syscall(libc::SYS_uname, [names.as_mut_ptr() as usize, 0, 0, 0, 0, 0]) })?;
    Ok(names)
}

/// A clock's time in nanoseconds.
pub fn clock(clock: i32) -> i64 {
    let mut time = [0i64; 2];
    // SAFETY: `struct timespec` is two longs here.
    unsafe { syscall(libc::SYS_clock_gettime, [clock as usize, time.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    time[0] * 1_000_000_000 + time[1]
}

/// A private anonymous mapping of `length` bytes.
pub fn map_anonymous(length: usize) -> Result<*mut u8> {
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    // SAFETY: a fresh mapping disturbs nobody.
    check(unsafe { syscall(libc::SYS_mmap, [0, length, protection, flags, usize::MAX, 0]) }).map(|p| p as *mut u8)
}

/// `fork`, raw: 0 in the child. Only for programs without a C library (which
/// would want to know), or for children that do nothing but exec or exit.
///
/// # Safety
/// No other thread may hold anything the child needs.
pub unsafe fn fork() -> Result<i32> {
    // SAFETY: by the caller's promise; no stack or pointers are passed.
    check(unsafe { syscall(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]) }).map(|pid| pid as i32)
}

/// `fork` for a program that has one thread and no C library.
#[cfg(feature = "bare")]
pub fn fork_alone() -> Result<i32> {
    // SAFETY: one thread, and no C library that would want to know.
    unsafe { fork() }
}

/// Waits for one child to end, again after EINTR.
pub fn wait(pid: i32) -> Result<i32> {
    let mut status = 0i32;
    loop {
        let at = &mut status as *mut i32 as usize;
        // SAFETY: `status` is writable.
        match check(unsafe { syscall(libc::SYS_wait4, [pid as usize, at, 0, 0, 0, 0]) }) {
            Err(Errno(libc::EINTR)) => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(status),
        }
    }
}

/// `execve(2)`; returns only on failure.
pub fn exec(file: &[u8], argv: &[&[u8]], environ: &[&[u8]]) -> Errno {
    let (argv, environ) = (Pointers::new(argv), Pointers::new(environ));
    let result = with_path(file, |p| {
        // SAFETY: NUL-terminated strings in null-terminated arrays that outlive the call.
        check(unsafe {
            syscall(
                libc::SYS_execve,
                [p as usize, argv.table.as_ptr() as usize, environ.table.as_ptr() as usize, 0, 0, 0],
            )
        })
    });
    result.err().unwrap_or(Errno(libc::EINVAL))
}

/// Byte strings as the kernel wants them: one block, and a null-terminated table into it.
struct Pointers {
    _block: Vec<u8>,
    table: Vec<usize>,
}

impl Pointers {
    fn new(strings: &[&[u8]]) -> Pointers {
        let mut block = Vec::with_capacity(strings.iter().map(|s| s.len() + 1).sum());
        let mut table = Vec::with_capacity(strings.len() + 1);
        for string in strings {
            table.push(block.as_ptr() as usize + block.len());
            block.extend_from_slice(string);
            block.push(0);
        }
        table.push(0);
        Pointers { _block: block, table }
    }
}

/// Ends the process.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { syscall(libc::SYS_exit_group, [code as usize, 0, 0, 0, 0, 0]) };
    }
}

/// `chdir(2)`.
pub fn change_dir(path: &[u8]) -> Result<()> {
    with_path(path, |p| {
        // SAFETY: `p` is NUL-terminated.
        check(unsafe { syscall(libc::SYS_chdir, [p as usize, 0, 0, 0, 0, 0]) }).map(drop)
    })
}
