"""The suites that a delivery runs, as it runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from delivery import suites
from delivery.shell import DeliveryError
from delivery.suites import Suites
from tests.delivery.small import PROD, heard, render

CONFTEST = """
def pytest_addoption(parser):
    for name in ("env", "manifests", "ingress"):
        parser.addoption(f"--{name}")
"""
TEST = """
from pathlib import Path

def test_options(pytestconfig):
    option = pytestconfig.getoption
    assert option("--env") == "prod"
    assert option("--ingress") == {ingress!r}
    assert "registry.example/school-scheduler:1@" in Path(option("--manifests")).read_text()
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two suites that pass where they get the right options."""
    for name, ingress in (("policy_tests", None), ("smoke_tests", "127.0.0.1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "conftest.py").write_text(CONFTEST)
        (tmp_path / name / "test_options.py").write_text(TEST.format(ingress=ingress))
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    return tmp_path


def test_both_suites_get_the_render_and_the_name_of_the_environment(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proofs = Suites("127.0.0.1")
    proofs.policy(PROD, render("1"))
    proofs.smoke(PROD, render("1"))
    assert heard(capsys) == ["running policy_tests", "running smoke_tests"]


def test_without_an_address_the_smoke_tests_find_the_ingress_by_dns(checkout: Path) -> None:
    (checkout / "smoke_tests" / "test_options.py").write_text(TEST.format(ingress=None))
    Suites().smoke(PROD, render("1"))


@pytest.mark.parametrize(
    ("suite", "reason"),
    [("policy", "it breaks the rules; nothing was applied"), ("smoke", "its smoke tests fail")],
)
def test_a_suite_that_fails_stops_the_delivery(checkout: Path, suite: str, reason: str) -> None:
    with pytest.raises(DeliveryError, match=reason):
        getattr(Suites("another"), suite)(PROD, render("2"))


def test_a_disk_that_is_full_stops_a_suite_in_a_line(checkout: Path) -> None:
    (checkout / "build").touch()
    with pytest.raises(DeliveryError, match=r"smoke_tests cannot be run: .*; it writes into .*build/prod"):
        Suites().smoke(PROD, render("1"))


def test_a_suite_that_does_not_end_is_ended(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "LONGEST", 0.1)
    with pytest.raises(DeliveryError, match=r"smoke_tests did not end within 0.1 s; .*smoke_tests.txt has what"):
        Suites("127.0.0.1").smoke(PROD, render("1"))


def test_a_suite_with_thousands_of_lines_prints_a_screen_and_names_the_file(
    checkout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    test = "def test_long():\n    print('x\\n' * 9000)\n    assert False\n"
    (checkout / "smoke_tests" / "test_long.py").write_text(test)
    with pytest.raises(DeliveryError, match="its smoke tests fail"):
        Suites("127.0.0.1").smoke(PROD, render("1"))
    printed = "".join(capfd.readouterr())
    file = checkout / "build" / "prod" / "smoke_tests.txt"
    assert len(printed.splitlines()) < 50
    assert str(file) in printed and "1 failed, 1 passed" in printed
    assert len(file.read_text().splitlines()) > 9000
