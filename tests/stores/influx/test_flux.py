"""Flux and its answers, as texts: what is quoted comes back, and times are read as they were written."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.series import DAY_MS, MINUTE_MS, TimeRange
from laklak.stores.influx.database import clipped
from laklak.stores.influx.v2 import flux
from laklak.stores.influx.v2.csv import FluxError, is_whole, read_tables, time_ns, times_ms

START = 1_767_225_600_000

cells = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=12)
moments = st.integers(-5_000_000_000, 9_000_000_000)


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("${x} $ {y}", '"\\${x} $ {y}"'),
        ("a\nb\tc", '"a\\nb\\tc"'),
        ("行情", '"行情"'),
    ],
)
def test_a_text_is_quoted(value, spelled):
    assert flux.text(value) == spelled


def test_a_question_is_a_bucket_a_range_and_a_filter():
    question = flux.points(
        "market data", "binance_ohlc", ("open", "close"), TimeRange(START, START + 1), {"symbol": "BTC=F"}
    )

    assert question == (
        'from(bucket: "market data") |> range(start: 2026-01-01T00:00:00.000Z, stop: 2026-01-01T00:00:00.001Z)'
        ' |> filter(fn: (r) => r._measurement == "binance_ohlc" and r["symbol"] == "BTC=F"'
        ' and (r._field == "open" or r._field == "close"))'
    )


@pytest.mark.parametrize(("time_ms", "year"), [(-(10**16), 1677), (0, 1970), (10**16, 2262)])
def test_a_range_is_kept_within_what_a_server_can_keep(time_ms, year):
    assert flux.moment(clipped(TimeRange(time_ms, time_ms)).start_ms).startswith(f"{year}-")


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_cells_come_out_as_they_went_in(rows):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["", "result", "table", "a", "b"])
    writer.writerows(["", "_result", "0", *row] for row in rows)
    body = out.getvalue().encode() + b"\r\n"

    (table,) = read_tables(body)

    assert is_whole(body)
    assert list(zip(table["a"], table["b"], strict=True)) == rows


def test_tables_of_other_columns_and_names_are_kept_apart():
    body = (
        b",result,table,_time,_value\r\n,days,0,x,1\r\n,days,0,y,2\r\n\r\n"
        b",result,table,_time,_value,source\r\n,days,1,x,3,old\r\n\r\n"
        b"#datatype,string,long,double\r\n,result,table,_value\r\n,first,0,1.5\r\n\r\n"
    )

    found = read_tables(body)

    assert [(table.result, table.columns, len(table)) for table in found] == [
        ("days", ("_time", "_value"), 2),
        ("days", ("_time", "_value", "source"), 1),
        ("first", ("_value",), 1),
    ]
    assert found[2].types == ("double",)


def test_nothing_is_no_table():
    assert read_tables(b"\r\n") == []
    assert not is_whole(b"")


def test_an_error_in_the_answer_is_raised():
    with pytest.raises(FluxError, match="it broke"):
        read_tables(b',error,reference\r\n,"it broke, in the middle",897\r\n\r\n')


@given(moments, st.integers(0, 999_999_999))
def test_a_time_is_read_to_the_nanosecond(second, nanosecond):
    whole = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanosecond:09d}".rstrip("0") if nanosecond else ""

    assert time_ns(f"{whole}{fraction}Z") == second * 10**9 + nanosecond


@given(moments)
def test_only_the_beginning_of_a_minute_is_a_time_of_a_candle(second):
    text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    assert times_ms([text]) == [None if second % 60 else second * 1000]


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:30Z", "2026-01-01T00:00:00.5Z"])
def test_a_time_beside_the_minute_is_none(text):
    assert times_ms(["2026-01-01T00:00:00Z", text, "2026-01-02T00:01:00Z"]) == [START, None, START + DAY_MS + MINUTE_MS]
