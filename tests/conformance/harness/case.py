"""What a case is, and how the case files register theirs.

A case is data: files, an argv, the state of the process that runs it, what
the caller does meanwhile, and the route that pyzy must log. Tokens in argv,
environment and file contents are replaced per world: @DIR@ the case's working
directory, @HOME@, @BIN@ the real interpreter's directory, @PYTHON@ the real
interpreter, @SHIM@ what `python3` on PATH is, @FRONT@ the directory in front
of PATH, @VER@ the version (3.12), @FULL@ all of it (3.12.1), @PATH@ the world's
PATH, @PYENV@ pyenv's root, @ROOT@ the world.
"""

import dataclasses
import shlex
import textwrap
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

CASES: List["Case"] = []

WARM = "warm"
ANY = "any"  # the outcome must be equal, whichever the route
SILENT = None  # in a tuple of reasons: no line in the log at all


@dataclasses.dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclasses.dataclass(frozen=True)
class Mode:
    """A file with contents and permission bits."""

    content: Union[str, bytes]
    bits: int


class Directory:
    """An empty directory."""


class Fifo:
    """A named pipe."""


@dataclasses.dataclass(frozen=True)
class Made:
    """Something a function makes: called with (path, world)."""

    make: Callable[[str, Any], None]


@dataclasses.dataclass(frozen=True)
class Case:
    """One command, run in the cold world and in the warm one."""

    name: str
    argv: Tuple[Union[str, bytes], ...]
    files: Dict[str, Any]
    program: Optional[str] = "python3"  # the name on PATH; None: argv[0] is a path
    imports: Dict[str, Optional[bool]] = dataclasses.field(default_factory=dict)  # was this import a hand-over of a warm module? None: not told of, for nothing is warm
    route: Any = WARM  # WARM, ANY, a reason, a tuple of reasons, a list with one per line, or one of these for each engine
    env: Dict[str, Optional[str]] = dataclasses.field(default_factory=dict)
    environ: Optional[Sequence[Union[str, bytes]]] = None  # the whole environment, raw
    prime_env: Dict[str, Optional[str]] = dataclasses.field(default_factory=dict)
    options: Tuple[str, ...] = ()  # the options with which the zygote is primed
    prime_script: Optional[str] = None  # the script with which the zygote is primed (one of the world's)
    prime_bin: Optional[str] = None  # a shell line's `python3` is primed under this name
    fds: Dict[int, Any] = dataclasses.field(default_factory=dict)
    stdin: Optional[bytes] = None  # bytes through a pipe; None: fds[0] or /dev/null
    steps: Sequence[Tuple[Any, ...]] = ()
    terminal: Optional[Sequence[Any]] = None  # steps in an interactive shell on a pty
    shell: Sequence[str] = ("bash", "--norc", "--noprofile", "--noediting", "-i")
    ignore: Sequence[str] = ()
    block: Sequence[str] = ()
    umask: int = 0o022
    rlimit: Dict[str, Tuple[int, int]] = dataclasses.field(default_factory=dict)
    nice: int = 0
    cwd: str = "."
    group: str = "own"  # own: a process group of its own; session: a session too
    pre: Optional[Callable[[], None]] = None  # last thing before the exec
    prime_pre: bool = False  # the priming run does `pre` as well
    tree: bool = True  # compare what the run left in its directory
    drop: Sequence[str] = ()  # names in that directory not to compare
    normal: Sequence[Tuple[str, str]] = ()  # regular expressions, for what may differ
    since: Tuple[int, int] = (3, 0)
    until: Tuple[int, int] = (3, 99)  # first version without it
    needs: Sequence[str] = ()  # commands, `module:NAME`, `root`
    timeout: float = 30.0
    gap: Dict[str, str] = dataclasses.field(default_factory=dict)  # engines with a known gap, and what it is


def dedent(source: Any) -> Any:
    """Source as written in a case file, without its indentation."""
    return textwrap.dedent(source).lstrip("\n") if isinstance(source, str) else source


def split_options(argv: Sequence[Union[str, bytes]]) -> Tuple[str, ...]:
    """The options before the script's name: they select the zygote."""
    options: List[str] = []
    words = iter(argv)
    for word in words:
        if not isinstance(word, str) or not word.startswith("-") or word in ("-", "--"):
            break
        options.append(word)
        if word in ("-W", "-X", "--check-hash-based-pycs"):
            options.append(str(next(words, "")))
    return tuple(options)


def case(name: str, argv: Any, source: Any = None, files: Optional[Dict[str, Any]] = None, **more: Any) -> None:
    """Register a case; `source` is the text of x.py."""
    words = tuple(shlex.split(argv)) if isinstance(argv, str) else tuple(argv)
    table = {path: dedent(content) for path, content in (files or {}).items()}
    if source is not None:
        table["x.py"] = dedent(source)
    more.setdefault("options", split_options(words))
    assert all(c.name != name for c in CASES), "two cases are called " + name
    CASES.append(Case(name, words, table, **more))


def shell(name: str, line: str, source: Any = None, **more: Any) -> None:
    """Register a case that is a line of bash; `python3` in it is found on PATH."""
    more.setdefault("options", ())
    case(name, ["-c", dedent(line)], source, program="bash", **more)


def terminal(name: str, steps: Sequence[Any], source: Any = None, **more: Any) -> None:
    """Register a case that is typed into an interactive bash on a terminal."""
    more.setdefault("tree", False)
    more.setdefault("group", "session")
    case(name, [], source, program=None, terminal=steps, **more)
