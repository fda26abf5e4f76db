"""What a tag v* has to be, and whose signature counts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from delivery import shell
from delivery.shell import DeliveryError
from pipeline import release
from pipeline.github import Step
from pipeline.names import Registry

REGISTRY = Registry("ghcr.io/escola/horario", "somebody")
DIGEST = "sha256:" + "d" * 64
Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A checkout with one commit, which is on main."""
    monkeypatch.setattr(shell, "ROOT", tmp_path)

    def git(*words: str) -> str:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        command = ("git", "-C", str(tmp_path), *identity, *words)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet", "--template=", "--initial-branch=main")
    commit(git)
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    return git


def commit(git: Git) -> str:
    git("commit", "--quiet", "--allow-empty", "--message=change")
    return git("rev-parse", "HEAD")


@pytest.mark.parametrize("tag", ["v0.0.0", "v1.2.3", "v10.20.30-rc.1", "v1.0.0--", "v1.0.0-0a.b-c"])
def test_a_version_of_a_commit_on_main_may_be_released(tag: str, git: Git) -> None:
    older = git("rev-parse", "HEAD")
    commit(git)
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    release.check(tag, older)


@pytest.mark.parametrize(
    "tag",
    [
        "1.2.3",
        "v1.2",
        "v1.2.3.4",
        "v01.2.3",
        "v1.2.3-01",
        "v1.2.3-",
        "v1.2.3+build",
        "v1.2.3-a..b",
        "v1.2.3\n",
        "v1.٢.3",
    ],
)
def test_a_tag_that_is_no_version_is_refused(tag: str, git: Git) -> None:
    with pytest.raises(DeliveryError, match="is no version that can be released"):
        release.check(tag, git("rev-parse", "HEAD"))


def test_a_commit_beside_main_is_refused(git: Git) -> None:
    with pytest.raises(DeliveryError, match=r"v1\.2\.3 is no release: \w+ is not on main"):
        release.check("v1.2.3", commit(git))


def test_without_a_main_nothing_is_released(git: Git) -> None:
    git("update-ref", "-d", "refs/remotes/origin/main")
    with pytest.raises(DeliveryError, match="is not on main"):
        release.check("v1.2.3", git("rev-parse", "HEAD"))


@pytest.mark.parametrize(
    ("chosen", "visibility", "way"),
    [
        ("", "public", "attestation"),
        ("", "private", "none"),
        ("", "internal", "none"),
        ("attestation", "private", "attestation"),
        ("cosign", "public", "cosign"),
    ],
)
def test_the_way_of_signing_is_chosen_by_a_variable(chosen: str, visibility: str, way: str, step: Step) -> None:
    found = release.way(replace(step, environ={**step.environ, "PROVENANCE": chosen, "VISIBILITY": visibility}))
    assert found == way
    assert Path(step.environ["GITHUB_STEP_SUMMARY"]).exists() == (way == "none")


def test_an_unknown_way_is_refused(step: Step) -> None:
    with pytest.raises(DeliveryError, match="'gpg'; attestation and cosign are known"):
        release.way(replace(step, environ={**step.environ, "PROVENANCE": "gpg"}))


class Signatures:
    """Stands in for gh and cosign: only what was made from one ref is verified."""

    def __init__(self, ref: str, git: Git) -> None:
        self.ref, self.git, self.calls = ref, git, list[tuple[str, ...]]()

    def run(self, *words: str, **options: object) -> str:
        if words[0] == "git":
            return self.git(*words[1:])
        self.calls.append(words)
        if self.ref not in (words[-1], words[-2].rpartition("ref=")[2]):
            raise DeliveryError(f"{words[0]}: no matching signatures")
        return ""


@pytest.fixture
def signed(step: Step, git: Git, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Signatures, Step]]:
    """An image that was made from a ref, and a step that verifies it in one of the two ways."""

    def signed(ref: str, way: str, **environ: str) -> tuple[Signatures, Step]:
        signatures = Signatures(ref, git)
        monkeypatch.setattr(release, "run", signatures.run)
        variables = {"PROVENANCE": way, "GITHUB_SHA": git("rev-parse", "HEAD"), "COSIGN_PUBLIC_KEY": "key", **environ}
        return signatures, replace(step, environ={**step.environ, **variables})

    return signed


@pytest.mark.parametrize("way", ["attestation", "cosign"])
@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/tags/preprod/1"])
def test_what_main_or_a_tag_of_that_commit_has_made_is_verified(
    way: str, ref: str, git: Git, signed: Callable[..., tuple[Signatures, Step]]
) -> None:
    git("tag", "preprod/1")
    signatures, step = signed(ref, way)
    assert release.verify(step, REGISTRY, DIGEST) == ref
    assert all(any(DIGEST in word for word in call) for call in signatures.calls)


@pytest.mark.parametrize("way", ["attestation", "cosign"])
@pytest.mark.parametrize("ref", ["refs/heads/develop", "refs/tags/preprod/other"])
def test_what_another_ref_has_made_is_refused(
    way: str, ref: str, git: Git, signed: Callable[..., tuple[Signatures, Step]]
) -> None:
    git("tag", "preprod/1")
    commit(git)
    git("tag", "preprod/other")
    git("reset", "--quiet", "--hard", "HEAD^")
    _, step = signed(ref, way)
    with pytest.raises(DeliveryError, match=f"no {way} says that ci-preprod made"):
        release.verify(step, REGISTRY, DIGEST)


def test_an_image_that_nobody_signed_is_refused(signed: Callable[..., tuple[Signatures, Step]]) -> None:
    signatures, step = signed("refs/heads/main", "", VISIBILITY="private")
    with pytest.raises(DeliveryError, match="only what is signed is released"):
        release.verify(step, REGISTRY, DIGEST)
    assert signatures.calls == []


def test_without_a_key_nothing_is_signed_or_verified(signed: Callable[..., tuple[Signatures, Step]]) -> None:
    signatures, step = signed("refs/heads/main", "cosign", COSIGN_PUBLIC_KEY="")
    with pytest.raises(DeliveryError, match="neither COSIGN_PUBLIC_KEY nor"):
        release.verify(step, REGISTRY, DIGEST)
    with pytest.raises(DeliveryError, match="no secret COSIGN_PRIVATE_KEY"):
        release.sign(step, REGISTRY, DIGEST)
    assert signatures.calls == []
