"""`python -m bench.policy`: what the policy suite costs beside one checkov run over the same rendered files.

Everything is measured in this one run, one after the other, so that a slow or busy machine slows both sides of a ratio.
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
from policy_tests.render import ROOT, read_environments

FOREIGN = ROOT / "policy_tests" / "examples" / "foreign"
FILES = 100


def seconds(action: Callable[[], object], times: int = 3) -> float:
    """The shortest of a few runs, as whatever else the machine does only adds to them."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        took.append(time.perf_counter() - start)
    return min(took)


def suite(*options: str) -> Callable[[], object]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "policy_tests", *options]
    return lambda: subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)  # noqa: S603


def main() -> int:
    with TemporaryDirectory() as name:
        rendered, foreign = Path(name) / "rendered", Path(name) / "foreign"
        rendered.mkdir()
        foreign.mkdir()
        checkov.write(read_environments(), rendered)
        for number in range(FILES):
            source = sorted(FOREIGN.iterdir())[number % 2]
            (foreign / f"{number:03}.yaml").write_text(source.read_text())
        rules = seconds(suite("--ignore", "policy_tests/test_checkov.py"))
        others = seconds(suite("--manifests", str(foreign)))
        # Of the largest child so far, in KiB: checkov has not run yet, and is not ours to shrink.
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        command = [checkov.PYTHON.with_name("checkov"), *checkov.arguments(rendered)]
        alone = seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=False))  # noqa: S603
        whole = seconds(suite())
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
