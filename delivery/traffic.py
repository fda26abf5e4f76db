"""Requests of our own: what users would have met during a delivery."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from delivery.shell import clock
from delivery.site import Site

# Of both indicators: pages are there, and people can save.
PATHS = ("/", "/ready?save=true")
# Seconds to wait for the last answer: one that comes byte by byte may have no end.
LAST = 30


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent (shell.clock), how long it took, and what was wrong; None if nothing was."""

    at: float
    path: str
    seconds: float
    error: str | None


@contextmanager
def traffic(site: Site) -> Iterator[list[Answer]]:
    """About ten pages a second, and as often whether people can save; the list grows as they are answered."""
    answers: list[Answer] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.1):
            answers.extend(_ask(site, path) for path in PATHS)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join(LAST)


def _ask(site: Site, path: str) -> Answer:
    started = clock()
    try:
        status = site.get(path, timeout=5).status_code
        error = None if status == 200 else f"status {status}"
    except requests.RequestException as problem:
        error = type(problem).__name__
    return Answer(started, path, clock() - started, error)
