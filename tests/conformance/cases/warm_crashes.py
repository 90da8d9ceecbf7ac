"""Imports that end the process, or never come back: the module is refused by itself, and scripts go on."""

from .extensions import TELL, extension
from .warm import package

GOOD = "import good\nprint(good.V)\n"
# In the process of a rehearsal only, whose standard output is a file in memory: it does no harm cold.
KINDS = {
    "exits": "import os\nif os.path.islink('/proc/self/fd/1') and os.readlink('/proc/self/fd/1').startswith('/memfd:pyzy'):\n    os._exit(0)\nV = 1\n",
    "aborts": "import os\nif os.readlink('/proc/self/fd/1').startswith('/memfd:pyzy'):\n    os.abort()\nV = 1\n",
    "is-killed": "import os\nif os.readlink('/proc/self/fd/1').startswith('/memfd:pyzy'):\n    os.kill(os.getpid(), 9)\n    os._exit(1)\nV = 1\n",
}
for name, text in KINDS.items():
    package("crash/" + name, {"good.py": "V = 'good'\n", "mine.py": text, "user.py": "from mine import V\n"}, GOOD + "import user\nprint(user.V)\n", {"good": True, "user": False}, preload="good,user")
    package("crash/" + name + "-first", {"good.py": "V = 'good'\n", "mine.py": text, "user.py": "from mine import V\n"}, GOOD + "import json\nprint(json.dumps(1))\n", {"good": True, "json": True}, preload="user,good,stdlib")

# One that ends the zygote itself, and not its rehearsal, which dies with its parent: two attempts, and then scripts go on cold.
IN_THE_ZYGOTE = r"""
#include <signal.h>
#include <sys/prctl.h>
static int setup(PyObject *module) {
    int with_parent = 0;
    prctl(PR_GET_PDEATHSIG, &with_parent);
    if (!getenv("MARK") && !with_parent) _exit(9);
    return 0;
}
"""
extension("crash/ends-the-zygote", TELL, {}, IN_THE_ZYGOTE, env={"MARK": "1"}, route=["zygote-failed"])
EXITS = r"""
#include <sys/stat.h>
static int setup(PyObject *module) {
    char name[64] = "";
    if (readlink("/proc/self/fd/1", name, 63) > 0 && strncmp(name, "/memfd:pyzy", 11) == 0) abort();
    return 0;
}
"""
extension("crash/ends-the-rehearsal", "import mine.base\nimport mine.ext\n" + TELL, {"mine.base": True, "mine.ext": False}, EXITS, {"mine/__init__.py": ""}, preload="mine.ext,mine.base")
