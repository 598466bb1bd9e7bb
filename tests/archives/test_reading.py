"""From the CSV of a file to candles: the same as the API gives, or nothing."""

from __future__ import annotations

import re

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.archives import ARCHIVES, BadFile
from laklak.archives.csv import read_csv, read_file
from laklak.model.candles import Chunk, Page
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange
from laklak.plan.answers import first_answer, second_answer
from laklak.plan.rows import check_page

BINANCE = ARCHIVES["binance"]
HEADER = ",".join(BINANCE.columns).encode() + b"\n"
SERIES = Series.parse("binance:LINKUSDT:1m")
DAY = BINANCE.day_file(SERIES, 1_772_064_000_000)
MONTH = BINANCE.month_file(SERIES, DAY.span.start_ms)
START = DAY.span.start_ms
GOOD = ("10.0", "12.50", "9.10", "11", "3.000")


def line(minute, cells=GOOD, unit=1, start=START):
    open_time = (start + minute * MINUTE_MS) * unit
    return f"{open_time},{','.join(cells)},{open_time + MINUTE_MS * unit - 1},31.5,17,1.0,10.2,0\n".encode()


def answered(minute, cells=GOOD):
    """The same row in an answer of the API."""
    open_time = START + minute * MINUTE_MS
    return [open_time, *cells, open_time + MINUTE_MS - 1, "31.5", 17, "1.0", "10.2", "0"]


def csv_of(rows, unit=1):
    return b"".join(line(minute, cells, unit) for minute, cells in rows)


def read(csv, file=DAY):
    return read_csv(csv, file, BINANCE)


def refused(csv, match, file=DAY):
    with pytest.raises(BadFile, match=match) as caught:
        read(csv, file)
    assert caught.value.reason == "csv"
    assert str(caught.value).startswith(file.member)


def minutes(checked):
    return [(time - START) // MINUTE_MS for time in checked.candles.open_times]


def facts(checked):
    """Everything that is to be equal, whichever way the rows came."""
    candles = checked.candles
    return (
        candles.series,
        list(candles.open_times),
        [list(column) for column in candles.texts],
        [[value.hex() for value in column] for column in candles.values],
        list(checked.refusals),
        checked.strays,
    )


# Recorded files


@pytest.mark.parametrize("symbol", ["ALGOUSDT", "AVAXUSDT", "DOTUSDT", "FILUSDT", "LINKUSDT", "LTCUSDT", "NEARUSDT"])
def test_recorded_rows_give_the_candles_that_the_api_gives(symbol, recorded_rows):
    series = Series.parse(f"binance:{symbol}:1m")
    file = BINANCE.month_file(series, START)
    rows = recorded_rows(symbol, file.span)
    answer = [
        [int(cell) if index in (0, 6, 8) else cell for index, cell in enumerate(row.decode().rstrip().split(","))]
        for row in rows
    ]

    checked = read_csv(HEADER + b"".join(rows), file, BINANCE)

    page = Page(tuple(zip(*answer, strict=True))[:6], answer)
    assert len(checked.candles) == 5760
    assert facts(checked) == facts(check_page(page, series, file.span))


def test_a_download_is_checked_unpacked_and_read(day, day_csv, zipped, checksum):
    body = zipped([(day.member, day_csv)])

    assert len(read_file(body, day, BINANCE, checksum(body)).candles) == 1440


def test_a_download_with_a_changed_byte_is_not_read(day, day_csv, zipped, checksum):
    body = zipped([(day.member, day_csv)])

    with pytest.raises(BadFile) as caught:
        read_file(body[:5000] + b"\0" + body[5001:], day, BINANCE, checksum(body))
    assert caught.value.reason == "checksum"


def test_older_files_have_no_header(day_csv):
    assert facts(read(day_csv)) == facts(read(day_csv.removeprefix(HEADER)))


# Times


def test_microseconds_are_the_same_times():
    rows = [(minute, GOOD) for minute in (0, 1, 5)]

    assert facts(read(csv_of(rows, 1000))) == facts(read(csv_of(rows)))


def test_microseconds_that_are_no_whole_milliseconds_make_a_file_untrusted():
    refused(csv_of([(0, GOOD)], 1000).replace(b"000000,", b"000001,", 1), "part of a millisecond")


def test_milliseconds_and_microseconds_do_not_mix():
    refused(line(0) + line(1, unit=1000), "another period|not spelled")
    refused(line(0, unit=1000) + line(1), "not spelled|out of order|another period")
    refused(line(0) + line(1, unit=1000) + line(2), "not spelled")


@pytest.mark.parametrize("time", ["", "soon", "1.5", "1772064000000.0", "1e12", " 1772064000000", "9" * 25, "١"])
def test_a_time_that_is_no_integer_makes_a_file_untrusted(time):
    refused(line(0) + line(1).replace(str(START + MINUTE_MS).encode(), time.encode(), 1), "integer|characters")


@pytest.mark.parametrize("form", ["+{}", "0{}", "000{}"])
def test_a_time_that_is_spelled_otherwise_makes_a_file_untrusted(form):
    time = str(START + MINUTE_MS)

    refused(line(0) + line(1).replace(time.encode(), form.format(time).encode(), 1), "not spelled")


@pytest.mark.parametrize("minute", [-1, 1440, 100_000])
def test_rows_of_another_period_make_a_file_untrusted(minute):
    refused(csv_of(sorted([(0, GOOD), (minute, GOOD)])), "another period")


def test_rows_before_the_epoch_make_a_file_untrusted():
    refused(HEADER + line(0).replace(b"177", b"-77", 1), "another period")


@pytest.mark.parametrize("order", [(1, 0), (0, 2, 1, 3), (2, 1, 0)])
def test_rows_out_of_order_make_a_file_untrusted(order):
    refused(csv_of([(minute, GOOD) for minute in order]), "out of order")


def test_doubled_rows_make_a_file_untrusted():
    refused(line(0) + line(1) + line(1) + line(2), "out of order or doubled")


@pytest.mark.parametrize("offset", [1, 999, 30_000])
def test_a_row_off_the_grid_makes_a_file_untrusted(offset):
    beside = line(2).replace(str(START + 2 * MINUTE_MS).encode(), str(START + 2 * MINUTE_MS + offset).encode(), 1)

    refused(line(0) + beside, "not on the grid")
    refused(beside, "not on the grid")


@pytest.mark.parametrize("row", [line(0), b"\n", b",,,,,,,,,,,\n", b"x\n", b"1\n"])
def test_more_rows_than_the_period_has_minutes_make_a_file_untrusted(row):
    refused(line(0) + row * 1440, "more than the 1440")


# Form


@pytest.mark.parametrize("csv", [b"", HEADER, HEADER.rstrip(), b"\n", HEADER + b"\n"])
def test_a_file_without_a_row_is_untrusted(csv):
    refused(csv, "no row|first line|cells")


@pytest.mark.parametrize(
    "first",
    [
        b"time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore",
        HEADER.rstrip() + b"\r",
        b"\xef\xbb\xbf" + HEADER.rstrip(),
        b"open_time,high,open,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore",
        b"<html>",
        b"",
        b"\0",
    ],
)
def test_another_header_makes_a_file_untrusted(first):
    refused(first + b"\n" + line(0), "first line")


@pytest.mark.parametrize("cells", [1, 6, 11, 13, 24])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_row_with_another_number_of_cells_makes_a_file_untrusted(cells, place):
    rows = [line(0), line(1), line(2)]
    rows[place] = b",".join((rows[place].rstrip().split(b",") * 2)[:cells]) + b"\n"

    # The first row says how many there are, if it has all that are known.
    odd = "row 2 has 12 cells, not" if place == 0 and cells > 12 else f"row {place + 1} has {cells} cells, not 12"
    refused(b"".join(rows), odd)


@pytest.mark.parametrize("cells", [6, 11])
def test_a_file_with_fewer_columns_is_untrusted(cells):
    refused(b"".join(b",".join(line(n).rstrip().split(b",")[:cells]) + b"\n" for n in range(3)), "row 1 has")


def test_a_cell_more_in_one_row_and_one_less_in_another_make_a_file_untrusted():
    refused(line(0).replace(b"\n", b",0\n") + line(1).replace(b",0\n", b"\n"), "row 2 has 11 cells, not 13")


def added(csv, *cells):
    """The rows with more cells behind theirs."""
    return csv.replace(b"\n", b"".join(b"," + cell for cell in cells) + b"\n")


@pytest.mark.parametrize("cells", [[b"7"], [b"0.5", b"12"], [b"TRADING"], [b""], [b"1"] * 52])
@pytest.mark.parametrize("header", [b"", HEADER])
def test_columns_behind_the_known_ones_are_left_alone(cells, header):
    rows = csv_of([(0, GOOD), (1, ("10", "9.9", "9", "9.5", "1")), (2, GOOD)])
    names = [f"more_{number}".encode() for number in range(len(cells))]

    assert facts(read(added(header, *names) + added(rows, *cells))) == facts(read(rows))


def test_more_columns_than_any_file_will_have_make_it_untrusted():
    refused(added(line(0), *[b"1"] * 53), "its rows have 65 cells")


def test_a_header_with_a_column_more_than_the_rows_have_makes_a_file_untrusted():
    refused(added(HEADER, b"more") + line(0), "row 1 has 12 cells, not 13")


@pytest.mark.parametrize("place", [0, 1, 3, 6])
@pytest.mark.parametrize("lost", [True, False])
def test_a_column_in_the_middle_makes_a_file_without_header_untrusted(place, lost):
    rows = [line(minute).rstrip().split(b",") for minute in range(3)]
    for cells in rows:
        cells.insert(place, b"17.5" if place else cells[0])
        del cells[12 if lost else 13 :]

    refused(b"".join(b",".join(cells) + b"\n" for cells in rows), "its cells are not in the order open_time,open,")


def test_a_close_time_of_its_own_in_one_row_is_no_matter():
    odd = line(0).replace(str(START + MINUTE_MS - 1).encode(), str(START + 28_000 + MINUTE_MS).encode())

    assert minutes(read(odd + line(1))) == [0, 1]


@pytest.mark.parametrize("volume", ["1e5", "", "1'000", "-"])
def test_a_file_of_which_no_row_can_be_read_is_untrusted(volume):
    refused(csv_of([(minute, (*GOOD[:4], volume)) for minute in range(3)]), "none of its rows can be read")


def test_a_file_that_is_cut_off_is_untrusted_wherever_it_is_cut(day_csv):
    whole = day_csv[: len(HEADER) + 500]
    for length in range(len(HEADER), len(whole)):
        if whole[length - 1 : length] != b"\n":
            refused(whole[:length], "cut off")


def test_an_empty_line_makes_a_file_untrusted():
    refused(line(0) + b"\n" + line(1), "row 2 has 1 cells")
    refused(line(0) + b"\n", "row 2 has 1 cells")


@pytest.mark.parametrize(
    "char", [b'"', b"\0", b"\r", b"\t", b"\x1b", b"\x7f", b"\xff", "é".encode(), "\u2028".encode()]
)
@pytest.mark.parametrize("column", [1, 5, 7, 11])
def test_a_character_of_no_number_makes_a_file_untrusted(char, column):
    cells = line(1).rstrip().split(b",")
    cells[column] = char + cells[column]

    refused(line(0) + b",".join(cells) + b"\n", "control characters")


def test_a_quoted_comma_or_line_end_is_no_way_round_the_form():
    refused(line(0).replace(b"12.50", b'"12,50"'), "quotes")
    refused(line(0).replace(b"12.50", b'"12\n50"'), "quotes")


# Rows that break a rule


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("10", "9.9", "9", "9.5", "1"), "high is below open, close or low"),
        (("11", "12", "10.1", "10", "1"), "low is above open or close"),
        (("0", "0", "0", "0", "0"), "a price is not above zero"),
        (("x", "12", "9", "11", "1"), "open is not a decimal number"),
        (("10", "12", "9", "11", "-1"), "volume is not a decimal number"),
        (("10", "12", "9", "", "1"), "close is not a decimal number"),
        (("10", "12", "9", "11", "1e5"), "volume is not a decimal number"),
        (("10", "12", "9", "11", "00.5"), "volume is not a decimal number"),
        (("10", "12", "9", "11", "1" * 20), "volume is not a decimal number"),
        (("inf", "inf", "inf", "inf", "nan"), "open is not a decimal number"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused_as_it_is_from_the_api(cells, reason):
    checked = read(csv_of([(0, GOOD), (1, cells), (2, GOOD)]))

    assert minutes(checked) == [0, 2]
    [refusal] = checked.refusals
    assert (refusal.open_time_ms, refusal.reason) == (START + MINUTE_MS, reason)
    assert orjson.loads(refusal.row) == answered(1, cells)


@pytest.mark.parametrize("volume", ["5.", ".5", ".", "00", "00.5", "01", "01.5", "1.2.3", "1..2", "", "1" * 20])
def test_digits_and_points_that_are_no_decimal_are_refused(volume):
    checked = read(csv_of([(0, GOOD), (1, (*GOOD[:4], volume)), (2, GOOD)]))

    assert minutes(checked) == [0, 2]
    assert [refusal.reason for refusal in checked.refusals] == ["volume is not a decimal number"]


@pytest.mark.parametrize("volume", ["0", "0.0", "0.5", "0.99999999999999999", "1.00", "10", "9" * 19, "1." + "0" * 18])
def test_decimals_at_the_edge_of_what_is_one_are_kept(volume):
    checked = read(csv_of([(0, GOOD), (1, (*GOOD[:4], volume)), (2, GOOD)]))

    assert (minutes(checked), checked.candles.texts[4][1]) == ([0, 1, 2], volume)


def test_a_refused_row_is_the_same_row_in_microseconds():
    bad = [(0, GOOD), (1, ("10", "9.9", "9", "9.5", "1"))]

    assert read(csv_of(bad, 1000)).refusals == read(csv_of(bad)).refusals


def test_a_row_that_the_api_sends_just_so_is_confirmed_as_rejected():
    bad = ("10", "9.9", "9", "9.5", "1")
    minute = TimeRange(START + MINUTE_MS, START + 2 * MINUTE_MS)
    outcome = first_answer(Chunk(SERIES, DAY.span, (DAY.span,)), read(csv_of([(0, GOOD), (1, bad)])))
    rows = [answered(1, bad)]
    chunk = Chunk(SERIES, minute, (minute,))
    from_api = check_page(Page(tuple(zip(*rows, strict=True))[:6], rows), SERIES, chunk.range)

    settled = second_answer(chunk, outcome.doubts, from_api, venue_now_ms=10**15, confirmed_at_ms=1, newest_ms=10**15)

    assert [(absence.kind, absence.open_time_ms) for absence in settled.absences] == [("rejected", START + MINUTE_MS)]


def test_a_count_of_many_digits_is_only_kept_as_it_is():
    bad = line(0, ("10", "9.9", "9", "9.5", "1")).replace(b",17,", b"," + b"9" * 5000 + b",")

    assert len(read(bad).refusals) == 1


def test_a_file_of_nothing_but_bad_rows_gives_no_candle():
    checked = read(csv_of([(minute, ("1", "0.5", "1", "1", "1")) for minute in range(3)]))

    assert (len(checked.candles), len(checked.refusals)) == (0, 3)


# Minutes that are absent


def test_absent_minutes_are_no_error_and_leave_doubts():
    wanted = TimeRange(START, START + 10 * MINUTE_MS)
    checked = read(csv_of([(minute, GOOD) for minute in (0, 1, 4, 9, 12)]))

    outcome = first_answer(Chunk(SERIES, DAY.span, (wanted,)), checked)

    assert minutes(checked) == [0, 1, 4, 9, 12]
    assert len(outcome.candles) == 4
    assert [((p.start_ms - START) // MINUTE_MS, (p.end_ms - START) // MINUTE_MS) for p in outcome.doubts.absent] == [
        (2, 4),
        (5, 9),
    ]


FLAT = ("7", "7", "7", "7", "0.000")
MOVING = ("7", "8", "7", "7", "0")


def test_minutes_without_trades_are_candles_even_for_whole_days():
    assert len(read(csv_of([(minute, FLAT) for minute in range(1440)])).candles) == 1440


def test_a_day_without_any_volume_in_which_prices_move_counts_as_absent():
    rows = [(minute, GOOD) for minute in range(1440)]
    rows += [(minute, MOVING if minute == 2000 else FLAT) for minute in range(1440, 2880)]
    rows += [(minute, GOOD) for minute in range(2880, 4320)]

    checked = read(csv_of(rows), MONTH)

    assert minutes(checked) == [*range(1440), *range(2880, 4320)]
    assert not checked.refusals


def test_a_day_in_which_one_minute_has_volume_is_kept():
    rows = [(minute, GOOD if minute == 700 else MOVING) for minute in range(1440)]

    assert len(read(csv_of(rows)).candles) == 1440


def test_a_single_day_that_lost_its_volumes_leaves_nothing():
    assert len(read(csv_of([(0, MOVING), (1, FLAT)])).candles) == 0


# Properties

decimals = st.from_regex(r"(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?", fullmatch=True)
plain = st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters='",')
odd = st.one_of(
    st.sampled_from(["", "00", "01.5", ".5", "5.", ".", "1.2.3", "1e5", "-1", "+1", " 1", "1 ", "nan", "inf", "1_0"]),
    st.sampled_from(["0", "0.0", "9" * 19, "9" * 20, "0." + "0" * 17 + "1", "0." + "0" * 18 + "1", "1." + "2" * 19]),
    st.text(st.sampled_from("0123456789."), max_size=22),
    st.text(plain, max_size=5),
)
prices = st.one_of(
    st.just(GOOD),
    st.tuples(*[decimals] * 5),
    decimals.map(lambda price: (price, price, price, price, "1")),
    st.tuples(*[st.one_of(st.sampled_from(GOOD), decimals, odd)] * 5),
)
tables = st.dictionaries(st.integers(0, 1438), prices, max_size=12).map(
    # One minute with trades, so that the day has not lost its volumes.
    lambda rows: sorted({**rows, 1439: GOOD}.items())
)


@settings(max_examples=examples(400))
@given(tables, st.booleans(), st.sampled_from([1, 1000]))
@example([(0, ("9007199254740993", "9999999999999999999.9", "0.000000000000000001", "0.3", "1.0")), (5, GOOD)], True, 1)
def test_a_file_and_a_page_with_the_same_rows_give_the_same(rows, with_header, unit):
    answer = [answered(minute, cells) for minute, cells in rows]
    page = Page(tuple(zip(*answer, strict=True))[:6], answer)

    checked = read((HEADER if with_header else b"") + csv_of(rows, unit))

    assert facts(checked) == facts(check_page(page, SERIES, DAY.span))


@settings(max_examples=examples(120))
@given(st.lists(st.tuples(*[decimals] * 5), min_size=1, max_size=10))
@example([("179769313486231570.81", "2.225073858507201", "1234567890123456789.5", "0.100000000000000006", "0.3")])
def test_floats_are_those_of_the_text_bit_for_bit(numbers):
    # As volumes, so that whatever they are no rule for prices is in the way.
    cells = [text for row in numbers for text in row]

    candles = read(csv_of([*((minute, (*GOOD[:4], text)) for minute, text in enumerate(cells)), (1439, GOOD)])).candles

    assert list(candles.texts[4])[:-1] == cells
    assert [value.hex() for value in candles.values[4]][:-1] == [float(text).hex() for text in cells]


def by_hand(csv):
    """What a file gives, once more and row by row; None when it is not to be trusted."""
    first = csv.partition(b"\n")[0]
    width = max(12, len(first.split(b",")))
    if not csv[:1].isdigit():
        header, _, csv = csv.partition(b"\n")
        if header.split(b",")[:12] != HEADER.rstrip().split(b","):
            return None
    if not csv.endswith(b"\n") or re.search(rb'[^ -~\n]|"', csv):
        return None
    rows = [row.decode().split(",") for row in csv[:-1].split(b"\n")]
    if width > 64 or any(len(row) != width or not re.fullmatch(r"-?[1-9][0-9]{0,17}", row[0]) for row in rows):
        return None
    unit = 1000 if int(rows[0][0]) > 10**14 else 1
    times = [int(row[0]) for row in rows]
    if any(time % (MINUTE_MS * unit) or not DAY.span.start_ms <= time // unit < DAY.span.end_ms for time in times):
        return None
    if times != sorted(set(times)):
        return None
    if not any(row[6].isdecimal() and 0 <= int(row[6]) - int(row[0]) <= MINUTE_MS * unit for row in rows):
        return None
    answer = []
    for row in (row[:12] for row in rows):
        integers = {i: int(row[i]) // (unit if i == 6 else 1) for i in (6, 8) if re.fullmatch(r"[0-9]{1,18}", row[i])}
        answer.append([integers.get(i, cell) for i, cell in enumerate(row)])
        answer[-1][0] = int(row[0]) // unit
    checked = check_page(Page(tuple(zip(*answer, strict=True))[:6], answer), SERIES, DAY.span)
    if checked.not_understood:
        return None
    _, highs, lows, _, volumes = checked.candles.values
    lost = len(checked.candles) and max(volumes) == 0 and max(highs) > min(lows)
    return (SERIES, [], [[]] * 5, [[]] * 5, list(checked.refusals), False) if lost else facts(checked)


SMALL = HEADER + csv_of([(minute, GOOD) for minute in (0, 1, 2, 5)])


@settings(max_examples=examples(1000))
@given(st.data())
def test_a_file_with_changed_bytes_gives_what_is_in_it_or_nothing(data):
    start = len(HEADER) if data.draw(st.booleans()) else 0
    csv = bytearray(csv_of([(minute, GOOD) for minute in (0, 1, 2, 5)], 1000) if start == 0 else SMALL)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(start, len(csv) - 1))
        new = data.draw(st.one_of(st.sampled_from(b'0123456789.,\n"-+e '), st.integers(0, 255)))
        change = data.draw(st.sampled_from(["replace", "insert", "delete", "cut"]))
        if change == "replace":
            csv[at] = new
        elif change == "insert":
            csv.insert(at, new)
        elif change == "delete":
            del csv[at]
        else:
            del csv[at : at + data.draw(st.integers(0, 100))]
        if not csv:
            return
        start = min(start, len(csv) - 1)

    expected = by_hand(bytes(csv))
    try:
        found = facts(read(bytes(csv)))
    except BadFile:
        found = None

    assert found == expected


@given(st.binary(max_size=300))
def test_no_bytes_whatever_raise_anything_else(body):
    for csv in (body, HEADER + body, SMALL + body):
        try:
            found = facts(read(csv))
        except BadFile:
            found = None
        assert found == by_hand(csv)


def test_a_long_day_of_another_interval_is_read(recorded_rows):
    file = BINANCE.day_file(Series.parse("binance:LINKUSDT:1d"), START)
    row = line(0).replace(str(START + MINUTE_MS - 1).encode(), str(START + DAY_MS - 1).encode())

    assert list(read(row, file).candles.open_times) == [START]
    refused(line(1), "not on the grid", file)
