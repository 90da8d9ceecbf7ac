# What importing a module does, seen from inside.
#
# Run by src/zygote/src/warm/rehearsal.rs in a child of the zygote, which ends afterwards, so
# that whatever is put in place here to see more is lost. Owns the judgement on each module
# that somebody wants warm, and on all that it imports: what it asked that differs from run
# to run, what it did that lasts, what it changed that is not its own. What is not known to be
# harmless is a reason.

import sys

# Set by the caller, from src/zygote/src/warm/list.rs: pairs of module and deed.
ASKED_AGAIN = None
# Imports that ended a rehearsal, or took too long.
fatal = ()
# Extensions that may initialise themselves once a process (src/zygote/src/quiet/libraries.rs).
KNOWN = None
# The zygote notes it by itself, and compares the answer at the hand-over.
COMPARED = {"asks for the name of the host", "reads its limits", "reads its priority", "asks for its processors"}

# Built-in functions that change, or ask, what belongs to the process and not to a module.
DEEDS = {
    "_codecs": {"register": "registers a codec", "register_error": "registers an error handler", "unregister": "unregisters a codec", "lookup_error": "asks for an error handler"},
    "_signal": {"*": "deals with signals"},
    "_contextvars": {"copy_context": "looks at context variables"},
    "_thread": {"start_new_thread": "starts a thread", "start_new": "starts a thread", "start_joinable_thread": "starts a thread", "stack_size": "sets the stack size of threads", "get_native_id": "asks for a process id", "_count": "asks for all threads"},
    "faulthandler": {"*": "turns on the fault handler"},
    "gc": {"get_threshold": "asks the collector", "isenabled": "asks the collector", "get_count": "asks the collector", "get_stats": "asks the collector", "get_freeze_count": "asks the collector", "get_debug": "asks the collector", "disable": "changes the collector", "enable": "changes the collector", "set_threshold": "changes the collector", "freeze": "changes the collector", "set_debug": "changes the collector", "get_objects": "looks at all objects", "get_referrers": "looks at all objects", "collect": "runs the collector"},
    "posix": {"chdir": "changes the working directory", "umask": "sets the umask", "nice": "changes its priority", "dup": "opens a descriptor", "dup2": "opens a descriptor", "pipe": "opens a descriptor", "pipe2": "opens a descriptor", "memfd_create": "opens a descriptor", "getpid": "asks for a process id", "getppid": "asks for a process id", "getlogin": "asks who is logged in", "urandom": "reads random bytes", "getrandom": "reads random bytes"},
    "sys": {"settrace": "sets a trace function", "setprofile": "sets a profile function", "addaudithook": "adds an audit hook", "setrecursionlimit": "changes the recursion limit", "setswitchinterval": "changes the switch interval", "setdlopenflags": "changes how libraries are loaded", "set_int_max_str_digits": "changes the limit of digits", "set_asyncgen_hooks": "sets hooks for generators", "set_coroutine_origin_tracking_depth": "changes the tracking of coroutines", "_current_frames": "looks at all threads", "_getframe": None},
    "time": {"time": "reads the clock", "time_ns": "reads the clock", "monotonic": "reads the clock", "monotonic_ns": "reads the clock", "perf_counter": "reads the clock", "perf_counter_ns": "reads the clock", "process_time": "reads the clock", "process_time_ns": "reads the clock", "thread_time": "reads the clock", "localtime": "reads the clock", "sleep": "sleeps", "tzset": "sets the time zone"},
    "atexit": {"_ncallbacks": "asks what runs at exit", "unregister": "takes back what runs at exit", "_clear": "takes back what runs at exit", "_run_exitfuncs": "runs what runs at exit"},
    "_locale": {"setlocale": "sets the locale"},
    "_posixsubprocess": {"*": "starts a process"},
    "_socket": {"*": "asks about the network"},
    "_ctypes": {"dlopen": "loads a library by ctypes"},
    "resource": {"*": "asks for its limits"},
}
# What would be felt outside this process, by its audit event, is kept from happening: who does it is refused anyway.
OUTSIDE = {event: verb for verb, events in {
    "changes a file": "os.remove os.rename os.mkdir os.rmdir os.link os.symlink os.truncate os.chmod os.chown os.utime os.setxattr os.removexattr os.chflags tempfile.mkstemp tempfile.mkdtemp shutil.rmtree shutil.move shutil.copyfile sqlite3.connect",
    "starts a process": "os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn subprocess.Popen pty.spawn webbrowser.open",
    "deals with signals": "os.kill os.killpg signal.pthread_kill",
    "asks about the network": "socket.connect socket.bind socket.sendto socket.sendmsg socket.getaddrinfo socket.gethostbyname socket.gethostbyaddr socket.getnameinfo urllib.Request",
    "starts a thread": "_thread.start_new_thread _thread.start_joinable_thread",
    "changes its limits": "resource.setrlimit resource.prlimit",
    "writes to the system's log": "syslog.openlog syslog.syslog",
}.items() for event in events.split()}
# The same without an event.
UNANNOUNCED = {"_posixsubprocess": {"fork_exec": "starts a process"}, "_posixshmem": {"shm_open": "maps memory that is shared", "shm_unlink": "maps memory that is shared"}}
# O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND (Linux, x86-64 and most others).
WRITES = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000
# Compared at the hand-over (settings.py).
SAME_FOR_ALL = {"encoding", "errors", "closed", "name", "mode", "newlines", "__class__"}
# Of sys: what a run sets for itself.
OF_THE_RUN = {"meta_path", "path_hooks", "path_importer_cache", "dont_write_bytecode", "ps1", "ps2", "last_value", "last_traceback", "last_type", "last_exc", "tracebacklimit", "gettrace", "getprofile", "_current_frames"}
# Whose changed containers do not count: they are caches, or observed by src/zygote/src/warm/watch.rs.
OBSERVED = {"sys", "builtins", "posix", "os", "re", "copyreg", "_frozen_importlib", "_frozen_importlib_external", "importlib._bootstrap", "importlib._bootstrap_external", "importlib", "zipimport", "linecache", "tokenize", "_weakrefset", "functools", "typing", "encodings", "sre_compile", "re._compiler", "struct", "platform"}
# Functions whose answer depends on all of sys.path, with what is in front of it in a run.
SEARCHES = {(f"importlib/metadata/{file}.py", name): "looks for installed distributions" for file in ("__init__", "_meta") for name in ("distributions", "distribution", "from_name", "discover", "version", "entry_points", "packages_distributions")}
SEARCHES[("importlib/metadata.py", "from_name")] = SEARCHES[("importlib/metadata.py", "distributions")] = SEARCHES[("importlib/metadata.py", "discover")] = SEARCHES[("importlib/metadata.py", "entry_points")] = "looks for installed distributions"
SEARCHES.update({("importlib/util.py", "find_spec"): "asks whether a module can be found", ("pkgutil.py", "iter_modules"): "looks for modules", ("pkgutil.py", "walk_packages"): "looks for modules", ("pkgutil.py", "extend_path"): "changes its path"})
# What `decimal` begins with (Lib/_pydecimal.py, DefaultContext).
PLAIN = "Context(prec=28, rounding=ROUND_HALF_EVEN, Emin=-999999, Emax=999999, capitals=1, clamp=0, flags=[], traps=[InvalidOperation, DivisionByZero, Overflow])"
QUESTIONS = {"exc_info", "exception", "fromtimestamp", "timestamp", "astimezone"}
STREAMS = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")


class Node:
    def __init__(self, name):
        self.name, self.reason, self.absent, self.extension = name, None, False, None
        self.reads, self.needs, self.codes, self.changes = set(), set(), set(), set()
        self.finds, self.misses, self.fails = set(), set(), False
        self.decimal, self.asks, self.keeps, self.root = False, set(), set(), known["root"]


class Environment(dict):
    """What os.environ looks things up in."""

    def __getitem__(self, key):
        reads.add(key)
        return dict.__getitem__(self, key)

    def __contains__(self, key):
        reads.add(key)
        return dict.__contains__(self, key)

    def get(self, key, default=None):
        reads.add(key)
        return dict.get(self, key, default)

    def _whole(name, verb):
        inner = getattr(dict, name)

        def method(self, *rest, **more):
            accuse(verb)
            return inner(self, *rest, **more)

        return method

    for _name in ("__iter__", "keys", "items", "values", "copy", "__len__", "__eq__", "__ne__", "__repr__", "__or__", "__ror__", "__reversed__"):
        if hasattr(dict, _name):
            locals()[_name] = _whole(_name, "reads the whole environment")
    # What changes it is seen by comparing it, before an import and after.
    del _name


def is_foreign(frame):
    """Is it code from outside the standard library?"""
    file = frame.f_code.co_filename
    return not file.startswith("<") and not is_library(file)


class Modules:
    """sys.modules, for Python code: what it looks up counts."""

    def __init__(self, table):
        self._table = table

    def _look(self, key):
        if stack and isinstance(key, str) and is_foreign(sys._getframe(2)):
            (nodes[stack[-1]].finds if key in self._table else nodes[stack[-1]].misses).add(key)

    def __getitem__(self, key):
        self._look(key)
        return self._table[key]

    def __contains__(self, key):
        self._look(key)
        return key in self._table

    def get(self, key, default=None):
        self._look(key)
        return self._table.get(key, default)

    def __setitem__(self, key, value):
        self._table[key] = value

    def __delitem__(self, key):
        del self._table[key]

    def setdefault(self, key, default=None):
        self._look(key)
        return self._table.setdefault(key, default)

    def pop(self, key, *default):
        self._look(key)
        return self._table.pop(key, *default)

    def _whole(name):
        def method(self, *rest, **more):
            if is_foreign(sys._getframe(1)):
                accuse("looks at sys.modules")
            return getattr(self._table, name)(*rest, **more)

        return method

    for _name in ("__iter__", "__len__", "keys", "items", "values", "copy", "__eq__", "__ne__", "__repr__", "__or__", "__ror__", "__ior__", "__reversed__", "popitem", "update", "clear"):
        if hasattr(dict, _name):
            locals()[_name] = _whole(_name)
    del _name
    __hash__ = None


class Stream:
    """A standard stream."""

    # Nor can there be a weak reference to it.
    __slots__ = ("_stream",)

    def __init__(self, stream):
        object.__setattr__(self, "_stream", stream)

    def __getattribute__(self, name):
        if name not in SAME_FOR_ALL:
            accuse("writes to a standard stream" if name in ("write", "writelines") else "looks at a standard stream")
        return getattr(object.__getattribute__(self, "_stream"), name)

    def __setattr__(self, name, value):
        accuse("changes a standard stream")


nodes, stack, curated = {}, [], set()
reads = set()
started = set()
known = {"fds": None, "path": None, "random": None, "streams": None, "hooks": None, "logging": None, "tasks": 1, "lasting": None, "decimal": [], "profile": False, "root": 0, "capsules": None}


def accuse(verb, name=None):
    name = name or (stack[-1] if stack else None)
    if name is None or verb is None:
        return
    node = nodes[name]
    if node.reason is None and (name, verb) not in ASKED_AGAIN and verb not in COMPARED:
        node.reason = verb


def bar(event, arguments):
    """An audit hook."""
    verb = OUTSIDE.get(event)
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & WRITES and not isinstance(path, int) and path not in ("/dev/null", b"/dev/null"):
            verb = "changes a file"
    if verb and stack:
        accuse(verb)
        raise RuntimeError("this is a rehearsal")


def bar_threads():
    """As `bar`, where there is no such event before 3.12."""
    def start(*_, **__):
        accuse("starts a thread")
        raise RuntimeError("this is a rehearsal")

    for module, names in (("_thread", ("start_new_thread", "start_new", "start_joinable_thread")), ("threading", ("_start_new_thread", "_start_joinable_thread"))):
        for name in names:
            if hasattr(sys.modules.get(module), name):
                setattr(sys.modules[module], name, start)


def bar_functions(name):
    """As `bar`, of C functions for which there is no event: what they make would outlast this process."""
    for function, verb in UNANNOUNCED.get(name, {}).items():
        def barred(*_, verb=verb, **__):
            accuse(verb)
            raise RuntimeError("this is a rehearsal")

        if hasattr(sys.modules.get(name), function):
            setattr(sys.modules[name], function, barred)


def settle():
    """What has happened since the last time is the doing of the innermost import."""
    calls, variables, descriptors, tasks, environment, context = look(None)
    if tasks > 1 or "starts a thread" in calls:
        # Threads of a library (OpenBLAS has such) that end when their process forks, and begin again when they are needed.
        tasks = tasks_after_fork(None)
        if tasks == 1:
            calls = [call for call in calls if call not in ("starts a thread", "registers something for forks")]
    for call in calls:
        accuse(call)
    if known["profile"] and sys.getprofile() is not profile:
        # What comes afterwards is watched all the same.
        accuse("sets a profile function")
        sys.setprofile(profile)
    now = [repr(value) for variable, value in context.items() if variable.name == "decimal_context"]
    if now and stack and now != known["decimal"]:
        # It is made where it is missing: so it is at the hand-over.
        nodes[stack[-1]].decimal = True
        if now != [PLAIN]:
            accuse("computes with decimals, and leaves signs of it")
    known["decimal"] = now
    known["lasting"] = environment, sorted((id(variable), id(value)) for variable, value in context.items() if variable.name != "decimal_context")
    if stack:
        nodes[stack[-1]].reads.update(reads, variables)
    reads.clear()
    if descriptors != known["fds"]:
        if known["fds"] is not None:
            accuse("leaves a descriptor open" if len(descriptors) > len(known["fds"]) else "closes a descriptor")
        known["fds"] = descriptors
    if tasks > known["tasks"]:
        accuse("starts a thread")
    known["tasks"] = tasks
    now = list(sys.path)
    if now != known["path"]:
        if known["path"] is not None:
            accuse("changes sys.path")
        known["path"] = now
    hooks = (list(sys.meta_path), list(sys.path_hooks))
    if hooks != known["hooks"]:
        if known["hooks"] is not None:
            accuse("changes the import system")
        known["hooks"] = hooks
    random = sys.modules.get("random")
    if random is not None and hasattr(random, "_inst"):
        now = hash(random._inst.getstate())
        if known["random"] is not None and now != known["random"]:
            accuse("draws random numbers")
        known["random"] = now
    logging = sys.modules.get("logging")
    root = getattr(logging, "root", None)
    if root is not None and hasattr(logging, "lastResort"):
        now = (list(root.handlers), list(root.filters), root.level, root.manager.disable, logging.lastResort)
        if known["logging"] is not None and now != known["logging"]:
            accuse("configures logging")
        known["logging"] = now
    now = sum(map(sys.getrefcount, proxies))
    if known["streams"] is not None and now > known["streams"]:
        accuse("keeps a standard stream")
    known["streams"] = now
    now = [key for key, value in vars(builtins).items() if type(value).__name__ == "PyCapsule"]
    if now != known["capsules"]:
        if known["capsules"] is not None:
            accuse("shares something with other extensions, in builtins")
        known["capsules"] = now
    put_back()
    look_at_lists()
    look_at_settings()
    watch_warnings()
    look_at_watched()
    look_at_what_is_made()
    count_again()


# Objects of the standard library whose attributes are watched (python/watched.py).
seen = set()
# Whose changes do not count, by module and dotted name (python/ties.py).
SKIP = {("logging", "_handlerList"), ("threading", "_threading_atexits"), ("warnings", "filters"), ("_warnings", "filters"), ("warnings", "_filters")}
# Replayed, or felt by nobody who has not got what is in it.
SKIP |= {("logging", "Logger.manager.loggerDict"), ("logging", "_at_fork_reinit_lock_weakset.data")}
# Caches of what can be computed again.
SKIP |= {("urllib.parse", "_parse_cache")}
SKIP |= {("numpy", "finfo._finfo_cache"), ("numpy", "iinfo._min_vals"), ("numpy", "iinfo._max_vals")}
SKIP |= {("numpy._core.getlimits", key) for _, key in SKIP if _ == "numpy"}


def first_use(name):
    if name not in nodes:
        nodes[name] = Node(name)
        # A submodule is there only with its package, whoever imports it first.
        if "." in name:
            nodes[name].needs.add(first_use(name.rpartition(".")[0]).name)
    return nodes[name]


def load(name, import_):
    settle()
    environment, context = known["lasting"]
    node = first_use(name)
    if stack:
        nodes[stack[-1]].needs.add(name)
    stack.append(name)
    tell(f"begin\t{name}")
    try:
        if name in fatal:
            # So did an earlier rehearsal.
            accuse("takes too long, or ends the process")
            raise ImportError("this is a rehearsal")
        module = real_load(name, import_)
        judge(node, sys.modules.get(name))
        return module
    except ModuleNotFoundError as error:
        missing = error.name or ""
        node.absent = name == missing or name.startswith(missing + ".")
        # A part of a package that needs something which is nowhere: as long as that is so, it fails again.
        node.fails = not node.absent and "." in name and missing in nodes and nodes[missing].absent and node.reason is None
        node.reason = node.reason or ("is nowhere" if node.absent else f"cannot be imported: {error}")
        raise
    except BaseException as error:
        node.reason = node.reason or f"cannot be imported: {type(error).__name__}: {error}"
        raise
    finally:
        settle()
        if known["lasting"][0] != environment:
            accuse("changes the environment")
        if known["lasting"][1] != context:
            accuse("sets a context variable")
        stack.pop()
        tell(f"done\t{name}")
        bar_functions(name)
        if not node.absent and name in sys.modules:
            take_picture(name, table[name])
            adopt(name, sys.modules[name])


def judge(node, module):
    spec = getattr(module, "__spec__", None)
    loader = getattr(spec, "loader", None)
    if node.name == "__main__" or spec is None or node.reason:
        return
    if type(loader) is outer.ExtensionFileLoader:
        file = getattr(spec, "origin", "")
        if not is_library(file):
            node.extension = file
        elif once(module) and node.name not in KNOWN:
            node.reason = "is an extension that is initialised once in a process"
    elif loader is not None and "NamespaceLoader" in type(loader).__name__:
        node.reason = "is a namespace package"
    elif loader is None and getattr(module, "__path__", None) is not None:
        node.reason = "is a namespace package"


def is_library(file):
    return any(file.startswith(d + "/") and not file[len(d) + 1:].startswith(("site-packages/", "dist-packages/")) for d in library)


def import_(name, globals=None, locals=None, fromlist=(), level=0):
    module = real_import(name, globals, locals, fromlist, level)
    if stack and isinstance(name, str):
        whole = name
        if level:
            package = (globals or {}).get("__package__") or ""
            for _ in range(1, level):
                package = package.rpartition(".")[0]
            whole = package + "." + name if name else package
        names = [whole[:at] for at, c in enumerate(whole) if c == "."] + [whole]
        names += [f"{whole}.{item}" for item in fromlist or () if isinstance(item, str)]
        if whole == "__main__":
            accuse("looks at __main__")
        for used in names:
            if used in sys.modules and used != stack[-1]:
                first_use(used)
                nodes[stack[-1]].needs.add(used)
    return module


def profile(frame, event, arg):
    if event == "call":
        if stack:
            nodes[stack[-1]].codes.add(frame.f_code)
    elif event == "c_call":
        if stack and frame.f_globals is not HERE and getattr(arg, "__name__", None) in QUESTIONS:
            accuse(asks_by_call(arg))
        if stack and getattr(arg, "__name__", None) == "__subclasses__" and is_foreign(frame) and sees_others(arg):
            accuse("asks for the subclasses of a class that others have derived from")
        deeds = DEEDS.get(getattr(arg, "__module__", None))
        if deeds and frame.f_globals is not HERE:
            verb = deeds.get(arg.__name__, deeds.get("*"))
            # Lib/threading.py, Lib/signal.py and their kin set themselves up.
            if verb and not (stack and (arg.__module__, stack[-1]) in (("_signal", "signal"), ("_ctypes", "ctypes"))):
                accuse(verb)


def examine_code():
    """Code from outside the standard library that has run: does it look at what belongs to the run?"""
    import dis

    examine_calls()
    for node in list(nodes.values()):
        for code in node.codes:
            if node.reason is None and not code.co_filename.startswith("<") and not is_library(code.co_filename):
                verb = looks_at_the_run(dis, code, table.get(node.name))
                if verb:
                    node.reason = verb
            if node.reason is None and not node.name.startswith("importlib."):
                verb = SEARCHES.get((code.co_filename.rpartition("/lib/")[2].partition("/")[2], code.co_name))
                if verb:
                    node.reason = verb


def examine_extensions():
    """A run that is not handed one, after all, must be able to load it as if nobody had."""
    foreign = [node for node in nodes.values() if node.extension and node.reason is None]
    for node, why in zip(foreign, try_copies([node.extension for node in foreign]) or ["it is not known how"] * len(foreign)):
        if why:
            node.reason = f"is an extension that cannot be loaded once more: {why}"
    files = [node.extension for node in foreign]
    for node in foreign:
        if files.count(node.extension) > 1:
            node.reason = node.reason or "is an extension that shares its library with another module"


def looks_at_the_run(dis, code, module):
    names = {"sys", "_sys"}
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL")]
    for key, value in list(vars(module).items()) if isinstance(module, type(sys)) else ():
        if value is sys:
            names.add(key)
    for at, i in enumerate(instructions):
        rest = instructions[at + 1:at + 4]
        if i.opname == "IMPORT_NAME" and i.argval == "sys":
            for following in rest:
                if following.opname == "IMPORT_FROM" and following.argval in OF_THE_RUN:
                    return f"looks at sys.{following.argval}"
        if i.opname.startswith("LOAD_") and i.argval in names and rest:
            if rest[0].argval in OF_THE_RUN and rest[0].opname in ("LOAD_ATTR", "LOAD_METHOD"):
                return f"looks at sys.{rest[0].argval}"
            if rest[0].argval in OF_THE_RUN and rest[0].opname in ("STORE_ATTR", "DELETE_ATTR"):
                return f"sets sys.{rest[0].argval}"
            # By `getattr`, `setattr` and their kin.
            if rest[0].opname == "LOAD_CONST" and isinstance(rest[0].argval, str) and rest[0].argval in OF_THE_RUN - set(REPORTS):
                return f"looks at sys.{rest[0].argval}"
        if i.opname in ("LOAD_ATTR", "LOAD_METHOD") and i.argval == "f_back":
            return "looks at its callers"
    return None


def imports_of(path):
    """What the module-level code of a script imports, read from its source, which does not run."""
    try:
        with open(path, "rb") as f:
            tree = compile(f.read(), path, "exec", 0x400, True)  # ast.PyCF_ONLY_AST
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found, todo = [], list(tree.body)
    while todo:
        node = todo.pop(0)
        kind = type(node).__name__
        if kind == "Import":
            found += [(alias.name, None) for alias in node.names]
        elif kind == "ImportFrom" and not node.level:
            found.append((node.module, None))
            # A submodule, if the package has no such name.
            found += [(f"{node.module}.{alias.name}", alias.name) for alias in node.names if alias.name != "*"]
        elif kind in ("If", "Try", "TryStar", "With"):
            inner = [*node.body, *getattr(node, "orelse", ()), *getattr(node, "finalbody", ())]
            for handler in getattr(node, "handlers", ()):
                inner += handler.body
            todo[:0] = inner
    return found


def is_submodule(name, attribute):
    package = sys.modules.get(name.rpartition(".")[0])
    return hasattr(package, "__path__") and not hasattr(package, attribute)


def rehearse(stdlib, roots, script, send):
    """Imports all of them, and tells what came of it, a line each."""
    global tell
    tell = send
    own = imports_of(script) if script else []
    started.update(sys.modules._table)
    for name, module in list(sys.modules.items()):
        adopt_classes(name, module)
    for name, module in sorted(sys.modules.items(), key=lambda item: item[0] not in OBSERVED):
        adopt(name, module)
    settle()
    known["profile"] = True
    sys.setprofile(profile)
    load_roots([(name, None) for name in stdlib], send)
    settle()
    for node in nodes.values():
        # The curated list is imported in the zygote whatever is found here (src/zygote/src/warm/list.rs).
        if not node.absent:
            node.reason = None
            node.codes.clear()
            node.changes.clear()
            node.finds.clear()
            node.misses.clear()
            node.asks.clear()
            node.keeps.clear()
            curated.add(node.name)
    curating[0] = False
    import_each_alone([(name, None) for name in roots] + own)
    load_roots([(name, None) for name in roots] + own, send)
    known["profile"] = False
    curating[0] = True
    sys.setprofile(None)
    builtins.__import__, inner._find_and_load = real_import, real_load
    settle()
    examine_code()
    examine_extensions()
    compare_pictures()
    verdict(roots, send)


def load_roots(names, send):
    path, entries = list(sys.path), list(filters())
    for name, attribute in names:
        sys.path[:] = known["path"] = path[:]
        put_filters(entries)
        known["root"] += 1
        send(f"root\t{name}")
        try:
            if name not in sys.modules and (attribute is None or is_submodule(name, attribute)):
                inner._gcd_import(name)
        except BaseException:
            pass


def verdict(roots, send):
    reasons = {node.name: f"it {node.reason}" for node in nodes.values() if node.reason}
    absent = {node.name for node in nodes.values() if node.absent or node.fails}
    changed = True
    while changed:
        changed = False
        for node in nodes.values():
            if node.name in reasons:
                continue
            for need in sorted(node.needs) if node.name not in curated else ():
                if need in reasons and need not in absent:
                    cause = reasons[need]
                    reasons[node.name] = cause if cause.startswith("it needs ") else f"it needs {need}: {cause}"
                    changed = True
                    break
    # In the order in which somebody first asked for them: so the zygote imports them in the same nesting.
    for name in list(nodes) + [name for name in roots if name not in nodes]:
        node = nodes.get(name)
        if name in absent:
            send(f"absent\t{name}")
        if name in reasons:
            if name not in absent or name in roots:
                send("refused\t%s\t%s" % (name, line(reasons[name])))
        elif node is not None:
            send(f"warm\t{name}")
            for key in sorted(node.reads):
                send("reads\t%s\t%s" % (name, key.hex()))
            for changed in sorted(node.changes):
                send("changes\t%s\t%s" % (name, changed))
            for group in sorted(node.asks):
                send("asks\t%s\t%s" % (name, group))
            for kept in sorted(node.keeps):
                send("keeps\t%s\t%s" % (name, kept))
            if node.decimal:
                send(f"decimal\t{name}")
            for key in sorted(node.finds):
                send("finds\t%s\t%s" % (name, line(key)))
            for key in sorted(node.misses):
                send("misses\t%s\t%s" % (name, line(key)))
        elif name in sys.modules:
            send(f"start\t{name}")
    send("end\t")


def line(text):
    return "".join(c if c.isprintable() else " " for c in text)[:300]


HERE = globals()
builtins = sys.modules["builtins"]
inner = sys.modules["_frozen_importlib"]
outer = sys.modules["_frozen_importlib_external"]


def begin():
    """Puts everything in place; nothing is imported for it."""
    global real_load, real_import, proxies, table
    table = sys.modules
    real_load, real_import = inner._find_and_load, builtins.__import__
    inner._find_and_load, builtins.__import__ = load, import_
    os = sys.modules.get("os")
    if os is not None:
        data = Environment(os.environ._data)
        os.environ._data = data
        if hasattr(os, "environb"):
            os.environb._data = data
        if sys.modules["posix"].environ == data:
            sys.modules["posix"].environ = data
    for name in ("argv", "orig_argv", "path"):
        if hasattr(sys, name):
            in_place[name] = List(name, getattr(sys, name))
            setattr(sys, name, in_place[name])
    made = {}
    for name in STREAMS:
        stream = getattr(sys, name, None)
        if stream is not None:
            proxy = made.setdefault(id(stream), Stream(stream))
            setattr(sys, name, proxy)
            in_place[name] = proxy
    proxies = list(made.values())
    sys.modules = Modules(table)
    sys.dont_write_bytecode = True
    bar_threads()
    for name in UNANNOUNCED:
        bar_functions(name)
    sys.addaudithook(bar)
