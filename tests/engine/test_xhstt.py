from __future__ import annotations

import subprocess
import sys

import pytest

from app.engine.grid import days
from app.engine.instance import AvoidClashes, SpreadEvents
from app.engine.timetable import Lesson, Timetable
from app.engine.xhstt import XhsttError, read_instances, read_solutions, write_solution
from tests.engine.conftest import EVENTS, EXAMPLES, TIMES, Archive, Rule

SOLUTION = Timetable((Lesson("Art", "Mo3", 1), Lesson("Math", "Mo1", 2), Lesson("Math", "Tu1", 1)))


def refusal(data: bytes) -> str:
    with pytest.raises(XhsttError) as caught:
        read_instances(data, "tiny.xml")
    return str(caught.value)


def line_of(data: bytes, text: str) -> int:
    """The first line that has `text`."""
    return next(number for number, line in enumerate(data.decode().splitlines(), 1) if text in line)


def test_a_real_school_is_read_whole() -> None:
    (instance,) = read_instances((EXAMPLES / "BrazilInstance1.xml").read_bytes(), "BrazilInstance1.xml")
    sizes = [len(instance.times), len(days(instance)), len(instance.resources), len(instance.events)]
    assert (instance.name, sizes, len(instance.constraints)) == ("BrazilInstance1", [25, 5, 11, 21], 18)


def test_a_course_is_an_event_group(archive: Archive, rule: Rule) -> None:
    spread = rule("SpreadEvents", "<TimeGroups/>")
    (constraint,) = read_instances(archive(spread), "tiny.xml")[0].constraints
    assert isinstance(constraint, SpreadEvents)
    assert constraint.points == (("Math", "Art"),)


def test_a_resource_named_by_itself_and_by_its_group_is_one_point_of_application(archive: Archive, rule: Rule) -> None:
    clashes = rule("AvoidClashes").replace(
        "</AppliesTo>", '<Resources><Resource Reference="Ana"/></Resources></AppliesTo>'
    )
    (constraint,) = read_instances(archive(clashes), "tiny.xml")[0].constraints
    assert isinstance(constraint, AvoidClashes)
    assert constraint.points == (("Ana",), ("6A",))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('<Course Reference="all"/>', '<Course Reference="none"/>', "no event group 'none'"),
        ('<Resource Reference="6A"/>', '<Resource Reference="7B"/>', "no resource '7B'"),
        ('<Resource Reference="6A"/>', "<Resource><Role>Room</Role></Resource>", "needs <Role> and <ResourceType>"),
        ("</Name><Duration>3", "</Name><Fee>3</Fee><Duration>3", "<Fee> is not known in <Event>"),
        ('<Event Id="Art">', '<Event Id="Math">', "event 'Math' is there twice"),
        ("<Duration>3</Duration>", "<Duration>three</Duration>", "write a whole number"),
        ("<Duration>3</Duration>", "<Duration>7</Duration>", "room for 1 to 6"),
        ("<Duration>3</Duration>", "", "has no <Duration>"),
        ("<Duration>3</Duration>", '<Duration>3</Duration><Time Reference="Tu2"/>', "room for 1 to 2"),
        ('<Event Id="Art">', "<Event>", 'has no attribute Id="..."'),
    ],
)
def test_an_event_that_cannot_be_is_refused_with_its_line(archive: Archive, old: str, new: str, problem: str) -> None:
    data = archive(events=EVENTS.replace(old, new))
    line = line_of(archive(), old)
    assert refusal(data).startswith(f"tiny.xml:{line}: ")
    assert problem in refusal(data)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("AvoidClashesConstraint", "LimitJoyConstraint", "LimitJoyConstraint is not known"),
        ("Linear", "Cubic", "<CostFunction> is 'Cubic'; write one of Linear, Quadratic, Step"),
        ("<Required>false", "<Required>no", "<Required> is 'no'; write one of true, false"),
        ("<Weight>1", "<Weight>-1", "<Weight> is '-1'; write a whole number"),
        ("ResourceGroup", "EventGroup", "<EventGroups> is not known in <AppliesTo>"),
        ("everybody", "nobody", "no resource group 'nobody'"),
    ],
)
def test_a_constraint_that_cannot_be_is_refused_with_its_line(
    archive: Archive, rule: Rule, old: str, new: str, problem: str
) -> None:
    data = archive(rule("AvoidClashes").replace(old, new))
    line = line_of(data, 'Id="AvoidClashes"')
    assert refusal(data).startswith(f"tiny.xml:{line}: ")
    assert problem in refusal(data)


def test_a_minimum_above_the_maximum_is_refused(archive: Archive, rule: Rule) -> None:
    limits = "<TimeGroups/><Minimum>3</Minimum><Maximum>2</Maximum>"
    assert "<Minimum> 3 is more than <Maximum> 2" in refusal(archive(rule("LimitIdleTimes", limits)))


def test_a_least_separation_above_the_most_is_refused(archive: Archive, rule: Rule) -> None:
    apart = "<MinSeparation>3</MinSeparation><MaxSeparation>2</MaxSeparation>"
    assert "<MinSeparation> 3 is more than <MaxSeparation> 2" in refusal(archive(rule("OrderEvents", apart)))


@pytest.mark.parametrize(
    ("once", "problem"),
    [
        ('<ResourceType Id="Class"><Name>Class</Name></ResourceType>', "resource type 'Class' is there twice"),
        ('<ResourceGroup Id="everybody"><Name>Everybody</Name></ResourceGroup>', "group 'everybody' is there twice"),
    ],
)
def test_what_is_there_twice_is_refused(archive: Archive, once: str, problem: str) -> None:
    assert problem in refusal(archive().replace(once.encode(), 2 * once.encode()))


def test_a_time_of_an_unknown_day_is_refused(archive: Archive) -> None:
    assert "no time group 'Su'" in refusal(archive(times=TIMES.replace('Reference="Tu"', 'Reference="Su"')))


def test_a_week_without_times_is_refused(archive: Archive) -> None:
    assert "has no <Time>" in refusal(archive(times="", events=""))


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        pytest.param(b"", "tiny.xml:1: no element found", id="empty"),
        pytest.param(b"<a>\n<b>\n</a>", "tiny.xml:3: mismatched tag", id="not-well-formed"),
        pytest.param(b"<html/>", "tiny.xml:1: <html> is not an XHSTT archive", id="something-else"),
        pytest.param(b"<HighSchoolTimetableArchive/>", "tiny.xml:1: the archive has no <Instance>", id="no-instance"),
        pytest.param("<a>é</a>".encode("latin-1"), "tiny.xml:1: not well-formed (invalid token)", id="not-utf-8"),
        pytest.param(
            b'<!DOCTYPE a [\n<!ENTITY b "bb">]><a>&b;</a>', "tiny.xml:1: a document type is not allowed", id="entities"
        ),
        pytest.param(b"<a>" + b"<b/>" * 500_000 + b"</a>", "tiny.xml:1: more than 500000 elements", id="too-many"),
        pytest.param(b" " * 20_000_001, "tiny.xml:1: 20000001 bytes", id="too-large"),
        pytest.param(b"<a>" * 100_000, "tiny.xml:1: no element found", id="too-deep"),
    ],
)
def test_what_is_no_archive_is_refused_in_one_line(data: bytes, refused: str) -> None:
    text = refusal(data)
    assert text.startswith(refused)
    assert "\n" not in text


def test_a_written_solution_is_read_back(archive: Archive) -> None:
    written = write_solution(archive(), "tiny.xml", SOLUTION, "A & B", "2026-01-31")
    assert read_solutions(written, "written.xml") == (SOLUTION,)


def test_a_written_solution_leaves_the_instance_as_it_was() -> None:
    data = (EXAMPLES / "BrazilInstance1.xml").read_bytes()
    solution = read_solutions(data, "BrazilInstance1.xml")[1]
    written = write_solution(data, "BrazilInstance1.xml", solution, "Somebody", "2026-01-31")
    end = data.index(b"</Instances>")
    assert written[:end] == data[:end]
    assert len(read_solutions(written, "written.xml")) == 1


def test_a_solution_may_leave_out_what_the_instance_says(archive: Archive) -> None:
    events = EVENTS.replace("<Duration>1</Duration>", '<Duration>1</Duration><Time Reference="Tu3"/>')
    written = write_solution(archive(events=events), "tiny.xml", Timetable((Lesson("Art", "Tu3", 1),)), "", "")
    short = written.replace(b'<Duration>1</Duration><Time Reference="Tu3"/></Event></Events>', b"</Event></Events>")
    assert read_solutions(short, "tiny.xml") == (Timetable((Lesson("Art", "Tu3", 1),)),)


@pytest.mark.parametrize(
    ("lesson", "problem"),
    [
        (Lesson("Chess", "Mo1", 1), "no event 'Chess'"),
        (Lesson("Art", "Su1", 1), "no time 'Su1'"),
        (Lesson("Art", "Mo1", 2), "more lessons than its duration"),
    ],
)
def test_a_solution_of_something_else_is_refused(archive: Archive, lesson: Lesson, problem: str) -> None:
    written = write_solution(archive(), "tiny.xml", Timetable((lesson,)), "", "")
    with pytest.raises(XhsttError, match=problem):
        read_solutions(written, "written.xml")


def test_reading_and_judging_does_not_load_the_solver() -> None:
    code = "import app.engine.xhstt, app.engine.cost, app.engine.grid, sys; sys.exit('ortools' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES.parent, check=False).returncode == 0
