"""A release is delivered, or the one before it runs again; whatever happens, users are served."""

from __future__ import annotations

import copy
import json
import random
import re
from pathlib import Path

import pytest

from delivery import canary, credentials, deploy, release, rollout, sops, workloads
from delivery.cluster import Manifest, RefusedError
from delivery.credentials import DATABASE
from delivery.deploy import Options, ReleaseError, forgotten, rollback, superfluous
from delivery.monitor import WINDOW
from delivery.release import Release
from delivery.render import COMPONENT, Render, _parsed, component
from delivery.shell import DeliveryError
from policy_tests.environment import Environment
from tests.delivery.fake import FakeCluster, Killed
from tests.delivery.faults import COMMON, drawn, mended, refused, typed
from tests.delivery.server import Container, Key, StepError
from tests.delivery.small import PROD, Stage, body, heard, render


def recorded(number: int, phase: str, *names: str) -> Release:
    """One that has put these objects, KIND/NAME, into the cluster."""
    objects = [{"kind": name.partition("/")[0], "metadata": {"name": name.partition("/")[2]}} for name in names]
    return Release(number, phase, "", "", "", "", Render.of(objects))


def test_a_release_leaves_the_configuration_of_good_ones_for_rollout_undo() -> None:
    good = recorded(1, "good", "ConfigMap/config-1", "Deployment/web")
    failed = recorded(2, "failed", "ConfigMap/config-2", "Deployment/school-scheduler")
    new = recorded(3, "pending", "ConfigMap/config-3", "Deployment/school-scheduler")
    assert superfluous(new.render, [failed, good]) == ["deployment/web", "configmap/config-2"]


def test_a_release_that_is_forgotten_takes_along_the_configuration_that_only_it_had() -> None:
    history = [
        recorded(3, "good", "ConfigMap/config-2", "Deployment/school-scheduler"),
        recorded(2, "good", "ConfigMap/config-2", "Deployment/web"),
        recorded(1, "good", "ConfigMap/config-1", "Deployment/web"),
    ]
    assert forgotten(history, kept=2) == ["configmap/config-1", "configmap/release-1"]
    oldest = ["configmap/config-1", "configmap/release-2", "configmap/release-1"]
    assert forgotten(history, kept=1) == oldest


def phases(stage: Stage) -> list[tuple[int, str]]:
    return [(entry.number, entry.phase) for entry in release.read(stage.cluster)]


def test_the_first_release_runs_and_is_recorded(empty: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    empty.deploy("1")
    assert empty.serving == {"1"}
    (first,) = release.read(empty.cluster)
    assert (first.phase, first.image, first.render) == ("good", render("1").image, render("1"))
    assert "12 new objects" in capsys.readouterr().out


WAITING = "waiting for deployment/web, deployment/worker, job/accounts, statefulset/mysql"


def test_whoever_delivers_reads_what_is_done_and_how_it_ended(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard(capsys)
    stage.deploy("2", canary=1, watch=1)
    lines = heard(capsys)
    counts = r"\d+ requests in 6\d s, 0 of them failed; "
    watched = ["watching prod for 1 min", f"{tmp_path}/build/prod/report.json has the report"]
    assert [re.sub(counts, "", line) for line in lines] == [
        "starting web-canary",
        "waiting for deployment/web-canary",
        *watched,
        WAITING,
        *watched,
        f"release 2 of prod is good: {render('2').image}",
    ]
    assert len(re.findall(counts, "\n".join(lines))) == 2
    assert stage.cluster.get("deployment/web-canary") is None


def test_whoever_delivers_reads_of_the_way_back(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.proofs.unfit = {render("2").image}
    heard(capsys)
    with pytest.raises(ReleaseError):
        stage.deploy("2")
    returning = [f"returning prod to release 1: {render('1').image}", WAITING]
    assert heard(capsys) == [WAITING, "release 2 failed: its smoke tests fail", *returning]
    rollback(stage.target, 1, Options())
    assert heard(capsys) == [*returning, f"prod is back at release 1: {render('1').image}"]


def test_a_release_shows_what_it_is_about_to_change(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.deploy("2")
    assert "+            name: app-config-2" in capsys.readouterr().out
    stage.deploy("2")
    assert capsys.readouterr().out == "nothing changes\n"


def test_the_same_release_once_more_touches_no_pod(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    def uids() -> dict[str, str]:
        pods = stage.cluster.list("Pod")
        serving = (pod["metadata"] for pod in pods if component(pod) != "accounts")
        return {metadata["name"]: metadata["uid"] for metadata in serving}

    before = uids()
    capsys.readouterr()
    stage.deploy("1")
    assert capsys.readouterr().out == "nothing changes\n"
    stage.cluster.pause(60)
    assert uids() == before


def test_a_render_that_breaks_a_rule_changes_nothing(stage: Stage) -> None:
    stage.proofs.illegal = {render("2").image}
    before = stage.cluster.server.objects.copy()
    with pytest.raises(DeliveryError, match="breaks the rules; nothing was applied"):
        stage.deploy("2")
    assert stage.cluster.server.objects == before


def test_what_only_older_releases_had_goes_and_configuration_of_good_ones_stays(stage: Stage) -> None:
    stage.deploy("2", "0001", body("v1", "Service", "old", "old"))
    stage.deploy("3")
    assert stage.cluster.get("service/old") is None
    assert [stage.cluster.get(f"configmap/app-config-{number}") is not None for number in (1, 2, 3)] == [
        True,
        True,
        True,
    ]


def test_the_history_has_room_for_ten(stage: Stage) -> None:
    for version in range(2, 13):
        stage.deploy(str(version))
    assert [number for number, _ in phases(stage)] == list(range(12, 2, -1))
    assert stage.cluster.get("configmap/app-config-2") is None
    assert stage.cluster.get("configmap/app-config-3") is not None


@pytest.mark.parametrize(
    "illness", ["ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError", "unready", "unstarted"]
)
@pytest.mark.parametrize("options", [{}, {"canary": 1}])
def test_a_release_whose_pods_do_not_come_goes_back(stage: Stage, illness: str, options: dict[str, float]) -> None:
    stage.cluster.server.ill = {render("2").image: illness}
    with pytest.raises(ReleaseError, match="release 2 failed, and release 1 runs again") as error:
        stage.deploy("2", **options)
    assert stage.serving == {"1"}
    assert phases(stage) == [(2, "failed"), (1, "good")]
    assert stage.cluster.get("configmap/app-config-2") is None
    assert stage.cluster.get("deployment/web-canary") is None
    assert error.value.noticed < error.value.ended
    assert stage.proofs.smoked == [render("1").image] * 2


def test_a_release_whose_migration_fails_goes_back_and_says_its_last_words(stage: Stage) -> None:
    def fail(container: Container) -> str:
        raise StepError("migration 0002 starts\nmigration 0002 failed at ALTER TABLE instance: no")

    stage.cluster.server.steps["migrate"] = fail
    objects = copy.deepcopy(render("2").objects)
    step = {"name": "migrate", "terminationMessagePolicy": "FallbackToLogsOnError"}
    (web,) = (body for body in objects if body == render("2").web)
    web["spec"]["template"]["spec"]["initContainers"] = [step]
    with pytest.raises(ReleaseError, match="release 1 runs again") as error:
        deploy.deploy(stage.target, Render.of(objects), Options())
    said = str(error.value.__cause__)
    assert "/migrate ended with code 1: migration 0002 failed at ALTER TABLE instance: no\n" in said
    assert stage.serving == {"1"}


def test_a_release_whose_job_fails_goes_back_and_says_its_last_words(stage: Stage) -> None:
    def fail(container: Container) -> str:
        if container.spec["args"][-1] == "--bad":
            raise StepError("accounts: the server does not know app-user")
        return accounts(container)

    accounts = stage.cluster.server.steps["accounts"]
    stage.cluster.server.steps["accounts"] = fail
    objects = copy.deepcopy(render("2").objects)
    (job,) = (body for body in objects if body["kind"] == "Job")
    job["spec"]["backoffLimit"] = 1
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container |= {"args": ["accounts", "--bad"], "terminationMessagePolicy": "FallbackToLogsOnError"}
    with pytest.raises(ReleaseError, match="release 2 failed, and release 1 runs again") as error:
        deploy.deploy(stage.target, Render.of(objects), Options())
    assert str(error.value.__cause__).startswith("job/accounts failed: Job has reached the specified backoff limit")
    assert "/accounts ended with code 1: accounts: the server does not know app-user" in str(error.value.__cause__)
    assert phases(stage) == [(2, "failed"), (1, "good")]


def test_a_release_whose_smoke_tests_fail_goes_back(stage: Stage) -> None:
    stage.proofs.unfit = {render("2").image}
    with pytest.raises(ReleaseError, match="release 1 runs again") as error:
        stage.deploy("2")
    assert "its smoke tests fail" in str(error.value.__cause__)
    assert stage.serving == {"1"}


@pytest.mark.parametrize("options", [{"canary": 1}, {"watch": 1}])
def test_a_release_that_answers_with_errors_goes_back(stage: Stage, options: dict[str, float]) -> None:
    stage.proofs.failing = {render("2").image}
    with pytest.raises(ReleaseError, match="release 1 runs again") as error:
        stage.deploy("2", **options)
    assert "requests with an error of its own" in str(error.value.__cause__)
    assert stage.serving == {"1"}


def test_a_bad_canary_leaves_the_pods_of_the_release_before_alone(stage: Stage) -> None:
    stage.proofs.failing = {render("2").image}
    before = stage.cluster.pods("track=stable")
    with pytest.raises(ReleaseError):
        stage.deploy("2", canary=1)
    assert stage.cluster.pods("track=stable") == before


def test_a_release_that_restarts_later_is_noticed_by_the_watch(stage: Stage) -> None:
    stage.cluster.server.ill = {render("2").image: "restarting"}
    with pytest.raises(ReleaseError) as error:
        stage.deploy("2", watch=5)
    assert "was restarted" in str(error.value.__cause__)


def test_a_canary_is_not_started_where_nothing_good_runs(empty: Stage) -> None:
    empty.cluster.server.ill = {render("1").image: "CrashLoopBackOff"}
    with pytest.raises(ReleaseError, match="there is no good release to return to"):
        empty.deploy("1", canary=1)
    empty.deploy("2", canary=1)
    assert empty.cluster.now() < 60 + WINDOW


def test_a_watch_leaves_its_report(stage: Stage, tmp_path: Path) -> None:
    stage.deploy("2", watch=1)
    report = json.loads((tmp_path / "build" / "prod" / "report.json").read_text())
    assert (report["environment"], report["errors"], report["problems"]) == ("prod", 0, [])
    assert report["answers"] > 100
    assert 60 <= report["seconds"] < 70


def test_a_release_that_fails_without_a_good_one_is_left_as_it_is(empty: Stage) -> None:
    empty.proofs.unfit = {render("1").image}
    with pytest.raises(ReleaseError, match="no good release to return to: it is left as it is"):
        empty.deploy("1")
    assert phases(empty) == [(1, "failed")]
    assert empty.serving == {"1"}


def test_a_new_schema_is_delivered_onto_data_that_was_backed_up(stage: Stage) -> None:
    stage.deploy("2")
    before = stage.database.store.copy()
    stage.deploy("3", "0002")
    assert len(stage.database.store) == len(before) + 1


def test_a_new_schema_is_not_delivered_where_the_backup_fails(stage: Stage) -> None:
    stage.database.broken = {"save": "the store answers 503"}
    with pytest.raises(DeliveryError, match="the store answers 503"):
        stage.deploy("2", "0002")
    assert stage.serving == {"1"}
    assert phases(stage) == [(1, "good")]


def test_a_canary_that_somebody_left_goes_with_the_first_release_that_fails(empty: Stage) -> None:
    empty.cluster.apply([canary.deployment(render("1"))])
    empty.cluster.server.ill = {render("1").image: "CrashLoopBackOff"}
    with pytest.raises(ReleaseError, match="no good release to return to"):
        empty.deploy("1")
    assert empty.cluster.get("deployment/web-canary") is None


AGAIN = f"what serves is {render('1').image}; `make rollback ENV=prod OPTIONS='--to 1'` tries again"


def test_a_return_that_fails_too_names_both_reasons_and_what_is_typed(stage: Stage) -> None:
    stage.proofs.unfit = {render("1").image, render("2").image}
    reason = f"so did the return to release 1: its smoke tests fail\n{AGAIN}"
    with pytest.raises(ReleaseError, match=re.escape(reason)):
        stage.deploy("2")


def test_a_rollback_that_fails_says_what_serves_and_what_is_typed(stage: Stage) -> None:
    stage.deploy("2")
    stage.proofs.unfit = {render("1").image}
    with pytest.raises(DeliveryError, match=re.escape(f"its smoke tests fail\n{AGAIN}")):
        rollback(stage.target, None, Options())
    stage.cluster.server.ill = {"web": "unready"}
    stage.cluster.remove_by_hand("deployment/web")
    with pytest.raises(DeliveryError, match="what serves is nothing; `make rollback"):
        rollback(stage.target, 1, Options())


def test_a_rollback_to_an_image_that_is_gone_names_the_release_before_as_the_way_back(stage: Stage) -> None:
    stage.deploy("2")
    stage.cluster.server.ill = {render("1").image: "ImagePullBackOff"}
    with pytest.raises(DeliveryError) as error:
        rollback(stage.target, 1, Options())
    *_, last = str(error.value).splitlines()
    assert f"what serves is {render('2').image}; " in last
    assert last.endswith(", `make rollback ENV=prod OPTIONS='--to 2'` brings release 2")
    stage.type_in(*typed(last.rpartition(", ")[2]))
    assert stage.serving == {"2"}


def test_a_release_is_good_though_what_the_oldest_has_left_cannot_be_deleted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deploy, "forgotten", lambda releases: ["configmap/app-config-1"])
    finalizers = {"metadata": {"finalizers": ["example.com/keep"]}}
    stage.cluster.by_hand("configmap/app-config-1", finalizers)
    stage.deploy("2")
    assert phases(stage)[0] == (2, "good")
    *_, good, left, which = heard(capsys)
    assert good.startswith("release 2 of prod is good")
    assert left.startswith("the next delivery deletes what the oldest releases have left: ")
    assert which.startswith("configmap/app-config-1 is being deleted and waits for example.com/keep; `kubectl -n ")


def test_a_namespace_without_its_secret_is_not_delivered_to(stage: Stage) -> None:
    stage.cluster.delete("secret/db-credentials")
    with pytest.raises(DeliveryError, match="`make credentials ENV=prod` makes it"):
        stage.deploy("2")
    assert phases(stage) == [(1, "good")]


def test_an_administrator_begins_with_an_empty_cluster() -> None:
    stage = Stage()
    stage.deploy("1", bootstrap=True)
    assert stage.serving == {"1"}
    tls = stage.cluster.get("secret/web-tls") or {}
    assert tls["data"]["ca.crt"] == tls["data"]["tls.crt"]
    assert stage.cluster.get("secret/backup") is not None
    assert stage.cluster.list("ValidatingAdmissionPolicy")


def test_a_second_beginning_changes_no_secret() -> None:
    stage = Stage()
    stage.deploy("1", bootstrap=True)
    before = stage.cluster.list("Secret")
    stage.deploy("2", bootstrap=True)
    assert stage.cluster.list("Secret") == before


def test_without_tls_no_certificate_is_made(empty: Stage) -> None:
    deploy.bootstrap(PROD, empty.cluster, render("1", hosts=False))
    assert empty.cluster.get("secret/web-tls") is None


def test_whoever_delivers_brings_the_secrets_of_the_environment_s_file(
    empty: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {DATABASE: credentials.read(empty.cluster, DATABASE), "own": {"a": "b"}}
    secrets = [credentials.secret(PROD.namespace, name, content) for name, content in contents.items()]
    monkeypatch.setattr(sops, "read", lambda environment: secrets)
    deploy.bootstrap(PROD, empty.cluster, render("1"))
    assert credentials.read(empty.cluster, "own") == {"a": "b"}
    empty.cluster.delete("secret/own")
    empty.deploy("1")
    assert credentials.read(empty.cluster, "own") == {"a": "b"}


def test_an_administrator_s_part_begins_nothing_of_the_release(empty: Stage) -> None:
    deploy.bootstrap(PROD, empty.cluster, render("1"))
    assert empty.cluster.list("ConfigMap", "Deployment", "StatefulSet") == []


def test_a_rollback_goes_to_the_good_release_before_the_newest(stage: Stage) -> None:
    stage.deploy("2")
    stage.proofs.unfit = {render("3").image}
    with pytest.raises(ReleaseError):
        stage.deploy("3")
    stage.proofs.unfit = set()
    stage.deploy("4")
    rollback(stage.target, None, Options())
    assert stage.serving == {"2"}
    assert phases(stage) == [(4, "failed"), (3, "failed"), (2, "good"), (1, "good")]


def test_a_rollback_to_a_number_takes_that_one(stage: Stage) -> None:
    stage.deploy("2")
    stage.deploy("3")
    rollback(stage.target, 1, Options())
    assert stage.serving == {"1"}
    assert phases(stage) == [(3, "failed"), (2, "failed"), (1, "good")]


@pytest.mark.parametrize(
    ("number", "reason"), [(None, "no good release before the newest"), (7, "no release 7"), (0, "no release 0")]
)
def test_a_rollback_to_what_is_not_there_changes_nothing(stage: Stage, number: int | None, reason: str) -> None:
    with pytest.raises(DeliveryError, match=f"prod has {reason}; nothing was changed"):
        rollback(stage.target, number, Options())
    assert stage.serving == {"1"}


def test_a_rollback_without_any_release_changes_nothing(empty: Stage) -> None:
    with pytest.raises(DeliveryError, match="no good release before the newest; nothing was changed"):
        rollback(empty.target, None, Options())


def test_a_release_whose_failure_cannot_be_recorded_goes_back_all_the_same(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused_marks(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("patch", "configmap/release-2"):
            raise RefusedError("cannot patch resource configmaps")

    stage.proofs.unfit = {render("2").image}
    stage.cluster.faults.before = refused_marks
    with pytest.raises(ReleaseError, match="release 2 failed, and release 1 runs again"):
        stage.deploy("2")
    assert stage.serving == {"1"}
    assert "configmap/release-2 could not be marked: cannot patch" in capsys.readouterr().err


def test_an_api_server_that_stays_away_hides_no_reason(stage: Stage) -> None:
    stage.cluster.server.ill = {render("2").image: "ImagePullBackOff"}

    def gone(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("patch", "configmap/release-2"):
            cluster.away(2000)

    stage.cluster.faults.after = gone
    words = r"release 2 failed, and so did the return: The connection.*\n.* cannot be seen; `make rollback ENV=prod`"
    with pytest.raises(ReleaseError, match=words) as error:
        stage.deploy("2")
    assert "ImagePullBackOff" in str(error.value.__cause__)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_delivery_whose_lease_has_gone_changes_nothing_more(stage: Stage, share: float) -> None:
    calls = stage.cluster.faults.calls
    stage.deploy("2")
    at = round(share * (stage.cluster.faults.calls - calls))
    calls = stage.cluster.faults.calls
    states: list[dict[Key, Manifest]] = []

    def given_away(cluster: FakeCluster, operation: str, name: str) -> None:
        if not states and operation in ("difference", "get", "list") and cluster.faults.calls > calls + at:
            cluster.by_hand("lease/delivery", {"spec": {"holderIdentity": "delivery by ana"}})
            cluster.server.repeated[0].at = cluster.now()
            cluster.server.advance(1)
            states.append(specs(cluster))

    stage.cluster.faults.after = given_away
    with pytest.raises(DeliveryError, match="has gone to delivery by ana; nothing more was changed"):
        stage.deploy("3")
    assert specs(stage.cluster) == states[0]
    assert stage.serving <= {"2", "3"}


def test_a_delivery_that_fails_without_its_lease_leaves_the_way_back_to_its_holder(stage: Stage) -> None:
    stage.cluster.server.ill = {render("2").image: "ImagePullBackOff"}
    states: list[dict[Key, Manifest]] = []

    def given_away(cluster: FakeCluster, operation: str, name: str) -> None:
        if not states and operation == "logs":
            cluster.by_hand("lease/delivery", {"spec": {"holderIdentity": "delivery by ana"}})
            cluster.server.advance(15)
            states.append(specs(cluster))

    stage.cluster.faults.after = given_away
    with pytest.raises(ReleaseError, match=r"and so did the return: .* has gone to delivery by ana; nothing more"):
        stage.deploy("2")
    assert specs(stage.cluster) == states[0]


def specs(cluster: FakeCluster) -> dict[Key, Manifest]:
    """What a delivery changes of the objects."""
    return {
        key: {part: body.get(part) for part in ("spec", "data")} | {"labels": body["metadata"].get("labels")}
        for key, body in cluster.server.objects.items()
        if key[0] not in ("Event", "Pod", "ReplicaSet", "Lease")
    }


def test_smoke_tests_run_once_more_where_the_api_server_did_not_answer(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke, runs = stage.proofs.smoke, list[float]()

    def unlucky(environment: Environment, render: Render) -> None:
        runs.append(stage.cluster.now())
        if len(runs) == 1:
            stage.cluster.away(100)
            stage.cluster.pause(10)
            raise DeliveryError("no cluster answers to kubectl")
        smoke(environment, render)

    with pytest.MonkeyPatch.context() as there:
        there.setattr(stage.proofs, "smoke", unlucky)
        stage.deploy("2")
    assert stage.serving == {"2"}
    away = "The connection to the server was refused"
    assert f"once more, as the API server did not answer: {away}" in heard(capsys)
    assert 100 <= runs[1] - runs[0] < 110


def test_smoke_tests_that_fail_by_themselves_run_once(stage: Stage) -> None:
    stage.proofs.unfit = {render("2").image}
    with pytest.raises(ReleaseError):
        stage.deploy("2")
    assert stage.proofs.smoked.count(render("2").image) == 1


def test_whoever_may_not_look_at_the_lease_has_smoke_tests_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(environment: Environment, render: Render) -> None:
        stage.cluster.pause(10)
        smoke(environment, render)

    smoke = stage.proofs.smoke
    monkeypatch.setattr(stage.proofs, "smoke", slow)
    stage.cluster.forbidden.add(("get", "Lease"))
    stage.type_in("smoke", "prod")
    assert stage.proofs.smoked == [render("1").image] * 2


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(12))
def test_a_pause_of_the_api_server_costs_no_good_release_and_saves_no_bad_one(stage: Stage, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    illness = draw.choice(("", "", "ImagePullBackOff", "CrashLoopBackOff", "unready", "FailedCreate"))
    stage.cluster.server.ill = {render("2").image: illness}
    first = stage.cluster.faults.calls
    moment = first + draw.randrange(1, 90)
    seconds = draw.uniform(60, 180)

    def paused(cluster: FakeCluster, operation: str, name: str) -> None:
        if cluster.faults.calls == moment:
            cluster.away(seconds)

    setattr(stage.cluster.faults, draw.choice(("before", "after")), paused)
    options = {"canary": draw.choice((0, 1)), "watch": draw.choice((0, 1))}
    if not illness:
        stage.deploy("2", **options)
        assert stage.serving == {"2"}
        assert phases(stage)[0] == (2, "good")
        return
    began = stage.cluster.now()
    with pytest.raises(ReleaseError, match="release 2 failed, and release 1 runs again") as error:
        stage.deploy("2", **options)
    paused_for = seconds if stage.cluster.faults.away_until else 0
    assert error.value.noticed - began - paused_for < 60
    assert stage.serving == {"1"}
    assert phases(stage) == [(2, "failed"), (1, "good")]


def evicted(cluster: FakeCluster, operation: str, name: str) -> None:
    cluster.evict(cluster.pods("app.kubernetes.io/component=web")[0])


FAULTS = {
    **COMMON,
    "refused": refused,
    "pod evicted": evicted,
}
ILLNESSES = ("", "", "ImagePullBackOff", "CrashLoopBackOff", "unready", "restarting")


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(50))
def test_whatever_goes_wrong_users_are_served_and_one_command_brings_a_good_release(stage: Stage, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (nothing secret is drawn)

    stage.cluster.server.ill = {render("2").image: draw.choice(ILLNESSES)}
    drawn(stage.cluster, draw, FAULTS, 90)
    with stage.unserved() as unserved:
        try:
            stage.deploy("2", canary=draw.choice((0, 1)), watch=draw.choice((0, 1)))
        except (DeliveryError, KeyboardInterrupt, Killed):
            pass
        else:
            assert stage.serving == {"2"}
            assert phases(stage)[0] == (2, "good")
        mended(stage.cluster)
        stage.cluster.pause(40)
        stage.cluster.server.ill = {}
        stage.deploy("3")
    assert unserved == []
    assert stage.serving == {"3"}
    assert phases(stage)[0][1] == "good"


def test_a_render_is_parsed_once_however_often_a_delivery_reads_it(stage: Stage) -> None:
    before = _parsed.cache_info().misses
    stage.deploy("once", canary=1, watch=1)
    rollback(stage.target, None, Options())
    assert _parsed.cache_info().misses == before + 1


def test_a_pod_that_was_evicted_is_no_fault_of_what_is_watched(stage: Stage) -> None:
    stage.cluster.evict(stage.cluster.pods(f"{COMPONENT}=web")[0])
    stage.cluster.pause(60)
    stage.deploy("2", watch=1)
    assert stage.serving == {"2"}


def test_a_report_that_cannot_be_written_stops_no_delivery(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "build" / "prod" / "report.json").mkdir(parents=True)
    stage.deploy("2", watch=1)
    assert phases(stage)[0] == (2, "good")


def test_a_canary_that_an_older_fault_holds_up_is_waited_for(stage: Stage) -> None:
    cluster = stage.cluster

    def killed(cluster: FakeCluster, operation: str, name: str) -> None:
        canaries = [pod for pod in cluster.server.of("Pod") if pod["metadata"]["name"].startswith("web-canary")]
        if any(map(workloads.statuses, canaries)):
            raise Killed

    cluster.server.ill = {render("2").image: "ImagePullBackOff"}
    cluster.faults.before = killed
    with pytest.raises(Killed):
        stage.deploy("2", canary=1)
    mended(cluster)
    cluster.pause(60)
    since = cluster.now()

    def had() -> bool:
        if cluster.now() > since + 40:
            cluster.server.ill = {}
        return True

    with cluster.every(1, had):
        stage.deploy("2", canary=1)
    assert stage.serving == {"2"}


@pytest.mark.parametrize("how", ["rollback", "deploy"])
def test_what_a_killed_delivery_was_deleting_is_there_after_the_next(stage: Stage, how: str) -> None:
    cluster = stage.cluster
    cluster.server.grace = 20

    def killed(cluster: FakeCluster, operation: str, name: str) -> None:
        if (operation, name) == ("delete", "deployment/worker"):
            raise Killed

    cluster.faults.after = killed
    without = Render.of(body for body in render("2").objects if rollout.name(body) != "deployment/worker")
    with pytest.raises(Killed):
        deploy.deploy(stage.target, without, Options())
    mended(cluster)
    cluster.by_hand("lease/delivery", {"spec": {"holderIdentity": ""}})
    if how == "rollback":
        stage.type_in("rollback", "prod")
    else:
        stage.deploy("3")
    cluster.pause(30)
    assert cluster.get("deployment/worker")
