"""The environment: exact, in order, for Python, for libc and for children; start-up variables; time zone; randomness."""

from harness.case import ANY, case, shell

DUMP = """
    import os, ctypes
    print([e for e in os.environb.items() if e[0] != b"PATH"])
    libc = ctypes.CDLL(None)
    environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ")
    i = 0
    while environ[i] is not None:
        print(environ[i])
        i += 1
    libc.getenv.restype = ctypes.c_char_p
    for name in (b"HOME", b"EMPTY", b"NOSUCH", b"LD_PRELOAD", b"DUP"):
        print(name, libc.getenv(name), os.environb.get(name))
    print(sorted(n for n in os.environ if n.upper().startswith("PYZY")))
"""
RAW = ["HOME=@HOME@", "PATH=@PATH@", "LANG=C.UTF-8", "XDG_RUNTIME_DIR=@ROOT@/run", "PYZY_LOG=x"]

case("environ/dump", "x.py", DUMP)
case("environ/more", "x.py", DUMP, env={"A": "1", "EMPTY": "", "Z": "last", "B": "two words", "UNI": "grün"})
case("environ/order", "x.py", DUMP, environ=["Z=1", "A=2", "M=3", *RAW, "B=4", "AA=5"])
case("environ/duplicates", "x.py", DUMP, environ=[*RAW, "DUP=first", "DUP=second"])
case("environ/without-equals", "x.py", DUMP, environ=[*RAW, "ODD", "NEXT=1"])
case("environ/empty-name", "x.py", DUMP, environ=[*RAW, "=value", "", "NEXT=1"])
case("environ/equals-in-value", "x.py", DUMP, environ=[*RAW, "E=a=b=c", "F=="])
case("environ/not-utf8", "x.py", DUMP + "\n    print(ascii(os.environ['BYTES']))\n", environ=[*RAW, b"BYTES=\xff\xfe\x80"])
case("environ/newlines", "x.py", DUMP, environ=[*RAW, "NL=a\nb\n", "TAB=\t"])
case("environ/exported-function", "x.py", DUMP, environ=[*RAW, "BASH_FUNC_f%%=() {  echo hi\n}"])
case("environ/large-value", "x.py", "import os\nprint(len(os.environ['BIG']))\n", env={"BIG": "b" * 60000})
case("environ/many", "x.py", "import os\nprint(len([n for n in os.environ if n.startswith('V')]))\n", env={"V%d" % i: str(i) for i in range(1000)})
case("environ/minimal", "x.py", DUMP, environ=["PATH=@PATH@", "PYZY_LOG=x"], route=ANY)
case("environ/no-home", "x.py", DUMP, env={"HOME": None})
case("environ/no-home-no-runtime-dir", "x.py", "import os, site\nprint(sorted(os.environ), site.getuserbase() is not None)\n", env={"HOME": None, "XDG_RUNTIME_DIR": None}, route=ANY)
case("environ/home-relative", "x.py", DUMP, env={"HOME": "relative"}, route=ANY)
case("environ/home-missing", "x.py", DUMP, env={"HOME": "/nonexistent/home"})
case("environ/children", "x.py", "import os, subprocess\nsubprocess.call(['env'])\n", env={"A": "1"}, normal=((r"(?m)^(PATH|_)=.*\n", ""),))
case("environ/children-of-system", "x.py", "import os\nos.environ['NEW'] = 'n'\ndel os.environ['A']\nos.putenv('PUT', 'p')\nos.system('echo $NEW-$A-$PUT-$B')\n", env={"A": "1", "B": "2"})
case("environ/changes", "x.py", "import os\nos.environ['A'] = 'new'\nos.unsetenv('B')\nprint(os.environ['A'], os.environ['B'], os.getenv('C'), os.environ.copy() == dict(os.environ))\n", env={"A": "1", "B": "2"})
case("environ/proc-environ", "x.py", "print(sorted(e for e in open('/proc/self/environ', 'rb').read().split(b'\\0') if e.startswith((b'MARK', b'HOME', b'LD_'))))\n", env={"MARK": "x"})
case("environ/primed-with-another-value", "x.py", "import os\nprint(os.environ['MARK'], os.getenv('ONLY_HERE'), os.getenv('ONLY_THERE'))\n", env={"MARK": "now", "ONLY_HERE": "h"}, prime_env={"MARK": "then", "ONLY_THERE": "t"})
case("environ/pager-and-friends", "x.py", "import os, shutil, webbrowser, getpass, tempfile\nprint(shutil.get_terminal_size(), getpass.getuser(), tempfile.gettempdir())\n",
     env={"COLUMNS": "123", "LINES": "45", "USER": "somebody", "LOGNAME": "somebody", "BROWSER": "none"}, prime_env={"COLUMNS": "80", "USER": "other"})
case("environ/tmpdir", "x.py", "import tempfile, os\nprint(tempfile.gettempdir())\nwith tempfile.NamedTemporaryFile() as f:\n    print(os.path.dirname(f.name))\n", env={"TMPDIR": "@DIR@"}, prime_env={"TMPDIR": "/tmp"})
case("environ/expanduser", "x.py", "import os, pathlib\nprint(os.path.expanduser('~'), os.path.expanduser('~root'), pathlib.Path.home())\n", env={"HOME": "@DIR@"})
case("environ/pythonhome-wrong", "x.py", "print('never')\n", env={"PYTHONHOME": "/nonexistent"}, route=ANY, normal=((r"(?s).*", "fails"),))
case("environ/pythonhome-right", "x.py", "import sys\nprint(sys.prefix, sys.path)\n", env={"PYTHONHOME": "@BIN@/.."}, route=ANY)
case("environ/pythonpath", "x.py", files={"x.py": "import sys, extra\nprint(sys.path, extra.__file__)\n", "lib/extra.py": ""}, env={"PYTHONPATH": "@DIR@/lib:/nonexistent"})
case("environ/pythonpath-relative", "x.py", files={"x.py": "import sys, extra\nprint(sys.path, extra.__file__)\n", "lib/extra.py": ""}, env={"PYTHONPATH": "lib"}, route="relative-environment")
case("environ/pythonpath-dot", "x.py", files={"x.py": "import sys\nprint(sys.path)\n"}, env={"PYTHONPATH": "."}, route="relative-environment")
case("environ/pythonpath-empty-elements", "x.py", files={"x.py": "import sys\nprint(sys.path)\n"}, env={"PYTHONPATH": ":@DIR@:"}, route=("relative-environment", "warm"))
case("environ/pythonpath-empty", "x.py", "import sys\nprint(sys.path)\n", env={"PYTHONPATH": ""})
case("environ/pythonpath-ignored-E", "-E x.py", files={"x.py": "import sys\nprint(sys.path)\n"}, env={"PYTHONPATH": "@DIR@/lib"})
case("environ/pythonpath-ignored-I", "-I x.py", files={"x.py": "import sys\nprint(sys.path)\n"}, env={"PYTHONPATH": "lib", "PYTHONHASHSEED": "3"}, route=ANY)
case("environ/pythonpath-zip", "x.py", files={"x.py": "import sys\nprint(sys.path)\n", "lib.zip": b"PK\5\6" + b"\0" * 18}, env={"PYTHONPATH": "@DIR@/lib.zip"})
case("environ/pythonpath-added-later", "x.py", files={"x.py": "import os, sys\nprint(sys.path[1:2])\nos.environ['PYTHONPATH'] = 'x'\nprint(sys.path[1:2])\n"}, env={"PYTHONPATH": "@DIR@/a"}, prime_env={})
case("environ/pythoninspect", "x.py", "print('ran')\n", env={"PYTHONINSPECT": "1"}, stdin=b"print('inspected')\n", route="interactive")
case("environ/pythoninspect-empty", "x.py", "print('ran')\n", env={"PYTHONINSPECT": ""}, stdin=b"print('no')\n")
case("environ/pythoninspect-ignored-E", "-E x.py", "print('ran')\n", env={"PYTHONINSPECT": "1"}, stdin=b"print('no')\n", route=ANY)
case("environ/pythoninspect-set-by-script", "x.py", "import os\nos.environ['PYTHONINSPECT'] = '1'\nprint('ran')\n", stdin=b"print('inspected')\n")
case("environ/pythonstartup-ignored", "x.py", files={"x.py": "print('ran')\n", "s.py": "print('never')\n"}, env={"PYTHONSTARTUP": "@DIR@/s.py"})
case("environ/pythonstartup-relative", "x.py", files={"x.py": "print('ran')\n"}, env={"PYTHONSTARTUP": "s.py"}, route=ANY)
case("environ/pythonoptimize", "x.py", "import sys\nprint(sys.flags)\nassert False\nprint('on')\n", env={"PYTHONOPTIMIZE": "2"})
case("environ/pythondebug", "x.py", "import sys\nprint(sys.flags)\n", env={"PYTHONDEBUG": "1"}, route=ANY)
case("environ/pythonverbose", "x.py", "print(1)\n", env={"PYTHONVERBOSE": "1"}, route=("option-observed", "startup-environment"), normal=((r"(?s).*", "verbose"),))
case("environ/pythonprofileimporttime", "x.py", "print(1)\n", env={"PYTHONPROFILEIMPORTTIME": "1"}, route="option-observed", normal=((r"import time:[ 0-9|]+", "import time:"),))
case("environ/pythondevmode", "x.py", "import sys, faulthandler, warnings\nprint(sys.flags, faulthandler.is_enabled(), warnings.filters[:2])\n", env={"PYTHONDEVMODE": "1"})
case("environ/pythonmalloc", "x.py", "import sys\nprint('ok')\n", env={"PYTHONMALLOC": "debug"})
case("environ/pythonmalloc-nonsense", "x.py", "print('never')\n", env={"PYTHONMALLOC": "x"}, route=ANY, normal=((r"(?m)^\S*python3: ", "python3: "),))
case("environ/pythonfaulthandler", "x.py", "import faulthandler\nprint(faulthandler.is_enabled())\n", env={"PYTHONFAULTHANDLER": "1"})
case("environ/pythonnousersite", "x.py", "import site, sys\nprint(site.ENABLE_USER_SITE, sys.flags.no_user_site)\n", env={"PYTHONNOUSERSITE": "1"})
case("environ/pythonuserbase", "x.py", "import site\nprint(site.getuserbase(), site.getusersitepackages())\n", env={"PYTHONUSERBASE": "@DIR@/base"})
case("environ/pythonuserbase-relative", "x.py", "import site\nprint(site.getuserbase())\n", env={"PYTHONUSERBASE": "base"}, route=ANY)
case("environ/pythonbreakpoint", "x.py", "breakpoint()\nprint('on')\n", env={"PYTHONBREAKPOINT": "0"}, prime_env={"PYTHONBREAKPOINT": "0"})
case("environ/pythonbreakpoint-function", "x.py", "breakpoint('called')\n", env={"PYTHONBREAKPOINT": "builtins.print"})
case("environ/pythonexecutable", "x.py", "import sys\nprint(sys.executable)\n", env={"PYTHONEXECUTABLE": "/somewhere/python"}, route=ANY)
case("environ/pythonplatlibdir", "x.py", "import sys\nprint(sys.platlibdir)\n", env={"PYTHONPLATLIBDIR": "lib"}, route=ANY)
case("environ/pythonintmaxstrdigits", "x.py", "import sys\nprint(getattr(sys, 'get_int_max_str_digits', int)())\n", env={"PYTHONINTMAXSTRDIGITS": "5000"}, route=ANY)
case("environ/pythondumprefs-unknown", "x.py", "print(1)\n", env={"PYTHONSOMETHING": "new", "_PYTHON_X": "y"}, route=ANY)
case("environ/pythonasyncio-debug", "x.py", "import asyncio\nasync def f():\n    return asyncio.get_running_loop().get_debug()\nprint(asyncio.run(f()))\n", env={"PYTHONASYNCIODEBUG": "1"})
case("environ/ld-preload", "x.py", "import os\nprint(os.environ['LD_PRELOAD'])\n", env={"LD_PRELOAD": "libm.so.6"}, route="preloaded-library")
case("environ/ld-library-path", "x.py", "import os\nprint(os.environ['LD_LIBRARY_PATH'])\n", env={"LD_LIBRARY_PATH": "/nonexistent"})
case("environ/ld-library-path-relative", "x.py", "print(1)\n", env={"LD_LIBRARY_PATH": "rel:"}, route=ANY)
case("environ/malloc", "x.py", "print('ok')\n", env={"MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.malloc.check=0"})
case("environ/malloc-perturb", "x.py", "print('ok')\n", env={"MALLOC_PERTURB_": "165"})

ZONE = """
    import time, datetime, ctypes
    print(time.tzname, time.timezone, time.altzone, time.daylight)
    print(time.localtime(1700000000), time.strftime("%Z %z", time.localtime(1720000000)))
    print(datetime.datetime.fromtimestamp(1720000000).astimezone())
"""
for zone in ("UTC", "America/New_York", "Asia/Kolkata", "EST5EDT,M3.2.0,M11.1.0", "Nowhere/None", "", ":Europe/Berlin", "<+03>-3"):
    case("timezone/" + (zone.replace("/", "-").replace(",", "_") or "empty"), "x.py", ZONE, env={"TZ": zone}, route=ANY if zone.startswith((":", "N")) else "warm")
case("timezone/unset", "x.py", ZONE)
TWO = """
import ctypes, os, shutil, time
entries = [b"%s=%s" % e for e in os.environb.items() if e[0] != b"TZ"] + [b"TZ=Asia/Karachi", b"TZ=America/Lima"]
for i in range(5):
    pid = os.fork()
    if not pid:
        table = (ctypes.c_char_p * (len(entries) + 1))(*entries, None)
        ctypes.CDLL(None).execve(os.fsencode(shutil.which("python3")), (ctypes.c_char_p * 3)(b"python3", b"y.py", None), table)
        os._exit(1)
    os.waitpid(pid, 0)
    time.sleep(0.5)
"""
case("timezone/two-of-them", "x.py", TWO, files={"y.py": "import time\nprint(time.tzname, time.localtime(0).tm_hour)\n"}, route=ANY, needs=("module:ctypes",))
case("timezone/set-by-script", "x.py", "import os, time\nos.environ['TZ'] = 'Asia/Tokyo'\ntime.tzset()\nprint(time.tzname, time.localtime(0).tm_hour)\n")
case("timezone/child", "x.py", "import subprocess\nsubprocess.call(['date', '-d', '@0', '+%H %Z'])\n", env={"TZ": "Asia/Tokyo"})

case("random/hash-seed-0", "x.py", "print(hash('a'), list({'a', 'b', 'c', 'd'}))\n", env={"PYTHONHASHSEED": "0"})
case("random/hash-seed-123", "x.py", "import sys\nprint(hash('a'), hash(b'b'), sys.flags.hash_randomization)\n", env={"PYTHONHASHSEED": "123"})
case("random/hash-seed-random", "x.py", "import sys\nprint(sys.flags.hash_randomization)\n", env={"PYTHONHASHSEED": "random"})
case("random/hash-seed-nonsense", "x.py", "print('never')\n", env={"PYTHONHASHSEED": "x"}, route=ANY, normal=((r"(?m)^\S*python3: ", "python3: "),))
TWICE = """
for i in 1 2 3; do
    python3 x.py > out$i
done
cmp -s out1 out2 && echo same12
cmp -s out2 out3 && echo same23
cmp -s out1 out3 && echo same13
wc -l < out1
"""
for name, source in {
    "random": "import random\nprint(random.random())\n", "random-instance": "import random\nprint(random.Random().getrandbits(64))\n", "secrets": "import secrets\nprint(secrets.token_hex())\n",
    "uuid4": "import uuid\nprint(uuid.uuid4())\n", "uuid1": "import uuid\nprint(uuid.uuid1())\n", "tempfile": "import tempfile\nprint(tempfile.mktemp())\n", "urandom": "import os\nprint(os.urandom(16))\n",
    "system-random": "import random\nprint(random.SystemRandom().random())\n", "numpy-like-seed": "import random, time, os\nrandom.seed()\nprint(random.random())\n"}.items():
    shell("random/differs-" + name, TWICE, source, drop=("^out",))
shell("random/seeded-is-equal", TWICE, "import random\nrandom.seed(42)\nprint(random.random(), random.sample(range(100), 5))\n")
shell("random/forked-children-differ", "python3 x.py", "import os, random\nif os.fork() == 0:\n    open('child', 'w').write(str(random.random()))\n    os._exit(0)\nos.wait()\nprint(open('child').read() == str(random.random()))\n", drop=("child",))
