//! What a hand-over reads, close together in memory: a run pays for each page that it looks at, and for each line of the cache.
//!
//! Owns moving what is known of the modules, once all is known, from wherever it was noted to the end of the heap.

use super::node::{Effect, Event, Node, Place};
use crate::holes;
use std::mem::MaybeUninit;

/// Where things were: given back at the end, for it would be used again at once.
#[derive(Default)]
struct Left {
    events: Vec<Vec<Event>>,
    #[expect(clippy::vec_box, reason = "where they lie is what matters")]
    effects: Vec<Box<MaybeUninit<Effect>>>,
    numbers: Vec<Vec<usize>>,
    bytes: Vec<Vec<u8>>,
}

/// Moves what a plan looks at.
pub fn pack(nodes: &mut [Node], places: &mut [Place]) {
    holes::fill_heap();
    let mut left = Left::default();
    for node in nodes {
        left.events.push(again(&mut node.events));
        for event in &mut node.events {
            if let Event::Effect(effect) = event {
                left.effects.push(elsewhere(effect));
            }
        }
        left.numbers.extend([again(&mut node.places), again(&mut node.tied), again(&mut node.wakes)]);
    }
    left.bytes.extend(places.iter_mut().map(|place| again(&mut place.path)));
}

/// A list as it was, in new memory; gives the old, which is empty.
fn again<T>(list: &mut Vec<T>) -> Vec<T> {
    let mut fresh = Vec::with_capacity(list.len());
    fresh.append(list);
    std::mem::replace(list, fresh)
}

/// The same for something in a box.
fn elsewhere<T>(boxed: &mut Box<T>) -> Box<MaybeUninit<T>> {
    let mut fresh: Box<MaybeUninit<T>> = Box::new_uninit();
    // SAFETY: what is moved is no longer there for whoever has the old box. Nothing panics in between.
    unsafe {
        std::ptr::copy_nonoverlapping(&raw const **boxed, fresh.as_mut_ptr(), 1);
        let old = std::mem::replace(boxed, fresh.assume_init());
        Box::from_raw(Box::into_raw(old).cast())
    }
}
