"""The releases of an environment, recorded in its own namespace: an immutable ConfigMap for each.

A record holds the render that was applied, so that rolling back needs neither Git nor a registry's
tags. Its `phase` is `pending` while it is being delivered, then `good` or `failed`.
"""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache

from delivery.cluster import Cluster, ConflictError, Manifest, MissingError
from delivery.render import COMPONENT, Render, component
from delivery.shell import DeliveryError, say

LABELS = {"app.kubernetes.io/part-of": "school-scheduler", COMPONENT: "release"}
NAME = re.compile(r"release-([1-9]\d*)")
RENDER = "manifests.yaml.gz"
PHASES = ("pending", "good", "failed")
UNREADABLE = "unreadable"
# Bytes of a render; an API server takes no request that is longer.
LONGEST = 3 << 20
KEPT = 10


@dataclass(frozen=True)
class Release:
    """One delivery: what was applied, of which image and commit, by whom and when (ISO, UTC).

    Of a record that is damaged only the number is known: its phase is `unreadable`.
    """

    number: int
    phase: str
    image: str = ""
    commit: str = ""
    by: str = ""
    at: str = ""
    render: Render = field(default=Render(""), repr=False)

    @property
    def name(self) -> str:
        """The record's, as kubectl has it."""
        return f"configmap/release-{self.number}"


def read(cluster: Cluster) -> list[Release]:
    """The recorded releases, newest first, with those whose records are damaged.

    A damaged record is named on standard error, once, as is another's ConfigMap that has the name of
    one: that is left out.
    """
    releases = []
    for body in cluster.list("ConfigMap"):
        number = _number(body)
        if number is None:
            continue
        try:
            releases.append(_release(number, body))
        except DeliveryError as error:
            _tell(f"configmap/release-{number} of {cluster.namespace} is no release to return to: {error}")
            if _ours(body):
                releases.append(Release(number, UNREADABLE))
    return sorted(releases, key=lambda release: release.number, reverse=True)


def running(cluster: Cluster) -> Release:
    """The newest good release; DeliveryError where there is none."""
    good = last_good(read(cluster))
    if good is None:
        raise DeliveryError(f"{cluster.namespace} has no good release; deliver one first")
    return good


def record(cluster: Cluster, render: Render, *, commit: str, by: str) -> Release:
    """Records a release that is about to be delivered, under a number above all that are taken.

    Raises:
        DeliveryError: what would be recorded could not be read again.
    """
    if (size := len(render.text.encode())) > LONGEST:
        most = f"the render has {size} bytes, and the record of a release holds {LONGEST}"
        raise DeliveryError(f"{most}; nothing was applied: make it smaller")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    while True:
        taken = filter(None, map(_number, cluster.list("ConfigMap")))
        new = Release(max(taken, default=0) + 1, "pending", render.image, commit, by, at, render)
        body = _body(cluster, new)
        try:
            cluster.create(body)
        except ConflictError:
            # It is ours where only the answer was lost.
            found = cluster.get(new.name) or {}
            if any(found.get(part) != body[part] for part in ("data", "binaryData")):
                continue
        return new


def mark(cluster: Cluster, release: Release, phase: str) -> None:
    """Sets the phase; the label of an immutable ConfigMap is not part of what cannot change.

    A record that somebody has deleted meanwhile is written again.
    """
    try:
        cluster.patch(release.name, {"metadata": {"labels": {"phase": phase}}})
    except MissingError:
        if release.phase != UNREADABLE:
            say(f"{release.name} was deleted meanwhile; it is written again")
            cluster.create(_body(cluster, replace(release, phase=phase)))


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


def schemas(releases: Iterable[Release]) -> set[str]:
    """The revisions of the database's schema that the releases know."""
    known = (release.render.schema for release in releases if release.phase != UNREADABLE)
    return set(filter(None, known))


def _number(body: Manifest) -> int | None:
    """The number in a record's name; None for all other names."""
    found = NAME.fullmatch(body["metadata"]["name"])
    return int(found[1]) if found else None


def _ours(body: Manifest) -> bool:
    """Whether a ConfigMap of that name is a record, however damaged."""
    return component(body) == LABELS[COMPONENT] or RENDER in body.get("binaryData", {})


def _body(cluster: Cluster, release: Release) -> Manifest:
    """A release as it is recorded."""
    metadata = {
        "name": f"release-{release.number}",
        "namespace": cluster.namespace,
        "labels": {**LABELS, "phase": release.phase},
    }
    data = {name: getattr(release, name) for name in ("image", "commit", "by", "at")}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": data,
        "binaryData": {RENDER: _packed(release.render.text)},
    }


def _release(number: int, body: Manifest) -> Release:
    """The inverse of `_body`; DeliveryError, in words about the record, where there is none."""
    try:
        phase = body["metadata"].get("labels", {})["phase"]
        render = Render(_unpacked(body.get("binaryData", {})[RENDER]))
        data = body.get("data", {})
        image, commit, by, at = (data[name] for name in ("image", "commit", "by", "at"))
    except KeyError as error:
        raise DeliveryError(f"it lacks {error.args[0]}") from None
    except (ValueError, zlib.error) as error:
        raise DeliveryError(f"its {RENDER} cannot be read: {error}") from None
    if phase not in PHASES:
        raise DeliveryError(f"its phase is {phase!r}")
    try:
        # What a delivery asks a render for.
        render.image, render.schema, render.tls_hosts, [*map(component, render.objects)]
    except (AttributeError, LookupError, TypeError) as error:
        raise DeliveryError(f"its {RENDER} is no render: {error!r}") from None
    return Release(number, phase, image, commit, by, at, render)


@cache
def _tell(line: str) -> None:
    """Says it once, however often a command reads the records."""
    say(line)


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _unpacked(text: str) -> str:
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    content = stream.decompress(base64.b64decode(text, validate=True), LONGEST)
    if not stream.eof:
        raise ValueError(f"it is cut off, or holds more than {LONGEST} bytes")
    return content.decode()
