"""Deliveries that meet one another, are killed half-way, break only configuration, or have nothing to return to."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from delivery import deploy, drift, foundation, lease, release
from delivery.deploy import ReleaseError
from delivery.kubectl import Kubectl, kubectl
from delivery.release import last_good
from delivery.shell import ROOT, DeliveryError
from drills.conftest import Stage
from drills.line import line
from policy_tests.environment import read_list


def configuration(stage: Stage) -> str:
    return kubectl("-n", stage.namespace, "get", "deployment/school-scheduler", "-o", "jsonpath={..configMapRef.name}")


@pytest.mark.slow
def test_a_release_that_breaks_only_its_configuration_returns_with_the_old_one(stage: Stage) -> None:
    listing = ("-n", stage.namespace, "get", "configmaps", "-o", "name", "-l", "app.kubernetes.io/component=web")
    before, there = configuration(stage), kubectl(*listing)
    with pytest.raises(ReleaseError, match="runs again"):
        stage.deploy(stage.good, setting="GENERATION_SECONDS=-1")
    assert configuration(stage) == before
    assert kubectl(*listing) == there


def test_a_second_delivery_does_not_begin_beside_the_first(stage: Stage) -> None:
    before = [each.number for each in stage.releases()]
    with lease.held(stage.cluster), pytest.raises(DeliveryError, match="is in use: delivery by"):
        stage.deploy(stage.good, wait=3)
    assert [each.number for each in stage.releases()] == before


@pytest.mark.slow
def test_a_killed_delivery_is_finished_by_running_it_again(stage: Stage) -> None:
    other = stage.faulty("none")
    command = [sys.executable, "-m", "delivery", "deploy", stage.environment.name]
    command += [f"--image={other}", "--single-node", "--ingress", stage.ingress]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as first:
        assert first.stderr
        while b"waiting for" not in first.stderr.readline():
            assert first.poll() is None
        first.kill()
    assert stage.releases()[0].phase == "pending"
    stage.deploy(other)
    assert stage.releases()[0].phase == "good"
    assert set(stage.pods().values()) == {str(other)}


@pytest.mark.slow
def test_an_up_that_is_stopped_at_any_moment_is_finished_by_the_same_command(
    stage: Stage, pytestconfig: pytest.Config
) -> None:
    draw = random.Random(pytestconfig.getoption("--chaos-seed"))  # noqa: S311 (nothing secret is drawn)
    (environment, *_) = (other for other in read_list().values() if other.name != stage.environment.name)
    cluster = Kubectl(environment.namespace)
    command = [sys.executable, "-m", "delivery", "up", environment.name]
    command += [f"--registry={stage.registry}", f"--ingress={stage.ingress}"]
    try:
        for _ in range(4):
            with subprocess.Popen(command, cwd=ROOT) as process:
                time.sleep(draw.uniform(2, 60))
                process.send_signal(draw.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
        subprocess.run(command, cwd=ROOT, check=True)
        good = last_good(release.read(cluster))
        assert good
        assert foundation.compare(cluster, good.render) == ([], [])
        assert list(drift.found(cluster, good.render)) == []
    finally:
        cluster.delete(f"namespace/{environment.namespace}")


@pytest.mark.slow
def test_of_three_commands_at_once_each_ends_in_its_turn_and_the_newest_good_release_runs(stage: Stage) -> None:
    first, second = stage.faulty("none", after=10), stage.faulty("none", after=11)
    delivery = [sys.executable, "-m", "delivery"]
    environment = (stage.environment.name, "--ingress", stage.ingress)
    deploy_one = ("deploy", *environment, "--single-node", "--image")
    commands = [(*deploy_one, str(first)), (*deploy_one, str(second)), ("rollback", *environment)]
    with stage.traffic() as answers:
        running = [
            subprocess.Popen([*delivery, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True) for words in commands
        ]
        last_words = [process.communicate()[1].strip().splitlines()[-1] for process in running]
    for process, words in zip(running, last_words, strict=True):
        assert process.returncode == 0 or "is in use" in words
    assert [answer for answer in answers if answer.error] == []
    newest = last_good(stage.releases())
    assert newest
    assert set(stage.pods().values()) == {newest.image}


@pytest.mark.slow
def test_a_rollback_works_while_the_api_answers_late(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.deploy(stage.faulty("none", after=2))
    before = last_good(stage.releases(), before=stage.releases()[0].number)
    assert before
    with line(tmp_path, delay=0.3) as late, monkeypatch.context() as there:
        there.setenv("KUBECONFIG", str(late.kubeconfig))
        deploy.rollback(stage.target, None, deploy.Options())
    assert set(stage.pods().values()) == {before.image}


def test_a_rollback_to_a_release_that_is_not_there_changes_nothing(stage: Stage) -> None:
    before = stage.pods()
    with pytest.raises(DeliveryError, match="has no release 9999; nothing was changed"):
        deploy.rollback(stage.target, 9999, deploy.Options())
    assert stage.pods() == before
