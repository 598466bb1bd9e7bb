"""What klines answer over a socket: ranges, defaults, the forming candle, longer intervals, overrides."""

from decimal import Decimal

import pytest

from laklak.model.series import DAY_MS, MINUTE_MS
from laklak.simulator import SymbolOverride, generate
from laklak.simulator.market import SimulatedClock
from laklak.simulator.settings import SETTLE_MS

START = 1_771_977_600_000  # 2026-02-25T00:00Z, the first recorded minute
END = START + 4 * DAY_MS
LATER = 2**31 * 1000


def minute(number):
    return START + number * MINUTE_MS


def minutes(*numbers):
    return [minute(number) for number in numbers]


def asked(talk, source=None, **parts):
    """The open times one klines request is answered."""
    settings = parts.pop("settings", {})

    async def conversation(client):
        return (await client.klines(**parts)).times

    return talk(conversation, source, **settings)


def test_rows_come_oldest_first_with_twelve_elements(talk):
    async def conversation(client):
        return (await client.klines(startTime=START, limit=2)).json

    rows = talk(conversation)

    assert [len(row) for row in rows] == [12, 12]
    assert [type(cell) for cell in rows[0]] == [int, str, str, str, str, str, int, str, int, str, str, str]
    assert rows[0][0] < rows[1][0]


def test_both_bounds_are_inclusive(talk):
    assert asked(talk, startTime=minute(3), endTime=minute(5)) == minutes(3, 4, 5)


def test_bounds_beside_the_grid_filter_open_times(talk):
    assert asked(talk, startTime=minute(3) + 1, endTime=minute(5) + 59_999) == minutes(4, 5)


def test_a_range_wider_than_the_limit_keeps_its_oldest_rows(talk):
    assert asked(talk, startTime=minute(3), endTime=minute(900), limit=2) == minutes(3, 4)


def test_a_start_before_the_first_row_gives_the_first_rows(talk):
    assert asked(talk, startTime=0, limit=2) == minutes(0, 1)


def test_only_an_end_gives_the_newest_rows_up_to_it(talk):
    assert asked(talk, endTime=minute(5), limit=2) == minutes(4, 5)


def test_no_bound_gives_the_newest_rows(talk):
    assert asked(talk, limit=2) == [END - MINUTE_MS, END]


def test_the_default_limit_is_five_hundred(talk):
    assert len(asked(talk, startTime=START)) == 500


def test_at_most_fifteen_hundred_rows_come_at_once(talk):
    assert len(asked(talk, startTime=START, limit=1500)) == 1500


def test_a_range_without_rows_is_an_empty_list(talk):
    assert asked(talk, startTime=1_700_000_000, endTime=1_700_000_500) == []


def test_the_forming_candle_is_shown_with_half_made_values(talk):
    async def conversation(client):
        forming = (await client.klines(startTime=minute(10), limit=5)).json
        client.simulator.market.clock = type(client.simulator.market.clock)(minute(99), "frozen")
        return forming, (await client.klines(startTime=minute(10), limit=1)).json

    (forming,), (whole,) = talk(conversation, clock_ms=minute(10) + 30_000)

    assert forming[0] == whole[0] == minute(10)
    assert forming[1] == whole[1]
    assert set(forming[1:5]) == {whole[1]}
    assert 0 < Decimal(forming[5]) < Decimal(whole[5])


def test_at_the_end_of_the_recording_a_forming_candle_follows(talk):
    assert asked(talk, startTime=END - MINUTE_MS, endTime=LATER) == [END - MINUTE_MS, END]


def test_the_forming_candle_counts_against_the_limit(talk):
    assert asked(talk, startTime=END - MINUTE_MS, limit=1) == [END - MINUTE_MS]


def test_a_frozen_clock_stands_where_the_last_candle_of_the_recording_is_wanted(talk):
    async def conversation(client):
        return [(await client.get("time")).json["serverTime"] for _ in range(2)]

    assert talk(conversation) == [END + SETTLE_MS] * 2


def test_a_ticking_clock_goes_on_from_there(talk):
    async def conversation(client):
        first = (await client.get("time")).json["serverTime"]
        while (await client.get("time")).json["serverTime"] == first:
            pass
        return first

    assert END + SETTLE_MS <= talk(conversation, clock="ticking") < END + 10_000


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_a_clock_may_go_faster_than_real_time(speed):
    now_s = 100.0
    clock = SimulatedClock(END, "ticking", lambda: now_s, speed)
    now_s = 130.0

    assert clock.now_ms() == END + 30_000 * speed


def test_generated_candles_go_on_after_their_default_end(talk):
    source = generate(symbols=1, days=1)
    end = source.end_ms

    assert asked(talk, source, symbol="BTCUSDT", startTime=end - 1, limit=9, settings={"clock_ms": end + 90_000}) == [
        end,
        end + MINUTE_MS,
    ]


def test_a_longer_interval_is_the_exact_sum_of_its_minutes(talk):
    async def conversation(client):
        parts = (await client.klines(startTime=START, limit=60)).json
        (hour,) = (await client.klines(interval="1h", startTime=START, limit=1)).json
        return parts, hour

    parts, hour = talk(conversation)

    assert (hour[0], hour[6]) == (START, START + 60 * MINUTE_MS - 1)
    assert (hour[1], hour[4]) == (parts[0][1], parts[-1][4])
    assert Decimal(hour[2]) == max(Decimal(row[2]) for row in parts)
    assert Decimal(hour[3]) == min(Decimal(row[3]) for row in parts)
    assert Decimal(hour[5]) == sum(Decimal(row[5]) for row in parts)
    assert hour[8] == sum(row[8] for row in parts)


@pytest.mark.parametrize(("interval", "count"), [("1d", 4), ("12h", 8), ("1h", 96), ("3m", 1500)])
def test_longer_intervals_cover_the_recording(talk, interval, count):
    assert len(asked(talk, interval=interval, startTime=START, endTime=END - 1, limit=1500)) == count


def test_the_newest_of_a_longer_interval_is_still_forming(talk):
    assert asked(talk, interval="4h", limit=2) == [END - 240 * MINUTE_MS, END]


def test_a_start_inside_a_longer_candle_begins_with_the_next_one(talk):
    assert asked(talk, interval="1h", startTime=minute(1), limit=1) == [minute(60)]


def test_holes_do_not_shorten_a_page(talk):
    override = SymbolOverride(holes=frozenset(minutes(1, 2, 5)))
    settings = {"overrides": {"LTCUSDT": override}}

    assert asked(talk, startTime=START, limit=4, settings=settings) == minutes(0, 3, 4, 6)
    assert asked(talk, endTime=minute(6), limit=4, settings=settings) == minutes(0, 3, 4, 6)


def test_a_late_listing_has_no_rows_before_it_and_says_nothing(talk):
    async def conversation(client):
        (entry,) = [s for s in (await client.get("exchangeInfo")).json["symbols"] if s["symbol"] == "LTCUSDT"]
        return entry["onboardDate"], (await client.klines(startTime=0, limit=1)).times

    onboard_ms, times = talk(conversation, overrides={"LTCUSDT": SymbolOverride(first_ms=minute(77))})

    assert onboard_ms < START
    assert times == minutes(77)


def test_listing_and_delivery_show_in_exchange_info_and_in_the_rows(talk):
    override = SymbolOverride(onboard_ms=minute(10), delivery_ms=minute(20), status="SETTLING")

    async def conversation(client):
        (entry,) = [s for s in (await client.get("exchangeInfo")).json["symbols"] if s["symbol"] == "LTCUSDT"]
        return entry, (await client.klines(startTime=0)).times

    entry, times = talk(conversation, overrides={"LTCUSDT": override})

    assert (entry["onboardDate"], entry["deliveryDate"], entry["status"]) == (minute(10), minute(20), "SETTLING")
    assert times == minutes(*range(10, 20))


def test_the_listing_tells_of_a_change_while_the_simulator_runs(talk):
    async def status(client):
        entries = (await client.get("exchangeInfo")).json["symbols"]
        return {entry["symbol"]: entry["status"] for entry in entries}["LTCUSDT"]

    async def conversation(client):
        before = await status(client)
        client.simulator.market.change("LTCUSDT", status="SETTLING")
        return before, await status(client)

    assert talk(conversation) == ("TRADING", "SETTLING")


def test_a_delisted_symbol_is_refused_by_its_status(talk):
    async def conversation(client):
        return await client.klines()

    reply = talk(conversation, overrides={"LTCUSDT": SymbolOverride(delisted=True)})

    assert (reply.status, reply.json) == (400, {"code": -1122, "msg": "Invalid symbol status."})


def test_an_override_can_change_while_the_simulator_runs(talk):
    async def conversation(client):
        client.simulator.market.change("LTCUSDT", holes=frozenset(minutes(0)))
        before = (await client.klines(startTime=START, limit=1)).times
        client.simulator.market.change("LTCUSDT", holes=frozenset())
        return before, (await client.klines(startTime=START, limit=1)).times

    assert talk(conversation) == (minutes(1), minutes(0))


def test_chosen_rows_can_be_bad_for_good(talk):
    raw = b'[1,"oops"]'
    override = SymbolOverride(bad_rows={minute(1): "not_a_number", minute(2): raw})

    async def conversation(client):
        return [(await client.klines(startTime=START, limit=4)).json for _ in range(2)]

    first, second = talk(conversation, overrides={"LTCUSDT": override})

    assert first == second
    assert first[1][4] == "NaN"
    assert first[2] == [1, "oops"]


def test_an_override_of_an_unknown_symbol_is_an_error(talk):
    async def conversation(client):
        raise AssertionError("never starts")

    with pytest.raises(ValueError, match="no symbol NOPEUSDT"):
        talk(conversation, overrides={"NOPEUSDT": SymbolOverride()})


def test_a_longer_candle_without_any_minute_does_not_exist(talk):
    override = SymbolOverride(holes=frozenset(minutes(*range(60, 120))))
    settings = {"overrides": {"LTCUSDT": override}}

    assert asked(talk, interval="1h", startTime=START, limit=3, settings=settings) == minutes(0, 120, 180)
    assert asked(talk, interval="1h", endTime=minute(180), limit=3, settings=settings) == minutes(0, 120, 180)


def test_a_hole_at_the_clock_has_no_forming_candle(talk):
    settings = {"overrides": {"LTCUSDT": SymbolOverride(holes=frozenset([END]))}}

    assert asked(talk, limit=1, settings=settings) == [END - MINUTE_MS]


def test_past_the_recording_nothing_forms(talk):
    assert asked(talk, limit=1, settings={"clock_ms": END + 10 * MINUTE_MS}) == [END - MINUTE_MS]
