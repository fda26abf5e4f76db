"""Faults that are made in an environment, and what its users meet meanwhile."""

from __future__ import annotations

import copy
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from delivery import job, rollout
from delivery.cluster import Manifest
from delivery.kubectl import kubectl
from delivery.shell import DeliveryError
from drills.conftest import Fault, Stage
from drills.watching import until

# Stores rows, one a transaction, as the application does; says of each that the database has acknowledged its id, and
# the seconds since the one before. Arguments: what to call them, for how long, and the pause after each, in seconds.
WRITER = """
import sys, time
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from app import database, settings
from app.models import Generation, StoredInstance

engine = database.connect(settings.load())
with Session(engine) as session:
    school = session.scalar(select(StoredInstance.id).limit(1))
end = time.monotonic() + float(sys.argv[2])
last = time.monotonic()
while time.monotonic() < end:
    try:
        with Session(engine) as session:
            row = Generation(instance_id=school, state="failed", seconds=1, seed=1, attempts=1,
                             requested_at=database.now(session), error=sys.argv[1])
            session.add(row)
            session.commit()
            print(row.id, time.monotonic() - last, flush=True)
            last = time.monotonic()
    except DBAPIError:
        time.sleep(0.2)
    time.sleep(float(sys.argv[3]))
"""
ACCOUNT = """exec mysql --defaults-file=/run/accounts/client.cnf --default-character-set=utf8mb4 --batch \
--skip-column-names school_schedule"""
ROOT = """exec mysql --defaults-file=/run/accounts/root.cnf \
--batch --skip-column-names"""


def query(stage: Stage, statements: str, *, client: str = ACCOUNT, pod: str = "mysql-0") -> str:
    """What the database answers to statements from inside its own pod."""
    return kubectl("-n", stage.namespace, "exec", "-i", pod, "-c", "mysql", "--", "sh", "-c", client, stdin=statements)


@dataclass
class Saves:
    """The ids of the rows that were acknowledged, and the longest that one had to wait, in seconds."""

    acknowledged: list[str] = field(default_factory=list)
    waited: float = 0
    lost: int = 0

    def read(self, text: str) -> None:
        """Takes what a writer has printed."""
        for line in text.splitlines():
            identity, waited = line.split()
            self.acknowledged.append(identity)
            self.waited = max(self.waited, float(waited))

    def row(self, name: str, answers: int, errors: int, there: set[str], seconds: float) -> Fault:
        """The line about the fault; `there` has the ids that are in the database."""
        lost = sum(1 for each in self.acknowledged if each not in there)
        seen = f"{errors} of {answers} requests failed, a save waited {self.waited:.0f} s"
        return Fault(name, seen, f"{lost} of {len(self.acknowledged)} saves", seconds)


def program(stage: Stage, name: str, source: str, *arguments: str) -> Manifest:
    """A Job that runs a Python program beside the application's code, with the application's account."""
    manifest = job.from_template(stage.find("cronjob/generation"))
    manifest["metadata"]["name"] = name
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container |= {"command": ["python", "-c", source], "args": list(arguments)}
    return manifest


@contextmanager
def writing(stage: Stage, seconds: float) -> Iterator[Saves]:
    """Saves for so long, in a pod of its own; what became of them is told at the end."""
    marker, saves = secrets.token_hex(4), Saves()
    manifest = program(stage, f"writer-{marker}", WRITER, marker, str(seconds), "0.01")
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(job.follow, stage.cluster, manifest, seconds + 120)
        until(lambda: log(stage, f"job/writer-{marker}") or ended.done(), seconds=60)
        yield saves
        saves.read(ended.result())


@contextmanager
def saving(stage: Stage) -> Iterator[Saves]:
    """Saves for as long as it takes; what became of them is known at the end, and then they go."""
    marker, saves = secrets.token_hex(4), Saves()
    name = f"writer-{marker}"
    manifest = job.owned_by_nobody(program(stage, name, WRITER, marker, "3600", "0.1"), 3600)
    # As the first process of its container it is deaf to the signal that asks it to end.
    manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    stage.cluster.create(manifest)
    try:
        until(lambda: log(stage, f"job/{name}"), seconds=60)
        yield saves
        saves.read(kubectl("-n", stage.namespace, "logs", f"job/{name}"))
        stage.cluster.delete(f"job/{name}")
        rows = f"FROM school_schedule.generation WHERE error = '{marker}'"
        there = set(query(stage, f"SELECT id {rows}; DELETE {rows}", client=ROOT).split())
        saves.lost = sum(1 for row in saves.acknowledged if row not in there)
    finally:
        stage.cluster.delete(f"job/{name}")


def log(stage: Stage, name: str) -> str:
    """What it has said so far; nothing where it has not begun."""
    try:
        return kubectl("-n", stage.namespace, "logs", name, "--tail=1")
    except DeliveryError:
        return ""


def settle(stage: Stage) -> None:
    """Waits until every workload runs again, its controller having seen what happened."""
    time.sleep(2)
    rollout.wait(stage.cluster, stage.render(stage.good).objects)


def database_crashes(stage: Stage) -> None:
    """Ends mysqld on the spot, with nothing written back. As the first process of its container it ignores signal 9."""
    stage.cluster.exec("mysql-0", "mysql", "sh", "-c", "kill -ABRT 1")


def database_deleted(stage: Stage) -> None:
    kubectl("-n", stage.namespace, "delete", "pod/mysql-0", "--wait=false")


def everything_deleted(stage: Stage) -> None:
    pods = "app.kubernetes.io/component in (web, worker, database, backup-store)"
    kubectl("-n", stage.namespace, "delete", "pods", "-l", pods, "--wait=false")


def web_killed(stage: Stage) -> None:
    kill(stage, next(iter(stage.pods())))


def worker_killed(stage: Stage) -> None:
    kill(stage, "deployment/worker")


def kill(stage: Stage, pod: str) -> None:
    """Ends the first process of a pod on the spot. It ignores signal 9 from inside, but not the end of its CPU time."""
    program = "import resource; resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))"
    kubectl("-n", stage.namespace, "exec", pod, "--", "python", "-c", program)


def network_cut(stage: Stage) -> None:
    """For a minute nobody reaches the database: new connections are dropped, and those that there are end."""
    there = stage.find("networkpolicy/mysql")["spec"]["ingress"]
    patch(stage, "networkpolicy/mysql", {"spec": {"ingress": []}})
    try:
        time.sleep(2)
        kills = "SELECT CONCAT('KILL ', id, ';') FROM performance_schema.processlist WHERE user = 'school_schedule'"
        query(stage, query(stage, kills, client=ROOT), client=f"{ROOT} --force || true")
        time.sleep(58)
    finally:
        patch(stage, "networkpolicy/mysql", {"spec": {"ingress": there}})


def disk_stalls(stage: Stage) -> None:
    """For half a minute no commit gets through, as with a disk that does not answer."""
    query(stage, "FLUSH TABLES WITH READ LOCK; DO SLEEP(30)", client=ROOT)


@contextmanager
def small_disk(stage: Stage, size: str = "512Mi") -> Iterator[str]:
    """The database, with all its data, on a volume of that size; the name of its pod. Afterwards it is as it was."""
    namespace = ("-n", stage.namespace)
    template = stage.find("statefulset/mysql")["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mysql-small", "labels": template["metadata"]["labels"]},
    }
    pod["spec"] = on_small_disk(template["spec"], size)
    kubectl(*namespace, "scale", "statefulset/mysql", "--replicas=0")
    try:
        kubectl(*namespace, "wait", "pod/mysql-0", "--for=delete", "--timeout=130s")
        kubectl(*namespace, "create", "-f", "-", stdin=json.dumps(pod))
        kubectl(*namespace, "wait", "pod/mysql-small", "--for=condition=Ready", "--timeout=120s")
        kubectl(*namespace, "rollout", "status", "deployment/school-scheduler", "--timeout=60s")
        yield "mysql-small"
    finally:
        kubectl(*namespace, "delete", "pod/mysql-small", "--ignore-not-found")
        kubectl(*namespace, "scale", "statefulset/mysql", "--replicas=1")
        settle(stage)


def on_small_disk(spec: dict[str, Any], size: str) -> dict[str, Any]:
    """The pod of the StatefulSet with its data in memory, which is a file system of a size that can be chosen."""
    small = copy.deepcopy(spec)
    memory = {"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": size}}
    claim = {"name": "claim", "persistentVolumeClaim": {"claimName": "data-mysql-0"}}
    small["volumes"] = [each for each in small["volumes"] if each["name"] != "data"] + [memory, claim]
    (server,) = small["containers"]
    mounts = [{"name": "claim", "mountPath": "/claim"}, {"name": "data", "mountPath": "/var/lib/mysql"}]
    fields = {"name": "copy", "command": ["cp", "--archive", "/claim/data", "/var/lib/mysql/"], "volumeMounts": mounts}
    copying = {key: server[key] for key in ("image", "securityContext", "resources")} | fields
    small["initContainers"] = [copying, *small["initContainers"]]
    # Its memory holds the files too.
    server["resources"]["limits"]["memory"] = copying["resources"]["limits"]["memory"] = "2Gi"
    return small


def patch(stage: Stage, name: str, change: dict[str, Any]) -> None:
    kubectl("-n", stage.namespace, "patch", name, "--type=merge", f"--patch={json.dumps(change)}")
