"""A render: the manifests of one environment, as kustomize prints them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import yaml

from delivery.cluster import Manifest
from delivery.shell import DeliveryError

COMPONENT = "app.kubernetes.io/component"
SCHEMA = "school-scheduler/schema"
SINGLE_NODE = "school-scheduler/single-node"


@dataclass(frozen=True)
class Render:
    """Manifests in the order in which they are applied: the `text` that they were rendered to, and its objects."""

    text: str

    @classmethod
    def of(cls, objects: Iterable[Manifest]) -> Render:
        """The render of some objects."""
        return cls(yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False))

    @property
    def objects(self) -> tuple[Manifest, ...]:
        """Every object, not to be changed: a text is parsed once, whoever holds it.

        Raises:
            DeliveryError: it is not YAML, or has something that is not a Kubernetes object.
        """
        return _parsed(self.text)

    def kind(self, *kinds: str) -> list[Manifest]:
        """The objects of some kinds."""
        return [body for body in self.objects if body["kind"] in kinds]

    @property
    def web(self) -> Manifest:
        """The Deployment that serves the pages, by its label: up to v0.1.0 its name was `web`."""
        return self._only("Deployment", lambda body: component(body) == "web")

    @property
    def image(self) -> str:
        """The reference of the application's image."""
        return str(self.web["spec"]["template"]["spec"]["containers"][0]["image"])

    @property
    def schema(self) -> str | None:
        """The revision of the database's schema that the web migrates to."""
        schema: str | None = self.web["metadata"].get("annotations", {}).get(SCHEMA)
        return schema

    @property
    def single_node(self) -> bool:
        """Whether it has the sizes for a single node, by what overlay.write notes on the web.

        A render from before there was a note is known by the object store that came with those sizes.
        """
        noted = self.web["metadata"].get("annotations", {}).get(SINGLE_NODE)
        if noted is None:
            return any(component(body) == "backup-store" for body in self.kind("StatefulSet"))
        return bool(noted == "true")

    @property
    def ingress(self) -> Manifest:
        """The Ingress, which says by what host the environment is reached."""
        return self._only("Ingress")

    @property
    def tls_hosts(self) -> list[str]:
        """The hosts that are served by TLS, in order."""
        return [host for body in self.kind("Ingress") for host in tls_hosts(body)]

    @property
    def has_database(self) -> bool:
        """Whether the database is one of its own, rather than one outside the cluster."""
        return any(component(body) == "database" for body in self.kind("StatefulSet"))

    def find(self, kind: str, name: str) -> Manifest | None:
        """The object of that kind and name."""
        named = (body for body in self.kind(kind) if body["metadata"]["name"] == name)
        return next(named, None)

    def _only(self, kind: str, wanted: Callable[[Manifest], bool] = lambda body: True) -> Manifest:
        found = [body for body in self.kind(kind) if wanted(body)]
        if len(found) != 1:
            count = f"the render has {len(found)} of kind {kind} where an environment has exactly one"
            raise DeliveryError(count)
        return found[0]


# A delivery reads the releases that are kept several times over.
@lru_cache(maxsize=32)
def _parsed(text: str) -> tuple[Manifest, ...]:
    try:
        # libyaml takes a seventh of the time.
        bodies = tuple(yaml.load_all(text, yaml.CSafeLoader))
    # Scalars and nesting that it cannot take make it raise these.
    except (yaml.YAMLError, AttributeError, LookupError, RecursionError, ValueError) as error:
        raise DeliveryError(f"the render is not YAML: {error}") from None
    for body in bodies:
        match body:
            case None | {"kind": str(), "metadata": {"name": str()}}:
                continue
        raise DeliveryError(f"the render has what is not a Kubernetes object: {body!r:.60}")
    objects = tuple(body for body in bodies if body)
    names = Counter((body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"]) for body in objects)
    for (kind, _, name), count in names.items():
        if count > 1:
            raise DeliveryError(f"the render has {kind.lower()}/{name} {count} times")
    return objects


def tls_hosts(ingress: Manifest) -> list[str]:
    """The hosts that an Ingress serves by TLS, in order."""
    return [host for entry in ingress["spec"].get("tls", []) for host in entry["hosts"]]


def component(body: Manifest) -> str | None:
    """What an object is a part of: `web`, `database`, `backup`."""
    name: str | None = body["metadata"].get("labels", {}).get(COMPONENT)
    return name
