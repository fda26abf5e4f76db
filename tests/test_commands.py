from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from app import accounts, commands, database
from app.commands import CommandError
from app.engine.cost import evaluate
from app.engine.xhstt import read_solutions
from app.instances import read
from app.models import Generation, StoredInstance
from app.settings import Settings
from tests.conftest import SAMPLE, Run, Start, address, impossible
from tests.engine.conftest import Archive, Rule


@pytest.fixture
def queued(engine: Engine, settings: Settings) -> sessionmaker[Session]:
    """The sample school in the data folder, with a generation that takes ten minutes."""
    database.migrate(engine)
    commands.import_files(engine, [SAMPLE], settings.model_copy(update={"generation_seconds": 600}))
    return sessionmaker(engine)


def wait_for_a_timetable(sessions: sessionmaker[Session]) -> None:
    found = None
    while not found:
        time.sleep(0.1)
        with sessions() as session:
            found = session.scalar(select(Generation.timetable))


def state(sessions: sessionmaker[Session]) -> str | None:
    with sessions() as session:
        return session.scalar(select(Generation.state))


def printed_cost(instance: Path, solution: Path) -> str:
    cost = evaluate(read(instance)[1], read_solutions(solution.read_bytes(), solution.name)[0])
    return f"cost {cost.hard} {cost.soft}\n"


def test_generate_writes_a_solution_of_the_cost_that_it_prints(
    run: Run, archive: Archive, rule: Rule, tmp_path: Path
) -> None:
    tiny, solution = tmp_path / "tiny.xml", tmp_path / "solution.xml"
    monday = '<TimeGroups><TimeGroup Reference="Mo"/></TimeGroups><Minimum>0</Minimum><Maximum>0</Maximum>'
    tiny.write_bytes(archive(rule("AvoidClashes", required=True) + rule("ClusterBusyTimes", monday, weight=7)))
    done = run("generate", "--xhstt", tiny, "--seconds", "600", "--out", solution)
    assert (done.returncode, done.stdout) == (0, "cost 0 7\n")
    assert printed_cost(tiny, solution) == "cost 0 7\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_generate_told_to_end_writes_the_best_so_far(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    arguments = ("generate", "--xhstt", SAMPLE, "--seconds", "600", "--out", tmp_path / "solution.xml")
    process = start(*arguments, SOLVER_WORKERS="2")
    assert process.stderr
    assert json.loads(process.stderr.readline())["hard"] == 0
    # A terminal sends Ctrl-C to the processes of the search too.
    os.killpg(process.pid, number)
    output, errors = process.communicate()
    assert "school_schedule:" not in errors
    assert (process.returncode, output) == (0, printed_cost(SAMPLE, tmp_path / "solution.xml"))


def test_generate_stopped_before_it_found_anything_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    stopped.set()
    monkeypatch.setattr(commands, "stop_on_signals", lambda: stopped)
    with pytest.raises(CommandError, match=r"\.xml: no timetable was found before it was stopped$"):
        commands.generate_file(SAMPLE, None, 1, settings)


def test_generate_whose_solver_dies_writes_the_best_so_far(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill(*_: object) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    monkeypatch.setattr(commands, "stop_on_signals", threading.Event)
    # Called for each better timetable.
    monkeypatch.setattr(commands, "_show", kill)
    with pytest.raises(
        CommandError,
        match="the solver's process ended with code -9; it has 700 MiB of memory; the cost is that of the best",
    ):
        commands.generate_file(SAMPLE, tmp_path / "solution.xml", 1, settings)
    assert capsys.readouterr().out == printed_cost(SAMPLE, tmp_path / "solution.xml")


def test_generate_gives_the_least_bad_timetable_where_there_is_no_good_one(
    run: Run, archive: Archive, rule: Rule, tmp_path: Path
) -> None:
    tiny = tmp_path / "tiny.xml"
    tiny.write_bytes(archive(impossible(rule) + rule("AssignTime", required=True)))
    done = run("generate", "--xhstt", tiny, "--seconds", "600")
    assert (done.returncode, done.stdout) == (0, "cost 1 0\n")


def test_generate_refuses_a_target_before_it_searches(run: Run, tmp_path: Path) -> None:
    done = run("generate", "--xhstt", SAMPLE, "--seconds", "5", "--out", tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"school_schedule: cannot write {tmp_path}; give --out ")


def test_what_was_imported_is_generated_from_the_database(run: Run, archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "tiny.xml").write_bytes(archive())
    assert run("import", tmp_path / "tiny.xml").returncode == 0
    done = run("generate", "--database")
    assert (done.returncode, done.stdout) == (0, "Tiny: cost 0 0\n")


def test_migrate_leaves_the_examples_out_where_they_are_not_wanted(engine: Engine, settings: Settings) -> None:
    commands.migrate(engine, settings.model_copy(update={"import_examples": False}))
    with sessionmaker(engine)() as session:
        assert session.scalar(select(StoredInstance)) is None


def test_work_told_to_end_keeps_the_best_so_far(start: Start, queued: sessionmaker[Session]) -> None:
    worker = start("work")
    wait_for_a_timetable(queued)
    worker.terminate()
    worker.communicate()
    assert (worker.returncode, state(queued)) == (0, "done")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serve_told_to_end_keeps_the_best_so_far(
    start: Start, queued: sessionmaker[Session], number: signal.Signals, code: int
) -> None:
    server = start("serve", "--port", "0")
    address(server)
    wait_for_a_timetable(queued)
    server.send_signal(number)
    server.communicate()
    assert (server.returncode, state(queued)) == (code, "done")


def test_serve_on_a_folder_with_data_shows_these_and_adds_nothing(start: Start, queued: sessionmaker[Session]) -> None:
    server = start("serve", "--port", "0", IMPORT_EXAMPLES="true")
    with urllib.request.urlopen(address(server)) as page:  # noqa: S310
        assert "Escola Municipal Monteiro Lobato" in page.read().decode()
    with queued() as session:
        assert session.scalar(select(func.count(StoredInstance.id))) == 1


def test_a_password_is_for_an_account_that_there_is(engine: Engine) -> None:
    database.migrate(engine)
    with pytest.raises(CommandError, match=r"nobody has an account with the e-mail address ana@example\.org"):
        commands.new_password(engine, "ana@example.org")


def test_serve_waits_with_no_answer_for_a_fuller_packet() -> None:
    with commands._listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_migrate_tells_how_the_first_account_is_made_and_not_its_link(run: Run) -> None:
    done = run("migrate")
    assert (done.returncode, done.stdout) == (0, "")
    assert "`python -m app.school_schedule account` prints the link" in done.stderr
    assert "/join/" not in done.stderr


def test_account_prints_a_link_where_the_pages_are_until_there_is_an_account(
    engine: Engine, run: Run, settings: Settings
) -> None:
    commands.migrate(engine, settings)
    links = [run("account", *url).stdout for url in ((), ("--url", "https://school.example.org/"))]
    tokens = [link.strip().rpartition("/")[2] for link in links]
    assert links[0] == f"Make the first account at http://127.0.0.1:8000/join/{tokens[0]}\n"
    assert links[1] == f"Make the first account at https://school.example.org/join/{tokens[1]}\n"
    with sessionmaker(engine).begin() as session:
        assert accounts.invitation(session, tokens[0]) is None
        invited = accounts.invitation(session, tokens[1])
        assert invited
        accounts.accept(session, invited, accounts.create(session, "ana@example.org", "Ana", "uma senha longa"))
    done = run("account")
    assert (done.returncode, done.stdout) == (0, f"{commands.ACCOUNTS}\n")


def test_account_needs_a_schema(run: Run) -> None:
    done = run("account")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "school_schedule: the database has no schema yet; run migrate\n"


def test_serve_prints_no_link_where_its_output_may_be_a_log(start: Start) -> None:
    server = start("serve", "--port", "0")
    address(server)
    server.terminate()
    output, errors = server.communicate()
    assert "/join/" not in output + errors
    assert "`python -m app.school_schedule account` prints the link" in errors


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])  # noqa: S104
def test_serve_gives_links_that_a_browser_on_this_machine_can_open(start: Start, host: str, shown: str) -> None:
    server = start("serve", "--host", host, "--port", "0", "--invite")
    assert server.stdout
    url = server.stdout.readline().split()[-1]
    assert url.startswith(f"http://{shown}:")
    link = server.stdout.readline().split()[-1]
    assert link.startswith(f"{url}/join/")
    with urllib.request.urlopen(link) as page:  # noqa: S310
        assert page.status == 200


def test_serve_on_a_port_in_use_says_so_in_one_line(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("serve", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"school_schedule: cannot listen on 127.0.0.1:{port}: Address already in use; give another --port\n"
    )
