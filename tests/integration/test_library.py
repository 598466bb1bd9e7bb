"""What a program calls instead of the command line."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from datetime import UTC, date, datetime
from pathlib import Path

import polars
import pytest
from copies import candles, fill

import laklak
from laklak.errors import SettingsError, StoreUnavailable, SymbolError, UsageError, VenueUnreachable
from laklak.settings.order import MODES
from laklak.settings.table import FLAGS

DAY_MS = 86_400_000
END_MS = 1_772_323_200_000


def run(work):
    return asyncio.run(work)


def test_the_public_names_are_there_and_no_others():
    assert sorted(laklak.__all__) == [
        "Certificate",
        "CopySummary",
        "CoverageReport",
        "DigestReport",
        "Estimate",
        "Explanation",
        "ExportReport",
        "ImportSummary",
        "LaklakError",
        "Progress",
        "RunRecord",
        "Summary",
        "VerifiedSummary",
        "VerifyReport",
        "__version__",
        "aread_candles",
        "backfill",
        "certificate",
        "copy",
        "coverage",
        "digest",
        "explain",
        "export",
        "fill",
        "import_",
        "read_candles",
        "resample",
        "runs",
        "verify",
    ]
    assert all(getattr(laklak, name) is not None for name in laklak.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = laklak.nothing


def test_backfill_has_a_keyword_for_every_setting_that_is_a_flag_and_for_every_mode():
    keywords = set(inspect.signature(laklak.backfill).parameters) - {"symbols", "all", "quote", "config", "progress"}
    assert keywords == FLAGS.keys() | MODES


def test_backfill_gives_a_summary_and_prints_nothing(venue, capfd):
    venue()
    summary = run(laklak.backfill(["LTCUSDT"], days=1, store="c.db"))
    assert isinstance(summary, laklak.Summary)
    assert (summary.exit, summary.complete, summary.written) == (0, True, 1440)
    assert capfd.readouterr() == ("", "")


def test_backfill_of_nothing_named_takes_the_list(venue, tmp_path):
    venue()
    path = tmp_path / "list.txt"
    path.write_text("LTCUSDT binance\nDOTUSDT binance\n")
    assert run(laklak.backfill(assets=path, days=1, store=tmp_path / "c.db")).series == 2


def test_one_symbol_may_be_given_as_plain_text(venue):
    venue()
    assert run(laklak.backfill("LTCUSDT", days=1)).wanted == 1440


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-02-27", "2026-02-28"),
        (date(2026, 2, 27), date(2026, 2, 28)),
        (datetime(2026, 2, 27, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC)),
        (datetime(2026, 2, 27), datetime(2026, 2, 28)),  # noqa: DTZ001
    ],
)
def test_times_may_be_text_dates_or_datetimes(start, end, venue, stored, truth):
    venue()
    run(laklak.backfill("LTCUSDT", start=start, end=end))
    assert stored() == truth(["LTCUSDT"], END_MS - 2 * DAY_MS, END_MS - DAY_MS)
    assert laklak.read_candles("laklak.db", "binance:LTCUSDT:1m", start, end).height == 1440


def test_a_dry_run_gives_an_estimate(venue):
    running = venue()
    estimate = run(laklak.backfill("LTCUSDT", days=2, dry_run=True))
    assert isinstance(estimate, laklak.Estimate)
    assert (estimate.wanted, estimate.to_fetch, estimate.requests) == (2880, 2880, 3)
    assert running.candle_hits == []


@pytest.mark.parametrize(
    ("symbols", "options", "error"),
    [
        ("LTCUSDT", {}, UsageError),
        ("LTCUSDT", {"days": 0}, SettingsError),
        ("LTCUSDT", {"days": 1, "store": "no/folder/x.db"}, StoreUnavailable),
        ("LTCUSDT", {"days": 1, "interval": "1w"}, SettingsError),
        ("LTCUSD", {"days": 1}, SymbolError),
        ("LTCUSDT", {"days": 1, "budget": 10**5}, SettingsError),
        ("LTCUSDT", {"days": 1, "chunk": 1501}, SettingsError),
        ("LTCUSDT", {"days": True}, SettingsError),
        ("LTCUSDT", {"days": 1, "store": None, "config": "none.toml"}, SettingsError),
    ],
)
def test_what_cannot_start_raises(symbols, options, error, venue):
    venue()
    with pytest.raises(error) as raised:
        run(laklak.backfill(symbols, **options))
    assert isinstance(raised.value, laklak.LaklakError)
    assert raised.value.exit_code == 2


def test_a_venue_that_cannot_be_reached_raises(monkeypatch, timing):
    timing(backoff_most_s=0.02)
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://127.0.0.1:9")
    with pytest.raises(VenueUnreachable):
        run(laklak.backfill("LTCUSDT", days=1))


def test_two_backfills_may_run_in_one_loop(venue, stored, truth):
    venue(latency_s=0.02)

    async def both():
        return await asyncio.gather(
            laklak.backfill("LTCUSDT", days=2, store="one.db"), laklak.backfill("LTCUSDT", days=2, store="other.db")
        )

    assert [summary.exit for summary in run(both())] == [0, 0]
    assert stored("one.db") == stored("other.db") == truth(["LTCUSDT"], END_MS - 2 * DAY_MS)


def test_a_cancelled_backfill_leaves_a_sound_store(venue, stored, truth):
    running = venue(latency_s=0.1)

    async def cut_short():
        task = asyncio.create_task(laklak.backfill("LTCUSDT", days=4, chunk=99, workers=4))
        await asyncio.to_thread(running.wait_for_candle_hits, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(asyncio.wait_for(cut_short(), 20))
    everything = truth(["LTCUSDT"])
    assert all(everything[key] == values for key, values in stored().items())
    assert run(laklak.backfill("LTCUSDT", days=4)).exit == 0
    assert stored() == everything


def test_candles_are_read_sorted_with_the_types_promised(venue, truth):
    venue()
    run(laklak.backfill("LTCUSDT", days=2))
    frame = laklak.read_candles("laklak.db", "binance:LTCUSDT:1m")
    assert frame.schema == {
        "open_time": polars.Datetime("ms", "UTC"),
        **dict.fromkeys(("open", "high", "low", "close", "volume"), polars.Float64),
    }
    assert frame["open_time"].is_sorted()
    times = frame["open_time"].dt.timestamp("ms").to_list()
    values = [tuple(row) for row in frame.drop("open_time").iter_rows()]
    assert dict(zip((("LTCUSDT", time) for time in times), values, strict=True)) == truth(
        ["LTCUSDT"], END_MS - 2 * DAY_MS
    )


def test_a_part_of_the_candles_is_read_with_an_exclusive_end(venue):
    venue()
    run(laklak.backfill("LTCUSDT", days=1))
    frame = laklak.read_candles("laklak.db", "binance:LTCUSDT:1m", "2026-02-28T10:00", "2026-02-28T10:03")
    assert [moment.isoformat() for moment in frame["open_time"]] == [
        f"2026-02-28T10:0{minute}:00+00:00" for minute in range(3)
    ]
    last = laklak.read_candles("laklak.db", "binance:LTCUSDT:1m", last=2)
    assert last["open_time"].to_list()[-1] == datetime(2026, 2, 28, 23, 59, tzinfo=UTC)
    assert last.height == 2


def test_candles_are_read_inside_of_a_running_loop_as_in_a_notebook(venue):
    venue()
    run(laklak.backfill("LTCUSDT", days=1))

    async def notebook():
        return laklak.read_candles("laklak.db", "binance:LTCUSDT:1m"), await laklak.aread_candles(
            "laklak.db", "binance:LTCUSDT:1m"
        )

    one, other = run(notebook())
    assert one.height == 1440
    assert one.equals(other)


def test_dir_shows_what_there_is():
    assert dir(laklak) == sorted(laklak.__all__)


def test_a_symbol_means_the_venue_and_the_interval_of_the_settings(venue, monkeypatch):
    venue()
    run(laklak.backfill("LTCUSDT", days=1))
    run(laklak.backfill("LTCUSDT", days=1, interval="1h"))
    assert laklak.read_candles("laklak.db", "LTCUSDT").height == 1440
    assert laklak.read_candles("laklak.db", "binance:LTCUSDT").height == 1440
    monkeypatch.setenv("LAKLAK_INTERVAL", "1h")
    assert laklak.read_candles("laklak.db", "LTCUSDT").height == 24


def test_a_whole_name_needs_no_settings(venue, monkeypatch):
    venue()
    run(laklak.backfill("LTCUSDT", days=1))
    monkeypatch.setenv("LAKLAK_INTERVAL", "nonsense")
    assert laklak.read_candles("laklak.db", "binance:LTCUSDT:1m").height == 1440


@pytest.mark.parametrize(
    ("series", "near"),
    [
        ("binance:LTCUSD:1h", "did you mean binance:LTCUSDT:1m?"),
        ("LTC", "did you mean binance:LTCUSDT:1m?"),
        ("LTCUSTD", "did you mean binance:LTCUSDT:1m?"),
        ("DOTUSDT", "fetch it first: laklak backfill binance:DOTUSDT --interval 1m"),
    ],
)
def test_a_series_that_the_store_does_not_have_raises_with_near_names(series, near, venue):
    venue()
    run(laklak.backfill("LTCUSDT", days=1))
    with pytest.raises(laklak.LaklakError) as caught:
        laklak.read_candles("laklak.db", series)
    assert str(caught.value).startswith("no candles of binance:")
    assert near in caught.value.hint


@pytest.mark.parametrize(
    "series", ["ltcusdt", "binance:ltcusdt:1m", "LTC/USDT:USDT", "binance:LTC/USDT:USDT", "BINANCE:LTCUSDT.P:1m"]
)
def test_a_series_may_be_spelled_as_other_tools_do(series, venue):
    venue()
    run(laklak.backfill("LTCUSDT", days=1))
    assert laklak.read_candles("laklak.db", series).height == 1440


def test_backfill_of_all_takes_what_the_venue_trades(venue):
    venue()
    assert run(laklak.backfill(all=True, quote="USDT", start="2026-02-28T23:58")).series == 7
    with pytest.raises(UsageError, match="exclude each other"):
        run(laklak.backfill("LTCUSDT", all=True, days=1))


def test_a_time_without_candles_of_a_series_that_is_there_is_an_empty_frame_of_the_same_types(venue):
    venue()
    run(laklak.backfill("LTCUSDT", days=1))
    empty = laklak.read_candles("laklak.db", "LTCUSDT", "2020-01-01", "2020-01-02")
    assert empty.height == 0
    assert empty.schema == laklak.read_candles("laklak.db", "LTCUSDT").schema


def test_progress_is_told_while_candles_come_and_once_at_the_end(venue):
    venue(latency_s=0.2)
    told = []
    summary = run(
        laklak.backfill(["LTCUSDT", "DOTUSDT"], days=1, budget=600, chunk=99, workers=2, progress=told.append)
    )
    assert summary.exit == 0
    assert len(told) > 2
    assert all(isinstance(one, laklak.Progress) and one.wanted == one.done + one.missing == 2880 for one in told)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert any(0 < one.done < 2880 and one.seconds_left for one in told)
    assert (told[-1].done, told[-1].series_complete, told[-1].seconds_left) == (2880, 2, 0.0)


def test_no_more_requests_are_told_than_are_planned_though_ends_of_series_are_asked_too(venue):
    venue()
    told = []
    run(laklak.backfill(["LTCUSDT", "DOTUSDT"], days=8, progress=told.append))
    assert all(one.requests <= one.requests_planned for one in told)
    assert told[-1].requests == told[-1].requests_planned > 0


def test_a_copy_tells_its_progress_too(venue):
    venue()
    run(laklak.backfill("LTCUSDT", days=1))
    told = []
    run(laklak.copy("laklak.db", "b.db", progress=told.append))
    assert (told[-1].wanted, told[-1].written, told[-1].missing) == (1440, 1440, 0)


def test_a_callback_that_fails_costs_the_callback_and_not_the_run(venue):
    venue(latency_s=0.2)
    calls = []

    def callback(_):
        calls.append(1)
        raise ZeroDivisionError

    summary = run(laklak.backfill("LTCUSDT", days=1, chunk=99, workers=1, progress=callback))
    assert (summary.exit, summary.written, len(calls)) == (0, 1440, 1)


@pytest.mark.parametrize(
    ("store", "series", "start", "error"),
    [
        ("none.db", "binance:LTCUSDT:1m", None, StoreUnavailable),
        ("laklak.db", "LTCUSDT,DOTUSDT", None, UsageError),
        ("laklak.db", "binance:LTCUSDT:1x", None, UsageError),
        ("laklak.db", "binance:LTCUSDT:1m", "soon", UsageError),
    ],
)
def test_reading_what_is_not_there_raises(store, series, start, error, venue):
    venue()
    run(laklak.backfill("LTCUSDT", days=1))
    with pytest.raises(error):
        laklak.read_candles(store, series, start)


@pytest.fixture
def filled(archive):
    archive()
    assert run(laklak.fill("LTCUSDT", lookback="48h", store="c.db")).exit == 0
    return "c.db"


def objects_of(one):
    """A result and all that it holds."""
    yield one
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            yield from objects_of(getattr(one, field.name))
    elif isinstance(one, list | tuple):
        for part in one:
            yield from objects_of(part)


def test_each_function_gives_a_frozen_object_and_prints_nothing(filled, capfd):
    whole = {"store": filled}
    given = {
        laklak.ExportReport: run(laklak.export("LTCUSDT", out="ltc.csv", days=1, **whole)),
        laklak.ImportSummary: run(laklak.import_("ltc.csv", series="binance:LTCUSDT:1m", store="back.db")),
        laklak.VerifiedSummary: run(laklak.resample(["1h", "1d"], "longer.db", "LTCUSDT", **whole)),
        laklak.CoverageReport: run(laklak.coverage(**whole)),
        laklak.DigestReport: run(laklak.digest(**whole)),
        laklak.VerifyReport: run(laklak.verify(sample=1, **whole)),
        laklak.Certificate: run(laklak.certificate(out="ltc.json", **whole)),
        laklak.Explanation: run(laklak.explain("LTCUSDT", datetime(2026, 2, 28, 4, 5, tzinfo=UTC), **whole)),
        laklak.RunRecord: run(laklak.runs(**whole))[0],
    }

    for kind, result in given.items():
        assert isinstance(result, kind)
        for part in objects_of(result):
            assert not dataclasses.is_dataclass(part) or part.__dataclass_params__.frozen, type(part)
    assert capfd.readouterr() == ("", "")
    assert (given[laklak.ExportReport].candles, given[laklak.ImportSummary].written) == (1440, 1440)
    assert (given[laklak.VerifiedSummary].written, given[laklak.CoverageReport].total.held) == (50, 2880)
    assert (given[laklak.VerifyReport].exit, given[laklak.Certificate].complete) == (0, True)
    assert given[laklak.Explanation].verdict == "held"


def test_what_the_functions_give_is_what_the_commands_print(filled, here):
    printed = here("digest", "--store", filled, "--json").json
    assert run(laklak.digest(store=filled)).root.hex() == printed["root"]
    paper = run(laklak.certificate(out="own.json", store=filled))
    assert here("certificate", "check", "own.json", "--store", filled).exit == 0
    assert paper.data == Path("own.json").read_bytes()
    assert run(laklak.verify(against="own.json", store=filled)).exit == 0


def test_made_candles_are_held_against_the_venues_own_for_programs_too(filled):
    summary = run(laklak.resample("1h", "longer.db", store=filled, verify="all"))
    (one,) = summary.verified.series
    assert (summary.exit, one.verdict, len(one.sampled)) == (0, "sound", 2)


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (lambda: laklak.export("LTCUSDT", out="-", store="c.db"), UsageError),
        (lambda: laklak.export("LTCUSDT", format="xls", store="c.db"), UsageError),
        (lambda: laklak.export([], store="c.db"), UsageError),
        (lambda: laklak.export("DOTUSDT", store="c.db"), SymbolError),
        (lambda: laklak.import_([], store="c.db"), UsageError),
        (lambda: laklak.import_("none.csv", series="binance:LTCUSDT:1m", store="c.db"), UsageError),
        (lambda: laklak.import_("none.csv", columns={"time": "ts"}, store="c.db"), UsageError),
        (lambda: laklak.resample([], "b.db", store="c.db"), UsageError),
        (lambda: laklak.resample("7m", "b.db", store="c.db"), UsageError),
        (lambda: laklak.resample("1h", "c.db", store="c.db"), UsageError),
        (lambda: laklak.resample("1h", "b.db", store="c.db", verify=0), UsageError),
        (lambda: laklak.verify(depth="deep", store="c.db"), UsageError),
        (lambda: laklak.verify(mend=True, store="c.db"), UsageError),
        (lambda: laklak.verify(against="none.json", store="c.db"), UsageError),
        (lambda: laklak.certificate(sign="key", store="c.db"), UsageError),
        (lambda: laklak.explain("LTCUSDT", "2026-02-28T00:00:30", store="c.db"), UsageError),
        (lambda: laklak.runs(0, store="c.db"), UsageError),
        (lambda: laklak.runs(series="DOTUSDT", store="c.db"), SymbolError),
        (lambda: laklak.digest(store="none.db"), StoreUnavailable),
        (lambda: laklak.fill("LTCUSDT", lookback="0", store="c.db"), UsageError),
    ],
)
def test_what_is_wrong_raises_and_ends_no_program(work, error, clean_room, capfd):
    fill("c.db", candles("binance:LTCUSDT:1m", range(60)))

    with pytest.raises(error) as raised:
        run(work())
    assert isinstance(raised.value, laklak.LaklakError)
    assert capfd.readouterr() == ("", "")
