"""Signing in and out, invitations, and who is in a school."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select

from app import accounts, schools
from app.models import Account, Membership, StoredSchool
from app.school import edit
from app.school.message import SchoolError, _
from app.web.access import COOKIE, Database, Member, OfAdmin, Posted, SchoolId, Visitor
from app.web.office.data import page
from app.web.office.form import Problem, text
from app.web.page import render, set_cookie, translator

router = APIRouter()
DAYS = (_("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday"), _("Friday"))
PERIOD = _("Lesson {number}")
EMPTY = {"name": "", "email": ""}
Next = Annotated[str, Query(alias="next", max_length=500)]


@router.get("/login")
def login(request: Request, account: Visitor, back: Next = "/office") -> Response:
    return render(request, "office/login.html", back=back, email="", error=None)


@router.post("/login")
def sign_in(request: Request, session: Database, form: Posted, back: Next = "/office") -> Response:
    email, error = text(form, "email"), _("The e-mail address or the password is wrong.")
    try:
        account = accounts.authenticate(session, email, str(form.get("password", "")), _host(request))
        session.commit()
        if account:
            return _welcome(request, session, account, back)
    except SchoolError as refused:
        error = refused.message
    return render(request, "office/login.html", 401, back=back, email=email, error=error)


@router.post("/logout")
def sign_out(request: Request, session: Database, account: Member, form: Posted) -> Response:
    accounts.sign_out(session, request.cookies[COOKIE])
    session.commit()
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


@router.get("/join/{token}")
def join(request: Request, session: Database, account: Visitor, token: str) -> Response:
    invited = accounts.invitation(session, token)
    if invited is None:
        return render(request, "office/join.html", 404, invited=None, values=EMPTY, error=None)
    return render(request, "office/join.html", invited=invited, values=EMPTY, error=None)


@router.post("/join/{token}")
def accept(request: Request, session: Database, account: Visitor, token: str, form: Posted) -> Response:
    invited = accounts.invitation(session, token)
    if invited is None:
        raise HTTPException(404)
    values = {name: text(form, name) for name in ("name", "email")}
    back = f"/office/{invited.school_id}" if invited.school_id else "/office"
    try:
        if account is None:
            account = accounts.create(session, values["email"], values["name"], str(form.get("password", "")))
    except SchoolError as refused:
        return render(request, "office/join.html", 422, invited=invited, values=values, error=refused.message)
    accounts.accept(session, invited, account)
    return _welcome(request, session, account, back)


@router.get("/office")
def office(request: Request, session: Database, account: Member) -> Response:
    return _office(request, session, account)


@router.post("/office")
def new_school(request: Request, session: Database, account: Member, form: Posted) -> Response:
    if not account.admin:
        raise HTTPException(403)
    name = text(form, "name")
    if not 1 <= len(name) <= 80:
        error = _("Please give the school's name, in at most 80 characters.")
        return _office(request, session, account, 422, error=error)
    translate = translator(request)
    made = edit.begin(name, [day.said(translate) for day in DAYS], translate(PERIOD.text))
    stored = schools.create(session, made, account)
    session.commit()
    return RedirectResponse(f"/office/{stored.id}", 303)


@router.post("/password")
def change_password(request: Request, session: Database, account: Member, form: Posted) -> Response:
    try:
        if not accounts.verified(account.password, str(form.get("password", ""))):
            raise SchoolError(_("The present password is wrong."))
        accounts.check_password(str(form.get("new", "")))
    except SchoolError as refused:
        return _office(request, session, account, 422, password_error=refused.message)
    account.password = accounts.hasher.hash(str(form.get("new", "")))
    # Whoever else may have the old one is out with it.
    accounts.sign_out_everywhere(session, account)
    return _welcome(request, session, account, "/office")


@router.get("/office/{school_id}/people")
def people(desk: OfAdmin) -> Response:
    return _people(desk)


@router.post("/office/{school_id}/people/invite")
def invite(desk: OfAdmin, form: Posted) -> Response:
    role = text(form, "role")
    if role not in accounts.ROLES:
        raise HTTPException(422)
    token = accounts.invite(desk.session, desk.stored, role)
    desk.session.commit()
    return _people(desk, link=str(desk.request.url_for("join", token=token)))


@router.post("/office/{school_id}/people/{account_id}")
def set_role(desk: OfAdmin, account_id: SchoolId, form: Posted) -> Response:
    role = text(form, "role")
    found = desk.session.get(Membership, (account_id, desk.stored.id))
    if found is None or role not in (*accounts.ROLES, "none"):
        raise HTTPException(404)
    others = select(Membership).filter_by(school_id=desk.stored.id, role="admin")
    if role != "admin" and not [x for x in desk.session.scalars(others) if x.account_id != account_id]:
        return _people(desk, Problem(_("A school needs an admin; make somebody else one first."), 422))
    if role == found.role:
        return desk.done("/people")
    if role == "none":
        desk.session.delete(found)
    else:
        found.role = role
    desk.session.commit()
    # Whoever is no admin any more may not see who is in.
    if account_id == desk.account.id:
        return RedirectResponse("/office", 303)
    return desk.done("/people", "left" if role == "none" else "role")


def _people(desk: OfAdmin, problem: Problem | None = None, link: str | None = None) -> Response:
    members = select(Membership).filter_by(school_id=desk.stored.id).join(Account).order_by(Account.name)
    found = desk.session.scalars(members).all()
    return page(desk, "people", problem, members=found, roles=accounts.ROLES, link=link)


def _office(request: Request, session: Database, account: Account, status: int = 200, **context: object) -> Response:
    own = select(Membership).filter_by(account_id=account.id).join(StoredSchool).order_by(StoredSchool.name)
    shown = {"error": None, "password_error": None} | context
    return render(request, "office/schools.html", status, members=session.scalars(own).all(), **shown)


def _welcome(request: Request, session: Database, account: Account, back: str) -> Response:
    token = accounts.sign_in(session, account)
    session.commit()
    # Only to a page of ours: "//" begins another site's address.
    response = RedirectResponse(back if back.startswith("/") and back[1:2] not in ("/", "\\") else "/office", 303)
    set_cookie(request, response, COOKIE, token, int(accounts.LOGIN.total_seconds()))
    return response


def _host(request: Request) -> str:
    told = request.headers.get("x-real-ip") if request.app.state.settings.https_only else None
    return told or (request.client.host if request.client else "?")
