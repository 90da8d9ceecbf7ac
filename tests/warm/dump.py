"""Imports what it is told and tells everything that can be seen afterwards.

Run by compare.py, cold and warm. Imports nothing for itself: what it looks at
is what start-up left, before and after the imports named on the command line.
"""

import sys

seen = {}


def tell(value, depth=0):
    """A value in words that are the same in every process."""
    kind = type(value)
    name = kind.__module__ + "." + kind.__qualname__
    if value is None or kind in (int, str, bytes, bool, float, complex):
        return repr(value)[:300]
    if isinstance(value, type(sys)):
        return "module " + str(getattr(value, "__name__", "?"))
    if id(value) in seen or depth > 6:
        return name + " again"
    seen[id(value)] = value
    if kind in (tuple, list):
        return name + " [" + ", ".join(tell(v, depth + 1) for v in value) + "]"
    if kind in (set, frozenset):
        return name + " {" + ", ".join(sorted(tell(v, depth + 1) for v in value)) + "}"
    if kind is dict:
        return "dict {" + ", ".join(tell(k, depth + 1) + ": " + tell(v, depth + 1) for k, v in value.items()) + "}"
    if isinstance(value, type):
        parts = [b.__module__ + "." + b.__qualname__ for b in value.__mro__]
        own = {k: v for k, v in vars(value).items() if k not in ("__dict__", "__weakref__")}
        if "_value2member_map_" in own:
            # Combinations of flags become members when somebody uses them first (enum.Flag).
            own["_value2member_map_"] = {k: v for k, v in own["_value2member_map_"].items() if v._name_ in own["_member_map_"]}
        return "class %s %s %s" % (value.__qualname__, parts, ", ".join("%s=%s" % (k, tell(v, depth + 1)) for k, v in own.items()))
    code = getattr(value, "__code__", None)
    if code is not None and hasattr(value, "__qualname__"):
        extra = [tell(getattr(value, n, None), depth + 1) for n in ("__defaults__", "__kwdefaults__", "__dict__", "__closure__")]
        return "%s %s.%s %s:%s %s" % (name, value.__module__, value.__qualname__, code.co_filename, code.co_firstlineno, extra)
    if name == "builtins.cell":
        try:
            return "cell " + tell(value.cell_contents, depth + 1)
        except ValueError:
            return "cell"
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = None
    rest = ""
    if isinstance(value, (dict,)):
        rest = " " + str([str(k)[:80] for k in dict.keys(value)])
    return name + rest + (" " + tell(dict(own), depth + 1) if isinstance(own, dict) else "")


def state(label):
    """What there is beside the modules."""
    print("==", label)
    print("modules", list(sys.modules))
    print("cache", [(k, type(v).__name__) for k, v in sys.path_importer_cache.items()])
    print("path", sys.path)
    print("meta_path", [getattr(f, "__name__", type(f).__name__) for f in sys.meta_path])
    print("path_hooks", len(sys.path_hooks))
    print("flags", sys.flags, sys.dont_write_bytecode, sys.getrecursionlimit(), sys.getswitchinterval())
    for name in ("displayhook", "excepthook", "unraisablehook", "breakpointhook"):
        print(name, getattr(sys, name) is getattr(sys, "__" + name + "__", None))
    print("filters", [str(f) for f in sys.modules["_warnings"].filters])
    print("signals", [tell(sys.modules["_signal"].getsignal(n)) for n in range(1, 32)])
    print("threads", len(sys._current_frames()), sys.modules["_thread"]._count())


PASSING = ("__builtins__",)


def namespaces():
    print("== namespaces")
    for key, module in list(sys.modules.items()):
        if key in ("__main__", "sys", "builtins", "posix", "os"):
            print(key, list(vars(module)) if key != "sys" else "")
            continue
        if not isinstance(module, type(sys)):
            print(key, tell(module))
            continue
        for name, value in vars(module).items():
            if name not in PASSING:
                print(key, name, tell(value))


def registries():
    """Registered with other modules, as far as those are there; looked at last, as it imports gc and atexit."""
    print("== registries")
    copyreg = sys.modules.get("copyreg")
    if copyreg is not None:
        print("copyreg", [str(k) for k in copyreg.dispatch_table], copyreg._extension_registry)
    import atexit

    print("atexit", atexit._ncallbacks())
    import gc

    print("gc", gc.get_threshold(), gc.isenabled(), len(gc.callbacks), gc.get_freeze_count())
    print("files", len([o for o in gc.get_objects() if type(o).__name__ == "TextIOWrapper"]))
    # What runs in a fork's child.
    before = sorted(sys.modules)
    pid = sys.modules["posix"].fork()
    if pid == 0:
        sys.modules["posix"]._exit(sys.modules["_thread"]._count())
    print("fork", sys.modules["posix"].waitpid(pid, 0)[1], before == sorted(sys.modules))
    print("collect", gc.collect() >= 0)


state("at first")
failed = []
for wanted in sys.argv[1:]:
    try:
        __import__(wanted)
    except ImportError as error:
        failed.append(str(error))
print("failed", failed)
state("then")
namespaces()
registries()
