"""Random credentials for an environment that has none; what exists is never changed or printed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from app import credentials as keys
from app.credentials import CredentialsError
from delivery import server
from delivery.cluster import Cluster, Manifest, RefusedError
from delivery.render import tls_hosts
from delivery.shell import DeliveryError, say
from policy_tests.environment import Environment

STORE = """[store]
type = s3
provider = Rclone
endpoint = http://backup-store:9000
force_path_style = true
access_key_id = any
secret_access_key = any
"""
DATABASE, SITE = "db-credentials", "web-tls"
RUNBOOK = "docs/secrets.md"
# An annotation of the Secret while it has passwords that not every pod has taken up.
STATE = "rotation"


def ensure_database(cluster: Cluster) -> None:
    """Creates Secret `db-credentials`, or adds what it lacks of accounts and of a certificate.

    Where a server runs, what it knows of the missing is taken from it, and the rest is as in the
    midst of a rotation, which `make rotate` finishes.
    """
    found = cluster.get(f"secret/{DATABASE}")
    there = values(found)
    taken = _kept(cluster, keys.missing(there))
    more = taken | additions(there | taken, cluster.namespace)
    if found is None:
        _create(cluster, secret(cluster.namespace, DATABASE, more))
    elif more:
        replace(cluster, DATABASE, more, found["metadata"]["resourceVersion"])
    if taken:
        say(f"{', '.join(sorted(taken))} are the running database's; the others are new")
        cluster.patch(f"secret/{DATABASE}", {"metadata": {"annotations": {STATE: "begun"}}})


def _kept(cluster: Cluster, lacking: set[str]) -> dict[str, str]:
    """What the running server has of the keys that the Secret lacks; no certificate that is of no use."""
    kept = server.known(cluster) if lacking else {}
    useless = kept and keys.fault(kept["tls.crt"], kept["tls.key"], "mysql")
    return {key: kept[key] for key in lacking & kept.keys() if not (useless and key in keys.CERTIFICATE)}


def require_database(environment: Environment, cluster: Cluster) -> None:
    """The same for a delivery, which may lack the right to it; the server then goes by the Secret.

    Raises:
        DeliveryError: the Secret lacks something; the text tells who has to do what.
    """
    found = cluster.get(f"secret/{DATABASE}")
    if found is None:
        missing = f"there is no Secret {cluster.namespace}/{DATABASE}"
        raise DeliveryError(f"{missing}; {remedy(environment)} makes it")
    try:
        ensure_database(cluster)
    except RefusedError as error:
        names = ", ".join(sorted(keys.missing(values(found))))
        makers = [owner["kind"] for owner in found["metadata"].get("ownerReferences", [])]
        by_hand = f"an administrator's {remedy(environment)} adds them"
        how = f"it comes from {makers[0]}" if makers else by_hand
        lacks = f"Secret {cluster.namespace}/{DATABASE} lacks {names}"
        raise DeliveryError(f"{lacks}; {how}\n{error}") from None
    server.learn(cluster, read(cluster, DATABASE))


def check_certificates(environment: Environment, cluster: Cluster, hosts: Sequence[str]) -> None:
    """Before anything is applied, whether the database's certificate and the site's can be used.

    One that cert-manager makes is its own to renew, so a fault of it is said and no more.

    Raises:
        DeliveryError: one cannot; the text is one line that names the Secret and the remedy.
    """
    for name, wanted in ((DATABASE, ["mysql"]), (SITE, hosts)):
        found = cluster.get(f"secret/{name}") if wanted else None
        there = values(found)
        # Without a key it is that of a server elsewhere; `keys.missing` sees to the others.
        if found is None or "tls.key" not in there:
            continue
        try:
            certificate, authority = there.get("tls.crt", ""), there.get("ca.crt")
            why = keys.fault(certificate, there["tls.key"], *wanted)
            why = why or (keys.distrusted(certificate, authority) if authority else "")
        except CredentialsError as error:
            say(f"the certificates were not looked at: {error}")
            return
        fault = f"Secret {cluster.namespace}/{name}: {why}; "
        if why and "cert-manager.io/certificate-name" in found["metadata"].get("annotations", {}):
            say(f"{fault}cert-manager has to make another")
        elif why and name == SITE and there.get("tls.crt") == there.get("ca.crt"):
            away = f"`kubectl -n {cluster.namespace} delete secret {SITE}`"
            raise DeliveryError(f"{fault}{away}, then {remedy(environment)}, makes another")
        elif why:
            raise DeliveryError(f"{fault}{RUNBOOK} (When a Secret is wrong) has the way back")


def remedy(environment: Environment) -> str:
    """What an administrator types where the Secret lacks something."""
    return f"`make credentials ENV={environment.name}`"


def additions(there: Mapping[str, str], namespace: str) -> dict[str, str]:
    """Values for what is missing `there`; DeliveryError where that cannot be."""
    try:
        return keys.additions(there, namespace)
    except CredentialsError as error:
        raise DeliveryError(f"Secret {namespace}/{DATABASE}: {error}") from None


def ensure_backup(cluster: Cluster) -> None:
    """Creates Secret `backup` for the store of components/backup-store where there is none."""
    # Whoever reads Secrets only, as the smoke tests do, need not have it.
    import pyrage

    if not read(cluster, "backup"):
        identity = pyrage.x25519.Identity.generate()
        content = {
            "rclone.conf": STORE,
            "recipients": f"{identity.to_public()}\n",
            "identity": f"{identity}\n",
        }
        _create(cluster, secret(cluster.namespace, "backup", content))


def ensure_tls(cluster: Cluster, hosts: Sequence[str]) -> None:
    """Creates Secret `web-tls` with a self-signed certificate (90 days) where there is none.

    `ca.crt` repeats the certificate, where cert-manager too puts what a client must trust.
    """
    if not hosts or read(cluster, SITE):
        return
    key, certificate = keys.self_signed(list(hosts), days=90)
    content = {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate}
    _create(cluster, secret(cluster.namespace, SITE, content, "kubernetes.io/tls"))


def ensure_site(cluster: Cluster) -> None:
    """As `ensure_tls`, for the hosts of the Ingress that is there, unless cert-manager sees to them."""
    for ingress in cluster.list("Ingress"):
        if not _issued(cluster, ingress):
            ensure_tls(cluster, tls_hosts(ingress))


def _issued(cluster: Cluster, ingress: Manifest) -> bool:
    """Whether cert-manager makes an Ingress' certificate; so it seems to whoever may not look for it."""
    annotations = ingress["metadata"].get("annotations", {})
    if not any(name.startswith("cert-manager.io/") for name in annotations):
        return False
    try:
        return cluster.get("apiservice/v1.cert-manager.io") is not None
    except RefusedError:
        return True


def replace(cluster: Cluster, name: str, new: Mapping[str, str], version: str | None = None) -> None:
    """Sets some keys of a Secret; the others stay. With a `version`, only where it still is that."""
    metadata = {"metadata": {"resourceVersion": version}} if version else {}
    cluster.patch(f"secret/{name}", {"stringData": dict(new), **metadata})
    say(f"set {', '.join(sorted(new))} of Secret {cluster.namespace}/{name}")


def read(cluster: Cluster, name: str) -> dict[str, str]:
    """The decoded data of a Secret, none where there is none; values must not be logged."""
    return values(cluster.get(f"secret/{name}"))


def values(found: Manifest | None) -> dict[str, str]:
    """The decoded data of a Secret's object; DeliveryError where a value is no text."""
    if found is None:
        return {}
    return {key: _text(found["metadata"], key, value) for key, value in (found.get("data") or {}).items()}


def _text(metadata: Manifest, key: str, value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except ValueError:
        place = f"Secret {metadata['namespace']}/{metadata['name']}"
        raise DeliveryError(f"{place}: the value of {key} is no text; take that key away, and deliver again") from None


def secret(namespace: str, name: str, content: Mapping[str, str], kind: str = "Opaque") -> Manifest:
    """A Secret as it is written by hand."""
    labels = {"app.kubernetes.io/part-of": "school-scheduler"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "type": kind,
        "stringData": dict(content),
    }


def _create(cluster: Cluster, body: Manifest) -> None:
    cluster.create(body)
    say(f"created Secret {body['metadata']['namespace']}/{body['metadata']['name']}")
