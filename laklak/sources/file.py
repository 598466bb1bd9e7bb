"""Files of candles."""

from __future__ import annotations

from laklak.model.series import Series


def file_stem(series: Series) -> str:
    """The name of the file of a series, without its ending: a venue has no dash, and an interval none."""
    return f"{series.venue}-{series.symbol}-{series.interval}"
