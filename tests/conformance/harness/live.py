"""Talking to a running process: expect, send, signal, wait, always under a deadline.

Nothing here sleeps: every wait is a poll on the child's descriptors and on a
pidfd.
"""

import fcntl
import os
import re
import select
import signal
import struct
import termios
import time
from typing import Any, Dict, List, Optional

from .spawn import Ends

NAMES = {number: name for name, number in vars(signal).items() if re.fullmatch(r"SIG[A-Z0-9]+", name) and name not in ("SIGIOT", "SIGCLD", "SIGPOLL")}


class Trouble(Exception):
    """The process did not do what the case waits for."""


def describe(status: int) -> str:
    """A wait status, for people and for comparison."""
    if os.WIFEXITED(status):
        return "exit %d" % os.WEXITSTATUS(status)
    name = NAMES.get(os.WTERMSIG(status), str(os.WTERMSIG(status)))
    return "signal " + name + (" core" if os.WCOREDUMP(status) else "")


class Live:
    """A process and what it has said so far."""

    def __init__(self, pid: int, ends: Ends, feed: Optional[bytes], timeout: float, cwd: str = ".") -> None:
        self.cwd = cwd
        self.pid, self.ends, self.feed = pid, ends, feed
        self.deadline = time.monotonic() + timeout
        self.said: Dict[int, bytearray] = {number: bytearray() for number in ends.read}
        self.seen = {number: 0 for number in ends.read}
        self.events: List[str] = []
        self.status: Optional[int] = None
        self.pidfd = os.pidfd_open(pid)
        self.poller = select.poll()
        self.open = {fd: number for number, fd in ends.read.items()}
        for fd in self.open:
            self.poller.register(fd, select.POLLIN)
        self.poller.register(self.pidfd, select.POLLIN)
        self.writer = ends.write.get(0, -1)
        if feed is not None:
            os.set_blocking(self.writer, False)
            self.poller.register(self.writer, select.POLLOUT)

    def _turn(self) -> None:
        """Wait for one thing to happen and take it in."""
        left = self.deadline - time.monotonic()
        ready = self.poller.poll(max(0, left) * 1000) if left > 0 else []
        if not ready:
            raise Trouble("nothing happened before the deadline")
        for fd, _ in ready:
            if fd == self.pidfd:
                self.status = os.waitpid(self.pid, 0)[1]
                self.poller.unregister(fd)
            elif fd == self.writer:
                self._feed()
            else:
                try:
                    data = os.read(fd, 65536)
                except OSError:  # EIO: the last descriptor of the terminal is gone
                    data = b""
                if data:
                    self.said[self.open[fd]] += data
                else:
                    self.poller.unregister(fd)
                    del self.open[fd]

    def _feed(self) -> None:
        try:
            self.feed = self.feed[os.write(self.writer, self.feed[:65536]):] if self.feed else b""
        except BlockingIOError:
            return
        except OSError:
            self.feed = b""
        if not self.feed:
            self.poller.unregister(self.writer)
            self.eof()

    def expect(self, pattern: bytes, number: Optional[int] = None) -> None:
        """Wait until `pattern` has appeared after what was expected before."""
        number = number if number is not None else (-1 if -1 in self.said else 1)
        while True:
            match = re.search(pattern, bytes(self.said[number][self.seen[number]:]))
            if match:
                self.seen[number] += match.end()
                return
            if self.status is not None and self.ends.read[number] not in self.open:
                raise Trouble("ended before saying %r" % pattern)
            try:
                self._turn()
            except Trouble as error:
                raise Trouble("waiting for %r: %s" % (pattern, error)) from None

    def send(self, data: bytes) -> None:
        """Write to standard input, or type."""
        os.write(self.ends.master if self.ends.master >= 0 else self.writer, data)

    def eof(self) -> None:
        """Close standard input."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def stopped(self) -> None:
        """Wait for the process to stop; which signal did it is part of the outcome."""
        def late(*_: Any) -> None:
            raise Trouble("did not stop")
        before = signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, max(0.01, self.deadline - time.monotonic()))
        try:
            info = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        if info is None or info.si_code != os.CLD_STOPPED:
            raise Trouble("ended instead of stopping")
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)
        self.events.append("stopped by " + NAMES.get(info.si_status, str(info.si_status)))

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size; the kernel sends SIGWINCH."""
        fcntl.ioctl(self.ends.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """Close the terminal's other side; the kernel sends SIGHUP."""
        self.open.pop(self.ends.master, None)
        self.poller.unregister(self.ends.master)
        os.close(self.ends.master)
        self.ends.read.pop(-1, None)

    def file(self, name: str) -> None:
        """Wait for a file; the standard library has no inotify, so look again every few milliseconds."""
        while not os.path.exists(os.path.join(self.cwd, name)):
            if time.monotonic() > self.deadline:
                raise Trouble("the file %r did not appear" % name)
            select.select([], [], [], 0.005)

    def session_left(self, seconds: float) -> List[str]:
        """What is still there of the session that this process led, after a time of grace."""
        deadline = time.monotonic() + seconds
        while True:
            left = []
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open("/proc/%s/stat" % name, "rb") as f:
                        fields = f.read().rsplit(b")", 1)[1].split()
                    if int(fields[3]) == self.pid and fields[0] not in (b"Z", b"X"):
                        with open("/proc/%s/cmdline" % name, "rb") as f:
                            left.append(f.read().replace(b"\0", b" ").decode("utf-8", "replace"))
                except OSError:
                    continue
            if not left or time.monotonic() > deadline:
                return left
            select.select([], [], [], 0.01)

    def step(self, step: Any) -> None:
        """One step of Case.steps."""
        verb, rest = step[0], step[1:]
        if verb == "expect":
            self.expect(*rest)
        elif verb == "send":
            self.send(*rest)
        elif verb == "eof":
            self.eof()
        elif verb == "signal":
            os.kill(self.pid, getattr(signal, "SIG" + rest[0]))
        elif verb == "group":
            os.killpg(self.pid, getattr(signal, "SIG" + rest[0]))
        elif verb == "stopped":
            self.stopped()
        elif verb == "file":
            self.file(*rest)
        elif verb == "resize":
            self.resize(*rest)
        elif verb == "hang up":
            self.hang_up()
        else:
            raise AssertionError(verb)

    def finish(self) -> str:
        """Wait for the end of the process and of its streams."""
        while self.status is None or self.open:
            try:
                self._turn()
            except Trouble:
                if self.status is not None:
                    raise Trouble("ended (%s), but something still holds its output open" % describe(self.status)) from None
                raise Trouble("did not end") from None
        return describe(self.status)

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self.status is None:
            for kill in (os.killpg, os.kill):
                try:
                    kill(self.pid, signal.SIGKILL)
                except OSError:
                    pass
            os.waitpid(self.pid, 0)
        self.eof()
        for fd in list(self.ends.read.values()) + [fd for n, fd in self.ends.write.items() if n != 0] + [self.pidfd]:
            os.close(fd)
