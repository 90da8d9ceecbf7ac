"""Signals and endings: what reaches the worker, and how the launcher ends."""

import glob
import os
import resource
import signal
import subprocess
import time

from harness import proc
from harness.proc import until
from harness.test import Skip, check, describe, equal, test

WAIT = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\nprint('end')\n"


def waiting(w, source=WAIT, waits=True, **more):
    """A warm run whose script has said that it is there, and waits; gives it and its worker."""
    child = w.start(w.script("wait.py", source), fds={0: "pipe"}, **more)
    child.expect(b"ready\n")
    worker = w.worker(child)
    if waits:
        proc.wait_blocked(worker)
    return child, worker


@test("launcher-killed/worker-goes-at-once", each=True)
def launcher_killed(w):
    w.prime()
    zygote = w.zygote()
    for source in (WAIT, "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nprint('ready', flush=True)\nwhile True:\n    signal.sigwait([signal.SIGTERM])\n",
                   "print('ready', flush=True)\nwhile True:\n    pass\n"):
        child, worker = waiting(w, source, "pass" not in source)
        handle = os.pidfd_open(worker)
        child.kill(signal.SIGKILL)
        proc.wait_handle(handle, "the worker of a launcher that was killed", 2)
        os.close(handle)
        child.finish(5)
        equal(child.end, "signal KILL", "ending")
    until(lambda: not [p for p in proc.children(zygote) if proc.state(p) == "Z"], "the dead to be reaped")
    equal(w.zygote(), zygote, "zygote")
    w.warm()


@test("launcher-killed/while-the-worker-is-stopped")
def killed_while_stopped(w):
    w.prime()
    child, worker = waiting(w)
    os.kill(worker, signal.SIGSTOP)
    equal(child.stopped(), signal.SIGSTOP, "the launcher stops too")
    child.kill(signal.SIGKILL)
    proc.wait_end(worker, "the stopped worker")
    equal(child.finish().end, "signal KILL", "ending")


@test("launcher-killed/grandchildren-as-cold")
def grandchildren(w):
    """kill -9 of a cold python3 leaves its children alone; so does ours."""
    w.prime()
    child, worker = waiting(w, "import os, sys\nif os.fork() == 0:\n    sys.stdin.readline()\n    os._exit(0)\nprint('ready', flush=True)\nimport signal\nsignal.pause()\n")
    below = until(lambda: proc.children(worker), "a child of the worker")[0]
    child.kill(signal.SIGKILL)
    proc.wait_end(worker, "the worker")
    check(not proc.gone(below), "the script's child lives on")
    child.send(b"\n")
    proc.wait_end(below, "the script's child")


TERMINATING = ("HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "ALRM", "ABRT", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS", "VTALRM", "PROF", "XCPU", "IO", "PWR", "STKFLT")


@test("sent/to-the-launcher", each=True)
def sent(w):
    """Default actions: the worker dies of it, and the launcher of the same."""
    w.prime()
    for name in TERMINATING:
        number = getattr(signal, "SIG" + name, None)
        if number is None:
            continue
        child, worker = waiting(w, "import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\n" + WAIT)
        child.kill(number)
        end = child.finish().end
        equal(end.replace(" core", ""), "signal " + name, "ending after SIG" + name)
        check(proc.gone(worker), "the worker is gone")


@test("sent/to-the-worker", each=True)
def to_the_worker(w):
    """The worker is killed from outside: the launcher dies of the same signal."""
    w.prime()
    for name in TERMINATING + ("KILL", "PIPE"):
        number = getattr(signal, "SIG" + name, None)
        if number is None:
            continue
        child, worker = waiting(w, "import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\n" + WAIT)
        os.kill(worker, number)
        equal(child.finish().end.replace(" core", ""), "signal " + name, "ending after SIG" + name)


@test("sent/handled-by-the-script", each=True)
def handled(w):
    w.prime()
    names = ("HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "CONT", "WINCH", "ALRM", "TSTP", "TTIN", "TTOU", "URG", "IO", "CHLD", "RTMIN", "RTMAX")
    source = "import os, signal, sys\nfor n in %r:\n    signal.signal(getattr(signal, 'SIG' + n), lambda s, f: os.write(1, b'got %%d\\n' %% s))\nprint('ready', flush=True)\nsys.stdin.readline()\n" % (names,)
    child, _ = waiting(w, source)
    for name in names:
        number = getattr(signal, "SIG" + name)
        child.kill(number)
        child.expect(b"got %d\n" % number)
    child.send(b"\n")
    equal(child.finish().end, "exit 0", "ending")


@test("sent/keyboard-interrupt", each=True)
def interrupt(w):
    w.prime()
    child, _ = waiting(w)
    child.kill(signal.SIGINT)
    child.finish()
    equal(child.end, "signal INT", "ending")
    check(b"KeyboardInterrupt" in child.err, "a traceback", child.err)
    child, _ = waiting(w, "import sys\nprint('ready', flush=True)\ntry:\n    sys.stdin.readline()\nexcept KeyboardInterrupt:\n    sys.exit(42)\n")
    child.kill(signal.SIGINT)
    equal(child.finish().end, "exit 42", "ending")


@test("sent/stop-and-continue", each=True)
def stop_and_continue(w):
    w.prime()
    child, worker = waiting(w)
    for number in (signal.SIGTSTP, signal.SIGSTOP, signal.SIGTTIN, signal.SIGTTOU):
        if number == signal.SIGSTOP:
            # Nobody can pass that on; but the launcher stands still, and goes on as if nothing was.
            child.kill(number)
            equal(child.stopped(), number, "stopped by")
        else:
            # Without a terminal the group may be orphaned, and then these three do nothing (POSIX).
            orphaned = os.getsid(child.pid) == os.getpgid(child.pid)
            child.kill(number)
            if orphaned:
                continue
            equal(child.stopped(), number, "stopped by")
            until(lambda: proc.state(worker) == "T", "the worker's stop")
        child.kill(signal.SIGCONT)
        until(lambda: proc.state(worker) != "T" and proc.state(child.pid) != "T", "both to go on")
    child.send(b"\n")
    equal((child.finish().end, child.out), ("exit 0", b"end\n"), "ending")


@test("sent/worker-stops-itself", each=True)
def stops_itself(w):
    w.prime()
    child = w.start(w.script("stop.py", "import os, signal\nfor i in range(3):\n    os.kill(os.getpid(), signal.SIGSTOP)\nprint('end')\n"))
    for _ in range(3):
        equal(child.stopped(), signal.SIGSTOP, "stopped by")
        child.kill(signal.SIGCONT)
    equal((child.finish().end, child.out), ("exit 0", b"end\n"), "ending")


@test("sent/worker-continued-from-outside")
def continued_outside(w):
    w.prime()
    child, worker = waiting(w)
    os.kill(worker, signal.SIGSTOP)
    equal(child.stopped(), signal.SIGSTOP, "stopped by")
    os.kill(worker, signal.SIGCONT)
    until(lambda: proc.state(child.pid) != "T", "the launcher to go on")
    child.send(b"\n")
    equal(child.finish().end, "exit 0", "ending")


@test("sent/before-the-hand-off")
def before_hand_off(w):
    """Signals that come while a launcher still negotiates belong to whoever runs the script then."""
    w.prime()
    zygote = w.zygote()
    # Not SIGINT: one that comes while CPython starts is exit 1, death, or lost, as it falls.
    for name in ("TERM", "HUP", "USR1", "QUIT", "ALRM"):
        proc.kill(zygote, signal.SIGSTOP)
        until(lambda: proc.state(zygote) == "T", "the stop")
        child = w.start(w.script("once.py", "import sys\nopen('ran', 'a').write('x')\nsys.stdin.readline()\n"), fds={0: "pipe"})
        until(lambda: int(proc.status(child.pid, "SigBlk") or "0", 16) & 1, "the launcher's wait")
        child.kill(getattr(signal, "SIG" + name))
        proc.kill(zygote, signal.SIGCONT)
        end = child.ended().replace(" core", "")
        equal(end, "signal " + name, "ending after SIG%s (%s)" % (name, w.route(child)))
        w.settle()
        w.prime()
        zygote = w.zygote()
    check(len(w.text("ran")) <= 5, "runs of the script", w.text("ran"))


@test("sent/many-at-once")
def many(w):
    """Real-time signals queue: all that were sent arrive, in order."""
    w.prime()
    number = signal.SIGRTMIN + 3
    child, _ = waiting(w, "import signal, sys, os\nr, wr = os.pipe()\nos.set_blocking(wr, False)\nsignal.set_wakeup_fd(wr)\nsignal.signal(%d, lambda *a: None)\nprint('ready', flush=True)\ngot = b''\nwhile len(got) < 50:\n    got += os.read(r, 50)\nprint(len(got))\n" % number)
    for _ in range(50):
        child.kill(number)
    equal((child.finish().end, child.out), ("exit 0", b"50\n"), "ending")


@test("endings/all-codes", each=True, seconds=60)
def codes(w):
    w.prime()
    script = w.script("exit.py", "import sys\nsys.exit(int(sys.argv[1]))\n")
    for code in range(0, 256, 8 if w.quick else 1):
        child = w.call(script, str(code))
        w.expect(child, "warm", b"", "exit %d" % code)


@test("endings/other-codes", each=True)
def other_codes(w):
    w.prime()
    for source, end in (("import sys\nsys.exit('text')", "exit 1"), ("raise SystemExit(256 + 7)", "exit 7"), ("raise SystemExit(-1)", "exit 255"), ("1 / 0", "exit 1"), ("import os\nos._exit(9)", "exit 9"),
                        ("syntax error", "exit 1"), ("import os\nos.execv('/bin/sh', ['sh', '-c', 'exit 21'])", "exit 21"), ("import os\nos.kill(os.getpid(), 9)", "signal KILL"),
                        ("import atexit, os\natexit.register(os._exit, 17)", "exit 17"), ("import signal\nsignal.alarm(0)\nsignal.setitimer(signal.ITIMER_REAL, 0.001)\nsignal.pause()", "signal ALRM")):
        w.expect(w.call(w.script("end.py", source + "\n")), "warm", b"", end)


def core_files(w):
    return sorted(glob.glob(w.work + "/core*"))


@test("endings/core-dump", each=True)
def core(w):
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        pattern = f.read().strip()
    if "/" in pattern or "|" in pattern or not pattern.startswith("core"):
        raise Skip("core_pattern is " + pattern)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard == 0:
        raise Skip("no core dumps here")

    def before():
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    w.prime(before=before)
    for number in ("ABRT", "SEGV", "QUIT"):
        child = w.call(w.script("die.py", "import os, signal\nos.kill(os.getpid(), signal.SIG%s)\n" % number), before=before)
        w.expect(child, "warm", b"", "signal %s core" % number)
        found = core_files(w)
        equal(len(found), 1, "core files after SIG" + number)
        check(os.path.getsize(found[0]) > 1 << 20, "it is the script's, not the launcher's small one", os.path.getsize(found[0]))
        os.unlink(found[0])
    child = w.call(w.script("die.py", "import os\nos.abort()\n"), before=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, hard)))
    w.expect(child, "warm", b"", "signal ABRT")
    equal(core_files(w), [], "core files without leave")


@test("endings/zombies", each=True)
def zombies(w):
    w.prime()
    zygote = w.zygote()
    for _ in range(50 if w.quick else 200):
        w.warm()
    until(lambda: not [p for p in proc.children(zygote) if proc.state(p) == "Z"], "no zombie below the zygote", 3)
    check(len(proc.children(zygote)) <= 1, "at most a spare worker", [proc.show(p) for p in proc.children(zygote)])


@test("endings/daemon", each=True)
def daemon(w):
    """A script that goes into the background: the launcher ends, the daemon lives."""
    w.prime()
    script = w.script("daemon.py", "import os, sys\nif os.fork():\n    os._exit(0)\nos.setsid()\nif os.fork():\n    os._exit(0)\nn = os.open('/dev/null', os.O_RDWR)\nos.dup2(n, 1)\nos.dup2(n, 2)\nopen('daemon', 'w').write(str(os.getpid()))\nsys.stdin.readline()\n")
    child = w.start(script, fds={0: "pipe"})
    equal(child.ended(), "exit 0", "ending")
    pid = int(until(lambda: w.text("daemon"), "the daemon"))
    w.warm()
    check(not proc.gone(pid), "the daemon lives")
    child.close(0)
    proc.wait_end(pid, "the daemon")


# -- pipes

@test("pipes/script-closes-its-output", each=True)
def closes_output(w):
    """The reader sees the end while the script runs on."""
    w.prime()
    child = w.start(w.script("close.py", "import os, sys\nprint('all', flush=True)\nos.close(1)\nos.close(2)\nsys.stdin.readline()\nos._exit(7)\n"), fds={0: "pipe"})
    child.expect_eof(1, 5)
    child.expect_eof(2, 5)
    equal(child.out, b"all\n", "output")
    check(child.status is None, "it runs on")
    child.send(b"\n")
    equal(child.ended(), "exit 7", "ending")
    equal(w.route(child), "warm", "route")


@test("pipes/script-closes-its-input", each=True)
def closes_input(w):
    """The writer gets EPIPE while the script runs on."""
    w.prime()
    r, wr = os.pipe()
    child = w.start(w.script("close.py", "import os\nos.close(0)\nprint('closed', flush=True)\nos.read(5, 1)\n"), fds={0: "pipe", 5: r})
    child.expect(b"closed\n")
    try:
        child.send(b"x")
        check(False, "EPIPE for the writer")
    except BrokenPipeError:
        pass
    os.close(r)
    os.close(wr)
    equal(child.finish().end, "exit 0", "ending")
    equal(w.route(child), "warm", "route")


@test("pipes/other-descriptors-are-not-held")
def other_descriptors(w):
    w.prime()
    r, wr = os.pipe()
    child = w.start(w.script("close.py", "import os, sys\nos.write(9, b'x')\nos.close(9)\nprint('closed', flush=True)\nsys.stdin.readline()\n"), fds={0: "pipe", 9: wr})
    os.close(wr)
    child.expect(b"closed\n")
    equal((os.read(r, 9), os.read(r, 9)), (b"x", b""), "what the pipe says")
    os.close(r)
    child.send(b"\n")
    equal(child.finish().end, "exit 0", "ending")


@test("pipes/head", each=True)
def head(w):
    w.prime()
    log = w.script("lines.py", "i = 0\nwhile True:\n    print(i)\n    i += 1\n")
    child = w.call("-c", "python3 %s 2>/dev/null | head -n 1; echo done" % log, program="bash", seconds=10)
    equal((child.out, child.end), (b"0\ndone\n", "exit 0"), "output")
    equal(w.route(child), "warm", "route")


@test("pipes/closed-from-the-start", each=True)
def closed(w):
    """Closed 0, 1, 2, each and all, end as with the real interpreter."""
    w.prime()
    script = w.script("closed.py", "import os\ndef there(n):\n    try:\n        os.fstat(n)\n        return 1\n    except OSError:\n        return 0\nopen('seen', 'w').write(str([there(i) for i in range(3)]))\n")
    for gone in ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)):
        fds = {n: None for n in gone}
        real = w.call(script, fds=fds, program=w.interpreter.path)
        seen = w.text("seen")
        ours = w.call(script, fds=fds)
        equal((ours.end, w.text("seen")), (real.end, seen), "closed %r (%s)" % (gone, w.route(ours)))
        equal(w.route(ours), "warm", "route")


@test("pipes/closed-with-modules-from-startup", each=True)
def closed_startup(w):
    """As above, with start-up code that has imported modules which keep a stream or a thread in mind."""
    w.script("site/usercustomize.py", "import threading, random, logging\n")
    w.changes = {"PYTHONPATH": w.work + "/site"}
    script = w.script("closed.py", "import os, sys, threading\nopen('seen', 'w').write(repr([s is None for s in (sys.stdin, sys.stdout, sys.stderr)]) + threading.current_thread().name)\n")
    w.prime()
    for gone in ((), (0,), (1,), (2,), (0, 1, 2)):
        child = w.call(script, fds={n: None for n in gone})
        w.expect(child, "warm", None)
        equal(w.text("seen"), repr([n in gone for n in range(3)]) + "MainThread", "streams with %r closed" % (gone,))


@test("pipes/stop-status-for-the-parent")
def parent_status(w):
    """A parent that waits with WUNTRACED and WCONTINUED sees what it would see of a cold run."""
    w.prime()
    child, _ = waiting(w)
    child.kill(signal.SIGSTOP)
    equal(child.stopped(), signal.SIGSTOP, "stopped by")
    child.kill(signal.SIGCONT)
    info = os.waitid(os.P_PID, child.pid, os.WCONTINUED)
    equal(info.si_code, os.CLD_CONTINUED, "what the parent hears")
    child.kill(signal.SIGTERM)
    equal(describe(os.waitpid(child.pid, 0)[1]), "signal TERM", "ending")
    child.status = 15


def interrupted_early(w, engine):
    """SIGINT at any moment after the call ends the run, as it does cold, and somebody is told: it is never lost."""
    w.engine = engine
    w.prime()
    # Whoever runs us in the background has it ignored, and so would they.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Not one long wait: a signal just before it begins would be seen at its end only, by CPython as well.
    script = w.script("early.py", "import os, time\nos.write(1, b'S')\nwhile True:\n    time.sleep(0.01)\n")
    warm = 0
    for step in range(60):
        env = w.env()
        # By vfork: when it is there, it is the shim already.
        child = subprocess.Popen([w.shims + "/python3", script], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        w.known.add(child.pid)
        moment = time.monotonic_ns() + step * 60_000
        while time.monotonic_ns() < moment:
            pass
        child.send_signal(signal.SIGINT)
        handle = os.pidfd_open(child.pid)
        try:
            proc.wait_handle(handle, "a run that was interrupted at step %d" % step, 10)
        finally:
            os.close(handle)
            child.kill()
            out, err = child.communicate()
        warm += "route=warm" in w.text(env["PYZY_LOG"])
        check("route=fallback" not in w.text(env["PYZY_LOG"]), "a fallback")
        told = child.returncode == 1 and err.endswith(b"KeyboardInterrupt\n") and not out
        check(child.returncode == -signal.SIGINT or told, "step %d: %s, %r, %r" % (step, child.returncode, out, err[-400:]))
    check(warm > 10, "warm runs: %d" % warm)


for name in ("restore", "fork"):
    @test("interrupted-early/%s" % name, each=True)
    def early(w, name=name):
        interrupted_early(w, name)
