"""What the database and its backups may use: one formula, and volumes that follow from the claim."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from delivery.shell import ROOT
from policy_tests.manifests import Container, ManifestSet
from policy_tests.quantity import quantity
from policy_tests.render import read_environments

MIB = 2**20
START = ROOT / "base" / "mysql" / "mysqld.sh"


def started(limit: int | None, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script, with an entry point that says what it was called with."""
    entrypoint = folder / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\necho "$@"\n')
    entrypoint.chmod(entrypoint.stat().st_mode | stat.S_IXUSR)
    variables = {"PATH": f"{folder}:{os.environ['PATH']}"} | ({} if limit is None else {"MEMORY_LIMIT": str(limit)})
    return subprocess.run(
        ["sh", str(START), "--skip-log-bin"], env=variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("limit", "pool"), [(854, 128.5), (1024, 256), (2048, 1024), (8192, 5632)])
def test_the_pool_leaves_half_a_gib_to_the_server_and_a_quarter_to_nobody(
    limit: int, pool: float, tmp_path: Path
) -> None:
    done = started(limit * MIB, tmp_path)
    assert done.stdout == f"mysqld --innodb-buffer-pool-size={int(pool * MIB)} --skip-log-bin\n"


@pytest.mark.parametrize("limit", [853 * MIB, 512 * MIB, None])
def test_a_limit_that_leaves_no_pool_stops_the_start_with_one_line(limit: int | None, tmp_path: Path) -> None:
    done = started(limit, tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "memory limit" in line


@pytest.fixture(scope="module")
def prod() -> ManifestSet:
    return read_environments(ROOT)["prod"]


def container(manifests: ManifestSet, owner: str, name: str) -> Container:
    return next(each for each in manifests.containers if (str(each.pod.owner), each.name) == (owner, name))


def files(container: Container) -> set[str]:
    """The keys of the ConfigMap that the server reads its options from."""
    volume = next(each for each in container.pod.volumes if each["name"] == "config")["configMap"]
    return {item["key"] for item in volume.get("items", [])} or set(_generated())


def _generated() -> list[str]:
    (generator,) = yaml.safe_load((START.parent / "kustomization.yaml").read_text())["configMapGenerator"]
    names: list[str] = generator["files"]
    return names


def test_the_server_of_the_restore_drill_is_sized_as_the_database_is(prod: ManifestSet) -> None:
    database = container(prod, "StatefulSet/mysql", "mysql")
    drill = container(prod, "CronJob/restore-drill", "mysql")
    same: list[dict[str, Any]] = [
        {
            "starts": "/etc/mysql/conf.d/mysqld.sh" in str(each.body["command"]),
            "memory": each.body["resources"]["limits"]["memory"],
            "variable": [entry for entry in each.body["env"] if entry["name"] == "MEMORY_LIMIT"],
            "files": files(each) & {"server.cnf", "mysqld.sh"},
        }
        for each in (database, drill)
    ]
    assert same[0] == same[1]
    assert same[0]["starts"]
    assert same[0]["files"] == {"server.cnf", "mysqld.sh"}


@pytest.mark.parametrize("job", ["backup", "restore", "restore-drill"])
def test_a_backup_has_room_for_twice_what_the_database_holds(prod: ManifestSet, job: str) -> None:
    (database,) = (each for each in prod.of("StatefulSet") if each.name == "mysql")
    claim = quantity(database.spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"])
    (pod,) = (each for each in prod.pods if str(each.owner) == f"CronJob/{job}")
    sizes = {each["name"]: quantity(each["emptyDir"]["sizeLimit"]) for each in pod.volumes if "emptyDir" in each}
    assert claim is not None
    assert sizes["work"] == 2 * claim
    assert sizes.get("data", claim) == claim
