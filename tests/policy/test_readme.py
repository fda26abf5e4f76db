"""README.md tells the truth."""

from __future__ import annotations

from policy_tests.__main__ import README, table


def test_the_table_of_rules_is_current() -> None:
    assert README.read_text().endswith(table()), "run `python -m policy_tests`"
