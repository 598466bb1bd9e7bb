"""Half an hour that the API of a lying venue lacks and its files have: what the tests of it ask and say."""

from __future__ import annotations

import time

from lying_venue import FILES, minutes, values

DAY = {"start": "2026-03-01", "end": "2026-03-02"}
HALF_HOUR = {"start": "2026-03-01T07:00", "end": "2026-03-01T07:30"}
MORNING = {"start": "2026-03-01T06:30", "end": "2026-03-01T08:00"}
LACKING = minutes("2026-03-01T07:00", 30)
BEFORE = "2026-03-02T08:59:30"
"""The file of 2026-03-01 is expected half a minute later."""
DUE = "2026-03-02T09:00:30"
FILE = "AAAUSDT-1m-2026-03-01.zip"


def symbol(venue):
    return venue.symbols["AAAUSDT"]


def lose(venue, lost=LACKING):
    """From now on the files lack these minutes too."""
    symbol(venue).file_holes |= lost


def zips(venue):
    """The zips that were asked for, in order."""
    return [hit.path.rpartition("/")[2] for hit in venue.asked(FILES) if hit.path.endswith(".zip")]


def account(summary):
    return summary.exit, summary.written, summary.holes, summary.missing


def fails(venue, path, status=503):
    """From now on whatever begins with `path` fails."""
    venue.tell = lambda asked: (status, b"") if asked.path.startswith(path) else None


def whole(stored, start, count):
    """Whether exactly these minutes are stored, as the venue has them."""
    return stored() == {("AAAUSDT", open_ms): values(open_ms) for open_ms in minutes(start, count)}


def wait_for(venue, path):
    deadline = time.monotonic() + 60
    while not venue.asked(path):
        assert time.monotonic() < deadline, f"nothing asked for {path}"
        time.sleep(0.005)
