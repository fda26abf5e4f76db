"""Command line: python -m repository [--apply], or gate ENVIRONMENT."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from delivery.shell import ROOT, screen, show
from repository import wanted
from repository.differences import Repository
from repository.gate import passed
from repository.github import RefusalError, connect
from repository.wanted import RepositoryError


def compare(repository: Repository, apply: bool) -> int:
    """Shows what differs, having mended what can be; 0 where nothing does."""
    if apply and not repository.administrator:
        raise RepositoryError(f"only an administrator of {repository.github.repository} may apply this")
    look = repository.look()
    refusals: list[str] = []
    if apply:
        for difference in look.differences:
            if difference.mend:
                _show(f"setting {difference.text}")
                try:
                    difference.mend()
                except RefusalError as error:
                    refusals.append(f"refused: {difference.text.partition(':')[0]}: {error}")
        look = repository.look()
    for line in [*(f"note: {note}" for note in look.notes), *refusals]:
        _show(line)
    for difference in look.differences:
        _show(f"differs: {difference.text}")
    if not look.differences:
        _show(f"{repository.github.repository} is as .github/repository.yaml wants it")
        return 0
    mendable = sum(difference.mend is not None for difference in look.differences)
    how = ", which are left to you" if apply else f"; make github OPTIONS=--apply sets {mendable} of them"
    _show(f"differences: {len(look.differences)}{how}")
    return 1


def _show(line: str) -> None:
    show(screen(line, ROOT / "build" / "repository.txt"))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="repository",
        description="Shows in what the repository on GitHub is not what it should be.",
    )
    parser.add_argument("--repo", metavar="OWNER/NAME", help="default: $GITHUB_REPOSITORY, or git's origin")
    parser.add_argument("--apply", action="store_true", help="make it what it should be")
    text = "who approves, or ORGANIZATION/TEAM; may be repeated (default: who does, or else whoever runs this)"
    parser.add_argument("--reviewer", action="append", default=[], metavar="LOGIN", help=text)
    parser.add_argument("--file", type=Path, default=wanted.FILE, help="what it should be (%(default)s)")
    commands = parser.add_subparsers(dest="command")
    text = "in a run: who approved it for an environment; 1 where nobody did"
    gate = commands.add_parser("gate", help=text, description=text)
    gate.add_argument("environment", help="its name on GitHub")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line; an error of ours becomes its message and exit code 1."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "gate":
            run, actor = (
                os.environ.get("GITHUB_RUN_ID", ""),
                os.environ.get("GITHUB_TRIGGERING_ACTOR", ""),
            )
            approvers = os.environ.get("APPROVERS", "")
            _show(passed(connect(options.repo), options.environment, run, actor, approvers))
            return 0
        return compare(
            Repository(connect(options.repo), wanted.read(options.file), tuple(options.reviewer)),
            options.apply,
        )
    except RepositoryError as error:
        line = screen(str(error), ROOT / "build" / "repository.txt")
        print(
            f"::error::{line}" if os.environ.get("GITHUB_ACTIONS") else f"repository: {line}",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("repository: interrupted; the same command again finishes the work", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
