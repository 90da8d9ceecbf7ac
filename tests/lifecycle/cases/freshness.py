"""Start-up files that change: the next call sees the new state, and the one after is warm again."""

import glob
import os
import shutil
import time

from harness.proc import until
from harness.test import Skip, check, equal, test

MARK = "import sys\nprint(getattr(sys, 'mark', 'none'))\n"


def follow(w, *states, args=(), **more):
    """Each state is an action and the output from then on; warm before and after each.

    Sources of different states differ in size: a .pyc is checked by size and whole seconds only.
    """
    script = w.script("mark.py", MARK)
    w.changes.update(more)
    for act, out in states:
        act()
        w.expect(w.call(*args, script), ("stale", "no-zygote", "warm"), out.encode() + b"\n")
        w.settle()
        w.prime(*args, script)
        for _ in range(2):
            w.expect(w.call(*args, script), "warm", out.encode() + b"\n")


def nothing():
    pass


def put(path, text):
    def act():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
    return act


def swap(path, text):
    """As an editor or pip does it: a new file, then rename."""
    def act():
        put(path + ".tmp", text)()
        os.rename(path + ".tmp", path)
    return act


def remove(path):
    return lambda: shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def user_site(w):
    return w.home + "/.local/lib/python%d.%d/site-packages" % w.interpreter.version[:2]


for name in ("sitecustomize", "usercustomize"):
    @test("fresh/%s-on-pythonpath" % name, each=True)
    def customize(w, name=name):
        site = w.work + "/site"
        os.mkdir(site)
        path = site + "/" + name + ".py"
        # (Debian's own sitecustomize comes first or not; ours is on PYTHONPATH and wins.)
        follow(w, (nothing, "none"), (put(path, "import sys\nsys.mark = 'one'\n"), "one"), (swap(path, "import sys\nsys.mark = 'second'\n"), "second"),
               (put(path, "import sys\nsys.mark = 'three and more'\n"), "three and more"), (remove(path), "none"), PYTHONPATH=site)

    @test("fresh/%s-in-the-user-site" % name, each=True)
    def customize_user(w, name=name):
        if name == "sitecustomize" and w.interpreter.path == "/usr/bin/python3":
            raise Skip("the system has a sitecustomize of its own, which comes first")
        path = user_site(w) + "/" + name + ".py"
        follow(w, (nothing, "none"), (put(path, "import sys\nsys.mark = 'one'\n"), "one"), (put(path, "import sys\nsys.mark = 'second'\n"), "second"), (remove(path), "none"))


@test("fresh/pth-in-the-user-site", each=True)
def pth(w):
    a, b = user_site(w) + "/a.pth", user_site(w) + "/b.pth"
    follow(w, (nothing, "none"), (put(a, "import sys; sys.mark = 'one'\n"), "one"), (put(b, "import sys; sys.mark += ' and b'\n"), "one and b"),
           (swap(a, "import sys; sys.mark = 'two'\n"), "two and b"), (remove(b), "two"), (remove(a), "none"), (remove(w.home + "/.local"), "none"))


@test("fresh/pth-that-extends-the-path", each=True)
def pth_path(w):
    library = w.work + "/library"
    os.mkdir(library)
    pth_file = user_site(w) + "/lib.pth"
    path = library + "/usercustomize.py"
    follow(w, (put(pth_file, library + "\n"), "none"), (put(path, "import sys; sys.mark = 'from the library'\n"), "from the library"), (remove(path), "none"), (put(path, "import sys; sys.mark = 2\n"), "2"), (remove(pth_file), "none"))


@test("fresh/a-module-that-startup-imports", each=True)
def imported(w):
    site = w.work + "/site"
    put(site + "/helper.py", "mark = 'one'\n")()
    put(site + "/package/__init__.py", "from .inner import mark\n")()
    put(site + "/package/inner.py", "mark = 'a'\n")()
    put(site + "/usercustomize.py", "import sys, helper, package\nsys.mark = helper.mark + package.mark\n")()
    follow(w, (nothing, "onea"), (swap(site + "/helper.py", "mark = 'second'\n"), "seconda"), (swap(site + "/package/inner.py", "mark = 'bb'\n"), "secondbb"),
           (put(site + "/package.py", "mark = 'shadow'\n"), "secondbb"), PYTHONPATH=site)


@test("fresh/a-module-that-hides-another", each=True)
def shadow(w):
    """A file that appears earlier on the path than the one that was found."""
    first, second = w.work + "/first", w.work + "/second"
    os.mkdir(first)
    put(second + "/usercustomize.py", "import sys\nsys.mark = 'second'\n")()
    follow(w, (nothing, "second"), (put(first + "/usercustomize.py", "import sys\nsys.mark = 'first'\n"), "first"), (remove(first + "/usercustomize.py"), "second"), PYTHONPATH=first + ":" + second)


for engine in ("restore", "fork"):
    @test("fresh/what-startup-has-not-asked-for/" + engine, each=True, seconds=60)
    def not_asked_for(w, engine=engine):
        """Runs stay warm whatever comes into a directory of PYTHONPATH, but for names that start-up looks for; and see it."""
        w.engine = engine
        lib = w.work + "/lib"
        os.mkdir(lib)
        w.changes["PYTHONPATH"] = "%s:%s/missing" % (lib, lib)
        w.prime()
        script = w.script("uses.py", "try:\n    import mm\n    print(mm.V)\nexcept ImportError:\n    print('none')\n")
        w.expect(w.call(script), "warm", b"none\n")
        for text in ("V = 1\n", "V = 22\n"):
            put(lib + "/mm.py", text)()
            put(lib + "/%d.txt" % len(text), "")()
            w.expect(w.call(script), "warm", text[4:].encode())
        remove(lib + "/mm.py")()
        w.expect(w.call(script), "warm", b"none\n")
        put(lib + "/sitecustomize.py", "import sys\nsys.stdout.write('')\n")()
        child = w.call(script)
        check(w.route(child) != "warm", "sitecustomize has not run")


@test("fresh/a-file-that-startup-reads", each=True)
def read_file(w):
    """Reading a file is either watched or makes start-up impure; never an old value."""
    site, data = w.work + "/site", w.work + "/data"
    put(site + "/usercustomize.py", "import sys\nsys.mark = open(%r).read()\n" % data)()
    script = w.script("mark.py", MARK)
    w.changes = {"PYTHONPATH": site}
    for value in ("one", "two", "three"):
        put(data, value)()
        for _ in range(3):
            child = w.call(script)
            equal(child.out, value.encode() + b"\n", "what start-up read (%s)" % w.route(child))
            w.settle()


@test("fresh/a-variable-that-startup-reads", each=True)
def read_variable(w):
    site = w.work + "/site"
    put(site + "/usercustomize.py", "import os, sys\nsys.mark = os.environ.get('SOME_SETTING', 'unset')\n")()
    script = w.script("mark.py", MARK)
    w.changes = {"PYTHONPATH": site}
    w.prime(script)
    w.expect(w.call(script), "warm", b"unset\n")
    for value in ("a", "b", None):
        for _ in range(3):
            w.expect(w.call(script, env={"SOME_SETTING": value}), ("warm", "startup-environment", "no-zygote", "stale"), (value or "unset").encode() + b"\n")
            w.settle()
    w.prime(script)


@test("fresh/startup-that-asks-for-the-host", "root", "unshare", each=True)
def asks_host(w):
    site = w.work + "/site"
    put(site + "/usercustomize.py", "import os, platform, socket, sys\nsys.mark = platform.node() + ' ' + socket.gethostname() + ' ' + os.uname().nodename\n")()
    script = w.script("mark.py", MARK)
    w.changes = {"PYTHONPATH": site}
    w.prime(script)
    here = os.uname().nodename.encode()
    w.expect(w.call(script), "warm", b" ".join([here] * 3) + b"\n")
    other = ("unshare", "-u", "sh", "-c", 'hostname elsewhere; exec "$@"', "-")
    w.expect(w.call(script, wrap=other), "no-zygote", b"elsewhere elsewhere elsewhere\n")
    w.settle()
    w.expect(w.call(script), "warm", b" ".join([here] * 3) + b"\n")


@test("fresh/startup-that-prints", each=True)
def prints(w):
    site = w.work + "/site"
    put(site + "/sitecustomize.py", "print('hello from start-up')\n")()
    w.changes = {"PYTHONPATH": site}
    for _ in range(4):
        w.expect(w.call(), ("no-zygote", "zygote-failed", "startup-impure"), b"hello from start-up\nOK\n")
        w.settle()
    equal(w.zygotes(), [], "zygotes")
    os.unlink(site + "/sitecustomize.py")


IMPURE = {
    "thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
    "time": "import sys, time\nsys.mark = time.time()\n",
    "pid": "import os, sys\nsys.mark = os.getpid()\n",
    "random": "import os, sys\nsys.mark = os.urandom(8)\n",
    "writes": "open(%r, 'a').write('x')\n",
    "argv": "import sys\nsys.mark = list(sys.argv)\n",
    "cwd": "import os, sys\nsys.mark = os.getcwd()\n",
    "stdin": "import os, sys\nsys.mark = os.isatty(0)\n",
    "exits": "import sys\nif sys.argv[-1:] == ['never']: sys.exit(3)\n",
}
JUDGE = {"time": "import sys, time\nprint(abs(time.time() - sys.mark) < 5)\n", "pid": "import sys, os\nprint(sys.mark == os.getpid())\n", "argv": "import sys\nprint(sys.mark == sys.argv)\n", "cwd": "import os, sys\nprint(sys.mark == os.getcwd())\n",
         "thread": "import threading\nprint(threading.active_count() == 2)\n", "stdin": "import sys\nprint(sys.mark is False)\n", "random": "import sys\nprint(open('seen', 'a+').write(str(sys.mark)) > 0)\n"}


@test("fresh/startup-with-effects", each=True, seconds=90)
def impure(w):
    """Each effect must be there in each run, by whichever route."""
    for name, source in IMPURE.items():
        site = w.work + "/" + name
        put(site + "/usercustomize.py", source % (w.work + "/written") if "%r" in source else source)()
        script = w.script("judge-%s.py" % name, JUDGE.get(name, "print(True)\n"))
        os.makedirs(w.work + "/other", exist_ok=True)
        for turn in range(3):
            child = w.call(script, env={"PYTHONPATH": site}, cwd=w.work + ("/other" if turn == 2 else ""))
            equal((child.out, child.end), (b"True\n", "exit 0"), "%s, turn %d (%s) %r" % (name, turn, w.route(child), child.err))
            w.settle()
        if name == "writes":
            check(len(w.text("written")) >= 3, "start-up wrote in each run", w.text("written"))


# -- virtual environments

def venv(w, *options):
    directory = w.root + "/venv"
    made = w.call("-m", "venv", "--without-pip", *options, directory, program=w.interpreter.path, seconds=40)
    if made.end != "exit 0":
        raise Skip("no venv with this interpreter: %r" % made.err[-200:])
    w.changes["PATH"] = ":".join([w.shims, directory + "/bin", w.interpreter.bin, "/usr/bin", "/bin"])
    site, = glob.glob(directory + "/lib/python3*/site-packages")
    return directory, site


@test("fresh/venv-install", each=True)
def venv_install(w):
    """What pip does: a package and its metadata appear, change, go; plus a .pth as editable installs have."""
    directory, site = venv(w)
    script = w.script("use.py", "import sys\ntry:\n    import thing\n    print(thing.version)\nexcept ImportError:\n    print('none')\nprint(sys.prefix)\n")
    prefix = ("\n%s\n" % directory).encode()

    def now(out):
        w.expect(w.call(script), ("stale", "no-zygote", "warm"), out + prefix)
        w.prime(script)
        w.expect(w.call(script), "warm", out + prefix)
    now(b"none")
    put(site + "/thing/__init__.py", "version = 1\n")()
    put(site + "/thing-1.dist-info/METADATA", "Name: thing\n")()
    now(b"1")
    swap(site + "/thing/__init__.py", "version = 20\n")()
    now(b"20")
    shutil.rmtree(site + "/thing")
    now(b"none")
    put(w.work + "/src/thing.py", "version = 'editable'\n")()
    put(site + "/__editable__.thing.pth", w.work + "/src\n")()
    now(b"editable")
    os.unlink(site + "/__editable__.thing.pth")
    now(b"none")


@test("fresh/venv-configuration", each=True)
def venv_configuration(w):
    directory, _ = venv(w)
    script = w.script("use.py", "import sys, site\nprint(sys.prefix != sys.base_prefix, site.ENABLE_USER_SITE)\n")
    w.prime(script)
    w.expect(w.call(script), "warm", b"True False\n")
    path = directory + "/pyvenv.cfg"
    with open(path, encoding="utf-8") as f:
        text = f.read()
    swap(path, text.replace("include-system-site-packages = false", "include-system-site-packages = true"))()
    w.expect(w.call(script), ("stale", "no-zygote"), b"True True\n")
    w.prime(script)
    w.expect(w.call(script), "warm", b"True True\n")
    os.unlink(path)
    child = w.call(script)
    real = w.call(script, program=directory + "/bin/python3")
    equal((child.out, child.end), (real.out, real.end), "without pyvenv.cfg (%s)" % w.route(child))


@test("fresh/interpreter-replaced", each=True)
def interpreter_replaced(w):
    directory, _ = venv(w, "--copies")
    w.prime()
    first = w.warm()
    real = os.path.realpath(directory + "/bin/python3")
    shutil.copy2(real, real + ".new")
    os.rename(real + ".new", real)
    w.expect(w.call(), ("no-zygote", "stale"))
    w.settle()
    second = w.warm()
    check(w.routes(first)[0]["key"] != w.routes(second)[0]["key"], "another key")
    os.unlink(real)
    for name in os.listdir(directory + "/bin"):
        if name.startswith("python"):
            os.unlink(directory + "/bin/" + name) if os.path.lexists(directory + "/bin/" + name) else None
    w.expect(w.call(), ("no-zygote", "warm"))


@test("fresh/a-change-while-an-image-is-made", each=True, seconds=60)
def meanwhile(w):
    w.changes["PYZY_ENGINE"] = "restore"
    script = w.script("mark.py", MARK)
    for n in range(40):
        put(user_site(w) + "/mark.pth", "import sys; sys.mark = 'x%s'\n" % ("y" * n))()
        equal(w.call(script).out, b"x" + b"y" * n + b"\n", "output")
        time.sleep(0.05)
    # The change was no failure that is remembered.
    until(lambda: w.route(w.call(script)).startswith("warm"), "a warm run", 20)
