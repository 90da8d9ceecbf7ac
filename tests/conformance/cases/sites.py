"""site: user site, .pth files, sitecustomize; virtual environments; finding the real interpreter along PATH."""

import os
import subprocess

from harness.case import ANY, Link, Made, Mode, case, dedent, shell

SITE = "import sys, site\nprint(sys.path)\nprint(site.ENABLE_USER_SITE, site.getsitepackages(), site.PREFIXES)\nprint(sys.prefix, sys.base_prefix, sys.exec_prefix, sys.executable, getattr(sys, '_base_executable', None))\n"
USER = ".local/lib/python@VER@/site-packages/"
OWN = {"HOME": "@DIR@"}

case("site/plain", "x.py", SITE)
case("site/-S", "-S x.py", "import sys\nprint(sys.path, 'site' in sys.modules, 'exit' in dir(__builtins__))\n")
case("site/-s", "-s x.py", SITE)
case("site/-I", "-I x.py", SITE)
case("site/user-site", "x.py", files={"x.py": SITE + "import mine\nprint(mine.__file__)\n", USER + "mine.py": ""}, env=OWN)
case("site/user-site-off", "-s x.py", files={"x.py": SITE + "try:\n    import mine\nexcept ImportError as e:\n    print(e)\n", USER + "mine.py": ""}, env=OWN)
case("site/pth", "x.py", files={"x.py": SITE, USER + "a.pth": "@DIR@/extra\n# comment\n", "extra/y": ""}, env=OWN)
case("site/pth-import", "x.py", files={"x.py": SITE + "print(sys.from_pth)\n", USER + "a.pth": "import sys; sys.from_pth = 1\n"}, env=OWN, route=ANY)
case("site/pth-prints", "x.py", files={"x.py": "print('script')\n", USER + "a.pth": "import sys; sys.stderr.write('from pth\\n')\n"}, env=OWN, route=ANY)
case("site/pth-reads-environment", "x.py", files={"x.py": "import sys\nprint(sys.mark)\n", USER + "a.pth": "import os, sys; sys.mark = os.environ.get('MARK')\n"}, env={**OWN, "MARK": "now"}, prime_env={"MARK": "then"}, route=ANY)
case("site/pth-reads-argv", "x.py one", files={"x.py": "import sys\nprint(sys.mark)\n", USER + "a.pth": "import sys; sys.mark = list(getattr(sys, 'argv', ['none'])), list(getattr(sys, 'orig_argv', []))[1:]\n"}, env=OWN, route=ANY)
# As setuptools installs a project that is to be edited: a finder, a hook, and on sys.path a name that stands for nothing.
HOLDER = "__editable__.thing-1.finder.__path_hook__"
EDITABLE = {
    "__editable__.thing-1.pth": "import __editable___thing_1_finder; __editable___thing_1_finder.install()\n",
    "__editable___thing_1_finder.py": """
        import sys
        from importlib.machinery import ModuleSpec
        from importlib.util import spec_from_file_location
        MAPPING = {"space.thing": "@DIR@/project/space/thing"}
        NAMESPACES = {"space": []}
        HOLDER = "%s"
        class _EditableFinder:
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name in MAPPING:
                    return spec_from_file_location(name, MAPPING[name] + "/__init__.py")
        class _EditableNamespaceFinder:
            @classmethod
            def _path_hook(cls, path):
                if path == HOLDER:
                    return cls
                raise ImportError
            @classmethod
            def find_spec(cls, name, target=None):
                if name in NAMESPACES:
                    spec = ModuleSpec(name, None, is_package=True)
                    spec.submodule_search_locations = [*NAMESPACES[name], HOLDER]
                    return spec
        def install():
            sys.meta_path.append(_EditableFinder)
            sys.path_hooks.append(_EditableNamespaceFinder._path_hook)
            sys.path.append(HOLDER)
        """ % HOLDER,
}
EDITABLE = {USER + name: dedent(text) for name, text in EDITABLE.items()}
EDITABLE["project/space/thing/__init__.py"] = "V = 1\n"
EDITED = SITE + "import space.thing, json, subprocess\nprint(space.thing.V, space.thing.__file__, list(space.__path__), sys.meta_path[-1], len(sys.path_hooks), json.dumps([1]), {k: type(v).__name__ for k, v in sys.path_importer_cache.items()})\n"
case("site/editable", "x.py", files={"x.py": EDITED, **EDITABLE}, env=OWN)
STDLIB = {"env": {**OWN, "PYZY_PRELOAD": "stdlib"}}
FOUND = "import sys, __editable___thing_1_finder as f\n"
case("site/editable-stdlib-warm", "x.py", files={"x.py": EDITED, **EDITABLE}, imports={"json": True, "subprocess": True, "space.thing": False}, **STDLIB)
case("site/editable-in-front", "x.py", files={"x.py": FOUND + "sys.meta_path.insert(0, sys.meta_path.pop())\nimport json\nprint(json.__name__)\n", **EDITABLE}, imports={"json": False}, **STDLIB)
case("site/editable-finds-more", "x.py", files={"x.py": FOUND + "f.MAPPING['msvcrt'] = sys.path[0] + '/project/space/thing'\ntry:\n    import subprocess\nexcept Exception as e:\n    print(type(e))\n", **EDITABLE}, imports={"subprocess": False}, **STDLIB)
case("site/editable-asks", "x.py", files={"x.py": FOUND + "old = f._EditableFinder.find_spec\nf._EditableFinder.find_spec = classmethod(lambda cls, name, path=None, target=None: print(name))\nimport json, subprocess\n", **EDITABLE}, imports={"json": False, "subprocess": False}, **STDLIB)
case("site/editable-asks-the-hook", "x.py", files={"x.py": FOUND + "f._EditableNamespaceFinder.find_spec = classmethod(lambda cls, name, target=None: print(name))\nimport json, subprocess\n", **EDITABLE}, imports={"json": False, "subprocess": False}, **STDLIB)
# As virtualenv and uv do for some versions: a finder in front, which takes two names.
VIRTUALENV = {USER + "_virtualenv.pth": "import _virtualenv\n", USER + "_virtualenv.py": dedent("""
    import sys
    class _Finder:
        def find_spec(self, fullname, path, target=None):
            if fullname in ("distutils.dist", "setuptools.dist"):
                print("asked for", fullname)
    sys.meta_path.insert(0, _Finder())
    """)}
case("site/virtualenv", "x.py", files={"x.py": SITE + "import json, subprocess\nprint(json.dumps([1]), subprocess.PIPE, type(sys.meta_path[0]))\ntry:\n    import distutils.dist\nexcept ImportError as e:\n    print(e)\n", **VIRTUALENV}, imports={"json": True, "subprocess": True}, **STDLIB)
case("site/pth-broken", "x.py", files={"x.py": "print('script')\n", USER + "a.pth": "import nosuchmodule\n"}, env=OWN, route=ANY)
case("site/pth-imports-threading", "x.py", files={"x.py": "import threading\nlocks = getattr(threading, '_shutdown_locks', ())\nprint(len(locks), [lock.locked() for lock in locks], threading.main_thread().is_alive())\n", USER + "a.pth": "import threading\n"}, env=OWN)
case("site/pth-starts-a-thread", "x.py", files={"x.py": "import threading\nprint(threading.active_count())\n", USER + "a.pth": "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"}, env=OWN, route=ANY)
case("site/usercustomize", "x.py", files={"x.py": "import sys\nprint(sys.custom, 'usercustomize' in sys.modules)\n", USER + "usercustomize.py": "import sys\nsys.custom = 'user'\n"}, env=OWN, route=ANY)
case("site/sitecustomize", "x.py", files={"x.py": "import sys\nprint(sys.custom, list(sys.modules))\n", "lib/sitecustomize.py": "import sys\nsys.custom = 'site'\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
case("site/sitecustomize-prints", "x.py", files={"x.py": "print('script')\n", "lib/sitecustomize.py": "print('custom', flush=True)\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
case("site/sitecustomize-environment", "x.py", files={"x.py": "import sys\nprint(sys.mark)\n", "lib/sitecustomize.py": "import os, sys\nsys.mark = dict(os.environ).get('MARK')\n"}, env={"PYTHONPATH": "@DIR@/lib", "MARK": "now"}, prime_env={"MARK": "then"}, route=ANY)
case("site/sitecustomize-cwd-and-pid", "x.py", files={"x.py": "import sys, os\nprint(sys.mark == (os.getcwd(), os.getpid()))\n", "lib/sitecustomize.py": "import os, sys\nsys.mark = os.getcwd(), os.getpid()\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
case("site/sitecustomize-atexit", "x.py", files={"x.py": "print('script')\n", "lib/sitecustomize.py": "import atexit\natexit.register(print, 'custom atexit')\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
case("site/sitecustomize-signal", "x.py", files={"x.py": "import signal\nprint(signal.getsignal(signal.SIGPIPE))\n", "lib/sitecustomize.py": "import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
case("site/sitecustomize-isatty", "x.py", files={"x.py": "import sys\nprint(sys.mark)\n", "lib/sitecustomize.py": "import sys\nsys.mark = sys.stdout.isatty(), sys.stdin.encoding\n"}, env={"PYTHONPATH": "@DIR@/lib"}, fds={1: "tty"}, route=ANY)
# What start-up leaves behind is called and ends when a cold start's would.
for name, (custom, script) in {
    "registers-and-keeps-a-generator": ("import atexit, sys\ndef g():\n    try:\n        yield\n    finally:\n        print('closed')\nsys.g = g()\nnext(sys.g)\natexit.register(sys.g.close)\n", "print('script')\n"),
    "keeps-a-generator": ("import sys\ndef g():\n    try:\n        yield\n    finally:\n        print('closed')\nsys.g = g()\nnext(sys.g)\n", "print('script')\n"),
    "keeps-a-loud-object": ("import sys\nclass Loud:\n    def __del__(self):\n        print('del')\nsys.loud = Loud()\n", "print('script')\n"),
    "keeps-a-loud-object-that-is-dropped": ("import sys\nclass Loud:\n    def __del__(self):\n        print('del')\nsys.loud = Loud()\n", "import sys\ndel sys.loud\nprint('script')\n"),
    "keeps-a-loud-object-without-weak-references": ("import sys\nclass Loud:\n    __slots__ = ('a',)\n    def __del__(self):\n        print('del')\nsys.loud = Loud()\n", "print('script')\n"),
    "makes-a-loud-class": ("import sys\nclass Loud:\n    def __del__(self):\n        print('del')\nsys.Loud = Loud\nclass Still: pass\nsys.still = Still()\n", "import sys\nloud = sys.Loud()\nprint('script')\n"),
    "makes-a-loud-class-to-assign": ("import sys\nclass Loud:\n    def __del__(self):\n        print('del')\nsys.Loud = Loud\nclass Still: pass\nsys.still = Still()\n", "import sys\nsys.still.__class__ = sys.Loud\nprint('script')\n"),
    "imports-subprocess": ("import subprocess, sys\n", "import sys, subprocess\nsubprocess.run(['true'])\nprint('script')\n"),
    "imports-gc": ("import gc\n", "print('script')\n"),
    "freezes-gc": ("import gc, sys\nclass Loud:\n    def __del__(self):\n        print('del')\nsys.loud = [Loud()]\ngc.freeze()\n", "print('script')\n"),
    "registers-with-threading": ("import threading\nthreading._register_atexit(print, 'registered')\n", "print('script')\n"),
    "registers-and-finalizes": ("import weakref, sys\nclass C: pass\nsys.c = C()\nweakref.finalize(sys.c, print, 'finalized')\n", "import atexit\natexit.register(print, 'first')\nprint('script')\n"),
    "registers-what-is-loud": ("import atexit, sys\nclass Loud:\n    def __del__(self):\n        print('del')\nsys.kept = []\natexit.register(lambda: sys.kept.append(Loud()))\n", "print('script')\n"),
}.items():
    case("site/leaves/" + name, "x.py", files={"x.py": script, "lib/sitecustomize.py": custom}, env={"PYTHONPATH": "@DIR@/lib"})
case("site/leaves/sets-up-gc", "x.py", files={"x.py": "print('script')\n", "lib/sitecustomize.py": "import gc\ngc.callbacks.append(lambda phase, info: print(phase))\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)

case("site/sitecustomize-fails", "x.py", files={"x.py": "print('script')\n", "lib/sitecustomize.py": "1 / 0\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
case("site/sitecustomize-opens-a-file", "x.py", files={"x.py": "import sys\nsys.log.write('x')\nprint(sys.log.fileno())\n", "lib/sitecustomize.py": "import sys\nsys.log = open('log', 'a')\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
case("site/sitecustomize-random-and-time", "x.py", files={"x.py": "import sys, time\nprint(abs(sys.began - time.time()) < 60)\n", "lib/sitecustomize.py": "import sys, time\nsys.began = time.time()\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
case("site/sitecustomize-sys-exit", "x.py", files={"x.py": "print('never')\n", "lib/sitecustomize.py": "raise SystemExit(9)\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
AGAIN = "python3 x.py; sleep 0; %s; python3 x.py; python3 x.py"
shell("site/editable-name-comes", AGAIN % ("mkdir " + HOLDER), files={"x.py": EDITED, **EDITABLE}, env=OWN, route=ANY)
shell("fresh/pth-added", AGAIN % "mkdir -p .local/lib/python@VER@/site-packages extra; echo \"$PWD/extra\" > .local/lib/python@VER@/site-packages/a.pth", SITE, env=OWN, route=ANY)
shell("fresh/pth-edited", AGAIN % "echo \"$PWD/b\" > .local/lib/python@VER@/site-packages/a.pth", files={"x.py": SITE, USER + "a.pth": "@DIR@/a\n", "a/y": "", "b/y": ""}, env=OWN, route=ANY)
shell("fresh/sitecustomize-added", AGAIN % "echo 'import sys; sys.custom = 1' > lib/sitecustomize.py", files={"x.py": "import sys\nprint(getattr(sys, 'custom', 0))\n", "lib/y": ""}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
shell("fresh/sitecustomize-edited", AGAIN % "echo 'import sys; sys.custom = 22' > lib/sitecustomize.py", files={"x.py": "import sys\nprint(getattr(sys, 'custom', 0))\n", "lib/sitecustomize.py": "import sys\nsys.custom = 1\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
shell("fresh/sitecustomize-removed", AGAIN % "rm lib/sitecustomize.py", files={"x.py": "import sys\nprint(getattr(sys, 'custom', 0))\n", "lib/sitecustomize.py": "import sys\nsys.custom = 1\n"}, env={"PYTHONPATH": "@DIR@/lib"}, route=ANY)
# What comes and goes in a directory that start-up only asks for names.
MAY_BE = "import sys\nfor name in ('mm', 'nn', 'later'):\n    try:\n        m = __import__(name)\n        print(name, m.V, m.__file__)\n    except ImportError as e:\n        print(e)\nprint(getattr(sys, 'custom', 0), sys.path)\n"
LIB = {"env": {"PYTHONPATH": "@DIR@/lib"}, "route": ANY}
CHANGES = {
    "module": "echo 'V = 1' > lib/mm.py",
    "module-and-time-put-back": "touch -r lib stamp; echo 'V = 1' > lib/mm.py; touch -r stamp lib",
    "module-goes": "rm lib/nn.py; rm -rf lib/__pycache__",
    "module-becomes-a-package": "mkdir lib/nn; echo 'V = 7' > lib/nn/__init__.py",
    "file-of-no-matter": "touch lib/x.txt lib/y; mkdir lib/z",
    "custom": "echo 'import sys; sys.custom = 1' > lib/sitecustomize.py",
    "custom-package": "mkdir lib/sitecustomize; echo 'import sys; sys.custom = 2' > lib/sitecustomize/__init__.py",
    "custom-without-source": "echo 'import sys; sys.custom = 3' > s.py; python3 -c 'import py_compile; py_compile.compile(\"s.py\", \"lib/sitecustomize.pyc\")'",
    "directory-goes": "rm -r lib",
    "directory-is-another": "mv lib old; mkdir lib; echo 'V = 4' > lib/mm.py",
    "directory-is-a-file": "mv lib old; echo > lib",
    "closed": "chmod 0 lib",
}
for name, change in CHANGES.items():
    shell("fresh/pythonpath/" + name, AGAIN % change, files={"x.py": MAY_BE, "lib/nn.py": "V = 5\n"}, drop=("__pycache__",), **LIB)
shell("fresh/pythonpath/part-of-start-up", "python3 x.py; mkdir lib/encodings; echo 'raise SystemExit(7)' > lib/encodings/__init__.py; python3 x.py; echo $?", files={"x.py": MAY_BE, "lib/y": ""}, normal=((r"(?s)Python path configuration.*?\n\n", ""), (r"Current thread.*", ""), (r"program name = .*", "")), drop=("__pycache__",), **LIB)
shell("fresh/pythonpath/comes", AGAIN % "mkdir later; echo 'V = 6' > later/mm.py; echo 'import sys; sys.custom = 4' > later/sitecustomize.py", MAY_BE, env={"PYTHONPATH": "@DIR@/later"}, route=ANY, drop=("__pycache__",))
shell("fresh/pythonpath/beside-what-is-missing", AGAIN % "touch lib/x; mkdir lib/a; echo 'V = 1' > lib/a/mm.py", files={"x.py": MAY_BE, "lib/y": ""}, env={"PYTHONPATH": "@DIR@/lib/a"}, route=ANY, drop=("__pycache__",))
for name in ("module", "module-and-time-put-back", "module-goes", "custom", "directory-goes"):
    shell("fresh/pth/" + name, AGAIN % CHANGES[name], files={"x.py": MAY_BE, "lib/nn.py": "V = 5\n", USER + "a.pth": "@DIR@/lib\n"}, env=OWN, route=ANY, drop=("__pycache__",))
for name in ("module", "module-and-time-put-back", "directory-is-another"):
    shell("fresh/warm/" + name, AGAIN % CHANGES[name], files={"x.py": "import json, argparse\n" + MAY_BE, "lib/nn.py": "V = 5\n"}, drop=("__pycache__",), env={**LIB["env"], "PYZY_PRELOAD": "stdlib,nn"}, route=ANY)
    shell("fresh/warm-pth/" + name, AGAIN % CHANGES[name], files={"x.py": "import json, argparse\n" + MAY_BE, "lib/nn.py": "V = 5\n", USER + "a.pth": "@DIR@/lib\n"}, drop=("__pycache__",), env={**OWN, "PYZY_PRELOAD": "stdlib,nn"}, route=ANY)
shell("fresh/listed-by-start-up", AGAIN % "touch lib/x", files={"x.py": "import sys\nprint(sys.seen)\n", "lib/sitecustomize.py": "import os, sys\nsys.seen = sorted(os.listdir(os.path.dirname(__file__)))\n"}, drop=("__pycache__",), normal=(("'__pycache__', ", ""),), **LIB)
shell("fresh/asked-by-start-up", AGAIN % "echo 'V = 8' > lib/mm.py", files={"x.py": "import sys\nprint(sys.seen)\n", "lib/sitecustomize.py": "import sys, importlib.util\nsys.seen = importlib.util.find_spec('mm') is not None\n"}, drop=("__pycache__",), **LIB)
shell("fresh/package-installed", AGAIN % "echo 'V = 5' > .local/lib/python@VER@/site-packages/mine.py", files={"x.py": "try:\n    import mine\n    print(mine.V)\nexcept ImportError as e:\n    print(e)\n", USER + "y": ""}, env=OWN, route=ANY)
shell("fresh/user-site-created", AGAIN % "mkdir -p .local/lib/python@VER@/site-packages", SITE, env=OWN, route=ANY)


def venv(shims=False, **more):
    """A virtual environment of the world's interpreter, without pip; with pyzy's shims in its bin on the warm side."""
    def make(path, world):
        world.interpreter.preparer.run("import sys, venv\nvenv.main(sys.argv[1:])\n", "--without-pip", "--symlinks", *more.get("arguments", ()), path)
        if shims and world.shims:
            command = os.path.join(os.path.dirname(world.shims), "bin", "pyzy")
            subprocess.run([command, "shims", path], check=True, env=world.environment("/dev/null"), stdout=subprocess.DEVNULL)
    return Made(make)


ACTIVE = {"PATH": "@FRONT@:@DIR@/venv/bin:@BIN@:/usr/bin:/bin", "VIRTUAL_ENV": "@DIR@/venv"}
VENV = {"tree": False, "needs": ("module:venv",)}
case("venv/active", "x.py a", files={"x.py": SITE + "print(sys.argv, sys.flags)\n", "venv": venv()}, env=ACTIVE, **VENV)
case("venv/python", "x.py", files={"x.py": SITE, "venv": venv()}, env=ACTIVE, program="python", **VENV)
case("venv/package", "x.py", files={"x.py": "import mine\nprint(mine.__file__)\n", "venv": venv(), "pkg/mine.py": ""}, env={**ACTIVE, "PYTHONPATH": "@DIR@/pkg"}, **VENV)
case("venv/system-site", "x.py", files={"x.py": SITE, "venv": venv(arguments=("--system-site-packages",))}, env=ACTIVE, **VENV)
case("venv/isolated", "-I x.py", files={"x.py": SITE, "venv": venv()}, env=ACTIVE, **VENV)
case("venv/nested-call", "x.py", files={"x.py": "import subprocess, sys\nprint(sys.prefix, flush=True)\nsubprocess.call(['python3', 'y.py'])\nsubprocess.call([sys.executable, 'y.py'])\n", "y.py": "import sys\nprint(sys.prefix)\n", "venv": venv()}, env=ACTIVE, route=["warm", "warm"], **VENV)
case("venv/subprocess-executable", "x.py", files={"x.py": "import subprocess, sys\nprint(subprocess.check_output([sys.executable, '-c', 'import sys; print(sys.prefix, sys.executable)']))\n", "venv": venv()}, env=ACTIVE, **VENV)
# A shim in a venv is a copy, and CPython does not follow it as it follows a link: sys._base_executable is
# HOME/python3, as in a venv made with --copies, not HOME/python3.X.
COPY = ((r"(?m)/python3\.\d+$", "/python3"),)
case("venv/shim-inside", "x.py", files={"x.py": SITE, "venv": venv(shims=True)}, env={"PATH": "@DIR@/venv/bin:@BIN@:/usr/bin:/bin", "VIRTUAL_ENV": "@DIR@/venv"}, normal=COPY, **VENV)
case("venv/shim-inside-fallback", ["-c", "import sys; print(sys.prefix, sys.executable)"], files={"venv": venv(shims=True)}, env={"PATH": "@DIR@/venv/bin:@BIN@:/usr/bin:/bin"}, route="command", normal=((r"venv/bin/\S+", "venv/bin/python"),), **VENV)
case("venv/shim-inside-by-path", ["x.py"], files={"x.py": SITE, "venv": venv(shims=True)}, program="venv/bin/python3", route=ANY, normal=COPY, **VENV)
case("venv/fallback", ["-c", "import sys; print(sys.prefix, sys.executable, sys.base_prefix)"], files={"venv": venv()}, env=ACTIVE, route="command", **VENV)
shell("venv/activate-script", ". venv/bin/activate; PATH=@FRONT@:$PATH; python3 x.py; deactivate; python3 x.py", files={"x.py": SITE, "venv": venv()}, route=ANY, **VENV)
shell("fresh/pyvenv-cfg-edited", AGAIN % "sed -i s/packages.=.false/packages\\ =\\ true/ venv/pyvenv.cfg", files={"x.py": SITE, "venv": venv()}, env=ACTIVE, route=ANY, **VENV)

case("find/python", "x.py", SITE, program="python", needs=("name:python",))
shell("find/python-with-version", "python@VER@ x.py", SITE, prime_bin=None, route=("warm", "no-zygote"))
case("find/not-executable-first", "x.py", files={"x.py": SITE, "bin/python3": Mode("#!/bin/false\n", 0o644)}, env={"PATH": "@FRONT@:@DIR@/bin:@BIN@:/usr/bin:/bin"})
case("find/directory-named-python3", "x.py", files={"x.py": SITE, "bin/python3/y": ""}, env={"PATH": "@FRONT@:@DIR@/bin:@BIN@:/usr/bin:/bin"})
case("find/dangling-link-first", "x.py", files={"x.py": SITE, "bin/python3": Link("nowhere")}, env={"PATH": "@FRONT@:@DIR@/bin:@BIN@:/usr/bin:/bin"})
case("find/missing-directories", "x.py", SITE, env={"PATH": "/nonexistent:@FRONT@:/also/not:@BIN@:/usr/bin:/bin"})
case("find/front-twice", "x.py", SITE, env={"PATH": "@FRONT@:@FRONT@:@FRONT@/../front:@BIN@:/usr/bin:/bin"})
case("find/empty-elements", "x.py", SITE, env={"PATH": "@FRONT@::@BIN@:"}, route=ANY)
# sys.executable of an interpreter found through a relative element is relative from 3.11 on; an exec by an absolute
# argv[0], without which CPython would find the shim, makes it absolute.
RELATIVE = ((r"(/ROOT/work/\d+/)?(bin/)?python3 (/ROOT/work/\d+/)?(bin/)?python3", "python3 python3"),)
case("find/empty-element-has-python", "x.py", files={"x.py": SITE, "python3": Link("@PYTHON@")}, env={"PATH": "@FRONT@::@BIN@"}, route=ANY, normal=RELATIVE)
case("find/relative-element", "x.py", files={"x.py": SITE, "bin/python3": Link("@PYTHON@")}, env={"PATH": "@FRONT@:bin:@BIN@"}, route="relative-interpreter", normal=RELATIVE)
case("find/link-to-the-interpreter", "x.py", files={"x.py": SITE, "bin/python3": Link("@PYTHON@")}, env={"PATH": "@FRONT@:@DIR@/bin:/usr/bin:/bin"})
case("find/wrapper-script", "x.py a", files={"x.py": SITE, "bin/python3": Mode("#!/bin/sh\necho wrapped\nexec @PYTHON@ \"$@\"\n", 0o755)}, env={"PATH": "@FRONT@:@DIR@/bin:/usr/bin:/bin"}, route="wrapper", drop=("^bin",), normal=((r", '[^']*/python3'\]?", ""),))
case("find/another-shim-of-ours", "x.py", files={"x.py": SITE, "bin": Made(lambda path, world: os.symlink(world.shims or world.front, path))}, env={"PATH": "@FRONT@:@DIR@/bin:@BIN@:/usr/bin:/bin"}, tree=False)
case("find/copy-of-the-launcher", "x.py", files={"x.py": SITE, "bin/y": "", "bin/python3": Made(lambda path, world: world.shims and subprocess.run(["cp", "-L", world.shims + "/python3", path], check=True))},
     env={"PATH": "@FRONT@:@DIR@/bin:@BIN@:/usr/bin:/bin"}, tree=False)
case("find/PYZY_PYTHON", "x.py", SITE, env={"PYZY_PYTHON": "@PYTHON@"})
case("find/no-PATH", ["x.py"], "import sys\nprint(sys.version_info[0])\n", env={"PATH": None}, route=ANY)
PYENV = {"needs": ("pyenv",), "normal": ((r"'/[^']*/(python3)", r"'\1"),)}
WHICH = "import sys\nprint(sys.version_info[:3], sys.prefix, sys.executable, sys.argv)\n"
PYENV_PATH = "@FRONT@:@PYENV@/shims:/usr/bin:/bin"
case("pyenv/PYENV_VERSION", "x.py a", WHICH, env={"PATH": PYENV_PATH, "PYENV_ROOT": "@PYENV@", "PYENV_VERSION": "@FULL@"}, **PYENV)
case("pyenv/local-file", "x.py a", files={"x.py": WHICH, ".python-version": "@FULL@\n"}, env={"PATH": PYENV_PATH, "PYENV_ROOT": "@PYENV@"}, **PYENV)
case("pyenv/local-file-upward", "../../x.py", files={"x.py": WHICH, ".python-version": "@FULL@\n", "a/b/y": ""}, cwd="a/b", env={"PATH": PYENV_PATH, "PYENV_ROOT": "@PYENV@"}, **PYENV)
case("pyenv/global", "x.py", WHICH, env={"PATH": PYENV_PATH, "PYENV_ROOT": "@PYENV@"}, route=ANY, **PYENV)
case("pyenv/system", "x.py", WHICH, env={"PATH": PYENV_PATH, "PYENV_ROOT": "@PYENV@", "PYENV_VERSION": "system"}, route=ANY, **PYENV)
case("pyenv/several", "x.py", WHICH, env={"PATH": PYENV_PATH, "PYENV_ROOT": "@PYENV@", "PYENV_VERSION": "@FULL@:system"}, **PYENV)
case("pyenv/missing-version", "x.py", WHICH, env={"PATH": PYENV_PATH, "PYENV_ROOT": "@PYENV@", "PYENV_VERSION": "3.99.0"}, route=ANY, **PYENV)
