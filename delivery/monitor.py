"""Watching an environment after a delivery, by requests of its own and by what its pods say.

What cannot be seen is a failure: no requests answered, no metrics, or too few of either, is never a
pass. An API server that does not answer is not the site's: the watch lasts as much longer, and
fails where that goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from delivery import workloads
from delivery.cluster import Cluster, Manifest, UnavailableError, going
from delivery.render import COMPONENT
from delivery.shell import DeliveryError, say
from delivery.sight import PATIENCE
from delivery.traffic import Answer

# Seconds that a judgement looks back on, and between two of them.
WINDOW = 30.0
EVERY = 5.0
# Where more have passed since the last look, this machine slept: none takes as long.
NAP = EVERY + 2 * WINDOW
# Of the requests in a window, errors of those for one address.
MOST_ERRORS = 0.01
SLOWEST = 1.0
FEWEST = 50
FEWEST_OF_A_POD = 20
SCRAPE = (
    "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9000/metrics', timeout=5).read().decode(), end='')"
)


@dataclass(frozen=True)
class PodState:
    """A web pod at one moment: whether it is ready, and how often it was restarted.

    Attributes:
        requests, errors: answered since its start, and with a status of 500 or more; None where it gave no metrics.
    """

    ready: bool
    restarts: int
    requests: float | None = None
    errors: float | None = None


@dataclass(frozen=True)
class Look:
    """All watched pods by name, at one moment of the clock; `problem` says why there are none to be seen."""

    at: float
    pods: dict[str, PodState] = field(default_factory=dict)
    problem: str | None = None


@dataclass
class Report:
    """What a watch saw: `problems` with their time, empty if all was well.

    Attributes:
        seconds, unseen: how long it took, and how much of that the API server did not answer, or this
            machine slept.
    """

    environment: str
    began: str
    seconds: float = 0
    unseen: float = 0
    answers: int = 0
    errors: int = 0
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)


def judge(answers: Iterable[Answer], looks: Iterable[Look] | None, now: float) -> list[str]:
    """What is wrong in the last WINDOW seconds before `now`; both lists have to reach back that far.

    Without `looks` the pods are not judged.
    """
    recent = [answer for answer in answers if answer.at > now - WINDOW]
    if looks is None:
        return [*_judge_answers(recent)]
    return [*_judge_answers(recent), *_judge_pods([look for look in looks if look.at > now - WINDOW])]


def _judge_answers(answers: list[Answer]) -> Iterable[str]:
    if len(answers) < FEWEST:
        yield f"only {len(answers)} requests in {WINDOW:.0f} s were answered or refused; {FEWEST} are needed to tell"
        return
    for path in sorted({answer.path for answer in answers}):
        asked = [answer for answer in answers if answer.path == path]
        errors = [answer.error for answer in asked if answer.error]
        if len(errors) > MOST_ERRORS * len(asked):
            yield f"{len(errors) / len(asked):.1%} of {len(asked)} requests for {path} failed: {errors[-1]}"
    slow = sorted(answer.seconds for answer in answers)[int(0.95 * len(answers))]
    if slow > SLOWEST:
        yield f"95 % of requests were answered within {slow:.2f} s; {SLOWEST:.2f} s is the limit"


def _judge_pods(looks: list[Look]) -> Iterable[str]:
    good = [look for look in looks if not look.problem]
    if not good:
        yield f"the pods cannot be seen: {looks[-1].problem if looks else 'nobody looked'}"
        return
    first, last = good[0].pods, good[-1].pods
    for name, state in last.items():
        before = first.get(name)
        if before and state.restarts > before.restarts:
            yield f"{name} was restarted"
        history = [look.pods[name] for look in good if name in look.pods]
        # One failed scrape or probe may be chance; all of a window are not.
        if before and not any(past.ready for past in history):
            yield f"{name} was not ready for {WINDOW:.0f} s"
        counted = [past for past in history if past.requests is not None and past.errors is not None]
        if before and not counted:
            yield f"{name} gave no metrics for {WINDOW:.0f} s"
        elif len(counted) > 1:
            answered = (counted[-1].requests or 0) - (counted[0].requests or 0)
            failed = (counted[-1].errors or 0) - (counted[0].errors or 0)
            if before and answered < FEWEST_OF_A_POD:
                yield f"{name} answered only {answered:.0f} requests in {WINDOW:.0f} s, too few to tell"
            if failed > max(1, MOST_ERRORS * answered):
                yield f"{name} answered {failed:.0f} of {answered:.0f} requests with an error of its own"


def watch(
    environment: str,
    cluster: Cluster,
    answers: Sequence[Answer],
    minutes: float,
    track: str | None = None,
) -> Report:
    """Watches for `minutes`, or until something is wrong.

    `answers` grows meanwhile; of the web pods only those of `track` are looked at, if given.
    """
    began = since = last = cluster.now()
    report = Report(environment, datetime.now(UTC).isoformat(timespec="seconds"))
    looks: list[Look] = []
    dark = 0.0
    say(f"watching {environment} for {minutes:g} min")
    while not report.problems and last < max(
        began + report.unseen + max(60 * minutes, WINDOW + EVERY), since + WINDOW + EVERY
    ):
        cluster.pause(EVERY)
        if (slept := cluster.now() - last) > NAP:
            say(f"this machine slept for {slept:.0f} s, in which nothing was asked; watching goes on")
            report.unseen += slept
            looks = [replace(look, at=look.at + slept) for look in looks]
            since = last = cluster.now()
        problems = []
        try:
            looks.append(_look(cluster, track))
            now, dark = cluster.now(), 0.0
        except UnavailableError as error:
            now, reason = cluster.now(), str(error).splitlines()[-1]
            if not dark:
                say(f"not seen: {reason}")
            report.unseen += now - last
            dark += min(now - last, NAP)
            since = now if now - last > NAP else since
            # Between the looks before and after it there is no time.
            looks = [replace(look, at=look.at + now - last) for look in looks]
            if dark > PATIENCE:
                problems = [f"the pods were not seen for {dark:.0f} s: {reason}"]
        last = now
        if now >= since + WINDOW:
            enough = now >= began + report.unseen + WINDOW
            problems += judge(list(answers), looks if enough else None, now)
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        report.problems = [f"{moment} {problem}" for problem in problems]
    report.seconds, report.unseen = round(last - began, 1), round(report.unseen, 1)
    report.answers = len(answers)
    report.errors = sum(answer.error is not None for answer in answers)
    return report


def _look(cluster: Cluster, track: str | None) -> Look:
    """The pods of a track now; UnavailableError where nothing can be said of them."""
    # What does not answer now is looked at again in a moment.
    hurried = cluster.patient(0, timeout=20)
    selector = f"{COMPONENT}=web" + (f",track={track}" if track else "")
    try:
        pods = hurried.list("Pod", selector=selector)
    except UnavailableError:
        raise
    except DeliveryError as error:
        return Look(cluster.now(), problem=str(error).splitlines()[-1])
    watched = [pod for pod in pods if not going(pod) and not workloads.ended(pod)]
    if not watched:
        return Look(cluster.now(), problem=f"there is no pod with {selector}")
    states = {pod["metadata"]["name"]: _state(hurried, pod) for pod in watched}
    return Look(cluster.now(), states)


def _state(cluster: Cluster, pod: Manifest) -> PodState:
    containers = pod["status"].get("containerStatuses", [])
    ready = workloads.ready(pod)
    restarts = sum(container["restartCount"] for container in containers)
    # That its node does not answer is no pause of the API server.
    if workloads.lost(pod):
        return PodState(ready, restarts)
    try:
        metrics = cluster.exec(*workloads.first_container(pod), "python", "-c", SCRAPE)
        counted = list(requests_by_status(metrics))
    except UnavailableError:
        raise
    except (DeliveryError, ValueError):
        return PodState(ready, restarts)
    if not counted:
        return PodState(ready, restarts)
    errors = sum(count for status, count in counted if status >= "500")
    return PodState(ready, restarts, sum(count for _, count in counted), errors)


def requests_by_status(metrics: str) -> Iterator[tuple[str, float]]:
    """(status, count) of each series of http_requests_total in a text of metrics; ValueError if it is no such text."""
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "http_requests_total":
                yield sample.labels.get("status", ""), sample.value
