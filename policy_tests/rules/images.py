"""Which bytes run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from policy_tests.manifests import Finding, ManifestSet
from policy_tests.rule import rule

# https://pkg.go.dev/github.com/distribution/reference
REFERENCE = re.compile(r"(?P<name>[^@]+?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>.*))?")
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
NAME = re.compile(rf"(?:[A-Za-z0-9.-]+(?::\d+)?/)?{COMPONENT}(?:/{COMPONENT})*")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REGISTRIES = {"docker.io", "gcr.io", "ghcr.io", "mcr.microsoft.com", "public.ecr.aws", "quay.io", "registry.k8s.io"}


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
    per_object=True,
)
def by_digest(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        image = container.body.get("image")
        digest = parts(image)[2]
        if not DIGEST.fullmatch(digest):
            yield container.finding("image", image, "has no sha256 digest")
        elif manifests.is_environment and len(set(digest.removeprefix("sha256:"))) < 8:
            yield container.finding("image", image, "has an invented digest")


@rule(
    "images-with-a-version",
    "high",
    why="Without a tag, or as latest, nobody can say which version runs.",
    fix="write the version as the tag, beside the digest.",
    source="kube-linter latest-tag; 12 of 13 checkers",
    per_object=True,
)
def with_a_version(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        image = container.body.get("image")
        _, tag, digest = parts(image)
        # Manifests from elsewhere may leave the version to the digest.
        if tag == "latest" or (not tag and (manifests.is_environment or not digest)):
            yield container.finding("image", image, "has no version as its tag")


@rule(
    "images-valid",
    "critical",
    why="A reference that breaks the grammar is pulled from nowhere: the container never starts.",
    fix="write REGISTRY/PATH:TAG@DIGEST, the path in small letters.",
    source="github.com/distribution/reference; no checker has it",
    per_object=True,
)
def valid(manifests: ManifestSet) -> Iterator[Finding]:
    for container in manifests.containers:
        image = str(container.body.get("image") or "")
        if image and not NAME.fullmatch(parts(image)[0]):
            yield container.finding("image", image, "is no reference of an image")


@rule(
    "images-pull-policy",
    "low",
    why="A digest never changes, so Always only makes every start depend on the registry, and Never on the node.",
    fix="set imagePullPolicy: IfNotPresent.",
    source="Kubernetes: images, image pull policy; kube-score container-image-pull-policy",
)
def pull_policy(manifests: ManifestSet) -> Iterator[Finding]:
    policies = [each.body.get("imagePullPolicy") for each in manifests.containers]
    # Elsewhere Always is as fair a custom.
    customs = ["IfNotPresent"] if manifests.is_environment else ["IfNotPresent", "Always"]
    kept = {
        each: custom for custom in customs for each in manifests.lacking(range(len(policies)), _is(policies, custom))
    }
    for index, (container, policy) in enumerate(zip(manifests.containers, policies, strict=True)):
        if index in kept:
            yield container.finding("imagePullPolicy", policy, f"is not {kept[index]}, as elsewhere here")
        elif policy == "Never":
            yield container.finding("imagePullPolicy", policy, "starts nothing on a node without the image")


def _is(values: list[object], wanted: object) -> Callable[[int], bool]:
    return lambda index: values[index] == wanted


@rule(
    "images-known-registry",
    "medium",
    why="An image from a registry that nobody watches may be anybody's, and a closed registry serves nothing.",
    fix=f"use {', '.join(sorted(REGISTRIES))} or the registry of your other images.",
    source="CIS 5.5.1; kyverno restrict-image-registries, restrict-deprecated-registry; 5 of 13 checkers",
)
def known_registry(manifests: ManifestSet) -> Iterator[Finding]:
    named = [(container, registry(container.body.get("image"))) for container in manifests.containers]
    private = {name for _, name in named if name not in REGISTRIES}
    shared = {name for name in private if sum(name == other for _, other in named) > 1}
    for container, name in named:
        closed = str(container.body.get("image")).startswith(("k8s.gcr.io/", "gcr.io/google-containers/"))
        # A private registry of one's own serves several containers; one for a single image is not that.
        stray = name in private - shared and (manifests.is_environment or bool(shared))
        if closed or stray:
            yield container.finding("image", container.body.get("image"), f"{name} is no registry to pull from")


def registry(image: object) -> str:
    """The host of an image reference, docker.io when it names none."""
    host, slash, _ = parts(image)[0].partition("/")
    return host if slash and ("." in host or ":" in host or host == "localhost") else "docker.io"


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
