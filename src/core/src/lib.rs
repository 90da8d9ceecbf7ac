//! The pure half of pyzy: bytes in, a value out, no system call.
//!
//! Owns the command line, the route, reasons, keys, the wire format and the
//! outcome. Touches nothing: whatever it needs from the world comes in as an
//! argument or through a trait. `no_std`, so that the launcher can use it
//! without a C library.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

pub mod cmdline;
pub mod codec;
pub mod codes;
pub mod dirs;
pub mod fresh;
pub mod image;
pub mod key;
pub mod ledger;
pub mod locate;
pub mod page;
pub mod places;
pub mod preload;
pub mod reason;
pub mod report;
pub mod route;
pub mod start;
pub mod tally;
pub mod vars;
pub mod version;
pub mod wire;
