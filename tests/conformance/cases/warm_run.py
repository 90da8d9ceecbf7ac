"""Warm modules and what belongs to the run: settings that an import changes or reads, lists and streams that it keeps."""

from cases.warm import package
from harness import case as registry

# Each changes something that is not its own: it is imported by the run, and the others are none the wiser.
CHANGES = {
    "finaliser": "import weakref\nclass C: pass\nc = C()\nweakref.finalize(c, len, [])()\n",
    "alias": "import encodings.aliases\nencodings.aliases.aliases['latin1'] = 'utf_8'\n",
    "codec": "V = 'x'.encode('cp1250')\n",
    "no_codec": "try:\n    'x'.encode('no_such')\nexcept LookupError:\n    pass\n",
    "csv_limit": "import csv\ncsv.field_size_limit(77)\n",
    "memory": "import tracemalloc\ntracemalloc.start()\n",
    "default_context": "import decimal\ndecimal.DefaultContext.prec = 9\n",
    "basic_context": "import decimal\ndecimal.BasicContext.traps[decimal.Inexact] = True\n",
    "domain": "import gettext\ngettext.textdomain('mine')\n",
    "options": "import sys\nsys._xoptions['mine'] = True\n",
    "warn_options": "import sys\nsys.warnoptions.append('ignore')\n",
    "limit_of_tracebacks": "import sys\nsys.tracebacklimit = 3\n",
    "no_bytecode": "import sys\nsys.dont_write_bytecode = True\n",
    "prompt": "import sys\nsys.ps1 = 'mine'\n",
    "name_in_sys": "import sys\nsys.mine = 5\n",
    "name_in_builtins": "import builtins\nbuiltins.mine = 5\n",
    "builtin": "import builtins\nold = abs\nbuiltins.abs = lambda x: old(x)\n",
    "hook": "import sys\ndef h(*_): pass\nsys.unraisablehook = h\n",
    "thread_hook": "import threading\ndef h(_): pass\nthreading.excepthook = h\n",
    "thread_name": "import threading\nthreading.main_thread().name = 'Mine'\n",
    "show_warning": "import warnings\ndef s(*_, **__): pass\nwarnings.showwarning = s\n",
    "reset_filters": "import warnings\nwarnings.resetwarnings()\n",
    "logger_class": "import logging\nclass L(logging.Logger): pass\nlogging.setLoggerClass(L)\n",
    "encoder": "import json\njson._default_encoder.ensure_ascii = False\n",
    "argv_set": "import sys\nsys.argv = ['x', 'y']\n",
    "argv_sorted": "import sys\ngetattr(sys, 'argv').extend(['x'])\n",
    "stdout_set": "import sys, io\nsys.stdout = io.StringIO()\nsys.stdout = sys.__stdout__\nOUT = sys.__stdout__\n",
    "monitor": "import sys\nif hasattr(sys, 'monitoring'):\n    sys.monitoring.use_tool_id(3, 'mine')\nelse:\n    sys.mine_monitor = 1\n",
}
SHOWN = """
import sys, weakref, encodings.aliases, csv, tracemalloc, decimal, gettext, threading, warnings, logging, json, builtins
def show():
    print(weakref.finalize._registered_with_atexit, encodings.aliases.aliases['latin1'], [n for n in sys.modules if n.startswith('encodings.cp1')], csv.field_size_limit(), tracemalloc.is_tracing(),
        decimal.DefaultContext, decimal.BasicContext, gettext.textdomain(), sys._xoptions, sys.warnoptions, getattr(sys, 'tracebacklimit', None), sys.dont_write_bytecode, hasattr(sys, 'ps1'), hasattr(sys, 'mine'),
        hasattr(builtins, 'mine'), abs, sys.unraisablehook, threading.excepthook, threading.main_thread().name, warnings.showwarning, warnings.filters, logging.getLoggerClass(), json._default_encoder.ensure_ascii,
        sys.argv[1:], sys.stdout is sys.__stdout__, [sys.monitoring.get_tool(n) for n in range(6)] if hasattr(sys, 'monitoring') else 0)
"""
changers = {"change_%s.py" % name: source for name, source in CHANGES.items()}
names = [name[:-3] for name in changers]
changers.update({"good.py": "V = 1\n"})
everything = "stdlib," + ",".join([*names, "good"])
package("settings/changed-by-nobody", changers, SHOWN + "show()\nimport good\nprint(weakref.finalize(show, print).detach() is None, next(weakref.finalize._index_iter))\n", {"good": True}, preload=everything)
package("settings/changed-by-each", changers, SHOWN + "".join("import %s\nshow()\n" % name for name in names) + "import good\n", {"good": False, **{name: False for name in names}}, preload=everything)
# Each reads a setting: it is warm while that is the zygote's, and imported by the run if the script has changed it.
READS = {
    "csv_limit": ("import csv\nV = csv.field_size_limit()\n", "import csv\ncsv.field_size_limit(55)\n"),
    "dialects": ("import csv\nV = csv.list_dialects()\n", "import csv\ncsv.register_dialect('mine', delimiter=';')\n"),
    "memory": ("import tracemalloc\nV = tracemalloc.is_tracing()\n", "import tracemalloc\ntracemalloc.start()\n"),
    "contexts": ("import decimal\nV = decimal.BasicContext.prec\n", "import decimal\ndecimal.BasicContext.prec = 11\n"),
    "recursion": ("import sys\nV = sys.getrecursionlimit()\n", "sys.setrecursionlimit(1600)\n"),
    "switch": ("import sys\nV = sys.getswitchinterval()\n", "sys.setswitchinterval(0.25)\n"),
    "libraries": ("import sys\nV = sys.getdlopenflags()\n", "sys.setdlopenflags(258)\n"),
    "options": ("import sys\nV = dict(sys._xoptions), list(sys.warnoptions)\n", "sys._xoptions['mine'] = True\n"),
    "limit_of_tracebacks": ("import sys\nV = getattr(sys, 'tracebacklimit', None)\n", "sys.tracebacklimit = 4\n"),
    "last_value": ("import sys\nV = getattr(sys, 'last_value', None)\n", "sys.last_value = 'x'\n"),
    "prompt": ("import sys\nV = hasattr(sys, 'ps1')\n", "sys.ps1 = 'x'\n"),
    "generators": ("import sys\nV = str(sys.get_asyncgen_hooks().firstiter)\n", "sys.set_asyncgen_hooks(len)\n"),
    "format": ("V = format(1000.5, 'n')\n", "import locale\nlocale.setlocale(locale.LC_ALL, 'C')\n"),
    "level": ("import logging\nV = logging.getLogger('mine').isEnabledFor(10)\n", "import logging\nlogging.getLogger().setLevel(10)\n"),
    "warns": ("import warnings\nwarnings.warn('late', PendingDeprecationWarning)\nV = 1\n", "import warnings\nwarnings.simplefilter('always')\n"),
    "warns_in_c": ("import _warnings\n_warnings.warn_explicit('late', DeprecationWarning, 'f.py', 3)\nV = 1\n", "import warnings\nwarnings.simplefilter('error')\n"),
    "encoding": ("import sys\nV = sys.stdout.encoding, sys.stderr.errors\n", "sys.stdout.reconfigure(encoding='latin-1')\n"),
    "type": ("import sys\nV = sys.stdout is None, sys.stderr is sys.__stderr__\n", "import io\nsys.stderr = io.StringIO()\n"),
    "argv": ("import sys\nARGS = sys.argv\ndef main(argv=sys.argv):\n    return argv is sys.argv, argv[1:], ARGS is argv\nclass V:\n    __repr__ = lambda self: repr(main())\nV = V()\n", "sys.argv = ['x', 'y']\n"),
    "argv_from": ("from sys import argv\nclass V:\n    __repr__ = lambda self: repr(argv[1:])\nV = V()\n", "sys.argv = ['x', 'y']\n"),
    "path": ("import sys\nPATH = getattr(sys, 'path')\nclass V:\n    __repr__ = lambda self: repr((PATH is sys.path, PATH[0] == sys.path[0]))\nV = V()\n", "sys.path = list(sys.path)\n"),
}
readers = {"read_%s.py" % name: source for name, (source, _) in READS.items()}
names = [name[:-3] for name in readers]
all_of_them = "stdlib," + ",".join(names)
TELL = "print(sys.argv[1:], m.V, file=sys.__stdout__)\n"
package("settings/read", readers, "import sys\n" + "".join("import %s as m\n" % name + TELL for name in names), {name: True for name in names}, preload=all_of_them)
package("settings/read-changed", {**readers, "changes.py": "TABLE = %r\n" % {"read_" + name: change for name, (_, change) in READS.items()}}, "for n in %s; do python3 x.py $n arg; done" % " ".join(names), {name: False for name in names}, preload=all_of_them, run=registry.shell, route="warm",
        source="import sys, changes\nname = sys.argv[1]\nexec(changes.TABLE[name])\ntry:\n    m = __import__(name)\n    " + TELL + "except Warning as e:\n    print('warned', e)\n")
package("settings/read-with-stdout-closed", readers, "import sys\nimport read_type as m\nsys.stderr.write(repr(m.V))\n", {"read_type": False}, preload=all_of_them, fds={1: "closed"})
package("settings/read-on-the-way-out", readers, "import sys\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    import read_argv as m\n" + TELL, {"read_argv": True}, preload=all_of_them)

# What asks for what belongs to the run is imported by the run, whichever way it asks.
ASKS = {
    "argv_by_name": "import sys\nV = len(getattr(sys, 'argv'))\n",
    "argv_joined": "import sys\nV = ' '.join(vars(sys)['argv'][1:])\n",
    "argv_unpacked": "import sys\na = sys.argv\n_, *V = a\n",
    "original": "import sys\nV = len(getattr(sys, 'orig_argv', sys.argv))\n",
    "path_in_code": "import sys\nexec('V = len(list(sys.path))')\n",
    "path_by_operator": "import sys, operator\nV = len(operator.attrgetter('path')(sys))\n",
    "collector": "import gc\nV = gc.get_threshold()\n",
    "handled": "import sys\nV = str(sys.exc_info()[0])\n",
    "callers": "import sys\nV, f = [], sys._getframe()\nwhile f:\n    V.append(f.f_code.co_filename[-5:])\n    f = f.f_back\n",
    "stack": "import traceback\nV = len(traceback.extract_stack())\n",
    "native": "import threading, os\nV = not hasattr(threading, 'get_native_id') or threading.get_native_id() == os.getpid()\n",
    "threads": "import threading\nV = len(threading.enumerate())\n",
    "at_exit": "import atexit\nV = atexit._ncallbacks()\n",
    "local_time": "import datetime\nV = datetime.datetime.fromtimestamp(0)\n",
    "environment": "import posix\nV = b'MARK' in posix.environ\n",
    "weak_stream": "import sys, weakref\nr = weakref.ref(sys.stdout)\nclass V:\n    __repr__ = lambda self: repr(r() is sys.stdout)\nV = V()\n",
    "default_stream": "import sys\ndef f(out=sys.stderr):\n    return out is sys.stderr\nclass V:\n    __repr__ = lambda self: repr(f())\nV = V()\n",
    "partial": "import sys, functools\nsay = functools.partial(print, file=sys.stdout)\nsay = say\nclass V:\n    __repr__ = lambda self: repr(say.keywords['file'] is sys.stdout)\nV = V()\n",
    "handler": "import logging, sys\nh = logging.StreamHandler()\nclass V:\n    __repr__ = lambda self: repr(h.stream is sys.stderr)\nV = V()\n",
    "method": "import sys\nw = sys.stdout.write\nclass V:\n    __repr__ = lambda self: repr(w.__self__ is sys.stdout)\nV = V()\n",
    "instance": "import sys\nclass V:\n    def __init__(self):\n        self.out = sys.stdout\n    __repr__ = lambda self: repr(self.out is sys.stdout)\nV = V()\n",
    "line_buffering": "import sys\nV = sys.stdout.line_buffering\n",
}
asking = {"ask_%s.py" % name: source for name, source in ASKS.items()}
names = [name[:-3] for name in asking]
package("settings/asked", {**asking, "good.py": "V = 1\n"}, "import sys, good\n" + "".join("import %s as m\nprint(m.V)\n" % name for name in names), {"good": True, **{name: False for name in names if name != "ask_environment"}}, preload="stdlib,good," + ",".join(names))
# What it adds to the lines of files is done at the hand-over.
LINES = {"mine.py": "import linecache\nlinecache.cache['<mine>'] = (1, None, ['a\\n'], '<mine>')\nV = 1\n"}
package("settings/lines-of-files", LINES, "import linecache\nprint(list(linecache.cache))\nimport mine\nprint(list(linecache.cache), linecache.getline('<mine>', 1))\n", {"mine": True}, preload="stdlib,mine")
package("settings/lines-of-files-there", LINES, "import linecache\nlinecache.cache['<mine>'] = (1, None, ['b\\n'], '<mine>')\nimport mine\nprint(linecache.getline('<mine>', 1))\n", {"mine": False}, preload="stdlib,mine")

# Modules of a class of their own, and what stands in the place of one.
OWN_CLASS = """
    import sys, types
    class Lazy(types.ModuleType):
        kept = []
        @property
        def version(self):
            return 'v' + str(self.X)
        def __getattr__(self, name):
            if name.startswith('late'):
                return name
            raise AttributeError(name)
        def __dir__(self):
            return ['X', 'version']
    X = 1
    sys.modules[__name__].__class__ = Lazy
    del Lazy
"""
LOOK = "print(mine.version, mine.late_one, dir(mine), type(mine).__name__, mine, getattr(mine, 'other', 5), mine.__spec__.name, sys.modules['mine'] is mine, len(type(sys).__subclasses__()))\n"
OF_A_CLASS = {"mine/__init__.py": OWN_CLASS, "mine/part.py": "import mine\nV = mine.X, mine.late_two, type(mine).kept, mine.version\n"}
package("class/of-its-own", OF_A_CLASS, "import sys, mine\n" + LOOK + "import mine.part\nprint(mine.part.V)\n", {"mine": True, "mine.part": True}, preload="mine,mine.part")
package("class/part-first", OF_A_CLASS, "import sys, mine.part\n" + LOOK + "print(mine.part.V)\nfrom mine import late_three\nprint(late_three)\n", {"mine.part": True}, preload="mine,mine.part")
for name, change in {
    "namespace": "mine.X = 2", "class": "class Other(type(mine)): pass\nmine.__class__ = Other", "class-to-plain": "Lazy = type(mine)\nclass Other(type(sys)):\n    kept, version, late_two = 1, 2, 3\nmine.__class__ = Other",
    "attribute-of-the-class": "type(mine).version = 7", "list-of-the-class": "type(mine).kept.append(1)", "class-deleted": "del type(mine).__dir__\ntype(mine).kept = 0",
}.items():
    package("class/changed/" + name, OF_A_CLASS, "import sys, mine\n" + change + "\nimport mine.part\nprint(mine.part.V, type(mine).__name__)\n", {"mine": True, "mine.part": False}, preload="mine,mine.part")
# Its class is another module's.
package("class/of-another-module", {"kinds.py": "import types\nclass Kind(types.ModuleType):\n    seen = []\n    def __getattr__(self, name):\n        return 'no ' + name\n", "mine.py": "import sys, kinds\nsys.modules[__name__].__class__ = kinds.Kind\nV = 1\n", "user.py": "import mine\nV = mine.V, mine.other, mine.seen\n"},
        "import mine, sys\nprint(mine.V, mine.gone, type(mine))\nimport kinds\nkinds.Kind.seen.append(1)\nimport user\nprint(user.V)\n", {"mine": True, "user": False}, preload="mine,user")
# Classes that have a say in how a module is read or set, and others that stand in its place, are left to the run.
ODD = {
    "getattribute": "import sys, types\nclass M(types.ModuleType):\n    def __getattribute__(self, name):\n        return 'x' if name == 'V' else types.ModuleType.__getattribute__(self, name)\nsys.modules[__name__].__class__ = M\n",
    "setattr": "import sys, types\nclass M(types.ModuleType):\n    V = 2\n    def __setattr__(self, name, value):\n        types.ModuleType.__setattr__(self, name, (value, 1))\nsys.modules[__name__].__class__ = M\nsys.modules[__name__].W = 1\n",
    "with_spec": "import sys, types\nclass M(types.ModuleType):\n    V = 3\n    __spec__ = property(lambda self: types.SimpleNamespace(name='odd', _initializing=False))\nsys.modules[__name__].__class__ = M\n",
    "metaclass": "import sys, types\nclass Meta(type): pass\nclass M(types.ModuleType, metaclass=Meta):\n    V = 4\nsys.modules[__name__].__class__ = M\n",
    "object": "import sys\nclass M:\n    V = 5\nsys.modules[__name__] = M()\n",
    "replaced": "import sys, types\nSTATE = []\ndef add(x):\n    STATE.append(x)\n    return len(STATE)\nclass M(types.ModuleType):\n    @property\n    def V(self):\n        return add(1)\nm = M(__name__)\nfor name in ('__spec__', '__file__', '__loader__', '__package__', '__cached__'):\n    setattr(m, name, globals()[name])\nm.add = add\nsys.modules[__name__] = m\n",
    "replaced_by_a_plain_one": "import sys, types\nSTATE = []\ndef add(x):\n    STATE.append(x)\n    return len(STATE)\nm = types.ModuleType(__name__)\nfor name in ('__spec__', '__file__', '__loader__', '__package__', '__cached__'):\n    setattr(m, name, globals()[name])\nm.add, m.V = add, 6\nsys.modules[__name__] = m\n",
}
odd = {"odd_%s.py" % name: source for name, source in ODD.items()}
package("class/odd", {**odd, "good.py": "V = 1\n"}, "import good, sys\n" + "".join("import %s as m\nprint(m.V, type(m).__name__, sorted(k for k in vars(m) if k[0] != '_'))\n" % name[:-3] for name in odd), {"good": True, **{name[:-3]: False for name in odd}}, preload="good," + ",".join(name[:-3] for name in odd))

# Filters of one module are those under which another one that needs it warns, and no others.
FILTERS = {
    "mutes.py": "import warnings\nwarnings.filterwarnings('ignore', 'of mine')\n", "raises.py": "import warnings\nwarnings.simplefilter('error', DeprecationWarning)\n",
    "warns.py": "import warnings\ntry:\n    warnings.warn('late', DeprecationWarning)\n    V = 'silent'\nexcept DeprecationWarning:\n    V = 'raised'\n",
}
FILTERS.update({"after_%s.py" % name: "import %s\n" % name + FILTERS["warns.py"] for name in ("mutes", "raises")})
package("filters/alone", FILTERS, "import warns\nprint(warns.V)\n", {"warns": True}, preload="mutes,raises,warns,after_mutes,after_raises")
package("filters/ignored-before", FILTERS, "import mutes, warns, after_mutes\nprint(warns.V, after_mutes.V)\n", {"mutes": True, "warns": True, "after_mutes": True}, preload="mutes,raises,warns,after_mutes,after_raises")
package("filters/raised-before", FILTERS, "import raises, warns\nprint(warns.V)\n", {"raises": True, "warns": False}, preload="mutes,raises,warns,after_mutes,after_raises")
package("filters/needed", FILTERS, "import after_raises\nprint(after_raises.V)\n", {"after_raises": False}, preload="mutes,raises,warns,after_mutes,after_raises")
# What the zygote remembers of settings is nothing that the collector would ask a hidden extension about.
package("settings/collected", {"mine.py": "V = 1\n"}, "import gc, sys\nprint(gc.collect() >= 0, 'decimal' in sys.modules)\nimport builtins\nbuiltins.mine = 1\nimport gettext, decimal\nprint(gc.collect() >= 0, decimal.Decimal(1) / 4)\n", {"gc": True, "gettext": False}, preload="stdlib,mine")

# An import calls these by name: who replaces one is asked, each time.
for module, name in (("_bootstrap", "_load_unlocked"), ("_bootstrap", "_find_and_load_unlocked"), ("_bootstrap", "_handle_fromlist"), ("_bootstrap_external", "_path_stat"), ("_bootstrap_external", "_path_join")):
    package(
        "importlib/%s-replaced" % name.strip("_").replace("_", "-"),
        {"early.py": "V = 1\n", "late.py": "import early\nV = 2\n", "other.py": "V = 3\n"},
        "import importlib.%s as m\nfrom late import V\ncalls = []\nold = m.%s\ndef new(*args, **named):\n    calls.append(args)\n    return old(*args, **named)\nm.%s = new\nfrom other import V\nprint(len(calls))\nm.%s = old\n" % (module, name, name, name),
        {"late": True, "other": False},
        preload="early,late,other",
    )
# As `time.tzset` sets time.tzname, which pandas has called: to the same once more, and to something else.
for name, value, warm in (("same", "(time.tzname[0], time.tzname[1])", True), ("other", "(time.tzname[0], 'MINE')", False)):
    package("settings/tzname-" + name, {"mine.py": "import time\ntime.tzname = %s\nV = 1\n" % value, "good.py": "V = 2\n"}, "import good, mine, time\nprint(mine.V, time.tzname, time.timezone)\n", {"mine": warm, "good": True}, preload="mine,good")
