//! pyenv's shim against our reading of it: the same file, the same argv[0], the same environment.
//!
//! Needs a pyenv with a version from 3.9 on whose scripts are known; without one it says so and passes.

mod locate_world;

use std::hash::Hasher;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
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

    /// A pyenv of the test's own, with the installed one's scripts and versions: its global file can be written to,
    /// and `empty` is a version without a program. `system/python3` beside it is the newest. `None` when the scripts
    /// are not where they usually are.
    fn copy(test: &str) -> Option<Pyenv> {
        let mut pyenv = Pyenv::find(test)?;
        let (from, to) = (pyenv.root.clone(), pyenv.scratch.dir("pyenv"));
        let shim = std::fs::read_to_string(from.join("shims/python3")).expect("a shim");
        if !from.join("libexec/pyenv").exists() || shim.matches(&*from.to_string_lossy()).count() != 3 {
            println!("skipped: pyenv is not installed in its root");
            return None;
        }
        for dir in ["libexec", "pyenv.d"] {
            symlink_all(&from.join(dir), &pyenv.scratch.dir(&format!("pyenv/{dir}")));
        }
        let shim = shim.replace(&*from.to_string_lossy(), &to.to_string_lossy());
        program(&pyenv.scratch.dir("pyenv/shims").join("python3"), &shim);
        symlink_all(&from.join("versions"), &pyenv.scratch.dir("pyenv/versions"));
        pyenv.scratch.dir("pyenv/versions/empty/bin");
        let newest = to.join("versions").join(pyenv.newest()).join("bin/python3");
        symlink(newest, pyenv.scratch.dir("system").join("python3")).expect("a link");
        pyenv.root = to;
        Some(pyenv)
    }

    /// The usual environment with `system` on PATH, behind the shims and what a case puts there.
    fn with_system(&self, before: &[&Path], more: &[&str]) -> Environ {
        let (shims, system) = (self.root.join("shims"), self.scratch.0.join("system"));
        let dirs = [&*shims].into_iter().chain(before.iter().copied());
        let dirs = dirs.chain([&*system, Path::new("/usr/bin"), Path::new("/bin")]);
        let mut environ = self.environ(more);
        environ[0] = [b"PATH=", std::env::join_paths(dirs).expect("no colons").as_bytes()].concat();
        environ
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

/// A link for everything in `from`, in `to`.
fn symlink_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        symlink(entry.path(), to.join(entry.file_name())).expect("a link");
    }
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
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

/// `system`, several versions, and those that are not there, by the variable and by every kind of file.
#[test]
fn system_and_several() {
    let Some(pyenv) = Pyenv::copy("locate-system") else { return };
    let (old, new) = (pyenv.oldest().to_string(), pyenv.newest().to_string());
    let minor = |v: &str| v.rsplit_once('.').map(|(m, _)| m.to_string()).expect("three numbers");
    let project = pyenv.scratch.dir("project/src");
    for versions in [
        "system".to_string(),
        format!("system:{old}"),
        format!("{old}:system"),
        format!("{old}:{new}"),
        format!("python-{}:system:{new}", minor(&old)),
        format!("empty:{old}"),
        "empty".into(),
        "0.0.1".into(),
        "python-0.0".into(),
        "0.0t".into(),
        "system:0.0.1:no_such".into(),
        format!("0.0.1:{old}"),
    ] {
        pyenv.same(&versions, &project, &pyenv.with_system(&[], &[&format!("PYENV_VERSION={versions}")]));
    }
    let texts = [
        "system\n".to_string(),
        "# ours\n\n \tsystem trailing words\r\n".into(),
        format!("system\n#{old}\n{old}\n"),
        format!("{old}\r\nsystem"),
        format!("{old}:system\n"),
        String::new(),
        "\n".into(),
        "# nothing\n \t\n\r\n#".into(),
    ];
    // An empty file does not send pyenv on to the next one: this one would be another version.
    std::fs::write(pyenv.root.join("version"), &old).expect("a version file");
    for text in &texts {
        std::fs::write(pyenv.scratch.0.join("project/.python-version"), text).expect("a version file");
        pyenv.same(&format!("local: {text:?}"), &project, &pyenv.with_system(&[], &["PYENV_VERSION="]));
    }
    for text in &texts {
        std::fs::write(pyenv.root.join("version"), text).expect("a version file");
        pyenv.same(&format!("global: {text:?}"), &pyenv.scratch.0, &pyenv.with_system(&[], &[]));
    }
    std::fs::remove_file(pyenv.root.join("version")).expect("it is there");
    pyenv.same("no version file", &pyenv.scratch.0, &pyenv.with_system(&[], &[]));
}

/// What pyenv-which passes over on PATH for `system`, and what `pyenv exec` makes of PATH.
#[test]
fn system_along_path() {
    let Some(pyenv) = Pyenv::copy("locate-system-path") else { return };
    let oldest = pyenv.root.join("versions").join(pyenv.oldest()).join("bin");
    let (data, dirs) = (pyenv.scratch.dir("data"), pyenv.scratch.dir("dirs"));
    std::fs::write(data.join("python3"), "").expect("a file that is no program");
    pyenv.scratch.dir("dirs/python3");
    // Only its text begins as pyenv's root does.
    let other = pyenv.scratch.dir("pyenv-of-another");
    symlink(oldest.join("python3"), other.join("python3")).expect("a link");
    // A link to the shim, which is passed over only when it is remembered.
    let links = pyenv.scratch.dir("links");
    symlink(pyenv.root.join("shims/python3"), links.join("python3")).expect("a link");
    let remembered = format!("_PYENV_SHIM_PATHS_PYTHON3={}:/none", links.display());
    let shims = pyenv.root.join("shims");
    let system: &str = "PYENV_VERSION=system";
    let cases: &[(&str, &[&Path], &[&str])] = &[
        ("nothing more", &[], &[system]),
        ("a descendant's level", &[], &[system, "SHLVL=4", "OLDPWD=/none", "PS1=x"]),
        ("the shims again and again", &[&shims, &shims, Path::new("/none"), &shims], &[system]),
        ("no program", &[&data, &dirs], &[system]),
        ("a version's own directory", &[&oldest], &[system]),
        ("a name that begins alike", &[&other], &[system]),
        ("a remembered link", &[&links, &links], &[system, &remembered]),
        ("empty and relative", &[Path::new(""), Path::new("rel"), Path::new("./*")], &[system]),
        ("a version without it", &[&other], &["PYENV_VERSION=empty"]),
    ];
    for (case, before, more) in cases {
        pyenv.same(case, &pyenv.scratch.0, &pyenv.with_system(before, more));
    }
    let mut environ = pyenv.with_system(&[&shims], &[system]);
    environ[0] = [b"PATH=", links.as_os_str().as_bytes(), b":", &environ[0][5..], b"::"].concat();
    pyenv.same("through a link", &pyenv.scratch.0, &environ);
    // The machine's own, if it has one.
    if Path::new("/usr/bin/python3").exists() {
        pyenv.same("/usr/bin", &pyenv.scratch.0, &pyenv.environ(&[system]));
    }
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
