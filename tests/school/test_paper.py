"""What a PDF draws, read from its pages."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app.school import edit, paper
from app.school.model import Placement, Plan, Resource, School, Subject
from app.school.paper import latin, pdf

WIDTH, HEIGHT, MARGIN = 841.89, 595.28, 34.0
STREAMS = re.compile(rb"stream\n(.*?)\nendstream", re.DOTALL)
# As fpdf2 writes them, a line each.
TEXT = r"BT (?P<x>\S+) (?P<y>\S+) Td .*?\((?P<text>.*)\) Tj ET"
BOX = r"(?P<left>\S+) (?P<top>\S+) (?P<width>\S+) -(?P<height>\S+) re"


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    width: float
    height: float
    colour: str
    texts: tuple[str, ...]

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top - self.height


@dataclass(frozen=True)
class Page:
    """Lengths in points, from the lower left corner."""

    texts: dict[str, tuple[float, float]]
    boxes: list[Box]


def read(data: bytes) -> list[Page]:
    return [_page(zlib.decompress(stream).decode("latin-1").splitlines()) for stream in STREAMS.findall(data)]


def _page(lines: list[str]) -> Page:
    found, boxes, colour = [], list[Box](), ""
    for line in lines:
        if filled := re.fullmatch(r"((?:[\d.]+ )+)(?:rg|g)", line):
            colour = filled[1]
        elif match := re.search(TEXT, line):
            found.append((match["text"].replace("\\", ""), float(match["x"]), float(match["y"])))
        elif match := re.match(BOX, line):
            left, top, width, height = map(float, match.groups())
            boxes.append(Box(left, top, width, height, colour, ()))
    return Page(
        {text: (x, y) for text, x, y in found},
        [
            replace(
                box, texts=tuple(text for text, x, y in found if box.left < x < box.right and box.bottom < y < box.top)
            )
            for box in boxes
        ],
    )


def plan(*placed: tuple[str, str, int]) -> Plan:
    return Plan(id="", name="-", placements=tuple(Placement(lesson=a, time=b, duration=c) for a, b, c in placed))


PLAN = plan(("l13", "d1p1", 2), ("l14", "d2p1", 1))
SINGLE = plan(("l14", "d2p1", 1))


def page(school: School, plan: Plan = PLAN, resource: str = "c6") -> Page:
    (found,) = read(pdf(school, plan, [resource], "Gerado hoje"))
    return found


def test_each_lesson_stands_in_the_box_of_its_time(school: School) -> None:
    texts = [box.texts for box in page(school).boxes]
    assert texts == [("Arte", "Ana"), ("Física", "Bia"), ("Arte", "Ana"), (), (), ()]


def test_the_boxes_fill_the_page_between_its_margins(school: School) -> None:
    boxes = page(school).boxes
    assert [box.left for box in boxes[2:4]] == [box.left for box in boxes[:2]]
    assert boxes[0].right == pytest.approx(boxes[1].left, abs=0.1)
    assert boxes[0].bottom == pytest.approx(boxes[2].top, abs=0.1)
    assert boxes[1].right == pytest.approx(WIDTH - MARGIN, abs=0.1)
    assert len({box.width for box in boxes}) == len({box.height for box in boxes}) == 1


def test_days_stand_above_their_boxes_and_periods_beside(school: School) -> None:
    found = page(school)
    for day, box in zip(("Segunda", "Terça"), found.boxes, strict=False):
        x, y = found.texts[day]
        assert box.left < x < box.right - box.width / 3
        assert box.top < y < box.top + 17
    for period, times, box in zip(
        ("1ª", "2ª", "3ª"), ("07:30-08:20", "08:20-09:10", "09:10-10:00"), found.boxes[::2], strict=True
    ):
        (x, upper), (_, lower) = found.texts[period], found.texts[times]
        assert MARGIN <= x < box.left
        assert box.bottom < lower < upper < box.top


def test_a_break_is_a_gap(school: School) -> None:
    first, *others = school.week.periods
    broken = (first.model_copy(update={"break_after": True}), *others)
    school = school.model_copy(update={"week": school.week.model_copy(update={"periods": broken})})
    boxes = page(school, SINGLE).boxes
    assert boxes[0].bottom - boxes[2].top == pytest.approx(5.67, abs=0.1)
    assert boxes[2].bottom == pytest.approx(boxes[4].top, abs=0.1)


@pytest.mark.parametrize("breaks", [False, True])
def test_a_long_day_ends_above_the_note(school: School, breaks: bool) -> None:
    some = school.week.periods[0].model_copy(update={"break_after": breaks})
    many = tuple(some.model_copy(update={"id": f"p{number}", "name": f"{number}ª"}) for number in range(1, 15))
    school = school.model_copy(update={"week": school.week.model_copy(update={"periods": many})})
    found = page(school, SINGLE)
    (left, note), least = found.texts["Gerado hoje"], min(box.bottom for box in found.boxes)
    assert left == pytest.approx(MARGIN, abs=3)
    assert 0 < note < note + 7 < least < note + 45


def test_on_the_longest_day_each_lesson_stands_in_its_box(school: School) -> None:
    some, numbers = school.week.periods[0], range(1, edit.MOST_PERIODS + 1)
    many = tuple(some.model_copy(update={"id": f"p{number}"}) for number in numbers)
    school = school.model_copy(update={"week": school.week.model_copy(update={"periods": many})})
    assert [box.texts for box in page(school, SINGLE).boxes if box.texts] == [("Física", "Bia")]


def test_a_subject_has_one_colour_and_a_free_time_none(school: School) -> None:
    closed = school.model_copy(update={"week": school.week.model_copy(update={"closed": frozenset({"d2p3"})})})
    colours = [box.colour for box in page(closed).boxes]
    art, physics, again, free, _, shut = colours
    assert art == again
    assert free == "1 1 1 "
    assert len({art, physics, free, shut}) == 4
    assert all(float(part) > 0.8 for colour in colours for part in colour.split())


def test_subjects_have_the_colours_of_the_pages(school: School) -> None:
    style = Path(paper.__file__).parents[1].joinpath("web", "static", "style.css").read_text()
    tones = re.findall(r"[.]tone-\d [{] background: #(\w{6})", style)
    assert [bytes(tone).hex() for tone in paper.TONES] == tones


def test_where_colours_run_out_they_begin_again(school: School) -> None:
    for number in range(len(school.subjects), len(paper.TONES) + 1):
        school = edit.put(school, "subjects", Subject(id="", name=f"Oficina {number}"))
    last = school.lessons[1].model_copy(update={"subject": school.subjects[-1].id})
    first, again = page(edit.put_lesson(school, last)).boxes[:2]
    assert (first.texts[0], again.texts[0]) == ("Arte", school.subjects[-1].name)
    assert first.colour == again.colour


def test_two_lessons_at_a_time_share_the_box(school: School) -> None:
    found = page(school, plan(("l14", "d1p1", 1), ("l15", "d1p1", 1)))
    box = found.boxes[0]
    assert box.texts == ("Física", "Bia", "Inglês", "Ana")
    heights = [found.texts[text][1] for text in box.texts]
    assert heights == sorted(heights, reverse=True)
    assert heights[1] > box.bottom + box.height / 2 > heights[2]


def test_of_two_lessons_each_has_one_line_for_who_is_there(school: School) -> None:
    lessons = (*school.lessons[:2], school.lessons[2].model_copy(update={"rooms": ("r9",)}))
    found = page(school.model_copy(update={"lessons": lessons}), plan(("l15", "d1p1", 1), ("l14", "d1p1", 1)))
    assert found.boxes[0].texts == ("Inglês", "Ana, Quadra", "Física", "Bia")


def test_every_page_looks_alike(school: School) -> None:
    data = pdf(school, PLAN, ["c6", "c6"], "Gerado hoje")
    first, second = (set(zlib.decompress(stream).splitlines()) for stream in STREAMS.findall(data))
    assert {line for line in second if b"Tj" in line} == {line for line in first if b"Tj" in line}


def test_who_has_no_line_of_their_own_shares_the_last(school: School) -> None:
    for name in ("Caio", "Davi", "Eva", "Gil", "Hugo", "Ivo"):
        school = edit.put(school, "rooms", Resource(id="", name=name))
    rooms = tuple(room.id for room in school.rooms)
    lesson = school.lessons[0].model_copy(update={"rooms": rooms})
    school = school.model_copy(update={"lessons": (lesson, *school.lessons[1:])})
    found = page(school, plan(("l13", "d1p1", 2)))
    subject, *who, last = found.boxes[0].texts
    assert (subject, who[0], "Quadra" in last) == ("Arte", "Ana", True)
    assert ", ".join((*who, last)) == "Ana, Caio, Davi, Eva, Gil, Hugo, Ivo, Quadra"
    assert len(who) > 1


def test_what_is_too_long_is_cut(school: School) -> None:
    names = tuple(subject.model_copy(update={"name": "M" * 70}) for subject in school.subjects)
    texts = page(school.model_copy(update={"subjects": names})).boxes[0].texts
    assert re.fullmatch("M{20,50}[.]{3}", texts[0])


def test_everybody_has_a_page_with_the_names_of_theirs_and_the_school(school: School) -> None:
    data = pdf(school, PLAN, ["c6", "t7"], "Gerado hoje")
    for found, name in zip(read(data), ("6A", "Ana"), strict=True):
        assert {name, "Escola", "Gerado hoje"} <= found.texts.keys()
        assert HEIGHT - 70 < found.texts["Escola"][1] < found.texts[name][1] < HEIGHT - MARGIN
    assert b"/Title (Escola)" in data or "Escola".encode("utf-16-be") in data


@pytest.mark.parametrize(
    ("text", "known"), [("José – 1ª", "José - 1ª"), ("Łódź", "?ódz"), ("a\u0301", "á"), ("😀\x07", "??"), ("—", "-")]
)
def test_letters_that_paper_lacks_lose_their_accents(text: str, known: str) -> None:
    assert latin(text) == known
