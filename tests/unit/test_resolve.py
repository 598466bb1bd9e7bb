"""From what was asked to series with a wanted range."""

import pytest

from laklak.errors import SettingsError, SymbolError
from laklak.model.series import DAY_MS, MINUTE_MS, Instrument, Interval, TimeRange
from laklak.plan.wanted import Asked, Every, Unlisted, clip_to_clock, resolve

MINUTE = Interval.parse("1m")
NOW = 1_771_977_600_000
CLOCK = NOW + 31_234


def clip(start=None, end=None, days=None, interval=MINUTE):
    return clip_to_clock(start, end, days, CLOCK, interval)


def test_days_count_back_from_the_last_closed_candle():
    assert clip(days=2) == TimeRange(NOW - 2 * DAY_MS, NOW)


def test_days_count_back_from_the_end_when_one_is_given():
    end = NOW - 5 * DAY_MS

    assert clip(days=2, end=end) == TimeRange(end - 2 * DAY_MS, end)


def test_the_end_is_clipped_to_the_clock_on_the_grid():
    assert clip(start=NOW - DAY_MS, end=NOW + DAY_MS).end_ms == NOW


@pytest.mark.parametrize("name", ["5m", "1h", "1d"])
def test_the_clock_is_floored_to_the_interval(name):
    interval = Interval.parse(name)

    assert clip(days=3, interval=interval).end_ms == CLOCK // interval.ms * interval.ms


@pytest.mark.parametrize(
    ("settle_s", "last_ms"), [(0.0, NOW), (31.234, NOW), (31.235, NOW - MINUTE_MS), (100.0, NOW - 2 * MINUTE_MS)]
)
def test_a_candle_is_wanted_when_it_has_been_closed_for_as_long_as_settle(settle_s, last_ms):
    assert clip_to_clock(NOW - DAY_MS, None, None, CLOCK, MINUTE, settle_s).end_ms == last_ms


def test_an_end_long_before_the_clock_is_the_end_whatever_settle_is():
    assert clip_to_clock(NOW - DAY_MS, NOW - 5 * MINUTE_MS, None, CLOCK, MINUTE, 5.0).end_ms == NOW - 5 * MINUTE_MS


def test_a_range_that_is_empty_only_by_settle_says_so():
    with pytest.raises(SettingsError, match="the range is empty") as caught:
        clip_to_clock(NOW - MINUTE_MS, None, None, NOW + 4_000, MINUTE, 5.0)

    assert "a candle is wanted 5 s after its close" in caught.value.hint


@pytest.mark.parametrize("asked", [{"start": NOW}, {"start": NOW + 1}, {"start": 5, "end": 5}, {"start": 6, "end": 5}])
def test_an_empty_range_is_refused_and_says_what_the_clock_shows(asked):
    with pytest.raises(SettingsError, match="the range is empty") as caught:
        clip(**asked)

    assert "2026-02-25T00:00:31.234Z" in caught.value.hint


def test_without_a_start_there_is_no_range():
    with pytest.raises(SettingsError, match="no range given"):
        clip(end=NOW)


def perpetual(symbol: str, quote: str = "USDT", status: str = "TRADING", kind: str = "perpetual") -> Instrument:
    return Instrument(symbol, status, None, None, quote, kind)


def test_all_is_what_trades_and_what_is_held_of_the_quote():
    listed = [
        perpetual("BUSDT"),
        perpetual("AUSDT"),
        perpetual("AUSDC", "USDC"),
        perpetual("OLDUSDT", status="SETTLING"),
        perpetual("AUSDT_260327", kind="CURRENT_QUARTER"),
    ]
    held = ["AUSDT", "OLDUSDT", "GONEUSDT", "GONEUSDC"]

    asked = Every("binance", "USDT").asked(listed, held)
    assert [(one.symbol, one.held) for one in asked] == [
        ("AUSDT", False),
        ("BUSDT", False),
        ("GONEUSDT", True),
        ("OLDUSDT", True),
    ]
    assert {one.symbol for one in Every("binance").asked(listed, held)} >= {"AUSDC", "GONEUSDC"}


SPAN = TimeRange(NOW - 10 * MINUTE_MS, NOW)
LISTED = {
    "BTCUSDT": Instrument("BTCUSDT", "TRADING", 0, None),
    "NEWUSDT": Instrument("NEWUSDT", "TRADING", NOW - 4 * MINUTE_MS - 1, None),
    "OLDUSDT": Instrument("OLDUSDT", "SETTLING", 0, NOW - 6 * MINUTE_MS),
    "GONEUSDT": Instrument("GONEUSDT", "SETTLING", 0, NOW - 600 * MINUTE_MS),
    "SOONUSDT": Instrument("SOONUSDT", "TRADING", 0, CLOCK + MINUTE_MS),
    "币安人生USDT": Instrument("币安人生USDT", "TRADING", 0, None),
}


def resolved(*symbols, typed=False):
    return resolve([Asked(symbol, "binance", typed) for symbol in symbols], LISTED, MINUTE, SPAN)


def test_every_symbol_becomes_one_target_in_the_order_asked():
    targets = resolved("OLDUSDT", "BTCUSDT", "OLDUSDT", "币安人生USDT").targets

    assert [str(target.series) for target in targets] == [
        "binance:OLDUSDT:1m",
        "binance:BTCUSDT:1m",
        "binance:币安人生USDT:1m",
    ]


def test_dates_of_the_listing_cut_nothing():
    targets = resolved("NEWUSDT", "OLDUSDT", "GONEUSDT", "SOONUSDT").targets

    assert {target.wanted for target in targets} == {SPAN}
    assert {target.asked_start_ms for target in targets} == {SPAN.start_ms}


def test_a_listed_symbol_that_the_venue_does_not_know_fails_alone():
    outcome = resolved("BTCUSTD", "BTCUSDT")

    assert [target.series.symbol for target in outcome.targets] == ["BTCUSDT"]
    assert [(one.series, one.reason) for one in outcome.failed] == [("binance:BTCUSTD:1m", "unknown_symbol")]
    assert "did you mean BTCUSDT" in outcome.failed[0].detail


@pytest.mark.parametrize(
    ("typed", "meant"), [("btcusdt", "BTCUSDT"), ("BTC", "BTCUSDT"), ("new", "NEWUSDT"), ("BTCUDST", "BTCUSDT")]
)
def test_a_typed_symbol_that_the_venue_does_not_know_is_an_error_with_a_suggestion(typed, meant):
    outcome = resolved("BTCUSDT", typed, typed=True)

    (error,) = outcome.typed_unknown
    assert isinstance(error, SymbolError)
    assert f"does not know the symbol {typed}" in str(error)
    assert f"did you mean {meant}" in error.hint
    assert [target.series.symbol for target in outcome.targets] == ["BTCUSDT"]
    assert [(one.series, one.reason) for one in outcome.failed] == [(f"binance:{typed}:1m", "unknown_symbol")]


def test_a_typed_symbol_like_no_other_gets_a_hint_all_the_same():
    (error,) = resolved("^GSPC", typed=True).typed_unknown

    assert error.hint


LIFE = TimeRange(NOW - 4 * MINUTE_MS, NOW - 2 * MINUTE_MS)


def with_unlisted(found, *, typed=False, packaged=False):
    return resolve([Asked("GONUSDT", "binance", typed, packaged)], LISTED, MINUTE, SPAN, {"GONUSDT": found})


def test_what_is_not_listed_and_has_candles_is_wanted_where_it_has_them():
    (target,) = with_unlisted(Unlisted(LIFE, files_only=True), typed=True).targets

    assert (target.wanted, target.files_only, target.settled) == (LIFE, True, True)


def test_a_life_outside_of_the_range_leaves_nothing_wanted():
    (target,) = with_unlisted(Unlisted(TimeRange(0, 5 * MINUTE_MS))).targets

    assert not target.wanted
    assert SPAN.start_ms <= target.wanted.start_ms <= SPAN.end_ms


def test_of_the_packaged_list_what_nobody_knows_is_no_failure():
    outcome = with_unlisted(Unlisted(why="nobody has it"), packaged=True)

    assert (outcome.failed, outcome.unknown) == ((), ("binance:GONUSDT:1m",))


def test_what_could_not_be_asked_for_is_a_failure_of_its_own_even_if_typed():
    (failed,) = with_unlisted(Unlisted(undecided=True, why="no answer"), typed=True).failed

    assert (failed.reason, failed.detail) == ("fetch_failed", "no answer")


def test_the_error_of_a_typed_symbol_says_who_was_asked():
    (error,) = with_unlisted(Unlisted(why="nobody has it"), typed=True).typed_unknown

    assert "does not know the symbol GONUSDT: nobody has it" in str(error)
