"""`python -m bench.web`: what the pages of a large school cost on the server, beside a bare Starlette page.

The school has 20 classes, 100 teachers and 500 lessons a week. Both are asked in turn in one process without a network,
and the median of each counts: the ratio says how many bare pages one of ours is worth, on whatever machine.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy.orm import sessionmaker
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app import accounts, database, schools
from app.school import edit, lowering
from app.school.model import Lesson, Placement, Plan, Resource, School, Subject
from app.settings import Settings
from app.web.application import create

PASSWORD = "a long password"  # noqa: S105
ROUNDS = 15
MOST_SECONDS = 0.3


def large() -> School:
    """A full week for 20 classes; every class has each of its five subjects once a day, 100 teachers one class each."""
    school = edit.begin("Large", ("Mon", "Tue", "Wed", "Thu", "Fri"), "{number}")
    for number in range(20):
        school = edit.put(school, "classes", Resource(id="", name=f"Class {number}"))
        for index in range(5):
            school = edit.put(school, "teachers", Resource(id="", name=f"Teacher {number} {index}", most_idle=2))
    for number in range(5):
        school = edit.put(school, "subjects", Subject(id="", name=f"Subject {number}"))
    placements = []
    for number, each in enumerate(school.classes):
        for index, subject in enumerate(school.subjects):
            teacher = school.teachers[5 * number + index].id
            lesson = Lesson(id="", subject=subject.id, classes=(each.id,), teachers=(teacher,), weekly=5)
            school = edit.put_lesson(school, lesson)
            head = school.lessons[-1].id
            placements += [
                Placement(lesson=head, time=f"d{day}p{(index + day) % 5 + 1}", duration=1) for day in range(1, 6)
            ]
    return edit.put_plan(school, Plan(id="", name="Plan", placements=tuple(placements)))


def seconds(ask: Callable[[], object]) -> float:
    """Processor time of the median of some requests, after one that fills the caches."""
    ask()
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time()
        ask()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


async def bare(_: Request) -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>bare</title>" + "x" * 20_000)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), db_host=None)
        engine = database.connect(settings)
        database.migrate(engine)
        school = large()
        with sessionmaker(engine).begin() as session:
            account = accounts.create(session, "bench@example.org", "Bench", PASSWORD)
            stored = schools.create(session, school, account)
            schools.publish(session, stored, account, school.plans[0].id)
            stored.public = True
            home = f"/office/{stored.id}"
        client = TestClient(create(engine, settings))
        client.post("/login", data={"email": "bench@example.org", "password": PASSWORD})
        plan = f"{home}/plans/{school.plans[0].id}"
        pages = {
            "published, one class": f"/published/1?of={school.classes[0].id}",
            "published, all classes": "/published/1",
            "draft": plan,
            "draft, a lesson picked": f"{plan}?pick={school.plans[0].placements[0].id}",
            "lessons": f"{home}/lessons",
            "teachers": f"{home}/teachers",
            "generate": f"{home}/generate",
            "history": f"{home}/history",
        }
        other = TestClient(Starlette(routes=[Route("/", bare)]))
        reference = seconds(lambda: other.get("/"))
        slow = 0
        lowered = 1000 * seconds(lambda: lowering.instance(school))
        print(f"{sum(each.weekly for each in school.lessons)} lessons; the engine's terms of it take {lowered:.0f} ms")
        for name, address in pages.items():
            taken = seconds(partial(client.get, address))
            slow += taken > MOST_SECONDS
            verdict = "ok  " if taken <= MOST_SECONDS else "MISS"
            print(f"{verdict} {name:24} {1000 * taken:6.1f} ms = {taken / reference:5.1f} bare pages")
        engine.dispose()
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
