"""From arguments to an exit status."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache

import typer

from laklak.cli.program import app
from laklak.cli.work import end_early
from laklak.errors import LaklakError, UsageError
from laklak.tasks.process import Interrupted, StoppedEarly, heed_signals, ignore_signals, open_streams

log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say and give the exit status; every error is a line, never a traceback.

    Afterwards SIGINT and SIGTERM are ignored: the exit status is settled, and a signal on the way out would change it.
    """
    arguments = arguments or ["--help"]
    wants_json = "--json" in arguments and arguments[0] not in ("simulate", "bench")
    two = arguments[0] == "assets" or list(arguments[:2]) in (["certificate", "check"], ["certificate", "diff"])
    json_of = " ".join(arguments[: 2 if two else 1]) if wants_json else None
    error: LaklakError
    with open_streams():
        try:
            heed_signals()
            status = _program()(list(arguments), prog_name="laklak", standalone_mode=False)
            return status if isinstance(status, int) else 0
        except StoppedEarly as exc:
            error = Interrupted(exc.exit_code)
        except LaklakError as exc:
            log.debug("ended by an error", exc_info=exc)
            error = exc
        except typer.Exit as exc:
            return int(exc.exit_code)
        except Exception as exc:
            error = _unexpected(exc)
        finally:
            ignore_signals()
        return end_early(error, json_of=json_of)


@cache
def _program() -> Callable[..., object]:
    # Once a process: building it takes 10 ms, which programs and tests that call `run` again and again need not pay.
    return typer.main.get_command(app)


def _unexpected(exc: Exception) -> LaklakError:
    message = getattr(exc, "format_message", None)
    if message is not None:
        command = getattr(getattr(exc, "ctx", None), "command_path", None) or "laklak"
        return UsageError(message(), hint=f"{command} --help shows what there is")
    log.debug("internal error", exc_info=exc)
    cause: BaseException = exc
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return LaklakError(
        f"internal error: {type(cause).__name__}: {cause}",
        hint="run again with -v: backfill.log then shows where; please report it",
    )
