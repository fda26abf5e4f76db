"""Every workflow from its first to its last job; what programs are asked for, and what a failure stops."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

import pytest

from tests.workflows.act import Act, Run
from tests.workflows.conftest import BUILT, ENVIRONMENTS, PROVEN, SECRETS, Start, own

HUB = {"DOCKERHUB_USERNAME": "escola", "DOCKERHUB_TOKEN": "token-of-the-hub"}
IMAGE, HUB_IMAGE = "ghcr.io/example/school-scheduler", "docker.io/escola/school-scheduler"
DEPLOY = "python -m delivery deploy"
CALL = "make |python -m delivery "


def succeeded(*jobs: str) -> dict[str, str]:
    return dict.fromkeys(jobs, "success")


def made(run: Run) -> list[str]:
    """What make and delivery were asked for; what tests make in parallel, sorted, goes first."""
    calls = [re.sub(CALL, "", call) for call in run.calls if re.match(CALL, call)]
    tests = [call for call in calls if re.match("(audit|check|policy|sbom|unit|test)", call)]
    return sorted(tests) + [call for call in calls if call not in tests]


@pytest.fixture(scope="module")
def commit(act: Act) -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=act.tree, capture_output=True, text=True).stdout.strip()


UNIT = ("unit 3.11", "unit 3.12", "unit 3.13")
POLICY = "policy OPTIONS=--sarif build/policy.sarif"
TESTED = ["audit", "check", "check-deployed", POLICY, "sbom", "test-mysql", "unit", "unit", "unit"]


def test_a_push_to_develop_is_tested_published_and_deployed_to_dev(push: Start, commit: str) -> None:
    run = push("ci-cd", "refs/heads/develop", settings={"DEPLOY_DEV": "true"})
    assert run.jobs == succeeded("check", "audit", "policy", *UNIT, "test-mysql", "image", "deploy", "done")
    image = f"{IMAGE}:dev-17"
    assert made(run) == [
        *TESTED,
        f"digest --image {image}",
        f"promote IMAGE={image}@{BUILT} TAG=latest-dev OPTIONS=--move",
        f"deploy dev --image {image}@{BUILT}",
        "status dev",
    ]
    labels = ("VERSION=dev-17", f"COMMIT={commit}", "SOURCE=https://github.com/example/school-scheduler")
    words = " ".join(f"--build-arg={label}" for label in labels)
    assert f"docker build --quiet {words} --tag={image} ." in run.calls
    assert all(f"setup-python {version}" in run.log for version in ("3.11", "3.12", "3.13"))


def test_without_a_named_cluster_develop_is_published_only(push: Start) -> None:
    run = push("ci-cd", "refs/heads/develop")
    assert run.jobs == succeeded("check", "audit", "policy", *UNIT, "test-mysql", "image", "done")
    assert not [call for call in made(run) if call.startswith("deploy")]


def test_a_pull_request_gets_one_comment_and_publishes_nothing(pull_request: Start) -> None:
    run = pull_request("ci-cd")
    assert run.jobs == succeeded("check", "audit", "policy", *UNIT, "test-mysql", "build", "comment", "done")
    assert "upload-sarif build/policy.sarif" in run.calls
    assert [call for call in run.calls if call.startswith("comment")] == ["comment environments nothing changes"]
    assert [call for call in run.calls if call.startswith(("docker", "login"))] == ["docker build ."]


def test_a_pull_request_is_compared_with_what_it_would_be_merged_into(pull_request: Start) -> None:
    (diff,) = (call for call in made(pull_request("ci-cd")) if call.startswith("diff"))
    assert re.fullmatch(r"diff BASE=\S+/base", diff)


def test_a_merge_queue_is_tested_and_publishes_nothing(start: Start) -> None:
    run = start("ci-cd", "merge_group", {"merge_group": {"head_ref": "refs/heads/gh-readonly-queue/main/pr-1"}})
    assert run.jobs == succeeded("check", "audit", "policy", *UNIT, "test-mysql", "build", "done")
    assert [call for call in run.calls if call.startswith(("docker", "login", "comment"))] == ["docker build ."]


def test_a_fork_gets_neither_comment_nor_alerts_nor_secrets(pull_request: Start) -> None:
    run = pull_request("ci-cd", "somebody/school-scheduler")
    assert run.jobs == succeeded("check", "audit", "policy", *UNIT, "test-mysql", "build", "done")
    assert not [call for call in run.calls if call.startswith(("comment", "upload-sarif", "login"))]
    assert (run.artifacts / "diff" / "diff.md").read_text() == "nothing changes\n"


def test_homolog_gets_the_image_that_was_built(push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog")
    assert run.jobs == succeeded("test", "test-mysql", "image", "deploy")
    image = f"{IMAGE}:homolog-17"
    deploy = f"deploy homolog --image {image}@{BUILT}"
    assert made(run) == ["test", "test-mysql", f"digest --image {image}", deploy, "status homolog"]


@pytest.mark.parametrize("name", ["DB_PASSWORD_HOMOLOG", "DB_PASSWORD"])
def test_homolog_is_tested_on_a_database_of_its_own_where_there_is_one(name: str, push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog", secrets=SECRETS | {name: "secret"})
    assert run.jobs == succeeded("test", "test-mysql", "image", "deploy")
    assert made(run)[:2] == ["test", "unit OPTIONS=-m mysql"]


def test_preprod_proves_an_image_before_its_commit_gets_a_tag(push: Start, commit: str) -> None:
    run = push("ci-preprod", "refs/heads/main")
    jobs = ("look", "test", "test-mysql", "image", "scan", "sign", "deploy", "approve", "prove")
    assert run.jobs == succeeded(*jobs)
    image = f"{IMAGE}:preprod-17@{BUILT}"
    assert made(run) == [
        "test",
        "test-mysql",
        f"digest --image {IMAGE}:sha-{commit}",
        f"digest --image {IMAGE}:preprod-17",
        f"deploy preprod --image {image} --canary 2",
        f"generate preprod --image {image}",
        f"smoke preprod --image {image}",
        f"load ENV=preprod DIGEST={BUILT}",
        "status preprod",
        "gate GATE=preprod-approval",
        f"promote IMAGE={image} TAG=sha-{commit} OPTIONS=",
    ]


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/tags/preprod/2026-11-24"])
def test_a_commit_that_has_its_proof_is_delivered_again_and_nothing_is_built(
    ref: str, push: Start, commit: str
) -> None:
    run = push("ci-preprod", ref, THERE="*:sha-*")
    assert run.jobs == succeeded("look", "deploy")
    proven = f"{IMAGE}:sha-{commit}@{PROVEN}"
    assert f"deploy preprod --image {proven} --canary 2" in made(run)
    assert not [call for call in run.calls if call.startswith(("docker", "attest", "make promote", "make test"))]


def test_a_run_that_is_repeated_takes_the_image_that_it_has_built(push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog", THERE="*:homolog-17", GITHUB_RUN_ATTEMPT="2")
    assert run.jobs == succeeded("test", "test-mysql", "image", "deploy")
    assert not [call for call in run.calls if call.startswith("docker")]
    assert f"deploy homolog --image {IMAGE}:homolog-17@{PROVEN}" in made(run)


@pytest.mark.parametrize(
    ("workflow", "ref", "why"),
    [
        ("ci-cd", "refs/heads/develop", {"HEAD": "beef"}),
        ("ci-homolog", "refs/heads/release/1.2", {"GITHUB_RUN_ATTEMPT": "2", "LATEST": "9"}),
    ],
)
def test_what_is_superseded_moves_nothing_and_is_green(
    workflow: str, ref: str, why: dict[str, str], push: Start
) -> None:
    run = push(workflow, ref, settings={"DEPLOY_DEV": "true"}, **why)
    assert run.passed
    assert {"approve", "prove"}.isdisjoint(run.jobs)
    assert not [call for call in made(run) if call.startswith(("deploy", "generate", "load", "promote", "status"))]
    assert "superseded by" in run.log


@pytest.mark.parametrize(
    ("workflow", "ref"),
    [
        ("ci-homolog", "refs/heads/homolog"),
        ("ci-preprod", "refs/heads/main"),
    ],
)
def test_in_a_new_repository_what_is_not_set_up_is_skipped_and_named(workflow: str, ref: str, push: Start) -> None:
    run = push(workflow, ref, secrets={}, settings={"DEPLOY_DEV": "true"})
    assert run.passed
    assert run.jobs["deploy"] == "success"
    assert {"approve", "prove"}.isdisjoint(run.jobs)
    assert not [call for call in made(run) if call.startswith(("deploy", "load", "status"))]
    assert "is not set up, and nothing was delivered; `make github` makes the environment" in run.log
    assert "gh secret set KUBECONFIG --env" in run.log


def test_a_release_without_a_way_to_production_is_refused(push: Start) -> None:
    run = push("ci-prod", "refs/tags/v1.2.3", secrets={})
    assert run.jobs == succeeded("verify", "promote") | {"deploy": "failure"}
    assert "production was not touched: it has no kubeconfig" in run.log


def test_preprod_scans_and_attests_the_image_that_it_built(push: Start) -> None:
    run = push("ci-preprod", "refs/heads/main")
    assert [call for call in run.calls if call.startswith(("scan", "attest"))] == [
        f"scan {IMAGE}@{BUILT} as table",
        f"scan {IMAGE}@{BUILT} as cyclonedx",
        f"attest {IMAGE}@{BUILT}",
        f"attest {IMAGE}@{BUILT} with sbom.cdx.json",
    ]


def test_prod_gets_the_proven_digest_and_nothing_is_built(push: Start, commit: str) -> None:
    run = push("ci-prod", "refs/tags/v1.2.3")
    assert run.jobs == succeeded("verify", "promote", "deploy", "release")
    assert made(run) == [
        "sbom",
        f"digest --image {IMAGE}:sha-{commit}",
        f"promote IMAGE={IMAGE}:sha-{commit}@{PROVEN} TAG=v1.2.3 OPTIONS=",
        "gate GATE=production",
        f"deploy prod --image {IMAGE}:v1.2.3@{PROVEN} --forward --wait 3600 --canary 2 --watch 10",
        "status prod",
    ]
    assert not [call for call in run.calls if call.startswith("docker")]
    verified, scanned, _, released = (call for call in run.calls if call.startswith(("gh", "scan", "make promote")))
    assert verified.startswith(f"gh attestation verify oci://{IMAGE}@{PROVEN} --repo example/school-scheduler ")
    assert f" --source-digest {commit} " in verified
    assert verified.endswith(" --source-ref refs/heads/main")
    assert scanned == f"scan {IMAGE}@{PROVEN} as table"
    assert released == (
        "gh release create v1.2.3 --verify-tag --title v1.2.3 --notes-file build/notes.md build/sbom.cdx.json"
    )


def test_a_tag_that_is_no_version_is_refused_before_anything_moves(push: Start) -> None:
    run = push("ci-prod", "refs/tags/v1.2.3+4")
    assert run.jobs == {"verify": "failure"}
    assert "v1.2.3+4 is no version that can be released" in run.log
    assert made(run) == []


def test_a_version_that_the_changelog_does_not_tell_of_is_refused_before_anything_moves(push: Start) -> None:
    run = push("ci-prod", "refs/tags/v1.2.5")
    assert run.jobs == {"verify": "failure"}
    assert "CHANGELOG.md has nothing under a heading `## v1.2.5`" in run.log
    assert made(run) == []


def test_what_preprod_has_not_proved_is_refused_before_anything_moves(push: Start, commit: str) -> None:
    run = push("ci-prod", "refs/tags/v1.2.3", THERE="")
    assert run.jobs == {"verify": "failure"}
    assert f"there is no image sha-{commit}: preprod did not prove it" in run.log


def test_a_private_repository_signs_and_verifies_with_a_key(push: Start, commit: str) -> None:
    key = {"COSIGN_PRIVATE_KEY": "key", "COSIGN_PASSWORD": "password"}
    settings = {"PROVENANCE": "cosign", "COSIGN_PUBLIC_KEY": "public"}
    signed = push("ci-preprod", "refs/heads/main", secrets=SECRETS | key, settings=settings)
    assert signed.jobs["prove"] == "success"
    notes = f"--annotations=commit={commit} --annotations=ref=refs/heads/main"
    (call,) = (call for call in signed.calls if call.startswith(("attest", "cosign")))
    assert call.startswith("cosign sign --yes --key=env://COSIGN_PRIVATE_KEY ")
    assert call.endswith(f"{notes} {IMAGE}@{BUILT}")
    run = push("ci-prod", "refs/tags/v1.2.3", settings=settings)
    assert run.jobs == succeeded("verify", "promote", "deploy", "release")
    (call,) = (call for call in run.calls if call.startswith(("gh attestation", "cosign")))
    assert call.startswith("cosign verify --key=env://COSIGN_PUBLIC_KEY ")
    assert call.endswith(f"{notes} {IMAGE}@{PROVEN}")


@pytest.mark.parametrize(
    ("workflow", "ref", "fail", "red", "never"),
    [
        ("ci-cd", "refs/heads/develop", "make unit*", "done", ["docker"]),
        ("ci-homolog", "refs/heads/homolog", "make test", "test", ["docker", DEPLOY]),
        ("ci-homolog", "refs/heads/homolog", f"{DEPLOY}*", "deploy", []),
        ("ci-preprod", "refs/heads/main", "scan * as table", "scan", ["attest", DEPLOY, "make promote"]),
        ("ci-preprod", "refs/heads/main", f"{DEPLOY}*", "deploy", ["make load", "make promote"]),
        ("ci-preprod", "refs/heads/main", "make load*", "deploy", ["make promote"]),
        ("ci-preprod", "refs/heads/main", "make gate*", "prove", ["make promote"]),
        ("ci-prod", "refs/tags/v1.2.3", "gh *", "verify", ["scan", "make promote", DEPLOY]),
        ("ci-prod", "refs/tags/v1.2.3", "scan *", "verify", ["make promote", DEPLOY]),
        ("ci-prod", "refs/tags/v1.2.3", "make promote*", "promote", [DEPLOY]),
        ("ci-prod", "refs/tags/v1.2.3", "make gate*", "deploy", [DEPLOY]),
        ("ci-prod", "refs/tags/v1.2.3", f"{DEPLOY}*", "deploy", []),
    ],
)
def test_a_failure_is_red_and_stops_what_comes_after_it(
    workflow: str, ref: str, fail: str, red: str, never: Iterable[str], push: Start
) -> None:
    run = push(workflow, ref, fail=fail)
    assert not run.passed
    assert run.jobs[red] == "failure"
    assert not [call for call in run.calls if call.startswith(tuple(never) or "nothing")]


@pytest.mark.parametrize("fail", ["", f"{DEPLOY}*"])
def test_a_kubeconfig_is_private_outside_the_checkout_and_forgotten(fail: str, push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog", fail=fail)
    assert run.kubeconfigs
    assert all(re.fullmatch(r"600 /\S+/kubeconfig homolog", each) for each in run.kubeconfigs)
    assert "upload deploy-homolog-1" in run.calls
    assert "kubeconfig left behind" not in run.calls


@pytest.mark.parametrize(
    ("workflow", "ref", "environment"),
    [("ci-homolog", "refs/heads/homolog", "homolog"), ("ci-preprod", "refs/heads/main", "preprod")],
)
def test_a_delivery_alone_has_the_private_key_of_its_environment(
    workflow: str, ref: str, environment: str, push: Start
) -> None:
    run = push(workflow, ref)
    (call,) = run.keys
    assert call.startswith(f"key-of-{environment}: {DEPLOY} {environment} ")
    assert "key-of-" not in "\n".join(run.calls)


def test_a_secret_of_an_environment_of_github_needs_no_suffix(push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog", secrets=own("homolog"))
    assert {note.split()[-1] for note in run.kubeconfigs} == {"homolog"}
    assert {note.partition(": ")[0] for note in run.keys} == {"key-of-homolog"}


def test_after_a_failure_the_status_is_shown_and_the_report_kept(push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog", fail=f"{DEPLOY}*")
    assert run.calls[-2:] == ["python -m delivery status homolog", "upload deploy-homolog-1"]


def test_a_status_that_cannot_be_seen_spoils_no_delivery(push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog", fail="python -m delivery status*")
    assert run.jobs == succeeded("test", "test-mysql", "image", "deploy")
    assert "its status cannot be seen" in run.log


def test_a_missing_kubeconfig_is_named(by_hand: Start) -> None:
    run = by_hand("generate", secrets={}, environment="dev")
    assert run.jobs == {"generate": "failure"}
    assert "dev was not touched: it has no kubeconfig; `make github` makes" in run.log


@pytest.mark.parametrize(
    ("secrets", "settings", "login", "name"),
    [
        ({}, {}, "somebody to ghcr.io", IMAGE),
        (
            {"DOCKERHUB_TOKEN": HUB["DOCKERHUB_TOKEN"]},
            {"DOCKERHUB_USERNAME": "escola"},
            "escola to docker.io",
            HUB_IMAGE,
        ),
        (
            HUB | {"DOCKERHUB_USERNAME": "Escola"},
            {},
            "Escola to docker.io",
            HUB_IMAGE,
        ),
        (
            HUB,
            {"IMAGE_NAME": "registry.example.org/escola/horario"},
            "escola to registry.example.org",
            "registry.example.org/escola/horario",
        ),
    ],
)
def test_the_registry_is_docker_hub_with_its_secrets_and_ghcr_without(
    secrets: dict[str, str], settings: dict[str, str], login: str, name: str, push: Start, commit: str
) -> None:
    run = push("ci-prod", "refs/tags/v1.2.3", secrets=SECRETS | secrets, settings=settings)
    assert run.calls[0] == f"login {login} with a password of 16 characters"
    assert made(run)[1:3] == [
        f"digest --image {name}:sha-{commit}",
        f"promote IMAGE={name}:sha-{commit}@{PROVEN} TAG=v1.2.3 OPTIONS=",
    ]
    assert made(run)[4].startswith(f"deploy prod --image {name}:v1.2.3@{PROVEN} ")


def test_a_user_of_docker_hub_without_a_token_is_refused(push: Start) -> None:
    run = push("ci-prod", "refs/tags/v1.2.3", settings={"DOCKERHUB_USERNAME": "escola"})
    assert run.jobs == {"verify": "failure"}
    assert "DOCKERHUB_USERNAME is set and DOCKERHUB_TOKEN is not" in run.log


def test_docker_hub_s_token_is_on_no_command_line_and_its_attestations_name_its_index(push: Start) -> None:
    run = push("ci-preprod", "refs/heads/main", secrets=HUB)
    assert f"attest index.docker.io/escola/school-scheduler@{BUILT}" in run.calls
    assert HUB["DOCKERHUB_TOKEN"] not in "\n".join(run.calls)


def test_a_git_tag_that_a_shell_would_run_is_refused(push: Start) -> None:
    run = push("ci-prod", "refs/tags/v1;id")
    assert run.jobs == {"verify": "failure"}
    assert "is no version that can be released" in run.log
    assert made(run) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_rollback_by_hand_has_the_kubeconfig_of_its_environment_only(environment: str, by_hand: Start) -> None:
    run = by_hand("rollback", environment=environment, release="17")
    assert run.jobs == succeeded("rollback")
    assert made(run) == [f"rollback {environment} --wait 900 --to 17", f"status {environment}"]
    assert {each.split()[-1] for each in run.kubeconfigs} == {environment}


def test_a_rollback_to_no_release_in_particular_leaves_the_choice_to_make(by_hand: Start) -> None:
    assert made(by_hand("rollback", environment="dev", release=""))[0] == "rollback dev --wait 900"


def test_a_rollback_to_no_number_is_refused(by_hand: Start) -> None:
    run = by_hand("rollback", environment="prod", release="17; id")
    assert run.jobs == {"rollback": "failure"}
    assert made(run) == ["status prod"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_generation_by_hand_keeps_its_result(environment: str, by_hand: Start) -> None:
    run = by_hand("generate", environment=environment)
    assert run.jobs == succeeded("generate")
    assert made(run) == [f"generate {environment}", f"status {environment}"]
    assert {each.split()[-1] for each in run.kubeconfigs} == {environment}
    kept = run.artifacts / f"generate-{environment}-1" / environment / "output.txt"
    assert kept.read_text() == "cost 0 41\n"


def test_at_night_homolog_generates_where_it_is_switched_on(start: Start) -> None:
    run = start("generate", "schedule", {}, settings={"GENERATE_NIGHTLY": "true"})
    assert run.jobs == succeeded("generate")
    assert made(run)[0] == "generate homolog"
    assert {each.split()[-1] for each in run.kubeconfigs} == {"homolog"}
    assert start("generate", "schedule", {}).jobs == {}


def test_at_night_faults_are_drawn_by_the_day_in_a_cluster_that_is_made_for_it(start: Start) -> None:
    run = start("chaos", "schedule", {}, settings={"CHAOS_NIGHTLY": "true"})
    assert run.jobs == succeeded("chaos")
    (cluster,) = (number for number, call in enumerate(run.calls) if call.startswith("kind create"))
    (drill,) = made(run)
    assert run.calls.index(f"make {drill}") > cluster
    words = r"drills ENV=prod OPTIONS=-k chaos --chaos-seed=20\d{6} --chaos-ledger=build/chaos.jsonl"
    assert re.fullmatch(words, drill)
    assert start("chaos", "schedule", {}).jobs == {}


def test_a_run_by_hand_draws_by_the_seed_that_is_given(start: Start) -> None:
    run = start("chaos", "workflow_dispatch", {"ref": "refs/heads/main", "inputs": {"seed": "7"}})
    assert [call for call in made(run) if " --chaos-seed=7 " in call] == made(run)


def test_the_backup_drill_runs_in_the_environment_that_is_chosen(by_hand: Start) -> None:
    run = by_hand("backup-drill", environment="preprod")
    assert run.jobs == succeeded("drill")
    assert made(run) == ["restore-drill preprod", "status preprod"]
