"""What a controller of a custom resource may make in the cluster, and a set of manifests therefore need not hold."""

from __future__ import annotations

import re

from policy_tests.manifests import Manifest, ManifestSet, dig, mapping, matches

# Custom resources of which no controller makes pods, or names Services and Secrets after them.
PODLESS = re.compile(
    r".*(?:Secret|Store|Certificate|Issuer|Gateway|Route|Monitor|Rule|ScaledObject|Autoscaler|Policy|Definition)"
)


def made_elsewhere(manifests: ManifestSet, selector: object, namespace: str) -> bool:
    """Whether a controller of a custom resource in the set makes the pods that labels or a label selector mean."""
    chosen = mapping(selector)
    if not chosen.keys() & {"matchLabels", "matchExpressions"}:
        chosen = {"matchLabels": chosen}
    labels = mapping(chosen.get("matchLabels"))
    return bool(labels) and any(
        each.name in labels.values()
        or matches(chosen, each.labels)
        or matches(chosen, mapping(dig(each.body, "spec.template.metadata.labels")))
        for each in _operated(manifests, namespace)
    )


def named_elsewhere(manifests: ManifestSet, name: object, namespace: str) -> bool:
    """Whether a controller of a custom resource in the set may make a Service or a Secret of that name."""
    return any(
        str(name) == each.name or str(name).startswith(f"{each.name}-") for each in _operated(manifests, namespace)
    )


def _operated(manifests: ManifestSet, namespace: str) -> list[Manifest]:
    here = (each for each in manifests.manifests if each.custom_group and each.namespace == namespace)
    return [each for each in here if not PODLESS.fullmatch(each.kind)]
