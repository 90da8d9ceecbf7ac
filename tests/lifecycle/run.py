#!/usr/bin/env python3
"""The lifecycle suite: zygotes that come, serve, are attacked, and leave.

    run.py [--stage DIR] [--python PATH]... [--all] [-k TEXT]... [--jobs N] [--quick] [--list] [-v] [--keep]

Each test has a process, a home, a runtime directory and an environment of its
own, ends its zygotes and asserts that no process and no file is left. The
route that pyzy logged is part of what is asserted.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import glob
import importlib
import json
import os
import pkgutil
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from typing import Any, Dict, List, Tuple

import cases
from harness import proc
from harness.test import TESTS, Failure, Skip, Test
from harness.world import World

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = "/usr/bin/python3"
TOOLS = "/usr/bin:/bin:/usr/sbin:/sbin"


class Interpreter:
    """A real interpreter."""

    def __init__(self, path: str) -> None:
        out = subprocess.run([path, "-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"], env={}, stdout=subprocess.PIPE, check=True).stdout
        self.path, self.bin = path, os.path.dirname(path)
        self.full = out.decode().strip()
        self.version: Tuple[int, ...] = tuple(map(int, self.full.split(".")))
        self.label = self.full + (" (system)" if path == SYSTEM else "")


def discover(everything: bool) -> List[str]:
    """pyenv's interpreters from 3.9 on, newest first (or only the newest), and the system's."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    found = []
    for path in glob.glob(root + "/versions/*/bin/python3"):
        match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", path.split("/")[-3])
        if match and tuple(map(int, match.groups())) >= (3, 9, 0):
            found.append((tuple(map(int, match.groups())), path))
    paths = [path for _, path in sorted(found, reverse=True)]
    paths = paths if everything else paths[:1]
    return paths + [SYSTEM] * os.access(SYSTEM, os.X_OK)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Tests of zygotes' lives, and of those who would end them.")
    parser.add_argument("--stage", "--prefix", default=os.path.join(HERE, "..", "..", "target", "stage"), help="where pyzy is installed (target/stage)")
    parser.add_argument("--python", action="append", metavar="PATH", help="these interpreters")
    parser.add_argument("--all", action="store_true", help="all interpreters, not just pyenv's newest and the system's")
    parser.add_argument("-k", action="append", metavar="TEXT", help="only tests with this in their name")
    parser.add_argument("--jobs", type=int, default=2, help="tests at a time (2)")
    parser.add_argument("--quick", action="store_true", help="fewer runs in the load tests")
    parser.add_argument("--list", action="store_true", help="name the tests and stop")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each test")
    parser.add_argument("--keep", action="store_true", help="keep the worlds")
    return parser.parse_args()


def lacking(test: Test) -> str:
    """Why a test does not apply here; empty when it does."""
    for need in test.needs:
        if need == "root" and os.geteuid() != 0:
            return "not root"
        if need != "root" and not shutil.which(need, path=TOOLS):
            return "no " + need
    return ""


def work(test: Test, interpreter: Interpreter, options: argparse.Namespace, root: str) -> Dict[str, Any]:
    """One test, in a process of its own."""
    os.setsid()  # no terminal of the developer's is in sight
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    proc.become_subreaper()
    os.chmod(root, 0o755)
    world = World(root, os.path.realpath(options.stage), interpreter, options.quick)
    outcome, detail = "passed", []
    try:
        lack = lacking(test)
        if lack:
            raise Skip(lack)
        test.run(world)
    except Skip as skip:
        outcome, detail = "skipped", [str(skip)]
    except Failure as failure:
        where = traceback.extract_tb(failure.__traceback__)
        lines = [f.lineno for f in where if "/cases/" in f.filename]
        outcome, detail = "failed", ["line %s: %s" % (lines[-1] if lines else "?", failure)]
    except Exception:
        outcome, detail = "failed", traceback.format_exc().splitlines()
    left = world.close()
    if left and outcome != "skipped":
        outcome, detail = "failed", detail + left
    if test.gap and outcome == "failed":
        outcome, detail = "skipped", ["known gap, " + test.gap]
    elif test.gap and outcome == "passed":
        outcome, detail = "failed", ["passes now: take `gap` away (%s)" % test.gap]
    return {"outcome": outcome, "detail": detail}


class Job:
    """A test that runs."""

    def __init__(self, test: Test, interpreter: Interpreter, options: argparse.Namespace) -> None:
        self.test, self.interpreter, self.options = test, interpreter, options
        self.begun = time.monotonic()
        self.root = tempfile.mkdtemp(prefix="pyzy-life-", dir="/tmp")
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self.reader)
                record = work(test, interpreter, options, self.root)
                os.write(writer, json.dumps(record).encode()[:60000])
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writer)
        self.handle = os.pidfd_open(self.pid)

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.begun + self.test.seconds + 20 - time.monotonic()

    def result(self) -> Dict[str, Any]:
        """What came of it; ends what did not end."""
        late = self.left() <= 0
        if late:
            tree = proc.descendants(self.pid)
            proc.kill(self.pid)
            for pid in tree:
                proc.kill(pid)
        os.waitpid(self.pid, 0)
        data = b""
        while select.select([self.reader], [], [], 0)[0]:
            more = os.read(self.reader, 65536)
            if not more:
                break
            data += more
        os.close(self.reader)
        os.close(self.handle)
        try:
            return dict(json.loads(data))
        except ValueError:
            self.sweep()
            return {"outcome": "failed", "detail": ["did not end in time" if late else "broke off"]}
        finally:
            if not self.options.keep:
                shutil.rmtree(self.root, ignore_errors=True)

    def sweep(self) -> None:
        """A test that broke off could not clean up: its processes have its directory in their environment."""
        for pid in proc.everyone():
            if self.root.encode() in proc.read(pid, "environ") and pid != os.getpid():
                proc.kill(pid)


def show(job: Job, record: Dict[str, Any], verbose: bool) -> None:
    """Print a record when somebody wants to know."""
    if record["outcome"] == "failed" or verbose:
        print("%-8s %-16s %s (%.2f s)" % (record["outcome"], job.interpreter.label, job.test.name, time.monotonic() - job.begun))
        for line in record["detail"]:
            print("         " + line)
        sys.stdout.flush()


def drive(queue: List[Tuple[Test, Interpreter]], options: argparse.Namespace) -> Dict[str, int]:
    """Run the tests, a few at a time; returns the totals."""
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    running: List[Job] = []
    while queue or running:
        while queue and len(running) < options.jobs:
            running.append(Job(*queue.pop(0), options))
        select.select([job.handle for job in running], [], [], max(0.0, min(job.left() for job in running)))
        for job in list(running):
            if job.left() <= 0 or select.select([job.handle], [], [], 0)[0]:
                record = job.result()
                running.remove(job)
                totals[record["outcome"]] += 1
                show(job, record, options.verbose)
    return totals


def main() -> int:
    """Choose, run, sum up."""
    options = arguments()
    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module("cases." + module.name)
    tests = [t for t in TESTS if not options.k or any(text in t.name for text in options.k)]
    if options.list:
        print("\n".join(t.name for t in tests))
        print("%d tests" % len(tests))
        return 0
    if not os.path.exists(os.path.join(options.stage, "shims", "python3")):
        print("run.py: no shims in '%s'\nhint: ./install.sh --prefix '%s', or --stage DIR" % (options.stage, options.stage), file=sys.stderr)
        return 2
    interpreters = [Interpreter(p) for p in options.python or discover(options.all)]
    if not interpreters:
        print("run.py: found no python3", file=sys.stderr)
        return 2
    os.environ.clear()  # nothing of the developer's gets in by accident
    queue: List[Tuple[Test, Interpreter]] = []
    for at, test in enumerate(tests):
        queue += [(test, i) for i in (interpreters if test.each else [interpreters[at % len(interpreters)]])]
    begun = time.monotonic()
    totals = drive(queue, options)
    print("lifecycle: %s, %.0f s" % (", ".join(i.label for i in interpreters), time.monotonic() - begun))
    print("%d passed, %d failed, %d skipped" % (totals["passed"], totals["failed"], totals["skipped"]))
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    for number in (signal.SIGPIPE, signal.SIGQUIT):  # of a shell that runs this in the background
        signal.signal(number, signal.SIG_DFL)
    sys.exit(main())
