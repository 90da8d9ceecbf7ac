# What a rehearsal puts in place, or looks at, to see what belongs to the run or to all.
#
# Owns the lists of `sys` that tell who reads them, the entry of `warnings.filters` that tells
# who warns, the settings (settings.py) and the names and objects of the standard library,
# which are as they were after each import. rehearse.py, which stands behind, judges.


class List(list):
    """A list of `sys`: who keeps it has the run's; who reads it has not."""

    def _told(name):
        inner = getattr(list, name)

        def method(self, *rest, **more):
            if sys._getframe(1).f_code.co_filename not in IMPORTERS:
                accuse(f"looks at sys.{self.name}")
            return inner(self, *rest, **more)

        return method

    for _name in ("__getitem__", "__iter__", "__len__", "__contains__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__add__", "__iadd__", "__mul__", "__rmul__", "__imul__", "__reversed__", "__setitem__", "__delitem__", "__repr__", "copy", "index", "count", "pop", "append", "extend", "insert", "remove", "reverse", "sort", "clear"):
        locals()[_name] = _told(_name)
    del _name

    def __init__(self, name, items):
        list.__init__(self, items)
        self.name = name


IMPORTERS = {"<pyzy>", "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>", "<frozen zipimport>"}


class Category(type):
    def __subclasscheck__(self, category):
        # Asked for each warning, before the other filters.
        if stack:
            nodes[stack[-1]].asks.add("filters")
        return False


class Spy(Warning, metaclass=Category):
    pass


SPY = ("ignore", None, Spy, None, 0)


# Modules that add filters which do more than ignore, and the number of the name during whose import they did.
strict = {}


def examine_warnings():
    """What warns under filters of a module that was imported for another name was imported without those."""
    for node in nodes.values():
        needed, todo = set(), list(node.needs) if "filters" in node.asks else []
        while todo:
            name = todo.pop()
            if name not in needed and name in nodes:
                needed.add(name)
                todo += nodes[name].needs
        if any(strict.get(name, node.root) != node.root for name in needed):
            node.reason = node.reason or "warns under the filters of another module"


# Filters, each list with what it held.
known_filters = {}


def watch_warnings():
    entries = filters()
    if type(entries) is not list:
        return
    now = [entry for entry in entries if entry is not SPY]
    before = known_filters.get(id(entries), (None, now))[1]
    if stack and not any(now[at:at + len(before)] == before for at in range(len(now) - len(before) + 1)):
        accuse("changes the filters of warnings")
        now = before
    elif stack and any(entry not in before and entry[0] != "ignore" for entry in now):
        strict[stack[-1]] = nodes[stack[-1]].root
    known_filters[id(entries)] = entries, now
    entries[:] = [SPY, *now]


def put_filters(entries):
    """Those of another module are not those under which the next one warns."""
    filters()[:] = entries
    known_filters[id(filters())] = filters(), [entry for entry in entries if entry is not SPY]


def found(name):
    return table.get(name)


# The settings, each when it was last seen.
last = {}


def look_at_settings():
    for at, (name, verb, get, put) in enumerate(SETTINGS + LOOKED_UP):
        module = found(name)
        if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
            continue
        now = get(module)
        if at not in last:
            last[at] = now
        elif now != last[at]:
            if stack and not curating[0]:
                accuse(verb)
                put(module, last[at])
                now = get(module)
            last[at] = now


# Functions that are not to be called: modules, names in them, and what they do.
CALLED = {
    ("weakref", "finalize.__init__"): "registers a finaliser",
    ("threading", "enumerate"): "asks for all threads",
    ("threading", "active_count"): "asks for all threads",
    ("traceback", "extract_stack"): "looks at its callers",
    ("traceback", "format_stack"): "looks at its callers",
    ("traceback", "print_stack"): "looks at its callers",
    ("inspect", "stack"): "looks at its callers",
    ("inspect", "getouterframes"): "looks at its callers",
}
# Functions whose answer is compared at the hand-over.
ASKED = {("logging", f"Logger.{name}"): "logging" for name in ("getEffectiveLevel", "isEnabledFor", "hasHandlers", "callHandlers")}


def code_of(module, path):
    value = found(module)
    for name in path.split("."):
        value = getattr(value, name, None)
    return getattr(value, "__code__", None)


def examine_calls():
    """Code of the standard library that has run."""
    called = {code_of(*place): verb for place, verb in CALLED.items()}
    asked = {code_of(*place): group for place, group in ASKED.items()}
    examine_warnings()
    called.pop(None, None)
    asked.pop(None, None)
    for node in list(nodes.values()):
        node.asks.update(asked[code] for code in node.codes if code in asked)
        verb = next((called[code] for code in node.codes if code in called), None)
        node.reason = node.reason or verb


# What is watched: whose it is, its name there, the dictionary, and what that held.
watched = []
# Names that the standard library itself sets when it is used first, and that nothing else goes by.
NO_CACHES = {"threading", "logging", "warnings", "gettext", "sys", "builtins", "os"}
# What typing_extensions puts in the place of functions does what those do, and more.
HARMLESS = {("typing", "_collect_parameters"), ("typing", "_check_generic")}
OWN_NAMES = ("__warningregistry__", "__builtins__", "__annotations__", "__dict__", "__spec__", "__loader__", "__path__", "__file__", "__cached__")
HEAP_TYPE = 1 << 9
# Whether the curated list is being imported, which is known.
curating = [True]


def count_again():
    """What is remembered here is no doing of anybody's."""
    known["streams"] = sum(map(sys.getrefcount, proxies))
    counts.update((name, sys.getrefcount(ours)) for name, ours in in_place.items())


def watch_library(name, module):
    """What a module of the standard library is, an import from elsewhere must leave."""
    space = vars(module)
    places, objects = [(name, "", space, dict(space))], [space]
    for key, value in list(space.items()):
        kind = type(value)
        # Instances of classes made of Python code.
        if kind.__flags__ & HEAP_TYPE and not isinstance(value, (type, type(sys))) and not hasattr(kind, "_member_map_") and type(getattr(value, "__dict__", None)) is dict and id(value) not in seen:
            seen.add(id(value))
            # Its attributes may lie in itself (3.13), or in the dictionary.
            places += [(name, key + ".", vars(value), dict(vars(value)))] * 2
            objects += value, vars(value)
    watched.extend(places)
    watch(objects)
    count_again()


def look_at_watched():
    for at in changed_since(None):
        look_at_names(*watched[at])


def look_at_names(name, prefix, space, before):
    """Names and attributes in the standard library are put back as they were."""
    # One that may be tied is python/ties.py's; names in it are set again at the hand-over.
    is_ours = curating[0] or not stack or name in stack or may_be_tied(name) or not is_from_elsewhere(stack[-1])
    for key in {*before, *space}:
        old, new = before.get(key, MISSING), space.get(key, MISSING)
        if old is new or key in OWN_NAMES or not isinstance(key, str):
            continue
        is_cache = key.startswith("_") and (old is MISSING or old is None or old is False) and name not in NO_CACHES
        # One that its module makes when it is asked for.
        is_cache |= old is MISSING and "__getattr__" in space
        is_cache |= (name, prefix + key) in HARMLESS
        # A submodule's name in its package is set as well.
        if is_ours or is_cache or isinstance(new, type(sys)) or (name == "sys" and key in OF_EACH_RUN):
            before.pop(key, None)
            before.update({} if new is MISSING else {key: new})
        else:
            if not is_as_good(old, new):
                accuse(f"changes {name}.{prefix}{key}")
            space.pop(key, None)
            space.update({} if old is MISSING else {key: old})


def is_as_good(old, new):
    """The same once more, as `time.tzset` makes it of `time.tzname`."""
    plain = (str, bytes, int, float)
    if type(old) is tuple and type(new) is tuple:
        return len(old) == len(new) and all(map(is_as_good, old, new))
    return type(old) is type(new) and type(old) in plain and repr(old) == repr(new)


MISSING = object()
# Changed by the rehearsal itself, or judged by `settle`.
OF_EACH_RUN = {"modules", "path", "meta_path", "path_hooks", "dont_write_bytecode", *REPORTS}


def is_from_elsewhere(name):
    module = found(name)
    file = getattr(getattr(module, "__spec__", None), "origin", None)
    return not isinstance(file, str) or file.startswith("/") and not is_library(file)


def put_back():
    """What a module has put in the place of a standard stream or a list of `sys`."""
    for name, ours in in_place.items():
        if getattr(sys, name, None) is not ours:
            accuse("replaces a standard stream" if name in STREAMS else f"sets sys.{name}")
            setattr(sys, name, ours)


# By their names: proxies of the standard streams, and lists.
in_place = {}
counts = {}


def look_at_lists():
    for name, ours in in_place.items():
        now = sys.getrefcount(ours)
        if name not in STREAMS and stack and now > counts.get(name, now):
            nodes[stack[-1]].keeps.add(name)
        counts[name] = now


def sees_others(method):
    """Are there classes of modules that the innermost import has not asked for?"""
    asked, todo = set(), list(stack)
    while todo:
        name = todo.pop()
        if name not in asked:
            asked.add(name)
            todo += nodes[name].needs if name in nodes else ()
    try:
        homes = {getattr(found, "__module__", None) for found in method()}
    except Exception:
        return True
    return any(home in nodes and home not in asked and home not in started for home in homes)


# Questions about the exception that is being handled, which may be the run's, and about the time of day where it runs.
def asks_by_call(function):
    name = function.__name__
    if name in ("exc_info", "exception") and function.__module__ == "sys" and sys.exc_info()[0] is None:
        return "asks for the exception that is handled"
    if name in ("fromtimestamp", "timestamp", "astimezone") and hasattr(getattr(function, "__self__", None), "fromtimestamp"):
        return "asks for the local time"
    return None
