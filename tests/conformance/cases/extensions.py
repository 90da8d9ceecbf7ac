"""Extensions from outside the standard library, kept warm: handed over, or loaded as if nobody had.

They are compiled on the spot. `late` scripts change something that the extension needs, so that its own import runs after
all in a process in which the zygote has initialised it.
"""

import os

from harness.case import Made, dedent

from .warm import COMPILE, SHOW, SITE, USER, package

NEEDS = ("cc", "headers")

# What each extension has: how often its code was initialised since it was loaded, and what its initialisation found.
COMMON = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <unistd.h>
static int times;
static PyObject *found;
static PyObject *count(PyObject *self, PyObject *none) { return PyLong_FromLong(times); }
static PyObject *what(PyObject *self, PyObject *none) { PyObject *o = found ? found : Py_None; Py_INCREF(o); return o; }
static PyMethodDef methods[] = {{"count", count, METH_NOARGS, 0}, {"what", what, METH_NOARGS, 0}, {0}};
static int setup(PyObject *module);
"""
SINGLE = r"""
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "NAME", 0, -1, methods};
PyMODINIT_FUNC PyInit_NAME(void) {
    PyObject *module = PyModule_Create(&definition);
    times++;
    if (module && setup(module) < 0) { Py_CLEAR(module); }
    return module;
}
"""
MULTI = r"""
static int run(PyObject *module) { times++; return setup(module); }
static PyModuleDef_Slot slots[] = {{Py_mod_exec, run}, {0}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "NAME", 0, 0, methods, slots};
PyMODINIT_FUNC PyInit_NAME(void) { return PyModuleDef_Init(&definition); }
"""
KINDS = {"single": SINGLE, "multi": MULTI}


class Whole(str):
    """A source to which nothing is added."""


def built(files, sources, kind="multi", libraries=None):
    """site-packages with these files, and extensions and libraries compiled from these sources."""
    def make(path, world):
        interpreter = world.interpreter
        world.write(path, {name: dedent(text) for name, text in files.items()})
        flags = ["-shared", "-fPIC", "-O1", "-I", interpreter.include, "-Wl,-rpath,$ORIGIN:$ORIGIN/..", "-pthread"]
        beside = []
        for name, text in (libraries or {}).items():
            target = os.path.join(path, name)
            world.builder.build(target, name, text, [*flags, "-Wl,-soname," + name], beside)
            beside.append(target)
        for name, text in sources.items():
            stem = name.split("/")[-1].split("@")[0]
            target = os.path.join(path, name + (interpreter.suffix if "@" not in name else ""))
            whole = text if isinstance(text, Whole) else COMMON + KINDS[kind].replace("NAME", stem) + text
            world.builder.build(target, name.split("/")[-1], whole, flags, beside)
        interpreter.preparer.run(COMPILE, path)
    return Made(make)


def extension(name, script, imports, source, files=None, kinds=("single", "multi"), libraries=None, preload="mine", more=None, **rest):
    """A case for each way in which an extension is initialised."""
    rest["env"] = {"HOME": "@DIR@", "PYZY_PRELOAD": preload, **rest.get("env", {})}
    for kind in kinds:
        package(f"extension/{name}-{kind}", {}, script, imports, preload=preload, needs=NEEDS, **{
            **rest, "files": {USER: built({"mine/__init__.py": "from . import ext\n", "mine/base.py": "class Base: pass\n", **(files or {})}, {"mine/ext": source, **(more or {})}, kind, libraries)}})


# It keeps a class of a module's for ever.
KEEPS = r"""
static int setup(PyObject *module) {
    PyObject *base = PyImport_ImportModule("mine.base");
    found = base ? PyObject_GetAttrString(base, "Base") : 0;
    Py_XDECREF(base);
    return found ? 0 : -1;
}
"""
SAY = "import mine, sys\ne = mine.ext\nprint(e.count(), e.what(), e.what() is mine.base.Base, e.__file__ == e.__spec__.origin, e.__file__.split('/')[-3:], type(e.__loader__), sorted(vars(e)))\n"
LATE = "import mine.base\nmine.base.Base.x = 1\n"
# The package itself is not handed over either: its own import finds what the script has put in the way.
EARLY = "import textwrap\ntextwrap.mine = 1\n"
FIRST = {"mine/__init__.py": "import textwrap\nfrom . import ext\n"}

extension("handed", SAY + SHOW, {"mine": True}, KEEPS)
extension("late", EARLY + SAY + SHOW, {"mine": False}, KEEPS, FIRST)
extension("late-again", EARLY + SAY + "del sys.modules['mine.ext'], mine.ext\nimport mine.ext\n" + SAY, {"mine": False}, KEEPS, FIRST)
extension("handed-again", SAY + "del sys.modules['mine.ext'], mine.ext\nimport mine.ext\n" + SAY, {"mine": True}, KEEPS)
extension("late-all-again", EARLY + SAY + "for n in [n for n in sys.modules if n.startswith('mine')]:\n    del sys.modules[n]\n" + SAY, {"mine": False}, KEEPS, FIRST)
extension("late-in-a-fork", "import os, textwrap\ntextwrap.mine = 1\nif os.fork():\n    print(os.wait()[1])\n" + SAY, {"mine": False}, KEEPS, FIRST)
extension("handed-in-a-fork", "import os\nif os.fork():\n    print(os.wait()[1])\n" + SAY, {"mine": True}, KEEPS)
extension("late-in-a-thread", EARLY + "import threading\ndef f():\n    import mine\nt = [threading.Thread(target=f) for _ in range(4)]\n[x.start() for x in t]\n[x.join() for x in t]\n" + SAY, {"mine": False}, KEEPS, FIRST)
extension("part-alone", "import mine.base\nimport mine.ext\n" + SAY + SHOW, {"mine.base": True}, KEEPS, {"mine/__init__.py": ""}, preload="mine.base,mine.ext")
extension("its-need-replaced", LATE + "mine.base.Base = type('Base', (), {})\nimport mine.ext\n" + SAY + SHOW, {"mine.ext": False}, KEEPS, {"mine/__init__.py": ""}, preload="mine.base,mine.ext")
extension("by-another-path", "import os, site, sys\nplace = site.getusersitepackages()\nos.symlink(place, 'link')\nsys.path.insert(0, os.getcwd() + '/link')\nimport mine\nprint(mine.ext.count(), mine.ext.__file__.split('/')[-4:])\n", {"mine": False}, KEEPS, tree=False)
extension("replaced-meanwhile", "import glob, os, site\nplace = site.getusersitepackages() + '/mine/'\nos.replace(place + 'ext@2', glob.glob(place + 'ext.*')[0])\nimport mine\nprint(mine.ext.count(), mine.ext.what())\n", {"mine": False}, KEEPS, more={"mine/ext@2": r"static int setup(PyObject *m) { times = 40; found = PyLong_FromLong(7); return 0; }"}, tree=False)
extension("limited-files", "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n" + EARLY + SAY + "print(resource.getrlimit(resource.RLIMIT_FSIZE)[0])\n", {"mine": False}, KEEPS, FIRST, tree=False)
extension("no-files", EARLY + SAY, {}, KEEPS, FIRST, rlimit={"FSIZE": (4096, 4096)}, route=("refused", "image-failed", "warm", "no-image"), tree=False)
extension("late-with-low-descriptors", EARLY + "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))\n" + SAY, {"mine": False}, KEEPS, FIRST)
extension("late-descriptors", EARLY + "import os\nimport mine\nprint(sorted(os.listdir('/proc/self/fd')))\n", {"mine": False}, KEEPS, FIRST)
extension("spec-by-hand", EARLY + "import importlib.util as u, importlib.machinery as m, site, glob\np = glob.glob(site.getusersitepackages() + '/mine/ext.*so')[0]\ns = u.spec_from_file_location('mine.ext', p)\nx = u.module_from_spec(s)\ns.loader.exec_module(x)\nprint(x.count(), x.__file__ == p, x.__spec__ is s, x.__loader__ is s.loader)\n", {}, KEEPS, {"mine/__init__.py": "import textwrap\nfrom . import ext\n"})

# What its initialisation asks in C, past `__import__`.
ASKS = r"""
static int setup(PyObject *module) {
    PyObject *list = Py_BuildValue("(s)", "dedent"), *name = PyUnicode_FromString("textwrap");
    PyObject *got = PyImport_ImportModuleLevelObject(name, 0, 0, list, 0);
    found = got ? PyObject_GetAttrString(got, "mine") : 0;
    PyErr_Clear();
    return 0;
}
"""
LOOKS = r"""
static int setup(PyObject *module) {
    PyObject *name = PyUnicode_FromString("mine.flag"), *got = PyImport_GetModule(name);
    found = PyBool_FromLong(got != 0);
    return 0;
}
"""
ADDS = r"""
static int setup(PyObject *module) {
    PyObject *got = PyImport_AddModule("mine_runtime");
    if (!got) return -1;
    if (!PyObject_HasAttrString(got, "shared")) PyModule_AddObject(got, "shared", PyList_New(0));
    found = PyObject_GetAttrString(got, "shared");
    return 0;
}
"""
ARGV = r"""
static int setup(PyObject *module) {
    found = PyObject_Repr(PySys_GetObject("argv"));
    return 0;
}
"""
TELL = "import mine\nprint(mine.ext.count(), mine.ext.what())\n"
extension("asks", "import textwrap\n" + TELL + SHOW, {"mine": True}, ASKS)
extension("asks-what-was-changed", EARLY + TELL + SHOW, {"mine": False}, ASKS)
extension("looks-in-vain", TELL + SHOW, {"mine": True}, LOOKS, {"mine/flag.py": ""})
extension("looks-and-finds", "import sys, types\nsys.modules['mine.flag'] = types.ModuleType('mine.flag')\n" + TELL + SHOW, {"mine": False}, LOOKS, {"mine/flag.py": ""})
extension("adds", TELL + SHOW + "print(sorted(vars(sys.modules['mine_runtime'])))\n", {"mine": True}, ADDS)
extension("adds-what-is-there", "import sys, types\nr = sys.modules['mine_runtime'] = types.ModuleType('mine_runtime')\nr.shared = [1]\n" + TELL + SHOW, {"mine": False}, ADDS)
extension("add-together", "import mine.two\nprint(mine.two.what() is sys.modules['mine_runtime'].shared)\n".join(["import sys\n", "import mine.ext\nprint(mine.ext.what() is mine.two.what())\n"]) + SHOW, {"mine.two": True, "mine.ext": True}, ADDS, {"mine/__init__.py": ""}, preload="mine.ext,mine.two", more={"mine/two": ADDS})
extension("looks-at-argv", TELL, {"mine": False}, ARGV)

# What it does, and what it reads.
READS = r"""
static int setup(PyObject *module) {
    const char *value = getenv("MINE");
    found = value ? PyUnicode_FromString(value) : 0;
    return 0;
}
"""
extension("reads-a-variable", TELL, {"mine": True}, READS)
extension("reads-a-variable-that-is-set", TELL, {"mine": False}, READS, env={"MINE": "x"})
extension("reads-a-variable-set-by-the-script", "import os\nos.environ['MINE'] = 'y'\n" + TELL, {"mine": False}, READS)
extension("says-something", TELL, {"mine": False}, r"static int setup(PyObject *m) { return write(1, "'"init\\n"'", 5) == 5 ? 0 : -1; }")
extension("opens-something", TELL + "import os\nprint(sorted(os.listdir('/proc/self/fd')))\n", {"mine": False}, r"#include <fcntl.h>" + "\n" + r"static int setup(PyObject *m) { return open(" + '"/dev/null"' + r", O_RDONLY) < 0 ? -1 : 0; }")
THREAD = r"""
#include <pthread.h>
static void *sleeper(void *nothing) { for (;;) pause(); }
static int setup(PyObject *module) { pthread_t t; return pthread_create(&t, 0, sleeper, 0); }
"""
extension("starts-a-thread", TELL, {"mine": False}, THREAD)
ENDING_THREAD = r"""
#include <pthread.h>
static pthread_t t;
static int begun, ends;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static void *waiter(void *nothing) {
    pthread_mutex_lock(&lock);
    while (!ends) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return 0;
}
static void end(void) {
    if (!begun) return;
    pthread_mutex_lock(&lock);
    ends = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(t, 0);
    begun = ends = 0;
}
static int setup(PyObject *module) {
    begun = pthread_create(&t, 0, waiter, 0) == 0;
    return pthread_atfork(end, 0, 0);
}
"""
extension("a-thread-that-ends-before-a-fork", TELL + "import os\nif os.fork() == 0:\n    print('child')\nelse:\n    os.wait()\n", {"mine": True}, ENDING_THREAD)
extension("registered-for-forks-and-unseen", "import os\nif os.fork() == 0:\n    print('child')\nelse:\n    os.wait()\nimport threading\nt = threading.Thread(target=print, args=('thread',))\nt.start()\nt.join()\n", {}, ENDING_THREAD)
SPEAKING = r"""
typedef struct { PyObject_HEAD } Thing;
static void gone(PyObject *self) { if (write(1, "gone\n", 5)) {} PyObject_Free(self); }
static PyTypeObject type = {PyVarObject_HEAD_INIT(0, 0) .tp_name = "mine.Thing", .tp_basicsize = sizeof(Thing), .tp_dealloc = gone};
static int setup(PyObject *module) {
    if (PyType_Ready(&type) < 0) return -1;
    return PyModule_AddObject(module, "thing", (PyObject *)PyObject_New(Thing, &type));
}
"""
extension("speaks-at-the-end", TELL + "del mine.ext.thing\nprint('end')\n", {"mine": True}, SPEAKING)
extension("speaks-when-all-ends", TELL + "import sys\nx = [mine.ext.thing]\nsys.stdout.flush()\n", {"mine": True}, SPEAKING)
extension("speaks-unless-it-is-wanted", "print('end')\n", {}, SPEAKING)

AT_EXIT = """
static void end(void) { if (write(1, "end of all\\n", 11)) {} }
static int setup(PyObject *module) { return atexit(end); }
"""
extension("registers-for-the-end", TELL, {"mine": False}, AT_EXIT)
extension("registers-for-the-end-and-unseen", "import sys\nclass D:\n    def __del__(self):\n        print('del')\nd = D()\n", {}, AT_EXIT)
extension("registers-for-the-interpreters-end", TELL + "class D:\n    def __del__(self):\n        print('del')\nd = D()\n", {"mine": False}, AT_EXIT.replace("return atexit(end)", "return Py_AtExit(end)"))
extension("registers-for-the-interpreters-end-and-unseen", "class D:\n    def __del__(self):\n        print('del')\nd = D()\n", {}, AT_EXIT.replace("return atexit(end)", "return Py_AtExit(end)"))

# Libraries that come with it: what they keep since they were loaded is new as well.
HELPER = {"libhelper.so": r"""
#include <stdlib.h>
int helper_loads; const char *helper_read;
__attribute__((constructor)) static void begin(void) { helper_loads++; helper_read = getenv("HELPER"); }
""", "libuser.so": r"""
extern int helper_loads;
int user_count(void) { return helper_loads++; }
"""}
USES = r"""
extern const char *helper_read; int user_count(void);
static int setup(PyObject *module) {
    found = Py_BuildValue("(is)", user_count(), helper_read);
    return found ? 0 : -1;
}
"""
extension("companions", TELL, {"mine": True}, USES, libraries=HELPER)
extension("companions-late", EARLY + TELL, {"mine": False}, USES, FIRST, libraries=HELPER)
extension("companions-read-a-variable", TELL, {"mine": False}, USES, libraries=HELPER, env={"HELPER": "h"})
extension("companions-late-again", EARLY + TELL + "import sys\ndel sys.modules['mine.ext'], mine.ext\nimport mine.ext\n" + TELL, {"mine": False}, USES, FIRST, libraries=HELPER)

# One library with the code of several modules, as mypyc makes them: what is theirs alone begins it, by way of a capsule. It has
# imported what its parts need once for all.
GROUP = Whole(r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static int parts;
static PyObject *base;
static PyObject *use(PyObject *self, PyObject *none) {
    if (!base && !(base = PyImport_ImportModule("mine.base"))) return 0;
    PyObject *found = PyDict_GetItemString(PyImport_GetModuleDict(), "mine.base");
    if (!found) return PyErr_Format(PyExc_KeyError, "mine.base");
    return PyObject_GetAttrString(found, "__name__");
}
static PyObject *count(PyObject *self, PyObject *none) { return PyLong_FromLong(parts); }
static PyMethodDef of_part[] = {{"use", use, METH_NOARGS, 0}, {0}}, of_group[] = {{"count", count, METH_NOARGS, 0}, {0}};
static struct PyModuleDef part = {PyModuleDef_HEAD_INIT, "mine.ext", 0, -1, of_part};
static struct PyModuleDef group = {PyModuleDef_HEAD_INIT, "mine.group", 0, -1, of_group};
static PyObject *begin(void) {
    PyObject *module = PyModule_Create(&part), *used = use(0, 0);
    Py_XDECREF(used);
    parts++;
    return module;
}
PyMODINIT_FUNC PyInit_group(void) {
    PyObject *module = PyModule_Create(&group);
    if (module) PyModule_AddObject(module, "begin", PyCapsule_New((void *)begin, "begin", 0));
    return module;
}
""")
PART = Whole(r"""
#include <Python.h>
PyMODINIT_FUNC PyInit_ext(void) {
    PyObject *module = PyImport_ImportModule("mine.group"), *capsule = module ? PyObject_GetAttrString(module, "begin") : 0;
    PyObject *(*begin)(void) = capsule ? PyCapsule_GetPointer(capsule, "begin") : 0;
    return begin ? begin() : 0;
}
""")
GROUPED = {"kinds": ("single",), "files": {"mine/__init__.py": ""}, "more": {"mine/group": GROUP}, "preload": "mine.ext"}
extension("group", "import mine.ext\nprint(mine.ext.use(), mine.group.count())\n" + SHOW, {"mine.ext": True}, PART, **GROUPED)
extension("group-without-its-part", "import mine.group\nprint(mine.group.count())\n" + SHOW, {"mine.group": False}, PART, **GROUPED)
extension("group-of-a-late-part", "import mine.base\nmine.base.x = 1\nimport mine.group\nprint(mine.group.count())\nimport mine.ext\nprint(mine.ext.use(), mine.group.count())\n" + SHOW, {"mine.base": True, "mine.group": False}, PART, **GROUPED)

# What extensions of one make share, where nobody sees it, and which type each has registered there: pybind11, since and before 2.11.
SHARES = r"""
#include <string.h>
static int setup(PyObject *module) {
    PyObject *shared = DICTIONARY, *capsule = PyDict_GetItemString(shared, "mine_internals");
    if (!capsule) {
        capsule = PyCapsule_New(calloc(9, sizeof(char *)), "mine", 0);
        if (PyDict_SetItemString(shared, "mine_internals", capsule) < 0) return -1;
    }
    char **known = PyCapsule_GetPointer(capsule, "mine");
    for (; *known; known++) {
        if (strcmp(*known, "TYPE") == 0) { PyErr_SetString(PyExc_ImportError, "type TYPE is already registered"); return -1; }
    }
    *known = strdup("TYPE");
    return 0;
}
"""
for name, place in (("interpreter", "PyInterpreterState_GetDict(PyInterpreterState_Get())"), ("builtins", "PyEval_GetBuiltins()")):
    SHARED = SHARES.replace("DICTIONARY", place)
    MORE = {"files": {"mine/__init__.py": "import textwrap\nfrom . import ext\n", "other.py": "V = 1\n"}, "more": {"mine/two": SHARED.replace("TYPE", "two")}, "preload": "other,mine,mine.two", "kinds": ("single",)}
    extension("shares-by-" + name, "import other\nimport mine.two\nprint(mine.ext.count(), mine.two.count(), 'mine_internals' in vars(__import__('builtins')))\n" + SHOW, {"other": True, "mine.two": False}, SHARED.replace("TYPE", "ext"), **MORE)
    extension("shares-late-by-" + name, EARLY + "import other\nimport mine\nprint(mine.ext.count())\nimport mine.two\nprint(mine.two.count())\n" + SHOW, {"other": True, "mine": False}, SHARED.replace("TYPE", "ext"), **MORE)

# Packages that do what those with extensions do.
ONE = "import mine\nprint(mine.V)\n"
package("environment-put-back", {"mine.py": "import os\nos.environ['MINE_ONLY'] = '1'\nV = os.environ['MINE_ONLY']\ndel os.environ['MINE_ONLY']\n"}, ONE + "import os\nprint('MINE_ONLY' in os.environ)\n", {"mine": True})
package("environment-changed", {"mine.py": "import os\nos.environ['MINE_ONLY'] = '1'\nV = 1\n"}, ONE + "import os\nprint('MINE_ONLY' in os.environ)\n", {"mine": False})
package("environment-changed-in-c", {"mine.py": "import os\nos.putenv('MINE_ONLY', '1')\nV = 1\n"}, ONE + "import os\nos.system('echo $MINE_ONLY')\n", {"mine": False})
package("context-variable-kept", {"mine.py": "import contextvars\nv = contextvars.ContextVar('v')\nv.set(1)\nV = v.get()\n"}, ONE, {"mine": False})
package("context-variable-put-back", {"mine.py": "import contextvars\nv = contextvars.ContextVar('v', default=0)\nt = v.set(1)\nV = v.get()\nv.reset(t)\ndel t\n"}, ONE + "import contextvars\nprint(mine.v.get(), len(contextvars.copy_context()))\n", {"mine": True})
DECIMAL = {"mine.py": "from decimal import Decimal\nV = Decimal(1) / 3\n"}
package("decimal-exact", {"mine.py": "from decimal import Decimal\nV = Decimal(1) / 4\n"}, ONE + "import contextvars, decimal\nprint(len(contextvars.copy_context()), decimal.getcontext())\n", {"mine": True})
package("decimal-context", DECIMAL, ONE + "import contextvars, decimal\nprint(len(contextvars.copy_context()), decimal.getcontext())\n", {"mine": False})
package("decimal-exact-changed", {"mine.py": "from decimal import Decimal, getcontext\nV = getcontext().prec, Decimal(1) / 4\n"}, "import decimal\ndecimal.getcontext().prec = 1\n" + ONE, {"mine": False})
package("decimal-exact-default-changed", {"mine.py": "from decimal import Decimal, getcontext\nV = getcontext().prec, Decimal(1) / 4\n"}, "import decimal\ndecimal.DefaultContext.prec = 1\n" + ONE, {"mine": False})
package("decimal-after-another", {"mine.py": "from decimal import Decimal, getcontext\nV = getcontext().prec\n", "other.py": "from decimal import getcontext\nW = getcontext().Emax\n"}, "import decimal\ndecimal.DefaultContext.prec = 1\n" + ONE, {"mine": False}, preload="other,mine")
package("decimal-context-changed", DECIMAL, "import decimal\ndecimal.DefaultContext.prec = 3\n" + ONE + "print(decimal.getcontext().prec)\n", {})
package("decimal-context-unseen", DECIMAL, "import decimal\ndecimal.DefaultContext.prec = 3\nprint(decimal.Decimal(1) / 3)\n", {})
FINDS = {"mine.py": "import sys\nV = 'other' in sys.modules, sys.modules.get('textwrap') is not None\n", "other.py": "", "both.py": "import other, mine\nV = mine.V\n"}
package("looks-up-in-vain", FINDS, ONE + SHOW, {"mine": True})
package("looks-up-and-finds", FINDS, "import other\n" + ONE + SHOW, {"mine": False})
package("looks-up-what-came-with-it", FINDS, "import both\nprint(both.V)\n" + SHOW, {"both": True}, preload="both")
package("looks-up-what-is-not-there", FINDS, ONE + SHOW, {"mine": False}, preload="both")
package("looks-through-modules", {"mine.py": "import sys\nV = len([n for n in sys.modules if n.startswith('_')]) > 3\n"}, ONE, {"mine": False})
FAILS = {"mine/__init__.py": "try:\n    from .part import V\nexcept ImportError as e:\n    V = e.name\n", "mine/part.py": "import textwrap, mine_nowhere\nV = 'there'\n"}
package("part-fails", FAILS, ONE + SHOW, {"mine": True})
package("part-fails-no-more", FAILS, ONE + SHOW, {"mine": False}, files={"mine_nowhere.py": ""})
package("part-fails-in-another-way", {**FAILS, "mine/part.py": "raise ImportError('no', name='x')\n"}, ONE + SHOW, {"mine": False})
BY_NAME = {"mine.py": "import importlib\nV = importlib.import_module('other').V\n", "other.py": "V = 1\n", "rel/__init__.py": "import importlib\nV = importlib.import_module('.sub', __name__).V\n", "rel/sub.py": "V = 2\n"}
package("import-module", BY_NAME, ONE + SHOW, {"mine": True}, preload="other,mine")
package("import-module-of-what-was-changed", BY_NAME, "import other\nother.V = 5\n" + ONE + SHOW, {"mine": False}, preload="other,mine")
package("import-module-relative", BY_NAME, "import rel\nprint(rel.V)\n" + SHOW, {"rel": True}, preload="rel")
package("import-module-kept", {"mine.py": "from importlib import import_module\nV = import_module('textwrap').__name__\n"}, ONE + "import importlib\nprint(mine.import_module is importlib.import_module)\n", {"mine": True})
package("passed-directory", {"mine.py": "import os\nV = os.path.realpath(os.path.dirname(__file__))[-13:]\n"}, ONE, {"mine": True})
CLASSES = {"mine/__init__.py": "", "mine/base.py": "class Base:\n    pass\n", "mine/two.py": "from . import base\nbase.Base.attribute = 1\n", "mine/three.py": "from . import base\nV = base.Base.__dict__.get('attribute')\n"}
package("class-changed-by-a-part", CLASSES, "import mine.base\nprint(hasattr(mine.base.Base, 'attribute'))\nimport mine.two\nprint(mine.base.Base.attribute)\nimport mine.three\nprint(mine.three.V)\n", {"mine.two": True, "mine.three": False}, preload="mine.base,mine.two,mine.three")
package("class-changed-by-the-script", CLASSES, "import mine.base\nimport mine.two\nmine.base.Base.attribute = 3\nimport mine.three\nprint(mine.three.V)\n", {"mine.two": True, "mine.three": False}, preload="mine.base,mine.two,mine.three")
