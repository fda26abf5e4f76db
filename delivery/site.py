"""An environment as a browser reaches it: through the ingress, by its own host name."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import requests

from delivery import credentials
from delivery.cluster import Cluster, Manifest
from delivery.ingress import IngressAdapter
from delivery.render import Render
from delivery.shell import DeliveryError


@dataclass(frozen=True)
class Site:
    """Where an environment answers; the session trusts the authority in its Secret `web-tls`, if there is one."""

    url: str
    session: requests.Session = field(repr=False)

    def get(self, path: str, timeout: float = 10) -> requests.Response:
        return self.session.get(self.url + path, timeout=timeout)


def url_of(ingress: Manifest) -> str:
    """What an Ingress serves; DeliveryError where it names no host."""
    return f"{'https' if ingress['spec'].get('tls') else 'http'}://{host_of(ingress)}"


def host_of(ingress: Manifest) -> str:
    """The host of its first rule; DeliveryError where that has none."""
    match ingress["spec"]:
        case {"rules": [{"host": str(host)}, *_]}:
            return host
    raise DeliveryError(f"ingress/{ingress['metadata']['name']} has no rule with a host; deliver a release")


def connect(cluster: Cluster, render: Render, address: str | None = None, *, authority: bool = True) -> Site:
    """The site of a render; `address` is the ingress controller's where DNS does not know it.

    Without `authority` the Secret is not read, and the public authorities are trusted.
    """
    ingress = render.ingress
    host = host_of(ingress)
    session = requests.Session()
    if render.tls_hosts and authority:
        trusted = credentials.read(cluster, "web-tls").get("ca.crt")
        if trusted:
            session.verify = _kept(trusted)
    if address:
        # A proxy in the environment would carry the request away from that address.
        session.trust_env = False
        for scheme in ("http", "https"):
            session.mount(f"{scheme}://{host}", IngressAdapter(address, host))
    return Site(url_of(ingress), session)


def _kept(trusted: str) -> str:
    """A file of certificates; requests reads it at every new connection, so it stays as long as the process."""
    try:
        bundle = Path(tempfile.mkdtemp(prefix="school-scheduler-"), "ca.crt")
        bundle.write_text(trusted)
    except OSError as error:
        raise DeliveryError(f"the site's certificate cannot be kept: {error}") from None
    return str(bundle)
