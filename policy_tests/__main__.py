"""`python -m policy_tests` writes the table of rules into README.md; `... diff` compares two checkouts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from policy_tests import diff
from policy_tests.manifests import ManifestError
from policy_tests.rule import RULES

README = Path(__file__).with_name("README.md")
HEAD = "| rule | severity | why | source |\n|---|---|---|---|\n"


def table() -> str:
    """The rules as a Markdown table, in the order of their ids."""
    rows = [f"| `{rule.id}` | {rule.severity} | {rule.why} | {rule.source} |" for _, rule in sorted(RULES.items())]
    return HEAD + "\n".join(rows) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m policy_tests", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    compare = commands.add_parser("diff", help="what a change does to each environment, as Markdown")
    compare.add_argument("--base", type=Path, required=True, metavar="DIR", help="a checkout before the change")
    compare.add_argument("--head", type=Path, required=True, metavar="DIR", help="a checkout with it")
    options = parser.parse_args()
    if options.command is None:
        before, _, _ = README.read_text().partition(HEAD)
        README.write_text(before + table())
        return 0
    try:
        print(diff.report(options.base, options.head), end="")
    except ManifestError as error:
        print(f"{diff.MARKER}\n\nThe environments do not render.\n\n{diff.fenced(str(error).splitlines())}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
