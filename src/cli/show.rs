//! How bytes, sizes and times look in a table for people.
//!
//! Owns the phrasing only. Bytes that are no text, and control characters that
//! would move the cursor, come out as `\xNN`.

use std::fmt::Write;

/// Bytes on one line of a terminal.
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                c.to_string().bytes().for_each(|b| hex(&mut out, b));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|&b| hex(&mut out, b));
    }
    out
}

fn hex(out: &mut String, byte: u8) {
    let _ = write!(out, "\\x{byte:02x}");
}

/// Seconds as people say them: `42s`, `3m05s`, `2h10m`, `4d03h`.
pub fn duration(seconds: u64) -> String {
    let (m, h, d) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        () if m == 0 => format!("{seconds}s"),
        () if h == 0 => format!("{m}m{:02}s", seconds % 60),
        () if d == 0 => format!("{h}h{:02}m", m % 60),
        () => format!("{d}d{:02}h", h % 24),
    }
}

/// Bytes of memory in MiB.
pub fn memory(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    format!("{}.{}M", tenths / 10, tenths % 10)
}

/// `1 worker`, `2 workers`.
pub fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases() {
        assert_eq!(text(b"a \xff\x1b[2J \xc3\xa9"), "a \\xff\\x1b[2J \u{e9}");
        assert_eq!(text("\u{9b}".as_bytes()), "\\xc2\\x9b");
        let seconds = [0, 59, 60, 3599, 3600, 86399, 86400, 100_000_000];
        let words = ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "1157d09h"];
        assert_eq!(seconds.map(duration), words);
        assert_eq!((memory(0), memory(13_000_000)), ("0.0M".into(), "12.3M".into()));
        assert_eq!((count(1, "run"), count(0, "run")), ("1 run".into(), "0 runs".into()));
    }
}
