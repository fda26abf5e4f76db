"""Whatever somebody has changed by hand is shown, and taken back by whatever brings a release."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import pytest

from delivery import drift, managed, rollout
from delivery.cluster import ConflictError, Manifest
from delivery.deploy import Options, ReleaseError, deploy, rollback
from delivery.render import Render
from delivery.rotation import rotate
from tests.delivery.fake import FakeCluster, nothing
from tests.delivery.small import PART_OF, Stage, render

VARIABLE = {"name": "BAD", "value": "1"}
SIDE = {"name": "side", "image": "side:1"}
CLIENT_SIDE = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}


def of_pod(*more: Manifest, **fields: Any) -> Manifest:
    """A change of the web's container, None for no such field, and more containers."""
    (container,) = render("1").web["spec"]["template"]["spec"]["containers"]
    container = {key: value for key, value in {**container, **fields}.items() if value is not None}
    return {"spec": {"template": {"spec": {"containers": [container, *more]}}}}


WEB = "deployment/web: spec.template.spec.containers"
# By what is said of it: an object, and what is merged into it.
EDITS: dict[str, tuple[str, Manifest]] = {
    f"{WEB}[web].env[BAD], by hand": ("deployment/web", of_pod(env=[VARIABLE])),
    f"{WEB}[side], by hand": ("deployment/web", of_pod(SIDE)),
    f"{WEB}[web].image, by hand": ("deployment/web", of_pod(image="other:1")),
    "deployment/web is changed": ("deployment/web", of_pod(envFrom=None)),
    "cronjob/backup: spec.suspend, by hand": ("cronjob/backup", {"spec": {"suspend": True}}),
    "service/web: metadata.annotations.note, by hand": ("service/web", {"metadata": {"annotations": {"note": "x"}}}),
    "configmap/app-config-1: data.MORE, by hand": ("configmap/app-config-1", {"data": {"MORE": "x"}}),
    "configmap/app-config-1: data.VERSION, by hand": ("configmap/app-config-1", {"data": {"VERSION": "x"}}),
    "ingress/web: spec.ingressClassName, by hand": ("ingress/web", {"spec": {"ingressClassName": "other"}}),
    "ingress/web is changed": ("ingress/web", {"spec": {"ingressClassName": None}}),
    "statefulset/mysql: spec.minReadySeconds, by hand": ("statefulset/mysql", {"spec": {"minReadySeconds": 600}}),
}


def content(cluster: FakeCluster) -> dict[str, Manifest]:
    """What there is but Jobs, pods and records, without what the cluster itself writes."""
    found = {}
    for (kind, _, name), there in cluster.server.objects.items():
        if kind in ("Event", "Job", "Lease", "Pod", "ReplicaSet") or name.startswith("release-"):
            continue
        metadata = {part: dict(there["metadata"].get(part, {})) for part in ("labels", "annotations")}
        metadata["annotations"].pop("deployment.kubernetes.io/revision", None)
        parts = {part: value for part, value in there.items() if part not in ("status", "metadata")}
        found[f"{kind}/{name}"] = {**parts, "metadata": metadata}
    return found


def edited(stage: Stage) -> list[str]:
    return list(drift.found(stage.cluster, render("1")))


@pytest.mark.parametrize(("line", "edit"), EDITS.items(), ids=EDITS)
def test_a_hand_edit_is_named_and_taken_back(
    stage: Stage, line: str, edit: tuple[str, Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(stage.cluster)
    stage.cluster.by_hand(*edit)
    assert edited(stage) == [line]
    capsys.readouterr()
    stage.deploy("1")
    assert f"LIVE/{edit[0]}" in capsys.readouterr().out
    assert content(stage.cluster) == before
    assert edited(stage) == []


@pytest.mark.parametrize("name", ["ingress/web", "service/web", "serviceaccount/web", "deployment/worker"])
def test_what_somebody_has_deleted_is_named_and_comes_back(stage: Stage, name: str) -> None:
    before = content(stage.cluster)
    stage.cluster.remove_by_hand(name)
    assert edited(stage) == [f"{name} is deleted"]
    stage.deploy("1")
    assert content(stage.cluster) == before


def test_a_hand_edit_that_breaks_the_pods_stops_no_release_and_no_way_back(stage: Stage) -> None:
    before = content(stage.cluster)
    stage.cluster.server.ill = {SIDE["name"]: "CrashLoopBackOff"}
    stage.proofs.unfit = {render("2").image}
    for version, outcome in (("1", nullcontext()), ("2", pytest.raises(ReleaseError, match="runs again"))):
        stage.cluster.by_hand("deployment/web", of_pod(SIDE))
        stage.cluster.pause(30)
        with outcome:
            stage.deploy(version)
        assert content(stage.cluster) == before
    stage.cluster.by_hand("deployment/web", of_pod(SIDE))
    stage.cluster.pause(30)
    rollback(stage.target, 1, Options())
    assert content(stage.cluster) == before


def test_pods_change_once_when_a_hand_edit_is_taken_back(stage: Stage) -> None:
    stage.cluster.by_hand("deployment/web", of_pod(SIDE))
    stage.cluster.pause(30)
    stage.deploy("2")
    sets = [body for body in stage.cluster.list("ReplicaSet") if body["metadata"]["name"].startswith("web-")]
    assert len(sets) == 3


def test_what_somebody_else_names_too_goes_with_the_release_that_drops_it(stage: Stage) -> None:
    stage.cluster.by_hand("deployment/worker", {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}})
    stage.cluster.by_hand("deployment/worker", {"metadata": {"labels": PART_OF}})
    objects = copy.deepcopy(render("2").objects)
    (worker,) = (there for there in objects if there["metadata"]["name"] == "worker")
    del worker["metadata"]["labels"]["app.kubernetes.io/part-of"]
    deploy(stage.target, Render.of(objects), Options())
    assert PART_OF.keys().isdisjoint(content(stage.cluster)["Deployment/worker"]["metadata"]["labels"])


def test_an_ingress_that_somebody_made_anew_keeps_its_class(stage: Stage) -> None:
    before = content(stage.cluster)
    there = stage.cluster.get("ingress/web") or {}
    stage.cluster.remove_by_hand("ingress/web")
    # As `kubectl apply` leaves one from `kubectl get -o yaml`.
    stage.cluster.create({**there, "metadata": {**there["metadata"], "annotations": CLIENT_SIDE}})
    assert f"ingress/web: metadata.annotations.{next(iter(CLIENT_SIDE))}, by kubectl-create" in edited(stage)
    for _ in range(2):
        stage.deploy("1")
        assert content(stage.cluster) == before


def test_a_class_that_the_render_names_is_not_asked_for(stage: Stage) -> None:
    ingress = {**render("1").ingress, "spec": {**render("1").ingress["spec"], "ingressClassName": "own"}}
    stage.cluster.forbidden.add(("create", "Ingress"))
    rollout.apply(stage.cluster, [ingress])
    assert (stage.cluster.get("ingress/web") or {})["spec"]["ingressClassName"] == "own"


def test_a_restart_is_not_taken_back(stage: Stage) -> None:
    rotate(stage.target)
    rollout.restart(stage.cluster, "deployment/worker", "2026-11-30T00:00:00Z")
    note = {"kubectl.kubernetes.io/restartedAt": "2026-11-30T01:00:00Z", "note": "x"}
    by_hand = {"spec": {"template": {"metadata": {"annotations": note}}}}
    stage.cluster.by_hand("deployment/web", by_hand, "kubectl-rollout")
    note.pop("note")
    assert edited(stage) == ["deployment/web: spec.template.metadata.annotations.note, by kubectl-rollout"]
    stage.deploy("1")
    web = stage.cluster.get("deployment/web") or {}
    assert web["spec"]["template"]["metadata"]["annotations"] == note
    pods = stage.cluster.pods()
    stage.deploy("1")
    assert set(pods) <= {*stage.cluster.pods(), *(pod for pod in pods if pod.startswith("accounts"))}


@pytest.mark.parametrize("manager", ["kube-controller-manager", "cert-manager-ingress-shim"])
def test_what_a_controller_has_added_stays(stage: Stage, manager: str) -> None:
    stage.cluster.by_hand("ingress/web", {"metadata": {"annotations": {"a": "b"}}}, manager)
    assert edited(stage) == []
    stage.deploy("1")
    assert content(stage.cluster)["Ingress/web"]["metadata"]["annotations"] == {"a": "b"}


def test_subresources_are_not_ours() -> None:
    entry = {"manager": "kubectl", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {}}}
    deployment = {"apiVersion": "apps/v1", "metadata": {"managedFields": [{**entry, "subresource": "scale"}]}}
    assert list(managed.edits(deployment)) == []


def test_a_change_meanwhile_is_taken_back_as_well(stage: Stage) -> None:
    before = content(stage.cluster)
    stage.cluster.by_hand("service/web", {"metadata": {"annotations": {"one": "x"}}})

    def meanwhile(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("patch", "service/web"):
            cluster.faults.before = nothing
            cluster.by_hand(name, {"metadata": {"annotations": {"two": "x"}}})

    stage.cluster.faults.before = meanwhile
    managed.apply(stage.cluster, [render("1").find("Service", "web") or {}])
    assert content(stage.cluster) == before


def test_who_changes_an_object_all_the_time_is_a_conflict(stage: Stage) -> None:
    notes = iter(range(100))

    def meanwhile(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("patch", "service/web"):
            cluster.by_hand(name, {"metadata": {"annotations": {"note": str(next(notes))}}})

    stage.cluster.by_hand("service/web", {"metadata": {"annotations": {"one": "x"}}})
    stage.cluster.faults.before = meanwhile
    with pytest.raises(ConflictError):
        stage.deploy("1")


def test_an_object_that_goes_meanwhile_is_made_anew(stage: Stage) -> None:
    before = content(stage.cluster)
    stage.cluster.by_hand("service/web", {"metadata": {"annotations": {"one": "x"}}})

    def meanwhile(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("patch", "service/web"):
            cluster.faults.before = nothing
            cluster.remove_by_hand(name)

    stage.cluster.faults.before = meanwhile
    stage.deploy("1")
    assert content(stage.cluster) == before


def test_whoever_gave_no_name_is_somebody_else() -> None:
    entry = {"operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:MORE": {}}}}
    assert list(managed.edits({"apiVersion": "v1", "metadata": {"managedFields": [entry]}})) == [
        "data.MORE, by a client that gives no name"
    ]
