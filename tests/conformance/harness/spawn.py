"""Starting a process in exactly the state a case asks for.

subprocess would close descriptors, tidy the environment and restore signals by
its own rules, so the child is made by hand: fork, arrange, execve through libc
(os.execve cannot pass an environment entry without `=`). The caller has one
thread.
"""

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import termios
from typing import Any, Dict, List, Tuple

LIBC = ctypes.CDLL(None, use_errno=True)
FAR = 700  # descriptors are parked from here up while the low ones are arranged


def no_new_privileges() -> None:
    """For Case.pre: PR_SET_NO_NEW_PRIVS."""
    LIBC.prctl(38, 1, 0, 0, 0)


def become_subreaper() -> None:
    """PR_SET_CHILD_SUBREAPER: orphans come to us, so that none is overlooked."""
    LIBC.prctl(36, 1, 0, 0, 0)


class Ends:
    """The caller's ends of the child's descriptors."""

    def __init__(self) -> None:
        self.read: Dict[int, int] = {}  # the child's number -> ours
        self.write: Dict[int, int] = {}
        self.master = -1
        self.theirs: Dict[int, int] = {}

    def pipe(self, number: int, to_child: bool) -> None:
        """A pipe at the child's `number`."""
        r, w = os.pipe()
        self.theirs[number] = r if to_child else w
        (self.write if to_child else self.read)[number] = w if to_child else r

    def tty(self, number: int) -> None:
        """The pseudo-terminal, one per process, that is nobody's controlling terminal yet."""
        if self.master < 0:
            self.master, slave = os.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            self.read[-1] = self.master
            self.theirs[number] = slave
        else:
            slave = next(fd for n, fd in self.theirs.items() if os.isatty(fd))
            self.theirs[number] = os.dup(slave)

    def make(self, number: int, kind: Any, cwd: str) -> None:
        """A descriptor of this kind: a word, or (mode, path)."""
        if kind == "pipe":
            self.pipe(number, number == 0)
        elif kind == "tty":
            self.tty(number)
        elif kind == "null":
            self.theirs[number] = os.open(os.devnull, os.O_RDWR)
        elif kind == "full":
            self.theirs[number] = os.open("/dev/full", os.O_WRONLY)
        elif kind == "directory":
            self.theirs[number] = os.open(cwd, os.O_RDONLY)
        elif kind == "broken":
            r, self.theirs[number] = os.pipe()
            os.close(r)
        elif kind == "socket":
            ours, theirs = socket.socketpair()
            self.read[number], self.theirs[number] = ours.detach(), theirs.detach()
            if number == 0:
                self.write[0] = os.dup(self.read[0])
        elif isinstance(kind, tuple):
            flags = {"read": os.O_RDONLY, "write": os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "rw": os.O_RDWR | os.O_CREAT,
                     "append": os.O_WRONLY | os.O_CREAT | os.O_APPEND}[kind[0]]
            self.theirs[number] = os.open(os.path.join(cwd, kind[1]), flags, 0o644)
        elif isinstance(kind, int):
            self.theirs[number] = os.dup(self.theirs[kind])  # shares the offset
        else:
            assert kind == "closed", kind


def _arrange(theirs: Dict[int, int]) -> None:
    parked = {number: fcntl.fcntl(fd, fcntl.F_DUPFD, FAR) for number, fd in theirs.items()}
    os.closerange(0, FAR)
    for number, fd in parked.items():
        os.dup2(fd, number, inheritable=True)
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= FAR:
            try:
                os.close(int(name))
            except OSError:
                pass


def _signals(case: Any) -> None:
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            pass
    for name in case.ignore:
        signal.signal(getattr(signal, "SIG" + name), signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [getattr(signal, "SIG" + name) for name in case.block])


def _limits(case: Any) -> None:
    os.umask(case.umask)
    if case.nice:
        os.nice(case.nice)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    for name, pair in case.rlimit.items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), pair)


def spawn(path: str, argv: List[bytes], environ: List[bytes], cwd: str, case: Any, fds: Dict[int, Any]) -> Tuple[int, Ends]:
    """Fork and exec; returns the pid and our ends of its descriptors."""
    ends = Ends()
    for number, kind in fds.items():
        ends.make(number, kind, cwd)
    vector = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
    vars_ = (ctypes.c_char_p * (len(environ) + 1))(*environ, None)
    pid = os.fork()
    if pid == 0:
        try:
            session = case.group == "session" or case.terminal is not None
            if session:
                os.setsid()
            else:
                os.setpgid(0, 0)
            if case.terminal is not None:
                fcntl.ioctl(ends.theirs[0], termios.TIOCSCTTY, 0)
            os.chdir(cwd)
            _arrange(ends.theirs)
            os.chdir(case.cwd)
            _limits(case)
            if case.pre is not None:
                case.pre()
            _signals(case)
            LIBC.execve(os.fsencode(path), vector, vars_)
            os.write(2, b"execve failed: %d\n" % ctypes.get_errno())
        except BaseException as error:  # the child must never return
            os.write(2, b"harness: " + repr(error).encode() + b"\n")
        finally:
            os._exit(126)
    for fd in ends.theirs.values():
        os.close(fd)
    return pid, ends
