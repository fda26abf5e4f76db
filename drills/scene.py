"""An environment as a release has left it, and what is done to it by hand."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from delivery import managed, rollout, workloads
from delivery.cluster import Manifest, name
from delivery.kubectl import kubectl
from delivery.shell import DeliveryError
from drills import chaos
from drills.chaos import Draw
from drills.conftest import Stage
from drills.node import Hand

# What the cluster gives an object when it is made anew.
GIVEN = ("clusterIP", "clusterIPs", "healthCheckNodePort", "finalizers")


class Scene:
    """The environment as a release has left it, and what is done to it."""

    def __init__(self, stage: Stage, node: Hand) -> None:
        self.stage, self.node, self.render = stage, node, stage.render(stage.good)
        self.secrets = {label for label, kind in chaos.targets(self.render).items() if kind == "Secret"}
        self.before = self.content()

    def look(self) -> None:
        """Takes the values that the Secrets have by now for those that they should have."""
        now = self.content()
        self.before |= {label: now[label] for label in self.secrets & now.keys()}

    def content(self) -> dict[str, Any]:
        """The objects of the release, without what the cluster itself writes."""
        found: dict[str, Any] = {}
        for body in managed.live(self.stage.cluster, self.render.objects):
            parts = {part: dict(body["metadata"].get(part, {})) for part in ("labels", "annotations")}
            parts["annotations"].pop(workloads.REVISION, None)
            spec = {key: value for key, value in body.get("spec", {}).items() if key not in GIVEN}
            found[name(body)] = {**body, "metadata": parts, "spec": spec, "status": None}
        there = {name(body): body for body in self.stage.cluster.list("Secret")}
        return found | {label: there[label].get("data") for label in self.secrets & there.keys()}

    def edited(self) -> list[str]:
        """The objects that are not as they were."""
        now = self.content()
        return [label for label in self.before if self.before[label] != now.get(label)]

    def lacking(self) -> list[str]:
        """The same of what a way back has to bring: a Secret's keys, whatever their values."""
        now = self.content()
        kept = {label for label in self.secrets if now.get(label, {}).keys() == self.before[label].keys()}
        return [label for label in self.edited() if label not in kept]

    def ways(self, label: str) -> list[str]:
        """What may bring an object back; what an administrator has made, no delivery does."""
        administrators = {name(body) for body in self.render.objects if not rollout.delivered(body)}
        return ["up"] if label in administrators else ["deploy", "up"]

    def running(self) -> bool:
        """Whether every workload has all its pods, each at work."""
        standing = [body for body in self.render.objects if body["kind"] in rollout.WORKLOADS]
        there = {name(body): body for body in self.stage.cluster.list("Deployment", "StatefulSet", "Pod")}
        pods = [body for body in there.values() if body["kind"] == "Pod" and _lasts(body)]
        return (
            all(name(body) in there and rollout.complete(there[name(body)]) for body in standing)
            and all(map(workloads.ready, pods))
            and not any(self.node.do("paused", pod["metadata"]["uid"]) for pod in pods)
        )

    def do(self, draw: Draw) -> str:
        """Makes a draw; what it was done to, empty where nothing is there for it."""
        stage, (kind, _, _) = self.stage, draw.object.partition("/")
        body = stage.cluster.get(draw.object)
        if body is None:
            return ""
        there = ("-n", stage.namespace)
        match draw.action:
            case "delete":
                kubectl(*there, "delete", draw.object, "--wait=false")
                return draw.object
            case "scale to 0":
                kubectl(*there, "scale", draw.object, "--replicas=0")
                return draw.object
            case "refuse":
                return self._patch(draw.object, [chaos.REFUSALS[body["kind"]]], "merge")
            case "pause" if kind == "cronjob":
                return self._patch(draw.object, [{"spec": {"suspend": True}}], "merge")
            case "change a field":
                return self._patch(draw.object, chaos.changes(body, draw.chance), "json")
            case "add something":
                return self._patch(draw.object, chaos.additions(body, draw.chance), "json")
            case "take away" if kind in ("configmap", "secret"):
                return self._patch(draw.object, chaos.removals(body, draw.chance), "json")
        return self._reach(draw, body)

    def _patch(self, label: str, changes: list[Manifest], kind: str) -> str:
        """Makes the first change that the API server takes and that changes something."""
        version = self.stage.find(label)["metadata"]["resourceVersion"]
        for change in changes:
            text = json.dumps(change if kind == "merge" else [change])
            with suppress(DeliveryError):
                answer = kubectl(
                    *("-n", self.stage.namespace, "patch", label, f"--type={kind}"),
                    *(f"--patch={text}", "--output=json"),
                )
                if json.loads(answer)["metadata"]["resourceVersion"] != version:
                    return json.dumps(_shown(change))
        return ""

    def _reach(self, draw: Draw, body: Manifest) -> str:
        """Does it to a process or a file of one of the pods."""
        labels = ",".join(f"{key}={value}" for key, value in body["spec"]["selector"]["matchLabels"].items())
        pods = [pod for pod in self.stage.cluster.list("Pod", selector=labels) if workloads.ready(pod)]
        if not pods:
            return ""
        pod = pods[draw.chance % len(pods)]["metadata"]
        done = self.node.do(draw.action, pod["uid"], draw.chance)
        return f"{done}, in {pod['name']}" if done else ""


def _shown(change: Manifest) -> Manifest:
    """A change, without a value that may be secret."""
    secret = "/data/" in change.get("path", "")
    return {key: value for key, value in change.items() if key != "value" or not secret}


def _lasts(pod: Manifest) -> bool:
    """Whether it is a workload's; one that was evicted stays until somebody deletes it."""
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", [])}
    return bool(owners & {"ReplicaSet", "StatefulSet"}) and not workloads.ended(pod)
