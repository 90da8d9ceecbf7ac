//! What lies below the floor of a restored script's stack: where a thread ends.
//!
//! A main thread that ends alone (`pthread_exit`) goes on, by a `longjmp`, in the function
//! of glibc's that called `main` (`sysdeps/nptl/libc_start_call_main.h`). That one has
//! saved its registers in its own frame, and the thread's control block points to them
//! (`struct pthread`, cleanup_jmp_buf). A restored process has another stack, without
//! that frame. So the captured process notes it, and each run lays it under its script.

use pyzy_sys::{arch, memory};
use std::mem::MaybeUninit;

/// More than the frames below `main` take, words.
const WORDS: usize = 256;
/// Less than a thread's control block takes, bytes (`sizeof (struct pthread)`).
const CONTROL_BLOCK: usize = 0x800;

/// Room for the frames; on the stack of whoever never returns.
#[repr(C, align(16))]
pub struct Room([MaybeUninit<usize>; WORDS + 1]);

impl Room {
    pub fn new() -> Room {
        Room([MaybeUninit::uninit(); WORDS + 1])
    }
}

/// The frames below `main` in the captured process.
pub struct Cellar {
    /// The word in the control block that points to the saved registers.
    place: usize,
    /// Where the frames began.
    start: usize,
    words: Vec<usize>,
    /// Which word is the first of the saved registers.
    registers: usize,
}

impl Cellar {
    /// `end` is where the stack began. None if this C library does otherwise.
    pub fn find(end: usize) -> Option<Cellar> {
        let jump = arch::JUMP?;
        let here = (&raw const end) as usize;
        let is_on_stack = |at: usize| at.is_multiple_of(8) && (here..end).contains(&at);
        let thread = arch::thread_pointer();
        (thread..thread + CONTROL_BLOCK).step_by(8).find_map(|place| {
            // SAFETY: words of the control block, and of the stack above us.
            unsafe {
                let registers = memory::read_word(place);
                let is_buffer = is_on_stack(registers) && is_on_stack(registers + 8 * jump.words);
                is_buffer.then_some(())?;
                let start = (jump.reveal)(memory::read_word(registers + 8 * jump.stack));
                let code = (jump.reveal)(memory::read_word(registers + 8 * jump.code));
                (is_on_stack(start) && start <= registers && is_of_libc(code)).then_some(())?;
                let words: Vec<usize> = (start..end).step_by(8).map(|at| memory::read_word(at)).collect();
                (words.len() <= WORDS).then_some(Cellar { place, start, words, registers: (registers - start) / 8 })
            }
        })
    }

    /// Lays the frames into this room, and tells the control block.
    ///
    /// # Safety
    /// The control block is that of the captured process, and the room stays for the life of the process.
    pub unsafe fn lay(&self, room: &mut Room) {
        let Some(jump) = arch::JUMP else { return };
        // The stack pointer keeps its alignment.
        let first = self.start / 8 % 2;
        let start = room.0[first].as_ptr() as usize;
        let end = self.start + 8 * self.words.len();
        let moved = |word: usize| if (self.start..end).contains(&word) { word - self.start + start } else { word };
        for (to, word) in room.0[first..].iter_mut().zip(&self.words) {
            to.write(moved(*word));
        }
        for register in [jump.frame, jump.stack] {
            let at = self.registers + register;
            room.0[first + at].write((jump.hide)(moved((jump.reveal)(self.words[at]))));
        }
        // SAFETY: a word of the control block, which held such an address.
        unsafe { memory::write_word(self.place, start + 8 * self.registers) };
    }
}

/// Does this address lie in the C library?
fn is_of_libc(address: usize) -> bool {
    let object = |at: *const libc::c_void| {
        // SAFETY: an all-zero `Dl_info` is one; looks addresses up.
        unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            (libc::dladdr(at, &mut info) != 0).then_some(info.dli_fbase)
        }
    };
    object(address as *const _).is_some_and(|base| Some(base) == object(libc::exit as *const _))
}
