"""A search in a process of its own: whatever happens to it, the caller lives on and can always stop it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator
from dataclasses import dataclass
from multiprocessing.connection import Connection

from app.engine.timetable import Timetable


class SearchError(Exception):
    """The search ended without a word; the text says how."""


@dataclass(frozen=True)
class Found:
    """A better timetable than all before, after `elapsed` seconds; none has a soft cost below `bound`."""

    elapsed: float
    bound: int
    timetable: Timetable


def search(
    xhstt: str, *, seconds: float, seed: int, workers: int, stop: Callable[[], bool] = lambda: False
) -> Generator[Found | None]:
    """Yields each better timetable as it is found, and None at least once a second.

    Ends by itself after `seconds`, when the best is proved, or soon after `stop` says so; closing it ends the process.

    Raises:
        SearchError: the process died or could not work.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_search, args=(there, xhstt, seconds, seed, workers), daemon=True)
    process.start()
    there.close()
    stopped = False
    try:
        while True:
            if not stopped and stop():
                here.send("stop")
                stopped = True
            # A stop has to be noticed soon, also while nothing is found.
            message = here.recv() if here.poll(0.5) else None
            if message == "end":
                return
            if isinstance(message, str):
                raise SearchError(message)
            yield message
    except (EOFError, ConnectionError):
        process.join()
        raise SearchError(f"the solver's process ended with code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        here.close()


def _search(connection: Connection, xhstt: str, seconds: float, seed: int, workers: int) -> None:
    # Ctrl-C and SIGTERM reach the whole group; the parent says when to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Here, not above: only this process needs the solver, and loading it takes a second.
    from app.engine.solver import Progress, solve
    from app.engine.xhstt import read_instances

    def stop() -> bool:
        # Also true when the parent is gone and its end of the pipe with it.
        return connection.poll()

    def report(progress: Progress) -> None:
        connection.send(Found(progress.elapsed, progress.bound, progress.timetable))

    try:
        instance = read_instances(xhstt.encode(), "instance")[0]
        solve(instance, seconds=seconds, seed=seed, workers=workers, stop=stop, on_progress=report)
        connection.send("end")
    except MemoryError:
        connection.send("the solver ran out of memory")
    except ValueError as error:
        connection.send(str(error))
    except BrokenPipeError:
        pass
