"""The lines that people type about the Deployment: `set image`, `rollout status` and `rollout undo`."""

from __future__ import annotations

import pytest

from delivery.kubectl import kubectl
from delivery.shell import DeliveryError
from drills.conftest import Stage
from drills.test_interruptions import configuration
from drills.test_zero_downtime import failed

DEPLOYMENT = "deployment/school-scheduler"
MIGRATE = "jsonpath={.spec.template.spec.initContainers[*].image}"


def typed(stage: Stage, *line: str) -> str:
    """What kubectl answers to a line."""
    return kubectl("-n", stage.namespace, *line)


@pytest.mark.slow
@pytest.mark.parametrize("containers", ["school-scheduler", "*"])
def test_set_image_and_undo_lose_no_request(stage: Stage, containers: str) -> None:
    stage.deploy(stage.good)
    other = stage.faulty("none", after=3)
    with stage.traffic() as answers, stage.as_deployer():
        typed(stage, "set", "image", DEPLOYMENT, f"{containers}={other}")
        typed(stage, "rollout", "status", DEPLOYMENT)
        assert set(stage.pods().values()) == {str(other)}
        assert typed(stage, "get", DEPLOYMENT, "-o", MIGRATE) == str(other if containers == "*" else stage.good)
        typed(stage, "rollout", "undo", DEPLOYMENT)
        typed(stage, "rollout", "status", DEPLOYMENT)
    assert failed(answers) == []
    assert set(stage.pods().values()) == {str(stage.good)}


def test_set_image_without_a_digest_is_refused_with_the_line_to_type(stage: Stage) -> None:
    image = "ghcr.io/school-scheduler/school-scheduler:v1.4.0"
    line = f"{DEPLOYMENT} school-scheduler={image}"
    with stage.as_deployer(), pytest.raises(DeliveryError) as refusal:
        typed(stage, "set", "image", *line.split())
    assert str(refusal.value).endswith(f"; type: kubectl -n {stage.namespace} set image {line}@sha256:DIGEST")


@pytest.mark.slow
def test_undo_finds_the_configuration_of_the_release_before(stage: Stage) -> None:
    stage.deploy(stage.good, setting="GENERATION_SECONDS=21")
    before = configuration(stage)
    stage.deploy(stage.good, setting="GENERATION_SECONDS=22")
    assert configuration(stage) != before
    with stage.traffic() as answers, stage.as_deployer():
        typed(stage, "rollout", "undo", DEPLOYMENT)
        typed(stage, "rollout", "status", DEPLOYMENT)
    assert failed(answers) == []
    assert configuration(stage) == before
    stage.deploy(stage.good)
