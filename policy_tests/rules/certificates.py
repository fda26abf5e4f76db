"""cert-manager's Certificates: for the hosts that use them, and renewed in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from policy_tests.manifests import Finding, Manifest, ManifestSet, dig, items, mapping
from policy_tests.quantity import seconds
from policy_tests.rule import rule
from policy_tests.rules.gateway import GROUP, listeners

# What cert-manager takes without spec.duration: 90 days.
DURATION = "2160h"


def _served(manifests: ManifestSet) -> Iterator[tuple[Manifest, object, str]]:
    """(user, Secret's name, host) of every host that a Gateway or an Ingress serves with a Secret's certificate."""
    for gateway in manifests.of(f"Gateway.{GROUP}"):
        for _, listener in listeners(gateway):
            for secret in map(mapping, items(dig(listener, "tls.certificateRefs"))):
                if listener.get("hostname"):
                    yield gateway, secret.get("name"), str(listener["hostname"])
    for ingress in manifests.of("Ingress"):
        for entry in map(mapping, items(ingress.spec.get("tls"))):
            for host in items(entry.get("hosts")):
                yield ingress, entry.get("secretName"), str(host)


@rule(
    "certificates-cover-hosts",
    "high",
    why="Browsers refuse a certificate that is for other names than the host's.",
    fix="add the host to spec.dnsNames.",
    source="cert-manager: Certificate resource; kyverno ingress-host-match-tls, for Certificates",
)
def cover_hosts(manifests: ManifestSet) -> Iterator[Finding]:
    certificates = manifests.of("Certificate.cert-manager.io")
    for user, secret, host in _served(manifests) if certificates else ():
        made = [
            each for each in certificates if (each.namespace, each.spec.get("secretName")) == (user.namespace, secret)
        ]
        for certificate in made:
            names = {*items(certificate.spec.get("dnsNames")), certificate.spec.get("commonName")}
            if not names & {host, "*." + host.partition(".")[2]}:
                path = "spec.dnsNames"
                yield certificate.finding(
                    path, certificate.spec.get("dnsNames"), f"has not {host}, which {user} serves"
                )


@rule(
    "certificates-renewed-in-time",
    "high",
    why="cert-manager refuses a Certificate that it would have to renew before it was issued.",
    fix="set renewBefore to about a third of duration.",
    source="cert-manager: Certificate resource, renewal; no checker has it",
    per_object=True,
)
def renewed_in_time(manifests: ManifestSet) -> Iterator[Finding]:
    for certificate in manifests.of("Certificate.cert-manager.io"):
        whole, before = certificate.spec.get("duration", DURATION), certificate.spec.get("renewBefore")
        lasts, margin = seconds(whole), seconds(before)
        if lasts is not None and margin is not None and margin >= lasts:
            yield certificate.finding("spec.renewBefore", before, f"is not below the duration, {whole}")


@rule(
    "certificates-own-secret",
    "high",
    why="Two Certificates with one Secret issue against each other without end, until the issuer's limit is reached.",
    fix="give each its own secretName, or put all names into one of them.",
    source="cert-manager: Certificate resource, secretName; no checker has it",
)
def own_secret(manifests: ManifestSet) -> Iterator[Finding]:
    certificates = manifests.of("Certificate.cert-manager.io")
    makers = Counter((each.namespace, each.spec.get("secretName")) for each in certificates)
    for certificate in certificates:
        name = certificate.spec.get("secretName")
        if name and makers[certificate.namespace, name] > 1:
            yield certificate.finding("spec.secretName", name, "is another Certificate's too")
