"""Searching for timetables: runs are started, watched and stopped, and what one found becomes a draft."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import RedirectResponse

from app import generation
from app.engine.cost import Cost
from app.engine.timetable import Timetable
from app.models import Generation
from app.school import edit, lowering, words
from app.school.message import Message, _
from app.school.model import Placement, Plan, School
from app.web.access import Desk, OfSchool, Posted, SchoolId
from app.web.office.data import page
from app.web.office.form import Problem, attempt, text
from app.web.office.plans import cost_of, differences, fitting, wrong
from app.web.school import progress_of

router = APIRouter(prefix="/office/{school_id}")
# So many runs are kept side by side on the page.
RUNS = 6
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
def generate(desk: OfSchool) -> Response:
    return _generate(desk)


def _generate(desk: Desk, problem: Problem | None = None) -> Response:
    school = desk.school
    runs = [_run(desk, school, row) for row in generation.of_school(desk.session, desk.stored.id, RUNS)]
    reasons = list(words.impossible(school))
    return page(desk, "generate", problem, runs=runs, reasons=reasons, width=WIDTH, height=HEIGHT,
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
    return fitting(school, placements)


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
