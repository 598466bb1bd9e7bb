"""Line protocol as a file of candles: other tools' lines are read, and nothing hostile is believed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.errors import UsageError
from laklak.model.series import Series
from laklak.sources.points import is_point, read_points

MINUTE_NS = 60_000_000_000
START_NS = 1_772_236_800_000_000_000
HEAD = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m"
BTC = Series.parse("binance:BTCUSDT:1m")


@pytest.fixture
def read(tmp_path):
    """The rows of lines, by series."""

    def work(*lines, series=None, names=None, precision="ns", end="\n"):
        path = tmp_path / "dump.lp"
        path.write_text(end.join([*lines, ""]), newline="")
        points = read_points(path, series, names or {}, "made_of", precision)
        found = {}
        for number, one in enumerate(points.series):
            found[str(one)] = [row for part in points.rows.rows(number, 2) for row in part]
        return found

    return work


def line(minute=0, fields="open=1,high=2,low=0.5,close=1.5,volume=10", head=HEAD, unit_ns=1):
    return f"{head} {fields} {(START_NS + minute * MINUTE_NS) // unit_ns}"


def row(minute=0, *values):
    return ((START_NS + minute * MINUTE_NS) // 1_000_000, *(values or (1, 2, 0.5, 1.5, 10)))


def test_tags_and_fields_come_in_any_order_and_others_are_not_looked_at(read):
    head = "whatever,timeframe=1m,host=a,symbol=BTCUSDT,exchange=binance"
    fields = 'trades=7i,volume=10,note="a, b=\\"c d\\" \\\\",close=1.5,ok=true,low=0.5,high=2,open=1'

    assert read(line(fields=fields, head=head)) == {str(BTC): [row()]}


def test_one_field_a_line_is_how_influxdb_takes_its_data_out(read):
    names = {"close": 1.5, "high": 2, "low": 0.5, "open": 1, "volume": 10}
    lines = [line(minute, f"{name}={value:g}") for name, value in names.items() for minute in range(3)]
    before = ["# INFLUXDB EXPORT: 1677-09-21T00:12:43Z - 2262-04-11T23:47:16Z", "# DDL"]
    before += ["CREATE DATABASE market_data WITH NAME autogen", "# DML", "# CONTEXT-DATABASE:market_data"]
    before += ["# CONTEXT-RETENTION-POLICY:autogen", "# writing tsm data"]

    assert read(*before, *lines) == {str(BTC): [row(minute) for minute in range(3)]}


def test_what_is_told_twice_counts_as_it_was_told_last(read):
    assert read(line(), line(fields="close=1.25"), line(1)) == {str(BTC): [row(0, 1, 2, 0.5, 1.25, 10), row(1)]}


def test_a_file_may_have_many_series_and_they_may_fall(read):
    eth = HEAD.replace("BTC", "ETH")
    lines = [line(2), line(1, head=eth), line(0), line(0, head=eth)]

    assert read(*lines) == {str(BTC): [row(0), row(2)], "binance:ETHUSDT:1m": [row(0), row(1)]}


@pytest.mark.parametrize("symbol", [r"BTC\=F", r"a\,b", "^GSPC", "币安人生USDT", 'q"'])
def test_a_symbol_with_escapes_is_the_symbol(symbol, read):
    plain = symbol.replace("\\", "")
    if '"' in plain:
        with pytest.raises(UsageError, match="names no series"):
            read(line(head=f"m,exchange=yfinance,symbol={symbol},timeframe=1m"))
        return
    found = read(line(head=f"m,exchange=yfinance,symbol={symbol},timeframe=1m"))
    assert list(found) == [f"yfinance:{plain}:1m"]


@pytest.mark.parametrize(("precision", "unit_ns"), [("ns", 1), ("us", 1000), ("ms", 10**6), ("s", 10**9)])
def test_times_are_in_the_unit_that_is_said_and_in_no_other(precision, unit_ns, read):
    assert read(line(7, unit_ns=unit_ns), precision=precision) == {str(BTC): [row(7)]}

    for other in {"ns", "us", "ms", "s"} - {precision}:
        with pytest.raises(UsageError, match="line 1 has a time that is not on the grid") as error:
            read(line(7, unit_ns=unit_ns), precision=other)
        assert precision in error.value.hint


def test_points_of_other_measurements_are_passed_over(read):
    runs = 'laklak_runs,host=a version="0.1",note="two\nlines, open=1" 1772236800000000000'
    assert read(runs, line(), "cpu value=1 1772236800000000001") == {str(BTC): [row()]}
    assert read(runs) == {}


def test_with_a_series_tags_may_be_missing_but_not_differ(read):
    assert read(line(head="prices"), line(1, head="prices"), series=BTC) == {str(BTC): [row(0), row(1)]}
    with pytest.raises(UsageError, match="line 1 is of binance:BTCUSDT:1m by its tags"):
        read(line(), series=Series.parse("binance:ETHUSDT:1m"))
    with pytest.raises(UsageError, match="line 2 has other tags"):
        read(line(head="prices,symbol=A"), line(1, head="prices,symbol=B"), series=BTC)


def test_fields_may_have_other_names(read):
    fields = "o=1,h=2,l=0.5,c=1.5,vol=10,close=99"
    names = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "vol"}
    assert read(line(fields=fields), names=names) == {str(BTC): [row()]}


@pytest.mark.parametrize("text", ["1i", "1u", "1.0", "1e0", "+1", "1.", "10e-1"])
def test_a_number_has_the_spellings_of_a_server(text, read):
    assert read(line(fields=f"open={text},high=2,low=0.5,close=1.5,volume=10")) == {str(BTC): [row()]}


@pytest.mark.parametrize("text", ["true", '"1"', "nan", "inf", "0x1", "1_0", "1.5i", "--1"])
def test_what_is_no_number_is_none(text, read):
    (found,) = read(line(fields=f"open={text},high=2,low=0.5,close=1.5,volume=10"))[str(BTC)]
    assert found == row(0, None, 2, 0.5, 1.5, 10)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("not a point at all", "is no point"),
        (HEAD, "is no point"),
        (f"{HEAD} open", "fields that are none"),
        (f"{HEAD} open=1,,high=2 {START_NS}", "fields that are none"),
        (f"{HEAD} =1 {START_NS}", "fields that are none"),
        (f"{HEAD} open=1=2 {START_NS}", "fields that are none"),
        (f'{HEAD} open=1,x="a",=3 {START_NS}', "fields that are none"),
        (f'{HEAD} open=1,x="never ends {START_NS}', "is no point"),
        (f"{HEAD} open=1,open=2 {START_NS}", "tells open twice"),
        (f"{HEAD} open=1", "has no time"),
        (f"{HEAD} open=1 -60000000000", "not on the grid"),
        (f"{HEAD} open=1 {START_NS + 1}", "not on the grid"),
        (f"{HEAD} open=1 {START_NS + 1_000_000_000}", "not on the grid"),
        (f"{HEAD} open=1 99999999999999999999", "not on the grid"),
        (f"{HEAD} open=1 1.5e18", "is no point"),
        (f"door,room=1 open=1 {START_NS}", "names no series"),
        (f"m,exchange=kraken,symbol=A,timeframe=1m open=1 {START_NS}", "names no series"),
        (f"m,exchange=binance,symbol=A,timeframe=7m open=1 {START_NS}", "names no series"),
        (f"m,exchange=binance,symbol=A,symbol=B,timeframe=1m open=1 {START_NS}", "names no series"),
        (f"m,exchange=binance,symbol=../A,timeframe=1m open=1 {START_NS}", "names no series"),
        (f"m,exchange=binance,symbol=,timeframe=1m open=1 {START_NS}", "names no series"),
    ],
)
def test_what_is_no_sound_point_makes_the_file_untrusted_and_its_line_is_named(bad, why, read):
    with pytest.raises(UsageError, match=f"line 2 .*{why}"):
        read(line(), bad, line(1))


def test_a_series_of_two_databases_is_not_mixed(read):
    one, other = "# CONTEXT-DATABASE:a", "# CONTEXT-DATABASE:b"
    assert read(one, line(), other, line(head=HEAD.replace("BTC", "ETH")))
    with pytest.raises(UsageError, match="line 4 is of binance:BTCUSDT:1m in another database"):
        read(one, line(), other, line(1))


def test_lines_may_end_as_windows_ends_them_and_the_last_one_need_not(read, tmp_path):
    assert read(line(), line(1), end="\r\n") == {str(BTC): [row(0), row(1)]}
    path = Path(tmp_path / "dump.lp")
    path.write_text(line())
    assert next(read_points(path, None, {}, "made_of", "ns").rows.rows(0, 10)) == [row()]


def test_points_are_whole_wherever_a_block_ends(read, monkeypatch):
    lines = [line(minute, 'note="a\nb",open=1,high=2,low=0.5,close=1.5,volume=10') for minute in range(20)]
    for size in (1, 7, 100):
        monkeypatch.setattr("laklak.sources.points._BLOCK_BYTES", size)
        assert read(*lines) == {str(BTC): [row(minute) for minute in range(20)]}


def test_a_point_without_an_end_takes_no_more_memory_than_it_may(read, monkeypatch):
    monkeypatch.setattr("laklak.sources.points._POINT_BYTES_MAX", 1000)
    monkeypatch.setattr("laklak.sources.points._BLOCK_BYTES", 100)
    with pytest.raises(UsageError, match="line 2 is no point"):
        read(line(), "x" * 5000, line(1))


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_candles_or_one_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "dump.lp"
    path.write_bytes(data)
    with contextlib.suppress(UsageError):
        assert read_points(path, None, {}, "made_of", "ns").series == ()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 50), st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=5, max_size=5)
        )
    )
)
def test_every_double_that_is_written_is_read_bit_for_bit(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("bits") / "dump.lp"
    names = ("open", "high", "low", "close", "volume")
    lines = [
        line(minute, ",".join(f"{name}={value!r}" for name, value in zip(names, values, strict=True)))
        for minute, values in found
    ]
    path.write_text("\n".join(lines))
    points = read_points(path, None, {}, "made_of", "ns")

    rows = [one for part in points.rows.rows(0, 7) for one in part]
    last = {minute: values for minute, values in found}
    assert rows == [row(minute, *last[minute]) for minute in sorted(last)]


def test_a_file_is_known_by_its_first_point():
    assert is_point((line() + "\n").encode())
    assert is_point(b"# remark\n\nCREATE DATABASE x WITH NAME y\ncpu value=1\n")
    assert not is_point(b"open_time,open,high,low,close,volume\n1,2,3,4,5,6\n")
    assert not is_point(b"2024-01-01 00:00:00,1,2,3,4,5\n")
    assert not is_point(b"")
