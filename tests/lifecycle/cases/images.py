"""Images: what a restored run is, and what happens to images that are damaged, foreign, old, refused or lost.

Each test sets the engine to restore alone, so that no fork hides what failed.
"""

import os
import re
import shutil
import signal
import struct
import subprocess

from harness import proc
from harness.proc import until
from harness.test import Skip, check, equal, test

from .freshness import user_site
from .learn import OLD, hand_overs
from .load import burst, reasons

# Appends a line each time it runs, and says so.
ONCE = "import os\nfd = os.open('ran', os.O_WRONLY | os.O_APPEND | os.O_CREAT)\nos.write(fd, b'.')\nos.close(fd)\nprint('OK')\n"
PASSING = ("no-image", "image-unusable", "stale")


def restored(w, **changes):
    """A world whose runs are restored: the image is there."""
    w.engine = "restore"
    w.changes.update(changes)
    w.prime()
    return w.image()


def facts(path):
    """Device and inode."""
    info = os.lstat(path)
    return info.st_dev, info.st_ino


def damage(w, act):
    """An image on which `act` was done is not restored; it is replaced, and the runs are right."""
    path = w.image()
    act(path)
    before = facts(path)
    w.expect(w.call(), "image-unusable")
    w.settle()
    until(lambda: os.path.exists(path) and facts(path) != before, "another image")
    w.prime()
    w.warm()


@test("image/same-process", each=True)
def same_process(w):
    """The process that the caller started is the one that runs the script; nobody else is involved."""
    restored(w)
    text = "import os\nprint(os.getpid(), os.getppid(), os.getsid(0), os.getpgid(0))\n"
    for session in (False, True):
        child = w.call(w.script("who.py", text), session=session)
        w.expect(child, "warm", None)
        group = child.pid if session else os.getpgid(0)
        sid = child.pid if session else os.getsid(0)
        equal(child.out.split(), [b"%d" % n for n in (child.pid, os.getpid(), sid, group)], "pid, parent, session and group")
    log = w.routes(w.warm())[0]
    equal(log["worker"], log["pid"], "the worker")


@test("image/without-a-zygote")
def without_a_zygote(w):
    """An image outlives a zygote that was killed, is used on, and goes with `pyzy stop`."""
    w.debris = True
    path = restored(w)
    zygote = w.zygote()
    proc.kill(zygote)
    until(lambda: proc.gone(zygote), "the zygote's end")
    for _ in range(5):
        w.warm()
    equal(w.zygotes(), [], "zygotes")
    stop = w.call("stop", program="pyzy", env={"PATH": w.stage + "/bin:/usr/bin:/bin"})
    equal(stop.end, "exit 0", "pyzy stop")
    check(not os.path.exists(path), "the image is gone")


@test("image/places")
def places(w):
    """No zygote lives with addresses of the vdso that the end of a short text could look like."""
    w.debris = True
    for _ in range(12):
        restored(w)
        with open("/proc/%d/maps" % w.zygote()) as f:
            vdso = [line.split()[0].split("-") for line in f if line.endswith("[vdso]\n")][0]
        pages = range(int(vdso[0], 16), int(vdso[1], 16), 256)
        check(not [p for p in pages if 0 in p.to_bytes(8, "little")[1:5]], "addresses with a zero", vdso)
        proc.kill(w.zygote())
        os.unlink(w.image())


@test("image/stop")
def stop(w):
    """A zygote that is asked to leave takes its image along."""
    path = restored(w)
    w.stop_zygotes()
    check(not os.path.exists(path), "the image is gone")
    w.expect(w.call(), "no-image")


@test("image/idle")
def idle(w):
    """Runs from an image count as use of its zygote; without any, both go."""
    path = restored(w, PYZY_MAX_IDLE_SECS="4")
    zygote = w.zygote()
    for _ in range(3):
        # Longer than half the time; nothing else tells that time has passed.
        w.expect(w.call(w.script("wait.py", "import time\ntime.sleep(2.2)\nprint('OK')\n")), "warm")
    check(not proc.gone(zygote), "the zygote stays while its image is used")
    proc.wait_end(zygote, "the idle zygote", 15.0)
    check(not os.path.exists(path), "the image is gone")


@test("image/damaged", seconds=120)
def damaged(w):
    """Whatever is wrong with the file: the real interpreter, the reason, and then another image."""
    restored(w)

    def cut(length):
        return lambda path: os.truncate(path, length)

    def flip(offset):
        def act(path):
            with open(path, "r+b") as f:
                f.seek(offset)
                byte = f.read(1)
                f.seek(offset)
                f.write(bytes([byte[0] ^ 1]))
        return act

    def grow(path):
        with open(path, "ab") as f:
            f.write(b"\0" * 4096)

    def fill(path):
        with open(path, "r+b") as f:
            f.write(os.urandom(65536))

    for act in (cut(0), cut(100), cut(4096), cut(70000), grow, fill, flip(0), flip(8), flip(12), flip(20), flip(64), flip(100), flip(300), flip(5000),
                lambda path: os.chmod(path, 0o620), lambda path: os.chmod(path, 0o604)):
        damage(w, act)


@test("image/no-file", seconds=60)
def no_file(w):
    """Something else under an image's name: a link, a directory, a pipe, a device."""
    w.debris = True
    path = restored(w)
    aside = w.work + "/aside"
    os.rename(path, aside)
    for make in (lambda: os.symlink(aside, path), lambda: os.mkdir(path), lambda: os.mkfifo(path), lambda: os.symlink("/dev/zero", path)):
        if os.path.lexists(path):
            os.unlink(path)
        make()
        w.expect(w.call(), "image-unusable")
        until(lambda: w.route(w.call()) == "warm", "a warm run again")


@test("image/another-user's", "root")
def foreign(w):
    w.debris = True
    path = restored(w)
    os.chown(path, 65534, 65534)
    w.expect(w.call(), "image-unusable")


@test("image/another-key's")
def another_key(w):
    """The image of other options under this one's name."""
    w.debris = True
    path = restored(w)
    with open(path, "rb") as f:
        head = f.read(92)
    w.prime("-E", w.ok)
    other = [w.runtime + "/" + name for name in os.listdir(w.runtime) if name.endswith(".image") and w.runtime + "/" + name != path]
    equal(len(other), 1, "other images")
    check(open(other[0], "rb").read(92)[76:92] != head[76:92], "another key")
    os.rename(other[0], path)
    w.expect(w.call(), "image-unusable")


def calls(trace):
    """The system calls of a trace, up to the hand-off: the line in the log that says so."""
    lines = [line for line in trace.splitlines() if re.match(r"(\d+ +)?\w+\(", line)]
    names = [re.match(r"(?:\d+ +)?(\w+)\(", line).group(1) for line in lines]
    opened = next(at for at, line in enumerate(lines) if ".image\"" in line and names[at] == "openat")
    logged = next(at for at, line in enumerate(lines) if "route=warm" in line)
    return names, opened, logged


@test("image/every-call-refused", "strace", each=True, seconds=240)
def every_call_refused(w):
    """Each system call between the opening of an image and the hand-off fails once: the real interpreter runs the script, once."""
    restored(w)
    script = w.script("once.py", ONCE)
    trace = w.work + "/trace"
    w.expect(w.call(script, wrap=("strace", "-s", "200", "-o", trace)), "warm")
    names, opened, logged = calls(w.text(trace))
    ran, tried, refused = 1, 0, 0
    harmless = {"close", "exit_group"}
    for at in range(opened, logged):
        if names[at] in harmless:
            continue
        count = names[:at + 1].count(names[at])
        child = w.call(script, wrap=("strace", "-o", trace, "-e", "inject=%s:error=ENOMEM:when=%d" % (names[at], count)))
        ran += 1
        tried += 1
        check(child.end == "exit 0" and child.out == b"OK\n" and child.err == b"", "call %d, %s" % (at, names[at]), child.end, child.out, child.err)
        equal(len(w.text("ran")), ran, "runs after call %d, %s" % (at, names[at]))
        refused += w.route(child) != "warm"
        w.settle()
        w.prime()
    # Most of the others only ask which signals are ignored.
    check(refused > 50, "calls refused", tried, refused)


@test("image/killed-at-every-call", "strace", seconds=120)
def killed_at_every_call(w):
    """kill -9 of the process at each call on the way: the script has run once or never, and the image is as good as before."""
    restored(w)
    script = w.script("once.py", ONCE)
    trace = w.work + "/trace"
    w.expect(w.call(script, wrap=("strace", "-s", "200", "-o", trace)), "warm")
    names, opened, logged = calls(w.text(trace))
    for at in range(opened, logged, 3):
        before = len(w.text("ran"))
        count = names[:at + 1].count(names[at])
        child = w.call(script, wrap=("strace", "-o", trace, "-e", "inject=%s:signal=KILL:when=%d" % (names[at], count)))
        equal(child.end, "signal KILL", "call %d, %s" % (at, names[at]))
        equal(len(w.text("ran")), before, "runs")
    w.warm()


@test("image/rotation", seconds=90)
def rotation(w):
    """After so many runs there is another image, with another hash seed; no run fails meanwhile."""
    path = restored(w, PYZY_IMAGE_RUNS="3")
    script = w.script("seed.py", "print(hash('x'))\n")
    first = facts(path)
    seeds = set()

    def replaced():
        child = w.call(script)
        w.expect(child, ("warm", "no-image"), None)
        seeds.add(child.out)
        return facts(path) != first
    until(replaced, "another image", 30.0)
    w.settle()
    w.prime()
    seeds.add(w.expect(w.call(script), "warm", None).out)
    check(len(seeds) > 1, "hash seeds", seeds)


@test("image/rotation-by-age", seconds=60)
def rotation_by_age(w):
    w.debris = True  # each image is old, and another one is always on its way
    path = restored(w, PYZY_IMAGE_SECS="0")
    first = facts(path)

    def replaced():
        w.expect(w.call(), ("warm", "no-image"))
        return facts(path) != first
    until(replaced, "another image", 30.0)


@test("image/worn", each=True, seconds=90)
def worn(w):
    """A warm module whose file is written anew in its place is imported cold; then there is another image, and it is warm."""
    os.makedirs(user_site(w))
    path = user_site(w) + "/mine.py"
    with open(path, "w", encoding="ascii") as f:
        f.write("V = 1\n")
    os.utime(path, (OLD, OLD))
    script = w.script("mine_too.py", "import mine\nprint(mine.V)\n")
    w.call(script, env={"PYZY_DISABLE": "1"})  # compiles it
    image = restored(w, PYZY_PRELOAD="mine")
    first = facts(image)
    child = w.expect(w.call(script), "warm", b"1\n")
    equal(hand_overs(w, child), (["mine"], []), "imports")
    with open(path, "r+", encoding="ascii") as f:
        f.write("V = 2\n")
    child = w.expect(w.call(script), "warm", b"2\n")
    equal(hand_overs(w, child), ([], ["mine"]), "imports")
    equal(facts(image), first, "image")
    w.call(script)
    until(lambda: os.path.exists(image) and facts(image) != first, "another image", 30.0)
    w.prime()
    child = w.expect(w.call(script), "warm", b"2\n")
    equal(hand_overs(w, child), (["mine"], []), "imports")


@test("image/cap")
def cap(w):
    """All images together take no more of the disk than allowed: the least recently used go."""
    w.debris = True
    restored(w, PYZY_IMAGE_MB="1")
    w.prime("-E", w.ok)
    w.settle()
    equal(len([n for n in os.listdir(w.runtime) if n.endswith(".image")]), 1, "images")
    w.expect(w.call("-E", w.ok), "warm")


@test("image/hash-seed", each=True)
def hash_seed(w):
    """A number in PYTHONHASHSEED gives what it gives without us."""
    restored(w, PYTHONHASHSEED="42")
    script = w.script("seed.py", "print(hash('x'), hash(b'y'), {'a', 'b', 'c', 'd'})\n")
    cold = w.call(script, env={"PYZY_DISABLE": "1"})
    equal(w.expect(w.call(script), "warm", None).out, cold.out, "hashes")


@test("image/entropy", "unshare", each=True)
def entropy(w):
    """What must differ between two runs differs, also when both have the same pid."""
    restored(w)
    script = w.script("values.py", "import os, random, secrets, tempfile, uuid\nprint(os.getpid())\nprint(random.random(), secrets.token_hex(), uuid.uuid4(), next(tempfile._get_candidate_names()), os.urandom(8))\n"
                      "try:\n    import ssl\n    print(ssl.RAND_bytes(8), ssl.RAND_bytes(8))\nexcept ImportError:\n    pass\n")
    said = []
    for _ in range(6):
        child = w.call(script, wrap=("unshare", "-r", "-p", "-f"))
        if child.end != "exit 0":
            child = w.call(script, wrap=("unshare", "-p", "-f"))
        w.expect(child, "warm", None)
        said.append(child.out.split(b"\n")[:-1])
    equal({lines[0] for lines in said}, {b"1"}, "pids")
    for column in range(1, len(said[0])):
        words = [word for lines in said for word in lines[column].split()]
        equal(len(words), len(set(words)), "values without repetition")


@test("image/memory-limits")
def memory_limits(w):
    """A limit on memory counts what a process has mapped: the real interpreter is measured by it, not the image."""
    restored(w)
    for limit in ("ulimit -v 4000000", "ulimit -d 4000000", "ulimit -s unlimited"):
        w.expect(w.call(wrap=("bash", "-c", limit + "; exec \"$0\" \"$@\"")), "memory-limit")
    for limit in ("ulimit -s 65536", "ulimit -s 1024", "ulimit -n 20", "ulimit -u 100", "ulimit -c 0", "ulimit -f 100", "ulimit -l 0"):
        w.expect(w.call(wrap=("bash", "-c", limit + "; exec \"$0\" \"$@\"")), "warm")


@test("image/other-worlds", "root", "unshare", "setpriv", "strace", each=True, seconds=60)
def other_worlds(w):
    """What a fork cannot follow a caller into, a restore need not: it is there already."""
    restored(w)
    script = w.script("where.py", "import os\nprint(sorted((n, os.readlink('/proc/self/ns/' + n)) for n in os.listdir('/proc/self/ns')))\n"
                      "print([l for l in open('/proc/self/status') if l.startswith(('NoNewPrivs', 'Seccomp', 'Cap', 'Groups', 'Uid'))])\n"
                      "import ctypes\nn = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(n))\nprint(n.value)\n")
    probe = "import os; exec(open(%r).read())" % script
    for wrap in (("unshare", "-m"), ("unshare", "-n"), ("unshare", "-i"), ("unshare", "-u"), ("unshare", "-C"), ("setpriv", "--no-new-privs"), ("setpriv", "--pdeathsig", "TERM"),
                 ("setpriv", "--inh-caps", "-all"), ("setpriv", "--bounding-set", "-net_raw"), ("strace", "-f", "-o", "/dev/null"), ("nice", "-n", "5"), ("chrt", "--batch", "0")):
        child = w.call(script, wrap=wrap)
        w.expect(child, "warm", None)
        cold = w.call("-c", probe, wrap=wrap)
        # Each unshare makes a namespace of its own.
        plain = (lambda text: re.sub(rb"(mnt|net|ipc|uts|cgroup):\[\d+\]", rb"\1", text)) if wrap[0] == "unshare" else bytes
        equal(plain(child.out), plain(cold.out), " ".join(wrap))


@test("image/noexec", "root", "unshare", "mount")
def noexec(w):
    """A runtime directory on a noexec mount: the trial restore finds out, and the real interpreter runs."""
    w.engine = "restore"
    line = "mount -t tmpfs -o noexec,mode=700 tmpfs \"$XDG_RUNTIME_DIR\" && for i in $(seq 60); do python3 \"$1\" || exit 1; ls \"$XDG_RUNTIME_DIR\"/pyzy/*.failed >/dev/null 2>&1 && break; sleep 0.1; done; cat \"$XDG_RUNTIME_DIR\"/pyzy/*.failed; \"$2\" stop >/dev/null; true"
    child = w.call("-c", line, "-", w.ok, w.stage + "/bin/pyzy", wrap=("unshare", "-m"), program="bash", seconds=40)
    equal(child.end, "exit 0", "the shell")
    check(b"image: " in child.out and child.out.startswith(b"OK\n"), "a note that no image can be made", child.out[-400:])
    equal({line.get("reason") for line in w.routes(child)}, {"no-image"}, "reasons")


@test("image/evicted", each=True)
def evicted(w):
    """An image that has left the page cache is read again."""
    path = restored(w)
    script = w.script("imports.py", "import json, argparse\nprint('OK')\n")
    for _ in range(3):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        w.warm()
        w.warm(script)


@test("image/first-calls-at-once", seconds=60)
def first_calls(w):
    """Forty callers find nothing: all are served, and one image and one zygote come of it."""
    w.engine = "restore"
    children = [w.start() for _ in range(40)]
    for child in children:
        w.expect(child.finish(40), ("no-image", "warm"))
    w.settle()
    w.prime()
    w.image()
    w.zygote()


@test("image/sequential", each=True, seconds=120)
def sequential(w):
    count = 300 if w.quick else 2000
    path = restored(w)
    first = facts(path)
    seen, log = burst(w, count, 1, w.ok)
    equal(seen, {("exit 0", b"OK\n"): count}, "endings")
    equal(reasons(log), {"warm": count}, "routes")
    equal(facts(path), first, "image")
    with open(path, "rb") as f:
        runs, = struct.unpack_from("<Q", f.read(64), 32)
    check(runs >= count, "runs noted in the image", runs)


@test("image/concurrent", each=True, seconds=120)
def concurrent(w):
    count = 100 if w.quick else 500
    restored(w)
    seen, log = burst(w, count, count, w.ok)
    equal(seen, {("exit 0", b"OK\n"): count}, "endings")
    equal(reasons(log), {"warm": count}, "routes")


@test("image/while-everything-changes", each=True, seconds=120)
def while_everything_changes(w):
    """Runs while images are replaced, zygotes are killed and packages come and go: none fails."""
    w.debris = True
    restored(w, PYZY_IMAGE_RUNS="20")
    site = w.home + "/.local/lib/python%d.%d/site-packages" % w.interpreter.version[:2]
    for turn in range(6 if w.quick else 20):
        seen, log = burst(w, 50, 4, w.ok)
        equal(seen, {("exit 0", b"OK\n"): 50}, "endings")
        check(set(reasons(log)) <= {"warm", *PASSING}, "routes", reasons(log))
        if turn % 3 == 0:
            for pid in w.zygotes():
                proc.kill(pid)
        elif turn % 3 == 1:
            os.makedirs(site + "/package%d" % turn, exist_ok=True)
            with open(site + "/package%d.pth" % turn, "w", encoding="ascii") as f:
                f.write("# %d\n" % turn)
        else:
            shutil.rmtree(w.home + "/.local", ignore_errors=True)
    w.settle()
    w.prime()


@test("image/signals-in-flight", each=True, seconds=90)
def signals_in_flight(w):
    """SIGTERM at every moment: the process dies of it, whatever it was at that moment."""
    restored(w)
    script = w.script("wait.py", "import sys\nsys.stdin.readline()\n")
    for turn in range(40 if w.quick else 120):
        child = w.start(script, fds={0: "pipe"})
        for _ in range(turn % 30):
            proc.state(child.pid)
        proc.kill(child.pid, signal.SIGTERM)
        child.finish(10)
        equal(child.end, "signal TERM", "ending")
        child.dispose()
        w.children.remove(child)
    w.warm()


@test("image/mappings", "strace", each=True)
def mappings(w):
    """With all of the list warm, libraries that a run does not use are no mappings of their own."""
    trace = w.work + "/trace"
    made = {}
    w.engine = "restore"
    for preload in ("off", "stdlib"):
        w.changes["PYZY_PRELOAD"] = preload
        w.prime()
        w.expect(w.call(wrap=("strace", "-o", trace)), "warm")
        made[preload] = sum(line.startswith("mmap(") for line in w.text(trace).splitlines())
    check(made["stdlib"] <= made["off"] + 15, "mappings of a run", made)
    used = w.script("used.py", "import decimal, zlib\nprint(decimal.Decimal(1) + zlib.crc32(b''))\n")
    w.expect(w.call(used, wrap=("strace", "-o", trace)), "warm", b"1\n")


@test("image/counts", "strace", each=True)
def counts(w):
    """How many system calls and page faults a run takes: a regression shows without a clock."""
    restored(w)
    trace = w.work + "/trace"
    w.expect(w.call(wrap=("strace", "-s", "200", "-o", trace)), "warm")
    made = [line for line in w.text(trace).splitlines() if re.match(r"\w+\(", line)]
    looks = sum(line.startswith("statx(") for line in made)
    # src/core/src/fresh.rs: mark and number, then how many paths.
    tables = [name for name in os.listdir(w.runtime) if name.endswith(".fresh")]
    with open(w.runtime + "/" + tables[0], "rb") as f:
        paths, = struct.unpack_from("<I", f.read(20), 16)
    check(looks <= paths + 32, "files looked at in a run beside those of start-up", looks, paths)
    # Directories that are opened to look at many files, and what grows with the libraries that start-up loads.
    ways = 2 * sum("O_PATH|O_DIRECTORY" in line for line in made)
    regions = sum(line.startswith(("mmap(", "mincore(")) for line in made)
    others = len(made) - looks - ways - regions
    check(others <= 155, "other system calls of a run", others)
    check(regions <= 60, "mappings of a run", regions)
    check(min(faults(w, w.ok)) <= 320, "page faults of a run", faults(w, w.ok))


def faults(w, script, wanted="route=warm engine=restore"):
    """Page faults of each of five restored runs."""
    null = os.open(os.devnull, os.O_RDWR)
    found = []
    for _ in range(5):
        env = w.env()
        pid = os.posix_spawn(w.shims + "/python3", ["python3", script], env, file_actions=[(os.POSIX_SPAWN_DUP2, null, n) for n in range(3)])
        _, status, usage = os.wait4(pid, 0)
        equal(status, 0, "status")
        said = open(env["PYZY_LOG"]).read()
        check("route=warm engine=restore" in said and wanted in said, "a restored run", said)
        found.append(usage.ru_minflt + usage.ru_majflt)
    os.close(null)
    return found


@test("image/counts-of-a-hand-over", each=True)
def counts_of_hand_over(w):
    """How many pages imports touch that are handed over, beside those of a run that imports nothing."""
    w.changes["PYZY_PRELOAD"] = "stdlib"
    script = w.script("many.py", "import argparse, base64, csv, dataclasses, datetime, decimal, hashlib, json, pathlib, random, statistics, tempfile, textwrap\n")
    restored(w)
    nothing, many = min(faults(w, w.ok)), min(faults(w, script, "import=textwrap warm="))
    # Since 3.12 most names and constants are not counted.
    check(many - nothing <= (220 if w.interpreter.version >= (3, 12) else 310), "page faults of imports", nothing, many)


@test("image/evicted", "strace", each=True)
def evicted(w):
    """An image that has left the page cache comes back in large pieces, and the next run finds it there."""
    restored(w)
    trace = w.work + "/trace"

    def pieces():
        w.expect(w.call(wrap=("strace", "-o", trace)), "warm")
        return sum(line.startswith("madvise(") and "MADV_HUGEPAGE" in line for line in w.text(trace).splitlines())

    equal(pieces(), 0, "regions asked for while the image is there")
    image = os.open(w.image(), os.O_RDONLY)
    os.fsync(image)
    os.posix_fadvise(image, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(image)
    kind = subprocess.run(["stat", "-f", "-c", "%T", w.base], stdout=subprocess.PIPE, check=True, encoding="ascii").stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise Skip("this file system keeps its files in memory")
    check(pieces() >= 5, "regions asked for when it has gone")
    equal(pieces(), 0, "regions asked for by the next run")


@test("image/blocks", each=True)
def blocks(w):
    """What a run allocates lies together, and so changes few pages: nothing that was free in the captured heap is handed out."""
    restored(w)
    script = w.script(
        "blocks.py",
        "import ctypes\nmalloc = ctypes.CDLL(None).malloc\nmalloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]\n"
        "blocks = sorted(malloc(size) for size in range(24, 1033, 16))\nprint(len({block >> 12 for block in blocks}))\n",
    )
    # 64 blocks of 528 bytes on the average are nine pages.
    pages = [int(w.expect(w.call(script), "warm", None).out) for _ in range(3)]
    check(min(pages) <= 24, "pages of 64 blocks", pages)


@test("image/debuggable", each=True)
def debuggable(w):
    """With PYZY_DEBUGGABLE code is mapped from its own files; without, from the image."""
    restored(w)
    script = w.script("maps.py", "print(*sorted({l.split()[5] for l in open('/proc/self/maps') if 'x' in l.split()[1] and len(l.split()) > 5 and l.split()[5][0] == '/'}), sep='\\n')\n")
    equal(w.expect(w.call(script), "warm", None).out.decode().split(), [w.image()], "files with code")
    w.changes["PYZY_DEBUGGABLE"] = "1"
    w.prime()
    shown = w.expect(w.call(script), "warm", None).out.decode()
    check("/libc.so.6\n" in shown and "python3" in shown, "files with code", shown)
    cold = w.call(script, env={"PYZY_DISABLE": "1"}).out.decode().split()
    check(set(cold) <= set(shown.split()), "files with code, real", cold, shown)
