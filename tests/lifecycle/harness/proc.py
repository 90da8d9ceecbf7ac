"""What the kernel says about processes (`man 5 proc`), and waiting for it to say something else.

Nothing here sleeps: a wait is a poll on descriptors, or a look at /proc every
few milliseconds under a deadline where the kernel offers no descriptor.
"""

import ctypes
import os
import re
import select
import signal
import time
from typing import Any, Callable, Dict, List, Optional

from .test import Failure

LIBC = ctypes.CDLL(None, use_errno=True)
LOOK = 0.004


def until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    """Wait until `condition` gives something true; give that."""
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise Failure("waited %g s in vain for: %s" % (seconds, what))
        select.select([], [], [], LOOK)


def become_subreaper() -> None:
    """PR_SET_CHILD_SUBREAPER: what is orphaned below us becomes our child, so that nothing gets out of sight."""
    LIBC.prctl(36, 1, 0, 0, 0)


def read(pid: int, name: str) -> bytes:
    """A file of /proc/PID; empty when the process is gone."""
    try:
        with open("/proc/%d/%s" % (pid, name), "rb") as f:
            return f.read()
    except OSError:
        return b""


def stat(pid: int) -> List[bytes]:
    """The fields of /proc/PID/stat from field 3 (state) on; empty when the process is gone."""
    text = read(pid, "stat")
    return text.rsplit(b")", 1)[1].split() if text else []


def parent(pid: int) -> int:
    """The parent of a process; 0 when it is gone."""
    fields = stat(pid)
    return int(fields[1]) if fields else 0


def comm(pid: int) -> str:
    """The command name."""
    return read(pid, "comm").decode("utf-8", "replace").rstrip("\n")


def state(pid: int) -> str:
    """R, S, T, Z …; empty when the process is gone."""
    fields = stat(pid)
    return fields[0].decode() if fields else ""


def gone(pid: int) -> bool:
    """Ended; perhaps not yet reaped."""
    return state(pid) in ("", "Z", "X")


def status(pid: int, name: str) -> str:
    """A line of /proc/PID/status."""
    match = re.search(rb"(?m)^%s:\s*(.*)$" % name.encode(), read(pid, "status"))
    return match.group(1).decode() if match else ""


# read, poll, select, pause, nanosleep, rt_sigtimedwait, clock_nanosleep, pselect6, ppoll on x86-64.
BLOCKING = {b"0", b"7", b"23", b"34", b"35", b"128", b"230", b"270", b"271"}


def wait_blocked(pid: int) -> None:
    """Wait until a process sleeps in a system call that a signal interrupts: before that, CPython itself may lose a
    KeyboardInterrupt until something else wakes it."""
    def blocked() -> bool:
        words = read(pid, "syscall").split()
        return state(pid) == "S" and (not words or words[0] in BLOCKING)
    try:
        until(blocked, "a script to wait")
    except Failure as failure:
        raise Failure("%s; it is %s in system call %r" % (failure, show(pid), read(pid, "syscall"))) from None


def resident(pid: int) -> int:
    """Kilobytes that are this process's own (RssAnon)."""
    return int(status(pid, "RssAnon").split()[0])


def descriptors(pid: int) -> Dict[int, str]:
    """Open descriptors and what they are."""
    found = {}
    try:
        for name in os.listdir("/proc/%d/fd" % pid):
            try:
                found[int(name)] = os.readlink("/proc/%d/fd/%s" % (pid, name))
            except OSError:
                pass
    except OSError:
        pass
    return found


def everyone() -> List[int]:
    """All processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(pid: int) -> List[int]:
    """The children of a process, zombies included."""
    return [p for p in everyone() if parent(p) == pid]


def descendants(pid: int) -> List[int]:
    """Children, their children and so on."""
    parents = {p: parent(p) for p in everyone()}
    found, front = [], [pid]
    while front:
        front = [p for p, q in parents.items() if q in front]
        found += front
    return found


def show(pid: int) -> str:
    """A process, for people."""
    line = read(pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return "%d %s %s [%s]" % (pid, state(pid), comm(pid), line)


def wait_end(pid: int, what: str, seconds: float = 10.0) -> None:
    """Wait for the end of any process, child or not."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        wait_handle(handle, what, seconds)
    finally:
        os.close(handle)


def wait_handle(handle: int, what: str, seconds: float = 10.0) -> None:
    """Wait for the end of a process through its handle."""
    if not select.select([handle], [], [], seconds)[0]:
        raise Failure("waited %g s in vain for the end of: %s" % (seconds, what))


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def unlocked(path: str) -> Optional[bool]:
    """Is nobody's flock on that file? None when there is no file."""
    import fcntl
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
