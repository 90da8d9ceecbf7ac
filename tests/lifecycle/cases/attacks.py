"""Zygotes that are killed, stopped, starved, and robbed of their socket."""

import os
import shutil
import signal
import time

from harness import proc, wire
from harness.proc import until
from harness.test import check, equal, test

LOST = b"pyzy: worker lost"
# Notes that it runs, says so, waits for a line.
ONCE = "import sys\nopen('ran', 'a').write('x')\nprint('ready', flush=True)\nprint(sys.stdin.readline().strip(), flush=True)\n"


@test("killed/idle-zygote", each=True)
def killed_idle(w):
    w.debris = True
    w.prime()
    for _ in range(3):
        proc.kill(w.zygote())
        until(lambda: not w.zygotes(), "the zygote's end")
        w.expect(w.call(), "no-zygote")
        w.settle()
        w.warm()
    w.zygote()


@test("killed/during-a-run", each=True)
def killed_during_run(w):
    w.debris = True
    w.prime()
    # A file: on a pipe the last word may come when its reader has already seen the end.
    errors = os.open(w.work + "/errors", os.O_WRONLY | os.O_CREAT)
    child = w.start(w.script("once.py", ONCE), fds={0: "pipe", 2: errors})
    os.close(errors)
    child.expect(b"ready\n")
    worker = w.worker(child)
    proc.kill(w.zygote())
    proc.wait_end(worker, "the worker")
    equal(child.finish().end, "exit 125", "ending")
    check(LOST.decode() in w.text("errors"), "a word on standard error", w.text("errors"))
    equal(w.text("ran"), "x", "runs of the script")
    check(any(line.get("outcome") == "lost" for line in w.routes(child)), "outcome=lost in the log", w.routes(child))
    w.expect(w.call(), "no-zygote")
    w.settle()
    w.warm()


@test("killed/during-a-run-without-standard-error")
def killed_no_stderr(w):
    w.debris = True
    w.prime()
    child = w.start(w.script("once.py", ONCE), fds={0: "pipe", 2: None})
    child.expect(b"ready\n")
    proc.kill(w.zygote())
    equal(child.finish().end, "exit 125", "ending")
    equal(child.out, b"", "output after the loss")


@test("killed/children-of-the-worker-survive-as-cold")
def killed_children(w):
    """What the script left behind is not the zygote's."""
    w.prime()
    daemon = w.script("daemon.py", "import os\nr, wr = os.pipe()\npid = os.fork()\nif pid == 0:\n    os.setsid()\n    os.close(r)\n    os.write(wr, b'x')\n    os.close(wr)\n    os.close(1)\n    os.close(2)\n    os.read(0, 1)\n    os._exit(0)\nos.read(r, 1)\nprint(pid)\n")
    child = w.start(daemon, fds={0: "pipe"})
    pid = int(child.expect(rb"(\d+)\n").group(1))
    equal(child.ended(), "exit 0", "ending")
    equal(w.route(child), "warm", "route")
    check(not proc.gone(pid), "the child of the script lives on")
    proc.kill(w.pages()[0].pid, signal.SIGTERM)
    until(lambda: not w.pages(), "the zygote's end")
    check(not proc.gone(pid), "the child of the script outlives the zygote")
    child.close(0)
    proc.wait_end(pid, "the child of the script")


@test("asked-to-leave/not-under-a-running-worker", each=True)
def terminated_during_run(w):
    w.prime()
    child = w.start(w.script("once.py", ONCE), fds={0: "pipe"})
    child.expect(b"ready\n")
    zygote = w.zygotes()[0]
    proc.kill(zygote, signal.SIGTERM)
    until(lambda: not os.path.exists(w.runtime + "/" + os.path.basename(w.runtime)) and not any(n.endswith(".sock") for n in os.listdir(w.runtime)), "the socket to go")
    equal(w.page(zygote).state, "leaving", "state")
    w.expect(w.call(), "no-zygote")  # another may start meanwhile
    child.send(b"hello\n")
    w.expect(child.finish(), "warm", b"hello\n")
    proc.wait_end(zygote, "the zygote that was asked to leave")
    w.settle()
    w.warm()
    w.zygote()


@test("stopped/caller-falls-back-and-another-takes-over", each=True)
def stopped(w):
    w.prime()
    old = w.zygote()
    proc.kill(old, signal.SIGSTOP)
    until(lambda: proc.state(old) == "T", "the stop")
    begun = time.monotonic()
    child = w.start()
    child.ended()
    took = time.monotonic() - begun
    equal(w.route(child), "silent", "route")
    check(took < 1.5, "a fallback within a second", took)
    until(lambda: [p for p in w.pages() if p.pid != old and p.state == "ready"], "a healthy zygote")
    new = [p.pid for p in w.pages() if p.pid != old][0]
    w.warm()
    proc.kill(old, signal.SIGCONT)
    proc.wait_end(old, "the old zygote once it goes on")
    equal(w.zygote(), new, "zygote")
    w.warm()
    equal([n for n in w.leftovers() if n.endswith(".sock")].__len__(), 1, "sockets")


@test("stopped/does-not-hold-the-caller's-pipes")
def stopped_pipes(w):
    """The request, with the caller's descriptors, lies in the stopped zygote's queue; `x=$(python3 ok.py)` must end."""
    w.prime()
    old = w.zygote()
    proc.kill(old, signal.SIGSTOP)
    until(lambda: proc.state(old) == "T", "the stop")
    child = w.start()
    try:
        child.finish(5)
    finally:
        proc.kill(old, signal.SIGCONT)
    w.expect(child, "silent")


@test("stopped/caller-gone-meanwhile")
def stopped_caller_killed(w):
    """A launcher that waits for a stopped zygote is killed; the script must not run later."""
    w.prime()
    old = w.zygote()
    script = w.script("once.py", ONCE)
    proc.kill(old, signal.SIGSTOP)
    child = w.start(script, fds={0: "pipe"})
    until(lambda: int(proc.status(child.pid, "SigBlk") or "0", 16) & 1, "the launcher's wait")
    child.kill(signal.SIGKILL)
    child.ended()
    proc.kill(old, signal.SIGCONT)
    wire.is_well(w.socket())  # it has dealt with everything before
    equal(w.text("ran"), "", "runs of the script")
    w.zygote()
    w.warm()


@test("stopped/during-a-run")
def stopped_during_run(w):
    """Nobody hangs: the launcher ends soon after its worker, whatever it can say of it."""
    w.prime()
    child = w.start(w.script("once.py", ONCE), fds={0: "pipe"})
    child.expect(b"ready\n")
    worker = w.worker(child)
    zygote = w.zygotes()[0]
    proc.kill(zygote, signal.SIGSTOP)
    child.send(b"bye\n")
    until(lambda: proc.gone(worker), "the worker's end")
    end = child.ended(6)
    check(end in ("exit 0", "exit 125"), "ending", end)
    proc.kill(zygote, signal.SIGCONT)
    equal(w.text("ran"), "x", "runs of the script")


@test("stopped/full-queue")
def full_queue(w):
    w.prime()
    old = w.zygote()
    path = w.socket()
    proc.kill(old, signal.SIGSTOP)
    held = []
    try:
        while True:
            held.append(wire.connect(path, wait=False))
            check(len(held) < 10000, "the queue has an end")
    except BlockingIOError:
        pass
    begun = time.monotonic()
    w.expect(w.call(), ("busy", "silent"))
    check(time.monotonic() - begun < 1.5, "a quick fallback")
    try:
        w.prime(seconds=6)
    finally:
        for s in held:
            s.close()
        proc.kill(old, signal.SIGCONT)
    w.settle()
    w.warm()


def replace(w, make, reasons):
    """Something else lies where the socket was."""
    w.prime()
    path = w.socket()
    os.unlink(path)
    make(path)
    before = os.lstat(path)
    for _ in range(2):
        w.expect(w.call(), reasons)
        w.settle()
    after = os.lstat(path)
    equal((after.st_ino, after.st_size, after.st_mode), (before.st_ino, before.st_size, before.st_mode), "what lay there")
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    else:
        os.unlink(path)
    w.expect(w.call(), "no-zygote")
    w.settle()
    w.warm()


def write(path):
    with open(path, "w", encoding="ascii") as f:
        f.write("precious")


@test("socket/replaced-by-a-file")
def replaced_by_file(w):
    replace(w, write, ("unsafe-socket",))


@test("socket/replaced-by-a-directory")
def replaced_by_directory(w):
    replace(w, os.mkdir, ("unsafe-socket",))


@test("socket/replaced-by-a-link")
def replaced_by_link(w):
    victim = w.script("victim", "precious")
    replace(w, lambda p: os.symlink(victim, p), ("unsafe-socket",))
    equal(w.text("victim"), "precious", "the file behind the link")


@test("socket/replaced-by-a-link-to-a-socket")
def replaced_by_link_to_socket(w):
    w.prime()
    path = w.socket()
    os.rename(path, w.root + "/other.sock")
    os.symlink(w.root + "/other.sock", path)
    w.expect(w.call(), "unsafe-socket")
    os.unlink(path)
    os.rename(w.root + "/other.sock", path)
    w.warm()


@test("socket/dead-file-and-old-table")
def stale_files(w):
    """Files of a zygote that was killed, and of one that never wrote all of them."""
    w.debris = True
    w.prime()
    proc.kill(w.zygote())
    names = sorted(os.listdir(w.runtime))
    fresh = [n for n in names if n.endswith(".fresh")][0]
    for content in (b"", b"pyzyfrs1", b"\xff" * 3000, None):
        path = w.runtime + "/" + fresh
        if content is None:
            os.unlink(path)
        else:
            with open(path, "wb") as f:
                f.write(content)
        w.expect(w.call(), "no-zygote")
        w.settle()
        w.warm()
        proc.kill(w.zygote())
    open(w.runtime + "/999999.zygote.new", "w").close()
    open(w.runtime + "/abc.sock.999999.new", "w").close()
    w.prime()
    equal([n for n in os.listdir(w.runtime) if n.endswith(".new")], [], "temporary files of the dead")


@test("socket/removed", each=True)
def removed(w):
    """Somebody removes the socket: a new zygote takes over, and in the end there is one."""
    w.prime()
    old = w.zygote()
    os.unlink(w.socket())
    w.expect(w.call(), "no-zygote")
    w.settle()
    w.warm()
    proc.kill(old, signal.SIGTERM)
    proc.wait_end(old, "the zygote without a socket")
    w.warm()
    w.zygote()


@test("runtime/removed-while-a-zygote-serves")
def runtime_removed(w):
    w.prime()
    old = w.zygote()
    shutil.rmtree(w.runtime)
    w.expect(w.call(), "no-zygote")
    until(lambda: [p for p in w.pages() if p.state == "ready"], "a new zygote")
    w.warm()
    proc.kill(old, signal.SIGTERM)
    proc.wait_end(old, "the old zygote")
    w.warm()
