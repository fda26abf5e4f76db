"""What only an administrator may make is looked at before a delivery begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from delivery import release
from delivery.cluster import Manifest
from delivery.deploy import Options, bootstrap, rollback
from delivery.foundation import compare
from delivery.shell import DeliveryError
from smoke_tests import test_cluster
from smoke_tests.environment import Environment
from tests.delivery.small import NAMESPACE, PROD, Stage, body, render

QUOTA = body("v1", "ResourceQuota", "environment", "namespace", spec={"hard": {"pods": "24", "limits.cpu": "500m"}})
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
ROLE = body("rbac.authorization.k8s.io/v1", "Role", "deployer", "namespace", rules=RULES)
FOUNDED = render("1", "0001", QUOTA, ROLE)


@pytest.fixture
def founded(empty: Stage) -> Stage:
    """An administrator has been here."""
    empty.cluster.apply([QUOTA, ROLE])
    return empty


@pytest.mark.parametrize("name", ["resourcequota/environment", "role/deployer"])
def test_what_is_missing_is_named_with_the_command_before_anything_is_changed(founded: Stage, name: str) -> None:
    founded.cluster.remove_by_hand(name)
    with pytest.raises(DeliveryError) as error:
        founded.deploy("1", "0001", QUOTA, ROLE)
    remedy = "nothing was changed; an administrator brings it back: `make up ENV=prod`"
    assert str(error.value).splitlines() == [f"{name} is missing", remedy]
    assert release.read(founded.cluster) == []
    bootstrap(PROD, founded.cluster, FOUNDED)
    founded.deploy("1", "0001", QUOTA, ROLE)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("resourcequota/environment", {"spec": {"hard": {"pods": "99"}}}),
        ("resourcequota/environment", {"spec": {"hard": {"secrets": "0"}}}),
        *(("resourcequota/environment", {"spec": {"hard": {"limits.cpu": cpu}}}) for cpu in ("400m", "600m")),
        ("role/deployer", {"rules": []}),
        (f"namespace/{PROD.namespace}", {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}}),
    ],
)
def test_what_is_changed_is_named_and_stops_nothing(
    founded: Stage, name: str, change: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    founded.cluster.by_hand(name, change)
    founded.deploy("1", "0001", QUOTA, ROLE)
    said = f"delivery: {name} is not as the release has it\nan administrator brings it back: `make up ENV=prod`\n"
    assert said in capsys.readouterr().err
    founded.type_in("status", "prod")
    assert f"{name} is not as the release has it; an administrator" in capsys.readouterr().out
    bootstrap(PROD, founded.cluster, FOUNDED)
    assert compare(founded.cluster, FOUNDED) == ([], [])


def test_the_same_quantity_is_not_a_change(founded: Stage) -> None:
    founded.cluster.by_hand("resourcequota/environment", {"spec": {"hard": {"limits.cpu": "0.5"}}})
    founded.cluster.by_hand(f"namespace/{PROD.namespace}", {"metadata": {"labels": {"more": "x"}}})
    assert compare(founded.cluster, FOUNDED) == ([], [])


def test_a_deployer_who_may_not_look_says_so_in_one_line(founded: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    founded.cluster.forbidden.add(("list", "Role"))
    founded.deploy("1", "0001", QUOTA, ROLE)
    lines = [line for line in capsys.readouterr().err.splitlines() if "no right" in line]
    assert lines == [
        f"delivery: the deployer has no right to look at the quota, the limits and the rights of {PROD.namespace}; "
        "an administrator brings it back: `make up ENV=prod`"
    ]


def test_a_namespace_that_is_being_deleted_is_named_with_the_line_against_what_keeps_it(founded: Stage) -> None:
    founded.deploy("1", "0001", QUOTA, ROLE)
    founded.cluster.by_hand("pod/mysql-0", {"metadata": {"finalizers": ["example.com/keep"]}})
    founded.cluster.server.doom(founded.cluster.server.objects["Namespace", "", PROD.namespace])
    gone = f"namespace/{PROD.namespace} is being deleted"
    with pytest.raises(DeliveryError, match=gone):
        founded.deploy("1", "0001", QUOTA, ROLE)
    with pytest.raises(DeliveryError, match=f"{gone} and waits for what is in it\n.*pod/mysql-0 is being .*/keep; `"):
        bootstrap(PROD, founded.cluster, FOUNDED)


def test_a_way_back_does_not_wait_for_an_administrator(founded: Stage) -> None:
    founded.deploy("1", "0001", QUOTA, ROLE)
    founded.cluster.remove_by_hand("role/deployer")
    rollback(founded.target, 1, Options())


def test_a_namespace_that_is_not_there_is_missing(founded: Stage) -> None:
    founded.cluster.remove_by_hand(f"namespace/{NAMESPACE['metadata']['name']}")
    assert compare(founded.cluster, FOUNDED)[0] == [f"namespace/{PROD.namespace} is missing"]


def smoked(stage: Stage) -> None:
    environment = SimpleNamespace(cluster=stage.cluster, namespace=PROD.namespace, render=FOUNDED)
    config = SimpleNamespace(getoption=lambda option: PROD.name)
    test_cluster.test_what_an_administrator_makes_is_there(cast(Environment, environment), cast(pytest.Config, config))


def test_the_smoke_tests_name_what_is_missing_and_what_is_changed(founded: Stage) -> None:
    smoked(founded)
    founded.cluster.by_hand("role/deployer", {"rules": []})
    with pytest.raises(
        pytest.skip.Exception, match=r"^role/deployer is not as the release has it; .*`make up ENV=prod`"
    ):
        smoked(founded)
    founded.cluster.remove_by_hand("role/deployer")
    with pytest.raises(
        pytest.fail.Exception, match=r"^role/deployer is missing; an administrator .*`make up ENV=prod`"
    ):
        smoked(founded)
    founded.cluster.forbidden.add(("list", "Role"))
    with pytest.raises(pytest.skip.Exception, match="may not look at what an administrator makes"):
        smoked(founded)


def test_the_smoke_tests_of_an_older_release_ask_for_nothing_that_only_it_had(founded: Stage) -> None:
    founded.cluster.remove_by_hand("role/deployer")
    founded.deploy("1", "0001", QUOTA)
    smoked(founded)
