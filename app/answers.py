"""What people ask about one instance at the terminal: why not, what if, and with how few changes."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from app import instances
from app.engine.document import XhsttError
from app.engine.instance import Instance
from app.engine.timetable import Lesson, Timetable
from app.engine.xhstt import read_solutions, write_solution
from app.files import CommandError, write


def run(options: argparse.Namespace) -> None:
    """Runs explain, repair or wishes."""
    match options.command:
        case "explain":
            explain(options.xhstt, options.seconds)
        case "repair":
            repair(options)
        case "wishes":
            wishes(options.xhstt, options.seconds)


def explain(source: Path, seconds: float) -> None:
    """Prints why the instance has no timetable, a reason a line."""
    # Here, not above: loading the solver takes a second that other commands need not wait for.
    from app.engine.explain import reasons

    _, instance = instances.read(source)
    found = reasons(instance, seconds=seconds)
    for reason in found:
        print(reason.text)
    if not found:
        print("nothing was found that stands in the way of a timetable")


def repair(options: argparse.Namespace) -> None:
    """Prints what moves, and the cost last."""
    from app.engine import repair as engine

    data, instance, timetable = _solved(options.xhstt)
    changes: list[engine.Change] = [
        engine.Unavailable(resource, frozenset(time for name in times for time in _times(instance, name)))
        for resource, *times in options.away
    ]
    changes += [engine.MustMove(_lesson(timetable, *each)) for each in options.move]
    locked = [_lesson(timetable, *each) for each in options.lock]
    try:
        found = engine.repair(instance, timetable, changes, locked=locked, seconds=options.seconds)
    except ValueError as error:
        raise CommandError(f"{options.xhstt}: {error}") from None
    if found is None:
        raise CommandError(f"{options.xhstt}: no repair was found in {options.seconds:g} s; give more --seconds")
    for move in found.moves:
        print(engine.describe(instance, move))
    if options.out:
        today = datetime.now(UTC).date().isoformat()
        write(options.out, write_solution(data, str(options.xhstt), found.timetable, "School Scheduler", today))
    print(f"cost {found.cost.hard} {found.cost.soft}")


def wishes(source: Path, seconds: float | None) -> None:
    """Prints what each wish costs, and what the others would save without it, a wish a line."""
    from app.engine.wishes import wishes as price

    _, instance, timetable = _solved(source)
    for wish in price(instance, timetable, seconds=seconds or 0):
        saving = "" if wish.saving is None else f"{wish.saving:6}"
        print(f"{wish.cost:6}{saving}  {wish.constraint.name}")


def _solved(source: Path) -> tuple[bytes, Instance, Timetable]:
    data, instance = instances.read(source)
    solutions = read_solutions(data, str(source))
    if not solutions:
        raise XhsttError(f"{source}:1: the archive has no <Solution> of its instance; make one with generate --out")
    return data, instance, solutions[-1]


def _times(instance: Instance, name: str) -> tuple[str, ...]:
    """The times of the group of that id, or the time itself."""
    return next((group.times for group in instance.time_groups if group.id == name), (name,))


def _lesson(timetable: Timetable, event: str, time: str) -> Lesson:
    for lesson in timetable.lessons:
        if (lesson.event, lesson.time) == (event, time):
            return lesson
    raise CommandError(f"the timetable has no lesson of {event!r} at {time!r}")
