"""The simulator speaks for a venue that spells everything otherwise: one class, and nothing else is touched."""

import orjson
import pytest

from laklak.model.series import MINUTE_MS, Interval
from laklak.simulator import SymbolOverride, generate, parse_fault
from laklak.simulator.dialects.base import CandlesQuery, Dialect, RefusedRequest, Reply, Subject
from laklak.simulator.rows import CLOSE_TIME, COUNT, VOLUME
from laklak.simulator.sources.generated import DEFAULT_END_MS

PATHS = {"/v9/bars": Subject.CANDLES, "/v9/contracts": Subject.LISTING, "/v9/now": Subject.CLOCK}
BARS = "/v9/bars?contract=BTC-USDT"
FIRST_MS = DEFAULT_END_MS - 24 * 60 * MINUTE_MS


def said(data=None, code="0", words=""):
    return orjson.dumps({"code": code, "words": words, "data": data})


class Backwards:
    """Newest bars first, bounds that are left out, minutes as numbers, trouble in HTTP 200, windows of two seconds."""

    window_s = 2.0
    budget = 100
    window = "calendar"
    patience = 10
    ban_s = 120.0
    archive_root = None
    pong = b""
    region = Reply(200, said(code="country", words="not where you are"))
    server_errors = (Reply(200, said(code="busy", words="try again")),)

    def subject_of(self, path):
        return PATHS.get(path)

    def cost(self, path, query):
        return 1

    def headers(self, used):
        return {"Limit-Used": f"{used}"}

    def read_candles(self, path, query):
        if not query.get("bar", "").isdigit():
            raise RefusedRequest(Reply(200, said(code="parameter", words="bar")))
        interval = Interval.parse(f"{query['bar']}m")
        after_ms, before_ms = (int(query[name]) if name in query else None for name in ("after", "before"))
        start_ms = None if after_ms is None else after_ms + 1
        end_ms = None if before_ms is None else before_ms - 1
        return CandlesQuery(query["contract"].replace("-", ""), interval, start_ms, end_ms, 3, oldest_first=False)

    def candles(self, query, rows, now_ms):
        return said([self._bar(orjson.loads(row), now_ms) for row in reversed(rows)])

    def _bar(self, cells, now_ms):
        if len(cells) < COUNT:
            return list(map(str, cells))
        return [*map(str, cells[: VOLUME + 1]), "closed" if cells[CLOSE_TIME] < now_ms else "open"]

    def entry(self, instrument):
        return {"contract": f"{instrument.base}-{instrument.quote}", "since": f"{instrument.listed_ms}"}

    def listing(self, query, entries, recorded, budget, now_ms):
        return said(entries)

    def clock(self, now_ms):
        return said(f"{now_ms}")

    def unknown_path(self, method, path):
        return Reply(200, said(code="path"))

    def unknown_symbol(self, symbol):
        return Reply(200, said(code="contract", words=symbol))

    def delisted(self, symbol):
        return Reply(200, said(code="gone", words=symbol))

    def too_many_requests(self, budget):
        return Reply(200, said(code="slower", words=f"{budget}"))

    def banned(self, until_ms):
        return Reply(403, said(code="out", words=f"{until_ms}"))


def ask(talk, *paths, **settings):
    """The answers to requests that come one after the other."""
    dialect: Dialect = Backwards()

    async def conversation(client):
        return [await client.fetch(path) for path in paths]

    return talk(conversation, generate(symbols=2, days=1), dialect=dialect, **settings)


def bars(reply):
    return [(int(bar[0]), bar[-1]) for bar in reply.json["data"]]


def test_pages_come_newest_first_with_the_cells_and_bounds_of_the_venue(talk):
    newest, before, between = ask(
        talk,
        f"{BARS}&bar=1",
        f"{BARS}&bar=1&before={DEFAULT_END_MS}",
        f"{BARS}&bar=5&after={FIRST_MS}&before={FIRST_MS + 10 * MINUTE_MS}",
    )

    ends = [DEFAULT_END_MS - number * MINUTE_MS for number in range(4)]
    assert bars(newest) == [(ends[0], "open"), (ends[1], "closed"), (ends[2], "closed")]
    assert bars(before) == [(end, "closed") for end in ends[1:]]
    assert bars(between) == [(FIRST_MS + 5 * MINUTE_MS, "closed")]
    assert {len(bar) for bar in newest.json["data"]} == {7}


def test_the_listing_and_the_clock_are_in_its_words(talk):
    listing, clock = ask(talk, "/v9/contracts", "/v9/now", clock_ms=DEFAULT_END_MS)

    assert listing.json["data"] == [{"contract": f"{base}-USDT", "since": f"{FIRST_MS}"} for base in ("BTC", "ETH")]
    assert clock.json["data"] == f"{DEFAULT_END_MS}"


def test_refusals_are_told_with_http_200(talk):
    gone = {"ETHUSDT": SymbolOverride(delisted=True)}
    paths = (f"{BARS}&bar=x", "/v9/bars?contract=NO-PE&bar=1", "/v9/bars?contract=ETH-USDT&bar=1", "/fapi/v1/time")
    replies = ask(talk, *paths, "/data/futures/um/nothing", overrides=gone)

    assert [reply.status for reply in replies] == [200] * 5
    assert [reply.json["code"] for reply in replies] == ["parameter", "contract", "gone", "path", "path"]


def test_its_budget_is_counted_in_its_own_windows_and_refused_in_its_own_words(talk):
    start_and_requests_s = iter((0.0, 10.0, 11.0, 11.9, 12.0))
    replies = ask(talk, *["/v9/now"] * 4, budget=2, wall_clock=lambda: next(start_and_requests_s))

    assert [reply.json["code"] for reply in replies] == ["0", "0", "slower", "0"]
    assert [reply.headers["Limit-Used"] for reply in replies] == ["1", "2", "3", "1"]


@pytest.mark.parametrize(("fault", "code"), [("5xx", "busy"), ("451", "country"), ("429", "slower"), ("418", "out")])
def test_faults_on_request_are_in_its_words(talk, fault, code):
    (reply,) = ask(talk, f"{BARS}&bar=1", faults=[parse_fault(f"{fault}=100%")])

    assert reply.json["code"] == code


def test_rows_go_wrong_before_they_are_spelled(talk):
    paths = [f"{BARS}&bar=1&before={FIRST_MS + MINUTE_MS}"] * 2
    short, whole = ask(talk, *paths, faults=[parse_fault("badrow=100%:short")])

    assert [len(reply.json["data"][0]) for reply in (short, whole)] == [4, 7]
