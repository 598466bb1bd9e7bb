"""The tables, views and triggers of a SQLite store, as the steps from each version to the next.

    series(id, venue, symbol, interval)             one row a series
    candle(series_id, open_time, open .. volume)    the candles, in one b-tree ordered by series and time
    candle_odd                                      an index of rows that people put there and that are no candles
    absence(series_id, open_time, kind, ...)        holes and rejects, one row a minute
    absent_span(series_id, start_time, ...)         stretches without candles of longer-lived kinds, disjoint
    provenance(series_id, start_time, ...)          which source gave which stretch of candles, disjoint
    bulk_file(series_id, start_time, end_time, ...) the bulk files that were read, with their checksums
    revision(series_id, open_time, old, new, ...)   candles that were overwritten with other values
    meta(key, value)                                `origin`: real or simulated
    gap_fill(run_id, venue, symbol, ...)            what runs filled and what failed
    laklak_notes(about, kind, value, ...)           notes about venues and series, as JSON

    candles           for people to select, delete and update: one row a candle, with names and readable times
    laklak_holes      the absences that are not stored after all, with names; deleting one asks the venue again
    laklak_absences   the same for stretches: quiet, closed, before the first candle, after the last
    laklak_revisions  the overwritten candles, with names: JSON [open, high, low, close, volume] before and after
    laklak_provenance which source gave which stretch, in which runs, with names
    laklak_files      the bulk files that were read, with their checksums and names
    laklak_runs       one row a run
    gap_fill_runs     what runs filled that was older than the run before, and what failed, with the run's times

Times are integer milliseconds UTC in columns called open_time, ISO text with Z everywhere else in the views. Deleting a
row of `series` deletes its candles and absences, so that no row ever loses its name. Measured (SQLite 3.40): a table
without rowid takes 0.9 CPU seconds to write a million candles and 0.07 to count them, with pages of 8, 16 and 32 KiB
alike; 8 KiB makes the smallest file.  One b-tree keyed by a single packed integer takes the same within 5 % and cannot
serve `open_time BETWEEN` through a view.  Counting 541 series x 90 days x 1m, 70 million candles in 4.3 GiB, takes 5 s.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x4C414B4C
"""`LAKL` in the file's header."""

_SERIES: Final = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    interval TEXT NOT NULL,
    UNIQUE (venue, symbol, interval)
)"""

_CANDLE: Final = """
CREATE TABLE candle (
    series_id INTEGER NOT NULL,
    open_time INTEGER NOT NULL,
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL NOT NULL,
    PRIMARY KEY (series_id, open_time)
) WITHOUT ROWID"""

_VALUES: Final = ("open", "high", "low", "close", "volume")

SOUND: Final = "(" + " AND ".join(f"{value} > -9e999 AND {value} < 9e999" for value in _VALUES) + ")"
"""A row has five finite numbers: texts and blobs are greater than any number, 9e999 is infinite."""

_LARGEST: Final = "1.7976931348623157e308"
_NOT_FINITE: Final = " OR ".join(f"{value} NOT BETWEEN -{_LARGEST} AND {_LARGEST}" for value in _VALUES)

ODD: Final = f"(open_time | 0 <> open_time OR open_time % 60000 <> 0 OR {_NOT_FINITE})"
"""A row cannot be a candle, of any interval; only a whole number is itself or zero, bit by bit."""

# Usually empty, so that candles of a minute are counted like rows: 36 ns each, where testing five values takes 150. It
# costs 0.06 CPU seconds for a million candles written; this spelling of ODD is the cheapest of eight.
_CANDLE_ODD: Final = f"CREATE INDEX candle_odd ON candle (series_id, open_time) WHERE {ODD}"

_ABSENCE: Final = """
CREATE TABLE absence (
    series_id INTEGER NOT NULL,
    open_time INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('hole', 'rejected')),
    confirmed_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    row TEXT,
    PRIMARY KEY (series_id, open_time)
) WITHOUT ROWID"""

_META: Final = "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID"

_RUNS: Final = """
CREATE TABLE laklak_runs (
    id INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,
    ended_at TEXT NOT NULL,
    version TEXT NOT NULL,
    range_start TEXT NOT NULL,
    range_end TEXT NOT NULL,
    interval TEXT NOT NULL,
    series INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    stored_before INTEGER NOT NULL,
    stored_after INTEGER NOT NULL,
    written INTEGER NOT NULL,
    holes INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    missing INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    result TEXT NOT NULL,
    exit_code INTEGER NOT NULL,
    error TEXT
)"""

_FORGET_SERIES: Final = """
CREATE TRIGGER series_delete AFTER DELETE ON series BEGIN
    DELETE FROM candle WHERE series_id = OLD.id;
    DELETE FROM absence WHERE series_id = OLD.id;
END"""

# CROSS JOIN keeps the planner from turning the loops round: first the few series, then a search by primary key.
_CANDLES: Final = """
CREATE VIEW candles (venue, symbol, interval, open_time, time, open, high, low, close, volume) AS
SELECT s.venue, s.symbol, s.interval, c.open_time, strftime('%Y-%m-%dT%H:%M:%SZ', c.open_time / 1000, 'unixepoch'),
       c.open, c.high, c.low, c.close, c.volume
FROM series AS s CROSS JOIN candle AS c ON c.series_id = s.id"""

_CANDLES_DELETE: Final = """
CREATE TRIGGER candles_delete INSTEAD OF DELETE ON candles BEGIN
    DELETE FROM candle WHERE open_time = OLD.open_time AND series_id =
        (SELECT id FROM series WHERE venue = OLD.venue AND symbol = OLD.symbol AND interval = OLD.interval);
END"""

# `x - x = 0` is true for finite numbers only: infinity minus infinity is NULL here.
_CANDLES_UPDATE: Final = """
CREATE TRIGGER candles_update INSTEAD OF UPDATE ON candles BEGIN
    SELECT RAISE(ABORT, 'only open, high, low, close and volume of a candle can be changed; delete it to be rid of it')
    WHERE NEW.venue IS NOT OLD.venue OR NEW.symbol IS NOT OLD.symbol OR NEW.interval IS NOT OLD.interval
        OR NEW.open_time IS NOT OLD.open_time OR NEW.time IS NOT OLD.time;
    SELECT RAISE(ABORT, 'open, high, low, close and volume must be finite numbers')
    WHERE typeof(NEW.open) NOT IN ('integer', 'real') OR NEW.open - NEW.open IS NOT 0.0
        OR typeof(NEW.high) NOT IN ('integer', 'real') OR NEW.high - NEW.high IS NOT 0.0
        OR typeof(NEW.low) NOT IN ('integer', 'real') OR NEW.low - NEW.low IS NOT 0.0
        OR typeof(NEW.close) NOT IN ('integer', 'real') OR NEW.close - NEW.close IS NOT 0.0
        OR typeof(NEW.volume) NOT IN ('integer', 'real') OR NEW.volume - NEW.volume IS NOT 0.0;
    UPDATE candle SET open = NEW.open, high = NEW.high, low = NEW.low, close = NEW.close, volume = NEW.volume
    WHERE open_time = OLD.open_time AND series_id =
        (SELECT id FROM series WHERE venue = OLD.venue AND symbol = OLD.symbol AND interval = OLD.interval);
END"""

_HOLES: Final = """
CREATE VIEW laklak_holes (venue, symbol, interval, open_time, kind, confirmed_at, reason, row) AS
SELECT s.venue, s.symbol, s.interval, a.open_time, a.kind,
       strftime('%Y-%m-%dT%H:%M:%SZ', a.confirmed_at / 1000, 'unixepoch'), a.reason, a.row
FROM series AS s CROSS JOIN absence AS a ON a.series_id = s.id
WHERE NOT EXISTS (SELECT 1 FROM candle AS c WHERE c.series_id = a.series_id AND c.open_time = a.open_time)"""

_HOLES_DELETE: Final = """
CREATE TRIGGER laklak_holes_delete INSTEAD OF DELETE ON laklak_holes BEGIN
    DELETE FROM absence WHERE open_time = OLD.open_time AND series_id =
        (SELECT id FROM series WHERE venue = OLD.venue AND symbol = OLD.symbol AND interval = OLD.interval);
END"""

_NOTES: Final = """
CREATE TABLE laklak_notes (
    about TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    noted_at INTEGER NOT NULL,
    venue_at INTEGER,
    PRIMARY KEY (about, kind)
) WITHOUT ROWID"""

_SOUND_HOLES: Final = _HOLES.replace("c.open_time = a.open_time)", f"c.open_time = a.open_time AND {SOUND})")

_ABSENT_SPAN: Final = """
CREATE TABLE absent_span (
    series_id INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('quiet', 'closed', 'before_first', 'after_last')),
    confirmed_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    venue_at INTEGER,
    file_at INTEGER,
    sources TEXT,
    PRIMARY KEY (series_id, start_time)
) WITHOUT ROWID"""

_ABSENCES: Final = """
CREATE VIEW laklak_absences
(venue, symbol, interval, start_time, end_time, starts, ends, kind, confirmed_at, reason, sources) AS
SELECT s.venue, s.symbol, s.interval, a.start_time, a.end_time,
       strftime('%Y-%m-%dT%H:%M:%SZ', a.start_time / 1000, 'unixepoch'),
       strftime('%Y-%m-%dT%H:%M:%SZ', a.end_time / 1000, 'unixepoch'), a.kind,
       strftime('%Y-%m-%dT%H:%M:%SZ', a.confirmed_at / 1000, 'unixepoch'), a.reason, a.sources
FROM series AS s CROSS JOIN absent_span AS a ON a.series_id = s.id"""

_ABSENCES_DELETE: Final = """
CREATE TRIGGER laklak_absences_delete INSTEAD OF DELETE ON laklak_absences BEGIN
    DELETE FROM absent_span WHERE start_time = OLD.start_time AND series_id =
        (SELECT id FROM series WHERE venue = OLD.venue AND symbol = OLD.symbol AND interval = OLD.interval);
END"""

_FORGET_SERIES_3: Final = """
CREATE TRIGGER series_delete AFTER DELETE ON series BEGIN
    DELETE FROM candle WHERE series_id = OLD.id;
    DELETE FROM absence WHERE series_id = OLD.id;
    DELETE FROM absent_span WHERE series_id = OLD.id;
    DELETE FROM revision WHERE series_id = OLD.id;
    DELETE FROM provenance WHERE series_id = OLD.id;
END"""

_PROVENANCE: Final = """
CREATE TABLE provenance (
    series_id INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL,
    first_run INTEGER NOT NULL,
    last_run INTEGER NOT NULL,
    PRIMARY KEY (series_id, start_time)
) WITHOUT ROWID"""

_PROVENANCES: Final = """
CREATE VIEW laklak_provenance
(venue, symbol, interval, start_time, end_time, starts, ends, source, state, first_run, last_run) AS
SELECT s.venue, s.symbol, s.interval, p.start_time, p.end_time,
       strftime('%Y-%m-%dT%H:%M:%SZ', p.start_time / 1000, 'unixepoch'),
       strftime('%Y-%m-%dT%H:%M:%SZ', p.end_time / 1000, 'unixepoch'), p.source, p.state,
       strftime('%Y-%m-%dT%H:%M:%SZ', p.first_run / 1000, 'unixepoch'),
       strftime('%Y-%m-%dT%H:%M:%SZ', p.last_run / 1000, 'unixepoch')
FROM series AS s CROSS JOIN provenance AS p ON p.series_id = s.id"""

_REVISION: Final = """
CREATE TABLE revision (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL,
    open_time INTEGER NOT NULL,
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    source TEXT NOT NULL,
    why TEXT NOT NULL,
    revised_at INTEGER NOT NULL
)"""

_REVISION_PLACE: Final = "CREATE INDEX revision_place ON revision (series_id, open_time)"

_REVISIONS: Final = """
CREATE VIEW laklak_revisions (venue, symbol, interval, open_time, time, old, new, source, why, revised_at) AS
SELECT s.venue, s.symbol, s.interval, r.open_time, strftime('%Y-%m-%dT%H:%M:%SZ', r.open_time / 1000, 'unixepoch'),
       r.old, r.new, r.source, r.why, strftime('%Y-%m-%dT%H:%M:%SZ', r.revised_at / 1000, 'unixepoch')
FROM series AS s CROSS JOIN revision AS r ON r.series_id = s.id"""

# About a run, whose row has its times and its interval; goes with that row.
_GAP_FILL: Final = """
CREATE TABLE gap_fill (
    run_id INTEGER NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    range_start TEXT NOT NULL,
    range_end TEXT NOT NULL,
    coverage_before REAL,
    coverage_after REAL,
    requests INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    error TEXT,
    PRIMARY KEY (run_id, venue, symbol)
) WITHOUT ROWID"""

_GAP_FILL_SERIES: Final = "CREATE INDEX gap_fill_series ON gap_fill (venue, symbol, run_id)"

_GAP_FILL_RUNS: Final = """
CREATE VIEW gap_fill_runs
(started_at, ended_at, venue, symbol, interval, range_start, range_end, coverage_before, coverage_after, requests, rows,
 error) AS
SELECT r.started_at, r.ended_at, g.venue, g.symbol, r.interval, g.range_start, g.range_end, g.coverage_before,
       g.coverage_after, g.requests, g.rows, g.error
FROM laklak_runs AS r CROSS JOIN gap_fill AS g ON g.run_id = r.id"""

_FORGET_RUN: Final = """
CREATE TRIGGER laklak_runs_delete AFTER DELETE ON laklak_runs BEGIN
    DELETE FROM gap_fill WHERE run_id = OLD.id;
END"""

_BULK_FILE: Final = """
CREATE TABLE bulk_file (
    series_id INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (series_id, start_time, end_time)
) WITHOUT ROWID"""

_FILES: Final = """
CREATE VIEW laklak_files (venue, symbol, interval, start_time, end_time, starts, ends, name, sha256, run) AS
SELECT s.venue, s.symbol, s.interval, f.start_time, f.end_time,
       strftime('%Y-%m-%dT%H:%M:%SZ', f.start_time / 1000, 'unixepoch'),
       strftime('%Y-%m-%dT%H:%M:%SZ', f.end_time / 1000, 'unixepoch'), f.name, f.sha256,
       strftime('%Y-%m-%dT%H:%M:%SZ', f.run / 1000, 'unixepoch')
FROM series AS s CROSS JOIN bulk_file AS f ON f.series_id = s.id"""

_FORGET_SERIES_5: Final = _FORGET_SERIES_3.replace(
    "\nEND", "\n    DELETE FROM bulk_file WHERE series_id = OLD.id;\nEND"
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        _SERIES,
        _CANDLE,
        _ABSENCE,
        _META,
        _RUNS,
        _FORGET_SERIES,
        _CANDLES,
        _CANDLES_DELETE,
        _CANDLES_UPDATE,
        _HOLES,
        _HOLES_DELETE,
    ),
    (
        "ALTER TABLE absence ADD COLUMN venue_at INTEGER",
        "ALTER TABLE absence ADD COLUMN file_at INTEGER",
        _NOTES,
        _CANDLE_ODD,
        "DROP VIEW laklak_holes",
        _SOUND_HOLES,
        _HOLES_DELETE,
    ),
    # Nothing here touches a row: even a store of a hundred million candles is brought up to date at once.
    (
        "ALTER TABLE absence ADD COLUMN sources TEXT",
        _ABSENT_SPAN,
        _ABSENCES,
        _ABSENCES_DELETE,
        _REVISION,
        _REVISION_PLACE,
        _REVISIONS,
        _PROVENANCE,
        _PROVENANCES,
        "DROP TRIGGER series_delete",
        _FORGET_SERIES_3,
    ),
    (_GAP_FILL, _GAP_FILL_SERIES, _GAP_FILL_RUNS, _FORGET_RUN),
    (_BULK_FILE, _FILES, "DROP TRIGGER series_delete", _FORGET_SERIES_5),
)
"""Step i leads from version i to version i + 1; step 0 is creation. A released step never changes."""

SCHEMA_VERSION: Final = len(MIGRATIONS)
"""The `user_version` of a file that this program writes."""

SERIES_ID: Final = "SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?"
