from __future__ import annotations

from typing import Any

import pytest

from delivery import job as jobs
from delivery.cluster import Manifest, UnavailableError
from delivery.job import (
    KEPT,
    LABEL,
    JobError,
    VanishedError,
    alone,
    from_template,
    owned_by_nobody,
    verdict,
    with_variables,
)
from delivery.shell import DeliveryError
from tests.delivery.fake import FakeCluster
from tests.delivery.kubelet import OBSTACLES
from tests.delivery.server import Container, StepError
from tests.delivery.small import PROD, cronjob


def job() -> dict[str, Any]:
    """A sidecar, a step and a last container, two of which have a variable."""
    name = {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    before = [{"name": "rclone", "restartPolicy": "Always"}, {"name": "fetch", "args": ["fetch"], "env": [dict(name)]}]
    last = {"name": "compare", "env": [dict(name), {"name": "LOG_FORMAT", "value": "json"}]}
    pod = {"initContainers": before, "containers": [last]}
    return {"metadata": {"name": "restore-1"}, "spec": {"template": {"spec": pod}}}


def test_a_variable_gets_its_value_in_every_container_that_has_it() -> None:
    pod = with_variables(job(), {"NAMESPACE": "other"})["spec"]["template"]["spec"]
    assert pod["initContainers"][1]["env"] == [{"name": "NAMESPACE", "value": "other"}]
    assert pod["containers"][0]["env"][0] == {"name": "NAMESPACE", "value": "other"}
    assert pod["containers"][0]["env"][1] == {"name": "LOG_FORMAT", "value": "json"}


def test_a_variable_that_no_container_has_is_an_error() -> None:
    with pytest.raises(DeliveryError, match="has the variable BACKUP_NAME"):
        with_variables(job(), {"BACKUP_NAME": "newest"})


def test_one_container_alone_keeps_the_sidecars_before_it() -> None:
    pod = alone(job(), "fetch", ["list"])["spec"]["template"]["spec"]
    assert [part["name"] for part in pod["initContainers"]] == ["rclone"]
    assert [(part["name"], part["args"]) for part in pod["containers"]] == [("fetch", ["list"])]


def test_a_container_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DeliveryError, match="has no container load"):
        alone(job(), "load", [])


def test_a_job_of_a_cronjob_is_not_owned_by_it_and_goes_by_itself() -> None:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": job()["spec"] | {"activeDeadlineSeconds": 1800}}
    cronjob = {"metadata": {"name": "backup", "namespace": "prod", "uid": "1"}, "spec": {"jobTemplate": template}}
    found = owned_by_nobody(from_template(cronjob), seconds=600)
    name = found["metadata"]["name"]
    assert found["metadata"] == {"name": name, "namespace": "prod", "labels": {"app": "x", LABEL: name}}
    assert found["spec"]["template"]["metadata"]["labels"] == {LABEL: name}
    assert (found["spec"]["ttlSecondsAfterFinished"], found["spec"]["activeDeadlineSeconds"]) == (KEPT, 720)


@pytest.mark.parametrize(("limit", "expected"), [({}, 1), ({"backoffLimit": 0}, 0), ({"backoffLimit": 6}, 1)])
def test_while_somebody_waits_a_job_tries_once_more_at_most(limit: dict[str, int], expected: int) -> None:
    there = job()
    there["spec"] |= limit
    assert owned_by_nobody(there, seconds=600)["spec"]["backoffLimit"] == expected


def test_what_kubectl_makes_of_a_cronjob_loses_its_owner_too() -> None:
    there = job()
    there["metadata"]["ownerReferences"] = [{"kind": "CronJob", "controller": True}]
    assert "ownerReferences" not in owned_by_nobody(there, seconds=600)["metadata"]


def state(condition: str | None) -> dict[str, Any]:
    conditions = [{"type": condition, "status": "True"}] if condition else []
    return {"kind": "Job", "metadata": {"name": "j"}, "status": {"conditions": conditions}}


def pod(phase: str) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": phase}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("now", "seen", "found"),
    [
        ([state(None), pod("Running")], [], (False, None)),
        # Its pods have ended, and the Job's own controller has not counted them yet.
        ([state(None), pod("Failed")], [pod("Failed")], (False, None)),
        ([state("SuccessCriteriaMet")], [pod("Succeeded")], (False, None)),
        ([state("Complete")], [], (True, "Complete")),
        ([state("Failed")], [pod("Failed")], (True, "Failed")),
        # The Job is gone: nothing has ended while a pod is at work, and what the pods were last seen as counts.
        ([pod("Running")], [pod("Running")], (False, None)),
        ([], [pod("Succeeded")], (True, "Complete")),
        ([pod("Failed")], [pod("Failed")], (True, "Failed")),
        ([], [state(None), pod("Failed")], (True, "Failed")),
        ([], [pod("Running")], (True, None)),
        ([], [pod("Failed"), pod("Running")], (True, None)),
        ([], [], (True, None)),
    ],
)
def test_how_a_job_ended_is_known_without_the_job_as_far_as_its_pods_tell(
    now: list[dict[str, Any]], seen: list[dict[str, Any]], found: tuple[bool, str | None]
) -> None:
    assert verdict(now, seen) == found


@pytest.fixture
def cluster() -> FakeCluster:
    """A namespace with a CronJob of two steps."""
    cluster = FakeCluster(PROD.namespace)
    metadata = {"name": PROD.namespace}
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    cluster.apply([cronjob("backup", ("dump", "save"), PRUNE="yes")])
    return cluster


def run(cluster: FakeCluster) -> str:
    return jobs.run(cluster, "backup")


def fails(cluster: FakeCluster, step: str, words: str, code: int = 1, reason: str = "Error") -> None:
    def fail(container: Container) -> str:
        raise StepError(words, code, reason)

    cluster.server.steps[step] = fail


def sidecar(cluster: FakeCluster) -> None:
    """The template gets one more container, which runs beside the others."""
    body = cluster.get("cronjob/backup") or {}
    spec = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    spec["initContainers"].insert(0, {"name": "proxy", "restartPolicy": "Always"})
    cluster.replace(body)


def test_what_the_last_container_printed_is_the_answer(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.server.steps |= {"dump": lambda container: "dumped\n", "save": lambda container: "saved\n"}
    assert run(cluster) == "saved\n"
    (body,) = cluster.list("Job")
    assert capsys.readouterr().err == f"delivery: waiting for job/{body['metadata']['name']}\n"


def test_values_of_the_template_are_replaced_in_the_job(cluster: FakeCluster) -> None:
    cluster.server.steps["save"] = lambda container: container.variable("PRUNE")
    assert jobs.run(cluster, "backup", {"PRUNE": "no"}) == "no"


def test_one_container_may_run_with_other_arguments(cluster: FakeCluster) -> None:
    cluster.server.steps["dump"] = lambda container: " ".join(container.spec["args"])
    assert jobs.run(cluster, "backup", only="dump", arguments=("list", "all")) == "list all"


def test_without_its_cronjob_a_job_asks_for_a_release(cluster: FakeCluster) -> None:
    reason = f"{PROD.namespace} has no CronJob restore; deliver a release"
    with pytest.raises(DeliveryError, match=reason):
        jobs.run(cluster, "restore")


def test_a_webhook_that_does_not_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> None:
    silent = 'Internal error occurred: failed calling webhook "a.example": context deadline exceeded'
    monkeypatch.setitem(OBSTACLES, "FailedCreate", silent)
    cluster.server.ill["save"] = "FailedCreate"

    def back() -> bool:
        cluster.server.ill.clear()
        return False

    with cluster.every(200, back):
        run(cluster)
    assert cluster.now() > 200


@pytest.mark.parametrize(
    ("obstacle", "seconds", "message"),
    [
        ("FailedCreate", 30, "exceeded quota.*; `kubectl describe resourcequota` shows"),
        ("FailedMount", 30, "secret not found"),
        ("FailedScheduling", 600, "Insufficient memory"),
    ],
)
def test_a_job_that_cannot_begin_is_given_up_and_deleted(
    cluster: FakeCluster,
    obstacle: str,
    seconds: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.server.ill["save"] = obstacle
    # So that it looks every second.
    cluster.faults.latency = 0
    reason = rf"has not begun for {seconds + 1} s: {obstacle}: .*{message}"
    with pytest.raises(JobError, match=reason):
        run(cluster)
    assert capsys.readouterr().err.count(f"has not begun: {obstacle}") == 1
    assert cluster.list("Job", "Pod") == []


def test_a_node_without_room_may_get_some(cluster: FakeCluster) -> None:
    cluster.server.ill["save"] = "FailedScheduling"

    def relieved() -> bool:
        if cluster.now() > 590:
            cluster.server.ill.clear()
        return True

    cluster.server.steps["save"] = lambda container: "saved\n"
    with cluster.every(1, relieved):
        assert run(cluster) == "saved\n"


def test_a_warning_about_another_pod_or_a_step_that_has_begun_is_no_obstacle(cluster: FakeCluster) -> None:
    cluster.server.step_seconds = 60

    def dump(container: Container) -> str:
        cluster.server.event(container.pod, "Unhealthy", "the probe failed")
        return ""

    other = {"name": "another", "namespace": PROD.namespace, "uid": "1"}
    cluster.server.event({"kind": "Pod", "metadata": other}, "FailedMount", "no volume")
    cluster.server.steps |= {"dump": dump, "save": lambda container: "saved\n"}
    assert run(cluster) == "saved\n"


def event(about: str, number: int, **fields: Any) -> Manifest:
    metadata = {"name": f"event-{number}", "namespace": PROD.namespace}
    return {"kind": "Event", "metadata": metadata, "involvedObject": {"name": about}, **fields}


@pytest.mark.parametrize(
    ("newest", "obstacle"),
    [
        ({"type": "Warning", "reason": "FailedMount", "message": "no\nvolume"}, "FailedMount: no volume"),
        ({"type": "Normal", "reason": "Scheduled", "message": "to a node"}, ""),
    ],
)
def test_only_the_newest_event_can_be_an_obstacle(cluster: FakeCluster, newest: Manifest, obstacle: str) -> None:
    full = {"type": "Warning", "reason": "FailedScheduling", "message": "full"}
    cluster.create(event("job-1", 1, **full, lastTimestamp="2026-11-30T00:00:01Z"))
    # The scheduler's have this time alone.
    cluster.create(event("job-1", 2, **newest, lastTimestamp=None, eventTime="2026-11-30T00:00:02Z"))
    cluster.create(event("job-1", 3, **full, lastTimestamp="2026-11-30T00:00:00Z"))
    cluster.create(event("job-2", 4, **full, lastTimestamp="2026-11-30T00:00:03Z"))
    cluster.create(event("job-1", 5, **full))
    assert jobs._obstacle(cluster, {"job-1"}) == obstacle
    assert jobs._obstacle(cluster, {"job-3"}) == ""


def test_a_pod_that_will_never_start_ends_the_job_at_once(cluster: FakeCluster) -> None:
    cluster.server.ill["dump"] = "ImagePullBackOff"
    with pytest.raises(JobError, match=r"cannot begin: backup-\S+/dump: ImagePullBackOff: Back-off"):
        run(cluster)
    assert cluster.now() < 5
    assert cluster.list("Job", "Pod") == []


def test_a_job_that_takes_too_long_is_ended_with_its_last_words(cluster: FakeCluster) -> None:
    cluster.server.step_seconds = 100
    cluster.server.steps["dump"] = lambda container: "".join(f"row {n}\n" for n in range(1, 31))
    with pytest.raises(JobError) as error:
        jobs.run(cluster, "backup", seconds=50)
    assert error.value.reason == "did not end within 50 s"
    lines = str(error.value).splitlines()
    assert (lines[1].endswith("/dump] row 11"), lines[-1].endswith("/dump] row 30")) == (True, True)
    assert 50 < cluster.now() < 55
    assert cluster.list("Job", "Pod") == []


@pytest.mark.parametrize(
    ("words", "code", "why", "reason"),
    [
        ("begun\nno space left\n\n", 1, "Error", "dump: no space left"),
        ('{"level": "ERROR", "message": "no space"}', 1, "Error", "dump: no space"),
        ('{"level": "ERROR"}', 1, "Error", 'dump: {"level": "ERROR"}'),
        ("7", 1, "Error", "dump: 7"),
        ("", 1, "Error", "dump: it printed nothing"),
        ("words", 137, "OOMKilled", "dump: OOMKilled"),
    ],
)
def test_why_a_job_failed_is_one_line(cluster: FakeCluster, words: str, code: int, why: str, reason: str) -> None:
    sidecar(cluster)
    fails(cluster, "dump", words, code, why)
    with pytest.raises(JobError, match=r"^job/backup-\S+ failed: dump: ") as error:
        run(cluster)
    assert error.value.reason == reason


def test_the_step_that_failed_is_named_rather_than_those_before_it(cluster: FakeCluster) -> None:
    cluster.server.steps["dump"] = lambda container: "dumped\n"
    fails(cluster, "save", "the store is away")
    with pytest.raises(JobError) as error:
        run(cluster)
    assert error.value.reason == "save: the store is away"
    assert "/dump] dumped\n" in str(error.value)


def test_of_several_pods_the_last_one_tells_why(cluster: FakeCluster) -> None:
    cluster.by_hand("cronjob/backup", {"spec": {"jobTemplate": {"spec": {"backoffLimit": 1}}}})
    words = iter(["the first", "the second"])

    def fail(container: Container) -> str:
        raise StepError(next(words))

    cluster.server.steps["dump"] = fail
    with pytest.raises(JobError) as error:
        run(cluster)
    assert error.value.reason == "dump: the second"


def test_what_the_node_did_to_a_pod_tells_more_than_its_words(cluster: FakeCluster) -> None:
    cluster.server.step_seconds = 20

    def evicted() -> bool:
        cluster.evict(*cluster.pods())
        return False

    with cluster.every(10, evicted), pytest.raises(JobError) as error:
        run(cluster)
    assert error.value.reason == "Evicted: The node was low on resource: memory."


def test_without_a_pod_the_job_s_own_condition_tells_why(cluster: FakeCluster) -> None:
    change = {"spec": {"jobTemplate": {"spec": {"activeDeadlineSeconds": 10}}}}
    cluster.by_hand("cronjob/backup", change)
    cluster.server.step_seconds = 1000
    with pytest.raises(JobError) as error:
        run(cluster)
    assert error.value.reason == "Job was active longer than specified deadline"
    # The template's own deadline, and what is left to whoever follows the Job.
    assert 130 <= cluster.now() < 140


def test_a_failure_whose_log_cannot_be_read_is_a_failure_all_the_same(cluster: FakeCluster) -> None:
    fails(cluster, "dump", "words")
    cluster.forbidden.add(("get", "pods/log"))
    with pytest.raises(JobError, match=r"its log cannot be read: .*Forbidden") as error:
        run(cluster)
    assert error.value.reason == "Job has reached the specified backoff limit"


def test_work_whose_log_cannot_be_read_is_done(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.forbidden.add(("get", "pods/log"))
    assert run(cluster) == ""
    assert "has done its work, and its log cannot be read: Error from server" in capsys.readouterr().err


def test_work_whose_pod_has_gone_is_done(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    def pod_gone(cluster: FakeCluster, operation: str, name: str) -> None:
        if all("completionTime" in job.get("status", {}) for job in cluster.server.of("Job")):
            for pod in cluster.pods():
                cluster.remove_by_hand(f"pod/{pod}")

    cluster.faults.before = pod_gone
    assert run(cluster) == ""
    assert "its log cannot be read: its pods are gone" in capsys.readouterr().err


def test_a_job_that_somebody_deletes_names_when_it_began(cluster: FakeCluster) -> None:
    cluster.pause(3600)

    def vanish(container: Container) -> str:
        for body in cluster.server.of("Job"):
            cluster.remove_by_hand(f"job/{body['metadata']['name']}")
        return ""

    cluster.server.steps["dump"] = vanish
    with pytest.raises(VanishedError, match="whether it did its work is not known") as error:
        run(cluster)
    assert error.value.since == "20261130T010000Z"


def test_a_job_that_nobody_ever_saw_began_at_no_known_time(cluster: FakeCluster) -> None:
    def vanish(cluster: FakeCluster, operation: str, name: str) -> None:
        for body in cluster.server.of("Job"):
            cluster.remove_by_hand(f"job/{body['metadata']['name']}")

    cluster.faults.before = vanish
    with pytest.raises(VanishedError) as error:
        run(cluster)
    assert error.value.since == ""


@pytest.mark.parametrize(("seconds", "patient"), [(590, True), (620, False)])
def test_an_api_server_that_is_away_costs_no_job_for_ten_minutes(
    cluster: FakeCluster, seconds: float, patient: bool
) -> None:
    def away(container: Container) -> str:
        cluster.away(seconds)
        return ""

    cluster.server.steps["dump"] = away
    if patient:
        assert run(cluster) == ""
    else:
        with pytest.raises(UnavailableError):
            run(cluster)


def test_a_job_may_run_a_little_longer_than_its_follower_and_goes_by_itself(
    cluster: FakeCluster,
) -> None:
    run(cluster)
    jobs.run(cluster, "backup", seconds=100.4)
    specs = [body["spec"] for body in cluster.list("Job")]
    assert sorted(spec["activeDeadlineSeconds"] for spec in specs) == [220, 3720]
    assert {spec["ttlSecondsAfterFinished"] for spec in specs} == {600}


def test_only_jobs_of_the_component_that_have_not_ended_are_waited_for(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    template = cluster.get("cronjob/backup") or {}
    run(cluster)
    cluster.create(alone(from_template(template), "dump"))
    jobs.wait_for_others(cluster, "backup")
    assert "is running" not in capsys.readouterr().err
    assert [name.partition("-")[0] for name in jobs.unfinished(cluster, "dump")] == ["backup"]


def test_others_that_do_not_end_are_not_waited_for_any_longer(cluster: FakeCluster) -> None:
    cluster.server.step_seconds = 10_000
    cluster.create(from_template(cluster.get("cronjob/backup") or {}))
    (name,) = jobs.unfinished(cluster, "backup")
    with pytest.raises(DeliveryError, match=f"job/{name} has not ended for 90 s; nothing was begun"):
        jobs.wait_for_others(cluster, "backup", seconds=90)
    assert 90 < cluster.now() < 93


@pytest.mark.parametrize(("grace", "ends"), [(110, True), (130, False)])
def test_a_job_has_ended_when_its_pods_are_gone(cluster: FakeCluster, grace: float, ends: bool) -> None:
    cluster.server.step_seconds, cluster.server.grace = 10_000, grace
    cluster.create(from_template(cluster.get("cronjob/backup") or {}))
    cluster.pause(5)
    (name,) = jobs.unfinished(cluster, "backup")
    # Of a Job that is gone already the pods may still be at work.
    cluster.remove_by_hand(f"job/{name}")
    if ends:
        jobs.end(cluster, [name])
        assert cluster.list("Pod") == []
    else:
        with pytest.raises(DeliveryError, match=f"pod/{name}-.* did not end within 120 s"):
            jobs.end(cluster, [name])
