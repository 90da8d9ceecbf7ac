"""PYZY_SOCKET, absolute to hostile."""

import os
import signal
import socket
import stat

from harness import proc, wire
from harness.test import check, equal, test


@test("named-socket/absolute", each=True)
def named_absolute(w):
    path = w.work + "/my.sock"
    w.changes = {"PYZY_SOCKET": path}
    w.prime()
    zygote = w.zygote()
    check(stat.S_ISSOCK(os.lstat(path).st_mode), "a socket at its place")
    equal(stat.S_IMODE(os.lstat(path).st_mode) & 0o077, 0, "its mode")
    wire.is_well(path)
    proc.kill(zygote, signal.SIGTERM)
    proc.wait_end(zygote, "the zygote")
    check(not os.path.lexists(path), "it is gone with the zygote")


@test("named-socket/relative")
def named_relative(w):
    w.changes = {"PYZY_SOCKET": "my.sock"}
    w.prime()
    check(os.path.exists(w.work + "/my.sock"), "a socket in the caller's directory")
    zygote = w.zygote()
    os.mkdir(w.work + "/sub")
    script = w.script("sub/x.py", "print('OK')\n")
    w.expect(w.call(script, cwd=w.work + "/sub"), "no-zygote")
    w.settle()
    w.warm(script, cwd=w.work + "/sub")
    w.warm()
    check(zygote in w.zygotes(), "each directory has its own")


@test("named-socket/long-path")
def named_long(w):
    directory = w.work + "/" + "/".join("e%02d" % i * 6 for i in range(12))
    os.makedirs(directory)
    w.changes = {"PYZY_SOCKET": directory + "/" + "s" * 60}
    w.prime()
    check(os.path.exists(w.changes["PYZY_SOCKET"]), "a socket at its place")


@test("named-socket/name-of-255-bytes")
def named_255(w):
    """The temporary name beside it would be too long, and so is /proc/self/fd/N/NAME for sun_path."""
    w.changes = {"PYZY_SOCKET": w.work + "/" + "s" * 255}
    for _ in range(3):
        w.expect(w.call(), ("no-zygote", "zygote-failed", "system", "unsafe-socket"))
        w.settle()
    equal(w.zygotes(), [], "zygotes")
    equal(w.leftovers(), [], "files")


@test("named-socket/missing-directory")
def named_missing(w):
    w.changes = {"PYZY_SOCKET": w.work + "/no/where/x.sock"}
    w.expect(w.call(), "unsafe-socket")
    check(not os.path.exists(w.work + "/no"), "nothing is made")


def survives(w, path, reasons=("unsafe-socket",)):
    before = os.lstat(path)
    for _ in range(3):
        w.expect(w.call(env={"PYZY_SOCKET": path}), reasons)
        w.settle()
    after = os.lstat(path)
    equal((after.st_ino, after.st_mode, after.st_size, after.st_mtime_ns), (before.st_ino, before.st_mode, before.st_size, before.st_mtime_ns), "what lies there")
    equal(w.zygotes(), [], "zygotes")


@test("named-socket/a-regular-file")
def named_file(w):
    path = w.script("precious", "data")
    survives(w, path)
    equal(w.text(path), "data", "the file")


@test("named-socket/the-script-itself")
def named_script(w):
    survives(w, w.ok)


@test("named-socket/a-directory")
def named_directory(w):
    os.mkdir(w.work + "/d")
    survives(w, w.work + "/d")
    survives(w, w.work + "/d/")


@test("named-socket/a-fifo-a-device-a-link")
def named_others(w):
    os.mkfifo(w.work + "/fifo")
    survives(w, w.work + "/fifo")
    survives(w, "/dev/null")
    os.symlink(w.work + "/nowhere", w.work + "/link")
    survives(w, w.work + "/link")
    check(not os.path.lexists(w.work + "/nowhere"), "nothing is made behind the link")
    for value in (".", "/", "..", "x/"):
        w.expect(w.call(env={"PYZY_SOCKET": value}), "unsafe-socket")


@test("named-socket/another-program's")
def named_foreign_program(w):
    """An agent's or a display's socket: never connected away, never replaced, its program never signalled."""
    path = w.work + "/agent"
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        asked = []
        signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
        with socket.socket(socket.AF_UNIX, kind) as agent:
            agent.bind(path)
            if kind != socket.SOCK_DGRAM:
                agent.listen(20)
            before = os.lstat(path).st_ino
            for _ in range(2):
                w.expect(w.call(env={"PYZY_SOCKET": path}, seconds=12), ("unsafe-socket", "no-zygote", "silent", "closed", "mismatch"))
                w.settle()
            equal(os.lstat(path).st_ino, before, "the socket of a %r program" % kind)
            equal(asked, [], "signals to that program")
        os.unlink(path)


@test("named-socket/open-directory")
def named_open(w):
    os.mkdir(w.work + "/open")
    os.chmod(w.work + "/open", 0o777)
    w.expect(w.call(env={"PYZY_SOCKET": w.work + "/open/x.sock"}), "unsafe-socket")
    os.chmod(w.work + "/open", 0o775)
    w.expect(w.call(env={"PYZY_SOCKET": w.work + "/open/x.sock"}), "unsafe-socket")
    equal(os.listdir(w.work + "/open"), [], "the open directory")
    os.chmod(w.work + "/open", 0o1777)
    w.prime(env={"PYZY_SOCKET": w.work + "/open/x.sock"})


@test("named-socket/directory-of-another-user", "root")
def named_foreign_directory(w):
    os.mkdir(w.work + "/theirs")
    os.chown(w.work + "/theirs", 65534, 65534)
    w.expect(w.call(env={"PYZY_SOCKET": w.work + "/theirs/x.sock"}), "unsafe-socket")
    equal(os.listdir(w.work + "/theirs"), [], "their directory")


@test("named-socket/second-identity", each=True)
def second_identity(w):
    """Two identities on one name: the second falls back and does not push the first out."""
    w.changes = {"PYZY_SOCKET": w.work + "/my.sock"}
    w.prime()
    zygote = w.zygote()
    show = w.script("show.py", "import sys\nprint(sys.flags.optimize)\n")
    got = []
    for _ in range(4):
        child = w.call("-O", show)
        w.expect(child, ("mismatch", "no-zygote"), b"1\n")
        got.append(w.route(child))
        w.settle()
        w.warm()
    equal(w.zygote(), zygote, "zygote (the second identity's routes: %r)" % got)
    check("mismatch" in got, "a reason that says so", got)
