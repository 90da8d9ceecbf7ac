# Runs in a throw-away fork of the zygote, to find out how this CPython is laid out.
# Nothing of it lives on in the zygote.

import _thread
import gc
import sys
import _weakref

gc.disable()

class Deleted:
    def __del__(self):
        pass


class Compared:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


class Buffer:
    def __buffer__(self, flags):
        return memoryview(b"")

    def __release_buffer__(self, view):
        pass


def callback(reference):
    pass


heard = []


def hook(event, arguments):
    if event == "pyzy":
        heard.append(event)


def is_heard():
    heard.clear()
    sys.audit("pyzy")
    return bool(heard)


def starts():
    try:
        _thread.start_new_thread(int, ())
        return True
    except RuntimeError:
        return False


# What the caches of abstract classes call when a class goes (Modules/_abc.c).
destroy = next(
    found.__callback__
    for found in gc.get_objects()
    if type(found) is _weakref.ReferenceType
    and type(found.__callback__) is type(len)
    and found.__callback__.__name__ == "_destroy"
)
reference = _weakref.ref(Deleted, callback)
add_hook = sys.addaudithook
set_threshold = gc.set_threshold
set_debug = gc.set_debug
callbacks = gc.callbacks
garbage = gc.garbage
statistics = [number for generation in gc.get_stats() for number in generation.values()]
lengths = [len(gc.get_objects(generation=number)) for number in range(3)]
