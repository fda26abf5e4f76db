"""The school itself: its week, whom it has, what is taught, and how all of that came to be."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

from fastapi import APIRouter, HTTPException, Response
from starlette.datastructures import FormData, QueryParams

from app import generation, schools
from app.school import edit, words
from app.school.message import Message, SchoolError, _
from app.school.model import KINDS, Day, Kind, Lesson, Mark, Period, Resource, School, Subject, Week, slot
from app.web.access import Desk, OfSchool, Posted, base
from app.web.office.form import NOTES, Problem, attempt, built, number, text, texts
from app.web.page import render

router = APIRouter(prefix="/office/{school_id}")
MARKS: tuple[Mark, ...] = get_args(Mark)


def page(desk: Desk, template: str, problem: Problem | None = None, **context: Any) -> Response:
    """A page of the school's office, with what the form that led to it has changed."""
    asked = desk.request.query_params if desk.request.method == "GET" else QueryParams()
    done = schools.revision(desk.session, desk.stored.id, desk.revision or base(asked, "done")) if desk.edits else None
    return render(
        desk.request,
        f"office/{template}.html",
        problem.status if problem else 200,
        desk=desk,
        school=desk.school,
        version=desk.stored.version,
        done=(done.number, schools.said(done)) if done else None,
        note=NOTES.get(asked.get("note", "")),
        problem=problem,
        **context,
    )


@router.get("")
def overview(desk: OfSchool) -> Response:
    published = schools.published(desk.session, desk.stored.id)
    runs = generation.of_school(desk.session, desk.stored.id, 1)
    return page(desk, "overview", published=published, runs=runs)


@router.post("/settings")
def settings(desk: OfSchool, form: Posted) -> Response:
    name = text(form, "name")
    problem = None
    if name != desk.school.name:

        def rename(school: School) -> School:
            return built(School, **dict(school) | {"name": name})

        problem = attempt(desk, form, rename, _("The school is called “{name}” now.", name=name), lambda x: x.name)
    if problem:
        published = schools.published(desk.session, desk.stored.id)
        return page(desk, "overview", problem=problem, published=published, runs=[])
    public, note = "public" in form, ""
    if desk.role == "admin" and public != desk.stored.public:
        desk.stored.public = public
        desk.session.commit()
        note = "public" if public else "private"
    return desk.done(note=note)


@router.get("/week")
def week(desk: OfSchool) -> Response:
    return page(desk, "week", week=desk.school.week)


@router.post("/week")
def set_week(desk: OfSchool, form: Posted) -> Response:
    made = desk.school.week
    try:
        # New days and lessons are numbered past everything that there ever was.
        made, counter = _week(form, desk.school)

        def change(school: School) -> School:
            return edit.set_week(school.model_copy(update={"counter": max(counter, school.counter)}), made)

        told = _week_changed(desk.school, change(desk.school))
        problem = attempt(desk, form, change, told, lambda school: school.week)
    except SchoolError as error:
        problem = Problem(error.message, 422)
    if problem:
        return page(desk, "week", problem=problem, week=made)
    return desk.done("/week")


def _week_changed(before: School, after: School) -> Message:
    gone = edit.lost(before, after)
    against = len(list(words.impossible(after))) - len(list(words.impossible(before)))
    if not any(gone.values()) and against <= 0:
        return _("The week was changed.")
    return _(
        "The week was changed. Gone with it: marks in the availability ({marks}), shifts of classes ({shifts}), "
        "lessons in drafts ({placed}, locked: {locked}). New reasons against a timetable, under “Generate”: {against}.",
        **gone,
        against=max(0, against),
    )


def _week(form: FormData, school: School) -> tuple[Week, int]:
    """The week of the form, and the last number that it has used up."""
    counter = school.counter
    own = {each.id for each in school.week.days} | {each.id for each in school.week.periods}

    def identifier(name: str, prefix: str) -> str:
        nonlocal counter
        given = text(form, name)
        if given in own and given.startswith(prefix):
            own.remove(given)
            return given
        counter += 1
        return f"{prefix}{counter}"

    days, periods = [], []
    for row in range(50):
        if name := text(form, f"day-{row}-name"):
            days.append(built(Day, id=identifier(f"day-{row}-id", "d"), name=name))
        if name := text(form, f"period-{row}-name"):
            values = {field: text(form, f"period-{row}-{field}") for field in ("begins", "ends", "shift")}
            after = f"period-{row}-break" in form
            periods.append(
                built(Period, id=identifier(f"period-{row}-id", "p"), name=name, break_after=after, **values)
            )
    every = {slot(day.id, period.id) for day in days for period in periods}
    return Week(days=tuple(days), periods=tuple(periods), closed=frozenset(texts(form, "closed")) & every), counter


@router.get("/history")
def history(desk: OfSchool) -> Response:
    told = [(each, schools.said(each)) for each in schools.history(desk.session, desk.stored.id)]
    return page(desk, "history", revisions=told)


@router.post("/undo")
def undo(desk: OfSchool, form: Posted) -> Response:
    wanted = base(form, "number")
    try:
        if wanted < 2:
            raise SchoolError(_("There is nothing before the first version."))
        # The newest edit is undone from the page that made it, and only as long as it is the newest.
        newest = schools.revision(desk.session, desk.stored.id, desk.stored.version)
        if newest and base(form) != newest.number:
            what = schools.said(newest)
            raise SchoolError(_("Nothing was undone, as there is a newer change: {what} Choose below.", what=what))
        desk.revision = schools.undo(desk.session, desk.stored, desk.account, wanted)
        desk.session.commit()
    except (SchoolError, schools.ConflictError) as error:
        desk.session.rollback()
        message = error.message if isinstance(error, SchoolError) else _("Somebody else was faster; try again.")
        told = [(each, schools.said(each)) for each in schools.history(desk.session, desk.stored.id)]
        return page(desk, "history", problem=Problem(message, 409), revisions=told)
    back = text(form, "back")
    return desk.done(back if back.startswith("/") else "/history")


@router.get("/lessons")
def lessons(desk: OfSchool, of: str = "") -> Response:
    return _lessons(desk, of)


def _lessons(desk: Desk, of: str = "", problem: Problem | None = None) -> Response:
    times = {each.id: len(words.open_times(desk.school, each)) for each in desk.school.classes}
    return page(desk, "lessons", problem, of=of, load=_load(desk.school), times=times)


@router.get("/lessons/{lesson_id}")
def lesson(desk: OfSchool, lesson_id: str, of: str = "") -> Response:
    found = desk.school.lesson.get(lesson_id)
    if lesson_id == "new":
        classes = tuple(each.id for each in desk.school.classes if each.id == of)
        found = Lesson(id="", subject="", classes=classes, weekly=2)
    if found is None:
        raise HTTPException(404)
    return page(desk, "lesson", lesson=found)


@router.post("/lessons/{lesson_id}")
def put_lesson(desk: OfSchool, lesson_id: str, form: Posted) -> Response:
    identifier = "" if lesson_id == "new" else lesson_id
    if identifier and identifier not in desk.school.lesson and "remove" not in form:
        raise HTTPException(404)
    if "remove" in form:
        told = _("A lesson was removed.")
        problem = attempt(desk, form, lambda x: edit.remove_lesson(x, identifier), told, _one(identifier))
        return desk.done("/lessons") if problem is None else _lessons(desk, problem=problem)
    made = Lesson(id=identifier, subject=text(form, "subject"), classes=texts(form, "classes"))
    try:
        values = {field: texts(form, field) for field in ("classes", "teachers", "rooms")}
        made = built(
            Lesson, id=identifier, subject=text(form, "subject"), parallel=text(form, "parallel"),
            weekly=number(form, "weekly") or 0, doubles=number(form, "doubles") or 0, **values,
        )  # fmt: skip
    except SchoolError as error:
        return page(desk, "lesson", problem=Problem(error.message, 422), lesson=made)
    name = desk.school.names.get(made.subject, "?")
    of = ", ".join(desk.school.names.get(each, "?") for each in made.classes)
    told = _("Lessons of {subject} with {classes} were saved.", subject=name, classes=of)
    problem = attempt(desk, form, lambda x: edit.put_lesson(x, made), told, _one(identifier))
    if problem:
        return page(desk, "lesson", problem=problem, lesson=made)
    return desk.done(f"/lessons?of={made.classes[0]}")


def _one(identifier: str) -> Any:
    """What an edit of one lesson touches; one that is new touches nothing that is there."""
    return lambda school: school.lesson.get(identifier)


def _load(school: School) -> Counter[str]:
    """Lessons a week of every class, teacher and room; parallel ones count once."""
    load: Counter[str] = Counter()
    for head, members in school.groups.items():
        for each in school.attending(head):
            load[each] += members[0].weekly
    return load


@router.get("/{kind}")
def items(desk: OfSchool, kind: Kind) -> Response:
    return page(desk, "items", kind=kind, load=_load(desk.school), typed="")


@router.post("/{kind}")
def add_items(desk: OfSchool, kind: Kind, form: Posted) -> Response:
    names = [name for line in text(form, "names").splitlines() if (name := line.strip())]

    def add(school: School) -> School:
        if not names:
            raise SchoolError(_("Please give a name."))
        for name in names:
            school = edit.put(school, kind, _new(kind, name))
        return school

    told = _("Added: {names}.", names=", ".join(names)[:200])
    problem = attempt(desk, form, add, told, lambda school: None)
    if problem:
        return page(desk, "items", problem=problem, kind=kind, load=_load(desk.school), typed=text(form, "names"))
    return desk.done(f"/{kind}")


@router.get("/{kind}/{item_id}")
def item(desk: OfSchool, kind: Kind, item_id: str) -> Response:
    return page(desk, "item", kind=kind, item=_item(desk.school, kind, item_id), marks=MARKS)


@router.post("/{kind}/{item_id}")
def put_item(desk: OfSchool, kind: Kind, item_id: str, form: Posted) -> Response:
    def touched(school: School) -> object:
        return next((each for each in getattr(school, kind) if each.id == item_id), None)

    before = touched(desk.school)
    if before is None:
        return desk.done(f"/{kind}", "gone")
    if "remove" in form:
        told = _("Removed: {names}.", names=desk.school.names[item_id])
        problem = attempt(desk, form, lambda x: edit.remove(x, kind, item_id), told, touched)
        return desk.done(f"/{kind}") if problem is None else page(
            desk, "item", problem=problem, kind=kind, item=touched(desk.school) or before, marks=MARKS
        )  # fmt: skip
    made: Any = before
    try:
        made = _read_item(form, kind, item_id)
        problem = attempt(desk, form, lambda x: edit.put(x, kind, made), _saved(made.name), touched)
    except SchoolError as error:
        problem = Problem(error.message, 422)
    if problem:
        return page(desk, "item", problem=problem, kind=kind, item=made, marks=MARKS)
    return desk.done(f"/{kind}/{item_id}")


def _new(kind: Kind, name: str) -> Subject | Resource:
    return built(Subject, id="", name=name) if kind == "subjects" else built(Resource, id="", name=name)


def _saved(name: str) -> Message:
    return _("“{name}” was saved.", name=name)


def _read_item(form: FormData, kind: Kind, item_id: str) -> Subject | Resource:
    if kind == "subjects":
        return built(Subject, id=item_id, name=text(form, "name"))
    marks = {key.removeprefix("mark-"): value for key, value in form.items() if key.startswith("mark-")}
    return built(
        Resource,
        id=item_id,
        name=text(form, "name"),
        shift=text(form, "shift"),
        marks={time: mark for time, mark in marks.items() if mark in MARKS},
        **{field: number(form, field) for field in ("most_days", "most_a_day", "most_idle")},
    )


def _item(school: School, kind: Kind, item_id: str) -> Any:
    found = next((each for each in getattr(school, kind) if each.id == item_id), None)
    if found is None or kind not in KINDS:
        raise HTTPException(404)
    return found
