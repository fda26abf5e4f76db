#!/bin/sh
# Usage: dump.sh FILE [TABLE]; FILE gets the schema DB_NAME of the server DB_HOST, but for one TABLE.
# mysqldump writes the file itself: in a pipe its failure could pass for a short dump.
set -eu
# shellcheck source=base/backup/login.sh
. "${0%/*}/login.sh"
# The time of this file is the moment that the dump is of.
: >/scratch/dumped
status=0
# One row a statement, in the order of the keys and without a date: equal databases give equal dumps. A snapshot of all
# tables at one moment, and nothing about the server that they came from (GTIDs, tablespaces, masking policies).
# shellcheck disable=SC2086
mysqldump --no-defaults --protocol=tcp --host="$DB_HOST" --user="$user" $tls \
  --max-allowed-packet=64M --single-transaction --quick --routines --triggers --events --hex-blob --default-character-set=utf8mb4 \
  --set-gtid-purged=OFF --no-tablespaces --loose-skip-masking-policies \
  --skip-extended-insert --order-by-primary --skip-dump-date \
  ${2:+--ignore-table="$DB_NAME.$2"} --result-file="$1" "$DB_NAME" 2>/scratch/complaints || status=$?
complaints=$(cat /scratch/complaints)
echo "$complaints" >&2
# Of some errors mysqldump only speaks, and ends as if nothing had been.
case $complaints in *[Ee]rror*) exit 1 ;; esac
[ "$status" = 0 ] || exit "$status"
# In seconds of the epoch, since when there is something to back up.
# shellcheck disable=SC2086
mysql --no-defaults --protocol=tcp --host="$DB_HOST" --user="$user" $tls --batch --skip-column-names --execute="
  SELECT UNIX_TIMESTAMP(MIN(create_time)) FROM information_schema.tables WHERE table_schema = '$DB_NAME'" >/scratch/since
