"""Which end a run takes: silent scripts end without finalising the interpreter, others do not."""

import subprocess

from harness import proc
from harness.proc import until
from harness.test import Skip, check, equal, test

LOUD = "class C:\n    def __del__(self):\n        pass\n"


def calls_of_a_worker(w, script, wanted="rt_sigaction,exit_group"):
    """Runs a script in a worker whose system calls are watched."""
    zygote = w.zygote()
    spare = until(lambda: proc.children(zygote), "a spare worker")[0]
    trace = script + ".trace"
    tracer = subprocess.Popen(["strace", "-o", trace, "-e", "trace=" + wanted, "-p", str(spare)], stderr=subprocess.DEVNULL)
    w.known.add(tracer.pid)
    until(lambda: proc.status(spare, "TracerPid") == str(tracer.pid), "strace to watch")
    w.warm(script)
    tracer.wait(20)
    calls = w.text(trace)
    check("exit_group" in calls, "the spare ran the script:\n" + calls)
    return calls


def finalises(w, name, text):
    """Finalising puts SIGINT's handler back."""
    return "rt_sigaction(SIGINT" in calls_of_a_worker(w, w.script(name, text))


@test("quiet/which-end", "strace", each=True)
def which_end(w):
    w.prime()
    for name, text in {
        "print": "print('OK')\n",
        "objects": "class C: pass\nx = [C() for i in range(5000)]\nprint('OK')\n",
        "imports": "import json, argparse, dataclasses, pathlib\nprint('OK')\n",
        "exit": "import sys\nprint('OK')\nsys.exit()\n",
        "closed": "with open(__file__) as f: f.read()\nprint('OK')\n",
        "atexit": "import atexit\nprint('OK')\n",
        "locks": "import threading\nlock = threading.Lock()\nprint('OK')\n",
        "starts-a-child": "import subprocess\nsubprocess.run(['true'])\nprint('OK')\n",
        "rules": "import warnings\nwarnings.simplefilter('ignore', RuntimeWarning)\nwarnings.simplefilter('always', UserWarning)\nprint('OK')\n",
        "logs": "import logging, sys\nlogging.basicConfig(stream=sys.stdout, format='%(message)s')\nlogging.error('OK')\n",
        "registered": "import atexit\natexit.register(int)\nprint('OK')\n",
        "handler": "import logging\nlogging.basicConfig(handlers=[logging.FileHandler('log')])\nprint('OK')\n",
        "no-executor": "import concurrent.futures.thread\nprint('OK')\n",
        "gc": "import gc\ngc.collect()\nprint('OK')\n",
        "child": "import subprocess\np = subprocess.Popen(['true'])\np.wait()\nprint('OK')\n",
        "archive": "import io, zipfile\nz = zipfile.ZipFile(io.BytesIO(), 'w')\nz.close()\nprint('OK')\n",
        "temporary": "import tempfile\nwith tempfile.NamedTemporaryFile() as f:\n    pass\nprint('OK')\n",
        "a-socket": "import socket\ns = socket.socket()\ns.close()\nprint('OK')\n",
        "finalize": "import weakref\nclass C: pass\nc = C()\nweakref.finalize(c, int)\nprint('OK')\n",
        "directory": "import tempfile\nd = tempfile.TemporaryDirectory()\nprint('OK')\n",
    }.items():
        check(not finalises(w, name + ".py", text), "'%s' ends quietly" % name)
    # Since 3.13 CPython tells of an error when it closes a file.
    full = finalises(w, "read.py", "f = open(__file__)\nprint('OK')\n")
    equal(full, w.interpreter.version >= (3, 13), "an open file")
    for name, text in {
        "destructor": LOUD + "c = C()\nprint('OK')\n",
        "slots": LOUD.replace("class C:", "class C(float):\n    __slots__ = ()") + "c = C()\nprint('OK')\n",
        "written": "f = open('f', 'w')\nprint('OK')\n",
        "open-socket": "import socket\ns = socket.socket()\nprint('OK')\n",
        "traced": "import sys\nsys.settrace(lambda *a: None)\nprint('OK')\n",
        "profiled": "import sys\nsys.setprofile(lambda *a: None)\nprint('OK')\n",
        "child-not-waited-for": "import subprocess\np = subprocess.Popen(['true'])\nprint('OK')\n",
        "generator": "def g():\n    yield\nx = g()\nnext(x)\nprint('OK')\n",
        "registered-loud": LOUD + "import atexit\nx = []\natexit.register(lambda: x.append(C()))\nprint('OK')\n",
        "louder-rules": "import warnings\nwarnings.simplefilter('always', ResourceWarning)\nprint('OK')\n",
        "rules-for-all": "import warnings\nwarnings.simplefilter('default')\nprint('OK')\n",
        "daemon": "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\nprint('OK')\n",
        "gc-callbacks": "import gc\ngc.callbacks.append(lambda *a: None)\nprint('OK')\n",
        "gc-debug": "import gc\ngc.set_debug(gc.DEBUG_SAVEALL)\nprint('OK')\n",
        "gc-garbage": "import gc\ngc.garbage.append(1)\nprint('OK')\n",
        "gc-freeze": "import gc\ngc.freeze()\nprint('OK')\n",
        "hook": "import sys\nsys.addaudithook(lambda *a: None)\nprint('OK')\n",
    }.items():
        check(finalises(w, name + ".py", text), "'%s' ends in full" % name)


@test("quiet/start-up", "strace", each=True)
def start_up(w):
    """What start-up leaves behind may be loud, if it is gone at the end."""
    custom = "import atexit, subprocess, sys\ndef g():\n    yield\nsys.g = g()\nnext(sys.g)\n"
    for name, text, full in ("kept", "", True), ("closed-in-the-end", "atexit.register(sys.g.close)\n", False):
        w.changes["PYTHONPATH"] = w.work + "/" + name
        w.script(name + "/sitecustomize.py", custom + text)
        w.prime()
        equal(finalises(w, "%s.py" % name, "print('OK')\n"), full, "'%s' ends in full" % name)
        w.stop_zygotes()


@test("quiet/start-up-that-listens", each=True)
def start_up_that_listens(w):
    """Who is told of collections would be told of ours: no zygote."""
    w.changes["PYTHONPATH"] = w.work + "/site"
    for number, text in enumerate(("gc.callbacks.append(lambda *a: None)", "gc.set_debug(gc.DEBUG_UNCOLLECTABLE)")):
        w.script("site/sitecustomize.py", "import gc\n%s\n" % text)
        w.expect(w.call(), "no-zygote" if number == 0 else "startup-impure")
        w.settle()
        w.expect(w.call(), "startup-impure")
        equal(w.zygotes(), [], "zygotes")


@test("quiet/start-up-once", each=True)
def start_up_once(w):
    """What start-up registers for the end, and what it leaves behind, is for those who run scripts: nothing of it is called in a zygote."""
    custom = (
        "import atexit, os, threading\n"
        "def f(word, write=os.write, open=os.open, flags=os.O_WRONLY | os.O_APPEND | os.O_CREAT, path=%r):\n"
        "    write(open(path, flags), word)\n"
        "atexit.register(f, b'a')\nthreading._register_atexit(f, b't')\n"
        "class C:\n    def __del__(self, f=f):\n        f(b'd')\n"
        "os.kept = C()\n"
    )
    for engine in ("restore", "fork"):
        w.engine = engine
        w.changes["PYTHONPATH"] = w.work + "/" + engine
        out = w.work + "/" + engine + "/out"
        w.script(engine + "/sitecustomize.py", custom % out)
        first = w.serial
        w.prime()
        w.warm()
        runs = w.serial - first
        equal(w.text(out), w.text(out)[:3] * runs, "what %d runs have written" % runs)
        w.stop_zygotes()
        equal(len(w.text(out)), 3 * runs, "when the zygote has left")


@test("quiet/ctypes", "strace", each=True)
def calls_by_ctypes(w):
    """What is called through ctypes may do anything."""
    w.changes["PYZY_PRELOAD"] = "ctypes"
    w.prime()
    done = w.call(w.script("warm.py", "import ctypes\n"))
    if not any(line.get("import") == "ctypes" and "warm" in line for line in w.routes(done)):
        raise Skip("ctypes is not warm here")
    for name, text in {
        "imported": "import ctypes\nprint('OK')\n",
        "a-number": "import ctypes\nx = ctypes.c_int(3)\nprint('OK')\n",
    }.items():
        check(not finalises(w, name + ".py", text), "'%s' ends quietly" % name)
    for name, text in {
        "called": "import ctypes\nctypes.pythonapi.Py_IsInitialized()\nprint('OK')\n",
        "called-by-address": "import ctypes, _ctypes\nlibrary = ctypes.PyDLL(None)\n_ctypes.call_cdeclfunction(_ctypes.dlsym(library._handle, 'Py_IsInitialized'), ())\nprint('OK')\n",
        "callback": "import ctypes\nf = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)\nprint('OK')\n",
        "own-class": "import ctypes\nclass F(ctypes._CFuncPtr):\n    _flags_ = 1\nf = F()\nprint('OK')\n",
    }.items():
        check(finalises(w, name + ".py", text), "'%s' ends in full" % name)
