"""A scripted database with its backups: what the steps of Jobs do to it, and what it answers."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

from delivery.cluster import Manifest
from delivery.database import QUERY
from delivery.render import COMPONENT
from delivery.server import CERTIFICATE, KNOWN, MOUNTED, PASSWORDS, READ, SCRIPT
from delivery.shell import DeliveryError
from tests.delivery.server import Container, NotYetError, Server, StepError

BEFORE, BACKUP = "what was there", "20261101T000000Z"
NAMESPACE = "school-scheduler-prod"
ROTATED = ("app-password", "backup-password", "exporter-password", "migration-password")


@dataclass
class Database:
    """One schema, and a store that outlives it.

    Attributes:
        data: what the schema holds; empty for nothing, or nothing that can be used.
        partial: whether a restore into it has not ended.
        made: grows with each schema that takes the place of another.
        store: of each backup, NAMESPACE/NAME, what it holds.
        kept: how many backups of a namespace a run that prunes leaves.
        broken: the steps that fail, and the words that they fail with.
        passwords: of each account those that the server takes, two at most.
        known: what the server goes by of root, `accounts` and the certificate.
        keeps: whether its pod keeps a copy of that, as those of older releases do not.
        scratch: of each pod of a Job, what its steps hand on.
    """

    data: str = BEFORE
    partial: bool = False
    made: int = 1
    store: dict[str, str] = field(default_factory=lambda: {f"{NAMESPACE}/{BACKUP}": "of the backup"})
    kept: int = 1000
    broken: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, list[str]] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    keeps: bool = True
    scratch: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return bool(self.data) and not self.partial

    def plug(self, server: Server) -> None:
        """Lets the containers of a server's pods do what they do to this database."""
        steps = (
            self.accounts,
            self.compare,
            self.dump,
            self.fetch,
            self.load,
            self.redump,
            self.save,
        )
        server.steps |= {step.__name__: step for step in steps}
        server.programs["mysql"] = lambda pod, command: self.answer(server, pod, command)

    def answer(self, server: Server, pod: Manifest, command: tuple[str, ...]) -> str:
        """What a command of the delivery prints in the database's own pod."""
        mounted = mounted_of(server, pod["metadata"]["namespace"])
        match command:
            case ("sh", "-c", script, folder) if script == READ and folder in (KNOWN, MOUNTED):
                there = mounted if folder == MOUNTED else self.known if self.keeps else {}
                return "".join(f"{key} {base64.b64encode(text.encode()).decode()}\n" for key, text in there.items())
            case ("sh", script, "passwords" | "certificate" as word) if script == SCRIPT:
                told = PASSWORDS if word == "passwords" else CERTIFICATE
                self.known |= {key: mounted[key] for key in told}
                return ""
            case ("sh", "-c", script) if script == QUERY:
                pass
            case _:
                raise DeliveryError("command terminated with exit code 127")
        tables = 5 if self.data or self.partial else 0
        return f"{tables}\t{int(self.partial)}\t{self.made}\t1000\n   Avail\n1000000\n"

    def accounts(self, container: Container) -> str:
        """Brings the Secret's passwords to the server; with --forget they are the only ones."""
        if container.pod["metadata"]["labels"].get(COMPONENT) == "database":
            # It makes the accounts of a new volume.
            self.known = mounted_of(container.server, container.namespace)
            return ""
        try:
            self._connect(container)
        except StepError:
            if any(word.startswith("--wait") for word in container.spec["args"]):
                raise NotYetError from None
            raise
        secret = container.server.objects.get(("Secret", container.namespace, "db-credentials"))
        if secret is None:
            raise StepError("the Secret lacks accounts-user")
        if mounted_of(container.server, container.namespace).get("accounts-password") != self.known.get(
            "accounts-password"
        ):
            raise NotYetError
        for account in ROTATED:
            try:
                password = base64.b64decode(secret["data"].get(account, "")).decode()
            except ValueError:
                raise StepError(f"{account} is no text") from None
            known = self.passwords.setdefault(account, [])
            if password not in known:
                known.append(password)
            if len(known) > 2:
                known.pop()
                raise StepError(f"{account}: the account has two passwords already")
            if "--forget" in container.spec["args"]:
                known[:] = [password]
        return ""

    def fetch(self, container: Container) -> str:
        folder = f"{container.variable('BACKUP_ENVIRONMENT')}/"
        known = sorted((name for name in self.store if name.startswith(folder)), reverse=True)
        self._check("fetch")
        if container.spec.get("args") == ["list"]:
            return "".join(json.dumps({"backup": name, "bytes": 10}) + "\n" for name in known)
        wanted = container.variable("BACKUP_NAME")
        name = known[0] if wanted == "newest" and known else folder + wanted
        if name not in self.store:
            raise failure(f"there is no backup {wanted}")
        self.scratch[pod_of(container)] = self.store[name]
        return json.dumps({"backup": name, "bytes": 10, "revision": None}) + "\n"

    def load(self, container: Container) -> str:
        self._connect(container)
        if self.whole and container.variable("OVERWRITE") != container.namespace:
            raise StepError("load.sh: school_schedule on mysql has 5 tables; nothing was changed")
        self.data, self.partial, self.made = "", True, self.made + 1
        self._check("load")
        return ""

    def redump(self, container: Container) -> str:
        self._connect(container)
        self._check("redump")
        return ""

    def compare(self, container: Container) -> str:
        self._connect(container)
        self._check("compare")
        self.data, self.partial = self.scratch[pod_of(container)], False
        return ""

    def dump(self, container: Container) -> str:
        self._connect(container)
        self._check("dump")
        self.scratch[pod_of(container)] = self.data if self.whole else ""
        return ""

    def save(self, container: Container) -> str:
        self._check("save")
        data = self.scratch[pod_of(container)]
        if not data:
            raise failure("a restore into this database has not ended: a part of it would be no backup")
        folder = f"{container.variable('BACKUP_ENVIRONMENT')}/"
        name = folder + container.server.moment.replace("-", "").replace(":", "")
        self.store[name] = data
        if container.variable("PRUNE") == "yes":
            own = sorted(other for other in self.store if other.startswith(folder))
            for other in own[: -self.kept]:
                del self.store[other]
        return json.dumps({"backup": name, "bytes": 10}) + "\n"

    def _check(self, step: str) -> None:
        if step in self.broken:
            raise failure(self.broken[step])

    def _connect(self, container: Container) -> None:
        pods = container.server.of("Pod", container.namespace)
        if not any(map(_answers, pods)):
            raise StepError("ERROR 2003 (HY000): Can't connect to MySQL server on 'mysql:3306'")


def _answers(pod: Manifest) -> bool:
    ready = {"type": "Ready", "status": "True"} in pod["status"].get("conditions", [])
    component = pod["metadata"].get("labels", {}).get(COMPONENT)
    return ready and "deletionTimestamp" not in pod["metadata"] and component == "database"


def failure(message: str) -> StepError:
    """As a program of ours says it."""
    return StepError(json.dumps({"level": "ERROR", "message": message}))


def mounted_of(server: Server, namespace: str) -> dict[str, str]:
    """What the database's pod has of the Secret."""
    data = server.objects.get(("Secret", namespace, "db-credentials"), {}).get("data", {})
    return {key: base64.b64decode(data[key]).decode() for key in (*PASSWORDS, *CERTIFICATE) if key in data}


def pod_of(container: Container) -> str:
    return str(container.pod["metadata"]["name"])
