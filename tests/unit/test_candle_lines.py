"""Candles as their lines: what is read back from them is what they were made of."""

from hypothesis import given
from hypothesis import strategies as st

from laklak.model.candles import CandleBatch
from laklak.model.series import MINUTE_MS, Series, TimeRange
from laklak.stores.influx.lines import CandleLines, candle_lines, key_of, tags_of

START = 1_767_225_600_000
SERIES = Series.parse("binance:A=B,C:1m")
KEY = key_of("binance_ohlc", tags_of(SERIES))

texts = st.sampled_from(["1", "0.10", "93500.1", "0.00000001", "1e-07", "12345678901234567.5"])
rows = st.lists(st.tuples(st.integers(1, 3), texts, texts, texts, texts, texts), max_size=30)


def batch_of(rows):
    steps, *columns = zip(*rows, strict=True) if rows else ((),) * 6
    times = [START + sum(steps[: i + 1]) * MINUTE_MS for i in range(len(steps))]
    return CandleBatch(SERIES, times, tuple(columns), tuple(list(map(float, column)) for column in columns))


@given(rows, st.integers(1, 12), st.data())
def test_any_stretch_of_lines_is_the_lines_of_that_stretch(rows, lines_per_part, data):
    batch = batch_of(rows)
    packed = CandleLines.of(batch, KEY, lines_per_part)
    start = data.draw(st.integers(0, max(0, len(batch) - 1)))
    stop = data.draw(st.integers(start, len(batch)))

    if start < stop:
        assert packed.lines(start, stop) == candle_lines(batch, KEY, start, stop)


@given(rows, st.integers(1, 12))
def test_a_part_is_a_request(rows, lines_per_part):
    packed = CandleLines.of(batch_of(rows), KEY, lines_per_part)

    assert all(part.count(b"\n") == lines_per_part for part in packed.parts[:-1])
    assert sum(part.count(b"\n") for part in packed.parts) == len(packed) == len(rows)


@given(rows, st.integers(1, 12), st.integers(0, 90), st.integers(0, 90))
def test_cells_are_read_back_as_they_were(rows, lines_per_part, first, last):
    batch = batch_of(rows)
    packed = CandleLines.of(batch, KEY, lines_per_part)
    wanted = [TimeRange(START + first * MINUTE_MS, START + last * MINUTE_MS)]

    assert list(map(list, packed.texts)) == list(map(list, batch.texts))
    assert list(map(list, packed.values)) == list(map(list, batch.values))
    assert list(packed.only(wanted).open_times) == list(batch.only(wanted).open_times)
    assert packed.encode("abcdefg") == batch.encode("abcdefg")
