"""Several users and one installation: nobody uses what is another's."""

import glob
import os
import signal
import stat

from harness import proc, wire
from harness.proc import until
from harness.test import Skip, check, equal, test


SYSTEM = "/usr/bin"
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


def for_everyone(w):
    """Use the system's interpreter, which other users can run; skip unless they can run pyzy too."""
    if not os.path.exists(SYSTEM + "/python3"):
        raise Skip("no system interpreter")
    w.interpreter.bin = SYSTEM
    path = w.stage
    while path != "/":
        if not os.stat(path).st_mode & stat.S_IXOTH:
            raise Skip("other users cannot enter '%s'" % path)
        path = os.path.dirname(path)
    os.chmod(w.root + "/log", 0o777)
    os.chmod(w.work, 0o777)


@test("other-users/their-socket-is-never-used", "root", "setpriv")
def other_user(w):
    """A zygote of another user listens where root looks, and the other way round."""
    for_everyone(w)
    os.mkdir(w.root + "/shared")
    os.chmod(w.root + "/shared", 0o1777)
    path = w.root + "/shared/x.sock"
    theirs = {"PYZY_SOCKET": path, "HOME": w.root + "/shared", "XDG_CACHE_HOME": w.root + "/theircache", "XDG_RUNTIME_DIR": None}
    os.mkdir(w.root + "/theircache", 0o700)
    os.chown(w.root + "/theircache", 65534, 65534)
    w.runtime = w.root + "/theircache/pyzy/run"
    w.prime(env=theirs, wrap=NOBODY)
    zygote = w.zygote()
    equal(os.lstat(path).st_uid, 65534, "owner of the socket")
    who = w.script("who.py", "import os\nprint(os.geteuid())\n")
    w.expect(w.call(who, env=theirs, wrap=NOBODY), "warm", b"65534\n")
    w.expect(w.call(who, env={"PYZY_SOCKET": path}), "unsafe-socket", b"0\n")
    with wire.connect(path) as s:
        try:
            wire.send(s, wire.ASK_STATUS)
            equal(s.recv(10), b"", "answer to another user (root)")
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed before we spoke
    proc.kill(zygote, signal.SIGTERM)
    proc.wait_end(zygote, "the zygote")
    w.runtime = w.base + "/pyzy"
    w.prime(env={"PYZY_SOCKET": path})
    w.expect(w.call(who, env=theirs, wrap=NOBODY), "unsafe-socket", b"65534\n")


@test("other-users/drop-privileges", "root", "setpriv")
def drop_privileges(w):
    """The same environment, another user: nothing of root's is used, and nothing of root's directory changes."""
    for_everyone(w)
    w.prime()
    who = w.script("who.py", "import os\nprint(os.geteuid(), os.getgroups())\n")
    before = sorted(os.listdir(w.runtime))
    w.expect(w.call(who, wrap=NOBODY), "no-runtime-directory", b"65534 []\n")
    equal(sorted(os.listdir(w.runtime)), before, "root's runtime directory")


@test("other-users/shared-prefix", "root", "setpriv")
def shared_prefix(w):
    """Two users, one installation: each has a zygote of its own."""
    for_everyone(w)
    base = w.root + "/run2"
    os.mkdir(base, 0o700)
    os.chown(base, 65534, 65534)
    w.prime()
    who = w.script("who.py", "import os\nprint(os.geteuid())\n")
    w.expect(w.call(who), "warm", b"0\n")
    first = w.zygote()
    theirs = {"XDG_RUNTIME_DIR": base, "HOME": "/nonexistent"}
    w.expect(w.call(who, env=theirs, wrap=NOBODY), "no-zygote", b"65534\n")
    until(lambda: glob.glob(base + "/pyzy/*.sock"), "their zygote")
    w.expect(w.call(who, env=theirs, wrap=NOBODY), "warm", b"65534\n")
    w.expect(w.call(who), "warm", b"0\n")
    check(first in w.zygotes(), "ours is still there")
    for path in glob.glob(base + "/pyzy/*"):
        equal(os.lstat(path).st_uid, 65534, "owner of " + path)
    for pid in w.zygotes():
        proc.kill(pid, signal.SIGTERM)
        proc.wait_end(pid, "zygote")
