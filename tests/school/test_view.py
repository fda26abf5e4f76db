from __future__ import annotations

from app.school import edit
from app.school.model import Placement, Plan, School
from app.school.view import Weeks


def test_a_week_has_the_shifts_with_lessons_and_the_whole_one_those_that_could_have_some(school: School) -> None:
    shifts = {"p1": "Manhã", "p2": "Tarde", "p3": "Tarde"}
    periods = tuple(each.model_copy(update={"shift": shifts[each.id]}) for each in school.week.periods)
    school = edit.set_week(school, school.week.model_copy(update={"periods": periods}))
    school = edit.put(school, "classes", school.classes[0].model_copy(update={"shift": "Manhã"}))
    weeks = Weeks(school, Plan(id="", name="-", placements=(Placement(lesson="l14", time="d1p1", duration=1),)))

    def shown(resource: str, whole: bool = False) -> list[str]:
        return [row.period.id for row in weeks.of(resource, whole)]

    assert shown("c6") == shown("c6", whole=True) == shown("t8") == ["p1"]
    assert shown("t8", whole=True) == shown("t7") == ["p1", "p2", "p3"]


def test_a_double_begins_once_and_has_who_else_is_there(school: School) -> None:
    plan = Plan(id="", name="-", placements=(Placement(lesson="l13", time="d1p1", duration=2),))
    cells = [row.cells[0] for row in Weeks(school, plan).of("t7")]
    assert [[(entry.text, entry.first) for entry in cell.entries] for cell in cells] == [
        [("Arte, 6A", True)],
        [("Arte, 6A", False)],
        [],
    ]
