"""A render is read as it will be applied, or refused."""

from __future__ import annotations

import pytest

from delivery.render import Render, component
from delivery.shell import DeliveryError
from tests.delivery import small
from tests.delivery.small import HOST, body


def names(render: Render) -> list[str]:
    return [each["metadata"]["name"] for each in render.objects]


def test_what_is_not_yaml_is_refused_with_the_place() -> None:
    with pytest.raises(DeliveryError, match=r"the render is not YAML: (?s:.*)line 2"):
        _ = Render("kind: Service\n\tname: web\n").objects


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "[]",
        "0",
        "metadata: {name: web}",
        "{kind: 1, metadata: {name: web}}",
        "{kind: Service, metadata: {}}",
        "{kind: Service, metadata: {name: 1}}",
    ],
)
def test_what_is_no_object_of_kubernetes_is_refused(text: str) -> None:
    good = "kind: Service\nmetadata: {name: web}\n---\n"
    with pytest.raises(DeliveryError, match="the render has what is not a Kubernetes object: "):
        _ = Render(good + text).objects


def test_an_object_that_is_there_twice_is_refused_and_named() -> None:
    object_ = "kind: Service\nmetadata: {name: web}\n---\n"
    with pytest.raises(DeliveryError, match="the render has service/web 2 times"):
        _ = Render(object_ + object_).objects


def test_a_refusal_shows_no_more_than_the_beginning() -> None:
    with pytest.raises(DeliveryError) as error:
        _ = Render("x" * 1000).objects
    assert str(error.value).count("x") < 60


def test_empty_documents_are_left_out_and_the_order_stays() -> None:
    text = "---\n---\nkind: B\nmetadata: {name: b}\n---\nkind: A\nmetadata: {name: a}\n---\n"
    assert names(Render(text)) == ["b", "a"]
    assert Render("").objects == ()


def test_objects_survive_the_way_through_text() -> None:
    render = small.render("1")
    assert Render.of(render.objects) == render
    assert Render(render.text).objects == render.objects


def test_kinds_are_looked_up_together_in_the_order_of_the_render() -> None:
    found = small.render("1").kind("Deployment", "StatefulSet")
    assert [each["metadata"]["name"] for each in found] == ["mysql", "web", "worker"]


def test_an_object_is_found_by_kind_and_name() -> None:
    render = small.render("1")
    assert (render.find("CronJob", "backup") or {})["kind"] == "CronJob"
    assert render.find("Service", "backup") is None


def test_the_web_is_known_by_its_label_whatever_its_name() -> None:
    labels = {"app.kubernetes.io/component": "web"}
    web = {"kind": "Deployment", "metadata": {"name": "school-scheduler", "labels": labels}}
    other = {"kind": "Deployment", "metadata": {"name": "web"}}
    assert Render.of([other, web]).web == web
    assert component(other) is None


def test_an_environment_has_exactly_one_web() -> None:
    second = body("apps/v1", "Deployment", "web-2", "web")
    for render, count in ((Render(""), 0), (small.render("1", "0001", second), 2)):
        reason = f"the render has {count} of kind Deployment where an environment has exactly one"
        with pytest.raises(DeliveryError, match=reason):
            _ = render.web


def test_an_environment_has_exactly_one_ingress() -> None:
    assert small.render("1").ingress["metadata"]["name"] == "web"
    with pytest.raises(DeliveryError, match="0 of kind Ingress"):
        _ = Render("").ingress


def test_the_schema_and_the_image_are_those_of_the_web() -> None:
    render = small.render("2", "0007")
    assert (render.schema, render.image.partition("@")[0]) == (
        "0007",
        "registry.example/school-scheduler:2",
    )


def test_a_release_from_before_schemas_were_named_has_none() -> None:
    web = {**small.render("1").web, "metadata": {"name": "web", "labels": {**small.PART_OF}}}
    web["metadata"]["labels"]["app.kubernetes.io/component"] = "web"
    assert Render.of([web]).schema is None


def test_the_hosts_of_tls_are_those_of_every_ingress() -> None:
    spec = {"tls": [{"hosts": ["b.example", "a.example"]}, {"hosts": ["c.example"]}]}
    more = body("networking.k8s.io/v1", "Ingress", "more", "web", spec=spec)
    render = small.render("1", "0001", more)
    assert render.tls_hosts == [HOST, "b.example", "a.example", "c.example"]
    assert small.render("1", hosts=False).tls_hosts == []


def test_a_database_outside_the_cluster_is_none_of_the_render() -> None:
    render = small.render("1")
    outside = [each for each in render.objects if each["kind"] != "StatefulSet"]
    assert render.has_database
    assert not Render.of(outside).has_database
    assert not Render.of([*outside, small.workload("StatefulSet", "store", "store")]).has_database
