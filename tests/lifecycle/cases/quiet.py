"""Which end a run takes: silent scripts end without finalising the interpreter, others do not."""

import subprocess

from harness import proc
from harness.proc import until
from harness.test import Skip, check, test

LOUD = "class C:\n    def __del__(self):\n        pass\n"


def finalises(w, name, text):
    """Runs a script in a worker whose system calls are watched: finalising puts SIGINT's handler back."""
    script = w.script(name, text)
    zygote = w.zygote()
    spare = until(lambda: proc.children(zygote), "a spare worker")[0]
    trace = w.work + "/" + name + ".trace"
    tracer = subprocess.Popen(["strace", "-o", trace, "-e", "trace=rt_sigaction,exit_group", "-p", str(spare)], stderr=subprocess.DEVNULL)
    w.known.add(tracer.pid)
    until(lambda: proc.status(spare, "TracerPid") == str(tracer.pid), "strace to watch")
    w.warm(script)
    tracer.wait(20)
    calls = w.text(trace)
    check("exit_group" in calls, "the spare ran the script:\n" + calls)
    return "rt_sigaction(SIGINT" in calls


@test("quiet/which-end", "strace", each=True)
def which_end(w):
    done = w.call("-c", "import sys; print('threading' in sys.modules)")
    if done.out != b"False\n":
        raise Skip("start-up imports threading, whose end is code")
    w.prime()
    for name, text in {
        "print": "print('OK')\n",
        "objects": "class C: pass\nx = [C() for i in range(5000)]\nprint('OK')\n",
        "imports": "import json, argparse, dataclasses, pathlib\nprint('OK')\n",
        "exit": "import sys\nprint('OK')\nsys.exit()\n",
        "closed": "with open(__file__) as f: f.read()\nprint('OK')\n",
        "atexit": "import atexit\nprint('OK')\n",
        "locks": "import threading\nlock = threading.Lock()\nprint('OK')\n",
        "starts-a-child": "import subprocess\nsubprocess.run(['true'])\nprint('OK')\n",
        "logs": "import logging, sys\nlogging.basicConfig(stream=sys.stdout, format='%(message)s')\nlogging.error('OK')\n",
    }.items():
        check(not finalises(w, name + ".py", text), "'%s' ends quietly" % name)
    for name, text in {
        "destructor": LOUD + "c = C()\nprint('OK')\n",
        "slots": LOUD.replace("class C:", "class C(float):\n    __slots__ = ()") + "c = C()\nprint('OK')\n",
        "file": "f = open(__file__)\nprint('OK')\n",
        "registered": "import atexit\natexit.register(int)\nprint('OK')\n",
        "handler": "import logging\nlogging.basicConfig(handlers=[logging.FileHandler('log')])\nprint('OK')\n",
        "gc": "import gc\nprint('OK')\n",
        "hook": "import sys\nsys.addaudithook(lambda *a: None)\nprint('OK')\n",
    }.items():
        check(finalises(w, name + ".py", text), "'%s' ends in full" % name)
