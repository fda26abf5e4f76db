"""What the API server of each supported Kubernetes accepts."""

from __future__ import annotations

from collections.abc import Iterator

from policy_tests import schemas
from policy_tests.manifests import Finding, ManifestSet
from policy_tests.rule import rule


@rule(
    "schema-valid",
    "critical",
    why="The API server refuses a wrong type, and drops or refuses a field that it does not know.",
    fix="correct the field; the manual of the kind has its name and type.",
    source="Kubernetes: API reference; kube-linter schema-validation; kubeconform -strict",
    per_object=True,
)
def valid(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.manifests:
        for version in manifests.kubernetes:
            if errors := schemas.errors(manifest, version):
                for path, value, message in errors:
                    yield manifest.finding(path, value, f"{message} (Kubernetes {version})")
                break


@rule(
    "schema-served",
    "critical",
    why="A kind that the API server does not serve is refused, and the rest of the deployment with it.",
    fix="correct apiVersion and kind, or move to the version that is served.",
    source="Kubernetes: deprecated API migration guide; pluto; kubent; 6 of 13 checkers",
    per_object=True,
)
def served(manifests: ManifestSet) -> Iterator[Finding]:
    for manifest in manifests.manifests:
        for version in manifests.kubernetes:
            if problem := schemas.unserved(manifest, version):
                yield manifest.finding("apiVersion", manifest.body["apiVersion"], problem)
                break
