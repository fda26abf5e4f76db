"""`python -m bench`: every measurement, one after the other, since two at once would measure each other.

`bench.mutants` (`make mutants`), which takes an hour, is not among them.
"""

from __future__ import annotations

import sys

from bench import delivery, engine, observability, policy, web

if __name__ == "__main__":
    sys.exit(max([part.main() for part in (policy, web, engine, delivery, observability)]))
