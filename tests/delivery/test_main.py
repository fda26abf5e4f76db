"""The command line, as a person or a pipeline types it."""

from __future__ import annotations

import copy
import os
import re
import signal
import sys
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from delivery import __main__, deploy, image, job, lease, observability, overlay, registry, release, shell, sops
from delivery.cluster import Cluster, Manifest, UnavailableError
from delivery.image import Image
from delivery.kubectl import Kubectl
from delivery.render import SINGLE_NODE, Render
from delivery.shell import DeliveryError
from delivery.suites import Suites
from delivery.target import Target
from policy_tests.environment import Environment, find
from policy_tests.manifests import ManifestError
from tests.delivery.database import BACKUP
from tests.delivery.fake import FakeCluster
from tests.delivery.small import HOST, PROD, Stage, cronjob, heard, render, workload

BUILT = Image.parse(render("2").image)


def noted(version: str, single_node: bool) -> Render:
    """A release that says whether it is for a single node."""
    objects = copy.deepcopy(render(version).objects)
    (web,) = (body for body in objects if body == render(version).web)
    web["metadata"]["annotations"][SINGLE_NODE] = str(single_node).lower()
    return Render.of(objects)


@pytest.fixture
def kustomize(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, Image, bool]]:
    """What was rendered: the environment, the image, and whether for a single node."""
    asked: list[tuple[str, Image, bool]] = []

    def write(environment: Environment, image: Image, *, single_node: bool) -> Path:
        asked.append((environment.name, image, single_node))
        return tmp_path

    def rendered(folder: Path) -> Render:
        return noted(asked[-1][1].tag, asked[-1][2])

    monkeypatch.setattr(overlay, "write", write)
    monkeypatch.setattr(overlay, "render", rendered)
    return asked


def invitation(pod: Manifest, command: tuple[str, ...]) -> str:
    """What the application prints where an account is asked for."""
    assert command[:4] == ("python", "-m", "app.school_schedule", "account")
    return f"{command[-1]}/invitation/of-{pod['metadata']['name']}\n"


def test_up_builds_delivers_and_prints_the_way_in(
    kustomize: list[tuple[str, Image, bool]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage = Stage()
    stage.cluster.server.programs["web"] = invitation
    registries: list[str] = []

    def build_and_push(registry: str) -> Image:
        registries.append(registry)
        return BUILT

    monkeypatch.setattr(image, "build_and_push", build_and_push)
    stage.type_in("up", "prod", "--registry", "localhost:5000")
    assert registries == ["localhost:5000"]
    assert kustomize == [("prod", BUILT, True)]
    assert stage.serving == {"2"}
    assert f"https://{HOST}/invitation/of-web-" in capsys.readouterr().out


def test_nothing_is_built_for_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    monkeypatch.setattr(image, "build_and_push", lambda registry: pytest.fail("nobody can take it"))
    stage.cluster.away(600)
    with pytest.raises(UnavailableError):
        stage.type_in("up", "prod")


@pytest.mark.parametrize("asked", [(), ("--single-node",), ("--no-single-node",)])
@pytest.mark.parametrize("before", [True, False])
def test_an_image_is_delivered_at_the_sizes_that_were_asked_for_or_those_of_the_release_before(
    empty: Stage,
    kustomize: list[tuple[str, Image, bool]],
    before: bool,
    asked: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    deploy.deploy(empty.target, noted("1", before), deploy.Options())
    empty.cluster.server.ill = {render("3").image: "CrashLoopBackOff"}
    with pytest.raises(deploy.ReleaseError):
        deploy.deploy(empty.target, noted("3", not before), deploy.Options())
    capsys.readouterr()
    empty.type_in("deploy", "prod", "--image", str(BUILT), *asked)
    wanted = asked == ("--single-node",) if asked else before
    assert kustomize == [("prod", BUILT, wanted)]
    assert empty.serving == {"2"}
    sizes = ["those of its overlay", "those for a single node"]
    change = f"release 1 has {sizes[before]}, this one {sizes[wanted]}"
    same = "at the sizes for a single node, as release 1; --no-single-node takes those of the overlay"
    assert [line for line in heard(capsys) if "sizes" in line] == (
        [f"prod changes its sizes: {change}"] if wanted != before else [same] if before and not asked else []
    )


@pytest.mark.parametrize("small", [True, False])
def test_a_release_that_notes_no_sizes_is_known_by_the_store_that_came_with_the_small_ones(
    empty: Stage, kustomize: list[tuple[str, Image, bool]], small: bool
) -> None:
    store = workload("StatefulSet", "backup-store", "backup-store", {"name": "rclone"})
    empty.deploy("1", "0001", *([store] if small else []))
    empty.type_in("deploy", "prod", "--image", str(BUILT))
    assert kustomize == [("prod", BUILT, small)]


@pytest.mark.parametrize(("command", "small"), [("up", True), ("deploy", False)])
def test_the_first_release_of_a_cluster_of_one_s_own_is_small_and_that_of_others_is_not(
    empty: Stage,
    kustomize: list[tuple[str, Image, bool]],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    small: bool,
) -> None:
    empty.cluster.server.programs["web"] = invitation
    monkeypatch.setattr(image, "build_and_push", lambda registry: BUILT)
    options = {"up": (), "deploy": ("--image", str(BUILT))}
    empty.type_in(command, "prod", *options[command])
    assert kustomize == [("prod", BUILT, small)]


def test_an_image_is_watched_for_as_long_as_was_asked_for(
    stage: Stage, kustomize: list[tuple[str, Image, bool]]
) -> None:
    before = stage.cluster.now()
    stage.type_in("deploy", "prod", "--image", str(BUILT), "--canary", "2", "--watch", "3")
    assert 300 < stage.cluster.now() - before < 360


def test_a_rollback_may_name_its_release_and_how_long_it_waits(stage: Stage) -> None:
    stage.deploy("2")
    stage.deploy("3")
    stage.type_in("rollback", "prod", "--to", "1", "--wait", "5")
    assert stage.serving == {"1"}
    with lease.held(stage.cluster):
        before = stage.cluster.now()
        with pytest.raises(Exception, match="is in use"):
            stage.type_in("rollback", "prod", "--wait", "5")
        assert stage.cluster.now() - before < 10


def test_monitor_watches_what_the_newest_good_release_has_put_there(stage: Stage, tmp_path: Path) -> None:
    before = stage.cluster.now()
    stage.type_in("monitor", "prod", "--minutes", "2")
    assert 120 <= stage.cluster.now() - before < 130


def test_smoke_tests_are_those_of_the_newest_good_release(stage: Stage) -> None:
    stage.type_in("smoke", "prod")
    assert stage.proofs.smoked == [render("1").image] * 2


def test_status_shows_releases_and_pods(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.deploy("2")
    capsys.readouterr()
    stage.type_in("status", "prod")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["2", "good"]
    assert render("1").image in lines[1]
    pods = [line.split() for line in lines[2:]]
    assert ["mysql-0", "1/1", "Running", "0", "restarts"] in pods


def test_status_of_a_cluster_without_any_release_says_so(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    Stage(cluster).type_in("status", "prod")
    line = "school-scheduler-prod has no release here; `kubectl config current-context` says which cluster was asked"
    assert capsys.readouterr().out.splitlines() == [line, ""]


def test_status_is_a_screen_however_many_pods_there_are(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shell, "HEIGHT", 4)
    stage.type_in("status", "prod")
    assert re.search(r"\n\.\.\. 2 more lines: .*/build/prod/pods.txt \.\.\.\n", capsys.readouterr().out)


def test_status_shows_what_was_changed_by_hand_and_how_it_is_taken_back(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.cluster.by_hand("cronjob/backup", {"spec": {"suspend": True}})
    capsys.readouterr()
    stage.type_in("status", "prod")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "not of release 1: cronjob/backup: spec.suspend, by hand",
        "`make rollback ENV=prod OPTIONS='--to 1'` takes it back",
    ]
    stage.type_in("rollback", "prod", "--to", "1")
    capsys.readouterr()
    stage.type_in("status", "prod")
    assert "by hand" not in capsys.readouterr().out


def test_status_does_not_compare_with_a_release_under_way(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    release.record(stage.cluster, render("2"), commit="", by="")
    stage.type_in("status", "prod")
    assert "release 2 is being delivered, or was interrupted\n" in capsys.readouterr().out


def test_status_says_where_the_right_to_compare_is_missing(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.cluster.forbidden.add(("list", "ServiceAccount"))
    stage.type_in("status", "prod")
    assert "whether somebody has changed anything by hand is not known: " in capsys.readouterr().out


@pytest.mark.parametrize(("missing", "lacks"), [("ingress/web", "no Ingress"), ("deployment/web", "no web pod")])
def test_an_account_needs_an_environment_that_runs(stage: Stage, missing: str, lacks: str) -> None:
    stage.cluster.delete(missing)
    with pytest.raises(Exception, match=f"has {lacks}.*make up ENV=prod brings it up"):
        stage.type_in("account", "prod")


def test_an_account_is_made_in_a_pod_that_serves(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.cluster.server.programs["web"] = invitation
    stage.type_in("account", "prod")
    assert capsys.readouterr().out.startswith(f"https://{HOST}/invitation/of-web-")


def test_backups_are_made_and_listed(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.type_in("backup", "prod")
    made = capsys.readouterr().out
    stage.type_in("backups", "prod")
    assert capsys.readouterr().out.splitlines() == [
        made.strip(),
        f'{{"backup": "{PROD.namespace}/{BACKUP}", "bytes": 10}}',
    ]


def test_a_generation_runs_when_the_one_before_has_ended(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.cluster.server.steps["generation"] = lambda container: "generated\n"
    stage.cluster.server.step_seconds = 20
    stage.cluster.create(job.from_template(stage.cluster.get("cronjob/generation") or {}))
    before = stage.cluster.now()
    stage.type_in("generate", "prod")
    assert stage.cluster.now() - before > 40
    captured = capsys.readouterr()
    assert captured.out.endswith("generated\n")
    assert captured.err.count("is running; waiting for its end") == 1


def test_the_secret_gets_what_it_lacks(stage: Stage) -> None:
    stage.cluster.delete("secret/db-credentials")
    stage.type_in("credentials", "prod")
    assert stage.cluster.get("secret/db-credentials")


def test_down_takes_the_environment_with_all_its_data_away(stage: Stage) -> None:
    stage.type_in("down", "prod", "--confirm", "prod")
    assert stage.cluster.get(f"namespace/{PROD.namespace}") is None
    assert stage.cluster.list("Pod", "Secret", "ConfigMap") == []
    stage.type_in("down", "prod", "--confirm", "prod")


@pytest.mark.parametrize("confirmed", [(), ("--confirm", "preprod")])
def test_down_takes_nothing_away_without_the_name_once_more(stage: Stage, confirmed: tuple[str, ...]) -> None:
    with pytest.raises(DeliveryError, match="nothing was deleted: `make down ENV=prod OPTIONS='--confirm prod'`"):
        stage.type_in("down", "prod", *confirmed)
    assert stage.serving == {"1"}


def test_a_restore_may_be_of_another_environment(stage: Stage) -> None:
    stage.database.store = {f"{find('preprod').namespace}/20261102T000000Z": "of preprod"}
    options = ("--backup", "20261102T000000Z", "--of", "preprod")
    stage.type_in("restore", "prod", *options, "--overwrite", "--confirm", "prod")
    assert stage.database.data == "of preprod"


def test_what_watches_is_told_whom_to_alert(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Target, str | None, dict[str, str | None]]] = []
    monkeypatch.setattr(observability, "install", lambda *given, **named: asked.append((*given, named)))
    stage.type_in("observability", "prod", "--webhook", "https://alerts.example")
    stage.type_in("observability", "prod", "--through", "traefik.traefik.svc", "--heartbeat", "https://alive.example")
    assert asked == [
        (stage.target, "https://alerts.example", {"through": None, "heartbeat": None}),
        (stage.target, None, {"through": "traefik.traefik.svc", "heartbeat": "https://alive.example"}),
    ]


def test_the_file_of_secrets_takes_what_the_cluster_has_where_asked_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Environment, Cluster | None]] = []
    monkeypatch.setattr(sops, "make", lambda *arguments: asked.append(arguments))
    stage.type_in("secrets", "prod")
    stage.type_in("secrets", "prod", "--from-cluster")
    assert asked == [(PROD, None), (PROD, stage.cluster)]


def test_passwords_are_rotated(stage: Stage) -> None:
    before = stage.cluster.get("secret/db-credentials")
    stage.type_in("rotate", "prod")
    assert stage.cluster.get("secret/db-credentials") != before


def test_a_restore_drill_prints_what_it_found(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.cluster.apply([cronjob("restore-drill", ("check",))])
    stage.cluster.server.steps["check"] = lambda container: "as it was\n"
    stage.type_in("restore-drill", "prod")
    assert capsys.readouterr().out.endswith("as it was\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("deploy", "dev", "--image", "i"), {"wait": 60, "canary": 0, "watch": 0, "single_node": None}),
        (
            ("up", "dev"),
            {"registry": "localhost:5001", "wait": 60, "canary": 0, "watch": 0, "single_node": None},
        ),
        (("rollback", "dev"), {"to": None, "wait": 60}),
        (("monitor", "dev"), {"minutes": 10}),
        (("restore", "dev"), {"backup": "newest", "of": None, "overwrite": False, "confirm": None}),
    ],
)
def test_what_is_not_typed_has_a_default(
    words: tuple[str, ...], expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INGRESS", raising=False)
    options = vars(__main__.parser().parse_args(words))
    assert {key: options[key] for key in expected} == expected
    assert options["ingress"] is None


@pytest.mark.parametrize("length", ["nan", "inf", "-1", "soon"])
@pytest.mark.parametrize("words", ["rollback dev --wait", "monitor dev --minutes", "up dev --watch", "up dev --canary"])
def test_what_is_no_length_of_time_is_refused(words: str, length: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        __main__.parser().parse_args(f"{words}={length}".split())
    assert f"invalid duration value: '{length}'" in capsys.readouterr().err


def test_an_environment_that_is_not_listed_is_no_choice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        __main__.parser().parse_args(["status", "staging"])
    assert "invalid choice: 'staging'" in capsys.readouterr().err


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["delivery", *arguments])
    return __main__.main()


@pytest.fixture
def signals() -> Iterator[None]:
    """Signals are handled as at a terminal, whatever the tests were started by."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_an_error_is_one_message_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "promote", "--image", "scheduler", "--tag", "v1") == 1
    assert capsys.readouterr().err == "delivery: 'scheduler' is no image; give NAME:TAG\n"


@pytest.mark.usefixtures("signals")
def test_a_disk_that_is_full_is_one_message_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(image: str, tag: str, move: bool) -> str:
        raise OSError(28, "No space left on device", "build")

    monkeypatch.setattr(registry, "promote", full)
    assert typed(monkeypatch, "promote", "--image", "scheduler:1", "--tag", "v1") == 1
    assert capsys.readouterr().err == "delivery: [Errno 28] No space left on device: 'build'\n"


@pytest.mark.usefixtures("signals")
def test_a_promoted_image_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(registry, "promote", lambda image, tag, move: f"{image} is {tag}")
    assert typed(monkeypatch, "promote", "--image", "scheduler:1", "--tag", "v1") == 0
    assert capsys.readouterr().out == "scheduler:1 is v1\n"


@pytest.mark.usefixtures("signals")
def test_a_version_is_chosen_without_a_cluster_and_said_to_be_committed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    chosen: list[tuple[str, Image]] = []

    def choose(environment: Environment, image: Image) -> bool:
        chosen.append((environment.name, image))
        return len(chosen) == 1

    monkeypatch.setattr(overlay, "choose", choose)
    for _ in range(2):
        assert typed(monkeypatch, "version", "prod", "--image", str(BUILT)) == 0
    assert chosen == [("prod", BUILT)] * 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"delivery: overlays/prod/version names {BUILT}: commit it"
    assert second == f"delivery: overlays/prod/version named {BUILT} already"


@pytest.mark.usefixtures("signals")
def test_a_version_needs_a_digest(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed(monkeypatch, "version", "prod", "--image", "scheduler:v1") == 1
    message = "delivery: 'scheduler:v1' is not a pinned image; give NAME:TAG@sha256:DIGEST\n"
    assert capsys.readouterr().err == message


@pytest.mark.usefixtures("signals")
def test_what_a_terminal_s_encoding_lacks_is_shown_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(BytesIO(), encoding="latin-1"))
    monkeypatch.setattr(registry, "promote", lambda image, tag, move: "Jürgen \u2192 v1")
    assert typed(monkeypatch, "promote", "--image", "scheduler:1", "--tag", "v1") == 0
    sys.stdout.seek(0)
    assert sys.stdout.read() == "Jürgen \\u2192 v1\n"


@pytest.mark.usefixtures("signals")
def test_a_list_of_environments_that_git_could_not_merge_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unmerged() -> None:
        raise ManifestError("environments.yaml: <<<<<<<; restore it from Git")

    monkeypatch.setattr(__main__, "read_list", unmerged)
    assert typed(monkeypatch, "status", "prod") == 1
    assert capsys.readouterr().err == "delivery: environments.yaml: <<<<<<<; restore it from Git\n"


@pytest.mark.usefixtures("signals")
def test_what_succeeds_ends_with_0(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "target_of", lambda options: stage.target)
    assert typed(monkeypatch, "status", "prod") == 0


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_pipeline_that_is_cancelled_gives_the_lease_back(
    stage: Stage, number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cancelled(cluster: object, operation: str, name: str) -> None:
        if operation == "apply" and name.startswith("job"):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(__main__, "target_of", lambda options: stage.target)
    stage.cluster.faults.before = cancelled
    assert typed(monkeypatch, "backup", "prod") == 130
    assert heard(capsys)[-1] == "interrupted; the same command again finishes the work"
    assert (stage.cluster.get("lease/delivery") or {})["spec"]["holderIdentity"] == ""


@pytest.mark.usefixtures("signals")
def test_what_nohup_ignores_stays_ignored(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "target_of", lambda options: stage.target)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert typed(monkeypatch, "status", "prod") == 0
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_the_target_is_where_the_kubeconfig_has_the_environment() -> None:
    options = __main__.parser().parse_args(["smoke", "prod", "--ingress", "127.0.0.1"])
    expected = Target(PROD, Kubectl(PROD.namespace), Suites("127.0.0.1"))
    assert __main__.target_of(options) == expected
    options = __main__.parser().parse_args(["status", "prod"])
    assert __main__.target_of(options).proofs == Suites(None)


def test_the_ingress_of_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGRESS", "10.0.0.1")
    assert __main__.parser().parse_args(["smoke", "prod"]).ingress == "10.0.0.1"


def test_a_release_that_nobody_delivered_cannot_be_smoked(empty: Stage) -> None:
    with pytest.raises(Exception, match="has no good release; deliver one first"):
        empty.type_in("smoke", "prod")
    assert release.read(empty.cluster) == []


def test_an_account_is_made_for_the_host_of_the_release_whatever_other_ingresses_there_are(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.cluster.server.programs["web"] = invitation
    metadata = {"name": "cm-acme-http-solver", "namespace": PROD.namespace}
    stage.cluster.create({"kind": "Ingress", "metadata": metadata, "spec": {"defaultBackend": {}}})
    stage.type_in("account", "prod")
    assert capsys.readouterr().out.startswith(f"https://{HOST}/invitation/of-web-")


@pytest.mark.parametrize("rules", [None, [], [{}], [{"host": None}]])
def test_an_ingress_without_a_host_is_named_in_one_line(stage: Stage, rules: object) -> None:
    stage.cluster.server.programs["web"] = invitation
    stage.cluster.by_hand("ingress/web", {"spec": {"rules": rules}})
    with pytest.raises(DeliveryError, match="ingress/web has no rule with a host; deliver a release"):
        stage.type_in("account", "prod")
