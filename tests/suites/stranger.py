"""Somebody else's shell: a copy of this checkout, a few packages, and a home that is new."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from delivery.shell import program
from tests.conftest import ROOT

# What the documents' line installs, but for checkov, whose pins contradict OR-Tools'.
CARD = ("pytest", "pyyaml", "kubernetes-validate", "pytest-testinfra", "pymysql", "requests")
# The package `testinfra` of today is this plugin, and a dependency on pytest-testinfra.
OLD_NAME = """
import warnings

def pytest_configure(config):
    warnings.warn("testinfra package has been renamed to pytest-testinfra. Please ...", DeprecationWarning)
"""


@dataclass
class Stranger:
    """Where the shell is, and what is on its PATH beside the environment's own programs."""

    folder: Path
    path: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home, self.bin = self.folder / "home", self.folder / "venv" / "bin"
        self.home.mkdir(parents=True)
        self.bin.mkdir(parents=True)
        home = Path(sys.executable).resolve().parent
        alone = "include-system-site-packages = false"
        (self.folder / "venv" / "pyvenv.cfg").write_text(f"home = {home}\n{alone}\n")
        (self.bin / "python").symlink_to(Path(sys.executable).resolve())
        purelib = sysconfig.get_path("purelib", "venv", {"base": str(self.folder / "venv")})
        self.packages = Path(purelib)
        self.packages.mkdir(parents=True)
        for package in _closure(CARD):
            self._install(package)
        plugin = self.packages / "testinfra-6.0.0.dist-info"
        plugin.mkdir()
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: testinfra\nVersion: 6.0.0\n")
        (plugin / "entry_points.txt").write_text("[pytest11]\npytest11.testinfra = _testinfra_renamed\n")
        (self.packages / "_testinfra_renamed.py").write_text(OLD_NAME)

    def _install(self, package: Distribution) -> None:
        for top in _tops(package):
            (self.packages / top).symlink_to(str(package.locate_file(top)))
        for script in package.entry_points.select(group="console_scripts", name="pytest"):
            file = self.bin / script.name
            call = f"from {script.module} import {script.attr}\nsys.exit({script.attr}())"
            file.write_text(f"#!{self.bin}/python\nimport sys\n{call}\n")
            file.chmod(0o755)

    def lacks(self, name: str) -> None:
        """Takes one package away, whatever others need it."""
        for top in _tops(distribution(name)):
            (self.packages / top).unlink()

    def has(self, *programs: Path) -> None:
        """Puts programs on the PATH, and nothing that lies beside them."""
        folder = self.folder / "programs"
        folder.mkdir(exist_ok=True)
        for file in programs:
            (folder / file.name).symlink_to(file)
        self.path.append(folder)

    def run(self, line: str, folder: Path, **variables: str) -> Outcome:
        """What a line that is typed in a folder says and how long it takes."""
        path = os.pathsep.join(map(str, (self.bin, *self.path)))
        environment = {"HOME": str(self.home), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **variables}
        started = time.monotonic()
        command = ["/bin/sh", "-c", line]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str
    errors: str
    seconds: float

    @property
    def refusal(self) -> str:
        """The one line that says why nothing was tested."""
        assert self.code, self.output + self.errors
        lines = [line for line in self.errors.splitlines() if line.strip()]
        assert len(lines) == 1, self.errors
        assert not {"Traceback", "FAILURES", "ERRORS"} & set(self.output.split()), self.output
        assert "passed" not in self.output
        assert self.seconds < 20
        return lines[0].removeprefix("ERROR: ")


def clone(folder: Path) -> Path:
    """This checkout's files without what `make` installs and builds, and without a history."""
    made = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", "node_modules")
    top = {str(ROOT): {"build", "data"}}
    return shutil.copytree(ROOT, folder, ignore=lambda where, names: made(where, names) | top.get(where, set()))


def kubectl() -> Path:
    return Path(program("kubectl"))


def _tops(package: Distribution) -> set[str]:
    """What lies in site-packages of a package."""
    return {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}


def _closure(names: Iterable[str]) -> list[Distribution]:
    """The packages of these names with all that they depend on."""
    pending, found = list(names), dict[str, Distribution]()
    while pending:
        package = distribution(pending.pop())
        if package.name not in found:
            found[package.name] = package
            wanted = map(Requirement, package.requires or ())
            pending += [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    return list(found.values())
