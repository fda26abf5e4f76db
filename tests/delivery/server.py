"""An API server in memory, with a clock of its own by which its controllers work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from delivery.cluster import Manifest, RefusedError
from tests.delivery.objects import (
    CLUSTER_WIDE,
    COUNTED,
    Owner,
    Owners,
    Path,
    kind_of,
    normal,
    refusal,
    written,
)

START = datetime(2026, 11, 30, tzinfo=UTC)
# On a DaemonSet: how often its template was changed.
TEMPLATE = "deprecated.daemonset.template.generation"
# Seconds between two turns of the controllers.
TURN = 1.0
# Fields of metadata that whoever writes an object cannot change.
SERVERS = ("creationTimestamp", "deletionTimestamp", "generation", "resourceVersion", "uid")
Key = tuple[str, str, str]


class StepError(Exception):
    """A container has failed: its last words, its exit code, and the kubelet's reason."""

    def __init__(self, words: str, code: int = 1, reason: str = "Error") -> None:
        super().__init__(words)
        self.code, self.reason = code, reason


class SilentError(Exception):
    """What was asked of the API server got no answer: the text says where."""


def nothing(body: Manifest) -> None:
    """No change."""


@dataclass(frozen=True)
class Webhook:
    """Somebody else's, which is asked about each object of some kinds before it is stored.

    https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/

    Attributes:
        name: what errors call it.
        kinds: all where there are none.
        refusal: why it denies them, empty where it does not.
        silent: whether it gives no answer in time.
        change: what it makes of an object; nobody owns that.
    """

    name: str = "rules.example"
    kinds: frozenset[str] = frozenset()
    refusal: str = ""
    silent: bool = False
    change: Callable[[Manifest], None] = nothing

    def ask(self, body: Manifest) -> None:
        """Raises RefusedError or SilentError, or changes the object."""
        if self.kinds and body["kind"] not in self.kinds:
            return
        if self.silent:
            url = f"https://{self.name}:443/?timeout=10s"
            why = f'failed to call webhook: Post "{url}": context deadline exceeded'
            called = f'Internal error occurred: failed calling webhook "{self.name}": {why}'
            raise SilentError(f"Error from server (InternalError): {called}")
        if self.refusal:
            denied = f'admission webhook "{self.name}" denied the request: {self.refusal}'
            raise RefusedError(f"Error from server: {denied}")
        self.change(body)


class NotYetError(Exception):
    """A container waits for something, and goes on."""


@dataclass(frozen=True)
class Container:
    """A container that is about to run, as a function that does its work sees it."""

    server: Server
    pod: Manifest
    spec: Manifest

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    def variable(self, name: str) -> str:
        """The value of an environment variable; of fields only the namespace is known."""
        # As in a container, the last of a name counts.
        for entry in reversed(self.spec.get("env", [])):
            if entry["name"] == name:
                return self.namespace if "valueFrom" in entry else str(entry.get("value", ""))
        return ""


@dataclass(frozen=True)
class Step:
    """A container that works, and with what it will end; without a code it goes on."""

    name: str
    until: float
    code: int | None
    reason: str


@dataclass
class Life:
    """What the object of a pod does not show, in seconds of the clock.

    Attributes:
        born: when it was made.
        begun: when the first of its containers that are no initial ones began, None before.
        going: when it will have gone, None for one that stays.
        ended: when it succeeded or failed.
        again: when what crashed is started again.
        crashes: how often each container has.
        ends: exit code and reason of its last crash.
        codes: exit code and reason of each container that has ended.
        printed: of each container.
    """

    born: float
    begun: float | None = None
    going: float | None = None
    ended: float | None = None
    again: float = 0
    crashes: dict[str, int] = field(default_factory=dict)
    ends: dict[str, tuple[int, str]] = field(default_factory=dict)
    codes: dict[str, tuple[int, str]] = field(default_factory=dict)
    current: Step | None = None
    printed: dict[str, str] = field(default_factory=dict)


@dataclass
class Work:
    """What the object of a Job does not show: when it began and ended, and how many pods it had."""

    begun: float
    ended: float | None = None
    pods: int = 0


@dataclass(eq=False)
class Repeated:
    """An action that runs beside everything else."""

    action: Callable[[], bool]
    seconds: float
    at: float
    runs: bool = False


@dataclass
class Server:
    """Objects, the pods of workloads, and time.

    Attributes:
        control: one turn of the controllers.
        clock: seconds since its start.
        ready_after: seconds from the start of a container that serves until it is ready.
        step_seconds: how long a container runs that does its work and ends.
        grace: how long a pod takes to go.
        ill: what is wrong with the containers of an image, or of a name (kubelet.live).
        steps: what a container of some name does, and prints (StepError, NotYetError); without a
            function it does nothing.
        programs: what a command prints in a container of some name, given its pod and the words.
        printed: the log of a container of some name that serves.
        ingress_class: what a new Ingress that names none gets.
        webhooks: of whoever administers the cluster.
        nodes: that there are; those `cordoned` take no new pod.
        lost: when each of those that do not answer was lost.
        kinds, owned: the objects of each kind, and those of each owner by its uid.
        owners: whose the fields of each object are.
        templates: of each revision of a StatefulSet.
    """

    control: Callable[[Server], None]
    clock: float = 0
    ready_after: float = 3
    step_seconds: float = 2
    grace: float = 1
    ill: dict[str, str] = field(default_factory=dict)
    steps: dict[str, Callable[[Container], str]] = field(default_factory=dict)
    programs: dict[str, Callable[[Manifest, tuple[str, ...]], str]] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    ingress_class: str = "traefik"
    webhooks: list[Webhook] = field(default_factory=list)
    nodes: tuple[str, ...] = ("node",)
    cordoned: set[str] = field(default_factory=set)
    lost: dict[str, float] = field(default_factory=dict)
    objects: dict[Key, Manifest] = field(default_factory=dict)
    kinds: dict[str, dict[Key, Manifest]] = field(default_factory=dict)
    owned: dict[str, dict[Key, Manifest]] = field(default_factory=dict)
    owners: dict[Key, Owners] = field(default_factory=dict)
    lives: dict[str, Life] = field(default_factory=dict)
    works: dict[str, Work] = field(default_factory=dict)
    digests: dict[tuple[str, int], str] = field(default_factory=dict)
    templates: dict[str, Manifest] = field(default_factory=dict)
    repeated: list[Repeated] = field(default_factory=list)
    version: int = 0
    next_turn: float = TURN

    @property
    def moment(self) -> str:
        """The time of day."""
        return (START + timedelta(seconds=self.clock)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def advance(self, seconds: float) -> None:
        """Lets time pass, with all that happens meanwhile."""
        end = self.clock + seconds
        while self.clock < end:
            waiting = [repeated for repeated in self.repeated if not repeated.runs]
            moments = [end, self.next_turn, *(repeated.at for repeated in waiting)]
            self.clock = max(self.clock, min(moments))
            if self.clock >= self.next_turn:
                self.next_turn = self.clock + TURN
                self.control(self)
            for repeated in waiting:
                if self.clock >= repeated.at and repeated in self.repeated:
                    self._repeat(repeated)

    def _repeat(self, repeated: Repeated) -> None:
        repeated.runs = True
        if repeated.action():
            repeated.at, repeated.runs = self.clock + repeated.seconds, False
        elif repeated in self.repeated:
            self.repeated.remove(repeated)

    def of(self, kind: str, namespace: str = "") -> list[Manifest]:
        """The objects of a kind, by name; without a namespace those of all."""
        there = self.kinds.get(kind, {})
        everywhere = not namespace or kind in CLUSTER_WIDE
        return [there[key] for key in sorted(there) if everywhere or key[1] == namespace]

    def dependents(self, owner: Manifest, kind: str = "") -> list[Manifest]:
        """What an object owns."""
        uid = owner["metadata"]["uid"]
        return [
            body
            for key, body in self.owned.get(uid, {}).items()
            if (not kind or key[0] == kind) and uid in _owners(body)
        ]

    def write(self, body: Manifest, owner: Owner | None = None, paths: set[Path] | None = None) -> Manifest:
        """Stores an object as a whole, of which `owner` owns `paths` then, or else what they have changed.

        Raises:
            RefusedError: it is not valid, or changes what cannot change.
        """
        key, body = key_of(body), normal(body)
        before = self.objects.get(key)
        if reason := refusal(before, body):
            raise RefusedError(f'The {key[0]} "{key[2]}" is invalid: {reason}')
        owners = self.owners.get(key, {})
        # Of an object without owners none is noted but by an apply.
        if owner and (before is None or owners or owner[1] == "Apply"):
            owners = written(owners, before or {}, body, owner, paths)
        metadata = body["metadata"]
        if key[0] == "DaemonSet" and (before is None or before["spec"]["template"] != body["spec"]["template"]):
            annotations = metadata.setdefault("annotations", {})
            annotations[TEMPLATE] = str(int(annotations.get(TEMPLATE, 0)) + 1)
        if before is None:
            number = self.version + 1
            metadata |= {
                "uid": f"{number:08}-0000-4000-8000-000000000000",
                "creationTimestamp": self.moment,
            }
            if key[0] in COUNTED:
                metadata["generation"] = 1
            self._check_namespace(key)
            self.admit(body, new=True)
            if key[0] == "Pod":
                body.setdefault("status", {"phase": "Pending"})
                self.lives[metadata["uid"]] = Life(self.clock)
        else:
            old = before["metadata"]
            metadata |= {name: old[name] for name in SERVERS if name in old}
            if key[0] in COUNTED and "status" in before:
                body["status"] = before["status"]
            self.admit(body)
            if body == before:
                self.owners[key] = owners
                return before
            if key[0] in COUNTED and body["spec"] != before["spec"]:
                metadata["generation"] += 1
        self.owners[key] = owners
        self._keep(key, body)
        return body

    def _check_namespace(self, key: Key) -> None:
        """Raises RefusedError where nothing new is taken, as somebody deletes the namespace."""
        place = self.objects.get(("Namespace", "", key[1]), {"metadata": {}})
        if key[0] != "Event" and "deletionTimestamp" in place["metadata"]:
            what = f'{key[0].lower()}s "{key[2]}" is forbidden'
            why = f"unable to create new content in namespace {key[1]} because it is being terminated"
            raise RefusedError(f"Error from server (Forbidden): {what}: {why}")

    def admit(self, body: Manifest, *, new: bool = False) -> None:
        """What admission makes of an object that is about to be stored."""
        if new and body["kind"] == "Ingress":
            body["spec"].setdefault("ingressClassName", self.ingress_class)
        for webhook in self.webhooks if body["kind"] != "Event" else []:
            webhook.ask(body)

    def _keep(self, key: Key, body: Manifest) -> None:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = self.kinds.setdefault(key[0], {})[key] = body
        for uid in _owners(body):
            self.owned.setdefault(uid, {})[key] = body

    def set_status(self, body: Manifest, status: Manifest) -> None:
        """What a controller says of an object."""
        if body.get("status") != status:
            body["status"] = status
            self._keep(key_of(body), body)

    def annotate(self, body: Manifest, name: str, value: str) -> None:
        """What a controller notes on an object; no new generation."""
        annotations = body["metadata"].setdefault("annotations", {})
        if annotations.get(name) != value:
            annotations[name] = value
            self._keep(key_of(body), body)

    def event(self, about: Manifest, reason: str, message: str, kind: str = "Warning") -> None:
        """Writes an event about an object."""
        metadata = about["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{reason.lower()}",
                "namespace": metadata["namespace"],
            },
            "involvedObject": {
                "kind": about["kind"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "lastTimestamp": self.moment,
        }
        self.write(body)

    def doom(self, body: Manifest) -> None:
        """Marks an object as one that is going, and what it owns, which goes first."""
        metadata = body["metadata"]
        if "deletionTimestamp" in metadata:
            return
        metadata["deletionTimestamp"] = self.moment
        if life := self.lives.get(metadata["uid"]):
            life.going = self.clock + (self.grace if life.ended is None else 0)
            # Nobody says that its containers have ended.
            if life.ended is None and body["spec"].get("nodeName") in self.lost:
                life.going = float("inf")
        self._keep(key_of(body), body)
        inside = [
            other for key, other in self.objects.items() if body["kind"] == "Namespace" and key[1] == metadata["name"]
        ]
        for other in [*inside, *self.dependents(body)]:
            self.doom(other)

    def lose(self, node: str) -> None:
        """A node does not answer any more."""
        self.lost.setdefault(node, self.clock)

    def find(self, node: str) -> None:
        """A node answers again, and ends the pods that were deleted meanwhile."""
        self.lost.pop(node, None)
        for pod in self.of("Pod"):
            life = self.lives[pod["metadata"]["uid"]]
            if pod["spec"].get("nodeName") == node and life.going is not None:
                life.going = min(life.going, self.clock + self.grace)

    def remove(self, body: Manifest) -> None:
        """Takes an object away; what it owned is taken away later, by the controllers."""
        key = key_of(body)
        del self.objects[key], self.kinds[key[0]][key], self.owners[key]
        for uid in _owners(body):
            self.owned[uid].pop(key, None)
        self.lives.pop(body["metadata"]["uid"], None)


def _owners(body: Manifest) -> list[str]:
    return [reference["uid"] for reference in body["metadata"].get("ownerReferences", [])]


def key_of(body: Manifest) -> Key:
    """Under what an object is kept."""
    kind = kind_of(body["kind"])
    namespace = "" if kind in CLUSTER_WIDE else body["metadata"].get("namespace", "default")
    return kind, namespace, body["metadata"]["name"]


def key_named(name: str, namespace: str) -> Key:
    """The same of `deployment/web`."""
    word, _, rest = name.partition("/")
    kind = kind_of(word)
    return kind, "" if kind in CLUSTER_WIDE else namespace, rest
