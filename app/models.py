"""The tables."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# Without its variant MySQL keeps 64 KB of a text, and whole seconds of a time.
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
Moment = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


class Base(DeclarativeBase):
    """Every moment is UTC, by the database server's clock."""


class StoredInstance(Base):
    """An imported XHSTT instance, as the file had it."""

    __tablename__ = "instance"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    xhstt: Mapped[str] = mapped_column(LongText)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(Moment)


class Generation(Base):
    """One search for a timetable, and the best one that it has found so far.

    Attributes:
        state: queued, running, done or failed.
        seconds: how long it may search.
        hard, soft: cost of `timetable`.
        bound: no timetable has a lower soft cost.
        worker: who claimed it, in which of its `attempts`; `heartbeat_at` is when that worker was last heard of.
        error: why it failed, in one line.
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

    instance: Mapped[StoredInstance] = relationship()
