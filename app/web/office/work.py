"""Making timetables: searching for them, working on a draft by hand, publishing one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import RedirectResponse

from app import generation, schools
from app.engine.cost import Cost, evaluate
from app.engine.timetable import Timetable
from app.models import Generation
from app.school import edit, lowering, moves, words
from app.school.absence import gaps
from app.school.message import Message, SchoolError, _
from app.school.model import Placement, Plan, School
from app.school.view import Weeks
from app.web.access import Desk, OfSchool, Posted, SchoolId
from app.web.office.data import Done, page
from app.web.office.form import Problem, attempt, built, text
from app.web.office.take import published
from app.web.school import progress_of

router = APIRouter(prefix="/office/{school_id}")
# So many runs are kept side by side on the page.
RUNS = 6
# What is compared as a draft is, by this in place of an id.
PUBLISHED = "published"
# The picture of a search, in its own units.
WIDTH, HEIGHT = 240, 60


@dataclass(frozen=True)
class Run:
    """A generation, judged by what the school is now.

    Attributes:
        costs: the first and the last of the best costs: of the wishes, or of the requirements as long as any is broken.
        line: these over time, as the points of a polyline of WIDTH x HEIGHT; empty where there were not two.
        stale: whether the school has changed since.
        moved: of a repair, the lessons that are elsewhere now.
        reasons: why there is no timetable.
    """

    row: Generation
    title: Message
    told: str
    share: float
    cost: Cost | None
    costs: tuple[int, int]
    line: str
    stale: bool
    moved: tuple[str, ...] = ()
    reasons: tuple[Message, ...] = ()

    @property
    def active(self) -> bool:
        """Whether there is something to wait for."""
        return self.row.state in ("queued", "running")


@router.get("/generate")
def generate(desk: OfSchool, done: Done = 0) -> Response:
    return _generate(desk, done)


def _generate(desk: Desk, done: int = 0, problem: Problem | None = None) -> Response:
    school = desk.school
    runs = [_run(desk, school, row) for row in generation.of_school(desk.session, desk.stored.id, RUNS)]
    reasons = list(words.impossible(school))
    return page(desk, "generate", done, problem, runs=runs, reasons=reasons, width=WIDTH, height=HEIGHT,
                wrong={run.row.id: wrong(school, run.cost) for run in runs if run.cost})  # fmt: skip


def _run(desk: Desk, school: School, row: Generation) -> Run:
    told, share = progress_of(row, desk.translate)
    cost, repaired = None, school.plan(row.repairs or "")
    moved: tuple[str, ...] = ()
    if row.timetable and school.lessons:
        found = Plan(id="", name="-", placements=_found(school, row))
        cost = cost_of(school, found)
        moved = (
            tuple(words.lesson(school, head) for head, _ in differences(school, repaired, found)) if repaired else ()
        )
    reasons = tuple(words.reason(school, kind, arguments) for kind, arguments in json.loads(row.reasons or "[]"))
    stale = row.school_version != desk.stored.version
    return Run(row, _title(school, row), told, share, cost, *_curve(row), stale, moved, reasons)


def _curve(row: Generation) -> tuple[tuple[int, int], str]:
    history = json.loads(row.history or "[]")
    # The wishes say nothing as long as requirements are broken.
    points = [(elapsed, soft) for elapsed, hard, soft in history if not hard] or [x[:2] for x in history]
    if len(points) < 2:
        return (0, 0), ""
    (_, most), (_, least) = points[0], points[-1]
    steps: list[str] = []
    for (elapsed, cost), (until, _) in zip(points, [*points[1:], (row.elapsed or 0, 0)], strict=True):
        height = 4 + (HEIGHT - 8) * (1 - cost / most)
        steps += [f"{WIDTH * min(1, x / (row.elapsed or x or 1)):.0f},{height:.0f}" for x in (elapsed, until)]
    return (most, least), " ".join(steps)


def _title(school: School, row: Generation) -> Message:
    repaired = school.plan(row.repairs or "")
    if repaired:
        return _("Repair {number} of “{name}”", number=row.seed, name=repaired.name)
    return _("Search {number}", number=row.seed)


def _found(school: School, row: Generation) -> tuple[Placement, ...]:
    """What a generation has found, as far as the school still has room for it."""
    locked = [Placement.model_validate(each) for each in json.loads(row.locked or "[]")]
    placements = lowering.placements(Timetable.from_json(row.timetable or "[]"), locked)
    return _fitting(school, placements)


def _fitting(school: School, placements: Iterable[Placement]) -> tuple[Placement, ...]:
    kept = tuple(each for each in placements if each.lesson in school.groups)
    (plan,) = edit.settled(school.model_copy(update={"plans": (Plan(id="", name="-", placements=kept),)})).plans
    return plan.placements


def cost_of(school: School, plan: Plan) -> Cost:
    """What a plan costs in the school."""
    return evaluate(lowering.problem(school), lowering.timetable(plan.placements))


def wrong(school: School, cost: Cost) -> list[tuple[bool, Message]]:
    """All violations: whether each is of a requirement, and in words; requirements first."""
    found = sorted(cost.violations, key=lambda each: (not each.constraint.required, -each.cost))
    return [(each.constraint.required, words.said(school, each)) for each in found]


@router.post("/generate")
def start(desk: OfSchool, form: Posted) -> Response:
    school = desk.school
    reasons = list(words.impossible(school))
    if reasons:
        return _generate(desk, problem=Problem(_("First solve what makes a timetable impossible, below."), 422))
    if [row for row in generation.of_school(desk.session, desk.stored.id, RUNS) if row.state in ("queued", "running")]:
        return _generate(desk, problem=Problem(_("A search is running already; stop it first, or wait."), 409))
    plan = school.plan(text(form, "plan"))
    locked = [each for each in plan.placements if each.locked] if plan else []
    settings = desk.request.app.state.settings
    repairs = plan if "repair" in form else None
    generation.request_for_school(desk.session, desk.stored, school, settings, locked, repairs)
    desk.session.commit()
    return RedirectResponse(f"{desk.home}/generate", 303)


def _row(desk: Desk, run_id: int) -> Generation:
    row = desk.session.get(Generation, run_id)
    if row is None or row.instance.school_id != desk.stored.id:
        raise HTTPException(404)
    return row


@router.post("/generate/{run_id}/stop")
def stop(desk: OfSchool, run_id: SchoolId, form: Posted) -> Response:
    generation.stop(desk.session, _row(desk, run_id))
    desk.session.commit()
    return RedirectResponse(f"{desk.home}/generate", 303)


@router.post("/generate/{run_id}/use")
def use(desk: OfSchool, run_id: SchoolId, form: Posted) -> Response:
    row = _row(desk, run_id)
    name = _title(desk.school, row).said(desk.translate)[:80]

    def add(school: School) -> School:
        return edit.put_plan(school, Plan(id="", name=name, placements=_found(school, row)))

    problem = attempt(desk, form, add, _("Draft “{name}” was made.", name=name), lambda school: None)
    if problem:
        return _generate(desk, problem=problem)
    return desk.done(f"/plans/{desk.school.plans[-1].id}")


@router.get("/plans")
def plans(desk: OfSchool, done: Done = 0) -> Response:
    return _plans(desk, done)


def _plans(desk: Desk, done: int = 0, problem: Problem | None = None) -> Response:
    school = desk.school
    costs = {plan.id: cost_of(school, plan) for plan in school.plans}
    shown = schools.published(desk.session, desk.stored.id)
    return page(desk, "plans", done, problem, costs=costs, published=shown)


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


@router.get("/compare")
def compare(desk: OfSchool, one: str = "", other: str = "") -> Response:
    school = desk.school
    first, second = _version(desk, one), _version(desk, other)
    if first is None or second is None:
        raise HTTPException(404)
    plans = [first, second]
    changes = [(words.lesson(school, head), times) for head, times in differences(school, first, second)]
    costs = [cost_of(school, plan) for plan in plans]
    return page(desk, "compare", plans=plans, changes=changes, costs=costs, time_names=time_names(school))


def _version(desk: Desk, identifier: str) -> Plan | None:
    """The draft of that id; "published" is what everybody sees, as far as the school still has its lessons."""
    if identifier != PUBLISHED:
        return desk.school.plan(identifier)
    shown = published(desk.session, desk.stored)
    placements = _fitting(desk.school, shown.plan.placements) if shown else ()
    return Plan(id="", name=desk.translate("The published timetable"), placements=placements) if shown else None


def differences(school: School, one: Plan, other: Plan) -> Iterator[tuple[str, list[list[str]]]]:
    """Each group of lessons that two plans have at different times, and its times in either."""
    for head in school.groups:
        held = [sorted((x.time, x.duration) for x in plan.placements if x.lesson == head) for plan in (one, other)]
        if held[0] != held[1]:
            yield head, [[time for time, _ in each] for each in held]


def time_names(school: School) -> dict[str, str]:
    """What each time of the week is called."""
    return {
        day.id + period.id: f"{day.name}, {period.name}" for day in school.week.days for period in school.week.periods
    }


@router.get("/plans/{plan_id}")
def plan(desk: OfSchool, plan_id: str, of: str = "", pick: str = "", done: Done = 0) -> Response:
    return _plan(desk, plan_id, of, pick, done)


def _plan(desk: Desk, plan_id: str, of: str, pick: str = "", done: int = 0, problem: Problem | None = None) -> Response:
    school = desk.school
    found = school.plan(plan_id)
    if found is None or not school.lessons:
        return RedirectResponse(f"{desk.home}/plans", 303)
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
        "time_names": time_names(school),
    }
    return page(desk, "plan", done, problem, **context)


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
        "time_names": time_names(school),
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
        if swap:
            return edit.put_plan(school, moves.swapped(plan, picked, _need(school, plan_id, swap)[1]))
        return edit.put_plan(school, moves.moved(plan, picked, time))

    names = time_names(desk.school)
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
        chosen = [x for x in plan.placements if (x.id == pick if pick else of in school.attending(x.lesson))]
        locked = [each.model_copy(update={"locked": locks}) for each in chosen]
        return edit.put_plan(school, edit.placed(plan, *chosen, then=locked))

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


@router.post("/plans/{plan_id}/remove")
def remove(desk: OfSchool, plan_id: str, form: Posted) -> Response:
    found = desk.school.plan(plan_id)
    told = _("Draft “{name}” was removed.", name=found.name if found else "?")

    def change(school: School) -> School:
        return edit.remove_plan(school, plan_id)

    problem = attempt(desk, form, change, told, lambda school: school.plan(plan_id))
    return _plans(desk, problem=problem) if problem else desk.done("/plans")


@router.post("/plans/{plan_id}/publish")
def publish(desk: OfSchool, plan_id: str, form: Posted) -> Response:
    if desk.school.plan(plan_id) is None:
        raise HTTPException(404)
    if text(form, "version") != str(desk.stored.version):
        told = _("The school has changed in the meantime; look at the timetable again, then publish.")
        return _plan(desk, plan_id, text(form, "of"), problem=Problem(told, 409))
    schools.publish(desk.session, desk.stored, desk.account, plan_id)
    desk.session.commit()
    return RedirectResponse(f"{desk.home}/plans", 303)
