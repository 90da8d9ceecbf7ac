"""Waiting for a zygote or an image: for its file to appear, or for its starter to give up.

Files in the runtime directory appear by rename, so their names tell that they
are whole. Starters are orphans, and come to us as the subreaper: an end is a
SIGCHLD. Nothing is asked again and again.
"""

import ctypes
import os
import select
import signal
import struct
import time
from typing import List, Optional, Set

from .spawn import LIBC

IN_CLOSE_WRITE, IN_MOVED_TO, IN_NONBLOCK = 0x8, 0x80, os.O_NONBLOCK  # man 7 inotify
READY = {"restore": "image", "fork": "sock"}
CAME, FAILED, ENDED, LATE = "came", "failed", "ended", "late"


def reap(sparing: int = -1) -> List[int]:
    """Collect the orphans that came to us, but for one process; their wait statuses."""
    statuses = []
    try:
        while True:
            info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if info is None or info.si_pid == sparing:
                return statuses
            statuses.append(os.waitpid(info.si_pid, 0)[1])
    except ChildProcessError:
        return statuses


class Arrivals:
    """What becomes of the starts of zygotes in one runtime directory."""

    def __init__(self, runtime: str, engine: Optional[str]) -> None:
        self.wanted = {READY[engine]} if engine in READY else set(READY.values())
        self.notify = LIBC.inotify_init1(IN_NONBLOCK | os.O_CLOEXEC)
        if self.notify < 0 or LIBC.inotify_add_watch(self.notify, ctypes.c_char_p(os.fsencode(runtime)), ctypes.c_uint32(IN_CLOSE_WRITE | IN_MOVED_TO)) < 0:
            raise OSError(ctypes.get_errno(), "inotify: " + runtime)
        self.wake, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def _names(self) -> Set[str]:
        """Endings of the names of the files that have appeared since the last look."""
        found = set()
        try:
            data = os.read(self.notify, 65536)
        except BlockingIOError:
            return found
        while data:
            length = struct.unpack_from("iIII", data)[3]
            name = data[16:16 + length].rstrip(b"\0").decode("utf-8", "replace")
            found.add(name.rsplit(".", 1)[-1])
            data = data[16 + length:]
        return found

    def forget(self, sparing: int = -1) -> None:
        """What has come until now is not what we wait for."""
        while self._names():
            pass
        reap(sparing)

    def wait(self, seconds: float, sparing: int = -1) -> str:
        """Wait until one is ready or was there already (CAME), a note says why there is none (FAILED), or a starter has ended in vain (ENDED)."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                os.read(self.wake, 65536)
            except BlockingIOError:
                pass
            names = self._names()
            if names & self.wanted:
                return CAME
            if "failed" in names:
                return FAILED
            ends = reap(sparing)
            if ends:
                return ENDED if any(ends) else CAME
            left = deadline - time.monotonic()
            if left <= 0:
                return LATE
            select.select([self.notify, self.wake], [], [], left)
