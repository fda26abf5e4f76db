"""Runs a workflow on this machine with act (https://github.com/nektos/act), without GitHub and without a network.

GitHub's own services are stood in for by the composite actions in shims/. What they and program.bash note is a run's
list of calls.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REPOSITORY = "example/school-scheduler"
# Keys that GitHub knows and act refuses.
UNKNOWN = re.compile(r"^ +(?:queue|artifact-metadata|deployment): .*\n", re.MULTILINE)
PIN = re.compile(r"uses: ([\w-]+/[\w-]+)[\w/-]*@(\S+) # (\S+)$", re.MULTILINE)


def definitions() -> list[Path]:
    """The workflows and the composite actions."""
    return sorted([*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/actions/*/action.yml")])


def portable(text: str) -> str:
    """A definition that act understands: without UNKNOWN, and with `$/` spelt as the repository that it means."""
    return re.sub(r"uses: \$/(\S+)", rf"uses: {REPOSITORY}/\1@self", UNKNOWN.sub("", text))


@dataclass(frozen=True)
class Run:
    """What a run did.

    Attributes:
        passed: whether GitHub would show it green.
        jobs: the result of every job that was not skipped, by its id, with a matrix's value behind it.
        calls: what was called, in order.
        keys: what was called with a private key, behind that key.
        kubeconfigs: mode, path (relative if in the checkout) and text of the kubeconfig at each call that had one.
    """

    passed: bool
    jobs: Mapping[str, str]
    calls: list[str]
    keys: list[str]
    kubeconfigs: list[str]
    artifacts: Path
    log: str = field(repr=False)


@dataclass(frozen=True)
class Act:
    """A repository to run workflows of, at a commit with a parent.

    Attributes:
        programs: what program.bash is to stand in for.
        variables: of the environment of every step.
    """

    folder: Path
    programs: Iterable[str]
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "programs").mkdir()
        for name in self.programs:
            program = self.folder / "programs" / name
            shutil.copy(HERE / "program.bash", program)
            program.chmod(0o755)
        # Ours need nothing that is installed, and start twice as fast without looking for it.
        python = self.folder / "programs" / "python3"
        python.write_text(f'#!/bin/sh\nexec {shutil.which("python3")} -S "$@"\n')
        python.chmod(0o755)
        shutil.copytree(HERE / "shims", self.folder / "shims")

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def commit(self, files: Iterable[Path]) -> str:
        """Commits copies of these files of this repository, and one empty commit upon it; its id."""
        for file in files:
            target = self.tree / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
        for file in definitions():
            # The repository as an action of its own is a folder of its own: act copies it whole for each use.
            for root in (self.tree, self.folder / "self"):
                target = root / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(portable(file.read_text()))
        # Releases that the tests make are told of.
        sections = [f"## {version}\n\n- A page.\n" for version in ("v1.2.4", "v1.2.3")]
        (self.tree / "CHANGELOG.md").write_text("\n".join(sections))
        if not (self.tree / ".git").exists():
            self._git("init", "--quiet", "--template=", "--initial-branch=main")
            self._git("remote", "add", "origin", f"https://github.com/{REPOSITORY}")
        self._git("add", "--all")
        for message in ("parent", "commit"):
            identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
            self._git(*identity, "commit", "--quiet", "--allow-empty", "--message", message)
        self._git("update-ref", "refs/remotes/origin/main", "HEAD")
        return self._git("rev-parse", "HEAD").strip()

    def run(
        self,
        workflow: str,
        event: str,
        payload: Mapping[str, Any],
        *,
        run_id: int = 17,
        secrets: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        fail: str = "",
        **environ: str,
    ) -> Run:
        """Runs a workflow (ci-cd) for an event.

        `settings` are the repository's variables; `fail` and `environ` are program.bash's, but for
        what GitHub sets itself.
        """
        here = self.folder / f"run-{len(list(self.folder.glob('run-*')))}"
        here.mkdir()
        (here / "event.json").write_text(json.dumps(payload))
        (here / "calls").touch()
        # First of all the programs, wherever a step's own come from.
        path = f"{self.folder / 'programs'}:{self.variables.get('PATH', os.environ['PATH'])}"
        variables = {**self.variables, "CALLS": str(here / "calls"), "ARTIFACTS": str(here / "artifacts"), "FAIL": fail}
        variables |= {"PATH": path, "HOME": str(here / "home"), "GITHUB_RUN_ID": str(run_id)}
        variables |= {"GITHUB_RUN_ATTEMPT": "1", **environ}
        secrets = {"GITHUB_TOKEN": "token-of-the-run", **(secrets or {})}
        command = [shutil.which("act", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "act", event]
        command += ["--workflows", f".github/workflows/{workflow}.yml", "--eventpath", str(here / "event.json")]
        command += ["--json", "--actor", "somebody", "--platform", "ubuntu-24.04=-self-hosted", "--no-cache-server"]
        command += [
            "--action-offline-mode",
            "--action-cache-path",
            str(here / "cache"),
            "--container-daemon-socket",
            "-",
        ]
        for action, place in self._local().items():
            command += ["--local-repository", f"{action}={place}"]
        for option, values in (("--env", variables), ("--var", settings or {})):
            command += [word for name, value in values.items() for word in (option, f"{name}={value}")]
        # Neither on the command line nor in act's environment, which is every step's.
        private = here / "secrets"
        private.touch(mode=0o600)
        private.write_text("".join(f"{name}='{value}'\n" for name, value in secrets.items()))
        command += ["--secret-file", str(private)]
        # act looks for a docker that no job here runs in; the caller's own cluster and base image are none of a job's.
        environment = {**os.environ, "DOCKER_HOST": "unix:///nonexistent"}
        for name in ("KUBECONFIG", "PYTHON_IMAGE"):
            environment.pop(name, None)
        done = subprocess.run(command, cwd=self.tree, env=environment, capture_output=True, text=True, check=False)
        return Run(
            passed=done.returncode == 0,
            jobs=dict(results(done.stdout)),
            calls=(here / "calls").read_text().splitlines(),
            keys=lines(here / "calls.keys"),
            kubeconfigs=lines(here / "calls.kubeconfig"),
            artifacts=here / "artifacts",
            log=done.stdout + done.stderr,
        )

    def _local(self) -> dict[str, Path]:
        """Where each action that a definition uses is found instead."""
        pins = {pin for file in definitions() for pin in PIN.findall(file.read_text())}
        shims = {f"{action}@{sha}": self.folder / "shims" / action.partition("/")[2] for action, sha, _ in pins}
        return {f"{REPOSITORY}@self": self.folder / "self", **shims}

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.tree), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def lines(file: Path) -> list[str]:
    """The lines of a file, or none where there is no file."""
    return file.read_text().splitlines() if file.exists() else []


def results(log: str) -> Iterable[tuple[str, str]]:
    """Each job that ran with its result, from act's log; act's exit code says nothing of a job that it did not run."""
    for line in log.splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if "jobResult" in entry:
            yield " ".join([entry["jobID"], *map(str, entry["matrix"].values())]), entry["jobResult"]
