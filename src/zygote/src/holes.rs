//! Filling the holes in the allocators' memory before a capture.
//!
//! What a restored run costs is the pages that it changes, and an allocator that
//! hands out a free block here and another there changes a page for each. Owns
//! taking all that is free in between, for good, so that what a run allocates lies together. The
//! memory is the image's already; nothing grows by it but the numbers of
//! `sys.getallocatedblocks` and `sys._debugmallocstats`.

use std::os::raw::c_void;

unsafe extern "C" {
    fn PyObject_Malloc(size: usize) -> *mut c_void;
    fn PyObject_Free(block: *mut c_void);
}

/// The largest block of CPython's small-object allocator, and the step from one size to the next
/// (`Include/internal/pycore_obmalloc.h`, SMALL_REQUEST_THRESHOLD, ALIGNMENT).
const SMALL: usize = 512;
const STEP: usize = 16;
/// `struct pool_header`: the first block of a pool follows it.
const POOL_HEADER: usize = 48;
/// The most blocks of one size that are taken: more than there are in a pool or two.
const MOST: usize = 4096;

/// Takes what is free in between.
pub fn fill() {
    let pool = if crate::quiet::minor_version() < 10 { 4096 } else { 16384 };
    for size in (STEP..=SMALL).step_by(STEP) {
        fill_pools(size, pool);
    }
    fill_heap();
}

/// Takes blocks of one size until one comes from a fresh pool, which is given back. With another allocator below
/// (PYTHONMALLOC) none does, and all are.
fn fill_pools(size: usize, pool: usize) {
    let mut taken = Vec::with_capacity(MOST);
    let mut fresh = false;
    while taken.len() < MOST && !fresh {
        // SAFETY: the GIL is held.
        let block = unsafe { PyObject_Malloc(size) };
        if block.is_null() {
            break;
        }
        fresh = block as usize % pool == POOL_HEADER;
        taken.push(block);
    }
    let back = if fresh { taken.len() - 1 } else { 0 };
    for &block in &taken[back..] {
        // SAFETY: just taken.
        unsafe { PyObject_Free(block) };
    }
}

/// Takes blocks of the C library's heap, large ones first, until they come from behind all that is used. What a run
/// allocates then lies at the heap's end, one block behind the other.
pub fn fill_heap() {
    const LARGE: usize = 64 * 1024;
    // Up to here, each size has lists of its own (`malloc/malloc.c`, MAX_TCACHE_SIZE).
    const EXACT: usize = 1032;
    // Such a list gives what was freed last, which may hide others: as many as it keeps, and more.
    const BEHIND: usize = 12;
    // As long as the heap's end stays where it is, a block may have come from in between.
    let before = heap_end();
    let mut end = take(LARGE);
    for _ in 0..MOST {
        if heap_end() != before {
            break;
        }
        end = take(LARGE);
    }
    give_back(end);
    let mut size = LARGE / 2;
    while size >= 24 {
        let mut behind = 0;
        for _ in 0..MOST {
            let block = take(size);
            if block >= end && size > EXACT {
                give_back(block);
                break;
            }
            behind += usize::from(block >= end);
            if block == 0 || behind == BEHIND {
                break;
            }
        }
        // A chunk has eight bytes more, in steps of sixteen (`malloc/malloc.c`, request2size).
        size = if size > EXACT { ((size - size / 4) & !15 | 8).max(EXACT) } else { size - 16 };
    }
    // Room for a run that needs little.
    give_back(take(LARGE));
}

fn give_back(block: usize) {
    // SAFETY: just taken.
    unsafe { libc::free(block as *mut c_void) }
}

/// A block without content, as an address; an image has no room for zeros.
fn take(size: usize) -> usize {
    // SAFETY: as many bytes as the block has.
    unsafe {
        // Not to be made one with what follows: `calloc` passes over the lists of what was freed last (`malloc/malloc.c`,
        // tcache), and those are what is to be emptied.
        let block = std::hint::black_box(libc::malloc(size));
        if !block.is_null() {
            libc::memset(block, 0, size);
        }
        block as usize
    }
}

fn heap_end() -> usize {
    // SAFETY: asks only.
    unsafe { libc::sbrk(0) as usize }
}
