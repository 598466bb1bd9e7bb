"""How a command runs: what signals do to it, its log, and the words for how it ended."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from laklak._version import __version__
from laklak.errors import LaklakError, StoreBusy, in_short
from laklak.tasks.process import Interrupted, at_signals, ignore_signals, run_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laklak.cli.terminal import Terminal
    from laklak.engine import Backfill, Transfer
    from laklak.report.copied import CopySummary
    from laklak.report.summary import Estimate, Summary
    from laklak.settings.load import Settings

    Outcome = Summary | Estimate | CopySummary

log = logging.getLogger(__name__)

_LONG_RUN_S: Final = 6 * 3600.0

Result = TypeVar("Result")


class Stoppable(Protocol):
    """What signals stop: the first one lets it finish, the second does not."""

    @property
    def in_flight(self) -> str:
        """What a stop lets finish, in words; empty where nothing is."""
        ...

    def stop(self, exit_code: int, grace_s: float) -> None: ...
    def stop_now(self) -> None: ...


def start_log(command: str, settings: Settings, terminal: Terminal, *, verbose: bool) -> None:
    """Open the log that the settings name and begin it; a log that cannot be kept is a warning."""
    from laklak.report.log import open_log
    from laklak.settings.load import settings_lines
    from laklak.text import MOVES_LOG

    problem = open_log(settings.log_file, verbose=verbose)
    if problem is not None:
        terminal.warn(f"no log: {settings.log_file}: {problem}; going on without; {MOVES_LOG}")
    log.info("laklak %s %s", __version__, command)
    # The chosen settings on one line, since there may be a run every half an hour; all of them with -v.
    chosen = [line for line in settings_lines(settings) if not line.endswith("(default)")]
    log.info("settings: %s", "; ".join(chosen) or "all as they come")
    for line in settings_lines(settings):
        log.debug("%s", line)


def transfer(
    work: Transfer[Any],
    settings: Settings,
    terminal: Terminal,
    *,
    verbose: bool,
    as_json: bool,
    quiet: bool,
    warning: str | None = None,
) -> int:
    """Begin the log, then carry it out as `perform` does."""
    start_log(work.job.words.verb, settings, terminal, verbose=verbose)
    if warning is not None:
        terminal.warn(warning)
    return perform(work, terminal, work.closed, as_json=as_json, quiet=quiet)


def perform(
    work: Backfill | Transfer[Any],
    terminal: Terminal,
    closed: Callable[[LaklakError], Outcome],
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run it, say how it ended and give the exit status; `closed` gives the account of work that could not start."""
    from laklak.cli.terminal import say_error, tell
    from laklak.report.summary import Estimate
    from laklak.report.words import outcome_lines

    error: LaklakError | None = None
    outcome: Outcome

    async def go() -> tuple[Outcome, LaklakError | None]:
        with signals(work, terminal):
            try:
                return await work.run(), None
            except LaklakError as exc:
                return closed(exc), exc

    try:
        outcome, error = run_loop(go())
    finally:
        terminal.close()
    terminal.ended(outcome.exit)
    # It is over: a signal could only cost the summary now.
    ignore_signals()
    if error is not None:
        say_error(error, silently=quiet and is_young(error))
    elif not isinstance(outcome, Estimate) and outcome.error:
        say_error(LaklakError(outcome.error, hint=outcome.hint))
    lines = [] if error is not None else list(outcome_lines(outcome))
    if not isinstance(outcome, Estimate):
        for line in lines:
            log.info("%s", line.strip())
    if as_json:
        print_json(outcome.as_json())
    elif not quiet or isinstance(outcome, Estimate):
        for line in lines:
            tell(line, sys.stdout)
    return outcome.exit


def is_young(error: LaklakError) -> bool:
    """Whether it only says that another run has not ended yet: a timer that meets the run before it has nothing to say
    as long as that one may still be at work.
    """
    return isinstance(error, StoreBusy) and time.time() - (error.since_s or time.time()) < _LONG_RUN_S


@contextlib.contextmanager
def signals(work: Stoppable, terminal: Terminal) -> Iterator[None]:
    """First signal: finish and report. Second: stop now."""
    asked = False

    def on_signal(exit_code: int, grace_s: float) -> None:
        nonlocal asked
        if asked:
            work.stop_now()
            return
        asked = True
        if work.in_flight:
            terminal.stopping(f"finishing {work.in_flight}; again to stop now")
        work.stop(exit_code, grace_s)

    with at_signals(on_signal):
        yield


def look(
    work: Coroutine[Any, Any, Result], *, json_of: str | None = None, leaving: Callable[[], None] = lambda: None
) -> Result:
    """Run what only looks: a signal ends the program at once, whatever is waited for; `json_of` as in end_early.

    `leaving` is done before.
    """

    def leave(exit_code: int, _grace_s: float) -> None:
        leaving()
        # Not by an exception: a thread that waits for a dead disk or server would be waited for.
        os._exit(end_early(Interrupted(exit_code), json_of=json_of))

    async def go() -> Result:
        with at_signals(leave):
            return await work

    return run_loop(go())


def end_early(error: LaklakError, *, json_of: str | None) -> int:
    """Say why there is no answer and give the exit status; with JSON, in the words of the command `json_of`."""
    # Imported when something went wrong: it is half of what `laklak --help` would take.
    from laklak.cli.terminal import say_error

    say_error(error)
    if json_of is not None:
        print_json(_no_answer(json_of, error))
    return error.exit_code


def _no_answer(command: str, error: LaklakError) -> dict[str, Any]:
    """What a command gives as JSON when it could not begin or come to its end; a backfill for what is no command."""
    from laklak.report.summary import SCHEMA

    if command == "check":
        from laklak.engine.check import versions
        from laklak.model.findings import Checkup

        return Checkup.without_look(versions(), error).as_json()
    if command in ("copy", "import", "resample"):
        from laklak.report.copied import SUMMARIES, CopyReport, summarise_copy

        return summarise_copy(CopyReport(), error=error, kind=SUMMARIES[command]).as_json()
    nothing = _nothing_of(command)
    if nothing is None:
        from laklak.report.progress import Report
        from laklak.report.summary import summarise

        return summarise(Report(), error=error).as_json()
    ended = {"exit": error.exit_code, "error": in_short(error), "hint": error.hint}
    if command in ("show", "runs") or (command.startswith("assets") and command != "assets check"):
        del ended["exit"]
    return {"schema": SCHEMA, "version": __version__, **nothing, **ended}


def _nothing_of(command: str) -> Mapping[str, Any] | None:
    """What a command that looks gives as JSON where it has found nothing; None for one that is not of these."""
    if command == "digest":
        from laklak.model.digest import FORMAT

        return {"store": None, "as_of": {}, "series": [], "format": FORMAT, "root": None}
    if command == "explain":
        from laklak.audit.explain import KEYS

        return {"store": None, **dict.fromkeys(KEYS)}
    return _NOTHING.get(command, _NOTHING.get(command.partition(" ")[0]))


_NOTHING: Final[Mapping[str, Mapping[str, Any]]] = {
    "show": {"store": None, "series": None, "candles": []},
    "runs": {"store": None, "runs": []},
    "coverage": {"store": None, "as_of": {}, "health": None, "worst": None, "total": None, "series": []},
    "verify": {"store": None, "as_of": {}, "series": [], "depth": None, "against": None, "proof": None},
    "export": {"store": None, "candles": 0, "files": [], "without": [], "left_out": []},
    # What could not be issued is not to be taken for a certificate.
    "certificate": {},
    "certificate check": {
        **dict.fromkeys(("file", "verdict", "why", "sha256", "complete", "signature", "store")),
        "series": [],
    },
    "certificate diff": {"before": None, "after": None, "only_before": [], "only_after": [], "series": []},
    "assets": {"venue": None, "symbols": []},
    "assets check": {"file": None, "venues": {}, "unknown": [], "ended": [], "doubled": [], "bad": []},
}


def print_json(answer: dict[str, Any]) -> None:
    """Print one object on a line of stdout."""
    import json

    from laklak.cli.terminal import emit_bytes

    # JSON is UTF-8 whatever the terminal speaks.
    emit_bytes(json.dumps(answer, ensure_ascii=False).encode() + b"\n", sys.stdout)
