"""The checksum beside a file."""

from __future__ import annotations

import pytest

from laklak.archives import BadFile
from laklak.archives.checksum import parse_checksum, verify

DIGITS = "0123456789abcdef" * 4


@pytest.mark.parametrize("form", ["{d}  {n}\n", "{d} *{n}\n", "{d}  {n}", "{d}  {n}\r\n"])
def test_a_line_of_sha256sum_is_read(day, form):
    assert parse_checksum(form.format(d=DIGITS, n=day.name).encode(), day) == DIGITS


def test_capital_digits_are_the_same_digits(day):
    assert parse_checksum(f"{DIGITS.upper()}  {day.name}\n".encode(), day) == DIGITS


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
        f"{DIGITS[:-1]}  %s\n".encode(),
        f"{DIGITS}0  %s\n".encode(),
        f"{DIGITS} %s\n".encode(),
        f"{DIGITS}\n".encode(),
        f"{DIGITS}  %s\n{DIGITS}  %s\n".encode(),
        f"{DIGITS}  %s\n\n".encode(),
        f"\n{DIGITS}  %s\n".encode(),
        f"{DIGITS}  %s".encode() + b" " * 2000,
        b"\xff" * 64 + b"  %s\n",
    ],
)
def test_what_is_no_such_line_states_no_checksum(day, body):
    with pytest.raises(BadFile, match="not one line") as caught:
        parse_checksum(body.replace(b"%s", day.name.encode()), day)
    assert caught.value.reason == "checksum"


@pytest.mark.parametrize("name", ["LINKUSDT-1m-2026-02-27.zip", "./%s", "../%s", "%s.zip", "%s ", "\xff%s"])
def test_a_checksum_of_another_file_is_refused(day, name):
    with pytest.raises(BadFile, match="is one of"):
        parse_checksum(f"{DIGITS}  {name.replace('%s', day.name)}\n".encode("latin-1"), day)


def test_a_file_with_its_checksum_is_taken(day, checksum):
    verify(b"the bytes", day, checksum(b"the bytes"))


def test_a_file_with_another_checksum_is_refused(day, checksum):
    with pytest.raises(BadFile, match=day.name) as caught:
        verify(b"the byteS", day, checksum(b"the bytes"))
    assert caught.value.reason == "checksum"
