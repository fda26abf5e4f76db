"""Nodes that somebody takes out of service while a release is on its way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from delivery.deploy import ReleaseError
from delivery.kubectl import kubectl
from drills.conftest import Stage

pytestmark = pytest.mark.slow


@contextmanager
def cordoned() -> Iterator[None]:
    """No node takes a new pod."""
    nodes = kubectl("get", "nodes", "-o", "name").split()
    kubectl("cordon", *nodes)
    try:
        yield
    finally:
        kubectl("uncordon", *nodes)


def test_a_cordoned_node_is_named_while_users_are_served_and_uncordoned_takes_the_release(stage: Stage) -> None:
    other, before = stage.faulty("none", after=9), stage.pods()
    with stage.traffic() as answers:
        with cordoned(), pytest.raises(ReleaseError, match="runs again") as error:
            stage.deploy(other)
        assert "`kubectl uncordon NODE` ends that" in str(error.value.__cause__)
        assert set(before) & set(stage.pods())
        stage.deploy(other)
    assert [answer for answer in answers if answer.error] == []
    assert set(stage.pods().values()) == {str(other)}
