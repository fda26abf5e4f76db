from __future__ import annotations

import pytest

from delivery.monitor import Look, PodState, judge, requests_by_status
from delivery.traffic import Answer

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
        (answers(200, failing=3), "1.5% of 200 requests failed, such as /: status 500"),
        (answers(200, seconds=1.5), "95 % of requests were answered within 1.50 s"),
    ],
)
def test_what_users_would_notice_is_a_problem(requests: list[Answer], problem: str) -> None:
    assert [each for each in judge(requests, looks(*healthy()), NOW) if problem in each]


def test_one_failed_request_in_a_hundred_is_left_alone() -> None:
    assert judge(answers(200, failing=2), looks(*healthy()), NOW) == []


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
