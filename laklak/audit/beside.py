"""A look at stored candles beside something else: digests in a file, another store, what venues say now."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from laklak.audit.certified import why_refused
from laklak.audit.coverage import Range
from laklak.audit.sources import Sample, ask_sources
from laklak.audit.verify import Depth, Known, VerifyReport, read_known, verify
from laklak.errors import UsageError
from laklak.model.series import Interval, Series
from laklak.report.observer import Observer
from laklak.settings.load import Settings
from laklak.stores import open_store
from laklak.stores.reading import must_exist
from laklak.tasks.timing import Timing
from laklak.text import read_bytes

_DIGESTS_AT_MOST: Final = 1 << 30


async def verify_beside(
    settings: Settings,
    asked: Sequence[Series],
    wanted: Range,
    *,
    timing: Timing,
    observer: Observer,
    typed: bool,
    depth: Depth,
    interval: Interval | None = None,
    against: str | None = None,
    known: Known | None = None,
    sample: Sample | None = None,
) -> VerifyReport:
    """See `verify`: `known` digests, or those of a store `against`; then of a `sample` of days what venues say."""
    if depth == "sums" and known is not None and not known.has_sums:
        raise UsageError(
            f"{against} keeps no sums of days", hint="laklak digest --out FILE keeps them; or choose another --depth"
        )
    access = replace(settings.store_access.at_once, max_wait_s=1.0)
    async with AsyncExitStack() as stores:
        store = await stores.enter_async_context(open_store(access, create=False))
        other = None
        if known is None and against is not None:
            other = await stores.enter_async_context(open_store(replace(access, where=against), create=False))
            must_exist(other)
        found = await verify(
            store, asked, wanted, typed=typed, depth=depth, interval=interval, against=known, other=other
        )
    if sample is None:
        return found
    return await ask_sources(found, sample, settings, timing, observer, random.SystemRandom())


def known_of(against: str | None) -> Known | None:
    """The digests in a file, those of `laklak digest` or a certificate; None where a store is named."""
    if against is None or "://" in against:
        return None
    path = Path(against)
    try:
        with path.open("rb") as file:
            if file.read(16).startswith(b"SQLite format 3"):
                return None
    except OSError as exc:
        raise UsageError(
            f"{against} cannot be read: {exc.strerror}", hint="name a file of laklak digest --out, or a store"
        ) from exc
    data = read_bytes(path, limit_bytes=_DIGESTS_AT_MOST, error=UsageError)
    if b'"digests"' in data and (why := why_refused(data)):
        raise UsageError(f"{against} is refused: {why}", hint="name a certificate as it was issued")
    return read_known(data, against)
