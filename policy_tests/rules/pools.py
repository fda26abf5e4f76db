"""MySQL's buffer pool, which fills up over days, and the memory limit of its container."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping

from policy_tests.manifests import Container, Finding, ManifestSet, dig, items, mapping
from policy_tests.quantity import quantity
from policy_tests.rule import rule
from policy_tests.rules.containers import amounts

# A server at its busiest beside its pool, measured (docs/database.md), and the pool of one that is told nothing.
SERVER, DEFAULT = 512 * 2**20, 128 * 2**20
SERVERS = re.compile(r"(?:.*/)?mysql(?:-server)?[:@].*|(?:.*/)?mysql(?:-server)?")
# In a command, a script or an option file: a number, or a shell's arithmetic.
POOL = re.compile(
    r"^[^#\n]*?\binnodb[-_]buffer[-_]pool[-_]size\s*=\s*(?:\$\(\((.+?)\)\)(?= |$|\")|(\d+)([KMGT]?))", re.M | re.I
)
OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
}


@rule(
    "containers-database-pool-within-memory",
    "high",
    why="A buffer pool fills up as data is read, and then the kernel kills the database, again and again.",
    fix="leave 512 MiB to the server and a quarter of the limit to nobody, as base/mysql/mysqld.sh does.",
    source="MySQL: how MySQL uses memory; docs/database.md; no checker has it",
)
def pool_within_memory(manifests: ManifestSet) -> Iterator[Finding]:
    for container in filter(_serves, manifests.containers):
        of_the_pod = mapping(dig(container.pod.spec, "resources.limits")).get("memory")
        value = amounts(container, "limits").get("memory", of_the_pod)
        limit = quantity(value)
        if limit is None:
            yield container.finding("resources.limits.memory", value, "is no bound for the buffer pool to fit into")
            continue
        pools = [_pool(match, container, int(limit)) for match in POOL.finditer(_settings(manifests, container))]
        if None in pools:
            yield container.finding("command", container.body.get("command"), "sizes the buffer pool in unknown ways")
        most = max([DEFAULT, *(pool for pool in pools if pool is not None)])
        if most > limit * 3 / 4 - SERVER:
            yield container.finding("resources.limits.memory", value, f"is too little for a pool of {most >> 20} MiB")


def _serves(container: Container) -> bool:
    """Whether the container runs the server, not one of the client's programs."""
    told = [*items(container.body.get("command")), *items(container.body.get("args"))]
    image = str(container.body.get("image"))
    return bool(SERVERS.fullmatch(image)) and (
        not container.body.get("command") or "mysqld" in " ".join(map(str, told))
    )


def _settings(manifests: ManifestSet, container: Container) -> str:
    """The lines that the server may be started by: its command, and the ConfigMaps that the container mounts."""
    lines = [*items(container.body.get("command")), *items(container.body.get("args"))]
    mounted = {mount.get("name") for mount in container.mounts}
    for volume in container.pod.volumes:
        name = dig(volume, "configMap.name")
        found = manifests.find("ConfigMap", name, container.pod.owner.namespace)
        if found and volume.get("name") in mounted:
            lines += mapping(found.body.get("data")).values()
    return "\n".join(map(str, lines))


def _pool(match: re.Match[str], container: Container, limit: int) -> int | None:
    """The size in bytes; None where the arithmetic takes in what is not known here."""
    arithmetic, number, unit = match.groups()
    if not arithmetic:
        return int(number) << 10 * " KMGT".index(unit.upper() or " ")
    entries = [mapping(entry) for entry in items(container.body.get("env"))]
    limits = {e["name"] for e in entries if dig(e, "valueFrom.resourceFieldRef.resource") == "limits.memory"}
    try:
        return _value(ast.parse(arithmetic.strip(), mode="eval").body, dict.fromkeys(limits, limit))
    except (SyntaxError, LookupError, ZeroDivisionError):
        return None


def _value(node: ast.expr, names: Mapping[str, int]) -> int:
    match node:
        case ast.BinOp():
            return OPERATORS[type(node.op)](_value(node.left, names), _value(node.right, names))
        case ast.Name():
            return names[node.id]
        case ast.Constant(value=int(number)):
            return number
    raise LookupError(ast.dump(node))
