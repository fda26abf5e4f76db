"""How long a command takes at most, in seconds, by its own limits, the way back included.

A pause of the API server is not counted, which may add sight.PATIENCE to each: a job of a pipeline
that is ended in one is run again.
"""

from __future__ import annotations

import argparse

from delivery import backup, job, rollout, suites

# Of a job beside its commands: what it installs, and what it keeps.
AROUND = 20 * 60
# The visitors of a load test, and the packages that they need.
LOAD = 10 * 60
# GitHub ends a job of its own runners after these.
GITHUB = 360 * 60


def of(options: argparse.Namespace) -> float:
    """The seconds of a command line of `python -m delivery`.

    Raises:
        KeyError: no pipeline runs that command.
    """
    match options.command:
        case "deploy":
            canary = rollout.UP + 60 * options.canary if options.canary else 0
            begun = options.wait + suites.LONGEST + backup.BEFORE_MIGRATION + rollout.MIGRATION
            return float(begun + canary + _brought(60 * options.watch) + _brought())
        case "rollback":
            return float(options.wait + _brought())
    return {"smoke": suites.LONGEST, "generate": _in_turn(), "restore-drill": _in_turn()}[options.command]


def _brought(watch: float = 0) -> float:
    """A release, and once more where somebody changed it by hand meanwhile."""
    return 2 * (rollout.UP + suites.LONGEST + watch)


def _in_turn() -> float:
    """A Job, and another of its sort before it."""
    return 2 * job.LONGEST + job.GONE
