"""Moments and durations as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.errors import UsageError
from laklak.settings.times import parse_duration, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("90s", 90), ("2h", 7200), ("1h30m", 5400), ("1H2M3S", 3723), ("45", 45), ("0.5", 0.5), ("0", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "m", "1.5h", "30m1h", "-5", "10m ago", "inf", "nan", "1e3", "721h", "٣"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text)

    assert repr(text) in str(caught.value)
    assert "1h30m" in (caught.value.hint or "")


@given(st.integers(0, 700), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2025-01-31", datetime(2025, 1, 31, tzinfo=UTC)),
        ("2025-01-31T12:30", datetime(2025, 1, 31, 12, 30, tzinfo=UTC)),
        ("2025-01-31 12:30:05", datetime(2025, 1, 31, 12, 30, 5, tzinfo=UTC)),
        ("2025-01-31T12:30:00Z", datetime(2025, 1, 31, 12, 30, tzinfo=UTC)),
        ("2025-01-31t12:30z", datetime(2025, 1, 31, 12, 30, tzinfo=UTC)),
        ("2025-01-31T12:30+02:00", datetime(2025, 1, 31, 10, 30, tzinfo=UTC)),
        ("2025-01-31T00:00-0530", datetime(2025, 1, 31, 5, 30, tzinfo=UTC)),
        ("2025-01-31T00:00:00.1", datetime(2025, 1, 31, 0, 0, 0, 100_000, tzinfo=UTC)),
        ("2025-01-31T00:00:00.999999999Z", datetime(2025, 1, 31, 0, 0, 0, 999_000, tzinfo=UTC)),
    ],
)
def test_times_are_utc_milliseconds(text: str, moment: datetime) -> None:
    assert parse_time(text) == round(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2025",
        "20250131",
        "31.01.2025",
        "2025-1-31",
        "2025-02-30",
        "2025-01-31T24:00",
        "2025-01-31T12:60",
        "2025-01-31T12",
        "2025-01-31T12:30.5",
        "2025-01-31Z",
        "2025-01-31T12:30+99:00",
        "2025-W05-1",
        "1738281600000",
        "1969-12-31",
        "1970-01-01T00:00+01:00",
        "9999-12-31T23:59-01:00",
        "\u0662025-01-31",
        "x" * 10_000,
    ],
)
def test_what_is_no_time_is_named_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_time(text)

    assert repr(text[:80])[1:-1] in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "2025-01-31T12:30+02:00" in (caught.value.hint or "")


@given(
    st.datetimes(
        min_value=datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis wants bounds without a zone
        max_value=datetime(9998, 1, 1),  # noqa: DTZ001
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
def test_any_moment_written_in_any_offset_reads_back(moment: datetime) -> None:
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)

    assert parse_time(moment.isoformat()) == since_epoch // timedelta(milliseconds=1)
