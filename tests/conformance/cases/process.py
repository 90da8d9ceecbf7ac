"""What a process inherits: directory, mask, limits, priority, descriptors, and what ps says about it."""

import os
import resource

from harness.case import ANY, WARM, Directory, Fifo, Link, case, shell
from harness.spawn import no_new_privileges

def may_change_exe():
    """CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE, with which a process may say what it executes."""
    with open("/proc/self/status", encoding="ascii") as f:
        effective = int(next(line for line in f if line.startswith("CapEff")).split()[1], 16)
    return bool(effective & (1 << 21 | 1 << 40))


case("cwd/plain", "x.py", "import os\nprint(os.getcwd(), os.path.abspath('y'), os.readlink('/proc/self/cwd'))\n")
case("cwd/through-a-symlink", "../x.py", files={"x.py": "import os, sys\nprint(os.getcwd(), sys.path[0], os.environ.get('PWD'))\n", "real/y": "", "link": Link("real")}, cwd="link", env={"PWD": "@DIR@/link"})
shell("cwd/deleted", "mkdir gone && cd gone && rmdir ../gone && python3 ../x.py; python3 /proc/$$/cwd/../x.py; python3 \"$OLDPWD/x.py\"", "import os, sys\nprint(sys.argv[0] != '', sys.path[0] != 'x')\ntry:\n    print(os.getcwd())\nexcept OSError as e:\n    print(e)\n", route=ANY,
      normal=((r"(?m)^\S*python3(\.\d+)?: ", "python3: "),))
shell("cwd/deleted-absolute", "mkdir gone && cd gone && rmdir ../gone && python3 \"$OLDPWD/x.py\"", "import os, sys\nprint(sys.path)\ntry:\n    print(os.getcwd())\nexcept OSError as e:\n    print(e)\n", route=ANY)
case("cwd/root", ["@DIR@/x.py"], "import os, sys\nprint(os.getcwd(), sys.path[0])\n", cwd="/")
case("cwd/changed-by-the-script", "x.py", "import os\nos.chdir('/')\nprint(os.getcwd())\n1 / 0\n")
shell("cwd/no-permission", "chmod 000 d; cd d 2>/dev/null || true; python3 \"$OLDPWD/x.py\" 2>&1 | tail -1; chmod 755 ../d 2>/dev/null", "import os\nprint(os.path.basename(os.getcwd()))\n", files={"x.py": "import os\nprint(os.path.basename(os.getcwd()))\n", "d": Directory})

for mask in (0o000, 0o027, 0o077, 0o777):
    case("umask/%03o" % mask, "x.py", "import os\nopen('made', 'w').close()\nos.mkdir('dir')\nold = os.umask(0)\nprint(oct(old), oct(os.stat('made').st_mode), oct(os.stat('dir').st_mode))\n", umask=mask, env={"PYTHONDONTWRITEBYTECODE": "1"})

LIMITS = "import resource\nfor n in ('NOFILE', 'CORE', 'FSIZE', 'CPU', 'MEMLOCK', 'NPROC', 'STACK', 'AS', 'DATA', 'RSS', 'SIGPENDING', 'MSGQUEUE', 'NICE', 'RTPRIO'):\n    print(n, resource.getrlimit(getattr(resource, 'RLIMIT_' + n)))\n"
case("limits/inherited", "x.py", LIMITS)
case("limits/nofile-64", "x.py", LIMITS + "import os\nn = 0\ntry:\n    while 1:\n        os.dup(0)\n        n += 1\nexcept OSError as e:\n    print(e)\nprint(n)\n", rlimit={"NOFILE": (64, 64)}, route=ANY)
case("limits/nofile-16", "x.py", LIMITS, rlimit={"NOFILE": (16, 4096)}, route=ANY)
case("limits/nofile-8", "x.py", "print(1)\n", rlimit={"NOFILE": (8, 8)}, route=ANY)
case("limits/nofile-soft-changed", "x.py", LIMITS + "import os\nresource.setrlimit(resource.RLIMIT_NOFILE, (50, 100))\nprint(resource.getrlimit(resource.RLIMIT_NOFILE))\n", rlimit={"NOFILE": (100, 200)}, route=ANY)
case("limits/core", "x.py", LIMITS, rlimit={"CORE": (4096, resource.getrlimit(resource.RLIMIT_CORE)[1])})
case("limits/fsize", "x.py", LIMITS + "try:\n    open('f', 'wb', 0).write(b'x' * 100000)\nexcept OSError as e:\n    print(e)\nimport os\nprint(os.path.getsize('f'))\n", rlimit={"FSIZE": (50000, 50000)}, drop=("^f$",), route=ANY)
case("limits/fsize-none", "x.py", "import os\nos.write(2, b'alive')\n", rlimit={"FSIZE": (0, 0)}, route=ANY)
case("limits/fsize-none-cold", ["-c", "import os\nos.write(2, b'alive')\n"], rlimit={"FSIZE": (0, 0)}, route=ANY)
case("limits/cpu", "x.py", LIMITS, rlimit={"CPU": (100, 200)}, route=ANY)
case("limits/cpu-exceeded", "x.py", "import signal\nprint('start', flush=True)\nwhile True:\n    pass\n", rlimit={"CPU": (1, 10)}, route=ANY)
case("limits/stack-large", "x.py", LIMITS, rlimit={"STACK": (64 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1])}, route=ANY)
case("limits/stack-small", "x.py", LIMITS + "import threading\nthreading.Thread(target=print, args=('thread',)).start()\n", rlimit={"STACK": (1 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1])}, route=ANY)
case("limits/as", "x.py", LIMITS + "try:\n    bytearray(1 << 31)\nexcept MemoryError:\n    print('MemoryError')\n", rlimit={"AS": (1 << 30, 1 << 30)}, route="memory-limit")
case("limits/data", "x.py", LIMITS, rlimit={"DATA": (1 << 30, 1 << 30)}, route="memory-limit")
case("limits/nproc", "x.py", LIMITS, rlimit={"NPROC": (5000, 5000)}, route=ANY)
case("limits/as-inherited-by-children", "x.py", "import subprocess\nsubprocess.call(['sh', '-c', 'ulimit -n; ulimit -c; umask'])\n", rlimit={"NOFILE": (333, 444)}, umask=0o37)

case("priority/nice-5", "x.py", "import os\nprint(os.nice(0), os.getpriority(os.PRIO_PROCESS, 0))\n", nice=5)
case("priority/nice-19", "x.py", "import os, threading\nprint(os.nice(0))\nt = threading.Thread(target=lambda: print(os.getpriority(os.PRIO_PROCESS, 0)))\nt.start()\nt.join()\n", nice=19)
case("priority/nice-negative", "x.py", "import os\nprint(os.nice(0))\n", nice=-3, needs=("root",), route=ANY)
case("priority/affinity", "x.py", "import os\nprint(os.sched_getaffinity(0), os.cpu_count())\n", pre=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
case("priority/affinity-default", "x.py", "import os\nprint(os.sched_getaffinity(0))\n")
case("priority/batch", "x.py", "import os\nprint(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)\n", pre=lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)), route=ANY)
case("priority/idle", "x.py", "import os\nprint(os.sched_getscheduler(0))\n", pre=lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)), route=ANY)
shell("priority/io-class", "ionice -c 3 python3 x.py", "import subprocess, os\nprint(subprocess.check_output(['ionice', '-p', str(os.getpid())]))\n", route=ANY, needs=("ionice",))
shell("priority/oom-score", "echo 321 > /proc/self/oom_score_adj; python3 x.py", "print(open('/proc/self/oom_score_adj').read())\n", route=ANY)
shell("priority/timer-slack", "echo 70000 > /proc/$$/timerslack_ns 2>/dev/null; python3 x.py", "import ctypes\nprint(ctypes.CDLL(None).prctl(30, 0, 0, 0, 0))\n", route=ANY)
shell("priority/no-address-randomisation", "setarch -R python3 x.py", "print(open('/proc/self/personality').read())\n", route=ANY, needs=("setarch",))
shell("priority/core-filter", "echo 0x7 > /proc/self/coredump_filter; python3 x.py", "print(open('/proc/self/coredump_filter').read())\n", route=ANY)
case("priority/no-new-privileges", "x.py", "print([l for l in open('/proc/self/status') if l.startswith(('NoNew', 'Seccomp', 'Cap'))])\n", pre=no_new_privileges, prime_pre=True, route=ANY)
case("priority/no-new-privileges-not-primed", "x.py", "print([l for l in open('/proc/self/status') if l.startswith('NoNew')])\n", pre=no_new_privileges, route=ANY)
case("priority/capabilities", "x.py", "print([l for l in open('/proc/self/status') if l.startswith(('Cap', 'Uid', 'Gid', 'Groups'))])\n")
shell("priority/timer-running", "python3 -I timer.py python3 x.py", files={"x.py": "import signal\nprint(signal.getitimer(signal.ITIMER_REAL)[0] > 100)\n",
      "timer.py": "import signal, os, sys\nsignal.setitimer(signal.ITIMER_REAL, 1000)\nos.execvp(sys.argv[1], sys.argv[1:])\n"}, route=ANY)
shell("priority/traced", "strace -f -o /dev/null python3 x.py", "print([l for l in open('/proc/self/status') if l.startswith('TracerPid')][0].split()[1] != '0')\n", route={"fork": ("traced", "no-zygote"), "restore": WARM}, needs=("strace",))
case("priority/another-user", "x.py", "import os\nprint(os.getuid(), os.geteuid(), os.getgid(), os.getgroups(), os.access('/etc/shadow', os.R_OK))\n", tree=False,
     pre=lambda: (os.setgroups([]), os.setgid(65534), os.setuid(65534)), needs=("root", "public",), route=ANY)
case("priority/another-effective-user", "x.py", "import os\nprint(os.getuid(), os.geteuid())\n", tree=False, pre=lambda: os.seteuid(65534), needs=("root", "public"), route=ANY)
case("priority/other-groups", "x.py", "import os\nprint(os.getgroups())\n", pre=lambda: os.setgroups([0, 4, 27]), needs=("root",), route=ANY)
shell("priority/own-network", "unshare -n python3 x.py", "import os\nprint(len(open('/proc/net/dev').readlines()))\n", needs=("root", "unshare"), route=ANY)
shell("priority/own-mounts", "unshare -m sh -c 'mount -t tmpfs x d 2>&1; touch d/inside; python3 x.py'", files={"x.py": "import os\nprint(os.listdir('d'))\n", "d": Directory}, needs=("root", "unshare"), route=ANY)
shell("priority/own-hostname", "unshare -u sh -c 'hostname inner 2>&1; python3 x.py'", "import socket\nprint(socket.gethostname())\n", needs=("root", "unshare"), route=ANY, normal=(("hostname: .*", ""),))
shell("priority/own-pids", "unshare -p -f python3 x.py", "import os\nprint(os.getpid())\n", needs=("root", "unshare"), route=ANY)

case("descriptors/listed", "x.py", "import os\nprint(sorted(map(int, os.listdir('/proc/self/fd'))))\n")
case("descriptors/3-9-20", "x.py", "import os\nprint(os.read(3, 3), os.pread(9, 3, 0), os.get_inheritable(20))\nos.write(20, b'written')\nprint(sorted(map(int, os.listdir('/proc/self/fd'))))\n",
     files={"a": "abcdef", "b": "ghijkl"}, fds={3: ("read", "a"), 9: ("read", "b"), 20: ("write", "out")})
case("descriptors/children-get-them", "x.py", "import subprocess\nsubprocess.call('cat <&7; ls /proc/self/fd | tr \"\\\\n\" \" \"', shell=True, close_fds=False)\n", files={"a": "through seven\n"}, fds={7: ("read", "a")})
case("descriptors/not-opened-by-us", "x.py", "import os\nfds = [os.open('/dev/null', os.O_RDONLY) for i in range(4)]\nprint(fds)\n", fds={4: "null"})
case("descriptors/same-offset", "x.py", "import os\nprint(os.read(5, 2), os.read(6, 2), os.lseek(5, 0, 1))\n", files={"a": "abcdef"}, fds={5: ("read", "a"), 6: 5})
case("descriptors/flags", "x.py", "import fcntl, os\nfor fd in (0, 1, 2, 8):\n    print(fd, oct(fcntl.fcntl(fd, fcntl.F_GETFL)), fcntl.fcntl(fd, fcntl.F_GETFD))\n", fds={8: ("append", "log")})
case("descriptors/socket", "x.py", "import socket\ns = socket.socket(fileno=11)\nprint(s.family, s.type)\ns.close()\n", fds={11: "socket"})
case("descriptors/tty-at-5", "x.py", "import os\nprint(os.isatty(5), os.isatty(1))\n", fds={5: "tty"})
case("descriptors/dev-fd-data", ["x.py", "/dev/fd/7"], "import sys\nprint(open(sys.argv[1]).read())\n", files={"a": "content\n"}, fds={7: ("read", "a")})
case("descriptors/100", "x.py", "import os\nprint(len(os.listdir('/proc/self/fd')), os.fstat(102).st_rdev == os.stat('/dev/null').st_rdev)\n", fds={n: "null" for n in range(3, 103)})
case("descriptors/300", "x.py", "import os\nprint(len(os.listdir('/proc/self/fd')))\n", fds={n: "null" for n in range(3, 300)}, route={"fork": "too-many-descriptors", "restore": WARM})
case("descriptors/high-number", "x.py", "import os\nprint(sorted(map(int, os.listdir('/proc/self/fd'))))\n", fds={600: "null"})
shell("descriptors/flock-kept", "exec 9>lock; flock 9; python3 x.py; flock -n lock true && echo free || echo held", "import fcntl\ntry:\n    fcntl.flock(open('lock'), fcntl.LOCK_EX | fcntl.LOCK_NB)\n    print('free')\nexcept OSError:\n    print('held')\nfcntl.flock(9, fcntl.LOCK_UN)\n", needs=("flock",), tree=False)
shell("descriptors/flock-released", "(exec 9>lock; flock 9; python3 x.py); flock -n lock echo free || echo held", "pass\n", needs=("flock",), tree=False)
shell("descriptors/fifo-reader-sees-the-end", "cat p & python3 x.py > p; wait", "print('through')\n", files={"x.py": "print('through')\n", "p": Fifo})
shell("descriptors/jobserver", "make -j2 2>&1 | sort", files={"Makefile": "all: a b c\na b c:\n\t@+python3 x.py $@\n", "x.py": "import os, sys\nprint(sys.argv, 'jobserver' in os.environ.get('MAKEFLAGS', ''))\n"}, needs=("make",))

NAMES = "import os\nprint(open('/proc/self/comm').read(), open('/proc/self/cmdline', 'rb').read())\nwith os.popen('ps -o args= -p %d; ps -o comm= -p %d' % (os.getpid(), os.getpid())) as p:\n    print(p.read())\n"
case("name/cmdline-comm-ps", "x.py a 'b c'", NAMES)
case("name/with-options", "-u -W default x.py --flag", NAMES)
ORIGINAL = "import ctypes\nn, p = ctypes.c_int(), ctypes.POINTER(ctypes.c_wchar_p)()\nctypes.pythonapi.Py_GetArgcArgv(ctypes.byref(n), ctypes.byref(p))\nprint(ascii([p[i] for i in range(n.value)]))\n"
case("name/as-cpython-remembers-it", ["x.py", "a", "", "gr\u00fcn", b"\xff"], ORIGINAL, needs=("module:ctypes",))
case("name/as-cpython-remembers-it-finalised", "x.py a b c", ORIGINAL + "class C:\n    def __del__(self):\n        print('end')\nc = C()\n", needs=("module:ctypes",))
SUB = "try:\n    import _interpreters as i\n    run = i.exec\nexcept ImportError:\n    import _xxsubinterpreters as i\n    run = i.run_string\nrun(i.create(), 'import sys; print(sys.argv, sys.orig_argv)')\n"
case("name/in-a-sub-interpreter", "x.py a 'b c'", SUB, since=(3, 11))
case("name/long", ["x.py", *["argument-%d" % i for i in range(500)]], NAMES)
case("name/short-then-long", ["x.py", "y" * 5000], NAMES)
case("name/not-utf8", ["x.py", b"\xff\xfe"], NAMES.replace("import os", "import os, sys\nsys.stdout.reconfigure(errors='backslashreplace')"), normal=((r"[^\x00-\x7f]+", "?"),))
case("name/exe", "x.py", "import os, sys\nprint(os.readlink('/proc/self/exe'), os.path.samefile('/proc/self/exe', sys.executable))\n", gap={} if may_change_exe() else {"restore": "/proc/self/exe is the launcher's"})
case("name/changed-by-the-script", "x.py", "import ctypes\nctypes.CDLL(None).prctl(15, b'renamed', 0, 0, 0)\nprint(open('/proc/self/comm').read())\n")
case("name/thread-names", "x.py", "import threading, os\nprint(sorted(open('/proc/self/task/%s/comm' % t).read() for t in os.listdir('/proc/self/task')), [t.name for t in threading.enumerate()], threading.active_count())\n")
case("name/one-thread", "x.py", "import os, threading\nprint(len(os.listdir('/proc/self/task')), threading.main_thread() is threading.current_thread(), threading.get_native_id() == os.getpid(), threading.main_thread().name)\n")
# The launcher lies at 0x200000, below where any interpreter does.
case("name/nothing-of-the-launcher", "x.py", "print([l for l in open('/proc/self/maps') if int(l.split('-')[0], 16) < 0x400000])\n")
case("name/auxiliary-vector", "x.py", "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.getauxval.restype = ctypes.c_ulong\nlibc.getauxval.argtypes = [ctypes.c_ulong]\nprint([libc.getauxval(n) for n in (4, 6, 11, 12, 13, 14, 17, 23, 26)], ctypes.string_at(libc.getauxval(15)))\nprint([bool(libc.getauxval(n)) for n in (3, 7, 9, 25, 31, 33)], libc.getauxval(99))\n", needs=("module:ctypes",))
case("name/no-children-yet", "x.py", "import os\ntry:\n    os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError as e:\n    print(e)\nprint(os.listdir('/proc/self/task') == [str(os.getpid())])\n")
case("name/times-are-small", "x.py", "import resource, time\nu = resource.getrusage(resource.RUSAGE_SELF)\nprint(u.ru_utime + u.ru_stime < 5, time.process_time() < 5, time.thread_time() < 5, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime == 0)\n")
