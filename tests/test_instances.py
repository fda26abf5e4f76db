from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app import instances
from app.engine.xhstt import XhsttError
from app.models import StoredInstance
from tests.conftest import BRAZIL, SAMPLE
from tests.engine.conftest import Archive

pytestmark = pytest.mark.mysql


def names(sessions: sessionmaker[Session]) -> list[str]:
    with sessions() as session:
        return list(session.scalars(select(StoredInstance.name).order_by(StoredInstance.id)))


def test_a_file_that_is_there_already_is_not_imported_again(sessions: sessionmaker[Session]) -> None:
    for _ in range(2):
        with sessions.begin() as session:
            instances.import_files(session, [BRAZIL])
    assert names(sessions) == ["BrazilInstance1"]


def test_a_file_that_cannot_be_used_keeps_the_others_out_too(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    (tmp_path / "broken.xml").write_text("<HighSchoolTimetableArchive/>")
    with sessions.begin() as session, pytest.raises(XhsttError, match=r"broken.xml:1: "):
        instances.import_files(session, [BRAZIL, tmp_path / "broken.xml"])
    assert names(sessions) == []


def test_a_long_name_is_kept_to_what_its_column_takes(
    sessions: sessionmaker[Session], archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "long.xml").write_bytes(archive().replace(b"<Name>Tiny<", b"<Name>%s<" % (b"x" * 300)))
    with sessions.begin() as session:
        instances.import_files(session, [tmp_path / "long.xml"])
    assert names(sessions) == ["x" * 200]


def test_what_was_imported_is_read_back(sessions: sessionmaker[Session]) -> None:
    # Its file begins with a byte order mark.
    with sessions.begin() as session:
        instances.import_files(session, [BRAZIL])
    with sessions() as session:
        assert instances.load(session.scalars(select(StoredInstance)).one()) == instances.read(BRAZIL)[1]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(XhsttError, match=r"/none\.xml: No such file or directory"):
        instances.read(tmp_path / "none.xml")


def test_an_archive_of_several_instances_is_refused(tmp_path: Path) -> None:
    text = SAMPLE.read_text()
    start, end = text.index("<Instance "), text.index("</Instances>")
    (tmp_path / "two.xml").write_text(text[:end] + text[start:end] + text[end:])
    with pytest.raises(XhsttError, match=r"two.xml:1: the archive has 2 instances; give one file for each"):
        instances.read(tmp_path / "two.xml")
