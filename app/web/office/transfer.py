"""Worksheets and XHSTT archives, in and out."""

from __future__ import annotations

import base64
import json
import zlib

from fastapi import APIRouter, Response
from starlette.datastructures import FormData, UploadFile

from app import schools
from app.engine.document import MOST_BYTES
from app.engine.xhstt import XhsttError, read_instances
from app.school import conversion, lowering, merge, sheet, words, workbook
from app.school.message import Message, SchoolError, _
from app.school.model import School
from app.school.names import clean
from app.school.workbook import Table
from app.web import translation
from app.web.access import Desk, OfSchool, Posted
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
    data = workbook.write(sheet.tables(desk.school, english))
    return download(data, "school.xlsx" if english else "escola.xlsx", XLSX)


@router.get("/export.xml")
def export(desk: OfSchool) -> Response:
    if not desk.school.lessons:
        problem = Problem(_("There are no lessons yet; add some, or import them."), 422)
        return page(desk, "import", problem=problem, errors=[], preview=None, tables="")
    return download(lowering.archive(desk.school), "school.xml", "application/xml")


@router.post("/import/xhstt")
def import_xhstt(desk: OfSchool, form: Posted) -> Response:
    """Into a school that has no lessons yet, as all of it is replaced; the second step saves what was shown."""
    try:
        data, name = _archive(form)
        made, left = _converted(desk.school, data, name)
    except SchoolError as error:
        return page(desk, "import", problem=Problem(error.message, 422), errors=[], preview=None, tables="")
    problem = None
    if "confirmed" in form:
        told = _("An XHSTT archive was imported.")
        problem = attempt(desk, form, lambda school: _converted(school, data, name)[0], told, lambda school: school)
        if problem is None:
            return desk.done("/lessons")
    packed = base64.b64encode(zlib.compress(data)).decode()
    shown = _summary(desk, made)
    return page(desk, "import", problem=problem, errors=[], preview=shown, tables="", archive=packed, left=left)


def _archive(form: FormData) -> tuple[bytes, str]:
    """The file and its name, or in the second step what the first has packed; by then it may be anything."""
    given = form.get("file")
    if isinstance(given, UploadFile) and given.filename:
        return given.file.read(), clean(given.filename)[:80]
    try:
        return zlib.decompressobj().decompress(base64.b64decode(text(form, "archive")), MOST_BYTES), "archive.xml"
    except (ValueError, zlib.error):
        raise SchoolError(_("Choose a file.")) from None


def _converted(school: School, data: bytes, name: str) -> tuple[School, list[Message]]:
    if school.lessons:
        raise SchoolError(_("This school has lessons already; make a new school for the archive."))
    if not data.strip():
        raise SchoolError(_("Choose a file."))
    try:
        instances = read_instances(data, name)
    except XhsttError as error:
        raise SchoolError(_("The archive cannot be used: {error}", error=str(error)[:300])) from None
    if len(instances) != 1:
        raise SchoolError(_("The archive has {count} schools; give one file for each.", count=len(instances)))
    made, left = conversion.converted(school, instances[0])
    if b"<Solution " in data:
        left.insert(0, _("Timetables: of an archive its school alone is taken."))
    return made, left


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
    return page(desk, "import", problem, errors=[], preview=_summary(desk, made), tables=json.dumps(tables))


def _uploaded(form: FormData) -> list[Table]:
    given = form.get("file")
    if isinstance(given, UploadFile) and given.filename:
        found = workbook.read(given.file.read(), given.filename)
    else:
        found = _confirmed(text(form, "tables"))
    if not any(len(table.rows) > 1 for table in found):
        raise SchoolError(_("Choose a file that has at least one row below its headings."))
    return found


def _confirmed(given: str) -> list[Table]:
    """The tables of the preview, which have been in the browser and may be anything by now."""
    try:
        return [Table(clean(str(title))[:200], [[clean(str(cell)) for cell in row] for row in rows]) for title, rows in
                json.loads(given or "[]")]  # fmt: skip
    except (ValueError, TypeError, RecursionError):
        raise SchoolError(_("Choose a file that has at least one row below its headings.")) from None


def _summary(desk: Desk, after: School) -> dict[str, object]:
    """What an import changes: who is new, of every kind; lessons; and what becomes of each draft."""
    before, shown = desk.school, schools.published(desk.session, desk.stored.id)
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
        "published": shown.plan if shown else None,
        "nothing": before == after,
        "school": after,
    }  # fmt: skip


def _lesson(school: School, identifier: str) -> str:
    lesson = school.lesson[identifier]
    return f"{school.names[lesson.subject]} {' + '.join(school.names[each] for each in lesson.classes)}"
