from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from observability.dashboards import DASHBOARDS
from observability.picture import Drawn, Series, number, picture
from tests.conftest import ROOT


def elements(drawn: str, tag: str) -> list[ElementTree.Element]:
    """Of a picture, which is our own."""
    return list(ElementTree.fromstring(drawn).iter(f"{{http://www.w3.org/2000/svg}}{tag}"))  # noqa: S314


def lines(points: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The lines, each as its points, that a chart draws of one series."""
    drawn = picture("Users", [Drawn("Requests", "timeseries", "reqps", [Series("all", points)])], (0, 600))
    (path,) = [each.attrib["d"] for each in elements(drawn, "path") if "fill" in each.attrib]
    pieces = [re.findall(r"([\d.]+) ([\d.]+)", piece) for piece in path.split("M")[1:]]
    return [[(float(x), float(y)) for x, y in piece] for piece in pieces]


def test_a_line_goes_from_the_lower_left_to_the_upper_right_of_its_chart() -> None:
    (((left, bottom), (right, top)),) = lines([(0, 0), (15, 2)])
    assert left < right and top < bottom


def test_a_time_of_which_nothing_is_known_parts_a_line() -> None:
    assert [len(line) for line in lines([(0, 1), (15, 1), (300, 1), (315, 1), (330, 1)])] == [2, 3]


def test_what_a_log_says_is_no_markup() -> None:
    drawn = picture("Users", [Drawn("Log", "logs", "short", lines=["<script>&"])], (0, 60))
    assert "<script>&" in [each.text for each in elements(drawn, "text")]


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
    drawn = (ROOT / "docs" / "images" / f"dashboard-{uid}.svg").read_text()
    title, panels = DASHBOARDS[uid]
    bold = [each.text or "" for each in elements(drawn, "text") if each.attrib["class"] == "t"]
    assert bold[0].startswith(f"{title}: ") and bold[1:] == [panel.title for panel in panels]
