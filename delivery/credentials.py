"""Random credentials for an environment that has none; what exists is never changed or printed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from app import credentials as keys
from app.credentials import CredentialsError
from delivery.shell import DeliveryError, kubectl, say

STORE = """[store]
type = s3
provider = Rclone
endpoint = http://backup-store:9000
force_path_style = true
access_key_id = any
secret_access_key = any
"""
DATABASE = "db-credentials"


def ensure_database(namespace: str) -> None:
    """Creates Secret `db-credentials`, or adds what it lacks of accounts and of the server's certificate."""
    found = _get(namespace, DATABASE)
    more = additions(values(found), namespace)
    if found is None:
        _create(secret(namespace, DATABASE, more))
    elif more:
        replace(namespace, DATABASE, more, found["metadata"]["resourceVersion"])


def require_database(namespace: str) -> None:
    """The same for a delivery, which may lack the right to it; DeliveryError says who has to do what then."""
    command = f"`make credentials ENV={namespace.removeprefix('school-scheduler-')}`"
    found = _get(namespace, DATABASE)
    if found is None:
        raise DeliveryError(f"there is no Secret {namespace}/{DATABASE}; {command} makes it")
    try:
        ensure_database(namespace)
    except DeliveryError as error:
        if "forbidden" not in str(error).lower():
            raise
        lacks = f"Secret {namespace}/{DATABASE} lacks {', '.join(sorted(keys.missing(values(found))))}"
        makers = [owner["kind"] for owner in found["metadata"].get("ownerReferences", [])]
        how = f"it comes from {makers[0]}" if makers else f"an administrator's {command} adds them"
        raise DeliveryError(f"{lacks}; {how}") from None


def additions(there: Mapping[str, str], namespace: str) -> dict[str, str]:
    """Values for what is missing `there`; DeliveryError where that cannot be."""
    try:
        return keys.additions(there, namespace)
    except CredentialsError as error:
        raise DeliveryError(f"Secret {namespace}/{DATABASE}: {error}") from None


def ensure_backup(namespace: str) -> None:
    """Creates Secret `backup` for the store of components/backup-store unless the namespace has it."""
    # Whoever reads Secrets only, as the smoke tests do, need not have it.
    import pyrage

    if not read(namespace, "backup"):
        identity = pyrage.x25519.Identity.generate()
        content = {"rclone.conf": STORE, "recipients": f"{identity.to_public()}\n", "identity": f"{identity}\n"}
        _create(secret(namespace, "backup", content))


def ensure_tls(namespace: str, hosts: list[str]) -> None:
    """Creates Secret `web-tls` with a self-signed certificate (90 days) for `hosts` unless the namespace has it.

    `ca.crt` repeats the certificate, where cert-manager too puts what a client must trust.
    """
    if not hosts or read(namespace, "web-tls"):
        return
    key, certificate = keys.self_signed(hosts, days=90)
    content = {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate}
    _create(secret(namespace, "web-tls", content, "kubernetes.io/tls"))


def replace(namespace: str, name: str, new: dict[str, str], version: str | None = None) -> None:
    """Sets some keys of a Secret; the others stay. With a `version`, only where it is still that one."""
    metadata = {"metadata": {"resourceVersion": version}} if version else {}
    # By standard input: a command line can be read by every user of the machine.
    patch = json.dumps({"stringData": new, **metadata})
    kubectl("-n", namespace, "patch", "secret", name, "--type=merge", "--patch-file=/dev/stdin", stdin=patch)
    say(f"set {', '.join(sorted(new))} of Secret {namespace}/{name}")


def read(namespace: str, name: str) -> dict[str, str]:
    """The decoded data of a Secret, none where there is no such Secret; values must not be logged."""
    return values(_get(namespace, name))


def values(found: Mapping[str, Any] | None) -> dict[str, str]:
    """The decoded data of a Secret's object."""
    data = (found or {}).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def secret(namespace: str, name: str, content: Mapping[str, str], kind: str = "Opaque") -> dict[str, Any]:
    """A Secret as it is written by hand."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "school-scheduler"}},
        "type": kind,
        "stringData": dict(content),
    }


def _get(namespace: str, name: str) -> dict[str, Any] | None:
    answer = kubectl("-n", namespace, "get", "secret", name, "--ignore-not-found", "-o", "json")
    found: dict[str, Any] | None = json.loads(answer) if answer else None
    return found


def _create(body: Mapping[str, Any]) -> None:
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    say(f"created Secret {body['metadata']['namespace']}/{body['metadata']['name']}")
