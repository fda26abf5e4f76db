"""What a load test must not exceed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Of all requests; and seconds within which 95 % of them are answered.
MOST_ERRORS = 0.01
SLOWEST = 1.0
# With fewer requests there is nothing to tell, and that is a failure too.
FEWEST = 200


def exceeded(requests: int, failures: int, seconds: float) -> Iterator[str]:
    """What is wrong with so many requests and failures, 95 % of which were answered within so many seconds."""
    if requests < FEWEST:
        yield f"only {requests} requests; {FEWEST} are needed to tell"
        return
    if failures > MOST_ERRORS * requests:
        yield f"{failures / requests:.1%} of {requests} requests failed; {MOST_ERRORS:.0%} may"
    if seconds > SLOWEST:
        yield f"95 % of requests were answered within {seconds:.2f} s; {SLOWEST:.2f} s is the limit"


def another(wanted: str, seen: Sequence[str]) -> Iterator[str]:
    """What is wrong where the image before and after the load was not the `wanted` one; empty for any."""
    if len(seen) != 2:
        yield "nobody knows which image ran before and afterwards"
    elif len({*seen, wanted or seen[0]}) > 1:
        yield f"{seen[0]} ran before and {seen[1]} afterwards, and not {wanted or 'the same'}"
