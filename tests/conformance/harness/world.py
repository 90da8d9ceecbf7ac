"""Interpreters, and the two worlds in which a case runs.

The cold and the warm world are directories side by side with names of equal
length; only the directory in front of PATH differs, empty or pyzy's shims.
Each world has its own home, runtime directory and working directories, so
nothing that one run leaves can reach the other.
"""

import glob
import json
import os
import re
import shutil
import stat
import subprocess
from typing import Any, Dict, List, Optional, Tuple

from .case import Directory, Fifo, Link, Made, Mode
from .prepare import Builder, Preparer

MINORS = (9, 10, 11, 12, 13)
PROBE = """
import importlib.util, json, sys, sysconfig
names = ["ssl", "sqlite3", "ctypes", "venv", "ensurepip", "multiprocessing", "curses", "readline"]
print(json.dumps({"version": sys.version_info[:3], "executable": sys.executable,
    "include": sysconfig.get_path("include"), "suffix": sysconfig.get_config_var("EXT_SUFFIX"),
    "modules": [n for n in names if importlib.util.find_spec(n)]}))
"""


class Interpreter:
    """A real interpreter: its path, version and modules."""

    def __init__(self, path: str) -> None:
        out = subprocess.run([path, "-I", "-c", PROBE], env={}, stdout=subprocess.PIPE, check=True).stdout
        facts = json.loads(out)
        self.path = path
        self.bin = os.path.dirname(path)
        self.version: Tuple[int, int] = tuple(facts["version"][:2])
        self.modules = set(facts["modules"])
        self.include, self.suffix = facts["include"], facts["suffix"]
        self.has_headers = os.path.exists(os.path.join(facts["include"], "Python.h"))
        self.short = "%d.%d" % self.version
        self.full = "%d.%d.%d" % tuple(facts["version"])
        self.preparer = Preparer(path)
        self.label = self.full + (" (system)" if self.bin == "/usr/bin" else "")


def pyenv_root() -> str:
    """Where pyenv keeps its versions."""
    return os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")


def discover() -> Tuple[List[str], List[str]]:
    """The interpreters of this machine, and the versions that it lacks."""
    found, missing = [], []
    for minor in MINORS:
        paths = glob.glob(os.path.join(pyenv_root(), "versions", "3.%d.*" % minor, "bin", "python3"))
        found += sorted(paths)
        if not paths:
            missing.append("3.%d" % minor)
    if os.access("/usr/bin/python3", os.X_OK):
        found.append("/usr/bin/python3")
    return found, missing


class World:
    """One of the two: where things are, and the environment that is built from nothing."""

    def __init__(self, root: str, interpreter: Interpreter, shims: Optional[str], engine: Optional[str], more: Dict[str, str], builder: Builder) -> None:
        self.builder = builder
        self.root, self.interpreter, self.shims = root, interpreter, shims
        self.front, self.home = root + "/front", root + "/home"
        self.runtime, self.tmp, self.work = root + "/run", root + "/tmp", root + "/work"
        self.engine, self.more = engine, more
        for path in (self.home, self.runtime, self.tmp, self.work, root + "/log"):
            os.makedirs(path)
        self.rendezvous = self.runtime + "/pyzy"  # where zygotes and images of this world appear
        os.mkdir(self.rendezvous)
        for path in (self.runtime, self.rendezvous):
            os.chmod(path, 0o700)
        os.chmod(self.tmp, 0o777 | stat.S_ISVTX)
        if shims:
            os.symlink(shims, self.front)
        else:
            os.mkdir(self.front)
        self.prime_script = root + "/prime.py"
        with open(self.prime_script, "w", encoding="ascii") as f:
            f.write("pass\n")

    def path(self) -> str:
        """PATH, with the shims or nothing in front of the real interpreter."""
        parts = [self.front, self.interpreter.bin, "/usr/bin", "/bin"]
        return ":".join(p for i, p in enumerate(parts) if p not in parts[:i])

    def environment(self, log: str) -> Dict[str, str]:
        """The environment every case starts from."""
        env = {
            "HOME": self.home,
            "PATH": self.path(),
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": self.runtime,
            "TMPDIR": self.tmp,
            "PYZY_LOG": log,
            "PYZY_MAX_IDLE_SECS": "300",
        }
        if self.engine:
            env["PYZY_ENGINE"] = self.engine
        return {**env, **self.more}

    def expand(self, text: Any, directory: str) -> Any:
        """Replace the tokens of case.py."""
        i = self.interpreter
        shim = self.front + "/python3" if self.shims else i.path
        table = (("@DIR@", directory), ("@HOME@", self.home), ("@BIN@", i.bin), ("@PYTHON@", i.path), ("@SHIM@", shim),
                 ("@FRONT@", self.front), ("@VER@", i.short), ("@FULL@", i.full), ("@ROOT@", self.root), ("@PATH@", self.path()), ("@PYENV@", pyenv_root()))
        for token, value in table:
            if isinstance(text, bytes):
                text = text.replace(token.encode(), os.fsencode(value))
            else:
                text = text.replace(token, value)
        return text

    def write(self, directory: str, files: Dict[str, Any]) -> None:
        """Make the files of a case."""
        os.mkdir(directory)
        for name, content in files.items():
            path = os.path.join(directory, self.expand(name, directory))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            bits = 0o644
            if isinstance(content, Mode):
                content, bits = content.content, content.bits
            if isinstance(content, Link):
                os.symlink(self.expand(content.target, directory), path)
            elif isinstance(content, Made):
                content.make(path, self)
            elif content is Directory:
                os.mkdir(path)
            elif content is Fifo:
                os.mkfifo(path)
            else:
                data = content if isinstance(content, bytes) else content.encode()
                with open(path, "wb") as f:
                    f.write(self.expand(data, directory))
                os.chmod(path, bits)

    def find(self, program: str, path: str, directory: str) -> str:
        """What execvp would run for `program`."""
        for part in path.split(":"):
            candidate = os.path.join(directory, part, program)
            if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
                return candidate
        return shutil.which(program, path="/usr/bin:/bin") or program


def snapshot(directory: str, drop: Any) -> List[str]:
    """What a run left behind: names, types and bits, and contents but for .pyc and core files."""
    lines = []
    for root, names, files in os.walk(directory):
        names.sort()
        for name in sorted(names + files):
            path = os.path.join(root, name)
            shown = os.path.relpath(path, directory)
            if name.startswith("core") or any(re.search(d, shown) for d in drop):
                continue
            info = os.lstat(path)
            line = "%s %s" % (stat.filemode(info.st_mode), re.sub(r"\.pyc\.\d+$", ".pyc.TMP", shown))
            if stat.S_ISREG(info.st_mode) and not name.endswith((".pyc", ".py", ".zip")):
                with open(path, "rb") as f:
                    line += " " + repr(f.read(20000))
            lines.append(line)
    return lines
