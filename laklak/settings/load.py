"""One Settings value, validated once, from where people write settings:

    flags > LAKLAK_* environment > .env > laklak.toml > INFLUXDB_*, INFLUX_* of other tools > defaults

One table (`SPECS`) has all of them. A key has one spelling: `[binance] budget` in laklak.toml is
`LAKLAK_BINANCE_BUDGET` in the environment and `binance.budget` here.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import platformdirs

from laklak.archives import ARCHIVES
from laklak.errors import SettingsError
from laklak.model.series import Interval
from laklak.settings.origins import (
    Given,
    as_text,
    dotenv_names,
    environment_names,
    influx_account,
    influx_store,
    nearest_key,
    toml_values,
    variables,
)
from laklak.settings.spec import SPECS
from laklak.settings.spelling import ALIASES
from laklak.settings.table import OF_VENUES, Spec
from laklak.settings.times import parse_time
from laklak.stores.access import StoreAccess
from laklak.tasks.process import is_attended
from laklak.text import mask_url, nearest, quoted, shown_path
from laklak.venues import PLANNED, VENUES

_ALIASED: Final = {
    f"{alias}.{key.partition('.')[2]}": key
    for alias, name in ALIASES.items()
    for key in SPECS
    if key.startswith(f"{name}.")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSettings:
    """The settings of one venue.

    `url`: its address, http or https, without a slash at the end; it may hold a password, so show it masked.
    `budget`: units to spend there, a share such as "50%", or "max" for all that the venue advertises.
    `chunk`: candles asked at once, "auto" for the venue's most candles per weight.
    `archive_url`: where its bulk files are; None if it has none, or if only `url` was changed: the real venue's files
    are not those of a simulator or a mirror.
    `budget_is_default`: nobody chose it, so a venue that allows less may lower it.
    `firewall_wait_s`: how long to stay away after a firewall's 403. Binance says no duration; it is said to clear after
    roughly 5 minutes (unverified).
    `enabled`: whether to ask it for anything at all.
    `optional`: its failures are told and do not change the exit status.
    """

    url: str = field(repr=False)
    budget: int | str
    chunk: int | Literal["auto"]
    firewall_wait_s: float
    enabled: bool = True
    optional: bool = False
    archive_url: str | None = field(default=None, repr=False)
    budget_is_default: bool = False


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A budget or chunk given for no venue in particular, and why the venue at hand cannot take it, if so."""

    given: Given
    error: SettingsError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set.

    `store`: a SQLite file or a URL; it may hold a password, so show it masked.
    `influxdb_password`, `influxdb_token` and `influxdb_org`: for an InfluxDB store whose address lacks them.
    `influxdb_measurement`: where candles are kept there, with `{venue}` for the venue's name; one request has
    `influxdb_batch_lines` lines, packed if `influxdb_gzip`.
    `assets`: the asset list, None to look for one. `venue`: the venue of bare symbols. `interval`: candle length.
    `days`, `start`, `end`: the range asked for, None if not given; times are valid text for `parse_time`, and `days`
    and `start` are never both set. `max_wait_s`: longest wait for a ban or a limit. `start_wait_s`: wait for a network
    that is not up yet, at the start. `settle_s`: how long after its close a candle counts as final, and is wanted.
    `log_file`: None is off.
    `source`: the API, the bulk files, or for every stretch the better one. `workers`: requests at once, per venue.
    `archive_connections`: files fetched at once. `archive_files`: months of minutes that bulk files may take in memory,
    unpacked. `batch_size`: rows written at once, at most. `in_flight`: chunks taken from the plan and not yet
    acknowledged by the store. `keep_runs_days`: how long runs are remembered. `state_dir`: the folder for what outlives
    a run.
    `venues`: by venue name, one for each venue that is built. `origins`: dotted key -> where its value came from.
    `unnamed`: by dotted key, values given without a venue.
    `config_folder`: the folder of the settings file in use; without one, where the user's own would be.
    """

    store: str = field(repr=False)
    influxdb_password: str | None = field(repr=False)
    influxdb_token: str | None = field(repr=False)
    influxdb_org: str | None
    influxdb_gzip: bool
    influxdb_batch_lines: int
    influxdb_measurement: str
    assets: str | None
    venue: str
    interval: Interval
    days: int | None
    start: str | None
    end: str | None
    max_wait_s: float
    start_wait_s: float
    settle_s: float
    log_file: str | None
    source: Literal["auto", "rest", "archive"]
    workers: int
    archive_connections: int
    archive_files: int
    batch_size: int
    in_flight: int
    keep_runs_days: int
    state_dir: Path
    venues: Mapping[str, VenueSettings]
    origins: Mapping[str, str]
    config_folder: Path
    unnamed: Mapping[str, Unnamed] = field(default_factory=dict, repr=False)

    @property
    def start_ms(self) -> int | None:
        return None if self.start is None else parse_time(self.start)

    @property
    def end_ms(self) -> int | None:
        return None if self.end is None else parse_time(self.end)

    @property
    def store_access(self) -> StoreAccess:
        """The store, with the settings about its use."""
        influxdb = {key.partition("_")[2]: getattr(self, key) for key in SPECS if key.startswith("influxdb_")}
        return StoreAccess(
            where=self.store,
            **influxdb,
            state_dir=self.state_dir,
            max_wait_s=self.max_wait_s,
            start_wait_s=self.start_wait_s,
            # A person learns of a wrong port at once; a timer may have been faster than the server.
            refusal_wait_s=0.0 if is_attended() else self.start_wait_s,
        )


def load_settings(
    flags: Mapping[str, object], *, environment: Mapping[str, str], folder: Path, user_config: Path | None = None
) -> Settings:
    """Return the settings in force; SettingsError names what is wrong and where it was written.

    `flags` are by dotted key, None for not given; `config` is the settings file.  `budget` and `chunk` are for the
    venues that they name, or for the one asked for (see `check_unnamed`).  `.env` and `laklak.toml` are looked for in
    `folder`; without one, `user_config` is the settings file, by default laklak.toml in the user's configuration
    folder.
    """
    user_config = user_config or platformdirs.user_config_path("laklak") / "laklak.toml"
    written, config = _written(flags, environment_names(environment), folder, user_config)
    bare = [given for layer in written for given in _spread(layer)]
    in_use = _in_use(written)
    _drop_what_a_stronger_source_replaces(written)

    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    unnamed: dict[str, Unnamed] = {}
    for key, spec in SPECS.items():
        given = _first(written, key)
        origins[key] = given.origin if given else "default"
        if given is None or not any(given is one for one in bare):
            values[key] = _value(key, spec, given) if given else None
            continue
        try:
            values[key] = _value(key, spec, given)
            unnamed[key] = Unnamed(given, None)
        except SettingsError as error:
            if key.rpartition(".")[0] == in_use:
                raise
            # Wrong only if that venue is asked for.
            values[key], unnamed[key] = spec.parse(spec.default or ""), Unnamed(given, error)
    _check_order(values, origins)
    if origins["store"].startswith("flag"):
        check_typed_store(str(values["store"]), origins["store"])
    return _settings(values, origins, unnamed, config_folder=(config or user_config).parent)


def _written(
    flags: Mapping[str, object], names: Mapping[str, Given], folder: Path, user_config: Path
) -> tuple[list[dict[str, Given]], Path | None]:
    """Return everything written anywhere, the stronger source first, and the settings file in use, if any."""
    known = [*SPECS, *_ALIASED, *OF_VENUES]
    file_names = dotenv_names(folder / ".env")
    written = [
        _flags(flags),
        _by_own_name(variables(names, [*known, "config"])),
        _by_own_name(variables(file_names, [*known, "config"])),
    ]
    config = _config_path(written, folder, user_config)
    switches = [key for key in [*SPECS, *_ALIASED] if SPECS[_ALIASED.get(key, key)].is_switch]
    written.append(_by_own_name(toml_values(config, known, switches)) if config else {})
    of_influx = {**file_names, **names}
    written.append(influx_account(of_influx) | ({} if _first(written, "store") else influx_store(of_influx)))
    written.append(_defaults())
    return written, config


def _by_own_name(layer: dict[str, Given]) -> dict[str, Given]:
    """Key a layer's settings by the venues' own names, which count before others."""
    renamed = {_ALIASED[key]: given for key, given in layer.items() if key in _ALIASED}
    return renamed | {key: given for key, given in layer.items() if key not in _ALIASED}


def _first(written: list[dict[str, Given]], key: str) -> Given | None:
    return next((layer[key] for layer in written if key in layer), None)


def _flags(flags: Mapping[str, object]) -> dict[str, Given]:
    known = [*SPECS, *OF_VENUES, "config"]
    given: dict[str, Given] = {}
    for key, value in flags.items():
        if key not in known:
            guess = nearest_key(key, known)
            hint = f"did you mean {guess}?" if guess else f"known are {', '.join(sorted(known))}"
            raise SettingsError(f"unknown setting {quoted(key)}", hint=hint)
        if value is None:
            continue
        origin = f"flag --{key.replace('_', '-').replace('.', '-')}"
        text = as_text(value, key, origin)
        if text.strip():
            given[key] = Given(text, origin)
    return given


def _in_use(written: list[dict[str, Given]]) -> object:
    venue = _first(written, "venue")
    return _value("venue", SPECS["venue"], venue) if venue else None


def _spread(layer: dict[str, Given]) -> list[Given]:
    """Put `budget = binance=1200,bybit=50%` of a layer where it belongs; return and spread one without a venue.

    What the layer says of one venue in its own place counts before both.
    """
    bare = []
    for word in OF_VENUES:
        given = layer.pop(word, None)
        if given is None:
            continue
        named = _by_venue(word, given) if "=" in given.text else dict.fromkeys(VENUES, given)
        bare += [] if "=" in given.text else [given]
        for venue, one in named.items():
            layer.setdefault(f"{venue}.{word}", one)
    return bare


def _by_venue(word: str, given: Given) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for piece in given.text.split(","):
        name, equals, text = (part.strip() for part in piece.partition("="))
        name = ALIASES.get(name, name)
        wrong = None
        if not equals:
            wrong = f"{quoted(piece.strip())} names no venue"
        elif name not in VENUES:
            guess = nearest(name, VENUES)
            not_yet = "is not built yet" if name in PLANNED else "is no venue"
            wrong = f"{quoted(name)} {not_yet}{f' (did you mean {guess}?)' if guess else ''}"
        elif name in found:
            wrong = f"{name} is named twice"
        if wrong is not None:
            shown = quoted(given.text)
            raise SettingsError(f"{word} = {shown} ({given.origin}): {wrong}", hint=f"write it as {_example(word)}")
        found[name] = Given(text, given.origin, given.folder)
    return found


def _example(word: str, number: str = "1000", venues: Iterable[str] = VENUES) -> str:
    values = (number, "50%" if word == "budget" else "auto")
    return ",".join(f"{venue}={value}" for venue, value in zip(venues, values, strict=False))


def check_unnamed(settings: Settings, venues: Collection[str]) -> None:
    """Raise SettingsError for a bare budget or chunk that the `venues` asked for cannot all take.

    A bare number is in the venue's own unit, so it can mean only one venue.
    """
    for word in OF_VENUES:
        for venue in venues:
            one = settings.unnamed.get(f"{venue}.{word}")
            if one is None:
                continue
            number = one.given.text.strip()
            if len(venues) > 1 and number.isdigit():
                others = "max, and shares such as 50%, are for each" if word == "budget" else "auto is for each"
                raise SettingsError(
                    f"{word} = {number} ({one.given.origin}): {len(venues)} venues are asked for, and "
                    f"a number means something else for each: {', '.join(sorted(venues))}",
                    hint=f"say whose it is: {word} {_example(word, number, sorted(venues))}; {others}",
                )
            if one.error is not None:
                raise one.error


def _defaults() -> dict[str, Given]:
    texts = {key: spec.default for key, spec in SPECS.items()}
    texts["state_dir"] = str(platformdirs.user_state_path("laklak"))
    return {key: Given(text, "default") for key, text in texts.items() if text is not None}


def _config_path(written: list[dict[str, Given]], folder: Path, user_config: Path) -> Path | None:
    given = _first(written, "config")
    if given:
        path = Path(_place(given))
        if not os.path.exists(path):
            hint = "check the path, or leave it out"
            raise SettingsError(f"settings file {shown_path(path)} ({given.origin}) does not exist", hint=hint)
        return path
    return next((path for path in (folder / "laklak.toml", user_config) if os.path.exists(path)), None)


def _drop_what_a_stronger_source_replaces(written: list[dict[str, Given]]) -> None:
    # `days` and `start` are two ways to say the same, so the stronger source wins between them as well.
    for number, layer in enumerate(written):
        if "days" in layer and "start" in layer:
            origin = layer["days"].origin
            raise SettingsError(
                f"days ({origin}) and start ({layer['start'].origin}) exclude each other", hint="give one"
            )
        for key, other in (("days", "start"), ("start", "days")):
            if key in layer:
                for weaker in written[number + 1 :]:
                    weaker.pop(other, None)


def _place(given: Given) -> str:
    # ~ is the home folder, and a relative path in a file starts from that file.
    prefix = "sqlite:///" if given.text.startswith("sqlite:///") else ""
    path = given.text.removeprefix(prefix)
    if not prefix and "://" in path:
        return path
    path = os.path.expanduser(path)
    return f"{prefix}{given.folder / path if given.folder else path}"


def _value(key: str, spec: Spec, given: Given) -> object:
    if spec.off is not None and given.text.strip().lower() == spec.off:
        return None
    try:
        return spec.parse(_place(given) if spec.is_path else given.text)
    except ValueError as error:
        shown = quoted(mask_url(given.text))
        reason = str(error).replace(repr(given.text.strip()), shown)
        raise SettingsError(f"{key} = {shown} ({given.origin}): {reason}", hint=f"{key}: {spec.help}") from None


def _check_order(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    start, end = values["start"], values["end"]
    if start and end and parse_time(start) >= parse_time(end):
        message = f"start {start} ({origins['start']}) is not before end {end} ({origins['end']})"
        raise SettingsError(message, hint="the end itself is not included")


def check_typed_store(store: str, origin: str) -> None:
    """Raise SettingsError for a typed store with a secret in it: shells and lists of processes remember it."""
    if mask_url(store) == store:
        return
    what, advice = "a password", "keep it in LAKLAK_INFLUXDB_PASSWORD, .env or laklak.toml, and the user in the address"
    if store.strip().lower().startswith("influxdb2"):
        what, advice = "a token", "keep it in LAKLAK_INFLUXDB_TOKEN, .env or laklak.toml"
    raise SettingsError(
        f"store = {quoted(mask_url(store))} ({origin}): {what} is not taken from the command line", hint=advice
    )


def _settings(
    values: dict[str, Any], origins: Mapping[str, str], unnamed: Mapping[str, Unnamed], *, config_folder: Path
) -> Settings:
    for name in ARCHIVES:
        # A changed address alone means another venue than the one whose files are known.
        if origins[f"{name}.archive_url"] == "default" and values[f"{name}.url"] != VENUES[name].url:
            values[f"{name}.archive_url"] = None
    fields = {_field(key): value for key, value in values.items() if "." not in key}
    fields["state_dir"] = Path(fields["state_dir"])
    venues = {
        name: VenueSettings(
            **{_field(key): value for key, value in values.items() if key.startswith(f"{name}.")},
            budget_is_default=origins[f"{name}.budget"] == "default",
        )
        for name in VENUES
    }
    return Settings(**fields, venues=venues, origins=origins, unnamed=unnamed, config_folder=config_folder)


def _field(key: str) -> str:
    name = key.rpartition(".")[2]
    return f"{name}_{SPECS[key].unit}" if SPECS[key].unit else name


def shown_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Return every setting as (key, value as it may be shown, origin), in order, secrets masked."""
    shown = []
    for key, spec in SPECS.items():
        venue = key.rpartition(".")[0]
        value = getattr(settings.venues[venue] if venue else settings, _field(key))
        shown.append((key, _shown(spec, value), settings.origins[key]))
    return shown


def _shown(spec: Spec, value: object) -> str:
    if value is None:
        return spec.off or "not set"
    if isinstance(value, float):
        return f"{value:g}{spec.unit}"
    if spec.secret:
        return "***"
    if isinstance(value, bool):
        return "on" if value else "off"
    return mask_url(str(value))


def settings_lines(settings: Settings) -> list[str]:
    """Return the configuration block of the log: `key = value (origin)`, one a line."""
    return [f"{key} = {value} ({origin})" for key, value, origin in shown_settings(settings)]
