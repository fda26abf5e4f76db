"""The releases of an environment, recorded in its own namespace: an immutable ConfigMap for each.

A record holds the render that was applied, so that rolling back needs neither Git nor a registry's
tags. Its `phase` is `pending` while it is being delivered, then `good` or `failed`.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from delivery.cluster import Cluster, Manifest
from delivery.render import COMPONENT, Render
from delivery.shell import DeliveryError

LABELS = {"app.kubernetes.io/part-of": "school-scheduler", COMPONENT: "release"}
SELECTOR = ",".join(f"{key}={value}" for key, value in LABELS.items())
KEPT = 10


@dataclass(frozen=True)
class Release:
    """One delivery: what was applied, of which image and commit, by whom and when (ISO, UTC)."""

    number: int
    phase: str
    image: str
    commit: str
    by: str
    at: str
    render: Render

    @property
    def name(self) -> str:
        """The record's, as kubectl has it."""
        return f"configmap/release-{self.number}"


def read(cluster: Cluster) -> list[Release]:
    """The recorded releases, newest first."""
    releases = [
        Release(
            number=int(record["metadata"]["name"].removeprefix("release-")),
            phase=record["metadata"]["labels"]["phase"],
            render=Render(_unpacked(record["binaryData"]["manifests.yaml.gz"])),
            **record["data"],
        )
        for record in cluster.list("ConfigMap", selector=SELECTOR)
    ]
    return sorted(releases, key=lambda release: release.number, reverse=True)


def running(cluster: Cluster) -> Release:
    """The newest good release; DeliveryError where there is none."""
    good = last_good(read(cluster))
    if good is None:
        raise DeliveryError(f"{cluster.namespace} has no good release; deliver one first")
    return good


def record(cluster: Cluster, render: Render, *, commit: str, by: str) -> Release:
    """Records a release that is about to be delivered."""
    number = max((release.number for release in read(cluster)), default=0) + 1
    at = datetime.now(UTC).isoformat(timespec="seconds")
    data = {"image": render.image, "commit": commit, "by": by, "at": at}
    release = Release(number, "pending", render=render, **data)
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"release-{number}",
            "namespace": cluster.namespace,
            "labels": {**LABELS, "phase": release.phase},
        },
        "immutable": True,
        "data": data,
        "binaryData": {"manifests.yaml.gz": _packed(render.text)},
    }
    # Unlike create, it may be repeated when the answer was lost.
    cluster.apply([body])
    return release


def mark(cluster: Cluster, release: Release, phase: str) -> None:
    """Sets the phase; the label of an immutable ConfigMap is not part of what cannot change."""
    cluster.patch(release.name, {"metadata": {"labels": {"phase": phase}}})


def objects(releases: Iterable[Release]) -> list[Manifest]:
    """What the releases have put into the cluster, one after the other."""
    return [body for release in releases for body in release.render.objects]


def forgotten(releases: Sequence[Release], kept: int = KEPT) -> list[Release]:
    """The releases beyond the newest `kept`, but never the newest good one."""
    good = last_good(releases)
    return [release for release in releases[kept:] if release is not good]


def last_good(releases: Iterable[Release], before: int | None = None) -> Release | None:
    """The newest good release, of those numbered below `before` if given."""
    older = (release for release in releases if before is None or release.number < before)
    return next((release for release in older if release.phase == "good"), None)


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _unpacked(text: str) -> str:
    return gzip.decompress(base64.b64decode(text)).decode()
