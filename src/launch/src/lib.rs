//! From a call to a plan: everything that happens before the hand-off and changes nothing.
//!
//! Owns the walk of ARCHITECTURE.md up to the zygote's socket: route, real
//! interpreter, script, facts of the process, identity, runtime directory,
//! freshness. Used by the launcher, which acts on the plan, and by `pyzy`,
//! which explains it. Does not fork, connect or exec.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

pub mod facts;
pub mod freshness;
pub mod installation;
pub mod place;
pub mod plan;
pub mod project;
pub mod world;
