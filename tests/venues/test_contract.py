"""What every adapter has to keep, whatever the venue: one suite over the registry."""

from __future__ import annotations

import ast
import inspect
import sys
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import laklak.venues
from laklak.model.candles import Chunk, Page
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, check_symbol
from laklak.plan.chunks import best_page, page_weight
from laklak.plan.rows import check_page
from laklak.venues import PLANNED, VENUES
from laklak.venues.base import DecodeError, Kind, Request, Venue, Verdict

FOLDER = Path(laklak.venues.__file__).parent
MEMBERS = [name for name in vars(Venue) if not name.startswith("_") and callable(getattr(Venue, name))]
NOON = 1_771_977_600_000

every_venue = pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def chunk_of(venue, count, interval="1m", symbol="BTCUSDT"):
    series = Series(venue.name, symbol, Interval.parse(interval))
    span = TimeRange(NOON, NOON + count * series.interval.ms)
    return Chunk(series, span, (span,))


def refused(parse, body):
    """What `parse` says is wrong with a body, empty when it takes it; any other exception fails the test."""
    try:
        parse(body)
    except DecodeError as error:
        return str(error)
    return ""


def test_registry_and_folder_agree():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "base"}

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

    assert own == MEMBERS


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
    assert not imported & {"asyncio", "time", "socket", "random", "urllib.request", "http.client", "threading"}
    assert others <= {"orjson", "laklak.model.candles", "laklak.model.series", "laklak.venues.base"}


@every_venue
def test_its_intervals_are_known_and_rise(venue):
    lengths = [Interval.parse(name).ms for name in venue.intervals]

    assert lengths == sorted(set(lengths))
    assert lengths[0] == 60_000


@every_venue
def test_its_price_steps_rise_in_candles_and_weight(venue):
    tiers = venue.page_tiers

    assert all(candles > 0 and weight > 0 for candles, weight in tiers)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(tiers))
    assert venue.metadata_weight > 0


@every_venue
def test_its_budget_pays_for_the_largest_page_and_is_allowed(venue):
    assert page_weight(venue.page_tiers[-1][0], venue.page_tiers) <= venue.default_budget
    assert 0 < venue.default_budget <= venue.documented_weight
    assert 0 < venue.longest_ban_s <= 7 * 86_400
    assert best_page(venue.page_tiers) <= venue.page_tiers[-1][0]
    assert venue.default_url.startswith("https://")


@every_venue
def test_a_request_for_candles_says_what_it_costs(venue):
    for candles in {1, *(limit for limit, _ in venue.page_tiers), *(limit + 1 for limit, _ in venue.page_tiers[:-1])}:
        request = venue.candles_request(chunk_of(venue, candles))

        assert request.weight == page_weight(candles, venue.page_tiers)


@every_venue
def test_every_request_is_a_path_and_texts(venue):
    requests = [
        venue.candles_request(chunk_of(venue, 5)),
        venue.first_candle_request(chunk_of(venue, 5).series, 0),
        venue.newest_candle_request(chunk_of(venue, 5).series),
        venue.candles_until_request(chunk_of(venue, 5).series, 1_700_000_000_000, 2),
        venue.instruments_request(),
        venue.clock_request(),
    ]

    for request in requests:
        assert isinstance(request, Request)
        assert request.path.startswith("/")
        assert request.weight > 0
        assert all(type(name) is type(value) is str for name, value in request.query)
        assert len(dict(request.query)) == len(request.query)


@every_venue
def test_a_symbol_is_sent_as_it_is(venue):
    for symbol in ("BTCUSDT", "币安人生USDT", "^GSPC", "BTC=F"):
        chunk = chunk_of(venue, 5, symbol=check_symbol(symbol))

        assert symbol in [value for _, value in venue.candles_request(chunk).query]
        assert symbol in [value for _, value in venue.first_candle_request(chunk.series, 0).query]
        assert symbol in [value for _, value in venue.newest_candle_request(chunk.series).query]
        assert symbol in [value for _, value in venue.candles_until_request(chunk.series, 0, 2).query]


@every_venue
def test_requests_for_different_intervals_differ(venue):
    seen = {venue.candles_request(chunk_of(venue, 1, interval)).query for interval in venue.intervals}

    assert len(seen) == len(venue.intervals)


@every_venue
@given(value=json_texts)
def test_any_json_is_a_page_or_no_answer_and_its_rows_can_be_checked(venue, value):
    try:
        body = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return
    try:
        page = venue.parse_candles(body)
    except DecodeError:
        return

    assert isinstance(page, Page)
    assert [len(column) for column in page.columns] == [len(page.rows)] * 6
    chunk = chunk_of(venue, 5)
    checked = check_page(page, chunk.series, chunk.range)
    assert len(checked.candles) == 0


@every_venue
@given(body=st.one_of(st.binary(max_size=40), json_texts.map(lambda value: str(value).encode("utf-8", "replace"))))
def test_whatever_the_body_reading_it_fails_in_one_way_only(venue, body):
    for parse in (venue.parse_candles, venue.parse_instruments, venue.parse_clock):
        said = refused(parse, body)
        assert said.isprintable()
        assert len(said) < 300


@every_venue
@given(value=json_texts)
def test_any_json_in_place_of_the_listing_or_the_clock_fails_in_one_way_only(venue, value):
    try:
        body = orjson.dumps({"symbols": value, "rateLimits": value, "serverTime": value})
    except orjson.JSONEncodeError:
        return
    for parse in (venue.parse_instruments, venue.parse_clock):
        assert refused(parse, body).isprintable()


@every_venue
@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=60) | json_texts.map(lambda value: str(value).encode("utf-8", "replace")),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "X-MBX-USED-WEIGHT-1M", "Date"]), st.text(max_size=12)),
)
def test_every_answer_has_a_verdict_that_can_be_shown(venue, status, body, headers):
    verdict = venue.classify(status, headers, body)
    used = venue.used_weight(headers)

    assert isinstance(verdict, Verdict)
    assert (verdict.kind is Kind.OK) == (status == 200)
    assert verdict.detail.isprintable()
    assert len(verdict.detail) < 300
    assert verdict.retry_after_s is None or verdict.retry_after_s >= 0
    assert used is None or used >= 0


@every_venue
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599])
def test_a_fault_of_the_server_passes(venue, status):
    assert venue.classify(status, {}, b"").kind is Kind.PASSING


@every_venue
@pytest.mark.parametrize("interval", ["1m", "1d"])
def test_a_day_is_a_whole_number_of_candles(venue, interval):
    assert DAY_MS % chunk_of(venue, 1, interval).series.interval.ms == 0
