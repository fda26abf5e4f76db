#!/bin/sh
# Writes the statements that the server runs at every start (init_file). They make the account `accounts`, which makes
# the others; nobody but this pod is root. The rows that are being read and written count for
# global_connection_memory_limit, which leaves them out by default. One statement a line, as init_file wants it.
set -eu
umask 077
quoted() { # FILE: its content as an SQL string
  printf "'"
  sed "s/[\\\\']/\\\\&/g" "/run/secrets/db-credentials/$1" | tr -d '\n'
  printf "'"
}
user="$(quoted accounts-user)@'%'"
schema='`'"$(printf %s "$MYSQL_DATABASE" | sed 's/[_%]/\\&/g')"'`.*'
cat >/run/accounts/accounts.sql <<SQL
CREATE USER IF NOT EXISTS $user IDENTIFIED BY $(quoted accounts-password) REQUIRE SSL;
ALTER USER $user IDENTIFIED BY $(quoted accounts-password) REQUIRE SSL;
GRANT CREATE USER, PROCESS, REPLICATION CLIENT, SHOW_ROUTINE ON *.* TO $user WITH GRANT OPTION;
GRANT ALL ON $schema TO $user WITH GRANT OPTION;
GRANT SELECT ON performance_schema.* TO $user WITH GRANT OPTION;
UPDATE performance_schema.setup_instruments SET flags = 'controlled' WHERE name IN ('memory/innodb/memory', 'memory/sql/NET::buff', 'memory/sql/Row_data_memory::memory', 'memory/sql/String::value');
SQL
