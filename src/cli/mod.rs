//! The subcommands of `pyzy`, a file each, and what they share.
//!
//! Owns the dispatch, the report that a subcommand hands back and the one
//! place that prints. A subcommand never prints by itself: what it has to say
//! is one write, so that a reader who closes the pipe early cannot leave its
//! work half done (std ignores SIGPIPE; EPIPE here is no error).

pub mod args;
pub mod world;

mod doctor;
mod doctor_path;
mod env;
mod failure;
mod help;
mod images;
mod interpreter;
mod json;
mod learned;
mod notes;
mod place;
mod preload;
mod proc;
mod shims;
mod shims_remove;
mod show;
mod stats;
mod status;
mod stop;
mod table;
mod venv;
mod why;
mod zygotes;

use args::Command;
use failure::Failure;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use world::World;

/// What a subcommand has to say.
pub struct Report {
    /// For standard output.
    text: Vec<u8>,
    /// It ran, and the answer is "no": exit code 1.
    negative: bool,
}

impl Report {
    fn good(text: impl Into<Vec<u8>>) -> Report {
        Report { text: text.into(), negative: false }
    }
}

/// Does what a command line says.
pub fn run(command: Command, world: &World) -> Result<Report, Failure> {
    match command {
        Command::Help(topic) => Ok(Report::good(help::text(topic))),
        Command::Version => Ok(Report::good(format!("pyzy {}\n", pyzy_core::version::VERSION))),
        Command::Status { json } => status::run(world, json),
        Command::Stop { json, targets } => stop::run(world, json, &targets),
        Command::Stats { json, reset } => stats::run(world, json, reset),
        Command::Why { json, modules, line } => why::run(world, json, modules, &line),
        Command::Doctor { json } => doctor::run(world, json),
        Command::Shims { dir, python } => shims::run(world, &dir, python.as_deref()),
        Command::ShimsRemove { dir } => shims_remove::run(world, &dir),
        Command::Env { dir, shell } => env::run(world, dir.as_deref(), shell),
        Command::Preload { json, change, names } => preload::run(world, json, change, &names),
        Command::Learned { json } => learned::list(world, json),
        Command::Forget => learned::forget(world),
        Command::Zygote(_) => unreachable!("main keeps this one to itself"),
    }
}

/// Prints a report or a failure, and gives the exit code: 0, 1 for "no" or a failure, 2 for a wrong command line.
pub fn print(result: Result<Report, Failure>) -> ExitCode {
    match result {
        Ok(report) => {
            let mut stdout = std::io::stdout().lock();
            match stdout.write_all(&report.text).and_then(|()| stdout.flush()) {
                Ok(()) => ExitCode::from(u8::from(report.negative)),
                Err(e) if e.kind() == ErrorKind::BrokenPipe => ExitCode::from(u8::from(report.negative)),
                Err(e) => complain(&format!("pyzy: cannot write to standard output: {}\n", failure::cause(&e)), 1),
            }
        }
        Err(failure) => {
            let hint = failure.hint().map_or(String::new(), |h| format!("hint: {h}\n"));
            complain(&format!("pyzy: {failure}\n{hint}"), if failure.is_usage() { 2 } else { 1 })
        }
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    // Nobody is left to hear of a failure to write this.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(code)
}
