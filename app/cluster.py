"""The Job `credentials`: adds what the Secrets of its namespace lack, as the ServiceAccount that it runs as.

No value is printed. What exists is not changed: a Secret that somebody edits meanwhile is read again.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import credentials
from app.credentials import CredentialsError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DATABASE, SITE = "db-credentials", "web-tls"
LINE = "create secret generic db-credentials --from-literal=user=root --from-literal=rootpassword=..."


class ClusterError(Exception):
    """The API server would not, or something is missing; the text is one line that says what, and what to do."""


@dataclass(frozen=True)
class Cluster:
    """A namespace by its API server, asked with the token of an account."""

    url: str
    namespace: str
    account: Path
    context: ssl.SSLContext

    @classmethod
    def connect(cls, account: Path = ACCOUNT) -> Cluster:
        """As every pod with a token may."""
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
        try:
            namespace = (account / "namespace").read_text()
            context = ssl.create_default_context(cafile=str(account / "ca.crt"))
        except OSError as error:
            raise ClusterError(f"{account}: {error.strerror}; the Job credentials runs this, in a cluster") from None
        # Many clusters' own authorities lack an extension that newer versions of Python insist on.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return cls(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", namespace, account, context)

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, or None where there is none."""
        return self._ask("GET", path)

    def change(self, secret: str, values: dict[str, str], version: str) -> bool:
        """Sets keys of a Secret that is still at this version; False where it no longer is."""
        body = {"metadata": {"resourceVersion": version}, "stringData": values}
        return self._ask("PATCH", self.path("v1", "secrets", secret), body, "merge-patch+json") is not None

    def create(self, secret: str, values: dict[str, str], kind: str) -> bool:
        """Makes a Secret, by server-side apply as RBAC's names want it; False where somebody else has made it."""
        # Server-side apply knows whose a key of `data` is, and not of `stringData`.
        data = {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "type": kind, "data": data}
        # A manager of its own: what another has written is a conflict.
        path = self.path("v1", "secrets", secret) + f"?fieldManager={socket.gethostname()}"
        return self._ask("PATCH", path, body, "apply-patch+yaml") is not None

    def path(self, version: str, kind: str, name: str) -> str:
        """Where an object of the namespace is."""
        return f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{self.namespace}/{kind}/{name}"

    def _ask(self, method: str, path: str, body: object = None, form: str = "json") -> dict[str, Any] | None:
        """The answer; None for 404 and for 409."""
        token = (self.account / "token").read_text()
        headers = {"Content-Type": f"application/{form}", "Authorization": f"Bearer {token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 -- https
        # No proxy: the token is the API server's alone.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.context)
        )
        try:
            with opener.open(request, timeout=20) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            if error.code in (404, 409):
                return None
            remedy = "; an administrator applies base/credentials, which allows it" if error.code == 403 else ""
            # What it answers may quote values.
            what = f"{method} {path.partition('?')[0]} with {error.code}"
            raise ClusterError(f"the API server answers {what}{remedy}") from None
        except (OSError, ValueError) as error:
            raise ClusterError(f"the API server does not answer: {error}") from None


def run(wait: float) -> int:
    """Completes the namespace, for as long as `wait` seconds; each reason why it cannot is printed once."""
    deadline = time.monotonic() + wait
    told = ""
    while True:
        try:
            complete(Cluster.connect())
            print("credentials: nothing is missing", flush=True)
            return 0
        except (ClusterError, CredentialsError, OSError) as error:
            if str(error) != told:
                told = str(error)
                print(f"credentials: {told}", file=sys.stderr, flush=True)
        if time.monotonic() >= deadline:
            return 1
        time.sleep(1)


def complete(cluster: Cluster) -> None:
    """Adds what both Secrets lack; ClusterError or CredentialsError where one cannot be completed."""
    database(cluster)
    site(cluster)


def database(cluster: Cluster) -> None:
    """Adds what `db-credentials` lacks. It begins with the administrator's password, which is a person's to choose."""
    found = cluster.get(cluster.path("v1", "secrets", DATABASE))
    there = values(found or {})
    if not credentials.value(there.get("rootpassword", "")):
        what = "has no rootpassword" if found else "is not there"
        raise ClusterError(f"Secret {DATABASE} {what}; `kubectl -n {cluster.namespace} {LINE}` makes it")
    more = credentials.additions(there, cluster.namespace)
    if found and more:
        if not cluster.change(DATABASE, more, found["metadata"]["resourceVersion"]):
            raise ClusterError(f"Secret {DATABASE} has just changed, and is read again")
        print(f"credentials: {DATABASE} has got {', '.join(sorted(more))}", flush=True)


def site(cluster: Cluster) -> None:
    """Makes `web-tls` for 90 days where the Ingress has TLS and cert-manager does not make it."""
    ingress = cluster.get(cluster.path("networking.k8s.io/v1", "ingresses", "web")) or {"metadata": {}, "spec": {}}
    hosts = [host for entry in ingress["spec"].get("tls", []) for host in entry.get("hosts", [])]
    annotations = ingress["metadata"].get("annotations", {})
    issued = any(name.startswith("cert-manager.io/") for name in annotations) and cluster.get("/apis/cert-manager.io")
    if not hosts or issued or cluster.get(cluster.path("v1", "secrets", SITE)):
        return
    key, certificate = credentials.self_signed(hosts, days=90)
    content = {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate}
    if cluster.create(SITE, content, "kubernetes.io/tls"):
        print(f"credentials: {SITE} is made, self-signed, for {', '.join(hosts)}", flush=True)


def values(secret: dict[str, Any]) -> dict[str, str]:
    """The decoded data of a Secret."""
    data = secret.get("data") or {}
    return {key: base64.b64decode(text).decode(errors="replace") for key, text in data.items()}
