//! What somebody wants warm, and what is told of it.
//!
//! Owns the reading of the list that a start names (`PYZY_PRELOAD` and its kin), and the notes on each module.

use pyzy_core::preload::{self, Entry};
use pyzy_core::start::Start;

/// What somebody wants warm.
pub struct Wanted {
    pub stdlib: bool,
    pub modules: Vec<String>,
    /// A script whose own imports are wanted; empty for none.
    pub script: Vec<u8>,
    /// What was learned, and how much memory it may take, bytes.
    pub learned: Vec<String>,
    pub room: u64,
    /// Imports are to be noted.
    pub learns: bool,
}

impl Wanted {
    pub fn new(start: &Start, told: &mut Notes) -> Wanted {
        let learn = start.learn.as_ref();
        let mut wanted = Wanted {
            stdlib: false,
            modules: Vec::new(),
            script: start.own_script.to_vec(),
            learned: Vec::new(),
            room: learn.map_or(0, |learn| learn.room),
            learns: learn.is_some(),
        };
        for entry in preload::entries(start.preload) {
            match entry {
                Entry::Stdlib => wanted.stdlib = true,
                Entry::Module(name) if !wanted.modules.iter().any(|known| known == name) => {
                    wanted.modules.push(name.to_owned());
                }
                Entry::Module(_) | Entry::Learned => {}
                Entry::Bad(text) => told.refused(&String::from_utf8_lossy(text), preload::NO_NAME),
            }
        }
        for entry in preload::entries(learn.map_or(b"", |learn| learn.chosen)) {
            if let Entry::Module(name) = entry
                && !wanted.modules.iter().any(|known| known == name)
            {
                wanted.learned.push(name.to_owned());
            }
        }
        wanted
    }

    pub fn is_empty(&self) -> bool {
        !self.stdlib && self.modules.is_empty() && self.script.is_empty() && !self.learns
    }
}

/// What is told of each module: a line each, for `pyzy why --modules`.
#[derive(Default)]
pub struct Notes(Vec<(String, Option<String>)>);

impl Notes {
    fn add(&mut self, name: &str, why: Option<&str>) {
        let line = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        if !self.0.iter().any(|(known, _)| known == name) {
            self.0.push((line(name), why.map(line)));
        }
    }

    pub fn warm(&mut self, name: &str) {
        self.add(name, None);
    }

    pub fn refused(&mut self, name: &str, why: &str) {
        self.add(name, Some(why));
    }

    /// Nothing is warm.
    pub fn all(&mut self, why: &str) {
        self.refused("*", why);
    }

    /// `NAME<tab>warm` or `NAME<tab>refused<tab>WHY`.
    pub fn text(&self) -> String {
        let line = |(name, why): &(String, Option<String>)| match why {
            None => format!("{name}\twarm\n"),
            Some(why) => format!("{name}\trefused\t{why}\n"),
        };
        self.0.iter().map(line).collect()
    }
}
