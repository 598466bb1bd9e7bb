"""Whatever an answer holds, reading it ends in its true candles, in fewer of them, or in DecodeError: all venues.

What no reader can know stands here too: that prices and volumes which keep the rules are not the market's, and that
a page is of another symbol where the answer names none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import START, Played, played, taken

from laklak.engine import edges, search
from laklak.model.candles import Chunk
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange, check_symbol
from laklak.plan.answers import FirstQuestion
from laklak.plan.rows import Checked
from laklak.simulator.badrows import BAD_ROW_KINDS, break_row
from laklak.simulator.rows import CLOSE_TIME, OPEN_TIME
from laklak.sources.forms import read_answer
from laklak.venues import VENUES
from laklak.venues.base import LAST_MS, Answer, Asked, DecodeError, Meaning, Venue, unlisted

RECORDED = Path(__file__).parents[1] / "recorded"
SAMPLES = sorted(path for path in RECORDED.glob("*/answers/*") if path.parts[-3] in VENUES and path.suffix != ".gz")
ERRORS = [path for path in SAMPLES if "error" in path.name and path.name != "rate_limit_errors.json"]

every_one = pytest.mark.parametrize("one", played(), ids=repr)


def raw(text):
    return orjson.Fragment(text)


# None of these can stand in a candle, in whatever cell.
NO_CELLS = [
    *(
        None,
        True,
        False,
        -1,
        "",
        " ",
        "x",
        "NaN",
        "Infinity",
        "1e5",
        "0x10",
        "1_0",
        "+1",
        "-1",
        "1.",
        ".5",
        "01",
        "1,2",
    ),
    *("１２", "9" * 30),
    *map(raw, (b"[]", b"{}", b"[1]", b'{"symbol": 5}', b"1" + b"0" * 30, b"[" * 1000 + b"]" * 1000)),
]
# And these are no JSON, or no number that there is.
NO_JSON = [b"1e400", b"-1e400", b"NaN", b"Infinity", b"01", b"\xff", b'"\xff"', b'"\\ud800"', b"'1'", b"//"]
# And these are no answers.
NO_ANSWERS = [
    *(b"", b" ", b"null", b"0", b'""', b"[", b"{", b"[]]", b"\xef\xbb\xbf[]", b"\xff\xfe[\x00]\x00", bytes(9)),
    *(b"<html><body>We will be back soon.</body></html>\n", b"Edge: Too Many Requests", b'{"code":'),
    *(b"[" * 10_000_000, b'{"a":' * 2_000_000, b"[" * 5_000_000 + b"]" * 5_000_000),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a value of JSON something stands, as deep as answers are."""
    if len(path) > 9:
        return
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*path, key)
        yield from places(one, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with another one at a place; `...` takes away what is there."""
    if not path:
        return new
    inside = at(value, path[:-1])
    if new is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = new
    return value


def changed(body: bytes, path: tuple[Any, ...], new: Any) -> bytes:
    """The body with another value at a place."""
    return orjson.dumps(put(orjson.loads(body), path, new))


def read(venue: Venue, body: bytes, asked: Asked) -> Checked | None:
    """What the engine takes of a body, None where it is no answer; any other exception fails the test."""
    chunk = Chunk(asked.series, asked.span, (asked.span,))
    try:
        return read_answer(venue, FirstQuestion(chunk), asked, Answer(200, {}, body))
    except DecodeError as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 500
    return None


def candles(checked: Checked | None) -> dict[int, tuple[float, ...]]:
    return {} if checked is None else taken(checked)


def shifted(row: bytes, by_ms: int) -> bytes:
    """A row of the simulator's of another time."""
    cells = orjson.loads(row)
    cells[OPEN_TIME] += by_ms
    cells[CLOSE_TIME] += by_ms
    return orjson.dumps(cells)


def plain(one: Played, count: int = 5) -> tuple[Asked, bytes]:
    asked = one.asked(count)
    return asked, one.answer(one.venue.candles_request(asked)).body


def spelled(one: Played, asked: Asked, rows: list[bytes]) -> bytes:
    """An answer to the question with other rows in it."""
    return one.spelled(one.understood(one.venue.candles_request(asked)), rows).body


# One value is wrong


@every_one
def test_a_value_that_can_be_no_cell_makes_no_candle_wherever_it_stands(one):
    asked, body = plain(one)
    truth = one.truth(asked.span)
    assert candles(read(one.venue, body, asked)) == truth
    told = {session for session in one.page(Answer(200, {}, body), asked).sessions or () if session.clip(asked.span)}
    for path in places(orjson.loads(body)):
        for new in (..., *NO_CELLS):
            checked = read(one.venue, changed(body, path, new), asked)

            assert candles(checked).items() <= truth.items(), (path, new)
            # Nor is time in which there was trade told to have been closed, where a session is not just left out.
            if new is not ... and checked is not None and checked.sessions is not None:
                assert told <= {*checked.sessions}, (path, new)


@every_one
def test_a_search_for_an_end_finds_true_candles_or_none(one):
    asked, body = plain(one)
    times = [*one.truth(asked.span)]
    feed = SimpleNamespace(venue=one.venue, now_ms=lambda: asked.span.end_ms)
    readers = search._times(feed, asked), edges._open_times(feed, replace(asked, anywhere=True), asked.span.end_ms)
    for path in places(orjson.loads(body)):
        for new in NO_CELLS:
            for reader in readers:
                try:
                    found = reader(Answer(200, {}, changed(body, path, new)))
                except DecodeError as error:
                    said = str(error)
                else:
                    # A candle that a delayed feed or a clock has behind the span may come with it.
                    assert {*found} <= {*times, asked.span.end_ms}
                    said = ""
                assert not said or said.isprintable()


@every_one
def test_a_cell_too_many_moves_no_cell_into_the_place_of_another(one):
    asked, body = plain(one)
    truth = one.truth(asked.span)
    value = orjson.loads(body)
    for path in places(value):
        inside = at(value, path[:-1])
        if not isinstance(inside, list):
            continue
        for new in (inside[path[-1]], "1.5", 1.5):
            longer = [*inside[: path[-1]], new, *inside[path[-1] :]]

            assert candles(read(one.venue, changed(body, path[:-1], longer), asked)).items() <= truth.items()


@every_one
def test_one_token_that_is_no_json_spoils_the_answer(one):
    asked, body = plain(one)
    for path in places(orjson.loads(body)):
        for token in NO_JSON:
            assert read(one.venue, changed(body, path, raw(token)), asked) is None


# All of the body is wrong


@every_one
def test_an_answer_that_was_cut_is_none(one):
    asked, body = plain(one)
    for size in range(len(body)):
        assert read(one.venue, body[:size], asked) is None


@every_one
def test_html_and_brackets_and_bytes_that_are_no_text_are_no_answer(one):
    def refused(reader, body):
        try:
            reader(Answer(200, {}, body))
        except DecodeError:
            return True
        return False

    for body in NO_ANSWERS:
        start = body[:12]
        assert read(one.venue, body, one.asked(5)) is None, start
        assert refused(one.venue.read_listing, body), start
        assert refused(one.venue.read_clock, body), start
        assert one.venue.judge(Answer(503, {}, body)).meaning is not Meaning.OK, start


@every_one
def test_a_page_of_empty_rows_without_end_is_refused_before_it_costs_anything(one):
    asked, body = plain(one)
    many = raw(b"[" + b"[]," * 100_000 + b"[]]")
    value = orjson.loads(body)
    first = next(path for path in ((), *places(value)) if isinstance(at(value, path), list))

    assert read(one.venue, changed(body, first, many), asked) is None


# Rows are wrong


@every_one
def test_a_broken_row_costs_its_minute_and_no_other_one_is_changed(one):
    asked = one.asked(9)
    rows, truth = one.rows(asked.span), one.truth(asked.span)
    sound = spelled(one, asked, rows)
    for kind, index in product(BAD_ROW_KINDS, range(len(rows))):
        body = spelled(one, asked, break_row(rows, index, kind))
        # An index has no volume, and a venue of seconds no milliseconds.
        broken = body not in (sound, spelled(one, asked, break_row(rows, index, "doubled_same")))
        checked = read(one.venue, body, asked)

        found = candles(checked)
        assert found.items() <= truth.items(), (kind, index)
        assert (found != truth) == broken, (kind, index)
        assert checked is None or len(found) >= len(truth) - 1, (kind, index)


@every_one
def test_rows_of_other_times_are_no_candles_and_prove_nothing(one):
    asked = one.asked(9)
    for shift_ms in (1000, 30_000, MINUTE_MS * 60, -MINUTE_MS * 60, DAY_MS, -30 * DAY_MS):
        rows = [shifted(row, shift_ms) for row in one.rows(asked.span)]

        body = spelled(one, asked, rows)
        checked = read(one.venue, body, asked)

        assert not candles(checked), shift_ms
        # Its minutes are in doubt, or it shows that it answers another question; one row may be a live price.
        nothing = body == spelled(one, asked, [])
        in_doubt = checked is None or nothing or checked.strays or len(checked.refusals) >= asked.count - 1
        assert in_doubt, shift_ms


@every_one
def test_rows_on_both_sides_of_the_span_are_never_taken_for_its_own(one):
    asked = one.asked(9)
    around = TimeRange(asked.span.start_ms - 5 * MINUTE_MS, asked.span.end_ms + 5 * MINUTE_MS)

    checked = read(one.venue, spelled(one, asked, one.rows(around)), asked)

    assert checked is None or (candles(checked) == one.truth(asked.span) and checked.strays)


@every_one
@pytest.mark.parametrize("count", [2, 3, 40])
def test_rows_the_other_way_round_are_not_taken(one, count):
    asked = one.asked(count)

    checked = read(one.venue, spelled(one, asked, one.rows(asked.span)[::-1]), asked)

    # Of two rows one may just have been put into the wrong place.
    assert checked is None or (count == 2 and len(candles(checked)) == 1)


@every_one
def test_a_page_whose_rows_all_come_twice_has_each_candle_once(one):
    asked = one.asked(9)
    doubled = [row for row in one.rows(asked.span) for _ in range(2)]

    assert candles(read(one.venue, spelled(one, asked, doubled), asked)) == one.truth(asked.span)


@every_one
def test_a_page_of_another_symbol_is_refused_where_the_answer_names_it(one):
    asked = one.asked(9)
    query = one.understood(one.venue.candles_request(asked))
    other = "OTHER-DVOL" if query.symbol.endswith("-DVOL") else "OTHER"
    answer = one.spelled(replace(query, symbol=other), one.rows(asked.span))

    checked = read(one.venue, answer.body, asked)

    if b"OTHER" in answer.body:
        assert checked is None
    else:
        # Nothing in it tells: nobody who has only the answer can know.
        assert candles(checked) == one.truth(asked.span)


@every_one
def test_a_candle_that_is_still_forming_is_not_taken_with_those_before_it(one):
    asked = one.asked(9)
    now_ms = asked.span.end_ms + 20_000
    answer = one.answer(one.venue.candles_request(asked), now_ms)
    # Also where the venue sends what it was not asked for.
    query = replace(one.understood(one.venue.candles_request(asked)), end_ms=now_ms, limit=asked.count + 1)
    beyond = one.spelled(query, one.market(now_ms).candles(query), now_ms)

    for one_answer in (answer, beyond):
        found = candles(read(one.venue, one_answer.body, asked))

        assert found.items() <= one.truth(asked.span).items()
        # A delayed feed has none of them yet.
        assert len(found) in ((0, asked.count) if one.venue.trades_in_sessions else (asked.count,))


@every_one
def test_an_answer_without_rows_is_an_empty_page(one):
    asked = one.asked(9)

    checked = read(one.venue, spelled(one, asked, []), asked)

    assert checked is not None
    assert (len(checked.candles), len(checked.refusals), checked.strays) == (0, 0, False)


# Errors


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.name)
def test_an_error_is_never_read_as_candles_or_as_anything_else(path):
    venue, body = VENUES[path.parts[-3]], path.read_bytes()
    # Where an error comes with HTTP 200, or where somebody on the way makes that of it.
    status_ok = venue.judge(Answer(200, {}, body)).meaning is Meaning.OK
    failed = venue.judge(Answer(400, {}, body))

    assert failed.meaning is not Meaning.OK
    assert failed.reason
    assert read(venue, body, asked_of(venue)) is None
    for reader in (venue.read_listing, venue.read_clock) if status_ok else ():
        with pytest.raises(DecodeError):
            reader(Answer(200, {}, body))


@every_one
def test_what_the_dialect_refuses_is_no_candles_either(one):
    dialect = one.dialect
    replies = [
        *(dialect.unknown_symbol(one.symbol), dialect.delisted(one.symbol), dialect.unknown_path("GET", "/x")),
        *(dialect.too_many_requests(1), dialect.banned(START), dialect.region, *dialect.server_errors),
    ]
    for reply in replies:
        assert one.venue.judge(Answer(reply.status, {}, reply.body)).meaning is not Meaning.OK or reply.status == 200
        assert read(one.venue, reply.body, one.asked(5)) is None


# Listings and clocks


def listed(venue: Venue, body: bytes) -> None:
    """Read a listing: what it gives can be used, or it is none; any other exception fails the test."""
    try:
        listing = venue.read_listing(Answer(200, {}, body))
    except DecodeError as error:
        said = str(error)
    else:
        said = " ".join(listing.odd.values())
        for symbol, instrument in listing.instruments.items():
            assert symbol == instrument.symbol == check_symbol(symbol)
            assert all(at_ms is None or 0 < at_ms < LAST_MS for at_ms in (instrument.first_ms, instrument.end_ms))
            assert f"{instrument.status}{instrument.quote}{instrument.kind}{instrument.underlying}".isprintable()
        assert all(type(units) is int and units > 0 for units in listing.quotas.values())
        assert all(request.path.startswith("/") for request in listing.more)
    assert not said or said.isprintable()


@every_one
def test_any_value_in_a_listing_costs_at_most_what_it_says(one):
    body = one.listing()
    values = (..., *NO_CELLS, 0, 2**63, 1.5, "0", "9" * 18, 10**18, "A B", "x" * 100)
    for path in places(orjson.loads(body)):
        for new in values:
            listed(one.venue, changed(body, path, new))
    for size in range(0, len(body), 7):
        listed(one.venue, body[:size])


@every_one
def test_any_value_in_the_answer_of_a_clock_is_a_time_or_none(one):
    if one.venue.clock_request() is None:
        return
    now_ms = START
    body = one.dialect.clock(now_ms)
    assert one.venue.read_clock(Answer(200, {}, body)) == now_ms
    for path in places(orjson.loads(body)):
        for new in (..., *NO_CELLS, 0, 2**63, 1.5, "9" * 18):
            try:
                told = one.venue.read_clock(Answer(200, {}, changed(body, path, new)))
            except DecodeError:
                continue
            assert told == now_ms


# Several things are wrong at once, in answers that were recorded


def asked_of(venue: Venue, start_ms: int = START, symbol: str | None = None) -> Asked:
    series = Series(venue.name, symbol or venue.example, Interval.parse("1m"))
    return Asked(series, unlisted(series.symbol), TimeRange(start_ms, start_ms + 60 * MINUTE_MS))


JUNK = [*NO_CELLS, *map(raw, NO_JSON), ..., 0, 1, 1.5, "1.5", "0", 2**63, START, str(START)]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
@settings(derandomize=True)
@given(
    choices=st.lists(st.tuples(st.integers(0), st.sampled_from(JUNK)), min_size=1, max_size=4), cut=st.integers(0, 99)
)
def test_a_recorded_answer_with_anything_changed_is_read_or_refused(path, choices, cut):
    venue, body = VENUES[path.parts[-3]], path.read_bytes()
    if path.suffix == ".json":
        value = orjson.loads(body)
        for number, new in choices:
            if found := list(places(value)):
                value = put(value, found[number % len(found)], new)
        body = orjson.dumps(value)
    for damaged in (body, body[: len(body) * cut // 100]):
        checked = read(venue, damaged, asked_of(venue, 1_700_000_000_000 // MINUTE_MS * MINUTE_MS))
        listed(venue, damaged)
        if checked is not None:
            assert all(high >= low > 0 for _, high, low, *_ in taken(checked).values())
        for status in (200, 400, 503):
            verdict = venue.judge(Answer(status, {}, damaged))
            assert verdict.detail.isprintable()
            assert len(verdict.detail) < 300
