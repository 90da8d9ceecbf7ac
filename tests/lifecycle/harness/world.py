"""A test's own world: home, runtime directory, environment built from nothing, and every process in it.

The test's process is a subreaper, so zygotes, starters and workers are its
descendants, and what is left at the end is found whatever it calls itself.
"""

import glob
import os
import shutil
import signal
import struct
from typing import Any, Callable, Dict, List, Optional

from . import proc
from .child import Child
from .proc import until
from .test import Failure, check, equal

# Reasons that pass: a zygote is being started, or has just gone.
PASSING = {"no-zygote", "no-image", "stale", "silent", "busy", "closed"}
STANDARD = {0: "null", 1: "pipe", 2: "pipe"}
STATES = ("starting", "ready", "leaving")


class Page:
    """What a zygote says about itself in RUNTIME/PID.zygote (src/core/src/page.rs)."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as f:
            data = f.read()
        check(len(data) == 4096 and data[:8] == b"PYZYPAGE", "no status page", path, len(data))
        self.pid, = struct.unpack_from("<I", data, 12)
        self.runs, self.refused, self.last_use = struct.unpack_from("<QQQ", data, 32)
        self.running, number = struct.unpack_from("<II", data, 56)
        self.state = STATES[number]
        self.key = data[64:96].decode()


class World:
    """Where a test happens."""

    def __init__(self, root: str, stage: str, interpreter: Any, quick: bool) -> None:
        self.root, self.stage, self.interpreter, self.quick = root, stage, interpreter, quick
        self.shims = stage + "/shims"
        self.home, self.base, self.work = root + "/home", root + "/run", root + "/work"
        self.runtime = self.base + "/pyzy"
        self.socket_place: Optional[str] = None
        self.engine = "fork"  # PYZY_ENGINE of every run, and what `warm` means
        for path in (self.home, self.base, self.work, root + "/log"):
            os.makedirs(path)
        os.chmod(self.base, 0o700)
        self.serial = 0
        self.children: List[Child] = []
        self.known: set = set()
        self.changes: Dict[str, Optional[str]] = {}
        self.debris = False  # a test that kills zygotes leaves files for the next start to sweep
        self.ok = self.script("ok.py", "print('OK')\n")

    # -- files

    def script(self, name: str, text: str) -> str:
        """Write a file in the working directory; gives its path."""
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def text(self, path: str) -> str:
        """A file's contents; empty when there is none."""
        try:
            with open(os.path.join(self.work, path), encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    # -- processes

    def env(self, changes: Optional[Dict[str, Optional[str]]] = None) -> Dict[str, str]:
        """The environment of a run, and a log of its own."""
        self.serial += 1
        env: Dict[str, str] = {
            "HOME": self.home,
            "PATH": ":".join([self.shims, self.interpreter.bin, "/usr/bin", "/bin", "/usr/sbin", "/sbin"]),
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": self.base,
            "PYZY_LOG": "%s/log/%d" % (self.root, self.serial),
            "PYZY_MAX_IDLE_SECS": "300",
            "PYZY_ENGINE": self.engine,
        }
        for source in (self.changes, changes or {}):
            for name, value in source.items():
                if value is None:
                    env.pop(name, None)
                else:
                    env[name] = value
        return env

    def start(self, *args: str, env: Optional[Dict[str, Optional[str]]] = None, fds: Optional[Dict[int, Any]] = None, wrap: Any = (),
              cwd: Optional[str] = None, before: Optional[Callable[[], None]] = None, session: bool = False, program: str = "python3") -> Child:
        """Start `python3 ARGS` through the shim, or `WRAP… python3 ARGS`; the test script without arguments."""
        made = self.env(env)
        argv = [*wrap, program, *(args or (self.ok,))]
        path = shutil.which(argv[0], path=made.get("PATH", "/usr/bin:/bin")) or argv[0]
        child = Child(argv, path, made, cwd or self.work, {**STANDARD, **(fds or {})}, before, session)
        child.log = made.get("PYZY_LOG", "")  # type: ignore[attr-defined]
        child.world = self  # type: ignore[attr-defined]
        self.children.append(child)
        self.known.add(child.pid)
        return child

    def call(self, *args: str, seconds: float = 20.0, **more: Any) -> Child:
        """Run to the end."""
        child = self.start(*args, **more)
        try:
            return child.finish(seconds)
        finally:
            child.dispose()
            self.children.remove(child)

    def routes(self, child: Child) -> List[Dict[str, str]]:
        """What the launcher logged, line by line."""
        try:
            with open(child.log, encoding="utf-8", errors="replace") as f:  # type: ignore[attr-defined]
                lines = f.read().splitlines()
        except OSError:
            return []
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]

    def route(self, child: Child) -> str:
        """`warm`, or the reason; `nothing` when nothing was logged."""
        lines = [line for line in self.routes(child) if "route" in line]
        if not lines:
            return "nothing"
        line = lines[0]
        if line["route"] == "warm":
            return "warm" if line.get("engine") == self.engine else "warm by " + line.get("engine", "?")
        return line.get("reason", "?")

    def worker(self, child: Child, seconds: float = 10.0) -> int:
        """The worker of a warm run; waits for the log line."""
        until(lambda: self.route(child) != "nothing", "a log line of pid %d" % child.pid, seconds)
        equal(self.route(child), "warm", "route")
        return int(self.routes(child)[0]["worker"])

    def expect(self, child: Child, route: Any, out: Optional[bytes] = b"OK\n", end: str = "exit 0") -> Child:
        """Fail unless a finished run went that way (a word or several) with that output."""
        wanted = (route,) if isinstance(route, str) else route
        got = self.route(child)
        said = "it said %r and %r" % (child.out[-600:], child.err[-1200:])
        if got not in wanted:
            raise Failure("route: got %s, wanted %s; %s" % (got, " or ".join(wanted), said))
        if child.end != end or out is not None and child.out != out:
            raise Failure("%s run: got %s, wanted %s with %r; %s" % (got, child.end, end, out, said))
        return child

    def warm(self, *args: str, **more: Any) -> Child:
        """A run that must be warm."""
        return self.expect(self.call(*args, **more), "warm")

    def prime(self, *args: str, seconds: float = 20.0, passing: Any = PASSING, **more: Any) -> Child:
        """Run until it is warm; every run on the way must be right, too."""
        last: List[Child] = []

        def attempt() -> Optional[Child]:
            self.settle()
            done = self.call(*args, **more)
            self.expect(done, ("warm", *passing), out=None)
            last[:] = [done]
            return done if self.route(done) == "warm" else None
        try:
            done = until(attempt, "a warm run", seconds)
        except Failure as error:
            raise Failure("%s; the last was: %s" % (error, self.route(last[0]) if last else "none")) from None
        self.settle()
        return done

    # -- zygotes

    def pages(self) -> List[Page]:
        """Status pages of living zygotes."""
        found = []
        for path in glob.glob(glob.escape(self.runtime) + "/*.zygote"):
            try:
                if proc.unlocked(path) is False:
                    found.append(Page(path))
            except OSError:
                pass
        return found

    def zygotes(self) -> List[int]:
        """Processes that serve or are about to: children of ours by that name, workers and spares not included."""
        return [p for p in proc.children(os.getpid()) if proc.comm(p) == "pyzy-zygote" and proc.state(p) != "Z"]

    def starters(self) -> List[int]:
        """Processes between the launcher's wish and the listening zygote."""
        self.reap()
        others = [p for p in proc.children(os.getpid()) if p not in self.known and proc.state(p) != "Z"]
        serving = {p.pid for p in self.pages() if p.state != "starting"}
        return [p for p in others if p not in serving]

    def settle(self, seconds: float = 15.0) -> None:
        """Wait until nobody is starting a zygote any more."""
        until(lambda: not self.starters(), "starters to finish", seconds)

    def zygote(self) -> int:
        """The one zygote that there must be."""
        self.settle()
        pages = [p for p in self.pages() if p.state == "ready"]
        if len(pages) != 1 or self.zygotes() != [pages[0].pid]:
            raise Failure("not exactly one zygote: pages %r, processes %r" % ([p.pid for p in pages], [proc.show(p) for p in self.zygotes()]))
        return pages[0].pid

    def socket(self) -> str:
        """The one socket that there must be."""
        found = glob.glob(glob.escape(self.runtime) + "/*.sock")
        equal(len(found), 1, "sockets in the runtime directory")
        return found[0]

    def image(self) -> str:
        """The one image that there must be."""
        found = glob.glob(glob.escape(self.runtime) + "/*.image")
        equal(len(found), 1, "images in the runtime directory")
        return found[0]

    def page(self, pid: int) -> Page:
        """The page of a zygote."""
        return Page("%s/%d.zygote" % (self.runtime, pid))

    def stop_zygotes(self) -> None:
        """Ask them to leave and wait until they have; `pyzy stop` by hand."""
        self.settle()
        going = self.zygotes()
        for pid in going:
            proc.kill(pid, signal.SIGTERM)
            proc.kill(pid, signal.SIGCONT)
        for pid in going:
            proc.wait_end(pid, "zygote " + proc.show(pid), 10.0)
        self.reap()

    def reap(self) -> None:
        """Collect the orphans that came to us."""
        for pid in proc.children(os.getpid()):
            if pid not in self.known and proc.state(pid) == "Z":
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass

    # -- the end

    def leftovers(self) -> List[str]:
        """Files that no zygote needs any more."""
        names = []
        for root, _, files in os.walk(self.runtime):
            names += [os.path.relpath(os.path.join(root, f), self.runtime) for f in files]
        return [n for n in names if not n.endswith((".lock", ".failed")) and n not in ("tally", "ledger") and not n.startswith("dump/")]

    def close(self) -> List[str]:
        """End everything; complaints about what would not go."""
        complaints: List[str] = []
        for child in self.children:
            child.dispose()
        try:
            self.stop_zygotes()
        except Failure as error:
            complaints.append(str(error))

        def nobody() -> bool:
            self.reap()
            return not proc.descendants(os.getpid())
        try:
            until(nobody, "the last process to go", 3.0)
        except Failure:
            for pid in proc.descendants(os.getpid()):
                complaints.append("left running: " + proc.show(pid))
                proc.kill(pid)
            try:
                until(nobody, "killed processes", 3.0)
            except Failure as error:
                complaints.append(str(error))
        if not self.debris:
            complaints += ["left in the runtime directory: " + name for name in self.leftovers()]
        return complaints
