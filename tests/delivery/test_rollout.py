from __future__ import annotations

from typing import Any

import pytest

from delivery.rollout import complete, hopeless, newest_pods, started_but_unready, surplus

Body = dict[str, Any]


def body(kind: str, name: str, **fields: Any) -> Body:
    return {"kind": kind, "metadata": {"name": name, "uid": name, "labels": {}, **fields.pop("metadata", {})}, **fields}


def owned(kind: str, name: str, owner: str, **metadata: Any) -> Body:
    return body(kind, name, metadata={"ownerReferences": [{"uid": owner}], **metadata})


def revision(number: int) -> dict[str, str]:
    return {"deployment.kubernetes.io/revision": str(number)}


def test_what_only_others_have_is_deleted_in_order_and_nothing_that_holds_data() -> None:
    kinds = ("ConfigMap", "Deployment", "PersistentVolumeClaim", "StatefulSet", "Secret", "Namespace", "Service")
    others = [body(kind, "old") for kind in kinds] + [body("Service", "web")]
    assert surplus([body("Service", "web")], others) == ["deployment/old", "service/old", "configmap/old"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, True),
        # The controller has not seen the change yet.
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, False),
        # A pod of the release before is still there.
        ({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}, False),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}, False),
        ({}, False),
    ],
)
def test_a_rollout_is_complete_when_all_replicas_are_new_and_available(status: Body, expected: bool) -> None:
    workload = body("Deployment", "web", metadata={"generation": 2}, spec={"replicas": 2}, status=status)
    assert complete(workload) is expected


def test_the_newest_pods_of_a_deployment_are_those_of_its_current_revision() -> None:
    workload = body("Deployment", "web", metadata={"annotations": revision(2)})
    sets = [owned("ReplicaSet", f"set-{n}", "web", annotations=revision(n)) for n in (1, 2)]
    pods = [owned("Pod", f"pod-{n}", f"set-{n}") for n in (1, 2)] + [owned("Pod", "other", "elsewhere")]
    assert [pod["metadata"]["name"] for pod in newest_pods(workload, [*sets, *pods])] == ["pod-2"]


def test_the_newest_pods_of_a_stateful_set_are_those_of_its_update_revision() -> None:
    mysql = body("StatefulSet", "mysql", status={"updateRevision": "b"})
    pods = [owned("Pod", f"pod-{hash}", "mysql", labels={"controller-revision-hash": hash}) for hash in "ab"]
    assert [pod["metadata"]["name"] for pod in newest_pods(mysql, pods)] == ["pod-b"]


def test_a_container_that_will_not_start_is_named_with_the_reason() -> None:
    waiting = {"name": "migrate", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}
    starting = {"name": "web", "state": {"waiting": {"reason": "PodInitializing"}}}
    pod = body("Pod", "web-1", status={"initContainerStatuses": [waiting], "containerStatuses": [starting]})
    assert list(hopeless(pod)) == ["web-1/migrate: CrashLoopBackOff: back-off 10s"]


def test_only_a_started_container_can_be_late_in_becoming_ready() -> None:
    states = [("a", True, False), ("b", True, True), ("c", False, False)]
    statuses = [{"name": name, "started": started, "ready": ready} for name, started, ready in states]
    assert list(started_but_unready(body("Pod", "web-1", status={"containerStatuses": statuses}))) == ["web-1/a"]


@pytest.mark.parametrize("component", ["namespace", "credentials"])
def test_what_an_administrator_applies_is_not_deleted_by_a_release_without_it(component: str) -> None:
    labels = {"app.kubernetes.io/component": component}
    assert surplus([], [body("ServiceAccount", "theirs", metadata={"labels": labels})]) == []
