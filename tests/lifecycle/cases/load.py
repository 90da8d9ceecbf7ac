"""Many runs: none fails, none falls back, nothing grows."""

import os
import select

from harness import proc
from harness.proc import until
from harness.test import Failure, check, describe, equal, test


def burst(w, count, at_once, script, arguments=()):
    """Many runs with as little around them as possible; gives how often each (status, output) came."""
    env = w.env()
    path = w.shims + "/python3"
    running, seen, started = {}, {}, 0
    while started < count or running:
        while started < count and len(running) < at_once:
            r, wr = os.pipe()
            null = os.open(os.devnull, os.O_RDONLY)
            pid = os.posix_spawn(path, ["python3", script, *arguments], env, file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, wr, 1)])
            w.known.add(pid)
            os.close(null)
            os.close(wr)
            running[r] = [pid, b""]
            started += 1
        ready = select.select(list(running), [], [], 30)[0]
        if not ready:
            raise Failure("%d runs hang: %r" % (len(running), [proc.show(p) for p, _ in running.values()][:5]))
        for r in ready:
            data = os.read(r, 4096)
            running[r][1] += data
            if not data:
                os.close(r)
                pid, said = running.pop(r)
                key = (describe(os.waitpid(pid, 0)[1]), said)
                seen[key] = seen.get(key, 0) + 1
    return seen, env["PYZY_LOG"]


def reasons(log):
    with open(log, encoding="utf-8", errors="replace") as f:
        lines = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in f]
    counts = {}
    for line in lines:
        name = line.get("reason") or line.get("route") or "lost"
        counts[name] = counts.get(name, 0) + 1
    return counts


def at_rest(zygote):
    """How many descriptors a zygote has when it waits for callers, with its spare worker at hand."""
    until(lambda: len(proc.children(zygote)) == 1, "a spare worker and no other", 5)
    return len(proc.descriptors(zygote))


@test("load/sequential", each=True, seconds=120)
def sequential(w):
    count = 300 if w.quick else 2000
    w.prime()
    zygote = w.zygote()
    burst(w, 50, 1, w.ok)
    held, size = at_rest(zygote), proc.resident(zygote)
    seen, log = burst(w, count, 1, w.ok)
    equal(seen, {("exit 0", b"OK\n"): count}, "endings")
    equal(reasons(log), {"warm": count}, "routes")
    equal(w.zygote(), zygote, "zygote")
    until(lambda: len(proc.descriptors(zygote)) <= held, "no more descriptors than before", 3)
    grown = proc.resident(zygote) - size
    check(grown < 256, "kilobytes by which the zygote has grown", grown)
    until(lambda: len(proc.children(zygote)) <= 1, "no process but a spare worker", 3)
    check(w.page(zygote).runs >= count, "runs on the status page", w.page(zygote).runs)


@test("load/concurrent", each=True, seconds=120)
def concurrent(w):
    count = 60 if w.quick else 200
    w.prime()
    zygote = w.zygote()
    w.warm()
    held = at_rest(zygote)
    seen, log = burst(w, count, count, w.ok)
    equal(seen, {("exit 0", b"OK\n"): count}, "endings")
    equal(reasons(log), {"warm": count}, "routes")
    until(lambda: len(proc.descriptors(zygote)) <= held, "no more descriptors than before", 3)
    until(lambda: len(proc.children(zygote)) <= 1, "no process but a spare worker", 3)


@test("load/long-runs-side-by-side", seconds=90)
def side_by_side(w):
    """150 workers that all live at the same time, each with its own pipe."""
    count = 50 if w.quick else 150
    w.prime()
    script = w.script("wait.py", "import sys\nprint('ready', flush=True)\nprint(sys.stdin.readline(), end='')\n")
    children = [w.start(script, fds={0: "pipe"}) for _ in range(count)]
    for child in children:
        child.expect(b"ready\n", seconds=30)
    equal(w.page(w.zygotes()[0]).running, count, "running workers on the status page")
    for at, child in enumerate(children):
        child.send(b"%d\n" % at)
    for at, child in enumerate(children):
        w.expect(child.finish(), "warm", b"%d\n" % at)


@test("load/mixed-with-deaths", each=True, seconds=90)
def deaths(w):
    """Runs that end in every way, at the same time: each caller hears of its own."""
    w.prime()
    zygote = w.zygote()
    held = at_rest(zygote)
    script = w.script("end.py", "import os, sys\nn = int(sys.argv[1])\nif n % 3 == 0:\n    os.kill(os.getpid(), 9)\nif n % 3 == 1:\n    os._exit(n % 200)\nprint(n)\n")
    children = [(n, w.start(script, str(n))) for n in range(45 if w.quick else 120)]
    for n, child in children:
        child.finish(40)
        wanted = "signal KILL" if n % 3 == 0 else "exit %d" % (n % 200) if n % 3 == 1 else "exit 0"
        w.expect(child, "warm", b"%d\n" % n if n % 3 == 2 else b"", wanted)
    until(lambda: len(proc.descriptors(zygote)) <= held, "no more descriptors than before", 3)
    equal(w.zygote(), zygote, "zygote")


@test("load/launchers-killed-in-flight", each=True, seconds=90)
def killed_in_flight(w):
    """kill -9 at every moment of a launcher's life: no worker, no zombie, no descriptor stays."""
    w.prime()
    zygote = w.zygote()
    w.warm()
    held = at_rest(zygote)
    script = w.script("wait.py", "import sys\nsys.stdin.readline()\n")
    for turn in range(60 if w.quick else 150):
        child = w.start(script, fds={0: "pipe"})
        # From at once to the middle of the run, in steps that have nothing to do with a clock: looks at /proc.
        for _ in range(turn % 25):
            proc.state(child.pid)
        proc.kill(child.pid)
        child.finish(10)
        child.dispose()
        w.children.remove(child)
    until(lambda: len(proc.children(zygote)) <= 1, "no process but a spare worker", 5)
    until(lambda: len(proc.descriptors(zygote)) <= held, "no more descriptors than before", 5)
    equal(w.zygote(), zygote, "zygote")
    w.warm()


@test("load/zygotes-killed-in-flight", each=True, seconds=90)
def zygotes_killed(w):
    """kill -9 of whatever zygote there is while callers come: each run is right, or lost with 125, and none happens twice."""
    w.debris = True
    w.prime()
    script = w.script("once.py", "import os, sys\nfd = os.open('ran', os.O_WRONLY | os.O_APPEND | os.O_CREAT)\nos.write(fd, sys.argv[1].encode() + b'\\n')\nprint('OK')\n")
    ends = []
    for turn in range(15 if w.quick else 40):
        children = [w.start(script, "%d-%d" % (turn, n)) for n in range(4)]
        for pid in w.zygotes():
            proc.kill(pid)
        for child in children:
            child.finish(20)
            ends.append(child.end)
            check(child.end == "exit 0" and child.out == b"OK\n" or child.end == "exit 125", "ending", child.end, child.out, child.err)
    ran = w.text("ran").split()
    equal(len(ran), len(set(ran)), "runs without repetition")
    check(len(ran) >= ends.count("exit 0"), "each good ending had a run", len(ran), ends.count("exit 0"))
    w.settle()
    w.prime()
