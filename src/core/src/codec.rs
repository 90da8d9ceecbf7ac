//! Little-endian primitives shared by the formats on the wire and on disk.
//!
//! Reading is total: whatever the bytes, the answer is a value or `None`.

use alloc::vec::Vec;

/// Appends values to a byte vector.
pub trait Put {
    /// A byte.
    fn put_u8(&mut self, value: u8);
    /// Four bytes.
    fn put_u32(&mut self, value: u32);
    /// Eight bytes.
    fn put_u64(&mut self, value: u64);
    /// A length and that many bytes.
    fn put_bytes(&mut self, value: &[u8]);
    /// A count and that many byte strings.
    fn put_list<T: AsRef<[u8]>>(&mut self, values: &[T]);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_bytes(&mut self, value: &[u8]) {
        self.put_u32(value.len() as u32);
        self.extend_from_slice(value);
    }
    fn put_list<T: AsRef<[u8]>>(&mut self, values: &[T]) {
        self.put_u32(values.len() as u32);
        for value in values {
            self.put_bytes(value.as_ref());
        }
    }
}

/// Takes values off the front of a byte slice.
pub struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    /// That many bytes.
    pub fn raw(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }
    /// A byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.raw(1).map(|b| b[0])
    }
    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.raw(4)?.try_into().ok()?))
    }
    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.raw(8)?.try_into().ok()?))
    }
    /// A length and that many bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        self.raw(length)
    }
    /// A count and that many byte strings.
    pub fn list(&mut self) -> Option<Vec<&'a [u8]>> {
        let count = self.u32()? as usize;
        // Each takes four bytes at least: a made-up count cannot make us reserve memory.
        if count > self.0.len() / 4 {
            return None;
        }
        (0..count).map(|_| self.bytes()).collect()
    }
    /// Nothing is left.
    pub fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
