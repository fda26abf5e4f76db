"""Fills a database by the functions of the `app` that is on PYTHONPATH, and writes it as SQL: python fill.py TARGET

That is the code of a commit of long ago, run by record.py in its worktree; hence what it has not got yet is left out.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import sessionmaker

from app import database, generation, instances, settings

TINY = """\
<HighSchoolTimetableArchive><Instances><Instance Id="tiny"><MetaData><Name>Escola Ção</Name></MetaData>
<Times><TimeGroups><Day Id="Mo"><Name>Segunda</Name></Day></TimeGroups>
<Time Id="Mo1"><Name>Segunda 1</Name><Day Reference="Mo"/></Time></Times>
<Resources><ResourceTypes><ResourceType Id="Class"><Name>Turma</Name></ResourceType></ResourceTypes>
<Resource Id="6A"><Name>6º ano A</Name><ResourceType Reference="Class"/></Resource></Resources>
<Events><Event Id="Art"><Name>Arte</Name><Duration>1</Duration>
<Resources><Resource Reference="6A"/></Resources></Event></Events>
<Constraints/></Instance></Instances></HighSchoolTimetableArchive>
"""


def main(target: Path) -> None:
    """Migrates, fills every table that there is, and writes the dump."""
    variables = settings.load().model_copy(update={"generation_seconds": 2, "solver_workers": 1})
    engine = database.connect(variables)
    database.migrate(engine)
    sessions = sessionmaker(engine)
    tiny = target.with_suffix(".xml")
    tiny.write_text(TINY, encoding="utf-8")
    with sessions.begin() as session:
        (stored,) = instances.import_files(session, [tiny])
        generation.request(session, stored, variables)
    tiny.unlink()
    search(sessions, variables)
    with sessions.begin() as session:
        generation.request(session, session.get_one(type(stored), 1), variables, seed=2)
    if (Path(str(database.__file__)).with_name("schools.py")).exists():
        fill_school(sessions, variables)
    target.write_text(dump(engine), encoding="utf-8")


def search(sessions: sessionmaker[Any], variables: settings.Settings) -> None:
    """Runs the oldest generation that waits to its end."""
    claim = generation.claim(sessions, "worker-1")
    assert claim
    generation.run(sessions, claim, variables, lambda: False, lambda: None)


def fill_school(sessions: sessionmaker[Any], variables: settings.Settings) -> None:
    """Two people, a school with a draft, its search, publication and calendar, and whatever else has a table."""
    accounts, models, schools = (importlib.import_module(f"app.{name}") for name in ("accounts", "models", "schools"))
    edit, model, message = (importlib.import_module(f"app.school.{name}") for name in ("edit", "model", "message"))
    with sessions.begin() as session:
        invited = accounts.invitation(session, accounts.first_invitation(session))
        ana = accounts.create(session, "ana@example.org", "Ana Conceição", "uma senha longa")
        accounts.accept(session, invited, ana)
        accounts.create(session, "eva@example.org", "Eva", "outra senha longa")
        accounts.sign_in(session, ana)
        accounts.authenticate(session, "eva@example.org", "errada", "10.0.0.1")
        school = edit.put(edit.begin("Escola", ["Seg"], "Aula {number}"), "classes", model.Resource(id="", name="6º A"))
        school = edit.put(school, "subjects", model.Subject(id="", name="Arte"))
        subject, group = school.subjects[0].id, school.classes[0].id
        school = edit.put_lesson(school, model.Lesson(id="", subject=subject, classes=(group,)))
        placed = model.Placement(lesson=school.lessons[0].id, time="d1p1", duration=1, locked=True)
        kept = schools.create(session, school, ana)
        plan = model.Plan(id="", name="Rascunho", placements=(placed,))
        what = message.Message("“{name}” was added.", {"name": plan.name})
        school = schools.change(session, kept, ana, 1, lambda before: edit.put_plan(before, plan), what)
        schools.publish(session, kept, ana, school.plans[0].id)
        accounts.invite(session, kept, "editor")
        moment = database.now(session)
        session.add(models.Feed(token="feed-of-6A", school_id=kept.id, resource=group, created_at=moment))
        by_name: dict[str, Any] = {"locked": (placed,), "settings": variables}
        requested = generation.request_for_school(session, kept, school, **by_name)
        requested.stop_requested = False
        number = requested.id
    claim = generation.claim(sessions, "worker-1", only=number)
    assert claim
    generation.run(sessions, claim, variables, lambda: False, lambda: None)


def dump(engine: Engine) -> str:
    """Tables, indexes and rows as SQL, one statement a line."""
    with engine.connect() as connection:
        mysql = engine.dialect.name == "mysql"
        lines = list(_mysql(connection) if mysql else connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    return "".join(f"{line}\n" for line in lines)


def _mysql(connection: Connection) -> list[str]:
    lines = ["SET FOREIGN_KEY_CHECKS = 0;"]
    for table in connection.scalars(text("SHOW TABLES")).all():
        declaration = connection.execute(text(f"SHOW CREATE TABLE `{table}`")).one()[1]
        lines.append(" ".join(declaration.split("\n")) + ";")
        for row in connection.execute(text(f"SELECT * FROM `{table}`")):  # noqa: S608
            lines.append(f"INSERT INTO `{table}` VALUES ({', '.join(map(_literal, row))});")  # noqa: S608
    return [*lines, "SET FOREIGN_KEY_CHECKS = 1;"]


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"0x{value.hex()}"
        case int() | float():
            return str(value)
        case str():
            return "'" + json.dumps(value, ensure_ascii=False)[1:-1].replace("'", "''") + "'"
        case _:
            return f"'{value}'"


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
