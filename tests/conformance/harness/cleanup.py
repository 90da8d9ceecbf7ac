"""Leaving nothing behind: zygotes are asked to go, then found by their sockets."""

import os
import re
import select
import signal
import subprocess
import time
from typing import List, Set

from .arrival import reap
from .world import World


def _sockets(root: str) -> Set[str]:
    """Inodes of the Unix sockets that are bound below `root`."""
    found = set()
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
        for line in f:
            words = line.split()
            if len(words) > 7 and words[7].startswith(root):
                found.add(words[6])
    return found


def holders(root: str) -> List[int]:
    """Processes that are ours: children and orphans, holders of such a socket, or at home below `root`."""
    inodes, found = _sockets(root), []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb") as f:
                parent = int(f.read().rsplit(b")", 1)[1].split()[1])
            if parent == os.getpid():
                found.append(int(name))
                continue
            with open("/proc/%s/environ" % name, "rb") as f:
                ours = root.encode() + b"/" in f.read()
            ours = ours or (os.readlink("/proc/%s/cwd" % name) + "/").startswith(root + "/")
            for fd in os.listdir("/proc/%s/fd" % name) if not ours and inodes else ():
                match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink("/proc/%s/fd/%s" % (name, fd)))
                ours = ours or bool(match and match.group(1) in inodes)
        except OSError:
            continue
        if ours:
            found.append(int(name))
    return found


class Newcomers:
    """Processes that were not there at the last look: who was there cannot be of a run that began later."""

    def __init__(self) -> None:
        self.known: Set[str] = set()

    def carriers(self, text: str) -> List[int]:
        """Those among them that have `text` in their environment."""
        now, found, entry = set(filter(str.isdigit, os.listdir("/proc"))), [], text.encode()
        for name in now - self.known - {str(os.getpid())}:
            try:
                with open("/proc/%s/environ" % name, "rb") as f:
                    if entry in f.read().split(b"\0"):
                        found.append(int(name))
            except OSError:
                pass
        self.known = now
        return found


def stop(world: World, pyzy: str, root: str) -> List[str]:
    """Stop the zygotes of a world; complaints about what would not go."""
    complaints = []
    if os.path.exists(pyzy):
        env = world.environment(world.root + "/log/stop")
        done = subprocess.run([pyzy, "stop"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            complaints.append("pyzy stop: exit %d: %s" % (done.returncode, done.stdout.decode("utf-8", "replace").strip()))
    deadline = time.monotonic() + 5
    while True:
        reap()
        left = holders(root)
        if not left or time.monotonic() > deadline:
            break
        for pid in left:  # wait for one of them to end
            try:
                pidfd = os.pidfd_open(pid)
                select.select([pidfd], [], [], 0.1)
                os.close(pidfd)
            except OSError:
                pass
            break
    for pid in left:
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                shown = f.read().replace(b"\0", b" ").decode("utf-8", "replace")
            os.kill(pid, signal.SIGKILL)
            complaints.append("left running: %d %s" % (pid, shown))
        except OSError:
            pass
    reap()
    return complaints
