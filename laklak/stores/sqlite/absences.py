"""What is known to be absent from a SQLite store: functions on a connection."""

from __future__ import annotations

from typing import Final

from laklak.model.absences import Absence, outside_of
from laklak.model.series import Series, TimeRange
from laklak.stores.sqlite.lane import Turn
from laklak.stores.sqlite.schema import SERIES_ID, SOUND
from laklak.stores.sqlite.spans import split_words, true_spans

_ABSENCES: Final = f"""
SELECT open_time, kind, confirmed_at, reason, row, venue_at, file_at, sources FROM absence
WHERE series_id = ? AND open_time >= ? AND open_time < ? AND NOT EXISTS (
    SELECT 1 FROM candle
    WHERE candle.series_id = absence.series_id AND candle.open_time = absence.open_time AND {SOUND})
ORDER BY open_time"""  # noqa: S608, made of constants


def absences(series: Series, span: TimeRange, turn: Turn) -> list[Absence]:
    names = (series.venue, series.symbol, series.interval.name)
    found = turn.connection.execute(SERIES_ID, names).fetchone()
    if found is None:
        return []
    step_ms, (series_id,) = series.interval.ms, found
    single = [
        Absence(
            TimeRange(open_ms, open_ms + step_ms), kind, noted_ms, reason, row, venue_ms, file_ms, split_words(words)
        )
        for open_ms, kind, noted_ms, reason, row, venue_ms, file_ms, words in turn.connection.execute(
            _ABSENCES, (series_id, span.start_ms, span.end_ms)
        )
    ]
    spans = true_spans(turn.connection, series_id, series.interval, span)
    return sorted([*spans, *outside_of(spans, single)], key=lambda absence: absence.span) if spans else single
