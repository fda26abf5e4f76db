"""The lessons of a worksheet and those of a school: which are the same, and what the drafts lose.

A lesson has no number that people see. One of the worksheet is that of the school which is like it
in everything, or else in as much as possible; it keeps the id, hence its places in the drafts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from app.engine.cost import Violation, evaluate
from app.engine.instance import Instance
from app.school import edit, lowering, moves, words
from app.school.message import Message
from app.school.model import Lesson, Placement, Plan, School

# What has to be alike in two lessons that are the same: those that are alike in most come first.
# What is taught to whom is enough. What is taught may differ if all else is alike; so may the
# classes, if they have other names now ("-") or some of them have come or gone ("+").
LIKENESSES = (
    ("classes", "subject", "teachers", "rooms", "amount", "parallel"),
    ("classes", "subject", "teachers", "rooms", "amount"),
    ("classes", "subject", "teachers", "rooms"),
    ("classes", "subject", "teachers"),
    ("classes", "subject", "amount"),
    ("classes", "subject"),
    ("classes", "teachers", "rooms", "amount", "parallel"),
    ("classes-", "subject", "teachers", "rooms", "amount"),
    ("classes+", "subject", "teachers", "rooms", "amount"),
)


@dataclass(frozen=True)
class Effect:
    """What becomes of a draft.

    Attributes:
        lost: of its placements those of which a lesson is not held then any more.
        unlocked: for how many lessons the lock is lost.
        broken: the requirements that it breaks, and did not break before.
    """

    plan: Plan
    lost: tuple[Placement, ...]
    unlocked: int
    broken: tuple[Message, ...]


def merged(before: School, after: School) -> School:
    """`after`, made by a worksheet, with the drafts of `before` and the ids of its lessons."""
    same = dict(_pairs(before, after))
    lessons = tuple(each.model_copy(update={"id": same.get(each.id, each.id)}) for each in after.lessons)
    # Where nothing is new, no id was given that anything has now.
    new = len(same) < len(lessons) or after.names.keys() != before.names.keys()
    counter = after.counter if new else before.counter
    return edit.carried(before, after.model_copy(update={"lessons": lessons, "counter": counter}))


def effects(before: School, after: School) -> list[Effect]:
    """What becomes of each draft."""
    was, now = _requirements(before), _requirements(after)
    found = []
    for plan in before.plans:
        then = after.plan(plan.id) or plan.model_copy(update={"placements": ()})
        lost, unlocked = _lost(before, after, plan, then)
        broken = moves.more(_violations(was, plan), _violations(now, then))
        found.append(Effect(plan, lost, unlocked, tuple(words.said(after, each) for each in broken)))
    return found


def _lost(before: School, after: School, plan: Plan, then: Plan) -> tuple[tuple[Placement, ...], int]:
    held = {
        (lesson.id, each.time, each.duration): each.locked
        for each in then.placements
        for lesson in after.groups[each.lesson]
    }
    lost, unlocked = [], 0
    for each in plan.placements:
        kept = [held.get((lesson.id, each.time, each.duration)) for lesson in before.groups[each.lesson]]
        if None in kept:
            lost.append(each)
        unlocked += each.duration if each.locked and not all(kept) else 0
    return tuple(lost), unlocked


def _requirements(school: School) -> Instance | None:
    """What no placement may break; that a lesson has none, or other ones, is told otherwise."""
    if not school.lessons:
        return None
    problem = lowering.problem(school)
    some = (each for each in problem.constraints if each.required and not isinstance(each, moves.DIVISION))
    return replace(problem, constraints=tuple(some))


def _violations(problem: Instance | None, plan: Plan) -> tuple[Violation, ...]:
    return evaluate(problem, lowering.timetable(plan.placements)).violations if problem else ()


def _pairs(before: School, after: School) -> Iterator[tuple[str, str]]:
    """The id of each lesson of `after` that is one of `before`, and that one's id."""
    held = edit.worth(before)
    worth = {lesson: held[head] for lesson, head in before.heads.items()}
    former, found = list(before.lessons), list(after.lessons)
    classes = [{one for lesson in some for one in lesson.classes} for some in (former, found)]
    renamed = classes[0] ^ classes[1]
    for fields in LIKENESSES:
        here, there = _grouped(former, fields, renamed), _grouped(found, fields, renamed)
        taken, placed = set(), set()
        for key in there:
            ones = [each for each in here.get(key, ()) if each.id not in taken]
            others = [each for each in there[key] if each.id not in placed]
            for one, other in _nearest(ones, others, worth):
                taken.add(one.id)
                placed.add(other.id)
                yield other.id, one.id
        former = [each for each in former if each.id not in taken]
        found = [each for each in found if each.id not in placed]


def _nearest(
    ones: Sequence[Lesson], others: Sequence[Lesson], worth: dict[str, tuple[int, int]]
) -> Iterator[tuple[Lesson, Lesson]]:
    """Those that would lose most are kept, and what is held more often stays so."""
    count = min(len(ones), len(others))
    best = sorted(range(len(ones)), key=lambda index: worth[ones[index].id], reverse=True)[:count]
    kept = sorted((ones[index] for index in sorted(best)), key=_amount, reverse=True)
    yield from zip(kept, sorted(others, key=_amount, reverse=True)[:count], strict=True)


def _grouped(
    lessons: Iterable[Lesson], fields: Iterable[str], renamed: set[str]
) -> dict[tuple[object, ...], list[Lesson]]:
    groups: dict[tuple[object, ...], list[Lesson]] = defaultdict(list)
    for lesson in lessons:
        values: dict[str, object] = {
            "classes": tuple(sorted(lesson.classes)),
            "classes-": tuple(sorted("" if one in renamed else one for one in lesson.classes)),
            "subject": lesson.subject,
            "teachers": tuple(sorted(lesson.teachers)),
            "rooms": tuple(sorted(lesson.rooms)),
            "amount": _amount(lesson),
            "parallel": lesson.parallel,
        }
        shared = lesson.classes if "classes+" in fields else ("",)
        for one in shared:
            key = tuple(values.get(field, one) for field in fields)
            groups[key].append(lesson)
    return groups


def _amount(lesson: Lesson) -> tuple[int, int]:
    return lesson.weekly, lesson.doubles
