"""Blofin through whole backfills, against the simulator that speaks its words, whatever its pages hold."""

from __future__ import annotations

import sqlite3
import time

import pytest

from laklak.model.series import MINUTE_MS, iso
from laklak.simulator import SimulatorSettings, SymbolOverride, generate, parse_fault
from laklak.simulator.dialects.blofin import Blofin
from laklak.simulator.faults import Override
from laklak.venues import VENUES
from laklak.venues.base import Quota
from laklak.wire.bans import lasting_bans

from .conftest import Venue

CANDLES = "/api/v1/market/candles"
FAST = {"requests": Quota(30_000, 60.0), "requests_5m": Quota(90_000, 300.0)}
"""A hundredfold, so that nobody waits where pages matter and not their pace."""
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SIM0003USDT")


@pytest.fixture(scope="module")
def source():
    return generate(symbols=3, days=9)


@pytest.fixture
def blofin(source, monkeypatch):
    """Start a simulated Blofin: `blofin(rows, refuses=..., **settings)`."""
    running = []

    def start(rows=1440, *, refuses=False, quotas=None, **settings):
        # Its clock is a Date, of which the last two seconds are not believed.
        settings = {"clock_ms": source.end_ms + 30_000, "budget": 100_000, **settings}
        one = Venue(source, SimulatorSettings.of(Blofin(rows, refuses=refuses), **settings))
        running.append(one)
        monkeypatch.setenv("LAKLAK_BLOFIN_URL", one.url)
        monkeypatch.setenv("LAKLAK_BLOFIN_BUDGET", "max")
        monkeypatch.setitem(vars(VENUES["blofin"]), "quotas", quotas or FAST)
        return one

    yield start
    for one in running:
        one.close()


def asked_of(running):
    return [hit for hit in running.hits if hit.path == CANDLES]


def stored(name="candles.db"):
    with sqlite3.connect(name) as db:
        rows = db.execute(
            "SELECT symbol, open_time, open, high, low, close, volume FROM candles WHERE venue = 'blofin'"
        )
        return {(symbol, at): tuple(values) for symbol, at, *values in rows}


def truth(source, symbols, start_ms):
    rows = {}
    for symbol in symbols:
        for row in source.oldest(symbol, start_ms, source.end_ms, 100_000):
            cells = row.decode().strip("[]").replace('"', "").split(",")
            rows[symbol, int(cells[0])] = tuple(map(float, cells[1:6]))
    return rows


def range_of(source, days):
    start_ms = source.end_ms - days * 1440 * MINUTE_MS
    return start_ms, ("--start", iso(start_ms), "--end", iso(source.end_ms), "--store", "candles.db", "--json")


@pytest.mark.parametrize(
    ("rows", "refuses", "most"),
    [(1440, False, 7), (300, False, 34), (300, True, 35), (100, False, 102), (100, True, 104), (500, False, 21)],
)
def test_a_week_of_minutes_takes_as_many_requests_as_its_pages_have_to_be(blofin, here, source, rows, refuses, most):
    running = blofin(rows, refuses=refuses)
    start_ms, span = range_of(source, 7)

    ended = here("backfill", "blofin:BTCUSDT", *span)

    assert (ended.exit, ended.json["missing"], ended.json["holes"]) == (0, 0, 0)
    assert stored() == truth(source, ["BTCUSDT"], start_ms)
    assert len(asked_of(running)) <= most
    # Beside its candles there is the listing.
    assert len(running.hits) <= most + 1
    assert here("backfill", "blofin:BTCUSDT", *span).exit == 0
    assert len(asked_of(running)) <= most


@pytest.mark.parametrize("rows", [1440, 300])
def test_all_of_several_symbols_is_stored_and_a_second_run_asks_for_none(blofin, here, source, rows):
    running = blofin(rows)
    start_ms, span = range_of(source, 3)

    ended = here("backfill", "--venue", "blofin", *SYMBOLS, *span)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == truth(source, SYMBOLS, start_ms)
    asked = len(asked_of(running))
    assert here("backfill", "--venue", "blofin", *SYMBOLS, *span).exit == 0
    assert len(asked_of(running)) == asked


def test_one_question_is_under_way_until_the_size_of_a_page_is_known(blofin, here, source):
    running = blofin(300, latency_s=1.0)
    _, span = range_of(source, 1)

    assert here("backfill", "--venue", "blofin", *SYMBOLS, *span).exit == 0

    first, second, *_, last = [hit.at_s for hit in asked_of(running)]
    assert second - first >= 1.0
    # From then on they go side by side.
    assert last - second < len(asked_of(running)) / 2


def test_the_plan_of_a_later_run_is_by_the_page_size_that_an_earlier_one_has_learned(blofin, here, source):
    running = blofin(300)
    _, span = range_of(source, 7)
    words = ("backfill", "blofin:BTCUSDT", *span)
    assert here(*words, "--dry-run").json["requests"] == 7

    first = here("backfill", "blofin:ETHUSDT", *span)
    plan = here(*words, "--dry-run").json

    assert first.exit == 0
    assert (plan["requests"], plan["chunk"], plan["seconds_auto"]) == (34, 300, plan["seconds_estimated"])
    before = len(asked_of(running))
    assert here(*words).json["candle_requests"] == len(asked_of(running)) - before == 34


def test_a_size_that_was_refused_is_not_asked_for_again_for_a_week_or_until_a_recheck(blofin, here, source):
    running = blofin(300, refuses=True)
    _, span = range_of(source, 2)

    def largest(symbol, *more):
        before = len(asked_of(running))
        ended = here("backfill", f"blofin:{symbol}", *span, *more)
        assert (ended.exit, ended.json["missing"]) == (0, 0)
        return max(int(hit.query["limit"]) for hit in asked_of(running)[before:])

    assert largest("BTCUSDT") == 1440
    assert largest("ETHUSDT") == 300
    assert largest("SIM0003USDT", "--recheck") == 1440
    assert largest("BTCUSDT", "--refetch") == 300
    week_ago = "UPDATE laklak_notes SET venue_at = venue_at - ? WHERE kind = 'page'"
    with sqlite3.connect("candles.db") as db:
        assert db.execute(week_ago, (8 * 86_400_000,)).rowcount == 1
    assert largest("BTCUSDT", "--refetch") == 1440
    assert largest("BTCUSDT", "--refetch") == 300


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize(("before", "after", "most"), [(300, 100, 34), (300, 1440, 11), (1440, 300, 12)])
def test_a_venue_that_changes_its_page_size_between_runs_loses_nothing(
    blofin, here, source, before, after, most, refuses
):
    start_ms, span = range_of(source, 2)
    blofin(before, refuses=refuses)
    assert here("backfill", "blofin:BTCUSDT", *span).exit == 0
    running = blofin(after, refuses=refuses)

    ended = here("backfill", "--other-address", "blofin:ETHUSDT", *span)

    assert (ended.exit, ended.json["missing"], ended.json["holes"]) == (0, 0, 0)
    assert stored() == truth(source, ["BTCUSDT", "ETHUSDT"], start_ms)
    assert len(asked_of(running)) <= most


def test_what_was_learned_is_shown_as_remembered(blofin, here, source):
    blofin(300)
    assert here("backfill", "blofin:BTCUSDT", *range_of(source, 1)[1]).exit == 0

    checked = here("check", "--venue", "blofin", "--store", "candles.db")

    assert "1 page size" in checked.out


def test_a_page_size_that_the_user_says_is_taken_from_the_first_question_on(blofin, here, source):
    running = blofin(300, refuses=True)
    _, span = range_of(source, 1)

    assert here("backfill", "blofin:BTCUSDT", *span, "--chunk", "300").exit == 0

    assert {hit.query["limit"] for hit in asked_of(running)} == {"300", "240"}


def test_neither_of_two_quotas_is_exceeded_in_any_of_its_windows(blofin, here, source):
    quotas = {"requests": Quota(20, 1.0), "requests_5m": Quota(30, 3.0)}
    running = blofin(100, quotas=quotas)
    _, span = range_of(source, 2)

    ended = here("backfill", "--venue", "blofin", *SYMBOLS, *span)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    times = [hit.at_s for hit in running.hits]
    for quota in quotas.values():
        most = max(sum(at_s - quota.seconds < one <= at_s for one in times) for at_s in times)
        assert most <= quota.units


def test_the_time_that_is_told_before_is_that_of_the_quota_that_lasts_longest(blofin, here, source):
    blofin(quotas={"requests": Quota(30_000, 60.0), "requests_5m": Quota(300, 300.0)})

    ended = here("backfill", "blofin:BTCUSDT", *range_of(source, 7)[1], "--dry-run")

    assert (ended.json["requests"], ended.json["seconds_estimated"]) == (7, 7.1)


@pytest.mark.parametrize("interval", ["5m", "4h", "8h", "1d"])
def test_longer_candles_are_asked_by_the_venues_own_names(blofin, here, source, interval):
    blofin()

    ended = here("backfill", "blofin:BTCUSDT", "--interval", interval, *range_of(source, 4)[1])

    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (0, 0, ended.json["wanted"])


@pytest.mark.parametrize("rows", [1440, 300])
def test_all_is_stored_through_faults_of_every_kind(blofin, here, source, rows, timing):
    timing(backoff_most_s=0.05)
    blofin(rows, faults=[parse_fault(one) for one in ("5xx=10%", "cut=5%", "reset=5%", "html=5%", "badrow=5%")])
    start_ms, span = range_of(source, 3)

    ended = here("backfill", "--venue", "blofin", *SYMBOLS, *span)

    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert stored() == truth(source, SYMBOLS, start_ms)


@pytest.mark.parametrize("rows", [1440, 300])
def test_a_hole_is_proven_and_a_late_listing_wants_nothing_before(blofin, here, source, rows):
    hole = source.end_ms - 700 * MINUTE_MS
    first = source.end_ms - 1500 * MINUTE_MS
    blofin(
        rows,
        overrides={
            "BTCUSDT": SymbolOverride(holes=frozenset({hole})),
            "ETHUSDT": SymbolOverride(first_ms=first, onboard_ms=first),
        },
    )
    start_ms, span = range_of(source, 2)

    ended = here("backfill", "--venue", "blofin", "BTCUSDT", "ETHUSDT", *span)

    answer = ended.json
    assert (ended.exit, answer["holes"], answer["missing"]) == (0, 1, 0)
    assert answer["begun_series"][0]["first"] == iso(first)
    bitcoin = truth(source, ["BTCUSDT"], start_ms)
    del bitcoin["BTCUSDT", hole]
    assert stored() == bitcoin | truth(source, ["ETHUSDT"], first)


def shut_out_s(state):
    (ban,) = lasting_bans(state, "blofin", longest_s=86_400.0)
    return ban.until_ms / 1000 - time.time()


def let_it_end(state):
    """Write down the ban as one that ended a second ago."""
    (book,) = state.glob("ban-blofin-*.json")
    until_ms = lasting_bans(state, "blofin", longest_s=86_400.0)[0].until_ms
    ended_ms = time.time_ns() // 1_000_000 - 1000
    book.write_text(book.read_text().replace(f'"until_ms": {until_ms}', f'"until_ms": {ended_ms}'))


def test_a_firewall_shuts_out_for_five_minutes_and_then_for_an_hour(blofin, here, source, tmp_path, monkeypatch):
    state = tmp_path / "state"
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(state))
    _, span = range_of(source, 3)

    def refuses(path, query, number):
        return Override(fault="403") if path == CANDLES and number >= 4 else None

    blofin(script=refuses)
    command = ("backfill", "blofin:BTCUSDT", *span, "--chunk", "300", "--max-wait", "30s")

    assert here(*command).exit == 75
    assert 240 < shut_out_s(state) <= 300
    let_it_end(state)
    assert here(*command).exit == 75
    assert 3540 < shut_out_s(state) <= 3600


def test_a_firewall_at_the_start_of_a_run_after_one_that_was_served_shuts_out_as_in_its_middle(
    blofin, here, source, tmp_path, monkeypatch
):
    state = tmp_path / "state"
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(state))
    refusing = False
    running = blofin(script=lambda path, query, number: Override(fault="403") if refusing else None)
    assert here("backfill", "blofin:BTCUSDT", *range_of(source, 1)[1]).exit == 0
    refusing, served = True, len(running.hits)
    command = ("backfill", "blofin:BTCUSDT", *range_of(source, 3)[1], "--max-wait", "30s")

    assert (here(*command).exit, len(running.hits)) == (75, served + 1)
    assert 240 < shut_out_s(state) <= 300
    assert (here(*command).exit, len(running.hits)) == (75, served + 1)
    let_it_end(state)
    assert (here(*command).exit, len(running.hits)) == (75, served + 2)
    assert 3540 < shut_out_s(state) <= 3600


def test_a_country_that_is_not_served_is_told_as_that(blofin, here, source):
    blofin(faults=[parse_fault("451=100%")])

    ended = here("backfill", "blofin:BTCUSDT", *range_of(source, 1)[1])

    assert ended.exit == 2
    assert ended.json["error"].startswith("venue_unreachable: ")
    assert "restricted countries" in ended.json["error"]


def test_a_symbol_that_it_does_not_know_is_told(blofin, here, source):
    blofin()

    ended = here("backfill", "blofin:XRP-USD", *range_of(source, 1)[1])

    assert ended.exit == 2
    assert "blofin does not know the symbol XRP-USD" in ended.err
