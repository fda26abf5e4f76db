"""`make up` that is interrupted at any moment, and what comes after it."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from delivery import credentials, deploy, drift
from delivery.shell import DeliveryError
from tests.delivery.fake import Killed
from tests.delivery.faults import drawn, interrupted, killed, mended, typed
from tests.delivery.small import Stage, _secret, heard, render


def up(stage: Stage) -> None:
    deploy.deploy(stage.target, render("1"), deploy.Options(bootstrap=True))


@pytest.mark.parametrize("seed", range(3))
def test_whatever_interrupts_an_up_the_next_one_finishes_and_a_deploy_says_what_is_missing(
    seed: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    there = credentials.values(_secret())
    # A certificate takes longer than a delivery.
    monkeypatch.setattr(credentials, "additions", lambda known, namespace: {**there, **known} if not known else {})
    stage = Stage()
    drawn(stage.cluster, draw, {"interrupted": interrupted, "killed": killed}, draw.choice((25, 130)))
    with suppress(KeyboardInterrupt, Killed):
        up(stage)
    mended(stage.cluster)
    stage.type_in("status", "prod")
    heard(capsys)
    try:
        stage.deploy("1")
    except DeliveryError as error:
        (command, *_) = typed(str(error))
        assert (stage.serving, command in ("up", "credentials")) == (set(), True)
    up(stage)
    assert (stage.serving, list(drift.found(stage.cluster, render("1")))) == ({"1"}, [])
    stage.deploy("2")
    assert stage.serving == {"2"}
