"""Taking a timetable away: the published page, files to print and to keep, and calendars to subscribe to."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app import accounts, database, schools
from app.models import Account, Feed, StoredSchool
from app.school import workbook
from app.school.calendar import calendar
from app.school.model import Plan, School
from app.school.paper import pdf
from app.school.view import Weeks, listing
from app.web.access import Database, OfSchool, Posted, SchoolId, Visitor
from app.web.office.data import page
from app.web.office.form import text
from app.web.office.transfer import XLSX, download
from app.web.page import render, translator
from app.web.school import public_schools

router = APIRouter()
WHOSE = ("classes", "teachers", "rooms")
File = Literal["timetable.pdf", "timetable.xlsx", "timetable.csv", "timetable.html"]


@dataclass(frozen=True)
class Shown:
    """A plan, with the school as it was then."""

    school: School
    plan: Plan
    at: datetime | None

    def whose(self, kind: str, of: str = "") -> list[str]:
        """Whose weeks: one's, or those of a kind, of whom the plan has any lesson."""
        if of in self.school.resources:
            return [of]
        busy = {one for each in self.plan.placements for one in self.school.attending(each.lesson)}
        chosen = kind if kind in WHOSE else "classes"
        return [each.id for each in getattr(self.school, chosen) if each.id in busy]


def published(session: Session, stored: StoredSchool) -> Shown | None:
    """What the school has published last."""
    publication = schools.published(session, stored.id)
    if publication is None:
        return None
    school = schools.read(session, stored.id, publication.number)
    plan = school.plan(publication.plan)
    return Shown(school, plan, publication.at) if plan else None


def _visible(session: Session, account: Account | None, school_id: int) -> tuple[StoredSchool, Shown]:
    """404 for a school that is none, has published nothing, or shows it only to people who have a role in it."""
    stored = session.get(StoredSchool, school_id)
    if stored is None or not (stored.public or (account and accounts.role(session, account, school_id))):
        raise HTTPException(404)
    shown = published(session, stored)
    if shown is None:
        raise HTTPException(404)
    return stored, shown


@router.get("/published/{school_id}")
def public(
    request: Request, session: Database, account: Visitor, school_id: SchoolId, kind: str = "classes", of: str = ""
) -> Response:
    stored, shown = _visible(session, account, school_id)
    kind = kind if kind in WHOSE else "classes"
    context: dict[str, Any] = {
        "address": f"/published/{stored.id}",
        "shown": shown,
        "school": shown.school,
        "weeks": Weeks(shown.school, shown.plan),
        "kind": kind,
        "of": of,
        "whose": shown.whose(kind, of),
        "everybody": shown.whose(kind),
        "schools": list(public_schools(session)),
    }
    return render(request, "published.html", **context)


@router.get("/published/{school_id}/{name}")
def public_file(
    request: Request, session: Database, account: Visitor, school_id: SchoolId, name: File, kind: str = "", of: str = ""
) -> Response:
    return _file(request, _visible(session, account, school_id)[1], name, kind, of)


@router.get("/office/{school_id}/plans/{plan_id}/{name}")
def file(desk: OfSchool, plan_id: str, name: File, kind: str = "", of: str = "") -> Response:
    plan = desk.school.plan(plan_id)
    if plan is None:
        raise HTTPException(404)
    return _file(desk.request, Shown(desk.school, plan, None), name, kind, of)


def _file(request: Request, shown: Shown, name: File, kind: str, of: str) -> Response:
    translate, whose = translator(request), shown.whose(kind, of)
    note = f"{shown.school.name} · {shown.plan.name}" + (f" · {shown.at:%d/%m/%Y}" if shown.at else "")
    match name:
        case "timetable.pdf":
            return download(pdf(shown.school, shown.plan, whose, note), name, "application/pdf")
        case "timetable.csv":
            return download(workbook.write_csv(_listing(shown, request)), name, "text/csv; charset=utf-8")
        case "timetable.xlsx":
            weeks = Weeks(shown.school, shown.plan)
            tables = [weeks.table(each) for each in whose]
            return download(workbook.write([_listing(shown, request), *tables]), name, XLSX)
        case _:
            weeks = Weeks(shown.school, shown.plan)
            answer = render(request, "export.html", school=shown.school, weeks=weeks, whose=whose, note=note)
            return download(bytes(answer.body), translate("timetable.html"), "text/html; charset=utf-8")


def _listing(shown: Shown, request: Request) -> workbook.Table:
    translate = translator(request)
    headings = [translate("Day"), translate("Lesson"), translate("Begins"), translate("Periods"), translate("Classes")]
    headings += [translate("Subject"), translate("Teachers"), translate("Rooms")]
    return listing(shown.school, shown.plan, headings)


@router.get("/office/{school_id}/share")
def share(desk: OfSchool) -> Response:
    shown = published(desk.session, desk.stored)
    feeds = {
        each.resource: str(desk.request.url_for("feed", token=each.token))
        for each in desk.session.scalars(select(Feed).filter_by(school_id=desk.stored.id))
    }
    publication = schools.published(desk.session, desk.stored.id)
    who = publication.account.name if publication and publication.account else "?"
    return page(desk, "share", shown=shown, who=who, feeds=feeds)


@router.post("/office/{school_id}/share")
def set_feed(desk: OfSchool, form: Posted) -> Response:
    """Makes a calendar's link, and one that there was is good for nothing any more; without `resource` all missing."""
    school, own = desk.school, select(Feed).filter_by(school_id=desk.stored.id)
    kept = {each.resource for each in desk.session.scalars(own)}
    wanted = {each.id for each in (*school.classes, *school.teachers)} - kept
    if resource := text(form, "resource"):
        if resource not in school.resources:
            raise HTTPException(404)
        desk.session.execute(delete(Feed).filter_by(school_id=desk.stored.id, resource=resource))
        wanted = {resource} if "revoke" not in form else set()
    moment = database.now(desk.session)
    for each in wanted:
        token = secrets.token_urlsafe(24)
        desk.session.add(Feed(token=token, school_id=desk.stored.id, resource=each, created_at=moment))
    desk.session.commit()
    return desk.done("/share", "links" if wanted else "revoked" if resource in kept else "")


@router.get("/feeds/{token}.ics")
def feed(request: Request, session: Database, token: str) -> Response:
    found = session.get(Feed, token[:64])
    stored = session.get(StoredSchool, found.school_id) if found else None
    shown = published(session, stored) if stored else None
    if found is None or shown is None or shown.at is None or found.resource not in shown.school.resources:
        raise HTTPException(404)
    host = request.url.hostname or "school-scheduler"
    data = calendar(shown.school, shown.plan, found.resource, shown.at, host)
    return Response(data, media_type="text/calendar; charset=utf-8", headers={"Cache-Control": "no-store"})
