"""What the drill of faults that nobody names draws: everything, evenly, and the same for a seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from delivery import overlay
from delivery.cluster import Manifest
from delivery.image import Image
from delivery.render import Render
from delivery.traffic import Answer
from drills.chaos import (
    ACTIONS,
    EXCLUDED,
    REFUSALS,
    additions,
    changes,
    draws,
    reason,
    removals,
    targets,
)
from drills.ledger import Ledger, Outcome
from drills.test_chaos import outage
from policy_tests.environment import find

IMAGE = Image.parse(f"localhost:5001/school-scheduler:v1@sha256:{'0' * 64}")
CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "config", "labels": {"a/b": "c"}},
    "data": {"TEXT": "words", "SIZE": "64Mi", "a~b": ""},
}


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    folder = tmp_path_factory.mktemp("build")
    return overlay.render(overlay.write(find("prod"), IMAGE, single_node=True, build=folder))


def test_a_seed_draws_the_same_again_and_goes_on_where_it_stopped(render: Render) -> None:
    whole = list(islice(draws(render, 7), 40))
    assert list(islice(draws(render, 7), 40)) == whole
    assert list(islice(draws(render, 7, first=30), 10)) == whole[30:]
    assert list(islice(draws(render, 8), 40)) != whole


def test_every_pair_is_drawn_as_often_as_any_other(render: Render) -> None:
    wanted = {
        (label, action)
        for label, kind in targets(render).items()
        for action in ACTIONS
        if reason(action, label, kind) is None
    }
    drawn = Counter((draw.object, draw.action) for draw in islice(draws(render, 1), 100 * len(wanted)))
    assert drawn.keys() == wanted
    # Chi-squared has as many degrees of freedom; six standard deviations are more than chance.
    surprise = sum((count - 100) ** 2 / 100 for count in drawn.values())
    assert surprise < len(wanted) + 6 * (2 * len(wanted)) ** 0.5


def test_every_object_is_drawn_or_left_out_with_a_reason(render: Render) -> None:
    kinds = targets(render)
    assert set(kinds.values()) == {body["kind"] for body in render.objects} | {"Secret"}
    reasons = {reason(action, label, kind) for label, kind in kinds.items() for action in ACTIONS}
    assert "" not in reasons
    assert set(EXCLUDED.values()) <= reasons
    assert set(REFUSALS) <= set(kinds.values())
    idle = {label for label, kind in kinds.items() if all(reason(each, label, kind) for each in ACTIONS)}
    assert idle == {"job/accounts", "job/credentials", "secret/backup"}


def applied(body: Manifest, operation: Manifest) -> Any:
    """The value that an operation finds, and has to find."""
    place: Any = body
    path = operation["path"].split("/")[1:]
    for step in path if operation["op"] != "add" else path[:-1]:
        key = step.replace("~1", "/").replace("~0", "~")
        place = place[int(key) if isinstance(place, list) else key]
    return place


def test_a_change_gives_a_field_that_is_there_another_value_of_its_type(render: Render) -> None:
    for body in (CONFIG, *render.objects):
        for operation in changes(body, 1):
            assert operation["path"] != "/metadata/name"
            before = applied(body, operation)
            assert type(operation["value"]) is type(before)
            assert operation["value"] != before


def test_an_addition_finds_the_mapping_or_the_list_that_it_adds_to(render: Render) -> None:
    for body in render.objects:
        found = additions(body, 1)
        assert any(operation["path"].startswith("/metadata/") for operation in found)
        for operation in found:
            place = applied(body, operation)
            assert isinstance(place, list) == operation["path"].endswith("/-")
            assert not isinstance(place, list) or operation["value"] not in place


def test_changes_are_tried_in_an_order_of_their_draw() -> None:
    paths = ["/data/TEXT", "/data/SIZE", "/data/a~0b", "/metadata/labels/a~1b"]
    assert sorted(change["path"] for change in changes(CONFIG, 1)) == sorted(paths)
    assert len({changes(CONFIG, chance)[0]["path"] for chance in range(50)}) == len(paths)
    assert changes(CONFIG, 3) == changes(CONFIG, 3)
    assert sorted(change["path"] for change in removals(CONFIG, 1)) == sorted(paths[:3])


def outcome(number: int, *wrong: str, seed: int = 1, done: str = "it") -> Outcome:
    return Outcome(seed, number, "service/web", "delete", done=done, wrong=list(wrong))


def test_a_ledger_goes_on_where_its_seed_stopped(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new" / "chaos.jsonl")
    assert ledger.next(1) == 0
    for line in (outcome(0), outcome(1), outcome(0, seed=2)):
        ledger.add(line)
    with ledger.file.open("a") as file:
        file.write('{"seed": 1, "num')
    assert [ledger.next(seed) for seed in (1, 2, 3)] == [2, 1, 0]
    assert ledger.read()[-1] == outcome(0, seed=2)


def test_a_row_of_draws_ends_with_a_no_and_counts_those_that_did_something(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "chaos.jsonl")
    for line in (outcome(0), outcome(1, "no"), outcome(2), outcome(3, done=""), outcome(4)):
        ledger.add(line)
    assert ledger.streak() == 2
    assert str(outcome(1, "nobody was called")).endswith("NO: nobody was called")


def test_an_outage_is_the_time_in_which_half_of_the_requests_fail() -> None:
    def answers(begin: float, seconds: float, share: int) -> list[Answer]:
        count = int(10 * seconds)
        return [
            Answer(begin + number / 10, "/", 0.1, "status 503" if share and number % share == 0 else None)
            for number in range(count)
        ]

    well, half, all_of_them = answers(10, 20, 0), answers(30, 20, 2), answers(50, 10, 1)
    assert outage([*answers(0, 10, 1), *well, *half, *all_of_them], began=10) == 30
    assert outage(answers(0, 30, 3), began=0) == 0
