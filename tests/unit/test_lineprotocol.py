"""Line protocol: the venue's own digits and any symbol go through it unharmed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.candles import CandleBatch
from laklak.model.series import MINUTE_MS, Interval, Series
from laklak.stores.influx.lines import candle_lines, key_of, point_line, tags_of

KEY = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m"

whole = st.one_of(st.just("0"), st.from_regex(r"[1-9][0-9]{0,18}", fullmatch=True))
decimals = st.one_of(whole, st.builds("{}.{}".format, whole, st.from_regex(r"[0-9]{1,18}", fullmatch=True)))
rows = st.lists(st.tuples(*[decimals] * 5), max_size=20)
names = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\\"), min_size=1, max_size=40)


def batch_of(texts: list[tuple[str, ...]], series: str = "binance:BTCUSDT:1m") -> CandleBatch:
    columns = tuple([row[i] for row in texts] for i in range(5))
    times = [1_767_225_600_000 + i * MINUTE_MS for i in range(len(texts))]
    return CandleBatch(Series.parse(series), times, columns, tuple(list(map(float, column)) for column in columns))


def parse(line: str) -> tuple[str, dict[str, str], dict[str, str], int]:
    """Read one line as a server does: a backslash makes a comma, equals sign or space an ordinary character."""
    head, fields, time = re.split(r"(?<!\\) ", line)
    measurement, *tags = re.split(r"(?<!\\),", head)
    pairs = [re.split(r"(?<!\\)=", tag) for tag in tags]
    assert all(len(pair) == 2 for pair in pairs), line
    return (
        re.sub(r"\\([, ])", r"\1", measurement),
        {unescaped(key): unescaped(value) for key, value in pairs},
        dict(field.split("=") for field in fields.split(",")),
        int(time),
    )


def unescaped(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


@given(rows)
def test_a_line_carries_the_digits_of_its_candle(texts):
    batch = batch_of(texts)

    lines = candle_lines(batch, KEY).decode().splitlines()

    read = [parse(line) for line in lines]
    assert [tuple(fields.values()) for _, _, fields, _ in read] == texts
    assert [time for *_, time in read] == list(batch.open_times)
    assert all(list(fields) == ["open", "high", "low", "close", "volume"] for _, _, fields, _ in read)


@given(names, names)
def test_any_name_comes_back_from_its_key(symbol, venue):
    series = Series(venue, symbol, Interval.parse("1m"))

    measurement, tags, _, _ = parse(f"{key_of('x_ohlc', tags_of(series))} close=1 0")

    assert (measurement, tags) == ("x_ohlc", {"exchange": venue, "symbol": symbol, "timeframe": "1m"})


@pytest.mark.parametrize(
    ("symbol", "written"),
    [
        ("BTC=F", r"BTC\=F"),
        ("^GSPC", "^GSPC"),
        ("币安人生USDT", "币安人生USDT"),
        ("A,B", r"A\,B"),
        ("A B", r"A\ B"),
        ("100%s", "100%s"),
        ("{x}", "{x}"),
    ],
)
def test_a_symbol_is_escaped_where_the_format_needs_it(symbol, written):
    key = key_of("binance_ohlc", tags_of(Series("binance", symbol, Interval.parse("1m"))))

    assert key == f"binance_ohlc,exchange=binance,symbol={written},timeframe=1m"


def test_a_key_with_marks_of_string_formatting_is_taken_as_it_is():
    batch = batch_of([("1", "2", "1", "2", "0")])

    assert candle_lines(batch, "m,s=%s{0}%%").startswith(b"m,s=%s{0}%% open=1,high=2,")


def test_a_measurement_keeps_its_equals_sign():
    assert key_of("a=b c,d", {}) == r"a=b\ c\,d"


@pytest.mark.parametrize("name", ["", "a\nb", "a\\", "a\\b", "a\tb", "\x7f"])
def test_a_name_without_a_spelling_is_refused(name):
    with pytest.raises(ValueError, match="cannot spell"):
        key_of(name, {})
    with pytest.raises(ValueError, match="cannot spell"):
        key_of("m", {"symbol": name})


def test_a_measurement_that_would_be_a_remark_is_refused():
    with pytest.raises(ValueError, match="cannot begin with #"):
        key_of("#m", {})


def test_a_part_of_a_batch_can_be_written():
    batch = batch_of([(str(i), "9", "1", "5", "0") for i in range(1, 8)])

    assert candle_lines(batch, KEY, 2, 5) == b"".join(candle_lines(batch, KEY).splitlines(keepends=True)[2:5])


def test_an_empty_batch_gives_no_line():
    assert candle_lines(batch_of([]), KEY) == b""


def test_values_are_written_with_their_types():
    line = point_line("m", {"kind": 'a "b" \\', "n": 3, "x": 0.5}, 7)

    assert line == 'm kind="a \\"b\\" \\\\",n=3i,x=0.5 7\n'


def test_a_text_never_ends_its_line():
    assert point_line("m", {"reason": "one\ntwo\r\nthree"}, 7).count("\n") == 1
