"""A tiny school for the engine's tests: two days of three times, a teacher, a class, and two events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.engine.instance import Instance
from app.engine.xhstt import read_instances

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

TIMES = "".join(
    f'<Time Id="{day}{period}"><Name>{day} {period}</Name><Day Reference="{day}"/></Time>\n'
    for day in ("Mo", "Tu")
    for period in (1, 2, 3)
)

EVENTS = """\
<Event Id="Math"><Name>Math</Name><Duration>3</Duration><Course Reference="all"/>
<Resources><Resource Reference="Ana"/><Resource Reference="6A"/></Resources></Event>
<Event Id="Art"><Name>Art</Name><Duration>1</Duration>
<Resources><Resource Reference="Ana"/></Resources><EventGroups><EventGroup Reference="all"/></EventGroups></Event>
"""

ARCHIVE = """\
<HighSchoolTimetableArchive><Instances><Instance Id="tiny"><MetaData><Name>Tiny</Name></MetaData>
<Times><TimeGroups><Day Id="Mo"><Name>Monday</Name></Day><Day Id="Tu"><Name>Tuesday</Name></Day></TimeGroups>
{times}</Times>
<Resources><ResourceTypes><ResourceType Id="Teacher"><Name>Teacher</Name></ResourceType>
<ResourceType Id="Class"><Name>Class</Name></ResourceType></ResourceTypes>
<ResourceGroups><ResourceGroup Id="everybody"><Name>Everybody</Name></ResourceGroup></ResourceGroups>
<Resource Id="Ana"><Name>Ana</Name><ResourceType Reference="Teacher"/>
<ResourceGroups><ResourceGroup Reference="everybody"/></ResourceGroups></Resource>
<Resource Id="6A"><Name>6º ano A</Name><ResourceType Reference="Class"/>
<ResourceGroups><ResourceGroup Reference="everybody"/></ResourceGroups></Resource></Resources>
<Events><EventGroups><EventGroup Id="all"><Name>All</Name></EventGroup></EventGroups>
{events}</Events>
<Constraints>
{constraints}</Constraints></Instance></Instances></HighSchoolTimetableArchive>
"""

# The tiny school with two rooms: whoever has the role "Room" at either event is left open.
ROOMS = """<Resource Id="R1"><Name>Room 1</Name><ResourceType Reference="Room"/></Resource>
<Resource Id="R2"><Name>Room 2</Name><ResourceType Reference="Room"/></Resource></Resources>
"""
OPEN = EVENTS.replace(
    "</Resources></Event>", '<Resource><Role>Room</Role><ResourceType Reference="Room"/></Resource></Resources></Event>'
).replace(
    "</Resources><EventGroups>",
    '<Resource><Role>Room</Role><ResourceType Reference="Room"/></Resource></Resources><EventGroups>',
)

Archive = Callable[..., bytes]
School = Callable[..., Instance]
Rule = Callable[..., str]


@pytest.fixture
def archive() -> Archive:
    """The tiny school as a file, with these constraints and, if given, other events or times; `rooms` adds two."""

    def make(constraints: str = "", events: str = EVENTS, times: str = TIMES, rooms: bool = False) -> bytes:
        text = ARCHIVE.format(times=times, events=OPEN if rooms else events, constraints=constraints)
        if rooms:
            text = text.replace(
                "</ResourceTypes>", '<ResourceType Id="Room"><Name>Room</Name></ResourceType></ResourceTypes>'
            )
            text = text.replace("</Resources>\n<Events>", ROOMS + "<Events>")
        return text.encode()

    return make


@pytest.fixture
def school(archive: Archive) -> School:
    """The tiny school as an instance; arguments as for `archive`."""

    def make(constraints: str = "", events: str = EVENTS, rooms: bool = False) -> Instance:
        return read_instances(archive(constraints, events, rooms=rooms), "tiny.xml")[0]

    return make


@pytest.fixture
def rule() -> Rule:
    """One constraint as XML that applies to every event, event group or resource, whichever is its kind."""

    def make(tag: str, body: str = "", *, weight: int = 1, function: str = "Linear", required: bool = False) -> str:
        about_events = tag.endswith(("Time", "Events", "Assignments", "Resource", "PreferTimes", "PreferResources"))
        events = '<EventGroups><EventGroup Reference="all"/></EventGroups>'
        if tag == "OrderEvents":
            pair = '<FirstEvent Reference="Math"/><SecondEvent Reference="Art"/>'
            events, body = f"<EventPairs><EventPair>{pair}{body}</EventPair></EventPairs>", ""
        resources = '<ResourceGroups><ResourceGroup Reference="everybody"/></ResourceGroups>'
        return (
            f'<{tag}Constraint Id="{tag}"><Name>{tag}</Name><Required>{str(required).lower()}</Required>'
            f"<Weight>{weight}</Weight><CostFunction>{function}</CostFunction>"
            f"<AppliesTo>{events if about_events else resources}</AppliesTo>{body}</{tag}Constraint>\n"
        )

    return make
