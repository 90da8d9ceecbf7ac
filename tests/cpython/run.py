#!/usr/bin/env python3
"""CPython's own test files, run as plain scripts: cold and warm must agree.

    run.py [--stage DIR] [--python PATH]... [--preload LIST] [--jobs N] [--keep] [FILE]...

By hand only: it takes many minutes and needs an interpreter that came with
its `test` package. Each file runs with `-v` under the real interpreter and
through the shim, in the same environment made from nothing (warm with
PYZY_PRELOAD=stdlib, unless LIST says otherwise), and the exit
status, the number of tests and the tests that failed or were skipped are
compared. A difference is run twice more: what is not the same every time is
listed as unsteady and counted as equal. A file that comes to no end within two
minutes either way is listed as endless and not counted. Behind each name are
the seconds of the cold and the warm run. FILE is a name (test_os) or the path
of a `.py` file.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from names import NAMES

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 120.0  # seconds for one run
PRIMING = 20.0  # seconds until the zygote must have answered
ENDLESS = "no end in %.0f s" % LIMIT
AGAIN = 2  # more runs of either kind when the first two differ

HEADING = re.compile(r"^(FAIL|ERROR|UNEXPECTED SUCCESS): (.+)$", re.M)
SKIPPED = re.compile(r"^(\w+ \([^)\n]*\))(?:\n[^\n]*)? \.\.\. (skipped .*)$", re.M)
TOTAL = re.compile(r"^Ran (\d+) tests? in ", re.M)
RESULT = re.compile(r"^((?:OK|FAILED)(?: \(.*\))?)$", re.M)
PASSING = re.compile(r"0x[0-9a-f]+|\d{4,}|/[^' ]*tmp\w+")  # addresses, process ids, temporary names

Items = FrozenSet[str]  # what a run showed: one line for each fact that is compared


class Run(NamedTuple):
    """One run of one file."""

    items: Items
    route: str  # the line that pyzy logged; empty for a cold run
    seconds: float


class Verdict(NamedTuple):
    """What the runs of one file say together."""

    word: str  # equal, unsteady, endless (both ran into the limit), different, not warm
    seconds: Tuple[float, float]  # the first cold run and the first warm one
    lines: List[str]


class World:
    """A home, a runtime directory and a place to work in, for one interpreter."""

    def __init__(self, root: str, stage: str, python: str, preload: str) -> None:
        self.root, self.stage, self.python = root, stage, python
        self.log = os.path.join(root, "log")
        for name in ("home", "run", "cwd", "tmp"):
            os.mkdir(os.path.join(root, name), 0o700)
        path = [os.path.join(stage, "shims"), os.path.dirname(python), "/usr/bin", "/bin"]
        self.environ = {
            "HOME": os.path.join(root, "home"),
            "LANG": "C.UTF-8",
            "PATH": ":".join(path),
            "PYZY_LOG": self.log,
            "PYZY_PRELOAD": preload,
            "TMPDIR": os.path.join(root, "tmp"),
            "XDG_RUNTIME_DIR": os.path.join(root, "run"),
        }

    def cold(self, script: str) -> Run:
        """The real interpreter."""
        start = time.monotonic()
        items = self.items(self.python, script)
        return Run(items, "", time.monotonic() - start)

    def warm(self, script: str) -> Run:
        """Through the shim, with a zygote that has just answered."""
        self.prime()
        start = time.monotonic()
        items = self.items(os.path.join(self.stage, "shims", "python3"), script)
        return Run(items, self.route(script), time.monotonic() - start)

    def prime(self) -> None:
        """Call a trivial script until it is warm."""
        script = os.path.join(self.root, "prime.py")
        with open(script, "w", encoding="ascii"):
            pass
        end = time.monotonic() + PRIMING
        while time.monotonic() < end:
            self.fresh()
            self.spawn(os.path.join(self.stage, "shims", "python3"), ["python3", script], os.devnull)
            if "route=warm" in self.route(script):
                return

    def items(self, program: str, script: str) -> Items:
        """Run a test file and list what it showed."""
        self.fresh()
        errors = os.path.join(self.root, "stderr")
        word = program if program == self.python else "python3"
        ending = self.spawn(program, [word, script, "-v"], errors)
        with open(errors, encoding="utf-8", errors="replace") as file:
            return read_items(ending, file.read())

    def spawn(self, program: str, argv: List[str], errors: str) -> str:
        """Run a command in a session of its own; says how it ended."""
        with open(errors, "wb") as err, open(os.path.join(self.root, "stdout"), "wb") as out:
            child = subprocess.Popen(
                argv,
                executable=program,
                cwd=os.path.join(self.root, "cwd"),
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                return "exit %d" % child.wait(LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return ENDLESS

    def fresh(self) -> None:
        """An empty working directory, temporary directory and log."""
        for name in ("cwd", "tmp"):
            path = os.path.join(self.root, name)
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path, 0o700, exist_ok=True)
        with open(self.log, "w", encoding="ascii"):
            pass

    def route(self, script: str) -> str:
        """The logged line of a script."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return next((line.strip() for line in file if line.rstrip().endswith("script=" + script)), "nothing logged")

    def stop(self) -> None:
        """No zygote stays behind."""
        command = [os.path.join(self.stage, "bin", "pyzy"), "stop"]
        subprocess.run(command, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def read_items(ending: str, text: str) -> Items:
    """The facts in the report of `unittest -v`."""
    found = {ending}
    found.update("%s: %s" % pair for pair in HEADING.findall(text))
    found.update("%s: %s" % (how, name) for name, how in SKIPPED.findall(text))
    found.update("%s tests run" % n for n in TOTAL.findall(text))
    found.update(RESULT.findall(text))
    return frozenset(PASSING.sub("…", item) for item in found)


def judge(world: World, script: str) -> Verdict:
    """Cold and warm once; both again when they differ."""
    cold, warm = [world.cold(script)], [world.warm(script)]
    seconds = (cold[0].seconds, warm[0].seconds)
    if "route=warm" not in warm[0].route:
        return Verdict("not warm", seconds, [warm[0].route])
    if ENDLESS in cold[0].items & warm[0].items:
        return Verdict("endless", seconds, [])
    if cold[0].items == warm[0].items:
        return Verdict("equal", seconds, [])
    for _ in range(AGAIN):
        cold.append(world.cold(script))
        warm.append(world.warm(script))
    colds, warms = [run.items for run in cold], [run.items for run in warm]
    lines = ["cold only: " + item for item in sorted(steady(colds) - ever(warms))]
    lines += ["warm only: " + item for item in sorted(steady(warms) - ever(colds))]
    if lines:
        return Verdict("different", seconds, lines)
    doubtful = sorted((ever(colds) | ever(warms)) - (steady(colds) & steady(warms)))
    lines = ["cold %d, warm %d of %d: %s" % (count(colds, i), count(warms, i), AGAIN + 1, i) for i in doubtful]
    return Verdict("unsteady", seconds, lines)


def steady(runs: List[Items]) -> Items:
    """What every run showed."""
    return frozenset.intersection(*runs)


def ever(runs: List[Items]) -> Items:
    """What some run showed."""
    return frozenset.union(*runs)


def count(runs: List[Items], item: str) -> int:
    """How many runs showed it."""
    return sum(item in run for run in runs)


def discover() -> List[str]:
    """The interpreters of pyenv."""
    root = os.path.join(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions")
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    return [path for path in (os.path.join(root, name, "bin", "python3") for name in names) if os.access(path, os.X_OK)]


def library(python: str) -> Optional[str]:
    """Where an interpreter keeps its tests."""
    code = "import os, test; print(os.path.dirname(test.__file__))"
    answer = subprocess.run([python, "-I", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return os.fsdecode(answer.stdout.rstrip(b"\n")) or None


def scripts(python: str, wanted: List[str]) -> List[str]:
    """The test files of one interpreter; names that its version lacks are left out."""
    where = library(python)
    found = []
    for name in wanted or NAMES:
        path = os.path.abspath(name) if name.endswith(".py") else os.path.join(where or "/", name + ".py")
        if os.path.isfile(path):
            found.append(path)
    return found


def drive(python: str, wanted: List[str], stage: str, preload: str, jobs: int, keep: bool) -> Dict[str, int]:
    """All files with one interpreter; every job has a world of its own."""
    totals = {"equal": 0, "unsteady": 0, "endless": 0, "different": 0, "not warm": 0}
    label = os.path.basename(os.path.dirname(os.path.dirname(python)))
    local = threading.local()
    worlds: List[World] = []

    def one(script: str) -> Tuple[str, Verdict]:
        if not hasattr(local, "world"):
            local.world = World(tempfile.mkdtemp(prefix="pyzy-cpy-", dir="/tmp"), stage, python, preload)
            worlds.append(local.world)
        return script, judge(local.world, script)

    try:
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for script, verdict in pool.map(one, scripts(python, wanted)):
                totals[verdict.word] += 1
                name = script.split("/test/")[-1][:-3]
                print("%-9s %s %s (%.1f s, %.1f s)" % (verdict.word, label, name, *verdict.seconds), flush=True)
                for line in verdict.lines:
                    print("          " + line, flush=True)
    finally:
        for world in worlds:
            world.stop()
            if not keep:
                shutil.rmtree(world.root, ignore_errors=True)
    return totals


def main() -> int:
    """Choose, run, sum up."""
    parser = argparse.ArgumentParser(description="Run CPython's own test files cold and warm, and compare.")
    stage = os.path.join(HERE, "..", "..", "target", "stage")
    parser.add_argument("--stage", default=stage, help="where pyzy is installed (target/stage)")
    parser.add_argument("--python", action="append", metavar="PATH", help="only these interpreters (all of pyenv's)")
    parser.add_argument("--preload", metavar="LIST", default="stdlib", help="PYZY_PRELOAD (stdlib)")
    parser.add_argument("--jobs", type=int, default=1, help="files at a time (1: some of them measure time)")
    parser.add_argument("--keep", action="store_true", help="keep the worlds")
    parser.add_argument("files", nargs="*", metavar="FILE", help="test files, by name or path (names.py)")
    options = parser.parse_args()
    stage = os.path.realpath(options.stage)
    if not os.path.exists(os.path.join(stage, "shims", "python3")):
        print("run.py: no shims in '%s'" % stage, file=sys.stderr)
        return 2
    pythons = options.python or discover()
    if not pythons:
        print("run.py: found no python3 to compare with", file=sys.stderr)
        return 2
    totals: Dict[str, int] = {}
    for python in pythons:
        for word, n in drive(python, options.files, stage, options.preload, options.jobs, options.keep).items():
            totals[word] = totals.get(word, 0) + n
    equal = totals["equal"] + totals["unsteady"]
    print("%d equal, %d different, %d not warm" % (equal, totals["different"], totals["not warm"]))
    return 1 if totals["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
