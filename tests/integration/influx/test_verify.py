"""`laklak verify` on real servers: what it finds there, and what it mends."""

from __future__ import annotations

import pytest

MINUTE_MS = 60_000
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
AT_MS = END_MS - 2000 * MINUTE_MS
SERIES = "binance:LTCUSDT:1m"
TAGS = "binance_ohlc,exchange=binance,symbol=LTCUSDT,timeframe=1m"


@pytest.fixture
def filled(venue, here, place):
    """Three recorded days of a symbol."""
    venue()
    assert here("backfill", "LTCUSDT", "--days", "3", "-q", "--store", place.url).exit == 0
    return place


@pytest.fixture
def verify(here, filled):
    def run(*words, exit_status):
        ended = here("verify", "--store", filled.url, "--json", *words)
        assert ended.exit == ended.json["exit"] == exit_status, ended.err
        (one,) = ended.json["series"]
        return one

    return run


def change_digit(place):
    """Change the last digit of a volume by hand; the row before and after."""
    before = place.candles()["LTCUSDT", AT_MS]
    after = (*before[:4], before[4] + 0.001)
    place.put(f"{TAGS} volume={after[4]!r} {AT_MS}\n")
    return list(before), list(after)


@pytest.mark.parametrize("depth", ["sums", "full"])
def test_the_day_of_one_changed_digit_is_named_by_sums_too(filled, verify, here, depth):
    assert here("digest", "--store", filled.url, "--out", "digests.json").exit == 0
    assert verify("--depth", depth, "--against", "digests.json", exit_status=0)["candles"] == 3 * 1440
    change_digit(filled)

    (fault,) = verify("--depth", depth, "--against", "digests.json", exit_status=1)["faults"]

    assert (fault["time"], fault["what"]) == ("2026-02-27T00:00Z", "day")
    assert verify("--depth", "counts", "--against", "digests.json", exit_status=0)["faults"] == []


@pytest.mark.parametrize("depth", ["sums", "full"])
def test_a_candle_that_contradicts_itself_is_named(filled, verify, depth):
    filled.put(f"{TAGS} high=0.5 {AT_MS}\n")

    (fault,) = verify("--depth", depth, exit_status=1)["faults"]

    assert (fault["what"], fault["stored"][1]) == ("rule", 0.5)


def test_sums_leave_out_what_is_no_candle(filled, verify, here):
    assert here("digest", "--store", filled.url, "--out", "digests.json").exit == 0
    filled.put(f"{TAGS} open=1,high=2,low=1,close=2,volume=3 {AT_MS + 7}\n")

    faults = verify("--depth", "sums", "--against", "digests.json", exit_status=1)["faults"]

    assert [fault["what"] for fault in faults] == ["off_grid"]


def test_one_changed_digit_is_found_by_a_sample_and_mended_with_the_old_row_as_a_revision(filled, verify):
    whole = filled.candles()
    before, after = change_digit(filled)

    (fault,) = verify("--sample", "all", exit_status=1)["faults"]
    assert (fault["what"], fault["stored"], fault["other"]) == ("differs", after, before)
    assert filled.candles() != whole
    assert filled.rows("laklak_revisions") == []

    one = verify("--sample", "all", "--mend", exit_status=0)
    assert (one["verdict"], one["mended"]) == ("sound", 1)
    assert filled.candles() == whole
    (revision,) = filled.rows("laklak_revisions")
    assert (revision["time"], revision["why"], revision["source"]) == (AT_MS, "refetch", "rest")
    assert verify("--sample", "all", exit_status=0)["faults"] == []


def test_a_minute_that_is_gone_and_one_that_is_not_whole_are_mended(filled, verify):
    whole = filled.candles()
    gone_ms = AT_MS + 100 * MINUTE_MS
    filled.erase_candle("LTCUSDT", AT_MS)
    filled.erase_candle("LTCUSDT", gone_ms)
    filled.put(f"{TAGS} open=1,close=1 {gone_ms}\n")

    one = verify("--sample", "all", "--mend", exit_status=0)

    assert [fault["what"] for fault in one["faults"]] == ["not_stored", "differs"]
    assert (one["verdict"], one["mended"]) == ("sound", 2)
    assert filled.candles() == whole


def test_a_sample_of_days_asks_for_so_many_and_says_what_that_proves(filled, here):
    ended = here("verify", "--store", filled.url, "--sample", "1", "--json")

    assert ended.exit == 0, ended.err
    assert len(ended.json["series"][0]["sampled"]) == 1
    assert "1 of 3 days" in ended.json["proof"]


@pytest.mark.parametrize(
    "tags",
    [
        "exchange=binance,symbol=LTCUSDT,timeframe=1m,source=old",
        "exchange=Binance,symbol=LTCUSDT,timeframe=1m",
        "exchange=binance,symbol=LTC/USDT,timeframe=1min",
        "exchange=binance,symbol=LTCUSDT",
    ],
)
@pytest.mark.parametrize("fields", ["open=1,high=1,low=1,close=1,volume=1", 'signal="buy"'])
def test_points_of_another_program_that_mean_the_series_by_other_tags_are_a_fault(filled, verify, tags, fields):
    filled.put(f"binance_ohlc,{tags} {fields} {AT_MS}\n")

    for depth in ("counts", "sums", "full"):
        (fault,) = verify("--depth", depth, exit_status=1)["faults"]
        assert (fault["what"], fault["time"]) == ("foreign", "2026-02-27T14:40Z")
        assert tags.partition("symbol=")[2].partition(",")[0] in fault["detail"]


def test_points_of_another_program_that_mean_another_series_are_none(filled, verify):
    for tags in ("exchange=binance,symbol=XRPUSDT,timeframe=1m", "exchange=bybit,symbol=LTCUSDT,timeframe=1m,source=x"):
        filled.put(f"binance_ohlc,{tags} signal=1 {AT_MS}\n")

    assert verify(exit_status=0)["faults"] == []


def test_points_of_another_program_count_in_the_range_alone(filled, verify):
    filled.put(f"binance_ohlc,exchange=Binance,symbol=LTCUSDT,timeframe=1m close=1 {AT_MS}\n")

    assert verify("--start", "2026-02-28", exit_status=0)["faults"] == []


def test_further_fields_of_its_points_are_named_and_no_fault(filled, verify, here):
    filled.put(f'{TAGS} trades=7i,note="x" {AT_MS}\n{TAGS} trades=8i {AT_MS + MINUTE_MS}\n')

    assert verify(exit_status=0)["foreign_fields"] == {"trades": 2, "note": 1}
    assert "note (1 point), trades (2 points)" in here("verify", "--store", filled.url).out


def test_a_bucket_whose_name_in_influxql_is_another_s_is_summed_from_its_rows_and_says_what_it_cannot_ask(
    venue, here, bucket
):
    venue()
    assert here("backfill", "LTCUSDT", "--days", "2", "-q", "--store", bucket.url).exit == 0
    server = bucket.server
    other = server.make_bucket(f"other than {bucket.name}")
    mapping = {"orgID": server._org_id, "bucketID": other, "database": bucket.name, "default": True}
    server.api("POST", "/api/v2/dbrps", {**mapping, "retention_policy": "autogen"})
    assert here("digest", "--store", bucket.url, "--out", "digests.json").exit == 0

    words = ("verify", "--store", bucket.url, "--depth", "sums", "--against", "digests.json")
    (one,) = here(*words, "--json").json["series"]
    assert (one["verdict"], one["candles"], one["foreign_fields"]) == ("sound", 2 * 1440, None)
    assert "could not be asked" in here(*words).out
    change_digit(bucket)
    assert here(*words).exit == 1
