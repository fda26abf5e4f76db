"""Whatever somebody does to an object of a release, a delivery or `make up` brings it back exactly."""

from __future__ import annotations

import copy
import random
from contextlib import suppress
from typing import Any

import pytest

from delivery.cluster import Manifest, name
from delivery.shell import DeliveryError
from drills import chaos
from tests.delivery.small import NAMESPACE, Stage, render
from tests.delivery.test_hand_edits import content, edited

DELETE: Manifest = {"op": "delete", "path": ""}


def operations(body: Manifest) -> list[Manifest]:
    """What can be done to an object as it is there."""
    found = [*chaos.changes(body, 1), *chaos.additions(body, 1)]
    return [*found, *([DELETE] if body["kind"] != NAMESPACE["kind"] else [])]


def do(stage: Stage, body: Manifest, operation: Manifest) -> None:
    """Does it by hand; DeliveryError where the API server refuses it."""
    if operation == DELETE:
        stage.cluster.remove_by_hand(name(body))
    else:
        after = patched(body, operation)
        stage.cluster.by_hand(name(body), {part: after[part] for part in after.keys() - {"status"}})


def patched(body: Manifest, operation: Manifest) -> Manifest:
    """What an operation (RFC 6902) of drills/chaos.py makes of an object."""
    after = copy.deepcopy(body)
    place: Any = after
    *path, last = operation["path"].split("/")[1:]
    for step in path:
        place = place[int(step) if isinstance(place, list) else _key(step)]
    if last == "-":
        place.append(operation["value"])
    else:
        place[int(last) if isinstance(place, list) else _key(last)] = operation["value"]
    return after


def _key(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(3))
def test_what_is_drawn_is_taken_back(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    stage.deploy("1", bootstrap=True)
    before = content(stage.cluster)
    # What runs in a container does so under another name too.
    programs = stage.cluster.server.programs
    programs |= {f"kaos{container}": program for container, program in programs.items()}
    labels = [name(body) for body in render("1").objects if body["kind"] != "Job"]
    for _ in range(10):
        body = stage.cluster.get(chance.choice(labels))
        assert body
        operation = chance.choice(operations(body))
        with suppress(DeliveryError):
            do(stage, body, operation)
        stage.cluster.pause(20)
        with suppress(DeliveryError):
            stage.deploy("1")
        if content(stage.cluster) != before or edited(stage):
            stage.deploy("1", bootstrap=True)
        assert (content(stage.cluster), edited(stage)) == (before, []), operation
