"""Three commands at the same time: only one of them changes anything, and nothing of any is lost."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from delivery import __main__, deploy, drift
from delivery.shell import DeliveryError
from delivery.target import Target
from tests.delivery.database import BEFORE
from tests.delivery.fake import Killed
from tests.delivery.small import PROD, Stage, heard, render
from tests.delivery.test_attacks import COMMANDS, RESTORED, brought_back
from tests.delivery.turns import Person, Turns

# Of these, what they change has no need of the lease: a Job of its own, or an administrator's part.
FREE = ("backup", "generate", "monitor", "status", "up")


@pytest.mark.parametrize("seed", range(4))
def test_of_three_commands_at_once_one_at_a_time_changes_anything_and_each_says_how_it_ended(
    stage: Stage, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    stage.deploy("2")
    server = stage.cluster.server
    stored = set(stage.database.store.values())
    names = ["deploy", "another deploy", "up", "monitor", "status", *COMMANDS]
    chosen = draw.choices(names, k=3)
    people = [Person(server, PROD.namespace) for _ in chosen]
    for person in people:
        person.wakes = server.clock + draw.choice((0, 0, 1, 5, 20))
    draw.choice(people).sleeps_at = server.clock + draw.choice((float("inf"), draw.uniform(0, 30)))
    draw.choice(people).dies_at = server.clock + draw.choice((float("inf"), draw.uniform(0, 30)))

    with stage.unserved() as unserved:
        works = [(person, work(stage, person, name)) for person, name in zip(people, chosen, strict=True)]
        Turns(server, draw).take(works)
    for person, name in zip(people, chosen, strict=True):
        assert isinstance(person.failure, DeliveryError | Killed | None), name
        assert len(str(person.failure or "").splitlines()) <= 25
        assert name in FREE or person.strayed == []
    assert "restore" in chosen or unserved == []
    assert stored <= set(stage.database.store.values())
    assert {BEFORE, RESTORED} & {stage.database.data}
    stage.cluster.pause(60)
    heard(capsys)
    stage.type_in("status", "prod")
    brought_back(stage)
    stage.type_in("rotate", "prod")
    assert (stage.serving, stage.database.whole) == ({"9"}, True)
    assert list(drift.found(stage.cluster, render("9"))) == []


def work(stage: Stage, person: Person, name: str) -> Callable[[], None]:
    target = Target(PROD, person.cluster, stage.proofs)

    def do() -> None:
        match name:
            case "deploy":
                deploy.deploy(target, render("3"), deploy.Options())
            case "another deploy":
                deploy.deploy(target, render("4", "0002"), deploy.Options(canary=1))
            case "up":
                deploy.deploy(target, render("5"), deploy.Options(bootstrap=True))
            case "monitor":
                __main__.run(__main__.parser().parse_args(["monitor", "prod", "--minutes", "1"]), target)
            case "status":
                __main__.run(__main__.parser().parse_args(["status", "prod"]), target)
            case _:
                __main__.run(__main__.parser().parse_args(COMMANDS[name]), target)

    return do
