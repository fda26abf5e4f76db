"""Saves beside a fault, and which of them the database has acknowledged and kept."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from delivery import job
from delivery.cluster import Manifest
from delivery.kubectl import kubectl
from delivery.shell import DeliveryError
from drills.conftest import Fault, Stage
from drills.database import ROOT, query
from drills.watching import until

# Stores rows, one a transaction, as the application does; says of each that the database has acknowledged its id, and
# the seconds since the one before. Arguments: what to call them, for how long, and the pause after each, in seconds.
WRITER = """
import sys, time
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from app import database, settings
from app.models import Generation, StoredInstance

engine = database.connect(settings.load())
with Session(engine) as session:
    school = session.scalar(select(StoredInstance.id).limit(1))
end = time.monotonic() + float(sys.argv[2])
last = time.monotonic()
while time.monotonic() < end:
    try:
        with Session(engine) as session:
            row = Generation(instance_id=school, state="failed", seconds=1, seed=1, attempts=1,
                             requested_at=database.now(session), error=sys.argv[1])
            session.add(row)
            session.commit()
            print(row.id, time.monotonic() - last, flush=True)
            last = time.monotonic()
    except DBAPIError:
        time.sleep(0.2)
    time.sleep(float(sys.argv[3]))
"""


@dataclass
class Saves:
    """The ids of the rows that were acknowledged, and the longest that one had to wait, in seconds."""

    acknowledged: list[str] = field(default_factory=list)
    waited: float = 0
    lost: int = 0

    def read(self, text: str) -> None:
        """Takes what a writer has printed."""
        for line in text.splitlines():
            identity, waited = line.split()
            self.acknowledged.append(identity)
            self.waited = max(self.waited, float(waited))

    def row(self, name: str, answers: int, errors: int, there: set[str], seconds: float) -> Fault:
        """The line about the fault; `there` has the ids that are in the database."""
        lost = sum(1 for each in self.acknowledged if each not in there)
        seen = f"{errors} of {answers} requests failed, a save waited {self.waited:.0f} s"
        return Fault(name, seen, f"{lost} of {len(self.acknowledged)} saves", seconds)


def program(stage: Stage, name: str, source: str, *arguments: str) -> Manifest:
    """A Job that runs a Python program beside the application's code, with the application's account."""
    manifest = job.from_template(stage.find("cronjob/generation"))
    manifest["metadata"]["name"] = name
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container |= {"command": ["python", "-c", source], "args": list(arguments)}
    return manifest


@contextmanager
def writing(stage: Stage, seconds: float) -> Iterator[Saves]:
    """Saves for so long, in a pod of its own; what became of them is told at the end."""
    marker, saves = secrets.token_hex(4), Saves()
    manifest = program(stage, f"writer-{marker}", WRITER, marker, str(seconds), "0.01")
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(job.follow, stage.cluster, manifest, seconds + 120)
        until(lambda: log(stage, f"job/writer-{marker}") or ended.done(), seconds=60)
        yield saves
        saves.read(ended.result())


@contextmanager
def saving(stage: Stage) -> Iterator[Saves]:
    """Saves for as long as it takes; what became of them is known at the end, and then they go."""
    marker, saves = secrets.token_hex(4), Saves()
    name = f"writer-{marker}"
    manifest = job.owned_by_nobody(program(stage, name, WRITER, marker, "3600", "0.1"), 3600)
    # As the first process of its container it is deaf to the signal that asks it to end.
    manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    stage.cluster.create(manifest)
    try:
        until(lambda: log(stage, f"job/{name}"), seconds=60)
        yield saves
        saves.read(kubectl("-n", stage.namespace, "logs", f"job/{name}"))
        stage.cluster.delete(f"job/{name}")
        rows = f"FROM school_schedule.generation WHERE error = '{marker}'"
        there = set(query(stage, f"SELECT id {rows}; DELETE {rows}", client=ROOT).split())
        saves.lost = sum(1 for row in saves.acknowledged if row not in there)
    finally:
        stage.cluster.delete(f"job/{name}")


def log(stage: Stage, name: str) -> str:
    """What it has said so far; nothing where it has not begun."""
    try:
        return kubectl("-n", stage.namespace, "logs", name, "--tail=1")
    except DeliveryError:
        return ""
