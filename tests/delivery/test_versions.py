from __future__ import annotations

import pytest

from delivery.versions import precedence

# As https://semver.org/#spec-item-11 orders them, and some between.
ORDER = (
    "v0.9.10",
    "v1.0.0-0",
    "v1.0.0-1",
    "v1.0.0-11",
    "v1.0.0-alpha",
    "v1.0.0-alpha.1",
    "v1.0.0-alpha.beta",
    "v1.0.0-beta",
    "v1.0.0-beta.2",
    "v1.0.0-beta.11",
    "v1.0.0-rc.1",
    "v1.0.0",
    "v1.0.2",
    "v1.0.10",
    "v1.2.0",
    "v10.0.0",
)


def test_versions_are_ordered_as_semantic_versioning_says() -> None:
    def key(tag: str) -> tuple[object, ...]:
        found = precedence(tag)
        assert found is not None, tag
        return found

    assert tuple(sorted(sorted(ORDER), key=key)) == ORDER


@pytest.mark.parametrize(
    "tag",
    [
        "dev-17",
        "latest",
        "1.0.0",
        "v1",
        "v1.2",
        "v01.2.3",
        "v1.2.3-01",
        "v1.2.3-rc..1",
        "v1.0.0+1",
        "v1.0.0 ",
        "v1.2.٣",
        "",
    ],
)
def test_other_tags_are_no_versions(tag: str) -> None:
    assert precedence(tag) is None
