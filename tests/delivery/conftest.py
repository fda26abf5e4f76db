"""A cluster that is scripted, where a real one could not be made to fail at every moment."""

from __future__ import annotations

import time
from functools import lru_cache

import pytest

from delivery import deploy, rollout, shell
from tests.delivery.scripted import Cluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    there = Cluster()
    monkeypatch.setattr(shell, "run", there.run)
    monkeypatch.setattr(time, "sleep", there.sleep)
    monkeypatch.setattr(time, "monotonic", there.monotonic)
    monkeypatch.setattr(rollout, "read", lru_cache(rollout.read))
    monkeypatch.setattr(deploy, "smoke_release", lambda *arguments: None)
    return there
