"""A search in a process of its own: whatever happens to it, the caller lives on and can always stop it."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from multiprocessing.connection import Connection

from app.engine.timetable import Timetable

# Bytes that the process may allocate; the largest school of the archive that is solved as a whole needs a third of it.
MEMORY = 1400 << 20


class SearchError(Exception):
    """The search ended without a word; the text says how."""


@dataclass(frozen=True)
class Found:
    """The best timetable after `elapsed` seconds, better than all before or with a better `bound`.

    No timetable without hard cost has a soft cost below `bound`; `neighbourhood` is the kind of step that found it.
    """

    elapsed: float
    bound: int
    neighbourhood: str
    timetable: Timetable


def search(
    xhstt: str,
    *,
    seconds: float,
    seed: int,
    workers: int,
    start: Timetable | None = None,
    memory: int = MEMORY,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Found | None]:
    """Yields each better timetable as it is found, and None at least once a second.

    Begins with `start`, an earlier timetable, if there is one. Ends by itself after `seconds`, when the best is proved,
    or soon after `stop` says so; closing it ends the process, and so does its asking for more than `memory` bytes.

    Raises:
        SearchError: the process died or could not work.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_search, args=(there, xhstt, seconds, seed, workers, start, memory), daemon=True)
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
        # Libraries in C and C++ end the process where Python raises MemoryError.
        reason = f"the solver's process ended with code {process.exitcode}"
        raise SearchError(f"{reason}; it has {memory >> 20} MiB of memory") from None
    finally:
        process.kill()
        process.join()
        here.close()


def _search(
    connection: Connection,
    xhstt: str,
    seconds: float,
    seed: int,
    workers: int,
    start: Timetable | None,
    memory: int,
) -> None:
    _limit(memory)
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
        connection.send(Found(progress.elapsed, progress.bound, progress.neighbourhood, progress.timetable))

    try:
        instance = read_instances(xhstt.encode(), "instance")[0]
        solve(instance, seconds=seconds, seed=seed, workers=workers, start=start, stop=stop, on_progress=report)
        connection.send("end")
    except MemoryError:
        connection.send("the solver ran out of memory")
    except ValueError as error:
        connection.send(str(error))
    except BrokenPipeError:
        pass


def _limit(memory: int) -> None:
    """Makes this process fail when it allocates more; Windows has no such limit."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
