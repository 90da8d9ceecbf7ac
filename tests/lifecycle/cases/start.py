"""How zygotes come about: the first call, races, and what of the starter must not stay."""

import fcntl
import os
import re
import shutil
import signal

from harness import proc
from harness.proc import until
from harness.test import check, equal, test


@test("start/first-call-falls-back-and-a-zygote-appears", each=True)
def first_call(w):
    w.expect(w.call(), "no-zygote")
    zygote = w.zygote()
    w.warm()
    page = w.page(zygote)
    equal((page.pid, page.runs, page.refused, page.state), (zygote, 1, 0, "ready"), "status page")
    check(page.key in w.socket(), "the socket is named after the key")


def gated(w):
    """Start-up that waits at a gate, but only under a starter; gives the probe that waits."""
    gate = w.work + "/gate"
    if not os.path.exists(gate):
        os.mkfifo(gate)
    w.script("site/sitecustomize.py", "if b'pyzy-zygote' in open('/proc/self/cmdline', 'rb').read():\n    open(%r).read()\n" % gate)
    w.changes = {"PYTHONPATH": w.work + "/site"}
    w.expect(w.call(), "no-zygote")
    return until(lambda: [p for p in proc.descendants(os.getpid()) if b"pyzy-zygote" in proc.read(p, "cmdline")], "the probe")[0]


@test("start/nobody-waits-for-a-start-that-hangs", each=True)
def start_hangs(w):
    """Callers neither wait nor start a second one."""
    probe = gated(w)
    for _ in range(3):
        w.expect(w.call(seconds=5), "no-zygote")
    until(lambda: len(w.starters()) == 1, "one starter alone")
    check(not proc.gone(probe), "the first probe is the one that runs")
    proc.kill(probe)
    w.settle()
    w.expect(w.call(), "zygote-failed")


def race(w, count):
    running = [w.start() for _ in range(count)]
    for child in running:
        w.expect(child.finish(60), ("no-zygote", "warm", "busy"))
    zygote = w.zygote()
    with_lock = [p.pid for p in w.pages()]
    equal(with_lock, [zygote], "pages with a lock")
    # A starter that has ended and that nobody has waited for yet is no process any more.
    others = [p for p in proc.children(os.getpid()) if p not in w.known and proc.state(p) != "Z"]
    equal(others, [zygote], "processes")
    w.warm()


@test("start/8-at-once-leave-one-zygote", each=True)
def eight(w):
    race(w, 8)


@test("start/80-at-once-leave-one-zygote", each=True, seconds=90)
def eighty(w):
    race(w, 80)


@test("start/races-again-and-again", seconds=60)
def races_again(w):
    for _ in range(5):
        race(w, 6)
        w.stop_zygotes()
        equal(w.leftovers(), [], "files after the zygote left")


@test("start/nothing-of-the-starter-stays", each=True)
def nothing_stays(w):
    r, wr = os.pipe()
    locked = os.open(w.work + "/lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(locked, fcntl.LOCK_EX)
    jobs = os.pipe()
    os.mkdir(w.work + "/cwd")
    child = w.start(env={"SECRET": "of the starter", "MAKEFLAGS": "-j8 --jobserver-auth=7,8"}, cwd=w.work + "/cwd",
                    fds={0: r, 1: wr, 2: wr, 5: locked, 7: jobs[0], 8: jobs[1], 60: wr}, session=True)
    for fd in (wr, locked, *jobs):
        os.close(fd)
    equal(child.ended(), "exit 0", "the first call")
    equal(w.route(child), "no-zygote", "route")
    # Nobody may hold the pipe once the starters are done with; end of file is the event.
    zygote = until(lambda: [p.pid for p in w.pages() if p.state == "ready"], "a zygote")[0]
    equal(os.read(r, 100), b"OK\n", "output")
    equal(os.read(r, 100), b"", "end of the pipe")
    again = os.open(w.work + "/lock", os.O_RDWR)
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)
    w.settle()
    os.rmdir(w.work + "/cwd")
    held = proc.descriptors(zygote)
    equal([held.get(n) for n in (0, 1, 2)], ["/dev/null"] * 3, "standard streams of the zygote")
    allowed = re.compile(r"socket:\[\d+\]|anon_inode:\[(signalfd|pidfd|eventfd)\]|%s/%d\.zygote|/dev/null" % (re.escape(w.runtime), zygote))
    equal({n: t for n, t in held.items() if not allowed.fullmatch(t)}, {}, "other descriptors of the zygote")
    equal(os.readlink("/proc/%d/cwd" % zygote), "/", "its working directory")
    environ = proc.read(zygote, "environ").split(b"\0")
    names = {e.split(b"=")[0] for e in environ if e}
    check(not names & {b"SECRET", b"MAKEFLAGS", b"PATH", b"PYZY_LOG", b"XDG_RUNTIME_DIR"}, "variables of the starter in the zygote", names)
    fields = proc.stat(zygote)
    equal(int(fields[3]), zygote, "its session")
    equal(int(fields[4]), 0, "its terminal")
    for child_of in proc.children(zygote):
        spare = {n: t for n, t in proc.descriptors(child_of).items() if not allowed.fullmatch(t)}
        equal(spare, {}, "descriptors of the spare worker")
    os.close(r)


@test("start/the-reader-sees-the-end-at-once")
def reader_sees_end(w):
    """`x=$(python3 ok.py)` on the very first call: the shell reads until nobody holds the pipe."""
    done = w.call("-c", 'x=$(python3 ok.py); echo "got $x"', program="sh")
    equal(done.out, b"got OK\n", "output")
    equal(w.route(done), "no-zygote", "route")


@test("start/signals-and-mask-of-the-starter-do-not-stay")
def signals_do_not_stay(w):
    def before():
        for name in ("SIGUSR1", "SIGTERM", "SIGHUP", "SIGCHLD", "SIGPIPE"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM])
        os.umask(0o007)
    w.expect(w.call(before=before), "no-zygote")
    zygote = w.zygote()
    ignored = int(proc.status(zygote, "SigIgn"), 16)
    # CPython itself ignores SIGPIPE and SIGXFSZ.
    equal(ignored & ~(1 << 12 | 1 << 24), 0, "signals that the zygote ignores")
    show = w.script("show.py", "import signal, os\nprint([s.name for s in signal.valid_signals() if isinstance(s, signal.Signals) and signal.getsignal(s) == signal.SIG_IGN], sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), oct(os.umask(0)))\n")
    done = w.expect(w.call(show), "warm", None)
    equal(done.out, b"['SIGPIPE', 'SIGXFSZ'] [] 0o22\n" if done.out.startswith(b"['SIGP") else b"['SIGXFSZ', 'SIGPIPE'] [] 0o22\n", "signals of a worker")


@test("start/limits-of-the-starter-do-not-stay")
def limits_do_not_stay(w):
    import resource

    def before():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    w.expect(w.call(before=before), "no-zygote")
    w.zygote()
    show = w.script("show.py", "import resource\nprint(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_FSIZE))\n")
    here = "%r %r\n" % (resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_FSIZE))
    w.expect(w.call(show), "warm", here.encode())


@test("start/killed-starter-does-not-block", each=True)
def killed_starter(w):
    """Whoever holds the start lock dies: the next call starts another, and nothing of the first one lives on."""
    w.debris = True
    probe = gated(w)
    for pid in w.starters():
        proc.kill(pid)
    proc.wait_end(probe, "the probe of a starter that was killed")
    w.script("site/sitecustomize.py", "")
    w.prime()
    w.zygote()


@test("start/broken-interpreter-is-remembered", each=True)
def broken_start(w):
    """Start-up that ends the process: a failed start is noted, and later calls do not try again for a while."""
    w.script("site/sitecustomize.py", "import os\nif not os.environ.get('FINE'): pass\nopen(%r, 'a').write('x')\n" % (w.work + "/starts"))
    env = {"PYTHONPATH": w.work + "/site"}
    w.expect(w.call(env=env), "no-zygote")
    w.settle()
    before = len(w.text("starts"))
    for _ in range(4):
        w.expect(w.call(env=env), ("zygote-failed", "startup-impure"))
        w.settle()
    equal(len(w.text("starts")) - before, 4, "start-up runs by four calls (no attempt of ours among them)")
    equal(w.zygotes(), [], "zygotes")


@test("start/without-the-pyzy-program")
def incomplete(w):
    """An installation that lost a part still runs scripts."""
    stage = w.root + "/stage"
    shutil.copytree(w.stage, stage, symlinks=True)
    w.shims = stage + "/shims"
    os.unlink(stage + "/lib/pyzy/pyzy")
    w.expect(w.call(), "no-zygote")
    os.unlink(stage + "/lib/pyzy/libpyzy_zygote.so")
    w.expect(w.call(), "incomplete")
    equal(w.zygotes(), [], "zygotes")
