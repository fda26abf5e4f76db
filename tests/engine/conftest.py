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

Archive = Callable[..., bytes]
School = Callable[..., Instance]
Rule = Callable[..., str]


@pytest.fixture
def archive() -> Archive:
    """The tiny school as a file, with these constraints and, if given, other events or times."""

    def make(constraints: str = "", events: str = EVENTS, times: str = TIMES) -> bytes:
        return ARCHIVE.format(times=times, events=events, constraints=constraints).encode()

    return make


@pytest.fixture
def school(archive: Archive) -> School:
    """The tiny school as an instance; arguments as for `archive`."""

    def make(constraints: str = "", events: str = EVENTS) -> Instance:
        return read_instances(archive(constraints, events), "tiny.xml")[0]

    return make


@pytest.fixture
def rule() -> Rule:
    """One constraint as XML that applies to every event, event group or resource, whichever is its kind."""

    def make(tag: str, body: str = "", *, weight: int = 1, function: str = "Linear", required: bool = False) -> str:
        about_events = tag in ("AssignTime", "SplitEvents", "DistributeSplitEvents", "PreferTimes", "SpreadEvents")
        events = '<EventGroups><EventGroup Reference="all"/></EventGroups>'
        resources = '<ResourceGroups><ResourceGroup Reference="everybody"/></ResourceGroups>'
        return (
            f'<{tag}Constraint Id="{tag}"><Name>{tag}</Name><Required>{str(required).lower()}</Required>'
            f"<Weight>{weight}</Weight><CostFunction>{function}</CostFunction>"
            f"<AppliesTo>{events if about_events else resources}</AppliesTo>{body}</{tag}Constraint>\n"
        )

    return make
