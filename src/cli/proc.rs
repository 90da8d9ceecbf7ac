//! What /proc says about a process.
//!
//! Owns the reading of `stat` and `smaps_rollup` (`man 5 proc`).

/// From `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Field 3: `R`, `S`, `T`…
    pub state: u8,
    /// Field 22: clock ticks between the boot and the start.
    pub start_ticks: u64,
}

/// The process with this pid, if there is one.
pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 2, the name, may hold blanks and brackets; the last bracket ends it.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let tail = std::str::from_utf8(&text[text.iter().rposition(|&b| b == b')')? + 1..]).ok()?;
    let mut fields = tail.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some(Stat { state, start_ticks: fields.nth(18)?.parse().ok()? })
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident.
    pub rss: Option<u64>,
    /// Resident, with shared pages divided by the number of those who share them.
    pub pss: Option<u64>,
}

/// From `smaps_rollup`; where the kernel has none, what `status` knows.
pub fn memory(pid: u32) -> Memory {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let rollup = read("smaps_rollup");
    let rss = kilobytes(&rollup, "Rss:").or_else(|| kilobytes(&read("status"), "VmRSS:"));
    Memory { rss, pss: kilobytes(&rollup, "Pss:") }
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_an_ugly_name() {
        let text = b"42 (a) b (c) T 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 999 20\n";
        assert_eq!(parse_stat(text), Some(Stat { state: b'T', start_ticks: 999 }));
        assert_eq!(parse_stat(b"42 (a) S 1"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let me = std::process::id();
        assert!(stat(me).is_some_and(|s| s.start_ticks > 0));
        assert!(memory(me).rss.is_some_and(|n| n > 100_000));
        assert_eq!(kilobytes("Pss_Dirty: 1 kB\nPss:   12 kB\n", "Pss:"), Some(12288));
    }
}
