"""What every Cluster does: the one in memory, and in drills/test_contract.py a real one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest

from delivery import managed, rollout
from delivery.cluster import (
    Cluster,
    ConflictError,
    Manifest,
    MissingError,
    RefusedError,
    UnavailableError,
)
from delivery.shell import DeliveryError

Question = Callable[[Cluster], object]
State = tuple[str, str, object, object]


class Place(Protocol):
    """A namespace of a cluster that has the image `good`, and the line to its API server."""

    cluster: Cluster
    good: str

    def by_hand(self, name: str, change: Manifest) -> None:
        """Another field manager merges a change."""

    def nobody(self) -> AbstractContextManager[Cluster]:
        """The same namespace, asked with credentials that have no right."""

    def slow(self) -> AbstractContextManager[None]:
        """The API server does as it is asked, and takes more than two seconds to say so."""

    def away(self, seconds: float) -> None:
        """It cannot be reached until then."""

    def breaks(self) -> Iterable[AbstractContextManager[object]]:
        """For each moment at which the line may break: within it, it does so once."""


def configuration(place: Place, name: str = "one", **fields: Any) -> Manifest:
    metadata = {"name": name, "namespace": place.cluster.namespace, **fields.pop("metadata", {})}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}
    return {**body, **fields}


def pod(place: Place, script: str = "echo begun; exec sleep 600", **fields: Any) -> Manifest:
    main = {"name": "main", "image": place.good, "command": ["sh", "-c", script]}
    return {"terminationGracePeriodSeconds": 1, "containers": [main], **fields}


def workload(place: Place, kind: str = "Deployment", **fields: Any) -> Manifest:
    labels = {"app": kind.lower()}
    template = {"metadata": {"labels": labels}, "spec": pod(place)}
    metadata = {"name": kind.lower(), "namespace": place.cluster.namespace}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template, **fields}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def with_variables(place: Place, **values: str) -> Manifest:
    """A Deployment without pods whose container has these variables."""
    body = workload(place, replicas=0)
    main = body["spec"]["template"]["spec"]["containers"][0]
    main["env"] = [{"name": name, "value": value} for name, value in values.items()]
    return body


def change_variables(place: Place, **values: str) -> None:
    """Somebody gives it these instead."""
    body = there(place.cluster.get("deployment/deployment"))
    containers = body["spec"]["template"]["spec"]["containers"]
    containers[0]["env"] = [{"name": name, "value": value} for name, value in values.items()]
    place.by_hand("deployment/deployment", {"spec": {"template": {"spec": {"containers": containers}}}})


def variables(deployment: Manifest) -> dict[str, str]:
    (main,) = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in main["env"]}


def ingress(place: Place) -> Manifest:
    """One that names no class."""
    backend = {"service": {"name": "none", "port": {"number": 80}}}
    body = configuration(place, apiVersion="networking.k8s.io/v1", kind="Ingress", spec={"defaultBackend": backend})
    del body["data"]
    return body


def job(place: Place, script: str, **fields: Any) -> Manifest:
    metadata = {"name": "job", "namespace": place.cluster.namespace}
    spec = {"restartPolicy": "Never", **pod(place, script), **fields}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    }


def there(found: Manifest | None) -> Manifest:
    assert found is not None
    return found


def until(cluster: Cluster, holds: Callable[[], bool], seconds: float = 90) -> None:
    """Waits as delivery does."""
    deadline = cluster.now() + seconds
    while not holds():
        assert cluster.now() < deadline, cluster.list("Pod", "Event")
        cluster.pause(0.5)


def warnings(cluster: Cluster, kind: str) -> set[str]:
    """The reasons of the warnings about objects of a kind."""
    return {
        str(event["reason"])
        for event in cluster.list("Event")
        if (event["type"], event["involvedObject"]["kind"]) == ("Warning", kind)
    }


def available(cluster: Cluster, name: str, replicas: int = 1) -> bool:
    body = there(cluster.get(name))
    status = body["status"]
    seen = status.get("observedGeneration", 0) >= body["metadata"]["generation"]
    fields = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return seen and [status.get(field, 0) for field in fields] == [replicas] * len(fields)


def ended(cluster: Cluster, name: str) -> list[str]:
    conditions = there(cluster.get(name))["status"].get("conditions", [])
    return [condition["type"] for condition in conditions if condition["status"] == "True"]


def changed(cluster: Cluster, name: str = "one") -> Manifest:
    """What `configuration` makes, with another text."""
    metadata = {"name": name, "namespace": cluster.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "2"}}


def replace(cluster: Cluster) -> None:
    """As whoever holds a lease does: at the version that was read."""
    found = there(cluster.get("configmap/one"))
    version = found["metadata"]["resourceVersion"]
    body = changed(cluster)
    body["metadata"]["resourceVersion"] = version
    cluster.replace(body)


RESTARTED = "kubectl.kubernetes.io/restartedAt"
NOTES = {"note": "x", RESTARTED: "now"}
# What needs a right each.
QUESTIONS: dict[str, Question] = {
    "get": lambda cluster: cluster.get("configmap/one"),
    "list": lambda cluster: cluster.list("ConfigMap"),
    "apply": lambda cluster: cluster.apply([changed(cluster)]),
    "difference": lambda cluster: cluster.difference([changed(cluster)]),
    "preview": lambda cluster: cluster.preview(changed(cluster)),
    "create": lambda cluster: cluster.create(changed(cluster)),
    "rehearse": lambda cluster: cluster.rehearse(changed(cluster)),
    "replace": lambda cluster: cluster.replace(changed(cluster)),
    "patch": lambda cluster: cluster.patch("configmap/one", {"data": {"a": "2"}}),
    "delete": lambda cluster: cluster.delete("configmap/one"),
    "exec": lambda cluster: cluster.exec("none", "main", "true"),
    "logs": lambda cluster: cluster.logs("none"),
}
# What changes something, whether it may meet what it did itself, and what there is then.
CHANGES: dict[str, tuple[Question, bool, list[str]]] = {
    "create": (lambda cluster: cluster.create(changed(cluster, "new")), True, ["2", "1"]),
    "apply": (lambda cluster: cluster.apply([changed(cluster, "new")]), False, ["2", "1"]),
    "replace": (replace, True, ["2"]),
    "patch": (QUESTIONS["patch"], False, ["2"]),
    "delete": (QUESTIONS["delete"], False, []),
}


def another(place: Place) -> Manifest:
    """The Deployment of other pods."""
    body = workload(place, replicas=0)
    body["spec"]["selector"]["matchLabels"] = body["spec"]["template"]["metadata"]["labels"] = {"app": "another"}
    return body


def service(place: Place, **spec: Any) -> Manifest:
    body = configuration(place, kind="Service", spec={"selector": {"app": "x"}, "ports": [{"port": 80}], **spec})
    return {key: value for key, value in body.items() if key != "data"}


# By kind: an object, what it cannot become, and what is typed then.
FIXED: dict[str, tuple[Callable[[Place], Manifest], Callable[[Place], Manifest], str]] = {
    "Deployment": (
        lambda place: workload(place, replicas=0),
        another,
        "delete deployment/deployment",
    ),
    "StatefulSet": (
        lambda place: workload(place, "StatefulSet", replicas=0, serviceName="one"),
        lambda place: workload(place, "StatefulSet", replicas=0, serviceName="two"),
        "delete statefulset/statefulset --cascade=orphan",
    ),
    "Service": (service, lambda place: service(place, clusterIP="None"), "delete service/one"),
    "Secret": (
        lambda place: configuration(place, kind="Secret", data={"a": "b2xk"}, immutable=True),
        lambda place: configuration(place, kind="Secret", data={"a": "bmV3"}, immutable=True),
        "get secret/one -o yaml | sed '/^immutable:/d' | kubectl replace --force -f -",
    ),
}
# What keeps the pods of a workload as they are.
HOLDS: list[tuple[str, Manifest]] = [
    ("Deployment", {"paused": True}),
    ("StatefulSet", {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}),
    ("StatefulSet", {"updateStrategy": {"rollingUpdate": {"partition": 1}}}),
    ("DaemonSet", {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}),
]
MISSING = {"secretKeyRef": {"name": "none", "key": "none"}}
FAILING: Manifest = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 600}
CRASHING = ["sh", "-c", "exit 1"]
# By its name: what a container has, and its pod; the phase, and the container's state and probes.
ILL: dict[str, tuple[Manifest, Manifest, State]] = {
    "crowded": ({}, {"nodeSelector": {"no": "node"}}, ("Pending", "", None, None)),
    "crashing": ({"command": CRASHING}, {}, ("Running", "CrashLoopBackOff", False, False)),
    "unset": (
        {"env": [{"name": "A", "valueFrom": MISSING}]},
        {},
        ("Pending", "CreateContainerConfigError", False, False),
    ),
    "unready": ({"readinessProbe": FAILING}, {}, ("Running", "running", True, False)),
    "unstarted": ({"startupProbe": FAILING}, {}, ("Running", "running", False, False)),
}


def state(body: Manifest) -> State:
    """What `ILL` expects of a pod."""
    phase = str(body["status"]["phase"])
    for status in body["status"].get("containerStatuses", []):
        reason = status["state"].get("waiting", {}).get("reason")
        return phase, reason or next(iter(status["state"])), status["started"], status["ready"]
    return phase, "", None, None


def unscheduled(body: Manifest) -> list[str]:
    """Why a pod has no node."""
    conditions = body.get("status", {}).get("conditions", [])
    return [
        condition["message"]
        for condition in conditions
        if (condition["type"], condition["status"]) == ("PodScheduled", "False")
    ]


class Contract:
    """To be run by a class with a fixture `place`."""

    def test_what_is_not_there_is_none(self, place: Place) -> None:
        assert place.cluster.get("configmap/none") is None

    def test_an_object_is_found_by_every_word_for_its_kind(self, place: Place) -> None:
        place.cluster.create(configuration(place))
        found = there(place.cluster.get("configmap/one"))
        assert (found["kind"], found["data"]) == ("ConfigMap", {"a": "1"})
        assert {"uid", "resourceVersion", "creationTimestamp"} <= found["metadata"].keys()
        assert "managedFields" not in found["metadata"]
        assert place.cluster.get("ConfigMap/one") == place.cluster.get("configmaps/one") == found

    def test_a_kind_that_the_cluster_does_not_know_is_an_error(self, place: Place) -> None:
        with pytest.raises(DeliveryError, match="resource type"):
            place.cluster.get("cloud/nine")

    def test_another_namespace_has_other_objects(self, place: Place) -> None:
        place.cluster.create(configuration(place))
        assert place.cluster.within("kube-public").get("configmap/one") is None

    @pytest.mark.parametrize(
        ("selector", "names"),
        [
            ("", ["one", "three", "two"]),
            ("track=stable", ["one"]),
            ("track!=stable", ["three", "two"]),
            ("track in (stable,canary),part", ["one"]),
            ("track in (stable,canary)", ["one", "two"]),
            ("track notin (canary)", ["one", "three"]),
            ("!track", ["three"]),
        ],
    )
    def test_a_list_has_what_a_selector_matches(self, place: Place, selector: str, names: list[str]) -> None:
        labels = {"one": {"track": "stable", "part": ""}, "two": {"track": "canary"}, "three": {}}
        for name, own in labels.items():
            # An own label aside, as every namespace has ConfigMaps of the cluster's.
            body = configuration(place, name, metadata={"labels": {"ours": "yes", **own}})
            place.cluster.create(body)
        chosen = ",".join(filter(None, ["ours=yes", selector]))
        found = place.cluster.list("configmaps", selector=chosen)
        assert [body["metadata"]["name"] for body in found] == names
        assert found[0]["kind"] == "ConfigMap"

    def test_a_list_is_in_the_order_of_the_kinds(self, place: Place) -> None:
        place.cluster.create(configuration(place, metadata={"labels": {"ours": "yes"}}))
        secret = configuration(place, metadata={"labels": {"ours": "yes"}}, kind="Secret", data={})
        place.cluster.create(secret)
        found = place.cluster.list("Secret", "ConfigMap", selector="ours=yes")
        assert [body["kind"] for body in found] == ["Secret", "ConfigMap"]

    def test_creating_it_again_is_a_conflict(self, place: Place) -> None:
        place.cluster.create(configuration(place))
        with pytest.raises(ConflictError):
            place.cluster.create(configuration(place, data={"a": "2"}))
        assert there(place.cluster.get("configmap/one"))["data"] == {"a": "1"}

    def test_nothing_is_created_in_a_namespace_that_is_not_there(self, place: Place) -> None:
        with pytest.raises(MissingError):
            place.cluster.create(configuration(place, metadata={"namespace": "not-there"}))
        with pytest.raises(MissingError):
            place.cluster.apply([configuration(place, metadata={"namespace": "not-there"})])

    @pytest.mark.parametrize("method", ["create", "apply", "difference", "preview"])
    def test_an_invalid_object_is_refused(self, place: Place, method: str) -> None:
        body = workload(place)
        body["spec"]["selector"]["matchLabels"] = {"app": "another"}
        with pytest.raises(RefusedError):
            getattr(place.cluster, method)(body if method in ("create", "preview") else [body])

    def test_an_object_is_replaced_at_its_version_alone(self, place: Place) -> None:
        place.cluster.create(configuration(place))
        old = there(place.cluster.get("configmap/one"))
        place.cluster.replace({**old, "data": {"b": "2"}})
        new = there(place.cluster.get("configmap/one"))
        assert new["data"] == {"b": "2"}
        assert new["metadata"]["uid"] == old["metadata"]["uid"]
        assert new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]
        with pytest.raises(ConflictError):
            place.cluster.replace({**old, "data": {"c": "3"}})
        assert place.cluster.get("configmap/one") == new

    def test_what_is_not_there_is_not_replaced(self, place: Place) -> None:
        with pytest.raises(MissingError):
            place.cluster.replace(configuration(place))

    def test_a_patch_merges_and_null_removes(self, place: Place) -> None:
        place.cluster.create(configuration(place, data={"a": "1", "b": "2"}))
        change = {"metadata": {"annotations": {"note": "x"}}, "data": {"a": None, "c": "3"}}
        place.cluster.patch("configmap/one", change)
        found = there(place.cluster.get("configmap/one"))
        assert found["data"] == {"b": "2", "c": "3"}
        assert found["metadata"]["annotations"] == {"note": "x"}
        place.cluster.patch("configmap/one", {"metadata": {"annotations": {"note": None}}})
        metadata = there(place.cluster.get("configmap/one"))["metadata"]
        assert not metadata.get("annotations")

    def test_a_patch_of_another_version_is_a_conflict(self, place: Place) -> None:
        place.cluster.create(configuration(place))
        metadata = there(place.cluster.get("configmap/one"))["metadata"]
        change = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "data": {"a": "2"}}
        place.cluster.patch("configmap/one", change)
        with pytest.raises(ConflictError):
            place.cluster.patch("configmap/one", {**change, "data": {"a": "3"}})
        assert there(place.cluster.get("configmap/one"))["data"] == {"a": "2"}

    def test_what_is_not_there_is_not_patched(self, place: Place) -> None:
        with pytest.raises(MissingError):
            place.cluster.patch("configmap/none", {"data": {"a": "2"}})

    def test_a_write_that_changes_nothing_leaves_the_version(self, place: Place) -> None:
        place.cluster.apply([configuration(place)])
        before = there(place.cluster.get("configmap/one"))
        place.cluster.apply([configuration(place)])
        place.cluster.patch("configmap/one", {"data": {"a": "1"}})
        place.cluster.replace(before)
        assert place.cluster.get("configmap/one") == before

    def test_texts_of_a_secret_become_its_data(self, place: Place) -> None:
        body = {"apiVersion": "v1", "kind": "Secret", "stringData": {"key": "text"}}
        metadata = configuration(place)["metadata"]
        place.cluster.create({**body, "metadata": metadata})
        place.cluster.patch("secret/one", {"stringData": {"more": "text"}})
        found = there(place.cluster.get("secret/one"))
        assert found["data"] == {"key": "dGV4dA==", "more": "dGV4dA=="}
        assert "stringData" not in found

    @pytest.mark.parametrize("method", ["apply", "difference", "patch", "replace"])
    def test_what_is_immutable_is_not_changed_but_its_labels_are(self, place: Place, method: str) -> None:
        place.cluster.create(configuration(place, immutable=True))
        place.cluster.patch("configmap/one", {"metadata": {"labels": {"phase": "good"}}})
        there(place.cluster.get("configmap/one"))
        changed = configuration(place, immutable=True, data={"a": "2"})
        with pytest.raises(RefusedError):
            if method == "patch":
                place.cluster.patch("configmap/one", {"data": {"a": "2"}})
            elif method == "replace":
                place.cluster.replace(changed)
            else:
                getattr(place.cluster, method)([changed])
        assert there(place.cluster.get("configmap/one"))["metadata"]["labels"] == {"phase": "good"}

    @pytest.mark.parametrize("method", ["apply", "difference", "preview"])
    @pytest.mark.parametrize("kind", FIXED)
    def test_what_cannot_be_changed_is_refused_with_the_line_to_type(
        self, place: Place, kind: str, method: str
    ) -> None:
        before, after, line = FIXED[kind]
        place.cluster.apply([before(place)])
        with pytest.raises(RefusedError) as refusal:
            getattr(place.cluster, method)(after(place) if method == "preview" else [after(place)])
        assert f"\n`kubectl -n {place.cluster.namespace} {line}`, then the same command again" in str(refusal.value)

    def test_the_template_of_a_job_is_not_changed(self, place: Place) -> None:
        place.cluster.apply([job(place, "true")])
        with pytest.raises(RefusedError):
            place.cluster.apply([job(place, "false")])

    def test_an_apply_takes_away_what_it_no_longer_names(self, place: Place) -> None:
        place.cluster.apply([configuration(place, data={"a": "1", "b": "2"})])
        place.cluster.apply([configuration(place, data={"b": "3"})])
        assert there(place.cluster.get("configmap/one"))["data"] == {"b": "3"}

    def test_an_apply_leaves_what_others_have_added_and_sets_its_own_back(self, place: Place) -> None:
        place.cluster.apply([configuration(place, data={"a": "1", "b": "2"})])
        place.by_hand("configmap/one", {"data": {"a": "by hand", "c": "by hand"}})
        place.cluster.apply([configuration(place, data={"a": "1", "b": "2"})])
        expected = {"a": "1", "b": "2", "c": "by hand"}
        assert there(place.cluster.get("configmap/one"))["data"] == expected

    def test_what_somebody_else_has_changed_is_theirs_once_it_is_not_named(self, place: Place) -> None:
        place.cluster.apply([configuration(place, data={"a": "1", "b": "2"})])
        place.by_hand("configmap/one", {"data": {"b": "by hand"}})
        place.cluster.apply([configuration(place, data={"a": "1"})])
        assert there(place.cluster.get("configmap/one"))["data"] == {"a": "1", "b": "by hand"}

    def test_what_was_created_is_not_taken_away_by_an_apply(self, place: Place) -> None:
        place.cluster.create(configuration(place, data={"a": "1", "b": "2"}))
        place.cluster.apply([configuration(place, data={"a": "3"})])
        assert there(place.cluster.get("configmap/one"))["data"] == {"a": "3", "b": "2"}

    def test_variables_of_a_container_are_merged_by_name(self, place: Place) -> None:
        place.cluster.apply([with_variables(place, A="1", B="2")])
        change_variables(place, A="1", B="2", C="3")
        place.cluster.apply([with_variables(place, A="4")])
        assert variables(there(place.cluster.get("deployment/deployment"))) == {"A": "4", "C": "3"}

    def test_every_field_has_the_managers_that_wrote_it(self, place: Place) -> None:
        place.cluster.apply([configuration(place, data={"a": "1", "b": "2"})])
        place.by_hand("configmap/one", {"data": {"b": "by hand", "c": "by hand"}})
        place.cluster.patch("configmap/one", {"metadata": {"annotations": {"note": "x"}}})
        (found,) = managed.live(place.cluster, [configuration(place)])
        managers = {
            (entry["manager"], entry["operation"], entry["apiVersion"]): entry["fieldsV1"]
            for entry in found["metadata"]["managedFields"]
        }
        note = managers.pop(("delivery", "Update", "v1"))
        assert note["f:metadata"]["f:annotations"]["f:note"] == {}
        assert managers == {
            ("delivery", "Apply", "v1"): {"f:data": {"f:a": {}}},
            ("hand", "Update", "v1"): {"f:data": {"f:b": {}, "f:c": {}}},
        }

    def test_the_managers_of_an_item_are_those_of_its_fields(self, place: Place) -> None:
        place.cluster.apply([with_variables(place, A="1")])
        change_variables(place, A="2", B="3")
        (found,) = place.cluster.list("Deployment", managers=True)
        (by_hand,) = (entry for entry in found["metadata"]["managedFields"] if entry["manager"] == "hand")
        containers = by_hand["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
        assert containers['k:{"name":"main"}']["f:env"] == {
            'k:{"name":"A"}': {"f:value": {}},
            'k:{"name":"B"}': {".": {}, "f:name": {}, "f:value": {}},
        }
        env = "spec.template.spec.containers[main].env"
        assert list(managed.edits(found)) == [f"{env}[A].value, by hand", f"{env}[B], by hand"]

    def test_what_is_taken_over_goes_with_the_next_apply_and_is_in_the_difference_before(self, place: Place) -> None:
        wanted = with_variables(place, A="1")
        place.cluster.apply([wanted])
        change_variables(place, A="1", B="2")
        place.by_hand("deployment/deployment", {"spec": {"minReadySeconds": 7}, "metadata": {"annotations": NOTES}})
        before = there(place.cluster.get("deployment/deployment"))
        assert place.cluster.difference([wanted]) == ""
        managed.own(place.cluster, managed.live(place.cluster, [wanted]))
        owned = there(place.cluster.get("deployment/deployment"))
        assert (owned["spec"], owned["metadata"]["generation"]) == (before["spec"], before["metadata"]["generation"])
        text = place.cluster.difference([wanted])
        assert {"-  minReadySeconds: 7", "-    note: x"} <= {line.rstrip() for line in text.splitlines()}
        place.cluster.apply([wanted])
        (after,) = place.cluster.list("Deployment", managers=True)
        assert "minReadySeconds" not in after["spec"]
        assert variables(after) == {"A": "1"}
        assert RESTARTED in after["metadata"]["annotations"]
        assert "note" not in after["metadata"]["annotations"]
        assert list(managed.edits(after)) == []

    def test_what_a_client_side_apply_has_written_goes_with_an_apply(self, place: Place) -> None:
        client = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}
        place.cluster.create(configuration(place, data={"a": "1", "b": "2"}, metadata=client))
        place.cluster.apply([configuration(place)])
        found = there(place.cluster.get("configmap/one"))
        assert (found["data"], found["metadata"].get("annotations", {})) == ({"a": "1"}, {})

    def test_what_was_there_before_the_first_apply_is_somebody_s(self, place: Place) -> None:
        place.cluster.apply([configuration(place)])
        place.cluster.patch("configmap/one", {"metadata": {"managedFields": [{}]}})
        place.by_hand("configmap/one", {"data": {"b": "by hand"}})
        (found,) = managed.live(place.cluster, [configuration(place)])
        assert not found["metadata"].get("managedFields")
        place.cluster.apply([configuration(place)])
        (found,) = managed.live(place.cluster, [configuration(place)])
        assert list(managed.edits(found)) == ["data.b, by before-first-apply"]
        managed.own(place.cluster, [found])
        place.cluster.apply([configuration(place)])
        assert there(place.cluster.get("configmap/one"))["data"] == {"a": "1"}

    def test_a_new_ingress_has_the_class_of_the_cluster_and_an_apply_leaves_it(self, place: Place) -> None:
        given = place.cluster.rehearse(ingress(place))["spec"].get("ingressClassName")
        assert place.cluster.get("ingress/one") is None
        for _ in range(2):
            place.cluster.apply([ingress(place)])
            assert there(place.cluster.get("ingress/one"))["spec"].get("ingressClassName") == given

    def test_an_apply_goes_on_after_an_object_that_is_refused(self, place: Place) -> None:
        place.cluster.create(configuration(place, "fixed", immutable=True))
        bad = configuration(place, "fixed", data={"a": "2"})
        with pytest.raises(RefusedError):
            place.cluster.apply([configuration(place, "x"), bad, configuration(place, "y")])
        assert place.cluster.get("configmap/x")
        assert place.cluster.get("configmap/y")

    def test_a_difference_says_what_an_apply_would_do_and_does_not(self, place: Place) -> None:
        place.cluster.apply([configuration(place)])
        assert place.cluster.difference([configuration(place)]) == ""
        text = place.cluster.difference([configuration(place, data={"a": "2"})])
        lines = text.replace("'", '"').splitlines()
        assert '-  a: "1"' in lines
        assert '+  a: "2"' in lines
        assert "+kind: ConfigMap" in place.cluster.difference([configuration(place, "new")])
        assert there(place.cluster.get("configmap/one"))["data"] == {"a": "1"}
        assert place.cluster.get("configmap/new") is None

    def test_a_preview_is_what_an_apply_would_leave_and_leaves_nothing(self, place: Place) -> None:
        cluster, body = place.cluster, workload(place, "StatefulSet", serviceName="none", replicas=0)
        assert cluster.preview(body)["spec"]["replicas"] == 0
        assert cluster.get("statefulset/statefulset") is None
        cluster.apply([body])
        before = there(cluster.get("statefulset/statefulset"))
        assert cluster.preview(body)["spec"] == before["spec"]
        body["spec"]["template"]["spec"]["containers"][0]["name"] = "another"
        after = cluster.preview(body)["spec"]
        assert after["template"]["spec"]["containers"][0]["name"] == "another"
        assert there(cluster.get("statefulset/statefulset"))["spec"] == before["spec"]
        cluster.apply([body])
        assert there(cluster.get("statefulset/statefulset"))["spec"] == after

    def test_a_difference_does_not_show_the_values_of_a_secret(self, place: Place) -> None:
        def secret(value: str) -> Manifest:
            return configuration(place, kind="Secret", data={"key": value})

        place.cluster.apply([secret("b2xk")])
        text = place.cluster.difference([secret("bmV3")])
        assert "key: '*** (after)'" in text
        assert "b2xk" not in text
        assert "bmV3" not in text

    def test_a_generation_counts_changes_of_the_specification_alone(self, place: Place) -> None:
        place.cluster.apply([workload(place, replicas=0)])
        place.cluster.patch("deployment/deployment", {"metadata": {"labels": {"a": "b"}}})
        assert there(place.cluster.get("deployment/deployment"))["metadata"]["generation"] == 1
        place.cluster.patch("deployment/deployment", {"spec": {"minReadySeconds": 1}})
        assert there(place.cluster.get("deployment/deployment"))["metadata"]["generation"] == 2

    def test_deleting_what_is_not_there_is_no_error(self, place: Place) -> None:
        place.cluster.create(configuration(place))
        place.cluster.delete("configmap/none", "configmap/one", "deployment/none")
        assert place.cluster.get("configmap/one") is None
        place.cluster.delete()

    def test_what_is_kept_from_going_is_named_with_what_keeps_it(self, place: Place) -> None:
        place.cluster.create(configuration(place, metadata={"finalizers": ["example.com/keep"]}))
        words = r"configmap/one is being deleted and waits for .*example\.com/keep"
        with pytest.raises(UnavailableError, match=words):
            place.cluster.patient(0, timeout=5).delete("configmap/none", "configmap/one")
        place.cluster.patch("configmap/one", {"metadata": {"finalizers": None}})
        until(place.cluster, lambda: place.cluster.get("configmap/one") is None)

    def test_a_deployment_brings_pods_and_they_are_gone_when_it_is(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([workload(place)])
        until(cluster, lambda: available(cluster, "deployment/deployment"))
        (owner,) = cluster.list("ReplicaSet", selector="app=deployment")
        body = there(cluster.get("deployment/deployment"))
        revision = "deployment.kubernetes.io/revision"
        assert body["metadata"]["annotations"][revision] == "1"
        assert owner["metadata"]["annotations"][revision] == "1"
        assert owner["metadata"]["ownerReferences"][0]["uid"] == body["metadata"]["uid"]
        (own,) = cluster.list("Pod", selector="app=deployment")
        assert own["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
        labels = own["metadata"]["labels"]
        assert labels["pod-template-hash"] == owner["metadata"]["labels"]["pod-template-hash"]
        (status,) = own["status"]["containerStatuses"]
        assert (status["ready"], status["started"], status["restartCount"]) == (True, True, 0)
        assert (own["status"]["phase"], "running" in status["state"]) == ("Running", True)
        cluster.delete("deployment/deployment")
        assert cluster.list("Deployment", "ReplicaSet", "Pod", selector="app=deployment") == []

    @pytest.mark.slow
    def test_an_image_that_cannot_be_had_leaves_the_pods_before(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([workload(place)])
        until(cluster, lambda: available(cluster, "deployment/deployment"))
        bad = workload(place)
        bad["spec"]["template"]["spec"]["containers"][0]["image"] = "127.0.0.1:1/none:1"
        cluster.apply([bad])

        def reasons() -> set[str]:
            statuses = [
                status for body in cluster.list("Pod") for status in body["status"].get("containerStatuses", [])
            ]
            return {status["state"].get("waiting", {}).get("reason") for status in statuses}

        until(cluster, lambda: "ImagePullBackOff" in reasons())
        status = there(cluster.get("deployment/deployment"))["status"]
        counts = [status[field] for field in ("replicas", "updatedReplicas", "availableReplicas")]
        assert counts == [2, 1, 1]
        cluster.apply([workload(place)])
        until(cluster, lambda: available(cluster, "deployment/deployment"))
        body = there(cluster.get("deployment/deployment"))
        assert body["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"

    @pytest.mark.parametrize(("name", "ill"), ILL.items(), ids=ILL)
    def test_a_pod_shows_what_is_wrong(self, place: Place, name: str, ill: tuple[Manifest, Manifest, State]) -> None:
        cluster, (container, more, expected) = place.cluster, ill
        body = workload(place)
        spec = body["spec"]["template"]["spec"]
        spec["containers"][0] |= {"name": name, **container}
        spec |= more
        cluster.apply([body])
        until(cluster, lambda: expected in map(state, cluster.list("Pod")))
        # A container that ends at once may have been available for a moment.
        until(cluster, lambda: not available(cluster, "deployment/deployment"))

    def test_warnings_say_why_a_job_has_not_begun(self, place: Place) -> None:
        cluster = place.cluster
        body = job(place, "true", nodeSelector={"no": "node"})
        body["spec"]["template"]["spec"]["containers"][0]["name"] = "crowded"
        cluster.apply([body])
        until(cluster, lambda: "FailedScheduling" in warnings(cluster, "Pod"))
        assert "conditions" not in there(cluster.get("job/job"))["status"]

    def test_a_quota_keeps_the_pods_of_a_job_from_being_made(self, place: Place) -> None:
        cluster = place.cluster
        quota = configuration(place, kind="ResourceQuota", spec={"hard": {"pods": "0"}})
        del quota["data"]
        cluster.create(quota)
        body = job(place, "true")
        body["spec"]["template"]["spec"]["containers"][0]["name"] = "limited"
        cluster.apply([body])
        until(cluster, lambda: "FailedCreate" in warnings(cluster, "Job"))
        assert cluster.list("Pod", selector="job-name=job") == []

    @pytest.mark.parametrize("kind", ["DaemonSet", "Deployment", "StatefulSet"])
    def test_a_quota_keeps_the_pods_of_a_workload_from_being_made_until_it_is_raised(
        self, place: Place, kind: str
    ) -> None:
        cluster = place.cluster
        quota = configuration(place, kind="ResourceQuota", spec={"hard": {"pods": "0"}})
        del quota["data"]
        cluster.create(quota)
        body = workload(place, kind)
        if kind == "DaemonSet":
            del body["spec"]["replicas"]
        cluster.apply([body])

        def refusals() -> list[str]:
            items = cluster.list(kind, "ReplicaSet")
            found = [rollout.refusals(item, items, cluster.list("Event")) for item in items[:1]]
            return [trouble.words for troubles in found for trouble in troubles]

        until(cluster, lambda: refusals() != [])
        assert refusals()[0].startswith(f"{kind.lower()}/{kind.lower()}: its pods are refused: ")
        assert "is forbidden: exceeded quota: one" in refusals()[0]
        assert cluster.list("Pod", selector=f"app={kind.lower()}") == []
        cluster.patch("resourcequota/one", {"spec": {"hard": {"pods": "5"}}})
        until(cluster, lambda: rollout.complete(there(cluster.get(f"{kind}/{kind.lower()}"))))
        assert refusals() == []

    def test_a_stateful_set_names_its_pods_and_their_revision(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([workload(place, "StatefulSet", serviceName="none")])
        until(cluster, lambda: available(cluster, "statefulset/statefulset"))
        body = there(cluster.get("statefulset/statefulset"))
        labels = there(cluster.get("pod/statefulset-0"))["metadata"]["labels"]
        assert labels["controller-revision-hash"] == body["status"]["updateRevision"]
        cluster.delete("statefulset/statefulset")
        assert cluster.get("pod/statefulset-0") is None

    def test_a_stateful_set_waits_for_a_pod_that_no_node_takes_until_it_is_scaled_away(self, place: Place) -> None:
        cluster, name = place.cluster, "statefulset/statefulset"
        good = workload(place, "StatefulSet", serviceName="none")
        crowded = copy.deepcopy(good)
        spec = crowded["spec"]["template"]["spec"]
        spec["containers"][0]["name"], spec["nodeSelector"] = "crowded", {"no": "node"}

        def replacement() -> Manifest:
            found = cluster.get("pod/statefulset-0") or {"metadata": {"deletionTimestamp": ""}}
            return {} if "deletionTimestamp" in found["metadata"] else found

        cluster.apply([good])
        until(cluster, lambda: available(cluster, name))
        first = replacement()
        assert first["spec"]["nodeName"]
        cluster.apply([crowded])
        until(cluster, lambda: bool(unscheduled(replacement())))
        assert "nodeName" not in replacement()["spec"]
        cluster.apply([good])
        cluster.pause(5)
        assert unscheduled(replacement())
        cluster.apply([{**good, "spec": {**good["spec"], "replicas": 0}}])
        until(cluster, lambda: cluster.get("pod/statefulset-0") is None)
        cluster.apply([good])
        until(cluster, lambda: available(cluster, name))
        assert replacement()["metadata"]["uid"] != first["metadata"]["uid"]

    @pytest.mark.parametrize(("kind", "hold"), HOLDS)
    def test_a_workload_that_is_held_keeps_its_pods_until_that_is_taken_back(
        self, place: Place, kind: str, hold: Manifest
    ) -> None:
        cluster, name, body = place.cluster, f"{kind.lower()}/{kind.lower()}", workload(place, kind)
        if kind == "DaemonSet":
            del body["spec"]["replicas"]
        cluster.apply([body])
        until(cluster, lambda: rollout.complete(there(cluster.get(name))))
        pods = [pod["metadata"]["uid"] for pod in cluster.list("Pod", selector=f"app={kind.lower()}")]
        place.by_hand(name, {"spec": hold})
        body["spec"]["template"]["spec"]["containers"][0]["command"][2] = "echo again; exec sleep 600"
        cluster.apply([body])
        until(cluster, lambda: rollout.observed(there(cluster.get(name))))
        cluster.pause(3)
        left = [pod["metadata"]["uid"] for pod in cluster.list("Pod", selector=f"app={kind.lower()}")]
        assert (left, rollout.complete(there(cluster.get(name)))) == (pods, False)
        managed.own(cluster, managed.live(cluster, [body]))
        cluster.apply([body])
        until(cluster, lambda: rollout.complete(there(cluster.get(name))))

    def test_a_daemon_set_shows_which_pods_are_of_its_newest_template(self, place: Place) -> None:
        cluster, body = place.cluster, workload(place, "DaemonSet")
        del body["spec"]["replicas"]
        for words in ("first", "second"):
            body["spec"]["template"]["spec"]["containers"][0]["command"][2] = f"echo {words}; exec sleep 600"
            cluster.apply([body])
            until(cluster, lambda: rollout.complete(there(cluster.get("daemonset/daemonset"))))
            newest = there(cluster.get("daemonset/daemonset"))
            (own,) = rollout.newest_pods(newest, cluster.list("Pod"))
            assert words in own["spec"]["containers"][0]["command"][2]
        newest["metadata"]["annotations"][rollout.TEMPLATE] = "1"
        assert rollout.newest_pods(newest, [own]) == []

    def test_a_job_runs_its_steps_in_turn_and_ends(self, place: Place) -> None:
        cluster = place.cluster
        first = {**pod(place, "echo first")["containers"][0], "name": "first"}
        cluster.apply([job(place, "echo last", initContainers=[first])])
        until(cluster, lambda: "Complete" in ended(cluster, "job/job"))
        assert there(cluster.get("job/job"))["status"]["succeeded"] == 1
        (own,) = cluster.list("Pod", selector="batch.kubernetes.io/job-name=job")
        name = own["metadata"]["name"]
        assert own["status"]["phase"] == "Succeeded"
        assert cluster.logs(f"pod/{name}", "main") == "last\n"
        assert cluster.logs("job/job", "first") == "first\n"
        # In no order, as kubectl asks for the containers in none.
        lines = cluster.logs(name).splitlines()
        assert sorted(lines) == [f"[pod/{name}/first] first", f"[pod/{name}/main] last"]
        cluster.delete("job/job")
        assert cluster.list("Pod", selector="batch.kubernetes.io/job-name=job") == []

    def test_a_job_whose_step_fails_has_failed(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([job(place, "echo words; exit 3")])
        until(cluster, lambda: "Failed" in ended(cluster, "job/job"))
        (own,) = cluster.list("Pod", selector="batch.kubernetes.io/job-name=job")
        (status,) = own["status"]["containerStatuses"]
        assert own["status"]["phase"] == "Failed"
        assert status["state"]["terminated"]["exitCode"] == 3
        assert status["state"]["terminated"]["reason"] == "Error"
        assert cluster.logs(own["metadata"]["name"], tail=1).endswith("words\n")
        conditions = there(cluster.get("job/job"))["status"]["conditions"]
        assert conditions[-1]["reason"] == "BackoffLimitExceeded"

    def test_the_last_words_of_what_crashed_stay_while_it_runs_again(self, place: Place) -> None:
        cluster = place.cluster
        body = workload(place)
        step = {**pod(place, "echo words; exit 3")["containers"][0], "name": "first"}
        step["terminationMessagePolicy"] = "FallbackToLogsOnError"
        body["spec"]["template"]["spec"]["initContainers"] = [step]
        cluster.apply([body])

        def words() -> list[str]:
            return [line for own in cluster.list("Pod") for line in rollout.last_words(own)]

        until(cluster, lambda: words() != [])
        assert words()[0].endswith("/first ended with code 3: words")

    def test_a_command_answers_or_fails_with_its_last_words(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([workload(place)])
        until(cluster, lambda: available(cluster, "deployment/deployment"))
        (own,) = cluster.list("Pod", selector="app=deployment")
        name = own["metadata"]["name"]
        assert cluster.exec(name, "main", "echo", "word") == "word\n"
        assert cluster.exec(f"pod/{name}", "main", "echo", "word") == "word\n"
        assert cluster.exec("deployment/deployment", "main", "echo", "word") == "word\n"
        with pytest.raises(DeliveryError, match="some words"):
            cluster.exec(name, "main", "sh", "-c", "echo some words >&2; exit 3")
        with pytest.raises(DeliveryError, match="none"):
            cluster.exec(name, "none", "echo")
        assert cluster.logs(name) == f"[pod/{name}/main] begun\n"
        assert cluster.logs(name, "main", tail=0) == ""

    def test_a_pod_that_is_not_there_is_missing(self, place: Place) -> None:
        with pytest.raises(MissingError):
            place.cluster.exec("none", "main", "true")
        with pytest.raises(MissingError):
            place.cluster.logs("none")

    @pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
    def test_whoever_lacks_the_right_is_refused(self, place: Place, question: Question) -> None:
        place.cluster.create(configuration(place))
        before = place.cluster.get("configmap/one")
        with place.nobody() as nobody, pytest.raises(RefusedError):
            question(nobody)
        assert place.cluster.get("configmap/one") == before

    @pytest.mark.parametrize("name", [*CHANGES, "exec"])
    def test_a_change_that_a_check_forbids_is_not_made(self, place: Place, name: str) -> None:
        def forbid() -> None:
            raise RefusedError("not now")

        place.cluster.create(configuration(place))
        guarded = place.cluster.guarded(forbid)
        before = guarded.get("configmap/one")
        question = CHANGES[name][0] if name in CHANGES else QUESTIONS[name]
        with pytest.raises(RefusedError, match="not now"):
            question(guarded.patient(5).within(guarded.namespace))
        assert place.cluster.get("configmap/one") == before
        assert place.cluster.get("configmap/new") is None

    def test_what_takes_too_long_is_given_up_and_may_be_done(self, place: Place) -> None:
        hasty = place.cluster.patient(0, timeout=2)
        with place.slow(), pytest.raises(UnavailableError):
            hasty.create(configuration(place))
        with place.slow(), pytest.raises(UnavailableError):
            hasty.get("configmap/one")

    def test_an_api_server_that_is_away_is_asked_again(self, place: Place) -> None:
        began = place.cluster.now()
        place.away(5)
        place.cluster.create(configuration(place))
        assert place.cluster.now() >= began + 5
        assert place.cluster.get("configmap/one")

    def test_patience_ends(self, place: Place) -> None:
        place.away(8)
        with pytest.raises(UnavailableError):
            place.cluster.patient(2).get("configmap/one")

    @pytest.mark.parametrize(
        ("change", "twice", "left"),
        # On a real line each takes a quarter of a minute.
        [pytest.param(*CHANGES[name], marks=[pytest.mark.slow] * (name != "replace"), id=name) for name in CHANGES],
    )
    def test_a_line_that_breaks_costs_nothing(
        self, place: Place, change: Question, twice: bool, left: list[str]
    ) -> None:
        """What was done already is done again, so that `create` and `replace` meet themselves."""
        met = False
        for broken in place.breaks():
            place.cluster.delete("configmap/one", "configmap/new")
            place.cluster.create(configuration(place))
            with broken:
                try:
                    change(place.cluster)
                except ConflictError:
                    met = True
            names = ("configmap/new", "configmap/one")
            found = [body for body in map(place.cluster.get, names) if body]
            assert [body["data"]["a"] for body in found] == left
        assert met == twice

    def test_the_clock_goes_forward(self, place: Place) -> None:
        before = place.cluster.now()
        place.cluster.pause(0.2)
        assert before + 0.2 <= place.cluster.now()

    def test_an_action_is_repeated_beside_the_body_until_it_says_no(self, place: Place) -> None:
        calls: list[float] = []

        def action() -> bool:
            calls.append(place.cluster.now())
            return len(calls) < 3

        with place.cluster.every(0.1, action):
            assert calls == []
            place.cluster.pause(1)
        assert len(calls) == 3

    def test_an_action_ends_with_the_body(self, place: Place) -> None:
        calls: list[float] = []

        def action() -> bool:
            calls.append(place.cluster.now())
            return True

        with place.cluster.every(0.1, action):
            place.cluster.pause(0.35)
        count = len(calls)
        place.cluster.pause(0.3)
        assert len(calls) == count > 0
