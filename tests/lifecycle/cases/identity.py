"""Who shares a zygote: callers that differ in one fact never do, and what travels with a call does not matter."""

import os
import resource

from harness import proc
from harness.test import Skip, check, equal, test


def key(w, child):
    return w.routes(child)[0]["key"]


def own(w, script, out, *options, base=None, **more):
    """A variation gets its own zygote; the plain one stays as it is."""
    plain = w.warm()
    first = w.expect(w.call(*options, script, **more), "no-zygote", None)
    w.settle()
    second = w.expect(w.call(*options, script, **more), "warm", None)
    equal(second.out, first.out, "output of the warm run")
    check(out in first.out, "the variation shows", first.out, out)
    check(key(w, second) != key(w, plain), "its key is another")
    w.warm()


def shared(w, script, out, **more):
    """A variation that travels: the same zygote serves it, at once."""
    plain = w.warm()
    child = w.expect(w.call(script, **more), "warm", None)
    equal(child.out, out, "output")
    equal(key(w, child), key(w, plain), "key")
    after = w.call(script)
    check(after.out != out, "it does not stick", after.out)


FLAGS = "import sys\nprint(sys.flags)\n"
OPTIONS = (("-O", b"optimize=1"), ("-OO", b"optimize=2"), ("-B", b"dont_write_bytecode=1"), ("-E", b"ignore_environment=1"), ("-s", b"no_user_site=1"), ("-S", b"no_site=1"), ("-I", b"isolated=1"),
           ("-b", b"bytes_warning=1"), ("-q", b"quiet=1"), ("-Wignore", b"sys.flags"), ("-Xdev", b"dev_mode=True"), ("-Xutf8", b"utf8_mode=1"))


@test("identity/options", each=True, seconds=90)
def options(w):
    w.prime()
    script = w.script("flags.py", FLAGS)
    for option, out in OPTIONS[:4] if w.quick else OPTIONS:
        own(w, script, out, option)
    equal(len(w.pages()), len(OPTIONS[:4] if w.quick else OPTIONS) + 1, "zygotes")


SHOW = "import os, sys, time, locale\nprint(hash('a'), [os.environ.get(n) for n in %r], time.tzname, locale.setlocale(locale.LC_CTYPE, None), sys.path[-2:], os.path.expanduser('~'), sys.flags.utf8_mode, sys.warnoptions)\n"
NAMES = ("PYTHONHASHSEED", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "HOME", "PYTHONWARNINGS", "PYTHONUTF8", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "PYTHONUNBUFFERED", "LC_CTYPE", "PYTHONOPTIMIZE", "LANGUAGE", "LD_LIBRARY_PATH")
VALUES = {"PYTHONHASHSEED": "3", "LANG": "C", "LC_ALL": "POSIX", "TZ": "Asia/Kolkata", "PYTHONPATH": "/usr/share", "HOME": "/tmp", "PYTHONWARNINGS": "error", "PYTHONUTF8": "0", "MALLOC_ARENA_MAX": "1",
          "GLIBC_TUNABLES": "glibc.malloc.check=0", "PYTHONUNBUFFERED": "1", "LC_CTYPE": "C.UTF-8", "PYTHONOPTIMIZE": "1", "LANGUAGE": "de", "LD_LIBRARY_PATH": "/usr/lib"}


@test("identity/variables", each=True, seconds=90)
def variables(w):
    w.changes = {"PYTHONHASHSEED": "1"}
    w.prime()
    script = w.script("show.py", SHOW % (NAMES,))
    for name in NAMES[:4] if w.quick else NAMES:
        own(w, script, VALUES[name].encode(), env={name: VALUES[name]})


@test("identity/a-variable-taken-away")
def taken_away(w):
    w.changes = {"TZ": "Asia/Kolkata", "PYTHONHASHSEED": "1"}
    w.prime()
    script = w.script("show.py", SHOW % (("TZ",),))
    own(w, script, b"UTC", env={"TZ": None})


@test("identity/empty-and-missing-are-two")
def empty_and_missing(w):
    w.prime()
    script = w.script("show.py", "import os\nprint(os.environ.get('PYTHONPATH'))\n")
    own(w, script, b"\n", env={"PYTHONPATH": ""})


def right(w, script, plain, varied, before):
    """Whether it chooses a zygote or travels: each caller sees its own value, in whatever order they come."""
    for first, second in ((None, before), (before, None)):
        for wanted in (first, second, first, first, second, second):
            out = plain if wanted is None else varied
            child = w.call(script, before=wanted)
            equal((child.out, child.end), (out, "exit 0"), "run (%s, %r)" % (w.route(child), child.err))
            w.settle()
        w.prime(script, before=first)
        w.expect(w.call(script, before=first), "warm", plain if first is None else varied)
        w.stop_zygotes()


@test("varies/hard-limits", each=True)
def hard_limits(w):
    script = w.script("limits.py", "import resource\nprint(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_NPROC)[1])\n")
    hard, processes = resource.getrlimit(resource.RLIMIT_NOFILE)[1], resource.getrlimit(resource.RLIMIT_NPROC)[1]

    def before():
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 7, hard - 7))
    right(w, script, b"(%d, %d) %d\n" % (*resource.getrlimit(resource.RLIMIT_NOFILE), processes), b"(%d, %d) %d\n" % (hard - 7, hard - 7, processes), before)


@test("varies/nice", each=True)
def nice(w):
    right(w, w.script("nice.py", "import os\nprint('nice', os.nice(0))\n"), b"nice 0\n", b"nice 5\n", lambda: os.nice(5))


@test("varies/scheduling-class")
def scheduling(w):
    right(w, w.script("sched.py", "import os\nprint(os.sched_getscheduler(0) == os.SCHED_BATCH)\n"), b"False\n", b"True\n", lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)))


@test("varies/affinity")
def affinity_both_ways(w):
    cpus = os.sched_getaffinity(0)
    right(w, w.script("cpus.py", "import os\nprint(len(os.sched_getaffinity(0)))\n"), b"%d\n" % len(cpus), b"1\n", lambda: os.sched_setaffinity(0, [min(cpus)]))


@test("identity/real-time-class", "root")
def real_time(w):
    w.prime()

    def before():
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError:
            os._exit(77)
    child = w.call(before=before)
    if child.end == "exit 77":
        raise Skip("no real-time classes here")
    w.expect(child, "scheduling")


@test("identity/oom-score")
def oom_score(w):
    """Either the same zygote with the caller's value, or another."""
    w.prime()
    script = w.script("oom.py", "print(open('/proc/self/oom_score_adj').read())\n")

    def before():
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:
            f.write("500")
    for _ in range(2):
        child = w.call(script, before=before)
        equal(child.out, b"500\n\n", "oom_score_adj (%s)" % w.route(child))
        w.settle()
    equal(w.call(script).out, b"0\n\n", "oom_score_adj of the next")


@test("identity/groups", "root", "setpriv")
def groups(w):
    w.prime()
    own(w, w.script("groups.py", "import os\nprint('groups', os.getgroups())\n"), b"[7, 9]", wrap=("setpriv", "--groups", "7,9"))


@test("identity/capabilities", "root", "setpriv")
def capabilities(w):
    w.prime()
    own(w, w.script("caps.py", "print([l for l in open('/proc/self/status') if l.startswith('CapBnd')])\n"), b"CapBnd", wrap=("setpriv", "--bounding-set", "-sys_boot"))


@test("travels/umask", each=True)
def umask(w):
    w.prime()
    shared(w, w.script("umask.py", "import os\nprint(oct(os.umask(0)))\n"), b"0o37\n", before=lambda: os.umask(0o037))


@test("travels/other-variables", each=True)
def other_variables(w):
    w.prime()
    shared(w, w.script("env.py", "import os\nprint(os.environ.get('FOO'), os.environb.get(b'FOO'))\n"), b"bar b'bar'\n", env={"FOO": "bar"})


@test("travels/soft-limits", each=True)
def soft_limits(w):
    w.prime()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    shared(w, w.script("soft.py", "import resource\nprint(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"), b"99\n", before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (99, hard)))


@test("travels/affinity")
def affinity(w):
    if os.cpu_count() == 1:
        raise Skip("one processor")
    w.prime()
    shared(w, w.script("cpus.py", "import os\nprint(len(os.sched_getaffinity(0)))\n"), b"1\n", before=lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]))


@test("travels/working-directory")
def working_directory(w):
    w.prime()
    os.mkdir(w.work + "/sub")
    shared(w, w.script("cwd.py", "import os\nprint(os.getcwd())\n"), (w.work + "/sub\n").encode(), cwd=w.work + "/sub")


@test("travels/deleted-working-directory")
def deleted_directory(w):
    w.prime()
    os.mkdir(w.work + "/gone")
    script = w.script("cwd.py", "import os\ntry:\n    os.getcwd()\nexcept FileNotFoundError:\n    print('gone')\n")
    child = w.call(script, cwd=w.work + "/gone", before=lambda: os.rmdir(w.work + "/gone"))
    equal((child.out, child.end), (b"gone\n", "exit 0"), "run (%s, %r)" % (w.route(child), child.err))


@test("identity/session-with-a-terminal")
def terminal_session(w):
    """A call with a terminal never uses the zygote of those without, and the other way round."""
    import fcntl
    import termios
    w.prime()
    first = w.zygote()
    script = w.script("tty.py", "import os\nprint(os.isatty(0), os.path.exists('/dev/tty') and os.open('/dev/tty', os.O_RDWR) > 0)\n")
    child = w.start(script, fds={0: "tty", 1: "tty", 2: "tty"}, session=True, before=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    child.expect(b"True True", -1)
    child.ended()
    equal(w.route(child), "no-zygote", "route")
    w.settle()
    # Its zygote left with the session, or is about to.
    proc.until(lambda: w.zygotes() == [first], "the terminal's zygote to leave")
    w.warm()
