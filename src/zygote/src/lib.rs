//! The library that turns a user's own `python3` into a zygote.
//!
//! It is loaded by `LD_PRELOAD` and interposes `__libc_start_main`: when the
//! variable `PYZY_HOST` is there, our main runs instead of CPython's
//! (`Programs/python.c`). Everything about Python goes through exported
//! functions; no struct layout is assumed. Rooms: `hook` (getting in), `host`
//! (initialising), `probe` and `trace` (measuring start-up), `serve` (the
//! zygote's loop), `spare` (a worker forked in advance), `worker` (becoming the caller), `run` (running a script and
//! ending as CPython does), `quiet` (the proof that an ending would be silent), `capi` (functions outside the limited API).

mod adopt;
mod arguments;
mod capi;
mod cellar;
mod clean;
mod codes;
mod counts;
mod entry;
mod filename;
mod floor;
mod holes;
mod hook;
mod host;
mod image;
mod importer;
mod names;
mod page;
mod path0;
mod places;
mod probe;
mod quiet;
mod run;
mod serve;
mod spare;
mod stack;
mod trace;
mod warm;
mod watchers;
mod worker;

/// Lets `pyzy doctor` see which version this file is.
#[used]
static VERSION: [u8; pyzy_core::version::MARK.len()] = *match pyzy_core::version::MARK.as_bytes().first_chunk() {
    Some(mark) => mark,
    None => unreachable!(),
};
