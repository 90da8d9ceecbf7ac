# Does a module come out the same when nothing else of the list was imported before it?
#
# Part of python/rehearse.py, in one namespace with it. The zygote imports the modules of a list one after the other, and what
# one of them changes is there when the next one is imported: it may read it, and be another module for that. So each
# name of a list is imported in a child of its own as well, and what the modules hold then is compared. Owns the children and the comparison.

# What each module held when its import was done: here, and in the children.
pictures, alone = {}, []
# Names whose import came to no end, and how long there is for all of them, seconds.
late, PATIENCE = [], 25
# How much of a module is looked at, and how deep.
MOST, DEEPEST = 5000, 5
PLAIN_KINDS = {int, float, complex, bool, str, bytes, type(None)}


class Picture:
    """What a module holds, as text: plain values, and what others are made of."""

    def __init__(self, names):
        self.left, self.seen = MOST, set()
        self.text = self.entries({key: value for key, value in names.items() if type(key) is str and not key.startswith("__")}, 0)

    def entries(self, names, depth):
        return "{" + ",".join(f"{self.of(key, depth)}:{self.of(value, depth)}" for key, value in list(names.items())) + "}"

    def of(self, value, depth):
        kind = type(value)
        self.left -= 1
        if kind in PLAIN_KINDS:
            return repr(value)
        if self.left < 0 or depth > DEEPEST or id(value) in self.seen:
            return kind.__name__
        self.seen.add(id(value))
        if kind in (list, tuple):
            return kind.__name__ + "[" + ",".join([self.of(item, depth + 1) for item in list(value)]) + "]"
        if kind in (set, frozenset):
            return kind.__name__ + ",".join(sorted([self.of(item, depth + 1) for item in list(value)]))
        if kind is dict:
            return self.entries(value, depth + 1)
        if issubclass(kind, type):
            if not type.__dict__["__flags__"].__get__(value) & HEAP_TYPE:
                return type.__dict__["__name__"].__get__(value)
            names = {key: item for key, item in type.__dict__["__dict__"].__get__(value).items() if key not in ("__doc__", "__dict__", "__weakref__", "__annotations__")}
            bases = ",".join(type.__dict__["__name__"].__get__(base) for base in type.__dict__["__bases__"].__get__(value))
            return f"class({bases})" + self.entries(names, depth + 1)
        if kind is type(Picture.of):
            return f"def {value.__qualname__}" + self.of(value.__defaults__, depth + 1)
        # What the standard library's objects hold is not its own: a logger has all others.
        home = type.__dict__["__dict__"].__get__(kind).get("__module__")
        try:
            names = object.__getattribute__(value, "__dict__") if may_be_tied(home) else None
        except Exception:
            names = None
        return kind.__name__ + (self.entries(names, depth + 1) if type(names) is dict else "")


def take_picture(name, module):
    """Its import has just been done. The standard library looks at nobody else's."""
    if may_be_tied(name) and is_from_elsewhere(name) and name not in pictures and issubclass(type(module), type(sys)) and is_watched[0]:
        sys.setprofile(None)
        pictures[name] = Picture(names_of(module)).text
        sys.setprofile(profile)


# Whether pictures are taken: with one name there is nothing before it.
is_watched = [False]


def import_alone(name, attribute, seconds):
    """In a child, which ends: what the modules are that come with it. It has so many seconds."""
    fork, pipe, read, write, end = (getattr(table["posix"], call) for call in ("fork", "pipe", "read", "write", "_exit"))
    here, there = pipe()
    child = fork()
    if not child:
        # It ends by that, whatever its import does.
        table["_signal"].alarm(seconds)
        try:
            load_roots([(name, attribute)], lambda text: None)
            text = repr(pictures).encode("utf-8", "surrogateescape")
            while text:
                text = text[write(there, text):]
        finally:
            end(0)
    table["posix"].close(there)
    text = b""
    while more := read(here, 1 << 20):
        text += more
    table["posix"].close(here)
    table["posix"].waitpid(child, 0)
    if text:
        alone.append(eval(text.decode("utf-8", "surrogateescape")))
    else:
        late.append(name)


def import_each_alone(names):
    global tell
    is_watched[0] = len(names) > 1
    if is_watched[0]:
        said, tell = tell, lambda text: None
        now = table["time"].monotonic
        began = now()
        for name, attribute in names:
            left = int(began + PATIENCE - now())
            if left > 0:
                import_alone(name, attribute, left)
            else:
                late.append(name)
        tell = said
        # What was opened and closed is no doing of anybody's.
        settle()


def compare_pictures():
    for name in late:
        if name in nodes and nodes[name].reason is None:
            nodes[name].reason = "could not be imported by itself, or not in time"
    for other in alone:
        for name, picture in other.items():
            node = nodes.get(name)
            if node is not None and node.reason is None and pictures.get(name, picture) != picture:
                node.reason = "comes out differently when other modules were imported before it"
