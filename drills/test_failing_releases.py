"""A release with a fault is noticed, and the environment returns to the one before by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from delivery import image
from delivery.deploy import ReleaseError
from delivery.release import last_good
from delivery.shell import clock
from drills.conftest import TIMES, Stage
from drills.database import query

SLOW = pytest.mark.slow
# (fault, seconds until it begins, minutes of canary, minutes of watching, why it fails)
FAULTS = [
    pytest.param("never-ready", 0, 0, 0, "is not ready after", id="never-ready"),
    pytest.param("errors", 120, 0, 4, "requests for / failed: status 500", id="errors-after-two-minutes", marks=SLOW),
    pytest.param("leak", 0, 0, 2, "requests failed|an error of its own", id="leaks-errors", marks=SLOW),
    pytest.param("no-metrics", 20, 0, 2, "gave no metrics", id="metrics-vanish", marks=SLOW),
    pytest.param("errors", 0, 1, 0, "requests failed|an error of its own", id="canary-with-errors", marks=SLOW),
]


@pytest.mark.parametrize(("fault", "after", "canary", "watch", "reason"), FAULTS)
def test_fault_is_noticed_and_the_release_before_returns(
    stage: Stage, request: pytest.FixtureRequest, fault: str, after: int, canary: float, watch: float, reason: str
) -> None:
    good = last_good(stage.releases())
    assert good
    built = stage.faulty(fault, after)
    began = clock()
    with stage.traffic() as answers, pytest.raises(ReleaseError, match=f"{good.number} runs again") as failure:
        stage.deploy(built, canary=canary, watch=watch)
    assert re.search(reason, str(failure.value.__cause__))
    assert set(stage.pods().values()) == {good.image}
    assert stage.releases()[0].phase == "failed"
    # Where users met no error, the fault is as old as the delivery.
    visible = next((answer.at for answer in answers if answer.error), began)
    times = request.config.stash[TIMES]
    times[request.node.callspec.id] = failure.value.noticed - visible, failure.value.ended - failure.value.noticed


MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{newest}"


def upgrade():
    op.add_column("generation", sa.Column("half", sa.String(20)))
    op.execute("ALTER TABLE nowhere ADD COLUMN half INT")
"""


@pytest.mark.slow
def test_a_migration_that_fails_is_named_with_its_statement_and_the_release_before_serves_on(
    stage: Stage, tmp_path: Path
) -> None:
    good = last_good(stage.releases())
    assert good
    (tmp_path / "Dockerfile").write_text(f"FROM {stage.good}\nCOPY 9999_fails.py app/migrations/versions/\n")
    (tmp_path / "9999_fails.py").write_text(MIGRATION.format(newest=good.render.schema))
    built = image.push(image.build(tmp_path, []), f"{stage.registry}/{image.NAME}")
    with stage.traffic() as answers, pytest.raises(ReleaseError, match=f"{good.number} runs again") as failure:
        stage.deploy(built)
    words = (
        "migrate ended with code 1: school_schedule: migration 9999 failed at ALTER TABLE nowhere ADD COLUMN half INT: "
    )
    assert f"{words}(1146, \"Table 'school_schedule.nowhere' doesn't exist\")" in str(failure.value.__cause__)
    assert [answer for answer in answers if answer.error] == []
    assert set(stage.pods().values()) == {good.image}
    assert query(stage, "SELECT version_num FROM alembic_version") == f"{good.render.schema}\n"
    assert query(stage, "SHOW COLUMNS FROM generation LIKE 'half'") == ""
