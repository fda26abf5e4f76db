"""Options and fixtures: an environment of a cluster of one's own, and releases of it that are made to fail."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from bench.delivery import TIMES as FOR_BENCH
from delivery import deploy, image, overlay, release
from delivery.cluster import Manifest
from delivery.image import Image
from delivery.kubectl import Kubectl, kubectl
from delivery.render import COMPONENT, Render
from delivery.site import Site, connect
from delivery.suites import Suites
from delivery.target import Target
from delivery.traffic import Answer
from drills.watching import watch as watch
from policy_tests.environment import Environment, find, read_list

pytest.register_assert_rewrite("tests.delivery.contract")

HERE = Path(__file__).parent
TIMES, TOLD = (pytest.StashKey[dict[str, tuple[float, float]]]() for _ in range(2))


@dataclass(frozen=True)
class Fault:
    """What a drill did, what users saw of it, what acknowledged data was lost, and the seconds until all was well."""

    name: str
    seen: str
    lost: str
    seconds: float


# The keys of Secrets that hide nothing.
PUBLIC = (".crt", "user", "recipients", ".conf")
FAULTS = pytest.StashKey[list[Fault]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("drills")
    group.addoption("--env", default="preprod", choices=read_list(), help="where; it is created (%(default)s)")
    group.addoption("--quick", action="store_true", help="one drill of each kind")
    group.addoption("--chaos-seed", type=int, default=1, help="what draws the faults that nobody names (%(default)s)")
    group.addoption("--chaos-draws", type=int, default=60, help="how many at most, within an hour (%(default)s)")
    group.addoption("--chaos-ledger", metavar="FILE", help="appended to after each draw; where it stops a run goes on")
    group.addoption("--record", action="store_true", help="keep what is served, and pictures of it, in the repository")
    group.addoption("--registry", default=os.environ.get("REGISTRY", "localhost:5001"), help="as for make up")
    group.addoption("--ingress", default=os.environ.get("INGRESS", "127.0.0.1"), help="as for make up")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "last: about all drills before it")
    config.stash[TIMES], config.stash[TOLD] = {}, {}
    config.stash[FAULTS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if times := config.stash[TIMES]:
        FOR_BENCH.parent.mkdir(exist_ok=True)
        FOR_BENCH.write_text(json.dumps(times))
        terminalreporter.section("seconds to notice a fault, and from then until the release before runs again")
        for name, (noticed, recovered) in times.items():
            terminalreporter.line(f"{name:30} {noticed:6.0f} {recovered:6.0f}")
    if told := config.stash[TOLD]:
        terminalreporter.section("seconds until an alert arrived, and from the repair until its end did")
        for name, (arrived, ended) in told.items():
            terminalreporter.line(f"{name:30} {arrived:6.0f} {ended:6.0f}")
    if faults := config.stash[FAULTS]:
        terminalreporter.section("for docs/database.md")
        terminalreporter.line("| fault | what users saw | what was lost | until all was well, s |\n|---|---|---|---|")
        for fault in faults:
            terminalreporter.line(f"| {fault.name} | {fault.seen} | {fault.lost} | {fault.seconds:.0f} |")


class Stage:
    """An environment of a cluster of one's own, brought up with the application as it is in the working tree."""

    def __init__(self, environment: Environment, registry: str, ingress: str) -> None:
        self.environment, self.registry, self.ingress = environment, registry, ingress
        self.namespace = environment.namespace
        self.cluster = Kubectl(self.namespace)
        self.target = Target(environment, self.cluster, Suites(ingress))
        self.good = image.build_and_push(registry)
        self.begin()

    def begin(self) -> None:
        """Brings it up."""
        self.deploy(self.good, bootstrap=True)

    def render(self, built: Image, setting: str | None = None) -> Render:
        """Renders the environment with an image and, if given, a line of configuration in place of its own."""
        folder = overlay.write(self.environment, built, single_node=True)
        if setting:
            file = folder / "kustomization.yaml"
            more = [{"name": "app-config", "behavior": "merge", "literals": [setting]}]
            file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "configMapGenerator": more}))
        return overlay.render(folder)

    def faulty(self, fault: str, after: int = 0) -> Image:
        """An image of the application that has this fault some seconds after its start; `none` is a good one."""
        arguments = [f"IMAGE={self.good}", f"FAULT={fault}", f"FAULT_AFTER={after}"]
        return image.push(image.build(HERE, arguments), f"{self.registry}/{image.NAME}")

    def deploy(self, built: Image, setting: str | None = None, **options: Any) -> None:
        """Delivers as a pipeline does, with no rights but the deployer's, at the sizes for one node."""
        rights = nullcontext() if options.get("bootstrap") else self.as_deployer()
        with rights:
            deploy.deploy(self.target, self.render(built, setting), deploy.Options(**options))

    @contextmanager
    def as_deployer(self) -> Iterator[None]:
        """Within it kubectl is the namespace's deployer, by a token of its own."""
        config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
        token = kubectl("-n", self.namespace, "create", "token", "deployer", "--duration=1h").strip()
        config["users"][0]["user"] = {"token": token}
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as there:
            file = Path(folder, "kubeconfig")
            file.touch(0o600)
            file.write_text(yaml.safe_dump(config))
            there.setenv("KUBECONFIG", str(file))
            yield

    def traffic(self) -> AbstractContextManager[list[Answer]]:
        """Requests through the ingress, as users send them."""
        return self.target.proofs.traffic(self.cluster, self.render(self.good))

    def site(self) -> Site:
        """Where users reach it."""
        return connect(self.cluster, self.render(self.good), self.ingress)

    def find(self, name: str) -> Manifest:
        """An object that has to be there."""
        found = self.cluster.get(name)
        assert found, f"{self.namespace} has no {name}"
        return found

    def pods(self) -> dict[str, str]:
        """The image of each web pod."""
        return {
            pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"]
            for pod in self.cluster.list("Pod", selector=f"{COMPONENT}=web")
            if not pod["metadata"].get("deletionTimestamp")
        }

    def releases(self) -> list[release.Release]:
        return release.read(self.cluster)


STAGE = pytest.StashKey[Stage]()


@pytest.fixture(scope="session")
def hidden() -> set[str]:
    """What no log is to have: what the Secrets held after the drills of any module, and what people typed."""
    return set()


@pytest.fixture(scope="module", autouse=True)
def collected(pytestconfig: pytest.Config, hidden: set[str]) -> Iterator[None]:
    yield
    if stage := pytestconfig.stash.get(STAGE, None):
        for body in stage.cluster.list("Secret"):
            hidden |= values(body)


def values(secret: Manifest) -> set[str]:
    """The lines of what a Secret hides, as they are, and the values as Kubernetes writes them."""
    encoded = {value for key, value in secret.get("data", {}).items() if not key.endswith(PUBLIC)}
    lines = [line for value in encoded for line in base64.b64decode(value).decode(errors="replace").splitlines()]
    return {text for text in (*lines, *encoded) if len(text) > 15 and "-----" not in text}


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config) -> Stage:
    option = pytestconfig.getoption
    stage = Stage(find(option("--env")), option("--registry"), option("--ingress"))
    pytestconfig.stash[STAGE] = stage
    return stage
