from __future__ import annotations

import pytest

from app.grants import ACCOUNTS, Account, parse, quoted, wanted

APPLICATION, MIGRATION, BACKUP, EXPORTER = ACCOUNTS


@pytest.mark.parametrize(
    ("account", "lines"),
    [
        (APPLICATION, ["GRANT SELECT, INSERT, UPDATE, DELETE ON `school\\_schedule`.* TO `school_schedule`@`%`"]),
        (MIGRATION, ["GRANT ALL PRIVILEGES ON `school\\_schedule`.* TO `migration`@`%`"]),
        (
            BACKUP,
            [
                "GRANT SHOW_ROUTINE ON *.* TO `backup`@`%`",
                "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON `school\\_schedule`.* TO `backup`@`%`",
            ],
        ),
        (
            EXPORTER,
            [
                "GRANT PROCESS, REPLICATION CLIENT ON *.* TO `exporter`@`%`",
                "GRANT SELECT ON `performance_schema`.* TO `exporter`@`%`",
            ],
        ),
    ],
    ids=["application", "migration", "backup", "exporter"],
)
def test_what_the_server_says_of_an_account_with_its_rights_is_what_is_wanted(
    account: Account, lines: list[str]
) -> None:
    assert parse(["GRANT USAGE ON *.* TO `someone`@`%`", *lines]) == wanted(account, "school_schedule")


def test_a_right_to_grant_is_a_right_of_its_own() -> None:
    plain = "GRANT SELECT ON `school`.* TO `someone`@`%`"
    assert parse([plain]) != parse([plain + " WITH GRANT OPTION"])


def test_an_underscore_in_a_schema_means_only_itself() -> None:
    assert quoted("school_schedule") == r"`school\_schedule`"


def test_only_the_migration_may_change_the_schema() -> None:
    def changes(account: Account) -> bool:
        return any("ALL" in grants or "CREATE" in grants or "DROP" in grants for grants, _ in account.grants)

    assert [account.role for account in ACCOUNTS if changes(account)] == ["migration"]
