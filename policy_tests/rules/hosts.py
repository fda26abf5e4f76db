"""Every name of the cluster's DNS in a text is a Service's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from policy_tests.manifests import TEMPLATES, Finding, Manifest, ManifestSet, items, mapping
from policy_tests.operators import named_elsewhere
from policy_tests.rule import rule
from policy_tests.rules.services import AUTHORITY, BUILT_IN, HOST_SETTING

# The name of a Service, with a pod's before it when it is headless.
HOST = re.compile(
    r"(?<![\w.-])(?:[\w-]+\.)?(?P<name>[a-z][\w-]*)\.(?P<namespace>[a-z0-9][\w-]*)\.svc(?:\.[a-z][\w.-]*)?(?::(?P<port>\d+))?"
)


@rule(
    "references-hosts-in-text",
    "high",
    why="A program whose arguments or file of settings name a host or a port that no Service has reaches nothing.",
    fix="write the name, the namespace and a port of the Service.",
    source="this project; no checker has it",
)
def hosts_in_text(manifests: ManifestSet) -> Iterator[Finding]:
    # Of the Services of other namespaces, and of all that the cluster has, the set does not tell.
    known = {service.namespace for service in manifests.of("Service")} - {"kube-system"}
    for manifest in manifests.of("ConfigMap", *TEMPLATES):
        for path, name, namespace, port in _hosts(manifest):
            service = manifests.find("Service", name, namespace)
            if namespace not in known or (name, namespace) == BUILT_IN:
                continue
            if service is None:
                if not named_elsewhere(manifests, name, namespace):
                    yield manifest.finding(path, name, f"is no Service of {namespace}")
            elif port and service.spec.get("clusterIP") != "None":
                ports = {str(mapping(each).get("port")) for each in items(service.spec.get("ports"))}
                if port not in ports:
                    yield manifest.finding(path, port, f"is no port of {service}")


@lru_cache(maxsize=4096)
def _hosts(manifest: Manifest) -> tuple[tuple[str, str, str, str], ...]:
    """(path, name, namespace, port) of every host in the object that references-hosts does not ask for."""
    return tuple(
        (path, host["name"], host["namespace"], host["port"] or "")
        for path, text in (manifest.strings if ".svc" in manifest.text else ())
        if not path.startswith("metadata") and not (_is_setting(path) and AUTHORITY.fullmatch(text))
        for host in HOST.finditer(text)
    )


def _is_setting(path: str) -> bool:
    key = re.split(r"[.\[\]]+", path.removesuffix(".value").rstrip("]"))[-1]
    return bool(HOST_SETTING.fullmatch(key))
