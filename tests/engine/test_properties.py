"""What holds for any timetable: each is made by chance, the same at every run."""

from __future__ import annotations

import random
import re

import pytest

from app.engine.cost import evaluate
from app.engine.instance import Instance
from app.engine.timetable import Lesson, Timetable, Unplaced
from app.engine.xhstt import read_instances, read_solutions, write_solution
from tests.engine.conftest import EXAMPLES, Archive, Rule

EXAMPLE = (EXAMPLES / "BrazilInstance1.xml").read_bytes()


def some_timetable(instance: Instance, luck: random.Random) -> Timetable:
    """Every event divided by chance, with times and rooms or without."""
    lessons, unplaced = [], []
    for event in instance.events:
        left = event.duration
        while left:
            duration = luck.randint(1, left)
            left -= duration
            choice = [(role, luck.choice(["R1", "R2", ""])) for role in event.open]
            assigned = tuple((role, room) for role, room in choice if room)
            if luck.random() < 0.2:
                unplaced.append(Unplaced(event.id, duration, assigned))
            else:
                start = luck.randrange(len(instance.times) - duration + 1)
                lessons.append(Lesson(event.id, instance.times[start].id, duration, assigned))
    return Timetable(tuple(sorted(lessons)), tuple(sorted(unplaced)))


def renamed(data: bytes, luck: random.Random) -> tuple[bytes, dict[str, str]]:
    """The archive with the ids of its instance in another order, and which became which."""
    text = data.decode("utf-8-sig")
    ids = re.findall(r'<(?:Resource|Event|Time|Course|EventGroup|ResourceGroup) Id="([^"]+)"', text)
    others = [f"id {number}" for number in range(len(ids))]
    luck.shuffle(others)
    names = dict(zip(ids, others, strict=True))
    return re.sub(
        r'(Id|Reference)="([^"]+)"', lambda found: f'{found[1]}="{names.get(found[2], found[2])}"', text
    ).encode(), names


@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_is_read_back_and_costs_the_same(archive: Archive, rule: Rule, seed: int) -> None:
    rules = rule("AvoidClashes") + rule("AssignTime", weight=2) + rule("AssignResource", "<Role>Room</Role>", weight=3)
    data = archive(rules, rooms=True)
    instance = read_instances(data, "tiny.xml")[0]
    timetable = some_timetable(instance, random.Random(seed))  # noqa: S311 - a repeatable choice, not a secret
    written = write_solution(data, "tiny.xml", timetable, "Somebody", "2026-01-31")
    assert read_solutions(written, "tiny.xml") == (timetable,)
    assert read_instances(written, "tiny.xml") == (instance,)
    assert Timetable.from_json(timetable.to_json()) == timetable


@pytest.mark.parametrize("seed", range(3))
def test_other_names_cost_the_same(seed: int) -> None:
    luck = random.Random(seed)  # noqa: S311 - a repeatable choice, not a secret
    instance = read_instances(EXAMPLE, "BrazilInstance1.xml")[0]
    timetable = some_timetable(instance, luck)
    other, names = renamed(EXAMPLE, luck)
    lessons = (Lesson(names[each.event], names[each.time], each.duration) for each in timetable.lessons)
    unplaced = (Unplaced(names[each.event], each.duration) for each in timetable.unplaced)
    before = evaluate(instance, timetable)
    after = evaluate(read_instances(other, "other.xml")[0], Timetable(tuple(lessons), tuple(unplaced)))
    assert (before.hard, before.soft) == (after.hard, after.soft)
    assert before.hard > 0
