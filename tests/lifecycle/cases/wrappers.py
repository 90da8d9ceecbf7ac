"""Under other programs, namespaces, limits and filters: an own identity or a fallback, never the outside's zygote."""

import ctypes
import os
import signal
import struct

from harness import proc
from harness.proc import until
from harness.test import Skip, check, equal, test

for words in (("timeout", "20"), ("nohup",), ("setsid", "-w"), ("stdbuf", "-oL"), ("env", "FOO=1"), ("time", "-p"), ("ionice", "-c3"), ("xargs", "-a", "/dev/null"), ("chrt", "-o", "0"), ("taskset", "1"), ("script", "-qec")):
    @test("under/" + words[0], words[0])
    def under(w, words=words):
        if words[0] == "script":
            raise Skip("has a terminal: see terminal/")
        w.prime()
        child = w.call(wrap=words)
        allowed = ("preloaded-library",) if words[0] == "stdbuf" else ("warm", "no-zygote")
        equal((child.out, child.end), (b"OK\n", "exit 0"), "run (%r)" % child.err)
        check(w.route(child) in allowed, "route", w.route(child))
        w.settle()
        w.expect(w.call(wrap=words), "preloaded-library" if words[0] == "stdbuf" else "warm")


@test("under/timeout-that-strikes", "timeout")
def timeout(w):
    w.prime()
    child = w.start(w.script("wait.py", "print('ready', flush=True)\ninput()\n"), wrap=("timeout", "-s", "TERM", "0.3"), fds={0: "pipe"})
    child.expect(b"ready\n")
    worker = w.worker(child)
    child.finish()
    equal(child.end, "exit 124", "ending")
    check(proc.gone(worker), "the worker is gone")


@test("under/nohup-ignores-the-hang-up", "nohup")
def nohup(w):
    w.prime()
    child = w.start(w.script("hup.py", "import signal, sys\nprint(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, flush=True)\nsys.stdin.readline()\nprint('end')\n"), wrap=("nohup",), fds={0: "pipe"})
    child.expect(b"True\n")
    child.kill(signal.SIGHUP)
    child.send(b"\n")
    w.expect(child.finish(), "warm", b"end\n")


@test("under/env-i", each=True)
def env_i(w):
    """No HOME, no runtime directory, no log: a plain run."""
    w.prime()
    child = w.call(wrap=("env", "-i", "PYZY_LOG=%s/log/env" % w.root), program=w.shims + "/python3")
    equal((child.out, child.end), (b"OK\n", "exit 0"), "run")
    equal(w.text(w.root + "/log/env").count("route=fallback"), 1, "fallbacks")


@test("under/strace", "strace")
def strace(w):
    w.prime()
    child = w.call(wrap=("strace", "-f", "-o", w.work + "/trace"))
    if b"ptrace" in child.err or b"Operation not permitted" in child.err:
        raise Skip("no tracing here")
    w.expect(child, "traced")


@test("under/bash-with-jobs")
def background_jobs(w):
    w.prime()
    child = w.call("-c", "for i in 1 2 3 4 5; do python3 ok.py & done; wait; python3 ok.py | cat; (python3 ok.py); x=$(python3 ok.py); echo $x", program="bash")
    equal((child.out, child.end), (b"OK\n" * 8, "exit 0"), "run")
    equal({line["route"] for line in w.routes(child)}, {"warm"}, "routes")


@test("under/xargs-P", "xargs")
def xargs(w):
    w.prime()
    child = w.call("-c", "seq 60 | xargs -P 8 -n 1 python3 ok.py", program="sh", seconds=40)
    equal((child.out, child.end), (b"OK\n" * 60, "exit 0"), "run")
    equal([line["route"] for line in w.routes(child)], ["warm"] * 60, "routes")


@test("under/make-j", "make")
def make(w):
    """A jobserver's descriptors reach the scripts, and nothing keeps them."""
    w.prime()
    targets = " ".join("t%d" % i for i in range(12))
    w.script("Makefile", "all: %s\n%s:\n\t+@python3 ok.py\n" % (targets, targets))
    child = w.call("-j4", "-f", "Makefile", program="make", seconds=40)
    equal((child.out, child.end), (b"OK\n" * 12, "exit 0"), "run (%r)" % child.err)
    equal({line.get("reason", line["route"]) for line in w.routes(child)}, {"warm"}, "routes")


# -- sandboxes

LINKS = "import os\nfor n in sorted(os.listdir('/proc/self/ns')):\n    print(os.readlink('/proc/self/ns/' + n))\n"


def namespaces(w, *wrap):
    """Three runs in one new namespace: each sees the namespaces of the shell that calls, not those of a zygote outside."""
    w.debris = True
    w.prime()
    outside = w.zygote()
    runs = w.page(outside).runs
    script = w.script("links.py", LINKS)
    shell = "cd /proc/self/ns && for i in $(ls | sort); do readlink $i; done; cd - >/dev/null; for i in 1 2 3; do echo --; python3 %s || exit 9; echo; read go; done" % script
    child = w.start("-c", shell, program="sh", wrap=wrap, fds={0: "pipe"})
    wanted = None
    for _ in range(3):
        try:
            got = child.expect(rb"(?s)^(.*?)--\n(.*?)\n\n")
        except Exception:
            if child.status is not None and b"unshare" in child.err:
                raise Skip("not allowed here: %r" % child.err) from None
            raise
        wanted = wanted or got.group(1).split()
        # pid_for_children and time_for_children of a child are its own.
        equal(got.group(2).split(), wanted, "namespaces of the script")
        w.settle()
        child.send(b"\n")
    equal(child.finish().end, "exit 0", "ending")
    routes = [line.get("reason", line["route"]) for line in w.routes(child)]
    check(len(routes) == 3 and routes[0] != "warm" and set(routes) <= {"no-zygote", "warm", "no-proc", "stale", "zygote-failed", "no-runtime-directory", "unsafe-directory", "privileged"}, "routes", routes)
    equal(w.page(outside).runs, runs, "runs of the zygote outside")
    w.warm()


for name, words in (("net", ("unshare", "-n")), ("mount", ("unshare", "-m")), ("user", ("unshare", "-Ur")), ("user-unmapped", ("unshare", "-U")), ("pid", ("unshare", "-p", "--fork")), ("pid-and-proc", ("unshare", "-p", "--fork", "--mount-proc")),
                    ("uts", ("unshare", "-u")), ("ipc", ("unshare", "-i")), ("cgroup", ("unshare", "-C")), ("all", ("unshare", "-Urmpnuif", "--mount-proc"))):
    test("namespace/" + name, "root", "unshare")(lambda w, words=words: namespaces(w, *words))


@test("sandbox/no-new-privs", "setpriv")
def no_new_privs(w):
    """A Landlock domain may stand behind it, which shows nowhere; unless the whole container has it."""
    w.prime()
    script = w.script("privs.py", "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('NoNewPrivs')])\n")
    with open("/proc/1/status") as f:
        everywhere = "NoNewPrivs:\t1" in f.read()
    wrap = ("setpriv", "--no-new-privs")
    w.expect(w.call(script, wrap=wrap), "warm" if everywhere else "no-new-privileges", b"['1']\n")
    if not everywhere:
        w.expect(w.call(script), "warm", b"['0']\n")


@test("sandbox/memory-limits", "prlimit")
def memory(w):
    w.prime()
    w.expect(w.call(wrap=("prlimit", "--as=4000000000")), "memory-limit")
    w.expect(w.call(wrap=("prlimit", "--data=4000000000")), "memory-limit")
    w.expect(w.call(wrap=("prlimit", "--stack=unlimited")), "memory-limit")


@test("sandbox/preloaded-library", each=True)
def preloaded(w):
    w.prime()
    for name in ("LD_PRELOAD", "LD_AUDIT"):
        child = w.call(env={name: "libm.so.6"})
        equal(w.route(child), "preloaded-library", "route with " + name)
        equal(child.out, b"OK\n", "output")
    script = w.script("preload.py", "import os\nprint(os.environ.get('LD_PRELOAD'), 'libm.so' in open('/proc/self/maps').read())\n")
    w.expect(w.call(script, env={"LD_PRELOAD": "libm.so.6"}), "preloaded-library", b"libm.so.6 True\n")


def filter_everything():
    """A seccomp filter that allows all (`man 2 seccomp`): one BPF instruction."""
    import ctypes
    program = ctypes.create_string_buffer(struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    proc.LIBC.prctl(38, 1, 0, 0, 0)
    if proc.LIBC.prctl(22, 2, ctypes.byref(Program(1, ctypes.addressof(program)))) != 0:
        os._exit(77)


@test("sandbox/seccomp")
def seccomp(w):
    w.prime()
    child = w.call(before=filter_everything)
    if child.end == "exit 77":
        raise Skip("no seccomp here")
    w.expect(child, "seccomp")


@test("sandbox/interval-timer")
def timer(w):
    """A timer survives an exec: it would strike the launcher."""
    w.prime()
    w.expect(w.call(before=lambda: signal.setitimer(signal.ITIMER_REAL, 1000)), "timer")


WAIT = "import os\ntry:\n    print('reaped', os.WEXITSTATUS(os.wait()[1]))\nexcept ChildProcessError:\n    print('no child')\n"


@test("sandbox/inherited-children", each=True)
def children(w):
    """Children stay over an exec: `exec python3` in a shell script is their parent."""
    wait = w.script("wait.py", WAIT)
    w.prime()
    child = w.call("-c", "(sleep 0.5; exit 7) & exec python3 " + wait, program="bash")
    equal((child.out, child.end, w.route(child)), (b"reaped 7\n", "exit 0", "children"), "run")
    child = w.call(wait)
    equal((child.out, child.end, w.route(child)), (b"no child\n", "exit 0", "warm"), "run without")


@test("sandbox/adopts-orphans")
def subreaper(w):
    """A subreaper is one after an exec as well, but a fork of it is none. The start of a zygote is no child of it."""
    wait = w.script("wait.py", WAIT)
    child = w.call(wait, before=lambda: ctypes.CDLL(None).prctl(36, 1, 0, 0, 0))
    equal((child.out, child.end, w.route(child)), (b"no child\n", "exit 0", "children"), "run")


@test("sandbox/first-process", "unshare", "root")
def first_process(w):
    """The first process of a container: it adopts, and signals do not end it. The start of a zygote is no child of it."""
    wait = w.script("wait.py", WAIT)
    child = w.call(wait, wrap=("unshare", "-p", "-f", "--mount-proc"))
    equal((child.out, child.end, w.route(child)), (b"no child\n", "exit 0", "children"), "run")


@test("sandbox/standard-input-is-a-directory")
def stdin_directory(w):
    w.prime()
    fd = os.open("/", os.O_RDONLY)
    child = w.call(fds={0: fd})
    os.close(fd)
    equal(w.route(child), "stdin-directory", "route")


@test("sandbox/many-descriptors", each=True)
def many_descriptors(w):
    """What fits into a message travels; more is a fallback."""
    w.prime()
    script = w.script("count.py", "import os\nprint(len(os.listdir('/proc/self/fd')) - 1)\n")
    null = os.open("/dev/null", os.O_RDONLY)
    for count, route in ((100, "warm"), (252, "warm"), (253, "too-many-descriptors"), (400, "too-many-descriptors")):
        child = w.call(script, fds={n: null for n in range(3, count)})
        w.expect(child, route, b"%d\n" % count)
    os.close(null)


@test("sandbox/large-requests", each=True)
def large(w):
    w.prime()
    script = w.script("large.py", "import os, sys\nprint(len(sys.argv[1]), len(os.environ['BIG']))\n")
    for size in (1000, 30000, 60000, 90000, 120000):
        child = w.call(script, "a" * size, env={"BIG": "b" * size})
        w.expect(child, ("warm", "request-too-large"), b"%d %d\n" % (size, size))
        if size <= 60000:
            equal(w.route(child), "warm", "route with %d bytes" % size)
    equal(w.zygotes(), [w.zygote()], "zygotes")


@test("sandbox/without-proc", "root", "unshare")
def without_proc(w):
    w.debris = True
    w.prime()
    child = w.call("-c", "umount -l /proc 2>/dev/null || mount -t tmpfs tmpfs /proc || exit 8; python3 %s" % w.ok, program="sh", wrap=("unshare", "-m", "--propagation", "private"))
    if child.end == "exit 8":
        raise Skip("cannot unmount /proc here")
    equal((child.out, child.end), (b"OK\n", "exit 0"), "run (%r)" % child.err)
    check(w.route(child) != "warm", "a fallback", w.route(child))


@test("sandbox/death-signal-of-a-parent", "setpriv")
def pdeathsig(w):
    """The caller of the launcher dies: `setpriv --pdeathsig` reaches the launcher, and with it the worker. A shell gives what it starts behind it an empty input: hence descriptor 3."""
    w.prime()
    child = w.start("-c", "exec 3<&0; setpriv --pdeathsig KILL python3 %s <&3 & wait" % w.script("wait.py", "import os\nprint(os.getpid(), flush=True)\nos.read(0, 1)\n"), program="sh", fds={0: "pipe"})
    worker = int(child.expect(rb"(\d+)\n").group(1))
    child.kill(signal.SIGKILL)
    until(lambda: proc.gone(worker), "the worker", 5)
