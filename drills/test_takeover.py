"""An environment of v0.1.0, whose Deployment of the pages is called `web`, is taken over and back; nobody notices."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest

from delivery import deploy
from delivery.kubectl import kubectl
from delivery.render import Render
from delivery.shell import ROOT
from drills.conftest import Stage
from drills.test_zero_downtime import failed


@pytest.fixture
def old(stage: Stage) -> None:
    """Brings the environment to a release with the names of v0.1.0."""
    render = stage.render(stage.good)
    web = copy.deepcopy(render.web)
    web["metadata"]["name"] = web["spec"]["template"]["spec"]["containers"][0]["name"] = "web"
    objects = [web if body is render.web else body for body in render.objects]
    with stage.as_deployer():
        deploy.deploy(stage.target, Render.of(objects), deploy.Options())
    assert serving(stage) == {"web"}


def serving(stage: Stage) -> set[str]:
    """The Deployments whose pods serve pages."""
    return {pod.rsplit("-", 2)[0] for pod in stage.pods()}


@pytest.mark.slow
@pytest.mark.usefixtures("old")
def test_a_delivery_takes_over_and_a_rollback_takes_back_without_a_lost_request(stage: Stage) -> None:
    with stage.traffic() as answers:
        stage.deploy(stage.good)
    assert failed(answers) == []
    assert serving(stage) == {"school-scheduler"}
    with stage.traffic() as answers, stage.as_deployer():
        deploy.rollback(stage.target, None, deploy.Options())
    assert failed(answers) == []
    assert serving(stage) == {"web"}
    stage.deploy(stage.good)


@pytest.mark.slow
@pytest.mark.usefixtures("old")
def test_kubectl_apply_takes_over_once_the_line_of_the_smoke_test_is_typed(
    stage: Stage,
    tmp_path: Path,
) -> None:
    file = tmp_path / "manifests.yaml"
    file.write_text(stage.render(stage.good).text)
    with stage.traffic() as answers:
        kubectl("apply", "-f", str(file))
        kubectl("-n", stage.namespace, "rollout", "status", "deployment/school-scheduler", "--timeout=300s")
        assert serving(stage) == {"web", "school-scheduler"}
        command = [sys.executable, "-m", "pytest", "smoke_tests", "-k=no_other_deployment"]
        command += [f"--env={stage.environment.name}", f"--manifests={file}"]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
        line = re.search(r"type: kubectl (-n \S+ delete deployment web)$", told, re.MULTILINE)
        assert line, told
        kubectl(*line[1].split(), "--cascade=foreground")
    assert failed(answers) == []
    assert serving(stage) == {"school-scheduler"}
    stage.deploy(stage.good)


@pytest.mark.slow
@pytest.mark.usefixtures("old")
def test_deleting_the_old_one_first_loses_requests(stage: Stage) -> None:
    with stage.traffic() as answers:
        kubectl("-n", stage.namespace, "delete", "deployment/web")
        stage.deploy(stage.good)
    assert failed(answers) != []
    assert serving(stage) == {"school-scheduler"}
