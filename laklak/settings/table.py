"""Every setting but those of each venue: its key, its default, how its text is read, what it means, its flag.

One row here is a setting everywhere: in the environment, .env, laklak.toml and on the command line. For programs it is
also a keyword of `laklak.backfill`, and README has a line on it; tests check both against this table.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from laklak.errors import UsageError

# The program's help reads this table: imports that only reading a value needs stand there.
if TYPE_CHECKING:
    from laklak.model.series import Interval

_DIGITS = re.compile(r"[0-9]{1,18}")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%")
_MAX_BUDGET = 1_000_000
_SPEED: Final = "Source and speed"
_SELDOM: Final = "Settings that are seldom needed"


class Flag(NamedTuple):
    """How the help of `laklak backfill` shows a setting: under which heading, what to write, and what for."""

    panel: Literal["What", "Where", "Output", "Source and speed", "Settings that are seldom needed"]
    metavar: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """One setting. `parse` reads its text or raises ValueError saying what is expected, without the text.

    `default` is text as anyone would write it, None for not set. `unit` is the end of the field's name. A relative path
    starts from the file it stands in; the word `off` sets None. A `secret` is shown as ***. Without `flag` it is not on
    the command line; a flag without words has those of `help`.
    """

    parse: Callable[[str], object]
    default: str | None
    help: str
    unit: str = ""
    is_path: bool = False
    off: str | None = None
    secret: bool = False
    flag: Flag | None = None

    @property
    def whole_flag(self) -> Flag | None:
        """Its flag, with words."""
        if self.flag is None or self.flag.help:
            return self.flag
        default = "" if self.default is None else f" [{self.default}]"
        return self.flag._replace(help=f"{self.help[:1].upper()}{self.help[1:]}{default}.")

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.parse is switch


def _text(text: str) -> str:
    return text


def whole(low: int, high: int, word: str | None = None) -> Callable[[str], int | str]:
    def parse(text: str) -> int | str:
        text = text.strip()
        if word is not None and text.lower() == word:
            return word
        if _DIGITS.fullmatch(text) and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"expected a whole number from {low} to {high}{f', or {word}' if word else ''}")

    return parse


def budget(text: str) -> int | str:
    """Read a number of units, `max`, or a share such as `50%`."""
    text = text.strip()
    share = _SHARE.fullmatch(text)
    if share is not None and 0 < float(share[1]) <= 100:
        return f"{float(share[1]):g}%"
    try:
        return whole(1, _MAX_BUDGET, "max")(text)
    except ValueError as error:
        raise ValueError(f"{error}, or a share such as 50%") from None


def duration(text: str) -> float:
    from laklak.settings.times import DURATION_FORMS, parse_duration

    try:
        return parse_duration(text)
    except UsageError:
        raise ValueError(f"expected a duration such as {DURATION_FORMS}") from None


def _time(text: str) -> str:
    from laklak.settings.times import TIME_FORMS, parse_time

    try:
        parse_time(text)
    except UsageError:
        raise ValueError(f"expected a time such as {TIME_FORMS}; no offset means UTC") from None
    return text.strip()


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        from laklak.text import nearest

        word = text.strip().lower()
        if word in words:
            return word
        guess = nearest(word, words)
        raise ValueError(f"expected one of {', '.join(words)}{f' (did you mean {guess}?)' if guess else ''}")

    return parse


def switch(text: str) -> bool:
    word = text.strip().lower()
    if word in ("on", "off"):
        return word == "on"
    raise ValueError("expected on or off")


def _measurement(text: str) -> str:
    name = text.strip()
    from laklak.stores.influx.lines import key_of

    bare = name.replace("{venue}", "")
    if not {"{", "}"}.intersection(bare) and not name.startswith(("#", "laklak_")):
        with contextlib.suppress(ValueError):
            key_of(name, {})
            return name
    raise ValueError("expected a name such as {venue}_ohlc, without backslashes and not one of laklak_")


def _interval(text: str) -> Interval:
    from laklak.model.series import Interval

    return Interval.parse(text.strip())


def _venue(text: str) -> str:
    from laklak.settings.spelling import ALIASES
    from laklak.text import nearest
    from laklak.venues import PLANNED, VENUES

    name = ALIASES.get(text.strip(), text.strip())
    if name in VENUES:
        return name
    guess = nearest(name, VENUES)
    planned = "this venue is not built yet; " if name in PLANNED else ""
    raise ValueError(f"{planned}expected one of {', '.join(VENUES)}{f' (did you mean {guess}?)' if guess else ''}")


def url(text: str) -> str:
    text = text.strip()
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or any(char.isspace() or char in "?#" for char in text):
        raise ValueError("expected an address such as https://host or http://host:port")
    return text.rstrip("/")


TABLE: Final[Mapping[str, Spec]] = {
    "store": Spec(
        _text,
        "laklak.db",
        "where candles go: a SQLite file or a URL",
        is_path=True,
        flag=Flag("Where", "WHERE", "SQLite file, or influxdb://HOST/DATABASE [laklak.db]."),
    ),
    "influxdb_password": Spec(_text, None, "password of an InfluxDB 1.x store", secret=True),
    "influxdb_token": Spec(_text, None, "token of an InfluxDB 2.x store", secret=True),
    "influxdb_org": Spec(_text, None, "organization of an InfluxDB 2.x store"),
    "influxdb_gzip": Spec(switch, "off", "pack what is sent to InfluxDB: on or off"),
    "influxdb_batch_lines": Spec(whole(1, 100_000), "5000", "lines in one InfluxDB request"),
    "influxdb_measurement": Spec(_measurement, "{venue}_ohlc", "InfluxDB measurement, {venue} is the venue's name"),
    "assets": Spec(
        _text,
        None,
        "asset list [default: assets.txt here or beside the settings file, else the packaged one]",
        is_path=True,
        flag=Flag(
            "What", "FILE", "Asset list; else assets.txt here or beside the settings file, else the packaged one."
        ),
    ),
    "venue": Spec(
        _venue,
        "binance",
        "venue of symbols given without one",
        flag=Flag("What", "VENUE", "Venue of bare symbols [binance]; of a list, the only one that is filled."),
    ),
    "interval": Spec(
        _interval, "1m", "length of a candle, 1m to 1d", flag=Flag("What", "1m..1d", "Length of a candle [1m].")
    ),
    "days": Spec(whole(1, 36_500), None, "so many times 24 hours before the end", flag=Flag("What", "N")),
    "start": Spec(
        _time,
        None,
        "first moment; a date is midnight UTC, no offset means UTC",
        flag=Flag("What", "T", "First moment; a date is midnight UTC."),
    ),
    "end": Spec(
        _time, None, "moment to stop before [default: now]", flag=Flag("What", "T", "Moment to stop before [now].")
    ),
    "max_wait": Spec(
        duration, "10m", "longest wait for a ban, a limit, or a store that is down", unit="s", flag=Flag(_SPEED, "TIME")
    ),
    "start_wait": Spec(
        duration,
        "30s",
        "longest wait at the start for a network, or without a terminal a store, that is not up yet",
        unit="s",
    ),
    "settle": Spec(duration, "5s", "how long after its close a candle is wanted, by the venue's clock", unit="s"),
    "log_file": Spec(
        _text,
        "backfill.log",
        "log of the run; none switches it off",
        is_path=True,
        off="none",
        flag=Flag("Output", "FILE|none", "Log of the run, rotated [backfill.log]."),
    ),
    "source": Spec(
        _choice("auto", "rest", "archive"),
        "auto",
        "rest, archive (the venue's bulk files), or auto for the better one",
        flag=Flag(_SPEED, "auto|rest|archive", "The API, the venue's bulk files, or the better one [auto]."),
    ),
    "archive_connections": Spec(whole(1, 256), "32", "bulk files fetched at once", flag=Flag(_SELDOM, "N")),
    "archive_files": Spec(whole(1, 64), "4", "months of minutes unpacked in memory at once"),
    "workers": Spec(whole(1, 256), "16", "requests at once", flag=Flag(_SELDOM, "N")),
    "batch_size": Spec(
        whole(1, 1_000_000),
        "20000",
        "rows written at once, at most; an answer is not divided",
        flag=Flag(_SELDOM, "N", "Rows written at once, at most [20000]."),
    ),
    "in_flight": Spec(whole(1, 1024), "64", "chunks asked of a venue and not yet stored, at most"),
    "keep_runs": Spec(whole(1, 36_500), "365", "days that runs, and what they filled, are remembered", unit="days"),
    "state_dir": Spec(
        _text, None, "folder for what outlives a run: bans, and candles that a full server may not keep", is_path=True
    ),
}

OF_VENUES: Final[Mapping[str, Flag]] = {
    "budget": Flag(
        _SPEED,
        "N|50%|max",
        "Weight a minute to use, the venue's price of requests; max is all it allows [1200]. "
        "For several: VENUE=N,VENUE=50%.",
    ),
    "chunk": Flag(
        _SPEED, "N|auto", "Candles a request; auto is the cheapest by weight [1000]. For several: VENUE=N,VENUE=auto."
    ),
}
"""Settings of venues that may also be given for several at once: `budget = binance=1200,bybit=50%`."""

FLAGS: Final = {**{key: flag for key, spec in TABLE.items() if (flag := spec.whole_flag)}, **OF_VENUES}
"""The settings that are flags of `laklak backfill` and keywords of `laklak.backfill`."""
