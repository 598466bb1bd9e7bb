"""What adapters read answers with: parts by keys, pages of rows and of columns, errors and headers."""

from __future__ import annotations

import orjson
import pytest

from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.rows import check_page
from laklak.venues.base import Answer, Asked, DecodeError, unlisted
from laklak.venues.reading import (
    error_words,
    list_part,
    page_of_columns,
    page_of_rows,
    part,
    retry_after_s,
    symbol_of,
    time_part,
)

START = 1_772_323_200_000
ASKED = Asked(Series("v", "X", Interval.parse("1m")), unlisted("X"), TimeRange(START, START + 3 * MINUTE_MS))


def said(value, **headers):
    return Answer(200, headers, value if isinstance(value, bytes) else orjson.dumps(value))


def row(minute, close="1.5"):
    return [START + minute * MINUTE_MS, "1", "2", "1", close, "7"]


def candles(page):
    checked = check_page(page, ASKED.series, ASKED.span)
    assert not checked.refusals
    return [list(column) for column in zip(checked.candles.open_times, *checked.candles.texts, strict=True)]


def test_the_body_is_decoded_once():
    answer = said({"a": [1]})

    assert answer.json is answer.json


def test_a_part_is_found_by_its_keys():
    assert part(said({"result": {"list": [[1], [2]]}}), "result", "list", 1) == [2]


@pytest.mark.parametrize("body", [{}, [], {"result": None}, {"result": []}, b"<html>", 7, "text"])
def test_a_part_that_is_not_there_is_no_answer(body):
    with pytest.raises(DecodeError):
        list_part(said(body), "result", "list")


def test_what_is_not_a_list_is_no_list():
    with pytest.raises(DecodeError, match="expected a list under result, got"):
        list_part(said({"result": {}}), "result")


def test_times_are_read_in_the_units_of_the_venue():
    assert time_part(said({"time": 1_772_323_200}), "time", scale_ms=1000) == START
    assert time_part(said({"time": str(START)}), "time", text=True) == START


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "soon", "1772323200000", None, 10**14])
def test_a_time_that_is_none_is_no_answer(value):
    with pytest.raises(DecodeError):
        time_part(said({"time": value}), "time")


def test_rows_newest_first_are_turned():
    assert candles(page_of_rows([row(2), row(1), row(0)], newest_first=True)) == [row(0), row(1), row(2)]


def test_cells_are_taken_from_where_the_venue_has_them():
    swapped = [
        [str(at), volume, opening, high, low, close] for at, opening, high, low, close, volume in [row(0), row(1)]
    ]

    assert candles(page_of_rows(swapped, (0, 2, 3, 4, 5, 1), text_times=True)) == [row(0), row(1)]


def test_times_in_seconds_become_milliseconds():
    assert candles(page_of_rows([[START // 1000, *row(0)[1:]]], scale_ms=1000)) == [row(0)]


def test_rows_that_a_venue_adds_are_left_out_where_the_adapter_says_so():
    assert candles(page_of_rows([row(-1), row(0), row(1), row(3)], trim=ASKED)) == [row(0), row(1)]


def test_rows_of_other_minutes_stay_where_it_does_not():
    assert check_page(page_of_rows([row(-1), row(0)]), ASKED.series, ASKED.span).strays


@pytest.mark.parametrize(
    "minutes", [[-2, -1, 0, 1], [0, 1, 3, 4], [0, -1, 1], [0, 3, 1], [-2, -1], [-9, -8, -7], [3, 4], [7, 8, 9]]
)
def test_other_rows_than_those_that_the_adapter_expects_stay_and_prove_nothing(minutes):
    rows = [row(minute) for minute in minutes]
    columns = [list(column) for column in zip(*rows, strict=True)]

    for page in (page_of_rows(rows, trim=ASKED), page_of_columns(columns, trim=ASKED)):
        checked = check_page(page, ASKED.series, ASKED.span)

        assert checked.strays
        assert all(ASKED.span.start_ms <= time < ASKED.span.end_ms for time in checked.candles.open_times)


def test_an_adapter_says_how_many_rows_may_stand_beside_those_asked_for():
    older = [row(minute) for minute in range(-5, 2)]

    assert candles(page_of_rows(older, trim=ASKED, beside=(5, 0))) == [row(0), row(1)]
    assert check_page(page_of_rows([*older, row(3)], trim=ASKED, beside=(5, 0)), ASKED.series, ASKED.span).strays


def test_a_live_row_off_the_grid_is_left_out_with_its_close_time():
    live = [START + 3 * MINUTE_MS + 1_234, "1", "2", "1", "1", "7"]
    rows = [[*cells, cells[0] + MINUTE_MS - 1] for cells in (row(0), row(1), row(2), live)]

    page = page_of_rows(rows, close_time=6, trim=ASKED)

    assert page.close_times == (rows[0][6], rows[1][6], rows[2][6])
    assert candles(page) == [row(0), row(1), row(2)]


@pytest.mark.parametrize("odd", [None, 7, [], row(1)[:1], row(1)[:5], {"0": 1}, ["soon", "1", "2", "1", "1", "7"]])
def test_a_row_of_another_shape_is_kept_to_be_refused_by_itself(odd):
    page = page_of_rows([row(0), odd, row(2)], trim=ASKED)

    checked = check_page(page, ASKED.series, ASKED.span)

    assert (len(checked.candles), len(checked.refusals)) == (2, 1)


def test_a_row_with_a_cell_more_than_the_others_is_refused_by_itself():
    longer = [row(1)[0], *row(1)[:1], *row(1)[1:]]

    checked = check_page(page_of_rows([row(0), longer, row(2)], trim=ASKED), ASKED.series, ASKED.span)

    assert list(checked.candles.open_times) == [row(0)[0], row(2)[0]]
    assert [one.open_time_ms for one in checked.refusals] == [row(1)[0]]


def test_cells_that_a_venue_adds_to_all_rows_change_nothing():
    assert candles(page_of_rows([[*row(0), "x"], [*row(1), "x"]])) == [row(0), row(1)]


def test_a_page_with_more_rows_than_there_can_be_is_no_answer():
    body = b"[" + b"[]," * 100_000 + b"[]]"

    with pytest.raises(DecodeError, match="at most 100,000 entries, got 100,001"):
        list_part(said(body))
    with pytest.raises(DecodeError, match="at most 100,000 candles, got 100,001"):
        page_of_columns([[0] * 100_001] * 6)


def test_columns_are_a_page():
    turned = [list(column) for column in zip(row(2), row(1), row(0), row(-1), strict=True)]

    assert candles(page_of_columns(turned, newest_first=True, trim=ASKED)) == [row(0), row(1), row(2)]


@pytest.mark.parametrize("columns", [[], [[]] * 5, [[1]] * 5 + [[]], [[1]] * 5 + [None]])
def test_columns_that_do_not_fit_together_are_no_answer(columns):
    with pytest.raises(DecodeError):
        page_of_columns(columns)


def test_no_rows_are_an_empty_page():
    assert candles(page_of_rows([], trim=ASKED)) == candles(page_of_columns([[]] * 6)) == []


def test_an_error_has_the_venue_s_own_code_and_words():
    assert error_words(said({"code": -1, "msg": "so\nwhat"})) == (-1, "code -1: so what")
    assert error_words(said({"retCode": "10001", "retMsg": "no"}), "retCode", "retMsg", text=True)[0] == 10001


@pytest.mark.parametrize("body", [b"<html>x</html>", b"", [], {"code": True}, {"code": "5"}, {"code": None}])
def test_an_error_in_other_words_has_no_code(body):
    assert error_words(said(body))[0] is None


@pytest.mark.parametrize(("text", "seconds"), [("30", 30.0), (" 5 ", 5.0), ("soon", None), ("-1", None), ("", None)])
def test_retry_after_is_read_where_it_is_seconds(text, seconds):
    assert retry_after_s({"Retry-After": text}) == seconds


@pytest.mark.parametrize("entry", [None, {}, {"symbol": 5}, {"symbol": "A B"}, "X"])
def test_an_entry_that_names_no_symbol_has_none(entry):
    assert symbol_of(entry) is None
