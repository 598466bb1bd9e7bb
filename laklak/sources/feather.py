"""Reads and adds the metadata of an Arrow file (Feather 2); polars, which writes the file, can do neither.

An Arrow file ends with a footer, its length and a mark. The footer is a flatbuffer, whose parts refer to each other by
forward offsets: a new head, whose schema has metadata, goes before the old one and points into it.

Source: https://arrow.apache.org/docs/format/Columnar.html and File.fbs, Schema.fbs (read 2026-11),
https://flatbuffers.dev/internals/ (likewise).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

_MARK: Final = b"ARROW1"
_END: Final = struct.Struct(f"<i{len(_MARK)}s")
_FOOTER_BYTES_MAX: Final = 1 << 26
_ENTRIES_MAX: Final = 10_000
# The slots of fields in their tables.
_SCHEMA, _DICTIONARIES, _BATCHES = 1, 2, 3
_FIELDS, _METADATA = 1, 2


def add_metadata(path: str | Path, facts: Mapping[str, str]) -> None:
    """Add metadata to a file that has none."""
    with open(path, "r+b") as file:
        footer = _read_footer(file)
        file.seek(-_END.size - len(footer.data), 2)
        new = _with_facts(footer, facts)
        file.write(new + _END.pack(len(new), _MARK))
        file.truncate()


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file. ValueError if it does not end like an Arrow file."""
    with path.open("rb") as file:
        footer = _read_footer(file)
    entries = _table(footer, footer.root, _SCHEMA, _METADATA)
    found = {}
    for place in range(footer.length(entries) if entries else 0):
        entry = footer.ahead(entries + 4 + 4 * place)
        key, value = footer.field(entry, 0), footer.field(entry, 1)
        if key and value:
            found[footer.text(footer.ahead(key))] = footer.text(footer.ahead(value))
    return found


class _Flatbuffer:
    """Numbers and texts at offsets. ValueError for an offset outside the data."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def root(self) -> int:
        return self.ahead(0)

    def number(self, form: str, place: int) -> int:
        size = struct.calcsize(form)
        if not 0 <= place <= len(self.data) - size:
            raise ValueError("its footer is damaged")
        found: int = struct.unpack_from(f"<{form}", self.data, place)[0]
        return found

    def ahead(self, place: int) -> int:
        """Follow the forward offset at `place`."""
        return place + self.number("I", place)

    def field(self, table: int, slot: int) -> int:
        """The offset of a table's field; 0 if the table lacks it."""
        known = table - self.number("i", table)
        if 4 + 2 * slot >= self.number("H", known):
            return 0
        offset = self.number("H", known + 4 + 2 * slot)
        return table + offset if offset else 0

    def length(self, vector: int) -> int:
        found = self.number("I", vector)
        if found > _ENTRIES_MAX:
            raise ValueError("its footer is damaged")
        return found

    def text(self, place: int) -> str:
        size = self.number("I", place)
        if place + 4 + size > len(self.data):
            raise ValueError("its footer is damaged")
        return self.data[place + 4 : place + 4 + size].decode()


def _table(footer: _Flatbuffer, table: int, *slots: int) -> int:
    """Follow fields from table to table; 0 if one is missing."""
    for slot in slots:
        field = footer.field(table, slot)
        if not field:
            return 0
        table = footer.ahead(field)
    return table


def _read_footer(file: BinaryIO) -> _Flatbuffer:
    end = file.seek(0, 2)
    if end < 2 * _END.size:
        raise ValueError("it is cut off")
    file.seek(end - _END.size)
    size, mark = _END.unpack(file.read(_END.size))
    if mark != _MARK or not 0 < size <= min(_FOOTER_BYTES_MAX, end - _END.size):
        raise ValueError("it is cut off")
    file.seek(end - _END.size - size)
    return _Flatbuffer(file.read(size))


def _with_facts(footer: _Flatbuffer, facts: Mapping[str, str]) -> bytes:
    """The footer with a schema that says `facts`; what stood there follows as it was, moved by a multiple of 8.

    The head:  0 where the footer is    4 its list of fields   20 the footer
              40 the schema's list      52 the schema          72 the list of a fact, which all share
              80 the facts: their number, where each is, each of them, then their texts
    """
    texts = [text.encode() for entry in facts.items() for text in entry]
    footer_fields_at, footer_at, schema_fields_at, schema_at, fact_fields_at, facts_at = 4, 20, 40, 52, 72, 80
    entries_at = facts_at + 4 + 4 * len(facts)
    text_at = entries_at + 12 * len(facts)
    places = []
    for text in texts:
        places.append(text_at)
        text_at += 4 + (len(text) // 4 + 1) * 4
    size = -(-text_at // 8) * 8
    new = bytearray(size)
    old_schema = _table(footer, footer.root, _SCHEMA)
    version, endianness = footer.field(footer.root, 0), footer.field(old_schema, 0)
    old = {
        "dictionaries": _table(footer, footer.root, _DICTIONARIES),
        "batches": _table(footer, footer.root, _BATCHES),
        "fields": _table(footer, old_schema, _FIELDS),
    }

    def ahead(place: int, name: str) -> int:
        return size + old[name] - place if old[name] else 0

    struct.pack_into("<I", new, 0, footer_at)
    struct.pack_into(
        "<6H", new, footer_fields_at, 12, 20, 16, 4, 8 if old["dictionaries"] else 0, 12 if old["batches"] else 0
    )
    struct.pack_into(
        "<iIIIh",
        new,
        footer_at,
        footer_at - footer_fields_at,
        schema_at - footer_at - 4,
        ahead(footer_at + 8, "dictionaries"),
        ahead(footer_at + 12, "batches"),
        footer.number("h", version) if version else 0,
    )
    struct.pack_into("<5H", new, schema_fields_at, 10, 16, 12, 4, 8)
    struct.pack_into(
        "<iIIh",
        new,
        schema_at,
        schema_at - schema_fields_at,
        ahead(schema_at + 4, "fields"),
        facts_at - schema_at - 8,
        footer.number("h", endianness) if endianness else 0,
    )
    struct.pack_into("<4H", new, fact_fields_at, 8, 12, 4, 8)
    struct.pack_into("<I", new, facts_at, len(facts))
    for number in range(len(facts)):
        entry, here = entries_at + 12 * number, facts_at + 4 + 4 * number
        key, value = places[2 * number : 2 * number + 2]
        struct.pack_into("<I", new, here, entry - here)
        struct.pack_into("<iII", new, entry, entry - fact_fields_at, key - entry - 4, value - entry - 8)
    for place, text in zip(places, texts, strict=True):
        struct.pack_into(f"<I{len(text)}s", new, place, len(text), text)
    return bytes(new) + footer.data
