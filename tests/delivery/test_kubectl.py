"""What kubectl says, by which the adapter tells why something was not done."""

from __future__ import annotations

import pytest

from delivery import kubectl
from delivery.cluster import ConflictError, MissingError, RefusedError, UnavailableError
from delivery.shell import DeadlineError, DeliveryError


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
