# What importing a module changes of what others have made.
#
# Part of python/rehearse.py, behind it in one namespace. Owns what is observed by src/zygote/src/warm/ties.rs (`observe`,
# `changed`), and what a change means: both modules are handed over or none, or who has made it is refused.

def may_be_tied(name):
    """Is it a module that this rehearsal has imported, and not for the curated list?"""
    return name in nodes and name not in curated and name not in started


# The classes of modules.
kinds = {}


def look_at_kinds():
    for name, kind in kinds.items():
        module = table.get(name)
        if type(module) is not kind and module is not None:
            kinds[name] = type(module)
            if stack and name not in stack:
                accuse(f"changes the class of {name}")


def look_at_what_is_made():
    look_at_kinds()
    for owner, kind, address, home in changed(stack[-1] if stack else None):
        # Of a class that counts as a base's subclass now, whose it is.
        owner = home if may_be_tied(home) else owner
        if not stack or not owner or owner in stack:
            continue
        if may_be_tied(owner):
            # Either both are handed over, or none.
            nodes[stack[-1]].changes.add(owner)
        else:
            accuse("changes " + (labels.get(address) or f"what {owner} has made, a {kind}"))


# What observed containers are called, by their addresses.
labels = {}


def names_of(module):
    """Its namespace, although its class may do something when it is asked for."""
    return type(sys).__getattribute__(module, "__dict__")


def reached(names, path):
    """What a module has by a dotted name, or nothing."""
    first, *rest = path.split(".")
    if first not in names:
        return []
    value = names[first]
    for name in rest:
        try:
            value = vars(value)[name]
        except (TypeError, KeyError):
            return []
    return [value]


def is_class(value):
    return issubclass(type(value), type)


def adopt_classes(name, module):
    """Those that it defines are its own, whoever else refers to them."""
    if issubclass(type(module), type(sys)):
        classes = [value for value in list(names_of(module).values()) if is_class(value) and vars(value).get("__module__") == name]
        observe(name, True, classes, [])


def adopt(name, module):
    """The module is there: what is reached from it and was not before is observed from now on."""
    if not issubclass(type(module), type(sys)):
        return
    kinds[name] = type(module)
    names = names_of(module)
    if name != "__main__" and not is_from_elsewhere(name):
        watch_library(name, module)
    if name in OBSERVED:
        # Nor do they count under another name: `copy.dispatch_table` is that of copyreg.
        plain = (type(sys), type(adopt), type(len))
        observe("", True, [value for key, value in list(names.items()) if (name, key) != ("encodings", "_aliases") and (name == "sys" or not (is_class(value) or type(value) in plain))], [])
    file = names.get("__file__")
    library = not isinstance(file, str) or is_library(file)
    free = [value for owner, path in SKIP if owner == name for value in reached(names, path)]
    classes = [value for value in list(names.values()) if is_class(value)]
    # The import system's own: parts that are being imported.
    free += reached(names, "__spec__._uninitialized_submodules")
    if library:
        # Members of enumerations that are made when they are asked for.
        free += [vars(value)["_value2member_map_"] for value in classes if "_value2member_map_" in vars(value)]
    # A name in one of these is set again at the hand-over.
    free += [names, *classes]
    places = [("", names)] + [(key + ".", vars(value)) for key, value in list(names.items()) if is_class(value)]
    for prefix, place in places:
        for key, value in list(place.items()):
            if isinstance(key, str) and type(value) in (list, dict, set):
                labels.setdefault(id(value), f"{name}.{prefix}{key}")
    observe(name, library, names if type(module) is type(sys) else module, free)
