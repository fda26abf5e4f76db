"""`python -m policy_tests` writes the table of rules into README.md."""

from __future__ import annotations

from pathlib import Path

# Importing the package registers the rules.
import policy_tests.rules  # noqa: F401
from policy_tests.rule import RULES

README = Path(__file__).with_name("README.md")
HEAD = "| rule | severity | why | source |\n|---|---|---|---|\n"


def table() -> str:
    """The rules as a Markdown table, in the order of their ids."""
    rows = [f"| `{rule.id}` | {rule.severity} | {rule.why} | {rule.source} |" for _, rule in sorted(RULES.items())]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    before, _, _ = README.read_text().partition(HEAD)
    README.write_text(before + table())
