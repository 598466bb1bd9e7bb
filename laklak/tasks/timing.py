"""How long a run waits where neither a venue nor a setting says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The waits of one run, as one value; tests hand in shorter ones."""

    silence_s: float = 20.0
    """Give an attempt up after this long a silence, however long the whole takes."""

    longest_answer_s: float = 900.0
    longest_file_s: float = 3600.0
    slow_answer_s: float = 10.0
    """Tell of an answer that takes longer than this."""

    network_pause_s: float = 1.0
    """Between two tries while the network is not up yet."""

    backoff_first_s: float = 0.5
    backoff_most_s: float = 10.0
    dead_archive_after_s: float = 30.0
    """If files fail in a row and no answer was good for this long, their archive is down."""

    second_answer_after_s: float = 2.0
    """Ask again this much later for what a first answer lacks."""

    other_venues_within_s: float = 5.0
    """Wait this long after the first venue for the others; a later one joins the run then."""

    def backoff_s(self, attempt: int, share: float) -> float:
        """Seconds to wait after the n-th failed attempt (from 1): full jitter, `share` in [0, 1) is the dice.

        Bounds 0.5, 1, 2, 4, 8, 10, 10, ... seconds.
        """
        return share * min(self.backoff_most_s, self.backoff_first_s * 2.0 ** (attempt - 1))


@dataclass(frozen=True, kw_only=True)
class StoreTiming:
    """The waits of a store on a server, as one value; tests hand in shorter ones."""

    silence_s: float = 60.0
    """The longest silence within an answer, beside the time that a slow line needs to send."""

    opening_patience_s: float = 10.0
    pause_first_s: float = 0.25
    pause_most_s: float = 5.0
    silence_told_s: float = 10.0
    """An answer that takes longer is told of: a person may think that the program hangs."""

    sealing_s: float = 2.0
    """For what is still to be noted of proven days when the store is closed."""

    look_s: float = 4.0
    """For each look that a check takes at what series and their fields are."""

    points_s: float = 4.0
    """For its look at points: a check has 15 s for all of a store."""
