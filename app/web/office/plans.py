"""A school's plans: drafts are made, compared with each other and with what is published, and removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastapi import APIRouter, HTTPException, Response

from app import schools
from app.engine.cost import Cost, evaluate
from app.school import edit, lowering, words
from app.school.message import Message, SchoolError, _
from app.school.model import Placement, Plan, School
from app.web.access import Desk, OfSchool, Posted
from app.web.office.data import page
from app.web.office.form import Problem, attempt, built, text
from app.web.office.take import published

router = APIRouter(prefix="/office/{school_id}")
# What is compared as a draft is, by this in place of an id.
PUBLISHED = "published"


@router.get("/plans")
def plans(desk: OfSchool) -> Response:
    return _plans(desk)


def _plans(desk: Desk, problem: Problem | None = None) -> Response:
    school = desk.school
    costs = {plan.id: cost_of(school, plan) for plan in school.plans}
    shown = schools.published(desk.session, desk.stored.id)
    return page(desk, "plans", problem, costs=costs, published=shown)


@router.post("/plans")
def new_plan(desk: OfSchool, form: Posted) -> Response:
    """An empty draft, or a copy of one."""
    name, copied = text(form, "name"), desk.school.plan(text(form, "of"))
    try:
        made = built(Plan, id="", name=name, placements=copied.placements if copied else ())
        if not desk.school.lessons:
            raise SchoolError(_("There are no lessons yet; add some, or import them."))
    except SchoolError as error:
        return _plans(desk, problem=Problem(error.message, 422))
    told = _("Draft “{name}” was made.", name=name)
    problem = attempt(desk, form, lambda school: edit.put_plan(school, made), told, lambda school: None)
    return _plans(desk, problem=problem) if problem else desk.done(f"/plans/{desk.school.plans[-1].id}")


@router.post("/plans/{plan_id}/remove")
def remove(desk: OfSchool, plan_id: str, form: Posted) -> Response:
    found = desk.school.plan(plan_id)
    told = _("Draft “{name}” was removed.", name=found.name if found else "?")

    def change(school: School) -> School:
        return edit.remove_plan(school, plan_id)

    problem = attempt(desk, form, change, told, lambda school: school.plan(plan_id))
    return _plans(desk, problem=problem) if problem else desk.done("/plans")


@router.get("/compare")
def compare(desk: OfSchool, one: str = "", other: str = "") -> Response:
    school = desk.school
    first, second = _version(desk, one), _version(desk, other)
    if first is None or second is None:
        raise HTTPException(404)
    plans = [first, second]
    changes = [(words.lesson(school, head), times) for head, times in differences(school, first, second)]
    costs = [cost_of(school, plan) for plan in plans]
    return page(desk, "compare", plans=plans, changes=changes, costs=costs, time_names=words.time_names(school))


def _version(desk: Desk, identifier: str) -> Plan | None:
    """The draft of that id; "published" is what everybody sees, as far as the school still has its lessons."""
    if identifier != PUBLISHED:
        return desk.school.plan(identifier)
    shown = published(desk.session, desk.stored)
    placements = fitting(desk.school, shown.plan.placements) if shown else ()
    return Plan(id="", name=desk.translate("The published timetable"), placements=placements) if shown else None


def differences(school: School, one: Plan, other: Plan) -> Iterator[tuple[str, list[list[str]]]]:
    """Each group of lessons that two plans have at different times, and its times in either."""
    for head in school.groups:
        held = [sorted((x.time, x.duration) for x in plan.placements if x.lesson == head) for plan in (one, other)]
        if held[0] != held[1]:
            yield head, [[time for time, _ in each] for each in held]


def fitting(school: School, placements: Iterable[Placement]) -> tuple[Placement, ...]:
    """Those of the placements that the school still has the lessons and the room for."""
    heads = school.heads
    kept = tuple(x.model_copy(update={"lesson": heads[x.lesson]}) for x in placements if x.lesson in heads)
    (plan,) = edit.settled(school.model_copy(update={"plans": (Plan(id="", name="-", placements=kept),)})).plans
    return plan.placements


def cost_of(school: School, plan: Plan) -> Cost:
    """What a plan costs in the school."""
    return evaluate(lowering.problem(school), lowering.timetable(plan.placements))


def wrong(school: School, cost: Cost) -> list[tuple[bool, Message]]:
    """All violations: whether each is of a requirement, and in words; requirements first."""
    found = sorted(cost.violations, key=lambda each: (not each.constraint.required, -each.cost))
    return [(each.constraint.required, words.said(school, each)) for each in found]
