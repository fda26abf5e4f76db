"""Flux's kustomize-controller in the cluster, and an environment that it brings from commits.

Its source-controller is not run: what that finds in Git, a commit as an archive, is put where it
would be.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml

from delivery import credentials, image, managed, overlay, sops
from delivery.cluster import Manifest
from delivery.image import Image
from delivery.kubectl import kubectl
from delivery.render import Render
from delivery.shell import ROOT, DeliveryError, run
from drills.conftest import HERE, Stage
from drills.watching import until
from policy_tests.render import render as kustomize
from tests.delivery import gitops

MODULE = "github.com/fluxcd/kustomize-controller"
VERSION = "v1.9.6"
# Its go.mod names it; of this one the definitions alone are needed.
SOURCES = "github.com/fluxcd/source-controller@v1.9.0"
PROGRAMS = ROOT / "build" / "flux"
NAMESPACE = "flux-system"
DOCKERFILE = """FROM scratch
COPY manager /
USER 65534:65534
ENTRYPOINT ["/manager"]
"""
GIT = ("git", "-c", "user.name=drill", "-c", "user.email=drill@example.org")


def module(name: str) -> Path:
    """Where Go keeps a published module, NAME@VERSION."""
    return Path(json.loads(run("go", "mod", "download", "-json", name, timeout=1800))["Dir"])


def compiled() -> Path:
    """The module's source in build/flux, with the program `manager` beside it."""
    source = PROGRAMS / "source"
    if not source.exists():
        shutil.copytree(module(f"{MODULE}@{VERSION}"), source, copy_function=shutil.copyfile)
        for folder in (source, *source.rglob("*/")):
            folder.chmod(0o755)
    if not (PROGRAMS / "manager").exists():
        api = f"{MODULE}/api"
        edits = (f"-dropreplace={api}", f"-require={api}@{VERSION}")
        run("go", "mod", "edit", *edits, str(source / "go.mod"))
        with pytest.MonkeyPatch.context() as there:
            there.setenv("CGO_ENABLED", "0")
            there.setenv("GOFLAGS", "-mod=mod")
            program = ("-ldflags=-s -w", f"-o={PROGRAMS / 'manager'}")
            run("go", "build", "-C", str(source), "-p=1", *program, ".", timeout=7200)
    return source


def configured(registry: str, source: Image) -> str:
    """Its own configuration in flux-system, with the image `source` to serve artifacts."""
    compiled()
    (PROGRAMS / "Dockerfile").write_text(DOCKERFILE)
    (PROGRAMS / ".dockerignore").write_text("source\n")
    built = image.push(image.build(PROGRAMS, []), f"{registry}/kustomize-controller")
    names = ("buckets", "gitrepositories", "ocirepositories")
    for name in names:
        file = f"config/crd/bases/source.toolkit.fluxcd.io_{name}.yaml"
        shutil.copyfile(module(SOURCES) / file, PROGRAMS / f"{name}.yaml")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    (PROGRAMS / "namespace.yaml").write_text(yaml.safe_dump(namespace))
    deployment = yaml.safe_load((HERE / "flux.yaml").read_text())
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = str(source)
    own = {"newName": built.name, "digest": built.digest}
    content = {
        "namespace": NAMESPACE,
        "resources": [
            "namespace.yaml",
            *(f"{name}.yaml" for name in names),
            *(f"source/config/{name}" for name in ("crd", "rbac", "manager")),
        ],
        "images": [{"name": "fluxcd/kustomize-controller"} | own],
        "patches": [{"patch": yaml.safe_dump(deployment)}],
    }
    (PROGRAMS / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return kustomize(str(PROGRAMS))


def controlled(*words: str, stdin: str | None = None) -> str:
    """What kubectl answers where the controller is."""
    return kubectl("-n", NAMESPACE, *words, stdin=stdin)


def documented(pattern: str, **names: str) -> str:
    """What a pattern's group finds once in docs/gitops.md, with names in place of others."""
    (text,) = re.findall(pattern, gitops.DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    for name, other in names.items():
        text = re.sub(rf"\b{name}\b", other, text)
    return str(text)


class Handed(Stage):
    """An environment that is handed to Flux as docs/gitops.md says, in a repository of its own."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        self.folder = folder
        self.key = pyrage.x25519.Identity.generate()
        super().__init__(*arguments)

    def begin(self) -> None:
        """Puts Flux into the cluster, and waits until the first commit is there."""
        there = kubectl("get", "customresourcedefinitions", "--output=name")
        assert "fluxcd.io" not in there, "the cluster has a Flux, which would go with this one"
        self.flux = configured(self.registry, self.good)
        try:
            self.install()
            self.prepare()
            self.hand_over()
            self.wait_until_ready(self.commit("The first release"))
        except BaseException:
            self.end()
            raise

    def install(self) -> None:
        """Puts Flux into the cluster, with the environment's key and nothing else of it."""
        kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=300s")
        managed.apply(self.cluster, Render(kustomize("admission")).objects)
        kubectl("apply", "--server-side", "-f", "-", stdin=self.flux)
        controlled("rollout", "status", "deployment/kustomize-controller", "--timeout=180s")
        key = {f"{self.environment.name}.agekey": str(self.key)}
        self.apply(credentials.secret(NAMESPACE, f"{self.namespace}-age", key))
        self.apply(gitops.handed(self.environment, "GitRepository"))

    def prepare(self) -> None:
        """Makes the repository."""
        gitops.copy(self.folder)
        self.keep_secrets()
        self.choose(self.good)
        run(*GIT, "init", "--quiet", "--initial-branch=main", str(self.folder))

    def end(self) -> None:
        """Takes Flux and the environment out of the cluster."""
        # A controller that waits for health, or none, would keep it for as long.
        with suppress(DeliveryError):
            controlled("delete", "kustomization", self.namespace, "--wait=false")
            free = '--patch={"metadata": {"finalizers": null}}'
            controlled("patch", "kustomization", self.namespace, "--type=merge", free)
        kubectl("delete", "--ignore-not-found", "--timeout=300s", "-f", "-", stdin=self.flux)
        kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=300s")

    @contextmanager
    def secrets(self) -> Iterator[None]:
        """Within it the file of Secrets is the repository's."""
        with pytest.MonkeyPatch.context() as there:
            there.setattr(sops, "FOLDER", self.folder / "secrets")
            there.setenv("SOPS_AGE_KEY", str(self.key))
            yield

    def keep_secrets(self) -> None:
        """Makes secrets/ENV.enc.yaml, with Secret `backup` in it, and what has Flux read it."""
        rules = (ROOT / ".sops.yaml").read_text().replace("REPLACE_ME", str(self.key.to_public()))
        (self.folder / ".sops.yaml").write_text(rules)
        with self.secrets():
            sops.make(self.environment)
            own = {"recipients": f"{self.key.to_public()}\n", "identity": f"{self.key}\n"}
            content = own | {"rclone.conf": credentials.STORE}
            backup = credentials.secret(self.namespace, "backup", content)
            sops.write(self.environment, [*sops.read(self.environment), backup])
        file = r"^cat >secrets/prod/kustomization.yaml <<'YAML'\n(.*?)^YAML$"
        component = documented(file, prod=self.environment.name)
        beside = self.folder / "secrets" / self.environment.name
        beside.mkdir()
        (beside / "kustomization.yaml").write_text(component)

    def hand_over(self, without: str = "", **fields: Any) -> None:
        """Applies the document's Kustomization, for a cluster of one's own, with Secrets in Git."""
        body = gitops.handed(self.environment, "Kustomization")
        own = ("components/backup-store", "components/single-node")
        more = (f"secrets/{self.environment.name}", *own)
        before = [f"../../{name}" for name in more if name != without]
        body["spec"] |= {"components": before + body["spec"]["components"], **fields}
        self.apply(body)

    def apply(self, body: Manifest) -> None:
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body))

    def choose(self, built: Image) -> None:
        """Has the next commit run an image."""
        assert overlay.choose(self.environment, built, self.folder)

    def write(self, file: str, old: str, new: str) -> None:
        """Has the next commit change a text that a file has once."""
        place = self.folder / file
        text = place.read_text()
        assert text.count(old) == 1
        place.write_text(text.replace(old, new))

    def commit(self, message: str) -> str:
        """Commits what is in the folder, and has Flux find the commit; its revision."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")
        return self.push()

    def revert(self) -> str:
        """Reverts the newest commit as the document says, and has Flux find that; its revision."""
        words = documented(r"^git (revert [^\n]*)$").split()
        self.git(*words)
        return self.push()

    def type(self, lines: str) -> None:
        """Does what a person types."""
        with pytest.MonkeyPatch.context() as there:
            there.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
            run("bash", "-euo", "pipefail", "-c", lines)

    def git(self, *words: str) -> str:
        return run(*GIT, "-C", str(self.folder), *words)

    def push(self) -> str:
        """What source-controller does with the newest commit of the branch."""
        commit = self.git("rev-parse", "HEAD").strip()
        archive = self.folder / ".git" / "artifact.tar.gz"
        self.git("archive", "--format=tar.gz", f"--output={archive}", "HEAD")
        content = archive.read_bytes()
        program = (
            "import base64, os, sys;"
            "open('/artifacts/new', 'wb').write(base64.b64decode(sys.stdin.read()));"
            f"os.replace('/artifacts/new', '/artifacts/{commit}.tar.gz')"
        )
        place = ("--stdin", "deployment/kustomize-controller", "--container=source")
        encoded = base64.b64encode(content).decode()
        controlled("exec", *place, "--", "python", "-c", program, stdin=encoded)
        revision = f"main@sha1:{commit}"
        artifact = {
            "revision": revision,
            "path": f"{commit}.tar.gz",
            "url": f"http://localhost:8000/{commit}.tar.gz",
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "lastUpdateTime": datetime.now(UTC).isoformat(timespec="seconds"),
            "size": len(content),
        }
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Succeeded",
            "message": f"stored artifact for revision '{revision}'",
            "lastTransitionTime": artifact["lastUpdateTime"],
        }
        status = {"artifact": artifact, "conditions": [ready], "observedGeneration": 1}
        patch = json.dumps({"status": status})
        words = ("--subresource=status", "--type=merge", f"--patch={patch}")
        controlled("patch", "gitrepository", "school-scheduler", *words)
        return revision

    def kustomization(self) -> Manifest:
        """The Kustomization as it is now."""
        text = controlled("get", "kustomization", self.namespace, "--output=json")
        body: Manifest = json.loads(text)
        return body

    def ready(self) -> Manifest:
        """Its condition Ready, empty where it has none."""
        conditions = self.kustomization().get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == "Ready"), {})

    def wait_until_ready(self, revision: str, seconds: float = 900) -> None:
        """Waits until Flux says that a revision is there, and well."""

        def there() -> bool:
            applied = self.kustomization().get("status", {}).get("lastAppliedRevision")
            return applied == revision and self.ready().get("status") == "True"

        until(there, seconds)

    def reconciliations(self) -> int:
        """How often what is there now was applied."""
        history = self.kustomization()["status"]["history"]
        return int(history[0]["totalReconciliations"])

    def smoke(self) -> subprocess.CompletedProcess[str]:
        """The smoke tests as a person types them."""
        options = (f"--env={self.environment.name}", f"--ingress={self.ingress}", "--tb=short")
        command = (sys.executable, "-m", "pytest", "smoke_tests", *options, "-pno:cacheprovider")
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
