"""A dashboard as a picture (SVG) for the documentation: what its panels' queries answered, plainer than in Grafana."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

# Inches; a row of panels.
WIDTH, ROW, COLUMNS = 10.5, 2.2, 2
LEGENDS, LEGEND, LINES, LETTERS = 4, 34, 10, 66
# Seconds between two points that belong together, and between two ticks.
CONNECTED, TICK = 60, 600


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
    text = io.StringIO()
    # Text stays text, and the same data gives the same file.
    with rc_context({"font.size": 7, "axes.titleweight": "bold", "svg.fonttype": "none", "svg.hashsalt": title}):
        dashboard(title, panels, span, marks).savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def dashboard(
    title: str, panels: Sequence[Drawn], span: tuple[float, float], marks: Sequence[tuple[float, str]] = ()
) -> Figure:
    """As `picture`, with a panel in each of its axes."""
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(WIDTH, ROW * rows), layout="constrained")
    figure.suptitle(f"{title}: {_moment(span[0]):%Y-%m-%d %H:%M} to {_moment(span[1]):%H:%M} UTC")
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.set_title(panel.title, loc="left")
        if panel.kind == "timeseries":
            _chart(axes, panel, marks)
            axes.set_xlim(span)
        else:
            axes.set_axis_off()
            _write(axes, panel)
    return figure


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


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _write(axes: Axes, panel: Drawn) -> None:
    """The newest values, or the first lines."""
    if panel.kind == "stat":
        values = [f"{each.legend} {number(each.points[-1][1], panel.unit)}" for each in panel.series]
        axes.text(0.5, 0.5, "\n".join(values), ha="center", va="center", size=20)
    else:
        rows = [part for line in panel.lines for part in wrap(line, LETTERS)[:2]]
        axes.text(0, 1, "\n".join(rows[:LINES]), va="top", family="monospace", parse_math=False)


def _chart(axes: Axes, panel: Drawn, marks: Sequence[tuple[float, str]]) -> None:
    for index, each in enumerate(panel.series):
        label = each.legend[-LEGEND:]
        for run in _runs(each.points):
            moments, values = zip(*run, strict=True)
            # A point alone is a dot.
            marker = "." if len(run) == 1 else ""
            axes.plot(moments, values, color=f"C{index}", linewidth=1, marker=marker, label=label)
            # Of a series, one line is named.
            label = ""
    for at, colour in marks:
        axes.axvline(at, color=colour, linestyle="--", linewidth=1)
    axes.set_ylim(bottom=min(0, axes.dataLim.y0))
    axes.yaxis.set_major_formatter(lambda value, _: number(value, panel.unit))
    axes.xaxis.set_major_locator(MultipleLocator(TICK))
    axes.xaxis.set_major_formatter(lambda value, _: f"{_moment(value):%H:%M}")
    axes.grid(alpha=0.3)
    lines, _ = axes.get_legend_handles_labels()
    if len(lines) > LEGENDS:
        axes.set_title(f"{len(lines) - LEGENDS} more than are named", loc="right")
    axes.legend(handles=lines[:LEGENDS], loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2, frameon=False)


def _runs(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """The points without those times of which nothing is known."""
    run: list[tuple[float, float]] = []
    for at, value in points:
        if run and at - run[-1][0] > CONNECTED:
            yield run
            run = []
        run.append((at, value))
    yield run
