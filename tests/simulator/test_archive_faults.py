"""What can be wrong with the simulator's archive, one kind after the other, and which file it befalls."""

import asyncio
import hashlib
import io
import re
import zipfile
import zlib
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import aiohttp
import pytest

from laklak.model.series import DAY_MS, MINUTE_MS, Interval
from laklak.simulator import ARCHIVE_KINDS, Simulator, SimulatorSettings, parse_fault
from laklak.simulator.archive.faults import FILE_KINDS, REQUEST_KINDS, ArchiveDice
from laklak.simulator.archive.paths import file_of
from laklak.simulator.archive.zips import BOMB_BYTES, bomb, zip_of

START = 1_771_977_600_000  # 2026-02-25T00:00Z, the first recorded minute
LATER = START + 11 * DAY_MS  # when all of the recording is published
NAME = "LTCUSDT-1m-2026-02-25.csv"
FILES = [
    file_of("LTCUSDT", Interval.parse("1m"), f"2025-{month:02}-{day:02}")
    for month in range(1, 13)
    for day in range(1, 29)
]


def lines_of(data):
    """The cells of every line of the only member, which must have the right name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == [NAME]
        return [line.split(",") for line in archive.read(NAME).decode().splitlines()]


def times_of(data):
    return [int(cells[0]) for cells in lines_of(data)[1:]]


def names_of(data):
    return zipfile.ZipFile(io.BytesIO(data)).namelist()


def has_one_bad_row(data, sound):
    (index,) = [n for n, (one, other) in enumerate(zip(lines_of(data), lines_of(sound), strict=True)) if one != other]
    cells = lines_of(data)[index]
    return Decimal(cells[2]) < Decimal(cells[3])


def is_reversed(data, sound):
    return times_of(data) == times_of(sound)[::-1]


def has_a_row_twice(data, sound):
    twice = [one for one, other in pairwise(lines_of(data)) if one == other]
    return len(twice) == 1 and len(lines_of(data)) == len(lines_of(sound)) + 1


def has_no_header(data, sound):
    return lines_of(data) == lines_of(sound)[1:]


def has_only_a_header(data, sound):
    return lines_of(data) == lines_of(sound)[:1]


def has_microseconds(data, sound):
    rows, before = lines_of(data)[1:], lines_of(sound)[1:]
    return (
        [row[0] for row in rows] == [row[0] + "000" for row in before]
        and [row[6] for row in rows] == [row[6] + "999" for row in before]
        and [row[1:6] + row[7:] for row in rows] == [row[1:6] + row[7:] for row in before]
    )


def has_columns(count):
    return lambda data, sound: lines_of(data) == [cells[:count] for cells in lines_of(sound)]


def ends_in_the_middle_of_a_row(data, sound):
    text, whole = (zipfile.ZipFile(io.BytesIO(part)).read(NAME) for part in (data, sound))
    return whole.startswith(text) and not text.endswith(b"\n") and 0 < text.splitlines()[-1].count(b",") < 11


def is_cut_off(data, sound):
    return sound.startswith(data) and 0 < len(data) < len(sound) and not zipfile.is_zipfile(io.BytesIO(data))


def unpacks_to_two_gigabytes(data, _sound):
    (info,) = zipfile.ZipFile(io.BytesIO(data)).infolist()
    assert (info.filename, info.file_size) == (NAME, BOMB_BYTES)
    return len(data) < 3_000_000 and deflates_to(data, info, 10**8)[0] >= 10**8


def unpacks_to_more_than_it_says(data, sound):
    (info,) = zipfile.ZipFile(io.BytesIO(data)).infolist()
    return (
        info.file_size == len(zipfile.ZipFile(io.BytesIO(sound)).read(NAME))
        and deflates_to(data, info, 10**8)[0] >= 10**8
    )


def deflates_to(data, info, enough=2**62):
    """How many zeros the member holds, and their CRC, without ever holding them all; stops at `enough`."""
    zeros = bytes(16 * 1024**2)
    reader = zlib.decompressobj(-zlib.MAX_WBITS)
    begin = info.header_offset + 30 + len(info.filename)
    rest, size, crc = data[begin : begin + info.compress_size], 0, 0
    while rest and not reader.eof and size < enough:
        part = reader.decompress(rest, len(zeros))
        assert part == zeros[: len(part)]
        size, crc, rest = size + len(part), zlib.crc32(part, crc), reader.unconsumed_tail
    return size, crc


def is_called(name):
    return lambda data, sound: names_of(data) == [name]


def has_two_members(data, _sound):
    return names_of(data) == [NAME, "LTCUSDT-1m-2026-02-25-2.csv"]


def has_no_member(data, _sound):
    return names_of(data) == []


def has_prices_without_volume(data, sound):
    rows, before = lines_of(data)[1:], lines_of(sound)[1:]
    return all(row[:5] == old[:5] and row[5] == row[7] == row[8] == "0" for row, old in zip(rows, before, strict=True))


WRONG_INSIDE = {
    "archive-badrow": has_one_bad_row,
    "archive-reversed": is_reversed,
    "archive-doubled": has_a_row_twice,
    "archive-noheader": has_no_header,
    "archive-header-only": has_only_a_header,
    "archive-microseconds": has_microseconds,
    "archive-columns:11": has_columns(11),
    "archive-columns:6": has_columns(6),
    "archive-cut-csv": ends_in_the_middle_of_a_row,
    "archive-cut": is_cut_off,
    "archive-bomb": unpacks_to_two_gigabytes,
    "archive-bomb:lying": unpacks_to_more_than_it_says,
    "archive-path:parent": is_called("../evil.csv"),
    "archive-path:absolute": is_called("/tmp/evil.csv"),  # noqa: S108
    "archive-two-members": has_two_members,
    "archive-empty": has_no_member,
    "archive-zero-volume": has_prices_without_volume,
}


def fault_of(kind, chance="100%"):
    name, _, detail = kind.partition(":")
    return parse_fault(f"{name}={chance}" + (f":{detail}" if detail else ""))


async def zip_and_checksum(client):
    return await client.zip(), await client.checksum()


@pytest.mark.long
def test_a_bomb_is_sound_to_the_last_byte():
    data = zip_of([bomb(NAME)])
    (info,) = zipfile.ZipFile(io.BytesIO(data)).infolist()

    assert deflates_to(data, info) == (BOMB_BYTES, info.CRC)


@pytest.mark.parametrize("kind", WRONG_INSIDE)
def test_a_file_is_wrong_inside_and_its_checksum_fits(talk, kind):
    sound, _ = talk(zip_and_checksum)
    reply, checksum = talk(zip_and_checksum, faults=[fault_of(kind)])

    assert reply.status == 200
    assert WRONG_INSIDE[kind](reply.body, sound.body)
    assert checksum.body.decode() == f"{hashlib.sha256(reply.body).hexdigest()}  LTCUSDT-1m-2026-02-25.zip\n"


def test_every_kind_that_leaves_the_checksum_right_has_its_row_in_the_table():
    elsewhere = {"archive-missing", "archive-checksum", "archive-flaky-checksum", "archive-missing-day"}

    assert {kind.partition(":")[0] for kind in WRONG_INSIDE} | elsewhere == set(FILE_KINDS)


def test_a_missing_file_has_no_checksum_either(talk):
    assert [reply.status for reply in talk(zip_and_checksum, faults=[fault_of("archive-missing")])] == [404, 404]


def test_a_wrong_checksum_stays_wrong(talk):
    async def conversation(client):
        return await client.zip(), [(await client.checksum()).body for _ in range(3)]

    reply, checksums = talk(conversation, faults=[fault_of("archive-checksum")])

    assert len(set(checksums)) == 1
    assert re.fullmatch(rb"[0-9a-f]{64}  LTCUSDT-1m-2026-02-25\.zip\n", checksums[0])
    assert not checksums[0].startswith(hashlib.sha256(reply.body).hexdigest().encode())
    assert len(lines_of(reply.body)) == 1441


def test_a_flaky_checksum_is_wrong_in_its_first_answer_only(talk):
    async def conversation(client):
        return (await client.zip()).body, [(await client.checksum()).body for _ in range(3)]

    data, checksums = talk(conversation, faults=[fault_of("archive-flaky-checksum")])

    fits = [checksum.startswith(hashlib.sha256(data).hexdigest().encode()) for checksum in checksums]
    assert fits == [False, True, True]


@pytest.mark.parametrize("fault", ["archive-missing-day=100%", "archive-missing-day=LTCUSDT@2026-02"])
def test_a_month_lacks_a_day_that_its_own_file_has(talk, fault):
    async def conversation(client):
        month = (await client.zip("2026-02")).body
        days = [(await client.zip(f"2026-02-{day}")).status for day in range(25, 29)]
        return month, days, (await client.checksum("2026-02")).body

    month, days, checksum = talk(conversation, faults=[parse_fault(fault)], clock_ms=LATER)
    text = zipfile.ZipFile(io.BytesIO(month)).read("LTCUSDT-1m-2026-02.csv").decode()
    present = {(int(line.partition(",")[0]) - START) // DAY_MS for line in text.splitlines()[1:]}

    assert len(present) == 3
    assert len(text.splitlines()) == 1 + 3 * 1440
    assert days == [200] * 4
    assert checksum.startswith(hashlib.sha256(month).hexdigest().encode())


def test_the_day_that_a_month_lacks_can_be_chosen(talk):
    async def conversation(client):
        return zipfile.ZipFile(io.BytesIO((await client.zip("2026-02")).body)).read("LTCUSDT-1m-2026-02.csv").decode()

    text = talk(conversation, faults=[parse_fault("archive-missing-day=LTCUSDT@2026-02-26")], clock_ms=LATER)

    assert str(START + DAY_MS - MINUTE_MS) in text
    assert f"\n{START + DAY_MS}" not in text
    assert f"\n{START + 2 * DAY_MS}" in text


def test_a_fault_can_be_of_one_file(talk):
    async def conversation(client):
        asked = [("2026-02-25",), ("2026-02-26",), ("2026-02-25", "ALGOUSDT"), ("2026-02",)]
        return [(await client.zip(*words)).status for words in asked]

    assert talk(conversation, faults=[parse_fault("archive-missing=LTCUSDT@2026-02-25")], clock_ms=LATER) == [
        404, 200, 200, 200,
    ]  # fmt: skip
    assert talk(conversation, faults=[parse_fault("archive-missing=LTCUSDT@2026-02")], clock_ms=LATER) == [
        200, 200, 200, 404,
    ]  # fmt: skip


def test_the_faults_of_one_file_leave_the_others_as_they_are(talk):
    async def conversation(client):
        return (await client.zip("2026-02-26")).body

    assert talk(conversation, faults=[parse_fault("archive-bomb=LTCUSDT@2026-02-25")]) == talk(conversation)


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_about_the_asked_share_of_files_is_wrong_the_same_whoever_asks_first(kind):
    if kind == "archive-missing-day":
        files = [file_of(f"S{n}USDT", Interval.parse("1m"), "2025-03") for n in range(len(FILES))]
    else:
        files = FILES
    one, other = (ArchiveDice([fault_of(kind, "20%")], seed=4) for _ in range(2))
    wrong = [one.of_file(file) is not None for file in files]

    assert wrong[::-1] == [other.of_file(file) is not None for file in reversed(files)]
    assert 0.1 < sum(wrong) / len(wrong) < 0.3


def test_another_seed_makes_other_files_wrong():
    first, second = (
        [ArchiveDice([fault_of("archive-cut", "20%")], seed).of_file(file) is not None for file in FILES]
        for seed in (1, 2)
    )

    assert first != second


def test_kinds_befall_files_independently_of_each_other():
    kinds = ("archive-missing", "archive-reversed", "archive-doubled")
    dice = ArchiveDice([fault_of(kind, "20%") for kind in kinds], seed=1)
    count = Counter(fault and fault.kind for fault in map(dice.of_file, FILES))

    assert all(count[kind] > 0.08 * len(FILES) for kind in kinds)


def test_a_request_that_failed_can_succeed_the_next_time(talk):
    async def conversation(client):
        return [(await client.zip()).status for _ in range(40)]

    first, second = (talk(conversation, faults=[fault_of("archive-5xx", "30%")], seed=3) for _ in range(2))

    assert first == second
    assert 4 <= sum(status >= 500 for status in first) <= 24
    assert set(first) <= {200, 500, 502, 503}


def test_a_reset_breaks_an_answer_off_or_lets_none_come(talk):
    async def conversation(client):
        midway = 0
        for _ in range(12):
            try:
                await client.zip()
            except aiohttp.ClientPayloadError:
                midway += 1
            except aiohttp.ClientConnectionError:
                continue
        return midway, client.simulator.stats

    midway, stats = talk(conversation, faults=[fault_of("archive-reset")])

    # aiohttp may silently ask again where no answer came at all.
    assert stats.archive["daily zip", 0] > 0
    assert stats.archive["daily zip", 200] == midway > 0
    assert stats.faults["archive-reset"] == stats.archive.total() >= 12


def test_a_slow_answer_is_right_in_the_end(talk):
    async def conversation(client):
        return await client.zip()

    assert len(times_of(talk(conversation, faults=[parse_fault("archive-slow=100%:0.01s")]).body)) == 1440


def test_faults_of_rest_do_not_touch_the_archive(talk):
    faults = [parse_fault(f"{kind}=100%@all") for kind in ("5xx", "reset", "hang")]
    faults += [parse_fault(f"{kind}=100%") for kind in ("badrow", "badrow-sticky", "flicker")]
    sound, _ = talk(zip_and_checksum)

    assert talk(zip_and_checksum, faults=faults)[0].body == sound.body


def test_faults_of_the_archive_do_not_touch_rest(talk):
    async def conversation(client):
        return (await client.klines(startTime=START, limit=10)).times

    faults = [fault_of(kind) for kind in ARCHIVE_KINDS]

    assert talk(conversation, faults=faults) == [START + n * MINUTE_MS for n in range(10)]


def test_faults_are_counted_by_the_answers_they_befell(talk):
    async def conversation(client):
        await client.zip()
        await client.zip()
        await client.checksum()
        return client.simulator.stats.faults

    assert talk(conversation, faults=[fault_of("archive-cut")]) == {"archive-cut": 2}
    assert talk(conversation, faults=[fault_of("archive-checksum")]) == {"archive-checksum": 1}


@pytest.mark.parametrize("fault", ["archive-reset", "archive-5xx"])
def test_broken_answers_of_the_archive_work_on_uvloop_too(recorded, fault):
    uvloop = pytest.importorskip("uvloop")

    async def main():
        async with (
            Simulator(recorded, SimulatorSettings(faults=[fault_of(fault)])) as simulator,
            aiohttp.ClientSession() as session,
        ):
            outcomes = set()
            for day in range(25, 28):
                url = f"{simulator.url}/data/futures/um/daily/klines/LTCUSDT/1m/LTCUSDT-1m-2026-02-{day}.zip"
                try:
                    async with session.get(url) as response:
                        await response.read()
                    outcomes.add(response.status // 100)
                except aiohttp.ClientError:
                    outcomes.add("broken")
            return outcomes

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == ({"broken"} if fault == "archive-reset" else {5})


@pytest.mark.parametrize("kind", ARCHIVE_KINDS)
def test_every_kind_can_be_written_as_a_share_or_for_a_file(kind):
    share, file = parse_fault(f"{kind}=5%"), parse_fault(f"{kind}=币安人生USDT@2026-02-25")

    assert (share.kind, share.probability, share.symbol) == (kind, 0.05, "")
    assert (file.kind, file.probability, file.symbol, file.period) == (kind, 0, "币安人生USDT", "2026-02-25")


def test_a_fault_of_one_file_can_say_its_form():
    assert parse_fault("archive-columns=BTCUSDT@2026-02:6").detail == "6"


@pytest.mark.parametrize(
    "text",
    ["archive-cut", "archive-cut=5", "archive-cut=0%", "archive-cut=5%@all", "archive-odd=5%", "archive-odd=A@2026-02",
     "archive-cut=BTCUSDT@2026-02-30", "archive-cut=BTCUSDT@2026", "archive-cut=BTCUSDT@2026-02-25+5",
     "archive-columns=5%:7", "archive-path=5%:x", "archive-slow=5%:x", "archive-cut=5%:x", "archive-missing=@2026-02"],
)  # fmt: skip
def test_a_fault_of_the_archive_that_is_not_understood_is_named(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_fault(text)


def test_faults_of_requests_and_of_files_are_all_the_faults_there_are():
    assert set(ARCHIVE_KINDS) == set(FILE_KINDS) | set(REQUEST_KINDS)
