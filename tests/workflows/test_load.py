from __future__ import annotations

import pytest

from load_tests.thresholds import exceeded


@pytest.mark.parametrize(
    ("requests", "failures", "seconds", "problems"),
    [
        (1000, 10, 1.0, []),
        (1000, 11, 0.1, ["1.1% of 1000 requests failed; 1% may"]),
        (1000, 0, 1.25, ["95 % of requests were answered within 1.25 s; 1.00 s is the limit"]),
        (199, 0, 0.1, ["only 199 requests; 200 are needed to tell"]),
        (0, 0, 0.0, ["only 0 requests; 200 are needed to tell"]),
    ],
)
def test_too_many_errors_too_slow_and_too_little_to_tell_all_fail(
    requests: int, failures: int, seconds: float, problems: list[str]
) -> None:
    assert list(exceeded(requests, failures, seconds)) == problems
