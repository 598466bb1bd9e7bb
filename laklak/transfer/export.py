"""Series of a store, each into a file of its own that is there whole or not at all."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Final, cast

from laklak.audit.coverage import Range, check_known
from laklak.errors import NothingInRange, StoreUnavailable, UsageError
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, iso
from laklak.model.spans import on_grid
from laklak.plan.longer import around
from laklak.report.place import Place, check_place, could_not_write, emit_nowhere
from laklak.sources.candle_file import MADE_KEY, ORIGIN_KEY, file_stem
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Columns, Store
from laklak.stores.coverage import take_stock
from laklak.stores.longer import made_batches, making_of, shortest_of
from laklak.stores.reading import must_exist
from laklak.text import nearest, some_of
from laklak.transfer.freqtrade import FORMATS as FREQTRADE_FORMATS
from laklak.transfer.freqtrade import NoPair, place_of
from laklak.transfer.sheets import (
    BEGINS,
    FORMATS,
    STREAMED,
    Sheet,
    TableFile,
    csv_sheet,
    json_sheet,
    lp_sheet,
)

FLAG: Final = "--out"
STDOUT: Final = "-"
FREQTRADE: Final = "freqtrade"


def format_of(form: str | None, out: str, layout: str | None) -> str:
    """The format that is named, or the one that a file's name ends with; that of a layout, where one is named."""
    if layout not in (None, FREQTRADE):
        raise UsageError(f"--layout {layout} is none", hint=f"there is {FREQTRADE}")
    known = FORMATS if layout is None else FREQTRADE_FORMATS
    if form is None:
        endings = {ending: name for name, ending in FORMATS.items()}
        return endings.get(Path(out).suffix.lower(), "csv") if layout is None else next(iter(known))
    if form in known:
        return form
    guess = nearest(form, list(known))
    raise UsageError(
        f"--format {form} is none{'' if layout is None else f' that {layout} reads'}",
        hint=f"{f'did you mean {guess}? ' if guess else ''}there is {', '.join(known)}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """`series` empty is all that the store has, of an `interval`. `typed`: it is an error if it lacks one of them.

    Where it has only shorter candles of a symbol those of a series, or of the `interval`, are made of these.

    `out`: a file, a folder for files that are named after their series, or `-` for standard output. `layout` is how
    files are named there: `freqtrade` has names, columns and a format of its own.
    """

    store: StoreAccess
    series: tuple[Series, ...] = ()
    typed: bool = True
    interval: Interval | None = None
    wanted: Range
    format: str = "csv"
    out: str = "."
    layout: str | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that is whole: `path` is None for standard output; the moments are the first and the last open_time.

    `made_of`: the shorter candles that the store has in place of these.
    """

    series: Series
    path: str | None
    candles: int
    first_ms: int
    last_ms: int
    made_of: Series | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export has come to; of the series in `without` the store has no candles in that time.

    `left_out`: the ones that have no place in the layout, and why.
    """

    store: str
    files: Sequence[Exported]
    without: Sequence[Series]
    left_out: Mapping[Series, str] = field(default_factory=dict)

    @property
    def candles(self) -> int:
        return sum(one.candles for one in self.files)


@dataclass(frozen=True, slots=True)
class _Part:
    """A series to export, in a range; `of`: what it is made of, where the store does not have it itself."""

    series: Series
    span: TimeRange
    of: Series | None


class Export:
    """One export of one job. Use once: `await Export(job, told).run()`.

    `told` is given how far it is: the series at work, its candles, and the share of all that is done.
    """

    def __init__(self, job: ExportJob, told: Callable[[Series, int, float], None] = lambda *_: None) -> None:
        self.job = job
        self._told = told
        self._place: Place | None = None
        self._all: BinaryIO | None = None

    async def run(self) -> ExportReport:
        """Do the job. UsageError where the place does not fit it, OutputError where a file cannot be written,
        NothingInRange where there are no candles at all.
        """
        async with open_store(self.job.store.at_once, create=False) as store:
            must_exist(store)
            parts = await self._parts(store)
            names, left_out = self._names(parts)
            parts = [part for part in parts if part.series in names]
            places = _Places(self.job, names)
            origin = await store.origin()
            found = []
            with self._one_for_all(places.one_for_all):
                for number, part in enumerate(parts):

                    def tell(candles: int, share: float, before: int = number, series: Series = part.series) -> None:
                        self._told(series, candles, (before + share) / len(parts))

                    found.append(await self._one(store, part, places.of(part.series), origin, tell))
                files = [one for one in found if one is not None]
                if not files:
                    of = some_of(sorted({str(part.of) for part in parts if part.of is not None}))
                    raise NothingInRange(
                        f"no candles of {some_of([str(part.series) for part in parts])} in this time in {store.display}"
                        + (f", and none can be made of {of}" if of else ""),
                        hint="laklak coverage --all says where series begin and end",
                    )
            without = [part.series for part, one in zip(parts, found, strict=True) if one is None]
            return ExportReport(store.display, files, without, left_out)

    def discard(self) -> None:
        """Take away the file that is not complete: the program ends now."""
        if self._place is not None:
            self._place.discard()

    async def _parts(self, store: Store) -> list[_Part]:
        """What to export."""
        job = self.job
        held = await store.holdings()
        chosen = list(dict.fromkeys(job.series)) or _all_of(held, job.interval)
        made = {one: of for one in chosen if (of := shortest_of(one, held))}
        if job.typed:
            check_known([one for one in chosen if one not in made], held, store.display)
        if not chosen:
            what = f" of {job.interval}, nor of what it could be made of" if job.interval is not None and held else ""
            raise StoreUnavailable(f"{store.display} holds no series{what}", hint="fill it: laklak backfill --days 7")
        spans = {one: around(held[made[one]], one.interval) if one in made else held.get(one) for one in chosen}
        return [_Part(one, _span_of(job.wanted, one, spans[one] or TimeRange(0, 0)), made.get(one)) for one in chosen]

    def _names(self, parts: Sequence[_Part]) -> tuple[dict[Series, PurePath], dict[Series, str]]:
        """What the files of these are called in a folder, and which have no name, and why; UsageError where that was
        typed, or is all.
        """
        job = self.job
        names: dict[Series, PurePath] = {}
        left_out = {}
        for part in parts:
            one = part.series
            try:
                if job.layout == FREQTRADE:
                    names[one] = place_of(one, job.format)
                else:
                    names[one] = PurePath(file_stem(one, made=part.of is not None) + FORMATS[job.format])
            except NoPair as exc:
                left_out[one] = str(exc)
        if left_out and (not names or (job.typed and job.series)):
            one, why = next(iter(left_out.items()))
            raise UsageError(
                f"{one} has no pair in freqtrade: {why}", hint="leave it out, or export it without --layout"
            )
        return names, left_out

    async def _one(
        self, store: Store, part: _Part, path: Path | None, origin: str | None, tell: Callable[[int, float], None]
    ) -> Exported | None:
        """A series into its file; None, and no file, where it has no candle in that time."""
        series, span = part.series, part.span
        if not span:
            return None
        async with aclosing(await _batches(store, part)) as batches:
            columns = await anext(batches, None)
            if columns is None:
                return None
            first_ms, last_ms, candles = columns.open_times[0], columns.open_times[0], 0
            with self._sheet(part, path, origin) as sheet:
                while columns is not None:
                    await asyncio.to_thread(sheet.write, columns)
                    candles, last_ms = candles + len(columns.open_times), columns.open_times[-1]
                    tell(candles, (last_ms - span.start_ms) / (span.end_ms - span.start_ms))
                    columns = await anext(batches, None)
                await asyncio.to_thread(sheet.close)
        return Exported(series, None if path is None else str(path), candles, first_ms, last_ms, part.of)

    @contextmanager
    def _sheet(self, part: _Part, path: Path | None, origin: str | None) -> Iterator[Sheet]:
        """Where the candles of a series go; a file is put in its place when all went well."""
        try:
            if path is None:
                yield self._lines(sys.stdout.buffer, part)
            elif self._all is not None:
                yield self._lines(self._all, part)
            else:
                with self._opened(path) as name:
                    yield from self._in_file(name, part, origin)
        except OSError as exc:
            if path is None:
                # What could not be written must not be tried again at exit, where Python would complain.
                emit_nowhere(sys.stdout)
                if isinstance(exc, BrokenPipeError):
                    # A reader that has gone away has what it wanted.
                    return
            raise could_not_write(Path(STDOUT) if path is None else path, FLAG, exc) from exc

    @contextmanager
    def _one_for_all(self, path: Path | None) -> Iterator[None]:
        """Let all series go to the same file, if there is one for all."""
        if path is None:
            yield
            return
        try:
            with self._opened(path) as name, open(name, "wb") as self._all:
                yield
        except OSError as exc:
            raise could_not_write(path, FLAG, exc) from exc

    @contextmanager
    def _opened(self, path: Path) -> Iterator[str]:
        """Give the name under which a file is to be written."""
        if _is_special(path):
            yield str(path)
            return
        self._place = Place(path, FLAG)
        with self._place.whole() as waiting:
            yield waiting

    def _in_file(self, path: str, part: _Part, origin: str | None) -> Iterator[Sheet]:
        if self.job.format in STREAMED:
            with open(path, "wb") as out:
                yield self._lines(out, part)
            return
        facts = {} if origin is None else {ORIGIN_KEY: origin}
        if part.of is not None:
            facts[MADE_KEY] = str(part.of)
        time = "open_time" if self.job.layout is None else "date"
        sheet = TableFile(path, self.job.format, part.series, facts, time)
        try:
            yield sheet
        finally:
            sheet.abandon()

    def _lines(self, out: BinaryIO, part: _Part) -> Sheet:
        if self.job.format == "lp":
            return lp_sheet(out, part.series, self.job.store.measurement, part.of)
        return csv_sheet(out, part.of) if self.job.format == "csv" else json_sheet(out)


def _all_of(held: Mapping[Series, TimeRange], interval: Interval | None) -> list[Series]:
    """All that is held; of an `interval`, if that is given, what is held or can be made."""
    known = {Series(one.venue, one.symbol, interval or one.interval) for one in held}
    return sorted((one for one in known if one in held or shortest_of(one, held)), key=str)


class _Places:
    """Which file each of some series goes to; UsageError where that cannot be. `names` are those in a folder."""

    def __init__(self, job: ExportJob, names: Mapping[Series, PurePath]) -> None:
        self._names = names
        self._file: Path | None = None
        self._folder: Path | None = None
        out, form, path, count = job.out, job.format, Path(job.out), len(names)
        if job.layout is not None:
            self._check_layout(out, job.layout)
        else:
            self._check_stream(out, form, count)
        if out == STDOUT:
            return
        several = count > 1 and not path.exists() and path.suffix.lower() not in FORMATS.values()
        if path.is_dir() or out.endswith("/") or several or job.layout is not None:
            self._folder = path
            for one in names:
                self._make_folder(self._named(one).parent)
                check_place(self._named(one), FLAG, BEGINS[form], form)
        elif count > 1 and form != "lp":
            raise UsageError(
                f"{FLAG} {out} is one file, and these are {count} series",
                hint=f"name a folder, one series, or --format lp: {FLAG} {path.stem}/",
            )
        else:
            self._file = path
            if not _is_special(path):
                check_place(path, FLAG, BEGINS[form], form)

    @property
    def one_for_all(self) -> Path | None:
        """The file that all of several series go to, one after the other."""
        return self._file if len(self._names) > 1 else None

    def of(self, series: Series) -> Path | None:
        """Its file; None for standard output."""
        return self._file if self._folder is None else self._named(series)

    def _named(self, series: Series) -> Path:
        return cast(Path, self._folder) / self._names[series]

    def _check_layout(self, out: str, layout: str) -> None:
        if out == STDOUT or (Path(out).exists() and not Path(out).is_dir()):
            raise UsageError(
                f"the layout of {layout} is files in folders, and {FLAG} {out} is none",
                hint=f"name the folder of its data: {FLAG} user_data/data",
            )

    def _check_stream(self, out: str, form: str, series: int) -> None:
        if out != STDOUT and not _is_special(Path(out)):
            return
        if form not in STREAMED:
            raise UsageError(f"{form} cannot go into a stream", hint=f"name a file or a folder: {FLAG} candles.{form}")
        if form != "lp" and series > 1:
            raise UsageError(
                f"{series} series in one stream of CSV could not be told apart",
                hint=f"name one series, or a folder with {FLAG}, or take --format lp",
            )

    def _make_folder(self, path: Path) -> None:
        try:
            # What was named is made, and what a layout has below it: no further folders above.
            below = path.relative_to(cast(Path, self._folder)).parts
            cast(Path, self._folder).mkdir(exist_ok=True)
            path.mkdir(parents=bool(below), exist_ok=True)
        except OSError as exc:
            raise UsageError(
                f"{FLAG} {path} could not be made: {exc.strerror}", hint="name a folder that you may write to"
            ) from exc


def _is_special(path: Path) -> bool:
    """Whether this is there and no file that another could take the place of: a pipe, a device."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


async def _batches(store: Store, part: _Part) -> AsyncGenerator[Columns]:
    """The candles of a series, which are made where the store has shorter ones only."""
    if part.of is None:
        return store.batches(part.series, part.span)
    interval = part.series.interval
    making = making_of(part.of, await take_stock(store, part.of, part.span), part.span, interval)
    return made_batches(store, making, part.span, interval)


def _span_of(wanted: Range, series: Series, held: TimeRange) -> TimeRange:
    """The range that is asked for, as far as the store has something in it."""
    end_ms = held.end_ms if wanted.end_ms is None else wanted.end_ms
    start_ms = held.start_ms if wanted.start_ms is None else wanted.start_ms
    if wanted.days is not None:
        start_ms = end_ms - wanted.days * DAY_MS
    return on_grid(TimeRange(start_ms, max(start_ms, end_ms)).clip(held), series.interval)


def as_object(one: Exported, form: str) -> dict[str, Any]:
    """A file for JSON."""
    return {
        "series": str(one.series),
        "path": one.path,
        "format": form,
        "candles": one.candles,
        "first": iso(one.first_ms),
        "last": iso(one.last_ms),
        "made_of": None if one.made_of is None else str(one.made_of),
    }
