"""A school: its week, whom it has, what is taught, and its drafts of a timetable. One value, stored as one document."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

from app.school.names import clean

# "never" is a requirement, the others are wishes.
Mark = Literal["never", "avoid", "prefer"]
MOST_NAME = 80
MOST_LABEL = 40


def _cleaned(given: object) -> object:
    return clean(given) if isinstance(given, str) else given


Name = Annotated[str, BeforeValidator(_cleaned), StringConstraints(min_length=1, max_length=MOST_NAME)]
# A shift, or what parallel lessons have in common; mostly empty.
Label = Annotated[str, BeforeValidator(_cleaned), StringConstraints(max_length=MOST_LABEL)]
Clock = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Kind = Literal["classes", "teachers", "subjects", "rooms"]
KINDS: tuple[Kind, ...] = ("classes", "teachers", "subjects", "rooms")
MOST_LESSONS = 1000
MOST_PLANS = 12


class Value(BaseModel):
    """Equal by content, and never changed: an edit makes another."""

    model_config = ConfigDict(frozen=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """The value with other fields. Pydantic's own copy would take along what was computed of the former ones."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        copy: Self = self.model_construct(**fields | dict(update or {}))  # type: ignore[assignment]
        return copy


class Day(Value):
    """A day of the week."""

    id: str
    name: Name


class Period(Value):
    """A lesson's time within every day, by the clock; a break after it cannot be taught through."""

    id: str
    name: Name
    begins: Clock
    ends: Clock
    shift: Label = ""
    break_after: bool = False


class Week(Value):
    """Days and periods in their order; `closed` are the slots in which nobody teaches."""

    days: tuple[Day, ...]
    periods: tuple[Period, ...]
    closed: frozenset[str] = frozenset()

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The ids of all times in which can be taught, in chronological order."""
        every = (slot(day.id, period.id) for day in self.days for period in self.periods)
        return tuple(each for each in every if each not in self.closed)

    @cached_property
    def following(self) -> dict[str, str]:
        """For each slot the one right after it, where a lesson may go on: same day and shift, and no break between."""
        pairs = list(zip(self.periods, self.periods[1:], strict=False))
        return {
            slot(day.id, one.id): slot(day.id, next.id)
            for day in self.days
            for one, next in pairs
            if not one.break_after
            and one.shift == next.shift
            and not self.closed & {slot(day.id, one.id), slot(day.id, next.id)}
        }

    @property
    def shifts(self) -> tuple[str, ...]:
        """The names of the shifts, such as morning and afternoon; none where the school does not tell them apart."""
        return tuple(dict.fromkeys(period.shift for period in self.periods if period.shift))


class Subject(Value):
    """What is taught."""

    id: str
    name: Name


class Resource(Value):
    """A class, a teacher or a room.

    Attributes:
        marks: slots that are impossible, unwelcome or welcome.
        shift: of a class, the only shift in which it has lessons; every one if empty.
        most_days, most_a_day: days at school, lessons a day; requirements.
        most_idle: free lessons between others in a week; a wish.
    """

    id: str
    name: Name
    marks: dict[str, Mark] = {}
    shift: Label = ""
    most_days: int | None = None
    most_a_day: int | None = None
    most_idle: int | None = None


class Lesson(Value):
    """What some classes learn from some teachers in some rooms, all at once.

    Attributes:
        weekly: how many periods a week, of which `doubles` pairs are held without a pause.
        parallel: lessons with the same label here are held at the same times, such as the groups of a class.
    """

    id: str
    subject: str
    classes: tuple[str, ...]
    teachers: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    weekly: int = 1
    doubles: int = 0
    parallel: Label = ""


class Placement(Value):
    """A lesson, or a group of parallel ones by its first, at a time; a generation and a repair leave it if `locked`."""

    lesson: str
    time: str
    duration: int
    locked: bool = False

    @property
    def id(self) -> str:
        """Tells it from all others of its plan."""
        return f"{self.lesson}@{self.time}"


class Plan(Value):
    """A draft of the timetable."""

    id: str
    name: Name
    placements: tuple[Placement, ...] = ()


class School(Value):
    """Everything that a school has typed in or made; `counter` is the last number that went into an id."""

    name: Name
    week: Week
    classes: tuple[Resource, ...] = ()
    teachers: tuple[Resource, ...] = ()
    subjects: tuple[Subject, ...] = ()
    rooms: tuple[Resource, ...] = ()
    lessons: tuple[Lesson, ...] = ()
    plans: tuple[Plan, ...] = ()
    counter: int = 0

    def __hash__(self) -> int:
        return hash((self.name, self.counter, len(self.lessons)))

    @cached_property
    def names(self) -> dict[str, str]:
        """The names of classes, teachers, subjects and rooms by id."""
        named: tuple[Resource | Subject, ...] = (*self.classes, *self.teachers, *self.subjects, *self.rooms)
        return {each.id: each.name for each in named}

    @cached_property
    def resources(self) -> dict[str, Resource]:
        """Classes, teachers and rooms by id."""
        return {each.id: each for each in (*self.classes, *self.teachers, *self.rooms)}

    @cached_property
    def lesson(self) -> dict[str, Lesson]:
        """The lessons by id."""
        return {each.id: each for each in self.lessons}

    @cached_property
    def groups(self) -> dict[str, tuple[Lesson, ...]]:
        """What is held together, by the id of the first lesson: parallel lessons, and every other one alone."""
        groups: dict[str, list[Lesson]] = {}
        first: dict[str, str] = {}
        for each in self.lessons:
            head = first.setdefault(each.parallel, each.id) if each.parallel else each.id
            groups.setdefault(head, []).append(each)
        return {head: tuple(members) for head, members in groups.items()}

    @cached_property
    def heads(self) -> dict[str, str]:
        """The first lesson of the group that a lesson is in, by ids."""
        return {lesson.id: head for head, members in self.groups.items() for lesson in members}

    def attending(self, head: str) -> tuple[str, ...]:
        """The ids of all classes, teachers and rooms of a group of lessons."""
        members = self.groups[head]
        return tuple(dict.fromkeys(one for each in members for one in (*each.classes, *each.teachers, *each.rooms)))

    def plan(self, identifier: str) -> Plan | None:
        """The plan of that id, if there is one."""
        return next((plan for plan in self.plans if plan.id == identifier), None)


def slot(day: str, period: str) -> str:
    """The id of a time of the week."""
    return day + period
