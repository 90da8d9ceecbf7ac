"""Signals: inherited, sent to the launcher, sent by the script to itself; stops and deaths."""

from harness.case import ANY, case, shell

ALL = """
    import signal
    for s in sorted(signal.valid_signals()):
        h = signal.getsignal(s)
        print(s, getattr(h, "__name__", h))
    print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), sorted(signal.sigpending()))
    print([l for l in open("/proc/self/status") if l.startswith(("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"))])
    print([signal.getitimer(i) for i in (0, 1, 2)], signal.set_wakeup_fd(-1), signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
case("signals/dispositions", "x.py", ALL)
for name in ("HUP", "INT", "QUIT", "PIPE", "CHLD", "USR1", "TERM", "TSTP", "XFSZ", "ALRM", "RTMIN"):
    case("signals/ignored-" + name, "x.py", ALL, ignore=(name,))
case("signals/ignored-several", "x.py", ALL, ignore=("HUP", "INT", "QUIT"))
case("signals/ignored-by-children", "x.py", "import subprocess\nsubprocess.call(['grep', 'SigIgn', '/proc/self/status'])\n", ignore=("HUP", "USR2"))
for name in ("USR1", "TERM", "CHLD", "INT"):
    case("signals/blocked-" + name, "x.py", ALL, block=(name,))
case("signals/blocked-several", "x.py", ALL, block=("HUP", "USR2", "ALRM", "PIPE"))
case("signals/blocked-by-children", "x.py", "import subprocess\nsubprocess.call(['grep', 'SigBlk', '/proc/self/status'])\n", block=("USR1",))
case("signals/ignored-chld-wait", "x.py", "import subprocess\np = subprocess.Popen(['true'])\nprint(p.wait())\n", ignore=("CHLD",))
shell("signals/nohup", "nohup python3 x.py 2>/dev/null", "import signal\nprint(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)\n", needs=("nohup",))
shell("signals/background-ignores-int", "python3 x.py & wait", "import signal\nprint(signal.getsignal(signal.SIGINT) == signal.SIG_IGN, signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN)\n")

for name in ("TERM", "KILL", "HUP", "USR1", "USR2", "ALRM", "QUIT", "ABRT", "SEGV", "PIPE", "VTALRM", "XCPU", "SYS", "BUS", "FPE", "ILL", "TRAP", "INT", "CHLD", "URG", "WINCH", "IO", "RTMIN", "RTMAX"):
    case("signals/self-" + name, "x.py", "import os, signal\nprint('before', flush=True)\nos.kill(os.getpid(), signal.SIG%s)\nprint('after')\n" % name)
case("signals/raise-signal", "x.py", "import signal\nprint('x', flush=True)\nsignal.raise_signal(signal.SIGTERM)\n")
case("signals/kill-after-default-int", "x.py", "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nos.kill(os.getpid(), signal.SIGINT)\n")
case("signals/handler-and-self", "x.py", "import os, signal\nsignal.signal(signal.SIGUSR1, lambda n, f: print('handled', n, f.f_code.co_name))\nos.kill(os.getpid(), signal.SIGUSR1)\nprint('after')\n")
case("signals/keyboard-interrupt-caught", "x.py", "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    while True:\n        pass\nexcept KeyboardInterrupt:\n    print('caught')\n")
case("signals/keyboard-interrupt-raised", "x.py", "import atexit\natexit.register(print, 'atexit')\nraise KeyboardInterrupt\n")
case("signals/keyboard-interrupt-subclass", "x.py", "class K(KeyboardInterrupt):\n    pass\nraise K('mine')\n")
case("signals/keyboard-interrupt-in-finally", "x.py", "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    while True:\n        pass\nfinally:\n    print('finally')\n")
case("signals/alarm", "x.py", "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\nsignal.pause()\n")
case("signals/alarm-handler", "x.py", "import signal\ndef h(n, f):\n    raise TimeoutError('late')\nsignal.signal(signal.SIGALRM, h)\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\nsignal.pause()\n")
case("signals/sigwait", "x.py", "import signal, os\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\nos.kill(os.getpid(), signal.SIGUSR1)\nprint(signal.sigwait([signal.SIGUSR1]))\n")
case("signals/wakeup-fd", "x.py", "import signal, os\nr, w = os.pipe()\nos.set_blocking(w, False)\nsignal.set_wakeup_fd(w)\nsignal.signal(signal.SIGUSR1, lambda *a: None)\nos.kill(os.getpid(), signal.SIGUSR1)\nprint(os.read(r, 9))\n")
case("signals/sigchld-handler", "x.py", "import signal, subprocess\nsignal.signal(signal.SIGCHLD, lambda *a: print('child'))\nprint(subprocess.Popen(['true']).wait())\n")
case("signals/thread-pthread-kill", "x.py", "import signal, threading\nsignal.signal(signal.SIGUSR1, lambda *a: print('main', threading.current_thread() is threading.main_thread()))\nsignal.pthread_kill(threading.get_ident(), signal.SIGUSR1)\n")
case("signals/segfault", "x.py", "import ctypes\nprint('before', flush=True)\nctypes.string_at(1)\n")
case("signals/abort", "x.py", "import os\nprint('lost')\nos.abort()\n")
case("signals/core-flag", "x.py", "import os\nos.abort()\n", rlimit={"CORE": (-1, -1)}, drop=("core",))

# A signal must find the script blocked, or the traceback depends on timing: a
# grandchild watches /proc/PID/syscall and says "ready" when the script waits
# in read(0), select, pause, nanosleep, wait4, pselect6 or clock_nanosleep
# (202, futex, only for those who ask: it is also how a thread waits for the GIL).
WATCH = """
import os
def when_blocked(more=()):
    pid = os.getpid()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    middle = hex(os.getpid())
    if os.fork():
        os._exit(0)
    os.setpgid(0, 0)  # what is sent to our group is not for us
    try:
        while True:
            with open("/proc/%d/syscall" % pid) as f:
                words = f.read().split()
            if words[1:2] == [middle]:
                continue  # the wait for our parent, above
            if words[0] in ("23", "34", "35", "61", "270", "230", *more) or words[:2] == ["0", "0x0"]:
                break
        os.write(1, b"ready\\n")
    finally:
        os._exit(0)
"""
READY = "from watch import when_blocked\nwhen_blocked()\n"


def sent(name, source, *steps, **more):
    """A case in which the caller acts once the script waits."""
    case("signals/" + name, "x.py", files={"x.py": source, "watch.py": WATCH}, steps=(("expect", b"ready"), *steps), **more)


WAIT = "import time\n" + READY + "while True:\n    time.sleep(100)\n"
for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "KILL", "RTMIN"):
    sent("sent-" + name, WAIT, ("signal", name))
for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH", "ALRM", "PIPE", "CONT", "CHLD", "URG", "RTMIN"):
    sent("sent-%s-handled" % name, """
        import signal
        from watch import when_blocked
        when_blocked()
        signal.signal(signal.SIG%s, lambda number, frame: print("got", signal.Signals(number).name, frame.f_lineno))
        signal.pause()
        print("end")
    """ % name, ("signal", name))
sent("sent-PIPE-is-ignored", READY + "print(input())\n", ("signal", "PIPE"), ("send", b"alive\n"), fds={0: "pipe"})
sent("sent-many", "import signal\nsignal.signal(signal.SIGUSR1, lambda *a: print('one', flush=True))\n" + READY + "for i in range(5):\n    signal.pause()\n    if i < 4:\n        when_blocked()\n",
     *[s for i in range(4) for s in (("signal", "USR1"), ("expect", b"one(?s:.*)ready"))], ("signal", "USR1"))
sent("sent-term-exit-code", "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(42))\n" + READY + "signal.pause()\n", ("signal", "TERM"))
sent("sent-term-atexit", "import signal, sys, atexit\n" + READY + "atexit.register(print, 'bye')\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(0))\nsignal.pause()\n", ("signal", "TERM"))
sent("sent-int-during-sleep", "import time\n" + READY + "try:\n    time.sleep(1000)\nexcept KeyboardInterrupt:\n    print('interrupted')\n    raise SystemExit(5)\n", ("signal", "INT"))
sent("sent-int-during-input", READY + "input()\n", ("signal", "INT"), fds={0: "pipe"})
sent("sent-int-during-readline", "import sys\n" + READY + "for line in sys.stdin:\n    pass\n", ("signal", "INT"), fds={0: "pipe"})
sent("sent-int-during-subprocess", "import subprocess\n" + READY + "subprocess.call(['sleep', '100'])\n", ("group", "INT"), route=ANY)
sent("sent-int-to-the-group", WAIT, ("group", "INT"), route=ANY)
sent("sent-term-to-the-group-with-children", "import subprocess\np = subprocess.Popen(['sleep', '100'])\n" + READY + "p.wait()\n", ("group", "TERM"), route=ANY)
sent("ignored-then-sent", "import signal, os\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "print(input())\n", ("signal", "TERM"), ("send", b"alive\n"), fds={0: "pipe"})
sent("inherited-ignore-then-sent", READY + "print(input())\n", ("signal", "INT"), ("signal", "HUP"), ("send", b"alive\n"), ignore=("INT", "HUP"), fds={0: "pipe"})
sent("blocked-then-unblocked", "import signal, time\n" + READY + "print(input(), flush=True)\nend = time.monotonic() + 5\nwhile signal.SIGUSR1 not in signal.sigpending() and time.monotonic() < end: pass\nsignal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])\nprint('never')\n", ("signal", "USR1"), ("send", b"go\n"), block=("USR1",), fds={0: "pipe"})
sent("sent-tstp", READY + "print(input())\n", ("signal", "TSTP"), ("stopped",), ("signal", "CONT"), ("send", b"on\n"), fds={0: "pipe"}, route=ANY)
sent("sent-stop", READY + "print(input())\n", ("signal", "STOP"), ("stopped",), ("signal", "CONT"), ("send", b"on\n"), fds={0: "pipe"})

case("signals/stop-self", "x.py", "import os, signal\nprint('before', flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)\nprint('after')\n", steps=(("expect", b"before"), ("stopped",), ("signal", "CONT")))
case("signals/stop-self-twice", "x.py", "import os, signal\nfor i in range(2):\n    print('before', flush=True)\n    os.kill(os.getpid(), signal.SIGSTOP)\nprint('after')\n",
     steps=(("expect", b"before"), ("stopped",), ("signal", "CONT"), ("expect", b"before"), ("stopped",), ("signal", "CONT")))
case("signals/stop-self-then-killed", "x.py", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nprint('after')\n", steps=(("stopped",), ("signal", "KILL")))
case("signals/tstp-self", "x.py", "import os, signal\nprint('before', flush=True)\nos.kill(os.getpid(), signal.SIGTSTP)\nprint('after')\n", steps=(("expect", b"before"), ("stopped",), ("signal", "CONT")), route=ANY)
STATUS = "; echo status $?"
shell("signals/shell-sees-int", "python3 x.py" + STATUS, "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n", normal=((r"(?s)Traceback.*KeyboardInterrupt", ""),))
shell("signals/shell-sees-term", "python3 x.py" + STATUS, "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n", normal=((r"line \d+: +\d+ ", ""),))
shell("signals/shell-sees-segv", "(ulimit -c 0; python3 x.py" + STATUS + ")", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", normal=((r"line \d+: +\d+ ", ""),))
shell("signals/timeout", "timeout -s TERM 0.5 python3 x.py" + STATUS, "print('ready', flush=True)\nwhile True:\n    pass\n")
shell("signals/timeout-kill", "timeout -s KILL 0.5 python3 x.py" + STATUS, "import signal\nprint('ready', flush=True)\nsignal.pause()\n", normal=((r"line \d+: +\d+ ", ""),))
shell("signals/kill-0-reaches-the-group", "trap 'echo trapped' TERM\npython3 x.py\necho status $?", "import os, signal\nsignal.signal(signal.SIGTERM, lambda *a: print('script', flush=True))\nos.kill(0, signal.SIGTERM)\n", route=ANY, gap={"fork": "without a terminal the worker has a process group of its own"})
SLEEP = "import time\nprint('ready', flush=True)\ntime.sleep(1000)\n"
shell("signals/kill-background-job", "python3 x.py > out & while ! grep -q ready out 2>/dev/null; do :; done; kill %1; wait %1" + STATUS, SLEEP)
shell("signals/kill-9-background-job", "python3 x.py > out & while ! grep -q ready out 2>/dev/null; do :; done; kill -9 $!; wait $!" + STATUS, SLEEP, normal=((r"line \d+: +\d+ ", ""),))
shell("signals/worker-gone-means-pipe-closed", "{ python3 x.py & echo $! > pid; wait $!; } 2>/dev/null | { read line; echo $line; kill -9 $(cat pid); cat; echo closed; }", SLEEP, drop=("pid",))
shell("signals/parent-death-signal", "setpriv --pdeathsig TERM python3 x.py", "import ctypes\nn = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(n))\nprint(n.value)\n", route=ANY, needs=("setpriv",))
