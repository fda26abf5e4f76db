from __future__ import annotations

from app.engine.xhstt import read_instances
from app.instances import read
from app.school import conversion, edit, lowering
from app.school.model import School
from tests.conftest import BRAZIL, SAMPLE
from tests.school.conftest import DAYS

EMPTY = edit.begin("Escola", DAYS, "{number}ª")


def plain(school: School) -> list[tuple[object, ...]]:
    names = school.names
    return [
        (
            names[x.subject],
            *(tuple(names[y] for y in some) for some in (x.classes, x.teachers, x.rooms)),
            x.weekly,
            x.doubles,
        )
        for x in school.lessons
    ]


def test_a_school_comes_back_from_its_own_archive(school: School) -> None:
    school = edit.set_marks(school, "teachers", "t7", {"d1p1": "never", "d2p3": "avoid"})
    limited = school.teachers[1].model_copy(update={"most_days": 1, "most_a_day": 2, "most_idle": 0})
    school = edit.put(school, "teachers", limited)
    made, left = conversion.converted(EMPTY, read_instances(lowering.archive(school), "archive")[0])
    assert plain(made) == plain(school)
    assert [each.name for each in made.week.days] == list(DAYS)
    assert [(x.name, x.marks, x.most_days, x.most_a_day, x.most_idle) for x in made.teachers] == [
        (x.name, x.marks, x.most_days, x.most_a_day, x.most_idle) for x in school.teachers
    ]
    assert [each.text for each in left] == ["Weights: wishes have those of this program."]


def test_the_sample_school_becomes_one_that_can_be_edited() -> None:
    made, _ = conversion.converted(EMPTY, read(SAMPLE)[1])
    assert (len(made.classes), len(made.teachers), len(made.rooms), len(made.lessons)) == (4, 8, 2, 32)
    assert [each.break_after for each in made.week.periods] == [False, False, True, False, False]
    assert lowering.instance(made).events


def test_an_archive_of_elsewhere_is_taken_as_far_as_it_goes() -> None:
    made, _ = conversion.converted(EMPTY, read(BRAZIL)[1])
    assert sum(each.weekly for each in made.lessons) == sum(each.duration for each in read(BRAZIL)[1].events)
