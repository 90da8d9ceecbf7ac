"""More packages from PyPI, for pypi.py: extensions of every make, each with a few lines that use it."""

# Distribution, module, script.
MORE = [
    ("matplotlib", "matplotlib", """
import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as p, io
f, a = p.subplots()
a.plot([1, 2, 3])
a.contourf([[1, 2], [3, 4]])
b = io.BytesIO()
f.savefig(b, format='svg', metadata={'Date': None})
print(len(b.getvalue()) > 1000)
print(a.get_xlim())
"""),
    ("orjson", "orjson", """
import orjson
print(orjson.dumps({'a': [1, 2.5, None]}), orjson.loads(b'[1]'))
try:
    orjson.loads('{')
except orjson.JSONDecodeError as e:
    print(e, type(e).__mro__)
"""),
    ("msgpack", "msgpack", """
import msgpack
print(msgpack.unpackb(msgpack.packb({'a': [1, 2]})), msgpack.Packer.__module__)
"""),
    ("regex", "regex", """
import regex
print(regex.findall('\\\\p{L}+', 'añb c'), regex.sub('(?i)A', 'x', 'aAa'))
"""),
    ("scipy", "scipy", """
import scipy.linalg, scipy.sparse, scipy.optimize, scipy.stats, numpy as np
print(scipy.linalg.det(np.eye(3)), scipy.optimize.brentq(lambda x: x * x - 2, 0, 2), scipy.stats.norm.cdf(0), scipy.sparse.eye(3).sum())
"""),
    ("scikit-learn", "sklearn", """
from sklearn.linear_model import LogisticRegression
import numpy as np
m = LogisticRegression().fit(np.array([[0], [1], [2], [3]]), [0, 0, 1, 1])
print(m.predict([[0.0], [3.0]]), m)
"""),
    ("greenlet", "greenlet", """
import greenlet

def f():
    print('f')
    g2.switch()
    print('f2')

def g():
    print('g')
    g1.switch()
g1 = greenlet.greenlet(f)
g2 = greenlet.greenlet(g)
g1.switch()
print(g1.dead, type(greenlet.getcurrent()))
"""),
    ("gevent", "gevent", """
import gevent, gevent.queue
q = gevent.queue.Queue()
gevent.spawn(lambda: q.put(1))
print(q.get())
gevent.joinall([gevent.spawn(gevent.sleep, 0.01) for _ in range(3)])
print('ok')
"""),
    ("uvloop", "uvloop", """
import uvloop, asyncio

async def m():
    await asyncio.sleep(0.01)
    p = await asyncio.create_subprocess_exec('true')
    return await p.wait()
print(uvloop.run(m()))
"""),
    ("aiohttp", "aiohttp", """
import aiohttp, asyncio
from aiohttp import web

async def m():
    a = web.Application()
    a.router.add_get('/', lambda r: h(r))
    r = web.AppRunner(a)
    await r.setup()
    s = web.TCPSite(r, '127.0.0.1', 0)
    await s.start()
    p = r.addresses[0][1]
    async with aiohttp.ClientSession() as c:
        async with c.get(f'http://127.0.0.1:{p}/') as x:
            print(x.status, await x.text())
    await r.cleanup()

async def h(r):
    return web.Response(text='hi')
asyncio.run(m())
"""),
    ("cffi", "cffi", """
import cffi
f = cffi.FFI()
f.cdef('int abs(int);')
c = f.dlopen(None)
print(c.abs(-3))
cb = f.callback('int(int)', lambda x: x + 1)
print(cb(2))
"""),
    ("psycopg2-binary", "psycopg2", """
import psycopg2
print(psycopg2.__libpq_version__ > 0)
try:
    psycopg2.connect('host=/nonexistent')
except psycopg2.OperationalError as e:
    print(type(e))
"""),
    ("grpcio", "grpc", """
import grpc
from concurrent import futures
s = grpc.server(futures.ThreadPoolExecutor(2))
p = s.add_insecure_port('127.0.0.1:0')
s.start()
c = grpc.insecure_channel(f'127.0.0.1:{p}')
grpc.channel_ready_future(c).result(10)
print('ready')
c.close()
s.stop(0).wait()
"""),
    ("protobuf", "google.protobuf", """
from google.protobuf import struct_pb2, json_format
s = struct_pb2.Struct()
s['a'] = 1
print(json_format.MessageToJson(s), s.SerializeToString())
"""),
    ("bcrypt", "bcrypt", """
import bcrypt
h = bcrypt.hashpw(b'x', b'$2b$04$abcdefghijklmnopqrstuu')
print(h)
"""),
    ("pyzmq", "zmq", """
import zmq
c = zmq.Context()
a = c.socket(zmq.PAIR)
p = a.bind_to_random_port('tcp://127.0.0.1')
b = c.socket(zmq.PAIR)
b.connect(f'tcp://127.0.0.1:{p}')
b.send(b'x')
print(a.recv())
a.close()
b.close()
c.term()
"""),
    ("h5py", "h5py", """
import h5py, os
f = h5py.File('x.h5', 'w')
f['a'] = [1, 2]
print(f['a'][...])
f.close()
os.remove('x.h5')
"""),
    ("shapely", "shapely", """
import shapely
print(shapely.Point(0, 0).buffer(1).area)
"""),
    ("polars", "polars", """
import polars as pl
print(pl.DataFrame({'a': [1, 2]}).select(pl.col('a').sum()))
"""),
    ("ujson", "ujson", """
import ujson
print(ujson.dumps([1, {'a': 2}]), ujson.loads('[1]'))
"""),
    ("simplejson", "simplejson", """
import simplejson, decimal
print(simplejson.dumps(decimal.Decimal('1.5')), simplejson.loads('[1.5]'))
"""),
    ("lz4", "lz4.frame", """
import lz4.frame as l
print(l.decompress(l.compress(b'x' * 100)))
"""),
    ("zstandard", "zstandard", """
import zstandard as z
print(z.ZstdDecompressor().decompress(z.ZstdCompressor().compress(b'x' * 100)))
"""),
    ("markupsafe", "markupsafe", """
from markupsafe import Markup, escape
print(escape('<a>'), Markup('<b>%s') % '<')
"""),
    ("tornado", "tornado.web", """
import tornado.web, tornado.ioloop, tornado.httpserver, asyncio
print(tornado.web.RequestHandler, tornado.version)
"""),
    ("wrapt", "wrapt", """
import wrapt

@wrapt.decorator
def d(w, i, a, k):
    return w(*a, **k) + 1

@d
def f(x):
    return x
print(f(1), type(f))
"""),
    ("multidict", "multidict", """
import multidict
m = multidict.CIMultiDict(a=1)
m.add('A', 2)
print(m.getall('a'), m)
"""),
    ("yarl", "yarl", """
import yarl
print(yarl.URL('http://a/b?c=1') / 'd', yarl.URL('http://x').with_query(a='é'))
"""),
    ("numba", "numba", """
import numba

@numba.njit
def f(x):
    return x + 1
print(f(2))
"""),
    ("pyarrow", "pyarrow", """
import pyarrow as pa, pyarrow.compute as c
print(c.sum(pa.array([1, 2, 3])), pa.table({'a': [1]}).schema)
"""),
    ("kiwisolver", "kiwisolver", """
import kiwisolver as k
x = k.Variable('x')
s = k.Solver()
s.addConstraint((x >= 3) | 'strong')
s.updateVariables()
print(x.value())
"""),
    ("contourpy", "contourpy", """
import contourpy
print(contourpy.contour_generator(z=[[0, 1], [1, 2]]).lines(0.5))
"""),
    ("hypothesis", "hypothesis", """
import hypothesis, hypothesis.strategies as st

@hypothesis.settings(database=None, derandomize=True)
@hypothesis.given(st.integers())
def f(x):
    assert x == x
f()
print('ok')
"""),
    ("jinja2", "jinja2", """
import jinja2
print(jinja2.Template('{{ a|upper }}').render(a='x'))
"""),
    ("psutil", "psutil", """
import psutil, os
print(psutil.Process().pid == os.getpid(), psutil.cpu_count() > 0)
"""),
    ("black", "black", """
import black
print(black.format_str('x=( 1,2 )', mode=black.Mode()))
"""),
    ("mypy", "mypy.api", """
import mypy.api
print(mypy.api.run(['--cache-dir=cache', '-c', 'x: int = str()']))
"""),
]
