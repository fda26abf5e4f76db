"""Whether a database holds what the pages need: the road that they read by, without the browser."""

from __future__ import annotations

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app import database, instances
from app.database import DatabaseError
from app.engine.cost import evaluate
from app.engine.timetable import Timetable
from app.models import Generation, StoredInstance


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
        stored = session.scalars(select(StoredInstance).order_by(StoredInstance.id)).all()
        for each in stored:
            instance = instances.load(each)
            found = select(Generation).where(Generation.instance_id == each.id, Generation.timetable.is_not(None))
            for generation in session.scalars(found):
                cost = evaluate(instance, Timetable.from_json(generation.timetable or ""))
                if (cost.hard, cost.soft) != (generation.hard, generation.soft):
                    raise DatabaseError(
                        f"generation {generation.id} of {each.name!r} says that it costs {generation.hard} "
                        f"{generation.soft}, but its timetable costs {cost.hard} {cost.soft}"
                    )
                timetables += 1
    return len(stored), timetables
