from __future__ import annotations

from pathlib import Path

import pytest

from delivery import deploy, image
from tests.delivery.fake import FakeCluster
from tests.delivery.small import Stage

pytest.register_assert_rewrite("tests.delivery.contract")


@pytest.fixture
def cluster() -> FakeCluster:
    """A namespace with nothing in it."""
    stage = Stage()
    stage.make_namespace()
    return stage.cluster


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A namespace with its Secret."""
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    # Asking Git takes longer than a delivery to a cluster in memory.
    monkeypatch.setattr(image, "commit", lambda: "0" * 40)
    stage = Stage()
    stage.begin()
    return stage


@pytest.fixture
def stage(empty: Stage) -> Stage:
    """Release 1 runs."""
    empty.deploy("1")
    return empty
