from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from backup.retention import PERIODS, Retention, kept

START = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)


def daily(days: int) -> list[datetime]:
    return [START + timedelta(days=day) for day in range(days)]


def dates(moments: set[datetime]) -> list[str]:
    return [f"{moment:%m-%d}" for moment in sorted(moments)]


def test_days_weeks_and_months_keep_their_newest() -> None:
    assert dates(kept(daily(100), Retention.parse("3d 2w 3m"))) == [
        "02-28",
        "03-31",
        "04-05",
        "04-08",
        "04-09",
        "04-10",
    ]


def test_a_year_of_backups_is_thinned_out_to_what_is_written() -> None:
    moments = daily(730)
    assert len(kept(moments, Retention.parse("7d 4w 12m"))) <= 7 + 4 + 12


def test_hourly_backups_keep_the_last_of_each_day_and_all_of_the_last_one() -> None:
    hours = [START.replace(hour=0) + timedelta(hours=hour) for hour in range(72)]
    assert kept(hours, Retention.parse("3d")) == {hours[23], *hours[47:]}


def test_a_pause_makes_nothing_before_it_superfluous() -> None:
    before = daily(7)
    after = START + timedelta(days=400)
    assert kept([*before, after], Retention.parse("7d")) == {*before[1:], after}


def test_week_53_is_not_the_first_of_the_same_year() -> None:
    new_year, december = datetime(2027, 1, 2, tzinfo=UTC), datetime(2027, 12, 30, tzinfo=UTC)
    assert kept([new_year, december], Retention.parse("2w")) == {new_year, december}


def test_the_only_backup_is_kept() -> None:
    assert kept([START], Retention.parse("1h")) == {START}


def test_nothing_is_kept_of_nothing() -> None:
    assert kept([], Retention.parse("7d")) == set()


def test_thinning_out_day_by_day_keeps_what_thinning_out_at_once_keeps() -> None:
    """Pruning after each backup must not take away what a longer period would have kept."""
    chosen = random.Random(1)  # noqa: S311 -- cases, no secrets
    for _ in range(20):
        policy = Retention(tuple((unit, chosen.randint(1, 8)) for unit in chosen.sample(list(PERIODS), 3)))
        moments, living = [], set[datetime]()
        moment = START
        for _ in range(150):
            moment += timedelta(hours=chosen.choice([1, 5, 24, 24, 24, 100]))
            moments.append(moment)
            living = kept({*living, moment}, policy)
        assert living == kept(moments, policy)


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-1d", "7d 7d", "7d,4w", "7x", "1.5d", "99999d"])
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not like '7d 4w 12m'"):
        Retention.parse(text)
