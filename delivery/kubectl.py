"""The Cluster that kubectl reaches (https://kubernetes.io/docs/reference/kubectl/)."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from delivery import unnamed
from delivery.cluster import ConflictError, Manifest, MissingError, RefusedError, UnavailableError, lasting
from delivery.fixed import refused
from delivery.shell import DeadlineError, DeliveryError, clock, program, run, say

# What kubectl says when the API server could not answer, rather than would not; or its etcd, the
# kubelet, or a webhook that was asked.
PASSING = (
    "was refused - did you specify the right host",
    "dial tcp",
    "TLS handshake timeout",
    "i/o timeout",
    "Client.Timeout exceeded",
    "context deadline exceeded",
    ": EOF",
    "unexpected EOF",
    "broken pipe",
    "connection reset by peer",
    "connection timed out",
    "no route to host",
    "http2: client connection lost",
    "http2: server sent GOAWAY",
    "stream error: stream ID",
    "etcdserver: ",
    "rpc error: code = ",
    "failed calling webhook",
    "(InternalError)",
    "(ServiceUnavailable)",
    "(Timeout)",
    "(TooManyRequests)",
    "Timeout: request did not complete",
)
# The reason that the API server gives (metav1.StatusReason), as kubectl repeats it.
REASON = re.compile(r'error from server \((\w+)\)|The (?:\S+ ".*"|request) is (invalid):', re.IGNORECASE)
REASONS = {
    "AlreadyExists": ConflictError,
    "Conflict": ConflictError,
    "NotFound": MissingError,
    "BadRequest": RefusedError,
    "Forbidden": RefusedError,
    "Invalid": RefusedError,
    "RequestEntityTooLarge": RefusedError,
    "Unauthorized": RefusedError,
}
# Where kubectl asks if no kubeconfig names a cluster.
NOWHERE = "localhost:8080"
OURS = ("--server-side", "--force-conflicts", "--field-manager=delivery")
# What a person may have chosen for it, and what a command goes by: `kubectl diff` as it prints itself, and no options
# from a kuberc (https://kubernetes.io/docs/reference/kubectl/kuberc/).
CHOSEN = {"KUBECTL_EXTERNAL_DIFF": "", "KUBERC": "off"}


@contextmanager
def pinned() -> Iterator[None]:
    """Has kubectl, here and in whatever is started, stay at the cluster that is the current one now.

    Whoever chooses another meanwhile writes that into the same kubeconfig, and of several files the first counts:
    https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files
    """
    before = dict(os.environ)
    with TemporaryDirectory(prefix="school-scheduler-") as folder:
        os.environ.update(CHOSEN)
        # Without a context, as in a pod, there is nothing to choose.
        if context := _context():
            file = Path(folder, "config")
            file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": context}))
            others = before.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
            os.environ["KUBECONFIG"] = os.pathsep.join((str(file), others))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _context() -> str:
    """The current context of the kubeconfig, empty where it has none."""
    with suppress(DeliveryError):
        return run(program("kubectl"), "config", "current-context", timeout=20).strip()
    return ""


def kubectl(
    *arguments: str,
    stdin: str | None = None,
    timeout: float = 600,
    good: tuple[int, ...] = (0,),
    patience: float = 60,
    check: Callable[[], None] = lambda: None,
) -> str:
    """Runs kubectl; an API server that is slow or away is asked again, for up to `patience` seconds.

    `check` is called before it is asked, and before it is asked again.

    Raises:
        DeliveryError: what it says; one of the errors of delivery.cluster where the API server says why.
    """
    deadline, said = time.monotonic() + patience, ""
    while True:
        check()
        try:
            return run(program("kubectl"), *arguments, stdin=stdin, timeout=timeout, good=good)
        except DeadlineError as error:
            raise UnavailableError(str(error)) from None
        except DeliveryError as error:
            text = str(error)
            # What a command in a pod has printed is not kubectl's word.
            ended = "command terminated with exit code" in text
            if not ended and NOWHERE in text and not _context():
                files = os.environ.get("KUBECONFIG") or "~/.kube/config"
                ways = "`kubectl config get-contexts` lists those it has, `kubectl config use-context NAME` chooses one"
                raise DeliveryError(f"no cluster is chosen in {files}: {ways}; KUBECONFIG names another file") from None
            if ended or unnamed.large(text) or not any(sign in text for sign in PASSING):
                raise _typed(text) from None
            if time.monotonic() > deadline:
                raise UnavailableError(text) from None
            if text != said:
                said = text
                say(f"asking again for {patience:.0f} s: {text.splitlines()[-1]}")
            time.sleep(2)


def _typed(text: str) -> DeliveryError:
    found = REASON.search(text)
    reason = (found[1] or found[2].capitalize()) if found else ""
    # A webhook need not give any.
    if "denied the request" in text or unnamed.large(text):
        return RefusedError(text)
    return REASONS.get(reason, DeliveryError)(text)


@dataclass(frozen=True)
class Kubectl:
    """A namespace of the cluster that the current kubeconfig names; the methods are those of Cluster."""

    namespace: str
    patience: float = 60
    timeout: float = 600
    check: Callable[[], None] = lambda: None

    def within(self, namespace: str) -> Kubectl:
        return replace(self, namespace=namespace)

    def patient(self, seconds: float, timeout: float = 600) -> Kubectl:
        return replace(self, patience=seconds, timeout=timeout)

    def guarded(self, check: Callable[[], None]) -> Kubectl:
        return replace(self, check=check)

    def get(self, name: str) -> Manifest | None:
        found: Manifest | None = self._read(name, "--ignore-not-found")
        return found

    def list(self, *kinds: str, selector: str = "", managers: bool = False) -> list[Manifest]:
        options = (f"--selector={selector}", f"--show-managed-fields={managers}")
        items: list[Manifest] = self._read(",".join(kinds), *options)["items"]
        return items

    def apply(self, objects: Iterable[Manifest]) -> None:
        self._send(objects, "apply", *OURS, check=self.check)

    def difference(self, objects: Iterable[Manifest]) -> str:
        return self._send(objects, "diff", *OURS, good=(0, 1))

    def preview(self, body: Manifest) -> Manifest:
        answer = self._send([body], "apply", *OURS, "--dry-run=server", "-o", "json")
        after: Manifest = self._parsed("apply", answer)
        return after

    def create(self, body: Manifest) -> None:
        self._send([body], "create", check=self.check)

    def rehearse(self, body: Manifest) -> Manifest:
        answer = self._send([body], "create", "--dry-run=server", "-o", "json")
        created: Manifest = self._parsed("create", answer)
        return created

    def replace(self, body: Manifest) -> None:
        self._send([body], "replace", check=self.check)

    def patch(self, name: str, change: Manifest) -> None:
        # By standard input: a command line can be read by every user of the machine.
        options = ("--type=merge", "--field-manager=delivery", "--patch-file=/dev/stdin")
        try:
            self._ask("patch", name, *options, stdin=json.dumps(change), check=self.check)
        except (RefusedError, UnavailableError) as error:
            raise unnamed.named(error, [name]) from None

    def delete(self, *names: str) -> None:
        try:
            if names:
                self._ask("delete", "--ignore-not-found", "--cascade=foreground", *names, check=self.check)
        except UnavailableError as error:
            raise UnavailableError("\n".join([str(error), *lasting(self.patient(0), names)])) from None

    def exec(self, pod: str, container: str, *command: str) -> str:
        try:
            return self._ask("exec", pod, "-c", container, "--", *command, check=self.check)
        except UnavailableError as error:
            raise unnamed.unreached(error, self.namespace, pod) from None

    def logs(self, pod: str, container: str = "", tail: int = -1) -> str:
        which = ("-c", container) if container else ("--all-containers", "--prefix", "--ignore-errors")
        try:
            return self._ask("logs", pod, *which, f"--tail={tail}")
        except UnavailableError as error:
            raise unnamed.unreached(error, self.namespace, pod) from None

    def now(self) -> float:
        return clock()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextmanager
    def every(self, seconds: float, action: Callable[[], bool]) -> Iterator[None]:
        ended = threading.Event()

        def repeat() -> None:
            while not ended.wait(seconds) and action():
                pass

        thread = threading.Thread(target=repeat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _read(self, what: str, *options: str) -> Any:
        answer = self._ask("get", what, *options, "-o", "json")
        return self._parsed(f"get {what}", answer) if answer else None

    def _parsed(self, command: str, answer: str) -> Any:
        try:
            return json.loads(answer)
        except ValueError:
            raise DeliveryError(f"kubectl {command} printed what is not JSON: {answer!r:.80}") from None

    def _send(self, objects: Iterable[Manifest], *arguments: str, **options: Any) -> str:
        if not (items := [*objects]):
            return ""
        # A namespace given beside the objects would have to be theirs.
        body = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        try:
            return self._kubectl(*arguments, "-f", "-", stdin=body, **options)
        except (RefusedError, UnavailableError) as error:
            raise unnamed.among(error, items, self.patient(0, timeout=20).preview) from None

    def _ask(self, *arguments: str, **options: Any) -> str:
        return self._kubectl("-n", self.namespace, *arguments, **options)

    def _kubectl(self, *arguments: str, **options: Any) -> str:
        try:
            return kubectl(*arguments, timeout=self.timeout, patience=self.patience, **options)
        except RefusedError as error:
            raise refused(error, self.namespace) from None
