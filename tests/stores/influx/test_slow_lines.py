"""A slow but steady line to a server: what is limited is its silence, in reading, in writing and at the start."""

from __future__ import annotations

import re

from slow_line import slow_line

from laklak.model.series import DAY_MS, TimeRange
from laklak.tasks.timing import StoreTiming

IMPATIENT = StoreTiming(silence_s=1.5)
START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)


def behind(url, line):
    """The same store at the near end of the line."""
    return re.sub(r"//[^/]*/", f"//{line.url.removeprefix('http://')}/", url)


def test_an_answer_that_takes_longer_than_silence_may_last_is_taken_whole(use, box, series, deliver, caplog):
    use(lambda store: store.write([deliver(series, 3_000)]), box)
    with slow_line(f"http://127.0.0.1:{box.server.port}", 60_000) as line:
        columns = use(
            lambda store: store.read(series, DAYS),
            behind(box.url, line),
            timing=IMPATIENT,
            **({"token": box.secret} if box.secret else {}),
        )

    assert len(columns.open_times) == 3_000
    assert line.carried / 60_000 > IMPATIENT.silence_s
    assert "passing fault" not in caplog.text
