"""Modules whose imports change what others have made: both are handed over, or none."""

from cases.warm import package

# Each kind: what `b` has, what the import of `a` does with it, what it is then, and the first version with it. A module `b`
# imports nothing of `a`; `a` imports `b`.
KINDS = {
    "dictionary-item": ("D = {'x': 1}", "b.D['x'] = 2", "b.D"),
    "list-item": ("L = [1, 2]", "b.L[0] = 7", "b.L"),
    "list-order": ("L = [3, 1, 2]", "b.L.sort()", "b.L"),
    "set-item": ("S = {1}", "b.S.discard(1); b.S.add(2)", "b.S"),
    "attribute": ("class C: debug = 0\nconfig = C()\nconfig.debug = False", "b.config.debug = True", "vars(b.config)"),
    "attributes-swapped": ("class C: pass\nconfig = C()\nconfig.debug, config.quiet = True, False", "b.config.debug, b.config.quiet = False, True", "(b.config.debug, b.config.quiet)"),
    "attribute-renamed": ("class C: pass\no = C()\no.x = o.z = None", "del b.o.x; b.o.y = None", "sorted(vars(b.o))"),
    "attribute-counted": ("class C: pass\no = C()\no.n = 1000", "b.o.n += 1; b.o.n += 1", "b.o.n"),
    "attribute-by-namespace": ("class C: pass\no = C()", "vars(b.o)['x'] = 1", "vars(b.o)"),
    "attribute-of-another-name": ("class C: pass\no = C()", "setattr(b.o, 'x', 1)", "vars(b.o)"),
    "nested": ("class C: pass\no = C()\no.items = C()\no.items.all = [{}]", "b.o.items.all[0]['x'] = 1", "b.o.items.all"),
    "in-a-tuple": ("T = ([], {'in': set()})", "b.T[1]['in'].add(1)", "b.T"),
    "slots": ("class C: __slots__ = ('x', 'y')\no = C()\no.x = 1", "b.o.x, b.o.y = 3, 4", "(b.o.x, hasattr(b.o, 'y'))"),
    "property": ("class C:\n    _x = 1\n    @property\n    def x(self): return self._x\n    @x.setter\n    def x(self, v): self._x = v\no = C()", "b.o.x = 5", "b.o.x"),
    "class-of-an-instance": ("class C: pass\nclass D: pass\no = C()", "b.o.__class__ = b.D", "type(b.o).__name__"),
    "deque": ("from collections import deque\nQ = deque([1, 2])", "b.Q.rotate(1); b.Q.append(3)", "b.Q"),
    "ordered": ("from collections import OrderedDict\nO = OrderedDict(x=1, y=2)", "b.O.move_to_end('x')", "list(b.O)"),
    "defaultdict": ("from collections import defaultdict\nO = defaultdict(list)", "b.O['x']", "dict(b.O)"),
    "counter": ("from collections import Counter\nO = Counter()", "b.O.update('aa')", "dict(b.O)"),
    "chain-map": ("from collections import ChainMap\nO = ChainMap({})", "b.O['x'] = 1", "dict(b.O)"),
    "array": ("from array import array\nO = array('i', [1, 2])", "b.O[0] = 9", "b.O"),
    "bytearray": ("O = bytearray(b'ab')", "b.O[0] = 120", "bytes(b.O)"),
    "bytearray-in-a-dictionary": ("O = {'k': bytearray(4)}", "b.O['k'][1] = 120", "b.O"),
    "namespace-object": ("import types\nO = types.SimpleNamespace(x=1)", "b.O.x = 2", "b.O"),
    "list-subclass": ("class L(list): pass\nO = L([1])", "b.O.append(2)", "list(b.O)"),
    "dictionary-subclass": ("class D(dict): pass\nO = D(x=1)", "b.O['x'] = 2", "dict(b.O)"),
    "function-attribute": ("def f(): pass", "b.f.mark = 1", "vars(b.f)"),
    "function-defaults": ("def f(x=1): return x", "b.f.__defaults__ = (2,)", "b.f()"),
    "function-keyword-defaults": ("def f(*, x=1): return x", "b.f.__kwdefaults__['x'] = 2", "b.f()"),
    "function-code": ("def f(): return 1", "b.f.__code__ = (lambda: 2).__code__", "b.f()"),
    "function-annotation": ("def f(x: int): pass", "b.f.__annotations__['x'] = str", "b.f.__annotations__"),
    "function-doc": ("def f():\n    'doc'", "b.f.__doc__ = 'other'", "b.f.__doc__"),
    "method-attribute": ("class C:\n    def m(self): pass", "b.C.m.mark = 1", "vars(b.C.m)"),
    "default-list": ("def f(x=[]): return x", "b.f().append(1)", "b.f()"),
    "closure": ("def make():\n    n = 0\n    def f(step=0):\n        nonlocal n\n        n += step\n        return n\n    return f\nf = make()", "b.f(3)", "b.f()"),
    "count": ("import itertools\nids = itertools.count()\nlast = lambda: repr(ids)", "next(b.ids)", "b.last()"),
    "count-in-a-class": ("import itertools\nclass C:\n    ids = itertools.count(5)\n    def __init__(self): self.id = next(self.ids)", "mine = b.C()", "b.C.ids"),
    "count-bound": ("import itertools\nnew = itertools.count(1).__next__", "b.new()", "b.new.__self__"),
    "list-iterator": ("O = iter([1, 2, 3])", "next(b.O)", "b.O.__length_hint__()"),
    "generator": ("def ids():\n    n = 0\n    while True:\n        n += 1\n        yield n\nO = ids()", "next(b.O)", "next(b.O)"),
    "cycle": ("import itertools\nO = itertools.cycle('abc')", "next(b.O)", "next(b.O)"),
    "map": ("O = map(str, iter(range(9)))", "next(b.O)", "next(b.O)"),
    "class-counter-nested": ("class C:\n    class D: n = 0", "b.C.D.n += 1", "b.C.D.n"),
    "class-in-a-list": ("def make():\n    class D: n = 0\n    return D\nL = [make()]", "b.L[0].n = 1", "b.L[0].n"),
    "class-bases": ("class X: pass\nclass Y: pass\nclass C(X): pass", "b.C.__bases__ = (b.Y,)", "b.C.__mro__"),
    "cached-function": ("import functools\n@functools.lru_cache(None)\ndef f(x): return x", "b.f(1)", "b.f.cache_info()"),
    "cached-method": ("import functools\nclass C:\n    @functools.lru_cache(maxsize=9)\n    def m(self): return 1\no = C()", "b.o.m()", "b.C.m.cache_info()"),
    "cached-property": ("import functools\nclass C:\n    @functools.cached_property\n    def p(self): return 1\no = C()", "b.o.p", "vars(b.o)"),
    "singledispatch": ("import functools\n@functools.singledispatch\ndef f(x): return 0", "b.f.register(int, lambda x: 1)", "(b.f(1), len(b.f.registry))"),
    "abstract": ("import abc\nclass B(abc.ABC): pass\nclass C: pass", "b.B.register(b.C)", "issubclass(b.C, b.B)"),
    "abstract-of-a-builtin": ("import abc\nclass B(abc.ABC): pass", "b.B.register(int)", "issubclass(int, b.B)"),
    "abstract-of-another": ("import collections.abc\nclass C: pass", "import collections.abc\ncollections.abc.Sized.register(b.C)", "__import__('collections.abc').abc.Sized.__subclasscheck__(b.C)"),
    "weak-keys": ("import weakref\nclass C: pass\nkey = C()\nW = weakref.WeakKeyDictionary()", "b.W[b.key] = 1", "len(b.W)"),
    "weak-values": ("import weakref\nclass C: pass\nvalue = C()\nW = weakref.WeakValueDictionary()", "b.W[1] = b.value", "len(b.W)"),
    "weak-set": ("import weakref\nclass C: pass\nvalue = C()\nW = weakref.WeakSet()", "b.W.add(b.value)", "len(b.W)"),
    "enum": ("import enum\nclass E(enum.Flag):\n    A = 1\n    B = 2", "b.E.A | b.E.B", "len(b.E._value2member_map_)"),
    "enum-attribute": ("import enum\nclass E(enum.Enum):\n    A = 1", "b.E.A.mark = 1", "getattr(b.E.A, 'mark', 0)"),
    "local": ("import threading\nO = threading.local()\nO.x = 1", "b.O.x = 2", "b.O.x"),
    "init-subclass": ("class B:\n    all = []\n    def __init_subclass__(cls): B.all.append(cls.__name__)", "class P(b.B): pass", "b.B.all"),
    "metaclass": ("class M(type):\n    all = {}\n    def __init__(cls, *rest): M.all[cls.__name__] = 1\nclass B(metaclass=M): pass", "class P(b.B): pass", "b.M.all"),
    "random": ("import random\nR = random.Random(5)", "b.R.random()", "b.R.random()"),
    "lock": ("import threading\nlock = threading.Lock()", "b.lock.acquire()", "b.lock.locked()"),
    "bytes-io": ("import io\nO = io.BytesIO(b'abc')", "b.O.read(1)", "b.O.tell()"),
    "string-io": ("import io\nO = io.StringIO()", "b.O.write('x')", "b.O.getvalue()"),
    "partial": ("import functools\nO = functools.partial(int)", "b.O.mark = 1", "vars(b.O)"),
    "static-method": ("class C:\n    @staticmethod\n    def f(x=[]): return x", "b.C.f().append(2)", "b.C.f()"),
    "exception": ("E = ValueError('x')", "b.E.args = ('y',)", "b.E.args"),
    "digest": ("import hashlib\nO = hashlib.md5()", "b.O.update(b'x')", "b.O.hexdigest()"),
    "named-logger": ("import logging\nlog = logging.getLogger('tieb')", "b.log.setLevel(5); b.log.addHandler(__import__('logging').NullHandler())", "(b.log.level, len(b.log.handlers))"),
    "logger-by-its-name": ("import logging\nlog = logging.getLogger('tiec')", "import logging\nlogging.getLogger('tiec').propagate = False", "b.log.propagate"),
    "parent-of-loggers": ("import logging\nlog = logging.getLogger('tied.e')", "import logging\nlogging.getLogger('tied')", "b.log.parent.name"),
}

# Kinds that change nothing of another's.
NOTHING = {
    "nothing": ("V = 1", "pass", "b.V"),
    "name": ("V = 1", "b.V = 2", "b.V"),
    "new-name": ("V = 1", "b.W = 2", "getattr(b, 'W', 0)"),
    "class-attribute": ("class C: n = 0", "b.C.n = 1", "b.C.n"),
    "subclass": ("class C: pass", "class P(b.C): pass", "b.C.__subclasses__()"),
    "instance-of": ("class C: pass", "mine = b.C()\nmine.x = 1", "b.C"),
    "called": ("def f(x, y=[]): return {x: y}", "mine = b.f(1)", "b.f(1)"),
    "wrapped": ("import functools\ndef f(x: int) -> str: 'doc'", "import functools\n@functools.wraps(b.f)\ndef g(x): pass", "b.f.__name__"),
    "signature": ("def f(x: int, y=[]) -> str: 'doc'", "import inspect\nmine = str(inspect.signature(b.f))", "b.f.__doc__"),
    "looked-at": ("class C: pass\no = C()\no.x = 1", "mine = dict(vars(b.o))", "b.o.x"),
    "iterated": ("D, L, S = {1: 2}, [1], {3}", "mine = [list(b.D), list(b.L), list(b.S), sorted(b.D.items())]", "b.D"),
    "weakly-referred": ("class C: pass\no = C()", "import weakref\nr = weakref.ref(b.o)", "b.o.__class__"),
    "own-class-registered": ("import abc\nclass B(abc.ABC): pass", "import numbers, collections.abc\nclass P: pass\nnumbers.Number.register(P)\ncollections.abc.Sized.register(P)", "b.B"),
    "pattern": ("import re\nV = 1", "import re\nmine = re.compile('a.b', re.I | re.M | re.S)", "b.V"),
    "typing": ("import typing\nT = typing.List[int]", "import typing\nU = typing.Dict[str, typing.Optional[typing.List[int]]]\nmine = b.T.__args__", "b.T"),
    "named-tuple": ("import collections\nP = collections.namedtuple('P', 'x y')", "mine = b.P(1, 2)._replace(x=3)", "b.P(1, 2)"),
    "data-class": ("import dataclasses\n@dataclasses.dataclass\nclass C:\n    x: int = 0\no = C()", "import dataclasses\n@dataclasses.dataclass\nclass P(b.C):\n    y: int = 1\nmine = dataclasses.asdict(P()), dataclasses.fields(b.C)", "b.o"),
    "enumerated": ("import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2", "mine = list(b.E), b.E(1), b.E['B'], b.E.A.name", "list(b.E)"),
    "own-logger": ("import logging\nlog = logging.getLogger('tief')", "import logging\nlogging.getLogger('tieg').addHandler(logging.NullHandler())", "b.log.parent.name"),
    "own-dispatch": ("V = 1", "import functools\n@functools.singledispatch\ndef f(x): return 0\nf.register(int, lambda x: 1)\nf(1)", "b.V"),
    "copied": ("class C: pass\no = C()", "import copy\nmine = copy.deepcopy(b.o), copy.copy(b.o)", "vars(b.o)"),
    "held-for-a-moment": ("import threading\nlock = threading.RLock()", "with b.lock: mine = 1", "b.lock._is_owned()"),
    "cache-of-the-library": ("import urllib.parse\nV = 1", "import urllib.parse\nmine = urllib.parse.urlsplit('http://a/b')", "b.V"),
}


def site(kinds):
    """A module `b_NAME` and a module `a_NAME` for each."""
    files = {}
    for name, (has, does, is_) in kinds.items():
        name = name.replace("-", "_")
        files["b_%s.py" % name] = has + "\n"
        files["a_%s.py" % name] = "import b_%s as b\n%s\n" % (name, does)
    return files


def names(kinds, *letters):
    """The modules, one kind after the other."""
    return [letter + "_" + name.replace("-", "_") for name in kinds for letter in letters]


def script(kinds, *letters, change="", between=False):
    """Imports the modules and shows what each `b` has. `between` changes something of it before `a`."""
    lines = ["import sys"]
    for name, (has, does, is_) in kinds.items():
        name = name.replace("-", "_")
        for letter in letters:
            lines.append("import %s_%s" % (letter, name))
            lines.append("b = sys.modules['b_%s']" % name)
            lines.append("print('%s after %s:', repr(%s))" % (name, letter, is_))
            if between and letter == "b":
                lines += does.splitlines()
    return "\n".join(lines) + "\n"


def cases(title, kinds, is_tied, **more):
    """All kinds together, in each order."""
    preload = ",".join(["stdlib", *names(kinds, "b", "a")])
    alone = {name: not is_tied for name in names(kinds, "b")}
    package("ties/%s/changed-only" % title, site(kinds), script(kinds, "b"), alone, preload=preload, **more)
    package("ties/%s/changer-only" % title, site(kinds), script(kinds, "a"), {name: True for name in names(kinds, "a")}, preload=preload, **more)
    package("ties/%s/changed-first" % title, site(kinds), script(kinds, "b", "a"), {name: not is_tied for name in names(kinds, "b", "a")}, preload=preload, **more)
    backwards = ",".join(["stdlib", *names(kinds, "a", "b")])
    package("ties/%s/named-backwards" % title, site(kinds), script(kinds, "b"), alone, preload=backwards, **more)
    return preload


cases("changed", KINDS, True)
cases("unchanged", NOTHING, False)

# What b has is also what somebody else has: all three go together.
CHAIN = {"b.py": "registry = {}\n", "c.py": "import b\nclass C: n = 0\nb.registry['c'] = C()\n", "a.py": "import b\nb.registry['c'].n = 5\n"}
STATE = "print({k: vars(v) for k, v in sys.modules['b'].registry.items()})\n"
package("ties/chain/one", CHAIN, "import sys, b\n" + STATE, {"b": False}, preload="b,c,a")
package("ties/chain/two", CHAIN, "import sys, b, c\n" + STATE, {"b": False, "c": False}, preload="b,c,a")
package("ties/chain/other-order", CHAIN, "import sys, c\n" + STATE + "import json\n", {"c": False, "json": True}, preload="b,c,a,json")
package("ties/chain/all", {**CHAIN, "d.py": "import b, c, a\n"}, "import sys, d\n" + STATE, {"d": True}, preload="b,c,a,d")

# Loggers below a name that nobody has: what stands for it knows those that came first.
LOGGERS = {"p.py": "import logging\nlog = logging.getLogger('up.p')\n", "q.py": "import logging\nlog = logging.getLogger('up.q')\n"}
UP = "import logging, sys\nprint([sorted(l.name for l in getattr(logging.root.manager.loggerDict['up'], 'loggerMap', ()))])\nup = logging.getLogger('up')\nprint([(n, sys.modules[n].log.parent is up) for n in ('p', 'q') if n in sys.modules])\n"
package("ties/loggers/first", LOGGERS, "import p\n" + UP, {"p": False}, preload="stdlib,p,q")
package("ties/loggers/second", LOGGERS, "import q\n" + UP, {"q": False}, preload="stdlib,p,q")
package("ties/loggers/both", {**LOGGERS, "r.py": "import p, q\n"}, "import r\n" + UP, {"r": True}, preload="stdlib,p,q,r")

# What the standard library has made: who changes it is refused, and nobody else. `mimetypes` is no part of the list, and is
# handed over with who changes it.
OF_THE_LIBRARY = {
    "threads": "import threading\nt = threading.Thread()\nV = 1\n",
    "level_name": "import logging\nlogging.addLevelName(3, 'three')\nV = 1\n",
    "type_of_file": "import mimetypes\nmimetypes.add_type('a/b', '.pyzy')\nV = 1\n",
    "default_of": "import json\njson.dumps.__kwdefaults__['indent'] = 3\nV = 1\n",
    "instance": "import json\njson._default_encoder.indent = 2\nV = 1\n",
    "function_attribute": "import textwrap\ntextwrap.dedent.mark = 1\nV = 1\n",
    "builtin_class": "import numbers\nnumbers.Number.register(str)\nV = 1\n",
}
package("ties/library", {**{"l_%s.py" % name: source for name, source in OF_THE_LIBRARY.items()}, "l_none.py": "V = 1\n"},
        "import threading, logging, json, textwrap, numbers, l_none\nprint(threading.Thread().name, logging.getLevelName(3), json.dumps([1]), vars(textwrap.dedent), issubclass(str, numbers.Number))\n"
        + "".join("import l_%s\n" % name for name in OF_THE_LIBRARY) + "print(threading.Thread().name, logging.getLevelName(3), json.dumps([1]), vars(textwrap.dedent), issubclass(str, numbers.Number))\n",
        {"l_none": True, "json": True, "threading": True, **{"l_" + name: name == "type_of_file" for name in OF_THE_LIBRARY}}, preload=",".join(["stdlib", "mimetypes", *["l_" + name for name in OF_THE_LIBRARY], "l_none"]))

# In the order in which they are named, in another, twice, with a part of one, with one that fails.
PARTS = {
    "up/__init__.py": "registry = {}\ndef load():\n    from . import late\n    return late.V\n", "up/late.py": "from . import registry\nregistry['late'] = 1\nV = 2\n",
    "user.py": "import up\nV = up.load()\n", "bad.py": "import up\nup.registry['bad'] = 1\nraise ValueError\n", "plain.py": "import json\nV = 1\n",
}
SEEN = "print(sys.modules['up'].registry, sorted(n for n in sys.modules if n.startswith('up')))\n"
package("ties/roots/late", PARTS, "import sys, up\n" + SEEN + "up.load()\n" + SEEN, {"up": False, "up.late": False}, preload="user,up")
package("ties/roots/late-by-its-user", PARTS, "import sys, user\n" + SEEN, {"user": True}, preload="up,user")
package("ties/roots/late-first", PARTS, "import sys, up.late\n" + SEEN + "import user\n" + SEEN, {"up.late": True, "user": True}, preload="up.late,up,user")
package("ties/roots/failing", PARTS, "import sys, up\n" + SEEN + "try:\n    import bad\nexcept ValueError:\n    print('bad')\n" + SEEN + "import plain\n", {"up": True, "bad": False, "plain": True}, preload="up,bad,plain")
package("ties/roots/twice", PARTS, "import sys, plain, up.late\n" + SEEN, {"plain": True, "up.late": True}, preload="plain,up,up.late,plain,up")

# What a script has changed is seen by what it imports next: `r` looks at what `b` has. The names of `b`, too.
NAMES = {
    "name": ("V = 1", "b.V = 2", "b.V"),
    "name-counted": ("N = 1000", "b.N += 1; b.N += 1", "b.N"),
    "name-of-text": ("T = 'a' * 50", "b.T = b.T[:-1] + 'b'; b.T = b.T[:-1] + 'c'; b.T = b.T[:-1] + 'd'", "b.T"),
    "class-counted": ("class C: n = 1000", "b.C.n += 1; b.C.n += 1", "b.C.n"),
    "dictionary-counted": ("D = {'n': 1000}", "b.D['n'] += 1; b.D['n'] += 1", "b.D"),
    "list-counted": ("L = [1000]", "b.L[0] += 1; b.L[0] += 1", "b.L"),
    "pair-replaced": ("D = {'p': (1, 2)}", "b.D['p'] = tuple([3, 4]); b.D['p'] = tuple([5, 6])", "b.D"),
    "list-replaced": ("D = {'p': [1, 2]}", "b.D['p'] = [3, 4]; b.D['p'] = [5, 6]", "b.D"),
}
# To show these is to change them; the last is a change of the standard library's (docs/warm-modules.md).
LEFT_OUT = ("generator", "cycle", "map", "singledispatch", "random", "string-io", "abstract-of-another")


def readers(kinds):
    """A module `b_NAME` and a module `r_NAME` that looks at it, for each."""
    files = {}
    for name, (has, does, is_) in kinds.items():
        name = name.replace("-", "_")
        files["b_%s.py" % name] = has + "\n"
        files["r_%s.py" % name] = "import b_%s as b\nV = repr(%s)\n" % (name, is_)
    return files


def changing(kinds):
    """Imports `b`, changes it, imports `r`."""
    lines = []
    for name, (has, does, is_) in kinds.items():
        name = name.replace("-", "_")
        lines += ["import b_%s as b" % name, *does.splitlines(), "import r_%s as r" % name, "print(%r, r.V)" % name]
    return "\n".join(lines) + "\n"


SCRIPTS = {name: kind for name, kind in {**KINDS, **NAMES}.items() if name not in LEFT_OUT}
package("ties/by-a-script/changed", readers(SCRIPTS), changing(SCRIPTS), {**{n: True for n in names(SCRIPTS, "b")}, **{n: False for n in names(SCRIPTS, "r")}}, preload=",".join(["stdlib", *names(SCRIPTS, "b", "r")]))
SAME = {name: kind for name, kind in NOTHING.items() if name not in ("name", "new-name", "class-attribute", "subclass")}
package("ties/by-a-script/unchanged", readers(SAME), changing(SAME), {n: True for n in names(SAME, "b", "r")}, preload=",".join(["stdlib", *names(SAME, "b", "r")]))
