# What has to be done with warm modules that is better said in Python. Runs in the
# zygote in a private namespace; never in sys.modules.
#
# Owns what modules keep of the zygote and must let go of (tidy), and what a module makes
# anew in each process at its hand-over (SETTLERS). Which settings of a run must be the
# zygote's for a hand-over is settings.py's, which stands in front.


names_of, names_of_class = type(sys).__dict__["__dict__"].__get__, type.__dict__["__dict__"].__get__


def tidy():
    """After all imports, while all modules are still there: what they keep of the zygote."""
    threading = sys.modules.get("threading")
    if threading is not None and hasattr(threading.main_thread(), "_stderr"):
        threading.main_thread()._stderr = None
    # A cache by which an import happens once (3.12).
    lazy = getattr(sys.modules.get("typing"), "_lazy_load_getattr_static", None)
    if lazy is not None:
        lazy.cache_clear()
    # Answers to what warm modules have asked, from `sys` as it was.
    for name in ("_sys_version_cache", "_platform_cache"):
        cache = getattr(sys.modules.get("platform"), name, None)
        if type(cache) is dict:
            cache.clear()
    # Answers for classes of modules that nobody has imported yet.
    for module in list(sys.modules.values()):
        # Nobody's own code is called for the answer.
        for value in list(names_of(module).values()) if issubclass(type(module), type(sys)) else ():
            names = names_of_class(value) if issubclass(type(value), type) else None
            if names and type(names.get("_abc_impl")).__name__ == "_abc_data":
                sys.modules["_abc"]._reset_caches(value)


def found(name):
    return sys.modules.get(name)


# Filters by which warm modules ignore something.
ignored = []


def put_filters(entries=filters()[:]):
    """Filters of one module are not those under which the next one warns."""
    if filters() != entries:
        ignored.extend(entry for entry in filters() if entry[0] == "ignore" and entry not in entries)
        filters()[:] = entries


# What the settings are in the zygote.
before = {}


def take():
    """All is as it was, and all modules are still there."""
    for at, (name, _, get, _) in enumerate(SETTINGS + COMPARED_ONLY):
        if found(name):
            before[at] = get(found(name))
    before.update(filters=list(filters()), logging=logging_state())


def are_settings_same():
    for at, (name, _, get, _) in enumerate(SETTINGS + COMPARED_ONLY):
        # A module that is not there was not used; one that the zygote lacks was not used by what is warm.
        module = found(name)
        if module is not None and at in before and get(module) != before[at]:
            return False
    tracing = found("_tracemalloc")
    return tracing is None or not tracing.is_tracing()


# Bits of src/zygote/src/warm/node.rs.
SETTINGS_COUNT, FILTERS_COUNT, LOGGING_COUNT, DECIMALS_COUNT = 1, 2, 4, 8


def is_same(counts):
    """Are the settings that count those of the zygote?"""
    return (
        (not counts & SETTINGS_COUNT or are_settings_same())
        and (not counts & FILTERS_COUNT or [entry for entry in filters() if entry not in ignored] == before["filters"])
        and (not counts & LOGGING_COUNT or logging_state() in (None, before["logging"]))
        and (not counts & DECIMALS_COUNT or has_plain_decimals())
    )


def settle_threading():
    # Lib/threading.py: the main thread keeps its kernel id and the standard error of its birth.
    main = sys.modules["threading"].main_thread()
    if hasattr(main, "_set_native_id"):
        main._set_native_id()
    if hasattr(main, "_stderr"):
        main._stderr = sys.stderr


def settle_random():
    # Lib/random.py seeds its generator when it is imported.
    sys.modules["random"].seed()


def settle_logging():
    # Lib/logging/__init__.py takes the time when it is imported.
    logging = sys.modules["logging"]
    time = sys.modules["time"]
    logging._startTime = time.time_ns() if isinstance(logging._startTime, int) else time.time()


def settle_dateutil():
    # dateutil/parser/_parser.py: its parser takes the year when it is made.
    info = sys.modules["dateutil.parser._parser"].DEFAULTPARSER.info
    info._year = sys.modules["time"].localtime().tm_year
    info._century = info._year // 100 * 100


def settle_numpy_random():
    # numpy/random/mtrand.pyx seeds the generator behind numpy.random's functions when it is imported.
    sys.modules["numpy.random.mtrand"]._rand.__init__()


# What `decimal` begins with (Lib/_pydecimal.py, DefaultContext).
PLAIN = "Context(prec=28, rounding=ROUND_HALF_EVEN, Emin=-999999, Emax=999999, capitals=1, clamp=0, flags=[], traps=[InvalidOperation, DivisionByZero, Overflow])"


def has_plain_decimals():
    """Would decimals be computed as in the zygote? Makes the context for that, as an import that computes would."""
    decimal = sys.modules.get("decimal")
    return decimal is None or repr(decimal.getcontext()) == PLAIN


def settle_decimal():
    # An import that computes with decimals makes the context for that (Modules/_decimal/_decimal.c, current_context).
    decimal = sys.modules.get("decimal")
    if decimal is not None:
        decimal.getcontext()


SETTLERS = {
    "decimal context": settle_decimal,
    "dateutil.parser._parser": settle_dateutil,
    "numpy.random.mtrand": settle_numpy_random,
    "threading": settle_threading,
    "random": settle_random,
    "logging": settle_logging,
}
