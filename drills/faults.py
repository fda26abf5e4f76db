"""Faults that are made in an environment: for a moment, or until the end of a `with`."""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from delivery import credentials, job, rollout, workloads
from delivery.cluster import Manifest
from delivery.image import Image
from delivery.kubectl import kubectl
from delivery.render import COMPONENT
from drills.conftest import Stage
from drills.database import ROOT, query
from drills.watching import until

# Puts a generation into the queue, as of so many seconds ago.
QUEUE = """
import sys
from datetime import timedelta
from sqlalchemy import select
from sqlalchemy.orm import Session
from app import database, generation, settings
from app.models import StoredInstance
chosen = settings.load()
with Session(database.connect(chosen)) as session:
    made = generation.request(session, session.scalars(select(StoredInstance)).first(), chosen)
    made.requested_at -= timedelta(seconds=float(sys.argv[1]))
    session.commit()
"""

AUTHORITY = """\
[ca]
default_ca = own
[own]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = {names}
"""


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


@contextmanager
def deleted(stage: Stage, name: str) -> Iterator[None]:
    """Without an object of the environment, which is then created as it was."""
    body = stage.find(name)
    body["metadata"] = {key: body["metadata"].get(key, {}) for key in ("name", "namespace", "labels", "annotations")}
    kubectl("-n", stage.namespace, "delete", name)
    try:
        yield
    finally:
        if not stage.cluster.get(name):
            kubectl("create", "-f", "-", stdin=json.dumps(body))


def ingress_deleted(stage: Stage) -> AbstractContextManager[None]:
    return deleted(stage, "ingress/web")


def web_deleted(stage: Stage) -> AbstractContextManager[None]:
    return deleted(stage, "deployment/school-scheduler")


@contextmanager
def certificate_deleted(stage: Stage) -> Iterator[None]:
    before = credentials.read(stage.cluster, "web-tls")
    with deleted(stage, "secret/web-tls"):
        yield
    # Where another was made meanwhile, the probe does not trust it yet.
    credentials.replace(stage.cluster, "web-tls", before)


@contextmanager
def selector_wrong(stage: Stage) -> Iterator[None]:
    """The Service leads to no pod."""
    there = stage.find("service/web")["spec"]["selector"]
    patch(stage, "service/web", {"spec": {"selector": {**there, COMPONENT: "wbe"}}})
    try:
        yield
    finally:
        patch(stage, "service/web", {"spec": {"selector": there}})


@contextmanager
def image_missing(stage: Stage) -> Iterator[None]:
    """A release in ImagePullBackOff, while the pods of the one before serve."""
    name, _, _ = str(stage.good).partition("@")
    run_image(stage, f"{name}@sha256:{'0' * 64}")
    try:
        yield
    finally:
        run_image(stage, stage.good)


@contextmanager
def database_down(stage: Stage) -> Iterator[None]:
    kubectl("-n", stage.namespace, "scale", "statefulset/mysql", "--replicas=0")
    try:
        yield
    finally:
        kubectl("-n", stage.namespace, "scale", "statefulset/mysql", "--replicas=1")


@contextmanager
def crash_loop(stage: Stage) -> Iterator[None]:
    kubectl("-n", stage.namespace, "set", "env", "deployment/worker", "GENERATION_SECONDS=-1")
    try:
        yield
    finally:
        kubectl("-n", stage.namespace, "set", "env", "deployment/worker", "GENERATION_SECONDS-")


@contextmanager
def secret_missing(stage: Stage) -> Iterator[None]:
    """A pod that waits for a Secret that nobody made."""
    source = {"name": "drill", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "x"}}}
    container = {"name": "worker", "env": [source]}
    strategic(stage, "deployment/worker", {"spec": {"template": {"spec": {"containers": [container]}}}})
    try:
        yield
    finally:
        gone = {"name": "worker", "env": [{"name": "drill", "$patch": "delete"}]}
        strategic(stage, "deployment/worker", {"spec": {"template": {"spec": {"containers": [gone]}}}})


@contextmanager
def restarted_twice(stage: Stage) -> Iterator[None]:
    """A worker that ends twice within half an hour, and runs again."""
    (pod, *_) = stage.cluster.list("Pod", selector=f"{COMPONENT}=worker")
    name = pod["metadata"]["name"]
    for times in (1, 2):
        stage.cluster.exec(name, "worker", "python", "-c", "import os; os.kill(1, 15)")
        until(lambda: restarts(stage, name) >= times, seconds=60)  # noqa: B023 (it is asked at once)
        # For the metrics to see it run in between.
        time.sleep(40)
    try:
        yield
    finally:
        kubectl("-n", stage.namespace, "delete", f"pod/{name}")


def restarts(stage: Stage, name: str) -> int:
    return sum(status["restartCount"] for status in workloads.statuses(stage.find(f"pod/{name}")))


@contextmanager
def backup_fails(stage: Stage) -> Iterator[None]:
    """A Job of the schedule that fails, until the next one succeeds."""
    schedule = stage.find("cronjob/backup")
    owner = {key: schedule["metadata"][key] for key in ("name", "uid")}
    body = job.from_template(schedule)
    body["metadata"]["ownerReferences"] = [{"apiVersion": "batch/v1", "kind": "CronJob", "controller": True, **owner}]
    body["spec"]["backoffLimit"] = 0
    parts = body["spec"]["template"]["spec"]["initContainers"]
    (dump,) = [container for container in parts if container["name"] == "dump"]
    dump["command"][-1] = "/nowhere/dump.sql"
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    try:
        yield
    finally:
        kubectl("-n", stage.namespace, "create", "job", f"backup-{time.time():.0f}", "--from=cronjob/backup")


@contextmanager
def certificate_expires(stage: Stage) -> Iterator[None]:
    """The site's certificate expires, once its pods know it."""
    before = credentials.read(stage.cluster, "web-tls")
    ends = datetime.now(UTC) + timedelta(minutes=3)
    key, certificate = signed_until(stage.render(stage.good).tls_hosts, ends, before)
    credentials.replace(stage.cluster, "web-tls", {"tls.crt": certificate, "tls.key": key})
    time.sleep((ends - datetime.now(UTC)).total_seconds())
    try:
        yield
    finally:
        credentials.replace(stage.cluster, "web-tls", before)


def signed_until(hosts: Sequence[str], ends: datetime, authority: Mapping[str, str]) -> tuple[str, str]:
    """A key, and a certificate that another one's key signs, as whoever asks trusts that; with an end to the second."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "index.txt").touch()
        (place / "serial").write_text("01\n")
        (place / "ca.cnf").write_text(AUTHORITY.format(folder=folder, names=",".join(f"DNS:{host}" for host in hosts)))
        for name in ("tls.crt", "tls.key"):
            (place / name).write_text(authority[name])
        new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "request", "-subj"]
        subprocess.run([*new, f"/CN={hosts[0]}"], cwd=place, check=True, capture_output=True)
        signed = [
            "openssl",
            "ca",
            "-config",
            "ca.cnf",
            "-batch",
            "-cert",
            "tls.crt",
            "-keyfile",
            "tls.key",
            "-in",
            "request",
        ]
        until = ["-enddate", f"{ends:%Y%m%d%H%M%SZ}", "-notext", "-out", "certificate"]
        subprocess.run([*signed, *until], cwd=place, check=True, capture_output=True)
        return (place / "key").read_text(), (place / "certificate").read_text()


def strategic(stage: Stage, name: str, change: Manifest) -> None:
    kubectl("-n", stage.namespace, "patch", name, "--type=strategic", f"--patch={json.dumps(change)}")


def run_image(stage: Stage, built: Image | str) -> None:
    kubectl("-n", stage.namespace, "set", "image", "deployment/school-scheduler", f"school-scheduler={built}")


@contextmanager
def _faulty(stage: Stage, fault: str) -> Iterator[None]:
    with stage.traffic():
        run_image(stage, stage.faulty(fault))
        try:
            yield
        finally:
            run_image(stage, stage.good)


def errors(stage: Stage) -> AbstractContextManager[None]:
    """Every page fails."""
    return _faulty(stage, "errors")


def leak(stage: Stage) -> AbstractContextManager[None]:
    """One page in twenty fails."""
    return _faulty(stage, "leak")


def request_generation(stage: Stage, ago: float = 0) -> None:
    """As a visitor does, that many seconds ago."""
    inside = ("exec", "deployment/school-scheduler", "-c", "school-scheduler", "--", "python", "-c", QUEUE, str(ago))
    kubectl("-n", stage.namespace, *inside)


@contextmanager
def queue_stuck(stage: Stage) -> Iterator[None]:
    kubectl("-n", stage.namespace, "scale", "deployment/worker", "--replicas=0")
    request_generation(stage, ago=3600)
    try:
        yield
    finally:
        kubectl("-n", stage.namespace, "scale", "deployment/worker", "--replicas=1")


@contextmanager
def backup_too_old(stage: Stage) -> Iterator[None]:
    schedule = stage.find("cronjob/backup")["spec"]["schedule"]
    # The next backup of the schedule would end it, and so would the Job of one that was good: its
    # controller looks at that again.
    patch(stage, "cronjob/backup", {"spec": {"schedule": "0 0 1 1 *"}})
    kubectl("-n", stage.namespace, "delete", "jobs", "-l", f"{COMPONENT}=backup")
    _succeeded(stage, datetime.now(UTC) - timedelta(days=2))
    try:
        yield
    finally:
        _succeeded(stage, datetime.now(UTC))
        patch(stage, "cronjob/backup", {"spec": {"schedule": schedule}})


def _succeeded(stage: Stage, moment: datetime) -> None:
    """Writes into the CronJob what its controller writes when a backup succeeds: nobody can wait for two days."""
    status = {"status": {"lastSuccessfulTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    options = ("--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")
    kubectl("-n", stage.namespace, "patch", "cronjob/backup", *options)
