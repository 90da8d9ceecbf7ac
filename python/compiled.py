# Run in a process of its own, which ends afterwards. Nothing is imported from a file, and nothing written.
import _warnings
import marshal
import sys

sys.dont_write_bytecode = True


def filtered(action):
    """From now on this is done with each warning."""
    rules = [_warnings.filters]
    if "warnings" in sys.modules:
        # It may have another list by now.
        rules.append(sys.modules["warnings"].filters)
    for rule in rules:
        rule.insert(0, (action, None, Warning, None, 0))
    getattr(_warnings, "_filters_mutated", getattr(_warnings, "_filters_mutated_lock_held", None))()


def strict():
    """What warns is not compiled. False if start-up code has other ideas."""
    filtered("error")
    try:
        compile("1 is 1", "<pyzy>", "eval")
    except SyntaxError:
        return True
    return False


def kept(code):
    """What `marshal` makes of code, and whether bytes of length one are among its constants; None if what is read back is not the same."""
    # Of what is asked for below.
    filtered("ignore")
    data = marshal.dumps(code)
    return (data, has_single(code)) if is_same(code, marshal.loads(data), {}, []) else None


def has_single(constant):
    """CPython has one object for each of these, and `marshal` makes others."""
    if isinstance(constant, type(filtered.__code__)):
        return has_single(constant.co_consts)
    if isinstance(constant, (tuple, frozenset)):
        return any([has_single(one) for one in constant])
    return isinstance(constant, bytes) and len(constant) == 1


def is_same(one, other, known, kept):
    """Are they alike, and does each object stand where its like does? Sets differ if their order does."""
    if id(one) in known:
        return known[id(one)] == id(other)
    known[id(one)] = id(other)
    kept.append((one, other))
    if type(one) is not type(other):
        return False
    if isinstance(one, type(filtered.__code__)):
        names = [name for name in dir(one) if name.startswith("co_") and not callable(getattr(one, name))]
        # Some of these are made anew whenever they are asked for.
        made = [name for name in names if getattr(one, name) is not getattr(one, name)]
        return all(getattr(one, name) == getattr(other, name) for name in made) and all(
            is_same(getattr(one, name), getattr(other, name), known, kept) for name in names if name not in made
        )
    if isinstance(one, frozenset) and has_single(one):
        return False
    if isinstance(one, (tuple, frozenset)):
        return len(one) == len(other) and all(is_same(a, b, known, kept) for a, b in zip(one, other))
    return repr(one) == repr(other)
