//! `pyzy stats`: how many runs were warm, and why the others were not.
//!
//! Owns the view of the tally, and its new beginning. `--reset` puts a new
//! file in the old one's place, so that a launcher that has the old one mapped
//! writes to a file that nobody reads any more.

use super::failure::{Failure, Io, io};
use super::json::Json;
use super::table::{Side, Table};
use super::world::World;
use super::{Report, place, show};
use pyzy_core::reason::Reason;
use pyzy_core::tally::{self, Tally};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub fn run(world: &World, json: bool, reset: bool) -> Result<Report, Failure> {
    let path = place::tally(world)?;
    let tally = match read(&path)? {
        Some(Ok(tally)) => Some(tally),
        None => None,
        // With --reset, the cure is under way.
        Some(Err(refusal)) if reset => {
            let _ = refusal;
            None
        }
        Some(Err(refusal)) => {
            let error = std::io::Error::new(ErrorKind::InvalidData, refusal.to_string());
            return Err(io("read the tally", &path)(error).into());
        }
    };
    if reset {
        replace(&path)?;
    }
    let counted = tally.unwrap_or(Tally::ZERO);
    let text = if json { as_json(&counted, &path) } else { as_text(&counted, reset).into_bytes() };
    Ok(Report::good(text))
}

/// The tally, what is wrong with it, or nothing if there is none yet.
pub fn read(path: &Path) -> Result<Option<Result<Tally, tally::Refusal>>, Io> {
    let mut bytes = Vec::with_capacity(tally::SIZE + 1);
    // O_NONBLOCK: a fifo in its place must not keep us waiting.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    match File::options().read(true).custom_flags(nonblock).open(path) {
        Ok(file) => file.take(tally::SIZE as u64 + 1).read_to_end(&mut bytes).map_err(io("read", path))?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io("read", path)(e)),
    };
    Ok(Some(tally::decode(&bytes)))
}

fn replace(path: &Path) -> Result<(), Io> {
    match std::fs::symlink_metadata(path) {
        Ok(m) if m.is_dir() => return Err(io("replace", path)(ErrorKind::IsADirectory.into())),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    let fresh = path.with_extension(format!("new.{}", std::process::id()));
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut f| f.write_all(&tally::encode(&Tally::ZERO)))
        .and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&fresh);
        io("replace", path)(e)
    })
}

/// Numbers that only a newer pyzy has a name for are not lost.
fn unnamed(tally: &Tally) -> impl Iterator<Item = (u16, u64)> + '_ {
    let numbers = tally.reasons.iter().enumerate().map(|(i, &n)| (i as u16, n));
    numbers.filter(|&(i, n)| n > 0 && Reason::from_number(i).is_none())
}

fn as_text(tally: &Tally, reset: bool) -> String {
    let (warm, fallbacks) = (tally.warm(), tally.fallbacks());
    let all = warm.saturating_add(fallbacks);
    if all == 0 {
        return if reset { "nothing was counted; counting starts anew\n" } else { "nothing has been counted yet\n" }
            .into();
    }
    let share = |n: u64| format!("{}%", (u128::from(n) * 100 + u128::from(all) / 2) / u128::from(all));
    let mut table =
        Table::new(&[("RUNS", Side::Right), ("SHARE", Side::Right), ("ROUTE", Side::Left), ("", Side::Left)]);
    let mut row = |n: u64, name: &str, text: &str| table.row(vec![n.to_string(), share(n), name.into(), text.into()]);
    row(tally.warm_restore, "warm restore", "restored from an image");
    row(tally.warm_fork, "warm fork", "in a fork of a zygote");
    let mut reasons: Vec<(u64, Reason)> =
        Reason::ALL.iter().map(|&r| (tally.of(r), r)).filter(|(n, _)| *n > 0).collect();
    reasons.sort_by_key(|&(n, r)| (std::cmp::Reverse(n), r.number()));
    reasons.iter().for_each(|(n, r)| row(*n, r.name(), r.text()));
    unnamed(tally).for_each(|(i, n)| row(n, &format!("reason-{i}"), "counted by another version of pyzy"));
    let mut out = table.render();
    out.push_str(&format!(
        "{}: {warm} warm ({} restored, {} forked), {}\n",
        show::count(all, "run"),
        tally.warm_restore,
        tally.warm_fork,
        show::count(fallbacks, "fallback")
    ));
    if reset {
        out.push_str("counting starts anew\n");
    }
    out
}

fn as_json(tally: &Tally, path: &Path) -> Vec<u8> {
    let reasons = Reason::ALL.iter().map(|&r| (r.name(), tally.of(r).into())).collect();
    let other = unnamed(tally).map(|(i, n)| Json::Object(vec![("number", u64::from(i).into()), ("runs", n.into())]));
    Json::Object(vec![
        ("file", Json::text(path.as_os_str().as_encoded_bytes())),
        ("warm", tally.warm().into()),
        ("warm_fork", tally.warm_fork.into()),
        ("warm_restore", tally.warm_restore.into()),
        ("fallbacks", tally.fallbacks().into()),
        ("reasons", Json::Object(reasons)),
        ("other_reasons", Json::List(other.collect())),
    ])
    .render()
}
