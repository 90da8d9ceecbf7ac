//! Memory of ours that holds nothing but what we have written.
//!
//! Owns the library's allocator: the C library's, and zeroes. A capture finds words that point to the vdso or the stack by their
//! values (`image`). A text of ours ends without a zero, and behind its end would lie what was there before: with the upper bytes
//! of an old address the last characters look like one, and are changed as one. So blocks end with whole words.

use std::alloc::{GlobalAlloc, Layout, System};

/// As the system's, but nothing of an earlier owner is left in it.
struct Clean;

#[global_allocator]
static ALLOCATOR: Clean = Clean;

/// The same with its last word whole.
fn whole(layout: Layout) -> Layout {
    let size = layout.size().next_multiple_of(size_of::<usize>());
    // A block that is too long for that cannot be had anyway.
    Layout::from_size_align(size, layout.align()).unwrap_or(layout)
}

// SAFETY: the system's allocator does it all; what is written lies within the blocks that it gives.
unsafe impl GlobalAlloc for Clean {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let layout = whole(layout);
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
        unsafe { System.dealloc(block, whole(layout)) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let room = size.next_multiple_of(size_of::<usize>());
        // SAFETY: the caller's promise; the new block is that long.
        unsafe {
            let block = System.realloc(block, whole(layout), room);
            if !block.is_null() {
                let known = layout.size().min(size);
                block.add(known).write_bytes(0, room - known);
            }
            block
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{Layout, alloc, dealloc, realloc};

    /// What was freed last is given first.
    fn dirty(size: usize) {
        // SAFETY: a block of our own, that long.
        unsafe {
            let block = libc::malloc(size).cast::<u8>();
            block.write_bytes(0xff, size);
            libc::free(std::hint::black_box(block).cast());
        }
    }

    #[test]
    fn the_last_word_is_clean_to_its_end() {
        for size in 1..200usize {
            let layout = Layout::from_size_align(size, 1).unwrap();
            // SAFETY: blocks of our own; words are whole in them.
            unsafe {
                let is_clean = |block: *const u8, from: usize, to: usize| {
                    (from..to.next_multiple_of(8)).all(|at| block.add(at).read() == 0)
                };
                dirty(size);
                let block = alloc(layout);
                assert!(is_clean(block, 0, size), "{size}");
                block.write_bytes(0xff, size);
                dirty(size + 100);
                let block = realloc(block, layout, size + 100);
                assert!(is_clean(block, size, size + 100), "{size} grown");
                block.write_bytes(0xff, size + 100);
                let grown = Layout::from_size_align(size + 100, 1).unwrap();
                let block = realloc(block, grown, size);
                assert!(is_clean(block, size, size), "{size} shrunk");
                dealloc(block, layout);
            }
        }
    }
}
