//! `[tool.pyzy]` in a `pyproject.toml`.
//!
//! Owns what that table may say, and reading and changing it. Where the file is, is
//! `pyzy_launch::project`'s to say. A change keeps everything else of the file as it is.

use pyzy_core::preload::{Entry, NO_NAME, entries};
use pyzy_launch::plan::Preload;
use std::fmt;
use toml_edit::{Array, DocumentMut, Item, Table, Value};

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// It is no UTF-8.
    Encoding,
    /// It is no TOML: the parser's words.
    Syntax(String),
    /// A part of it is something else than it should be.
    Kind(&'static str),
    /// A word that is no name of a module.
    Name(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Encoding => f.write_str("it is not UTF-8"),
            Error::Syntax(text) => write!(f, "it is not TOML: {text}"),
            Error::Kind(what) => f.write_str(what),
            Error::Name(name) => write!(f, "'{name}': {NO_NAME}"),
        }
    }
}

/// The list of what is to be kept warm, as PYZY_PRELOAD would have it.
///
/// A word that is no name stays, for the zygote tells of it.
pub fn list(preload: &Preload) -> Result<Vec<u8>, Error> {
    match preload {
        Preload::Nothing => Ok(Vec::new()),
        Preload::Variable(list) => Ok(list.clone()),
        Preload::Project(project) => Ok(Document::parse(&project.content)?.preload()?.join(",").into_bytes()),
    }
}

/// A parsed file.
pub struct Document(DocumentMut);

impl Document {
    pub fn parse(bytes: &[u8]) -> Result<Document, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Encoding)?;
        text.parse().map(Document).map_err(|e: toml_edit::TomlError| {
            let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            Error::Syntax(format!("line {line}: {}", e.message().lines().next().unwrap_or_default()))
        })
    }

    /// `[tool.pyzy] preload`, word for word; empty if there is none.
    pub fn preload(&self) -> Result<Vec<String>, Error> {
        let Some(tool) = self.0.get("tool") else { return Ok(Vec::new()) };
        let tool = tool.as_table_like().ok_or(Error::Kind("'tool' is not a table"))?;
        let Some(pyzy) = tool.get("pyzy") else { return Ok(Vec::new()) };
        let pyzy = pyzy.as_table_like().ok_or(Error::Kind("'tool.pyzy' is not a table"))?;
        let Some(preload) = pyzy.get("preload") else { return Ok(Vec::new()) };
        const WRONG: Error = Error::Kind("'tool.pyzy.preload' is not a list of strings");
        let preload = preload.as_array().ok_or(WRONG)?;
        let words = preload.iter().map(|word| Ok(word.as_str().ok_or(WRONG)?.to_owned()));
        // A comma would make two words of one.
        words.map(|word| word.map(|word| word.replace(',', " "))).collect()
    }

    /// Adds names at the end of the list; those that were not there. Makes the table where there is none.
    pub fn add(&mut self, names: &[String]) -> Result<Vec<String>, Error> {
        for name in names {
            check(name)?;
        }
        let known = self.preload()?;
        let mut new: Vec<String> = Vec::new();
        for name in names.iter().filter(|name| !known.contains(name)) {
            if !new.contains(name) {
                new.push(name.clone());
            }
        }
        if new.is_empty() {
            return Ok(new);
        }
        let list = self.array()?;
        new.iter().for_each(|name| push(list, name));
        Ok(new)
    }

    /// Takes names out of the list; those that were there.
    pub fn remove(&mut self, names: &[String]) -> Result<Vec<String>, Error> {
        let known = self.preload()?;
        let gone: Vec<String> = known.into_iter().filter(|name| names.contains(name)).collect();
        if !gone.is_empty() {
            self.array()?.retain(|word| !word.as_str().is_some_and(|word| names.iter().any(|name| name == word)));
        }
        Ok(gone)
    }

    fn array(&mut self) -> Result<&mut Array, Error> {
        fn table(item: &mut Item, implicit: bool) -> Result<&mut dyn toml_edit::TableLike, Error> {
            if item.is_none() {
                let mut table = Table::new();
                table.set_implicit(implicit);
                *item = Item::Table(table);
            }
            item.as_table_like_mut().ok_or(Error::Kind("'tool.pyzy' is not a table"))
        }
        let tool = table(self.0.entry("tool").or_insert(Item::None), true)?;
        let pyzy = table(tool.entry("pyzy").or_insert(Item::None), false)?;
        let preload = pyzy.entry("preload").or_insert(Item::Value(Value::Array(Array::new())));
        preload.as_array_mut().ok_or(Error::Kind("'tool.pyzy.preload' is not a list of strings"))
    }

    pub fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Adds a word in the manner of those that are there: each on a line of its own, or all in one line.
fn push(list: &mut Array, name: &str) {
    let manner = list.iter().last().and_then(|last| last.decor().prefix()).and_then(|prefix| prefix.as_str());
    // What comes before the line's indentation is a comment on the word before.
    let indentation = manner.and_then(|prefix| prefix.rfind('\n').map(|at| prefix[at..].to_owned()));
    match indentation {
        Some(prefix) => list.push_formatted(Value::from(name).decorated(prefix, "")),
        None => list.push(name),
    }
}

/// Is it a word that may stand in the list?
pub fn check(name: &str) -> Result<(), Error> {
    let mut words = entries(name.as_bytes());
    match (words.next(), words.next(), name.contains(',')) {
        (Some(Entry::Stdlib | Entry::Learned | Entry::Module(_)), None, false) => Ok(()),
        _ => Err(Error::Name(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<String>, Error> {
        Document::parse(text.as_bytes())?.preload()
    }

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn what_a_table_says() {
        assert_eq!(parse("[tool.pyzy]\npreload = [\"stdlib\", \"click\"]\n"), Ok(names(&["stdlib", "click"])));
        assert_eq!(parse("tool = { pyzy = { preload = [\"a.b\"] } }"), Ok(names(&["a.b"])));
        assert_eq!(parse("# pyzy\n[tool.other]\nx = 1\n"), Ok(vec![]));
        for wrong in ["[tool.pyzy]\npreload = 1", "[tool.pyzy]\npreload = [1]", "tool = 1", "[tool]\npyzy = 3"] {
            assert!(matches!(parse(wrong), Err(Error::Kind(_))), "{wrong}");
        }
        let wrong = parse("a = 1\n[tool.pyzy\n").unwrap_err().to_string();
        assert!(wrong.starts_with("it is not TOML: line 2: "), "{wrong}");
        assert_eq!(Document::parse(b"\xff").err(), Some(Error::Encoding));
    }

    #[test]
    fn changes_keep_everything_else() {
        let before = "# mine\n[project]\nname = 'x' # why\n\n[tool.other]\ny = [\n  1,\n]\n";
        let mut document = Document::parse(before.as_bytes()).unwrap();
        assert_eq!(document.add(&names(&["stdlib", "click", "click"])), Ok(names(&["stdlib", "click"])));
        assert_eq!(document.text(), format!("{before}\n[tool.pyzy]\npreload = [\"stdlib\", \"click\"]\n"));
        assert_eq!(document.add(&names(&["click"])), Ok(vec![]));
        assert_eq!(document.remove(&names(&["stdlib", "nowhere"])), Ok(names(&["stdlib"])));
        assert_eq!(parse(&document.text()), Ok(names(&["click"])));
        let lines = "[tool.pyzy] # us\npreload = [\n    \"a\", # first\n    \"b\",\n]\nz = 1\n";
        let mut document = Document::parse(lines.as_bytes()).unwrap();
        document.add(&names(&["c"])).unwrap();
        assert!(document.text().contains("\"a\", # first\n    \"b\",\n    \"c\""), "{}", document.text());
        assert_eq!(parse(&document.text()), Ok(names(&["a", "b", "c"])));
        for bad in ["a b", "", "1", "a,b", "off-"] {
            assert!(matches!(document.add(&names(&["good", bad])), Err(Error::Name(_))), "{bad}");
        }
        assert_eq!(parse(&document.text()), Ok(names(&["a", "b", "c"])));
    }
}
