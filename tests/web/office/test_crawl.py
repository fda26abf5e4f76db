"""Every page of a school, after whatever was done to it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app import accounts, schools
from app.school import edit
from app.school.model import Plan, School, Week
from tests.web.office.conftest import PASSWORD, PLAN, Browser, People, now
from tests.web.office.test_data import week_form

NAMES = ("Ana", "A + B", '"C"', "=1+1", "a\x07b", "Jose\u0301", "שלום", "👩\u200d🏫", "x" * 90, "<b>&", "6A", " ", "1ª")


def addresses(school: School, at: str) -> Iterator[str]:
    for path in ("", "/week", "/history", "/lessons", "/lessons/new", "/generate", "/plans", "/share", "/people"):
        yield at + path
    yield from (f"{at}/import", f"{at}/import/template.xlsx", *([f"{at}/export.xml"] if school.lessons else []))
    for kind in ("classes", "teachers", "subjects", "rooms"):
        yield f"{at}/{kind}"
        yield from (f"{at}/{kind}/{each.id}" for each in getattr(school, kind))
    yield from (f"{at}/lessons/{each}" for each in school.lesson)
    for plan in school.plans if school.lessons else ():
        yield from (f"{at}/plans/{plan.id}?of={each}" for each in school.resources)
        yield from (f"{at}/plans/{plan.id}?pick={each.id}" for each in plan.placements[:3])
        yield from (f"{at}/plans/{plan.id}?pick={head}@:1" for head in list(school.groups)[:3])
        yield from (f"{at}/plans/{plan.id}/timetable.{kind}" for kind in ("pdf", "xlsx", "csv", "html"))
        yield f"{at}/compare?one={plan.id}&other=published"
        if school.teachers:
            yield f"{at}/plans/{plan.id}/absence"
    public = at.replace("/office/", "/published/")
    yield from (f"{public}{each}" for each in ("", "?kind=teachers", "/timetable.pdf", "/timetable.xlsx"))


def crawl(browser: Browser, school: School, at: str) -> None:
    for address in addresses(school, at):
        assert browser.get(address).status_code == 200, (address, school)
    for feed in re.findall(r"/feeds/[\w-]+\.ics", browser.get(f"{at}/share").text):
        assert browser.get(feed).status_code == 200


def test_a_week_smaller_than_its_lessons_is_refused_by_their_names(
    published: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    published.post(f"{at}/lessons/l14", {"subject": "s11", "classes": ["c6"], "weekly": "4"})
    school = now(sessions, stored)
    fields = week_form(school) | {"day-1-name": "", "closed": ["d1p2"]}
    answer = published.post(f"{at}/week", fields)
    assert answer.status_code == 422
    assert "This week has 2 times, but these have more lessons: Física 6A (4)." in answer.text
    assert now(sessions, stored) == school
    crawl(published, school, at)


def test_a_smaller_week_says_what_goes_with_it(
    published: Browser, sessions: sessionmaker[Session], stored: int, at: str
) -> None:
    published.post(f"{at}/teachers/t7", {"name": "Ana", "mark-d2p1": "never", "mark-d1p1": "avoid"})
    published.post(f"{at}/plans/v16/lock", {"pick": "l15@d2p2", "locked": "yes"}, f"{at}/plans/v16")
    answer = published.post(f"{at}/week", week_form(now(sessions, stored)) | {"day-1-name": ""})
    assert "marks in the availability (1), shifts of classes (0), lessons in drafts (2, locked: 1)" in answer.text
    assert "New reasons against a timetable, under “Generate”: 1." in answer.text
    crawl(published, now(sessions, stored), at)


def test_a_shift_that_gets_another_name_keeps_its_classes(school: School) -> None:
    def shifts(first: str, second: str) -> Week:
        periods = school.week.periods
        names = (first, first, second)
        changed = (each.model_copy(update={"shift": name}) for each, name in zip(periods, names, strict=True))
        return school.week.model_copy(update={"periods": tuple(changed)})

    made = edit.set_week(school, shifts("Manhã", "Tarde"))
    made = edit.put(made, "classes", made.classes[0].model_copy(update={"shift": "Manhã"}))
    assert edit.set_week(made, shifts("Matutino", "Vespertino")).classes[0].shift == "Matutino"
    assert edit.set_week(made, shifts("", "Tarde")).classes[0].shift == ""


def test_a_school_of_an_older_release_with_too_small_a_week_is_shown(
    people: People, sessions: sessionmaker[Session], school: School
) -> None:
    small = school.week.model_copy(update={"days": school.week.days[:1], "closed": frozenset(["d1p2", "d1p3"])})
    school = edit.put_plan(school, Plan(id="", name="Plano", placements=PLAN))
    school = edit.settled(school.model_copy(update={"week": small}))
    with sessions.begin() as session:
        maker = accounts.create(session, "maker@example.org", "Maker", PASSWORD)
        stored = schools.create(session, school, maker).id
    browser, at = people("ana", stored), f"/office/{stored}"
    browser.post(f"{at}/plans/v16/publish", page=f"{at}/plans/v16")
    crawl(browser, school, at)


class Hand:
    """Fills in forms by chance, as no person would."""

    def __init__(self, browser: Browser, at: str, luck: random.Random) -> None:
        self.browser, self.at, self.luck = browser, at, luck

    def name(self) -> str:
        return self.luck.choice(NAMES) + self.luck.choice(("", "", " 2", " 3", "é"))

    def some(self, items: list[str], most: int = 3) -> list[str]:
        return self.luck.sample(items, self.luck.randint(0, min(most, len(items))))

    def week(self, school: School) -> tuple[str, dict[str, Any]]:
        fields = week_form(school)
        for _ in range(self.luck.randint(1, 4)):
            field, row = self.luck.choice(("day", "period")), self.luck.randrange(5)
            wanted = self.luck.choice(("", "", self.name()))
            fields[f"{field}-{row}-name"] = wanted
            if field == "period" and f"period-{row}-begins" not in fields:
                fields |= {f"period-{row}-begins": f"{11 + row}:00", f"period-{row}-ends": f"{11 + row}:50"}
            fields[f"period-{row}-shift"] = self.luck.choice(("", "Manhã", "Tarde", self.name()))
            fields[f"{field}-{row}-id"] = self.luck.choice((fields.get(f"{field}-{row}-id", ""), "d1", "p1", "x y", ""))
        return "/week", fields | {"closed": self.some([*school.week.slots, "d9p9"], 4)}

    def add(self, school: School) -> tuple[str, dict[str, Any]]:
        return f"/{self.luck.choice(('classes', 'teachers', 'subjects', 'rooms'))}", {"names": self.name()}

    def item(self, school: School) -> tuple[str, dict[str, Any]]:
        kind = self.luck.choice(("classes", "teachers", "rooms"))
        chosen = self.luck.choice([each.id for each in getattr(school, kind)] or ["c6"])
        marks = {
            f"mark-{x}": self.luck.choice(("never", "avoid", "prefer")) for x in self.some([*school.week.slots], 6)
        }
        limits = {x: self.luck.choice(("", "0", "1", "3")) for x in ("most_days", "most_a_day", "most_idle")}
        shift = self.luck.choice(("", "Manhã", *school.week.shifts))
        return f"/{kind}/{chosen}", {"name": self.name(), "shift": shift, **marks, **limits}

    def lesson(self, school: School) -> tuple[str, dict[str, Any]]:
        chosen = self.luck.choice(["new", "new", *school.lesson])
        if chosen != "new" and self.luck.random() < 0.2:
            return f"/lessons/{chosen}", {"remove": ""}
        fields = {kind: self.some([each.id for each in getattr(school, kind)]) for kind in ("teachers", "rooms")}
        subject = self.luck.choice([each.id for each in school.subjects] or ["s10"])
        classes = [each.id for each in school.classes][: self.luck.randint(1, 2)]
        numbers = {"weekly": str(self.luck.randint(1, 7)), "doubles": str(self.luck.randint(0, 2))}
        return f"/lessons/{chosen}", {
            "subject": subject, "classes": classes, "parallel": self.luck.choice(("", "", "A")), **fields, **numbers
        }  # fmt: skip

    def plan(self, school: School) -> tuple[str, dict[str, Any]]:
        if not school.plans or self.luck.random() < 0.3:
            return "/plans", {"name": self.name(), "of": self.luck.choice(["", *(plan.id for plan in school.plans)])}
        plan = self.luck.choice(school.plans)
        picks = [each.id for each in plan.placements] + [f"{head}@:1" for head in school.groups] or ["l13@d1p1"]
        values = {"pick": self.luck.choice(picks), "time": self.luck.choice(school.week.slots), "locked": "yes"}
        return f"/plans/{plan.id}/{self.luck.choice(('move', 'move', 'lock', 'take-out'))}", values

    def undo(self, school: School) -> tuple[str, dict[str, Any]]:
        return "/undo", {"number": str(self.luck.randint(1, 20))}

    def does(self, school: School) -> None:
        forms: list[Callable[[School], tuple[str, dict[str, Any]]]] = [
            self.week, self.add, self.item, self.lesson, self.plan, self.undo
        ]  # fmt: skip
        (fill_in,) = self.luck.choices(forms, weights=(2, 1, 2, 2, 2, 1))
        address, fields = fill_in(school)
        answer = self.browser.post(self.at + address, fields, f"{self.at}/week")
        assert answer.status_code < 500, (address, fields, school)


@pytest.mark.parametrize("seed", range(2))
def test_all_pages_stay_whatever_is_typed_in(
    published: Browser, sessions: sessionmaker[Session], stored: int, at: str, seed: int
) -> None:
    hand = Hand(published, at, random.Random(seed))  # noqa: S311 - a repeatable choice, not a secret
    published.post(f"{at}/share")
    for step in range(24):
        hand.does(now(sessions, stored))
        if step % 8 == 7:
            crawl(published, now(sessions, stored), at)
