from __future__ import annotations

import pytest

from app.engine.explain import TEXTS, Reason, reasons
from app.engine.xhstt import read_instances
from tests.engine.conftest import EVENTS, EXAMPLES, Rule, School


def closed(rule: Rule, *times: str) -> str:
    references = "".join(f'<Time Reference="{time}"/>' for time in times)
    return rule("AvoidUnavailableTimes", f"<Times>{references}</Times>", required=True)


def text(found: tuple[Reason, ...]) -> list[str]:
    return [reason.text for reason in found]


def test_more_lessons_than_times_is_said_with_what_to_do(school: School, rule: Rule) -> None:
    rules = rule("AvoidClashes", required=True) + closed(rule, "Mo1", "Mo2", "Mo3")
    assert text(reasons(school(rules))) == [
        "Teacher Ana has 4 lessons but only 3 possible times; drop 1 of them or free as many times."
    ]


def test_limits_on_days_are_counted(school: School, rule: Rule) -> None:
    days = '<TimeGroups><TimeGroup Reference="Mo"/><TimeGroup Reference="Tu"/></TimeGroups>'
    one_day = rule("ClusterBusyTimes", days + "<Minimum>0</Minimum><Maximum>1</Maximum>", required=True)
    found = reasons(school(rule("AvoidClashes", required=True) + one_day))
    assert text(found) == [
        "Teacher Ana has 4 lessons, but the limits on days leave room for 3; drop 1 of them or widen ClusterBusyTimes."
    ]


def test_limits_on_the_lessons_of_a_day_are_counted(school: School, rule: Rule) -> None:
    days = '<TimeGroups><TimeGroup Reference="Mo"/><TimeGroup Reference="Tu"/></TimeGroups>'
    rules = rule("AvoidClashes", required=True) + closed(rule, "Mo2", "Mo3")
    one_each = rule("LimitBusyTimes", days + "<Minimum>0</Minimum><Maximum>2</Maximum>", required=True)
    # Of Monday there is one time left, and of Tuesday's three two count.
    assert text(reasons(school(rules + one_each))) == [
        "Teacher Ana has 4 lessons, but the limits on days leave room for 3; drop 1 of them or widen LimitBusyTimes."
    ]
    assert text(reasons(school(rules + one_each.replace("<Maximum>2", "<Maximum>3")))) == []


def test_time_groups_that_overlap_prove_nothing_by_their_number(school: School, rule: Rule) -> None:
    twice = '<TimeGroups><TimeGroup Reference="Mo"/><TimeGroup Reference="Mo"/></TimeGroups>'
    rules = rule("ClusterBusyTimes", twice + "<Minimum>0</Minimum><Maximum>1</Maximum>", required=True)
    found = reasons(school(rule("AvoidClashes", required=True) + rules))
    assert "too-few-days" not in {reason.kind for reason in found}


def test_lessons_that_fit_too_few_times_together_are_named(school: School, rule: Rule) -> None:
    prefer = '<Times><Time Reference="Mo1"/><Time Reference="Mo2"/><Time Reference="Mo3"/></Times>'
    single = (
        "<MinimumDuration>1</MinimumDuration><MaximumDuration>1</MaximumDuration>"
        "<MinimumAmount>1</MinimumAmount><MaximumAmount>9</MaximumAmount>"
    )
    rules = rule("AvoidClashes", required=True) + rule("PreferTimes", prefer, required=True)
    rules += rule("SplitEvents", single, required=True)
    assert text(reasons(school(rules))) == [
        "Math, Art of Teacher Ana take 4 times but fit only 3 (Mo 1, Mo 2, Mo 3); "
        "drop 1 of them or free as many times of those who attend them."
    ]


def test_an_event_that_cannot_be_divided_is_named(school: School, rule: Rule) -> None:
    pairs = (
        "<MinimumDuration>2</MinimumDuration><MaximumDuration>2</MaximumDuration>"
        "<MinimumAmount>1</MinimumAmount><MaximumAmount>1</MaximumAmount>"
    )
    found = reasons(school(rule("SplitEvents", pairs, required=True)))
    assert {reason.kind for reason in found} == {"cannot-divide"}
    assert len(found) == 2


def test_an_event_that_can_just_be_divided_is_no_reason(school: School, rule: Rule) -> None:
    whole = (
        "<MinimumDuration>1</MinimumDuration><MaximumDuration>3</MaximumDuration>"
        "<MinimumAmount>1</MinimumAmount><MaximumAmount>1</MaximumAmount>"
    )
    assert reasons(school(rule("SplitEvents", whole, required=True))) == ()


def test_too_few_rooms_are_counted(school: School, rule: Rule) -> None:
    rooms = '<Resources><Resource Reference="R1"/></Resources>'
    rules = rule("AvoidClashes", required=True).replace("</AppliesTo>", rooms + "</AppliesTo>")
    rules += rule("AssignResource", "<Role>Room</Role>", required=True)
    rules += rule("PreferResources", rooms + "<Role>Room</Role>", required=True)
    away = closed(rule, "Mo1", "Mo2", "Mo3").replace('<ResourceGroup Reference="everybody"/>', "")
    rules += away.replace("</AppliesTo>", rooms + "</AppliesTo>")
    assert text(reasons(school(rules, rooms=True))) == [
        "4 lessons need one of Room 1, who have room for 3; drop 1 of them or allow others."
    ]


def test_a_contradiction_that_no_count_shows_has_only_what_it_needs(school: School, rule: Rule) -> None:
    linked = rule("LinkEvents", required=True)
    apart = rule("OrderEvents", required=True)
    innocent = rule("AvoidUnavailableTimes", '<Times><Time Reference="Tu3"/></Times>', required=True)
    events = EVENTS.replace("<Duration>3</Duration>", "<Duration>1</Duration>")
    found = reasons(school(linked + apart + innocent, events))
    assert sorted(dict(reason.arguments)["rule"] for reason in found) == ["LinkEvents", "OrderEvents"]


@pytest.mark.parametrize("name", ["BrazilInstance1.xml", "escola-exemplo.xml"])
def test_a_school_that_has_a_timetable_has_no_reason_against_it(name: str) -> None:
    assert reasons(read_instances((EXAMPLES / name).read_bytes(), name)[0], seconds=60) == ()


def test_lessons_that_need_no_time_are_no_reason(school: School, rule: Rule) -> None:
    rules = rule("AvoidClashes", required=True) + closed(rule, "Mo1", "Mo2", "Mo3")
    assert reasons(school(rules + rule("AssignTime"))) == ()


def test_every_text_is_a_sentence_about_something() -> None:
    assert all("{" in each and each.endswith(".") for each in TEXTS.values())
