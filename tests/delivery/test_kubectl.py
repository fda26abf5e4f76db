"""What kubectl says, by which the adapter tells why something was not done."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from delivery import kubectl
from delivery.cluster import Cluster, ConflictError, MissingError, RefusedError, UnavailableError
from delivery.kubectl import Kubectl
from delivery.shell import DeadlineError, DeliveryError, program, run

# What kubectl 1.34 says of an API server, an etcd, a kubelet or a webhook that does not answer.
PAUSES = (
    "Unable to connect to the server: net/http: TLS handshake timeout",
    "Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout",
    "Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: no route to host",
    "Unable to connect to the server: EOF",
    "Unable to connect to the server: http2: client connection lost",
    "Unable to connect to the server: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
    'Get "https://x/api/v1/pods": http2: server sent GOAWAY and closed the connection; LastStreamID=1',
    "error: stream error: stream ID 3; INTERNAL_ERROR; received from peer",
    "Error from server: etcdserver: leader changed",
    "Error from server: etcdserver: request timed out",
    "Error from server: etcdserver: too many requests",
    "Error from server: rpc error: code = Unavailable desc = keepalive ping failed to receive ACK within timeout",
    "Error from server (InternalError): an error on the server has prevented the request from succeeding",
    "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
    "Error from server (Timeout): the server was unable to return a response in the time allotted",
    "Error from server (TooManyRequests): the server has received too many requests",
    'Error from server (InternalError): Internal error occurred: failed calling webhook "a": failed to call webhook: '
    'Post "https://a.b.svc:443/x?timeout=10s": context deadline exceeded',
    "error: error dialing backend: dial tcp 10.0.0.1:10250: connect: connection refused",
)


# And of what etcd, the way to it, or the API server takes at no time.
LARGE = (
    "Error from server: etcdserver: request is too large",
    "Error from server: rpc error: code = ResourceExhausted desc = trying to send message larger than max (2 vs. 1)",
    "Error from server (RequestEntityTooLarge): Request entity too large: limit is 3145728",
)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('Error from server (AlreadyExists): error when creating "STDIN": exists', ConflictError),
        ("Error from server (Conflict): the object has been modified", ConflictError),
        ('Error from server (NotFound): configmaps "x" not found', MissingError),
        ('error: error from server (NotFound): pods "x" not found in namespace "y"', MissingError),
        ("Error from server (Forbidden): secrets is forbidden", RefusedError),
        ('The ConfigMap "x" is invalid: data: Forbidden: field is immutable', RefusedError),
        ("The request is invalid: patch: Invalid value", RefusedError),
        (
            "The connection to the server x was refused - did you specify the right host",
            UnavailableError,
        ),
        ("error validating data: dial tcp x: connect: connection refused", UnavailableError),
        *((line, UnavailableError) for line in PAUSES),
        ('Error from server: admission webhook "rules.example" denied the request: no', RefusedError),
        *((line, RefusedError) for line in LARGE),
        ('Error from server (Forbidden): admission webhook "rules.example" denied the request: no', RefusedError),
        ("Unable to connect to the server: tls: failed to verify certificate: x509: unknown authority", DeliveryError),
        ('error: Internal error occurred: unable to upgrade connection: container not found ("web")', DeliveryError),
        ("command terminated with exit code 1", DeliveryError),
        ("mysql: unexpected EOF\ncommand terminated with exit code 1", DeliveryError),
    ],
)
def test_the_reason_is_told_from_what_kubectl_says(
    monkeypatch: pytest.MonkeyPatch, said: str, kind: type[DeliveryError]
) -> None:
    def run(*command: str, **options: object) -> str:
        raise DeliveryError(said)

    monkeypatch.setattr(kubectl, "run", run)
    with pytest.raises(DeliveryError) as error:
        kubectl.kubectl("get", patience=-1)
    assert type(error.value) is kind


def test_a_program_that_took_too_long_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run(*command: str, **options: object) -> str:
        calls.append(command)
        raise DeadlineError("too long")

    monkeypatch.setattr(kubectl, "run", run)
    with pytest.raises(UnavailableError):
        kubectl.kubectl("get")
    assert len(calls) == 1


@pytest.mark.parametrize("printed", ["Welcome\n{}", '{"items": ['])
def test_what_is_not_json_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, printed: str) -> None:
    monkeypatch.setattr(kubectl, "run", lambda *command, **options: printed)
    cluster = kubectl.Kubectl("prod")
    for ask in (lambda: cluster.get("lease/delivery"), lambda: cluster.list("Pod", "Job")):
        with pytest.raises(DeliveryError, match=r"kubectl get .* printed what is not JSON") as error:
            ask()
        assert len(str(error.value).splitlines()) == 1


def test_what_is_asked_again_is_said_once_and_allowed_each_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [PAUSES[0], PAUSES[0], PAUSES[1]]
    allowed: list[str] = []

    def run(*command: str, **options: object) -> str:
        if answers:
            raise DeliveryError(answers.pop(0))
        return "done"

    monkeypatch.setattr(kubectl, "run", run)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    cluster = kubectl.Kubectl("prod").guarded(lambda: allowed.append("once"))
    cluster.create({})
    assert len(allowed) == 4
    assert capsys.readouterr().err.splitlines() == [
        f"delivery: asking again for 60 s: {said}" for said in (PAUSES[0], PAUSES[1])
    ]


@pytest.mark.parametrize("line", LARGE)
def test_what_is_too_large_to_be_stored_is_named(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    asked: list[str] = []

    def run(*command: str, **options: object) -> str:
        asked.append(command[1])
        raise DeliveryError(f"kubectl apply: {line}")

    monkeypatch.setattr(kubectl, "run", run)
    large = {"kind": "Secret", "metadata": {"name": "large"}, "data": {"a": "b" * 2000}}
    with pytest.raises(RefusedError, match="the largest is secret/large, of 2068 bytes: make it smaller"):
        kubectl.Kubectl("prod").apply([BODY, large, BODY])
    assert asked == ["apply"]


def test_what_a_webhook_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = 'Error from server: admission webhook "rules.example" denied the request: no'

    def run(*command: str, stdin: str | None = None, **options: object) -> str:
        if "worker" in str(stdin) or "patch" in command:
            raise DeliveryError(denied)
        return "{}"

    monkeypatch.setattr(kubectl, "run", run)
    cluster = kubectl.Kubectl("prod")
    worker = {"kind": "Deployment", "metadata": {"name": "worker"}}
    for ask in (lambda: cluster.apply([BODY, worker]), lambda: cluster.difference([BODY, worker])):
        with pytest.raises(RefusedError, match=r"webhook rules\.example does not let deployment/worker through"):
            ask()
    with pytest.raises(RefusedError, match=r"webhook rules\.example does not let pod/web through"):
        cluster.patch("pod/web", {})


BODY = {"kind": "Pod", "metadata": {"name": "web"}}
LIST = json.dumps({"apiVersion": "v1", "kind": "List", "items": [BODY]})
OURS = "--server-side --force-conflicts --field-manager=delivery"
CHANGES: list[tuple[Callable[[Cluster], object], str, str | None]] = [
    (lambda cluster: cluster.apply([BODY]), f"apply {OURS} -f -", LIST),
    (lambda cluster: cluster.create(BODY), "create -f -", LIST),
    (lambda cluster: cluster.replace(BODY), "replace -f -", LIST),
    (
        lambda cluster: cluster.patch("pod/web", {"metadata": {}}),
        "-n prod patch pod/web --type=merge --field-manager=delivery --patch-file=/dev/stdin",
        '{"metadata": {}}',
    ),
    (
        lambda cluster: cluster.delete("pod/web", "job/backup"),
        "-n prod delete --ignore-not-found --cascade=foreground pod/web job/backup",
        None,
    ),
    (lambda cluster: cluster.exec("web", "app", "df", "-h"), "-n prod exec web -c app -- df -h", None),
]
QUESTIONS: list[tuple[Callable[[Cluster], object], str, str | None]] = [
    (lambda cluster: cluster.get("pod/web"), "-n prod get pod/web --ignore-not-found -o json", None),
    (
        lambda cluster: cluster.list("Pod", "Job", selector="a=b", managers=True),
        "-n prod get Pod,Job --selector=a=b --show-managed-fields=True -o json",
        None,
    ),
    (lambda cluster: cluster.difference([BODY]), f"diff {OURS} -f -", LIST),
    (lambda cluster: cluster.preview(BODY), f"apply {OURS} --dry-run=server -o json -f -", LIST),
    (lambda cluster: cluster.rehearse(BODY), "create --dry-run=server -o json -f -", LIST),
    (lambda cluster: cluster.logs("web"), "-n prod logs web --all-containers --prefix --ignore-errors --tail=-1", None),
    (lambda cluster: cluster.logs("web", "app", 20), "-n prod logs web -c app --tail=20", None),
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, object]]:
    """The command lines of kubectl, with standard input and seconds; it answers with a list of nothing."""
    lines: list[tuple[str, str | None, object]] = []

    def run(program: str, *arguments: str, stdin: str | None, timeout: float, good: tuple[int, ...]) -> str:
        lines.append((" ".join(arguments), stdin, timeout))
        return '{"items": []}'

    monkeypatch.setattr(kubectl, "run", run)
    return lines


@pytest.mark.parametrize(("ask", "line", "stdin"), [*CHANGES, *QUESTIONS])
def test_what_a_cluster_is_asked_is_a_command_line_of_kubectl(
    asked: list[tuple[str, str | None, object]], ask: Callable[[Cluster], object], line: str, stdin: str | None
) -> None:
    allowed: list[str] = []
    ask(kubectl.Kubectl("dev").within("prod").patient(0, timeout=20).guarded(lambda: allowed.append(line)))
    assert asked == [(line, stdin, 20)]
    assert allowed == [line for change in CHANGES if change[0] is ask]


def test_where_there_is_nothing_to_do_kubectl_is_not_asked(asked: list[tuple[str, str | None, object]]) -> None:
    cluster = kubectl.Kubectl("prod")
    cluster.apply([])
    cluster.delete()
    assert cluster.difference([]) == ""
    assert asked == []


def test_something_is_done_every_now_and_then_until_it_has_an_end() -> None:
    cluster, moments = kubectl.Kubectl("prod"), list[float]()

    def twice() -> bool:
        moments.append(cluster.now())
        return len(moments) < 2

    began = cluster.now()
    with cluster.every(0.02, twice):
        cluster.pause(0.2)
    assert len(moments) == 2
    assert began + 0.02 <= moments[0] <= moments[1] - 0.02
    assert cluster.now() >= began + 0.2


def current() -> str:
    return kubectl.kubectl("config", "current-context").strip()


def test_a_command_stays_at_the_cluster_that_was_chosen_when_it_began(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config"
    contexts = [{"name": name, "context": {"cluster": name}} for name in ("one", "two")]
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "contexts": contexts, "current-context": "one"}))
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setenv("KUBECTL_EXTERNAL_DIFF", "colordiff")
    with kubectl.pinned():
        run(program("kubectl"), "config", "use-context", "two", f"--kubeconfig={file}")
        assert current() == "one"
        assert (os.environ["KUBECTL_EXTERNAL_DIFF"], os.environ["KUBERC"]) == ("", "off")
    assert current() == "two"
    assert os.environ["KUBECTL_EXTERNAL_DIFF"] == "colordiff"


def test_where_no_cluster_is_chosen_a_command_ends_at_once_and_says_how_one_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(kubectl, "say", lambda line: pytest.fail("nobody will answer"))
    with kubectl.pinned(), pytest.raises(DeliveryError, match=f"no cluster is chosen in {tmp_path}/none") as error:
        kubectl.Kubectl("prod").get("lease/delivery")
    assert len(str(error.value).splitlines()) == 1
    assert "`kubectl config use-context NAME`" in str(error.value)


def test_where_no_cluster_is_chosen_kubectl_finds_it_as_it_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with kubectl.pinned():
        assert os.environ["KUBECONFIG"] == str(tmp_path / "none")


def test_the_clock_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = {time.CLOCK_BOOTTIME: 3600.0}
    monkeypatch.setattr(time, "clock_gettime", lambda kind: slept.get(kind, 0.0))
    assert Kubectl("prod").now() == 3600
