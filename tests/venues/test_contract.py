"""What every adapter has to keep, whatever the venue: one suite over the registry, and the one to copy from."""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from example_venue import Example
from hypothesis import given
from hypothesis import strategies as st
from played import START, played, taken

import laklak.venues
from laklak.model.candles import Page
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange, check_symbol
from laklak.plan.chunks import best_page, plan_chunks
from laklak.plan.rows import check_page
from laklak.simulator.dialects.base import Subject
from laklak.simulator.sources.generated import DEFAULT_END_MS
from laklak.venues import PLANNED, VENUES
from laklak.venues.base import Answer, Asked, DecodeError, Meaning, Request, Venue, Verdict, unlisted

FOLDER = Path(laklak.venues.__file__).parent
MEMBERS = [name for name in vars(Venue) if not name.startswith("_") and callable(getattr(Venue, name))]
NOON = 1_771_977_600_000

every_venue = pytest.mark.parametrize("venue", [*VENUES.values(), Example()], ids=lambda venue: venue.name)
every_one = pytest.mark.parametrize("one", played(), ids=repr)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def asked_of(venue, count, interval="1m", symbol=None):
    symbol = symbol or venue.example
    series = Series(venue.name, symbol, Interval.parse(interval))
    return Asked(series, unlisted(symbol), TimeRange(NOON, NOON + count * series.interval.ms))


def answer(body, status=200, headers=None):
    return Answer(status, headers or {}, body)


def readers(venue):
    return partial(venue.read_candles, asked=asked_of(venue, 5)), venue.read_listing, venue.read_clock


def refused(read, body):
    """What `read` says is wrong with a body, empty when it takes it; any other exception fails the test."""
    try:
        read(answer(body))
    except DecodeError as error:
        return str(error)
    return ""


def test_registry_and_folder_agree():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "base", "reading"}

    assert files == set(VENUES)
    assert all(name == venue.name for name, venue in VENUES.items())


def test_a_planned_venue_is_not_built():
    assert not PLANNED & set(VENUES)


@every_venue
def test_it_has_every_member_of_the_protocol(venue):
    wanted = set(Venue.__annotations__) | set(MEMBERS)

    assert not {name for name in wanted if not hasattr(venue, name)}


@every_venue
def test_its_methods_stand_in_the_order_of_the_protocol(venue):
    own = [name for name in vars(type(venue)) if name in MEMBERS]

    assert own == [name for name in MEMBERS if name in own]


@every_venue
def test_its_file_does_no_i_o(venue):
    path = Path(inspect.getfile(type(venue)))
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        assert not isinstance(node, ast.Await | ast.AsyncFunctionDef)

    others = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    ours = {name for name in others if name.partition(".")[0] == "laklak"}
    assert not imported & {"asyncio", "time", "socket", "random", "urllib.request", "http.client", "threading"}
    assert others - ours <= {"orjson"}
    assert {name.split(".")[1] for name in ours} <= {"model", "text", "venues"}


@every_venue
def test_its_intervals_are_known_and_rise(venue):
    lengths = [Interval.parse(name).ms for name in venue.intervals]

    assert lengths == sorted(set(lengths))
    assert lengths[0] == 60_000


@every_venue
def test_its_price_steps_rise_in_candles_and_cost_up_to_the_largest_page(venue):
    steps = venue.page.steps

    assert all(candles > 0 and units > 0 for candles, units in steps)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(steps))
    assert steps[-1][0] == venue.page.rows
    assert best_page(steps) <= venue.page.rows


@every_venue
def test_its_quotas_pay_for_the_largest_page(venue):
    first, *_ = venue.quotas.values()

    assert venue.page.steps[-1][1] <= first.ours
    for quota in venue.quotas.values():
        assert quota.units > 0
        assert quota.seconds > 0
        assert 0 < quota.share <= 1


@every_venue
def test_its_address_and_its_longest_ban_make_sense(venue):
    assert venue.url.startswith("https://")
    assert 0 < venue.longest_ban_s <= 7 * 86_400
    assert check_symbol(venue.example)


@every_venue
def test_a_request_for_candles_says_what_it_costs(venue):
    first = next(iter(venue.quotas))
    steps = venue.page.steps
    for candles in {1, *(limit for limit, _ in steps), *(limit + 1 for limit, _ in steps[:-1])}:
        request = venue.candles_request(asked_of(venue, candles))

        assert request.cost[first] == venue.page.units(candles)


def requests_of(venue, symbol=None):
    one = asked_of(venue, 5, symbol=symbol)
    own = [
        venue.candles_request(one),
        venue.first_candle_request(one),
        venue.newest_candle_request(one),
        venue.candles_until_request(one),
    ]
    return [request for request in own if request is not None]


@every_venue
def test_every_request_is_a_path_and_texts_and_is_paid_from_quotas_that_there_are(venue):
    clock = venue.clock_request()
    for request in [*requests_of(venue), *venue.listing_requests([venue.example]), *([clock] if clock else [])]:
        assert isinstance(request, Request)
        assert request.path.startswith("/")
        assert set(request.cost) <= set(venue.quotas)
        assert all(units > 0 for units in request.cost.values())
        assert all(type(name) is type(value) is str for name, value in request.query)
        assert len(dict(request.query)) == len(request.query)


@every_venue
def test_its_headers_are_texts(venue):
    assert all(type(name) is type(value) is str and name.isascii() for name, value in venue.headers.items())


@every_venue
def test_a_symbol_is_sent_as_it_is(venue):
    for symbol in ("BTCUSDT", "币安人生USDT", "^GSPC", "BTC=F"):
        for request in requests_of(venue, check_symbol(symbol)):
            assert symbol in [value for _, value in request.query] or request.path.endswith(f"/{symbol}")


@every_venue
def test_requests_for_different_intervals_differ(venue):
    seen = {venue.candles_request(asked_of(venue, 1, interval)).query for interval in venue.intervals}

    assert len(seen) == len(venue.intervals)


@every_venue
@given(value=json_texts)
def test_any_json_is_a_page_or_no_answer_and_its_rows_can_be_checked(venue, value):
    try:
        body = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return
    try:
        page = venue.read_candles(answer(body), asked_of(venue, 5))
    except DecodeError:
        return

    assert isinstance(page, Page)
    assert [len(column) for column in page.columns] == [len(page.rows)] * 6
    asked = asked_of(venue, 5)
    checked = check_page(page, asked.series, asked.span)
    assert len(checked.candles) == 0


@every_venue
@given(body=st.one_of(st.binary(max_size=40), json_texts.map(lambda value: str(value).encode("utf-8", "replace"))))
def test_whatever_the_body_reading_it_fails_in_one_way_only(venue, body):
    for read in readers(venue):
        said = refused(read, body)
        assert said.isprintable()
        assert len(said) < 300


@every_venue
@given(value=json_texts)
def test_any_json_in_place_of_the_listing_or_the_clock_fails_in_one_way_only(venue, value):
    try:
        body = orjson.dumps({"symbols": value, "rateLimits": value, "serverTime": value})
    except orjson.JSONEncodeError:
        return
    for read in (venue.read_listing, venue.read_clock):
        assert refused(read, body).isprintable()


@every_venue
@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=60) | json_texts.map(lambda value: str(value).encode("utf-8", "replace")),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "X-MBX-USED-WEIGHT-1M", "Date"]), st.text(max_size=12)),
)
def test_every_answer_has_a_verdict_that_can_be_shown(venue, status, body, headers):
    verdict = venue.judge(answer(body, status, headers))
    used = venue.used(answer(b"", status, headers))

    assert isinstance(verdict, Verdict)
    assert verdict.meaning is not Meaning.OK or status == 200
    assert verdict.detail.isprintable()
    assert len(verdict.detail) < 300
    assert verdict.wait_s is None or verdict.wait_s >= 0
    assert verdict.quota is None or verdict.quota in venue.quotas
    assert set(used) <= set(venue.quotas)
    assert all(units >= 0 for units in used.values())


@every_venue
def test_a_fault_of_the_server_passes(venue):
    judged = {status: venue.judge(answer(b"", status)).meaning for status in (500, 502, 503, 504, 520, 599)}

    assert set(judged.values()) == {Meaning.PASSING}, judged


@every_venue
@pytest.mark.parametrize("interval", ["1m", "1d"])
def test_a_day_is_a_whole_number_of_candles(venue, interval):
    assert DAY_MS % asked_of(venue, 1, interval).series.interval.ms == 0


# What it asks, as its dialect of the simulator understands, charges and answers it


def minutes_of(query):
    """The open_times that a request for minutes as understood asks for."""
    return range(-(-query.start_ms // MINUTE_MS) * MINUTE_MS, query.end_ms + 1, MINUTE_MS)


@every_one
def test_its_requests_tile_a_range_each_minute_once_and_none_is_wider_than_a_page(one):
    page = one.venue.page
    for rows in {page.rows, best_page(page.steps), *page.smaller}:
        span = one.asked(2 * rows + 37).span
        minutes = []
        for chunk in plan_chunks(one.asked(1).series, [span], page.steps, rows):
            asked = replace(one.asked(1), span=chunk.range)
            query = one.understood(one.venue.candles_request(asked))

            assert (query.symbol, query.interval) == (one.symbol, asked.series.interval)
            # One more may come where a venue's end is said to be either, inside or not; reading leaves it out.
            assert asked.count <= len(minutes_of(query)) <= asked.count + 1
            assert asked.count <= page.rows
            # What is cut without a word is said to be.
            assert query.limit >= asked.count or page.cut is not None
            minutes += minutes_of(query)[: asked.count]

        assert minutes == list(range(span.start_ms, span.end_ms, MINUTE_MS))


@every_one
def test_its_intervals_are_understood_as_what_they_are(one):
    for name in one.venue.intervals_of(one.symbol):
        asked = asked_of(one.venue, 3, name, one.symbol)
        query = one.understood(one.venue.candles_request(asked))

        assert query.interval.name == name
        assert query.interval.ceil(query.start_ms) == asked.span.start_ms
        assert query.interval.floor(query.end_ms) in (asked.last_ms, asked.span.end_ms)


@every_one
def test_its_largest_page_is_read_to_the_last_digit_oldest_first(one):
    asked = one.asked(one.venue.page.rows, DEFAULT_END_MS - 8 * DAY_MS)
    answer = one.answer(one.venue.candles_request(asked))

    checked, truth = one.checked(answer, asked), one.truth(asked.span)
    sessions = one.page(answer, asked).sessions
    if sessions is not None:
        truth = {at: candle for at, candle in truth.items() if any(s.start_ms <= at < s.end_ms for s in sessions)}
    given = one.understood(one.venue.candles_request(asked)).limit

    assert (list(checked.refusals), checked.strays) == ([], False)
    assert taken(checked) == dict(list(truth.items())[-given:])
    assert list(checked.candles.open_times) == sorted(checked.candles.open_times)


@every_one
def test_questions_for_one_candle_give_the_first_the_newest_and_the_last_ones_before_a_moment(one):
    asked = one.asked(3, anywhere=True)
    now_ms = START + 60 * MINUTE_MS + 20_000
    found = {
        name: list(one.page(one.answer(request, now_ms), asked).columns[0])
        for name in ("first", "newest", "until")
        if (request := ask_for(one.venue, name, asked)) is not None
    }

    assert found.get("first", [START]) == [START]
    assert found.get("newest", [now_ms])[-1] // MINUTE_MS == now_ms // MINUTE_MS
    assert found.get("until", [START + 2 * MINUTE_MS])[-1] == START + 2 * MINUTE_MS


def ask_for(venue, name, asked):
    asks = {
        "first": venue.first_candle_request,
        "newest": venue.newest_candle_request,
        "until": venue.candles_until_request,
    }
    return asks[name](asked)


@every_one
def test_every_request_costs_what_the_dialect_charges_and_is_about_what_it_is_meant_to_be(one):
    first = next(iter(one.venue.quotas))
    clock = one.venue.clock_request()
    of_candles = [*requests_of(one.venue, one.symbol), one.venue.candles_request(one.asked(one.venue.page.rows))]
    listing = list(one.venue.listing_requests([one.symbol]))
    for request in [*of_candles, *listing, *([clock] if clock else [])]:
        assert request.cost[first] == one.dialect.cost(request.path, dict(request.query))
        assert one.dialect.subject_of(request.path) is not None
    assert clock is None or one.dialect.subject_of(clock.path) is Subject.CLOCK
    # Where there is no listing, a chart is asked.
    assert {one.dialect.subject_of(request.path) for request in listing} <= {Subject.LISTING, Subject.CANDLES}


@every_one
def test_its_limit_is_the_one_that_the_dialect_keeps(one):
    limit = (one.dialect.budget, one.dialect.window_s, one.dialect.window)

    assert limit in [(quota.units, quota.seconds, quota.window) for quota in one.venue.quotas.values()]


@every_one
def test_its_listing_names_the_symbol_that_the_dialect_lists(one):
    listing = one.listing()
    if one.symbol.encode() not in listing:
        # An index of Deribit's stands in no listing, and Yahoo has none.
        return

    instrument = one.venue.read_listing(answer(listing)).instruments[one.symbol]

    assert instrument.trades
    assert instrument.end_ms is None
