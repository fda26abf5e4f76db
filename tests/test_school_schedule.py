from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import BRAZIL, ROOT, Run


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that was said; anything beside it, such as a traceback, fails."""
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line.removeprefix("school_schedule: ")


def test_it_runs_as_a_file_too(tmp_path: Path) -> None:
    path = ROOT / "app" / "school_schedule.py"
    done = subprocess.run([sys.executable, path, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: school_schedule ")


def test_a_malformed_instance_is_named_with_the_line(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text("<HighSchoolTimetableArchive>\n<Instances>\n</HighSchoolTimetableArchive>\n")
    done = run("generate", "--xhstt", broken)
    assert done.returncode == 2
    assert complaint(done) == f"{broken}:3: mismatched tag; the file has to be well-formed XML in UTF-8"


def test_a_wrong_setting_is_named(run: Run) -> None:
    done = run("migrate", GENERATION_SECONDS="x")
    assert done.returncode == 2
    assert complaint(done).startswith("setting GENERATION_SECONDS: Input should be a valid number")


@pytest.mark.parametrize("seconds", ["0", "nan", "x"])
def test_what_is_no_length_of_time_is_refused(run: Run, seconds: str) -> None:
    done = run("generate", "--xhstt", BRAZIL, f"--seconds={seconds}")
    assert done.returncode == 2
    assert "argument --seconds: " in done.stderr.splitlines()[-1]


def test_a_data_folder_that_cannot_be_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("serve", "--port", "0", DATA_DIR=str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert complaint(done) == (
        f"cannot write to the data folder {tmp_path / 'file' / 'data'}: Not a directory; set DATA_DIR"
    )


def test_a_database_that_does_not_answer_is_an_error(run: Run) -> None:
    done = run("generate", "--database", DB_HOST="127.0.0.1", DB_PORT="1", DB_PASSWORD="x")
    assert done.returncode == 1
    assert complaint(done).startswith("the database does not answer: ")
