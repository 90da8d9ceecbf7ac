//! `pyzy status`: the zygotes and the images, one line each.
//!
//! Owns the view of the zygotes; that of the images is `images`. Pages of dead
//! zygotes are removed on the way.

use super::failure::Failure;
use super::json::Json;
use super::table::{Side, Table};
use super::world::World;
use super::zygotes::{self, Found, Life};
use super::{Report, images, place, proc, show};
use pyzy_core::page::Page;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn run(world: &World, json: bool) -> Result<Report, Failure> {
    let runtime = place::runtime(world)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (mut rows, mut strange) = (Vec::new(), Vec::new());
    let views = images::list(&runtime.dir);
    for found in zygotes::list(&runtime)? {
        match (found.life(), found.page()) {
            (Life::Dead, _) => {
                found.sweep();
            }
            (life, Ok(_)) => rows.push(Row { life, memory: proc::memory(found.pid), found }),
            (_, Err(refusal)) => strange.push((found.path, refusal.to_string())),
        }
    }
    if json {
        let zygotes = rows.iter().filter_map(|r| r.json(now)).collect();
        let other = strange.iter().map(|(path, why)| {
            Json::Object(vec![("page", Json::text(path.as_os_str().as_encoded_bytes())), ("why", Json::text(why))])
        });
        let dir = Json::text(runtime.dir.as_os_str().as_encoded_bytes());
        let fields = vec![
            ("runtime_directory", dir),
            ("zygotes", Json::List(zygotes)),
            ("images", Json::List(views.iter().map(images::View::json).collect())),
            ("unreadable", Json::List(other.collect())),
        ];
        return Ok(Report::good(Json::Object(fields).render()));
    }
    let mut text = table(&rows, now);
    if !views.is_empty() {
        text.push('\n');
        text.push_str(&images::table(&views));
    }
    for (path, why) in strange {
        text.push_str(&format!("'{}' is left alone: {why}\n", path.display()));
    }
    Ok(Report::good(text))
}

struct Row {
    life: Life,
    memory: proc::Memory,
    found: Found,
}

/// A stopped zygote does not know that it is.
pub fn state(life: Life, page: &Page<'_>) -> &'static str {
    if life == Life::Stopped { "stopped" } else { page.state.name() }
}

impl Row {
    fn json(&self, now: u64) -> Option<Json> {
        let page = self.found.page().ok()?;
        let text = |t: pyzy_core::page::Text<'_>| Json::text(t.bytes);
        Some(Json::Object(vec![
            ("key", Json::text(page.key)),
            ("pid", u64::from(page.pid).into()),
            ("state", state(self.life, &page).into()),
            ("interpreter", text(page.interpreter)),
            ("python", text(page.version)),
            ("identity", text(page.identity)),
            ("socket", text(page.socket)),
            ("started", page.started.into()),
            ("age_seconds", now.saturating_sub(page.started).into()),
            ("idle_seconds", idle(&page, now).into()),
            ("pss_bytes", self.memory.pss.into()),
            ("rss_bytes", self.memory.rss.into()),
            ("runs", page.runs.into()),
            ("refused", page.refused.into()),
            ("running", u64::from(page.running).into()),
        ]))
    }

    fn cells(&self, now: u64) -> Option<Vec<String>> {
        let page = self.found.page().ok()?;
        let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".into(), show::memory);
        let words = show::text(page.identity.bytes);
        Some(vec![
            String::from_utf8_lossy(&page.key[..8]).into_owned(),
            page.pid.to_string(),
            state(self.life, &page).into(),
            show::duration(now.saturating_sub(page.started)),
            show::duration(idle(&page, now)),
            size(self.memory.pss),
            size(self.memory.rss),
            page.runs.to_string(),
            page.running.to_string(),
            show::text(page.version.bytes),
            show::text(page.interpreter.bytes),
            if page.identity.cut { words + "…" } else { words },
        ])
    }
}

/// A zygote with running workers is not idle; one that was never asked is idle since it started.
fn idle(page: &Page<'_>, now: u64) -> u64 {
    if page.running > 0 { 0 } else { now.saturating_sub(page.last_use.max(page.started)) }
}

fn table(rows: &[Row], now: u64) -> String {
    if rows.is_empty() {
        return "no zygote is running; the next `python3 SCRIPT` starts one\n".into();
    }
    use Side::{Left, Right};
    let mut table = Table::new(&[
        ("KEY", Left),
        ("PID", Right),
        ("STATE", Left),
        ("AGE", Right),
        ("IDLE", Right),
        ("PSS", Right),
        ("RSS", Right),
        ("RUNS", Right),
        ("NOW", Right),
        ("PYTHON", Left),
        ("INTERPRETER", Left),
        ("IDENTITY", Left),
    ]);
    rows.iter().filter_map(|r| r.cells(now)).for_each(|cells| table.row(cells));
    table.render()
}
