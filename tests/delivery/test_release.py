"""What an environment remembers of its releases, and what becomes of records that are damaged."""

from __future__ import annotations

import base64
import gzip
import random
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from delivery import release
from delivery.cluster import Manifest, RefusedError
from delivery.deploy import ReleaseError
from delivery.release import KEPT, LONGEST, RENDER, Release, forgotten, last_good
from delivery.render import Render
from delivery.shell import DeliveryError
from tests.delivery.fake import FakeCluster, LostError, nothing
from tests.delivery.objects import copied, merged
from tests.delivery.small import PROD, Stage, body, heard, render


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


FIRST = render("1")


def record(cluster: FakeCluster) -> Release:
    return release.record(cluster, FIRST, commit="c0ffee", by="somebody")


def test_a_release_is_read_as_it_was_recorded(cluster: FakeCluster) -> None:
    recorded = record(cluster)
    assert release.read(cluster) == [recorded]
    assert (recorded.number, recorded.phase, recorded.render) == (1, "pending", FIRST)
    assert (recorded.commit, recorded.by, recorded.image) == ("c0ffee", "somebody", FIRST.image)
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


def damaged(stage: Stage, number: int, **changes: Any) -> None:
    """Somebody has put another ConfigMap in the place of a record."""
    server = stage.cluster.server
    body = copied(server.objects["ConfigMap", PROD.namespace, f"release-{number}"])
    stage.cluster.remove_by_hand(f"configmap/release-{number}")
    del body["metadata"]["resourceVersion"]
    server.write(merged(body, changes))


def packed(text: str | bytes) -> str:
    content = text.encode() if isinstance(text, str) else text
    return base64.b64encode(gzip.compress(content)).decode()


def of(text: str | bytes) -> dict[str, Any]:
    """A record whose render is that text."""
    return {"binaryData": {RENDER: packed(text)}}


GOOD = packed(render("2").text)
WITHOUT_WEB = Render.of(body for body in render("2").objects if body["metadata"]["name"] != "web")
WITHOUT_LABELS = Render.of([*render("2").objects, {"kind": "ConfigMap", "metadata": {"name": "x", "labels": None}}])
DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "no phase": ({"metadata": {"labels": {"phase": None}}}, "it lacks phase"),
    "another phase": ({"metadata": {"labels": {"phase": "great"}}}, "its phase is 'great'"),
    "no labels": ({"metadata": {"labels": None}}, "it lacks phase"),
    "no data": ({"data": None}, "it lacks image"),
    "no commit": ({"data": {"commit": None}}, "it lacks commit"),
    "no render": ({"binaryData": None}, "it lacks manifests.yaml.gz"),
    "another key": ({"binaryData": {RENDER: None, "x": GOOD}}, "it lacks manifests.yaml.gz"),
    "not base64": ({"binaryData": {RENDER: "%"}}, "cannot be read"),
    "cut off": ({"binaryData": {RENDER: GOOD[:400]}}, "it is cut off"),
    "empty": ({"binaryData": {RENDER: ""}}, "it is cut off"),
    "not gzip": ({"binaryData": {RENDER: base64.b64encode(b"kind: Pod").decode()}}, "cannot be read"),
    "a bomb": (of(b"#" * (LONGEST + 1)), "holds more than 3145728 bytes"),
    "not text": (of(b"\xff"), "cannot be read"),
    "not YAML": (of("a: ["), "the render is not YAML"),
    "no scalar": (of("a: 2026-13-45"), "the render is not YAML"),
    "no object": (of("- 1"), "is not a Kubernetes object"),
    "no web": (of(WITHOUT_WEB.text), "0 of kind Deployment"),
    "no image": (of(render("2").text.replace("containers:", "others:")), "is no render: KeyError('containers')"),
    "no labels of an object": (of(WITHOUT_LABELS.text), "is no render: AttributeError"),
}


@pytest.mark.parametrize(("change", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_record_that_cannot_be_read_is_named_once_and_everything_goes_on_without_it(
    stage: Stage, change: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.deploy("2")
    stage.deploy("3")
    damaged(stage, 2, **change)
    stage.deploy("4")
    told = capsys.readouterr().err
    assert told.count("configmap/release-2 of school-scheduler-prod is no release to return to") == 1
    assert reason in told
    stage.type_in("status", "prod")
    stage.type_in("smoke", "prod")
    stage.type_in("monitor", "prod", "--minutes", "1")
    stage.type_in("rollback", "prod")
    assert stage.serving == {"3"}
    stage.type_in("rollback", "prod", "--to", "1")
    assert stage.serving == {"1"}


@pytest.fixture(autouse=True)
def nothing_was_told() -> None:
    release._tell.cache_clear()


def test_a_rollback_from_a_release_whose_record_is_damaged_goes_to_the_one_before_it(stage: Stage) -> None:
    stage.deploy("2")
    stage.deploy("3")
    damaged(stage, 3, metadata={"labels": {"phase": None}})
    stage.type_in("rollback", "prod")
    assert stage.serving == {"2"}


def test_a_damaged_record_is_shown_and_is_nothing_to_return_to(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.deploy("2")
    damaged(stage, 1, data=None)
    capsys.readouterr()
    stage.type_in("status", "prod")
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["1", "unreadable"]
    with pytest.raises(DeliveryError, match="prod has no release 1; nothing was changed"):
        stage.type_in("rollback", "prod", "--to", "1")
    assert stage.serving == {"2"}


def test_a_rollback_from_a_release_whose_record_was_deleted_goes_to_the_newest_good_one(stage: Stage) -> None:
    stage.deploy("2")
    stage.deploy("3")
    stage.cluster.remove_by_hand("configmap/release-3")
    stage.type_in("rollback", "prod")
    assert stage.serving == {"2"}
    stage.cluster.remove_by_hand("configmap/release-2")
    stage.type_in("rollback", "prod")
    assert stage.serving == {"1"}


@pytest.mark.parametrize("seed", range(3))
def test_whatever_records_are_deleted_or_relabelled_users_are_served_and_the_next_delivery_is_recorded(
    stage: Stage, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    for version in "234":
        stage.deploy(version)
    numbers = draw.choice(([1], [4], [3, 4], [1, 2, 3], [2, 3], [1, 2, 3, 4]))
    for number in numbers:
        if draw.random() < 0.7:
            stage.cluster.remove_by_hand(f"configmap/release-{number}")
        else:
            phase = draw.choice(("failed", "pending", "", "x" * 63, None))
            stage.cluster.by_hand(f"configmap/release-{number}", {"metadata": {"labels": {"phase": phase}}})
    for command in draw.sample(("status", "rollback", "monitor", "smoke", "rotate"), k=3):
        heard(capsys)
        try:
            stage.type_in(command, "prod")
        except DeliveryError as error:
            assert len(str(error).splitlines()) == 1, command
        assert len(stage.serving) == 1
    stage.deploy("9")
    assert (stage.serving, release.running(stage.cluster).image) == ({"9"}, render("9").image)
    stage.cluster.server.ill = {render("8").image: "ImagePullBackOff"}
    with pytest.raises(ReleaseError, match="runs again"):
        stage.deploy("8")
    assert stage.serving == {"9"}


def test_a_damaged_record_is_forgotten_in_its_turn(stage: Stage) -> None:
    damaged(stage, 1, data=None)
    for version in range(2, 13):
        stage.deploy(str(version))
    assert stage.cluster.get("configmap/release-1") is None


def test_what_a_newer_tool_has_added_to_a_record_does_not_matter(stage: Stage) -> None:
    damaged(stage, 1, data={"weather": "rain"})
    assert release.running(stage.cluster).number == 1


FOREIGN = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"notes": "of the release"}}


@pytest.mark.parametrize("name", ["release-2", "release-7"])
def test_the_configmap_of_somebody_else_that_has_the_name_of_a_record_stays_as_it_is(stage: Stage, name: str) -> None:
    stage.cluster.create({**FOREIGN, "metadata": {"name": name, "namespace": PROD.namespace}})
    before = stage.cluster.get(f"configmap/{name}")
    for version in range(2, 15):
        stage.deploy(str(version))
    assert stage.cluster.get(f"configmap/{name}") == before
    stage.type_in("rollback", "prod")
    assert stage.serving == {"13"}


@pytest.mark.parametrize("name", ["release-notes", "release-01", "release-0", "releases", "release-1.old"])
def test_other_names_are_nobody_s_business(stage: Stage, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    stage.cluster.create({**FOREIGN, "metadata": {"name": name, "namespace": PROD.namespace}})
    stage.deploy("2")
    assert [entry.number for entry in release.read(stage.cluster)] == [2, 1]
    assert name not in capsys.readouterr().err


def test_a_configmap_that_was_put_in_the_way_within_the_very_second_stays_as_it_is(stage: Stage) -> None:
    def faster(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("create", "configmap/release-2"):
            cluster.faults.before = nothing
            metadata = {"name": "release-2", "namespace": PROD.namespace}
            cluster.server.write({**FOREIGN, "metadata": metadata})

    stage.cluster.faults.before = faster
    stage.deploy("2")
    assert [entry.number for entry in release.read(stage.cluster)] == [3, 1]
    assert (stage.cluster.get("configmap/release-2") or {})["data"] == FOREIGN["data"]


def test_a_release_that_no_record_holds_is_not_begun(stage: Stage) -> None:
    # Each is taken, and packed all of them are.
    large = [body("v1", "ConfigMap", f"large-{part}", "web", data={"x": "y" * 900_000}) for part in range(4)]
    with pytest.raises(DeliveryError, match="the record of a release holds 3145728; nothing was applied: make it sma"):
        stage.deploy("2", "0001", *large)
    assert (stage.serving, [recorded.phase for recorded in release.read(stage.cluster)]) == ({"1"}, ["good"])


def test_a_record_whose_answer_was_lost_is_recorded_once(stage: Stage) -> None:
    def once(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("create", "configmap/release-2"):
            cluster.faults.after = nothing
            raise LostError("connection reset by peer")

    stage.cluster.faults.after = once
    stage.deploy("2")
    assert [entry.number for entry in release.read(stage.cluster)] == [2, 1]


@pytest.mark.parametrize("unfit", [False, True])
def test_a_record_that_was_deleted_during_its_delivery_is_written_again(
    stage: Stage, unfit: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def deleted(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("apply", "deployment/web"):
            cluster.faults.after = nothing
            cluster.remove_by_hand("configmap/release-2")

    stage.proofs.unfit = {render("2").image} if unfit else set()
    stage.cluster.faults.after = deleted
    with pytest.raises(ReleaseError, match="release 1 runs again") if unfit else nullcontext():
        stage.deploy("2")
    assert stage.serving == {"1" if unfit else "2"}
    assert "configmap/release-2 was deleted meanwhile; it is written again" in heard(capsys)
    newest = release.read(stage.cluster)[0]
    assert (newest.number, newest.phase, newest.render) == (2, "failed" if unfit else "good", render("2"))


def test_the_hundredth_release_comes_after_the_ninety_ninth_and_the_history_stays_short(stage: Stage) -> None:
    record = stage.cluster.server.objects["ConfigMap", PROD.namespace, "release-1"]
    metadata = {**record["metadata"], "name": "release-98"}
    stage.cluster.create({**record, "metadata": metadata})
    longest = 0

    def counted(cluster: FakeCluster, operation: str, name: str) -> None:
        nonlocal longest
        longest = max(longest, sum(key[0] == "ConfigMap" for key in cluster.server.objects))

    stage.cluster.faults.after = counted
    for version in range(99, 112):
        stage.deploy(str(version))
    assert [entry.number for entry in release.read(stage.cluster)] == list(range(111, 101, -1))
    # Of each release its record and its configuration, and one more of both while it is delivered.
    assert longest <= 2 * (KEPT + 1)
    stage.type_in("rollback", "prod")
    assert stage.serving == {"110"}


def mutilated(record: Manifest, draw: random.Random) -> Manifest:
    """A record one field of which is gone or is another text, or a part of its render."""
    body = copied(record)
    del body["metadata"]["resourceVersion"]
    text = body["binaryData"][RENDER]
    at = draw.randrange(len(text))
    kind = draw.choice(("field", "field", "letters", "cut", "render"))
    if kind == "letters":
        body["binaryData"][RENDER] = text[:at] + draw.choice("ABCabc019+/=%") * 3 + text[at + 3 :]
    elif kind == "cut":
        body["binaryData"][RENDER] = text[:at]
    elif kind == "render":
        objects = gzip.decompress(base64.b64decode(text)).decode().split("---\n")
        objects[draw.randrange(len(objects))] = draw.choice(("", "- x\n", ": {\n", "kind: Pod\n", "metadata: x\n"))
        body["binaryData"][RENDER] = packed("---\n".join(objects))
    else:
        place, key = draw.choice([*fields(body)])
        if draw.random() < 0.5:
            del place[key]
        else:
            place[key] = draw.choice(("", "x", "good", "0", "-1", "²"))
    return body


def fields(body: Manifest) -> Iterator[tuple[Manifest, str]]:
    """What may be otherwise in an object that an API server has taken."""
    yield from ((body, part) for part in ("data", "binaryData") if part in body)
    places = (body["metadata"]["labels"], body["data"], body["binaryData"])
    yield from ((place, key) for place in places for key in place)


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_in_a_record_a_command_succeeds_or_says_why_not_in_one_line(stage: Stage, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    stage.deploy("2")
    number = draw.choice((1, 2, 3))
    stage.deploy("3")
    record = stage.cluster.server.objects["ConfigMap", PROD.namespace, f"release-{number}"]
    body = mutilated(record, draw)
    stage.cluster.remove_by_hand(f"configmap/release-{number}")
    for part in ("data", "binaryData"):
        if not isinstance(body.get(part, {}), dict):
            del body[part]
    stage.cluster.server.write(body)
    commands = [["status"], ["smoke"], ["monitor", "--minutes", "0.6"], ["rollback"], ["rollback", "--to", str(number)]]
    for command, *options in draw.sample(commands, len(commands)):
        try:
            stage.type_in(command, "prod", *options)
        except DeliveryError as error:
            assert len(str(error).splitlines()) == 1
    stage.deploy("4")
    assert stage.serving == {"4"}
