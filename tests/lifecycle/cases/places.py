"""Where sockets go: hostile, missing, full and foreign directories, and tiny limits."""

import os
import resource
import shutil
import signal
import stat

from harness import proc, wire
from harness.test import Failure, Skip, check, equal, test


def in_cache(w):
    """XDG_RUNTIME_DIR is no use: the cache is the place."""
    w.runtime = w.home + "/.cache/pyzy/run"
    w.prime()
    w.zygote()
    equal(stat.S_IMODE(os.lstat(w.runtime).st_mode), 0o700, "mode of the runtime directory")
    check(not os.path.lexists(w.base + "/pyzy") or not os.listdir(w.base + "/pyzy"), "nothing in the directory that is no use")


@test("runtime/made-private")
def made_private(w):
    def before():
        os.umask(0)
    w.expect(w.call(before=before), "no-zygote")
    w.prime(before=before)
    equal(stat.S_IMODE(os.lstat(w.runtime).st_mode), 0o700, "mode of the directory")
    for name in os.listdir(w.runtime):
        equal(stat.S_IMODE(os.lstat(w.runtime + "/" + name).st_mode) & 0o077, 0, "mode of " + name)


for engine in ("restore", "fork"):
    @test("runtime/cleared/" + engine, seconds=60)
    def cleared(w, engine=engine):
        """Who takes the directory away ends what nobody can find any more; the next run begins anew."""
        w.engine = engine
        w.prime()
        zygote = w.zygote()
        shutil.rmtree(w.runtime)
        proc.wait_end(zygote, "a zygote that nobody can find", 45.0)
        w.prime()


@test("runtime/base-open-to-others")
def base_open(w):
    os.chmod(w.base, 0o755)
    in_cache(w)


@test("runtime/base-is-a-link")
def base_link(w):
    os.rename(w.base, w.root + "/elsewhere")
    os.symlink(w.root + "/elsewhere", w.base)
    in_cache(w)


@test("runtime/base-of-another-user", "root")
def base_foreign(w):
    os.chown(w.base, 65534, 65534)
    in_cache(w)
    equal(os.listdir(w.base), [], "the foreign directory")


@test("runtime/base-missing")
def base_missing(w):
    os.rmdir(w.base)
    in_cache(w)
    check(not os.path.lexists(w.base), "it is not made")


@test("runtime/base-is-a-file")
def base_file(w):
    os.rmdir(w.base)
    w.script("../run", "a file")
    w.runtime = w.home + "/.cache/pyzy/run"
    w.prime()


@test("runtime/base-relative")
def base_relative(w):
    w.changes = {"XDG_RUNTIME_DIR": "run"}
    os.mkdir(w.work + "/run", 0o700)
    in_cache(w)
    equal(os.listdir(w.work + "/run"), [], "the relative directory")


@test("runtime/cache-home")
def cache_home(w):
    w.changes = {"XDG_RUNTIME_DIR": None, "XDG_CACHE_HOME": w.root + "/cache/below"}
    os.mkdir(w.root + "/cache")
    w.runtime = w.root + "/cache/below/pyzy/run"
    w.prime()
    w.zygote()


@test("runtime/ours-open-to-others")
def ours_open(w):
    os.mkdir(w.runtime, 0o755)
    w.expect(w.call(), "unsafe-directory")
    equal(os.listdir(w.runtime), [], "the directory")
    os.chmod(w.runtime, 0o700)
    w.prime()


@test("runtime/ours-is-a-link")
def ours_link(w):
    os.mkdir(w.root + "/elsewhere", 0o700)
    os.symlink(w.root + "/elsewhere", w.runtime)
    w.expect(w.call(), ("unsafe-directory", "no-runtime-directory"))
    equal(os.listdir(w.root + "/elsewhere"), [], "the directory behind the link")


@test("runtime/ours-is-a-file")
def ours_file(w):
    with open(w.runtime, "w", encoding="ascii") as f:
        f.write("precious")
    w.expect(w.call(), ("unsafe-directory", "no-runtime-directory"))
    equal(w.text(w.runtime), "precious", "the file")
    os.unlink(w.runtime)


@test("runtime/ours-of-another-user", "root")
def ours_foreign(w):
    os.mkdir(w.runtime, 0o700)
    os.chown(w.runtime, 65534, 65534)
    w.expect(w.call(), "unsafe-directory")
    equal(os.listdir(w.runtime), [], "the directory")


@test("runtime/no-home-and-no-base")
def no_home(w):
    for changes in ({"HOME": None}, {"HOME": ""}, {"HOME": "/nonexistent"}):
        w.expect(w.call(env={"XDG_RUNTIME_DIR": None, **changes}), ("no-runtime-directory", "relative-environment"))
    w.settle()
    equal(w.zygotes(), [], "zygotes")


@test("runtime/no-home-but-a-base")
def no_home_but_base(w):
    w.changes = {"HOME": None}
    w.prime()
    w.changes = {"HOME": "/nonexistent"}
    w.prime()


@test("runtime/empty-environment")
def empty_environment(w):
    only = {name: None for name in w.env()}
    log = w.root + "/log/empty"
    child = w.call(env={**only, "PATH": w.shims + ":" + w.interpreter.bin + ":/usr/bin:/bin"})
    equal((child.out, child.end), (b"OK\n", "exit 0"), "run")
    child = w.start(wrap=("env", "-i"), program=w.shims + "/python3")
    child.finish()
    equal(child.out, b"OK\n", "run without any environment")
    check(not os.path.exists(log), "no log")


@test("runtime/another-user's-home-with-root", "root")
def foreign_home(w):
    home = w.root + "/theirs"
    os.mkdir(home, 0o755)
    os.chown(home, 65534, 65534)
    for changes in ({"XDG_RUNTIME_DIR": None}, {}):
        w.expect(w.call(env={"HOME": home, **changes}), ("no-runtime-directory", "no-zygote"))
        w.settle()
        w.expect(w.call(env={"HOME": home, **changes}), ("no-runtime-directory", "warm"))
    equal(os.listdir(home), [], "the other user's home")
    cache = home + "/.cache"
    os.mkdir(cache)
    os.chown(cache, 65534, 65534)
    w.expect(w.call(env={"HOME": home, "XDG_CACHE_HOME": cache, "XDG_RUNTIME_DIR": None}), "no-runtime-directory")
    equal(os.listdir(cache), [], "the other user's cache")


@test("runtime/deep-path", each=True)
def deep(w):
    w.base = w.root + "/" + "/".join("d%02d" % i * 5 for i in range(14))
    os.makedirs(w.base)
    os.chmod(w.base, 0o700)
    w.runtime = w.base + "/pyzy"
    check(len(w.runtime) > 200, "a long path")
    w.prime()
    w.warm()
    wire.is_well(w.socket())
    proc.kill(w.zygote(), signal.SIGSTOP)
    child = w.start()
    child.ended()
    equal(w.route(child), "silent", "route")


@test("runtime/strange-path")
def strange(w):
    w.base = w.root + "/a b'\"$x\n\\é"
    os.mkdir(w.base, 0o700)
    w.runtime = w.base + "/pyzy"
    w.prime()
    w.zygote()


def in_mount_namespace(w, mount, calls):
    """Several calls in one shell with something mounted over the runtime directory."""
    lines = "\n".join("PYZY_LOG=%s/log/m%d python3 %s || exit 9; echo done; read go" % (w.root, i, w.ok) for i in range(calls))
    child = w.start("-c", "%s || exit 8\n%s" % (mount, lines), program="sh", wrap=("unshare", "-m", "--propagation", "private"), fds={0: "pipe"})
    for _ in range(calls):
        try:
            child.expect(b"^OK\ndone\n")
        except Failure:
            if child.ended(5) == "exit 8":
                raise Skip("cannot mount here: %r" % child.err) from None
            raise
        w.settle()
        child.send(b"\n")
    child.finish()
    equal((child.end, child.err), ("exit 0", b""), "runs")
    found = []
    for i in range(calls):
        child.log = "%s/log/m%d" % (w.root, i)
        found.append(w.route(child))
    return found


@test("runtime/read-only-file-system", "root", "unshare")
def read_only(w):
    got = in_mount_namespace(w, "mount -t tmpfs -o ro,mode=700 tmpfs '%s'" % w.base, 3)
    equal(got, ["no-runtime-directory"] * 3, "routes")
    equal(w.zygotes(), [], "zygotes")


@test("runtime/read-only-with-our-directory", "root", "unshare")
def read_only_ours(w):
    mount = "mount -t tmpfs -o mode=700 tmpfs '{0}' && mkdir -m 700 '{0}/pyzy' && mount -o remount,ro '{0}'".format(w.base)
    got = in_mount_namespace(w, mount, 3)
    check(set(got) <= {"no-zygote", "zygote-failed"}, "routes", got)
    equal(w.zygotes(), [], "zygotes")


@test("runtime/full-disk", "root", "unshare")
def full(w):
    mount = "mount -t tmpfs -o mode=700,size=64k tmpfs '{0}' && mkdir -m 700 '{0}/pyzy' && (cat /dev/zero > '{0}/fill' 2>/dev/null; true)".format(w.base)
    got = in_mount_namespace(w, mount, 4)
    check(set(got) <= {"no-zygote", "zygote-failed"}, "routes", got)
    equal(w.zygotes(), [], "zygotes")


@test("runtime/full-disk-behind-an-image", "root", "unshare")
def full_behind(w):
    """Once an image is there nothing of it needs room any more: reading a hole of a full tmpfs would be a SIGBUS."""
    w.engine = "restore"
    work = w.script("work.py", "import gc, json, argparse, decimal\nx = compile('x = [1]\\n' * 20000, 'x', 'exec')\ngc.collect()\nprint('OK')\n")
    fill = "for i in $(seq 200); do python3 \"$1\" || exit 1; ls \"$XDG_RUNTIME_DIR\"/pyzy/*.image >/dev/null 2>&1 && break; sleep 0.05; done; cat /dev/zero > \"$XDG_RUNTIME_DIR\"/fill 2>/dev/null; "
    line = "mount -t tmpfs -o mode=700,size=200m tmpfs \"$XDG_RUNTIME_DIR\" || exit 8; " + fill + "export PYZY_LOG=\"$2\"; python3 \"$3\"; e=$?; rm \"$XDG_RUNTIME_DIR\"/fill; \"$4\" stop >/dev/null; exit $e"
    log = w.work + "/log"
    child = w.call("-c", line, "sh", w.ok, log, work, w.stage + "/bin/pyzy", program="sh", wrap=("unshare", "-m", "--propagation", "private"), seconds=60)
    if child.end == "exit 8":
        raise Skip("cannot mount here")
    equal((child.end, child.out.splitlines()[-1:], child.err), ("exit 0", [b"OK"], b""), "a run on a full disk")
    check("route=warm engine=restore" in w.text(log), "a restored run", w.text(log))


@test("runtime/no-inodes-left", "root", "unshare")
def no_inodes(w):
    mount = "mount -t tmpfs -o mode=700,nr_inodes=3 tmpfs '{0}' && mkdir -m 700 '{0}/pyzy' && touch '{0}/x'".format(w.base)
    got = in_mount_namespace(w, mount, 3)
    check(set(got) <= {"no-zygote", "zygote-failed"}, "routes", got)
    equal(w.zygotes(), [], "zygotes")


@test("limits/few-descriptors", each=True)
def few_descriptors(w):
    """`ulimit -n` 3 to 12, soft and hard: what the real interpreter does, ours does, with and without a zygote."""
    for hard in (False, True):
        for number in range(3, 13):
            def before(number=number, hard=hard):
                resource.setrlimit(resource.RLIMIT_NOFILE, (number, number if hard else resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            real = w.call(env={"PATH": w.interpreter.bin + ":/usr/bin:/bin"}, before=before)
            for turn in range(3 if number % 3 == 0 else 1):
                ours = w.call(before=before)
                w.settle()
                wanted = (real.end, real.out, real.err.replace(w.interpreter.path.encode(), b"python3"))
                equal((ours.end, ours.out, ours.err.replace(w.interpreter.path.encode(), b"python3")), wanted, "ulimit -n %d, turn %d (%s)" % (number, turn, w.route(ours)))
