"""Candles that are fetched again, in a real InfluxDB: of a refetch, and just after their close."""

from __future__ import annotations

from lying_venue import MINUTE_MS, LyingVenue, ms, values

DAY_MS = 1440 * MINUTE_MS
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
NOON_MS = END_MS - DAY_MS // 2
KEY = "binance_ohlc,exchange=binance,symbol=LTCUSDT,timeframe=1m"


def test_a_refetch_writes_only_what_is_not_there_as_it_is(venue, place, backfill, truth, check_sum):
    venue()
    backfill(place, "LTCUSDT", days=1)
    # A candle with another close, and one off the minute, which is none.
    place.put(f"{KEY} close=1.5 {NOON_MS}\n{KEY} open=1,high=1,low=1,close=1,volume=1 {NOON_MS + 90_000}\n")

    again = backfill(place, "LTCUSDT", days=1, refetch=True)

    answer = check_sum(again.as_json())
    assert answer["refetched"] == {"same": 1439, "changed": 1, "new": 0}
    assert (again.stored_before, again.written) == (1439, 1)
    stray = ("LTCUSDT", NOON_MS + 90_000)
    assert {key: found for key, found in place.candles().items() if key != stray} == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_a_candle_that_is_stored_by_half_has_changed(venue, place, backfill, truth):
    venue()
    backfill(place, "LTCUSDT", "DOTUSDT", days=1)
    place.erase_candle("LTCUSDT", NOON_MS)
    place.put(f"{KEY} close=1.5 {NOON_MS}\n")

    again = backfill(place, "LTCUSDT", days=1, refetch=True)

    assert (again.refetched.same, again.refetched.changed, again.refetched.new) == (1439, 1, 0)
    assert place.candles() == truth(["LTCUSDT", "DOTUSDT"], END_MS - DAY_MS)


def test_a_candle_that_changed_just_after_its_close_is_corrected(place, backfill, check_sum, monkeypatch):
    noon_ms = ms("2026-03-01T12:00")
    monkeypatch.setenv("LAKLAK_SETTLE", "0")
    with LyingVenue(clock=noon_ms + 200) as lying:
        monkeypatch.setenv("LAKLAK_BINANCE_URL", lying.url)
        lying.list("AAAUSDT", first="2026-02-01")
        lying.tell_rows = lambda symbol, query, rows: [*rows[:-1], [*rows[-1][:5], "0.5", *rows[-1][6:]]]
        backfill(place, "AAAUSDT", start="2026-03-01T11:00")
        lying.tell_rows = lambda symbol, query, rows: rows
        lying.clock_ms = noon_ms + 5 * MINUTE_MS
        lying.forget()

        again = backfill(place, "AAAUSDT", start="2026-03-01T11:00")

        check_sum(again.as_json())
        assert (again.exit, again.stored_before, again.written, again.corrected) == (0, 60, 5, 1)
        assert [hit.query["limit"] for hit in lying.asked()] == ["6"]
    times = range(noon_ms - 60 * MINUTE_MS, noon_ms + 5 * MINUTE_MS, MINUTE_MS)
    assert place.candles() == {("AAAUSDT", time_ms): values(time_ms) for time_ms in times}
