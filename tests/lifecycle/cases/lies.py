"""Zygotes that lie: whatever they say, the caller ends as it must and the script runs at most once."""

import os
import select
import signal

from harness import proc, wire
from harness.test import check, equal, test

LOST = b"pyzy: worker lost"


def lie(w, converse, routes, end="exit 0", out=b"OK\n", recovers=True):
    """A fake zygote converses with one launcher."""
    w.prime()
    zygote = w.zygote()
    fake = wire.Fake(w)
    once = w.script("lied.py", "open('ran', 'a').write('x')\nprint('OK')\n")
    errors = os.open(w.work + "/errors", os.O_WRONLY | os.O_CREAT)
    child = w.start(once, fds={2: errors})
    os.close(errors)
    s, _, fds = fake.request()
    for fd in fds:  # the caller's streams among them
        os.close(fd)
    try:
        converse(s)
        s.close()
        child.finish(8)
    finally:
        s.close()
        fake.close()
    if os.path.exists(fake.path) and os.lstat(fake.path).st_ino == fake.inode:
        os.unlink(fake.path)
    w.expect(child, routes, out, end)
    equal(w.text("ran"), "x" if out else "", "runs of the script")
    if not out and end == "exit 125":
        check(LOST.decode() in w.text("errors"), "a word on standard error", w.text("errors"))
    proc.kill(zygote, signal.SIGTERM)
    proc.wait_end(zygote, "the real zygote")
    if recovers:
        w.prime()


def says(data, *fds):
    def converse(s):
        wire.send(s, data, list(fds))
        select.select([s], [], [], 2)
    return converse


@test("lies/nothing")
def lies_nothing(w):
    lie(w, lambda s: select.select([s], [], [], 8), "silent")


@test("lies/hangs-up")
def lies_hangs_up(w):
    lie(w, lambda s: None, "closed")


for name, data in (("garbage", b"\xff" * 8), ("too-long", wire.WELL * 20), ("too-short", b"\x01"), ("other-version", wire.answer(1, 1, version=9)), ("unknown-kind", wire.answer(77)),
                   ("unknown-reason", wire.answer(2, 9999)), ("no-worker", wire.answer(1, 0)), ("bad-flag", wire.answer(1, 5, 2))):
    test("lies/" + name)(lambda w, data=data: lie(w, says(data), ("closed", "refused") if len(data) > 8 else "closed"))
for name, data in (("ready-without-handle", wire.answer(1, 1)), ("ended-first", wire.answer(5, 0)), ("killed-first", wire.answer(6, 9)), ("stopped-first", wire.answer(3, 20)), ("continued-first", wire.answer(4)),
                   ("well-first", wire.WELL), ("lost-first", wire.answer(7)), ("refused", wire.answer(2, 76))):
    test("lies/" + name)(lambda w, data=data: lie(w, says(data), "refused"))
test("lies/refused-for-a-mismatch")(lambda w: lie(w, says(wire.answer(2, 77)), "mismatch"))


def ready_then(*answers):
    """Ready with a handle, the commit byte, and then these."""
    def converse(s):
        victim = os.fork()
        if victim == 0:
            signal.pause()
        handle = os.pidfd_open(victim)
        try:
            wire.send(s, wire.answer(1, victim), [handle])
            equal(s.recv(100), wire.COMMIT, "the commit byte")
            equal(s.recv(100), wire.RELEASED, "the descriptors are closed")
            for data in answers:
                try:
                    wire.send(s, data)
                except (BrokenPipeError, ConnectionResetError):
                    break  # it has heard enough
        finally:
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            os.close(handle)
    return converse


for name, answers, end in (("closes-after-commit", (), "exit 125"), ("lost-after-commit", (wire.answer(7),), "exit 125"), ("garbage-after-commit", (b"\xff" * 8,), "exit 125"),
                           ("short-after-commit", (b"\x01",), "exit 125"), ("exit-7", (wire.answer(5, 7),), "exit 7"), ("killed-by-9", (wire.answer(6, 9),), "signal KILL"),
                           ("signal-65", (wire.answer(6, 65),), "exit 125"), ("well-and-exit", (wire.WELL, wire.answer(5, 3)), "exit 3"), ("ready-again-and-exit", (wire.answer(1, 1), wire.answer(5, 4)), "exit 4"),
                           ("continued-and-exit", (wire.answer(4), wire.answer(5, 5)), "exit 5"), ("two-endings", (wire.answer(5, 6), wire.answer(5, 9)), "exit 6")):
    test("lies/" + name)(lambda w, answers=answers, end=end: lie(w, ready_then(*answers), "warm", end, b""))
