//! The images of this user, as the commands speak of them.
//!
//! Owns the view of an image: its facts in one place, in seconds and bytes. What an
//! image is, and whether it holds, is `crate::image_file`'s.

use super::json::Json;
use super::show;
use super::table::{Side, Table};
use crate::image_file::{self, Error};
use pyzy_core::fresh;
use pyzy_core::image::{LAST_USE, PAGE, ROTATION, RUNS};
use pyzy_launch::freshness;
use pyzy_sys::{file, libc, process};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What there is to say about an image.
pub struct View {
    pub path: Vec<u8>,
    pub key: String,
    /// The facts of its head, if that can be read.
    pub facts: Option<Facts>,
    /// Why no run would use it.
    pub unusable: Option<String>,
}

/// From an image's head. Times are ages in seconds.
pub struct Facts {
    /// The process id of its zygote.
    pub zygote: u64,
    /// That zygote lives.
    pub owned: bool,
    pub age: u64,
    pub runs: u64,
    /// Since the last run; none before the first.
    pub idle: Option<u64>,
    /// Space on the disk.
    pub disk: u64,
    /// Memory that a run maps.
    pub mapped: u64,
    /// The next run asks for another in its place.
    pub due: bool,
    /// Since a run has asked for another.
    pub asked: Option<u64>,
}

/// Every image in the runtime directory, by key.
pub fn list(runtime: &Path) -> Vec<View> {
    let runtime = runtime.as_os_str().as_bytes();
    image_file::list(runtime).into_iter().map(|found| View::new(runtime, found)).collect()
}

/// What all images take of the disk, bytes; the unusable ones take it too.
pub fn disk(views: &[View]) -> u64 {
    views.iter().filter_map(|v| file::lstat(&v.path).ok()).map(|s| s.blocks * 512).sum()
}

impl View {
    fn new(runtime: &[u8], found: image_file::Found) -> View {
        let unusable = match &found.head {
            Err(error) => Some(error.to_string()),
            Ok(head) => head.check(&found.path).err().map_or_else(|| stale(head), |e: Error| Some(e.to_string())),
        };
        let facts = found.head.as_ref().ok().and_then(|head| Facts::of(head, runtime));
        View { path: found.path, key: found.key, facts, unusable }
    }

    pub fn json(&self) -> Json {
        let f = self.facts.as_ref();
        let number = |pick: fn(&Facts) -> u64| f.map_or(Json::Null, |f| pick(f).into());
        let maybe = |pick: fn(&Facts) -> Option<u64>| f.and_then(pick).map_or(Json::Null, Json::from);
        let truth = |pick: fn(&Facts) -> bool| f.map_or(Json::Null, |f| pick(f).into());
        Json::Object(vec![
            ("key", self.key.as_str().into()),
            ("path", Json::text(&self.path)),
            ("zygote", number(|f| f.zygote)),
            ("zygote_alive", truth(|f| f.owned)),
            ("age_seconds", number(|f| f.age)),
            ("runs", number(|f| f.runs)),
            ("idle_seconds", maybe(|f| f.idle)),
            ("disk_bytes", number(|f| f.disk)),
            ("mapped_pages", number(|f| f.mapped / PAGE)),
            ("due", truth(|f| f.due)),
            ("replacement_asked_seconds", maybe(|f| f.asked)),
            ("unusable", self.unusable.as_deref().into()),
        ])
    }

    fn cells(&self) -> Vec<String> {
        let Some(f) = &self.facts else {
            return [&self.key[..8], "", "", "", "", "", "", "", "no"].map(String::from).to_vec();
        };
        vec![
            self.key[..8].into(),
            f.zygote.to_string(),
            if f.owned { "alive" } else { "gone" }.into(),
            show::duration(f.age),
            f.idle.map_or_else(|| "never".into(), show::duration),
            f.runs.to_string(),
            show::memory(f.disk),
            (f.mapped / PAGE).to_string(),
            match (&self.unusable, f.due) {
                (Some(_), _) => "no",
                (None, true) => "due for replacement",
                (None, false) => "yes",
            }
            .into(),
        ]
    }
}

/// A path that has changed since.
fn stale(head: &image_file::Head) -> Option<String> {
    let image = head.image()?;
    let Some(table) = fresh::Table::decode(image.fresh) else { return Some("its freshness table is damaged".into()) };
    freshness::changed(&table).map(|path| format!("'{}' has changed", show::text(path)))
}

impl Facts {
    pub fn of(head: &image_file::Head, runtime: &[u8]) -> Option<Facts> {
        let image = head.image()?;
        let now = process::clock(libc::CLOCK_BOOTTIME) as u64;
        let seconds = |since: u64| now.saturating_sub(since) / 1_000_000_000;
        let noted = |offset| Some(head.number(offset)).filter(|&n| n > 0).map(seconds);
        Some(Facts {
            zygote: image.numbers.zygote,
            owned: head.has_owner(runtime),
            age: seconds(image.numbers.created),
            runs: head.number(RUNS),
            idle: noted(LAST_USE),
            disk: head.disk(),
            mapped: image.regions.iter().map(|r| r.length).sum(),
            due: head.is_due(now),
            asked: noted(ROTATION),
        })
    }
}

/// The images as a table, and a line for each that is not usable.
pub fn table(views: &[View]) -> String {
    use Side::{Left, Right};
    let mut table = Table::new(&[
        ("IMAGE", Left),
        ("ZYGOTE", Right),
        ("STATE", Left),
        ("AGE", Right),
        ("IDLE", Right),
        ("RUNS", Right),
        ("DISK", Right),
        ("PAGES", Right),
        ("USABLE", Left),
    ]);
    views.iter().for_each(|v| table.row(v.cells()));
    let mut text = table.render();
    for v in views {
        if let Some(why) = &v.unusable {
            text.push_str(&format!("'{}' is not used: {why}\n", show::text(&v.path)));
        }
    }
    text
}
