from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from delivery import diagnosis, rollout, workloads
from delivery.cluster import Manifest
from delivery.diagnosis import HOPELESS, hopeless, last_words, refusals, troubles
from delivery.render import COMPONENT
from delivery.rollout import astray, complete, surplus
from delivery.shell import DeliveryError
from delivery.workloads import newest_pods
from tests.delivery.fake import FakeCluster
from tests.delivery.faults import refused
from tests.delivery.server import Container, StepError
from tests.delivery.small import PROD, workload
from tests.delivery.small import body as thing

Body = dict[str, Any]


def body(kind: str, name: str, **fields: Any) -> Body:
    return {"kind": kind, "metadata": {"name": name, "uid": name, "labels": {}, **fields.pop("metadata", {})}, **fields}


def owned(kind: str, name: str, owner: str, **metadata: Any) -> Body:
    return body(kind, name, metadata={"ownerReferences": [{"uid": owner}], **metadata})


def revision(number: int) -> dict[str, str]:
    return {"deployment.kubernetes.io/revision": str(number)}


def test_what_only_others_have_is_deleted_in_order_and_nothing_that_holds_data() -> None:
    kinds = ("ConfigMap", "Deployment", "PersistentVolumeClaim", "StatefulSet", "Secret", "Namespace", "Service")
    others = [body(kind, "old") for kind in kinds] + [body("Service", "web")]
    assert surplus([body("Service", "web")], others) == ["deployment/old", "service/old", "configmap/old"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, True),
        # The controller has not seen the change yet.
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, False),
        # A pod of the release before is still there.
        ({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}, False),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}, False),
        ({}, False),
    ],
)
def test_a_rollout_is_complete_when_all_replicas_are_new_and_available(status: Body, expected: bool) -> None:
    workload = body("Deployment", "web", metadata={"generation": 2}, spec={"replicas": 2}, status=status)
    assert complete(workload) is expected


@pytest.mark.parametrize(("status", "expected"), [("True", True), ("False", False), ("Unknown", False)])
def test_a_job_is_done_when_its_controller_is_sure(status: str, expected: bool) -> None:
    job = body("Job", "accounts", status={"conditions": [{"type": "Complete", "status": status}]})
    assert complete(job) is expected


def test_only_a_job_fails_by_the_condition_of_a_job() -> None:
    status = {"conditions": [{"type": "Failed", "status": "True"}]}
    found = {
        kind: [*astray(body(kind, "x", spec={}, status=status), body(kind, "x", spec={}))]
        for kind in ("DaemonSet", "Deployment", "StatefulSet", "Job")
    }
    assert found == {"DaemonSet": [], "Deployment": [], "StatefulSet": [], "Job": ["job/x failed: "]}


def test_the_newest_pods_of_a_deployment_are_those_of_its_current_revision() -> None:
    workload = body("Deployment", "web", metadata={"annotations": revision(10)})
    sets = [owned("ReplicaSet", f"set-{n}", "web", annotations=revision(n)) for n in (9, 10)]
    pods = [owned("Pod", f"pod-{n}", f"set-{n}") for n in (9, 10)] + [owned("Pod", "other", "elsewhere")]
    assert [pod["metadata"]["name"] for pod in newest_pods(workload, [*sets, *pods])] == ["pod-10"]


def test_the_newest_pods_of_a_stateful_set_are_those_of_its_update_revision() -> None:
    mysql = body("StatefulSet", "mysql", status={"updateRevision": "b"})
    pods = [owned("Pod", f"pod-{hash}", "mysql", labels={"controller-revision-hash": hash}) for hash in "ab"]
    assert [pod["metadata"]["name"] for pod in newest_pods(mysql, pods)] == ["pod-b"]


def test_the_newest_pods_of_a_daemon_set_are_those_of_its_template_s_generation() -> None:
    collector = body("DaemonSet", "collector", metadata={"annotations": {workloads.TEMPLATE: "2"}})
    pods = [owned("Pod", f"pod-{number}", "collector", labels={"pod-template-generation": number}) for number in "12"]
    assert [pod["metadata"]["name"] for pod in newest_pods(collector, pods)] == ["pod-2"]


def test_a_container_that_will_not_start_is_named_with_the_reason() -> None:
    waiting = {"name": "migrate", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}
    starting = {"name": "web", "state": {"waiting": {"reason": "PodInitializing"}}}
    pod = body("Pod", "web-1", status={"initContainerStatuses": [waiting], "containerStatuses": [starting]})
    assert list(hopeless(pod)) == ["web-1/migrate: CrashLoopBackOff: back-off 10s"]


def test_the_last_line_of_a_container_that_failed_is_said_while_it_waits_and_runs_again() -> None:
    failed = {"terminated": {"exitCode": 1, "reason": "Error", "message": "2026 waiting\nno table\n"}}
    states: list[Body] = [{"waiting": {}}, {"running": {}}]
    containers = [{"name": "migrate", "state": state, "lastState": failed} for state in states]
    done = {"name": "first", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    silent = {"name": "last", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    pod = body("Pod", "web-1", status={"containerStatuses": [done, *containers, silent]})
    assert list(last_words(pod)) == ["web-1/migrate ended with code 1: no table"] * 2


def test_only_a_started_container_can_be_late_in_becoming_ready() -> None:
    states = [("a", True, False), ("b", True, True), ("c", False, False)]
    statuses = [
        {"name": name, "started": started, "ready": ready, "state": {"running": {}}} for name, started, ready in states
    ]
    (late,) = troubles(body("Pod", "web-1", status={"containerStatuses": statuses}))
    assert (late.words, late.bearable) == ("web-1/a is not ready after 30 s", 30)


@pytest.mark.parametrize("component", ["namespace", "credentials"])
def test_what_an_administrator_applies_is_not_deleted_by_a_release_without_it(component: str) -> None:
    labels = {"app.kubernetes.io/component": component}
    assert surplus([], [body("ServiceAccount", "theirs", metadata={"labels": labels})]) == []


@pytest.mark.parametrize("short", ["currentNumberScheduled", "updatedNumberScheduled", "numberAvailable"])
def test_a_daemon_set_is_complete_when_every_node_has_the_newest_pod(short: str) -> None:
    fields = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    status = {"observedGeneration": 1, "desiredNumberScheduled": 3, **dict.fromkeys(fields, 3)}
    whole = body("DaemonSet", "collector", metadata={"generation": 1}, status=status)
    assert complete(whole)
    assert not complete({**whole, "status": {**status, short: 2}})
    assert complete({**whole, "status": {"observedGeneration": 1}})


@pytest.mark.parametrize("reason", HOPELESS)
def test_what_does_not_mend_itself_ends_the_waiting(reason: str) -> None:
    status = {"name": "web", "state": {"waiting": {"reason": reason}}}
    pod = body("Pod", "web-1", status={"containerStatuses": [status]})
    assert list(hopeless(pod)) == [f"web-1/web: {reason}: "]


def test_a_container_whose_image_is_pulled_once_more_is_not_hopeless() -> None:
    status = {"name": "web", "state": {"waiting": {"reason": "ErrImagePull"}}}
    assert list(hopeless(body("Pod", "web-1", status={"containerStatuses": [status]}))) == []


@pytest.mark.parametrize(
    ("conditions", "going", "expected"),
    [
        ([("Ready", "True")], False, True),
        ([("Ready", "False")], False, False),
        ([("Ready", "Unknown"), ("PodScheduled", "True")], False, False),
        ([], False, False),
        ([("Ready", "True")], True, False),
    ],
)
def test_a_pod_serves_when_the_cluster_says_so_and_it_stays(
    conditions: list[tuple[str, str]], going: bool, expected: bool
) -> None:
    metadata = {"deletionTimestamp": "2026-11-30T00:00:00Z"} if going else {}
    status = {"conditions": [{"type": kind, "status": status} for kind, status in conditions]}
    assert workloads.ready(body("Pod", "web-1", metadata=metadata, status=status)) is expected


def test_the_table_says_what_a_pod_does() -> None:
    spec: Body = {"containers": [{}, {}]}
    running = {"ready": True, "restartCount": 1, "state": {"running": {}}}
    waiting = {"ready": False, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    going = {"deletionTimestamp": "2026-11-30T00:00:00Z"}
    status = {"phase": "Running", "containerStatuses": [running, waiting]}
    first = {"initContainerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}
    pods = [
        body("Pod", "a", spec=spec, status=status),
        body("Pod", "b", spec=spec, status=status, metadata=going),
        body("Pod", "c", spec=spec, status={"phase": "Pending"}),
        body("Pod", "d", spec=spec, status={}),
        body("Pod", "e", spec=spec, status={**status, **first}),
    ]
    assert [line.split() for line in diagnosis.table(pods)] == [
        ["a", "1/2", "CrashLoopBackOff", "3", "restarts"],
        ["b", "1/2", "Terminating", "3", "restarts"],
        ["c", "0/2", "Pending", "0", "restarts"],
        ["d", "0/2", "Unknown", "0", "restarts"],
        ["e", "1/2", "PodInitializing", "3", "restarts"],
    ]


def web(image: str = "good:1", kind: str = "Deployment", name: str = "web") -> Manifest:
    return workload(kind, name, "web", {"name": "web", "image": image})


def waited(cluster: FakeCluster, *objects: Manifest, **options: Any) -> str:
    """The error of a rollout that fails."""
    with pytest.raises(DeliveryError) as error:
        rollout.wait(cluster, objects, **options)
    return str(error.value)


def test_every_kind_of_workload_is_waited_for(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = ("StatefulSet", "Deployment", "DaemonSet")
    objects = [web(kind=kind, name=kind.lower()) for kind in kinds]
    cluster.apply(objects)
    rollout.wait(cluster, objects)
    assert all(map(complete, cluster.list(*kinds)))
    names = "daemonset/daemonset, deployment/deployment, statefulset/statefulset"
    assert capsys.readouterr().err == f"delivery: waiting for {names}\n"


def test_only_kinds_that_are_waited_for_are_looked_at(cluster: FakeCluster) -> None:
    cluster.forbidden.update({("list", "StatefulSet"), ("list", "DaemonSet")})
    cluster.apply([web()])
    rollout.wait(cluster, [web(), thing("v1", "Service", "web", "web")])
    assert len(cluster.pods()) == 1


def test_without_workloads_there_is_nothing_to_wait_for(cluster: FakeCluster) -> None:
    before = cluster.now()
    rollout.wait(cluster, [thing("v1", "Service", "web", "web")])
    assert cluster.now() == before


def test_other_workloads_may_be_late(cluster: FakeCluster) -> None:
    cluster.server.ill["bad:1"] = "ImagePullBackOff"
    cluster.apply([web("bad:1", name="other"), web()])
    rollout.wait(cluster, [web()])


def test_a_workload_that_does_not_come_up_in_time_is_named(cluster: FakeCluster) -> None:
    cluster.server.ill["bad:1"] = "unstarted"
    objects = [web("bad:1", name="worker"), web("bad:1"), web(name="good")]
    # So that it looks every second.
    cluster.faults.latency = 0
    cluster.apply(objects)
    before = cluster.now()
    reason = "deployment/web, deployment/worker did not come up within 300 s"
    assert waited(cluster, *objects).splitlines()[0] == reason
    assert cluster.now() - before == pytest.approx(301)


def test_a_container_that_started_is_to_be_ready_soon(cluster: FakeCluster) -> None:
    cluster.server.ill["bad:1"] = "unready"
    cluster.apply([web("bad:1")])
    first = waited(cluster, web()).splitlines()[0]
    assert first.startswith(f"{cluster.pods()[0]}/web is not ready after 30 s")
    since = 1 + cluster.server.ready_after
    assert since + 30 < cluster.now() < since + 33.5


def test_a_container_may_be_unready_for_a_while(cluster: FakeCluster) -> None:
    cluster.server.ill["slow:1"] = "unready"

    def mended() -> bool:
        cluster.server.ill.clear()
        return False

    cluster.apply([web("slow:1")])
    with cluster.every(28, mended):
        rollout.wait(cluster, [web()])


def test_being_unready_counts_anew_after_being_ready(cluster: FakeCluster) -> None:
    ill = cluster.server.ill
    ill["late:1"] = "unstarted"

    def turn() -> bool:
        ill["ill:1"] = "" if ill["ill:1"] else "unready"
        return True

    ill["ill:1"] = "unready"
    objects = [web("ill:1"), web("late:1", name="late")]
    cluster.apply(objects)
    with cluster.every(20, turn):
        assert "did not come up within 100 s" in waited(cluster, *objects, seconds=100)


def test_a_pod_that_will_not_come_ends_the_waiting_with_a_diagnosis(cluster: FakeCluster) -> None:
    cluster.server.ill["bad:1"] = "CrashLoopBackOff"
    cluster.server.printed |= {"web": "".join(f"line {n}\n" for n in range(20)), "fine": "words\n"}
    fine = workload("Deployment", "fine", "web", {"name": "fine", "image": "good:1"})
    cluster.apply([fine])
    rollout.wait(cluster, [fine])
    cluster.apply([web("bad:1")])
    text = waited(cluster, web())
    (pod,) = [name for name in cluster.pods() if name.startswith("web-")]
    lines = text.splitlines()
    assert lines[0] == f"{pod}/web: CrashLoopBackOff: back-off 10s restarting failed container"
    assert [line.split()[:3] for line in lines[1:3]][1] == [pod, "0/1", "CrashLoopBackOff"]
    assert f"pod/{pod}: BackOff: back-off 10s restarting failed container" in lines
    assert "words" not in text


def test_the_last_words_of_a_pod_that_is_not_ready_are_shown(cluster: FakeCluster) -> None:
    cluster.server.ill["bad:1"] = "unready"
    cluster.server.printed["web"] = "".join(f"line {number}\n" for number in range(20))
    cluster.apply([web("bad:1")])
    lines = waited(cluster, web()).splitlines()
    assert [line.partition("/web] ")[2] for line in lines[-15:]] == [f"line {n}" for n in range(5, 20)]
    assert "line 4" not in "\n".join(lines)


def test_what_keeps_a_pod_from_going_is_named_with_the_line_against_it(cluster: FakeCluster) -> None:
    cluster.apply([web()])
    cluster.pause(10)
    (pod,) = cluster.pods()
    cluster.by_hand(f"pod/{pod}", {"metadata": {"finalizers": ["example.com/keep"]}})
    cluster.server.doom(cluster.server.objects["Pod", PROD.namespace, pod])
    cluster.server.ill = {"good:2": "ImagePullBackOff"}
    cluster.apply([web("good:2")])
    lines = waited(cluster, web("good:2")).splitlines()
    (line,) = (line for line in lines if f"pod/{pod} is being deleted and waits for example.com/keep; `" in line)
    assert f"kubectl -n {PROD.namespace} patch pod/{pod} " in line


def test_a_pod_that_goes_meanwhile_says_nothing_more(cluster: FakeCluster) -> None:
    cluster.server.ill["bad:1"] = "unready"
    cluster.apply([web("bad:1"), web("bad:1", name="zoo")])
    cluster.server.printed["web"] = "words\n"
    names: list[str] = []

    def gone(cluster: FakeCluster, operation: str, name: str) -> None:
        if operation == "logs" and not names:
            names.append(name)
            cluster.remove_by_hand(f"pod/{name}")

    cluster.faults.before = gone
    assert waited(cluster, web(), web(name="zoo")).count("/web] words") == 1


def test_a_diagnosis_that_is_refused_hides_no_reason(cluster: FakeCluster) -> None:
    cluster.server.ill["bad:1"] = "ImagePullBackOff"
    cluster.forbidden.add(("list", "Event"))
    cluster.apply([web("bad:1")])
    lines = waited(cluster, web()).splitlines()
    assert "ImagePullBackOff" in lines[0]
    assert "cannot list Event" in lines[-1]


def test_the_latest_twenty_warnings_are_shown_the_newest_last(cluster: FakeCluster) -> None:
    for number in reversed(range(25)):
        when = {"eventTime": f"2026-11-29T00:00:{number:02}Z", "lastTimestamp": None}
        about = {"kind": "Pod", "name": "web-1"}
        warning = {"type": "Warning", "reason": "Failed", "message": f"no\n{number}"}
        metadata = {"name": f"event-{number}", "namespace": PROD.namespace}
        cluster.create({"kind": "Event", "metadata": metadata, "involvedObject": about, **warning, **when})
    metadata = {"name": "normal", "namespace": PROD.namespace}
    cluster.create({"kind": "Event", "metadata": metadata, "type": "Normal"})
    cluster.server.ill["bad:1"] = "unstarted"
    cluster.apply([web("bad:1")])
    lines = waited(cluster, web(), seconds=5).splitlines()
    shown = [line for line in lines if line.startswith("pod/web-1: ")]
    assert shown == [f"pod/web-1: Failed: no {number}" for number in range(5, 25)]


def test_pods_from_before_the_change_are_not_blamed(cluster: FakeCluster) -> None:
    cluster.server.ill["bad:1"] = "ImagePullBackOff"
    cluster.apply([web("bad:1")])
    cluster.pause(30)
    cluster.apply([web("good:2")])
    rollout.wait(cluster, [web()])


def later(seconds: float, action: Callable[[], object]) -> tuple[float, Callable[[], bool]]:
    """What `every` does once."""

    def once() -> bool:
        action()
        return False

    return seconds, once


def migrating(image: str = "good:1") -> Manifest:
    return workload("Deployment", "web", "web", {"name": "web", "image": image}, before=("migrate",))


@pytest.mark.parametrize("reason", sorted(HOPELESS))
def test_what_was_hopeless_before_the_rollout_has_its_time(cluster: FakeCluster, reason: str) -> None:
    cluster.server.ill["mended:1"] = reason
    cluster.apply([web("mended:1")])
    cluster.pause(30)
    before = rollout.past(cluster)
    cluster.apply([web("mended:1")])
    with cluster.every(*later(200, cluster.server.ill.clear)):
        rollout.wait(cluster, [web()], before=before)


def test_what_was_tried_again_and_failed_again_is_a_verdict(cluster: FakeCluster) -> None:
    cluster.server.ill["bad:1"] = "ImagePullBackOff"
    cluster.apply([web("bad:1")])
    cluster.pause(30)
    before, began = rollout.past(cluster), cluster.now()

    def tried() -> bool:
        ill = cluster.server.ill
        ill["bad:1"] = "ImagePullBackOff" if ill["bad:1"] == "ErrImagePull" else "ErrImagePull"
        return True

    with cluster.every(20, tried):
        (line, *_) = waited(cluster, web(), before=before).splitlines()
    assert "ImagePullBackOff" in line
    assert 40 <= cluster.now() - began < 43


def test_a_step_that_crashes_once_more_is_a_verdict(cluster: FakeCluster) -> None:
    def fail(container: Container) -> str:
        raise StepError("no")

    cluster.server.steps["migrate"] = fail
    cluster.apply([migrating()])
    cluster.pause(5)
    before, began = rollout.past(cluster), cluster.now()
    assert "/migrate: CrashLoopBackOff" in waited(cluster, web(), before=before).splitlines()[0]
    assert 5 < cluster.now() - began < 20


def test_a_container_that_was_unready_before_has_its_time(cluster: FakeCluster) -> None:
    cluster.server.ill["slow:1"] = "unready"
    cluster.apply([web("slow:1")])
    cluster.pause(30)
    before = rollout.past(cluster)
    with cluster.every(*later(200, cluster.server.ill.clear)):
        rollout.wait(cluster, [web()], before=before)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration has ten minutes."""
    monkeypatch.setattr(rollout, "MIGRATION", 600)
    monkeypatch.setattr(rollout, "QUIET", 100)


@pytest.mark.usefixtures("impatient")
def test_a_migration_has_more_time_than_a_rollout(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.server.step_seconds = 580
    cluster.apply([migrating()])
    rollout.wait(cluster, [web()])
    assert capsys.readouterr().err.count("/migrate is at work; it has ") == 5


@pytest.mark.usefixtures("impatient")
def test_a_migration_that_does_not_end_is_told_of_in_the_end(cluster: FakeCluster) -> None:
    cluster.server.step_seconds = 10000
    cluster.apply([migrating()])
    before = cluster.now()
    assert waited(cluster, web()).startswith("deployment/web did not come up within 300 s")
    assert 900 < cluster.now() - before < 910


def quota(pods: int) -> Manifest:
    return thing("v1", "ResourceQuota", "few", "namespace", spec={"hard": {"pods": str(pods)}})


@pytest.mark.parametrize("kind", ["StatefulSet", "Deployment", "DaemonSet"])
def test_pods_that_a_quota_forbids_are_told_of_soon(cluster: FakeCluster, kind: str) -> None:
    cluster.apply([quota(0)])
    before, began = rollout.past(cluster), cluster.now()
    cluster.apply([web(kind=kind)])
    (line, *_) = waited(cluster, web(kind=kind), before=before).splitlines()
    assert line.startswith(f"{kind.lower()}/web: its pods are refused: pods ")
    assert "exceeded quota: few" in line
    assert line.endswith("; `kubectl describe resourcequota` shows what takes it; free or raise it")
    assert 30 < cluster.now() - began < 40


@pytest.mark.parametrize("kind", ["StatefulSet", "Deployment", "DaemonSet"])
def test_a_quota_may_be_freed_by_what_ends(cluster: FakeCluster, kind: str) -> None:
    cluster.apply([quota(1), web(name="ending")])
    rollout.wait(cluster, [web(name="ending")])
    cluster.server.grace = 20
    cluster.apply([web(kind=kind)])
    cluster.remove_by_hand("deployment/ending")
    rollout.wait(cluster, [web(kind=kind)])


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ('pods "web-" is forbidden: maximum memory usage per Container is 1Mi', "change the release, or the rule"),
        ('admission webhook "rules.example" denied the request: no', "change the release, or the rule"),
        ("pods is forbidden: error looking up service account a/web: not found", "has to make that ServiceAccount"),
        ('Internal error occurred: failed calling webhook "a": context deadline exceeded', ""),
        ("etcdserver: request timed out", ""),
    ],
)
def test_a_refusal_names_its_remedy_and_what_does_not_answer_refuses_nothing(message: str, remedy: str) -> None:
    about = {"kind": "StatefulSet", "name": "web", "uid": "web"}
    event = {"involvedObject": about, "type": "Warning", "reason": "FailedCreate", "message": message}
    found = [trouble.words for trouble in refusals(body("StatefulSet", "web"), [], [event])]
    assert [remedy in words for words in found] == ([True] if remedy else [])


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_refusal_and_a_pod_in_one_second_the_pod_counts(order: int) -> None:
    about = {"involvedObject": {"uid": "web"}, "lastTimestamp": "2026-11-02T00:00:00Z"}
    refused_pod = {**about, "type": "Warning", "reason": "FailedCreate", "message": "is forbidden: exceeded quota"}
    events = [refused_pod, {**about, "type": "Normal", "reason": "SuccessfulCreate"}]
    assert [*refusals(body("StatefulSet", "web"), [], events[::order])] == []
    assert [*refusals(body("StatefulSet", "web"), [], [refused_pod])]


@pytest.mark.parametrize("kind", ["StatefulSet", "Deployment"])
def test_pods_that_were_refused_before_may_come_now(cluster: FakeCluster, kind: str) -> None:
    cluster.apply([quota(0), web(kind=kind)])
    cluster.pause(60)
    before = rollout.past(cluster)
    cluster.by_hand("resourcequota/few", {"spec": {"hard": {"pods": "3"}}})
    cluster.apply([web(kind=kind)])
    rollout.wait(cluster, [web(kind=kind)], before=before)


def test_the_time_in_which_the_api_server_does_not_answer_does_not_count(cluster: FakeCluster) -> None:
    cluster.server.ill["slow:1"] = "unstarted"
    cluster.apply([web("slow:1")])
    with cluster.every(*later(250, lambda: cluster.away(180))), cluster.every(*later(460, cluster.server.ill.clear)):
        rollout.wait(cluster, [web()])


def test_events_are_looked_at_now_and_then_and_for_a_deployment_not_at_all(cluster: FakeCluster) -> None:
    looked: list[str] = []
    cluster.faults.before = lambda cluster, operation, name: looked.append(name)
    cluster.server.ready_after = 60
    for kind, most in (("Deployment", 0), ("StatefulSet", 14)):
        looked.clear()
        cluster.apply([web(kind=kind)])
        rollout.wait(cluster, [web(kind=kind)])
        assert most / 2 <= looked.count("Event") <= most


def test_pods_that_do_not_end_are_named(cluster: FakeCluster) -> None:
    cluster.apply([web()])
    rollout.wait(cluster, [web()])
    (pod,) = cluster.pods()
    # So that it looks every second.
    cluster.faults.latency = 0
    before = cluster.now()
    with pytest.raises(DeliveryError, match=f"pod/{pod} did not end within 60 s"):
        rollout.gone(cluster, "app.kubernetes.io/component=web", seconds=60)
    assert 59.9 < cluster.now() - before < 61.1
    rollout.gone(cluster, "app.kubernetes.io/component=other", seconds=0)


def test_pods_that_end_in_time_are_waited_for(cluster: FakeCluster) -> None:
    cluster.server.grace = 50
    cluster.apply([web()])
    rollout.wait(cluster, [web()])
    cluster.remove_by_hand("deployment/web")
    rollout.gone(cluster, "app.kubernetes.io/component=web", seconds=60)
    assert cluster.list("Pod") == []


def test_a_restart_replaces_the_pods(cluster: FakeCluster) -> None:
    cluster.apply([web()])
    rollout.wait(cluster, [web()])
    before = cluster.pods()
    rollout.restart(cluster, "deployment/web", "2026-11-30T00:00:00+00:00")
    rollout.wait(cluster, [web()])
    assert len(cluster.pods()) == 1
    assert cluster.pods() != before
    template = (cluster.get("deployment/web") or {})["spec"]["template"]["metadata"]
    assert template["annotations"] == {"kubectl.kubernetes.io/restartedAt": "2026-11-30T00:00:00+00:00"}


def test_a_job_runs_again_with_every_release_and_is_no_change(cluster: FakeCluster) -> None:
    pod = {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [{"name": "accounts"}]}}
    accounts = thing("batch/v1", "Job", "accounts", "accounts", spec={"template": pod})
    objects = [accounts, web()]
    for _ in range(2):
        rollout.apply(cluster, objects)
    assert (cluster.get("job/accounts") or {})["metadata"]["uid"].startswith("0000")
    first = (cluster.get("job/accounts") or {})["metadata"]["uid"]
    rollout.apply(cluster, objects)
    assert (cluster.get("job/accounts") or {})["metadata"]["uid"] != first
    pod["spec"]["containers"] = [{"name": "other"}]
    assert rollout.difference(cluster, objects) == ""


def accounts(**spec: Any) -> Manifest:
    pod = {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [{"name": "step"}]}}
    return thing("batch/v1", "Job", "accounts", "accounts", spec={"template": pod, **spec})


def test_a_job_that_is_done_and_gone_is_waited_for_no_more(cluster: FakeCluster) -> None:
    quick = accounts(ttlSecondsAfterFinished=1)
    cluster.apply([web(), quick])
    cluster.server.ready_after = 20
    rollout.wait(cluster, [web(), quick])
    assert cluster.get("job/accounts") is None


def test_a_job_of_an_administrator_s_is_not_waited_for(cluster: FakeCluster) -> None:
    theirs = accounts()
    theirs["metadata"]["labels"][COMPONENT] = "credentials"
    cluster.server.ill = {"step": "ImagePullBackOff"}
    cluster.apply([theirs])
    rollout.wait(cluster, [theirs])


@pytest.mark.parametrize("illness", ["ImagePullBackOff", "FailedCreate"])
def test_a_job_that_cannot_begin_ends_the_waiting(cluster: FakeCluster, illness: str) -> None:
    cluster.server.ill = {"step": illness}
    cluster.apply([accounts()])
    assert waited(cluster, accounts()).startswith(("accounts-", "job/accounts: its pods are refused"))
    assert cluster.now() < 60


def test_a_job_that_does_not_end_is_late(cluster: FakeCluster) -> None:
    cluster.server.step_seconds = 1000
    cluster.apply([accounts()])
    assert waited(cluster, accounts()).startswith("job/accounts did not come up within 300 s")


def test_a_pod_that_is_going_is_not_blamed(cluster: FakeCluster) -> None:
    cluster.server.grace = 2 * diagnosis.READY_WITHIN
    cluster.server.ill = {"web": "unready"}
    cluster.apply([web()])
    cluster.pause(10)
    (pod,) = cluster.pods()
    cluster.server.doom(cluster.server.objects["Pod", PROD.namespace, pod])
    cluster.server.ill, cluster.server.ready_after = {}, 2 * diagnosis.READY_WITHIN
    rollout.wait(cluster, [web()])


def test_a_workload_that_somebody_scales_does_not_count_as_complete(cluster: FakeCluster) -> None:
    cluster.apply([web()])
    cluster.by_hand("deployment/web", {"spec": {"replicas": 0}})
    cluster.pause(10)
    assert waited(cluster, web()).startswith(
        "deployment/web was scaled to 0 by hand, or by what `kubectl get hpa` shows, and is to have 1"
    )


def test_a_workload_is_no_less_scaled_by_hand_where_the_cluster_refuses_to_say_what_it_would_admit(
    cluster: FakeCluster,
) -> None:
    cluster.apply([web()])
    cluster.by_hand("deployment/web", {"spec": {"replicas": 0}})
    cluster.pause(10)

    def refuses(cluster: FakeCluster, operation: str, name: str) -> None:
        if operation == "preview":
            refused(cluster, operation, name)

    cluster.faults.before = refuses
    assert waited(cluster, web()).startswith("deployment/web was scaled to 0 by hand")


def test_the_replicas_that_no_manifest_names_are_an_autoscaler_s(cluster: FakeCluster) -> None:
    body = web()
    del body["spec"]["replicas"]
    cluster.apply([body])
    cluster.by_hand("deployment/web", {"spec": {"replicas": 3}})
    rollout.wait(cluster, [body])
    assert len(cluster.pods()) == 3


def test_what_is_an_administrator_s_is_neither_applied_nor_shown(cluster: FakeCluster) -> None:
    objects = [thing("v1", "ConfigMap", name, name) for name in ("namespace", "credentials", "web")]
    assert rollout.difference(cluster, objects).count("LIVE/") == 1
    rollout.apply(cluster, objects)
    found = [each["metadata"]["name"] for each in cluster.list("ConfigMap")]
    assert found == ["web"]


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized", True),
        ("unexpected status from HEAD request to https://ghcr.io/v2/a/b/manifests/c: 403 Forbidden", True),
        ("pull access denied, repository does not exist or may require authorization", True),
        ("ghcr.io/a/b:1: not found", False),
        ("dial tcp: lookup ghcr.io: no such host", False),
    ],
)
def test_of_an_image_that_the_registry_refuses_the_way_is_named(message: str, refused: bool) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "a/b": {message}'}}
    status = {"containerStatuses": [{"name": "web", "state": waiting, "ready": False, "restartCount": 0}]}
    (trouble,) = troubles({"metadata": {"name": "web-1", "uid": "1"}, "status": status, "spec": {}})
    assert ("docs/github.md#private-images" in trouble.words) is refused
