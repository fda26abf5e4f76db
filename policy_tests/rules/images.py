"""Which bytes run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_tests.manifests import Finding, ManifestSet
from policy_tests.rule import rule

# https://pkg.go.dev/github.com/distribution/reference
REFERENCE = re.compile(r"(?P<name>[^@]+?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>.*))?")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def parts(image: object) -> tuple[str, str, str]:
    """(name, tag, digest) of an image reference; what is missing is empty."""
    match = REFERENCE.fullmatch(str(image or ""))
    return (match["name"], match["tag"] or "", match["digest"] or "") if match else ("", "", "")


@rule(
    "images-by-digest",
    "high",
    why="A tag can be moved to other bytes, so that what runs is not what was tested.",
    fix="write NAME:TAG@sha256:DIGEST.",
    source="CIS 5.5.1; checkov CKV_K8S_43; kyverno require-image-checksum",
)
def by_digest(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        image = container.body.get("image")
        digest = parts(image)[2]
        if not DIGEST.fullmatch(digest):
            yield container.finding("image", image, "has no sha256 digest")
        elif len(set(digest.removeprefix("sha256:"))) < 8:
            yield container.finding("image", image, "has an invented digest")


@rule(
    "images-with-a-version",
    "high",
    why="Without a tag, or as latest, nobody can say which version runs.",
    fix="write the version as the tag, beside the digest.",
    source="kube-linter latest-tag; 12 of 13 checkers",
)
def with_a_version(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        image = container.body.get("image")
        if parts(image)[1] in ("", "latest"):
            yield container.finding("image", image, "has no version as its tag")


@rule(
    "images-pull-policy",
    "low",
    why="A digest never changes, so pulling Always only makes every start depend on the registry.",
    fix="set imagePullPolicy: IfNotPresent.",
    source="Kubernetes: images, image pull policy",
)
def pull_policy(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        policy = container.body.get("imagePullPolicy")
        if policy != "IfNotPresent":
            yield container.finding("imagePullPolicy", policy, "is not IfNotPresent")


@rule(
    "images-one-release",
    "high",
    why="Two versions of one application on one database disagree about the schema.",
    fix="give all containers of the same image the same tag and digest.",
    source="kustomize #2227: two containers of one image and two digests",
)
def one_release(manifests: ManifestSet) -> Iterator[Finding]:
    first: dict[tuple[str, str], object] = {}
    for container in manifests.containers:
        image = container.body.get("image")
        seen = first.setdefault((container.pod.owner.namespace, parts(image)[0]), image)
        if image != seen:
            yield container.finding("image", image, f"another container runs {seen}")
