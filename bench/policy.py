"""What the policy suite costs beside one checkov run over the same rendered files.

Both sides of the ratio are measured in turn, and the shortest of three runs counts, as whatever else the machine does
only adds to it. On two free processors the suite runs beside checkov; on one they can only take turns.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from policy_tests import checkov
from policy_tests.environment import ROOT
from policy_tests.render import read_environments

FOREIGN = ROOT / "tests" / "policy" / "examples" / "foreign"
FILES = 100
CHECKOV = ("--framework", "kubernetes", "--output", "json", "--quiet", "--compact", "--skip-download")


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def suite(*options: str) -> Callable[[], object]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "policy_tests", *options]
    return lambda: _quietly(command)


def _quietly(command: list[str]) -> None:
    # checkov fails on every finding, the waived ones too.
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)  # noqa: S603


def main() -> int:
    with TemporaryDirectory() as name:
        rendered, foreign = Path(name) / "rendered", Path(name) / "foreign"
        rendered.mkdir()
        foreign.mkdir()
        checkov.write(read_environments(), rendered)
        for number in range(FILES):
            source = sorted(FOREIGN.iterdir())[number % 2]
            (foreign / f"{number:03}.yaml").write_text(source.read_text())
        rules = min(seconds(suite("--ignore", "policy_tests/test_checkov.py")) for _ in range(3))
        others = seconds(suite("--manifests", str(foreign)))
        # Of the largest child so far, in KiB: checkov has not run yet, and is not ours to shrink.
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        command = [str(checkov.PYTHON.with_name("checkov")), "--directory", str(rendered), *CHECKOV]
        pairs = [(seconds(suite()), seconds(lambda: _quietly(command))) for _ in range(3)]
        whole, alone = (min(side) for side in zip(*pairs, strict=True))
    rows = [
        ("whole suite, checkov included / checkov alone", whole / alone, 1.2, f"{whole:.2f} s / {alone:.2f} s"),
        ("suite without checkov, seconds", rules, 2, ""),
        (f"{FILES} files from elsewhere, seconds", others, 5, ""),
        ("memory of the suite, MB", memory, 400, ""),
    ]
    for what, value, most, detail in rows:
        print(f"{'ok  ' if value <= most else 'MISS'} {what:48} {value:7.2f}  (at most {most})  {detail}")
    return int(any(value > most for _, value, most, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
