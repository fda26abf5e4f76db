"""How long the last `make drills` took to notice each fault, and from then until the release before ran again."""

from __future__ import annotations

import json
import sys

from delivery.shell import ROOT

TIMES = ROOT / "build" / "drills.json"
# Seconds.
NOTICED, RECOVERED = 60, 30


def main() -> int:
    if not TIMES.exists():
        print("delivery: not measured; `make drills`, on a cluster of your own, does it")
        return 0
    missed = 0
    for name, (noticed, recovered) in json.loads(TIMES.read_text()).items():
        met = noticed <= NOTICED and recovered <= RECOVERED
        missed += not met
        print(
            f"{'ok  ' if met else 'MISS'} {name:30} noticed in {noticed:4.0f} s (at most {NOTICED}), "
            f"recovered in {recovered:4.0f} s (at most {RECOVERED})"
        )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
