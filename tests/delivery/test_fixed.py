from __future__ import annotations

from delivery.cluster import RefusedError
from delivery.fixed import refused


def test_a_refusal_that_shows_the_data_of_a_secret_is_read_however_long_that_is() -> None:
    # With two ways to divide a word this does not end.
    text = f'The Secret "web-tls" is invalid: data: Invalid value: "{"x" * 100_000}"'
    assert str(refused(RefusedError(text), "prod")) == text
