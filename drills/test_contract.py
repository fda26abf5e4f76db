"""The contract of a Cluster, kept by a real one, in a namespace of the drill's own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from delivery.cluster import Cluster, Manifest
from delivery.kubectl import Kubectl, kubectl
from delivery.shell import ROOT
from drills.line import Line, line
from tests.delivery.contract import Contract
from tests.delivery.contract.place import changed

# An image that every cluster with an environment has.
DATABASE = ROOT / "base/mysql/statefulset.yaml"


@dataclass
class Real:
    cluster: Kubectl
    good: str
    line: Line
    nobodys: Path
    # How many bytes the API server answers to a `create`.
    bytes: int

    def by_hand(self, name: str, change: Manifest) -> None:
        hand = ("--type=merge", "--field-manager=hand", "--patch", json.dumps(change))
        kubectl("-n", self.cluster.namespace, "patch", name, *hand)

    def scale(self, name: str, replicas: int) -> None:
        kubectl("-n", self.cluster.namespace, "scale", name, f"--replicas={replicas}")

    @contextmanager
    def silent(self) -> Iterator[None]:
        namespace, kind = self.cluster.namespace, "ValidatingWebhookConfiguration"
        webhook = {
            "name": "silent.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 1,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
            "clientConfig": {"service": {"namespace": namespace, "name": "none"}},
        }
        version = "admissionregistration.k8s.io/v1"
        metadata = {"name": namespace}
        self.cluster.create({"apiVersion": version, "kind": kind, "metadata": metadata, "webhooks": [webhook]})
        try:
            yield
        finally:
            self.cluster.delete(f"{kind.lower()}/{namespace}")

    @contextmanager
    def nobody(self) -> Iterator[Cluster]:
        with pytest.MonkeyPatch.context() as there:
            there.setenv("KUBECONFIG", str(self.nobodys))
            yield self.cluster

    @contextmanager
    def slow(self) -> Iterator[None]:
        self.line.delay = 1
        yield
        self.line.delay = 0

    def away(self, seconds: float) -> None:
        self.line.away(seconds)

    def breaks(self) -> Iterator[AbstractContextManager[object]]:
        # The answer to a change is among the last bytes, after what every command asks for.
        for cut in (0, self.bytes // 2, *(self.bytes - left for left in (1000, 600, 300, 100, 1))):
            yield self._break(cut)

    @contextmanager
    def _break(self, cut: int) -> Iterator[None]:
        self.line.cut = cut
        yield
        self.line.cut = None


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """One namespace for all tests, as it takes seconds to go."""
    namespace, folder = f"contract-{secrets.token_hex(3)}", tmp_path_factory.mktemp("contract")
    image = yaml.safe_load(DATABASE.read_text())["spec"]["template"]["spec"]["containers"][0]["image"]
    cluster = Kubectl(namespace)
    metadata = {"name": namespace}
    with line(folder) as direct, pytest.MonkeyPatch.context() as there:
        there.setenv("KUBECONFIG", str(direct.kubeconfig))
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        try:
            cluster.create(changed(cluster, "probe"))
            yield Real(cluster, image, direct, _nobody(namespace, direct.kubeconfig), direct.passed)
        finally:
            cluster.delete(f"namespace/{namespace}")


def _nobody(namespace: str, kubeconfig: Path) -> Path:
    """A kubeconfig with the token of an account that has no right."""
    kubectl("-n", namespace, "create", "serviceaccount", "nobody")
    config = yaml.safe_load(kubeconfig.read_text())
    token = kubectl("-n", namespace, "create", "token", "nobody", "--duration=1h").strip()
    config["users"][0]["user"] = {"token": token}
    file = kubeconfig.with_name("nobody")
    file.touch(0o600)
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def place(space: Real) -> Iterator[Real]:
    yield space
    # One that every namespace has would be made anew.
    but = "--field-selector=metadata.name!=kube-root-ca.crt"
    kinds = "resourcequotas,ingresses,services,daemonsets,deployments,statefulsets,jobs,secrets,configmaps"
    kubectl("-n", space.cluster.namespace, "delete", kinds, but, "--cascade=foreground")


class TestReal(Contract):
    """Minutes in all."""
