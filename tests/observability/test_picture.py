from __future__ import annotations

import re
from html import unescape

import numpy
import pytest

from observability.dashboards import DASHBOARDS
from observability.picture import Drawn, Series, dashboard, number, picture
from tests.conftest import ROOT


def words(drawn: str) -> list[str]:
    """Every text of a picture."""
    return [unescape(each) for each in re.findall(r"<text[^>]*>([^<]*)</text>", drawn)]


def test_a_time_of_which_nothing_is_known_parts_a_line() -> None:
    points = [(0.0, 1.0), (15, 2), (300, 1), (315, 1), (330, 3)]
    drawn = dashboard("Users", [Drawn("Requests", "timeseries", "reqps", [Series("all", points)])], (0, 600))
    lines = [len(numpy.asarray(line.get_xdata())) for line in drawn.axes[0].get_lines()]
    assert lines == [2, 3]


def test_the_newest_value_of_each_series_is_written() -> None:
    left = [Series("pages", [(0, 2592), (15, 2472)]), Series("saves", [(15, 2592)])]
    drawn = picture("Users", [Drawn("Error budget left", "stat", "s", left)], (0, 60))
    assert {"pages 41.2 min", "saves 43.2 min"} <= set(words(drawn))


def test_what_a_log_says_is_no_markup() -> None:
    drawn = picture("Users", [Drawn("Log", "logs", "short", lines=["<script>&$x$"])], (0, 60))
    assert "<script>&$x$" in words(drawn)


@pytest.mark.parametrize(
    ("value", "unit", "read"),
    [
        (0.015, "percentunit", "1.5 %"),
        (-723, "percentunit", "-72,300 %"),
        (5400, "s", "1.5 h"),
        (3 * 2**20, "bytes", "3 MiB"),
        (0.25, "reqps", "0.25/s"),
    ],
)
def test_a_value_is_read_in_its_unit(value: float, unit: str, read: str) -> None:
    assert number(value, unit) == read


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_the_documented_picture_has_every_panel(uid: str) -> None:
    drawn = words((ROOT / "docs" / "images" / f"dashboard-{uid}.svg").read_text())
    title, panels = DASHBOARDS[uid]
    assert any(each.startswith(f"{title}: ") for each in drawn)
    assert {panel.title for panel in panels} <= set(drawn)
