"""Fills every half hour of a venue whose clock runs, some of them killed."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections import Counter

import pytest

from laklak.simulator import ContinuedSource
from laklak.simulator.dialects.binance import KLINES

HALF_HOUR_MS = 1_800_000
MINUTE_MS = 60_000
DAY_MS = 86_400_000
SYMBOLS = ("LTCUSDT", "DOTUSDT", "FILUSDT", "NEARUSDT")
WORDS = ("fill", *SYMBOLS, "--lookback", "24h", "--source", "rest", "--chunk", "99", "--workers", "2", "-q")


class HurriedClock:
    """The venue's clock: a minute each second, and between two turns as far on as the next one begins."""

    def __init__(self, start_ms):
        self._start_ms = start_ms
        self._since_s = time.monotonic()

    def now_ms(self):
        return self._start_ms + int((time.monotonic() - self._since_s) * MINUTE_MS)

    def go_on(self):
        """To the next half hour; gives it."""
        time_ms = (self.now_ms() // HALF_HOUR_MS + 1) * HALF_HOUR_MS
        self.__init__(time_ms)
        return time_ms


def minutes_asked(hits):
    asked = Counter()
    for hit in hits:
        if hit.path == KLINES and "endTime" in hit.query:
            times = range(int(hit.query["startTime"]), int(hit.query["endTime"]) + 1, MINUTE_MS)
            asked.update((hit.query["symbol"], time_ms) for time_ms in times)
    return asked


def candle_hits(hits):
    return sum(hit.path == KLINES for hit in hits)


@pytest.fixture
def held(sql):
    def read():
        try:
            return set(sql("SELECT symbol, open_time FROM candles"))
        except sqlite3.OperationalError:
            # There is no table yet.
            return set()

    return read


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("turns", "killed"),
    [
        pytest.param(6, {0, 2, 3}, id="three hours"),
        pytest.param(49, {0, 1, *range(4, 47, 3)}, id="a day", marks=pytest.mark.long),
    ],
)
def test_no_minute_is_missing_and_none_that_is_stored_is_asked_again_though_turns_are_killed(
    venue, recorded, laklak, held, stored, served, turns, killed
):
    source = ContinuedSource(recorded, seed=1)
    running = venue(source, clock="ticking", latency_s=0.03)
    begin_ms = running.simulator.market.clock.now_ms()
    clock = running.simulator.market.clock = HurriedClock(begin_ms)
    rng = random.Random(5)
    ended_ms = []

    for turn in range(turns):
        turn_ms = clock.go_on() if turn else begin_ms
        before, hits_before = held(), len(running.hits)
        if turn in killed:
            process = laklak.start(*WORDS)
            if turn == 0:
                # A part of the day is stored by then.
                laklak.stop_when(process, lambda: len(held()) > 500)
            else:
                running.wait_for_candle_hits(candle_hits(running.hits) + rng.randint(1, len(SYMBOLS)))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        else:
            ended = laklak(*WORDS)
            assert (ended.exit, ended.out, ended.err) == (0, "", "")
            ended_ms.append(turn_ms)
        asked = minutes_asked(running.hits[hits_before:])
        newest = dict(sorted(before)).items()
        # The newest candle of each series, less than a minute old when it came, is looked at once more.
        assert asked.keys() & before <= newest, f"turn {turn}"
        assert set(asked.values()) <= {1}, f"turn {turn}"

    rows = stored()
    for symbol in SYMBOLS:
        times = sorted(time_ms for one, time_ms in rows if one == symbol)
        assert times == list(range(times[0], times[-1] + 1, MINUTE_MS))
        # What the first turn that was not killed began with, up to what the last one found.
        assert times[0] <= ended_ms[0] - DAY_MS + 5 * MINUTE_MS
        assert times[-1] >= ended_ms[-1] - 2 * MINUTE_MS
    first_ms, last_ms = (edge(time_ms for _, time_ms in rows) for edge in (min, max))
    expected = served(source, SYMBOLS, first_ms, last_ms + 1)
    assert rows == {key: expected[key] for key in rows}
