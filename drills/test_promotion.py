"""A registry's tags: an image gets another one without being built again, and a released tag never moves."""

from __future__ import annotations

import secrets

import pytest

from delivery import registry
from delivery.shell import DeliveryError
from drills.conftest import Stage


def test_promotion_keeps_the_digest(stage: Stage) -> None:
    source, tag = f"{stage.good.name}:{stage.good.tag}", f"v0.0.{secrets.randbelow(10**9)}"
    promoted = registry.promote(source, tag)
    assert (promoted.tag, promoted.digest) == (tag, stage.good.digest)
    assert registry.promote(f"{promoted.name}:{tag}", tag) == promoted


def test_a_released_tag_never_moves(stage: Stage) -> None:
    tag = f"v0.0.{secrets.randbelow(10**9)}"
    other = stage.faulty("none")
    registry.promote(f"{stage.good.name}:{stage.good.tag}", tag)
    with pytest.raises(DeliveryError, match=f":{tag} is another image's tag and never moves"):
        registry.promote(f"{other.name}:{other.tag}", tag)


def test_an_image_that_did_not_pass_the_environment_before_is_refused(stage: Stage) -> None:
    with pytest.raises(DeliveryError, match=r"there is no image .*; what gets promoted has passed"):
        registry.promote(f"{stage.good.name}:sha-0000000", "v9.9.9")
