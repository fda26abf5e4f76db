"""A Cluster in memory that does what a real one does, and fails at the moments that a test chooses.

That both do the same is what tests/delivery/contract shows.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import yaml

from delivery import unnamed
from delivery.cluster import ConflictError, Manifest, MissingError, RefusedError, UnavailableError, lasting
from delivery.fixed import refused
from delivery.shell import DeliveryError
from tests.delivery import controllers
from tests.delivery.objects import (
    APPLIED,
    applied,
    copied,
    kind_of,
    managed_fields,
    matches,
    merged,
    migrated,
    normal,
    owners_of,
    refusal,
)
from tests.delivery.server import Key, Repeated, Server, SilentError, key_named, key_of

Answer = TypeVar("Answer")
Item = TypeVar("Item")
# Seconds before a lost question is asked again.
AGAIN = 2


class LostError(SilentError):
    """A question or its answer got lost, and it is asked again as long as the patience lasts."""


class Killed(BaseException):
    """The tool has got SIGKILL: nothing of it runs any more."""


def nothing(cluster: FakeCluster, operation: str, name: str) -> None:
    """No fault."""


@dataclass
class Faults:
    """What goes wrong between a tool and the API server.

    Attributes:
        before, after: are called around each request, with the names of the method and of the
            object. Where one raises LostError the same is asked again, where it raises
            UnavailableError it is not; KeyboardInterrupt and Killed are what they are.
        calls: how many requests there were.
        latency: seconds that a request takes.
        away_until: when an API server that does not answer will do so.
        dead: whether the tool was killed; every request of it raises Killed.
    """

    before: Callable[[FakeCluster, str, str], None] = nothing
    after: Callable[[FakeCluster, str, str], None] = nothing
    calls: int = 0
    latency: float = 0.05
    away_until: float = 0
    dead: bool = False


@dataclass(frozen=True)
class FakeCluster:
    """One namespace, asked with somebody's credentials; see Cluster for its methods.

    Attributes:
        server: what all that come of `within` and `patient` share, as they do the faults.
        forbidden: verb and kind of what these credentials have no right to, such as
            `("patch", "Secret")`, `("create", "pods/exec")` or `("get", "pods/log")`.
    """

    namespace: str = "default"
    server: Server = field(default_factory=lambda: Server(controllers.run))
    faults: Faults = field(default_factory=Faults)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    patience: float = 60
    timeout: float = 600
    check: Callable[[], None] = lambda: None

    def within(self, namespace: str) -> FakeCluster:
        return replace(self, namespace=namespace)

    def patient(self, seconds: float, timeout: float = 600) -> FakeCluster:
        return replace(self, patience=seconds, timeout=timeout)

    def guarded(self, check: Callable[[], None]) -> FakeCluster:
        return replace(self, check=check)

    def get(self, name: str) -> Manifest | None:
        def ask() -> Manifest | None:
            key = key_named(name, self.namespace)
            with self._request("get", name, ("get", key[0])):
                found = self.server.objects.get(key)
                return copied(found) if found else None

        return self._ask(ask)

    def list(self, *kinds: str, selector: str = "", managers: bool = False) -> list[Manifest]:
        def ask() -> list[Manifest]:
            found = []
            for kind in map(kind_of, kinds):
                with self._request("list", kind, ("list", kind)):
                    there = self.server.of(kind, self.namespace)
                    found += [copied(body) for body in there if matches(selector, body["metadata"].get("labels", {}))]
            for body in found if managers else []:
                body["metadata"]["managedFields"] = managed_fields(body, self.server.owners.get(key_of(body), {}))
            return found

        return self._ask(ask)

    def apply(self, objects: Iterable[Manifest]) -> None:
        objects = list(objects)
        self._send(objects, lambda: self._all(objects, self._apply), self.check)

    def _apply(self, body: Manifest) -> None:
        key = key_of(body)
        rights = ["patch"] if key in self.server.objects else ["patch", "create"]
        with self._request("apply", _name(key), *((verb, key[0]) for verb in rights)):
            there = self.server.objects.get(key, {})
            self._check_place(key)
            owners = migrated(self.server.owners.get(key, {}), there)
            after, paths = applied(there, owners, body)
            if there:
                self.server.owners[key] = owners
            self.server.write(after, APPLIED, paths)

    def difference(self, objects: Iterable[Manifest]) -> str:
        objects = list(objects)

        def ask() -> str:
            return "".join(self._difference(body) for body in objects)

        return self._send(objects, ask)

    def _difference(self, body: Manifest) -> str:
        key = key_of(body)
        name = _name(key)
        with self._request("difference", name, ("get", key[0]), ("patch", key[0])):
            there, after = self._foreseen(key, body)
            if there == after:
                return ""
            before, now = map(_lines, _masked(there, after))
            return "".join(difflib.unified_diff(before, now, f"LIVE/{name}", f"MERGED/{name}"))

    def preview(self, body: Manifest) -> Manifest:
        def ask() -> Manifest:
            key = key_of(body)
            rights = ["patch"] if key in self.server.objects else ["patch", "create"]
            with self._request("preview", _name(key), *((verb, key[0]) for verb in rights)):
                return self._foreseen(key, body)[1]

        return self._send([body], ask)

    def _foreseen(self, key: Key, body: Manifest) -> tuple[Manifest, Manifest]:
        """An object as it is, empty where there is none, and as applying it would leave it."""
        self._check_place(key)
        there = self.server.objects.get(key, {})
        after = normal(applied(there, self.server.owners.get(key, {}), body)[0])
        if reason := refusal(there or None, after):
            raise RefusedError(f'The {key[0]} "{key[2]}" is invalid: {reason}')
        if "status" in there:
            after["status"] = there["status"]
        self.server.admit(after, new=not there)
        return there, after

    def create(self, body: Manifest) -> None:
        def ask() -> None:
            key = key_of(body)
            with self._request("create", _name(key), ("create", key[0])):
                self._check_place(key)
                if key in self.server.objects:
                    raise ConflictError(f'Error from server (AlreadyExists): "{key[2]}" already exists')
                self.server.write(body, ("kubectl-create", "Update"))

        self._send([body], ask, self.check)

    def rehearse(self, body: Manifest) -> Manifest:
        def ask() -> Manifest:
            key = key_of(body)
            with self._request("rehearse", _name(key), ("create", key[0])):
                self._check_place(key)
                new = normal(body)
                self.server.admit(new, new=True)
                return new

        return self._send([body], ask)

    def replace(self, body: Manifest) -> None:
        def ask() -> None:
            key = key_of(body)
            with self._request("replace", _name(key), ("update", key[0])):
                self._check_version(self._there(key), body)
                self.server.write(body, ("kubectl-replace", "Update"))

        self._send([body], ask, self.check)

    def patch(self, name: str, change: Manifest) -> None:
        def ask() -> None:
            key = key_named(name, self.namespace)
            with self._request("patch", name, ("patch", key[0])):
                there = self._there(key)
                self._check_version(there, change)
                self._merge(there, change, "delivery")

        try:
            self._ask(ask, self.check)
        except (RefusedError, UnavailableError) as error:
            raise unnamed.named(error, [name]) from None

    def delete(self, *names: str) -> None:
        deadline = self.server.clock + self.timeout
        uids: set[str] = set()

        def ask() -> None:
            self._all(names, lambda name: self._delete(name, uids))
            while uids & {body["metadata"]["uid"] for body in self.server.objects.values()}:
                if self.server.clock > deadline:
                    lines = [f"delete did not end within {self.timeout:.0f} s", *lasting(self.patient(0), names)]
                    raise UnavailableError("\n".join(lines))
                self.server.advance(0.5)

        if names:
            self._ask(ask, self.check)

    def _delete(self, name: str, uids: set[str]) -> None:
        key = key_named(name, self.namespace)
        with self._request("delete", name, ("get", key[0])):
            if body := self.server.objects.get(key):
                self._check_right("delete", key[0])
                uids.add(body["metadata"]["uid"])
                self.server.doom(body)
                controllers.reap(self.server)

    def exec(self, pod: str, container: str, *command: str) -> str:
        def ask() -> str:
            with self._request("exec", pod, ("create", "pods/exec")):
                body = self._reached(pod)
                if "running" not in self._state(body, container):
                    raise DeliveryError(f'error: Internal error: container not found ("{container}")')
                program = self.server.programs.get(container)
                if program is None:
                    raise DeliveryError("command terminated with exit code 127")
                return program(copied(body), command)

        try:
            return self._ask(ask, self.check)
        except UnavailableError as error:
            raise unnamed.unreached(error, self.namespace, pod) from None

    def logs(self, pod: str, container: str = "", tail: int = -1) -> str:
        def ask() -> str:
            with self._request("logs", pod, ("get", "pods/log")):
                body = self._reached(pod)
                if not container:
                    return self._prefixed(body, tail)
                state = self._state(body, container)
                if "waiting" in state or not state:
                    name = f'container "{container}" in pod "{body["metadata"]["name"]}"'
                    raise RefusedError(f"Error from server (BadRequest): {name} is waiting to start")
                return "".join(_last(self._words(body, container), tail))

        try:
            return self._ask(ask)
        except UnavailableError as error:
            raise unnamed.unreached(error, self.namespace, pod) from None

    def now(self) -> float:
        return self.server.clock

    def pause(self, seconds: float) -> None:
        self._check_alive()
        self.server.advance(seconds)
        self._check_alive()

    @contextmanager
    def every(self, seconds: float, action: Callable[[], bool]) -> Iterator[None]:
        repeated = Repeated(action, seconds, self.server.clock + seconds)
        self.server.repeated.append(repeated)
        try:
            yield
        finally:
            if repeated in self.server.repeated:
                self.server.repeated.remove(repeated)

    # What a test does, rather than the tool: without a right, a fault or a moment of the clock.

    def by_hand(self, name: str, change: Manifest, manager: str = "hand") -> None:
        """Somebody else merges a change into an object, whose fields are theirs then."""
        self._merge(self._there(key_named(name, self.namespace)), change, manager)

    def scale(self, name: str, replicas: int) -> None:
        """Somebody types `kubectl scale`, which writes a subresource."""
        after = merged(self._there(key_named(name, self.namespace)), {"spec": {"replicas": replicas}})
        self.server.write(after, ("kubectl", "Update", "scale"))

    def remove_by_hand(self, name: str) -> None:
        """Somebody else deletes an object; what it owns goes after it."""
        self.server.remove(self._there(key_named(name, self.namespace)))

    def evict(self, pod: str) -> None:
        """The node is short of memory, and ends a pod."""
        body = self._there(key_named(f"pod/{pod}", self.namespace))
        self.server.lives[body["metadata"]["uid"]].ended = self.server.clock
        why = "The node was low on resource: memory."
        self.server.set_status(body, {"phase": "Failed", "reason": "Evicted", "message": why})

    def pods(self, selector: str = "") -> tuple[str, ...]:
        """The names of the pods that stay."""
        return tuple(
            body["metadata"]["name"]
            for body in self.server.of("Pod", self.namespace)
            if "deletionTimestamp" not in body["metadata"] and matches(selector, body["metadata"].get("labels", {}))
        )

    def away(self, seconds: float) -> None:
        """From now on the API server does not answer."""
        self.faults.away_until = self.server.clock + seconds

    def _send(
        self, objects: Sequence[Manifest], question: Callable[[], Answer], check: Callable[[], None] = lambda: None
    ) -> Answer:
        try:
            return self._ask(question, check)
        except (RefusedError, UnavailableError) as error:
            raise unnamed.among(error, objects, self.patient(0, timeout=20).preview) from None

    def _ask(self, question: Callable[[], Answer], check: Callable[[], None] = lambda: None) -> Answer:
        deadline = self.server.clock + self.patience
        while True:
            check()
            try:
                return question()
            except RefusedError as error:
                raise refused(error, self.namespace) from None
            except SilentError as error:
                if self.server.clock > deadline:
                    raise UnavailableError(str(error)) from None
            self.server.advance(AGAIN)

    @contextmanager
    def _request(self, operation: str, name: str, *rights: tuple[str, str]) -> Iterator[None]:
        """One request and its answer, with what may go wrong before and after it is done."""
        faults = self.faults
        self._check_alive()
        faults.calls += 1
        self.server.advance(min(faults.latency, self.timeout))
        if self.server.clock < faults.away_until:
            raise LostError("The connection to the server was refused")
        try:
            faults.before(self, operation, name)
            for verb, kind in rights:
                self._check_right(verb, kind)
            yield
            faults.after(self, operation, name)
        except Killed:
            faults.dead = True
            raise
        if faults.latency > self.timeout:
            raise UnavailableError(f"{operation} did not end within {self.timeout:.0f} s")

    def _check_alive(self) -> None:
        if self.faults.dead:
            raise Killed

    def _check_right(self, verb: str, kind: str) -> None:
        if (verb, kind) in self.forbidden:
            raise RefusedError(f"Error from server (Forbidden): cannot {verb} {kind} in {self.namespace}")

    def _check_place(self, key: Key) -> None:
        if key[1] and ("Namespace", "", key[1]) not in self.server.objects:
            raise MissingError(f'Error from server (NotFound): namespaces "{key[1]}" not found')

    def _check_version(self, there: Manifest, body: Manifest) -> None:
        version = body.get("metadata", {}).get("resourceVersion")
        if version not in (None, there["metadata"]["resourceVersion"]):
            raise ConflictError("Error from server (Conflict): the object has been modified")

    def _all(self, items: Iterable[Item], action: Callable[[Item], None]) -> None:
        """Does the same with all, those after one that was refused too."""
        errors, silences = [], []
        for item in items:
            try:
                action(item)
            except (LostError, UnavailableError):
                raise
            except SilentError as error:
                silences.append(error)
            except DeliveryError as error:
                errors.append(error)
        if silences:
            raise silences[0]
        if errors:
            raise type(errors[0])("\n".join(map(str, errors)))

    def _there(self, key: Key) -> Manifest:
        if key not in self.server.objects:
            raise MissingError(f"Error from server (NotFound): {_name(key)} not found")
        return self.server.objects[key]

    def _merge(self, there: Manifest, change: Manifest, manager: str) -> None:
        after = merged(there, change)
        entries = after["metadata"].pop("managedFields", None)
        if entries is not None:
            self.server.owners[key_of(there)] = owners_of(entries)
        self.server.write(after, (manager, "Update"))

    def _pod(self, name: str) -> Manifest:
        """The pod of a name, or one of those behind a Service or of a workload."""
        kind, _, rest = name.rpartition("/")
        body = self._there(key_named(f"{kind or 'pod'}/{rest}", self.namespace))
        match body["kind"]:
            case "Pod":
                return body
            case "Service":
                labels = body["spec"]["selector"]
            case "Job":
                labels = {"job-name": rest}
            case _:
                labels = body["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = [self.server.objects["Pod", self.namespace, pod] for pod in self.pods(selector)]
        if not found:
            raise DeliveryError(f"error: timed out waiting for a pod of {name}")
        return found[0]

    def _reached(self, name: str) -> Manifest:
        pod = self._pod(name)
        if pod["spec"].get("nodeName") in self.server.lost:
            raise SilentError("error: error dialing backend: dial tcp 10.0.0.1:10250: i/o timeout")
        return pod

    def _state(self, pod: Manifest, container: str) -> Manifest:
        name, status = pod["metadata"]["name"], pod["status"]
        if container not in [spec["name"] for spec in _containers(pod)]:
            raise RefusedError(f"error: container {container} is not valid for pod {name}")
        states: dict[str, Manifest] = {
            found["name"]: found["state"]
            for part in ("initContainerStatuses", "containerStatuses")
            for found in status.get(part, [])
        }
        return states.get(container, {})

    def _words(self, pod: Manifest, container: str) -> str:
        life = self.server.lives[pod["metadata"]["uid"]]
        return life.printed.get(container, self.server.printed.get(container, ""))

    def _prefixed(self, pod: Manifest, tail: int) -> str:
        lines = []
        for container in _containers(pod):
            if self._state(pod, container["name"]).keys() & {"running", "terminated"}:
                start = f"[pod/{pod['metadata']['name']}/{container['name']}] "
                lines += [start + line for line in _last(self._words(pod, container["name"]), tail)]
        return "".join(lines)


def _masked(there: Manifest, after: Manifest) -> tuple[Manifest, Manifest]:
    """Two states of an object as kubectl shows them: of a Secret only whether a value changes."""
    if after["kind"] != "Secret":
        return there, after
    old, new = there.get("data", {}), after.get("data", {})
    shown = []
    for body, data, when in ((there, old, "before"), (after, new, "after")):
        same = {key: old.get(key) == new.get(key) for key in data}
        masks = {key: "***" if same[key] else f"*** ({when})" for key in data}
        shown.append({**body, "data": masks} if body else body)
    return shown[0], shown[1]


def _lines(body: Manifest) -> Sequence[str]:
    text: str = yaml.dump(body, Dumper=yaml.CSafeDumper) if body else ""
    return text.splitlines(keepends=True)


def _containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def _last(text: str, tail: int) -> list[str]:
    lines = text.splitlines(keepends=True)
    return lines if tail < 0 else lines[len(lines) - min(tail, len(lines)) :]


def _name(key: Key) -> str:
    return f"{key[0].lower()}/{key[2]}"
