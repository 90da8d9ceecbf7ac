//! The documents say what the code says.
//!
//! Tables of variables and reasons, the names of commands, and every file that
//! a document mentions are compared with what is there.

use pyzy_core::reason::Reason;
use pyzy_core::vars;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Markdown at the top and in docs/, as paths from the root.
fn documents() -> Vec<String> {
    let mut names = Vec::new();
    for dir in ["", "docs"] {
        for entry in std::fs::read_dir(root().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") {
                names.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names.sort();
    assert!(["ARCHITECTURE.md", "CHANGELOG.md", "README.md"].iter().all(|n| names.iter().any(|m| m == n)));
    names
}

/// The rows of the table with this head, without the line of dashes.
fn table(text: &str, head: &str) -> Vec<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| *line != head);
    assert!(lines.next().is_some(), "there is no table with the head {head}");
    let cells = |line: &str| {
        let inner = line.strip_prefix('|').and_then(|l| l.strip_suffix('|')).unwrap_or_else(|| panic!("{line}"));
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

#[test]
fn variables_are_those_of_the_code() {
    let expected: Vec<_> = vars::ALL.iter().map(|v| vec![code(v.name), v.text.to_owned()]).collect();
    assert_eq!(table(&read("docs/environment.md"), "| name | meaning |"), expected);
}

#[test]
fn reasons_are_those_of_the_code() {
    let expected: Vec<_> =
        Reason::ALL.iter().map(|r| vec![r.number().to_string(), code(r.name()), r.text().to_owned()]).collect();
    assert_eq!(table(&read("docs/reasons.md"), "| number | name | text |"), expected);
}

#[test]
fn the_readme_has_a_cure_for_each_reason() {
    let rows = table(&read("README.md"), "| reason | meaning | cure |");
    let names: Vec<_> = rows.iter().map(|row| row[..2].to_vec()).collect();
    let expected: Vec<_> = Reason::ALL.iter().map(|r| vec![code(r.name()), r.text().to_owned()]).collect();
    assert_eq!(names, expected);
    assert!(rows.iter().all(|row| row.len() == 3 && !row[2].is_empty()));
}

#[test]
fn no_document_invents_a_variable() {
    for name in documents() {
        let text = read(&name);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|w| w.starts_with("PYZY_")) {
            assert!(vars::ALL.iter().any(|v| v.name == word), "{name}: {word}");
        }
    }
}

/// The commands, as `pyzy --help` lists them.
fn commands() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_pyzy")).arg("--help").env_clear().output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let listed = text.lines().skip_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
    let names = listed.filter_map(|line| line.split(' ').next());
    let names = names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()) && *name != "eval");
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 5 && names.contains("status"), "{names:?}");
    names
}

#[test]
fn commands_are_those_of_the_help() {
    let known = commands();
    let shown: BTreeSet<String> = table(&read("README.md"), "| command | what it does |")
        .iter()
        .map(|row| row[0].trim_matches('`').strip_prefix("pyzy ").unwrap().to_owned())
        .collect();
    assert_eq!(shown, known);
    for name in documents() {
        for span in spans(&read(&name)) {
            let words: Vec<&str> = span.split(|c: char| c.is_whitespace() || "\"();|".contains(c)).collect();
            for pair in words.windows(2).filter(|pair| pair[0] == "pyzy") {
                let word = pair[1];
                let command = word.starts_with(|c: char| c.is_ascii_lowercase()) && word != "help";
                assert!(!command || known.contains(word), "{name}: pyzy {word}");
            }
        }
    }
}

/// What stands in backticks, in fences and in indented blocks.
fn spans(text: &str) -> Vec<String> {
    let mut spans = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            spans.push(line.to_owned());
        } else {
            // Odd pieces are between two backticks.
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

/// The paths in a span that claim to be files of this repository: those that begin with something at its top, and
/// those that end like our files do.
fn claimed(span: &str) -> Vec<PathBuf> {
    let words = span.split(|c: char| c.is_whitespace() || "\"'();|,".contains(c));
    let words = words.map(|word| word.trim_start_matches("./").trim_end_matches(['.', ':', '/']));
    words
        .filter(|word| {
            let (first, rest) = word.split_once('/').unwrap_or((word, ""));
            let inside = !rest.is_empty() && !first.is_empty() && root().join(first).is_dir();
            let named = [".md", ".rs", ".sh", ".toml"].iter().any(|end| word.ends_with(end) && word.len() > end.len());
            inside || (named && !word.starts_with(['/', '$', '~']) && *word != THEIRS)
        })
        .map(PathBuf::from)
        .collect()
}

/// A file of the projects that pyzy serves.
const THEIRS: &str = "pyproject.toml";

/// Targets of `[text](target)` that are no addresses.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let targets = targets.map(|target| target.split('#').next().unwrap_or(target));
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

#[test]
fn every_file_that_is_mentioned_exists() {
    // Named beside a path in the same directory, in ARCHITECTURE.md.
    let sources: BTreeSet<String> = source_names(&root().join("src"));
    let mut seen = 0;
    for name in documents() {
        let text = read(&name);
        for path in spans(&text).iter().flat_map(|span| claimed(span)) {
            let bare = path.components().count() == 1 && sources.contains(path.to_str().unwrap());
            assert!(bare || root().join(&path).exists(), "{name}: '{}' does not exist", path.display());
            seen += 1;
        }
        let beside = root().join(&name);
        for target in links(&text) {
            assert!(beside.with_file_name(target).exists(), "{name}: '{target}' does not exist");
        }
    }
    assert!(seen > 20, "{seen}");
}

/// The names of all files below a directory.
fn source_names(dir: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.append(&mut source_names(&path));
        } else {
            names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    names
}
