"""What each venue's page costs from bytes to checked rows, beside Binance's in the same run.

    python benchmarks/venue_pages.py [--rounds 60] [--json]

The same recorded candles (real ones of LTCUSDT, tests/recorded/binance) are spelled as each venue spells its largest
page, by the dialects of the simulator, and read and checked as a run does it.  A round takes every venue once, so that
whatever else the machine does meets all of them; CPU is that of this process, and the figures are medians over rounds:
of the ns for a row, and of what they are beside Binance's of the same round.  Before anything is timed, the candles of
every page are held against those that it was made of.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from laklak.model.series import Interval, Series, TimeRange
from laklak.plan.rows import Checked, check_page
from laklak.simulator import load_recorded
from laklak.simulator.dialects import DIALECTS
from laklak.simulator.rows import OPEN_TIME, VOLUME
from laklak.venues import VENUES
from laklak.venues.base import Answer, Asked, Venue, unlisted

RECORDED = Path(__file__).parents[1] / "tests" / "recorded" / "binance"
SYMBOL = "LTCUSDT"
BESIDE = "binance"
ROWS_A_TURN = 3000
"""About so many of each venue are read in a round: small pages several times."""


@dataclass(frozen=True)
class Case:
    """A venue's page: how to read it, and how many candles it has."""

    name: str
    read: Callable[[], Checked]
    candles: int


def cases() -> list[Case]:
    """The largest page of every venue; ValueError where one does not give the candles that it was made of."""
    source = load_recorded(RECORDED)
    last = source.newest(SYMBOL, 0, source.end_ms, max(venue.page.rows for venue in VENUES.values()))
    return [case_of(venue, last[: venue.page.rows]) for venue in VENUES.values()]


def case_of(venue: Venue, rows: list[bytes]) -> Case:
    series = Series(venue.name, venue.example, Interval.parse("1m"))
    cells = [orjson.loads(row) for row in rows]
    span = TimeRange(cells[0][OPEN_TIME], cells[-1][OPEN_TIME] + series.interval.ms)
    asked = Asked(series, unlisted(series.symbol), span)
    request, dialect = venue.candles_request(asked), DIALECTS[venue.name]
    body = dialect.candles(dialect.read_candles(request.path, dict(request.query)), rows, span.end_ms + 3_600_000)

    def read() -> Checked:
        return check_page(venue.read_candles(Answer(200, {}, body), asked), series, span)

    checked = read()
    found = zip(checked.candles.open_times, *checked.candles.values, strict=True)
    sent = {one[OPEN_TIME]: tuple(map(float, one[1 : VOLUME + 1])) for one in cells}
    if checked.refusals or not len(checked.candles) or any(sent[at_ms] != tuple(values) for at_ms, *values in found):
        raise ValueError(f"the page of {venue.name} is not read as what it was made of")
    return Case(venue.name, read, len(checked.candles))


def measure(pages: Sequence[Case], rounds: int) -> Mapping[str, list[float]]:
    """CPU ns for a row of each venue, round by round."""
    measured: dict[str, list[float]] = {}
    for _ in range(rounds):
        for case in pages:
            turns = max(1, ROWS_A_TURN // case.candles)
            begun_ns = time.process_time_ns()
            for _ in range(turns):
                case.read()
            taken_ns = time.process_time_ns() - begun_ns
            measured.setdefault(case.name, []).append(taken_ns / turns / case.candles)
    return measured


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What each venue's page costs from bytes to checked rows.")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wanted = parser.parse_args(arguments)
    pages = cases()
    measured = measure(pages, wanted.rounds)
    figures = {
        case.name: {
            "rows": case.candles,
            "ns_a_row": round(statistics.median(measured[case.name])),
            "beside_binance": round(
                statistics.median(a / b for a, b in zip(measured[case.name], measured[BESIDE], strict=True)), 2
            ),
        }
        for case in pages
    }
    if wanted.json:
        machine = {"python": sys.version.split()[0], "machine": platform.platform(), "rounds": wanted.rounds}
        print(json.dumps({**machine, "venues": figures}))
        return
    print(f"{'venue':14} {'rows':>6} {'ns a row':>9} {'x Binance':>10}")
    for name, one in figures.items():
        print(f"{name:14} {one['rows']:6} {one['ns_a_row']:9} {one['beside_binance']:10.2f}")


if __name__ == "__main__":
    main()
