"""Schools that Hypothesis draws, with everything in them that a school can have."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from app.school import edit
from app.school.edit import folded
from app.school.message import SchoolError
from app.school.model import (
    MOST_NAME,
    Day,
    Kind,
    Lesson,
    Mark,
    Period,
    Placement,
    Plan,
    Resource,
    School,
    Subject,
    Week,
)
from app.school.names import clean

# The same at every run, and nothing is written.
repeatable = settings(derandomize=True, database=None, deadline=None, max_examples=60)
HARD = (
    "C++", "+", "A + B", '"', '"A" + B', '""', "A; B", "A, B", "A / B", "A e B", "=1+1", "-1", "@x", "'=1", "''-1", "'",
    "007", "7", "1e5", "1.50", "1ª aula", "1ª aula (07:30)", "José", "Jose\u0301", "JOSE", "ﬁ", "Straße", "İ", "ß",
    "שלום", "مرحبا 1", "\u202eabc", "👩\u200d🏫", "a\tb", "a\nb", "a\x07b", "a\u00a0b", "a\u2028b", "\ufeffa",
    "<a>&\"'", "]]>", "&amp;", "%s", "{name}", "nunca", "turma", "x" * 80, "😀" * 31 + "a", "[a]:*?/\\",
    "\u0308", "\u0958",
)  # fmt: skip
texts = st.sampled_from(HARD) | st.text(min_size=1, max_size=MOST_NAME)
names = texts.filter(lambda text: bool(clean(text)))
labels = st.sampled_from(("", "", "A", "B + C", '"x"', "\x07")) | st.text(max_size=40)
MARKS: tuple[Mark, ...] = ("never", "avoid", "prefer")


def unique(most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(names, min_size=1, max_size=most, unique_by=lambda name: folded(clean(name)))


@st.composite
def weeks(draw: st.DrawFn) -> Week:
    """Days and lessons of a day may have one name, as those of two shifts do."""
    days = tuple(Day(id=f"d{n}", name=draw(names)) for n in range(1, 1 + draw(st.integers(1, 4))))
    shifts = draw(st.lists(labels, min_size=1, max_size=2))
    periods = tuple(
        Period(
            id=f"p{number}",
            name=draw(names),
            begins=edit.clock(450 + 50 * number),
            ends=edit.clock(500 + 50 * number),
            shift=draw(st.sampled_from(shifts)),
            break_after=draw(st.booleans()),
        )
        for number in range(1, 1 + draw(st.integers(1, 5)))
    )
    slots = Week(days=days, periods=periods).slots
    closed = draw(st.sets(st.sampled_from(slots), max_size=len(slots) - 1))
    return Week(days=days, periods=periods, closed=frozenset(closed))


@st.composite
def resources(draw: st.DrawFn, school: School, kind: Kind, name: str) -> Resource:
    limits = {}
    if kind != "rooms":
        some = st.none() | st.integers(0, 6)
        limits = {field: draw(some) for field in ("most_days", "most_a_day", "most_idle")}
    shift = draw(st.sampled_from(("", *school.week.shifts))) if kind == "classes" else ""
    slots = st.sampled_from(school.week.slots)
    marks = draw(st.dictionaries(slots, st.sampled_from(MARKS), max_size=len(school.week.slots)))
    return Resource(id="", name=name, shift=shift, marks=marks, **limits)


@st.composite
def lessons(draw: st.DrawFn, school: School) -> Lesson:
    weekly = draw(st.integers(1, len(school.week.slots)))

    def some(kind: Kind, least: int = 0) -> tuple[str, ...]:
        every = [each.id for each in getattr(school, kind)]
        return tuple(draw(st.lists(st.sampled_from(every), min_size=least, max_size=3, unique=True))) if every else ()

    return Lesson(
        id="",
        subject=draw(st.sampled_from([each.id for each in school.subjects])),
        classes=some("classes", 1),
        teachers=some("teachers"),
        rooms=some("rooms"),
        weekly=weekly,
        doubles=draw(st.integers(0, weekly // 2)),
        parallel=draw(labels),
    )


@st.composite
def plans(draw: st.DrawFn, school: School) -> Plan:
    heads, slots = st.sampled_from(list(school.groups)), st.sampled_from(school.week.slots)
    placement = st.builds(Placement, lesson=heads, time=slots, duration=st.integers(1, 2), locked=st.booleans())
    placements = draw(st.lists(placement, max_size=8, unique_by=lambda each: each.id))
    return Plan(id="", name=draw(names), placements=tuple(placements))


@st.composite
def schools(draw: st.DrawFn) -> School:
    """A school with a lesson at least."""
    school = edit.begin("Escola", ("Segunda",), "{number}").model_copy(update={"name": clean(draw(names))})
    school = edit.set_week(school, draw(weeks()))
    kinds: tuple[Kind, ...] = ("classes", "teachers", "rooms")
    for kind in kinds:
        for name in draw(unique(3)):
            school = edit.put(school, kind, draw(resources(school, kind, name)))
    for name in draw(unique(3)):
        school = edit.put(school, "subjects", Subject(id="", name=name))
    for _ in range(draw(st.integers(1, 5))):
        try:
            school = edit.put_lesson(school, draw(lessons(school)))
        # Parallel lessons have to go together.
        except SchoolError:
            continue
    for _ in range(draw(st.integers(0, 2))):
        school = edit.put_plan(school, draw(plans(school)))
    return school
