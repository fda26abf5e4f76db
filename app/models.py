"""The tables."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, Float, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# Without its variant MySQL keeps 64 KB of a text or a document, and whole seconds of a time.
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
LongBinary = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
Moment = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


class Base(DeclarativeBase):
    """Every moment is UTC, by the database server's clock."""


class StoredInstance(Base):
    """An XHSTT instance: imported, as the file had it; or made of a school, and then without any name of its people."""

    __tablename__ = "instance"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    xhstt: Mapped[str] = mapped_column(LongText)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(Moment)
    school_id: Mapped[int | None] = mapped_column(ForeignKey("school.id", ondelete="CASCADE"), index=True)


class Generation(Base):
    """One search for a timetable, and the best one that it has found so far.

    Attributes:
        state: queued, running, done or failed.
        seconds: how long it may search.
        hard, soft: cost of `timetable`.
        bound: no timetable has a lower soft cost.
        worker: who claimed it, in which of its `attempts`; `heartbeat_at` is when that worker was last heard of.
        error: why it failed, in one line.
        history: of every better timetable [elapsed, hard, soft], as JSON.
        stop_requested: somebody wants what has been found so far.
        school_version: of which version of a school it makes the timetable.
        locked: the placements that it had to keep, as JSON.
        repairs: the plan from which it moves as few lessons as it can.
        reasons: of a school, why there is no timetable, as JSON of [kind, arguments].
    """

    __tablename__ = "generation"
    __table_args__ = (Index("ix_generation_state", "state", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(10))
    seconds: Mapped[float] = mapped_column(Float)
    seed: Mapped[int] = mapped_column(Integer)
    elapsed: Mapped[float | None] = mapped_column(Float)
    hard: Mapped[int | None] = mapped_column(Integer)
    soft: Mapped[int | None] = mapped_column(Integer)
    bound: Mapped[int | None] = mapped_column(Integer)
    timetable: Mapped[str | None] = mapped_column(LongText)
    error: Mapped[str | None] = mapped_column(String(500))
    worker: Mapped[str | None] = mapped_column(String(100))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    requested_at: Mapped[datetime] = mapped_column(Moment)
    started_at: Mapped[datetime | None] = mapped_column(Moment)
    heartbeat_at: Mapped[datetime | None] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)
    history: Mapped[str | None] = mapped_column(LongText)
    stop_requested: Mapped[bool | None]
    school_version: Mapped[int | None] = mapped_column(Integer)
    locked: Mapped[str | None] = mapped_column(LongText)
    repairs: Mapped[str | None] = mapped_column(String(20))
    reasons: Mapped[str | None] = mapped_column(LongText)

    instance: Mapped[StoredInstance] = relationship()


class StoredSchool(Base):
    """A school that people edit.

    Attributes:
        version: the newest revision's number; whoever makes the next one changes it first.
        public: whether its published timetable is shown without an account.
    """

    __tablename__ = "school"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    version: Mapped[int] = mapped_column(Integer)
    public: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(Moment)


class Revision(Base):
    """A school after an edit: `document` is its compressed JSON, absent from old ones; `what` is a message as JSON."""

    __tablename__ = "revision"
    __table_args__ = (UniqueConstraint("school_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    school_id: Mapped[int] = mapped_column(ForeignKey("school.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Integer)
    document: Mapped[bytes | None] = mapped_column(LongBinary)
    what: Mapped[str] = mapped_column(Text)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"))
    at: Mapped[datetime] = mapped_column(Moment)

    account: Mapped[Account | None] = relationship()


class Publication(Base):
    """A plan of a school's revision that was published; the newest of a school is the one that is shown."""

    __tablename__ = "publication"

    id: Mapped[int] = mapped_column(primary_key=True)
    school_id: Mapped[int] = mapped_column(ForeignKey("school.id", ondelete="CASCADE"), index=True)
    number: Mapped[int] = mapped_column(Integer)
    plan: Mapped[str] = mapped_column(String(20))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"))
    at: Mapped[datetime] = mapped_column(Moment)

    account: Mapped[Account | None] = relationship()


class Feed(Base):
    """A calendar of one class, teacher or room, for whoever knows `token`."""

    __tablename__ = "feed"
    __table_args__ = (UniqueConstraint("school_id", "resource"),)

    token: Mapped[str] = mapped_column(String(64), primary_key=True)
    school_id: Mapped[int] = mapped_column(ForeignKey("school.id", ondelete="CASCADE"))
    resource: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(Moment)


class Account(Base):
    """A person; `admin` may make schools."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    password: Mapped[str] = mapped_column(String(255))
    admin: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(Moment)


class Membership(Base):
    """What an account may do in a school: `role` is viewer, editor or admin."""

    __tablename__ = "membership"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    school_id: Mapped[int] = mapped_column(ForeignKey("school.id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(10))

    account: Mapped[Account] = relationship()
    school: Mapped[StoredSchool] = relationship()


class Login(Base):
    """A browser that an account is signed in with; only the browser knows the token itself."""

    __tablename__ = "login"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime] = mapped_column(Moment)

    account: Mapped[Account] = relationship()


class Invitation(Base):
    """A link by which one person gets an account, or a role in one more school; without a school an `Account.admin`."""

    __tablename__ = "invitation"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    school_id: Mapped[int | None] = mapped_column(ForeignKey("school.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(10))
    expires_at: Mapped[datetime] = mapped_column(Moment)

    school: Mapped[StoredSchool | None] = relationship()


class Attempt(Base):
    """A failed login, by the address that was tried and by the one that it came from."""

    __tablename__ = "attempt"
    __table_args__ = (Index("ix_attempt_who", "who", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[str] = mapped_column(String(260))
    at: Mapped[datetime] = mapped_column(Moment)
