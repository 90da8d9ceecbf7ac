//! `pyzy shims` and `pyzy env`, with real venvs and real shells.

mod scratch;

use scratch::{Done, Scratch, built, has, interpreters, plain_path};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Everything in a directory: link targets, or mode, time and content.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_symlink() {
            [b"-> ", std::fs::read_link(&path).unwrap().as_os_str().as_bytes()].concat()
        } else if metadata.is_dir() {
            b"directory".to_vec()
        } else {
            let facts = format!("{:o} {} {} ", metadata.mode(), metadata.mtime(), metadata.mtime_nsec());
            [facts.into_bytes(), digest(&std::fs::read(&path).unwrap())].concat()
        };
        all.insert(path, content);
    }
    all
}

/// Short, so that a difference can be read; notes are text and stay.
fn digest(content: &[u8]) -> Vec<u8> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    if content.starts_with(b"pyzy-shims") {
        return content.to_vec();
    }
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("{:016x}", hasher.finish()).into_bytes()
}

fn is_shim(s: &Scratch, file: &Path) -> bool {
    std::fs::read_link(file).is_ok_and(|t| t == s.path("prefix/lib/pyzy/launcher"))
}

/// In a venv: a file of its own with the launcher's content, and no link.
fn is_copy(s: &Scratch, file: &Path) -> bool {
    let launcher = s.path("prefix/lib/pyzy/launcher");
    let (copy, installed) = (file.symlink_metadata().unwrap(), launcher.metadata().unwrap());
    copy.is_file() && copy.ino() != installed.ino() && std::fs::read(file).unwrap() == std::fs::read(launcher).unwrap()
}

fn ask(python: &Path) -> String {
    const PROGRAM: &str = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = std::process::Command::new(python).args(["-c", PROGRAM]).env("PYZY_DISABLE", "1").output().unwrap();
    Done::from(output).good().trim().to_owned()
}

#[test]
fn a_directory_of_shims_comes_and_goes() {
    let s = Scratch::new();
    for python in interpreters() {
        let dir = s.path("proj/my shims");
        let typed = python.to_str().unwrap();
        let out = s.run(&["shims", "proj/my shims", "--python", typed]).good();
        assert!(out.contains("pyzy env '"), "{out}");
        let names = ["python".into(), "python3".into(), format!("python{}", ask(&python))];
        let notes = std::fs::read_to_string(dir.join(".pyzy-shims")).unwrap();
        assert!(notes.starts_with("pyzy-shims 1\n"));
        for name in &names {
            assert!(is_shim(&s, &dir.join(name)), "{name}");
            assert!(notes.contains(&format!("\n{name}\t{typed}\n")), "{notes}");
        }
        assert_eq!(std::fs::read(dir.join(".gitignore")).unwrap(), b"*\n");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 5, "nothing but what is said, of this interpreter alone");
        let before = snapshot(&dir);
        s.run(&["shims", "proj/my shims", "--python", typed]).good();
        assert_eq!(snapshot(&dir).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    }
    s.run(&["shims", "proj/my shims", "--remove"]).good();
    assert!(!s.path("proj/my shims").exists() && s.path("proj").exists());
    assert!(s.run(&["shims", "proj/my shims", "--remove"]).good().contains("has no shims"));
}

#[test]
fn the_default_is_what_python3_means() {
    let s = Scratch::new();
    s.run(&["shims", "d"]).good();
    let notes = std::fs::read_to_string(s.path("d/.pyzy-shims")).unwrap();
    let first = interpreters().remove(0);
    assert!(notes.contains(&format!("\npython3\t{}\n", first.display())), "{notes}");
    // Our own shims on PATH do not count, nor does a name that is one of theirs.
    let mut path = s.path("d").into_os_string();
    path.push(":");
    path.push(s.path("prefix/shims"));
    path.push(":");
    path.push(plain_path());
    let done: Done = s.pyzy(&["shims", "e"]).env("PATH", path).output().unwrap().into();
    done.good();
    let again = std::fs::read_to_string(s.path("e/.pyzy-shims")).unwrap();
    assert!(again.contains(&format!("\npython3\t{}\n", first.display())), "{again}");
    s.run(&["shims", "f", "--python", "d/python3"]).good();
    assert!(std::fs::read_to_string(s.path("f/.pyzy-shims")).unwrap().contains(first.to_str().unwrap()));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let s = Scratch::new();
    s.put("d/python3", "mine", 0o755);
    s.put("d/other", "mine", 0o644);
    let before = snapshot(&s.path("d"));
    assert!(s.run(&["shims", "d"]).bad(1).contains("there is already a python3\nhint: "));
    assert_eq!(snapshot(&s.path("d")), before);
    std::fs::remove_file(s.path("d/python3")).unwrap();
    s.run(&["shims", "d"]).good();
    assert!(!s.path("d/.gitignore").exists(), "a directory that was there may be somebody's repository");
    // A name that somebody replaced stays.
    std::fs::remove_file(s.path("d/python")).unwrap();
    s.put("d/python", "new", 0o755);
    assert!(s.run(&["shims", "d", "--remove"]).good().contains("left alone: python\n"));
    assert_eq!(std::fs::read_dir(s.path("d")).unwrap().count(), 2);
    assert!(s.run(&["shims", "d/other"]).bad(1).contains("not a directory"));
    assert!(s.run(&["shims", "g", "--python", "/bin/true"]).bad(1).contains("does not answer as Python 3"));
    assert!(s.run(&["shims", "g", "--python", "/nowhere/python3"]).bad(1).contains("no such file"));
    assert!(!s.path("g").exists());
}

fn venv(s: &Scratch, python: &Path, copies: bool) -> Option<PathBuf> {
    let root = s.path(if copies { "a venv of copies" } else { "a venv" });
    let _ = std::fs::remove_dir_all(&root);
    let how = if copies { "--copies" } else { "--symlinks" };
    let made = s.command(python).args(["-m", "venv", "--without-pip", how]).arg(&root).output().unwrap();
    if !made.status.success() {
        eprintln!("skipped: {} cannot make a venv", python.display());
        return None;
    }
    Some(root)
}

/// What a python says of itself, run as a command would run it.
fn says(s: &Scratch, python: &Path) -> String {
    told(s, python).1
}

/// The route of a run, if the launcher's log has one, and what the script says. The base interpreter is compared by
/// the file at its end: `/usr/bin/python3` by one way may be `/usr/bin/python3.11` by the other.
fn told(s: &Scratch, python: &Path) -> (String, String) {
    const PROGRAM: &str = "import os, sys\n\
        base = getattr(sys, '_base_executable', '')\n\
        print(sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, sys.executable, sys.version_info[:3])\n\
        print('its own' if base == sys.executable else os.path.realpath(base))\n";
    s.put("says.py", PROGRAM, 0o644);
    let log = s.path("log");
    let _ = std::fs::remove_file(&log);
    let done = Done::from(s.command(python).arg(s.path("says.py")).env("PYZY_LOG", &log).output().unwrap());
    (std::fs::read_to_string(&log).unwrap_or_default(), done.good())
}

/// Runs it until it is warm, or never will be here; whatever the route, it says the same.
#[track_caller]
fn says_cold_and_warm(s: &Scratch, python: &Path, want: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let (route, said) = told(s, python);
        assert_eq!(said, want, "{python:?}: {route}");
        if route.contains("route=warm") {
            return;
        }
        // The process that runs the tests may be one that is never warm, and so is an interpreter older than 3.9.
        let old = ["(3, 6,", "(3, 7,", "(3, 8,"].iter().any(|v| said.contains(v)) && route.contains("zygote-failed");
        if old || route.contains("reason=memory-limit") || route.contains("reason=seccomp") {
            return eprintln!("skipped: {python:?} is never warm here");
        }
        let soon = ["no-zygote", "stale", "busy"].iter().any(|reason| route.contains(reason));
        assert!(soon && std::time::Instant::now() < deadline, "{python:?} is never warm: {route}");
    }
}

#[test]
fn a_venv_gets_its_originals_back() {
    let s = Scratch::new();
    for (python, copies) in interpreters().into_iter().flat_map(|p| [(p.clone(), false), (p, true)]) {
        let Some(root) = venv(&s, &python, copies) else { continue };
        let bin = root.join("bin");
        let before = snapshot(&bin);
        let told: Vec<String> = ["python", "python3"].map(|n| says(&s, &bin.join(n))).into();
        let names: Vec<&Path> = before
            .keys()
            .filter(|p| p.file_name().unwrap().as_bytes().starts_with(b"python"))
            .map(PathBuf::as_path)
            .collect();
        let dir = root.to_str().unwrap();
        s.run(&["shims", dir]).good();
        assert!(names.len() >= 2 && names.iter().all(|n| is_copy(&s, n)), "{names:?}");
        let inode = |n: &&Path| n.metadata().unwrap().ino();
        assert!(names.iter().all(|n| inode(n) == inode(&names[0])), "one file with many names");
        s.run(&["shims", bin.to_str().unwrap()]).good();
        if built().is_some() {
            for (name, told) in ["python", "python3"].iter().zip(&told) {
                says_cold_and_warm(&s, &bin.join(name), told);
            }
        } else {
            eprintln!("skipped: the launcher is not built, so the venv is not run");
        }
        s.run(&["shims", dir, "--remove"]).good();
        assert_eq!(snapshot(&bin), before, "{python:?}, copies: {copies}");
    }
}

#[test]
fn a_venv_made_in_a_venv_with_shims_is_the_one_it_would_have_been() {
    let s = Scratch::new();
    if built().is_none() {
        return eprintln!("skipped: the launcher is not built");
    }
    std::fs::create_dir(s.path("bin")).unwrap();
    for (python, copies) in interpreters().into_iter().flat_map(|p| [(p.clone(), false), (p, true)]) {
        let Some(root) = venv(&s, &python, copies) else { continue };
        let nested = root.join("nested");
        let make = || {
            let args = ["-m", "venv", "--clear", "--without-pip", nested.to_str().unwrap()];
            Done::from(s.command(root.join("bin/python3")).args(args).output().unwrap()).good();
            let config = std::fs::read_to_string(nested.join("pyvenv.cfg")).unwrap();
            // Since 3.11 the end of sys.executable is noted for people; CPython does not read it.
            config.lines().filter(|line| !line.starts_with("executable =")).map(String::from).collect::<Vec<_>>()
        };
        let was = (make(), says(&s, &nested.join("bin/python")));
        s.run(&["shims", root.to_str().unwrap()]).good();
        let (config, want) = (make(), says(&s, &nested.join("bin/python")));
        assert_eq!((config, &want), (was.0, &was.1), "{python:?}, copies: {copies}");
        // Before 3.11 its python is a link to ours, which has to find its way through both venvs.
        if std::fs::canonicalize(nested.join("bin/python")).unwrap().starts_with(&root) {
            says_cold_and_warm(&s, &nested.join("bin/python"), &want);
        }
        // A link to it from elsewhere is the interpreter without the venv.
        s.run(&["shims", root.to_str().unwrap(), "--remove"]).good();
        let link = s.path("bin/tool");
        let _ = std::fs::remove_file(&link);
        symlink(root.join("bin/python"), &link).unwrap();
        let prefixes = || says(&s, &link).split(" /").take(4).map(String::from).collect::<Vec<_>>();
        let want = prefixes();
        s.run(&["shims", root.to_str().unwrap()]).good();
        if !copies {
            assert_eq!(prefixes(), want, "{python:?}");
        }
        // A directory of shims for a python that is a shim by now.
        s.run(&["shims", "outside", "--python", root.join("bin/python").to_str().unwrap()]).good();
        assert_eq!(says(&s, &s.path("outside/python")), says(&s, &root.join("bin/python")));
        s.run(&["shims", "outside", "--remove"]).good();
    }
}

#[test]
fn copies_in_a_venv_outlive_the_installation() {
    let s = Scratch::new();
    let (python, lib) = (interpreters().remove(0), s.path("prefix/lib/pyzy"));
    let (Some(root), Some([launcher, library])) = (venv(&s, &python, false), built()) else {
        return eprintln!("skipped: the launcher is not built, or there is no venv");
    };
    let (dir, bin) = (root.to_str().unwrap(), root.join("bin"));
    let before = snapshot(&bin);
    let want = says(&s, &bin.join("python3"));
    s.run(&["shims", dir]).good();
    let notes = std::fs::read_to_string(bin.join(".pyzy-shims")).unwrap();
    assert!(notes.contains(&format!("\n#home\t{}\n", lib.display())), "{notes}");
    // Another version is installed: the copies use its library, and are renewed when asked for.
    let put = |from: &Path, name: &str, tail: &str| {
        let content = [std::fs::read(from).unwrap(), tail.as_bytes().to_vec()].concat();
        s.put("new", content, 0o755);
        std::fs::rename(s.path("new"), lib.join(name)).unwrap();
    };
    put(&launcher, "launcher", "newer");
    put(&library, "libpyzy_zygote.so", "");
    says_cold_and_warm(&s, &bin.join("python3"), &want);
    assert!(!is_copy(&s, &bin.join("python3")));
    s.run(&["shims", dir]).good();
    assert!(is_copy(&s, &bin.join("python3")) && is_copy(&s, &bin.join("python")));
    s.run(&["stop"]).good();
    // Everything is gone, and the venv runs on, cold.
    let parts = ["launcher", "libpyzy_zygote.so"].map(|name| lib.join(name));
    for gone in [&parts[..1], &parts[1..]] {
        gone.iter().for_each(|file| std::fs::remove_file(file).unwrap());
        let (route, said) = told(&s, &bin.join("python3"));
        assert_eq!(said, want);
        assert!(route.contains("reason=incomplete") || !parts[0].exists() && parts[1].exists(), "{route}");
    }
    std::fs::remove_file(bin.join(".pyzy-shims")).unwrap();
    assert_eq!(says(&s, &bin.join("python")).replace("bin/python ", "bin/python3 "), want, "pyvenv.cfg is enough");
    std::fs::write(bin.join(".pyzy-shims"), notes).unwrap();
    s.run(&["shims", dir, "--remove"]).good();
    assert_eq!(snapshot(&bin), before);
}

#[test]
fn a_venv_that_was_left_half_done_is_finished_or_given_back() {
    let s = Scratch::new();
    for copies in [false, true] {
        let Some(root) = venv(&s, &interpreters()[0], copies) else { continue };
        let (dir, bin) = (root.to_str().unwrap().to_owned(), root.join("bin"));
        let before = snapshot(&bin);
        s.run(&["shims", &dir]).good();
        let done = snapshot(&bin);
        for undone in [&["python"][..], &["python3"], &["python", "python3"]] {
            for finish in [true, false] {
                // As if the run had been killed before these names were replaced.
                for name in undone {
                    std::fs::remove_file(bin.join(name)).unwrap();
                    let was = &before[&bin.join(name)];
                    match was.strip_prefix(b"-> ") {
                        Some(target) => symlink(OsStr::from_bytes(target), bin.join(name)).unwrap(),
                        None => std::fs::hard_link(bin.join(".pyzy-originals").join(name), bin.join(name)).unwrap(),
                    }
                }
                std::fs::write(bin.join(".pyzy-new.1"), b"").unwrap();
                if finish {
                    s.run(&["shims", &dir]).good();
                    let now = snapshot(&bin);
                    assert_eq!(now.keys().collect::<Vec<_>>(), done.keys().collect::<Vec<_>>());
                    let notes = |all: &BTreeMap<PathBuf, Vec<u8>>| {
                        let text = String::from_utf8_lossy(&all[&bin.join(".pyzy-shims")]).into_owned();
                        text.split_once("pyzy-shims 1").unwrap().1.to_owned()
                    };
                    assert_eq!(notes(&now), notes(&done));
                } else {
                    s.run(&["shims", &dir, "--remove"]).good();
                    assert_eq!(snapshot(&bin), before);
                    s.run(&["shims", &dir]).good();
                }
            }
        }
    }
}

#[test]
fn a_venv_keeps_its_own_interpreter() {
    let s = Scratch::new();
    let Some(root) = venv(&s, &interpreters()[0], false) else { return };
    let dir = root.to_str().unwrap();
    assert!(s.run(&["shims", dir, "--python", "python3"]).bad(1).contains("it is a venv"));
    // A script in a python's place is not ours to move.
    std::fs::remove_file(root.join("bin/python")).unwrap();
    s.put("a venv/bin/python", "#!/bin/sh\n", 0o755);
    let before = snapshot(&root.join("bin"));
    assert!(s.run(&["shims", dir]).bad(1).contains("it is not an interpreter"));
    assert_eq!(snapshot(&root.join("bin")), before);
    // Shims whose notes were lost: pyvenv.cfg knows the interpreter.
    std::fs::remove_file(root.join("bin/python")).unwrap();
    s.run(&["shims", dir]).good();
    std::fs::remove_file(root.join("bin/.pyzy-shims")).unwrap();
    s.run(&["shims", dir]).good();
    s.run(&["shims", dir, "--remove"]).good();
    assert_eq!(ask(&root.join("bin/python3")), ask(&interpreters()[0]));
    // Of copied binaries the originals are still there.
    let Some(root) = venv(&s, &interpreters()[0], true) else { return };
    let (dir, before) = (root.to_str().unwrap(), snapshot(&root.join("bin")));
    s.run(&["shims", dir]).good();
    std::fs::remove_file(root.join("bin/.pyzy-shims")).unwrap();
    s.run(&["shims", dir]).good();
    s.run(&["shims", dir, "--remove"]).good();
    assert_eq!(snapshot(&root.join("bin")), before);
}

#[test]
fn links_of_an_earlier_version_become_copies() {
    let s = Scratch::new();
    let Some(root) = venv(&s, &interpreters()[0], false) else { return };
    let (dir, bin) = (root.to_str().unwrap(), root.join("bin"));
    let before = snapshot(&bin);
    s.run(&["shims", dir]).good();
    let names: Vec<PathBuf> =
        before.keys().filter(|n| n.file_name().unwrap().as_bytes().starts_with(b"python")).cloned().collect();
    for name in &names {
        std::fs::remove_file(name).unwrap();
        symlink(s.path("prefix/lib/pyzy/launcher"), name).unwrap();
        assert!(is_shim(&s, name));
    }
    s.run(&["shims", dir]).good();
    assert!(names.iter().all(|n| is_copy(&s, n)));
    s.run(&["shims", dir, "--remove"]).good();
    assert_eq!(snapshot(&bin), before);
}

#[test]
fn a_directory_of_shims_can_be_moved() {
    let s = Scratch::new();
    if built().is_none() {
        return eprintln!("skipped: the launcher is not built");
    }
    for python in interpreters() {
        s.run(&["shims", "here", "--python", python.to_str().unwrap()]).good();
        std::fs::rename(s.path("here"), s.path("there")).unwrap();
        let mut told = says(&s, &s.path("there/python3"));
        assert_eq!(told, says(&s, &python));
        told = says(&s, &s.path("there/python"));
        assert_eq!(told, says(&s, &python));
        s.run(&["shims", "there", "--remove"]).good();
    }
}

/// PATH after `eval`, twice, in this shell.
fn eval_twice(s: &Scratch, shell: &[&str], dir: &Path, path: &str) -> Option<String> {
    if !has(shell[0]) {
        return None;
    }
    let (eval, show) = if shell[0] == "fish" {
        ("$PYZY env $DIR | source; eval \"$($PYZY env $DIR)\"", "string join : -- $PATH")
    } else {
        ("eval \"$(\"$PYZY\" env \"$DIR\")\"; eval \"$(\"$PYZY\" env \"$DIR\")\"", "printf '%s\\n' \"$PATH\"")
    };
    let code = format!("{eval}; {show}");
    // By its own path, because PATH is what is tried here.
    let mut command = s.command(which(shell[0]));
    command.args(&shell[1..]).arg("-c").arg(code).env("PATH", path);
    // fish reads its environment as text of the locale.
    command.env("PYZY", s.path("prefix/bin/pyzy")).env("DIR", dir).env("LC_ALL", "C.UTF-8");
    let done: Done = command.output().unwrap().into();
    Some(done.good().trim_end_matches('\n').to_owned())
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|d| d.join(program)).find(|p| p.is_file()).unwrap()
}

#[test]
fn env_puts_the_shims_first_once_in_every_shell() {
    let s = Scratch::new();
    let strange = s.path("it's $HOME `x` \"q\" \\ *\n é");
    for dir in [s.path("prefix/shims"), strange] {
        if !dir.join("python3").exists() {
            s.run(&["shims", dir.to_str().unwrap()]).good();
        }
        let shown = dir.to_str().unwrap();
        let shells: [&[&str]; 5] =
            [&["bash", "-eu"], &["dash", "-eu"], &["sh", "-eu"], &["zsh", "-f", "-eu"], &["fish", "--no-config"]];
        for shell in shells {
            let before =
                ["/usr/bin:/bin".into(), format!("/usr/bin:{shown}:/bin:{shown}"), format!("{shown}:/usr/bin:/bin")];
            for path in before {
                let Some(after) = eval_twice(&s, shell, &dir, &path) else { continue };
                assert_eq!(after, format!("{shown}:/usr/bin:/bin"), "{shell:?} from {path}");
            }
            if shell[0] != "fish" {
                // An empty element means the working directory, and stays; fish has its own ideas of it.
                let Some(after) = eval_twice(&s, shell, &dir, ":/usr/bin::/bin:") else { continue };
                assert_eq!(after, format!("{shown}::/usr/bin::/bin:"), "{shell:?}");
            }
        }
    }
}

#[test]
fn env_says_what_is_missing() {
    let s = Scratch::new();
    assert!(s.run(&["env", "nothing"]).bad(1).contains("cannot find shims in '"));
    s.run(&["shims", "a:b"]).good();
    assert!(s.run(&["env", "a:b"]).bad(1).contains("there is a colon in it"));
    let done: Done = s.command(env!("CARGO_BIN_EXE_pyzy")).arg("env").output().unwrap().into();
    assert!(done.bad(1).contains("is not installed\nhint: run ./install.sh"));
    let posix = s.run(&["env", "--shell", "zsh"]).good();
    assert!(posix.starts_with("_pyzy_dir='") && posix.lines().count() == 1);
    assert!(s.run(&["env", "--shell", "fish"]).good().starts_with("begin;"));
    // Nobody with a shell's name calls here: the login shell decides.
    let fish: Done = s.pyzy(&["env"]).env("SHELL", "/usr/bin/fish").output().unwrap().into();
    assert!(fish.good().starts_with("begin;"));
}
