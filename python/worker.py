# Runs in a worker between fork and hand-off. Compiled into a private namespace;
# never in sys.modules, and no frame of it is live when the script runs.
#
# Owns what CPython does with the caller's descriptors and environment while it
# starts: Python/pylifecycle.c (create_stdio, init_sys_streams) and
# Modules/posixmodule.c (convertenviron).

import sys
import _io
import _signal
import posix


def describe_streams():
    """What start-up decided for the standard streams, read once in the zygote."""
    # create_stdio: buffered unless -u; -u shows as write_through.
    return [
        (name, stream.encoding, stream.errors, getattr(stream, "write_through", False))
        for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout), ("stderr", sys.stderr))
    ]


streams = describe_streams()


def open_stream(fd):
    """create_stdio for a standard descriptor that is open."""
    name, encoding, errors, unbuffered = streams[fd]
    writing = fd != 0
    buffer = _io.open(fd, "wb" if writing else "rb", 0 if unbuffered and writing else -1, None, None, None, False)
    raw = buffer if unbuffered and writing else buffer.raw
    raw.name = f"<{name}>"
    line_buffering = not unbuffered and (raw.isatty() or fd == 2)
    stream = _io.TextIOWrapper(buffer, encoding, errors, "\n", line_buffering, unbuffered)
    stream.mode = "w" if writing else "r"
    return stream


def ignore(signals):
    """Signals that the caller ignored: as if they had been so when the signal module was made."""
    for number in signals:
        try:
            _signal.signal(number, _signal.SIG_IGN)
        except (OSError, ValueError):
            pass


def settle():
    """State that some modules make once a process, when start-up code has imported them."""
    threading = sys.modules.get("threading")
    if threading is not None:
        # Lib/threading.py: the main thread keeps its kernel id and the standard error of its birth.
        main = threading.main_thread()
        if hasattr(main, "_set_native_id"):
            main._set_native_id()
        if hasattr(main, "_stderr"):
            main._stderr = sys.stderr
        # A fork takes the locks of all threads away, that of the main thread too (_after_fork; until 3.12).
        if getattr(main, "_tstate_lock", None) is not None and isinstance(getattr(threading, "_shutdown_locks", None), set):
            threading._shutdown_locks.add(main._tstate_lock)
    random = sys.modules.get("random")
    if random is not None:
        random.seed()
    logging = sys.modules.get("logging")
    if logging is not None and hasattr(logging, "_startTime"):
        import time

        logging._startTime = time.time_ns() if isinstance(logging._startTime, int) else time.time()


def keeps_state():
    """Is there anything for settle to do?"""
    return not sys.modules.keys().isdisjoint({"threading", "random", "logging"})
