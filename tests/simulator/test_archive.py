"""The archive that the simulator serves: its layout, its rules, and its files against its own REST answers."""

import csv
import hashlib
import io
import threading
import time
import zipfile
from itertools import chain
from urllib.parse import quote

import pytest

from laklak.model.series import DAY_MS, MINUTE_MS, Interval
from laklak.simulator import Override, Simulator, SimulatorSettings, SymbolOverride, generate, parse_fault
from laklak.simulator.archive.shelf import Shelf

START = 1_771_977_600_000  # 2026-02-25T00:00Z, the first recorded minute
END = START + 4 * DAY_MS  # 2026-03-01T00:00Z, where the recording ends
LATER = END + 7 * DAY_MS  # when all of it is published
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def member_of(data):
    """The only member of a zip, and its text."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (info,) = archive.infolist()
        return info, archive.read(info).decode()


def rows_of(reply):
    """The rows below the header, as lists of texts."""
    lines = list(csv.reader(io.StringIO(member_of(reply.body)[1])))
    assert ",".join(lines[0]) == HEADER
    return lines[1:]


def times_of(reply):
    return [int(row[0]) for row in rows_of(reply)]


def texts(rows):
    """Rows of klines as a CSV spells them."""
    return [[str(cell) for cell in row] for row in rows]


def test_a_file_is_one_deflated_csv_in_the_published_form(talk):
    async def conversation(client):
        return await client.zip()

    reply = talk(conversation)
    info, text = member_of(reply.body)

    # Compared with the published futures-um BTCUSDT-1h-2024-10-28.zip.
    assert info.filename == "LTCUSDT-1m-2026-02-25.csv"
    assert (info.compress_type, info.flag_bits, info.create_system) == (zipfile.ZIP_DEFLATED, 0, 3)
    assert (info.extract_version, info.external_attr, info.is_dir()) == (20, 2_175_008_768, False)
    assert text.splitlines()[:2] == [
        HEADER,
        "1771977600000,51.13,51.15,51.12,51.14,384.043,1771977659999,19636.76772,133,191.178,9776.06914,0",
    ]
    assert text.endswith(",0\n")
    assert "\r" not in text
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/zip")


@pytest.mark.parametrize("interval", ["1m", "3m", "15m", "1h", "4h", "1d"])
def test_the_rows_of_a_day_are_those_of_klines_cell_by_cell(talk, interval):
    async def conversation(client):
        asked = await client.klines(interval=interval, startTime=START, endTime=START + DAY_MS - 1, limit=1500)
        return asked.json, rows_of(await client.zip(interval=interval))

    rest, archive = talk(conversation)

    assert archive == texts(rest)
    assert len(archive) == DAY_MS // Interval.parse(interval).ms


@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_the_rows_of_a_month_are_those_of_its_days(talk, interval):
    async def conversation(client):
        days = [rows_of(await client.zip(f"2026-02-{day}", interval=interval)) for day in range(25, 29)]
        return list(chain.from_iterable(days)), rows_of(await client.zip("2026-02", interval=interval))

    days, month = talk(conversation, clock_ms=LATER)

    assert month == days
    assert len(month) == 4 * DAY_MS // Interval.parse(interval).ms


def test_generated_candles_keep_their_awkward_digits(talk):
    async def conversation(client):
        rest = (await client.klines("BTCUSDT", startTime=client.simulator.market.first_row_ms("BTCUSDT"))).json
        return texts(rest), rows_of(await client.zip("2026-11-18", "BTCUSDT"))

    rest, archive = talk(conversation, generate(symbols=1, days=3))

    assert archive[: len(rest)] == rest
    assert any(len(row[5].replace(".", "")) == 17 for row in archive)


def test_the_checksum_is_one_line_as_sha256sum_reads_it(talk):
    async def conversation(client):
        return await client.checksum(), await client.zip()

    checksum, reply = talk(conversation)

    assert checksum.body.decode() == f"{hashlib.sha256(reply.body).hexdigest()}  LTCUSDT-1m-2026-02-25.zip\n"


def test_an_answer_has_the_etag_and_the_length_of_its_body(talk):
    async def conversation(client):
        return await client.zip(), await client.checksum()

    for reply in talk(conversation):
        assert reply.headers["ETag"] == f'"{hashlib.md5(reply.body, usedforsecurity=False).hexdigest()}"'
        assert reply.headers["Content-Length"] == str(len(reply.body))


def test_two_simulators_serve_the_same_bytes(talk):
    async def conversation(client):
        return (await client.zip(symbol="币安人生USDT", period="2026-11-19")).body

    first, second = (talk(conversation, generate(symbols=6, days=2)) for _ in range(2))

    assert first == second


def test_a_chinese_symbol_is_asked_percent_encoded_and_named_in_utf8(talk):
    symbol = "币安人生USDT"

    async def conversation(client):
        path = f"/data/futures/um/daily/klines/{symbol}/1m/{symbol}-1m-2026-11-19.zip"
        return await client.fetch(quote(path)), await client.fetch(quote(path) + ".CHECKSUM")

    reply, checksum = talk(conversation, generate(symbols=6, days=2))

    assert member_of(reply.body)[0].filename == f"{symbol}-1m-2026-11-19.csv"
    assert checksum.body.decode().endswith(f"  {symbol}-1m-2026-11-19.zip\n")


def test_older_files_have_no_header(talk):
    async def conversation(client):
        return member_of((await client.zip()).body)[1]

    assert talk(conversation, archive_header=False).startswith("1771977600000,51.13,")


def test_the_level_of_compression_is_a_setting(talk):
    async def conversation(client):
        return len((await client.zip()).body)

    assert talk(conversation, archive_zlib_level=1) > talk(conversation, archive_zlib_level=9)


def test_nothing_of_the_archive_costs_weight(talk):
    async def conversation(client):
        replies = [await client.zip(), await client.checksum(), await client.zip("2020-01-01")]
        return replies, (await client.get("ping")).headers["X-MBX-USED-WEIGHT-1M"], client.simulator.stats

    replies, used, stats = talk(conversation)

    assert [reply.status for reply in replies] == [200, 200, 404]
    assert all("X-MBX-USED-WEIGHT-1M" not in reply.headers for reply in replies)
    assert (used, stats.weight) == ("1", 1)


def test_the_archive_works_where_rest_is_refused(talk):
    async def conversation(client):
        refused = await client.get("ping")
        client.simulator.ban(60)
        return refused.status, (await client.get("ping")).status, (await client.zip()).status

    assert talk(conversation, faults=[parse_fault("451=100%@all")]) == (451, 418, 200)


@pytest.mark.parametrize(
    ("period", "clock_ms", "status"),
    [
        ("2026-02-28", END + 8 * 60 * MINUTE_MS + 39 * MINUTE_MS, 404),
        ("2026-02-28", END + 8 * 60 * MINUTE_MS + 40 * MINUTE_MS, 200),
        ("2026-02-27", END, 200),
        ("2026-02", END + DAY_MS - 1, 404),
        ("2026-02", END + DAY_MS, 200),
    ],
)
def test_a_file_is_there_from_the_hour_of_its_publication_on(talk, period, clock_ms, status):
    async def conversation(client):
        return [(await client.zip(period)).status, (await client.checksum(period)).status]

    assert talk(conversation, clock_ms=clock_ms) == [status, status]


def test_the_delays_of_publication_are_settings(talk):
    async def conversation(client):
        return [(await client.zip(period)).status for period in ("2026-02-28", "2026-02-27", "2026-02")]

    assert talk(conversation, archive_day_delay_ms=2 * DAY_MS, archive_month_delay_ms=0) == [404, 404, 200]


@pytest.mark.parametrize(
    "name",
    [
        "daily/klines/NOPEUSDT/1m/NOPEUSDT-1m-2026-02-25.zip",  # no such symbol
        "daily/klines/LTCUSDT/1m/LTCUSDT-1m-2026-02-24.zip",  # no row on that day
        "monthly/klines/LTCUSDT/1m/LTCUSDT-1m-2025-12.zip",
        "monthly/klines/LTCUSDT/1mo/LTCUSDT-1mo-2026-02.zip",  # not served
        "monthly/klines/LTCUSDT/1M/LTCUSDT-1M-2026-02.zip",
        "monthly/klines/LTCUSDT/3d/LTCUSDT-3d-2026-02.zip",
        "monthly/klines/LTCUSDT/1m/LTCUSDT-1m-2026-02-25.zip",  # a day among months and a month among days
        "daily/klines/LTCUSDT/1m/LTCUSDT-1m-2026-02.zip",
        "daily/klines/LTCUSDT/1m/LTCUSDT-1m-2026-02-30.zip",
        "monthly/klines/LTCUSDT/1m/LTCUSDT-1m-2026-13.zip",
        "daily/klines/LTCUSDT/1m/ALGOUSDT-1m-2026-02-25.zip",  # another's name
        "daily/klines/LTCUSDT/1m/LTCUSDT-5m-2026-02-25.zip",
        "daily/klines/LTCUSDT/1m/LTCUSDT-1m-2026-02-25.csv",
        "daily/klines/LTCUSDT/1m/LTCUSDT-1m-2026-02-25.zip.CHECKSUM.CHECKSUM",
        "daily/markPriceKlines/LTCUSDT/1m/LTCUSDT-1m-2026-02-25.zip",
        "",
    ],
)
def test_what_is_not_there_is_answered_as_s3_does(talk, name):
    async def conversation(client):
        return await client.fetch(f"/data/futures/um/{name}")

    reply = talk(conversation, clock_ms=LATER)

    assert (reply.status, reply.headers["Content-Type"]) == (404, "application/xml")
    assert b"<Code>NoSuchKey</Code>" in reply.body
    assert f"<Key>data/futures/um/{name}</Key>".encode() in reply.body


def test_a_file_can_be_looked_at_but_not_written(talk):
    async def conversation(client):
        path = "/data/futures/um/daily/klines/LTCUSDT/1m/LTCUSDT-1m-2026-02-25.zip"
        return await client.fetch(path, "HEAD"), await client.fetch(path, "PUT"), await client.zip()

    head, put, reply = talk(conversation)

    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(reply.body)))
    assert put.status == 405


def test_the_archive_lacks_what_rest_lacks(talk):
    late, hole = START + 60 * MINUTE_MS, START + 65 * MINUTE_MS
    faults = [parse_fault("late=LTCUSDT@2026-02-25T01:00Z"), parse_fault("hole=LTCUSDT@2026-02-25T01:05Z")]

    async def conversation(client):
        times = times_of(await client.zip())
        return times, (await client.klines(startTime=0, endTime=START + DAY_MS - 1, limit=1500)).times

    archive, rest = talk(conversation, faults=faults)

    assert archive == rest
    assert archive[0] == late
    assert hole not in archive


@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_the_archive_can_have_holes_of_its_own(talk, interval):
    hole = START + 2 * 60 * MINUTE_MS

    async def conversation(client):
        times = times_of(await client.zip(interval=interval))
        return times, (await client.klines(interval=interval, startTime=START, limit=1440)).times[: len(times) + 1]

    archive, rest = talk(conversation, overrides={"LTCUSDT": SymbolOverride(archive_holes=frozenset([hole]))})

    assert archive == [time for time in rest if time != hole]
    assert hole in rest


def test_rows_that_are_always_broken_are_so_in_the_archive_too(talk):
    override = SymbolOverride(bad_rows={START: "zero_price", START + MINUTE_MS: b'["rubbish"]'})

    async def conversation(client):
        return rows_of(await client.zip())

    rows = talk(conversation, overrides={"LTCUSDT": override})

    assert rows[0][1] == "0"
    assert rows[1] == ["rubbish"]


def test_the_archive_keeps_the_files_of_a_delisted_symbol(talk):
    async def conversation(client):
        return (await client.klines()).status, (await client.zip()).status

    assert talk(conversation, overrides={"LTCUSDT": SymbolOverride(delisted=True)}) == (400, 200)


def test_a_change_of_the_market_is_seen_in_the_next_answer(talk):
    async def conversation(client):
        before = times_of(await client.zip(interval="1h"))
        client.simulator.market.change("LTCUSDT", first_ms=START + DAY_MS // 2)
        return len(before), len(times_of(await client.zip(interval="1h")))

    assert talk(conversation) == (24, 12)


def test_requests_are_counted_by_kind_and_status(talk):
    async def conversation(client):
        replies = [
            await client.zip(),
            await client.zip("2020-01-01"),
            await client.checksum(),
            await client.zip("2026-02"),
            await client.checksum("2026-02"),
            await client.fetch("/data/spot/"),
        ]
        return client.simulator.stats, sum(len(reply.body) for reply in replies)

    stats, received = talk(conversation, clock_ms=LATER)

    assert stats.archive == {
        ("daily zip", 200): 1,
        ("daily zip", 404): 1,
        ("daily checksum", 200): 1,
        ("monthly zip", 200): 1,
        ("monthly checksum", 200): 1,
        ("other", 404): 1,
    }
    assert stats.archive_bytes == received
    assert not stats.requests


def test_hits_name_the_path_the_status_and_no_weight(talk):
    async def conversation(client):
        await client.zip("2020-01-01")
        return client.simulator.stats.hits

    (hit,) = talk(conversation)

    assert (hit.path, hit.status, hit.weight) == (
        "/data/futures/um/daily/klines/LTCUSDT/1m/LTCUSDT-1m-2020-01-01.zip", 404, 0,
    )  # fmt: skip


def test_latency_delays_the_archive_too(talk):
    async def conversation(client):
        begun_s = time.monotonic()
        await client.checksum("2020-01-01")
        return time.monotonic() - begun_s

    assert talk(conversation, latency_s=0.05) >= 0.05


def test_a_script_answers_the_archive_request_it_chooses(talk):
    def script(path, query, number):
        return {1: Override(status=403, body=b"no"), 2: Override(fault="archive-empty")}.get(number)

    async def conversation(client):
        await client.get("ping")
        return [await client.zip() for _ in range(3)]

    denied, empty, sound = talk(conversation, archive_script=script)

    assert (denied.status, denied.body) == (403, b"no")
    assert zipfile.ZipFile(io.BytesIO(empty.body)).namelist() == []
    assert len(rows_of(sound)) == 1440


def test_a_prepared_archive_has_months_and_the_days_beside_them(talk):
    async def conversation(client):
        made = client.simulator.archive.prepared
        replies = [await client.zip(period, "BTCUSDT") for period in ("2026-10-31", "2026-09", "2026-11-19")]
        return made, [reply.status for reply in replies]

    # From noon of 2026-08-31 to noon of 2026-11-20: a day, two whole months, and 19 days of November.
    source = generate(symbols=1, days=81, end_ms=1_795_219_200_000 - DAY_MS // 2)
    made, statuses = talk(conversation, source, archive_prepared=True, archive_zlib_level=1)

    assert (made.files, made.wanted) == (22, 22)
    assert statuses == [200, 200, 200]


def test_files_that_are_done_before_they_are_waited_for_are_counted_as_prepared(talk, monkeypatch):
    async def conversation(client):
        return client.simulator.archive.prepared

    start = Shelf.start

    def start_and_see_it_made(self, key, make):
        made = threading.Event()

        def body():
            try:
                return make()
            finally:
                made.set()

        future = start(self, key, body)
        made.wait()
        return future

    monkeypatch.setattr(Shelf, "start", start_and_see_it_made)
    made = talk(conversation, generate(symbols=2, days=4), archive_prepared=True, archive_zlib_level=1)

    assert made.files == made.wanted > 4


def test_preparing_ends_when_there_is_no_more_room(talk):
    async def conversation(client):
        return client.simulator.archive.prepared

    source = generate(symbols=20, days=5)
    made = talk(conversation, source, archive_prepared=True, archive_cache_bytes=300_000, archive_zlib_level=1)

    assert made.wanted == 80
    assert 1 <= made.files <= 8
    assert made.size_bytes <= 300_000


def test_a_fault_of_a_file_of_no_symbol_is_an_error(recorded):
    with pytest.raises(ValueError, match="no symbol NOPEUSDT"):
        Simulator(recorded, SimulatorSettings(faults=[parse_fault("archive-cut=NOPEUSDT@2026-02-25")]))
