"""Every setting: its key, its default, how its text is read, what it means."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from laklak.archives import ARCHIVES
from laklak.errors import UsageError
from laklak.model.series import Interval
from laklak.settings.times import DURATION_FORMS, TIME_FORMS, parse_duration, parse_time
from laklak.stores.influx.lines import key_of
from laklak.text import nearest, per_window
from laklak.venues import PLANNED, VENUES, Venue

_DIGITS = re.compile(r"[0-9]{1,18}")


_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%")


_MAX_BUDGET = 1_000_000


OF_VENUES: Final = ("budget", "chunk")
"""Settings of venues that may also be given for several at once: `budget = binance=1200,bybit=50%`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One setting. `parse` reads its text or raises ValueError saying what is expected, without the text.

    A `secret` is shown as ***.
    `default` is text as anyone would write it, None for not set. `unit` is the end of the field's name. Text of a
    path is taken relative to the file it stands in; the word `off` sets None.
    """

    parse: Callable[[str], object]
    default: str | None
    help: str
    unit: str = ""
    is_path: bool = False
    off: str | None = None
    secret: bool = False

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.parse is _switch


def _text(text: str) -> str:
    return text


def _whole(low: int, high: int, word: str | None = None) -> Callable[[str], int | str]:
    def parse(text: str) -> int | str:
        text = text.strip()
        if word is not None and text.lower() == word:
            return word
        if _DIGITS.fullmatch(text) and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"expected a whole number from {low} to {high}{f', or {word}' if word else ''}")

    return parse


def _budget(text: str) -> int | str:
    """A number of units, `max`, or a share such as `50%`."""
    text = text.strip()
    share = _SHARE.fullmatch(text)
    if share is not None and 0 < float(share[1]) <= 100:
        return f"{float(share[1]):g}%"
    try:
        return _whole(1, _MAX_BUDGET, "max")(text)
    except ValueError as error:
        raise ValueError(f"{error}, or a share such as 50%") from None


def units_of(budget: int | str, units: int) -> int:
    """What a budget comes to of a quota of so many units; a number is what it is."""
    if isinstance(budget, int):
        return budget
    return units if budget == "max" else max(1, int(units * float(budget.removesuffix("%")) / 100))


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except UsageError:
        raise ValueError(f"expected a duration such as {DURATION_FORMS}") from None


def _time(text: str) -> str:
    try:
        parse_time(text)
    except UsageError:
        raise ValueError(f"expected a time such as {TIME_FORMS}; no offset means UTC") from None
    return text.strip()


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        word = text.strip().lower()
        if word in words:
            return word
        guess = nearest(word, words)
        raise ValueError(f"expected one of {', '.join(words)}{f' (did you mean {guess}?)' if guess else ''}")

    return parse


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word in ("on", "off"):
        return word == "on"
    raise ValueError("expected on or off")


def _measurement(text: str) -> str:
    name = text.strip()
    bare = name.replace("{venue}", "")
    if not {"{", "}"}.intersection(bare) and not name.startswith(("#", "laklak_")):
        with contextlib.suppress(ValueError):
            key_of(name, {})
            return name
    raise ValueError("expected a name such as {venue}_ohlc, without backslashes and not one of laklak_")


def _interval(text: str) -> str:
    return Interval.parse(text.strip()).name


def _venue(text: str) -> str:
    name = text.strip()
    if name in VENUES:
        return name
    guess = nearest(name, VENUES)
    planned = "this venue is not built yet; " if name in PLANNED else ""
    raise ValueError(f"{planned}expected one of {', '.join(VENUES)}{f' (did you mean {guess}?)' if guess else ''}")


def _url(text: str) -> str:
    text = text.strip()
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or any(char.isspace() or char in "?#" for char in text):
        raise ValueError("expected an address such as https://host or http://host:port")
    return text.rstrip("/")


def _unit_of(venue: Venue) -> str:
    name, quota = next(iter(venue.quotas.items()))
    return per_window(name, quota.seconds)


def _venue_specs() -> dict[str, Spec]:
    specs: dict[str, Spec] = {}
    for name, venue in VENUES.items():
        page = venue.page.rows
        specs[f"{name}.url"] = Spec(parse=_url, default=venue.url, help=f"where {name} is")
        specs[f"{name}.budget"] = Spec(
            parse=_budget,
            default=str(next(iter(venue.quotas.values())).ours),
            help=f"{_unit_of(venue)} to spend, a share such as 50%, or max for all that the venue advertises",
        )
        specs[f"{name}.chunk"] = Spec(
            parse=_whole(1, page, "auto"),
            default=str(min(1000, page)),
            help="candles asked at once, or auto for the most candles per weight",
        )
        specs[f"{name}.firewall_wait"] = Spec(
            parse=_duration, default="5m", help="how long to stay away after its firewall refused us", unit="s"
        )
        specs[f"{name}.optional"] = Spec(
            parse=_switch,
            default="off",
            help=f"on: what fails at {name} is told and does not change the exit status",
        )
        if name in ARCHIVES:
            specs[f"{name}.archive_url"] = Spec(
                parse=_url, default=ARCHIVES[name].default_url, help=f"where the bulk files of {name} are"
            )
    return specs


SPECS: Final[Mapping[str, Spec]] = {
    "store": Spec(parse=_text, default="laklak.db", help="where candles go: a SQLite file or a URL", is_path=True),
    "influxdb_password": Spec(parse=_text, default=None, help="password of an InfluxDB 1.x store", secret=True),
    "influxdb_token": Spec(parse=_text, default=None, help="token of an InfluxDB 2.x store", secret=True),
    "influxdb_org": Spec(parse=_text, default=None, help="organization of an InfluxDB 2.x store"),
    "influxdb_gzip": Spec(parse=_switch, default="off", help="pack what is sent to InfluxDB: on or off"),
    "influxdb_batch_lines": Spec(parse=_whole(1, 100_000), default="5000", help="lines in one InfluxDB request"),
    "influxdb_measurement": Spec(
        parse=_measurement, default="{venue}_ohlc", help="InfluxDB measurement, {venue} is the venue's name"
    ),
    "assets": Spec(
        parse=_text,
        default=None,
        help="asset list [default: assets.txt here or beside the settings file, else the packaged one]",
        is_path=True,
    ),
    "venue": Spec(parse=_venue, default="binance", help="venue of symbols given without one"),
    "interval": Spec(parse=_interval, default="1m", help="length of a candle, 1m to 1d"),
    "days": Spec(parse=_whole(1, 36_500), default=None, help="so many times 24 hours before the end"),
    "start": Spec(parse=_time, default=None, help="first moment; a date is midnight UTC, no offset means UTC"),
    "end": Spec(parse=_time, default=None, help="moment to stop before [default: now]"),
    "max_wait": Spec(
        parse=_duration, default="10m", help="longest wait for a ban, a limit, or a store that is down", unit="s"
    ),
    "start_wait": Spec(
        parse=_duration,
        default="30s",
        help="longest wait at the start for a network, or without a terminal a store, that is not up yet",
        unit="s",
    ),
    "settle": Spec(
        parse=_duration,
        default="5s",
        help="how long after its close a candle is wanted, by the venue's clock",
        unit="s",
    ),
    "log_file": Spec(
        parse=_text, default="backfill.log", help="log of the run; none switches it off", is_path=True, off="none"
    ),
    "source": Spec(
        parse=_choice("auto", "rest", "archive"),
        default="auto",
        help="rest, archive (the venue's bulk files), or auto for the better one",
    ),
    "archive_connections": Spec(parse=_whole(1, 256), default="32", help="bulk files fetched at once"),
    "archive_files": Spec(parse=_whole(1, 64), default="4", help="months of minutes unpacked in memory at once"),
    "workers": Spec(parse=_whole(1, 256), default="16", help="requests at once"),
    "batch_size": Spec(
        parse=_whole(1, 1_000_000), default="20000", help="rows written at once, at most; an answer is not divided"
    ),
    "in_flight": Spec(parse=_whole(1, 1024), default="64", help="chunks asked of a venue and not yet stored, at most"),
    "state_dir": Spec(
        parse=_text,
        default=None,
        help="folder for what outlives a run: bans, and candles that a full server may not keep",
        is_path=True,
    ),
    **_venue_specs(),
}
