"""Recorded and generated candles before they go over a socket."""

import gzip
import hashlib
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from laklak.model.series import DAY_MS, MINUTE_MS
from laklak.simulator import ContinuedSource, generate, load_recorded

START = 1_771_977_600_000  # 2026-02-25T00:00Z


def write_csv(folder, name, text):
    (folder / name).write_bytes(gzip.compress(text.encode()))


def test_recorded_rows_keep_the_digits_of_the_file(recorded):
    (row,) = recorded.oldest("LTCUSDT", START, START + 1, 1)

    assert row == (
        b'[1771977600000,"51.13","51.15","51.12","51.14","384.043",1771977659999,"19636.76772",133,"191.178","9776.06914","0"]'
    )


def test_the_recording_covers_four_days_of_seven_symbols(recorded):
    assert len(recorded.symbols) == 7
    assert recorded.end_ms == START + 4 * DAY_MS
    assert all(len(recorded.oldest(symbol, 0, 2**62, 10_000)) == 4 * 1440 for symbol in recorded.symbols)


def test_recorded_symbols_have_their_real_exchange_info_entry(recorded):
    instrument = recorded.instrument("LTCUSDT")

    assert (instrument.status, instrument.listed_ms, instrument.base) == ("TRADING", 1_569_398_400_000, "LTC")


def test_a_six_column_file_without_header_or_exchange_info_is_served_too(tmp_path):
    write_csv(tmp_path, "AUSDT-1m-old.csv.gz", "60000,1.0,2.0,0.5,1.5,3\n120000,1.5,1.5,1.5,1.5,0\n")
    source = load_recorded(tmp_path)

    assert orjson.loads(source.oldest("AUSDT", 0, 10**6, 1)[0])[:7] == [60000, "1.0", "2.0", "0.5", "1.5", "3", 119999]
    assert source.instrument("AUSDT").listed_ms == 60000


@pytest.mark.parametrize("time", ["1970-01-01 00:01:00+00:00", "1970-01-01T00:01:00Z", "1970-01-01 00:01:00"])
def test_a_time_that_is_written_out_is_read(tmp_path, time):
    write_csv(tmp_path, "AUSDT-1m-x.csv.gz", f"timestamp,open,high,low,close,volume\n{time},1,2,0.5,1.5,3.0\n")
    source = load_recorded(tmp_path)

    assert orjson.loads(source.oldest("AUSDT", 0, 10**6, 1)[0])[:7] == [60000, "1", "2", "0.5", "1.5", "3.0", 119999]


def test_several_files_of_a_symbol_are_joined_in_order(tmp_path):
    write_csv(tmp_path, "AUSDT-1m-b.csv.gz", "0,1,1,1,1,1\n60000,2,2,2,2,2\n")
    write_csv(tmp_path, "AUSDT-1m-c.csv.gz", "open_time,o,h,l,c,v\n60000,2,2,2,2,2\n180000,3,3,3,3,3\n")
    rows = load_recorded(tmp_path).oldest("AUSDT", 0, 10**9, 10)

    assert [orjson.loads(row)[0] for row in rows] == [0, 60000, 180000]


def test_a_folder_without_candles_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected files like BTCUSDT-1m"):
        load_recorded(tmp_path)


def test_a_row_that_cannot_be_read_is_named(tmp_path):
    write_csv(tmp_path, "AUSDT-1m-x.csv.gz", "60000,1,1,1\n")

    with pytest.raises(ValueError, match=r"AUSDT-1m-x.csv.gz:1: expected 12 or 6 columns, found 4"):
        load_recorded(tmp_path)


def test_generated_symbols_begin_with_the_known_names():
    symbols = generate(symbols=541).symbols

    assert symbols[:2] == ("BTCUSDT", "ETHUSDT")
    assert "币安人生USDT" in symbols[:10]
    assert len(set(symbols)) == 541


def test_generated_candles_are_the_same_for_the_same_seed_whatever_is_asked_first():
    one, two = generate(symbols=3, days=3, seed=7), generate(symbols=3, days=3, seed=7)
    end = one.end_ms
    one.oldest("ETHUSDT", 0, end, 5000)

    assert one.oldest("BTCUSDT", 0, end, 5000)[3000:3100] == two.newest("BTCUSDT", 0, end - 1220 * MINUTE_MS, 100)


def test_generated_candles_differ_by_seed_and_by_symbol():
    end = generate(symbols=2, days=1).end_ms
    pages = [
        generate(symbols=2, days=1, seed=seed).oldest(name, 0, end, 9)[-1]
        for seed in (1, 2)
        for name in ("BTCUSDT", "ETHUSDT")
    ]

    assert len(set(pages)) == 4


def test_generated_candles_obey_the_rules_of_a_candle():
    source = generate(symbols=12, days=1)
    for symbol in source.symbols:
        rows = [orjson.loads(row) for row in source.oldest(symbol, 0, source.end_ms, 2000)]
        assert [row[0] for row in rows] == list(range(source.start_ms, source.end_ms, MINUTE_MS))
        for row in rows:
            first, high, low, last, volume = map(Decimal, row[1:6])
            assert 0 < low <= min(first, last) <= max(first, last) <= high
            assert volume >= 0
            assert row[6] == row[0] + MINUTE_MS - 1


def test_generated_prices_walk_across_midnight_without_a_jump():
    source = generate(symbols=1, days=2)
    rows = [orjson.loads(row) for row in source.oldest("BTCUSDT", 0, source.end_ms, 2880)]

    assert all(row[4] == following[1] for row, following in pairwise(rows) if row[5] != "0")


def test_generated_volumes_hold_digits_that_are_awkward_for_floats():
    source = generate(symbols=4, days=2)
    volumes = {orjson.loads(row)[5] for s in source.symbols for row in source.oldest(s, 0, source.end_ms, 2880)}

    assert {"0", "0.00000001"} <= volumes
    assert any(len(volume.replace(".", "")) == 17 and "." in volume for volume in volumes)
    assert any(float(volume) > 2**53 for volume in volumes)


def test_a_generated_source_holds_a_few_days_only():
    source = generate(symbols=40, days=9)
    for symbol in source.symbols:
        source.oldest(symbol, 0, source.end_ms, 9 * 1440)

    assert "days_held=128" in repr(source)


def test_no_symbol_or_day_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        generate(symbols=0)


def test_the_recorded_files_are_the_ones_their_readme_describes():
    folder = Path(__file__).parents[1] / "recorded" / "binance"
    described = (folder / "README.md").read_text()
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "README.md"]

    assert len(files) == 25
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() in described, path
        assert f"{path.relative_to(folder)}" in described


# A recording that goes on


def test_a_recording_goes_on_with_sound_candles_without_a_hole(recorded):
    source = ContinuedSource(recorded, seed=1)
    end = recorded.end_ms
    for symbol in recorded.symbols:
        rows = [orjson.loads(row) for row in source.oldest(symbol, end - 10 * MINUTE_MS, end + 2 * DAY_MS, 9999)]
        times = [row[0] for row in rows]
        prices = [[Decimal(text) for text in row[1:5]] for row in rows]

        assert times == list(range(end - 10 * MINUTE_MS, end + 2 * DAY_MS, MINUTE_MS))
        assert all(low <= min(first, last) and max(first, last) <= high for first, high, low, last in prices)
        # It begins near where the recording ended.
        assert abs(prices[10][0] / prices[9][3] - 1) < Decimal("0.01")


def test_both_ends_of_a_continued_recording_are_found_from_either_side(recorded):
    source = ContinuedSource(recorded, seed=1)
    end = recorded.end_ms
    span = (end - 5 * MINUTE_MS, end + 5 * MINUTE_MS)
    forward = source.oldest("LTCUSDT", *span, 100)

    assert source.newest("LTCUSDT", *span, 100) == forward
    assert source.newest("LTCUSDT", *span, 7) == forward[3:]
    assert source.oldest("LTCUSDT", *span, 7) == forward[:7]
    assert source.oldest("LTCUSDT", 0, end, 9999) == recorded.oldest("LTCUSDT", 0, end, 9999)


def test_the_same_seed_goes_on_alike(recorded):
    span = (recorded.end_ms, recorded.end_ms + DAY_MS, 9999)
    one, same, other = (ContinuedSource(recorded, seed=seed).oldest("LTCUSDT", *span) for seed in (1, 1, 2))

    assert one == same != other


def test_a_symbol_that_ended_long_before_the_recording_did_does_not_rise_again(tmp_path):
    write_csv(tmp_path, "AUSDT-1m-x.csv.gz", "60000,1,1,1,1,1\n")
    write_csv(tmp_path, "BUSDT-1m-x.csv.gz", f"{5 * DAY_MS},1.50,1.50,1.50,1.50,1\n")
    source = ContinuedSource(load_recorded(tmp_path), seed=1)

    assert len(source.oldest("AUSDT", 0, 6 * DAY_MS, 9999)) == 1
    assert len(source.oldest("BUSDT", 0, 5 * DAY_MS + 3 * MINUTE_MS, 9999)) == 3
