"""Every workflow from its first to its last job; what make, docker and gh are asked for, and what a failure stops."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

import pytest

from tests.workflows.act import Act, Run
from tests.workflows.conftest import BUILT, ENVIRONMENTS, PROVEN, SECRETS, Start, own

HUB = {"DOCKERHUB_USERNAME": "escola", "DOCKERHUB_TOKEN": "token-of-the-hub"}
IMAGE = "ghcr.io/example/school-scheduler"


def succeeded(*jobs: str) -> dict[str, str]:
    return dict.fromkeys(jobs, "success")


def made(run: Run) -> list[str]:
    """What make was asked for; what tests make in parallel, sorted, goes first."""
    calls = [call.removeprefix("make ") for call in run.calls if call.startswith("make ")]
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
    assert made(run) == [*TESTED, f"deploy ENV=dev IMAGE={IMAGE}:dev-17@{BUILT} OPTIONS=", "status ENV=dev"]
    tags = f"--tag={IMAGE}:dev-17 --tag={IMAGE}:latest-dev"
    assert f"docker build --quiet --build-arg COMMIT={commit} {tags} ." in run.calls
    assert all(f"setup-python {version}" in run.log for version in ("3.11", "3.12", "3.13"))


def test_without_a_named_cluster_develop_is_published_only(push: Start) -> None:
    run = push("ci-cd", "refs/heads/develop")
    assert run.jobs == succeeded("check", "audit", "policy", *UNIT, "test-mysql", "image", "done")
    assert made(run) == TESTED


def test_a_pull_request_gets_one_comment_and_publishes_nothing(pull_request: Start) -> None:
    run = pull_request("ci-cd")
    assert run.jobs == succeeded("check", "audit", "policy", *UNIT, "test-mysql", "build", "comment", "done")
    assert "upload-sarif build/policy.sarif" in run.calls
    assert [call for call in run.calls if call.startswith("comment")] == ["comment environments nothing changes"]
    assert [call for call in run.calls if call.startswith(("docker", "login"))] == ["docker build ."]


def test_a_pull_request_is_compared_with_what_it_would_be_merged_into(pull_request: Start) -> None:
    (diff,) = (call for call in made(pull_request("ci-cd")) if call.startswith("diff"))
    assert re.fullmatch(r"diff BASE=\S+/base", diff)


def test_a_fork_gets_neither_comment_nor_alerts_nor_secrets(pull_request: Start) -> None:
    run = pull_request("ci-cd", "somebody/school-scheduler")
    assert run.jobs == succeeded("check", "audit", "policy", *UNIT, "test-mysql", "build", "done")
    assert not [call for call in run.calls if call.startswith(("comment", "upload-sarif", "login"))]
    assert (run.artifacts / "diff" / "diff.md").read_text() == "nothing changes\n"


def test_homolog_gets_the_image_that_was_built(push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog")
    assert run.jobs == succeeded("test", "test-mysql", "image", "deploy")
    deploy = f"deploy ENV=homolog IMAGE={IMAGE}:homolog-17@{BUILT} OPTIONS="
    assert made(run) == ["test", "test-mysql", deploy, "status ENV=homolog"]


def test_homolog_is_tested_on_a_database_of_its_own_where_there_is_one(push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog", secrets=SECRETS | {"DB_PASSWORD_HOMOLOG": "secret"})
    assert run.jobs == succeeded("test", "test-mysql", "image", "deploy")
    assert made(run)[:2] == ["test", "unit OPTIONS=-m mysql"]


def test_preprod_proves_an_image_before_its_commit_gets_a_tag(push: Start, commit: str) -> None:
    run = push("ci-preprod", "refs/heads/main")
    jobs = ("test", "test-mysql", "image", "deploy", "e2e", "load", "approve", "prove")
    assert run.jobs == succeeded(*jobs)
    assert made(run) == [
        "test",
        "test-mysql",
        f"deploy ENV=preprod IMAGE={IMAGE}:preprod-17@{BUILT} OPTIONS=--canary 2 ",
        "status ENV=preprod",
        "generate smoke ENV=preprod IMAGE= OPTIONS=",
        "status ENV=preprod",
        "load ENV=preprod",
        f"promote IMAGE={IMAGE}:preprod-17 TAG=sha-{commit}",
    ]


def test_preprod_scans_and_attests_the_image_that_it_built(push: Start) -> None:
    run = push("ci-preprod", "refs/heads/main")
    assert [call for call in run.calls if call.startswith(("scan", "attest"))] == [
        f"scan {IMAGE}:preprod-17@{BUILT} as table",
        f"scan {IMAGE}:preprod-17@{BUILT} as cyclonedx",
        f"attest {IMAGE}@{BUILT}",
        f"attest {IMAGE}@{BUILT} with sbom.cdx.json",
    ]


def test_prod_gets_the_proven_digest_and_nothing_is_built(push: Start, commit: str) -> None:
    run = push("ci-prod", "refs/tags/v1.2.3")
    assert run.jobs == succeeded("promote", "verify", "deploy")
    assert made(run) == [
        f"promote IMAGE={IMAGE}:sha-{commit} TAG=v1.2.3",
        f"deploy ENV=prod IMAGE={IMAGE}:v1.2.3@{PROVEN} OPTIONS=--canary 2 --watch 10 ",
        "status ENV=prod",
    ]
    assert not [call for call in run.calls if call.startswith("docker")]
    verified, scanned = (call for call in run.calls if call.startswith(("gh", "scan")))
    assert verified.startswith(f"gh attestation verify oci://{IMAGE}:v1.2.3@{PROVEN} --repo example/school-scheduler ")
    assert f" --source-digest {commit} " in verified
    assert scanned == f"scan {IMAGE}:v1.2.3@{PROVEN} as table"


@pytest.mark.parametrize(
    ("workflow", "ref", "fail", "red", "never"),
    [
        ("ci-cd", "refs/heads/develop", "make unit*", "done", ["docker"]),
        ("ci-homolog", "refs/heads/homolog", "make test", "test", ["docker", "make deploy"]),
        ("ci-homolog", "refs/heads/homolog", "make deploy*", "deploy", []),
        ("ci-preprod", "refs/heads/main", "scan * as table", "image", ["attest", "make deploy", "make promote"]),
        ("ci-preprod", "refs/heads/main", "make deploy*", "deploy", ["make load", "make promote"]),
        ("ci-preprod", "refs/heads/main", "make load*", "load", ["make promote"]),
        ("ci-prod", "refs/tags/v1.2.3", "make promote*", "promote", ["gh", "scan", "make deploy"]),
        ("ci-prod", "refs/tags/v1.2.3", "gh *", "verify", ["scan", "make deploy"]),
        ("ci-prod", "refs/tags/v1.2.3", "scan *", "verify", ["make deploy"]),
        ("ci-prod", "refs/tags/v1.2.3", "make deploy*", "deploy", []),
    ],
)
def test_a_failure_is_red_and_stops_what_comes_after_it(
    workflow: str, ref: str, fail: str, red: str, never: Iterable[str], push: Start
) -> None:
    run = push(workflow, ref, fail=fail)
    assert not run.passed
    assert run.jobs[red] == "failure"
    assert not [call for call in run.calls if call.startswith(tuple(never) or "nothing")]


@pytest.mark.parametrize("fail", ["", "make deploy*"])
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
    assert call.startswith(f"key-of-{environment}: make deploy ENV={environment} ")
    assert "key-of-" not in "\n".join(run.calls)


def test_a_secret_of_an_environment_of_github_needs_no_suffix(push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog", secrets=own("homolog"))
    assert {note.split()[-1] for note in run.kubeconfigs} == {"homolog"}
    assert {note.partition(": ")[0] for note in run.keys} == {"key-of-homolog"}


def test_after_a_failure_the_status_is_shown_and_the_report_kept(push: Start) -> None:
    run = push("ci-homolog", "refs/heads/homolog", fail="make deploy*")
    assert run.calls[-2:] == ["make status ENV=homolog", "upload deploy-homolog-1"]


def test_a_missing_kubeconfig_is_named(by_hand: Start) -> None:
    run = by_hand("generate", secrets={}, environment="dev")
    assert run.jobs == {"generate": "failure"}
    assert "there is no kubeconfig for this environment; see docs/github.md" in run.log


@pytest.mark.parametrize(
    ("secrets", "settings", "login", "name"),
    [
        ({}, {}, "somebody to ghcr.io", IMAGE),
        ({"DOCKERHUB_USERNAME": "Escola"}, {}, "somebody to ghcr.io", IMAGE),
        (
            HUB | {"DOCKERHUB_USERNAME": "Escola"},
            {},
            "Escola to docker.io",
            "docker.io/escola/school-scheduler",
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
    run = push("ci-prod", "refs/tags/v1.2.3", secrets=secrets, settings=settings, fail="make promote*")
    assert run.calls[0] == f"login {login} with a password of 16 characters"
    assert made(run)[0] == f"promote IMAGE={name}:sha-{commit} TAG=v1.2.3"


def test_docker_hub_s_token_is_on_no_command_line_and_its_attestations_name_its_index(push: Start) -> None:
    run = push("ci-preprod", "refs/heads/main", secrets=HUB, fail="make deploy*")
    assert f"attest index.docker.io/escola/school-scheduler@{BUILT}" in run.calls
    assert HUB["DOCKERHUB_TOKEN"] not in "\n".join(run.calls)


def test_a_git_tag_that_a_shell_would_run_is_refused(push: Start) -> None:
    run = push("ci-prod", "refs/tags/v1;id")
    assert run.jobs == {"promote": "failure"}
    assert "cannot be the tag of an image" in run.log
    assert made(run) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_rollback_by_hand_has_the_kubeconfig_of_its_environment_only(environment: str, by_hand: Start) -> None:
    run = by_hand("rollback", environment=environment, release="17")
    assert run.jobs == succeeded("rollback")
    assert made(run) == [f"rollback ENV={environment} IMAGE= OPTIONS=--wait 900 --to 17", f"status ENV={environment}"]
    assert {each.split()[-1] for each in run.kubeconfigs} == {environment}


def test_a_rollback_to_no_release_in_particular_leaves_the_choice_to_make(by_hand: Start) -> None:
    assert made(by_hand("rollback", environment="dev", release=""))[0] == "rollback ENV=dev IMAGE= OPTIONS=--wait 900 "


def test_a_rollback_to_no_number_is_refused(by_hand: Start) -> None:
    run = by_hand("rollback", environment="prod", release="17; id")
    assert run.jobs == {"rollback": "failure"}
    assert made(run) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_generation_by_hand_keeps_its_result(environment: str, by_hand: Start) -> None:
    run = by_hand("generate", environment=environment)
    assert run.jobs == succeeded("generate")
    assert made(run) == [f"generate ENV={environment} IMAGE= OPTIONS=", f"status ENV={environment}"]
    assert {each.split()[-1] for each in run.kubeconfigs} == {environment}
    kept = run.artifacts / f"generate-{environment}-1" / environment / "output.txt"
    assert kept.read_text() == "cost 0 41\n"


def test_at_night_homolog_generates_where_it_is_switched_on(start: Start) -> None:
    run = start("generate", "schedule", {}, settings={"GENERATE_NIGHTLY": "true"})
    assert run.jobs == succeeded("generate")
    assert made(run)[0] == "generate ENV=homolog IMAGE= OPTIONS="
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
    assert made(run) == ["restore-drill ENV=preprod IMAGE= OPTIONS=", "status ENV=preprod"]
