"""Admission webhooks of others, which refuse, do not answer, or change what is applied."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from delivery import drift, rollout
from delivery.cluster import Manifest, name
from delivery.job import from_template
from delivery.lease import SECONDS, held
from delivery.render import COMPONENT
from delivery.shell import DeliveryError
from delivery.unnamed import FIND
from delivery.workloads import main_container
from tests.delivery.fake import FakeCluster, nothing
from tests.delivery.server import Container, NotYetError, Webhook
from tests.delivery.small import Stage, heard, render
from tests.delivery.test_attacks import COMMANDS, RESTORED, run
from tests.delivery.test_hand_edits import edited

PROXY = {"name": "proxy", "image": "proxy:1"}
DENIED = Webhook(refusal="no team")
# What they may be asked about.
KINDS = ("ConfigMap", "CronJob", "Deployment", "Ingress", "Job", "Lease", "Pod", "ReplicaSet", "Secret", "Service")


def of(webhook: Webhook, *kinds: str) -> Webhook:
    return replace(webhook, kinds=frozenset(kinds))


@pytest.mark.parametrize("seed", range(6))
def test_a_webhook_that_lets_nothing_through_is_named_and_costs_no_user_a_page(
    stage: Stage, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    stage.deploy("2")
    command, kind = draw.choice(["deploy", *COMMANDS]), draw.choice(KINDS)
    webhook = of(draw.choice((DENIED, Webhook(silent=True))), kind)
    stored = set(stage.database.store.values())
    moment = stage.cluster.faults.calls + draw.choice((1, draw.randrange(1, 40)))

    def begins(cluster: FakeCluster, operation: str, name: str) -> None:
        if cluster.faults.calls == moment:
            cluster.server.webhooks.append(webhook)

    stage.cluster.faults.before = begins
    heard(capsys)
    failure = ""
    with stage.unserved() as unserved:
        try:
            run(stage, command)
        except DeliveryError as error:
            failure = str(error)
    said = "\n".join([*heard(capsys), failure])
    # What was asked for is done, or who was in the way is named, with what is not there for it.
    assert failure == "" or "rules.example" in said
    assert len(failure.splitlines()) <= 25
    assert command == "restore" or unserved == []
    assert stored <= set(stage.database.store.values())
    stage.cluster.faults.before = nothing
    stage.cluster.server.webhooks.clear()
    stage.cluster.pause(2 * SECONDS)
    if command == "restore" and failure and stage.database.data == RESTORED:
        run(stage, command)
    stage.deploy("9")
    assert (stage.serving, stage.database.whole) == ({"9"}, True)
    assert list(drift.found(stage.cluster, render("9"))) == []


@pytest.mark.parametrize("webhook", [DENIED, Webhook(silent=True)])
def test_what_a_webhook_does_not_let_through_is_named_before_anything_is_applied(
    stage: Stage, webhook: Webhook
) -> None:
    stage.cluster.server.webhooks = [of(webhook, "Deployment", "Service")]
    with pytest.raises(DeliveryError) as error:
        stage.deploy("2")
    *_, line = str(error.value).splitlines()
    kept = "service/web, deployment/web, deployment/worker"
    assert line == f"webhook rules.example does not let {kept} through; an administrator finds it by {FIND}"
    assert stage.cluster.get("configmap/release-2") is None


def test_of_much_that_a_webhook_does_not_let_through_some_is_named(stage: Stage) -> None:
    stage.cluster.server.webhooks = [DENIED]
    five = "serviceaccount/web, configmap/app-config-2, service/web, statefulset/mysql, job/accounts"
    with pytest.raises(DeliveryError, match=f"does not let {five} and perhaps more through") as error:
        stage.cluster.apply([*render("2").objects[1:]])
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("seconds", [60, 120, 200])
def test_a_webhook_that_answers_again_in_time_costs_no_release(
    stage: Stage, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.cluster.server.webhooks = [of(Webhook(silent=True), "Deployment", "Pod", "ConfigMap")]

    def answers() -> bool:
        stage.cluster.server.webhooks.clear()
        return False

    with stage.cluster.every(seconds, answers):
        stage.deploy("2")
    assert stage.serving == {"2"}


def test_a_lease_that_nobody_may_renew_is_kept_as_long_as_nobody_has_taken_it(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "secret/db-credentials"
    for webhook in (DENIED, Webhook(silent=True)):
        heard(capsys)
        with held(stage.cluster) as cluster:
            stage.cluster.server.webhooks = [of(webhook, "Lease")]
            cluster.pause(4 * SECONDS)
            cluster.patch(secret, {"metadata": {"annotations": {"note": "x"}}})
            assert len([line for line in heard(capsys) if "could not be renewed" in line]) == 1
            stage.cluster.server.webhooks.clear()
            stage.cluster.by_hand("lease/delivery", {"spec": {"holderIdentity": "somebody else"}})
            stage.cluster.server.repeated.clear()
            with pytest.raises(DeliveryError, match="has gone to somebody else"):
                cluster.patch(secret, {"metadata": {"annotations": {"note": None}}})
        stage.cluster.by_hand("lease/delivery", {"spec": {"holderIdentity": ""}})


def test_nothing_stops_for_a_restore_whose_application_would_be_refused(stage: Stage) -> None:
    stage.cluster.server.webhooks = [of(DENIED, "Deployment")]
    pods = stage.cluster.pods("app.kubernetes.io/component=web")
    with pytest.raises(DeliveryError, match="does not let deployment/web, deployment/worker through"):
        stage.type_in(*COMMANDS["restore"])
    assert stage.cluster.pods("app.kubernetes.io/component=web") == pods


def test_a_secret_that_a_webhook_keeps_as_it_is_lacks_no_right(stage: Stage) -> None:
    stage.cluster.by_hand("secret/db-credentials", {"data": {"app-password": None}})
    stage.cluster.server.webhooks = [of(DENIED, "Secret")]
    with pytest.raises(DeliveryError, match="lacks app-password;") as error:
        stage.deploy("2")
    assert "webhook rules.example does not let secret/db-credentials through" in str(error.value)


@pytest.mark.parametrize("kind", ["Pod", "ReplicaSet"])
def test_a_webhook_that_refuses_what_a_workload_makes_is_told_of_soon(stage: Stage, kind: str) -> None:
    stage.cluster.server.webhooks = [of(DENIED, kind)]
    web = {**render("2").web}
    before, began = rollout.past(stage.cluster), stage.cluster.now()
    rollout.apply(stage.cluster, [web])
    with pytest.raises(DeliveryError, match=r"deployment/web: its pods are refused: .*rules\.example") as error:
        rollout.wait(stage.cluster, [web], before=before)
    assert "no team; change the release, or the rule that refuses it" in str(error.value).splitlines()[0]
    assert 30 < stage.cluster.now() - began < 40


def labelled(there: Manifest) -> None:
    there["metadata"].setdefault("labels", {})["team"] = "school"


def with_proxy(pod: Manifest) -> None:
    first, *_ = containers = pod["spec"]["containers"]
    if PROXY not in containers:
        containers.insert(0, PROXY)
        pod["metadata"].setdefault("annotations", {})["kubectl.kubernetes.io/default-container"] = first["name"]


def trusting(configuration: Manifest) -> None:
    configuration["data"] = {**configuration.get("data", {}), "authority": "x"}


def rewritten(there: Manifest) -> None:
    for container in there["spec"]["template"]["spec"]["containers"]:
        container["imagePullPolicy"] = "Always"


def many(deployment: Manifest) -> None:
    deployment["spec"]["replicas"] = max(3, deployment["spec"]["replicas"])


MUTATORS: dict[str, tuple[Callable[[Manifest], None], tuple[str, ...]]] = {
    "a label of everything": (labelled, ()),
    "a container of every pod": (with_proxy, ("Pod",)),
    "a key of every ConfigMap": (trusting, ("ConfigMap",)),
    "a field of every template": (rewritten, ("Deployment", "StatefulSet")),
    "a number of replicas": (many, ("Deployment",)),
}


@pytest.mark.parametrize(("change", "kinds"), MUTATORS.values(), ids=MUTATORS)
def test_what_a_webhook_adds_is_no_change_by_hand_and_touches_no_pod_again(
    stage: Stage, change: Callable[[Manifest], None], kinds: tuple[str, ...]
) -> None:
    stage.cluster.server.webhooks = [Webhook(kinds=frozenset(kinds), change=change)]
    stage.deploy("1")
    standing = "app.kubernetes.io/component in (web,worker,database)"
    pods = stage.cluster.pods(standing)
    stage.deploy("1")
    assert (stage.cluster.pods(standing), edited(stage)) == (pods, [])
    run(stage, "restore")
    assert (stage.serving, edited(stage), stage.database.data) == ({"1"}, [], RESTORED)


def test_a_container_that_keeps_a_job_from_its_end_is_named(stage: Stage) -> None:
    def goes_on(container: Container) -> str:
        raise NotYetError

    def added(pod: Manifest) -> None:
        if pod["spec"].get("restartPolicy") == "Never":
            pod["spec"]["containers"] = [*pod["spec"]["containers"], PROXY]

    stage.cluster.server.steps["proxy"] = goes_on
    stage.cluster.server.webhooks = [Webhook(kinds=frozenset({"Pod"}), change=added)]
    began = stage.cluster.now()
    with pytest.raises(DeliveryError, match="/proxy goes on after all containers of job/accounts have ended"):
        stage.type_in(*COMMANDS["rollback to 1"])
    with pytest.raises(DeliveryError, match=r"/proxy goes on after all containers of job/backup-.* have ended"):
        stage.type_in(*COMMANDS["backup"])
    assert stage.cluster.now() < began + 120
    assert stage.serving == {"1"}


def test_a_container_that_ends_soon_after_those_of_a_job_fails_nothing(stage: Stage) -> None:
    ended: dict[str, float] = {}

    def goes_on(container: Container) -> str:
        if stage.cluster.now() < ended.setdefault(container.pod["metadata"]["name"], stage.cluster.now() + 10):
            raise NotYetError
        return ""

    def added(pod: Manifest) -> None:
        if pod["spec"].get("restartPolicy") == "Never":
            pod["spec"]["containers"] = [*pod["spec"]["containers"], PROXY]

    stage.cluster.server.steps["proxy"] = goes_on
    stage.cluster.server.webhooks = [Webhook(kinds=frozenset({"Pod"}), change=added)]
    stage.type_in(*COMMANDS["backup"])
    assert ended


def test_a_rollback_goes_to_the_release_before_though_images_come_from_a_mirror(
    empty: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mirrored(web: Manifest) -> None:
        container = main_container(web["spec"]["template"])
        container["image"] = container["image"].replace("registry.example", "mirror.example")

    empty.cluster.server.webhooks = [Webhook(kinds=frozenset({"Deployment"}), change=mirrored)]
    monkeypatch.setattr(empty.proofs, "smoke", lambda environment, wanted: None)
    for version in ("1", "2"):
        empty.deploy(version)
    empty.type_in("rollback", "prod")
    assert empty.serving == {"1"}


@pytest.fixture
def queued(stage: Stage) -> Stage:
    """A controller of queues suspends each new Job."""

    def suspend(there: Manifest) -> None:
        if there["metadata"]["uid"] not in known:
            known.add(there["metadata"]["uid"])
            there["spec"]["suspend"] = True

    known = set[str]()
    stage.cluster.server.webhooks = [Webhook(kinds=frozenset({"Job"}), change=suspend)]
    return stage


SUSPENDED = "is suspended, by hand or by a controller that has to leave it out; `kubectl -n"


def test_a_job_that_somebody_suspends_is_named_and_waited_for_no_hour(queued: Stage) -> None:
    began = queued.cluster.now()
    with pytest.raises(DeliveryError, match=f"job/backup-\\S+ {SUSPENDED}"):
        queued.type_in("backup", "prod")
    with pytest.raises(DeliveryError, match=f"release 1: job/accounts {SUSPENDED}"):
        queued.deploy("2")
    assert queued.cluster.now() < began + 180
    assert queued.serving == {"1"}


def test_a_job_that_was_suspended_does_its_work_once_somebody_types_the_line(
    queued: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    def resume() -> bool:
        for there in queued.cluster.list("Job", selector=f"{COMPONENT}=backup"):
            queued.cluster.by_hand(name(there), {"spec": {"suspend": False}})
        return True

    queued.cluster.create(from_template(queued.cluster.get("cronjob/backup") or {}))
    with queued.cluster.every(20, resume):
        queued.type_in("backup", "prod")
    assert [SUSPENDED in line for line in heard(capsys)[-3:]] == [True, False, True]


def test_a_pod_that_somebody_has_gated_says_so(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    def gate(pod: Manifest) -> None:
        pod["spec"]["readinessGates"] = [{"conditionType": "balancer"}]

    stage.cluster.server.webhooks = [Webhook(kinds=frozenset({"Pod"}), change=gate)]
    with pytest.raises(DeliveryError, match="release 1 runs again"):
        stage.deploy("2")
    why = 'Running: corresponding condition of pod readiness gate "balancer" does not exist.'
    assert any(why in line for line in heard(capsys))
