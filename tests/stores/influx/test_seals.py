"""Days are proven once: what a seal says is believed as long as the server counts as many."""

from __future__ import annotations

import random
import re
from urllib.parse import unquote_plus

import pytest

from laklak.model.absences import Absence
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.stores.base import Delivery
from laklak.stores.coverage import take_stock
from laklak.stores.influx.lines import FIELDS
from laklak.stores.influx.v1 import database

MINUTE = Interval.parse("1m")

START = 1_767_225_600_000
DAY = TimeRange(START, START + DAY_MS)
DAYS = TimeRange(START, START + 3 * DAY_MS)
CELLS = ",".join(f"{field}=1" for field in FIELDS)


def key(series, *more):
    tags = ",".join([f"exchange={series.venue}", *more, f"symbol={series.symbol}", f"timeframe={series.interval}"])
    return f"binance_ohlc,{tags}"


def lines(series, times_ms, cells=CELLS):
    return "".join(f"{key(series)} {cells} {time_ms}\n" for time_ms in times_ms)


def grid(series, span=DAYS):
    return list(range(span.start_ms, span.end_ms, series.interval.ms))


def seals(box):
    return {(row["symbol"], row["time"]): row["candles"] for row in box.rows("laklak_seals")}


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    """Few candles, too, are counted before they are read."""
    monkeypatch.setattr(database, "_WORTH_COUNTING", 0)


async def held(store, series, span=DAYS, **options):
    """Take stock as a backfill does, which notes what it has proven."""
    with store.exclusive():
        return await take_stock(store, series, span, **options)


# What is proven


@pytest.mark.parametrize("name", ["1m", "5m", "1h", "8h", "1d"])
@pytest.mark.parametrize("trial", [0, 1, *(pytest.param(more, marks=pytest.mark.long) for more in (2, 3))])
def test_what_is_held_is_exactly_what_is_whole_whatever_stands_there(use, box, name, trial):
    rng = random.Random(f"{name}{trial}")
    series = Series("binance", "BTCUSDT", Interval.parse(name))
    whole, broken, strays_ns = set(grid(series)), set(), set()
    some = rng.sample(sorted(whole), min(len(whole), 2 + trial))
    for time_ms in some:
        # A candle is deleted, lacks a field, or is swapped for a point just beside it.
        whole.discard(time_ms)
        fate = rng.choice(["gone", "broken", "stray", "stray"])
        if fate == "broken":
            broken.add(time_ms)
        elif fate == "stray":
            strays_ns.add(time_ms * 1_000_000 + rng.choice([1, 17_000_000_000, series.interval.ms * 1_000_000 - 1]))
    box.put(lines(series, sorted(whole)))
    for time_ms in broken:
        lacking = rng.sample(FIELDS, rng.randint(1, 4))
        box.put(lines(series, [time_ms], ",".join(f"{field}=1" for field in FIELDS if field not in lacking)))
    for time_ns in strays_ns:
        box.put_ns(f"{key(series)} {CELLS} {time_ns}")

    presence = use(lambda store: held(store, series))
    again = use(lambda store: held(store, series))

    assert presence == again
    assert presence.stored == len(whole)
    missing = [time for part in presence.missing for time in grid(series, part)]
    assert missing == sorted(set(grid(series)) - whole)
    assert sorted(time for part in presence.not_whole for time in grid(series, part)) == sorted(broken)
    assert presence.strays.count == len(strays_ns)


@pytest.mark.parametrize("shift_ns", [1, 17_000_000_000, 59_999_999_999])
def test_a_whole_day_that_is_shifted_holds_nothing(use, box, series, shift_ns):
    box.put_ns("\n".join(f"{key(series)} {CELLS} {time_ms * 1_000_000 + shift_ns}" for time_ms in grid(series, DAYS)))

    presence = use(lambda store: held(store, series))

    assert (presence.stored, presence.missing, presence.strays.count) == (0, (DAYS,), 3 * 1440)
    assert seals(box) == {}


def test_of_whole_days_that_others_wrote_only_those_with_a_fault_are_read(use, box, series, monkeypatch):
    span = TimeRange(START, START + 9 * DAY_MS)
    shifted = TimeRange(START + 2 * DAY_MS, START + 4 * DAY_MS)
    gone_ms = START + 6 * DAY_MS + 17 * MINUTE_MS
    on_grid = [time_ms for time_ms in grid(series, span) if not shifted.clip(TimeRange(time_ms, time_ms + 1))]
    box.put(lines(series, [time_ms for time_ms in on_grid if time_ms != gone_ms]))
    # As many points as minutes, none of them on one.
    box.put(lines(series, [time_ms + 17_000 for time_ms in grid(series, shifted)]))
    read = []

    async def look(store):
        server = store._database
        points = server.points

        async def noted(measurement, series, part):
            read.extend(day.start_ms for day in part.days())
            return await points(measurement, series, part)

        monkeypatch.setattr(server, "points", noted)
        return await held(store, series, span)

    presence = use(look)

    assert presence.missing == (shifted, TimeRange(gone_ms, gone_ms + MINUTE_MS))
    assert presence.stored == 7 * 1440 - 1
    assert presence.strays.count == 2 * 1440
    assert read == [shifted.start_ms, shifted.start_ms + DAY_MS, START + 6 * DAY_MS]


@pytest.mark.parametrize("field", FIELDS)
def test_a_stray_number_beside_a_full_day_is_named(use, box, series, field):
    box.put(lines(series, grid(series, DAY)))
    box.put(lines(series, [START + 700 * MINUTE_MS + 17_000], f"{field}=1"))

    presence = use(lambda store: held(store, series, DAY))

    assert (presence.stored, presence.missing, presence.strays.count) == (1440, (), 1)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_went_astray_is_missed(use, box, series, field):
    # As many points of each field as there are minutes, but one of them is not where its candle is.
    gone_ms = START + 700 * MINUTE_MS
    others = ",".join(f"{name}=1" for name in FIELDS if name != field)
    box.put(lines(series, [time_ms for time_ms in grid(series, DAY) if time_ms != gone_ms]))
    box.put(lines(series, [gone_ms], others))
    box.put(lines(series, [gone_ms + 17_000], f"{field}=1"))

    presence = use(lambda store: held(store, series, DAY))

    assert presence.missing == presence.not_whole == (TimeRange(gone_ms, gone_ms + MINUTE_MS),)
    assert presence.strays.count == 1


def test_a_stray_in_a_known_hole_is_seen(use, box, series):
    hole = Absence.at(MINUTE, START + 60 * MINUTE_MS, "hole", START, "two complete answers lack it")
    box.put(lines(series, [time_ms for time_ms in grid(series, DAY) if time_ms != hole.open_time_ms]))
    box.erase_candle("BTCUSDT", START + 90 * MINUTE_MS)
    box.put(lines(series, [hole.open_time_ms + 17_000]))
    use(lambda store: store.write([Delivery(series, None, [hole])]))

    presence = use(lambda store: held(store, series, DAY))

    assert (presence.stored, presence.absences) == (1438, (hole,))
    assert presence.missing == (TimeRange(START + 90 * MINUTE_MS, START + 91 * MINUTE_MS),)


@pytest.mark.parametrize("fields", ["close=1", "open=1,high=1,low=1,volume=1"])
def test_a_half_written_point_in_a_known_hole_is_told_apart(use, box, series, fields):
    hole = Absence.at(MINUTE, START + 60 * MINUTE_MS, "hole", START, "two complete answers lack it")
    box.put(lines(series, [time_ms for time_ms in grid(series, DAY) if time_ms != hole.open_time_ms]))
    box.put(lines(series, [hole.open_time_ms], fields))
    use(lambda store: store.write([Delivery(series, None, [hole])]))

    presence = use(lambda store: held(store, series, DAY))

    assert (presence.stored, presence.absences, presence.missing, presence.not_whole) == (1439, (hole,), (), ())
    assert presence.not_whole_absent == (TimeRange(hole.open_time_ms, hole.open_time_ms + MINUTE_MS),)


def test_points_of_a_series_of_which_none_has_a_close_are_not_whole(use, box, series):
    box.put(lines(series, grid(series, DAY), "open=1,high=1,low=1,volume=1"))

    presence = use(lambda store: held(store, series, DAY))

    assert (presence.stored, presence.missing, presence.not_whole) == (0, (DAY,), (DAY,))


@pytest.mark.parametrize("field", ["open", "high", "low", "volume"])
def test_points_without_a_close_beyond_all_those_that_have_one_are_not_whole(use, box, series, field):
    day = TimeRange(DAY.start_ms + DAY_MS, DAY.end_ms + DAY_MS)
    box.put(lines(series, grid(series, day)))
    box.put(lines(series, [DAY.start_ms, day.end_ms + DAY_MS], f"{field}=1"))

    presence = use(lambda store: held(store, series, TimeRange(DAY.start_ms, day.end_ms + 2 * DAY_MS)))

    found = [one.start_ms for one in presence.not_whole]
    assert found == [DAY.start_ms, day.end_ms + DAY_MS]


def test_a_half_written_candle_becomes_whole_when_it_is_written(use, box, series, deliver):
    box.put(lines(series, grid(series, DAY), "close=1"))

    async def work(store):
        before = await held(store, series, DAY)
        await store.write([deliver(series, 1440)])
        return before, await held(store, series, DAY)

    before, after = use(work)
    assert (before.stored, before.not_whole) == (0, (DAY,))
    assert (after.stored, after.missing, after.not_whole) == (1440, (), ())
    assert seals(box) == {("BTCUSDT", START): 1440}


# What is noted


def test_days_that_were_proven_are_sealed_and_days_with_odd_points_are_not(use, box, series):
    box.put(lines(series, grid(series)[: 1440 + 100]))
    box.put(lines(series, [START + 2 * DAY_MS + 17_000]))

    use(lambda store: held(store, series))

    assert seals(box) == {("BTCUSDT", START): 1440, ("BTCUSDT", START + DAY_MS): 100}


def test_however_many_days_were_proven_all_of_them_are_sealed(use, box):
    many = [Series.parse(f"binance:S{i}USDT:1d") for i in range(60)]
    span = TimeRange(START, START + 90 * DAY_MS)
    box.put("".join(lines(series, grid(series, span)) for series in many))

    async def work(store):
        with store.exclusive():
            return [await take_stock(store, series, span) for series in many]

    assert {presence.stored for presence in use(work)} == {90}
    assert set(seals(box)) == {(series.symbol, time_ms) for series in many for time_ms in grid(series, span)}


def test_who_does_not_hold_the_store_notes_nothing(use, box, series):
    box.put(lines(series, grid(series)))

    use(lambda store: take_stock(store, series, DAYS))

    assert seals(box) == {}


@pytest.mark.parametrize("parts", [[1440], [700, 740], [1, 1438, 1], [200] * 7 + [40]])
def test_what_was_written_and_acknowledged_is_sealed(use, box, series, deliver, parts):
    async def work(store):
        await held(store, series)
        with store.exclusive():
            start_ms = START
            for count in parts:
                await store.write([deliver(series, count, start_ms=start_ms)])
                start_ms += count * MINUTE_MS

    use(work)

    assert seals(box) == {("BTCUSDT", START): 1440}


def test_a_day_that_grows_is_sealed_anew(use, box, series, deliver):
    span = TimeRange(START + 600 * MINUTE_MS, START + DAY_MS)
    use(lambda store: store.write([deliver(series, 500)]))

    async def work(store, start_minute, count):
        await held(store, series, span)
        with store.exclusive():
            await store.write([deliver(series, count, start_ms=START + start_minute * MINUTE_MS)])

    use(lambda store: work(store, 600, 60))
    first = seals(box)
    use(lambda store: work(store, 660, 30))

    assert (first, seals(box)) == ({("BTCUSDT", START): 560}, {("BTCUSDT", START): 590})
    presence = use(lambda store: held(store, series, DAY))
    assert presence.stored == 590


def test_what_was_written_where_nobody_had_looked_is_proven_by_the_next_run(use, box, series, deliver):
    # A stray was there, and the minutes written are not all of the day.
    box.put(lines(series, [START + 17_000]))

    async def work(store):
        with store.exclusive():
            await store.write([deliver(series, 100, start_ms=START + MINUTE_MS)])

    use(work)

    assert seals(box) == {}
    assert use(lambda store: held(store, series, DAY)).stored == 100


def test_a_seal_of_another_measurement_is_not_believed(use, box, series, deliver):
    async def work(store):
        await held(store, series, DAY)
        with store.exclusive():
            await store.write([deliver(series, 1440)])

    use(work)
    wrong = lines(series, [time_ms + 17_000 for time_ms in grid(series, DAY)])
    box.put(wrong.replace("binance_ohlc", "other_binance"))

    presence = use(lambda store: held(store, series, DAY), measurement="other_{venue}")

    assert (presence.stored, presence.strays.count) == (0, 1440)


def test_a_seal_is_believed_until_the_count_changes_or_a_recheck(use, box, series):
    box.put(lines(series, grid(series)))
    use(lambda store: held(store, series))
    gone_ms = START + 700 * MINUTE_MS
    box.erase_candle("BTCUSDT", gone_ms)
    box.put(lines(series, [gone_ms + 17_000]))

    assert use(lambda store: held(store, series)).stored == 3 * 1440
    rechecked = use(lambda store: held(store, series, recheck=True))
    assert (rechecked.stored, rechecked.strays.count) == (3 * 1440 - 1, 1)

    box.put(lines(series, [gone_ms + 18_000]))
    found = use(lambda store: held(store, series))
    assert (found.stored, found.strays.count) == (3 * 1440 - 1, 2)


@pytest.mark.parametrize("odd", ["stray", "half"])
def test_a_seal_that_was_true_once_is_not_believed_after_something_odd_came_and_something_else_went(
    odd, use, box, series
):
    hole_ms, gone_ms = START + 300 * MINUTE_MS, START + 700 * MINUTE_MS
    box.put(lines(series, [time_ms for time_ms in grid(series) if time_ms != hole_ms]))
    use(lambda store: held(store, series))
    box.put(lines(series, [hole_ms + 17_000]) if odd == "stray" else lines(series, [hole_ms], "close=1"))
    assert use(lambda store: held(store, series)).stored == 3 * 1440 - 1
    # The server counts as many as it did when the day was sealed.
    box.erase_candle("BTCUSDT", gone_ms)

    presence = use(lambda store: held(store, series))

    assert presence.stored == 3 * 1440 - 2
    assert presence.missing == (TimeRange(hole_ms, hole_ms + MINUTE_MS), TimeRange(gone_ms, gone_ms + MINUTE_MS))


def test_a_day_with_a_stray_is_not_sealed_when_it_gets_its_last_candle(use, box, series, deliver):
    lacking_ms, gone_ms = START + 300 * MINUTE_MS, START + 700 * MINUTE_MS
    times = [time_ms for time_ms in grid(series, DAY) if time_ms != lacking_ms]
    box.put(lines(series, [*times, lacking_ms + 17_000]))

    async def fill(store):
        await held(store, series, DAY)
        with store.exclusive():
            await store.write([deliver(series, 1, start_ms=lacking_ms)])

    use(fill)
    box.erase_candle("BTCUSDT", gone_ms)

    presence = use(lambda store: held(store, series, DAY))

    assert (presence.stored, presence.missing) == (1439, (TimeRange(gone_ms, gone_ms + MINUTE_MS),))


@pytest.mark.parametrize(("first", "last"), [(0, 3 * 1440), (600, 3 * 1440 - 100), (600, 700), (1439, 1441), (0, 1)])
def test_a_part_of_sealed_days_is_counted_exactly(use, box, series, first, last):
    present = [time_ms for i, time_ms in enumerate(grid(series)) if i not in (650, 1440, 3 * 1440 - 50)]
    box.put(lines(series, present))
    use(lambda store: held(store, series))
    span = TimeRange(START + first * MINUTE_MS, START + last * MINUTE_MS)

    presence = use(lambda store: held(store, series, span))

    inside = [time_ms for time_ms in present if span.start_ms <= time_ms < span.end_ms]
    assert presence.stored == len(inside)
    missing = [time for part in presence.missing for time in grid(series, part)]
    assert missing == sorted(set(grid(series, span)) - set(inside))


def test_seals_that_the_server_will_not_take_stop_nothing(use, serve, healthy, series, deliver):
    def answer(path, body):
        if path.startswith(("/write", "/api/v2/write")) and b"laklak_seals" in body:
            return 500, {}, b'{"error":"timeout"}'
        return healthy(path, body)

    told = serve(answer)

    async def work(store):
        with store.exclusive():
            return await store.write([deliver(series, 1440)])

    assert use(work, told.url, max_wait_s=0).refused == {}


@pytest.fixture
def kind():
    return "1.x"


def test_a_proven_range_takes_one_request(use, serve, healthy, series):
    """What costs: one request to look at a full and sealed range, as before there were seals."""
    counts = [[START + day * DAY_MS, 1440] for day in range(3)]

    def answer(path, body):
        if b"laklak_seals" in body and path.startswith("/query"):
            rows = ",".join(f"[{day},{count}]" for day, count in counts)
            table = f'"series":[{{"columns":["time","count"],"values":[{rows}]}}]'
            answers = [f'{{"statement_id":{number},{table}}}' for number in range(2)]
            return 200, {}, f'{{"results":[{",".join(answers)}]}}\n'.encode()
        return healthy(path, body)

    told = serve(answer)

    presence = use(lambda store: held(store, series), told.url)

    assert presence.stored == 3 * 1440
    asked = [unquote_plus(body.decode()) for path, body in told.asked if b"binance_ohlc" in body and b"SELECT" in body]
    assert len(asked) == 1
    assert len(re.findall("SELECT", asked[0])) == 2
