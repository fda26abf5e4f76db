"""`python -m bench.engine`: what the search finds for real schools, beside the best that is published.

It prints a Markdown table. Arguments are XHSTT files, or folders of them; without any it is `examples/`.
"""

from __future__ import annotations

import argparse
import resource
import sys
from contextlib import closing
from pathlib import Path

from app import instances
from app.engine.cost import evaluate
from app.engine.timetable import Timetable
from app.engine.xhstt import read_instances
from app.search import search

# Of each instance by the name that its file gives it: seconds, and the best published cost (docs/engine.md).
PUBLISHED = {
    "BrazilInstance1": ((10,), (0, 41)),
    "BrazilInstance2": ((30,), (0, 5)),
    "BrazilInstance3": ((60,), (0, 24)),
    "BrazilInstance4": ((60, 300), (0, 51)),
    "BrazilInstance5": ((60,), (0, 19)),
    "BrazilInstance6": ((60, 300), (0, 35)),
    "BrazilInstance7": ((60, 300), (0, 53)),
    "Czech republic village school": ((60,), (0, 13)),
    "FinlandElementarySchool": ((120,), (0, 3)),
    "FinlandHighSchool": ((120,), (0, 0)),
    "FinlandSecondarySchool": ((120,), (0, 77)),
    "FinlandSecondarySchool2": ((120,), (0, 0)),
    "GreeceHighSchool1": ((60,), (0, 0)),
    "GreeceThirdHighSchoolPatras2010": ((60,), (0, 0)),
    "ItalyInstance1": ((60,), (0, 12)),
    "Italy_Instance4": ((300,), (0, 27)),
    "Preveza 3rd High School 2008-2009": ((60,), (0, 0)),
    "Spanish school": ((120,), (0, 335)),
    "WesternGreeceUniversityInstance3": ((60,), (0, 5)),
    "WesternGreeceUniversityInstance4": ((120,), (0, 3)),
    "WesternGreeceUniversityInstance5": ((60,), (0, 0)),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.engine", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="*", default=[instances.EXAMPLES], help="files or folders")
    parser.add_argument("--seconds", type=float, help="of each search; by default what docs/engine.md has")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    files = [file for path in options.paths for file in (sorted(path.glob("*.xml")) if path.is_dir() else [path])]
    print("| instance | seconds | cost | best known | gap |\n|---|---|---|---|---|")
    for file in files:
        data, instance = instances.read(file)
        budgets, best = PUBLISHED.get(instance.name, ((30,), None))
        for seconds in [options.seconds] if options.seconds else budgets:
            cost, elapsed = run(data, seconds, options.seed, options.workers)
            known = f"{best} | {gap(cost, best)}" if best else " | "
            print(f"| {instance.name} | {elapsed:.0f} of {seconds:g} | {cost} | {known} |", flush=True)
    print(f"\nThe largest process took {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MiB.")
    return 0


def gap(cost: tuple[int, int], best: tuple[int, int]) -> str:
    """How much more it costs than the best known."""
    return f"{cost[1] - best[1]:+}" if cost[0] == best[0] else f"hard {cost[0] - best[0]:+}"


def run(data: bytes, seconds: float, seed: int, workers: int) -> tuple[tuple[int, int], float]:
    """The cost of the best timetable, by the judge, and after how many seconds it was found."""
    (instance,) = read_instances(data, "instance")
    best, elapsed = evaluate(instance, Timetable(())), 0.0
    with closing(search(data.decode("utf-8-sig"), seconds=seconds, seed=seed, workers=workers)) as found:
        for each in found:
            cost = evaluate(instance, each.timetable) if each else best
            if each and (cost.hard, cost.soft) < (best.hard, best.soft):
                best, elapsed = cost, each.elapsed
    return (best.hard, best.soft), elapsed


if __name__ == "__main__":
    sys.exit(main())
