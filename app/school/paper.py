"""Weeks on paper: a PDF with one A4 page each."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.school.model import Plan, School
from app.school.view import Cell, Weeks

if TYPE_CHECKING:
    from fpdf import FPDF

# Millimetres.
MARGIN = 12.0
NARROW = 24.0
TONES = (
    (230, 242, 238), (253, 240, 217), (231, 238, 251), (251, 231, 231), (240, 233, 248),
    (228, 244, 247), (246, 238, 223), (235, 244, 221), (251, 232, 242), (236, 238, 241),
)  # fmt: skip


def pdf(school: School, plan: Plan, resources: Iterable[str], note: str) -> bytes:
    """The weeks of `resources`, with `note` at the foot of each page."""
    # Here, not above: a server that starts need not wait for it.
    from fpdf import FPDF

    paper = FPDF(orientation="landscape", format="A4")
    paper.set_auto_page_break(False)
    paper.set_title(latin(school.name))
    paper.set_creator("School Scheduler")
    weeks = Weeks(school, plan)
    for resource in resources:
        paper.add_page()
        _page(paper, school, weeks, resource)
        paper.set_y(-MARGIN)
        paper.set_font("Helvetica", size=7)
        paper.set_text_color(90)
        paper.cell(0, 4, latin(note))
    return bytes(paper.output())


def _page(paper: FPDF, school: School, weeks: Weeks, resource: str) -> None:
    paper.set_margins(MARGIN, MARGIN)
    paper.set_xy(MARGIN, MARGIN)
    paper.set_text_color(29, 39, 51)
    paper.set_font("Helvetica", "B", 16)
    paper.cell(0, 8, latin(school.names[resource]), new_x="LMARGIN", new_y="NEXT")
    paper.set_font("Helvetica", size=9)
    paper.cell(0, 5, latin(school.name), new_x="LMARGIN", new_y="NEXT")
    rows, days = weeks.of(resource), school.week.days
    top = MARGIN + 17
    width = (paper.w - 2 * MARGIN - NARROW) / len(days)
    breaks = sum(row.period.break_after for row in rows[:-1])
    height = min(24.0, (paper.h - top - 6 - 2 * MARGIN - 2 * breaks) / len(rows))
    paper.set_font("Helvetica", "B", 9)
    for index, day in enumerate(days):
        paper.set_xy(MARGIN + NARROW + index * width, top)
        paper.cell(width, 6, latin(day.name), align="C")
    y = top + 6
    for row in rows:
        paper.set_xy(MARGIN, y + 1)
        paper.set_font("Helvetica", "B", 8)
        period = _fitted(paper, row.period.name, NARROW - 1)
        paper.cell(NARROW, 4, period, new_x="LMARGIN", new_y="NEXT")
        paper.set_font("Helvetica", size=7)
        paper.cell(NARROW, 3, f"{row.period.begins}-{row.period.ends}")
        for index, cell in enumerate(row.cells):
            _cell(paper, cell, (MARGIN + NARROW + index * width, y, width, height))
        y += height + (2 if row.period.break_after else 0)


def _cell(paper: FPDF, cell: Cell, box: tuple[float, float, float, float]) -> None:
    x, y, width, height = box
    paper.set_draw_color(200)
    red, green, blue = (
        TONES[cell.entries[0].tone] if cell.entries else (255, 255, 255) if cell.open else (245, 245, 245)
    )
    paper.set_fill_color(red, green, blue)
    paper.rect(x, y, width, height, style="DF")
    # What hangs on a wall is read from afar, where the rows are high enough.
    size = 1.3 if height > 18 and len(cell.entries) == 1 else 1.0
    for index, entry in enumerate(cell.entries[:2]):
        line = y + 0.8 + index * height / 2
        paper.set_xy(x + 1, line)
        paper.set_font("Helvetica", "B", 8 * size)
        paper.cell(width - 2, 3.6 * size, _fitted(paper, entry.subject, width - 2))
        paper.set_font("Helvetica", size=7 * size)
        room = 1 if len(cell.entries) > 1 else max(1, int((height - 5 * size) / (3.2 * size)))
        lines = entry.who if len(entry.who) <= room else (*entry.who[: room - 1], ", ".join(entry.who[room - 1 :]))
        for number, each in enumerate(lines):
            paper.set_xy(x + 1, line + (3.8 + number * 3.2) * size)
            paper.cell(width - 2, 3.2 * size, _fitted(paper, each, width - 2))


def _fitted(paper: FPDF, text: str, width: float) -> str:
    text = latin(text)
    if paper.get_string_width(text) <= width - 2:
        return text
    while text and paper.get_string_width(text + "...") > width - 2:
        text = text[:-1]
    return text.rstrip() + "..."


def latin(text: str) -> str:
    """The text in the characters of PDF's own fonts, Latin-1: letters that it has not lose their accents."""
    known = []
    for each in unicodedata.normalize("NFC", text).replace("–", "-").replace("—", "-"):
        plain = unicodedata.normalize("NFKD", each)[0]
        known.append(next((x for x in (each, plain) if ord(x) < 256 and x.isprintable()), "?"))
    return "".join(known)
