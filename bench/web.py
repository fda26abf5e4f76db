"""`python -m bench.web`: what the pages of a large school cost on the server, and how many a second visitors get.

The school has 20 classes, 100 teachers, 500 lessons, and as many drafts and runs as a page shows. Its pages are asked
in one process without a network, and the median of each counts. Then visitors ask the server for the published week of
a class, and in turn a bare Starlette page of the same length: what counts is the ratio of both, on whatever machine.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from httpx2 import Response
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app import accounts, database, generation, schools
from app.school import edit, lowering, sheet, workbook
from app.school.model import MOST_PLANS, Lesson, Placement, Plan, Resource, School, Subject
from app.settings import Settings
from app.web.application import create
from app.web.office.generate import RUNS

PASSWORD = "a long password"  # noqa: S105
ROUNDS = 15
MOST_SECONDS = 0.3
VISITORS = 8
VISIT_SECONDS = 1
LEAST_SHARE = 0.5


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
            for day in range(1, 6):
                lesson = Lesson(id="", subject=subject.id, classes=(each.id,), teachers=(teacher,))
                school = edit.put_lesson(school, lesson)
                head, time = school.lessons[-1].id, f"d{day}p{(index + day) % 5 + 1}"
                placements.append(Placement(lesson=head, time=time, duration=1))
    for number in range(MOST_PLANS):
        school = edit.put_plan(school, Plan(id="", name=f"Plan {number}", placements=tuple(placements)))
    return school


def seconds(ask: Callable[[], object]) -> float:
    """Processor time of the median of some requests, after one that fills the caches."""
    ask()
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time()
        ask()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


async def bare(request: Request) -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>bare</title>".ljust(request.path_params["length"], "x"))


site = Starlette(routes=[Route("/{length:int}", bare)])


def pages(engine: Engine, settings: Settings, school: School) -> int:
    """Prints what each page costs; how many cost too much."""
    client = TestClient(create(engine, settings))
    client.post("/login", data={"email": "bench@example.org", "password": PASSWORD})
    home, one, other = "/office/1", school.plans[0], school.plans[1]
    plan = f"{home}/plans/{one.id}"
    addresses = {
        "published, one class": f"/published/1?of={school.classes[0].id}",
        "published, all classes": "/published/1",
        "published, all teachers": "/published/1?kind=teachers",
        "draft": plan,
        "draft, a lesson picked": f"{plan}?pick={one.placements[0].id}",
        "drafts": f"{home}/plans",
        "two drafts compared": f"{home}/compare?one={one.id}&other={other.id}",
        "substitutes": f"{plan}/absence",
        "generate": f"{home}/generate",
        "week": f"{home}/week",
        "lessons": f"{home}/lessons",
        "one lesson": f"{home}/lessons/{school.lessons[0].id}",
        "teachers": f"{home}/teachers",
        "one teacher": f"{home}/teachers/{school.teachers[0].id}",
        "share": f"{home}/share",
        "history": f"{home}/history",
    }
    asked: dict[str, Callable[[], Response]] = {name: partial(client.get, each) for name, each in addresses.items()}
    fields = dict(re.findall(r'name="(csrf|version)" value="([^"]*)"', client.get(plan).text))
    book, names = workbook.write(sheet.tables(school, english=True)), itertools.count()
    asked["import looked at"] = lambda: client.post(f"{home}/import", data=fields, files={"file": ("a.xlsx", book)})
    # Any edit: what is saved is the school with all its drafts, and the new name's page is shown.
    asked["names added"] = lambda: client.post(f"{home}/rooms", data=fields | {"names": f"Room {next(names)}"})
    slow = 0
    for name, ask in asked.items():
        if ask().status_code != 200:
            raise RuntimeError(f"{name} is no page")
        taken = seconds(ask)
        slow += taken > MOST_SECONDS
        print(f"{'ok  ' if taken <= MOST_SECONDS else 'MISS'} {name:24} {1000 * taken:6.1f} ms")
    return slow


@contextmanager
def serving(*command: str, folder: str) -> Iterator[str]:
    """Where `python -m COMMAND` serves, from the address at the end of the first line that it prints."""
    variables = os.environ | {"DATA_DIR": folder, "IMPORT_EXAMPLES": "false"}
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", *command], env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process.stdout.readline().split()[-1] if process.stdout else ""
    finally:
        process.terminate()
        process.wait()


async def visit(url: str) -> tuple[float, int]:
    """Requests a second that VISITORS get answered, each asking again as soon as it has its answer; and the length."""
    parts = urlsplit(url)
    asked = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    ends, answered, length = time.monotonic() + VISIT_SECONDS, 0, 0

    async def visitor() -> None:
        nonlocal answered, length
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while time.monotonic() < ends:
            writer.write(asked)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            if not head.startswith(b"http/1.1 200 "):
                raise RuntimeError(f"{url} is no page")
            answered += 1
        writer.close()

    await asyncio.gather(*(visitor() for _ in range(VISITORS)))
    return answered / VISIT_SECONDS, length


def throughput(folder: str, school: School) -> int:
    """Prints how many published pages a second are answered beside bare ones; 1 if too few."""
    with (
        serving("app.school_schedule", "serve", "--port", "0", folder=folder) as ours,
        serving("bench.web", "bare", folder=folder) as theirs,
    ):
        page, shares = f"{ours}/published/1?of={school.classes[0].id}", []
        length = asyncio.run(visit(page))[1]
        for _ in range(7):
            own, reference = asyncio.run(visit(page))[0], asyncio.run(visit(f"{theirs}/{length}"))[0]
            shares.append(own / reference)
            print(f"     {own:6.0f} published pages a second, {reference:6.0f} bare ones of {length} bytes")
    share = statistics.median(shares)
    print(f"{'ok  ' if share >= LEAST_SHARE else 'MISS'} {share:.2f} of a bare page's throughput")
    return int(share < LEAST_SHARE)


def serve_bare() -> int:
    """The bare page, by the server that ours has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(site, log_config=None, access_log=False)).run(sockets=[listener])
    return 0


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
            for _ in range(RUNS):
                run = generation.request_for_school(session, stored, school, settings)
                run.state, run.timetable = "done", lowering.timetable(school.plans[0].placements).to_json()
        lowered = 1000 * seconds(lambda: lowering.instance(school))
        print(f"{len(school.lessons)} lessons; the engine's terms of it take {lowered:.0f} ms")
        slow = pages(engine, settings, school)
        engine.dispose()
        return max(int(slow > 0), throughput(folder, school))


if __name__ == "__main__":
    sys.exit(serve_bare() if sys.argv[1:] == ["bare"] else main())
