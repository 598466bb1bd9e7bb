"""A database that old scripts have filled: what is whole is held, the rest is fetched again, strays are named."""

from __future__ import annotations

import re
import shlex
from urllib.parse import urlencode

import pytest

MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
START_MS = END_MS - 4 * DAY_MS
KEY = "binance_ohlc,exchange=binance,symbol={symbol},timeframe=1m"
FIELDS = ("open", "high", "low", "close", "volume")


def lines(symbol, times_ms, truth, fields=FIELDS, *, key=KEY):
    """Lines as an old script would write them: some of the fields of the candle that the venue has."""
    made = []
    for time_ms in times_ms:
        values = dict(zip(FIELDS, truth[symbol, time_ms - time_ms % MINUTE_MS], strict=True))
        cells = ",".join(f"{field}={values[field]!r}" for field in fields)
        made.append(f"{key.format(symbol=symbol)} {cells} {time_ms}\n")
    return "".join(made)


def minutes(start_ms, count):
    return [start_ms + i * MINUTE_MS for i in range(count)]


def seals(place):
    """(symbol, day) -> candles, as another program sees them."""
    return {(row["symbol"], row["time"]): row["candles"] for row in place.rows("laklak_seals")}


def run_removal(place, statement):
    """Run a statement as the person would whom laklak has told it."""
    if place.kind == "1.x":
        place.server.ask(statement, place.name)
        return
    words = shlex.split(statement)
    assert words[:2] == ["influx", "delete"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    query = urlencode({"org": options["--org"], "bucket": options["--bucket"]})
    wanted = {name: options[f"--{name}"] for name in ("start", "stop", "predicate")}
    place.server.api("POST", f"/api/v2/delete?{query}", wanted)


def removals(err, symbol):
    """The statements that a run has printed for a symbol."""
    (line,) = [line for line in err.splitlines() if f"binance:{symbol}:1m" in line and "off the grid" in line]
    told = re.search(r"to remove them, [^:]*: (.*?)(?: \(and .*)?$", line)
    assert told is not None
    return told[1].split(" ; ")


def fill(place, known, without=()):
    """Write four days of LTCUSDT and ALGOUSDT as another program would, but for some minutes of LTCUSDT."""
    place.make()
    for symbol in ("LTCUSDT", "ALGOUSDT"):
        left_out = set(without) if symbol == "LTCUSDT" else set()
        place.put(lines(symbol, [time_ms for time_ms in minutes(START_MS, 5760) if time_ms not in left_out], known))


@pytest.fixture
def old(place, truth, recorded):
    """A place with the whole truth of four days of LTCUSDT and ALGOUSDT, written by another program."""
    fill(place, truth(recorded.symbols))
    return place


# What others wrote counts as from the venue itself, and here it is a simulator that mends it.
WORDS = ("backfill", "LTCUSDT", "ALGOUSDT", "--days", "4", "--json", "--other-address", "--store")


def test_every_fault_of_an_old_script_at_once(venue, here, place, truth, check_sum, recorded):
    known = truth(recorded.symbols)
    # LTCUSDT: 300 points over two days have nothing but a close, 20 at the end of a day lack just that, one minute was
    # deleted and a point stands 17 s after it, another to the nanosecond at the last moment of a day.
    close_only = minutes(START_MS + DAY_MS - 150 * MINUTE_MS, 300)
    no_close = minutes(START_MS + 3 * DAY_MS - 20 * MINUTE_MS, 20)
    gone_ms = START_MS + 5 * 60 * MINUTE_MS
    last_ns = (START_MS + DAY_MS) * 1_000_000 - 1
    fill(place, known, without=(*close_only, *no_close, gone_ms))
    place.put(lines("LTCUSDT", close_only, known, ["close"]))
    place.put(lines("LTCUSDT", no_close, known, ["open", "high", "low", "volume"]))
    place.put(lines("LTCUSDT", [gone_ms + 17_000], known))
    place.put_ns(f"{KEY.format(symbol='LTCUSDT')} close=1,open=1,high=1,low=1,volume=1 {last_ns}")
    # And points of the same symbol with one tag more, which are none of ours.
    foreign = "binance_ohlc,exchange=binance,source=old,symbol={symbol},timeframe=1m"
    place.put(lines("LTCUSDT", [gone_ms, gone_ms + 17_000], known, key=foreign))
    venue()

    ended = here(*WORDS, place.url)

    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"], answer["missing"]) == (0, True, 0), ended.err
    assert (answer["stored_before"], answer["written"], answer["not_whole"]) == (2 * 5760 - 321, 321, 320)
    assert "binance:LTCUSDT:1m: 320 candles were not whole: fetched again" in ended.err
    assert "ALGOUSDT:1m: " not in ended.err
    ours = {place: values for place, values in place.candles().items() if place[1] % MINUTE_MS == 0}
    assert {key: ours[key] for key in known if key[0] in ("LTCUSDT", "ALGOUSDT")} == {
        key: values for key, values in known.items() if key[0] in ("LTCUSDT", "ALGOUSDT")
    }

    # The strays are named, left alone, and what removes them takes nothing else.
    statements = removals(ended.err, "LTCUSDT")
    assert len(statements) == 2
    before = place.rows("binance_ohlc")
    assert sum(row["time"] % MINUTE_MS != 0 for row in before) == 3
    for statement in statements:
        run_removal(place, statement)
    after = {repr(row) for row in place.rows("binance_ohlc")}
    gone = [row for row in before if repr(row) not in after]
    if place.kind == "1.x":
        assert [row.get("source") for row in gone] == [None, None]
    else:
        # Its delete cannot leave out a series with more tags; the text says so.
        assert sorted(row.get("source") or "" for row in gone) == ["", "", "old"]
        assert "points of the same time that also have source go too" in ended.err
    assert {row["time"] % MINUTE_MS != 0 for row in gone} == {True}

    # Then all of it is whole, proven and sealed, and the third run believes the seals.
    again = here(*WORDS, place.url)
    assert (again.exit, again.json["written"], again.json["not_whole"]) == (0, 0, 0)
    assert "off the grid" not in again.err
    assert seals(place) == {
        (symbol, START_MS + day * DAY_MS): 1440 for symbol in ("LTCUSDT", "ALGOUSDT") for day in range(4)
    }


def test_a_minute_that_was_swapped_for_a_stray_is_seen_with_the_next_proof(venue, here, old, truth, recorded):
    venue()
    assert here(*WORDS, old.url).exit == 0
    gone_ms = START_MS + DAY_MS + 5 * 60 * MINUTE_MS
    old.erase_candle("LTCUSDT", gone_ms)

    # The count has changed: seen at once.
    found = here(*WORDS, old.url)
    assert (found.exit, found.json["written"]) == (0, 1)
    old.erase_candle("LTCUSDT", gone_ms)
    old.put(lines("LTCUSDT", [gone_ms + 17_000], truth(recorded.symbols)))

    # An edit that keeps the count: a seal cannot see it, --recheck does.
    believed = here(*WORDS, old.url)
    assert (believed.exit, believed.json["written"]) == (0, 0)
    proven = here(*WORDS, old.url, "--recheck")
    assert (proven.exit, proven.json["written"]) == (0, 1), proven.err
    assert (("LTCUSDT", gone_ms)) in old.candles()


def test_what_laklak_has_written_is_sealed_with_the_write(venue, here, place, recorded):
    venue()
    words = ("backfill", *recorded.symbols, "--start", "2026-02-25T12:00", "--end", "2026-03-01", "--json")

    assert here(*words, "--other-address", "--store", place.url).exit == 0

    half, whole = 720, 1440
    assert seals(place) == {
        (symbol, START_MS + day * DAY_MS): whole if day else half for symbol in recorded.symbols for day in range(4)
    }


def test_a_dry_run_names_what_is_not_whole_and_notes_nothing(venue, here, old, truth, recorded):
    old.erase_candle("ALGOUSDT", START_MS)
    old.put(lines("ALGOUSDT", [START_MS], truth(recorded.symbols), ["close"]))
    venue()

    ended = here(*WORDS, old.url, "--dry-run")

    assert (ended.exit, ended.json["to_fetch"], ended.json["stored_before"]) == (0, 1, 2 * 5760 - 1)
    assert "binance:ALGOUSDT:1m: 1 candle was not whole: to be fetched again" in ended.err
    assert seals(old) == {}


def test_many_strays_are_named_in_a_file(venue, here, old, truth, recorded, monkeypatch):
    strays = [START_MS + i * MINUTE_MS + 17_000 for i in range(40)]
    old.put(lines("LTCUSDT", strays, truth(recorded.symbols)))
    venue()

    ended = here(*WORDS, old.url)

    assert "40 points off the grid, the first at 2026-02-25T00:00:17Z" in ended.err
    (told,) = [line for line in ended.err.splitlines() if "statements that remove them are in" in line]
    path = told.rpartition(" are in ")[2]
    with open(path, encoding="utf-8") as file:
        statements = [line for line in file.read().splitlines() if not line.startswith("--")]
    assert len(statements) == 40
    for statement in statements:
        run_removal(old, statement)
    assert sum(row["time"] % MINUTE_MS != 0 for row in old.rows("binance_ohlc")) == 0
    assert len(old.candles()) == 2 * 5760


def test_candles_that_are_read_are_whole_ones(here, old, truth, recorded):
    last_ms = END_MS - MINUTE_MS
    old.erase_candle("LTCUSDT", last_ms)
    old.put(lines("LTCUSDT", [last_ms], truth(recorded.symbols), ["close"]))

    ended = here("show", "binance:LTCUSDT:1m", "--last", "2", "--store", old.url)

    assert ended.exit == 0, ended.err
    assert "2026-02-28T23:58Z" in ended.out
    assert "2026-02-28T23:59Z" not in ended.out
