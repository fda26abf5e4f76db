"""Two faults at once, such as people and clusters make, against every command that changes an environment."""

from __future__ import annotations

import base64
import random
from contextlib import suppress

import pytest

from delivery import backup, job
from delivery.cluster import Manifest
from delivery.shell import DeliveryError
from tests.delivery.database import BACKUP, BEFORE
from tests.delivery.fake import FakeCluster, Killed
from tests.delivery.faults import Fault, away, interrupted, killed, lost, mended, nothing, refused, typed
from tests.delivery.objects import kind_of
from tests.delivery.small import PROD, Stage

RESTORED = "of the backup"
COMMANDS: dict[str, list[str]] = {
    "rollback": ["rollback", "prod"],
    "rollback to 1": ["rollback", "prod", "--to", "1"],
    "backup": ["backup", "prod"],
    "rotate": ["rotate", "prod"],
    "restore": ["restore", "prod", "--backup", BACKUP, "--overwrite", "--confirm", "prod"],
    "generate": ["generate", "prod"],
}


def deleted(name: str) -> Fault:
    def fault(cluster: FakeCluster, operation: str, asked: str) -> None:
        kind, _, wanted = name.partition("/")
        there = [body["metadata"]["name"] for body in cluster.server.of(kind_of(kind), PROD.namespace)]
        for other in sorted(there, reverse=True)[:1] if wanted == "*" else {wanted} & {*there}:
            cluster.remove_by_hand(f"{kind}/{other}")

    return fault


def edited(name: str, change: Manifest) -> Fault:
    def fault(cluster: FakeCluster, operation: str, asked: str) -> None:
        with suppress(DeliveryError):
            cluster.by_hand(name, change)

    return fault


def undated(cluster: FakeCluster, operation: str, name: str) -> None:
    """The newest record loses its phase."""
    numbers = [int(name.removeprefix("release-")) for name in records(cluster)]
    cluster.by_hand(f"configmap/release-{max(numbers)}", {"metadata": {"labels": {"phase": None}}})


def in_the_way(cluster: FakeCluster, operation: str, name: str) -> None:
    number = max(int(name.removeprefix("release-")) for name in records(cluster)) + 1
    metadata = {"name": f"release-{number}", "namespace": PROD.namespace}
    cluster.server.write({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": "y"}})


def records(cluster: FakeCluster) -> list[str]:
    names = (body["metadata"]["name"] for body in cluster.server.of("ConfigMap", PROD.namespace))
    return [name for name in names if name.startswith("release-")]


def full(cluster: FakeCluster, operation: str, name: str) -> None:
    """A quota leaves no room for a new pod."""
    for container in ("web", "worker", "dump", "fetch", "accounts"):
        cluster.server.ill[container] = "FailedCreate"


def slow(cluster: FakeCluster, operation: str, name: str) -> None:
    cluster.server.step_seconds = 400


def far(cluster: FakeCluster, operation: str, name: str) -> None:
    cluster.faults.latency = 8


def without(verb: str, kind: str) -> Fault:
    def fault(cluster: FakeCluster, operation: str, name: str) -> None:
        cluster.forbidden.add((verb, kind))

    return fault


def hourly(cluster: FakeCluster, operation: str, name: str) -> None:
    template = cluster.server.objects.get(("CronJob", PROD.namespace, "backup"))
    if template:
        cluster.server.write(job.from_template(template))


def silent_event(cluster: FakeCluster, operation: str, name: str) -> None:
    metadata = {"name": "silent", "namespace": PROD.namespace}
    cluster.server.write({"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": {}})


def evicted(cluster: FakeCluster, operation: str, name: str) -> None:
    for pod in cluster.pods()[:1]:
        cluster.evict(pod)


NO_TEXT = {"data": {"app-password": base64.b64encode(b"\xff").decode()}}
# With these users cannot be served, whatever a tool does.
CRUEL: dict[str, Fault] = {
    "web deleted": deleted("deployment/web"),
    "web scaled to nothing": edited("deployment/web", {"spec": {"replicas": 0}}),
}
FAULTS: dict[str, Fault] = {
    **CRUEL,
    "interrupted": interrupted,
    "killed": killed,
    "answer lost": lost,
    "refused": refused,
    "API away for two minutes": away(120),
    "API far away": far,
    "record deleted": deleted("configmap/*"),
    "record undated": undated,
    "record in the way": in_the_way,
    "lease deleted": deleted("lease/delivery"),
    "lease emptied": edited("lease/delivery", {"spec": None}),
    "lease given away": edited("lease/delivery", {"spec": {"holderIdentity": "somebody"}}),
    "Secret deleted": deleted("secret/db-credentials"),
    "Secret no text": edited("secret/db-credentials", NO_TEXT),
    "Ingress deleted": deleted("ingress/web"),
    "CronJob backup deleted": deleted("cronjob/backup"),
    "CronJob restore deleted": deleted("cronjob/restore"),
    "Job deleted": deleted("job/*"),
    "database scaled to nothing": edited("statefulset/mysql", {"spec": {"replicas": 0}}),
    "annotation by hand": edited(backup.CRONJOB, {"metadata": {"annotations": {backup.RECORD: "$(rm -rf .)"}}}),
    "quota full": full,
    "store slow": slow,
    "logs forbidden": without("get", "pods/log"),
    "exec forbidden": without("create", "pods/exec"),
    "hourly backup": hourly,
    "event without words": silent_event,
    "pod evicted": evicted,
}


def run(stage: Stage, command: str) -> None:
    """A delivery, with another schema or without, or one of COMMANDS."""
    if command in ("deploy", "schema"):
        stage.deploy("3", "0001" if command == "deploy" else "0002")
    else:
        stage.type_in(*COMMANDS[command])


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(50))
def test_two_faults_at_once_lose_nothing_and_leave_one_command_that_brings_all_back(stage: Stage, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    stage.deploy("2")
    command = draw.choice(["deploy", "schema", *COMMANDS])
    chosen = draw.sample(sorted(FAULTS), 2)
    stored = set(stage.database.store.values())

    at = stage.cluster.faults.calls
    moments = {at + draw.randrange(1, 60): FAULTS[name] for name in chosen}
    setattr(
        stage.cluster.faults,
        draw.choice(("before", "after")),
        lambda cluster, operation, name: moments.pop(cluster.faults.calls, nothing)(cluster, operation, name),
    )
    with stage.unserved() as unserved:
        with suppress(DeliveryError, KeyboardInterrupt, Killed):
            run(stage, command)
            assert command != "restore" or stage.database.data == RESTORED
            assert command != "backup" or len(stage.database.store) > len(stored)
        mended(stage.cluster)
        stage.cluster.forbidden.clear()
        stage.cluster.server.ill, stage.cluster.server.step_seconds = {}, 2
        stage.cluster.faults.latency = 0.05
        stage.cluster.pause(60)
    if command != "restore" and not {*chosen} & {*CRUEL}:
        assert unserved == []
    assert stored <= set(stage.database.store.values())
    assert BEFORE in (stage.database.data, *stage.database.store.values())
    brought_back(stage)
    assert stage.serving == {"9"}
    assert stage.database.whole


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pause_of_the_api_server_costs_no_command(stage: Stage, command: str) -> None:
    draw = random.Random(command)  # noqa: S311 (nothing secret is drawn)
    stage.deploy("2")
    stored = set(stage.database.store.values())
    # What comes before the lease waits for a minute.
    moment = stage.cluster.faults.calls + draw.randrange(3, 40)
    seconds = draw.uniform(60, 180) if moment - stage.cluster.faults.calls > 5 else 50

    def paused(cluster: FakeCluster, operation: str, name: str) -> None:
        if cluster.faults.calls == moment:
            cluster.away(seconds)

    setattr(stage.cluster.faults, draw.choice(("before", "after")), paused)
    stage.type_in(*COMMANDS[command])
    assert stage.serving == {"1" if "rollback" in command else "2"}
    assert command != "restore" or stage.database.data == RESTORED
    assert command != "backup" or len(stage.database.store) > len(stored)


def brought_back(stage: Stage) -> None:
    """Delivers the next release, having typed what the delivery names first where it does."""
    try:
        stage.deploy("9")
    except DeliveryError as error:
        if "app-password is no text; take that key away" in str(error):
            stage.cluster.by_hand("secret/db-credentials", {"data": {"app-password": None}})
        else:
            stage.type_in(*typed(str(error)))
        stage.deploy("9")
