"""Terminals: an interactive bash on a pseudo-terminal types what a user would type."""

from cases.signals import WATCH
from harness.case import ANY, terminal

P = ("prompt",)
STATUS = ("echo \"status $?\"", P)
BYE = "exit"
READY = "from watch import when_blocked\nwhen_blocked()\n"
JOB = (r"\[(\d+)\] \d+", r"[\1] PID")


def session(name, source, *steps, files=None, **more):
    """A session: words are typed lines, tuples are steps; x.py and watch.py are there."""
    normal = (JOB, *more.pop("normal", ()))
    leave = [] if more.pop("stays", False) else [BYE]
    terminal("terminal/" + name, [*steps, *leave], files={"x.py": source, "watch.py": WATCH, **(files or {})}, normal=normal, **more)


session("isatty", "import sys, os\nprint([os.isatty(i) for i in range(3)], sys.stdout.line_buffering, sys.stdin.isatty(), os.get_terminal_size())\n", "python3 x.py", P, *STATUS)
session("controlling", "import os\nwith open('/dev/tty', 'r+b', 0) as t:\n    t.write(b'to dev tty\\n')\n    print(os.isatty(t.fileno()), os.tcgetpgrp(0) == os.getpgrp(), os.ctermid(), os.ttyname(0) == os.ttyname(1))\n", "python3 x.py", P)
session("process-group", "import os\nprint(os.getpgrp() == os.tcgetpgrp(1), os.getsid(0) == os.getpgrp())\n", "python3 x.py", P, "python3 x.py | cat", P)
session("session-is-the-shell's", "import os, sys\nprint(os.getsid(0) == int(sys.argv[1]), os.tcgetsid(0) == os.getsid(0) if hasattr(os, 'tcgetsid') else True)\n", "python3 x.py $$", P)
session("ps-tty", "import os\nprint(os.popen('ps -o args= -p %d' % os.getpid()).read(), os.popen('ps -o tty= -p %d' % os.getpid()).read().startswith('pts'))\n", "python3 x.py a b", P)
session("line-buffering", "import time, sys\nprint('one')\nprint('two', end='')\ntime.sleep(0.05)\nprint('three')\nprint('err', file=sys.stderr)\n", "python3 x.py", P)
session("input-prompt", "name = input('name? ')\nprint('hello', name)\n", "python3 x.py", ("expect", rb"name\? "), ("send", b"world\n"), P)
session("input-eof", "try:\n    input('? ')\nexcept EOFError:\n    print('EOF')\n", "python3 x.py", ("expect", rb"\r\n\? "), ("send", b"\x04"), P)
session("input-two-lines", "import sys\nprint(sys.stdin.readline(), sys.stdin.readline())\n" , "python3 x.py", ("send", b"a\n"), ("send", b"b\n"), P, normal=((r"(?s)python3 x\.py.*?(a \r?\n)", r"\1"),), route=ANY)
session("getpass", "import getpass\nprint('got', getpass.getpass())\n", "python3 x.py", ("expect", b"Password: "), ("send", b"secret\n"), P, *STATUS)
session("getpass-redirected", "import getpass\nprint('got', getpass.getpass())\n", "python3 x.py < /dev/null | cat", ("expect", b"Password: "), ("send", b"secret\n"), P)
session("password-then-echo-restored", "import getpass\ngetpass.getpass()\n", "python3 x.py", ("expect", b"Password: "), ("send", b"s\n"), P, "stty -a | grep -o '.echo '", P)
session("raw-mode-one-key", "import termios, tty, sys\nold = termios.tcgetattr(0)\ntty.setcbreak(0)\nprint('key?', flush=True)\nprint('got', sys.stdin.read(1))\ntermios.tcsetattr(0, termios.TCSADRAIN, old)\n", "python3 x.py", ("expect", rb"key\?"), ("send", b"k"), P)
session("foreground-write", "import os\nos.write(os.open('/dev/tty', os.O_WRONLY), b'direct\\n')\n", "python3 x.py > /dev/null", P)

# The kernel sends the signal before it echoes the key (n_tty_receive_signal_char): whether that or a handler's output
# shows first is chance.
NO_KEYS = ((r"\^[CZ\\]", ""),)
session("ctrl-c", "import time\n" + READY + "time.sleep(1000)\n", "python3 x.py", ("expect", b"ready\r\n"), ("send", b"\x03"), P, *STATUS)
session("ctrl-c-caught", "import time\n" + READY + "try:\n    time.sleep(1000)\nexcept KeyboardInterrupt:\n    print('caught')\n", "python3 x.py", ("expect", b"ready\r\n"), ("send", b"\x03"), P, *STATUS, normal=NO_KEYS)
session("ctrl-c-during-input", READY + "input('? ')\n", "python3 x.py", ("expect", b"ready\r\n"), ("send", b"\x03"), P, *STATUS)
session("ctrl-c-stops-the-loop", "import time\n" + READY + "time.sleep(1000)\n", "for i in 1 2 3; do python3 x.py; done", ("expect", b"ready\r\n"), ("send", b"\x03"), P, *STATUS, normal=NO_KEYS)
session("ctrl-c-with-child", "import subprocess\n" + READY + "try:\n    subprocess.call(['sleep', '1000'])\nexcept KeyboardInterrupt:\n    print('interrupted')\n", "python3 x.py", ("expect", b"ready\r\n"), ("send", b"\x03"), P, *STATUS, normal=NO_KEYS)
session("ctrl-c-ignored", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + READY + "print(input())\n", "python3 x.py", ("expect", b"ready\r\n"), ("send", b"\x03"), ("send", b"alive\n"), P, *STATUS)
session("ctrl-c-in-a-pipeline", "import time\n" + READY + "time.sleep(1000)\n", "python3 x.py | cat", ("expect", b"ready\r\n"), ("send", b"\x03"), P, "echo \"${PIPESTATUS[*]}\"", P, normal=((r"\^C|\r\n", ""),))
session("ctrl-backslash", "import time\n" + READY + "time.sleep(1000)\n", "ulimit -c 0; python3 x.py", ("expect", b"ready\r\n"), ("send", b"\x1c"), P, *STATUS)
session("ctrl-backslash-handled", "import signal, time\ncame = []\nsignal.signal(signal.SIGQUIT, lambda *a: (print('quit handled'), came.append(1)))\n" + READY + "while not came:\n    time.sleep(0.01)\n", "python3 x.py", ("expect", b"ready\r\n"), ("send", b"\x1c"), P, *STATUS, normal=NO_KEYS)

STOP = (("expect", b"ready\r\n"), ("send", b"\x1a"), P)
session("ctrl-z-fg", READY + "print('got', input())\n", "python3 x.py", *STOP, *STATUS, "jobs", P, "fg", ("expect", b"python3 x.py"), ("send", b"again\n"), P, *STATUS, "jobs", P)
# bash prints the command before it hands the terminal over and sends SIGCONT: only the script knows when it is in front again.
AGAIN = "import signal\nfrom watch import when_blocked\nsignal.signal(signal.SIGCONT, lambda *a: when_blocked())\n"
session("ctrl-z-twice", AGAIN + READY + "print('got', input())\n", "python3 x.py", *STOP, "fg", *STOP, "fg", ("expect", b"ready\r\n"), ("send", b"again\n"), P, *STATUS)
session("ctrl-z-kill", READY + "input()\n", "python3 x.py", *STOP, "kill %1; fg >/dev/null 2>&1; wait; jobs", P, "echo over", P, normal=((r"(?s)(kill %1[^\n]*\n).*?(@> echo over)", r"\1\2"),))
session("ctrl-z-kill-9", READY + "input()\n", "python3 x.py", *STOP, "kill -9 %1; while jobs | grep -q Stopped; do :; done", P, "echo over", P, normal=((r"(?s)(kill -9[^\n]*\n).*?(@> echo over)", r"\1\2"),))
session("ctrl-z-bg", "import os, time\n" + READY + "while not os.path.exists('go'):\n    time.sleep(0.01)\nopen('done', 'w').close()\n", "python3 x.py", *STOP, "bg", P, "touch go; wait; ls done", P, "jobs", P, normal=((r"(?m)^.*Done.*\r?\n", ""),))
# The child must not read the terminal: the shell waits for the script alone, and a child that is stopped a moment later could take the shell's input.
session("ctrl-z-with-child", "import subprocess\n" + READY + "print(subprocess.call(['sh', '-c', 'while ! [ -e go ]; do sleep 0.01; done; exit 5']))\n", "python3 x.py", *STOP, "touch go; fg", P, *STATUS)
session("ctrl-z-handler", "import signal, time\ncame = []\nsignal.signal(signal.SIGTSTP, lambda *a: (print('tstp'), came.append(1)))\n" + READY + "while not came:\n    time.sleep(0.01)\n", "python3 x.py", ("expect", b"ready\r\n"), ("send", b"\x1a"), P, *STATUS,
        normal=NO_KEYS)
session("ctrl-z-sigcont-handler", "import signal\nsignal.signal(signal.SIGCONT, lambda *a: print('continued'))\n" + READY + "signal.pause()\n", "python3 x.py", *STOP, "fg", P, *STATUS)
session("ctrl-z-pipeline", READY + "import sys\nsys.stderr.write('read ' + input() + '\\n')\n", "python3 x.py | cat", *STOP, "fg", ("expect", b"cat\r\n"), ("send", b"on\n"), P)
session("stop-self", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nprint('continued')\n", "python3 x.py", P, *STATUS, "fg", P, *STATUS)
session("stop-self-tstp", "import os, signal\nos.kill(0, signal.SIGTSTP)\nprint('continued')\n", "python3 x.py", P, *STATUS, "fg", P)
session("background-read-stops", "print('got', input())\n", "python3 x.py &", P, "while ! jobs | grep -q Stopped; do :; done 2>/dev/null; jobs", P, "fg", ("expect", b"python3 x.py\r\n"), ("send", b"typed\n"), P,
        normal=((r"(\r?\n)?\[1\]\+  Stopped[^\n]*\n", ""),))
session("background-runs", "open('out', 'w').write('done')\n", "python3 x.py & wait; cat out; echo", P, normal=((r"(?m)^.*Done.*\r?\n", ""),))
session("background-killed", "import time\nopen('up', 'w').close()\ntime.sleep(1000)\n", "python3 x.py & while ! [ -e up ]; do :; done; kill $!; wait $!", P, *STATUS, normal=((r"(?m)^.*Terminated.*\r?\n", ""),))
session("background-setting-modes-stops", "import termios\ntermios.tcsetattr(0, termios.TCSANOW, termios.tcgetattr(0))\nprint('set')\n", "python3 x.py &", P, "while ! jobs | grep -q Stopped; do :; done 2>/dev/null; fg", P, normal=((r"(\r?\n)?\[1\]\+  Stopped[^\n]*\n", ""),))
session("two-jobs", READY + "import sys\nprint(sys.argv[1], input())\n", "python3 x.py a", *STOP, "python3 x.py b", *STOP, "jobs", P, "fg %1", ("expect", b"x.py a\r\n"), ("send", b"1\n"), P, "fg %2", ("expect", b"x.py b\r\n"), ("send", b"2\n"), P)

session("window-change", "import signal, os\n" + READY + "signal.signal(signal.SIGWINCH, lambda *a: print('winch', os.get_terminal_size()))\nsignal.pause()\n", "python3 x.py", ("expect", b"ready\r\n"), ("resize", 33, 99), P)
session("window-change-default", "import os\n" + READY + "print(input(), os.get_terminal_size())\n", "python3 x.py", ("expect", b"ready\r\n"), ("resize", 40, 132), ("send", b"x\n"), P)
session("hang-up", "import time\n" + READY + "time.sleep(1000)\n", "python3 x.py", ("expect", b"ready\r\n"), ("hang up",), stays=True)
session("hang-up-handled", "import signal, time\n" + READY + "def hup(*a):\n    open('hup', 'w').close()\n    raise SystemExit\nsignal.signal(signal.SIGHUP, hup)\ntime.sleep(1000)\n", "python3 x.py", ("expect", b"ready\r\n"), ("hang up",), ("file", "hup"), stays=True, tree=True)
session("hang-up-with-background-job", "import signal, time\ndef hup(*a):\n    open('hup', 'w').close()\n    raise SystemExit\nsignal.signal(signal.SIGHUP, hup)\n" + READY + "time.sleep(1000)\n", "python3 x.py &", ("expect", b"ready\r\n"), ("hang up",), ("file", "hup"), stays=True)
session("exec-of-an-editor-like-program", "import os\nos.execvp('sh', ['sh', '-c', 'read x; echo got $x; exit 3'])\n", "python3 x.py", ("send", b"typed\n"), P, *STATUS, route=ANY)
session("subshell-with-its-own-jobs", "import subprocess\nsubprocess.call(['bash', '--norc', '--noediting', '-i'], env={'PS1': 'inner> ', 'PATH': '/usr/bin:/bin', 'TERM': 'dumb'})\n", "python3 x.py", ("expect", b"inner> "), ("send", b"echo in''side; exit\n"), P, *STATUS)
session("typed-ahead", "print(input(), input())\n", "python3 x.py", ("send", b"one\ntwo\n"), P, normal=((r"(?s)python3 x\.py.*one two", "one two"),))
session("repl-on-a-terminal", "", "PYTHON_BASIC_REPL=1 python3 -q -S -s -I", ("expect", b">>> "), "print(40 + 2)", ("expect", rb"42\r\n.*>>> "), ("send", b"\x04"), P, route="repl", normal=((r"\x1b\[[?0-9;]*[a-z]", ""), (r"(?m)^\r?\n", "")), until=(3, 13))
session("script-then-i", "x = 41\n", "python3 -i x.py", ("expect", b">>> "), "print(x + 1)", ("expect", rb"42\r\n.*>>> "), ("send", b"\x04"), P, route="interactive", until=(3, 13), normal=((r"\x1b\[[?0-9;]*[a-z]", ""),))
session("nohup", "import signal\nprint(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)\n", "nohup python3 x.py > out 2>/dev/null; cat out", P)
session("setsid-script", "import os\nif os.fork() == 0:\n    os.setsid()\n    try:\n        open('/dev/tty')\n    except OSError as e:\n        print(e.strerror)\n    os._exit(0)\nos.wait()\n", "python3 x.py", P)
session("dev-stdin-and-stdout", "import sys\nprint(open('/dev/stdin').readline(), end='')\nopen('/dev/stdout', 'w').write('to dev stdout\\n')\n", "python3 x.py", ("send", b"line\n"), P, normal=((r"(?s)python3 x\.py.*?line\r?\n(line\r?\n)?", ""),), route=ANY)
