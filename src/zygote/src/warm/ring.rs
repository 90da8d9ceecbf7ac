//! The collector's objects of a module that nobody has imported yet.
//!
//! Owns taking objects out of the collector's lists and putting them back. While
//! they are out they are linked in a ring of their own: no collection walks
//! them, `gc.get_objects` does not show them, and each can still leave by itself.

use crate::capi::Object;
use crate::quiet::{HEAD, Layout, word};
use pyo3::ffi;

/// Like the head of one of the collector's lists: next and previous.
#[repr(C, align(16))]
pub struct Ring {
    links: [usize; 2],
}

/// The low bits of a link back are flags of the object's.
const FLAGS: usize = 3;

unsafe fn write(address: usize, offset: usize, value: usize) {
    // SAFETY: the caller has a link of the collector's.
    unsafe { ((address + offset) as *mut usize).write(value) }
}

unsafe fn set_previous(link: usize, to: usize) {
    // SAFETY: as above.
    unsafe { write(link, 8, to | word(link, 8) & FLAGS) }
}

impl Ring {
    /// An empty one, at an address for ever.
    pub fn new() -> &'static mut Ring {
        let ring = Box::leak(Box::new(Ring::unlinked()));
        ring.link();
        ring
    }

    /// One that must be linked before it is used.
    pub fn unlinked() -> Ring {
        Ring { links: [0, 0] }
    }

    /// Makes an empty ring of it, where it will stay for ever.
    pub fn link(&mut self) {
        let at = self.at();
        self.links = [at, at];
    }

    /// Puts one object first and another last: what is linked to others at the hand-over. Does nothing if
    /// one of them is not here.
    ///
    /// # Safety
    /// The GIL is held; nothing else changes the ring meanwhile.
    pub unsafe fn turn(&mut self, first: usize, last: usize) {
        let (ring, first, last) = (self.at(), first - HEAD, last - HEAD);
        // SAFETY: links of the collector's, which are in this ring.
        unsafe {
            let objects = self.objects();
            if !objects.contains(&(first + HEAD)) || !objects.contains(&(last + HEAD)) {
                return;
            }
            for (link, before) in [(first, true), (last, false)] {
                let (next, previous) = (word(link, 0), word(link, 8) & !FLAGS);
                write(previous, 0, next);
                set_previous(next, previous);
                let next = if before { word(ring, 0) } else { ring };
                let previous = word(next, 8) & !FLAGS;
                write(previous, 0, link);
                set_previous(link, previous);
                write(link, 0, next);
                set_previous(next, link);
            }
        }
    }

    fn at(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Takes everything that lies behind the marker in the youngest list.
    ///
    /// # Safety
    /// The GIL is held; the marker is tracked, in that list; the collector is at rest.
    pub unsafe fn take_behind(&mut self, layout: &Layout, marker: &Object) {
        let (head, marker, ring) = (layout.heads[0], marker.raw() as usize - HEAD, self.at());
        // SAFETY: links of the collector's.
        unsafe {
            let (first, last) = (word(marker, 0), word(head, 8) & !FLAGS);
            if first == head {
                return;
            }
            write(marker, 0, head);
            set_previous(head, marker);
            let end = word(ring, 8);
            write(end, 0, first);
            set_previous(first, end);
            write(last, 0, ring);
            write(ring, 8, last);
        }
    }

    /// Puts everything at the front of the oldest list.
    ///
    /// # Safety
    /// The GIL is held and no collection is under way.
    pub unsafe fn give_back(&mut self, layout: &Layout) {
        let (head, ring) = (layout.heads[2], self.at());
        // SAFETY: links of the collector's.
        unsafe {
            let (first, last) = (word(ring, 0), word(ring, 8));
            if first == ring {
                return;
            }
            let next = word(head, 0);
            write(head, 0, first);
            set_previous(first, head);
            write(last, 0, next);
            set_previous(next, last);
        }
        self.links = [ring, ring];
    }

    /// The objects.
    ///
    /// # Safety
    /// The GIL is held; nothing changes meanwhile.
    pub unsafe fn objects(&self) -> Vec<usize> {
        let mut all = Vec::new();
        let mut link = self.links[0];
        while link != self.at() {
            all.push(link + HEAD);
            // SAFETY: a link of the collector's.
            link = unsafe { word(link, 0) };
        }
        all
    }
}

/// An object that only we know, and no collection shall see.
pub fn untrack(object: &Object) {
    // SAFETY: a live object with a collector's head, as weak references and containers have.
    unsafe { ffi::PyObject_GC_UnTrack(object.raw().cast()) }
}
