"""What a run says at the end: the sums, the exit status, the JSON."""

import json

import pytest
from summary_keys import SUMMARY_KEYS

from laklak.errors import SettingsError, StoreBusy, StoreFull, TransientError, TryLater, VenueUnreachable
from laklak.model.absences import Absence
from laklak.model.account import Account
from laklak.model.candles import CandleBatch
from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.cost import Alternative
from laklak.plan.missing import SeriesPlan
from laklak.plan.wanted import EndedSeries, FailedSeries
from laklak.report.ledger import Ledger
from laklak.report.progress import Report, VenueFigures
from laklak.report.summary import Estimate, summarise
from laklak.stores.base import Delivery

MINUTE = Interval.parse("1m")


def ledger(symbol="BTCUSDT", wanted=10, stored=0, written=0, rejected=0, known_rejected=0, holes=0):
    series = Series("binance", symbol, Interval.parse("1m"))
    span = TimeRange(0, wanted * MINUTE_MS)
    one = Ledger(SeriesPlan(series, span, None, stored, holes, known_rejected, (span,)))
    times = [minute * MINUTE_MS for minute in range(written)]
    absences = [Absence.at(MINUTE, minute * MINUTE_MS, "rejected", 1, "", "[]") for minute in range(rejected)]
    batch = CandleBatch(series, times, (["1"] * written,) * 5, ([1.0] * written,) * 5)
    one.acknowledged(Delivery(series, batch, absences))
    return one


def report(*ledgers, **values):
    return Report(store="sqlite:///x.db", start_ms=0, end_ms=600_000, ledgers=list(ledgers), **values)


def test_nothing_left_is_complete_and_exit_0():
    summary = summarise(report(ledger(written=6, stored=4)))

    assert (summary.exit, summary.complete, summary.missing) == (0, True, 0)


def test_known_holes_and_known_rejects_are_no_failure():
    assert summarise(report(ledger(written=6, holes=3, known_rejected=1))).exit == 0


@pytest.mark.parametrize(
    "left",
    [
        report(ledger(written=9)),
        report(ledger(written=9, rejected=1)),
        report(ledger(written=10), failed=[FailedSeries("binance:X:1m", "unknown_symbol", "")]),
    ],
    ids=["missing", "newly rejected", "failed series"],
)
def test_what_another_run_could_change_is_exit_1(left):
    summary = summarise(left)

    assert (summary.exit, summary.complete) == (1, False)


def test_a_series_that_has_ended_is_named_and_no_failure():
    summary = summarise(report(ledger(written=10), ended=[EndedSeries("binance:OLD:1m", 300_000, "SETTLING")]))

    assert summary.exit == 0
    assert summary.as_json()["ended_series"] == [
        {"series": "binance:OLD:1m", "ended": "1970-01-01T00:05Z", "status": "SETTLING"}
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("x"), 2),
        (VenueUnreachable("x"), 2),
        (StoreFull("x"), 1),
        (StoreBusy("x"), 75),
        (TryLater("x", until_ms=600_000), 75),
        (TransientError("x"), 1),
    ],
)
def test_an_error_sets_the_exit_status_and_is_told(error, code):
    summary = summarise(report(ledger(written=10)), error=error)

    assert (summary.exit, summary.complete) == (code, False)
    assert summary.error == f"{error.reason}: x"


@pytest.mark.parametrize(("others", "code"), [(0, 75), (1, 1)])
def test_a_ban_sets_the_exit_status_only_where_nothing_else_is_missing_from_the_same_series(others, code):
    banned = ledger()
    banned.trouble("undecided", others, "answered in two different ways")
    banned.trouble(TryLater.reason, banned.missing - others, "banned")
    ends = {"binance": VenueFigures(end=TryLater("banned", until_ms=600_000))}

    assert summarise(report(banned, venues=ends)).exit == code


def test_the_end_of_a_ban_is_told():
    summary = summarise(report(ledger()), error=TryLater("banned", until_ms=600_000, hint="later"))

    assert (summary.banned_until, summary.hint) == ("1970-01-01T00:10Z", "later")


def test_a_signal_sets_the_exit_status_even_when_nothing_is_left():
    summary = summarise(report(ledger(written=10)), exit_code=130)

    assert (summary.exit, summary.complete, summary.missing) == (130, False, 0)


def test_the_json_of_a_summary_has_exactly_the_documented_keys_and_adds_up():
    run = report(
        ledger("A", written=5, rejected=1, holes=1),
        ledger("B", stored=10),
        failed=[FailedSeries("binance:X:1m", "unknown_symbol", "who?")],
        series=3,
        seconds=2.0,
    )

    values = summarise(run).as_json()

    assert list(values) == SUMMARY_KEYS
    assert values["schema"] == 1
    parts = ("stored_before", "written", "holes", "rejected", "quiet", "missing")
    assert values["wanted"] == sum(values[part] for part in parts) == 20
    assert values["candles_per_second"] == 2.5
    assert values["failed_series"] == [{"series": "binance:X:1m", "reason": "unknown_symbol", "detail": "who?"}]
    assert (values["start"], values["end"]) == ("1970-01-01T00:00Z", "1970-01-01T00:10Z")
    json.dumps(values, allow_nan=False)


def test_a_run_that_never_began_still_has_every_key():
    values = summarise(Report(), error=SettingsError("no", hint="do")).as_json()

    assert list(values) == SUMMARY_KEYS
    assert (values["exit"], values["start"], values["wanted"], values["hint"]) == (2, None, 0, "do")


def test_the_json_of_an_estimate_is_plain_data():
    estimate = Estimate(
        store="s", start="a", end="b", series=1, to_fetch=4,
        account=Account(wanted=10, stored_before=1, holes=2, rejected=3),
        requests=1, weight=1, budget=1200, chunk=1000, seconds_estimated=0.5, seconds_auto=0.4,
        files=1, file_candles=2, file_bytes=82, file_seconds=0.1, no_source=0,
        failed_series=(FailedSeries("x", "y", "z"),), begun_series=(), ended_series=(), reached_series=(),
        alternatives=(Alternative("binance", 499, 1200, 1, 1, 0.4, True),),
    )  # fmt: skip

    values = estimate.as_json()

    assert json.loads(json.dumps(values)) == values
    assert values["alternatives"] == [
        {"venue": "binance", "chunk": 499, "budget": 1200, "requests": 1, "weight": 1, "seconds": 0.4, "now": True}
    ]
    assert values["wanted"] == sum(values[key] for key in ("stored_before", "holes", "rejected", "to_fetch"))
