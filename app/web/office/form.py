"""What forms bring: values out of them, and what is told when they cannot be saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from starlette.datastructures import FormData

from app import schools
from app.school.message import Message, SchoolError, _
from app.school.model import School, Value
from app.web.access import Desk

AnyValue = TypeVar("AnyValue", bound=Value)
# What a page tells of a form that made no revision, by the word that its address has for it.
NOTES = {
    "unchanged": _("Nothing has changed: it was like this already."),
    "gone": _("This is not there any more."),
    "empty": _("There are no lessons yet; add some, or import them."),
    "public": _("From now on everybody may see the published timetable."),
    "private": _("From now on only people with an account in this school see the published timetable."),
    "published": _("The draft is published as it is now."),
    "links": _("The links were made."),
    "revoked": _("The link was revoked."),
    "role": _("The role was changed."),
    "left": _("This person is not in the school any more."),
}


class Problem(NamedTuple):
    """Why a form was not saved, and the status of the page that says so and has what was typed."""

    message: Message
    status: int


def text(form: FormData, name: str) -> str:
    """A field as text, without what surrounds it; empty where the form has none."""
    given = form.get(name)
    # A hostile charset can smuggle in lone surrogates, which no page can show.
    return given.encode(errors="replace").decode().strip() if isinstance(given, str) else ""


def texts(form: FormData, name: str) -> tuple[str, ...]:
    """All values of a field, such as of check boxes of one name."""
    return tuple(each for each in form.getlist(name) if isinstance(each, str))


def number(form: FormData, name: str) -> int | None:
    """A field as a whole number; None if it is empty."""
    given = text(form, name)
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 3):
        raise SchoolError(_("“{value}” is no whole number from 0 to 999.", value=given[:40]))
    return int(given)


def built(kind: type[AnyValue], **values: Any) -> AnyValue:
    """A value of the school, or SchoolError for what cannot be one."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        given = str(first.get("input", ""))
        if first["loc"][-1:] == ("name",) and not given.strip():
            raise SchoolError(_("Please give a name.")) from None
        if first["loc"][-1] in ("begins", "ends"):
            raise SchoolError(_("“{value}” is no time of day such as 07:30.", value=given[:40])) from None
        raise SchoolError(_("“{value}” is too long.", value=given[:40])) from None


def attempt(
    desk: Desk, form: FormData, edit: Callable[[School], School], what: Message, touched: Callable[[School], object]
) -> Problem | None:
    """Saves an edit; None if that went well, else nothing was saved."""
    try:
        desk.change(form, edit, what, touched)
    except SchoolError as error:
        desk.session.rollback()
        return Problem(error.message, 422)
    except schools.ConflictError as error:
        desk.session.rollback()
        told = _("{name} has changed this in the meantime. What you typed is below; saving it again replaces theirs.",
                 name=error.who)  # fmt: skip
        return Problem(told, 409)
    return None
