//! Memory of ours that holds nothing but what we have written.
//!
//! Owns the library's allocator: the C library's, and zeroes. A capture finds words that point to the vdso or the stack by their
//! values (`image`). A text of ours ends without a zero, and behind its end would lie what was there before: with the upper bytes
//! of an old address the last characters look like one, and are changed as one.

use std::alloc::{GlobalAlloc, Layout, System};

/// As the system's, but nothing of an earlier owner is left in it.
struct Clean;

#[global_allocator]
static ALLOCATOR: Clean = Clean;

// SAFETY: the system's allocator does it all; what is written lies within the blocks that it gives.
unsafe impl GlobalAlloc for Clean {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Not `calloc`, which passes over the blocks that were freed last, and so changes other pages.
        // SAFETY: the caller's promise; the block is that long.
        unsafe {
            let block = System.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; the new block is that long.
        unsafe {
            let block = System.realloc(block, layout, size);
            if !block.is_null() && size > layout.size() {
                block.add(layout.size()).write_bytes(0, size - layout.size());
            }
            block
        }
    }
}
