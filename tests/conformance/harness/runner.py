"""Running one case in both worlds and judging the pair.

Owns priming (a zygote of the case's identity must be listening before the
warm run counts), the reading of PYZY_LOG, normalising and comparing.
"""

import difflib
import os
import re
import shutil
import signal
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from .arrival import ENDED, FAILED, Arrivals
from .case import ANY, SILENT, WARM, Case
from .cleanup import Newcomers
from .live import Live, Trouble
from .prepare import Builder
from .spawn import spawn
from .world import Interpreter, World, snapshot

PROMPT = rb"@> \Z"
PENDING = {"no-zygote", "no-image", "stale", "silent", "busy", "closed"}  # worth another try
STARTED = {"no-zygote", "no-image", "stale"}  # something is on its way
CHANGED = re.compile(r"(?:a file|a directory of sys\.path) has changed: (/[^:]*): [^']*")
IN_VAIN, VAIN_SECONDS = 5, 12.0  # starters that end without a word for that long: nothing will come of them
ABSENT = {"no-image": "no-zygote"}  # each engine's word for "there is none yet"
PRIME_SECONDS = 20.0
ALWAYS = [(rb"\b0x[0-9a-f]{6,16}\b", b"0xADDRESS")]


class Run:
    """What one run did: streams, ending, files and routes."""

    def __init__(self) -> None:
        self.parts: Dict[str, List[str]] = {}
        self.routes: List[Tuple[str, str]] = []
        self.imports: Dict[str, str] = {}


def routes(log: str) -> List[Tuple[str, str]]:
    """(route, reason or engine) of each line that the launcher logged."""
    try:
        with open(log, "rb") as f:
            text = f.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines():
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "import" in words:
            continue
        found.append((words.get("route", "?"), words.get("engine") or words.get("reason") or "?"))
    return found


def came_to(log: str) -> str:
    """What the last run that logged there came to."""
    lines = routes(log)
    return "nothing logged" if not lines else WARM if lines[-1][0] == WARM else lines[-1][1]


def hand_overs(log: str) -> Dict[str, str]:
    """Imports that came upon a warm module: nothing if it was handed over, else why it was not."""
    found: Dict[str, str] = {}
    with open(log, "rb") as f:
        for line in f.read().decode("utf-8", "replace").splitlines():
            match = re.search(r" import=(\S+) (?:warm=|cold: (.*))", line)
            if match:
                found.setdefault(match.group(1), match.group(2) or "")
    return found


def build_environ(case: Case, world: World, directory: str, log: str, prime: bool = False) -> List[bytes]:
    """The environment of a run, as the kernel will get it."""
    if case.environ is not None:
        raw = [world.expand(e, directory) for e in case.environ]
        entries = [e if isinstance(e, bytes) else os.fsencode(e) for e in raw]
        logged = [b"PYZY_LOG=" + os.fsencode(log) if e.startswith(b"PYZY_LOG=") else e for e in entries]
        # Where the route is told, it must be this engine's.
        return logged + [b"PYZY_ENGINE=" + world.engine.encode()] * (world.engine is not None and logged != entries)
    env: Dict[str, str] = world.environment(log)
    for changes in (case.env, case.prime_env if prime else {}):
        for name, value in changes.items():
            if value is None:
                env.pop(name, None)
            else:
                env[name] = world.expand(value, directory)
    return [os.fsencode(k + "=" + v) for k, v in env.items()]


def search_path(environ: List[bytes], world: World) -> str:
    """PATH as the run will see it."""
    return next((os.fsdecode(e[5:]) for e in environ if e.startswith(b"PATH=")), world.path())


def descriptors(case: Case) -> Dict[int, Any]:
    """Every descriptor of the child; 1 and 2 are pipes unless told otherwise."""
    if case.terminal is not None:
        return {0: "tty", 1: "tty", 2: "tty"}
    fds: Dict[int, Any] = {0: "pipe" if case.stdin is not None else "null", 1: "pipe", 2: "pipe"}
    fds.update(case.fds)
    return fds


class Primer:
    """Brings up the zygote of an identity, and knows how that went before."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.arrivals: Optional[Arrivals] = None
        self.failures = 0
        self.serial = 0

    def run(self, case: Case, directory: str) -> str:
        """Have a trivial script run, and again when what it started is ready; returns what was logged last."""
        got = self.repeat(lambda log: self._once(case, directory, log))
        self.failures = 0 if got == WARM else self.failures + 1
        return got

    def repeat(self, once: Callable[[str], str], sparing: int = -1) -> str:
        """Do something that is told a log until it is warm, or will not be; `sparing` is a child of ours not to be collected."""
        if self.arrivals is None:
            self.arrivals = Arrivals(self.world.rendezvous, self.world.engine)
        began = time.monotonic()
        deadline = began + (PRIME_SECONDS if self.failures < 3 else 2.0)
        vain, noted = 0, False
        while True:
            self.arrivals.forget(sparing)
            self.serial += 1
            got = once("%s/log/prime-%d" % (self.world.root, self.serial))
            left = deadline - time.monotonic()
            if got not in PENDING or left <= 0 or noted or vain >= IN_VAIN and time.monotonic() - began > VAIN_SECONDS:
                return got
            # One that is there but could not serve us has nothing to show when it can.
            outcome = self.arrivals.wait(left if got in STARTED else min(left, 0.01), sparing)
            noted = outcome == FAILED
            vain += outcome == ENDED

    def _once(self, case: Case, directory: str, log: str) -> str:
        environ = build_environ(case, self.world, directory, log, prime=True)
        program = case.prime_bin or (case.program if case.program and case.program.startswith("python") else "python3")
        script = self.world.expand(case.prime_script, directory) if case.prime_script else self.world.prime_script
        argv = [program, *case.options, script]
        kinds = {n: kind for n, kind in descriptors(case).items() if n < 3 and kind in ("tty", "null", "pipe", "closed")}
        kinds = {n: "null" if kind == "pipe" and n == 0 else kind for n, kind in kinds.items()}
        fds = {**{0: "null", 1: "pipe", 2: "pipe"}, **kinds}
        plain = Case("prime", (), {}, pre=case.pre if case.prime_pre else None)
        path = self.world.find(program, search_path(environ, self.world), directory)
        pid, ends = spawn(path, [os.fsencode(a) for a in argv], environ, directory, plain, fds)
        live = Live(pid, ends, None, PRIME_SECONDS)
        try:
            live.finish()
        except Trouble as error:
            return "trouble: %s" % error
        finally:
            live.close()
        return came_to(log)


class Runner:
    """Runs cases with one interpreter."""

    def __init__(self, interpreter: Interpreter, root: str, shims: Optional[str], engine: Optional[str], keep: bool, more: Dict[str, str]) -> None:
        builder = Builder(root + "/built")
        self.cold = World(root + "/cold", interpreter, None, engine, more, builder)
        self.warm = World(root + "/warm", interpreter, shims, engine, more, builder)
        self.engine, self.keep, self.interpreter = engine or "restore", keep, interpreter
        self.primer = Primer(self.warm)
        self.newcomers = Newcomers()
        self.serial = 0
        self.started: Optional[Set[str]] = None

    def judge(self, case: Case) -> List[str]:
        """Run a case cold and warm; returns complaints, none when all is equal. A file of the interpreter's own may change at any time, by
        anybody: imports that were cold for that alone, and right, are asked for once more, and it is said which file it was, and how."""
        complaints = self._judge(case)
        changed = CHANGED.search(complaints[0]) if len(complaints) == 1 and complaints[0].startswith("imports: ") else None
        if changed and not changed.group(1).startswith(self.warm.root + "/"):
            print("again    %-8s %s: %s" % (self.interpreter.full, case.name, changed.group(0)), flush=True)
            complaints = self._judge(case)
        return complaints

    def _judge(self, case: Case) -> List[str]:
        self.serial += 1
        try:
            cold, _ = self._run(case, self.cold, False)
            warm, primed = self._run(case, self.warm, self.warm.shims is not None)
        except Trouble as error:
            return [str(error)]
        complaints = []
        for part in cold.parts:
            if cold.parts[part] != warm.parts[part]:
                complaints += ["%s differs" % part]
                complaints += list(difflib.unified_diff(cold.parts[part], warm.parts[part], "real", "pyzy", lineterm=""))
        if self.warm.shims is not None:
            complaints += self._routes(case, warm, primed)
            names = {name: wanted for name, wanted in case.imports.items() if name not in self.at_start()}
            logged = {name: warm.imports.get(name) for name in names}
            wrong = {name: why for name, why in logged.items() if (None if why is None else not why) is not names[name]}
            complaints += ["imports: wanted %s, logged %s" % (case.imports, wrong)] if wrong else []
        return complaints

    def at_start(self) -> Set[str]:
        """Modules that this interpreter's start-up imports: nobody has to hand them over."""
        if self.started is None:
            words = subprocess.run([self.interpreter.path, "-c", "import sys; print(*sys.modules)"], stdout=subprocess.PIPE, check=True)
            self.started = set(words.stdout.decode().split())
        return self.started

    def _routes(self, case: Case, run: Run, primed: str) -> List[str]:
        route = self._wanted(case)
        if route == ANY:
            return []
        allowed = route if isinstance(route, tuple) else (route,)
        engine = case.env.get("PYZY_ENGINE") or self.engine
        shown = ["route=%s %s" % pair for pair in run.routes]
        names = [self._name(pair, engine) for pair in run.routes]
        if isinstance(route, list):
            right = sorted(names) == sorted(route)
        else:
            right = all(name in allowed for name in names) if names else SILENT in allowed
        return [] if right else ["route: wanted %s, logged %s (priming ended with: %s)" % (route, shown or "nothing", primed)]

    def _wanted(self, case: Case) -> Any:
        """The route that a case names, for this engine."""
        return case.route[self.engine] if isinstance(case.route, dict) else case.route

    @staticmethod
    def _name(pair: Tuple[str, str], engine: str) -> str:
        if pair[0] == WARM:
            return WARM if pair[1] == engine else "warm by " + pair[1]
        return ABSENT.get(pair[1], pair[1])

    def _run(self, case: Case, world: World, prime: bool) -> Tuple[Run, str]:
        directory = "%s/%04d" % (world.work, self.serial)
        log = "%s/log/%04d" % (world.root, self.serial)
        world.write(directory, case.files)
        route = self._wanted(case)
        wanted = isinstance(route, list) or route in (WARM, ANY, "zygote-failed") or isinstance(route, tuple) and WARM in route
        primed = self.primer.run(case, directory) if prime and wanted and case.terminal is None else "not tried"
        environ = build_environ(case, world, directory, log)
        argv = [case.program, *case.argv] if case.program else list(case.argv)
        if case.terminal is not None:
            argv = list(case.shell)
            environ += [b"PS1=@> ", b"TERM=dumb", b"HISTFILE="]
        words = [os.fsencode(world.expand(a, directory)) for a in argv]
        first = os.fsdecode(words[0])
        path = first if "/" in first else world.find(first, search_path(environ, world), directory)
        pid, ends = spawn(path, words, environ, directory, case, descriptors(case))
        live = Live(pid, ends, case.stdin if not case.steps else None, case.timeout, directory)
        try:
            if case.terminal is not None:
                primed = self._type(case, world, live, prime)
            for step in case.steps:
                live.step(step)
            status = live.finish()
            if case.terminal is not None:
                live.events += ["left in the session: " + line for line in live.session_left(5.0)]
        except Trouble as error:
            said = {n: bytes(d[-2000:]) for n, d in live.said.items()}
            raise Trouble("%s: %s; it had said %r" % ("real" if world is self.cold else "pyzy", error, said)) from None
        finally:
            live.close()
            self._sweep(log)
        run = self._collect(case, world, directory, live, status)
        run.routes = routes(log)
        run.imports = hand_overs(log) if case.imports and world is self.warm and world.shims else {}
        if not self.keep:
            shutil.rmtree(directory, ignore_errors=True)
        return run, primed

    def _type(self, case: Case, world: World, live: Live, prime: bool) -> str:
        """Type a session into the shell on the terminal: words are lines, tuples are steps."""
        got = "not tried"
        live.expect(PROMPT)
        if prime:
            def once(log: str) -> str:
                live.send(b"PYZY_LOG=%s python3 %s\n" % (log.encode(), world.prime_script.encode()))
                live.expect(PROMPT)
                return came_to(log)
            got = self.primer.repeat(once, live.pid)
        live.said[-1].clear()
        live.seen[-1] = 0
        for step in case.terminal or ():
            if step == ("prompt",):
                live.expect(PROMPT)
            elif isinstance(step, str):
                live.send(step.encode() + b"\n")
            else:
                live.step(step)
        return got

    def _collect(self, case: Case, world: World, directory: str, live: Live, status: str) -> Run:
        run = Run()
        names = {1: "standard output", 2: "standard error", -1: "terminal", 0: "socket on standard input"}
        for number, data in live.said.items():
            run.parts[names.get(number, "descriptor %d" % number)] = self._text(case, world, bytes(data))
        run.parts["ending"] = live.events + [status]
        if case.tree:
            tree = "\n".join(snapshot(directory, case.drop)).encode("utf-8", "surrogateescape")
            run.parts["files"] = self._text(case, world, tree)
        return run

    def _text(self, case: Case, world: World, data: bytes) -> List[str]:
        data = data.replace(world.root.encode(), b"/ROOT")
        for pattern, new in ALWAYS + [(p.encode(), n.encode()) for p, n in case.normal]:
            data = re.sub(pattern, new, data)
        return data.decode("utf-8", "backslashreplace").split("\n")

    def _sweep(self, log: str) -> None:
        """End what a case left running: its processes carry its log's name in their environment."""
        for pid in self.newcomers.carriers("PYZY_LOG=" + log):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
