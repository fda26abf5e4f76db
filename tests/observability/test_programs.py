"""What is deployed judges its own configuration: the pinned images, in docker; `make check-deployed` fetches them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from observability.expressions import HERE
from policy_tests.manifests import ManifestSet
from policy_tests.reader import read_manifests
from policy_tests.render import render


@pytest.fixture(scope="module")
def images() -> Mapping[str, str]:
    """The image of each container; NAME_IMAGE in the environment replaces it."""
    stack = ManifestSet("observability", read_manifests(render(str(HERE)), "observability"))
    pinned = {str(each.body["name"]): str(each.body["image"]) for each in stack.containers}
    return {name: os.environ.get(f"{name.upper()}_IMAGE", image) for name, image in pinned.items()}


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


def judged(image: str, folder: Path, place: str, *command: str) -> None:
    """Runs the image with a folder at a place; `command` begins with the program's name, or "" for the image's own."""
    pull = os.environ.get("PULL", "never")
    if pull == "never" and not (shutil.which("docker") and docker("image", "inspect", image).returncode == 0):
        pytest.skip(f"NOT JUDGED: docker does not have {image}; make check-deployed fetches it")
    program, *arguments = command
    entry = ["--entrypoint", program] if program else []
    # As the collector's pod has it; the others do not mind.
    pod = ["--tmpfs=/var/lib/collector", "--env=NODE=node", f"--volume={folder}:{place}:ro"]
    done = docker("run", "--rm", "--network=none", f"--pull={pull}", *pod, *entry, image, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_its_configuration(images: Mapping[str, str]) -> None:
    command = ("promtool", "check", "config", "/etc/prometheus/prometheus.yaml")
    judged(images["prometheus"], HERE / "prometheus", "/etc/prometheus", *command)


@pytest.mark.parametrize("file", sorted((HERE / "prometheus" / "tests").iterdir()), ids=lambda file: file.stem)
def test_prometheus_evaluates_the_rules_as_their_cases_say(images: Mapping[str, str], file: Path) -> None:
    command = ("promtool", "test", "rules", f"/etc/prometheus/tests/{file.name}")
    judged(images["prometheus"], HERE / "prometheus", "/etc/prometheus", *command)


def test_alertmanager_accepts_its_configuration(images: Mapping[str, str], tmp_path: Path) -> None:
    text = (HERE / "alertmanager" / "alertmanager.yaml").read_text().replace("WEBHOOK", "https://example.org/")
    (tmp_path / "alertmanager.yaml").write_text(text)
    tmp_path.chmod(0o755)
    command = ("amtool", "check-config", "/etc/alertmanager/alertmanager.yaml")
    judged(images["alertmanager"], tmp_path, "/etc/alertmanager", *command)


def test_the_probe_accepts_its_configuration(images: Mapping[str, str]) -> None:
    command = ("", "--config.file=/etc/blackbox/blackbox.yaml", "--config.check")
    judged(images["blackbox-exporter"], HERE / "blackbox-exporter", "/etc/blackbox", *command)


def test_loki_accepts_its_configuration(images: Mapping[str, str]) -> None:
    command = ("", "-config.file=/etc/loki/loki.yaml", "-verify-config")
    judged(images["loki"], HERE / "loki", "/etc/loki", *command)


def test_the_collector_accepts_its_configuration(images: Mapping[str, str]) -> None:
    command = ("", "validate", "--config=/etc/collector/collector.yaml")
    judged(images["collector"], HERE / "collector", "/etc/collector", *command)
