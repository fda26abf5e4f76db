from __future__ import annotations

import pytest

from delivery import release
from delivery.cluster import RefusedError
from delivery.release import Release, forgotten, last_good
from delivery.render import Render
from delivery.shell import DeliveryError
from tests.delivery.fake import FakeCluster
from tests.delivery.small import PROD, body, render


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


def test_ten_are_kept() -> None:
    assert [release.number for release in forgotten(history("g" * 12))] == [2, 1]


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster(PROD.namespace)
    metadata = {"name": PROD.namespace}
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    return cluster


RENDER = render("1")


def record(cluster: FakeCluster) -> Release:
    return release.record(cluster, RENDER, commit="c0ffee", by="somebody")


def test_a_release_is_read_as_it_was_recorded(cluster: FakeCluster) -> None:
    recorded = record(cluster)
    assert release.read(cluster) == [recorded]
    assert (recorded.number, recorded.phase, recorded.render) == (1, "pending", RENDER)
    assert (recorded.commit, recorded.by, recorded.image) == ("c0ffee", "somebody", RENDER.image)
    assert recorded.at.endswith("+00:00")
    assert cluster.get(recorded.name)


def test_releases_are_read_newest_first_by_number(cluster: FakeCluster) -> None:
    for _ in range(11):
        record(cluster)
    assert [recorded.number for recorded in release.read(cluster)] == list(range(11, 0, -1))


def test_a_number_is_one_more_than_the_highest(cluster: FakeCluster) -> None:
    for _ in range(3):
        record(cluster)
    cluster.delete("configmap/release-2")
    assert record(cluster).number == 4


def test_other_configuration_is_no_release(cluster: FakeCluster) -> None:
    cluster.apply([body("v1", "ConfigMap", "release-notes", "web", data={})])
    assert release.read(cluster) == []


def test_only_the_phase_of_a_release_can_change(cluster: FakeCluster) -> None:
    recorded = record(cluster)
    release.mark(cluster, recorded, "good")
    assert release.running(cluster).phase == "good"
    with pytest.raises(RefusedError, match="immutable"):
        cluster.patch(recorded.name, {"data": {"by": "somebody else"}})


def test_the_newest_good_release_runs(cluster: FakeCluster) -> None:
    for phase in ("good", "good", "failed"):
        release.mark(cluster, record(cluster), phase)
    assert release.running(cluster).number == 2


def test_where_no_release_is_good_none_runs(cluster: FakeCluster) -> None:
    record(cluster)
    with pytest.raises(DeliveryError, match=f"{PROD.namespace} has no good release; deliver one"):
        release.running(cluster)


def test_the_objects_are_those_of_all_releases() -> None:
    releases = [Release(1, "good", "", "", "", "", render(version)) for version in "12"]
    assert release.objects(releases) == [*render("1").objects, *render("2").objects]
