#!/usr/bin/env python3
"""Draws a run's cost against batch size: benches/plot.py benches/runs/RUN.json > benches/cost.svg"""

import json
import math
import sys
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 480, 70, 250, 50, 60
NAMES = {
    "powertools-python": ("Powertools, Python", "#b45309"),
    "powertools-node": ("Powertools, TypeScript", "#ca8a04"),
    "rust-value": ("SqsEvent + serde_json::Value", "#64748b"),
    "rust-simd-json": ("typed simd-json", "#7c3aed"),
    "rust-serde_json": ("typed serde_json", "#2563eb"),
    "rust-sonic-rs": ("typed sonic-rs", "#0891b2"),
    "tollgate": ("Tollgate", "#dc2626"),
}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        run = json.load(file)
    sizes = {int(size): row for size, row in run["us_per_record_by_batch_size"].items()}
    values = [us for row in sizes.values() for us in row.values()]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    across = span(min(sizes), max(sizes), LEFT, WIDTH - RIGHT)
    up = span(low, high, HEIGHT - BOTTOM, TOP)
    machine = run["machine"]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFT, 22, "Batch bytes to all outputs, one core: µs a record against records in the batch", size=14),
        text(LEFT, 38, f"{machine['cpu']}, {run['at'][:10]}; both axes logarithmic", fill="#64748b"),
    ]
    for tick in ticks(low, high):
        y = up(tick)
        out.append(line([(LEFT, y), (WIDTH - RIGHT, y)], "#e2e8f0", 1))
        out.append(text(LEFT - 8, y + 4, f"{tick:g}", anchor="end"))
    for size in sorted(sizes):
        x = across(size)
        out.append(line([(x, TOP), (x, HEIGHT - BOTTOM)], "#e2e8f0", 1))
        # The largest batch stands close to a thousand records.
        lower = 16 if size == max(sizes) and len(sizes) > 1 else 0
        out.append(text(x, HEIGHT - BOTTOM + 18 + lower, f"{size:,}", anchor="middle"))
    last = max(sizes)
    beside = apart([(up(sizes[last][name]), name) for name in NAMES])
    for name, (words, colour) in NAMES.items():
        points = [(across(size), up(sizes[size][name])) for size in sorted(sizes)]
        out.append(line(points, colour, 3 if name == "tollgate" else 1.5))
        out.extend(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points)
        out.append(text(WIDTH - RIGHT + 12, beside[name] + 4, f"{words}: {sizes[last][name]:.1f}", fill=colour))
    out.append("</svg>")
    print("\n".join(out))


def span(low, high, start, end):
    """From a value to its place, by logarithm."""
    return lambda value: start + (end - start) * math.log(value / low) / math.log(high / low)


def ticks(low, high):
    while low <= high:
        yield from (low * step for step in (1, 2, 5) if low * step <= high)
        low *= 10


def apart(labels, least=15):
    """Labels' heights, moved down where they would cover each other."""
    heights, previous = {}, -math.inf
    for y, name in sorted(labels):
        previous = max(y, previous + least)
        heights[name] = previous
    return heights


def line(points, colour, width):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def text(x, y, words, anchor="start", fill="#0f172a", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">{escape(words)}</text>'


main()
