"""What the database's running server knows of Secret `db-credentials`, and how it learns the rest.

Its pod keeps a copy in /run/accounts (base/mysql/accounts.sh), so a Secret that is changed or
deleted by hand takes nothing from it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from delivery import workloads
from delivery.cluster import Cluster
from delivery.render import COMPONENT
from delivery.shell import DeliveryError, say
from delivery.sight import Sight

# Of which `accounts.sh passwords` and `accounts.sh certificate` tell the server.
PASSWORDS = ("rootpassword", "accounts-user", "accounts-password")
CERTIFICATE = ("ca.crt", "tls.crt", "tls.key")
KNOWN, MOUNTED = "/run/accounts", "/run/secrets/db-credentials"
# Prints each file of a folder that is there, with its name; pods of older releases have none.
READ = f"""cd "$0"
for key in {" ".join((*PASSWORDS, *CERTIFICATE))}; do
if [ -f "$key" ]; then echo "$key $(base64 --wrap=0 "$key")"; fi
done"""
SCRIPT = "/etc/mysql/conf.d/accounts.sh"
# Seconds in which the kubelet brings a change of a Secret to a pod, at its slowest.
ARRIVAL = 180
# A pod and one of its containers.
Place = tuple[str, str]


def known(cluster: Cluster) -> dict[str, str]:
    """What the server goes by; nothing where none runs, or one of a release that kept no copy."""
    place = _place(cluster)
    return _read(cluster, place, KNOWN) if place else {}


def answers(cluster: Cluster) -> bool:
    """Whether a server answers, be it one that keeps no copy."""
    return _place(cluster) is not None


def learn(cluster: Cluster, wanted: Mapping[str, str], *, certificate: bool = False) -> None:
    """Has the server go by a Secret's values from now on, without a restart.

    Passwords always. The certificate only if asked to, or if whoever has the Secret's authority
    would refuse the server's: clients that began before have to know the new authority first.

    Raises:
        DeliveryError: the pod does not get the Secret, or the server refuses what is in it.
    """
    place = _place(cluster)
    there = _read(cluster, place, KNOWN) if place else {}
    passwords = _differ(there, wanted, PASSWORDS)
    certificate = (certificate or _refused(there, wanted)) and _differ(there, wanted, CERTIFICATE)
    words = [word for word, differs in (("passwords", passwords), ("certificate", certificate)) if differs]
    if place is None or not there or not words:
        return
    say(f"the database takes up {' and '.join(words)} of the Secret")
    sight = Sight(cluster)
    deadline = sight.now() + ARRIVAL
    while _differ(_read(sight, place, MOUNTED), wanted, (*PASSWORDS, *CERTIFICATE)):
        if sight.now() > deadline:
            raise DeliveryError(f"{place[0]} has not got the Secret as it is now within {ARRIVAL} s")
        cluster.pause(2)
    for word in words:
        cluster.exec(*place, "sh", SCRIPT, word)


def _refused(there: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether the Secret's authorities lack the server's own."""
    return there.get("ca.crt", "").strip() not in wanted.get("ca.crt", "")


def _differ(there: Mapping[str, str], wanted: Mapping[str, str], keys: tuple[str, ...]) -> bool:
    return any(there.get(key, "").rstrip("\n") != wanted.get(key, "").rstrip("\n") for key in keys)


def _place(cluster: Cluster) -> Place | None:
    """Where a server answers, if one does."""
    pods = cluster.list("Pod", selector=f"{COMPONENT}=database")
    return next((workloads.first_container(pod) for pod in pods if workloads.ready(pod)), None)


def _read(cluster: Cluster | Sight, place: Place, folder: str) -> dict[str, str]:
    """The files of a folder of a container; the values pass by standard output and show nowhere."""
    lines = cluster.exec(*place, "sh", "-c", READ, folder).splitlines()
    try:
        parts = (line.partition(" ") for line in lines)
        return {key: base64.b64decode(value).decode() for key, _, value in parts}
    except ValueError:
        cut = f"the answer of {place[0]} was cut off"
        raise DeliveryError(f"{cut}; type the same command again") from None
