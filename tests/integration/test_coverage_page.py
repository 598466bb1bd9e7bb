"""`laklak coverage --html`: one file that asks no network, runs nothing but its own script, and shows each minute."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from copies import BTC, ETH, MINUTE, MINUTE_MS, START_MS, absence, candles, fill

from laklak.audit.coverage import CoverageReport, Known, judge
from laklak.audit.page import page as page_of
from laklak.audit.page import write_page
from laklak.audit.stretches import KINDS, pack, strip
from laklak.model.absences import Absence
from laklak.model.account import Account
from laklak.model.records import Note, RunRecord
from laklak.model.series import Series, TimeRange
from laklak.model.spans import runs
from laklak.stores import open_store
from laklak.stores.coverage import Presence

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = '</script><script>document.title="taken"</script><img src=//evil.example/x onerror=alert(1)>'
DAY = 1440
A_RUN = RunRecord(
    START_MS,
    START_MS + 5000,
    "0.1",
    START_MS,
    START_MS + 60_000,
    "1m",
    2,
    Account(wanted=9, written=7),
    3,
    15,
    1,
    HOSTILE,
)


@pytest.fixture
def filled():
    """Two series over two days: one with a hole, a reject whose row is hostile, and a day that is not there."""
    rejected = Absence.at(MINUTE, START_MS + 20 * MINUTE_MS, "rejected", START_MS, HOSTILE, row=f'["{HOSTILE}"]')
    fill(
        "candles.db",
        candles(BTC, [*range(10), *range(11, 20), *range(21, DAY)]),
        candles(ETH, range(2 * DAY)),
        absences=[absence(10), rejected],
    )

    async def note():
        async with open_store("candles.db") as store:
            clock = json.dumps({"ms": START_MS + 2 * DAY * MINUTE_MS})
            await store.put_notes([Note("binance", "clock", clock, START_MS)])
            await store.record_run(A_RUN)

    asyncio.run(note())


@pytest.fixture
def page(filled, here):
    ended = here("coverage", "--store", "candles.db", "--html", "page.html")
    assert ended.exit == 1
    return Path("page.html").read_text("ascii")


def data_of(page):
    return json.loads(re.search('<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def unpacked(one):
    """The stretches of a series, read as the script of the page does: [(kind, first candle, candles)]."""
    numbers, value, shift = [], 0, 0
    for byte in base64.b64decode(one["stretches"]):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    found, at = [], 0
    for head, length in zip(numbers[::2], numbers[1::2], strict=True):
        at += head >> 3
        found.append((KINDS[head & 7], at, length))
        at += length
    return found


def test_every_minute_that_is_not_held_is_in_the_page_with_its_evidence(page):
    data = data_of(page)
    series = {one["name"]: one for one in data["series"]}
    assert unpacked(series[BTC]) == [("hole", 10, 1), ("rejected", 20, 1), ("missing", DAY, DAY)]
    assert unpacked(series[ETH]) == []
    assert [(one["kind"], one["start"]) for one in data["evidence"]] == [
        ("hole", START_MS + 10 * MINUTE_MS),
        ("rejected", START_MS + 20 * MINUTE_MS),
    ]
    assert data["evidence"][1]["reason"] == HOSTILE


def test_the_page_names_the_runs(page):
    (run,) = data_of(page)["runs"]
    assert (run["began"], run["result"], run["written"], run["missing"]) == (START_MS, "incomplete", 7, 2)
    assert run["error"] == HOSTILE


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_has_no_address_and_its_policy_lets_nothing_run_but_its_own_script(page):
    tags = Tags()
    tags.feed(page)
    assert [tag for tag, _ in tags.found if tag in ("img", "link", "iframe", "object", "base")] == []
    assert [value for _, attrs in tags.found for name, value in attrs.items() if name in ("src", "href", "style")] == []
    assert [name for _, attrs in tags.found for name in attrs if name.startswith("on")] == []
    assert [attrs for tag, attrs in tags.found if tag == "script"] == [{"type": "application/json", "id": "data"}, {}]
    (policy,) = [attrs["content"] for tag, attrs in tags.found if attrs.get("http-equiv") == "Content-Security-Policy"]
    for tag in ("script", "style"):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")


def test_a_page_takes_the_place_of_the_one_before_only_when_it_is_whole(page, here, monkeypatch):
    monkeypatch.setattr("laklak.audit.page._series", lambda *_: 1 / 0)
    assert here("coverage", "--store", "candles.db", "--html", "page.html").exit != 0
    assert Path("page.html").read_text("ascii") == page
    assert [path.name for path in Path().iterdir() if "page" in path.name] == ["page.html"]


@pytest.mark.parametrize("place", ["nowhere/page.html", ".", "candles.db"])
def test_a_place_that_takes_no_page_is_told_before_anything_is_looked_at(filled, here, place):
    before = Path("candles.db").read_bytes()
    ended = here("coverage", "--store", "candles.db", "--html", place)
    assert (ended.exit, ended.out, len(ended.lines("error"))) == (2, "", 1)
    assert f"--html {place} " in ended.lines("error")[0]
    assert Path("candles.db").read_bytes() == before


def test_a_page_that_is_there_is_replaced_and_keeps_its_mode(page, here):
    Path("page.html").chmod(0o640)
    here("coverage", "--store", "candles.db", "--html", "page.html")
    assert Path("page.html").stat().st_mode & 0o777 == 0o640


def test_many_stretches_become_the_worst_of_each_day(filled, here, monkeypatch):
    monkeypatch.setattr("laklak.audit.coverage.DETAIL_STRETCHES", 4)
    here("coverage", "--store", "candles.db", "--html", "page.html")
    series = {one["name"]: one for one in data_of(Path("page.html").read_text("ascii"))["series"]}
    assert (series[BTC]["coarse"], series[ETH]["coarse"]) == (True, False)
    assert unpacked(series[BTC]) == [("rejected", 0, DAY), ("missing", DAY, DAY)]


def test_a_million_stretches_take_four_bytes_each_at_most():
    span = TimeRange(START_MS, START_MS + 300_000 * MINUTE_MS)
    one = MINUTE_MS
    stretches = [("hole", TimeRange(at, at + one)) for at in range(span.start_ms, span.end_ms, 2 * one)]
    assert len(pack(span, MINUTE, stretches)) <= 4 * len(stretches)
    assert set(strip(span, stretches)) == {"hole"}


def shown_by_chromium(page, place, tmp_path):
    """The document after the page's script has run."""
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    words += ["--virtual-time-budget=2000", "--dump-dom", f"{Path(page).resolve().as_uri()}{place}"]
    return subprocess.run([CHROMIUM, *words], capture_output=True, text=True, timeout=100, check=True).stdout


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")


@pytest.mark.long
@needs_chromium
def test_five_years_of_541_series_are_drawn_in_under_a_second(tmp_path):
    """Each with gaps on a day in ten."""
    days, rng = 1826, random.Random(3)
    span = TimeRange(START_MS - days * DAY * MINUTE_MS, START_MS)

    def one(number):
        minutes = sorted(rng.sample(range(days * DAY), days // 10))
        gone = runs([span.start_ms + minute * MINUTE_MS for minute in minutes], MINUTE)
        presence = Presence(days * DAY - len(minutes), (), tuple(gone))
        return judge(Series("binance", f"S{number}", MINUTE), span, span, presence, Known(None, None, 0), 2000)

    report = CoverageReport("a store", {"binance": START_MS}, tuple(one(number) for number in range(541)))
    write_page(Path("page.html"), page_of(report, (), good=99.5, warn=97, written_ms=START_MS))

    assert Path("page.html").stat().st_size < 2_000_000
    drawn_ms = re.search('data-drawn-ms="([0-9.]+)"', shown_by_chromium("page.html", "", tmp_path))[1]
    assert 0 < float(drawn_ms) < 1000


@needs_chromium
def test_a_browser_draws_it_opens_a_day_and_runs_nothing_of_what_a_store_holds(page, tmp_path):
    shown = shown_by_chromium("page.html", f"#{BTC}@2026-02-28", tmp_path)
    text = html.unescape(re.sub("<script.*?</script>", "", shown, flags=re.DOTALL))
    assert "data-ready-ms" in shown
    assert "<title>laklak coverage</title>" in shown
    assert re.search(r'<canvas id="days"[^>]* width="2" height="2"', shown)
    assert '<dialog id="day" open="">' in shown
    assert "1,438 held, 1 hole, 1 rejected of 1,440" in text
    assert f"{HOSTILE}; noted" in text
    # As text: there is no such element.
    assert "<img" not in shown


@needs_chromium
def test_a_page_of_a_few_days_has_room_for_their_date_and_says_where_there_is_nothing(tmp_path):
    span = TimeRange(START_MS, START_MS + DAY * MINUTE_MS)
    one = judge(Series.parse(BTC), span, span, Presence(DAY, (), ()), Known(None, None, 0), 2000)
    report = CoverageReport("a store", {"binance": span.end_ms}, (one,))
    write_page(Path("page.html"), page_of(report, (), good=99.5, warn=97, written_ms=START_MS))

    shown = shown_by_chromium("page.html", "", tmp_path)

    assert int(re.search(r'<canvas id="days"[^>]*style="width: ([0-9]+)px', shown)[1]) >= 72
    for table in ("evidence", "runs"):
        assert f'<table id="{table}"><caption>none</caption></table>' in shown
