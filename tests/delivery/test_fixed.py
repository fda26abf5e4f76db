from __future__ import annotations

from delivery.cluster import RefusedError
from delivery.fixed import refused


def test_a_refusal_that_shows_the_data_of_a_secret_is_read_however_long_that_is() -> None:
    # With two ways to divide a word this does not end.
    text = f'The Secret "web-tls" is invalid: data: Invalid value: "{"x" * 100_000}"'
    assert str(refused(RefusedError(text), "prod")) == text


def test_a_quota_without_room_for_another_object_is_told_of_with_the_line_that_shows_it() -> None:
    text = 'jobs.batch "backup" is forbidden: exceeded quota: small, limited: count/jobs.batch=5'
    line = "`kubectl -n prod describe resourcequota` shows what takes it"
    assert f"{text}\n{line}: free or raise it" in str(refused(RefusedError(text), "prod"))
