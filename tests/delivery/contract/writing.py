"""What every Cluster does to objects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from delivery import managed
from delivery.cluster import Cluster, ConflictError, Manifest, MissingError, RefusedError, UnavailableError
from tests.delivery.contract.place import (
    Place,
    change_variables,
    configuration,
    job,
    there,
    until,
    variables,
    with_variables,
    workload,
)


def another(place: Place) -> Manifest:
    """The Deployment of other pods."""
    body = workload(place, replicas=0)
    body["spec"]["selector"]["matchLabels"] = body["spec"]["template"]["metadata"]["labels"] = {"app": "another"}
    return body


def ingress(place: Place) -> Manifest:
    """One that names no class."""
    backend = {"service": {"name": "none", "port": {"number": 80}}}
    body = configuration(place, apiVersion="networking.k8s.io/v1", kind="Ingress", spec={"defaultBackend": backend})
    del body["data"]
    return body


RESTARTED = "kubectl.kubernetes.io/restartedAt"


NOTES = {"note": "x", RESTARTED: "now"}


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


# Each by one character, or by one byte of those that a ConfigMap holds.
LONG: dict[str, Callable[[Place], Manifest]] = {
    "a name": lambda place: configuration(place, "a" * 254),
    "a label": lambda place: configuration(place, metadata={"labels": {"a": "b" * 64}}),
    "annotations": lambda place: configuration(place, metadata={"annotations": {"a": "b" * (256 << 10)}}),
    "a content": lambda place: configuration(place, data={"a": "b" * ((1 << 20) + 1)}),
}


def _kept(cluster: Cluster, body: Manifest) -> bool:
    """Whether something keeps an object from being made."""
    with suppress(UnavailableError):
        cluster.rehearse(body)
        return False
    return True


class Writing:
    """To be run by a class with a fixture `place`."""

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

    def test_who_scales_leaves_the_name_of_a_subresource(self, place: Place) -> None:
        wanted = workload(place, replicas=0)
        place.cluster.apply([wanted])
        place.scale("deployment/deployment", 1)
        (found,) = managed.live(place.cluster, [wanted])
        owners = [
            (entry["manager"], entry.get("subresource"))
            for entry in found["metadata"]["managedFields"]
            if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
        ]
        assert (found["spec"]["replicas"], owners) == (1, [("kubectl", "scale")])
        assert (list(managed.edits(found)), managed.autoscaled(found)) == ([], False)
        place.cluster.apply([wanted])
        assert there(place.cluster.get("deployment/deployment"))["spec"]["replicas"] == 0

    def test_a_webhook_that_does_not_answer_is_named_with_what_it_keeps(self, place: Place) -> None:
        cluster = place.cluster.patient(0)
        objects = [service(place), configuration(place, "x"), configuration(place, "y")]
        with place.silent():
            # What it is asked about takes it a moment to learn.
            until(cluster, lambda: _kept(cluster, configuration(place, "z")))
            for method in (cluster.apply, cluster.difference):
                with pytest.raises(UnavailableError) as error:
                    method(objects)
                *_, line = str(error.value).splitlines()
                assert line.startswith("webhook silent.example.com does not let configmap/x, configmap/y through; ")
        until(cluster, lambda: not _kept(cluster, configuration(place, "z")))
        cluster.apply(objects)
        assert cluster.get("service/one")

    @pytest.mark.parametrize("method", ["create", "apply", "preview"])
    @pytest.mark.parametrize("long", LONG, ids=LONG)
    def test_what_is_too_long_is_refused_at_once(self, place: Place, long: str, method: str) -> None:
        body = LONG[long](place)
        with pytest.raises(RefusedError, match=f'The {body["kind"]} "{body["metadata"]["name"]}" is invalid: '):
            getattr(place.cluster, method)(body if method in ("create", "preview") else [body])

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
