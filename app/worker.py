"""The loop that claims generations and runs them, one at a time."""

from __future__ import annotations

import logging
import os
import socket
import threading
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from app import database, generation
from app.metrics import Metrics
from app.settings import Settings

log = logging.getLogger(__name__)

# Touched as long as the loop turns; the liveness probe looks at its age.
HEARTBEAT = Path("/tmp/worker-heartbeat")  # noqa: S108


def name() -> str:
    """This worker among all: in a cluster the host is the pod."""
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


def work(
    engine: Engine, settings: Settings, stopping: threading.Event, metrics: Metrics, heartbeat: Path | None = None
) -> None:
    """Runs generations until `stopping` is set; outlives a database that is away or has no schema yet."""
    sessions = sessionmaker(engine)

    def beat() -> None:
        if heartbeat:
            heartbeat.touch()

    while not stopping.is_set():
        beat()
        try:
            claim = None if database.problem(engine) else generation.claim(sessions, name())
            if claim:
                metrics.ran(generation.run(sessions, claim, settings, stopping.is_set, beat))
                continue
        except DBAPIError as error:
            log.error("the database does not answer, trying again: %s", error.orig)
        stopping.wait(2)
