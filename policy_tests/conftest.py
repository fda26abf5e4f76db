"""Options, and one test for each environment and rule."""

from __future__ import annotations

from pathlib import Path

import pytest

# Importing the package registers the rules.
import policy_tests.rules  # noqa: F401
from policy_tests.manifests import ManifestError, ManifestSet
from policy_tests.render import ENVIRONMENTS, read_environments, read_path
from policy_tests.rule import RULES
from policy_tests.waivers import Waiver, read_waivers

GIVEN = pytest.StashKey[dict[str, ManifestSet]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("policy tests")
    group.addoption("--env", action="append", choices=ENVIRONMENTS, help="only this environment; may be repeated")
    group.addoption("--manifests", metavar="PATH", help="other manifests: a file, a folder of rendered sets, or -")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--manifests"):
        if config.getoption("--env"):
            raise pytest.UsageError("--manifests brings sets of its own; leave --env out")
        # pytest has closed standard input by now, and closes it again when the first test starts.
        config.pluginmanager.getplugin("capturemanager").suspend_global_capture(in_=True)
        try:
            config.stash[GIVEN] = read_path(path)
        except ManifestError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out, when manifests are given, what is about this project's own."""
    own = collection_path.name.startswith("test_") and collection_path.name != "test_environments.py"
    return True if own and GIVEN in config.stash else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test each environment as `name`, and with `rule` each rule that has a say about it."""
    given = metafunc.config.stash.get(GIVEN, {})
    names = list(given or metafunc.config.getoption("--env") or ENVIRONMENTS)
    if {"name", "rule"} <= set(metafunc.fixturenames):
        cases = [(name, rule) for name in names for rule in RULES.values() if not (given and rule.ours)]
        metafunc.parametrize(("name", "rule"), cases, ids=[f"{name}-{rule.id}" for name, rule in cases])
    elif "name" in metafunc.fixturenames:
        metafunc.parametrize("name", names)


@pytest.fixture(scope="session")
def sets(pytestconfig: pytest.Config) -> dict[str, ManifestSet]:
    """What `--manifests` gave, or else every environment, rendered once."""
    if given := pytestconfig.stash.get(GIVEN, {}):
        return given
    try:
        return read_environments()
    except ManifestError as error:
        pytest.exit(f"policy_tests: {error}", returncode=4)


@pytest.fixture
def manifests(sets: dict[str, ManifestSet], name: str) -> ManifestSet:
    return sets[name]


@pytest.fixture(scope="session")
def waivers() -> tuple[Waiver, ...]:
    return read_waivers()
