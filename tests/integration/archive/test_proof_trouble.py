"""Holes are held against files whatever fails, and whenever a run is stopped."""

from __future__ import annotations

import random
import signal
import threading

import pytest
from bulk_files import backfill
from lost_minutes import (
    FILE,
    MORNING,
    account,
    lose,
    symbol,
    wait_for,
    whole,
    zips,
)
from lying_venue import FILES, KLINES, minutes, ms

# Stops, and an API that is lost


@pytest.mark.parametrize("known", [False, True])
def test_a_stop_while_files_are_asked_ends_the_run_and_the_next_one_completes_it(known, lying, laklak, stored, noted):
    words = ("backfill", "AAAUSDT", "--start", MORNING["start"], "--end", MORNING["end"], "--json")
    if known:
        assert laklak(*words, "--source", "rest").exit == 0

    def tell(asked):
        if asked.path.endswith(".zip"):
            released.wait(20)
        return None

    released = threading.Event()
    lying.tell = tell
    lying.forget()
    process = laklak.start(*words)
    wait_for(lying, FILES)
    process.send_signal(signal.SIGTERM)
    ended = laklak.wait(process)
    released.set()

    answer = ended.json
    assert (ended.exit, answer["holes"], answer["missing"]) == ((143, 30, 0) if known else (143, 0, 30))
    assert answer["wanted"] == sum(
        answer[part] for part in ("stored_before", "written", "holes", "rejected", "missing")
    )
    assert len(noted()) == (30 if known else 0)
    lying.tell = lambda asked: None
    again = laklak(*words)
    assert (again.exit, again.json["written"], again.json["holes"], again.json["missing"]) == (0, 30, 0, 0)
    assert whole(stored, "2026-03-01T06:30", 90)


def test_an_api_that_refuses_the_series_in_the_end_leaves_what_the_file_has(lying, stored):
    """Its second half is refused for good when the first one has left minutes that wait for their file."""
    asked = []

    def tell(hit):
        if hit.path == KLINES:
            asked.append(hit)
            return (400, b'{"code":-1122,"msg":"Invalid symbol status."}') if len(asked) > 4 else None
        return None

    lying.tell = tell
    summary = backfill("AAAUSDT", **MORNING, chunk=60, workers=1)

    assert account(summary) == (0, 90, 0, 0)
    assert whole(stored, "2026-03-01T06:30", 90)


def test_a_question_that_fails_and_comes_back_asks_each_file_once(lying, stored, timing):
    timing(backoff_most_s=0.01)
    late = ms("2026-03-01T07:30")
    symbol(lying).holes |= minutes("2026-03-01T07:40", 3)
    lose(lying, minutes("2026-03-01T07:40", 3))
    failed = []

    def tell(asked):
        if asked.path == KLINES and asked.query.get("startTime") == str(late) and len(failed) < 8:
            failed.append(asked)
            return 503, b""
        return None

    lying.tell = tell

    summary = backfill("AAAUSDT", **MORNING, chunk=60, workers=1)

    assert (account(summary), len(failed)) == ((0, 87, 3, 0), 8)
    assert zips(lying) == [FILE]


def test_a_region_that_is_refused_at_the_end_does_not_keep_files_from_being_asked(lying, stored):
    lying.tell = lambda asked: (
        (451, b"{}") if asked.path == "/fapi/v1/klines" and len(lying.asked(KLINES)) > 2 else None
    )

    summary = backfill("AAAUSDT", **MORNING, chunk=1000, workers=1)

    assert account(summary) == (0, 90, 0, 0)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_whatever_fails_every_run_ends_and_adds_up_and_in_the_end_both_sources_are_stored(
    seed, lying, check_sum, stored, timing
):
    timing(backoff_most_s=0.01)
    dice = random.Random(seed)
    names = ["AAAUSDT", "BBBUSDT", "CCCUSDT"]
    everything = minutes("2026-03-01", 2 * 1440)
    for name in names:
        spans = [minutes(dice.choice(sorted(everything)), dice.choice([1, 5, 40, 300])) for _ in range(6)]
        lying.list(name, first="2026-02-01", holes=set().union(*spans[:4]), file_holes=set().union(*spans[2:]))

    def tell(asked):
        if asked.path.startswith(FILES):
            # The same for a file and its checksum, however often it is asked.
            drawn = random.Random(f"{seed} {asked.path.removesuffix('.CHECKSUM')}").random()
            return (503, b"") if drawn < 0.3 else (404, b"") if drawn < 0.6 else None
        return (503, b"") if asked.path == KLINES and dice.random() < 0.1 else None

    lying.tell = tell
    span = {"start": "2026-03-01", "end": "2026-03-03", "chunk": dice.choice([99, 400]), "workers": dice.choice([1, 4])}
    for options in ({}, {"source": "rest"}, {}, {"refetch": True}, {"recheck": True}):
        summary = backfill(*names, **span, **options)
        check_sum(summary.as_json())
        assert summary.error is None
        assert summary.files.done == summary.files.planned
    lying.tell = lambda asked: None
    # The second one settles what two answers of the first one contradicted.
    for options in ({}, {"recheck": True}, {}):
        summary = backfill(*names, **span, **options)
    symbols = lying.symbols
    both = {
        (name, open_ms) for name in names for open_ms in everything & symbols[name].holes & symbols[name].file_holes
    }

    assert (summary.exit, summary.missing, summary.holes) == (0, 0, len(both))
    assert set(stored()) == {(name, open_ms) for name in names for open_ms in everything} - both
