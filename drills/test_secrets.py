"""The Secrets of the file in Git reach the cluster and its database, and their values show nowhere on the way."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyrage
import pytest
import yaml

from app import credentials as keys
from delivery import credentials, deploy, image, job, overlay, rotation, server, sops
from delivery.kubectl import kubectl
from delivery.render import Render
from delivery.shell import ROOT, DeliveryError, run
from drills.conftest import HERE, Stage
from drills.watching import until
from policy_tests.environment import Environment

# What is kept of a delivery, and could keep a secret: Secrets alone are meant to.
KINDS = "pods,jobs,cronjobs,deployments,statefulsets,replicasets,services,ingresses,configmaps,events,leases"
PLANTED = "planted-in-the-file-of-secrets"


@pytest.fixture
def file(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment's Secrets in a file for a throw-away key, `backup` among them with something planted."""
    key = pyrage.x25519.Identity.generate()
    rules = (ROOT / ".sops.yaml").read_text()
    (tmp_path / ".sops.yaml").write_text(rules.replace("REPLACE_ME", str(key.to_public())))
    monkeypatch.setattr(sops, "FOLDER", tmp_path / "secrets")
    monkeypatch.setenv("SOPS_AGE_KEY", str(key))
    sops.make(stage.environment, stage.cluster)
    values = credentials.read(stage.cluster, "backup") | {"note": PLANTED}
    backup = credentials.secret(stage.namespace, "backup", values)
    sops.write(stage.environment, [*sops.read(stage.environment), backup])
    return sops.path(stage.environment)


def hidden(environment: Environment) -> set[str]:
    """Each line of a value that is to show nowhere, as it is and as Kubernetes writes it."""
    values = [
        value
        for each in sops.read(environment)
        for key, value in each["stringData"].items()
        if not key.endswith((".crt", "user")) and key not in ("recipients", "rclone.conf")
    ]
    lines = {line for value in values for line in value.splitlines() if len(line) > 15 and "-----" not in line}
    return lines | {base64.b64encode(value.encode()).decode() for value in values}


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """The command lines of this machine that were there at some moment."""
    seen: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield seen
    finally:
        ended.set()
        looker.join()


def left_behind(stage: Stage) -> str:
    """All that the namespace and the working tree keep of what was done, Secrets aside."""
    texts = [kubectl("-n", stage.namespace, "get", KINDS, "-o", "yaml")]
    texts += [recorded.render.text for recorded in stage.releases()]
    for pod in stage.cluster.list("Pod"):
        # One that a rollout has ended may go before it is asked.
        with suppress(DeliveryError):
            texts.append(stage.cluster.logs(pod["metadata"]["name"]))
    written = (ROOT / "build" / stage.environment.name).rglob("*")
    return "\n".join([*texts, *(each.read_text() for each in written if each.is_file())])


@pytest.mark.slow
def test_a_delivery_a_drill_and_a_rotation_show_no_secret(
    stage: Stage, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = hidden(stage.environment)
    with command_lines() as commands:
        stage.deploy(stage.good)
        printed = [job.run(stage.cluster, name) for name in ("backup", "restore-drill")]
        rotation.rotate(stage.target)
    secret |= hidden(stage.environment)
    assert len(secret) > 4 * len(rotation.ROTATED)
    texts = {"output": "".join(capfd.readouterr()), "jobs": "".join(printed)}
    texts["left"] = left_behind(stage)
    texts["command lines"] = "\n".join(commands)
    assert "is good" in texts["output"] and "sops" in texts["command lines"]
    assert {(place, each[:4]) for each in secret for place, text in texts.items() if each in text} == set()
    # The same search does find them where they belong.
    kept = kubectl("-n", stage.namespace, "get", "secrets", "-o", "yaml")
    assert base64.b64encode(PLANTED.encode()).decode() in secret & set(kept.split())


@pytest.mark.slow
def test_the_file_is_the_truth_after_a_rotation(stage: Stage, file: Path) -> None:
    before = file.read_text()
    rotation.rotate(stage.target)
    there = credentials.read(stage.cluster, "db-credentials")
    assert sops.database(sops.read(stage.environment)) == there
    sops.apply(stage.environment, stage.cluster)
    file.write_text(before)
    with pytest.raises(DeliveryError, match=r"differ in .*password"):
        stage.deploy(stage.good)
    assert stage.releases()[0].phase == "good"
    assert credentials.read(stage.cluster, "db-credentials") == there


SEALED = "github.com/bitnami-labs/sealed-secrets"
VERSION = "v0.36.0"
PROGRAMS = ROOT / "build" / "sealed-secrets"
CONTROLLER = ("--controller-namespace=sealed-secrets", "--controller-name=sealed-secrets-controller")


@pytest.fixture
def sealer(stage: Stage) -> Iterator[None]:
    """The controller of Sealed Secrets, compiled from its published module; without Go the drill is left out."""
    if shutil.which("go") is None:
        pytest.skip("there is no Go, by which the controller is compiled")
    module = json.loads(run("go", "mod", "download", "-json", f"{SEALED}@{VERSION}"))
    for program in ("controller", "kubeseal"):
        if not (PROGRAMS / program).exists():
            variables = {"GOBIN": str(PROGRAMS), "CGO_ENABLED": "0"}
            with pytest.MonkeyPatch.context() as there:
                for name, value in variables.items():
                    there.setenv(name, value)
                run("go", "install", "-ldflags=-s -w", f"{SEALED}/cmd/{program}@{VERSION}", timeout=3600)
    (PROGRAMS / "Dockerfile").write_text('FROM scratch\nCOPY controller /\nENTRYPOINT ["/controller"]\n')
    built = image.push(image.build(PROGRAMS, []), f"{stage.registry}/sealed-secrets")
    definition = Path(module["Dir"], "helm/sealed-secrets/crds/bitnami.com_sealedsecrets.yaml")
    objects = list(yaml.safe_load_all((HERE / "sealed-secrets.yaml").read_text()))
    (deployment,) = (body for body in objects if body["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = str(built)
    kubectl("apply", "-f", str(definition))
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))
    kubectl("-n", "sealed-secrets", "rollout", "status", "deployment/sealed-secrets", "--timeout=180s")
    try:
        yield
    finally:
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(objects))
        for name in ("db-credentials", "backup"):
            stage.cluster.patch(f"secret/{name}", {"metadata": {"ownerReferences": None}})
        # With it go the sealed ones, and with those only what they still own.
        kubectl("delete", "--ignore-not-found", "-f", str(definition))
        stage.deploy(stage.good, bootstrap=True)


def sealed(stage: Stage, **changes: dict[str, str]) -> Render:
    """A release with both Secrets as ciphertext, as docs/secrets.md makes it; `changes` are of db-credentials."""
    stage.render(stage.good)
    folder = ROOT / "build" / stage.environment.name
    content = yaml.safe_load((folder / "kustomization.yaml").read_text())
    content["components"].append(os.path.relpath(ROOT / "components" / "sealed-secrets", folder))
    content["patches"] = []
    for name in ("db-credentials", "backup"):
        values = credentials.read(stage.cluster, name) | changes.get(name.replace("-", "_"), {})
        body = yaml.safe_dump(credentials.secret(stage.namespace, name, values))
        text = run(str(PROGRAMS / "kubeseal"), *CONTROLLER, "--format=yaml", stdin=body)
        (folder / f"sealed-{name}.yaml").write_text(text)
        target = {"kind": "SealedSecret", "name": name}
        content["patches"].append({"path": f"sealed-{name}.yaml", "target": target})
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return overlay.render(folder)


@pytest.mark.slow
def test_sealed_secrets_bring_an_environment_up_and_new_passwords_to_it(stage: Stage, sealer: None) -> None:
    managed = ("sealedsecrets.bitnami.com/managed=true", "--overwrite")
    kubectl("-n", stage.namespace, "annotate", "secret", "db-credentials", "backup", *managed)
    deploy.deploy(stage.target, sealed(stage), deploy.Options(bootstrap=True))
    owners = stage.find("secret/db-credentials")["metadata"]["ownerReferences"]
    assert [owner["kind"] for owner in owners] == ["SealedSecret"]
    new = {key: secrets.token_urlsafe(32) for key in keys.PASSWORDS}
    render = sealed(stage, db_credentials=new)
    assert not [value for value in new.values() if value in render.text]
    stage.cluster.apply(render.kind("SealedSecret"))
    until(lambda: new.items() <= credentials.read(stage.cluster, "db-credentials").items(), seconds=60)
    with stage.traffic() as answers:
        rotation.rotate(stage.target)
    assert [answer for answer in answers if answer.error] == []
    assert server.known(stage.cluster)["accounts-password"] == new["accounts-password"]
    with stage.as_deployer():
        deploy.deploy(stage.target, render, deploy.Options())
    # From nothing but the ciphertext: the Secret itself goes, and comes back as it was.
    stage.cluster.delete("secret/db-credentials")
    until(lambda: credentials.read(stage.cluster, "db-credentials").items() >= new.items(), seconds=120)
    stage.target.proofs.smoke(stage.environment, render)
