"""Processes of one machine share what they may spend: here each is a limiter of its own, on the same folder."""

from __future__ import annotations

import asyncio
import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.venues.base import Quota
from laklak.wire.limiter import Limiter
from laklak.wire.quota import Share
from laklak.wire.shared import LifeSign, SharedWindow, sweep

MINUTE = Quota(240, 60.0)


class Process:
    """A limiter as a process has it. `die` leaves what a killed one leaves."""

    def __init__(self, folder, units=120, quota=MINUTE, make=True, heaviest=1):
        self.presence = LifeSign(folder)
        self.windows = []

        def share_window(name, seconds):
            window = SharedWindow(
                folder / f"quota-{name}-{seconds:g}.spent", seconds, self.presence, make=make, clock=now
            )
            self.windows.append(window)
            return window

        self.limiter = Limiter(
            {"weight": Share(quota, units, heaviest)}, next_window_s=lambda seconds: seconds, share_window=share_window
        )

    async def spend(self, units=1, answered=True):
        payment = await self.limiter.pay({"weight": units})
        if answered:
            self.limiter.answered(payment)
        return payment

    def close(self):
        self.limiter.close()
        self.presence.close()

    def die(self):
        for handle in (self.presence._handle, *(window._handle for window in self.windows)):
            if handle is not None:
                os.close(handle)

    @property
    def is_sharing(self):
        return all(window.is_shared for window in self.windows)


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def now():
    return asyncio.get_running_loop().time()


def most_in_any_minute(arrivals):
    """Units; `arrivals` is (moment, units) of each request."""
    arrivals = sorted(arrivals)
    return max(
        sum(units for other, units in arrivals[: at + 1] if moment - 60 <= other)
        for at, (moment, _) in enumerate(arrivals)
    )


async def quickly(process, count):
    """Spend without the pace: as after many processes that began one after the other."""
    for _ in range(count):
        process.limiter.first._drawn = 1
        await process.spend()


@pytest.mark.parametrize(("share", "heaviest"), [(20, 1), (128, 8)], ids=["none is taken ahead", "some is taken ahead"])
@settings(max_examples=examples(6, everyday=3), deadline=None)
@given(
    ways=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 20), st.sampled_from([1, 1, 8])), min_size=5, max_size=8),
    processes=st.integers(2, 3),
    dies_after=st.integers(3, 10),
)
def test_no_minute_at_the_venue_holds_more_than_the_share_whoever_sends_and_dies(
    virtually, tmp_path_factory, share, heaviest, ways, processes, dies_after
):
    folder, arrivals = tmp_path_factory.mktemp("state"), []

    async def work(process):
        for there_s, back_s, units in ways:
            payment = await process.limiter.pay({"weight": min(units, heaviest)})
            await asyncio.sleep(there_s)
            arrivals.append((now(), min(units, heaviest)))
            await asyncio.sleep(back_s)
            process.limiter.answered(payment)

    async def killed():
        process = Process(folder, units=share, heaviest=heaviest)
        for _ in range(dies_after):
            await process.spend(answered=False)
            arrivals.append((now(), 1))
        process.die()

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(killed())
            for _ in range(processes):
                process = Process(folder, units=share, heaviest=heaviest)
                for _ in range(3):
                    group.create_task(work(process))

    virtually(main(), oversleep_s=0.001)

    assert len(arrivals) == dies_after + processes * 3 * len(ways)
    assert most_in_any_minute(arrivals) <= share


def test_who_sends_often_looks_at_what_others_spent_for_few_of_its_requests(virtually, state, monkeypatch):
    async def main():
        process, looks = Process(state, 6_000_000, Quota(6_000_000, 60.0), heaviest=100), []
        enter = SharedWindow.enter
        monkeypatch.setattr(SharedWindow, "enter", lambda window: looks.append(1) or enter(window))
        for _ in range(160):
            await process.spend(100)
        return len(looks)

    assert virtually(main()) < 30


def test_what_was_taken_ahead_is_left_to_others_when_the_answers_have_come(virtually, state):
    async def main():
        process, other = (Process(state, 12_000, Quota(12_000, 60.0), heaviest=10) for _ in range(2))
        await process.spend(10)
        await asyncio.sleep(1)
        window = process.windows[0]
        other.windows[0].enter()
        spent = other.windows[0].others()
        other.windows[0].leave()
        return spent, window.covers(1)

    assert virtually(main()) == (10, False)


def test_what_a_killed_process_took_stays_charged_until_its_window_has_passed(virtually, state):
    async def main():
        killed, other = Process(state, units=20), Process(state, units=20)
        await quickly(killed, 10)
        for _ in range(10):
            killed.limiter.first._drawn = 1
            await killed.spend(answered=False)
        began = now()
        killed.die()
        await other.spend()
        return now() - began

    assert 60 <= virtually(main()) < 63


def test_what_a_process_that_has_ended_took_counts_for_the_next_one(virtually, state):
    async def main():
        first = Process(state, units=20)
        await quickly(first, 20)
        began = now()
        first.close()
        await Process(state, units=20).spend()
        return now() - began, sorted(path.name for path in state.glob("*.alive"))

    waited_s, alive = virtually(main())

    assert 59 <= waited_s < 63
    assert len(alive) == 1  # the second one's


@pytest.mark.parametrize("ended", [False, True])
def test_who_may_spend_more_has_not_taken_it_from_who_may_spend_less_and_all_keep_to_the_more(virtually, state, ended):
    async def main():
        large, small = Process(state, units=40), Process(state, units=20)
        await quickly(large, 30)
        if ended:
            large.close()
        began = now()
        await quickly(small, 10)
        at_once_s = now() - began
        await quickly(small, 1)
        return at_once_s, now() - began

    at_once_s, waited_s = virtually(main())

    assert at_once_s < 1
    assert 59 <= waited_s < 63


def test_what_a_process_might_have_spent_is_forgotten_with_its_window(virtually, state):
    async def main():
        large = Process(state, units=40)
        await quickly(large, 1)
        large.close()
        await asyncio.sleep(70)
        first = Process(state, units=20)
        await quickly(first, 20)
        began = now()
        await Process(state, units=20).spend()
        return now() - began

    assert virtually(main()) > 50


def test_whoever_has_waited_for_longer_goes_first(virtually, state):
    async def main():
        full, *waiting = (Process(state, units=20) for _ in range(4))
        await quickly(full, 20)
        served = []

        async def one(number, process):
            await asyncio.sleep(number)
            process.limiter.first._drawn = 1
            await process.spend()
            served.append(number)

        async with asyncio.TaskGroup() as group:
            for number, process in enumerate(waiting):
                group.create_task(one(number, process))
        return served

    assert virtually(main()) == [0, 1, 2]


def test_two_that_are_hungry_get_alike(virtually, state):
    async def main():
        end_s = now() + 300

        async def work(process):
            count = 0
            while now() < end_s:
                await process.spend()
                count += 1
            return count

        return await asyncio.gather(*(work(Process(state, units=120)) for _ in range(2)))

    one, other = virtually(main(), oversleep_s=0.002)

    assert 0.95 * 600 <= one + other <= 720
    assert abs(one - other) < 0.2 * (one + other)


def test_what_others_noted_since_the_loop_looked_at_its_clock_counts(virtually, state):
    async def main():
        loop = asyncio.get_running_loop()
        halted, other = Process(state, units=20), Process(state, units=20)
        await quickly(halted, 1)
        before = now()
        loop.jump(300)
        await quickly(other, 19)
        # It went to sleep after it had looked, and before it locked the file.
        halted.limiter._now = lambda: before
        turn = asyncio.ensure_future(quickly(halted, 1))
        await asyncio.sleep(20)
        return turn.done()

    assert not virtually(main())


def test_alone_nothing_is_slower_for_being_shared(virtually, state):
    async def main():
        process, start_s = Process(state, units=120), now()
        for _ in range(240):
            await process.spend()
        return now() - start_s

    assert virtually(main()) == pytest.approx(240 / (0.98 * 2), rel=0.01)


def test_what_lies_ahead_is_from_before_the_machine_was_started(virtually, state):
    async def main(moment):
        asyncio.get_running_loop().jump(moment - now())
        process, began = Process(state, units=20), now()
        await quickly(process, 20)
        process.close()
        return now() - began

    virtually(main(90_000.0))

    assert virtually(main(1_000.0)) < 2


def corrupt(path, at, raw):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(raw)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:500]),
        lambda path: path.write_bytes(bytes(len(path.read_bytes()))),
        lambda path: corrupt(path, 30, os.urandom(4000)),
        lambda path: corrupt(path, 16, struct.pack("<q", 10**12)),
    ],
    ids=["empty", "cut off", "zeros", "garbage", "a slot that has spent everything"],
)
def test_a_file_that_is_spoiled_in_the_middle_of_a_run_begins_anew(virtually, state, spoil):
    async def main():
        first, second = Process(state), Process(state)
        await first.spend()
        await second.spend()
        (path,) = state.glob("*.spent")
        spoil(path)
        began = now()
        await first.spend()
        await second.spend()
        return now() - began, first.is_sharing and second.is_sharing

    waited_s, sharing = virtually(main())

    assert waited_s < 5
    assert sharing


def test_a_file_that_is_removed_in_the_middle_of_a_run_is_made_again(virtually, state):
    async def main():
        process = Process(state)
        await process.spend()
        for path in state.iterdir():
            path.unlink()
        await asyncio.sleep(2)
        await process.spend()
        return process.is_sharing

    assert virtually(main())
    assert len(list(state.glob("*.spent"))) == len(list(state.glob("*.alive"))) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("what somebody keeps here"),
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("/proc/version"),
    ],
    ids=["a text", "a folder", "a fifo", "what nobody may write"],
)
def test_a_file_of_somebody_else_costs_only_the_sharing(virtually, state, make, caplog):
    path = state / "quota-weight-60.spent"
    make(path)
    before = path.read_bytes() if path.is_file() else None

    async def main():
        process = Process(state)
        for _ in range(3):
            await process.spend()
        return process.is_sharing

    assert not virtually(main())
    assert "limits not shared" in caplog.text
    if before is not None and not path.is_symlink():
        assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_costs_only_the_sharing(virtually, state):
    (state / "file").write_text("")

    async def main():
        process = Process(state / "file" / "state")
        await process.spend()
        return process.is_sharing

    assert not virtually(main())


def test_whoever_only_looks_makes_nothing_and_counts_where_others_share(virtually, state):
    async def main():
        looking = Process(state, units=20, make=False)
        await looking.spend()
        made = list(state.iterdir())
        await quickly(Process(state, units=20), 20)
        began = now()
        await Process(state, units=20, make=False).spend()
        return made, now() - began

    made, waited_s = virtually(main())

    assert made == []
    assert waited_s > 55


def test_files_that_nobody_has_touched_for_long_go(state):
    old, held, new = (state / f"quota-{name}.spent" for name in ("old", "held", "new"))
    for path in (old, held, new):
        path.write_bytes(b"")
    presence = LifeSign(state)
    presence.show()
    for path in (old, *state.glob("*.alive")):
        os.utime(path, (0, 0))

    sweep(state)

    assert not old.exists()
    assert new.exists()
    assert len(list(state.glob("*.alive"))) == 1  # its process lives
    presence.close()
