"""A dashboard as a picture (SVG) for the documentation: what its panels' queries answered, plainer than in Grafana."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from textwrap import wrap

COLUMNS, WIDTH, HEIGHT, GAP, TOP = 2, 500, 190, 12, 44
# Of a panel's inside: its title, the numbers of the axis, the legend.
LEFT, ABOVE, BELOW = 62, 34, 40
COLOURS = ("#3274d9", "#e0752d", "#299c46", "#a352cc", "#e02f44", "#806c00", "#00838f", "#8f3bb8")
LEGENDS, LINES, LETTERS = 4, 9, 78
# Seconds between two points that belong together.
CONNECTED = 60
STYLE = (
    "text{font:11px sans-serif;fill:#222}.t{font-weight:bold;font-size:13px}.l{font:10px monospace}.n{font-size:36px}"
)


@dataclass(frozen=True)
class Series:
    """One line: what it is called, and (seconds of the epoch, value) of each point."""

    legend: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Drawn:
    """A panel with its answer: `series`, or `lines` of text for a table or a log."""

    title: str
    kind: str
    unit: str
    series: Sequence[Series] = ()
    lines: Sequence[str] = ()


def picture(
    title: str, panels: Sequence[Drawn], span: tuple[float, float], marks: Sequence[tuple[float, str]] = ()
) -> str:
    """The dashboard between two moments; `marks` are moments with a colour each."""
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + GAP, TOP + rows * (HEIGHT + GAP)
    begin, end = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in span)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#f4f5f7"/>{text(GAP, 28, f"{title}: {begin} to {end[11:]} UTC", "t")}'
    )
    placed = []
    for index, panel in enumerate(panels):
        row, column = divmod(index, COLUMNS)
        x, y = GAP + column * (WIDTH + GAP), TOP + row * (HEIGHT + GAP)
        frame = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff" stroke="#ddd"/>{text(10, 20, panel.title, "t")}'
        placed.append(f'<g transform="translate({x} {y})">{frame}{"".join(_inside(panel, span, marks))}</g>')
    return "\n".join([head, *placed, "</svg>", ""])


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def number(value: float, unit: str) -> str:
    """A value as a person reads it, in Grafana's units."""
    if unit == "percentunit":
        return f"{_digits(100 * value)} %"
    steps = {
        "s": [("d", 86400.0), ("h", 3600), ("min", 60)],
        "bytes": [("GiB", 2.0**30), ("MiB", 2**20), ("KiB", 2**10)],
    }
    for name, size in steps.get(unit, []):
        if abs(value) >= size:
            return f"{_digits(value / size)} {name}"
    return _digits(value) + {"s": " s", "bytes": " B", "reqps": "/s", "ops": "/s"}.get(unit, "")


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _inside(panel: Drawn, span: tuple[float, float], marks: Sequence[tuple[float, str]]) -> Iterator[str]:
    if panel.kind in ("logs", "table"):
        rows = [part for line in panel.lines for part in wrap(line, LETTERS)[:2]]
        for row, line in enumerate(rows[:LINES]):
            yield text(10, ABOVE + 10 + 17 * row, line, "l")
    elif panel.kind == "stat":
        newest = panel.series[0].points[-1][1]
        yield text(WIDTH / 2, HEIGHT / 2 + 16, number(newest, panel.unit), "n", "middle")
    else:
        yield from _chart(panel, span, marks)


def _chart(panel: Drawn, span: tuple[float, float], marks: Sequence[tuple[float, str]]) -> Iterator[str]:
    values = [0.0, *(value for each in panel.series for _, value in each.points)]
    lowest, highest = min(values), max(values)
    right, bottom = WIDTH - 12, HEIGHT - BELOW

    def across(at: float) -> float:
        return LEFT + (at - span[0]) / (span[1] - span[0]) * (right - LEFT)

    def up(value: float) -> float:
        return bottom - (value - lowest) / (highest - lowest or 1) * (bottom - ABOVE)

    for value in (lowest, (lowest + highest) / 2, highest):
        yield f'<path d="M{LEFT} {up(value):.1f}H{right}" stroke="#eee"/>'
        yield text(LEFT - 6, up(value) + 4, number(value, panel.unit), "", "end")
    for at, colour in marks:
        yield f'<path d="M{across(at):.1f} {ABOVE}V{bottom}" stroke="{colour}" stroke-dasharray="4 2"/>'
    for index, each in enumerate(panel.series):
        colour = COLOURS[index % len(COLOURS)]
        line, before = "", -math.inf
        for at, value in each.points:
            # Nothing is known of a time without points; a point alone is a dot.
            line += f"{'L' if at - before <= CONNECTED else 'M'}{across(at):.1f} {up(value):.1f}h0"
            before = at
        yield f'<path d="{line}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-linecap="round"/>'
        if index < LEGENDS:
            x, y = LEFT + index % 2 * 215, bottom + 16 + index // 2 * 15
            yield f'<path d="M{x} {y - 4}h12" stroke="{colour}" stroke-width="3"/>{text(x + 17, y, each.legend[-34:])}'
    if len(panel.series) > LEGENDS:
        yield text(right, 20, f"{len(panel.series) - LEGENDS} more than are named", "", "end")
