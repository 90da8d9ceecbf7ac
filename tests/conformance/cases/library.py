"""The standard library at work: a smoke test per neighbourhood."""

from harness.case import case

for name, source in {
    "asyncio": "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n\nasync def main():\n    print(await asyncio.gather(*map(f, range(3))))\n    p = await asyncio.create_subprocess_exec('sh', '-c', 'exit 4')\n    print(await p.wait())\nasyncio.run(main())\n",
    "asyncio-signal": "import asyncio, os, signal\nasync def main():\n    e = asyncio.Event()\n    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, e.set)\n    os.kill(os.getpid(), signal.SIGUSR1)\n    await e.wait()\n    print('set')\nasyncio.run(main())\n",
    "asyncio-shell": "import asyncio\nasync def main():\n    p = await asyncio.create_subprocess_shell('cat', stdin=-1, stdout=-1)\n    print(await p.communicate(b'x'))\nasyncio.run(main())\n",
    "sqlite3": "import sqlite3\nc = sqlite3.connect(':memory:')\nprint(c.execute('select 1 + 1, sqlite_version()').fetchall())\n",
    "ctypes": "import ctypes\nprint(ctypes.CDLL(None).abs(-3), ctypes.sizeof(ctypes.c_long), ctypes.pythonapi.Py_IsInitialized())\nctypes.pythonapi.Py_GetVersion.restype = ctypes.c_char_p\nprint(ctypes.pythonapi.Py_GetVersion())\n",
    "ctypes-callback": "import ctypes\nT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))\na = (ctypes.c_int * 4)(3, 1, 2, 0)\nctypes.CDLL(None).qsort(a, 4, 4, T(lambda x, y: x[0] - y[0]))\nprint(list(a))\n",
    "decimal": "from decimal import Decimal, getcontext\nprint(Decimal(1) / 3, getcontext())\n", "fractions": "from fractions import Fraction\nprint(Fraction(1, 3) + Fraction('0.5'))\n",
    "json": "import json\nprint(json.dumps({'a': [1, 2.5, None, True, 'grün']}), json.loads('[1]'))\n", "ssl": "import ssl\nprint(ssl.OPENSSL_VERSION, ssl.create_default_context().verify_mode)\n",
    "hashlib": "import hashlib\nprint(hashlib.sha256(b'x').hexdigest(), sorted(hashlib.algorithms_guaranteed)[:5])\n", "socket": "import socket\na, b = socket.socketpair()\na.send(b'x')\nprint(b.recv(1), socket.getdefaulttimeout())\n",
    "http-server": "import threading, http.server, urllib.request\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n        self.end_headers()\n        self.wfile.write(b'hello')\n    def log_message(self, *a):\n        pass\ns = http.server.HTTPServer(('127.0.0.1', 0), H)\nthreading.Thread(target=s.serve_forever, daemon=True).start()\nprint(urllib.request.build_opener(urllib.request.ProxyHandler({})).open('http://127.0.0.1:%d/' % s.server_port).read())\ns.shutdown()\ns.server_close()\n",
    "argparse": "import argparse\np = argparse.ArgumentParser()\np.add_argument('n', type=int)\np.parse_args([])\n", "argparse-help": "import argparse\nargparse.ArgumentParser(description='d').parse_args(['-h'])\n",
    "unittest": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(1, 1)\n    def test_b(self):\n        self.assertEqual(1, 2)\nunittest.main()\n",
    "doctest": "def f():\n    '''\n    >>> f()\n    1\n    '''\n    return 2\nimport doctest\nprint(doctest.testmod())\n",
    "logging": "import logging, sys\nlogging.basicConfig(level=logging.INFO, format='%(levelname)s %(processName)s %(threadName)s %(module)s %(message)s')\nlogging.info('x')\nlogging.getLogger('a').warning('y')\n",
    "pdb": "import pdb\nx = 1\npdb.set_trace()\nprint(x)\n", "code": "import code\ncode.interact(banner='hello', local={'v': 4})\n", "cmd": "import cmd\nclass C(cmd.Cmd):\n    def do_q(self, a):\n        print('q', a)\n        return True\nC().cmdloop()\n",
    "runpy": "import runpy\nprint(sorted(runpy.run_path('x2.py')))\n", "trace": "import sys\nsys.settrace(lambda f, e, a: print(e, f.f_lineno))\ndef f():\n    return 1\nf()\nsys.settrace(None)\n",
    "profile": "import cProfile, pstats, io\np = cProfile.Profile()\np.enable()\nsum(range(10))\np.disable()\nprint(len(p.getstats()) > 0)\n", "timeit": "import timeit\nprint(timeit.timeit('1', number=10) < 5)\n",
    "pickle-main": "import pickle\nclass C:\n    pass\nprint(pickle.dumps(C, 0))\n", "dataclasses": "from dataclasses import dataclass, asdict\n@dataclass\nclass P:\n    x: int\n    y: list\nprint(P(1, []), asdict(P(2, [3])))\n",
    "typing": "import typing\nclass N(typing.NamedTuple):\n    a: int\nprint(N(1), typing.get_type_hints(N))\n", "enum": "import enum\nclass E(enum.Enum):\n    A = 1\nprint(E.A, list(E), E(1))\n",
    "zlib-and-co": "import zlib, bz2, lzma, gzip\nprint(zlib.crc32(b'x'), bz2.decompress(bz2.compress(b'y')), lzma.decompress(lzma.compress(b'z')), gzip.decompress(gzip.compress(b'g')))\n",
    "locale-datetime": "import datetime, calendar\nprint(datetime.date(2020, 2, 29).strftime('%c'), calendar.month(2020, 2))\n", "platform": "import platform, sysconfig\nprint(platform.python_implementation(), platform.machine(), sysconfig.get_paths(), sysconfig.get_platform())\n",
    "importlib-metadata": "import importlib.metadata as m\nprint(sorted(d.metadata['Name'] or '' for d in m.distributions())[:3])\n", "resources": "import importlib.resources, encodings\nprint(importlib.resources.files('encodings').joinpath('__init__.py').is_file())\n",
    "inspect-stack": "import inspect\ndef f():\n    return [(i.function, i.lineno) for i in inspect.stack()]\nprint(f(), inspect.getmodule(f), inspect.getfile(f))\n", "linecache": "import linecache\nprint(repr(linecache.getline(__file__, 1)))\n",
    "mmap": "import mmap\nm = mmap.mmap(-1, 10)\nm[0] = 65\nprint(m[:2])\n", "select-epoll": "import select, os\ne = select.epoll()\nr, w = os.pipe()\ne.register(r)\nos.write(w, b'x')\nprint([x[1] for x in e.poll(5)])\n",
    "tempfile-cleanup": "import tempfile, os\nwith tempfile.TemporaryDirectory() as d:\n    open(os.path.join(d, 'f'), 'w').close()\nprint(os.path.exists(d))\n", "warnings-once": "import warnings\nfor i in range(3):\n    warnings.warn('again')\nprint(len(warnings.filters))\n",
    "numbers": "print(0.1 + 0.2, 2 ** 100, round(2.5), 7 // -2, divmod(-7, 3), 1e308 * 10, float('nan'))\n", "unicode": "import unicodedata\nprint(unicodedata.name('ü'), 'ß'.upper(), 'İ'.lower().encode())\n",
    "getpass-without-tty": "import getpass\nprint(getpass.getpass('P: '))\n", "curses-error": "import curses\ntry:\n    curses.setupterm('nosuchterm', 1)\nexcept curses.error as e:\n    print(e)\n", "pydoc": "import pydoc\nprint(pydoc.render_doc(len)[:40])\n",
    "zoneinfo": "import zoneinfo, datetime\ntry:\n    print(datetime.datetime(2020, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')))\nexcept zoneinfo.ZoneInfoNotFoundError as e:\n    print(e)\n"}.items():
    need = {"sqlite3": ("module:sqlite3",), "ssl": ("module:ssl",), "ctypes": ("module:ctypes",), "ctypes-callback": ("module:ctypes",), "curses-error": ("module:curses",)}.get(name, ())
    typed = {"pdb": b"p x + 1\nc\n", "code": b"print(v)\n", "cmd": b"q now\n", "getpass-without-tty": b"secret\n"}.get(name)
    case("library/" + name, "x.py", files={"x.py": source, "x2.py": "a = 1\n"}, stdin=typed, needs=need, group="session" if name.startswith("getpass") else "own", normal=((r"in \d\.\d+s", "in N s"),))
