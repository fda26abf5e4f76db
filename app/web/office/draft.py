"""One draft: its weeks, moving and locking lessons by hand, who stands in for whom, and publishing it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import RedirectResponse

from app import schools
from app.school import edit, lowering, moves, words
from app.school.absence import gaps
from app.school.message import Message, SchoolError, _
from app.school.model import Placement, Plan, School
from app.school.view import Weeks
from app.web.access import Desk, OfSchool, Posted
from app.web.office.data import page
from app.web.office.form import Problem, attempt, built, text
from app.web.office.plans import cost_of, wrong

router = APIRouter(prefix="/office/{school_id}")


@router.get("/plans/{plan_id}")
def plan(desk: OfSchool, plan_id: str, of: str = "", pick: str = "") -> Response:
    return _plan(desk, plan_id, of, pick)


def _plan(desk: Desk, plan_id: str, of: str, pick: str = "", problem: Problem | None = None) -> Response:
    school = desk.school
    found = school.plan(plan_id)
    if found is None or not school.lessons:
        if "done" in desk.request.query_params:
            # What has just been undone may be this draft, or the lessons.
            return RedirectResponse(f"{desk.home}/plans?{desk.request.url.query}", 303)
        return desk.done("/plans", "empty" if found else "gone")
    of = of if of in school.resources else next(iter(school.resources))
    picked = _picked(school, found, pick)
    targets = {}
    if picked and desk.edits and not picked.locked:
        view = of if of in school.attending(picked.lesson) else school.attending(picked.lesson)[0]
        targets = {x.time: x for x in moves.targets(school, lowering.problem(school), found, picked, view)}
    cost = cost_of(school, found)
    weeks = Weeks(school, found)
    tray = moves.unplaced(school, found)
    context: dict[str, Any] = {
        "plan": found,
        "of": of,
        "rows": weeks.of(of, whole=True),
        "picked": picked,
        "pick": pick,
        "targets": targets,
        "cost": cost,
        "wrong": wrong(school, cost),
        "tray": [each for each in tray if of in school.attending(each.lesson)],
        "elsewhere": len(tray) - sum(of in school.attending(each.lesson) for each in tray),
        "lesson_name": lambda head: words.lesson(school, head),
        "reason": lambda violation: words.said(school, violation),
        "time_names": words.time_names(school),
    }
    return page(desk, "plan", problem, **context)


@router.get("/plans/{plan_id}/absence")
def absence(desk: OfSchool, plan_id: str, teacher: str = "", day: str = "") -> Response:
    """Who can stand in for a teacher on a day."""
    school = desk.school
    plan = school.plan(plan_id)
    if plan is None or not school.teachers:
        raise HTTPException(404)
    teacher = teacher if teacher in {each.id for each in school.teachers} else school.teachers[0].id
    day = day if day in {each.id for each in school.week.days} else school.week.days[0].id
    context: dict[str, Any] = {
        "plan": plan,
        "teacher": teacher,
        "day": day,
        "gaps": gaps(school, plan, teacher, day),
        "time_names": words.time_names(school),
        "lesson_name": lambda head: words.lesson(school, head),
    }
    return page(desk, "absence", **context)


def _picked(school: School, plan: Plan, pick: str) -> Placement | None:
    """The placement of that id; "LESSON@:DURATION" is a lesson that has no time yet."""
    found = next((each for each in plan.placements if each.id == pick), None)
    if found is None and "@:" in pick:
        missing = moves.unplaced(school, plan)
        found = next((each for each in missing if f"{each.id}:{each.duration}" == pick), None)
    return found


def _need(school: School, plan_id: str, pick: str) -> tuple[Plan, Placement]:
    plan = school.plan(plan_id)
    picked = _picked(school, plan, pick) if plan else None
    if plan is None or picked is None:
        raise SchoolError(_("Somebody else has just moved or removed this lesson; look again."))
    return plan, picked


def _change(desk: Desk, form: Posted, plan_id: str, change: Any, told: Message) -> Response:
    """Makes an edit of one plan, and shows it again."""
    of = text(form, "of")
    problem = attempt(desk, form, change, told, lambda school: school.plan(plan_id))
    if problem:
        return _plan(desk, plan_id, of, problem=problem)
    return desk.done(f"/plans/{plan_id}?of={of}" if of in desk.school.resources else f"/plans/{plan_id}")


@router.post("/plans/{plan_id}/move")
def move(desk: OfSchool, plan_id: str, form: Posted) -> Response:
    pick, time, swap = text(form, "pick"), text(form, "time"), text(form, "swap")

    def change(school: School) -> School:
        plan, picked = _need(school, plan_id, pick)
        if picked.locked:
            raise SchoolError(_("This lesson is locked; unlock it first."))
        if time not in school.week.slots or (picked.duration == 2 and time not in school.week.following):
            raise SchoolError(_("The lesson has no room there."))
        if time == picked.time or swap == picked.id:
            return school
        if swap:
            return edit.put_plan(school, moves.swapped(plan, picked, _need(school, plan_id, swap)[1]))
        return edit.put_plan(school, moves.moved(plan, picked, time))

    names = words.time_names(desk.school)
    head = pick.partition("@")[0]
    lesson = words.lesson(desk.school, head) if head in desk.school.groups else "?"
    told = _("{lesson} was moved to {time}.", lesson=lesson, time=names.get(time, "?"))
    return _change(desk, form, plan_id, change, told)


@router.post("/plans/{plan_id}/lock")
def lock(desk: OfSchool, plan_id: str, form: Posted) -> Response:
    """Locks or unlocks one lesson, or all that the shown week has."""
    pick, of, locks = text(form, "pick"), text(form, "of"), text(form, "locked") == "yes"

    def change(school: School) -> School:
        plan = school.plan(plan_id)
        if plan is None:
            raise SchoolError(_("Somebody else has just moved or removed this lesson; look again."))

        def chosen(each: Placement) -> bool:
            return each.id == pick if pick else of in school.attending(each.lesson)

        placements = (x.model_copy(update={"locked": locks}) if chosen(x) else x for x in plan.placements)
        return edit.put_plan(school, plan.model_copy(update={"placements": tuple(placements)}))

    told = _("Lessons were locked.") if locks else _("Lessons were unlocked.")
    return _change(desk, form, plan_id, change, told)


@router.post("/plans/{plan_id}/take-out")
def take_out(desk: OfSchool, plan_id: str, form: Posted) -> Response:
    def change(school: School) -> School:
        plan, picked = _need(school, plan_id, text(form, "pick"))
        if picked.locked:
            raise SchoolError(_("This lesson is locked; unlock it first."))
        return edit.put_plan(school, edit.placed(plan, picked))

    return _change(desk, form, plan_id, change, _("A lesson was taken out of the week."))


@router.post("/plans/{plan_id}/rename")
def rename(desk: OfSchool, plan_id: str, form: Posted) -> Response:
    def change(school: School) -> School:
        plan = school.plan(plan_id)
        if plan is None:
            raise SchoolError(_("Somebody else has just removed this draft."))
        named = built(Plan, id=plan.id, name=text(form, "name"), placements=plan.placements)
        return edit.put_plan(school, named)

    return _change(desk, form, plan_id, change, _("The draft is called “{name}” now.", name=text(form, "name")[:80]))


@router.post("/plans/{plan_id}/publish")
def publish(desk: OfSchool, plan_id: str, form: Posted) -> Response:
    if desk.school.plan(plan_id) is None:
        raise HTTPException(404)
    if text(form, "version") != str(desk.stored.version):
        told = _("The school has changed in the meantime; look at the timetable again, then publish.")
        return _plan(desk, plan_id, text(form, "of"), problem=Problem(told, 409))
    shown = schools.published(desk.session, desk.stored.id)
    if shown and (shown.plan, shown.number) == (plan_id, desk.stored.version):
        return desk.done("/plans")
    schools.publish(desk.session, desk.stored, desk.account, plan_id)
    desk.session.commit()
    return desk.done("/plans", "published")
