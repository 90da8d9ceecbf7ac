"""What a test is, and how the case files register theirs."""

import dataclasses
import os
import signal
from typing import Any, Callable, List, Tuple

TESTS: List["Test"] = []


class Failure(Exception):
    """Something is not as it must be."""


class Skip(Exception):
    """The test does not apply on this machine."""


@dataclasses.dataclass(frozen=True)
class Test:
    """A test: a function that gets a world."""

    name: str
    run: Callable[[Any], None]
    needs: Tuple[str, ...]
    each: bool  # with every interpreter; else with one of them
    seconds: float
    gap: str


def test(name: str, *needs: str, each: bool = False, seconds: float = 40.0, gap: str = "") -> Callable[[Any], Any]:
    """Register a test. `needs`: commands, or `root`. `gap`: a known gap, which must still fail."""
    def register(function: Any) -> Any:
        TESTS.append(Test(name, function, needs, each, seconds, gap))
        return function
    return register


def check(condition: Any, text: str, *more: Any) -> None:
    """Fail with `text` unless the condition holds."""
    if not condition:
        raise Failure(" ".join([text, *map(repr, more)]))


def equal(got: Any, wanted: Any, what: str) -> None:
    """Fail unless both are equal."""
    if got != wanted:
        raise Failure("%s: got %r, wanted %r" % (what, got, wanted))


def describe(status: int) -> str:
    """A wait status, for people."""
    if os.WIFEXITED(status):
        return "exit %d" % os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    try:
        name = signal.Signals(number).name[3:]
    except ValueError:
        name = str(number)
    return "signal " + name + (" core" if os.WCOREDUMP(status) else "")
