"""A pull request's comment: what changes, what is new, and nothing that its author could make it say or do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from policy_tests.diff import changes, fenced, markdown, new_findings, unseen
from policy_tests.environment import read_list
from policy_tests.manifests import Body, Manifest, ManifestSet
from policy_tests.waivers import Waiver

SERVICE: Body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"clusterIP": "None"}}


def sets(**bodies: Body) -> Mapping[str, ManifestSet]:
    """The environments, with one object each: SERVICE unless another is given."""
    return {
        name: ManifestSet(name, (Manifest(bodies.get(name, SERVICE)),), environment)
        for name, environment in read_list().items()
    }


def service(**spec: object) -> Body:
    return {**SERVICE, "spec": spec}


def change(before: Body, after: Body) -> tuple[str, ...]:
    return changes(ManifestSet("prod", (Manifest(before),)), ManifestSet("prod", (Manifest(after),)))


def test_a_field_is_shown_before_and_after() -> None:
    assert change(service(type="ClusterIP"), service(type="NodePort")) == (
        "  Service/web",
        '-   spec.type = "ClusterIP"',
        '+   spec.type = "NodePort"',
    )


def test_an_object_that_comes_or_goes_is_shown() -> None:
    assert change(SERVICE, {**SERVICE, "kind": "ConfigMap"}) == ("+ ConfigMap/web", "- Service/web")


def test_the_hash_of_a_generated_name_is_no_change() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app-5m2854cmff"}}
    assert change(config, {**config, "metadata": {"name": "app-7864d7k6fb"}}) == ()


def test_a_field_that_the_server_keeps_is_marked() -> None:
    marked = '+   spec.clusterIP = "10.0.0.9" (the API server refuses to change this)'
    assert marked in change(SERVICE, service(clusterIP="10.0.0.9"))


def test_a_password_is_not_shown() -> None:
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "app"},
        "data": {"DB_PASSWORD": "swordfish"},
    }
    assert "+   data.DB_PASSWORD = (not shown)" in change({**config, "data": {}}, config)


def test_what_only_production_gets_is_named() -> None:
    only_there, everywhere = service(type="NodePort"), dict.fromkeys(read_list(), service(type="NodePort"))
    assert unseen(sets(), sets(prod=only_there), "homolog", "prod").startswith(
        "This change makes these differences:\n\n```diff\n"
    )
    assert unseen(sets(), sets(**everywhere), "homolog", "prod").startswith("No new difference.")


def test_only_new_findings_are_listed() -> None:
    before, after = (ManifestSet("x", (Manifest(service(type=type)),)) for type in ("ClusterIP", "NodePort"))
    opened = 'high network-no-outside-services: Service/web spec.type = "NodePort": opens the Service to the outside'
    assert new_findings(before, after, ()) == (opened,)


def test_environments_that_change_alike_share_a_block() -> None:
    text = markdown(sets(), sets(prod=service(type="NodePort"), dev=service(type="NodePort")), ())
    assert "<summary>dev, prod: 3 lines</summary>" in text


def test_waivers_in_force_are_listed_and_expired_ones_are_not() -> None:
    waivers = [Waiver("a-rule", "*/Service/web", "reason", date(year, 1, 31)) for year in (2020, 2999)]
    text = markdown(sets(), sets(), waivers)
    assert "2999-01-31 a-rule */Service/web: reason" in text
    assert "2020-01-31" not in text


def test_text_stays_inside_its_block_and_on_its_line() -> None:
    block = fenced(["a ``` b", "@everyone", "# one\n# two\u202e", "<img src=x>"])
    assert block == "````\na ``` b\n@everyone\n# one\\u000a# two\\u202e\n<img src=x>\n````"


def test_the_comment_is_short_enough_for_github() -> None:
    long = {name: service(**{f"{name}{number}": "`" * 300 for number in range(30)}) for name in read_list()}
    text = markdown(sets(), sets(**long), ())
    assert len(text) < 65536
    assert "more lines" in text
