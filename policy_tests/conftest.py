"""Options, and one test for each environment and rule."""

from __future__ import annotations

import pytest

from policy_tests import rules
from policy_tests.manifests import ManifestError, ManifestSet
from policy_tests.render import ENVIRONMENTS, read_environments, read_path
from policy_tests.rule import RULES, Rule

assert rules

FOREIGN = pytest.StashKey[dict[str, ManifestSet]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("policy tests")
    group.addoption("--env", action="append", choices=ENVIRONMENTS, help="only this environment (may be repeated)")
    group.addoption(
        "--manifests", metavar="PATH", help="other manifests: a file, a folder in which each file is one set, or -"
    )


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--manifests"):
        try:
            config.stash[FOREIGN] = read_path(path)
        except ManifestError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    foreign = metafunc.config.stash.get(FOREIGN, None)
    names = list(foreign or metafunc.config.getoption("--env") or ENVIRONMENTS)
    if "name" in metafunc.fixturenames and "rule" in metafunc.fixturenames:
        cases = [(name, rule) for name in names for rule in RULES.values() if not (foreign and rule.ours)]
        metafunc.parametrize(("name", "rule"), cases, ids=[f"{name}-{rule.id}" for name, rule in cases])
    elif "name" in metafunc.fixturenames:
        metafunc.parametrize("name", names)


@pytest.fixture(scope="session")
def sets(pytestconfig: pytest.Config) -> dict[str, ManifestSet]:
    """The rendered environments, or what `--manifests` gave."""
    if foreign := pytestconfig.stash.get(FOREIGN, None):
        return foreign
    try:
        return read_environments()
    except ManifestError as error:
        pytest.exit(f"policy_tests: {error}", returncode=4)


@pytest.fixture
def manifests(sets: dict[str, ManifestSet], name: str) -> ManifestSet:
    return sets[name]


__all__ = ["Rule"]
