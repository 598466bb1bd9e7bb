"""Stretches as points: one at the start of each, overwritten when it is gone, cut where a server drops shards."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import pytest

from laklak.model.absences import Absence
from laklak.model.provenance import given_by
from laklak.model.series import DAY_MS, MINUTE_MS, TimeRange
from laklak.stores.base import Delivery

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)


def quiet(start_ms: int, end_ms: int) -> Absence:
    return Absence(TimeRange(start_ms, end_ms), "quiet", START, "nobody traded")


@pytest.fixture
def forgetful(box):
    """The same, where points are kept for ten days."""
    box.remove()
    box.make(keeps_hours=240)
    return box


def test_a_stretch_that_grows_is_one_point(use, box, series):
    async def work(store):
        for minute in range(30):
            start_ms = START + minute * MINUTE_MS
            await store.write([Delivery(series, None, [quiet(start_ms, start_ms + MINUTE_MS)])])

    use(work)

    (row,) = box.rows("laklak_absences")
    assert (row["kind"], row["end_time"], row["symbol"]) == ("quiet", START + 30 * MINUTE_MS, "BTCUSDT")


def test_a_stretch_that_is_gone_stays_gone_when_its_candle_goes(use, box, series, deliver):
    use(lambda store: store.write([Delivery(series, None, [quiet(START, START + DAY_MS)])]))
    use(lambda store: store.write([deliver(series, 1440)]))
    box.erase("binance_ohlc")

    assert use(lambda store: store.absences(series, DAYS)) == []


def test_where_points_are_dropped_a_stretch_is_cut_where_shards_are(use, forgetful, series):
    now_ms = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
    given = [quiet(now_ms - 60 * DAY_MS, now_ms - MINUTE_MS), quiet(now_ms - MINUTE_MS, now_ms)]

    async def work(store):
        for absence in given:
            await store.write([Delivery(series, None, [absence])])
        retention = store.retention
        oldest_ms = store.within_retention(TimeRange(0, now_ms)).start_ms
        found = await store.absences(series, TimeRange(0, now_ms))
        return [one.span for one in found], retention.shard_of, oldest_ms

    spans, shard_of, oldest_ms = use(work)

    assert abs(spans[0].start_ms - oldest_ms) <= MINUTE_MS
    assert spans[-1].end_ms == now_ms
    assert all(one.end_ms == other.start_ms for one, other in itertools.pairwise(spans))
    assert [shard_of(span.start_ms) for span in spans] == [shard_of(span.end_ms - 1) for span in spans]
    assert len(spans) > 1


def test_of_points_that_overlap_the_later_one_counts(use, box, series):
    tags = "exchange=binance,symbol=BTCUSDT,timeframe=1m"
    rest = 'confirmed_at=5i,reason="r",row="",venue_at=0i,file_at=0i,sources=""'
    for kind, first, after in (("quiet", 0, 100), ("closed", 50, 80)):
        end_ms = START + after * MINUTE_MS
        box.put(f'laklak_absences,{tags} kind="{kind}",end_time={end_ms}i,{rest} {START + first * MINUTE_MS}\n')

    found = use(lambda store: store.absences(series, DAYS))

    assert [(one.kind, one.span.start_ms, one.span.end_ms) for one in found] == [
        ("quiet", START, START + 50 * MINUTE_MS),
        ("closed", START + 50 * MINUTE_MS, START + 80 * MINUTE_MS),
    ]


@pytest.mark.parametrize("more", ["", ",venue_at=7i,file_at=0i"])
def test_holes_that_an_older_laklak_wrote_are_still_known(use, box, series, more):
    tags = "exchange=binance,symbol=BTCUSDT,timeframe=1m"
    box.put(f'laklak_holes,{tags} kind="hole",confirmed_at=5i,reason="lacking",row=""{more} {START}\n')

    (found,) = use(lambda store: store.absences(series, DAYS))

    assert (found.span, found.kind, found.confirmed_at_ms, found.reason, found.sources) == (
        TimeRange(START, START + MINUTE_MS),
        "hole",
        5,
        "lacking",
        (),
    )


def test_a_run_every_minute_asks_for_no_provenance_but_once(use, series, deliver, monkeypatch):
    def minute(number, run):
        delivery = deliver(series, 1, start_ms=START + number * MINUTE_MS)
        return replace(delivery, provenance=given_by("rest", delivery.candles.open_times, series.interval, run))

    async def first(store):
        await store.write([minute(0, 1)])
        await store.write([minute(1, 2)])

    async def later(store):
        asked = []
        rows = store._database.rows

        async def count(*question):
            asked.append(question)
            return await rows(*question)

        monkeypatch.setattr(store._database, "rows", count)
        for number in range(2, 9):
            await store.write([minute(number, number + 1)])
        return len(asked), await store.provenance(series, DAYS)

    use(first)

    asked, found = use(later)
    assert asked == 0
    assert [(one.span, one.first_run_ms, one.last_run_ms) for one in found] == [
        (TimeRange(START, START + 9 * MINUTE_MS), 1, 9)
    ]


def test_stretches_that_stay_between_those_that_are_gone_are_read_as_they_were_written(use, box, series, deliver):
    """2.7.12 reads texts that are empty and stand between others back in another order."""
    hours = [quiet(START + 2 * hour * 60 * MINUTE_MS, START + (2 * hour + 1) * 60 * MINUTE_MS) for hour in range(5)]

    async def work(store):
        for hour in hours:
            await store.write([Delivery(series, None, [hour])])
        for gone in (1, 3, 4):
            await store.write([deliver(series, 60, start_ms=hours[gone].span.start_ms)])

    use(work)

    assert use(lambda store: store.absences(series, DAYS)) == [hours[0], hours[2]]


def test_rejects_between_holes_keep_their_rows(use, box, series):
    absences = [
        Absence.at(series.interval, START + minute * MINUTE_MS, kind, START, "it was so", row)
        for minute, (kind, row) in enumerate([("rejected", "a"), ("hole", None), ("rejected", "b"), ("hole", None)])
    ]

    async def work(store):
        for absence in absences:
            await store.write([Delivery(series, None, [absence])])

    use(work)

    assert [one.row for one in use(lambda store: store.absences(series, DAYS))] == ["a", None, "b", None]
