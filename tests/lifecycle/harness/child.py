"""Starting a process in exactly the state a test asks for, and talking to it under a deadline.

The child is made by hand: subprocess would tidy descriptors and hide the core
flag of a wait status.
"""

import os
import re
import select
import signal
import time
import traceback
from typing import Any, Callable, Dict, List, Optional

from .proc import kill
from .test import Failure, describe

FAR = 600  # descriptors are parked from here up while the low ones are arranged


class Child:
    """A running process, its streams and what it has said so far."""

    def __init__(self, argv: List[str], path: str, env: Dict[str, str], cwd: str, fds: Dict[int, Any], before: Optional[Callable[[], None]], session: bool) -> None:
        self.argv = argv
        self.ours: Dict[int, int] = {}  # the child's number -> our end
        self.said: Dict[int, bytearray] = {}
        theirs: Dict[int, int] = {}
        for number, kind in fds.items():
            if kind == "pipe":
                r, w = os.pipe()
                theirs[number], self.ours[number] = (r, w) if number == 0 else (w, r)
                if number != 0:
                    self.said[number] = bytearray()
            elif kind == "tty":
                if -1 not in self.ours:
                    self.ours[-1], self.slave = os.openpty()
                    self.said[-1] = bytearray()
                theirs[number] = os.dup(self.slave)
            elif kind == "null":
                theirs[number] = os.open(os.devnull, os.O_RDWR)
            elif kind is not None:
                theirs[number] = os.dup(kind)
        self.pid = os.fork()
        if self.pid == 0:
            self._become(argv, path, env, cwd, theirs, before, session)
        for fd in [*theirs.values(), *([self.slave] if -1 in self.ours else [])]:
            os.close(fd)
        self.handle = os.pidfd_open(self.pid)
        self.status: Optional[int] = None
        self.open = {self.ours[n]: n for n in self.said}

    @staticmethod
    def _become(argv: List[str], path: str, env: Dict[str, str], cwd: str, theirs: Dict[int, int], before: Any, session: bool) -> None:
        import fcntl
        try:
            if session:
                os.setsid()
            os.chdir(cwd)
            os.umask(0o022)
            parked = {n: fcntl.fcntl(fd, fcntl.F_DUPFD, FAR) for n, fd in theirs.items()}
            os.closerange(0, FAR)
            for number, fd in parked.items():
                os.dup2(fd, number, inheritable=True)
            os.closerange(FAR, max([FAR, *parked.values()]) + 1)
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)
            if before is not None:
                before()
            os.execve(path, argv, env)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(126)

    def _turn(self, deadline: float, what: str) -> None:
        poller = select.poll()
        for fd in self.open:
            poller.register(fd, select.POLLIN)
        if self.status is None:
            poller.register(self.handle, select.POLLIN)
        left = deadline - time.monotonic()
        ready = poller.poll(left * 1000) if left > 0 else []
        if not ready:
            held = "ended (%s), but something holds its streams open" % describe(self.status) if self.status is not None else "still runs"
            raise Failure("%s: waited in vain for %s; it %s and had said %r" % (" ".join(self.argv), what, held, {n: bytes(s[-2000:]) for n, s in self.said.items()}))
        for fd, _ in ready:
            if fd == self.handle:
                self.status = os.waitpid(self.pid, 0)[1]
                continue
            try:
                data = os.read(fd, 65536)
            except OSError:  # EIO: the other side of a terminal is gone
                data = b""
            if data:
                self.said[self.open[fd]] += data
            else:
                del self.open[fd]

    def expect(self, pattern: bytes, number: int = 1, seconds: float = 15.0) -> "re.Match[bytes]":
        """Wait until it has said something; what was before is forgotten."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, bytes(self.said[number]))
            if match:
                del self.said[number][:match.end()]
                return match
            if self.ours[number] not in self.open:
                raise Failure("%s: ended its output without %r; it had said %r" % (" ".join(self.argv), pattern, {n: bytes(s[-2000:]) for n, s in self.said.items()}))
            self._turn(deadline, repr(pattern))

    def expect_eof(self, number: int = 1, seconds: float = 15.0) -> None:
        """Wait until nobody holds the other end of a stream."""
        deadline = time.monotonic() + seconds
        while self.ours[number] in self.open:
            self._turn(deadline, "the end of stream %d" % number)

    def send(self, data: bytes) -> None:
        """Write to its standard input, or type."""
        os.write(self.ours[-1 if -1 in self.ours else 0], data)

    def close(self, number: int) -> None:
        """Close our end of a stream."""
        fd = self.ours.pop(number)
        self.open.pop(fd, None)
        os.close(fd)

    def kill(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def finish(self, seconds: float = 20.0) -> "Child":
        """Wait for its end and the end of its streams."""
        deadline = time.monotonic() + seconds
        while self.status is None or self.open:
            self._turn(deadline, "its end")
        return self

    def ended(self, seconds: float = 20.0) -> str:
        """Wait for the end of the process alone; gives how it ended."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            self._turn(deadline, "its end")
        return describe(self.status)

    def stopped(self, seconds: float = 10.0) -> int:
        """Wait until it is stopped; gives the signal."""
        deadline = time.monotonic() + seconds
        while True:
            info = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if info is not None:
                if info.si_code != os.CLD_STOPPED:
                    raise Failure("%s: ended instead of stopping" % " ".join(self.argv))
                os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)
                return info.si_status
            if time.monotonic() > deadline:
                raise Failure("%s: did not stop" % " ".join(self.argv))
            select.select([], [], [], 0.004)

    @property
    def out(self) -> bytes:
        """Standard output so far."""
        return bytes(self.said.get(1, b""))

    @property
    def err(self) -> bytes:
        """Standard error so far."""
        return bytes(self.said.get(2, b""))

    @property
    def end(self) -> str:
        """How it ended."""
        return describe(self.status) if self.status is not None else "running"

    def dispose(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self.status is None:
            kill(self.pid)
            kill(self.pid, signal.SIGCONT)
            self.status = os.waitpid(self.pid, 0)[1]
        for fd in [*self.ours.values(), self.handle]:
            try:
                os.close(fd)
            except OSError:
                pass
        self.ours, self.open = {}, {}
