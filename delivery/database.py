"""What the live database of an environment holds, asked from inside its own pod."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from delivery.shell import DeliveryError, kubectl

# How many tables the schema has, whether a restore into it has not ended (base/backup/load.sh),
# when its first table was made, and how many bytes it takes; the account is one that the pod knows.
QUERY = """set -eu
user=$(cat /run/secrets/db-credentials/accounts-user)
MYSQL_PWD=$(cat /run/secrets/db-credentials/accounts-password)
export MYSQL_PWD
mysql --protocol=tcp --host=127.0.0.1 --user="$user" --batch --skip-column-names --execute \
"SET SESSION information_schema_stats_expiry = 0; \
SELECT COUNT(*), COALESCE(SUM(table_name = 'restoring'), 0), COALESCE(MIN(create_time), 0) + 0, \
COALESCE(SUM(data_length + index_length), 0) \
FROM information_schema.tables WHERE table_schema = '$MYSQL_DATABASE'"
df --output=avail --block-size=1 /var/lib/mysql"""


@dataclass(frozen=True)
class State:
    """What the schema is.

    Attributes:
        tables: how many; 0 for a schema that is empty or not there.
        partial: a restore into it has not ended, so it holds a part of a backup or one that was not compared.
        made: when its oldest table was made, by which a schema is told from the one before it.
        size: its bytes.
        free: the bytes that are left on its volume.
    """

    tables: int
    partial: bool
    made: str
    size: int
    free: int

    @property
    def whole(self) -> bool:
        return self.tables > 0 and not self.partial


def read(namespace: str, wait: float = 0) -> State | None:
    """The state of the live database; None where the environment has no pod of one.

    Raises:
        DeliveryError: it has, and the database does not answer, not within `wait` seconds either.
    """
    selector = "app.kubernetes.io/component=database"
    answer = kubectl("-n", namespace, "get", "pods", "-l", selector, "-o", "json")
    metadata = [item["metadata"] for item in json.loads(answer)["items"]]
    names = [each["name"] for each in metadata if not each.get("deletionTimestamp")]
    if not names:
        return None
    deadline = time.monotonic() + wait
    while True:
        try:
            answer = kubectl("-n", namespace, "exec", names[0], "-c", "mysql", "--", "sh", "-c", QUERY)
        except DeliveryError as error:
            if time.monotonic() > deadline:
                reason = str(error).splitlines()[-1]
                raise DeliveryError(
                    f"the database of {namespace} is there and does not answer ({reason}); one that "
                    "never will is given up by deleting its StatefulSet and its claim"
                ) from error
            time.sleep(2)
        else:
            tables, partial, made, size, _, free = answer.split()
            return State(int(tables), partial != "0", made, int(size), int(free))
