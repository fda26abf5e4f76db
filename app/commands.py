"""What each command does."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from app import accounts, answers, database, generation, grants, instances, logs, worker
from app.check import check
from app.engine.cost import evaluate
from app.engine.progress import Progress
from app.engine.xhstt import write_solution
from app.files import CommandError as CommandError
from app.files import write
from app.metrics import Metrics
from app.models import Generation, StoredInstance
from app.search import SearchError, search
from app.settings import Settings

log = logging.getLogger(__name__)
ACCOUNTS = (
    "There are accounts already: an admin of a school invites others on its page of people, and "
    "`python -m app.school_schedule password EMAIL` gives a new password to who has forgotten theirs."
)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Runs the command that the command line names."""
    logs.configure(settings)
    match options.command:
        case "serve":
            invite = settings.embedded and sys.stdout.isatty() if options.invite is None else options.invite
            serve(options.host, options.port, options.reload, invite, settings)
        case "work":
            work(settings)
        case "generate" if options.database:
            generate_all(with_seconds(settings, options.seconds), options.seed)
        case "generate":
            generate_file(options.xhstt, options.out, options.seed, with_seconds(settings, options.seconds))
        case "explain" | "repair" | "wishes":
            answers.run(options)
        case "import":
            engine = database.connect(settings, database.MIGRATION)
            database.migrate(engine)
            import_files(engine, options.files, settings)
        case "migrate":
            engine = database.connect(settings, database.MIGRATION)
            migrate(engine, settings, options.wait)
            remind(engine)
        case "accounts" if options.forget:
            grants.forget(settings)
        case "accounts":
            grants.ensure(settings, options.wait)
        case "account":
            print(first_link(database.connect(settings), options.url) or ACCOUNTS)
        case "password":
            print(new_password(database.connect(settings), options.email))
        case "check":
            print("{} instances and {} timetables can be read".format(*check(database.connect(settings))))
    return 0


def with_seconds(settings: Settings, seconds: float | None) -> Settings:
    """The settings, with another length of a generation where the command line gives one."""
    return settings if seconds is None else settings.model_copy(update={"generation_seconds": seconds})


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def migrate(engine: Engine, settings: Settings, wait: float = 0) -> None:
    """Brings the schema up to date, and into an empty database the examples."""

    def fill(session: Session) -> None:
        empty = session.scalar(select(StoredInstance.id).limit(1)) is None
        if empty and settings.import_examples:
            _import(session, instances.EXAMPLE_FILES, settings)

    database.migrate(engine, wait, fill)


def first_link(engine: Engine, url: str) -> str | None:
    """Where the first account is made, if there is none: good once and for a week, and no link of before any more."""
    if reason := database.problem(engine):
        raise CommandError(reason)
    with sessionmaker(engine).begin() as session:
        token = accounts.first_invitation(session)
    return f"Make the first account at {url.rstrip('/')}/join/{token}" if token else None


def remind(engine: Engine) -> None:
    """Says in the log how the first account is made, as long as there is none; the link itself is in no log."""
    with sessionmaker(engine)() as session:
        if not accounts.anybody(session):
            log.info("nobody has an account yet: `python -m app.school_schedule account` prints the link to the first")


def new_password(engine: Engine, email: str) -> str:
    """A password for the account of that address, whose browsers are signed out."""
    with sessionmaker(engine).begin() as session:
        password = accounts.new_password(session, email)
    if password is None:
        raise CommandError(f"nobody has an account with the e-mail address {email}")
    return password


def import_files(engine: Engine, files: list[Path], settings: Settings) -> None:
    """Imports instances and queues a generation for each that never had one."""
    with sessionmaker(engine).begin() as session:
        _import(session, files, settings)


def _import(session: Session, files: Iterable[Path], settings: Settings) -> None:
    for stored in instances.import_files(session, files):
        log.info("%r is in the database", stored.name)
    generation.request_missing(session, settings)


def serve(host: str, port: int, reload: bool, invite: bool, settings: Settings) -> None:
    """Serves the pages; embedded, with a worker in a thread. `invite` prints the link of the first account."""
    import uvicorn

    listener = _listen(host, port)
    # The system chooses where the port is 0.
    port = listener.getsockname()[1]
    # Where it listens on every address, this machine's own browser finds it here.
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (it is replaced)
    url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    engine = database.connect(settings)
    if settings.embedded:
        migrate(engine, settings)
        if not invite:
            remind(engine)
    metrics = measure(engine, settings)
    print(f"School Scheduler on {url}", flush=True)
    if invite and (link := first_link(engine, url)):
        print(link, flush=True)
    if reload:
        listener.close()
        watched = str(Path(__file__).parent)
        uvicorn.run(
            "app.web.asgi:app",
            host=host,
            port=port,
            reload=True,
            reload_dirs=[watched],
            log_config=None,
            access_log=False,
        )
        return
    from app.web.application import create

    stopping = threading.Event()
    thread = threading.Thread(target=worker.work, args=(engine, settings, stopping, metrics), name="worker")
    # uvicorn raises the signal that ended it once more, and by default that would end the process before the worker.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    config = uvicorn.Config(
        create(engine, settings, metrics),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    try:
        if settings.embedded:
            thread.start()
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        stopping.set()
        if thread.ident:
            thread.join()


def measure(engine: Engine, settings: Settings) -> Metrics:
    """The metrics of this process, which are told where the settings name a port."""
    metrics = Metrics(settings, engine)
    if settings.metrics_port:
        try:
            metrics.serve(settings.metrics_port)
        except OSError as error:
            raise CommandError(f"cannot serve metrics on port {settings.metrics_port}: {error.strerror}") from None
    return metrics


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        # Python adds "(while attempting to bind on address ...)", which repeats what follows.
        reason = str(getattr(error, "strerror", None) or error).partition(" (")[0]
        raise CommandError(f"cannot listen on {host}:{port}: {reason}; give another --port") from None
    # asyncio does this only where it makes the socket; without it a second answer on a connection takes 40 ms longer.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def work(settings: Settings) -> None:
    """Runs queued generations until a signal says to stop."""
    stopping = stop_on_signals()
    log.info("worker %s waits for generations", worker.name())
    engine = database.connect(settings)
    worker.work(engine, settings, stopping, measure(engine, settings), worker.HEARTBEAT)


def generate_all(settings: Settings, seed: int) -> None:
    """One generation for each instance of the database, one after the other, by the same road as a worker's."""
    stopping = stop_on_signals()
    engine = database.connect(settings)
    if reason := database.problem(engine):
        raise CommandError(reason)
    sessions = sessionmaker(engine)
    with sessions() as session:
        ids = session.scalars(select(StoredInstance.id).filter_by(school_id=None).order_by(StoredInstance.id)).all()
    failed = 0
    for instance_id in ids:
        if stopping.is_set():
            break
        with sessions.begin() as session:
            # A new seed each time: the same search again could find nothing new.
            last = generation.latest(session, instance_id)
            stored = session.get_one(StoredInstance, instance_id)
            requested = generation.request(session, stored, settings, (last.seed if last else 0) + seed).id
        claim = generation.claim(sessions, worker.name(), only=requested)
        if claim:
            generation.run(sessions, claim, settings, stopping.is_set, lambda: None)
        with sessions() as session:
            result = session.get_one(Generation, requested)
            best = generation.best(session, instance_id)
            outcome = f"cost {best.hard} {best.soft}" if best else (result.error or result.state)
            print(f"{result.instance.name}: {outcome}", flush=True)
            failed += result.state == "failed"
    if failed:
        raise CommandError(f"{failed} of {len(ids)} generations failed")


def generate_file(source: Path, target: Path | None, seed: int, settings: Settings) -> None:
    """One search for one file: progress on standard error, solution in `target`, cost last on standard output."""
    stopping = stop_on_signals()
    data, instance = instances.read(source)
    if target and (target.is_dir() or not os.access(target.resolve().parent, os.W_OK)):
        raise CommandError(f"cannot write {target}; give --out a file in a folder that is there and can be written to")
    best: Progress | None = None
    failure = ""
    seconds = settings.generation_seconds
    try:
        found = search(
            data.decode("utf-8-sig"),
            seconds=seconds,
            seed=seed,
            workers=settings.solver_workers,
            stop=stopping.is_set,
        )
        with closing(found):
            for each in found:
                if each:
                    best = each
                    _show(each, seconds)
    except SearchError as error:
        failure = str(error)
    if best is None:
        limit = "before it was stopped" if stopping.is_set() else f"in {seconds:g} s"
        raise CommandError(f"{source}: {failure or f'no timetable was found {limit}'}")
    if target:
        today = datetime.now(UTC).date().isoformat()
        write(target, write_solution(data, str(source), best.timetable, "School Scheduler", today))
    cost = evaluate(instance, best.timetable)
    print(f"cost {cost.hard} {cost.soft}")
    if failure:
        raise CommandError(f"{source}: {failure}; the cost is that of the best timetable until then")


def _show(found: Progress, seconds: float) -> None:
    if sys.stderr.isatty():
        done = round(20 * min(1.0, found.elapsed / seconds))
        bar = "#" * done + "." * (20 - done)
        state = f"cost {found.hard} {found.soft}  bound {found.bound}  {found.neighbourhood}"
        print(f"\r[{bar}] {found.elapsed:6.1f} s  {state:<50}", end="", file=sys.stderr)
    else:
        entry = {
            "elapsed": round(found.elapsed, 2),
            "hard": found.hard,
            "soft": found.soft,
            "bound": found.bound,
            "neighbourhood": found.neighbourhood,
        }
        print(json.dumps(entry), file=sys.stderr, flush=True)
