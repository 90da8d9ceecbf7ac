//! Ending, and stopping, as the worker did.

use pyzy_core::wire::Outcome;
use pyzy_sys::process::Limit;
use pyzy_sys::{file, libc, process, signal};

/// Stops this process by the signal that stopped the worker, if that is stopped still; returns when it is continued.
///
/// The signal waits first, blocked, and then the worker is looked at: who continues the group after that takes
/// the waiting signal away (`kernel/signal.c`, prepare_signal), and who did before has continued the worker. SIGSTOP cannot
/// wait: there the worker is looked at first, and if it goes on before we stand still, its zygote continues us.
pub fn stop(number: i32, is_still_stopped: impl Fn() -> bool) {
    if number == libc::SIGSTOP && !is_still_stopped() {
        return;
    }
    let _ = signal::set_default(number);
    let _ = signal::send(process::id(), number);
    if !is_still_stopped() {
        let _ = signal::send(process::id(), libc::SIGCONT);
        return;
    }
    if let Ok(mask) = signal::unblock(signal::only(number)) {
        let _ = signal::set_mask(mask);
    }
}

/// Ends this process with the worker's code, or by the worker's signal.
pub fn end(outcome: Outcome, runtime: &[u8]) -> ! {
    let (number, core) = match outcome {
        Outcome::Exited(code) => process::exit(code.into()),
        Outcome::Killed { signal, core } => (signal, core),
        Outcome::Lost => process::exit(125),
    };
    if core {
        leave_small_core(runtime);
    } else {
        let _ = process::prctl(libc::PR_SET_DUMPABLE, 0);
    }
    let _ = signal::set_default(number);
    let _ = signal::send(process::id(), number);
    let _ = signal::unblock(signal::only(number));
    // As the first process of a pid namespace: signals of one's own do nothing there.
    process::exit(128 + number)
}

/// The worker left a core dump, so our status must say "core dumped" too, which takes a dump
/// (`fs/coredump.c`). It must not fall upon the worker's: it goes, as small as the kernel makes one,
/// to a directory that is swept later.
fn leave_small_core(runtime: &[u8]) {
    let mut path = runtime.to_vec();
    path.extend_from_slice(b"/dump");
    let _ = file::make_dir(&path, 0o700);
    if process::change_dir(&path).is_err() {
        let _ = process::prctl(libc::PR_SET_DUMPABLE, 0);
        return;
    }
    if let Ok(limits) = process::limits() {
        let hard = limits[libc::RLIMIT_CORE as usize].hard;
        let _ = process::set_limit(libc::RLIMIT_CORE as usize, Limit { soft: hard.min(64 * 1024), hard });
    }
}
