"""Medians, ratios, and what is shown of them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from laklak.bench.picture import draw
from laklak.bench.results import Results, Run, pressure, read_results, share_text
from laklak.bench.table import lines

MACHINE = {"laklak": "1", "python": "3.11", "system": "Linux", "processor": "A<B & C", "cores": 2,
           "memory_bytes": 2**33, "load_at_start": 0.1}  # fmt: skip


def figures(candles=1_000_000, seconds=4.0, **more):
    return Run(candles=candles, seconds=seconds, cpu_s=3.0, **more)


@pytest.fixture
def results():
    work = {"candles": 1_000_000, "symbols": 8, "days": 30, "seed": 1}
    results = Results(machine=MACHINE, work=work, repeats=3, budget_rate=8000.0, stores_checked=4, checksum="abc")
    for seconds in (4.0, 2.0, 5.0):
        run = figures(seconds=seconds, rss_bytes=2**27, writer_busy=0.9, queued=3.0, server_cpu_s=4.0)
        results.case("archive -> influxdb", "path", "archive", "influxdb").runs.append(run)
    results.case("only written, influxdb", "write", store="influxdb").runs.append(figures(seconds=2.0))
    results.case("only fetched, archive", "download", source="archive").runs.append(figures(seconds=0.5))
    results.case("re-plan of a full store, influxdb", "re-plan", store="influxdb").runs.append(figures(seconds=0.7))
    limiter = figures(seconds=120.0, weight=2300, budget_share=0.96, most_weight_in_60s=1190)
    results.case("limiter at 1200", "limiter", "rest", "sqlite").runs.append(limiter)
    results.skipped.append(("something", "a reason"))
    return results


def test_a_case_is_told_by_the_median_of_its_runs_with_the_spread(results):
    case = results.cases[0]

    assert case.rate == 250_000
    assert case.spread(lambda run: run.rate) == (200_000, 500_000)


def test_what_one_run_cannot_tell_the_case_does_not_tell(results):
    case = results.cases[0]
    case.runs.append(figures())

    assert case.middle(lambda run: run.server_cpu_s) is None


def test_a_path_is_held_against_its_own_limits(results):
    ratios = results.ratios(results.cases[0])

    assert (ratios.of_download, ratios.of_write, ratios.of_budget) == (0.125, 0.5, 31.25)


def test_the_cpu_is_told_as_a_share_of_the_servers(results):
    path, limit = results.cases[0], results.find("write", store="influxdb")

    assert path.middle(lambda run: run.cpu_of_server) == 0.75
    assert limit.middle(lambda run: run.cpu_of_server) is None
    assert results.as_json()["cases"][0]["median"]["cpu_of_server"] == 0.75
    assert "CPU as a share of the server's: archive -> influxdb 75 %" in lines(results)


def test_a_limit_has_no_limits(results):
    assert results.ratios(results.find("write", store="influxdb")) is None


def test_the_json_is_read_back_as_it_was(results):
    again = read_results(json.loads(json.dumps(results.as_json(), allow_nan=False)))

    assert again.as_json() == results.as_json()


def test_json_of_something_else_is_refused():
    with pytest.raises(ValueError, match="no results of a benchmark"):
        read_results({"schema": 99})


@pytest.mark.parametrize(
    ("share", "text"), [(None, "-"), (0.843, "84 %"), (1.2, "120 %"), (2.06, "2.1 x"), (31.25, "31 x")]
)
def test_a_share_for_people(share, text):
    assert share_text(share) == text


@pytest.mark.parametrize(("busy", "where"), [(0.95, "store"), (0.6, "both"), (0.2, "source")])
def test_the_writer_tells_where_the_pressure_is(results, busy, where):
    case = results.case("x", "path", "rest", "x")
    case.runs.append(figures(writer_busy=busy))

    assert pressure(case) == f"{where} {100 * busy:.0f} %"


def test_the_table_fits_a_terminal_and_names_everything(results):
    shown = list(lines(results))

    assert max(map(len, shown)) <= 140
    for words in ("archive -> influxdb", "250,000 (200-500k)", "re-plan", "limiter at 1200: 96 %", "a reason", "abc"):
        assert any(words in line for line in shown), words


def test_the_picture_is_sound_xml_for_light_and_dark_ground(results):
    picture = draw(results)

    root = ElementTree.fromstring(picture)  # noqa: S314, our own
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "archive \N{RIGHTWARDS ARROW} influxdb" in texts
    assert "250,000" in texts
    assert any("A<B & C" in text for text in texts)
    assert "prefers-color-scheme: dark" in picture


def test_the_picture_of_nothing_is_a_picture():
    empty = Results(machine=MACHINE, work={"candles": 1, "symbols": 1}, repeats=1, budget_rate=1.0)

    assert ElementTree.fromstring(draw(empty)).tag.endswith("svg")  # noqa: S314, our own
