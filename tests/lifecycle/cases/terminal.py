"""Sessions with a terminal: the zygote lives in the session and leaves with it; keys do what they do cold."""

import fcntl
import os
import re
import signal
import termios

from harness import proc
from harness.proc import until
from harness.test import check, equal, test

PROMPT = rb"@> $"
WAIT = "print('ready', flush=True)\nprint('got', input(), flush=True)\n"


def shell(w, *wrap):
    """An interactive bash on a terminal of its own; gives it at its first prompt."""
    child = w.start("--norc", "--noprofile", "--noediting", "-i", program="bash", env={"PS1": "@> ", "TERM": "dumb", "HISTFILE": ""}, fds={0: "tty", 1: "tty", 2: "tty"}, session=True,
                    before=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), wrap=wrap)
    child.expect(PROMPT, -1)
    return child


def type_line(child, line, pattern=PROMPT):
    """Type a line; gives what came after it, up to the pattern."""
    del child.said[-1][:]
    child.send(line.encode() + b"\n")
    child.expect(re.escape(line.encode()) + rb"\r\n", -1)
    match = child.expect(pattern, -1)
    return match.string[:match.end()]


def primed(w):
    """A shell whose session has a zygote that serves."""
    child = shell(w)

    def warm():
        text = type_line(child, "python3 ok.py")
        check(b"OK\r\n" in text, "output", text)
        return any(line.get("route") == "warm" for line in w.routes(child))
    until(warm, "a warm run in the terminal", 20)
    return child


def waits(w, child, source=WAIT, before=""):
    """Start a script in the foreground and wait until it waits; gives the process that runs it."""
    type_line(child, before + "python3 %s" % w.script("wait.py", source), rb"ready\r\n")
    line = [line for line in w.routes(child) if "route" in line][-1]
    pid = int(line.get("worker") or line["pid"])
    proc.wait_blocked(pid)
    return pid


def last_route(w, child):
    line = [line for line in w.routes(child) if "route" in line][-1]
    return line.get("reason", line["route"])


@test("terminal/zygote-in-the-session", "bash", each=True)
def in_session(w):
    child = primed(w)
    zygote, = w.zygotes()
    fields = proc.stat(zygote)
    equal(int(fields[3]), child.pid, "its session")
    check(int(fields[2]) != child.pid, "its group is its own")
    equal({t for n, t in proc.descriptors(zygote).items() if "pts" in t or "tty" in t}, set(), "descriptors on the terminal")
    handle = os.pidfd_open(zygote)
    child.send(b"exit\n")
    equal(child.ended(), "exit 0", "the shell")
    proc.wait_handle(handle, "the zygote of a session that has ended", 5)
    os.close(handle)
    until(lambda: not w.zygotes(), "nobody")
    equal(w.leftovers(), [], "files")


@test("terminal/leader-killed", "bash", each=True)
def leader_killed(w):
    child = primed(w)
    zygote, = w.zygotes()
    child.kill(signal.SIGKILL)
    proc.wait_end(zygote, "the zygote of a session whose leader was killed", 5)
    equal(child.ended(), "signal KILL", "the shell")


@test("terminal/hang-up", "bash", each=True)
def hang_up(w):
    """The terminal goes away in the middle of a run: everything goes."""
    child = primed(w)
    zygote, = w.zygotes()
    worker = waits(w, child)
    child.close(-1)
    proc.wait_end(worker, "the worker", 5)
    proc.wait_end(zygote, "the zygote", 5)
    child.ended()


@test("terminal/interrupt", "bash", each=True)
def interrupt(w):
    child = primed(w)
    waits(w, child)
    child.send(b"\x03")
    child.expect(PROMPT, -1)
    text = type_line(child, "echo $?")
    check(b"130" in text, "status", text)
    equal(last_route(w, child), "warm", "route")
    text = type_line(child, "python3 ok.py")
    check(b"OK" in text, "the next run", text)
    equal(last_route(w, child), "warm", "route")
    child.send(b"exit\n")
    child.ended()


@test("terminal/quit-key", "bash")
def quit_key(w):
    child = primed(w)
    waits(w, child, before="ulimit -c 0; ")
    child.send(b"\x1c")
    child.expect(PROMPT, -1)
    text = type_line(child, "echo $?")
    check(b"131" in text, "status", text)
    equal(len(w.zygotes()), 1, "zygotes")
    child.send(b"exit\n")
    child.ended()


@test("terminal/stop-and-foreground", "bash", each=True)
def stop_foreground(w):
    child = primed(w)
    worker = waits(w, child)
    members = []
    for _ in range(5):
        child.send(b"\x1a")
        child.expect(rb"Stopped", -1)
        child.expect(PROMPT, -1)
        until(lambda: proc.state(worker) == "T", "the worker's stop")
        members = [pid for pid in proc.descendants(os.getpid()) if proc.stat(pid)[2] == proc.stat(worker)[2]]
        check(b"Stopped" in type_line(child, "jobs"), "jobs")
        type_line(child, "fg", rb"python3")
        until(lambda: all(proc.state(pid) == "S" for pid in members), "worker, launcher and witness to wait again")
    child.send(b"hello\n")
    child.expect(rb"got hello\r\n", -1)
    child.expect(PROMPT, -1)
    child.send(b"exit\n")
    equal(child.ended(), "exit 0", "the shell")


@test("terminal/background-and-kill", "bash", each=True)
def background(w):
    child = primed(w)
    worker = waits(w, child, "import time\nprint('ready', flush=True)\ntime.sleep(1000)\n")
    child.send(b"\x1a")
    child.expect(PROMPT, -1)
    type_line(child, "bg")
    until(lambda: proc.state(worker) != "T", "the worker to go on")
    child.send(b"kill %1; wait %1; echo status $?\n")
    child.expect(rb"status 143\r\n", -1)
    check(proc.gone(worker), "the worker is gone")
    child.send(b"exit\n")
    child.ended()


@test("terminal/stopped-and-continued-as-a-group", "bash", each=True)
def stop_group(w):
    """SIGSTOP reaches all at once, and cannot be held back; so does SIGCONT. A script that ends at once then is a job that ends."""
    child = primed(w)
    os.mkfifo(w.work + "/go")
    go = os.open(w.work + "/go", os.O_RDWR)
    script = w.script("end.py", "print('ready', flush=True)\nopen('go', 'rb', 0).read(1)\n")
    for _ in range(12):
        type_line(child, "python3 %s &" % script, rb"ready\r\n")
        line = [line for line in w.routes(child) if "route" in line][-1]
        equal(line["route"], "warm", "route")
        worker = int(line.get("worker") or line["pid"])
        proc.wait_blocked(worker)
        members = [pid for pid in proc.descendants(os.getpid()) if proc.stat(pid)[2] == proc.stat(worker)[2]]
        child.send(b"kill -STOP -$!\n")
        until(lambda: all(proc.state(pid) == "T" for pid in members), "worker, launcher and witness to stop")
        os.write(go, b"x")
        child.send(b"kill -CONT -$!; wait $!; echo status $?\n")
        equal(child.expect(rb"status (\d+)\r\n", -1).group(1), b"0", "the job's status")
        check(proc.gone(worker), "the worker is gone")
    os.close(go)
    child.send(b"exit\n")
    child.ended()


@test("terminal/stopped-within-a-script", "bash", each=True)
def stop_within(w):
    """The job is a shell's that runs python3: what keeps its group from being orphaned is that shell, not python3."""
    child = primed(w)
    script = w.script("wait.py", WAIT)
    type_line(child, "bash -c 'python3 %s; echo after $?'" % script, rb"ready\r\n")
    line = [line for line in w.routes(child) if "route" in line][-1]
    equal(line["route"], "warm", "route")
    worker = int(line.get("worker") or line["pid"])
    proc.wait_blocked(worker)
    for _ in range(3):
        child.send(b"\x1a")
        child.expect(rb"Stopped", -1)
        child.expect(PROMPT, -1)
        until(lambda: proc.state(worker) == "T", "the worker's stop")
        type_line(child, "bg", rb"&")
        # It reads from the terminal, in the background.
        child.expect(PROMPT, -1)
        until(lambda: proc.state(worker) == "T", "the worker's stop for reading")
        type_line(child, "fg", rb"bash -c")
        until(lambda: proc.state(worker) == "S", "the worker to wait again")
    child.send(b"hello\n")
    child.expect(rb"got hello\r\n", -1)
    child.expect(rb"after 0\r\n", -1)
    child.expect(PROMPT, -1)
    child.send(b"exit\n")
    equal(child.ended(), "exit 0", "the shell")


ORPHAN = """import os, signal, sys
signal.signal(signal.SIGHUP, lambda *_: (open('said', 'a').write('hung up'), os._exit(3)))
print('ready', flush=True)
while os.getppid() == int(sys.argv[1]) or not os.path.exists('go'):
    pass
os.kill(os.getpid(), signal.SIGTSTP)
open('said', 'a').write('going on, ')
try:
    os.read(os.open('/dev/tty', os.O_RDONLY), 1)
except OSError as e:
    open('said', 'a').write('error')
"""


@test("terminal/orphaned-job", "bash", each=True)
def orphaned_job(w):
    """A job whose shell has gone is not stopped by a key, and not for ever by reading from the terminal."""
    child = primed(w)
    script = w.script("orphan.py", ORPHAN)
    type_line(child, "bash -c 'python3 %s $$ & wait' &" % script, rb"ready\r\n")
    line = [line for line in w.routes(child) if "route" in line][-1]
    equal(line["route"], "warm", "route")
    worker = int(line.get("worker") or line["pid"])
    type_line(child, "kill -9 $!; wait $!; echo gone $?", rb"gone 137\r\n")
    open(w.work + "/go", "w").close()
    proc.wait_end(worker, "the script")
    with open(w.work + "/said") as f:
        said = f.read()
    check(said in ("going on, error", "going on, hung up"), "what became of it", said)
    child.send(b"exit\n")
    child.ended()


@test("terminal/stopped-job-of-a-shell-that-ends", "bash", each=True)
def stopped_left(w):
    """Nobody can continue it any more: it is hung up."""
    child = primed(w)
    worker = waits(w, child)
    child.send(b"\x1a")
    child.expect(PROMPT, -1)
    until(lambda: proc.state(worker) == "T", "the worker's stop")
    child.kill(signal.SIGKILL)
    proc.wait_end(worker, "the stopped worker")


@test("terminal/two-sessions", "bash")
def two_sessions(w):
    """Each session has its own zygote."""
    first, second = primed(w), primed(w)
    sessions = sorted(int(proc.stat(z)[3]) for z in w.zygotes())
    equal(sessions, sorted([first.pid, second.pid]), "sessions of the zygotes")
    for child in (first, second):
        child.send(b"exit\n")
        child.ended()
    until(lambda: not w.zygotes(), "both to leave")


@test("terminal/zygote-killed-during-a-run", "bash")
def killed(w):
    w.debris = True
    child = primed(w)
    waits(w, child)
    proc.kill(w.zygotes()[0])
    child.expect(rb"pyzy: worker lost", -1)
    child.expect(PROMPT, -1)
    check(b"125" in type_line(child, "echo $?"), "status")
    child.send(b"exit\n")
    child.ended()


@test("terminal/stop-in-the-first-call", "bash")
def first_call(w):
    """The keys' signals do not hit a zygote that is being started."""
    child = shell(w)
    waits(w, child)
    child.send(b"\x03")
    child.expect(PROMPT, -1)
    equal(last_route(w, child), "no-zygote", "route")
    until(lambda: [p for p in w.pages() if p.state == "ready"], "a zygote")
    check(b"OK" in type_line(child, "python3 ok.py"), "output")
    equal(last_route(w, child), "warm", "route")
    child.send(b"exit\n")
    child.ended()
