"""What only the cluster in memory has: a clock, controllers, and faults that a test chooses."""

from __future__ import annotations

import json

import pytest

from delivery import diagnosis, rollout, workloads
from delivery.cluster import Manifest, RefusedError, UnavailableError
from delivery.database import QUERY
from tests.delivery.database import BACKUP, BEFORE, NAMESPACE, Database
from tests.delivery.fake import FakeCluster, Killed, LostError
from tests.delivery.server import Container, StepError
from tests.delivery.small import PROD, Stage, body, render

WEB_PODS = "app.kubernetes.io/component=web"


NEW = render("2")


@pytest.fixture
def cluster(empty: Stage) -> FakeCluster:
    """An environment that runs."""
    empty.cluster.apply(render("1").objects)
    empty.cluster.pause(30)
    return empty.cluster


@pytest.fixture
def database(empty: Stage) -> Database:
    return empty.database


def get(cluster: FakeCluster, name: str) -> Manifest:
    found = cluster.get(name)
    assert found
    return found


def run(cluster: FakeCluster, cronjob: str, **variables: str) -> str:
    """The name of a Job as a CronJob makes it, half a minute after its beginning."""
    spec = get(cluster, f"cronjob/{cronjob}")["spec"]["jobTemplate"]["spec"]
    pod = spec["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        container["env"] += [{"name": name, "value": value} for name, value in variables.items()]
    metadata = {"name": f"{cronjob}-1", "namespace": NAMESPACE}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
    cluster.create({**job, "spec": {**spec, "ttlSecondsAfterFinished": 600}})
    cluster.pause(30)
    return f"job/{cronjob}-1"


def ended(cluster: FakeCluster, job: str) -> str:
    return str(get(cluster, job)["status"]["conditions"][-1]["type"])


def test_a_rollout_never_has_fewer_pods_than_it_asks_for(cluster: FakeCluster) -> None:
    old = cluster.pods(WEB_PODS)
    cluster.apply([NEW.web])
    seen = []
    while not rollout.complete(get(cluster, "deployment/web")):
        pods = cluster.list("Pod", selector=WEB_PODS)
        seen.append([pod["metadata"]["name"] for pod in pods if workloads.ready(pod)])
        cluster.pause(1)
    assert min(map(len, seen)) == 2
    assert not set(old) & set(cluster.pods(WEB_PODS))


@pytest.mark.parametrize(
    ("reason", "hopeless", "unready"),
    [
        ("ImagePullBackOff", True, False),
        ("CrashLoopBackOff", True, False),
        ("CreateContainerConfigError", True, False),
        ("unstarted", False, False),
        ("unready", False, True),
    ],
)
def test_an_image_may_be_ill(cluster: FakeCluster, reason: str, hopeless: bool, unready: bool) -> None:
    cluster.server.ill[NEW.image] = reason
    cluster.apply([NEW.web])
    cluster.pause(30)
    workload = get(cluster, "deployment/web")
    (pod,) = workloads.newest_pods(workload, cluster.list("ReplicaSet", "Pod"))
    assert not rollout.complete(workload)
    bearable = [bool(trouble.bearable) for trouble in diagnosis.troubles(pod)]
    assert (False in bearable, True in bearable) == (hopeless, unready)


def test_a_container_may_be_restarted_later(cluster: FakeCluster) -> None:
    cluster.server.ill["worker"] = "restarting"

    def restarts() -> int:
        (pod,) = cluster.list("Pod", selector="app.kubernetes.io/component=worker")
        return int(pod["status"]["containerStatuses"][0]["restartCount"])

    before = restarts()
    cluster.pause(30)
    assert restarts() > before


def test_a_step_before_a_pod_that_fails_keeps_it_from_starting(cluster: FakeCluster) -> None:
    def fail(container: Container) -> str:
        raise StepError("no schema")

    cluster.server.steps["migrate"] = fail
    template = {"spec": {"initContainers": [{"name": "migrate"}]}}
    cluster.by_hand("deployment/web", {"spec": {"template": template}})
    cluster.pause(5)
    workload = get(cluster, "deployment/web")
    (pod,) = workloads.newest_pods(workload, cluster.list("ReplicaSet", "Pod"))
    assert "CrashLoopBackOff" in next(diagnosis.hopeless(pod))


def test_another_pod_takes_the_place_of_one_that_was_evicted(cluster: FakeCluster) -> None:
    for selector in (WEB_PODS, "app.kubernetes.io/component=database"):
        cluster.evict(cluster.pods(selector)[0])
    cluster.pause(30)
    assert rollout.complete(get(cluster, "deployment/web"))
    assert rollout.complete(get(cluster, "statefulset/mysql"))


@pytest.mark.parametrize("reason", ["FailedCreate", "FailedScheduling", "FailedMount"])
def test_a_job_that_cannot_begin_has_a_warning(cluster: FakeCluster, reason: str) -> None:
    cluster.server.ill["dump"] = reason
    job = run(cluster, "backup")
    warnings = [event["reason"] for event in cluster.list("Event") if event["type"] == "Warning"]
    assert warnings == [reason]
    assert "conditions" not in get(cluster, job)["status"]


def test_a_job_is_tried_again_until_its_limit(cluster: FakeCluster, database: Database) -> None:
    database.broken["save"] = "the store answers 503"
    cluster.by_hand("cronjob/backup", {"spec": {"jobTemplate": {"spec": {"backoffLimit": 1}}}})
    job = run(cluster, "backup")
    assert len(cluster.list("Pod", selector=f"job-name={job.removeprefix('job/')}")) == 2
    assert ended(cluster, job) == "Failed"


def test_a_job_that_is_too_slow_has_failed(cluster: FakeCluster) -> None:
    cluster.server.step_seconds = 100
    cluster.by_hand("cronjob/backup", {"spec": {"jobTemplate": {"spec": {"activeDeadlineSeconds": 10}}}})
    job = run(cluster, "backup")
    assert get(cluster, job)["status"]["conditions"][-1]["reason"] == "DeadlineExceeded"
    assert cluster.list("Pod", selector=f"job-name={job.removeprefix('job/')}") == []


def test_a_job_goes_some_time_after_its_end(cluster: FakeCluster) -> None:
    job = run(cluster, "backup")
    assert ended(cluster, job) == "Complete"
    cluster.pause(600)
    assert cluster.get(job) is None


def test_the_pod_of_a_job_that_somebody_deleted_goes_after_it(cluster: FakeCluster) -> None:
    cluster.server.step_seconds, cluster.server.grace = 100, 10
    job = run(cluster, "backup")
    selector = f"job-name={job.removeprefix('job/')}"
    cluster.remove_by_hand(job)
    cluster.pause(5)
    assert len(cluster.list("Pod", selector=selector)) == 1
    cluster.pause(30)
    assert cluster.list("Pod", selector=selector) == []


def test_a_restore_has_a_part_of_the_data_in_between(cluster: FakeCluster, database: Database) -> None:
    partial = []

    def look() -> bool:
        partial.append(database.partial)
        return True

    with cluster.every(1, look):
        job = run(cluster, "restore", BACKUP_NAME=BACKUP, OVERWRITE=NAMESPACE)
    assert ended(cluster, job) == "Complete"
    assert (database.data, database.partial, any(partial)) == ("of the backup", False, True)


def test_a_backup_has_what_the_database_holds(cluster: FakeCluster, database: Database) -> None:
    job = run(cluster, "backup")
    name = json.loads(cluster.logs(job, "save"))["backup"]
    assert database.store[name] == BEFORE
    tables, partial, *_ = cluster.exec("mysql-0", "mysql", "sh", "-c", QUERY).split()
    assert (tables, partial) == ("5", "0")


def test_an_answer_that_is_lost_is_asked_for_again(cluster: FakeCluster) -> None:
    asked = []

    def lost(there: FakeCluster, operation: str, name: str) -> None:
        asked.append((operation, name))
        if len(asked) == 1:
            raise LostError("unexpected EOF")

    cluster.faults.after = lost
    cluster.patch("deployment/web", {"spec": {"replicas": 3}})
    assert asked == [("patch", "deployment/web")] * 2


def test_a_fault_comes_before_or_after_the_work_is_done(cluster: FakeCluster) -> None:
    def away(there: FakeCluster, operation: str, name: str) -> None:
        raise UnavailableError(operation)

    change = {"metadata": {"annotations": {"note": "x"}}}
    for moment, done in (("before", False), ("after", True)):
        setattr(cluster.faults, moment, away)
        with pytest.raises(UnavailableError):
            cluster.patch("cronjob/restore", change)
        body = cluster.server.objects["CronJob", NAMESPACE, "restore"]
        assert ("annotations" in body["metadata"]) == done
        setattr(cluster.faults, moment, lambda there, operation, name: None)


def test_nothing_of_a_tool_that_was_killed_runs_any_more(cluster: FakeCluster) -> None:
    def kill(there: FakeCluster, operation: str, name: str) -> None:
        raise Killed

    cluster.faults.before = kill
    for _ in range(2):
        with pytest.raises(Killed):
            cluster.get("cronjob/restore")
        cluster.faults.before = lambda there, operation, name: None
    with pytest.raises(Killed):
        cluster.pause(1)


def test_nothing_new_comes_into_a_namespace_that_somebody_deletes(cluster: FakeCluster) -> None:
    cluster.by_hand(f"namespace/{PROD.namespace}", {"metadata": {"finalizers": ["hold"]}})
    cluster.server.doom(cluster.server.objects["Namespace", "", PROD.namespace])
    with pytest.raises(RefusedError, match="because it is being terminated"):
        cluster.create(body("v1", "ConfigMap", "late", "web"))
