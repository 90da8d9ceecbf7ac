//! `pyzy`: the command that people use to look at the machinery and to set it up.
//!
//! Owns nothing but the order of things: read the command line, do what it
//! says, print the report in one piece, end. The program that runs under a
//! shim's name is another one, `src/launcher`.
#![forbid(unsafe_code)]

mod cli;
mod image_file;
mod learned;
mod project;
mod zygote_start;

use std::process::ExitCode;

fn main() -> ExitCode {
    let world = cli::world::World::take();
    match cli::args::parse(std::env::args_os().skip(1)) {
        Ok(cli::args::Command::Zygote(args)) => zygote_start::run(&args),
        Ok(command) => cli::print(cli::run(command, &world)),
        Err(usage) => cli::print(Err(usage.into())),
    }
}
