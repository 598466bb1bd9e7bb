"""The outcome of a run as a whole: its exit status, and the error that decides it.

In this order: an error of the whole run (wrong usage, the store) as that error says; everything complete 0; bans or
limits that outlast the run as the only cause 75; no venue could be started 2; anything else missing 1.  Optional venues
decide nothing.
"""

from __future__ import annotations

from laklak.errors import LaklakError, TryLater, VenueUnreachable
from laklak.report.progress import Report


def exit_status(report: Report, error: LaklakError | None) -> int:
    """Return the exit status of a run that was not stopped; `error` ended all of it, if there is one."""
    if error is not None:
        return error.exit_code
    causes = _causes(report)
    if not causes:
        return 0
    if causes == {TryLater.reason}:
        return TryLater.exit_code
    if report.venues and not any(venue.started for venue in report.venues.values()):
        return VenueUnreachable.exit_code
    return 1


def exit_of_plan(report: Report) -> int:
    """Return the exit status of a dry run: only a venue that could not be asked fails it."""
    ends = [venue.end for venue in report.venues.values() if venue.end is not None and not venue.optional]
    bans = [end for end in ends if isinstance(end, TryLater)]
    if not ends:
        return 0
    return TryLater.exit_code if len(bans) == len(ends) else 1


def deciding_error(report: Report) -> LaklakError | None:
    """Return the end of a venue that an incomplete run reports; a ban comes last."""
    if not _causes(report):
        return None
    ends = [venue.end for venue in report.venues.values() if venue.end is not None and not venue.optional]
    others = [end for end in ends if not isinstance(end, TryLater)]
    return next(iter([*others, *ends]), None)


def _causes(report: Report) -> set[str]:
    """Return the reasons for which something is missing, or needs a look."""
    optional = {name for name, venue in report.venues.items() if venue.optional}
    causes = {one.reason for one in report.failed if one.series.partition(":")[0] not in optional}
    for ledger in report.ledgers:
        if ledger.plan.series.venue in optional:
            continue
        causes |= ledger.reasons
        if ledger.unexplained:
            causes.add("")
        if ledger.newly_rejected:
            causes.add("rejected")
    return causes
