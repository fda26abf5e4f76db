from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from policy_tests.check import check
from policy_tests.manifests import ManifestSet, matches
from policy_tests.reader import read_manifests
from policy_tests.render import render
from policy_tests.rule import explain


def rendered(folder: str) -> ManifestSet:
    return ManifestSet(folder, read_manifests(render(folder), folder))


@pytest.fixture(scope="module")
def admission() -> ManifestSet:
    return rendered("admission")


def test_every_rule_holds(admission: ManifestSet) -> None:
    assert [explain(rule, admission.name, finding) for rule, finding in check(admission)] == []


def test_every_namespace_of_ours_is_selected(admission: ManifestSet) -> None:
    namespaces = [each for folder in ("base/namespace", "observability") for each in rendered(folder).of("Namespace")]
    assert len(namespaces) == 3
    for binding in admission.of("ValidatingAdmissionPolicyBinding"):
        selector = binding.spec["matchResources"]["namespaceSelector"]
        assert all(matches(selector, each.labels) for each in namespaces)
        assert not matches(selector, {"kubernetes.io/metadata.name": "kube-system"})


@pytest.fixture(scope="module", params=["signed-images", "signed-images-key"])
def policies(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """The specifications of who has to have signed what, by their names."""
    bodies = yaml.safe_load_all(render(f"admission/{request.param}"))
    return {body["metadata"]["name"]: body["spec"] for body in bodies}


def judging(policies: dict[str, dict[str, Any]], image: str) -> list[str]:
    """The policies of an image, whose globs are as https://docs.sigstore.dev/policy-controller/overview/ has them."""
    name, _, digest = image.rpartition("@")
    resolved = f"{re.sub(':[^:/]+$', '', name)}@{digest}".replace("docker.io/", "index.docker.io/")
    globs = {name: [entry["glob"] for entry in spec["images"]] for name, spec in policies.items()}
    parts = {"**": ".*", "*": "[^/]*"}
    patterns = {
        name: [re.sub(r"\*\*?|[^*]+", lambda part: parts.get(part[0], re.escape(part[0])), glob) for glob in several]
        for name, several in globs.items()
    }
    return [name for name, several in patterns.items() if any(re.fullmatch(pattern, resolved) for pattern in several)]


def test_each_image_of_production_is_signed_by_the_pipeline_or_reviewed(policies: dict[str, dict[str, Any]]) -> None:
    text = render("overlays/prod") + render("observability/mysqld-exporter")
    images = set(re.findall(r"image: (\S+@\S+)", text))
    judged = {image.split("@")[0].rpartition("/")[2].split(":")[0]: judging(policies, image) for image in images}
    others = {name: ["school-scheduler-others"] for name in ("mysql", "rclone", "mysqld-exporter")}
    assert judged == {"school-scheduler": ["school-scheduler"], **others}


@pytest.mark.parametrize(
    "image", ["ghcr.io/another/school-scheduler", "docker.io/another/mysql", "docker.io/library/mysql-evil"]
)
def test_no_other_image_is_let_in(policies: dict[str, dict[str, Any]], image: str) -> None:
    assert judging(policies, f"{image}:1@sha256:{'0' * 64}") == []


def test_a_signature_is_the_pipeline_s_by_its_attestation_or_its_key(policies: dict[str, dict[str, Any]]) -> None:
    (authority,) = policies["school-scheduler"]["authorities"]
    assert authority.keys() & {"static"} == set()
    if "key" in authority:
        return
    (identity,) = authority["keyless"]["identities"]
    workflow = "https://github.com/school-scheduler/school-scheduler/.github/workflows/ci-preprod.yml@refs/"
    accepted = [f"{workflow}heads/main", f"{workflow}tags/preprod/1"]
    refused = [
        f"{workflow}heads/main2",
        f"{workflow}pull/1/merge",
        f"x{workflow}heads/main",
        f"{workflow}tags/preprod/",
    ]
    found = [ref for ref in (*accepted, *refused) if re.search(identity["subjectRegExp"], ref)]
    assert found == accepted
