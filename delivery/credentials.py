"""Random credentials for an environment that has none; what exists is never changed or printed."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Collection, Mapping
from typing import Any

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
ROLES = ("migration", "backup", "exporter", "accounts")
USERS = {"user": "school_schedule", **{f"{role}-user": role for role in ROLES}}
PASSWORDS = ("password", "rootpassword", *(f"{role}-password" for role in ROLES))
CERTIFICATE = {"tls.key", "tls.crt", "ca.crt"}


def ensure_database(namespace: str) -> None:
    """Creates Secret `db-credentials`, or adds what it lacks of accounts and of the server's certificate."""
    there = read(namespace, "db-credentials")
    more = fresh(namespace, missing(there))
    if not there:
        _create(secret(namespace, "db-credentials", more))
    elif more:
        replace(namespace, "db-credentials", more)


def missing(there: Collection[str]) -> set[str]:
    """The keys that `db-credentials` has and these are not; the certificate's three belong together."""
    keys = {*USERS, *PASSWORDS, *CERTIFICATE} - set(there)
    return keys | CERTIFICATE if keys & CERTIFICATE else keys


def fresh(namespace: str, keys: Collection[str]) -> dict[str, str]:
    """New values, random where they are secret, for some keys of `db-credentials`."""
    values = USERS | {key: secrets.token_urlsafe(32) for key in PASSWORDS}
    if "tls.key" in keys:
        names = ["mysql", f"mysql.{namespace}", f"mysql.{namespace}.svc", f"mysql.{namespace}.svc.cluster.local"]
        key, certificate = _certificate(names, days=3650)
        values |= {"tls.key": key, "tls.crt": certificate, "ca.crt": certificate}
    return {key: values[key] for key in keys}


def ensure_backup(namespace: str) -> None:
    """Creates Secret `backup` for the store of components/backup-store unless the namespace has it."""
    if not read(namespace, "backup"):
        identity = pyrage.x25519.Identity.generate()
        values = {"rclone.conf": STORE, "recipients": f"{identity.to_public()}\n", "identity": f"{identity}\n"}
        _create(secret(namespace, "backup", values))


def ensure_tls(namespace: str, hosts: list[str]) -> None:
    """Creates Secret `web-tls` with a self-signed certificate (90 days) for `hosts` unless the namespace has it.

    `ca.crt` repeats the certificate, where cert-manager too puts what a client must trust.
    """
    if not hosts or read(namespace, "web-tls"):
        return
    key, certificate = _certificate(hosts, days=90)
    values = {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate}
    _create(secret(namespace, "web-tls", values, "kubernetes.io/tls"))


def replace(namespace: str, name: str, values: dict[str, str]) -> None:
    """Sets some keys of a Secret; the others stay."""
    # By standard input: a command line can be read by every user of the machine.
    patch = json.dumps({"stringData": values})
    kubectl("-n", namespace, "patch", "secret", name, "--type=merge", "--patch-file=/dev/stdin", stdin=patch)
    say(f"set {', '.join(sorted(values))} of Secret {namespace}/{name}")


def read(namespace: str, name: str) -> dict[str, str]:
    """The decoded data of a Secret, none where there is no such Secret; values must not be logged."""
    answer = kubectl("-n", namespace, "get", "secret", name, "--ignore-not-found", "-o", "json")
    data = json.loads(answer)["data"] if answer else {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def secret(namespace: str, name: str, values: Mapping[str, str], kind: str = "Opaque") -> dict[str, Any]:
    """A Secret as it is written by hand."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "school-scheduler"}},
        "type": kind,
        "stringData": dict(values),
    }


def _certificate(hosts: list[str], days: int) -> tuple[str, str]:
    """A new private key, and a self-signed certificate for `hosts`, both PEM."""
    key = run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    names = "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)
    request = ["-x509", "-key", "/dev/stdin", "-days", str(days), "-subj", f"/CN={hosts[0]}"]
    extensions = ["-addext", names, "-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    return key, run("openssl", "req", *request, *extensions, stdin=key)


def _create(body: Mapping[str, Any]) -> None:
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    say(f"created Secret {body['metadata']['namespace']}/{body['metadata']['name']}")
