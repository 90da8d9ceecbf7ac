"""What an interpreter's start-up code does, seen from inside.

Run by src/zygote/src/probe.rs in a private namespace, in an interpreter that
never runs a script. `begin` is called as soon as `os` is imported, before the
first .pth file and sitecustomize; `event` for every audit event after that;
`noted` when start-up asks the C library something that differs from run to
run; `end` when the interpreter is ready. None of them may import a module
that is not loaded already: it would become part of what is measured.

What start-up code only reads from files and from named variables is no harm,
it ends up in the freshness table and in the identity. Everything that could
differ between two runs is: the first culprits are named.
"""

import posix
import sys

CORE = ("<frozen importlib", "<frozen zipimport", "<frozen getpath", "<frozen site>")

# Audit events (docs.python.org/3/library/audit_events.html) that leave nothing
# behind which another run would miss. Any other is a reason not to share.
HARMLESS = frozenset("""
    import exec compile code.__new__ function.__new__ object.__getattr__ object.__setattr__ object.__delattr__
    builtins.id marshal.loads marshal.load marshal.dumps pickle.find_class array.__new__ glob.glob glob.glob/2
    pathlib.Path.glob pathlib.Path.rglob os.listdir os.scandir os.walk os.fwalk os.putenv os.unsetenv
    socket.gethostname sys._getframe sys._getframemodulename gc.get_objects gc.get_referrers gc.get_referents ctypes.dlopen
""".split())

VERBS = {
    "_thread.start_new_thread": "starts a thread",
    "_thread.start_joinable_thread": "starts a thread",
    "_posixsubprocess.fork_exec": "starts a process",
    "builtins.breakpoint": "stops for a debugger",
    "builtins.input": "reads standard input",
    "ctypes.dlsym": "calls a C function",
    "os.chdir": "changes the working directory",
    "os.exec": "replaces the process",
    "os.fork": "forks",
    "os.forkpty": "forks",
    "os.mkdir": "makes a directory",
    "os.posix_spawn": "starts a process",
    "os.remove": "removes a file",
    "os.rename": "renames a file",
    "os.system": "runs a command",
    "subprocess.Popen": "starts a process",
    "sys.addaudithook": "adds an audit hook",
    "sys.excepthook": "reports an exception",
    "sys.setprofile": "sets a profile function",
    "sys.settrace": "sets a trace function",
    "sys.unraisablehook": "reports an exception",
    "time.sleep": "sleeps",
}

WRITES = posix.O_WRONLY | posix.O_RDWR | posix.O_CREAT | posix.O_TRUNC | posix.O_APPEND

# Modules of the standard library that, while they are imported, ask for
# something that differs from run to run: the module, what it did, and how a
# worker makes up for it (src/core/src/report.rs, `Repair`) or None if the
# answer is never used.
IMPORTS = {
    ("random", "reads random bytes"): "random",
    ("logging", "reads the clock"): "logging",
    ("secrets", "reads random bytes"): None,
}

# What may be asked of sys.stdout and its kin: the same answer for every run with
# the same environment.
SAME_FOR_ALL = frozenset(("encoding", "errors", "flush", "closed", "name", "mode", "newlines", "__class__"))

impure = []
repairs = set()
names_read = set()
names_written = {}
watched = []
asked = {}
listed = set()
before = {}
listening = False


def accuse(verb):
    """Note that start-up code did this, unless it was the interpreter's own doing."""
    if not listening:
        return
    frames = user_frames(sys._getframe(1))
    if frames and not importing(frames, verb):
        say(f"{place(frames)} {verb}")


def say(text):
    if text not in impure:
        impure.append(text)


def user_frames(frame):
    """The frames that start-up code is responsible for, innermost first.

    site, importlib and this file act for the interpreter. They count only as
    the way to something else.
    """
    frames = []
    while frame is not None:
        names = frame.f_globals
        file = frame.f_code.co_filename
        # A line of a .pth file runs in site's own namespace (Lib/site.py, addpackage).
        site = names.get("__name__") == "site" and file != "<string>"
        if names is not GLOBALS and not site and not file.startswith(CORE):
            frames.append(frame)
        frame = frame.f_back
    return frames


def importing(frames, verb):
    """Is this the import of a standard module that is known to do so?"""
    module = frames[0].f_globals.get("__name__")
    if (module, verb) not in IMPORTS or not standard(frames[0]):
        return False
    for frame in frames:
        if frame.f_globals is not frames[0].f_globals:
            return False
        if frame.f_code.co_name == "<module>":
            repair = IMPORTS[module, verb]
            if repair:
                repairs.add(repair)
            return True
    return False


def standard(frame):
    """Is the code of this frame the standard library's?"""
    file = frame.f_code.co_filename
    if file.startswith("<frozen "):
        return True
    library = before["library"]
    rest = file[len(library):]
    return file.startswith(library + "/") and not rest.startswith(("/site-packages/", "/dist-packages/"))


def place(frames):
    """Where, for people: the innermost frame that is not the standard library's."""
    frame = next((f for f in frames if not standard(f)), frames[0])
    file = frame.f_code.co_filename
    outer = frame.f_back
    if file == "<string>":
        # A line of a .pth file, or what such a line executes (Lib/site.py, addpackage).
        while outer is not None:
            if outer.f_code.co_name == "addpackage" and outer.f_globals.get("__name__") == "site":
                return str(outer.f_locals.get("fullname", file))
            outer = outer.f_back
    return f"{file} line {frame.f_lineno}"


def looks_through(path):
    """A directory is listed: by a finder, who is asked for names (`find_spec`), or by somebody who wants to know all that is there."""
    frame = sys._getframe(2)
    code = frame.f_code if frame is not None else None
    if code is not None and code.co_name == "_fill_cache" and code.co_filename == "<frozen importlib._bootstrap_external>":
        return
    listed.add(path if isinstance(path, str) else None)


def find_spec(self, fullname, target=None):
    """FileFinder.find_spec; notes which names are looked for in a directory."""
    asked.setdefault(self.path, set()).add(fullname.rpartition(".")[2])
    return before["find_spec"](self, fullname, target)


def event(name, args):
    """An audit event."""
    if name in ("os.listdir", "os.scandir"):
        looks_through(args[0])
    if name in HARMLESS:
        return
    if name == "open":
        return opened(*args)
    if name == "ctypes.dlsym" and str(args[1]).startswith(("Py", "_Py")):
        return
    if name in ("os.mkdir", "os.rename", "os.remove") and writes_bytecode():
        return
    if name == "ctypes.dlsym":
        return accuse(f"calls the C function {args[1]}")
    verb = VERBS.get(name)
    if verb is None:
        verb = "uses a socket" if name.startswith("socket.") else f"does what CPython calls {name}"
    accuse(verb)


def opened(path, mode, flags):
    if isinstance(path, int):
        if 0 <= path <= 2:
            accuse("opens a standard stream")
    elif isinstance(flags, int) and flags & WRITES and not writes_bytecode():
        accuse(f"opens {path!s} for writing")


def writes_bytecode():
    """Is this importlib writing a .pyc (Lib/importlib/_bootstrap_external.py, SourceFileLoader.set_data)?"""
    frame = sys._getframe(0)
    while frame is not None and frame.f_globals is GLOBALS:
        frame = frame.f_back
    return (
        frame is not None
        and frame.f_code.co_filename == "<frozen importlib._bootstrap_external>"
        and frame.f_code.co_name in ("_write_atomic", "set_data")
    )


def noted(verb):
    """Start-up asked the C library for something that differs from run to run."""
    accuse(verb)


def recording(base, observe):
    """A subclass of `base` whose methods call `observe(method, args)` first."""

    def record(name):
        method = getattr(base, name)

        def call(self, *args, **keywords):
            observe(name, args)
            return method(self, *args, **keywords)

        return call

    silent = (
        "__class__", "__class_getitem__", "__delattr__", "__dir__", "__doc__", "__getattribute__", "__hash__",
        "__init__", "__init_subclass__", "__new__", "__setattr__", "__sizeof__", "__subclasshook__",
    )
    return type(base.__name__, (base,), {n: record(n) for n in dir(base) if n not in silent})


BY_NAME = frozenset(("__getitem__", "__contains__", "__delitem__", "get", "pop", "setdefault"))


def environ_used(method, args):
    if not listening:
        return
    if method in BY_NAME:
        names_read.add(args[0])
    elif method != "__setitem__":
        accuse("reads the whole environment")
    # What is written counts even if it is what was there: in another caller's
    # environment it may not be.
    if method in ("__setitem__", "__delitem__"):
        names_written[args[0]] = None


def arguments(label, values):
    """A list like `values` that tells when it is used."""

    def used(method, args):
        accuse(f"reads {label}")

    kind = recording(list, used)
    # `[...] + sys.argv` would read it in C; a subclass's own __radd__ goes first.
    kind.__radd__ = lambda self, other: (used("__radd__", ()), other + list.copy(self))[1]
    return kind(values)


def stream(label, real):
    """A stand-in for a standard stream that tells when it is used."""

    def use(name):
        if name not in SAME_FOR_ALL:
            accuse(f"uses {label} ({name})")

    class Stream:
        def __getattribute__(self, name):
            use(name)
            return getattr(real, name)

        def __setattr__(self, name, value):
            use(name)
            setattr(real, name, value)

        def __iter__(self):
            use("__iter__")
            return iter(real)

        def __next__(self):
            use("__next__")
            return next(real)

        def __enter__(self):
            use("__enter__")
            return real.__enter__()

        def __exit__(self, *details):
            use("__exit__")
            return real.__exit__(*details)

        def __repr__(self):
            return repr(real)

    return Stream()


def watch(label, names, make):
    """Put a stand-in at each of sys's `names`, and count who refers to it."""
    value = getattr(sys, names[0], None)
    if value is None or any(getattr(sys, name, None) is not value for name in names):
        return
    entry = [label, names, value, make(label, value)]
    for name in names:
        setattr(sys, name, entry[3])
    entry.append(references(entry))
    watched.append(entry)


def references(entry):
    return sys.getrefcount(entry[3])


def unwatch(entry):
    label, names, value = entry[:3]
    # Lib/threading.py, Thread.__init__; a worker has to make up for it (`Repair`).
    main = getattr(sys.modules.get("threading"), "_main_thread", None)
    if main is not None:
        repairs.add("threading")
        if getattr(main, "_stderr", None) is entry[3]:
            main._stderr = value
    if any(getattr(sys, name, None) is not entry[3] for name in names):
        say(f"start-up code replaces {label}")
        return
    if references(entry) > entry[4]:
        say(f"start-up code keeps {label} for later")
    for name in names:
        setattr(sys, name, value)


class Asked:
    """A stand-in for a function of time; no function itself, as one would become a method in a class."""

    __slots__ = ("real",)

    def __init__(self, real):
        self.real = real

    def __call__(self, *args, **keywords):
        accuse("reads the clock")
        return self.real(*args, **keywords)

    def __repr__(self):
        return repr(self.real)


def watch_clocks():
    # The C library's monotonic clock is read by locks too, so it is watched here
    # (src/zygote/src/trace.rs, clock_read). zipimport has imported time before.
    time = sys.modules.get("time")
    if time is None:
        say("the probe cannot watch the clock")
        return
    for name in ("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "clock_gettime", "clock_gettime_ns"):
        if hasattr(time, name):
            setattr(time, name, Asked(getattr(time, name)))


def begin():
    """`os` is there, and no start-up code has run yet."""
    global listening
    os = sys.modules.get("os")
    before["library"] = library()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith(before["library"] + "/"):
            # Something on PYTHONPATH stands in for a part of the interpreter
            # and ran unseen.
            say(f"{file} stands in for the module {name}")
    if os is not None:
        # os.environ is a view of this dict (Lib/os.py, _createenviron), and os.environb another.
        recorder = recording(dict, environ_used)(posix.environ)
        before["os.environ"] = (os.environ, os.environ._data, recorder)
        os.environ._data = posix.environ = recorder
        if hasattr(os, "environb"):
            os.environb._data = recorder
    before["imported"] = {name.partition(".")[0] for name, module in list(sys.modules.items()) if is_from_a_file(module)}
    finder = sys.modules["_frozen_importlib_external"].FileFinder
    before["find_spec"] = finder.find_spec
    finder.find_spec = find_spec
    watch_clocks()
    watch("sys.argv", ("argv",), arguments)
    watch("sys.orig_argv", ("orig_argv",), arguments)
    watch("sys.stdin", ("stdin", "__stdin__"), stream)
    watch("sys.stdout", ("stdout", "__stdout__"), stream)
    watch("sys.stderr", ("stderr", "__stderr__"), stream)
    listening = True


def is_from_a_file(module):
    spec = getattr(module, "__spec__", None)
    return getattr(spec, "origin", None) not in (None, "built-in", "frozen")


def library():
    """The directory of the standard library."""
    known = getattr(sys, "_stdlib_dir", None)
    if known:
        return known
    # 3.9 and 3.10: encodings is imported before anything that start-up code could shadow.
    file = getattr(sys.modules.get("encodings"), "__file__", None) or ""
    return file.rpartition("/")[0].rpartition("/")[0]


def end():
    """Put everything back and tell what was seen."""
    global listening
    listening = False
    finder = sys.modules["_frozen_importlib_external"].FileFinder
    if finder.find_spec is find_spec:
        finder.find_spec = before["find_spec"]
    else:
        say("start-up code replaces FileFinder.find_spec")
    for entry in watched:
        unwatch(entry)
    environ = end_environ()
    for name in ("stdout", "stderr"):
        file = getattr(sys, name, None)
        if file is not None:
            try:
                file.flush()
            except Exception:
                say(f"start-up code breaks sys.{name}")
    collector = sys.modules.get("gc")
    if getattr(collector, "callbacks", None) or getattr(collector, "get_debug", int)():
        # Somebody would hear of collections that are not the script's.
        say("start-up code listens to the garbage collector")
    changes = [(name, None) for name in names_written if name not in environ]
    changes += [(name, value) for name, value in environ.items() if name in names_written]
    return (
        [text.encode("utf-8", "backslashreplace") for text in impure],
        tuple(sys.version_info[:3]),
        sys.version.encode("utf-8", "backslashreplace"),
        "t" in getattr(sys, "abiflags", ""),
        hasattr(sys, "gettotalrefcount"),
        paths(),
        *asked_only(),
        [name for name in names_read if isinstance(name, bytes)],
        changes,
        sorted(repairs),
    )


def end_environ():
    """Give os.environ its own dict again; gives what it holds now."""
    if "os.environ" not in before:
        return dict(posix.environ)
    environ, data, recorder = before["os.environ"]
    if sys.modules.get("os") is None or sys.modules["os"].environ is not environ or environ._data is not recorder:
        say("start-up code replaces os.environ")
    now = {name: dict.__getitem__(recorder, name) for name in dict.keys(recorder)}
    data.clear()
    data.update(now)
    environ._data = posix.environ = data
    return now


def asked_only():
    """Directories of sys.path in which start-up has looked for names and for nothing else, and what it has looked for there.

    Whatever else comes and goes there is no matter to it. Of a directory in which one of sys.path is missing it
    matters only that it is one.
    """
    external = sys.modules["_frozen_importlib_external"]
    suffixes = ["", *sys.modules["_imp"].extension_suffixes(), *external.SOURCE_SUFFIXES, *external.BYTECODE_SUFFIXES]
    places = [entry for entry in dict.fromkeys(sys.path) if isinstance(entry, str) and entry.startswith("/")]
    standard = before["library"]
    directories, names = [], []

    def is_directory(path):
        try:
            return posix.stat(path).st_mode & 0o170000 == 0o040000
        except OSError:
            return False

    for at, place in enumerate(places if None not in listed else ()):
        if place in listed or place == standard or place.startswith(standard + "/lib-dynload"):
            continue
        if is_directory(place):
            first = before["imported"] if standard in places[at:] else ()
            directories.append(place)
            names += [f"{place}/{name}{suffix}" for name in sorted({*asked.get(place, ()), *first}) for suffix in suffixes]
        else:
            above = place.rpartition("/")[0]
            while above and not is_directory(above):
                above = above.rpartition("/")[0]
            if above and above not in listed and above not in places:
                directories.append(above)
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    try:
        return [d.encode(encoding, errors) for d in directories], [n.encode(encoding, errors) for n in names]
    except UnicodeError:
        return [], []


def paths():
    """Files that start-up depends on, looked at or not: sys.path and what was imported."""
    found = []

    def add(path, must_exist):
        if isinstance(path, str):
            try:
                path = path.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
            except UnicodeError:
                return
        if not isinstance(path, bytes) or not path.startswith(b"/") or b"\0" in path:
            return
        if must_exist:
            try:
                posix.stat(path)
            except OSError:
                return
        found.append(path)

    for path in list(sys.path):
        add(path, False)
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        # One that is part of the interpreter itself is not read from its file.
        if isinstance(names, dict) and getattr(names.get("__spec__"), "origin", None) != "frozen":
            add(names.get("__file__"), True)
            add(names.get("__cached__"), True)
    if "pwd" in sys.modules:
        add("/etc/passwd", False)
    return found


GLOBALS = globals()
