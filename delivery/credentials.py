"""Random credentials for an environment that has none; what exists is never changed or printed."""

from __future__ import annotations

import base64
import json
import secrets
import tempfile
from pathlib import Path

from delivery.shell import kubectl, run, say


def ensure_database(namespace: str) -> None:
    """Creates Secret `db-credentials` with random passwords unless the namespace has it."""
    if not _exists(namespace, "db-credentials"):
        passwords = {key: secrets.token_urlsafe(32) for key in ("password", "rootpassword")}
        _create(namespace, "db-credentials", "Opaque", {"user": "school_schedule", **passwords})


def ensure_tls(namespace: str, hosts: list[str]) -> None:
    """Creates Secret `web-tls` with a self-signed certificate (90 days) for `hosts` unless the namespace has it.

    `ca.crt` repeats the certificate, where cert-manager too puts what a client must trust.
    """
    if not hosts or _exists(namespace, "web-tls"):
        return
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "tls.key"), Path(folder, "tls.crt")
        names = "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)
        request = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90"]
        extensions = ["-addext", names, "-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        run("openssl", "req", *request, "-subj", f"/CN={hosts[0]}", *extensions, *files)
        pem = certificate.read_text()
        _create(namespace, "web-tls", "kubernetes.io/tls", {"tls.crt": pem, "tls.key": key.read_text(), "ca.crt": pem})


def read(namespace: str, name: str) -> dict[str, str]:
    """The decoded data of a Secret; values must not be logged."""
    data = json.loads(kubectl("-n", namespace, "get", "secret", name, "-o", "json"))["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _exists(namespace: str, name: str) -> bool:
    return bool(kubectl("-n", namespace, "get", "secret", name, "--ignore-not-found", "-o", "name").strip())


def _create(namespace: str, name: str, kind: str, values: dict[str, str]) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "school-scheduler"}},
        "type": kind,
        "stringData": values,
    }
    # By standard input: a command line can be read by every user of the machine.
    kubectl("create", "-f", "-", stdin=json.dumps(secret))
    say(f"created Secret {namespace}/{name}")
