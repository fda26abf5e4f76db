"""Nobody gets into the database without a password, as the server itself knows it."""

from __future__ import annotations

from smoke_tests.environment import EXEC, Environment

# root alone may read this, from inside the database's pod alone.
# It is known there as the server has it; a pod of v0.1.0 has the Secret alone.
ACCOUNTS = """
set -- --defaults-file=/run/accounts/root.cnf
if [ ! -f /run/accounts/root.cnf ]; then
MYSQL_PWD=$(cat /run/secrets/db-credentials/rootpassword)
export MYSQL_PWD
set -- --no-defaults --socket=/var/run/mysqld/mysqld.sock --user=root
fi
exec mysql "$@" --batch --skip-column-names --execute "
SELECT QUOTE(user), plugin, account_locked, authentication_string = '' FROM mysql.user"
"""
BY_PASSWORD = ("caching_sha2_password", "sha256_password", "mysql_native_password")


def test_no_account_of_the_database_is_without_a_password(environment: Environment) -> None:
    environment.need(*EXEC)
    answer = environment.kubectl("exec", "mysql-0", "-c", "mysql", "--", "sh", "-euc", ACCOUNTS)
    accounts = [line.split("\t") for line in answer.splitlines()]
    # Whoever sees these sees all.
    assert {"'root'", "'mysql.sys'"} <= {user for user, *_ in accounts}
    assert [account for account in accounts if account[0] == "''"] == []
    # A role is locked, and so are MySQL's own accounts.
    open_to_all = [
        user for user, plugin, locked, empty in accounts if (locked, empty) == ("N", "1") and plugin in BY_PASSWORD
    ]
    assert open_to_all == []
