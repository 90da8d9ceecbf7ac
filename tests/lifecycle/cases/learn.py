"""PYZY_PRELOAD=learned: what runs import cold is warm in later zygotes; a ledger that is not as it should be disturbs nobody."""

import json
import os
import subprocess

from harness.test import check, equal, test

from .freshness import user_site

# Takes some milliseconds, and does nothing that belongs to one run.
SLOW = "import textwrap\nX = {i: str(i) * 3 for i in range(60000)}\n"
SCRIPT = "import slow_one\nprint(len(slow_one.X))\n"
OUT = b"60000\n"
OLD = 1_700_000_000


def learner(w, engine="restore", words="learned", **changes):
    """A world with a slow module in the user's site, whose runs learn; gives the script that imports it."""
    w.engine = engine
    w.changes.update(PYZY_PRELOAD=words, **changes)
    os.makedirs(user_site(w), exist_ok=True)
    path = user_site(w) + "/slow_one.py"
    with open(path, "w", encoding="ascii") as f:
        f.write(SLOW)
    os.utime(path, (OLD, OLD))
    return w.script("slow.py", SCRIPT)


def hand_overs(w, child):
    """The names that were handed over, and those that were not."""
    lines = [line for line in w.routes(child) if "import" in line]
    return [line["import"] for line in lines if "warm" in line], [line["import"] for line in lines if "warm" not in line]


def ledger(w):
    return w.runtime + "/ledger"


def pyzy(w, *args):
    env = w.env({"PYZY_LOG": None})
    done = subprocess.run([w.stage + "/bin/pyzy", *args], env=env, cwd=w.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    equal((done.returncode, done.stderr), (0, b""), "pyzy " + " ".join(args))
    return done.stdout


def warm_runs(w, script, count):
    w.prime(script, passing=("no-zygote", "no-image", "stale"))
    for _ in range(count):
        child = w.expect(w.call(script), "warm", OUT)
    return child


for engine in ("restore", "fork"):
    @test("learn/%s" % engine, each=True)
    def becomes_warm(w, engine=engine):
        script = learner(w, engine)
        warm, cold = hand_overs(w, warm_runs(w, script, 2))
        check("slow_one" in cold and "slow_one" not in warm, "it was to be cold: %r %r" % (warm, cold))
        known = json.loads(pyzy(w, "preload", "learned", "--json"))
        modules = {m["module"]: m for m in known["modules"]}
        check(modules["slow_one"]["chosen"] and modules["slow_one"]["cold_imports"] >= 2, "the ledger has %r" % modules.get("slow_one"))
        w.stop_zygotes()
        warm, cold = hand_overs(w, warm_runs(w, script, 1))
        check("slow_one" in warm and not cold, "it was to be warm: %r %r" % (warm, cold))


@test("learn/off-by-default")
def off(w):
    script = learner(w)
    w.changes.update(PYZY_PRELOAD=None)
    warm_runs(w, script, 2)
    check(not os.path.exists(ledger(w)), "there is a ledger that nobody wanted")


@test("learn/no-room")
def no_room(w):
    script = learner(w, PYZY_LEARNED_MB="0")
    warm_runs(w, script, 2)
    w.stop_zygotes()
    warm, cold = hand_overs(w, warm_runs(w, script, 1))
    check("slow_one" in cold, "there was no room for it: %r %r" % (warm, cold))
    check(b"PYZY_LEARNED_MB" in pyzy(w, "why", "--modules", script), "nobody says why it is cold")


@test("learn/own-modules-are-not")
def own_modules(w):
    script = learner(w, PYTHONPATH=w.work + "/lib")
    os.makedirs(w.work + "/lib")
    os.rename(user_site(w) + "/slow_one.py", w.work + "/lib/slow_one.py")
    warm_runs(w, script, 2)
    w.stop_zygotes()
    warm, cold = hand_overs(w, warm_runs(w, script, 1))
    check("slow_one" in cold and "textwrap" in warm, "a project's own module: %r %r" % (warm, cold))


@test("learn/forgotten")
def forgotten(w):
    script = learner(w)
    warm_runs(w, script, 2)
    pyzy(w, "preload", "forget")
    equal(json.loads(pyzy(w, "preload", "learned", "--json"))["modules"], [], "what is known")
    # Runs go on without one; the next zygote makes another.
    warm_runs(w, script, 1)
    check(not os.path.exists(ledger(w)), "a run has made a ledger")
    w.stop_zygotes()
    warm_runs(w, script, 1)
    check(os.path.getsize(ledger(w)) == 128 * 1024, "there is no new one")


def other(content):
    def act(path):
        os.unlink(path)
        with open(path, "wb") as f:
            f.write(content)
    return act


def hole(path):
    os.unlink(path)
    with open(path, "wb") as f:
        f.write(b"PYZYLEDG" + (1).to_bytes(8, "little"))
        f.truncate(128 * 1024)


def junk(path):
    with open(path, "r+b") as f:
        f.seek(128)
        f.write(os.urandom(128 * 1024 - 128))


def fifo(path):
    os.unlink(path)
    os.mkfifo(path)


def link(path):
    os.rename(path, path + ".elsewhere")
    os.symlink(path + ".elsewhere", path)


def directory(path):
    os.unlink(path)
    os.mkdir(path)


DAMAGE = {"empty": other(b""), "short": other(b"PYZYLEDG" + bytes(100)), "foreign": other(b"x" * 128 * 1024), "hole": hole, "junk": junk, "fifo": fifo, "link": link,
          "directory": directory, "unreadable": lambda path: os.chmod(path, 0)}

for name, act in DAMAGE.items():
    @test("learn/ledger-%s" % name)
    def damaged(w, act=act):
        script = learner(w)
        warm_runs(w, script, 1)
        act(ledger(w))
        for _ in range(2):
            w.expect(w.call(script), "warm", OUT)
        w.stop_zygotes()
        warm_runs(w, script, 2)
        for left in (ledger(w), ledger(w) + ".elsewhere"):
            if os.path.isdir(left):
                os.rmdir(left)
            elif os.path.lexists(left):
                os.unlink(left)
