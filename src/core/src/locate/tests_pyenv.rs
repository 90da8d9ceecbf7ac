//! pyenv against a file system in memory; `tests/locate_pyenv.rs` asks the real one.

use alloc::vec::Vec;

use super::fake::Fake;
use super::tests::{installed, run};
use super::{Call, Found, How, LocateError, locate};
use crate::{reason::Reason, vars};

const SHIM: &str = "#!/usr/bin/env bash\nset -e\n[ -n \"$PYENV_DEBUG\" ] && set -x\n\nprogram=\"${0##*/}\"\n\n\
    export PYENV_ROOT=\"/pe\"\nSHIM_PATH=${0%/*}\nif [[ $SHIM_PATH != \"/pe/shims\" ]]; then\n  \
    export _PYENV_SHIM_PATH=\"$SHIM_PATH\"\nfi\nexec \"/pe/libexec/pyenv\" exec \"$program\" \"$@\"\n";
const PATH: &[u8] = b"PATH=/pyzy/shims:/pe/shims:/usr/bin";

fn pyenv() -> Fake {
    let mut fake = installed();
    for tool in ["bash", "sed", "tr"] {
        fake.elf(&[b"/usr/bin/", tool.as_bytes()].concat());
    }
    for tail in ["", "-exec", "-hooks", "-latest", "-prefix", "-version-file", "-version-file-read", "-version-name"] {
        fake.program(&[b"/pe/libexec/pyenv", tail.as_bytes()].concat(), b"stock");
    }
    fake.program(b"/pe/libexec/pyenv-which", b"stock");
    fake.program(b"/pe/libexec/pyenv-versions", b"stock");
    fake.file(b"/pe/pyenv.d/exec/pip-rehash.bash", b"stock");
    fake.file(b"/pe/pyenv.d/exec/pip-rehash/pip", b"");
    fake.file(b"/pe/pyenv.d/rehash/conda.bash", b"");
    fake.file(b"/pe/plugins/pyenv-virtualenv/etc/pyenv.d/which/conda.bash", b"");
    fake.program(b"/pe/plugins/pyenv-virtualenv/bin/pyenv-virtualenv", b"");
    fake.program(b"/pe/plugins/python-build/bin/pyenv-install", b"");
    fake.program(b"/pe/shims/python3", SHIM.as_bytes());
    for version in ["3.9.18", "3.11.7", "3.11.10"] {
        let bin = [b"/pe/versions/", version.as_bytes(), b"/bin"].concat();
        fake.elf(&[&bin[..], b"/python3.x"].concat());
        fake.link(&[&bin[..], b"/python3"].concat(), b"python3.x");
    }
    fake.file(b"/pe/version", b"3.11.7\n");
    fake
}

fn value<'a>(found: &'a Found, name: &str) -> Option<&'a [u8]> {
    let all: Vec<&[u8]> = found.environ.set.iter().map(|e| &e[..]).collect();
    vars::get(&all, name)
}

fn version(fake: &Fake, environ: &[&[u8]]) -> Vec<u8> {
    match run(fake, b"python3", environ).unwrap() {
        Found { how: How::Pyenv { version }, warm: Ok(()), .. } => version,
        other => panic!("{other:?}"),
    }
}

fn unclear(fake: &Fake, environ: &[&[u8]]) {
    let found = run(fake, b"python3", environ).unwrap();
    assert!(matches!(found.how, How::PyenvShim { .. }), "{found:?}");
    assert_eq!((&found.file[..], found.warm), (&b"/pe/shims/python3"[..], Err(Reason::PyenvUnclear)));
    assert_eq!(found.environ.set, [b"PYZY_LOOP=42.777:1:p/pe/shims/python3".to_vec()]);
}

#[test]
fn the_global_version() {
    let fake = pyenv();
    let found = run(&fake, b"python3", &[PATH, b"SHLVL=2", b"OLDPWD=/none", b"_=/x"]).unwrap();
    assert_eq!(found.file, b"/pe/versions/3.11.7/bin/python3");
    assert_eq!((&found.argv0, &found.orig_argv0), (&found.file, &found.file));
    assert_eq!(found.how, How::Pyenv { version: b"3.11.7".to_vec() });
    assert_eq!(value(&found, "PYENV_VERSION"), Some(&b"3.11.7"[..]));
    assert_eq!(value(&found, "PYENV_DIR"), Some(&b"/work"[..]));
    assert_eq!(value(&found, "SHLVL"), Some(&b"2"[..]));
    let path = b"/pe/versions/3.11.7/bin:/pe/libexec:/pe/plugins/python-build/bin:/pe/plugins/pyenv-virtualenv/bin:\
                 /pyzy/shims:/pe/shims:/usr/bin";
    assert_eq!(value(&found, "PATH"), Some(&path[..]));
    assert_eq!(found.environ.remove, ["_", "PS1", "PS2", "OLDPWD"]);
}

#[test]
fn the_budget() {
    let fake = pyenv();
    let before = fake.calls.get();
    version(&fake, &[PATH]);
    assert!(fake.calls.get() - before < 80, "{} calls", fake.calls.get() - before);
}

#[test]
fn where_the_version_comes_from() {
    let mut fake = pyenv();
    assert_eq!(version(&fake, &[PATH, b"PYENV_VERSION=3.9.18"]), b"3.9.18");
    assert_eq!(version(&fake, &[PATH, b"PYENV_VERSION=python-3.9.18"]), b"3.9.18");
    assert_eq!(version(&fake, &[PATH, b"PYENV_VERSION=3.11"]), b"3.11.10");
    fake.file(b"/.python-version", b"# ours\n\n  3.11.10 ignored\r\n");
    assert_eq!(version(&fake, &[PATH]), b"3.11.10");
    fake.file(b"/work/.python-version", b"3.9.18");
    assert_eq!(version(&fake, &[PATH]), b"3.9.18");
    fake.chdir(b"/work/a/b");
    assert_eq!(version(&fake, &[PATH]), b"3.9.18");
    fake.dir(b"/else");
    assert_eq!(version(&fake, &[PATH, b"PYENV_DIR=/else"]), b"3.11.10");
    // A link to the directory, as the shell's PWD tells it.
    fake.link(b"/else/link", b"/work/a/b");
    assert_eq!(version(&fake, &[PATH, b"PWD=/else/link"]), b"3.11.10");
    assert_eq!(version(&fake, &[PATH, b"PWD=/else"]), b"3.9.18");
}

#[test]
fn whatever_is_not_plain_is_pyenvs() {
    let mut fake = pyenv();
    for odd in [
        &b"PYENV_VERSION=3.1"[..],
        b"PYENV_VERSION=system:",
        b"PYENV_VERSION=3.9.18::system",
        b"PYENV_VERSION=python-system",
        b"PYENV_VERSION=python--k",
        b"PYENV_VERSION=..",
        b"PYENV_VERSION=3.9.18/envs/x",
        b"PYENV_VERSION= 3.9.18",
        b"PYENV_DEBUG=1",
        b"BASH_ENV=/x",
        b"SHLVL=999",
        b"PYENV_DIR=rel",
        b"PYENV_DIR=/none",
        b"PYENV_HOOK_PATH=rel",
        b"PWD=/work/.",
        b"PATH=x",
        b"program=x",
    ] {
        unclear(&fake, &[PATH, odd]);
    }
    for odd in [&b"3.9.18\0"[..], b"\xff", b"3.9.18\n..\n", b"system\n/x", &[b' '; 2000]] {
        fake.file(b"/work/.python-version", odd);
        unclear(&fake, &[PATH]);
    }
    fake.remove(b"/work/.python-version");
    version(&fake, &[PATH]);
    unclear(&fake, &[b"PATH=/pyzy/shims:/pe/shims/:/usr/bin"]);
    unclear(&fake, &[b"PATH=/pyzy/shims:/pe/shims"]);

    fake.file(b"/etc/pyenv.d/exec/mine.bash", b"");
    unclear(&fake, &[PATH]);
    fake.remove(b"/etc/pyenv.d/exec/mine.bash");
    fake.file(b"/pe/plugins/other/etc/pyenv.d/which/conda.bash", b"");
    unclear(&fake, &[PATH]);
    fake.remove(b"/pe/plugins/other/etc/pyenv.d/which/conda.bash");
    fake.program(b"/pe/libexec/pyenv-which", b"another release");
    unclear(&fake, &[PATH]);
    fake.program(b"/pe/libexec/pyenv-which", b"stock");
    fake.program(b"/pe/shims/python3", SHIM.replace("set -e", "set -eu").as_bytes());
    unclear(&fake, &[PATH]);
    fake.program(b"/pe/shims/python3", SHIM.as_bytes());
    fake.program(b"/pe/versions/3.11.7/bin/python3", b"#!/bin/sh\n");
    unclear(&fake, &[PATH]);
    fake.remove(b"/pe/versions/3.11.7/bin/python3");
    fake.remove(b"/usr/bin/python3");
    unclear(&fake, &[PATH]);
}

/// The interpreter, PYENV_VERSION, and PATH without what is in front of the caller's.
fn chosen(fake: &Fake, environ: &[&[u8]]) -> (Vec<u8>, Vec<u8>, bool) {
    let found = run(fake, b"python3", environ).unwrap();
    assert!(matches!(found.how, How::Pyenv { .. }), "{}", found.how);
    assert_eq!((found.warm, &found.argv0, &found.orig_argv0), (Ok(()), &found.file, &found.file));
    let version = value(&found, "PYENV_VERSION").expect("it is always set").to_vec();
    let in_front = !value(&found, "PATH").expect("it is always set").starts_with(b"/pe/libexec:");
    (found.file, version, in_front)
}

#[test]
fn system() {
    let mut fake = pyenv();
    let usr = |version: &[u8]| (b"/usr/bin/python3".to_vec(), version.to_vec(), false);
    assert_eq!(chosen(&fake, &[PATH, b"PYENV_VERSION=system"]), usr(b"system"));
    // A word of a version file, none in it, no file.
    for text in [&b"system\n"[..], b"# ours\n\n system\r\n", b"", b"\n \t\n# 3.9.18\n"] {
        fake.file(b"/work/.python-version", text);
        assert_eq!(chosen(&fake, &[PATH]), usr(b"system"), "{text:?}");
    }
    fake.remove(b"/work/.python-version");
    fake.file(b"/pe/version", b"");
    assert_eq!(chosen(&fake, &[PATH]), usr(b"system"));
    fake.remove(b"/pe/version");
    assert_eq!(chosen(&fake, &[PATH]), usr(b"system"));
    fake.dir(b"/pe/version");
    unclear(&fake, &[PATH]);
    // PATH with a directory of pyenv's own: the test is of its text.
    let path: &[u8] = b"PATH=/pyzy/shims:/pe/shims:/pe/versions/3.9.18/bin:/usr/bin";
    let own = b"/pe/versions/3.9.18/bin/python3".to_vec();
    assert_eq!(chosen(&fake, &[path, b"PYENV_VERSION=system"]), (own, b"system".to_vec(), true));
    fake.elf(b"/pe-of-another/python3");
    let path: &[u8] = b"PATH=/pyzy/shims:/pe/shims:/pe-of-another:/usr/bin";
    let other = b"/pe-of-another/python3".to_vec();
    assert_eq!(chosen(&fake, &[path, b"PYENV_VERSION=system"]), (other, b"system".to_vec(), true));
    // Links to pyenv's shim elsewhere are remembered, and not found again.
    fake.link(b"/home/bin/python3", b"/pe/shims/python3");
    let path: &[u8] = b"PATH=/pyzy/shims:/home/bin:/pe/shims:/usr/bin";
    assert_eq!(chosen(&fake, &[path, b"PYENV_VERSION=system"]), usr(b"system"));
    let path: &[u8] = b"PATH=/pyzy/shims:/pe/shims:/home/bin:/usr/bin";
    unclear(&fake, &[path, b"PYENV_VERSION=system"]);
    let remembered: &[u8] = b"_PYENV_SHIM_PATHS_PYTHON3=/home/bin";
    assert_eq!(chosen(&fake, &[path, b"PYENV_VERSION=system", remembered]), usr(b"system"));
    unclear(&fake, &[path, b"PYENV_VERSION=system", b"_PYENV_SHIM_PATHS_PYTHON3=/home/bin:"]);
}

#[test]
fn several_versions() {
    let mut fake = pyenv();
    let of = |version: &[u8], file: &[u8]| (file.to_vec(), version.to_vec(), file.starts_with(b"/pe/"));
    let select = |fake: &Fake, versions: &[u8]| chosen(fake, &[PATH, &[b"PYENV_VERSION=", versions].concat()]);
    let (first, usr) = (&b"/pe/versions/3.9.18/bin/python3"[..], &b"/usr/bin/python3"[..]);
    assert_eq!(select(&fake, b"3.9.18:3.11.7"), of(b"3.9.18:3.11.7", first));
    assert_eq!(select(&fake, b"3.9:python-3.11.7:3.11"), of(b"3.9.18:3.11.7:3.11.10", first));
    assert_eq!(select(&fake, b"3.9.18:system"), of(b"3.9.18:system", first));
    assert_eq!(select(&fake, b"system:3.9.18"), of(b"system:3.9.18", usr));
    fake.file(b"/work/.python-version", b"system # not this word\n# nor this line\n3.9\n");
    assert_eq!(chosen(&fake, &[PATH]), of(b"system:3.9.18", usr));
    // What is not installed is passed over, and nothing said.
    assert_eq!(select(&fake, b"python-3.10:3.9.18"), of(b"3.10:3.9.18", first));
    assert_eq!(select(&fake, b"4.0t"), of(b"4.0t", usr));
    unclear(&fake, &[PATH, b"PYENV_VERSION=3.11t"]);
    // So is what has no such program; the system comes last.
    fake.dir(b"/pe/versions/3.9.1/bin");
    assert_eq!(select(&fake, b"3.9.1:3.9.18"), of(b"3.9.1:3.9.18", first));
    assert_eq!(select(&fake, b"3.9.1"), of(b"3.9.1", usr));
    fake.remove(b"/usr/bin/python3");
    assert_eq!(select(&fake, b"system:3.9.18"), of(b"system:3.9.18", first));
    unclear(&fake, &[PATH, b"PYENV_VERSION=system:3.9.1"]);
}

/// What pyenv would find of ours stands for an interpreter of its own: that is its affair.
#[test]
fn system_and_shims_of_ours() {
    let mut fake = pyenv();
    let path: &[u8] = b"PATH=/pyzy/shims:/pe/shims:/venv/bin:/links:/usr/bin";
    let env: &[&[u8]] = &[path, b"PYENV_VERSION=system"];
    fake.link(b"/venv/bin/python3", b"/pyzy/lib/pyzy/launcher");
    fake.link(b"/links/python3", b"/pyzy/shims/python3");
    assert_eq!(chosen(&fake, env).0, b"/usr/bin/python3");
    fake.file(b"/venv/pyvenv.cfg", b"home = /usr/bin\n");
    unclear(&fake, env);
    fake.remove(b"/venv/pyvenv.cfg");
    fake.file(b"/venv/bin/.pyzy-shims", b"pyzy-shims 1\npython3\t/pe/shims/python3\n");
    unclear(&fake, env);
    fake.remove(b"/venv/bin/python3");
    assert_eq!(chosen(&fake, env).0, b"/usr/bin/python3");
    fake.link(b"/links/python3", b"/venv/bin/python");
    fake.link(b"/venv/bin/python", b"/pyzy/lib/pyzy/launcher");
    fake.file(b"/venv/bin/.pyzy-shims", b"pyzy-shims 1\npython\t/pe/shims/python3\n");
    unclear(&fake, env);
    // An interpreter behind a script or another tool's shim.
    fake.program(b"/links/python3", b"#!/bin/sh\n");
    unclear(&fake, env);
}

#[test]
fn pip_rehashes() {
    let fake = pyenv();
    let call = |args| Call {
        argv0: b"python3",
        args,
        environ: &[PATH],
        exec_path: Some(b"/pyzy/shims/python3"),
        own: fake.id(b"/pyzy/lib/pyzy/launcher"),
    };
    assert_eq!(locate(&fake, &call(&[b"-m", b"pip", b"install"])).unwrap().warm, Err(Reason::PyenvUnclear));
    assert_eq!(locate(&fake, &call(&[b"-m", b"pip"])).unwrap().warm, Ok(()));
}

#[test]
fn a_link_to_the_shim_is_remembered() {
    let mut fake = pyenv();
    fake.link(b"/home/bin/python3", b"/pe/shims/python3");
    let path: &[u8] = b"PATH=/pyzy/shims:/home/bin:/usr/bin";
    let found = run(&fake, b"python3", &[path]).unwrap();
    assert_eq!(value(&found, "_PYENV_SHIM_PATHS_PYTHON3"), Some(&b"/home/bin"[..]));
    let found = run(&fake, b"python3", &[path, b"_PYENV_SHIM_PATHS_PYTHON3=/old"]).unwrap();
    assert_eq!(value(&found, "_PYENV_SHIM_PATHS_PYTHON3"), Some(&b"/home/bin:/old"[..]));
}

/// `system` that is left to pyenv finds us again along PATH: then pyenv's shims are passed over.
#[test]
fn system_comes_back_to_us() {
    let fake = pyenv();
    let path: &[u8] = b"PATH=/pyzy/shims:/pe/shims:/usr/bin:~/bin";
    let env: &[&[u8]] = &[path, b"PYENV_VERSION=system"];
    unclear(&fake, env);
    let first = run(&fake, b"python3", env).unwrap();
    let again: &[&[u8]] = &[path, b"PYENV_VERSION=system", &first.environ.set[0]];
    let found = run(&fake, b"/pyzy/shims/python3", again).unwrap();
    assert_eq!((&found.file[..], &found.orig_argv0[..]), (&b"/usr/bin/python3"[..], &b"/usr/bin/python3"[..]));
    assert_eq!((found.warm, found.environ.remove), (Ok(()), ["PYZY_LOOP"].into()));
    let alone: &[&[u8]] = &[b"PATH=/pyzy/shims:/pe/shims", b"PYENV_VERSION=system", &first.environ.set[0]];
    assert!(matches!(run(&fake, b"/pyzy/shims/python3", alone), Err(LocateError::Loop { .. })));
}
