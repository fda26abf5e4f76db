"""What the controllers of a cluster do in one turn: pods of workloads, Jobs, what is left over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from delivery.cluster import Manifest, RefusedError, going
from tests.delivery import kubelet
from tests.delivery.server import TEMPLATE, Server, SilentError, Work

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
SET_HASH = "controller-revision-hash"
GENERATION = "pod-template-generation"
# Pods more than a Deployment asks for, while it changes.
SURGE = 1
# Seconds before a Job's next pod.
BACKOFF = 10
ENDS = {
    "BackoffLimitExceeded": "Job has reached the specified backoff limit",
    "CompletionsReached": "Reached expected number of succeeded pods",
    "DeadlineExceeded": "Job was active longer than specified deadline",
}


def run(server: Server) -> None:
    """One turn."""
    reap(server)
    for kind, control in CONTROLLERS.items():
        for body in server.of(kind):
            if not going(body):
                control(server, body)
    for pod in server.of("Pod"):
        if not going(pod):
            kubelet.live(server, pod)


def reap(server: Server) -> None:
    """Removes what is going and owns nothing any more, and what has lost its owner."""
    uids = {body["metadata"]["uid"] for body in server.objects.values()}
    orphans = [body for uid in server.owned.keys() - uids for body in server.owned[uid].values()]
    for body in orphans:
        owners = {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}
        if owners and not owners & uids:
            server.doom(body)
    while True:
        gone = [body for body in server.objects.values() if going(body) and _may_go(server, body)]
        if not gone:
            return
        for body in gone:
            server.remove(body)


def _may_go(server: Server, body: Manifest) -> bool:
    metadata = body["metadata"]
    if metadata.get("finalizers") or server.dependents(body):
        return False
    if body["kind"] == "Namespace":
        return all(key[1] != metadata["name"] for key in server.objects)
    end = server.lives[metadata["uid"]].going if body["kind"] == "Pod" else None
    return end is None or server.clock >= end


def deployment(server: Server, body: Manifest) -> None:
    """Brings the pods of the newest template, and takes the others away as those can take over."""
    sets = server.dependents(body, "ReplicaSet")
    if body["spec"].get("paused"):
        _keep(server, body, sets)
        return
    try:
        newest = _newest(server, body, sets)
    except (RefusedError, SilentError) as error:
        _unmade(server, body, str(error))
        return
    new = _staying(server, newest)
    old = [pod for replica_set in sets if replica_set is not newest for pod in _staying(server, replica_set)]
    wanted = body["spec"]["replicas"]
    for _ in range(min(wanted - len(new), wanted + SURGE - len(new) - len(old))):
        new += _pod(server, newest, f"{newest['metadata']['name']}-{_token(server, newest)}")
    for pod in new[wanted:]:
        server.doom(pod)
    able = [pod for pod in (*new, *old) if _available(server, body, pod)]
    idle = len(new) + len(old) - wanted - sum(pod not in able for pod in new)
    unable = [pod for pod in old if pod not in able][: max(idle, 0)]
    for pod in [*unable, *[pod for pod in old if pod in able][: max(len(able) - wanted, 0)]]:
        server.doom(pod)
    server.set_status(body, _counts(server, body, [*new, *old], new))
    for replica_set in (newest, *sets):
        replica_set["spec"]["replicas"] = len(_staying(server, replica_set))


def _keep(server: Server, body: Manifest, sets: list[Manifest]) -> None:
    """As long as a Deployment is paused, each of its templates keeps the pods that it has."""
    digest = _digest(server, body)
    for replica_set in sets:
        for _ in range(replica_set["spec"]["replicas"] - len(_staying(server, replica_set))):
            _pod(server, replica_set, f"{replica_set['metadata']['name']}-{_token(server, replica_set)}")
    pods = {there["metadata"]["labels"][HASH]: _staying(server, there) for there in sets}
    everyone = [pod for own in pods.values() for pod in own]
    server.set_status(body, _counts(server, body, everyone, pods.get(digest, [])))


def _newest(server: Server, body: Manifest, sets: list[Manifest]) -> Manifest:
    """The ReplicaSet of the template as it is now, which gets the highest revision."""
    digest = _digest(server, body)
    revisions = [int(replica_set["metadata"]["annotations"][REVISION]) for replica_set in sets]
    newest = next(
        (replica_set for replica_set in sets if replica_set["metadata"]["labels"][HASH] == digest),
        None,
    )
    if newest is None:
        template = _labelled(body["spec"]["template"], {HASH: digest})
        labels = template["metadata"]["labels"]
        made: Manifest = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {**_owned_by(body, f"{body['metadata']['name']}-{digest}"), "labels": labels},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
        used = len(server.of("ReplicaSet", body["metadata"]["namespace"]))
        if reason := _exceeded(server, made, "count/replicasets.apps", used):
            raise RefusedError(reason)
        newest = server.write(made)
    if str(max(revisions, default=0)) != newest["metadata"].get("annotations", {}).get(REVISION):
        server.annotate(newest, REVISION, str(max(revisions, default=0) + 1))
    server.annotate(body, REVISION, newest["metadata"]["annotations"][REVISION])
    return newest


def _unmade(server: Server, body: Manifest, reason: str) -> None:
    """What a Deployment shows while a ReplicaSet is refused; its change counts as not seen."""
    message = f'Failed to create new replica set "{body["metadata"]["name"]}-{_digest(server, body)}": {reason}'
    server.event(body, "ReplicaSetCreateError", message)
    status = body.get("status", {})
    others = [condition for condition in status.get("conditions", []) if condition["type"] != "Progressing"]
    if len(others) == len(status.get("conditions", [])):
        about = {"reason": "ReplicaSetCreateError", "message": message, "lastTransitionTime": server.moment}
        condition = {"type": "Progressing", "status": "False", **about}
        server.set_status(body, {**status, "conditions": [*others, condition]})


def stateful_set(server: Server, body: Manifest) -> None:
    """Brings pods one after the other, and changes them from the last to the first."""
    name, wanted = body["metadata"]["name"], body["spec"]["replicas"]
    there = {pod["metadata"]["name"]: pod for pod in server.dependents(body, "Pod")}
    revision = f"{name}-{_digest(server, body)}"
    server.templates[revision] = body["spec"]["template"]
    current = body.get("status", {}).get("currentRevision", revision)
    strategy = body["spec"].get("updateStrategy", {})
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    pods = [there.get(f"{name}-{ordinal}") for ordinal in range(wanted)]
    # Each waits for the one before it; one that never gets ready stops a change, also the one back.
    first = next((at for at, pod in enumerate(pods) if not pod or not _available(server, body, pod)), None)
    for pod in there.values():
        if server.lives[pod["metadata"]["uid"]].ended is not None:
            server.doom(pod)
    if first is not None:
        if pods[first] is None:
            _claims(server, body, f"{name}-{first}")
            wanted_revision = current if first < partition else revision
            template = _labelled(server.templates[wanted_revision], {SET_HASH: wanted_revision})
            _pod(server, body, f"{name}-{first}", template)
    else:
        begun = pods[wanted if strategy.get("type") == "OnDelete" else partition :]
        old = [pod for pod in begun if pod and pod["metadata"]["labels"][SET_HASH] != revision]
        surplus = [pod for pod in there.values() if pod not in pods]
        for pod in (surplus or old)[-1:]:
            server.doom(pod)
    staying = _staying(server, body)
    new = [pod for pod in staying if pod["metadata"]["labels"][SET_HASH] == revision]
    counts = _counts(server, body, staying, new)
    current = revision if len(new) == len(staying) else current
    server.set_status(body, {**counts, "currentRevision": current, "updateRevision": revision})


def _claims(server: Server, body: Manifest, pod: str) -> None:
    for claim in body["spec"].get("volumeClaimTemplates", []):
        namespace, name = body["metadata"]["namespace"], f"{claim['metadata']['name']}-{pod}"
        if ("PersistentVolumeClaim", namespace, name) not in server.objects:
            kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
            server.write({**kind, "metadata": {"name": name, "namespace": namespace}, "spec": claim["spec"]})


def daemon_set(server: Server, body: Manifest) -> None:
    """One pod, for the one node; a pod of an older template goes first."""
    digest = _digest(server, body)
    pods = server.dependents(body, "Pod")
    for pod in pods if body["spec"].get("updateStrategy", {}).get("type") != "OnDelete" else []:
        if pod["metadata"]["labels"][SET_HASH] != digest:
            server.doom(pod)
    if not pods:
        labels = {SET_HASH: digest, GENERATION: body["metadata"]["annotations"][TEMPLATE]}
        name = f"{body['metadata']['name']}-{_token(server, body)}"
        pods = _pod(server, body, name, _labelled(body["spec"]["template"], labels))
    new = [pod for pod in _staying(server, body) if pod["metadata"]["labels"][SET_HASH] == digest]
    able = sum(_available(server, body, pod) for pod in new)
    counts = {"desiredNumberScheduled": 1, "currentNumberScheduled": len(pods), "numberReady": able}
    more = {"updatedNumberScheduled": len(new), "numberAvailable": able}
    server.set_status(body, {"observedGeneration": body["metadata"]["generation"], **counts, **more})


def job(server: Server, body: Manifest) -> None:
    """One pod after the other, until one has succeeded or too many have failed."""
    metadata, spec, status = body["metadata"], body["spec"], dict(body.get("status", {}))
    work = server.works.setdefault(metadata["uid"], Work(server.clock))
    forever = float("inf")
    if work.ended is not None:
        if server.clock > work.ended + spec.get("ttlSecondsAfterFinished", forever):
            server.doom(body)
        return
    pods, active = server.dependents(body, "Pod"), _staying(server, body)
    if spec.get("suspend"):
        for pod in active:
            server.doom(pod)
        server.set_status(body, {"conditions": [_suspended("True", "JobSuspended")]})
        return
    if "conditions" in status:
        status["conditions"] = [_suspended("False", "JobResumed")]
    succeeded = sum(pod["status"]["phase"] == "Succeeded" for pod in pods)
    failed = work.pods - len(active) - succeeded
    status.setdefault("startTime", server.moment)
    if succeeded:
        status["completionTime"] = server.moment
        status["conditions"] = _end(server, work, "Complete", "CompletionsReached")
    elif failed > spec.get("backoffLimit", 6):
        status["conditions"] = _end(server, work, "Failed", "BackoffLimitExceeded")
    elif server.clock > work.begun + spec.get("activeDeadlineSeconds", forever):
        for pod in active:
            server.doom(pod)
        active, failed = [], failed + len(active)
        status["conditions"] = _end(server, work, "Failed", "DeadlineExceeded")
    elif not active and server.clock >= _last_failure(server, pods) + BACKOFF:
        labels = {"batch.kubernetes.io/job-name": metadata["name"], "job-name": metadata["name"]}
        name = f"{metadata['name']}-{_token(server, body)}"
        active = _pod(server, body, name, _labelled(spec["template"], labels))
        work.pods += len(active)
    counts = {"active": len(active), "succeeded": succeeded, "failed": failed}
    status = {key: value for key, value in status.items() if key not in counts}
    server.set_status(body, status | {key: count for key, count in counts.items() if count})


def _end(server: Server, work: Work, kind: str, reason: str) -> list[Manifest]:
    """The conditions of a Job that has ended."""
    work.ended = server.clock
    about = {"status": "True", "reason": reason, "message": ENDS[reason]}
    before = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    return [{"type": condition, **about} for condition in (before, kind)]


def _suspended(status: str, reason: str) -> Manifest:
    return {"type": "Suspended", "status": status, "reason": reason}


def _last_failure(server: Server, pods: list[Manifest]) -> float:
    ends = [server.lives[pod["metadata"]["uid"]].ended for pod in pods]
    return max((end for end in ends if end is not None), default=float("-inf"))


CONTROLLERS: dict[str, Callable[[Server, Manifest], None]] = {
    "Deployment": deployment,
    "StatefulSet": stateful_set,
    "DaemonSet": daemon_set,
    "Job": job,
}


def _pod(server: Server, owner: Manifest, name: str, template: Manifest | None = None) -> list[Manifest]:
    """A new pod of an owner; none where a quota is in the way."""
    template = template or owner["spec"]["template"]
    pod: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], **_owned_by(owner, name)},
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    }
    reason = _refused(server, pod)
    try:
        there = None if reason else server.write(pod)
    except (RefusedError, SilentError) as error:
        there, reason = None, str(error)
    if there is None:
        server.event(owner, "FailedCreate", reason)
        _set_failure(server, owner, reason)
        return []
    pod = there
    server.event(owner, "SuccessfulCreate", f"Created pod: {name}", "Normal")
    _set_failure(server, owner, "")
    return [pod]


def _refused(server: Server, pod: Manifest) -> str:
    """Why the API server does not take a pod, empty where it does."""
    if kubelet.illness(server, pod)[1] == "FailedCreate":
        return kubelet.OBSTACLES["FailedCreate"]
    there = server.of("Pod", pod["metadata"]["namespace"])
    used = sum(server.lives[other["metadata"]["uid"]].ended is None for other in there)
    return _exceeded(server, pod, "pods", used)


def _exceeded(server: Server, body: Manifest, resource: str, used: int) -> str:
    """Why a quota lets no more objects be made, of which some are in use; empty where it does."""
    for quota in server.of("ResourceQuota", body["metadata"]["namespace"]):
        most = int(quota["spec"]["hard"].get(resource, used + 1))
        if used + 1 > most:
            what = f'{body["kind"].lower()}s "{body["metadata"]["name"]}"'
            counts = f"requested: {resource}=1, used: {resource}={used}, limited: {resource}={most}"
            return f"{what} is forbidden: exceeded quota: {quota['metadata']['name']}, {counts}"
    return ""


def _set_failure(server: Server, owner: Manifest, reason: str) -> None:
    """What a ReplicaSet shows as long as its pods are refused; the others have events alone."""
    conditions = owner.get("status", {}).get("conditions", [])
    if owner["kind"] != "ReplicaSet" or bool(conditions) == bool(reason):
        return
    about = {"reason": "FailedCreate", "message": reason, "lastTransitionTime": server.moment}
    condition = {"type": "ReplicaFailure", "status": "True", **about}
    server.set_status(owner, {"conditions": [condition]} if reason else {})


def _owned_by(owner: Manifest, name: str) -> Manifest:
    metadata = owner["metadata"]
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    return {"name": name, "namespace": metadata["namespace"], "ownerReferences": [reference]}


def _labelled(template: Manifest, labels: dict[str, str]) -> Manifest:
    metadata = template.get("metadata", {})
    return {
        **template,
        "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **labels}},
    }


def _digest(server: Server, body: Manifest) -> str:
    """What tells a template from others; all turns but the first after a change know it already."""
    metadata = body["metadata"]
    known = (metadata["uid"], metadata["generation"])
    if known not in server.digests:
        text = json.dumps(body["spec"]["template"], sort_keys=True)
        server.digests[known] = hashlib.sha256(text.encode()).hexdigest()[:10]
    return server.digests[known]


def _token(server: Server, owner: Manifest) -> str:
    """Five characters that no other pod of the owner has."""
    return hashlib.sha256(f"{owner['metadata']['uid']} {server.version}".encode()).hexdigest()[:5]


def _staying(server: Server, owner: Manifest) -> list[Manifest]:
    """The pods of an owner that neither go nor have ended."""
    return [
        pod
        for pod in server.dependents(owner, "Pod")
        if not going(pod) and server.lives[pod["metadata"]["uid"]].ended is None
    ]


def _ready(pod: Manifest) -> bool:
    return any(condition == {"type": "Ready", "status": "True"} for condition in pod["status"].get("conditions", []))


def _available(server: Server, owner: Manifest, pod: Manifest) -> bool:
    life = server.lives[pod["metadata"]["uid"]]
    if going(pod) or not _ready(pod) or life.begun is None:
        return False
    ready = life.begun + server.ready_after
    return server.clock >= ready + float(owner["spec"].get("minReadySeconds", 0))


def _counts(server: Server, body: Manifest, pods: list[Manifest], new: list[Manifest]) -> Manifest:
    """The status of a workload; like the real one it leaves out what is 0."""
    counts = {
        "observedGeneration": body["metadata"]["generation"],
        "replicas": len(pods),
        "updatedReplicas": len(new),
        "readyReplicas": sum(map(_ready, pods)),
        "availableReplicas": sum(_available(server, body, pod) for pod in pods),
    }
    return {key: count for key, count in counts.items() if count}
