//! pyenv's shim against our reading of it: the same file, the same argv[0], the same environment.
//!
//! Needs a pyenv with a version from 3.9 on whose scripts are known; without one it says so and passes.

mod locate_world;

use std::hash::Hasher;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use locate_world::{Environ, Real, Scratch, pyenv_root, pyenv_versions, run, run_found};
use pyzy_core::locate::{Call, Found, How, locate};

/// Everything that an interpreter can tell about how it was started.
const TELL: &str = "import os, sys\n\
    for entry in sorted(os.environb.items()): print(entry)\n\
    print(sys.executable, sys.prefix, sys.version, getattr(sys, 'orig_argv', None), os.getcwdb())";

struct Pyenv {
    root: PathBuf,
    versions: Vec<String>,
    scratch: Scratch,
}

impl Pyenv {
    fn find(test: &str) -> Option<Pyenv> {
        let root = pyenv_root().filter(|r| r.join("shims/python3").exists());
        let versions: Vec<String> = root.iter().flat_map(|r| pyenv_versions(r)).map(|(name, _)| name).collect();
        match root {
            Some(root) if !versions.is_empty() => Some(Pyenv { root, versions, scratch: Scratch::new(test) }),
            _ => {
                println!("skipped: no pyenv with a version from 3.9 on");
                None
            }
        }
    }

    fn oldest(&self) -> &str {
        &self.versions[0]
    }

    fn newest(&self) -> &str {
        &self.versions[self.versions.len() - 1]
    }

    /// The usual environment, and what a case adds.
    fn environ(&self, more: &[&str]) -> Environ {
        let path = format!("PATH={}/shims:/usr/bin:/bin", self.root.display());
        let home = format!("HOME={}", self.scratch.0.display());
        let mut all = vec![path, home, "LANG=C.UTF-8".into()];
        all.extend(more.iter().map(|e| e.to_string()));
        all.into_iter().map(String::into_bytes).collect()
    }

    fn locate(&self, cwd: &Path, environ: &[&[u8]]) -> Found {
        let call = Call {
            argv0: b"python3",
            args: &["-c".as_bytes(), TELL.as_bytes()],
            environ,
            exec_path: None,
            own: (0, 0),
        };
        locate(&Real { cwd: cwd.into() }, &call).expect("pyenv's shim is on PATH")
    }

    /// Run both ways and compare.
    fn same(&self, case: &str, cwd: &Path, environ: &Environ) {
        let environ: Vec<&[u8]> = environ.iter().map(|e| &e[..]).collect();
        let found = self.locate(cwd, &environ);
        if let How::PyenvShim { why } = &found.how {
            panic!("{case}: unclear: {why}{}", self.hashes());
        }
        assert!(matches!(found.how, How::Pyenv { .. }), "{case}: {}", found.how);
        assert_eq!(found.warm, Ok(()), "{case}");
        let shim = shim_on_path(&environ);
        let cold = run(&shim, b"python3", &["-c", TELL], cwd, &environ);
        assert_eq!(run_found(&found, &["-c", TELL], cwd, &environ), cold, "{case}");
        assert!(cold.contains("PYENV_VERSION"), "{case}: {cold}");
    }

    /// What to add to `stock.rs` once an unknown release has been read.
    fn hashes(&self) -> String {
        let names = [
            "",
            "-exec",
            "-hooks",
            "-latest",
            "-prefix",
            "-version-file",
            "-version-file-read",
            "-version-name",
            "-which",
            "-versions",
        ];
        let files = names.iter().map(|n| format!("libexec/pyenv{n}")).chain(["pyenv.d/exec/pip-rehash.bash".into()]);
        let lines = files.map(|file| {
            let text = std::fs::read(self.root.join(&file)).unwrap_or_default();
            // SipHash-1-3 with a zero key, so far.
            let mut hasher = std::collections::hash_map::DefaultHasher::new();
            hasher.write(&text);
            format!("\n{file} {:#018x}", hasher.finish())
        });
        lines.collect()
    }
}

fn shim_on_path(environ: &[&[u8]]) -> PathBuf {
    let path = environ.iter().find_map(|e| e.strip_prefix(b"PATH=")).expect("PATH is set");
    let mut dirs = path.split(|&b| b == b':').map(|d| Path::new(std::ffi::OsStr::from_bytes(d)).join("python3"));
    dirs.find(|p| p.exists()).expect("a python3")
}

#[test]
fn environments() {
    let Some(pyenv) = Pyenv::find("locate-environments") else { return };
    let version = format!("PYENV_VERSION={}", pyenv.oldest());
    let cwd = pyenv.scratch.dir("a b/\u{e9}");
    let elsewhere = pyenv.scratch.dir("elsewhere");
    symlink(&cwd, pyenv.scratch.0.join("link")).expect("a link");
    let at = |name: &str, path: &Path| format!("{name}={}", path.display());
    let cases: &[(&str, Vec<String>)] = &[
        ("nothing more", vec![]),
        ("first level", vec!["SHLVL=1".into()]),
        ("third level", vec!["SHLVL=3".into(), "_=/usr/bin/env".into()]),
        ("odd levels", vec!["SHLVL=007".into()]),
        ("no level", vec!["SHLVL=".into(), "_=".into()]),
        ("last level", vec!["SHLVL=998".into()]),
        ("PWD through a link", vec![at("PWD", &pyenv.scratch.0.join("link"))]),
        ("PWD that lies", vec![at("PWD", &elsewhere)]),
        ("PWD that is relative", vec!["PWD=.".into()]),
        ("OLDPWD", vec![at("OLDPWD", &elsewhere)]),
        ("OLDPWD that is gone", vec!["OLDPWD=/nonexistent".into()]),
        ("prompts", vec!["PS1=$ ".into(), "PS2=> ".into(), "PROMPT_COMMAND=x".into()]),
        ("names of no variables", vec!["a-b=1".into(), "foo.bar=2".into(), "1=2".into(), "%=x".into()]),
        ("values", vec!["EMPTY=".into(), "LINE=a\nb\\".into(), "FN=() { :; }".into(), "E== ".into()]),
        (
            "a desktop's",
            vec![
                "TERM=xterm-256color".into(),
                "SHELL=/bin/zsh".into(),
                "USER=me".into(),
                "LC_ALL=C".into(),
                "EDITOR=vi".into(),
                "MAIL=/x".into(),
                "HISTSIZE=9".into(),
                "TZ=UTC".into(),
                "HOSTNAME=h".into(),
                "MAILCHECK=1".into(),
            ],
        ),
        (
            "pyenv's leftovers",
            vec![
                at("PYENV_ROOT", &elsewhere),
                "PYENV_SHELL=zsh".into(),
                "PYENV_HOOK_PATH=/a:/b c".into(),
                "_PYENV_INSTALL_PREFIX=/x".into(),
            ],
        ),
        ("PYENV_DIR", vec![at("PYENV_DIR", &elsewhere)]),
        ("PYENV_HOOK_PATH empty", vec!["PYENV_HOOK_PATH=".into()]),
    ];
    for (case, more) in cases {
        let mut more: Vec<&str> = more.iter().map(String::as_str).collect();
        more.push(&version);
        pyenv.same(case, &cwd, &pyenv.environ(&more));
    }
    // Bytes that are no text.
    let mut environ = pyenv.environ(&[&version]);
    environ.push(b"BYTES=\xff\xfe".to_vec());
    pyenv.same("bytes", &cwd, &environ);
    environ[0].extend_from_slice(b":/\xff:relative::");
    pyenv.same("a PATH of bytes", &cwd, &environ);
    pyenv.same("the root", Path::new("/"), &environ);
}

#[test]
fn versions() {
    let Some(pyenv) = Pyenv::find("locate-versions") else { return };
    let project = pyenv.scratch.dir("project");
    let deep = pyenv.scratch.dir("project/src/deep");
    let (old, new) = (pyenv.oldest().to_string(), pyenv.newest().to_string());
    let write = |text: &str| std::fs::write(project.join(".python-version"), text).expect("a version file");
    for (case, text) in [
        ("a line", format!("{old}\n")),
        ("no line end", new.clone()),
        ("a line of Windows", format!("{old}\r\n")),
        ("a comment", format!("# ours\n\n\t {new} trailing words\n#\n")),
        ("a prefix to its name", format!("python-{old}\n")),
    ] {
        write(&text);
        pyenv.same(case, &project, &pyenv.environ(&[]));
        pyenv.same(case, &deep, &pyenv.environ(&[]));
    }
    write(&old);
    let elsewhere = pyenv.scratch.dir("elsewhere");
    symlink(&deep, elsewhere.join("link")).expect("a link");
    let dir = format!("PYENV_DIR={}", elsewhere.display());
    pyenv.same("PYENV_DIR without a file", &deep, &pyenv.environ(&[&dir]));
    // Not by where the link leads, if the shell says so: upward is through the link's own directory.
    std::fs::write(elsewhere.join(".python-version"), &new).expect("a version file");
    let pwd = format!("PWD={}", elsewhere.join("link").display());
    pyenv.same("PWD through a link", &deep, &pyenv.environ(&[&pwd]));
    let minor = |v: &str| v.rsplit_once('.').map(|(m, _)| m.to_string()).expect("three numbers");
    pyenv.same("a minor version", &deep, &pyenv.environ(&[&format!("PYENV_VERSION={}", minor(&new))]));
    pyenv.same("python-X.Y", &deep, &pyenv.environ(&[&format!("PYENV_VERSION=python-{}", minor(&old))]));
    pyenv.same("the major version", &deep, &pyenv.environ(&["PYENV_VERSION=3"]));
    pyenv.same("empty", &deep, &pyenv.environ(&["PYENV_VERSION="]));
}

/// A link to pyenv's shim in another directory, and a call from a process that pyenv has started.
#[test]
fn links_and_descendants() {
    let Some(pyenv) = Pyenv::find("locate-links") else { return };
    let bin = pyenv.scratch.dir("bin");
    symlink(pyenv.root.join("shims/python3"), bin.join("python3")).expect("a link");
    let version = format!("PYENV_VERSION={}", pyenv.oldest());
    let mut environ = pyenv.environ(&[&version]);
    environ[0] = format!("PATH={}:/usr/bin:/bin", bin.display()).into_bytes();
    pyenv.same("a link", &pyenv.scratch.0, &environ);
    environ.push(b"_PYENV_SHIM_PATHS_PYTHON3=/before".to_vec());
    pyenv.same("a link again", &pyenv.scratch.0, &environ);

    let first = pyenv.environ(&[&version, "SHLVL=2"]);
    let first: Vec<&[u8]> = first.iter().map(|e| &e[..]).collect();
    let found = pyenv.locate(&pyenv.scratch.0, &first);
    let mut second: Environ = found.environ.apply(&first).iter().map(|e| e.to_vec()).collect();
    second.retain(|e| !e.starts_with(b"PATH="));
    second.push(first[0].to_vec());
    pyenv.same("a descendant", &pyenv.scratch.dir("sub"), &second);
}

/// The global version file is part of the machine; only its being followed can be tested.
#[test]
fn the_global_version() {
    let Some(pyenv) = Pyenv::find("locate-global") else { return };
    let environ = pyenv.environ(&[]);
    let environ: Vec<&[u8]> = environ.iter().map(|e| &e[..]).collect();
    match pyenv.locate(&pyenv.scratch.0, &environ).how {
        How::Pyenv { .. } => pyenv.same("global", &pyenv.scratch.0, &environ.iter().map(|e| e.to_vec()).collect()),
        how => println!("skipped: {how}"),
    }
}
