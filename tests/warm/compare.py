#!/usr/bin/env python3
"""Every warm module, imported cold and warm: are namespaces, order and registries the same?

    compare.py --prefix DIR [--python PATH]... [--engine NAME] [--chains N] [MODULE]...

Runs dump.py with the real interpreter and through pyzy and compares line by line. Each module
is imported alone; then N chains of several in a random order. A module that was not handed over
is told as well: it proves nothing.
"""

import argparse
import difflib
import os
import random
import re
import select
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ALWAYS = {"builtins", "sys"}

# What differs from run to run by its nature.
VARYING = [
    (r"0x[0-9a-f]+", "0xADDRESS"),
    (r"^(logging _startTime) .*", r"\1"),
    # Start-up code that imports threading: after a fork, its set of locks is empty.
    (r"^(threading _shutdown_locks) .*", r"\1"),
    (r"'_native_id': \d+", "'_native_id': N"),
    (r"_ident': \d+", "_ident': N"),
    (r"\{\d{13,15}: ", "{N: "),

]


def modules():
    """The curated list, from the source."""
    with open(ROOT + "/src/zygote/src/warm/list.rs") as f:
        text = f.read()
    return sorted(set(re.search(r'MODULES: &str = "\\(.*?)";', text, re.S).group(1).replace("\\", " ").split()))


def run(program, names, env):
    done = subprocess.run([program, HERE + "/dump.py", *names], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode("utf-8", "backslashreplace")
    lines = []
    for line in text.splitlines():
        for pattern, new in VARYING:
            line = re.sub(pattern, new, line)
        lines.append(line)
    return lines + ["status %d" % done.returncode]


def log_lines(path, what):
    try:
        with open(path) as f:
            return [line for line in f.read().splitlines() if what in line]
    except FileNotFoundError:
        return []


class Pair:
    """One interpreter, cold and warm."""

    def __init__(self, options, python):
        self.python, self.prefix, self.engine = python, options.prefix, options.engine
        self.log = "/tmp/pyzy-compare-%d.log" % os.getpid()
        plain = {"HOME": os.environ["HOME"], "PATH": os.path.dirname(python) + ":/usr/bin:/bin", "PYTHONHASHSEED": "0"}
        self.cold = dict(plain)
        self.warm = dict(plain, PATH=options.prefix + "/shims:" + plain["PATH"], PYZY_LOG=self.log, PYZY_ENGINE=options.engine, PYZY_PRELOAD="stdlib")

    def prime(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            open(self.log, "w").close()
            run(self.prefix + "/shims/python3", [], self.warm)
            if log_lines(self.log, "route=warm"):
                return True
            select.select([], [], [], 0.05)  # a zygote is starting: there is nothing of ours to wait on
        return False

    def judge(self, names):
        """Complaints, and what was handed over."""
        cold = run(self.python, names, self.cold)
        open(self.log, "w").close()
        warm = run(self.prefix + "/shims/python3", names, self.warm)
        route = log_lines(self.log, "route=")
        if not route or "route=warm" not in route[0]:
            return ["route: %s" % route], []
        complaints = []
        if cold != warm:
            complaints = [line[:1500] for line in difflib.unified_diff(cold, warm, "cold", "warm", n=0, lineterm="")]
        return complaints, log_lines(self.log, " import=")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--python", action="append", required=True)
    parser.add_argument("--engine", default="fork")
    parser.add_argument("--chains", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-v", action="store_true")
    parser.add_argument("modules", nargs="*")
    options = parser.parse_args()
    bad = 0
    for python in options.python:
        pair = Pair(options, python)
        if not pair.prime():
            print("%s: never warm" % python)
            bad += 1
            continue
        chooser = random.Random(options.seed)
        all_names = modules()
        jobs = [[name] for name in options.modules or all_names]
        jobs += [chooser.sample(all_names, chooser.randint(2, 12)) for _ in range(options.chains)]
        cold_names, warm_count = set(), 0
        failed = 0
        for names in jobs:
            complaints, imports = pair.judge(names)
            for line in imports:
                warm_count += " warm=" in line
                if "cold:" in line:
                    cold_names.add(line.split("import=")[1])
            if complaints:
                failed += 1
                print("%s: import %s" % (python, " ".join(names)))
                for line in complaints[:40]:
                    print("    " + line)
        print("%s %s: %d of %d the same; %d hand-overs; not handed over: %s" % (python, options.engine, len(jobs) - failed, len(jobs), warm_count, sorted(cold_names)))
        bad += not warm_count
        sys.stdout.flush()
        bad += failed
        os.unlink(pair.log)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
