"""`python -m bench.mutants`: changes to the code, one at a time, and which of them no test notices.

The changes are cosmic-ray's (https://cosmic-ray.readthedocs.io) and the three of `Omission`. A draw
takes one of a kind at each place, and the same ones for the same seed, whatever becomes of the code
around them. Every change is made in a copy of the working tree, where the tests of its package run.
What was found stays in build/mutants: an interrupted run goes on, and after a change of tests the
survivors alone are tried again. Delete that folder to try all of them.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from parso.python.tree import Keyword

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
RESULTS = FOLDER / "results.jsonl"
# Of each package: where the tests are that are to notice, and how many of a hundred changes.
PACKAGES = {
    "delivery": (("tests/delivery",), 90),
    "policy_tests": (("tests/policy", "policy_tests"), 90),
    "app/school": (("tests/school",), 85),
    "app/engine": (("tests/engine",), 80),
}
# Others are noticed by any run (`+` as `<<`), or by none (`==` as `is`).
OPERATORS = re.compile(
    r"core/(ReplaceComparisonOperator_(?!.*Is)\w+|ReplaceComparisonOperator_Is(Not)?_Is(Not)?"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Add|Div_Mul|FloorDiv_Mul|Mod_FloorDiv)"
    r"|ReplaceUnaryOperator_Delete_\w+|Replace(True|False|And|Or|Break|Continue)With\w+"
    r"|AddNot|NumberReplacer|ExceptionReplacer|ZeroIterationForLoop)"
)
OUTCOMES = ("killed", "timed out", "survived")
# An endless loop is to end before the machine's memory does.
MEMORY = 4 << 30


class Omission:
    """Leaves out a call whose value nobody takes, or the filter of a comprehension; turns `in` round."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        if self._replacement(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return Keyword(self._replacement(node), node.start_pos, node.get_first_leaf().prefix)

    def _replacement(self, node: Any) -> str | None:
        around = node.parent.type if node.parent else ""
        if around == "simple_stmt" and node.type in ("atom_expr", "power"):
            return "pass" if node.children[-1].get_code().startswith("(") else None
        if around in ("comp_if", "old_comp_if") and node is node.parent.children[1]:
            return "True"
        if around == "comparison" and node.type in ("comp_op", "keyword"):
            return {"in": "not in", "not in": "in"}.get(" ".join(node.get_code().split()))
        return None


@dataclass(frozen=True)
class Place:
    """The `occurrence`-th place in the module `path` that `operator` can change."""

    path: str
    operator: str
    occurrence: int
    start: tuple[int, int]
    text: str

    def drawn(self, seed: int) -> str:
        """By what a draw orders places: it knows a place by its text, not by what stands before it."""
        key = (seed, self.path, self.operator, self.start[1], self.text)
        return hashlib.sha256(repr(key).encode()).hexdigest()


@dataclass(frozen=True)
class Mutant:
    place: Place
    before: str
    after: str

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.place.path}\n{self.after}".encode()).hexdigest()

    def __str__(self) -> str:
        sides = self.before.splitlines(), self.after.splitlines()
        diff = islice(difflib.unified_diff(*sides, n=0, lineterm=""), 2, None)
        changed = [line for line in diff if not line.startswith("@@")]
        return "\n    ".join([f"{self.place.path}:{self.place.start[0]}", *changed])


def operator(name: str) -> Any:
    return Omission() if name == "Omission" else get_operator(name)()


def places(path: str) -> Iterator[Place]:
    code = (ROOT / path).read_text()
    nodes, lines = list(ast_nodes(get_ast(code))), code.splitlines()
    for name in ["Omission", *filter(OPERATORS.fullmatch, operator_names())]:
        change = operator(name)
        found = (start for node in nodes for start, _ in change.mutation_positions(node))
        for occurrence, start in enumerate(found):
            # A class that is no longer frozen does what it did.
            if not (text := lines[start[0] - 1]).startswith("@dataclass"):
                yield Place(path, name, occurrence, start, text)


def draw(found: Iterable[Place], sample: int, seed: int) -> list[Mutant]:
    """That many changes, at most one of a kind at each place."""
    one: dict[tuple[str, tuple[int, int], str], Place] = {}
    for place in sorted(found, key=lambda place: place.drawn(seed)):
        one.setdefault((place.path, place.start, place.operator.partition("_")[0]), place)
    return list(islice(filter(None, map(mutate, one.values())), sample))


def mutate(place: Place) -> Mutant | None:
    """None where it would be no Python: `if not name := value`."""
    before = (ROOT / place.path).read_text()
    after = mutate_code(before, operator(place.operator), place.occurrence)
    try:
        compile(after, place.path, "exec")
    except SyntaxError:
        return None
    return Mutant(place, before, after)


def changed_lines(base: str) -> dict[str, set[int]]:
    """By path, the lines of the working tree that the Git revision does not have."""
    command = ["git", "diff", "--unified=0", "--no-prefix", "--merge-base", base]
    lines: dict[str, set[int]] = {}
    path = ""
    for line in _output(command).splitlines():
        if line.startswith("+++ "):
            path = line[4:]
        elif match := re.match(r"@@ \S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(match[1]), int(match[2] or 1)
            lines.setdefault(path, set()).update(range(first, first + count))
    return lines


def _output(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S603


def likeliest_first(tree: Path, folder: str, path: str) -> list[str]:
    """The tests that import a module before the others, and the narrow ones, which are fast, before the wide."""
    parent, name = Path(path).parent.as_posix().replace("/", "."), Path(path).stem
    imports = re.compile(rf"(?m)^from {parent}(\.{name} import|.* import .*\b{name}\b)")
    texts = {file.relative_to(tree).as_posix(): file.read_text() for file in (tree / folder).rglob("test_*.py")}

    def order(file: str) -> tuple[bool, int, str]:
        return not imports.search(texts[file]), len(re.findall("(?m)^(from|import) ", texts[file])), file

    return sorted(texts, key=order)


def copy_tree(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for name in _output(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).split("\0"):
        if name and (source := ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    for environment in ROOT.glob(".venv*"):
        (target / environment.name).symlink_to(environment)


def run_tests(tree: Path, package: str, path: str, timeout: float | None, byte_code: bool = False) -> str:
    """What becomes of a change in the module `path`."""
    # A run for each folder: policy_tests waits for checkov, and most changes are noticed before.
    runs = (_run(tree, likeliest_first(tree, folder, path), timeout, byte_code) for folder in PACKAGES[package][0])
    return next((outcome for outcome in runs if outcome != "survived"), "survived")


def _run(tree: Path, files: list[str], timeout: float | None, byte_code: bool) -> str:
    command = [".venv/bin/python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--basetemp={tree}.tmp"]
    # Byte code of a change could be taken for that of the next one, which may have its size and its second.
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "" if byte_code else "1"}
    with (tree.with_suffix(".log")).open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            [*command, *files], cwd=tree, env=variables, stdout=log, stderr=log, start_new_session=True
        )
        try:
            return "killed" if process.wait(timeout) else "survived"
        except subprocess.TimeoutExpired:
            return "timed out"
        finally:
            # Whatever a test has started goes with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def try_out(mutant: Mutant, package: str, trees: queue.Queue[Path], timeout: float) -> str:
    tree = trees.get()
    file = tree / mutant.place.path
    before, times = file.read_text(), file.stat()
    try:
        file.write_text(mutant.after)
        return run_tests(tree, package, mutant.place.path, timeout)
    finally:
        # With its old time its byte code serves again.
        file.write_text(before)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        trees.put(tree)


def digest(package: str) -> str:
    """Of the tests of a package and what they read beside them."""
    found = sorted(file for folder in PACKAGES[package][0] for file in (ROOT / folder).rglob("*"))
    read = (file.read_bytes() for file in found if file.is_file() and file.suffix != ".pyc")
    return hashlib.sha256(b"".join(read)).hexdigest()


def known_outcomes(tests: str) -> dict[str, str]:
    """By key, what was found before; a survivor may have met its match since if the tests have changed."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    known = {}
    for result in map(json.loads, lines):
        if result["outcome"] != "survived" or result["tests"] == tests:
            known[result["key"]] = result["outcome"]
    return known


def outcomes(package: str, mutants: list[Mutant], workers: int) -> Iterator[tuple[Mutant, str]]:
    """What becomes of each mutant, what is known already first."""
    tests = digest(package)
    known = known_outcomes(tests)
    yield from ((mutant, known[mutant.key]) for mutant in mutants if mutant.key in known)
    due = [mutant for mutant in mutants if mutant.key not in known]
    if not due:
        return
    trees: queue.Queue[Path] = queue.Queue()
    for number in range(workers):
        copy_tree(FOLDER / str(number))
        trees.put(FOLDER / str(number))
    with ThreadPoolExecutor(workers) as pool:
        seconds = max(pool.map(partial(check_tests, package), list(trees.queue)))
        print(f"{package}: {len(due)} of {len(mutants)} to try; the tests take {seconds:.0f} s", flush=True)
        running = {pool.submit(try_out, mutant, package, trees, 10 + 5 * seconds): mutant for mutant in due}
        try:
            for future in as_completed(running):
                mutant, outcome = running[future], future.result()
                with RESULTS.open("a") as results:
                    result = {"key": mutant.key, "outcome": outcome, "tests": tests, "change": str(mutant)}
                    results.write(json.dumps(result) + "\n")
                yield mutant, outcome
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def check_tests(package: str, tree: Path) -> float:
    """The seconds that the tests take without any change; ends the program where they fail."""
    start = time.monotonic()
    if run_tests(tree, package, "", timeout=None, byte_code=True) != "survived":
        sys.exit(f"{package}: its tests fail without any change; see {tree}.log")
    return time.monotonic() - start


def measure(package: str, lines: dict[str, set[int]] | None, options: argparse.Namespace) -> tuple[str, bool]:
    """A row of the table, and whether enough was noticed; prints the survivors."""
    paths = [file.relative_to(ROOT).as_posix() for file in sorted((ROOT / package).rglob("*.py"))]
    found = [place for path in paths if not Path(path).name.startswith("test_") for place in places(path)]
    if lines is not None:
        found = [place for place in found if place.start[0] in lines.get(place.path, ())]
    mutants = draw(found, options.sample, options.seed)
    counts = Counter[str]()
    for mutant, outcome in outcomes(package, mutants, options.workers):
        counts[outcome] += 1
        if outcome == "survived":
            print(mutant, flush=True)
    share = 100 * (1 - counts["survived"] / max(1, len(mutants)))
    least = PACKAGES[package][1]
    columns = (package, len(mutants), *(counts[outcome] for outcome in OUTCOMES), f"{int(share)} %", f"{least} %")
    return f"| {' | '.join(map(str, columns))} |", share >= least


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.mutants", description=__doc__)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=", ".join(PACKAGES))
    parser.add_argument("--sample", type=int, default=200, help="how many of each package")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base", help="a Git revision: only lines that it does not have")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    lines = changed_lines(options.base) if options.base else None
    rows, enough = zip(*[measure(package, lines, options) for package in options.packages or PACKAGES], strict=True)
    heads = ("package", "changes", *OUTCOMES, "share", "at least")
    print(f"\n| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows, sep="\n")
    return int(not all(enough))


if __name__ == "__main__":
    sys.exit(main())
