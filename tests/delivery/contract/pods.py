"""What runs in every Cluster: the pods of workloads and Jobs, and what they show."""

from __future__ import annotations

import copy

import pytest

from delivery import diagnosis, managed, rollout, workloads
from delivery.cluster import Cluster, Manifest, MissingError
from delivery.shell import DeliveryError
from tests.delivery.contract.place import Place, configuration, job, pod, there, until, workload

State = tuple[str, str, object, object]


def warnings(cluster: Cluster, kind: str) -> set[str]:
    """The reasons of the warnings about objects of a kind."""
    return {
        str(event["reason"])
        for event in cluster.list("Event")
        if (event["type"], event["involvedObject"]["kind"]) == ("Warning", kind)
    }


def available(cluster: Cluster, name: str, replicas: int = 1) -> bool:
    body = there(cluster.get(name))
    status = body["status"]
    seen = status.get("observedGeneration", 0) >= body["metadata"]["generation"]
    fields = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return seen and [status.get(field, 0) for field in fields] == [replicas] * len(fields)


def ended(cluster: Cluster, name: str) -> list[str]:
    conditions = there(cluster.get(name))["status"].get("conditions", [])
    return [condition["type"] for condition in conditions if condition["status"] == "True"]


# What keeps the pods of a workload as they are.
HOLDS: list[tuple[str, Manifest]] = [
    ("Deployment", {"paused": True}),
    ("StatefulSet", {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}),
    ("StatefulSet", {"updateStrategy": {"rollingUpdate": {"partition": 1}}}),
    ("DaemonSet", {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}),
]


MISSING = {"secretKeyRef": {"name": "none", "key": "none"}}


FAILING: Manifest = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 600}


CRASHING = ["sh", "-c", "exit 1"]


# By its name: what a container has, and its pod; the phase, and the container's state and probes.
ILL: dict[str, tuple[Manifest, Manifest, State]] = {
    "crowded": ({}, {"nodeSelector": {"no": "node"}}, ("Pending", "", None, None)),
    "crashing": ({"command": CRASHING}, {}, ("Running", "CrashLoopBackOff", False, False)),
    "unset": (
        {"env": [{"name": "A", "valueFrom": MISSING}]},
        {},
        ("Pending", "CreateContainerConfigError", False, False),
    ),
    "unready": ({"readinessProbe": FAILING}, {}, ("Running", "running", True, False)),
    "unstarted": ({"startupProbe": FAILING}, {}, ("Running", "running", False, False)),
}


def state(body: Manifest) -> State:
    """What `ILL` expects of a pod."""
    phase = str(body["status"]["phase"])
    for status in body["status"].get("containerStatuses", []):
        reason = status["state"].get("waiting", {}).get("reason")
        return phase, reason or next(iter(status["state"])), status["started"], status["ready"]
    return phase, "", None, None


def unscheduled(body: Manifest) -> list[str]:
    """Why a pod has no node."""
    conditions = body.get("status", {}).get("conditions", [])
    return [
        condition["message"]
        for condition in conditions
        if (condition["type"], condition["status"]) == ("PodScheduled", "False")
    ]


class Pods:
    """To be run by a class with a fixture `place`."""

    def test_a_deployment_brings_pods_and_they_are_gone_when_it_is(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([workload(place)])
        until(cluster, lambda: available(cluster, "deployment/deployment"))
        (owner,) = cluster.list("ReplicaSet", selector="app=deployment")
        body = there(cluster.get("deployment/deployment"))
        revision = "deployment.kubernetes.io/revision"
        assert body["metadata"]["annotations"][revision] == "1"
        assert owner["metadata"]["annotations"][revision] == "1"
        assert owner["metadata"]["ownerReferences"][0]["uid"] == body["metadata"]["uid"]
        (own,) = cluster.list("Pod", selector="app=deployment")
        assert own["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
        labels = own["metadata"]["labels"]
        assert labels["pod-template-hash"] == owner["metadata"]["labels"]["pod-template-hash"]
        (status,) = own["status"]["containerStatuses"]
        assert (status["ready"], status["started"], status["restartCount"]) == (True, True, 0)
        assert (own["status"]["phase"], "running" in status["state"]) == ("Running", True)
        cluster.delete("deployment/deployment")
        assert cluster.list("Deployment", "ReplicaSet", "Pod", selector="app=deployment") == []

    @pytest.mark.slow
    def test_an_image_that_cannot_be_had_leaves_the_pods_before(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([workload(place)])
        until(cluster, lambda: available(cluster, "deployment/deployment"))
        bad = workload(place)
        bad["spec"]["template"]["spec"]["containers"][0]["image"] = "127.0.0.1:1/none:1"
        cluster.apply([bad])

        def reasons() -> set[str]:
            statuses = [
                status for body in cluster.list("Pod") for status in body["status"].get("containerStatuses", [])
            ]
            return {status["state"].get("waiting", {}).get("reason") for status in statuses}

        until(cluster, lambda: "ImagePullBackOff" in reasons())
        status = there(cluster.get("deployment/deployment"))["status"]
        counts = [status[field] for field in ("replicas", "updatedReplicas", "availableReplicas")]
        assert counts == [2, 1, 1]
        cluster.apply([workload(place)])
        until(cluster, lambda: available(cluster, "deployment/deployment"))
        body = there(cluster.get("deployment/deployment"))
        assert body["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"

    @pytest.mark.parametrize(("name", "ill"), ILL.items(), ids=ILL)
    def test_a_pod_shows_what_is_wrong(self, place: Place, name: str, ill: tuple[Manifest, Manifest, State]) -> None:
        cluster, (container, more, expected) = place.cluster, ill
        body = workload(place)
        spec = body["spec"]["template"]["spec"]
        spec["containers"][0] |= {"name": name, **container}
        spec |= more
        cluster.apply([body])
        until(cluster, lambda: expected in map(state, cluster.list("Pod")))
        # A container that ends at once may have been available for a moment.
        until(cluster, lambda: not available(cluster, "deployment/deployment"))

    def test_warnings_say_why_a_job_has_not_begun(self, place: Place) -> None:
        cluster = place.cluster
        body = job(place, "true", nodeSelector={"no": "node"})
        body["spec"]["template"]["spec"]["containers"][0]["name"] = "crowded"
        cluster.apply([body])
        until(cluster, lambda: "FailedScheduling" in warnings(cluster, "Pod"))
        assert "conditions" not in there(cluster.get("job/job"))["status"]

    def test_a_job_that_is_suspended_has_no_pod_until_that_is_taken_back(self, place: Place) -> None:
        cluster, body = place.cluster, job(place, "true")
        body["spec"]["suspend"] = True
        cluster.apply([body])
        until(cluster, lambda: ended(cluster, "job/job") == ["Suspended"])
        assert cluster.list("Pod", selector="job-name=job") == []
        place.by_hand("job/job", {"spec": {"suspend": False}})
        until(cluster, lambda: "Complete" in ended(cluster, "job/job"))

    def test_a_pod_without_a_workload_runs_and_one_that_is_gated_says_so(self, place: Place) -> None:
        cluster = place.cluster
        gates = [{"conditionType": "example.com/balancer"}]
        body = configuration(place, kind="Pod", spec=pod(place, readinessGates=gates))
        del body["data"]
        cluster.create(body)
        until(cluster, lambda: [*diagnosis.gated(there(cluster.get("pod/one")))] != [])
        (why,) = diagnosis.gated(there(cluster.get("pod/one")))
        assert "readiness gate" in why and "example.com/balancer" in why
        assert not workloads.ready(there(cluster.get("pod/one")))

    def test_a_quota_keeps_the_pods_of_a_job_from_being_made(self, place: Place) -> None:
        cluster = place.cluster
        quota = configuration(place, kind="ResourceQuota", spec={"hard": {"pods": "0"}})
        del quota["data"]
        cluster.create(quota)
        body = job(place, "true")
        body["spec"]["template"]["spec"]["containers"][0]["name"] = "limited"
        cluster.apply([body])
        until(cluster, lambda: "FailedCreate" in warnings(cluster, "Job"))
        assert cluster.list("Pod", selector="job-name=job") == []

    @pytest.mark.parametrize("kind", ["DaemonSet", "Deployment", "StatefulSet"])
    def test_a_quota_keeps_the_pods_of_a_workload_from_being_made_until_it_is_raised(
        self, place: Place, kind: str
    ) -> None:
        cluster = place.cluster
        quota = configuration(place, kind="ResourceQuota", spec={"hard": {"pods": "0"}})
        del quota["data"]
        cluster.create(quota)
        body = workload(place, kind)
        if kind == "DaemonSet":
            del body["spec"]["replicas"]
        cluster.apply([body])

        def refusals() -> list[str]:
            items = cluster.list(kind, "ReplicaSet")
            found = [diagnosis.refusals(item, items, cluster.list("Event")) for item in items[:1]]
            return [trouble.words for troubles in found for trouble in troubles]

        until(cluster, lambda: refusals() != [])
        assert refusals()[0].startswith(f"{kind.lower()}/{kind.lower()}: its pods are refused: ")
        assert "is forbidden: exceeded quota: one" in refusals()[0]
        assert cluster.list("Pod", selector=f"app={kind.lower()}") == []
        cluster.patch("resourcequota/one", {"spec": {"hard": {"pods": "5"}}})
        until(cluster, lambda: rollout.complete(there(cluster.get(f"{kind}/{kind.lower()}"))))
        assert refusals() == []

    def test_a_quota_keeps_the_replica_set_of_a_deployment_from_being_made_until_it_is_raised(
        self, place: Place
    ) -> None:
        cluster = place.cluster
        quota = configuration(place, kind="ResourceQuota", spec={"hard": {"count/replicasets.apps": "0"}})
        del quota["data"]
        cluster.create(quota)
        cluster.apply([workload(place)])

        def words() -> list[str]:
            return [trouble.words for trouble in diagnosis.unmade(there(cluster.get("deployment/deployment")))]

        until(cluster, lambda: words() != [])
        assert words()[0].startswith("deployment/deployment: its pods are refused: Failed to create new replica set")
        assert "is forbidden: exceeded quota: one" in words()[0]
        cluster.patch("resourcequota/one", {"spec": {"hard": {"count/replicasets.apps": "5"}}})
        until(cluster, lambda: rollout.complete(there(cluster.get("deployment/deployment"))))
        assert words() == []

    def test_a_stateful_set_names_its_pods_and_their_revision(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([workload(place, "StatefulSet", serviceName="none")])
        until(cluster, lambda: available(cluster, "statefulset/statefulset"))
        body = there(cluster.get("statefulset/statefulset"))
        labels = there(cluster.get("pod/statefulset-0"))["metadata"]["labels"]
        assert labels["controller-revision-hash"] == body["status"]["updateRevision"]
        cluster.delete("statefulset/statefulset")
        assert cluster.get("pod/statefulset-0") is None

    def test_a_stateful_set_waits_for_a_pod_that_no_node_takes_until_it_is_scaled_away(self, place: Place) -> None:
        cluster, name = place.cluster, "statefulset/statefulset"
        good = workload(place, "StatefulSet", serviceName="none")
        crowded = copy.deepcopy(good)
        spec = crowded["spec"]["template"]["spec"]
        spec["containers"][0]["name"], spec["nodeSelector"] = "crowded", {"no": "node"}

        def replacement() -> Manifest:
            found = cluster.get("pod/statefulset-0") or {"metadata": {"deletionTimestamp": ""}}
            return {} if "deletionTimestamp" in found["metadata"] else found

        cluster.apply([good])
        until(cluster, lambda: available(cluster, name))
        first = replacement()
        assert first["spec"]["nodeName"]
        cluster.apply([crowded])
        until(cluster, lambda: bool(unscheduled(replacement())))
        assert "nodeName" not in replacement()["spec"]
        cluster.apply([good])
        cluster.pause(5)
        assert unscheduled(replacement())
        cluster.apply([{**good, "spec": {**good["spec"], "replicas": 0}}])
        until(cluster, lambda: cluster.get("pod/statefulset-0") is None)
        cluster.apply([good])
        until(cluster, lambda: available(cluster, name))
        assert replacement()["metadata"]["uid"] != first["metadata"]["uid"]

    @pytest.mark.parametrize(("kind", "hold"), HOLDS)
    def test_a_workload_that_is_held_keeps_its_pods_until_that_is_taken_back(
        self, place: Place, kind: str, hold: Manifest
    ) -> None:
        cluster, name, body = place.cluster, f"{kind.lower()}/{kind.lower()}", workload(place, kind)
        if kind == "DaemonSet":
            del body["spec"]["replicas"]
        cluster.apply([body])
        until(cluster, lambda: rollout.complete(there(cluster.get(name))))
        pods = [pod["metadata"]["uid"] for pod in cluster.list("Pod", selector=f"app={kind.lower()}")]
        place.by_hand(name, {"spec": hold})
        body["spec"]["template"]["spec"]["containers"][0]["command"][2] = "echo again; exec sleep 600"
        cluster.apply([body])
        until(cluster, lambda: rollout.observed(there(cluster.get(name))))
        cluster.pause(3)
        left = [pod["metadata"]["uid"] for pod in cluster.list("Pod", selector=f"app={kind.lower()}")]
        assert (left, rollout.complete(there(cluster.get(name)))) == (pods, False)
        managed.own(cluster, managed.live(cluster, [body]))
        cluster.apply([body])
        until(cluster, lambda: rollout.complete(there(cluster.get(name))))

    def test_a_daemon_set_shows_which_pods_are_of_its_newest_template(self, place: Place) -> None:
        cluster, body = place.cluster, workload(place, "DaemonSet")
        del body["spec"]["replicas"]
        for words in ("first", "second"):
            body["spec"]["template"]["spec"]["containers"][0]["command"][2] = f"echo {words}; exec sleep 600"
            cluster.apply([body])
            until(cluster, lambda: rollout.complete(there(cluster.get("daemonset/daemonset"))))
            newest = there(cluster.get("daemonset/daemonset"))
            (own,) = workloads.newest_pods(newest, cluster.list("Pod"))
            assert words in own["spec"]["containers"][0]["command"][2]
        newest["metadata"]["annotations"][workloads.TEMPLATE] = "1"
        assert workloads.newest_pods(newest, [own]) == []

    def test_a_job_runs_its_steps_in_turn_and_ends(self, place: Place) -> None:
        cluster = place.cluster
        first = {**pod(place, "echo first")["containers"][0], "name": "first"}
        cluster.apply([job(place, "echo last", initContainers=[first])])
        until(cluster, lambda: "Complete" in ended(cluster, "job/job"))
        assert there(cluster.get("job/job"))["status"]["succeeded"] == 1
        (own,) = cluster.list("Pod", selector="batch.kubernetes.io/job-name=job")
        name = own["metadata"]["name"]
        assert own["status"]["phase"] == "Succeeded"
        assert cluster.logs(f"pod/{name}", "main") == "last\n"
        assert cluster.logs("job/job", "first") == "first\n"
        # In no order, as kubectl asks for the containers in none.
        lines = cluster.logs(name).splitlines()
        assert sorted(lines) == [f"[pod/{name}/first] first", f"[pod/{name}/main] last"]
        cluster.delete("job/job")
        assert cluster.list("Pod", selector="batch.kubernetes.io/job-name=job") == []

    def test_a_job_whose_step_fails_has_failed(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([job(place, "echo words; exit 3")])
        until(cluster, lambda: "Failed" in ended(cluster, "job/job"))
        (own,) = cluster.list("Pod", selector="batch.kubernetes.io/job-name=job")
        (status,) = own["status"]["containerStatuses"]
        assert own["status"]["phase"] == "Failed"
        assert status["state"]["terminated"]["exitCode"] == 3
        assert status["state"]["terminated"]["reason"] == "Error"
        assert cluster.logs(own["metadata"]["name"], tail=1).endswith("words\n")
        conditions = there(cluster.get("job/job"))["status"]["conditions"]
        assert conditions[-1]["reason"] == "BackoffLimitExceeded"

    def test_the_last_words_of_what_crashed_stay_while_it_runs_again(self, place: Place) -> None:
        cluster = place.cluster
        body = workload(place)
        step = {**pod(place, "echo words; exit 3")["containers"][0], "name": "first"}
        step["terminationMessagePolicy"] = "FallbackToLogsOnError"
        body["spec"]["template"]["spec"]["initContainers"] = [step]
        cluster.apply([body])

        def words() -> list[str]:
            return [line for own in cluster.list("Pod") for line in diagnosis.last_words(own)]

        until(cluster, lambda: words() != [])
        assert words()[0].endswith("/first ended with code 3: words")

    def test_a_command_answers_or_fails_with_its_last_words(self, place: Place) -> None:
        cluster = place.cluster
        cluster.apply([workload(place)])
        until(cluster, lambda: available(cluster, "deployment/deployment"))
        (own,) = cluster.list("Pod", selector="app=deployment")
        name = own["metadata"]["name"]
        assert cluster.exec(name, "main", "echo", "word") == "word\n"
        assert cluster.exec(f"pod/{name}", "main", "echo", "word") == "word\n"
        assert cluster.exec("deployment/deployment", "main", "echo", "word") == "word\n"
        with pytest.raises(DeliveryError, match="some words"):
            cluster.exec(name, "main", "sh", "-c", "echo some words >&2; exit 3")
        with pytest.raises(DeliveryError, match="none"):
            cluster.exec(name, "none", "echo")
        assert cluster.logs(name) == f"[pod/{name}/main] begun\n"
        assert cluster.logs(name, "main", tail=0) == ""

    def test_a_pod_that_is_not_there_is_missing(self, place: Place) -> None:
        with pytest.raises(MissingError):
            place.cluster.exec("none", "main", "true")
        with pytest.raises(MissingError):
            place.cluster.logs("none")
