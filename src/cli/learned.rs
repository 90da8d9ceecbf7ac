//! `pyzy preload learned` and `pyzy preload forget`: what runs were seen to import.
//!
//! Owns the view of the ledger for the interpreter that `python3` means here.

use super::failure::{Failure, Io, io};
use super::json::Json;
use super::table::{Side, Table};
use super::world::{self, World};
use super::{Report, interpreter, show};
use crate::learned;
use pyzy_core::ledger::{Entry, Scope};
use std::ffi::OsStr;
use std::io::ErrorKind;

pub fn list(world: &World, json: bool) -> Result<Report, Failure> {
    let found = interpreter::locate(world, OsStr::new("python3"), true).map_err(interpreter::Error::Locate)?;
    let entries = match learned::path(&world.entries(), false) {
        Some(path) => learned::read(&path, Scope::of(&found.file)).map_err(io("read the ledger", &path))?,
        None => Vec::new(),
    };
    let chosen = learned::chosen(&entries);
    let is_chosen = |entry: &Entry| chosen.split(',').any(|name| name == entry.name);
    if json {
        let row = |entry: &Entry| {
            Json::Object(vec![
                ("module", Json::text(&entry.name)),
                ("cold_imports", Json::Number(entry.times)),
                ("nanoseconds", Json::Number(entry.nanos)),
                ("last", Json::Number(entry.last)),
                ("chosen", Json::Truth(is_chosen(entry))),
            ])
        };
        let file = Json::text(&found.file);
        let modules = Json::List(entries.iter().map(row).collect());
        return Ok(Report::good(Json::Object(vec![("interpreter", file), ("modules", modules)]).render()));
    }
    if entries.is_empty() {
        return Ok(Report::good(format!("nothing was learned of '{}'\n", world::path(&found.file).display())));
    }
    let columns = [("COLD", Side::Right), ("MEAN ms", Side::Right), ("CHOSEN", Side::Left), ("MODULE", Side::Left)];
    let mut table = Table::new(&columns);
    for entry in &entries {
        let mean = entry.nanos as f64 / entry.times as f64 / 1e6;
        let chosen = if is_chosen(entry) { "yes" } else { "no" };
        let name = show::text(entry.name.as_bytes());
        table.row(vec![entry.times.to_string(), format!("{mean:.1}"), chosen.into(), name]);
    }
    Ok(Report::good(table.render()))
}

pub fn forget(world: &World) -> Result<Report, Failure> {
    let Some(path) = learned::path(&world.entries(), false) else {
        return Ok(Report::good("nothing was learned\n".to_owned()));
    };
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(Report::good(format!("removed '{}'\n", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Report::good("nothing was learned\n".to_owned())),
        Err(error) => {
            let error: Io = io("remove", &path)(error);
            Err(error.into())
        }
    }
}
