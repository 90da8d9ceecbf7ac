//! sys.executable, sys.prefix and sys.path after an exec by us, against the same interpreter without us.
//!
//! The shim is a file of no consequence here: the search is asked where it leads, and what it
//! names is executed as the launcher would.

mod locate_world;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use locate_world::{Real, Scratch, pyenv_root, pyenv_versions, run, run_found};
use pyzy_core::locate::{Call, Found, World, locate};

const TELL: &str = "import sys, sysconfig\n\
    print(sys.executable, sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)\n\
    print(sys.path, sys.flags, sysconfig.get_path('purelib'), sys.version)";

/// Every interpreter here: its bin directory.
fn interpreters() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = pyenv_root().iter().flat_map(|r| pyenv_versions(r)).map(|(_, bin)| bin).collect();
    if Path::new("/usr/bin/python3").exists() {
        all.push("/usr/bin".into());
    }
    if all.is_empty() {
        println!("skipped: no interpreter");
    }
    all
}

/// A launcher that is never run, and a shim that leads to it.
fn shims(scratch: &Scratch) -> PathBuf {
    let launcher = scratch.dir("lib/pyzy").join("launcher");
    std::fs::write(&launcher, "").expect("a file");
    std::fs::set_permissions(&launcher, PermissionsExt::from_mode(0o755)).expect("its mode");
    let shims = scratch.dir("shims");
    symlink("../lib/pyzy/launcher", shims.join("python3")).expect("a link");
    shims
}

fn find(scratch: &Scratch, cwd: &Path, argv0: &str, exec_path: &Path, environ: &[&[u8]]) -> Found {
    let world = Real { cwd: cwd.into() };
    let launcher = scratch.0.join("lib/pyzy/launcher");
    let own = world.stat(launcher.as_os_str().as_encoded_bytes()).expect("the launcher").id();
    let exec_path = Some(exec_path.as_os_str().as_encoded_bytes());
    locate(&world, &Call { argv0: argv0.as_bytes(), args: &[], environ, exec_path, own }).expect("an interpreter")
}

#[test]
fn along_path() {
    let scratch = Scratch::new("locate-along-path");
    let shims = shims(&scratch);
    for bin in interpreters() {
        let bin = bin.display();
        for spelled in
            [format!("{bin}"), format!("{bin}/"), format!("/{bin}//"), format!("{bin}/../bin"), format!("/none:{bin}")]
        {
            let cold_path = format!("PATH={spelled}");
            let cwd = &scratch.0;
            let cold =
                run(&PathBuf::from(format!("{bin}/python3")), b"python3", &["-c", TELL], cwd, &[cold_path.as_bytes()]);
            let path = format!("PATH={}:{spelled}", shims.display());
            let found = find(&scratch, cwd, "python3", &shims.join("python3"), &[path.as_bytes()]);
            assert_eq!(found.orig_argv0, b"python3");
            assert_eq!(run_found(&found, &["-c", TELL], cwd, &[path.as_bytes()]), cold, "{spelled}");
        }
    }
}

/// The same venv twice: its python a link to the interpreter, then a link to us.
#[test]
fn venvs() {
    let scratch = Scratch::new("locate-venvs");
    shims(&scratch);
    for (number, bin) in interpreters().into_iter().enumerate() {
        let venv = scratch.0.join(format!("v{number}"));
        let make = format!("import venv; venv.create({:?}, symlinks=True)", venv.display().to_string());
        let real = bin.join("python3");
        let made =
            run(&real, real.as_os_str().as_encoded_bytes(), &["-c", &make], &scratch.0, &[b"PATH=/usr/bin:/bin"]);
        let python = venv.join("bin/python3");
        if !python.exists() {
            println!("skipped: no venv from {}: {made}", bin.display());
            continue;
        }
        let path = format!("PATH={}:/usr/bin:/bin", venv.join("bin").display());
        let environ: &[&[u8]] = &[path.as_bytes(), b"LANG=C.UTF-8"];
        let calls =
            ["python3".to_string(), python.display().to_string(), "./bin/python3".into(), "bin/../bin/python3".into()];
        let cold = calls.each_ref().map(|argv0| run(&python, argv0.as_bytes(), &["-c", TELL], &venv, environ));
        std::fs::remove_file(&python).expect("the link goes");
        symlink(scratch.0.join("shims/python3"), &python).expect("our link comes");
        for (argv0, cold) in calls.iter().zip(cold) {
            let exec_path = if argv0.contains('/') { PathBuf::from(argv0) } else { python.clone() };
            let found = find(&scratch, &venv, argv0, &exec_path, environ);
            assert_eq!((found.warm, &found.orig_argv0[..]), (Ok(()), argv0.as_bytes()));
            assert_eq!(run_found(&found, &["-c", TELL], &venv, environ), cold, "{argv0} of {}", bin.display());
        }
    }
}
