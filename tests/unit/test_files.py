"""Which file is next, how many may be in memory, and what reading one gives."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars import DataFrame
from talks import quick

from laklak.archives import ARCHIVES
from laklak.archives.csv import read_files
from laklak.archives.sigint import uninterrupted
from laklak.archives.split import FilePart
from laklak.model.candles import Chunk
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.answers import FirstQuestion
from laklak.plan.missing import SeriesPlan
from laklak.report.ledger import Ledger
from laklak.simulator import Fault, Override, Simulator, SimulatorSettings, generate
from laklak.sources.archive import FileReader, NoCandles
from laklak.sources.backlog import Backlog
from laklak.tasks.memory import Memory
from laklak.tasks.stopping import Stopped, Stopper

ARCHIVE = ARCHIVES["binance"]
SERIES = Series("binance", "BTCUSDT", Interval.parse("1m"))
NOVEMBER_MS = 1_793_491_200_000
SOURCE = generate(symbols=1, days=3, end_ms=NOVEMBER_MS)
MONTH = 31 * 1440


def entries(days, series=SERIES):
    """Entries of a backlog: one daily file each."""
    wanted = TimeRange(0, days * DAY_MS)
    ledger = Ledger(SeriesPlan(series, wanted, None, 0, 0, 0, (wanted,)))
    return [
        (ledger, FilePart(ARCHIVE.day_file(series, day * DAY_MS), (TimeRange(day * DAY_MS, (day + 1) * DAY_MS),)))
        for day in range(days)
    ]


def day_of(entry):
    return entry[1].file.span.start_ms // DAY_MS


# The files of a backlog


def backlog_of(files, stopper=None):
    """A backlog with these entries, of which every first question was taken: there is none."""
    backlog = Backlog(stopper or Stopper())
    assert backlog.take(0.0) is None
    add(backlog, files)
    return backlog


def add(backlog, files):
    for ledger, part in files:
        backlog.add_files(ledger, [part])


def test_files_come_in_the_order_in_which_they_were_added():
    async def main():
        backlog = backlog_of(entries(3))
        return [day_of(await backlog.take_file()) for _ in range(3)], backlog.has_files

    assert asyncio.run(main()) == ([0, 1, 2], True)


def test_a_backlog_without_files_and_questions_is_through():
    async def main():
        backlog = backlog_of([])
        return await backlog.take_file(), backlog.has_files

    assert asyncio.run(main()) == (None, False)


def test_whoever_asks_while_a_file_is_under_way_gets_what_takes_its_place():
    async def main():
        first, *others = entries(3)
        backlog = backlog_of([first])
        await backlog.take_file()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(backlog.take_file()) for _ in range(3)]
            await asyncio.sleep(0)
            add(backlog, others)
            backlog.done(first)
            found = [await waiting[0], await waiting[1]]
            assert not waiting[2].done()
            for entry in found:
                backlog.done(entry)
        return [day_of(entry) for entry in found], waiting[2].result(), backlog.has_files

    assert asyncio.run(main()) == ([1, 2], None, False)


def test_whoever_asks_while_questions_are_open_that_may_bring_files_waits_for_them():
    async def main():
        [(ledger, part)] = entries(1)
        question = FirstQuestion(Chunk(SERIES, part.file.span, part.wanted))
        backlog = Backlog(Stopper(), [(ledger, iter([question.chunk]))])
        asked = backlog.take(0.0)
        assert backlog.take(0.0) is None
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(backlog.take_file()) for _ in range(2)]
            await asyncio.sleep(0)
            idle = backlog.has_files
            backlog.add_files(ledger, [part])
            found = await waiting[0]
            backlog.done(found)
            await asyncio.sleep(0)
            assert not waiting[1].done()
            backlog.done(asked)
        return idle, day_of(found), waiting[1].result()

    assert asyncio.run(main()) == (False, 0, None)


def test_nobody_who_asks_for_files_is_sent_away_before_the_first_question_is_taken():
    async def main():
        backlog = Backlog(Stopper())
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(backlog.take_file())
            await asyncio.sleep(0.01)
            idle = waiting.done()
            backlog.take(0.0)
        return idle, waiting.result()

    assert asyncio.run(main()) == (False, None)


def test_a_stop_ends_the_wait_for_a_file():
    async def main():
        stopper = Stopper()
        backlog = backlog_of(entries(1), stopper)
        await backlog.take_file()
        asyncio.get_running_loop().call_soon(stopper.request)
        with pytest.raises(Stopped):
            await backlog.take_file()

    asyncio.run(main())


def test_after_a_stop_no_file_is_handed_out():
    async def main():
        stopper = Stopper()
        backlog = backlog_of(entries(1), stopper)
        stopper.request()
        with pytest.raises(Stopped):
            await backlog.take_file()
        return backlog.has_files

    assert asyncio.run(main())


def test_files_that_are_through_at_once_leave_others_their_turn():
    async def main():
        backlog = backlog_of(entries(1) * 17_000)
        turns = 0

        async def others():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with asyncio.TaskGroup() as group:
            beside = group.create_task(others())
            while (entry := await backlog.take_file()) is not None:
                backlog.done(entry)
            beside.cancel()
        return turns

    assert asyncio.run(main()) >= 17_000


# Memory


def test_one_file_always_fits_however_large():
    async def main():
        memory = Memory(100)
        await memory.take(1000)
        memory.give_back(1000)
        await memory.take(1000)

    asyncio.run(main())


def test_whoever_finds_no_room_waits_until_enough_was_given_back(virtually):
    async def main():
        memory = Memory(100)
        for candles in (60, 30, 10):
            await memory.take(candles)
        waiting = asyncio.create_task(memory.take(35))
        given = []
        for candles in (10, 30):
            memory.give_back(candles)
            await asyncio.sleep(1)
            given.append(waiting.done())
        return given

    assert virtually(main()) == [False, True]


def test_room_is_given_in_the_order_of_asking(virtually):
    async def main():
        memory = Memory(100)
        await memory.take(100)
        served = []

        async def ask(candles):
            await memory.take(candles)
            served.append(candles)

        async with asyncio.TaskGroup() as group:
            for candles in (90, 1, 2):
                group.create_task(ask(candles))
            await asyncio.sleep(1)
            memory.give_back(50)
            await asyncio.sleep(1)
            # There is room for the small ones, but the large one came first.
            assert served == []
            memory.give_back(50)
        return served

    assert virtually(main()) == [90, 1, 2]


def test_whoever_gives_up_waiting_takes_no_room_and_lets_the_next_one_in(virtually):
    async def main():
        memory = Memory(100)
        await memory.take(100)
        first, second = (asyncio.create_task(memory.take(candles)) for candles in (100, 40))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        memory.give_back(60)
        await asyncio.sleep(1)
        return first.cancelled(), second.done()

    assert virtually(main()) == (True, True)


@given(st.lists(st.tuples(st.integers(1, 150), st.integers(0, 5), st.booleans()), max_size=30))
def test_what_is_in_memory_never_exceeds_the_bound_but_for_one_large_file(virtually, files):
    async def main():
        memory = Memory(100)
        held = []

        async def use(candles, seconds, is_given_up):
            async with asyncio.timeout(1 if is_given_up else None):
                await memory.take(candles)
            held.append(candles)
            assert sum(held) <= 100 or len(held) == 1
            await asyncio.sleep(seconds)
            held.remove(candles)
            memory.give_back(candles)

        await asyncio.gather(*(use(*file) for file in files), return_exceptions=True)
        # Nothing has leaked.
        await asyncio.wait_for(memory.take(100), 1)

    virtually(main())


# Reading


def read(conversation, *, source=SOURCE, unpacked=4, stopper=None, **settings):
    """Run a conversation with a reader of a simulated archive; give what it gave, and the simulator's counts."""

    async def main():
        options = {"clock_ms": NOVEMBER_MS + DAY_MS, **settings}
        async with (
            Simulator(source, SimulatorSettings(**options)) as simulator,
            FileReader(
                ARCHIVE, simulator.url, stopper=stopper or Stopper(), connections=8, unpacked=unpacked, timing=quick()
            ) as reader,
        ):
            return await conversation(reader), simulator.stats

    return asyncio.run(main())


def a_day(before=1):
    file = ARCHIVE.day_file(SERIES, NOVEMBER_MS - before * DAY_MS)
    return FilePart(file, (file.span,))


def room(memory):
    """How much of it is taken."""
    return memory._used


async def of_yesterday(reader):
    [found] = await reader.read(a_day())
    return found.checked, room(reader.memory)


def test_a_sound_file_gives_its_candles_and_keeps_its_room():
    (found, taken), stats = read(of_yesterday)

    assert list(found.candles.open_times) == list(range(NOVEMBER_MS - DAY_MS, NOVEMBER_MS, MINUTE_MS))
    assert (found.refusals, taken) == ((), 1440)
    assert stats.archive == {("daily zip", 200): 1, ("daily checksum", 200): 1}


@pytest.mark.parametrize(
    ("fault", "reason", "zips"),
    [
        ("archive-missing", "absent", 1),
        ("archive-checksum", "checksum", 1),
        ("archive-cut", "zip", 1),
        ("archive-reversed", "csv", 1),
        ("archive-bomb", "archive_refused", 1),
    ],
)
def test_a_file_that_gives_nothing_says_why_and_takes_no_room(fault, reason, zips):
    (found, taken), stats = read(of_yesterday, faults=[Fault(fault, 1.0)])

    assert isinstance(found, NoCandles)
    assert (found.reason, found.absent, taken) == (reason, reason == "absent", 0)
    assert "BTCUSDT-1m-2026-10-31" in found.detail
    assert sum(count for (name, _), count in stats.archive.items() if name == "daily zip") == zips


def test_a_checksum_that_is_wrong_once_costs_a_second_download_only():
    async def conversation(reader):
        [first] = await reader.read(a_day())
        return first.checked.is_worth_another, await of_yesterday(reader)

    (again, (found, taken)), stats = read(conversation, faults=[Fault("archive-flaky-checksum", 1.0)])

    assert again
    assert (len(found.candles), taken, stats.archive["daily zip", 200]) == (1440, 1440, 2)


def test_only_a_wrong_checksum_is_worth_another_download():
    reasons = ("absent", "unreachable", "zip", "csv", "archive_refused", "checksum")

    assert [reason for reason in reasons if NoCandles(reason, "").is_worth_another] == ["checksum"]


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_file_without_a_checksum_is_not_believed(status):
    def script(path, query, number):
        return Override(status=status) if path.endswith(".CHECKSUM") else None

    (found, taken), _ = read(of_yesterday, archive_script=script)

    assert (found.reason, taken) == ({404: "checksum", 403: "archive_refused", 500: "unreachable"}[status], 0)


def test_an_archive_that_is_down_is_not_asked():
    async def conversation(reader):
        reader._downloader.dead = True
        return await reader.read(a_day())

    [found], stats = read(conversation)

    assert (found.checked.reason, sum(stats.archive.values())) == ("unreachable", 0)


def test_files_wait_for_room_before_they_are_unpacked():
    async def conversation(reader):
        # All but the room of two days is taken.
        await reader.memory.take(MONTH - 2 * 1440)
        reading = asyncio.gather(*(reader.read(a_day(before)) for before in (1, 2, 3)))
        await asyncio.wait([reading], timeout=0.3)
        waited = not reading.done(), room(reader.memory)
        reader.memory.give_back(1440)
        return waited, sorted(len(one.checked.candles) for found in await reading for one in found)

    (waited, lengths), _ = read(conversation, unpacked=1)

    assert (waited, lengths) == ((True, MONTH - 2 * 1440), [3 * 1440])


async def of_three_days(reader):
    """What three days give that are under way at once, and how much room is taken then."""
    found = await asyncio.gather(*(reader.read(a_day(before)) for before in (1, 2, 3)))
    return [one for several in found for one in several], room(reader.memory)


def days_before(found):
    return sorted((NOVEMBER_MS - part.file.span.start_ms) // DAY_MS for part in found.parts)


def test_files_of_a_series_that_are_under_way_at_once_are_read_together():
    ([found], taken), stats = read(of_three_days)

    times = range(NOVEMBER_MS - 3 * DAY_MS, NOVEMBER_MS, MINUTE_MS)
    assert (found.checked.candles.open_times, days_before(found), taken) == (times, [1, 2, 3], 3 * 1440)
    assert stats.archive == {("daily zip", 200): 3, ("daily checksum", 200): 3}


@pytest.mark.parametrize("fault", ["archive-missing", "archive-bomb"])
@pytest.mark.parametrize("before", [1, 2, 3])
def test_a_file_that_is_not_got_gives_nothing_and_the_others_are_read_together(fault, before):
    day = f"2026-10-{32 - before}"

    (found, taken), _ = read(of_three_days, faults=[Fault(fault, symbol="BTCUSDT", period=day)])

    gave = {tuple(days_before(one)): getattr(one.checked, "reason", "candles") for one in found}
    reason = {"archive-missing": "absent", "archive-bomb": "archive_refused"}[fault]
    assert gave == {(before,): reason, tuple({1, 2, 3} - {before}): "candles"}
    assert taken == 2 * 1440


@pytest.mark.parametrize(
    ("fault", "reason", "zips"),
    [
        ("archive-checksum", "checksum", 3),
        ("archive-cut", "zip", 3),
        ("archive-reversed", "csv", 3),
    ],
)
def test_a_bad_file_among_those_that_are_read_together_says_so_by_itself(fault, reason, zips):
    (found, taken), stats = read(of_three_days, faults=[Fault(fault, symbol="BTCUSDT", period="2026-10-30")])

    gave = {day: getattr(one.checked, "reason", "candles") for one in found for day in days_before(one)}
    assert gave == {1: "candles", 2: reason, 3: "candles"}
    assert taken == 1440 * list(gave.values()).count("candles")
    assert stats.archive["daily zip", 200] == zips


def test_no_more_days_are_read_together_than_a_month_has():
    source = generate(symbols=1, days=34, end_ms=NOVEMBER_MS)

    async def conversation(reader):
        found = await asyncio.gather(*(reader.read(a_day(before)) for before in range(1, 35)))
        return sorted(len(one.parts) for several in found for one in several)

    assert read(conversation, source=source)[0] == [3, 31]


def test_a_month_does_not_wait_for_the_days_that_are_under_way():
    source = generate(symbols=1, days=35, end_ms=NOVEMBER_MS + 3 * DAY_MS)
    file = ARCHIVE.month_file(SERIES, NOVEMBER_MS - DAY_MS)
    month = FilePart(file, (file.span,))
    slow = [Fault("archive-slow", symbol="BTCUSDT", period="2026-11-01", detail="60s")]

    async def conversation(reader):
        beside = asyncio.create_task(reader.read(a_day(0)))
        [found] = await reader.read(month)
        early = not beside.done()
        beside.cancel()
        return found.parts, len(found.checked.candles), early

    found, _ = read(conversation, source=source, faults=slow, clock_ms=NOVEMBER_MS + 5 * DAY_MS)
    assert found == ([month], MONTH, True)


def test_a_stop_ends_the_wait_for_room():
    stopper = Stopper()

    async def conversation(reader):
        await reader.memory.take(MONTH)
        reading = asyncio.create_task(reader.read(a_day()))
        await asyncio.wait([reading], timeout=0.3)
        waited = not reading.done()
        stopper.request()
        with pytest.raises(Stopped):
            await reading
        return waited, room(reader.memory)

    assert read(conversation, unpacked=1, stopper=stopper)[0] == (True, MONTH)


def test_reading_that_is_cancelled_gives_its_room_back(monkeypatch):
    in_thread, go_on = threading.Event(), threading.Event()

    def read_files(*_):
        in_thread.set()
        go_on.wait(10)

    monkeypatch.setattr("laklak.sources.archive.read_files", read_files)

    async def conversation(reader):
        reading = asyncio.create_task(reader.read(a_day()))
        await asyncio.to_thread(in_thread.wait, 10)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        go_on.set()
        return room(reader.memory)

    assert read(conversation)[0] == 0


def test_a_download_that_fails_is_named():
    (found, _), _ = read(of_yesterday, faults=[Fault("archive-5xx", 1.0)])

    assert (found.reason, found.detail.startswith("BTCUSDT-1m-2026-10-31.zip: ")) == ("unreachable", True)


def test_a_file_that_polars_gives_up_at_ctrl_c_is_read_again(monkeypatch):
    given_up = []

    def read_or_not(*words):
        if len(given_up) < 2:
            given_up.append(words)
            raise KeyboardInterrupt("")
        return read_files(*words)

    monkeypatch.setattr("laklak.sources.archive.read_files", read_or_not)

    (found, taken), _ = read(of_yesterday)

    assert (len(found.candles), taken, len(given_up)) == (1440, 1440, 2)


def test_candles_that_polars_does_not_spell_at_ctrl_c_are_spelled_again(monkeypatch):
    (found, _), _ = read(of_yesterday)
    around = ("<", ",", ",", ",", ",", " ", ">\n")
    before, given_up = found.candles.encode(around), []
    select = DataFrame.select

    def select_or_not(*words):
        if not given_up:
            given_up.append(words)
            raise KeyboardInterrupt("")
        return select(*words)

    monkeypatch.setattr(DataFrame, "select", select_or_not)

    assert (found.candles.encode(around), len(given_up)) == (before, 1)


def test_a_ctrl_c_of_the_user_is_not_held_back():
    @uninterrupted
    def work():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
