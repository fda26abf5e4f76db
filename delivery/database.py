"""What the live database of an environment holds, asked from inside its own pod."""

from __future__ import annotations

from dataclasses import dataclass

from delivery import diagnosis, workloads
from delivery.cluster import Cluster, going
from delivery.render import COMPONENT
from delivery.shell import DeliveryError
from delivery.sight import Sight

# How many tables the schema has, whether a restore into it has not ended (base/backup/load.sh),
# when its first table was made, and how many bytes it takes; the account is one that the pod knows.
QUERY = """set -eu
set -- --defaults-file=/run/accounts/client.cnf
# A pod of v0.1.0 has no such file, and knows the Secret alone.
if [ ! -f /run/accounts/client.cnf ]; then
MYSQL_PWD=$(cat /run/secrets/db-credentials/accounts-password)
export MYSQL_PWD
user=$(cat /run/secrets/db-credentials/accounts-user)
set -- --protocol=tcp --host=127.0.0.1 --user="$user"
fi
mysql "$@" --batch --skip-column-names --execute \
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


def read(cluster: Cluster, wait: float = 0) -> State | None:
    """The state of the live database; None where the environment has no pod of one.

    Raises:
        DeliveryError: it has, and the database does not answer, not within `wait` seconds either.
    """
    pods = cluster.list("Pod", selector=f"{COMPONENT}=database")
    if away := [*diagnosis.nodes(list(filter(workloads.lost, pods)))]:
        raise DeliveryError("\n".join([f"the database of {cluster.namespace} is there and cannot be asked", *away]))
    places = [workloads.first_container(pod) for pod in pods if not going(pod)]
    if not places:
        return None
    sight = Sight(cluster)
    deadline = sight.now() + wait
    while True:
        try:
            answer = sight.exec(*places[0], "sh", "-c", QUERY)
        except DeliveryError as error:
            if sight.now() > deadline:
                raise DeliveryError(
                    f"the database of {cluster.namespace} is there and does not answer "
                    f"({str(error).splitlines()[-1]}); one that never will is given up by deleting "
                    "its StatefulSet and its claim"
                ) from error
            cluster.pause(2)
        else:
            return _state(answer)


def _state(answer: str) -> State:
    try:
        tables, partial, made, size, _, free = answer.split()
        return State(int(tables), partial != "0", made, int(size), int(free))
    except ValueError:
        raise DeliveryError(f"the database's pod says what is no state of it: {answer!r:.200}") from None
