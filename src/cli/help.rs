//! `pyzy --help` and `pyzy help COMMAND`.
//!
//! Owns the texts, and with them the list of the commands: a command without a
//! text does not exist.

use std::ffi::OsStr;

/// A command, as a topic of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Status,
    Stop,
    Stats,
    Why,
    Doctor,
    Shims,
    Env,
    Preload,
    Zygote,
}

const TOPICS: &[(Topic, &str, &str, &str)] = &[
    (Topic::Status, "status", "the zygotes and images: interpreter, age, memory, runs", STATUS),
    (Topic::Stop, "stop", "ask zygotes to leave", STOP),
    (Topic::Stats, "stats", "warm runs and fallbacks, by reason", STATS),
    (Topic::Why, "why", "explain what `python3 …` would do, and why", WHY),
    (Topic::Doctor, "doctor", "check the installation, each trouble with its cure", DOCTOR),
    (Topic::Shims, "shims", "fill a directory, or a venv, with shims", SHIMS),
    (Topic::Env, "env", "shell code that puts shims first on PATH", ENV),
    (Topic::Preload, "preload", "what the project at hand keeps warm", PRELOAD),
    (Topic::Zygote, "zygote", "run a zygote by hand", ZYGOTE),
];

impl Topic {
    /// The command of this name.
    pub fn named(name: &OsStr) -> Option<Topic> {
        TOPICS.iter().find(|(_, n, ..)| name == *n).map(|(topic, ..)| *topic)
    }

    pub fn name(self) -> &'static str {
        self.entry().1
    }

    fn entry(self) -> &'static (Topic, &'static str, &'static str, &'static str) {
        TOPICS.iter().find(|(topic, ..)| *topic == self).unwrap_or(&TOPICS[0])
    }
}

/// The help on a topic, or on everything.
pub fn text(topic: Option<Topic>) -> String {
    if let Some(topic) = topic {
        return topic.entry().3.into();
    }
    let mut out = String::from(HEAD);
    for (_, name, line, _) in TOPICS {
        out.push_str(&format!("  {name:<8}{line}\n"));
    }
    out + TAIL
}

const HEAD: &str = "\
python3 from a warm interpreter: the command beside the shims

usage: pyzy COMMAND [ARGUMENTS]
       pyzy help [COMMAND]
       pyzy --version

";

const TAIL: &str = "
Scripts are run as `python3 SCRIPT`, with the shims first on PATH:
  eval \"$(pyzy env)\"
PYZY_DISABLE=1 turns pyzy off.
";

const STATUS: &str = "\
usage: pyzy status [--json]

Shows the zygotes of this user: interpreter and identity, pid, state, age,
time without a caller, memory (PSS counts shared pages in shares), scripts
run by a fork, and workers running now. Then the images: the zygote that made
each and whether it lives, age, time since the last run, runs, size on the
disk, pages of memory that a run maps, and whether the next run may use it, and
will ask for another in its place.
";

const STOP: &str = "\
usage: pyzy stop [--json] [KEY|PID]...

Asks the zygotes named, or all of them, to leave. One with running scripts
takes no more and leaves after the last; no script is ended. One that is
stopped by a signal, or does not leave within two seconds, is killed. A zygote
takes its image with it; images without a zygote are removed. Without a name,
notes of what could not be started or made are forgotten too. Of a KEY, a
zygote's or an image's, the first eight digits are enough.
";

const STATS: &str = "\
usage: pyzy stats [--json] [--reset]

Shows how many runs were warm, by engine, and how many fell back to the real
interpreter, by reason. --reset shows them a last time and counts anew.
";

const WHY: &str = "\
usage: pyzy why [--json] [--modules] [OPTIONS] SCRIPT [ARGUMENTS]

Walks the way of `python3 OPTIONS SCRIPT ARGUMENTS` without running it, and
says whether the run would be warm, by which engine, and for each engine that
would be tried before it, or in vain, why not. With --modules also which
modules are kept warm for it, and which are not and why.
";

const DOCTOR: &str = "\
usage: pyzy doctor [--json]

Checks the installation, PATH, the interpreters behind the shims, directories
and their permissions, variables, the kernel, whether images can be made and
restored, and what could not be started or made. Each trouble comes with its
cure. Exit code 1 if a check fails.
";

const SHIMS: &str = "\
usage: pyzy shims DIR [--python PATH]
       pyzy shims DIR --remove

Fills DIR with the names of one interpreter: python, python3 and python3.X.
PATH is the interpreter, or a name on PATH; without it, what python3 means
there. DIR may be moved, and deleted at will.

If DIR is a venv, or a venv's bin, its own python, python3 and python3.X
become shims, and the venv keeps working; --remove gives back the originals.
";

const ENV: &str = "\
usage: pyzy env [DIR] [--shell bash|zsh|fish]

Prints shell code that puts the shims of DIR, or of this installation, first
on PATH, once:
  eval \"$(pyzy env)\"          # bash, zsh
  pyzy env | source           # fish
";

const PRELOAD: &str = "\
usage: pyzy preload list [--json]
       pyzy preload add NAME...
       pyzy preload remove NAME...
       pyzy preload learned [--json]
       pyzy preload forget

Shows or changes the list `preload` of the table [tool.pyzy] in the nearest
pyproject.toml, here or above: what is kept warm for the scripts below it. A
NAME is a module's, or stdlib for a part of the standard library, or learned
for what runs are seen to import. Everything else in the file stays as it is.
PYZY_PRELOAD goes before it.

learned shows what runs of python3 have imported cold, and forget removes that.
";

const ZYGOTE: &str = "\
usage: pyzy zygote --foreground [-- OPTIONS]

Runs a zygote by hand, with its log on standard error, until it is told to
leave or has been idle for PYZY_MAX_IDLE_SECS. OPTIONS are the interpreter's:
`pyzy zygote --foreground -- -X dev` serves `python3 -X dev file.py`.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_has_its_own_text() {
        for (topic, name, ..) in TOPICS {
            assert_eq!(Topic::named(OsStr::new(name)), Some(*topic));
            assert!(text(Some(*topic)).starts_with(&format!("usage: pyzy {name} ")));
            assert!(text(None).contains(&format!("\n  {name}")));
        }
        assert!(TOPICS.iter().all(|t| text(Some(t.0)).lines().all(|l| l.chars().count() < 80)));
    }
}
