"""What is printed for strays removes them from a real server, and says what else it takes."""

from __future__ import annotations

import shlex
from urllib.parse import urlencode

import pytest

from laklak.model.series import DAY_MS, Series, TimeRange

START = 1_767_225_600_000
DAY = TimeRange(START, START + DAY_MS)
CELLS = "open=1,high=1,low=1,close=1,volume=1"
STRAY_NS = START * 1_000_000 + 17_000_000_001


def run(box, statement):
    """Run a statement as a person would: InfluxQL, or the command of 2.x, which is the same request."""
    if box.kind == "1.x":
        box.ask(statement)
        return
    words = shlex.split(statement)
    assert words[:2] == ["influx", "delete"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options["--bucket"] == box.name
    query = urlencode({"org": options["--org"], "bucket": options["--bucket"]})
    wanted = {name: options[f"--{name}"] for name in ("start", "stop", "predicate")}
    box.server.api("POST", f"/api/v2/delete?{query}", wanted)


def times_ns(box, condition_tag="BTCUSDT"):
    """All points of a symbol, to the nanosecond, with the tag `source`."""
    if box.kind == "1.x":
        found = box.server.ask("SELECT * FROM binance_ohlc GROUP BY *", box.name)
        return sorted(
            (series["tags"].get("source", ""), row[0])
            for series in found
            if series["tags"]["symbol"] == condition_tag
            for row in series["values"]
        )
    rows = box.ask(f'r._measurement == "binance_ohlc" and r._field == "close" and r.symbol == "{condition_tag}"')
    return sorted((row.get("source") or "", row["_time"]) for row in rows)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "币安人生USDT", "BTC=F", "^GSPC", "1000PEPE.x", "é%_$,{r}"])
def test_a_stray_of_any_symbol_is_removed_to_the_nanosecond(use, box, symbol):
    series = Series.parse(f"binance:{symbol}:1m")
    spelled = symbol.replace(",", "\\,").replace("=", "\\=")
    key = f"binance_ohlc,exchange=binance,symbol={spelled},timeframe=1m"
    near = [STRAY_NS - 1, STRAY_NS + 1]
    for time_ns in [START * 1_000_000, STRAY_NS, *near]:
        box.put_ns(f"{key} {CELLS} {time_ns}")
    for other in (key.replace("timeframe=1m", "timeframe=5m"), key.replace("exchange=binance", "exchange=bybit")):
        box.put_ns(f"{other} {CELLS} {STRAY_NS}")
    box.put_ns(f"other_ohlc{key.removeprefix('binance_ohlc')} {CELLS} {STRAY_NS}")

    strays = use(lambda store: store.odd(series, DAY)).strays
    assert (strays.count, len(strays.statements)) == (3, 3)
    run(box, strays.statements[1])

    left = use(lambda store: store.odd(series, DAY)).strays
    assert (left.count, left.first_ns) == (2, near[0])
    assert use(lambda store: store.count(series, DAY)) == 1
    assert len(times_ns(box, symbol)) == 5
    assert len(box.points("other_ohlc", "close")) == 1


def test_points_with_more_tags_stay_or_the_text_says_that_they_go(use, box, series):
    key = "binance_ohlc,exchange=binance,{}symbol=BTCUSDT,timeframe=1m"
    box.put_ns(f"{key.format('')} {CELLS} {STRAY_NS}")
    box.put_ns(f"{key.format('source=old,')} {CELLS} {STRAY_NS}")

    strays = use(lambda store: store.odd(series, DAY)).strays
    for statement in strays.statements:
        run(box, statement)

    left = times_ns(box)
    if box.kind == "1.x":
        assert [source for source, _ in left] == ["old"]
        assert strays.remark == f"in the database {box.name}"
    else:
        assert left == []
        assert "points of the same time that also have source go too" in strays.remark


class TestPolicies:
    @pytest.fixture
    def server_name(self):
        return "influxd"

    def test_a_delete_takes_points_of_other_policies_and_the_text_says_so(self, use, box, series):
        box.ask(f"CREATE RETENTION POLICY other ON {box._quoted} DURATION 0s REPLICATION 1")
        key = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m"
        for policy in ("autogen", "other"):
            box.server.put(f"{key} {CELLS} {START + 17_000}\n{key} {CELLS} {START}\n", box.name, policy)

        strays = use(lambda store: store.odd(series, DAY)).strays
        for statement in strays.statements:
            run(box, statement)

        assert "points of the same series and time in other go too" in strays.remark
        for policy in ("autogen", "other"):
            left = box.server.rows(f"SELECT close FROM {box._quoted}.{policy}.binance_ohlc")
            assert [row[0] for row in left] == [START]

    def test_seals_are_kept_in_the_policy_of_the_candles(self, use, box, series, deliver):
        box.ask(f"CREATE RETENTION POLICY other ON {box._quoted} DURATION 0s REPLICATION 1")

        async def work(store):
            with store.exclusive():
                # A day that nobody has looked at is proven by the next run, not sealed by a write.
                await store.odd(series, DAY)
                await store.write([deliver(series, 1440)])

        use(work, f"{box.url}?rp=other")

        rows = box.server.rows(f"SELECT candles FROM {box._quoted}.other.laklak_seals")
        assert rows == [[START, 1440]]
        assert box.server.rows(f"SELECT candles FROM {box._quoted}.autogen.laklak_seals") == []


def test_days_that_begin_before_what_is_kept_are_not_sealed_and_refuse_nothing(use, box, series, deliver):
    """A day that is half gone: its start is too old for a point."""
    import time

    now_ms = time.time_ns() // 1_000_000
    day_ms = now_ms - now_ms % DAY_MS - DAY_MS
    box.remove()
    kept_hours = (now_ms - day_ms) // 3_600_000 - 2
    box.make(keeps_hours=kept_hours)
    start_ms = day_ms + 4 * 3_600_000

    async def work(store):
        with store.exclusive():
            await store.odd(series, TimeRange(start_ms, start_ms + DAY_MS))
            return await store.write([deliver(series, 60, start_ms=start_ms - start_ms % 60_000)])

    assert use(work).refused == {}
    assert box.rows("laklak_seals") == []
