"""Finding a timetable: workers that improve one timetable together until a deadline."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from app.engine.incumbent import Incumbent
from app.engine.instance import Instance
from app.engine.progress import Progress
from app.engine.timetable import Timetable
from app.engine.worker import Worker


def solve(
    instance: Instance,
    *,
    seconds: float,
    seed: int = 0,
    workers: int = 2,
    start: Timetable | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    number: int | None = None,
    heard: Callable[[], Timetable | None] = lambda: None,
) -> Timetable:
    """The best timetable found in `seconds`; if none without hard cost was, the one with the least.

    `start` is an earlier timetable of this instance to begin with. `stop` is asked several times a second and ends the
    search early; `on_progress` is told, from any thread but one at a time, of every better timetable and of a better
    bound. With one worker and the same seed, the same timetables are found in the same order.

    The workers are threads, which wait for one another while they build models. With a `number` this is that one alone,
    the others being processes of their own, and `heard` is asked several times a second what they have found.

    Raises:
        ValueError: the instance has weights that the solver cannot add up.
    """
    incumbent = Incumbent(instance, seconds, on_progress)

    def work(number: int) -> None:
        luck = random.Random(f"{seed} {number}")  # noqa: S311 - a repeatable choice, not a secret
        try:
            Worker(incumbent, luck, number, workers).work(start)
        except Exception as error:
            incumbent.failure = error
            incumbent.end()

    threads = [threading.Thread(target=work, args=(each,)) for each in (range(workers) if number is None else [number])]
    if stop():
        incumbent.end()
    for thread in threads:
        thread.start()
    try:
        while not incumbent.ended.wait(min(0.1, max(0.0, incumbent.deadline - time.monotonic()))):
            if (found := heard()) is not None:
                incumbent.hear(found)
            if stop() or time.monotonic() >= incumbent.deadline:
                incumbent.end()
    finally:
        # Ctrl-C ends the search too.
        for thread in threads:
            # A model that was about to be solved when all others were stopped.
            while thread.is_alive():
                incumbent.end()
                thread.join(0.1)
    if incumbent.failure:
        raise incumbent.failure
    return incumbent.best.timetable
