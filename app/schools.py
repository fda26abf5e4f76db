"""The schools in the database: every edit is a revision, so that each can be told, undone and compared."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app import database
from app.models import Account, Membership, Publication, Revision, StoredSchool
from app.school.message import Message, SchoolError, _
from app.school.model import School

UNDONE = _("Undone: {what}")
REDONE = _("Done again: {what}")
# So many of the newest revisions can be gone back to; those that are published stay as well.
KEPT = 200
LARGEST = 8_000_000


class ConflictError(Exception):
    """Somebody else has changed the same thing in the meantime: `mine` was to be saved, `theirs` is what is there."""

    def __init__(self, who: str) -> None:
        super().__init__(who)
        self.who = who


def create(session: Session, school: School, account: Account) -> StoredSchool:
    """A new school, with the account as its admin."""
    moment = database.now(session)
    stored = StoredSchool(name=school.name, version=1, public=False, created_at=moment)
    session.add(stored)
    session.flush()
    session.add(Membership(account_id=account.id, school_id=stored.id, role="admin"))
    _add(session, stored.id, 1, school, account, _("The school was made."))
    return stored


def read(session: Session, school_id: int, number: int) -> School:
    """A school as of a revision."""
    of = select(Revision.document).where(Revision.school_id == school_id, Revision.number == number)
    document = session.scalar(of)
    if document is None:
        raise SchoolError(_("This version is too old; it is not kept any more."))
    return _parse(document)


def change(
    session: Session,
    stored: StoredSchool,
    account: Account,
    base: int,
    edit: Callable[[School], School],
    what: Message,
    touched: Callable[[School], object] = lambda school: school,
) -> int | None:
    """Makes an edit that somebody decided on when the school was at version `base`.

    What others have changed since then stays, unless it is `touched` by this edit too. The answer
    is the number of the revision; there is none if nothing changes.

    Raises:
        ConflictError: it is.
        SchoolError: the edit cannot be made.
    """
    current = read(session, stored.id, stored.version)
    if base != stored.version and (
        not 0 < base < stored.version or touched(read(session, stored.id, base)) != touched(current)
    ):
        raise ConflictError(_last_editor(session, stored))
    school = edit(current)
    if school == current:
        return None
    _add(session, stored.id, stored.version + 1, school, account, what)
    advanced = cast(
        CursorResult[Any],
        session.execute(
            update(StoredSchool)
            .where(StoredSchool.id == stored.id, StoredSchool.version == stored.version)
            .values(version=stored.version + 1, name=school.name),
            execution_options={"synchronize_session": False},
        ),
    ).rowcount
    if advanced != 1:
        raise ConflictError(_last_editor(session, stored))
    session.flush()
    session.refresh(stored)
    _forget_old(session, stored)
    return stored.version


def undo(session: Session, stored: StoredSchool, account: Account, number: int) -> int | None:
    """Goes back to how the school was before revision `number`; that is a new revision, and can be undone too."""
    before = read(session, stored.id, number - 1)
    newest = revision(session, stored.id, number) if number == stored.version else None
    what = _undone(said(newest)) if newest else _("Back to version {number}.", number=number - 1)
    # Ids are never used twice, or a link to a thing of then would lead to another one.
    return change(
        session,
        stored,
        account,
        stored.version,
        lambda school: before.model_copy(update={"counter": max(before.counter, school.counter)}),
        what,
    )


def history(session: Session, school_id: int, most: int = 100) -> list[Revision]:
    """The newest revisions, newest first."""
    found = select(Revision).where(Revision.school_id == school_id).order_by(Revision.number.desc()).limit(most)
    return list(session.scalars(found))


def revision(session: Session, school_id: int, number: int) -> Revision | None:
    """The revision of that number, if there is one."""
    return session.scalar(select(Revision).where(Revision.school_id == school_id, Revision.number == number))


def said(revision: Revision) -> Message:
    """What the revision changed."""
    return _message(*json.loads(revision.what))


def _message(text: str, values: dict[str, Any]) -> Message:
    return Message(text, {key: _message(*each) if isinstance(each, list) else each for key, each in values.items()})


def _undone(what: Message) -> Message:
    """To undo an undoing is to do again what was undone, however often."""
    inner = what.values.get("what")
    if what.text not in (UNDONE.text, REDONE.text) or not isinstance(inner, Message):
        return Message(UNDONE.text, {"what": what})
    return Message(REDONE.text if what.text == UNDONE.text else UNDONE.text, {"what": inner})


def publish(session: Session, stored: StoredSchool, account: Account, plan: str) -> None:
    """From now on everybody who may see the school sees this plan, as it is now."""
    moment = database.now(session)
    session.add(Publication(school_id=stored.id, number=stored.version, plan=plan, account_id=account.id, at=moment))
    session.flush()


def published(session: Session, school_id: int) -> Publication | None:
    """The newest publication of a school."""
    found = select(Publication).where(Publication.school_id == school_id).order_by(Publication.id.desc()).limit(1)
    return session.scalar(found)


def _add(session: Session, school_id: int, number: int, school: School, account: Account, what: Message) -> None:
    document = school.model_dump_json(exclude_defaults=True).encode()
    if len(document) > LARGEST:
        raise SchoolError(_("The school has become too large; delete some drafts."))
    session.add(
        Revision(
            school_id=school_id,
            number=number,
            document=zlib.compress(document),
            what=json.dumps([what.text, what.values], ensure_ascii=False),
            account_id=account.id,
            at=database.now(session),
        )
    )


def _forget_old(session: Session, stored: StoredSchool) -> None:
    shown = select(Publication.number).where(Publication.school_id == stored.id)
    old = (Revision.school_id == stored.id, Revision.number == stored.version - KEPT, Revision.number.not_in(shown))
    session.execute(update(Revision).where(*old).values(document=None))


def _last_editor(session: Session, stored: StoredSchool) -> str:
    newest = history(session, stored.id, 1)
    return newest[0].account.name if newest and newest[0].account else "?"


# A page needs the parsed school at every request, and most requests are for a few versions.
@lru_cache(maxsize=32)
def _parse(document: bytes) -> School:
    return School.model_validate_json(zlib.decompress(document))
