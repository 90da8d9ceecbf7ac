//! The allocator of the zygote's library, whose own crate has no tests: it is linked into interpreters only.

#[path = "../src/zygote/src/clean.rs"]
mod clean;
