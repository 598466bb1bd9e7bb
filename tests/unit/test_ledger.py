"""The account of one series: what is wanted is always stored, written, absent or missing."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from laklak.model.absences import Absence
from laklak.model.candles import CandleBatch
from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.answers import Doubts
from laklak.plan.missing import SeriesPlan
from laklak.report.ledger import NOT_YET, Ledger
from laklak.stores.base import Delivery

MINUTE = Interval.parse("1m")

SERIES = Series("binance", "BTCUSDT", Interval.parse("1m"))


def span(start, end):
    return TimeRange(start * MINUTE_MS, end * MINUTE_MS)


def ledger_of(wanted=100, stored=0, holes=0, rejected=0):
    return Ledger(SeriesPlan(SERIES, span(0, wanted), None, stored, holes, rejected, (span(0, wanted),)))


def delivery(candles=0, holes=0, rejected=0):
    times = range(0, candles * MINUTE_MS, MINUTE_MS)
    batch = CandleBatch(SERIES, times, (["1"] * candles,) * 5, ([1.0] * candles,) * 5)
    absences = [Absence.at(MINUTE, n * MINUTE_MS, "hole", 1, "") for n in range(holes)]
    absences += [Absence.at(MINUTE, n * MINUTE_MS, "rejected", 1, "") for n in range(rejected)]
    return Delivery(SERIES, batch if candles else None, absences)


counts = st.integers(0, 9)


@given(st.lists(st.tuples(counts, counts, counts), max_size=5), counts, counts, counts)
def test_the_sum_holds_after_every_delivery(deliveries, stored, holes, rejected):
    ledger = ledger_of(200, stored, holes, rejected)

    for parts in deliveries:
        ledger.acknowledged(delivery(*parts))

        counted = ledger.account.stored_before + ledger.written + ledger.account.holes + ledger.account.rejected
        assert counted + ledger.missing == ledger.plan.wanted_count
    assert ledger.written == sum(candles for candles, _, _ in deliveries)
    assert ledger.account.holes == holes + sum(found for _, found, _ in deliveries)
    assert ledger.account.rejected == rejected + sum(found for _, _, found in deliveries)


def test_everything_is_missing_until_the_store_has_acknowledged_it():
    assert ledger_of().missing == 100


def test_a_refetched_minute_that_is_kept_counts_as_stored_before():
    ledger = ledger_of()
    ledger.kept += 3

    assert (ledger.account.stored_before, ledger.missing) == (3, 97)


def test_doubts_are_collected_and_handed_out_once():
    ledger = ledger_of()
    ledger.doubt(Doubts((span(0, 2),), {5: "a"}))
    ledger.doubt(Doubts((span(8, 9),), {7: "b"}))

    taken, again = ledger.take_doubts(), ledger.take_doubts()

    assert taken == Doubts((span(0, 2), span(8, 9)), {5: "a", 7: "b"})
    assert not again


def test_nothing_is_wanted_outside_of_the_life_that_candles_have_shown():
    one = ledger_of(100)
    one.begins(10 * MINUTE_MS)
    one.ends(90 * MINUTE_MS)

    assert (one.wanted_count, one.missing) == (80, 80)


def test_a_series_that_has_candles_after_its_end_lives_on():
    one = ledger_of(100)
    one.ends(90 * MINUTE_MS)

    one.saw(95 * MINUTE_MS)

    assert one.wanted_count == 100


def test_an_earlier_first_candle_than_planned_widens_what_is_wanted_back_to_what_was_asked():
    plan = SeriesPlan(SERIES, span(20, 100), 20 * MINUTE_MS, 0, 0, 0, (span(20, 100),), asked_start_ms=5 * MINUTE_MS)
    one = Ledger(plan)

    more = [one.begins(minute * MINUTE_MS) for minute in (15, 17, 2)]

    assert [part for part in more if part] == [span(15, 20), span(5, 15)]
    assert (one.wanted_count, one.start_ms) == (95, 5 * MINUTE_MS)


def test_the_gravest_trouble_is_the_failure_with_its_last_detail():
    ledger = ledger_of()
    ledger.trouble("undecided", 4, "two ways")
    ledger.trouble("fetch_failed", 30, "first")
    ledger.trouble("fetch_failed", 40, "last")

    failure = ledger.failure()

    assert (failure.series, failure.reason) == ("binance:BTCUSDT:1m", "fetch_failed")
    assert failure.detail == "70 candles: last"


def test_trouble_about_no_candles_is_none():
    ledger = ledger_of()
    ledger.trouble("undecided", 0, "nothing")

    assert ledger.failure() is None


def test_trouble_that_was_overcome_is_no_failure():
    ledger = ledger_of()
    ledger.trouble("fetch_failed", 100, "at first")
    ledger.acknowledged(delivery(candles=100))

    assert ledger.failure() is None


def test_a_refusal_for_good_is_the_failure_whatever_else_went_wrong():
    ledger = ledger_of()
    ledger.trouble("fetch_failed", 90, "network")
    ledger.refuse("symbol_status", "code -1122")

    assert ledger.failure().reason == "symbol_status"


def test_a_known_hole_that_a_file_has_is_a_candle_and_no_hole_any_more():
    ledger = ledger_of(100, stored=95, holes=5)
    ledger.reopened = {minute * MINUTE_MS for minute in range(5)}

    ledger.acknowledged(delivery(candles=3))

    assert (ledger.written, ledger.account.holes, ledger.filled, ledger.missing) == (3, 2, 3, 0)


def test_a_known_hole_that_is_one_still_counts_once():
    ledger = ledger_of(100, stored=95, holes=5)
    ledger.reopened = {minute * MINUTE_MS for minute in range(5)}

    ledger.acknowledged(delivery(holes=5))

    assert (ledger.new_holes, ledger.account.holes, ledger.missing) == (0, 5, 0)


def test_what_is_blocked_is_missing_and_no_more_than_that():
    ledger = ledger_of(10, stored=4)
    ledger.trouble("other_types", 5, "why")
    ledger.trouble("fetch_failed", 1, "why")

    assert (ledger.missing, ledger.account.blocked) == (6, 5)

    ledger.acknowledged(delivery(3))

    assert (ledger.missing, ledger.account.blocked) == (3, 3)


def test_all_is_got_when_only_what_cannot_be_written_is_missing():
    ledger = Ledger(SeriesPlan(SERIES, span(0, 10), None, 4, 0, 0, (span(4, 7),), blocked=(span(7, 10),)))

    assert not ledger.got_all

    ledger.acknowledged(delivery(3))

    assert ledger.got_all
    assert ledger.missing == 3


def test_a_stretch_without_candles_is_not_wanted_any_more():
    ledger = ledger_of(100)
    ledger.acknowledged(delivery(candles=10))

    # Half of it lies behind what is wanted.
    ledger.acknowledged(Delivery(SERIES, None, [Absence(span(90, 110), "after_last", 1, "")]))
    ledger.acknowledged(Delivery(SERIES, None, [Absence(span(20, 25), "closed", 1, "")]))

    assert (ledger.wanted_count, ledger.written, ledger.account.holes, ledger.missing) == (85, 10, 0, 75)


def test_a_quiet_stretch_is_wanted_and_has_a_number_of_its_own():
    ledger = ledger_of(100)

    # Half of it lies behind what is wanted.
    ledger.acknowledged(Delivery(SERIES, None, [Absence(span(90, 110), "quiet", 1, "")]))

    assert (ledger.account.wanted, ledger.account.quiet, ledger.missing) == (100, 10, 90)


@given(st.integers(0, 12), st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_of_what_is_written_the_candles_count_as_missed_that_had_closed_before_the_last_run_ended(
    turned, corrected, refused
):
    ledger = ledger_of()
    ledger.turned_ms = turned * MINUTE_MS + MINUTE_MS // 2
    times = [{minute * MINUTE_MS for minute in some} for some in (corrected, refused)]

    ledger.acknowledged(replace(delivery(10), corrected=frozenset(times[0])), times[1])

    assert ledger.missed == len(set(range(min(10, turned))) - corrected - refused)


def test_what_has_not_come_yet_is_no_failure_where_that_is_left_out():
    ledger = ledger_of()
    ledger.not_yet(60)
    assert ledger.failure().reason == NOT_YET
    assert ledger.failure(but=NOT_YET) is None

    ledger.trouble("fetch_failed", 3, "HTTP 503")
    assert ledger.failure(but=NOT_YET).detail == "3 candles: HTTP 503"
