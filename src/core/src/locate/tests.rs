//! The search against a file system in memory: everything but pyenv.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::fake::Fake;
use super::{Call, Found, How, LocateError, MARKER, World, locate, paths};
use crate::reason::Reason;

const SHIM: &[u8] = b"/pyzy/shims/python3";

/// pyzy installed below /pyzy, and a python3 in /usr/bin.
pub fn installed() -> Fake {
    let mut fake = Fake::new();
    fake.program(b"/pyzy/lib/pyzy/launcher", b"\x7fELF launcher");
    for name in [&b"python"[..], b"python3", b"python3.12", b"python3.14"] {
        fake.link(&paths::join(b"/pyzy/shims", name), b"../lib/pyzy/launcher");
    }
    fake.elf(b"/usr/bin/python3.11");
    fake.link(b"/usr/bin/python3", b"python3.11");
    fake
}

/// Call the shim as execvp does.
pub fn run(fake: &Fake, argv0: &[u8], environ: &[&[u8]]) -> Result<Found, LocateError> {
    let path = environ.iter().find_map(|e| e.strip_prefix(b"PATH=")).unwrap_or(b"/bin:/usr/bin");
    let own = fake.id(b"/pyzy/lib/pyzy/launcher");
    let exec_path = if argv0.contains(&b'/') {
        argv0.to_vec()
    } else {
        let mut found = path.split(|&b| b == b':').map(|dir| paths::join(dir, argv0));
        found.find(|p| fake.stat(p).is_ok_and(|s| s.id() == own)).unwrap_or_else(|| SHIM.to_vec())
    };
    locate(fake, &Call { argv0, args: &[b"x.py"], environ, exec_path: Some(&exec_path), own })
}

pub fn by_path(fake: &Fake, path: &[u8]) -> Result<Found, LocateError> {
    run(fake, b"python3", &[&[b"PATH=", path].concat()])
}

fn plain(file: &[u8]) -> Found {
    Found {
        file: file.to_vec(),
        argv0: file.to_vec(),
        orig_argv0: b"python3".to_vec(),
        environ: Default::default(),
        warm: Ok(()),
        how: How::Path,
    }
}

#[test]
fn the_first_on_path_that_is_not_us() {
    let mut fake = installed();
    fake.link(b"/again/python3", b"/pyzy/shims/python3");
    fake.dir(b"/dir/python3");
    fake.file(b"/plain/python3", b"\x7fELF not executable");
    let path = b"/pyzy/shims:/again:/missing:/pyzy/lib/pyzy/launcher:/dir:/plain:/usr/bin";
    assert_eq!(by_path(&fake, path), Ok(plain(b"/usr/bin/python3")));
    let before = fake.calls.get();
    by_path(&fake, b"/pyzy/shims:/usr/bin").unwrap();
    assert!(fake.calls.get() - before < 20, "{} calls", fake.calls.get() - before);
}

#[test]
fn spellings_of_path_elements() {
    let mut fake = installed();
    assert_eq!(by_path(&fake, b"/pyzy/shims:/usr/bin/"), Ok(plain(b"/usr/bin/python3")));
    assert_eq!(by_path(&fake, b"//pyzy/./shims//://usr//bin"), Ok(plain(b"//usr//bin/python3")));
    fake.elf(b"/b\xff\xfe/python3");
    assert_eq!(by_path(&fake, b"/pyzy/shims:/b\xff\xfe"), Ok(plain(b"/b\xff\xfe/python3")));
    let mut huge = b"/pyzy/shims".to_vec();
    for n in 0..4096 {
        huge.extend_from_slice(format!(":/none/{n}").as_bytes());
    }
    huge.extend_from_slice(b":/usr/bin");
    assert_eq!(by_path(&fake, &huge), Ok(plain(b"/usr/bin/python3")));
}

#[test]
fn no_environment_no_path_empty_path() {
    let mut fake = installed();
    assert_eq!(run(&fake, b"python3", &[]), Ok(plain(b"/usr/bin/python3")));
    assert_eq!(run(&fake, b"python3", &[b"LANG=C", b"odd"]), Ok(plain(b"/usr/bin/python3")));
    assert!(matches!(by_path(&fake, b""), Err(LocateError::NotFound { denied: None, .. })));
    fake.elf(b"/work/python3");
    let relative = Err(Reason::RelativeInterpreter);
    for path in [&b""[..], b":/usr/bin", b"/pyzy/shims::/usr/bin", b"/pyzy/shims:.", b"/pyzy/shims:./"] {
        let found = by_path(&fake, path).unwrap();
        assert_eq!((&found.argv0[..], found.warm), (&b"/work/python3"[..], relative), "{path:?}");
    }
    fake.elf(b"/work/tools/python3");
    let found = by_path(&fake, b"/pyzy/shims:./tools").unwrap();
    assert_eq!((&found.file[..], found.warm), (&b"/work/tools/python3"[..], relative));
}

#[test]
fn names() {
    let mut fake = installed();
    fake.elf(b"/usr/bin/python3.12");
    let env: &[&[u8]] = &[b"PATH=/pyzy/shims:/usr/bin"];
    assert_eq!(run(&fake, b"python3.12", env).unwrap().file, b"/usr/bin/python3.12");
    let error = run(&fake, b"python3.14", env).unwrap_err();
    assert_eq!(error.exit_code(), 127);
    assert!(error.to_string().starts_with("cannot find 'python3.14': "), "{error}");
    // By path, from a `#!` line or typed.
    let found = run(&fake, b"/pyzy/shims/python3.12", env).unwrap();
    assert_eq!((&found.file[..], &found.orig_argv0[..]), (&b"/usr/bin/python3.12"[..], &b"/pyzy/shims/python3.12"[..]));
    assert_eq!((&found.argv0[..], found.warm), (&b"/usr/bin/python3.12"[..], Ok(())));
    let own = fake.id(b"/pyzy/lib/pyzy/launcher");
    let call = |argv0, exec_path| Call { argv0, args: &[], environ: env, exec_path, own };
    fake.file(b"/work/script", b"#!/pyzy/shims/python3.12\n");
    let found = locate(&fake, &call(b"/pyzy/shims/python3.12", Some(b"/work/script"))).unwrap();
    assert_eq!(found.file, b"/usr/bin/python3.12");
    // A made-up argv[0]: the name that was executed counts, and CPython gets what the caller made up.
    for argv0 in [&b"foo"[..], b"", b"-python3.12", b"/nowhere/python3"] {
        let found = locate(&fake, &call(argv0, Some(b"/pyzy/shims/python3.12"))).unwrap();
        // Without one CPython would look along PATH, and find us.
        let wanted = if argv0.is_empty() { b"/usr/bin/python3.12" } else { argv0 };
        assert_eq!((&found.file[..], &found.argv0[..]), (&b"/usr/bin/python3.12"[..], wanted));
        assert_eq!(found.warm, Err(Reason::StrangeName));
    }
    let found = locate(&fake, &call(b"python3", Some(b"/pyzy/shims/python3.12"))).unwrap();
    assert_eq!((&found.file[..], &found.argv0[..]), (&b"/usr/bin/python3.12"[..], &b"/usr/bin/python3.12"[..]));
    // Without AT_EXECFN.
    assert_eq!(locate(&fake, &call(b"python3.12", None)).unwrap().file, b"/usr/bin/python3.12");
    assert_eq!(locate(&fake, &call(b"foo", None)).unwrap().file, b"/usr/bin/python3");
    // A link of another name.
    fake.link(b"/work/py", SHIM);
    assert_eq!(run(&fake, b"./py", env).unwrap().file, b"/usr/bin/python3");
}

#[test]
fn permission_denied_is_passed_over_and_remembered() {
    let mut fake = installed();
    fake.file(b"/a/python3.14", b"\x7fELF");
    let env: &[&[u8]] = &[b"PATH=/pyzy/shims:/a:/b"];
    let error = run(&fake, b"python3.14", env).unwrap_err();
    assert_eq!(error, LocateError::NotFound { name: b"python3.14".to_vec(), denied: Some(b"/a/python3.14".to_vec()) });
    assert_eq!(error.exit_code(), 126);
    fake.elf(b"/b/python3.14");
    assert_eq!(run(&fake, b"python3.14", env).unwrap().file, b"/b/python3.14");
}

#[test]
fn other_copies_of_us() {
    let mut fake = installed();
    let mut launcher = b"\x7fELF\x02\x01\x01".to_vec();
    launcher.resize(5000, 0);
    launcher.extend_from_slice(MARKER);
    fake.program(b"/copy/python3", &launcher);
    fake.program(b"/other/lib/pyzy/launcher", b"\x7fELF another version");
    fake.link(b"/other/shims/python3", b"../lib/pyzy/launcher");
    fake.link(b"/home/me/bin/python3", b"/other/shims/python3");
    let path = b"/pyzy/shims:/copy:/other/shims:/home/me/bin:/usr/bin";
    assert_eq!(by_path(&fake, path), Ok(plain(b"/usr/bin/python3")));
    // The marker in a file with a dynamic loader is not ours: a small python3 with libpython.
    launcher[32] = 64; // e_phoff
    launcher[54] = 56; // e_phentsize
    launcher[56] = 1; // e_phnum
    launcher[64] = 3; // PT_INTERP
    fake.program(b"/copy/python3", &launcher);
    assert_eq!(by_path(&fake, path).unwrap().file, b"/copy/python3");
}

#[test]
fn wrappers_are_executed_as_they_are() {
    let mut fake = installed();
    fake.program(b"/asdf/shims/python3", b"#!/bin/sh\nexec asdf exec python3 \"$@\"\n");
    fake.elf(b"/usr/local/bin/mise");
    fake.link(b"/mise/shims/python3", b"../../usr/local/bin/mise");
    fake.program(b"/odd/python3", b"echo no first line");
    for dir in [&b"/asdf/shims"[..], b"/mise/shims", b"/odd"] {
        let found = by_path(&fake, &[b"/pyzy/shims:", dir, b":/usr/bin"].concat()).unwrap();
        assert_eq!(found.file, paths::join(dir, b"python3"));
        assert_eq!((&found.argv0[..], found.warm, found.how), (&b"python3"[..], Err(Reason::Wrapper), How::Wrapper));
        let value = [b"PYZY_LOOP=42.777:1:o", &paths::join(dir, b"python3")[..]].concat();
        assert_eq!(found.environ.set, [value]);
    }
}

/// A shim that has called us back is not called again; a circle ends.
#[test]
fn circles() {
    let mut fake = installed();
    fake.program(b"/w1/python3", b"#!/bin/sh\nexec python3 \"$@\"\n");
    fake.program(b"/w2/python3", b"#!/bin/sh\nexec python3 \"$@\"\n");
    let path: &[u8] = b"PATH=/pyzy/shims:/w1:/w2:/usr/bin";
    let first = run(&fake, b"python3", &[path]).unwrap();
    let second = run(&fake, SHIM, &[path, &first.environ.set[0]]).unwrap();
    assert_eq!(second.file, b"/w2/python3");
    assert_eq!(second.environ.set, [b"PYZY_LOOP=42.777:2:o/w1/python3:o/w2/python3".to_vec()]);
    let third = run(&fake, SHIM, &[path, &second.environ.set[0]]).unwrap();
    assert_eq!((&third.file[..], &third.orig_argv0[..]), (&b"/usr/bin/python3"[..], &b"/usr/bin/python3"[..]));
    assert_eq!((third.environ.remove, third.environ.set.len(), third.warm), (["PYZY_LOOP"].into(), 0, Ok(())));
    // Nothing else on PATH.
    let error = run(&fake, SHIM, &[b"PATH=/pyzy/shims:/w1", &first.environ.set[0]]).unwrap_err();
    assert!(
        matches!(error, LocateError::Loop { .. }) && error.to_string().contains("hint: set PYZY_PYTHON"),
        "{error}"
    );
    // A child of what the shim has run, another process, calls in its own right.
    let inherited: &[u8] = b"PYZY_LOOP=41.777:1:o/w1/python3";
    let found = run(&fake, b"python3", &[path, inherited]).unwrap();
    assert_eq!(found.environ.set, [b"PYZY_LOOP=42.777:2:o/w1/python3".to_vec()]);
    // Until it is too deep to be true.
    let deep: &[u8] = b"PYZY_LOOP=41.777:24:o/w1/python3";
    assert!(matches!(run(&fake, b"python3", &[path, deep]), Err(LocateError::Loop { .. })));
    // Nonsense counts for nothing, and leaves the environment.
    for odd in [&b"PYZY_LOOP="[..], b"PYZY_LOOP=x", b"PYZY_LOOP=::", b"PYZY_LOOP=42.777:99999999999:x"] {
        let found = run(&fake, b"python3", &[b"PATH=/pyzy/shims:/usr/bin", odd]).unwrap();
        assert_eq!((&found.file[..], found.environ.remove), (&b"/usr/bin/python3"[..], ["PYZY_LOOP"].into()));
    }
    // Without /proc only the depth counts.
    fake.remove(b"/proc/self/stat");
    let found = run(&fake, SHIM, &[path, &first.environ.set[0]]).unwrap();
    assert_eq!(found.environ.set, [b"PYZY_LOOP=:2:o/w1/python3".to_vec()]);
}

#[test]
fn pyzy_python() {
    let mut fake = installed();
    fake.elf(b"/opt/py/bin/python3.12");
    fake.elf(b"/work/bin/python");
    fake.program(b"/w/python3", b"#!/bin/sh\nexec python3 \"$@\"\n");
    let call = |value: &[u8]| {
        run(&fake, b"python3", &[b"PATH=/pyzy/shims:/usr/bin:/opt/py/bin", &[b"PYZY_PYTHON=", value].concat()])
    };
    let found = call(b"/opt/py/bin/python3.12").unwrap();
    assert_eq!((&found.argv0[..], &found.orig_argv0[..]), (&b"/opt/py/bin/python3.12"[..], &b"python3"[..]));
    assert_eq!((found.how, found.warm), (How::PyzyPython, Ok(())));
    assert_eq!(call(b"python3.12").unwrap(), call(b"/opt/py/bin/python3.12").unwrap());
    let found = call(b"bin/python").unwrap();
    assert_eq!((&found.file[..], found.warm), (&b"/work/bin/python"[..], Err(Reason::RelativeInterpreter)));
    for us in [&b"/pyzy/shims/python3"[..], b"/pyzy/lib/pyzy/launcher", b""] {
        assert_eq!(call(us).unwrap(), plain(b"/usr/bin/python3"), "{us:?}");
    }
    // A shim by another name stands for another interpreter: never silently for the one that we were called by.
    assert_eq!(call(b"/pyzy/shims/python3.12").unwrap(), call(b"/opt/py/bin/python3.12").unwrap());
    for missing in [
        &b"/none"[..],
        b"none",
        b"python3.14",
        b"/pyzy/shims/python3.14",
        b"./none",
        b"/opt/py/bin",
        b"/proc/self/stat",
    ] {
        let error = call(missing).unwrap_err();
        assert!(error.to_string().contains("PYZY_PYTHON"), "{error}");
    }
    assert_eq!(call(b"/proc/self/stat").unwrap_err().exit_code(), 126);
    // A wrapper is called once.
    let found = call(b"/w/python3").unwrap();
    assert_eq!(found.warm, Err(Reason::Wrapper));
    let env: &[&[u8]] = &[b"PATH=/pyzy/shims:/usr/bin", b"PYZY_PYTHON=/w/python3", &found.environ.set[0]];
    assert_eq!(run(&fake, b"python3", env).unwrap().file, b"/usr/bin/python3");
}

#[test]
fn pins() {
    let mut fake = installed();
    fake.elf(b"/opt/py/bin/python3.12");
    fake.link(b"/project/shims/python3", b"/pyzy/lib/pyzy/launcher");
    fake.file(b"/project/shims/.pyzy-shims", b"pyzy-shims 1\npython3\t/opt/py/bin/python3.12\npy\t/none\n");
    let found = by_path(&fake, b"/project/shims:/pyzy/shims:/usr/bin").unwrap();
    assert_eq!((&found.file[..], &found.argv0[..]), (&b"/opt/py/bin/python3.12"[..], &b"/opt/py/bin/python3.12"[..]));
    assert_eq!((found.how, found.warm, &found.orig_argv0[..]), (How::Pinned, Ok(()), &b"python3"[..]));
    // Further down PATH it still speaks; by path; relative.
    assert_eq!(by_path(&fake, b"/pyzy/shims:/project/shims:/usr/bin").unwrap().file, b"/opt/py/bin/python3.12");
    fake.chdir(b"/project");
    assert_eq!(run(&fake, b"shims/python3", &[]).unwrap().file, b"/opt/py/bin/python3.12");
    // A pin to nothing is an error, a pin to us is none.
    fake.link(b"/project/shims/py", b"/pyzy/lib/pyzy/launcher");
    let error = run(&fake, b"/project/shims/py", &[]).unwrap_err();
    assert!(error.to_string().contains("/project/shims/.pyzy-shims"), "{error}");
    fake.file(b"/project/shims/.pyzy-shims", b"pyzy-shims 1\npython3\t/pyzy/shims/python3\n");
    assert_eq!(by_path(&fake, b"/project/shims:/usr/bin"), Ok(plain(b"/usr/bin/python3")));
}

#[test]
fn a_venv_whose_python_is_us() {
    let mut fake = installed();
    fake.elf(b"/opt/py/bin/python3.12");
    fake.file(b"/venv/pyvenv.cfg", b"home = /opt/py/bin\nversion = 3.12.1\n");
    fake.link(b"/venv/bin/python3", b"/pyzy/shims/python3");
    let expected = |orig: &[u8], argv0: &[u8]| Found {
        file: b"/opt/py/bin/python3.12".to_vec(),
        argv0: argv0.to_vec(),
        orig_argv0: orig.to_vec(),
        environ: Default::default(),
        warm: Ok(()),
        how: How::Venv,
    };
    let own = b"/venv/bin/python3";
    assert_eq!(by_path(&fake, b"/venv/bin:/pyzy/shims:/usr/bin"), Ok(expected(b"python3", own)));
    assert_eq!(by_path(&fake, b"/pyzy/shims:/venv/bin:/usr/bin"), Ok(expected(b"python3", own)));
    assert_eq!(run(&fake, own, &[]), Ok(expected(own, own)));
    fake.chdir(b"/venv");
    let found = run(&fake, b"./bin/../bin/python3", &[]);
    assert_eq!(found, Ok(expected(b"./bin/../bin/python3", b"/venv/bin/../bin/python3")));
    // Named by PYZY_PYTHON, it is still a venv.
    let env: &[&[u8]] = &[b"PATH=/pyzy/shims:/usr/bin", b"PYZY_PYTHON=/venv/bin/python3"];
    assert_eq!(run(&fake, b"python3", env), Ok(expected(b"python3", own)));
    // A pin in its bin: `pyzy shims .venv`.
    fake.file(b"/venv/bin/.pyzy-shims", b"pyzy-shims 1\npython3\t/usr/bin/python3\n");
    let found = run(&fake, own, &[]).unwrap();
    assert_eq!((&found.file[..], &found.argv0[..], found.how), (&b"/usr/bin/python3"[..], &own[..], How::Pinned));
    fake.remove(b"/venv/bin/.pyzy-shims");
    // Its home is us: go on along PATH.
    fake.file(b"/venv/pyvenv.cfg", b"home = /pyzy/shims\nversion = 3.12.1\n");
    assert_eq!(by_path(&fake, b"/venv/bin:/usr/bin"), Ok(plain(b"/usr/bin/python3")));
}

/// A launcher as it is copied into a venv.
fn copy_of_us() -> Vec<u8> {
    [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 200], MARKER].concat()
}

#[test]
fn a_copy_in_a_venv_is_a_shim_under_its_own_path() {
    let mut fake = installed();
    fake.elf(b"/opt/bin/python3.12");
    fake.program(b"/venv/bin/python", &copy_of_us());
    fake.link(b"/venv/bin/python3", b"python");
    fake.file(b"/venv/pyvenv.cfg", b"home = /opt/bin\nversion = 3.12.1\n");
    fake.file(b"/venv/bin/.pyzy-shims", b"pyzy-shims 1\n#home\t/pyzy/lib/pyzy\npython\t/opt/bin/python3.12\n");
    for (argv0, how) in [(&b"/venv/bin/python"[..], How::Pinned), (b"/venv/bin/python3", How::Venv)] {
        let want = Found { argv0: argv0.to_vec(), orig_argv0: argv0.to_vec(), how, ..plain(b"/opt/bin/python3.12") };
        assert_eq!(run(&fake, argv0, &[]), Ok(want));
    }
    // By name, along PATH, before or after the shims of the installation.
    for path in [&b"PATH=/venv/bin:/pyzy/shims:/usr/bin"[..], b"PATH=/pyzy/shims:/venv/bin:/usr/bin"] {
        let found = run(&fake, b"python", &[path]).unwrap();
        assert_eq!((&found.file[..], &found.argv0[..]), (&b"/opt/bin/python3.12"[..], &b"/venv/bin/python"[..]));
    }
    assert_eq!(super::home_of_copies(&fake, b"/venv/bin"), Some(b"/pyzy/lib/pyzy".to_vec()));
    assert_eq!(super::home_of_copies(&fake, b"/pyzy/shims"), None);
}

#[test]
fn a_link_to_a_venvs_shim_means_its_interpreter_outside_the_venv() {
    let mut fake = installed();
    fake.elf(b"/opt/bin/python3.12");
    fake.program(b"/venv/bin/python3", &copy_of_us());
    fake.file(b"/venv/pyvenv.cfg", b"home = /opt/bin\nversion = 3.12.1\n");
    fake.link(b"/home/me/bin/tool", b"here");
    fake.link(b"/home/me/bin/here", b"/venv/bin/python3");
    fake.link(b"/home/me/bin/python3", b"../../../venv/bin/python3");
    for argv0 in [&b"/home/me/bin/tool"[..], b"/home/me/bin/here", b"/home/me/bin/python3"] {
        let found = run(&fake, argv0, &[b"PATH=/usr/bin"]).unwrap();
        assert_eq!((&found.file[..], &found.argv0[..]), (&b"/opt/bin/python3.12"[..], &b"/opt/bin/python3.12"[..]));
    }
    // By a name on PATH, though another python3 comes later.
    let found = by_path(&fake, b"/pyzy/shims:/home/me/bin:/usr/bin").unwrap();
    assert_eq!(found.file, b"/opt/bin/python3.12");
}

#[test]
fn a_shim_that_stands_for_another_venvs_shim() {
    let mut fake = installed();
    fake.elf(b"/opt/bin/python3.9");
    fake.program(b"/venv/bin/python3", &copy_of_us());
    fake.file(b"/venv/pyvenv.cfg", b"home = /opt/bin\nversion = 3.9.18\n");
    fake.file(b"/venv/bin/.pyzy-shims", b"pyzy-shims 1\npython3\t/opt/bin/python3.9\n");
    // A venv made in that venv by Python 3.9, whose sys._base_executable is the venv's own.
    fake.link(b"/nested/bin/python", b"/venv/bin/python3");
    fake.file(b"/nested/pyvenv.cfg", b"home = /venv/bin\nversion = 3.9.18\n");
    let found = run(&fake, b"/nested/bin/python", &[]).unwrap();
    assert_eq!((&found.file[..], &found.argv0[..]), (&b"/opt/bin/python3.9"[..], &b"/nested/bin/python"[..]));
    // A directory of shims for the venv's python.
    fake.link(b"/d/python", b"/pyzy/lib/pyzy/launcher");
    fake.file(b"/d/.pyzy-shims", b"pyzy-shims 1\npython\t/venv/bin/python3\n");
    let found = run(&fake, b"/d/python", &[]).unwrap();
    assert_eq!((&found.file[..], &found.argv0[..]), (&b"/opt/bin/python3.9"[..], &b"/venv/bin/python3"[..]));
    // In a circle there is nothing to find.
    fake.file(b"/venv/bin/.pyzy-shims", b"pyzy-shims 1\npython3\t/nested/bin/python\n");
    fake.file(b"/venv/pyvenv.cfg", b"home = /nested/bin\n");
    let before = fake.calls.get();
    assert!(run(&fake, b"/nested/bin/python", &[b"PATH=/nowhere"]).is_err());
    assert!(fake.calls.get() - before < 2000, "{}", fake.calls.get() - before);
}

#[test]
fn plain_layouts_need_nothing_special() {
    let mut fake = installed();
    fake.elf(b"/home/me/.local/share/uv/python/cpython-3.12.1-linux-x86_64-gnu/bin/python3.12");
    let uv = b"/home/me/.local/share/uv/python/cpython-3.12.1-linux-x86_64-gnu/bin/python3.12";
    fake.link(b"/home/me/.local/bin/python3.12", uv);
    fake.elf(b"/home/me/conda/envs/x/bin/python3.11");
    fake.link(b"/home/me/conda/envs/x/bin/python3", b"python3.11");
    fake.file(b"/v/pyvenv.cfg", b"home = /usr/bin\n");
    fake.link(b"/v/bin/python3", b"/usr/bin/python3");
    fake.link(b"/etc/alternatives/python", b"/usr/bin/python3.11");
    fake.link(b"/usr/bin/python", b"/etc/alternatives/python");
    let cases: [(&[u8], &[u8]); 4] = [
        (b"python3.12", b"/home/me/.local/bin"),
        (b"python3", b"/home/me/conda/envs/x/bin"),
        (b"python3", b"/v/bin"),
        (b"python", b"/usr/bin"),
    ];
    for (name, dir) in cases {
        let found = run(&fake, name, &[&[b"PATH=/pyzy/shims:", dir].concat()]).unwrap();
        let expected: Vec<u8> = paths::join(dir, name);
        assert_eq!((&found.file, &found.argv0, found.warm), (&expected, &expected, Ok(())));
    }
}
