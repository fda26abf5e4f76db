from __future__ import annotations

from typing import Any

import pytest

from delivery.job import alone, with_variables
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
    assert [each["name"] for each in pod["initContainers"]] == ["rclone"]
    assert [(each["name"], each["args"]) for each in pod["containers"]] == [("fetch", ["list"])]


def test_a_container_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DeliveryError, match="has no container load"):
        alone(job(), "load", [])
