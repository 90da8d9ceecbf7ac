"""The standard streams: kind of descriptor against encoding, errors and buffering."""

from harness.case import ANY, Directory, case, shell

# The report goes to a file, because any of the three streams may be missing.
REPORT = """
    import sys, os, io
    lines = []
    for name in ("stdin", "stdout", "stderr"):
        s = getattr(sys, name)
        if s is None:
            lines.append(name + " None")
            continue
        raw = getattr(s.buffer, "raw", s.buffer)
        lines.append(" ".join(map(str, (name, type(s).__name__, s.encoding, s.errors, s.line_buffering, s.write_through, s.newlines, repr(s.name),
            s.mode, type(s.buffer).__name__, type(raw).__name__, raw.fileno(), raw.mode, raw.name, raw.closefd, s.isatty(), s.seekable() if name != "stdin" else "",
            getattr(raw, "_blksize", None), s is getattr(sys, "__%s__" % name), getattr(s, "_CHUNK_SIZE", None), os.get_inheritable(raw.fileno())))))
    lines.append(" ".join(sorted(os.listdir("/proc/self/fd"))[:3]))
    with open("report", "w") as f:
        f.write("\\n".join(lines) + "\\n")
    if sys.stdout is not None:
        print("out")
    if sys.stderr is not None:
        print("err", file=sys.stderr)
"""

for number, stream in enumerate(("stdin", "stdout", "stderr")):
    for kind in ("tty", "pipe", "null", "socket", "closed"):
        case("streams/%s-%s" % (stream, kind), "x.py", REPORT, fds={number: kind}, stdin=b"" if (number, kind) == (0, "pipe") else None)
        if kind in ("tty", "pipe", "closed"):
            case("streams/%s-%s-u" % (stream, kind), "-u x.py", REPORT, fds={number: kind}, stdin=b"" if (number, kind) == (0, "pipe") else None)
case("streams/stdin-file", "x.py", REPORT, files={"data": "line\n"}, fds={0: ("read", "data")})
case("streams/stdout-file", "x.py", REPORT, fds={1: ("write", "out")})
case("streams/stderr-file", "x.py", REPORT, fds={2: ("write", "err")})
case("streams/all-tty", "x.py", REPORT, fds={0: "tty", 1: "tty", 2: "tty"})
case("streams/all-closed", "x.py", REPORT, fds={0: "closed", 1: "closed", 2: "closed"})
case("streams/0-and-1-closed", "x.py", REPORT, fds={0: "closed", 1: "closed"})
case("streams/1-and-2-closed", "x.py", REPORT, fds={1: "closed", 2: "closed"})
case("streams/closed-then-opened", "x.py", "import os\nf = open('x.py')\nos.write(2, str(f.fileno()).encode() + b'\\n')\n", fds={0: "closed", 1: "closed"})
case("streams/closed-stdout-print", "x.py", "print('to nowhere')\nimport sys\nprint('shown', sys.stdout, file=sys.stderr)\n", fds={1: "closed"})
case("streams/closed-stderr-error", "x.py", "1 / 0\n", fds={2: "closed"})
case("streams/closed-stdin-input", "x.py", "print(input())\n", fds={0: "closed"})
case("streams/closed-exec-child", "x.py", "import subprocess, sys\nsys.exit(subprocess.call(['ls', '-l', '/proc/self/fd/'], stdout=open('o', 'w'), stderr=2))\n", fds={0: "closed"}, drop=("^o$",))
case("streams/stdin-directory", "x.py", "print('never')\n", fds={0: "directory"}, route="stdin-directory", normal=((r"(?m)^\S*python3(\.\d+)?: ", "python3: "),))
case("streams/stdin-write-only", "x.py", "import sys\nprint(sys.stdin)\nprint(input())\n", files={"y": ""}, fds={0: ("write", "y")})
case("streams/stdout-read-only", "x.py", "import sys\nprint(sys.stdout, file=sys.stderr)\nprint('x')\n", files={"y": "keep"}, fds={1: ("read", "y")})
case("streams/stdout-append", "x.py", "print('more')\nimport os, sys\nos.write(1, b'first\\n')\nprint(sys.stdout.tell())\n", files={"y": "here\n"}, fds={1: ("append", "y")})
case("streams/one-file-for-both", "x.py", "import sys, os\nprint('out', flush=True)\nprint('err', file=sys.stderr)\nos.write(1, b'raw\\n')\n", fds={1: ("write", "y"), 2: 1})
case("streams/one-pipe-for-both", "x.py", "import sys\nfor i in range(3):\n    print('out', i)\n    print('err', i, file=sys.stderr)\n", fds={2: 1})
case("streams/offset-of-stdin", "x.py", "import sys, os\nprint(sys.stdin.readline())\nprint(os.lseek(0, 0, 1), sys.stdin.buffer.tell())\n", files={"y": "a\nb\nc\n"}, fds={0: ("read", "y")})
shell("streams/offset-shared-with-the-caller", "{ read a; python3 x.py; read b; echo $a $b; } < y", "import os\nprint(os.read(0, 4))\n", files={"y": "one\ntwo\nthree\n", "x.py": "import os\nprint(os.read(0, 4))\n"})
shell("streams/output-order-with-the-caller", "{ echo 1; python3 x.py; echo 3; } > out 2>&1; cat out", "print(2)\n")
case("streams/nonblocking-stdin", "x.py", "import os, sys\nprint(os.get_blocking(0), os.get_blocking(1))\nos.set_blocking(0, False)\nprint(sys.stdin.buffer.raw.read(1))\n", fds={0: "socket"})

UNICODE = "import sys\nprint(sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors, sys.stdin.errors, sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())\nprint('grün \\u20ac')\n"
LOCALE = """
    import sys, os, locale, codecs
    print(sys.stdin.encoding, sys.stdout.encoding, sys.stderr.encoding, sys.stdin.errors, sys.stdout.errors, sys.stderr.errors)
    print(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.flags.utf8_mode, locale.getpreferredencoding(False))
    print({k: v for k, v in os.environ.items() if k.startswith(("LC", "LANG", "PYTHON"))})
    print(locale.setlocale(locale.LC_ALL), locale.setlocale(locale.LC_CTYPE, None), locale.localeconv()["decimal_point"])
    print(ascii(os.listdir(".")), os.fsencode("\\udcff"))
    print("gr\\u00fcn \\u20ac")
"""
for setting in ("ascii", "utf-8:strict", "latin-1:replace", ":surrogateescape", "utf-8:backslashreplace", "utf-16", "nonsense", "ascii:nonsense"):
    case("encoding/PYTHONIOENCODING=" + setting, "x.py", UNICODE, env={"PYTHONIOENCODING": setting}, route=ANY if "nonsense" in setting else "warm")
case("encoding/PYTHONIOENCODING=cp500", "x.py", "print('ebcdic')\n", env={"PYTHONIOENCODING": "cp500"})
case("encoding/PYTHONIOENCODING-ignored-E", "-E x.py", UNICODE, env={"PYTHONIOENCODING": "ascii"})
case("encoding/PYTHONUNBUFFERED", "x.py", REPORT, env={"PYTHONUNBUFFERED": "1"})
case("encoding/PYTHONUTF8=1", "x.py", LOCALE, env={"PYTHONUTF8": "1", "LC_ALL": "C"})
case("encoding/PYTHONUTF8=0", "x.py", LOCALE, env={"PYTHONUTF8": "0"})
case("encoding/PYTHONUTF8-nonsense", "x.py", LOCALE, env={"PYTHONUTF8": "x"}, route=ANY, normal=((r"(?m)^\S*python3: ", "python3: "),))
case("encoding/LC_ALL=C", "x.py", LOCALE, env={"LC_ALL": "C"})
case("encoding/LC_ALL=POSIX", "x.py", LOCALE, env={"LC_ALL": "POSIX"})
case("encoding/LC_ALL=C.UTF-8", "x.py", LOCALE, env={"LC_ALL": "C.UTF-8", "LANG": "C"})
case("encoding/LC_ALL-empty", "x.py", LOCALE, env={"LC_ALL": "", "LANG": "C"})
case("encoding/LC_CTYPE=C", "x.py", LOCALE, env={"LC_CTYPE": "C", "LANG": None})
case("encoding/LC_CTYPE=C.UTF-8", "x.py", LOCALE, env={"LC_CTYPE": "C.UTF-8", "LANG": None})
case("encoding/LANG=C", "x.py", LOCALE, env={"LANG": "C"})
case("encoding/LANG=POSIX", "x.py", LOCALE, env={"LANG": "POSIX"})
case("encoding/LANG-empty", "x.py", LOCALE, env={"LANG": ""})
case("encoding/no-locale-at-all", "x.py", LOCALE, env={"LANG": None})
case("encoding/no-locale-children", "x.py", "import subprocess, os\nprint('start', flush=True)\nsubprocess.call(['sh', '-c', 'echo $LC_CTYPE-$LC_ALL-$LANG'])\nprint(list(os.environ)[-1])\n", env={"LANG": None})
case("encoding/locale-missing", "x.py", LOCALE, env={"LANG": "xx_YY.UTF-8"})
case("encoding/locale-missing-all", "x.py", LOCALE, env={"LC_ALL": "en_XX.ISO-8859-1"})
case("encoding/coercion-off", "x.py", LOCALE, env={"LANG": None, "PYTHONCOERCECLOCALE": "0"})
case("encoding/coercion-warn", "x.py", LOCALE, env={"LANG": None, "PYTHONCOERCECLOCALE": "warn"}, route=ANY)
case("encoding/coercion-off-and-utf8-off", "x.py", LOCALE.replace('print("gr', 'print("x" if sys.stdout.encoding.lower() != "utf-8" else "gr'), env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})
case("encoding/isolated-no-locale", "-I x.py", LOCALE, env={"LANG": None})
case("encoding/script-sets-locale", "x.py", "import locale, time\nprint(locale.setlocale(locale.LC_ALL, ''), locale.getlocale(), time.strftime('%A', (2020, 1, 1, 0, 0, 0, 2, 1, 0)))\n", env={"LC_TIME": "C.UTF-8"})
case("encoding/warn-default", "x.py", "open('x.py').close()\n", env={"PYTHONWARNDEFAULTENCODING": "1"}, since=(3, 10), route=ANY)

case("input/pipe-lines", "x.py", "import sys\nfor line in sys.stdin:\n    print(repr(line))\n", stdin=b"a\nb\r\nc")
case("input/function", "x.py", "print(input('? '), input())\n", stdin=b"one\ntwo\n")
case("input/eof", "x.py", "input('? ')\n", stdin=b"")
case("input/eof-null", "x.py", "import sys\nprint(repr(sys.stdin.read()))\ninput()\n")
case("input/binary", "x.py", "import sys\nprint(sys.stdin.buffer.read())\n", stdin=bytes(range(256)))
case("input/not-utf8", "x.py", "import sys\nprint(ascii(sys.stdin.read()))\n", stdin=b"\xff\xfe")
case("input/big", "x.py", "import sys, hashlib\nd = sys.stdin.buffer.read()\nprint(len(d), hashlib.md5(d).hexdigest())\n", stdin=b"0123456789abcde\n" * 200000)
case("input/rest-left", "x.py", "import sys\nprint(sys.stdin.readline())\n", stdin=b"first\nsecond\n" * 10)
case("input/fileinput", "x.py", "import fileinput\nfor line in fileinput.input(encoding='utf-8') if __import__('sys').version_info >= (3, 10) else fileinput.input():\n    print(fileinput.filename(), line)\n", stdin=b"a\nb\n")
case("input/one-line-at-a-time", "x.py", "import sys\nfor line in sys.stdin:\n    print('got', line, end='', flush=True)\n", fds={0: "pipe"},
     steps=(("send", b"one\n"), ("expect", b"got one\n"), ("send", b"two\n"), ("expect", b"got two\n"), ("eof",)))
case("input/select", "x.py", "import select, sys, os\nprint(select.select([0], [], [], 20)[0], os.read(0, 10))\n", stdin=b"x")
case("input/tty-without-control", "x.py", "import sys, os\nprint(sys.stdin.isatty(), os.ttyname(0) == os.ttyname(1), os.get_terminal_size())\nprint('line', input())\n", fds={0: "tty", 1: "tty"},
     steps=(("expect", b"line|columns=80"), ("send", b"typed\n")))

case("output/big", "x.py", "import sys\nfor i in range(60000):\n    print(i, 'x' * 40)\n")
case("output/big-binary", "x.py", "import sys, hashlib\nd = bytes(range(256)) * 8192\nsys.stdout.buffer.write(d)\nprint(hashlib.md5(d).hexdigest(), file=sys.stderr)\n")
case("output/line-by-line-to-a-pipe", "x.py", "print('unflushed', end='')\nimport os\nos.write(1, b'[raw]')\n")
case("output/unflushed-binary", "x.py", "import sys\nsys.stdout.buffer.write(b'bytes')\nprint('text')\n")
case("output/no-newline", "x.py", "print('end', end='')\n")
case("output/reconfigure", "x.py", "import sys\nsys.stdout.reconfigure(encoding='latin-1', line_buffering=True, errors='replace')\nprint('\\xfc\\u20ac', sys.stdout.line_buffering)\n")
case("output/replaced-stdout", "x.py", "import sys, io\nsys.stdout = io.StringIO()\nprint('lost')\nsys.__stdout__.write('kept\\n')\n")
case("output/detached", "x.py", "import sys\nb = sys.stdout.detach()\nb.write(b'raw\\n')\nb.flush()\n")
case("output/closed-by-script", "x.py", "import sys\nprint('last')\nsys.stdout.close()\n")
case("output/print-after-close", "x.py", "import os\nprint('buffered')\nos.close(1)\n")
case("output/print-after-close-object", "x.py", "import sys\nsys.stdout.close()\nprint('x')\n")
case("output/dev-full", "x.py", "print('x')\n", fds={1: "full"})
case("output/dev-full-flush", "x.py", "print('x', flush=True)\n", fds={1: "full"})
case("output/dev-full-stderr", "x.py", "1 / 0\n", fds={2: "full"})
case("output/broken-pipe-at-exit", "x.py", "print('x')\n", fds={1: "broken"})
case("output/broken-pipe-flush", "x.py", "print('x', flush=True)\n", fds={1: "broken"})
case("output/broken-pipe-stderr", "x.py", "import sys\nprint('x', file=sys.stderr)\nprint('on')\n", fds={2: "broken"})
case("output/broken-pipe-and-exit-code", "x.py", "import sys\nprint('x')\nsys.exit(3)\n", fds={1: "broken"})
shell("output/head", "python3 x.py 2> err | head -1; echo ${PIPESTATUS[0]}; cat err", "for i in range(100000):\n    print(i)\n")
shell("output/head-sigpipe-default", "python3 x.py | head -1; echo ${PIPESTATUS[*]}", "import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\nfor i in range(100000):\n    print(i)\n")
shell("output/pipeline-of-three", "python3 a.py | python3 b.py | python3 b.py", files={"a.py": "for i in range(5):\n    print(i)\n", "b.py": "import sys\nfor line in sys.stdin:\n    print(int(line) * 2)\n"})
shell("output/command-substitution", "x=$(python3 x.py); echo \"[$x] $?\"", "print('a')\nprint('b')\nraise SystemExit(4)\n")
shell("output/background-holds-nothing", "cat < <(python3 x.py)", "print('done')\n")
