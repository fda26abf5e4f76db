"""The rules, a module a topic; importing this package registers them all."""

from policy_tests.rules import (
    access,
    availability,
    containers,
    environments,
    images,
    ingress,
    network,
    pods,
    probes,
    references,
    secrets,
    selectors,
    storage,
)

__all__ = [
    "access",
    "availability",
    "containers",
    "environments",
    "images",
    "ingress",
    "network",
    "pods",
    "probes",
    "references",
    "secrets",
    "selectors",
    "storage",
]
