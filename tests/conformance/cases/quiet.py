"""Ends that must not be cut short: whatever finalisation would run, print, write or close."""

from harness.case import case, shell

LOUD = "class Loud:\n    def __del__(self):\n        print('del', type(self).__name__)\n"

# Where an object with __del__ can hide.
for name, source in {
    "environ": "import os\nos.environ.mine = Loud()\n",
    "posix-environ": "import posix\nposix.environ[b'x'] = Loud()\n",
    "old-class": "import os\nos._Environ.mine = Loud()\n",
    "old-function": "import os\nos.getenv.mine = Loud()\n",
    "old-list": "import sys\nsys.path_hooks.append(Loud())\n",
    "old-default": "import os\nos.getenv.__defaults__ = (Loud(),)\n",
    "stream": "import sys\nsys.stdin.mine = Loud()\n",
    "exception": "e = ValueError(Loud())\ne.e = e\n",
    "partial": "import functools\np = functools.partial(print, Loud())\np.keywords['p'] = p\n",
    "closure": "def f():\n    x = Loud()\n    def g():\n        return x, g\n    return g\nk = f()\n",
    "class-attribute": "class C:\n    x = Loud()\n",
    "metaclass": "class M(type):\n    def __del__(self):\n        print('class gone')\nclass C(metaclass=M):\n    pass\n",
    "removed-module": "import sys\nm = sys.modules.pop('posixpath')\nm.mine = Loud()\n",
    "module-subclass": "import sys, types\nclass M(types.ModuleType):\n    def __del__(self):\n        print('module gone')\nsys.modules['m'] = M('m')\n",
    "slots": "class S:\n    __slots__ = ()\n    def __del__(self):\n        print('slots')\nimport sys\nsys.mine = S()\n",
    "slots-subclass-of-int": "class S(int):\n    __slots__ = ()\n    def __del__(self):\n        print('int')\ns = S(7)\n",
    "slots-in-old-dict": "class S:\n    __slots__ = ()\n    def __del__(self):\n        print('slots')\nimport os\nos.__dict__['s'] = S()\n",
    "subclass": "class C(Loud):\n    pass\nc = C()\n",
    "exec-namespace": "n = {}\nexec(\"class C:\\n    def __del__(self): print('exec')\\nc = C()\", n)\n",
    "deep": "x = None\nfor i in range(1000):\n    x = [x]\nx.append(Loud())\n",
    "after-collections": "k = Loud()\nx = [[i] for i in range(50000)]\n",
    "before-collections": "x = [[i] for i in range(50000)]\nk = Loud()\ny = [[i] for i in range(500)]\n",
    "default-dict": "import collections\nd = collections.defaultdict(Loud)\nd[1]\n",
    "generator-local": "def g():\n    x = Loud()\n    yield\nk = g()\nnext(k)\n",
    "last-traceback": "def f():\n    x = Loud()\n    1 / 0\nf()\n",
    "sys-exit": "import sys\ndef f():\n    x = Loud()\n    sys.exit(3)\nf()\n",
    "context": "import contextvars\nv = contextvars.ContextVar('v')\nv.set(Loud())\n",
    "cache": "import functools\n@functools.lru_cache()\ndef f(x):\n    return Loud()\nf(1)\n",
}.items():
    case("quiet/hidden-" + name, "x.py", LOUD + source)

# What becomes loud late.
for name, source in {
    "new-class": "class C:\n    pass\nc = C()\nC.__del__ = lambda self: print('late')\n",
    "old-class": "import os\nos._Environ.__del__ = lambda self: print('environ gone', len(self) >= 0)\n",
    "old-base": "import collections.abc\ncollections.abc.Mapping.__del__ = lambda self: print('mapping gone')\n",
    "old-class-builtin": "import os\nos._Environ.__del__ = print\n",
    "class-of-old-instance": "import os\nclass E(os._Environ):\n    def __del__(self):\n        print('environ gone')\nos.environ.__class__ = E\n",
    "class-of-old-module": "import sys, os, types\nclass M(types.ModuleType):\n    def __del__(self):\n        print('os gone')\nos.__class__ = M\n",
    "class-of-main": "import sys, types\nclass M(types.ModuleType):\n    def __del__(self):\n        print('main gone')\nsys.modules['__main__'].__class__ = M\n",
    "taken-away": LOUD + "x = Loud()\ndel Loud.__del__\n",
}.items():
    case("quiet/late-" + name, "x.py", source)

# Tables whose keys run code.
KEY = "class S(str):\n    def __hash__(self):\n        print('hash')\n        return str.__hash__(self)\n    __eq__ = str.__eq__\n"
case("quiet/key-in-globals", "x.py", KEY + "globals()[S('x')] = 1\nprint('end')\n")
case("quiet/key-in-modules", "x.py", KEY + "import sys\nsys.modules[S('x')] = sys\nprint('end')\n")
case("quiet/key-in-old-module", "x.py", KEY + "import os\nos.__dict__[S('x')] = 1\nprint('end')\n")
case("quiet/key-without-str", "x.py", "import sys\nclass K:\n    def __hash__(self):\n        print('hash')\n        return 1\nsys.modules[K()] = sys\nprint('end')\n")
case("quiet/modules-replaced", "x.py", "import sys\nsys.modules = {}\nprint('end')\n")
case("quiet/threading-of-my-own", "x.py", files={"x.py": "import threading\nprint('end')\n", "threading.py": "def _shutdown():\n    print('shutdown')\n"})
case("quiet/threading-in-the-table", "x.py", "import sys\nclass T:\n    def _shutdown(self):\n        print('shutdown')\nsys.modules['threading'] = T()\n")
case("quiet/threading-shutdown-replaced", "x.py", "import threading\nthreading._shutdown = lambda: print('shutdown')\n")

# Callbacks.
for name, source in {
    "on-old-object": "import _weakref, os\nr = _weakref.ref(os.environ, lambda r: print('environ gone'))\n",
    "on-old-class": "import _weakref, os\nr = _weakref.ref(os._Environ, lambda r: print('class gone'))\n",
    "on-function": "import _weakref\ndef f():\n    pass\nr = _weakref.ref(f, lambda r: print('gone'))\nf.r = r\n",
    "proxy": "import _weakref\nclass C:\n    pass\nc = C()\np = _weakref.proxy(c, lambda r: print('gone'))\n",
    "builtin": "import _weakref\nclass C:\n    pass\nc = C()\nl = []\nr = _weakref.ref(c, l.append)\n",
    "subclass": "import _weakref\nclass R(_weakref.ReferenceType):\n    pass\nclass C:\n    pass\nc = C()\nr = R(c, lambda r: print('gone'))\n",
    "value-dictionary": "import weakref\nclass C:\n    pass\nd = weakref.WeakValueDictionary()\nc = d['c'] = C()\n",
    "key-dictionary": "import weakref\nclass C:\n    def __hash__(self):\n        return 1\n    def __eq__(self, other):\n        print('eq')\n        return True\nd = weakref.WeakKeyDictionary()\nc = C()\nd[c] = 1\n",
    "set": "import weakref\nclass C:\n    pass\ns = weakref.WeakSet()\nc = C()\ns.add(c)\n",
    "finalize-in-cycle": "import weakref\nclass C:\n    pass\nc = C()\nc.c = c\nweakref.finalize(c, print, 'finalized')\n",
    "abstract-class": "import abc\nclass A(abc.ABC):\n    pass\nclass C:\n    pass\nA.register(C)\nprint(issubclass(int, A), isinstance(C(), A))\n",
}.items():
    case("quiet/callback-" + name, "x.py", source)

# Suspended code.
for name, source in {
    "generator": "def g():\n    try:\n        yield\n    finally:\n        print('finally')\nx = g()\nnext(x)\n",
    "generator-in-cycle": "def g():\n    try:\n        yield\n    finally:\n        print('finally')\nl = [g()]\nl.append(l)\nnext(l[0])\ndel l\n",
    "generator-with": "class W:\n    def __enter__(self):\n        pass\n    def __exit__(self, *a):\n        print('exit', a[0])\ndef g():\n    with W():\n        yield\nx = g()\nnext(x)\n",
    "generator-not-started": "def g():\n    print('never')\n    yield\nx = g()\n",
    "generator-finished": "def g():\n    yield 1\nx = g()\nprint(list(x))\n",
    "expression": "x = (print(i) for i in range(3))\nnext(x)\n",
    "coroutine-not-awaited": "async def f():\n    pass\nx = f()\n",
    "coroutine-suspended": "import types\n@types.coroutine\ndef y():\n    yield\nasync def f():\n    try:\n        await y()\n    finally:\n        print('finally')\nx = f()\nx.send(None)\n",
    "coroutine-finished": "async def f():\n    return 1\nx = f()\ntry:\n    x.send(None)\nexcept StopIteration as e:\n    print(e.value)\n",
    "async-generator": "async def g():\n    try:\n        yield 1\n    finally:\n        print('finally')\nx = g().__aiter__()\nn = x.__anext__()\ntry:\n    n.send(None)\nexcept StopIteration as e:\n    print(e.value)\n",
}.items():
    case("quiet/suspended-" + name, "x.py", source)

# Files and streams.
for name, source in {
    "unflushed": "f = open('out', 'w')\nf.write('text')\n",
    "unflushed-binary": "f = open('out', 'wb')\nf.write(b'text')\n",
    "unflushed-random": "f = open('out', 'w+b')\nf.write(b'text')\n",
    "unflushed-in-environ": "import os\nos.environ.f = open('out', 'w')\nos.environ.f.write('text')\n",
    "unflushed-custom-raw": "import io\nclass R(io.RawIOBase):\n    def writable(self):\n        return True\n    def write(self, b):\n        print('write', bytes(b))\n        return len(b)\nf = io.BufferedWriter(R())\nf.write(b'x')\n",
    "closed": "f = open('out', 'w')\nf.write('text')\nf.close()\n",
    "with": "with open('out', 'w') as f:\n    f.write('text')\n",
    "close-replaced": "import io\nb = io.BytesIO()\nb.close = lambda: print('close')\n",
    "subclass": "import io\nclass B(io.BytesIO):\n    def close(self):\n        print('close')\n        super().close()\nb = B()\n",
    "string-subclass": "import io\nclass B(io.StringIO):\n    def close(self):\n        print('close')\n        super().close()\nb = B()\n",
    "stdout-again": "import sys, io\nw = io.TextIOWrapper(sys.stdout.buffer)\nw.write('second')\nprint('first')\n",
    "stdout-dup": "import os\nf = open(os.dup(1), 'w')\nf.write('second')\nprint('first')\n",
    "stdout-flush-replaced": "import sys\nsys.stdout.flush = lambda: print('flush', file=sys.stderr)\n",
    "stdout-close-replaced": "import sys\nsys.stdout.close = lambda: print('close', file=sys.stderr)\n",
    "buffer-close-replaced": "import sys\nsys.stdout.buffer.close = lambda: print('close', file=sys.stderr)\n",
    "raw-close-replaced": "import sys\nsys.stdout.buffer.raw.close = lambda: print('close', file=sys.stderr)\n",
    "stdin-close-replaced": "import sys\nsys.stdin.close = lambda: print('close', file=sys.stderr)\n",
    "stdout-replaced": "import sys, io\nclass S(io.StringIO):\n    def flush(self):\n        print('flush', file=sys.stderr)\nsys.stdout = S()\n",
    "stdout-replaced-unflushed": "import sys\nsys.stdout.write('to the old one')\nsys.stdout = open('out', 'w')\nprint('to the new one')\n",
    "stdout-closed": "import sys\nprint('end')\nsys.stdout.close()\n",
    "stdout-descriptor-closed": "import os\nprint('lost')\nos.close(1)\n",
    "stdout-none": "import sys\nprint('end')\nsys.stdout = None\n",
    "stdout-deleted": "import sys\nprint('end')\ndel sys.stdout\n",
    "stdout-detached": "import sys\nprint('end')\nb = sys.stdout.detach()\nb.write(b'bytes')\n",
    "stdout-reopened": "import sys, io\nprint('end')\nsys.stdout.__init__(open('out', 'wb'))\nprint('in the file')\n",
    "raw-reopened": "import sys\nprint('end', flush=True)\nsys.stdout.buffer.raw.__init__('out', 'w')\nprint('in the file')\n",
    "stdin-reopened": "import sys\nsys.stdin.__init__(open('out', 'wb'))\nsys.stdin.write('text')\n",
    "stdout-bytes": "import sys\nprint('text')\nsys.stdout.buffer.write(b'bytes')\n",
    "stdout-without-newline": "import sys\nsys.stdout.write('no newline')\nsys.stderr.write('nor here')\n",
    "socket-pair": "import socket\na, b = socket.socketpair()\na.send(b'x')\nprint(b.recv(1))\n",
    "popen-left": "import subprocess\np = subprocess.Popen(['true'])\np.wait()\n",
    "temporary-file": "import tempfile, os\nt = tempfile.NamedTemporaryFile(dir='.')\nt.write(b'x')\n",
    "zip-left": "import zipfile\nz = zipfile.ZipFile('out.zip', 'w')\nz.writestr(zipfile.ZipInfo('a'), 'b')\n",
    "gzip-left": "import gzip\nz = gzip.GzipFile('out.gz', 'w', mtime=0)\nz.write(b'text')\n",
    "scandir-left": "import os\nd = os.scandir('.')\nnext(d)\n",
}.items():
    case("quiet/file-" + name, "x.py", source)
for name in ("text", "exit", "error", "bytes"):
    source = {"text": "print('x')\n", "exit": "import sys\nprint('x')\nsys.exit(3)\n", "error": "print('x')\n1 / 0\n", "bytes": "import sys\nsys.stdout.buffer.write(b'x')\n"}[name]
    case("quiet/stdout-full-" + name, "x.py", "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n" + source)
case("quiet/stderr-full", "x.py", "import os, sys\nos.dup2(os.open('/dev/full', os.O_WRONLY), 2)\nprint('x')\n1 / 0\n")
case("quiet/sqlite-left", "x.py", "import sqlite3\nc = sqlite3.connect('db')\nc.execute('create table t (a)')\nc.execute('insert into t values (1)')\n", needs=("module:sqlite3",))
shell("quiet/shelve-left", "python3 x.py; python3 y.py", "import shelve\ns = shelve.open('shelf')\ns['a'] = 1\n", files={"y.py": "import shelve\nprint(dict(shelve.open('shelf')))\n"}, drop=("^shelf",))

# Warnings about what was not closed.
for name, source in {
    "filter": "import warnings\nwarnings.simplefilter('always')\nf = open('x.py')\n",
    "filter-scandir": "import warnings, os\nwarnings.simplefilter('always')\nd = os.scandir('.')\nnext(d)\n",
    "filters-list": "import warnings\nwarnings.filters.clear()\nimport os\nd = os.scandir('.')\nnext(d)\n",
    "filters-replaced": "import warnings\nwarnings.filters = [('always', None, Warning, None, 0)]\nimport os\nd = os.scandir('.')\nnext(d)\n",
    "c-filters": "import _warnings, os\n_warnings.filters.insert(0, ('always', None, Warning, None, 0))\nd = os.scandir('.')\nnext(d)\n",
    "filter-socket": "import warnings, _socket\nwarnings.simplefilter('always')\ns = _socket.socket()\n",
}.items():
    case("quiet/warning-" + name, "x.py", source)

# Those who watch.
for name, source in {
    "audit-hook": "import sys\nsys.addaudithook(lambda e, a: print(e) if e.startswith('cpython') else None)\nprint('end')\n",
    "gc-callback": "import gc\ngc.callbacks.append(lambda phase, info: print(phase))\nprint('end')\n",
    "gc-debug": "import gc\ngc.set_debug(gc.DEBUG_SAVEALL)\nl = []\nl.append(l)\n",
    "gc-garbage": "import gc\ngc.garbage.append(1)\n",
    "gc-freeze": LOUD + "import gc\nx = Loud()\ngc.freeze()\ngc.unfreeze()\n",
    "gc-freeze-hidden": LOUD + "import gc, sys\nx = [[i] for i in range(9000)]\ny = Loud()\ngc.freeze()\ngc.unfreeze()\ndel gc, sys.modules['gc']\n",
    "trace": LOUD + "import sys\nx = Loud()\nsys.settrace(lambda f, e, a: print(e) if f.f_code.co_name == '__del__' else None)\n",
    "profile": LOUD + "import sys\nx = Loud()\nsys.setprofile(lambda f, e, a: print(e) if f.f_code.co_name == '__del__' else None)\n",
    "unraisable": "import sys\nsys.unraisablehook = lambda u: print('unraisable', u.exc_type.__name__)\nclass C:\n    def __del__(self):\n        1 / 0\nc = C()\n",
    "excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0\n",
    "atexit-forgotten": "import atexit, sys\natexit.register(print, 'still called')\ndel atexit, sys.modules['atexit']\n",
    "collections": "import _weakref\nclass C:\n    pass\nseen = []\nfor n in range(3000):\n    c = C()\n    c.c = c\n    if n == 0:\n        r = _weakref.ref(c, lambda r: seen.append(n))\nprint(len(seen))\nr = None\n",
}.items():
    case("quiet/watch-" + name, "x.py", source)
case("quiet/watch-monitoring", "x.py", LOUD + "import sys\nm = sys.monitoring\nm.use_tool_id(0, 't')\nm.register_callback(0, m.events.PY_START, lambda c, o: print('start', c.co_name))\nm.set_events(0, m.events.PY_START)\nx = Loud()\n", since=(3, 12))
case("quiet/release-buffer", "x.py", "class B:\n    def __buffer__(self, flags):\n        return memoryview(b'x')\n    def __release_buffer__(self, view):\n        print('released')\nm = memoryview(B())\n", since=(3, 12))
case("quiet/release-buffer-late", "x.py", "class B:\n    def __buffer__(self, flags):\n        return memoryview(b'x')\nm = memoryview(B())\nB.__release_buffer__ = lambda self, view: print('released')\n", since=(3, 12))

# Children that go through the end themselves.
case("quiet/fork-both-end", "x.py", LOUD + "import os, sys\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n    x = Loud()\nelse:\n    print('child')\n")
case("quiet/fork-child-loud", "x.py", LOUD + "import os, sys\npid = os.fork()\nif pid:\n    print(os.waitpid(pid, 0)[1])\nelse:\n    x = Loud()\n    sys.exit(3)\n")
# A thread that has not begun when the interpreter goes may crash CPython: it is waited for.
case("quiet/thread-daemon-raw", "x.py", "import _thread, time\nbegun = _thread.allocate_lock()\nbegun.acquire()\ndef sleep():\n    begun.release()\n    time.sleep(1000)\n_thread.start_new_thread(sleep, ())\nbegun.acquire()\nprint('end')\n")
# How often it is compared depends on the hash seed: a probe may come by the same place twice.
case("quiet/modules-key-is-code", "x.py", "import sys\nclass K(str):\n    said = False\n    def __hash__(self):\n        return hash('threading')\n    def __eq__(self, other):\n        if not K.said:\n            sys.stderr.write('compared')\n        K.said = True\n        return str.__eq__(self, other)\nsys.modules[K('key')] = sys\n")
case("quiet/interrupt", "x.py", LOUD + "x = Loud()\nraise KeyboardInterrupt\n")
case("quiet/interrupt-silent", "x.py", "raise KeyboardInterrupt\n")
case("quiet/exit-in-main-of-directory", "d", files={"d/__main__.py": "import sys\nprint('end')\nsys.exit(5)\n"})
case("quiet/many-imports", "x.py", "import argparse, collections, dataclasses, datetime, decimal, enum, functools, itertools, json, math, os, pathlib, random, re, string, struct, textwrap, time, typing\nprint(json.dumps({'a': 1}))\n")
case("quiet/many-objects", "x.py", "class P:\n    def __init__(self, n):\n        self.n = n\nx = {i: P([i]) for i in range(20000)}\nprint(len(x))\n")

# What runs before anything is finalised: threading's own end, and what `atexit` has. Both with everything cold and with warm modules.
LOG = "import logging, sys\n"
HANDLER = LOG + "class H(logging.StreamHandler):\n    def flush(self):\n        print('flush')\n    def close(self):\n        print('close')\n"
STREAM = LOG + "class S:\n    def write(self, text):\n        pass\n    def flush(self):\n        print('flushed')\n"
BEFORE = {
    "threading": "import threading\nprint('end')\n",
    "threading-class-replaced": "import threading\nclass M(type(threading._main_thread)):\n    def _stop(self):\n        print('stop')\n        super()._stop()\nthreading._main_thread.__class__ = M\n",
    "threading-stop-patched": "import threading\nreal = getattr(threading.Thread, '_stop', lambda self: None)\ndef stop(self):\n    print('stop')\n    real(self)\nthreading.Thread._stop = stop\n",
    "threading-register": "import threading\nthreading._register_atexit(print, 'registered')\n",
    "threading-list-replaced": "import threading\nthreading._threading_atexits = (lambda: print('mine'),)\n",
    "threading-deleted-from-the-table": "import threading, sys\nthreading._register_atexit(print, 'registered')\ndel sys.modules['threading']\n",
    "thread-has-ended": "import threading\nt = threading.Thread(target=print, args=('thread',))\nt.start()\nt.join()\n",
    "thread-object-with-del": "import threading\nclass T(threading.Thread):\n    def __del__(self):\n        print('del', self.name)\nt = T(target=print, args=('x',), name='n')\nt.start()\nt.join()\n",
    "thread-never-started": "import threading\nclass T(threading.Thread):\n    def __del__(self):\n        print('del')\nT()\nt = T()\n",
    "local": "import threading\nclass C:\n    def __del__(self):\n        print('del')\nl = threading.local()\nl.c = C()\n",
    "local-plain": "import threading\nl = threading.local()\nl.c = 1\n",
    "weak-set": "import weakref\nclass C:\n    def __eq__(self, other):\n        print('eq')\n        return False\n    def __hash__(self):\n        return 1\ns = weakref.WeakSet()\nkeep = [C(), C()]\ns.add(keep[0])\ns.add(keep[1])\n",
    "weak-values": "import weakref\nclass C: pass\nd = weakref.WeakValueDictionary()\nd['a'] = C()\nd['b'] = b = C()\nb.b = b\n",
    "weak-keys": "import weakref\nclass C: pass\nd = weakref.WeakKeyDictionary()\nd[C()] = 1\nc = C()\nd[c] = c\n",
    "callback-of-that-name": "import weakref\nclass C: pass\ndef remove(r):\n    print('removed')\nc = C()\nc.c = c\nr = weakref.ref(c, remove)\n",
    "atexit": "import atexit\nprint('end')\n",
    "atexit-by-keyword": "import atexit\natexit.register(print, 'a', end='b\\n')\n",
    "atexit-shutdown-with-arguments": LOG + "import atexit\natexit.register(logging.shutdown, [])\nlogging.basicConfig(stream=sys.stdout)\n",
    "atexit-shutdown-again": LOG + "import atexit\natexit.register(logging.shutdown)\nlogging.basicConfig(stream=sys.stdout)\nlogging.error('e')\n",
    "atexit-another-instead": LOG + "import atexit\natexit.unregister(logging.shutdown)\natexit.register(print, 'mine')\n",
    "atexit-in-place-of": LOG + "import atexit\natexit.unregister(logging.shutdown)\n@atexit.register\ndef shutdown():\n    print('mine')\n",
    "atexit-cleared": LOG + "import atexit\natexit.register(print, 'never')\natexit._clear()\nprint('end')\n",
    "atexit-second-module": "import atexit, importlib.util\nm = importlib.util.module_from_spec(importlib.util.find_spec('atexit'))\nm.__spec__.loader.exec_module(m)\nm.register(print, 'second')\natexit.register(print, 'first')\n",
    "logging": LOG + "print(len(logging._handlerList))\n",
    "logging-basic": LOG + "logging.basicConfig(level=20, format='%(message)s')\nlogging.info('to stderr')\nlogging.getLogger('a').warning('w')\n",
    "logging-to-stdout": LOG + "logging.basicConfig(level=20, stream=sys.stdout)\nsys.stdout.write('part')\nlogging.info('i')\nsys.stdout.write('last')\n",
    "logging-last-resort": LOG + "logging.warning('w')\nlogging.lastResort.close()\n",
    "logging-null": LOG + "logging.getLogger('x').addHandler(logging.NullHandler())\nlogging.getLogger('x').error('e')\n",
    "logging-handler": HANDLER + "logging.root.addHandler(H())\n",
    "logging-handler-of-mine": LOG + "class H(logging.Handler):\n    def emit(self, record):\n        pass\n    def close(self):\n        print('close')\nh = H()\n",
    "logging-stream": STREAM + "h = logging.StreamHandler(S())\n",
    "logging-stream-set-later": STREAM + "logging.basicConfig(stream=sys.stdout)\nlogging.root.handlers[0].setStream(S())\n",
    "logging-stderr-replaced": STREAM + "logging.basicConfig()\nsys.stderr = S()\n",
    "logging-attribute": LOG + "logging.basicConfig()\nlogging.root.handlers[0].flush = lambda: print('flush')\n",
    "logging-attribute-close": LOG + "logging.basicConfig()\nlogging.root.handlers[0].close = lambda: print('close')\n",
    "logging-attribute-flush-on-close": LOG + "class N:\n    def __bool__(self):\n        print('bool')\n        return False\nlogging.basicConfig()\nlogging.root.handlers[0].flushOnClose = N()\n",
    "logging-lock": LOG + "class L:\n    def acquire(self):\n        print('acquire')\n    def release(self):\n        print('release')\n    __enter__ = acquire\n    def __exit__(self, *_):\n        print('release')\nh = logging.StreamHandler(sys.stdout)\nh.lock = L()\n",
    "logging-class-patched": LOG + "def flush(self):\n    print('flush')\nlogging.StreamHandler.flush = flush\nlogging.basicConfig()\n",
    "logging-base-patched": LOG + "def close(self):\n    print('close')\nlogging.Handler.close = close\nlogging.basicConfig()\n",
    "logging-handlers-replaced": LOG + "class W:\n    def __call__(self):\n        print('called')\nlogging._handlerList.append(W())\n",
    "logging-list-of-another": LOG + "logging._handlerList = []\nh = logging.StreamHandler(open('log', 'w'))\nh.stream.write('x')\n",
    "logging-shutdown-replaced": LOG + "logging.shutdown = lambda: print('never called')\n",
    "logging-shutdown-code": LOG + "def f(handlerList=()):\n    print('mine')\nlogging.shutdown.__code__ = f.__code__\n",
    "logging-shutdown-copied": LOG + "import atexit, types\nclass W:\n    def __call__(self):\n        print('called')\natexit.register(types.FunctionType(logging.shutdown.__code__, vars(logging), 'shutdown', ([W()],)))\n",
    "logging-shutdown-copied-instead": LOG + "import atexit, types\nclass W:\n    def __call__(self):\n        print('called')\natexit.unregister(logging.shutdown)\natexit.register(types.FunctionType(logging.shutdown.__code__, vars(logging), 'shutdown', ([W()],)))\n",
    "logging-class-flush-on-close": LOG + "class N:\n    def __bool__(self):\n        print('bool')\n        return True\nlogging.Handler.flushOnClose = N()\nlogging.basicConfig(stream=sys.stdout)\n",
    "logging-last-resort-stream": LOG + "type(logging.lastResort).stream = property(lambda self: print('asked'))\n",
    "logging-module-lock": LOG + "class L:\n    def acquire(self):\n        print('acquire')\n    def release(self):\n        print('release')\n    __enter__ = acquire\n    def __exit__(self, *_):\n        print('release')\nlogging.basicConfig(stream=sys.stdout)\nlogging._lock = L()\n",
    "logging-file": LOG + "logging.basicConfig(filename='log', level=20)\nlogging.info('x')\n",
    "logging-memory": LOG + "import logging.handlers\nh = logging.handlers.MemoryHandler(100, target=logging.StreamHandler(sys.stdout))\nlogging.root.addHandler(h)\nlogging.warning('kept back')\n",
    "logging-queue": LOG + "import logging.handlers, queue\nq = queue.Queue()\nl = logging.handlers.QueueListener(q, logging.StreamHandler(sys.stdout))\nl.start()\nlogging.root.addHandler(logging.handlers.QueueHandler(q))\nlogging.warning('queued')\nl.stop()\n",
    "logging-removed-handler": LOG + "h = logging.StreamHandler(sys.stdout)\nlogging.root.addHandler(h)\nlogging.root.removeHandler(h)\ndel h\n",
    "logging-module-gone": LOG + "logging.basicConfig()\ndel sys.modules['logging']\n",
    "logging-raises": LOG + "class B(Exception): pass\nclass H(logging.Handler):\n    def flush(self):\n        raise B('at the end')\nh = H()\n",
    "logging-at-del": LOG + "class C:\n    def __del__(self):\n        logging.warning('late')\nc = C()\n",
    "logging-with-an-error": LOG + "logging.basicConfig()\n1 / 0\n",
    "logging-with-an-exit": LOG + "logging.basicConfig(stream=sys.stdout)\nlogging.error('e')\nsys.exit(3)\n",
    "logging-and-a-thread": LOG + "import threading\nlogging.basicConfig(stream=sys.stdout)\nthreading.Thread(target=lambda: logging.warning('from the thread')).start()\n",
    "subprocess": "import subprocess\nprint(subprocess.run(['true']).returncode)\n",
    "subprocess-left-behind": "import subprocess\np = subprocess.Popen(['true'])\n",
    "futures": "import concurrent.futures as c\nwith c.ThreadPoolExecutor(1) as p:\n    print(p.submit(abs, -1).result())\n",
    "futures-left-open": "import concurrent.futures as c\np = c.ThreadPoolExecutor(1)\np.submit(print, 'x')\n",
    "temporary-directory": "import tempfile, os\nd = tempfile.TemporaryDirectory()\nprint(os.path.isdir(d.name))\n",
    # What is registered is called, and what it leaves behind is looked at.
    "atexit-leaves-loud": "import atexit\nclass C:\n    def __del__(self):\n        print('del')\nkept = []\natexit.register(lambda: kept.append(C()))\natexit.register(print, 'called')\n",
    "atexit-frees-loud": "import atexit\nclass C:\n    def __del__(self):\n        print('del')\nkept = [C()]\natexit.register(kept.clear)\nprint('end')\n",
    "atexit-writes-late": "import atexit, sys\nf = open('log', 'w+')\natexit.register(f.write, 'late')\natexit.register(sys.stdout.write, 'out')\natexit.register(sys.stderr.write, 'err')\n",
    "atexit-closes-stdout": "import atexit, sys\natexit.register(sys.stdout.close)\nprint('end')\n",
    "atexit-replaces-stdout": "import atexit, sys, io\ndef f():\n    sys.stdout = io.StringIO()\n    print('nowhere')\natexit.register(f)\nprint('end')\n",
    "atexit-warns-late": "import atexit, warnings\ndef f():\n    warnings.simplefilter('always')\n    global g\n    g = open('x.py')\natexit.register(f)\n",
    "atexit-audits": "import atexit, sys\natexit.register(sys.addaudithook, lambda e, a: print(e) if e.startswith('cpython') else None)\n",
    "atexit-raises": "import atexit\nclass C:\n    def __del__(self):\n        print('del')\nc = C()\ndef f():\n    c.x\natexit.register(f)\natexit.register(print, 'before')\n",
    "atexit-exits": "import atexit, sys\nc = [1]\natexit.register(print, 'after')\natexit.register(sys.exit, 7)\nprint('end')\n",
    "atexit-is-not-finalizing": "import atexit, sys, threading\natexit.register(lambda: print(sys.is_finalizing(), threading.main_thread().is_alive(), threading.active_count()))\n",
    "atexit-frames": "import atexit, sys, traceback\natexit.register(lambda: print(sys._getframe().f_back, sys.exc_info(), len(traceback.extract_stack())))\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    pass\n",
    "atexit-after-an-error": "import atexit, sys\natexit.register(lambda: print(sys.exc_info(), getattr(sys, 'last_type', None)))\n1 / 0\n",
    "atexit-after-an-exit": "import atexit, sys\natexit.register(lambda: print(sys.exc_info(), getattr(sys, 'last_type', None)))\nsys.exit(3)\n",
    "atexit-imports": "import atexit\ndef f():\n    import json, decimal\n    print(json.dumps([1]), decimal.Decimal(1) / 3)\natexit.register(f)\n",
    "atexit-imports-threading": "import atexit, _thread, time\ndef f():\n    import threading\n    gate = threading.Event()\n    threading.Thread(target=lambda: (gate.set(), time.sleep(0.2), print('joined'))).start()\n    gate.wait()\natexit.register(f)\n",
    "atexit-starts-a-thread": "import atexit, threading\ndef f():\n    try:\n        t = threading.Thread(target=print, args=('thread',))\n        t.start()\n        t.join()\n    except RuntimeError as e:\n        print(e)\natexit.register(f)\n",
    "atexit-registers-with-threading": "import atexit, threading\ndef f():\n    try:\n        threading._register_atexit(print, 'never')\n    except RuntimeError as e:\n        print(e)\natexit.register(f)\n",
    "atexit-forks": "import atexit, os\ndef f():\n    pid = os.fork()\n    if pid:\n        os.waitpid(pid, 0)\n    print('parent' if pid else 'child', flush=True)\natexit.register(f)\natexit.register(print, 'first', flush=True)\n",
    "atexit-forks-a-loud-child": "import atexit, os, threading\nclass C:\n    def __del__(self):\n        os.write(1, b'del\\n')\ndef f():\n    pid = os.fork()\n    if pid:\n        os.waitpid(pid, 0)\n    else:\n        global c\n        c = C()\natexit.register(f)\n",
    "atexit-runs-itself": "import atexit\natexit.register(print, 'once')\natexit._run_exitfuncs()\nprint('end')\n",
    "atexit-runs-itself-replaced": "import atexit\natexit.register(print, 'once')\natexit._run_exitfuncs = lambda: print('never')\nprint('end')\n",
    "atexit-collects": "import atexit, gc\nclass C:\n    def __del__(self):\n        print('del')\nc = C()\nc.c = c\ndel c\natexit.register(gc.collect)\n",
    "atexit-kills": "import atexit, os, signal\natexit.register(os.kill, os.getpid(), signal.SIGTERM)\nprint('end', flush=True)\n",
    "atexit-handles": "import atexit, os, signal\nsignal.signal(signal.SIGTERM, lambda *a: print('handled'))\natexit.register(os.kill, os.getpid(), signal.SIGTERM)\nprint('end')\n",
    "atexit-interrupted": "import atexit, os, signal\natexit.register(print, 'next')\natexit.register(os.kill, os.getpid(), signal.SIGINT)\nprint('end')\n",
    "finalize": "import weakref\nclass C: pass\nc = C()\nweakref.finalize(c, print, 'finalized')\nprint('end')\n",
    "finalize-raises": "import weakref\nclass C: pass\nc, d = C(), C()\nweakref.finalize(c, print, 'finalized')\nweakref.finalize(d, lambda: 1 / 0)\n",
    "finalize-of-a-loud-one": "import weakref\nclass C:\n    def __del__(self):\n        print('del')\nc = C()\nweakref.finalize(c, print, 'finalized')\n",
    "thread-is-waited-for": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\nprint('end')\n",
    "thread-raises": "import threading, time, sys\nthreading.excepthook = lambda a: print('hook', a.exc_type.__name__)\nthreading.Thread(target=lambda: (time.sleep(0.1), 1 / 0)).start()\n",
    "thread-leaves-loud": "import threading, time\nclass C:\n    def __del__(self):\n        print('del')\ndef f():\n    time.sleep(0.1)\n    global c\n    c = C()\nthreading.Thread(target=f).start()\n",
    "thread-is-interrupted": "import threading, time, os, signal\ndef f():\n    time.sleep(0.2)\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(0.2)\n    print('thread')\nthreading.Thread(target=f).start()\n",
    "thread-is-interrupted-loudly": "import threading, time, os, signal, atexit\nclass C:\n    def __del__(self):\n        print('del')\nc = C()\natexit.register(print, 'atexit')\nthreading._register_atexit(print, 'once')\ndef f():\n    time.sleep(0.2)\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(0.2)\nthreading.Thread(target=f).start()\n",
    "threading-register-raises": "import threading, atexit\natexit.register(print, 'atexit')\nthreading._register_atexit(print, 'never')\nthreading._register_atexit(lambda: 1 / 0)\nthreading._register_atexit(print, 'once')\n",
    "threading-register-raises-loudly": "import threading, atexit\nclass C:\n    def __del__(self):\n        print('del')\nc = C()\nthreading._register_atexit(print, 'never')\nthreading._register_atexit(lambda: 1 / 0)\nthreading._register_atexit(print, 'once')\n",
    "threading-shutdown-replaced": "import threading\nreal = threading._shutdown\ndef shutdown():\n    print('mine')\n    real()\nthreading._shutdown = shutdown\n",
    "threading-shutdown-replaced-loudly": "import threading\nclass C:\n    def __del__(self):\n        print('del')\nc = C()\nreal = threading._shutdown\ndef shutdown():\n    print('mine')\n    real()\nthreading._shutdown = shutdown\n",
    "threading-shutdown-raises": "import threading, atexit\natexit.register(print, 'atexit')\ndef shutdown():\n    raise ValueError('mine')\nthreading._shutdown = shutdown\n",
    "threading-shutdown-is-nothing": "import threading\nthreading._shutdown = None\n",
    "threading-shutdown-deleted": "import threading\ndel threading._shutdown\n",
    "threading-is-another": "import sys, threading, atexit\nclass T:\n    def _shutdown(self):\n        print('mine')\nsys.modules['threading'] = T()\natexit.register(print, 'atexit')\n",
    "threading-is-none": "import sys, threading, atexit\nsys.modules['threading'] = None\natexit.register(print, 'atexit')\n",
    "gc": "import gc\nx = [[i] for i in range(2000)]\ngc.collect()\nprint(gc.isenabled(), gc.get_threshold(), gc.callbacks, gc.garbage, gc.get_debug())\n",
    "gc-disabled": "import gc\ngc.disable()\nclass C:\n    def __del__(self):\n        print('del')\nc = C()\nc.c = c\ndel c\nprint('end')\n",
    "gc-stats": "import gc\ngc.set_debug(gc.DEBUG_STATS)\ngc.set_debug(0)\nprint('end')\n",
    "gc-callback-taken-back": "import gc\ndef f(phase, info):\n    pass\ngc.callbacks.append(f)\ngc.callbacks.remove(f)\nprint('end')\n",
    "gc-callbacks-elsewhere": "import gc\nreal = gc.callbacks\ngc.callbacks = []\nreal.append(lambda phase, info: print(phase))\nprint('end')\n",
    "gc-garbage-elsewhere": "import gc\nreal = gc.garbage\ngc.garbage = []\nreal.append(1)\ngc.set_debug(gc.DEBUG_UNCOLLECTABLE)\nprint('end')\n",
    "gc-freeze-by-another-name": LOUD + "import gc\nf, u = gc.freeze, gc.unfreeze\nx = Loud()\nf()\nu()\n",
    "gc-frozen": LOUD + "import gc\nx = Loud()\nx.x = x\ngc.freeze()\n",
    "gc-imported-again": LOUD + "import gc, sys\ndel sys.modules['gc']\nimport gc\nx = Loud()\ngc.freeze()\ngc.unfreeze()\n",
    "gc-gives-old-objects-a-class": "import gc\nclass L(dict):\n    def __del__(self):\n        print('del')\nfor o in gc.get_objects():\n    if type(o).__name__ == '_Helper':\n        try:\n            type(o).__del__ = lambda self: print('helped')\n        except TypeError as e:\n            print('no')\n",
    # Files that are left open, and what may stand in the way.
    "open-for-reading": "f = open('x.py')\nprint(f.readline())\n",
    "open-for-reading-bytes": "f = open('x.py', 'rb')\ng = open('x.py', 'rb', buffering=0)\nprint(f.read(3), g.read(3))\n",
    "open-for-writing": "f = open('log', 'w')\nf.write('held back')\nprint('end')\n",
    "open-for-writing-bytes": "f = open('log', 'wb')\nf.write(b'held back')\nprint('end')\n",
    "open-for-writing-much": "f = open('log', 'w')\nfor n in range(9000):\n    f.write('%d ' % n)\n",
    "open-for-both": "f = open('log', 'w+')\nf.write('abc')\nf.seek(0)\nprint(f.read())\nf.write('d')\n",
    "open-for-appending-twice": "f, g = open('log', 'a'), open('log', 'a')\nf.write('f')\ng.write('g')\n",
    "open-in-a-cycle": "class C: pass\nc = C()\nc.c, c.f = c, open('log', 'w')\nc.f.write('held back')\ndel c\n",
    "open-and-stdout": "import os, sys\nf = os.fdopen(os.dup(1), 'w')\nsys.stdout.write('first ')\nf.write('second ')\nsys.stdout.write('third ')\n",
    "open-around-stdout": "import sys, io\nf = io.TextIOWrapper(sys.stdout.buffer)\nf.write('second')\nprint('first')\n",
    "open-a-pipe": "import os\nr, w = os.pipe()\nf = os.fdopen(w, 'w')\nf.write('x')\nprint('end')\n",
    "open-a-broken-pipe": "import os\nr, w = os.pipe()\nf = os.fdopen(w, 'w')\nos.close(r)\nf.write('x')\nprint('end')\n",
    "open-a-full-device": "f = open('/dev/full', 'w')\nf.write('x')\nprint('end')\n",
    "open-with-its-descriptor-closed": "import os\nf = open('log', 'w')\nf.write('x')\nos.close(f.fileno())\nprint('end')\n",
    "open-too-large": "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\nf = open('log', 'w')\nf.write('x' * 100)\n",
    "open-with-a-method": "f = open('log', 'w')\nf.write('x')\nf.close = lambda: print('closing')\n",
    "open-with-a-method-below": "f = open('log', 'w')\nf.write('x')\nf.buffer.raw.write = lambda data: print(bytes(data)) or len(data)\n",
    "open-by-a-name-that-is-code": "import os\nclass P:\n    def __fspath__(self):\n        return 'x.py'\n    def __repr__(self):\n        print('asked')\n        return 'P'\nf = open(P())\nimport io\ng = io.FileIO('x.py')\ng.name = P()\n",
    "open-of-a-class-of-its-own": "import io\nclass F(io.FileIO):\n    def close(self):\n        print('closing')\n        super().close()\nf = F('x.py')\ng = io.BufferedReader(F('x.py'))\n",
    "open-on-python": "import io\nclass R(io.RawIOBase):\n    def writable(self):\n        return True\n    def write(self, data):\n        print(bytes(data))\n        return len(data)\nf = io.TextIOWrapper(io.BufferedWriter(R()))\nf.write('x')\n",
    "open-in-memory-on-memory": "import io\nf = io.TextIOWrapper(io.BytesIO())\nf.write('x')\n",
    "open-detached": "import io\nf = open('log', 'w')\nf.write('x')\ng = f.detach()\ng.write(b'y')\n",
    "open-gzip": "import gzip\nf = gzip.open('log', 'wt')\nf.write('x')\nprint('end')\n",
    "open-with-warnings": "import warnings\nwarnings.simplefilter('always')\nf = open('x.py')\n",
    "open-with-a-codec": "import codecs\nf = codecs.open('log', 'w', 'utf-16')\nf.write('x')\n",
    "open-directory": "import os\nx = os.scandir('.')\nnext(x)\nprint('end')\n",
    "open-mapped": "import mmap\nf = open('log', 'w+b')\nf.write(b'x' * 10)\nf.flush()\nm = mmap.mmap(f.fileno(), 10)\nm[0] = 65\n",
    # Children, archives and sockets that were done with, or not.
    "child-waited-for": "import subprocess\np = subprocess.Popen(['true'])\np.wait()\nprint('end')\n",
    "child-read-from": "import subprocess\np = subprocess.Popen(['echo', 'x'], stdout=subprocess.PIPE)\nprint(p.stdout.read())\np.wait()\n",
    "child-written-to": "import subprocess\np = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\np.stdin.write(b'x\\n')\np.poll()\n",
    "child-not-waited-for": "import subprocess, warnings\nwarnings.simplefilter('always')\np = subprocess.Popen(['true'])\np.pid = 1\n",
    "child-of-a-class-of-its-own": "import subprocess\nclass P(subprocess.Popen):\n    def __del__(self):\n        print('del')\np = P(['true'])\np.wait()\n",
    "child-of-another-class": "import subprocess\nclass P(subprocess.Popen):\n    def _internal_poll(self, *a, **k):\n        print('asked')\np = P(['true'])\np.returncode = 0\n",
    "child-patched": "import subprocess\np = subprocess.Popen(['true'])\np.wait()\np._internal_poll = lambda **k: print('asked')\n",
    "child-class-patched": "import subprocess\nsubprocess.Popen.__getattribute__ = lambda self, name: (print('asked'), object.__getattribute__(self, name))[1] if name == '_child_created' else object.__getattribute__(self, name)\np = subprocess.Popen(['true'])\np.wait()\n",
    "child-without-a-code": "import subprocess\np = subprocess.Popen(['true'])\np.wait()\np.returncode = None\n",
    "child-never-started": "import subprocess\np = None\ntry:\n    p = subprocess.Popen(['/no/such/thing'])\nexcept OSError as e:\n    print(e)\n    kept = e\n",
    "archive-closed": "import zipfile\nz = zipfile.ZipFile('log', 'w')\nz.writestr('a', 'b' * 100)\nz.close()\n",
    "archive-open": "import zipfile, atexit, os\nz = zipfile.ZipFile('log', 'w')\nz.writestr(zipfile.ZipInfo('a'), 'b' * 100)\n",
    "temporary-file-closed": "import tempfile, os\nwith tempfile.NamedTemporaryFile() as f:\n    f.write(b'x')\nprint(os.path.exists(f.name))\n",
    "temporary-file-open": "import tempfile, os, atexit\nf = tempfile.NamedTemporaryFile(dir='.', prefix='log', suffix='-x')\nf.write(b'x')\natexit.register(lambda: print(len(os.listdir('.'))))\n",
    "temporary-file-patched": "import tempfile\nf = tempfile.NamedTemporaryFile()\nf.close()\nf._closer.cleanup = f._closer.close = lambda *a: print('asked')\n",
    "socket": "import socket\ns = socket.socket()\nt = socket.socket(socket.AF_UNIX)\nt.close()\nprint('end')\n",
    "socket-pair": "import socket\na, b = socket.socketpair()\na.send(b'x')\nprint(b.recv(1))\n",
    "socket-file": "import socket\na, b = socket.socketpair()\nf = a.makefile('w')\nf.write('held back')\nprint('end')\n",
    "socket-of-a-class-of-its-own": "import socket\nclass S(socket.socket):\n    def __repr__(self):\n        print('asked')\n        return 'S'\ns = S()\n",
    "socket-with-warnings": "import socket, warnings\nwarnings.simplefilter('always')\nclass S(socket.socket):\n    def __repr__(self):\n        return 'S'\ns = S()\n",
    "socket-class-patched": "import socket\nsocket.socket.__repr__ = lambda self: print('asked') or 'S'\ns = socket.socket()\n",
    "many-loud": "import subprocess\nx = []\nfor n in range(70):\n    p = subprocess.Popen.__new__(subprocess.Popen)\n    p.returncode = 0\n    x.append(p)\nprint('end')\n",
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 1\nprint(asyncio.run(f()))\n",
    "asyncio-pending": "import asyncio\nasync def f():\n    await asyncio.sleep(100)\nloop = asyncio.new_event_loop()\nt = loop.create_task(f())\nloop.call_soon(loop.stop)\nloop.run_forever()\n",
    "asyncio-failed": "import asyncio\nasync def f():\n    1 / 0\nloop = asyncio.new_event_loop()\nt = loop.create_task(f())\nloop.run_until_complete(asyncio.wait([t]))\nloop.close()\n",
    "ssl": "import ssl\nc = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\nprint(c.verify_mode)\n",
    "ssl-keylog": "import ssl\nc = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\nc.keylog_filename = 'log'\n",
    "profile": "import cProfile\np = cProfile.Profile()\np.enable()\nclass C:\n    def __del__(self):\n        print('del')\nx = len('x')\n",
    "processes": "import multiprocessing\nif __name__ == '__main__':\n    with multiprocessing.get_context('fork').Pool(2) as p:\n        print(p.map(abs, [-1, 2]))\n",
    # What a hostile reviewer found.
    "found-file-in-a-cycle-of-a-closure": "def main():\n    out = open('log', 'w')\n    def walk(n):\n        out.write('%d' % n)\n        if n:\n            walk(n - 1)\n    walk(3)\nmain()\n",
    "found-file-in-a-cycle-of-an-object": "class L:\n    def __init__(self):\n        self.f = open('log', 'w')\n        self.h = self.write\n    def write(self, x):\n        self.f.write(x)\ndef main():\n    L().write('hello')\nmain()\n",
    "found-two-texts-on-one-buffer": "import io\nb = open('log', 'wb')\nt, u = io.TextIOWrapper(b), io.TextIOWrapper(b)\nt.write('1')\nu.write('2')\n",
    "found-reader-and-writer": "import io\nraw = io.FileIO('log', 'w+')\nr, w = io.BufferedReader(raw), io.BufferedWriter(raw)\nw.write(b'x')\ndel raw\n",
    "found-descriptor-of-two": "import os\nfd = os.open('log', os.O_RDWR | os.O_CREAT)\na, b = open(fd, 'rb', 0), open(fd, 'w')\nb.write('data')\n",
    "found-descriptor-closed": "import os\nf = open('x.py')\nos.close(f.fileno())\n",
    "found-descriptor-of-two-readers": "f = open('x.py')\ng = open(f.fileno())\n",
    "found-mode": "class R:\n    def __repr__(self):\n        print('repr')\n        return 'x'\nf = open('x.py')\nf.mode = R()\n",
    "found-shutdown-profiled": "import sys, threading\ndef p(f, e, a):\n    if f.f_code.co_name == '_shutdown' and e != 'c_call' and e != 'c_return':\n        print(e)\nsys.setprofile(p)\n",
    "found-shutdown-traced": "import sys, threading\ndef p(f, e, a):\n    print(e, f.f_code.co_name)\nsys.settrace(p)\n",
    "found-main-thread-asked": "import threading\ndef g(self, name):\n    print('get', name)\n    return object.__getattribute__(self, name)\nthreading.Thread.__getattribute__ = g\n",
    "found-main-thread-stops": "import threading\nthreading._main_thread._stop = lambda: print('stop')\n",
    "found-main-thread-lock": "import threading\nclass L:\n    def locked(self):\n        return False\nthreading._main_thread._tstate_lock = L()\n",
    "found-main-thread-handle": "import threading\nthreading._main_thread._handle = None\n",
    "found-shutdown-locks": "import threading\nclass S(set):\n    def __iter__(self):\n        print('iter')\n        return set.__iter__(self)\nthreading._shutdown_locks = S()\n",
    "found-weak-values-with-a-hash": "import weakref, os, sys\nclass K:\n    def __hash__(self, w=os.write):\n        w(1, b'hash ')\n        return 1\nclass V: pass\nweakref.v = V()\nsys.d = weakref.WeakValueDictionary()\nsys.d[K()] = weakref.v\n",
    "found-popen-profiled": "import sys, subprocess\nq = subprocess.Popen(['true'])\nq.wait()\nsys.modules.pop('threading', 0)\ndef f(f, e, a, w=sys.stdout.write):\n    w(e + f.f_code.co_name)\nsys.setprofile(f)\n",
    "found-popen-asked": "import subprocess, os\nclass R:\n    def __bool__(self, w=os.write):\n        w(1, b'bool')\n        return True\np = subprocess.Popen(['true'])\np.wait()\np._child_created = R()\n",
    "found-popen-property": "import subprocess, os\np = subprocess.Popen(['true'])\np.wait()\nsubprocess.Popen._child_created = property(lambda self, w=os.write: w(1, b'get'))\n",
    "found-popen-descriptor": "import subprocess, os\nclass D:\n    def __get__(self, instance, owner, w=os.write):\n        w(1, b'get')\n        return True\np = subprocess.Popen(['true'])\np.wait()\nsubprocess.Popen._child_created = D()\n",
    "found-archive-property": "import zipfile, io, os\nz = zipfile.ZipFile(io.BytesIO(), 'w')\nz.close()\nzipfile.ZipFile.fp = property(lambda self, w=os.write: w(1, b'get'))\n",
    "found-socket-asked": "import socket\ns = socket.socket()\nsocket.socket.fileno = lambda s: print('fileno') or 1\n",
    "found-socket-closed-and-asked": "import socket\ns = socket.socket()\ns.close()\nsocket.socket.fileno = lambda s: print('fileno') or 1\n",
    "found-main-replaced": "import sys, types\nsys.modules['__main__'] = types.ModuleType('__main__')\n",
    "found-main-replaced-and-an-error": "import sys, types\nsys.modules['__main__'] = types.ModuleType('__main__')\nsys.exit(3)\n",
    "found-main-deleted": "import sys\ndel sys.modules['__main__']\nf = open('log', 'w')\nf.write('x')\n",
    "found-warnings-again": "import sys\nsys.warnoptions.append('always')\nsys.modules.pop('warnings', 0)\nimport warnings\nf = open('x.py')\n",
    "found-exit-of-a-subclass": "class E(SystemExit): pass\nraise E('a')\n",
    "found-exit-of-a-subclass-with-a-number": "class E(SystemExit): pass\nraise E(3)\n",
}
for name, source in BEFORE.items():
    files = {"x.py": source}
    drop = ("log",) if "'log'" in source or "filename" in source else ()
    case("quiet/before/" + name, "x.py", files=files, drop=drop)
    case("quiet/before/warm/" + name, "x.py", files=files, env={"PYZY_PRELOAD": "stdlib"}, drop=drop)
case("quiet/before/logging-beside", "x.py", files={"logging.py": "import atexit\ndef shutdown():\n    print('mine')\natexit.register(shutdown)\n", "x.py": "import logging\n"})
case("quiet/before/logging-package-beside", "x.py", files={"logging/__init__.py": "import atexit\ndef shutdown():\n    print('mine')\natexit.register(shutdown)\n", "x.py": "import logging\n"}, env={"PYZY_PRELOAD": "stdlib"})
shell("quiet/before/logging-to-a-full-device", "python3 x.py > /dev/full; echo $?", files={"x.py": LOG + "logging.basicConfig(stream=sys.stdout)\nlogging.error('e')\nprint('more')\n"})
case("quiet/before/logging-to-a-closed-pipe", "x.py", LOG + "import os\nlogging.basicConfig(stream=sys.stdout)\nr, w = os.pipe()\nos.dup2(w, 1)\nos.close(r)\nos.close(w)\nlogging.error('e')\n", env={"PYZY_PRELOAD": "stdlib"})

# A message at the end, and what comes before and after it.
for name, source in {
    "text": "import sys\nsys.exit('a message')\n",
    "empty": "import sys\nsys.exit('')\n",
    "surrogates": "import sys\nsys.exit('\\udc80\\u20ac')\n",
    "raised": "raise SystemExit('a message')\n",
    "set-later": "e = SystemExit()\ne.code = 'later'\nraise e\n",
    "several": "raise SystemExit('a', 'b')\n",
    "of-a-class-of-its-own": "class E(SystemExit):\n    code = 'mine'\nraise E('theirs')\n",
    "text-of-a-class-of-its-own": "class S(str):\n    def __str__(self):\n        return 'shown'\nraise SystemExit(S('x'))\n",
    "object": "class C:\n    def __str__(self):\n        return 'shown'\nraise SystemExit(C())\n",
    "bytes-and-float": "raise SystemExit([b'x', 1.5])\n",
    "and-a-frame-that-is-loud": "import sys\nclass C:\n    def __del__(self):\n        sys.stderr.write('del\\n')\ndef f():\n    c = C()\n    sys.exit('a message')\nf()\n",
    "and-buffered-output": "import sys\nsys.stdout.write('out')\nsys.exit('a message')\n",
    "and-atexit": "import sys, atexit\natexit.register(lambda: sys.stderr.write('atexit\\n'))\nsys.exit('a message')\n",
    "without-stderr": "import sys\nsys.stderr = None\nsys.exit('a message')\n",
    "with-stderr-closed": "import sys\nsys.stderr.close()\nsys.exit('a message')\n",
    "with-stderr-replaced": "import sys\nclass S:\n    def write(self, text):\n        print('stderr', repr(text))\n    def flush(self):\n        pass\nsys.stderr = S()\nsys.exit('a message')\n",
    "with-stderr-patched": "import sys\nsys.stderr.write = lambda text: print('stderr', repr(text))\nsys.exit('a message')\n",
    "with-stderr-deleted": "import sys\ndel sys.stderr\nsys.exit('a message')\n",
    "in-an-exception": "import sys\ntry:\n    1 / 0\nfinally:\n    sys.exit('a message')\n",
    "whose-stream-goes-meanwhile": "import sys\nclass D:\n    def __del__(self):\n        sys.stderr = None\ndef f():\n    d = D()\n    raise SystemExit('m')\nf()\n",
    "that-cannot-be-encoded": "import sys\nsys.stderr.reconfigure(encoding='ascii', errors='strict')\nsys.exit('hi\\xe9')\n",
    "with-a-cause-that-is-loud": "import sys\nclass D:\n    def __del__(self):\n        print('D', file=sys.stderr)\nraise SystemExit('q') from ValueError(D())\n",
    "with-a-context-that-is-loud": "import sys\nclass D:\n    def __del__(self):\n        print('D', file=sys.stderr)\ndef f():\n    d = D()\n    try:\n        raise ValueError(D())\n    except ValueError:\n        sys.exit('q')\nf()\n",
    "inspected": "import sys, os\nos.environ['PYTHONINSPECT'] = '1'\nsys.exit('a message')\n",
}.items():
    case("quiet/message/" + name, "x.py", source)
shell("quiet/message/to-a-full-device", "python3 x.py 2> /dev/full; echo $?", files={"x.py": "import sys\nsys.exit('a message')\n"})
shell("quiet/message/to-a-closed-descriptor", "python3 x.py 2>&-; echo $?", files={"x.py": "import sys\nsys.exit('a message')\n"})
shell("quiet/message/to-a-descriptor-that-was-closed", "python3 x.py 2>&-; cat log", files={"x.py": "import sys\nf = open('log', 'wb', 0)\nsys.exit('a message')\n"})
