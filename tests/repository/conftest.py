"""A GitHub that remembers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.repository.command import impatient
from tests.repository.fake import Fake, running


@pytest.fixture
def fake() -> Iterator[Fake]:
    """A repository that somebody has just made: public, without any setting, with all secrets in their places."""
    with running() as fake:
        yield fake


@pytest.fixture
def pauses() -> Iterator[list[float]]:
    """For how many seconds a command would have waited; it does not."""
    with impatient() as pauses:
        yield pauses
