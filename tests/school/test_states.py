"""Whatever is edited, in whatever order: a school stays one that can be judged, shown, exported and stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.engine.cost import evaluate, misfit
from app.school import absence, edit, lowering, moves, sheet, words
from app.school.calendar import calendar
from app.school.message import SchoolError
from app.school.model import Kind, School, Subject
from app.school.paper import pdf
from app.school.view import Weeks, listing
from tests.school.drawn import lessons, names, plans, repeatable, resources, schools, weeks

KINDS = st.sampled_from(("classes", "teachers", "rooms"))


class Edits(RuleBasedStateMachine):
    """Each rule is an edit, which is made or refused."""

    def __init__(self) -> None:
        super().__init__()
        self.school: School | None = None

    def edit(self, change: Callable[[School], School]) -> None:
        assert self.school
        try:
            self.school = change(self.school)
        except SchoolError as error:
            assert error.message.said(str)

    @rule(data=st.data())
    def begins(self, data: st.DataObject) -> None:
        if self.school is None:
            self.school = data.draw(schools())

    @rule(data=st.data())
    def week(self, data: st.DataObject) -> None:
        if self.school:
            week = data.draw(weeks())
            before = self.school
            self.edit(lambda school: edit.set_week(school, week))
            if self.school is before:
                assert before.week == week or any(each.weekly > len(week.slots) for each in before.lessons)

    @rule(data=st.data(), kind=KINDS, name=names)
    def resource(self, data: st.DataObject, kind: Kind, name: str) -> None:
        if self.school:
            item = data.draw(resources(self.school, kind, name))
            some = [each.id for each in getattr(self.school, kind)]
            identifier = data.draw(st.sampled_from(["", *some]))
            self.edit(lambda school: edit.put(school, kind, item.model_copy(update={"id": identifier})))

    @rule(data=st.data(), name=names)
    def subject(self, data: st.DataObject, name: str) -> None:
        if self.school:
            identifier = data.draw(st.sampled_from(["", *(each.id for each in self.school.subjects)]))
            self.edit(lambda school: edit.put(school, "subjects", Subject(id=identifier, name=name)))

    @rule(data=st.data())
    def lesson(self, data: st.DataObject) -> None:
        if self.school and self.school.subjects and self.school.classes:
            made = data.draw(lessons(self.school))
            identifier = data.draw(st.sampled_from(["", *self.school.lesson]))
            self.edit(lambda school: edit.put_lesson(school, made.model_copy(update={"id": identifier})))

    @rule(data=st.data())
    def plan(self, data: st.DataObject) -> None:
        if self.school and self.school.lessons:
            made = data.draw(plans(self.school))
            self.edit(lambda school: edit.put_plan(school, made))

    @rule(data=st.data(), kind=KINDS)
    def removes(self, data: st.DataObject, kind: Kind) -> None:
        if self.school and getattr(self.school, kind):
            chosen = data.draw(st.sampled_from([each.id for each in getattr(self.school, kind)]))
            self.edit(lambda school: edit.remove(school, kind, chosen))

    @rule(data=st.data())
    def removes_lesson(self, data: st.DataObject) -> None:
        if self.school and self.school.lessons:
            chosen = data.draw(st.sampled_from(list(self.school.lesson)))
            self.edit(lambda school: edit.remove_lesson(school, chosen))

    @invariant()
    def stays_whole(self) -> None:
        school = self.school
        if school is None:
            return
        assert School.model_validate_json(school.model_dump_json(exclude_defaults=True)) == school
        for reason in words.impossible(school):
            assert reason.said(str)
        if not school.lessons:
            return
        assert sheet.imported(school, sheet.tables(school, english=True))[1] == []
        problem = lowering.problem(school)
        for plan in school.plans:
            found = lowering.timetable(plan.placements)
            assert misfit(problem, found) is None
            assert all(words.said(school, each).said(str) for each in evaluate(problem, found).violations)
            locked = [each for each in plan.placements if each.locked]
            lowering.instance(school, locked)
            shown = Weeks(school, plan)
            assert listing(school, plan, []).rows and moves.unplaced(school, plan) is not None
            for resource in school.resources:
                assert shown.table(resource).rows
                assert calendar(school, plan, resource, datetime(2026, 3, 2, tzinfo=UTC), "h").decode()
            for teacher in school.teachers[:1]:
                absence.gaps(school, plan, teacher.id, school.week.days[0].id)
        for plan in school.plans[:1]:
            assert pdf(school, plan, list(school.resources)[:2], "é")


# To look for fewer steps that fail too takes minutes.
Edits.TestCase.settings = settings(
    repeatable, max_examples=25, stateful_step_count=12, phases=(Phase.explicit, Phase.generate)
)
TestEdits = Edits.TestCase
