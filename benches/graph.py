"""A picture of medians: one group of bars for each kind of script, on a logarithmic axis.

Owns the drawing alone; what is drawn was measured by `run`.
"""

import html
import math
from typing import Dict, List

WIDTH, BAR, GAP, LEFT, TOP = 760, 16, 14, 190, 56
COLOURS = ["#8c959f", "#bf8700", "#1a7f37", "#0969da"]


def draw(title: str, groups: Dict[str, Dict[str, float]]) -> str:
    """SVG text. `groups`: by kind of script, milliseconds by way of running it; a way that is missing has no bar."""
    ways: List[str] = []
    for group in groups.values():
        ways += [way for way in group if way not in ways]
    values = [value for group in groups.values() for value in group.values()]
    low = 10 ** math.floor(math.log10(min(values)))
    high = 10 ** math.ceil(math.log10(max(values)))
    scale = (WIDTH - LEFT - 90) / math.log10(high / low)
    height = TOP + sum(len(group) * BAR + GAP for group in groups.values()) + 30
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">' % (WIDTH, height),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        '<text x="10" y="20" font-size="14" fill="#1f2328">%s</text>' % html.escape(title),
    ]
    at = LEFT
    for way, colour in zip(ways, COLOURS):
        out.append('<rect x="%d" y="32" width="10" height="10" fill="%s"/>' % (at, colour))
        out.append('<text x="%d" y="41" fill="#1f2328">%s</text>' % (at + 14, html.escape(way)))
        at += 34 + 7 * len(way)
    tick = low
    while tick <= high:
        x = LEFT + scale * math.log10(tick / low)
        out.append('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#d0d7de"/>' % (x, TOP - 6, x, height - 24))
        out.append('<text x="%.1f" y="%d" text-anchor="middle" fill="#656d76">%g ms</text>' % (x, height - 8, tick))
        tick *= 10
    y = TOP
    for name, group in groups.items():
        out.append('<text x="%d" y="%.1f" text-anchor="end" fill="#1f2328">%s</text>' % (LEFT - 10, y + len(group) * BAR / 2 + 4, html.escape(name)))
        for way, value in group.items():
            length = max(scale * math.log10(value / low), 1)
            out.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>' % (LEFT, y, length, BAR - 3, COLOURS[ways.index(way)]))
            out.append('<text x="%.1f" y="%d" fill="#1f2328">%.3g</text>' % (LEFT + length + 5, y + BAR - 5, value))
            y += BAR
        y += GAP
    return "\n".join(out + ["</svg>", ""])
