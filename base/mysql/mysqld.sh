#!/bin/sh
# Usage: mysqld.sh [OPTION...]: starts the server, with the buffer pool that the container's
# MEMORY_LIMIT (bytes) has room for: 512 MiB are the server's own, as server.cnf bounds them, and a
# quarter stays free.
set -eu
mib=$((${MEMORY_LIMIT:?is the memory limit of this container in bytes} / 1048576))
if [ "$mib" -lt 854 ]; then
  echo "mysqld.sh: a memory limit of $mib MiB leaves less than 128 MiB to the buffer pool;" \
    "set resources.limits.memory of this container to 854Mi or more" >&2
  exit 1
fi
# With more arenas than these, glibc keeps what others have freed: 964 MiB where 720 are enough.
export MALLOC_ARENA_MAX=2
exec docker-entrypoint.sh mysqld --innodb-buffer-pool-size=$((MEMORY_LIMIT * 3 / 4 - 536870912)) "$@"
