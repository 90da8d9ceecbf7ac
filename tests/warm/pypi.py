#!/usr/bin/env python3
"""Packages from PyPI, cold and warm: is what they do the same, which of their modules are warm, and what does it save?

    pypi.py [--prefix DIR] [--python PATH]... [--venvs DIR] [--runs N] [--json FILE] [--more] [--late] [-k NAME]... [-v]

Run by hand: it installs packages with pip into a venv for each interpreter. A small script for each package, which does
what the package is for, is run by the real interpreter and through pyzy, with both engines, and stdout, stderr, exit
status and sys.modules in its order at the end are compared. A run through pyzy that was not warm is a failure as well.
--more takes those of more.py. With --late each script runs again after it has changed something that many modules
import, so that part of what it imports is handed over and the rest is its own.
"""

import argparse
import json
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from more import MORE

HERE = os.path.dirname(os.path.abspath(__file__))
ENGINES = ("restore", "fork")
PRIME_SECONDS = 40
SHOW = "\nimport sys as _sys\nwith open(_sys.argv[1], 'w') as _f:\n    _f.write('\\n'.join(_sys.modules))\n"


class Package:
    """A package, the modules that its users name, and a script that uses it."""

    def __init__(self, distribution, module, script, more=()):
        self.distribution, self.module, self.script = distribution, module, script.lstrip("\n")
        self.preload = ",".join(["stdlib", module, *more])


PACKAGES = [
    Package("click", "click", """
import click
@click.group()
@click.option("--loud/--quiet", default=False)
@click.pass_context
def main(context, loud):
    context.obj = loud
@main.command()
@click.argument("names", nargs=-1)
@click.option("-n", "--number", type=click.IntRange(1, 5), default=2, show_default=True)
@click.pass_obj
def greet(loud, names, number):
    for name in names * number:
        click.secho(name.upper() if loud else name, fg="red")
for arguments in (["--loud", "greet", "a", "b", "-n", "3"], ["greet", "--help"], ["greet", "-n", "9"]):
    try:
        main(arguments, prog_name="x", standalone_mode=False)
    except click.ClickException as error:
        error.show()
"""),
    Package("rich", "rich", """
from rich.console import Console
from rich.table import Table
from rich.syntax import Syntax
table = Table(title="Sums")
for column in ("n", "sum"):
    table.add_column(column, justify="right", style="cyan")
for n in range(5):
    table.add_row(str(n), f"[bold]{sum(range(n))}[/bold]")
console = Console(width=60, force_terminal=True, color_system="truecolor")
console.print(table)
console.print(Syntax("def f(x):\\n    return x + 1", "python"))
console.print({"a": [1, 2.5, None], "b": "https://example.org"})
""", ["rich.console", "rich.table", "rich.syntax"]),
    Package("requests", "requests", """
import threading, http.server, requests
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.end_headers()
        self.wfile.write(b'{"got": "%s"}' % body)
    def log_message(self, *rest):
        pass
prepared = requests.Request("GET", "http://xn--bcher-kva.example/a b", params={"q": "\\xe9", "n": [1, 2]}).prepare()
print(prepared.url, dict(prepared.headers))
with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    answer = requests.post("http://127.0.0.1:%d/" % server.server_port, data="abc", timeout=20)
    print(answer.status_code, answer.json(), answer.encoding, answer.apparent_encoding)
    server.shutdown()
"""),
    Package("pydantic", "pydantic", """
from typing import List, Optional
from pydantic import BaseModel, Field, ValidationError, field_validator
class Item(BaseModel):
    name: str = Field(min_length=2)
    price: float
    tags: List[str] = []
    @field_validator("name")
    @classmethod
    def lower(cls, value):
        return value.lower()
class Order(BaseModel):
    number: int
    items: List[Item]
    note: Optional[str] = None
order = Order.model_validate({"number": "7", "items": [{"name": "TEA", "price": "1.5"}]})
print(order, order.model_dump_json(), sorted(Order.model_json_schema()["properties"]))
try:
    Order.model_validate({"number": "x", "items": [{"name": "T"}]})
except ValidationError as error:
    print(error)
"""),
    Package("sqlalchemy", "sqlalchemy", """
from sqlalchemy import create_engine, select, func, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
class Base(DeclarativeBase):
    pass
class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(30))
    posts: Mapped[list["Post"]] = relationship(back_populates="user")
class Post(Base):
    __tablename__ = "post"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    user: Mapped[User] = relationship(back_populates="posts")
engine = create_engine("sqlite://")
Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add_all([User(name="a", posts=[Post(), Post()]), User(name="b")])
    session.commit()
    query = select(User.name, func.count(Post.id)).outerjoin(Post).group_by(User.name).order_by(User.name)
    print(query, session.execute(query).all())
""", ["sqlalchemy.orm"]),
    Package("django", "django", """
import django
from django.conf import settings
settings.configure(TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}], SECRET_KEY="x",
                   DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, USE_TZ=True)
django.setup()
from django.template import Template, Context
from django import forms
from django.db import connection
class Form(forms.Form):
    number = forms.IntegerField(max_value=5)
print(Template("{% for x in l %}{{ x|upper }}{% if not forloop.last %}, {% endif %}{% endfor %}").render(Context({"l": ["a", "<b>"]})))
print(Form({"number": "9"}).errors)
with connection.cursor() as cursor:
    cursor.execute("select 1 + 1")
    print(cursor.fetchone())
""", ["django.conf", "django.template", "django.forms", "django.db"]),
    Package("cryptography", "cryptography", """
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
digest = hashes.Hash(hashes.SHA256())
digest.update(b"abc")
print(digest.finalize().hex())
box = Fernet(b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
token = box._encrypt_from_parts(b"secret", 1700000000, bytes(16))
print(token, box.decrypt(token))
key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
print(key.sign(b"abc").hex(), box.encrypt(b"a") != box.encrypt(b"a"))
try:
    box.decrypt(b"nothing")
except InvalidToken as error:
    print(repr(error))
""", ["cryptography.fernet", "cryptography.hazmat.primitives.hashes", "cryptography.hazmat.primitives.asymmetric.ed25519"]),
    Package("PyYAML", "yaml", """
import yaml
text = "a: [1, 2.5, yes, 2001-12-14]\\nb: &x {c: null}\\nd: *x\\ne: |\\n  two\\n  lines\\n"
value = yaml.safe_load(text)
print(value, value["b"] is value["d"])
print(yaml.safe_dump(value, sort_keys=False), yaml.dump([(1, 2)]))
print(yaml.__with_libyaml__ and yaml.load(text, Loader=yaml.CSafeLoader) == value)
try:
    yaml.safe_load("a: [1")
except yaml.YAMLError as error:
    print(error)
"""),
    Package("lxml", "lxml", """
from lxml import etree
root = etree.fromstring("<a><b n='1'>x</b><b n='2'><c/>y</b></a>")
print(root.xpath("//b[@n='2']/text()"), root.xpath("count(//b)"))
sheet = etree.XSLT(etree.XML('<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
    '<xsl:template match="/"><r><xsl:value-of select="//b[1]"/></r></xsl:template></xsl:stylesheet>'))
print(str(sheet(root)), etree.tostring(root, pretty_print=True).decode())
try:
    etree.fromstring("<a><b></a>")
except etree.XMLSyntaxError as error:
    print(error, error.error_log)
""", ["lxml.etree"]),
    Package("pillow", "PIL", """
import hashlib, io
from PIL import Image, ImageDraw, ImageFilter
image = Image.new("RGB", (64, 48), (10, 20, 30))
ImageDraw.Draw(image).ellipse((5, 5, 40, 40), fill="red", outline=(0, 255, 0))
image = image.filter(ImageFilter.GaussianBlur(2)).rotate(30, expand=True)
print(image.size, hashlib.sha256(image.tobytes()).hexdigest())
for kind in ("PNG", "JPEG", "GIF"):
    data = io.BytesIO()
    image.save(data, kind)
    print(kind, Image.open(io.BytesIO(data.getvalue())).size, hashlib.sha256(data.getvalue()).hexdigest())
""", ["PIL.Image", "PIL.ImageDraw", "PIL.ImageFilter"]),
    Package("numpy", "numpy", """
import numpy, threading
a = numpy.arange(900 * 900, dtype=float).reshape(900, 900) % 17
b = a @ a.T
print(b.sum(), b[3, 5], numpy.linalg.norm(numpy.linalg.inv(numpy.eye(4) + 1)))
print(numpy.random.default_rng(5).normal(size=3), numpy.fft.fft([1, 2, 3, 4]))
print(numpy.linalg.eigvalsh(b[:5, :5]).round(6), numpy.array(["a", "b"]).dtype, threading.active_count())
print(numpy.random.RandomState(3).randint(0, 99, 5), numpy.random.random() != numpy.random.random())
"""),
    Package("pandas", "pandas", """
import io
import pandas
table = pandas.read_csv(io.StringIO("k,n,d\\na,1,2020-01-01\\nb,2,2020-02-01\\na,3,2020-03-01\\n"), parse_dates=["d"])
print(table.groupby("k").agg({"n": ["sum", "mean"], "d": "max"}))
print(table.merge(pandas.DataFrame({"k": ["a", "b"], "v": [0.5, 1.5]})).to_json(), table.dtypes)
print(table.set_index("d").resample("MS").n.sum())
"""),
]


# What a script changes before it imports anything else.
LATE = ["import os\nos.mine = 1\n", "import collections, types\ncollections.mine = types.mine = 1\n", "import textwrap, warnings\ntextwrap.mine = warnings.mine = 1\n"]


class World:
    """One interpreter with its venv, and an environment that is built from nothing."""

    def __init__(self, options, python, root):
        self.options, self.python, self.root = options, python, root
        # Some packages import in the order of a set.
        base = {"PYTHONHASHSEED": "0", "HOME": root + "/home", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": root + "/tmp"}
        for path in (base["HOME"], base["TMPDIR"], root + "/run"):
            os.makedirs(path, exist_ok=True)
        os.chmod(root + "/run", 0o700)
        said = subprocess.run([python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"], env=base, check=True, stdout=subprocess.PIPE)
        self.version = said.stdout.decode().strip()
        self.venv = "%s/%s-%s" % (options.venvs or root, "more" if options.more else "venv", self.version)
        if not os.path.exists(self.venv + "/complete"):
            subprocess.run([python, "-m", "venv", self.venv], env=base, check=True)
            # Certificates of a proxy, if there is one, are pip's business alone.
            network = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy") or k in ("SSL_CERT_FILE", "PIP_CERT", "PIP_INDEX_URL", "REQUESTS_CA_BUNDLE")}
            install = [self.venv + "/bin/python3", "-m", "pip", "install", "-q", "--disable-pip-version-check", *[package.distribution for package in options.packages]]
            subprocess.run(install, env={**base, **network}, check=True)
            with open(self.venv + "/complete", "w"):
                pass
        self.cold = dict(base, PATH=self.venv + "/bin:" + base["PATH"])
        self.log = root + "/log"
        listed = subprocess.run([self.venv + "/bin/python3", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"], env=self.cold, check=True, stdout=subprocess.PIPE)
        self.versions = {item["name"].lower(): item["version"] for item in json.loads(listed.stdout.decode())}
        self.start = self.run(self.venv + "/bin/python3", "", self.cold)["modules"]

    def warm(self, package, engine):
        """The environment of a run through pyzy."""
        prefix = os.path.realpath(self.options.prefix)
        return dict(self.cold, PATH=prefix + "/shims:" + self.cold["PATH"], XDG_RUNTIME_DIR=self.root + "/run", PYZY_LOG=self.log,
                    PYZY_ENGINE=engine, PYZY_PRELOAD=package.preload, PYZY_MAX_IDLE_SECS="120", **dict(v.split("=", 1) for v in self.options.set))

    def run(self, program, source, env):
        """What a script does, and how long it takes."""
        script, modules = self.root + "/x.py", self.root + "/modules"
        with open(script, "w") as f:
            f.write(source + SHOW)
        with open(modules, "w"):
            pass
        began = time.monotonic()
        try:
            done = subprocess.run([program, script, modules], env=env, cwd=self.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
            out, err, status = done.stdout, done.stderr, done.returncode
        except subprocess.TimeoutExpired:
            out, err, status = b"", b"", "it hangs"
        took = time.monotonic() - began
        with open(modules) as f:
            return {"stdout": out, "stderr": err, "status": status, "modules": f.read().split("\n"), "took": took}

    def logged(self):
        """The lines of PYZY_LOG since the last time."""
        try:
            with open(self.log) as f:
                lines = f.read().splitlines()
            os.unlink(self.log)
            return lines
        except FileNotFoundError:
            return []

    def run_warm(self, package, engine, source):
        """A run through pyzy; its log is read before."""
        self.logged()
        return self.run(os.path.realpath(self.options.prefix) + "/shims/python3", source, self.warm(package, engine))

    def prime(self, package, engine):
        """Starts the zygote of this list. False if no run was warm in time."""
        deadline = time.monotonic() + PRIME_SECONDS
        while time.monotonic() < deadline:
            self.run_warm(package, engine, "")
            if is_warm(self.logged(), engine):
                return True
            select.select([], [], [], 0.1)  # a zygote is starting: there is nothing of ours to wait on
        return False

    def pyzy(self, package, engine, *words):
        """The command."""
        env = self.warm(package, engine)
        del env["PYZY_LOG"]
        return subprocess.run([self.options.prefix + "/bin/pyzy", *words], env=env, cwd=self.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode("utf-8", "replace")

    def why(self, package, engine):
        """What is warm, and what is refused and why."""
        warm, refused = set(), {}
        said = re.split(r"^module +state +why$", self.pyzy(package, engine, "why", "--modules", self.root + "/x.py"), flags=re.M)[-1]
        for words in (line.split(None, 2) for line in said.splitlines()):
            if words[1:] == ["warm"]:
                warm.add(words[0])
            elif len(words) == 3 and words[1] == "refused":
                refused[words[0]] = words[2]
        return warm, refused


def is_warm(lines, engine):
    """Was the run warm, by this engine?"""
    return any("route=warm" in line and "engine=" + engine in line for line in lines)


def complaints(cold, warm, what):
    """What differs."""
    found = []
    for key in ("status", "stdout", "stderr"):
        if cold[key] != warm[key]:
            found.append("%s: %s: cold %r, warm %r" % (what, key, cold[key][-1500:] if key != "status" else cold[key], warm[key][-1500:] if key != "status" else warm[key]))
    if cold["modules"] != warm["modules"]:
        a, b = cold["modules"], warm["modules"]
        at = next((n for n, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        found.append("%s: sys.modules: only cold %s, only warm %s, from number %d on: cold %s, warm %s" % (
            what, sorted(set(a) - set(b))[:9], sorted(set(b) - set(a))[:9], at, a[at:at + 4], b[at:at + 4]))
    return found


def examine(world, package):
    """All about one package."""
    real, found = world.venv + "/bin/python3", []
    # The first one makes caches.
    world.run(real, package.script, world.cold)
    cold = world.run(real, package.script, world.cold)
    again = world.run(real, package.script, world.cold)
    found += complaints(cold, again, "two cold runs")
    if cold["status"] != 0:
        found.append("cold: status %s: %s" % (cold["status"], cold["stderr"].decode("utf-8", "replace")[-1500:]))
    result = {"package": package.distribution, "version": world.versions.get(package.distribution.lower(), "?"), "python": world.version, "modules": 0, "handed_over": 0}
    result["modules"] = len(set(cold["modules"]) - set(world.start))
    for engine in ENGINES:
        if not world.prime(package, engine):
            found.append("%s: no run was warm within %d s" % (engine, PRIME_SECONDS))
            continue
        took = {"cold": [], "warm": []}
        for _ in range(world.options.runs):
            took["cold"].append(world.run(real, package.script, world.cold)["took"])
            warm = world.run_warm(package, engine, package.script)
            lines = world.logged()
            if not is_warm(lines, engine):
                found.append("%s: not warm: %s" % (engine, lines))
            new = complaints(cold, warm, engine)
            found += [line for line in new if line not in found]
            took["warm"].append(warm["took"])
        result[engine] = {kind: round(statistics.median(times) * 1000, 1) for kind, times in took.items()}
        result[engine]["ratio"] = round(result[engine]["warm"] / result[engine]["cold"], 2)
        for change in LATE if world.options.late else ():
            found += examine_late(world, package, engine, change)
        if engine == "restore":
            given = [line.split("import=")[1].split(" warm=") for line in lines if " warm=" in line]
            result["handed_over"] = sum(int(number) for _, number in given)
            result["package_warm"] = any(name.split(".")[0] == package.module for name, _ in given)
            warm_names, refused = world.why(package, engine)
            own = [name for name in cold["modules"] if name.split(".")[0] == package.module]
            result["own"], result["own_warm"] = len(own), sum(name in warm_names for name in own)
            names = [package.module] + [name for name in own if name not in warm_names] + ["*"]
            result["reason"] = next((refused[name] for name in names if name in refused), "")
            result["refused"] = refused
            result["cold_imports"] = [line.split("import=")[1] for line in lines if " cold: " in line]
        world.pyzy(package, engine, "stop")
    result["complaints"] = found
    result["verdict"] = "warm" if result.get("package_warm") and result.get("own_warm") == result.get("own") else "partly" if result.get("own_warm") else "refused"
    return result


def examine_late(world, package, engine, change):
    """What differs after a change."""
    source = change + package.script
    cold, warm = world.run(world.venv + "/bin/python3", source, world.cold), world.run_warm(package, engine, source)
    what, lines = "%s after %r" % (engine, change), world.logged()
    return complaints(cold, warm, what) + ([] if is_warm(lines, engine) else ["%s: not warm: %s" % (what, lines)])


def row(result):
    """A line of the table."""
    ratio = " ".join("%s %s->%s ms (%s)" % (e, result[e]["cold"], result[e]["warm"], result[e]["ratio"]) for e in ENGINES if e in result)
    return "%-7s %-13s %-10s %-8s own %3d/%3d, all %3d/%3d  %s  %s" % (
        result["python"], result["package"], result["version"], result["verdict"], result.get("own_warm", 0), result.get("own", 0),
        result["handed_over"], result["modules"], ratio, result.get("reason", ""))


def main():
    parser = argparse.ArgumentParser(description="Packages from PyPI, cold and warm.")
    parser.add_argument("--prefix", default=os.path.join(HERE, "..", "..", "target", "stage"), help="where pyzy is installed (target/stage)")
    parser.add_argument("--python", action="append", help="an interpreter (python3 on PATH)")
    parser.add_argument("--venvs", help="a directory where venvs are made, and found again")
    parser.add_argument("--runs", type=int, default=7, help="runs of each kind (7)")
    parser.add_argument("--json", help="a file for all that was found")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the runs through pyzy")
    parser.add_argument("--more", action="store_true", help="the packages of more.py")
    parser.add_argument("--late", action="store_true", help="after changes as well")
    parser.add_argument("-k", action="append", help="only this package")
    parser.add_argument("-v", action="store_true", help="tell of each module that is refused")
    options = parser.parse_args()
    if not os.path.exists(options.prefix + "/shims/python3"):
        print("pypi.py: no shims in '%s'\nhint: ./install.sh --prefix '%s', or --prefix DIR" % (options.prefix, options.prefix), file=sys.stderr)
        return 2
    if options.venvs:
        options.venvs = os.path.abspath(options.venvs)
    options.packages = [Package(*line) for line in MORE] if options.more else PACKAGES
    chosen = [package for package in options.packages if not options.k or package.distribution in options.k]
    results = []
    for python in options.python or [shutil.which("python3")]:
        # Sockets have short names.
        root = tempfile.mkdtemp(prefix="pyzy-pypi-", dir="/tmp")
        try:
            world = World(options, os.path.abspath(python), root)
            for package in chosen:
                results.append(examine(world, package))
                print(row(results[-1]))
                for line in results[-1]["complaints"]:
                    print("    WRONG " + line)
                if options.v:
                    for name, why in results[-1].get("refused", {}).items():
                        print("    %s: %s" % (name, why))
                    for line in results[-1].get("cold_imports", []):
                        print("    cold " + line)
                sys.stdout.flush()
        finally:
            shutil.rmtree(root, ignore_errors=True)
    if options.json:
        with open(options.json, "w") as f:
            json.dump(results, f, indent=1)
    wrong = sum(bool(result["complaints"]) for result in results)
    print("%d of %d the same" % (len(results) - wrong, len(results)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
