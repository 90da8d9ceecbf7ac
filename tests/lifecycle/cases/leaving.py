"""Versions side by side, upgrades, idle zygotes, successors."""

import os
import select
import shutil
import signal

from harness import proc, wire
from harness.proc import until
from harness.test import check, equal, test


@test("versions/two-at-once", each=True)
def two_versions(w):
    """Two installations, one runtime directory: each its own zygote, and they leave each other alone."""
    w.prime()
    first = w.zygote()
    shims = w.shims
    w.shims = wire.copy_stage(w, "other") + "/shims"
    w.expect(w.call(), "no-zygote")
    w.settle()
    w.warm()
    equal(len(w.pages()), 2, "zygotes")
    for _ in range(3):
        w.shims, shims = shims, w.shims
        w.warm()
    check(first in w.zygotes(), "the first is still there")


@test("versions/upgrade-under-a-running-zygote", each=True)
def upgrade(w):
    stage = wire.copy_stage(w, "stage")
    w.shims = stage + "/shims"
    w.prime()
    child = w.start(w.script("wait.py", "print('ready', flush=True)\nprint(input())\n"), fds={0: "pipe"})
    child.expect(b"ready\n")
    for name in ("libpyzy_zygote.so", "launcher", "pyzy"):
        path = stage + "/lib/pyzy/" + name
        shutil.copy2(path, path + ".new")
        os.rename(path + ".new", path)
    w.expect(w.call(), "no-zygote")
    w.settle()
    w.warm()
    child.send(b"hello\n")
    w.expect(child.finish(), "warm", b"hello\n")
    shutil.rmtree(stage + "/lib")
    gone = w.call()
    check(gone.end != "exit 0" or gone.out == b"OK\n", "an uninstalled launcher", gone.end, gone.err)


# -- leaving by itself

@test("idle/leaves-and-takes-everything", each=True)
def idle(w):
    w.changes = {"PYZY_MAX_IDLE_SECS": "1"}
    w.prime()
    zygote = w.zygote()
    proc.wait_end(zygote, "an idle zygote", 5)
    until(lambda: not w.zygotes(), "nobody")
    equal(w.leftovers(), [], "files")
    w.expect(w.call(), "no-zygote")
    w.settle()
    w.warm()


@test("idle/not-under-a-running-worker")
def idle_running(w):
    w.changes = {"PYZY_MAX_IDLE_SECS": "1"}
    w.prime()
    child = w.start(w.script("wait.py", "print('ready', flush=True)\nprint(input())\n"), fds={0: "pipe"})
    child.expect(b"ready\n")
    zygote = w.zygote()
    handle = os.pidfd_open(zygote)
    check(not select.select([handle], [], [], 2.5)[0], "the zygote stays while its worker runs")
    w.warm()
    child.send(b"hello\n")
    w.expect(child.finish(), "warm", b"hello\n")
    proc.wait_handle(handle, "the zygote when all is done", 5)
    os.close(handle)


@test("idle/a-status-question-is-no-use")
def idle_status(w):
    """Connections that run nothing do not keep a zygote."""
    w.changes = {"PYZY_MAX_IDLE_SECS": "1"}
    w.prime()
    zygote = w.zygote()
    with wire.connect(w.socket()) as s:
        wire.is_well(w.socket())
        proc.wait_end(zygote, "an idle zygote", 5)
        equal(s.recv(10), b"", "the idle connection's end")


@test("idle/strange-values")
def idle_strange(w):
    for value in ("", "abc", "-1", "99999999999999999999", " 300 ", "1e3"):
        w.changes = {"PYZY_MAX_IDLE_SECS": value}
        w.prime()
        w.stop_zygotes()


@test("successor/keeps-its-socket", each=True)
def successor(w):
    """The old zygote leaves late, by its own idle limit: what its successor made stays."""
    w.prime(env={"PYZY_MAX_IDLE_SECS": "1"})
    old = w.zygote()
    proc.kill(old, signal.SIGSTOP)
    until(lambda: proc.state(old) == "T", "the stop")
    child = w.start()
    child.ended()
    new = until(lambda: [p.pid for p in w.pages() if p.pid != old and p.state == "ready"], "a successor")[0]
    files = {n: os.lstat(w.runtime + "/" + n).st_ino for n in os.listdir(w.runtime) if n.endswith((".sock", ".fresh"))}
    proc.kill(old, signal.SIGCONT)
    proc.wait_end(old, "the old zygote")
    w.settle()
    equal({n: os.lstat(w.runtime + "/" + n).st_ino for n in files}, files, "socket and table of the successor")
    equal(w.zygote(), new, "zygote")
    w.warm()
