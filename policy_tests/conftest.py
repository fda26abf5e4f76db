"""Options, and one test for each environment or given set."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from policy_tests.packages import remedy

try:
    from policy_tests import checkov, schemas
    from policy_tests.environment import read_list
    from policy_tests.manifests import KUBERNETES, Finding, ManifestError, ManifestSet
    from policy_tests.render import as_environment, read_environments, read_path
    from policy_tests.rule import Rule
    from policy_tests.sarif import sarif
    from policy_tests.waivers import Waiver, read_waivers
except ModuleNotFoundError as error:
    # Whatever else is raised here, pytest shows with its traceback.
    sys.exit(remedy(error))

BACKGROUND = ThreadPoolExecutor(1)
READING = pytest.StashKey[Future[dict[str, ManifestSet]]]()
STARTED = pytest.StashKey[tuple[subprocess.Popen[str], TemporaryDirectory[str]]]()
CHECKOV = pytest.StashKey[Future[checkov.Report]]()
REFUSED = pytest.StashKey[str]()
GIVEN = pytest.StashKey[dict[str, ManifestSet | ManifestError]]()
FOUND = pytest.StashKey[list[tuple[str, Rule, Finding]]]()
UNCHECKED = pytest.StashKey[set[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    try:
        environments = list(read_list())
    except ManifestError as error:
        raise pytest.UsageError(str(error)) from None
    group = parser.getgroup("policy tests")
    group.addoption("--env", action="append", choices=environments, help="only this environment; may be repeated")
    group.addoption("--manifests", metavar="PATH", help="other manifests: a file, a folder of rendered sets, or -")
    group.addoption("--sarif", metavar="FILE", type=Path, help="write the findings there, for code scanning")
    group.addoption(
        "--kube-version",
        action="append",
        choices=schemas.supported(),
        help=f"a Kubernetes that must accept the manifests; may be repeated (default: {' and '.join(KUBERNETES)})",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FOUND], config.stash[UNCHECKED] = [], set()
    if not config.getoption("--manifests"):
        # Overlays render while pytest collects, and checkov runs beside the rules.
        config.stash[READING] = BACKGROUND.submit(read_environments, versions=kube_versions(config))
    if path := config.getoption("--manifests"):
        # pytest has closed standard input by now, and closes it again when the first test starts.
        config.pluginmanager.getplugin("capturemanager").suspend_global_capture(in_=True)
        try:
            given = read_path(path, kube_versions(config))
            config.stash[GIVEN] = (
                as_environment(given, config.getoption("--env")) if config.getoption("--env") else given
            )
        except ManifestError as error:
            raise pytest.UsageError(str(error)) from None


def kube_versions(config: pytest.Config) -> tuple[str, ...]:
    return tuple(config.getoption("--kube-version") or KUBERNETES)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out, when manifests are given, what is about this project's own."""
    own = collection_path.name.startswith("test_") and collection_path.name != "test_environments.py"
    return True if own and GIVEN in config.stash else None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> None:
    """Starts checkov as soon as its tests are seen, since it takes longer than everything else."""
    config = parent.config
    if file_path.name == "test_checkov.py" and STARTED not in config.stash and not config.getoption("--collect-only"):
        folder = TemporaryDirectory()
        try:
            config.stash[STARTED] = checkov.start(Path(folder.name)), folder
        except ManifestError as error:
            # pytest takes what is raised here for a fault of its own.
            config.stash[REFUSED] = str(error)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Lets checkov look while the rules do; what needs no overlay comes first, and what waits for checkov last."""
    asked = any(item.path.name == "test_checkov.py" for item in items)
    if asked and REFUSED in config.stash:
        raise pytest.UsageError(config.stash[REFUSED])
    if asked and STARTED in config.stash:
        config.stash[CHECKOV] = BACKGROUND.submit(_checkov, config)
    items.sort(key=_waits)


def _checkov(config: pytest.Config) -> checkov.Report:
    process, folder = config.stash[STARTED]
    return checkov.report(process, Path(folder.name), config.stash[READING].result())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends a checkov for whose findings nobody asked."""
    # pytest is about to look for garbage five times over.
    gc.freeze()
    if STARTED in config.stash:
        process, folder = config.stash[STARTED]
        process.kill()
        folder.cleanup()


def _waits(item: pytest.Item) -> int:
    if item.path.name == "test_checkov.py":
        return 2
    return 1 if {"sets", "manifests"} & set(getattr(item, "fixturenames", ())) else 0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test each environment, or each given set, as `name`."""
    if "name" in metafunc.fixturenames:
        given = metafunc.config.stash.get(GIVEN, {})
        metafunc.parametrize("name", list(given or metafunc.config.getoption("--env") or read_list()))


@pytest.fixture(scope="session")
def sets(pytestconfig: pytest.Config) -> dict[str, ManifestSet]:
    """Every environment, rendered once."""
    try:
        return pytestconfig.stash[READING].result()
    except ManifestError as error:
        pytest.exit(f"policy_tests: {error}", returncode=4)


@pytest.fixture
def manifests(request: pytest.FixtureRequest, pytestconfig: pytest.Config, name: str) -> ManifestSet:
    """The environment or the given set of that name."""
    chosen = pytestconfig.stash.get(GIVEN, {}).get(name) or request.getfixturevalue("sets")[name]
    if isinstance(chosen, ManifestError):
        pytest.fail(str(chosen), pytrace=False)
    return chosen


@pytest.fixture(scope="session")
def waivers() -> tuple[Waiver, ...]:
    return read_waivers()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if file := session.config.getoption("--sarif"):
        found = session.config.stash[FOUND]
        given = session.config.stash.get(GIVEN, {}).values()
        refused = [str(each) for each in given if isinstance(each, ManifestError)]
        file.write_text(json.dumps(sarif(found, refused), indent=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    unchecked = config.stash[UNCHECKED]
    if unchecked:
        terminalreporter.section("custom resources")
        terminalreporter.line(
            f"no schema and few rules know {', '.join(sorted(unchecked))}; their controllers check them"
        )
