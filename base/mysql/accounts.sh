#!/bin/sh
# Before every start of the server: writes the statements that it runs before it lets anybody in (init_file), and makes its
# data where there is none. The statements make the account `accounts`, which makes the others; nobody but this pod is
# root. The rows that are being read and written count for global_connection_memory_limit, which leaves them out by
# default. One statement a line, as init_file wants it.
set -eu
umask 077
value() { # KEY: its value; an empty one is none
  if ! text=$(cat "/run/secrets/db-credentials/$1" 2>/dev/null) || [ -z "$text" ]; then
    echo "accounts.sh: Secret db-credentials has no $1; Job credentials or \`make credentials ENV=...\` adds it" >&2
    exit 1
  fi
  printf %s "$text"
}
quoted() { # TEXT: as a string in SQL and in an option file
  printf "'%s'" "$(printf %s "$1" | sed -z "s/[\\\\'\"]/\\\\&/g; s/\n/\\\\n/g; s/\r/\\\\r/g")"
}
# Each by itself: a failure inside another word would pass unseen.
for key in ca.crt tls.crt tls.key; do value "$key" >/dev/null; done
root=$(value rootpassword)
user=$(value accounts-user)
password=$(value accounts-password)
root=$(quoted "$root")
user=$(quoted "$user")
password=$(quoted "$password")
account="$user@'%'"
schema=$(printf %s "$MYSQL_DATABASE" | sed 's/[_%]/\\&/g')
# Roles are locked, and MySQL's own accounts too; nobody can be them.
nobody="user = '' OR (account_locked = 'N' AND authentication_string = '' AND plugin IN ('caching_sha2_password', 'sha256_password', 'mysql_native_password'))"
cat >/run/accounts/accounts.sql <<SQL
SET NAMES utf8mb4;
ALTER USER IF EXISTS 'root'@'localhost' IDENTIFIED BY $root;
SET SESSION group_concat_max_len = 1048576;
SET @accounts = (SELECT GROUP_CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE $nobody);
SET @drop = IF(@accounts IS NULL, 'DO 0', CONCAT('DROP USER ', @accounts));
PREPARE statement FROM @drop;
EXECUTE statement;
CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;
CREATE USER IF NOT EXISTS $account IDENTIFIED BY $password REQUIRE SSL;
ALTER USER $account IDENTIFIED BY $password REQUIRE SSL;
GRANT CREATE USER, PROCESS, REPLICATION CLIENT, SHOW_ROUTINE ON *.* TO $account WITH GRANT OPTION;
GRANT ALL ON \`$schema\`.* TO $account WITH GRANT OPTION;
GRANT SELECT ON performance_schema.* TO $account WITH GRANT OPTION;
UPDATE performance_schema.setup_instruments SET flags = 'controlled' WHERE name IN ('memory/innodb/memory', 'memory/sql/NET::buff', 'memory/sql/Row_data_memory::memory', 'memory/sql/String::value');
SQL
# What the probes log in with: as the server knows it, whatever becomes of the Secret.
cat >/run/accounts/client.cnf <<CNF
[client]
protocol=tcp
host=127.0.0.1
user=$user
password=$password
CNF
# In a folder of its own first: a first start that is interrupted begins anew. Until the statements above have given root
# a password, nobody can reach the server.
if [ ! -d /var/lib/mysql/data/mysql ]; then
  rm -rf /var/lib/mysql/new
  mysqld --no-defaults --initialize-insecure --datadir=/var/lib/mysql/new
  # One that is empty may go; whatever has something in it is not ours to delete, and stops this here.
  if [ -d /var/lib/mysql/data ]; then rmdir /var/lib/mysql/data; fi
  mv /var/lib/mysql/new /var/lib/mysql/data
fi
