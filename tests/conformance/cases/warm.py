"""Warm modules: a script sees none of them until it imports them, and then what it would have seen cold."""

from harness import case as registry



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

# What a name is here.
case("warm/beside", "x.py", "import json\nprint(json.__file__, json.mine)\n", files={"json.py": "mine = 1\n", "x.py": "import json\nprint(json.mine)\n"}, imports={"json": False})
case("warm/package-beside", "x.py", files={"json/__init__.py": "mine = 1\n", "x.py": "import json\nprint(json.mine)\n"}, imports={"json": False})
case("warm/namespace-beside", "x.py", files={"json/data.txt": "", "x.py": "import json\nprint(json.__file__)\n"}, imports={"json": False})
case("warm/dependency-beside", "x.py", files={"numbers.py": "mine = 1\n", "x.py": "try:\n    import fractions\nexcept AttributeError as e:\n    print(e)\nimport sys\nprint(sys.modules['numbers'].mine)\n"}, route=("refused", "image-failed"))
case("warm/other-name-beside", "x.py", files={"json.txt": "", "jsons.py": "", "x.py": "import json\nprint(json)\n"}, imports={"json": True})
case("warm/absent-name-beside", "x.py", files={"msvcrt.py": "print('mine')\n", "x.py": "try:\n    import subprocess\nexcept Exception as e:\n    print(type(e))\n"}, imports={"subprocess": False})
case("warm/path-in-front", "x.py", files={"d/json.py": "mine = 1\n", "x.py": HERE + "sys.path.insert(0, here + '/d')\nimport json\nprint(json.mine)\n"}, imports={"json": False})
case("warm/path-changed-later", "x.py", files={"d/csv.py": "mine = 1\n", "x.py": HERE + "import json\nsys.path.insert(0, here + '/d')\nimport csv\nprint(json.dumps(1), csv.mine)\n"}, imports={"json": True, "csv": False})
case("warm/path-behind", "x.py", files={"d/csv.py": "mine = 1\n", "x.py": HERE + "sys.path.append(here + '/e')\nimport csv\nprint(csv.__name__)\n"}, imports={"csv": True})
case("warm/archive-in-front", "x.py", HERE + "import zipimport, _io\nsys.path.insert(0, here + '/a.zip')\nopen(here + '/a.zip', 'wb').write(b'PK\\5\\6' + bytes(18))\nimport csv\nprint(csv.__name__)\n", imports={"csv": False})
case("warm/path-pythonpath", "x.py", files={"d/csv.py": "mine = 1\n", "x.py": "import csv, json\nprint(csv.mine, json.__name__)\n"}, env={"PYTHONPATH": "@DIR@/d"}, imports={"csv": False})
case("warm/written-by-the-script", "x.py", HERE + "open(here + '/csv.py', 'w').write('mine = 1')\nimport csv\nprint(csv.mine)\n", imports={"csv": False}, drop=("__pycache__",))

# The ways to import.
case("warm/none-in-modules", "x.py", "import sys\nsys.modules['json'] = None\ntry:\n    import json\nexcept ImportError as e:\n    print(e)\n")
case("warm/mine-in-modules", "x.py", "import sys\nsys.modules['re'] = sys\ntry:\n    import textwrap\nexcept AttributeError as e:\n    print(e)\n", imports={"textwrap": False})
case("warm/deleted-and-again", "x.py", "import sys, json\na = json\ndel sys.modules['json']\nimport json\nprint(a is json, a.dumps is json.dumps, a.decoder is json.decoder)\n")
case("warm/reload", "x.py", "import json, importlib\na = json.dumps\nimportlib.reload(json)\nprint(json.dumps is a)\n")
case("warm/reloaded-dependency", "x.py", "import keyword, importlib\nimportlib.reload(keyword)\nimport collections\nprint(collections._iskeyword is keyword.iskeyword)\n", imports={"collections": False})
case("warm/patched-dependency", "x.py", "import time\nmine = time.monotonic = lambda: 1\nimport queue\nprint(queue.time is mine)\n", imports={"queue": False})
case("warm/patched-builtin", "x.py", "import builtins\nbuiltins.property = type('property', (property,), {})\nimport fractions\nprint(type(vars(fractions.Fraction)['numerator']) is property)\n", imports={"fractions": False})
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
case("warm/collector", "x.py", "import sys\nimport gc\nprint(gc.get_threshold(), gc.get_freeze_count(), gc.isenabled(), any(type(o) is type(sys) and o.__name__ == 'json' for o in gc.get_objects()))\nimport json\nprint(any(o is json for o in gc.get_objects()), gc.collect() >= 0)\n", imports={"gc": True, "json": True})
case("warm/fork", "x.py", "import os, threading, random, logging\npid = os.fork()\nif pid == 0:\n    print(threading.main_thread() is threading.current_thread(), flush=True)\n    os._exit(0)\nprint(os.waitpid(pid, 0)[1])\n", imports={"threading": True})
case("warm/exit-with-thread", "x.py", "import threading\nt = threading.Thread(target=print, args=('thread',))\nt.start()\n", imports={"threading": True})
case("warm/del-of-globals", "x.py", "import json, re, collections\nclass C:\n    def __del__(self):\n        print('del', json is not None and json.dumps(1), re.sub('a', 'b', 'a'))\nc = C()\njson.mine = C()\n", imports={"json": True})
