from __future__ import annotations

from delivery.release import Release, forgotten, last_good
from delivery.render import Render


def history(phases: str) -> list[Release]:
    """Releases by the first letters of their phases, newest first."""
    names = {"g": "good", "f": "failed", "p": "pending"}
    return [Release(len(phases) - i, names[phase], "", "", "", "", Render("")) for i, phase in enumerate(phases)]


def test_the_last_good_one_may_have_failed_ones_after_it() -> None:
    assert last_good(history("pfgg")) == history("pfgg")[2]


def test_the_one_before_the_newest_good_one_is_found() -> None:
    releases = history("gfg")
    assert last_good(releases, before=releases[0].number) == releases[2]


def test_without_a_good_one_there_is_none() -> None:
    assert last_good(history("pf")) is None


def test_the_oldest_are_forgotten() -> None:
    assert [release.number for release in forgotten(history("gggg"), kept=2)] == [2, 1]


def test_the_only_good_one_is_never_forgotten() -> None:
    assert [release.number for release in forgotten(history("fffgf"), kept=2)] == [3, 1]
