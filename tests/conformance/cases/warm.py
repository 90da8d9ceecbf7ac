"""Warm modules: a script sees none of them until it imports them, and then what it would have seen cold."""

import ctypes
import os

from harness import case as registry
from harness.case import Made, dedent

def refuse_new_code():
    """PR_SET_MDWE (man 2 PR_SET_MDWE): nothing becomes executable that was not. Older kernels do not know it."""
    ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)


def case(name, argv, source=None, **more):
    """A case with the standard library kept warm."""
    more["env"] = {"PYZY_PRELOAD": "stdlib", **more.get("env", {})}
    registry.case(name, argv, source, **more)


SHOW = "import sys\nprint(list(sys.modules), [k.replace(sys.path[0], 'HERE') for k in sys.path_importer_cache])\n"
HERE = "import sys, os.path\nhere = os.path.dirname(os.path.abspath(__file__))\n"

case("warm/first-line", "x.py", "import sys\nprint(list(sys.modules), sys.path, sys.meta_path[-1], list(sys.path_importer_cache)[:-1], len(sys._current_frames()))\n")
case("warm/one", "x.py", "import json\nprint(json.dumps([1]), json.__spec__)\n" + SHOW, imports={"json": True})
case("warm/many", "x.py", "import argparse, dataclasses, decimal, random, tempfile, logging, subprocess\n" + SHOW, imports={"argparse": True, "logging": True, "subprocess": True})
case("warm/from", "x.py", "from xml.etree import ElementTree\nfrom collections import abc\nprint(ElementTree, abc)\n" + SHOW, imports={"xml.etree": True, "xml.etree.ElementTree": True})
case("warm/submodule-first", "x.py", "import json.scanner\nprint(vars(json).keys())\n" + SHOW, imports={"json.scanner": True})

# Names are as many strings as they are cold.
NAMES = """
import pickle, sys
seen = []
for key, module in list(sys.modules.items()):
    if module.__spec__ is None:
        continue
    names = [key, module.__name__, module.__spec__.name, getattr(module.__loader__, 'name', None)]
    names += [v.__module__ for v in vars(module).values() if isinstance(v, type) and v.__module__ == key]
    names += [v.__module__ for v in vars(module).values() if type(v) is type(lambda: 0) and v.__module__ == key]
    files = [getattr(module, '__file__', None), module.__spec__.origin, getattr(module.__loader__, 'path', None)]
    files += [v.__code__.co_filename for v in vars(module).values() if type(v) is type(lambda: 0) and v.__module__ == key]
    alike = lambda names: [[b is a for b in names].index(True) for a in names]
    seen.append((key, alike(names), alike(files), len(pickle.dumps((key, names)))))
for line in seen:
    print(*line)
literals = 'json', 'argparse', 'collections', 're', 'mine', 'json.decoder'
print([n is sys.modules[n].__name__ for n in literals if n in sys.modules])
"""
case("warm/names/stdlib", "x.py", "import argparse, collections, json, logging, xml.etree.ElementTree\nfrom concurrent import futures\n" + NAMES, imports={"json": True, "logging": True})
# What an import costs in memory.
case("warm/traced-memory", "x.py", "import json, tracemalloc\ntracemalloc.start()\nimport argparse\nprint(tracemalloc.get_traced_memory()[0] > 100000, len(tracemalloc.take_snapshot().traces) > 500)\ntracemalloc.stop()\nimport csv\n", imports={"json": True, "argparse": False, "csv": True})

# What a name is here.
case("warm/beside", "x.py", "import json\nprint(json.__file__, json.mine)\n", files={"json.py": "mine = 1\n", "x.py": "import json\nprint(json.mine)\n"}, imports={"json": False})
case("warm/package-beside", "x.py", files={"json/__init__.py": "mine = 1\n", "x.py": "import json\nprint(json.mine)\n"}, imports={"json": False})
case("warm/namespace-beside", "x.py", files={"json/data.txt": "", "x.py": "import json\nprint(json.__file__)\n"}, imports={"json": False})
case("warm/dependency-beside", "x.py", files={"numbers.py": "mine = 1\n", "x.py": "try:\n    import fractions\nexcept AttributeError as e:\n    print(e)\nimport sys\nprint(sys.modules['numbers'].mine)\n"}, route=("refused", "image-failed", "warm"))
case("warm/other-name-beside", "x.py", files={"json.txt": "", "jsons.py": "", "x.py": "import json\nprint(json)\n"}, imports={"json": True})
case("warm/absent-name-beside", "x.py", files={"msvcrt.py": "print('mine')\n", "x.py": "try:\n    import subprocess\nexcept Exception as e:\n    print(type(e))\n"}, imports={"subprocess": False})
case("warm/path-in-front", "x.py", files={"d/json.py": "mine = 1\n", "x.py": HERE + "sys.path.insert(0, here + '/d')\nimport json\nprint(json.mine)\n"}, imports={"json": False})
case("warm/path-changed-later", "x.py", files={"d/csv.py": "mine = 1\n", "x.py": HERE + "import json\nsys.path.insert(0, here + '/d')\nimport csv\nprint(json.dumps(1), csv.mine)\n"}, imports={"json": True, "csv": False})
case("warm/path-behind", "x.py", files={"d/csv.py": "mine = 1\n", "x.py": HERE + "sys.path.append(here + '/e')\nimport csv\nprint(csv.__name__)\n"}, imports={"csv": True})
case("warm/archive-in-front", "x.py", HERE + "import zipimport, _io\nsys.path.insert(0, here + '/a.zip')\nopen(here + '/a.zip', 'wb').write(b'PK\\5\\6' + bytes(18))\nimport csv\nprint(csv.__name__)\n", imports={"csv": False})
case("warm/path-pythonpath", "x.py", files={"d/csv.py": "mine = 1\n", "x.py": "import csv, json\nprint(csv.mine, json.__name__)\n"}, env={"PYTHONPATH": "@DIR@/d"}, imports={"csv": False})
case("warm/written-by-the-script", "x.py", HERE + "open(here + '/csv.py', 'w').write('mine = 1')\nimport csv\nprint(csv.mine)\n", imports={"csv": False}, drop=("__pycache__",))

# Finders are made where a search comes by, and no further; who is asked and gives nothing has made none.
PLUG = "import os\nos.mkdir(here + '/plug')\nopen(here + '/plug/mm.py', 'w').write('x = 1')\nimport mm\nprint(mm.x, here + '/plug' in sys.path_importer_cache)\n"
CACHED = "print([p for p in sys.path_importer_cache if 'plug' in p or not p])\n"
case("warm/finders/made-later", "x.py", HERE + "sys.path.append(here + '/plug')\nimport json\n" + CACHED + PLUG, imports={"json": True}, drop=("__pycache__",))
case("warm/finders/refused", "x.py", HERE + "sys.path.append(here + '/plug')\nimport keyword\nkeyword.mine = 1\nsys.path_hooks.append(len)\nimport json\n" + CACHED + PLUG, imports={"json": False}, drop=("__pycache__",))
case("warm/finders/refused-for-a-name", "x.py", HERE + "sys.path[:] = [here + '/plug'] + sys.path + [here + '/none']\nimport os\nos.mkdir(here + '/plug')\nopen(here + '/plug/numbers.py', 'w').write('x = 1')\ntry:\n    import fractions\nexcept AttributeError as e:\n    print(e)\nprint(here + '/none' in sys.path_importer_cache)\n", imports={"fractions": False}, drop=("__pycache__",))
case("warm/finders/archive-made-later", "x.py", HERE + "import zlib, zipfile\nsys.path.append(here + '/plug.zip')\nimport json\nwith zipfile.ZipFile(here + '/plug.zip', 'w') as z:\n    z.writestr('mm.py', 'x = 1')\nimport mm\nprint(mm.x)\n" + CACHED, imports={"json": True}, drop=("plug.zip",))
case("warm/finders/script", "x.py", "import sys\nimport json\nf = sys.path_importer_cache[sys.path[0]]\nprint(f, {k: (type(v), len(v) if type(v) is list else 0) for k, v in vars(f).items() if k != '_path_mtime'}, list(vars(f)), f.path is sys.path[0], f._loaders == sys.path_importer_cache[sys.path[2]]._loaders, f.path_mtime if hasattr(f, 'path_mtime') else 0)\nopen(sys.path[0] + '/mm.py', 'w').write('x = 1')\nf.invalidate_caches()\nimport mm\nprint(mm.x, len(f._path_cache), f._path_mtime > 0)\n", imports={"json": True}, drop=("__pycache__",))
case("warm/finders/all-objects", "x.py", "import gc, sys\ncount = lambda: [type(o).__name__ for o in gc.get_objects()].count('FileFinder')\nprint(count())\nimport json\nprint(count(), len(gc.get_referrers(type(sys.path_importer_cache[sys.path[0]]))) > 1)\n", imports={"json": True})
case("warm/finders/patched-zipimporter", "x.py", "import zipimport\nold = zipimport.zipimporter.__init__\ndef init(self, path):\n    print('asked')\n    old(self, path)\nzipimport.zipimporter.__init__ = init\nimport json\n", imports={"json": False})
case("warm/finders/patched-finder", "x.py", "import _frozen_importlib_external as e\nold = e.FileFinder.__init__\ndef init(self, path, *rest):\n    print('asked')\n    old(self, path, *rest)\ne.FileFinder.__init__ = init\nimport json\n", imports={"json": False})
ODD = {
    "nothing": "pic[S] = None",
    "without-loaders": "pic[S] = FF(S)",
    "loaders-gone": "pic[S]._loaders = []",
    "loaders-cleared": "pic[S]._loaders.clear()",
    "asks": "pic[S].find_spec = lambda n, t=None: print('asked', n)",
    "elsewhere": "pic[S].path = '/nonexistent'",
    "of-elsewhere": "pic[S] = FF('/nonexistent', *loaders)",
    "finds-nothing": "pic[S]._fill_cache = lambda: None\npic[S]._path_mtime = -1\npic[S]._path_cache = set()",
    "subclass": "pic[S] = type('F', (FF,), {'find_spec': lambda *a: print('asked')})(S, *loaders)",
}
for name, change in ODD.items():
    case("warm/finders/odd-" + name, "x.py", "import sys, os\nimport _frozen_importlib_external as e\nS = os.path.dirname(os.__file__)\npic = sys.path_importer_cache\nFF = type(pic[S])\nloaders = e._get_supported_file_loaders()\n" + change + "\ntry:\n    import signal\n    print(signal.SIGINT)\nexcept ImportError as error:\n    print(error)\n", imports={"signal": False})
case("warm/finders/same-again", "x.py", "import sys, os\nimport _frozen_importlib_external as e\nS = os.path.dirname(os.__file__)\nsys.path_importer_cache[S] = e.FileFinder(S, *e._get_supported_file_loaders())\nimport signal, importlib\nimportlib.invalidate_caches()\nimport json\nprint(signal.SIGINT, json.dumps([1]))\n", imports={"signal": True, "json": True})
case("warm/finders/relative", "x.py", "import os, sys\nos.chdir('a')\nsys.path.append('rel')\nimport json\nos.chdir('../b')\nimport mm\nprint(mm.x, [p for p in sys.path_importer_cache if p == 'rel'])\n", files={"a/rel/mm.py": "x = 'a'\n", "b/rel/mm.py": "x = 'b'\n"}, drop=("__pycache__",))
case("warm/finders/relative-in-front", "x.py", "import os, sys\nos.chdir('a')\nsys.path.insert(0, 'rel')\nimport json\nos.chdir('../b')\nimport mm\nprint(mm.x, [p for p in sys.path_importer_cache if p == 'rel'])\n", files={"a/rel/mm.py": "x = 'a'\n", "b/rel/mm.py": "x = 'b'\n"}, imports={"json": False}, drop=("__pycache__",))
for number, place in enumerate(("insert(0, '')", "insert(1, '')", "append('')")):
    case("warm/finders/empty-%d" % number, "x.py", "import sys\nsys.path.%s\nimport json\nprint('' in sys.path_importer_cache, len(sys.path_importer_cache))\n" % place)
case("warm/finders/to-the-end", "x.py", HERE + "sys.path.append(here + '/plug')\nimport subprocess\n" + CACHED, imports={"subprocess": True})
case("warm/finders/shortened", "x.py", "import sys\ndel sys.path[-1]\nimport json, csv\nprint(json.dumps([1]), csv.reader)\n" + SHOW)

# The ways to import.
case("warm/none-in-modules", "x.py", "import sys\nsys.modules['json'] = None\ntry:\n    import json\nexcept ImportError as e:\n    print(e)\n")
case("warm/mine-in-modules", "x.py", "import sys\nsys.modules['re'] = sys\ntry:\n    import textwrap\nexcept AttributeError as e:\n    print(e)\n", imports={"textwrap": False})
case("warm/deleted-and-again", "x.py", "import sys, json\na = json\ndel sys.modules['json']\nimport json\nprint(a is json, a.dumps is json.dumps, a.decoder is json.decoder)\n")
case("warm/reload", "x.py", "import json, importlib\na = json.dumps\nimportlib.reload(json)\nprint(json.dumps is a)\n")
case("warm/reloaded-dependency", "x.py", "import keyword, importlib\nimportlib.reload(keyword)\nimport collections\nprint(collections._iskeyword is keyword.iskeyword)\n", imports={"collections": False})
case("warm/patched-dependency", "x.py", "import time\nmine = time.monotonic = lambda: 1\nimport queue\nprint(queue.time is mine)\n", imports={"queue": False})
case("warm/patched-builtin", "x.py", "import builtins\nbuiltins.property = type('property', (property,), {})\nimport fractions\nprint(type(vars(fractions.Fraction)['numerator']) is property)\n", imports={"fractions": False})
case("warm/patched-lock", "x.py", "import _thread\no = _thread.allocate_lock\n_thread.allocate_lock = lambda: (print('lock'), o())[1]\nimport shutil, queue\n", imports={"shutil": False})
case("warm/patched-stat", "x.py", "import posix\no = posix.stat\nseen = []\ndef stat(*a, **k):\n    seen.append(a)\n    return o(*a, **k)\nposix.stat = stat\nimport shutil, json\nprint(len(seen) > 9)\n", imports={"json": False})
case("warm/import-overridden", "x.py", "import builtins\nreal = builtins.__import__\ndef mine(name, *rest):\n    print(name)\n    return real(name, *rest)\nbuiltins.__import__ = mine\nimport textwrap\n", imports={"textwrap": False})
case("warm/finder-in-front", "x.py", "import sys\nclass F:\n    @staticmethod\n    def find_spec(name, path=None, target=None):\n        print(name)\nsys.meta_path.insert(0, F)\nimport textwrap\n", imports={"textwrap": False})
case("warm/path-hook", "x.py", "import sys\nsys.path_hooks.insert(0, lambda p: print('hook') or int('x'))\ntry:\n    import textwrap\nexcept ValueError as e:\n    print(e)\n", imports={"textwrap": False})
case("warm/traced", "x.py", "import sys\nseen = []\nsys.settrace(lambda f, e, a: seen.append(f.f_code.co_name))\nimport textwrap\nsys.settrace(None)\nprint(seen.count('<module>'))\n", imports={"textwrap": False})
case("warm/profiled", "x.py", "import sys\nseen = []\nsys.setprofile(lambda f, e, a: seen.append(f.f_code.co_name))\nimport textwrap\nsys.setprofile(None)\nprint(seen.count('<module>'))\n", imports={"textwrap": False})
case("warm/audited", "x.py", "import sys\nsys.addaudithook(lambda e, a: print(e, a[0]) if e == 'import' else None)\nimport textwrap\n")
case("warm/util", "x.py", "import importlib.util\ns = importlib.util.find_spec('json')\nm = importlib.util.module_from_spec(s)\ns.loader.exec_module(m)\nimport json\nprint(m is json, m.dumps is json.dumps)\n", imports={"importlib.util": True})
case("warm/import-module", "x.py", "import importlib\nprint(importlib.import_module('json').dumps([]))\n" + SHOW)
case("warm/in-threads", "x.py", "import _thread\ndone = []\ndef f():\n    import json, decimal\n    done.append((json, decimal))\nfor i in range(8):\n    _thread.start_new_thread(f, ())\nimport time\nwhile len(done) < 8:\n    time.sleep(0.001)\nprint(len(set(map(id, [m for m, _ in done]))), len(set(map(id, [d for _, d in done]))))\n")

# Each run for itself.
case("warm/random", "x.py", "import random, sys\nx = random.random()\nprint(0 <= x < 1)\n", imports={"random": True})
case("warm/atexit", "x.py", "import atexit\nprint(atexit._ncallbacks())\nimport logging\nprint(atexit._ncallbacks())\natexit.register(print, 'end')\n", imports={"atexit": True, "logging": True})
case("warm/freed", "x.py", "import sys, gc, weakref\nimport json\nr = weakref.ref(json, lambda _: print('gone'))\nfor name in [n for n in sys.modules if n.split('.')[0] == 'json']:\n    del sys.modules[name]\ndel json, name\ngc.collect()\nprint(r() is None)\nimport json\nprint(json.dumps([1]), sorted(n for n in sys.modules if n.startswith('json')))\n", imports={"json": True})
case("warm/freed-in-part", "x.py", "import sys, gc\nimport json.decoder, collections.abc, argparse\nbefore = len(gc.get_objects())\ndel sys.modules['json.decoder'], json.decoder\ngc.collect()\nimport json.decoder\nprint(json.decoder.JSONDecoder().decode('[1]'), before > 1000, [m.__name__ for m in (json, argparse)])\n", imports={"argparse": True})
case("warm/collector", "x.py", "import sys\nimport gc\nprint(gc.get_threshold(), gc.get_freeze_count(), gc.isenabled(), any(type(o) is type(sys) and o.__name__ == 'json' for o in gc.get_objects()))\nimport json\nprint(any(o is json for o in gc.get_objects()), gc.collect() >= 0)\n", imports={"gc": True, "json": True})
case("warm/fork", "x.py", "import os, threading, random, logging\npid = os.fork()\nif pid == 0:\n    print(threading.main_thread() is threading.current_thread(), flush=True)\n    os._exit(0)\nprint(os.waitpid(pid, 0)[1])\n", imports={"threading": True})
case("warm/exit-with-thread", "x.py", "import threading\nt = threading.Thread(target=print, args=('thread',))\nt.start()\n", imports={"threading": True})
case("warm/del-of-globals", "x.py", "import json, re, collections\nclass C:\n    def __del__(self):\n        print('del', json is not None and json.dumps(1), re.sub('a', 'b', 'a'))\nc = C()\njson.mine = C()\n", imports={"json": True})

# The subclasses of a class are those that this process has made.
BELOW = "def below(*classes):\n    print([(c.__name__, [d.__module__ + '.' + d.__qualname__ for d in c.__subclasses__()]) for c in classes])\n"
case("warm/subclasses/none", "x.py", BELOW + "below(Exception, OSError, ValueError, LookupError, int, str)\nprint(len(object.__subclasses__()))\n")
case("warm/subclasses/one", "x.py", BELOW + "import json, enum\nbelow(Exception, ValueError, int, str, enum.Enum, json.JSONEncoder)\n", imports={"json": True})
case("warm/subclasses/in-turn", "x.py", BELOW + "import tempfile\nimport argparse, zipfile\nimport configparser\nbelow(ValueError, LookupError, OSError, argparse.Action)\nclass E(Exception): pass\nbelow(E, Exception)\n", imports={"zipfile": True})
case("warm/subclasses/out-of-turn", "x.py", BELOW + "import zipfile\nimport getopt\nimport argparse\nimport copy\nprint([n for n in ('BadZipFile', 'LargeZipFile', 'GetoptError', 'ArgumentError', 'ArgumentTypeError', 'Error') for c in Exception.__subclasses__() if c.__name__ == n])\nprint([c.__name__ for c in Exception.__subclasses__() if c.__module__ in ('zipfile', 'getopt', 'argparse', 'copy')])\n", imports={"zipfile": True, "argparse": True})
case("warm/subclasses/extension", "x.py", "import sys\nnames = [c.__module__ for c in object.__subclasses__()]\nprint('decimal' in names, '_struct' in names, 'array' in names)\nimport decimal, array\nnames = [c.__module__ for c in object.__subclasses__()]\nprint('decimal' in names, 'array' in names, 'zlib' in names)\n", imports={"decimal": True, "array": True})
case("warm/subclasses/of-a-changed-base", "x.py", "import enum, collections.abc\nenum.Enum.mine = 7\ncollections.abc.Mapping.mine = 8\nimport signal, configparser\nprint(signal.Signals.SIGINT.mine, configparser.ConfigParser().mine)\n")
case("warm/subclasses/abstract", "x.py", "import abc, numbers, collections.abc as a\nclass N(numbers.Number): pass\nprint(isinstance(N(), numbers.Number), isinstance(5, numbers.Real), issubclass(dict, a.Mapping), [c.__name__ for c in numbers.Number.__subclasses__()])\nimport fractions, decimal\nprint([c.__name__ for c in numbers.Rational.__subclasses__()], isinstance(decimal.Decimal(1), numbers.Number))\n", imports={"fractions": True})
case("warm/subclasses/in-the-place-of-freed-ones", "x.py", "import sys, gc, operator, random, types, unittest, dataclasses, argparse, typing, contextlib\nfor name in ('operator', 'types', 'unittest', 'dataclasses', 'argparse', 'contextlib'):\n    for n in [n for n in sys.modules if n == name or n.startswith(name + '.')]:\n        del sys.modules[n]\ndel operator, types, unittest, dataclasses, argparse, contextlib\ngc.collect()\nclass A: pass\nmade = [type('C%d' % i, (A,), {}) for i in range(3000)]\nprint(A.__subclasses__() == made)\n")
case("warm/subclasses/wrong-calls", "x.py", "for f in (lambda: type.__subclasses__(), lambda: type.__subclasses__(5), lambda: int.__subclasses__(1), lambda: type.__subclasses__(type)):\n    try:\n        print(len(f()))\n    except TypeError as e:\n        print(e)\n")
case("warm/subclasses/at-exit", "x.py", "import atexit, json\natexit.register(lambda: print([c.__name__ for c in ValueError.__subclasses__()]))\nclass C:\n    def __del__(self):\n        print(len(LookupError.__subclasses__()))\nc = C()\n", imports={"json": True})

# The libraries of hidden extensions cannot be executed before somebody may call them.
FILE_OF = "import sys, os\ndef file_of(name):\n    for d in sys.path:\n        for f in sorted(os.listdir(d)) if os.path.isdir(d) else ():\n            if f.split('.')[0] == name and f.endswith('.so'):\n                return os.path.join(d, f)\n"
case("warm/asleep/by-its-file", "x.py", FILE_OF + "import importlib.util\nfor name in ('_struct', '_json', 'zlib', 'array', '_decimal', '_queue'):\n    file = file_of(name)\n    if file:\n        spec = importlib.util.spec_from_file_location(name, file)\n        m = importlib.util.module_from_spec(spec)\n        spec.loader.exec_module(m)\n        print(m.__name__, len(vars(m)))\n")
case("warm/asleep/by-its-loader", "x.py", FILE_OF + "import _frozen_importlib_external as e\nfile = file_of('_struct')\nif file:\n    m = e.ExtensionFileLoader('_struct', file).load_module('_struct')\n    print(m.calcsize('i'), m.pack('>i', 5))\n")
case("warm/asleep/by-ctypes", "x.py", FILE_OF + "import ctypes\nfile = file_of('zlib')\nif file:\n    lib = ctypes.PyDLL(file)\n    lib.PyInit_zlib.restype = ctypes.py_object\n    print(bool(lib.PyInit_zlib()))\nctypes.CDLL(None).exit(3)\n")
case("warm/asleep/exit-by-c", "x.py", "import ctypes, sys\nprint('x')\nsys.stdout.flush()\nctypes.CDLL(None).exit(7)\n")
case("warm/asleep/thread-ends-by-c", "x.py", "import ctypes\nprint('x', flush=True)\nctypes.CDLL(None).pthread_exit(None)\n")
case("warm/asleep/forked", "x.py", "import os, sys\npid = os.fork()\nif pid == 0:\n    import decimal, struct\n    print(decimal.Decimal(1) / 3, struct.pack('i', 1))\n    sys.exit(4)\nprint(os.waitpid(pid, 0)[1])\nimport json, array\nprint(json.dumps([1.5, {}]), array.array('i', [1]))\n")
case("warm/asleep/finalised", "x.py", "class C:\n    def __del__(self):\n        import _struct, json\n        print(_struct.calcsize('i'), json.dumps([1]))\nc = C()\nimport atexit\n@atexit.register\ndef end():\n    import zlib, decimal\n    print(zlib.crc32(b'x'), decimal.Decimal(2))\n")
case("warm/asleep/all-used", "x.py", "import json, struct, zlib, decimal, array, binascii, random, heapq, bisect, datetime, csv, hashlib, pickle, socket, select, unicodedata, math, bz2, lzma, xml.etree.ElementTree as E, statistics, io\nprint(json.loads('[1, 2.5]'), struct.unpack('<h', b'ab'), zlib.decompress(zlib.compress(b'x')), decimal.Decimal('1.1') + 1, array.array('d', [1]), binascii.hexlify(b'a'), random.Random(1).random(), heapq.nsmallest(1, [3, 2]), bisect.bisect([1, 2], 1), datetime.date(2020, 1, 1), list(csv.reader(['a,b'])), hashlib.sha256(b'').hexdigest(), hashlib.blake2b(b'').hexdigest()[:8], pickle.loads(pickle.dumps({1: 2})), socket.htons(1), select.select([], [], [], 0), unicodedata.name('a'), math.sin(1), bz2.decompress(bz2.compress(b'y')), lzma.decompress(lzma.compress(b'z')), E.fromstring('<a><b/></a>')[0].tag, statistics.NormalDist().cdf(0.5), io.BytesIO(b'1').read())\n", imports={"json": True, "zlib": True})
case("warm/asleep/cold-after-a-change", "x.py", "import collections\ncollections.mine = 1\nimport decimal, datetime, csv, json, pickle\nprint(decimal.Decimal(1) / 7, datetime.timedelta(1), json.dumps({'a': 1.5}), pickle.dumps(1, 0))\n")
case("warm/asleep/another-interpreter", "x.py", "import sys\ntry:\n    import _interpreters as i\n    run = i.run_string\nexcept ImportError:\n    import _xxsubinterpreters as i\n    run = i.run_string\nn = i.create()\nrun(n, 'import math, _struct\\nprint(math.sin(0), _struct.calcsize(\"i\"), flush=True)')\ni.destroy(n)\nimport json\nprint(json.dumps(1))\n")
case("warm/asleep/name-of-a-character", "x.py", "import sys\nprint(eval('\"\\\\N{BULLET}\"').encode(), 'unicodedata' in sys.modules)\n")
case("warm/asleep/no-code-from-memory", "x.py", "import ctypes, json, decimal\nprint(ctypes.CDLL(None).prctl(66, 0, 0, 0, 0) >= -1, json.dumps([1.5]), decimal.Decimal(1) / 3)\n", pre=refuse_new_code, route=("warm", "refused", "image-failed", "no-zygote"))
case("warm/asleep/traceback-from-c", "x.py", "import faulthandler, sys\nfaulthandler.enable()\nimport json\ntry:\n    json.loads('{')\nexcept ValueError as e:\n    print(e)\n")


# Modules from elsewhere, by name: packages made here, in the user's site-packages.
USER = ".local/lib/python@VER@/site-packages"
WARM_OR_LATER = ("warm", "stale", "no-zygote", "refused", "silent", "closed", "busy")
SAY = "import mine, sys\nprint(mine.V, mine.__spec__.cached is not None, mine.__loader__ is mine.__spec__.loader)\n" + SHOW


COMPILE = "import compileall, sys\nassert compileall.compile_dir(sys.argv[1], quiet=1)\n"


def installed(files):
    """site-packages with these files, compiled as an installer does."""
    def make(path, world):
        world.write(path, {name: dedent(text) for name, text in files.items()})
        world.interpreter.preparer.run(COMPILE, path)
    return Made(make)


def package(name, site, script, imports, preload="mine", run=case, **more):
    """A case with an installed package that is named to be kept warm."""
    more["env"] = {"HOME": "@DIR@", "PYZY_PRELOAD": preload, **more.get("env", {})}
    more.setdefault("files", {})
    more["files"] = {USER: installed(site), **more["files"]}
    if run is case:
        more["files"]["x.py"] = script
        run("warm/package/" + name, "x.py", imports=imports, **more)
    else:
        more["files"]["x.py"] = more.pop("source", SAY)
        more.setdefault("route", WARM_OR_LATER)
        more.setdefault("tree", False)
        run("warm/package/" + name, script, imports=imports, **more)


PURE = {"mine/__init__.py": "V = 1\nfrom .sub import W\n", "mine/sub.py": "import textwrap\nW = textwrap.dedent(' 2')\n", "mine/later.py": "from . import V\nX = V + 2\n"}
package("pure", PURE, SAY, {"mine": True})
package("with-stdlib", PURE, "import json, textwrap, mine\nprint(mine.V, json.dumps(mine.W))\n" + SHOW, {"json": True, "mine": True}, preload="stdlib, mine")
package("names", {"mine/__init__.py": "from . import one\nfrom .sub.two import f\nimport mine.three\n", "mine/one.py": "class C: pass\n", "mine/three.py": "def g(): pass\n", "mine/sub/__init__.py": "", "mine/sub/two.py": "from ..one import C\ndef f(): pass\n"},
        "import mine\n" + NAMES, {"mine": True})
package("submodule", PURE, "from mine import sub\nimport mine.later as later\nprint(sub.W, later.X)\n" + SHOW, {"mine": True, "mine.later": True}, preload="mine,mine.later")
package("submodule-not-named", PURE, "import mine.later\nprint(mine.later.X)\n" + SHOW, {"mine": True, "mine.later": False})
package("submodule-alone", PURE, "import mine.later\nprint(mine.later.X)\n" + SHOW, {"mine.later": True}, preload="mine.later")
package("module", {"mine.py": "import re\nV = re.compile('a').pattern\n"}, SAY, {"mine": True})
package("needs-another", {"mine.py": "import other\nV = other.V\n", "other.py": "V = 5\n"}, SAY, {"mine": True})
package("bad-names", PURE, SAY, {"mine": True}, preload="no such,1x,mine,,nowhere,../x")
package("off", PURE, SAY, {}, preload="off")
package("namespace", {"mine/part.py": "V = 1\n"}, "import mine.part\nprint(mine.part.V, list(mine.__path__)[0][-4:])\n", {"mine.part": False}, preload="mine.part")
package("no-bytecode", {"other.py": "V = 1\n"}, "import mine\nprint(mine.V)\n", {"mine": False}, files={"s/mine.py": "V = 1\n"}, env={"PYTHONPATH": "@DIR@/s", "PYTHONDONTWRITEBYTECODE": "1"})
package("absent-then-there", {"mine.py": "try:\n    import faster\nexcept ImportError:\n    faster = None\nV = faster is None\n"}, SAY, {"mine": True})
package("absent-beside", {"mine.py": "try:\n    import faster\nexcept ImportError:\n    faster = None\nV = faster is None\n"}, SAY, {"mine": False}, files={"faster.py": ""})
package("beside", PURE, SAY, {"mine": False}, files={"mine.py": "V = 'beside'\n"})
package("dependency-beside", {"mine.py": "import other\nV = other.V\n", "other.py": "V = 5\n"}, SAY, {"mine": False}, files={"other.py": "V = 'beside'\n"})
package("traced", PURE, "import sys\nseen = []\nsys.settrace(lambda f, e, a: seen.append(f.f_code.co_filename))\nimport mine\nsys.settrace(None)\nprint(mine.V, any('mine' in s for s in seen))\n", {"mine": False})

# What its import reads of the environment is compared with the caller's.
READS = {"mine.py": "import os\nV = os.environ.get('MARK', 'none'), 'MARK' in os.environ, os.getenv('TWO')\n"}
package("environment", READS, SAY, {"mine": True})
package("environment-other", READS, SAY, {"mine": False}, env={"MARK": "now"})
package("environment-second", READS, SAY, {"mine": False}, env={"TWO": "now"})
package("environment-set-by-script", READS, "import os\nos.environ['MARK'] = 'script'\nimport mine\nprint(mine.V)\n", {"mine": False})
package("environment-of-a-dependency", {**READS, "other.py": "import mine\nV = mine.V\n"}, "import other\nprint(other.V)\n", {"other": False}, preload="other", env={"MARK": "now"})

# An import that asks or does more than that is left to the run; so is what needs it. What does not is warm.
IMPURE = {
    "environment": "import os\nV = len(dict(os.environ)) > 0\n",
    "environment-change": "import os\nos.environ['PYZY_TEST_MARK'] = '1'\nV = 1\n",
    "thread": "import _thread\nlock = _thread.allocate_lock()\nlock.acquire()\n_thread.start_new_thread(lock.acquire, ())\nlock.release()\nV = 1\n",
    "process": "import os\nV = os.system('true')\n",
    "socket": "import _socket\ns = _socket.socket()\ns.close()\nV = 1\n",
    "descriptor": "V = open(__file__).fileno() > 2\nF = open(__file__)\n",
    "write": "import os\nopen(os.path.dirname(__file__) + '/written', 'w').close()\nV = 1\n",
    "prints": "print('importing')\nV = 1\n",
    "clock": "import time\nV = time.time() > 1\n",
    "monotonic": "import time\nV = time.perf_counter() > 0\n",
    "entropy": "import os\nV = len(os.urandom(4))\n",
    "random": "import random\nV = 0 <= random.random() < 1\n",
    "pid": "import os\nV = os.getpid() > 0\n",
    "directory": "import os\nV = os.getcwd()\n",
    "arguments": "import sys\nV = sys.argv[0][-4:]\n",
    "stream": "import sys\ndef f(out=sys.stderr):\n    out.write('to stderr\\n')\nV = 1\nf()\n",
    "stream-kept": "import sys\nout = sys.stdout\nV = 1\n",
    "terminal": "import sys\nV = sys.stdout.isatty()\n",
    "modules": "import sys\nV = 'json' in sys.modules\n",
    "path": "import sys\nV = sys.path[0] == '/dev/null'\n",
    "path-change": "import sys\nsys.path.append('/nowhere')\nV = 1\n",
    "signal": "import signal\nV = signal.signal(signal.SIGUSR1, signal.SIG_IGN) == signal.SIG_DFL\n",
    "other-modules-list": "import other\nother.names.append('mine')\nV = 1\n",
    "logging-set-up": "import logging\nlogging.basicConfig(level=5)\nV = logging.root.level\n",
    "codec": "import codecs\ncodecs.register(lambda name: None)\nV = 1\n",
    "recursion-limit": "import sys\nsys.setrecursionlimit(1234)\nV = sys.getrecursionlimit()\n",
    "main": "import __main__\nV = hasattr(__main__, '__file__')\n",
    "distributions": "try:\n    import importlib.metadata as m\n    V = m.version('nowhere')\nexcept ImportError as e:\n    V = 1\n",
    "fails": "raise OSError('no')\n",
}
# One zygote for all of them: each is watched by itself. The names have no meaning for the import system.
EACH = "import good, sys, signal, logging\nfor name in %r:\n    try:\n        print(name, __import__('user_' + name).V)\n    except OSError as e:\n        print(name, e)\n    print(good.V, signal.getsignal(signal.SIGUSR1), sys.getrecursionlimit(), logging.root.level, len(sys.path))\n"
names = [name.replace("-", "_") for name in IMPURE]
site = {"good.py": "V = 'good'\n", "other.py": "names = []\n"}
for name, source in zip(names, IMPURE.values()):
    site.update({"mine_%s.py" % name: source.replace("'mine'", "'mine_%s'" % name), "user_%s.py" % name: "from mine_%s import V\n" % name})
package("impure", site, EACH % names, {"good": True, **{"user_" + name: False for name in names}}, preload=",".join(["user_" + name for name in names] + ["good"]), drop=("written",))

# What it registers is done at the hand-over, and not before.
PURE_DEEDS = {
    "atexit": "import atexit\natexit.register(print, 'at exit')\nV = 1\n",
    "warnings": "import warnings\nwarnings.simplefilter('ignore', RuntimeWarning)\nwarnings.filterwarnings('error', category=UserWarning, append=True)\nV = 1\n",
    "logger": "import logging\nlog = logging.getLogger(__name__)\nlog.addHandler(logging.NullHandler())\nlogging.getLogger('a.b.c')\nV = log.name\n",
    "codec-search": "V = b'\\xe9'.decode('latin-1')\n",
    "copyreg": "import copyreg\nclass C: pass\ncopyreg.pickle(C, lambda c: (C, ()))\nV = 1\n",
    "abc": "import collections.abc\nclass C: pass\ncollections.abc.Sized.register(C)\nV = isinstance(C(), collections.abc.Sized)\n",
    "reads-its-data": "import os\nwith open(os.path.join(os.path.dirname(__file__), 'data.txt')) as f:\n    V = f.read()\n",
    "host": "import os\nV = len(os.uname()) > 3\n",
    "own-place-in-modules": "import sys\nV = sys.modules[__name__].__name__\n",
}
LOOK = "print(len(warnings.filters), warnings.filters[0], warnings.filters[-1], sorted(logging.root.manager.loggerDict), len(logging._handlerList), len(copyreg.dispatch_table), atexit._ncallbacks())\n"
names = ["mine_" + name.replace("-", "_") for name in PURE_DEEDS]
script = "import warnings, logging, copyreg, atexit\n" + LOOK + "".join("import %s as m\nprint(m.V)\n" % name + LOOK for name in names) + "warnings.warn('w', RuntimeWarning)\n"
package("deeds", {**{name + ".py": source for name, source in zip(names, PURE_DEEDS.values())}, "data.txt": "data"}, script, {name: True for name in names}, preload=",".join(names))

# Changed between runs: the next run sees the truth.
AGAIN = "python3 x.py; %s; python3 x.py; python3 x.py"
SITE = "$HOME/" + USER
TWO = {"mine/__init__.py": "from .sub import W\nV = 1, W\n", "mine/sub.py": "W = 1\n"}
for name, change in {
    "edited-in-place": "echo 'W = 222' > @/mine/sub.py",
    "edited-package": "echo 'V = 333' > @/mine/__init__.py",
    "edited-by-rename": "echo 'W = 4444' > @/mine/new; mv @/mine/new @/mine/sub.py",
    "touched": "touch -d '2001-01-01' @/mine/sub.py",
    "submodule-deleted": "rm @/mine/sub.py",
    "deleted": "rm -r @/mine",
    "replaced-by-module": "rm -r @/mine; echo 'V = 5' > @/mine.py",
    "package-replaced": "mkdir @/n; echo 'V = 66' > @/n/__init__.py; mv @/mine @/old; mv @/n @/mine",
    "shadowed-in-the-package": "mkdir @/mine/sub; echo 'W = 77' > @/mine/sub/__init__.py",
    "shadowed-by-a-package": "mkdir -p $HOME/front; echo 'V = 88' > $HOME/front/mine.py; export PYTHONPATH=$HOME/front",
    "shadowed-beside": "echo 'V = 99' > mine.py",
    "bytecode-deleted": "rm -r @/mine/__pycache__",
    "shadowed-by-pth": "mkdir -p $HOME/front; echo 'V = 88' > $HOME/front/mine.py; echo \"import sys; sys.path.insert(0, '$HOME/front')\" > @/a.pth",
}.items():
    package("changed/" + name, TWO, AGAIN % change.replace("@", SITE), {"mine": True}, run=registry.shell)
package("changed/data", {"mine.py": PURE_DEEDS["reads-its-data"], "data.txt": "data"}, AGAIN % ("echo other > %s/data.txt" % SITE), {"mine": True}, run=registry.shell)
package("changed/absent-installed", {"mine.py": "try:\n    import faster\nexcept ImportError:\n    faster = None\nV = faster is None\n"}, AGAIN % ("echo > %s/faster.py" % SITE), {"mine": True}, run=registry.shell)
package("changed/dependency", {"mine.py": "import other\nV = other.V\n", "other.py": "V = 5\n"}, AGAIN % ("echo 'V = 55555' > %s/other.py" % SITE), {"mine": True}, run=registry.shell)

# What a script has set in a part of a package is seen by the part that it imports next.
HOLDS = """
    import collections
    class C: flag = 0
    class O: pass
    class S: __slots__ = ("z",)
    class Meta(type): names = []
    class M(metaclass=Meta): pass
    o, s = O(), S()
    s.z = o.z = 0
    registry, nested, names, members, table, queue = {}, {"in": {"side": []}}, [], set(), collections.defaultdict(list), collections.deque()
    pair = ([], {})
    def counted(count=[0], *, options={"a": 1}):
        return count, options
    def closure():
        kept = {}
        return (lambda: kept)
    keeps = closure()
"""
READS = """
    from . import holds as h
    V = (C := h.C).flag, vars(h.o), h.s.z, h.registry, h.nested, h.names, h.members, dict(h.table), list(h.queue), h.pair, h.counted(), h.keeps(), h.Meta.names, vars(h.M).get("new")
    V = repr(V)
"""
CHANGES = {
    "nothing": "pass", "class": "h.C.flag = 1", "instance": "h.o.z = 1", "new-attribute": "h.o.y = 1", "slot": "h.s.z = 1", "dictionary": "h.registry['x'] = 1", "nested": "h.nested['in']['side'].append(1)",
    "list": "h.names.append('x')", "set": "h.members.add(1)", "defaultdict": "h.table['x'].append(1)", "deque": "h.queue.append(1)", "tuple": "h.pair[0].append(1)", "default": "h.counted.__defaults__[0][0] = 7",
    "keyword-default": "h.counted.__kwdefaults__['options'] = {}", "defaults-replaced": "h.counted.__defaults__ = ([5],)", "closure": "h.keeps()['x'] = 1", "metaclass": "h.Meta.names.append(1)", "class-attribute": "h.M.new = 5",
    "deleted": "del h.nested['in']; import gc; gc.collect()", "replaced": "h.registry = {'y': 1}",
}
for name, change in CHANGES.items():
    package("set/" + name, {"mine/__init__.py": "", "mine/holds.py": HOLDS, "mine/reads.py": READS}, "import mine.holds as h\n" + change + "\nimport mine.reads\nprint(mine.reads.V)\n",
            {"mine.holds": True, "mine.reads": name == "nothing"}, preload="mine.holds,mine.reads")
package("set/used-only", {"mine/__init__.py": "", "mine/holds.py": HOLDS, "mine/reads.py": READS}, "import mine.holds as h\nclass D(h.C, metaclass=h.Meta): pass\nh.counted(); h.keeps(); repr(h.o), D()\nimport mine.reads\nprint(mine.reads.V)\n",
        {"mine.holds": True, "mine.reads": True}, preload="mine.holds,mine.reads")
# Parts that change each other are handed over together.
REGISTRY = {
    "mine/__init__.py": "from . import registry, plugin\nV = registry.NAMES, registry.TABLE, registry.SET, registry.Base.made\n",
    "mine/registry.py": "NAMES, TABLE, SET = [], {}, set()\nclass Base:\n    made = []\n    def __init_subclass__(cls):\n        Base.made.append(cls.__name__)\n",
    "mine/plugin.py": "from .registry import *\nfrom .registry import NAMES, TABLE, SET, Base\nNAMES.append(1)\nTABLE['a'] = 2\nSET.add(3)\nclass P(Base): pass\n",
}
package("together/whole", REGISTRY, SAY, {"mine": True})
package("together/part", {**REGISTRY, "mine/__init__.py": ""}, "import mine.registry as r\nprint(r.NAMES, r.TABLE, r.SET, r.Base.made)\nimport mine.plugin\nprint(r.NAMES, r.TABLE, r.SET, r.Base.made)\n", {"mine.registry": False, "mine.plugin": False}, preload="mine.registry,mine.plugin")
package("together/by-way-of-the-other", {**REGISTRY, "mine/__init__.py": ""}, "import mine.plugin, mine.registry as r\nprint(r.NAMES, r.TABLE, r.SET, r.Base.made)\n", {"mine.plugin": True}, preload="mine.registry,mine.plugin")
package("together/one-edited", REGISTRY, AGAIN % ("echo 'SET.add(4)' >> %s/mine/plugin.py" % SITE), {"mine": True}, run=registry.shell)
package("together/one-edited-part", {**REGISTRY, "mine/__init__.py": ""}, AGAIN % ("echo 'NAMES.append(4)' >> %s/mine/plugin.py" % SITE), {}, run=registry.shell, source="import mine.registry as r\nprint(r.NAMES)\nimport mine.plugin\nprint(r.NAMES)\n", preload="mine.registry,mine.plugin")
package("own-name-in-modules", {"mine/__init__.py": "from .sub import W\nV = 1\n", "mine/sub.py": "import sys\nW = sys.modules['mine'].__name__, sys.modules['mine.sub'].__spec__.name\n"}, SAY, {"mine": True})
package("another-name-in-modules", {"mine/__init__.py": "import sys\nimport textwrap\nV = sys.modules['textwrap'].__name__\n"}, SAY, {"mine": True})
package("part-that-is-nowhere", {"mine/__init__.py": "try:\n    from . import local\nexcept ImportError as e:\n    V = 'none', e.name\nelse:\n    V = local.X\n"}, SAY, {"mine": True})
package("part-that-appears", {"mine/__init__.py": "try:\n    from . import local\nexcept ImportError:\n    V = 'none'\nelse:\n    V = local.X\n"}, AGAIN % ("echo 'X = 7' > %s/mine/local.py" % SITE), {"mine": True}, run=registry.shell)
package("registered-with-threading", {"mine.py": "import concurrent.futures.thread\nV = 1\n"}, "import threading\nprint(len(threading._threading_atexits))\nimport concurrent.futures.thread\nprint(len(threading._threading_atexits))\n", {"concurrent.futures.thread": True}, preload="stdlib,mine,concurrent.futures.thread")
package("part-of-the-list-alone", PURE, "import _csv\nprint(_csv.list_dialects())\nimport csv\nprint(sorted(csv.list_dialects()))\n", {"_csv": False, "csv": False}, preload="stdlib,mine")
package("part-of-the-list-with-the-rest", PURE, "import csv, _csv\nprint(csv.list_dialects() == _csv.list_dialects())\nimport mine\nprint(mine.V)\n", {"csv": True, "mine": True}, preload="stdlib,mine")
case("warm/part-of-two", "x.py", "import _csv\nprint(_csv.list_dialects())\n_csv.register_dialect('mine', delimiter=';')\nimport csv\nprint(sorted(csv.list_dialects()), list(csv.reader(['a;b'], 'mine')))\n", imports={"_csv": False, "csv": False})
package("parts-of-the-list-alone", PURE, "import sys, _struct, _json, _heapq\nprint(_struct.calcsize('i'), _json.encode_basestring('a'), 'mine' in sys.modules)\n", {"_struct": True, "_json": True, "_heapq": True}, preload="stdlib,mine")
package("priority", {"mine.py": "import os\nV = os.getpriority(os.PRIO_PROCESS, 0)\n"}, SAY, {"mine": True})
package("another-priority", {"mine.py": "import os\nV = os.getpriority(os.PRIO_PROCESS, 0)\n"}, SAY, {"mine": False}, pre=lambda: os.nice(3))
package("pool", {"mine.py": "from concurrent.futures import ThreadPoolExecutor\nV = 1\n"}, "import mine, threading\nwith mine.ThreadPoolExecutor(2) as pool:\n    print(list(pool.map(abs, (-1, -2))))\nlate = mine.ThreadPoolExecutor(1)\nlate.submit(print, 'late')\n", {"mine": True}, preload="mine,concurrent.futures.thread")
package("refused-is-not-imported", {"mine/__init__.py": "", "mine/pure.py": "import time\ndef f():\n    import mine.impure\nV = 1\ntry:\n    from mine import impure\nexcept ImportError:\n    impure = None\n", "mine/impure.py": "import os\nwith open(os.path.expanduser('~/ran'), 'a') as f:\n    f.write('x')\n"},
        "import mine.pure\nprint(mine.pure.V, mine.pure.impure.__name__, len(open('ran').read()))\n", {"mine.pure": False}, preload="mine.pure")

# A project's file says what is kept warm: the nearest above the script.
def project(name, text, imports, script="p/x.py", preload=None, more_files=None, **more):
    """A script below a pyproject.toml; without PYZY_PRELOAD unless told."""
    files = {USER: installed(PURE), "pyproject.toml": text, "p/x.py": SAY, "p/prime.py": "pass\n", **(more_files or {})}
    if text is None:
        del files["pyproject.toml"]
    more["env"] = {"HOME": "@DIR@", "PYZY_PRELOAD": preload}
    registry.case("warm/project/" + name, script, files=files, imports=imports, prime_script="@DIR@/p/prime.py", **more)


NAMED = "[project]\nname = 'x'\n\n[tool.pyzy]\npreload = ['stdlib', 'mine']\n"
project("above", NAMED, {"mine": True})
project("absolute", NAMED, {"mine": True}, script="@DIR@/p/x.py")
project("by-dots", NAMED, {"mine": True}, script="p/../p/./x.py")
project("in-one-line", "tool = { pyzy = { preload = ['mine'] } }\n", {"mine": True})
project("variable-first", NAMED, {"mine": None}, preload="off")
project("variable-empty", NAMED, {"mine": None}, preload="")
project("nearest-silent", NAMED, {"mine": None}, more_files={"p/pyproject.toml": "[project]\nname = 'y'\n"})
project("nearest-speaks", "[tool.pyzy]\npreload = ['stdlib']\n", {"mine": True}, more_files={"p/pyproject.toml": NAMED})
project("malformed", "[tool.pyzy\npreload = ['mine']\n", {"mine": None})
project("no-list", "[tool.pyzy]\npreload = 'mine'\n", {"mine": None})
project("bad-names", "[tool.pyzy]\npreload = ['no such', 'mine', '']\n", {"mine": True})
project("not-text", b"\xff\xfe [tool.pyzy]\n", {"mine": None})
project("a-directory", None, {"mine": None}, more_files={"pyproject.toml/pyzy": ""})

# PYZY_CACHE_SCRIPT: the script's own imports are warm; its code runs once, in the run.
def own(name, script, imports, files=None, **more):
    """A script with a zygote of its own."""
    more["env"] = {"HOME": "@DIR@", "PYZY_CACHE_SCRIPT": "1", **more.get("env", {})}
    registry.case("warm/own/" + name, "x.py", files={USER: installed(PURE), "x.py": script, **(files or {})}, imports=imports, prime_script="@DIR@/x.py", tree=False, **more)


own("imports", "open('ran', 'a').write('x')\nimport sys, json\n" + SAY + "print(json.dumps(1))\n", {"mine": True, "json": True})
own("from", "from mine import sub\nfrom mine.later import X\nprint(sub.W, X)\n", {"mine": True, "mine.later": True})
own("guarded", "try:\n    import nowhere\nexcept ImportError:\n    import mine\nif True:\n    import textwrap\nprint(mine.V, textwrap.dedent(' a'))\n", {"mine": True})
own("with-list", "import mine.later\nprint(mine.later.X)\n", {"mine.later": True}, env={"PYZY_PRELOAD": "stdlib"})
own("beside", "import mine\nprint(mine.V)\n", {"mine": False}, files={"mine.py": "V = 'beside'\n"})
own("own-syntax-error", "import mine\nprint(mine.V\n", {})
