"""The tally and PYZY_LOG: right when they can be, never in the way."""

import os
import struct

from harness import proc
from harness.test import check, equal, test
from cases.load import burst

SIZE, WARM, REASONS = 2048, 16, 32
NUMBERS = {"disabled": 1, "command": 10, "version": 17, "no-zygote": 70}


def tally_path(w):
    """In the user's cache, if there is one; else with the sockets."""
    return (w.home + "/.cache/pyzy" if os.path.isdir(w.home + "/.cache") else w.runtime) + "/tally"


def tally(w):
    with open(tally_path(w), "rb") as f:
        data = f.read()
    equal((len(data), data[:8]), (SIZE, b"PYZYTALY"), "the tally's form")
    counts = {"warm": struct.unpack_from("<Q", data, WARM)[0]}
    for name, number in NUMBERS.items():
        counts[name] = struct.unpack_from("<Q", data, REASONS + 8 * number)[0]
    return counts


@test("tally/without-a-cache")
def without_a_cache(w):
    w.expect(w.call(), "no-zygote")
    equal(tally(w)["no-zygote"], 1, "no-zygote")
    check(not os.path.exists(w.home + "/.cache"), "a home without a cache does not get one")


@test("tally/made-by-the-first-run", each=True)
def made(w):
    os.mkdir(w.home + "/.cache")
    w.expect(w.call(), "no-zygote")
    equal(tally(w)["no-zygote"], 1, "no-zygote")
    equal(os.lstat(tally_path(w)).st_mode & 0o777, 0o600, "mode")
    equal(sorted(os.listdir(os.path.dirname(tally_path(w)))), ["tally"], "files beside it")


def with_tally(w):
    """A home with a tally in it."""
    os.makedirs(os.path.dirname(tally_path(w)), 0o700, exist_ok=True)
    w.prime()
    return tally(w)


@test("tally/counts", each=True)
def counts(w):
    before = with_tally(w)
    for _ in range(7):
        w.warm()
    for _ in range(3):
        w.call("-c", "print('OK')")
    w.call("-V")
    w.call(env={"PYZY_DISABLE": "1"})
    after = tally(w)
    equal({n: after[n] - before[n] for n in after}, {"warm": 7, "command": 3, "version": 1, "disabled": 0, "no-zygote": 0}, "counts")


@test("tally/counts-under-50-at-once", seconds=60)
def concurrent(w):
    before = with_tally(w)
    burst(w, 200, 50, w.ok)
    burst(w, 200, 50, "-V")
    after = tally(w)
    equal({n: after[n] - before[n] for n in after}, {"warm": 200, "command": 0, "version": 200, "disabled": 0, "no-zygote": 0}, "counts")


def broken(w, make, survives=True):
    """Runs go on whatever lies at the tally's place; what lies there is left alone."""
    os.makedirs(os.path.dirname(tally_path(w)), 0o700, exist_ok=True)
    path = tally_path(w)
    if os.path.lexists(path):
        os.unlink(path)
    make(path)
    before = os.lstat(path)
    w.prime()
    for _ in range(3):
        child = w.warm()
        equal(child.err, b"", "standard error")
    equal(w.call("-c", "print(1)").out, b"1\n", "a fallback's output")
    after = os.lstat(path)
    if survives:
        equal((after.st_ino, after.st_size, after.st_mode, after.st_mtime_ns), (before.st_ino, before.st_size, before.st_mode, before.st_mtime_ns), "what lies there")


def file_of(data):
    def make(path):
        with open(path, "wb") as f:
            f.write(data)
    return make


def sparse(path):
    with open(path, "wb") as f:
        f.truncate(SIZE)


HEAD = b"PYZYTALY" + struct.pack("<I", 1) + bytes(4)
for name, make in (("empty", file_of(b"")), ("truncated", file_of(HEAD + bytes(500))), ("too-long", file_of(HEAD + bytes(SIZE))), ("garbage", file_of(os.urandom(SIZE))), ("other-version", file_of(b"PYZYTALY\x09" + bytes(SIZE - 9))),
                   ("sparse", sparse), ("a-fifo", os.mkfifo), ("a-dangling-link", lambda p: os.symlink("/nonexistent/x", p)), ("a-link-to-a-device", lambda p: os.symlink("/dev/zero", p))):
    test("tally/" + name)(lambda w, make=make: broken(w, make))


@test("tally/a-directory")
def directory(w):
    os.mkdir(w.home + "/.cache")
    os.makedirs(tally_path(w))
    w.prime()
    w.warm()
    equal(os.listdir(tally_path(w)), [], "the directory")


@test("tally/read-only")
def read_only(w):
    with_tally(w)
    os.chmod(tally_path(w), 0o400)
    os.chmod(os.path.dirname(tally_path(w)), 0o500)
    for _ in range(3):
        w.warm()
    os.chmod(os.path.dirname(tally_path(w)), 0o700)


@test("tally/another-user's", "root")
def foreign(w):
    with_tally(w)
    os.chown(tally_path(w), 65534, 65534)
    before = tally(w)
    w.warm()
    equal(tally(w), before, "another user's tally")


@test("tally/on-a-full-disk", "root", "unshare")
def full_disk(w):
    w.debris = True
    os.makedirs(os.path.dirname(tally_path(w)), 0o700)
    mount = "mount -t tmpfs -o mode=700,size=16k tmpfs '{0}' && (cat /dev/zero > '{0}/fill' 2>/dev/null; true)".format(os.path.dirname(tally_path(w)))
    child = w.call("-c", mount + "; python3 ok.py && python3 -c 'print(1)' && ls -l " + os.path.dirname(tally_path(w)), program="sh", wrap=("unshare", "-m", "--propagation", "private"))
    check(child.end == "exit 0" and child.out.startswith(b"OK\n1\n"), "runs", child.end, child.out, child.err)
    check(b"tally" not in child.out, "no broken tally is left", child.out)


# -- PYZY_LOG

def logged(w, path, **more):
    """Runs with this log; undisturbed both ways."""
    for args, out in (((w.ok,), b"OK\n"), (("-c", "print('OK')"), b"OK\n")):
        child = w.call(*args, env={"PYZY_LOG": path}, seconds=8, **more)
        equal((child.out, child.err, child.end), (out, b"", "exit 0"), "run with PYZY_LOG=%s" % path)


@test("log/above-the-size-limit", each=True)
def size_limit(w):
    """The log, and a tally that is not there yet, are above the caller's limit: SIGXFSZ would end the launcher."""
    log = w.script("long.log", "x" * 100)
    default = w.script("default.py", "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nprint('OK')\n")

    def limited(*args):
        child = w.call("-c", 'ulimit -S -f 0; python3 "$@" | cat; exit ${PIPESTATUS[0]}', "bash", *args, program="bash", env={"PYZY_LOG": log})
        equal((child.out, child.err, child.end), (b"OK\n", b"", "exit 0"), "run")

    limited("-c", "print('OK')")
    w.prime()
    runs = w.page(w.zygote()).runs
    limited(default)
    equal(w.page(w.zygote()).runs, runs + 1, "warm runs")
    equal(os.path.getsize(log), 100, "size of the log")


@test("log/hostile-places", each=True)
def hostile(w):
    w.prime()
    zygote = w.zygote()
    fifo, read_only_file, link = w.work + "/fifo", w.work + "/read-only", w.work + "/loop"
    os.mkfifo(fifo)
    w.script("read-only", "")
    os.chmod(read_only_file, 0o444)
    os.symlink("loop", link)
    for path in (w.work + "/no/such/dir/log", fifo, read_only_file, "/dev/full", "/dev/null", w.work, "/", link, "relative.log", "x" * 300, "/proc/self/mem", "", "/dev/tty"):
        logged(w, path)
    check("route=warm" in w.text("relative.log"), "a relative log is written in the caller's directory")
    check(w.page(zygote).runs >= 12, "they were warm", w.page(zygote).runs)
    check(not os.path.exists(w.work + "/no"), "no directory is made")


@test("log/fifo-with-a-reader-that-does-not-read")
def fifo_full(w):
    w.prime()
    fifo = w.work + "/fifo"
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        while True:
            os.write(keep, b"x" * 4096)
    except BlockingIOError:
        pass
    logged(w, fifo)
    os.close(keep)


@test("log/lines", each=True)
def lines(w):
    w.prime()
    child = w.call(w.ok)
    line = w.routes(child)[0]
    equal(sorted(line), ["engine", "key", "pid", "route", "script", "worker"], "words of a warm line")
    equal(int(line["pid"]), child.pid, "pid")
    child = w.call("-c", "print(1)")
    line = w.routes(child)[0]
    equal((line["route"], line["reason"]), ("fallback", "command"), "words of a fallback's line")
    odd = w.script("new\nline route=warm.py", "print('OK')\n")
    child = w.call(odd)
    equal(len(w.routes(child)), 1, "one line, whatever the script is called")
    check(proc.comm(w.zygote()) == "pyzy-zygote", "name of the zygote")


@test("log/whole-lines-from-many", seconds=60)
def whole_lines(w):
    w.prime()
    _, log = burst(w, 300, 40, w.ok)
    with open(log, encoding="ascii") as f:
        found = f.read().splitlines()
    equal(len(found), 300, "lines")
    check(all(line.startswith("pid=") and line.endswith("script=" + w.ok) for line in found), "whole lines")


@test("switches/disable-and-engine", each=True)
def switches(w):
    w.prime()
    zygote = w.zygote()
    runs = w.page(zygote).runs
    for env, route in (({"PYZY_DISABLE": "1"}, "disabled"), ({"PYZY_DISABLE": "yes"}, "disabled"), ({"PYZY_ENGINE": "off"}, "engine-off"), ({"PYZY_ENGINE": "warp"}, "engine-off")):
        w.expect(w.call(env=env), route)
    equal(w.page(zygote).runs, runs, "runs of the zygote")
    for env in ({"PYZY_DISABLE": ""}, {"PYZY_DISABLE": "0"}, {"PYZY_ENGINE": "fork"}, {"PYZY_ENGINE": ""}):
        w.expect(w.call(env=env), "warm")
