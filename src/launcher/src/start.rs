//! Starting a zygote behind the caller's back.
//!
//! Two forks, so that the program that this process becomes has no child it
//! does not know of; everything slow happens in `pyzy zygote`.

use alloc::vec::Vec;
use pyzy_launch::plan::{Invocation, PROGRAM};
use pyzy_sys::{file, net, process, signal};

/// How long the start waits for the caller's own run to end, nanoseconds: a cold start needs the processors itself,
/// and most scripts are over by then.
const COURTESY: i64 = 100_000_000;

/// What kind of zygote is wanted.
#[derive(Clone, Copy)]
pub struct Wish {
    /// One that makes an image and serves callers without a terminal.
    pub image: bool,
    /// Even where one is: it must be replaced.
    pub replace: bool,
}

/// Starts one; does not wait for it. A process that adopts orphans would get it for a child of its program: there it is
/// left to somebody else.
pub fn zygote(call: &Invocation, wish: Wish) {
    if process::adopts_orphans() {
        return;
    }
    let program = call.installed(PROGRAM);
    let mut argv: Vec<&[u8]> = Vec::with_capacity(call.argv.len() + 8);
    argv.extend([&b"pyzy"[..], b"zygote", b"--start", b"--own", call.own]);
    if let Some(path) = call.exec_path {
        argv.extend([&b"--exec-path"[..], path]);
    }
    for (wanted, flag) in [(wish.image, &b"--image"[..]), (wish.replace, b"--replace")] {
        if wanted {
            argv.push(flag);
        }
    }
    argv.push(b"--");
    argv.extend(call.argv);
    let caller = process::id();
    match process::fork_alone() {
        Ok(0) => {
            if let Ok(0) = process::fork_alone() {
                // A key typed at the caller's terminal is not for us, and nobody's pipe stays open meanwhile.
                let _ = signal::set_mask(signal::EVERY);
                file::open_descriptors().unwrap_or_default().into_iter().for_each(file::close);
                if let Ok(handle) = signal::process_handle(caller) {
                    let _ = net::wait(&mut [net::Wait::readable(handle.number())], Some(COURTESY));
                }
                process::exec(&program, &argv, call.environ);
            }
            process::exit(0)
        }
        Ok(child) => {
            let _ = process::wait(child);
        }
        Err(_) => {}
    }
}
