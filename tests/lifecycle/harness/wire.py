"""The conversation of the fork engine as bytes (src/core/src/wire.rs), a zygote that is none, and mutations."""

import array
import os
import random
import shutil
import signal
import socket
import struct
from typing import Any, List, Optional, Tuple

from .test import Failure, check, equal

VERSION = 2
ASK_STATUS = bytes([VERSION, ord("S")])
WELL = bytes([VERSION, 8, 0, 0, 0, 0, 0, 0])
COMMIT = b"C"
RELEASED = b"R"
SECONDS = 8.0
LONGEST = 200 * 1024


def answer(kind: int, number: int = 0, flag: int = 0, version: int = VERSION) -> bytes:
    """An answer: 1 ready, 2 refused, 3 stopped, 4 continued, 5 exited, 6 killed, 7 lost, 8 well."""
    return struct.pack("<BBBBi", version, kind, flag, 0, number)


def connect(path: str, wait: bool = True) -> socket.socket:
    """A connection to a zygote; a long path goes through the directory's descriptor."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(SECONDS if wait else 0)
    if len(os.fsencode(path)) < 108:
        s.connect(path)
    else:
        directory = os.open(os.path.dirname(path), os.O_PATH)
        try:
            s.connect("/proc/self/fd/%d/%s" % (directory, os.path.basename(path)))
        finally:
            os.close(directory)
    return s


def send(s: socket.socket, data: bytes, fds: Any = ()) -> None:
    """One message with descriptors."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def receive(s: socket.socket) -> Tuple[bytes, List[int]]:
    """One message and its descriptors."""
    data, control, _, _ = s.recvmsg(LONGEST + 1000, socket.CMSG_SPACE(4 * 253))
    fds = array.array("i")
    for level, kind, body in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(body[:len(body) // 4 * 4])
    return data, list(fds)


def is_well(path: str) -> None:
    """Fail unless a zygote answers there."""
    with connect(path) as s:
        send(s, ASK_STATUS)
        equal(s.recv(100), WELL, "answer to a status question")


class Fake:
    """A zygote that is none, on the socket of a real one, which is moved aside and still listens."""

    def __init__(self, world: Any) -> None:
        # A new zygote asks whoever listens there to leave.
        signal.signal(signal.SIGTERM, lambda *_: None)
        self.path = world.socket()
        self.real = world.root + "/real.sock"
        os.rename(self.path, self.real)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.inode = os.lstat(self.path).st_ino
        self.listener.listen(8)
        self.listener.settimeout(SECONDS)

    def accept(self) -> socket.socket:
        """The next launcher."""
        try:
            s, _ = self.listener.accept()
        except socket.timeout:
            raise Failure("no launcher came") from None
        s.settimeout(SECONDS)
        return s

    def request(self) -> Tuple[socket.socket, bytes, List[int]]:
        """The next launcher and what it asks."""
        s = self.accept()
        data, fds = receive(s)
        return s, data, fds

    def close(self, restore: bool = False) -> None:
        """Leave; perhaps give the real zygote its place back."""
        self.listener.close()
        if restore:
            os.rename(self.real, self.path)
        else:
            os.unlink(self.real)


def capture(world: Any, *args: str) -> bytes:
    """A real request; the world's zygote stays as it is."""
    fake = Fake(world)
    child = world.start(*args)
    s, data, fds = fake.request()
    for fd in fds:
        os.close(fd)
    send(s, answer(2, 76))
    s.close()
    world.expect(child.finish(), "refused", None)
    fake.close(restore=True)
    check(len(data) > 200, "a request", data)
    return data


def mutate(rng: random.Random, frame: bytes) -> bytes:
    """Another frame, near the one given or far from it."""
    data = bytearray(frame)
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(0, 600)) if hasattr(rng, "randbytes") else bytes(rng.getrandbits(8) for _ in range(rng.randrange(600)))
    if kind == 1:
        return bytes(data[:rng.randrange(len(data))])
    if kind == 2:
        return bytes(data) + bytes(rng.getrandbits(8) for _ in range(rng.randrange(1, 50)))
    if kind == 3:  # a length or a count that is much too large
        at = rng.randrange(2, len(data) - 4)
        data[at:at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff\0\0\0", b"\0\0\0\0"])
        return bytes(data)
    if kind == 4:  # a piece twice, or left out
        a, b = sorted(rng.randrange(len(data)) for _ in range(2))
        return bytes(data[:b] + data[a:]) if rng.getrandbits(1) else bytes(data[:a] + data[b:])
    for _ in range(rng.choice([1, 1, 1, 2, 5, 40])):
        data[rng.randrange(len(data))] = rng.getrandbits(8) if kind == 5 else data[rng.randrange(len(data))]
    return bytes(data)


def copy_stage(world: Any, name: str) -> str:
    """Another installation, the same files; gives its shims."""
    to = world.root + "/" + name
    shutil.copytree(world.stage, to, symlinks=True)
    return to


def descriptors_for(count: int) -> Optional[List[int]]:
    """That many descriptors of /dev/null."""
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
