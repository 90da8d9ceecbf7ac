"""What is made before a case runs: bytecode, environments, C extensions.

A start of an interpreter or of a compiler costs more than most cases. So one
process for each interpreter does what has to be done in it, and the same
source is compiled once, then copied to where it is wanted.
"""

import hashlib
import json
import os
import select
import shutil
import subprocess
from typing import Any, Dict, List, Optional

SECONDS = 120.0
PLAIN = {"PATH": "/usr/bin:/bin"}

# Reads requests, lines of JSON; answers each with the error, or with nothing. What the work says goes to standard error.
WORKER = """
import json, os, sys, traceback
answers = os.fdopen(os.dup(1), "w", encoding="ascii")
os.dup2(2, 1)
for line in sys.stdin:
    source, sys.argv = json.loads(line)
    error = ""
    try:
        exec(compile(source, "<prepare>", "exec"), {"__name__": "prepare"})
    except BaseException:
        error = traceback.format_exc()
    answers.write(json.dumps(error) + "\\n")
    answers.flush()
"""


class Preparer:
    """A real interpreter that runs short sources, one after the other, as `python3 -I -c` would."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.process: Optional["subprocess.Popen[bytes]"] = None

    def run(self, source: str, *arguments: str) -> None:
        """Run a source with these words in sys.argv[1:]."""
        if self.process is None:
            self.process = subprocess.Popen([self.python, "-I", "-c", WORKER], env=PLAIN, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.process.stdin.write(json.dumps([source, ["-c", *arguments]]).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], SECONDS)[0]:
                raise RuntimeError("%s has not done in time: %s" % (self.python, source))
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise RuntimeError("%s ended at: %s" % (self.python, source))
            answer += data
        error = json.loads(answer)
        if error:
            raise RuntimeError("%s failed: %s" % (self.python, error))

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.process = None


class Builder:
    """Shared objects by what they are made of."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.made: Dict[str, str] = {}

    def build(self, target: str, stem: str, source: str, flags: List[str], libraries: Any = ()) -> None:
        """Compile a source to `target`, or copy what was made of the same source, flags and libraries."""
        parts: List[Any] = [stem, source, flags]
        for library in libraries:
            with open(library, "rb") as f:
                parts.append([os.path.basename(library), hashlib.sha256(f.read()).hexdigest()])
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        if key not in self.made:
            place = os.path.join(self.directory, key)
            os.makedirs(place)
            text, made = os.path.join(place, stem + ".c"), os.path.join(place, "made.so")
            with open(text, "w", encoding="utf-8") as f:
                f.write(source)
            subprocess.run(["cc", *flags, "-o", made, text, *libraries], check=True, env=PLAIN)
            self.made[key] = made
        shutil.copy(self.made[key], target)
