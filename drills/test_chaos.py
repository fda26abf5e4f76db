"""Whatever is done to a deployed environment: users are served or somebody is told, and it comes back.

drills/chaos.py draws what is done. Nothing here takes it back: that is the product's, by itself, by
one delivery of the same release, or by an administrator's `make up`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest

from delivery import drift, foundation
from delivery.cluster import MissingError
from delivery.kubectl import kubectl
from delivery.shell import ROOT, DeliveryError, clock, say
from delivery.traffic import Answer
from drills import chaos
from drills.chaos import Draw
from drills.conftest import Stage
from drills.ledger import Ledger, Outcome
from drills.node import hand
from drills.saves import saving
from drills.scene import Scene
from drills.watching import Watch, until

# Seconds: for what may come back by itself, for an alert, for its end, and how long users may be
# without pages and without one; of users that were served, how long they are asked.
BY_ITSELF, ALERT, END, UNTOLD, LOOK = 240, 300, 420, 120, 15
# What a kubelet takes its time for.
SLOW, LATE = ("fill", "take away"), 75


def outage(answers: list[Answer], began: float, step: float = 5) -> float:
    """The seconds since `began` in which at least half of the requests failed."""
    spans: dict[int, list[bool]] = {}
    for answer in answers:
        if answer.at >= began:
            spans.setdefault(int((answer.at - began) / step), []).append(bool(answer.error))
    return step * sum(2 * sum(failed) >= len(failed) for failed in spans.values())


def served(answers: list[Answer], seconds: float = 5) -> bool:
    """Whether all requests of the last seconds were answered well, or are not seen any more."""
    recent = [answer for answer in answers if answer.at > clock() - seconds]
    return len(recent) > 5 and not any(answer.error for answer in recent)


class Ear:
    """What is told of an environment since the ear is there.

    Only what wakes somebody up is waited for and counted: a warning looks back on half an hour and
    more, and so on several draws.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.before = {status: len(watch.told(status)) for status in ("firing", "resolved")}

    def heard(self, status: str = "firing") -> list[dict[str, str]]:
        return self.watch.told(status)[self.before[status] :]

    def calls(self, status: str = "firing") -> set[str]:
        """The names of the critical ones."""
        return {alert["alertname"] for alert in self.heard(status) if alert["severity"] == "critical"}

    def silence(self) -> None:
        """Waits until the end of every call was told."""
        namespace = self.watch.stage.namespace
        firing = f'ALERTS{{namespace="{namespace}", alertstate="firing", severity="critical"}}'
        until(lambda: not self.watch.query(firing), END)
        until(lambda: self.calls() <= self.calls("resolved"), 60)


def play(scene: Scene, watch: Watch, outcome: Outcome, draw: Draw) -> None:
    """Makes a draw, and fills in what came of it."""
    stage, ear = scene.stage, Ear(watch)
    with stage.traffic() as answers, saving(stage) as saves:
        time.sleep(3)
        began = clock()
        outcome.done = scene.do(draw)
        if not outcome.done:
            return
        _wait(scene, ear, answers, began, outcome)
        mended = clock()
        if not outcome.back:
            _bring_back(scene, outcome)
        outcome.seconds = clock() - began
        outcome.out = outage(answers, began)
        recent = [answer for answer in answers if answer.at >= began]
        outcome.requests, outcome.failed = len(recent), sum(bool(answer.error) for answer in recent)
    outcome.saves, outcome.lost = len(saves.acknowledged), saves.lost
    if outcome.lost:
        outcome.wrong.append(f"{outcome.lost} of {outcome.saves} acknowledged saves are lost")
    if ear.calls():
        try:
            ear.silence()
            outcome.ended = clock() - mended
        except AssertionError:
            outcome.wrong.append(f"the end of an alert was not told within {END} s")
    outcome.alerts = list(dict.fromkeys(alert["alertname"] for alert in ear.heard()))
    if outcome.out > UNTOLD and len(ear.calls()) != 1:
        outcome.wrong.append(f"users were out for {outcome.out:.0f} s, with {len(ear.calls())} calls")
    for alert in ear.heard():
        runbook = ROOT / "docs" / "runbooks" / f"{alert['alertname']}.md"
        if stage.namespace not in alert["description"] or not runbook.exists():
            outcome.wrong.append(f"{alert['alertname']} says not where, or not what to do")


def _wait(scene: Scene, ear: Ear, answers: list[Answer], began: float, outcome: Outcome) -> None:
    """Waits until all is well again by itself, or it is clear that somebody has to do something."""
    while True:
        time.sleep(2)
        passed = clock() - began
        if outcome.heard is None and ear.calls():
            outcome.heard = passed
        if passed < (LATE if outcome.action in SLOW else LOOK):
            continue
        if served(answers):
            edited = scene.edited()
            if not edited and scene.running():
                outcome.back = "itself"
                return
            if edited or passed > BY_ITSELF:
                return
        elif outcome.heard is not None and passed > outcome.heard + LOOK:
            return
        elif passed > ALERT:
            outcome.wrong.append(f"users are not served, and nobody was called within {ALERT} s")
            return


def _bring_back(scene: Scene, outcome: Outcome) -> None:
    """By a delivery with the deployer's rights, or else by an administrator's."""
    stage, why = scene.stage, ""
    for way in scene.ways(outcome.object):
        try:
            stage.deploy(stage.good, bootstrap=way == "up")
            if not (why := _lacking(scene)):
                outcome.back = way
                return
        except DeliveryError as error:
            why = f"{error}"
            say(f"{way}: {error}")
    outcome.wrong.append(f"neither a delivery nor make up brings it back: {why[-600:]}")


def _lacking(scene: Scene) -> str:
    """What is still not as it was; empty when all is well."""
    stage, cluster = scene.stage, scene.stage.cluster
    missing, altered = foundation.compare(cluster, scene.render)
    lines = [*scene.lacking(), *missing, *altered, *drift.found(cluster, scene.render)]
    if not scene.running():
        lines.append("a workload does not run")
    with stage.traffic() as answers:
        time.sleep(6)
        if not served(answers):
            lines.append(f"users are not served: {answers[-1].error if answers else 'no answer'}")
    return "; ".join(lines)


def _force_back(scene: Scene) -> None:
    """Makes all anew that is not as it was, and every pod, so that the next draw begins well."""
    stage, kept = scene.stage, {f"namespace/{scene.stage.namespace}", *scene.secrets}
    stage.cluster.delete(*(label for label in scene.edited() if label not in kept))
    for label in scene.secrets:
        with suppress(MissingError):
            stage.cluster.patch(label, {"data": scene.before[label]})
    pods = "app.kubernetes.io/component in (web, worker, database, backup-store)"
    kubectl("-n", stage.namespace, "delete", "pods", "-l", pods)
    stage.deploy(stage.good, bootstrap=True)


def test_users_are_served_or_somebody_is_told_and_the_release_comes_back(
    stage: Stage, watch: Watch, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    option = pytestconfig.getoption
    seed, count = option("--chaos-seed"), option("--chaos-draws")
    ledger = Ledger(Path(option("--chaos-ledger") or tmp_path / "chaos.jsonl"))
    end = clock() + (60 if option("--quick") else 3600)
    outcomes: list[Outcome] = []
    say(f"chaos by seed {seed}, from draw {ledger.next(seed)}")
    with hand(stage.good) as node:
        scene = Scene(stage, node)
        if _lacking(scene):
            stage.deploy(stage.good, bootstrap=True)
            scene = Scene(stage, node)
        for draw in chaos.draws(scene.render, seed, ledger.next(seed)):
            if len(outcomes) == count or clock() > end:
                break
            outcome = Outcome(seed, draw.number, draw.object, draw.action)
            try:
                Ear(watch).silence()
                play(scene, watch, outcome, draw)
            except (AssertionError, DeliveryError) as error:
                outcome.wrong.append(f"not seen to its end: {error}")
            outcomes.append(outcome)
            ledger.add(outcome)
            say(str(outcome))
            if outcome.done and not outcome.back:
                _force_back(scene)
            scene.look()
    say(f"{ledger.streak()} draws in a row without a no")
    assert [str(outcome) for outcome in outcomes if outcome.wrong] == []
