//! What was typed: the command line of `pyzy` itself.
//!
//! Owns the names of subcommands and options. Parsing is pure: words in, a
//! command or a usage error out. What stands after `pyzy why` and
//! `pyzy zygote` is kept as it is: it belongs to CPython and to the zygote.

use super::help::Topic;
use super::show;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Help(Option<Topic>),
    Version,
    Status { json: bool },
    Stop { json: bool, targets: Vec<Target> },
    Stats { json: bool, reset: bool },
    Why { json: bool, modules: bool, line: Vec<OsString> },
    Doctor { json: bool },
    Shims { dir: PathBuf, python: Option<OsString> },
    ShimsRemove { dir: PathBuf },
    Env { dir: Option<PathBuf>, shell: Option<Shell> },
    Preload { json: bool, change: Change, names: Vec<OsString> },
    Learned { json: bool },
    Forget,
    Zygote(Vec<OsString>),
}

/// What `pyzy preload` does to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    Add,
    Remove,
}

/// Which zygote `pyzy stop` is after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Pid(u32),
    /// The first digits of a key, eight at least.
    Key(String),
}

/// A shell that `pyzy env` can talk to. Every other shell is taken for a POSIX one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash, zsh, dash and their like: one text serves them all.
    Posix,
    Fish,
}

/// A command line that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub enum Usage {
    NoCommand,
    UnknownCommand(OsString),
    UnknownTopic(OsString),
    /// Lexopt's own words, with the topic whose help would show the way.
    Option(String, Topic),
    Missing(&'static str, Topic),
    Target(OsString),
    Shell(OsString),
    Clash(&'static str, Topic),
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Usage::NoCommand => f.write_str("no command given"),
            Usage::UnknownCommand(name) => write!(f, "unknown command '{}'", show::text(name.as_bytes())),
            Usage::UnknownTopic(name) => write!(f, "no help on '{}'", show::text(name.as_bytes())),
            Usage::Option(words, _) => f.write_str(words),
            Usage::Missing(what, topic) => write!(f, "{}: {what} is missing", topic.name()),
            Usage::Target(word) => write!(f, "'{}' is neither a pid nor a key", show::text(word.as_bytes())),
            Usage::Shell(name) => write!(f, "unknown shell '{}'", show::text(name.as_bytes())),
            Usage::Clash(what, topic) => write!(f, "{}: {what}", topic.name()),
        }
    }
}

impl Usage {
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Usage::UnknownCommand(name) if name.as_bytes().ends_with(b".py") => {
                "scripts are run as `python3 SCRIPT`, with the shims first on PATH: see `pyzy help env`".into()
            }
            Usage::NoCommand | Usage::UnknownCommand(_) | Usage::UnknownTopic(_) => {
                "`pyzy --help` lists the commands".into()
            }
            Usage::Target(_) => "`pyzy status` shows both; of a key, eight digits are enough".into(),
            Usage::Shell(_) => "known are bash, zsh and fish; bash's text also serves sh, dash and ksh".into(),
            Usage::Option(_, topic) | Usage::Missing(_, topic) | Usage::Clash(_, topic) => {
                format!("see `pyzy help {}`", topic.name())
            }
        })
    }
}

/// The command in these words, the program's name left out.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Usage> {
    let mut words = words.into_iter();
    let Some(first) = words.next() else { return Err(Usage::NoCommand) };
    match first.as_bytes() {
        b"--help" | b"-h" => return Ok(Command::Help(None)),
        b"--version" | b"-V" => return Ok(Command::Version),
        b"help" => {
            return match words.next() {
                None => Ok(Command::Help(None)),
                Some(name) => Topic::named(&name).map(|t| Command::Help(Some(t))).ok_or(Usage::UnknownTopic(name)),
            };
        }
        _ => {}
    }
    let topic = Topic::named(&first).ok_or(Usage::UnknownCommand(first))?;
    let rest: Vec<OsString> = words.collect();
    match topic {
        Topic::Zygote => Ok(Command::Zygote(rest)),
        Topic::Why => why(rest),
        _ => with_options(topic, rest),
    }
}

/// Our options come before CPython's; the first word that is not ours ends them.
fn why(mut rest: Vec<OsString>) -> Result<Command, Usage> {
    let (mut json, mut modules) = (false, false);
    while let Some(word) = rest.first() {
        match word.as_bytes() {
            b"--json" => json = true,
            b"--modules" => modules = true,
            _ => break,
        }
        rest.remove(0);
    }
    match rest.first() {
        None => Err(Usage::Missing("a command line to explain", Topic::Why)),
        Some(word) if word == "--help" => Ok(Command::Help(Some(Topic::Why))),
        Some(_) => Ok(Command::Why { json, modules, line: rest }),
    }
}

#[derive(Default)]
struct Seen {
    json: bool,
    reset: bool,
    remove: bool,
    python: Option<OsString>,
    shell: Option<Shell>,
    words: Vec<OsString>,
}

fn with_options(topic: Topic, rest: Vec<OsString>) -> Result<Command, Usage> {
    let mut parser = Parser::from_args(rest);
    let mut seen = Seen::default();
    let wrong = |e: lexopt::Error| Usage::Option(lower(&e.to_string()), topic);
    while let Some(arg) = parser.next().map_err(wrong)? {
        match (topic, arg) {
            (_, Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help(Some(topic))),
            (Topic::Status | Topic::Stop | Topic::Stats | Topic::Doctor | Topic::Preload, Arg::Long("json")) => {
                seen.json = true
            }
            (Topic::Stats, Arg::Long("reset")) => seen.reset = true,
            (Topic::Shims, Arg::Long("remove")) => seen.remove = true,
            (Topic::Shims, Arg::Long("python")) => seen.python = Some(parser.value().map_err(wrong)?),
            (Topic::Env, Arg::Long("shell")) => seen.shell = Some(shell(parser.value().map_err(wrong)?)?),
            (Topic::Stop | Topic::Shims | Topic::Env | Topic::Preload, Arg::Value(word)) => seen.words.push(word),
            (_, arg) => return Err(wrong(arg.unexpected())),
        }
    }
    finish(topic, seen)
}

fn finish(topic: Topic, seen: Seen) -> Result<Command, Usage> {
    let json = seen.json;
    let mut dirs = seen.words.iter().map(PathBuf::from);
    match topic {
        Topic::Status => Ok(Command::Status { json }),
        Topic::Stats => Ok(Command::Stats { json, reset: seen.reset }),
        Topic::Doctor => Ok(Command::Doctor { json }),
        Topic::Stop => {
            let targets = seen.words.iter().map(|w| target(w)).collect::<Result<_, _>>()?;
            Ok(Command::Stop { json, targets })
        }
        Topic::Shims => {
            let dir = dirs.next().ok_or(Usage::Missing("a directory", topic))?;
            match (dirs.next(), seen.remove, seen.python) {
                (Some(_), _, _) => Err(Usage::Clash("one directory at a time", topic)),
                (None, true, Some(_)) => Err(Usage::Clash("--remove takes no --python", topic)),
                (None, true, None) => Ok(Command::ShimsRemove { dir }),
                (None, false, python) => Ok(Command::Shims { dir, python }),
            }
        }
        Topic::Env => {
            let dir = dirs.next();
            match dirs.next() {
                Some(_) => Err(Usage::Clash("one directory at a time", topic)),
                None => Ok(Command::Env { dir, shell: seen.shell }),
            }
        }
        Topic::Preload => {
            let mut words = seen.words.into_iter();
            let word = words.next();
            let names: Vec<OsString> = words.collect();
            let change = match word.as_deref().map(OsStr::as_bytes) {
                Some(b"list") => Change::None,
                Some(b"add") => Change::Add,
                Some(b"remove") => Change::Remove,
                Some(b"learned") if names.is_empty() => return Ok(Command::Learned { json }),
                Some(b"forget") if names.is_empty() && !json => return Ok(Command::Forget),
                Some(b"learned" | b"forget") => {
                    return Err(Usage::Clash("learned takes --json only, forget nothing", topic));
                }
                Some(_) => return Err(Usage::Clash("it is list, add, remove, learned or forget", topic)),
                None => return Err(Usage::Missing("list, add, remove, learned or forget", topic)),
            };
            match (change, names.is_empty()) {
                (Change::None, false) => Err(Usage::Clash("list takes no names", topic)),
                (Change::Add | Change::Remove, true) => Err(Usage::Missing("a name", topic)),
                (Change::Add | Change::Remove, false) if json => {
                    Err(Usage::Clash("--json goes with list and learned", topic))
                }
                _ => Ok(Command::Preload { json, change, names }),
            }
        }
        Topic::Why | Topic::Zygote => unreachable!("these keep their words"),
    }
}

fn shell(name: OsString) -> Result<Shell, Usage> {
    Shell::named(&name).ok_or(Usage::Shell(name))
}

impl Shell {
    /// The shell of this name; a login shell's name begins with a dash.
    pub fn named(name: &OsStr) -> Option<Shell> {
        let name = name.as_bytes();
        match name.strip_prefix(b"-").unwrap_or(name) {
            b"bash" | b"zsh" | b"sh" | b"dash" | b"ksh" | b"mksh" | b"ash" | b"posix" => Some(Shell::Posix),
            b"fish" => Some(Shell::Fish),
            _ => None,
        }
    }
}

/// A pid has seven digits at most (PID_MAX_LIMIT is 2^22), a key is given by eight at least.
fn target(word: &OsStr) -> Result<Target, Usage> {
    let wrong = || Usage::Target(word.to_owned());
    let text = word.to_str().ok_or_else(wrong)?;
    if (1..=7).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        let pid = text.parse().map_err(|_| wrong())?;
        return if pid == 0 { Err(wrong()) } else { Ok(Target::Pid(pid)) };
    }
    let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex && (8..=32).contains(&text.len()) { Ok(Target::Key(text.into())) } else { Err(wrong()) }
}

fn lower(text: &str) -> String {
    text.strip_prefix("Invalid").map_or_else(|| text.into(), |rest| format!("invalid{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(line: &str) -> Result<Command, Usage> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn commands_and_their_options() {
        assert_eq!(p("status"), Ok(Command::Status { json: false }));
        assert_eq!(p("stats --reset --json"), Ok(Command::Stats { json: true, reset: true }));
        assert_eq!(p("shims .venv --remove"), Ok(Command::ShimsRemove { dir: ".venv".into() }));
        assert_eq!(p("shims d --python=x"), Ok(Command::Shims { dir: "d".into(), python: Some("x".into()) }));
        assert_eq!(p("env --shell fish"), Ok(Command::Env { dir: None, shell: Some(Shell::Fish) }));
        assert_eq!(p("env -- -d"), Ok(Command::Env { dir: Some("-d".into()), shell: None }));
        assert_eq!(p("help stop"), Ok(Command::Help(Some(Topic::Stop))));
        assert_eq!(p("stop --help"), Ok(Command::Help(Some(Topic::Stop))));
    }

    #[test]
    fn a_line_for_python_is_not_ours_to_read() {
        let line = ["-u", "x.py", "--json", "--help"].map(OsString::from).to_vec();
        assert_eq!(
            p("why -u x.py --json --help"),
            Ok(Command::Why { json: false, modules: false, line: line.clone() })
        );
        let both = Command::Why { json: true, modules: true, line: line.clone() };
        assert_eq!(p("why --modules --json -u x.py --json --help"), Ok(both));
        assert_eq!(p("why --json -u x.py --json --help"), Ok(Command::Why { json: true, modules: false, line }));
        assert_eq!(p("zygote --foreground"), Ok(Command::Zygote(vec!["--foreground".into()])));
    }

    #[test]
    fn lists_of_modules() {
        let names = ["click", "yaml"].map(OsString::from).to_vec();
        assert_eq!(p("preload add click yaml"), Ok(Command::Preload { json: false, change: Change::Add, names }));
        let list = Command::Preload { json: true, change: Change::None, names: vec![] };
        assert_eq!(p("preload list --json"), Ok(list));
        assert_eq!(p("preload learned --json"), Ok(Command::Learned { json: true }));
        assert_eq!(p("preload forget"), Ok(Command::Forget));
        for bad in [
            "preload forget x",
            "preload forget --json",
            "preload",
            "preload add",
            "preload remove",
            "preload list x",
            "preload x",
            "preload add --json x",
        ] {
            assert!(p(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pids_and_keys() {
        let targets = vec![Target::Pid(4711), Target::Key("0123abcd".into())];
        assert_eq!(p("stop 4711 0123abcd"), Ok(Command::Stop { json: false, targets }));
        for bad in ["stop 0", "stop abc", "stop 0123ABCD", "stop ../../etc"] {
            assert!(matches!(p(bad), Err(Usage::Target(_))), "{bad}");
        }
    }

    #[test]
    fn usage() {
        for bad in ["", "x", "status x", "status --reset", "shims", "shims a b", "shims a --remove --python b"] {
            assert!(p(bad).is_err(), "{bad}");
        }
        for bad in ["env --shell tcsh", "env --shell", "help x", "why", "why --json", "stop --nope"] {
            assert!(p(bad).is_err(), "{bad}");
        }
    }
}
