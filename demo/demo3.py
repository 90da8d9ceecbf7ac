"""A dozen modules of the standard library, each doing something small.

Cold, most of the time of this script goes into the imports.
"""

import argparse
import base64
import collections
import csv
import dataclasses
import datetime
import decimal
import hashlib
import io
import json
import pathlib
import random
import re
import statistics
import tempfile
import textwrap


@dataclasses.dataclass
class Shape:
    name: str
    corners: int


def lines():
    yield "argparse", argparse.ArgumentParser(prog="demo3").format_usage().split()[1]
    yield "base64", base64.b64encode(b"warm").decode()
    yield "collections", collections.Counter("mississippi").most_common(1)[0]
    yield "csv", next(csv.reader(io.StringIO('a,"b,c",d')))
    yield "dataclasses", dataclasses.asdict(Shape("square", 4))
    yield "datetime", (datetime.date(2000, 2, 28) + datetime.timedelta(days=2)).isoformat()
    yield "decimal", decimal.Decimal("0.1") + decimal.Decimal("0.2")
    yield "hashlib", hashlib.sha256(b"warm").hexdigest()[:16]
    yield "json", json.dumps({"warm": True, "ms": 1})
    yield "pathlib", pathlib.PurePosixPath("/usr/bin/python3").with_name("env")
    yield "random", sorted(random.Random(3).sample(range(100), 3))
    yield "re", re.sub(r"(\w+) (\w+)", r"\2 \1", "world hello")
    yield "statistics", statistics.median([3, 1, 2])
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 1000)
        yield "tempfile", file.tell()
    yield "textwrap", textwrap.shorten("a long line that has to be cut somewhere", 20)


def main():
    for name, value in lines():
        print(f"{name:<12} {value}")


if __name__ == "__main__":
    main()
