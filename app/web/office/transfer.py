"""Worksheets and XHSTT archives, in and out."""

from __future__ import annotations

import json

from fastapi import APIRouter, Response
from starlette.datastructures import FormData, UploadFile

from app import schools
from app.engine.xhstt import XhsttError, read_instances
from app.school import conversion, lowering, merge, sheet, words
from app.school.message import Message, SchoolError, _
from app.school.model import School
from app.school.sheet import Table
from app.web import translation
from app.web.access import OfSchool, Posted
from app.web.office.data import page
from app.web.office.form import Problem, attempt, text

router = APIRouter(prefix="/office/{school_id}")
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def download(data: bytes, name: str, kind: str) -> Response:
    """A file that a browser stores and never shows."""
    return Response(
        data,
        media_type=kind,
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


@router.get("/import")
@router.get("/import/xhstt")
def choose(desk: OfSchool) -> Response:
    return page(desk, "import", errors=[], preview=None, tables="")


@router.get("/import/template.xlsx")
def template(desk: OfSchool) -> Response:
    english = translation.choose(desk.request) == "en"
    return download(sheet.write(sheet.tables(desk.school, english)), "school.xlsx" if english else "escola.xlsx", XLSX)


@router.get("/export.xml")
def export(desk: OfSchool) -> Response:
    if not desk.school.lessons:
        problem = Problem(_("There are no lessons yet; add some, or import them."), 422)
        return page(desk, "import", problem=problem, errors=[], preview=None, tables="")
    return download(lowering.archive(desk.school), "school.xml", "application/xml")


@router.post("/import/xhstt")
def import_xhstt(desk: OfSchool, form: Posted) -> Response:
    """Into a school that has no lessons yet, as all of it is replaced."""
    left: list[Message] = []

    def replace(school: School) -> School:
        given = form.get("file")
        if school.lessons:
            raise SchoolError(_("This school has lessons already; make a new school for the archive."))
        if not isinstance(given, UploadFile):
            raise SchoolError(_("Choose a file."))
        try:
            given.file.seek(0)
            instances = read_instances(given.file.read(), (given.filename or "archive.xml")[:80])
        except XhsttError as error:
            raise SchoolError(_("The archive cannot be used: {error}", error=str(error)[:300])) from None
        if len(instances) != 1:
            raise SchoolError(_("The archive has {count} schools; give one file for each.", count=len(instances)))
        made, told = conversion.converted(school, instances[0])
        left[:] = told
        return made

    problem = attempt(desk, form, replace, _("An XHSTT archive was imported."), lambda school: school)
    if problem:
        return page(desk, "import", problem=problem, errors=[], preview=None, tables="")
    return page(desk, "import", errors=[], preview=None, tables="", left=left)


@router.post("/import")
def preview(desk: OfSchool, form: Posted) -> Response:
    """Shows what the file would change; the second step saves exactly what was shown."""
    try:
        tables = _uploaded(form)
        made, errors = sheet.imported(desk.school, tables)
    except SchoolError as error:
        return page(desk, "import", problem=Problem(error.message, 422), errors=[], preview=None, tables="")

    def replace(school: School) -> School:
        again, wrong = sheet.imported(school, tables)
        if wrong:
            raise SchoolError(wrong[0].message)
        return again

    problem = None
    if "confirmed" in form and not errors:
        told = _("Imported: {count} lessons.", count=len(made.lessons))
        problem = attempt(desk, form, replace, told, lambda school: school)
        if problem is None:
            return desk.done("/lessons")
        made, errors = sheet.imported(desk.school, tables)
    if errors:
        wrong = Problem(_("Nothing was imported. Correct these cells, then choose the file again."), 422)
        return page(desk, "import", problem=wrong, errors=errors, preview=None, tables="")
    shown = schools.published(desk.session, desk.stored.id)
    published = shown.plan if shown else None
    summary = _summary(desk.school, made, published)
    return page(desk, "import", problem, errors=[], preview=summary, tables=json.dumps(tables))


def _uploaded(form: FormData) -> list[Table]:
    given = form.get("file")
    if isinstance(given, UploadFile) and given.filename:
        found = sheet.read(given.file.read(), given.filename)
    else:
        found = _confirmed(text(form, "tables"))
    if not any(len(table.rows) > 1 for table in found):
        raise SchoolError(_("Choose a file that has at least one row below its headings."))
    return found


def _confirmed(given: str) -> list[Table]:
    """The tables of the preview, which have been in the browser and may be anything by now."""
    try:
        return [Table(str(title)[:200], [[str(cell)[:500] for cell in row] for row in rows]) for title, rows in
                json.loads(given or "[]")]  # fmt: skip
    except (ValueError, TypeError, RecursionError):
        raise SchoolError(_("Choose a file that has at least one row below its headings.")) from None


def _summary(before: School, after: School, published: str | None = None) -> dict[str, object]:
    """What an import changes: who is new, of every kind; lessons; and what becomes of each draft."""
    was, now = before.lesson, after.lesson
    changed = [each for each in now if each in was and now[each] != was[each]]
    gone = [each for each in was if each not in now]
    new = len(now.keys() - was.keys())
    had = before.resources
    times = words.time_names(before)
    return {
        "new": {
            kind: [each.name for each in getattr(after, kind) if each.id not in before.names]
            for kind in ("classes", "teachers", "subjects", "rooms")
        },
        "lessons": _(
            "Lessons: {same} stay as they are, {changed} change, {new} are new, {gone} are taken out.",
            same=len(now) - len(changed) - new, changed=len(changed), new=new, gone=len(gone),
        ),
        "changed": [_lesson(after, each) for each in changed],
        "gone": [_lesson(before, each) for each in gone],
        "marked": [x.name for x in after.resources.values() if x.marks != (had[x.id].marks if x.id in had else {})],
        "drafts": [
            (effect, [f"{words.lesson(before, each.lesson)}, {times[each.time]}" for each in effect.lost])
            for effect in merge.effects(before, after)
        ],
        "published": published,
        "nothing": before == after,
        "school": after,
    }  # fmt: skip


def _lesson(school: School, identifier: str) -> str:
    lesson = school.lesson[identifier]
    return f"{school.names[lesson.subject]} {' + '.join(school.names[each] for each in lesson.classes)}"
