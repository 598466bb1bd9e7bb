"""Everything laklak can fail with, as one tree.

* LaklakError
  x UsageError             what was typed or set is wrong; nothing was fetched           exit 2
    - SettingsError        a flag, an environment variable, .env or laklak.toml
    - AssetsError          a line of an asset list
    - SymbolError          a symbol the venue does not know, typed by hand
  x StoreError
    - StoreUnavailable     missing folder, foreign or newer file, no rights               exit 2
    - StoreFull            no room left on the disk                                       exit 1
    - StoreRefused         the server began to refuse: login, rights, database gone       exit 1
    - StoreDown            the server has not answered for --max-wait                     exit 1
    - StoreBusy            another backfill holds the store                               exit 75
    - UnknownSeries        the store has no such series                                   exit 2
      + NothingInRange     it has the series, and nothing of it in the time asked for     exit 1
  x OutputError            a file that was asked for could not be written whole         exit 2
  x VenueError
    - TransientError       again later: 5xx, resets, time-outs, bodies that are no answer
    - PermanentError       this series cannot work: unknown symbol, wrong status, refused
    - FatalError           the run cannot go on
      + VenueUnreachable   DNS, TLS, refused connection, region or firewall at the start  exit 2
        . RegionRefused    of these, the region
      + RegionBlocked      the venue began to refuse this region in the middle of a run    exit 1
      + TryLater           a ban or a limit that outlasts --max-wait                      exit 75

Every error says what was expected, what came and, in `hint`, what to do.  `exit_code` is what a run that
ends with it reports; only the command line turns it into an exit status.
"""

from __future__ import annotations


class LaklakError(Exception):
    """Base of every error laklak raises on purpose.

    `reason` is a short stable word for programs, `str(error)` the sentence for people, `hint` what to do.
    """

    exit_code = 1
    reason = "failed"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def in_short(error: LaklakError) -> str:
    """An error as summaries give it: its word for programs, its sentence for people."""
    return f"{error.reason}: {error}"


class UsageError(LaklakError):
    exit_code = 2
    reason = "usage"


class SettingsError(UsageError):
    reason = "settings"


class AssetsError(UsageError):
    reason = "assets"


class SymbolError(UsageError):
    reason = "unknown_symbol"


class StoreError(LaklakError):
    reason = "store_failed"


class StoreUnavailable(StoreError):
    exit_code = 2
    reason = "store_unavailable"


class StoreFull(StoreError):
    reason = "store_full"


class StoreRefused(StoreError):
    reason = "store_refused"


class StoreDown(StoreError):
    reason = "store_down"


class StoreBusy(StoreError):
    """Another run holds the store, since `since_s` (UTC wall time) if that is known."""

    exit_code = 75
    reason = "store_busy"

    def __init__(self, message: str, *, since_s: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.since_s = since_s


class UnknownSeries(StoreError):
    exit_code = 2
    reason = "unknown_series"


class NothingInRange(UnknownSeries):
    exit_code = 1


class OutputError(LaklakError):
    exit_code = 2
    reason = "output_failed"


class VenueError(LaklakError):
    reason = "venue_failed"


class TransientError(VenueError):
    """A temporary fault: the same request may work later."""

    reason = "fetch_failed"


class PermanentError(VenueError):
    """The venue refused for good; `reason` says why (unknown_symbol, symbol_status, refused)."""

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class OutOfReach(PermanentError):
    """The venue offers nobody candles of that time; it may offer other times."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="out_of_reach")


class FatalError(VenueError):
    """The run cannot go on."""


class VenueUnreachable(FatalError):
    exit_code = 2
    reason = "venue_unreachable"


class RegionRefused(VenueUnreachable):
    """The venue does not serve this region; other sources of its candles may."""


class RegionBlocked(FatalError):
    reason = "region"


class TryLater(FatalError):
    """A ban or a rate limit that lasts longer than the run may wait; `until_ms` is UTC wall time, ms."""

    exit_code = 75
    reason = "try_later"

    def __init__(self, message: str, *, until_ms: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.until_ms = until_ms
