"""The canary: one pod of the new release behind the same Service as the old ones, watched before the rollout goes on.

It is a second Deployment and nothing else, so any ingress controller will do. Its share of the requests is one in
replicas + 1.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from delivery import rollout
from delivery.rollout import Manifest
from delivery.shell import say

NAME = "web-canary"
# What the new pod needs to start; nothing that the old pods use is changed by it, as names of configuration are hashed.
BEFORE = ("ServiceAccount", "ConfigMap")


def deployment(manifests: Iterable[Manifest]) -> Manifest:
    """The canary's Deployment, made from the web's: one replica, `track: canary` instead of `stable`."""
    twin = copy.deepcopy(rollout.web(manifests))
    twin["metadata"]["name"] = NAME
    twin["spec"]["replicas"] = 1
    twin["spec"]["selector"]["matchLabels"]["track"] = "canary"
    twin["spec"]["template"]["metadata"]["labels"]["track"] = "canary"
    return twin


def start(namespace: str, manifests: list[Manifest]) -> None:
    """Starts the canary of a render and waits until it serves."""
    twin = deployment(manifests)
    say(f"starting {NAME}")
    rollout.apply(rollout.write([*(each for each in manifests if each["kind"] in BEFORE), twin]))
    rollout.wait(namespace, [twin])


def stop(namespace: str) -> None:
    """Ends the canary, if there is one."""
    rollout.prune(namespace, [f"deployment/{NAME}"])
