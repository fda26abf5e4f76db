"""What a delivery and a way back do where another one has come, or was cut off, before them."""

from __future__ import annotations

import pytest

from delivery import release
from delivery.render import Render
from delivery.shell import DeliveryError
from tests.delivery.fake import FakeCluster, nothing
from tests.delivery.small import Stage, heard, render


@pytest.mark.parametrize("older", ["v1.3.0-rc.1", "v1.2.9"])
def test_an_older_version_does_not_replace_a_newer_one(older: str, stage: Stage) -> None:
    stage.deploy("v1.3.0")
    with pytest.raises(DeliveryError, match=rf"v1\.3\.0 runs, which is newer than {older}; nothing was changed"):
        stage.deploy(older, forward=True)
    assert stage.serving == {"v1.3.0"}
    assert len(release.read(stage.cluster)) == 2


@pytest.mark.parametrize("newer", ["v1.3.0", "v1.3.1", "preprod-17"])
def test_the_same_version_a_newer_one_and_what_is_none_are_delivered(newer: str, stage: Stage) -> None:
    stage.deploy("v1.3.0")
    stage.deploy(newer, forward=True)
    assert stage.serving == {newer}


def interrupt(stage: Stage, at: int) -> None:
    """A delivery with a canary that is cut off by Ctrl-C at its request of that number."""
    last = stage.cluster.faults.calls + at

    def fault(cluster: FakeCluster, operation: str, name: str) -> None:
        if cluster.faults.calls == last:
            raise KeyboardInterrupt

    stage.cluster.faults.before = fault
    with pytest.raises(KeyboardInterrupt):
        stage.deploy("2", canary=2)
    stage.cluster.faults.before = nothing


@pytest.mark.parametrize("at", range(12, 240, 19))
def test_what_was_interrupted_is_taken_back_wherever_that_was(at: int, stage: Stage) -> None:
    interrupt(stage, at)
    stage.type_in("rollback", "prod", "--interrupted")
    assert stage.serving == {"1"}
    assert stage.cluster.get("deployment/web-canary") is None
    good = release.last_good(release.read(stage.cluster))
    assert good and good.number == 1


def test_what_was_delivered_in_the_last_moment_is_left(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.deploy("2")
    capsys.readouterr()
    stage.type_in("rollback", "prod", "--interrupted")
    assert stage.serving == {"2"}
    assert "nothing is to be taken back: release 2 of prod is good" in heard(capsys)


@pytest.mark.parametrize("command", ["smoke", "generate"])
def test_a_proof_says_which_image_it_saw(command: str, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.cluster.server.programs["generation"] = lambda pod, command: "cost 0 41\n"
    stage.type_in(command, "prod", "--image", render("1").image)
    digest = render("1").image.partition("@")[2]
    assert f"prod ran {digest} meanwhile" in heard(capsys)


@pytest.mark.parametrize("command", ["smoke", "generate"])
def test_another_image_than_the_one_that_was_delivered_proves_nothing(command: str, stage: Stage) -> None:
    stage.deploy("2")
    with pytest.raises(DeliveryError, match=r"prod runs \S+:2@\S+ before the proof, and not sha256:0*1: somebody"):
        stage.type_in(command, "prod", "--image", render("1").image)
    assert not [body for body in stage.cluster.list("Job") if "generation" in body["metadata"]["name"]]


def test_an_image_that_another_has_replaced_meanwhile_is_not_proved(stage: Stage) -> None:
    before = stage.proofs.smoke

    def smoke(environment: object, proved: Render) -> None:
        stage.proofs.smoke = before  # type: ignore[method-assign]
        stage.deploy("2")

    stage.proofs.smoke = smoke  # type: ignore[method-assign, assignment]
    with pytest.raises(DeliveryError, match=r"prod runs \S+:2@\S+ after the proof"):
        stage.type_in("smoke", "prod", "--image", render("1").image)
