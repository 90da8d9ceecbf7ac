"""Code of warm extensions that sleeps until it is used: other ways to it than the hand-over of its own module."""

from .extensions import TELL, extension

# As Cython does since 0.29: the first extension makes a class, and leaves it in a module that others look for.
SHARES = r"""
static PyObject *show(PyObject *self) { return PyUnicode_FromString("shared"); }
static PyObject *call(PyObject *self, PyObject *args, PyObject *kw) { return PyLong_FromLong(7); }
static void gone(PyObject *self) { PyTypeObject *type = Py_TYPE(self); ((freefunc)PyType_GetSlot(type, Py_tp_free))(self); Py_DECREF(type); }
static PyType_Slot class_slots[] = {{Py_tp_repr, show}, {Py_tp_call, call}, {Py_tp_dealloc, gone}, {0}};
static PyType_Spec spec = {"mine_abi.Shared", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, class_slots};
static int setup(PyObject *module) {
    PyObject *abi = PyImport_AddModule("mine_abi"), *class;
    if (!abi) return -1;
    if (!PyObject_HasAttrString(abi, "Shared")) {
        if (!(class = PyType_FromSpec(&spec)) || PyModule_AddObject(abi, "Shared", class) < 0) return -1;
    }
    class = PyObject_GetAttrString(abi, "Shared");
    found = class ? PyObject_CallObject(class, 0) : 0;
    Py_XDECREF(class);
    return found ? PyModule_AddObject(module, "thing", (Py_INCREF(found), found)) : -1;
}
"""
TWO = {"mine/__init__.py": "", "mine/below.py": "from .two import thing\nclass Below(type(thing)): pass\n"}
SEEN = "import sys\nprint([name for name in sys.modules if name.startswith('mine')])\n"
extension("asleep/a-shared-class", "import mine.two as t\nprint(t.thing, t.thing(), t.what())\n" + SEEN, {"mine.two": True}, SHARES, TWO, preload="mine.ext,mine.two", more={"mine/two": SHARES})
extension("asleep/a-shared-class-below", "import mine.below as b\nx = b.Below()\nprint(x, x())\ndel x\n" + SEEN, {"mine.below": True}, SHARES, TWO, preload="mine.ext,mine.below", more={"mine/two": SHARES})
extension("asleep/a-shared-class-both", "import mine.two as t\nimport mine.ext as e\nprint(t.thing, e.thing, type(t.thing) is type(e.thing))\n" + SEEN, {"mine.two": True, "mine.ext": True}, SHARES, TWO, preload="mine.ext,mine.two", more={"mine/two": SHARES})

# An extension that is linked with another one, as a library.
LINKED = {"libcore.so": r"""
#include <Python.h>
int core_calls;
int core_next(void) { return ++core_calls; }
static PyMethodDef methods[] = {{0}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "libcore", 0, -1, methods};
PyMODINIT_FUNC PyInit_libcore(void) { return PyModule_Create(&definition); }
"""}
NEXT = r"""
int core_next(void);
static PyObject *next(PyObject *self, PyObject *none) { return PyLong_FromLong(core_next()); }
static PyMethodDef more[] = {{"next", next, METH_NOARGS, 0}, {0}};
static int setup(PyObject *module) { return PyModule_AddFunctions(module, more); }
"""
extension("asleep/linked", "import mine\nprint(mine.ext.next(), mine.ext.next())\nimport sys\nprint('libcore' in sys.modules)\n", {"mine": True}, NEXT, libraries=LINKED, preload="libcore,mine")

# Python code that calls it by its name: `ctypes` is warm as well.
PLAIN = r"""
int plain_answer(void) { return 42; }
static int setup(PyObject *module) { return 0; }
"""
extension("asleep/by-warm-ctypes", "import ctypes, glob, site\nlib = ctypes.PyDLL(glob.glob(site.getusersitepackages() + '/mine/ext.*so')[0])\nprint(lib.plain_answer())\n", {"ctypes": True}, PLAIN, preload="stdlib,ctypes,mine")

# What C code keeps: one extension is told of another's function.
HOLDER = r"""
static int (*kept)(void);
static PyObject *keep(PyObject *self, PyObject *capsule) { kept = PyCapsule_GetPointer(capsule, "mine.answer"); Py_RETURN_NONE; }
static PyObject *ask(PyObject *self, PyObject *none) { return kept ? PyLong_FromLong(kept()) : PyUnicode_FromString("nobody"); }
static PyMethodDef more[] = {{"keep", keep, METH_O, 0}, {"ask", ask, METH_NOARGS, 0}, {0}};
static int setup(PyObject *module) { return PyModule_AddFunctions(module, more); }
"""
TELLS = r"""
static int answer(void) { return 42; }
static int setup(PyObject *module) { return PyModule_AddObject(module, "answer", PyCapsule_New(answer, "mine.answer", 0)); }
"""
extension("asleep/a-capsule", "import mine.both\nprint(mine.both.ext.ask())\n" + SEEN, {"mine.both": True}, HOLDER, {"mine/__init__.py": "", "mine/both.py": "from . import ext, two\next.keep(two.answer)\n"}, preload="mine.both", more={"mine/two": TELLS})
extension("asleep/handed-and-used", TELL, {"mine": True}, PLAIN)
