"""Symbols that a lying venue does not list, and what was asked of its files."""

from __future__ import annotations

from pathlib import Path

from lying_venue import FILES, MINUTE_MS, ms

CLOCK = "2026-03-10T12:00:30"
JANUARY = ("--start", "2026-01-01", "--end", "2026-02-01")
MONTHS = f"{FILES}/monthly"
DAYS = f"{FILES}/daily"


def files_alone(venue, name="OLDUSDT", first="2025-11-10", last="2026-01-31T23:59", **more):
    """A symbol that klines do not know and files have."""
    return venue.list(name, first=first, last=last, listed=False, refused=-1121, **more)


def klines_too(venue, name="OLDUSDT", first="2025-11-10", last="2026-01-20T10:00"):
    return venue.list(name, first=first, last=last, listed=False)


def listed_in(*symbols):
    Path("assets.txt").write_text("".join(f"{symbol} binance\n" for symbol in symbols))


def months_asked(venue, symbol="OLDUSDT"):
    return [hit.path.rsplit("/", 1)[1] for hit in venue.asked(MONTHS, symbol) if hit.path.endswith(".CHECKSUM")]


def zips(venue, folder=FILES):
    return [hit.path.rsplit("/", 1)[1] for hit in venue.asked(folder) if hit.path.endswith(".zip")]


def minutes_of(start, end):
    return list(range(ms(start), ms(end), MINUTE_MS))
