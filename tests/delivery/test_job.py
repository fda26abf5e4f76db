from __future__ import annotations

from typing import Any

import pytest

from delivery.job import KEPT, LABEL, alone, from_template, owned_by_nobody, verdict, with_variables
from delivery.shell import DeliveryError


def job() -> dict[str, Any]:
    """A sidecar, a step and a last container, two of which have a variable."""
    name = {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    before = [{"name": "rclone", "restartPolicy": "Always"}, {"name": "fetch", "args": ["fetch"], "env": [dict(name)]}]
    last = {"name": "compare", "env": [dict(name), {"name": "LOG_FORMAT", "value": "json"}]}
    pod = {"initContainers": before, "containers": [last]}
    return {"metadata": {"name": "restore-1"}, "spec": {"template": {"spec": pod}}}


def test_a_variable_gets_its_value_in_every_container_that_has_it() -> None:
    pod = with_variables(job(), {"NAMESPACE": "other"})["spec"]["template"]["spec"]
    assert pod["initContainers"][1]["env"] == [{"name": "NAMESPACE", "value": "other"}]
    assert pod["containers"][0]["env"][0] == {"name": "NAMESPACE", "value": "other"}
    assert pod["containers"][0]["env"][1] == {"name": "LOG_FORMAT", "value": "json"}


def test_a_variable_that_no_container_has_is_an_error() -> None:
    with pytest.raises(DeliveryError, match="has the variable BACKUP_NAME"):
        with_variables(job(), {"BACKUP_NAME": "newest"})


def test_one_container_alone_keeps_the_sidecars_before_it() -> None:
    pod = alone(job(), "fetch", ["list"])["spec"]["template"]["spec"]
    assert [part["name"] for part in pod["initContainers"]] == ["rclone"]
    assert [(part["name"], part["args"]) for part in pod["containers"]] == [("fetch", ["list"])]


def test_a_container_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DeliveryError, match="has no container load"):
        alone(job(), "load", [])


def test_a_job_of_a_cronjob_is_not_owned_by_it_and_goes_by_itself() -> None:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": job()["spec"] | {"activeDeadlineSeconds": 1800}}
    cronjob = {"metadata": {"name": "backup", "namespace": "prod", "uid": "1"}, "spec": {"jobTemplate": template}}
    found = owned_by_nobody(from_template(cronjob), seconds=600)
    name = found["metadata"]["name"]
    assert found["metadata"] == {"name": name, "namespace": "prod", "labels": {"app": "x", LABEL: name}}
    assert found["spec"]["template"]["metadata"]["labels"] == {LABEL: name}
    assert (found["spec"]["ttlSecondsAfterFinished"], found["spec"]["activeDeadlineSeconds"]) == (KEPT, 720)


def test_what_kubectl_makes_of_a_cronjob_loses_its_owner_too() -> None:
    there = job()
    there["metadata"]["ownerReferences"] = [{"kind": "CronJob", "controller": True}]
    assert "ownerReferences" not in owned_by_nobody(there, seconds=600)["metadata"]


def state(condition: str | None) -> dict[str, Any]:
    conditions = [{"type": condition, "status": "True"}] if condition else []
    return {"kind": "Job", "metadata": {"name": "j"}, "status": {"conditions": conditions}}


def pod(phase: str) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": phase}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("now", "seen", "found"),
    [
        ([state(None), pod("Running")], [], (False, None)),
        # Its pods have ended, and the Job's own controller has not counted them yet.
        ([state(None), pod("Failed")], [pod("Failed")], (False, None)),
        ([state("SuccessCriteriaMet")], [pod("Succeeded")], (False, None)),
        ([state("Complete")], [], (True, "Complete")),
        ([state("Failed")], [pod("Failed")], (True, "Failed")),
        # The Job is gone: nothing has ended while a pod is at work, and what the pods were last seen as counts.
        ([pod("Running")], [pod("Running")], (False, None)),
        ([], [pod("Succeeded")], (True, "Complete")),
        ([pod("Failed")], [pod("Failed")], (True, "Failed")),
        ([], [pod("Running")], (True, None)),
        ([], [pod("Failed"), pod("Running")], (True, None)),
        ([], [], (True, None)),
    ],
)
def test_how_a_job_ended_is_known_without_the_job_as_far_as_its_pods_tell(
    now: list[dict[str, Any]], seen: list[dict[str, Any]], found: tuple[bool, str | None]
) -> None:
    assert verdict(now, seen) == found
