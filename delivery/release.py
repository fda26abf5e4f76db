"""The releases of an environment, recorded in its own namespace: an immutable ConfigMap for each render.

A record holds the bytes that were applied, so that rolling back needs neither Git nor a registry's tags. Its `phase` is
`pending` while it is being delivered, then `good` or `failed`.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from delivery import rollout
from delivery.rollout import Manifest
from delivery.shell import DeliveryError, kubectl

SELECTOR = "--selector=app.kubernetes.io/part-of=school-scheduler,app.kubernetes.io/component=release"
KEPT = 10


@dataclass(frozen=True)
class Release:
    """One delivery: what was applied (`manifests`, YAML), of which image and commit, by whom and when (ISO, UTC)."""

    number: int
    phase: str
    image: str
    commit: str
    by: str
    at: str
    manifests: str = field(repr=False)


def read(namespace: str) -> list[Release]:
    """The recorded releases, newest first."""
    items = json.loads(kubectl("-n", namespace, "get", "configmaps", SELECTOR, "-o", "json"))["items"]
    releases = [
        Release(
            number=int(item["metadata"]["name"].removeprefix("release-")),
            phase=item["metadata"]["labels"]["phase"],
            manifests=gzip.decompress(base64.b64decode(item["binaryData"]["manifests.yaml.gz"])).decode(),
            **item["data"],
        )
        for item in items
    ]
    return sorted(releases, key=lambda release: release.number, reverse=True)


def running(namespace: str) -> Release:
    """The newest good release; DeliveryError where there is none."""
    good = last_good(read(namespace))
    if good is None:
        raise DeliveryError(f"{namespace} has no good release; deliver one first")
    return good


def record(namespace: str, manifests: str, *, image: str, commit: str, by: str) -> Release:
    """Records a release that is about to be delivered."""
    number = max((release.number for release in read(namespace)), default=0) + 1
    at = datetime.now(UTC).isoformat(timespec="seconds")
    data = {"image": image, "commit": commit, "by": by, "at": at}
    labels = {"app.kubernetes.io/part-of": "school-scheduler", "app.kubernetes.io/component": "release"}
    compressed = gzip.compress(manifests.encode(), mtime=0)
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"release-{number}", "namespace": namespace, "labels": {**labels, "phase": "pending"}},
        "immutable": True,
        "data": data,
        "binaryData": {"manifests.yaml.gz": base64.b64encode(compressed).decode()},
    }
    # Unlike create, it may be repeated when the answer was lost.
    kubectl("apply", "--server-side", "--field-manager=delivery", "-f", "-", stdin=json.dumps(body))
    return Release(number, "pending", manifests=manifests, **data)


def mark(namespace: str, release: Release, phase: str) -> None:
    """Sets the phase; the label of an immutable ConfigMap is not part of what cannot change."""
    kubectl("-n", namespace, "label", f"configmap/release-{release.number}", f"phase={phase}", "--overwrite")


def objects(releases: Iterable[Release]) -> list[Manifest]:
    """What the releases have put into the cluster, one after the other."""
    return [manifest for release in releases for manifest in rollout.read(release.manifests)]


def forgotten(releases: list[Release], kept: int = KEPT) -> list[Release]:
    """The releases that the history has no room for: all but the newest `kept`, and never the newest good one."""
    good = next((release for release in releases if release.phase == "good"), None)
    return [release for release in releases[kept:] if release is not good]


def last_good(releases: list[Release], before: int | None = None) -> Release | None:
    """The newest good release, of those numbered below `before` if given."""
    older = (release for release in releases if before is None or release.number < before)
    return next((release for release in older if release.phase == "good"), None)
