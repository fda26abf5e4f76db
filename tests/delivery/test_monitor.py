from __future__ import annotations

import copy
import json

import pytest

from delivery import monitor
from delivery.cluster import Manifest
from delivery.monitor import SCRAPE, Look, PodState, Report, judge, requests_by_status
from delivery.shell import DeliveryError
from delivery.traffic import Answer
from tests.delivery.fake import FakeCluster, LostError
from tests.delivery.small import PROD, render

NOW = 1000.0


def answers(count: int, *, failing: int = 0, seconds: float = 0.1) -> list[Answer]:
    """`count` requests within the last 30 s, the first ones failing."""
    return [Answer(NOW - 29 * i / count, "/", seconds, "status 500" if i < failing else None) for i in range(count)]


def looks(*states: PodState) -> list[Look]:
    """One look every five seconds at a pod."""
    return [Look(NOW - 25 + 5 * i, {"web-1": state}) for i, state in enumerate(states)]


def healthy(count: int = 6) -> list[PodState]:
    return [PodState(True, 0, 100 + 20 * i, 0) for i in range(count)]


def test_a_healthy_window_has_no_problem() -> None:
    assert judge(answers(200), looks(*healthy()), NOW) == []


@pytest.mark.parametrize(
    ("requests", "problem"),
    [
        (answers(0), "only 0 requests in 30 s"),
        (answers(49), "only 49 requests in 30 s"),
        (answers(200, failing=3), "1.5% of 200 requests for / failed: status 500"),
        (answers(200, seconds=1.5), "95 % of requests were answered within 1.50 s"),
    ],
)
def test_what_users_would_notice_is_a_problem(requests: list[Answer], problem: str) -> None:
    assert [each for each in judge(requests, looks(*healthy()), NOW) if problem in each]


def test_one_failed_request_in_a_hundred_is_left_alone() -> None:
    assert judge(answers(200, failing=2), looks(*healthy()), NOW) == []


def test_saves_that_fail_do_not_hide_among_pages() -> None:
    saves = [Answer(NOW - 1, "/ready?save=true", 0.1, "status 503" if i < 2 else None) for i in range(100)]
    problem = "2.0% of 100 requests for /ready?save=true failed: status 503"
    assert judge([*answers(200), *saves], looks(*healthy()), NOW) == [problem]


def test_what_was_before_the_window_is_left_alone() -> None:
    old = [Answer(NOW - 31, "/", 9, "status 500")] * 100
    assert judge([*old, *answers(200)], looks(*healthy()), NOW) == []


@pytest.mark.parametrize(
    ("states", "problem"),
    [
        ([*healthy(5), PodState(True, 1, 300, 0)], "web-1 was restarted"),
        ([PodState(False, 0, 100 + 20 * i, 0) for i in range(6)], "web-1 was not ready for 30 s"),
        ([PodState(True, 0)] * 6, "web-1 gave no metrics for 30 s"),
        ([PodState(True, 0, 100 + i, 0) for i in range(6)], "web-1 answered only 5 requests"),
        ([PodState(True, 0, 100 + 20 * i, i) for i in range(6)], "web-1 answered 5 of 100 requests with an error"),
    ],
)
def test_what_a_pod_shows_is_a_problem(states: list[PodState], problem: str) -> None:
    assert [each for each in judge(answers(200), looks(*states), NOW) if problem in each]


def test_one_failed_scrape_is_left_alone() -> None:
    states = healthy()
    states[3] = PodState(True, 0)
    assert judge(answers(200), looks(*states), NOW) == []


@pytest.mark.parametrize("seen", [[], [Look(NOW - 5, problem="the server is away")]])
def test_seeing_no_pod_is_a_problem(seen: list[Look]) -> None:
    assert [each for each in judge(answers(200), seen, NOW) if "the pods cannot be seen" in each]


def test_requests_are_counted_by_status() -> None:
    text = (
        "# TYPE http_requests_total counter\n"
        'http_requests_total{route="/",status="200"} 7\nhttp_requests_total{route="/",status="500"} 2\n'
    )
    assert list(requests_by_status(text)) == [("200", 7), ("500", 2)]


def test_what_is_not_metrics_is_refused() -> None:
    with pytest.raises(ValueError):
        list(requests_by_status("<html>gone</html>"))


@pytest.mark.parametrize(
    ("requests", "problems"),
    [
        (answers(50), 0),
        (answers(49), 1),
        (answers(200, seconds=1.0), 0),
        # A twentieth may be slow.
        ([*answers(191), *[Answer(NOW, "/", 1.01, None)] * 9], 0),
        ([*answers(190), *[Answer(NOW, "/", 1.01, None)] * 10], 1),
        # The window is open at its beginning.
        ([*answers(49), Answer(NOW - 30, "/", 0.1, None)], 1),
        ([*answers(49), Answer(NOW - 29.9, "/", 0.1, None)], 0),
    ],
)
def test_what_users_bear_has_limits(requests: list[Answer], problems: int) -> None:
    assert len(judge(requests, looks(*healthy()), NOW)) == problems


@pytest.mark.parametrize(
    ("first", "last", "problems"),
    [
        (PodState(True, 0, 0, 0), PodState(True, 0, 20, 0), 0),
        (PodState(True, 0, 0, 0), PodState(True, 0, 19, 0), 1),
        (PodState(True, 0, 0, 0), PodState(True, 0, 50, 1), 0),
        (PodState(True, 0, 0, 0), PodState(True, 0, 50, 2), 1),
        (PodState(True, 0, 0, 5), PodState(True, 0, 300, 8), 0),
        (PodState(True, 0, 0, 5), PodState(True, 0, 300, 9), 1),
        (PodState(False, 0, 0, 0), PodState(True, 0, 50, 0), 0),
        (PodState(True, 3, 0, 0), PodState(True, 3, 50, 0), 0),
        (PodState(True, 0, 50, 0), PodState(True, 0), 0),
    ],
)
def test_what_a_pod_may_show_has_limits(first: PodState, last: PodState, problems: int) -> None:
    found = judge(answers(200), looks(first, last), NOW)
    assert len(found) == problems, found


def test_a_pod_that_is_new_is_judged_by_its_errors_alone() -> None:
    new = PodState(False, 2, 0, 0), PodState(False, 3, 5, 3)
    seen = [Look(NOW - 20, {}), *(Look(NOW - 10 + number, {"web-1": state}) for number, state in enumerate(new))]
    assert judge(answers(200), seen, NOW) == ["web-1 answered 3 of 5 requests with an error of its own"]
    assert judge(answers(200), [seen[0], Look(NOW - 1, {"web-1": PodState(False, 2)})], NOW) == []


def test_a_pod_that_has_gone_is_not_judged() -> None:
    seen = [Look(NOW - 20, {"web-1": PodState(False, 0)}), Look(NOW - 10, {})]
    assert judge(answers(200), seen, NOW) == []


def test_a_look_that_failed_is_left_alone_beside_one_that_did_not() -> None:
    failed = Look(NOW - 1, problem="the server is away")
    assert judge(answers(200), [failed, *looks(*healthy()), failed], NOW) == []


def test_the_newest_reason_says_why_no_pod_was_seen() -> None:
    seen = [Look(NOW - 5, problem="first"), Look(NOW - 1, problem="second")]
    assert judge(answers(200), seen, NOW) == ["the pods cannot be seen: second"]
    assert judge(answers(200), [], NOW) == ["the pods cannot be seen: nobody looked"]


@pytest.mark.parametrize("age", [30, 31])
def test_looks_from_before_the_window_are_left_alone(age: float) -> None:
    old = Look(NOW - age, {"web-1": PodState(True, 0, 0, 0)})
    assert judge(answers(200), [old, *looks(PodState(True, 1, 90, 0), PodState(True, 1, 200, 0))], NOW) == []


def test_a_report_is_json() -> None:
    report = Report("prod", "2026-11-30T00:00:00+00:00", 30.5, 5.5, 100, 1, ["one"])
    assert json.loads(report.to_json()) == {
        "environment": "prod",
        "began": "2026-11-30T00:00:00+00:00",
        "seconds": 30.5,
        "unseen": 5.5,
        "answers": 100,
        "errors": 1,
        "problems": ["one"],
    }


@pytest.fixture
def cluster() -> FakeCluster:
    """Two web pods that count ten requests a second."""
    cluster = FakeCluster(PROD.namespace)
    metadata = {"name": PROD.namespace}
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    cluster.apply([render("1").web])
    cluster.pause(10)
    cluster.server.programs["web"] = lambda pod, command: counted(10 * cluster.now())
    return cluster


def counted(good: float, bad: float = 0, status: str = "500") -> str:
    series = 'http_requests_total{status="%s"} %f\n'
    return series % ("200", good) + series % (status, bad)


def watch(cluster: FakeCluster, minutes: float = 1, track: str | None = None) -> Report:
    """A watch of pods alone, while users are served."""
    requests: list[Answer] = []

    def ask() -> bool:
        requests.append(Answer(cluster.now(), "/", 0.1, None))
        return True

    with cluster.every(0.4, ask):
        return monitor.watch("prod", cluster, requests, minutes, track)


def test_a_watch_of_what_is_well_lasts_as_long_as_was_asked_for(cluster: FakeCluster) -> None:
    report = watch(cluster, minutes=2)
    assert report.problems == []
    assert 120 <= report.seconds < 126
    assert report.answers > 280


@pytest.mark.parametrize("minutes", [0, 0.5])
def test_a_watch_is_long_enough_for_a_judgement(cluster: FakeCluster, minutes: float) -> None:
    assert 35 <= watch(cluster, minutes).seconds < 41


def test_a_watch_ends_with_the_first_problem(cluster: FakeCluster) -> None:
    cluster.server.programs["web"] = lambda pod, command: counted(10 * cluster.now(), cluster.now())
    report = watch(cluster, minutes=10)
    assert 30 <= report.seconds < 36
    assert len(report.problems) == 2
    moment, _, problem = report.problems[0].partition(" ")
    assert moment.startswith(report.began[:11])
    assert problem.startswith("web-")


def test_a_watch_counts_what_users_met(cluster: FakeCluster) -> None:
    requests = [Answer(0, "/", 1, "status 503"), Answer(0, "/", 1, None), Answer(0, "/", 1, "status 500")]
    report = monitor.watch("prod", cluster, requests, 0)
    assert (report.environment, report.answers, report.errors) == ("prod", 3, 2)
    assert "only 0 requests" in report.problems[0]


@pytest.mark.parametrize(("at", "seconds"), [(0, 60), (0, 180), (20, 180), (50, 60), (55, 180)])
def test_an_api_server_that_pauses_is_not_the_site_s_failure(
    cluster: FakeCluster, capsys: pytest.CaptureFixture[str], at: float, seconds: float
) -> None:
    def pause() -> bool:
        cluster.away(seconds)
        return False

    with cluster.every(at, pause):
        report = watch(cluster)
    assert report.problems == []
    assert seconds - 10 < report.unseen < seconds + 10
    assert 60 <= report.seconds - report.unseen < 66
    assert capsys.readouterr().err.count("not seen: The connection to the server was refused") == 1


@pytest.mark.parametrize("sleeps_at", [2, 20, 50])
def test_a_machine_that_sleeps_is_not_the_site_s_failure(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, sleeps_at: float
) -> None:
    def pause(self: FakeCluster, seconds: float) -> None:
        if self.now() >= sleeps_at and not naps:
            asking, self.server.repeated = self.server.repeated, []
            self.server.advance(600)
            self.server.repeated = asking
            naps.append(600)
        awake(self, seconds)

    naps, awake = list[int](), FakeCluster.pause
    sleeps_at += cluster.now()
    monkeypatch.setattr(FakeCluster, "pause", pause)
    report = watch(cluster, minutes=1)
    assert report.problems == []
    assert 600 <= report.unseen < 610
    assert 60 <= report.seconds - report.unseen < 96
    naps.clear()
    cluster.server.ill["web"] = "unready"
    sleeps_at = cluster.now() + 20
    assert "was not ready" in watch(cluster).problems[0]


def test_a_site_that_fails_while_the_api_server_is_away_is_told_of(cluster: FakeCluster) -> None:
    cluster.away(1000)
    report = monitor.watch("prod", cluster, [], 1)
    assert report.problems[0].endswith("only 0 requests in 30 s were answered or refused; 50 are needed to tell")
    assert report.seconds < 40


def test_what_a_pod_shows_after_a_pause_is_judged(cluster: FakeCluster) -> None:
    def pause() -> bool:
        cluster.away(100)
        cluster.server.ill["web"] = "restarting"
        return False

    with cluster.every(20, pause):
        report = watch(cluster)
    assert "was restarted" in report.problems[0]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"away_until": 1000}, "The connection to the server was refused"), ({"latency": 25}, "did not end within 20 s")],
)
def test_an_api_server_that_does_not_come_back_ends_the_watch(
    cluster: FakeCluster, fault: dict[str, float], reason: str
) -> None:
    vars(cluster.faults).update(fault)
    report = watch(cluster)
    assert "the pods were not seen for 2" in report.problems[0]
    assert report.problems[0].endswith(reason)
    assert 240 < report.seconds < 275


def test_metrics_that_nobody_can_ask_for_are_not_seen(cluster: FakeCluster) -> None:
    def unreachable(cluster: FakeCluster, operation: str, name: str) -> None:
        if operation == "exec" and 20 < cluster.now() - began < 80:
            raise LostError("error dialing backend: dial tcp 10.0.0.1:10250: connect: connection refused")

    began = cluster.now()
    cluster.faults.before = unreachable
    report = watch(cluster)
    assert report.problems == []
    assert 55 < report.unseen < 70


def test_only_pods_of_the_track_are_watched(cluster: FakeCluster) -> None:
    selector = "app.kubernetes.io/component=web,track=canary"
    report = watch(cluster, track="canary")
    assert report.problems[0].endswith(f"the pods cannot be seen: there is no pod with {selector}")
    assert watch(cluster, track="stable").problems == []


def test_pods_that_nobody_may_look_at_are_not_seen(cluster: FakeCluster) -> None:
    cluster.forbidden.add(("list", "Pod"))
    (problem,) = watch(cluster).problems
    assert "the pods cannot be seen: Error from server (Forbidden): cannot list Pod" in problem


def test_a_container_that_a_webhook_has_put_first_is_not_asked_for_metrics(cluster: FakeCluster) -> None:
    body = copy.deepcopy(render("2").web)
    body["spec"]["template"]["spec"]["containers"].insert(0, {"name": "proxy"})
    body["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "web"}
    cluster.apply([body])
    cluster.pause(30)
    assert watch(cluster).problems == []


def test_a_pod_that_is_going_is_not_watched(cluster: FakeCluster) -> None:
    cluster.server.grace = 1000
    cluster.apply([render("2").web])
    cluster.pause(30)
    old, new = "app-config-1", "app-config-2"
    seen: list[str] = []

    def answer(pod: Manifest, command: tuple[str, ...]) -> str:
        seen.append(pod["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"])
        return counted(10 * cluster.now())

    cluster.server.programs["web"] = answer
    assert watch(cluster).problems == []
    assert (old in seen, new in seen) == (False, True)


@pytest.mark.parametrize("text", ["", "# HELP nothing\n", "<html>gone</html>", "another_total 7\n"])
def test_a_pod_without_metrics_is_a_problem(cluster: FakeCluster, text: str) -> None:
    cluster.server.programs["web"] = lambda pod, command: text
    assert "gave no metrics for 30 s" in watch(cluster).problems[0]


def test_a_pod_whose_metrics_cannot_be_asked_for_is_a_problem(cluster: FakeCluster) -> None:
    def refuse(pod: Manifest, command: tuple[str, ...]) -> str:
        raise DeliveryError("command terminated with exit code 1")

    cluster.server.programs["web"] = refuse
    assert "gave no metrics for 30 s" in watch(cluster).problems[0]


@pytest.mark.parametrize(("status", "problems"), [("499", 0), ("500", 2), ("503", 2)])
def test_answers_of_500_and_above_are_errors(cluster: FakeCluster, status: str, problems: int) -> None:
    asked: set[tuple[str, ...]] = set()

    def answer(pod: Manifest, command: tuple[str, ...]) -> str:
        asked.add(command)
        return counted(10 * cluster.now(), cluster.now(), status)

    cluster.server.programs["web"] = answer
    assert len(watch(cluster).problems) == problems
    assert asked == {("python", "-c", SCRAPE)}


def test_restarts_are_those_of_all_containers(cluster: FakeCluster) -> None:
    cluster.server.ill["web"] = "restarting"
    assert [line for line in watch(cluster).problems if "was restarted" in line]


def test_only_one_series_of_a_text_is_counted() -> None:
    assert list(requests_by_status('x_total{status="200"} 7\n' + counted(1, 2))) == [
        ("200", 1),
        ("500", 2),
    ]


def test_a_series_without_a_status_counts_as_one_without_errors() -> None:
    assert list(requests_by_status("http_requests_total 7\n")) == [("", 7)]
