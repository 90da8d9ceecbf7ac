# Settings of the process that lie behind functions and attributes of the standard library.
#
# Owns how each is read, and how it is put back. rehearse.py finds out by it who changes one;
# warm.py compares those of a run with the zygote's. `found` gives a module that is there, or
# None.

import sys

# What the interpreter sets in `sys` when it reports or reads something, and scripts set as well.
REPORTS = ("ps1", "ps2", "last_type", "last_value", "last_traceback", "last_exc", "tracebacklimit")
CONTEXTS = ("DefaultContext", "BasicContext", "ExtendedContext")
# Attributes of a decimal context (Lib/_pydecimal.py, Context).
PARTS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "flags", "traps")


def contexts(decimal):
    # No context is kept: the collector would ask the code of a hidden extension about it.
    return [repr(getattr(decimal, name)) for name in CONTEXTS]


def put_contexts(decimal, values):
    for name, text in zip(CONTEXTS, values):
        whole = eval(text, dict(vars(decimal)))
        for part in PARTS:
            setattr(getattr(decimal, name), part, getattr(whole, part))


def put_entries(container, entries):
    container.clear()
    (container.update if isinstance(container, dict) else container.extend)(entries)


def reports(sys):
    return [(key, vars(sys)[key]) for key in REPORTS if key in vars(sys)]


def put_reports(sys, entries):
    for key in REPORTS:
        vars(sys).pop(key, None)
    vars(sys).update(entries)


def tools(sys):
    return [sys.monitoring.get_tool(number) for number in range(6)] if hasattr(sys, "monitoring") else []


def put_tools(sys, names):
    for number, name in enumerate(names):
        if name is None and sys.monitoring.get_tool(number) is not None:
            sys.monitoring.set_events(number, 0)
            sys.monitoring.free_tool_id(number)


def codecs(encodings):
    """The codecs that were looked up, in vain as well. (One that is imported by its name was not.)"""
    return sorted(name for name, codec in encodings._cache.items() if codec is None or found("encodings." + name))


def put_codecs(encodings, names):
    for name in set(codecs(encodings)) - set(names):
        del encodings._cache[name]
    # The interpreter has a cache of its own, which goes with a search function (3.10).
    functions = found("_codecs")
    if hasattr(functions, "unregister"):
        functions.unregister(encodings.search_function)
        functions.register(encodings.search_function)


# Module, what is said of who changes it, how it is read, how it is put back.
SETTINGS = [
    ("_csv", "changes the limit of csv's fields", lambda csv: csv.field_size_limit(), lambda csv, value: csv.field_size_limit(value)),
    ("_tracemalloc", "traces memory", lambda trace: trace.is_tracing(), lambda trace, value: None if value else trace.stop()),
    ("decimal", "changes decimal's contexts", contexts, put_contexts),
    ("sys", "changes sys._xoptions", lambda sys: dict(sys._xoptions), lambda sys, value: put_entries(sys._xoptions, value)),
    ("sys", "changes sys.warnoptions", lambda sys: list(sys.warnoptions), lambda sys, value: put_entries(sys.warnoptions, value)),
    ("sys", "changes what sys says of the last error or the prompt", reports, put_reports),
    ("sys", "monitors what is run", tools, put_tools),
]
# Found out in a rehearsal only: a run may have looked up any codec.
LOOKED_UP = [("encodings", "looks up a codec", codecs, put_codecs)]


def stream_state(stream):
    # Nobody's own code is called for the answer.
    if type(stream).__name__ != "TextIOWrapper" or type(stream).__module__ != "_io":
        return stream
    return type(stream), stream.encoding, stream.errors, stream.closed, stream.name, stream.mode


def streams(sys):
    """What may be asked of the standard streams without a refusal."""
    state = [stream_state(getattr(sys, name, stream_state)) for name in ("stdin", "stdout", "stderr")]
    return state, [getattr(sys, name, 0) is getattr(sys, f"__{name}__", 1) for name in ("stdin", "stdout", "stderr")]


# Those that a rehearsal sees being changed by the functions that do it.
COMPARED_ONLY = [
    ("_csv", "", lambda csv: sorted(csv.list_dialects()), None),
    ("_locale", "", lambda locale: locale.setlocale(locale.LC_ALL), None),
    ("sys", "", streams, None),
    ("sys", "", lambda sys: (sys.getrecursionlimit(), sys.getswitchinterval(), sys.getdlopenflags(), sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth()), None),
    ("sys", "", lambda sys: sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else 0, None),
]


def filters():
    """The list that decides on a warning."""
    return (found("warnings") or found("_warnings")).filters


def logging_state():
    """What decides on a record of no logger in particular."""
    logging = found("logging")
    return logging and (logging.root.level, logging.root.manager.disable, list(logging.root.handlers), logging.root.disabled)
