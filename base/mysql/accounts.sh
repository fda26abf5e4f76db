#!/bin/sh
# Writes the statements that the server runs at every start (init_file). They make the account `accounts`, which makes
# the others; nobody but this pod is root. One statement a line, as init_file wants it.
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
SQL
