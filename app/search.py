"""A search in processes of its own: whatever happens to them, the caller lives on and can always stop them."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from app.engine.progress import Progress
from app.engine.timetable import Timetable

# Bytes that each process may allocate: two of them fit into a worker's pod, and the largest school of the archive that
# is solved as a whole needs two thirds of it.
MEMORY = 700 << 20


class SearchError(Exception):
    """The search ended without a word; the text says how."""


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    connection: Connection


def search(
    xhstt: str,
    *,
    seconds: float,
    seed: int,
    workers: int,
    start: Timetable | None = None,
    memory: int = MEMORY,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Progress | None]:
    """Yields where it stands with each better timetable or `bound`, and None at least once a second.

    Begins with `start`, an earlier timetable, if there is one. Ends by itself after `seconds`, when the best is proved,
    or soon after `stop` says so; closing it ends the processes, one for each worker, and so does one's asking for more
    than `memory` bytes.

    Raises:
        SearchError: a process died or could not work.
    """
    tasks = (partial(_search, xhstt, seconds, seed, number, workers, start, memory) for number in range(workers))
    running = [_start(task) for task in tasks]
    working, stopped = list(running), False
    best: Progress | None = None
    try:
        while working:
            if not stopped and (stop() or len(working) < len(running)):
                stopped = True
                for worker in working:
                    _tell(worker, "stop")
            # A stop has to be noticed soon, also while nothing is found.
            ready = wait([worker.connection for worker in working], 0.5)
            for worker in [each for each in working if each.connection in ready]:
                message = _hear(worker, memory)
                if message is None:
                    working.remove(worker)
                elif best is None or message.rank < best.rank:
                    best = replace(message, bound=max(message.bound, best.bound if best else 0))
                    for other in working:
                        if other is not worker:
                            _tell(other, best.timetable)
                    yield best
                elif message.bound > best.bound:
                    best = replace(best, elapsed=message.elapsed, bound=message.bound, neighbourhood="bound")
                    yield best
            if not ready:
                yield None
    finally:
        for worker in running:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


def _start(task: Callable[[Connection], None]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=task, args=(there,), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _tell(worker: _Worker, message: object) -> None:
    # Why one is gone, its own last word says.
    with suppress(ConnectionError):
        worker.connection.send(message)


def _hear(worker: _Worker, memory: int) -> Progress | None:
    """What a worker says next, None when it has ended; SearchError when it failed."""
    try:
        message = worker.connection.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        # Libraries in C and C++ end the process where Python raises MemoryError.
        reason = f"the solver's process ended with code {worker.process.exitcode}"
        raise SearchError(f"{reason}; it has {memory >> 20} MiB of memory") from None
    if isinstance(message, str):
        raise SearchError(message)
    found: Progress | None = message
    return found


def _search(
    xhstt: str,
    seconds: float,
    seed: int,
    number: int,
    workers: int,
    start: Timetable | None,
    memory: int,
    connection: Connection,
) -> None:
    _limit(memory)
    # Ctrl-C and SIGTERM reach the whole group; the parent says when to stop.
    for signalled in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signalled, signal.SIG_IGN)
    # Here, not above: only these processes need the solver, and loading it takes a second.
    from app.engine.solver import solve
    from app.engine.worker import ELSEWHERE
    from app.engine.xhstt import read_instances

    newest: Timetable | None = None
    stopped = False

    def stop() -> bool:
        """Reads what the parent has said; it is also a stop when the parent is gone."""
        nonlocal newest, stopped
        try:
            while not stopped and connection.poll():
                message = connection.recv()
                if message == "stop":
                    stopped = True
                else:
                    newest = message
        except (EOFError, ConnectionError):
            stopped = True
        return stopped

    def heard() -> Timetable | None:
        """The newest timetable of the others since it was asked last."""
        nonlocal newest
        found, newest = newest, None
        return found

    def report(progress: Progress) -> None:
        if progress.neighbourhood != ELSEWHERE:
            connection.send(progress)

    try:
        solve(
            read_instances(xhstt.encode(), "instance")[0],
            seconds=seconds,
            seed=seed,
            workers=workers,
            start=start,
            stop=stop,
            on_progress=report,
            number=number,
            heard=heard,
        )
        connection.send(None)
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
