"""What the page of a school shows, put together from the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import generation, instances
from app.engine.grid import Row, days, grid
from app.engine.instance import Instance, Resource
from app.engine.timetable import Timetable
from app.models import Generation, Publication, StoredInstance, StoredSchool

# Colours that the style sheet has.
TONES = 10


@dataclass(frozen=True)
class Week:
    """The timetable of one resource."""

    resource: Resource
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Progress:
    """How far the newest generation is, in words and in numbers.

    Attributes:
        state: queued, running, done or failed; None where there never was a generation.
        share: of its time, 0 to 1.
        version: changes whenever there is another timetable to show.
    """

    state: str | None
    message: str
    share: float
    version: str

    @property
    def active(self) -> bool:
        """Whether there is something to wait for."""
        return self.state in ("queued", "running")


@dataclass(frozen=True)
class School:
    """Everything that the page shows."""

    id: int
    name: str
    progress: Progress
    hard: int | None
    soft: int | None
    days: tuple[str, ...]
    weeks: dict[str, list[Week]]
    tones: dict[str, int]


def public_schools(session: Session) -> Iterator[tuple[str, str]]:
    """(address, name) of every school that can be seen without an account: imported ones, then published ones."""
    imported = select(StoredInstance.id, StoredInstance.name).filter_by(school_id=None).order_by(StoredInstance.id)
    for identifier, name in session.execute(imported):
        yield f"/schools/{identifier}", name
    shown = select(StoredSchool.id, StoredSchool.name).where(
        StoredSchool.public, StoredSchool.id.in_(select(Publication.school_id))
    )
    for identifier, name in session.execute(shown.order_by(StoredSchool.id)):
        yield f"/published/{identifier}", name


def school(session: Session, stored: StoredInstance, translate: Callable[[str], str]) -> School:
    """The school of an imported instance, with the best timetable that there is."""
    instance = instances.load(stored)
    best = generation.best(session, stored.id)
    return School(
        id=stored.id,
        name=stored.name,
        progress=progress(session, stored.id, translate),
        hard=best.hard if best else None,
        soft=best.soft if best else None,
        days=tuple(day.name for day in days(instance)),
        weeks=_weeks(instance, Timetable.from_json(best.timetable)) if best and best.timetable else {},
        tones={resource.id: index % TONES for index, resource in enumerate(instance.resources)},
    )


def progress(session: Session, instance_id: int, translate: Callable[[str], str]) -> Progress:
    """How far the newest generation of an instance is."""
    newest, best = generation.latest(session, instance_id), generation.best(session, instance_id)
    version = f"{best.id}-{best.hard}-{best.soft}" if best else ""
    if newest is None:
        return Progress(None, translate("No timetable has been asked for yet."), 0, version)
    text, share = progress_of(newest, translate)
    return Progress(newest.state, text, share, version)


def progress_of(row: Generation, translate: Callable[[str], str]) -> tuple[str, float]:
    """How far one generation is, in words, and as a share of its time."""
    elapsed = _elapsed(row)
    values = {
        "elapsed": round(elapsed),
        "seconds": round(row.seconds),
        "cost": row.soft,
        "error": row.error,
    }
    return translate(_message(row)).format_map(values), min(1.0, elapsed / row.seconds)


def _message(newest: Generation) -> str:
    """The message id for a generation's state; `_` marks it for the catalogue."""

    def _(message: str) -> str:
        return message

    match newest.state:
        case "queued":
            return _("Waiting for a worker.")
        case "running" if newest.timetable is None:
            return _("Looking for a first timetable: {elapsed} s of {seconds} s.")
        case "running":
            return _("Looking for a better timetable: {elapsed} s of {seconds} s, cost {cost} so far.")
        case "failed" if newest.error == generation.NOT_FOUND:
            return _("No timetable that meets every requirement was found in {seconds} s.")
        case "failed" if newest.error == generation.STOPPED:
            return _("The search was stopped before it found a timetable.")
        case "failed":
            return _("The search failed: {error}")
        case _:
            return _("The search is finished.")


def _elapsed(newest: Generation) -> float:
    if newest.state != "running" or newest.started_at is None or newest.heartbeat_at is None:
        return 0.0
    return (newest.heartbeat_at - newest.started_at).total_seconds()


def _weeks(instance: Instance, timetable: Timetable) -> dict[str, list[Week]]:
    """The weeks of all resources that attend anything, by resource type, classes first."""
    attending = {resource for event in instance.events for resource in event.resources}
    resources = [resource for resource in instance.resources if resource.id in attending]
    types = sorted(dict.fromkeys(resource.type for resource in resources), key=lambda each: each != "Class")
    return {
        each: [Week(one, grid(instance, timetable, one.id)) for one in resources if one.type == each] for each in types
    }
