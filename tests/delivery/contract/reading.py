"""What every Cluster answers about objects."""

from __future__ import annotations

import pytest

from delivery import managed
from delivery.cluster import Manifest
from delivery.shell import DeliveryError
from tests.delivery.contract.place import (
    Place,
    change_variables,
    configuration,
    there,
    with_variables,
    workload,
)


class Reading:
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
