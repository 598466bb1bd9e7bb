"""A zip is hostile until it has shown that it is the file that was asked for."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.archives import ARCHIVES, BadFile
from laklak.archives.unpack import unpack
from laklak.model.series import Series

END_BYTES = 22
FILE = ARCHIVES["binance"].day_file(Series.parse("binance:LINKUSDT:1m"), 1_772_064_000_000)
CHINESE = ARCHIVES["binance"].day_file(Series.parse("binance:币安人生USDT:1m"), 1_772_064_000_000)
CONTENT = b"1772064000000,1.1,1.2,1.0,1.1,5,1772064059999,1,1,1,1,0\n" * 50


def refused(body, match=None, file=FILE):
    with pytest.raises(BadFile, match=match) as caught:
        unpack(body, file)
    assert caught.value.reason == "zip"
    assert str(caught.value).startswith(file.name)


def directory_at(body):
    return struct.unpack_from("<L", body, len(body) - 6)[0]


def patched(body, at, form, value):
    """The zip with one number of its directory entry (counted from there) replaced."""
    changed = bytearray(body)
    struct.pack_into(form, changed, directory_at(body) + at, value)
    return bytes(changed)


@pytest.fixture
def good(zipped):
    return zipped([(FILE.member, CONTENT)])


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_file_gives_what_was_put_in(zipped, method):
    assert unpack(zipped([(FILE.member, CONTENT)], method), FILE) == CONTENT


def test_a_recorded_day_is_unpacked(zipped, day, day_csv):
    assert unpack(zipped([(day.member, day_csv)]), day) == day_csv


def test_a_zip_that_tells_the_sizes_after_the_member_is_read():
    buffer = io.BytesIO()

    class Pipe:
        """Where a zip is written that cannot go back."""

        write = buffer.write
        flush = buffer.flush

    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(FILE.member, CONTENT)

    assert unpack(buffer.getvalue(), FILE) == CONTENT


def test_extra_fields_are_passed_over():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(FILE.member)
        # The times and owners that Info-ZIP adds, as in the published files.
        member.extra = bytes.fromhex("5554050003ab7e206775780b000104e103000004dd030000")
        archive.writestr(member, CONTENT, zipfile.ZIP_DEFLATED)

    assert unpack(buffer.getvalue(), FILE) == CONTENT


def test_a_name_that_is_not_ascii_is_known_with_and_without_its_mark(zipped):
    marked = zipped([(CHINESE.member, CONTENT)])
    plain = bytearray(marked)
    for at in (6, directory_at(marked) + 8):
        assert plain[at + 1] == 0x08, "the mark of UTF-8"
        plain[at + 1] = 0

    assert unpack(marked, CHINESE) == unpack(bytes(plain), CHINESE) == CONTENT


def test_a_zip_without_a_member_is_refused(zipped):
    refused(zipped([]), "has 0 members")


def test_a_zip_with_two_members_is_refused(zipped):
    refused(zipped([(FILE.member, CONTENT), ("readme.txt", b"hello")]), "has 2 members")
    refused(zipped([(FILE.member, CONTENT), (FILE.member.replace(".csv", ".CSV"), CONTENT)]), "has 2 members")


def test_a_directory_with_more_entries_than_it_counts_is_refused(zipped):
    body = bytearray(zipped([(FILE.member, CONTENT), ("second.csv", CONTENT)]))
    struct.pack_into("<2H", body, len(body) - END_BYTES + 8, 1, 1)

    refused(bytes(body), "not that of one member")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.csv",
        f"../{FILE.member}",
        f"/var/{FILE.member}",
        f"a/{FILE.member}",
        f".\\{FILE.member}",
        FILE.member.upper(),
        FILE.member + " ",
        "LINKUSDT-1m-2026-02-27.csv",
        FILE.member + "/",
    ],
)
def test_a_member_of_another_name_is_refused(zipped, name, clean_room):
    refused(zipped([(name, CONTENT)]), "is called")
    assert list(clean_room.iterdir()) == []


def test_a_member_whose_own_header_names_it_otherwise_is_refused(good):
    refused(good.replace(FILE.member.encode(), b"X" + FILE.member.encode()[1:], 1), "two stories")


def test_an_encrypted_member_is_refused(good):
    changed = bytearray(patched(good, 8, "<H", 1))
    struct.pack_into("<H", changed, 6, 1)

    refused(bytes(changed), "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_packed_otherwise_is_refused(zipped, method):
    refused(zipped([(FILE.member, CONTENT)], method), f"method {method}")


@pytest.mark.parametrize("body", [b"", b"PK", b"<Error><Code>NoSuchKey</Code></Error>" * 9, b"PK\x05\x06", b"\0" * 500])
def test_what_is_no_zip_is_refused(body):
    refused(body, "does not end as a zip does")


def test_a_zip_that_is_cut_off_is_refused_wherever_it_is_cut(good):
    for length in range(len(good)):
        refused(good[:length])


def test_a_zip_with_something_behind_it_is_refused(good):
    refused(good + b"\0", "something behind it")
    refused(good + good)


def test_a_zip_with_something_before_it_is_refused(good):
    refused(b"#!/bin/sh\n" + good, "not where it should be")


def test_a_zip_with_something_between_member_and_directory_is_refused(good):
    at = directory_at(good)
    changed = bytearray(good[:at] + b"x" * 100 + good[at:])
    struct.pack_into("<L", changed, len(changed) - 6, at + 100)

    refused(bytes(changed), "something behind it")


def test_a_zip_with_a_comment_is_refused(good):
    refused(good[:-2] + b"\x02\x00hi", "does not end")
    # One that pretends to be the end of a zip itself.
    fake = good[-END_BYTES:]
    refused(good[:-2] + struct.pack("<H", len(fake)) + fake, "not where it should be")


@pytest.mark.parametrize("size", [0, 1, len(CONTENT) - 1, len(CONTENT) + 1, 0xFFFFFFFF])
def test_a_size_that_does_not_come_true_is_refused(good, size):
    refused(patched(good, 24, "<L", size), f"promises {size}")


@pytest.mark.parametrize("size", [0, 10, 10_000, 0xFFFFFFFF])
def test_a_packed_size_that_does_not_come_true_is_refused(good, size):
    refused(patched(good, 20, "<L", size))


def test_a_wrong_crc_is_refused(good):
    refused(patched(good, 16, "<L", 12345), "CRC")


def test_a_stored_member_that_was_changed_is_refused(zipped):
    body = zipped([(FILE.member, CONTENT)], zipfile.ZIP_STORED)

    refused(body.replace(b"1.2", b"9.2", 1), "CRC")


def test_a_bomb_is_refused_before_it_goes_off(zipped):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join([packer.compress(bytes(2**20)) for _ in range(256)]) + packer.flush()
    body = bytearray(zipped([(FILE.member, b"")]))
    at = directory_at(bytes(body))
    head = 30 + len(FILE.member)
    body[head:at] = packed
    struct.pack_into("<L", body, len(body) - 6, head + len(packed))
    entry = head + len(packed)
    struct.pack_into("<H", body, entry + 10, zipfile.ZIP_DEFLATED)
    struct.pack_into("<H", body, 8, zipfile.ZIP_DEFLATED)
    struct.pack_into("<3L", body, entry + 16, 0, len(packed), 1000)

    tracemalloc.start()
    refused(bytes(body), "unpacks to more than")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


def test_a_file_that_shrank_to_next_to_nothing_is_refused(zipped):
    refused(zipped([(FILE.member, b"0" * 500_000)]), "unpacks to more than")


def test_a_month_without_any_trade_is_not_taken_for_a_bomb(zipped):
    file = ARCHIVES["binance"].month_file(FILE.series, FILE.span.start_ms)
    times = range(file.span.start_ms, file.span.end_ms, 60_000)
    content = b"".join(b"%d,7,7,7,7,0,%d,0,0,0,0,0\n" % (time, time + 59_999) for time in times)

    assert unpack(zipped([(file.member, content)]), file) == content


def test_a_file_longer_than_its_period_can_be_is_refused_however_it_is_packed(zipped):
    noise = random.Random(1).randbytes(FILE.csv_bytes_max + 1)

    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        refused(zipped([(FILE.member, noise)], method), "more than")


@given(st.data())
def test_a_changed_zip_gives_the_same_or_nothing(zipped, data):
    body = bytearray(zipped([(FILE.member, CONTENT)]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))

    with contextlib.suppress(BadFile):
        assert unpack(bytes(body), FILE) == CONTENT


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_anything_else(body):
    refused(body)
    refused(body + b"PK\x05\x06" + body[:18].ljust(18, b"\0"))
