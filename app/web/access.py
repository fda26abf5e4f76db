"""Who asks, and what they may: every page of a school goes through `desk`, every form through `posted`."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode, urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi import Path as PathParameter
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, QueryParams

from app import accounts, schools
from app.models import Account, StoredSchool
from app.school.message import Message
from app.school.model import School
from app.web.page import translator

COOKIE = "session"
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


class LoginNeededError(Exception):
    """The page is for people who have signed in."""


def database(request: Request) -> Iterator[Session]:
    """A session for the length of a request; what is not committed by then never was."""
    with request.app.state.sessions() as session:
        yield session


Database = Annotated[Session, Depends(database)]
# What is beyond a database's integers is the number of no school.
SchoolId = Annotated[int, PathParameter(ge=0, lt=2**31)]


def visitor(request: Request, session: Database) -> Account | None:
    """Whose browser asks; None if nobody has signed in with it."""
    token = request.cookies.get(COOKIE, "")
    account = accounts.signed_in(session, token) if token else None
    request.state.account = account
    request.state.csrf = accounts.csrf_token(token) if account else ""
    return account


Visitor = Annotated[Account | None, Depends(visitor)]


def member(account: Visitor) -> Account:
    """As `visitor`, for pages that need somebody."""
    if account is None:
        raise LoginNeededError
    return account


Member = Annotated[Account, Depends(member)]


async def posted(request: Request) -> AsyncIterator[FormData]:
    """The fields of a form; 403 unless it is one of our own pages that sends it."""
    if not same_site(request):
        raise HTTPException(403)
    async with request.form(max_files=1, max_fields=3000, max_part_size=2_000_000) as form:
        if getattr(request.state, "csrf", ""):
            given = form.get("csrf")
            if not (isinstance(given, str) and secrets.compare_digest(given.encode(), request.state.csrf.encode())):
                raise HTTPException(403)
        yield form


def same_site(request: Request) -> bool:
    """Whether the browser, if it says so, sends this from a page of ours (OWASP: verify the origin)."""
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host")
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def checked(visitor: Visitor, form: Annotated[FormData, Depends(posted)]) -> FormData:
    """The fields of a form, after the browser that sends it is known."""
    return form


Posted = Annotated[FormData, Depends(checked)]


@dataclass
class Desk:
    """An account at work on a school."""

    request: Request
    session: Session
    account: Account
    stored: StoredSchool
    role: str
    translate: Callable[[str], str]
    # The number of the revision that this request has made.
    revision: int | None = None

    @property
    def school(self) -> School:
        """The school as it is now."""
        return schools.read(self.session, self.stored.id, self.stored.version)

    @property
    def edits(self) -> bool:
        """Whether the account may change the school."""
        return self.role in ("editor", "admin")

    @property
    def home(self) -> str:
        """Where the pages of this school are."""
        return f"/office/{self.stored.id}"

    def change(
        self, form: FormData, edit: Callable[[School], School], what: Message, touched: Callable[[School], object]
    ) -> None:
        """Makes an edit that was decided on at the form's version; raises as `schools.change`."""
        self.revision = schools.change(self.session, self.stored, self.account, base(form), edit, what, touched)
        self.session.commit()

    def done(self, path: str = "", note: str = "") -> RedirectResponse:
        """Back to a page, which tells what this request has changed.

        That is a revision, which the page offers to undo; or what has none, by its `note`; or nothing.
        """
        told = {"done": self.revision, "note": note or (None if self.revision else "unchanged")}
        query = urlencode({name: value for name, value in told.items() if value})
        return RedirectResponse(f"{self.home}{path}{'&' if '?' in path else '?'}{query}", 303)


def base(form: FormData | QueryParams, name: str = "version") -> int:
    """The version of the school that a form was made from, or that another field names; 0 if it is none."""
    given = str(form.get(name, ""))
    return int(given) if given.isdecimal() and len(given) < 10 else 0


def desk(request: Request, session: Database, account: Member, school_id: SchoolId) -> Desk:
    """404 for who has no role in the school, so that nobody learns which there are; 403 for a viewer who edits."""
    stored = session.get(StoredSchool, school_id)
    role = accounts.role(session, account, school_id) if stored else None
    if stored is None or role is None:
        raise HTTPException(404)
    if request.method not in SAFE and role == "viewer":
        raise HTTPException(403)
    return Desk(request, session, account, stored, role, translator(request))


OfSchool = Annotated[Desk, Depends(desk)]


def admin(desk: OfSchool) -> Desk:
    """As `desk`, for what only the school's admin may."""
    if desk.role != "admin":
        raise HTTPException(403)
    return desk


OfAdmin = Annotated[Desk, Depends(admin)]


def login_page(request: Request) -> RedirectResponse:
    """Where to sign in, and then to come back to the page that was asked for."""
    back = request.url.path if request.method in SAFE else "/office"
    return RedirectResponse(f"/login?next={quote(back)}", 303)
