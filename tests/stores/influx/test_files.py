"""Bulk files where a write is no transaction, and where a server drops what has become too old."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from laklak.model.provenance import BulkFile
from laklak.model.series import DAY_MS, TimeRange

ALL = TimeRange(0, 1 << 50)


def day_file(start_ms):
    return BulkFile(TimeRange(start_ms, start_ms + DAY_MS), f"{start_ms}.zip", "a" * 64, start_ms)


def test_files_of_days_that_a_server_drops_are_not_sent_and_others_are_kept(use, box, series, deliver):
    box.remove()
    box.make(keeps_hours=240)
    today_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
    old, kept = day_file(today_ms - 20 * DAY_MS), day_file(today_ms - 2 * DAY_MS)
    delivery = replace(deliver(series, 5, start_ms=today_ms - 2 * DAY_MS), files=(old, kept))

    async def work(store):
        await store.write([delivery])
        return await store.bulk_files(series, ALL)

    assert use(work) == [kept]


def test_a_file_is_noted_after_its_candles(use, monkeypatch, series, deliver):
    start_ms = 1_767_225_600_000
    delivery = replace(deliver(series, 5, start_ms=start_ms), files=(day_file(start_ms),))

    async def work(store):
        async def killed(deliveries):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(store._writer, "write", killed)
            with pytest.raises(KeyboardInterrupt):
                await store.write([delivery])
        before = await store.bulk_files(series, ALL)
        await store.write([delivery])
        return before, await store.bulk_files(series, ALL)

    assert use(work) == ([], [day_file(start_ms)])
