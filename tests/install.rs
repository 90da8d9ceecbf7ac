//! `install.sh`, with a cargo that hands out what this test's own build has made.

mod scratch;

use scratch::{Done, Scratch, built, plain_path};
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A clone with nothing in it but what install.sh needs, and a PATH with that cargo in front.
struct Clone {
    s: Scratch,
    path: OsString,
}

impl Clone {
    fn new() -> Clone {
        let s = Scratch::new();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["install.sh", "shims/names", "demo/ok.py"] {
            s.put(&format!("a clone/{file}"), std::fs::read(here.join(file)).unwrap(), 0o755);
        }
        let made = built().unwrap_or_else(|| [s.path("prefix/lib/pyzy/launcher"), s.path("a clone/demo/ok.py")]);
        for (name, file) in ["LAUNCHER", "LIBRARY"].iter().zip(&made) {
            symlink(file, s.path(name)).unwrap();
        }
        let cargo = format!(
            "#!/bin/sh\nset -eu\nhere='{}'\necho \"$PWD: $*\" >>\"$here/cargo.log\"\n\
             while [ \"$1\" != --target-dir ]; do shift; done\nmkdir -p \"$2/release\" \"$2/launcher\"\n\
             case $* in\n*pyzy-launcher*) cp -L \"$here/LAUNCHER\" \"$2/launcher/pyzy-launcher\";;\n\
             *) cp -L \"$here/LIBRARY\" \"$2/release/libpyzy_zygote.so\"\ncp '{}' \"$2/release/pyzy\";;\nesac\n",
            s.root.display(),
            env!("CARGO_BIN_EXE_pyzy")
        );
        s.put("bin/cargo", cargo, 0o755);
        let mut path = s.path("bin").into_os_string();
        path.push(":");
        path.push(plain_path());
        Clone { s, path }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.s.command("sh");
        command.arg(self.s.path("a clone/install.sh")).args(args).env("PATH", &self.path);
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        self.command(args).output().unwrap().into()
    }
}

/// Every name below a directory, with link targets.
fn tree(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut open: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            let target = std::fs::read_link(&path).map_or(String::new(), |t| format!(" -> {}", t.display()));
            if entry.file_type().unwrap().is_dir() {
                open.push(path.clone());
            }
            names.push(format!("{}{target}", path.strip_prefix(dir).unwrap().display()));
        }
    }
    names.sort();
    names
}

#[test]
fn installs_twice_and_goes_without_a_trace() {
    let c = Clone::new();
    let prefix = c.s.path("home/.local/share/pyzy");
    let out = c.run(&["--no-demo"]).good();
    assert!(
        out.ends_with("\n    export PATH=\"$HOME/.local/share/pyzy/shims:$HOME/.local/share/pyzy/bin:$PATH\"\n"),
        "{out}"
    );
    let all = tree(&prefix);
    for name in [
        "bin/pyzy -> ../lib/pyzy/pyzy",
        "lib/pyzy/launcher",
        "lib/pyzy/libpyzy_zygote.so",
        "lib/pyzy/pyzy",
        "shims/python3 -> ../lib/pyzy/launcher",
    ] {
        assert!(all.iter().any(|n| n == name), "{name}: {all:?}");
    }
    // A name of an earlier version goes, a file of the user's stays.
    symlink("../lib/pyzy/launcher", prefix.join("shims/python3.8")).unwrap();
    std::fs::write(prefix.join("shims/mine"), "").unwrap();
    c.run(&["--no-demo"]).good();
    std::fs::remove_file(prefix.join("shims/mine")).unwrap();
    assert_eq!(tree(&prefix), all);
    std::fs::write(prefix.join("bin/mine"), "").unwrap();
    let gone: Done = c.run(&["--uninstall"]);
    assert!(gone.code == Some(0) && gone.out.contains("pyzy is gone"), "{gone:?}");
    assert_eq!(tree(&prefix), ["bin", "bin/mine"]);
    assert!(c.run(&["--uninstall"]).good().starts_with("nothing is installed"));
    let home = tree(&c.s.path("home"));
    assert!(home.iter().all(|n| n.starts_with(".local")), "no dotfile is touched: {home:?}");
}

#[test]
fn names_are_those_that_have_an_interpreter() {
    // From the second installation on, `python3` on PATH is the shim.
    if scratch::built().is_none() {
        return;
    }
    let c = Clone::new();
    let prefix = c.s.path("p");
    // Tools without any python but those below.
    std::fs::create_dir_all(c.s.path("tools")).unwrap();
    for dir in ["/bin", "/usr/bin", "/usr/local/bin"] {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with("python") {
                let _ = symlink(entry.path(), c.s.path("tools").join(entry.file_name()));
            }
        }
    }
    let real = scratch::interpreters().remove(0);
    c.s.put("pyenv/shims/python3.9", "#!/usr/bin/env bash\nexit 1\n", 0o755);
    c.s.put("tools/python3.10", "", 0o644);
    c.s.put("venv/bin/python3.13", "#!/bin/sh\n", 0o755);
    c.s.put("venv/pyvenv.cfg", "home = /usr/bin\n", 0o644);
    for (file, target) in [("tools/python3", &real), ("a dir/python3.12", &real)] {
        std::fs::create_dir_all(c.s.path(file).parent().unwrap()).unwrap();
        symlink(target, c.s.path(file)).unwrap();
    }
    let dirs = ["p/shims", "prefix/shims", "venv/bin", "bin", "tools", "pyenv/shims", "a dir"].map(|d| c.s.path(d));
    let path = std::env::join_paths(dirs).unwrap();
    let install = |args: &[&str]| {
        let mut command = c.command(&[&["--no-demo", "--prefix", "p"], args].concat());
        let out = Done::from(command.env("PATH", &path).output().unwrap()).good();
        let mut names: Vec<String> =
            tree(&prefix.join("shims")).iter().filter_map(|n| n.split(" -> ").next().map(String::from)).collect();
        names.sort_by_key(|n| n.strip_prefix("python3.").and_then(|m| m.parse().ok()).unwrap_or(0));
        assert!(out.contains(&format!(", with the shims {}\n", names.join(" "))), "{out}");
        names.join(" ")
    };
    assert_eq!(install(&[]), "python3 python3.9 python3.12");
    assert_eq!(install(&[]), "python3 python3.9 python3.12", "its own shims do not count");
    assert_eq!(install(&["--all-names"]).split(' ').count(), 8);
    // The doctor has the same rule.
    let doctor = || {
        let mut command = c.s.command(prefix.join("bin/pyzy"));
        Done::from(command.arg("doctor").env("PATH", &path).output().unwrap()).out
    };
    assert!(!doctor().contains("has no shim"));
    std::fs::remove_file(c.s.path("a dir/python3.12")).unwrap();
    assert_eq!(install(&[]), "python3 python3.9", "a name without an interpreter goes");
    assert!(!doctor().contains("has no shim"));
    symlink(&real, c.s.path("a dir/python3.11")).unwrap();
    symlink(&real, c.s.path("a dir/python")).unwrap();
    let seen = doctor();
    assert!(
        seen.contains("has no shim python, python3.11\n") && seen.contains("cure: run ./install.sh again"),
        "{seen}"
    );
    assert_eq!(install(&[]), "python python3 python3.9 python3.11");
    assert!(!doctor().contains("has no shim"));
}

#[test]
fn builds_where_it_is_told_from_wherever_it_is_called() {
    let c = Clone::new();
    let mut command = c.command(&["--no-demo", "--prefix", "my $prefix \"x\""]);
    let out = Done::from(command.env("CARGO_TARGET_DIR", "built here").output().unwrap()).good();
    let log = std::fs::read_to_string(c.s.path("cargo.log")).unwrap();
    let root = c.s.root.display();
    let lines: Vec<&str> = log.lines().collect();
    let line = |rest: &str| format!("{root}/a clone: build --locked --target-dir {root}/built here {rest}");
    assert_eq!(lines, [line("--profile launcher -p pyzy-launcher"), line("--release -p pyzy -p pyzy-zygote")]);
    // The line to add is code that means this prefix.
    let line = out.lines().last().unwrap().trim();
    let shown = Done::from(c.s.command("sh").args(["-c", &format!("{line}; printf %s \"$PATH\"")]).output().unwrap());
    let want = format!("{root}/my $prefix \"x\"/shims:{root}/my $prefix \"x\"/bin:");
    assert!(shown.good().starts_with(&want));
    let fish: Done = c.command(&["--no-demo"]).env("SHELL", "/usr/bin/fish").output().unwrap().into();
    assert!(fish.good().contains("    set -gx PATH \"$HOME/"));
}

#[test]
fn what_is_missing_is_named_with_what_brings_it() {
    let c = Clone::new();
    // A PATH with the tools of a bare system only.
    for tool in ["sh", "dirname", "uname", "cat", "env"] {
        let from = ["/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(tool)).find(|p| p.exists()).unwrap();
        std::fs::create_dir_all(c.s.path("bare")).unwrap();
        symlink(from, c.s.path("bare").join(tool)).unwrap();
    }
    let done: Done = c.command(&[]).env("PATH", c.s.path("bare")).output().unwrap().into();
    assert_eq!(done.code, Some(1), "{done:?}");
    for part in ["'cargo' is missing", "sh.rustup.rs", "'cc' is missing", "'python3' is missing"] {
        assert!(done.err.contains(part), "{part}: {done:?}");
    }
    assert!(c.run(&["--help"]).good().starts_with("usage: ./install.sh"));
    assert_eq!(c.run(&["--nope"]).code, Some(2));
    let none: Done = c.command(&[]).env_remove("HOME").output().unwrap().into();
    assert!(none.code == Some(1) && none.err.contains("--prefix DIR"), "{none:?}");
}

#[test]
fn a_foreign_file_is_not_overwritten() {
    let c = Clone::new();
    c.s.put("p/bin/pyzy", "mine", 0o755);
    let done = c.run(&["--no-demo", "--prefix", "p"]);
    assert!(done.code == Some(1) && done.err.contains("is there and is not pyzy's\nhint: "), "{done:?}");
    assert_eq!(std::fs::read(c.s.path("p/bin/pyzy")).unwrap(), b"mine");
    assert!(tree(&c.s.path("p")).iter().all(|n| !n.contains(".new.")));
}

#[test]
fn the_demo_shows_cold_and_warm() {
    let c = Clone::new();
    if built().is_none() {
        return eprintln!("skipped: launcher and library are not built");
    }
    let done = c.run(&["--prefix", "p"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("  cold  ") && done.out.contains("route=fallback reason=no-zygote\n"), "{done:?}");
    assert!(done.out.contains("  warm  ") && done.out.contains("route=warm engine=restore\n"), "{done:?}");
}
