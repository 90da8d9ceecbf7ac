"""Scripts that are compiled already: used when they are the file's, and only then."""

import glob
import os
import re
import subprocess

from cases.quiet import calls_of_a_worker
from harness.proc import until
from harness.test import check, equal, test

FUNCTIONS = "".join("def f%d(x):\n    return [y for y in x if y]\n" % n for n in range(50))


def begin(w, wait=True):
    """Runs wait until their script is kept, which needs no old file and no second run."""
    w.engine = "restore"
    if wait:
        w.changes["PYZY_COMPILE"] = "wait"
    w.prime()


def codes(w):
    found = glob.glob(w.runtime + "/*.codes")
    check(len(found) == 1, "one file of compiled scripts", found)
    return found[0]


def is_read(w, script, out, *args, **more):
    """Is the script's source read in a run?"""
    trace = w.work + "/trace"
    w.expect(w.call(*args, script, wrap=("strace", "-o", trace), **more), "warm", out)
    return reads(w.text(trace), script)


def reads(text, script):
    """Do these system calls open the script as a run does, and read it?"""
    opened = re.search(r'^openat\(AT_FDCWD, "%s", O_RDONLY\|O_CLOEXEC\) = (\d+)$' % re.escape(os.path.realpath(script)), text, re.M)
    check(opened, "the script was opened", text)
    return "\nread(%s, " % opened.group(1) in text[opened.end():].split("\nclose(%s)" % opened.group(1))[0]


@test("codes/kept-after-two-runs", "strace", each=True)
def kept(w):
    """Of a file that is not new; until then each run compiles it."""
    begin(w, wait=False)
    script = w.script("plain.py", FUNCTIONS + "print('OK')\n")
    # A file that has been there for long: one of the interpreter's own that prints something.
    said = subprocess.run([w.interpreter.path, "-c", "import this; print(this.__file__)"], env=w.env(), stdout=subprocess.PIPE, check=True).stdout
    *lines, last = said.splitlines(keepends=True)
    old, said = os.fsdecode(last.strip()), b"".join(lines)
    for _ in range(4):
        check(is_read(w, script, b"OK\n"), "a new file is compiled in each run")
    check(not glob.glob(w.runtime + "/*.codes"), "nothing is kept of it")
    check(is_read(w, old, said), "the first run compiles")
    check(not glob.glob(w.runtime + "/*.codes"), "one run is no reason to keep it")
    check(is_read(w, old, said), "the second run compiles, and asks")
    until(lambda: glob.glob(w.runtime + "/*.codes"), "it to be kept")
    until(lambda: not is_read(w, old, said), "a run that finds it")
    check(not is_read(w, old, said), "so does the next one")
    check(is_read(w, old, said, env={"PYZY_COMPILE": "1"}), "PYZY_COMPILE=1 has it compiled")
    w.stop_zygotes()
    until(lambda: not glob.glob(w.runtime + "/*.codes"), "it to go with the zygote")


@test("codes/forked", "strace", each=True)
def forked(w):
    """A worker that was forked begins with kept code as well."""
    w.changes["PYZY_COMPILE"] = "wait"
    w.prime()
    script = w.script("forked.py", FUNCTIONS + "print('OK')\n")
    check(not reads(calls_of_a_worker(w, script, "openat,read,close,exit_group"), script), "what is kept is used")
    w.changes["PYZY_COMPILE"] = "1"
    check(reads(calls_of_a_worker(w, script, "openat,read,close,exit_group"), script), "PYZY_COMPILE=1 has it compiled")


@test("codes/edits", "strace", each=True)
def edits(w):
    """Whatever is done to a script, the next run sees it."""
    begin(w)
    def text(word):
        return FUNCTIONS + "print('%s')\n" % word
    script = w.script("edited.py", text("one"))
    check(not is_read(w, script, b"one\n"), "what is kept is used")
    stat = os.stat(script)
    with open(script, "r+", encoding="ascii") as f:
        f.write(text("two"))
    # Of the same size and time.
    os.utime(script, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    check(not is_read(w, script, b"two\n"), "as it is then")
    with open(script + ".new", "w", encoding="ascii") as f:
        f.write(text("six"))
    os.utime(script + ".new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.rename(script + ".new", script)
    w.expect(w.call(script), "warm", b"six\n")
    link = w.work + "/link.py"
    other = w.script("other.py", text("ten"))
    os.symlink(script, link)
    w.expect(w.call(link), "warm", b"six\n")
    os.unlink(link)
    os.symlink(other, link)
    w.expect(w.call(link), "warm", b"ten\n")
    os.chmod(other, 0o600)
    w.expect(w.call(link), "warm", b"ten\n")
    os.unlink(other)
    os.rename(script, other)
    w.expect(w.call(link), "warm", b"six\n")
    # One file by several paths: each run has its own in tracebacks.
    where = w.script("where.py", "print(__file__, (lambda: 0).__code__.co_filename)\n")
    os.link(where, w.work + "/there.py")
    for name in ("where.py", "there.py", "where.py"):
        path = w.work + "/" + name
        check(not is_read(w, path, ("%s %s\n" % (path, path)).encode()), "the code of " + name)
    w.expect(w.call("where.py", cwd=w.work), "warm", ("%s %s\n" % (where, where)).encode())


@test("codes/never", "strace", each=True)
def never(w):
    """What would differ is compiled in each run: warnings, sets whose order changes; and what does not compile."""
    begin(w)
    for name, source, status in (("warns", "x = 1\nprint(x is 1)\n", "exit 0"), ("fails", "print(\n", "exit 1")):
        script = w.script(name + ".py", source)
        real = subprocess.run([w.interpreter.path, script], env=w.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        check(real.stderr, "the interpreter says something")
        for _ in range(2):
            child = w.expect(w.call(script), "warm", real.stdout, status)
            equal(child.err, real.stderr, "what is said")
    script = w.script("warns-again.py", "x = 1\nprint(x is 1)\n")
    for _ in range(2):
        check(is_read(w, script, b"True\n"), "it is compiled")


@test("codes/damaged", "strace", each=True)
def damaged(w):
    """A file of compiled scripts that was changed, opened to others or replaced is not used, and does no harm."""
    begin(w)
    script = w.script("script.py", FUNCTIONS + "print('OK')\n")
    check(not is_read(w, script, b"OK\n"), "what is kept is used")
    path = codes(w)
    with open(path, "rb") as f:
        good = f.read()
    w.changes["PYZY_COMPILE"] = ""
    entry = good.rindex(b"/script.py")
    for at in (entry, entry + 12, entry + 80, len(good) - 40):
        bad = bytearray(good)
        bad[at] ^= 1
        with open(path, "wb") as f:
            f.write(bad)
        check(is_read(w, script, b"OK\n"), "an entry with another byte at %d" % at)
    for cut in (0, 100, entry, len(good) - 1):
        with open(path, "wb") as f:
            f.write(good[:cut])
        check(is_read(w, script, b"OK\n"), "a file cut to %d" % cut)
    with open(path, "wb") as f:
        f.write(good)
    check(not is_read(w, script, b"OK\n"), "as it was")
    os.chmod(path, 0o640)
    check(is_read(w, script, b"OK\n"), "a file that is open to others")
    os.chmod(path, 0o600)
    os.rename(path, path + ".there")
    os.symlink(path + ".there", path)
    check(is_read(w, script, b"OK\n"), "a link")
    os.unlink(path)
    os.mkfifo(path, 0o600)
    check(is_read(w, script, b"OK\n"), "a pipe")
    os.unlink(path)
    os.rename(path + ".there", path)
    check(not is_read(w, script, b"OK\n"), "as it was")
    # Another zygote has another number, and begins anew.
    w.stop_zygotes()
    with open(path, "wb") as f:
        f.write(good)
    w.prime()
    check(is_read(w, script, b"OK\n"), "what another zygote has kept")


@test("codes/many", each=True)
def many(w):
    """More scripts than fit side by side, asked for at once."""
    begin(w)
    scripts = [w.script("s%d.py" % n, "print(%d)\n" % n) for n in range(60)]
    for _ in range(2):
        running = [w.start(script) for script in scripts]
        for n, child in enumerate(running):
            w.expect(child.finish(), "warm", b"%d\n" % n)


@test("codes/collector-counts", each=True)
def collector_counts(w):
    """When the next collection comes, and which there have been, is as after a cold start: compiled anew, forked, or kept."""
    # How many objects were made: those since the last collection, and a threshold for each.
    tell = "import gc\nprint(gc.get_count()[0] + (gc.get_threshold()[0] + 1) * sum(s['collections'] for s in gc.get_stats()))\n"
    scripts = [w.script("short.py", tell), w.script("long.py", FUNCTIONS.replace("y for", "y + 1 for") * 3 + tell)]

    def told(script, real):
        env = w.env()
        argv = [w.interpreter.path, script] if real else None
        out = subprocess.run(argv, env=env, stdout=subprocess.PIPE, check=True).stdout if real else w.expect(w.call(script), "warm", None).out
        return int(out)

    cold = {script: told(script, True) for script in scripts}
    for engine, compile_ in (("restore", None), ("fork", None), ("restore", "wait"), ("fork", "wait")):
        w.engine = engine
        w.changes["PYZY_COMPILE"] = compile_
        w.prime()
        for script in scripts:
            wanted, got = cold[script], told(script, False)
            # A few free objects more or less lie at hand; a count at zero does not fall.
            check(abs(got - wanted) <= 20, "objects made", script, engine, compile_, got, wanted)
