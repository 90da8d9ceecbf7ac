"""Processes that a script starts: subprocess, fork, exec, multiprocessing, and python3 again."""

from harness.case import ANY, case, shell

case("children/return-codes", "x.py", "import subprocess\nprint([subprocess.call(['sh', '-c', 'exit %d' % n]) for n in (0, 1, 7, 255)])\nprint(subprocess.call(['sh', '-c', 'kill -9 $$']), subprocess.call(['sh', '-c', 'kill -15 $$']))\n")
case("children/check-output", "x.py", "import subprocess\nprint(subprocess.check_output(['echo', 'hi'], text=True))\ntry:\n    subprocess.run(['false'], check=True)\nexcept subprocess.CalledProcessError as e:\n    print(e)\n")
case("children/communicate", "x.py", "import subprocess\np = subprocess.Popen(['cat'], stdin=-1, stdout=-1, stderr=-1)\nprint(p.communicate(b'through cat'), p.returncode)\n")
case("children/os-system", "x.py", "import os\nprint(os.system('exit 3'), os.WEXITSTATUS(os.system('exit 4')), os.system('kill -9 $$'))\n")
case("children/popen", "x.py", "import os\nwith os.popen('echo hi; exit 2') as p:\n    print(p.read())\nprint(os.popen('exit 2').close())\n")
case("children/inherit-streams", "x.py", "import subprocess\nprint('before', flush=True)\nsubprocess.call('cat; echo err >&2', shell=True)\nprint('after')\n", stdin=b"from stdin\n")
case("children/unflushed-order", "x.py", "import os\nprint('buffered')\nos.system('echo child')\n")
case("children/fork-wait", "x.py", "import os\npid = os.fork()\nif pid == 0:\n    os._exit(7)\nprint(os.waitpid(pid, 0)[1], os.waitstatus_to_exitcode(7 << 8))\n")
case("children/fork-returns-through-main", "x.py", "import os, sys\npid = os.fork()\nif pid:\n    print(os.WEXITSTATUS(os.waitpid(pid, 0)[1]), flush=True)\nelse:\n    print('child', flush=True)\n    sys.exit(5)\n")
case("children/fork-exception-in-child", "x.py", "import os\nif os.fork() == 0:\n    1 / 0\nprint(os.WEXITSTATUS(os.wait()[1]))\n")
case("children/fork-atexit-in-both", "x.py", "import os, atexit\natexit.register(lambda: os.write(1, b'atexit\\n'))\nif os.fork():\n    os.wait()\n")
case("children/fork-parent", "x.py", "import os\np = os.getpid()\nif os.fork() == 0:\n    os._exit(os.getppid() == p)\nprint(os.wait()[1])\n")
case("children/fork-buffer-twice", "x.py", "import os\nprint('twice')\nif os.fork():\n    os.wait()\n")
case("children/fork-bystanders", "x.py", "import os\ntry:\n    os.wait()\nexcept ChildProcessError as e:\n    print(e)\nfor i in range(20):\n    if os.fork() == 0:\n        os._exit(i)\nprint(sorted(os.wait()[1] >> 8 for i in range(20)))\n")
case("children/fork-signal-exit", "x.py", "import os, signal\npid = os.fork()\nif pid == 0:\n    signal.pause()\nos.kill(pid, signal.SIGTERM)\nprint(os.waitpid(pid, 0)[1])\n")
case("children/register-at-fork", "x.py", "import os\nos.register_at_fork(before=lambda: print('before', flush=True), after_in_parent=lambda: print('parent', flush=True), after_in_child=lambda: os.write(1, b'child\\n'))\nif os.fork() == 0:\n    os._exit(0)\nos.wait()\n",
     normal=((r"(?s)(parent\n|child\n){2}", "both\n"),))
case("children/pty-fork", "x.py", "import pty, os\npid, fd = pty.fork()\nif pid == 0:\n    os.execvp('tty', ['tty'])\ndata = os.read(fd, 100)\nprint(data.startswith(b'/dev/pts/'), os.waitpid(pid, 0)[1])\n")
case("children/setsid-and-group", "x.py", "import os\nif os.fork() == 0:\n    os.setsid()\n    os._exit(os.getsid(0) == os.getpid())\nprint(os.wait()[1])\n")
case("children/orphan-adopted", "x.py", "import os\nr, w = os.pipe()\nif os.fork() == 0:\n    if os.fork() == 0:\n        os.read(r, 1)\n        os._exit(0)\n    os._exit(0)\nos.wait()\ntry:\n    os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError as e:\n    print(e)\nos.write(w, b'x')\n")
DAEMON = """
    import os, sys, time
    if os.fork():
        sys.exit(3)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    while not os.path.exists("go"):
        time.sleep(0.001)
    with open("daemon.tmp", "w") as f:
        f.write("outlived\\n")
    os.rename("daemon.tmp", "daemon")
"""
shell("children/daemon-outlives", "python3 x.py; echo $?; touch go; while ! [ -e daemon ]; do :; done; cat daemon", DAEMON)
shell("children/background-child-outlives", "python3 x.py; echo $?; touch go; while ! [ -e done ]; do :; done; echo outlived",
      "import subprocess\nsubprocess.Popen('while ! [ -e go ]; do sleep 0.01; done; touch done', shell=True, stdin=-3, stdout=-3, stderr=-3, start_new_session=True)\n", normal=((r"subprocess \d+ is", "subprocess N is"),))
shell("children/child-keeps-the-pipe", "python3 x.py | cat; echo end", "import subprocess\nsubprocess.Popen('sleep 0.1; echo late', shell=True)\nprint('main', flush=True)\n")
shell("children/fork-child-keeps-writing", "python3 x.py | cat", "import os, time\nif os.fork() == 0:\n    time.sleep(0.1)\n    print('late')\nelse:\n    print('main')\n", normal=((r"(?s)(main\n|late\n){2}", "both\n"),))

case("exec/another-program", "x.py", "import os\nprint('before', flush=True)\nos.execvp('echo', ['echo', 'exec', 'ed'])\n")
case("exec/unflushed-lost", "x.py", "import os\nprint('lost')\nos.execvp('echo', ['echo', 'only this'])\n")
case("exec/exit-code", "x.py", "import os\nos.execvp('sh', ['sh', '-c', 'exit 9'])\n")
case("exec/killed", "x.py", "import os\nos.execvp('sh', ['sh', '-c', 'kill -TERM $$'])\n")
case("exec/python-itself", "x.py", "import os, sys\nif len(sys.argv) < 3:\n    os.execv(sys.executable, [sys.executable, *sys.argv, 'again' * len(sys.argv)])\nprint(sys.argv)\n", route=ANY)
case("exec/python-by-name", "x.py", "import os, sys\nif len(sys.argv) < 2:\n    os.execvp('python3', ['python3', 'x.py', 'again'])\nprint(sys.argv)\n")
case("exec/with-environment", "x.py", "import os\nos.execve('/usr/bin/env', ['env'], {'ONLY': 'this'})\n")
case("exec/stdin-kept", "x.py", "import os\nos.execvp('cat', ['cat'])\n", stdin=b"for cat\n")
case("exec/missing", "x.py", "import os\nos.execvp('nosuchprogram', ['x'])\n")
case("exec/signals-kept", "x.py", "import os, signal\nsignal.signal(signal.SIGUSR1, signal.SIG_IGN)\nos.execvp('grep', ['grep', '-E', 'Sig(Ign|Blk|Cgt)', '/proc/self/status'])\n")
case("exec/posix-spawn", "x.py", "import os\np = os.posix_spawn('/bin/echo', ['echo', 'spawned'], os.environ)\nprint(os.waitpid(p, 0)[1])\n")

NESTED = "import subprocess, sys\nn = int(sys.argv[1])\nprint(n, flush=True)\nif n:\n    sys.exit(subprocess.call(['python3', 'x.py', str(n - 1)]))\nsys.exit(6)\n"
case("nested/one", "x.py 1", NESTED, route=["warm", "warm"])
case("nested/five", "x.py 5", NESTED, route=["warm"] * 6)
case("nested/captured", "x.py", files={"x.py": "import subprocess\nprint(subprocess.run(['python3', 'y.py', 'a'], capture_output=True, input=b'in'))\n", "y.py": "import sys\nprint(sys.argv, sys.stdin.read())\nsys.exit(2)\n"}, route=["warm", "warm"])
case("nested/dash-c", "x.py", "import subprocess\nprint(subprocess.check_output(['python3', '-c', 'print(40 + 2)']))\n", route=["warm", "command"])
case("nested/sys-executable", "x.py", "import subprocess, sys\nprint(subprocess.check_output([sys.executable, '-c', 'import sys; print(sys.executable, sys.prefix)']))\n", route=["warm"])
case("nested/changed-environment", "x.py", files={"x.py": "import subprocess, os\nsubprocess.call(['python3', 'y.py'], env={**os.environ, 'NEW': 'n', 'PYTHONHASHSEED': '0'})\n", "y.py": "import os, sys\nprint(os.environ['NEW'], hash('a'))\n"}, route=ANY)
case("nested/parallel", "x.py", files={"x.py": "import subprocess\nps = [subprocess.Popen(['python3', 'y.py', str(i)], stdout=-1) for i in range(8)]\nprint([p.communicate()[0] for p in ps], [p.returncode for p in ps])\n", "y.py": "import sys\nprint(sys.argv[1])\nsys.exit(int(sys.argv[1]))\n"}, route=["warm"] * 9)
case("nested/shell-script", "x.py", files={"x.py": "import os\nos.system('./run.sh a')\n", "run.sh": "echo $1", "y.py": ""}, route=["warm"], normal=((".*run.sh.*", "run.sh"),))
shell("nested/forty-in-a-row", "for i in $(seq 40); do python3 x.py $i || exit; done", "import sys\nprint(sys.argv[1], end=' ')\n")
shell("nested/thirty-at-once", "for i in $(seq 30); do python3 x.py $i > out$i & done; wait; cat out* | sort -n", "import sys\nprint(sys.argv[1])\n", drop=("^out",))
shell("nested/ran-once", "for i in $(seq 10); do python3 x.py; done; wc -l < count", "with open('count', 'a') as f:\n    f.write('x\\n')\n")
shell("nested/xargs", "seq 12 | xargs -n 1 -P 4 python3 x.py | sort -n", "import sys\nprint(int(sys.argv[1]) ** 2)\n")
shell("nested/exit-codes-in-sh", "for i in 0 1 2 120 126 127 128 130 255; do python3 x.py $i; echo $?; done", "import sys\nsys.exit(int(sys.argv[1]))\n")
shell("nested/and-or", "python3 x.py 0 && echo yes; python3 x.py 1 || echo no; if ! python3 x.py 2; then echo failed; fi; set -e; python3 x.py 3; echo never", "import sys\nsys.exit(int(sys.argv[1]))\n")
shell("nested/coproc", "coproc python3 x.py; echo 20 >&${COPROC[1]}; read -r answer <&${COPROC[0]}; echo $answer; eval \"exec ${COPROC[1]}>&-\"; wait", "import sys\nfor line in sys.stdin:\n    print(int(line) + 1, flush=True)\n")

METHODS = """
    import multiprocessing, os
    def square(n):
        return n * n
    if __name__ == "__main__":
        multiprocessing.set_start_method("%s")
        with multiprocessing.Pool(2) as pool:
            print(pool.map(square, range(6)))
        q = multiprocessing.Queue()
        p = multiprocessing.Process(target=q.put, args=("from the child",))
        p.start()
        print(q.get())
        p.join()
        print(p.exitcode, multiprocessing.active_children(), multiprocessing.parent_process())
"""
for method in ("fork", "spawn", "forkserver"):
    case("multiprocessing/" + method, "x.py", METHODS % method, needs=("module:multiprocessing",))
case("multiprocessing/exit-codes", "x.py", "import multiprocessing as m, os, sys, signal\nc = m.get_context('fork')\nps = [c.Process(target=f, args=a) for f, a in ((sys.exit, (3,)), (os._exit, (4,)), (os.abort, ()), (print, ('hi',)))]\n[p.start() for p in ps]\n[p.join() for p in ps]\nprint([p.exitcode for p in ps])\n")
case("multiprocessing/default-method-and-executable", "x.py", "import multiprocessing, multiprocessing.spawn\nprint(multiprocessing.get_start_method(), multiprocessing.spawn.get_executable())\n")
case("multiprocessing/process-pool-executor", "x.py", "from concurrent.futures import ProcessPoolExecutor\nimport math\nif __name__ == '__main__':\n    with ProcessPoolExecutor(2) as e:\n        print(list(e.map(math.factorial, range(5))))\n")
case("multiprocessing/shared-memory", "x.py", "from multiprocessing import shared_memory\ns = shared_memory.SharedMemory(create=True, size=10)\ns.buf[0] = 5\nprint(s.buf[0])\ns.close()\ns.unlink()\n")
case("multiprocessing/manager", "x.py", "import multiprocessing\nif __name__ == '__main__':\n    with multiprocessing.Manager() as m:\n        d = m.dict()\n        d['a'] = 1\n        print(dict(d))\n")
