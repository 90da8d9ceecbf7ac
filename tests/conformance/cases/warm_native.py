"""What C code does to the process while an extension is imported: refused by itself, or as cold for who imports it and who does not."""

from .extensions import extension
from .warm import package

# A body of `setup` for each. All of them are in one zygote, beside one that does nothing: each is watched by itself.
INCLUDES = "".join("#include <%s.h>\n" % name for name in ("errno", "fcntl", "fenv", "locale", "pthread", "signal", "stdio", "string", "sys/mman", "sys/prctl", "sys/resource", "sys/stat", "sys/syscall"))
DEEDS = {
    "rounding": "return fesetround(FE_UPWARD);",
    "traps": "return feenableexcept(FE_DIVBYZERO) < 0 ? -1 : 0;",
    "altstack": "static char room[65536]; stack_t s = {room, 0, sizeof room}; return sigaltstack(&s, 0);",
    "mask": "sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); return pthread_sigmask(SIG_BLOCK, &s, 0);",
    "disposition": "struct { void *h; unsigned long f; void *r; unsigned long m; } a = {SIG_IGN}; return syscall(SYS_rt_sigaction, SIGUSR2, &a, 0, 8);",
    "setenv": 'return setenv("MINE_C", "1", 1);',
    "putenv": 'static char text[] = "MINE_P=1"; return putenv(text);',
    "unset": 'return unsetenv("HOME");',
    "shared": "char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); if (p == MAP_FAILED) return -1; strcpy(p, \"shared\"); found = PyUnicode_FromString(p); return 0;",
    "locked": "static char room[8192]; return mlock(room + 4096, 1);",
    "dontfork": "char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (madvise(p, 4096, MADV_DONTFORK)) return -1; strcpy(p, \"here\"); found = PyBytes_FromString(p); kept = p; return 0;",
    "wipeonfork": "char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (madvise(p, 4096, 18)) return -1; strcpy(p, \"here\"); kept = p; return 0;",
    "atfork": "return pthread_atfork(0, 0, says);",
    "key": 'pthread_key_t key; if (pthread_key_create(&key, ends)) return -1; return pthread_setspecific(key, "key");',
    "thread_end": 'extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *); extern void *__dso_handle; return __cxa_thread_atexit_impl(ends, "thread_end", &__dso_handle);',
    "on_exit": 'return on_exit(status, "on_exit");',
    "printf": 'return printf("%s\\n", "printed") < 0;',
    "error": 'return fprintf(stderr, "%s\\n", "to stderr") < 0;',
    "system_call": 'return syscall(SYS_write, 1, "call\\n", 5) != 5;',
    "buffer": "return setvbuf(stdout, 0, _IONBF, 0);",
    "seed": "srand(5); return 0;",
    "draw": "found = PyLong_FromLong(rand()); return 0;",
    "thread_locale": 'return uselocale(newlocale(LC_ALL_MASK, "C.UTF-8", 0)) ? 0 : -1;',
    "name": 'return prctl(PR_SET_NAME, "mine");',
    "slack": "return prctl(PR_SET_TIMERSLACK, 77777);",
    "limits": "struct rlimit r = {100, 100}; return setrlimit(RLIMIT_CORE, &r);",
    "input_hook": "PyOS_InputHook = nothing; return 0;",
    "pending": "return Py_AddPendingCall(pends, 0);",
    "error_handler": 'PyObject *f = PyObject_GetAttrString(module, "what"); return f ? PyCodec_RegisterError("mine_handler", f) : -1;',
    "recursion": "Py_SetRecursionLimit(1234); return 0;",
    "profile": "PyEval_SetProfile(profiles, 0); return 0;",
    "audit": "return PySys_AddAuditHook(audits, 0);",
}
HELPERS = r"""
static void *kept;
static void says(void) { if (write(1, "forked\n", 7)) {} }
static void ends(void *text) { char line[64]; int n = snprintf(line, sizeof line, "end of %s\n", (char *)text); if (write(1, line, n)) {} }
static void status(int code, void *text) { ends(text); }
static int nothing(void) { return 0; }
static int pends(void *p) { if (write(1, "pended\n", 7)) {} return 0; }
static int audits(const char *event, PyObject *args, void *p) { return 0; }
static int profiles(PyObject *o, PyFrameObject *f, int what, PyObject *arg) { return 0; }
"""


def deed(body):
    """An extension that does this."""
    return INCLUDES + HELPERS + "static int setup(PyObject *module) { (void)kept; (void)says; (void)ends; (void)status; (void)nothing; (void)pends; (void)audits; (void)profiles; %s }\n" % body


# How the process is, by C's own answers.
STATE = r"""
import sys, os, ctypes
c = ctypes.CDLL(None, use_errno=True)
def state():
    lines = [l for l in open('/proc/self/status') if l[:5] in ('SigBl', 'SigIg', 'SigCg', 'Name:')]
    m = ctypes.CDLL('libm.so.6')
    stack = (ctypes.c_uint64 * 3)()
    c.sigaltstack(None, stack)
    c.uselocale.restype = ctypes.c_ssize_t
    print(lines, m.fegetround(), m.fegetexcept(), stack[2], os.environ.get('MINE_C'), c.rand(), c.uselocale(0) == -1, c.prctl(30, 0, 0, 0, 0), bool(ctypes.c_void_p.in_dll(c, 'PyOS_InputHook').value), sys.getprofile(), sys.getrecursionlimit(), flush=True)
    try:
        print(b'\xff'.decode('ascii', 'mine_handler'))
    except (LookupError, TypeError) as e:
        print(type(e).__name__, flush=True)
    c.getenv.restype = ctypes.c_char_p
    print(c.getenv(b'MINE_P'), c.getenv(b'HOME') is None, [l.split()[1] for l in open('/proc/self/maps') if l.split()[1] == 'rw-s' and '.image' not in l and 'vvar' not in l])
    sys.stdout.flush()
    if os.fork() == 0:
        os._exit(0)
    os.wait()
"""
NAMES = ["mine." + name for name in DEEDS]
SITE = {"mine/__init__.py": "", "mine/good.py": "V = 'good'\n"}
EXTENSIONS = {"mine/" + name: deed(body) for name, body in DEEDS.items()}
GOOD = "import mine.good\nimport mine.ext\nprint(mine.good.V, mine.ext.what())\n"


def deeds(name, script, imports, **more):
    """A case with all of them named."""
    extension("native/" + name, script, imports, deed("return 0;"), SITE, kinds=("multi",), preload=",".join(["mine.good", "mine.ext"] + NAMES), more=EXTENSIONS, timeout=60.0, tree=False, **more)


WARM = {"mine.good": True, "mine.ext": True}
deeds("deeds-unseen", GOOD + STATE + "state()\n", WARM)
deeds("deeds-and-nothing", "print('x')\n", {})
IMPORT = "import sys\nfor name in %r:\n    print(name, __import__('mine.' + name, fromlist=['x']).what(), flush=True)\n" % list(DEEDS)
deeds("deeds-imported", GOOD + IMPORT + STATE + "state()\n", {**WARM, **{name: False for name in NAMES}})

# What runs at the end of the process runs for a script that has imported it, once, and for no other.
ENDS = {
    "object": deed('extern int __cxa_atexit(void (*)(void *), void *, void *); extern void *__dso_handle; return __cxa_atexit(ends, "object", &__dso_handle);'),
    "destructor": "#include <unistd.h>\n__attribute__((destructor)) static void at_end(void) { if (write(1, \"end of library\\n\", 15)) {} }\nstatic int setup(PyObject *module) { return 0; }\n",
}
AT_END = "class D:\n    def __del__(self):\n        print('del', flush=True)\nd = D()\n"
for name, source in ENDS.items():
    extension("native/end/" + name + "-unseen", AT_END, {}, source)
    extension("native/end/" + name + "-imported", "import mine\nprint(mine.ext.count())\n" + AT_END, {"mine": True}, source)
    extension("native/end/" + name + "-late", "import textwrap\ntextwrap.mine = 1\nimport mine\nprint(mine.ext.count())\n" + AT_END, {"mine": False}, source, {"mine/__init__.py": "import textwrap\nfrom . import ext\n"})
CONSTRUCTOR = "#include <unistd.h>\n__attribute__((constructor)) static void begin(void) { if (write(1, \"begin\\n\", 6)) {} }\nstatic int setup(PyObject *module) { return 0; }\n"
extension("native/constructor", "import mine.base\nimport mine.ext\nprint(mine.ext.count(), flush=True)\n", {"mine.base": True, "mine.ext": False}, CONSTRUCTOR, {"mine/__init__.py": ""}, preload="mine.base,mine.ext")
extension("native/constructor-unseen", "print('x')\n", {}, CONSTRUCTOR)

# By Python: shared memory. What a rehearsal made by the last one would stay in /dev/shm.
SHARES = {"good.py": "V = 'good'\n", "anonymous.py": "import mmap\nM = mmap.mmap(-1, 4096)\nM[0:3] = b'abc'\nV = M[0:3]\n", "values.py": "import multiprocessing\nV = multiprocessing.Value('i', 5).value\n", "named.py": "from multiprocessing import shared_memory\nM = shared_memory.SharedMemory(create=True, size=100)\nM.close()\nM.unlink()\nV = 1\n"}
package("native/shared-memory", SHARES, "import good, anonymous, values\nprint(good.V, anonymous.V, values.V)\nimport named, os\nprint(named.V, [n for n in os.listdir('/dev/shm') if n.startswith('psm_')])\n", {"good": True, "anonymous": False, "values": False, "named": False}, preload="good,anonymous,values,named")
