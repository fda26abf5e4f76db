from __future__ import annotations

from xml.etree import ElementTree

import pytest

from observability.picture import Drawn, Series, number, picture


def elements(drawn: str, tag: str) -> list[ElementTree.Element]:
    """Of a picture, which is our own."""
    return list(ElementTree.fromstring(drawn).iter(f"{{http://www.w3.org/2000/svg}}{tag}"))  # noqa: S314


def test_a_line_goes_from_the_lower_left_to_the_upper_right_of_its_chart() -> None:
    drawn = picture("Users", [Drawn("Requests", "timeseries", "reqps", [Series("all", [(0, 0), (60, 2)])])], (0, 60))
    (line,) = elements(drawn, "polyline")
    (left, bottom), (right, top) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    assert left < right and top < bottom


def test_what_a_log_says_is_no_markup() -> None:
    drawn = picture("Users", [Drawn("Log", "logs", "short", lines=["<script>&"])], (0, 60))
    assert "<script>&" in [each.text for each in elements(drawn, "text")]


@pytest.mark.parametrize(
    ("value", "unit", "read"),
    [(0.015, "percentunit", "1.5 %"), (5400, "s", "1.5 h"), (3 * 2**20, "bytes", "3 MiB"), (0.25, "reqps", "0.25/s")],
)
def test_a_value_is_read_in_its_unit(value: float, unit: str, read: str) -> None:
    assert number(value, unit) == read
