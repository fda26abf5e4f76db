"""Whether a database holds what the pages need: the road that they read by, without the browser."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app import database, instances
from app.database import DatabaseError
from app.engine.cost import evaluate
from app.engine.timetable import Timetable
from app.models import Generation, StoredInstance

# Timetables that are in memory at a time; each may be as large as the largest file that is taken.
FEW = 10


def check(engine: Engine) -> tuple[int, int]:
    """Reads every instance and every timetable, and computes each timetable's cost anew.

    Returns:
        How many instances and how many timetables there are.

    Raises:
        DatabaseError: the schema is not this code's, or a stored cost is not its timetable's.
        XhsttError: an instance cannot be read.
    """
    if reason := database.problem(engine):
        raise DatabaseError(reason)
    timetables = 0
    with Session(engine) as session:
        numbers = session.scalars(select(StoredInstance.id).order_by(StoredInstance.id)).all()
    for number in numbers:
        # Whatever was read is let go of: a restore has less memory than a database may hold.
        with Session(engine) as session:
            stored = session.get_one(StoredInstance, number)
            instance = instances.load(stored)
            for identity, said, timetable in _timetables(session, number):
                cost = evaluate(instance, Timetable.from_json(timetable))
                if (cost.hard, cost.soft) != said:
                    raise DatabaseError(
                        f"generation {identity} of {stored.name!r} says that it costs {said[0]} "
                        f"{said[1]}, but its timetable costs {cost.hard} {cost.soft}"
                    )
                timetables += 1
    return len(numbers), timetables


def _timetables(session: Session, instance: int) -> Iterator[tuple[int, tuple[int, int], str]]:
    """Number, cost and timetable of an instance's generations, a few at a time."""
    columns = (Generation.id, Generation.hard, Generation.soft, Generation.timetable)
    found = select(*columns).where(Generation.instance_id == instance, Generation.timetable.is_not(None))
    for row in session.execute(found.execution_options(yield_per=FEW)):
        yield row.id, (row.hard, row.soft), row.timetable
