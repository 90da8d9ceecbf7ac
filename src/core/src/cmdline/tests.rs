use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::options::{CATEGORIES, EXTRA, LONG, Meaning, SHORT, Takes};
use super::*;

const V39: Option<Version> = Some(Version { major: 3, minor: 9 });
const V310: Option<Version> = Some(Version { major: 3, minor: 10 });
const V311: Option<Version> = Some(Version { major: 3, minor: 11 });
const V313: Option<Version> = Some(Version { major: 3, minor: 13 });
const V314: Option<Version> = Some(Version { major: 3, minor: 14 });
const V315: Option<Version> = Some(Version { major: 3, minor: 15 });

/// Parse `python3` and these words, and hand the result to `look`.
fn with<R>(words: &[&str], version: Option<Version>, look: impl FnOnce(Result<CommandLine<'_>, Reason>) -> R) -> R {
    let mut argv: Vec<&[u8]> = vec![b"python3"];
    argv.extend(words.iter().map(|w| w.as_bytes()));
    look(parse(&argv, version))
}

#[track_caller]
fn warm(words: &[&str], version: Option<Version>, look: impl FnOnce(&Settings<'_>) -> bool) {
    with(words, version, |parsed| match parsed {
        Ok(line) => assert!(look(&line.settings), "{words:?}: {:?}", line.settings),
        Err(reason) => panic!("{words:?}: {reason}"),
    });
}

#[track_caller]
fn cold(words: &[&str], version: Option<Version>, reason: Reason) {
    with(words, version, |parsed| assert_eq!(parsed.err(), Some(reason), "{words:?}"));
}

fn plain(_: &Settings<'_>) -> bool {
    true
}

#[test]
fn tables_are_sorted() {
    assert!(SHORT.windows(2).all(|w| w[0].name < w[1].name));
    assert!(LONG.windows(2).all(|w| w[0].name < w[1].name));
    assert!(EXTRA.windows(2).all(|w| w[0].name < w[1].name));
    assert!(CATEGORIES.windows(2).all(|w| w[0].name < w[1].name));
    assert!(SHORT.iter().all(|r| r.name.len() == 1));
}

#[test]
fn every_short_option() {
    use Reason::*;
    for row in SHORT {
        let name = row.name;
        let typed = alloc::format!("-{name}");
        let words = [typed.as_str(), "s.py"];
        match name {
            "B" => warm(&words, V39, |s| s.dont_write_bytecode),
            "E" => warm(&words, V39, |s| s.ignore_environment && !s.isolated && !s.no_user_site),
            "I" => warm(&words, V39, |s| s.isolated && s.ignore_environment && s.no_user_site && !s.safe_path),
            "O" => warm(&words, V39, |s| s.optimize == 1),
            "P" => warm(&words, V311, |s| s.safe_path && !s.isolated),
            "R" => warm(&words, V39, |s| s.randomize_hash),
            "S" => warm(&words, V39, |s| s.no_site),
            "W" => warm(&["-W", "error", "s.py"], V39, |s| s.warnoptions == [b"error"]),
            "X" => warm(&["-X", "utf8=0", "s.py"], V39, |s| s.xoptions == [b"utf8=0"] && s.utf8_mode == Some(false)),
            "b" => warm(&words, V39, |s| s.bytes_warning == 1 && s.warnoptions == [b"default::BytesWarning"]),
            "q" => warm(&words, V39, |s| s.quiet == 1),
            "s" => warm(&words, V39, |s| s.no_user_site),
            "u" => warm(&words, V39, |s| s.unbuffered),
            "c" => cold(&["-c", "pass"], V39, Command),
            "m" => cold(&["-m", "http.server"], V39, Module),
            "?" | "h" => cold(&words, V39, Help),
            "V" => cold(&words, V39, Version),
            "d" | "t" | "v" => cold(&words, V39, OptionObserved),
            "i" => cold(&words, V39, Interactive),
            "x" => cold(&words, V39, SkipFirstLine),
            _ => panic!("no case for -{name}"),
        }
        // At the end of the line, an option with a value has none.
        if matches!(row.takes, Takes::Value) {
            cold(&[&typed], V39, OptionMalformed);
        } else if !matches!(row.meaning, Meaning::Fallback(_)) {
            cold(&[&typed], V314, Repl);
        }
    }
    cold(&["-J", "s.py"], None, OptionUnknown);
    cold(&["-Z", "s.py"], None, OptionUnknown);
}

#[test]
fn every_long_option() {
    for row in LONG {
        let typed = alloc::format!("--{}", row.name);
        match row.name {
            "check-hash-based-pycs" => {
                warm(&[&typed, "never", "s.py"], V39, |s| s.check_hash_based_pycs == HashPycs::Never);
                warm(&[&typed, "always", "s.py"], V39, |s| s.check_hash_based_pycs == HashPycs::Always);
                warm(&[&typed, "never", &typed, "default", "s.py"], V39, |s| *s == Settings::default());
                cold(&[&typed, "often", "s.py"], V39, Reason::OptionMalformed);
                cold(&[&typed], V39, Reason::OptionMalformed);
            }
            "version" => cold(&[&typed, "s.py"], V39, Reason::Version),
            _ => cold(&[&typed, "s.py"], V311, Reason::Help),
        }
        // Neither `=` nor abbreviations.
        cold(&[&alloc::format!("{typed}=never"), "s.py"], None, Reason::OptionUnknown);
        cold(&[&typed[..typed.len() - 1], "s.py"], None, Reason::OptionUnknown);
    }
    cold(&["--help-all"], V310, Reason::OptionUnknown);
    cold(&["--help-all"], None, Reason::Help);
}

#[test]
fn every_extra_key() {
    for row in EXTRA {
        // What makes it warm; what does not; the first version, if not all.
        let (good, bad, first): (&[&str], &[&str], Option<u8>) = match row.name {
            "cpu_count" => (&["=1", "=default", "=2147483647"], &["", "=", "=0", "=-1", "=2147483648", "=x"], Some(13)),
            "dev" | "faulthandler" => (&[""], &["=", "=1", "=0"], None),
            "frozen_modules" => (&["", "=on", "=off"], &["=", "=1", "=On"], Some(11)),
            "gil" => (&["=1"], &["", "=", "=0", "=11"], Some(13)),
            "int_max_str_digits" => (&["=0", "=640", "=2147483647"], &["", "=", "=639", "=-1", "=+640", "= 640"], None),
            "no_debug_ranges" => (&[""], &["=", "=1"], Some(11)),
            "pycache_prefix" => (&["=/", "=/a b"], &["", "=", "=a", "=./a"], None),
            "utf8" => (&["", "=0", "=1"], &["=", "=2", "=01"], None),
            "warn_default_encoding" => (&[""], &["=", "=1"], Some(10)),
            "importtime" | "perf" | "perf_jit" | "presite" | "pystats" | "showrefcount" | "tracemalloc" => {
                cold(&["-X", row.name, "s.py"], V314, Reason::OptionObserved);
                cold(&["-X", &alloc::format!("{}=1", row.name), "s.py"], None, Reason::OptionObserved);
                continue;
            }
            name => panic!("no case for -X {name}"),
        };
        for value in good {
            let typed = alloc::format!("{}{value}", row.name);
            warm(&["-X", &typed, "s.py"], V314, |s| s.xoptions == [typed.as_bytes()]);
            warm(&[&alloc::format!("-X{typed}"), "s.py"], None, |s| s.xoptions == [typed.as_bytes()]);
        }
        for value in bad {
            cold(&["-X", &alloc::format!("{}{value}", row.name), "s.py"], V314, Reason::OptionMalformed);
        }
        if let Some(minor) = first {
            let older = crate::cmdline::Version { major: 3, minor: minor - 1 };
            let typed = alloc::format!("{}{}", row.name, good[0]);
            cold(&["-X", &typed, "s.py"], Some(older), Reason::OptionUnknown);
            warm(&["-X", &typed, "s.py"], Some(crate::cmdline::Version { minor, ..older }), plain);
        }
    }
    for typed in ["", "=", "Dev", "de", "devel", "thread_inherit_context=1", "oldparser"] {
        cold(&["-X", typed, "s.py"], None, Reason::OptionUnknown);
    }
}

#[test]
fn meaning_of_extra_keys() {
    warm(&["-Xdev", "-bb", "-Wignore", "-Wdefault", "s.py"], V39, |s| {
        s.dev_mode && s.warnoptions == [b"default".as_slice(), b"ignore", b"error::BytesWarning"]
    });
    warm(&["-Xutf8", "-Xutf8=0", "s.py"], V39, |s| s.utf8_mode == Some(true) && s.xoption("utf8") == Some(b""));
    warm(&["-Xwarn_default_encoding", "s.py"], V310, |s| s.warn_default_encoding && s.utf8_mode.is_none());
    warm(&["-Xpycache_prefix=/a=b", "s.py"], V39, |s| s.xoption("pycache_prefix") == Some(b"/a=b"));
    warm(&["s.py"], V39, |s| s.xoption("dev").is_none() && *s == Settings::default());
}

#[test]
fn warnings() {
    for row in CATEGORIES {
        let typed = alloc::format!("error::{}", row.name);
        warm(&["-W", &typed, "s.py"], V314, |s| s.warnoptions == [typed.as_bytes()]);
        warm(&["-W", &typed, "s.py"], Some(crate::cmdline::Version { major: 3, minor: row.since }), plain);
    }
    // 3.9 starts with this one, but not silently.
    cold(&["-W", "error::EncodingWarning", "s.py"], V39, Reason::OptionMalformed);
    cold(&["-W", "error::EncodingWarning", "s.py"], None, Reason::OptionMalformed);
    for good in [
        "all",
        "al",
        "e",
        "i",
        "mod",
        "ignore:",
        "ignore:any text",
        "once::::12",
        "d:m:UserWarning:mod.ule:3",
        "o:::m:",
    ] {
        warm(&["-W", good, "s.py"], None, |s| s.warnoptions == [good.as_bytes()]);
    }
    for bad in
        ["", "x", "Error", " error", "error ", "allx", ":", "error::Nope", "error::ssl.SSLError", "error::OSError"]
            .into_iter()
            .chain(["error:::::", "error::::x", "error::::-1", "error::::1_0", "error::::1234567890", "\u{e9}"])
    {
        cold(&["-W", bad, "s.py"], V314, Reason::OptionMalformed);
    }
    // Of two equal ones the first stays.
    warm(&["-We", "-Wi", "-We", "s.py"], None, |s| s.warnoptions == [b"e", b"i"]);
}

#[test]
fn clusters_and_values() {
    warm(&["-Esu", "s.py"], V39, |s| s.ignore_environment && s.no_user_site && s.unbuffered);
    warm(&["-uXdev", "s.py"], V39, |s| s.unbuffered && s.dev_mode);
    warm(&["-uX", "dev", "s.py"], V39, |s| s.unbuffered && s.dev_mode);
    warm(&["-uWi", "s.py"], V39, |s| s.warnoptions == [b"i"]);
    warm(&["-OO", "s.py"], V39, |s| s.optimize == 2);
    warm(&["-O", "-b", "-Ob", "s.py"], V39, |s| s.optimize == 2 && s.bytes_warning == 2);
    warm(&["-qq", "s.py"], V39, |s| s.quiet == 2);
    warm(&["-qq", "s.py"], V313, |s| s.quiet == 1);
    warm(&["-qq", "s.py"], None, |s| s.quiet == 2);
    warm(&["-E-check-hash-based-pycs", "always", "s.py"], V39, |s| s.check_hash_based_pycs == HashPycs::Always);
    cold(&["-Esc", "pass"], None, Reason::Command);
    cold(&["-Escpass"], None, Reason::Command);
    cold(&["-umtimeit"], None, Reason::Module);
    cold(&["-OOO", "s.py"], None, Reason::OptionMalformed);
    cold(&["-E-", "s.py"], None, Reason::OptionMalformed);
    cold(&["-E--", "s.py"], None, Reason::OptionUnknown);
    cold(&["-uZ", "s.py"], None, Reason::OptionUnknown);
    cold(&["-W", "--", "s.py"], None, Reason::OptionMalformed);
}

#[test]
fn where_the_script_is() {
    let found = |words: &[&str], index: usize| {
        with(words, V39, |parsed| {
            let line = parsed.unwrap_or_else(|reason| panic!("{words:?}: {reason}"));
            assert_eq!((line.script_index, line.script), (index, words[index - 1].as_bytes()), "{words:?}");
            assert_eq!(line.options.len(), index - 1);
        });
    };
    found(&["s.py"], 1);
    found(&["s.py", "-c", "--", "-h"], 1);
    found(&["-u", "--", "-x.py", "-h"], 3);
    found(&["--", "--"], 2);
    found(&["-W", "i", "s.py", "-"], 3);
    cold(&[], None, Reason::Repl);
    cold(&["-u"], None, Reason::Repl);
    cold(&["--"], None, Reason::Repl);
    cold(&["-"], None, Reason::StdinScript);
    cold(&["-u", "-", "s.py"], None, Reason::StdinScript);
    cold(&["--", "-"], None, Reason::StdinScript);
    cold(&[""], None, Reason::ScriptNotRegular);
    cold(&["--", "", "s.py"], None, Reason::ScriptNotRegular);
    assert_eq!(parse(&[], None).err(), Some(Reason::NoArguments));
    assert!(parse(&[b"", b"s.py"], None).is_ok());
    assert_eq!(parse(&[b"\xff", b"-\xff", b"s.py"], None).err(), Some(Reason::OptionUnknown));
    assert_eq!(parse(&[b"p", b"-u", b"\xff.py"], None).map(|line| line.script), Ok(b"\xff.py".as_slice()));
}

#[test]
fn versions() {
    warm(&["-I", "s.py"], V310, |s| s.isolated && !s.safe_path);
    warm(&["-I", "s.py"], V311, |s| s.isolated && s.safe_path);
    warm(&["-I", "s.py"], None, |s| s.isolated && s.safe_path);
    warm(&["-P", "s.py"], None, |s| s.safe_path);
    cold(&["-P", "s.py"], V310, Reason::OptionUnknown);
    // A version that the tables do not cover: scripts, but no options.
    warm(&["s.py", "-u"], V315, plain);
    cold(&["-u", "s.py"], V315, Reason::OptionUnknown);
    cold(&["-u", "s.py"], Some(crate::cmdline::Version { major: 2, minor: 12 }), Reason::OptionUnknown);
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = SHORT
        .iter()
        .map(|r| alloc::format!("-{}", r.name))
        .chain(LONG.iter().map(|r| alloc::format!("--{}", r.name)))
        .chain(EXTRA.iter().map(|r| alloc::format!("-X{}", r.name)))
        .chain(["-Wi", "error::EncodingWarning", "always", "dev", "s.py", "-", "--", ""].map(Into::into))
        .map(alloc::string::String::into_bytes)
        .collect();
    prop_oneof![
        6 => proptest::sample::select(known),
        3 => "-[BEIOPRSbqsuWX]{1,3}".prop_map(|s| s.into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => proptest::collection::vec(any::<u8>(), 0..6).prop_map(|mut tail| { tail.insert(0, b'-'); tail }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn total(words in proptest::collection::vec(word(), 0..8), minor in proptest::option::of(8u8..17)) {
        let argv: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let version = minor.map(|minor| crate::cmdline::Version { major: 3, minor });
        let parsed = parse(&argv, version);
        if let Ok(line) = &parsed {
            prop_assert!(!line.script.is_empty() && line.script != b"-");
            prop_assert!(line.script_index >= 1);
            prop_assert_eq!(argv[line.script_index], line.script);
            prop_assert_eq!(line.options, &argv[1..line.script_index]);
            // What one version takes, an unknown one takes, if no version complains.
            let blind = parse(&argv, None);
            let encoding = line.settings.warnoptions.iter().any(|w| w.windows(15).any(|w| w == b"EncodingWarning"));
            prop_assert_eq!(blind.map(|b| b.script_index).is_ok(), !encoding);
        }
    }
}
