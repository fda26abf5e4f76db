"""docs/gitops.md: what Flux and Argo CD are handed keeps every rule, and says what stays."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from delivery.cluster import Manifest
from delivery.render import COMPONENT, Render
from policy_tests.check import check
from policy_tests.environment import find, read_list
from policy_tests.manifests import ManifestSet
from policy_tests.reader import read_manifests
from policy_tests.render import as_environment
from policy_tests.render import render as kustomize
from policy_tests.rule import explain
from policy_tests.waivers import read_waivers
from tests.delivery.gitops import applied, components, handed, path

FLUX = "kustomize.toolkit.fluxcd.io"
ARGO = "argocd.argoproj.io/sync-options"
HANDED = [(name, kind) for name in read_list() for kind in ("Kustomization", "Application")]


@pytest.fixture(scope="module", params=HANDED, ids="-".join)
def given(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, str]:
    """An environment's name, and what a controller makes of what it is handed."""
    name, kind = request.param
    return name, applied(handed(find(name), kind), tmp_path_factory.mktemp(name))


def notes(body: Manifest) -> dict[str, str]:
    found: dict[str, str] = body["metadata"].get("annotations", {})
    return {key: value for key, value in found.items() if key == ARGO or key.startswith(FLUX)}


@pytest.mark.parametrize(("name", "kind"), HANDED)
def test_each_environment_is_handed_its_own_overlay(name: str, kind: str) -> None:
    body, prod = (handed(find(each), kind) for each in (name, "prod"))
    assert path(body) == find(name).overlay
    assert body["metadata"]["name"] == find(name).namespace
    lines = [yaml.safe_dump(each).splitlines() for each in (body, prod)]
    differing = sum(one != other for one, other in zip(*lines, strict=True))
    assert differing == (0 if name == "prod" else 3)


def test_both_controllers_are_told_the_same() -> None:
    assert len({tuple(components(handed(find("prod"), kind))) for _, kind in HANDED}) == 1


def test_every_rule_holds_for_what_a_controller_applies(given: tuple[str, str]) -> None:
    name, text = given
    handed_over = ManifestSet("given", read_manifests(text, find(name).overlay))
    environment = as_environment({"given": handed_over}, [name])[name]
    assert isinstance(environment, ManifestSet)
    found = check(environment, read_waivers())
    assert [explain(rule, name, finding) for rule, finding in found] == []


def test_a_controller_applies_what_a_delivery_does_but_for_its_notes_and_the_end_of_jobs(
    given: tuple[str, str],
) -> None:
    name, text = given

    def shared(render: Render) -> list[Manifest]:
        bodies = copy.deepcopy(list(render.objects))
        for body in bodies:
            own = body["metadata"].get("annotations", {}).items() - notes(body).items()
            body["metadata"]["annotations"] = dict(own)
            if body["kind"] == "Job":
                body["spec"].pop("ttlSecondsAfterFinished", None)
        return bodies

    assert shared(Render(text)) == shared(Render(kustomize(find(name).overlay)))


def test_a_job_that_has_ended_stays_until_a_release_makes_it_anew(given: tuple[str, str]) -> None:
    jobs = Render(given[1]).kind("Job")
    assert {job["metadata"]["name"] for job in jobs} == {"accounts", "credentials"}
    for job in jobs:
        assert "ttlSecondsAfterFinished" not in job["spec"]
        assert notes(job) == {f"{FLUX}/force": "enabled", ARGO: "Force=true,Replace=true"}


def test_what_holds_data_is_never_deleted(given: tuple[str, str]) -> None:
    render = Render(given[1])
    held = render.kind("Namespace", "StatefulSet", "Secret", "PersistentVolumeClaim")
    assert {body["kind"] for body in held} >= {"Namespace", "StatefulSet"}
    for body in held:
        assert notes(body) == {f"{FLUX}/prune": "disabled", ARGO: "Prune=false,Delete=false"}


@pytest.mark.parametrize("name", ["sealed-secrets", "external-secrets"])
def test_what_makes_a_secret_that_would_go_with_it_is_never_deleted(name: str, tmp_path: Path) -> None:
    body = handed(find("prod"), "Kustomization")
    components(body).insert(0, f"../../components/{name}")
    makers = Render(applied(body, tmp_path)).kind("SealedSecret", "ExternalSecret")
    assert {maker["metadata"]["name"] for maker in makers} == {"db-credentials", "backup"}
    for maker in makers:
        assert notes(maker) == {f"{FLUX}/prune": "disabled", ARGO: "Prune=false,Delete=false"}


def test_a_configmap_outlives_the_release_whose_pods_read_it(given: tuple[str, str]) -> None:
    found = Render(given[1]).kind("ConfigMap")
    assert {body["metadata"]["labels"].get(COMPONENT) for body in found} == {
        "web",
        "database",
        "backup",
    }
    for body in found:
        assert notes(body) == {f"{FLUX}/prune": "disabled", ARGO: "PruneLast=true"}


def test_whatever_else_a_render_lacks_is_deleted(given: tuple[str, str]) -> None:
    noted = {body["kind"] for body in Render(given[1]).objects if notes(body)}
    assert noted == {"Job", "Namespace", "StatefulSet", "ConfigMap"}
