"""`--every`: a backfill again and again, each turn a run of its own that leaves nothing behind but what it told."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final, cast

from laklak.cli.service import ServiceManager
from laklak.cli.terminal import say_error, tell
from laklak.cli.work import is_young, print_json, signals
from laklak.engine import Backfill
from laklak.errors import LaklakError, StoreUnavailable, UsageError
from laklak.report.progress import Report
from laklak.report.status import status_line
from laklak.report.summary import Summary, summarise
from laklak.report.words import outcome_lines, turn_line
from laklak.settings.times import parse_duration
from laklak.stores import open_store
from laklak.tasks.groups import task_group
from laklak.tasks.process import ignore_signals, run_loop
from laklak.tasks.stopping import Stopper
from laklak.tasks.turns import Rhythm, take_turns

if TYPE_CHECKING:
    from laklak.cli.terminal import Terminal
    from laklak.settings.order import Order
    from laklak.stores.access import StoreAccess

log = logging.getLogger(__name__)

SHORTEST_S: Final = 5.0

State = tuple[int, str, frozenset[tuple[str, str]]]
_WELL: Final[State] = (0, "", frozenset())


def rhythm_of(text: str, **excluded: bool) -> Rhythm:
    """Read what was typed behind --every; UsageError also for flags that make no sense in every turn."""
    for flag, given in excluded.items():
        if given:
            name = flag.replace("_", "-")
            raise UsageError(f"--every and --{name} exclude each other", hint=f"run --{name} once, by itself")
    every_s = parse_duration(text)
    if every_s < SHORTEST_S:
        raise UsageError(f"--every {text} is too often", hint=f"{SHORTEST_S:g}s is the shortest; 30m is usual")
    return Rhythm(every_s)


def check_store(access: StoreAccess) -> None:
    """UsageError if no store is spelled like that: it will not come up one day, as a server or a disk may."""
    try:
        open_store(access)
    except StoreUnavailable as exc:
        raise UsageError(str(exc), hint=exc.hint) from exc


class Repeated:
    """Runs what `make` orders, turn for turn, and tells what has changed since the turn before.

    The store is opened anew in each turn: a file may be put in the place of another meanwhile, and what a command
    between two turns has written is seen.  A turn's trouble is told and ends that turn, but for words and settings that
    are wrong in the first one, which nothing but a person will mend.
    """

    def __init__(self, make: Callable[[], Order], terminal: Terminal, *, as_json: bool, quiet: bool) -> None:
        self._make = make
        self._terminal = terminal
        self._as_json = as_json
        self._quiet = quiet
        self._manager = ServiceManager()
        self._stopper = Stopper()
        self._work: Backfill | None = None
        self._exit_code: int | None = None
        self._is_first = True
        self._before = _WELL

    @property
    def in_flight(self) -> str:
        """What a stop lets finish, in words; empty between two turns."""
        return "" if self._work is None else self._work.in_flight

    def stop(self, exit_code: int, grace_s: float) -> None:
        """Let a turn that is under way end as a run does that is stopped, and begin no other."""
        self._exit_code = exit_code
        self._manager.stopping()
        self._stopper.request()
        if self._work is not None:
            self._work.stop(exit_code, grace_s)

    def stop_now(self) -> None:
        if self._work is not None:
            self._work.stop_now()

    async def run(self, rhythm: Rhythm) -> int:
        """Take turns until stopped, and give the exit status of the signal that did it."""
        with signals(self, self._terminal):
            async with task_group() as watching:
                watching.start_soon(self._manager.watch, self._signs, self._status)
                await take_turns(self._turn, rhythm, self._stopper)
                watching.cancel_scope.cancel()
        return self._exit_code or 0

    async def _turn(self) -> None:
        error: LaklakError | None = None
        try:
            self._work = Backfill(self._make(), self._terminal)
            self._manager.ready()
            # An Estimate is of a dry run, which has no turns.
            outcome = cast("Summary", await self._work.run())
        except LaklakError as exc:
            if self._is_first and isinstance(exc, UsageError):
                raise
            # The frames of this turn hang on it.
            error = exc.with_traceback(None)
            outcome = self._closed(error)
        finally:
            self._work = None
            self._terminal.turn_ended()
        self._manager.ready()
        self._tell(outcome, error)
        self._is_first = False
        # A run looks for cycles seldom, for it ends soon; this process does not.
        gc.collect()

    def _signs(self) -> Hashable:
        # Between two turns it waits for the clock, which goes on.
        return time.monotonic() if self._work is None else self._work.signs

    def _status(self) -> str | None:
        if self._work is None or self._work.report.fetching_since_s is None:
            return None
        return status_line(self._work.report)

    def _closed(self, error: LaklakError) -> Summary:
        return summarise(Report() if self._work is None else self._work.report, error=error)

    def _says_nothing(self, outcome: Summary, error: LaklakError | None) -> bool:
        """Whether a turn ended as it had to: stopped, or while another run is still at work."""
        return outcome.exit == self._exit_code or (error is not None and is_young(error))

    def _tell(self, outcome: Summary, error: LaklakError | None) -> None:
        line = turn_line(outcome, time.time())
        log.info("%s", line)
        self._manager.status(line)
        if self._as_json:
            print_json(outcome.as_json())
        if self._quiet and self._says_nothing(outcome, error):
            return
        state = _state_of(outcome)
        changed, self._before = state != self._before, state
        if changed and outcome.error:
            say_error(error or LaklakError(outcome.error, hint=outcome.hint))
        if self._as_json or (self._quiet and not changed):
            return
        tell(line, sys.stdout)
        if error is None and (changed or self._is_first):
            for more in list(outcome_lines(outcome))[1:]:
                tell(more, sys.stdout)


def _state_of(outcome: Summary) -> State:
    word = (outcome.error or "").partition(":")[0]
    return outcome.exit, word, frozenset((one.series, one.reason) for one in outcome.failed_series)


def repeat(make: Callable[[], Order], rhythm: Rhythm, terminal: Terminal, *, as_json: bool, quiet: bool) -> int:
    """Do it until a signal ends it."""
    try:
        return run_loop(Repeated(make, terminal, as_json=as_json, quiet=quiet).run(rhythm))
    finally:
        terminal.close()
        ignore_signals()
