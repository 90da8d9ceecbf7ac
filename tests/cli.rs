//! The command, from outside: what it prints, how it ends, what it leaves.

mod scratch;

use pyzy_core::fresh::Table;
use pyzy_core::image::{self, Machine, Numbers, Parts, Region};
use pyzy_core::key::Key;
use pyzy_core::page::{self, Page, State};
use pyzy_core::reason::Reason;
use pyzy_core::tally::{self, Tally};
use scratch::{Done, Scratch, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[test]
fn help_and_version() {
    let s = Scratch::new();
    assert_eq!(s.run(&["--version"]).good(), format!("pyzy {}\n", env!("CARGO_PKG_VERSION")));
    let all = s.run(&["--help"]).good();
    assert_eq!(s.run(&["help"]).good(), all);
    for topic in ["status", "stop", "stats", "why", "doctor", "shims", "env", "preload", "zygote"] {
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

const IMAGE: [u8; 16] = [0xab; 16];
const PAGE: usize = image::PAGE as usize;
const HEAD: usize = 2 * PAGE;

/// An image as far as its head goes: of this machine, fresh, made just now by that process.
struct Sample {
    key: Key,
    machine: Machine,
    numbers: Numbers,
    version: &'static [u8],
    table: Vec<u8>,
}

impl Sample {
    fn new(zygote: u32) -> Sample {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap();
        let vector = std::fs::read("/proc/self/auxv").unwrap();
        let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
        let value = |kind| vector.chunks_exact(16).find(|p| word(&p[..8]) == kind).map_or(0, |p| word(&p[8..]));
        let machine = Machine {
            boot: image::boot_id(&boot).unwrap(),
            abilities: [libc::AT_HWCAP, libc::AT_HWCAP2, libc::AT_MINSIGSTKSZ].map(value),
        };
        let numbers = Numbers {
            zygote: zygote.into(),
            created: boot_time(),
            lifetime: 3_600_000_000_000,
            runs: 100,
            entry: 0x40_0000,
            thread: 0x40_1000,
            ..Numbers::default()
        };
        let table = Table { nonce: 1, paths: Vec::new(), variables: Vec::new() }.encode();
        Sample { key: Key(IMAGE), machine, numbers, version: env!("CARGO_PKG_VERSION").as_bytes(), table }
    }

    fn file(&self) -> Vec<u8> {
        let region =
            |address, offset, protection| Region { address, length: image::PAGE, offset, file: None, protection };
        let regions = [
            region(0x40_0000, Some(0), image::READ | image::EXECUTE),
            region(0x40_1000, None, image::READ | image::WRITE),
        ];
        let parts = Parts {
            key: self.key,
            version: self.version,
            machine: self.machine,
            numbers: self.numbers,
            regions: &regions,
            patches: &[],
            written: &[],
            fresh: &self.table,
        };
        let size = HEAD + PAGE;
        let mut bytes = parts.encode(HEAD, size as u64).unwrap();
        bytes.resize(size, 0xcc);
        bytes
    }

    /// Writes it under its name.
    fn put(&self, s: &Scratch) -> PathBuf {
        put_image(s, &String::from_utf8_lossy(&self.key.hex()), &self.file())
    }
}

fn put_image(s: &Scratch, key: &str, bytes: &[u8]) -> PathBuf {
    let path = s.runtime(&format!("{key}.image"));
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// CLOCK_BOOTTIME, nanoseconds.
fn boot_time() -> u64 {
    pyzy_sys::process::clock(libc::CLOCK_BOOTTIME) as u64
}

fn note(path: &Path, offset: usize, value: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    rustix::io::pwrite(file, &value.to_le_bytes(), offset as u64).unwrap();
}

#[test]
fn status_shows_images() {
    let s = Scratch::new();
    let zygote = Zygote::start(&s, LEAVES);
    let path = Sample::new(zygote.0.id()).put(&s);
    let values = "[(i['key'][:8], i['zygote'], i['zygote_alive'], i['runs'], i['idle_seconds'], i['mapped_pages'], \
                  i['due'], i['replacement_asked_seconds'], i['unusable']) for i in d['images']]";
    let images = || json(&s, &s.run(&["status", "--json"]).good(), values);
    let pid = zygote.0.id();
    assert_eq!(images(), format!("[('abababab', {pid}, True, 0, None, 2, False, None, None)]"));
    let text = s.run(&["status"]).good();
    let row = text.lines().find(|l| l.starts_with("abababab")).unwrap();
    for part in [&format!(" {pid}  alive "), " never ", "  2  yes"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    let disk = json(&s, &s.run(&["status", "--json"]).good(), "d['images'][0]['disk_bytes']");
    assert_eq!(disk, (path.metadata().unwrap().blocks() * 512).to_string());

    note(&path, image::RUNS, 100);
    note(&path, image::LAST_USE, boot_time());
    note(&path, image::ROTATION, boot_time() - 7_000_000_000);
    let seen = images();
    assert!(seen.starts_with(&format!("[('abababab', {pid}, True, 100, 0, 2, True, 7, None)]")), "{seen}");
    assert!(s.run(&["status"]).good().contains("due for replacement"));
}

#[test]
fn status_says_why_an_image_is_not_used() {
    let s = Scratch::new();
    let zygote = Zygote::start(&s, LEAVES);
    let unusable = |bytes: &[u8]| {
        let path = put_image(&s, &"ab".repeat(16), bytes);
        let text = s.run(&["status"]).good();
        let begin = format!("'{}' is not used: ", path.display());
        text.lines().find_map(|l| l.strip_prefix(&begin).map(str::to_owned)).unwrap_or_else(|| panic!("{text}"))
    };
    let sample = |change: fn(&mut Sample)| {
        let mut sample = Sample::new(zygote.0.id());
        change(&mut sample);
        sample.file()
    };
    assert_eq!(unusable(&sample(|s| s.machine.boot[0] ^= 1)), "it was made before the machine was started");
    assert_eq!(unusable(&sample(|s| s.machine.abilities[1] ^= 1)), "it was made on a processor with other abilities");
    assert!(unusable(&sample(|s| s.version = b"0.0.9")).starts_with("it was made by pyzy 0.0.9, this is "));
    assert_eq!(unusable(&sample(|s| s.key = Key([1; 16]))), "it has another key than its name says");
    assert_eq!(unusable(&sample(|s| s.table = b"x".to_vec())), "its freshness table is damaged");
    let gone = |s: &mut Sample| {
        let paths = vec![(&b"/"[..], None)];
        s.table = Table { nonce: 1, paths, variables: Vec::new() }.encode();
    };
    assert_eq!(unusable(&sample(gone)), "'/' has changed");
    let good = sample(|_| {});
    assert_eq!(unusable(&good[..good.len() - 1]), "it is cut off");
    assert_eq!(unusable(b"PYZYIMAG\x02\0\0\0"), "it is cut off");
    assert_eq!(unusable(b"nonsense, and more than eight bytes"), "it is not an image");
    let mut other = good.clone();
    other[8] = 9;
    assert_eq!(unusable(&other), "it has format 9, this pyzy knows 2");
    let mut damaged = good.clone();
    damaged[image::START + 9] ^= 1;
    assert_eq!(unusable(&damaged), "its head is damaged");
    let path = put_image(&s, &"ab".repeat(16), &good);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let doctor = s.run(&["doctor"]);
    assert!(
        doctor.out.contains("abababab is not used: it is another user's, open to others, or no file"),
        "{doctor:?}"
    );
}

#[test]
fn stop_removes_images_without_a_zygote() {
    let s = Scratch::new();
    let zygote = Zygote::start(&s, LEAVES);
    let alive = Sample::new(zygote.0.id()).put(&s);
    // Of a zygote that is gone, of one whose pid is used again, of another boot, damaged, of a newer pyzy.
    let sample = |number: u8, zygote: u32| Sample { key: Key([number; 16]), ..Sample::new(zygote) };
    let gone = sample(1, 4_194_304).put(&s);
    let mut older = sample(2, zygote.0.id());
    older.numbers.created = 1;
    let older = older.put(&s);
    let mut boot = sample(3, zygote.0.id());
    boot.machine.boot[0] ^= 1;
    let boot = boot.put(&s);
    let damaged = put_image(&s, &"04".repeat(16), b"nonsense, and more than eight bytes");
    let mut newer = sample(5, 4_194_304).file();
    newer[8] = 9;
    let newer = put_image(&s, &"05".repeat(16), &newer);
    // One of which another is being made is left to whoever makes it.
    let busy = sample(6, 4_194_304).put(&s);
    let lock = std::fs::File::create(s.runtime(&format!("{}.lock", "06".repeat(16)))).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();

    assert!(s.run(&["stop", "0a0a0a0a"]).bad(1).contains("no zygote has this key"));
    assert!(alive.exists() && newer.exists() && busy.exists());
    for path in [gone, older, boot, damaged] {
        assert!(!path.exists(), "{}", path.display());
    }
    drop(lock);
    assert_eq!(s.run(&["stop", "06060606"]).good(), "no zygote is running\nremoved 1 image without a zygote\n");
    assert!(!busy.exists());
    // An image's key names its zygote. This one cannot take its image along.
    let text = s.run(&["stop", "abababab"]).good();
    assert_eq!(text, format!("01234567 {} has left\nremoved 1 image without a zygote\n", zygote.0.id()));
    assert!(!alive.exists() && newer.exists());
    let document = s.run(&["stop", "--json"]).good();
    assert_eq!(json(&s, &document, "(d['zygotes'], d['removed_images'])"), "([], 0)");
}

#[test]
fn stop_without_a_name_forgets_failed_starts() {
    let s = Scratch::new();
    let note = s.runtime(&format!("{}.failed", String::from_utf8_lossy(KEY)));
    std::fs::write(&note, "no such library\nmore").unwrap();
    let doctor = s.run(&["doctor"]);
    assert!(doctor.out.contains("01234567 could not be started 0s ago: no such library\n"), "{doctor:?}");
    let image = s.runtime(&format!("{}.failed", "ab".repeat(16)));
    std::fs::write(&image, "image: the kernel lacks something\n").unwrap();
    let doctor = s.run(&["doctor"]);
    assert!(doctor.out.contains("abababab could not be made 0s ago: the kernel lacks something\n"), "{doctor:?}");
    assert_eq!(s.run(&["stop"]).good(), "no zygote is running\nforgot 2 failed starts\n");
    assert!(!note.exists() && !image.exists());
}

#[test]
fn stats_counts_and_begins_anew() {
    let s = Scratch::new();
    assert_eq!(s.run(&["stats"]).good(), "nothing has been counted yet\n");
    let mut counted = Tally { warm_fork: 3, warm_restore: 1, ..Tally::ZERO };
    counted.reasons[usize::from(Reason::Command.number())] = 1;
    counted.reasons[127] = 1;
    s.put("home/.cache/pyzy/tally", tally::encode(&counted), 0o600);
    let text = s.run(&["stats"]).good();
    let line = "6 runs: 4 warm (1 restored, 3 forked), 2 fallbacks\n";
    for part in ["1    17%  warm restore ", "3    50%  warm fork ", "1    17%  command ", "reason-127", line] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let document = s.run(&["stats", "--json", "--reset"]).good();
    let values = "(d['warm'], d['fallbacks'], d['reasons']['command'], d['reasons']['module'], d['other_reasons'])";
    assert_eq!(json(&s, &document, values), "(4, 2, 1, 0, [{'number': 127, 'runs': 1}])");
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
    command.env("PYZY_IMAGE_SECS", "1h").env("PYZY_IMAGE_RUNS", "-1").env("PYZY_IMAGE_MB", " 12 ");
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.code, Some(1));
    let grade = |subject: &str, part: &str| {
        let expression =
            format!("[c['grade'] for c in d['checks'] if c['subject'] == '{subject}' and '{part}' in c['seen']]");
        json(&s, &done.out, &expression)
    };
    assert_eq!(grade("launcher", "no such file"), "['fail']");
    let numbers = ["PYZY_IMAGE_SECS is", "PYZY_IMAGE_RUNS is"];
    for part in ["PYZY_DISABLE", "warp", "PYZY_LGO means nothing", "/nowhere/log"].into_iter().chain(numbers) {
        assert_eq!(grade("variables", part), "['warn']", "{part}");
    }
    assert_eq!(grade("variables", "PYZY_IMAGE_MB"), "[]");
    assert_eq!(grade("images", "0 images, 0.0M of 12M"), "['ok']");
    assert_eq!(grade("restore", "PYZY_ENGINE leaves it out"), "[]");
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

#[test]
fn why_names_the_engine() {
    let s = Scratch::new();
    if scratch::built().is_none() {
        eprintln!("skipped: launcher and library have not been built");
        return;
    }
    s.put("x.py", "", 0o644);
    let why = |engine: &str, expression: &str| {
        let done: Done = s.pyzy(&["why", "--json", "x.py"]).env("PYZY_ENGINE", engine).output().unwrap().into();
        json(&s, &done.good(), expression)
    };
    let engines = "[(e['engine'], e['serves'], e['reason']) for e in d['engines']]";
    assert_eq!(why("off", "(d['route'], d['reason'], d['engines'])"), "('fallback', 'engine-off', [])");
    let restore = why("restore", engines);
    if restore != "[('restore', False, 'no-image')]" {
        // The process that runs the tests may be one that is never warm.
        assert_eq!(restore, "[]");
        return;
    }
    assert!(why("fork", engines).starts_with("[('fork', False, '"));
    assert!(why("", engines).starts_with("[('restore', False, 'no-image'), ('fork', False, '"));

    let path = why("restore", "d['facts']['image']");
    let path = Path::new(&path);
    let key = Key::from_hex(path.file_stem().unwrap().as_bytes()).unwrap();
    let sample = || Sample { key, ..Sample::new(4_194_304) };
    let path = sample().put(&s);
    assert_eq!(why("restore", "(d['route'], d['engine'], d['reason'])"), "('warm', 'restore', None)");
    assert_eq!(why("", engines), "[('restore', True, None)]");
    let text = s.run(&["why", "x.py"]).good();
    assert!(text.starts_with("warm: restore\n") && text.contains("zygote 4194304, which is gone\n"), "{text}");

    let refused = |change: &dyn Fn(&mut Sample), reason: &str| {
        let mut sample = sample();
        change(&mut sample);
        put_image(&s, &String::from_utf8_lossy(&key.hex()), &sample.file());
        assert_eq!(why("restore", "(d['route'], d['reason'])"), format!("('fallback', '{reason}')"));
    };
    refused(&|s| s.machine.boot[0] ^= 1, "image-unusable");
    refused(&|s| s.machine.abilities[0] ^= 1, "image-unusable");
    refused(&|s| s.version = b"x", "image-unusable");
    refused(&|s| s.key = Key([1; 16]), "image-unusable");
    refused(&|s| s.table.clear(), "image-unusable");
    let table = |paths, variables| Table { nonce: 1, paths, variables }.encode();
    refused(&|s| s.table = table(vec![(b"/", None)], vec![]), "stale");
    assert_eq!(why("restore", "d['facts']['changed']"), "/");
    refused(&|s| s.table = table(vec![], vec![(b"HOME", None)]), "startup-environment");
    assert_eq!(why("restore", "d['facts']['variable']"), "HOME");
    sample().put(&s);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
    assert_eq!(why("restore", "d['reason']"), "image-unusable");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    assert_eq!(why("restore", "d['reason']"), "image-unusable");
    std::fs::remove_file(&path).unwrap();

    std::fs::write(path.with_extension("failed"), "image: a trial restore takes too long\n").unwrap();
    let done: Done = s.pyzy(&["why", "x.py"]).env("PYZY_ENGINE", "restore").output().unwrap().into();
    let text = done.good();
    assert!(text.starts_with("fallback: no-image: ") && text.contains("a trial restore takes too long\n"), "{text}");
    assert!(text.contains("hint: `pyzy doctor` says more; `pyzy stop` lets"), "{text}");
}
