#!/bin/sh
# Usage: accounts.sh [passwords|certificate]
# Before every start of the server: writes the statements that it runs before it lets anybody in (init_file), and makes its
# data where there is none. The statements make the account `accounts`, which makes the others; nobody but this pod is
# root. The rows that are being read and written count for global_connection_memory_limit, which leaves them out by
# default. One statement a line, as init_file wants it.
# With a word, beside the running server: brings it the passwords of these two, or the certificate, that the Secret has got
# since. /run/accounts has what the server knows, whatever becomes of the Secret.
set -eu
umask 077
known=/run/accounts
new=$known/new
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
mkdir -p $new
for key in rootpassword accounts-user accounts-password ca.crt tls.crt tls.key; do
  cat "/run/secrets/db-credentials/$key" >"$new/$key"
done
cat >$new/accounts.sql <<SQL
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
cat >$new/client.cnf <<CNF
[client]
protocol=tcp
host=127.0.0.1
user=$user
password=$password
CNF
cat >$new/root.cnf <<CNF
[client]
socket=/var/run/mysqld/mysqld.sock
user=root
password=$root
CNF
client() { # FOLDER [OPTION...]: asks the server as the root whom the folder knows
  folder=$1
  shift
  mysql --defaults-file="$folder/root.cnf" --default-character-set=utf8mb4 "$@"
}
case ${1:-} in
  passwords)
    # A run that was interrupted may have told the server the new ones, and nobody else.
    login=$known
    if ! client $known --execute="DO 0" 2>/dev/null; then login=$new; fi
    client $login <$new/accounts.sql
    rm $new/*.crt $new/tls.key
    mv $new/* $known/
    exit
    ;;
  certificate)
    for key in ca.crt tls.crt tls.key; do cp $known/$key $known/$key.before; mv $new/$key $known/; done
    if ! client $known --execute="ALTER INSTANCE RELOAD TLS"; then
      for key in ca.crt tls.crt tls.key; do mv $known/$key.before $known/$key; done
      exit 1
    fi
    rm $known/*.before
    exit
    ;;
esac
mv $new/* $known/
rmdir $new
# In a folder of its own first: a first start that is interrupted begins anew. Until the statements above have given root
# a password, nobody can reach the server.
if [ ! -d /var/lib/mysql/data/mysql ]; then
  rm -rf /var/lib/mysql/new
  mysqld --no-defaults --initialize-insecure --datadir=/var/lib/mysql/new
  # One that is empty may go; whatever has something in it is not ours to delete, and stops this here.
  if [ -d /var/lib/mysql/data ]; then rmdir /var/lib/mysql/data; fi
  mv /var/lib/mysql/new /var/lib/mysql/data
fi
