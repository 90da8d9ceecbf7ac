//! Checking a freshness table against the world and the caller's environment.

use pyzy_core::fresh::Table;
use pyzy_core::reason::Reason;
use pyzy_core::vars;
use pyzy_sys::file;

/// Everything as the table says?
pub fn check(table: &Table, environ: &[&[u8]]) -> Result<(), Reason> {
    let variable = |name: &[u8]| {
        environ.iter().find(|e| vars::name_of(e) == name && e.len() > name.len()).map(|e| &e[name.len() + 1..])
    };
    if table.variables.iter().any(|(name, value)| variable(name) != *value) {
        return Err(Reason::StartupEnvironment);
    }
    match changed(table) {
        Some(_) => Err(Reason::Stale),
        None => Ok(()),
    }
}

/// The first path that is not as the table says.
pub fn changed<'a>(table: &Table<'a>) -> Option<&'a [u8]> {
    table.paths.iter().find(|(path, facts)| file::facts(path) != *facts).map(|(path, _)| *path)
}
