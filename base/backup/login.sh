#!/bin/sh
# Sourced by the scripts here: `user`, MYSQL_PWD and `tls`, for a client of the server DB_HOST. An empty file is a missing
# key, and a connection that should be verified is.
# shellcheck disable=SC2034
credentials=/run/secrets/db-credentials
value() { # FILE: what is in it
  if ! text=$(cat "$credentials/$1" 2>/dev/null) || [ -z "$text" ]; then
    echo "${0##*/}: no $1: Secret db-credentials lacks a key of the account backup, in a restore of migration;" \
      "Job credentials or \`make credentials ENV=...\` adds it" >&2
    exit 1
  fi
  printf %s "$text"
}
user=$(value db_user)
MYSQL_PWD=$(value db_password)
export MYSQL_PWD
tls=--ssl-mode=REQUIRED
if [ -n "${DB_TLS_CA:-}" ]; then
  value "${DB_TLS_CA##*/}" >/dev/null
  tls="--ssl-mode=VERIFY_IDENTITY --ssl-ca=$DB_TLS_CA"
fi
