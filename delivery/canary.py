"""The canary: one pod of the new release behind the Service of the old ones, watched first.

It is a second Deployment and nothing else, so any ingress controller will do. Its share of the
requests is one in replicas + 1.
"""

from __future__ import annotations

import copy

from delivery import rollout
from delivery.cluster import Cluster, Manifest
from delivery.render import Render
from delivery.shell import say

NAME = "web-canary"
# What the new pod needs to start; nothing that the old pods use is changed by it, as names of
# configuration are hashed.
BEFORE = ("ServiceAccount", "ConfigMap")


def deployment(render: Render) -> Manifest:
    """The canary's Deployment, made from the web's: one replica, `track: canary` not `stable`."""
    twin = copy.deepcopy(render.web)
    twin["metadata"]["name"] = NAME
    twin["spec"]["replicas"] = 1
    twin["spec"]["selector"]["matchLabels"]["track"] = "canary"
    twin["spec"]["template"]["metadata"]["labels"]["track"] = "canary"
    return twin


def start(cluster: Cluster, render: Render) -> None:
    """Starts the canary of a render and waits until it serves."""
    twin = deployment(render)
    say(f"starting {NAME}")
    before = rollout.past(cluster)
    rollout.apply(cluster, [*render.kind(*BEFORE), twin])
    rollout.wait(cluster, [twin], before=before)


def stop(cluster: Cluster) -> None:
    """Ends the canary, if there is one."""
    cluster.delete(f"deployment/{NAME}")
