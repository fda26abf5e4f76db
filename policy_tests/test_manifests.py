"""Reading: what is not a set of manifests is refused in one line that names the place and the remedy."""

from __future__ import annotations

import pytest

from policy_tests.manifests import ManifestError, matches, read_manifests
from policy_tests.quantity import quantity

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml: nothing to check"),
        ("---\n---\n# only a comment\n", "x.yaml: nothing to check"),
        ("apiVersion: v1\nkind: List\nitems: []\n", "x.yaml: nothing to check"),
        ("a: [1\nb: 2\n", "x.yaml:2: not valid YAML"),
        (CONFIG + "data: {a: one, b: two, a: three}\n", "x.yaml:4: not valid YAML: the key 'a' is given twice"),
        ("kind: {{ .Values.kind }}\n{{- end }}", "render it first, as this looks like a template"),
        ("just text", "x.yaml: object 1 is no Kubernetes object"),
        (CONFIG + "---\nkind: Service\n", "x.yaml: object 2 is no Kubernetes object"),
        ("apiVersion: v1\nkind: Service\n", r"x.yaml: object 1 \(Service\) has no name"),
    ],
)
def test_unusable_input_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifests(text, "x.yaml")


def test_a_list_is_taken_apart() -> None:
    listed = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n"
    assert [str(manifest) for manifest in read_manifests(listed + "---\n" + CONFIG, "x")] == ["ConfigMap/a"] * 2


def test_a_date_stays_text() -> None:
    (manifest,) = read_manifests(CONFIG + "data: {day: 2026-02-03}\n", "x")
    assert manifest.body["data"] == {"day": "2026-02-03"}


def test_a_key_may_be_overridden_through_a_merge() -> None:
    merged = CONFIG + "data:\n  base: &base {a: one}\n  own: {<<: *base, a: two}\n"
    (manifest,) = read_manifests(merged, "x")
    assert manifest.body["data"]["own"] == {"a": "two"}


@pytest.mark.parametrize(
    ("operator", "values", "selected"),
    [("In", ["a"], True), ("NotIn", ["a"], False), ("Exists", None, True), ("DoesNotExist", None, False)],
)
def test_match_expressions(operator: str, values: list[str] | None, selected: bool) -> None:
    assert matches({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]}, {"k": "a"}) is selected


@pytest.mark.parametrize(
    ("text", "amount"),
    [("250m", 0.25), ("1Ki", 1024), ("2G", 2_000_000_000), ("1e3", 1000), (3, 3), ("1 Gi", None)],
)
def test_quantities(text: object, amount: float | None) -> None:
    assert quantity(text) == amount
