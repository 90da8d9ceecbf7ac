//! The command, from outside: what it prints, how it ends, what it leaves.

mod scratch;

use pyzy_core::page::{self, Page, State};
use pyzy_core::reason::Reason;
use pyzy_core::tally::{self, Tally};
use scratch::{Done, Scratch, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

#[test]
fn help_and_version() {
    let s = Scratch::new();
    assert_eq!(s.run(&["--version"]).good(), format!("pyzy {}\n", env!("CARGO_PKG_VERSION")));
    let all = s.run(&["--help"]).good();
    assert_eq!(s.run(&["help"]).good(), all);
    for topic in ["status", "stop", "stats", "why", "doctor", "shims", "env", "zygote"] {
        assert!(all.contains(&format!("\n  {topic} ")), "{topic}");
        let text = s.run(&["help", topic]).good();
        assert!(text.starts_with(&format!("usage: pyzy {topic}")));
        if topic != "zygote" {
            assert_eq!(s.run(&[topic, "--help"]).good(), text);
        }
    }
}

#[test]
fn wrong_command_lines_end_with_2() {
    let s = Scratch::new();
    for line in [&[][..], &["nope"], &["status", "--nope"], &["stop", "x"], &["env", "--shell", "tcsh"], &["shims"]] {
        let err = s.run(line).bad(2);
        assert!(err.contains("\nhint: "), "{err}");
    }
    assert!(s.run(&["x.py"]).bad(2).contains("python3 SCRIPT"));
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let s = Scratch::new();
    let mut child =
        s.pyzy(&["--help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err), (Some(0), String::new()));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let done: Done = s.pyzy(&["--help"]).stdout(full).output().unwrap().into();
    assert!(done.bad(1).contains("no space left"));
}

#[test]
fn directories_agree_with_the_crate() {
    const CHILD: &str = "PYZY_TEST_DIRECTORIES";
    if std::env::var_os(CHILD).is_some() {
        return compare_directories();
    }
    let me = std::env::current_exe().unwrap();
    let values: [&[(&str, &str)]; 8] = [
        &[("HOME", "/h")],
        &[("HOME", "/h/"), ("XDG_CACHE_HOME", "/c/")],
        &[("HOME", "/"), ("XDG_RUNTIME_DIR", "/r")],
        &[("HOME", "/h"), ("XDG_CACHE_HOME", ""), ("XDG_RUNTIME_DIR", "")],
        &[("HOME", "/h"), ("XDG_CACHE_HOME", "c"), ("XDG_RUNTIME_DIR", "r/s")],
        &[("HOME", "/h"), ("XDG_CACHE_HOME", "./c"), ("XDG_RUNTIME_DIR", "~")],
        &[("HOME", "/h"), ("XDG_CACHE_HOME", "/c d"), ("XDG_RUNTIME_DIR", "/run/user/1")],
        &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "//r//")],
    ];
    for environ in values {
        let mut child = Command::new(&me);
        child.args(["--exact", "directories_agree_with_the_crate", "--nocapture"]).env_clear().env(CHILD, "1");
        let done: Done = child.envs(environ.iter().copied()).output().unwrap().into();
        assert_eq!(done.code, Some(0), "{environ:?}: {done:?}");
        assert!(done.out.contains("1 passed"), "{done:?}");
    }
}

fn compare_directories() {
    let crates = directories::BaseDirs::new().expect("HOME is set");
    let entry = |(n, v): (std::ffi::OsString, std::ffi::OsString)| [n.as_bytes(), b"=", v.as_bytes()].concat();
    let environ: Vec<Vec<u8>> = std::env::vars_os().map(entry).collect();
    let environ: Vec<&[u8]> = environ.iter().map(Vec::as_slice).collect();
    let path = |bytes: &[u8]| std::path::PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    let ours: Vec<_> = pyzy_core::dirs::runtime(&environ).iter().map(|c| path(&c.path)).collect();
    let mut theirs: Vec<_> = crates.runtime_dir().map(|d| d.join("pyzy")).into_iter().collect();
    theirs.push(crates.cache_dir().join("pyzy/run"));
    assert_eq!(ours, theirs);
    assert_eq!(path(&pyzy_core::dirs::tally(&environ).unwrap().path), crates.cache_dir().join("pyzy/tally"));
}

const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

/// A process that behaves as a zygote does towards the command.
struct Zygote(Child);

/// How it takes SIGTERM.
const LEAVES: &str = "os.unlink(path); os._exit(0)";
const DEAF: &str = "pass";
const WORKS: &str = "put(60, 2); put(56, 3)";

impl Zygote {
    fn start(s: &Scratch, on_term: &str) -> Zygote {
        let program = format!(
            "import fcntl, os, signal, struct, sys\n\
             put = lambda at, n: os.pwrite(fd, struct.pack('<I', n), at)\n\
             def term(*_):\n    {on_term}\n\
             signal.signal(signal.SIGTERM, term)\n\
             path = input()\n\
             fd = os.open(path, os.O_RDWR)\n\
             fcntl.flock(fd, fcntl.LOCK_EX)\n\
             print('locked', flush=True)\n\
             while True: signal.pause()"
        );
        let mut command = s.command("python3");
        let mut child = command.args(["-c", &program]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let ticks = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().parse().unwrap();
        let page = s.runtime(&format!("{}.zygote", child.id()));
        std::fs::write(&page, page::encode(&sample(s, child.id(), ticks))).unwrap();
        let line = [page.as_os_str().as_bytes(), b"\n"].concat();
        child.stdin.as_mut().unwrap().write_all(&line).unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
        assert_eq!(answer, "locked\n");
        Zygote(child)
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sample(s: &Scratch, pid: u32, start_ticks: u64) -> Page<'static> {
    let socket = s.runtime(&format!("{}.sock", String::from_utf8_lossy(KEY)));
    let socket: &'static [u8] = Box::leak(socket.into_os_string().into_encoded_bytes().into_boxed_slice());
    Page {
        pid,
        started: 1,
        start_ticks,
        runs: 7,
        refused: 0,
        last_use: 0,
        running: 0,
        state: State::Ready,
        key: *KEY,
        interpreter: b"/opt/py\xff thon3".as_slice().into(),
        socket: socket.into(),
        identity: b"LANG=C\n-u".as_slice().into(),
        version: b"3.12.1".as_slice().into(),
    }
}

#[test]
fn status_shows_the_living_and_sweeps_the_dead() {
    let s = Scratch::new();
    assert!(s.run(&["status"]).good().starts_with("no zygote is running"));
    std::fs::write(s.runtime("1.zygote"), page::encode(&sample(&s, 1, 1))).unwrap();
    std::fs::write(s.runtime("2.zygote"), b"nonsense").unwrap();
    let zygote = Zygote::start(&s, LEAVES);
    let text = s.run(&["status"]).good();
    let pid = zygote.0.id().to_string();
    for part in ["01234567", &pid, "ready", " 7 ", "3.12.1", "/opt/py\\xff thon3", "LANG=C\\x0a-u"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!s.runtime("1.zygote").exists() && !s.runtime("2.zygote").exists());
    let document = s.run(&["status", "--json"]).good();
    let values = "[(z['pid'], z['runs'], z['state'], os.fsencode(z['interpreter'])) for z in d['zygotes']]";
    assert_eq!(json(&s, &document, values), format!("[({pid}, 7, 'ready', b'/opt/py\\xff thon3')]"));
    zygote.signal(rustix::process::Signal::STOP);
    wait_stopped(&zygote);
    assert!(s.run(&["status"]).good().contains("stopped"));
}

#[test]
fn a_page_whose_pid_is_used_again_is_dead() {
    let s = Scratch::new();
    let zygote = Zygote::start(&s, LEAVES);
    let page = s.runtime(&format!("{}.zygote", zygote.0.id()));
    let bytes = page::encode(&sample(&s, zygote.0.id(), 1));
    rustix::io::pwrite(std::fs::File::options().write(true).open(&page).unwrap(), &bytes, 0).unwrap();
    assert!(s.run(&["stop"]).good().starts_with("no zygote"));
    assert!(!page.exists());
    assert!(std::path::Path::new(&format!("/proc/{}/exe", zygote.0.id())).exists(), "somebody else's process");
}

#[test]
fn a_directory_open_to_others_is_not_trusted() {
    let s = Scratch::new();
    let set = |mode| std::fs::set_permissions(s.path("run/pyzy"), std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o755);
    let err = s.run(&["status"]).bad(1);
    assert!(err.contains("mode 0755 lets others in\nhint: chmod 700 "), "{err}");
    let doctor = s.run(&["doctor"]);
    assert!(doctor.code == Some(1) && doctor.out.contains("chmod 700"), "{doctor:?}");
    set(0o700);
    std::fs::set_permissions(s.path("run"), std::fs::Permissions::from_mode(0o750)).unwrap();
    let doctor = s.run(&["doctor"]);
    assert!(doctor.out.contains("its mode 0750 lets others in"), "{doctor:?}");
    assert!(doctor.out.contains("home/.cache/pyzy/run"), "{doctor:?}");
    let done: Done = s.pyzy(&["status"]).env_remove("HOME").env_remove("XDG_RUNTIME_DIR").output().unwrap().into();
    let err = done.bad(1);
    assert!(err.contains("HOME is not set") && err.contains("\nhint: "), "{err}");
}

fn wait_stopped(zygote: &Zygote) {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let pid = rustix::process::Pid::from_child(&zygote.0);
    waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).unwrap();
}

#[test]
fn stop_asks_and_waits() {
    let s = Scratch::new();
    let mut zygote = Zygote::start(&s, LEAVES);
    let other = Zygote::start(&s, LEAVES);
    let text = s.run(&["stop", &zygote.0.id().to_string()]).good();
    assert_eq!(text, format!("01234567 {} has left\n", zygote.0.id()));
    assert_eq!(zygote.0.wait().unwrap().code(), Some(0));
    assert!(s.run(&["stop", "4194304"]).bad(1).contains("no zygote has this pid"));
    assert!(s.run(&["stop", "aaaaaaaa"]).bad(1).contains("no zygote has this key\nhint: `pyzy status`"));
    let document = s.run(&["stop", "--json", "01234567"]).good();
    let values = "[(z['pid'], z['outcome']) for z in d['zygotes']]";
    assert_eq!(json(&s, &document, values), format!("[({}, 'left')]", other.0.id()));
    assert_eq!(s.run(&["stop"]).good(), "no zygote is running\n");
}

#[test]
fn stop_kills_the_deaf_and_the_stopped_and_cleans_up() {
    let s = Scratch::new();
    let key = String::from_utf8_lossy(KEY);
    for stopped in [true, false] {
        let mut zygote = Zygote::start(&s, DEAF);
        let socket = s.runtime(&format!("{key}.sock"));
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::fs::write(s.runtime(&format!("{key}.fresh")), b"").unwrap();
        if stopped {
            zygote.signal(rustix::process::Signal::STOP);
            wait_stopped(&zygote);
        }
        let text = s.run(&["stop"]).good();
        assert!(text.contains(if stopped { "was stopped by a signal" } else { "did not answer" }), "{text}");
        assert_eq!(zygote.0.wait().unwrap().code(), None);
        assert!(!socket.exists() && !s.runtime(&format!("{key}.fresh")).exists());
        assert!(!s.runtime(&format!("{}.zygote", zygote.0.id())).exists());
    }
}

#[test]
fn stop_leaves_running_workers_alone() {
    let s = Scratch::new();
    let mut zygote = Zygote::start(&s, WORKS);
    let text = s.run(&["stop"]).good();
    assert!(text.contains("takes no more scripts, and leaves after 3 running workers"), "{text}");
    assert!(zygote.0.try_wait().unwrap().is_none());
}

#[test]
fn stop_without_a_name_forgets_failed_starts() {
    let s = Scratch::new();
    let note = s.runtime(&format!("{}.failed", String::from_utf8_lossy(KEY)));
    std::fs::write(&note, "no such library\nmore").unwrap();
    let doctor = s.run(&["doctor"]);
    assert!(doctor.out.contains("01234567 could not be started 0s ago: no such library\n"), "{doctor:?}");
    assert_eq!(s.run(&["stop"]).good(), "no zygote is running\nforgot 1 failed start\n");
    assert!(!note.exists());
}

#[test]
fn stats_counts_and_begins_anew() {
    let s = Scratch::new();
    assert_eq!(s.run(&["stats"]).good(), "nothing has been counted yet\n");
    let mut counted = Tally { warm_fork: 3, ..Tally::ZERO };
    counted.reasons[usize::from(Reason::Command.number())] = 1;
    counted.reasons[127] = 1;
    s.put("home/.cache/pyzy/tally", tally::encode(&counted), 0o600);
    let text = s.run(&["stats"]).good();
    for part in ["3    60%  warm ", "1    20%  command ", "reason-127", "5 runs: 3 warm, 2 fallbacks\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let document = s.run(&["stats", "--json", "--reset"]).good();
    let values = "(d['warm'], d['fallbacks'], d['reasons']['command'], d['reasons']['module'], d['other_reasons'])";
    assert_eq!(json(&s, &document, values), "(3, 2, 1, 0, [{'number': 127, 'runs': 1}])");
    assert_eq!(s.run(&["stats"]).good(), "nothing has been counted yet\n");
    s.put("home/.cache/pyzy/tally", "broken", 0o600);
    assert!(s.run(&["stats"]).bad(1).contains("it is not 2048 bytes long"));
    assert!(s.run(&["stats", "--reset"]).good().contains("anew"));
    assert_eq!(s.run(&["stats"]).good(), "nothing has been counted yet\n");
}

#[test]
fn doctor_finds_what_is_wrong() {
    let s = Scratch::new();
    std::fs::remove_file(s.path("prefix/lib/pyzy/launcher")).unwrap();
    let mut command = s.pyzy(&["doctor", "--json"]);
    command.env("PYZY_DISABLE", "1").env("PYZY_ENGINE", "warp").env("PYZY_LGO", "x").env("PYZY_LOG", "/nowhere/log");
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.code, Some(1));
    let grade = |subject: &str, part: &str| {
        let expression =
            format!("[c['grade'] for c in d['checks'] if c['subject'] == '{subject}' and '{part}' in c['seen']]");
        json(&s, &done.out, &expression)
    };
    assert_eq!(grade("launcher", "no such file"), "['fail']");
    for part in ["PYZY_DISABLE", "warp", "PYZY_LGO means nothing", "/nowhere/log"] {
        assert_eq!(grade("variables", part), "['warn']", "{part}");
    }
    assert_eq!(grade("python3", "no shim is on PATH"), "['warn']");
    assert_eq!(grade("/proc", "mounted"), "['ok']");
    let without = s.pyzy(&["doctor"]).env("PATH", "/nowhere").output().unwrap();
    let done: Done = without.into();
    assert!(done.code == Some(1) && done.out.contains("nothing on PATH has this name"), "{done:?}");
}

#[test]
fn doctor_sees_the_shim_first() {
    let s = Scratch::new();
    let shims = s.path("prefix/shims");
    let mut path = shims.clone().into_os_string();
    path.push(":");
    path.push(scratch::plain_path());
    let done: Done = s.pyzy(&["doctor"]).env("PATH", path).output().unwrap().into();
    let line = format!("ok    python3            '{}', and behind it '", shims.join("python3").display());
    assert!(done.out.contains(&line), "{done:?}");
}

#[test]
fn why_walks_the_way() {
    let s = Scratch::new();
    s.put("x.py", "", 0o644);
    let reason = |args: &[&str]| {
        let line = [&["why", "--json"], args].concat();
        json(&s, &s.run(&line).good(), "d['reason']")
    };
    assert_eq!(reason(&["-c", "1"]), "command");
    assert_eq!(reason(&["-m", "x"]), "module");
    assert_eq!(reason(&["none.py"]), "script-missing");
    let there = reason(&["-u", "x.py", "--json"]);
    // The process that runs the tests may be one that is never warm.
    let fine = if scratch::built().is_some() { ["no-zygote", "memory-limit", "seccomp"] } else { ["incomplete"; 3] };
    assert!(fine.contains(&there.as_str()), "{there}");
    let text = s.run(&["why", "-c", "1"]).good();
    assert!(text.starts_with("fallback: command: "), "{text}");
    let off: Done = s.pyzy(&["why", "x.py"]).env("PYZY_DISABLE", "1").output().unwrap().into();
    assert!(off.good().starts_with("fallback: disabled"));
    let none: Done = s.pyzy(&["why", "x.py"]).env("PATH", "/nowhere").output().unwrap().into();
    assert!(none.bad(1).contains("\nhint: "));
}
