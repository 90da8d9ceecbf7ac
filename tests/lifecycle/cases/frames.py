"""What strangers say to a zygote: pieces, garbage, too much, nothing at all."""

import os
import random
import select
import socket
import time

from harness import proc, wire
from harness.proc import until
from harness.test import Failure, check, equal, test

# Notes that it runs, says so, waits for a line.
ONCE = "import sys\nopen('ran', 'a').write('x')\nprint('ready', flush=True)\nprint(sys.stdin.readline().strip(), flush=True)\n"


def undisturbed(w, act):
    """Whatever `act` does to the socket, callers are served and the zygote keeps no descriptor of it."""
    w.prime()
    zygote = w.zygote()
    path = w.socket()
    w.warm()
    wire.is_well(path)
    before = len(proc.descriptors(zygote))
    act(path)
    wire.is_well(path)
    w.warm()
    equal(w.zygote(), zygote, "zygote")
    until(lambda: len(proc.descriptors(zygote)) <= before, "the zygote to close what it was given (%d before)" % before, 5)
    until(lambda: not [p for p in proc.children(zygote) if proc.state(p) == "Z"], "dead workers to be reaped", 5)


@test("frames/half-written", each=True)
def half_written(w):
    w.prime()
    frame = wire.capture(w)

    def act(path):
        for length in range(1, len(frame), max(1, len(frame) // 97)):
            with wire.connect(path) as s:
                wire.send(s, frame[:length])
                equal(s.recv(100), b"", "answer to a piece of a request")
    undisturbed(w, act)


@test("frames/garbage")
def garbage(w):
    def act(path):
        for data in (b"\0", b"\xff" * 7, b"GET / HTTP/1.0\r\n\r\n", wire.ASK_STATUS[:1], wire.ASK_STATUS[:1] + b"R", wire.ASK_STATUS + b"\0", bytes([wire.VERSION + 1]) + wire.ASK_STATUS[1:], b"C", bytes(8), os.urandom(50000), wire.WELL):
            with wire.connect(path) as s:
                wire.send(s, data)
                equal(s.recv(100), b"", "answer to garbage")
    undisturbed(w, act)


@test("frames/empty-and-closed")
def empty(w):
    def act(path):
        for _ in range(50):
            wire.connect(path).close()
            with wire.connect(path) as s:
                s.shutdown(socket.SHUT_WR)
                equal(s.recv(10), b"", "answer to nothing")
            with wire.connect(path) as s:
                wire.send(s, b"")
                equal(s.recv(10), b"", "answer to an empty message")
    undisturbed(w, act)


@test("frames/huge")
def huge(w):
    def act(path):
        for size in (wire.LONGEST, wire.LONGEST + 1, wire.LONGEST + 2000):
            with wire.connect(path) as s:
                try:
                    wire.send(s, b"\x01R" + b"\0" * (size - 2))
                except OSError:
                    continue  # more than the kernel lets us send
                equal(s.recv(10), b"", "answer to a huge message")
    undisturbed(w, act)


@test("frames/253-descriptors", each=True)
def many_descriptors(w):
    w.prime()
    frame = wire.capture(w)

    def act(path):
        for data in (b"garbage", wire.ASK_STATUS, frame, frame[:50]):
            for count in (1, 252, 253):
                fds = wire.descriptors_for(count)
                with wire.connect(path) as s:
                    wire.send(s, data, fds)
                    s.recv(100)
                for fd in fds:
                    os.close(fd)
    undisturbed(w, act)


@test("frames/descriptors-that-lead-back")
def descriptors_back(w):
    """The zygote's own socket, a connection's other end, a directory, a pipe nobody reads."""
    w.prime()
    frame = wire.capture(w)

    def act(path):
        for _ in range(20):
            with wire.connect(path) as s, wire.connect(path) as other:
                r, wr = os.pipe()
                directory = os.open("/", os.O_PATH)
                wire.send(s, frame, [directory, other.fileno(), s.fileno(), wr, r])
                s.recv(100)
                for fd in (r, wr, directory):
                    os.close(fd)
    undisturbed(w, act)


@test("frames/request-and-no-commit", each=True)
def no_commit(w):
    """A worker stands ready, and its caller goes: the script never runs."""
    w.prime()
    script = w.script("once.py", ONCE)
    frame = wire.capture(w, script)
    after_capture = w.text("ran")

    def act(path):
        for last in (b"", b"X", b"CC", b""):
            fds = [os.open(w.work, os.O_PATH), *wire.descriptors_for(3)]
            with wire.connect(path) as s:
                wire.send(s, frame, fds)
                data, handles = wire.receive(s)
                equal(data[1], 1, "an answer: ready")
                pid = int.from_bytes(data[4:8], "little")
                if last:
                    wire.send(s, last)
                else:
                    s.close()
                proc.wait_handle(handles[0], "a worker nobody wants")
                until(lambda: proc.gone(pid), "its end")
            for fd in fds + handles:
                os.close(fd)
    undisturbed(w, act)
    equal(w.text("ran"), after_capture, "runs of the script")


@test("frames/talk-after-the-request")
def talk_after(w):
    """More messages than belong to a conversation."""
    w.prime()
    frame = wire.capture(w)

    def act(path):
        for _ in range(20):
            fds = [os.open(w.work, os.O_PATH), *wire.descriptors_for(3)]
            with wire.connect(path) as s:
                wire.send(s, frame, fds)
                for data in (wire.COMMIT, wire.RELEASED, frame, wire.ASK_STATUS, b"x" * 1000):
                    try:
                        wire.send(s, data, fds)
                    except (BrokenPipeError, ConnectionResetError):
                        break
                kinds = []
                while True:
                    try:
                        data, handles = wire.receive(s)
                    except ConnectionResetError:
                        continue  # comes once, before what was said: the zygote closed without having heard us out
                    for fd in handles:
                        os.close(fd)
                    if not data:
                        break
                    kinds.append(data[1])
                equal(kinds[:1], [1], "first answer")
            for fd in fds:
                os.close(fd)
    undisturbed(w, act)


@test("frames/request-repeated")
def repeated(w):
    """The same request twice is two runs that somebody asked for; a wrong key or nonce is none."""
    w.prime()
    frame = wire.capture(w)

    def act(path):
        for at in (2, 17, 18, 25):
            data = bytearray(frame)
            data[at] ^= 1
            fds = [os.open(w.work, os.O_PATH), *wire.descriptors_for(3)]
            with wire.connect(path) as s:
                wire.send(s, bytes(data), fds)
                got = s.recv(100)
                equal((got[1], got[4]), (2, 77), "answer to a foreign key: refused, mismatch")
            for fd in fds:
                os.close(fd)
    undisturbed(w, act)


@test("frames/random", each=True, seconds=90)
def random_frames(w):
    """Property: no byte sequence crashes or wedges a zygote. The seed is fixed, so a failure can be repeated."""
    w.prime()
    frame = wire.capture(w, w.ok, "some", "words")
    rng = random.Random(7)
    count = 400 if w.quick else 1500

    def act(path):
        for turn in range(count):
            data = wire.mutate(rng, frame)
            fds = [os.open(w.work, os.O_PATH), *wire.descriptors_for(rng.choice([0, 2, 3, 3, 3, 4]))]
            try:
                with wire.connect(path) as s:
                    if data:
                        wire.send(s, data, fds)
                    if rng.random() < 0.3:
                        s.settimeout(15)
                        try:
                            s.recv(100) if data else None
                        except socket.timeout:
                            raise Failure("no answer and no end to frame %d: %r" % (turn, data)) from None
                        except ConnectionResetError:
                            pass
            except (BrokenPipeError, ConnectionResetError):
                pass
            except (ConnectionRefusedError, FileNotFoundError):
                raise Failure("the zygote died by frame %d or the one before: %r" % (turn, data)) from None
            finally:
                for fd in fds:
                    os.close(fd)
            if turn % 200 == 199:
                wire.is_well(path)
                w.warm()
    undisturbed(w, act)


@test("idle-connections/1000", each=True)
def idle_connections(w):
    def act(path):
        held = [wire.connect(path) for _ in range(1000)]
        wire.is_well(path)
        for _ in range(3):
            w.warm()
        for s in held:
            s.close()
    undisturbed(w, act)


@test("idle-connections/come-and-go")
def come_and_go(w):
    def act(path):
        for _ in range(3000):
            wire.connect(path).close()
    undisturbed(w, act)


@test("idle-connections/4100-and-a-caller", seconds=60)
def too_many(w):
    """More than a zygote holds at a time: a caller may have to fall back, but nobody hangs."""
    w.prime()
    path = w.socket()
    held = []
    for _ in range(4200):
        held.append(wire.connect(path, wait=False))
    begun = time.monotonic()
    w.expect(w.call(), ("warm", "busy", "silent"))
    check(time.monotonic() - begun < 5, "an end in time")
    for s in held:
        s.close()
    w.prime()


@test("idle-connections/closed-in-the-end", seconds=60)
def closed_in_the_end(w):
    w.prime()
    with wire.connect(w.socket()) as s:
        check(select.select([s], [], [], 15)[0], "a silent connection is closed within 15 s")
        equal(s.recv(10), b"", "its last word")
    w.warm()
