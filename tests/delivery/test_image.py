"""Building and pushing, with a `docker` that answers as docker does and writes down what it was asked.

drills/ build and push with the real one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from delivery import image, shell
from delivery.image import Image
from delivery.shell import DeliveryError
from tests.delivery.small import heard

DIGEST = "sha256:" + "0" * 64
IDENTITY = "sha256:" + "1234567890ab" + "0" * 52
NAME = "localhost:5001/school-scheduler"
DOCKER = f"""#!{sys.executable}
import pathlib, sys
with pathlib.Path(__file__).with_name("asked").open("a") as asked:
    print(*sys.argv[1:], file=asked)
if sys.argv[1] == "build":
    print("{IDENTITY}")
if sys.argv[2] == "inspect":
    print("elsewhere/school-scheduler@sha256:9 {NAME}@{DIGEST}")
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a scripted docker writes down its command lines."""
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(image, "ROOT", tmp_path)
    monkeypatch.delenv("PYTHON_IMAGE", raising=False)
    return tmp_path / "asked"


def test_a_reference_is_read_and_written_back() -> None:
    reference = f"{NAME}:dev-17@{DIGEST}"
    parsed = Image.parse(reference)
    assert (parsed.name, parsed.tag, parsed.digest) == (NAME, "dev-17", DIGEST)
    assert str(parsed) == reference


@pytest.mark.parametrize("reference", ["", "app:v1", f"app@{DIGEST}", f"app:v1@{DIGEST[:-1]}", f"app:v1@{DIGEST}\n"])
def test_what_is_not_pinned_is_refused(reference: str) -> None:
    with pytest.raises(DeliveryError, match="is not a pinned image; give NAME:TAG@sha256:DIGEST"):
        Image.parse(reference)


def test_an_image_is_built_and_known_by_the_digest_that_the_registry_gave(
    docker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = image.build_and_push("localhost:5001")
    assert built == Image(NAME, "local-1234567890ab", DIGEST)
    tagged = f"{NAME}:local-1234567890ab"
    assert heard(capsys) == ["building the image", f"pushing {tagged}"]
    assert docker.read_text().splitlines() == [
        f"build --quiet --build-arg COMMIT=unknown {docker.parent}",
        f"tag {IDENTITY} {tagged}",
        f"push --quiet {tagged}",
        f'image inspect --format {{{{join .RepoDigests " "}}}} {tagged}',
    ]


@pytest.mark.usefixtures("docker")
def test_a_digest_that_docker_has_under_another_name_is_said() -> None:
    with pytest.raises(DeliveryError, match=r"docker knows no digest of .*, only elsewhere"):
        image.build_and_push("docker.io/me")


def test_another_base_image_may_take_the_place_of_the_public_one(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_IMAGE", "python-base:local")
    image.build_and_push("localhost:5001")
    assert "--build-arg PYTHON_IMAGE=python-base:local" in docker.read_text().splitlines()[0]


def test_the_commit_of_a_checkout_says_whether_files_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "ROOT", tmp_path)
    monkeypatch.setattr(shell, "ROOT", tmp_path)
    for command in ("init -q", "add .", "commit -q --allow-empty -m first"):
        file = tmp_path / "file"
        file.write_text("first")
        shell.run("git", "-c", "user.name=a", "-c", "user.email=a@example", *command.split())
    assert len(image.commit()) == 40
    file.write_text("second")
    assert image.commit().endswith("-dirty")
