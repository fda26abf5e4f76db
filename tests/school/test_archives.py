"""XHSTT archives as schools: read a second time, by ElementTree alone, the file says what has to come out."""

from __future__ import annotations

import copy
import random
import re
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest

from app.engine.xhstt import XhsttError, read_instances
from app.school import conversion, edit, lowering
from app.school.message import SchoolError
from app.school.model import School
from tests.conftest import BRAZIL, SAMPLE
from tests.school.conftest import DAYS

EMPTY = edit.begin("Escola", DAYS, "{number}ª")
KINDS = {"class": "classes", "teacher": "teachers", "room": "rooms"}
Held = tuple[str, int, frozenset[str], frozenset[str], frozenset[str]]


def imported(data: bytes) -> tuple[School, str]:
    made, left = conversion.converted(EMPTY, read_instances(data, "archive.xml")[0])
    return made, "\n".join(each.said(str) for each in left)


def held(school: School) -> Counter[Held]:
    names = school.names
    return Counter(
        (
            names[each.subject],
            each.weekly,
            frozenset(names[x] for x in each.classes),
            frozenset(names[x] for x in each.teachers),
            frozenset(names[x] for x in each.rooms),
        )
        for each in school.lessons
    )


def wanted(data: bytes) -> Counter[Held]:
    """Every event of the file that has a class, with the names of whom it has, by resource type."""
    instance = ElementTree.fromstring(data).find("Instances/Instance")  # noqa: S314 - a file of ours
    assert instance is not None
    kinds, names = {}, {}
    for each in instance.findall("Resources/Resource"):
        kind = each.find("ResourceType")
        assert kind is not None
        kinds[each.get("Id")] = KINDS.get(kind.get("Reference", "").lower())
        names[each.get("Id")] = each.findtext("Name", "").strip()
    found: Counter[Held] = Counter()
    for event in instance.findall("Events/Event"):
        who = [each.get("Reference") for each in event.findall("Resources/Resource") if each.get("Reference")]
        classes, teachers, rooms = (
            frozenset(names[x] for x in who if kinds[x] == kind) for kind in ("classes", "teachers", "rooms")
        )
        name, duration = event.findtext("Name", "").strip(), int(event.findtext("Duration", "0"))
        if classes:
            found[name, duration, classes, teachers, rooms] += 1
    return found


def changed(*changes: tuple[str, str]) -> bytes:
    text = SAMPLE.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


@pytest.mark.parametrize("path", [SAMPLE, BRAZIL], ids=lambda path: path.stem)
def test_every_lesson_has_the_people_and_the_room_of_the_file(path: Path) -> None:
    made, _ = imported(path.read_bytes())
    assert held(made) == wanted(path.read_bytes())


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('<Day Reference="seg"/>', "", r"in no day, or in two: Segunda, 1ª aula\. Give each one <Day>"),
        ('<Day Reference="seg"/>', '<Day Reference="seg"/><Day Reference="ter"/>', "in no day, or in two"),
        ("<Duration>5</Duration>", "<Duration>26</Duration>", "takes 26 times"),
        ('<Time Id="ter-1">', '<Time Id="seg-1">', "there twice"),
    ],
)
def test_a_week_that_contradicts_itself_is_refused_by_its_place(old: str, new: str, complaint: str) -> None:
    with pytest.raises((SchoolError, XhsttError), match=complaint):
        imported(changed((old, new)))


def test_days_without_a_name_or_a_time_and_empty_groups_do_no_harm() -> None:
    empty = "<Day Id='nunca'><Name>Nunca</Name></Day><TimeGroup Id='leer'><Name></Name></TimeGroup></TimeGroups>"
    made, _ = imported(changed(("<Name>Segunda</Name>", "<Name> </Name>"), ("</TimeGroups>", empty)))
    assert [day.name for day in made.week.days] == ["seg", "Terça", "Quarta", "Quinta", "Sexta"]
    assert len(made.week.slots) == 25


def test_a_day_with_fewer_lessons_is_closed_at_its_end() -> None:
    text = re.sub('<Time Id="sex-5">.*?</Time>', "", SAMPLE.read_text(), flags=re.DOTALL)
    made, _ = imported(text.encode())
    assert made.week.closed == {made.week.days[-1].id + made.week.periods[-1].id}


def test_an_archive_without_days_has_one() -> None:
    text = "".join(line for line in SAMPLE.read_text().splitlines(True) if '<Day Reference="' not in line)
    with pytest.raises(SchoolError, match="at most 14 days and 20 lessons a day"):
        imported(text.encode())


def test_two_of_one_name_stay_two_and_it_is_told_first() -> None:
    made, left = imported(changed(("<Name>Rogério dos Santos</Name>", "<Name>ANA  Beatriz Souza</Name>")))
    assert "ANA Beatriz Souza → ANA Beatriz Souza (2)" in left.partition("\n")[0]
    taught = {edit.find(made, "teachers", name).id for name in ("Ana Beatriz Souza", "ANA Beatriz Souza (2)")}
    assert len(taught) == 2
    assert sum(bool(taught & set(each.teachers)) for each in made.lessons) == sum(
        bool(held[3] & {"Ana Beatriz Souza", "Rogério dos Santos"}) for held in wanted(SAMPLE.read_bytes())
    )


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('<Resource Reference="6A"><Role>Turma</Role></Resource>', "", "Left out, as they have no class: Português"),
        ("<Duration>5</Duration>", '<Duration>5</Duration><Time Reference="seg-1"/>', "time is fixed.*: Português"),
        (
            '<Resource Reference="ana"><Role>Professor</Role>',
            '<Resource><Role>Professor</Role><ResourceType Reference="Teacher"/>',
            "Places that are left open.*: Português",
        ),
        ("<MaximumAmount>5<", "<MaximumAmount>2<", "SplitEvents that a school has otherwise"),
        ("<MinimumDuration>1<", "<MinimumDuration>2<", "SplitEvents that a school has otherwise"),
    ],
)
def test_what_a_school_cannot_say_is_named(old: str, new: str, complaint: str) -> None:
    assert re.search(complaint, imported(changed((old, new)))[1])


@pytest.mark.parametrize(("amount", "rules"), [(0, 3), (1, 4)])
def test_a_rule_for_triple_lessons_is_named_but_none_against_them(amount: int, rules: int) -> None:
    rule = f"""<DistributeSplitEventsConstraint Id="triplas"><Name>Triplas</Name>
        <Required>true</Required><Weight>1</Weight><CostFunction>Linear</CostFunction>
        <AppliesTo><EventGroups><EventGroup Reference="aulas"/></EventGroups></AppliesTo>
        <Duration>3</Duration><Minimum>{amount}</Minimum><Maximum>{amount}</Maximum>
        </DistributeSplitEventsConstraint>"""
    _, left = imported(changed(("</Constraints>", rule + "</Constraints>")))
    # Three of the sample are wishes, which a school has as requirements.
    assert f"DistributeSplitEvents that a school has otherwise, or not at all: {rules} (" in left


def test_limits_that_are_wishes_or_for_some_days_are_named_and_not_made_others() -> None:
    made, left = imported(SAMPLE.read_bytes())
    assert {(each.most_days, each.most_a_day) for each in made.teachers} == {(None, None)}
    assert "ClusterBusyTimes that a school has otherwise, or not at all: 1 (No máximo três dias na escola)" in left
    required = SAMPLE.read_text().replace("<Required>false</Required>", "<Required>true</Required>")
    whole, left = imported(required.encode())
    assert {each.most_days for each in whole.teachers} == {None, 3}
    assert "ClusterBusyTimes" not in left
    start = required.index("<ClusterBusyTimesConstraint")
    fewer = required[:start] + required[start:].replace('<TimeGroup Reference="sex"/>', "", 1)
    part, left = imported(fewer.encode())
    assert {each.most_days for each in part.teachers} == {None}
    assert "ClusterBusyTimes" in left


def test_two_teachers_and_the_members_of_a_group_all_attend() -> None:
    group = '</Resources><ResourceGroups><ResourceGroup Reference="turmas"/></ResourceGroups>'
    second = '<Resource Reference="carlos"><Role>Outro</Role></Resource>' + group
    made, _ = imported(changed(("</Role></Resource>\n          </Resources>", "</Role></Resource>\n" + second)))
    first = made.lessons[0]
    assert [made.names[x] for x in first.teachers] == ["Ana Beatriz Souza", "Carlos Eduardo Lima"]
    assert len(first.classes) == 4


def mutated(luck: random.Random) -> bytes:
    """The sample after a few accidents anywhere in it: gone, twice, swapped, moved, renamed, another reference."""
    root = ElementTree.fromstring(SAMPLE.read_bytes())  # noqa: S314 - a file of ours
    for _ in range(luck.choice((1, 1, 2, 4))):
        parents = [each for each in root.iter() if len(each)] or [root]
        parent = luck.choice(parents)
        child = luck.choice(list(parent) or [ElementTree.SubElement(root, "Instances")])
        references = [each for each in root.iter() if "Reference" in each.attrib]
        match luck.randrange(7):
            case 0 if child in list(parent):
                parent.remove(child)
            case 1:
                parent.append(copy.deepcopy(child))
            case 2:
                again = copy.deepcopy(child)
                again.attrib |= {"Id": again.attrib["Id"] + "2"} if "Id" in again.attrib else {}
                parent.append(again)
            case 3:
                parent[:] = luck.sample(list(parent), len(parent))
            case 4 if len(references) > 1:
                one, other = luck.sample(references, 2)
                one.set("Reference", other.get("Reference", ""))
            case 5:
                child.text = luck.choice(
                    ("", " ", "0", "-1", "3", "999999", "x" * 100, "Ana", "ana", "a\tb", "=1", "é")
                )
            case _:
                luck.choice(parents).append(copy.deepcopy(child))
    return ElementTree.tostring(root)


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_archive_gives_what_it_says_or_a_message(seed: int) -> None:
    luck = random.Random(seed)  # noqa: S311 - a repeatable choice, not a secret
    right, started = 0, time.process_time()
    for _ in range(40):
        data = mutated(luck)
        try:
            made, left = imported(data)
        except (SchoolError, XhsttError):
            continue
        if "Names that are changed" not in left:
            assert held(made) == wanted(data), data.decode()
            right += 1
        lowering.instance(made)
    assert right >= 5
    assert time.process_time() - started < 60


def test_groups_within_groups_are_no_way_to_fill_the_memory() -> None:
    resource = "<Resource Id='x{}'><Name>x{}</Name><ResourceType Reference='Room'/><ResourceGroups>"
    resource += "<ResourceGroup Reference='turmas'/></ResourceGroups></Resource>"
    many = "".join(resource.format(number, number) for number in range(3000))
    rule = "<AvoidClashesConstraint Id='k{}'><Name/><Required>true</Required><Weight>1</Weight><CostFunction>Linear"
    rule += "</CostFunction><AppliesTo><ResourceGroups><ResourceGroup Reference='turmas'/></ResourceGroups></AppliesTo>"
    rules = "".join(f"{rule}</AvoidClashesConstraint>".format(number) for number in range(3000))
    with pytest.raises(XhsttError, match="more than 1000000 members"):
        imported(changed(("<Resource Id", many + "<Resource Id"), ("</Constraints>", rules + "</Constraints>")))
    with pytest.raises(SchoolError, match="at most 1000 can be edited"):
        imported(changed(("<Resource Id", many + "<Resource Id")))
