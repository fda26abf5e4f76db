#!/bin/sh
# Usage: load.sh FILE, a dump that replaces the schema DB_NAME of the server DB_HOST. A schema that has tables is left as
# it is, unless OVERWRITE is the name of this namespace, or what is there is a part of a load like this one. The table
# `restoring` says so: it is there as long as not all was loaded and compared, and with it nothing counts as a backup.
set -eu
# shellcheck source=base/backup/login.sh
. "${0%/*}/login.sh"
query() {
  # Two options, or one.
  # shellcheck disable=SC2086
  mysql --no-defaults --protocol=tcp --host="$DB_HOST" --user="$user" $tls --batch \
    --skip-column-names --default-character-set=utf8mb4 --max-allowed-packet=64M "$@"
}
tables=$(query --execute="SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '$DB_NAME'")
part=$(query --execute="SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '$DB_NAME'
  AND table_name = 'restoring'")
if [ "$tables" != 0 ] && [ "$part" = 0 ] && [ "${OVERWRITE:-}" != "$NAMESPACE" ]; then
  echo "load.sh: $DB_NAME on $DB_HOST has $tables tables; nothing was changed" >&2
  exit 1
fi
query --execute="DROP DATABASE IF EXISTS \`$DB_NAME\`; CREATE DATABASE \`$DB_NAME\` CHARACTER SET utf8mb4;
  CREATE TABLE \`$DB_NAME\`.restoring (id INT PRIMARY KEY)"
query --database="$DB_NAME" <"$1"
# What was loaded is dumped once more, and the volume has no room for both.
rm "$1"
