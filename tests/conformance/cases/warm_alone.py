"""What one module of a list changes, and another reads when it is imported: none of it shows to who imports the reader alone."""

from .warm import package

# What the changer does to `b`, and what the reader then finds: with `b` as it is written.
B = {
    "attribute": ("class B: pass\n", "b.B.x = 1\n", "hasattr(b.B, 'x')"),
    "name": ("", "b.x = 1\n", "hasattr(b, 'x')"),
    "property": ("class B: pass\n", "b.B.p = property(lambda s: 7)\n", "getattr(b.B(), 'p', None)"),
    "builtin": ("def f(): return int('5')\n", "b.int = lambda x: 99\n", "b.f()"),
    "singleton": ("class S:\n    _i = None\n    def __new__(cls):\n        cls._i = cls._i or object.__new__(cls)\n        return cls._i\n", "b.S()\n", "b.S._i is None"),
    "counter": ("class M(type):\n    n = 0\n    def __init__(cls, *rest):\n        M.n += 1\nclass B(metaclass=M): pass\n", "class C(b.B): pass\n", "b.M.n"),
    "module-getattr": ("LOG = []\ndef __getattr__(n):\n    if n.startswith('__'): raise AttributeError(n)\n    LOG.append(n)\n    return len(LOG)\n", "b.foo = 0\n", "(b.foo, list(b.LOG))"),
    "subclasses": ("class Root: pass\n", "class K2(b.Root): pass\n", "[c.__name__ for c in b.Root.__subclasses__()]"),
    "subclasses-by-name": ("class Root: pass\n", "class K2(b.Root): pass\n", "{c.__name__: c for c in b.Root.__subclasses__()}.get('K2')"),
    "copyreg": ("class O: pass\n", "import copyreg\ncopyreg.pickle(b.O, lambda o: (str, ('x',)))\n", "type(__import__('copy').copy(b.O())).__name__"),
    "linecache": ("", "import linecache\nlinecache.cache['<x>'] = (2, None, ['zz\\n'], '<x>')\n", "__import__('linecache').getline('<x>', 1)"),
    "logger": ("", "import logging\nlogging.getLogger('wh').addHandler(logging.NullHandler())\n", "__import__('logging').getLogger('wh').hasHandlers()"),
    "class-of-the-module": ("", "import types\nclass M(types.ModuleType):\n    z = 5\nb.__class__ = M\n", "getattr(b, 'z', 0)"),
    "deleted": ("a = 1\nc = 2\n", "del b.a\n", "getattr(b, 'a', 0)"),
    "abstract": ("import abc\nclass A(abc.ABC): pass\n", "class Q(b.A): pass\nQ.register(list)\n", "isinstance([], b.A)"),
}
# Where the changer goes together with `b`, or not at all.
TIED = {"deleted"}
for name, (base, change, read) in B.items():
    files = {"b.py": base, "c.py": "import b\n" + change, "w.py": "import b\nV = %s\n" % read, "other.py": "V = 1\n"}
    for order in ("b,c,w", "c,w"):
        package("alone/%s-%s" % (name, order.replace(",", "-")), files, "import other, w\nprint(w.V)\nimport b\nprint(%s)\n" % read, {"other": True}, preload="other," + order)
    package("alone/%s-and-back" % name, files, "import b\nprint(%s)\nimport c\nprint(%s)\nimport w\nprint(w.V)\n" % (read, read), {"b": name not in TIED}, preload="b,c,w")

package("alone/alias", {"b.py": "a = []\n", "c.py": "import b, sys\nsys.modules['w_alias'] = b\n", "w.py": "import sys\ntry:\n    import w_alias\n    V = 'there'\nexcept ImportError as e:\n    V = str(e)\n"},
        "import c\nimport w_alias\nprint(w_alias.a)\nimport w\nprint(w.V)\n", {"c": False}, preload="w,c")
package("alone/lazy", {"lz/__init__.py": "LOG = []\ndef __getattr__(n):\n    if n.startswith('_'): raise AttributeError(n)\n    LOG.append(n)\n    import importlib\n    return importlib.import_module('lz.' + n)\n", "lz/one.py": "x = 1\n", "lz/two.py": "from lz import one\nV = one.x\n"},
        "import lz.one\nimport lz.two\nimport lz\nprint(lz.LOG, lz.two.V)\n", {"lz.one": True}, preload="lz,lz.one,lz.two")
package("alone/protocol", {"h_pr.py": "import typing\n@typing.runtime_checkable\nclass Q(typing.Protocol):\n    def f(self): ...\nX = isinstance(5, Q)\n"},
        "import sys, typing\n@typing.runtime_checkable\nclass P(typing.Protocol):\n    def f(self): ...\nprint('inspect' in sys.modules, isinstance(5, P), 'inspect' in sys.modules)\n", {"typing": True}, preload="stdlib,h_pr")
package("alone/cycle", {"h_cyc.py": "import weakref\nlog = []\nclass D:\n    def __del__(self, log=log): log.append(1)\nd = D()\nd.me = d\nr = weakref.ref(d)\n"},
        "import h_cyc, gc\nh_cyc.d = None\ngc.collect()\nprint(h_cyc.log, h_cyc.r())\n", {"h_cyc": True}, preload="h_cyc")
package("alone/cache-tag", {"mine.py": "V = 1\n"}, "import sys\nsys.dont_write_bytecode = True\nsys.implementation.cache_tag = 'foo-99'\nimport mine\nprint(mine.__cached__.split('.')[-2:])\n", {"mine": False}, preload="mine")
