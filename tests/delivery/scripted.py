"""What the commands of a restore see of a cluster, with faults at chosen moments: no more than they ask for."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from delivery.shell import DeliveryError

COMPONENT = "app.kubernetes.io/component"
BEFORE, BACKUP = "what was there", "20261101T000000Z"
GONE = "connection reset by peer"


def thing(kind: str, name: str, component: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "school-scheduler-prod", "labels": {COMPONENT: component}}
    return {"kind": kind, "metadata": metadata, **fields}


def cronjob(name: str, *containers: str) -> dict[str, Any]:
    variables = {"restore": ["BACKUP_NAME", "BACKUP_ENVIRONMENT", "OVERWRITE"], "backup": ["PRUNE"]}[name]
    env = [{"name": variable, "value": ""} for variable in variables]
    steps = [{"name": step, "env": [dict(entry) for entry in env]} for step in containers]
    pod = {"initContainers": steps[:-1], "containers": steps[-1:]}
    template = {"metadata": {"labels": {COMPONENT: name}}, "spec": {"template": {"spec": pod}}}
    return thing("CronJob", name, name, spec={"jobTemplate": template})


ACCOUNTS = {"template": {"spec": {"containers": [{"name": "accounts", "args": []}]}}}
RELEASE = [
    {"kind": "Namespace", "metadata": {"name": "school-scheduler-prod", "labels": {}}},
    thing("StatefulSet", "mysql", "database", spec={"replicas": 1}),
    thing("Job", "accounts", "accounts", spec=ACCOUNTS),
    cronjob("backup", "dump", "save"),
    cronjob("restore", "fetch", "load", "redump", "compare"),
    thing("Deployment", "web", "web", spec={"replicas": 1}),
]


class Killed(BaseException):
    """The tool has got SIGKILL: nothing of it runs any more."""


@dataclass
class Work:
    """A Job and how many of its steps are done."""

    manifest: dict[str, Any]
    done: int = 0
    failed: str = ""

    @property
    def steps(self) -> list[str]:
        pod = self.manifest["spec"]["template"]["spec"]
        return [each["name"] for each in (*pod.get("initContainers", []), *pod["containers"])]

    def variable(self, name: str) -> str:
        pod = self.manifest["spec"]["template"]["spec"]
        entries = pod["containers"][0].get("env", [])
        return next((str(entry["value"]) for entry in entries if entry["name"] == name), "")

    @property
    def ended(self) -> bool:
        return bool(self.failed) or self.done == len(self.steps)


@dataclass
class Cluster:
    """An environment that runs.

    Attributes:
        data: what the schema holds; empty for nothing, or nothing that can be used.
        scaled_away: whether nothing of the database runs, though its volume is there.
        partial: whether a restore into it has not ended.
        store: of each backup, what it holds.
        fault: is asked before each command, and may raise, or change the cluster.
        broken: the step of a Job that fails, and the words that it fails with.
    """

    data: str = BEFORE
    partial: bool = False
    made: int = 1
    running: bool = True
    scaled_away: bool = False
    store: dict[str, str] = field(default_factory=lambda: {BACKUP: "of the backup"})
    note: str | None = None
    jobs: dict[str, Work] = field(default_factory=dict)
    lease: dict[str, Any] = field(default_factory=dict)
    clock: float = 0
    calls: int = 0
    away_until: float = 0
    fault: Callable[[Cluster], None] = lambda cluster: None
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return bool(self.data) and not self.partial

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def monotonic(self) -> float:
        return self.clock

    def run(self, *command: str, stdin: str | None = None, **options: Any) -> str:
        """In the place of delivery.shell.run."""
        self.calls += 1
        self.clock += 0.2
        self.fault(self)
        if self.clock < self.away_until:
            raise DeliveryError(GONE)
        words = [word for word in command[1:] if word not in ("-n", "school-scheduler-prod")]
        answer = getattr(self, f"_{words[0]}")(words[1:], stdin or "")
        return answer if isinstance(answer, str) else json.dumps(answer)

    def _create(self, words: list[str], stdin: str) -> str:
        if self.lease:
            raise DeliveryError("AlreadyExists")
        return self._replace(words, stdin)

    def _replace(self, words: list[str], stdin: str) -> str:
        lease = json.loads(stdin)
        version = self.lease.get("metadata", {}).get("resourceVersion", "0")
        assert lease["metadata"].get("resourceVersion", "0") == version
        lease["metadata"]["resourceVersion"] = str(int(version) + 1)
        self.lease = lease
        return ""

    def _apply(self, words: list[str], stdin: str) -> str:
        objects = list(yaml.safe_load_all(stdin))
        if any(each["kind"] == "StatefulSet" for each in objects):
            self.scaled_away = False
        if objects[0]["kind"] == "Job":
            name = objects[0]["metadata"]["name"]
            self.jobs.setdefault(name, Work(objects[0]))
        if any(each["kind"] == "Deployment" for each in objects):
            assert self.whole, "the application was started on a part of a backup"
            self.running = True
        return ""

    def _delete(self, words: list[str], stdin: str) -> str:
        for word in words:
            self.jobs.pop(word.removeprefix("job/"), None)
        if "-l" in words:
            self.running = False
        return ""

    def _wait(self, words: list[str], stdin: str) -> str:
        return ""

    _label = _wait

    def _annotate(self, words: list[str], stdin: str) -> str:
        _, _, self.note = words[1].partition("=") if "=" in words[1] else ("", "", None)
        return ""

    def _exec(self, words: list[str], stdin: str) -> str:
        tables = 5 if self.data or self.partial else 0
        return f"{tables}\t{int(self.partial)}\t{self.made}\t1000\nAvail\n1000000\n"

    def _logs(self, words: list[str], stdin: str) -> str:
        name = next((word for word in words if "/" in word), "/").partition("/")[2].removesuffix("-pod")
        work = self.jobs.get(name)
        if work is None:
            raise DeliveryError("NotFound")
        if "rclone" in words:
            return "Serving remote control"
        return work.failed or json.dumps({"backup": f"school-scheduler-prod/{max(self.store)}", "bytes": 10}) + "\n"

    def _get(self, words: list[str], stdin: str) -> Any:
        match words[0]:
            case "lease":
                return self.lease
            case "configmaps":
                return {"items": [self._record()]}
            case "events":
                return {"items": []}
            case "pods":
                return {"items": [] if self.scaled_away else [thing("Pod", "mysql-0", "database")]}
            case "jobs":
                component = words[1].rpartition("=")[2]
                items = [self._job(work) for work in self.jobs.values()]
                return {"items": [item for item in items if item["metadata"]["labels"].get(COMPONENT) == component]}
            case "jobs,pods":
                return {"items": self._progress(words[2].rpartition("=")[2])}
            case "statefulsets,deployments,replicasets,pods":
                return {
                    "items": [self._workload(each) for each in RELEASE if self.running or each["kind"] != "Deployment"]
                }
        kind, _, name = words[0].partition("/")
        assert kind == "cronjob"
        found = next(each for each in json.loads(json.dumps(RELEASE)) if each["metadata"]["name"] == name)
        if self.note is not None and name == "restore":
            found["metadata"]["annotations"] = {"school-scheduler/restoring": self.note}
        return found

    def _record(self) -> dict[str, Any]:
        packed = base64.b64encode(gzip.compress(yaml.safe_dump_all(RELEASE).encode())).decode()
        data = {"image": "image", "commit": "commit", "by": "somebody", "at": "then"}
        metadata = {"name": "release-1", "labels": {"phase": "good"}}
        return {"metadata": metadata, "data": data, "binaryData": {"manifests.yaml.gz": packed}}

    def _workload(self, each: dict[str, Any]) -> dict[str, Any]:
        counts = dict.fromkeys(("observedGeneration", "replicas", "updatedReplicas", "availableReplicas"), 1)
        return {**each, "metadata": {**each["metadata"], "generation": 1}, "status": counts}

    def _job(self, work: Work) -> dict[str, Any]:
        kind = "Failed" if work.failed else "Complete"
        conditions = [{"type": kind, "status": "True"}] if work.ended else []
        metadata = {"creationTimestamp": "2026-11-30T00:00:00Z", **work.manifest["metadata"]}
        return {**work.manifest, "metadata": metadata, "status": {"conditions": conditions}}

    def _progress(self, name: str) -> list[dict[str, Any]]:
        """One step more of a Job; it and its pod."""
        work = self.jobs.get(name)
        if work is None:
            return []
        if not work.ended:
            self._step(work)
        phase = "Failed" if work.failed else "Succeeded" if work.ended else "Running"
        pod = thing("Pod", f"{name}-pod", "job", status={"phase": phase})
        if work.failed:
            state = {"terminated": {"exitCode": 1, "reason": "Error"}}
            # The sidecar was ended with the pod.
            pod["spec"] = {"initContainers": [{"name": "rclone", "restartPolicy": "Always"}]}
            pod["status"]["initContainerStatuses"] = [{"name": "rclone", "state": state}]
            pod["status"]["containerStatuses"] = [{"name": work.steps[work.done], "state": state}]
        return [self._job(work), pod]

    def _step(self, work: Work) -> None:
        step = work.steps[work.done]
        if step == "fetch" and (name := work.variable("BACKUP_NAME")) not in self.store:
            work.failed = f"no backup {name}"
        if step == "load" and not self.partial:
            if self.data and work.variable("OVERWRITE") != "school-scheduler-prod":
                work.failed = "tables; nothing was changed"
                return
            # One look at the Job sees it begun, the next one sees it done.
            self.data, self.partial, self.made = "", True, self.made + 1
            if "load" not in self.broken:
                return
        if step in self.broken:
            work.failed = self.broken[step]
        if work.failed:
            return
        if step == "compare":
            self.data, self.partial = self.store[work.variable("BACKUP_NAME")], False
        if step == "save":
            if not self.whole:
                work.failed = "a part of it would be no backup"
                return
            self.store[f"20261130T{len(self.store):06}Z"] = self.data
        work.done += 1


def typed(text: str) -> list[str]:
    """The arguments of the delivery command line that the first `make ...` in a text means."""
    (made, *_) = re.findall(r"`make ([^`]+)`", text)
    target, *words = shlex.split(made)
    variables = dict(word.split("=", 1) for word in words)
    return [target, variables["ENV"], *shlex.split(variables.get("OPTIONS", ""))]
