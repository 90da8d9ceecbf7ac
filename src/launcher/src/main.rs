//! The launcher: what `python3` on PATH is.
//!
//! It makes a plan, and either hands the script to a zygote or becomes the
//! real interpreter. Whatever goes wrong before the hand-off ends in the real
//! interpreter. No C library, no allocator that frees, one thread.
#![no_std]
#![no_main]
#![warn(missing_docs)]

extern crate alloc;

mod fork;
mod outcome;
mod record;
mod relay;
mod restore;
mod start;
mod witness;

use alloc::string::ToString;
use alloc::vec::Vec;
use pyzy_core::image;
use pyzy_core::locate::MARKER;
use pyzy_core::reason::Reason;
use pyzy_core::version;
use pyzy_launch::installation;
use pyzy_launch::plan::{self, Invocation, Plan, Warm};
use pyzy_sys::bare::{Arguments, Bump};
use pyzy_sys::{Initial, file, process};
use start::Wish;

#[global_allocator]
static ALLOCATOR: Bump = Bump::new();

pyzy_sys::start!(main);

/// Lets another copy of the launcher recognise this file; in a section of its own near the beginning.
#[used]
static MARK: [u8; MARKER.len()] = *match MARKER.first_chunk() {
    Some(mark) => mark,
    None => unreachable!(),
};

/// Lets `pyzy doctor` see which version this file is.
#[used]
static VERSION: [u8; version::MARK.len()] = *match version::MARK.as_bytes().first_chunk() {
    Some(mark) => mark,
    None => unreachable!(),
};

fn main(initial: Initial) -> ! {
    let arguments = Arguments::from_stack(initial);
    if arguments.argv.first() == Some(&image::TRIAL.as_bytes()) {
        restore::trial(&arguments)
    }
    let own = installation::running(arguments.exec_path);
    let call = Invocation {
        argv: &arguments.argv,
        environ: &arguments.environ,
        exec_path: arguments.exec_path,
        own: &own,
        secure: arguments.secure,
    };
    let plan = match plan::plan(&call) {
        Ok(plan) => plan,
        Err(error) => fail(&error.to_string(), error.exit_code()),
    };
    let reason = match &plan.warm {
        Ok(warm) => warm_run(&arguments, &call, &plan, warm),
        Err(reason) => *reason,
    };
    record::fallback(&call, reason);
    exec(&call, &plan)
}

/// Tries the engines, one after the other; comes back with the last one's reason.
fn warm_run(arguments: &Arguments, call: &Invocation, plan: &Plan, warm: &Warm) -> Reason {
    let mut reason = Reason::EngineOff;
    let mut asked = false;
    if warm.engines.restore {
        reason = restore::run(arguments, call, plan, warm, || start::zygote(call, Wish { image: true, replace: true }));
        match restore::ask_for_image(call, warm, reason) {
            Ok(()) => asked = true,
            Err(why) => reason = why,
        }
    }
    if warm.engines.fork {
        reason = match warm.forked(false) {
            Ok(forked) => fork::run(call, plan, warm, &forked, asked),
            Err(reason) => reason,
        };
    }
    reason
}

/// Becomes the real interpreter.
fn exec(call: &Invocation, plan: &Plan) -> ! {
    let mut argv: Vec<&[u8]> = Vec::with_capacity(call.argv.len().max(1));
    argv.push(&plan.found.argv0);
    argv.extend(call.argv.iter().skip(1));
    let environ: Vec<&[u8]> = plan.environ.iter().map(|e| &e[..]).collect();
    let error = process::exec(&plan.found.file, &argv, &environ);
    let name = alloc::string::String::from_utf8_lossy(&plan.found.file);
    fail(&alloc::format!("pyzy: cannot run '{name}': {error}\n"), 126)
}

/// The one case in which there is nothing to run: says so, as a shell would, and ends.
fn fail(text: &str, code: i32) -> ! {
    let _ = file::write(2, text.as_bytes());
    if !text.ends_with('\n') {
        let _ = file::write(2, b"\n");
    }
    process::exit(code)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // Before the hand-off a panic is a bug that must not pass for success.
    process::exit(125)
}
