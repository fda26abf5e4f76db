"""Whatever somebody has changed by hand is shown, and taken back by whatever brings a release."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import pytest

from delivery import configuration, drift, managed, rollout
from delivery.cluster import ConflictError, Manifest
from delivery.deploy import Options, ReleaseError, deploy, rollback
from delivery.render import Render
from delivery.rotation import rotate
from delivery.shell import DeliveryError
from delivery.workloads import main_container
from policy_tests.environment import Environment
from tests.delivery.fake import FakeCluster, Killed, nothing
from tests.delivery.faults import mended
from tests.delivery.small import PART_OF, Stage, heard, render

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
    "deployment/web: spec.paused, by hand": ("deployment/web", {"spec": {"paused": True}}),
    "statefulset/mysql: spec.updateStrategy.type, by hand": (
        "statefulset/mysql",
        {"spec": {"updateStrategy": {"type": "OnDelete"}}},
    ),
    "statefulset/mysql: spec.minReadySeconds, by hand": ("statefulset/mysql", {"spec": {"minReadySeconds": 600}}),
}


def content(cluster: FakeCluster) -> dict[str, Manifest]:
    """What there is but Jobs, pods, records and restarts, without what the cluster itself writes."""
    found = {}
    for (kind, _, name), there in cluster.server.objects.items():
        if kind in ("Event", "Job", "Lease", "Pod", "ReplicaSet") or name.startswith("release-"):
            continue
        metadata = {part: dict(there["metadata"].get(part, {})) for part in ("labels", "annotations")}
        metadata["annotations"].pop("deployment.kubernetes.io/revision", None)
        parts = {part: value for part, value in there.items() if part not in ("status", "metadata")}
        if "template" in parts.get("spec", {}):
            parts["spec"] = {**parts["spec"], "template": unrestarted(parts["spec"]["template"])}
        found[f"{kind}/{name}"] = {**parts, "metadata": metadata}
    return found


def unrestarted(template: Manifest) -> Manifest:
    metadata = {part: value for part, value in template["metadata"].items() if part != "annotations"}
    notes = dict(template["metadata"].get("annotations", {}))
    notes.pop("kubectl.kubernetes.io/restartedAt", None)
    return {**template, "metadata": {**metadata, **({"annotations": notes} if notes else {})}}


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


def test_a_container_of_the_database_that_somebody_has_renamed_stops_no_release(stage: Stage) -> None:
    before = content(stage.cluster)
    (container,) = (stage.cluster.get("statefulset/mysql") or {})["spec"]["template"]["spec"]["containers"]
    change = {"spec": {"template": {"spec": {"containers": [{**container, "name": "other"}]}}}}
    stage.cluster.server.programs["other"] = stage.cluster.server.programs["mysql"]
    stage.cluster.by_hand("statefulset/mysql", change)
    stage.cluster.pause(60)
    stage.deploy("1")
    assert content(stage.cluster) == before


def test_pods_change_once_when_a_hand_edit_is_taken_back(stage: Stage) -> None:
    stage.cluster.by_hand("deployment/web", of_pod(SIDE))
    stage.cluster.pause(30)
    stage.deploy("2")
    sets = [body for body in stage.cluster.list("ReplicaSet") if body["metadata"]["name"].startswith("web-")]
    assert len(sets) == 3


APPLICATION = "app.kubernetes.io/component in (web,worker)"
OTHER = {"data": {"VERSION": "by hand"}}


def edit_what_pods_read(stage: Stage) -> tuple[str, ...]:
    """Somebody changes a ConfigMap and deletes the pods, whose successors read it."""
    stage.cluster.by_hand("configmap/app-config-1", OTHER)
    for pod in stage.cluster.pods(APPLICATION):
        stage.cluster.remove_by_hand(f"pod/{pod}")
    stage.cluster.pause(30)
    return stage.cluster.pods(APPLICATION)


@pytest.mark.parametrize(
    "line", [("rollback", "prod", "--to", "1"), (), ("--canary",)], ids=["rollback", "deploy", "canary"]
)
def test_pods_that_read_a_configuration_by_hand_go_with_it(
    stage: Stage, line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(stage.cluster)
    pods = edit_what_pods_read(stage)
    if line[:1] == ("rollback",):
        stage.type_in(*line)
    else:
        stage.deploy("1", canary=len(line))
    assert set(pods).isdisjoint(stage.cluster.pods())
    assert content(stage.cluster) == before
    lines = [line for line in heard(capsys) if line.startswith("restarting")]
    names = ("deployment/web", "deployment/worker")
    assert lines == [f"restarting {name}, which may have read other content of a ConfigMap" for name in names]


@pytest.mark.parametrize("seed", range(3))
def test_pods_that_read_a_configuration_by_hand_go_though_the_delivery_is_killed(stage: Stage, seed: int) -> None:
    before, draw = content(stage.cluster), random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    pods = edit_what_pods_read(stage)
    moment = stage.cluster.faults.calls + draw.randrange(10, 70)

    def dies(cluster: FakeCluster, operation: str, name: str) -> None:
        if cluster.faults.calls == moment:
            raise Killed

    stage.cluster.faults.before = dies
    with suppress(Killed):
        stage.deploy("1")
    mended(stage.cluster)
    stage.deploy("1")
    assert set(pods).isdisjoint(stage.cluster.pods())
    assert content(stage.cluster) == before


def test_a_pod_that_was_evicted_goes_on_with_nothing_that_it_has_read(stage: Stage) -> None:
    evicted, *others = stage.cluster.pods(APPLICATION)
    stage.cluster.evict(evicted)
    stage.cluster.by_hand("configmap/app-config-1", OTHER)
    found = {pod["metadata"]["name"] for pod in configuration.misled(stage.cluster, render("1"))}
    assert (found >= {*others}, evicted in found) == (True, False)


def test_pods_that_read_a_configuration_by_hand_are_not_what_a_return_leaves(stage: Stage) -> None:
    pods = edit_what_pods_read(stage)
    stage.cluster.server.ill = {render("2").image: "ImagePullBackOff"}
    with pytest.raises(ReleaseError, match="release 1 runs again"):
        stage.deploy("2")
    assert set(pods).isdisjoint(stage.cluster.pods())


def test_a_release_with_its_own_configuration_changes_pods_once(stage: Stage) -> None:
    edit_what_pods_read(stage)
    stage.deploy("2")
    sets = [body for body in stage.cluster.list("ReplicaSet") if body["metadata"]["name"].startswith("web-")]
    assert len(sets) == 2


def test_a_database_that_may_have_read_a_configuration_by_hand_is_announced_and_restarted(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = copy.deepcopy(render("2").objects)
    (database,) = (there for there in objects if there["kind"] == "StatefulSet")
    volume = {"name": "config", "projected": {"sources": [{"configMap": {"name": "app-config-2"}}]}}
    database["spec"]["template"]["spec"]["volumes"] = [volume]
    wanted = Render.of(objects)
    deploy(stage.target, wanted, Options())
    before = stage.cluster.get("pod/mysql-0") or {}
    stage.cluster.by_hand("configmap/app-config-2", OTHER)
    heard(capsys)
    deploy(stage.target, wanted, Options())
    after = stage.cluster.get("pod/mysql-0") or {}
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
    why = "a ConfigMap that it reads has other content"
    assert heard(capsys)[0] == f"this restarts statefulset/mysql, for about 25 s without it: {why}"


def test_a_rollback_says_that_it_restarts_a_database_that_somebody_has_changed(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.cluster.by_hand("statefulset/mysql", {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}})
    stage.cluster.pause(30)
    heard(capsys)
    stage.type_in("rollback", "prod", "--to", "1")
    why = "spec.template.spec.nodeSelector changed"
    assert f"this restarts statefulset/mysql, for about 25 s without it: {why}" in heard(capsys)


@pytest.mark.parametrize("how", ["deploy", "rollback"])
def test_a_configuration_that_somebody_has_made_immutable_is_made_anew(
    stage: Stage, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, configmap = content(stage.cluster), "configmap/app-config-1"
    stage.cluster.by_hand(configmap, {"immutable": True})
    assert f"{configmap}: immutable, by hand" in edited(stage)
    capsys.readouterr()
    if how == "deploy":
        stage.deploy("1")
        assert capsys.readouterr().out.strip() == f"{configmap} is immutable, and is made anew"
    else:
        stage.type_in("rollback", "prod", "--to", "1")
    assert content(stage.cluster) == before
    assert edited(stage) == []


def test_a_configuration_that_nodes_keep_with_other_content_is_named_with_the_ways_out(stage: Stage) -> None:
    configmap = "configmap/app-config-1"
    stage.cluster.by_hand(configmap, {**OTHER, "immutable": True})
    line = f"`kubectl -n school-scheduler-prod delete {configmap} && .* delete deployment,job,pod -l environment`"
    with pytest.raises(DeliveryError, match=line):
        stage.deploy("1")
    with pytest.raises(DeliveryError, match=line):
        stage.type_in("rollback", "prod", "--to", "1")
    stage.deploy("2")
    assert stage.serving == {"2"}


def test_an_immutable_configuration_of_a_release_stays(stage: Stage) -> None:
    fixed = {**(render("2").find("ConfigMap", "app-config-2") or {}), "immutable": True}
    objects = [fixed if rollout.name(there) == rollout.name(fixed) else there for there in render("2").objects]
    deploy(stage.target, Render.of(objects), Options())
    before = stage.cluster.get("configmap/app-config-2")
    deploy(stage.target, Render.of(objects), Options())
    assert stage.cluster.get("configmap/app-config-2") == before


def test_a_workload_of_other_pods_is_named_with_the_line_that_makes_it_anew(stage: Stage) -> None:
    before = content(stage.cluster)
    worker = stage.cluster.get("deployment/worker") or {}
    labels = {"app": "worker"}
    worker["spec"]["selector"]["matchLabels"] = worker["spec"]["template"]["metadata"]["labels"] = labels
    stage.cluster.remove_by_hand("deployment/worker")
    stage.cluster.create(worker)
    line = "`kubectl -n school-scheduler-prod delete deployment/worker`, then the same command again"
    with pytest.raises(DeliveryError, match=line):
        stage.deploy("1")
    with pytest.raises(DeliveryError, match=line):
        stage.type_in("rollback", "prod", "--to", "1")
    stage.cluster.remove_by_hand("deployment/worker")
    stage.deploy("1")
    assert content(stage.cluster) == before


MEANWHILE: dict[str, tuple[str, Manifest]] = {
    "configmap/app-config-2: data.VERSION, by hand": ("configmap/app-config-2", OTHER),
    "deployment/web: spec.paused, by hand": ("deployment/web", {"spec": {"paused": True}}),
    "deployment/worker: spec.replicas, by hand": ("deployment/worker", {"spec": {"replicas": 0}}),
    "service/web: metadata.annotations.note, by hand": ("service/web", {"metadata": {"annotations": {"note": "x"}}}),
}


@pytest.mark.parametrize("moment", ["apply", "smoke"])
@pytest.mark.parametrize(("line", "edit"), MEANWHILE.items(), ids=MEANWHILE)
def test_what_somebody_changes_during_a_delivery_is_named_and_taken_back(
    stage: Stage, line: str, edit: tuple[str, Manifest], moment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def applied(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("apply", "ingress/web"):
            cluster.faults.after = nothing
            cluster.by_hand(*edit)

    def smoke(environment: Environment, wanted: Render) -> None:
        if not stage.proofs.smoked[1:]:
            stage.cluster.by_hand(*edit)
        proven(environment, wanted)

    proven = stage.proofs.smoke
    with pytest.MonkeyPatch.context() as there:
        if moment == "smoke":
            there.setattr(stage.proofs, "smoke", smoke)
        else:
            stage.cluster.faults.after = applied
        stage.deploy("2")
    assert f"delivery: changed by hand meanwhile, and taken back:\n{line}\n" in capsys.readouterr().err
    assert list(drift.found(stage.cluster, render("2"))) == []
    assert stage.serving == {"2"}


def test_a_release_is_brought_to_pods_that_somebody_holds(stage: Stage) -> None:
    stage.cluster.by_hand("deployment/web", {"spec": {"paused": True}})
    stage.cluster.by_hand("deployment/web", of_pod(SIDE))
    stage.deploy("2")
    assert stage.serving == {"2"}


def test_what_an_object_without_owners_has_more_is_taken_back(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(stage.cluster)
    stage.cluster.by_hand("service/web", {"metadata": {"managedFields": [{}], "annotations": {"note": "x"}}})
    stage.deploy("1")
    assert "service/web: metadata.annotations.note, by before-first-apply" in heard(capsys)
    assert content(stage.cluster) == before


def test_a_delivery_that_somebody_changes_again_goes_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def smoke(environment: Environment, wanted: Render) -> None:
        if wanted == render("2"):
            stage.cluster.by_hand("service/web", {"spec": {"sessionAffinity": "ClientIP"}})
        proven(environment, wanted)

    proven = stage.proofs.smoke
    monkeypatch.setattr(stage.proofs, "smoke", smoke)
    with pytest.raises(ReleaseError, match="release 2 failed, and release 1 runs again") as error:
        stage.deploy("2")
    edit = "service/web: spec.sessionAffinity, by hand"
    assert str(error.value.__cause__) == f"somebody changes it by hand all the time:\n{edit}"
    assert edited(stage) == []


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


@pytest.mark.parametrize("name", ["a" * 253, f"{'a' * 93}.{'b' * 159}", f"{'a' * 93}-{'b' * 159}"])
def test_an_ingress_with_the_longest_name_gets_its_class(empty: Stage, name: str) -> None:
    objects = copy.deepcopy(render("1").objects)
    (ingress,) = (there for there in objects if there["kind"] == "Ingress")
    ingress["metadata"]["name"] = name
    deploy(empty.target, Render.of(objects), Options())
    assert (empty.cluster.get(f"ingress/{name}") or {})["spec"]["ingressClassName"] == "traefik"


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


def test_an_autoscaler_that_nobody_delivered_is_named_with_what_is_typed(stage: Stage) -> None:
    stage.cluster.by_hand("deployment/web", {"spec": {"replicas": 3}}, "kube-controller-manager")
    (line,) = drift.found(stage.cluster, render("1"))
    way = f"`kubectl -n {stage.cluster.namespace} get hpa` names it: delete it first"
    assert line == f"deployment/web is changed: an autoscaler of no release scales it; {way}"


def test_a_controller_that_brings_replicas_with_all_else_is_no_autoscaler(stage: Stage) -> None:
    other = {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 3}}
    stage.cluster.by_hand("deployment/web", other, "kustomize-controller")
    (line,) = drift.found(stage.cluster, render("1"))
    suspend = "kustomize-controller writes it too; suspend that there before a delivery"
    assert line == f"deployment/web is changed: {suspend}"


def test_subresources_are_not_ours() -> None:
    entry = {"manager": "kubectl", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {}}}
    deployment = {"apiVersion": "apps/v1", "metadata": {"managedFields": [{**entry, "subresource": "scale"}]}}
    assert list(managed.edits(deployment)) == []


def test_who_has_scaled_is_named_by_no_name_and_taken_back(stage: Stage) -> None:
    stage.cluster.scale("deployment/web", 5)
    assert edited(stage) == ["deployment/web is changed"]
    stage.deploy("1")
    assert edited(stage) == []
    assert len(stage.cluster.pods("app.kubernetes.io/component=web")) == 2


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


def writing(
    stage: Stage, manager: str, name: str, change: Manifest, holds: Callable[[Manifest], bool]
) -> AbstractContextManager[None]:
    """While the context lasts, a controller writes an object that is not as it is to be."""

    def write() -> bool:
        body = stage.cluster.get(name)
        if body and not holds(body):
            stage.cluster.by_hand(name, change, manager)
        return True

    write()
    return stage.cluster.every(2, write)


def test_an_annotation_that_comes_back_as_soon_as_it_is_taken_back_stops_no_release(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    note = {"metadata": {"annotations": {"endpoints": "[]"}}}
    holds = lambda body: "endpoints" in body["metadata"].get("annotations", {})  # noqa: E731
    with writing(stage, "dashboard", "ingress/web", note, holds):
        stage.deploy("2")
        assert heard(capsys)[-2:] == [
            "ingress/web: metadata.annotations.endpoints, by dashboard",
            f"release 2 of prod is good: {render('2').image}",
        ]
        stage.proofs.unfit.add(render("3").image)
        with pytest.raises(ReleaseError, match="release 3 failed, and release 2 runs again"):
            stage.deploy("3")
    assert stage.serving == {"2"}


def test_a_controller_that_brings_an_older_image_is_named_by_the_release_that_fails(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"spec": copy.deepcopy(render("1").web["spec"])}
    image = render("1").image
    holds = lambda body: main_container(body["spec"]["template"])["image"] == image  # noqa: E731
    with writing(stage, "kustomize-controller", "deployment/web", old, holds):
        stage.cluster.pause(1)
        with pytest.raises(ReleaseError, match="release 2 failed, and release 1 runs again"):
            stage.deploy("2")
    line = "deployment/web is changed: kustomize-controller writes it too; suspend that there before a delivery"
    assert line in heard(capsys)
    assert stage.serving == {"1"}
