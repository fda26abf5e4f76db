from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from load_tests.thresholds import another, exceeded
from tests.conftest import ROOT

LOCUSTFILE = ROOT / "load_tests" / "locustfile.py"
PINS = ROOT / "requirements" / "load.txt"
# The top-level modules that loading {} adds.
ADDED = "import sys; b = {{*sys.modules}}; import {}; print(*{{m.partition('.')[0] for m in sys.modules.keys() - b}})"


def test_the_environment_of_the_load_has_what_it_imports_of_ours() -> None:
    ours = re.findall(r"^from ((?:delivery|load_tests)\S+)", LOCUSTFILE.read_text(), re.MULTILINE)
    command = [sys.executable, "-c", ADDED.format(", ".join(ours))]
    modules = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    packages = packages_distributions()
    needed = {name.lower() for module in modules for name in packages.get(module, [])}
    pinned = re.findall(r"^([\w.-]+)==", PINS.read_text(), re.MULTILINE)
    assert {"requests"} <= needed <= {name.lower() for name in pinned}


@pytest.mark.parametrize(
    ("requests", "failures", "seconds", "problems"),
    [
        (1000, 10, 1.0, []),
        (1000, 11, 0.1, ["1.1% of 1000 requests failed; 1% may"]),
        (1000, 0, 1.25, ["95 % of requests were answered within 1.25 s; 1.00 s is the limit"]),
        (199, 0, 0.1, ["only 199 requests; 200 are needed to tell"]),
        (0, 0, 0.0, ["only 0 requests; 200 are needed to tell"]),
    ],
)
def test_too_many_errors_too_slow_and_too_little_to_tell_all_fail(
    requests: int, failures: int, seconds: float, problems: list[str]
) -> None:
    assert list(exceeded(requests, failures, seconds)) == problems


@pytest.mark.parametrize(
    ("wanted", "seen", "problems"),
    [
        ("a", ["a", "a"], []),
        ("", ["a", "a"], []),
        ("a", ["b", "b"], ["b ran before and b afterwards, and not a"]),
        ("a", ["a", "b"], ["a ran before and b afterwards, and not a"]),
        ("", ["a", "b"], ["a ran before and b afterwards, and not the same"]),
        ("a", ["a"], ["nobody knows which image ran before and afterwards"]),
        ("a", [], ["nobody knows which image ran before and afterwards"]),
    ],
)
def test_a_load_on_another_image_than_the_one_that_was_delivered_fails(
    wanted: str, seen: list[str], problems: list[str]
) -> None:
    assert list(another(wanted, seen)) == problems
