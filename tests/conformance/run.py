#!/usr/bin/env python3
"""The conformance suite: every case under the real interpreter and under pyzy.

    run.py [--prefix DIR] [--engine NAME] [--python PATH]... [--few] [-k TEXT] [--list] [-v] [--self]

The same command runs twice, once with the real interpreter first on PATH and
once with pyzy's shims in front of it. Output, ending and files left behind
must be equal, and the route that pyzy logged must be the one the case names.
`--self` compares the real interpreter with itself: a test of the cases.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import importlib
import json
import os
import pkgutil
import select
import shutil
import tempfile
import time
import traceback
from typing import Any, Dict, List

import cases
from harness import cleanup, spawn
from harness.case import CASES, Case
from harness.runner import Runner
from harness.world import Interpreter, discover

HERE = os.path.dirname(os.path.abspath(__file__))
CLOSING = "cleanup/nothing-left"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare pyzy with the real interpreters of this machine.")
    parser.add_argument("--prefix", default=os.path.join(HERE, "..", "..", "target", "stage"), help="where pyzy is installed (target/stage)")
    parser.add_argument("--python", action="append", metavar="PATH", help="only these interpreters")
    parser.add_argument("--few", action="store_true", help="only the oldest and the newest of pyenv's")
    parser.add_argument("-k", action="append", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument("--engine", help="set PYZY_ENGINE and expect that engine (PYZY_ENGINE unset, restore)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of every run")
    parser.add_argument("--jobs", type=int, default=2, help="interpreters at a time (2)")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each case")
    parser.add_argument("--keep", action="store_true", help="keep the worlds")
    parser.add_argument("--self", action="store_true", dest="self_check", help="compare the real interpreter with itself")
    return parser.parse_args()


def chosen(wanted: Any) -> List[Case]:
    """The cases, read from cases/*.py."""
    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module("cases." + module.name)
    return [c for c in CASES if not wanted or any(text in c.name for text in wanted)]


def lacking(case: Case, interpreter: Interpreter) -> str:
    """Why a case does not apply here; empty when it does."""
    if not case.since <= interpreter.version < case.until:
        return "another version"
    for need in case.needs:
        kind, _, name = need.partition(":")
        if kind == "module" and name not in interpreter.modules:
            return "no module " + name
        if kind == "root" and os.geteuid() != 0:
            return "not root"
        if kind == "public" and not public(interpreter.path):
            return "an interpreter that other users cannot reach"
        if kind == "name" and not os.path.exists(os.path.join(interpreter.bin, name)):
            return "no " + name
        if kind == "headers" and not interpreter.has_headers:
            return "no headers of this interpreter"
        if kind == "pyenv" and "/versions/" not in interpreter.path:
            return "not pyenv's"
        if kind not in ("module", "root", "public", "name", "headers", "pyenv") and not shutil.which(need, path="/usr/bin:/bin:/usr/sbin:/sbin"):
            return "no " + need
    return ""


def public(path: str) -> bool:
    """May everybody execute this file, and enter every directory above it?"""
    path = os.path.realpath(path)
    return path == "/" or bool(os.stat(path).st_mode & 1) and public(os.path.dirname(path))


def one(runner: Runner, case: Case) -> Dict[str, Any]:
    """The record of one case."""
    start = time.monotonic()
    lack = lacking(case, runner.interpreter)
    if lack:
        return {"case": case.name, "outcome": "n/a" if lack == "another version" else "skipped", "detail": [lack], "seconds": 0}
    try:
        detail = runner.judge(case)
    except Exception:
        detail = traceback.format_exc().splitlines()
    outcome = "failed" if detail else "passed"
    gap = case.gap.get(runner.engine)
    if gap and runner.warm.shims:
        outcome, detail = ("skipped", ["known gap, " + gap]) if detail else ("failed", ["passes now: take `gap` away (%s)" % gap])
    return {"case": case.name, "outcome": outcome, "detail": detail, "seconds": time.monotonic() - start}


def work(interpreter: Interpreter, options: argparse.Namespace, table: List[Case], out: int) -> None:
    """All cases with one interpreter, in a process of its own: results go to `out` as lines of JSON."""
    os.setsid()  # no terminal of the developer's is in sight
    spawn.become_subreaper()
    root = tempfile.mkdtemp(prefix="pyzy-conf-", dir="/tmp")
    os.chmod(root, 0o711)
    prefix = os.path.realpath(options.prefix)
    runner = Runner(interpreter, root, None if options.self_check else prefix + "/shims", options.engine, options.keep, dict(v.split("=", 1) for v in options.set))
    left: List[str] = []
    try:
        for case in table:
            os.write(out, json.dumps(one(runner, case)).encode() + b"\n")
            cleanup.reap()
    finally:
        interpreter.preparer.close()
        left = cleanup.stop(runner.warm, prefix + "/bin/pyzy", root) if not options.self_check else []
        os.write(out, json.dumps({"case": CLOSING, "outcome": "failed" if left else "passed", "detail": left, "seconds": 0}).encode() + b"\n")
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)


def show(label: str, record: Dict[str, Any], verbose: bool) -> None:
    """Print a record when somebody wants to know."""
    outcome = record["outcome"]
    if outcome == "failed" or verbose and outcome != "n/a":
        print("%-8s %-8s %s (%.2f s)" % (outcome, label, record["case"], record["seconds"]))
        for line in record["detail"]:
            print("         " + line)
        sys.stdout.flush()


def drive(interpreters: List[Interpreter], options: argparse.Namespace, table: List[Case]) -> Dict[str, int]:
    """Run the interpreters, a few at a time; returns the totals."""
    totals = {"passed": 0, "failed": 0, "skipped": 0, "n/a": 0}
    waiting, running = list(interpreters), {}
    while waiting or running:
        while waiting and len(running) < options.jobs:
            interpreter = waiting.pop(0)
            r, w = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    os.close(r)
                    work(interpreter, options, table, w)
                    os._exit(0)
                finally:
                    traceback.print_exc()
                    os._exit(1)
            os.close(w)
            running[r] = [interpreter, pid, b"", time.monotonic(), 0]
        for fd in select.select(list(running), [], [])[0]:
            entry = running[fd]
            data = os.read(fd, 65536)
            *lines, entry[2] = (entry[2] + data).split(b"\n")
            for line in lines:
                record = json.loads(line)
                totals[record["outcome"]] += 1
                entry[4] += record["outcome"] == "failed"
                show(entry[0].label, record, options.verbose)
            if not data:
                status = os.waitpid(entry[1], 0)[1]
                if status:
                    totals["failed"] += 1
                print("%s: %s, %.0f s" % (entry[0].label, "broke off" if status else "%d failed" % entry[4], time.monotonic() - entry[3]), flush=True)
                os.close(fd)
                del running[fd]
    return totals


def main() -> int:
    """Choose, run, sum up."""
    options = arguments()
    table = chosen(options.k)
    if options.list:
        print("\n".join(c.name for c in table))
        print("%d cases" % len(table))
        return 0
    if not options.self_check and not os.path.exists(os.path.join(options.prefix, "shims", "python3")):
        print("run.py: no shims in '%s'\nhint: ./install.sh --prefix '%s', or --prefix DIR" % (options.prefix, options.prefix), file=sys.stderr)
        return 2
    paths, missing = (options.python, []) if options.python else discover()
    if options.few and len(paths) > 3:
        # The last is the system's.
        paths = [paths[0], paths[-2]]
    if not paths:
        print("run.py: found no python3 to compare with", file=sys.stderr)
        return 2
    totals = drive([Interpreter(p) for p in paths], options, table)
    for version in missing:
        totals["skipped"] += 1
        print("skipped: no interpreter of version %s on this machine" % version)
    print("%d passed, %d failed, %d skipped" % (totals["passed"], totals["failed"], totals["skipped"]))
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
