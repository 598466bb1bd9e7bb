"""The words of the program: symbols, intervals, series, ranges, batches and how times are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.candles import CandleBatch, Chunk
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange, check_symbol, iso

MINUTE = Interval.parse("1m")
SERIES = Series("binance", "BTCUSDT", MINUTE)


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "^GSPC", "BTC=F", "币安人生USDT", "1000SHIBUSDT", "BRK.B", "A" * 40, "A:B"]
)
def test_real_symbols_are_taken_as_they_are(symbol):
    assert check_symbol(symbol) == symbol


@pytest.mark.parametrize(
    "symbol",
    [
        *("", "A" * 41, "BTC USDT", "BTC\tUSDT", "BTC\n", "\x00", "A\u200bB", "A\u00a0B", "A\u2028B", "\ud800"),
        *("'", '"', "`", "\\", "/", "..", "A..B", "A/B", "A\x7f", "\u202eABC", "\ue000"),
    ],
)
def test_what_can_be_no_symbol_is_refused(symbol):
    with pytest.raises(ValueError, match="symbol"):
        check_symbol(symbol)


@given(st.text(max_size=45))
def test_a_symbol_that_is_taken_is_safe_in_a_path_a_line_and_a_quoted_text(text):
    try:
        check_symbol(text)
    except ValueError:
        return

    assert 1 <= len(text) <= 40
    assert text.isprintable()
    assert not set(text) & set(" \t\r\n\"'`\\/")
    assert ".." not in text


def test_every_interval_divides_the_day():
    for name in ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"):
        assert DAY_MS % Interval.parse(name).ms == 0
        assert str(Interval.parse(name)) == name


@pytest.mark.parametrize("text", ["3d", "1w", "1M"])
def test_long_intervals_are_answered_with_not_yet(text):
    with pytest.raises(ValueError, match="not supported yet; choose one of 1m"):
        Interval.parse(text)


@pytest.mark.parametrize("text", ["", "7m", "1H", "60", "1m ", "m"])
def test_an_unknown_interval_names_the_known_ones(text):
    with pytest.raises(ValueError, match="choose one of 1m, 3m"):
        Interval.parse(text)


@given(st.integers(-(10**15), 10**15), st.sampled_from(["1m", "1h", "1d"]))
def test_floor_and_ceil_are_the_neighbours_on_the_grid(time_ms, name):
    interval = Interval.parse(name)

    low, high = interval.floor(time_ms), interval.ceil(time_ms)

    assert low % interval.ms == high % interval.ms == 0
    assert low <= time_ms <= high
    assert high - low in (0, interval.ms)


@pytest.mark.parametrize("text", ["binance:BTCUSDT:1m", "yfinance:^GSPC:1d", "binance:币安人生USDT:1h", "x:A:B:1m"])
def test_a_series_is_written_as_it_is_read(text):
    assert str(Series.parse(text)) == text


@pytest.mark.parametrize("text", ["", "BTCUSDT", "binance:BTCUSDT", ":BTCUSDT:1m", "binance::1m", "binance:BTCUSDT:"])
def test_what_is_no_series_is_told_how_to_write_one(text):
    with pytest.raises(ValueError, match="write venue:symbol:interval"):
        Series.parse(text)


@given(st.integers(-5 * DAY_MS, 5 * DAY_MS), st.integers(0, 5 * DAY_MS))
def test_the_days_of_a_range_tile_it_and_none_crosses_midnight(start_ms, length_ms):
    span = TimeRange(start_ms, start_ms + length_ms)

    days = list(span.days())

    assert [day.start_ms for day in days] == [span.start_ms, *(day.end_ms for day in days[:-1])][: len(days)]
    assert not span or days[-1].end_ms == span.end_ms
    assert all(day and day.start_ms // DAY_MS == (day.end_ms - 1) // DAY_MS for day in days)


def test_an_empty_range_is_false_and_holds_nothing():
    assert not TimeRange(5, 5)
    assert not TimeRange(6, 5)
    assert TimeRange(6 * MINUTE_MS, 5 * MINUTE_MS).count(MINUTE) == 0


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00Z"),
        (1_771_977_600_000, "2026-02-25T00:00Z"),
        (1_771_977_601_000, "2026-02-25T00:00:01Z"),
        (1_771_977_601_007, "2026-02-25T00:00:01.007Z"),
        (1_771_977_600_007, "2026-02-25T00:00:00.007Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_written_in_utc_with_z(time_ms, text):
    assert iso(time_ms) == text


def batch_of(minutes):
    times = [minute * MINUTE_MS for minute in minutes]
    return CandleBatch(
        SERIES, times, tuple([f"{minute}" for minute in minutes] for _ in range(5)), tuple(times for _ in range(5))
    )


@given(st.sets(st.integers(0, 40)), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=5))
def test_only_keeps_exactly_the_candles_inside_the_wanted_parts(minutes, parts):
    wanted = [TimeRange(start * MINUTE_MS, (start + length) * MINUTE_MS) for start, length in parts]
    inside = [m for m in sorted(minutes) if any(start <= m < start + length for start, length in parts)]

    kept = batch_of(sorted(minutes)).only(wanted)

    assert list(kept.open_times) == [m * MINUTE_MS for m in inside]
    assert all(list(column) == [str(m) for m in inside] for column in kept.texts)
    assert all(list(column) == list(kept.open_times) for column in kept.values)


def test_a_chunk_knows_what_it_asks_and_what_is_wanted_of_it():
    chunk = Chunk(
        SERIES,
        TimeRange(0, 10 * MINUTE_MS),
        (TimeRange(0, 2 * MINUTE_MS), TimeRange(9 * MINUTE_MS, 10 * MINUTE_MS)),
    )

    assert (chunk.limit, chunk.wanted_count, len(chunk.nothing)) == (10, 3, 0)
    assert len(chunk.nothing.texts) == len(chunk.nothing.values) == 5
