"""`__main__`, sys.path[0] and sys.modules: what a script finds when it starts."""

import io
import zipfile

from harness.case import ANY, Link, Made, Mode, case

NAMESPACE = """
    import sys
    m = sys.modules["__main__"]
    print(sorted(vars(m)))
    for name in ("__name__", "__doc__", "__package__", "__spec__", "__file__", "__cached__"):
        print(name, repr(getattr(m, name, "absent")))
    print(type(__loader__), getattr(__loader__, "name", None), getattr(__loader__, "path", None))
    print(__builtins__ is sys.modules["builtins"], type(m), m)
    print(sys.path[:3] if sys.flags.isolated else sys.path[:2])
"""


def archive(**members):
    """A zip with these members."""
    def make(path, world):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as z:
            for name, text in members.items():
                z.writestr(zipfile.ZipInfo(name.replace("__", "/", 1) if name.startswith("pkg__") else name + ".py"), text)
        with open(path, "wb") as f:
            f.write(buffer.getvalue())
    return Made(make)


def compiled(text, optimize=-1):
    """A .pyc made by the world's interpreter."""
    def make(path, world):
        with open(path + ".src", "w", encoding="ascii") as f:
            f.write(text)
        world.interpreter.preparer.run("import sys, py_compile; py_compile.compile(sys.argv[1], sys.argv[2], 'x.py', doraise=True, "
                                       "invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)", path + ".src", path)
    return Made(make)


case("main/namespace", "x.py", NAMESPACE)
case("main/namespace-absolute", ["@DIR@/x.py"], NAMESPACE)
case("main/namespace-dot", "./x.py", NAMESPACE)
case("main/namespace-dot-dot", "../x.py", files={"x.py": NAMESPACE, "sub/y": ""}, cwd="sub")
case("main/namespace-docstring", "x.py", '"""Doc."""\nprint(__doc__)\n')
case("main/namespace-docstring-OO", "-OO x.py", '"""Doc."""\ndef f():\n    "inner"\nprint(__doc__, f.__doc__)\n')
case("main/annotations", "x.py", "print('__annotations__' in globals())\nx: int = 3\nprint(__annotations__, sorted(globals()))\n")
case("main/annotations-none", "x.py", "print('__annotations__' in globals(), globals().get('__annotations__', 'absent'))\n")
case("main/order-of-names", "x.py", "print(list(globals()))\n")
case("main/no-frame-below", "x.py", """
    import sys, inspect, traceback
    print(sys._getframe().f_back, len(inspect.stack()), sys._getframe().f_code.co_name)
    try:
        sys._getframe(1)
    except ValueError as e:
        print(e)
    traceback.print_stack()
""")
case("main/globals-are-main", "x.py", "import __main__\nprint(__main__.__dict__ is globals(), __import__('sys').modules['__main__'] is __main__)\n")
case("main/one-name", "x.py", "import sys\ndef f(): pass\nclass C: pass\nl = __loader__\nnames = [__file__, l.path, f.__code__.co_filename, sys._getframe().f_code.co_filename, sys.argv[0], __name__, l.name, C.__module__, sys.path[0]]\nprint([[a is b for b in names] for a in names])\nimport pickle\nprint(len(pickle.dumps(names)))\n")
case("main/code-object", "x.py", "import sys\nc = sys._getframe().f_code\nprint(c.co_filename, c.co_firstlineno, c.co_flags, c.co_names)\n")
case("main/import-main-again", "x.py", "import sys\nprint(__name__)\nif __name__ == '__main__':\n    import x\n    print(x.__file__, x.__name__, x.__spec__.origin)\n")
case("main/pickle-and-getsource", "x.py", "import inspect, pickle\nclass C:\n    pass\ndef f():\n    return 1\nprint(inspect.getsource(f), pickle.loads(pickle.dumps(C)) is C)\n")
case("main/exec-and-eval", "x.py", "exec('y = 1')\nprint(y, eval('__name__'), [n for n in dir() if 'a' in n])\n")

for options in ("", "-I", "-E", "-S", "-s", "-B", "-IS", "-X dev", "-W error", "-X utf8"):
    case("modules/at-start" + options.replace(" ", ""), options + " x.py", """
        import sys
        print(list(sys.modules))
        print(len(sys.modules), sys.meta_path, sys.path_hooks, list(sys.builtin_module_names) == sorted(sys.builtin_module_names))
        print(sys.path)
        print(list(sys.path_importer_cache))
    """)
case("modules/after-imports", "x.py", "import json, argparse, collections.abc, sys\nprint(list(sys.modules))\n")
case("modules/builtins-untouched", "x.py", "import builtins\nprint(sorted(vars(builtins)), exit, quit, copyright.__class__)\n")
case("modules/sys-attributes", "x.py", "import sys\nprint(sorted(vars(sys)))\nprint(sys.displayhook, sys.excepthook, sys.__stdout__ is sys.stdout, sys.stdin is sys.__stdin__)\n")
case("modules/specs", "x.py", "import sys\nfor n, m in list(sys.modules.items()):\n    print(n, getattr(m, '__spec__', 0) and m.__spec__.origin, getattr(m, '__file__', None))\n")
case("modules/version", "x.py", "import sys, platform\nprint(sys.version, sys.hexversion, sys.implementation, platform.python_build(), sys.api_version)\n")

case("path/symlinked-script", "link.py", files={"real/x.py": "import sys, helper\nprint(sys.path[0], __file__, helper.V)\n", "real/helper.py": "V = 1\n", "link.py": Link("real/x.py")})
case("path/symlink-chain", "a/link.py", files={"real/x.py": "import sys\nprint(sys.path[0], __file__, sys.argv)\n", "b/l2.py": Link("../real/x.py"), "a/link.py": Link("../b/l2.py")})
case("path/symlink-absolute", "link.py", files={"real/x.py": "import sys\nprint(sys.path[0])\n", "link.py": Link("@DIR@/real/x.py")})
case("path/symlinked-directory", "dir/x.py", files={"real/x.py": "import sys\nprint(sys.path[0], __file__)\n", "dir": Link("real")})
case("path/symlink-dangling", "link.py", files={"link.py": Link("nothing.py")}, route="script-missing", normal=((r"(?m)^\S*python3(\.\d+)?: ", "python3: "),))
case("path/isolated-no-script-dir", "-I x.py", files={"x.py": "import sys\nprint(sys.path)\ntry:\n    import helper\nexcept ImportError as e:\n    print(e)\n", "helper.py": ""})
case("path/safe-path-no-script-dir", "-P x.py", files={"x.py": "import sys\nprint(sys.path)\ntry:\n    import helper\nexcept ImportError as e:\n    print(e)\n", "helper.py": ""}, since=(3, 11))
case("path/PYTHONSAFEPATH", "x.py", files={"x.py": "import sys\nprint(sys.path, sys.flags)\n"}, env={"PYTHONSAFEPATH": "1"})
case("path/sibling-import", "sub/x.py", files={"sub/x.py": "import helper\nprint(helper.__file__, helper.__cached__)\n", "sub/helper.py": "V = 1\n"})
case("path/sibling-beats-stdlib", "x.py", files={"x.py": "import json, string\nprint(json.__file__, string.__file__)\n", "json.py": "", "string.py": ""})
case("path/sibling-does-not-beat-builtin", "x.py", files={"x.py": "import sys, time, os\nprint(hasattr(sys, 'argv'), time.time() > 0, os.name)\n", "sys.py": "", "time.py": "", "os.py": ""})
case("path/package", "x.py", files={"x.py": "from pkg.mod import f\nimport pkg\nprint(f(), pkg.__path__, pkg.__spec__)\n", "pkg/__init__.py": "print('init')\n", "pkg/mod.py": "from . import other\ndef f():\n    return other.V\n", "pkg/other.py": "V = 42\n"})
case("path/namespace-package", "x.py", files={"x.py": "import ns.mod, ns\nprint(ns.__path__, ns.mod.V)\n", "ns/mod.py": "V = 1\n"})
case("path/relative-import-in-main", "x.py", files={"x.py": "from . import helper\n", "helper.py": ""})
case("path/circular-import", "x.py", files={"x.py": "import a\n", "a.py": "import b\nV = 1\n", "b.py": "import a\nprint(a.V)\n"})
case("path/import-error-inside", "x.py", files={"x.py": "import bad\n", "bad.py": "x = 1\nraise ValueError('inside')\n"})
case("path/syntax-error-in-import", "x.py", files={"x.py": "import bad\n", "bad.py": "def f(:\n    pass\n"})
case("path/missing-module", "x.py", "import nosuchmodule\n")
case("path/missing-suggestion", "x.py", "from os import pathh\n")
case("path/pyc-written", "x.py", files={"x.py": "import helper\nimport os\nprint(os.listdir('__pycache__'))\n", "helper.py": "V = 1\n"})
case("path/pyc-not-written-B", "-B x.py", files={"x.py": "import helper\nimport os\nprint(os.path.exists('__pycache__'))\n", "helper.py": "V = 1\n"})
case("path/pyc-not-written-env", "x.py", files={"x.py": "import helper\nimport os\nprint(os.path.exists('__pycache__'))\n", "helper.py": ""}, env={"PYTHONDONTWRITEBYTECODE": "1"})
case("path/pyc-optimised", "-O x.py", files={"x.py": "import helper, os\nprint(os.listdir('__pycache__'))\n", "helper.py": ""})
case("path/pycache-prefix", "x.py", files={"x.py": "import helper\nprint(helper.__cached__)\n", "helper.py": ""}, env={"PYTHONPYCACHEPREFIX": "@DIR@/cache"})
case("path/import-from-cwd-not", "sub/x.py", files={"sub/x.py": "try:\n    import helper\nexcept ImportError as e:\n    print(e)\n", "helper.py": ""})
case("path/importlib-reload", "x.py", files={"x.py": "import helper, importlib\nopen('helper.py', 'w').write('V = 22222\\n')\nimportlib.invalidate_caches()\nprint(importlib.reload(helper).V)\n", "helper.py": "V = 1\n"}, env={"PYTHONDONTWRITEBYTECODE": "1"})

case("script/directory", "app a", files={"app/__main__.py": NAMESPACE + "\n    print(sys.argv)\n    import helper\n", "app/helper.py": "print('helper', __file__)\n"}, route=ANY)
case("script/directory-slash", "app/", files={"app/__main__.py": NAMESPACE}, route=ANY)
case("script/directory-dot", ".", files={"__main__.py": NAMESPACE}, route=ANY)
case("script/directory-isolated", "-I app", files={"app/__main__.py": NAMESPACE}, route=ANY)
case("script/directory-without-main", "app", files={"app/other.py": ""}, route=ANY, normal=((r"(?m)^\S*python3(\.\d+)?: ", "python3: "),))
case("script/zip", "app.zip a", files={"app.zip": archive(__main__=NAMESPACE.replace("\n    ", "\n"), helper="V = 1\n")}, route=ANY)
case("script/zip-any-name", "tool", files={"tool": archive(__main__="import helper\nprint(helper.__file__, __file__)\n", helper="V = 1\n")}, route=ANY)
case("script/zip-without-main", "app.zip", files={"app.zip": archive(helper="V = 1\n")}, route=ANY, normal=((r"(?m)^\S*python3(\.\d+)?: ", "python3: "),))
case("script/zip-traceback", "app.zip", files={"app.zip": archive(__main__="def f():\n    1 / 0\nf()\n")}, route=ANY)
case("script/pyc", "x.pyc a", files={"x.pyc": compiled(NAMESPACE.replace("\n    ", "\n"))}, route=ANY, drop=("x.pyc",))
case("script/pyc-bad-magic", "x.pyc", files={"x.pyc": b"\0\0\0\0" * 8}, route=ANY)
case("script/pyc-truncated", "x.pyc", files={"x.pyc": b"abc"}, route=ANY)
case("script/source-named-pyc", "x.pyc", files={"x.pyc": "print(1)\n"}, route=ANY)
case("script/pyc-content-no-suffix", "tool", files={"tool": compiled("print(__file__)\n")}, route=ANY, drop=("tool",))

case("script/executable", ["./x.py", "a"], None, files={"x.py": Mode("#!/usr/bin/env python3\nimport sys\nprint(sys.argv, __file__, sys.executable)\n", 0o755)}, program=None)
case("script/executable-options", ["./x.py", "a"], None, files={"x.py": Mode("#!/usr/bin/env -S python3 -u -B\nimport sys\nprint(sys.argv, sys.flags)\n", 0o755)}, program=None, options=("-u", "-B"))
case("script/executable-shim", ["./x.py", "a"], None, files={"x.py": Mode("#!@SHIM@\nimport sys\nprint(sys.argv, sys.executable, sys.prefix)\n", 0o755)}, program=None, drop=("x.py",))
case("script/executable-on-PATH", ["tool", "a"], None, files={"bin/tool": Mode("#!/usr/bin/env python3\nimport sys\nprint(sys.argv, sys.path[0])\n", 0o755)}, program="env", env={"PATH": "@DIR@/bin:@PATH@"})
