from __future__ import annotations

from app.engine.timetable import Lesson, Timetable
from app.engine.wishes import wishes
from tests.engine.conftest import Rule, School

DAYS = '<TimeGroups><TimeGroup Reference="Mo"/><TimeGroup Reference="Tu"/></TimeGroups>'
HELD = Timetable((Lesson("Math", "Mo1", 3), Lesson("Art", "Tu1", 1)))


def test_each_wish_has_what_it_costs_and_whom(school: School, rule: Rule) -> None:
    rules = rule("AvoidClashes", required=True)
    rules += rule("ClusterBusyTimes", DAYS + "<Minimum>0</Minimum><Maximum>1</Maximum>", weight=5)
    rules += rule("PreferTimes", '<Times><Time Reference="Mo1"/></Times>')
    found = [(wish.constraint.id, wish.cost, wish.broken, wish.saving) for wish in wishes(school(rules), HELD)]
    assert found == [("ClusterBusyTimes", 5, ((("Ana",), 5),), None), ("PreferTimes", 1, ((("Art",), 1),), None)]


def test_giving_up_a_wish_saves_what_it_costs_the_others(school: School, rule: Rule) -> None:
    rules = "".join(rule(tag, required=True) for tag in ("AvoidClashes", "AssignTime"))
    monday = rule("PreferTimes", '<Times><Time Reference="Mo1"/></Times>', weight=3)
    tuesday = rule("PreferTimes", '<Times><Time Reference="Tu1"/></Times>', weight=2)
    rules += monday + tuesday.replace('Id="PreferTimes"', 'Id="Tuesday"')
    prices = {
        wish.constraint.id: (wish.cost, wish.saving) for wish in wishes(school(rules), HELD, seconds=60, workers=1)
    }
    # With no wish for Monday, Math goes to Tuesday and Art, the shorter one, elsewhere: 2 instead of 6.
    assert prices == {"Tuesday": (6, 0), "PreferTimes": (3, 4)}
