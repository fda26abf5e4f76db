from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repository import wanted
from tests.repository.command import impatient, run
from tests.repository.fake import REPOSITORY, TEAMS, USERS, Fake, environment, running
from tests.school.drawn import repeatable

WANTED = wanted.read()
MISSING = [
    f"secret KUBECONFIG of environment {name} is missing: gh secret set KUBECONFIG --env {name} --repo {REPOSITORY}"
    for name in ("homolog", "preprod", "production")
]
GATES = ("preprod-approval", "production")
KUBECONFIGS = ["KUBECONFIG_HOMOLOG", "KUBECONFIG_PREPROD", "KUBECONFIG_PROD"]
SOMEBODY_S = {
    "name": "somebody's",
    "target": "branch",
    "enforcement": "active",
    "conditions": {"ref_name": {"include": ["refs/heads/x"], "exclude": []}},
    "rules": [{"type": "deletion"}],
}


def applied(fake: Fake, *arguments: str) -> None:
    """Applies what is wanted, with nothing left but secrets."""
    result = run(fake, "--apply", *arguments)
    assert result.differences == MISSING, result.output


def test_what_is_new_lacks_everything_and_gets_it(fake: Fake) -> None:
    before = run(fake)
    assert before.code == 1
    assert fake.writes == []
    assert {f"environment {name}: is missing" for name in WANTED.environments} < set(before.differences)
    fake.state["secrets"] = KUBECONFIGS
    after = run(fake, "--apply")
    assert (after.code, after.differences) == (0, [])
    assert f"{REPOSITORY} is as .github/repository.yaml wants it" in after.output
    assert run(fake).code == 0


def test_each_environment_admits_the_refs_of_the_file_and_gates_ask_whoever_applied_it(
    fake: Fake,
) -> None:
    applied(fake)
    for name, entry in fake.state["environments"].items():
        assert {(kind, ref) for _, kind, ref in entry["refs"]} == WANTED.environments[name].refs
        assert entry["policy"] == "custom"
        assert entry["reviewers"] == ([["User", USERS["ana"]]] if name in GATES else [])


def test_twice_is_as_once(fake: Fake) -> None:
    applied(fake)
    state, writes = fake.snapshot(), len(fake.writes)
    applied(fake)
    assert fake.state == state
    assert len(fake.writes) == writes


def test_reviewers_that_are_named_take_the_place_of_the_others(fake: Fake) -> None:
    fake.organization = True
    applied(fake)
    applied(fake, "--reviewer", "ben", "--reviewer", "escola/releases", "--reviewer", "ben")
    people = [["User", USERS["ben"]], ["Team", TEAMS["releases"]]]
    assert [fake.state["environments"][name]["reviewers"] for name in GATES] == [people, people]


def test_reviewers_whom_somebody_chose_stay_where_none_is_named(fake: Fake) -> None:
    fake.state["environments"]["production"] = environment(reviewers=[["User", USERS["eva"]]])
    applied(fake)
    assert fake.state["environments"]["production"]["reviewers"] == [["User", USERS["eva"]]]


@pytest.mark.parametrize("name", ["nobody", "escola/releases"])
def test_who_is_not_on_github_is_no_reviewer(fake: Fake, name: str) -> None:
    result = run(fake, "--apply", "--reviewer", name)
    assert result.code == 1
    assert f"repository: {name} cannot be a reviewer: GitHub answers 404" in result.errors
    assert fake.writes == []


def test_more_reviewers_than_github_takes_are_refused(fake: Fake) -> None:
    names = [argument for number in range(7) for argument in ("--reviewer", f"user-{number}")]
    assert "has 6 reviewers at most" in run(fake, *names).errors


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"reviewers": []}, "0 reviewers instead of 1"),
        ({"wait_timer": 30}, "waits 30 minutes instead of 0"),
        ({"prevent_self_review": True}, "who starts a run may not approve it"),
        ({"policy": None, "refs": []}, "has no policy of refs"),
        ({"policy": "protected", "refs": []}, "has no policy of refs"),
        ({"refs": [[1, "tag", "v*"]]}, "admits tag v* instead of branch main, tag v*"),
        (
            {"refs": [[1, "tag", "v*"], [2, "branch", "main"], [3, "branch", "x"]]},
            "admits branch main, branch x, tag v* instead of branch main, tag v*",
        ),
        (
            {"refs": [[1, "tag", "v*"], [2, "tag", "main"]]},
            "admits tag main, tag v* instead of branch main, tag v*",
        ),
    ],
)
def test_what_somebody_changed_of_an_environment_is_told_and_set_back(
    fake: Fake, change: dict[str, Any], text: str
) -> None:
    applied(fake)
    state = fake.snapshot()
    fake.state["environments"]["production"] |= change
    assert run(fake).differences == [f"environment production: {text}", *MISSING]
    applied(fake)
    numbered = [(fake.state, 1), (state, 1)]
    ours, before = (
        {name: {**entry, "refs": {tuple(ref[first:]) for ref in entry["refs"]}} for name, entry in environments.items()}
        for environments, first in ((state["environments"], first) for state, first in numbered)
    )
    assert ours == before


def other(ruleset: dict[str, Any], **change: Any) -> dict[str, Any]:
    """A ruleset that is changed."""
    return copy.deepcopy(ruleset) | change


RULESETS = {ruleset.name: ruleset.body() for ruleset in WANTED.rulesets}


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("branches", {"enforcement": "disabled"}, "enforcement is disabled"),
        ("branches", {"target": "tag"}, "target is tag"),
        ("branches", {"bypass_actors": [{"actor_type": "OrganizationAdmin"}]}, "others go past it"),
        ("new tags", {"bypass_actors": []}, "others go past it"),
        (
            "new tags",
            {"conditions": {"ref_name": {"include": ["refs/tags/v*"], "exclude": []}}},
            "is for other refs",
        ),
        (
            "new tags",
            {
                "conditions": {
                    "ref_name": {
                        "include": ["refs/tags/v*", "refs/tags/preprod/*"],
                        "exclude": ["~ALL"],
                    }
                }
            },
            "is for other refs",
        ),
        ("released tags", {"rules": [{"type": "deletion"}]}, "its rules are deletion"),
        (
            "released tags",
            {"rules": [{"type": "deletion"}, {"type": "update"}, {"type": "creation"}]},
            "its rules are creation, deletion, update",
        ),
    ],
)
def test_what_somebody_changed_of_a_ruleset_is_told_and_set_back(
    fake: Fake, name: str, change: dict[str, Any], text: str
) -> None:
    applied(fake)
    state = fake.snapshot()
    (number,) = [number for number, body in fake.state["rulesets"].items() if body["name"] == name]
    fake.state["rulesets"][number] |= change
    assert run(fake).differences == [f"ruleset {name}: {text}", *MISSING]
    applied(fake)
    assert fake.state == state


@pytest.mark.parametrize(
    ("kind", "parameter", "value"),
    [
        ("pull_request", "required_approving_review_count", 0),
        ("pull_request", "require_last_push_approval", False),
        ("required_status_checks", "strict_required_status_checks_policy", False),
        # The same name from anybody else than GitHub Actions.
        ("required_status_checks", "required_status_checks", [{"context": "done"}]),
    ],
)
def test_a_parameter_of_a_rule_that_somebody_changed_is_set_back(
    fake: Fake, kind: str, parameter: str, value: object
) -> None:
    applied(fake)
    state = fake.snapshot()
    for body in fake.state["rulesets"].values():
        for rule in body["rules"]:
            if rule["type"] == kind:
                rule["parameters"][parameter] = value
    assert run(fake).differences == [f"ruleset branches: {kind} has another {parameter}", *MISSING]
    applied(fake)
    assert fake.state == state


def test_only_an_organization_s_repository_has_a_merge_queue(fake: Fake) -> None:
    assert "ruleset merge queue is left out" in run(fake).output
    fake.organization = True
    applied(fake)
    assert "merge queue" in [body["name"] for body in fake.state["rulesets"].values()]


def test_what_the_file_does_not_list_is_told_and_stays(fake: Fake) -> None:
    fake.state["environments"]["staging"] = environment(reviewers=[["User", 2]], wait_timer=5)
    number = fake.add_ruleset(SOMEBODY_S)
    fake.state |= {"variables": ["COLOUR", "INGRESS"], "secrets": ["KUBECONFIG"]}
    before = fake.snapshot()
    applied(fake)
    output = run(fake).output
    for line in (
        "environment staging is not listed, and is left as it is",
        "ruleset somebody's is not listed, and is left as it is",
        "variable COLOUR is not listed for the repository, and is left as it is",
        # Every run would read it.
        "secret KUBECONFIG is not listed for the repository, and is left as it is",
    ):
        assert f"note: {line}" in output
    assert fake.state["environments"]["staging"] == before["environments"]["staging"]
    assert fake.state["rulesets"][number] == before["rulesets"][number]
    assert fake.state["permissions"]["allowed_actions"] == before["permissions"]["allowed_actions"]
    assert "INGRESS" not in output


def test_which_actions_may_run_stays_as_somebody_chose_it(fake: Fake) -> None:
    fake.state["permissions"]["allowed_actions"] = "selected"
    applied(fake)
    expected = {"enabled": True, "allowed_actions": "selected", "sha_pinning_required": True}
    assert fake.state["permissions"] == expected


def test_a_github_that_cannot_ask_for_pinned_actions_is_told_of_and_not_asked(fake: Fake) -> None:
    fake.sees_pins = False
    applied(fake)
    assert "this GitHub cannot ask for actions that are pinned by commit" in run(fake).output
    assert not any("sha_pinning_required" in (body or {}) for _, _, body in fake.writes)


@pytest.mark.parametrize(
    ("place", "name", "there"),
    [
        ("homolog", "KUBECONFIG", True),
        ("homolog", "KUBECONFIG_HOMOLOG", True),
        ("secrets", "KUBECONFIG_HOMOLOG", True),
        ("organization-secrets", "KUBECONFIG_HOMOLOG", True),
        ("homolog", "KUBECONFIG_PROD", False),
        ("preprod", "KUBECONFIG_HOMOLOG", False),
        ("secrets", "KUBECONFIG", False),
    ],
)
def test_a_secret_is_there_where_its_environment_finds_it_or_one_that_goes_before_it(
    fake: Fake, place: str, name: str, there: bool
) -> None:
    fake.organization = True
    applied(fake)
    state = fake.state
    (state["environments"][place]["secrets"] if place in state["environments"] else state[place]).append(name)
    assert (MISSING[0] not in run(fake).differences) is there


@pytest.mark.parametrize(
    ("package", "text"),
    [
        (
            {"visibility": "private", "repository": REPOSITORY},
            "is private: clusters need an imagePullSecret",
        ),
        (
            {"visibility": "public", "repository": "somebody/else"},
            "belongs to somebody/else: an image with the label",
        ),
        (
            {"visibility": "public", "repository": None},
            "belongs to no repository: an image with the label",
        ),
    ],
)
@pytest.mark.parametrize("organization", [True, False])
def test_the_package_s_visibility_and_its_link_are_told(
    fake: Fake, package: dict[str, str | None], text: str, organization: bool
) -> None:
    fake.organization, fake.state["package"] = organization, package
    result = run(fake)
    assert text in result.output
    assert any(text in line for line in result.differences) is (package["repository"] != REPOSITORY)


def test_a_package_that_is_linked_and_public_needs_no_word(fake: Fake) -> None:
    fake.state["package"] = {"visibility": "public", "repository": REPOSITORY}
    assert "ghcr.io" not in run(fake).output


def test_a_private_repository_of_pro_or_team_has_all_but_reviewers_and_is_not_called_fine(
    fake: Fake,
) -> None:
    fake.private, fake.plan, fake.state["secrets"] = True, "team", KUBECONFIGS
    result = run(fake, "--apply")
    assert result.code == 1
    assert result.differences == [f"environment {name}: 0 reviewers instead of 1" for name in GATES]
    refused = [line for line in result.output.splitlines() if line.startswith("refused: ")]
    assert len(refused) == 2
    assert all("the plan has no reviewers for a private repository" in line for line in refused)
    for name, entry in fake.state["environments"].items():
        assert {(kind, ref) for _, kind, ref in entry["refs"]} == WANTED.environments[name].refs


def test_a_private_repository_of_the_free_plan_has_no_environments_and_no_rulesets(
    fake: Fake,
) -> None:
    fake.private = True
    result = run(fake, "--apply")
    assert result.code == 1
    assert {f"environment {name}: is missing" for name in WANTED.environments} < set(result.differences)
    assert "the plan has no environments for a private repository" in result.output
    assert any("the plan has no rulesets for a private repository" in line for line in result.differences)
    assert fake.state["workflow"] == {
        "default_workflow_permissions": "read",
        "can_approve_pull_request_reviews": False,
    }


def test_a_private_repository_of_enterprise_has_everything(fake: Fake) -> None:
    fake.private, fake.organization, fake.plan = True, True, "enterprise"
    applied(fake)


def test_who_is_no_administrator_applies_nothing(fake: Fake) -> None:
    fake.administrator = False
    result = run(fake, "--apply")
    assert (result.code, fake.writes) == (1, [])
    assert f"only an administrator of {REPOSITORY} may apply this" in result.errors


def test_who_may_not_see_who_goes_past_a_ruleset_is_told_that_it_was_not_looked_at(
    fake: Fake,
) -> None:
    applied(fake)
    fake.sees_bypass = False
    result = run(fake)
    assert result.differences == MISSING
    assert "ruleset new tags: this token may not see who goes past it" in result.output


@pytest.mark.parametrize(
    ("hidden", "text", "counts"),
    [
        ("/environments", "environments: GitHub answers 403", True),
        ("/rulesets", "rulesets: GitHub answers 403", True),
        ("/actions/permissions", "actions: GitHub answers 403", True),
        ("/actions/secrets", "secrets cannot be seen: GitHub answers 403", True),
        ("/actions/variables", "variables cannot be seen: GitHub answers 403", False),
        ("/packages/", "this token may not see packages", False),
    ],
)
def test_what_a_token_may_not_see_is_told_and_not_called_fine(fake: Fake, hidden: str, text: str, counts: bool) -> None:
    fake.state["secrets"] = KUBECONFIGS
    assert run(fake, "--apply").code == 0
    fake.hidden = {hidden}
    result = run(fake)
    assert text in result.output
    assert result.code == int(counts)


def test_an_app_s_token_that_belongs_to_nobody_checks(fake: Fake) -> None:
    fake.hidden = {"/user"}
    assert "environment production: is missing" in run(fake).differences


def test_lists_of_more_than_a_page_are_read_whole(fake: Fake) -> None:
    applied(fake)
    entry = fake.state["environments"]["dev"]
    entry["refs"] = [[number, "branch", f"b{number}"] for number in range(1000, 1250)] + entry["refs"]
    fake.state["variables"] = [f"V{number:03}" for number in range(250)]
    fake.state["secrets"] = [f"S{number:03}" for number in range(100)]
    assert run(fake).output.count("variable V") == 250
    applied(fake)
    assert {(kind, ref) for _, kind, ref in entry["refs"]} == WANTED.environments["dev"].refs


def test_a_list_without_an_end_is_not_read_to_it(fake: Fake) -> None:
    fake.state["variables"] = [f"V{number}" for number in range(2001)]
    assert "has more than 2000 entries, which are not read" in run(fake).errors


NAMES = [*WANTED.environments, "staging", "teste/ü"]
REFS = st.lists(
    st.tuples(
        st.integers(1000, 1003),
        st.sampled_from(["branch", "tag"]),
        st.sampled_from(["main", "v*", "release/*", "x"]),
    ).map(list),
    max_size=3,
    unique_by=(lambda ref: ref[0], lambda ref: (ref[1], ref[2])),
)
PEOPLE = st.lists(st.sampled_from([["User", 2], ["User", 3], ["Team", 11]]), max_size=2, unique_by=tuple)
ENVIRONMENTS = st.builds(
    lambda policy, refs, **rest: environment(policy=policy, refs=refs if policy == "custom" else [], **rest),
    policy=st.sampled_from([None, "protected", "custom"]),
    refs=REFS,
    reviewers=PEOPLE,
    prevent_self_review=st.booleans(),
    wait_timer=st.sampled_from([0, 30]),
    secrets=st.lists(st.sampled_from(["KUBECONFIG", "OTHER"]), unique=True),
    variables=st.lists(st.sampled_from(["INGRESS", "OTHER"]), unique=True),
)
DRAWN_RULESETS = st.lists(
    st.one_of(
        st.just(SOMEBODY_S),
        st.sampled_from([body for body in RULESETS.values() if body["name"] != "merge queue"]).flatmap(
            lambda body: st.sampled_from(
                [
                    body,
                    other(body, enforcement="evaluate"),
                    other(body, rules=[{"type": "deletion"}]),
                    other(body, bypass_actors=[{"actor_type": "RepositoryRole", "actor_id": 4}]),
                ]
            )
        ),
    ),
    max_size=4,
    unique_by=lambda body: str(body["name"]),
)
FAULTS = st.dictionaries(
    st.integers(0, 60),
    st.sampled_from([500, 502, 403, 404, 429, "garbage", "cut", "lost", "limit"]),
    max_size=4,
)


def ungoverned(state: dict[str, Any]) -> dict[str, Any]:
    """What the file says nothing of."""
    environments = state["environments"]
    return {
        **{key: state[key] for key in ("secrets", "variables", "package", "approvals")},
        "kept": {
            name: (entry["secrets"], entry["variables"])
            for name, entry in environments.items()
            if entry["secrets"] or entry["variables"]
        },
        "environments": {name: entry for name, entry in environments.items() if name not in WANTED.environments},
        "gates": {
            name: environments[name]["reviewers"] for name in GATES if environments.get(name, {}).get("reviewers")
        },
        "rulesets": [body for body in state["rulesets"].values() if body["name"] not in RULESETS],
        "allowed": state["permissions"]["allowed_actions"],
    }


@settings(repeatable, max_examples=8)
@given(
    environments=st.dictionaries(st.sampled_from(NAMES), ENVIRONMENTS, max_size=5),
    rulesets=DRAWN_RULESETS,
    pins=st.booleans(),
    organization=st.booleans(),
    faults=FAULTS,
)
def test_from_any_state_and_through_any_fault_the_repository_gets_what_it_should_be(
    environments: dict[str, Any],
    rulesets: list[dict[str, Any]],
    pins: bool,
    organization: bool,
    faults: dict[int, int | str],
) -> None:
    with running() as fake, impatient():
        fake.organization = organization
        fake.state["environments"] = copy.deepcopy(environments)
        for body in rulesets:
            fake.add_ruleset(body)
        fake.state["permissions"]["sha_pinning_required"] = pins
        fake.state["secrets"] = KUBECONFIGS
        before, fake.faults = fake.snapshot(), faults
        faulty = run(fake, "--apply")
        assert faulty.code in (0, 1)
        # An error is one line; what is refused is a line of the output, and an end with 0 is true.
        assert len(faulty.errors.splitlines()) <= 1
        assert faulty.code == 0 or faulty.errors or faulty.differences
        fake.faults = {}
        if faulty.code == 0:
            assert run(fake).code == 0
        whole = run(fake, "--apply")
        assert (whole.code, whole.differences, whole.errors) == (0, [], "")
        once, writes = fake.snapshot(), len(fake.writes)
        assert run(fake, "--apply").code == 0
        assert (fake.state, len(fake.writes)) == (once, writes)
        kept, now = ungoverned(before), ungoverned(once)
        assert {name: now["gates"][name] for name in kept["gates"]} == kept.pop("gates")
        now.pop("gates")
        assert now == kept
