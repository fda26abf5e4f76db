from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import sessionmaker

from app import commands, database, worker
from app.metrics import Metrics
from app.models import Generation
from app.settings import Settings
from tests.engine.conftest import Archive


def test_it_waits_for_a_schema_and_then_runs_what_is_queued(
    engine: Engine, settings: Settings, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "tiny.xml").write_bytes(archive())
    stopping, heartbeat, metrics = threading.Event(), tmp_path / "heartbeat", Metrics(settings, engine)
    thread = threading.Thread(target=worker.work, args=(engine, settings, stopping, metrics, heartbeat))
    thread.start()
    try:
        while not heartbeat.exists():
            stopping.wait(0.01)
        database.migrate(engine)
        commands.import_files(engine, [tmp_path / "tiny.xml"], settings)
        state = None
        while thread.is_alive() and state != "done":
            stopping.wait(0.1)
            with sessionmaker(engine)() as session:
                state = session.scalar(select(Generation.state))
    finally:
        stopping.set()
        thread.join()
    assert state == "done"
    assert metrics.registry.get_sample_value("school_scheduler_generation_runs_total", {"outcome": "done"}) == 1
    assert metrics.registry.get_sample_value("school_scheduler_generation_run_seconds_count", {"outcome": "done"}) == 1
    assert metrics.registry.get_sample_value("school_scheduler_generation_soft_cost_count") == 1
