//! What the kernel laid at the stack's end: tables of arguments and environment, the auxiliary vector, and texts.
//!
//! Owns where these lie in this process, and whether a word is one of their addresses (`fs/binfmt_elf.c`, create_elf_tables):
//! another process has them elsewhere.

use pyzy_core::image::Value;

/// `/proc/self/auxv`: the vector as the kernel made it; getauxval gives what glibc has made of it.
pub struct AuxiliaryVector(Vec<u8>);

impl AuxiliaryVector {
    /// Reads it.
    pub fn read() -> Result<AuxiliaryVector, String> {
        std::fs::read("/proc/self/auxv").map(AuxiliaryVector).map_err(|e| format!("cannot read /proc/self/auxv: {e}"))
    }

    /// The value of a kind; 0 if there is none.
    pub fn get(&self, kind: u64) -> u64 {
        let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        self.0.chunks_exact(16).find(|pair| word(&pair[..8]) == kind).map_or(0, |pair| word(&pair[8..]))
    }
}

/// Addresses on the stack that the C library and the dynamic loader remember.
pub struct StackPointers {
    argv: u64,
    environ: u64,
    auxv: u64,
    name: (u64, u64),
    random: u64,
    end: u64,
    /// Where the tables end and the texts begin.
    pub texts: u64,
}

impl StackPointers {
    /// Of this process.
    pub fn find() -> Result<StackPointers, String> {
        let mut vector = AuxiliaryVector::read()?;
        let (random, length) = (vector.get(libc::AT_RANDOM), vector.0.len() as u64);
        // The stack's top: argc, argv, null, envp, null, auxv (fs/binfmt_elf.c, create_elf_tables).
        let end = stack_end().filter(|&end| end != 0).ok_or("the loader does not tell where the stack began")?;
        let mut name = (0, 0);
        // SAFETY: the kernel wrote it so, and nobody changes it but the table of the environment.
        let (argv, environ) = unsafe {
            let argv = end + 8;
            let environ = argv + 8 * (*(end as *const u64) + 1);
            let first = *(argv as *const u64);
            if first != 0 {
                name = (first, first + libc::strlen(first as *const libc::c_char) as u64);
            }
            (argv, environ)
        };
        // Behind the table's end as it was: unsetenv moves the entries up (`take_record` of host.rs). The random bytes lie
        // above the vector.
        // SAFETY: the stack between both is readable.
        let is_vector = |at: u64| unsafe { std::slice::from_raw_parts(at as *const u8, vector.0.len()) == vector.0 };
        let auxv = (environ..random.saturating_sub(length)).step_by(8).find(|&at| is_vector(at));
        let auxv = auxv.ok_or("the auxiliary vector is not on the stack")?;
        // Addresses that lie about in free memory would be taken for somebody's.
        vector.0.fill(0);
        Ok(StackPointers { argv, environ, auxv, name, random, end, texts: auxv + length })
    }

    /// Does it point to a table, or to where a text begins? The C library keeps ends of texts too, in variables of its own; in the heap
    /// it would be the end of a text that is written over an old address.
    pub fn is_whole(&self, word: u64) -> bool {
        // SAFETY: on the stack, behind its tables.
        word <= self.texts || word == self.random || unsafe { *((word - 1) as *const u8) } == 0
    }

    /// What a word is, if it is one of them.
    pub fn value(&self, word: u64) -> Option<(Value, u64)> {
        Some(match word {
            0 => return None,
            w if w == self.argv => (Value::Argv, 0),
            w if w == self.environ => (Value::Envp, 0),
            w if w == self.auxv => (Value::Auxv, 0),
            w if w == self.random => (Value::Random, 0),
            w if w == self.end => (Value::StackEnd, 0),
            // The part of the name after its last slash may begin elsewhere in the caller's name: the whole name it is.
            w if (self.name.0..=self.name.1).contains(&w) && self.name.0 != 0 => (Value::Name, 0),
            _ => return None,
        })
    }
}

/// Where the stack began: the loader keeps it (`__libc_stack_end`).
pub fn stack_end() -> Option<u64> {
    // SAFETY: looks a symbol up; it is a pointer.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"__libc_stack_end".as_ptr());
        (!found.is_null()).then(|| *found.cast::<u64>())
    }
}
