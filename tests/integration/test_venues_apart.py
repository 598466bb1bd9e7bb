"""Several venues in one run: one that is slow, down, banned, wrong or silent costs the others nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from laklak.simulator import Override, generate
from laklak.simulator.dialects.binance import KLINES
from laklak.sources.venue import Feed
from laklak.stores.sqlite.store import SqliteStore

DAY = ("--start", "2026-02-27", "--end", "2026-02-28")
EXCHANGE_INFO = "/fapi/v1/exchangeInfo"
TIME = "/fapi/v1/time"
BOTH = ("backfill", "LTCUSDT", "bybit:DOTUSDT", *DAY, "--json")
MINUTES = 1440
SERIES = "bybit:DOTUSDT:1m"


@pytest.fixture(autouse=True)
def settings_of_all(monkeypatch, timing):
    timing(backoff_most_s=0.02)
    monkeypatch.setenv("LAKLAK_BINANCE_CHUNK", "60")


@pytest.fixture
def nobody():
    """An address at which nobody listens."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{place.getsockname()[1]}"


def held(path="laklak.db"):
    with sqlite3.connect(path) as db:
        return dict(db.execute("SELECT venue, count(*) FROM candles GROUP BY venue"))


def answering(fault, *, since=0, path=KLINES):
    """A script by which the n-th request for a path (None: for any), and those after it, go wrong."""
    seen = []

    def script(asked, query, number):
        if path in (asked, None):
            seen.append(number)
            if len(seen) > since:
                return Override(fault=fault) if isinstance(fault, str) else fault
        return None

    return script


def failing(answer):
    return {one["series"]: one["reason"] for one in answer["failed_series"]}


def test_two_venues_are_filled_side_by_side_and_have_figures_of_their_own(venue, beside, here, check_sum):
    first, second = venue(), beside("bybit")

    ended = here(*BOTH)

    answer = check_sum(ended.json)
    assert (ended.exit, answer["error"], held()) == (0, None, {"binance": MINUTES, "bybit": MINUTES})
    assert list(answer["venues"]) == ["binance", "bybit"]
    for running, figures in zip((first, second), answer["venues"].values(), strict=True):
        assert figures["requests"] == len(running.hits)
        assert figures["candle_requests"] == len(running.candle_hits)
        assert figures["cost"] == {"weight": sum(hit.weight for hit in running.hits)}
        assert (figures["retries"], figures["rate_limited"]) == (0, 0)
        assert (figures["banned_until"], figures["error"]) == (None, None)
    assert answer["requests"] == sum(one["requests"] for one in answer["venues"].values())


ENDS = {
    # name: the settings of the other venue, the reason, the status
    "banned at the start": ({"script": answering("418", path=EXCHANGE_INFO), "ban_s": 900}, "try_later", 75),
    "banned in the middle": ({"script": answering("418", since=5), "ban_s": 900}, "try_later", 75),
    "a firewall at the start": ({"script": answering("403", path=None)}, "venue_unreachable", 1),
    "the first candles refused": ({"script": answering("403")}, "try_later", 75),
    "a region that is not served": ({"script": answering("451", path=EXCHANGE_INFO)}, "venue_unreachable", 1),
    "a region refused in the middle": ({"script": answering("451", since=5)}, "region", 1),
    "no clock": ({"script": answering(Override(body=b'{"serverTime":"noon"}'), path=TIME)}, "venue_unreachable", 1),
    "a clock of long ago": ({"script": answering(Override(body=b'{"serverTime":5}'), path=TIME)}, "settings", 1),
    "no listing": ({"script": answering("html", path=EXCHANGE_INFO)}, "venue_unreachable", 1),
    "silent in the middle": ({"script": answering("hang", since=5)}, "fetch_failed", 1),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_venue_ends_alone_with_its_reason_and_the_other_one_is_complete(
    end, venue, beside, here, check_sum, stored, truth, timing
):
    settings, reason, status = ENDS[end]
    timing(silence_s=0.5)
    venue()
    beside("bybit", **settings)

    ended = here(*BOTH, "--max-wait", "1s")

    answer = check_sum(ended.json)
    assert (ended.exit, failing(answer)) == (status, {SERIES: reason})
    assert stored() == truth(["LTCUSDT"], 1_772_150_400_000, 1_772_236_800_000)
    assert answer["missing"] == MINUTES - held().get("bybit", 0) > 0
    assert answer["venues"]["binance"]["error"] is None
    assert answer["venues"]["bybit"]["error"].startswith(f"{reason}: ")
    assert answer["error"] == answer["venues"]["bybit"]["error"]


def test_a_venue_that_is_down_ends_alone(venue, beside, here, check_sum, nobody):
    venue()
    beside("bybit", url=nobody)

    ended = here(*BOTH)

    assert (ended.exit, failing(check_sum(ended.json))) == (1, {SERIES: "venue_unreachable"})
    assert held() == {"binance": MINUTES}
    assert any("going on without bybit" in line for line in ended.lines("warning"))
    assert list(ended.json["venues"]) == ["binance", "bybit"]


def test_the_summary_names_the_venue_that_ended_and_why(venue, beside, here, nobody):
    venue()
    beside("bybit", url=nobody)

    asked, line = [line for line in here(*BOTH[:-1]).out.splitlines() if "bybit" in line]

    assert asked.startswith("  bybit: ")
    assert "bybit was asked for no more" in line
    assert "1 series wait for it" in line


def test_what_a_venue_that_is_down_has_in_the_store_is_counted(venue, beside, here, check_sum, nobody):
    venue()
    beside("bybit")
    assert here(*BOTH).exit == 0
    beside("bybit", url=nobody)

    ended = here("backfill", "LTCUSDT", "bybit:DOTUSDT", "--start", "2026-02-26", "--end", "2026-02-28", "--json")

    answer = check_sum(ended.json)
    assert (ended.exit, answer["stored_before"], answer["missing"]) == (1, 2 * MINUTES, MINUTES)


def test_nothing_is_wrong_where_the_store_has_all_that_is_wanted_of_a_venue_that_is_down(
    venue, beside, here, check_sum, nobody
):
    venue()
    beside("bybit")
    assert here(*BOTH).exit == 0
    beside("bybit", url=nobody)

    ended = here(*BOTH)

    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"], answer["error"]) == (0, True, None)
    assert answer["venues"]["bybit"]["error"].startswith("venue_unreachable: ")


def test_no_venue_that_could_be_started_is_2(venue, beside, here, nobody, monkeypatch):
    monkeypatch.setenv("LAKLAK_BINANCE_URL", nobody)
    beside("bybit", script=answering("418", path=EXCHANGE_INFO), ban_s=900)

    ended = here(*BOTH, "--max-wait", "1s")

    assert (ended.exit, ended.json["error"].partition(":")[0]) == (2, "venue_unreachable")
    assert ended.json["venues"]["bybit"]["error"].startswith("try_later: ")


def test_bans_alone_are_75_although_no_venue_was_started(venue, beside, here):
    venue(script=answering("418", path=EXCHANGE_INFO), ban_s=900)
    beside("bybit", script=answering("418", path=EXCHANGE_INFO), ban_s=900)

    assert here(*BOTH, "--max-wait", "1s").exit == 75


def test_a_ban_beside_something_else_that_is_missing_is_1(venue, beside, here):
    venue()
    beside("bybit", script=answering("418", since=5), ban_s=900)

    ended = here("backfill", "NOUSDT", *BOTH[1:], "--max-wait", "1s")

    assert (ended.exit, set(failing(ended.json).values())) == (1, {"try_later", "unknown_symbol"})


def test_a_store_of_real_candles_is_refused_before_anything_is_stored(venue, beside, here):
    venue()
    beside("bybit")
    assert here("backfill", "LTCUSDT", *DAY, "--json").exit == 0
    with sqlite3.connect("laklak.db") as db:
        db.execute("UPDATE meta SET value = 'real' WHERE key = 'origin'")

    assert here(*BOTH).exit == 2
    assert held() == {"binance": MINUTES}


@pytest.mark.parametrize("written", ["flag", "toml"])
def test_the_failures_of_an_optional_venue_are_told_and_do_not_change_the_status(
    written, venue, beside, here, check_sum, nobody, monkeypatch
):
    venue()
    beside("bybit", url=nobody)
    if written == "toml":
        Path("laklak.toml").write_text("[bybit]\noptional = true\n")
    else:
        monkeypatch.setenv("LAKLAK_BYBIT_OPTIONAL", "on")

    ended = here(*BOTH)

    answer = ended.json
    assert (ended.exit, answer["complete"], answer["missing"], answer["error"]) == (0, False, MINUTES, None)
    assert failing(answer) == {SERIES: "venue_unreachable"}
    assert answer["venues"]["bybit"]["error"].startswith("venue_unreachable: ")
    assert any("going on without bybit" in line for line in ended.lines("warning"))


def test_a_failure_of_another_venue_counts_beside_an_optional_one(venue, beside, here, nobody, monkeypatch):
    venue(script=answering("451", since=5))
    beside("bybit", url=nobody)
    monkeypatch.setenv("LAKLAK_BYBIT_OPTIONAL", "on")

    ended = here(*BOTH)

    assert (ended.exit, ended.json["error"].partition(":")[0]) == (1, "region")


def test_a_dry_run_says_which_venue_could_not_be_asked(venue, beside, here, nobody):
    venue()
    beside("bybit", url=nobody)

    ended = here(*BOTH, "--dry-run")

    assert (ended.exit, ended.json["error"].partition(":")[0]) == (1, "venue_unreachable")
    assert (ended.json["to_fetch"], ended.json["no_source"]) == (2 * MINUTES, MINUTES)


def test_the_readme_tells_the_keys_of_a_venue(venue, here):
    venue()
    (row,) = [
        line
        for line in (Path(__file__).parents[2] / "README.md").read_text().splitlines()
        if "| `venues` |" in line and "`candle_requests`" in line
    ]

    (figures,) = here("backfill", "LTCUSDT", *DAY, "--json").json["venues"].values()

    assert all(f"`{key}`" in row for key in figures)
    assert row.count("`") == 2 * (1 + len(figures))


def test_slow_venues_take_no_place_of_a_fast_one(venue, beside, here, monkeypatch):
    source = generate(symbols=6, days=1, seed=3)
    monkeypatch.setenv("LAKLAK_WORKERS", "4")
    monkeypatch.setenv("LAKLAK_IN_FLIGHT", "6")
    words = ("backfill", *source.symbols, "--days", "1", "--json")

    def took_s(running):
        times = [hit.at_s for hit in running.candle_hits]
        return times[-1] - times[0]

    fast = venue(source, latency_s=0.02)
    assert here(*words, "--store", "alone.db").exit == 0
    alone_s, asked = took_s(fast), len(fast.candle_hits)
    fast = venue(source, latency_s=0.02)
    for name in ("bybit", "okx", "hyperliquid"):
        beside(name, source, latency_s=0.5)

    ended = here(*words, *(f"{name}:{source.symbols[0]}" for name in ("bybit", "okx", "hyperliquid")))

    assert (ended.exit, len(fast.candle_hits)) == (0, asked)
    assert took_s(fast) < 2 * alone_s


def test_a_venue_that_is_slow_to_begin_holds_up_nobody_and_joins_when_it_is_there(
    venue, beside, here, check_sum, timing
):
    timing(other_venues_within_s=0.1)
    first, second = venue(), beside("bybit", latency_s=0.8)

    ended = here(*BOTH)

    answer = check_sum(ended.json)
    assert (ended.exit, answer["series"], held()) == (0, 2, {"binance": MINUTES, "bybit": MINUTES})
    assert first.candle_hits[-1].at_s < second.candle_hits[0].at_s
    assert "beginning without bybit, which cannot be asked yet" in ended.err
    assert f"bybit can be asked by now: {MINUTES:,} candles more to fetch" in ended.err


def test_a_venue_that_turns_out_to_be_down_while_others_are_asked_is_missing(venue, beside, here, check_sum, timing):
    timing(other_venues_within_s=0.1)
    venue()
    beside("bybit", latency_s=0.8, script=answering("451", path=TIME))

    ended = here(*BOTH)

    answer = check_sum(ended.json)
    assert (ended.exit, failing(answer), answer["missing"]) == (1, {SERIES: "venue_unreachable"}, MINUTES)


def test_wrong_usage_that_only_a_late_venue_can_tell_ends_the_run_with_2(venue, beside, here, monkeypatch, timing):
    timing(other_venues_within_s=0.1)
    venue()
    beside("bybit", latency_s=0.8, advertised=500)
    monkeypatch.setenv("LAKLAK_BYBIT_BUDGET", "60000")

    ended = here(*BOTH)

    assert (ended.exit, ended.json["error"].partition(":")[0]) == (2, "settings")
    assert held() == {"binance": MINUTES}


def test_a_late_venue_whose_candles_the_store_may_not_mix_in_ends_alone(
    venue, beside, here, check_sum, monkeypatch, timing
):
    timing(other_venues_within_s=0.0)
    monkeypatch.setattr(Feed, "origin", property(lambda feed: "real" if feed.venue.name == "bybit" else "simulated"))
    venue()
    beside("bybit", latency_s=0.4)

    ended = here(*BOTH)

    assert (ended.exit, failing(check_sum(ended.json))) == (1, {SERIES: "store_unavailable"})
    assert held() == {"binance": MINUTES}


def test_a_late_venue_for_which_there_is_no_room_by_then_ends_alone(
    venue, beside, here, check_sum, monkeypatch, timing
):
    timing(other_venues_within_s=0.0)
    running = venue()
    beside("bybit", latency_s=0.4)
    describe = SqliteStore.describe

    async def filling_up(store):
        return replace(await describe(store), free_bytes=1 if running.candle_hits else 1 << 40)

    monkeypatch.setattr(SqliteStore, "describe", filling_up)

    ended = here(*BOTH)

    assert (ended.exit, failing(check_sum(ended.json))) == (1, {SERIES: "store_unavailable"})
    assert held() == {"binance": MINUTES}


def test_a_stop_ends_the_wait_for_a_venue_that_is_slow_to_begin(venue, beside, here, timing):
    timing(other_venues_within_s=0.1)
    running = venue()
    beside("bybit", latency_s=600.0)
    stopping = threading.Thread(target=lambda: (running.wait_for_candle_hits(24), os.kill(os.getpid(), signal.SIGTERM)))
    stopping.start()

    ended = here(*BOTH)

    stopping.join()
    assert ended.exit == 143
    assert ended.json["written"] <= MINUTES


def test_plan_and_summary_tell_what_each_venue_is_asked_for(venue, beside, here):
    venue()
    beside("bybit")

    ended = here(*BOTH[:-1], "--source", "rest")

    (plan,) = [line for line in ended.err.splitlines() if line.startswith("plan: ")]
    assert re.search(
        r"in 48 requests, at least \S+ s \(binance 24 requests, weight 24, .+; bybit 24 requests, weight 24, .+\)", plan
    )
    assert re.search(r"^  binance: \d+ requests \(0 retried\), weight \d+$", ended.out, re.MULTILINE)
    assert re.search(r"^  bybit: \d+ requests \(0 retried\), weight \d+$", ended.out, re.MULTILINE)
