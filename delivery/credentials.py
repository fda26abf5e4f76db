"""Random credentials for an environment that has none; what exists is never changed or printed."""

from __future__ import annotations

import base64
import json
import secrets
import tempfile
from pathlib import Path

import pyrage

from delivery.shell import kubectl, run, say

STORE = """[store]
type = s3
provider = Rclone
endpoint = http://backup-store:9000
force_path_style = true
access_key_id = any
secret_access_key = any
"""


def ensure_database(namespace: str) -> None:
    """Creates Secret `db-credentials`, or adds what it lacks of accounts and of the server's certificate."""
    roles = ("migration", "backup", "exporter", "accounts")
    users = {"user": "school_schedule", **{f"{role}-user": role for role in roles}}
    passwords = ("password", "rootpassword", *(f"{role}-password" for role in roles))
    wanted = users | {key: secrets.token_urlsafe(32) for key in passwords}
    names = ["mysql", f"mysql.{namespace}", f"mysql.{namespace}.svc", f"mysql.{namespace}.svc.cluster.local"]
    key, certificate = _certificate(names, days=3650)
    wanted |= {"tls.key": key, "tls.crt": certificate, "ca.crt": certificate}
    if not _exists(namespace, "db-credentials"):
        _create(namespace, "db-credentials", "Opaque", wanted)
        return
    there = read(namespace, "db-credentials").keys()
    missing = wanted.keys() - there
    if missing & {"tls.key", "tls.crt", "ca.crt"}:
        # The three belong together.
        missing |= {"tls.key", "tls.crt", "ca.crt"}
    if missing:
        replace(namespace, "db-credentials", {key: wanted[key] for key in missing})


def ensure_backup(namespace: str) -> None:
    """Creates Secret `backup` for the store of components/backup-store unless the namespace has it."""
    if not _exists(namespace, "backup"):
        identity = pyrage.x25519.Identity.generate()
        values = {"rclone.conf": STORE, "recipients": f"{identity.to_public()}\n", "identity": f"{identity}\n"}
        _create(namespace, "backup", "Opaque", values)


def ensure_tls(namespace: str, hosts: list[str]) -> None:
    """Creates Secret `web-tls` with a self-signed certificate (90 days) for `hosts` unless the namespace has it.

    `ca.crt` repeats the certificate, where cert-manager too puts what a client must trust.
    """
    if not hosts or _exists(namespace, "web-tls"):
        return
    key, certificate = _certificate(hosts, days=90)
    _create(namespace, "web-tls", "kubernetes.io/tls", {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate})


def replace(namespace: str, name: str, values: dict[str, str]) -> None:
    """Sets some keys of a Secret; the others stay."""
    # By standard input: a command line can be read by every user of the machine.
    patch = json.dumps({"stringData": values})
    kubectl("-n", namespace, "patch", "secret", name, "--type=merge", "--patch-file=/dev/stdin", stdin=patch)
    say(f"set {', '.join(sorted(values))} of Secret {namespace}/{name}")


def read(namespace: str, name: str) -> dict[str, str]:
    """The decoded data of a Secret; values must not be logged."""
    data = json.loads(kubectl("-n", namespace, "get", "secret", name, "-o", "json"))["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _certificate(hosts: list[str], days: int) -> tuple[str, str]:
    """A new private key, and a self-signed certificate for `hosts`, both PEM."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "tls.key"), Path(folder, "tls.crt")
        names = "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)
        request = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(days)]
        extensions = ["-addext", names, "-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        run("openssl", "req", *request, "-subj", f"/CN={hosts[0]}", *extensions, *files)
        return key.read_text(), certificate.read_text()


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
    kubectl("create", "-f", "-", stdin=json.dumps(secret))
    say(f"created Secret {namespace}/{name}")
