"""What may be stored: every rule for a row, and that both ways of checking a page agree."""

import re
import string
import sys

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.model.candles import Page
from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.rows import check_page

SERIES = Series("binance", "BTCUSDT", Interval.parse("1m"))
START = 1_771_977_600_000
LENGTH = 20
SPAN = TimeRange(START, START + LENGTH * MINUTE_MS)
GOOD = ["10.0", "12.50", "9.10", "11", "3.000"]


def at(minute):
    return START + minute * MINUTE_MS


def row(minute, *cells):
    return [at(minute), *(cells or GOOD)]


def page_of(rows):
    # As an adapter gives them: six cells, None where some are missing.
    columns = zip(*((cells + [None] * 6)[:6] for cells in rows), strict=True)
    return Page(tuple(columns) or ((),) * 6, rows)


def check(rows):
    return check_page(page_of(rows), SERIES, SPAN)


def accepted(rows):
    return [(time - START) // MINUTE_MS for time in check(rows).candles.open_times]


def reasons(rows):
    return [refusal.reason for refusal in check(rows).refusals]


# Numbers

decimals = st.from_regex(r"(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?", fullmatch=True)


@settings(max_examples=examples(300))
@given(st.lists(decimals, min_size=1, max_size=LENGTH))
@example(["9007199254740993", "9999999999999999999.999999999999999999", "0.000000000000000001", "0.3", "1.0"])
@example(["179769313486231570.81", "2.225073858507201", "1234567890123456789.5", "0.100000000000000006"])
def test_stored_values_are_float_of_the_text_bit_for_bit(volumes):
    rows = [row(minute, "10.0", "12.5", "9.1", "11", volume) for minute, volume in enumerate(volumes)]

    candles = check(rows).candles

    assert list(candles.texts[4]) == volumes
    assert [value.hex() for value in candles.values[4]] == [float(text).hex() for text in volumes]
    assert all(type(value) is float for column in candles.values for value in column)


NO_DECIMALS = [
    *("", " ", "+1", "-1", "-0", "1e5", "1E5", "1e-5", ".5", "5.", ".", "00.1", "01", "0x1", "1_0", "1,0", "1 ", " 1"),
    *("NaN", "nan", "Infinity", "-Infinity", "inf", "null", "true", "1.2.3", "1..2", "1\n", "\n1", "1\r", "1\x00"),
    *("1\n2", "1\u20282", "1\u2028", "1\x85", "1\x1c2", "\u0661", "\u00b2", "\uff11", "1\u0660", "\u09e7.5", "1\u00a0"),
    *("1" * 20, "1." + "1" * 19, "9" * 400, "0." + "0" * 19, "1]", "[1", '1","2', "1,2"),
]


@pytest.mark.parametrize("text", NO_DECIMALS)
def test_text_that_is_no_plain_decimal_is_refused_in_any_column(text):
    for column in range(5):
        cells = list(GOOD)
        cells[column] = text

        checked = check([row(0), row(1, *cells), row(2)])

        assert [(time - START) // MINUTE_MS for time in checked.candles.open_times] == [0, 2], column
        assert [refusal.open_time_ms for refusal in checked.refusals] == [at(1)], column
        assert "is not a decimal number" in checked.refusals[0].reason, column


@given(st.text(alphabet=string.digits + ".+-eE \n\r,_\u0661\u2028xN", max_size=6))
def test_a_text_is_taken_exactly_when_it_is_a_plain_decimal(text):
    whole, point, fraction = text.partition(".")
    plain = (
        set(whole + fraction) <= set("0123456789")
        and whole != ""
        and (whole == "0" or whole[0] != "0")
        and (not point or fraction != "")
    )

    assert (accepted([row(0, *GOOD[:4], text)]) == [0]) == plain


@pytest.mark.parametrize("cell", [None, True, False, [], ["1"], {}, {"a": 1}, "", [[]]])
def test_a_cell_that_is_neither_text_nor_number_is_refused(cell):
    assert reasons([row(0, *GOOD[:4], cell)]) == ["volume is not a decimal number"]


@pytest.mark.parametrize("number", [3, 3.25, 0, 0.0, 1e-7, 10**19 - 1, 1e18])
def test_json_numbers_are_taken(number):
    candles = check([row(0, *GOOD[:4], number)]).candles

    assert candles.values[4] == [float(number)]
    assert float(candles.texts[4][0]) == float(number)


@pytest.mark.parametrize("number", [10**19, 2**64 - 1, 1e19, 1e300, float("nan"), float("inf"), float("-inf")])
def test_numbers_with_more_digits_than_a_text_may_have_are_refused(number):
    assert accepted([row(0, *GOOD[:4], f"{number:.0f}")]) == []
    assert accepted([row(0, *GOOD[:4], number)]) == []
    assert accepted([row(minute, *GOOD[:4], 1.5 if minute else number) for minute in range(3)]) == [1, 2]


@pytest.mark.parametrize("number", [-1, -0.5, -1e-300])
def test_a_negative_number_is_no_volume(number):
    assert reasons([row(0, *GOOD[:4], number)]) == ["volume is below zero"]


# Places


@pytest.mark.parametrize("time", [None, "1771977600000", 1771977600000.0, True, [], {}, -MINUTE_MS, 0, 2**63, 1e20])
def test_a_row_whose_time_is_no_minute_of_the_range_occupies_none(time):
    checked = check([row(0), [time, *GOOD], row(2)])

    assert [(t - START) // MINUTE_MS for t in checked.candles.open_times] == [0, 2]
    assert [refusal.open_time_ms for refusal in checked.refusals] == [None]


NO_TIMES = [None, "soon", "", True, [], {}, "1 Jan", float("nan"), "nan", float("inf"), str(at(4)), float(at(4))]


@pytest.mark.parametrize("time", NO_TIMES)
def test_a_row_that_tells_no_time_is_of_the_one_minute_that_lacks_between_its_neighbours(time):
    checked = check([row(2), row(3), [time, *GOOD], row(5), row(6)])

    assert [(t - START) // MINUTE_MS for t in checked.candles.open_times] == [2, 3, 5, 6]
    assert [(refusal.open_time_ms, refusal.reason) for refusal in checked.refusals] == [
        (at(4), "open_time is not an integer")
    ]
    assert not checked.strays
    assert checked.proves(checked.refusals[0])


@pytest.mark.parametrize("time", [str(at(3)), str(at(40)), float(at(5)), "0", "-1", at(40), at(-3)])
def test_a_row_that_tells_another_time_is_not_placed_by_its_neighbours(time):
    checked = check([row(2), row(3), [time, *GOOD], row(5), row(6)])

    assert [refusal.open_time_ms for refusal in checked.refusals] == [None]
    assert checked.strays


BAD = ["soon", *GOOD]


@pytest.mark.parametrize(
    "rows",
    [
        [row(3), BAD, row(5), row(6)],
        [row(2), row(3), BAD, row(5)],
        [BAD, row(5), row(6)],
        [row(2), row(3), BAD],
        [row(2), row(3), BAD, row(6), row(7)],
        [row(2), row(3), BAD, row(4), row(5)],
        [row(1), row(3), BAD, row(5), row(6)],
        [row(2), row(3), BAD, row(5), row(7)],
        [row(2), row(3), BAD, BAD, row(6), row(7)],
        [row(2), row(3, "10", "9", "9", "9", "1"), BAD, row(5), row(6)],
        [row(2), row(3), BAD, row(5), row(6), row(5, "11", "12", "10", "11", "1")],
        [row(2), row(3), BAD, row(5), row(6), row(4)],
        [row(2), row(3), BAD, row(5), row(6), [at(4) + 500, *GOOD]],
    ],
)
def test_a_row_without_a_time_whose_neighbours_leave_a_doubt_occupies_no_minute(rows):
    (of_bad,) = {refusal.open_time_ms for refusal in check(rows).refusals if "soon" in refusal.row}

    assert of_bad is None


@pytest.mark.parametrize("offset", [1, 999, 30_000, 59_999])
def test_a_row_off_the_grid_is_refused(offset):
    assert reasons([[at(0) + offset, *GOOD]]) == ["open_time is not on the grid of the interval"]


def test_a_row_off_the_grid_stands_for_its_minute_where_that_has_no_row_of_its_own():
    alone = check([[at(2) + 500, *GOOD]])
    beside = check([row(2), [at(2) + 500, *GOOD]])

    assert [refusal.open_time_ms for refusal in alone.refusals] == [at(2)]
    assert [refusal.open_time_ms for refusal in beside.refusals] == [None]
    assert not alone.strays
    assert not beside.strays


@pytest.mark.parametrize("stray", [["soon", *GOOD], [at(-3), *GOOD], [at(LENGTH), *GOOD], []])
def test_a_row_of_no_minute_that_was_asked_makes_the_answer_prove_nothing(stray):
    assert check([row(0), stray]).strays


def test_an_invalid_row_that_comes_twice_keeps_its_reason():
    bad = [at(0), "1", "0.5", "1", "1", "1"]

    assert reasons([bad, list(bad)]) == ["high is below open, close or low"]


def test_a_page_that_is_off_the_grid_throughout_is_refused_throughout():
    assert accepted([[at(minute) + 500, *GOOD] for minute in range(5)]) == []


@pytest.mark.parametrize("minute", [-1, LENGTH, LENGTH + 5])
def test_a_row_outside_the_range_is_refused(minute):
    rows = sorted([row(0), row(minute)])

    assert accepted(rows) == [0]
    assert reasons(rows) == ["outside the range asked"]


def test_a_page_may_have_holes():
    assert accepted([row(0), row(3), row(19)]) == [0, 3, 19]


def test_a_row_that_goes_back_in_time_is_refused():
    checked = check([row(3), row(1), row(4)])

    assert [(time - START) // MINUTE_MS for time in checked.candles.open_times] == [3, 4]
    assert [(refusal.open_time_ms, refusal.reason) for refusal in checked.refusals] == [(at(1), "out of order")]


@pytest.mark.parametrize("minute", [-1, LENGTH])
def test_a_row_of_a_time_nobody_asked_for_is_refused_among_numbers_too(minute):
    checked = check(sorted([row(3, 10, 12.5, 9.5, 11, 3), row(minute, 10, 12.5, 9.5, 11, 3)]))

    assert (list(checked.candles.open_times), checked.strays) == ([at(3)], True)


# Order


@pytest.mark.parametrize("length", [3, 4, 9, LENGTH])
@pytest.mark.parametrize("cells", [GOOD, [10.0, 12.5, 9.1, 11, 3]])
def test_of_a_page_newest_first_nothing_is_taken_and_nothing_refused(length, cells):
    checked = check([row(minute, *cells) for minute in reversed(range(length))])

    assert (len(checked.candles), list(checked.refusals)) == (0, [])
    assert checked.newest_first
    assert checked.strays


@pytest.mark.parametrize(
    "broken",
    [row(4, "x", "12", "9", "11", "1"), row(6), row(2), row(9), row(5), [None, *GOOD], [at(4) + 500, *GOOD], []],
)
def test_a_page_newest_first_is_one_with_a_broken_row_too(broken):
    rows = [row(minute) for minute in reversed(range(9))]
    rows[4] = broken

    checked = check(rows)

    assert checked.newest_first
    assert not checked.refusals


@given(st.sets(st.integers(0, LENGTH - 1), min_size=3), st.data())
def test_one_row_in_the_wrong_place_does_not_make_a_page_newest_first(minutes, data):
    rows = [row(minute) for minute in sorted(minutes)]
    rows.insert(data.draw(st.integers(0, len(rows) - 1)), rows.pop(data.draw(st.integers(0, len(rows) - 1))))

    checked = check(rows)

    assert not checked.newest_first
    assert not checked.strays
    assert {refusal.reason for refusal in checked.refusals} <= {"out of order"}
    assert not checked.unread
    assert len(checked.candles) + len(checked.refusals) == len(minutes)


def test_of_two_rows_that_fall_the_later_one_is_not_proven_to_be_out_of_order():
    checked = check([row(1), row(0)])

    (refusal,) = checked.refusals
    assert (refusal.open_time_ms, refusal.reason) == (at(0), "out of order")
    assert not checked.proves(refusal)


# Prices


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("10", "9.9", "9", "9.5", "1"), "high is below open, close or low"),
        (("9", "9.9", "9", "10", "1"), "high is below open, close or low"),
        (("10", "12", "10.1", "11", "1"), "low is above open or close"),
        (("11", "12", "10.1", "10", "1"), "low is above open or close"),
        (("0", "12", "9", "11", "1"), "a price is not above zero"),
        (("10", "12", "0", "11", "1"), "a price is not above zero"),
        (("10", "12", "0.000000", "11", "1"), "a price is not above zero"),
        (("0", "0", "0", "0", "0"), "a price is not above zero"),
    ],
)
def test_prices_that_contradict_each_other_are_refused(cells, reason):
    assert reasons([row(0), row(1, *cells), row(2)]) == [reason]


def test_a_minute_without_trades_is_a_candle():
    assert accepted([row(0, "10", "10", "10", "10", "0.000")]) == [0]


# Doubles


def test_of_identical_doubles_one_is_kept():
    checked = check([row(0), row(1), row(1), row(1), row(2)])

    assert list(checked.candles.open_times) == [at(0), at(1), at(2)]
    assert not checked.refusals


@pytest.mark.parametrize("cell", range(5))
def test_a_minute_with_differing_doubles_is_refused(cell):
    other = list(GOOD)
    other[cell] = ["10.1", "12.51", "9.11", "11.1", "4"][cell]

    checked = check([row(0), row(1), row(1, *other), row(2)])

    assert list(checked.candles.open_times) == [at(0), at(2)]
    assert {refusal.open_time_ms for refusal in checked.refusals} == {at(1)}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_minute_with_a_good_and_a_bad_row_is_refused(order):
    both = [row(1), row(1, "10", "12", "9", "x", "1")]

    checked = check([row(0), *(both[index] for index in order), row(2)])

    assert list(checked.candles.open_times) == [at(0), at(2)]
    assert {refusal.open_time_ms for refusal in checked.refusals} == {at(1)}


# Whole pages


def test_an_empty_page_is_no_candles_and_no_refusals():
    checked = check([])

    assert (len(checked.candles), list(checked.refusals)) == (0, [])


def test_a_refusal_keeps_the_row_as_json_text():
    bad = [at(0), "x", "12", "9", "11", "1"]

    assert orjson.loads(check([bad]).refusals[0].row) == bad


def test_the_kept_row_is_shortened():
    assert len(check([[at(0), "x" * 10_000, *GOOD[1:]]]).refusals[0].row) < 700


def test_a_row_nested_deeper_than_json_can_be_written_is_only_refused():
    deep = orjson.loads("[" * 500 + "]" * 500)

    assert reasons([[at(0), deep, *GOOD[1:]]]) == ["open is not a decimal number"]


cells = st.sampled_from(["10.0", "9.5", "12", "0", "0.0", "x", "1e3", "", None, 10, 10.5, -1, True, "10\n"])
prices = st.one_of(st.just(GOOD), st.lists(cells, min_size=5, max_size=5))
DECIMAL = re.compile(r"(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?", re.ASCII)


def keeps_the_rules(cells):
    """The rules for the numbers of a row once more, as the documentation words them."""
    values = []
    for cell in cells:
        if not (DECIMAL.fullmatch(cell) if isinstance(cell, str) else type(cell) in (int, float)):
            return False
        values.append(float(cell))
    opening, high, low, close, volume = values
    return high >= max(opening, close, low) and low <= min(opening, close) and low > 0 and opening > 0 and volume >= 0


@given(st.dictionaries(st.integers(0, LENGTH - 1), prices, min_size=1))
def test_of_rising_minutes_exactly_those_that_keep_the_rules_are_candles(rows):
    minutes = sorted(rows)

    checked = check([row(minute, *rows[minute]) for minute in minutes])

    good = [at(minute) for minute in minutes if keeps_the_rules(rows[minute])]
    assert list(checked.candles.open_times) == good
    assert [r.open_time_ms for r in checked.refusals] == [at(m) for m in minutes if at(m) not in good]


@given(st.lists(st.tuples(st.integers(-1, LENGTH), prices), min_size=1, max_size=12), st.booleans())
def test_checking_in_columns_and_row_by_row_agree(rows, in_order):
    page = [row(minute, *cells) for minute, cells in (sorted(rows, key=lambda r: r[0]) if in_order else rows)]

    alone = check(page)
    # A row that occupies no minute makes the page unfit for columns and changes nothing else.
    beside = check([*page, [None, *GOOD]])

    assert list(alone.candles.open_times) == list(beside.candles.open_times)
    assert [list(column) for column in alone.candles.texts] == [list(column) for column in beside.candles.texts]
    assert [list(column) for column in alone.candles.values] == [list(column) for column in beside.candles.values]
    assert list(alone.refusals) == list(beside.refusals)[:-1]


spellings = {
    "texts": lambda number: format(number, ".9f"),
    "numbers": float,
    "whole numbers": lambda number: int(number) + 1,
    "numbers as JSON has them": lambda number: int(number) if number == int(number) else number,
}
sizes = st.sampled_from(
    [1e-320, 3e-7, 1e-5, 9.99e-5, 1e-4, 0.7, 1.0, 42_790.5, 1e15, 1e16, 2.0**53, 2.0**63, 1e22, 1e300]
)
defects = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from(
        [float("nan"), float("inf"), float("-inf"), -0.0, 0, True, False, None, "1e5", "NaN", "7", "-1", [], 10**400]
    ),
)


@st.composite
def pages_of_any_spelling(draw):
    """Sound rows, each column in a spelling of its own, and then some cells and times that are something else."""
    spelled = [spellings[draw(st.sampled_from(sorted(spellings)))] for _ in range(5)]
    rows = []
    for minute in sorted(draw(st.sets(st.integers(0, LENGTH - 1), min_size=1))):
        size, more = draw(sizes), draw(st.floats(0, 1))
        numbers = [size, size * 2, size / 2, size, draw(st.sampled_from([0.0, -0.0, more, size, more * size]))]
        rows.append(row(minute, *[spell(number) for spell, number in zip(spelled, numbers, strict=True)]))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        rows[draw(st.integers(0, len(rows) - 1))][draw(st.integers(1, 5))] = draw(defects)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):
        rows[draw(st.integers(0, len(rows) - 1))][0] = at(draw(st.integers(-1, LENGTH)))
    return rows


@settings(max_examples=examples(400))
@given(pages_of_any_spelling())
def test_numbers_and_texts_and_mixtures_are_checked_alike_in_columns_and_row_by_row(page):
    alone = check(page)
    # A row that occupies no minute makes the page unfit for columns and changes nothing else.
    beside = check([*page, [None, *GOOD]])

    assert list(alone.candles.open_times) == list(beside.candles.open_times)
    assert [list(column) for column in alone.candles.texts] == [list(column) for column in beside.candles.texts]
    assert [[value.hex() for value in column] for column in alone.candles.values] == [
        [value.hex() for value in column] for column in beside.candles.values
    ]
    assert alone.newest_first == beside.newest_first
    assert list(alone.refusals) == list(beside.refusals)[: None if beside.newest_first else -1]


@settings(max_examples=examples(400))
@given(st.lists(st.floats(0, 1e19, exclude_max=True) | st.integers(0, 10**19 - 1), min_size=1, max_size=LENGTH))
@example([1e16, 9.99e-5, 1e-5, 1e-7, 9999999999999998.0, -0.0, 5e-324, 1e18, 2**53 + 1, 100.00001, 2.0**-44])
def test_a_number_is_carried_in_the_shortest_digits_that_mean_the_same_double(volumes):
    candles = check([row(minute, *GOOD[:4], volume) for minute, volume in enumerate(volumes)]).candles

    assert list(candles.texts[4]) == [repr(volume) for volume in volumes]
    assert [value.hex() for value in candles.values[4]] == [float(volume).hex() for volume in volumes]


@pytest.mark.parametrize(
    "cells",
    [GOOD, [10.0, 12.5, 9.1, 11.0, 3.5], [10, 12.5, 9, 11, 3], [*GOOD[:4], 0.5], [1e-5, 3e-5, 1e-7, 2e-5, 1e17]],
)
def test_a_page_that_keeps_all_rules_costs_no_step_a_row_whatever_its_spelling(cells):
    rows = [row(minute, *cells) for minute in range(1000)]
    page, span = page_of(rows), TimeRange(START, at(1000))
    calls = []

    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_name) if event == "call" else None)
    try:
        checked = check_page(page, SERIES, span)
    finally:
        sys.setprofile(None)

    assert len(checked.candles) == 1000
    assert len(calls) < 100


@pytest.mark.parametrize("cell", range(1, 6))
@pytest.mark.parametrize("digits", [400, 5000])
def test_an_integer_that_no_double_holds_is_refused(digits, cell):
    rows = [row(minute, 10, 12.5, 9, 11, 3) for minute in range(3)]
    rows[1][cell] = 10**digits

    checked = check(rows)

    assert [refusal.open_time_ms for refusal in checked.refusals] == [at(1)]
    assert "is not a decimal number" in checked.refusals[0].reason


# Long runs of digits too, and what looks like several numbers.
almost_decimals = st.text("019.,", min_size=1, max_size=4) | st.text("05.", min_size=16, max_size=40)


@given(st.lists(almost_decimals, min_size=5, max_size=5))
def test_texts_that_are_nearly_decimals_are_refused_as_the_expression_says(cells):
    assert bool(check([row(0, *cells)]).candles.open_times) == keeps_the_rules(cells)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.lists(st.lists(json_values, min_size=6, max_size=6), max_size=5), st.integers(0, LENGTH))
def test_no_row_whatever_raises_and_no_minute_is_both_candle_and_refusal(rows, minute):
    checked = check([[at(minute), *cells[1:]] if index % 2 else cells for index, cells in enumerate(rows)])

    times = list(checked.candles.open_times)
    assert times == sorted(set(times))
    assert not {refusal.open_time_ms for refusal in checked.refusals} & set(times)
