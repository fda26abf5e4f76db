"""Reading: what is not a set of manifests is refused in one line that names the place and the remedy."""

from __future__ import annotations

import pytest

from policy_tests.manifests import ManifestError, ManifestSet, matches
from policy_tests.quantity import quantity
from policy_tests.reader import read_manifests

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
        (CONFIG + "data:\n{{- if .a }}\n  b: c\n", "x.yaml:6: not valid YAML.*looks like a template"),
        (CONFIG + "data: {a: {{ .Values.a }}}\n", "x.yaml:4: not valid YAML: found unhashable key; render it first"),
        (CONFIG + "data:\n  a: '{{ $value }}'\n  b: [1\n", "x.yaml:7: not valid YAML: [^;]*$"),
        (
            "kind: '{{ .Values.kind }}'\n",
            "x.yaml:1: no Kubernetes object.*render it first, as this looks like a template",
        ),
        ("just text", "x.yaml:1: no Kubernetes object"),
        (CONFIG + "---\nkind: Service\n", "x.yaml:5: no Kubernetes object"),
        ("apiVersion: v1\nkind: Service\n", "x.yaml:1: the Service has no name"),
    ],
)
def test_unusable_input_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifests(text, "x.yaml")


def test_a_list_is_taken_apart() -> None:
    listed = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n"
    found = read_manifests(listed + "---\n" + CONFIG, "x")
    assert [(str(manifest), manifest.line) for manifest in found] == [("ConfigMap/a", 4), ("ConfigMap/a", 6)]


def test_a_custom_resource_is_not_taken_for_a_kind_of_kubernetes() -> None:
    (manifest,) = read_manifests("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n", "x")
    assert ManifestSet("x", (manifest,)).of("Service") == []


@pytest.mark.parametrize(
    ("have", "have_not", "accused"), [(1, 0, 0), (1, 1, 0), (2, 1, 1), (2, 2, 0), (3, 2, 0), (4, 2, 2), (0, 3, 0)]
)
def test_a_custom_is_kept_where_most_keep_it(have: int, have_not: int, accused: int) -> None:
    places = [True] * have + [False] * have_not
    assert len(ManifestSet("x", ()).lacking(places, bool)) == accused


def test_text_and_numbers_are_what_kubernetes_takes_them_for() -> None:
    (manifest,) = read_manifests(CONFIG + "data: {day: 2026-02-03, time: 22:30, mode: 0o440, old: 0440}\n", "x")
    assert manifest.body["data"] == {"day": "2026-02-03", "time": "22:30", "mode": 0o440, "old": 0o440}


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
