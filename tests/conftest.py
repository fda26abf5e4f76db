"""A database, command lines, and a running server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData
from sqlalchemy.orm import Session, sessionmaker

from app import database
from app.settings import Settings
from tests.engine.conftest import Rule
from tests.engine.conftest import archive as archive
from tests.engine.conftest import rule as rule

ROOT = Path(__file__).resolve().parent.parent
BRAZIL = ROOT / "examples" / "BrazilInstance1.xml"
SAMPLE = ROOT / "examples" / "escola-exemplo.xml"

needs_mysql = pytest.mark.skipif("DB_HOST" not in os.environ, reason="needs a MySQL server; run make test-mysql")

# Begun first, so that in the end no processor waits for one of them.
LONGEST = (
    "test_commands.py",
    "test_smoke.py",
    "test_journey.py",
    "test_migrations.py",
    "test_contributing.py",
    "test_runs.py",
    "test_policy.py",
    "test_notices.py",
    "test_logs.py",
    "test_browser.py",
)

Start = Callable[..., subprocess.Popen[str]]
Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure(config: pytest.Config) -> None:
    # The suites that others run, with whatever versions they have, are not to end over a warning.
    config.addinivalue_line("filterwarnings", "error")


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """One more than processors: some tests wait for seconds for what does not answer."""
    return 1 + (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files LONGEST first, in that order."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def impossible(rule: Rule) -> str:
    """Constraints that no timetable of the tiny school keeps."""
    monday = '<TimeGroups><TimeGroup Reference="Mo"/></TimeGroups>'
    return rule("AvoidClashes", required=True) + rule("AvoidUnavailableTimes", monday, required=True)


def address(server: subprocess.Popen[str]) -> str:
    """Where `serve` says that it is."""
    assert server.stdout
    line = server.stdout.readline()
    assert line.startswith("School Scheduler on http://127.0.0.1:"), line
    return line.split()[-1]


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An SQLite file in a new folder; for a test that is marked mysql the server DB_HOST, if there is one."""
    settings = Settings(data_dir=tmp_path / "data", solver_workers=1)
    marked = request.node.get_closest_marker("mysql")
    return settings if marked else settings.model_copy(update={"db_host": None})


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """A database without any table."""
    engine = database.connect(settings)
    tables = MetaData()
    tables.reflect(engine)
    tables.drop_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables: to copy it takes no time, to migrate each test's own does."""
    folder = tmp_path_factory.mktemp("migrated")
    engine = database.connect(Settings(data_dir=folder, db_host=None))
    database.migrate(engine)
    engine.dispose()
    return folder / "school-schedule.db"


@pytest.fixture
def sessions(engine: Engine, settings: Settings, migrated: Path) -> sessionmaker[Session]:
    """Sessions on a migrated database without any row."""
    if settings.embedded:
        engine.dispose()
        shutil.copy(migrated, settings.data_dir)
    else:
        database.migrate(engine)
    return sessionmaker(engine)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a command with a data folder and a process group of its own; the environment's variables as keywords.

    Unless these say otherwise, a server has no examples to search for, and a search is one process.
    """
    small = {"DATA_DIR": str(tmp_path / "data"), "IMPORT_EXAMPLES": "false", "SOLVER_WORKERS": "1"}
    with ExitStack() as running:

        def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("DB_")}
            process = subprocess.Popen(
                [sys.executable, "-m", "app.school_schedule", *map(str, arguments)],
                cwd=ROOT,
                env=inherited | small | variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            running.enter_context(process)
            running.callback(process.kill)
            return process

        yield start


@pytest.fixture
def run(start: Start) -> Run:
    """Runs a command to its end."""

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **variables)
        output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    return run
