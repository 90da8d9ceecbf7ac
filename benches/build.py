"""A build: ninja with many rules that run a Python script, cold and through pyzy.

Owns the project that is built, the runs of it, and their table. What world it
runs in, and how a run becomes warm, is `run`'s.
"""

import filecmp
import os
import resource
import shutil
import statistics
import subprocess
import time
from typing import Any, Dict, List, NamedTuple, Tuple

RULES = 500

# A generator as build systems have them: options, a data file in, a source file out.
PLAIN = """
import sys
source, target = sys.argv[1:]
lines = [line.split() for line in open(source)]
with open(target, 'w') as out:
    for name, number in lines:
        out.write('#define %s %d\\n' % (name.upper(), int(number) * 3))
"""
IMPORTS = """
import argparse, json, os, re, string
parser = argparse.ArgumentParser()
parser.add_argument('source')
parser.add_argument('target')
options = parser.parse_args()
template = string.Template('#define $name $number\\n')
numbers = dict(re.findall(r'(\\w+) (\\d+)', open(options.source).read()))
with open(options.target, 'w') as out:
    out.write('/* %s */\\n' % json.dumps(sorted(numbers)))
    for name in numbers:
        out.write(template.substitute(name=name.upper(), number=int(numbers[name]) * 3))
"""


class Way(NamedTuple):
    """One way to build: its title, its environment, and what every line of the log must hold (None: no line)."""

    title: str
    env: Dict[str, str]
    route: Any


def project(root: str, script: str) -> None:
    """Writes the sources and the rules."""
    os.mkdir(root)
    with open(root + "/generate.py", "w", encoding="ascii") as file:
        file.write(script)
    rules = ["rule generate", "  command = python3 generate.py $in $out"]
    for number in range(RULES):
        with open("%s/in%d" % (root, number), "w", encoding="ascii") as file:
            file.writelines("name%d_%d %d\n" % (number, line, line * number) for line in range(20))
        rules.append("build out/o%d.h: generate in%d | generate.py" % (number, number))
    with open(root + "/build.ninja", "w", encoding="ascii") as file:
        file.write("\n".join(rules) + "\n")


def build(root: str, env: Dict[str, str]) -> Tuple[float, float]:
    """Builds everything; gives seconds of wall and of CPU time."""
    shutil.rmtree(root + "/out", ignore_errors=True)
    for name in (".ninja_log", ".ninja_deps"):
        if os.path.exists(os.path.join(root, name)):
            os.unlink(os.path.join(root, name))
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(["ninja", "-j2", "--quiet"], cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   start_new_session=True, check=True)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def same(left: str, right: str) -> bool:
    """Do two directories hold the same files?"""
    names = sorted(os.listdir(left))
    return names == sorted(os.listdir(right)) and filecmp.cmpfiles(left, right, names, shallow=False)[0] == names


def compare(world: Any, title: str, script: str, ways: List[Way], rounds: int) -> str:
    """Builds the project in every way, in turns; a line of the table for each."""
    times: Dict[str, List[Tuple[float, float]]] = {way.title: [] for way in ways}
    roots = {way.title: os.path.join(world.root, "%s-%d" % (title.split()[0], at)) for at, way in enumerate(ways)}
    for root in roots.values():
        project(root, script)
    for number in range(rounds):
        turn = number % len(ways)
        for way in ways[turn:] + ways[:turn]:
            world.routes()
            times[way.title].append(build(roots[way.title], {**way.env, "PYZY_LOG": world.log}))
            lines = [line for line in world.routes() if "generate.py" in line]
            wanted = RULES if way.route else 0
            right = sum(way.route in line.split() for line in lines) if way.route else 0
            if (len(lines), right) != (wanted, wanted):
                raise ValueError("%s: %d of %d runs were %s" % (way.title, right, len(lines), way.route))
            if not same(roots[way.title] + "/out", roots[ways[0].title] + "/out"):
                raise ValueError("%s: the build made something else" % way.title)
    rows = []
    base = [statistics.median(part) for part in zip(*times[ways[0].title])]
    for way in ways:
        wall, cpu = (statistics.median(part) for part in zip(*times[way.title]))
        rows.append("| %s | %s | %.2f | %.2f | %.1f × | %.1f × |" % (title, way.title, wall, cpu, base[0] / wall, base[1] / cpu))
    return "\n".join(rows)


def table(world: Any, real: Dict[str, str], restored: Dict[str, str], warm: Dict[str, str], rounds: int) -> str:
    """The whole measurement, as markdown. Every environment has been warmed up."""
    cold = Way("cold", real, None)
    lines = [
        "## A build: ninja -j2, %d rules that run a Python script" % RULES, "",
        "Outputs compared, the route of every run asserted, %d builds each, medians." % rounds, "",
        "| script | python3 | wall s | CPU s | wall, faster | CPU, less |", "|---|---|---:|---:|---:|---:|",
        compare(world, "plain", PLAIN, [cold, Way("pyzy", restored, "engine=restore")], rounds),
        compare(world, "argparse, json, re", IMPORTS, [
            cold, Way("pyzy", restored, "engine=restore"), Way("pyzy, stdlib warm", warm, "engine=restore"),
        ], rounds),
    ]
    return "\n".join(lines) + "\n"
